/*
 * What a holder counts on, for audit=full: that a lock is not dropped behind its back, and
 * that what it read under a lock is not used after the lock was dropped.
 *
 * Pins.  A caller that passes a held lock down, and cannot bear that it is released and
 * taken again meanwhile, pins it.  Release by anybody before the pin is out is a violation
 * (lockdep's lock_pin_lock()).  An upgrade or a downgrade is no release.
 *
 * Snapshots.  lock_snapshot() says: from here on I use what I have read under this hold.
 * KASSERT_STABLE() where it is used says: the hold has not been interrupted, or I have
 * looked again.  After an interruption lock_revalidated() takes note that the caller has
 * looked; with the object's own version number, if it has one (a map's timestamp):
 *
 *	ls = lock_snapshot(&map->lock, map->timestamp);
 *	unlock ... lock
 *	if (map->timestamp != mapv) start over;
 *	lock_revalidated(&map->lock, &ls, map->timestamp);
 *	KASSERT_STABLE(&map->lock, &ls);
 *
 * Two mistakes are seen: a use without a look, by one LWP alone and whether or not anybody
 * came in between; and going on though the version number has changed.
 *
 * Off: no code but one predictable branch each, no snapshot is taken.
 */
#ifndef SYS_LOCKSTATE_H
#define SYS_LOCKSTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/lockevent.h>

/* A hold of one lock, remembered.  !: only the LWP that took it, and all of it by value. */
typedef struct lockstate {
	const void	*ls_lock;	/* ! NULL: taken with the audit off */
	uint64_t	 ls_hold;	/* ! which hold of this LWP's */
	uint64_t	 ls_version;	/* ! the object's own number */
} lockstate_t;

void	lock_pin_(const void *lock);
void	lock_unpin_(const void *lock);
lockstate_t lock_snapshot_(const void *lock, uint64_t version);
void	lock_revalidated_(const void *lock, lockstate_t *, uint64_t version, const char *func);
void	lock_stable_(const void *lock, const lockstate_t *, const char *func);

/* => held by the current LWP, mutex or rwlock; pins count */
#define	lock_pin(lock)		LOCKEVENT_(lock_pin_(lock))
#define	lock_unpin(lock)	LOCKEVENT_(lock_unpin_(lock))

/* => held by the current LWP; version: of the object that the lock guards, or 0 */
static inline lockstate_t
lock_snapshot(const void *lock, uint64_t version)
{
	if (__builtin_expect(lockaudit_full, 0))
		return lock_snapshot_(lock, version);
	return (lockstate_t){ 0 };
}

/* => likewise into *ls, which nobody reads but KASSERT_STABLE() and lock_revalidated(): else nothing is written */
#define	lock_remember(ls, lock, version)					\
	LOCKEVENT_(*(ls) = lock_snapshot_(lock, version))

/* => held again, and the caller has looked: the version is that of the snapshot; or 0, both times */
#define	lock_revalidated(lock, ls, version)					\
	LOCKEVENT_(lock_revalidated_(lock, ls, version, __func__))
/* => held; what was read under the snapshot is about to be used */
#define	KASSERT_STABLE(lock, ls)						\
	LOCKEVENT_(lock_stable_(lock, ls, __func__))

#endif /* SYS_LOCKSTATE_H */
