/*
 * Pins and snapshots: see <sys/lockstate.h>.
 *
 * Both are about one hold of one lock by one LWP, so everything is in that LWP's stack of
 * held locks and nothing is shared.  hl_full of a lock: its number among the LWP's holds, so
 * that a lock that was dropped and taken again is another hold; and pins.
 */
#include <stdio.h>

#include "lockdebug_int.h"

#include <sys/lockstate.h>

#define	PIN		(UINT64_C(1) << 56)	/* one pin */
#define	HOLD_MASK	(PIN - 1)

void
lockstate_locked(struct held_lock *hl, uint64_t waited)
{
	hl->hl_full = ++curlwp->l_holds & HOLD_MASK;
	lockstat_site_acquired(hl->hl_where, hl->hl_class);
	if (waited != 0)
		lockstat_site_waited(hl->hl_where, hl->hl_class, waited);
}

/* => a mistake, told once for each class and place */
static void
tell(const char *rule, uint32_t class, const char *func, const char *what)
{
	char fingerprint[128];

	snprintf(fingerprint, sizeof(fingerprint), "%s:%s:%s", rule, lockorder_class_name(class),
	    func);
	(void)lockorder_finding(rule, fingerprint, LOCKGRAPH_UNGRADED, lockorder_trace(NULL), "%s: %s",
	    lockorder_class_name(class), what);
}

/* => the current LWP's hold of the lock */
static struct held_lock *
hold_of(const void *lock, const char *what)
{
	struct held_lock *hl = held_find(&curlwp->l_held, lock);

	KASSERTMSG(hl != NULL, "%s of a lock that is not held", what);
	return hl;
}

/* --- pins --- */

void
lock_pin_(const void *lock)
{
	struct held_lock *hl = hold_of(lock, "lock_pin");

	KASSERT(hl->hl_full / PIN < UINT8_MAX);
	hl->hl_full += PIN;
}

void
lock_unpin_(const void *lock)
{
	struct held_lock *hl = held_find(&curlwp->l_held, lock);

	if (hl == NULL)
		return;				/* it was released, and that has been told */
	if (hl->hl_full < PIN)
		tell("lock-pinned", hl->hl_class, "unpin", "unpinned, and it is not pinned");
	else
		hl->hl_full -= PIN;
}

void
lockstate_unlocking(const void *lock)
{
	struct held_lock *hl = held_find(&curlwp->l_held, lock);

	if (hl == NULL || hl->hl_full < PIN)
		return;
	hl->hl_full &= HOLD_MASK;
	tell("lock-pinned", hl->hl_class, "exit", "released, though a caller has pinned it");
}

/* --- snapshots --- */

lockstate_t
lock_snapshot_(const void *lock, uint64_t version)
{
	const struct held_lock *hl = hold_of(lock, "lock_snapshot");

	return (lockstate_t){ .ls_lock = lock, .ls_hold = hl->hl_full & HOLD_MASK,
	    .ls_version = version };
}

void
lock_revalidated_(const void *lock, lockstate_t *ls, uint64_t version, const char *func)
{
	const struct held_lock *hl = hold_of(lock, "lock_revalidated");
	char what[160];

	if (ls->ls_lock == NULL)
		return;
	KASSERTMSG(ls->ls_lock == lock, "lock_revalidated: the snapshot is of another lock");
	if (version != ls->ls_version) {
		snprintf(what, sizeof(what),
		    "%s goes on with what it read at version %llu, and it is version %llu by now", func,
		    (unsigned long long)ls->ls_version, (unsigned long long)version);
		tell("lock-stale-version", hl->hl_class, func, what);
	}
	*ls = lock_snapshot_(lock, version);
}

void
lock_stable_(const void *lock, const lockstate_t *ls, const char *func)
{
	const struct held_lock *hl = hold_of(lock, "KASSERT_STABLE");
	char what[160];

	if (ls->ls_lock == NULL)
		return;
	KASSERTMSG(ls->ls_lock == lock, "KASSERT_STABLE: the snapshot is of another lock");
	if ((hl->hl_full & HOLD_MASK) == ls->ls_hold)
		return;
	snprintf(what, sizeof(what),
	    "%s uses what it read before the lock was released and taken again, and has not looked since",
	    func);
	tell("lock-stale-read", hl->hl_class, func, what);
}
