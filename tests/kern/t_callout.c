/*
 * callout(9): once, after its time, at the clock's level.
 */
#include <ktest_kern.h>
#include <sys/callout.h>
#include <sys/sleepq.h>

static struct callout c;
static unsigned fired;			/* atomic */
static uint64_t due;			/* stable while it is scheduled: by the host's clock; 0: virtual time */

static void
fn(void *arg)
{
	CHECK(arg == &c);
	CHECK(host_now_ns() >= due);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_SCHED);
	__atomic_fetch_add(&fired, 1, __ATOMIC_RELAXED);
}

static unsigned
nfired(void)
{
	return __atomic_load_n(&fired, __ATOMIC_RELAXED);
}

KTEST(fires_once_after_its_time, "not before, and not again")
{
	for (int cpus_wanted = 1; cpus_wanted <= 4; cpus_wanted += 3) {
		ktest_kern(cpus_wanted, 1);
		fired = 0;
		callout_init(&c, fn, &c);
		due = cpus_wanted > 1 ? host_now_ns() + 2000000 : 0;
		callout_schedule(&c, 2000000);
		CHECK(cpus_wanted > 1 || nfired() == 0);
		KTEST_WAIT(nfired() == 1);
		kpause("more", 5000000);
		CHECK_EQ(nfired(), 1);
		kern_shutdown();
	}
}

KTEST(stopped_it_does_not_fire, "callout_stop and callout_halt take it back; a later schedule moves it")
{
	ktest_kern(1, 1);
	callout_init(&c, fn, &c);
	callout_schedule(&c, 1000000);
	callout_stop(&c);
	kpause("wait", 3000000);
	CHECK_EQ(nfired(), 0);
	callout_schedule(&c, 1000000);
	callout_schedule(&c, 10000000);
	kpause("wait", 5000000);
	CHECK_EQ(nfired(), 0);
	kpause("wait", 6000000);
	CHECK_EQ(nfired(), 1);
	callout_halt(&c);
	kern_shutdown();
}

static void
again(void *arg)
{
	if (__atomic_add_fetch(&fired, 1, __ATOMIC_RELAXED) < 5)
		callout_schedule(arg, 100000);
}

KTEST(may_schedule_itself, "a periodic callout is one that asks again")
{
	ktest_kern(2, 1);
	callout_init(&c, again, &c);
	callout_schedule(&c, 100000);
	KTEST_WAIT(nfired() == 5);
	callout_halt(&c);
	CHECK_EQ(nfired(), 5);
	kern_shutdown();
}

static bool inside, over;		/* atomic */

static void
takes_its_time(void *arg)
{
	const uint64_t until = host_now_ns() + 3000000;
	unsigned spins = 0;

	__atomic_store_n(&inside, true, __ATOMIC_RELEASE);
	while (host_now_ns() < until)
		host_relax(&spins);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
}

KTEST(halt_waits_for_who_fires, "callout_halt returns when the function has, on whichever CPU that is")
{
	unsigned spins = 0;

	ktest_kern(2, 1);
	callout_init(&c, takes_its_time, &c);
	for (int round = 0; round < 3; round++) {
		inside = over = false;
		callout_schedule(&c, 100000);
		while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE)) {
			intr_poll();
			host_relax(&spins);
		}
		callout_halt(&c);
		CHECK(__atomic_load_n(&over, __ATOMIC_ACQUIRE));
	}
	kern_shutdown();
}

KTEST_MAIN()
