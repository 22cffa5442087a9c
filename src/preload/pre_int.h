/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * libuvmstress-audit.so: the lock-order engine under the pthread locks of any program.
 *
 * The command `uvmstress audit -- CMD` preloads this library.  It stands in front of the
 * pthread (and C11) lock functions, tells the engine (<sys/lockorder.h>) what each thread
 * wants, gets and gives back, and writes what the engine has seen into a file.  It changes
 * nothing that the program can see: every call reaches the C library with its arguments,
 * every result comes back, errno is what it was.
 *
 *	pre_real.c	the functions that stand behind ours
 *	pre_object.c	which lock is at an address, and what class it is of
 *	pre_heap.c	memory that is freed takes its locks with it
 *	pre_symbol.c	modules and names
 *	pre_order.c	wanted, got, given back: from interposed calls to the engine
 *	pre_mutex.c pre_rwlock.c	locks; spin locks are in the latter
 *	pre_event.c	what is known of condition variables and semaphores, judged at the end
 *	pre_cond.c pre_sem.c	those
 *	pre_thread.c	threads: their beginning and end, join, fork, sleep
 *	pre_signal.c	handlers: what they take while somebody may hold it
 *	pre_dump.c	the file
 *
 * Rules.  Nothing in here calls malloc, or anything that may take a lock of the program's or
 * of the dynamic linker's, while it holds one of its own: a call may come from inside
 * malloc, dlopen or a signal handler.  While a thread is in here, what it calls passes
 * straight through (pt_busy), and so do signal handlers that interrupt it.
 */
#ifndef PRE_INT_H
#define PRE_INT_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <threads.h>
#include <time.h>

#include <sys/lockorder.h>

#define PRE_EXPORT __attribute__((visibility("default")))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define CALLER	    __builtin_return_address(0)

/* The functions behind ours.  Stable after pre_real_init(). */
struct pre_real {
#define	REAL(result, name, args, version)	result (*name) args;
#include "pre_real.def"
#undef REAL
};
extern struct pre_real real;
/* => true: found.  false: they are being looked up, by the caller's caller */
bool	pre_real_init(void);

/* --- locks --- */

enum pre_kind { PRE_MUTEX, PRE_RWLOCK, PRE_SPIN, PRE_COND, PRE_SEM, PRE_NKINDS };

/* A class of locks.  Letters as below. */
struct pre_class {
	uint64_t	 pc_key;	/* : kind, place of creation, and who made it create */
	uint64_t	 pc_place;	/* : kind and place alone: its family's */
	struct pre_class *pc_next;	/* o */
	uint32_t	 pc_node;	/* : of the engine */
	uint32_t	 pc_locks;	/* o: how many there have been */
	struct pre_class *pc_family;	/* : the first one of those between whose locks there is no order */
	uint32_t	 pc_members;	/* o: of a family: how many locks there have been */
	int		 pc_told;	/* a: of a family: findings, PRE_TOLD: enough */
	uint64_t	 pc_taken;	/* o: times, of those that are no more */
	uint64_t	 pc_total;	/* o: of all, when they were last counted */
	enum pre_kind	 pc_kind;	/* : */
	const char	*pc_name;	/* : */
};

struct pre_thread;

/*
 * One lock, condition variable or semaphore.  Its memory is used again for others, never given
 * back.
 * o: object lock   : stable while po_addr is   a: atomic, relaxed: counts and hints
 * h: only the thread that holds it exclusively
 */
struct pre_object {
	const void	*po_addr;	/* o to write, any to read; NULL: retired */
	struct pre_object *po_next;	/* o to write: of its hash chain, or of the free ones */
	struct pre_class *po_class;	/* : */
	struct pre_event *po_event;	/* e: what is known of its waits, or NULL */
	struct pre_thread *po_owner;	/* a: who has it exclusively */
	uint32_t	 po_id;		/* : birth number */
	uint32_t	 po_node;	/* e: its own node, or LOCKGRAPH_NONE */
	int		 po_holders;	/* a: holds, of readers and writers; cond: who waits */
	uint32_t	 po_taken;	/* a: times, about */
	uint8_t		 po_kind;	/* : */
	uint8_t		 po_type;	/* : mutex: PTHREAD_MUTEX_...; rwlock: readers recurse */
	int		 po_words;	/* a: mutex: the kind that the next three are from, plus 1 */
	bool		 po_marked;	/* : mutex: bears its birth number, see pre_mutex.c */
	bool		 po_robust;	/* : whose owner may die */
	bool		 po_shared;	/* : between processes */
	bool		 po_foreign;	/* a: semaphore: posted by who had not waited for it */
	bool		 po_known;	/* : semaphore: and how it began */
	unsigned	 po_value;	/* : semaphore: at first */
	uint64_t	 po_in_write, po_in_read;	/* a: taken in handlers of these signals */
	uint64_t	 po_open_write, po_open_read;	/* a: held while these might come */
};

/*
 * pre_object: what is at the address; made at the first look.
 * => NULL: no memory.   where: who calls, for the class of one that nobody initialised
 */
struct pre_object *pre_object(struct pre_thread *, const void *addr, enum pre_kind,
    const void *where);
/* => what is known at the address; NULL: nothing, or it could not be seen in passing */
struct pre_object *pre_object_find(const void *addr);
/* => the same, surely */
struct pre_object *pre_object_sure(const void *addr);
/* => a new one was made there; the one that was there is no more */
struct pre_object *pre_object_init(struct pre_thread *, const void *addr, enum pre_kind);
/* => it is no more.  Its address may become another's at once. */
void	pre_object_retire(struct pre_object *);
/* => calls fn for every one that lies in the range; it may retire them */
void	pre_object_range(const char *base, size_t size, void (*fn)(struct pre_object *, void *),
    void *arg);
/* => might there be any? */
bool	pre_object_maybe(const char *base, size_t size);
extern unsigned pre_objects_live;	/* a */
/* => a node of its own for one of several in its class; the class's for the only one */
uint32_t pre_object_node(struct pre_object *);
/* => the same, but its own in any case */
uint32_t pre_object_own_node(struct pre_object *);
/* => calls fn for every living one that has an event */
void	pre_object_events(void (*fn)(struct pre_object *));
bool	pre_objects_busy(void);		/* somebody is in there: for a child of fork() */

/* --- threads --- */

#define PRE_TOLD	4
#define PRE_CACHE	64		/* objects that a thread finds again fast */
#define PRE_KNOWN	64		/* chains that the engine has judged for it */
#define PRE_SEMS	8		/* semaphores that it may be holding */
#define PRE_SIGNALS	8		/* handlers within handlers */

/* A thread, from its first call to its end.  All fields: only that thread, but a: atomic. */
struct pre_thread {
	int		 pt_busy;	/* is in here; handlers read it */
	int		 pt_depth;	/* of signal handlers that are audited */
	struct held_stack pt_held;
	uint64_t	 pt_blocked;	/* its signal mask; bit 0 is signal 1 */
	uint64_t	 pt_in;		/* signals whose handlers are running */
	const char	*pt_frame[PRE_SIGNALS];	/* of those handlers: older frames are not theirs */
	int		 pt_tid, pt_forked_tid;	/* of the host; before the fork */
	int		 pt_spins;	/* spin locks held */
	bool		 pt_dump;	/* there is a finding to be written */
	int		 pt_told;	/* and how much it weighs: PRE_TOLD or 1 */
	pthread_t	 pt_self;
	pthread_t	 pt_join;	/* a: waits for the end of that one */
	int		 pt_joining;	/* a */
	struct pre_object *pt_cache[PRE_CACHE];
	uint64_t	 pt_known[PRE_KNOWN];
	struct pre_object *pt_sems[PRE_SEMS];	/* waited for and not posted, newest last */
	int		 pt_nsems;
	struct pre_thread *pt_next;	/* t: of all, and of the free ones */
};

extern __thread struct pre_thread *pre_self __attribute__((tls_model("initial-exec")));
extern bool pre_on;		/* : set when the library is ready, cleared if it cannot be */

/* => the calling thread's state, made at its first call; NULL: no memory, or not wanted here */
struct pre_thread *pre_attach(void);
void	pre_flush(struct pre_thread *);		/* write what is due */
/* => handlers that were left by longjmp() are forgotten */
void	pre_signal_unwind(struct pre_thread *, const char *frame);

/* => may the calling thread's call be audited?  Then pre_leave() is to follow. */
static inline struct pre_thread *
pre_enter(void)
{
	struct pre_thread *t = pre_self;

	if (unlikely(t == NULL) && (t = pre_attach()) == NULL)
		return NULL;
	if (unlikely(t->pt_busy != 0))
		return NULL;
	t->pt_busy = 1;
	__asm__ volatile("" ::: "memory");	/* a handler sees it before anything else */
	if (unlikely(t->pt_depth != 0))
		pre_signal_unwind(t, __builtin_frame_address(0));
	return t;
}

static inline void
pre_leave(struct pre_thread *t)
{
	if (unlikely(t->pt_dump))
		pre_flush(t);
	__asm__ volatile("" ::: "memory");
	t->pt_busy = 0;
}

/* Ours was called before the real ones are known: see pre_real.c. */
#define PRE_READY(name, early)						\
do {									\
	if (unlikely(real.name == NULL) && !pre_real_init())		\
		return early;						\
} while (0)

/* --- order (pre_order.c) --- */

/* What a call is about to do.  Of the caller. */
struct pre_want {
	struct pre_object *pw_object;
	uint64_t	 pw_chain;
	struct lockorder_want pw_want;
};
/* => before waiting; how: LO_...; where: the caller in the program */
void	pre_want(struct pre_thread *, struct pre_want *, struct pre_object *, unsigned how,
    const void *where);
/* => got it */
void	pre_got(struct pre_thread *, const struct pre_want *);
/* => about to release it; false: the thread is not known to hold it */
bool	pre_release(struct pre_thread *, struct pre_object *);
/* => the hold of it, or NULL */
struct held_lock *pre_held(struct pre_thread *, const struct pre_object *);
/* => about to sleep: nobody does with a spin lock held */
void	pre_sleeps(struct pre_thread *, const char *what);
/* => a mistake with one lock: told once for each class, rule and place */
void	pre_mistake(struct pre_thread *, const char *rule, const struct pre_object *,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* => more signals may come: to what is held, too */
void	pre_order_unblocked(struct pre_thread *);
/* => the same, noticed elsewhere */
void	pre_mistake_at(uint32_t trace, const char *rule, const struct pre_object *, const char *text);
/* => does a real mutex say that the caller has it? */
bool	pre_mutex_mine(const struct pre_thread *, const pthread_mutex_t *);
/* => the pthread mutex's words */
struct pre_object *pre_mutex_object(struct pre_thread *, pthread_mutex_t *, const void *where);
/* => forget what is not held any more, whoever has released it */
void	pre_forget_stale(struct pre_thread *);
extern const struct lockorder_env pre_env;
bool	pre_engine_busy(void);		/* likewise */

/* --- events (pre_event.c) --- */

/* => waits for the object, without a time-out, with what it holds in hand */
void	pre_event_wait(struct pre_thread *, struct pre_object *);
/* => ends, or may end, somebody's wait for it */
void	pre_event_end(struct pre_thread *, struct pre_object *);
/* => wants `wanted` while it may be holding semaphores */
void	pre_event_needs(struct pre_thread *, struct pre_object *wanted);
void	pre_event_forget(struct pre_object *);
void	pre_event_judge(void);		/* at the end: tell the engine */
bool	pre_events_busy(void);		/* likewise */

/* --- the rest --- */

/* => memory for ever, zeroed, 16-byte aligned; NULL: none */
void	*pre_alloc(size_t);
/* => NUL-terminated; copied for ever */
const char *pre_strdup(const char *);
/* => where a return address lies; path is good for ever */
bool	pre_module(const void *pc, const char **path, uint64_t *offset);
/* => "function+0x1a", "object", or "library.so+0x1234"; data: an object is at addr */
void	pre_symbol(const void *addr, bool data, char *buf, size_t len);
/* => where the function starts that the return address lies in, as far as it is known */
const void *pre_function(const void *pc);
int	pre_backtrace(void **pcs, int max, int skip);
void	pre_dump(void);			/* write the file anew */
void	pre_dump_init(void);
void	pre_dump_fork(void);		/* a child writes another */
void	pre_signal_init(void);
void	pre_finish(void);		/* the program ends: judge, and write the file */
/* => counts how often locks of each class were taken, for pre_object_stat() */
void	pre_object_count(void);
void	pre_object_stat(uint32_t node, struct lockgraph_class *);
/* => is this the process, and not a child between vfork() and exec()? */
bool	pre_my_process(void);
extern uint64_t pre_handled;		/* a: signals that have a handler of the program's */
extern bool pre_stop;			/* : end the program at the first finding */

/* A raw spin lock; its holder is in here. */
struct pre_lock {
	int l_word;			/* a */
};
void	pre_lock(struct pre_lock *);
void	pre_unlock(struct pre_lock *);

#endif /* PRE_INT_H */
