/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pthread rwlocks, and spin locks.
 *
 * The C library's rwlocks let readers in while a writer waits, so a read hold may be taken
 * twice, unless the lock was made with PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP: then a
 * reader waits for waiting writers, and a thread that reads twice may wait for itself.
 */
#include "pre_int.h"

static unsigned
read_mode(const pthread_rwlock_t *rw)
{
	return rw->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP ? LO_READ : LO_READ_REC;
}

/* What a second acquisition by its holder comes to. */
static void
again(struct pre_thread *t, struct pre_object *o, const struct held_lock *hl, unsigned how)
{
	const bool had_write = (hl->hl_how & LO_MODE) == LO_WRITE,
	    want_write = (how & LO_MODE) == LO_WRITE;

	if (had_write || want_write)
		pre_mistake(t, "locking-against-myself", o, "wanted for %s by the thread that has it "
		    "for %s", want_write ? "writing" : "reading", had_write ? "writing" : "reading");
	else if ((how & LO_MODE) == LO_READ)
		pre_mistake(t, "locking-against-myself", o, "read again by a reader; a writer that waits "
		    "in between keeps it out");
}

struct take {
	struct pre_thread *tk_thread;	/* NULL: not to be audited */
	struct pre_object *tk_object;
	bool		 tk_again;	/* has it for reading already */
	struct pre_want	 tk_want;
};

static void
take_begin(struct take *tk, const void *lock, enum pre_kind kind, unsigned how, const void *where)
{
	struct pre_thread *t = tk->tk_thread = pre_enter();
	const struct held_lock *hl;

	if (t == NULL)
		return;
	if ((tk->tk_object = pre_object(t, lock, kind, where)) == NULL) {
		pre_leave(t);
		tk->tk_thread = NULL;
		return;
	}
	hl = pre_held(t, tk->tk_object);
	tk->tk_again = hl != NULL;
	if (hl == NULL) {
		if (kind != PRE_SPIN && (how & LO_TRY) == 0 && t->pt_spins != 0)
			pre_sleeps(t, "waits for an rwlock");
		pre_want(t, &tk->tk_want, tk->tk_object, how, where);
	} else if (kind == PRE_SPIN && (how & LO_TRY) == 0) {
		pre_mistake(t, "locking-against-myself", tk->tk_object, "locked by the thread that holds it");
	} else if ((how & LO_TRY) == 0) {
		again(t, tk->tk_object, hl, how);
	}
	pre_leave(t);
}

static int
take_end(struct take *tk, int error)
{
	struct pre_thread *t = tk->tk_thread;
	struct held_lock *hl;
	const int saved = errno;

	if (t == NULL || error != 0)
		return error;
	t->pt_busy = 1;
	__asm__ volatile("" ::: "memory");
	if (!tk->tk_again) {
		pre_got(t, &tk->tk_want);
		if (tk->tk_object->po_kind == PRE_SPIN)
			t->pt_spins++;
	} else if ((hl = pre_held(t, tk->tk_object)) != NULL) {
		hl->hl_user++;
	}
	pre_leave(t);
	errno = saved;
	return error;
}

#define TAKE(lock, kind, how, call)					\
do {									\
	struct take tk;							\
									\
	take_begin(&tk, (const void *)(uintptr_t)(lock), kind, how, CALLER); \
	return take_end(&tk, call);					\
} while (0)

static void
initialised(const volatile void *lock, enum pre_kind kind)
{
	const void *at = (const void *)(uintptr_t)lock;
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object_find(at);
	if (o != NULL && o->po_kind == kind && o->po_holders > 0)
		pre_mistake(t, "init-while-held", o, "initialised while it is held");
	pre_object_init(t, at, kind);
	pre_leave(t);
}

static void
destroyed(const volatile void *lock, enum pre_kind kind)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object_find((const void *)(uintptr_t)lock);
	if (o != NULL && o->po_kind == kind) {
		if (o->po_holders > 0)
			pre_mistake(t, "destroy-while-held", o, "destroyed while it is held");
		pre_object_retire(o);
	}
	pre_leave(t);
}

/* Does the lock itself say that the caller may not release it? */
static bool
surely_not_mine(const struct pre_thread *t, const pthread_rwlock_t *rw)
{
	const int writer = __atomic_load_n(&rw->__data.__cur_writer, __ATOMIC_RELAXED);

	/* By readers, it does not know by whom. */
	return writer == 0 ? __atomic_load_n(&rw->__data.__readers, __ATOMIC_RELAXED) < 8 :
	    writer != t->pt_tid && writer != t->pt_forked_tid;
}

static void
unlocking(pthread_rwlock_t *rw, const void *where)
{
	struct pre_thread *t = pre_enter();
	struct pre_object *o;

	if (t == NULL)
		return;
	o = pre_object(t, rw, PRE_RWLOCK, where);
	if (o != NULL && !pre_release(t, o) && surely_not_mine(t, rw) && rw->__data.__shared == 0)
		pre_mistake(t, "unlock-not-owner", o, "unlocked by a thread that does not hold it");
	pre_leave(t);
}

PRE_EXPORT int
pthread_rwlock_init(pthread_rwlock_t *rw, const pthread_rwlockattr_t *attr)
{
	int error;

	PRE_READY(pthread_rwlock_init, 0);
	error = real.pthread_rwlock_init(rw, attr);
	if (error == 0)
		initialised(rw, PRE_RWLOCK);
	return error;
}

PRE_EXPORT int
pthread_rwlock_destroy(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_destroy, 0);
	destroyed(rw, PRE_RWLOCK);
	return real.pthread_rwlock_destroy(rw);
}

PRE_EXPORT int
pthread_rwlock_rdlock(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_rdlock, 0);
	TAKE(rw, PRE_RWLOCK, read_mode(rw), real.pthread_rwlock_rdlock(rw));
}

PRE_EXPORT int
pthread_rwlock_tryrdlock(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_tryrdlock, 0);
	TAKE(rw, PRE_RWLOCK, read_mode(rw) | LO_TRY, real.pthread_rwlock_tryrdlock(rw));
}

PRE_EXPORT int
pthread_rwlock_timedrdlock(pthread_rwlock_t *rw, const struct timespec *until)
{
	PRE_READY(pthread_rwlock_timedrdlock, 0);
	TAKE(rw, PRE_RWLOCK, read_mode(rw) | LO_TRY, real.pthread_rwlock_timedrdlock(rw, until));
}

PRE_EXPORT int
pthread_rwlock_clockrdlock(pthread_rwlock_t *rw, clockid_t clock, const struct timespec *until)
{
	PRE_READY(pthread_rwlock_clockrdlock, 0);
	TAKE(rw, PRE_RWLOCK, read_mode(rw) | LO_TRY, real.pthread_rwlock_clockrdlock(rw, clock, until));
}

PRE_EXPORT int
pthread_rwlock_wrlock(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_wrlock, 0);
	TAKE(rw, PRE_RWLOCK, LO_WRITE, real.pthread_rwlock_wrlock(rw));
}

PRE_EXPORT int
pthread_rwlock_trywrlock(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_trywrlock, 0);
	TAKE(rw, PRE_RWLOCK, LO_WRITE | LO_TRY, real.pthread_rwlock_trywrlock(rw));
}

PRE_EXPORT int
pthread_rwlock_timedwrlock(pthread_rwlock_t *rw, const struct timespec *until)
{
	PRE_READY(pthread_rwlock_timedwrlock, 0);
	TAKE(rw, PRE_RWLOCK, LO_WRITE | LO_TRY, real.pthread_rwlock_timedwrlock(rw, until));
}

PRE_EXPORT int
pthread_rwlock_clockwrlock(pthread_rwlock_t *rw, clockid_t clock, const struct timespec *until)
{
	PRE_READY(pthread_rwlock_clockwrlock, 0);
	TAKE(rw, PRE_RWLOCK, LO_WRITE | LO_TRY, real.pthread_rwlock_clockwrlock(rw, clock, until));
}

PRE_EXPORT int
pthread_rwlock_unlock(pthread_rwlock_t *rw)
{
	PRE_READY(pthread_rwlock_unlock, 0);
	unlocking(rw, CALLER);
	return real.pthread_rwlock_unlock(rw);
}

/* --- spin locks --- */

PRE_EXPORT int
pthread_spin_init(pthread_spinlock_t *spin, int shared)
{
	int error;

	PRE_READY(pthread_spin_init, 0);
	error = real.pthread_spin_init(spin, shared);
	if (error == 0)
		initialised(spin, PRE_SPIN);
	return error;
}

PRE_EXPORT int
pthread_spin_destroy(pthread_spinlock_t *spin)
{
	PRE_READY(pthread_spin_destroy, 0);
	destroyed(spin, PRE_SPIN);
	return real.pthread_spin_destroy(spin);
}

PRE_EXPORT int
pthread_spin_lock(pthread_spinlock_t *spin)
{
	PRE_READY(pthread_spin_lock, 0);
	TAKE(spin, PRE_SPIN, LO_WRITE | LO_SPIN, real.pthread_spin_lock(spin));
}

PRE_EXPORT int
pthread_spin_trylock(pthread_spinlock_t *spin)
{
	PRE_READY(pthread_spin_trylock, 0);
	TAKE(spin, PRE_SPIN, LO_WRITE | LO_SPIN | LO_TRY, real.pthread_spin_trylock(spin));
}

PRE_EXPORT int
pthread_spin_unlock(pthread_spinlock_t *spin)
{
	struct pre_thread *t;

	PRE_READY(pthread_spin_unlock, 0);
	t = pre_enter();
	if (t != NULL) {
		struct pre_object *o = pre_object(t, (const void *)(uintptr_t)spin, PRE_SPIN, CALLER);

		if (o != NULL && pre_release(t, o))
			t->pt_spins--;
		else if (o != NULL)
			pre_mistake(t, "unlock-not-owner", o,
			    "unlocked by a thread that does not hold it");
		pre_leave(t);
	}
	return real.pthread_spin_unlock(spin);
}
