/*
 * Wiring and unwiring by address (uvm-spec 6.8).
 */
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>

int
uvm_fault_wire(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t access, bool wiremax)
{
	int error;

	KASSERT(!vm_map_locked(map));
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		error = uvm_fault_internal(map, va, access, true, wiremax);
		if (error != 0) {
			if (va != start)
				uvm_fault_unwire(map, start, va);
			return error;
		}
	}
	return 0;
}

void
uvm_fault_unwire(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	vm_map_lock_read(map);
	uvm_fault_unwire_locked(map, start, end);
	vm_map_unlock_read(map);
}

/*
 * => map locked, the address wired: the page below it.  There may be no mapping, after
 *    mprotect(PROT_NONE): then the layers are asked (B-8)
 */
static struct vm_page *
wired_page(struct vm_map *map, struct vm_map_entry *entry, vaddr_t va)
{
	struct uvm_object *uobj = entry->object.uvm_obj;
	struct vm_page *pg = NULL;
	struct vm_anon *anon;
	paddr_t pa;

	if (pmap_extract(map->pmap, va, &pa))
		return PHYS_TO_VM_PAGE(pa);
	if (entry->aref.ar_amap != NULL) {
		amap_lock(entry->aref.ar_amap);
		anon = amap_lookup(&entry->aref, va - entry->start);
		if (anon != NULL) {
			mutex_enter(&anon->an_lock);
			pg = anon->an_page;
			mutex_exit(&anon->an_lock);
		}
		amap_unlock(entry->aref.ar_amap);
	}
	if (pg == NULL && UVM_ET_ISOBJ(entry)) {
		mutex_enter(&uobj->vmobjlock);
		pg = uvm_pagelookup(uobj, entry->offset + (voff_t)(va - entry->start));
		mutex_exit(&uobj->vmobjlock);
	}
	return pg;			/* it is wired, so it stays */
}

void
uvm_fault_unwire_locked(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *entry;

	KASSERTMSG(vm_map_locked(map), "R32: unwiring without the map's lock");
	if (!uvm_map_lookup_entry(map, start, &entry))
		panic("uvm_fault_unwire: %#lx is not mapped", (unsigned long)start);
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		struct vm_page *pg;

		if (va >= entry->end)
			entry = entry->next;
		KASSERT(va >= entry->start && va < entry->end);
		pg = wired_page(map, entry, va);
		KASSERTMSG(pg != NULL, "unwiring %#lx, which has no page", (unsigned long)va);
		/* R31: the mapping stays wired as long as the entry is. */
		if (!VM_MAPENT_ISWIRED(entry) && pmap_extract(map->pmap, va, NULL))
			pmap_unwire(map->pmap, va);
		uvm_lock_pageq();
		uvm_pageunwire(pg);
		uvm_unlock_pageq();
	}
}
