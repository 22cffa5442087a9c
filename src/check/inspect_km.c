/*
 * The inspector of kernel address space: what is mapped there, by whom, and how.
 *
 * Kernel mappings outside a map's entries are nobody's; a page of kernel_object must be
 * mapped exactly at its address, and an interrupt-safe map has neither amaps nor mappings
 * that the page daemon could take.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_km.h>

#include "inspect_int.h"

/* One entry of a kernel map.  => complaints */
static unsigned
complain(const char *id, const struct vm_map *map, vaddr_t va, const char *what)
{
	violation(VIOL_INVARIANT, id, "kernel map %u, address %#lx: %s", map->id, (unsigned long)va,
	    what);
	return 1;
}

/* => is va inside an entry of one of the kernel's maps?  Nothing runs. */
static bool
described(struct vm_map *map, vaddr_t va, struct vm_map **whose)
{
	struct vm_map_entry *e;
	bool found;

	if ((map->flags & VM_MAP_INTRSAFE) != 0)
		vm_map_lock(map);
	else
		vm_map_lock_read(map);
	found = uvm_map_lookup_entry(map, va, &e);
	if ((map->flags & VM_MAP_INTRSAFE) != 0)
		vm_map_unlock(map);
	else
		vm_map_unlock_read(map);
	*whose = map;
	if (found && UVM_ET_ISSUBMAP(e))
		return described(e->object.sub_map, va, whose);
	return found;
}

struct km_walk {
	uint64_t kw_wired;		/* mappings of pages of the kernel's object */
	unsigned kw_bad;
};

/* I-PMAP-10, I-KM-2, I-MAP-12 for one PTE. */
static void
check_pte(vaddr_t va, uint64_t pte, void *arg)
{
	struct vm_page *pg = PHYS_TO_VM_PAGE(pte & PTE_FRAME);
	struct km_walk *kw = arg;
	struct vm_map *map;

	if (!described(kernel_map, va, &map)) {
		kw->kw_bad += complain("I-PMAP-10", kernel_map, va, "mapped, and no entry has it");
		return;
	}
	if ((map->flags & VM_MAP_INTRSAFE) != 0 && (pte & PTE_KENTER) == 0)
		kw->kw_bad += complain("I-MAP-12", map, va, "not entered by pmap_kenter_pa");
	if (pg == NULL)
		return;
	if ((pg->pqflags & PQ_FREE) != 0)
		kw->kw_bad += complain("I-PMAP-11", map, va, "the frame is free");
	if ((pte & PTE_W) != 0 && pg->loan_count != 0)
		kw->kw_bad += complain("I-LOAN-1", map, va, "writable, and the page is on loan");
	if (pg->uobject == NULL || pg->uobject->uo_refs != UVM_OBJ_KERN ||
	    (pg->pqflags & PQ_PRIVATE) == 0)
		return;
	kw->kw_wired++;
	if (VM_MIN_KERNEL_ADDRESS + (vaddr_t)pg->offset != va)
		kw->kw_bad += complain("I-KM-2", map, va, "a page of kernel_object that belongs elsewhere");
}

/* => pages of kernel_object there are */
static uint64_t
count_wired(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < uvm.npages; i++) {
		const struct vm_page *pg = &uvm.pages[i];

		if (pg->uobject != NULL && pg->uobject->uo_refs == UVM_OBJ_KERN &&
		    (pg->pqflags & PQ_PRIVATE) != 0)
			n++;
	}
	return n;
}

/* I-MAP-11 and I-MAP-12 for a map's entries. */
static unsigned
check_map(struct vm_map *map)
{
	bool intrsafe = (map->flags & VM_MAP_INTRSAFE) != 0;
	int borders = 0;
	unsigned bad = 0;

	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next) {
		if ((e->flags & UVM_MAP_QUANTUM) != 0)
			borders += (int)((e->end - e->start) / map->quantum) - 1;
		if (intrsafe && (e->aref.ar_amap != NULL || UVM_ET_ISCOPYONWRITE(e)))
			bad += complain("I-MAP-12", map, e->start, "an amap in an interrupt-safe map");
	}
	if (map->nparked < borders)
		bad += complain("I-MAP-11", map, vm_map_min(map), "fewer parked entries than borders");
	return bad;
}

unsigned
inspect_km(void)
{
	struct vm_map *const maps[] = { kernel_map, kmem_map, mb_map, phys_map, exec_map };
	struct km_walk kw = { 0 };
	uint64_t pages = count_wired();

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		kw.kw_bad += check_map(maps[i]);
	pmap_foreach(pmap_kernel(), check_pte, &kw);
	kw.kw_bad += pmap_check(pmap_kernel());
	if (kw.kw_wired != pages) {
		violation(VIOL_INVARIANT, "I-KM-1", "kernel_object has %lu pages, %lu are mapped",
		    (unsigned long)pages, (unsigned long)kw.kw_wired);
		kw.kw_bad++;
	}
	return kw.kw_bad;
}
