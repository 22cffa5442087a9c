/*
 * The lock-order engine: which locks are taken while which are held, and what is wrong
 * with it.
 *
 * It knows no LWP, CPU or pthread.  Whoever takes locks (lockdebug.c for LWPs, the preload
 * library for the threads of any program) owns a struct held_stack and tells it of each
 * acquisition and release; what the engine needs of its surroundings is in struct
 * lockorder_env.  It never calls malloc.
 *
 * Nodes of the graph are lock classes: role and IPL, in the preload library also single locks
 * (to judge nesting inside a class), and events that somebody waits for.  An edge says:
 * `to` was wanted while `from` was held.  Each held lock carries the hash of the chain of
 * acquisitions up to itself; a chain whose hash is known costs a look-up.  A new one is
 * validated: every pair, every cycle that a new pair closes, IPLs.
 *
 * Modes are judged as lockdep does: of an edge it matters whether `from` was held
 * exclusively (E) or shared (S), and whether `to` was wanted in a way that waits for
 * readers and waiting writers (N) or recursively (R).  A cycle deadlocks unless some node is
 * entered as R and left as S.  A trylock waits for nobody, so no edge leads to it; once
 * it is held, edges lead from it.
 *
 * Locks of different contexts (a handler and what it interrupts) make no edges; that is
 * judged by the IPL: a lock taken in an interrupt of level L must nowhere be held at an IPL
 * below L, nor may any lock that is so held be wanted with it in hand.  The ranks say nothing of
 * it: they let both be, and of one role the locks of a lower IPL are another node.
 *
 * All of this needs one thread that goes each way once; nobody needs to meet.
 */
#ifndef SYS_LOCKORDER_H
#define SYS_LOCKORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/lockgraph.h>

/* --- what the engine asks of its surroundings --- */

/* A finding as it is told, once for each fingerprint, again if its grade gets worse. */
struct lockorder_report {
	const char	*lr_rule;	/* "lock-order", "lock-cycle", "lock-nesting", ... */
	const char	*lr_fingerprint;
	const char	*lr_message;	/* one line */
	const char	*lr_why;	/* of the grade, or NULL */
	const char	*lr_waived;	/* the waiver's reason, or NULL */
	enum lockgraph_grade lr_grade;
	uint32_t	 lr_finding;	/* index in what lockorder_export() gives */
};

/*
 * => enter, leave: around what the engine does under its raw lock and on a held stack: whoever
 *    may interrupt the thread and take locks there must wait (host_mask()); may be NULL
 * => map: zeroed memory for ever, or NULL; backtrace: of the caller, skip innermost frames left
 *    out; relax: one turn of a spin loop
 * => module: where a return address lies: its file and the offset there; false: unknown; may be NULL
 * => report: the engine's lock is not held; may be NULL
 * => recursion: a lock is wanted that its thread holds, and waiting would take for ever: held, wanted;
 *    nothing is locked; may be NULL, and may not return
 * => stat: fills in what is counted elsewhere, for lockorder_export(); may be NULL
 */
struct held_lock;
struct lockorder_want;
struct lockorder_env {
	void	 (*le_enter)(void);
	void	 (*le_leave)(void);
	void	 (*le_relax)(unsigned *);
	void	*(*le_map)(size_t);
	int	 (*le_backtrace)(void **, int max, int skip);
	bool	 (*le_module)(const void *pc, const char **path, uint64_t *offset);
	void	 (*le_report)(const struct lockorder_report *);
	void	 (*le_recursion)(const struct held_lock *, const struct lockorder_want *);
	void	 (*le_stat)(uint32_t class, struct lockgraph_class *);
};

/* => forgets all classes, edges and findings (the memory is used again); no other thread is inside */
void	lockorder_init(const struct lockorder_env *);

/* --- classes --- */

/* How two locks of one class nest.  Checked lock by lock, at each acquisition. */
enum lockorder_nest {
	LO_NEST_NONE,		/* they do not */
	LO_NEST_ID,		/* by birth number, the older first */
	LO_NEST_CHILD,		/* a child's, with its parent's held and named (lockorder_nested()) */
	LO_NEST_ANY,		/* as they like; instances are nodes of their own, or it is a test */
};

/*
 * => a new class; name is copied, where: the first one was made there, or NULL
 * => rank 0: undeclared.  ipl: of its spin locks, 0: none.
 * => LOCKGRAPH_NONE: no memory
 */
uint32_t lockorder_class(const char *name, enum lockgraph_class_kind, int rank,
    enum lockorder_nest, int ipl, const void *where);
/* => a lock of the class was made, with that birth number: a class of one lock can be a gate */
void	lockorder_born(uint32_t class, uint32_t id);
/* => between locks of classes of one family (not 0) there is no order: their owner judges them one by one */
void	lockorder_family(uint32_t class, uint32_t family);
const char *lockorder_class_name(uint32_t class);

/* --- locks held --- */

/* How: mode, and what else matters to the order. */
#define	LO_WRITE	0x00		/* exclusively, a mutex too */
#define	LO_READ		0x01		/* waits for waiting writers */
#define	LO_READ_REC	0x02		/* does not */
#define	LO_MODE		0x03
#define	LO_TRY		0x04		/* did not wait */
#define	LO_NESTED	0x08		/* its parent, held, was named */
#define	LO_SPIN		0x10		/* a spin lock */
#define	LO_EVENT	0x20		/* no lock: who has it ends the waits for an event */

/* One lock held.  All fields: only the thread that holds it. */
struct held_lock {
	const void	*hl_lock;
	const void	*hl_where;	/* return address of the acquisition */
	uint64_t	 hl_chain;	/* hash of the chain that ends here */
	uint64_t	 hl_since;	/* when, if this hold is timed; else 0 */
	uint32_t	 hl_class;
	uint32_t	 hl_id;		/* the lock's birth number */
	uint8_t		 hl_how;	/* LO_ */
	uint8_t		 hl_ipl;	/* of the CPU while it was taken */
	uint8_t		 hl_depth;	/* of interrupts: 0 in a thread */
	uint8_t		 hl_level;	/* of the interrupt that took it; 0: none */
	uint32_t	 hl_user;	/* the caller's */
	uint64_t	 hl_full;	/* the full audit's, and set by it alone */
};

#define	HELD_INLINE	8

/*
 * What one thread holds, oldest first.  All fields: only that thread.  It starts as zeroes;
 * held_fini() when the thread ends.
 */
struct held_stack {
	struct held_lock *hs_v;		/* hs_inline, or room from the engine; NULL: empty yet */
	int		  hs_n, hs_max;
	uint32_t	  hs_runner;	/* whose it is: any number but 0; 0: by its interrupts only */
	struct held_lock  hs_inline[HELD_INLINE];
};
void	held_fini(struct held_stack *);

/* The acquisition that is about to be made: its caller's own. */
struct lockorder_want {
	const void	*lw_lock;
	const void	*lw_where;
	uint32_t	 lw_class;
	uint32_t	 lw_id;
	uint8_t		 lw_how;
	uint8_t		 lw_ipl;
	uint8_t		 lw_depth;
	uint8_t		 lw_level;
};

/*
 * lockorder_want: before waiting: judge the acquisition.
 * => the hash of the chain, for held_push() when the lock is got
 * => may report; the engine's lock is not held on return
 */
static inline uint64_t lockorder_want(struct held_stack *, const struct lockorder_want *);
/* => got it; the caller masks what may interrupt and use the same stack */
static inline struct held_lock *held_push(struct held_stack *, const struct lockorder_want *,
    uint64_t chain);
/* => the newest hold of the lock, or NULL */
static inline struct held_lock *held_find(const struct held_stack *, const void *lock);
/* => released, in any order; masked as for held_push() */
static inline void held_pop(struct held_stack *, struct held_lock *);
/* => what follows hl in the stack is hashed anew, after hl has changed */
void	held_rechain(struct held_stack *, struct held_lock *hl);

/*
 * lockorder_edge: an order that no acquisition shows: `from` is, or needs, what keeps whoever
 * wants `to` waiting.  For waits (full audit): held lock -> event, event -> what its provider needs.
 * => how: bits 0-1 LO_ mode of from, bits 2-3 of to; what: LOCKGRAPH_WAIT or LOCKGRAPH_PROVIDE
 * => each pair once: later calls cost a look-up (lockorder_edge_known() says whether)
 * => hs: whose stack gives runner and guards, or NULL
 */
void	lockorder_edge(const struct held_stack *, uint32_t from, uint32_t to,
    enum lockgraph_edge_kind what, unsigned how, uint32_t from_trace, uint32_t to_trace);
bool	lockorder_edge_known(uint32_t from, uint32_t to, enum lockgraph_edge_kind what, unsigned how);

/*
 * => the caller's stack as a number, each different one stored once, from the frame of that
 *    return address on (NULL: all of it); LOCKGRAPH_NONE: no memory
 */
uint32_t lockorder_trace(const void *where);
/* => where a lock that is held was taken, the first time that it was so */
uint32_t lockorder_held_trace(const struct held_lock *);

/*
 * lockorder_finding: a mistake that somebody else found (one lock, a pin, a stale read).
 * => fingerprint: what makes it the same mistake; true: reported, false: known or waived
 */
bool	lockorder_finding(const char *rule, const char *fingerprint, enum lockgraph_grade,
    uint32_t trace, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* => the finding of that fingerprint has to do with this lock, which is held */
void	lockorder_finding_held(const char *fingerprint, const struct held_lock *);
/* => the same, with where a lock of the class is held while an interrupt of that level may come, if it was seen */
void	lockorder_finding_open(const char *fingerprint, uint32_t class, int level);

/* --- waivers and the result --- */

/*
 * => the finding of that fingerprint is not to count, for that reason; strings are copied.
 *    EINVAL: no reason given.  A fingerprint that ends in * stands for all that begin so.
 */
int	lockorder_waive(const char *fingerprint, const char *reason, const char *where);
/* => calls fn for each waiver that no finding has used */
void	lockorder_unused_waivers(void (*fn)(void *, const char *fingerprint, const char *where), void *);

/* => all that was seen, until the next call or lockorder_init(); other threads may go on */
const struct lockgraph *lockorder_export(void);

/* --- the known path, inline --- */

#define	LO_CACHE_BITS	14
extern uint64_t lockorder_cache[1 << LO_CACHE_BITS];	/* atomic, relaxed: hashes of known chains */

uint64_t lockorder_validate(struct held_stack *, const struct lockorder_want *, uint64_t chain);
void	held_grow(struct held_stack *);

/*
 * What is the same at all acquisitions of one lock that an owner keeps ready: class, IPL (below 8),
 * spin or not.
 */
#define	LOCKORDER_KEY(class, ipl, spin)	((class) << 4 | (unsigned)(ipl) << 1 | ((spin) ? 1u : 0u))
#define	LOCKORDER_KEY_CLASS(key)	((uint32_t)(key) >> 4)
#define	LOCKORDER_KEY_IPL(key)		((int)((key) >> 1 & 7))
#define	LOCKORDER_KEY_SPIN(key)		(((key) & 1) != 0)

/* => key and how, the latter without LO_SPIN: in a thread, at no higher IPL than the lock's own */
static inline uint64_t
lockorder_what(unsigned key, unsigned how)
{
	return (uint64_t)how << 40 | key;
}

#define	LO_CHAIN_SEED	0x5bd1e995UL	/* nothing is held */

/* => the hash of a chain: how it was before, what comes now, and where */
static inline uint64_t
lockorder_hash(uint64_t before, uint64_t what, const void *where)
{
	uint64_t k = (before ^ what) * 0x9e3779b97f4a7c15ULL;

	k ^= (uint64_t)(uintptr_t)where + (k >> 29);
	k *= 0xbf58476d1ce4e5b9ULL;
	return k ^ k >> 32;
}

/* => the hash of a chain that ends in top, goes on with w */
static inline uint64_t
lockorder_chain(const struct held_lock *top, const struct lockorder_want *w)
{
	const uint64_t what = lockorder_what(LOCKORDER_KEY((uint64_t)w->lw_class, w->lw_ipl & 7u,
	    w->lw_how & LO_SPIN), w->lw_how & ~LO_SPIN) |
	    (uint64_t)(w->lw_ipl >> 3) << 46 | (uint64_t)w->lw_depth << 51 | (uint64_t)w->lw_level << 59;

	/* a handler's chain begins anew, unless it interrupts the holder of a spin lock */
	return lockorder_hash(top != NULL && (top->hl_depth == w->lw_depth ||
	    (top->hl_how & LO_SPIN) != 0) ? top->hl_chain : LO_CHAIN_SEED, what, w->lw_where);
}

/* => what the hash of a chain is mixed with that one runner alone has gone so far; 0: several */
static inline uint64_t
lockorder_mix(uint32_t runner)
{
	return runner == 0 ? 0 : ((uint64_t)runner << 20 | 1) * 0x94d049bb133111ebULL;
}

/* => the chain's own place in the cache */
static inline size_t
lockorder_place(uint64_t chain)
{
	return chain >> (64 - LO_CACHE_BITS);
}

static inline bool
lockorder_known_at(size_t place, uint64_t chain, uint32_t runner)
{
	/* relaxed: a hash says all that there is to know */
	const uint64_t v = __atomic_load_n(&lockorder_cache[place], __ATOMIC_RELAXED);

	return __builtin_expect(v == chain, 1) || v == (chain ^ lockorder_mix(runner));
}

/* => the chain is known to this runner, and there is nothing to look at; false: ask the engine */
static inline bool
lockorder_known(uint64_t chain, uint32_t runner)
{
	return __builtin_expect(lockorder_known_at(lockorder_place(chain), chain, runner), 1) ||
	    lockorder_known_at(lockorder_place(chain) ^ 1, chain, runner);
}

static inline uint64_t
lockorder_want(struct held_stack *hs, const struct lockorder_want *w)
{
	struct lockorder_want copy;
	const uint64_t chain = lockorder_chain(hs->hs_n > 0 ? &hs->hs_v[hs->hs_n - 1] : NULL, w);

	if (lockorder_known(chain, w->lw_depth == 0 ? hs->hs_runner : 0))
		return chain;
	copy = *w;			/* the caller's may stay in registers */
	return lockorder_validate(hs, &copy, chain);
}

static inline struct held_lock *
held_push(struct held_stack *hs, const struct lockorder_want *w, uint64_t chain)
{
	struct held_lock *hl;

	if (__builtin_expect(hs->hs_n == hs->hs_max, 0))
		held_grow(hs);
	hl = &hs->hs_v[hs->hs_n++];
	hl->hl_lock = w->lw_lock;
	hl->hl_where = w->lw_where;
	hl->hl_chain = chain;
	hl->hl_since = 0;
	hl->hl_class = w->lw_class;
	hl->hl_id = w->lw_id;
	hl->hl_how = w->lw_how;
	hl->hl_ipl = w->lw_ipl;
	hl->hl_depth = w->lw_depth;
	hl->hl_level = w->lw_level;
	hl->hl_user = 0;
	return hl;
}

static inline struct held_lock *
held_find(const struct held_stack *hs, const void *lock)
{
	for (int i = hs->hs_n - 1; i >= 0; i--)
		if (hs->hs_v[i].hl_lock == lock)
			return &hs->hs_v[i];
	return NULL;
}

static inline void
held_pop(struct held_stack *hs, struct held_lock *hl)
{
	struct held_lock *const last = &hs->hs_v[--hs->hs_n];

	if (__builtin_expect(hl == last, 1))
		return;
	for (struct held_lock *h = hl; h < last; h++)
		*h = h[1];
	held_rechain(hs, hl);
}

#endif /* SYS_LOCKORDER_H */
