/*
 * Wiring: mlock(2) and its family (uvm-spec 1.12, 6.8).
 *
 * Two passes.  The first, with the map locked for writing, decides and counts:
 * every entry that is going to be faulted gets an amap of its own now (so that no
 * fault of the second pass needs the map for writing), and its wired_count goes
 * up.  The second marks the map busy, unlocks it, and faults the pages of entries
 * whose count went from 0 to 1: with all of max_protection, so that copy-on-write
 * pages are copied at once (R13).  Nobody but readers can have been in between,
 * which the timestamp proves.
 *
 * A wired entry holds exactly one wiring of each of its pages, whatever its count.
 */
#include <sys/bug.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

void
uvm_map_entry_unwire(struct vm_map *map, struct vm_map_entry *e)
{
	KASSERT(vm_map_locked_write(map));
	KASSERT(VM_MAPENT_ISWIRED(e));
	e->wired_count = 0;
	uvm_fault_unwire_locked(map, e->start, e->end);
}

/*
 * Which entries of a range a call wires: all but those without any access, which
 * mlockall() passes by (and mlock() refuses).  Nobody changes them while the map is busy.
 */
static bool
wirable(const struct vm_map_entry *e)
{
	return e->protection != VM_PROT_NONE;
}

/* => map(W): 0, and no fault of the second pass will need an amap copied; or ENOMEM */
static int
prepare(struct vm_map *map, struct vm_map_entry *first, vaddr_t end)
{
	int error = 0;

	for (struct vm_map_entry *e = first; e != &map->header && e->start < end && error == 0;
	    e = e->next)
		if (wirable(e) && ((e->max_protection & VM_PROT_WRITE) != 0 ||
		    e->object.uvm_obj == NULL))
			error = uvm_mapent_copynow(map, e);
	return error;
}

/* => map(W), unlocked between: pages of the entries counted to 1 by this call */
static int
fault_in(struct vm_map *map, struct vm_map_entry *first, vaddr_t end, struct vm_map_entry **failed)
{
	unsigned version = map->timestamp;
	struct vm_map_entry *e;
	int error = 0;

	uvm_mapping_pending(map, first->start, end);
	vm_map_busy(map);
	vm_map_unlock(map);
	for (e = first; e != &map->header && e->start < end; e = e->next) {
		if (!wirable(e) || e->wired_count != 1)
			continue;
		error = uvm_fault_wire(map, e->start, e->end, e->max_protection, true);
		if (error != 0)
			break;
	}
	*failed = e;
	vm_map_lock(map);
	KASSERTMSG(map->timestamp == version + 1, "I-MAP-9: map %u had version %u when its wirer let it go, and %u when he has "
	    "it again, not one more: others have written to it, or who locks it is not counted", map->id, version,
	    map->timestamp);
	uvm_mapping_pending(map, 0, 0);
	vm_map_unbusy(map);
	return error;
}

/* => map(W): entries before failed lose their pages' wiring, all lose the count */
static void
undo(struct vm_map *map, struct vm_map_entry *first, vaddr_t end, struct vm_map_entry *failed)
{
	bool faulted = true;

	for (struct vm_map_entry *e = first; e != &map->header && e->start < end; e = e->next) {
		if (e == failed)
			faulted = false;
		if (!wirable(e))
			continue;
		/* B-1: pages are unwired exactly when the count drops to 0 */
		if ((--e->wired_count == 0) != BUG(mlockall_undo) && faulted)
			uvm_fault_unwire_locked(map, e->start, e->end);
	}
}

/* => map(W): [start,end) is covered by entries that may be wired (or unwired) */
static int
pageable_allowed(struct vm_map *map, vaddr_t start, vaddr_t end, bool unwire)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e))
		return EFAULT;
	for (vaddr_t va = start; va < end; e = e->next) {
		if (e == &map->header || e->start > va)
			return EINVAL;
		if (unwire ? !VM_MAPENT_ISWIRED(e) : e->protection == VM_PROT_NONE)
			return EINVAL;
		va = e->end;
	}
	return 0;
}

/* => map(W) in and out, unlocked between; the range is clipped */
static int
wire_entries(struct vm_map *map, struct vm_map_entry *first, vaddr_t end)
{
	struct vm_map_entry *e, *failed;
	int error;

	error = prepare(map, first, end);
	if (error != 0)
		return error;
	for (e = first; e != &map->header && e->start < end; e = e->next)
		if (wirable(e))
			e->wired_count++;
	error = fault_in(map, first, end, &failed);
	if (error != 0)
		undo(map, first, end, failed);
	return error;
}

static void
unwire_range(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *e;

	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next)
		uvm_map_entry_unwire(map, e);
}

int
uvm_map_pageable(struct vm_map *map, vaddr_t start, vaddr_t end, bool unwire, int lockflags)
{
	int error;

	/* Who comes with the map locked asks for whole entries. */
	if ((lockflags & UVM_LK_ENTER) == 0) {
		KASSERT((lockflags & UVM_LK_EXIT) == 0);
		error = uvm_map_lock_split(map, start, end, false);
		if (error != 0)
			return error;
	}
	KASSERT(vm_map_locked_write(map));
	error = start < end ? pageable_allowed(map, start, end, unwire) : 0;
	if (error == 0 && start < end) {
		if (unwire)
			unwire_range(map, start, end);
		else
			error = wire_entries(map, uvm_map_clip_range(map, start, end), end);
	}
	if ((lockflags & UVM_LK_EXIT) == 0)
		vm_map_unlock(map);
	return error;
}

/* => map(W): bytes that are mapped accessibly and not wired yet */
static vsize_t
unwired_size(struct vm_map *map)
{
	vsize_t size = 0;

	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		if (wirable(e) && !VM_MAPENT_ISWIRED(e))
			size += e->end - e->start;
	return size;
}

static int
wire_all(struct vm_map *map, vsize_t limit)
{
	vsize_t size = unwired_size(map);

	/* relaxed: pairs with the changes under pageq; a limit, not a promise */
	if (atop(size) + __atomic_load_n(&uvm.wired, __ATOMIC_RELAXED) > uvm.wiredmax ||
	    ptoa((vsize_t)pmap_wired_count(map->pmap)) + size > limit) {
		UVMCNT(lim_memlock);
		return ENOMEM;
	}
	return wire_entries(map, map->header.next, vm_map_max(map));
}

/* => map(W); readers that come without the lock see it some time (sys_mmap) */
static void
set_wirefuture(struct vm_map *map, bool on)
{
	__atomic_store_n(&map->wirefuture, on, __ATOMIC_RELAXED);
}

int
uvm_map_pageable_all(struct vm_map *map, int flags, vsize_t limit)
{
	int error = 0;

	vm_map_lock(map);
	if (flags == 0) {				/* munlockall */
		set_wirefuture(map, false);
		for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
			if (VM_MAPENT_ISWIRED(e))
				uvm_map_entry_unwire(map, e);
	}
	if ((flags & UMCL_CURRENT) != 0)
		error = wire_all(map, limit);
	if (error == 0 && (flags & UMCL_FUTURE) != 0)
		set_wirefuture(map, true);
	vm_map_unlock(map);
	return error;
}
