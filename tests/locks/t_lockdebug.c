/*
 * Lock debugging: each mistake is found, and what is allowed is not.
 */
#include <string.h>

#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>

static kmutex_t m, m2, spin, pair[2];
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

KTEST(memory_freed_beside_a_held_lock, "what ends where a held lock begins, or begins where it ends, is")
{
	boot();
	for (int i = 0; i < 2; i++)
		mutex_init(&pair[i], MUTEX_DEFAULT, IPL_NONE, LC_uobj);
	for (int i = 0; i < 2; i++) {
		mutex_enter(&pair[i]);
		lockdebug_mem_check(&pair[!i], sizeof(pair[!i]));
		mutex_exit(&pair[i]);
	}
	kern_shutdown();
}

KTEST_DEATH(nested_in_another_class, "the parent of a nested lock is one of its class", "its parent is not held")
{
	boot();
	mutex_enter(&m2);
	mutex_enter_nested(&m, &m2);
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

/* Nobody looks before: who waits for himself is told when he begins to wait. */
static void
boot_bare(void)
{
	lockdebug_on = false;
	boot();
}

KTEST_DEATH(mutex_against_myself_without_lock_debugging, "that is so without lock debugging", "uobj: locking against myself")
{
	boot_bare();
	mutex_enter(&m);
	mutex_enter(&m);
}

KTEST_DEATH(spin_against_myself_without_lock_debugging, "of a spin mutex, too", "fpageq: locking against myself")
{
	boot_bare();
	mutex_enter(&spin);
	mutex_enter(&spin);
}

KTEST_DEATH(writer_against_myself_without_lock_debugging, "and of a writer", "map: locking against myself")
{
	boot_bare();
	rw_enter(&rw, RW_WRITER);
	rw_enter(&rw, RW_READER);
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

KTEST_DEATH(upgrade_of_a_free_rwlock, "it is upgraded by a reader", "not held for reading")
{
	boot();
	rw_tryupgrade(&rw);
}

KTEST_DEATH(upgrade_of_a_writer, "which a writer is not", "not held for reading")
{
	boot();
	rw_enter(&rw, RW_WRITER);
	rw_tryupgrade(&rw);
}

KTEST_DEATH(downgrade_of_a_reader, "and downgraded by the writer", "not held for writing")
{
	boot();
	rw_enter(&rw, RW_READER);
	rw_downgrade(&rw);
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

/* --- faults --- */

KTEST_DEATH(fault_with_a_lock, "nobody is about to fault with a lock held", "copyin with uobj held")
{
	boot();
	mutex_enter(&m);
	lockdebug_fault_barrier("copyin");
}

KTEST_DEATH(fault_at_ipl, "nor above IPL_NONE", "copyin at IPL")
{
	boot();
	splvm();
	lockdebug_fault_barrier("copyin");
}

KTEST(fault_with_a_vnode, "but with a vnode's: a write() reads its buffer")
{
	kmutex_t vnode;

	boot();
	mutex_init(&vnode, MUTEX_DEFAULT, IPL_NONE, LC_vnode);
	mutex_enter(&vnode);
	lockdebug_fault_barrier("copyin");
	mutex_exit(&vnode);
	kern_shutdown();
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

static bool
told_is(const char *begin)
{
	return strncmp(told, begin, strlen(begin)) == 0;
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

static void
hold_all(void)
{
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
}

KTEST(holds, "the held list follows enter, exit in any order, upgrade and downgrade; the second time, by the short way, too")
{
	boot();
	for (int i = 0; i < 3; i++)
		hold_all();
	kern_shutdown();
}

/*
 * --- the short way: what is known is not judged again, but looked at ---
 *
 * Each of these has one place at which it takes a lock, and has been there before.
 */

static kmutex_t *taken;
static void (*at_the_place)(void);

static __attribute__((noinline)) void
go(void)
{
	mutex_enter(taken);
	mutex_exit(taken);
}

static __attribute__((noinline)) void
go_trying(void)
{
	CHECK(mutex_tryenter(taken));
	mutex_exit(taken);
}

static __attribute__((noinline)) void
go_reading(void)
{
	rw_enter(&rw, RW_READER);
	rw_exit(&rw);
}

/* => how it is held, at a place in the stack where there was something else */
static __attribute__((noinline)) struct held_lock
go_as(int how)
{
	struct held_stack *const hs = &curlwp->l_held;
	struct held_lock hl;

	if (hs->hs_v != NULL)
		memset(&hs->hs_v[0], 0x5a, sizeof(hs->hs_v[0]));
	if (how == 0 || how == 1)
		mutex_enter(how == 0 ? &m : &spin);
	else if (how == 2)
		CHECK(mutex_tryenter(&spin));
	else
		rw_enter(&rw, how == 3 ? RW_READER : RW_WRITER);
	CHECK_EQ(hs->hs_n, 1);
	hl = hs->hs_v[0];
	if (how == 0)
		mutex_exit(&m);
	else if (how <= 2)
		mutex_exit(&spin);
	else
		rw_exit(&rw);
	return hl;
}

KTEST(known_way_leaves_the_same, "what is held is noted by the short way as by the long one")
{
	boot();
	for (int how = 0; how <= 4; how++) {
		const struct held_lock first = go_as(how), again = go_as(how);

		CHECK(first.hl_lock == again.hl_lock && first.hl_where == again.hl_where);
		CHECK_EQ(first.hl_chain, again.hl_chain);
		CHECK_EQ(first.hl_since, again.hl_since);
		CHECK_EQ(first.hl_class, again.hl_class);
		CHECK_EQ(first.hl_id, again.hl_id);
		CHECK_EQ(first.hl_how, again.hl_how);
		CHECK_EQ(first.hl_ipl, again.hl_ipl);
		CHECK_EQ(first.hl_depth, again.hl_depth);
		CHECK_EQ(first.hl_level, again.hl_level);
		CHECK_EQ(first.hl_user, again.hl_user);
	}
	kern_shutdown();
}

static void
go_in_interrupt(void *arg)
{
	at_the_place();
}

/* => the way of the mutex, or of rw, is known */
static void
boot_known(void (*fn)(void), kmutex_t *mtx)
{
	boot();
	taken = mtx;
	at_the_place = fn;
	for (int i = 0; i < 3; i++)
		fn();
}

KTEST_DEATH(known_way_to_a_destroyed_mutex, "a destroyed mutex cannot be taken where it has been taken before", "or destroyed")
{
	boot_known(go, &m);
	mutex_destroy(&m);
	go();
}

KTEST_DEATH(known_way_to_try_a_destroyed_mutex, "nor be tried", "or destroyed")
{
	boot_known(go_trying, &m);
	mutex_destroy(&m);
	go_trying();
}

KTEST_DEATH(known_way_to_a_destroyed_rwlock, "nor an rwlock", "or destroyed")
{
	boot_known(go_reading, NULL);
	rw_destroy(&rw);
	go_reading();
}

KTEST_DEATH(I_PD_4_known_way_to_a_mutex, "who may only try must not wait for what he has waited for before", "waits for a lock of class uobj")
{
	boot_known(go, &m);
	curlwp->l_onlytry = UINT64_C(1) << LC_uobj;
	go();
}

KTEST_DEATH(I_PD_4_known_way_to_an_rwlock, "... nor for an rwlock", "waits for a lock of class map")
{
	boot_known(go_reading, NULL);
	curlwp->l_onlytry = UINT64_C(1) << LC_map;
	go_reading();
}

KTEST(known_way_at_a_higher_ipl, "an adaptive lock above IPL_NONE is reported where it has been taken at IPL_NONE")
{
	int s;

	boot_known(go, &m);
	failure_sink = note;
	s = splvm();
	go();
	splx(s);
	CHECK_EQ(ntold, 1);
	CHECK(told_is("sleep-at-ipl:"));
	kern_shutdown();
}

KTEST(known_way_under_a_spin_mutex_of_no_ipl, "... or with a spin mutex held that raises none")
{
	kmutex_t bare;

	boot_known(go, &m);
	failure_sink = note;
	mutex_init(&bare, MUTEX_SPIN, IPL_NONE, LC_test);
	mutex_enter(&bare);
	go();
	mutex_exit(&bare);
	CHECK_EQ(ntold, 1);
	CHECK(told_is("sleep-with-spin:"));
	kern_shutdown();
}

KTEST(known_way_in_an_interrupt, "an adaptive lock in an interrupt is reported where it has been taken by an LWP")
{
	boot_known(go, &m);
	failure_sink = note;
	intr_establish(IRQ_DISK, IPL_VM, go_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	ktest_settle();
	CHECK(told_is("ipl-inversion: uobj is taken in an interrupt"));	/* the last thing that is said of it */
	kern_shutdown();
}

/* A is taken in an interrupt; A, then B; B with the interrupt open */
KTEST(known_way_of_a_spin_mutex_in_an_interrupt, "that an interrupt takes a class is noted where an LWP has taken it before")
{
	static kmutex_t a, b;

	boot();
	mutex_init(&a, MUTEX_SPIN, IPL_VM, lockdebug_class("A", 0, LO_NEST_NONE, IPL_VM));
	mutex_init(&b, MUTEX_SPIN, IPL_NONE, lockdebug_class("B", 0, LO_NEST_NONE, LC_IPL_ANY));
	failure_sink = note;
	taken = &a;
	at_the_place = go;
	go();
	go();
	intr_establish(IRQ_DISK, IPL_VM, go_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	mutex_enter(&a);
	mutex_enter(&b);
	mutex_exit(&b);
	mutex_exit(&a);
	CHECK_EQ(ntold, 0);
	mutex_enter(&b);
	mutex_exit(&b);
	CHECK_EQ(ntold, 1);
	CHECK(told_is("ipl-inversion: A is taken in an interrupt"));
	kern_shutdown();
}

static __attribute__((noinline)) void
both_maps(krwlock_t *first, krwlock_t *second)
{
	rw_enter(first, RW_WRITER);
	rw_enter(second, RW_WRITER);
	rw_exit(second);
	rw_exit(first);
}

static krwlock_t young;

static void
both_in_order(void *arg)
{
	for (int i = 0; i < 3; i++)
		both_maps(&rw, &young);
}

/* => a way that lwp0 alone has gone, or others as well */
static void
two_by_birth(int others)
{
	boot();
	ntold = 0;
	failure_sink = note;
	rw_init(&young, LC_map);
	both_in_order(NULL);
	ktest_lwps(others, both_in_order);
	CHECK_EQ(ntold, 0);
	taken = &m;			/* older than both, and where the first of them is to be */
	go();
	both_maps(&young, &rw);
	CHECK_EQ(ntold, 1);
	CHECK(told_is("lock-nesting:"));
	kern_shutdown();
}

KTEST(known_way_of_two_by_birth, "which of two was born first is looked at each time")
{
	two_by_birth(0);
	two_by_birth(2);
}

/* => m was wanted with rw held so */
static bool
wanted_under(enum lockgraph_mode mode)
{
	const struct lockgraph *lg = lockorder_export();

	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		if (strcmp(lg->lg_classes[lg->lg_edges[i].lge_from].lgc_name, "map") == 0 &&
		    strcmp(lg->lg_classes[lg->lg_edges[i].lge_to].lgc_name, "uobj") == 0 &&
		    lg->lg_edges[i].lge_from_mode == mode)
			return true;
	return false;
}

KTEST(known_way_after_an_upgrade, "what is wanted after an upgrade is wanted with the lock held for writing, and after a downgrade for reading")
{
	boot_known(go, &m);
	rw_enter(&rw, RW_READER);
	go();
	CHECK(!wanted_under(LOCKGRAPH_M_WRITE));
	CHECK(rw_tryupgrade(&rw));
	go();
	CHECK(wanted_under(LOCKGRAPH_M_WRITE));
	rw_exit(&rw);
	kern_shutdown();

	boot_known(go, &m);
	rw_enter(&rw, RW_WRITER);
	go();
	CHECK(!wanted_under(LOCKGRAPH_M_READ));
	rw_downgrade(&rw);
	go();
	CHECK(wanted_under(LOCKGRAPH_M_READ));
	rw_exit(&rw);
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

/* --- spl --- */

/* => rules told, when the IPL falls so far below what was raised over these locks */
static int
fall_to(int ipl, kmutex_t *inner)
{
	const int before = ntold;
	int s;

	mutex_enter(&m);
	mutex_enter(&spin);
	if (inner != NULL)
		mutex_enter(inner);
	s = splhigh();
	(void)s;
	splx(ipl);
	if (inner != NULL)
		mutex_exit(inner);
	mutex_exit(&spin);
	mutex_exit(&m);
	return ntold - before;
}

static kmutex_t sched;

static void
fall_in_interrupt(void *arg)
{
	mutex_enter(&sched);
	splhigh();
	splx(IPL_VM);
	mutex_exit(&sched);
}

KTEST(ipl_falls_below_any_spin_mutex, "the IPL does not fall below that of a spin mutex, whichever of those held it is")
{
	boot();
	failure_sink = note;
	mutex_init(&sched, MUTEX_SPIN, IPL_SCHED, lockdebug_class("sched", 0, LO_NEST_NONE, IPL_SCHED));
	CHECK_EQ(fall_to(IPL_VM, NULL), 0);
	CHECK_EQ(fall_to(IPL_SCHED, &sched), 0);
	CHECK_EQ(fall_to(IPL_NONE, NULL), 1);
	CHECK(told_is("spl-below-lock: IPL falls to 0 with spin lock fpageq"));
	CHECK_EQ(fall_to(IPL_VM, &sched), 1);
	CHECK(told_is("spl-below-lock: IPL falls to 5 with spin lock sched"));
	kern_shutdown();
}

KTEST(ipl_falls_in_an_interrupt, "nor in a handler that holds one")
{
	boot();
	failure_sink = note;
	mutex_init(&sched, MUTEX_SPIN, IPL_SCHED, lockdebug_class("sched", 0, LO_NEST_NONE, IPL_SCHED));
	intr_establish(IRQ_DISK, IPL_VM, fall_in_interrupt, NULL);
	mutex_enter(&m);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	mutex_exit(&m);
	ktest_settle();
	CHECK_EQ(ntold, 1);
	CHECK(told_is("spl-below-lock: IPL falls to 5 with spin lock sched"));
	kern_shutdown();
}

KTEST_MAIN()
