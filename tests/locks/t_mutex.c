/* mutex(9). */
#include <sys/cpu.h>

#include "validate.h"

KTEST(adaptive_excludes, "one LWP at a time holds an adaptive mutex, on 8 CPUs")
{
	validate_exclusion(&adaptive_mutex, 8, 12, 2000);
}

KTEST(adaptive_excludes_on_one_cpu, "and where contenders cannot spin")
{
	validate_exclusion(&adaptive_mutex, 1, 8, 2000);
}

KTEST(adaptive_holder_sleeps, "contenders sleep while the holder sleeps, none is forgotten")
{
	validate_sleeping_holder(&adaptive_mutex, 4, 8, 50);
}

KTEST(adaptive_holder_sleeps_on_one_cpu, "and on one CPU, in virtual time")
{
	validate_sleeping_holder(&adaptive_mutex, 1, 8, 200);
}

KTEST(adaptive_try, "tryenter excludes as enter does")
{
	validate_try(&adaptive_mutex, 4, 8, 1000);
}

KTEST(adaptive_owner, "mutex_owned() is true for the holder only")
{
	validate_owner(&adaptive_mutex);
}

KTEST(spin_excludes, "one CPU at a time holds a spin mutex, on 8 CPUs")
{
	validate_exclusion(&spin_mutex, 8, 12, 2000);
}

KTEST(spin_try, "tryenter excludes as enter does")
{
	validate_try(&spin_mutex, 4, 8, 1000);
}

KTEST(spin_owner, "mutex_owned() is true on the holder's CPU only")
{
	validate_owner(&spin_mutex);
}

KTEST(spin_raises_ipl, "IPL is the highest of the spin mutexes held, and comes back with the last")
{
	kmutex_t vm, sched;

	ktest_kern(1, 1);
	mutex_init(&vm, MUTEX_DEFAULT, IPL_VM, LC_test);
	mutex_init(&sched, MUTEX_DEFAULT, IPL_SCHED, LC_test);
	mutex_enter(&vm);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_VM);
	mutex_enter(&sched);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_SCHED);
	mutex_exit(&vm);		/* out of order: the level stays */
	CHECK_EQ(curcpu()->ci_ilevel, IPL_SCHED);
	mutex_exit(&sched);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	CHECK(mutex_tryenter(&vm));
	CHECK_EQ(curcpu()->ci_ilevel, IPL_VM);
	mutex_exit(&vm);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	mutex_destroy(&vm);
	mutex_destroy(&sched);
	kern_shutdown();
}

static kmutex_t contended;
static int waits;			/* atomic: the second LWP is about to enter */
static int ipis;			/* atomic */

static void
count_ipi(void *arg)
{
	__atomic_fetch_add(&ipis, 1, __ATOMIC_RELEASE);
}

static void
enter_contended(void *arg)
{
	__atomic_store_n(&waits, curcpu()->ci_index + 1, __ATOMIC_RELEASE);
	mutex_enter(&contended);
	mutex_exit(&contended);
}

KTEST(S4_spinning_cpu_answers_ipis, "a CPU that spins for an IPL_VM mutex takes IPIs meanwhile")
{
	struct lwp *l;
	unsigned spins = 0;
	int cpu;

	ktest_kern(2, 1);
	intr_establish(IRQ_IPI, IPL_SCHED, count_ipi, NULL);
	mutex_init(&contended, MUTEX_DEFAULT, IPL_VM, LC_test);
	CHECK_EQ(lwp_create(&l, NULL, "spinner", enter_contended, NULL), 0);
	mutex_enter(&contended);
	lwp_start(l);
	while ((cpu = __atomic_load_n(&waits, __ATOMIC_ACQUIRE)) == 0)
		host_relax(&spins);
	for (int i = 1; i <= 100; i++) {
		intr_post(&cpus[cpu - 1], IRQ_IPI);
		while (__atomic_load_n(&ipis, __ATOMIC_ACQUIRE) < i)
			host_relax(&spins);
	}
	mutex_exit(&contended);
	lwp_wait(l);
	mutex_destroy(&contended);
	kern_shutdown();
}

KTEST_MAIN()
