/*
 * Waits that are no lock's: a deadlock through a busy page, through memory or through an
 * interrupt is reported when each side of it has been seen once, by one LWP; and what UVM
 * may do is not.
 */
#include <string.h>

#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/lockevent.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>

#include "../../src/kern/kern_int.h"

static kmutex_t amap, uobj, pool, high, interlock, unranked;
static krwlock_t map;
static kcondvar_t cv;

static void
boot(void)
{
	lockaudit_full = true;
	ktest_kern(2, 1);
	ktest_expect_violations();
	mutex_init(&amap, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	mutex_init(&uobj, MUTEX_DEFAULT, IPL_NONE, LC_uobj);
	mutex_init(&pool, MUTEX_DEFAULT, IPL_VM, LC_pool);
	mutex_init(&high, MUTEX_SPIN, IPL_SCHED, LC_nic);
	mutex_init(&interlock, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
	mutex_init(&unranked, MUTEX_DEFAULT, IPL_NONE,
	    lockdebug_class("unranked", 0, LO_NEST_NONE, IPL_NONE));
	rw_init(&map, LC_map);
	cv_init(&cv, "evt");
}

static unsigned
told(void)
{
	return ktest_violations(VIOL_LOCK_ORDER);
}

static void
with(kmutex_t *m, enum lock_event ev)
{
	lockevent_begin(ev);
	mutex_enter(m);
	mutex_exit(m);
	lockevent_end(ev);
}

/* => one LWP waits for the event with the lock in hand */
static void
waits_with(kmutex_t *m, enum lock_event ev)
{
	mutex_enter(m);
	lockevent_wait(ev);
	mutex_exit(m);
}

/* --- PG_BUSY --- */

KTEST(amap_against_page_busy, "to wait for a busy page with its amap locked is reported: who has it busy may want the amap")
{
	boot();
	with(&amap, LE_page_anon);
	CHECK_EQ(told(), 0);
	waits_with(&amap, LE_page_anon);
	CHECK(told() >= 1);
	CHECK(strstr(ktest_violation.v_message, "page-busy:anon") != NULL);
	CHECK(strstr(ktest_violation.v_message, "amap") != NULL);
	kern_shutdown();
}

KTEST(page_busy_alone, "to wait for it with nothing in hand is not, nor to take the amap with it busy")
{
	boot();
	with(&amap, LE_page_anon);
	lockevent_wait(LE_page_anon);
	rw_enter(&map, RW_READER);		/* a copy from user memory, into a file */
	lockevent_wait(LE_page_file);
	rw_exit(&map);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(map_against_page_busy, "who waits for a busy page may have the map read-locked; so who has it busy only tries the map")
{
	boot();
	rw_enter(&map, RW_READER);
	lockevent_wait(LE_page_file);
	rw_exit(&map);
	lockevent_begin(LE_page_file);
	CHECK(rw_tryenter(&map, RW_READER));	/* H-1 */
	rw_exit(&map);
	CHECK_EQ(told(), 0);
	rw_enter(&map, RW_READER);
	rw_exit(&map);
	lockevent_end(LE_page_file);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(several_busy_pages, "several pages of a file may be waited for with others busy, an anon's not")
{
	boot();
	lockevent_begin(LE_page_file);
	lockevent_begin(LE_page_file);
	CHECK_EQ(lockevent_begun(LE_page_file), 2);
	lockevent_wait(LE_page_file);
	lockevent_end(LE_page_file);
	lockevent_end(LE_page_file);
	CHECK_EQ(told(), 0);
	CHECK_EQ(lockevent_begun(LE_page_file), 0);
	lockevent_begin(LE_page_anon);
	lockevent_wait(LE_page_anon);
	lockevent_end(LE_page_anon);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(page_busy_by_a_transfer, "a page that went out with a transfer is let go by the aiodone LWP, which needs the object")
{
	boot();
	lockevent_begin(LE_page_file);
	lockevent_pass(LE_page_file, LE_aiodone, 0);
	CHECK_EQ(lockevent_begun(LE_page_file), 0);
	with(&unranked, LE_aiodone);
	CHECK_EQ(told(), 0);
	waits_with(&unranked, LE_page_file);
	CHECK_EQ(told(), 1);
	kern_shutdown();
}

KTEST_DEATH(page_busy_by_another, "who lets a busy page go is who made it busy", "the end of page-busy:file, which this LWP has not begun")
{
	boot();
	lockevent_begin(LE_page_anon);
	lockevent_end(LE_page_file);
}

/* --- memory --- */

KTEST(memory_with_a_busy_page, "nobody waits for memory with a busy page in hand (R29)")
{
	boot();
	lockevent_wait(LE_memory);
	CHECK_EQ(told(), 0);
	lockevent_begin(LE_page_file);
	lockevent_wait(LE_memory);
	lockevent_end(LE_page_file);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(daemon_tries_maps, "the page daemon may try a map for which somebody waits with memory short")
{
	boot();
	rw_enter(&map, RW_READER);
	lockevent_wait(LE_memory);
	rw_exit(&map);
	lockevent_begin(LE_memory);
	CHECK(rw_tryenter(&map, RW_WRITER));
	rw_exit(&map);
	CHECK_EQ(told(), 0);
	rw_enter(&map, RW_WRITER);
	rw_exit(&map);
	lockevent_end(LE_memory);
	CHECK(told() >= 1);
	CHECK(strstr(ktest_violation.v_message, "memory") != NULL);
	kern_shutdown();
}

KTEST(aiodone_waits_for_memory, "the aiodone LWP, on whom memory depends, must not wait for it")
{
	boot();
	lockevent_depends(LE_memory, LE_aiodone);
	CHECK_EQ(told(), 0);
	lockevent_begin(LE_aiodone);
	lockevent_wait(LE_memory);
	lockevent_end(LE_aiodone);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(reclaim_waits_for_memory, "nor must the pools' reclaim LWP")
{
	boot();
	lockevent_depends(LE_memory, LE_pool_recl);
	lockevent_begin(LE_pool_recl);
	lockevent_wait(LE_memory);
	lockevent_end(LE_pool_recl);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(daemon_may_pause, "who has only events to end may pause, and sleep")
{
	boot();
	lockevent_begin(LE_memory);
	kpause("pause", 1000);
	yield();
	lockevent_end(LE_memory);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

/* --- other CPUs, interrupts --- */

KTEST(shootdown_with_what_is_spun_for, "no acknowledgement comes from who spins with IPIs blocked for what the asker has")
{
	boot();
	waits_with(&uobj, LE_shootdown);
	mutex_enter(&pool);		/* at IPL_VM: IPIs come in */
	mutex_exit(&pool);
	CHECK_EQ(told(), 0);
	waits_with(&pool, LE_shootdown);
	CHECK(told() >= 1);		/* by its rank */
	mutex_enter(&high);
	mutex_exit(&high);
	CHECK(told() >= 1);
	kern_shutdown();
}

/*
 * => is a cycle told, if a mutex of that IPL is taken, or tried, with the CPU's raised so, and somebody waits for the
 *    event with it in hand?
 */
static bool
spun_for(const char *name, int ipl, int raised, bool tries, enum lock_event ev)
{
	const unsigned before = told();
	kmutex_t m;
	int s;

	mutex_init(&m, MUTEX_SPIN, ipl, lockdebug_class(name, 0, LO_NEST_NONE, ipl));
	s = splraise(raised);
	if (tries)
		CHECK(mutex_tryenter(&m));
	else
		mutex_enter(&m);
	mutex_exit(&m);
	splx(s);
	CHECK(mutex_tryenter(&m));
	lockevent_wait(ev);
	mutex_exit(&m);
	mutex_destroy(&m);
	return told() != before;
}

KTEST(who_is_kept_spinning, "no acknowledgement comes from who spins at the IPI's level, no cross call is taken at IPL_VM; nor in the next boot")
{
	for (int i = 0; i < 2; i++) {
		boot();
		CHECK(spun_for("a", IPL_SCHED, IPL_NONE, false, LE_shootdown));
		CHECK(spun_for("b", IPL_VM, IPL_SCHED, false, LE_shootdown));
		CHECK(!spun_for("c", IPL_VM, IPL_NONE, false, LE_shootdown));
		CHECK(!spun_for("d", IPL_SCHED, IPL_NONE, true, LE_shootdown));
		CHECK(spun_for("e", IPL_VM, IPL_NONE, false, LE_xcall));
		CHECK(spun_for("f", IPL_SOFTNET, IPL_VM, false, LE_xcall));
		CHECK(!spun_for("g", IPL_SOFTNET, IPL_NONE, false, LE_xcall));
		kern_shutdown();
	}
}

static void
biodone(void *arg)
{
	lockevent_begin(LE_disk);
	mutex_enter(&pool);
	mutex_exit(&pool);
	lockevent_end(LE_disk);
}

static void
shoots(void *arg)
{
	lockevent_wait(LE_shootdown);
}

KTEST(wait_in_interrupt, "to wait for an event is not to have it: a handler may, and who is interrupted")
{
	boot();
	lockevent_wait(LE_shootdown);
	intr_establish(IRQ_DEVICE, IPL_VM, shoots, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	CHECK_EQ(ktest_violations(VIOL_INTERRUPT_CONTEXT), 0);
	lockevent_begin(LE_shootdown);		/* but it waits for who is to end it */
	CHECK_EQ(ktest_violations(VIOL_INTERRUPT_CONTEXT), 1);
	lockevent_end(LE_shootdown);
	kern_shutdown();
}

KTEST(disk_with_what_its_interrupt_takes, "nobody waits for the disk, awake, with a lock that its interrupt takes")
{
	boot();
	intr_establish(IRQ_DISK, IPL_VM, biodone, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	lockevent_begin(LE_page_file);
	lockevent_wait(LE_disk);
	lockevent_end(LE_page_file);
	CHECK_EQ(told(), 0);
	waits_with(&pool, LE_disk);
	CHECK(told() >= 1);
	kern_shutdown();
}

/* --- sleeps by their wmesg: who wakes is inferred --- */

static void
doze(void)
{
	mutex_enter(&interlock);
	mtsleep(&map, false, "doze", 1000, &interlock);
	mutex_exit(&interlock);
}

KTEST(next_sleep_is_for_an_event, "who says so sleeps for the event the next time, and only then")
{
	boot();
	lockevent_next(LE_map_busy);
	doze();
	rw_enter(&map, RW_READER);
	doze();
	CHECK_EQ(told(), 0);
	lockevent_next(LE_map_busy);	/* which is not waited for with a map locked */
	doze();
	CHECK(told() >= 1);
	CHECK(strstr(ktest_violation.v_message, "map-busy") != NULL);
	rw_exit(&map);
	kern_shutdown();
}

static bool done;

static void
wake_it(void)
{
	mutex_enter(&interlock);
	done = true;
	cv_signal(&cv);
	mutex_exit(&interlock);
}

/* An LWP that sleeps for cv with the map read-locked, or a while. */
static void
sleep_with_map(void *arg)
{
	rw_enter(&map, RW_READER);
	mutex_enter(&interlock);
	while (!done)
		if (arg == NULL)
			cv_wait(&cv, &interlock);
		else
			(void)cv_timedwait(&cv, &interlock, 1000000);
	mutex_exit(&interlock);
	rw_exit(&map);
}

/* => cv has been ended n times for who slept with the map, by who had m (or nothing) */
static void
sleep_and_wake(int n, kmutex_t *m, void *timed)
{
	struct lwp *l;

	for (int i = 0; i < n; i++) {
		done = false;
		CHECK_EQ(lwp_create(&l, NULL, "sleeper", sleep_with_map, timed), 0);
		lwp_start(l);
		while (!cv_has_waiters(&cv))
			yield();
		if (m != NULL)
			mutex_enter(m);
		wake_it();
		if (m != NULL)
			mutex_exit(m);
		lwp_wait(l);
	}
}

static void
map_under(kmutex_t *m)
{
	mutex_enter(m);
	rw_enter(&map, RW_READER);
	rw_exit(&map);
	mutex_exit(m);
}

KTEST(cv_cycle, "map, sleep, what every waker has, map: a cycle, though the run got by; in the next boot, too")
{
	for (int i = 0; i < 2; i++) {
		kmutex_t engine;	/* rank 5: the rank alone says nothing */
		unsigned before = told();

		boot();
		if (i > 0)		/* what is made at run time has other numbers then */
			doze();
		mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
		sleep_and_wake(3, &engine, NULL);
		lockevent_judge(1);
		CHECK_EQ(told(), before);
		map_under(&engine);
		CHECK(told() > before);
		CHECK(strstr(ktest_violation.v_message, "evt") != NULL);
		kern_shutdown();
	}
}

KTEST(cv_cycle_of_a_few, "of three wakeups nothing is concluded before the end, where more are asked for")
{
	kmutex_t engine;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	sleep_and_wake(3, &engine, NULL);
	map_under(&engine);
	lockevent_judge(LOCKEVENT_LAST);
	CHECK_EQ(told(), 0);
	lockevent_judge(3);
	CHECK(told() >= 1);
	kern_shutdown();
}

/* The lock is taken with the mutex in hand that the sleep gives up, and not taken again. */
static void
sleep_with_unranked(void *arg)
{
	mutex_enter(&interlock);
	mutex_enter(&unranked);
	mtsleep(&done, true, "evt", 0, &interlock);
	mutex_exit(&unranked);
}

KTEST(cv_cycle_through_the_interlock, "who sleeps with a lock that others want with the interlock in hand keeps his waker out")
{
	struct lwp *l;

	boot();
	CHECK_EQ(lwp_create(&l, NULL, "sleeper", sleep_with_unranked, NULL), 0);
	lwp_start(l);
	while (!sleepq_has_waiters(&done))
		yield();
	mutex_enter(&interlock);
	wakeup(&done);
	mutex_exit(&interlock);
	lwp_wait(l);
	CHECK_EQ(told(), 0);
	lockevent_judge(1);
	CHECK_EQ(told(), 1);
	kern_shutdown();
}

KTEST(cv_cycle_that_is_none, "when one waker did without, nobody needs it")
{
	kmutex_t engine;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	sleep_and_wake(2, &engine, NULL);
	sleep_and_wake(1, NULL, NULL);
	lockevent_judge(1);
	map_under(&engine);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(cv_first_waker_without, "be it the first one")
{
	kmutex_t engine;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	sleep_and_wake(1, NULL, NULL);
	sleep_and_wake(1, &engine, NULL);
	lockevent_judge(1);
	map_under(&engine);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(cv_waker_with_what_the_sleeper_has, "what a sleeper has in hand while he is woken was not needed to wake him")
{
	struct lwp *l;

	boot();
	done = false;
	CHECK_EQ(lwp_create(&l, NULL, "sleeper", sleep_with_map, NULL), 0);
	lwp_start(l);
	while (!cv_has_waiters(&cv))
		yield();
	rw_enter(&map, RW_READER);		/* he reads it as well */
	wake_it();
	rw_exit(&map);
	lwp_wait(l);
	lockevent_judge(1);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

static void
wake_from_interrupt(void *arg)
{
	wakeup(&done);
}

static void
sleep_with_map_once(void *arg)
{
	rw_enter(&map, RW_READER);
	mutex_enter(&interlock);
	mtsleep(&done, true, "evt", 0, &interlock);
	rw_exit(&map);
}

KTEST(cv_woken_by_an_interrupt, "an interrupt that wakes needs nothing of whom it interrupts")
{
	kmutex_t engine;
	struct lwp *l;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	intr_establish(IRQ_DEVICE, IPL_VM, wake_from_interrupt, NULL);
	CHECK_EQ(lwp_create(&l, NULL, "sleeper", sleep_with_map_once, NULL), 0);
	lwp_start(l);
	while (!sleepq_has_waiters(&done))
		yield();
	mutex_enter(&engine);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	mutex_exit(&engine);
	lwp_wait(l);
	map_under(&engine);
	lockevent_judge(1);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

/* Sleeps twice: for who has something, and for a declared event. */
static void
sleep_with_map_and_for_memory(void *arg)
{
	sleep_with_map(NULL);
	mutex_enter(&interlock);
	lockevent_next(LE_memory);
	mtsleep(&done, true, "evt", 0, &interlock);
}

KTEST(cv_and_a_declared_event, "a wakeup for a declared event says nothing of the sleep before")
{
	kmutex_t engine;
	struct lwp *l;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	done = false;
	CHECK_EQ(lwp_create(&l, NULL, "sleeper", sleep_with_map_and_for_memory, NULL), 0);
	lwp_start(l);
	while (!cv_has_waiters(&cv))
		yield();
	mutex_enter(&engine);
	wake_it();
	mutex_exit(&engine);
	while (!sleepq_has_waiters(&done))
		yield();
	wakeup(&done);
	lwp_wait(l);
	map_under(&engine);
	lockevent_judge(1);
	CHECK(told() >= 1);
	kern_shutdown();
}

KTEST(cv_with_a_timeout, "a sleep with a time-out ends by itself")
{
	kmutex_t engine;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	sleep_and_wake(3, &engine, (void *)1);
	lockevent_judge(1);
	map_under(&engine);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(cv_is_sure_after_many, "after so many wakeups the run does not wait for its end to tell")
{
	kmutex_t engine;

	boot();
	mutex_init(&engine, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	map_under(&engine);
	sleep_and_wake(LOCKEVENT_SURE - 1, &engine, NULL);
	CHECK_EQ(told(), 0);
	sleep_and_wake(2, &engine, NULL);
	CHECK(told() >= 1);
	kern_shutdown();
}

/* --- callbacks --- */

static void
take_map(struct rcu_head *rh)
{
	rw_enter(&map, RW_WRITER);
	rw_exit(&map);
}

KTEST(rcu_barrier_with_what_a_callback_takes, "who waits for callbacks has none of their locks")
{
	static struct rcu_head rh;

	boot();
	call_rcu(&rh, take_map);
	rcu_barrier();
	CHECK_EQ(told(), 0);
	rw_enter(&map, RW_READER);
	rcu_barrier();			/* none is queued: this time it does not hang */
	rw_exit(&map);
	CHECK(told() >= 1);
	kern_shutdown();
}

/* --- off --- */

KTEST(nothing_when_off, "with audit=order none of this is looked at")
{
	boot();
	kern_shutdown();
	lockaudit_full = false;
	ktest_kern(1, 1);
	with(&amap, LE_page_anon);
	waits_with(&amap, LE_page_anon);
	CHECK_EQ(lockevent_begun(LE_page_anon), 0);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST_MAIN()
