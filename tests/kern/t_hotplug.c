/*
 * CPUs that go offline and come back: LWPs leave them, and run elsewhere.
 */
#include <errno.h>

#include <ktest_kern.h>
#include <sys/sleepq.h>

static unsigned long rounds[8];		/* atomic, by LWP */
static unsigned ran_on[4];		/* atomic, by CPU: since last cleared */
static bool stop;			/* atomic */

static void
spin(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&rounds[(intptr_t)arg], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&ran_on[curcpu()->ci_index], 1, __ATOMIC_RELAXED);
		if (host_rng_below(&curlwp->l_rng, 50) == 0)
			kpause("spin", 1000);
		lwp_userret(64);
	}
}

static void
wait_until_free(int cpu)
{
	KTEST_WAIT(__atomic_load_n(&cpus[cpu].ci_curlwp, __ATOMIC_ACQUIRE) == cpus[cpu].ci_idlelwp);
	__atomic_store_n(&ran_on[cpu], 0, __ATOMIC_RELAXED);
}

KTEST(nobody_runs_on_a_cpu_that_is_offline, "all leave, all go on, and when it is back it is used again")
{
	struct lwp *l[8];

	ktest_kern(4, 1);
	for (intptr_t i = 0; i < 8; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "spin", spin, (void *)i), 0);
		lwp_start(l[i]);
	}
	for (int round = 0; round < 5; round++) {
		int cpu = 1 + round % 3;
		unsigned long before[8];

		CHECK_EQ(cpu_setstate(&cpus[cpu], false), 0);
		wait_until_free(cpu);
		for (int i = 0; i < 8; i++)
			before[i] = __atomic_load_n(&rounds[i], __ATOMIC_RELAXED);
		for (int i = 0; i < 8; i++)
			KTEST_WAIT(__atomic_load_n(&rounds[i], __ATOMIC_RELAXED) > before[i]);
		CHECK_EQ(__atomic_load_n(&ran_on[cpu], __ATOMIC_RELAXED), 0);
		CHECK_EQ(cpu_setstate(&cpus[cpu], true), 0);
		KTEST_WAIT(__atomic_load_n(&ran_on[cpu], __ATOMIC_RELAXED) > 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 8; i++)
		lwp_wait(l[i]);
	kern_shutdown();
}

static void
compute(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&ran_on[curcpu()->ci_index], 1, __ATOMIC_RELAXED);
		lwp_userret(64);
	}
}

KTEST(who_never_sleeps_leaves_too, "at the end of his quantum, and no other is fetched in his place")
{
	struct lwp *l[5];

	ktest_kern(2, 1);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "compute", compute, NULL), 0);
		lwp_start(l[i]);
	}
	KTEST_WAIT(__atomic_load_n(&ran_on[1], __ATOMIC_RELAXED) > 0);
	CHECK_EQ(cpu_setstate(&cpus[1], false), 0);
	wait_until_free(1);
	for (int i = 0; i < 20; i++)
		kpause("look", 1000000);
	CHECK_EQ(__atomic_load_n(&ran_on[1], __ATOMIC_RELAXED), 0);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 5; i++)
		lwp_wait(l[i]);
	kern_shutdown();
}

static unsigned heard;			/* atomic */

static void
hear(void *arg)
{
	__atomic_fetch_add(&heard, 1, __ATOMIC_RELAXED);
}

KTEST(an_offline_cpu_takes_interrupts, "and cross calls, which wait for every CPU")
{
	ktest_kern(3, 1);
	intr_establish(IRQ_DISK, IPL_VM, hear, NULL);
	CHECK_EQ(cpu_setstate(&cpus[1], false), 0);
	CHECK_EQ(cpu_setstate(&cpus[2], false), 0);
	intr_post(&cpus[1], IRQ_DISK);
	KTEST_WAIT(__atomic_load_n(&heard, __ATOMIC_RELAXED) == 1);
	xc_broadcast(hear, NULL);
	CHECK_EQ(__atomic_load_n(&heard, __ATOMIC_RELAXED), 4);
	kern_shutdown();
}

KTEST(the_boot_cpu_stays, "EBUSY")
{
	ktest_kern(2, 1);
	CHECK_EQ(cpu_setstate(&cpus[0], false), EBUSY);
	CHECK_EQ(cpu_setstate(&cpus[0], true), 0);
	kern_shutdown();
}

KTEST_MAIN()
