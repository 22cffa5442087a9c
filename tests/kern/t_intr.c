/*
 * Interrupts: levels, delivery, soft interrupts, cross calls.
 */
#include <string.h>
#include <time.h>

#include <host/host.h>
#include <host/sched.h>
#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/mutex.h>
#include <sys/sleepq.h>

#define	MS	1000000ULL

/* What happened, in order; one CPU, or one writer at a time. */
static char story[64];
static char word_d[] = "d", word_i[] = "i", word_n[] = "n";
static int delivered[MAXCPUS];		/* atomic: interrupts taken, by CPU */

static void
say(const char *word)
{
	int s = splhigh();		/* of handlers of all levels */

	CHECK(strlen(story) + strlen(word) < sizeof(story));
	strcat(story, word);
	splx(s);
}

#define	CHECK_STORY(s) do {							\
	ktest_settle();								\
	if (strcmp(story, s) != 0)						\
		ktest_fail(__FILE__, __LINE__, "story is \"%s\", not \"%s\"", story, s);	\
} while (0)

static void
say_it(void *arg)
{
	CHECK(cpu_intr_p());
	say(arg);
}

static void
count_it(void *arg)
{
	CHECK(cpu_intr_p());
	__atomic_fetch_add(&delivered[curcpu()->ci_index], 1, __ATOMIC_RELEASE);
}

static int
taken(int cpu)
{
	return __atomic_load_n(&delivered[cpu], __ATOMIC_ACQUIRE);
}

/* => this CPU spins, taking interrupts, until cpu has taken n */
static void
spin_until_taken(int cpu, int n)
{
	unsigned spins = 0;

	while (taken(cpu) < n) {
		intr_poll();
		host_relax(&spins);
	}
}

/* --- levels --- */

KTEST(splraise_never_lowers, "splraise gives the old level and never lowers; splx goes back")
{
	int s, s2;

	ktest_kern(1, ktest_seed());
	s = splhigh();
	CHECK_EQ(s, IPL_NONE);
	s2 = splvm();
	CHECK_EQ(s2, IPL_HIGH);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_HIGH);
	splx(s2);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_HIGH);
	splx(s);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	kern_shutdown();
}

KTEST_DEATH(splx_does_not_raise, "splx to a level above the current one is caught", "splx\\(5\\) at IPL 0")
{
	ktest_kern(1, 1);
	splx(IPL_VM);
}

KTEST(masked_until_splx, "an interrupt at or below the IPL stays pending and comes when splx lowers it")
{
	int s, s2;

	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, say_it, word_d);
	intr_establish(IRQ_IPI, IPL_SCHED, say_it, word_i);
	s = splvm();
	intr_post(curcpu(), IRQ_DISK);
	intr_post(curcpu(), IRQ_IPI);
	intr_poll();
	CHECK_STORY("i");
	s2 = splraise(IPL_SCHED);
	intr_post(curcpu(), IRQ_IPI);
	intr_poll();
	CHECK_STORY("i");
	splx(s2);
	CHECK_STORY("ii");
	splx(s);
	CHECK_STORY("iid");
	CHECK(!cpu_intr_p());
	kern_shutdown();
}

KTEST(highest_first, "of several pending interrupts the highest level is delivered first")
{
	int s;

	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, say_it, word_d);
	intr_establish(IRQ_IPI, IPL_SCHED, say_it, word_i);
	intr_establish(IRQ_NET, IPL_HIGH, say_it, word_n);
	s = splhigh();
	intr_post(curcpu(), IRQ_DISK);
	intr_post(curcpu(), IRQ_IPI);
	intr_post(curcpu(), IRQ_NET);
	splx(s);
	CHECK_STORY("nid");
	kern_shutdown();
}

static void
disk_posts_both(void *arg)
{
	say("(");
	intr_post(curcpu(), IRQ_DISK);
	intr_post(curcpu(), IRQ_IPI);
	intr_poll();
	say(")");
	intr_establish(IRQ_DISK, IPL_VM, say_it, word_d);
}

KTEST(nesting_by_level, "only a higher level interrupts a handler; its own waits until it is done")
{
	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, disk_posts_both, NULL);
	intr_establish(IRQ_IPI, IPL_SCHED, say_it, word_i);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	CHECK_STORY("(i)d");
	CHECK_EQ(curcpu()->ci_nintr, 3);
	CHECK_EQ(curcpu()->ci_nipi, 1);
	kern_shutdown();
}

static kmutex_t vm_lock, high_lock;

KTEST(release_of_a_spin_mutex_delivers, "what was posted under a spin mutex comes in at its release")
{
	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, say_it, word_d);
	mutex_init(&vm_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	mutex_enter(&vm_lock);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	CHECK_STORY("");
	mutex_exit(&vm_lock);
	CHECK_STORY("d");
	mutex_destroy(&vm_lock);
	kern_shutdown();
}

static void
take_high_lock(void *arg)
{
	const int level = curcpu()->ci_ilevel;

	mutex_enter(&high_lock);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_HIGH);
	mutex_exit(&high_lock);
	CHECK_EQ(curcpu()->ci_ilevel, level);
	say("h");
}

KTEST(handlers_spin_mutex_restores_the_handlers_level,
    "a handler's spin mutex gives the handler's level back, although the interrupted code holds one too")
{
	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_IPI, IPL_SCHED, take_high_lock, NULL);
	mutex_init(&vm_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	mutex_init(&high_lock, MUTEX_DEFAULT, IPL_HIGH, LC_test);
	mutex_enter(&vm_lock);
	intr_post(curcpu(), IRQ_IPI);
	intr_poll();
	CHECK_STORY("h");
	CHECK_EQ(curcpu()->ci_ilevel, IPL_VM);
	mutex_exit(&vm_lock);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	ktest_settle();
	mutex_destroy(&vm_lock);
	mutex_destroy(&high_lock);
	kern_shutdown();
}

static void
forget_to_lower(void *arg)
{
	splhigh();
}

KTEST_DEATH(handler_comes_back_at_its_level, "a handler that leaves the IPL raised is caught",
    "interrupt 2 came back at IPL 7")
{
	ktest_kern(1, 1);
	intr_establish(IRQ_DISK, IPL_VM, forget_to_lower, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
}

KTEST_DEATH(post_without_a_handler, "an interrupt that nobody handles is caught", "has no handler")
{
	ktest_kern(1, 1);
	intr_post(curcpu(), IRQ_NET);
}

/* --- idle and busy CPUs --- */

KTEST(idle_cpu_takes_it, "an interrupt posted to an idle CPU is taken there")
{
	ktest_kern(4, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	for (int round = 1; round <= 200; round++) {
		const int cpu = 1 + round % 3;
		const int before = taken(cpu);

		intr_post(&cpus[cpu], IRQ_DISK);
		spin_until_taken(cpu, before + 1);
	}
	CHECK_EQ(taken(1) + taken(2) + taken(3), 200);
	CHECK_EQ(taken(0), 0);
	kern_shutdown();
}

static kmutex_t	flag_lock;
static bool	flag;			/* flag_lock */
static int	nap_round;		/* flag_lock */

#define	NAPS	10

static void
nap(void *arg)
{
	mutex_enter(&flag_lock);
	for (int round = 1; round <= NAPS; round++)
		while (nap_round < round)
			mtsleep(&nap_round, false, "nap", 0, &flag_lock);
	mutex_exit(&flag_lock);
}

KTEST(a_cpu_that_falls_idle_takes_it, "and one that is about to idle, or to be idle no more, in a hundred orders of events")
{
	for (uint64_t seed = 1; seed <= ktest_scale(100); seed++) {
		const struct host_sched_config hsc = { .hsc_strategy = &host_strategy_random, .hsc_seed = seed };
		struct lwp *l;
		unsigned spins = 0;

		CHECK_EQ(host_sched_begin(&hsc), 0);
		ktest_kern(2, seed);
		intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
		mutex_init(&flag_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
		nap_round = 0;
		CHECK_EQ(lwp_create(&l, NULL, "nap", nap, NULL), 0);
		lwp_start(l);
		for (int round = 1; round <= NAPS; round++) {
			const int other = !curcpu()->ci_index, before = taken(other);

			mutex_enter(&flag_lock);
			nap_round = round;
			wakeup(&nap_round);
			mutex_exit(&flag_lock);
			intr_post(&cpus[other], IRQ_DISK);
			for (int i = 0; taken(other) == before; i++) {
				CHECK(i < 100000);
				host_relax(&spins);
			}
		}
		lwp_wait(l);
		mutex_destroy(&flag_lock);
		kern_shutdown();
		host_sched_end();
	}
}

static void
set_flag(void *arg)
{
	mutex_enter(&flag_lock);
	flag = true;
	wakeup(&flag);
	mutex_exit(&flag_lock);
}

KTEST(interrupt_wakes_the_sleeper,
    "on one CPU an interrupt that waits at a sleeper's mtsleep wakes it, without a switch")
{
	uint64_t switches;

	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, set_flag, NULL);
	mutex_init(&flag_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	yield();			/* what boot has started has gone to sleep */
	switches = curcpu()->ci_nswitch;
	for (int i = 0; i < 100; i++) {
		mutex_enter(&flag_lock);
		flag = false;
		intr_post(curcpu(), IRQ_DISK);
		while (!flag)
			mtsleep(&flag, false, "flag", 0, &flag_lock);
		mutex_exit(&flag_lock);
	}
	CHECK_EQ(curcpu()->ci_nswitch, switches);
	mutex_destroy(&flag_lock);
	kern_shutdown();
}

static void
set_flag_and_wake(void *arg)
{
	__atomic_store_n(&flag, true, __ATOMIC_RELAXED);	/* by polls alone, no lock */
	wakeup(&flag);
}

KTEST(who_sleeps_polls_first, "and where the mutex is adaptive, whose release does not take interrupts")
{
	uint64_t switches;
	kmutex_t m;

	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, set_flag_and_wake, NULL);
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_test);
	yield();
	switches = curcpu()->ci_nswitch;
	for (int i = 0; i < 100; i++) {
		mutex_enter(&m);
		__atomic_store_n(&flag, false, __ATOMIC_RELAXED);
		intr_post(curcpu(), IRQ_DISK);
		while (!__atomic_load_n(&flag, __ATOMIC_RELAXED))
			mtsleep(&flag, false, "flag", 0, &m);
		mutex_exit(&m);
	}
	CHECK_EQ(curcpu()->ci_nswitch, switches);
	mutex_destroy(&m);
	kern_shutdown();
}

KTEST(interrupt_wakes_from_an_idle_machine, "an LWP sleeps on the last busy CPU; another CPU's interrupt wakes it")
{
	ktest_kern(2, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, set_flag, NULL);
	mutex_init(&flag_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	for (int i = 0; i < 200; i++) {
		mutex_enter(&flag_lock);
		flag = false;
		intr_post(&cpus[(curcpu()->ci_index + 1) % 2], IRQ_DISK);
		while (!flag)
			mtsleep(&flag, false, "flag", 0, &flag_lock);
		mutex_exit(&flag_lock);
	}
	mutex_destroy(&flag_lock);
	kern_shutdown();
}

static int storm_posts;			/* atomic */

/* Every LWP posts to every CPU and waits until each has answered once more. */
static void
storm(void *arg)
{
	for (int round = 0; round < 100; round++) {
		const int cpu = (int)((uintptr_t)arg + (unsigned)round) % ncpu;
		const int before = taken(cpu);

		mutex_enter(&vm_lock);
		__atomic_fetch_add(&storm_posts, 1, __ATOMIC_RELAXED);
		mutex_exit(&vm_lock);
		intr_post(&cpus[cpu], IRQ_IPI);
		spin_until_taken(cpu, before + 1);
		if (round % 16 == 0)
			yield();
	}
}

KTEST(ipi_storm_loses_nothing, "12 LWPs on 8 CPUs shoot at each other, with spin locks in between; each shot is answered")
{
	struct lwp *l[12];

	ktest_kern(8, ktest_seed());
	intr_establish(IRQ_IPI, IPL_SCHED, count_it, NULL);
	mutex_init(&vm_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	for (uintptr_t i = 0; i < 12; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "storm", storm, (void *)i), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 12; i++)
		lwp_wait(l[i]);
	CHECK_EQ(storm_posts, 1200);
	mutex_destroy(&vm_lock);
	kern_shutdown();
}

/* --- soft interrupts --- */

static struct softint *soft_low, *soft_high;

static void
low(void *arg)
{
	CHECK_EQ(curcpu()->ci_ilevel, IPL_SOFTCLOCK);
	say("(");
	softint_schedule(soft_high);
	intr_poll();
	say(")");
}

static void
high(void *arg)
{
	CHECK_EQ(curcpu()->ci_ilevel, IPL_SOFTNET);
	say("h");
}

static void
note(void *arg)
{
	say(arg);
}

KTEST(softints_of_one_level_all_run, "of soft interrupts of one level that are pending none is left out")
{
	static char names[3][2] = { "a", "b", "c" };
	struct softint *si[3];

	ktest_kern(1, ktest_seed());
	for (int i = 0; i < 3; i++)
		si[i] = softint_establish(IPL_SOFTNET, note, names[i]);
	softint_schedule(si[2]);
	softint_schedule(si[0]);
	intr_poll();
	CHECK_STORY("ac");		/* in the order in which they were made */
	softint_schedule(si[1]);
	intr_poll();
	CHECK_STORY("acb");
	for (int i = 0; i < 3; i++)
		softint_disestablish(si[i]);
	kern_shutdown();
}

KTEST(softint_runs_once_at_its_level, "a soft interrupt runs once for each time it was pending, at its level")
{
	int s;

	ktest_kern(1, ktest_seed());
	soft_low = softint_establish(IPL_SOFTCLOCK, low, NULL);
	soft_high = softint_establish(IPL_SOFTNET, high, NULL);
	s = splraise(IPL_SOFTNET);
	softint_schedule(soft_low);
	softint_schedule(soft_low);
	intr_poll();
	CHECK_STORY("");
	splx(s);
	CHECK_STORY("(h)");
	softint_schedule(soft_high);
	intr_poll();
	intr_poll();
	CHECK_STORY("(h)h");
	softint_disestablish(soft_low);
	softint_disestablish(soft_high);
	kern_shutdown();
}

static void
at_level(void *arg)
{
	const ipl_t *ipl = arg;

	CHECK_EQ(curcpu()->ci_ilevel, *ipl);
	say(*ipl == IPL_SOFTNET ? "n" : "c");
}

KTEST(softints_of_two_levels, "of two levels that are pending each runs at its own, the higher one first, whichever was made first")
{
	static const ipl_t clock = IPL_SOFTCLOCK, net = IPL_SOFTNET;
	struct softint *si[2];
	int s;

	ktest_kern(1, ktest_seed());
	si[0] = softint_establish(clock, at_level, (void *)(uintptr_t)&clock);
	si[1] = softint_establish(net, at_level, (void *)(uintptr_t)&net);
	for (int round = 0; round < 2; round++) {
		s = splraise(IPL_VM);
		softint_schedule(si[round]);
		softint_schedule(si[!round]);
		splx(s);
		CHECK_STORY(round == 0 ? "nc" : "ncnc");
	}
	softint_disestablish(si[0]);
	softint_disestablish(si[1]);
	kern_shutdown();
}

static void
schedule_low(void *arg)
{
	softint_schedule(soft_low);
	say("d");
}

KTEST(hard_interrupt_schedules_soft, "a soft interrupt asked for by a hard one runs after it")
{
	ktest_kern(1, ktest_seed());
	soft_low = softint_establish(IPL_SOFTCLOCK, low, NULL);
	soft_high = softint_establish(IPL_SOFTNET, high, NULL);
	intr_establish(IRQ_DISK, IPL_VM, schedule_low, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	CHECK_STORY("d(h)");
	softint_disestablish(soft_low);
	softint_disestablish(soft_high);
	kern_shutdown();
}

/* --- cross calls --- */

static int called[MAXCPUS];		/* only that CPU, at IPL_VM */
static int calls;			/* atomic */

static void
call(void *arg)
{
	CHECK(curcpu()->ci_ilevel >= IPL_VM);
	called[curcpu()->ci_index]++;
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
}

KTEST(xcall_reaches_idle_cpus, "xc_broadcast runs once on each CPU, idle ones and the caller's, before it returns")
{
	ktest_kern(8, ktest_seed());
	for (int round = 1; round <= 50; round++) {
		xc_broadcast(call, NULL);
		for (int i = 0; i < ncpu; i++)
			CHECK_EQ(called[i], round);	/* plain reads: the call orders them */
	}
	kern_shutdown();
}

KTEST(xcall_on_one_cpu, "with one CPU a cross call is a call")
{
	ktest_kern(1, ktest_seed());
	xc_broadcast(call, NULL);
	CHECK_EQ(called[0], 1);
	kern_shutdown();
}

static void
caller(void *arg)
{
	for (int i = 0; i < 20; i++) {
		xc_broadcast(call, NULL);
		yield();
	}
}

KTEST(xcalls_from_everywhere, "LWPs on all CPUs call across at once, more of them than CPUs")
{
	struct lwp *l[8];

	ktest_kern(4, ktest_seed());
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "caller", caller, NULL), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 8; i++)
		lwp_wait(l[i]);
	CHECK_EQ(calls, 8 * 20 * 4);
	for (int i = 0; i < ncpu; i++)
		CHECK_EQ(called[i], 8 * 20);
	kern_shutdown();
}

KTEST_DEATH(xcall_at_ipl, "a cross call with interrupts masked is caught", "xc_broadcast at IPL")
{
	ktest_kern(2, 1);
	splvm();
	xc_broadcast(call, NULL);
}

static int busy_now;			/* atomic: LWPs that compute */
static bool busy_stop;			/* atomic */

static void
compute(void *arg)
{
	__atomic_fetch_add(&busy_now, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&busy_stop, __ATOMIC_RELAXED))
		lwp_userret(1);
}

static void
nothing(void *arg)
{
}

static uint64_t
cpu_time_ns(void)
{
	struct timespec ts;

	CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

KTEST(xcall_to_busy_cpus, "cross calls to more computing CPUs than the host has cores take yields, not time slices")
{
	struct lwp *l[15];
	unsigned spins = 0;
	bool quick = false;
	uint64_t start;

	ktest_kern(16, ktest_seed());
	for (int i = 0; i < 15; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "busy", compute, NULL), 0);
		lwp_start(l[i]);
	}
	while (__atomic_load_n(&busy_now, __ATOMIC_RELAXED) < 15)
		host_relax(&spins);
	/*
	 * Some 35 ms each, were it time slices; a fraction of one ms as it is.  A busy host may keep one
	 * of those who must answer from the cores, so ten of them in a row are enough that take no slice.
	 */
	for (int tries = 0; tries < 50 && !quick; tries++) {
		start = cpu_time_ns();
		for (int i = 0; i < 10; i++)
			xc_broadcast(nothing, NULL);
		quick = cpu_time_ns() - start < 100 * MS;
	}
	CHECK(quick);
	__atomic_store_n(&busy_stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 15; i++)
		lwp_wait(l[i]);
	kern_shutdown();
}

KTEST_MAIN()
