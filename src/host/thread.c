/*
 * Threads and parking.
 *
 * A thread's token is one futex word.  Race detectors do not follow the system call, nor our
 * atomics, for this file is bare (host/race.h): they are told.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <host/race.h>

#include "host_int.h"

#define	PAUSES		100		/* pause instructions before the first yield */
#define	WAYS		64		/* threads that may come before the spinner's next turn */

int host_ways_wanted;

__thread struct host_thread *host_self;
static uint64_t yields;			/* atomic */

static void *
thread_main(void *arg)
{
	host_self = arg;
	pthread_setname_np(pthread_self(), host_self->ht_name);
	host_crash_stack(true);
	host_self->ht_fn(host_self->ht_arg);
	host_crash_stack(false);
	return NULL;
}

static int
free_create(struct host_thread **htp, const char *name, void (*fn)(void *), void *arg)
{
	struct host_thread *ht = calloc(1, sizeof(*ht));
	pthread_attr_t attr;
	int error;

	if (ht == NULL)
		return ENOMEM;
	race_atomic(ht, sizeof(*ht));
	ht->ht_fn = fn;
	ht->ht_arg = arg;
	strncpy(ht->ht_name, name, sizeof(ht->ht_name) - 1);
	*htp = ht;			/* the new thread may look for it */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, HOST_STACK_BYTES);
	error = pthread_create(&ht->ht_thread, &attr, thread_main, ht);
	pthread_attr_destroy(&attr);
	if (error != 0) {
		*htp = NULL;
		free(ht);
	}
	return error;
}

static void
free_join(struct host_thread *ht)
{
	pthread_join(ht->ht_thread, NULL);
	free(ht);
}

struct host_thread *
host_thread_self(void)
{
	static __thread struct host_thread adopted;

	if (host_self == NULL) {
		race_atomic(&adopted, sizeof(adopted));
		race_atomic(&yields, sizeof(yields));
		race_atomic(&host_ways_wanted, sizeof(host_ways_wanted));
		adopted.ht_thread = pthread_self();
		host_self = &adopted;
	}
	return host_self;
}

/* --- what others do --- */

#if UVMSTRESS_TSAN
void	AnnotateIgnoreReadsBegin(const char *, int);
void	AnnotateIgnoreReadsEnd(const char *, int);
#else
#define	AnnotateIgnoreReadsBegin(file, line)	(void)0
#define	AnnotateIgnoreReadsEnd(file, line)	(void)0
#endif

void
host_racy_begin(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
}

void
host_racy_end(void)
{
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

#define	ANSWER_NS	1000000000
#define	ANSWER_STEP_NS	100000

static struct {
	struct host_thread *of;		/* @ who is to answer */
	int		    n;		/* @ -1: no answer yet */
	void		   *pcs[HOST_BACKTRACE_MAX]; /* his until he has answered */
} asked;

static void
on_asked(int sig)
{
	const int saved = errno;
	const struct host_thread *of = __atomic_load_n(&asked.of, __ATOMIC_ACQUIRE);
	int n;

	/* Not whoever answers so late that somebody else has been asked. */
	if (of != NULL && (of == host_self || (sched_mine() && sched_carrier() != NULL && of->ht_controlled))) {
		n = of == host_self ? host_backtrace(asked.pcs, HOST_BACKTRACE_MAX, 2) :
		    carry_backtrace(of, asked.pcs, HOST_BACKTRACE_MAX);
		/* release: pairs with the acquire in host_thread_backtrace() */
		__atomic_store_n(&asked.n, n, __ATOMIC_RELEASE);
	}
	errno = saved;
}

int
host_thread_backtrace(struct host_thread *ht, void **pcs, int max)
{
	struct sigaction sa = { .sa_handler = on_asked, .sa_flags = SA_RESTART };
	uint64_t until = host_wall_ns() + ANSWER_NS;
	static int asking;		/* atomic */
	/* Who is carried does not run, or it is the carrier that runs: that one knows all of them. */
	const struct host_thread *who = ht->ht_controlled ? sched_carrier() : NULL;
	int n;

	/* acquire: pairs with the release below */
	if (UVMSTRESS_TSAN || __atomic_exchange_n(&asking, 1, __ATOMIC_ACQUIRE) != 0)
		return 0;
	__atomic_store_n(&asked.n, -1, __ATOMIC_RELAXED);
	/* release: pairs with the acquire in on_asked() */
	__atomic_store_n(&asked.of, ht, __ATOMIC_RELEASE);
	if (sigaction(SIGUSR2, &sa, NULL) != 0 ||
	    pthread_kill(who != NULL ? who->ht_thread : ht->ht_thread, SIGUSR2) != 0)
		__atomic_store_n(&asked.n, 0, __ATOMIC_RELAXED);
	while ((n = __atomic_load_n(&asked.n, __ATOMIC_ACQUIRE)) < 0 && host_wall_ns() < until)
		nanosleep(&(struct timespec){ .tv_nsec = ANSWER_STEP_NS }, NULL);
	__atomic_store_n(&asked.of, NULL, __ATOMIC_RELAXED);
	if (n > max)
		n = max;
	if (n > 0)
		memcpy(pcs, asked.pcs, (size_t)n * sizeof(*pcs));
	__atomic_store_n(&asking, 0, __ATOMIC_RELEASE);
	return n > 0 ? n : 0;
}

void
futex_wait(uint32_t *word, uint32_t value, const struct timespec *deadline)
{
	/* Absolute, so that a signal does not lengthen the wait; errors mean: look again. */
	long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline, NULL,
	    FUTEX_BITSET_MATCH_ANY);

	/* ThreadSanitizer has a signal's handler run in the next call of a kind that it knows */
	if (UVMSTRESS_TSAN && rc != 0 && errno == EINTR)
		nanosleep(&(struct timespec){ 0 }, NULL);
}

void
futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool
take_token(struct host_thread *ht)
{
	/* acquire: pairs with the release in host_unpark() */
	if (__atomic_exchange_n(&ht->ht_token, 0, __ATOMIC_ACQUIRE) == 0)
		return false;
	race_acquire(&ht->ht_token);
	return true;
}

static void
free_park(void)
{
	struct host_thread *ht = host_thread_self();

	while (!take_token(ht))
		futex_wait(&ht->ht_token, 0, NULL);
}

static bool
free_park_until(uint64_t deadline_ns)
{
	struct host_thread *ht = host_thread_self();
	const struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};

	while (!take_token(ht)) {
		if (host_wall_ns() >= deadline_ns)
			return false;
		futex_wait(&ht->ht_token, 0, &ts);
	}
	return true;
}

static void
free_unpark(struct host_thread *ht)
{
	race_release(&ht->ht_token);
	/* release: pairs with take_token(); what the waker did is seen by the woken */
	if (__atomic_exchange_n(&ht->ht_token, 1, __ATOMIC_RELEASE) == 0)
		futex_wake(&ht->ht_token);
}

static void
free_relax(unsigned *spins, bool ask)
{
	if (++*spins < PAUSES) {
		__builtin_ia32_pause();
		return;
	}
	__atomic_fetch_add(&yields, 1, __ATOMIC_RELAXED);
	/* relaxed: a request, see host_give_way() */
	if (ask)
		__atomic_store_n(&host_ways_wanted, WAYS, __ATOMIC_RELAXED);
	sched_yield();
}

void
host_give_way_now(void)
{
	/* Two at once may count one: no matter. */
	__atomic_store_n(&host_ways_wanted,
	    __atomic_load_n(&host_ways_wanted, __ATOMIC_RELAXED) - 1, __ATOMIC_RELAXED);
	sched_yield();
}

uint64_t
host_spin_yields(void)
{
	return __atomic_load_n(&yields, __ATOMIC_RELAXED);
}

void
host_lock(struct host_lock *hl)
{
	unsigned spins = 0;

	/* Not masked while it spins: whoever has the lock may be waiting for our answer. */
	while (!host_trylock(hl))
		host_spin(&spins);
}

bool
host_trylock(struct host_lock *hl)
{
	host_mask();
	race_atomic(&hl->hl_word, sizeof(hl->hl_word));
	/* acquire: pairs with the release in host_unlock() */
	if (__atomic_load_n(&hl->hl_word, __ATOMIC_RELAXED) == 0 &&
	    __atomic_exchange_n(&hl->hl_word, 1, __ATOMIC_ACQUIRE) == 0) {
		race_lock_got(hl, RACE_WRITE);
		return true;
	}
	host_unmask();
	return false;
}

void
host_unlock(struct host_lock *hl)
{
	race_lock_drop(hl, RACE_WRITE);
	__atomic_store_n(&hl->hl_word, 0, __ATOMIC_RELEASE);
	host_unmask();
}

bool
host_lock_held(const struct host_lock *hl)
{
	return __atomic_load_n(&hl->hl_word, __ATOMIC_RELAXED) != 0;
}

uint64_t
host_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
host_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- the floor: free, or a schedule's --- */

const struct host_floor host_floor_free = {
	.hf_create = free_create,
	.hf_join = free_join,
	.hf_park = free_park,
	.hf_park_until = free_park_until,
	.hf_unpark = free_unpark,
	.hf_relax = free_relax,
	.hf_now = host_wall_ns,
};

const struct host_floor *host_floor = &host_floor_free;

int
host_thread_create(struct host_thread **htp, const char *name, void (*fn)(void *), void *arg)
{
	return host_floor->hf_create(htp, name, fn, arg);
}

int
host_thread_create_parked(struct host_thread **htp, const char *name, void (*fn)(void *), void *arg)
{
	int error = host_floor->hf_create(htp, name, fn, arg);

	if (error == 0 && (*htp)->ht_controlled)
		sched_put_off(*htp);
	return error;
}

int
host_thread_create_beside(struct host_thread **htp, const char *name, void (*fn)(void *), void *arg)
{
	return free_create(htp, name, fn, arg);
}

void
host_thread_join(struct host_thread *ht)
{
	host_floor->hf_join(ht);
}

void
host_park(void)
{
	host_floor->hf_park();
}

bool
host_park_until(uint64_t deadline_ns)
{
	return host_floor->hf_park_until(deadline_ns);
}

void
host_unpark(struct host_thread *ht)
{
	host_floor->hf_unpark(ht);
}

void
host_relax(unsigned *spins)
{
	host_floor->hf_relax(spins, true);
}

void
host_spin(unsigned *spins)
{
	host_floor->hf_relax(spins, false);
}

uint64_t
host_now_ns(void)
{
	return host_floor->hf_now();
}
