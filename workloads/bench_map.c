/*
 * bench map: mmap and munmap in address spaces of few and of many entries, beside the host's own in
 * a process of as many mappings.
 *
 * The entries are one page each, one after the other, readable and writable in turn, so that no two
 * of them can be one.  A turn is two pairs: a page without rights mapped anywhere and unmapped, and
 * one of the entries, anyone, unmapped and mapped again.  No page is in memory.
 *
 * A process of the host has at most vm.max_map_count mappings; where there are more entries than
 * that, the reference has as many as it may, and its name says how many.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <host/host.h>

#include "bench_int.h"

#define	PAIRS		4000u		/* of each kind, in a measurement */
#define	QUICK_PAIRS	1000u
#define	OWN_MAPPINGS	2000UL		/* of this process; the rest may be the benchmark's */

struct maps {
	struct proc	*ma_proc;
	uint64_t	 ma_entries;
	uint8_t		*ma_host;	/* its mappings, and how many there are */
	uint64_t	 ma_nhost;
	unsigned	 ma_pairs;
	struct host_rng	 ma_rng;
	size_t		 ma_turns;
	double		 ma_v[2][BENCH_ROUNDS];
};

static int
prot_of(uint64_t entry)
{
	return entry % 2 == 0 ? VM_PROT_READ : VM_PROT_READ | VM_PROT_WRITE;
}

static int
enter(struct maps *ma, uint64_t entry)
{
	vaddr_t va = BENCH_BASE + ptoa(entry);

	return sys_mmap(ma->ma_proc, &va, PAGE_SIZE, prot_of(entry), UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED,
	    NULL, 0, 0);
}

static int
anywhere(struct proc *p)
{
	vaddr_t va = 0;
	int error = sys_mmap(p, &va, PAGE_SIZE, VM_PROT_NONE, UMAP_PRIVATE | UMAP_ANON, NULL, 0, 0);

	return error != 0 ? error : sys_munmap(p, va, PAGE_SIZE);
}

/* => ns of a pair */
static double
ours(void *arg)
{
	struct maps *ma = arg;
	uint64_t start = host_cpu_ns();

	for (unsigned i = 0; i < ma->ma_pairs; i++) {
		uint64_t entry = host_rng_below(&ma->ma_rng, ma->ma_entries);

		if (anywhere(ma->ma_proc) != 0 ||
		    sys_munmap(ma->ma_proc, BENCH_BASE + ptoa(entry), PAGE_SIZE) != 0 ||
		    enter(ma, entry) != 0)
			return -1;
		lwp_userret(4);
	}
	return (double)(host_cpu_ns() - start) / (2.0 * ma->ma_pairs);
}

/* --- the host's --- */

static int
host_prot(uint64_t entry)
{
	return entry % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
}

static bool
host_enter(struct maps *ma, uint64_t entry)
{
	return mmap(ma->ma_host + ptoa(entry), PAGE_SIZE, host_prot(entry),
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static double
hosts(void *arg)
{
	struct maps *ma = arg;
	uint64_t start = host_cpu_ns();

	for (unsigned i = 0; i < ma->ma_pairs; i++) {
		uint64_t entry = host_rng_below(&ma->ma_rng, ma->ma_nhost);
		void *mem = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED || munmap(mem, PAGE_SIZE) != 0 ||
		    munmap(ma->ma_host + ptoa(entry), PAGE_SIZE) != 0 || !host_enter(ma, entry))
			return -1;
	}
	return (double)(host_cpu_ns() - start) / (2.0 * ma->ma_pairs);
}

/* => how many mappings a process of the host may have */
static uint64_t
host_limit(void)
{
	FILE *in = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long limit = 65530;

	if (in != NULL && fscanf(in, "%lu", &limit) != 1)
		limit = 65530;
	if (in != NULL)
		fclose(in);
	return limit > 2 * OWN_MAPPINGS ? limit - OWN_MAPPINGS : limit / 2;
}

/* => as many mappings as may be, at most ma_entries; false: there is no room for them */
static bool
host_make(struct maps *ma)
{
	void *mem;

	ma->ma_nhost = ma->ma_entries < host_limit() ? ma->ma_entries : host_limit();
	mem = mmap(NULL, ptoa(ma->ma_nhost), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return false;
	ma->ma_host = mem;
	for (uint64_t i = 0; i < ma->ma_nhost; i++)
		if (!host_enter(ma, i)) {
			munmap(mem, ptoa(ma->ma_nhost));
			return false;
		}
	return true;
}

/* --- the table --- */

static int
measure(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { ours, hosts };
	struct maps *ma = arg;
	int error = 0;

	ma->ma_proc = p;
	host_rng_init(&ma->ma_rng, 1, 0);
	for (uint64_t i = 0; i < ma->ma_entries && error == 0; i++) {
		error = enter(ma, i);
		lwp_userret(1);
	}
	if (error != 0)
		return error;
	if (!host_make(ma))
		return ENOMEM;
	error = bench_in_turn(ways, 2, ma, ma->ma_turns, false, ma->ma_v);
	munmap(ma->ma_host, ptoa(ma->ma_nhost));
	return error;
}

static int
row_of(struct maps *ma, struct bench_table *bt)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = (64UL << 20) + ma->ma_entries * 512,
	};
	char name[64], ref[96];
	int error;

	snprintf(name, sizeof(name), "mmap+munmap, %lu entries", (unsigned long)ma->ma_entries);
	if (!bench_has_memory(bt, name, uc.uc_memory))
		return 0;
	error = bench_machine(&uc, true, measure, ma);
	if (error != 0)
		return error;
	if (ma->ma_nhost == ma->ma_entries)
		snprintf(ref, sizeof(ref), "host: with as many mappings");
	else
		snprintf(ref, sizeof(ref), "host: with %lu, all that it allows", (unsigned long)ma->ma_nhost);
	bench_against_turns(bench_add_cpu_ns(bt, name, ma->ma_v[0], ma->ma_turns), ref, ma->ma_v[1],
	    ma->ma_turns, BENCH_BETTER, 1.0);
	return 0;
}

/* Beside that of the logarithm.  The first size's turns are not the last one's: medians. */
static void
growth(struct bench_table *bt, uint64_t few, uint64_t many, double small, double large)
{
	char name[64];
	struct bench_row *br;

	snprintf(name, sizeof(name), "growth from %lu to %lu entries", (unsigned long)few, (unsigned long)many);
	br = bench_add(bt, name, "times", large / small);
	br->br_lower_is_better = true;
	br->br_clock = BENCH_CPU;
	bench_against(br, "that of log n", log((double)many) / log((double)few), BENCH_TIMES, 1.0);
}

int
bench_map(const struct bench_options *bo, struct bench_table *bt)
{
	static const uint64_t sizes[] = { 10, 1000, 100000, 1000000 };
	const size_t n = sizeof(sizes) / sizeof(sizes[0]) - (bo->bo_quick ? 1 : 0);
	double first = 0;

	for (size_t i = 0; i < n; i++) {
		struct maps ma = {
			.ma_entries = sizes[i], .ma_turns = bench_turns(bo),
			.ma_pairs = bo->bo_quick ? QUICK_PAIRS : PAIRS,
		};
		int error = row_of(&ma, bt);
		double median;

		if (error != 0)
			return error;
		if (ma.ma_nhost == 0)
			continue;
		median = bench_median(ma.ma_v[0], ma.ma_turns);
		if (i == 0)
			first = median;
		if (i == n - 1)
			growth(bt, sizes[0], sizes[i], first, median);
	}
	return 0;
}
