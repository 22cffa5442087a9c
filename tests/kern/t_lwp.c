/*
 * LWPs: who gets a CPU, in what order, and what the machine floor is told.
 */
#include <stdlib.h>
#include <string.h>

#include <host/host.h>
#include <host/sched.h>
#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/lwp.h>
#include <sys/mutex.h>
#include <sys/sleepq.h>

#define	MS	1000000ULL
#define	MANY	300

static struct lwp *team[MANY];

static void
team_start(int n, const char *name, void (*fn)(void *))
{
	for (uintptr_t i = 0; i < (unsigned)n; i++) {
		CHECK_EQ(lwp_create(&team[i], NULL, name, fn, (void *)i), 0);
		lwp_start(team[i]);
	}
}

static void
team_wait(int n)
{
	for (int i = 0; i < n; i++)
		lwp_wait(team[i]);
}

/* What happened, in order, on one CPU. */
#define	LOG	4096
static uint32_t	log_words[LOG];
static unsigned	log_n;

static void
note(uint32_t word)
{
	CHECK(log_n < LOG);
	log_words[log_n++] = word;
}

/* --- order --- */

static void
note_and_yield(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note((uint32_t)(uintptr_t)arg);
		yield();
	}
}

KTEST(one_cpu_is_round_robin, "on one CPU, LWPs that yield take turns in the order of their start")
{
	uint64_t switches;

	ktest_kern(1, ktest_seed());
	switches = curcpu()->ci_nswitch;
	team_start(4, "turn", note_and_yield);
	team_wait(4);
	CHECK(curcpu()->ci_nswitch >= switches + 12);
	CHECK_EQ(log_n, 12);
	for (unsigned i = 0; i < 12; i++)
		CHECK_EQ(log_words[i], i % 4);
	kern_shutdown();
}

static void
pause_and_note(void *arg)
{
	kpause("pause", (5 - (uintptr_t)arg) * MS);
	note((uint32_t)(uintptr_t)arg);
}

KTEST(pauses_end_by_deadline, "on one CPU pauses end in the order of their deadlines, whoever came first")
{
	ktest_kern(1, ktest_seed());
	team_start(4, "pause", pause_and_note);
	team_wait(4);
	CHECK_EQ(log_n, 4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(log_words[i], 3 - i);
	kern_shutdown();
}

static kmutex_t	lock;
static kcondvar_t cv;
static int	turn, done;		/* lock */

/* A bit of everything that can switch, chosen by the LWP's own random numbers. */
static void
wander(void *arg)
{
	const uint32_t who = (uint32_t)(uintptr_t)arg << 8;

	for (int i = 0; i < 40; i++) {
		const uint64_t what = host_rng_below(&curlwp->l_rng, 5);

		note(who | (uint32_t)what);
		if (what == 0) {
			yield();
		} else if (what == 1) {
			kpause("wander", 1 + host_rng_below(&curlwp->l_rng, 3000));
		} else if (what == 2) {
			mutex_enter(&lock);
			turn++;
			cv_broadcast(&cv);
			mutex_exit(&lock);
		} else if (what == 3) {
			mutex_enter(&lock);
			cv_timedwait(&cv, &lock, 1000);
			mutex_exit(&lock);
		} else {
			lwp_userret(1000);
		}
	}
	mutex_enter(&lock);
	done++;
	mutex_exit(&lock);
}

/* => a digest of the switches of a boot of one CPU */
static uint64_t
wandering(uint64_t seed)
{
	uint64_t digest = 14695981039346656037ULL;

	log_n = 0;
	turn = done = 0;
	ktest_kern(1, seed);
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	cv_init(&cv, "wander");
	team_start(10, "wander", wander);
	team_wait(10);
	CHECK_EQ(done, 10);
	CHECK_EQ(log_n, 400);
	note((uint32_t)curcpu()->ci_nswitch);
	for (unsigned i = 0; i < log_n; i++)
		digest = (digest ^ log_words[i]) * 1099511628211ULL;
	cv_destroy(&cv);
	mutex_destroy(&lock);
	kern_shutdown();
	return digest;
}

KTEST(one_cpu_repeats_itself, "one CPU and one seed give the same sequence of switches, another seed another")
{
	const uint64_t first = wandering(ktest_seed());
	void *moved = malloc(100000);	/* addresses differ from boot to boot */

	CHECK(moved != NULL);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wandering(ktest_seed()), first);
	CHECK(wandering(ktest_seed() + 1) != first);
	free(moved);
}

static int freed;

static void
count_freed(struct rcu_head *rh)
{
	note(1000u + (uint32_t)++freed);
}

static void
defer(void *arg)
{
	struct rcu_head rh[100];

	for (int i = 0; i < 100; i++) {
		note((uint32_t)(uintptr_t)arg);
		call_rcu(&rh[i], count_freed);
		yield();
	}
	rcu_barrier();
}

KTEST(one_cpu_repeats_deferred_frees, "RCU callbacks come at the same place of the sequence each time")
{
	uint32_t first[LOG];
	unsigned first_n = 0;

	for (int boot = 0; boot < 4; boot++) {
		log_n = 0;
		freed = 0;
		ktest_kern(1, ktest_seed());
		team_start(4, "defer", defer);
		team_wait(4);
		CHECK_EQ(freed, 400);
		kern_shutdown();
		if (boot == 0) {
			memcpy(first, log_words, log_n * sizeof(first[0]));
			first_n = log_n;
		}
		CHECK_EQ(log_n, first_n);
		CHECK(memcmp(first, log_words, log_n * sizeof(first[0])) == 0);
	}
}

/* --- CPUs --- */

static int inside[MAXCPUS];		/* plain: the CPU is the exclusion */
static int total;			/* atomic */

static void
share_cpus(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int *mine = &inside[curcpu()->ci_index];

		CHECK_EQ((*mine)++, 0);
		intr_poll();
		CHECK_EQ(--*mine, 0);
		__atomic_fetch_add(&total, 1, __ATOMIC_RELAXED);
		if (i % 8 == 7)
			kpause("share", 20000);
		else
			yield();
	}
}

KTEST(one_lwp_on_a_cpu, "64 LWPs share 4 CPUs, one at a time on each")
{
	ktest_kern(4, ktest_seed());
	team_start(64, "share", share_cpus);
	team_wait(64);
	CHECK_EQ(total, 64 * 50);
	kern_shutdown();
}

KTEST(many_cpus_on_few_cores, "256 CPUs and 300 LWPs get on, whatever the host has")
{
	ktest_kern(MAXCPUS, ktest_seed());
	team_start(MANY, "share", share_cpus);
	team_wait(MANY);
	CHECK_EQ(total, MANY * 50);
	kern_shutdown();
}

static int ran;				/* atomic */

static void
run_once(void *arg)
{
	__atomic_fetch_add(&ran, 1, __ATOMIC_RELEASE);
}

KTEST(idle_cpu_steals, "LWPs queued behind one that keeps its CPU run on another")
{
	unsigned spins = 0;

	ktest_kern(2, ktest_seed());
	for (int round = 1; round <= 100; round++) {
		team_start(4, "once", run_once);
		while (__atomic_load_n(&ran, __ATOMIC_ACQUIRE) != 4 * round)
			host_relax(&spins);
		team_wait(4);
	}
	kern_shutdown();
}

static void
hog(void *arg)
{
	unsigned spins = 0;

	__atomic_fetch_add(&ran, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&ran, __ATOMIC_ACQUIRE) < 4)
		host_relax(&spins);
}

KTEST(no_cpu_idles_beside_a_queue, "as many LWPs as CPUs all run at once, though none ever yields")
{
	ktest_kern(4, ktest_seed());
	for (int round = 0; round < 50; round++) {
		ran = 0;
		team_start(4, "hog", hog);
		team_wait(4);
	}
	kern_shutdown();
}

#define	SLEEPERS	3
#define	WAKES		10

static int awake;			/* atomic: sleepers that have answered */

/* The last one wakes the others, and keeps its CPU until all have answered. */
static void
sleep_or_wake(void *arg)
{
	const bool wakes = (intptr_t)arg == SLEEPERS;
	unsigned spins = 0;

	for (int round = 1; round <= WAKES; round++) {
		mutex_enter(&lock);
		if (wakes) {
			turn = round;
			cv_broadcast(&cv);
		}
		while (turn < round)
			cv_wait(&cv, &lock);
		mutex_exit(&lock);
		if (!wakes)
			__atomic_fetch_add(&awake, 1, __ATOMIC_RELAXED);
		for (int i = 0; wakes && __atomic_load_n(&awake, __ATOMIC_RELAXED) < round * SLEEPERS; i++) {
			CHECK(i < 100000);
			intr_poll();
			host_relax(&spins);
		}
	}
}

KTEST(no_cpu_idles_whatever_the_order, "LWPs that are woken while CPUs fall idle run at once, in a hundred orders of events")
{
	for (uint64_t seed = 1; seed <= ktest_scale(100); seed++) {
		const struct host_sched_config hsc = { .hsc_strategy = &host_strategy_random, .hsc_seed = seed };

		CHECK_EQ(host_sched_begin(&hsc), 0);
		ktest_kern(SLEEPERS + 1, seed);
		mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
		cv_init(&cv, "asleep");
		turn = awake = 0;
		ktest_lwps(SLEEPERS + 1, sleep_or_wake);
		cv_destroy(&cv);
		mutex_destroy(&lock);
		kern_shutdown();
		host_sched_end();
	}
}

static void
leave_cpu(void *arg)
{
	unsigned spins = 0;

	lwp_release_cpu();
	while (__atomic_load_n(&ran, __ATOMIC_ACQUIRE) == 0)	/* in the host */
		host_relax(&spins);
	lwp_acquire_cpu();
}

#define	SHARERS		12
#define	QUANTA		1200

static unsigned quanta[SHARERS];	/* atomic: used up by each */
static unsigned quanta_all;		/* atomic */
static unsigned sharers;		/* atomic: have started */

static void
compute_quanta(void *arg)
{
	__atomic_fetch_add(&sharers, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&sharers, __ATOMIC_RELAXED) < SHARERS)
		yield();
	while (__atomic_fetch_add(&quanta_all, 1, __ATOMIC_RELAXED) < QUANTA) {
		__atomic_fetch_add(&quanta[(intptr_t)arg], 1, __ATOMIC_RELAXED);
		for (int i = 0; i < 8; i++)
			lwp_userret(LWP_QUANTUM / 8);
	}
}

KTEST(shares_are_fair, "12 LWPs that never sleep get like shares of 2 CPUs, although one CPU began with one of them")
{
	/* under control: a host that is busy with others may have no core for one of the two */
	const struct host_sched_config hsc = { .hsc_strategy = &host_strategy_random, .hsc_seed = ktest_seed() };
	unsigned least = QUANTA, most = 0;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	ktest_kern(2, ktest_seed());
	ktest_lwps(SHARERS, compute_quanta);
	kern_shutdown();
	host_sched_end();
	for (int i = 0; i < SHARERS; i++) {
		least = quanta[i] < least ? quanta[i] : least;
		most = quanta[i] > most ? quanta[i] : most;
	}
	if (most > 3 * least)
		ktest_fail(__FILE__, __LINE__, "shares between %u and %u of %d", least, most, QUANTA);
}

KTEST(released_cpu_is_used, "while an LWP waits in the host another has its CPU")
{
	ktest_kern(1, ktest_seed());
	team_start(1, "leave", leave_cpu);
	yield();
	run_once(NULL);
	team_wait(1);
	kern_shutdown();
}

static void
ping(void *arg)
{
	const int me = (int)(uintptr_t)arg % 2;
	int *ball = &inside[(uintptr_t)arg / 2];

	for (int i = 0; i < 300; i++) {
		mutex_enter(&lock);
		while (*ball != me)
			mtsleep(ball, false, "ping", 0, &lock);
		*ball = !me;
		wakeup(ball);
		mutex_exit(&lock);
	}
}

KTEST(sleep_and_wake_race, "pairs of LWPs wake each other at the moment of falling asleep; nobody is forgotten")
{
	ktest_kern(4, ktest_seed());
	mutex_init(&lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	team_start(12, "ping", ping);
	team_wait(12);
	mutex_destroy(&lock);
	kern_shutdown();
}

/* --- what the machine floor is told --- */

static struct lwp *on_cpu[MAXCPUS];	/* plain: only that CPU */
static int idled;			/* atomic */

static void
check_switch(struct cpu_info *ci, struct lwp *from, struct lwp *to)
{
	CHECK(ci == curcpu() && to == curlwp && from != to);
	CHECK_EQ(ci->ci_ilevel, IPL_HIGH);
	if (on_cpu[ci->ci_index] != NULL)
		CHECK(on_cpu[ci->ci_index] == from);
	on_cpu[ci->ci_index] = to;
	if (to->l_idle)
		__atomic_fetch_add(&idled, 1, __ATOMIC_RELAXED);
}

KTEST(upcall_sees_every_switch, "cpu_switch is told each change of a CPU's LWP, on that CPU, interrupts blocked, idle too")
{
	const struct kern_config kc = {
		.kc_ncpu = 3, .kc_seed = 1, .kc_upcall = { check_switch }
	};

	CHECK_EQ(kern_boot(&kc), 0);
	team_start(9, "share", share_cpus);
	team_wait(9);
	CHECK_EQ(total, 9 * 50);
	KTEST_WAIT(__atomic_load_n(&idled, __ATOMIC_RELAXED) > 0);	/* while we sleep, if not before */
	kern_shutdown();
}

/* --- the user boundary --- */

static void
user(void *arg)
{
	for (int i = 0; i < 4; i++) {
		note((uint32_t)(uintptr_t)arg);
		lwp_userret(LWP_QUANTUM / 2);
	}
}

KTEST(quantum_ends_at_the_user_boundary, "an LWP keeps the CPU over the user boundary until its quantum is used up")
{
	static const uint32_t expect[] = { 0, 0, 1, 1, 0, 0, 1, 1 };

	ktest_kern(1, ktest_seed());
	team_start(2, "user", user);
	team_wait(2);
	CHECK_EQ(log_n, 8);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(log_words[i], expect[i]);
	kern_shutdown();
}

static void
compute_or_pause(void *arg)
{
	if (arg != NULL) {
		kpause("pause", 5 * MS);
		__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
		return;
	}
	for (int n = 0; __atomic_load_n(&done, __ATOMIC_RELAXED) == 0; n++) {
		CHECK(n < 10);
		lwp_userret(LWP_QUANTUM);
	}
}

KTEST(time_goes_on_with_the_quanta, "on one CPU without ticks a pause ends though another LWP computes all the time")
{
	ktest_kern(1, ktest_seed());
	done = 0;
	team_start(2, "compute", compute_or_pause);
	team_wait(2);
	kern_shutdown();
}

/* --- who was woken in the kernel --- */

static void
sleep_and_note(void *arg)
{
	mutex_enter(&lock);
	turn = 1;
	mtsleep(&turn, true, "woken", 0, &lock);
	note(99);
	lwp_userret(LWP_QUANTUM);	/* now it is one of the others */
	note(98);
}

/* The first one wakes the sleeper in its second round. */
static void
wake_and_note(void *arg)
{
	for (uint32_t i = 0; i < 4; i++) {
		note((uint32_t)(uintptr_t)arg * 10 + i);
		if (arg == NULL && i == 1)
			wakeup(&turn);
		lwp_userret(LWP_QUANTUM / 4);
	}
}

static void
waker_or_woken(void *arg)
{
	((uintptr_t)arg == 2 ? sleep_and_note : wake_and_note)(arg);
}

KTEST(who_is_woken_goes_first, "before those who wait to go on in user mode, and at the next return there of whoever runs; the others have their quanta")
{
	static const uint32_t expect[] = { 0, 1, 99, 10, 11, 12, 13, 2, 3, 98 };

	ktest_kern(1, ktest_seed());
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	CHECK_EQ(lwp_create(&team[2], NULL, "woken", waker_or_woken, (void *)2), 0);
	lwp_start(team[2]);
	while (turn == 0)
		yield();
	cpus[0].ci_npops = 0;		/* each eighth goes to the others */
	team_start(2, "user", waker_or_woken);
	team_wait(3);
	CHECK_EQ(log_n, 10);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(log_words[i], expect[i]);
	mutex_destroy(&lock);
	kern_shutdown();
}

#define	PINGS		5000

static void
ping_until_all_done(void *arg)
{
	const int me = (int)(uintptr_t)arg;

	for (int i = 0; __atomic_load_n(&done, __ATOMIC_RELAXED) == 0; i++) {
		CHECK(i < PINGS);
		mutex_enter(&lock);
		while (turn != me && __atomic_load_n(&done, __ATOMIC_RELAXED) == 0)
			mtsleep(&turn, false, "ping", 0, &lock);
		turn = !me;
		wakeup(&turn);
		mutex_exit(&lock);
	}
}

static void
user_or_ping(void *arg)
{
	if ((uintptr_t)arg < 2) {
		ping_until_all_done(arg);
		return;
	}
	yield();
	__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
	wakeup(&turn);
}

KTEST(who_is_woken_does_not_go_first_for_ever, "beside two who wake each other all the time an LWP that yields goes on")
{
	ktest_kern(1, ktest_seed());
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	turn = done = 0;
	team_start(3, "ping", user_or_ping);
	team_wait(3);
	CHECK_EQ(done, 1);
	mutex_destroy(&lock);
	kern_shutdown();
}

/* --- life --- */

static void
count_lwp(struct lwp *l, void *arg)
{
	*(int *)arg += !l->l_idle;
}

KTEST(structures_return_but_ids_do_not, "an exited LWP leaves the list; its id is not given again")
{
	uint32_t last = 0;
	int before = 0, after = 0;

	ktest_kern(2, ktest_seed());
	lwp_foreach(count_lwp, &before);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(lwp_create(&team[0], NULL, "a name that is longer than thirty-one bytes", run_once,
		    NULL), 0);
		CHECK(team[0]->l_id > last);
		CHECK_EQ(strlen(team[0]->l_name), LWP_NAME_MAX - 1);
		last = team[0]->l_id;
		lwp_start(team[0]);
		if (i % 2 == 0)
			kpause("later", 1000);	/* it may have exited by now */
		team_wait(1);
	}
	lwp_foreach(count_lwp, &after);
	CHECK_EQ(before, after);
	kern_shutdown();
}

KTEST(twenty_boots, "boot, run, shutdown: twenty times in one process, with different numbers of CPUs")
{
	for (int i = 0; i < 20; i++) {
		ktest_kern(1 + i % 5, ktest_seed());
		team_start(8, "share", share_cpus);
		team_wait(8);
		kern_shutdown();
	}
	CHECK_EQ(total, 20 * 8 * 50);
}

KTEST_DEATH(shutdown_with_an_lwp_left, "shutdown with an LWP that nobody waited for is caught", "LWP left is still there")
{
	ktest_kern(1, 1);
	team_start(1, "left", run_once);
	yield();
	kern_shutdown();
}

KTEST_DEATH(started_twice, "an LWP is started once", "started twice")
{
	ktest_kern(1, 1);
	team_start(1, "twice", run_once);
	lwp_start(team[0]);
}

KTEST_MAIN()
