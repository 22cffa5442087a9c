/*
 * Maps: establishing mappings.
 *
 * uvm_map() tries to grow a neighbour before it makes an entry (uvm-spec 1.9):
 * backward, the entry below takes the new range; forward, the entry above does; both,
 * the two become one.
 * A neighbour's amap may be grown only while nobody else refers to it.
 *
 * Whatever can fail or sleep for long happens before the map is locked, or fails
 * before anything has changed: a call that fails leaves the map as it was
 * (I-SYS-1).  A fixed mapping that replaces others takes them away in the same
 * lock section (B-20).
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vslock.h>

#include <host/race.h>

#include "uvm_map_i.h"

#define	VAWAIT_NS	1000000000UL	/* how long WAITVA sleeps at most between two tries */
#define	NOMEM_NS	10000000UL	/* an unmap that may not fail, and finds no memory */

uint32_t uvm_map_lastid;		/* @ births, relaxed: only uniqueness counts */

void
uvm_map_setup(struct vm_map *map, struct pmap *pmap, vaddr_t min, vaddr_t max, int flags)
{
	KASSERT(min < max && (min & PAGE_MASK) == 0 && (max & PAGE_MASK) == 0);
	*map = (struct vm_map){ .pmap = pmap, .flags = flags, .ref_count = 1,
		.limit = URLIM_INFINITY, .allowed = URLIM_INFINITY };
	map->id = __atomic_add_fetch(&uvm_map_lastid, 1, __ATOMIC_RELAXED);
	rw_init(&map->lock, pmap == pmap_kernel() ? LC_kmap : LC_map);
	mutex_init(&map->mutex, MUTEX_SPIN, IPL_VM, LC_kmem_map);
	mutex_init(&map->misc_lock, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
	cv_init(&map->cv, "vmmapbsy");
	RB_INIT(&map->rb_tree);
	map->header.end = min;
	map->header.start = max;
	map->header.gap = max - min;
	map->header.next = map->header.prev = &map->header;
	for (int i = 0; i < VM_MAP_HINTS; i++) {
		race_atomic(&map->hints[i].entry, sizeof(map->hints[i].entry));
		map->hints[i].entry = &map->header;
	}
}

void
uvm_map_teardown(struct vm_map *map)
{
	KASSERTMSG(map->nentries == 0, "map %u dies with %d entries", map->id, map->nentries);
	KASSERT(map->busy == NULL);
	KASSERT(map->nvslocks == 0);
	uvm_mapent_unready(map);
	KASSERTMSG(map->nparked == 0, "I-MAP-11: map %u dies with %d parked entries", map->id,
	    map->nparked);
	cv_destroy(&map->cv);
	mutex_destroy(&map->misc_lock);
	mutex_destroy(&map->mutex);
	rw_destroy(&map->lock);
}

/* --- uvm_map --- */

/* What a new mapping shall be like: an entry that is not in the map yet. */
static void
wanted_entry(struct vm_map_entry *want, struct vm_map *map, vaddr_t start, vsize_t size,
    struct uvm_object *uobj, voff_t off, unsigned flags)
{
	*want = (struct vm_map_entry){
		.start = start,
		.end = start + size,
		.object.uvm_obj = uobj,
		.offset = uobj != NULL ? off : 0,
		.etype = uobj != NULL ? UVM_ET_OBJ : 0,
		.protection = UVM_PROTECTION(flags),
		.max_protection = UVM_MAXPROTECTION(flags),
		.inheritance = UVM_INHERIT(flags),
		.advice = UVM_ADVICE(flags),
		.flags = (map->pmap == pmap_kernel() ? UVM_MAP_KERNEL : 0) |
		    ((flags & UVM_FLAG_QUANTUM) != 0 ? UVM_MAP_QUANTUM : 0) |
		    ((flags & UVM_FLAG_NOMERGE) != 0 ? UVM_MAP_NOMERGE : 0),
	};
	KASSERT((flags & UVM_FLAG_QUANTUM) == 0 || (map->quantum != 0 && size == map->quantum));
	if ((flags & UVM_FLAG_COPYONW) != 0)
		want->etype |= UVM_ET_COPYONWRITE | UVM_ET_NEEDSCOPY;
}

/* => are they alike but for NEEDSCOPY, which the older one may have lost? */
static bool
alike(const struct vm_map_entry *low, const struct vm_map_entry *high, int etype)
{
	struct vm_map_entry a = *low, b = *high;

	a.etype = (a.etype & ~UVM_ET_NEEDSCOPY) | (etype & UVM_ET_NEEDSCOPY);
	b.etype = (b.etype & ~UVM_ET_NEEDSCOPY) | (etype & UVM_ET_NEEDSCOPY);
	return uvm_mapent_alike(&a, &b);
}

/* => the entry's amap, if it has one, was grown by size */
static bool
grow_amap(struct vm_map_entry *e, vsize_t size, int direction)
{
	if (e->aref.ar_amap == NULL)
		return true;
	if (amap_refs(e->aref.ar_amap) != 1)
		return false;
	return amap_extend(e, size, direction) == 0;
}

/* => map(W): the entry below takes the new range */
static bool
merge_backward(struct vm_map *map, struct vm_map_entry *prev, const struct vm_map_entry *want)
{
	vsize_t size = want->end - want->start;

	if (prev == &map->header || !alike(prev, want, want->etype) ||
	    !grow_amap(prev, size, AMAP_EXTEND_FORWARDS))
		return false;
	prev->end += size;
	map->size += size;
	uvm_map_entry_moved(map, prev);
	return true;
}

/* => map(W): the entry above takes the new range */
static bool
merge_forward(struct vm_map *map, struct vm_map_entry *next, const struct vm_map_entry *want)
{
	vsize_t size = want->end - want->start;

	if (next == &map->header || !alike(want, next, want->etype) ||
	    !grow_amap(next, size, AMAP_EXTEND_BACKWARDS))
		return false;
	next->start -= size;
	if (next->object.uvm_obj != NULL)
		next->offset -= (voff_t)size;
	map->size += size;
	uvm_map_entry_moved(map, next);
	return true;
}

/*
 * => map(W): low, which has just been grown, now touches its successor: they become one
 *    if at most one of them has an amap, and that can be grown over the other.  The
 *    one that goes is chained to dead.
 */
static void
merge_both(struct vm_map *map, struct vm_map_entry *low, struct vm_map_entry **dead)
{
	struct vm_map_entry *high = low->next;

	if (high == &map->header || !alike(low, high, low->etype))
		return;
	if (low->aref.ar_amap == NULL && high->aref.ar_amap == NULL) {
		(void)uvm_mapent_trymerge(map, low, dead);
	} else if (high->aref.ar_amap == NULL) {
		if (grow_amap(low, high->end - high->start, AMAP_EXTEND_FORWARDS))
			uvm_mapent_absorb(map, low, high, dead);
	} else if (low->aref.ar_amap == NULL) {
		if (grow_amap(high, low->end - low->start, AMAP_EXTEND_BACKWARDS))
			uvm_mapent_absorb(map, high, low, dead);
	}
}

/* => map(W): the range is free.  Merged or linked; what is not used stays in um. */
/* In kernel maps only quanta merge: others would take entries on credit (R42). */
static bool
may_merge(const struct vm_map_entry *want)
{
	if ((want->flags & UVM_MAP_NOMERGE) != 0)
		return false;
	return (want->flags & UVM_MAP_KERNEL) == 0 || (want->flags & UVM_MAP_QUANTUM) != 0;
}

/* => map(W): a quantum has merged, perhaps on both sides: every entry spared is parked (R41) */
static void
park_spares(struct vm_map *map, struct uvm_mapping *um)
{
	struct vm_map_entry *e;

	while ((e = um->um_dead) != NULL) {
		um->um_dead = e->next;
		uvm_mapent_park(map, e);
	}
	if (BUG(merge_frees_spare))
		return;
	uvm_mapent_park(map, um->um_spare);
	um->um_spare = NULL;
}

static void
enter_range(struct vm_map *map, struct uvm_mapping *um)
{
	struct vm_map_entry *want = &um->um_want, *new, *prev;
	uint32_t id;

	if (uvm_map_lookup_entry(map, want->start, &prev))
		panic("uvm_map: %#lx is not free", (unsigned long)want->start);
	if (um->um_amap == NULL && may_merge(want)) {
		bool merged = merge_backward(map, prev, want);

		if (merged)
			merge_both(map, prev, &um->um_dead);
		else
			merged = merge_forward(map, prev->next, want);
		if (merged) {
			UVMCNT(mapmerges);
			um->um_surplus = want->object.uvm_obj;
			if ((want->flags & UVM_MAP_QUANTUM) != 0)
				park_spares(map, um);
			return;
		}
	}
	new = um->um_spare;
	um->um_spare = NULL;
	id = new->id;
	*new = *want;
	new->id = id;
	new->aref.ar_amap = um->um_amap;
	um->um_amap = NULL;
	uvm_map_entry_link(map, prev, new);
}

/*
 * The halves of uvm_map(), for callers that have to be atomic with checks of their
 * own.  prepare allocates all that entering will need; enter never allocates but by
 * merging, where a failure means that there is no merge.
 */
int
uvm_map_prepare(struct vm_map *map, struct uvm_mapping *um, vsize_t size,
    struct uvm_object *uobj, voff_t off, unsigned flags)
{
	KASSERT(size != 0 && (size & PAGE_MASK) == 0);
	KASSERTMSG(!vm_map_intrsafe(map) || (flags & UVM_FLAG_NOWAIT) != 0,
	    "I-KM-3: map %u is interrupt-safe, and who maps there would wait for memory", map->id);
	*um = (struct uvm_mapping){ .um_flags = flags };
	if ((UVM_PROTECTION(flags) & ~UVM_MAXPROTECTION(flags)) != 0)
		return EACCES;
	wanted_entry(&um->um_want, map, 0, size, uobj, off, flags);
	if ((flags & UVM_FLAG_OVERLAY) != 0) {
		um->um_want.etype &= ~UVM_ET_NEEDSCOPY;
		um->um_amap = amap_alloc(size, (flags & UVM_FLAG_AMAPPAD) != 0 ?
		    UVM_AMAP_CHUNK << PAGE_SHIFT : 0, (flags & UVM_FLAG_NOWAIT) == 0);
		if (um->um_amap == NULL)
			return ENOMEM;
	}
	/*
	 * Who maps does not wait for memory that nobody can free: he may be the one who has it
	 * all, and must come to an end (R40).
	 */
	while ((um->um_spare = uvm_mapent_tryalloc(map)) == NULL) {
		if ((flags & UVM_FLAG_NOWAIT) != 0 || !uvm_reclaimable())
			return ENOMEM;
		uvm_wait("mapent");
	}
	return 0;
}

int
uvm_map_enter(struct vm_map *map, struct uvm_mapping *um, vaddr_t *startp, vsize_t align)
{
	vsize_t size = um->um_want.end - um->um_want.start;
	vaddr_t start = *startp;

	KASSERT(vm_map_locked_write(map));
	if (size > vm_map_max(map) - vm_map_min(map))
		return ENOMEM;
	if ((um->um_flags & UVM_FLAG_UNMAP) != 0) {
		KASSERT((um->um_flags & UVM_FLAG_FIXED) != 0);
		/* Nothing is taken away unless the new mapping is going to be there (I-SYS-1). */
		if (start < vm_map_min(map) || start > vm_map_max(map) - size ||
		    !uvm_map_may_grow(map, size, start, start + size))
			return ENOMEM;
		uvm_unmap_remove(map, start, start + size, &um->um_dead);
	} else if (!uvm_map_may_grow(map, size, 0, 0)) {
		return ENOMEM;
	}
	if (!uvm_map_findspace(map, start, size, &start, align, um->um_flags))
		return ENOMEM;
	/* R39: what is mapped there later must not need page tables */
	if (map->pmap == pmap_kernel() && pmap_growkernel(start + size) < start + size)
		return ENOMEM;
	um->um_want.start = start;
	um->um_want.end = start + size;
	KASSERT((um->um_want.flags & UVM_MAP_QUANTUM) == 0 || start % map->quantum == 0);
	if (um->um_want.offset == UVM_UNKNOWN_OFFSET)
		um->um_want.offset = um->um_want.object.uvm_obj != NULL ?
		    (voff_t)(start - VM_MIN_KERNEL_ADDRESS) : 0;
	enter_range(map, um);
	KASSERTMSG_ABOUT(map->size <= map->allowed, KS_map, map->id, map,
	    "I-STAT-12: map %u: %lu bytes are mapped, RLIMIT_AS is %lu", map->id,
	    (unsigned long)map->size, (unsigned long)map->allowed);
	KDASSERT(map->quantum == 0 || uvm_mapent_parked_ok(map));	/* I-MAP-11 */
	*startp = start;
	return 0;
}

void
uvm_map_finish(struct uvm_mapping *um)
{
	uvm_unmap_detach(um->um_dead);
	/* the merged entry has a reference already */
	if (um->um_surplus != NULL && um->um_surplus->pgops->pgo_detach != NULL)
		um->um_surplus->pgops->pgo_detach(um->um_surplus);
	if (um->um_amap != NULL)
		amap_unref(&(struct vm_aref){ 0, um->um_amap },
		    atop(um->um_want.end - um->um_want.start), true);
	if (um->um_spare != NULL)
		uvm_mapent_free(um->um_spare);
}

/* => 0: map(W); replaced: and no I/O is under way to what is replaced; or EAGAIN, ENOMEM */
static int
lock_for(struct vm_map *map, vaddr_t start, vsize_t size, unsigned flags)
{
	if ((flags & UVM_FLAG_TRYLOCK) != 0)
		return vm_map_lock_try(map) ? 0 : EAGAIN;
	if ((flags & UVM_FLAG_UNMAP) != 0)
		return uvm_map_lock_split(map, start, start + size, true);
	vm_map_lock(map);
	return 0;
}

/*
 * Wait for somebody to unmap (T-9).
 * => map(W) in, unlocked out.  Who unmaps has the map locked, so he either has been, or
 *    finds wantva set.  The sleep is timed all the same: room may be more than one unmaps.
 */
static void
wait_for_va(struct vm_map *map)
{
	KASSERT((map->flags & VM_MAP_INTRSAFE) == 0);
	UVMCNT(map_vawaits);
	mutex_enter(&map->misc_lock);
	/* relaxed: pairs with uvm_map_wakeva(), under the map lock */
	__atomic_store_n(&map->wantva, true, __ATOMIC_RELAXED);
	map->wantva_size = map->size;
	vm_map_unlock(map);
	(void)cv_timedwait(&map->cv, &map->misc_lock, VAWAIT_NS);
	mutex_exit(&map->misc_lock);
}

int
uvm_map(struct vm_map *map, vaddr_t *startp, vsize_t size, struct uvm_object *uobj, voff_t off,
    vsize_t align, unsigned flags)
{
	bool wait = (flags & UVM_FLAG_WAITVA) != 0 &&
	    size <= vm_map_max(map) - vm_map_min(map);
	struct uvm_mapping um;
	int error;

	KASSERT((flags & UVM_FLAG_WAITVA) == 0 ||
	    (flags & (UVM_FLAG_NOWAIT | UVM_FLAG_FIXED)) == 0);
	error = uvm_map_prepare(map, &um, size, uobj, off, flags);
	if (error == 0)
		error = lock_for(map, *startp, size, flags);
	if (error == 0) {
		while ((error = uvm_map_enter(map, &um, startp, align)) == ENOMEM && wait) {
			wait_for_va(map);
			vm_map_lock(map);
		}
		vm_map_unlock(map);
	}
	uvm_map_finish(&um);
	return error;
}

/* --- unmapping --- */

void
uvm_map_wakeva(struct vm_map *map)
{
	/* relaxed: it is set with the map locked */
	if (!__atomic_load_n(&map->wantva, __ATOMIC_RELAXED))
		return;
	mutex_enter(&map->misc_lock);
	__atomic_store_n(&map->wantva, false, __ATOMIC_RELAXED);
	cv_broadcast(&map->cv);
	mutex_exit(&map->misc_lock);
}

void
uvm_unmap_remove(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map_entry **dead)
{
	bool intrsafe = (map->flags & VM_MAP_INTRSAFE) != 0;	/* then they went before */
	struct vm_map_entry *e, *next;

	KASSERT(vm_map_locked_write(map));
	KASSERT(start < end);
	KASSERTMSG(!uvm_vslock_overlaps(map, start, end),
	    "I-PG-16: unmapping %#lx-%#lx while I/O is under way to it", (unsigned long)start,
	    (unsigned long)end);
	if (!intrsafe)
		lock_pin(&map->lock);		/* else who goes through the list is lost */
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end; e = next) {
		next = e->next;
		if (VM_MAPENT_ISWIRED(e))
			uvm_map_entry_unwire(map, e);
		/* Mappings go before the references that keep their pages alive. */
		if (!intrsafe)
			pmap_remove(map->pmap, e->start, e->end);
		if ((e->flags & UVM_MAP_QUANTUM) != 0)
			uvm_mapent_unpark(map, e, dead);
		else
			KASSERTMSG((e->flags & UVM_MAP_KERNEL) == 0 || map->reserved != NULL,
			    "R42: map %u: [%#lx,%#lx) is freed as quanta, and is none", map->id,
			    (unsigned long)e->start, (unsigned long)e->end);
		uvm_map_entry_unlink(map, e);
		e->next = *dead;
		*dead = e;
	}
	if (!intrsafe)
		pmap_update(map->pmap);	/* I-SYS-3: no CPU gets at it when the lock is dropped */
	KDASSERT(map->quantum == 0 || uvm_mapent_parked_ok(map));	/* I-MAP-11 */
	if (!intrsafe)
		lock_unpin(&map->lock);
	uvm_map_wakeva(map);
}

void
uvm_unmap_detach(struct vm_map_entry *dead)
{
	while (dead != NULL) {
		struct vm_map_entry *next = dead->next;
		struct uvm_object *uobj = dead->object.uvm_obj;

		if (dead->aref.ar_amap != NULL)
			amap_unref(&dead->aref, uvm_entry_npages(dead),
			    (dead->flags & UVM_MAP_QREF) != 0);
		if (UVM_ET_ISOBJ(dead) && uobj->pgops->pgo_detach != NULL)
			uobj->pgops->pgo_detach(uobj);
		uvm_mapent_free(dead);
		dead = next;
	}
}

/*
 * => kernel map, unlocked; umr: what it may split with, NULL: it takes whole quanta
 */
static void
unmap_kernel(struct vm_map *map, vaddr_t start, vaddr_t end, struct uvm_mapent_reservation *umr)
{
	struct vm_map_entry *dead = NULL;

	KASSERT(start >= vm_map_min(map) && end <= vm_map_max(map));
	vm_map_lock(map);
	map->reserved = umr;
	if (start < end)
		uvm_unmap_remove(map, start, end, &dead);
	map->reserved = NULL;
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
}

void
uvm_unmap_quantum(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	KASSERT(map->quantum != 0 && (start | end) % map->quantum == 0);
	unmap_kernel(map, start, end, NULL);
}

int
uvm_munmap(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *dead = NULL;
	int error;

	if (start < vm_map_min(map))
		start = vm_map_min(map);
	if (end > vm_map_max(map))
		end = vm_map_max(map);
	if (start >= end)
		return 0;
	error = uvm_map_lock_split(map, start, end, true);
	if (error != 0)
		return error;
	uvm_unmap_remove(map, start, end, &dead);
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	return 0;
}

void
uvm_unmap(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	if (map->pmap == pmap_kernel()) {
		struct uvm_mapent_reservation umr;

		uvm_mapent_reserve(map, &umr);
		unmap_kernel(map, start, end, &umr);
		uvm_mapent_unreserve(&umr);
		return;
	}
	while (uvm_munmap(map, start, end) != 0)
		kpause("unmapmem", NOMEM_NS);
}

int
uvm_map_submap(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map *sub)
{
	struct vm_map_entry *e;
	int error = 0;

	KASSERT(map == kernel_map);
	vm_map_lock(map);
	if (!uvm_map_lookup_entry(map, start, &e) || e->start != start || e->end != end ||
	    e->object.uvm_obj != NULL || e->aref.ar_amap != NULL) {
		error = EINVAL;
	} else {
		e->etype = UVM_ET_SUBMAP;
		e->object.sub_map = sub;
		e->offset = 0;
	}
	vm_map_unlock(map);
	return error;
}
