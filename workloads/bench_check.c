/*
 * bench check: what it costs to look.
 *
 * Throughput: the same operations by the same seed with everything that a run checks by
 * default, with samples alone and with nothing, in turn, by the time of the host's cores; the
 * median of the turns.
 *
 * At rest: machines of growing memory, three quarters of it used by four processes, anonymous
 * and shared, walked as a run does it.  Linear growth is a constant time for each page.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/inspect.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>

#include "bench_int.h"

#define	TURNS		7
#define	QUICK_TURNS	3
#define	WALKS		5
#define	BASE		0x10000000UL
#define	PROCS		4
#define	CONTENTS	64		/* as in a run */

static const char jobs[] =
    "[global]\ncpus = 4\nmemory = 24M\nswap = 64M\nseed = 1\n"
    "[anon]\nworkload = anon-fault\nthreads = 4\nprocesses = 2\nsize = 4M\n"
    "[cow]\nworkload = cow-fork\nthreads = 4\nprocesses = 2\nsize = 2M\n"
    "[shared]\nworkload = shared-anon\nthreads = 3\nprocesses = 3\n"
    "[files]\nworkload = file-map\nthreads = 3\nprocesses = 2\n"
    "[shm]\nworkload = aobj-shm\nthreads = 3\nprocesses = 2\n"
    "[churn]\nworkload = map-churn\nthreads = 4\nprocesses = 2\nsize = 2M\n";

/* What is checked meanwhile; NULL: as a profile that says nothing.  Stable. */
static const struct way {
	const char *wy_interval, *wy_depth;
} ways[] = {
	{ "0", "0" }, { "0", NULL }, { NULL, NULL },
};
enum { WAY_OFF, WAY_SAMPLES, WAY_ALL, NWAYS };

/* --- throughput --- */

static int
configure(struct profile *p, const struct way *wy, const char *ops)
{
	struct profile_error err;
	int error = profile_parse_buffer(p, "bench", "", jobs, sizeof(jobs) - 1, &err);

	if (error == 0)
		error = profile_set_global(p, "ops", ops, "bench", &err);
	if (error == 0 && wy->wy_interval != NULL)
		error = profile_set_global(p, "check-interval", wy->wy_interval, "bench", &err);
	if (error == 0 && wy->wy_depth != NULL)
		error = profile_set_global(p, "check-depth", wy->wy_depth, "bench", &err);
	return error != 0 ? error : profile_resolve(p, &err);
}

/* => operations in a second of the host's cores */
static int
run_once(const struct way *wy, const char *ops, double *rate)
{
	const struct run_options ro = { 0 };
	struct profile *p = profile_create(workload_table);
	struct run_result rr;
	double done = 0;
	int error = configure(p, wy, ops);

	run_result_init(&rr);
	if (error == 0)
		error = engine_run(p, &ro, &rr);
	for (size_t i = 0; i < rr.rr_njobs; i++)
		done += (double)rr.rr_jobs[i].rj_operations;
	*rate = rr.rr_cpu_s > 0 ? done / rr.rr_cpu_s : 0;
	run_result_fini(&rr);
	profile_destroy(p);
	return error;
}

static int
throughput(const struct bench_options *bo, struct bench_table *bt)
{
	const unsigned turns = bo->bo_quick ? QUICK_TURNS : TURNS;
	double rate[NWAYS][TURNS];
	struct bench_row *br;
	int error = 0;

	for (unsigned t = 0; t < turns && error == 0; t++)
		for (int w = 0; w < NWAYS && error == 0; w++)
			error = run_once(&ways[w], bo->bo_quick ? "4000" : "40000", &rate[w][t]);
	if (error != 0)
		return error;
	br = bench_add_turns(bt, "a little of everything, checked as by default", "operations/CPU s",
	    rate[WAY_ALL], turns);
	br->br_clock = BENCH_CPU;
	bench_against_turns(br, "samples only", rate[WAY_SAMPLES], turns, BENCH_BETTER, 0);
	bench_against_turns(br, "nothing is checked", rate[WAY_OFF], turns, BENCH_BETTER, 0.9);
	return 0;
}

/* --- the walk at rest --- */

/* => attached: every page stored to */
static int
fill(vaddr_t va, uint64_t pages)
{
	int error = 0;

	for (uint64_t i = 0; i < pages && error == 0; i++) {
		error = user_store(va + ptoa(i), i + 1);
		lwp_userret(1);
	}
	return error;
}

/* => memory of its own, and all of an object that each of them maps */
static int
populate(struct proc *p, struct uvm_object *shm, uint64_t pages, uint64_t shared)
{
	vaddr_t va = BASE, at = 0;
	int error = sys_mmap(p, &va, ptoa(pages), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);

	if (error == 0)
		error = sys_shmat(p, shm, &at, VM_PROT_READ | VM_PROT_WRITE);
	proc_attach(p);
	if (error == 0)
		error = fill(BASE, pages);
	if (error == 0)
		error = fill(at, shared);
	proc_attach(NULL);
	return error;
}

/* => ns of CPU time of one walk, the best of some */
static double
walk(void)
{
	double best = 0;

	for (int i = 0; i < WALKS; i++) {
		uint64_t start = host_cpu_ns(), took;

		inspect_at_rest(CONTENTS);
		took = host_cpu_ns() - start;
		if (best == 0 || (double)took < best)
			best = (double)took;
	}
	return best;
}

static int
walk_machine(uint64_t bytes, double *ns)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = bytes, .uc_fault_ahead = true,
	};
	struct proc *procs[PROCS] = { NULL };
	struct uvm_object *shm = NULL;
	int error = uvm_boot(&uc);

	if (error != 0)
		return error;
	shm = uao_create(bytes / 16, 0);
	error = shm == NULL ? ENOMEM : 0;
	for (int i = 0; i < PROCS && error == 0; i++) {
		error = proc_create("bench", &procs[i]);
		if (error == 0)
			error = populate(procs[i], shm, atop(bytes) * 11 / 16 / PROCS,
			    atop(bytes) / 16);
	}
	if (error == 0)
		*ns = walk();
	for (int i = 0; i < PROCS; i++)
		if (procs[i] != NULL)
			proc_exit(procs[i]);
	if (shm != NULL)
		uao_detach(shm);
	uvm_quiesce();
	uvm_shutdown();
	return error;
}

static int
at_rest(const struct bench_options *bo, struct bench_table *bt)
{
	static const unsigned sizes[] = { 64, 256, 1024, 4096 };	/* MiB */
	double first = 0;

	for (unsigned i = 0; i < (bo->bo_quick ? 2 : 4); i++) {
		uint64_t bytes = (uint64_t)sizes[i] << 20;
		char name[80];
		double ns = 0;
		int error = walk_machine(bytes, &ns);

		snprintf(name, sizeof(name), "walk at rest, %u MiB", sizes[i]);
		if (error == ENOMEM) {
			bench_missing(bt, name, "the host has not got the memory");
			continue;
		}
		if (error != 0)
			return error;
		if (first == 0) {
			struct bench_row *br = bench_add(bt, name, "ms", ns / 1e6);

			br->br_lower_is_better = true;
			br->br_clock = BENCH_CPU;
			bench_against(br, "what it may take", 50, BENCH_TIMES, 1.0);
			first = ns / (double)atop(bytes);
		}
		snprintf(name, sizeof(name), "walk at rest, %u MiB, a page", sizes[i]);
		ns /= (double)atop(bytes);
		bench_against(bench_add_cpu_ns(bt, name, &ns, 1), "of 64 MiB: linear", first, BENCH_TIMES,
		    BENCH_LINEAR);
	}
	return 0;
}

int
bench_check(const struct bench_options *bo, struct bench_table *bt)
{
	int error = throughput(bo, bt);

	return error != 0 ? error : at_rest(bo, bt);
}
