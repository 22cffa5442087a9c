/*
 * All pools: their list, and what is done to one after the other: idle pages given back, by the
 * reclaim LWP and in a shortage, the checker, statistics.
 *
 * A pool that is being worked on is busy (pr_busy) and keeps its place, so the list's lock is not
 * held meanwhile, and who destroys it waits.
 *
 * Lock order: pool_list_lock, pr_lock.
 */
#include <stdlib.h>

#include "kern_int.h"
#include "pool_int.h"

#define	RECLAIM_MS	1000		/* after so long, surplus that is there will stay */

static kmutex_t	pool_list_lock;		/* LC_pool_list */
static kcondvar_t pool_list_cv;		/* pool_list_lock: a pool is no longer busy */
static TAILQ_HEAD(, pool) pools;	/* pool_list_lock */
static uint32_t pool_lastid;		/* @ births, relaxed: only uniqueness counts */

/* The reclaim LWP.  Its lock is one that pool_put() may take in interrupt. */
static kmutex_t	pool_recl_lock;		/* LC_pool_recl, spin, IPL_VM */
static bool	pool_recl_wanted;	/* pool_recl_lock */
static bool	pool_recl_stop;		/* pool_recl_lock */
static struct lwp *pool_recl_lwp;	/* : */
enum pool_put_mode pool_put_mode;	/* : while anything runs */

/* --- the list --- */

void
pool_enlist(struct pool *pp)
{
	pp->pr_id = __atomic_add_fetch(&pool_lastid, 1, __ATOMIC_RELAXED);
	mutex_enter(&pool_list_lock);
	TAILQ_INSERT_TAIL(&pools, pp, pr_list);
	mutex_exit(&pool_list_lock);
}

void
pool_unlist(struct pool *pp)
{
	mutex_enter(&pool_list_lock);
	while (pp->pr_busy != 0)
		cv_wait(&pool_list_cv, &pool_list_lock);
	TAILQ_REMOVE(&pools, pp, pr_list);
	mutex_exit(&pool_list_lock);
}

/* => pool_list_lock held: it is no longer busy by us, and may go */
static void
let_go(struct pool *pp)
{
	if (--pp->pr_busy == 0)
		cv_broadcast(&pool_list_cv);
}

/* => calls fn for each pool, with no lock held; what it returned, added up */
static unsigned
each_pool(unsigned (*fn)(struct pool *))
{
	struct pool *pp;
	unsigned n = 0;

	mutex_enter(&pool_list_lock);
	TAILQ_FOREACH(pp, &pools, pr_list) {
		pp->pr_busy++;			/* keeps it, and its place in the list */
		mutex_exit(&pool_list_lock);
		n += fn(pp);
		lwp_beat();			/* there may be many, and much in each */
		mutex_enter(&pool_list_lock);
		let_go(pp);
	}
	mutex_exit(&pool_list_lock);
	return n;
}

static unsigned
drain_one(struct pool *pp)
{
	if (pp->pr_cache != NULL)
		pool_cache_drain_depot(pp->pr_cache);
	return pool_reclaim(pp);
}

unsigned
pool_drain_all(void)
{
	return each_pool(drain_one);
}

/* --- the reclaim LWP (R43, I-POOL-7) --- */

void
pool_want_reclaim(void)
{
	lockevent_depends(LE_memory, LE_pool_recl);
	mutex_spin_enter(&pool_recl_lock);
	if (!pool_recl_wanted) {
		pool_recl_wanted = true;
		wakeup(&pool_recl_wanted);
	}
	mutex_spin_exit(&pool_recl_lock);
}

void
pool_setputmode(enum pool_put_mode mode)
{
	pool_put_mode = mode;
}

static unsigned
trim_one(struct pool *pp)
{
	pool_trim(pp);
	return 0;
}

static void
pool_recl_main(void *arg)
{
	mutex_spin_enter(&pool_recl_lock);
	for (;;) {
		if (pool_recl_stop)
			break;
		if (!pool_recl_wanted) {
			lwp_patient(true);
			mtsleep(&pool_recl_wanted, false, "poolrecl", 0, &pool_recl_lock);
			lwp_patient(false);
			continue;
		}
		pool_recl_wanted = false;
		mutex_spin_exit(&pool_recl_lock);
		lockevent_begin(LE_pool_recl);
		each_pool(trim_one);
		lockevent_end(LE_pool_recl);
		mutex_spin_enter(&pool_recl_lock);
	}
	mutex_spin_exit(&pool_recl_lock);
}

/* --- the checker, for a machine at rest --- */

static bool
reclaim_pending(void)
{
	bool wanted;

	mutex_spin_enter(&pool_recl_lock);
	wanted = pool_recl_wanted;
	mutex_spin_exit(&pool_recl_lock);
	return wanted;
}

/* => idle pages above the marks that stay though nobody is at work */
static unsigned
surplus_pages(struct pool *pp)
{
	unsigned n;

	mutex_enter(&pp->pr_lock);
	n = pool_has_surplus(pp) ? pp->pr_npages - pool_keep_pages(pp) : 0;
	if (n > pp->pr_nidle)
		n = pp->pr_nidle;
	mutex_exit(&pp->pr_lock);
	return n;
}

/* => lists and counters of one pool, at any time */
static unsigned
check_counts(struct pool *pp)
{
	bool counts;
	unsigned nout, forgotten, n = 0;

	mutex_enter(&pp->pr_lock);
	counts = pool_consistent(pp);
	nout = pp->pr_nout;
	forgotten = pool_forgotten(pp);
	mutex_exit(&pp->pr_lock);
	if (!counts)
		violation(VIOL_INVARIANT, "I-POOL-1", "pool %s: lists and counters disagree",
		    pp->pr_wmesg), n++;
	if (nout > pp->pr_hardlimit)
		violation(VIOL_INVARIANT, "I-POOL-4", "pool %s: %u of %u items out", pp->pr_wmesg, nout,
		    pp->pr_hardlimit), n++;
	if (forgotten != 0)
		violation(VIOL_INVARIANT, "I-POOL-5", "pool %s: %u of %u items out, %u sleep for one and were not woken",
		    pp->pr_wmesg, nout, pp->pr_hardlimit, forgotten), n++;
	return n;
}

static unsigned
check_one(struct pool *pp)
{
	unsigned waiters, nout, n = check_counts(pp);

	mutex_enter(&pp->pr_lock);
	waiters = pp->pr_nwaiters;
	nout = pp->pr_nout;
	mutex_exit(&pp->pr_lock);
	if (n == 0 && waiters != 0 && nout < pp->pr_hardlimit)
		violation(VIOL_INVARIANT, "I-POOL-5", "pool %s: %u of %u items out, %u sleep for one",
		    pp->pr_wmesg, nout, pp->pr_hardlimit, waiters), n++;
	if (surplus_pages(pp) != 0)
		violation(VIOL_INVARIANT, "I-POOL-7", "pool %s: %u idle pages above %u stay", pp->pr_wmesg,
		    surplus_pages(pp), pool_keep_pages(pp)), n++;
	return n;
}

unsigned
pool_check(void)
{
	/* I-POOL-7: what is surplus now goes soon, or never */
	for (int i = 0; i < RECLAIM_MS && (reclaim_pending() || each_pool(surplus_pages) != 0); i++)
		kpause("poolchk", 1000000);
	return each_pool(check_one);
}

/* => pool_list_lock held: the pool of that number, round and round */
static struct pool *
nth_pool(unsigned nth)
{
	struct pool *pp;
	unsigned n = 0;

	TAILQ_FOREACH(pp, &pools, pr_list)
		n++;
	nth %= n;
	TAILQ_FOREACH(pp, &pools, pr_list)
		if (nth-- == 0)
			break;
	return pp;
}

unsigned
pool_check_some(unsigned nth, unsigned most)
{
	struct pool *pp;
	unsigned n = 0;

	mutex_enter(&pool_list_lock);
	pp = nth_pool(nth);
	pp->pr_busy++;
	mutex_exit(&pool_list_lock);
	if (__atomic_load_n(&pp->pr_npages, __ATOMIC_RELAXED) <= most)
		n = check_counts(pp);
	mutex_enter(&pool_list_lock);
	let_go(pp);
	mutex_exit(&pool_list_lock);
	return n;
}

/* --- statistics --- */

uint64_t
pool_backend_pages(const struct pool_allocator *pa)
{
	uint64_t n = 0;
	struct pool *pp;

	mutex_enter(&pool_list_lock);
	TAILQ_FOREACH(pp, &pools, pr_list)
		if (pp->pr_alloc == pa)
			n += __atomic_load_n(&pp->pr_npages, __ATOMIC_RELAXED);
	mutex_exit(&pool_list_lock);
	return n;
}

void
pool_getstat(struct pool *pp, struct pool_stat *ps)
{
	mutex_enter(&pp->pr_lock);
	KDASSERT(pool_consistent(pp));
	*ps = (struct pool_stat){
		.ps_name = pp->pr_wmesg, .ps_size = pp->pr_size,
		.ps_nget = pp->pr_nget, .ps_nput = pp->pr_nput, .ps_nfail = pp->pr_nfail,
		.ps_nreclaim = pp->pr_nreclaim, .ps_nout = pp->pr_nout,
		.ps_npages = pp->pr_npages, .ps_nidle = pp->pr_nidle,
	};
	mutex_exit(&pp->pr_lock);
	if (pp->pr_cache != NULL)
		ps->ps_nout = (unsigned)pool_cache_nout(pp->pr_cache);
}

void
pool_foreach(void (*fn)(const struct pool_stat *, void *), void *arg)
{
	struct pool_stat ps;
	struct pool *pp;

	mutex_enter(&pool_list_lock);
	TAILQ_FOREACH(pp, &pools, pr_list) {
		if (pp->pr_hidden)
			continue;
		pool_getstat(pp, &ps);
		fn(&ps, arg);
	}
	mutex_exit(&pool_list_lock);
}

/* --- begin and end --- */

void
kern_pool_init(void)
{
	mutex_init(&pool_list_lock, MUTEX_DEFAULT, IPL_NONE, LC_pool_list);
	cv_init(&pool_list_cv, "pooldrain");
	TAILQ_INIT(&pools);
	pool_lastid = 0;
	mutex_init(&pool_recl_lock, MUTEX_SPIN, IPL_VM, LC_pool_recl);
	pool_recl_wanted = pool_recl_stop = false;
	pool_put_mode = POOL_PUT_DEFER;
	if (lwp_create(&pool_recl_lwp, NULL, "poolrecl", pool_recl_main, NULL) != 0)
		panic("cannot create the pool reclaim LWP");
	lwp_start(pool_recl_lwp);
}

/*
 * => pools that still exist are those whose owner found a leak and said so.  Their pages
 *    are the machine's, which may be gone by now; only the structures go here.
 */
void
kern_pool_fini(void)
{
	struct pool *pp;

	mutex_spin_enter(&pool_recl_lock);
	pool_recl_stop = true;
	wakeup(&pool_recl_wanted);
	mutex_spin_exit(&pool_recl_lock);
	lwp_wait(pool_recl_lwp);
	mutex_destroy(&pool_recl_lock);
	while ((pp = TAILQ_FIRST(&pools)) != NULL) {
		TAILQ_REMOVE(&pools, pp, pr_list);
		if (pp->pr_cache != NULL)
			pool_cache_free_struct(pp->pr_cache);
		free(pp);
	}
	cv_destroy(&pool_list_cv);
	mutex_destroy(&pool_list_lock);
}
