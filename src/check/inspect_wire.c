/*
 * The inspector of wiring: who has wired each page, and each mapping (I-PG-16, I-MAP-13).
 *
 * A page's wire_count is a number without names.  The names are elsewhere: an entry that
 * is wired is worth one for each page that it shows, I/O under way (vslock) one for each
 * frame that it was given, a loan to the kernel one, a u-area one for each of its pages.  Counted up from there, every page
 * must come out at its wire_count.  A mapping is wired if its entry is or I/O is under
 * way to it, and only then; a page of a wired entry is mapped by a wired mapping, unless
 * the entry may not be accessed at all.
 */
#include <stdlib.h>

#include <harness/xalloc.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_device.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vslock.h>

#include "about.h"
#include "inspect_int.h"

/* One walk; the world stands still. */
struct wire_walk {
	uint32_t	*ww_count;	/* by frame number: wirings that have a name */
	struct vm_map	*ww_map;	/* the one at hand, map(R) */
	unsigned	 ww_bad;
};

static void
count_frame(struct wire_walk *ww, paddr_t pa)
{
	if (PHYS_TO_VM_PAGE(pa) != NULL)		/* device frames have no page to count for */
		ww->ww_count[atop(pa)]++;
}

/* => the page that an entry shows at va, or NULL */
static struct vm_page *
page_at(struct vm_map_entry *e, vaddr_t va)
{
	struct uvm_object *uobj = e->object.uvm_obj;
	struct vm_anon *anon = NULL;
	struct vm_page *pg;

	if (e->aref.ar_amap != NULL) {
		amap_lock(e->aref.ar_amap);
		anon = amap_lookup(&e->aref, va - e->start);
		amap_unlock(e->aref.ar_amap);
	}
	if (anon != NULL)
		return anon->an_page;
	if (!UVM_ET_ISOBJ(e))
		return NULL;
	mutex_enter(&uobj->vmobjlock);
	pg = uvm_pagelookup(uobj, e->offset + (voff_t)(va - e->start));
	mutex_exit(&uobj->vmobjlock);
	return pg;
}

static void
wired_entry(struct wire_walk *ww, struct vm_map_entry *e)
{
	bool device = UVM_ET_ISOBJ(e) && UVM_OBJ_IS_DEVICE(e->object.uvm_obj);

	for (vaddr_t va = e->start; va < e->end; va += PAGE_SIZE) {
		struct vm_page *pg = device ? NULL : page_at(e, va);
		paddr_t pa;

		if (pg != NULL)
			count_frame(ww, VM_PAGE_TO_PHYS(pg));
		else if (!device) {
			about_va(ww->ww_map, va);
			violation(VIOL_INVARIANT, CHECK_ID(I_MAP_13),
			    "map %u, entry %u: wired, and there is no page at %#lx", ww->ww_map->id, e->id,
			    (unsigned long)va);
			ww->ww_bad++;
			continue;
		}
		/* mprotect(NONE) has taken it, and a fault brings it back wired */
		if (!pmap_extract(ww->ww_map->pmap, va, &pa))
			continue;
		if (pg != NULL && pa != VM_PAGE_TO_PHYS(pg)) {
			about_va(ww->ww_map, va);
			violation(VIOL_INVARIANT, CHECK_ID(I_MAP_13),
			    "map %u, entry %u: wired, and %#lx is mapped to frame %#lx, not %#lx",
			    ww->ww_map->id, e->id, (unsigned long)va, (unsigned long)pa,
			    (unsigned long)VM_PAGE_TO_PHYS(pg));
			ww->ww_bad++;
		}
	}
}

static void
one_vslock(const struct uvm_vslock *vl, void *arg)
{
	for (vaddr_t va = vl->vl_start; va < vl->vl_done; va += PAGE_SIZE)
		count_frame(arg, vl->vl_frames[atop(va - vl->vl_start)]);
}

/* => is a mapping at va to be wired? */
static bool
shall_be_wired(struct vm_map *map, vaddr_t va)
{
	struct vm_map_entry *e;

	return uvm_map_lookup_entry(map, va, &e) && uvm_mapping_wired(map, e, va);
}

static void
one_pte(vaddr_t va, uint64_t pte, void *arg)
{
	struct wire_walk *ww = arg;
	bool wired = (pte & PTE_WIRED) != 0;

	if (wired == shall_be_wired(ww->ww_map, va))
		return;
	about_va(ww->ww_map, va);
	violation(VIOL_INVARIANT, wired ? CHECK_ID(I_PG_16) : CHECK_ID(I_MAP_13),
	    "map %u, address %#lx, PTE %#lx: the mapping is %s", ww->ww_map->id, (unsigned long)va,
	    (unsigned long)pte, wired ? "wired, and by nobody" : "not wired, though it should be");
	ww->ww_bad++;
}

static void
walk_map(struct wire_walk *ww, struct vm_map *map)
{
	ww->ww_map = map;
	vm_map_lock_read(map);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		if (VM_MAPENT_ISWIRED(e))
			wired_entry(ww, e);
	uvm_vslock_foreach(map, one_vslock, ww);
	pmap_foreach(map->pmap, one_pte, ww);
	vm_map_unlock_read(map);
}

/* u-areas: kernel memory that is wired while its LWP may run */
static void
one_uarea(vaddr_t start, void *arg)
{
	struct wire_walk *ww = arg;

	for (vaddr_t va = start; va < start + UAREA_SIZE; va += PAGE_SIZE) {
		paddr_t pa;

		if (pmap_extract(pmap_kernel(), va, &pa)) {
			count_frame(ww, pa);
			continue;
		}
		about_va(uarea_map, va);
		violation(VIOL_INVARIANT, CHECK_ID(I_PG_16), "u-area at %#lx is in and not mapped",
		    (unsigned long)va);
		ww->ww_bad++;
	}
}

static void
walk_vmspace(struct vmspace *vm, void *arg)
{
	walk_map(arg, &vm->vm_map);
}

static unsigned
compare(const struct wire_walk *ww)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < uvm.npages; i++) {
		const struct vm_page *pg = &uvm.pages[i];
		uint32_t named = ww->ww_count[i] + uvm_page_kloans(pg);

		if (pg->wire_count == named)
			continue;
		about_page(pg);
		violation(VIOL_INVARIANT, CHECK_ID(I_PG_16),
		    "page %#lx is wired %u times; entries, I/O and loans account for %u",
		    (unsigned long)VM_PAGE_TO_PHYS(pg), pg->wire_count, named);
		bad++;
	}
	return bad;
}

unsigned
inspect_wiring(void)
{
	struct wire_walk ww = { .ww_count = xcalloc(uvm.npages, sizeof(*ww.ww_count)) };

	CHECKS_RAN(CHK_I_MAP_13, CHK_I_PG_16);
	vmspace_foreach(walk_vmspace, &ww);
	uvm_uarea_foreach(one_uarea, &ww);
	ww.ww_bad += compare(&ww);
	free(ww.ww_count);
	return ww.ww_bad;
}
