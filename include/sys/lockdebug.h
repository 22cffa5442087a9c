/*
 * Lock classes, and what one LWP holds.
 *
 * Every lock belongs to a class by its role, never by its address; the class
 * gives it a name in reports and a rank in the declared order (lockrank.def).
 * With lock debugging on, each LWP keeps the stack of locks that it holds; an
 * acquisition is checked against it (recursion, order, IPL, sleeping), a release
 * against the owner.  LOCKDEBUG's words are used where it has them.
 *
 * Order is the lock-order engine's business (lockorder.h): here is what it is told.
 */
#ifndef SYS_LOCKDEBUG_H
#define SYS_LOCKDEBUG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/lockorder.h>
#include <uvmstress_config.h>

enum lock_class {
#define	LOCK_CLASS(name, rank, nest, ipl, reason)	LC_##name,
#include "../../locks/lockrank.def"
#undef LOCK_CLASS
	LC_COUNT
};
#define	LC_MAX	80		/* LC_COUNT.. are made at run time: lockdebug_class() */
_Static_assert(LC_COUNT <= 64, "lwp::l_onlytry has one bit for each class");

#define	LC_IPL_ANY	(-1)
struct lock_class_info {
	const char	*lc_name;
	int		 lc_rank;	/* 0: undeclared */
	enum lockorder_nest lc_nest;	/* how two locks of the class nest */
	int		 lc_ipl;	/* of its spin locks; IPL_NONE: none; LC_IPL_ANY */
	const char	*lc_reason;
};
/* : but for rows that lockdebug_class() adds */
extern struct lock_class_info lock_classes[LC_MAX];

enum lock_how {
	LOCK_SPIN,			/* spin mutex */
	LOCK_ADAPTIVE,			/* adaptive mutex, rwlock writer */
	LOCK_READ,			/* rwlock reader */
};

/*
 * : set before boot: watch all locks (audit=order and full).  Off: nothing is done or known,
 * and whether an LWP holds a lock for reading is answered by whether anybody does.
 */
extern bool lockdebug_on;
#define	LOCKDEBUG_ON()	(UVMSTRESS_LOCKDEBUG && __builtin_expect(lockdebug_on, 1))

/* : set before boot, ends at a row without a fingerprint; NULL: only those of waivers.def */
struct lock_waiver {
	const char	*lw_print, *lw_reason;
	const char	*lw_where;	/* for complaints: "file:line" */
};
extern const struct lock_waiver *lockdebug_waivers;

/* => a class beyond lockrank.def, until the next boot: for tests.  rank 0: no declared order */
enum lock_class lockdebug_class(const char *name, int rank, enum lockorder_nest, int ipl);

/* => for kern_inject.c: acquisitions look whether they are to be late, or to fail */
void	lock_slowly(bool on);

/* => how the current LWP holds the lock: -1 not at all, else enum lock_how. */
int	lockdebug_holds(const void *lock);
enum lock_how lockdebug_how(const struct held_lock *);
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
/* => a violation if the IPL is about to fall below that of a spin mutex that is held */
void	lockdebug_spl(int ipl);

#endif /* SYS_LOCKDEBUG_H */
