/*
 * mremap: move, grow or shrink a mapping (uvm-spec 1.16).
 *
 * Everything happens in one section with the map locked for writing, so no thread
 * ever sees the range at both places or at neither.  A move passes the entries
 * (uvm_map_move): they keep amap and object and get another address, and their pages are
 * found again by faults.  A move loses the wiring.  What the mapping grows by is mapped like
 * its last entry, and not wired.
 *
 * A failure leaves everything as it was (B-9): room is found before anything is
 * taken apart, and nothing after that can fail.
 */
#include <sys/bug.h>
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

/* => map(W): [start,end) is mapped without a hole or submap; its last entry */
static int
movable(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map_entry **last)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e))
		return EFAULT;
	for (vaddr_t va = start; va < end; e = e->next) {
		if (e == &map->header || e->start > va)
			return EFAULT;
		if (UVM_ET_ISSUBMAP(e))
			return EINVAL;
		va = e->end;
		*last = e;
	}
	return 0;
}

/*
 * => map(W): what is needed to continue the mapping that ends at va by size bytes.
 *    0, E2BIG beyond the largest offset, ENOMEM; um is to be finished in any case.
 */
static int
prepare_tail(struct vm_map *map, const struct vm_map_entry *last, vaddr_t va, vsize_t size,
    struct uvm_mapping *um)
{
	struct uvm_object *uobj = last->object.uvm_obj;
	voff_t off = last->offset + (voff_t)(va - last->start), end;
	unsigned flags = UVM_MAPFLAG(last->protection, last->max_protection, last->inheritance,
	    last->advice, UVM_FLAG_FIXED | UVM_FLAG_NOWAIT);

	*um = (struct uvm_mapping){ 0 };
	if (uobj != NULL && __builtin_add_overflow(off, (voff_t)size, &end))
		return E2BIG;
	if (UVM_ET_ISCOPYONWRITE(last))
		flags |= UVM_FLAG_COPYONW;
	else if (uobj == NULL)
		flags |= UVM_FLAG_OVERLAY;	/* shared memory needs an amap (B-14) */
	if ((last->flags & UVM_MAP_NOMERGE) != 0)
		flags |= UVM_FLAG_NOMERGE;
	if (uobj != NULL)			/* the tail's, or given back if it joins */
		uobj->pgops->pgo_reference(uobj);
	return uvm_map_prepare(map, um, size, uobj, off, flags);
}

static bool
overlap(vaddr_t a, vsize_t asize, vaddr_t b, vsize_t bsize)
{
	return a < b + bsize && b < a + asize;
}

/* => map(W): where the mapping shall be; what is there goes to dead if fixed */
static int
choose(struct vm_map *map, vaddr_t old, vsize_t oldsize, vaddr_t *newva, vsize_t newsize,
    bool fixed, struct vm_map_entry **dead)
{
	vaddr_t tail;

	if (newsize > vm_map_max(map) - vm_map_min(map))
		return ENOMEM;
	if (!fixed || *newva == old) {		/* where it is, if there is room behind */
		if (newsize > oldsize && !uvm_map_may_grow(map, newsize - oldsize, 0, 0))
			return ENOMEM;
		if (newsize <= oldsize || uvm_map_findspace(map, old + oldsize, newsize - oldsize,
		    &tail, 0, UVM_FLAG_FIXED)) {
			*newva = old;
			return 0;
		}
		if (fixed)
			return ENOMEM;
		return uvm_map_findspace(map, VM_MMAP_ADDRESS, newsize, newva, 0, 0) ? 0 : ENOMEM;
	}
	if (*newva < vm_map_min(map) || *newva > vm_map_max(map) - newsize)
		return ENOMEM;
	if (overlap(old, oldsize, *newva, newsize))
		return EINVAL;
	if (newsize > oldsize && !uvm_map_may_grow(map, newsize - oldsize, *newva, *newva + newsize))
		return ENOMEM;
	uvm_unmap_remove(map, *newva, *newva + newsize, dead);
	return 0;
}

/* => map(W): room for it is chosen and what it needs is prepared: nothing can fail */
static void
change(struct vm_map *map, vaddr_t old, vsize_t oldsize, vaddr_t newva, vsize_t newsize,
    struct uvm_mapping *um)
{
	vaddr_t tail = newva + oldsize;
	int error;

	if (newsize < oldsize)
		uvm_unmap_remove(map, old + newsize, old + oldsize, &um->um_dead);
	if (newva != old)
		uvm_map_move(map, old, newsize < oldsize ? newsize : oldsize, map, newva);
	if (newsize > oldsize) {
		error = uvm_map_enter(map, um, &tail, 0);
		KASSERT(error == 0);
	}
}

/* => map(W), and no I/O is under way to what is moved or replaced */
static void
drain(struct vm_map *map, vaddr_t old, vsize_t oldsize, vaddr_t new, vsize_t newsize)
{
	vaddr_t start = old, end = old + oldsize;

	/* One stretch that contains both: two could not be had at the same moment. */
	if (newsize != 0) {
		start = new < start ? new : start;
		end = new + newsize > end ? new + newsize : end;
	}
	uvm_vslock_drain(map, start, end);
}

int
uvm_mremap(struct vm_map *map, vaddr_t old, vsize_t oldsize, vaddr_t *newva, vsize_t newsize,
    bool fixed)
{
	struct uvm_mapping um = { 0 };
	struct vm_map_entry *last = NULL, *dead = NULL;
	struct uvm_object *uobj = NULL;
	vaddr_t va = *newva;
	const vaddr_t splits[] = { old, old + newsize, old + oldsize, va, va + newsize };
	int error;

	drain(map, old, oldsize, va, fixed ? newsize : 0);
	error = movable(map, old, old + oldsize, &last);
	if (error == 0 && newsize > oldsize) {
		uobj = last->object.uvm_obj;
		error = prepare_tail(map, last, old + oldsize, newsize - oldsize, &um);
		if (error == E2BIG)
			uobj = NULL;		/* no reference was taken */
	}
	if (error == 0 && !uvm_mapent_ready(map, splits, fixed ? 5 : 3))
		error = ENOMEM;
	if (error == 0)
		error = choose(map, old, oldsize, &va, newsize, fixed, &dead);
	if (BUG(mremap_loses_old) && error == ENOMEM && newsize > oldsize)
		uvm_unmap_remove(map, old, old + oldsize, &dead);
	if (error == 0) {
		change(map, old, oldsize, va, newsize, &um);
		uobj = NULL;			/* the map's now */
		*newva = va;
	}
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	uvm_map_finish(&um);
	if (uobj != NULL)
		uobj->pgops->pgo_detach(uobj);
	return error;
}
