/*
 * What ThreadSanitizer sees of a controlled schedule: not who was made to run when.  Two threads that
 * share a word without a lock race in any order, and those that a token leads from one to
 * the other do not.
 */
#include <host/host.h>
#include <host/sched.h>

#include <ktest.h>

static int word;
static struct host_thread *second;

static void
adds(void *arg)
{
	host_point(HP_TEST, 1);
	word++;
	host_point(HP_TEST, 2);
}

static void
adds_and_wakes(void *arg)
{
	adds(NULL);
	host_unpark(second);
}

static void
waits_and_adds(void *arg)
{
	host_park();
	adds(NULL);
}

static void
two(void (*a)(void *), void (*b)(void *), uint64_t seed)
{
	const struct host_sched_config hsc = { .hsc_strategy = &host_strategy_random, .hsc_seed = seed };
	struct host_thread *first;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	CHECK_EQ(host_thread_create(&second, "second", b, NULL), 0);
	CHECK_EQ(host_thread_create(&first, "first", a, NULL), 0);
	host_thread_join(first);
	host_thread_join(second);
	host_sched_end();
}

KTEST_DEATH(a_race_is_seen_1, "no lock: a race, though only one of them runs", "data race(.|\n)*adds")
{
	two(adds, adds, 1);
}

KTEST_DEATH(a_race_is_seen_2, "and with another seed", "data race(.|\n)*adds")
{
	two(adds, adds, 2);
}

KTEST(a_token_is_an_order, "a token leads from one to the other: no race")
{
	for (uint64_t seed = 1; seed < 20; seed++)
		two(adds_and_wakes, waits_and_adds, seed);
	CHECK_EQ(word, 38);
}

KTEST_MAIN()
