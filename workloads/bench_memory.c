/*
 * bench memory: what the host needs for a page of simulated memory, beyond the page's own bytes.
 *
 * Two machines, one with four times as much RAM as the other; in each a process stores to nearly
 * all of it.  What the resident set of this process grows by from one to the other, divided by the
 * pages of the difference, is the need of a page: page structures, whatever the kernel keeps beside
 * RAM.  Page tables, pv entries and anons are in simulated RAM themselves.
 */
#include <errno.h>

#include <host/host.h>

#include "bench_int.h"

#define	SMALL		(64UL << 20)
#define	LARGE		(256UL << 20)

static int
fill(struct proc *p, void *arg)
{
	uint64_t *resident = arg, pages;
	vaddr_t va = BENCH_BASE;
	struct uvmexp exp;
	int error;

	uvm_stat_get(&exp);
	pages = exp.free - exp.free / 8;	/* the rest is for what they need */
	error = sys_mmap(p, &va, ptoa(pages), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	if (error == 0)
		error = bench_store(BENCH_BASE, pages);
	*resident = host_mem_resident();
	return error;
}

/* => bytes that a machine of so much RAM has resident, 0: it cannot be */
static uint64_t
resident_of(uint64_t bytes)
{
	const struct uvm_config uc = { .uc_ncpu = 1, .uc_seed = 1, .uc_memory = bytes };
	const uint64_t before = host_mem_resident();
	uint64_t resident;

	if (bench_machine(&uc, true, fill, &resident) != 0 || resident <= before)
		return 0;
	return resident - before;
}

/* => bytes for a page, its own not counted */
static double
overhead(void *arg)
{
	uint64_t small = resident_of(SMALL), large = resident_of(LARGE);
	double each;

	if (small == 0 || large <= small)
		return -1;
	each = (double)(large - small) / (double)atop(LARGE - SMALL) - (double)PAGE_SIZE;
	return each;
}

int
bench_memory(const struct bench_options *bo, struct bench_table *bt)
{
	static bench_way *const ways[] = { overhead };
	const size_t turns = 3;
	double v[1][BENCH_ROUNDS];
	struct bench_row *br;
	int error;

	if (!bench_has_memory(bt, "resident overhead of a page", 2 * LARGE))
		return 0;
	error = bench_in_turn(ways, 1, NULL, turns, false, v);
	if (error != 0)
		return error;
	br = bench_add_turns(bt, "resident overhead of a page", "bytes", v[0], turns);
	br->br_lower_is_better = true;
	bench_against(br, "the page", (double)PAGE_SIZE, BENCH_TIMES, 0.04);
	return 0;
}
