/*
 * Inside pool(9): what pools and their caches share.
 */
#ifndef KERN_POOL_INT_H
#define KERN_POOL_INT_H

#include <bsd/sys/queue.h>
#include <sys/condvar.h>
#include <sys/kernhist.h>
#include <sys/mutex.h>
#include <sys/pool.h>

#include <uvmstress_config.h>

#if defined(__SANITIZE_ADDRESS__)
#define	POOL_ASAN	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define	POOL_ASAN	1
#endif
#endif
#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define	pool_poison(p, n)	__asan_poison_memory_region(p, n)
#define	pool_unpoison(p, n)	__asan_unpoison_memory_region(p, n)
#else
#define	pool_poison(p, n)	((void)(p), (void)(n))
#define	pool_unpoison(p, n)	((void)(p), (void)(n))
#endif

#define	POOL_PAGE_ITEMS	256		/* a page's items at most: 4096 / 16 */
#define	POOL_MAP_WORDS	(POOL_PAGE_ITEMS / 64)

/*
 * Head of every page.  The items follow; a set bit of ph_free is a free item, so an
 * item that is freed twice, or that never was one, is seen at once (I-POOL-2).
 *	p  pr_lock	:  stable while the page is the pool's	@  atomic
 */
struct pool_page {
	uintptr_t	 ph_magic;		/* : own address, scrambled */
	struct pool	*ph_pool;		/* : */
	LIST_ENTRY(pool_page) ph_list;		/* p */
	unsigned	 ph_nout;		/* p */
	uint64_t	 ph_free[POOL_MAP_WORDS];	/* p */
	uint64_t	 ph_cached[POOL_MAP_WORDS];	/* @ in a cache's magazine; lock debugging only */
};
LIST_HEAD(pool_pages, pool_page);

/*
 *	p  pr_lock	:  stable after creation	l  pool_list_lock
 */
struct pool {
	kmutex_t	 pr_lock;		/* always spins: put must not sleep (R43) */
	kcondvar_t	 pr_cv;			/* p: waiters for the hard limit */
	const char	*pr_wmesg;		/* : */
	uint32_t	 pr_id;			/* : birth number */
	const struct pool_allocator *pr_alloc;	/* : */
	ipl_t		 pr_ipl;		/* : highest level that it is used from */
	size_t		 pr_asked;		/* : item's size as asked for */
	size_t		 pr_size;		/* : item's size, rounded up to the alignment */
	size_t		 pr_first;		/* : offset of a page's first item */
	uint64_t	 pr_recip;		/* : 2^32 / pr_size, rounded up: see pool_item_page() */
	unsigned	 pr_perpage;		/* : items in a page */
	bool		 pr_hidden;		/* : internal, not shown to pool_foreach() */
	struct pool_cache *pr_cache;		/* : cache in front, or NULL */

	struct pool_pages pr_full;		/* p: pages without a free item */
	struct pool_pages pr_partial;		/* p: some free, some out */
	struct pool_pages pr_empty;		/* p: idle pages, all items free */
	unsigned	 pr_nout;		/* p */
	unsigned	 pr_npages;		/* p */
	unsigned	 pr_nidle;		/* p: length of pr_empty */
	unsigned	 pr_lowat;		/* p: reclaim leaves so many pages */
	unsigned	 pr_hiwat;		/* p: idle pages beyond go back in get(WAITOK) */
	unsigned	 pr_hardlimit;		/* p: items out at most */
	unsigned	 pr_nwaiters;		/* p */
	uint64_t	 pr_nget, pr_nput, pr_nfail, pr_nreclaim; /* p */

	TAILQ_ENTRY(pool) pr_list;		/* l */
	unsigned	 pr_busy;		/* l: pool_drain_all() is at work on it */
};

/* => an item is being put back: count it if this is an interrupt */
static inline void
pool_count_put(const struct pool *pp)
{
	struct cpu_info *ci = curcpu();

	/* relaxed: pairs with the reports; an interrupt of a higher level may count in between */
	if (ci->ci_idepth != 0) {
		__atomic_fetch_add(&ci->ci_nintrput, 1, __ATOMIC_RELAXED);
		kernhist_log(KE_pool_put_intr, pp->pr_id, 0, 0);
	}
}

/* => an item is being taken: an event if this is an interrupt */
static inline void
pool_note_get(const struct pool *pp)
{
	if (cpu_intr_p())
		kernhist_log(KE_pool_get_intr, pp->pr_id, 0, 0);
}

/* => checks that item is one of pp's, and by what number; panics else. Reads stable fields only. */
struct pool_page *pool_item_page(const struct pool *pp, const void *item, unsigned *index);
/* => lock debugging: pattern into, and out of, an item that nobody may touch */
void	pool_pattern_fill(const struct pool *, void *);
void	pool_pattern_check(const struct pool *, void *);
/* => from an interrupt: a context that the pool's level covers?  Reports else. */
void	pool_check_interrupt(const struct pool *, const char *what);
static inline void
pool_check_context(const struct pool *pp, const char *what)
{
	if (__builtin_expect(cpu_intr_p(), 0))
		pool_check_interrupt(pp, what);
}
/* => hidden: not for pool_foreach(); the cache in front, or NULL */
struct pool *pool_create_internal(size_t, size_t, const char *, const struct pool_allocator *,
	    ipl_t, bool hidden, struct pool_cache *);
/* => off the list of pools; returns when pool_drain_all() has let go of it */
void	pool_unlist(struct pool *);
/* => what is left of pool_destroy() after that */
void	pool_finish(struct pool *);

/* cache side, called by the pool */
void	pool_cache_drain_depot(struct pool_cache *);
void	pool_cache_free_struct(struct pool_cache *);

#endif /* KERN_POOL_INT_H */
