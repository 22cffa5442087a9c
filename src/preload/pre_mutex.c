/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pthread mutexes, and C11's, which are the same words under another name.
 *
 * One that nobody initialised by a call, on a stack or in memory of the program's own
 * allocator, may be made again at the same address, and no call says so.  So we write its
 * birth number into a word of it that the C library uses for robust mutexes only: whoever makes
 * it again, by PTHREAD_MUTEX_INITIALIZER or zeroes, wipes it out.
 */
#include <string.h>

#include "pre_int.h"

static uintptr_t
mark(const pthread_mutex_t *m)
{
	return (uintptr_t)__atomic_load_n(&m->__data.__list.__prev, __ATOMIC_RELAXED);
}

static void
set_mark(pthread_mutex_t *m, uintptr_t id)
{
	__atomic_store_n(&m->__data.__list.__prev, (struct __pthread_internal_list *)id, __ATOMIC_RELAXED);
}

/* The mutex' own words say what type it is, however it was initialised. */
static void
look(struct pre_object *o, pthread_mutex_t *m)
{
	const int kind = m->__data.__kind;

	if (o->po_words == kind + 1)
		return;
	o->po_type = (uint8_t)(kind & 3);
	o->po_robust = (kind & 16) != 0;
	o->po_shared = (kind & 128) != 0;
	if (o->po_marked && (o->po_robust || o->po_shared))
		o->po_marked = false;
	if (o->po_marked)
		set_mark(m, o->po_id);
	/* release: pairs with the acquire in pre_mutex_object(); the mark is there first */
	__atomic_store_n(&o->po_words, kind + 1, __ATOMIC_RELEASE);
}

struct pre_object *
pre_mutex_object(struct pre_thread *t, pthread_mutex_t *m, const void *where)
{
	struct pre_object *o = pre_object(t, m, PRE_MUTEX, where);

	if (o != NULL && o->po_marked && __atomic_load_n(&o->po_words, __ATOMIC_ACQUIRE) != 0 &&
	    mark(m) != o->po_id && o->po_holders <= 0) {
		pre_object_retire(o);		/* another one, that was made there */
		o = pre_object(t, m, PRE_MUTEX, where);
	}
	if (o != NULL)
		look(o, m);
	return o;
}

static bool
destroyed(const pthread_mutex_t *m)
{
	return m->__data.__kind == -1;
}

/*
 * => true: the caller waits for itself, or is told so
 */
static bool
recursion(struct pre_thread *t, struct pre_object *o, pthread_mutex_t *m, bool try)
{
	struct held_lock *hl = pre_held(t, o);

	if (hl == NULL || !pre_mutex_mine(t, m))
		return false;
	if (!try && (o->po_type == PTHREAD_MUTEX_NORMAL || o->po_type == PTHREAD_MUTEX_ADAPTIVE_NP))
		pre_mistake(t, "locking-against-myself", o, "locked by the thread that holds it");
	return true;
}

/* A call that takes a mutex. */
struct take {
	struct pre_thread *tk_thread;	/* NULL: not to be audited */
	struct pre_object *tk_object;
	bool		 tk_again;	/* held by the caller already */
	struct pre_want	 tk_want;
};

static void
take_begin(struct take *tk, pthread_mutex_t *m, unsigned how, bool timed, const void *where)
{
	struct pre_thread *t = pre_enter();

	tk->tk_thread = t;
	if (t == NULL)
		return;
	tk->tk_object = pre_mutex_object(t, m, where);
	if (tk->tk_object != NULL && destroyed(m)) {
		pre_mistake(t, "use-after-destroy", tk->tk_object, "locked after it was destroyed");
		pre_object_retire(tk->tk_object);
		tk->tk_object = NULL;
	}
	if (tk->tk_object == NULL) {
		pre_leave(t);
		tk->tk_thread = NULL;
		return;
	}
	tk->tk_again = recursion(t, tk->tk_object, m, how == (LO_WRITE | LO_TRY) && !timed);
	if (!tk->tk_again) {
		if ((how & LO_TRY) == 0 && t->pt_spins != 0)
			pre_sleeps(t, "waits for a mutex");
		pre_want(t, &tk->tk_want, tk->tk_object, how, where);
	}
	pre_leave(t);
}

static int
take_end(struct take *tk, int error)
{
	struct pre_thread *t = tk->tk_thread;
	const int saved = errno;

	if (t == NULL || (error != 0 && error != EOWNERDEAD))
		return error;
	t->pt_busy = 1;
	__asm__ volatile("" ::: "memory");
	if (tk->tk_again) {
		struct held_lock *hl = pre_held(t, tk->tk_object);

		if (hl != NULL && tk->tk_object->po_type == PTHREAD_MUTEX_RECURSIVE)
			hl->hl_user++;
	} else {
		pre_got(t, &tk->tk_want);
	}
	pre_leave(t);
	errno = saved;
	return error;
}

static void
release(struct pre_thread *t, struct pre_object *o, const pthread_mutex_t *m)
{
	/* Held unknown to us; by another process; or it is told so itself. */
	if (pre_release(t, o) || pre_mutex_mine(t, m) || o->po_shared ||
	    o->po_type == PTHREAD_MUTEX_ERRORCHECK)
		return;
	if (m->__data.__lock == 0)
		pre_mistake(t, "unlock-unlocked", o, "unlocked, but nobody holds it");
	else
		pre_mistake(t, "unlock-not-owner", o, "unlocked by a thread that does not hold it");
}

static void
unlocking(pthread_mutex_t *m, const void *where)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = destroyed(m) ? NULL : pre_mutex_object(t, m, where);
	if (o != NULL)
		release(t, o, m);
	pre_leave(t);
}

/* Made where one lives that is held: whoever holds it holds nothing any more. */
static void
initialised(const void *m)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object_find(m);
	if (o != NULL && o->po_kind == PRE_MUTEX && o->po_holders > 0)
		pre_mistake(t, "init-while-held", o, "initialised while it is held");
	pre_object_init(t, m, PRE_MUTEX);
	pre_leave(t);
}

/* => called before the real one: the words are still what they were */
static void
destroying(const pthread_mutex_t *m)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object_find(m);
	if (o != NULL && o->po_kind == PRE_MUTEX && o->po_holders > 0 && m->__data.__lock != 0)
		pre_mistake(t, "destroy-while-held", o, "destroyed while it is held");
	pre_leave(t);
}

#define TAKE(m, how, timed, call)					\
do {									\
	struct take tk;							\
									\
	take_begin(&tk, m, how, timed, CALLER);				\
	return take_end(&tk, call);					\
} while (0)

PRE_EXPORT int
pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	int error;

	PRE_READY(pthread_mutex_init, 0);
	error = real.pthread_mutex_init(m, attr);
	if (error == 0)
		initialised(m);
	return error;
}

/* => and after it */
static void
gone(const void *m)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object_find(m);
	if (o != NULL && o->po_kind == PRE_MUTEX)
		pre_object_retire(o);
	pre_leave(t);
}

PRE_EXPORT int
pthread_mutex_destroy(pthread_mutex_t *m)
{
	int error;

	PRE_READY(pthread_mutex_destroy, 0);
	destroying(m);
	error = real.pthread_mutex_destroy(m);
	if (error == 0)
		gone(m);
	return error;
}

PRE_EXPORT int
pthread_mutex_lock(pthread_mutex_t *m)
{
	PRE_READY(pthread_mutex_lock, 0);
	TAKE(m, LO_WRITE, false, real.pthread_mutex_lock(m));
}

PRE_EXPORT int
pthread_mutex_trylock(pthread_mutex_t *m)
{
	PRE_READY(pthread_mutex_trylock, 0);
	TAKE(m, LO_WRITE | LO_TRY, false, real.pthread_mutex_trylock(m));
}

/* A wait with an end of its own deadlocks with nobody: judged as a try. */
PRE_EXPORT int
pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	PRE_READY(pthread_mutex_timedlock, 0);
	TAKE(m, LO_WRITE | LO_TRY, true, real.pthread_mutex_timedlock(m, until));
}

PRE_EXPORT int
pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
	PRE_READY(pthread_mutex_clocklock, 0);
	TAKE(m, LO_WRITE | LO_TRY, true, real.pthread_mutex_clocklock(m, clock, until));
}

PRE_EXPORT int
pthread_mutex_unlock(pthread_mutex_t *m)
{
	PRE_READY(pthread_mutex_unlock, 0);
	unlocking(m, CALLER);
	return real.pthread_mutex_unlock(m);
}

/* --- C11 --- */

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "a mtx_t is a pthread_mutex_t");

static pthread_mutex_t *
words(mtx_t *m)
{
	return (pthread_mutex_t *)m;
}

PRE_EXPORT int
mtx_init(mtx_t *m, int type)
{
	int error;

	PRE_READY(mtx_init, thrd_success);
	error = real.mtx_init(m, type);
	if (error == thrd_success)
		initialised(m);
	return error;
}

PRE_EXPORT void
mtx_destroy(mtx_t *m)
{
	PRE_READY(mtx_destroy, );
	destroying(words(m));
	real.mtx_destroy(m);
	gone(m);
}

_Static_assert(thrd_success == 0, "what take_end() takes for success");

PRE_EXPORT int
mtx_lock(mtx_t *m)
{
	PRE_READY(mtx_lock, thrd_success);
	TAKE(words(m), LO_WRITE, false, real.mtx_lock(m));
}

PRE_EXPORT int
mtx_trylock(mtx_t *m)
{
	PRE_READY(mtx_trylock, thrd_success);
	TAKE(words(m), LO_WRITE | LO_TRY, false, real.mtx_trylock(m));
}

PRE_EXPORT int
mtx_timedlock(mtx_t *m, const struct timespec *until)
{
	PRE_READY(mtx_timedlock, thrd_success);
	TAKE(words(m), LO_WRITE | LO_TRY, true, real.mtx_timedlock(m, until));
}

PRE_EXPORT int
mtx_unlock(mtx_t *m)
{
	PRE_READY(mtx_unlock, thrd_success);
	unlocking(words(m), CALLER);
	return real.mtx_unlock(m);
}
