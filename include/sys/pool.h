/*
 * pool(9) and pool_cache(9), after NetBSD, with one rule made strict:
 * pool_put() never blocks and never calls the back end's free (R43, PR 24039).
 * A page that becomes empty stays on the pool's list; it goes back in
 * pool_get(PR_WAITOK), pool_reclaim() or pool_drain_all().
 */
#ifndef SYS_POOL_H
#define SYS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/intr.h>

#define	PR_WAITOK	0x01
#define	PR_NOWAIT	0x02
#define	PR_LIMITFAIL	0x04
#define	PR_ZERO		0x08

struct pool;
typedef struct pool_cache *pool_cache_t;

/*
 * => alloc: one naturally aligned page; may sleep with PR_WAITOK; NULL else.
 * => free: thread context, no lock held.
 */
struct pool_allocator {			/* : while a pool uses it */
	void	*(*pa_alloc)(struct pool *, int flags);
	void	 (*pa_free)(struct pool *, void *);	/* in any context to IPL_VM if pa_intrfree */
	size_t	 pa_pagesz;
	bool	 pa_intrfree;
};

/* A copy, taken under the pool's lock. */
struct pool_stat {
	const char	*ps_name;
	size_t		 ps_size;
	uint64_t	 ps_nget, ps_nput, ps_nfail, ps_nreclaim;
	unsigned	 ps_nout, ps_npages, ps_nidle;
};

/* => thread context, no lock held; items of size bytes at multiples of align (0: of 8), used up to that IPL */
struct pool *pool_create(size_t size, size_t align, const char *wmesg,
	    const struct pool_allocator *, ipl_t);
/* => likewise; nobody uses it; panics (VIOL_LEAK first) when items are out. */
void	pool_destroy(struct pool *);
/*
 * => PR_WAITOK xor PR_NOWAIT; WAITOK only in thread context without spin locks; NOWAIT up to the
 *    pool's IPL, as far as the back end allows
 * => NULL: NOWAIT, and there is none; or PR_LIMITFAIL, and the hard limit is reached
 */
void	*pool_get(struct pool *, int flags);
void	pool_put(struct pool *, void *);		/* => any context up to the pool's IPL */

/*
 * What becomes of a page above the high-water mark: the two cures of PR 24039.
 *	defer	(default) it stays; pool_get(PR_WAITOK) and the reclaim LWP, which pool_put()
 *		wakes, give it back (R43)
 *	reserve	pool_put() gives it back itself, at once and where it is, if the back end's
 *		free neither sleeps nor needs memory (pa_intrfree; R41)
 */
enum pool_put_mode { POOL_PUT_DEFER, POOL_PUT_RESERVE };
void	pool_setputmode(enum pool_put_mode);	/* at rest */
/* => reclaim leaves so many pages; fetches what is missing if it is to be had at once. */
void	pool_setlowat(struct pool *, unsigned npages);
/* => idle pages above so many go back */
void	pool_sethiwat(struct pool *, unsigned npages);
/* => no more items are out than so many (as many as are out now, at least) */
void	pool_sethardlimit(struct pool *, unsigned nitems);
/* => gives idle pages back; thread context, no lock held; number of pages freed. */
unsigned pool_reclaim(struct pool *);
/* => the same for every pool, the depots of caches first; not what CPUs keep themselves. */
unsigned pool_drain_all(void);
/* => at rest, thread context: I-POOL-1, -4, -5, -7 of every pool; number of violations reported.
 *    Waits for surplus pages to go. */
unsigned pool_check(void);
/* => any time, thread context: I-POOL-1, -4 of the nth pool, round and round, unless it has more pages */
unsigned pool_check_some(unsigned nth, unsigned most);
/* => at rest: pages that all pools of the back end have, of hidden ones too */
uint64_t pool_backend_pages(const struct pool_allocator *);
/* => thread context, no lock held */
void	pool_getstat(struct pool *, struct pool_stat *);
/* => likewise: calls fn for every pool with the list of pools locked; for reports and leak checks. */
void	pool_foreach(void (*fn)(const struct pool_stat *, void *), void *);

/*
 * Per-CPU caches of constructed objects.
 * => ctor returns 0 or errno; an object is put back in constructed state.
 */
pool_cache_t pool_cache_create(size_t size, size_t align, const char *wmesg,
	    const struct pool_allocator *, ipl_t, int (*ctor)(void *arg, void *obj, int flags),
	    void (*dtor)(void *arg, void *obj), void *arg);
/* => as pool_destroy() */
void	pool_cache_destroy(pool_cache_t);
/* => as pool_get() and pool_put(); NULL also if ctor said no; PR_ZERO only without a ctor */
void	*pool_cache_get(pool_cache_t, int flags);
void	pool_cache_put(pool_cache_t, void *);
/* => every cached object goes through the destructor back to the pool. */
void	pool_cache_invalidate(pool_cache_t);
/* => objects handed out and not yet put back (exact when nothing runs). */
uint64_t pool_cache_nout(pool_cache_t);

#endif /* SYS_POOL_H */
