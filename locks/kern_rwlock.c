/*
 * rwlock(9).
 *
 * The word is the writer's LWP with RW_LOCKED, or the number of readers times
 * RW_READ; RW_WAITERS says that somebody sleeps.  With sleepers no newcomer gets
 * in: the holder that leaves last hands the lock to the longest sleeper, and when
 * that is a reader to all readers up to the next writer.  So nobody starves, and
 * a reader who waits behind a writer waits for good: read holds do not nest.
 *
 * All changes of RW_WAITERS are made with the sleep queue's bucket locked.
 */
#define	RWLOCK_HERE			/* a build of ThreadSanitizer's has rw_lock_held() and its kin here */
#include "lockdebug_int.h"

#include <host/race.h>
#include <sys/inject.h>
#include <sys/rwlock.h>

#define	RW_ALIVE	0xb2
#define	RW_DEAD		0xde
#define	SPINS_MAX	500

/* => as for a mutex */
static bool
lives(const krwlock_t *rw)
{
	return rw->rw_alive == RW_ALIVE && rw->rw_class < LC_MAX && (rw->rw_owner & 12) == 0 &&
	    lock_born(rw->rw_id) &&
	    (!LOCKDEBUG_ON() || lockdebug_node[rw->rw_class][IPL_NONE] == LOCKORDER_KEY_CLASS(rw->rw_key) + 1);
}

void
rw_init(krwlock_t *rw, enum lock_class class)
{
	uint32_t node = 0;

	KASSERTMSG(!UVMSTRESS_LOCKDEBUG || !lives(rw),
	    "rw_init: %s %u is initialised, or its memory was freed without rw_destroy()",
	    lock_classes[rw->rw_class].lc_name, rw->rw_id);
	rw->rw_id = lock_birth();
	rw->rw_class = (uint8_t)class;
	rw->rw_alive = RW_ALIVE;
	if (LOCKDEBUG_ON())
		node = lockdebug_born(class, IPL_NONE, rw->rw_id);
	rw->rw_key = (uint16_t)LOCKORDER_KEY(node, IPL_NONE, false);
	__atomic_store_n(&rw->rw_owner, 0, __ATOMIC_RELEASE);
	race_atomic(&rw->rw_owner, sizeof(rw->rw_owner));
	lock_race_create(rw, class, __builtin_return_address(0));
}

void
rw_destroy(krwlock_t *rw)
{
	KASSERTMSG(rw->rw_alive == RW_ALIVE, "rw_destroy: not initialised");
	KASSERTMSG(__atomic_load_n(&rw->rw_owner, __ATOMIC_ACQUIRE) == 0, "rw_destroy: %s is held",
	    lock_classes[rw->rw_class].lc_name);
	rw->rw_alive = RW_DEAD;
	race_lock_destroy(rw);
}

static uintptr_t
word(const krwlock_t *rw)
{
	return __atomic_load_n(&rw->rw_owner, __ATOMIC_RELAXED);
}

static uintptr_t
writer_word(const struct lwp *l)
{
	return (uintptr_t)l | RW_LOCKED;
}

static bool
try_once(krwlock_t *rw, krw_t op)
{
	uintptr_t old = word(rw), new;

	if (op == RW_WRITER) {
		if (old != 0)
			return false;
		new = writer_word(curlwp);
	} else {
		if ((old & (RW_LOCKED | RW_WAITERS)) != 0)
			return false;
		new = old + RW_READ;
	}
	/* acquire: pairs with the release in rw_exit() and pass_on();
	 * release: pairs with the acquire in writer_runs(), who looks at our structure */
	return __atomic_compare_exchange_n(&rw->rw_owner, &old, new, false, __ATOMIC_ACQ_REL,
	    __ATOMIC_RELAXED);
}

static bool
writer_runs(const krwlock_t *rw)
{
	/* acquire: pairs with the release in try_once() */
	uintptr_t old = __atomic_load_n(&rw->rw_owner, __ATOMIC_ACQUIRE);

	return (old & RW_LOCKED) != 0 && __atomic_load_n(
	    &((struct lwp *)(old & ~RW_FLAGS))->l_stat, __ATOMIC_RELAXED) == LSONPROC;
}

/* => true: slept, and the lock was handed to us; false: try again */
static bool
wait_turn(krwlock_t *rw, krw_t op)
{
	struct sleepq *sq = sleepq_lock(LOCK_WCHAN(rw));
	uintptr_t old = word(rw);

	if (old == 0 || (op == RW_READER && (old & (RW_LOCKED | RW_WAITERS)) == 0) ||
	    ((old & RW_WAITERS) == 0 && !__atomic_compare_exchange_n(&rw->rw_owner, &old,
	    old | RW_WAITERS, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))) {
		sleepq_unlock(sq);
		return false;
	}
	KASSERTMSG((old & ~RW_FLAGS) != 0, "I-SMP-8: %s sleeps for %s, which nobody has", curlwp->l_name,
	    lock_classes[rw->rw_class].lc_name);
	KASSERTMSG(op == RW_WRITER || (old & (RW_LOCKED | RW_WAITERS)) != 0,
	    "I-SMP-8: %s sleeps for %s, which it may read", curlwp->l_name, lock_classes[rw->rw_class].lc_name);
	KASSERTMSG((old & RW_WAITERS) != 0 || sleepq_first(sq, LOCK_WCHAN(rw)) == NULL,
	    "I-SMP-8: somebody sleeps for %s, and its word does not say so", lock_classes[rw->rw_class].lc_name);
	curlwp->l_rwhow = op;
	sleepq_enter(sq, LOCK_WCHAN(rw), lock_classes[rw->rw_class].lc_name);
	sleepq_unlock(sq);
	sleepq_block(0);
	/* acquire: pairs with pass_on(), which made us the holder */
	(void)__atomic_load_n(&rw->rw_owner, __ATOMIC_ACQUIRE);
	return true;
}

static inline __attribute__((always_inline)) uint64_t
want(struct lockorder_want *w, krwlock_t *rw, unsigned how, const void *where)
{
	return lockdebug_want(w, rw, rw->rw_id, rw->rw_class, IPL_NONE, how, where);
}

/* The long way: for whatever reason the short one was not open. */
static __attribute__((noinline)) void
enter(krwlock_t *rw, const krw_t op, const void *where)
{
	unsigned spins = 0, turns = 0;
	struct lockorder_want w;
	uint64_t chain = 0, waited = 0;

	KASSERTMSG(rw->rw_alive == RW_ALIVE, "rw_enter: not initialised, or destroyed");
	LOCKDIRECT_(lockdirect_meet(rw, rw->rw_id, rw->rw_key, op == RW_WRITER));
	lock_point(HP_LOCK, rw->rw_id);
	inject_delay(INJECT_lock_delay);
	if (LOCKDEBUG_ON())
		chain = want(&w, rw, op == RW_READER ? LO_READ : LO_WRITE, where);
	/* Without lock debugging a writer's recursion is still seen. */
	if (rw_write_held(rw))
		panic("%s: locking against myself (lock %u)", lock_classes[rw->rw_class].lc_name,
		    rw->rw_id);
	if (!try_once(rw, op)) {
		const void *before = lwp_wants(rw);
		uint64_t since = host_now_ns();

		LOCKDIRECT_(lockdirect_waits(rw, rw->rw_id, rw->rw_key, op == RW_WRITER));
		do {
			if (writer_runs(rw) && turns++ < SPINS_MAX) {
				intr_poll();
				host_spin(&spins);
			} else if (wait_turn(rw, op)) {
				break;
			}
		} while (!try_once(rw, op));
		LOCKDIRECT_(lockdirect_got(rw));
		lwp_wants(before);
		waited = lockstat_waited(rw->rw_class, host_now_ns() - since);
	}
	race_lock_got(rw, op == RW_READER ? RACE_READ : RACE_WRITE);
	if (LOCKDEBUG_ON())
		lockdebug_locked(&w, chain, rw->rw_class, waited);
}

void
rw_enter(krwlock_t *rw, const krw_t op)
{
	const void *where = __builtin_return_address(0);
	const unsigned how = op == RW_READER ? LO_READ : LO_WRITE;
	struct lwp *l = curlwp;
	uint64_t chain;

	if (__builtin_expect(lockdebug_slow() || rw->rw_alive != RW_ALIVE || l == NULL, 0) ||
	    !lockdebug_known(l, rw->rw_class, rw->rw_key, how, where, &chain) || !try_once(rw, op)) {
		enter(rw, op, where);
		return;
	}
	race_lock_got(rw, op == RW_READER ? RACE_READ : RACE_WRITE);
	lockdebug_got(l, rw, rw->rw_id, rw->rw_class, rw->rw_key, how, where, chain);
}

bool
rw_tryenter(krwlock_t *rw, const krw_t op)
{
	struct lockorder_want w;
	uint64_t chain = 0;

	KASSERTMSG(rw->rw_alive == RW_ALIVE, "rw_tryenter: not initialised, or destroyed");
	lock_point(HP_TRY, rw->rw_id);
	if (inject(INJECT_tryfail))
		return false;
	if (LOCKDEBUG_ON())
		chain = want(&w, rw, (op == RW_READER ? LO_READ : LO_WRITE) | LO_TRY,
		    __builtin_return_address(0));
	/* A reader fails only for a reason, never because another reader was quicker. */
	while (!try_once(rw, op)) {
		uintptr_t old = word(rw);

		if (op == RW_WRITER ? old != 0 : (old & (RW_LOCKED | RW_WAITERS)) != 0)
			return false;
	}
	race_lock_got(rw, (op == RW_READER ? RACE_READ : RACE_WRITE) | RACE_TRY);
	if (LOCKDEBUG_ON())
		lockdebug_locked(&w, chain, rw->rw_class, 0);
	return true;
}

/*
 * => bucket locked; held is what the word counts already, and nobody else changes it:
 *    the sleepers up to the next writer become readers.
 *    release: pairs with the acquire in wait_turn()
 */
static void
admit_readers(krwlock_t *rw, struct sleepq *sq, uintptr_t held)
{
	struct lwp *l = sleepq_first(sq, LOCK_WCHAN(rw)), *next;
	uintptr_t new = held;

	for (next = l; next != NULL && next->l_rwhow == RW_READER; next = sleepq_next(next))
		new += RW_READ;
	__atomic_store_n(&rw->rw_owner, new | (next != NULL ? RW_WAITERS : 0), __ATOMIC_RELEASE);
	for (; new != held; new -= RW_READ) {
		next = sleepq_next(l);
		sleepq_remove(sq, l, 0);
		lwp_wake(l);
		l = next;
	}
}

/* => bucket locked, nobody holds the lock any more: give it to those whose turn it is */
static void
pass_on(krwlock_t *rw, struct sleepq *sq)
{
	struct lwp *l = sleepq_first(sq, LOCK_WCHAN(rw));

	KASSERT(l != NULL);
	if (l->l_rwhow == RW_READER) {
		admit_readers(rw, sq, 0);
		return;
	}
	/* release: pairs with the acquire in wait_turn() */
	__atomic_store_n(&rw->rw_owner,
	    writer_word(l) | (sleepq_next(l) != NULL ? RW_WAITERS : 0), __ATOMIC_RELEASE);
	sleepq_remove(sq, l, 0);
	lwp_wake(l);
}

/* => drop a reader, or the writer; with sleepers the last one passes the lock on */
static void
let_go(krwlock_t *rw)
{
	uintptr_t old = word(rw), new;
	bool writer = (old & RW_LOCKED) != 0;
	struct sleepq *sq;

	KASSERTMSG(writer ? rw_write_held(rw) : old >= RW_READ, "rw_exit: %s is not held by this LWP",
	    lock_classes[rw->rw_class].lc_name);
	if (!lockdebug_dropped(curlwp, rw) && LOCKDEBUG_ON())
		lockdebug_release(rw, writer ? LO_WRITE : LO_READ);
	race_lock_drop(rw, writer ? RACE_WRITE : RACE_READ);
	for (;;) {
		new = writer ? old & RW_WAITERS : old - RW_READ;
		if (new == RW_WAITERS)
			break;
		/* release: pairs with the acquire in try_once() */
		if (__atomic_compare_exchange_n(&rw->rw_owner, &old, new, false, __ATOMIC_RELEASE,
		    __ATOMIC_RELAXED))
			return;
	}
	/*
	 * Sleepers, and we are the last holder: nobody can come in or go, so the word stays.
	 * acquire: earlier readers' releases, for whoever gets the lock now.
	 */
	sq = sleepq_lock(LOCK_WCHAN(rw));
	(void)__atomic_load_n(&rw->rw_owner, __ATOMIC_ACQUIRE);
	pass_on(rw, sq);
	sleepq_unlock(sq);
}

void
rw_exit(krwlock_t *rw)
{
	const uint32_t id = rw->rw_id;		/* once it is let go it may be gone */

	let_go(rw);
	lock_point(HP_UNLOCK, id);
}

bool
rw_tryupgrade(krwlock_t *rw)
{
	uintptr_t old;

	lock_point(HP_TRY, rw->rw_id);
	old = word(rw);
	KASSERTMSG(rw_read_held(rw), "rw_tryupgrade: not held for reading");
	do {
		if ((old & ~RW_FLAGS) != RW_READ)
			return false;
		/* acquire: what earlier readers did before they left */
	} while (!__atomic_compare_exchange_n(&rw->rw_owner, &old,
	    writer_word(curlwp) | (old & RW_WAITERS), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	race_lock_drop(rw, RACE_READ);
	race_lock_got(rw, RACE_WRITE | RACE_TRY);
	if (LOCKDEBUG_ON())
		lockdebug_changed(rw, LO_WRITE, __builtin_return_address(0));
	return true;
}

void
rw_downgrade(krwlock_t *rw)
{
	uintptr_t old = writer_word(curlwp);
	struct sleepq *sq;

	KASSERTMSG(rw_write_held(rw), "rw_downgrade: not held for writing");
	race_lock_drop(rw, RACE_WRITE);
	race_lock_got(rw, RACE_READ | RACE_TRY);
	if (LOCKDEBUG_ON())
		lockdebug_changed(rw, LO_READ, __builtin_return_address(0));
	/* release: the readers to come see what we wrote */
	if (!__atomic_compare_exchange_n(&rw->rw_owner, &old, RW_READ, false, __ATOMIC_RELEASE,
	    __ATOMIC_RELAXED)) {
		sq = sleepq_lock(LOCK_WCHAN(rw));
		admit_readers(rw, sq, RW_READ);
		sleepq_unlock(sq);
	}
	lock_point(HP_UNLOCK, rw->rw_id);
}
