/*
 * The clock of each CPU: by its own steps, inside the kernel too, the same again on one CPU.
 */
#include <ktest_kern.h>
#include <string.h>
#include <sys/callout.h>
#include <sys/clock.h>

#define	INTERVAL	50

static unsigned ticks[4];		/* by CPU; atomic */

static void
boot(int cpus_wanted, unsigned interval)
{
	const struct kern_config kc = { .kc_ncpu = cpus_wanted, .kc_seed = 1, .kc_clock = interval };

	memset(ticks, 0, sizeof(ticks));
	CHECK_EQ(kern_boot(&kc), 0);
}

static void
count(struct cpu_info *ci)
{
	CHECK(ci == curcpu());
	CHECK_EQ(ci->ci_ilevel, IPL_SCHED);
	__atomic_fetch_add(&ticks[ci->ci_index], 1, __ATOMIC_RELAXED);
}

static unsigned
nticks(int cpu)
{
	return __atomic_load_n(&ticks[cpu], __ATOMIC_RELAXED);
}

static void
steps(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		splx(splvm());
}

/* boot has made some */
static void
first_tick(void)
{
	for (int i = 0; i < INTERVAL && nticks(0) == 0; i++)
		steps(1);
	CHECK_EQ(nticks(0), 1);
}

KTEST(ticks_after_so_many_steps, "an IPL lowered is one, a return to user mode is one; with no interval there are none")
{
	boot(1, INTERVAL);
	clock_hook(count);
	first_tick();
	steps(INTERVAL - 1);
	CHECK_EQ(nticks(0), 1);
	steps(1);
	CHECK_EQ(nticks(0), 2);
	for (int i = 0; i < INTERVAL - 1; i++)
		lwp_userret(1);
	CHECK_EQ(nticks(0), 2);
	lwp_userret(1);
	CHECK_EQ(nticks(0), 3);
	kern_shutdown();
	boot(1, 0);
	clock_hook(count);
	steps(100 * INTERVAL);
	CHECK_EQ(nticks(0), 0);
	kern_shutdown();
}

static bool posted;			/* atomic: settling would make a step */

static uint64_t
cptime(enum cpustate state)
{
	return __atomic_load_n(&cpus[0].ci_cptime[state], __ATOMIC_RELAXED);
}

static void
handler(void *arg)
{
	CHECK(__atomic_exchange_n(&posted, false, __ATOMIC_RELAXED));
	steps(INTERVAL);
}

KTEST(a_tick_waits_for_its_level_and_says_what_it_found, "user, kernel, another handler")
{
	uint64_t before[CPUSTATES];

	boot(1, INTERVAL);
	clock_hook(count);
	intr_establish(IRQ_DEVICE, IPL_VM, handler, NULL);
	first_tick();
	for (int i = 0; i < CPUSTATES; i++)
		before[i] = cptime((enum cpustate)i);
	int s = splhigh();
	steps(INTERVAL);
	CHECK_EQ(nticks(0), 1);
	splx(s);
	CHECK_EQ(nticks(0), 2);
	CHECK_EQ(cptime(CP_SYS), before[CP_SYS] + 1);
	for (int i = 0; i < INTERVAL - 1; i++)
		lwp_userret(1);
	CHECK_EQ(cptime(CP_USER), before[CP_USER] + 1);
	__atomic_store_n(&posted, true, __ATOMIC_RELAXED);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	CHECK(!__atomic_load_n(&posted, __ATOMIC_RELAXED));
	CHECK_EQ(cptime(CP_INTR), before[CP_INTR] + 1);
	kern_shutdown();
}

KTEST(a_tick_of_an_idle_cpu_is_idle, "and the chip's tick is nobody's return to user mode")
{
	boot(1, INTERVAL);
	clock_hook(count);
	first_tick();
	for (int i = 0; i < INTERVAL; i++)
		lwp_userret(1);
	CHECK_EQ(cptime(CP_USER), 1);
	intr_post(curcpu(), IRQ_CLOCK);
	intr_poll();
	CHECK_EQ(nticks(0), 3);
	CHECK_EQ(cptime(CP_USER), 1);
	kern_shutdown();
	boot(2, 0);
	KTEST_WAIT(cptime(CP_IDLE) + __atomic_load_n(&cpus[1].ci_cptime[CP_IDLE], __ATOMIC_RELAXED) > 0);
	kern_shutdown();
}

static bool
all_tick(void)
{
	for (int i = 0; i < ncpu; i++)
		if (nticks(i) < 3)
			return false;
	return true;
}

/* No time-outs here: the chip's interrupts are not those that are meant. */
static void
run_until_all_tick(void *arg)
{
	while (!all_tick())		/* for ever, if one does not: whoever runs the case ends it */
		lwp_userret(1);
}

KTEST(every_cpu_that_runs_has_its_own, "each CPU ticks, on itself")
{
	boot(4, INTERVAL);
	clock_hook(count);
	ktest_lwps(7, run_until_all_tick);
	kern_shutdown();
}

static void
fired(void *arg)
{
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
}

KTEST(a_callout_is_called_in_the_middle_of_things, "time goes on with the ticks, on one CPU too")
{
	struct callout c;
	bool done = false;

	boot(1, INTERVAL);
	callout_init(&c, fired, &done);
	callout_schedule(&c, 1000000);
	steps(5 * INTERVAL);
	CHECK(!__atomic_load_n(&done, __ATOMIC_RELAXED));
	steps(10 * INTERVAL);
	CHECK(__atomic_load_n(&done, __ATOMIC_RELAXED));
	callout_halt(&c);
	kern_shutdown();
}

static unsigned turns;

static void
hog(void *arg)
{
	unsigned long *mine = arg;

	while (turns < 10) {
		steps(INTERVAL);
		++*mine;
		lwp_userret(1);
	}
}

static unsigned long hogged[2];

static void
other(void *arg)
{
	while (turns < 10) {
		turns++;
		yield();
	}
}

static void
hog_or_other(void *arg)
{
	(arg == NULL ? hog : other)(&hogged[0]);
}

KTEST(long_system_calls_do_not_keep_the_cpu, "a quantum is over after some ticks, whatever it cost")
{
	boot(1, INTERVAL);
	turns = 0;
	hogged[0] = 0;
	ktest_lwps(2, hog_or_other);
	CHECK(hogged[0] > 5 * 10 && hogged[0] < 20 * 10);	/* it has eight; a quantum has 4096 returns */
	kern_shutdown();
}

static uint64_t trace[1000];
static unsigned ntrace;

static void
note(struct cpu_info *ci)
{
	if (ntrace < 1000)
		trace[ntrace++] = (uint64_t)curlwp->l_id << 32 | 
		    __atomic_load_n(&curlwp->l_quantum, __ATOMIC_RELAXED);
}

static void
wander(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		steps((unsigned)host_rng_below(&curlwp->l_rng, 5));
		lwp_userret(16);
	}
}

KTEST(one_cpu_ticks_at_the_same_places_again, "which LWP, and how far in its quantum")
{
	static uint64_t first[1000];

	for (int run = 0; run < 2; run++) {
		ntrace = 0;
		boot(1, INTERVAL);
		clock_hook(note);
		ktest_lwps(3, wander);
		kern_shutdown();
		CHECK(ntrace > 100);
		if (run == 0)
			memcpy(first, trace, sizeof(first));
	}
	CHECK_EQ(memcmp(first, trace, sizeof(first)), 0);
}

KTEST_MAIN()
