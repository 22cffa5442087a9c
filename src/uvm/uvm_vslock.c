/*
 * Wiring for I/O (uvm-spec 6.8): see uvm_vslock.h.
 *
 * The list of a map says what I/O is under way to it.  Three ask it: who makes a mapping
 * pageable (uvm_fault_wire.c), who enters one (uvmfault_enter), and who unmaps.
 *
 * A vslock wires page by page.  With the page's owner locked it maps it, raises its
 * wire_count and moves vl_done over it; who unwires does it with the owner locked too.  So
 * the two agree at every moment: another vslock that ends leaves the mapping wired if and
 * only if the page is.  An mlock under way says in the same manner how far it has come
 * (wire_next): its entries are counted before the first page is.  Who gives up goes from the
 * list first, and unwires then.
 *
 * Who unmaps holds the map for writing.  A vslock that comes to the list after he has
 * looked has no page yet, and its faults wait for him; then they find nothing.
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <sys/kmem.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vslock.h>

static size_t
vslock_size(const struct uvm_vslock *vl)
{
	return sizeof(*vl) + atop(vl->vl_end - vl->vl_start) * sizeof(vl->vl_frames[0]);
}

static struct uvm_vslock *
vslock_enter(struct vm_map *map, vaddr_t start, vaddr_t end, bool input)
{
	size_t size = sizeof(struct uvm_vslock) + atop(end - start) * sizeof(paddr_t);
	struct uvm_vslock *vl = kmem_zalloc(size, KM_SLEEP);

	vl->vl_map = map;
	vl->vl_start = vl->vl_done = start;
	vl->vl_end = end;
	vl->vl_input = input;
	vl->vl_owned = true;
	mutex_enter(&map->misc_lock);
	LIST_INSERT_HEAD(&map->vslocks, vl, vl_link);
	/* relaxed: pairs with none_under_way() */
	__atomic_store_n(&map->nvslocks, map->nvslocks + 1, __ATOMIC_RELAXED);
	mutex_exit(&map->misc_lock);
	return vl;
}

/* => map(R), the I/O still on the list: nobody has made a mapping pageable below it (B-16) */
static void
assert_wired(const struct uvm_vslock *vl)
{
	for (vaddr_t va = vl->vl_start; va < vl->vl_done; va += PAGE_SIZE) {
		const bool pageable = pmap_pageable(vl->vl_map->pmap, va);

		if (pageable) {
			violation_about(KS_map, vl->vl_map->id, vl->vl_map);
			violation_about(KS_va, 0, (const void *)va);
		}
		KASSERTMSG(!pageable,
		    "I-MAP-13: I/O to %#lx of map %u is under way, and the mapping is not wired (B-16, R31)",
		    (unsigned long)va, vl->vl_map->id);
	}
}

/* => what it has wired no longer is */
static void
vslock_leave(struct uvm_vslock *vl)
{
	struct vm_map *map = vl->vl_map;
	const struct lwp *left;

	vm_map_lock_read(map);
	if (UVMSTRESS_LOCKDEBUG)
		assert_wired(vl);
	mutex_enter(&map->misc_lock);
	KASSERT(vl->vl_owned);			/* or another vsunlock of the range takes it, too */
	LIST_REMOVE(vl, vl_link);
	__atomic_store_n(&map->nvslocks, map->nvslocks - 1, __ATOMIC_RELAXED);
	wakeup(&map->vslocks);
	left = sleepq_sleeper(&map->vslocks);
	KASSERTMSG_ABOUT(left == NULL, KS_lwp, left->l_id, left,
	    "I-SMP-8: I/O to map %u is over, and %s, who sleeps for its end, has not been woken", map->id, left->l_name);
	mutex_exit(&map->misc_lock);
	uvm_fault_unwire_vslock(vl);
	vm_map_unlock_read(map);
	kmem_free(vl, vslock_size(vl));
}

int
uvm_vslock_frames(struct vmspace *vm, vaddr_t va, vsize_t len, vm_prot_t access,
    struct uvm_vslock **vlp)
{
	struct vm_map *map = &vm->vm_map;
	struct uvm_vslock *vl;
	vaddr_t start, end;
	int error;

	KASSERT(vm_map_notlocked(map));
	if (__builtin_add_overflow(va, len, &end) || end > vm_map_max(map))
		return EFAULT;
	start = trunc_page(va);
	end = round_page(end);
	vl = vslock_enter(map, start, end, (access & VM_PROT_WRITE) != 0);
	/* When the last page is done, a vsunlock of the same range elsewhere may take it for its own. */
	for (va = start; va < end; va += PAGE_SIZE) {
		error = uvmfault_internal(map, va, access, true, false, vl);
		if (error != 0) {
			vslock_leave(vl);
			return error;
		}
	}
	UVMCNT(vslocks);
	*vlp = vl;
	return 0;
}

void
uvm_vsunlock_frames(struct uvm_vslock *vl)
{
	KASSERT(vl->vl_done == vl->vl_end);
	vslock_leave(vl);
}

int
uvm_vslock(struct vmspace *vm, vaddr_t va, vsize_t len, vm_prot_t access)
{
	struct uvm_vslock *vl;
	int error = uvm_vslock_frames(vm, va, len, access, &vl);

	if (error != 0)
		return error;
	mutex_enter(&vm->vm_map.misc_lock);
	vl->vl_owned = false;
	mutex_exit(&vm->vm_map.misc_lock);
	return 0;
}

void
uvm_vsunlock(struct vmspace *vm, vaddr_t va, vsize_t len)
{
	struct vm_map *map = &vm->vm_map;
	vaddr_t start = trunc_page(va), end = round_page(va + len);
	struct uvm_vslock *vl;

	mutex_enter(&map->misc_lock);
	LIST_FOREACH(vl, &map->vslocks, vl_link)
		if (vl->vl_start == start && vl->vl_end == end && !vl->vl_owned)
			break;
	if (vl != NULL)
		vl->vl_owned = true;
	mutex_exit(&map->misc_lock);
	KASSERTMSG(vl != NULL, "I-PG-16: vsunlock of %#lx-%#lx, to which no I/O is under way",
	    (unsigned long)start, (unsigned long)end);
	vslock_leave(vl);
}

/* --- who asks --- */

/* relaxed: an I/O that is not on the list yet has wired nothing; who asks has a lock that it needs */
static bool
none_under_way(struct vm_map *map)
{
	return __atomic_load_n(&map->nvslocks, __ATOMIC_RELAXED) == 0;
}

/* => misc_lock held */
static bool
io_under_way(struct vm_map *map, vaddr_t va)
{
	struct uvm_vslock *vl;

	LIST_FOREACH(vl, &map->vslocks, vl_link)
		if (va >= vl->vl_start && va < vl->vl_done)
			return true;
	return false;
}

bool
uvm_mapping_wired(struct vm_map *map, const struct vm_map_entry *entry, vaddr_t va)
{
	bool wired;

	KASSERT(vm_map_locked(map));
	if (!VM_MAPENT_ISWIRED(entry) && none_under_way(map))
		return false;
	if (entry->wired_count > 1)		/* one of them is complete */
		return true;
	mutex_enter(&map->misc_lock);
	wired = VM_MAPENT_ISWIRED(entry) && (va < map->wire_next || va >= map->wire_end);
	wired = wired || (!BUG(vslock_overlap) && io_under_way(map, va));
	mutex_exit(&map->misc_lock);
	kernhist_log(KE_mapping_asked, map->id, wired, va);
	return wired;
}

void
uvm_mapping_reached(struct uvm_faultinfo *ufi, paddr_t pa)
{
	struct uvm_vslock *vl = ufi->vslock;
	vaddr_t va = ufi->orig_rvaddr;

	if (vl == NULL && !ufi->mlock)		/* a wiring of the kernel's own */
		return;
	mutex_enter(&ufi->map->misc_lock);
	if (vl != NULL) {
		KASSERT(vl->vl_done == va);
		vl->vl_frames[atop(va - vl->vl_start)] = pa;
		vl->vl_done = va + PAGE_SIZE;
	} else {
		KASSERT(va >= ufi->map->wire_next && va < ufi->map->wire_end);
		ufi->map->wire_next = va + PAGE_SIZE;
	}
	mutex_exit(&ufi->map->misc_lock);
}

void
uvm_mapping_pending(struct vm_map *map, vaddr_t next, vaddr_t end)
{
	mutex_enter(&map->misc_lock);
	map->wire_next = next;
	map->wire_end = end;
	mutex_exit(&map->misc_lock);
}

/* => misc_lock held: is any I/O under way to a part of the range?  wired: with a page there already? */
static bool
overlapped(struct vm_map *map, vaddr_t start, vaddr_t end, bool wired)
{
	struct uvm_vslock *vl;

	LIST_FOREACH(vl, &map->vslocks, vl_link) {
		vaddr_t last = wired ? vl->vl_done : vl->vl_end;

		if (vl->vl_start < last && vl->vl_start < end && last > start)
			return true;
	}
	return false;
}

void
uvm_vslock_drain(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	for (;;) {
		vm_map_lock(map);
		if (none_under_way(map))
			return;
		mutex_enter(&map->misc_lock);
		if (!overlapped(map, start, end, false)) {
			mutex_exit(&map->misc_lock);
			return;
		}
		vm_map_unlock(map);
		UVMCNT(vslock_waits);
		(void)UVM_UNLOCK_AND_WAIT(&map->vslocks, &map->misc_lock, "vsdrain");
	}
}

static bool
any_vslock(struct vm_map *map, vaddr_t start, vaddr_t end, bool complete)
{
	bool any;

	if (none_under_way(map))
		return false;
	mutex_enter(&map->misc_lock);
	any = overlapped(map, start, end, complete);
	mutex_exit(&map->misc_lock);
	return any;
}

bool
uvm_vslock_under_way(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	return any_vslock(map, start, end, false);
}

bool
uvm_vslock_overlaps(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	return any_vslock(map, start, end, true);
}

void
uvm_vslock_foreach(struct vm_map *map, void (*fn)(const struct uvm_vslock *, void *), void *arg)
{
	struct uvm_vslock *vl;

	mutex_enter(&map->misc_lock);
	LIST_FOREACH(vl, &map->vslocks, vl_link)
		fn(vl, arg);
	mutex_exit(&map->misc_lock);
}
