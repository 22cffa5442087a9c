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
 */
#include <errno.h>

#include <harness/bench.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>

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
	return 0;
}
