/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Semaphores.  Who has waited for one may hold it, as a lock, until he posts it; when
 * somebody else posts, it was none.  See pre_event.c.
 */
#include "pre_int.h"

static void
wanted(sem_t *s, const void *where)
{
	const int saved = errno;
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object(t, s, PRE_SEM, where);
	if (o != NULL) {
		pre_sleeps(t, "waits for a semaphore");
		pre_event_wait(t, o);
		if (t->pt_nsems != 0)
			pre_event_needs(t, o);
	}
	pre_leave(t);
	errno = saved;
}

static int
got(sem_t *s, int rc, const void *where)
{
	const int saved = errno;
	struct pre_thread *t;
	struct pre_object *o;

	if (rc != 0 || (t = pre_enter()) == NULL)
		return rc;
	o = pre_object(t, s, PRE_SEM, where);
	if (o != NULL && o->po_value != 0 && !o->po_foreign) {
		__atomic_store_n(&o->po_taken, o->po_taken + 1, __ATOMIC_RELAXED);
		if (t->pt_nsems == PRE_SEMS) {		/* the oldest is none, or is lost */
			t->pt_nsems--;
			for (int i = 0; i < t->pt_nsems; i++)
				t->pt_sems[i] = t->pt_sems[i + 1];
		}
		t->pt_sems[t->pt_nsems++] = o;
	}
	pre_leave(t);
	errno = saved;
	return rc;
}

static void
posted(sem_t *s, const void *where)
{
	const int saved = errno;
	struct pre_thread *t = pre_enter();
	struct pre_object *o;
	int i;

	if (t == NULL)
		return;
	o = pre_object(t, s, PRE_SEM, where);
	if (o != NULL) {
		for (i = t->pt_nsems - 1; i >= 0 && t->pt_sems[i] != o; i--)
			;
		if (i >= 0) {
			t->pt_nsems--;
			for (; i < t->pt_nsems; i++)
				t->pt_sems[i] = t->pt_sems[i + 1];
		} else {
			if (!o->po_foreign)
				__atomic_store_n(&o->po_foreign, true, __ATOMIC_RELAXED);
			pre_event_end(t, o);
		}
	}
	pre_leave(t);
	errno = saved;
}

PRE_EXPORT int
sem_init(sem_t *s, int shared, unsigned value)
{
	struct pre_thread *t;
	struct pre_object *o;
	int rc;

	PRE_READY(sem_init, 0);
	rc = real.sem_init(s, shared, value);
	if (rc == 0 && (t = pre_enter()) != NULL) {
		o = pre_object_init(t, s, PRE_SEM);
		if (o != NULL) {
			o->po_value = value;
			o->po_known = shared == 0;	/* else other processes post it, unseen */
		}
		pre_leave(t);
	}
	return rc;
}

PRE_EXPORT int
sem_destroy(sem_t *s)
{
	struct pre_thread *t;
	struct pre_object *o;

	PRE_READY(sem_destroy, 0);
	if ((t = pre_enter()) != NULL) {
		if ((o = pre_object_find(s)) != NULL && o->po_kind == PRE_SEM)
			pre_object_retire(o);
		pre_leave(t);
	}
	return real.sem_destroy(s);
}

PRE_EXPORT int
sem_wait(sem_t *s)
{
	PRE_READY(sem_wait, 0);
	wanted(s, CALLER);
	return got(s, real.sem_wait(s), CALLER);
}

PRE_EXPORT int
sem_trywait(sem_t *s)
{
	PRE_READY(sem_trywait, 0);
	return got(s, real.sem_trywait(s), CALLER);
}

PRE_EXPORT int
sem_timedwait(sem_t *s, const struct timespec *until)
{
	PRE_READY(sem_timedwait, 0);
	return got(s, real.sem_timedwait(s, until), CALLER);
}

PRE_EXPORT int
sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *until)
{
	PRE_READY(sem_clockwait, 0);
	return got(s, real.sem_clockwait(s, clock, until), CALLER);
}

PRE_EXPORT int
sem_post(sem_t *s)
{
	PRE_READY(sem_post, 0);
	posted(s, CALLER);
	return real.sem_post(s);
}
