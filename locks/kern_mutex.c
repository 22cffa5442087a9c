/*
 * mutex(9).
 *
 * Adaptive: the owner word is the LWP, bit 0 says that somebody sleeps.  A
 * contender spins while the owner runs on a CPU and sleeps otherwise.  The
 * release of a lock with sleepers wakes the first; the word keeps bit 0 while
 * others sleep, so a newcomer may take the lock in between but cannot lose them.
 *
 * Spin: interrupts above the mutex's level come in while it spins, IPIs among
 * them: a CPU that waits for a lock still answers a shootdown (S4).
 *
 * Nearly all acquisitions go the short way (enter_shortly(), and mutex_tryenter() likewise): the audit is `order', or there
 * is none, the LWP has gone this chain before, and the mutex is free.
 */
#include "lockdebug_int.h"

#include <host/race.h>
#include <host/sched.h>
#include <sys/inject.h>

#define	WAITERS		MUTEX_WAITERS
#define	SPINS_MAX	1000		/* turns of watching a running owner before sleeping */
#define	MUTEX_ALIVE	0xa1
#define	MUTEX_DEAD	0xde

static uint32_t births;			/* @ of all boots */
static uint32_t births_before;		/* stable: before this boot */

void
lock_init(void)
{
	births_before = __atomic_load_n(&births, __ATOMIC_RELAXED);
	lockdebug_init();
	lockstat_init();
}

uint32_t
lock_birth(void)
{
	return __atomic_add_fetch(&births, 1, __ATOMIC_RELAXED);
}

uint32_t
lock_number(uint32_t id)
{
	return id - births_before;
}

bool
lock_born(uint32_t id)
{
	return id > births_before && id <= __atomic_load_n(&births, __ATOMIC_RELAXED);
}

/*
 * => does memory that is about to become a lock look like one that lives?  Memory of
 *    unknown content passes for that only if four fields agree.
 */
static bool
lives(const kmutex_t *m)
{
	return m->mtx_alive == MUTEX_ALIVE && m->mtx_class < LC_MAX && lock_born(m->mtx_id) &&
	    (!LOCKDEBUG_ON() || lockdebug_node[m->mtx_class][mutex_ipl(m)] == LOCKORDER_KEY_CLASS(m->mtx_key) + 1);
}

void
mutex_init(kmutex_t *m, kmutex_type_t type, ipl_t ipl, enum lock_class class)
{
	const bool spin = type == MUTEX_SPIN || (type == MUTEX_DEFAULT && ipl >= IPL_VM);
	uint32_t node = 0;

	KASSERTMSG(!UVMSTRESS_LOCKDEBUG || !lives(m),
	    "mutex_init: %s %u is initialised, or its memory was freed without mutex_destroy()",
	    lock_classes[m->mtx_class].lc_name, m->mtx_id);
	m->mtx_id = lock_birth();
	m->mtx_class = (uint8_t)class;
	m->mtx_alive = MUTEX_ALIVE;
	if (LOCKDEBUG_ON())
		node = lockdebug_born(class, spin ? ipl : IPL_NONE, m->mtx_id);
	/* of an adaptive one the IPL is that of softints which may take it, and none that is raised */
	m->mtx_key = (uint16_t)LOCKORDER_KEY(node, spin ? ipl : IPL_NONE, spin);
	__atomic_store_n(&m->mtx_owner, 0, __ATOMIC_RELEASE);
	race_atomic(&m->mtx_owner, sizeof(m->mtx_owner));
	lock_race_create(m, class, __builtin_return_address(0));
}

void
mutex_destroy(kmutex_t *m)
{
	KASSERTMSG(m->mtx_alive == MUTEX_ALIVE, "mutex_destroy: not initialised");
	KASSERTMSG(__atomic_load_n(&m->mtx_owner, __ATOMIC_ACQUIRE) == 0,
	    "mutex_destroy: %s is held", lock_classes[m->mtx_class].lc_name);
	m->mtx_alive = MUTEX_DEAD;
	if (mutex_is_spin(m)) {
		/* Handlers that had it have come back long ago; who knows, knows it without an spl. */
		race_lock_got(m, RACE_WRITE | RACE_TRY);
		race_lock_drop(m, RACE_WRITE);
	}
	race_lock_destroy(m);
}

static bool
adaptive_try(kmutex_t *m)
{
	uintptr_t old = __atomic_load_n(&m->mtx_owner, __ATOMIC_RELAXED);

	/* acquire: pairs with the release in adaptive_exit();
	 * release: pairs with the acquire in owner_runs(), who looks at our structure */
	return (old & ~WAITERS) == 0 && __atomic_compare_exchange_n(&m->mtx_owner, &old,
	    (uintptr_t)curlwp | old, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* => is the owner on a CPU?  Its structure stays an LWP's for ever. */
static bool
owner_runs(const kmutex_t *m)
{
	/* acquire: pairs with the release in adaptive_try() */
	uintptr_t owner = __atomic_load_n(&m->mtx_owner, __ATOMIC_ACQUIRE) & ~WAITERS;

	return owner != 0 && __atomic_load_n(&((struct lwp *)owner)->l_stat,
	    __ATOMIC_RELAXED) == LSONPROC;
}

/* => returns when the mutex is worth another try */
static void
adaptive_sleep(kmutex_t *m)
{
	struct sleepq *sq = sleepq_lock(LOCK_WCHAN(m));
	uintptr_t old = __atomic_load_n(&m->mtx_owner, __ATOMIC_RELAXED);

	/* Under the bucket's lock nobody is woken: once bit 0 stands we shall be. */
	if ((old & ~WAITERS) == 0 || ((old & WAITERS) == 0 && !__atomic_compare_exchange_n(
	    &m->mtx_owner, &old, old | WAITERS, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))) {
		sleepq_unlock(sq);
		return;
	}
	KASSERTMSG((old & ~WAITERS) != 0, "I-SMP-8: %s sleeps for %s, which nobody has", curlwp->l_name,
	    lock_classes[m->mtx_class].lc_name);
	KASSERTMSG((old & WAITERS) != 0 || sleepq_first(sq, LOCK_WCHAN(m)) == NULL,
	    "I-SMP-8: somebody sleeps for %s, and its word does not say so", lock_classes[m->mtx_class].lc_name);
	sleepq_enter(sq, LOCK_WCHAN(m), lock_classes[m->mtx_class].lc_name);
	sleepq_unlock(sq);
	sleepq_block(0);
}

/* => so many ns were waited */
static uint64_t
adaptive_enter(kmutex_t *m)
{
	const void *before = lwp_wants(m);
	uint64_t since = host_now_ns();
	unsigned spins = 0, turns = 0;

	/* Without lock debugging nobody has looked yet, and waiting would take for ever. */
	if (mutex_owned(m))
		panic("%s: locking against myself (lock %u)", lock_classes[m->mtx_class].lc_name,
		    m->mtx_id);
	LOCKDIRECT_(lockdirect_waits(m, m->mtx_id, m->mtx_key, true));
	while (!adaptive_try(m)) {
		if (owner_runs(m) && turns++ < SPINS_MAX) {
			intr_poll();
			host_spin(&spins);
			continue;
		}
		adaptive_sleep(m);
		turns = 0;
	}
	LOCKDIRECT_(lockdirect_got(m));
	lwp_wants(before);
	return lockstat_waited(m->mtx_class, host_now_ns() - since);
}

/* => somebody sleeps on it */
static __attribute__((noinline)) void
adaptive_pass_on(kmutex_t *m)
{
	struct sleepq *sq;
	struct lwp *first;

	sq = sleepq_lock(LOCK_WCHAN(m));
	first = sleepq_first(sq, LOCK_WCHAN(m));
	KASSERT(first != NULL);
	__atomic_store_n(&m->mtx_owner, sleepq_next(first) != NULL ? WAITERS : 0,
	    __ATOMIC_RELEASE);
	sleepq_remove(sq, first, 0);
	lwp_wake(first);
	sleepq_unlock(sq);
}

static inline void
adaptive_exit(kmutex_t *m, struct lwp *l)
{
	uintptr_t self = (uintptr_t)l;

	/* release: pairs with the acquire in adaptive_try() */
	if (__builtin_expect(!__atomic_compare_exchange_n(&m->mtx_owner, &self, 0, false,
	    __ATOMIC_RELEASE, __ATOMIC_RELAXED), 0))
		adaptive_pass_on(m);
}

static bool
spin_try(kmutex_t *m)
{
	uintptr_t free = 0;

	return __atomic_load_n(&m->mtx_owner, __ATOMIC_RELAXED) == 0 &&
	    __atomic_compare_exchange_n(&m->mtx_owner, &free, (uintptr_t)curlwp, false,
	    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* => IPL is raised for a spin mutex, once for all that are held */
static inline void
spin_raise(struct cpu_info *ci, int ipl)
{
	int old = spl_raise(ci, (ipl_t)ipl);

	if (ci->ci_mtx_count++ == 0)
		ci->ci_mtx_oldspl = old;
}

static inline void
spin_lower(struct cpu_info *ci)
{
	KASSERT(ci->ci_mtx_count > 0);
	if (--ci->ci_mtx_count == 0)
		spl_restore(ci, ci->ci_mtx_oldspl);
}

/* => IPL raised: somebody has it */
static uint64_t
spin_wait(kmutex_t *m)
{
	const void *before = lwp_wants(m);
	uint64_t since = host_now_ns();
	unsigned spins = 0;

	LOCKDIRECT_(lockdirect_waits(m, m->mtx_id, m->mtx_key, true));
	do {
		if (mutex_owned(m))
			panic("%s: locking against myself (lock %u)",
			    lock_classes[m->mtx_class].lc_name, m->mtx_id);
		intr_poll();
		host_spin(&spins);
	} while (!spin_try(m));
	LOCKDIRECT_(lockdirect_got(m));
	lwp_wants(before);
	return lockstat_waited(m->mtx_class, host_now_ns() - since);
}

static uint64_t
spin_enter(kmutex_t *m)
{
	spin_raise(curcpu(), mutex_ipl(m));
	return spin_try(m) ? 0 : spin_wait(m);
}

/* => so many ns were waited, 0: it was free */
static uint64_t
plain_enter(kmutex_t *m)
{
	uint64_t waited = 0;

	if (mutex_is_spin(m))
		waited = spin_enter(m);
	else if (!adaptive_try(m))
		waited = adaptive_enter(m);
	race_lock_got(m, RACE_WRITE);
	return waited;
}

static bool
plain_try(kmutex_t *m)
{
	bool got;

	if (mutex_is_spin(m)) {
		spin_raise(curcpu(), mutex_ipl(m));
		got = spin_try(m);
		if (!got)
			spin_lower(curcpu());
	} else {
		got = adaptive_try(m);
	}
	if (got)
		race_lock_got(m, RACE_WRITE | RACE_TRY);
	return got;
}

static inline __attribute__((always_inline)) uint64_t
want(struct lockorder_want *w, kmutex_t *m, unsigned how, const void *where)
{
	const bool spin = mutex_is_spin(m);

	return lockdebug_want(w, m, m->mtx_id, m->mtx_class, spin ? mutex_ipl(m) : IPL_NONE,
	    spin ? how | LO_SPIN : how, where);
}

/* The long way. */
static __attribute__((noinline)) void
enter(kmutex_t *m, unsigned how, const void *where)
{
	struct lockorder_want w;
	uint64_t chain, waited;

	KASSERTMSG(m->mtx_alive == MUTEX_ALIVE, "mutex_enter: not initialised, or destroyed");
	LOCKDIRECT_(lockdirect_meet(m, m->mtx_id, m->mtx_key, true));
	lock_point(HP_LOCK, m->mtx_id);
	inject_delay(INJECT_lock_delay);
	if (!LOCKDEBUG_ON()) {
		plain_enter(m);
		return;
	}
	chain = want(&w, m, how, where);
	waited = plain_enter(m);
	lockdebug_locked(&w, chain, m->mtx_class, waited);
}

/* => its chain is known; IPL raised for a spin mutex */
static __attribute__((noinline)) void
enter_contended(kmutex_t *m, unsigned how, const void *where, uint64_t chain)
{
	if (mutex_is_spin(m))
		spin_wait(m);
	else
		adaptive_enter(m);
	race_lock_got(m, RACE_WRITE);
	lockdebug_got(curlwp, m, m->mtx_id, m->mtx_class, m->mtx_key, how, where, chain);
}

/* What is called in here is called last: so there is nothing to be saved on the way in. */
static inline __attribute__((always_inline)) void
enter_shortly(kmutex_t *m, unsigned how, const void *where)
{
	const unsigned key = m->mtx_key;
	struct lwp *l = curlwp;
	uintptr_t free = 0;
	uint64_t chain;

	if (__builtin_expect(lockdebug_slow() || m->mtx_alive != MUTEX_ALIVE || l == NULL, 0) ||
	    !lockdebug_known(l, m->mtx_class, key, how, where, &chain)) {
		enter(m, how, where);
		return;
	}
	if (LOCKORDER_KEY_SPIN(key))
		spin_raise(l->l_cpu, LOCKORDER_KEY_IPL(key));
	/* acquire, release: as in adaptive_try() and spin_try() */
	if (__builtin_expect(!__atomic_compare_exchange_n(&m->mtx_owner, &free, (uintptr_t)l, false,
	    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED), 0)) {
		enter_contended(m, how, where, chain);
		return;
	}
	race_lock_got(m, RACE_WRITE);
	lockdebug_got(l, m, m->mtx_id, m->mtx_class, key, how, where, chain);
}

void
mutex_enter(kmutex_t *m)
{
	enter_shortly(m, LO_WRITE, __builtin_return_address(0));
}

void
mutex_enter_nested(kmutex_t *m, const kmutex_t *parent)
{
	KASSERTMSG(parent == NULL || (mutex_owned(parent) && parent->mtx_class == m->mtx_class),
	    "mutex_enter_nested: %s: its parent is not held", lock_classes[m->mtx_class].lc_name);
	enter_shortly(m, LO_WRITE | LO_NESTED, __builtin_return_address(0));
}

/* The long way. */
static __attribute__((noinline)) bool
try_slowly(kmutex_t *m, const void *where)
{
	struct lockorder_want w;
	uint64_t chain;

	KASSERTMSG(m->mtx_alive == MUTEX_ALIVE, "mutex_tryenter: not initialised, or destroyed");
	lock_point(HP_TRY, m->mtx_id);
	if (inject(INJECT_tryfail))
		return false;
	if (!LOCKDEBUG_ON())
		return plain_try(m);
	chain = want(&w, m, LO_WRITE | LO_TRY, where);
	if (!plain_try(m))
		return false;
	lockdebug_locked(&w, chain, m->mtx_class, 0);
	return true;
}

bool
mutex_tryenter(kmutex_t *m)
{
	const void *where = __builtin_return_address(0);
	struct lwp *l = curlwp;
	uint64_t chain;

	if (__builtin_expect(lockdebug_slow() || m->mtx_alive != MUTEX_ALIVE || l == NULL, 0) ||
	    !lockdebug_known(l, m->mtx_class, m->mtx_key, LO_WRITE | LO_TRY, where, &chain))
		return try_slowly(m, where);
	if (!plain_try(m))
		return false;
	lockdebug_got(l, m, m->mtx_id, m->mtx_class, m->mtx_key, LO_WRITE | LO_TRY, where, chain);
	return true;
}

static inline __attribute__((always_inline)) void
plain_exit(kmutex_t *m, struct lwp *l)
{
	race_lock_drop(m, RACE_WRITE);
	if (mutex_is_spin(m)) {
		__atomic_store_n(&m->mtx_owner, 0, __ATOMIC_RELEASE);
		spin_lower(l->l_cpu);
	} else {
		adaptive_exit(m, l);
	}
}

/* The long way out. */
static __attribute__((noinline)) void
exit_slowly(kmutex_t *m)
{
	const uint32_t id = m->mtx_id;		/* once it is let go it may be gone */

	if (LOCKDEBUG_ON())
		lockdebug_release(m, mutex_is_spin(m) ? LO_WRITE | LO_SPIN : LO_WRITE);
	plain_exit(m, curlwp);
	lock_point(HP_UNLOCK, id);
}

void
mutex_exit(kmutex_t *m)
{
	struct lwp *l = curlwp;

	KASSERTMSG(mutex_owned(m), "mutex_exit: %s is not held by this %s",
	    lock_classes[m->mtx_class].lc_name, mutex_is_spin(m) ? "CPU" : "LWP");
	if (lockdebug_dropped(l, m))
		plain_exit(m, l);
	else
		exit_slowly(m);
}

#if UVMSTRESS_TSAN
bool
mutex_owned(const kmutex_t *m)
{
	return mutex_owned_word(m);
}
#endif

void
mutex_spin_enter(kmutex_t *m)
{
	KASSERT(mutex_is_spin(m));
	mutex_enter(m);
}

void
mutex_spin_exit(kmutex_t *m)
{
	KASSERT(mutex_is_spin(m));
	mutex_exit(m);
}
