/*
 * What benchmarks share: taking turns, a machine to measure on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <host/host.h>
#include <machine/ram.h>
#include <machine/softmmu.h>
#include <sys/lockdebug.h>
#include <sys/lockevent.h>

#include "bench_int.h"

#define	BATCHES		5		/* of bench_best_ns(): the best counts */
#define	TURNS		7
#define	QUICK_TURNS	3

size_t
bench_turns(const struct bench_options *bo)
{
	return bo->bo_quick ? QUICK_TURNS : TURNS;
}

int
bench_in_turn(bench_way *const *ways, size_t n, void *arg, size_t turns, bool cold, double v[][BENCH_ROUNDS])
{
	for (size_t i = 0; i < n && !cold; i++)
		if (ways[i](arg) <= 0)
			return ENOMEM;
	for (size_t t = 0; t < turns; t++)
		for (size_t i = 0; i < n; i++) {
			const size_t w = (i + t) % n;

			v[w][t] = ways[w](arg);
			if (v[w][t] <= 0)
				return ENOMEM;
		}
	return 0;
}

/* The first touch of a page is the host's affair, and dear. */
static void
touch_ram(void)
{
	for (uint64_t i = 0; i < ram_npages; i++)
		__atomic_fetch_or((uint64_t *)ram_host(i * PAGE_SIZE), 0, __ATOMIC_RELAXED);
}

int
bench_machine(const struct uvm_config *uc, bool audit, int (*fn)(struct proc *, void *), void *arg)
{
	struct proc *p;
	int error;

	lockdebug_on = audit;
	lockaudit_full = false;
	error = uvm_boot(uc);
	lockdebug_on = error == 0 ? audit : true;
	if (error != 0)
		return error;
	touch_ram();
	error = proc_create("bench", &p);
	if (error == 0) {
		proc_attach(p);
		error = fn(p, arg);
		proc_attach(NULL);
		proc_exit(p);
	}
	uvm_quiesce();
	uvm_shutdown();
	lockdebug_on = true;
	return error;
}

bool
bench_has_memory(struct bench_table *bt, const char *name, uint64_t bytes)
{
	FILE *in = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128], note[128];

	while (in != NULL && kib == 0 && fgets(line, sizeof(line), in) != NULL)
		(void)sscanf(line, "MemAvailable: %lu kB", &kib);
	if (in != NULL)
		fclose(in);
	if (kib == 0 || kib >= bytes >> 10)
		return true;
	snprintf(note, sizeof(note), "it takes %lu MiB, the host has %lu MiB left", (unsigned long)(bytes >> 20),
	    kib >> 10);
	bench_missing(bt, name, note);
	return false;
}

int
bench_store(vaddr_t va, uint64_t pages)
{
	int error = 0;

	for (uint64_t i = 0; i < pages && error == 0; i++) {
		error = user_store(va + i * PAGE_SIZE, i);
		lwp_userret(1);
	}
	return error;
}

double
bench_best_ns(void (*batch)(void *), void *arg, unsigned turns)
{
	double best = 0;

	for (int i = 0; i <= BATCHES; i++) {
		uint64_t start = host_now_ns();
		double ns;

		batch(arg);
		ns = (double)(host_now_ns() - start) / turns;
		if (i > 0 && (best == 0 || ns < best))
			best = ns;
		lwp_userret(64);
	}
	return best;
}

struct bench_row *
bench_add_ns(struct bench_table *bt, const char *name, double ns, const char *refname, double ref)
{
	struct bench_row *row = bench_add(bt, name, "ns", ns);

	row->br_lower_is_better = true;
	bench_ref(row, refname, ref);
	return row;
}

struct bench_row *
bench_add_cpu_ns(struct bench_table *bt, const char *name, const double *v, size_t n)
{
	struct bench_row *row = bench_add_turns(bt, name, "ns", v, n);

	row->br_lower_is_better = true;
	row->br_clock = BENCH_CPU;
	return row;
}
