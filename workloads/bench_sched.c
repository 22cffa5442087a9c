/*
 * bench schedule: what control costs.
 *
 *	a point			the strategy is asked, and the thread goes on
 *	a switch		it is not the one who goes on; all threads share one core
 *	executions		a machine of 2 CPUs and 1 MiB boots, 2 LWPs run 25 operations each, all is
 *				verified, checked and taken down: so many for each second of a core
 *
 * Beside them: an atomic addition, a hand-over by the host's futex from free thread to free
 * thread on one core, and a thread that is created and joined.  Processor time counts, so that a busy
 * host changes little.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <host/host.h>
#include <host/sched.h>

#include "bench_int.h"

#define	POINTS		1000000u
#define	SWITCHES	100000u
#define	HAND_OVERS	20000u
#define	EXECUTIONS	1000u
#define	QUICK		10

static unsigned turns;			/* of what is measured; stable meanwhile */

/* => ns of the processor for one turn; negative: fn could not run */
static double
cost(int (*fn)(const void *), const void *arg)
{
	uint64_t start = host_cpu_ns();

	return fn(arg) != 0 ? -1 : (double)(host_cpu_ns() - start) / turns;
}

static int
points(const void *strategy)
{
	const struct host_sched_config hsc = {
		.hsc_strategy = strategy, .hsc_seed = 1, .hsc_depth = 3, .hsc_steps = POINTS,
	};
	int error = host_sched_begin(&hsc);

	if (error != 0)
		return error;
	for (unsigned i = 0; i < turns; i++)
		host_point(HP_TEST, i);
	host_sched_end();
	return 0;
}

static void
yields(void *arg)
{
	for (unsigned i = 0; i < turns / 2; i++)
		host_yield();
}

static int
switches(const void *strategy)
{
	const struct host_sched_config hsc = {
		.hsc_strategy = strategy, .hsc_seed = 1, .hsc_depth = 1,
	};
	struct host_thread *a, *b;
	int error = host_sched_begin(&hsc);

	if (error != 0)
		return error;
	error = host_thread_create(&a, "bench", yields, NULL);
	if (error == 0)
		error = host_thread_create(&b, "bench", yields, NULL);
	if (error == 0) {
		host_thread_join(a);
		host_thread_join(b);
	}
	host_sched_end();
	return error;
}

static uint64_t added;

static int
additions(const void *arg)
{
	for (unsigned i = 0; i < turns; i++)
		__atomic_fetch_add(&added, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void
pong(void *arg)
{
	for (unsigned i = 0; i < turns / 2; i++) {
		host_park();
		host_unpark(arg);
	}
}

static int
hand_overs(const void *arg)
{
	struct host_thread *other;
	int error = host_thread_create(&other, "bench", pong, host_thread_self());

	if (error != 0)
		return error;
	for (unsigned i = 0; i < turns / 2; i++) {
		host_unpark(other);
		host_park();
	}
	host_thread_join(other);
	return 0;
}

/* --- executions --- */

static const char small[] =
    "[global]\ncpus = 2\nmemory = 1M\nops = 25\nseed = 1\naudit = off\ncheck-interval = 0\nschedule-steps = 1000\n"
    "[anon]\nworkload = anon-fault\nthreads = 2\nsize = 64K\n";

static int
executions(const void *profile)
{
	struct profile *p = (struct profile *)(uintptr_t)profile;
	const struct run_options ro = { .ro_once = true };
	struct run_result rr;
	int error = 0;

	run_result_init(&rr);
	for (unsigned i = 0; i < turns && error == 0; i++) {
		p->p_machine.ms_seed = i + 1;
		run_result_again(&rr);
		error = engine_run(p, &ro, &rr);
		if (error == 0 && rr.rr_nviolations != 0)
			error = EIO;
	}
	run_result_fini(&rr);
	return error;
}

static int
thread_each(const void *arg)
{
	struct host_thread *other;
	unsigned all = turns;

	turns = 0;			/* of pong() */
	for (unsigned i = 0; i < all; i++) {
		if (host_thread_create(&other, "bench", pong, NULL) != 0)
			return EAGAIN;
		host_thread_join(other);
	}
	turns = all;
	return 0;
}

static int
bench_executions(struct bench_table *bt, const char *strategy, unsigned n)
{
	struct profile *p = profile_create(workload_table);
	struct profile_error err;
	struct bench_row *row;
	char name[64];
	double ns, thread;
	int error = profile_parse_buffer(p, "bench", "", small, sizeof(small) - 1, &err);

	if (error == 0)
		error = profile_set_global(p, "schedule", strategy, "bench", &err);
	if (error == 0)
		error = profile_resolve(p, &err);
	turns = n;
	ns = error == 0 ? cost(executions, p) : -1;
	thread = cost(thread_each, NULL);
	profile_destroy(p);
	if (ns < 0)
		return error != 0 ? error : EIO;
	snprintf(name, sizeof(name), "executions, %s", strategy);
	row = bench_add(bt, name, "1/s and core", 1e9 / ns);
	row->br_clock = BENCH_CPU;
	bench_ref(row, "host: threads made and joined", 1e9 / thread);
	bench_against(row, "what is wanted", 2000, BENCH_BETTER, 1.0);
	return 0;
}

int
bench_sched(const struct bench_options *bo, struct bench_table *bt)
{
	static const struct host_strategy *const all[] = {
		&host_strategy_pct, &host_strategy_pos, &host_strategy_random,
	};
	static const char *const names[] = { "pct:2", "pos", "random" };
	const unsigned less = bo->bo_quick ? QUICK : 1;
	double point[3], turn, add, over;
	struct bench_row *row;
	char name[64];
	int error = 0;

	turns = POINTS / less;
	for (int i = 0; i < 3; i++)
		point[i] = cost(points, all[i]);	/* and all threads share a core from here on */
	add = cost(additions, NULL);
	turns = SWITCHES / less;
	turn = cost(switches, &host_strategy_pct);
	turns = HAND_OVERS / less;
	over = cost(hand_overs, NULL);
	if (turn < 0 || over < 0)
		return EAGAIN;
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "a point, %s", all[i]->hs_name);
		row = bench_add_cpu_ns(bt, name, &point[i], 1);
		bench_ref(row, "host: atomic addition", add);
		bench_against(row, "what it may take", 50, BENCH_TIMES, 1.0);
	}
	bench_add_ns(bt, "a switch", turn, "host: futex, free threads, one core", over);
	for (int i = 0; i < 3 && error == 0; i++)
		error = bench_executions(bt, names[i], EXECUTIONS / less);
	return error;
}
