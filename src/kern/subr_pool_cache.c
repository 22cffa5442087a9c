/*
 * pool_cache(9): constructed objects, kept by each CPU.
 *
 * A CPU has two magazines, current and previous, of objects that are ready for
 * use.  A get pops from one, a put pushes onto one, and only when neither will do
 * is a depot asked, a list of full magazines and one of empty ones.  With two magazines
 * an LWP that gets and puts around the edge of one does not go to a depot each time.
 *
 * There is a depot for each CPU and one that all share.  The own one is asked first;
 * only what is beyond its share (pc_share) goes to the common one.  So an object comes
 * back to the CPU that gave it up, as long as that one does not get many more than it
 * gives: its lines, and those of its neighbours in the page, are in that CPU's caches.
 * For the same reason the pool is asked for a run of objects of one page.  Where CPUs
 * take turns on the host's cores (cpu_cores) it is those that have caches: a CPU's own
 * depot is then that of the core that runs it, and what one CPU gives up is warm for the next.
 *
 *	get:  current, else swap with previous, else a full one from the own depot, or
 *	      from the common one, else a run from the pool, and the constructor
 *	put:  current, else swap with previous, else an empty one from the own depot, or
 *	      from the common one, else a new magazine, else the destructor and the pool
 *
 * A depot has a lock, so that the page daemon can have what is in all of them
 * (pool_cache_drain_depot()).  What CPU made use of which is nobody's business.
 *
 * What protects a CPU's magazines is that only the LWP that holds the CPU touches
 * them, at the cache's level: interrupts that use the cache stay out, and so does
 * the cross call of pool_cache_invalidate(), for which the level is IPL_VM at
 * least.  Constructor, destructor, pool and back end run outside of that section,
 * where an LWP may find itself on another CPU; so the CPU is looked up anew after
 * each, and no pointer to per-CPU state lives across them.
 *
 * A put never blocks (R43): a magazine that cannot be had is done without.
 *
 * With lock debugging a byte in the page's header says of each object that it lies
 * in a magazine: freeing it twice panics, as in the pool (I-POOL-2).  Two CPUs that do so
 * in the same instant may both find it 0: then the second get of the two finds it 0, and panics.
 * Objects of caches without a constructor hold the pool's pattern while they are free.
 *
 * Lock order: a depot's lock, then nothing; the pool is called without it.
 */
#include <stdlib.h>
#include <string.h>

#include <host/race.h>

#include "kern_int.h"
#include "pool_int.h"

#include <sys/bug.h>

#define	MAG_OBJECTS	15		/* a magazine is four cache lines, which are one CPU's */
#define	SHARE_BYTES	32768		/* of objects in all CPUs' own depots, at most: threads that share the host's cores share their caches */
#define	SHARE_MAX	20u		/* magazines in it, at most */
#define	SHARE_TURNS	4		/* times as much is a core's, on which several CPUs take turns with what they all have out */
#define	RUN_MAX		POOL_PAGE_ITEMS	/* objects of a page at once: all of them, so that no other CPU gets any */

/*
 * An object, and its byte in its page's head, so that it is looked up once, when it is put.
 * Without lock debugging it is not looked up, and there is no byte.
 */
struct cached {
	void		*c_obj;
	uint8_t		*c_mark;
};

struct magazine {
	struct magazine	*m_next;		/* d_lock, while in a depot */
	unsigned	 m_n;			/* its CPU's, or d_lock; a current one: see pcc_n */
	struct cached	 m_obj[MAG_OBJECTS];	/* its CPU's, or d_lock */
};
_Static_assert(sizeof(struct magazine) == 256, "no line of a magazine is another CPU's");

/* Its lock protects all fields. */
struct depot {
	kmutex_t	 d_lock;		/* LC_pool_depot, spin, pc_ipl */
	struct magazine	*d_full;		/* none of them without an object */
	struct magazine	*d_empty;
	unsigned	 d_nfull;		/* how many in d_full */
};

/*
 * All fields but the depot: the LWP that holds the CPU, at pc_ipl; both numbers of objects read @ by
 * pool_cache_nout().  What is out is what came and has not gone, less what lies there: so gets and puts
 * have one number to change.
 */
struct pool_cache_cpu {
	struct magazine	*pcc_current;		/* or NULL */
	struct magazine	*pcc_previous;		/* or NULL */
	size_t		 pcc_n;			/* objects in the current one, whose m_n is not kept */
	size_t		 pcc_max;		/* of how many: MAG_OBJECTS, or 0: there is none */
	uint64_t	 pcc_came;		/* objects with the current magazine or from the pool, less those that went so */
	struct depot	 pcc_depot;
} __attribute__((aligned(64)));

/*
 *	:  stable after creation
 */
struct pool_cache {
	struct pool	*pc_pool;		/* : objects */
	struct pool	*pc_magpool;		/* : magazines, from the same back end */
	ipl_t		 pc_ipl;		/* : IPL_VM or the pool's, if that is higher */
	int		(*pc_ctor)(void *, void *, int); /* : or NULL */
	void		(*pc_dtor)(void *, void *);	/* : or NULL */
	void		*pc_arg;		/* : */
	unsigned	 pc_share;		/* : full magazines in a CPU's own depot, at most */
	struct pool_cache_cpu *pc_cpu;		/* : array of ncpu */
	struct depot	 pc_depot		/* all CPUs' */
	    __attribute__((aligned(64)));
};

/* --- objects --- */

/* => its byte says so; out: as it came out of a magazine */
static __attribute__((noreturn, cold)) void
freed_twice(const struct pool *pp, const void *obj, bool out)
{
	kern_assert_fail("assertion", out ? "*mark == 1" : "*mark == 0", __FILE__, __LINE__, __func__,
	    "pool cache %s: %p freed twice%s", pp->pr_wmesg, obj, out ? ": it was in magazines twice" : "");
}

/* => the object goes into a magazine, with what is returned; its caller owns it */
static inline __attribute__((always_inline)) struct cached
object_in(const struct pool_cache *pc, void *obj)
{
	const struct pool *pp = pc->pc_pool;
	struct cached c = { obj, NULL };
	size_t index;

	if (UVMSTRESS_LOCKDEBUG) {
		c.c_mark = &pool_item_page(pp, obj, &index)->ph_cached[index];
		/* relaxed: the magazine carries the object to object_out() */
		if (__builtin_expect(__atomic_load_n(c.c_mark, __ATOMIC_RELAXED) != 0, 0))
			freed_twice(pp, obj, false);
		__atomic_store_n(c.c_mark, 1, __ATOMIC_RELAXED);
		if (__builtin_expect(pc->pc_ctor == NULL, 1))
			pool_pattern_fill(pp, obj);
	}
	pool_poison(obj, pp->pr_size);
	return c;
}

/* => it came out of a magazine: the object, its caller's */
static inline __attribute__((always_inline)) void *
object_out(const struct pool_cache *pc, struct cached c)
{
	const struct pool *pp = pc->pc_pool;

	pool_unpoison(c.c_obj, pp->pr_size);
	if (UVMSTRESS_LOCKDEBUG) {
		if (__builtin_expect(((uintptr_t)c.c_obj ^ (uintptr_t)c.c_mark) > pp->pr_mask, 0))
			pool_item_strange(pp, c.c_obj);
		/* relaxed: as in object_in() */
		if (__builtin_expect(__atomic_load_n(c.c_mark, __ATOMIC_RELAXED) != 1, 0))
			freed_twice(pp, c.c_obj, true);
		__atomic_store_n(c.c_mark, 0, __ATOMIC_RELAXED);
		if (__builtin_expect(pc->pc_ctor == NULL, 1))
			pool_pattern_check(pp, c.c_obj);
	}
	return c.c_obj;
}

static void
object_destroy(struct pool_cache *pc, void *obj)
{
	if (pc->pc_dtor != NULL)
		pc->pc_dtor(pc->pc_arg, obj);
	pool_put(pc->pc_pool, obj);
}

/* --- the own CPU --- */

static __attribute__((noreturn, cold)) void
too_low(const struct pool_cache *pc, int ilevel)
{
	kern_assert_fail("assertion", "ci->ci_ilevel >= pc->pc_ipl", __FILE__, __LINE__, __func__,
	    "I-POOL-9: cache %s: a CPU's magazines are touched at IPL %d, which does not keep interrupts out",
	    pc->pc_pool->pr_wmesg, ilevel);
}

/* => at ipl, the cache's, on that CPU; valid until the level is lowered */
static inline __attribute__((always_inline)) struct pool_cache_cpu *
own_cpu(struct pool_cache *pc, const struct cpu_info *ci, ipl_t ipl)
{
	if (__builtin_expect(ci->ci_ilevel < (int)ipl, 0))
		too_low(pc, ci->ci_ilevel);
	return &pc->pc_cpu[ci->ci_index];
}

/* => the current magazine, or NULL, is current no more, and m, or NULL, is */
static struct magazine *
replace_current(struct pool_cache_cpu *pcc, struct magazine *m)
{
	struct magazine *old = pcc->pcc_current;

	if (old != NULL)
		old->m_n = (unsigned)pcc->pcc_n;
	host_count(&pcc->pcc_came, -(uint64_t)pcc->pcc_n);
	pcc->pcc_current = m;
	pcc->pcc_n = m != NULL ? m->m_n : 0;
	pcc->pcc_max = m != NULL ? MAG_OBJECTS : 0;
	host_count(&pcc->pcc_came, pcc->pcc_n);
	return old;
}

static void
push(struct magazine **list, struct magazine *m)
{
	m->m_next = *list;
	*list = m;
}

static struct magazine *
pop(struct magazine **list)
{
	struct magazine *m = *list;

	if (m != NULL)
		*list = m->m_next;
	return m;
}

/* => the magazine goes to the depot; d_lock held */
static void
depot_put(struct depot *d, struct magazine *m)
{
	KASSERT(mutex_owned(&d->d_lock));
	if (m->m_n > 0)
		d->d_nfull++;
	push(m->m_n > 0 ? &d->d_full : &d->d_empty, m);
}

/*
 * What lay in a depot is out of the processor's caches by the time that it is wanted, and one miss after
 * another is what a get would wait for.  So the lines are asked for ahead, and come side by side: those of
 * the magazine that is next, and all objects of one that becomes current.
 */
static void
ask_for_magazine(const struct magazine *m)
{
	for (size_t i = 0; i < sizeof(*m); i += 64)
		__builtin_prefetch((const char *)m + i);
}

/* => m is its CPU's */
static void
ask_for_objects(const struct magazine *m)
{
	for (unsigned i = 0; i < m->m_n; i++) {
		__builtin_prefetch(m->m_obj[i].c_obj, 1);
		__builtin_prefetch(m->m_obj[i].c_mark, 1);
	}
}

/* => a magazine of the depot, with objects or without; or NULL.  d_lock held */
static struct magazine *
depot_get(struct depot *d, bool full)
{
	struct magazine *m = pop(full ? &d->d_full : &d->d_empty);

	KASSERT(mutex_owned(&d->d_lock));
	if (m != NULL && full)
		d->d_nfull--;
	if (full && d->d_full != NULL)
		ask_for_magazine(d->d_full);
	return m;
}

/* => the depot that is asked first: the CPU's, or that of one which stands for the host's core */
static struct depot *
own_depot(struct pool_cache *pc, struct pool_cache_cpu *pcc)
{
	return cpu_cores == 0 ? &pcc->pcc_depot : &pc->pc_cpu[host_core() % cpu_cores].pcc_depot;
}

/*
 * => a magazine with objects, or one without, comes for previous, which goes to the depot that it came from;
 *    but to the own one, if that has not got its share of full ones.  NULL: there is none
 */
static struct magazine *
depot_swap(struct pool_cache *pc, struct pool_cache_cpu *pcc, bool full)
{
	struct depot *own = own_depot(pc, pcc), *to = own;
	struct magazine *m = NULL, *previous = pcc->pcc_previous;
	bool room;

	mutex_enter(&own->d_lock);
	room = own->d_nfull < pc->pc_share;
	if (full || room)
		m = depot_get(own, full);
	if (m != NULL && previous != NULL)
		depot_put(own, previous);
	mutex_exit(&own->d_lock);
	if (m != NULL)
		return m;
	to = !full && room ? own : &pc->pc_depot;
	mutex_enter(&pc->pc_depot.d_lock);
	m = depot_get(&pc->pc_depot, full);
	if (m != NULL && previous != NULL && to != own)
		depot_put(to, previous);
	mutex_exit(&pc->pc_depot.d_lock);
	if (m != NULL && previous != NULL && to == own) {
		mutex_enter(&own->d_lock);
		depot_put(own, previous);
		mutex_exit(&own->d_lock);
	}
	return m;
}

/* => such a magazine is current now; false: there is none */
static bool
exchange(struct pool_cache *pc, struct pool_cache_cpu *pcc, bool full)
{
	struct magazine *m = depot_swap(pc, pcc, full);

	if (m == NULL)
		return false;
	pcc->pcc_previous = replace_current(pcc, m);
	if (full)
		ask_for_objects(m);
	return true;
}

static bool
has_object(const struct magazine *m)
{
	return m != NULL && m->m_n > 0;
}

static bool
has_room(const struct magazine *m)
{
	return m != NULL && m->m_n < MAG_OBJECTS;
}

/*
 * => the current magazine will not do: another takes its place that has an object, or room;
 *    false: there is none
 */
static bool
find_magazine(struct pool_cache *pc, struct pool_cache_cpu *pcc, bool object)
{
	if (object ? has_object(pcc->pcc_previous) : has_room(pcc->pcc_previous)) {
		pcc->pcc_previous = replace_current(pcc, pcc->pcc_previous);
		return true;
	}
	return exchange(pc, pcc, object);
}

/* => a get (or put) that passed the magazines by; stale: of which CPU, for the bug of old */
static void
count_uncached(struct pool_cache *pc, struct pool_cache_cpu *stale, bool get)
{
	struct cpu_info *ci = curcpu();
	const int s = spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = stale != NULL ? stale : own_cpu(pc, ci, pc->pc_ipl);

	KASSERTMSG(pcc == own_cpu(pc, ci, pc->pc_ipl), "I-POOL-9: cache %s: magazines of CPU %d are used on CPU %d",
	    pc->pc_pool->pr_wmesg, (int)(pcc - pc->pc_cpu), ci->ci_index);
	host_count(&pcc->pcc_came, get ? 1 : -(uint64_t)1);
	spl_restore(ci, s);
}

/*
 * --- put, at the level ---
 *
 * Here and below what is rare is called last, so that on the way of nearly all there is nothing to save.
 */

/* => at pc_ipl; there is room */
static inline void
give(struct pool_cache_cpu *pcc, struct cached c)
{
	const size_t n = pcc->pcc_n;

	pcc->pcc_current->m_obj[n] = c;
	pcc->pcc_n = n + 1;
}

/* => the object is in the current magazine, or in one that takes its place; false: no room */
static bool
put_somewhere(struct pool_cache *pc, struct cached c)
{
	struct cpu_info *ci = curcpu();
	const int s = spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = own_cpu(pc, ci, pc->pc_ipl);
	const bool done = pcc->pcc_n < pcc->pcc_max || find_magazine(pc, pcc, false);

	if (done)
		give(pcc, c);
	spl_restore(ci, s);
	return done;
}

/* => one more empty magazine is in the common depot; false: no memory.  Never blocks. */
static bool
add_magazine(struct pool_cache *pc)
{
	struct magazine *m = pool_get(pc->pc_magpool, PR_NOWAIT);

	if (m == NULL)
		return false;
	m->m_n = 0;
	mutex_enter(&pc->pc_depot.d_lock);
	depot_put(&pc->pc_depot, m);
	mutex_exit(&pc->pc_depot.d_lock);
	return true;
}

/* => the object is cached, on whichever CPU we are; or it is destroyed.  Never blocks. */
static void
put_anywhere(struct pool_cache *pc, struct cached c)
{
	/* the pool's page may have taken its time, hence the CPU is looked up each time */
	if (put_somewhere(pc, c) || (add_magazine(pc) && put_somewhere(pc, c)))
		return;
	/* No memory for a magazine, or another CPU had the one that we made. */
	count_uncached(pc, NULL, false);
	object_destroy(pc, object_out(pc, c));
}

/* => objects that came with one that was wanted: constructed, they go where they will be found */
static void
keep(struct pool_cache *pc, void **objs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (pc->pc_ctor != NULL && pc->pc_ctor(pc->pc_arg, objs[i], PR_NOWAIT) != 0) {
			pool_put(pc->pc_pool, objs[i]);
			continue;
		}
		count_uncached(pc, NULL, true);
		put_anywhere(pc, object_in(pc, objs[i]));
	}
}

/* --- get --- */

/* => neither this CPU has an object, nor a depot: from the pool, and more of its page besides */
static __attribute__((noinline)) void *
get_uncached(struct pool_cache *pc, int flags, struct pool_cache_cpu *stale)
{
	void *run[RUN_MAX];
	unsigned n = pool_get_run(pc->pc_pool, flags, run, RUN_MAX);

	if (n == 0)
		return NULL;
	if (pc->pc_ctor != NULL && pc->pc_ctor(pc->pc_arg, run[0], flags) != 0) {
		while (n > 0)
			pool_put(pc->pc_pool, run[--n]);
		return NULL;
	}
	count_uncached(pc, stale, true);
	keep(pc, run + 1, n - 1);
	return run[0];
}

static inline struct pool_cache_cpu *
cpu_to_get(struct pool_cache *pc, const struct cpu_info *ci, ipl_t ipl)
{
	return BUG(magazine_without_spl) ? &pc->pc_cpu[ci->ci_index] : own_cpu(pc, ci, ipl);
}

/* => at pc_ipl, the current magazine has one; its caller's */
static inline __attribute__((always_inline)) void *
take(struct pool_cache *pc, struct pool_cache_cpu *pcc)
{
	const size_t n = pcc->pcc_n - 1;
	const struct cached c = pcc->pcc_current->m_obj[n];

	pcc->pcc_n = n;
	return object_out(pc, c);
}

/* => at pc_ipl, back to level s: the current magazine has none */
static __attribute__((noinline)) void *
get_elsewhere(struct pool_cache *pc, int flags, int s)
{
	struct cpu_info *ci = curcpu();
	struct pool_cache_cpu *pcc = cpu_to_get(pc, ci, pc->pc_ipl);
	struct pool_cache_cpu *stale = BUG(curcpu_across_sleep) ? pcc : NULL;
	void *obj = find_magazine(pc, pcc, true) ? take(pc, pcc) : NULL;

	spl_restore(ci, s);
	return obj != NULL ? obj : get_uncached(pc, flags, stale);
}

/* => the object has been taken; what is left to be done at the end of its section */
static __attribute__((noinline)) void *
leave_with(struct cpu_info *ci, enum spl_rest rest, void *obj)
{
	spl_restore_rest(ci, rest);
	return obj;
}

static inline __attribute__((always_inline)) void *
get(struct pool_cache *pc, struct cpu_info *ci, int flags)
{
	const ipl_t ipl = pc->pc_ipl;
	const int s = BUG(magazine_without_spl) ? ci->ci_ilevel : spl_raise(ci, ipl);
	struct pool_cache_cpu *pcc = cpu_to_get(pc, ci, ipl);
	enum spl_rest rest;
	void *obj;

	if (__builtin_expect(pcc->pcc_n == 0, 0))
		return get_elsewhere(pc, flags, s);
	obj = take(pc, pcc);
	rest = spl_restore_quick(ci, s);
	return __builtin_expect(rest == SPL_DONE, 1) ? obj : leave_with(ci, rest, obj);
}

/* => in interrupt, with locks held and waiting allowed, or with flags that few have */
static __attribute__((noinline)) void *
get_watched(struct pool_cache *pc, int flags)
{
	struct cpu_info *ci = curcpu();
	void *obj;

	KASSERT(((flags & PR_WAITOK) != 0) != ((flags & PR_NOWAIT) != 0));
	KASSERTMSG((flags & PR_ZERO) == 0 || pc->pc_ctor == NULL,
	    "pool cache %s: zero would undo the constructor", pc->pc_pool->pr_wmesg);
	if (ci->ci_idepth != 0)
		pool_get_interrupt(pc->pc_pool, "cached get");
	if ((flags & PR_WAITOK) != 0)
		lockdebug_sleep_barrier("pool_cache_get(PR_WAITOK)");
	obj = get(pc, ci, flags & ~PR_ZERO);
	if (obj != NULL && (flags & PR_ZERO) != 0)
		memset(obj, 0, pc->pc_pool->pr_asked);
	return obj;
}

void *
pool_cache_get(pool_cache_t pc, int flags)
{
	const struct lwp *l = curlwp;
	struct cpu_info *ci = l->l_cpu;

	if (__builtin_expect((flags != PR_WAITOK || !lockdebug_barrier_open(l, ci)) &&
	    (flags != PR_NOWAIT || ci->ci_idepth != 0), 0))
		return get_watched(pc, flags);
	return get(pc, ci, flags);
}

/* --- put --- */

/* => at pc_ipl, back to level s: the current magazine has no room */
static __attribute__((noinline)) void
put_elsewhere(struct pool_cache *pc, void *obj, uint8_t *mark, int s)
{
	spl_restore(curcpu(), s);
	put_anywhere(pc, (struct cached){ obj, mark });
}

static inline __attribute__((always_inline)) void
put(struct pool_cache *pc, struct cpu_info *ci, void *obj)
{
	const ipl_t ipl = pc->pc_ipl;
	const int s = BUG(missing_spl) ? ci->ci_ilevel : spl_raise(ci, ipl);
	struct pool_cache_cpu *pcc = own_cpu(pc, ci, ipl);
	const struct cached c = object_in(pc, obj);

	if (__builtin_expect(pcc->pcc_n == pcc->pcc_max, 0)) {
		put_elsewhere(pc, obj, c.c_mark, s);
		return;
	}
	give(pcc, c);
	spl_restore(ci, s);
}

/* => in interrupt, or with locks held: are any in the object? */
static __attribute__((noinline)) void
put_watched(struct pool_cache *pc, void *obj)
{
	struct cpu_info *ci = curcpu();

	if (ci->ci_idepth != 0)
		pool_put_interrupt(pc->pc_pool, "cached put");
	lockdebug_mem_check(obj, pc->pc_pool->pr_size);
	put(pc, ci, obj);
}

void
pool_cache_put(pool_cache_t pc, void *obj)
{
	const struct lwp *l = curlwp;
	struct cpu_info *ci = l->l_cpu;

	if (__builtin_expect((ci->ci_idepth | l->l_held.hs_n) != 0, 0))
		put_watched(pc, obj);
	else
		put(pc, ci, obj);
}

uint64_t
pool_cache_nout(pool_cache_t pc)
{
	uint64_t n = 0;

	race_access_ignore(true);		/* as of counters: a number is wanted, no order */
	for (int i = 0; i < ncpu; i++)
		n += __atomic_load_n(&pc->pc_cpu[i].pcc_came, __ATOMIC_RELAXED) -
		    __atomic_load_n(&pc->pc_cpu[i].pcc_n, __ATOMIC_RELAXED);
	race_access_ignore(false);
	return n;
}

/* --- giving back --- */

/* => this CPU's magazines go to its depot; the cross call of invalidate */
static void
give_up_magazines(void *arg)
{
	struct pool_cache *pc = arg;
	struct cpu_info *ci = curcpu();
	const int s = spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = own_cpu(pc, ci, pc->pc_ipl);
	struct magazine *const m[] = { replace_current(pcc, NULL), pcc->pcc_previous };
	struct depot *own = own_depot(pc, pcc);

	pcc->pcc_previous = NULL;
	mutex_enter(&own->d_lock);
	for (int i = 0; i < 2; i++)
		if (m[i] != NULL)
			depot_put(own, m[i]);
	mutex_exit(&own->d_lock);
	spl_restore(ci, s);
}

static struct magazine *
depot_take(struct depot *d)
{
	struct magazine *m;

	mutex_enter(&d->d_lock);
	KASSERTMSG((d->d_full == NULL) == (d->d_nfull == 0), "a depot counts %u magazines with objects, and has %s",
	    d->d_nfull, d->d_full == NULL ? "none" : "some");
	m = depot_get(d, true);
	if (m == NULL)
		m = depot_get(d, false);
	mutex_exit(&d->d_lock);
	return m;
}

static void
depot_drain(struct pool_cache *pc, struct depot *d)
{
	struct magazine *m;

	while ((m = depot_take(d)) != NULL) {
		for (unsigned i = 0; i < m->m_n; i++)
			object_destroy(pc, object_out(pc, m->m_obj[i]));
		pool_put(pc->pc_magpool, m);
	}
}

/* => what is in the depots at some moment goes back to the pool; thread context, no lock held */
void
pool_cache_drain_depot(struct pool_cache *pc)
{
	depot_drain(pc, &pc->pc_depot);
	for (int i = 0; i < ncpu; i++)
		depot_drain(pc, &pc->pc_cpu[i].pcc_depot);
}

void
pool_cache_invalidate(pool_cache_t pc)
{
	xc_broadcast(give_up_magazines, pc);
	pool_cache_drain_depot(pc);
}

/* --- creation and end --- */

pool_cache_t
pool_cache_create(size_t size, size_t align, const char *wmesg, const struct pool_allocator *pa,
    ipl_t ipl, int (*ctor)(void *, void *, int), void (*dtor)(void *, void *), void *arg)
{
	struct pool_cache *pc = aligned_alloc(64, sizeof(*pc));
	const size_t bytes = (size_t)ncpu * sizeof(*pc->pc_cpu);
	const size_t depots = cpu_cores != 0 ? cpu_cores : (size_t)ncpu, turns = cpu_cores != 0 ? SHARE_TURNS : 1;
	const size_t share = turns * SHARE_BYTES / depots / size / MAG_OBJECTS;

	if (pc == NULL)
		panic("pool cache %s: the host has no memory", wmesg);
	memset(pc, 0, sizeof(*pc));
	pc->pc_cpu = aligned_alloc(64, bytes);
	if (pc->pc_cpu == NULL)
		panic("pool cache %s: the host has no memory", wmesg);
	memset(pc->pc_cpu, 0, bytes);
	pc->pc_ipl = ipl > IPL_VM ? ipl : IPL_VM;
	pc->pc_ctor = ctor;
	pc->pc_dtor = dtor;
	pc->pc_arg = arg;
	pc->pc_share = share < 1 ? 1 : share > turns * SHARE_MAX ? (unsigned)turns * SHARE_MAX : (unsigned)share;
	mutex_init(&pc->pc_depot.d_lock, MUTEX_SPIN, pc->pc_ipl, LC_pool_depot);
	for (int i = 0; i < ncpu; i++)
		mutex_init(&pc->pc_cpu[i].pcc_depot.d_lock, MUTEX_SPIN, pc->pc_ipl, LC_pool_depot);
	/* Objects may come and go in interrupts; then so do magazines. */
	pc->pc_magpool = pool_create_internal(sizeof(struct magazine), 64, wmesg, pa, ipl, true,
	    NULL);
	pc->pc_pool = pool_create_internal(size, align, wmesg, pa, ipl, false, pc);
	return pc;
}

void
pool_cache_free_struct(struct pool_cache *pc)
{
	for (int i = 0; i < ncpu; i++)
		mutex_destroy(&pc->pc_cpu[i].pcc_depot.d_lock);
	mutex_destroy(&pc->pc_depot.d_lock);
	free(pc->pc_cpu);
	free(pc);
}

void
pool_cache_destroy(pool_cache_t pc)
{
	/* First off the list: pool_drain_all() may have magazines of ours in its hands. */
	pool_unlist(pc->pc_pool);
	pool_unlist(pc->pc_magpool);
	pool_cache_invalidate(pc);
	pool_finish(pc->pc_pool);
	pool_finish(pc->pc_magpool);
	pool_cache_free_struct(pc);
}
