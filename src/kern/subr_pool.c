/*
 * pool(9): items of one size, carved out of pages.
 *
 * A page starts with its header, found from any item by the page's natural
 * alignment.  Which items are free is a bitmap in the header and nothing in the
 * items: so a free item can be poisoned as a whole, and a second free, or the free
 * of a pointer that is no item, is one look at a bit (I-POOL-2).
 *
 *	full     no free item		pages move along	full <-> partial <-> empty
 *	partial  the first choice	as items come and go;	new pages enter at empty,
 *	empty    idle, may go back	only empty ones leave
 *
 * The one strict rule is R43 (PR 24039: a free from inside the VM system that went
 * back into it): pool_put() takes pr_lock and nothing else, never sleeps and never
 * calls the back end.  Idle pages stay.  Those above the high-water mark go back in
 * the next pool_get(PR_WAITOK), whose caller has agreed to sleep anyway, or by the
 * reclaim LWP; all that the
 * low-water mark does not keep go back in pool_reclaim() and pool_drain_all(), which
 * the page daemon calls with no lock held.  For that pr_lock always spins, whatever
 * the pool's IPL.
 *
 * The back end is called without pr_lock (it takes locks of smaller rank and may
 * sleep), so the state is looked at anew after each call.
 *
 * The list of all pools, the reclaim LWP, the checker and the statistics: subr_pool_all.c.
 */
#include <host/race.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <sys/bug.h>
#include <sys/inject.h>

#include "kern_int.h"
#include "pool_int.h"

/* --- items and pages --- */

static void *
item_addr(const struct pool *pp, struct pool_page *ph, unsigned index)
{
	return (char *)ph + pp->pr_first + index * pp->pr_size;
}

void
pool_item_strange(const struct pool *pp, const void *item)
{
	const struct pool_page *ph = pool_page_of(pp, item);
	const size_t off = (uintptr_t)item & pp->pr_mask;

	KASSERTMSG(ph != NULL && ph->ph_magic == ((uintptr_t)ph ^ (uintptr_t)ph->ph_pool ^ POOL_PAGE_MAGIC),
	    "pool %s: %p is not from a pool", pp->pr_wmesg, item);
	KASSERTMSG(ph->ph_pool == pp, "pool %s: %p is from another pool", pp->pr_wmesg, item);
	KASSERTMSG(off >= pp->pr_first && (off - pp->pr_first) % pp->pr_size == 0 &&
	    (off - pp->pr_first) / pp->pr_size < pp->pr_perpage,
	    "pool %s: %p is not the start of an item", pp->pr_wmesg, item);
	panic("pool %s: the head of the page of %p changes", pp->pr_wmesg, item);
}

void
pool_pattern_spoilt(const struct pool *pp, const void *item)
{
	const uint64_t *word = item;

	if (*word == POOL_FREE_PATTERN)
		word += pp->pr_lastword;
	KASSERTMSG(*word == POOL_FREE_PATTERN, "pool %s: item %p modified after free: %#llx at offset %zu",
	    pp->pr_wmesg, item, (unsigned long long)*word, (size_t)((const char *)word - (const char *)item));
	panic("pool %s: the free item %p changes", pp->pr_wmesg, item);
}

static void
set_npages(struct pool *pp, unsigned n)
{
	/* relaxed: the reader without pr_lock is pool_get(), and looks again */
	__atomic_store_n(&pp->pr_npages, n, __ATOMIC_RELAXED);
}

/* => a page of the back end becomes a page of the pool, all items free; pr_lock held */
static void
page_add(struct pool *pp, void *page)
{
	struct pool_page *ph = page;

	KASSERT(mutex_owned(&pp->pr_lock));
	KASSERTMSG(((uintptr_t)page & (pp->pr_alloc->pa_pagesz - 1)) == 0,
	    "pool %s: page %p is not aligned", pp->pr_wmesg, page);
	memset(ph, 0, pp->pr_first);
	ph->ph_magic = (uintptr_t)ph ^ pp->pr_magic;
	ph->ph_pool = pp;
	for (unsigned i = 0; i < pp->pr_perpage; i++) {
		ph->ph_free[i / 64] |= 1ULL << i % 64;
		pool_pattern_fill(pp, item_addr(pp, ph, i));
	}
	pool_poison((char *)page + pp->pr_first, pp->pr_perpage * pp->pr_size);
	LIST_INSERT_HEAD(&pp->pr_empty, ph, ph_list);
	set_npages(pp, pp->pr_npages + 1);
	pp->pr_nidle++;
}

/* => idle pages, as long as more than keep pages are left, move to list; pr_lock held */
static unsigned
pages_collect(struct pool *pp, unsigned keep, struct pool_pages *list)
{
	struct pool_page *ph;
	unsigned n = 0;

	KASSERT(mutex_owned(&pp->pr_lock));
	while (pp->pr_npages > keep && (ph = LIST_FIRST(&pp->pr_empty)) != NULL) {
		KASSERT(ph->ph_nout == 0);
		KASSERTMSG(pp->pr_npages > pp->pr_lowat, "I-POOL-8: pool %s: of %u pages %u stay", pp->pr_wmesg,
		    pp->pr_npages, pp->pr_lowat);
		LIST_REMOVE(ph, ph_list);
		LIST_INSERT_HEAD(list, ph, ph_list);
		set_npages(pp, pp->pr_npages - 1);
		pp->pr_nidle--;
		n++;
	}
	pp->pr_nreclaim += n;
	return n;
}

/* => may pool_put() itself give pages back? */
static bool
put_frees(const struct pool *pp)
{
	return pool_put_mode == POOL_PUT_RESERVE && pp->pr_alloc->pa_intrfree;
}

/* => thread context, pr_lock not held; as far as the mode lets it: any context (R41) */
static void
pages_free(struct pool *pp, struct pool_pages *list)
{
	struct pool_page *ph;

	if (!put_frees(pp)) {
		KASSERTMSG(!cpu_intr_p(), "R43, PR 24039: pool %s gives pages back in interrupt",
		    pp->pr_wmesg);
		lockdebug_sleep_barrier("pool's back end");	/* I-POOL-3 */
	}
	while ((ph = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(ph, ph_list);
		ph->ph_magic = 0;
		pool_unpoison(ph, pp->pr_alloc->pa_pagesz);
		pp->pr_alloc->pa_free(pp, ph);
	}
}

/* => an item, or NULL when no page has a free one; pr_lock held */
static void *
item_take(struct pool *pp)
{
	struct pool_page *ph = LIST_FIRST(&pp->pr_partial);
	unsigned word = 0, bit;
	void *item;

	if (ph == NULL) {
		if ((ph = LIST_FIRST(&pp->pr_empty)) == NULL)
			return NULL;
		LIST_REMOVE(ph, ph_list);
		LIST_INSERT_HEAD(&pp->pr_partial, ph, ph_list);
		pp->pr_nidle--;
	}
	while (ph->ph_free[word] == 0)
		word++;
	bit = (unsigned)__builtin_ctzll(ph->ph_free[word]);
	ph->ph_free[word] &= ~(1ULL << bit);
	if (++ph->ph_nout == pp->pr_perpage) {
		LIST_REMOVE(ph, ph_list);
		LIST_INSERT_HEAD(&pp->pr_full, ph, ph_list);
	}
	pp->pr_nout++;
	KASSERT(pp->pr_nout <= pp->pr_hardlimit);	/* I-POOL-4 */
	item = item_addr(pp, ph, word * 64 + bit);
	pool_unpoison(item, pp->pr_size);
	pool_pattern_check(pp, item);
	return item;
}

/* => pr_lock held */
static void
item_give(struct pool *pp, void *item)
{
	size_t index;
	struct pool_page *ph = pool_item_page(pp, item, &index);

	KASSERTMSG((ph->ph_free[index / 64] & 1ULL << index % 64) == 0,
	    "pool %s: %p freed twice", pp->pr_wmesg, item);
	KASSERT(ph->ph_nout > 0 && pp->pr_nout > 0);
	pool_pattern_fill(pp, item);
	pool_poison(item, pp->pr_size);
	ph->ph_free[index / 64] |= 1ULL << index % 64;
	if (ph->ph_nout-- == pp->pr_perpage) {
		LIST_REMOVE(ph, ph_list);
		LIST_INSERT_HEAD(&pp->pr_partial, ph, ph_list);
	}
	if (ph->ph_nout == 0) {
		LIST_REMOVE(ph, ph_list);
		LIST_INSERT_HEAD(&pp->pr_empty, ph, ph_list);
		pp->pr_nidle++;
	}
	pp->pr_nout--;
}

bool
pool_consistent(const struct pool *pp)
{
	const struct pool_pages *const lists[] = { &pp->pr_full, &pp->pr_partial, &pp->pr_empty };
	unsigned npages = 0, nout = 0, nidle = 0;
	const struct pool_page *ph;

	for (unsigned i = 0; i < 3; i++)
		LIST_FOREACH(ph, lists[i], ph_list) {
			unsigned nfree = 0;

			for (unsigned w = 0; w < POOL_MAP_WORDS; w++)
				nfree += (unsigned)__builtin_popcountll(ph->ph_free[w]);
			/* a page on another list than its own: nobody finds its items, or there are none */
			if (ph->ph_nout + nfree != pp->pr_perpage || i != (ph->ph_nout == 0 ? 2u : nfree != 0))
				return false;
			npages++;
			nout += ph->ph_nout;
			nidle += ph->ph_nout == 0;
		}
	return npages == pp->pr_npages && nout == pp->pr_nout && nidle == pp->pr_nidle &&
	    pp->pr_nget - pp->pr_nput == nout;
}

/*
 * => the same, whenever so many items were taken and put back since the last time as there are pages
 *    to be looked at: that is the price of a page for each, be the daemon's rounds as quick as they may
 */
static bool
used_consistently(struct pool *pp)
{
	const uint64_t uses = pp->pr_nget + pp->pr_nput;

	KASSERT(mutex_owned(&pp->pr_lock));
	if (uses - pp->pr_looked < pp->pr_npages)
		return true;
	pp->pr_looked = uses;
	return pool_consistent(pp);
}

/* --- get and put --- */

/* => in an interrupt: would its level interrupt one that has the pool in its hands? */
static void
check_interrupt(const struct pool *pp, const char *what)
{
	const struct cpu_info *ci = curcpu();
	/* The handler's own level: spin mutexes that it holds have raised it since. */
	const int level = ci->ci_mtx_count != 0 ? ci->ci_mtx_oldspl : ci->ci_ilevel;

	if (level > (int)pp->pr_ipl)
		violation(VIOL_INTERRUPT_CONTEXT, "pool-ipl",
		    "%s of pool %s, which is for IPL %d, from an interrupt at IPL %d", what,
		    pp->pr_wmesg, pp->pr_ipl, level);
}

void
pool_get_interrupt(const struct pool *pp, const char *what)
{
	check_interrupt(pp, what);
	kernhist_log(KE_pool_get_intr, pp->pr_id, 0, 0);
}

void
pool_put_interrupt(const struct pool *pp, const char *what)
{
	check_interrupt(pp, what);
	/* relaxed: pairs with the reports; an interrupt of a higher level may count in between */
	__atomic_fetch_add(&curcpu()->ci_nintrput, 1, __ATOMIC_RELAXED);
	kernhist_log(KE_pool_put_intr, pp->pr_id, 0, 0);
}

/*
 * An item was put back and there are more pages than wanted.
 * => pr_lock held, given up for a moment in reserve mode; any context up to the pool's IPL
 */
static void
surplus(struct pool *pp)
{
	struct pool_pages list = LIST_HEAD_INITIALIZER(list);

	if (put_frees(pp) || BUG(pool_put_returns_pages)) {
		pages_collect(pp, pool_keep_pages(pp), &list);
		mutex_exit(&pp->pr_lock);
		pages_free(pp, &list);
		mutex_enter(&pp->pr_lock);
		return;
	}
	pool_want_reclaim();
}

void
pool_trim(struct pool *pp)
{
	struct pool_pages list = LIST_HEAD_INITIALIZER(list);

	mutex_enter(&pp->pr_lock);
	if (pp->pr_npages > pp->pr_hiwat)
		pages_collect(pp, pool_keep_pages(pp), &list);
	mutex_exit(&pp->pr_lock);
	pages_free(pp, &list);
}

/* => room below the hard limit? May sleep for it; pr_lock held before and after. */
static bool
limit_wait(struct pool *pp, int flags)
{
	while (pp->pr_nout >= pp->pr_hardlimit) {
		if ((flags & PR_WAITOK) == 0 || (flags & PR_LIMITFAIL) != 0)
			return false;
		pp->pr_nwaiters++;
		cv_wait(&pp->pr_cv, &pp->pr_lock);
		pp->pr_nwaiters--;
	}
	return true;
}

unsigned
pool_forgotten(const struct pool *pp)
{
	const unsigned room = pp->pr_hardlimit - pp->pr_nout;
	unsigned asleep, coming;

	KASSERT(mutex_owned(&pp->pr_lock));
	if (pp->pr_nwaiters == 0)
		return 0;
	asleep = sleepq_asleep(CV_WCHAN(&pp->pr_cv));
	coming = pp->pr_nwaiters - asleep + pp->pr_ngrowing;
	return asleep != 0 && pp->pr_nout < pp->pr_hardlimit && room > coming ? asleep : 0;
}

/* => false: there is no page to be had.  pr_lock is dropped and taken again. */
static bool
grow(struct pool *pp, int flags)
{
	void *page;

	pp->pr_ngrowing++;
	mutex_exit(&pp->pr_lock);
	page = (flags & PR_WAITOK) == 0 && inject(INJECT_pool_page) ? NULL :
	    pp->pr_alloc->pa_alloc(pp, flags & (PR_WAITOK | PR_NOWAIT));
	mutex_enter(&pp->pr_lock);
	pp->pr_ngrowing--;
	if (page != NULL)
		page_add(pp, page);
	else
		KASSERTMSG((flags & PR_WAITOK) == 0, "pool %s: no page, though waiting was allowed",
		    pp->pr_wmesg);
	return page != NULL;
}

static void *
get_locked(struct pool *pp, int flags)
{
	bool grown = true;
	void *item;

	for (;;) {
		if (!limit_wait(pp, flags))
			return NULL;
		/* Also after a failure to grow: meanwhile somebody may have put one back. */
		if ((item = item_take(pp)) != NULL || !grown)
			return item;
		grown = grow(pp, flags);
	}
}

void *
pool_get(struct pool *pp, int flags)
{
	void *item;

	if (pool_get_run(pp, flags, &item, 1) == 0)
		return NULL;
	if ((flags & PR_ZERO) != 0)
		memset(item, 0, pp->pr_asked);
	return item;
}

/* => more free items of that item's page, as many as are wanted at most; pr_lock held */
static unsigned
take_neighbours(struct pool *pp, const void *item, void **items, unsigned most)
{
	const struct pool_page *ph = pool_page_of(pp, item);
	unsigned n = 0;

	/* as long as there are any, the page is the first that is partly free */
	while (n < most && LIST_FIRST(&pp->pr_partial) == ph && pp->pr_nout < pp->pr_hardlimit) {
		items[n++] = item_take(pp);
		pp->pr_nget++;
	}
	return n;
}

unsigned
pool_get_run(struct pool *pp, int flags, void **items, unsigned most)
{
	unsigned n = 0;

	KASSERT(((flags & PR_WAITOK) != 0) != ((flags & PR_NOWAIT) != 0));
	if (__builtin_expect(cpu_intr_p(), 0))
		pool_get_interrupt(pp, "get");
	if ((flags & PR_WAITOK) != 0) {
		lockdebug_sleep_barrier("pool_get(PR_WAITOK)");
		/* relaxed: a hint, from set_npages() and pool_sethiwat(); pool_trim() looks again */
		if (__atomic_load_n(&pp->pr_npages, __ATOMIC_RELAXED) >
		    __atomic_load_n(&pp->pr_hiwat, __ATOMIC_RELAXED))
			pool_trim(pp);
	}
	mutex_enter(&pp->pr_lock);
	items[0] = get_locked(pp, flags);
	if (items[0] != NULL) {
		pp->pr_nget++;
		n = 1 + take_neighbours(pp, items[0], items + 1, most - 1);
	} else
		pp->pr_nfail++;
	if (pool_has_surplus(pp))	/* it grew, and meanwhile somebody had put one back */
		pool_want_reclaim();
	mutex_exit(&pp->pr_lock);
	return n;
}

void
pool_put(struct pool *pp, void *item)
{
	if (__builtin_expect(cpu_intr_p(), 0))
		pool_put_interrupt(pp, "put");
	lockdebug_mem_check(item, pp->pr_size);
	mutex_enter(&pp->pr_lock);
	item_give(pp, item);
	pp->pr_nput++;
	if (pp->pr_nwaiters != 0)
		cv_signal(&pp->pr_cv);		/* I-POOL-5 */
	if (pool_has_surplus(pp))
		surplus(pp);
	mutex_exit(&pp->pr_lock);
}

/* --- water marks and limits --- */

void
pool_setlowat(struct pool *pp, unsigned npages)
{
	mutex_enter(&pp->pr_lock);
	pp->pr_lowat = npages;
	while (pp->pr_npages < pp->pr_lowat && grow(pp, PR_NOWAIT))
		continue;
	mutex_exit(&pp->pr_lock);
}

void
pool_sethiwat(struct pool *pp, unsigned npages)
{
	mutex_enter(&pp->pr_lock);
	/* relaxed: the reader is in pool_get() */
	__atomic_store_n(&pp->pr_hiwat, npages, __ATOMIC_RELAXED);
	if (pool_has_surplus(pp))
		pool_want_reclaim();
	mutex_exit(&pp->pr_lock);
}

void
pool_sethardlimit(struct pool *pp, unsigned nitems)
{
	mutex_enter(&pp->pr_lock);
	KASSERTMSG(nitems >= pp->pr_nout, "pool %s: limit %u below the %u items that are out",
	    pp->pr_wmesg, nitems, pp->pr_nout);
	pp->pr_hardlimit = nitems;
	cv_broadcast(&pp->pr_cv);
	mutex_exit(&pp->pr_lock);
}

unsigned
pool_reclaim(struct pool *pp)
{
	struct pool_pages list = LIST_HEAD_INITIALIZER(list);
	unsigned n;

	lockdebug_sleep_barrier("pool_reclaim");
	mutex_enter(&pp->pr_lock);
	KDASSERT(used_consistently(pp));
	n = pages_collect(pp, pp->pr_lowat, &list);	/* I-POOL-8 */
	mutex_exit(&pp->pr_lock);
	pages_free(pp, &list);
	return n;
}

/* --- creation and end --- */

/* => n times that is 1 modulo 2^64; n is odd */
static uint64_t
inverse(uint64_t n)
{
	uint64_t x = n;			/* right in the last three bits, and each turn in twice as many */

	for (int bits = 3; bits < 64; bits *= 2)
		x *= 2 - n * x;
	return x;
}

/* => sizes and offsets of a page's items */
static void
lay_out(struct pool *pp, size_t size, size_t align)
{
	const size_t pagesz = pp->pr_alloc->pa_pagesz;
	const size_t mark = UVMSTRESS_LOCKDEBUG && pp->pr_cache != NULL ? sizeof(uint8_t) : 0;
	size_t n;

	if (align == 0)
		align = sizeof(uint64_t);
	KASSERT((align & (align - 1)) == 0 && (pagesz & (pagesz - 1)) == 0);
	if (size < sizeof(uint64_t))
		size = sizeof(uint64_t);
	pp->pr_asked = size;
	pp->pr_size = (size + align - 1) & ~(align - 1);
	KASSERTMSG(pagesz <= 1UL << 16, "pool %s: pages of %zu bytes", pp->pr_wmesg, pagesz);
	pp->pr_magic = (uintptr_t)pp ^ POOL_PAGE_MAGIC;
	pp->pr_mask = pagesz - 1;
	pp->pr_lastword = pp->pr_asked >= 2 * sizeof(uint64_t);
	pp->pr_shift = (uint8_t)__builtin_ctzl(pp->pr_size);
	pp->pr_inverse = inverse(pp->pr_size >> pp->pr_shift);
	/* as many as there is room for, with a byte for each in the head if they may be cached */
	n = (pagesz - sizeof(struct pool_page)) / (pp->pr_size + mark);
	if (n > POOL_PAGE_ITEMS)
		n = POOL_PAGE_ITEMS;
	while (pp->pr_first = (sizeof(struct pool_page) + n * mark + align - 1) & ~(align - 1),
	    n > 0 && pp->pr_first + n * pp->pr_size > pagesz)
		n--;
	KASSERTMSG(n > 0, "pool %s: an item of %zu bytes in a page", pp->pr_wmesg, size);
	pp->pr_perpage = n;
}

struct pool *
pool_create_internal(size_t size, size_t align, const char *wmesg,
    const struct pool_allocator *pa, ipl_t ipl, bool hidden, struct pool_cache *pc)
{
	struct pool *pp = aligned_alloc(_Alignof(struct pool), sizeof(*pp));

	if (pp == NULL)
		panic("pool %s: the host has no memory", wmesg);
	memset(pp, 0, sizeof(*pp));
	pp->pr_wmesg = wmesg;
	pp->pr_alloc = pa;
	pp->pr_ipl = ipl;
	pp->pr_hidden = hidden;
	pp->pr_cache = pc;
	lay_out(pp, size, align);
	pp->pr_hiwat = pp->pr_hardlimit = UINT_MAX;
	race_atomic(&pp->pr_npages, sizeof(pp->pr_npages));
	mutex_init(&pp->pr_lock, MUTEX_SPIN, ipl, LC_pool);
	cv_init(&pp->pr_cv, wmesg);
	LIST_INIT(&pp->pr_full);
	LIST_INIT(&pp->pr_partial);
	LIST_INIT(&pp->pr_empty);
	pool_enlist(pp);
	return pp;
}

struct pool *
pool_create(size_t size, size_t align, const char *wmesg, const struct pool_allocator *pa,
    ipl_t ipl)
{
	return pool_create_internal(size, align, wmesg, pa, ipl, false, NULL);
}

void
pool_finish(struct pool *pp)
{
	unsigned nout;

	mutex_enter(&pp->pr_lock);
	KASSERT(pp->pr_nwaiters == 0);
	nout = pp->pr_nout;
	pp->pr_lowat = 0;
	KDASSERT(pool_consistent(pp));
	mutex_exit(&pp->pr_lock);
	if (nout != 0) {
		violation(VIOL_LEAK, "I-POOL-1", "pool %s: %u items are out", pp->pr_wmesg, nout);
		panic("pool_destroy: pool %s: %u items are out", pp->pr_wmesg, nout);
	}
	pool_reclaim(pp);
	KASSERT(pp->pr_npages == 0);
	cv_destroy(&pp->pr_cv);
	mutex_destroy(&pp->pr_lock);
	free(pp);
}

void
pool_destroy(struct pool *pp)
{
	pool_unlist(pp);
	pool_finish(pp);
}
