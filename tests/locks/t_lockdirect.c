/*
 * A hang, and a circle of waits that was foretold: they are the same only if each waits for just what the
 * next one has, not for another of its kind.
 *
 * Each case is a scene: some LWPs, at most one of which is the other cause.  They come to wait for ever under
 * a controlled schedule, which says so when nobody can run any more.
 */
#include <stdlib.h>

#include <ktest_kern.h>
#include <host/sched.h>
#include <sys/lockdirect.h>
#include <sys/lockevent.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>

#include "../../src/kern/kern_int.h"

#define	ELSE		"stuck, and not in the circle"

#define	LWPS		4

static kmutex_t m, other_m, interlock;
static krwlock_t rw, other_rw;
static unsigned ready;			/* atomic: steps of the scene that have been made */
static uint64_t patience;		/* : ns */

static void
stuck(void)
{
	lockdirect_stuck(patience);
	fprintf(stderr, ELSE "\n");
	abort();
}

static void
step(unsigned n)
{
	unsigned spins = 0;

	while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) != n)
		host_relax(&spins);
}

static void
done(void)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
}

/* => for ever: nobody wakes it */
static void
sleep_for(enum lock_event ev, uint32_t number, const char *wmesg)
{
	mutex_enter(&interlock);
	if (ev != LE_NONE)
		lockevent_next_of(ev, number);
	mtsleep(&ready, false, wmesg, 0, &interlock);
}

/* --- who there is --- */

/* The first one: has m, and waits for page 5. */
static void
has_m(void *arg)
{
	step(1);
	mutex_enter(&m);
	done();
	step(3);
	sleep_for(LE_page_anon, 5, "page");
}

/* => wants m, which the first one has by then */
static void
wants_m(void)
{
	step(2);
	done();
	mutex_enter(&m);
}

static void
has_page_5(void *arg)
{
	lockevent_begin_of(LE_page_anon, 5);
	done();
	wants_m();
}

static void
has_page_6(void *arg)
{
	lockevent_begin_of(LE_page_anon, 6);
	wants_m();
}

static void
has_let_go_of_5(void *arg)
{
	lockevent_begin_of(LE_page_anon, 6);
	lockevent_begin_of(LE_page_anon, 5);
	lockevent_end_of(LE_page_anon, 5);
	wants_m();
}

/* The other cause. */
static void
keeps_page_5(void *arg)
{
	lockevent_begin_of(LE_page_anon, 5);
	done();
	sleep_for(LE_NONE, 0, "lost");
}

static void
passes_page_5(void *arg)
{
	lockevent_begin_of(LE_page_anon, 5);
	lockevent_pass(LE_page_anon, LE_aiodone, 5);
	done();
}

static void
ends_transfers(void *arg)
{
	lockevent_begin(LE_aiodone);
	wants_m();
}

static void
sleeps_with_m(void *arg)
{
	mutex_enter(&m);
	done();
	step(2);
	sleep_for(LE_NONE, 0, "lost");
}

static void
waker(void *arg)
{
	step(1);
	done();
	mutex_enter(&m);
}

static void
wants_another(void *arg)
{
	mutex_enter(&other_m);
	step(1);
	done();
	sleep_for(LE_NONE, 0, "elsewhere");
}

static void
wants_that(void *arg)
{
	step(2);
	mutex_enter(&other_m);
}

/* --- locks, each held by who wants the other --- */

static void
has_m_wants_to_read(void *arg)
{
	mutex_enter(&m);
	done();
	step(2);
	rw_enter(&rw, RW_READER);
}

static void
writes_and_wants_m(void *arg)
{
	rw_enter(&rw, RW_WRITER);
	done();
	step(2);
	mutex_enter(&m);
}

/* Of the same classes, others: nobody waits for him but who has to. */
static void
writes_another_and_wants_another_m(void *arg)
{
	rw_enter(&other_rw, RW_WRITER);
	done();
	step(3);
	mutex_enter(&other_m);
}

static void
has_m_and_waits_to_read(void *arg)
{
	mutex_enter(&m);
	done();
	step(3);
	rw_enter(&rw, RW_READER);
}

static void
keeps_both(void *arg)
{
	rw_enter(&rw, RW_WRITER);
	mutex_enter(&other_m);
	done();
	sleep_for(LE_NONE, 0, "lost");
}

/* Lets the other one have m for a while, and wants what that one keeps. */
static void
lends_m(void *arg)
{
	unsigned spins = 0;

	mutex_enter(&m);
	done();
	while ((__atomic_load_n(&m.mtx_owner, __ATOMIC_RELAXED) & MUTEX_WAITERS) == 0)
		host_relax(&spins);
	mutex_exit(&m);
	step(2);
	mutex_enter(&m);
	rw_enter(&rw, RW_READER);
}

static void
borrows_m(void *arg)
{
	step(1);
	rw_enter(&rw, RW_WRITER);
	mutex_enter(&m);
	mutex_exit(&m);
	done();
	sleep_for(LE_NONE, 0, "lost");
}

/* Has m, and sleeps for page 5, which it gets; then for something else. */
static void
sleeps_twice(void *arg)
{
	mutex_enter(&m);
	done();
	sleep_for(LE_page_anon, 5, "page");
	mutex_exit(&interlock);
	sleep_for(LE_NONE, 0, "lost");
}

static void
wakes_once(void *arg)
{
	unsigned spins = 0;

	step(1);
	lockevent_begin_of(LE_page_anon, 5);
	while (!sleepq_has_waiters(&ready))
		host_relax(&spins);
	lockevent_end_of(LE_page_anon, 5);
	wakeup(&ready);
	lockevent_begin_of(LE_page_anon, 5);
	while (!sleepq_has_waiters(&ready))
		host_relax(&spins);
	mutex_enter(&m);
}

/* => returns when a writer waits for the lock */
static void
wait_for_writer(const krwlock_t *lock)
{
	unsigned spins = 0;

	while ((__atomic_load_n(&lock->rw_owner, __ATOMIC_RELAXED) & RW_WAITERS) == 0)
		host_relax(&spins);
}

static void
read_both(krwlock_t *first, krwlock_t *second)
{
	rw_enter(first, RW_READER);
	done();
	wait_for_writer(second);
	rw_enter(second, RW_READER);
}

static void
reads_rw_first(void *arg)
{
	read_both(&rw, &other_rw);
}

static void
reads_rw_last(void *arg)
{
	read_both(&other_rw, &rw);
}

static void
writes_rw(void *arg)
{
	step(2);
	rw_enter(&rw, RW_WRITER);
}

static void
writes_other_rw(void *arg)
{
	step(2);
	rw_enter(&other_rw, RW_WRITER);
}

/* --- scenes --- */

static void
scene(const char *circle, void (*const fn[LWPS])(void *))
{
	const struct host_sched_config hsc = {
		.hsc_strategy = &host_strategy_random, .hsc_seed = ktest_seed(), .hsc_deadlock = stuck,
	};
	struct lwp *l;

	lockaudit_full = true;
	CHECK(lockdirect_set(circle) != 0);
	CHECK_EQ(host_sched_begin(&hsc), 0);
	ktest_kern(4, ktest_seed());
	ktest_expect_violations();
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("m", 0, LO_NEST_NONE, IPL_NONE));
	mutex_init(&other_m, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("m", 0, LO_NEST_NONE, IPL_NONE));
	rw_init(&rw, lockdebug_class("rw", 0, LO_NEST_NONE, IPL_NONE));
	rw_init(&other_rw, lockdebug_class("rw", 0, LO_NEST_NONE, IPL_NONE));
	mutex_init(&interlock, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
	kpause("begin", 1 + 2 * patience);
	for (int i = 0; i < LWPS && fn[i] != NULL; i++) {
		CHECK_EQ(lwp_create(&l, NULL, "test", fn[i], NULL), 0);
		lwp_start(l);
	}
	mutex_enter(&interlock);
	mtsleep(&l, false, "main", 0, &interlock);
}
#define	SCENE(circle, ...)	scene(circle, (void (*const [LWPS])(void *)){ __VA_ARGS__ })

#define	CONFIRMED	"deadlock: (.*, )?test has "

KTEST_DEATH(the_page_that_is_waited_for, "who has just that page busy closes the circle, and both are named",
    CONFIRMED "page-busy:anon 5 and waits for m [0-9]+")
{
	SCENE("m>page-busy:anon>m", has_m, has_page_5);
}

KTEST_DEATH(another_page, "who has another page busy does not: the hang is that of who has this one", ELSE)
{
	SCENE("m>page-busy:anon>m", has_m, has_page_6, keeps_page_5);
}

KTEST_DEATH(a_page_that_was_let_go, "nor who has let go of it", ELSE)
{
	SCENE("m>page-busy:anon>m", has_m, has_let_go_of_5, keeps_page_5);
}

KTEST_DEATH(a_page_that_is_on_its_way, "a page that was passed to a transfer waits for who ends those",
    CONFIRMED "m [0-9]+ and waits for page-busy:anon 5")
{
	SCENE("m>page-busy:anon=io-done>m", has_m, ends_transfers, passes_page_5);
}

KTEST_DEATH(a_page_that_is_not, "a page that somebody keeps does not", ELSE)
{
	SCENE("m>page-busy:anon=io-done>m", has_m, ends_transfers, keeps_page_5);
}

KTEST_DEATH(a_waker_who_wants_the_lock, "a sleeper whose lock somebody wants may wait for him", CONFIRMED "m [0-9]+ and waits for sleep:lost")
{
	SCENE("m>sleep:lost=m", sleeps_with_m, waker);
}

KTEST_DEATH(a_wakeup_that_nobody_owes, "one whose lock nobody wants was forgotten, be there others who want one of its class", ELSE)
{
	SCENE("m>sleep:lost=m", sleeps_with_m, wants_another, wants_that);
}

KTEST_DEATH(a_sleep_that_is_short, "and one who has just gone to sleep may still be woken, whoever hangs", ELSE)
{
	patience = 1000000000;
	SCENE("m>sleep:lost=m", sleeps_with_m, waker);
}

KTEST_DEATH(a_reader_that_waits_for_a_writer, "a reader waits for a writer as a writer does", CONFIRMED "m [0-9]+ and waits for rw [0-9]+")
{
	SCENE("m>rw>m", has_m_wants_to_read, writes_and_wants_m);
}

KTEST_DEATH(other_locks_of_their_classes, "who has and wants others of the same classes is no part of it", ELSE)
{
	SCENE("m>rw>m", has_m_and_waits_to_read, writes_another_and_wants_another_m, keeps_both);
}

KTEST_DEATH(who_has_waited, "who has got what it waited for does not wait any more", ELSE)
{
	SCENE("m>rw>m", lends_m, borrows_m);
}

KTEST_DEATH(who_has_slept, "nor does who has been woken", ELSE)
{
	SCENE("m>page-busy:anon>m", sleeps_twice, wakes_once);
}

KTEST_DEATH(readers_behind_writers, "readers who wait behind writers do not wait for each other: that is the watchdog's", ELSE)
{
	SCENE("rw>rw>rw", reads_rw_first, reads_rw_last, writes_rw, writes_other_rw);
}

KTEST_MAIN()
