/*
 * rwlock(9): sleepable reader/writer locks, after NetBSD.
 *
 * A waiting writer keeps new readers out, so a read hold is not recursive.
 * The lock is handed over directly to the longest waiter.
 */
#ifndef SYS_RWLOCK_H
#define SYS_RWLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/cpu.h>
#include <sys/lockdebug.h>

typedef struct krwlock {
	uintptr_t	rw_owner;	/* atomic: writer's lwp or readers << 4, and flag bits */
	uint32_t	rw_id;		/* birth number, stable */
	uint16_t	rw_key;		/* LOCKORDER_KEY() of its class, stable */
	uint8_t		rw_class;	/* enum lock_class, stable */
	uint8_t		rw_alive;	/* RW_ALIVE between init and destroy */
} krwlock_t;

typedef enum krw { RW_READER, RW_WRITER } krw_t;

/* => any context; nobody knows it yet.  Memory in which a lock still lives is a panic (lock debugging) */
void	rw_init(krwlock_t *, enum lock_class);
/* => held by nobody, else a panic; its memory may be freed, or initialised again */
void	rw_destroy(krwlock_t *);
/* => may sleep; never from interrupt, no spin mutex held.  By its writer: a panic */
void	rw_enter(krwlock_t *, const krw_t);
/* => never sleeps; false: somebody has it, or, for a reader, waits for it (or the injected fault tryfail) */
bool	rw_tryenter(krwlock_t *, const krw_t);
/* => held by the current LWP, in either mode; the longest waiter has it next, a reader with those behind it */
void	rw_exit(krwlock_t *);
/* => held for reading; never sleeps; true only for the sole reader, who then holds it for writing; false keeps the read hold. */
bool	rw_tryupgrade(krwlock_t *);
/* => held for writing, then for reading; no writer can slip in between. */
void	rw_downgrade(krwlock_t *);
/* => was a made before b?  Where two of a class nest by birth number, the older comes first. */
static inline bool
rw_older(const krwlock_t *a, const krwlock_t *b)
{
	return a->rw_id < b->rw_id;
}
/* Bits of rw_owner. */
#define	RW_WAITERS	1UL		/* somebody sleeps */
#define	RW_LOCKED	2UL		/* a writer has it */
#define	RW_READ		16UL		/* one reader; an LWP's address has these bits clear */
#define	RW_FLAGS	3UL

/* => by the current LWP (exact with lock debugging, else "by somebody" for readers). */
#if UVMSTRESS_TSAN && !defined(RWLOCK_HERE)
bool	rw_read_held(const krwlock_t *);	/* kern_rwlock.c: bare, see host/race.h */
bool	rw_write_held(const krwlock_t *);
bool	rw_lock_held(const krwlock_t *);
#else
#if UVMSTRESS_TSAN
#define	RW_ASKED
bool	rw_read_held(const krwlock_t *);
bool	rw_write_held(const krwlock_t *);
bool	rw_lock_held(const krwlock_t *);
#else
#define	RW_ASKED	static inline
#endif

RW_ASKED bool
rw_write_held(const krwlock_t *rw)
{
	/* relaxed: whoever has it has written the word himself */
	return (__atomic_load_n(&rw->rw_owner, __ATOMIC_RELAXED) & ~RW_WAITERS) ==
	    ((uintptr_t)curlwp | RW_LOCKED);
}

RW_ASKED bool
rw_read_held(const krwlock_t *rw)
{
	const struct held_stack *hs = &curlwp->l_held;
	const uintptr_t old = __atomic_load_n(&rw->rw_owner, __ATOMIC_RELAXED);

	if (old < RW_READ || (old & RW_LOCKED) != 0)
		return false;
	/* It is of a map's that this is asked most, and that is the first lock of a fault. */
	if (hs->hs_n > 0 && hs->hs_v[0].hl_lock == rw)
		return (hs->hs_v[0].hl_how & LO_MODE) != LO_WRITE;
	return lockdebug_holds(rw) == LOCK_READ;
}

RW_ASKED bool
rw_lock_held(const krwlock_t *rw)
{
	return rw_write_held(rw) || rw_read_held(rw);
}
#undef RW_ASKED
#endif

#endif /* SYS_RWLOCK_H */
