/*
 * anon-fault: private anonymous memory of one process, faulted from all its
 * threads.
 *
 * Each process maps job_size bytes.  In the lower half every page has words of every
 * thread, so several threads fault on the same page at once while each knows exactly
 * what its own words hold.  The upper half is dealt to the threads in runs of pages;
 * there a thread gives ranges back now and then (munmap and a new mmap in their place),
 * so that fresh pages must read as zero again while the others go on faulting.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x10000000UL
#define	RENEW_PAGES	16		/* most pages that one renewal gives back */
#define	RENEW_MANY	64		/* the same, when it is for the faults that follow */

struct fault_options {
	double	 fo_renew_fraction;
};

static const struct option_row options[] = {
	{ "renew-fraction", OPT_FRACTION, offsetof(struct fault_options, fo_renew_fraction), 0, 0, "0",
	    NULL, NULL, "share of operations that give pages back, beside the usual 1 in 200, and touch them anew, one by one: "
    "more faults" },
};

/* First page of a thread's own run, in the upper half. */
static uint64_t
own_first(const struct job_worker *jw, unsigned thread)
{
	uint64_t pages = jw->jw_run->jr_job->job_size / PAGE_SIZE, lower = (pages + 1) / 2;

	return lower + (pages - lower) * thread / jw->jw_proc->jp_nthreads;
}

static uint64_t
own_pages(const struct job_worker *jw)
{
	return own_first(jw, jw->jw_thread + 1) - own_first(jw, jw->jw_thread);
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	return private_map(jp, BASE, jr->jr_job->job_size);
}

/* A page that this thread may touch: half of the time one that all share. */
static uint64_t
pick_page(struct job_worker *jw)
{
	uint64_t lower = (jw->jw_run->jr_job->job_size / PAGE_SIZE + 1) / 2, own = own_pages(jw);

	if (own == 0 || host_rng_below(&jw->jw_rng, 2) == 0)
		return host_rng_below(&jw->jw_rng, lower);
	return own_first(jw, jw->jw_thread) + host_rng_below(&jw->jw_rng, own);
}

static int
touch(struct job_worker *jw, uint64_t page)
{
	return private_touch(jw, own_word(jw, BASE, page));
}

/* => some pages of this thread's, as many as `most', are new: which, how many */
static int
renew(struct job_worker *jw, uint64_t most, uint64_t *first, uint64_t *npages)
{
	uint64_t have = own_pages(jw), n;
	vaddr_t va;
	int error;

	n = 1 + host_rng_below(&jw->jw_rng, have < most ? have : most);
	*first = own_first(jw, jw->jw_thread) + host_rng_below(&jw->jw_rng, have - n + 1);
	*npages = n;
	va = BASE + *first * PAGE_SIZE;
	error = sys_munmap(jw->jw_proc->jp_proc, va, n * PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "munmap", va, error);
	error = expect_refusal(jw, va, false, EFAULT);
	if (error != 0)
		return error;
	error = map_private(jw->jw_proc->jp_proc, va, n * PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "mmap", va, error);
	shadow_zero(&jw->jw_proc->jp_shadow, va, n * PAGE_SIZE);
	return 0;
}

static int
op_renew(struct job_worker *jw)
{
	uint64_t first, n;

	return own_pages(jw) == 0 ? touch(jw, pick_page(jw)) : renew(jw, RENEW_PAGES, &first, &n);
}

static int
op_touch(struct job_worker *jw)
{
	const struct fault_options *fo = jw->jw_run->jr_job->job_options;
	uint64_t first, n;
	int error;

	if (fo->fo_renew_fraction <= 0 || own_pages(jw) == 0 ||
	    !host_rng_chance(&jw->jw_rng, fo->fo_renew_fraction))
		return touch(jw, pick_page(jw));
	error = renew(jw, RENEW_MANY, &first, &n);
	for (uint64_t i = 0; i < n && error == 0; i++)
		error = touch(jw, first + i);
	return error;
}

static const struct workload_op ops[] = {
	{ "touch", "store to or check a word of a random page", 200, op_touch },
	{ "renew", "unmap a few of this thread's pages, map them anew", 1, op_renew },
};

static const char *const required[] = { "faults.total", "faults.zero_fill", NULL };

const struct workload wl_anon_fault = {
	.wl_name = "anon-fault",
	.wl_help = "private anonymous memory: zero-fill faults from several threads",
	.wl_common = WL_COMMON_ALL,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct fault_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "uvm_fault case 2 (zero fill), 1A, amap_copy, mmap and munmap in place",
	.wl_verifies = "each word against a model of what its thread stored; fresh pages are zero",
	.wl_required = required,
	.wl_verify = private_verify,
	.wl_proc = fresh,
};
