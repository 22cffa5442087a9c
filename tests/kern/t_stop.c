/*
 * All LWPs stand still while somebody looks, and go on.
 */
#include <ktest_kern.h>
#include <sys/intr.h>
#include <sys/sleepq.h>
#include <sys/stop.h>
#include <string.h>

#define	NLWP	6
#define	PLENTY	UINT64_C(600000000000)

static unsigned long steps[NLWP];	/* atomic, by LWP */
static bool stop;			/* atomic */
static bool hold;			/* atomic: nobody crosses the boundary */
static bool inside;			/* atomic: the one who is held has come there */

/* Works, sleeps in the kernel, works: what is between two returns to user mode must be whole. */
static void
work(void *arg)
{
	unsigned long *mine = &steps[(intptr_t)arg];

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(mine, 1, __ATOMIC_RELAXED);
		if (host_rng_below(&curlwp->l_rng, 20) == 0)
			kpause("work", 10000);
		__atomic_fetch_add(mine, 1, __ATOMIC_RELAXED);
		lwp_userret(64);
	}
}

static unsigned long
sum_of_steps(bool *odd)
{
	unsigned long sum = 0;

	*odd = false;
	for (int i = 0; i < NLWP; i++) {
		unsigned long n = __atomic_load_n(&steps[i], __ATOMIC_RELAXED);

		sum += n;
		*odd |= n % 2 != 0;
	}
	return sum;
}

static void
look(void *arg)
{
	char who[LWP_NAME_MAX];
	unsigned long before = 0, now;
	bool odd;

	for (int round = 0; round < 20; round++) {
		do {				/* since the last time they have gone on */
			kpause("between", 100000);
			now = sum_of_steps(&odd);
		} while (now == before);
		CHECK(lwp_stop(PLENTY, who));
		before = sum_of_steps(&odd);
		CHECK(!odd);
		for (int i = 0; i < 5; i++) {
			kpause("look", 100000);
			CHECK_EQ(sum_of_steps(&odd), before);
		}
		CHECK(lwp_stop_wait(PLENTY, who));	/* a CPU may just take its clock's interrupt */
		lwp_userret(1);			/* not the one who stops them */
		lwp_resume();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

/* => the last one looks, the others work */
static void
one_of_all(void *arg)
{
	if ((intptr_t)arg == NLWP)
		look(arg);
	else
		work(arg);
}

static void
stops_on(int n)
{
	ktest_kern(n, ktest_seed());
	ktest_lwps(NLWP + 1, one_of_all);
	kern_shutdown();
}

KTEST(T80_all_stand_between_two_operations, "none in the middle, none takes a step, all go on")
{
	stops_on(4);
}

KTEST(T80_one_cpu_is_enough, "the same where all share one CPU")
{
	stops_on(1);
}

static void
stay_in_the_kernel(void *arg)
{
	__atomic_store_n(&inside, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&hold, __ATOMIC_RELAXED))
		kpause("held", 1000000);
	lwp_userret(1);
}

KTEST(who_does_not_come_is_named, "the wait is bounded; then it is reached once he comes")
{
	char who[LWP_NAME_MAX];
	struct lwp *l;

	ktest_kern(2, 1);
	hold = true;
	CHECK_EQ(lwp_create(&l, NULL, "stubborn", stay_in_the_kernel, NULL), 0);
	lwp_start(l);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		kpause("begin", 1000000);
	CHECK(!lwp_stop(20000000, who));
	CHECK(strcmp(who, "stubborn") == 0 || strncmp(who, "idle/", 5) == 0);
	CHECK(!lwp_stopped());
	lwp_resume();
	__atomic_store_n(&hold, false, __ATOMIC_RELAXED);
	CHECK(lwp_stop(PLENTY, who));
	lwp_resume();
	lwp_wait(l);
	kern_shutdown();
}

static void
stay_in_the_handler(void *arg)
{
	unsigned spins = 0;

	__atomic_store_n(&inside, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&hold, __ATOMIC_RELAXED))
		host_relax(&spins);
}

KTEST(an_interrupt_is_waited_for, "while a handler runs on a CPU that idles the machine does not stand")
{
	char who[LWP_NAME_MAX];

	ktest_kern(2, 1);
	intr_establish(IRQ_DISK, IPL_VM, stay_in_the_handler, NULL);
	CHECK(lwp_stop(PLENTY, who));
	hold = true;
	intr_post(&cpus[!curcpu()->ci_index], IRQ_DISK);
	KTEST_WAIT(__atomic_load_n(&inside, __ATOMIC_ACQUIRE));
	CHECK(!lwp_stopped());
	__atomic_store_n(&hold, false, __ATOMIC_RELAXED);
	CHECK(lwp_stop_wait(PLENTY, who));
	lwp_resume();
	kern_shutdown();
}

KTEST_MAIN()
