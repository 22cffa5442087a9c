/*
 * Lock classes and what one LWP holds.
 *
 * Every lock belongs to a class by its role, never by its address; the class
 * gives it a name in reports and a rank in the declared order (lockrank.def).
 * With lock debugging on, each LWP keeps the stack of locks that it holds; an
 * acquisition is checked against it (recursion, rank, IPL, sleeping), a release
 * against the owner.  LOCKDEBUG's words are used where it has them.
 */
#ifndef SYS_LOCKDEBUG_H
#define SYS_LOCKDEBUG_H

#include <stdbool.h>
#include <stdint.h>

enum lock_class {
#define	LOCK_CLASS(name, rank, nest, reason)	LC_##name,
#include "../../locks/lockrank.def"
#undef LOCK_CLASS
	LC_COUNT
};
_Static_assert(LC_COUNT <= 64, "lwp::l_onlytry has one bit for each class");

struct lock_class_info {
	const char	*lc_name;
	int		 lc_rank;
	bool		 lc_nest;	/* a second lock of the class may be taken */
	const char	*lc_reason;
};
extern const struct lock_class_info lock_classes[LC_COUNT];

enum lock_how {
	LOCK_SPIN,			/* spin mutex */
	LOCK_ADAPTIVE,			/* adaptive mutex, rwlock writer */
	LOCK_READ,			/* rwlock reader */
};

/* One lock held by an LWP.  All fields: only that LWP. */
struct held_lock {
	const void	*hl_lock;
	void		*hl_where;	/* return address of the acquisition */
	uint32_t	 hl_id;		/* the lock's birth number */
	uint8_t		 hl_class;
	uint8_t		 hl_how;
	int16_t		 hl_rank;	/* of the class */
	uint64_t	 hl_since;	/* when, if this hold is timed; else 0 */
};

/* : report acquisitions against the declared order; set before boot. */
extern bool lockdebug_order;

/*
 * The checks, called by mutex(9) and rwlock(9) only.
 * => want: before blocking or spinning; panics on recursion, rank, IPL and
 *    sleeping mistakes, and if the LWP may only try locks of the class (l_onlytry).
 *    try: none of that but recursion, and no rank check.
 * => locked: after success.  unlocked: before the release.
 */
void	lockdebug_want(const void *lock, uint32_t id, enum lock_class, enum lock_how, bool try,
	    void *where);
void	lockdebug_locked(const void *lock, uint32_t id, enum lock_class, enum lock_how,
	    void *where);
void	lockdebug_unlocked(const void *lock, enum lock_how, void *where);
/* => how the current LWP holds the lock: -1 not at all, else enum lock_how. */
int	lockdebug_holds(const void *lock);
/* => panics if the current LWP holds any lock; what = "sleep", "return to user", "exit". */
void	lockdebug_barrier(const char *what);
/* => panics if a lock is held other than a vnode's: a page fault is to follow. */
void	lockdebug_fault_barrier(const char *what);
/*
 * => panics if a spin lock is held, in interrupt context, or above IPL_NONE; a
 *    violation if a lock is held that nobody may sleep with (uvm-spec 14.4).
 */
void	lockdebug_sleep_barrier(const char *what);
/* => panics if memory that is being freed contains a held lock. */
void	lockdebug_mem_check(const void *base, unsigned long size);

#endif /* SYS_LOCKDEBUG_H */
