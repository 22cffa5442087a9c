/*
 * The host floor: tokens, the raw lock, random streams, memory, backtraces, RCU.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/host.h>
#include <host/rcu.h>
#include <ktest.h>

#define	MS	1000000ULL

/* --- cores --- */

KTEST(cores_are_those_that_we_may_use, "a process that may use one core has one, and that is number 0")
{
	cpu_set_t all, one;

	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
	CHECK_EQ(host_ncores(), (unsigned)CPU_COUNT(&all));
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		CHECK(host_ncores() == 1 && host_core() == 0);
	}
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
	CHECK(host_core() < host_ncores());
}

KTEST(who_waits_for_an_answer_asks, "threads that compute are asked to give way, but by nobody who spins for a lock")
{
	unsigned spins = 0;

	for (int i = 0; i < 1000; i++)
		host_spin(&spins);
	CHECK_EQ(host_ways_wanted, 0);
	host_relax(&spins);
	CHECK(host_ways_wanted > 0);
	while (host_ways_wanted > 0)		/* and it comes to an end */
		host_give_way();
}

/* --- parking --- */

KTEST(token_does_not_count, "two unparks before a park wake it once")
{
	host_unpark(host_thread_self());
	host_unpark(host_thread_self());
	host_park();
	CHECK(!host_park_until(host_now_ns() + MS));
}

KTEST(park_until_waits_its_time, "a timed park without a token ends at its deadline, not before")
{
	const uint64_t deadline = host_now_ns() + 5 * MS;

	CHECK(!host_park_until(deadline));
	CHECK(host_now_ns() >= deadline);
	CHECK(!host_park_until(1));
	host_unpark(host_thread_self());
	CHECK(host_park_until(1));
}

struct pong {
	struct host_thread *p_other;
	unsigned	 p_ball;		/* no atomic: the token orders it */
};

static void
pong_main(void *arg)
{
	struct pong *p = arg;

	for (int i = 0; i < 2000; i++) {
		host_park();
		p->p_ball++;
		host_unpark(p->p_other);
	}
}

KTEST(unpark_publishes, "what the unparker wrote is seen by the one who comes out of park")
{
	struct pong p = { .p_other = host_thread_self() };
	struct host_thread *ht;

	CHECK_EQ(host_thread_create(&ht, "pong", pong_main, &p), 0);
	for (unsigned i = 0; i < 2000; i++) {
		CHECK_EQ(p.p_ball, i);
		host_unpark(ht);
		host_park();
	}
	host_thread_join(ht);
	CHECK_EQ(p.p_ball, 2000);
}

static void
handle_main(void *arg)
{
	/* The creator's handle is there before the thread is. */
	CHECK(*(struct host_thread **)arg == host_thread_self());
}

KTEST(handle_is_set_before_the_thread_runs, "a new thread finds its handle where the creator put it")
{
	struct host_thread *ht;

	for (int i = 0; i < 50; i++) {
		CHECK_EQ(host_thread_create(&ht, "handle", handle_main, &ht), 0);
		host_thread_join(ht);
	}
}

/* --- raw lock --- */

static struct host_lock lock = HOST_LOCK_INITIALIZER;
static unsigned counter;			/* lock */

static void
count_main(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		host_lock(&lock);
		counter++;
		host_unlock(&lock);
	}
}

KTEST(lock_excludes, "four threads count under a host_lock and lose nothing")
{
	struct host_thread *ht[4];

	for (int i = 0; i < 4; i++)
		CHECK_EQ(host_thread_create(&ht[i], "count", count_main, NULL), 0);
	for (int i = 0; i < 4; i++)
		host_thread_join(ht[i]);
	CHECK_EQ(counter, 80000);
}

KTEST(trylock_fails_when_held, "host_trylock tells a held lock from a free one")
{
	CHECK(host_trylock(&lock));
	CHECK(host_lock_held(&lock));
	CHECK(!host_trylock(&lock));
	host_unlock(&lock);
	CHECK(!host_lock_held(&lock));
}

/* --- random numbers --- */

KTEST(rng_is_xoshiro256starstar, "the generator gives the published first values")
{
	struct host_rng r = { { 1, 2, 3, 4 } };

	CHECK_EQ(host_rng_next(&r), 11520);
	CHECK_EQ(host_rng_next(&r), 0);
	CHECK_EQ(host_rng_next(&r), 1509978240);
}

KTEST(rng_streams_are_their_own, "a stream depends on seed and number, not on what was made before")
{
	struct host_rng a, b, c, d;

	host_rng_init(&a, 7, 1);
	host_rng_init(&b, 7, 2);
	host_rng_next(&b);
	host_rng_init(&c, 7, 1);
	host_rng_init(&d, 8, 1);
	for (int i = 0; i < 100; i++) {
		const uint64_t v = host_rng_next(&a);

		CHECK_EQ(v, host_rng_next(&c));
		CHECK(v != host_rng_next(&b));
		CHECK(v != host_rng_next(&d));
	}
}

KTEST(rng_below_is_uniform_enough, "host_rng_below(10) hits each value about as often as the next")
{
	unsigned hits[10] = { 0 };
	struct host_rng r;

	host_rng_init(&r, ktest_seed(), 0);
	for (int i = 0; i < 10000; i++) {
		const uint64_t v = host_rng_below(&r, 10);

		CHECK(v < 10);
		hits[v]++;
	}
	for (int i = 0; i < 10; i++)
		CHECK(hits[i] > 800 && hits[i] < 1200);
	CHECK_EQ(host_rng_below(&r, 1), 0);
	for (int i = 0; i < 1000; i++) {
		CHECK(!host_rng_chance(&r, 0.0));
		CHECK(host_rng_chance(&r, 1.0));
	}
}

/* --- memory, backtraces --- */

KTEST(memory_is_zero_and_resident_when_touched, "mapped memory is zeroed, page aligned and costs what is touched")
{
	const size_t bytes = 64u << 20, page = 4096;
	const size_t before = host_mem_resident();
	char *p = host_mem_map(bytes);
	size_t after;

	CHECK(p != NULL && (uintptr_t)p % (2u << 20) == 0);	/* a huge page's beginning */
	for (size_t i = 0; i < bytes / 4; i += page) {
		CHECK_EQ(p[i], 0);
		p[i] = 1;
	}
	after = host_mem_resident();
	/* the host counts in batches of some pages for each core, and may have taken others of ours */
	CHECK(after + (1u << 20) - before >= bytes / 4);
	CHECK(after < before + bytes);
	host_mem_unmap(p, bytes);
}

int	a_function_with_a_name(void **, int);

int __attribute__((noinline))
a_function_with_a_name(void **pcs, int max)
{
	const int n = host_backtrace(pcs, max, 0);

	__asm__ volatile ("" ::: "memory");	/* no tail call */
	return n;
}

KTEST(backtrace_names_the_caller, "a backtrace's first frame is the function that asked for it")
{
	void *pcs[HOST_BACKTRACE_MAX];
	char name[128];

	host_backtrace_init();
	CHECK(a_function_with_a_name(pcs, HOST_BACKTRACE_MAX) >= 2);
	host_symbolise(pcs[0], name, sizeof(name));
	CHECK(strstr(name, "a_function_with_a_name") != NULL);
	CHECK_EQ(a_function_with_a_name(pcs, 1), 1);
}

/* --- RCU --- */

struct thing {
	int	value;
};
static struct thing *current;			/* RCU */
static int inside, leave, passed;		/* atomic */

static void
reader_main(void *arg)
{
	struct thing *t;

	host_rcu_register();
	host_rcu_read_lock();
	t = rcu_deref(current);
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&leave, __ATOMIC_ACQUIRE))
		usleep(100);
	CHECK_EQ(t->value, 1);
	host_rcu_read_unlock();
	host_rcu_unregister();
}

static void
freer_main(void *arg)
{
	struct thing *old = current, *new = malloc(sizeof(*new));

	host_rcu_register();
	new->value = 2;
	rcu_publish(current, new);
	host_rcu_offline();
	host_rcu_synchronize();
	__atomic_store_n(&passed, 1, __ATOMIC_RELEASE);
	old->value = 0;
	free(old);
	host_rcu_unregister();
}

KTEST(grace_period_waits_for_the_reader, "synchronize returns only after a reader's section has ended")
{
	struct host_thread *reader, *freer;

	current = malloc(sizeof(*current));
	current->value = 1;
	CHECK_EQ(host_thread_create(&reader, "reader", reader_main, NULL), 0);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		usleep(100);
	CHECK_EQ(host_thread_create(&freer, "freer", freer_main, NULL), 0);
	usleep(20000);
	CHECK(!__atomic_load_n(&passed, __ATOMIC_ACQUIRE));
	__atomic_store_n(&leave, 1, __ATOMIC_RELEASE);
	host_thread_join(freer);
	host_thread_join(reader);
	CHECK_EQ(passed, 1);
	free(current);
}

static void
offline_main(void *arg)
{
	host_rcu_register();
	host_rcu_offline();
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	host_park();
	host_rcu_online();
	host_rcu_unregister();
}

KTEST(offline_thread_holds_nothing_up, "a grace period does not wait for a thread that is offline")
{
	struct host_thread *ht;

	CHECK_EQ(host_thread_create(&ht, "offline", offline_main, NULL), 0);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		usleep(100);
	host_rcu_synchronize();		/* for ever, if it did */
	host_unpark(ht);
	host_thread_join(ht);
}

/* --- the end --- */

/* Sanitizers report crashes themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || UVMSTRESS_TSAN
#define	CRASHES	0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define	CRASHES	0
#endif
#endif
#ifndef CRASHES
#define	CRASHES	1
#endif

static void
say_last(const char *kind, const char *message, const char *why, void *const *pcs, int n)
{
	fprintf(stderr, "last words: %s, %s, %s, %s\n", kind, message, why, n > 0 ? "with a stack" : "no stack");
}

KTEST_DEATH(an_alarm_has_last_words, "who is put off no more ends the process, and says so",
    "last words: hang, nobody looks, nobody looks, no stack\nnobody looks")
{
	host_last_words(say_last);
	host_alarm(10 * MS, "nobody looks");
	for (;;)			/* ThreadSanitizer puts the signal off until a call like that */
		usleep(1000);
}

#if CRASHES
static volatile int *nowhere;

static void
crash_again(int sig, void *addr, void *const *pcs, int n)
{
	fprintf(stderr, "first: %d frames\n", n);
	*nowhere = 1;
}

KTEST_DEATH(a_report_that_crashes_leaves_last_words, "a crash in the report of a crash is the end, and is told",
    "first: [0-9]+ frames\nlast words: crash, Segmentation fault, its report crashed, with a stack")
{
	host_last_words(say_last);
	host_catch_crashes(crash_again);
	*nowhere = 1;
}

static void
overflow_told(int sig, void *addr, void *const *pcs, int n)
{
	fprintf(stderr, "told on another stack\n");
	_exit(1);
}

/* => never: but for a compiler that cannot know it */
static int
deeper(int n)
{
	volatile char room[4096] = { 0 };

	return n == -1 ? room[0] : deeper(n + 1) + room[n % 4096];
}

static void
overflow_main(void *arg)
{
	fprintf(stderr, "%d\n", deeper(0));
}

KTEST_DEATH(a_stack_that_is_used_up_can_still_be_told, "every thread has a stack for its crash",
    "told on another stack")
{
	struct host_thread *ht;

	host_catch_crashes(overflow_told);
	CHECK_EQ(host_thread_create(&ht, "deep", overflow_main, NULL), 0);
	host_thread_join(ht);
}

KTEST(memory_that_is_none_is_not_read, "host_mem_read() says no, and copies what there is")
{
	int from = 7, to = 0;

	CHECK(!host_mem_read(&to, (void *)8, sizeof(to)));
	CHECK(host_mem_read(&to, &from, sizeof(to)));
	CHECK_EQ(to, 7);
}
#endif

KTEST_MAIN()
