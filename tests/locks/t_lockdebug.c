/*
 * Lock debugging: each mistake is found, and what is allowed is not.
 */
#include <string.h>

#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>

static kmutex_t m, m2, spin;
static krwlock_t rw;
static int chan;

static void
boot(void)
{
	ktest_kern(2, 1);
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_uobj);
	mutex_init(&m2, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_fpageq);
	rw_init(&rw, LC_map);
}

/* --- one lock --- */

KTEST(may_only_try, "who may only try locks of a class may try them, and wait for others")
{
	boot();
	curlwp->l_onlytry = UINT64_C(1) << LC_uobj | UINT64_C(1) << LC_map;
	CHECK(mutex_tryenter(&m));
	mutex_exit(&m);
	CHECK(rw_tryenter(&rw, RW_WRITER));
	rw_exit(&rw);
	mutex_enter(&m2);
	mutex_exit(&m2);
}

KTEST_DEATH(I_PD_4_waits_for_a_lock_it_may_only_try, "who may only try locks of a class must not wait for a mutex",
    "waits for a lock of class uobj")
{
	boot();
	curlwp->l_onlytry = UINT64_C(1) << LC_uobj;
	mutex_enter(&m);
}

KTEST_DEATH(I_PD_4_waits_for_an_rwlock_it_may_only_try, "... nor for an rwlock", "waits for a lock of class map")
{
	boot();
	curlwp->l_onlytry = UINT64_C(1) << LC_map;
	rw_enter(&rw, RW_READER);
}

KTEST_DEATH(uninitialised_mutex, "a mutex must be initialised", "not initialised")
{
	static kmutex_t never;

	boot();
	mutex_enter(&never);
}

KTEST_DEATH(destroyed_mutex, "a destroyed mutex cannot be taken", "or destroyed")
{
	boot();
	mutex_destroy(&m);
	mutex_enter(&m);
}

KTEST_DEATH(destroyed_rwlock, "a destroyed rwlock cannot be taken", "or destroyed")
{
	boot();
	rw_destroy(&rw);
	rw_tryenter(&rw, RW_READER);
}

KTEST_DEATH(mutex_initialised_twice, "a mutex that lives is not initialised again", "mutex_init: uobj")
{
	boot();
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_uobj);
}

KTEST_DEATH(rwlock_initialised_twice, "an rwlock that lives is not initialised again", "rw_init: map")
{
	boot();
	rw_init(&rw, LC_map);
}

KTEST_DEATH(mutex_destroyed_while_held, "a held mutex is not destroyed", "uobj is held")
{
	boot();
	mutex_enter(&m);
	mutex_destroy(&m);
}

KTEST_DEATH(rwlock_destroyed_while_held, "a held rwlock is not destroyed", "map is held")
{
	boot();
	rw_enter(&rw, RW_READER);
	rw_destroy(&rw);
}

KTEST_DEATH(memory_freed_with_a_held_lock, "memory with a held lock in it is not freed", "memory freed")
{
	boot();
	mutex_enter(&m);
	lockdebug_mem_check(&m, sizeof(m));
}

static kcondvar_t cv;

static void
wait_for_ever(void *arg)
{
	mutex_enter(&m);
	cv_wait(&cv, &m);
}

KTEST_DEATH(cv_destroyed_with_waiters, "a cv with waiters is not destroyed", "has waiters")
{
	struct lwp *l;

	boot();
	cv_init(&cv, "ever");
	CHECK_EQ(lwp_create(&l, NULL, "waiter", wait_for_ever, NULL), 0);
	lwp_start(l);
	while (!cv_has_waiters(&cv))
		yield();
	cv_destroy(&cv);
}

/* --- one LWP --- */

KTEST_DEATH(mutex_against_myself, "a mutex does not recurse", "uobj: locking against myself")
{
	boot();
	mutex_enter(&m);
	mutex_enter(&m);
}

KTEST_DEATH(spin_against_myself, "nor does a spin mutex", "fpageq: locking against myself")
{
	boot();
	mutex_enter(&spin);
	mutex_enter(&spin);
}

KTEST_DEATH(writer_against_myself, "nor an rwlock for writing", "map: locking against myself")
{
	boot();
	rw_enter(&rw, RW_WRITER);
	rw_enter(&rw, RW_WRITER);
}

KTEST_DEATH(I_SMP_6_read_twice, "nor a read hold", "map: locking against myself")
{
	boot();
	rw_enter(&rw, RW_READER);
	rw_enter(&rw, RW_READER);
}

KTEST_DEATH(I_SMP_6_tryread_twice, "not even by tryenter", "map: locking against myself")
{
	boot();
	rw_enter(&rw, RW_READER);
	rw_tryenter(&rw, RW_READER);
}

KTEST_DEATH(exit_of_a_free_mutex, "a mutex is released by its owner", "uobj is not held by this LWP")
{
	boot();
	mutex_exit(&m);
}

KTEST_DEATH(exit_of_a_free_rwlock, "so is an rwlock", "map is not held by this LWP")
{
	boot();
	rw_exit(&rw);
}

KTEST_DEATH(pause_with_a_lock, "nobody pauses with a lock held",
    "pause with 1 locks held, the last one uobj")
{
	boot();
	mutex_enter(&m);
	kpause("pause", 1000);
}

static void
read_rw(void *arg)
{
	rw_enter(&rw, RW_READER);
	mutex_enter(&m);
	mtsleep(&chan, true, "reader", 0, &m);
}

KTEST_DEATH(exit_of_another_reader, "a reader's hold is released by that reader",
    "release of a lock that this LWP does not hold")
{
	struct lwp *l;

	boot();
	CHECK_EQ(lwp_create(&l, NULL, "reader", read_rw, NULL), 0);
	lwp_start(l);
	while (!sleepq_has_waiters(&chan))
		yield();
	rw_exit(&rw);
}

/* --- sleeping --- */

KTEST_DEATH(adaptive_with_spin_held, "an adaptive lock is not taken with a spin lock held",
    "sleep-with-spin")
{
	boot();
	mutex_enter(&spin);
	mutex_enter(&m);
}

KTEST_DEATH(sleep_with_spin_held, "nobody sleeps with a spin mutex held", "sleep with a spin lock held")
{
	boot();
	mutex_enter(&m);
	mutex_enter(&spin);
	mtsleep(&chan, false, "sleep", 0, &m);
}

KTEST_DEATH(sleep_at_ipl, "nobody sleeps above IPL_NONE", "sleep at IPL")
{
	boot();
	mutex_enter(&m);
	splvm();
	mtsleep(&chan, false, "sleep", 0, &m);
}

KTEST_DEATH(R14_4_sleep_with_amap, "nobody sleeps with an amap locked (14.4)", "sleep with amap held")
{
	boot();
	mutex_enter(&m2);
	mutex_enter(&m);
	mtsleep(&chan, false, "sleep", 1000, &m);
}

KTEST(sleep_with_map_read, "sleeping with a map read-locked is allowed")
{
	boot();
	rw_enter(&rw, RW_READER);
	mutex_enter(&m);
	mtsleep(&chan, true, "sleep", 1000, &m);
	rw_exit(&rw);
	kern_shutdown();
}

KTEST_DEATH(return_to_user_with_lock, "nobody returns to user mode with a lock held",
    "return to user with 1 locks held, the last one uobj")
{
	boot();
	mutex_enter(&m);
	lwp_userret(1);
}

KTEST_DEATH(return_to_user_at_ipl, "nor above IPL_NONE", "return to user at IPL")
{
	boot();
	splhigh();
	lwp_userret(1);
}

static void
exit_with_m(void *arg)
{
	mutex_enter(&m);
}

KTEST_DEATH(exit_with_lock, "nor does an LWP exit with one", "exit with 1 locks held")
{
	boot();
	ktest_lwps(1, exit_with_m);
}

KTEST_DEATH(yield_with_lock, "nor yields", "yield with 1 locks held")
{
	boot();
	mutex_enter(&m);
	yield();
}

KTEST_DEATH(without_a_cpu_with_lock, "nor blocks in the host", "lwp_release_cpu with 1 locks held")
{
	boot();
	mutex_enter(&m);
	lwp_release_cpu();
}

static void
end_at_once(void *arg)
{
}

KTEST_DEATH(wait_for_an_end_with_lock, "nor waits for another LWP's end, be that there or not", "lwp_wait with 1 locks held")
{
	struct lwp *l;

	boot();
	CHECK_EQ(lwp_create(&l, NULL, "ends", end_at_once, NULL), 0);
	lwp_start(l);
	kpause("ends", 1000000);
	mutex_enter(&m);
	lwp_wait(l);
}

/* --- interrupts --- */

static void
take_m_in_interrupt(void *arg)
{
	mutex_enter(&m);
}

KTEST_DEATH(adaptive_in_interrupt, "an interrupt handler takes no adaptive lock", "lock-in-interrupt")
{
	boot();
	intr_establish(IRQ_DISK, IPL_VM, take_m_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
}

static void
sleep_in_interrupt(void *arg)
{
	mutex_enter(&spin);
	mtsleep(&chan, true, "sleep", 0, &spin);
}

KTEST_DEATH(sleep_in_interrupt_context, "an interrupt handler does not sleep", "in interrupt context")
{
	boot();
	intr_establish(IRQ_DISK, IPL_VM, sleep_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
}

/* --- order --- */

static char told[640];			/* the last violation */
static int ntold;

static bool
note(const struct violation *v)
{
	snprintf(told, sizeof(told), "%s: %s", v->v_id, v->v_message);
	ntold++;
	return true;
}

static void
take_in_the_wrong_order(void)
{
	mutex_enter(&m2);		/* amap 70 */
	mutex_enter(&m);		/* uobj 80 */
	CHECK_EQ(ntold, 0);
	mutex_exit(&m2);
	mutex_enter(&m2);
	CHECK_EQ(ntold, 1);
	CHECK(strcmp(told, "lock-order: amap (rank 70) wanted while uobj (rank 80) is held "
	    "(locks are taken in a circle: amap -> uobj, uobj -> amap)") == 0);
	mutex_exit(&m2);
	mutex_enter(&m2);
	CHECK_EQ(ntold, 1);
	mutex_exit(&m2);
	mutex_exit(&m);
}

KTEST(rank_order, "a lock of lower rank is reported, once for each pair, and the run goes on")
{
	boot();
	failure_sink = note;
	take_in_the_wrong_order();
	kern_shutdown();
}

KTEST(rank_order_is_told_again_after_boot, "a second boot in the process reports what the first has reported")
{
	for (int i = 0; i < 2; i++) {
		boot();
		failure_sink = note;
		ntold = 0;
		take_in_the_wrong_order();
		mutex_destroy(&m);
		mutex_destroy(&m2);
		kern_shutdown();
	}
}

KTEST(rank_order_is_for_waiters, "tryenter may go against the order")
{
	boot();
	failure_sink = note;
	mutex_enter(&m);
	CHECK(mutex_tryenter(&m2));
	CHECK_EQ(ntold, 0);
	rw_enter(&rw, RW_READER);	/* map 40, under both */
	CHECK_EQ(ntold, 1);
	rw_exit(&rw);
	mutex_exit(&m2);
	mutex_exit(&m);
	kern_shutdown();
}

KTEST(nesting, "two locks of a class nest only where the table says NEST")
{
	kmutex_t amap2, uobj2;

	boot();
	failure_sink = note;
	mutex_init(&amap2, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	mutex_init(&uobj2, MUTEX_DEFAULT, IPL_NONE, LC_uobj);
	mutex_enter(&m2);
	mutex_enter_nested(&amap2, &m2);
	CHECK_EQ(ntold, 0);
	mutex_enter(&m);
	mutex_enter(&uobj2);
	CHECK_EQ(ntold, 1);
	mutex_exit(&uobj2);
	mutex_exit(&m);
	mutex_exit(&amap2);
	mutex_exit(&m2);
	kern_shutdown();
}

KTEST(table_is_sane, "every class has a name, a reason, a rank above 0")
{
	for (int i = 0; i < LC_COUNT; i++) {
		CHECK(lock_classes[i].lc_name[0] != '\0');
		CHECK(lock_classes[i].lc_reason[0] != '\0');
		CHECK(lock_classes[i].lc_rank > 0);
	}
}

KTEST(holds, "the held list follows enter, exit in any order, upgrade and downgrade")
{
	boot();
	CHECK_EQ(lockdebug_holds(&m), -1);
	rw_enter(&rw, RW_READER);
	mutex_enter(&m2);
	mutex_enter(&m);
	mutex_enter(&spin);
	CHECK_EQ(curlwp->l_held.hs_n, 4);
	CHECK_EQ(lockdebug_holds(&rw), LOCK_READ);
	CHECK_EQ(lockdebug_holds(&spin), LOCK_SPIN);
	mutex_exit(&spin);
	mutex_exit(&m2);
	CHECK_EQ(lockdebug_holds(&m2), -1);
	CHECK_EQ(lockdebug_holds(&m), LOCK_ADAPTIVE);
	CHECK(rw_tryupgrade(&rw));
	CHECK_EQ(lockdebug_holds(&rw), LOCK_ADAPTIVE);
	rw_downgrade(&rw);
	CHECK_EQ(lockdebug_holds(&rw), LOCK_READ);
	rw_exit(&rw);
	mutex_exit(&m);
	CHECK_EQ(curlwp->l_held.hs_n, 0);
	kern_shutdown();
}

KTEST_DEATH(report_names_locks_and_functions, "a panic tells the locks held and who called",
    "holds uobj [0-9]+ \\(exclusive\\) at report_names_locks_and_functions")
{
	boot();
	mutex_enter(&m);
	panic("on purpose");
}

/* --- an interrupt over locks of the LWP that it interrupts --- */

static kmutex_t below, wanted;

static void
take_wanted(void *arg)
{
	mutex_enter(&wanted);
	mutex_exit(&wanted);
}

/*
 * => violations, when an interrupt takes a lock of that class over one of another, of IPL_NONE,
 *    which somebody has, or has not, been seen to want with the first one held
 */
static unsigned
interrupt_over(enum lock_class held, enum lock_class class, bool wants)
{
	unsigned before;

	ktest_kern(1, 1);
	ktest_expect_violations();
	before = ktest_violations(VIOL_LOCK_ORDER) + ktest_violations(VIOL_INTERRUPT_CONTEXT);
	mutex_init(&below, MUTEX_SPIN, IPL_NONE, held);
	mutex_init(&wanted, MUTEX_SPIN, IPL_VM, class);
	intr_establish(IRQ_DISK, IPL_VM, take_wanted, NULL);
	if (wants) {
		mutex_enter(&wanted);
		mutex_enter(&below);
		mutex_exit(&below);
		mutex_exit(&wanted);
	}
	mutex_enter(&below);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	mutex_exit(&below);
	mutex_destroy(&below);
	mutex_destroy(&wanted);
	kern_shutdown();
	return ktest_violations(VIOL_LOCK_ORDER) + ktest_violations(VIOL_INTERRUPT_CONTEXT) - before;
}

KTEST(interrupt_over_a_peer_of_lower_ipl, "who has a lock of a class does not wait for another of it, so an interrupt may want one")
{
	CHECK_EQ(interrupt_over(LC_pool, LC_pool, false), 0);
}

KTEST(interrupt_over_a_lock_of_higher_rank, "who has the lock that an interrupt wants may wait for the one below")
{
	CHECK_EQ(interrupt_over(LC_disk, LC_pool, true), 1);
	CHECK_EQ(interrupt_over(LC_disk, LC_pool, false), 0);
}

KTEST_MAIN()
