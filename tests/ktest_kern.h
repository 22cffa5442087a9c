/* For tests of the kernel floor and above: a machine without VM. */
#ifndef TESTS_KTEST_KERN_H
#define TESTS_KTEST_KERN_H

#include <ktest.h>
#include <sys/kernel.h>

static inline void
ktest_kern(int cpus, uint64_t seed)
{
	const struct kern_config kc = { .kc_ncpu = cpus, .kc_seed = seed };

	CHECK_EQ(kern_boot(&kc), 0);
}

#endif /* TESTS_KTEST_KERN_H */
