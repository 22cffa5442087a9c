/*
 * The inspector of kernel address space: what is mapped there, by whom, and how.
 *
 * Two directions.  Every mapping must be what the entry around it is for:
 *
 *	entry			mapping
 *	none			none (I-PMAP-10)
 *	kernel_object's		unmanaged; the page at the offset of its address (I-KM-2)
 *	in kmem_map		unmanaged; an un-owned page that knows its address (I-MAP-12)
 *	in a pageable map,	managed: the page daemon can find it
 *	  or UBC's windows
 *	addresses only		unmanaged: a window; at rest none but read-only ones onto
 *				pages on loan (I-PMAP-10)
 *
 * And what an entry is for must be there: every page of wired memory (I-KM-1), as many
 * pages of kmem_map as its pools have (I-KM-4), as many parked entries as there are
 * borders of quanta (I-MAP-11).
 *
 * kmem_map is a spin lock's, so it is not held while its mappings are looked at: nothing
 * runs that could change it.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_km.h>

#include "about.h"
#include "inspect_int.h"

static unsigned
complain(const char *id, const struct vm_map *map, vaddr_t va, const char *what)
{
	about_va(map, va);
	violation(VIOL_INVARIANT, id, "kernel map %u, address %#lx: %s", map->id, (unsigned long)va,
	    what);
	return 1;
}

static bool
intrsafe(const struct vm_map *map)
{
	return (map->flags & VM_MAP_INTRSAFE) != 0;
}

/* => map(R), or as near to it as the map has */
static void
lock(struct vm_map *map)
{
	if (intrsafe(map))
		vm_map_lock(map);
	else
		vm_map_lock_read(map);
}

static void
unlock(struct vm_map *map)
{
	if (intrsafe(map))
		vm_map_unlock(map);
	else
		vm_map_unlock_read(map);
}

/* => the entry that va is in, and its map, perhaps a submap; NULL: a hole */
static struct vm_map_entry *
entry_at(vaddr_t va, struct vm_map **mapp)
{
	struct vm_map *map = kernel_map;
	struct vm_map_entry *e;
	bool found;

	for (;; map = e->object.sub_map) {
		lock(map);
		found = uvm_map_lookup_entry(map, va, &e);
		unlock(map);
		*mapp = map;
		if (!found || !UVM_ET_ISSUBMAP(e))
			return found ? e : NULL;
	}
}

/* --- from the mapping to the entry --- */

struct km_walk {
	uint64_t kw_kmem;		/* mappings in kmem_map */
	unsigned kw_bad;
};

static bool
wired(const struct vm_map_entry *e)
{
	return e->object.uvm_obj == uvm_kernel_object;
}

/* => an unmanaged mapping, by what it is in; device frames have no page */
static unsigned
check_unmanaged(const struct vm_map *map, const struct vm_map_entry *e, vaddr_t va, uint64_t pte,
    const struct vm_page *pg)
{
	if ((map->flags & VM_MAP_PAGEABLE) != 0 && map != kernel_map)
		return complain(CHECK_ID(I_PMAP_10), map, va, "an unmanaged mapping of pageable memory");
	if (wired(e))
		return pg != NULL && pg->uobject == uvm_kernel_object &&
		    (vaddr_t)pg->offset == va - VM_MIN_KERNEL_ADDRESS ? 0 :
		    complain(CHECK_ID(I_KM_2), map, va, "not the page of kernel_object that belongs there");
	if (intrsafe(map))
		return pg != NULL && pg->uobject == NULL && pg->uanon == NULL &&
		    (pg->pqflags & PQ_PRIVATE) != 0 && (vaddr_t)pg->offset == va ? 0 :
		    complain(CHECK_ID(I_MAP_12), map, va, "not an un-owned page of that address");
	if (UVM_ET_ISOBJ(e))
		return complain(CHECK_ID(I_PMAP_10), map, va, "an unmanaged mapping in UBC's window");
	if (pg == NULL || pg->loan_count == 0 || (pte & PTE_W) != 0)
		return complain(CHECK_ID(I_PMAP_10), map, va, "a window that nobody uses maps something");
	return 0;
}

static void
check_pte(vaddr_t va, uint64_t pte, void *arg)
{
	const struct vm_page *pg = PHYS_TO_VM_PAGE(pte & PTE_FRAME);
	struct km_walk *kw = arg;
	struct vm_map_entry *e;
	struct vm_map *map;

	e = entry_at(va, &map);
	if (e == NULL) {
		kw->kw_bad += complain(CHECK_ID(I_PMAP_10), map, va, "mapped, and no entry has it");
		return;
	}
	kw->kw_kmem += map == kmem_map;
	if (pg != NULL && (pg->pqflags & PQ_FREE) != 0)
		kw->kw_bad += complain(CHECK_ID(I_PMAP_11), map, va, "the frame is free");
	else if (pg != NULL && (pte & PTE_W) != 0 && pg->loan_count != 0)
		kw->kw_bad += complain(CHECK_ID(I_LOAN_1), map, va, "writable, and the page is on loan");
	else if ((pte & PTE_KENTER) != 0)
		kw->kw_bad += check_unmanaged(map, e, va, pte, pg);
	else if (intrsafe(map) || wired(e))
		kw->kw_bad += complain(CHECK_ID(I_MAP_12), map, va, "not entered by pmap_kenter_pa()");
}

/* --- from the entry to the mapping --- */

static unsigned
check_present(const struct vm_map *map, const struct vm_map_entry *e)
{
	unsigned bad = 0;

	for (vaddr_t va = e->start; va < e->end; va += PAGE_SIZE)
		if (!pmap_extract(pmap_kernel(), va, NULL))
			bad += complain(CHECK_ID(I_KM_1), map, va, "wired memory is not mapped");
	return bad;
}

/* => borders of quanta inside the entry: each has an entry parked for it */
static int
borders(const struct vm_map *map, const struct vm_map_entry *e)
{
	return (e->flags & UVM_MAP_QUANTUM) == 0 ? 0 :
	    (int)((e->end - e->start) / map->quantum) - 1;
}

static unsigned
check_map(struct vm_map *map)
{
	unsigned bad;
	int n = 0;

	lock(map);
	bad = uvm_map_check(map);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		n += borders(map, e);
	unlock(map);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next) {
		if (wired(e))
			bad += check_present(map, e);
		if (intrsafe(map) && (e->aref.ar_amap != NULL || UVM_ET_ISCOPYONWRITE(e) ||
		    e->object.uvm_obj != NULL))
			bad += complain(CHECK_ID(I_MAP_12), map, e->start,
			    "an amap or an object in an interrupt-safe map");
	}
	if (map->nparked != n) {
		about_map(map);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_11), "kernel map %u: %d parked entries for %d borders of "
		    "quanta", map->id, map->nparked, n);
		bad++;
	}
	return bad;
}

static unsigned
same(const char *id, const char *what, uint64_t have, uint64_t want)
{
	if (have == want)
		return 0;
	violation(VIOL_INVARIANT, id, "%s: %lu, not %lu", what, (unsigned long)have,
	    (unsigned long)want);
	return 1;
}

unsigned
inspect_km(void)
{
	struct vm_map *const maps[] = {
		kernel_map, kmem_map, mb_map, phys_map, exec_map, uarea_map
	};
	struct km_walk kw = { 0 };

	CHECKS_RAN(CHK_I_KM_1, CHK_I_KM_2, CHK_I_KM_4, CHK_I_LOAN_1, CHK_I_MAP_11, CHK_I_MAP_12,
	    CHK_I_PMAP_10, CHK_I_PMAP_11, CHK_I_POOL_1, CHK_I_POOL_4, CHK_I_POOL_5, CHK_I_POOL_7);
	kw.kw_bad += pool_check();		/* first: surplus pages go */
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		kw.kw_bad += check_map(maps[i]);
	pmap_foreach(pmap_kernel(), check_pte, &kw);
	kw.kw_bad += pmap_check(pmap_kernel());
	kw.kw_bad += same(CHECK_ID(I_KM_4), "pages mapped in kmem_map, and pages of kmem_map",
	    kw.kw_kmem, atop(kmem_map->size));
	kw.kw_bad += same(CHECK_ID(I_KM_4), "pages of the pools in kmem_map, and pages of kmem_map",
	    pool_backend_pages(&pool_allocator_kmem_map), atop(kmem_map->size));
	return kw.kw_bad;
}
