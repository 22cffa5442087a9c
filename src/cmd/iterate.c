/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --iterations N: as many executions of one profile, with seeds seed, seed+1, ...
 *
 * A controlled execution keeps one core busy, so there is a worker process for each; a free one has
 * them all, and there is one worker.  A worker boots, runs and takes down one machine after the other
 * in its process.  The first execution is made by one worker alone: it counts the points for pct,
 * and sees that the profile repeats itself; if that goes wrong nothing else is done.
 *
 * Workers and their parent share a page or so of memory: who takes which seed, sums of what was
 * counted, and the first violations.  The directory of a failure is written by the worker that found
 * it, which is then over if the failure was fatal; with --keep-going another one takes its place.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <harness/engine.h>
#include <harness/xalloc.h>

#include "child.h"
#include "run.h"

#define WORKERS_MAX	64
#define PATHS_MAX	512		/* counters, jobs and checks of an execution */
#define FOUND_MAX	32
#define LOOK_NS		50000000	/* between two looks at the workers */

enum { SUM_JOB_OPS = 100, SUM_JOB_VERIFIED, SUM_CHECK };	/* below: the number of a group of counters */

/* What a worker has counted, in all its executions.  Its own; the parent's when it has ended. */
struct sum {
	int sm_kind;
	char sm_name[52];
	uint64_t sm_value;
};

struct worker {
	struct sum wk_sums[PATHS_MAX];
	unsigned wk_nsums;
	_Atomic uint64_t wk_seed;	/* of the execution that is under way */
	_Atomic uint64_t wk_done;
	_Atomic uint64_t wk_ops;	/* operations of those */
	uint64_t wk_points, wk_load, wk_events, wk_switches;
	uint64_t wk_threads_max, wk_load_max;
	uint64_t wk_hash;		/* sum of all event hashes */
	double wk_virtual_s;
	uint64_t wk_by_depth[10];	/* executions by pct's depth; 0: of other strategies */
	char wk_last[300];		/* its last words */
};

struct found {
	char fo_kind[24], fo_id[48], fo_message[512], fo_dir[256], fo_fingerprint[280], fo_grade[16];
};

/* Shared by parent and workers. */
struct shared {
	_Atomic uint64_t sh_next;	/* executions that have been taken */
	atomic_int sh_stop;
	_Atomic uint64_t sh_steps;	/* points of an execution, for pct */
	_Atomic uint64_t sh_nfound;
	struct found sh_found[FOUND_MAX];
	char sh_error[600];		/* why nothing can run */
	struct worker sh_workers[WORKERS_MAX];
};

struct iteration {
	struct run *it_run;
	struct shared *it_shared;
	struct worker *it_me;		/* in a worker */
	uint64_t it_first, it_n;	/* seed, executions */
	bool it_keep_going;
	unsigned it_nworkers;
	pid_t it_pids[WORKERS_MAX];	/* 0: none */
};

/* --- in a worker --- */

static uint64_t *
sum_of(struct worker *wk, unsigned *next, int kind, const char *name)
{
	struct sum *sm = &wk->wk_sums[*next];

	if (*next >= PATHS_MAX)
		return NULL;
	if (*next == wk->wk_nsums) {
		sm->sm_kind = kind;
		snprintf(sm->sm_name, sizeof(sm->sm_name), "%s", name);
		wk->wk_nsums++;
	}
	++*next;
	/* executions of one profile count the same things in the same order */
	return strcmp(sm->sm_name, name) == 0 ? &sm->sm_value : NULL;
}

static void
add_sum(struct worker *wk, unsigned *next, int kind, const char *name, uint64_t value)
{
	uint64_t *sum = sum_of(wk, next, kind, name);

	if (sum != NULL)
		*sum += value;
}

static void
add_result(struct worker *wk, struct run_result *rr)
{
	const struct result_schedule *rs = &rr->rr_sched;
	const struct result_counters *rcs;
	unsigned next = 0;
	const char *colon;

	for (int g = 0; (rcs = result_group(rr, (size_t)g)) != NULL; g++)
		for (size_t i = 0; i < rcs->rcs_n; i++)
			add_sum(wk, &next, g, rcs->rcs_v[i].rc_name, rcs->rcs_v[i].rc_value);
	for (size_t i = 0; i < rr->rr_njobs; i++) {
		atomic_fetch_add_explicit(&wk->wk_ops, rr->rr_jobs[i].rj_operations, memory_order_relaxed);
		add_sum(wk, &next, SUM_JOB_OPS, rr->rr_jobs[i].rj_name, rr->rr_jobs[i].rj_operations);
		add_sum(wk, &next, SUM_JOB_VERIFIED, rr->rr_jobs[i].rj_name,
		    rr->rr_jobs[i].rj_bytes_verified);
	}
	for (size_t i = 0; i < rr->rr_nchecks; i++)
		add_sum(wk, &next, SUM_CHECK, rr->rr_checks[i].rch_id, rr->rr_checks[i].rch_runs);
	wk->wk_points += rs->rs_points;
	wk->wk_load += rs->rs_load;
	wk->wk_events += rs->rs_events;
	wk->wk_switches += rs->rs_switches;
	wk->wk_virtual_s += rs->rs_virtual_s;
	if (rs->rs_threads > wk->wk_threads_max)
		wk->wk_threads_max = rs->rs_threads;
	if (rs->rs_load > wk->wk_load_max)
		wk->wk_load_max = rs->rs_load;
	if (rr->rr_event_hash != NULL)
		wk->wk_hash += strtoull(rr->rr_event_hash, NULL, 16);
	colon = rs->rs_strategy != NULL ? strchr(rs->rs_strategy, ':') : NULL;
	wk->wk_by_depth[colon != NULL && colon[1] >= '1' && colon[1] <= '9' ? colon[1] - '0' : 0]++;
	/* release: pairs with the acquire in done(): who sees it sees its operations */
	atomic_fetch_add_explicit(&wk->wk_done, 1, memory_order_release);
}

/* What repeats this very execution. */
static void
own_command(const struct iteration *it, struct run_result *rr, uint64_t seed)
{
	const uint64_t steps = atomic_load(&it->it_shared->sh_steps);
	char *old = rr->rr_command;

	rr->rr_seed = seed;
	it->it_run->r_profile->p_machine.ms_steps = steps;
	it->it_run->r_profile->p_machine.ms_iterations = 1;
	free(rr->rr_profile);
	rr->rr_profile = run_profile_text(it->it_run->r_profile);
	rr->rr_command = steps != 0 ?
	    xasprintf("%s --iterations 1 --seed %ju --set global.schedule-steps=%ju",
		it->it_run->r_command, (uintmax_t)seed, (uintmax_t)steps) :
	    xasprintf("%s --iterations 1 --seed %ju", it->it_run->r_command, (uintmax_t)seed);
	free(old);
}

/* => the violation is kept on disk, and known to the parent */
static void
keep(struct iteration *it, struct run_result *rr)
{
	struct shared *sh = it->it_shared;
	struct run *r = it->it_run;
	char why[600];

	own_command(it, rr, atomic_load(&it->it_me->wk_seed));
	result_judge(rr);
	free(r->r_dir);
	r->r_dir = NULL;
	if (report_failure(rr, r->r_out, &r->r_dir, why, sizeof(why)) != 0)
		cmd_fail(EXIT_HOST, "%s", why);
	for (size_t i = 0; i < rr->rr_nviolations; i++) {
		const struct result_violation *rv = &rr->rr_violations[i];
		const uint64_t n = atomic_fetch_add(&sh->sh_nfound, 1);
		struct found *fo = &sh->sh_found[n < FOUND_MAX ? n : FOUND_MAX - 1];
		char print[17];

		if (n >= FOUND_MAX)
			continue;
		snprintf(fo->fo_kind, sizeof(fo->fo_kind), "%s", rv->rv_kind);
		snprintf(fo->fo_id, sizeof(fo->fo_id), "%s", rv->rv_id);
		snprintf(fo->fo_message, sizeof(fo->fo_message), "seed %ju: %s", (uintmax_t)rr->rr_seed,
		    rv->rv_message);
		snprintf(fo->fo_dir, sizeof(fo->fo_dir), "%s", r->r_dir != NULL ? r->r_dir : "");
		snprintf(fo->fo_fingerprint, sizeof(fo->fo_fingerprint), "%s",
		    result_fingerprint(rv, print));
		snprintf(fo->fo_grade, sizeof(fo->fo_grade), "%s", rv->rv_grade != NULL ? rv->rv_grade : "");
	}
	if (!it->it_keep_going)
		atomic_store(&sh->sh_stop, 1);
}

/* The way of last resort, by system calls: nothing that was made ready knows the seed. */
static void
on_last(void *arg, const char *kind, const char *message, void (*more)(int fd, void *marg), void *marg)
{
	struct worker *wk = ((struct iteration *)arg)->it_me;
	static char text[300];

	snprintf(wk->wk_last, sizeof(wk->wk_last), "%s: %s", kind, message);
	snprintf(text, sizeof(text), "seed %ju: %s", (uintmax_t)atomic_load(&wk->wk_seed), message);
	report_last_words(kind, text, more, marg);
}

static void
on_fatal(void *arg, struct run_result *rr)
{
	struct iteration *it = arg;

	keep(it, rr);
	/* one more: this execution is over, too; what it counted is in its own result */
	atomic_fetch_add_explicit(&it->it_me->wk_done, 1, memory_order_relaxed);
	report_last_told();
	fflush(NULL);
	_exit(EXIT_VIOLATION);
}

/* => one execution; false: this worker is to end */
static bool
execution(struct iteration *it, uint64_t index, bool once)
{
	struct run_result *rr = &it->it_run->r_result;
	struct machine_settings *ms = &it->it_run->r_profile->p_machine;
	struct shared *sh = it->it_shared;
	const struct run_options ro = {
		.ro_fatal = on_fatal, .ro_last = on_last, .ro_arg = it, .ro_stop = &sh->sh_stop,
		.ro_once = once, .ro_steps = atomic_load(&sh->sh_steps),
	};
	int error;

	ms->ms_seed = it->it_first + index;
	rr->rr_seed = ms->ms_seed;
	atomic_store(&it->it_me->wk_seed, ms->ms_seed);
	run_result_again(rr);
	error = engine_run(it->it_run->r_profile, &ro, rr);
	if (error != 0) {
		snprintf(sh->sh_error, sizeof(sh->sh_error), "%s",
		    rr->rr_error != NULL ? rr->rr_error : strerror(error));
		atomic_store(&sh->sh_stop, 1);
		return false;
	}
	if (!rr->rr_interrupted)
		add_result(it->it_me, rr);
	if (rr->rr_nviolations != 0)
		keep(it, rr);
	if (!once && ms->ms_schedule != SCHED_FREE)
		atomic_store(&sh->sh_steps, rr->rr_sched.rs_load);
	return true;
}

/* => only: the first execution, and no other */
static void
work(struct iteration *it, unsigned number, bool only)
{
	struct shared *sh = it->it_shared;
	cpu_set_t set;
	uint64_t index;

	it->it_me = &sh->sh_workers[number];
	it->it_me->wk_last[0] = '\0';
	signal(SIGINT, SIG_IGN);		/* the parent says when to stop */
	report_last_prepare(&it->it_run->r_result, it->it_run->r_out);
	if (it->it_run->r_profile->p_machine.ms_schedule != SCHED_FREE &&
	    sched_getaffinity(0, sizeof(set), &set) == 0) {
		unsigned skip = number % (unsigned)CPU_COUNT(&set);
		int core = 0;

		while (!CPU_ISSET(core, &set) || skip-- != 0)
			core++;
		CPU_ZERO(&set);
		CPU_SET(core, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	while (atomic_load(&sh->sh_stop) == 0 &&
	    (index = atomic_fetch_add(&sh->sh_next, 1)) < it->it_n)
		if (!execution(it, index, !only) || only)
			break;
	fflush(NULL);
	_exit(EXIT_CLEAN);
}

/* --- in the parent --- */

/* => executions that are over */
static uint64_t
done(const struct iteration *it)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++)
		n += atomic_load_explicit(&it->it_shared->sh_workers[i].wk_done, memory_order_acquire);
	return n;
}

static uint64_t
operations(const struct iteration *it)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++)
		n += atomic_load_explicit(&it->it_shared->sh_workers[i].wk_ops, memory_order_relaxed);
	return n;
}

static int
start(struct iteration *it, unsigned number, bool only)
{
	const pid_t parent = getpid();
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);	/* nobody else would tell it to stop */
		if (getppid() != parent)		/* it died before we asked */
			_exit(EXIT_HOST);
		work(it, number, only);
	}
	it->it_pids[number] = pid;
	return 0;
}

/* A worker that the host killed, or that ended with no word: what it ran is to be known. */
static void
died(struct iteration *it, unsigned number, int status)
{
	struct shared *sh = it->it_shared;
	const uint64_t n = atomic_fetch_add(&sh->sh_nfound, 1);
	struct found *fo = &sh->sh_found[n < FOUND_MAX ? n : FOUND_MAX - 1];
	char last[sizeof(sh->sh_workers[number].wk_last)];

	memcpy(last, sh->sh_workers[number].wk_last, sizeof(last));
	last[sizeof(last) - 1] = '\0';		/* it may have died over them */
	if (n < FOUND_MAX) {
		snprintf(fo->fo_kind, sizeof(fo->fo_kind), "crash");
		snprintf(fo->fo_id, sizeof(fo->fo_id), "worker");
		snprintf(fo->fo_message, sizeof(fo->fo_message),
		    "the worker of seed %ju ended by %s %d%s%s",
		    (uintmax_t)atomic_load(&sh->sh_workers[number].wk_seed),
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		    *last != '\0' ? "; its last words: " : "", last);
	}
	if (!it->it_keep_going)
		atomic_store(&sh->sh_stop, 1);
}

/* => has it a place that somebody must take? */
static void
reap(struct iteration *it, bool only)
{
	for (unsigned i = 0; i < it->it_nworkers; i++) {
		uint64_t before = atomic_load(&it->it_shared->sh_nfound);
		int status;

		if (it->it_pids[i] == 0 || waitpid(it->it_pids[i], &status, WNOHANG) != it->it_pids[i])
			continue;
		it->it_pids[i] = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CLEAN)
			continue;
		if (!(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_VIOLATION && before != 0))
			died(it, i, status);
		if (it->it_keep_going && !only && atomic_load(&it->it_shared->sh_stop) == 0)
			(void)start(it, i, false);
	}
}

static bool
any_left(const struct iteration *it)
{
	for (unsigned i = 0; i < it->it_nworkers; i++)
		if (it->it_pids[i] != 0)
			return true;
	return false;
}

/* => all workers have ended */
static void
watch(struct iteration *it, double since, bool only)
{
	struct run *r = it->it_run;
	double next = since + (double)r->r_interval / 1e9;

	while (any_left(it)) {
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
		if (run_stopped())
			atomic_store(&it->it_shared->sh_stop, 1);
		if (r->r_interval != 0 && now_s() >= next) {
			const uint64_t n = done(it);	/* first: its operations are there */
			struct run_progress rp = {
				.rp_elapsed_s = now_s() - since, .rp_operations = operations(it),
				.rp_iterations = n, .rp_iterations_planned = it->it_n,
				.rp_violations = atomic_load(&it->it_shared->sh_nfound),
			};

			progress_show(&r->r_progress, &rp);
			next += (double)r->r_interval / 1e9;
		}
		reap(it, only);
	}
}

static void
take_sum(struct run_result *rr, const struct sum *sm)
{
	struct result_counters *rcs = result_group(rr, (size_t)sm->sm_kind);

	if (rcs != NULL) {
		result_count(rcs, sm->sm_name, result_counter(rcs, sm->sm_name) + sm->sm_value);
		return;
	}
	if (sm->sm_kind == SUM_CHECK)
		result_add_check(rr, sm->sm_name, sm->sm_value, 0);
	for (size_t i = 0; i < rr->rr_njobs; i++) {
		if (strcmp(rr->rr_jobs[i].rj_name, sm->sm_name) != 0)
			continue;
		if (sm->sm_kind == SUM_JOB_OPS)
			rr->rr_jobs[i].rj_operations += sm->sm_value;
		else if (sm->sm_kind == SUM_JOB_VERIFIED)
			rr->rr_jobs[i].rj_bytes_verified += sm->sm_value;
	}
}

static void
take_found(const struct shared *sh, struct run_result *rr)
{
	for (uint64_t i = 0; i < sh->sh_nfound && i < FOUND_MAX; i++) {
		const struct found *fo = &sh->sh_found[i];
		struct result_violation *rv = result_add_violation(rr, fo->fo_kind, fo->fo_id,
		    fo->fo_message);

		rv->rv_cpu = -1;
		if (fo->fo_dir[0] != '\0')
			rv->rv_dir = xstrdup(fo->fo_dir);
		if (fo->fo_grade[0] != '\0')
			result_violation_grade(rv, fo->fo_grade, fo->fo_fingerprint);
		else if (fo->fo_fingerprint[0] != '\0')
			rv->rv_fingerprint = xstrdup(fo->fo_fingerprint);
	}
}

/*
 * The guarantee of PCT: a bug of depth d is in an execution with a probability of at least
 * 1 / (n * k^(d-1)); so it is in none of m with at most that much less than one, to the m-th.
 */
static void
covered(struct result_schedule *rs, const uint64_t *by_depth, uint64_t nthreads)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));
	const char *sep = "";

	for (unsigned d = 1; d < 10; d++) {
		const double k = (double)rs->rs_steps, n = (double)nthreads;
		const double m = (double)by_depth[d];

		if (by_depth[d] == 0 || k < 1 || n < 1)
			continue;
		fprintf(out, "%sPCT n=%.0f, k<=%.0f, d=%u: after %.0f schedules the chance of having missed "
		    "a given depth-%u bug is at most %.3g %%", sep, n, k, d, m, d,
		    100 * exp(m * log1p(-1 / (n * pow(k, d - 1)))));
		sep = "; ";
	}
	if (by_depth[0] != 0)
		fprintf(out, "%s%ju schedules of other strategies, which promise nothing", sep,
		    (uintmax_t)by_depth[0]);
	fclose(out);
	rs->rs_covered = text;
}

/* => all workers have been waited for; this process has no other children */
static double
workers_cpu_s(void)
{
	struct rusage ru;

	return getrusage(RUSAGE_CHILDREN, &ru) == 0 ? rusage_cpu_s(&ru) : 0;
}

static void
add_up(struct iteration *it, double elapsed)
{
	const struct profile *p = it->it_run->r_profile;
	struct run_result *rr = &it->it_run->r_result;
	struct result_schedule *rs = &rr->rr_sched;
	uint64_t hash = 0, by_depth[10] = { 0 };

	for (size_t i = 0; i < p->p_njobs; i++)
		result_add_job(rr, p->p_jobs[i]->job_name, p->p_jobs[i]->job_workload->wl_name)->rj_threads =
		    p->p_jobs[i]->job_threads;
	rs->rs_steps = p->p_machine.ms_steps;
	for (unsigned w = 0; w < WORKERS_MAX; w++) {
		const struct worker *wk = &it->it_shared->sh_workers[w];

		for (unsigned i = 0; i < wk->wk_nsums; i++)
			take_sum(rr, &wk->wk_sums[i]);
		rs->rs_points += wk->wk_points;
		rs->rs_load += wk->wk_load;
		rs->rs_events += wk->wk_events;
		rs->rs_switches += wk->wk_switches;
		rs->rs_virtual_s += wk->wk_virtual_s;
		if (wk->wk_threads_max > rs->rs_threads)
			rs->rs_threads = wk->wk_threads_max;
		if (wk->wk_load_max > rs->rs_steps)
			rs->rs_steps = wk->wk_load_max;
		hash += wk->wk_hash;
		for (unsigned d = 0; d < 10; d++)
			by_depth[d] += wk->wk_by_depth[d];
	}
	rr->rr_seed = it->it_first;
	rr->rr_iterations = done(it);
	rr->rr_elapsed_s = elapsed;
	rr->rr_cpu_s = workers_cpu_s();
	rr->rr_interrupted = run_stopped();
	take_found(it->it_shared, rr);
	if (p->p_machine.ms_schedule == SCHED_FREE)
		return;
	rr->rr_event_hash = xasprintf("%016jx", (uintmax_t)hash);
	rs->rs_strategy = xstrdup(rr->rr_schedule);
	covered(rs, by_depth, rs->rs_threads);
}

/* What one execution need not have done, all of them together must. */
static void
require(struct run *r)
{
	char *list = xstrdup(r->r_profile->p_machine.ms_require), *save = NULL;

	if (strcmp(list, "none") != 0)
		for (char *path = strtok_r(list, " \t", &save); path != NULL;
		    path = strtok_r(NULL, " \t", &save))
			result_require(&r->r_result, path, "global");
	free(list);
	for (size_t i = 0; i < r->r_profile->p_njobs; i++) {
		const struct job *job = r->r_profile->p_jobs[i];
		const char *const *name = job->job_workload->wl_required;

		for (; name != NULL && *name != NULL; name++)
			result_require(&r->r_result, *name, job->job_name);
	}
}

static unsigned
workers(const struct profile *p, uint64_t n)
{
	cpu_set_t set;
	unsigned cores = 1;

	if (p->p_machine.ms_schedule != SCHED_FREE && sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = (unsigned)CPU_COUNT(&set);
	if (cores > WORKERS_MAX)
		cores = WORKERS_MAX;
	return n < cores ? (unsigned)n : cores;
}

int
iterate(struct run *r)
{
	const struct machine_settings *ms = &r->r_profile->p_machine;
	struct iteration it = {
		.it_run = r, .it_first = ms->ms_seed, .it_n = ms->ms_iterations,
		.it_keep_going = ms->ms_keep_going,
	};
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);
	double since = now_s();
	int error, status;

	if (sh == MAP_FAILED)
		return cmd_fail(EXIT_HOST, "no memory for workers: %s", strerror(errno));
	it.it_shared = sh;
	it.it_nworkers = workers(r->r_profile, ms->ms_iterations);
	error = start(&it, 0, true);
	if (error == 0)
		watch(&it, since, true);
	for (unsigned i = 0; i < it.it_nworkers && error == 0 && atomic_load(&sh->sh_stop) == 0; i++)
		error = start(&it, i, false);
	watch(&it, since, false);
	if (error != 0)
		status = cmd_fail(EXIT_HOST, "cannot start a worker: %s", strerror(error));
	else if (sh->sh_error[0] != '\0')
		status = cmd_fail(EXIT_USAGE, "%s", sh->sh_error);
	else {
		add_up(&it, now_s() - since);
		require(r);
		status = run_conclude(r, false);
	}
	munmap(sh, sizeof(*sh));
	return status;
}
