/*
 * bench fault: what it costs to reach memory, beside the host's kernel and beside the least that
 * it could cost.
 *
 *	zero-fill	user_store() to each page of a fresh private mapping; beside it memset of the
 *			very frames that the faults were given, and a store to each page of a fresh mapping of
 *			the host's, without huge pages
 *	warm pages	the same of so few pages that they stay in the processor's caches, as memory does that
 *			is freed and used again at once: the host's, too
 *	COW		a child's store to each page that it shares with its parent; beside it memcpy
 *			of the same frames
 *	soft		user_load() of pages that are in memory, of which no PTE is left, with fault-ahead off;
 *			beside it a pair of mutex_enter() and mutex_exit()
 *	TLB hit		user_load() of words, each held against what it must be; beside it plain loads
 *			of the same words in the same order, held against the same
 *
 * The pages of the first two are more than the processor's caches hold, so each is cold when its
 * turn comes, for faults and for memset alike.  One CPU; CPU time counts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <host/host.h>
#include <machine/softmmu.h>
#include <sys/mutex.h>

#include "bench_int.h"

#define	PAGES		32768UL		/* 128 MiB */
#define	QUICK_PAGES	16384UL
#define	WARM_PAGES	256UL		/* 1 MiB */
#define	SOFT_PAGES	4096UL
#define	PAIRS		200000u
#define	HIT_PAGES	32UL		/* 128 KiB: they fit the TLB */
#define	HIT_SWEEPS	64u
#define	WORDS		(PAGE_SIZE / sizeof(uint64_t))

/* One machine's measurements. */
struct reach {
	struct proc	*re_proc, *re_child;
	uint64_t	 re_pages;
	paddr_t		*re_to, *re_from;	/* frames of the last turn, in the order of its faults */
	kmutex_t	 re_mutex;
	uint64_t	*re_words, *re_model;	/* TLB hit: host memory, and what each word must be */
	size_t		 re_turns;
	double		 re_v[3][BENCH_ROUNDS];
};

static double
each(uint64_t since, uint64_t n)
{
	return (double)(host_cpu_ns() - since) / (double)n;
}

static int
map(struct proc *p, uint64_t pages)
{
	vaddr_t va = BENCH_BASE;

	return sys_mmap(p, &va, pages * PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
}

/* => which frames they are; false: not all are there */
static bool
frames(struct proc *p, uint64_t pages, paddr_t *pa)
{
	for (uint64_t i = 0; i < pages; i++)
		if (!pmap_extract(p->p_vmspace->vm_map.pmap, BENCH_BASE + ptoa(i), &pa[i]))
			return false;
	return true;
}

/* --- zero-fill --- */

static double
zero_fill(void *arg)
{
	struct reach *re = arg;
	uint64_t start;
	double ns;

	if (sys_munmap(re->re_proc, BENCH_BASE, ptoa(re->re_pages)) != 0 ||
	    map(re->re_proc, re->re_pages) != 0)
		return -1;
	lwp_userret(1);
	start = host_cpu_ns();
	for (uint64_t i = 0; i < re->re_pages; i++)
		if (user_store(BENCH_BASE + ptoa(i), i) != 0)
			return -1;
	ns = each(start, re->re_pages);
	return frames(re->re_proc, re->re_pages, re->re_to) ? ns : -1;
}

static double
zero_memset(void *arg)
{
	struct reach *re = arg;
	uint64_t start = host_cpu_ns();

	for (uint64_t i = 0; i < re->re_pages; i++) {
		memset(ram_host(re->re_to[i]), 0, PAGE_SIZE);
		__asm__ volatile("" : : : "memory");
	}
	return each(start, re->re_pages);
}

static double
zero_host(void *arg)
{
	struct reach *re = arg;
	const size_t bytes = ptoa(re->re_pages);
	uint8_t *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t start;
	double ns;

	if (mem == MAP_FAILED)
		return -1;
	madvise(mem, bytes, MADV_NOHUGEPAGE);
	start = host_cpu_ns();
	for (uint64_t i = 0; i < re->re_pages; i++)
		*(volatile uint8_t *)&mem[ptoa(i)] = 1;
	ns = each(start, re->re_pages);
	munmap(mem, bytes);
	return ns;
}

static int
measure_zero_fill(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { zero_fill, zero_memset, zero_host };
	struct reach *re = arg;

	re->re_proc = p;
	return bench_in_turn(ways, 3, re, re->re_turns, false, re->re_v);
}

/* Few pages, again and again: each way so often that as many pages were filled. */
static double
warm(struct reach *re, bench_way *way)
{
	const uint64_t all = re->re_pages;
	double sum = 0, ns;

	re->re_pages = WARM_PAGES;
	for (uint64_t done = 0; done < all && sum >= 0; done += WARM_PAGES) {
		ns = way(re);
		sum = ns > 0 ? sum + ns : -1;
	}
	re->re_pages = all;
	return sum > 0 ? sum / (double)(all / WARM_PAGES) : -1;
}

static double warm_zero_fill(void *re) { return warm(re, zero_fill); }
static double warm_memset(void *re) { return warm(re, zero_memset); }
static double warm_host(void *re) { return warm(re, zero_host); }

static int
measure_warm(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { warm_zero_fill, warm_memset, warm_host };
	struct reach *re = arg;

	re->re_proc = p;
	return bench_in_turn(ways, 3, re, re->re_turns, false, re->re_v);
}

/* --- copy on write --- */

/* The first store copies the amap: that is the fork's part, and not counted. */
static double
cow(void *arg)
{
	struct reach *re = arg;
	uint64_t start;
	double ns = -1;

	if (re->re_child != NULL)
		proc_exit(re->re_child);
	re->re_child = NULL;
	if (proc_fork(re->re_proc, "child", &re->re_child) != 0)
		return -1;
	proc_attach(re->re_child);
	if (user_store(BENCH_BASE, 0) == 0) {
		uint64_t done = 1;

		start = host_cpu_ns();
		while (done < re->re_pages && user_store(BENCH_BASE + ptoa(done), done) == 0)
			done++;
		ns = each(start, done - 1);
		if (done < re->re_pages || !frames(re->re_child, re->re_pages, re->re_to))
			ns = -1;
	}
	proc_attach(re->re_proc);
	return ns;
}

static double
cow_memcpy(void *arg)
{
	struct reach *re = arg;
	uint64_t start = host_cpu_ns();

	for (uint64_t i = 1; i < re->re_pages; i++) {
		memcpy(ram_host(re->re_to[i]), ram_host(re->re_from[i]), PAGE_SIZE);
		__asm__ volatile("" : : : "memory");
	}
	return each(start, re->re_pages - 1);
}

static int
measure_cow(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { cow, cow_memcpy };
	struct reach *re = arg;
	int error = map(p, re->re_pages);

	re->re_proc = p;
	re->re_child = NULL;
	if (error == 0)
		error = bench_store(BENCH_BASE, re->re_pages);
	if (error == 0 && !frames(p, re->re_pages, re->re_from))
		error = ENOMEM;
	if (error == 0)
		error = bench_in_turn(ways, 2, re, re->re_turns, false, re->re_v);
	if (re->re_child != NULL)
		proc_exit(re->re_child);
	return error;
}

/* --- soft --- */

static double
soft(void *arg)
{
	struct reach *re = arg;
	struct pmap *pm = re->re_proc->p_vmspace->vm_map.pmap;
	uint64_t start, word;

	pmap_remove(pm, BENCH_BASE, BENCH_BASE + ptoa(SOFT_PAGES));
	pmap_update(pm);
	lwp_userret(1);
	start = host_cpu_ns();
	for (uint64_t i = 0; i < SOFT_PAGES; i++)
		if (user_load(BENCH_BASE + ptoa(i), &word) != 0)
			return -1;
	return each(start, SOFT_PAGES);
}

static double
mutex_pair(void *arg)
{
	struct reach *re = arg;
	uint64_t start = host_cpu_ns();

	for (unsigned i = 0; i < PAIRS; i++) {
		mutex_enter(&re->re_mutex);
		mutex_exit(&re->re_mutex);
	}
	return each(start, PAIRS);
}

static int
measure_soft(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { soft, mutex_pair };
	struct reach *re = arg;
	int error = map(p, SOFT_PAGES);

	re->re_proc = p;
	mutex_init(&re->re_mutex, MUTEX_DEFAULT, IPL_NONE, LC_test);
	if (error == 0)
		error = bench_store(BENCH_BASE, SOFT_PAGES);
	if (error == 0)
		error = bench_in_turn(ways, 2, re, re->re_turns, false, re->re_v);
	mutex_destroy(&re->re_mutex);
	return error;
}

/* --- TLB hit --- */

static double
verified_loads(void *arg)
{
	struct reach *re = arg;
	uint64_t start = host_cpu_ns(), word;

	for (unsigned s = 0; s < HIT_SWEEPS; s++)
		for (uint64_t i = 0; i < HIT_PAGES * WORDS; i++)
			if (user_load(BENCH_BASE + i * sizeof(word), &word) != 0 || word != re->re_model[i])
				return -1;
	return each(start, HIT_SWEEPS * HIT_PAGES * WORDS);
}

static double
plain_loads(void *arg)
{
	struct reach *re = arg;
	uint64_t start = host_cpu_ns();

	for (unsigned s = 0; s < HIT_SWEEPS; s++)
		for (uint64_t i = 0; i < HIT_PAGES * WORDS; i++)
			if (*(volatile uint64_t *)&re->re_words[i] != re->re_model[i])
				return -1;
	return each(start, HIT_SWEEPS * HIT_PAGES * WORDS);
}

static int
measure_hits(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { verified_loads, plain_loads };
	struct reach *re = arg;
	int error = map(p, HIT_PAGES);

	re->re_words = calloc(HIT_PAGES * WORDS, sizeof(uint64_t));
	re->re_model = calloc(HIT_PAGES * WORDS, sizeof(uint64_t));
	if (re->re_words == NULL || re->re_model == NULL)
		error = ENOMEM;
	for (uint64_t i = 0; i < HIT_PAGES * WORDS && error == 0; i++) {
		re->re_words[i] = re->re_model[i] = i * 0x9e3779b97f4a7c15UL;
		error = user_store(BENCH_BASE + i * sizeof(uint64_t), re->re_model[i]);
	}
	if (error == 0)
		error = bench_in_turn(ways, 2, re, re->re_turns, false, re->re_v);
	free(re->re_words);
	free(re->re_model);
	return error;
}

/* --- the table --- */

static int
zero_fill_row(struct reach *re, bool audit, bool cold, struct bench_table *bt)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = ptoa(re->re_pages + 8192), .uc_fault_ahead = true,
	};
	struct bench_row *br;
	char name[64];
	int error = bench_machine(&uc, audit, cold ? measure_zero_fill : measure_warm, re);

	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "zero-fill fault, %s%s", cold ? "1 CPU" : "warm pages",
	    audit ? "" : ", audit=off");
	br = bench_add_cpu_ns(bt, name, re->re_v[0], re->re_turns);
	bench_against_turns(br, cold ? "memset of the same cold page" : "memset of the same page", re->re_v[1],
	    re->re_turns, BENCH_TIMES, cold ? 2.0 : 0);
	bench_against_turns(br, "host: anonymous fault, no huge pages", re->re_v[2], re->re_turns,
	    BENCH_BETTER, 6.0);
	return 0;
}

static int
cow_row(struct reach *re, bool audit, struct bench_table *bt)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = ptoa(2 * re->re_pages + 8192), .uc_fault_ahead = true,
	};
	int error = bench_machine(&uc, audit, measure_cow, re);

	if (error == 0)
		bench_against_turns(bench_add_cpu_ns(bt, audit ? "COW fault" : "COW fault, audit=off",
		    re->re_v[0], re->re_turns), "memcpy of the same cold page", re->re_v[1], re->re_turns,
		    BENCH_TIMES, 2.0);
	return error;
}

static int
other_rows(struct reach *re, struct bench_table *bt)
{
	const struct uvm_config uc = { .uc_ncpu = 1, .uc_seed = 1, .uc_memory = 64UL << 20 };
	int error = bench_machine(&uc, true, measure_soft, re);

	if (error != 0)
		return error;
	bench_against_turns(bench_add_cpu_ns(bt, "soft fault, fault-ahead off", re->re_v[0], re->re_turns),
	    "mutex_enter and mutex_exit, uncontended", re->re_v[1], re->re_turns, BENCH_TIMES, 12.0);
	error = bench_machine(&uc, true, measure_hits, re);
	if (error != 0)
		return error;
	bench_against_turns(bench_add_cpu_ns(bt, "verified load, TLB hit", re->re_v[0], re->re_turns),
	    "plain loads of the same words, verified", re->re_v[1], re->re_turns, BENCH_OVER, 6.0);
	return 0;
}

int
bench_fault(const struct bench_options *bo, struct bench_table *bt)
{
	struct reach re = {
		.re_pages = bo->bo_quick ? QUICK_PAGES : PAGES, .re_turns = bench_turns(bo),
	};
	int error = 0;

	if (!bench_has_memory(bt, "zero-fill fault, 1 CPU", ptoa(3 * re.re_pages)))
		return 0;
	re.re_to = calloc(re.re_pages, sizeof(paddr_t));
	re.re_from = calloc(re.re_pages, sizeof(paddr_t));
	if (re.re_to == NULL || re.re_from == NULL)
		error = ENOMEM;
	for (int audit = 1; audit >= 0 && error == 0; audit--) {
		error = zero_fill_row(&re, audit, true, bt);
		if (error == 0)
			error = zero_fill_row(&re, audit, false, bt);
		if (error == 0)
			error = cow_row(&re, audit, bt);
	}
	if (error == 0)
		error = other_rows(&re, bt);
	free(re.re_to);
	free(re.re_from);
	return error;
}
