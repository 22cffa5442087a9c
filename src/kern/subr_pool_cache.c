/*
 * pool_cache(9): constructed objects, kept by each CPU.
 *
 * A CPU has two magazines, current and previous, of objects that are ready for
 * use.  A get pops from one, a put pushes onto one, and only when neither will do
 * is the depot asked, a list of full magazines and one of empty ones that all CPUs
 * share under pc_lock.  With two magazines an LWP that gets and puts around the
 * edge of one does not go to the depot each time.
 *
 *	get:  current, else swap with previous, else a full one from the depot,
 *	      else the pool and the constructor
 *	put:  current, else swap with previous, else an empty one from the depot,
 *	      else a new magazine, else the destructor and the pool
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
 * Lock order: pc_lock, then nothing; the pool is called without it.
 */
#include <stdlib.h>
#include <string.h>

#include "kern_int.h"
#include "pool_int.h"

#include <sys/bug.h>

#define	MAG_OBJECTS	15

struct magazine {
	struct magazine	*m_next;		/* pc_lock, while in the depot */
	unsigned	 m_n;			/* its CPU's, or pc_lock */
	void		*m_obj[MAG_OBJECTS];	/* its CPU's, or pc_lock */
};

/* All fields: the LWP that holds the CPU, at pc_ipl; counters read @ by pool_cache_nout(). */
struct pool_cache_cpu {
	struct magazine	*pcc_current;		/* or NULL */
	struct magazine	*pcc_previous;		/* or NULL */
	uint64_t	 pcc_nget;
	uint64_t	 pcc_nput;
} __attribute__((aligned(64)));

/*
 *	:  stable after creation	d  pc_lock
 */
struct pool_cache {
	struct pool	*pc_pool;		/* : objects */
	struct pool	*pc_magpool;		/* : magazines, from the same back end */
	ipl_t		 pc_ipl;		/* : IPL_VM or the pool's, if that is higher */
	int		(*pc_ctor)(void *, void *, int); /* : or NULL */
	void		(*pc_dtor)(void *, void *);	/* : or NULL */
	void		*pc_arg;		/* : */
	kmutex_t	 pc_lock;
	struct magazine	*pc_full;		/* d: none of them without an object */
	struct magazine	*pc_empty;		/* d */
	struct pool_cache_cpu *pc_cpu;		/* : array of ncpu */
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

/*
 * => the depot gives a magazine of the one list for previous, which goes to the other;
 *    false: it has none
 */
static bool
exchange(struct pool_cache *pc, struct pool_cache_cpu *pcc, struct magazine **from,
    struct magazine **to)
{
	struct magazine *m;

	mutex_enter(&pc->pc_lock);
	m = pop(from);
	if (m != NULL) {
		if (pcc->pcc_previous != NULL)
			push(to, pcc->pcc_previous);
		pcc->pcc_previous = pcc->pcc_current;
		pcc->pcc_current = m;
	}
	mutex_exit(&pc->pc_lock);
	return m != NULL;
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
	else if (!(object ? exchange(pc, pcc, &pc->pc_full, &pc->pc_empty) :
	    exchange(pc, pcc, &pc->pc_empty, &pc->pc_full)))
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

void *
pool_cache_get(pool_cache_t pc, int flags)
{
	struct cpu_info *ci = curcpu();
	struct pool_cache_cpu *stale = BUG(curcpu_across_sleep) ? &pc->pc_cpu[ci->ci_index] : NULL;
	void *obj;

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
	obj = pool_get(pc->pc_pool, flags);
	if (obj == NULL)
		return NULL;
	if (pc->pc_ctor != NULL && pc->pc_ctor(pc->pc_arg, obj, flags) != 0) {
		pool_put(pc->pc_pool, obj);
		return NULL;
	}
	count_uncached(pc, stale, true);
	return obj;
}

/* => one more empty magazine is in the depot; false: no memory.  Never blocks. */
static bool
add_magazine(struct pool_cache *pc)
{
	struct magazine *m = pool_get(pc->pc_magpool, PR_NOWAIT);

	if (m == NULL)
		return false;
	m->m_n = 0;
	mutex_enter(&pc->pc_lock);
	push(&pc->pc_empty, m);
	mutex_exit(&pc->pc_lock);
	return true;
}

void
pool_cache_put(pool_cache_t pc, void *obj)
{
	struct cpu_info *ci = curcpu();

	if (__builtin_expect(ci->ci_idepth != 0, 0))
		pool_put_interrupt(pc->pc_pool, "cached put");
	lockdebug_mem_check(obj, pc->pc_pool->pr_size);
	object_in(pc, obj);
	if (__builtin_expect(put_cached(pc, ci, obj), 1))
		return;
	/* the pool's page may have taken its time: on whichever CPU we are by now */
	if (add_magazine(pc) && put_cached(pc, curcpu(), obj))
		return;
	/* No memory for a magazine, or another CPU had the one that we made. */
	object_out(pc, obj);
	count_uncached(pc, NULL, false);
	object_destroy(pc, obj);
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

/* => this CPU's magazines go to the depot; the cross call of invalidate */
static void
give_up_magazines(void *arg)
{
	struct pool_cache *pc = arg;
	struct cpu_info *ci = curcpu();
	const int s = spl_raise(ci, pc->pc_ipl);
	struct pool_cache_cpu *pcc = own_cpu(pc, ci);
	struct magazine *const m[] = { pcc->pcc_current, pcc->pcc_previous };

	pcc->pcc_current = pcc->pcc_previous = NULL;
	mutex_enter(&pc->pc_lock);
	for (int i = 0; i < 2; i++)
		if (m[i] != NULL)
			push(has_object(m[i]) ? &pc->pc_full : &pc->pc_empty, m[i]);
	mutex_exit(&pc->pc_lock);
	spl_restore(ci, s);
}

static struct magazine *
depot_take(struct pool_cache *pc)
{
	struct magazine *m;

	mutex_enter(&pc->pc_lock);
	m = pop(&pc->pc_full);
	if (m == NULL)
		m = pop(&pc->pc_empty);
	mutex_exit(&pc->pc_lock);
	return m;
}

/* => what is in the depot at some moment goes back to the pool; thread context, no lock held */
void
pool_cache_drain_depot(struct pool_cache *pc)
{
	struct magazine *m;

	while ((m = depot_take(pc)) != NULL) {
		for (unsigned i = 0; i < m->m_n; i++) {
			object_out(pc, m->m_obj[i]);
			object_destroy(pc, m->m_obj[i]);
		}
		pool_put(pc->pc_magpool, m);
	}
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
	struct pool_cache *pc = calloc(1, sizeof(*pc));
	const size_t bytes = (size_t)ncpu * sizeof(*pc->pc_cpu);

	if (pc == NULL || (pc->pc_cpu = aligned_alloc(64, bytes)) == NULL)
		panic("pool cache %s: the host has no memory", wmesg);
	memset(pc->pc_cpu, 0, bytes);
	pc->pc_ipl = ipl > IPL_VM ? ipl : IPL_VM;
	pc->pc_ctor = ctor;
	pc->pc_dtor = dtor;
	pc->pc_arg = arg;
	mutex_init(&pc->pc_lock, MUTEX_SPIN, pc->pc_ipl, LC_pool_depot);
	/* Objects may come and go in interrupts; then so do magazines. */
	pc->pc_magpool = pool_create_internal(sizeof(struct magazine), 0, wmesg, pa, ipl, true,
	    NULL);
	pc->pc_pool = pool_create_internal(size, align, wmesg, pa, ipl, false, pc);
	return pc;
}

void
pool_cache_free_struct(struct pool_cache *pc)
{
	mutex_destroy(&pc->pc_lock);
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
