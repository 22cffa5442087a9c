/*
 * bench swap: how fast memory goes to swap and comes back, beside plain calls of the host that move
 * as much in the same pattern on the same file.
 *
 * One process sweeps over twice as much memory as there is and stores to each page, so that nearly
 * every store brings one page in and pushes another one out.  Counted are the bytes that went either
 * way.  Then its memory is unmapped, which frees all of swap, and the host has its turn on the file:
 * clusters of 64 KiB written to one half of it, single pages of the other half read, and the next time
 * the other way round, as slots go round, too; from and to a buffer as large as the simulated memory.
 * All of the file has been written before.  CPU time counts, all threads together.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/host.h>
#include <machine/disk.h>
#include <machine/softmmu.h>

#include "bench_int.h"

#define	PAGES		16384UL		/* 64 MiB of memory */
#define	QUICK_PAGES	2048UL

struct swaps {
	struct proc	*sw_proc;
	uint64_t	 sw_ram;	/* pages */
	int		 sw_fd;		/* the swap device's file */
	uint8_t		*sw_buffer;	/* as large as RAM */
	size_t		 sw_turns, sw_turn;
	double		 sw_v[2][BENCH_ROUNDS];
};

static uint64_t
moved(void)
{
	struct uvmexp exp;

	uvm_stat_get(&exp);
	return (exp.count[UVMC_pgswapin] + exp.count[UVMC_pgswapout]) * PAGE_SIZE;
}

static double
rate(uint64_t bytes, uint64_t since)
{
	return (double)bytes * 1e9 / (double)(host_cpu_ns() - since + 1);
}

/* => bytes a second of the second sweep; the first one only fills */
static double
ours(void *arg)
{
	struct swaps *sw = arg;
	const uint64_t pages = 2 * sw->sw_ram;
	uint64_t before, start;
	vaddr_t va = BENCH_BASE;
	double speed = -1;

	if (sys_mmap(sw->sw_proc, &va, ptoa(pages), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0) != 0)
		return -1;
	if (bench_store(BENCH_BASE, pages) == 0) {
		before = moved();
		start = host_cpu_ns();
		if (bench_store(BENCH_BASE, pages) == 0)
			speed = rate(moved() - before, start);
	}
	sys_munmap(sw->sw_proc, BENCH_BASE, ptoa(pages));
	uvm_quiesce();
	return speed;
}

/* => the same of clusters written and pages read, in turn */
static double
hosts(void *arg)
{
	struct swaps *sw = arg;
	const uint64_t half = ptoa(2 * sw->sw_ram), to = sw->sw_turn++ % 2 * half, from = half - to;
	uint64_t start = host_cpu_ns();

	for (uint64_t at = 0; at < half; at += MAXPHYS) {
		uint8_t *buf = sw->sw_buffer + at % ptoa(sw->sw_ram);

		if (pwrite(sw->sw_fd, buf, MAXPHYS, (off_t)(to + at)) != MAXPHYS)
			return -1;
		for (uint64_t in = at; in < at + MAXPHYS; in += PAGE_SIZE)
			if (pread(sw->sw_fd, buf + in % MAXPHYS, PAGE_SIZE, (off_t)(from + in)) !=
			    (ssize_t)PAGE_SIZE)
				return -1;
	}
	return rate(2 * half, start);
}

/* => 0 or errno: no byte of the file is a hole, or not in the host's memory, if it has so much */
static int
fill_file(const struct swaps *sw)
{
	for (uint64_t at = 0; at < 2 * ptoa(2 * sw->sw_ram); at += MAXPHYS)
		if (pwrite(sw->sw_fd, sw->sw_buffer, MAXPHYS, (off_t)at) != MAXPHYS)
			return errno != 0 ? errno : ENOSPC;
	return 0;
}

static int
measure(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { ours, hosts };
	struct swaps *sw = arg;
	char path[32];
	const struct swapon_args sa = { .sa_path = path, .sa_priority = 1 };
	int dev, error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", sw->sw_fd);
	error = uvm_swap_on(&sa, &dev);
	sw->sw_proc = p;
	return error != 0 ? error : bench_in_turn(ways, 2, sw, sw->sw_turns, false, sw->sw_v);
}

int
bench_swap(const struct bench_options *bo, struct bench_table *bt)
{
	struct swaps sw = {
		.sw_ram = bo->bo_quick ? QUICK_PAGES : PAGES, .sw_turns = bench_turns(bo),
	};
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = ptoa(sw.sw_ram), .uc_fault_ahead = true,
	};
	struct bench_row *br;
	int error = host_file_temp(NULL, 2 * ptoa(2 * sw.sw_ram), &sw.sw_fd);

	if (error != 0)
		return error;
	sw.sw_buffer = calloc(sw.sw_ram, PAGE_SIZE);
	error = sw.sw_buffer == NULL ? ENOMEM : fill_file(&sw);
	if (error == 0)
		error = bench_machine(&uc, true, measure, &sw);
	if (error == 0) {
		br = bench_add_turns(bt, "page-out and page-in, 1 CPU", "bytes/s", sw.sw_v[0], sw.sw_turns);
		br->br_clock = BENCH_CPU;
		bench_against_turns(br, "host: 64 KiB pwrite, 4 KiB pread", sw.sw_v[1], sw.sw_turns,
		    BENCH_BETTER, 0.7);
	}
	free(sw.sw_buffer);
	host_file_close(sw.sw_fd);
	return error;
}
