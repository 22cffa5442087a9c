/*
 * What PCT promises, measured: a bug of depth d in an execution of n threads and k points is hit
 * with a probability of at least 1 / (n * k^(d-1)).
 *
 * Three small programs with one bug each, of depth 1, 2 and 3, run with so many seeds that the bound
 * would be met with 99.9 % were it the true rate; the seeds are fixed, so the verdict is.
 */
#include <math.h>

#include <host/host.h>
#include <host/sched.h>

#include <ktest.h>

/* What threads share without a lock: the schedule alone orders it, of which ThreadSanitizer sees nothing. */
#define	GET(v)		__atomic_load_n(&(v), __ATOMIC_RELAXED)
#define	SET(v, to)	__atomic_store_n(&(v), (to), __ATOMIC_RELAXED)

static int shared, stage;		/* GET and SET */
static bool hit;			/* likewise */

static void
warm_up(int points)
{
	for (int i = 0; i < points; i++)
		host_point(HP_TEST, 1);
}

/* depth 1: one of the other two before the first */
static void
initialises(void *arg)
{
	host_point(HP_TEST, 2);
	SET(shared, 1);
	warm_up(4);
}

static void
uses(void *arg)
{
	host_point(HP_TEST, 3);
	if (GET(shared) == 0)
		SET(hit, true);
	warm_up(4);
}

/* depth 2: all of the other one between two steps of this one */
static void
reads_and_writes(void *arg)
{
	int was;

	warm_up(5);
	was = GET(shared);
	host_point(HP_TEST, 4);
	if (GET(shared) != was)
		SET(hit, true);
	SET(shared, was + 1);
	warm_up(5);
}

static void
writes(void *arg)
{
	warm_up(3);
	SET(shared, GET(shared) + 1);
	warm_up(3);
}

/* depth 3: the first stops between its steps, the second goes into the middle of its own, and then
 * the first goes on */
static void
opens_and_closes(void *arg)
{
	warm_up(2);
	SET(stage, 1);
	host_point(HP_TEST, 5);
	if (GET(stage) == 2)
		SET(hit, true);
	SET(stage, 3);
	warm_up(2);
}

static void
slips_in(void *arg)
{
	warm_up(2);
	if (GET(stage) != 1)
		return;
	SET(stage, 2);
	host_point(HP_TEST, 6);
	if (GET(stage) == 2)
		SET(stage, 4);
	warm_up(2);
}

static struct host_sched_stat
execute(uint64_t seed, unsigned depth, uint64_t k, void (*const *fns)(void *), int n)
{
	const struct host_sched_config hsc = {
		.hsc_strategy = &host_strategy_pct, .hsc_seed = seed, .hsc_depth = depth, .hsc_steps = k,
	};
	struct host_thread *ht[4];
	struct host_sched_stat hst;

	SET(shared, 0);
	SET(stage, 0);
	SET(hit, false);
	CHECK_EQ(host_sched_begin(&hsc), 0);
	for (int i = 0; i < n; i++)
		CHECK_EQ(host_thread_create(&ht[i], "pct", fns[i], NULL), 0);
	for (int i = 0; i < n; i++)
		host_thread_join(ht[i]);
	host_sched_stat(&hst);
	host_sched_end();
	return hst;
}

/* => as often as promised in so many executions, less what chance takes away once in a thousand */
static void
check_bound(unsigned depth, unsigned times, void (*const *fns)(void *), int n)
{
	uint64_t k = execute(1, depth, 0, fns, n).hst_load;
	double p = 1 / ((n + 1) * pow((double)k, depth - 1)), expect = p * times;
	unsigned hits = 0;

	for (unsigned i = 0; i < times; i++) {
		execute(1000 + i, depth, k, fns, n);
		hits += GET(hit);
	}
	CHECK(expect >= 10);			/* else the test proves nothing */
	CHECK(hits >= expect - 3.09 * sqrt(expect * (1 - p)));
}

KTEST(depth_1, "a bug of depth 1 is hit as often as PCT promises")
{
	static void (*const fns[])(void *) = { initialises, uses, uses };

	check_bound(1, ktest_scale(2000), fns, 3);
}

KTEST(depth_2, "a bug of depth 2 is hit as often as PCT promises")
{
	static void (*const fns[])(void *) = { reads_and_writes, writes };

	check_bound(2, 4000, fns, 2);
}

KTEST(depth_3, "a bug of depth 3 is hit as often as PCT promises")
{
	static void (*const fns[])(void *) = { opens_and_closes, slips_in };

	check_bound(3, 8000, fns, 2);
}

static unsigned
hits_without_changes(void (*const *fns)(void *), int n)
{
	unsigned hits = 0;

	for (unsigned i = 0; i < 500; i++) {
		execute(i, 1, 100, fns, n);
		hits += GET(hit);
	}
	return hits;
}

KTEST(depth_counts, "priorities alone do not hit what takes a change of them")
{
	static void (*const two[])(void *) = { reads_and_writes, writes };
	static void (*const three[])(void *) = { opens_and_closes, slips_in };

	CHECK_EQ(hits_without_changes(two, 2), 0);
	CHECK_EQ(hits_without_changes(three, 2), 0);
}

KTEST_MAIN()
