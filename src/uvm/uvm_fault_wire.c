/*
 * Wiring and unwiring by address (uvm-spec 6.8).
 *
 * Wiring is a fault for each page; it asks for the map itself, so the map must not
 * be locked by the caller.
 *
 * Unwiring finds the page by layer, amap before object, as the wiring fault did, and
 * not by what is mapped now (B-8): after mprotect(PROT_NONE) nothing is.  Where
 * there is a mapping it must be of that page.
 *
 * Three things are wired, and each by its own count.  An entry, by mlock; it holds
 * one wiring of each of its pages, and its mappings stay wired until it no longer is
 * (R31).  A page, by entries and by I/O in flight (vslock), which pins the frame.  A
 * mapping: a second I/O on a page of ours keeps it wired when the first is done
 * (B-16); on a page that others map too we cannot tell whose wirings are left, and
 * the frame is pinned in any case, so the mapping becomes pageable.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>

static void	unwire_range(struct vm_map *, vaddr_t, vaddr_t, bool);

/*
 * => map not locked by us; its entries wired and the map busy by us (wiremax), or the
 *    caller keeps the range mapped (vslock).
 * => 0; EFAULT for a reversed range, or the errno of a fault: then nothing is wired by us.
 */
int
uvm_fault_wire(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t access, bool wiremax)
{
	int error;

	KASSERT(!vm_map_locked(map));
	if (start > end)
		return EFAULT;
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		error = uvmfault_internal(map, va, access, true, wiremax);
		if (error != 0) {
			vm_map_lock_read(map);
			/* mlock counted its entries before: they are wired in name only */
			unwire_range(map, start, va, wiremax);
			vm_map_unlock_read(map);
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
 * => map at least read-locked (R32), every page of the range wired by the caller.
 */
void
uvm_fault_unwire_locked(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	KASSERTMSG(vm_map_locked(map), "R32: unwiring without the map's lock");
	unwire_range(map, start, end, false);
}

/*
 * => map locked, owner of the page locked; sole: no other space maps the page
 */
static void
unwire_page(struct vm_map *map, vaddr_t va, struct vm_page *pg, bool pageable, bool sole)
{
	bool still;
	paddr_t pa;

	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	uvm_lock_pageq();
	KASSERTMSG(pg->wire_count > 0, "unwiring %#lx, which is not wired", (unsigned long)va);
	uvm_pageunwire(pg);
	still = pg->wire_count > 0;
	uvm_unlock_pageq();
	if (!pmap_extract(map->pmap, va, &pa))
		return;
	KASSERTMSG(pa == VM_PAGE_TO_PHYS(pg), "unwiring %#lx, whose mapping is of another page (B-8)",
	    (unsigned long)va);
	if (pageable && !(still && sole))	/* R31, B-16 */
		pmap_unwire(map->pmap, va);
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

/* => map locked, va in the entry and wired; pageable: its mapping need not stay wired */
static void
unwire_va(struct vm_map *map, struct vm_map_entry *entry, vaddr_t va, bool pageable)
{
	struct uvm_object *uobj = entry->object.uvm_obj;
	struct vm_anon *anon = upper_layer(entry, va);
	struct vm_page *pg;

	if (anon != NULL) {
		struct vm_amap *amap = entry->aref.ar_amap;

		KASSERT(anon->an_page != NULL && anon->an_page->uobject == NULL);
		unwire_page(map, va, anon->an_page, pageable,
		    anon->an_ref == 1 && !amap_shared(amap));
		mutex_exit(&anon->an_lock);
		amap_unlock(amap);
		return;
	}
	KASSERTMSG(uobj != NULL, "unwiring %#lx, which has no page", (unsigned long)va);
	mutex_enter(&uobj->vmobjlock);
	pg = uvm_pagelookup(uobj, entry->offset + (voff_t)(va - entry->start));
	KASSERTMSG(pg != NULL, "unwiring %#lx, which has no page", (unsigned long)va);
	unwire_page(map, va, pg, pageable, false);
	mutex_exit(&uobj->vmobjlock);
}

/* => map locked, the range mapped without holes and wired; undo: by a wiring that failed */
static void
unwire_range(struct vm_map *map, vaddr_t start, vaddr_t end, bool undo)
{
	struct vm_map_entry *entry;

	KASSERT(vm_map_locked(map));
	if (start == end)
		return;
	if (!uvm_map_lookup_entry(map, start, &entry))
		panic("unwiring %#lx, which is not mapped", (unsigned long)start);
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		if (va >= entry->end)
			entry = entry->next;
		KASSERT(va >= entry->start && va < entry->end);
		unwire_va(map, entry, va, undo || !VM_MAPENT_ISWIRED(entry));
	}
}
