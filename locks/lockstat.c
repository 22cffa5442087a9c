/*
 * Lock statistics.  Every CPU counts for itself; nobody else writes its numbers,
 * and readers take them as they come.
 */
#include <string.h>

#include "../src/kern/kern_int.h"

#include <sys/kernhist.h>
#include <sys/lockstat.h>
#include <sys/probe.h>

/* relaxed atomics throughout: one writer, and readers that want a number, no order */
static struct {
	struct lockstat ls[LC_MAX];
} __attribute__((aligned(64))) stat_cpu[MAXCPUS];

static struct lockstat *
mine(enum lock_class class)
{
	return &curcpu()->ci_lockstat[class];
}

static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void
lockstat_init(void)
{
	memset(stat_cpu, 0, sizeof(stat_cpu));
	for (int i = 0; i < ncpu; i++)
		cpus[i].ci_lockstat = stat_cpu[i].ls;
}

void
lockstat_held(enum lock_class class, uint64_t ns)
{
	struct lockstat *ls = mine(class);

	if (ns > ls->ls_hold_ns_max)
		__atomic_store_n(&ls->ls_hold_ns_max, ns, __ATOMIC_RELAXED);
}

uint64_t
lockstat_waited(enum lock_class class, uint64_t ns)
{
	struct lockstat *ls = mine(class);

	add(&ls->ls_contended, 1);
	add(&ls->ls_wait_ns, ns);
	/* relaxed: as in kernhist_log_on().  Not by that: how long it took is no part of the hash */
	if ((__atomic_load_n(&kernhist.kinds, __ATOMIC_RELAXED) >> KE_lock_wait & 1) != 0)
		kernhist_write(curcpu(), curlwp->l_id, KE_lock_wait, curlwp->l_id, class, ns);
	PROBE2(lock__wait, lock_classes[class].lc_name, ns);
	return ns;
}

void
lockstat_get(enum lock_class class, struct lockstat *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < ncpu; i++) {
		const struct lockstat *ls = &stat_cpu[i].ls[class];
		uint64_t hold = __atomic_load_n(&ls->ls_hold_ns_max, __ATOMIC_RELAXED);

		sum->ls_acquisitions += __atomic_load_n(&ls->ls_acquisitions, __ATOMIC_RELAXED);
		sum->ls_contended += __atomic_load_n(&ls->ls_contended, __ATOMIC_RELAXED);
		sum->ls_wait_ns += __atomic_load_n(&ls->ls_wait_ns, __ATOMIC_RELAXED);
		if (hold > sum->ls_hold_ns_max)
			sum->ls_hold_ns_max = hold;
	}
}
