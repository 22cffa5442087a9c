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
 * For the same reason the pool is asked for a run of objects of one page.
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

#include "kern_int.h"
#include "pool_int.h"

#include <sys/bug.h>

#define	MAG_OBJECTS	14		/* a magazine is two cache lines, which are one CPU's */
#define	SHARE_BYTES	16384		/* of objects in a CPU's own depot, at most */
#define	SHARE_MAX	20u		/* magazines in it, at most */
#define	RUN_MAX		POOL_PAGE_ITEMS	/* objects of a page at once: all of them, so that no other CPU gets any */

struct magazine {
	struct magazine	*m_next;		/* d_lock, while in a depot */
	unsigned	 m_n;			/* its CPU's, or d_lock */
	void		*m_obj[MAG_OBJECTS];	/* its CPU's, or d_lock */
};
_Static_assert(sizeof(struct magazine) == 128, "no line of a magazine is another CPU's");

/* Its lock protects all fields. */
struct depot {
	kmutex_t	 d_lock;		/* LC_pool_depot, spin, pc_ipl */
	struct magazine	*d_full;		/* none of them without an object */
	struct magazine	*d_empty;
	unsigned	 d_nfull;		/* how many in d_full */
};

/* All fields but the depot: the LWP that holds the CPU, at pc_ipl; counters read @ by pool_cache_nout(). */
struct pool_cache_cpu {
	struct magazine	*pcc_current;		/* or NULL */
	struct magazine	*pcc_previous;		/* or NULL */
	uint64_t	 pcc_nget;
	uint64_t	 pcc_nput;
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

/* => the object goes into a magazine, or comes out of one; its caller owns it */
static inline void
object_in(const struct pool_cache *pc, void *obj)
{
	const struct pool *pp = pc->pc_pool;
	uint8_t *cached;
	unsigned index;

	if (UVMSTRESS_LOCKDEBUG) {
		cached = &pool_item_page(pp, obj, &index)->ph_cached[index];
		/* relaxed: the magazine carries the object to object_out() */
		KASSERTMSG(__atomic_load_n(cached, __ATOMIC_RELAXED) == 0, "pool cache %s: %p freed twice",
		    pp->pr_wmesg, obj);
		__atomic_store_n(cached, 1, __ATOMIC_RELAXED);
		if (pc->pc_ctor == NULL)
			pool_pattern_fill(pp, obj);
	}
	pool_poison(obj, pp->pr_size);
}

static inline void
object_out(const struct pool_cache *pc, void *obj)
{
	const struct pool *pp = pc->pc_pool;
	uint8_t *cached;
	unsigned index;

	pool_unpoison(obj, pp->pr_size);
	if (UVMSTRESS_LOCKDEBUG) {
		cached = &pool_item_page(pp, obj, &index)->ph_cached[index];
		/* relaxed: as in object_in() */
		KASSERTMSG(__atomic_load_n(cached, __ATOMIC_RELAXED) == 1,
		    "pool cache %s: %p freed twice: it was in magazines twice", pp->pr_wmesg, obj);
		__atomic_store_n(cached, 0, __ATOMIC_RELAXED);
		if (pc->pc_ctor == NULL)
			pool_pattern_check(pp, obj);
	}
}

static void
object_destroy(struct pool_cache *pc, void *obj)
{
	if (pc->pc_dtor != NULL)
		pc->pc_dtor(pc->pc_arg, obj);
	pool_put(pc->pc_pool, obj);
}

/* --- the own CPU --- */

/* => at pc_ipl on that CPU; valid until the level is lowered */
static inline struct pool_cache_cpu *
own_cpu(struct pool_cache *pc, const struct cpu_info *ci)
{
	KASSERTMSG(ci->ci_ilevel >= (int)pc->pc_ipl,
	    "I-POOL-9: cache %s: a CPU's magazines are touched at IPL %d, which does not keep interrupts out",
	    pc->pc_pool->pr_wmesg, ci->ci_ilevel);
	return &pc->pc_cpu[ci->ci_index];
}

static void
swap_magazines(struct pool_cache_cpu *pcc)
{
	struct magazine *m = pcc->pcc_current;

	pcc->pcc_current = pcc->pcc_previous;
	pcc->pcc_previous = m;
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

/* => a magazine of the depot, with objects or without; or NULL.  d_lock held */
static struct magazine *
depot_get(struct depot *d, bool full)
{
	struct magazine *m = pop(full ? &d->d_full : &d->d_empty);

	KASSERT(mutex_owned(&d->d_lock));
	if (m != NULL && full)
		d->d_nfull--;
	return m;
}

/*
 * => a magazine with objects, or one without, comes for previous, which goes to the depot that it came from;
 *    but to the own one, if that has not got its share of full ones.  NULL: there is none
 */
static struct magazine *
depot_swap(struct pool_cache *pc, struct pool_cache_cpu *pcc, bool full)
{
	struct depot *own = &pcc->pcc_depot, *to = own;
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
	pcc->pcc_previous = pcc->pcc_current;
	pcc->pcc_current = m;
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
 *    NULL: there is none
 */
static __attribute__((noinline)) struct magazine *
magazine_with(struct pool_cache *pc, struct pool_cache_cpu *pcc, bool object)
{
	if (object ? has_object(pcc->pcc_previous) : has_room(pcc->pcc_previous))
		swap_magazines(pcc);
	else if (!exchange(pc, pcc, object))
		return NULL;
	return pcc->pcc_current;
}

/* => a cached object, or NULL */
static inline void *
get_cached(struct pool_cache *pc, struct cpu_info *ci)
{
	const int s = BUG(magazine_without_spl) ? ci->ci_ilevel : spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = BUG(magazine_without_spl) ?
	    &pc->pc_cpu[ci->ci_index] : own_cpu(pc, ci);
	struct magazine *m = pcc->pcc_current;
	void *obj = NULL;

	if (__builtin_expect(has_object(m), 1) || (m = magazine_with(pc, pcc, true)) != NULL) {
		obj = m->m_obj[--m->m_n];
		host_count(&pcc->pcc_nget, 1);
	}
	spl_restore(ci, s);
	return obj;
}

/* => the object is in a magazine; false: there is no room */
static inline bool
put_cached(struct pool_cache *pc, struct cpu_info *ci, void *obj)
{
	const int s = BUG(missing_spl) ? ci->ci_ilevel : spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = own_cpu(pc, ci);
	struct magazine *m = pcc->pcc_current;

	if (__builtin_expect(has_room(m), 1) || (m = magazine_with(pc, pcc, false)) != NULL) {
		m->m_obj[m->m_n++] = obj;
		host_count(&pcc->pcc_nput, 1);
	}
	spl_restore(ci, s);
	return m != NULL;
}

/* => a get (or put) that passed the magazines by; stale: of which CPU, for the bug of old */
static void
count_uncached(struct pool_cache *pc, struct pool_cache_cpu *stale, bool get)
{
	struct cpu_info *ci = curcpu();
	const int s = spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = stale != NULL ? stale : own_cpu(pc, ci);

	KASSERTMSG(pcc == own_cpu(pc, ci), "I-POOL-9: cache %s: magazines of CPU %d are used on CPU %d",
	    pc->pc_pool->pr_wmesg, (int)(pcc - pc->pc_cpu), ci->ci_index);
	host_count(get ? &pcc->pcc_nget : &pcc->pcc_nput, 1);
	spl_restore(ci, s);
}

/* --- get and put --- */

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
put_anywhere(struct pool_cache *pc, void *obj)
{
	/* the pool's page may have taken its time, hence curcpu() each time */
	if (put_cached(pc, curcpu(), obj) || (add_magazine(pc) && put_cached(pc, curcpu(), obj)))
		return;
	/* No memory for a magazine, or another CPU had the one that we made. */
	object_out(pc, obj);
	count_uncached(pc, NULL, false);
	object_destroy(pc, obj);
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
		object_in(pc, objs[i]);
		put_anywhere(pc, objs[i]);
	}
}

void *
pool_cache_get(pool_cache_t pc, int flags)
{
	struct cpu_info *ci = curcpu();
	struct pool_cache_cpu *stale = BUG(curcpu_across_sleep) ? &pc->pc_cpu[ci->ci_index] : NULL;
	void *obj, *run[RUN_MAX];
	unsigned n;

	KASSERT(((flags & PR_WAITOK) != 0) != ((flags & PR_NOWAIT) != 0));
	KASSERTMSG((flags & PR_ZERO) == 0 || pc->pc_ctor == NULL,
	    "pool cache %s: zero would undo the constructor", pc->pc_pool->pr_wmesg);
	if (__builtin_expect(ci->ci_idepth != 0, 0))
		pool_get_interrupt(pc->pc_pool, "cached get");
	if ((flags & PR_WAITOK) != 0)
		lockdebug_sleep_barrier("pool_cache_get(PR_WAITOK)");
	obj = get_cached(pc, ci);
	if (__builtin_expect(obj != NULL, 1)) {
		object_out(pc, obj);
		if ((flags & PR_ZERO) != 0)
			memset(obj, 0, pc->pc_pool->pr_asked);
		return obj;
	}
	n = pool_get_run(pc->pc_pool, flags, run, RUN_MAX);
	if (n == 0)
		return NULL;
	obj = run[0];
	if (pc->pc_ctor != NULL && pc->pc_ctor(pc->pc_arg, obj, flags) != 0) {
		while (n > 0)
			pool_put(pc->pc_pool, run[--n]);
		return NULL;
	}
	count_uncached(pc, stale, true);
	keep(pc, run + 1, n - 1);
	return obj;
}

void
pool_cache_put(pool_cache_t pc, void *obj)
{
	struct cpu_info *ci = curcpu();

	if (__builtin_expect(ci->ci_idepth != 0, 0))
		pool_put_interrupt(pc->pc_pool, "cached put");
	lockdebug_mem_check(obj, pc->pc_pool->pr_size);
	object_in(pc, obj);
	if (__builtin_expect(!put_cached(pc, ci, obj), 0))
		put_anywhere(pc, obj);
}

uint64_t
pool_cache_nout(pool_cache_t pc)
{
	uint64_t n = 0;

	for (int i = 0; i < ncpu; i++)
		n += __atomic_load_n(&pc->pc_cpu[i].pcc_nget, __ATOMIC_RELAXED) -
		    __atomic_load_n(&pc->pc_cpu[i].pcc_nput, __ATOMIC_RELAXED);
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
	struct pool_cache_cpu *pcc = own_cpu(pc, ci);
	struct magazine *const m[] = { pcc->pcc_current, pcc->pcc_previous };

	pcc->pcc_current = pcc->pcc_previous = NULL;
	mutex_enter(&pcc->pcc_depot.d_lock);
	for (int i = 0; i < 2; i++)
		if (m[i] != NULL)
			depot_put(&pcc->pcc_depot, m[i]);
	mutex_exit(&pcc->pcc_depot.d_lock);
	spl_restore(ci, s);
}

static struct magazine *
depot_take(struct depot *d)
{
	struct magazine *m;

	mutex_enter(&d->d_lock);
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
		for (unsigned i = 0; i < m->m_n; i++) {
			object_out(pc, m->m_obj[i]);
			object_destroy(pc, m->m_obj[i]);
		}
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
	const size_t bytes = (size_t)ncpu * sizeof(*pc->pc_cpu), share = SHARE_BYTES / size / MAG_OBJECTS;

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
	pc->pc_share = share < 1 ? 1 : share > SHARE_MAX ? SHARE_MAX : (unsigned)share;
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
