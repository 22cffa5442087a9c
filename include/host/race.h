/*
 * What a race detector is told.
 *
 * Locks, interrupts and RCU are made of atomics and futexes, of which a detector sees
 * either too much (every atomic makes an order that the lock does not promise) or nothing.
 * So the files that make them are compiled without instrumentation (the "bare" libraries
 * in meson.build) and say here what they mean: ThreadSanitizer in its build
 * (-Db_sanitize=thread), helgrind and drd with -Dvalgrind=true, nobody otherwise, and then
 * all of this is nothing.
 *
 * Three kinds of statement:
 *	locks		who holds what: reports name locks, and where they were made
 *	order		what came before race_release(tag) is seen after race_acquire(tag)
 *	contexts	an interrupt handler is no part of the thread that it borrows: what it
 *			touches is ordered with that thread by locks and IPLs alone
 */
#ifndef HOST_RACE_H
#define HOST_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uvmstress_config.h>

enum {
	RACE_WRITE = 0,
	RACE_READ = 8,			/* a read hold; the values are ThreadSanitizer's */
	RACE_TRY = 16			/* not waited for: makes no lock order */
};

#if UVMSTRESS_TSAN

void	__tsan_mutex_create(void *, unsigned);
void	__tsan_mutex_destroy(void *, unsigned);
void	__tsan_mutex_pre_lock(void *, unsigned);
void	__tsan_mutex_post_lock(void *, unsigned, int);
int	__tsan_mutex_pre_unlock(void *, unsigned);
void	__tsan_mutex_post_unlock(void *, unsigned);
void	__tsan_acquire(void *);
void	__tsan_release(void *);
void	__tsan_func_entry(void *);
void	__tsan_func_exit(void);
#define	RACE_NOT_STATIC	0x100u		/* destroyed one day, and not used after that */

#elif UVMSTRESS_VALGRIND

#include <valgrind/helgrind.h>
#include <valgrind/drd.h>		/* locks and order are the same requests; the rest is not */

#endif

/* => memory becomes a lock, or is none any more; not held */
static inline void
race_lock_create(const volatile void *lock)
{
#if UVMSTRESS_TSAN
	__tsan_mutex_create((void *)(uintptr_t)lock, RACE_NOT_STATIC);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_RWLOCK_CREATE(lock);
#endif
}

static inline void
race_lock_destroy(const volatile void *lock)
{
#if UVMSTRESS_TSAN
	__tsan_mutex_destroy((void *)(uintptr_t)lock, RACE_NOT_STATIC);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_RWLOCK_DESTROY(lock);
#endif
}

/* => right after the lock was got: how is RACE_WRITE or RACE_READ, with RACE_TRY or without */
static inline void
race_lock_got(const volatile void *lock, unsigned how)
{
#if UVMSTRESS_TSAN
	__tsan_mutex_pre_lock((void *)(uintptr_t)lock, how);
	__tsan_mutex_post_lock((void *)(uintptr_t)lock, how, 0);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_RWLOCK_ACQUIRED(lock, (how & RACE_READ) == 0);
#endif
}

/* => right before it is let go */
static inline void
race_lock_drop(const volatile void *lock, unsigned how)
{
#if UVMSTRESS_TSAN
	__tsan_mutex_pre_unlock((void *)(uintptr_t)lock, how);
	__tsan_mutex_post_unlock((void *)(uintptr_t)lock, how);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_RWLOCK_RELEASED(lock, (how & RACE_READ) == 0);
#endif
}

/* => the word is changed by atomics alone, which helgrind and drd do not know */
static inline void
race_atomic(const volatile void *word, size_t size)
{
#if UVMSTRESS_VALGRIND && !UVMSTRESS_TSAN
	VALGRIND_HG_DISABLE_CHECKING(word, size);
	VALGRIND_DO_CLIENT_REQUEST_STMT(VG_USERREQ__DRD_START_SUPPRESSION, word, size, 0, 0, 0);
#endif
}

/*
 * => a pointer is published, was read, by an atomic: ThreadSanitizer has seen it, helgrind and drd
 *    have not
 */
static inline void
race_published(const volatile void *pointer, size_t size)
{
#if UVMSTRESS_VALGRIND && !UVMSTRESS_TSAN
	race_atomic(pointer, size);
	ANNOTATE_HAPPENS_BEFORE(pointer);
#endif
}

static inline void
race_consumed(const volatile void *pointer)
{
#if UVMSTRESS_VALGRIND && !UVMSTRESS_TSAN
	ANNOTATE_HAPPENS_AFTER(pointer);
#endif
}

/* => any address of the caller's is a tag; it needs no initialisation */
static inline void
race_release(const volatile void *tag)
{
#if UVMSTRESS_TSAN
	__tsan_release((void *)(uintptr_t)tag);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_HAPPENS_BEFORE(tag);
#endif
}

static inline void
race_acquire(const volatile void *tag)
{
#if UVMSTRESS_TSAN
	__tsan_acquire((void *)(uintptr_t)tag);
#elif UVMSTRESS_VALGRIND
	ANNOTATE_HAPPENS_AFTER(tag);
#endif
}

/*
 * A function of a bare file that instrumented code calls, and that a report's stack is to show.
 * => where: the function's own return address
 */
static inline void
race_frame_enter(void *where)
{
#if UVMSTRESS_TSAN
	__tsan_func_entry(where);
#endif
}

static inline void
race_frame_exit(void)
{
#if UVMSTRESS_TSAN
	__tsan_func_exit();
#endif
}

/*
 * Contexts.  One has a stack of its own as well, for what two contexts do at the same place of one
 * stack would be a race.  It belongs to no thread; one thread at a time runs in it.
 * => create: NULL where nobody wants to know
 * => run: fn(arg) in the context, which may run in another one in the same way
 */
struct race_context;
struct race_context *race_context_create(const char *name);
void	race_context_destroy(struct race_context *);
void	race_context_run(struct race_context *, void (*fn)(void *), void *arg);

/* => liburcu's own locks are no order of ours: what the thread does in between makes none */
void	race_order_ignore(bool);

/* => what the thread does in between, by functions of the C library too, is seen by nobody */
void	race_access_ignore(bool);

#endif /* HOST_RACE_H */
