/*
 * mremap: move, grow or shrink a mapping (uvm-spec 1.16).
 *
 * Everything happens in one section with the map locked for writing, so no thread
 * ever sees the range at both places or at neither.  A move passes the entries:
 * they keep amap and object and get another address, and their pages are found
 * again by faults.  What the mapping grows by is mapped like its last entry.
 *
 * A failure leaves everything as it was (B-9): room is found before anything is
 * taken apart, and nothing after that can fail.
 */
#include "uvm_map_i.h"

/* => map(W): [start,end) is mapped without a hole, submap or wiring */
static int
movable(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map_entry **last)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e))
		return EFAULT;
	for (vaddr_t va = start; va < end; e = e->next) {
		if (e == &map->header || e->start > va)
			return EFAULT;
		if (UVM_ET_ISSUBMAP(e) || VM_MAPENT_ISWIRED(e))
			return EINVAL;
		va = e->end;
		*last = e;
	}
	return 0;
}

/* => map(W): [va, va+size) is free: an entry that continues the one that ends there */
static void
grow(struct vm_map *map, struct vm_map_entry *last, vaddr_t va, vsize_t size,
    struct vm_map_entry *spare, struct vm_amap *amap)
{
	struct vm_map_entry *prev;
	uint32_t id = spare->id;

	*spare = *last;
	spare->id = id;
	spare->start = va;
	spare->end = va + size;
	if (last->object.uvm_obj != NULL) {
		spare->offset = last->offset + (voff_t)(last->end - last->start);
		if (last->object.uvm_obj->pgops->pgo_reference != NULL)
			last->object.uvm_obj->pgops->pgo_reference(last->object.uvm_obj);
	}
	spare->aref = (struct vm_aref){ 0, amap };
	spare->etype &= ~UVM_ET_NEEDSCOPY;
	if (UVM_ET_ISCOPYONWRITE(spare))
		spare->etype |= UVM_ET_NEEDSCOPY;
	(void)uvm_map_lookup_entry(map, va, &prev);
	uvm_map_entry_link(map, prev, spare);
}

/* => map(W): the entries of [from, from+size) change to another address, free until now */
static void
move(struct vm_map *map, vaddr_t from, vsize_t size, vaddr_t to)
{
	struct vm_map_entry *e = uvm_map_clip_range(map, from, from + size), *next, *prev;

	pmap_remove(map->pmap, from, from + size);
	pmap_update(map->pmap);
	for (; e != &map->header && e->start < from + size; e = next) {
		next = e->next;
		uvm_map_entry_unlink(map, e);
		e->end = e->end - from + to;
		e->start = e->start - from + to;
		(void)uvm_map_lookup_entry(map, e->start, &prev);
		uvm_map_entry_link(map, prev, e);
	}
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
	vaddr_t tail = old + oldsize;

	if (!fixed || *newva == old) {		/* where it is, if there is room behind */
		if (newsize <= oldsize || uvm_map_findspace(map, tail, newsize - oldsize, &tail, 0,
		    UVM_FLAG_FIXED)) {
			*newva = old;
			return 0;
		}
		if (fixed)
			return ENOMEM;
		return uvm_map_findspace(map, *newva, newsize, newva, 0, 0) ? 0 : ENOMEM;
	}
	if (overlap(old, oldsize, *newva, newsize))
		return EINVAL;
	if (*newva < vm_map_min(map) || *newva > vm_map_max(map) - newsize)
		return ENOMEM;
	uvm_unmap_remove(map, *newva, *newva + newsize, dead);
	return 0;
}

int
uvm_mremap(struct vm_map *map, vaddr_t old, vsize_t oldsize, vaddr_t *newva, vsize_t newsize,
    bool fixed)
{
	struct vm_map_entry *spare = uvm_mapent_alloc(map), *dead = NULL, *last = NULL;
	vsize_t keep = oldsize < newsize ? oldsize : newsize;
	struct vm_amap *amap = NULL;
	int error;

	vm_map_lock(map);
	error = movable(map, old, old + oldsize, &last);
	/* Shared anonymous memory grows by an amap of its own (B-14). */
	if (error == 0 && newsize > oldsize && last->object.uvm_obj == NULL &&
	    !UVM_ET_ISCOPYONWRITE(last)) {
		amap = amap_alloc(newsize - oldsize, 0, false);
		if (amap == NULL)
			error = ENOMEM;
	}
	if (error == 0)
		error = choose(map, old, oldsize, newva, newsize, fixed, &dead);
	if (error == 0) {
		if (newsize < oldsize)
			uvm_unmap_remove(map, old + newsize, old + oldsize, &dead);
		if (*newva != old)
			move(map, old, keep, *newva);
		if (newsize > oldsize) {
			(void)uvm_map_lookup_entry(map, *newva + oldsize - 1, &last);
			grow(map, last, *newva + oldsize, newsize - oldsize, spare, amap);
			spare = NULL;
			amap = NULL;
		}
	}
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	if (amap != NULL)
		amap_unref(&(struct vm_aref){ 0, amap }, atop(newsize - oldsize), true);
	if (spare != NULL)
		uvm_mapent_free(spare);
	return error;
}
