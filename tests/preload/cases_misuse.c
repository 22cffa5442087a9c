/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One lock, used wrongly.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t rec = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
    checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER,
    fair = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_spinlock_t spin;

static struct timespec
soon(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_REALTIME, &ts));
	ts.tv_nsec += 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* --- recursion --- */

static void
relock_timed(void)
{
	struct timespec ts = soon();

	LOCK(&a);
	if (pthread_mutex_timedlock(&a, &ts) != ETIMEDOUT)
		abort();
	UNLOCK(&a);
}

/* Really hangs; the finding must be there although the process is killed. */
static void
relock_hangs(void)
{
	LOCK(&a);
	killed_asleep();
	(void)pthread_mutex_lock(&a);
}

static void
relock_recursive(void)
{
	LOCK(&rec);
	LOCK(&rec);
	LOCK(&a);
	UNLOCK(&rec);
	UNLOCK(&rec);
	UNLOCK(&a);
}

static void
relock_checked(void)
{
	LOCK(&checked);
	if (pthread_mutex_lock(&checked) != EDEADLK)
		abort();
	UNLOCK(&checked);
}

static void
relock_tried(void)
{
	LOCK(&a);
	if (pthread_mutex_trylock(&a) != EBUSY)
		abort();
	UNLOCK(&a);
}

/* A recursive mutex is held until its last release. */
static void *
rec_then_a(void *arg)
{
	LOCK(&rec);
	LOCK(&rec);
	UNLOCK(&rec);
	LOCK(&a);
	UNLOCK(&a);
	UNLOCK(&rec);
	return arg;
}

static void *
a_then_rec(void *arg)
{
	LOCK(&a);
	LOCK(&rec);
	UNLOCK(&rec);
	UNLOCK(&a);
	return arg;
}

static void
recursive_abba(void)
{
	in_thread(rec_then_a, NULL);
	in_thread(a_then_rec, NULL);
}

static void
upgrade(void)
{
	struct timespec ts = soon();

	RDLOCK(&rw);
	if (pthread_rwlock_timedwrlock(&rw, &ts) == 0)
		abort();
	killed_asleep();
	(void)pthread_rwlock_wrlock(&rw);
}

static void
read_twice_fair(void)
{
	RDLOCK(&fair);
	RDLOCK(&fair);
	RWUNLOCK(&fair);
	RWUNLOCK(&fair);
}

static void
read_twice(void)
{
	RDLOCK(&rw);
	RDLOCK(&rw);
	RWUNLOCK(&rw);
	RWUNLOCK(&rw);
}

/* --- wrong release --- */

static void *
lock_a(void *arg)
{
	LOCK(&a);
	return arg;
}

static void *
unlock_a(void *arg)
{
	UNLOCK(&a);
	return arg;
}

static void
unlock_by_other(void)
{
	LOCK(&a);
	in_thread(unlock_a, NULL);
}

static void
unlock_free(void)
{
	LOCK(&a);
	UNLOCK(&a);
	(void)pthread_mutex_unlock(&a);
}

static void
unlock_by_owner(void)
{
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&a);
	UNLOCK(&b);
}

static void *
unlock_checked_fails(void *arg)
{
	if (pthread_mutex_unlock(&checked) != EPERM)
		abort();
	return arg;
}

static void
unlock_checked_by_other(void)
{
	LOCK(&checked);
	in_thread(unlock_checked_fails, NULL);
	UNLOCK(&checked);
}

static void *
rwunlock(void *arg)
{
	RWUNLOCK(&rw);
	return arg;
}

static void
rwunlock_by_other(void)
{
	WRLOCK(&rw);
	in_thread(rwunlock, NULL);
}

static void
rwunlock_by_owner(void)
{
	WRLOCK(&rw);
	RWUNLOCK(&rw);
	RDLOCK(&rw);
	RWUNLOCK(&rw);
}

/* --- destroyed, freed, made again --- */

struct holder {
	pthread_mutex_t h_lock;
	char h_rest[100];
};

static struct holder *
make_holder(void)
{
	struct holder *h = calloc(1, sizeof(*h));

	must(pthread_mutex_init(&h->h_lock, NULL));
	return h;
}

static void
destroy_held(void)
{
	struct holder *h = make_holder();

	LOCK(&h->h_lock);
	(void)pthread_mutex_destroy(&h->h_lock);
}

static void
destroy_released(void)
{
	struct holder *h = make_holder();

	LOCK(&h->h_lock);
	UNLOCK(&h->h_lock);
	must(pthread_mutex_destroy(&h->h_lock));
	free(h);
}

static void
use_destroyed(void)
{
	struct holder *h = make_holder();

	must(pthread_mutex_destroy(&h->h_lock));
	(void)pthread_mutex_lock(&h->h_lock);
}

static void
init_again(void)
{
	struct holder *h = make_holder();

	must(pthread_mutex_destroy(&h->h_lock));
	must(pthread_mutex_init(&h->h_lock, NULL));
	LOCK(&h->h_lock);
	UNLOCK(&h->h_lock);
	free(h);
}

static void
init_held(void)
{
	struct holder *h = make_holder();

	LOCK(&h->h_lock);
	must(pthread_mutex_init(&h->h_lock, NULL));
}

static void
free_held(void)
{
	struct holder *h = make_holder();

	LOCK(&h->h_lock);
	free(h);
}

static void
free_released(void)
{
	struct holder *h = make_holder();

	LOCK(&h->h_lock);
	UNLOCK(&h->h_lock);
	free(h);			/* not destroyed: leaks nothing here */
}

static void
destroy_rwlock_held(void)
{
	pthread_rwlock_t mine;

	must(pthread_rwlock_init(&mine, NULL));
	RDLOCK(&mine);
	(void)pthread_rwlock_destroy(&mine);
}

static void
destroy_rwlock_released(void)
{
	pthread_rwlock_t mine;

	must(pthread_rwlock_init(&mine, NULL));
	RDLOCK(&mine);
	RWUNLOCK(&mine);
	must(pthread_rwlock_destroy(&mine));
}

/* --- end of a thread --- */

static void
exit_held(void)
{
	in_thread(lock_a, NULL);
}

static void *
robust_dies(void *arg)
{
	LOCK(arg);
	return NULL;
}

static void
exit_robust(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t m;

	must(pthread_mutexattr_init(&attr));
	must(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	must(pthread_mutex_init(&m, &attr));
	in_thread(robust_dies, &m);
	if (pthread_mutex_lock(&m) != EOWNERDEAD)
		abort();
	must(pthread_mutex_consistent(&m));
	UNLOCK(&m);
}

static pthread_key_t at_exit;

static void
unlock_at_exit(void *arg)
{
	UNLOCK(arg);
}

static void *
lock_until_exit(void *arg)
{
	LOCK(&a);
	must(pthread_setspecific(at_exit, &a));
	return arg;
}

/* Released by a destructor of the thread's own. */
static void
exit_destructor(void)
{
	must(pthread_key_create(&at_exit, unlock_at_exit));
	in_thread(lock_until_exit, NULL);
}

static void *
cancelled(void *arg)
{
	LOCK(&a);
	pthread_cleanup_push(unlock_at_exit, &a);
	for (;;)
		pause();
	pthread_cleanup_pop(1);
	return arg;
}

static void
exit_cancelled(void)
{
	pthread_t t;

	must(pthread_create(&t, NULL, cancelled, NULL));
	must(pthread_cancel(t));
	must(pthread_join(t, NULL));
}

/* --- spin locks --- */

static void
sleep_under_spin(void)
{
	const struct timespec ns = { 0, 1000 };

	must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	must(pthread_spin_lock(&spin));
	(void)nanosleep(&ns, NULL);
	must(pthread_spin_unlock(&spin));
}

static void
sleep_after_spin(void)
{
	const struct timespec ns = { 0, 1000 };

	must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	must(pthread_spin_lock(&spin));
	must(pthread_spin_unlock(&spin));
	(void)nanosleep(&ns, NULL);
}

static void
mutex_under_spin(void)
{
	must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	must(pthread_spin_lock(&spin));
	LOCK(&a);
	UNLOCK(&a);
	must(pthread_spin_unlock(&spin));
}

static void
spin_under_mutex(void)
{
	must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	LOCK(&a);
	must(pthread_spin_lock(&spin));
	must(pthread_spin_unlock(&spin));
	UNLOCK(&a);
}

/* --- signal handlers --- */

static void
handler_takes_a(int sig)
{
	LOCK(&a);
	UNLOCK(&a);
}

static void
handler_tries_a(int sig)
{
	if (pthread_mutex_trylock(&a) == 0)
		UNLOCK(&a);
}

static void
handler_takes_b(int sig)
{
	LOCK(&b);
	UNLOCK(&b);
}

static void
handle(int sig, void (*fn)(int))
{
	struct sigaction sa = { .sa_handler = fn };

	sigemptyset(&sa.sa_mask);
	must(sigaction(sig, &sa, NULL));
}

static void
hold_a(int blocked)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (blocked)
		must(pthread_sigmask(SIG_BLOCK, &set, NULL));
	LOCK(&a);
	UNLOCK(&a);
	if (blocked)
		must(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
}

static void
handler_open(void)
{
	handle(SIGUSR1, handler_takes_a);
	must(raise(SIGUSR1));
	hold_a(0);
}

/* The same, seen the other way round. */
static void
handler_later(void)
{
	handle(SIGUSR1, handler_takes_a);
	hold_a(0);
	must(raise(SIGUSR1));
}

static void
handler_masked(void)
{
	handle(SIGUSR1, handler_takes_a);
	must(raise(SIGUSR1));
	hold_a(1);
}

static void
handler_tries(void)
{
	handle(SIGUSR1, handler_tries_a);
	must(raise(SIGUSR1));
	hold_a(0);
}

static void
handler_other_signal(void)
{
	handle(SIGUSR1, handler_takes_a);
	handle(SIGUSR2, handler_takes_b);
	must(raise(SIGUSR1));
	must(raise(SIGUSR2));
	hold_a(1);
}

/* Unblocked while it is held. */
static void
handler_unmasked(void)
{
	sigset_t set;

	handle(SIGUSR1, handler_takes_a);
	must(raise(SIGUSR1));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	must(pthread_sigmask(SIG_BLOCK, &set, NULL));
	LOCK(&a);
	must(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	UNLOCK(&a);
}

/* What a handler takes is not taken within what the thread holds. */
static void
handler_no_order(void)
{
	handle(SIGUSR1, handler_takes_a);
	LOCK(&b);
	must(raise(SIGUSR1));
	UNLOCK(&b);
	hold_a(1);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	must(pthread_sigmask(SIG_BLOCK, &set, NULL));
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&b);
	UNLOCK(&a);
}

/* --- C11, fork --- */

static mtx_t ma, mb;

static int
mtx_ab(void *arg)
{
	must(mtx_lock(&ma));
	must(mtx_lock(&mb));
	must(mtx_unlock(&mb));
	must(mtx_unlock(&ma));
	return 0;
}

static int
mtx_ba(void *arg)
{
	must(mtx_lock(&mb));
	must(mtx_lock(&ma));
	must(mtx_unlock(&ma));
	must(mtx_unlock(&mb));
	return 0;
}

static void
mtx_two(thrd_start_t one, thrd_start_t two)
{
	thrd_t t;

	must(mtx_init(&ma, mtx_plain));
	must(mtx_init(&mb, mtx_plain));
	must(thrd_create(&t, one, NULL));
	must(thrd_join(t, NULL));
	must(thrd_create(&t, two, NULL));
	must(thrd_join(t, NULL));
}

static void c11_abba(void) { mtx_two(mtx_ab, mtx_ba); }
static void c11_abab(void) { mtx_two(mtx_ab, mtx_ab); }

static void *
ab(void *arg)
{
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&b);
	UNLOCK(&a);
	return arg;
}

static void *
ba(void *arg)
{
	LOCK(&b);
	LOCK(&a);
	UNLOCK(&a);
	UNLOCK(&b);
	return arg;
}

static void
in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

static void
child_ba(void)
{
	ba(NULL);
}

/* One way here, the other way in the child, which knows what was before. */
static void
fork_abba(void)
{
	ab(NULL);
	in_child(child_ba);
}

static void
child_release(void)
{
	UNLOCK(&a);
	LOCK(&a);
	UNLOCK(&a);
}

static void
fork_held(void)
{
	LOCK(&a);
	in_child(child_release);
	UNLOCK(&a);
}

const struct preload_case misuse_cases[] = {
	{ "relock_timed", "locking-against-myself", "none", relock_timed, "relock_tried" },
	{ "relock_hangs", "locking-against-myself", "none", relock_hangs, "relock_recursive" },
	{ "relock_recursive", NULL, NULL, relock_recursive, NULL },
	{ "relock_checked", NULL, NULL, relock_checked, NULL },
	{ "relock_tried", NULL, NULL, relock_tried, NULL },
	{ "recursive_abba", "lock-cycle", "unconfirmed", recursive_abba, "relock_recursive" },
	{ "upgrade", "locking-against-myself", "none", upgrade, "read_twice" },
	{ "read_twice_fair", "locking-against-myself", "none", read_twice_fair, "read_twice" },
	{ "read_twice", NULL, NULL, read_twice, NULL },
	{ "unlock_by_other", "unlock-not-owner", "none", unlock_by_other, "unlock_by_owner" },
	{ "unlock_free", "unlock-unlocked", "none", unlock_free, "unlock_by_owner" },
	{ "unlock_by_owner", NULL, NULL, unlock_by_owner, NULL },
	{ "unlock_checked_by_other", NULL, NULL, unlock_checked_by_other, NULL },
	{ "rwunlock_by_other", "unlock-not-owner", "none", rwunlock_by_other, "rwunlock_by_owner" },
	{ "rwunlock_by_owner", NULL, NULL, rwunlock_by_owner, NULL },
	{ "destroy_held", "destroy-while-held", "none", destroy_held, "destroy_released" },
	{ "destroy_released", NULL, NULL, destroy_released, NULL },
	{ "use_destroyed", "use-after-destroy", "none", use_destroyed, "init_again" },
	{ "init_held", "init-while-held", "none", init_held, "init_again" },
	{ "init_again", NULL, NULL, init_again, NULL },
	{ "free_held", "free-while-held", "none", free_held, "free_released" },
	{ "free_released", NULL, NULL, free_released, NULL },
	{ "destroy_rwlock_held", "destroy-while-held", "none", destroy_rwlock_held, "destroy_rwlock_released" },
	{ "destroy_rwlock_released", NULL, NULL, destroy_rwlock_released, NULL },
	{ "exit_held", "exit-while-held", "none", exit_held, "exit_destructor" },
	{ "exit_robust", NULL, NULL, exit_robust, NULL },
	{ "exit_destructor", NULL, NULL, exit_destructor, NULL },
	{ "exit_cancelled", NULL, NULL, exit_cancelled, NULL },
	{ "sleep_under_spin", "sleep-with-spin", "none", sleep_under_spin, "sleep_after_spin" },
	{ "sleep_after_spin", NULL, NULL, sleep_after_spin, NULL },
	{ "mutex_under_spin", "sleep-with-spin", "none", mutex_under_spin, "spin_under_mutex" },
	{ "spin_under_mutex", NULL, NULL, spin_under_mutex, NULL },
	{ "handler_open", "signal-inversion", "none", handler_open, "handler_masked" },
	{ "handler_later", "signal-inversion", "none", handler_later, "handler_tries" },
	{ "handler_unmasked", "signal-inversion", "none", handler_unmasked, "handler_masked" },
	{ "handler_masked", NULL, NULL, handler_masked, NULL },
	{ "handler_tries", NULL, NULL, handler_tries, NULL },
	{ "handler_other_signal", NULL, NULL, handler_other_signal, NULL },
	{ "handler_no_order", NULL, NULL, handler_no_order, NULL },
	{ "c11_abba", "lock-cycle", "unconfirmed", c11_abba, "c11_abab" },
	{ "c11_abab", NULL, NULL, c11_abab, NULL },
	{ "fork_abba", "lock-cycle", NULL, fork_abba, "fork_held" },
	{ "fork_held", NULL, NULL, fork_held, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
