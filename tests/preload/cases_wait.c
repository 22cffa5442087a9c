/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Waits that are no lock's: condition variables, semaphores, joins.
 */
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER,
    m = PTHREAD_MUTEX_INITIALIZER, n = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER, cw = PTHREAD_COND_INITIALIZER;
static sem_t s, u;

/* Waits for a moment: what matters is what it holds. */
static void
wait_a_moment(pthread_cond_t *c, pthread_mutex_t *with)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_REALTIME, &ts));
	ts.tv_nsec += 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	LOCK(with);
	(void)pthread_cond_timedwait(c, with, &ts);
	UNLOCK(with);
}

static void *
wait_holding_a(void *arg)
{
	LOCK(&a);
	wait_a_moment(&cv, &m);
	UNLOCK(&a);
	return arg;
}

static void *
wait_plain(void *arg)
{
	wait_a_moment(&cv, &m);
	return arg;
}

static void *
signal_holding_a(void *arg)
{
	LOCK(&a);
	LOCK(&m);
	must(pthread_cond_signal(&cv));
	UNLOCK(&m);
	UNLOCK(&a);
	return arg;
}

static void *
signal_plain(void *arg)
{
	LOCK(&m);
	must(pthread_cond_signal(&cv));
	UNLOCK(&m);
	return arg;
}

/* Whoever is to signal needs a first, and never gets it. */
static void
cond_outer_lock(void)
{
	in_thread(signal_holding_a, NULL);
	in_thread(wait_holding_a, NULL);
}

/* It may be unwise to wait so, but who signals does not need a. */
static void
cond_outer_lock_unneeded(void)
{
	in_thread(signal_plain, NULL);
	in_thread(wait_holding_a, NULL);
}

static void
cond_plain(void)
{
	in_thread(signal_holding_a, NULL);
	in_thread(wait_plain, NULL);
}

/* Some signals come with a held, others do not need it. */
static void
cond_two_signallers(void)
{
	in_thread(signal_holding_a, NULL);
	in_thread(wait_holding_a, NULL);
	in_thread(signal_plain, NULL);
}

/* Taken after m, and still held when m is taken again at the end of the wait. */
static void
cond_retakes(void)
{
	struct timespec ts = { 0, 0 };

	LOCK(&m);
	LOCK(&a);
	(void)pthread_cond_timedwait(&cv, &m, &ts);
	UNLOCK(&a);
	UNLOCK(&m);
}

static void
cond_retakes_first(void)
{
	struct timespec ts = { 0, 0 };

	LOCK(&a);
	LOCK(&m);
	(void)pthread_cond_timedwait(&cv, &m, &ts);
	UNLOCK(&m);
	UNLOCK(&a);
}

static void
cond_without_mutex(void)
{
	struct timespec ts = { 0, 0 };

	(void)pthread_cond_timedwait(&cv, &m, &ts);
}

/* --- events in a circle --- */

static void *
wait_cv_holding_a(void *arg)
{
	LOCK(&a);
	wait_a_moment(&cv, &m);
	UNLOCK(&a);
	return arg;
}

static void *
wait_cw_holding_b(void *arg)
{
	LOCK(&b);
	wait_a_moment(&cw, &n);
	UNLOCK(&b);
	return arg;
}

static void *
signal_cv_holding_b(void *arg)
{
	LOCK(&b);
	must(pthread_cond_signal(&cv));
	UNLOCK(&b);
	return arg;
}

static void *
signal_cw_holding_a(void *arg)
{
	LOCK(&a);
	must(pthread_cond_signal(&cw));
	UNLOCK(&a);
	return arg;
}

static void *
signal_cw(void *arg)
{
	must(pthread_cond_signal(&cw));
	return arg;
}

/* a is held for cv, which needs b, held for cw, which needs a. */
static void
event_cycle(void)
{
	in_thread(signal_cv_holding_b, NULL);
	in_thread(signal_cw_holding_a, NULL);
	in_thread(wait_cv_holding_a, NULL);
	in_thread(wait_cw_holding_b, NULL);
}

static void
event_chain(void)
{
	in_thread(signal_cv_holding_b, NULL);
	in_thread(signal_cw, NULL);
	in_thread(wait_cv_holding_a, NULL);
	in_thread(wait_cw_holding_b, NULL);
}

/* --- semaphores as locks --- */

static void *
a_then_s(void *arg)
{
	LOCK(&a);
	must(sem_wait(&s));
	must(sem_post(&s));
	UNLOCK(&a);
	return arg;
}

static void *
s_then_a(void *arg)
{
	must(sem_wait(&s));
	LOCK(&a);
	UNLOCK(&a);
	must(sem_post(&s));
	return arg;
}

static void
sem_mutex_cycle(void)
{
	must(sem_init(&s, 0, 1));
	in_thread(a_then_s, NULL);
	in_thread(s_then_a, NULL);
}

static void
sem_mutex_order(void)
{
	must(sem_init(&s, 0, 1));
	in_thread(a_then_s, NULL);
	in_thread(a_then_s, NULL);
}

/* Two units: it takes two to exhaust it. */
static void
sem_counting(void)
{
	must(sem_init(&s, 0, 2));
	in_thread(a_then_s, NULL);
	in_thread(s_then_a, NULL);
}

static void *
s_then_u(void *arg)
{
	must(sem_wait(&s));
	must(sem_wait(&u));
	must(sem_post(&u));
	must(sem_post(&s));
	return arg;
}

static void *
u_then_s(void *arg)
{
	must(sem_wait(&u));
	must(sem_wait(&s));
	must(sem_post(&s));
	must(sem_post(&u));
	return arg;
}

static void
sem_sem_cycle(void)
{
	must(sem_init(&s, 0, 1));
	must(sem_init(&u, 0, 1));
	in_thread(s_then_u, NULL);
	in_thread(u_then_s, NULL);
}

static void
sem_sem_order(void)
{
	must(sem_init(&s, 0, 1));
	must(sem_init(&u, 0, 1));
	in_thread(s_then_u, NULL);
	in_thread(s_then_u, NULL);
}

static void *
s_then_u_keeps_s(void *arg)
{
	must(sem_wait(&s));
	must(sem_wait(&u));
	must(sem_post(&u));
	return arg;
}

static void *
u_then_s_keeps_s(void *arg)
{
	must(sem_wait(&u));
	must(sem_wait(&s));
	must(sem_post(&u));
	return arg;
}

static void *
post_s(void *arg)
{
	must(sem_post(&s));
	return arg;
}

/* It begins at 1 like a lock, but others post it: then nobody held it. */
static void
sem_handed_over(void)
{
	must(sem_init(&s, 0, 1));
	must(sem_init(&u, 0, 1));
	in_thread(s_then_u_keeps_s, NULL);
	in_thread(post_s, NULL);
	in_thread(u_then_s_keeps_s, NULL);
}

/* --- semaphores as events --- */

static void *
post_holding_a(void *arg)
{
	LOCK(&a);
	must(sem_post(&s));
	UNLOCK(&a);
	return arg;
}

static void *
post_plain(void *arg)
{
	must(sem_post(&s));
	return arg;
}

static void *
wait_s_holding_a(void *arg)
{
	LOCK(&a);
	must(sem_wait(&s));
	UNLOCK(&a);
	return arg;
}

/* Had it come first, nobody could have posted. */
static void
sem_event_cycle(void)
{
	must(sem_init(&s, 0, 0));
	in_thread(post_holding_a, NULL);
	in_thread(wait_s_holding_a, NULL);
}

static void
sem_event(void)
{
	must(sem_init(&s, 0, 0));
	in_thread(post_plain, NULL);
	in_thread(wait_s_holding_a, NULL);
}

#define ITEMS 200

static void *
produce(void *arg)
{
	for (int i = 0; i < ITEMS; i++) {
		must(sem_wait(&u));
		LOCK(&a);
		UNLOCK(&a);
		must(sem_post(&s));
	}
	return arg;
}

static void *
consume(void *arg)
{
	for (int i = 0; i < ITEMS; i++) {
		must(sem_wait(&s));
		LOCK(&a);
		UNLOCK(&a);
		must(sem_post(&u));
	}
	return arg;
}

/* What semaphores are for: full ones here, empty ones there, a mutex for the buffer. */
static void
producer_consumer(void)
{
	pthread_t t;

	must(sem_init(&s, 0, 0));
	must(sem_init(&u, 0, 4));
	must(pthread_create(&t, NULL, produce, NULL));
	consume(NULL);
	must(pthread_join(t, NULL));
}

static int tokens;

static void *
ping(void *arg)
{
	LOCK(&m);
	for (int i = 0; i < ITEMS; i++) {
		while (tokens % 2 != (arg != NULL))
			must(pthread_cond_wait(&cv, &m));
		tokens++;
		must(pthread_cond_broadcast(&cv));
	}
	UNLOCK(&m);
	return NULL;
}

static void
ping_pong(void)
{
	pthread_t t;

	must(pthread_create(&t, NULL, ping, &tokens));
	ping(NULL);
	must(pthread_join(t, NULL));
}

/* --- joins --- */

static int in_join;

static void *
needs_a(void *arg)
{
	/* The other one holds a already, and is in its join by then. */
	while (!__atomic_load_n(&in_join, __ATOMIC_ACQUIRE))
		;
	until_main_sleeps();
	LOCK(&a);
	UNLOCK(&a);
	return arg;
}

/* Hangs; the finding must be there although the process is killed. */
static void
join_needs_lock(void)
{
	pthread_t t;

	LOCK(&a);
	must(pthread_create(&t, NULL, needs_a, NULL));
	killed_asleep();
	__atomic_store_n(&in_join, 1, __ATOMIC_RELEASE);
	must(pthread_join(t, NULL));
}

static void
join_plain(void)
{
	pthread_t t;

	LOCK(&a);
	must(pthread_create(&t, NULL, needs_a, NULL));
	UNLOCK(&a);
	__atomic_store_n(&in_join, 1, __ATOMIC_RELEASE);
	must(pthread_join(t, NULL));
}

const struct preload_case wait_cases[] = {
	{ "cond_outer_lock", "lock-cycle", "unconfirmed", cond_outer_lock, "cond_outer_lock_unneeded" },
	{ "cond_outer_lock_unneeded", NULL, NULL, cond_outer_lock_unneeded, NULL },
	{ "cond_plain", NULL, NULL, cond_plain, NULL },
	{ "cond_two_signallers", NULL, NULL, cond_two_signallers, NULL },
	{ "cond_retakes", "lock-cycle", "latent", cond_retakes, "cond_retakes_first" },
	{ "cond_retakes_first", NULL, NULL, cond_retakes_first, NULL },
	{ "cond_without_mutex", "wait-without-mutex", "none", cond_without_mutex, "cond_plain" },
	{ "event_cycle", "lock-cycle", "unconfirmed", event_cycle, "event_chain" },
	{ "event_chain", NULL, NULL, event_chain, NULL },
	{ "sem_mutex_cycle", "lock-cycle", "unconfirmed", sem_mutex_cycle, "sem_mutex_order" },
	{ "sem_mutex_order", NULL, NULL, sem_mutex_order, NULL },
	{ "sem_counting", NULL, NULL, sem_counting, NULL },
	{ "sem_sem_cycle", "lock-cycle", "unconfirmed", sem_sem_cycle, "sem_sem_order" },
	{ "sem_sem_order", NULL, NULL, sem_sem_order, NULL },
	{ "sem_handed_over", NULL, NULL, sem_handed_over, NULL },
	{ "sem_event_cycle", "lock-cycle", "unconfirmed", sem_event_cycle, "sem_event" },
	{ "sem_event", NULL, NULL, sem_event, NULL },
	{ "producer_consumer", NULL, NULL, producer_consumer, NULL },
	{ "ping_pong", NULL, NULL, ping_pong, NULL },
	{ "join_needs_lock", "join-deadlock", "none", join_needs_lock, "join_plain" },
	{ "join_plain", NULL, NULL, join_plain, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
