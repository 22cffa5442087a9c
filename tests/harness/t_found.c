/*
 * What the lock auditor finds is told while the load goes on: the real engine, and a workload
 * whose two workers take two locks in opposite orders and never meet.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/lockgraph.h>
#include <sys/lockdebug.h>
#include <sys/mutex.h>

#include "../../workloads/engine_int.h"
#include "ktest.h"

/* Stable while the load runs, but f_turn, which is atomic. */
static struct {
	kmutex_t	 f_a, f_b;
	unsigned	 f_turn;	/* of so many both locks have been held */
	atomic_int	 f_stop;
	unsigned	 f_calls;	/* of ro_violation */
	size_t		 f_told;	/* violations in them */
	char		 f_story[4096];
} f;

static int
setup(struct job_run *jr)
{
	enum lock_class a = lockdebug_class("left", 0, LO_NEST_NONE, IPL_NONE),
	    b = lockdebug_class("right", 0, LO_NEST_NONE, IPL_NONE);

	mutex_init(&f.f_a, MUTEX_DEFAULT, IPL_NONE, a);
	mutex_init(&f.f_b, MUTEX_DEFAULT, IPL_NONE, b);
	return 0;
}

static void
teardown(struct job_run *jr)
{
	mutex_destroy(&f.f_a);
	mutex_destroy(&f.f_b);
}

/* Worker 0 goes first and is done before worker 1 begins; then both idle. */
static int
step(struct job_run *jr, struct job_worker *jw)
{
	kmutex_t *first = jw->jw_index == 0 ? &f.f_a : &f.f_b, *second = jw->jw_index == 0 ? &f.f_b : &f.f_a;

	if (__atomic_load_n(&f.f_turn, __ATOMIC_ACQUIRE) != jw->jw_index)
		return 0;
	mutex_enter(first);
	mutex_enter(second);
	mutex_exit(second);
	mutex_exit(first);
	__atomic_store_n(&f.f_turn, jw->jw_index + 1, __ATOMIC_RELEASE);
	return 0;
}

static const struct workload abba = {
	.wl_name = "abba", .wl_help = "two locks in both orders", .wl_common = WL_THREADS,
	.wl_exercises = "the auditor", .wl_verifies = "nothing",
	.wl_setup = setup, .wl_run = step, .wl_teardown = teardown,
};
static const struct workload *const workloads[] = { &abba, NULL };

/* This ends the run; else it goes on for 300 s. */
static void
told(void *arg, struct run_result *rr, size_t first)
{
	FILE *out = fmemopen(f.f_story, sizeof(f.f_story), "w");

	CHECK(rr->rr_lockgraph != NULL);
	CHECK(rr->rr_going_on);
	lockgraph_stories(rr->rr_lockgraph, out);
	fclose(out);
	f.f_calls++;
	f.f_told += rr->rr_nviolations - first;
	atomic_store(&f.f_stop, 1);
}

static void
run(const char *text, const atomic_int *stop, struct run_result *rr)
{
	struct run_options ro = { .ro_violation = told, .ro_stop = stop };
	struct profile *p = profile_create(workloads);
	struct profile_error err;

	CHECK(profile_parse_buffer(p, "abba.ini", ".", text, strlen(text), &err) == 0);
	CHECK(profile_resolve(p, &err) == 0);
	run_result_init(rr);
	rr->rr_schedule = strdup("free");
	rr->rr_profile = strdup(text);
	rr->rr_command = strdup("uvmstress run abba.ini");
	CHECK_EQ(engine_run(p, &ro, rr), 0);
	profile_destroy(p);
}

KTEST(abba_by_workers_that_never_meet, "is told while the run goes on, once, with both stacks")
{
	struct run_result rr;

	run("[global]\ncpus = 2\nseed = 1\nmemory = 8M\ntime = 300s\n"
	    "[pair]\nworkload = abba\nthreads = 2\n", &f.f_stop, &rr);
	CHECK_EQ(f.f_calls, 1);
	CHECK_EQ(f.f_told, 1);
	CHECK_EQ(rr.rr_nviolations, 1);
	CHECK(strcmp(rr.rr_violations[0].rv_fingerprint, "lock-cycle:left>right>left") == 0);
	CHECK(strstr(f.f_story, "right is wanted with left held") != NULL);
	CHECK(strstr(f.f_story, "left is wanted with right held") != NULL);
	run_result_fini(&rr);
}

KTEST(audit_stop_ends_the_run, "the first finding ends the run where it is asked to")
{
	struct run_result rr;

	run("[global]\ncpus = 2\nseed = 1\nmemory = 8M\ntime = 20s\naudit-stop = on\n"
	    "[pair]\nworkload = abba\nthreads = 2\n", NULL, &rr);
	CHECK_EQ(rr.rr_nviolations, 1);
	CHECK(rr.rr_elapsed_s < 300);
	run_result_fini(&rr);
}

KTEST_MAIN()
