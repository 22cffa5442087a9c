/*
 * pool(9).
 *
 * A pool cuts naturally aligned pages of its back end into items.  The page
 * starts with its header, so an item finds its page by masking; a bitmap in the
 * header says which items are out, which makes a double free or a foreign
 * pointer an assertion (I-POOL-2).
 *
 * pool_put() never calls the back end and never sleeps (R43, PR 24039).  A page
 * that becomes empty stays, on the idle list; pages go back where the caller may
 * sleep anyway: in pool_get(PR_WAITOK), pool_reclaim(), pool_drain_all().
 *
 * Lock: pr_lock at the pool's IPL; the back end is called without it.  The list
 * of all pools has a lock of its own, above.
 */
#include <stdlib.h>
#include <string.h>

#include <sys/condvar.h>
#include <sys/pool.h>

#include "kern_int.h"
#include "pool_int.h"

/* All fields: the pool's pr_lock. */
struct pool_page {
	TAILQ_ENTRY(pool_page) ph_list;
	struct pool	*ph_pool;
	unsigned	 ph_nout;
	unsigned	 ph_hint;	/* no free item below */
	uint64_t	 ph_out[];	/* bit: item is out */
};

TAILQ_HEAD(pool_pagelist, pool_page);

/*
 *	p  pr_lock	:  stable after creation	l  list lock
 */
struct pool {
	kmutex_t	 pr_lock;
	kcondvar_t	 pr_cv;			/* p: waiters for an item below the hard limit */
	const char	*pr_wmesg;		/* : */
	const struct pool_allocator *pr_alloc;	/* : */
	size_t		 pr_size;		/* : bytes from item to item */
	size_t		 pr_first;		/* : offset of the first item in a page */
	unsigned	 pr_perpage;		/* : */
	struct pool_pagelist pr_partial;	/* p: some items out */
	struct pool_pagelist pr_full;		/* p: all items out */
	struct pool_pagelist pr_idle;		/* p: none out */
	unsigned	 pr_nout, pr_npages, pr_nidle;	/* p */
	unsigned	 pr_minpages, pr_maxpages;	/* p */
	unsigned	 pr_hardlimit;		/* p: items; 0 none */
	uint64_t	 pr_nget, pr_nput, pr_nfail, pr_nreclaim; /* p */
	TAILQ_ENTRY(pool) pr_list;		/* l */
};

static struct host_lock list_lock;
static TAILQ_HEAD(, pool) all_pools = TAILQ_HEAD_INITIALIZER(all_pools);	/* list_lock */

struct pool *
pool_create(size_t size, size_t align, const char *wmesg, const struct pool_allocator *pa,
    ipl_t ipl)
{
	struct pool *pp = calloc(1, sizeof(*pp));
	size_t words;

	if (pp == NULL)
		panic("pool %s: the host has no memory", wmesg);
	if (align < sizeof(void *))
		align = sizeof(void *);
	KASSERT((align & (align - 1)) == 0);
	size = (size + align - 1) & ~(align - 1);
	pp->pr_size = size;
	pp->pr_wmesg = wmesg;
	pp->pr_alloc = pa;
	pp->pr_maxpages = UINT32_MAX;
	words = (pa->pa_pagesz / size + 63) / 64;
	pp->pr_first = (sizeof(struct pool_page) + words * 8 + align - 1) & ~(align - 1);
	KASSERTMSG(pp->pr_first + size <= pa->pa_pagesz, "pool %s: item of %zu bytes", wmesg, size);
	pp->pr_perpage = (unsigned)((pa->pa_pagesz - pp->pr_first) / size);
	mutex_init(&pp->pr_lock, MUTEX_DEFAULT, ipl, LC_pool);
	cv_init(&pp->pr_cv, wmesg);
	TAILQ_INIT(&pp->pr_partial);
	TAILQ_INIT(&pp->pr_full);
	TAILQ_INIT(&pp->pr_idle);
	host_lock(&list_lock);
	TAILQ_INSERT_TAIL(&all_pools, pp, pr_list);
	host_unlock(&list_lock);
	return pp;
}

/* --- pages --- */

static void
page_init(struct pool *pp, struct pool_page *ph)
{
	memset(ph, 0, pp->pr_first);
	ph->ph_pool = pp;
	pool_poison((char *)ph + pp->pr_first, pp->pr_size * pp->pr_perpage);
}

static struct pool_page *
page_of(const struct pool *pp, void *item)
{
	return (struct pool_page *)((uintptr_t)item & ~(pp->pr_alloc->pa_pagesz - 1));
}

static void *
page_item(const struct pool *pp, struct pool_page *ph, unsigned i)
{
	return (char *)ph + pp->pr_first + i * pp->pr_size;
}

/* => pr_lock held; the page is on the list that its count says */
static void
page_move(struct pool *pp, struct pool_page *ph, unsigned before)
{
	struct pool_pagelist *from = before == 0 ? &pp->pr_idle :
	    before == pp->pr_perpage ? &pp->pr_full : &pp->pr_partial;
	struct pool_pagelist *to = ph->ph_nout == 0 ? &pp->pr_idle :
	    ph->ph_nout == pp->pr_perpage ? &pp->pr_full : &pp->pr_partial;

	if (from == to)
		return;
	TAILQ_REMOVE(from, ph, ph_list);
	TAILQ_INSERT_HEAD(to, ph, ph_list);
	pp->pr_nidle += (to == &pp->pr_idle) - (from == &pp->pr_idle);
}

/* => pr_lock held: up to max idle pages above the low-water mark, off the pool */
static void
pages_detach(struct pool *pp, struct pool_pagelist *out, unsigned max)
{
	struct pool_page *ph;

	TAILQ_INIT(out);
	while (max-- > 0 && pp->pr_npages > pp->pr_minpages &&
	    (ph = TAILQ_LAST(&pp->pr_idle, pool_pagelist)) != NULL) {
		TAILQ_REMOVE(&pp->pr_idle, ph, ph_list);
		TAILQ_INSERT_TAIL(out, ph, ph_list);
		pp->pr_nidle--;
		pp->pr_npages--;
		pp->pr_nreclaim++;
	}
}

/* => no lock held: to the back end; number of pages */
static unsigned
pages_free(struct pool *pp, struct pool_pagelist *list)
{
	struct pool_page *ph;
	unsigned n = 0;

	while ((ph = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, ph, ph_list);
		pool_unpoison(ph, pp->pr_alloc->pa_pagesz);
		pp->pr_alloc->pa_free(pp, ph);
		n++;
	}
	return n;
}

/* --- items --- */

static unsigned
first_free(const struct pool *pp, const struct pool_page *ph)
{
	for (unsigned w = ph->ph_hint / 64; w * 64 < pp->pr_perpage; w++)
		if (~ph->ph_out[w] != 0)
			return w * 64 + (unsigned)__builtin_ctzll(~ph->ph_out[w]);
	return pp->pr_perpage;
}

/* => pr_lock held; an item of a page with a free one */
static void *
item_take(struct pool *pp, struct pool_page *ph)
{
	unsigned i = first_free(pp, ph), before = ph->ph_nout++;

	KASSERT(i < pp->pr_perpage);
	ph->ph_out[i / 64] |= 1ULL << i % 64;
	ph->ph_hint = i + 1;
	page_move(pp, ph, before);
	pp->pr_nout++;
	pp->pr_nget++;
	return page_item(pp, ph, i);
}

/* => pr_lock held; NULL: no page has a free item */
static void *
item_find(struct pool *pp)
{
	struct pool_page *ph = TAILQ_FIRST(&pp->pr_partial);

	if (ph == NULL)
		ph = TAILQ_FIRST(&pp->pr_idle);
	return ph != NULL ? item_take(pp, ph) : NULL;
}

/* => pr_lock held on entry and return, not in between; false: no page to be had */
static bool
pool_grow(struct pool *pp, int flags)
{
	struct pool_page *ph;

	mutex_exit(&pp->pr_lock);
	ph = pp->pr_alloc->pa_alloc(pp, flags);
	if (ph != NULL)
		page_init(pp, ph);
	mutex_enter(&pp->pr_lock);
	if (ph == NULL)
		return false;
	TAILQ_INSERT_HEAD(&pp->pr_idle, ph, ph_list);
	pp->pr_nidle++;
	pp->pr_npages++;
	return true;
}

/* => pr_lock held; over the hard limit: wait, or false */
static bool
below_limit(struct pool *pp, int flags)
{
	while (pp->pr_hardlimit != 0 && pp->pr_nout >= pp->pr_hardlimit) {
		if ((flags & (PR_LIMITFAIL | PR_NOWAIT)) != 0)
			return false;
		cv_wait(&pp->pr_cv, &pp->pr_lock);
	}
	return true;
}

void *
pool_get(struct pool *pp, int flags)
{
	struct pool_pagelist surplus = TAILQ_HEAD_INITIALIZER(surplus);
	void *item = NULL;

	KASSERT(((flags & PR_WAITOK) != 0) != ((flags & PR_NOWAIT) != 0));
	if ((flags & PR_WAITOK) != 0)
		lockdebug_sleep_barrier("pool_get(PR_WAITOK)");
	mutex_enter(&pp->pr_lock);
	if (below_limit(pp, flags))
		while ((item = item_find(pp)) == NULL && pool_grow(pp, flags))
			continue;
	if (item == NULL)
		pp->pr_nfail++;
	if ((flags & PR_WAITOK) != 0 && pp->pr_npages > pp->pr_maxpages)
		pages_detach(pp, &surplus, pp->pr_npages - pp->pr_maxpages);
	mutex_exit(&pp->pr_lock);
	pages_free(pp, &surplus);
	if (item != NULL) {
		pool_unpoison(item, pp->pr_size);
		if ((flags & PR_ZERO) != 0)
			memset(item, 0, pp->pr_size);
	}
	return item;
}

void
pool_put(struct pool *pp, void *item)
{
	struct pool_page *ph = page_of(pp, item);
	size_t offset = (size_t)((char *)item - (char *)ph) - pp->pr_first;
	unsigned i = (unsigned)(offset / pp->pr_size), before;

	lockdebug_mem_check(item, pp->pr_size);
	mutex_enter(&pp->pr_lock);
	KASSERTMSG(ph->ph_pool == pp && offset % pp->pr_size == 0 && i < pp->pr_perpage,
	    "pool_put: %p is no item of pool %s (I-POOL-2)", item, pp->pr_wmesg);
	KASSERTMSG((ph->ph_out[i / 64] & 1ULL << i % 64) != 0,
	    "pool_put: %p of pool %s is free already (I-POOL-2)", item, pp->pr_wmesg);
	pool_poison(item, pp->pr_size);
	ph->ph_out[i / 64] &= ~(1ULL << i % 64);
	if (i < ph->ph_hint)
		ph->ph_hint = i;
	before = ph->ph_nout--;
	page_move(pp, ph, before);
	pp->pr_nout--;
	pp->pr_nput++;
	if (pp->pr_hardlimit != 0)
		cv_signal(&pp->pr_cv);
	mutex_exit(&pp->pr_lock);
}

/* --- keeping house --- */

static void
set_mark(struct pool *pp, unsigned *mark, unsigned value)
{
	mutex_enter(&pp->pr_lock);
	*mark = value;
	mutex_exit(&pp->pr_lock);
}

void
pool_setlowat(struct pool *pp, unsigned npages)
{
	set_mark(pp, &pp->pr_minpages, npages);
}

void
pool_sethiwat(struct pool *pp, unsigned npages)
{
	set_mark(pp, &pp->pr_maxpages, npages);
}

void
pool_sethardlimit(struct pool *pp, unsigned nitems)
{
	set_mark(pp, &pp->pr_hardlimit, nitems);
}

unsigned
pool_reclaim(struct pool *pp)
{
	struct pool_pagelist list;

	lockdebug_sleep_barrier("pool_reclaim");
	if (!mutex_tryenter(&pp->pr_lock))
		return 0;
	pages_detach(pp, &list, UINT32_MAX);
	mutex_exit(&pp->pr_lock);
	return pages_free(pp, &list);
}

/* Pools are not destroyed while others drain: only boot and shutdown change the list. */
unsigned
pool_drain_all(void)
{
	struct pool *pp;
	unsigned n = 0;

	for (pp = TAILQ_FIRST(&all_pools); pp != NULL; pp = TAILQ_NEXT(pp, pr_list))
		n += pool_reclaim(pp);
	return n;
}

void
pool_getstat(struct pool *pp, struct pool_stat *ps)
{
	mutex_enter(&pp->pr_lock);
	*ps = (struct pool_stat){
		.ps_name = pp->pr_wmesg, .ps_size = pp->pr_size, .ps_nget = pp->pr_nget,
		.ps_nput = pp->pr_nput, .ps_nfail = pp->pr_nfail, .ps_nreclaim = pp->pr_nreclaim,
		.ps_nout = pp->pr_nout, .ps_npages = pp->pr_npages, .ps_nidle = pp->pr_nidle,
	};
	mutex_exit(&pp->pr_lock);
}

void
pool_foreach(void (*fn)(const struct pool_stat *, void *), void *arg)
{
	struct pool_stat ps;
	struct pool *pp;

	for (pp = TAILQ_FIRST(&all_pools); pp != NULL; pp = TAILQ_NEXT(pp, pr_list)) {
		pool_getstat(pp, &ps);
		fn(&ps, arg);
	}
}

void
pool_destroy(struct pool *pp)
{
	struct pool_pagelist list;

	if (pp->pr_nout != 0)
		violation(VIOL_LEAK, "pool-leak", "pool %s: %u items of %zu bytes did not come back",
		    pp->pr_wmesg, pp->pr_nout, pp->pr_size);
	mutex_enter(&pp->pr_lock);
	pp->pr_minpages = 0;
	pages_detach(pp, &list, UINT32_MAX);
	mutex_exit(&pp->pr_lock);
	pages_free(pp, &list);
	host_lock(&list_lock);
	TAILQ_REMOVE(&all_pools, pp, pr_list);
	host_unlock(&list_lock);
	cv_destroy(&pp->pr_cv);
	mutex_destroy(&pp->pr_lock);
	free(pp);
}
