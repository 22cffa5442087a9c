/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A test double of everything below the commands: an engine that measures nothing and ends
 * as the job file asks, and traces that are sound when they begin with "UVMT".  With it the
 * commands, the report and the exit statuses are tested alone, in milliseconds, and ends
 * that a sound machine never comes to (a violation, a panic) are tested at all.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <harness/bench.h>
#include <harness/engine.h>
#include <harness/selftest.h>
#include <harness/lockgraph.h>
#include <harness/trace.h>
#include <harness/xalloc.h>


enum ending {
	END_CLEAN, END_VIOLATION, END_VACUOUS, END_NOMEM, END_INVALID, END_FATAL, END_WAIT, END_MISORDER,
	END_FOUND, END_CRASH, END_STUCK,
};

static const char *const ending_names[] = {
	"clean", "violation", "vacuous", "nomem", "invalid", "fatal", "wait", "misorder",
	"found", "crash", "stuck", NULL,
};

struct fake_options {
	unsigned fo_ending;
	double fo_renew_fraction;	/* bench audit's page faults ask for it */
};

static const struct option_row fake_rows[] = {
	{ "ending", OPT_ENUM, offsetof(struct fake_options, fo_ending), 0, 0, "clean",
	    ending_names, NULL, "how the run ends" },
	{ "renew-fraction", OPT_FRACTION, offsetof(struct fake_options, fo_renew_fraction), 0, 0, "0",
	    NULL, NULL, "is taken, and means nothing" },
};

struct file_options {
	uint64_t fm_file_size;
	bool fm_sync;
	double fm_shared_fraction;
};

static const struct option_row file_rows[] = {
	{ "file-size", OPT_SIZE, offsetof(struct file_options, fm_file_size), 1, UINT64_C(1) << 30,
	    "1M", NULL, NULL, "bytes of the file" },
	{ "sync", OPT_BOOL, offsetof(struct file_options, fm_sync), 0, 0, "off", NULL, NULL,
	    "write back after each operation" },
	{ "shared-fraction", OPT_FRACTION, offsetof(struct file_options, fm_shared_fraction), 0, 0,
	    "0.25", NULL, NULL, "share of mappings that are shared" },
};

struct trace_options {
	char *to_trace;
	uint64_t to_copies;
};

static const struct option_row trace_rows[] = {
	{ "trace", OPT_PATH, offsetof(struct trace_options, to_trace), 0, 0, NULL, NULL, NULL,
	    "the recording" },
	{ "copies", OPT_INT, offsetof(struct trace_options, to_copies), 1, 64, "1", NULL, NULL,
	    "replays at once" },
};

static const struct workload_op fake_ops[] = {
	{ "touch", "reads or writes a word", 1 },
};

static const char *const cow_required[] = { "faults.cow", NULL };

#define ROWS(rows, type) \
	.wl_options = rows, .wl_noptions = sizeof(rows) / sizeof(rows[0]), \
	.wl_options_size = sizeof(struct type)
#define TALK \
	.wl_ops = fake_ops, .wl_nops = 1, .wl_exercises = "nothing", .wl_verifies = "nothing"

static const struct workload wl_fake = {
	.wl_name = "anon-fault", .wl_help = "private memory", .wl_common = WL_COMMON_ALL,
	ROWS(fake_rows, fake_options), TALK, .wl_required = cow_required,
};

static const struct workload wl_file = {
	.wl_name = "file-map", .wl_help = "mapped files", .wl_common = WL_COMMON_ALL,
	ROWS(file_rows, file_options), TALK,
};

static const struct workload wl_trace = {
	.wl_name = "trace", .wl_help = "replays a recording", .wl_common = WL_WEIGHT,
	ROWS(trace_rows, trace_options), TALK,
};

static const struct workload wl_device = {
	.wl_name = "device-map", .wl_help = "draws", .wl_common = WL_COMMON_ALL, TALK,
	.wl_single = "there is one frame buffer",
};

const struct workload *const workload_table[] = { &wl_fake, &wl_file, &wl_trace, &wl_device, NULL };

static enum ending
ending(const struct profile *p)
{
	for (size_t i = 0; i < p->p_njobs; i++)
		if (p->p_jobs[i]->job_workload == &wl_fake)
			return ((struct fake_options *)p->p_jobs[i]->job_options)->fo_ending;
	return END_CLEAN;
}

static void
measure(const struct profile *p, struct run_result *rr, enum ending end)
{
	rr->rr_elapsed_s = 0.5;
	rr->rr_cpu_s = 0.25;
	result_count(&rr->rr_faults, "total", 1000);
	result_count(&rr->rr_faults, "cow", end == END_VACUOUS ? 0 : 7);
	result_count(&rr->rr_uvmexp, "npages", 4096);
	for (size_t i = 0; i < p->p_njobs; i++) {
		const struct job *job = p->p_jobs[i];
		struct result_job *rj =
		    result_add_job(rr, job->job_name, job->job_workload->wl_name);

		rj->rj_threads = job->job_threads;
		rj->rj_operations = 100;
		rj->rj_bytes_verified = 800;
	}
	struct result_latency *rl = result_add_latency(rr, "fault");

	rl->rl_max = 123456;
	rl->rl_octave[9] = 90;
	rl->rl_octave[16] = 10;
	for (unsigned i = 1; i <= 4; i++)
		result_sample(&rr->rr_series, i * 0.125, i * 250, i * i * 10);
	result_add_lock(rr, "map")->rk_acquisitions = 3;
	result_add_check(rr, "leak-at-exit", 1, 0);
}

static void
violate(struct run_result *rr, const char *kind)
{
	struct result_violation *rv =
	    result_add_violation(rr, kind, "I-PG-2", "page 7 is on two lists");

	rv->rv_cpu = 1;
	rv->rv_time_s = 0.25;
	result_violation_frame(rv, "uvm_pagefree+0x1f (uvm_page.c:10)");
	result_violation_frame(rv, "0x7fff1234");
	result_violation_details(rv, "locks held: pageq");
	for (unsigned i = 0; i < 4; i++) {
		char what[] = "page_free page 7";
		const struct result_event re = { 40.0 - 10 * i, (int)i % 2, 5 + i, i == 3, what };

		result_event(&rv->rv_events, &re);
	}
}

/*
 * What the auditor saw: map before amap, by a job that ends clean; the other way round too,
 * by one that ends in misorder.
 */
#define CLASS(name, rank) \
	{ .lgc_name = name, .lgc_rank = rank, .lgc_reason = "so", .lgc_created = LOCKGRAPH_NONE, \
	  .lgc_intr_ipl = -1, .lgc_intr_trace = LOCKGRAPH_NONE, .lgc_open_ipl = 0, \
	  .lgc_open_trace = LOCKGRAPH_NONE, .lgc_acquisitions = 5 }
#define EDGE(from, to) \
	{ from, to, LOCKGRAPH_ORDER, LOCKGRAPH_M_WRITE, LOCKGRAPH_M_WRITE, 1, 0, 1, NULL, 0 }

static void
audit(const struct profile *p, struct run_result *rr, bool misorder)
{
	static const struct lockgraph_class classes[] = { CLASS("map", 40), CLASS("amap", 70) };
	static const struct lockgraph_edge edges[] = { EDGE(0, 1), EDGE(1, 0) };
	static const struct lockgraph_frame frames[] = {
		{ LOCKGRAPH_NONE, 0x1000, "uvm_fault (uvm_fault.c:1)" },
		{ LOCKGRAPH_NONE, 0x2000, "uvm_unmap (uvm_map.c:2)" },
	};
	static const struct lockgraph_trace traces[] = { { 0, 1 }, { 1, 1 } };
	static const struct lockgraph_finding finding = {
		"lock-order", "lock-cycle", LOCKGRAPH_UNCONFIRMED, "lock-cycle:amap,map",
		"amap and map form a cycle", NULL, NULL, 1, 0, edges, 2, LOCKGRAPH_NONE,
	};
	const struct lockgraph lg = {
		.lg_classes = classes, .lg_nclasses = 2, .lg_edges = edges, .lg_nedges = misorder ? 2 : 1,
		.lg_frames = frames, .lg_nframes = 2, .lg_traces = traces, .lg_ntraces = 2,
		.lg_findings = &finding, .lg_nfindings = misorder, .lg_chains = 3,
	};

	rr->rr_lockgraph = lockgraph_of_run(&lg, p->p_name, rr->rr_command, rr->rr_seed);
	if (misorder)
		result_violation_grade(result_add_violation(rr, finding.lgv_kind, finding.lgv_id,
		    finding.lgv_message), "unconfirmed", finding.lgv_fingerprint);
}

/* What a schedule that is led to that circle comes to: one seed in five deadlocks. */
static void
deadlock(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	if (strcmp(p->p_machine.ms_circle, "map>amap>map") != 0 || p->p_machine.ms_seed % 5 != 0)
		return;
	result_violation_grade(result_add_violation(rr, "lock-order", "lock-cycle", "deadlock: a has map"),
	    "confirmed", "lock-cycle:map>amap>map");
	ro->ro_fatal(ro->ro_arg, rr);
}

/* => was it told to stop?  It ends by itself, too, when its time has come. */
static bool
wait_for_stop(const struct profile *p, const struct run_options *ro)
{
	struct run_progress rp = { .rp_planned_s = (double)p->p_machine.ms_time / 1e9, .rp_total_pages = 4096,
		.rp_nlocks = 1, .rp_locks = { { "pageq", 5, 1000000000 } } };
	const struct timespec tick = { 0, 20 * 1000 * 1000 };

	while (atomic_load_explicit(ro->ro_stop, memory_order_relaxed) == 0 &&
	    rp.rp_elapsed_s < rp.rp_planned_s) {
		rp.rp_elapsed_s += 0.02;
		rp.rp_operations += 100;
		if (ro->ro_status_interval != 0)
			ro->ro_progress(ro->ro_arg, &rp);
		nanosleep(&tick, NULL);
	}
	return atomic_load_explicit(ro->ro_stop, memory_order_relaxed) != 0;
}

/* The load goes on with a violation, until a signal comes. */
static bool
find_and_go_on(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	struct run_result now;

	result_violation_grade(result_add_violation(rr, "lock-order", "lock-cycle", "so far"),
	    "latent", "lock-cycle:so-far");
	rr->rr_violations[0].rv_time_s = 0.125;
	result_snapshot(&now, rr);
	now.rr_elapsed_s = 0.25;
	ro->ro_violation(ro->ro_arg, &now, 0);
	run_result_fini(&now);
	return wait_for_stop(p, ro);
}

int
engine_run(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	enum ending end = ending(p);

	if (end == END_NOMEM || end == END_INVALID) {
		rr->rr_error = xstrdup(end == END_NOMEM ? "no room for 64M of simulated memory" :
		    "the trace needs more memory");
		return end == END_NOMEM ? ENOMEM : EINVAL;
	}
	if (end == END_CRASH)
		abort();
	if (end == END_STUCK)
		raise(SIGSTOP);
	if (end == END_WAIT)
		rr->rr_interrupted = wait_for_stop(p, ro);
	if (end == END_FOUND)
		rr->rr_interrupted = find_and_go_on(p, ro, rr);
	measure(p, rr, end);
	if (end == END_MISORDER && p->p_machine.ms_schedule == SCHED_DIRECT) {
		deadlock(p, ro, rr);
		return 0;
	}
	if (p->p_machine.ms_audit != AUDIT_OFF)
		audit(p, rr, end == END_MISORDER);
	if (end == END_VIOLATION)
		violate(rr, "invariant");
	if (end == END_FATAL) {
		violate(rr, "panic");
		ro->ro_fatal(ro->ro_arg, rr);
	}
	return 0;
}

void
engine_check_now(void)
{
}

int
bench_fault(const struct bench_options *bo, struct bench_table *bt)
{
	struct bench_row *br = bench_add(bt, "zero-fill faults", "faults/s", 4e6);

	bench_against(br, "host kernel", 1e6, BENCH_BETTER, 6);
	bench_against(br, "memset", 8e6, BENCH_TIMES, 2);
	return 0;
}

#define BENCH(fn, name, unit, value, refname, ref) \
	int fn(const struct bench_options *bo, struct bench_table *bt) \
	{ \
		bench_ref(bench_add(bt, name, unit, value), refname, ref); \
		return 0; \
	}

BENCH(bench_scale, "2 CPUs", "faults/s", 8e6, "1 CPU", 4e6)
BENCH(bench_map, "mmap+munmap", "ns", 1e3, "host", 2e3)
BENCH(bench_fork, "fork", "ns", 1e6, "host", 2e6)
BENCH(bench_memory, "overhead", "bytes", 100, "page", 4096)
BENCH(bench_sched, "a point", "ns", 10, "addition", 5)
BENCH(bench_check, "checked", "operations/s", 1e6, "unchecked", 1.1e6)
BENCH(bench_swap, "page-out and page-in", "bytes/s", 1e9, "host", 2e9)
BENCH(bench_file, "read", "bytes/s", 1e9, "host", 2e9)
BENCH(bench_move, "loan", "ns", 1e3, "copy", 2e3)
BENCH(bench_pagedaemon, "hot pages", "accesses/s", 3e6, "old policy", 2e6)
BENCH(bench_kmem, "pool item, get and put", "ns", 60, "malloc and free", 10)
BENCH(bench_intr, "post to handler", "ns", 500, "host signal", 3e3)

struct trace *
trace_open(const char *path, struct trace_error *err)
{
	char magic[4] = "";
	FILE *in = fopen(path, "r");

	if (in != NULL) {
		if (fread(magic, 1, sizeof(magic), in) != sizeof(magic))
			magic[0] = '\0';
		fclose(in);
	}
	if (memcmp(magic, "UVMT", 4) == 0)
		return xcalloc(1, sizeof(struct trace));
	snprintf(err->msg, sizeof(err->msg), "%.200s: not a trace", path);
	return NULL;
}

void
trace_close(struct trace *tr)
{
	free(tr);
}

void
trace_info_print(const struct trace *tr, FILE *out)
{
	fprintf(out, "%zu operations\n", tr->tr_nops);
}

int
selftest_locks(FILE *out, const char *word, bool verbose)
{
	fprintf(out, "1 cases, 0 wrong\n");
	return 0;
}

int
trace_record(const char *outfile, char *const argv[], bool *hostp, struct trace_error *err)
{
	*hostp = true;
	snprintf(err->msg, sizeof(err->msg), "valgrind is not installed");
	return -1;
}

struct host_switch *
engine_switches(const struct recording *rec, size_t *n)
{
	*n = 0;
	return NULL;
}

char *
engine_build(void)
{
	return xstrdup("double");
}
