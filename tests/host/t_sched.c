/* Controlled schedules, on the host floor alone: no machine, no LWPs. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <host/host.h>
#include <host/rcu.h>
#include <host/sched.h>

#include <ktest.h>

#define	MS	1000000u
/* What threads share without a lock: the schedule alone orders it, of which ThreadSanitizer sees nothing. */
#define	GET(v)		__atomic_load_n(&(v), __ATOMIC_RELAXED)
#define	SET(v, to)	__atomic_store_n(&(v), (to), __ATOMIC_RELAXED)

static struct host_sched_stat
schedule(const struct host_strategy *hs, uint64_t seed, uint64_t steps, void (*fn)(void))
{
	struct host_sched_config hsc = {
		.hsc_strategy = hs, .hsc_seed = seed, .hsc_depth = 3, .hsc_steps = steps,
	};
	struct host_sched_stat hst;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	fn();
	host_sched_stat(&hst);
	host_sched_end();
	return hst;
}

static const struct host_strategy *const strategies[] = {
	&host_strategy_random, &host_strategy_pos, &host_strategy_pct,
};
#define	NSTRATEGIES	(sizeof(strategies) / sizeof(strategies[0]))

/* --- a program: threads that count, park, spin and sleep --- */

#define	NTHREADS	4

static int counter;			/* one thread at a time */
static bool go;

static void
count(void *arg)
{
	unsigned spins = 0;

	while (!GET(go))
		host_relax(&spins);
	for (int i = 0; i < 20; i++) {
		int was = GET(counter);

		host_point(HP_TEST, 1);
		SET(counter, was + 1);
		host_point(HP_TEST, (uint32_t)(uintptr_t)arg + 2);
		if (i % 8 == 7)
			host_park_until(host_now_ns() + (uintptr_t)arg * MS);
	}
}

static void
program(void)
{
	struct host_thread *ht[NTHREADS];

	SET(counter, 0);
	SET(go, false);
	for (uintptr_t i = 0; i < NTHREADS; i++)
		CHECK_EQ(host_thread_create(&ht[i], "count", count, (void *)i), 0);
	host_point(HP_TEST, 0);
	SET(go, true);
	for (int i = 0; i < NTHREADS; i++)
		host_thread_join(ht[i]);
}

KTEST(one_seed_one_schedule, "the same seed gives the same events, in each strategy")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 20; seed++) {
			struct host_sched_stat a = schedule(strategies[k], seed, 200, program);
			int n = GET(counter);
			struct host_sched_stat b = schedule(strategies[k], seed, 200, program);

			CHECK_EQ(a.hst_hash, b.hst_hash);
			CHECK_EQ(a.hst_events, b.hst_events);
			CHECK_EQ(n, counter);
		}
}

KTEST(seeds_differ, "different seeds give different schedules, and some of them lose counts")
{
	for (size_t k = 0; k < NSTRATEGIES; k++) {
		uint64_t first = schedule(strategies[k], 1, 200, program).hst_hash;
		unsigned differ = 0, lost = 0;

		for (uint64_t seed = 2; seed < 100; seed++) {
			differ += schedule(strategies[k], seed, 200, program).hst_hash != first;
			lost += counter != NTHREADS * 20;
		}
		CHECK(differ > 80);
		CHECK(lost > 0);
	}
}

KTEST(replay_follows, "a log leads the same program through the same events")
{
	struct host_log log = { NULL, 0, 0 };

	for (size_t k = 0; k < NSTRATEGIES; k++) {
		struct host_sched_stat a = schedule(strategies[k], 7, 200, program), b;
		const struct host_log *hl = host_sched_log();
		struct host_sched_config hsc = { .hsc_strategy = &host_strategy_replay, .hsc_log = &log };

		log.hl_bytes = malloc(hl->hl_len);
		log.hl_len = hl->hl_len;
		memcpy(log.hl_bytes, hl->hl_bytes, hl->hl_len);
		CHECK_EQ(host_sched_begin(&hsc), 0);
		program();
		host_sched_stat(&b);
		host_sched_end();
		CHECK(!b.hst_divergence.hd_set);
		CHECK_EQ(a.hst_hash, b.hst_hash);
		host_log_free(&log);
	}
}

/* --- one host thread carries all --- */

KTEST(carried_or_not, "threads that are carried do the same as host threads that hand over, and take turns with them")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 6; seed++) {
			const struct host_sched_config apart = {
				.hsc_strategy = strategies[k], .hsc_seed = seed, .hsc_depth = 3, .hsc_steps = 200,
				.hsc_threads = true,
			};
			struct host_sched_stat a = schedule(strategies[k], seed, 200, program), b;

			CHECK_EQ(host_sched_begin(&apart), 0);
			program();
			host_sched_stat(&b);
			host_sched_end();
			CHECK_EQ(a.hst_hash, b.hst_hash);
			CHECK_EQ(a.hst_events, b.hst_events);
			CHECK_EQ(a.hst_points, b.hst_points);
		}
}

static __thread uintptr_t own;		/* of each thread */
static unsigned own_errors;		/* one thread at a time */

/* => the stack below is used in each frame of the recursion, and is still the caller's afterwards */
static __attribute__((noinline)) uintptr_t
deep(uintptr_t me, int depth)
{
	volatile uintptr_t words[64];
	uintptr_t sum = 0;

	for (int i = 0; i < 64; i++)
		words[i] = me;
	host_point(HP_TEST, (uint32_t)depth);
	if (depth != 0)
		sum = deep(me, depth - 1);
	for (int i = 0; i < 64; i++)
		sum += words[i] - me;
	return sum;
}

static void
keep_own(void *arg)
{
	const uintptr_t me = (uintptr_t)arg;
	const pthread_t self = pthread_self();
	double x = (double)me + 0.5;

	own = me;
	for (int i = 0; i < 20; i++) {
		void *p = malloc(16 + me);

		SET(own_errors, GET(own_errors) + (deep(me, 10) != 0));
		x *= 2;
		host_point(HP_TEST, 1);
		x /= 2;
		free(p);
		SET(own_errors, GET(own_errors) + (own != me || !pthread_equal(self, pthread_self()) ||
		    x != (double)me + 0.5));
	}
}

static void
each_its_own(void)
{
	struct host_thread *ht[NTHREADS];

	for (uintptr_t i = 0; i < NTHREADS; i++)
		CHECK_EQ(host_thread_create(&ht[i], "own", keep_own, (void *)(i + 1)), 0);
	for (int i = 0; i < NTHREADS; i++)
		host_thread_join(ht[i]);
}

KTEST(each_thread_its_own, "a thread's stack and thread-local storage are its own, however often others run")
{
	own_errors = 0;
	own = 99;
	CHECK(schedule(&host_strategy_random, 1, 0, each_its_own).hst_switches > 100);
	CHECK_EQ(own_errors, 0);
	CHECK_EQ(own, 99);
}

static void *
use_stack(void *arg)
{
	volatile char words[200000];

	for (size_t i = 0; i < sizeof(words); i++)
		words[i] = 7;
	return NULL;
}

KTEST(a_child_makes_its_own, "threads that a process kept for its next schedule are not those of a child of fork()")
{
	const uint64_t hash = schedule(&host_strategy_random, 1, 0, program).hst_hash;
	pthread_t others[NTHREADS];
	pthread_attr_t attr;
	int status;
	pid_t pid;

	if (UVMSTRESS_TSAN)
		return;			/* has no threads in a child of many */
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 512 * 1024);	/* as those of the schedule */
		for (int i = 0; i < NTHREADS; i++)
			CHECK_EQ(pthread_create(&others[i], &attr, use_stack, NULL), 0);
		for (int i = 0; i < NTHREADS; i++)
			pthread_join(others[i], NULL);
		_exit(schedule(&host_strategy_random, 1, 0, program).hst_hash != hash);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static struct host_thread *asked_of;
static int answered;
static void *answer[HOST_BACKTRACE_MAX];

static __attribute__((noinline)) void
wait_here(void *arg)
{
	SET(go, true);
	host_park();
	SET(go, false);			/* no tail call: the frame stays */
}

static void
ask_another(void *arg)
{
	unsigned spins = 0;

	while (!GET(go))
		host_relax(&spins);
	answered = host_thread_backtrace(asked_of, answer, HOST_BACKTRACE_MAX);
	host_unpark(asked_of);
}

static void
one_waits_one_asks(void)
{
	struct host_thread *asks;

	CHECK_EQ(host_thread_create(&asked_of, "waits", wait_here, NULL), 0);
	CHECK_EQ(host_thread_create(&asks, "asks", ask_another, NULL), 0);
	host_thread_join(asked_of);
	host_thread_join(asks);
}

KTEST(where_others_stand, "one thread of a schedule sees where another one waits")
{
	char name[128] = "";

	SET(go, false);
	answered = -1;
	schedule(&host_strategy_random, 1, 0, one_waits_one_asks);
	for (int i = 0; i < answered && strstr(name, "wait_here") == NULL; i++)
		host_symbolise(answer[i], name, sizeof(name));
	/* ThreadSanitizer puts signals off: no answer */
	CHECK(strstr(name, "wait_here") != NULL || (answered == 0 && UVMSTRESS_TSAN));
}

#if defined(__x86_64__)

static unsigned steps, in_exchange, lost;	/* one thread at a time */
static int carried_by;			/* likewise */

/* => after each instruction: where two threads are exchanged, does a backtrace lead to how the thread began? */
static void
on_step(int sig)
{
	void *pcs[HOST_BACKTRACE_MAX];
	const int n = host_backtrace(pcs, HOST_BACKTRACE_MAX, 0);
	bool leads = false;
	char name[128];

	steps++;
	if (n < 3)
		return;
	host_symbolise(pcs[2], name, sizeof(name));	/* below the handler and the host's trampoline */
	if (strncmp(name, "exchange+", 9) != 0)
		return;
	for (int i = 3; i < n && !leads; i++) {
		host_symbolise(pcs[i], name, sizeof(name));
		leads = strstr(name, "pool_main+") != NULL || strstr(name, "step_by_step+") != NULL;
	}
	in_exchange++;
	lost += !leads;
}

static void
points(void *arg)
{
	host_point(HP_TEST, 1);
	carried_by = host_bell_id();
}

/* The trap flag is the host thread's: it stays when another thread is carried. */
static __attribute__((noinline)) void
step_by_step(void)
{
	struct host_thread *ht[2];

	for (int i = 0; i < 2; i++)
		CHECK_EQ(host_thread_create(&ht[i], "points", points, NULL), 0);
	__asm__ volatile("leaq -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; leaq 128(%%rsp), %%rsp"
	    ::: "memory", "cc");
	for (int i = 0; i < 2; i++)
		host_thread_join(ht[i]);
	__asm__ volatile("leaq -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; leaq 128(%%rsp), %%rsp"
	    ::: "memory", "cc");
}

KTEST(backtraces_everywhere, "a backtrace leads through an exchange of threads at each of its instructions")
{
	const struct sigaction sa = { .sa_handler = on_step };

	if (UVMSTRESS_TSAN)
		return;			/* puts signals off */
	host_backtrace_init();
	CHECK_EQ(sigaction(SIGTRAP, &sa, NULL), 0);
	schedule(&host_strategy_random, 1, 0, step_by_step);
	CHECK_EQ(lost, 0);
	/* Some hosts do not carry; valgrind knows no trap flag. */
	CHECK(in_exchange > 0 || carried_by != host_bell_id() || steps == 0);
}

#endif

static const size_t sizes[] = { 5000, 1 << 20, 4 << 20 };
#define	NSIZES		(sizeof(sizes) / sizeof(sizes[0]))
static unsigned nonzero;

/* => each is written to, bare ones too, as kernels do */
static void
map_and_unmap(void)
{
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < NSIZES; i++) {
			unsigned char *p = round == 1 ? host_mem_map_bare(sizes[i]) : host_mem_map(sizes[i]);

			CHECK(p != NULL);
			for (size_t k = 0; k < sizes[i]; k += 99) {
				nonzero += p[k] != 0;
				p[k] = 1;
			}
			host_mem_unmap(p, sizes[i]);
		}
}

KTEST(memory_comes_back_clear, "memory that one schedule gave back is zeroes for the next, whatever the first wrote")
{
	nonzero = 0;
	for (int i = 0; i < 3; i++)
		schedule(&host_strategy_random, 1, 0, map_and_unmap);
	CHECK_EQ(nonzero, 0);
}

static void
map_write_unmap(void *arg)
{
	for (int i = 0; i < 4; i++) {
		unsigned char *p = host_mem_map(sizes[1]);

		CHECK(p != NULL);
		for (size_t k = 0; k < sizes[1]; k += 4096)
			p[k] = 1;
		host_mem_unmap(p, sizes[1]);
		host_point(HP_TEST, 1);
	}
}

static void
memory_goes_round(void)
{
	struct host_thread *ht[NTHREADS];

	for (int i = 0; i < NTHREADS; i++)
		CHECK_EQ(host_thread_create(&ht[i], "maps", map_write_unmap, NULL), 0);
	for (int i = 0; i < NTHREADS; i++)
		host_thread_join(ht[i]);
}

KTEST(memory_has_no_past, "what one thread gave back and another got is new to a race detector")
{
	CHECK(schedule(&host_strategy_random, 1, 0, memory_goes_round).hst_switches > NTHREADS);
}

/* => sizes that huge pages hold, and that pages do not divide */
static void
map_odd_sizes(void)
{
	for (size_t i = 0; i < 40; i++) {
		const size_t bytes = i % 2 == 0 ? 2 << 20 : (1 << 20) - 5000;
		unsigned char *p = host_mem_map(bytes);

		CHECK(p != NULL);
		for (size_t k = 0; k < bytes; k += 4096)
			p[k] = 1;
		host_mem_unmap(p, bytes);
	}
}

KTEST(memory_is_not_hoarded, "memory that is kept for the next is found by it, whatever its size")
{
	size_t before = host_mem_resident();

	schedule(&host_strategy_random, 1, 0, map_odd_sizes);
	CHECK(host_mem_resident() < before + (8 << 20) || UVMSTRESS_TSAN);
}

/* => what the program does with these switches */
static struct host_sched_stat
thin(const struct host_switch *v, size_t n)
{
	struct host_sched_config hsc = {
		.hsc_strategy = &host_strategy_thin, .hsc_thin = v, .hsc_nthin = n,
	};
	struct host_sched_stat hst;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	program();
	host_sched_stat(&hst);
	host_sched_end();
	return hst;
}

KTEST(all_switches_are_the_run, "the switches of a log, each by its thread's own points, repeat its events")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 20; seed++) {
			struct host_sched_stat a = schedule(strategies[k], seed, 200, program);
			size_t n;
			struct host_switch *v = host_log_switches(host_sched_log(), &n);

			CHECK_EQ(n, a.hst_switches);
			CHECK_EQ(thin(v, n).hst_hash, a.hst_hash);
			free(v);
		}
}

KTEST(some_switches_are_a_run, "whatever is taken out of the switches, the program comes to its end, always the same")
{
	struct host_sched_stat a = schedule(&host_strategy_random, 5, 200, program);
	size_t n;
	struct host_switch *v = host_log_switches(host_sched_log(), &n);
	struct host_switch *some = malloc(n * sizeof(*some));
	uint64_t fewest = a.hst_switches;

	for (unsigned every = 2; every < 20; every++) {
		struct host_sched_stat b;
		size_t m = 0;

		for (size_t i = 0; i < n; i++)
			if (i % every == 0)
				some[m++] = v[i];
		b = thin(some, m);
		CHECK_EQ(b.hst_hash, thin(some, m).hst_hash);
		if (b.hst_switches < fewest)
			fewest = b.hst_switches;
	}
	CHECK(fewest < a.hst_switches / 2);
	CHECK(thin(some, 0).hst_switches < a.hst_switches / 2);
	CHECK_EQ(counter, NTHREADS * 20);	/* nobody is put off between reading and writing */
	free(some);
	free(v);
}

static int idler = -1;			/* has nothing to do */
static int ends[NTHREADS], nended;	/* threads in the order in which they came to their end */

static void
work_or_idle(void *arg)
{
	const int me = *(int *)arg;

	for (int i = 0; i < 20 && me != GET(idler); i++)
		host_point(HP_TEST, (uint32_t)me);
	SET(ends[GET(nended)], me);
	SET(nended, GET(nended) + 1);
}

static void
in_turn(void)
{
	struct host_thread *ht[NTHREADS];
	int ids[NTHREADS];

	SET(nended, 0);
	for (int i = 0; i < NTHREADS; i++) {
		ids[i] = i;
		CHECK_EQ(host_thread_create(&ht[i], "in turn", work_or_idle, &ids[i]), 0);
	}
	for (int i = 0; i < NTHREADS; i++)
		host_thread_join(ht[i]);
}

KTEST(others_keep_their_order, "a thread that has less to do than in the log does not change the order of the others")
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct host_switch *v;
		int was[NTHREADS];
		size_t n;

		idler = -1;
		schedule(&host_strategy_pct, seed, 200, in_turn);
		memcpy(was, ends, sizeof(was));
		v = host_log_switches(host_sched_log(), &n);
		for (idler = 0; idler < NTHREADS; idler++) {
			struct host_sched_config hsc = {
				.hsc_strategy = &host_strategy_thin, .hsc_thin = v, .hsc_nthin = n,
			};

			CHECK_EQ(host_sched_begin(&hsc), 0);
			in_turn();
			host_sched_end();
			for (int i = 0, k = 0; i < NTHREADS; i++)
				if (ends[i] != idler) {
					k += was[k] == idler;
					CHECK_EQ(ends[i], was[k]);
					k++;
				}
		}
		free(v);
	}
}

KTEST(switches_that_cannot_be, "a switch to a thread that cannot run, or that there is not, is passed over")
{
	struct host_switch v[40];

	for (size_t i = 0; i < 40; i++)
		v[i] = (struct host_switch){ i / 2 + 1, (uint32_t)(i % 2), i % 3 == 0 ? HOST_THREADS - 1 : 3 };
	CHECK_EQ(thin(v, 40).hst_hash, thin(v, 40).hst_hash);
}

static void
other_program(void)
{
	host_point(HP_TEST, 99);
	program();
}

KTEST(replay_says_where_it_parts, "a program that is another one leaves the log, and it is said")
{
	struct host_sched_stat hst;
	struct host_log log;
	struct host_sched_config hsc = { .hsc_strategy = &host_strategy_replay, .hsc_log = &log };

	schedule(&host_strategy_random, 7, 0, program);
	log = *host_sched_log();
	log.hl_bytes = memcpy(malloc(log.hl_len), log.hl_bytes, log.hl_len);
	CHECK_EQ(host_sched_begin(&hsc), 0);
	other_program();
	host_sched_stat(&hst);
	host_sched_end();
	CHECK(hst.hst_divergence.hd_set);
	CHECK(hst.hst_divergence.hd_text[0] != '\0');
	host_log_free(&log);
}

static int unlike;			/* differs between two runs of one seed */

static void
uncontrolled(void)
{
	program();
	host_point(HP_TEST, 1000 + (uint32_t)unlike++);
}

KTEST(first_difference_is_found, "what two runs of one seed do differently is told as the event that it was")
{
	struct host_trace trace = { NULL, 0, 0 };
	struct host_sched_config hsc = { .hsc_strategy = &host_strategy_pos, .hsc_record = &trace };
	struct host_sched_stat a, b;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	uncontrolled();
	host_sched_stat(&a);
	host_sched_end();
	CHECK_EQ(trace.ht_n, a.hst_events);
	hsc.hsc_record = NULL;
	hsc.hsc_compare = &trace;
	CHECK_EQ(host_sched_begin(&hsc), 0);
	uncontrolled();
	host_sched_stat(&b);
	host_sched_end();
	CHECK(b.hst_divergence.hd_set);
	CHECK_EQ(b.hst_divergence.hd_was.he_kind, HP_TEST);
	CHECK_EQ(b.hst_divergence.hd_was.he_object, 1000);
	CHECK_EQ(b.hst_divergence.hd_is.he_object, 1001);
	host_trace_free(&trace);
}

/* --- time --- */

static uint64_t slept;

static void
sleeper(void *arg)
{
	uint64_t before = host_now_ns();

	CHECK(!host_park_until(before + 3600000000000u));
	slept = host_now_ns() - before;
}

static void
sleep_long(void)
{
	struct host_thread *ht;

	CHECK_EQ(host_thread_create(&ht, "sleeper", sleeper, NULL), 0);
	host_thread_join(ht);
}

KTEST(time_jumps, "an hour in which nobody can run is over at once")
{
	uint64_t before = host_wall_ns();

	schedule(&host_strategy_random, 1, 0, sleep_long);
	CHECK(slept >= 3600000000000u);
	CHECK(slept < 3600100000000u);
	CHECK(host_wall_ns() - before < 600000000000u);
}

static void
spin_for_time(void)
{
	uint64_t until = host_now_ns() + 50 * MS;
	unsigned spins = 0;

	while (host_now_ns() < until)
		host_relax(&spins);
	CHECK(host_now_ns() < until + 10 * MS);
}

KTEST(spinning_takes_time, "who spins for a time gets there, alone or not")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		schedule(strategies[k], 3, 0, spin_for_time);
}

KTEST_DEATH(deadlock_is_seen, "nobody can run and no time-out is pending: said, and the end",
    "nobody can run")
{
	schedule(&host_strategy_random, 1, 0, host_park);
}

/* --- spinning and fairness --- */

static int turn;

static void
spinner(void *arg)
{
	unsigned spins = 0;

	for (int i = 0; i < 50; i++) {
		while (GET(turn) % NTHREADS != (int)(uintptr_t)arg)
			host_relax(&spins);
		SET(turn, GET(turn) + 1);
	}
}

static void
ring(void)
{
	struct host_thread *ht[NTHREADS];

	turn = 0;
	for (uintptr_t i = 0; i < NTHREADS; i++)
		CHECK_EQ(host_thread_create(&ht[i], "spinner", spinner, (void *)i), 0);
	for (int i = 0; i < NTHREADS; i++)
		host_thread_join(ht[i]);
	CHECK_EQ(turn, NTHREADS * 50);
}

KTEST(spinners_make_way, "threads that spin for each other in turn all get on")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 30; seed++) {
			struct host_sched_stat hst = schedule(strategies[k], seed, 1000, ring);

			CHECK(hst.hst_switches < 5000);
		}
}

static void
hog(void *arg)
{
	while (!GET(go))
		host_point(HP_TEST, 5);
}

static void
release(void *arg)
{
	SET(go, true);
}

static void
hogged(void)
{
	struct host_thread *a, *b;

	SET(go, false);
	CHECK_EQ(host_thread_create(&a, "hog", hog, NULL), 0);
	CHECK_EQ(host_thread_create(&b, "release", release, NULL), 0);
	host_thread_join(a);
	host_thread_join(b);
}

KTEST(nobody_starves, "a thread that never spins nor parks does not keep others off for ever")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 5; seed++)
			schedule(strategies[k], seed, 1000, hogged);
}

static struct host_thread *partner[2];	/* NULL: not there yet */

/* Two that wake each other have no need of the third, and never spin. */
static void
wake_each_other(void *arg)
{
	struct host_thread *other;

	while (!GET(turn)) {
		host_point(HP_TEST, 6);
		if ((other = GET(partner[1 - (uintptr_t)arg])) != NULL)
			host_unpark(other);
		host_park_until(host_now_ns() + MS);
	}
}

static void
spin_and_end_it(void *arg)
{
	unsigned spins = 0;

	while (!GET(go))
		host_relax(&spins);
	host_point(HP_TEST, 7);
	SET(turn, 1);
}

static void
shut_out(void)
{
	struct host_thread *third, *ht[2];

	SET(go, false);
	SET(turn, 0);
	SET(partner[0], NULL);
	SET(partner[1], NULL);
	CHECK_EQ(host_thread_create(&third, "third", spin_and_end_it, NULL), 0);
	for (uintptr_t i = 0; i < 2; i++) {
		CHECK_EQ(host_thread_create(&ht[i], "partner", wake_each_other, (void *)i), 0);
		SET(partner[i], ht[i]);
	}
	host_park_until(host_now_ns() + MS);
	SET(go, true);
	for (int i = 0; i < 2; i++)
		host_thread_join(ht[i]);
	host_thread_join(third);
}

KTEST(two_do_not_shut_out_a_third, "threads that wake each other do not keep off for ever one that has spun")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 5; seed++)
			schedule(strategies[k], seed, 1000, shut_out);
}

/* --- RCU's twin --- */

static int *current;
static int freed;

static void
reader(void *arg)
{
	host_rcu_register();
	for (int i = 0; i < 30; i++) {
		int *p;

		host_rcu_read_lock();
		p = rcu_deref(current);
		host_point(HP_TEST, 8);
		CHECK(*p != -1);
		host_rcu_read_unlock();
		host_rcu_quiescent();
		host_point(HP_TEST, 9);
		if (i % 10 == 9) {
			host_rcu_offline();
			host_park_until(host_now_ns() + MS);
			host_rcu_online();
		}
	}
	host_rcu_unregister();
}

static void
readers(void)
{
	static int cells[40];
	struct host_thread *ht[3];

	memset(cells, 0, sizeof(cells));
	current = &cells[0];
	freed = 0;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(host_thread_create(&ht[i], "reader", reader, NULL), 0);
	for (int i = 1; i < 40; i++) {
		int *old = current;

		rcu_publish(current, &cells[i]);
		host_rcu_synchronize();
		*old = -1;
		freed++;
		host_point(HP_TEST, 7);
	}
	for (int i = 0; i < 3; i++)
		host_thread_join(ht[i]);
	CHECK_EQ(freed, 39);
}

/* --- a meeting --- */

static bool has[2], met;		/* one thread at a time */
static bool sleeps;			/* : the second thread does not stand at its place, it sleeps there */
static uint32_t sleeps_for;		/* : lock 1, or 0: whatever the first has */
static bool alone;			/* : the second thread never comes to its place */

/* For a moment each has its lock and wants the other's: those moments are rare, and short. */
static void
have_and_want(void *arg)
{
	const unsigned me = (unsigned)(uintptr_t)arg, other = 1 - me;

	for (int i = 0; i < 10 && !GET(met); i++) {
		for (unsigned k = 0; k < 60 + 50 * me; k++)
			host_point(HP_TEST, k);
		if (alone && me == 1)
			continue;
		SET(has[me], true);
		host_sched_meet(me, me + 1, other + 1);
		host_point(HP_LOCK, other + 1);
		if (GET(has[other]))
			SET(met, true);
		SET(has[me], false);
	}
}

/* For twenty points it cannot go on, whoever runs. */
static void
have_and_sleep(void *arg)
{
	for (int i = 0; i < 10 && !GET(met); i++) {
		for (unsigned k = 0; k < 110; k++)
			host_point(HP_TEST, k);
		SET(has[1], true);
		host_sched_waits(1, 2, sleeps_for);
		for (unsigned k = 0; k < 20; k++)
			host_point(HP_TEST, k);
		host_sched_woken();
		SET(has[1], false);
	}
}

static void
let_them_meet(void)
{
	struct host_thread *ht[2];

	met = has[0] = has[1] = false;
	for (uintptr_t i = 0; i < 2; i++)
		CHECK_EQ(host_thread_create(&ht[i], "meets", sleeps && i == 1 ? have_and_sleep : have_and_want,
		    (void *)i), 0);
	for (int i = 0; i < 2; i++)
		host_thread_join(ht[i]);
}

/* => is in `met` too; the schedule's hash, or that of following it */
static uint64_t
meeting(uint64_t seed, struct host_log *log, bool follow)
{
	const struct host_sched_config hsc = {
		.hsc_strategy = follow ? &host_strategy_replay : &host_strategy_direct, .hsc_seed = seed,
		.hsc_places = 2, .hsc_log = log,
	};
	struct host_sched_stat hst;

	CHECK_EQ(host_sched_begin(&hsc), 0);
	let_them_meet();
	host_sched_stat(&hst);
	host_sched_end();
	if (!follow) {
		const struct host_log *hl = host_sched_log();

		log->hl_len = hl->hl_len;
		log->hl_bytes = malloc(hl->hl_len);
		memcpy(log->hl_bytes, hl->hl_bytes, hl->hl_len);
	}
	CHECK(!follow || !hst.hst_divergence.hd_set);
	return hst.hst_hash;
}

KTEST(directed_threads_meet, "a directed schedule brings both to their places at once, and its log does it again")
{
	alone = false;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct host_log log = { NULL, 0, 0 };
		const uint64_t hash = meeting(seed, &log, false);

		CHECK(met);
		CHECK_EQ(meeting(seed, &log, true), hash);
		CHECK(met);
		host_log_free(&log);
	}
}

KTEST(who_sleeps_is_met, "who has to end a wait stands until somebody waits, for him or for whoever is there")
{
	unsigned n = 0;

	alone = false;
	sleeps = true;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct host_log log = { NULL, 0, 0 };
		uint64_t hash;

		sleeps_for = seed % 2;
		hash = meeting(seed, &log, false);
		n += met;
		CHECK_EQ(meeting(seed, &log, true), hash);
		host_log_free(&log);
	}
	sleeps = false;
	CHECK(n >= 36);
}

KTEST(nobody_stands_for_ever, "who comes to a place where nobody meets him goes on")
{
	alone = true;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct host_log log = { NULL, 0, 0 };

		meeting(seed, &log, false);
		CHECK(!met);
		host_log_free(&log);
	}
}

KTEST(rcu_twin, "no reader sees what a grace period has freed, and the same seed frees at the same time")
{
	for (size_t k = 0; k < NSTRATEGIES; k++)
		for (uint64_t seed = 1; seed < 30; seed++)
			CHECK_EQ(schedule(strategies[k], seed, 1000, readers).hst_hash,
			    schedule(strategies[k], seed, 1000, readers).hst_hash);
}

KTEST_MAIN()
