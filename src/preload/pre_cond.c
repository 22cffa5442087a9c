/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Condition variables: a wait gives its mutex back and takes it again, with all else that
 * the thread holds still in hand.
 */
#include "pre_int.h"

/* One wait. */
struct wait {
	struct pre_thread *wt_thread;	/* NULL: not to be audited */
	struct pre_object *wt_cond, *wt_mutex;
	bool		 wt_held;	/* the mutex was known to be held */
	uint32_t	 wt_count;	/* how often more than once */
	const void	*wt_where;
};

static void
wait_begin(struct wait *wt, const void *c, pthread_mutex_t *m, const void *where)
{
	struct pre_thread *t = wt->wt_thread = pre_enter();
	struct held_lock *hl;

	if (t == NULL)
		return;
	wt->wt_where = where;
	wt->wt_cond = pre_object(t, c, PRE_COND, where);
	wt->wt_mutex = pre_mutex_object(t, m, where);
	if (wt->wt_cond == NULL || wt->wt_mutex == NULL) {
		pre_leave(t);
		wt->wt_thread = NULL;
		return;
	}
	hl = pre_held(t, wt->wt_mutex);
	wt->wt_held = hl != NULL;
	wt->wt_count = hl != NULL ? hl->hl_user : 0;
	if (hl != NULL) {
		hl->hl_user = 0;
		pre_release(t, wt->wt_mutex);
	} else if (!pre_mutex_mine(t, m) && !wt->wt_mutex->po_shared) {
		pre_mistake(t, "wait-without-mutex", wt->wt_mutex,
		    "a condition is waited for without holding the mutex");
	}
	pre_sleeps(t, "waits for a condition");
	pre_event_wait(t, wt->wt_cond);
	__atomic_fetch_add(&wt->wt_cond->po_holders, 1, __ATOMIC_RELAXED);
	pre_leave(t);
}

/* The mutex is held again; also when the thread is cancelled in its wait. */
static void
wait_end(void *arg)
{
	struct wait *wt = arg;
	struct pre_thread *t = wt->wt_thread;
	const int saved = errno;
	struct pre_want pw;
	struct held_lock *hl;

	if (t == NULL)
		return;
	t->pt_busy = 1;
	__asm__ volatile("" ::: "memory");
	if (__atomic_load_n(&wt->wt_cond->po_holders, __ATOMIC_RELAXED) > 0)
		__atomic_fetch_sub(&wt->wt_cond->po_holders, 1, __ATOMIC_RELAXED);
	if (wt->wt_held) {
		pre_want(t, &pw, wt->wt_mutex, LO_WRITE, wt->wt_where);
		pre_got(t, &pw);
		if (wt->wt_count != 0 && (hl = pre_held(t, wt->wt_mutex)) != NULL)
			hl->hl_user = wt->wt_count;
	}
	pre_leave(t);
	errno = saved;
}

#define WAIT(c, m, call)						\
do {									\
	struct wait wt;							\
	int error;							\
									\
	wait_begin(&wt, c, m, CALLER);					\
	pthread_cleanup_push(wait_end, &wt);				\
	error = call;							\
	pthread_cleanup_pop(1);						\
	return error;							\
} while (0)

static void
signalled(const void *c, const void *where)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object(t, c, PRE_COND, where);
	if (o != NULL)
		pre_event_end(t, o);
	pre_leave(t);
}

PRE_EXPORT int
pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
	struct pre_thread *t;
	int error;

	PRE_READY(pthread_cond_init, 0);
	error = real.pthread_cond_init(c, attr);
	if (error == 0 && (t = pre_enter()) != NULL) {
		pre_object_init(t, c, PRE_COND);
		pre_leave(t);
	}
	return error;
}

PRE_EXPORT int
pthread_cond_destroy(pthread_cond_t *c)
{
	struct pre_thread *t;
	struct pre_object *o;

	PRE_READY(pthread_cond_destroy, 0);
	if ((t = pre_enter()) != NULL) {
		if ((o = pre_object_find(c)) != NULL && o->po_kind == PRE_COND)
			pre_object_retire(o);
		pre_leave(t);
	}
	return real.pthread_cond_destroy(c);
}

PRE_EXPORT int
pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	PRE_READY(pthread_cond_wait, 0);
	WAIT(c, m, real.pthread_cond_wait(c, m));
}

PRE_EXPORT int
pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
	PRE_READY(pthread_cond_timedwait, 0);
	WAIT(c, m, real.pthread_cond_timedwait(c, m, until));
}

PRE_EXPORT int
pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
    const struct timespec *until)
{
	PRE_READY(pthread_cond_clockwait, 0);
	WAIT(c, m, real.pthread_cond_clockwait(c, m, clock, until));
}

PRE_EXPORT int
pthread_cond_signal(pthread_cond_t *c)
{
	PRE_READY(pthread_cond_signal, 0);
	signalled(c, CALLER);
	return real.pthread_cond_signal(c);
}

PRE_EXPORT int
pthread_cond_broadcast(pthread_cond_t *c)
{
	PRE_READY(pthread_cond_broadcast, 0);
	signalled(c, CALLER);
	return real.pthread_cond_broadcast(c);
}

/* --- C11 --- */

PRE_EXPORT int
cnd_wait(cnd_t *c, mtx_t *m)
{
	PRE_READY(cnd_wait, thrd_success);
	WAIT(c, (pthread_mutex_t *)m, real.cnd_wait(c, m));
}

PRE_EXPORT int
cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
	PRE_READY(cnd_timedwait, thrd_success);
	WAIT(c, (pthread_mutex_t *)m, real.cnd_timedwait(c, m, until));
}

PRE_EXPORT int
cnd_signal(cnd_t *c)
{
	PRE_READY(cnd_signal, thrd_success);
	signalled(c, CALLER);
	return real.cnd_signal(c);
}

PRE_EXPORT int
cnd_broadcast(cnd_t *c)
{
	PRE_READY(cnd_broadcast, thrd_success);
	signalled(c, CALLER);
	return real.cnd_broadcast(c);
}
