/*
 * Wiring and unwiring by address (uvm-spec 6.8).
 *
 * Wiring is a fault for each page; it asks for the map itself, so the map must not
 * be locked by the caller.
 *
 * Unwiring finds the page by layer, amap before object, as the wiring fault did, and
 * not by what is mapped now (B-8): after mprotect(PROT_NONE) nothing is.  Where
 * there is a mapping it must be of that page, and for I/O it must be the frame that
 * the device was given.
 *
 * Three things are wired, and each by its own count.  An entry, by mlock; it holds
 * one wiring of each of its pages.  A page, by entries and by I/O in flight, which
 * pins the frame.  A mapping, while its entry is wired (R31) or any I/O to the address
 * is under way (B-16); uvm_mapping_wired() decides.  Device memory has mappings to wire, but no
 * pages.
 */
#include <sys/bug.h>
#include <uvm/uvm.h>
#include <uvm/uvm_device.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_vslock.h>

/*
 * => map not locked by us; its entries wired and the map busy by us (wiremax), or the
 *    caller keeps the range mapped.
 * => 0; EFAULT for a reversed range, or the errno of a fault: then nothing is wired by us
 */
int
uvm_fault_wire(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t access, bool wiremax)
{
	int error;

	KASSERT(vm_map_notlocked(map));
	if (start > end)
		return EFAULT;
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		error = uvmfault_internal(map, va, access, true, wiremax, NULL);
		if (error != 0) {
			if (wiremax)		/* the entry is wired in name only: nothing is reached */
				uvm_mapping_pending(map, start, map->wire_end);
			uvm_fault_unwire(map, start, va);
			return error;
		}
	}
	return 0;
}

/*
 * => map not locked by us.
 */
void
uvm_fault_unwire(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	vm_map_lock_read(map);
	uvm_fault_unwire_locked(map, start, end);
	vm_map_unlock_read(map);
}

/*
 * => map locked, va in the entry, owner of its page locked, so that the mapping cannot go
 */
static void
settle(struct vm_map *map, struct vm_map_entry *entry, vaddr_t va, const kmutex_t *owner)
{
	KASSERTMSG(mutex_owned(owner), "R31: the mapping at %#lx is made pageable, and may go meanwhile: the owner of its page "
	    "is not locked", (unsigned long)va);
	if ((BUG(unwire_ignores_mlock) || !uvm_mapping_wired(map, entry, va)) && pmap_extract(map->pmap, va, NULL))
		pmap_unwire(map->pmap, va);
}

/*
 * => map locked, owner of the page locked; vl: the I/O whose wiring it is, or NULL
 */
static void
unwire_page(struct vm_map *map, vaddr_t va, struct vm_page *pg, const struct uvm_vslock *vl)
{
	paddr_t pa;

	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	if (vl != NULL) {
		KASSERTMSG(VM_PAGE_TO_PHYS(pg) == vl->vl_frames[atop(va - vl->vl_start)],
		    "B-8, R13: I/O to %#lx had another frame than is there now", (unsigned long)va);
		if (vl->vl_input)
			pg->flags &= ~PG_CLEAN;		/* 7.4: the device left no trace in any PTE */
	}
	uvm_lock_pageq();
	KASSERTMSG(pg->wire_count > 0, "unwiring %#lx, which is not wired", (unsigned long)va);
	uvm_pageunwire(pg);
	uvm_unlock_pageq();
	KASSERTMSG(!pmap_extract(map->pmap, va, &pa) || pa == VM_PAGE_TO_PHYS(pg),
	    "B-8: unwiring %#lx, whose mapping is of another page", (unsigned long)va);
}

/* => map locked, va in the entry: the anon in its slot, locked, the amap too; or NULL, unlocked */
static struct vm_anon *
upper_layer(struct vm_map_entry *entry, vaddr_t va)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	struct vm_anon *anon;

	if (amap == NULL)
		return NULL;
	amap_lock(amap);
	anon = amap_lookup(&entry->aref, va - entry->start);
	if (anon == NULL)
		amap_unlock(amap);
	else
		mutex_enter(&anon->an_lock);
	return anon;
}

/* => map locked, va in the entry and wired by the caller */
static void
unwire_va(struct vm_map *map, struct vm_map_entry *entry, vaddr_t va, const struct uvm_vslock *vl)
{
	struct uvm_object *uobj = entry->object.uvm_obj;
	struct vm_anon *anon;
	struct vm_page *pg;

	if (BUG(unwire_unmapped_leak) && !pmap_extract(map->pmap, va, NULL))
		return;
	anon = upper_layer(entry, va);
	if (anon != NULL) {
		KASSERT(anon->an_page != NULL && anon->an_page->uobject == NULL);
		unwire_page(map, va, anon->an_page, vl);
		settle(map, entry, va, &anon->an_lock);
		mutex_exit(&anon->an_lock);
		amap_unlock(entry->aref.ar_amap);
		return;
	}
	KASSERTMSG(uobj != NULL, "unwiring %#lx, which has no page", (unsigned long)va);
	mutex_enter(&uobj->vmobjlock);
	if (!UVM_OBJ_IS_DEVICE(uobj)) {
		pg = uvm_pagelookup(uobj, entry->offset + (voff_t)(va - entry->start));
		KASSERTMSG(pg != NULL, "unwiring %#lx, which has no page", (unsigned long)va);
		unwire_page(map, va, pg, vl);
	}
	settle(map, entry, va, &uobj->vmobjlock);
	mutex_exit(&uobj->vmobjlock);
}

/* => map locked; the range is mapped without holes, and wired by the caller */
static void
unwire_range(struct vm_map *map, vaddr_t start, vaddr_t end, const struct uvm_vslock *vl)
{
	struct vm_map_entry *entry;

	KASSERTMSG(vm_map_locked(map), "R32: unwiring without the map's lock");
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		if (!uvm_map_lookup_entry(map, va, &entry))
			panic("unwiring %#lx, which is not mapped", (unsigned long)va);
		unwire_va(map, entry, va, vl);
	}
}

/*
 * => map at least read-locked (R32), every page of the range wired by the caller.
 */
void
uvm_fault_unwire_locked(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	unwire_range(map, start, end, NULL);
}

/*
 * => map read-locked, the I/O off the map's list
 */
void
uvm_fault_unwire_vslock(const struct uvm_vslock *vl)
{
	unwire_range(vl->vl_map, vl->vl_start, vl->vl_done, vl);
}
