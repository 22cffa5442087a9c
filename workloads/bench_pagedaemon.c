/*
 * bench pagedaemon: what the inactive queue of 1999 is worth.
 *
 * The seeds tell of a change: pages stay mapped when they are deactivated, and the
 * referenced attribute alone judges them (R20, R22, R24), where before every deactivated
 * page was unmapped and whoever wanted it again had to fault.  The same accesses are made
 * on the same machine with either policy, in turn: one process whose hot pages, two fifths
 * of memory, get nine accesses of ten, and the rest goes anywhere in twice as much memory
 * as there is.
 *
 *	accesses	a second, the better turn of each
 *	refaults	traps for pages that were in memory all the time, in a million accesses
 *	page-ins	traps for pages that were in swap, likewise
 *	scanned		pages that the daemon looked at in a second of its work
 *
 * Last, how the daemon's work grows with memory: CPU time for each page that it looks at, which is
 * to be the same however many there are.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <host/host.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_pdaemon.h>

#include "bench_int.h"

#define	BASE		0x10000000UL
#define	PAGES		8192UL
#define	QUICK_PAGES	2048UL
#define	TURNS		3
#define	ACCESSES	32		/* for each page of memory */

struct sample {
	double sa_accesses, sa_refaults, sa_pageins, sa_scanned;
};

static int
touch(struct host_rng *rng, uint64_t ram)
{
	uint64_t page, value;

	if (host_rng_below(rng, 10) != 0)
		page = host_rng_below(rng, ram * 2 / 5);
	else
		page = host_rng_below(rng, ram * 2);
	if (host_rng_below(rng, 2) == 0)
		return user_store(BASE + page * PAGE_SIZE, page);
	return user_load(BASE + page * PAGE_SIZE, &value);
}

/* => attached to a process */
static int
accesses(uint64_t ram, uint64_t n, uint64_t seed)
{
	struct host_rng rng;
	int error = 0;

	host_rng_init(&rng, seed, 0);
	for (uint64_t i = 0; i < n && error == 0; i++) {
		error = touch(&rng, ram);
		lwp_userret(16);
	}
	return error;
}

/* => never less than one event, which is what was looked for in vain */
static double
per_million(const struct uvmexp *a, const struct uvmexp *b, enum uvm_counter c, uint64_t n)
{
	uint64_t events = b->count[c] - a->count[c];

	return (double)(events != 0 ? events : 1) * 1e6 / (double)n;
}

/* => attached; the first part warms up and is not counted */
static int
measure(uint64_t ram, struct sample *sa)
{
	uint64_t n = ram * ACCESSES, start, scans, ns;
	struct uvmexp a, b;
	int error;

	error = accesses(ram, n / 4, 1);
	uvm_stat_get(&a);
	start = host_now_ns();
	if (error == 0)
		error = accesses(ram, n, 2);
	sa->sa_accesses = (double)n * 1e9 / (double)(host_now_ns() - start + 1);
	uvm_stat_get(&b);
	sa->sa_refaults = per_million(&a, &b, UVMC_flt_soft, n);
	sa->sa_pageins = per_million(&a, &b, UVMC_flt_pagein, n);
	scans = b.count[UVMC_pdscans] + b.count[UVMC_pdactive] - a.count[UVMC_pdscans] -
	    a.count[UVMC_pdactive];
	ns = b.count[UVMC_pdscan_ns] - a.count[UVMC_pdscan_ns];
	sa->sa_scanned = (double)scans * 1e9 / (double)(ns + 1);
	return error;
}

/* => one turn on a machine of its own; the better of this and the last */
static int
turn(uint64_t ram, bool old, struct sample *best)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = ram * PAGE_SIZE, .uc_fault_ahead = false,
		.uc_swap = 8 * ram * PAGE_SIZE, .uc_pd_unmap_on_deactivate = old,
	};
	vaddr_t va = BASE;
	struct sample sa;
	struct proc *p;
	int error = uvm_boot(&uc);

	if (error != 0)
		return error;
	error = proc_create("bench", &p);
	if (error == 0) {
		proc_attach(p);
		error = sys_mmap(p, &va, 2 * ram * PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
		    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
		if (error == 0)
			error = measure(ram, &sa);
		proc_attach(NULL);
		proc_exit(p);
	}
	uvm_quiesce();
	uvm_shutdown();
	if (error == 0 && sa.sa_accesses > best->sa_accesses)
		*best = sa;
	return error;
}

static void
row(struct bench_table *bt, const char *name, const char *unit, bool lower, double now, double old)
{
	struct bench_row *br = bench_add(bt, name, unit, now);

	br->br_lower_is_better = lower;
	bench_ref(br, "unmapped when deactivated", old);
}

/* --- how the time of a sweep grows --- */

/* => nobody faults: of the whole machine, the daemon alone runs */
static uint64_t
scanned(void)
{
	struct uvmexp exp;

	uvm_stat_get(&exp);
	return exp.count[UVMC_pdscans] + exp.count[UVMC_pdactive];
}

/*
 * Three quarters of memory are in use, all on the active queue and referenced: a round clears their
 * marks and finds nobody idle, the next one deactivates until there are inactive pages enough.
 */
static int
sweep(struct proc *p, void *arg)
{
	double *ns = arg;
	vaddr_t va = BASE;
	struct uvmexp exp;
	uint64_t pages, before, start;
	int error;

	uvm_stat_get(&exp);
	pages = exp.npages / 4 * 3;
	error = sys_mmap(p, &va, ptoa(pages), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	if (error == 0)
		error = bench_store(BASE, pages);
	if (error != 0)
		return error;
	before = scanned();
	start = host_cpu_ns();
	for (int i = 0; i < 2; i++) {
		uvm_kick_pdaemon();
		uvm_quiesce();
	}
	*ns = (double)(host_cpu_ns() - start) / (double)(scanned() - before + 1);
	return scanned() - before < pages ? EAGAIN : 0;
}

/* => ns for a page of a machine of so many MiB, or negative */
static double
sweep_machine(unsigned mib)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = (uint64_t)mib << 20, .uc_swap = 64UL << 20,
	};
	double ns;

	return bench_machine(&uc, true, sweep, &ns) != 0 ? -1 : ns;
}

static int
growth(const struct bench_options *bo, struct bench_table *bt)
{
	static const unsigned sizes[] = { 64, 256, 1024, 4096 };
	double first[BENCH_ROUNDS] = { 0 };

	for (unsigned i = 0; i < (bo->bo_quick ? 2 : 4); i++) {
		const size_t turns = sizes[i] < 1024 ? 3 : 1;
		double v[BENCH_ROUNDS];
		struct bench_row *br;
		char name[64];

		snprintf(name, sizeof(name), "a page looked at, of %u MiB", sizes[i]);
		if (!bench_has_memory(bt, name, (uint64_t)sizes[i] << 20))
			continue;
		for (size_t t = 0; t < turns; t++) {
			v[t] = sweep_machine(sizes[i]);
			if (v[t] < 0)
				return ENOMEM;
		}
		br = bench_add_cpu_ns(bt, name, v, turns);
		if (i == 0)
			memcpy(first, v, sizeof(first));
		else
			bench_against(br, "of 64 MiB: linear", bench_median(first, 3), BENCH_TIMES, BENCH_LINEAR);
	}
	return 0;
}

int
bench_pagedaemon(const struct bench_options *bo, struct bench_table *bt)
{
	uint64_t ram = bo->bo_quick ? QUICK_PAGES : PAGES;
	struct sample now = { 0 }, old = { 0 };
	int error = 0;

	for (int i = 0; i < TURNS && error == 0; i++) {
		error = turn(ram, false, &now);
		if (error == 0)
			error = turn(ram, true, &old);
	}
	if (error != 0)
		return error;
	row(bt, "hot pages in twice the memory, 1 CPU", "accesses/s", false, now.sa_accesses,
	    old.sa_accesses);
	row(bt, "refaults on pages in memory", "in 1M accesses", true, now.sa_refaults, old.sa_refaults);
	row(bt, "page-ins", "in 1M accesses", true, now.sa_pageins, old.sa_pageins);
	row(bt, "pages that the page daemon looks at", "pages/s", false, now.sa_scanned, old.sa_scanned);
	return growth(bo, bt);
}
