/*
 * What an inspector's next violation is about: reports show those objects, and what happened to
 * them (show_violation.c).
 */
#ifndef CHECK_ABOUT_H
#define CHECK_ABOUT_H

#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_anon.h>

static inline void
about_page(const struct vm_page *pg)
{
	violation_about(KS_page, VM_PAGE_ID(pg), pg);
}

static inline void
about_anon(const struct vm_anon *anon)
{
	violation_about(KS_anon, anon->an_id, anon);
}

static inline void
about_amap(struct vm_amap *amap)
{
	violation_about(KS_amap, amap_id(amap), amap);
}

static inline void
about_object(const struct uvm_object *obj)
{
	violation_about(KS_object, obj->uo_id, obj);
}

static inline void
about_map(const struct vm_map *map)
{
	violation_about(KS_map, map->id, map);
}

/* => the entry around the address, its amap and object, and what they have there */
static inline void
about_va(const struct vm_map *map, vaddr_t va)
{
	about_map(map);
	violation_about(KS_va, 0, (const void *)va);
}

static inline void
about_slot(int slot)
{
	violation_about(KS_slot, (uint32_t)slot, NULL);
}

#endif /* CHECK_ABOUT_H */
