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
 * ph_cached has a byte for each item, not a bit: the neighbours in a word are other CPUs', and
 * to leave them alone would take a locked instruction at each get and each put.
 *	p  pr_lock	:  stable while the page is the pool's
 *	@  atomic; an item's byte is written by whoever owns the item
 */
struct pool_page {
	uintptr_t	 ph_magic;		/* : own address and the pool's pr_magic */
	struct pool	*ph_pool;		/* : */
	LIST_ENTRY(pool_page) ph_list;		/* p */
	unsigned	 ph_nout;		/* p */
	uint64_t	 ph_free[POOL_MAP_WORDS];	/* p */
	uint8_t		 ph_cached[];		/* @ 1: in a cache's magazine; pools behind a cache, lock debugging */
};
LIST_HEAD(pool_pages, pool_page);

/*
 * What an item is known by comes first, in a line that nobody writes: caches look at it at each get and put.
 *	p  pr_lock	:  stable after creation	l  pool_list_lock
 */
struct pool {
	uintptr_t	 pr_magic;		/* : own address, scrambled */
	uintptr_t	 pr_mask;		/* : of offsets in a page: pr_alloc's page size - 1 */
	size_t		 pr_size;		/* : item's size, rounded up to the alignment */
	size_t		 pr_first;		/* : offset of a page's first item */
	uint64_t	 pr_inverse;		/* : of the odd part of pr_size, modulo 2^64: see pool_item_page() */
	size_t		 pr_perpage;		/* : items in a page */
	const char	*pr_wmesg;		/* : */
	uint32_t	 pr_id;			/* : birth number */
	uint8_t		 pr_shift;		/* : pr_size is the odd part times two to the power of this */
	uint8_t		 pr_lastword;		/* : of a free item's pattern: 1, or 0 */
	bool		 pr_hidden;		/* : internal, not shown to pool_foreach() */

	kmutex_t	 pr_lock __attribute__((aligned(64))); /* always spins: put must not sleep (R43) */
	kcondvar_t	 pr_cv;			/* p: waiters for the hard limit */
	const struct pool_allocator *pr_alloc;	/* : */
	ipl_t		 pr_ipl;		/* : highest level that it is used from */
	size_t		 pr_asked;		/* : item's size as asked for */
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
	unsigned	 pr_nwaiters;		/* p: in limit_wait(), asleep or woken by now */
	unsigned	 pr_ngrowing;		/* p: whom the limit let pass, and who fetch a page */
	uint64_t	 pr_nget, pr_nput, pr_nfail, pr_nreclaim; /* p */
	uint64_t	 pr_looked;		/* p: gets and puts until pool_reclaim() last looked at all pages */

	TAILQ_ENTRY(pool) pr_list;		/* l */
	unsigned	 pr_busy;		/* l: pool_drain_all() is at work on it */
};

#define	POOL_PAGE_MAGIC	((uintptr_t)0x706f6f6c70616765)

void	pool_item_strange(const struct pool *, const void *item) __attribute__((noreturn, cold)); /* => panics: why */

/* => of an item, the head of its page */
static inline struct pool_page *
pool_page_of(const struct pool *pp, const void *item)
{
	return (struct pool_page *)((uintptr_t)item & ~pp->pr_mask);
}

/*
 * => by what number the item begins at an offset of a page; none does: pr_perpage or more.
 * Relative to the first item, divided by the size: by its odd part, times the inverse, and then by
 * the power of two, in a circle, so that what is left over, or was below zero, is in the high bits.
 */
static inline __attribute__((always_inline)) uint64_t
pool_item_index(const struct pool *pp, size_t off)
{
	const uint64_t n = (off - pp->pr_first) * pp->pr_inverse;

	return n >> pp->pr_shift | n << (-pp->pr_shift & 63);
}

/* => checks that item is one of pp's, and by what number; panics else. Reads stable fields only. */
static inline __attribute__((always_inline)) struct pool_page *
pool_item_page(const struct pool *pp, const void *item, size_t *index)
{
	const uintptr_t off = (uintptr_t)item & pp->pr_mask;
	struct pool_page *ph = (struct pool_page *)((uintptr_t)item - off);
	const uint64_t i = pool_item_index(pp, off);

	if (__builtin_expect(ph == NULL || ph->ph_magic != ((uintptr_t)ph ^ pp->pr_magic) ||
	    i >= pp->pr_perpage, 0))
		pool_item_strange(pp, item);		/* I-POOL-2 */
	*index = i;
	return ph;
}

/* The pattern of free items: of the first two words as many as there are. */
#define	POOL_FREE_PATTERN	0xdeadbeefdeadbeefULL

/* => lock debugging: pattern into, and out of, an item that nobody may touch */
static inline void
pool_pattern_fill(const struct pool *pp, void *item)
{
	uint64_t *word = item;

	if (!UVMSTRESS_LOCKDEBUG)
		return;
	word[0] = POOL_FREE_PATTERN;	/* no item is smaller */
	word[pp->pr_lastword] = POOL_FREE_PATTERN;
}

void	pool_pattern_spoilt(const struct pool *, const void *item) __attribute__((noreturn, cold)); /* => panics */
static inline void
pool_pattern_check(const struct pool *pp, const void *item)
{
	const uint64_t *word = item;

	if (UVMSTRESS_LOCKDEBUG && __builtin_expect(word[0] != POOL_FREE_PATTERN ||
	    word[pp->pr_lastword] != POOL_FREE_PATTERN, 0))
		pool_pattern_spoilt(pp, item);
}
/*
 * => an item is being taken, or put back, in an interrupt: is it a context that the pool's level
 *    covers?  Reports else.  An event, and a put is counted.
 */
void	pool_get_interrupt(const struct pool *, const char *what);
void	pool_put_interrupt(const struct pool *, const char *what);
/* => hidden: not for pool_foreach(); the cache in front, or NULL */
struct pool *pool_create_internal(size_t, size_t, const char *, const struct pool_allocator *,
	    ipl_t, bool hidden, struct pool_cache *);
/*
 * => as pool_get(), but for PR_ZERO: how many there were of one page, at most so many; 0: none.  More than
 *    one only if they are there already: none is waited for, or has a page fetched.
 */
unsigned pool_get_run(struct pool *, int flags, void **items, unsigned most);
/*
 * The pool's side, called for all of them (subr_pool_all.c).
 * => pool_consistent: pr_lock held; I-POOL-1 by counting: the lists and the counters say the same
 * => pool_forgotten: pr_lock held; I-POOL-5: how many sleep at the limit though there is room.  A put wakes one for the
 *    room that it makes, so, at any time, as many as there is room for have been woken, or fetch a page already
 * => pool_trim: thread context, no lock held; pages above the high-water mark go back (R43: here,
 *    because here one may sleep)
 */
bool	pool_consistent(const struct pool *);
unsigned pool_forgotten(const struct pool *);
void	pool_trim(struct pool *);

/* => how many pages the pool keeps of its own accord; pr_lock held, or a hint */
static inline unsigned
pool_keep_pages(const struct pool *pp)
{
	return pp->pr_hiwat > pp->pr_lowat ? pp->pr_hiwat : pp->pr_lowat;
}

/* => idle pages above the marks? pr_lock held */
static inline bool
pool_has_surplus(const struct pool *pp)
{
	KASSERT(mutex_owned(&pp->pr_lock));
	return pp->pr_nidle > 0 && pp->pr_npages > pool_keep_pages(pp);
}

extern enum pool_put_mode pool_put_mode;	/* : while anything runs */
/* => the reclaim LWP gives surplus pages back soon; any context, sleeps never */
void	pool_want_reclaim(void);
/* => on the list of pools, with its birth number */
void	pool_enlist(struct pool *);
/* => off the list of pools; returns when pool_drain_all() has let go of it */
void	pool_unlist(struct pool *);
/* => what is left of pool_destroy() after that */
void	pool_finish(struct pool *);

/* cache side, called by the pool */
void	pool_cache_drain_depot(struct pool_cache *);
void	pool_cache_free_struct(struct pool_cache *);

#endif /* KERN_POOL_INT_H */
