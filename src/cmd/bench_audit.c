/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * bench audit: what it costs to watch locks.
 *
 * The same work, so many operations of each worker from one seed, is done by processes of
 * this program: without audit, with order, with full, in turn, several times over, each time
 * beginning with another; then by a build with ThreadSanitizer and under valgrind's two race
 * detectors, where they are there.  Throughput is by the time of the host's cores that the work
 * took, all threads together: what else the machine does does not count, and who spins for a lock
 * pays for it.  The machine is not as fast at one moment as at another, so it is neighbours that
 * are compared: the ratio is the median of those of each turn, beside it the smallest and largest.
 * The whole-machine checks go by time, not by work, and are off: bench check has their cost.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/bench.h>
#include <harness/xalloc.h>

#include "child.h"
#include "cmd.h"

#define ROUNDS BENCH_ROUNDS
#define QUICK_ROUNDS 3
#define TSAN_LESS 3		/* a build with ThreadSanitizer gets so much less to do */
#define SLOW 150			/* valgrind, and on less memory */
#define PATIENCE_S 120		/* for one process */
#define ARGS_MAX 24

/* A work: what a job file says, and how much of it each worker does.  Stable. */
struct work {
	const char *wk_name, *wk_unit;
	bool wk_faults;			/* faults count, else operations */
	unsigned wk_ops;
	const char *wk_jobs;
	const char *wk_slow;		/* --set for valgrind: all of it is verified at the end */
};

static const struct work works[] = {
	/* three of four accesses are a fault, and the memory has been in use before, as in a long run */
	{ "page faults", "faults/CPU s", true, 90000,
	    "[global]\ncpus = 2\nmemory = 32M\ncheck-interval = 0\ncheck-depth = 0\n"
	    "[faults]\nworkload = anon-fault\nthreads = 2\nprocesses = 2\nsize = 4M\n"
	    "renew-fraction = 0.1\n", "faults.size=1M" },
	/* enough that stacks, one for each new chain of locks, 15 ms a run, are what they are in a long run */
	{ "a little of everything", "operations/CPU s", false, 12000,
	    "[global]\ncpus = 4\nmemory = 24M\nswap = 64M\ncheck-interval = 0\ncheck-depth = 0\n"
	    "[anon]\nworkload = anon-fault\nthreads = 4\nprocesses = 2\nsize = 4M\n"
	    "[cow]\nworkload = cow-fork\nthreads = 4\nprocesses = 2\nsize = 2M\n"
	    "[shared]\nworkload = shared-anon\nthreads = 3\nprocesses = 3\n"
	    "[files]\nworkload = file-map\nthreads = 3\nprocesses = 2\n"
	    "[shm]\nworkload = aobj-shm\nthreads = 3\nprocesses = 2\n"
	    "[churn]\nworkload = map-churn\nthreads = 4\nprocesses = 2\nsize = 2M\n", "anon.size=1M" },
};
#define NWORKS (sizeof(works) / sizeof(works[0]))

/* A way to do it.  Stable. */
struct way {
	const char *wy_name, *wy_audit;
	const char *wy_tool[6];		/* in front of the program */
	const char *wy_options;		/* TSAN_OPTIONS: by the program with ThreadSanitizer; else NULL */
	unsigned wy_slow;
};

static const struct way ways[] = {
	{ "audit=off", "off", { NULL }, NULL, 1 },
	{ "audit=order", "order", { NULL }, NULL, 1 },
	{ "audit=full", "full", { NULL }, NULL, 1 },
	{ "TSan", "off", { "setarch", "-R", NULL }, "detect_deadlocks=0:exitcode=0", TSAN_LESS },
	{ "TSan, detect_deadlocks", "off", { "setarch", "-R", NULL }, "detect_deadlocks=1:exitcode=0", TSAN_LESS },
	{ "helgrind", "off", { "valgrind", "--tool=helgrind", "-q", NULL }, NULL, SLOW },
	{ "drd", "off", { "valgrind", "--tool=drd", "-q", NULL }, NULL, SLOW },
};
enum { WAY_OURS = 3, NWAYS = sizeof(ways) / sizeof(ways[0]) };

struct bench {
	char b_dir[200];		/* temporary */
	char b_self[1000];		/* this program */
	const struct bench_options *b_options;
};

static char *
in_dir(const struct bench *b, const char *name)
{
	return xasprintf("%s/%s", b->b_dir, name);
}

/* --- one process --- */

static void
child(const struct bench *b, char *const argv[], const struct way *wy)
{
	char *err = in_dir(b, "stderr");
	int fd = open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0) {
		dup2(fd, STDERR_FILENO);
		dup2(fd, STDOUT_FILENO);
	}
	if (wy->wy_options != NULL)
		setenv("TSAN_OPTIONS", wy->wy_options, 1);
	execvp(argv[0], argv);
	_exit(127);
}

/* => its exit status; -1: it took too long, and was killed */
static int
wait_for(pid_t pid)
{
	const struct child_end ce = child_wait(pid, SIGKILL, PATIENCE_S, INFINITY);

	if (ce.ce_wall_s > PATIENCE_S)
		return -1;
	return WIFEXITED(ce.ce_status) ? WEXITSTATUS(ce.ce_status) : 128;
}

/* => the process' figure, from its result; 0: it has none */
static double
figure(const char *path, const struct work *wk)
{
	json_t *root = json_load_file(path, 0, NULL), *job;
	double done = 0, cpu = json_number_value(json_object_get(root, "cpu_s"));
	size_t i;

	if (wk->wk_faults)
		done = json_number_value(json_object_get(json_object_get(root, "faults"), "total"));
	else
		json_array_foreach(json_object_get(root, "jobs"), i, job)
			done += json_number_value(json_object_get(job, "operations"));
	json_decref(root);
	return cpu > 0 ? done / cpu : 0;
}

/* => the throughput, or 0 and why not */
static double
run_once(const struct bench *b, const struct work *wk, const struct way *wy, char *why, size_t whylen)
{
	const bool tsan = wy->wy_options != NULL;
	const char *const program = tsan ? b->b_options->bo_tsan : b->b_self;
	char *jobs = in_dir(b, "work.ini"), *json = in_dir(b, "result.json"), *out = in_dir(b, "out");
	char *ops = xasprintf("%u", wk->wk_ops / wy->wy_slow / (b->b_options->bo_quick ? 10 : 1));
	char *argv[ARGS_MAX];
	double value = 0;
	int n = 0, status;
	pid_t pid;

	while (wy->wy_tool[n] != NULL) {
		argv[n] = (char *)(uintptr_t)wy->wy_tool[n];
		n++;
	}
	memcpy(&argv[n], (char *[]){ (char *)(uintptr_t)program, (char *)(uintptr_t)"run", jobs,
	    (char *)(uintptr_t)"--quiet", (char *)(uintptr_t)"--seed=1", (char *)(uintptr_t)"--audit",
	    (char *)(uintptr_t)wy->wy_audit, (char *)(uintptr_t)"--ops", ops,
	    (char *)(uintptr_t)"--json", json, (char *)(uintptr_t)"--out", out, NULL },
	    14 * sizeof(argv[0]));
	if (wy->wy_slow == SLOW)
		memcpy(&argv[n + 13], (char *[]){ (char *)(uintptr_t)"--set",
		    (char *)(uintptr_t)wk->wk_slow, NULL }, 3 * sizeof(argv[0]));
	unlink(json);
	pid = fork();
	if (pid == 0)
		child(b, argv, wy);
	status = pid < 0 ? 127 : wait_for(pid);
	if (status >= 0 && status != 127)
		value = figure(json, wk);
	if (status == -1)
		snprintf(why, whylen, "it did not end within %d s", PATIENCE_S);
	else if (status == 127)
		snprintf(why, whylen, "%s cannot be run", argv[0]);
	else if (value <= 0)
		snprintf(why, whylen, "%s ended with status %d and no result", argv[0], status);
	free(jobs);
	free(json);
	free(out);
	free(ops);
	return value;
}

/* --- the table --- */

/* => off: 0 or NULL in a turn that has none */
static void
add_row(struct bench_table *bt, const struct work *wk, const struct way *wy, const double *v,
    const double *off, int rounds, const char *why)
{
	static const double wanted[WAY_OURS] = { 0, 0.90, 0.60 };
	const size_t k = (size_t)(wy - ways);
	char *name = xasprintf("%s, %s", wk->wk_name, wy->wy_name);
	double of_way[ROUNDS], of_off[ROUNDS];
	struct bench_row *br;
	size_t n = 0;

	for (int r = 0; r < rounds; r++)
		if (v[r] > 0 && off[r] > 0) {
			of_way[n] = v[r];
			of_off[n++] = off[r];
		}
	if (n == 0) {
		bench_missing(bt, name, why);
	} else {
		br = bench_add_turns(bt, name, wk->wk_unit, of_way, n);
		br->br_clock = BENCH_CPU;
		if (k > 0)
			bench_against_turns(br, "audit=off", of_off, n, BENCH_BETTER,
			    k < WAY_OURS ? wanted[k] : 0);
	}
	free(name);
}

static bool
is_possible(const struct bench *b, const struct way *wy, char *why, size_t whylen)
{
	if (wy->wy_options == NULL || b->b_options->bo_tsan != NULL)
		return true;
	snprintf(why, whylen, "no build with ThreadSanitizer was given: --tsan PROGRAM");
	return false;
}

/* Our own ways in turn, the median counts; the others, which are far off, once. */
static void
bench_work(const struct bench *b, const struct work *wk, struct bench_table *bt)
{
	const int rounds = b->b_options->bo_quick ? QUICK_ROUNDS : ROUNDS;
	double v[WAY_OURS][ROUNDS], off;
	char why[WAY_OURS][200], other[200];

	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < WAY_OURS; i++) {
			const int k = (i + r) % WAY_OURS;

			v[k][r] = run_once(b, wk, &ways[k], why[k], sizeof(why[k]));
		}
	for (int k = 0; k < WAY_OURS; k++)
		add_row(bt, wk, &ways[k], v[k], v[0], rounds, why[k]);
	off = bench_median(v[0], (size_t)rounds);
	for (int k = WAY_OURS; k < NWAYS; k++) {
		double value = 0;

		if (is_possible(b, &ways[k], other, sizeof(other)))
			value = run_once(b, wk, &ways[k], other, sizeof(other));
		add_row(bt, wk, &ways[k], &value, &off, 1, other);
	}
}

static int
write_jobs(const struct bench *b, const struct work *wk)
{
	char *path = in_dir(b, "work.ini");
	FILE *out = fopen(path, "we");
	int error = out == NULL ? errno : 0;

	if (out != NULL && (fputs(wk->wk_jobs, out) == EOF || fclose(out) != 0))
		error = errno;
	free(path);
	return error;
}

/* Failures that the work may have left are the user's to see: then the directory stays. */
static void
clean_up(const struct bench *b)
{
	static const char *const names[] = { "work.ini", "result.json", "stderr" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = in_dir(b, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(b->b_dir);
}

int
bench_audit(const struct bench_options *bo, struct bench_table *bt)
{
	struct bench b = { .b_options = bo };
	const char *tmp = getenv("TMPDIR");
	ssize_t n = readlink("/proc/self/exe", b.b_self, sizeof(b.b_self) - 1);
	int error = 0;

	if (n < 0)
		return errno;
	snprintf(b.b_dir, sizeof(b.b_dir), "%.150s/uvmstress-bench.XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(b.b_dir) == NULL)
		return errno;
	for (size_t i = 0; i < NWORKS && error == 0; i++) {
		error = write_jobs(&b, &works[i]);
		if (error == 0)
			bench_work(&b, &works[i], bt);
	}
	clean_up(&b);
	return error;
}
