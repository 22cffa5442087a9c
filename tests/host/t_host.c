/*
 * The host floor: tokens, the raw lock, random streams, memory, backtraces, RCU.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/host.h>
#include <host/rcu.h>
#include <ktest.h>

#define	MS	1000000ULL

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

	CHECK(p != NULL && (uintptr_t)p % page == 0);
	for (size_t i = 0; i < bytes / 4; i += page) {
		CHECK_EQ(p[i], 0);
		p[i] = 1;
	}
	after = host_mem_resident();
	CHECK(after - before >= bytes / 4);
	CHECK(after - before < bytes);
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

KTEST_MAIN()
