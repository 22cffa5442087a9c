/* condvar(9), mtsleep and wakeup. */
#include <errno.h>

#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/sleepq.h>

static kmutex_t m;
static kcondvar_t not_empty, not_full;

static void
boot(int n)
{
	ktest_kern(n, ktest_seed());
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_test);
	cv_init(&not_empty, "notempty");
	cv_init(&not_full, "notfull");
}

static void
shutdown(void)
{
	cv_destroy(&not_empty);
	cv_destroy(&not_full);
	mutex_destroy(&m);
	kern_shutdown();
}

/* --- a bounded buffer: one lost wakeup and it stands still --- */

#define	ITEMS	4000
#define	SLOTS	3

static int queue[SLOTS];		/* m */
static int head, fill;			/* m */
static uint64_t sum_in, sum_out;	/* m */

static void
produce(void)
{
	for (int i = 0; i < ITEMS; i++) {
		mutex_enter(&m);
		while (fill == SLOTS)
			cv_wait(&not_full, &m);
		queue[(head + fill++) % SLOTS] = i;
		sum_in += (uint64_t)i;
		cv_signal(&not_empty);
		mutex_exit(&m);
	}
}

static void
consume(void)
{
	for (int i = 0; i < ITEMS; i++) {
		mutex_enter(&m);
		while (fill == 0)
			cv_wait(&not_empty, &m);
		sum_out += (uint64_t)queue[head];
		head = (head + 1) % SLOTS;
		fill--;
		cv_signal(&not_full);
		mutex_exit(&m);
	}
}

static void
produce_or_consume(void *arg)
{
	if (((intptr_t)arg & 1) != 0)
		produce();
	else
		consume();
}

KTEST(no_wakeup_is_lost, "producers and consumers on 4 CPUs move every item")
{
	boot(4);
	ktest_lwps(6, produce_or_consume);
	CHECK_EQ(sum_in, sum_out);
	CHECK_EQ(fill, 0);
	shutdown();
}

KTEST(no_wakeup_is_lost_on_one_cpu, "and on one CPU")
{
	boot(1);
	ktest_lwps(6, produce_or_consume);
	CHECK_EQ(sum_in, sum_out);
	shutdown();
}

/* --- T-48: mtsleep releases and sleeps in one step --- */

static int turn;			/* m */

static void
ping_pong(void *arg)
{
	const int me = (int)(intptr_t)arg;

	for (int i = 0; i < 2000; i++) {
		mutex_enter(&m);
		while (turn != me)
			mtsleep(&turn, false, "turn", 0, &m);
		turn = !me;
		wakeup(&turn);
		mutex_exit(&m);
	}
}

static void
ping_pong_norelock(void *arg)
{
	const int me = (int)(intptr_t)arg;

	for (int i = 0; i < 2000; i++) {
		mutex_enter(&m);
		while (turn != me) {
			mtsleep(&turn, true, "turn", 0, &m);
			CHECK(!mutex_owned(&m));
			mutex_enter(&m);
		}
		turn = !me;
		wakeup(&turn);
		mutex_exit(&m);
	}
}

KTEST(T48_mtsleep_is_atomic, "a wakeup by the next holder of the mutex finds the sleeper")
{
	boot(2);
	ktest_lwps(2, ping_pong);
	shutdown();
}

KTEST(mtsleep_norelock, "and with the mutex left released")
{
	boot(2);
	ktest_lwps(2, ping_pong_norelock);
	shutdown();
}

static kmutex_t spin;

static void
ping_pong_spin(void *arg)
{
	const int me = (int)(intptr_t)arg;

	for (int i = 0; i < 2000; i++) {
		mutex_enter(&spin);
		while (turn != me) {
			mtsleep(&turn, false, "turn", 0, &spin);
			CHECK_EQ(curcpu()->ci_ilevel, IPL_VM);
		}
		turn = !me;
		wakeup(&turn);		/* legal with a spin mutex held */
		mutex_exit(&spin);
		CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	}
}

KTEST(mtsleep_with_a_spin_mutex, "sleeping lowers the IPL with the mutex and raises it again")
{
	boot(2);
	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_test);
	ktest_lwps(2, ping_pong_spin);
	mutex_destroy(&spin);
	shutdown();
}

/* --- order --- */

static intptr_t order[16];		/* m */
static int norder, nwaiting;		/* m */
static bool go;				/* m */

static void
wait_in_line(void *arg)
{
	mutex_enter(&m);
	nwaiting++;
	while (!go)
		cv_wait(&not_empty, &m);
	order[norder++] = (intptr_t)arg;
	mutex_exit(&m);
}

static void
wait_one_shot(void *arg)
{
	mutex_enter(&m);
	nwaiting++;
	mtsleep(&order, false, "line", 0, &m);
	order[norder++] = (intptr_t)arg;
	mutex_exit(&m);
}

static void
line_of(int n, void (*fn)(void *), struct lwp **l)
{
	for (int i = 0; i < n; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "waiter", fn, (void *)(intptr_t)i), 0);
		lwp_start(l[i]);
	}
	while (nwaiting < n)
		yield();
}

KTEST(wakeup_is_first_in_first_out, "wakeup_one() wakes the longest sleeper")
{
	struct lwp *l[8];

	boot(1);
	line_of(8, wait_one_shot, l);
	for (int i = 0; i < 8; i++) {
		CHECK(sleepq_has_waiters(&order));
		wakeup_one(&order);
		lwp_wait(l[i]);
		CHECK_EQ(norder, i + 1);
		CHECK_EQ(order[i], i);
	}
	CHECK(!sleepq_has_waiters(&order));
	shutdown();
}

KTEST(broadcast_wakes_all_in_order, "cv_broadcast() lets all go, in the order in which they came")
{
	struct lwp *l[8];

	boot(1);
	line_of(8, wait_in_line, l);
	mutex_enter(&m);
	CHECK(cv_has_waiters(&not_empty));
	go = true;
	cv_broadcast(&not_empty);
	CHECK(!cv_has_waiters(&not_empty));
	mutex_exit(&m);
	for (int i = 0; i < 8; i++) {
		lwp_wait(l[i]);
		CHECK_EQ(order[i], i);
	}
	shutdown();
}

/* A map's lock may be the map's first member, and somebody sleeps on the map. */
static struct {
	kmutex_t lock;
	kcondvar_t cv;
} object;

static void
take_object(void *arg)
{
	mutex_enter(&object.lock);
	order[norder++] = 1;
	mutex_exit(&object.lock);
}

KTEST(wakeup_spares_the_waiters_of_a_lock, "wakeup(x) does not wake those who wait for a lock at x")
{
	struct lwp *l;

	boot(1);
	mutex_init(&object.lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_enter(&object.lock);
	CHECK_EQ(lwp_create(&l, NULL, "waiter", take_object, NULL), 0);
	lwp_start(l);
	mutex_enter(&m);
	mtsleep(&m, true, "pause", 1000, &m);
	CHECK(!sleepq_has_waiters(&object));
	wakeup(&object);
	CHECK_EQ(l->l_stat, LSSLEEP);
	mutex_exit(&object.lock);
	lwp_wait(l);
	CHECK_EQ(norder, 1);
	mutex_destroy(&object.lock);
	shutdown();
}

/* --- time-outs --- */

static void
expect_timeout(void)
{
	mutex_enter(&m);
	CHECK_EQ(cv_timedwait(&not_empty, &m, 1000000), EWOULDBLOCK);
	CHECK(mutex_owned(&m));
	CHECK(!cv_has_waiters(&not_empty));
	CHECK_EQ(mtsleep(&turn, true, "nobody", 1000000, &m), EWOULDBLOCK);
	CHECK(!mutex_owned(&m));
}

KTEST(timeout_with_nobody_else, "a timed wait ends although nothing else runs")
{
	boot(1);
	expect_timeout();
	shutdown();
	boot(4);
	expect_timeout();
	shutdown();
}

KTEST(one_cpu_has_virtual_time, "an hour's pause on one CPU takes no time")
{
	uint64_t start = host_now_ns();

	boot(1);
	kpause("hour", 3600 * 1000000000ULL);
	shutdown();
	CHECK(host_now_ns() - start < 3600 * 1000000000ULL);
}

KTEST(pause_of_nothing, "is over at once")
{
	for (int cpu = 1; cpu <= 2; cpu++) {
		boot(cpu);
		kpause("nothing", 0);
		shutdown();
	}
}

KTEST(pause_lasts, "with several CPUs a pause lasts as long as it says, by the host's clock")
{
	uint64_t start;

	boot(2);
	start = host_now_ns();
	kpause("pause", 20000000);
	CHECK(host_now_ns() - start >= 20000000);
	shutdown();
}

static void
hog(void *arg)
{
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		intr_poll();
}

static void
pause_then_go(void *arg)
{
	kpause("pause", 1000000);
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
}

KTEST(timeout_while_others_hog, "a time-out ends while LWPs that never yield hold other CPUs")
{
	struct lwp *l[4];

	boot(4);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(lwp_create(&l[i], NULL, "hog", i < 3 ? hog : pause_then_go, NULL), 0);
	for (int i = 3; i >= 0; i--)
		lwp_start(l[i]);
	for (int i = 0; i < 4; i++)
		lwp_wait(l[i]);
	shutdown();
}

static void
signal_often(void *arg)
{
	for (int i = 0; i < 300; i++) {
		mutex_enter(&m);
		if (((intptr_t)arg & 1) != 0) {
			/* both ends of the race between a wakeup and the clock */
			cv_timedwait(&not_empty, &m, 1 + host_rng_below(&curlwp->l_rng, 40000));
		} else {
			cv_signal(&not_empty);
		}
		mutex_exit(&m);
		if (((intptr_t)arg & 1) == 0)
			kpause("between", 1 + host_rng_below(&curlwp->l_rng, 20000));
	}
}

KTEST(timeouts_race_with_wakeups, "a sleeper that is woken twice at once goes on once")
{
	boot(4);
	ktest_lwps(8, signal_often);
	shutdown();
	boot(1);
	ktest_lwps(8, signal_often);
	shutdown();
}

static kmutex_t far_lock;
static kcondvar_t far_cv;

static void
broadcast_cv(void *arg)
{
	mutex_enter(&far_lock);
	cv_broadcast(&far_cv);
	mutex_exit(&far_lock);
}

KTEST(timeout_at_the_end_of_time, "a time-out beyond what the clock can say is none")
{
	for (int cpu = 1; cpu <= 2; cpu++) {
		struct lwp *l;

		ktest_kern(cpu, 1);
		mutex_init(&far_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
		cv_init(&far_cv, "far");
		mutex_enter(&far_lock);
		CHECK_EQ(lwp_create(&l, NULL, "waker", broadcast_cv, NULL), 0);
		lwp_start(l);
		CHECK_EQ(cv_timedwait(&far_cv, &far_lock, UINT64_MAX), 0);
		mutex_exit(&far_lock);
		lwp_wait(l);
		cv_destroy(&far_cv);
		mutex_destroy(&far_lock);
		kern_shutdown();
	}
}

KTEST_MAIN()
