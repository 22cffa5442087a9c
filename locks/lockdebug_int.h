/*
 * What mutex(9) and rwlock(9) tell lock debugging; inline where nothing is to be said.
 *
 *	lockdebug_want()	before waiting: judged
 *	lockdebug_locked()	got it
 *	lockdebug_release()	before the release
 *	lockdebug_known(), lockdebug_got(), lockdebug_dropped()  the same, by the short way
 *	lockdebug_changed()	upgraded, downgraded: keeps its place among the locks held
 */
#ifndef LOCKS_LOCKDEBUG_INT_H
#define LOCKS_LOCKDEBUG_INT_H

#include <sys/lockdirect.h>
#include <sys/lockstat.h>

#include "../src/kern/kern_int.h"

#define	LOCK_NODES	8			/* IPLs */
/* atomic: node of the graph by class and IPL; 0: not made yet, else + 1 */
extern uint16_t lockdebug_node[LC_MAX][LOCK_NODES];

/* => a lock of the class comes into being; its node */
uint32_t lockdebug_born(enum lock_class, int ipl, uint32_t id);
/* => an adaptive lock is wanted where nobody may sleep: violations */
void	lockdebug_cannot_sleep(enum lock_class);
/* => panics if the LWP may only try locks of the class */
void	lockdebug_only_try(enum lock_class);

/*
 * Why acquisitions go the long way, which asks everything; 0: the short one will do.
 * @ relaxed: who sees a change late goes the other way for a little longer
 */
#define	LOCK_SLOW_OFF		1u	/* no lock debugging */
#define	LOCK_SLOW_FULL		2u	/* audit=full */
#define	LOCK_SLOW_INJECT	4u	/* locks are made to be late, or to fail */
extern uint32_t lock_slow;

static inline bool
lockdebug_slow(void)
{
	return (__atomic_load_n(&lock_slow, __ATOMIC_RELAXED) | (uint32_t)host_points) != 0;
}

/* --- audit=full (lockstate.c) --- */

/* => masked; a new hold; waited: so many ns, 0: not at all */
void	lockstate_locked(struct held_lock *, uint64_t waited);
/* => about to be released: a violation if it is pinned */
void	lockstate_unlocking(const void *lock);

/* --- a circle that is looked for (lockdirect.c); inline: nothing, if there is none --- */

void	lockdirect_meet(const void *lock, uint32_t id, unsigned key, bool exclusive);
void	lockdirect_waits(const void *lock, uint32_t id, unsigned key, bool exclusive);
void	lockdirect_got(const void *lock);
#define	LOCKDIRECT_(call)	do {						\
	if (__builtin_expect(lockdirect_on, 0))					\
		call;								\
} while (0)

/* => an acquisition is counted; true: time the hold */
static inline bool
acquired(struct cpu_info *ci, enum lock_class class)
{
	uint64_t *counter = &ci->ci_lockstat[class].ls_acquisitions;
	const uint64_t n = __atomic_load_n(counter, __ATOMIC_RELAXED) + 1;

	/* relaxed: one writer, and readers that want a number, no order */
	__atomic_store_n(counter, n, __ATOMIC_RELAXED);
	return n % LOCKSTAT_SAMPLE == 0;
}

/* => the hash of the chain, for lockdebug_locked() */
static inline __attribute__((always_inline)) uint64_t
lockdebug_want(struct lockorder_want *w, const void *lock, uint32_t id, enum lock_class class,
    int ipl, unsigned how, const void *where)
{
	struct lwp *l = curlwp;
	const struct cpu_info *ci;

	KASSERTMSG(l != NULL, "lock %s taken by a thread that is no LWP",
	    lock_classes[class].lc_name);
	ci = l->l_cpu;
	if ((how & LO_SPIN) == 0 &&
	    __builtin_expect((ci->ci_idepth | ci->ci_mtx_count | ci->ci_ilevel) != 0, 0))
		lockdebug_cannot_sleep(class);
	if (__builtin_expect(l->l_onlytry != 0, 0) && (how & LO_TRY) == 0)
		lockdebug_only_try(class);
	if ((how & (LO_SPIN | LO_TRY)) == LO_SPIN)
		LOCKEVENT_(lockevent_spun(lockdebug_node[class][ipl] - 1u,
		    ipl > ci->ci_ilevel ? ipl : ci->ci_ilevel));
	w->lw_lock = lock;
	w->lw_where = where;
	/* relaxed: it was set before the lock was known to anybody */
	w->lw_class = __atomic_load_n(&lockdebug_node[class][ipl], __ATOMIC_RELAXED) - 1u;
	w->lw_id = id;
	w->lw_how = (uint8_t)how;
	w->lw_ipl = (uint8_t)(ipl > ci->ci_ilevel ? ipl : ci->ci_ilevel);
	w->lw_depth = (uint8_t)ci->ci_idepth;
	w->lw_level = (uint8_t)(ci->ci_idepth != 0 ? ci->ci_intripl : 0);
	return lockorder_want(&l->l_held, w);
}

static inline void
lockdebug_locked(const struct lockorder_want *w, uint64_t chain, enum lock_class class,
    uint64_t waited)
{
	struct held_lock *hl;

	host_mask();			/* an interrupt puts its own on top and takes them off */
	hl = held_push(&curlwp->l_held, w, chain);
	hl->hl_user = class;
	if (acquired(curcpu(), class))
		hl->hl_since = host_now_ns();
	LOCKEVENT_(lockstate_locked(hl, waited));
	host_unmask();
}

/* => about to be released: the long way */
void	lockdebug_release(const void *lock, unsigned how);

/*
 * The short way: audit=order, a lock wanted, or tried, in thread context by a chain that is known.
 * => false: nothing has been done, and the long way is to be gone
 */
static inline __attribute__((always_inline)) bool
lockdebug_known(const struct lwp *l, enum lock_class class, unsigned key, unsigned how, const void *where,
    uint64_t *chain)
{
	const struct held_stack *hs = &l->l_held;
	const struct cpu_info *ci = l->l_cpu;

	if (__builtin_expect(LOCKORDER_KEY_SPIN(key) ?
	    ci->ci_idepth != 0 || ci->ci_ilevel > LOCKORDER_KEY_IPL(key) :
	    (ci->ci_idepth | ci->ci_mtx_count | ci->ci_ilevel) != 0, 0))
		return false;
	if (__builtin_expect(l->l_onlytry != 0, 0) && (how & LO_TRY) == 0 &&
	    (class >= 64 || (l->l_onlytry >> class & 1) != 0))
		return false;
	if (__builtin_expect(hs->hs_n == hs->hs_max, 0))
		return false;
	*chain = lockorder_hash(hs->hs_n > 0 ? hs->hs_v[hs->hs_n - 1].hl_chain : LO_CHAIN_SEED,
	    lockorder_what(key, how), where);
	return lockorder_known(*chain, hs->hs_runner);
}

/* => its hold is timed from now on; masked, and not on return */
void	lockdebug_time(struct held_lock *);

/* => the lock was got by the short way; there is room for one more that is held */
static inline __attribute__((always_inline)) void
lockdebug_got(struct lwp *l, const void *lock, uint32_t id, enum lock_class class, unsigned key,
    unsigned how, const void *where, uint64_t chain)
{
	struct held_stack *hs = &l->l_held;
	struct held_lock *hl;

	host_mask();			/* as in lockdebug_locked() */
	hl = &hs->hs_v[hs->hs_n++];
	hl->hl_lock = lock;
	hl->hl_where = where;
	hl->hl_chain = chain;
	hl->hl_since = 0;
	hl->hl_class = LOCKORDER_KEY_CLASS(key);
	hl->hl_id = id;
	hl->hl_how = (uint8_t)(LOCKORDER_KEY_SPIN(key) ? how | LO_SPIN : how);
	hl->hl_ipl = (uint8_t)LOCKORDER_KEY_IPL(key);
	hl->hl_depth = hl->hl_level = 0;
	hl->hl_user = class;
	if (__builtin_expect(acquired(l->l_cpu, class), 0))
		lockdebug_time(hl);
	else
		host_unmask();
}

/* => about to be released: it was the newest, and there is nothing else to say; false: the long way */
static inline __attribute__((always_inline)) bool
lockdebug_dropped(struct lwp *l, const void *lock)
{
	struct held_stack *hs = &l->l_held;
	const struct held_lock *hl;

	if (__builtin_expect(lockdebug_slow() || hs->hs_n == 0, 0))
		return false;
	hl = &hs->hs_v[hs->hs_n - 1];
	if (__builtin_expect(hl->hl_lock != lock || hl->hl_since != 0, 0))
		return false;
	hs->hs_n--;			/* one store: an interrupt finds the stack before it, or after */
	__asm__ volatile("" ::: "memory");
	return true;
}

static inline void
lockdebug_changed(const void *lock, unsigned how, const void *where)
{
	struct held_stack *hs = &curlwp->l_held;
	struct held_lock *hl;

	host_mask();
	hl = held_find(hs, lock);
	KASSERTMSG(hl != NULL, "change of a lock that this LWP does not hold");
	hl->hl_how = (uint8_t)how;
	hl->hl_where = where;
	held_rechain(hs, hl);
	host_unmask();
}

#endif /* LOCKS_LOCKDEBUG_INT_H */
