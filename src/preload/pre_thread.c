/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Threads: the state of one from its first call to its end; what it may not do with locks
 * in hand: end, sleep, join somebody who needs them.
 */
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pre_int.h"

__thread struct pre_thread *pre_self __attribute__((tls_model("initial-exec")));
bool pre_on, pre_stop;

static __thread bool ended __attribute__((tls_model("initial-exec")));
static __thread bool attaching __attribute__((tls_model("initial-exec")));
static struct pre_lock lock;
static struct pre_thread *spare;	/* t: thread lock */
static uint32_t runners;		/* t */
static pid_t process;			/* : but for fork() */
static pthread_key_t key;		/* : whose destructor sees threads end */

/* The C library calls destructors as often as this, as long as there is something to destroy. */
#define LAST_ROUND PTHREAD_DESTRUCTOR_ITERATIONS
static __thread int rounds __attribute__((tls_model("initial-exec")));

bool
pre_my_process(void)
{
	return getpid() == process;
}

struct pre_thread *
pre_attach(void)
{
	const int saved = errno;
	struct pre_thread *t;

	if (!pre_on || ended || attaching)
		return NULL;
	attaching = true;		/* a handler that comes meanwhile passes through */
	__asm__ volatile("" ::: "memory");
	pre_lock(&lock);
	if ((t = spare) != NULL)
		spare = t->pt_next;
	pre_unlock(&lock);
	if (t != NULL)
		memset(t, 0, sizeof(*t));
	else if ((t = pre_alloc(sizeof(*t))) == NULL)
		return NULL;
	t->pt_tid = (int)syscall(SYS_gettid);
	t->pt_self = pthread_self();
	pre_lock(&lock);
	t->pt_held.hs_runner = ++runners;
	pre_unlock(&lock);
	(void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &t->pt_blocked, sizeof(t->pt_blocked));
	pthread_setspecific(key, t);
	pre_self = t;
	__asm__ volatile("" ::: "memory");
	attaching = false;
	errno = saved;
	return t;
}

static void
judge_end(struct pre_thread *t)
{
	pre_forget_stale(t);
	for (int i = t->pt_held.hs_n - 1; i >= 0; i--) {
		struct pre_object *o = pre_object_find(t->pt_held.hs_v[i].hl_lock);

		if (o == NULL)
			continue;
		if (!o->po_robust)
			pre_mistake_at(lockorder_held_trace(&t->pt_held.hs_v[i]), "exit-while-held", o,
			    "taken here by a thread that ended with it");
		__atomic_store_n(&o->po_owner, NULL, __ATOMIC_RELAXED);
	}
}

/* The program's own destructors may still release something: ours is the last. */
static void
thread_ends(void *arg)
{
	struct pre_thread *t = arg;

	if (++rounds < LAST_ROUND) {
		pthread_setspecific(key, t);
		return;
	}
	if (t->pt_busy != 0)
		return;
	t->pt_busy = 1;
	judge_end(t);
	held_fini(&t->pt_held);
	if (t->pt_dump)
		pre_flush(t);
	ended = true;
	pre_self = NULL;
	pre_lock(&lock);
	t->pt_next = spare;
	spare = t;
	pre_unlock(&lock);
}

void
pre_flush(struct pre_thread *t)
{
	const int saved = errno;

	t->pt_dump = false;
	pre_dump();
	if (pre_stop) {
		static const char told[] = "uvmstress: stopped at the first finding\n";

		(void)!write(STDERR_FILENO, told, sizeof(told) - 1);
		real._exit(1);
	}
	errno = saved;
}

static void __attribute__((constructor))
begin(void)
{
	if (!pre_real_init() || pthread_key_create(&key, thread_ends) != 0)
		return;
	process = getpid();
	lockorder_init(&pre_env);
	pre_signal_init();
	pre_on = true;
	pre_dump_init();
}

void
pre_finish(void)
{
	struct pre_thread *t;

	if (!pre_on || !pre_my_process() || (t = pre_enter()) == NULL)
		return;
	pre_event_judge();
	pre_dump();
	t->pt_dump = false;
	t->pt_busy = 0;
}

static void __attribute__((destructor))
end(void)
{
	pre_finish();
}

PRE_EXPORT void
_exit(int status)
{
	if (real._exit != NULL || pre_real_init()) {
		pre_finish();
		real._exit(status);
	}
	for (;;)
		syscall(SYS_exit_group, status);
}

PRE_EXPORT void
_Exit(int status)
{
	_exit(status);
}

/*
 * fork.  Another thread may be in here at that moment; in the child it is gone, and what it
 * had begun stays half done.  To wait for it before the fork would be to wait with the
 * locks of the program's own pthread_atfork() handlers in hand; so in that rare case the
 * child is not audited.
 */
static void
child(struct pre_thread *t)
{
	process = getpid();
	t->pt_forked_tid = t->pt_tid;
	t->pt_tid = (int)syscall(SYS_gettid);
	if (__atomic_load_n(&lock.l_word, __ATOMIC_RELAXED) != 0 || pre_engine_busy() ||
	    pre_objects_busy() || pre_events_busy()) {
		pre_on = false;			/* and pt_busy stays set */
		return;
	}
	pre_dump_fork();
	t->pt_busy = 0;
}

PRE_EXPORT pid_t
fork(void)
{
	struct pre_thread *t;
	pid_t pid;
	int saved;

	PRE_READY(fork, -1);
	if ((t = pre_enter()) == NULL)
		return real.fork();
	/* The program's own handlers pass through: what they take they also give back. */
	pid = real.fork();
	saved = errno;
	if (pid == 0)
		child(t);
	else
		pre_leave(t);
	errno = saved;
	return pid;
}

/* --- sleep --- */

static void
sleeps(const char *what)
{
	struct pre_thread *t = pre_self;

	if (t == NULL || t->pt_spins == 0 || (t = pre_enter()) == NULL)
		return;
	pre_sleeps(t, what);
	pre_leave(t);
}

PRE_EXPORT int
nanosleep(const struct timespec *time, struct timespec *left)
{
	PRE_READY(nanosleep, 0);
	sleeps("nanosleep()");
	return real.nanosleep(time, left);
}

PRE_EXPORT int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
	PRE_READY(clock_nanosleep, 0);
	sleeps("clock_nanosleep()");
	return real.clock_nanosleep(clock, flags, time, left);
}

PRE_EXPORT int
usleep(useconds_t us)
{
	PRE_READY(usleep, 0);
	sleeps("usleep()");
	return real.usleep(us);
}

PRE_EXPORT unsigned
sleep(unsigned s)
{
	PRE_READY(sleep, 0);
	sleeps("sleep()");
	return real.sleep(s);
}

PRE_EXPORT int
pthread_barrier_wait(pthread_barrier_t *b)
{
	PRE_READY(pthread_barrier_wait, 0);
	sleeps("pthread_barrier_wait()");
	return real.pthread_barrier_wait(b);
}

PRE_EXPORT int
pthread_join(pthread_t who, void **result)
{
	struct pre_thread *t;
	int error;

	PRE_READY(pthread_join, 0);
	t = pre_enter();
	if (t == NULL)
		return real.pthread_join(who, result);
	pre_sleeps(t, "pthread_join()");
	t->pt_join = who;
	/* release: pairs with the acquire in judge_join() */
	__atomic_store_n(&t->pt_joining, 1, __ATOMIC_RELEASE);
	pre_leave(t);
	error = real.pthread_join(who, result);
	__atomic_store_n(&t->pt_joining, 0, __ATOMIC_RELEASE);
	return error;
}
