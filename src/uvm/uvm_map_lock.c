/*
 * The map lock protocol (uvm-spec 1.6).
 *
 * A map's lock is a sleepable reader/writer lock.  Wiring needs the entries to
 * stand still while it faults pages in, and faults need the lock for reading; so
 * the wirer marks the map busy and drops the lock.  Writers wait until the map
 * is unbusied; readers, the faults among them, go on.
 *
 * Interrupt-safe maps use a spin mutex instead; a fault never takes it (R33).
 *
 * timestamp: bumped at each acquisition for writing, so whoever had the map
 * unlocked can tell whether anybody may have changed it.
 */
#include <sys/kernhist.h>
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

static struct lwp *
busy_by(const struct vm_map *map)
{
	/* relaxed: set under the map lock, cleared under misc_lock; waiters look again there */
	return __atomic_load_n(&map->busy, __ATOMIC_RELAXED);
}

/* => misc_lock not held, map lock not held: wait until the map is not busy */
static void
wait_unbusy(struct vm_map *map)
{
	mutex_enter(&map->misc_lock);
	while (busy_by(map) != NULL) {
		lockevent_next_of(LE_map_busy, map->id);
		cv_wait(&map->cv, &map->misc_lock);
	}
	mutex_exit(&map->misc_lock);
}

/* => map(W), just now */
static void
locked(struct vm_map *map)
{
	map->timestamp++;
	kernhist_log(KE_map_lock, map->id, map->timestamp, 0);
}

void
vm_map_lock(struct vm_map *map)
{
	if (vm_map_intrsafe(map)) {
		mutex_enter(&map->mutex);
		locked(map);
		return;
	}
	for (;;) {
		struct lwp *busy;

		rw_enter(&map->lock, RW_WRITER);
		busy = busy_by(map);
		if (busy == NULL || busy == curlwp)
			break;
		rw_exit(&map->lock);
		wait_unbusy(map);
	}
	locked(map);
}

bool
vm_map_lock_try(struct vm_map *map)
{
	struct lwp *busy;

	if (vm_map_intrsafe(map)) {
		if (!mutex_tryenter(&map->mutex))
			return false;
	} else {
		if (!rw_tryenter(&map->lock, RW_WRITER))
			return false;
		busy = busy_by(map);
		if (busy != NULL && busy != curlwp) {
			rw_exit(&map->lock);
			return false;
		}
	}
	locked(map);
	return true;
}

/* => I-SYS-3: what the LWP has taken from the map's mappings is known to every CPU before others may see the map */
static inline void
assert_told(const struct vm_map *map)
{
	KASSERTMSG(!pmap_deferred(map->pmap),
	    "I-SYS-3: map %u is unlocked, and CPUs have not been told what it no longer permits (S5, T-6)",
	    map->id);
}

/* => map(W), about to go: who sleeps for addresses has been woken if some have become free meanwhile (T-9) */
static inline void
assert_woken(struct vm_map *map)
{
	/* relaxed: it is set and cleared with the map locked */
	if (__builtin_expect(!__atomic_load_n(&map->wantva, __ATOMIC_RELAXED), 1))
		return;
	KASSERTMSG_ABOUT(map->size >= map->wantva_size, KS_map, map->id, map,
	    "I-SMP-8: map %u is unlocked with %lu bytes less in it, and who sleeps for addresses has not been woken",
	    map->id, (unsigned long)(map->wantva_size - map->size));
	map->wantva_size = map->size;
}

void
vm_map_unlock(struct vm_map *map)
{
	kernhist_log(KE_map_unlock, map->id, map->timestamp, 0);
	if (vm_map_intrsafe(map)) {
		mutex_exit(&map->mutex);
		return;
	}
	KASSERT(rw_write_held(&map->lock));
	assert_told(map);
	assert_woken(map);
	rw_exit(&map->lock);
}

void
vm_map_lock_read(struct vm_map *map)
{
	KASSERTMSG(!vm_map_intrsafe(map), "I-FLT-9: map %u is interrupt-safe, and is read-locked", map->id);
	rw_enter(&map->lock, RW_READER);
}

bool
vm_map_lock_read_try(struct vm_map *map)
{
	KASSERT(!vm_map_intrsafe(map));
	return rw_tryenter(&map->lock, RW_READER);
}

void
vm_map_unlock_read(struct vm_map *map)
{
	KASSERT(!vm_map_intrsafe(map));
	KASSERT(rw_read_held(&map->lock));
	assert_told(map);
	rw_exit(&map->lock);
}

void
vm_map_busy(struct vm_map *map)
{
	KASSERT(rw_lock_held(&map->lock));
	KASSERT(busy_by(map) == NULL);
	__atomic_store_n(&map->busy, curlwp, __ATOMIC_RELAXED);
	lockevent_begin_of(LE_map_busy, map->id);
}

void
vm_map_unbusy(struct vm_map *map)
{
	const struct lwp *left;

	KASSERT(busy_by(map) == curlwp);
	lockevent_end_of(LE_map_busy, map->id);
	mutex_enter(&map->misc_lock);
	KASSERTMSG(map->wire_end == 0, "I-MAP-13: map %u is not busy any more, and [%#lx,%#lx) is still to be wired",
	    map->id, (unsigned long)map->wire_next, (unsigned long)map->wire_end);
	__atomic_store_n(&map->busy, NULL, __ATOMIC_RELAXED);
	cv_broadcast(&map->cv);
	left = cv_sleeper(&map->cv);
	KASSERTMSG_ABOUT(left == NULL, KS_lwp, left->l_id, left,
	    "I-SMP-8: map %u is not busy any more, and %s, who sleeps for that, has not been woken", map->id, left->l_name);
	mutex_exit(&map->misc_lock);
}

void
vm_map_downgrade(struct vm_map *map)
{
	kernhist_log(KE_map_unlock, map->id, map->timestamp, 0);
	rw_downgrade(&map->lock);
}

/* A busy map is not upgraded by a stranger: he would be a writer. */
bool
vm_map_upgrade_try(struct vm_map *map)
{
	struct lwp *busy;

	if (!rw_tryupgrade(&map->lock))
		return false;
	busy = busy_by(map);
	if (busy != NULL && busy != curlwp) {
		rw_downgrade(&map->lock);
		return false;
	}
	locked(map);
	return true;
}

int
uvm_map_lock_split(struct vm_map *map, vaddr_t start, vaddr_t end, bool drain)
{
	const vaddr_t at[] = { start, end };

	for (;;) {
		if (drain)
			uvm_vslock_drain(map, start, end);
		else
			vm_map_lock(map);
		if (uvm_mapent_ready(map, at, 2))
			return 0;
		vm_map_unlock(map);
		UVMCNT(map_splitwaits);
		if (!uvm_reclaimable())
			return ENOMEM;
		uvm_wait("mapsplit");
	}
}

bool
vm_map_locked_write(struct vm_map *map)
{
	return vm_map_intrsafe(map) ? mutex_owned(&map->mutex) : rw_write_held(&map->lock);
}

bool
vm_map_notlocked(struct vm_map *map)
{
	return LOCKDEBUG_ON() ? !vm_map_locked(map) : !vm_map_locked_write(map);
}

void
vm_map_assert_none(const char *what)
{
	const struct held_stack *hs = &curlwp->l_held;

	for (int i = 0; i < hs->hs_n; i++)
		KASSERTMSG(hs->hs_v[i].hl_class != LC_map && hs->hs_v[i].hl_class != LC_kmap,
		    "I-FLT-6: %s with map %u locked", what, hs->hs_v[i].hl_id);
}
