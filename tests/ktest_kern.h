/*
 * For tests of the kernel floor and above: a machine without VM, LWPs, and a
 * failure sink that counts what it is told instead of dying of it.
 */
#ifndef TESTS_KTEST_KERN_H
#define TESTS_KTEST_KERN_H

#include <ktest.h>
#include <stdio.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/sleepq.h>

/* => the calling thread is lwp0 on CPU 0, until kern_shutdown() */
static inline void
ktest_kern(int cpus_wanted, uint64_t seed)
{
	const struct kern_config kc = { .kc_ncpu = cpus_wanted, .kc_seed = seed };

	CHECK_EQ(kern_boot(&kc), 0);
}

/* => runs fn on n LWPs, each with its number as argument; returns when all have exited */
static inline void
ktest_lwps(int n, void (*fn)(void *))
{
	struct lwp *l[64];
	char name[16];

	CHECK(n <= 64);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "test/%d", i);
		CHECK_EQ(lwp_create(&l[i], NULL, name, fn, (void *)(intptr_t)i), 0);
	}
	for (int i = 0; i < n; i++)
		lwp_start(l[i]);
	for (int i = 0; i < n; i++)
		lwp_wait(l[i]);
}

/* => the condition holds.  Others may be kept from a core for seconds: patience costs nothing. */
#define	KTEST_WAIT(cond)	do {						\
	for (int kt_i = 0; !(cond) && kt_i < 100000; kt_i++)		\
		kpause("ktwait", 1000000);				\
	CHECK(cond);							\
} while (0)

/* => what handlers did on this CPU may be looked at without an spl: those to come are expected */
static inline void
ktest_settle(void)
{
	splx(splhigh());
}

/* How many violations of each kind, and the last one; for cases that expect them. */
static struct violation ktest_violation;	/* one failing thread at a time */
static unsigned ktest_nviolation[VIOL_COUNT];	/* atomic */

static inline bool
ktest_sink(const struct violation *v)
{
	ktest_violation = *v;
	__atomic_fetch_add(&ktest_nviolation[v->v_kind], 1, __ATOMIC_RELAXED);
	return true;
}

static inline void
ktest_expect_violations(void)
{
	failure_sink = ktest_sink;
}

static inline unsigned
ktest_violations(enum violation_kind kind)
{
	return __atomic_load_n(&ktest_nviolation[kind], __ATOMIC_RELAXED);
}

#endif /* TESTS_KTEST_KERN_H */
