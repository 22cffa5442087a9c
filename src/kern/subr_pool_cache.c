/*
 * pool_cache(9): constructed objects, kept by CPU.
 *
 * Each CPU has two magazines; get and put work on them with the IPL raised to the
 * cache's, which is all the exclusion that they need: an LWP loses its CPU only
 * where it sleeps.  Full and empty magazines are exchanged with a depot.
 *
 * pool_put's promise holds here too: a put never blocks.  When no empty magazine
 * can be had the object is destructed and goes to the pool.
 */
#include <stdlib.h>

#include <sys/pool.h>

#include "kern_int.h"
#include "pool_int.h"

#define	MAGAZINE	15

struct magazine {
	SLIST_ENTRY(magazine) mg_list;		/* depot: pc_lock */
	unsigned	 mg_n;			/* owner: its CPU at the cache's IPL */
	void		*mg_object[MAGAZINE];	/* likewise */
};

SLIST_HEAD(depot, magazine);

/* !: only the CPU, at the cache's IPL */
struct pool_cache_cpu {
	struct magazine	*cc_current, *cc_previous;	/* ! NULL: none yet */
	int64_t		 cc_nout;			/* ! got minus put on this CPU */
} __attribute__((aligned(64)));

/*	d  pc_lock	:  stable after creation	*/
struct pool_cache {
	struct pool	*pc_pool;		/* : */
	size_t		 pc_size;		/* : */
	ipl_t		 pc_ipl;		/* : */
	int		(*pc_ctor)(void *, void *, int);	/* : */
	void		(*pc_dtor)(void *, void *);		/* : */
	void		*pc_arg;		/* : */
	kmutex_t	 pc_lock;
	struct depot	 pc_full, pc_empty;	/* d */
	struct pool_cache_cpu *pc_cpus;		/* : array of ncpu */
};

pool_cache_t
pool_cache_create(size_t size, size_t align, const char *wmesg, const struct pool_allocator *pa,
    ipl_t ipl, int (*ctor)(void *, void *, int), void (*dtor)(void *, void *), void *arg)
{
	pool_cache_t pc = calloc(1, sizeof(*pc));

	if (pc != NULL)
		pc->pc_cpus = aligned_alloc(64, (size_t)ncpu * sizeof(*pc->pc_cpus));
	if (pc == NULL || pc->pc_cpus == NULL)
		panic("pool_cache %s: the host has no memory", wmesg);
	for (int i = 0; i < ncpu; i++)
		pc->pc_cpus[i] = (struct pool_cache_cpu){ 0 };
	pc->pc_pool = pool_create(size, align, wmesg, pa, ipl);
	pc->pc_size = size;
	pc->pc_ipl = ipl;
	pc->pc_ctor = ctor;
	pc->pc_dtor = dtor;
	pc->pc_arg = arg;
	mutex_init(&pc->pc_lock, MUTEX_SPIN, ipl > IPL_VM ? ipl : IPL_VM, LC_pool_depot);
	SLIST_INIT(&pc->pc_full);
	SLIST_INIT(&pc->pc_empty);
	return pc;
}

static void
destruct(pool_cache_t pc, void *object)
{
	if (pc->pc_dtor != NULL)
		pc->pc_dtor(pc->pc_arg, object);
	pool_put(pc->pc_pool, object);
}

/* => IPL raised: a magazine with an object to take, or with room; NULL: ask the pool */
static struct magazine *
magazine_with(pool_cache_t pc, struct pool_cache_cpu *cc, bool object)
{
	struct depot *want = object ? &pc->pc_full : &pc->pc_empty;
	struct depot *other = object ? &pc->pc_empty : &pc->pc_full;
	struct magazine *mg = cc->cc_previous;

	if (mg != NULL && (object ? mg->mg_n > 0 : mg->mg_n < MAGAZINE)) {
		cc->cc_previous = cc->cc_current;
		return cc->cc_current = mg;
	}
	mutex_enter(&pc->pc_lock);
	mg = SLIST_FIRST(want);
	if (mg != NULL) {
		SLIST_REMOVE_HEAD(want, mg_list);
		if (cc->cc_previous != NULL)
			SLIST_INSERT_HEAD(other, cc->cc_previous, mg_list);
	}
	mutex_exit(&pc->pc_lock);
	if (mg == NULL && !object)
		mg = calloc(1, sizeof(*mg));	/* host memory: bookkeeping, not the machine's */
	else if (mg == NULL)
		return NULL;
	if (mg == NULL)
		return NULL;
	cc->cc_previous = cc->cc_current;
	return cc->cc_current = mg;
}

static void *
construct(pool_cache_t pc, int flags)
{
	void *object = pool_get(pc->pc_pool, flags);

	if (object != NULL && pc->pc_ctor != NULL && pc->pc_ctor(pc->pc_arg, object, flags) != 0) {
		pool_put(pc->pc_pool, object);
		return NULL;
	}
	return object;
}

void *
pool_cache_get(pool_cache_t pc, int flags)
{
	int s = splraise(pc->pc_ipl);
	struct pool_cache_cpu *cc = &pc->pc_cpus[curcpu()->ci_index];
	struct magazine *mg = cc->cc_current;
	void *object = NULL;

	if (mg == NULL || mg->mg_n == 0)
		mg = magazine_with(pc, cc, true);
	if (mg != NULL && mg->mg_n > 0) {	/* the depot's may be partly filled: cpu_flush() */
		object = mg->mg_object[--mg->mg_n];
		cc->cc_nout++;
		pool_unpoison(object, pc->pc_size);
	}
	splx(s);
	if (object != NULL)
		return object;
	/* May sleep, and wake on another CPU: look the CPU up anew. */
	object = construct(pc, flags);
	if (object != NULL) {
		s = splraise(pc->pc_ipl);
		pc->pc_cpus[curcpu()->ci_index].cc_nout++;
		splx(s);
	}
	return object;
}

void
pool_cache_put(pool_cache_t pc, void *object)
{
	int s = splraise(pc->pc_ipl);
	struct pool_cache_cpu *cc = &pc->pc_cpus[curcpu()->ci_index];
	struct magazine *mg = cc->cc_current;

	lockdebug_mem_check(object, pc->pc_size);
	if (mg == NULL || mg->mg_n == MAGAZINE)
		mg = magazine_with(pc, cc, false);
	cc->cc_nout--;
	if (mg != NULL) {
		pool_poison(object, pc->pc_size);
		mg->mg_object[mg->mg_n++] = object;
	}
	splx(s);
	if (mg == NULL)
		destruct(pc, object);
}

static void
magazine_empty(pool_cache_t pc, struct magazine *mg)
{
	while (mg->mg_n > 0) {
		void *object = mg->mg_object[--mg->mg_n];

		pool_unpoison(object, pc->pc_size);
		destruct(pc, object);
	}
}

static void
depot_flush(pool_cache_t pc, struct depot *from)
{
	struct magazine *mg;

	mutex_enter(&pc->pc_lock);
	while ((mg = SLIST_FIRST(from)) != NULL) {
		SLIST_REMOVE_HEAD(from, mg_list);
		mutex_exit(&pc->pc_lock);
		magazine_empty(pc, mg);
		free(mg);
		mutex_enter(&pc->pc_lock);
	}
	mutex_exit(&pc->pc_lock);
}

/* => a cross call at IPL_VM: this CPU's magazines go to the depot */
static void
cpu_flush(void *arg)
{
	pool_cache_t pc = arg;
	struct pool_cache_cpu *cc = &pc->pc_cpus[curcpu()->ci_index];
	int s = splraise(pc->pc_ipl);

	mutex_enter(&pc->pc_lock);
	if (cc->cc_current != NULL)
		SLIST_INSERT_HEAD(&pc->pc_full, cc->cc_current, mg_list);
	if (cc->cc_previous != NULL)
		SLIST_INSERT_HEAD(&pc->pc_full, cc->cc_previous, mg_list);
	cc->cc_current = cc->cc_previous = NULL;
	mutex_exit(&pc->pc_lock);
	splx(s);
}

/* Magazines on the full list need not be full: here they are emptied, not handed out. */
void
pool_cache_invalidate(pool_cache_t pc)
{
	xc_broadcast(cpu_flush, pc);
	depot_flush(pc, &pc->pc_full);
	depot_flush(pc, &pc->pc_empty);
}

void
pool_cache_destroy(pool_cache_t pc)
{
	pool_cache_invalidate(pc);
	pool_destroy(pc->pc_pool);
	mutex_destroy(&pc->pc_lock);
	free(pc->pc_cpus);
	free(pc);
}

uint64_t
pool_cache_nout(pool_cache_t pc)
{
	int64_t n = 0;

	for (int i = 0; i < ncpu; i++)
		n += __atomic_load_n(&pc->pc_cpus[i].cc_nout, __ATOMIC_RELAXED);
	return n > 0 ? (uint64_t)n : 0;
}
