/*
 * pool(9): limits, water marks, mistakes of users, and R43: a put never blocks and
 * never calls the back end.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/pool.h>
#include <sys/sleepq.h>

#include "../../src/kern/pool_int.h"

#define	PAGE	4096
#define	QUARTER	990		/* four items of that size fit in a page beside its header */
#define	HALF	1990

/* A back end on the host's heap, which knows how many pages are out. */
static int npages;			/* atomic */
static int supply = -1;			/* atomic: pages that may still be given; -1 any number */
static bool in_put;			/* a put runs: no page may go back now */
static bool in_get;			/* a get(PR_NOWAIT) runs: likewise */
static int asked;			/* flags of the last page that was asked for; atomic */
static void (*meanwhile)(struct pool *); /* called once, while the pool waits for a page; one CPU */
static void (*at_free)(void);		/* called while a page goes back; one CPU */
static void *stale;			/* a page that went back and stays readable, if wanted */
static bool keep_stale;

static void
do_meanwhile(struct pool *pp)
{
	void (*fn)(struct pool *) = meanwhile;

	if (fn == NULL)
		return;				/* who is on several CPUs has none */
	meanwhile = NULL;
	fn(pp);
}

static void *
page_alloc(struct pool *pp, int flags)
{
	int left;

	CHECK(!in_put);
	do_meanwhile(pp);
	__atomic_store_n(&asked, flags, __ATOMIC_RELAXED);
	left = __atomic_load_n(&supply, __ATOMIC_RELAXED);
	if (left == 0)
		return NULL;
	if (left > 0)
		__atomic_fetch_sub(&supply, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&npages, 1, __ATOMIC_RELAXED);
	return aligned_alloc(PAGE, PAGE);
}

static void
page_free(struct pool *pp, void *page)
{
	CHECK(!in_put && !in_get);
	CHECK(!cpu_intr_p());
	if (at_free != NULL)
		at_free();
	__atomic_fetch_sub(&npages, 1, __ATOMIC_RELAXED);
	if (keep_stale)
		stale = page;
	else
		free(page);
}

static const struct pool_allocator heap = { page_alloc, page_free, PAGE };

static int
pages_out(void)
{
	return __atomic_load_n(&npages, __ATOMIC_RELAXED);
}

static struct pool_stat
stat_of(struct pool *pp)
{
	struct pool_stat ps;

	pool_getstat(pp, &ps);
	return ps;
}

static struct pool *
begin(int cpus_wanted, size_t size, ipl_t ipl)
{
	ktest_kern(cpus_wanted, ktest_seed());
	return pool_create(size, 0, "test", &heap, ipl);
}

static void
end(struct pool *pp)
{
	pool_destroy(pp);
	CHECK_EQ(pages_out(), 0);
	kern_shutdown();
}

KTEST(items_are_distinct_aligned_and_whole,
    "items of every size and alignment lie in their page, apart from each other, and hold a pattern")
{
	static const size_t sizes[] = { 1, 8, 16, 24, 100, 333, 1024, 2000, 3900 };
	unsigned char *item[600];

	ktest_kern(1, ktest_seed());
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t align = i % 2 == 0 ? 0 : 32, size = sizes[i];
		struct pool *pp = pool_create(size, align, "size", &heap, IPL_NONE);

		for (int k = 0; k < 600; k++) {
			item[k] = pool_get(pp, PR_WAITOK);
			CHECK_EQ((uintptr_t)item[k] % (align == 0 ? 8 : align), 0);
			memset(item[k], k, size);
		}
		CHECK_EQ(stat_of(pp).ps_nout, 600);
		for (int k = 0; k < 600; k++) {
			for (size_t b = 0; b < size; b++)
				CHECK_EQ(item[k][b], k & 0xff);
			pool_put(pp, item[k]);
		}
		CHECK_EQ(stat_of(pp).ps_nidle, stat_of(pp).ps_npages);
		pool_destroy(pp);
		CHECK_EQ(pages_out(), 0);
	}
	kern_shutdown();
}

KTEST(zero_means_zero, "PR_ZERO gives zeroes, also for an item that was used")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	char *item = pool_get(pp, PR_NOWAIT);

	memset(item, 0xff, 64);
	pool_put(pp, item);
	CHECK(pool_get(pp, PR_NOWAIT | PR_ZERO) == item);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(item[i], 0);
	pool_put(pp, item);
	end(pp);
}

KTEST(nowait_without_memory_fails_clean, "PR_NOWAIT without a page returns NULL and counts it")
{
	struct pool *pp = begin(1, HALF, IPL_VM);
	void *a, *b;

	supply = 1;
	a = pool_get(pp, PR_NOWAIT);
	b = pool_get(pp, PR_NOWAIT);
	CHECK(a != NULL && b != NULL);
	CHECK(pool_get(pp, PR_NOWAIT) == NULL);
	CHECK_EQ(stat_of(pp).ps_nfail, 1);
	pool_put(pp, a);
	CHECK(pool_get(pp, PR_NOWAIT) == a);
	pool_put(pp, a);
	pool_put(pp, b);
	end(pp);
}

/* --- R43 --- */

#define	MANY	40

static void
fill_and_empty(struct pool *pp)
{
	void *item[MANY];

	for (int i = 0; i < MANY; i++)
		item[i] = pool_get(pp, PR_WAITOK);
	in_put = true;
	for (int i = 0; i < MANY; i++)
		pool_put(pp, item[i]);
	in_put = false;
}

KTEST(R43_put_never_calls_the_back_end,
    "pages above the high-water mark stay on put and on get(NOWAIT), and go back on the next get(WAITOK)")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item;

	pool_sethiwat(pp, 2);
	fill_and_empty(pp);
	CHECK_EQ(pages_out(), MANY / 4);
	CHECK_EQ(stat_of(pp).ps_nidle, MANY / 4);
	in_get = true;
	item = pool_get(pp, PR_NOWAIT);
	in_get = false;
	in_put = true;
	pool_put(pp, item);
	in_put = false;
	CHECK_EQ(pages_out(), MANY / 4);
	pool_put(pp, pool_get(pp, PR_WAITOK));
	CHECK_EQ(pages_out(), 2);
	CHECK_EQ(stat_of(pp).ps_nreclaim, MANY / 4 - 2);
	end(pp);
}

KTEST(R41_put_gives_back_only_what_the_back_end_lets_it,
    "reserve: a back end whose free may sleep is not called by a put, whatever the mode")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item[MANY];

	pool_setputmode(POOL_PUT_RESERVE);
	for (int i = 0; i < MANY; i++)
		item[i] = pool_get(pp, PR_WAITOK);
	pool_sethiwat(pp, 2);
	in_put = true;
	for (int i = 0; i < MANY; i++)
		pool_put(pp, item[i]);
	in_put = false;
	CHECK_EQ(pages_out(), MANY / 4);
	CHECK_EQ(pool_check(), 0);		/* I-POOL-7: the reclaim LWP does it soon */
	CHECK_EQ(pages_out(), 2);
	end(pp);
}

static struct pool *intr_pool;
static void *intr_items[MANY];
static int intr_done;			/* atomic */

static void
put_all(void *arg)
{
	CHECK(cpu_intr_p());
	in_put = true;
	for (int i = 0; i < MANY; i++)
		pool_put(intr_pool, intr_items[i]);
	in_put = false;
	__atomic_store_n(&intr_done, 1, __ATOMIC_RELEASE);
}

KTEST(R43_T74_put_from_an_interrupt_returns_at_once,
    "an interrupt at IPL_VM empties a pool far above its high-water mark while the interrupted LWP holds a lock")
{
	struct pool *pp = intr_pool = begin(1, QUARTER, IPL_VM);
	kmutex_t map;

	mutex_init(&map, MUTEX_DEFAULT, IPL_NONE, LC_kmap);
	intr_establish(IRQ_DISK, IPL_VM, put_all, NULL);
	pool_sethiwat(pp, 1);
	for (int i = 0; i < MANY; i++)
		intr_items[i] = pool_get(pp, PR_WAITOK);
	mutex_enter(&map);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	CHECK(__atomic_load_n(&intr_done, __ATOMIC_ACQUIRE));
	mutex_exit(&map);
	CHECK_EQ(pages_out(), MANY / 4);
	CHECK_EQ(stat_of(pp).ps_nout, 0);
	CHECK_EQ(pool_drain_all(), MANY / 4);
	CHECK_EQ(pages_out(), 0);
	mutex_destroy(&map);
	end(pp);
}

KTEST(R43_put_with_spin_lock_of_an_unraised_pool,
    "a put to an IPL_NONE pool is allowed with a spin lock held, since pr_lock never sleeps")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	void *item = pool_get(pp, PR_WAITOK);
	kmutex_t spin;

	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	mutex_enter(&spin);
	pool_put(pp, item);
	mutex_exit(&spin);
	mutex_destroy(&spin);
	end(pp);
}

/* --- water marks and limits --- */

KTEST(I_POOL_8_reclaim_respects_the_low_water_mark,
    "reclaim leaves as many pages as the low-water mark says, and setting it fetches them")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	pool_setlowat(pp, 3);
	CHECK_EQ(pages_out(), 3);
	fill_and_empty(pp);
	CHECK_EQ(pool_reclaim(pp), MANY / 4 - 3);
	CHECK_EQ(pages_out(), 3);
	CHECK_EQ(pool_reclaim(pp), 0);
	end(pp);
}

KTEST(I_POOL_4_hard_limit_without_waiting,
    "at the hard limit NOWAIT and LIMITFAIL return NULL and nothing is allocated")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item[4];

	pool_sethardlimit(pp, 4);
	for (int i = 0; i < 4; i++)
		item[i] = pool_get(pp, PR_WAITOK);
	CHECK(pool_get(pp, PR_NOWAIT) == NULL);
	CHECK(pool_get(pp, PR_WAITOK | PR_LIMITFAIL) == NULL);
	CHECK_EQ(pages_out(), 1);
	CHECK_EQ(stat_of(pp).ps_nfail, 2);
	for (int i = 0; i < 4; i++)
		pool_put(pp, item[i]);
	end(pp);
}

#define	LIMIT	2
static struct pool *shared;
static int holders;			/* atomic: items in somebody's hands */

static void
use_limited(void *arg)
{
	struct lwp *l = curlwp;

	for (unsigned i = 0; i < ktest_scale(2000); i++) {
		uint64_t *item = pool_get(shared, PR_WAITOK);

		CHECK(__atomic_add_fetch(&holders, 1, __ATOMIC_RELAXED) <= LIMIT);
		*item = (uintptr_t)l;
		yield();
		CHECK_EQ(*item, (uintptr_t)l);
		__atomic_fetch_sub(&holders, 1, __ATOMIC_RELAXED);
		pool_put(shared, item);
	}
}

KTEST(I_POOL_5_waiters_at_the_hard_limit_go_on,
    "8 LWPs on 4 CPUs share 2 items: never more are out, nobody is forgotten")
{
	struct pool *pp = shared = begin(4, QUARTER, IPL_NONE);

	pool_sethardlimit(pp, LIMIT);
	ktest_lwps(8, use_limited);
	CHECK_EQ(stat_of(pp).ps_nout, 0);
	CHECK_EQ(stat_of(pp).ps_nget, 8 * ktest_scale(2000));
	end(pp);
}

static char order[8];
static int norder;

static void
wait_for_item(void *arg)
{
	void *item;

	order[norder++] = 'w';
	item = pool_get(shared, PR_WAITOK);
	order[norder++] = 'g';
	pool_put(shared, item);
}

/* => a pool of one CPU whose limit is one item; that is out, and an LWP sleeps for it */
static struct pool *
begin_at_limit(void **itemp, struct lwp **waiterp)
{
	struct pool *pp = shared = begin(1, QUARTER, IPL_VM);

	*itemp = pool_get(pp, PR_WAITOK);
	pool_sethardlimit(pp, 1);
	CHECK_EQ(lwp_create(waiterp, NULL, "waiter", wait_for_item, NULL), 0);
	lwp_start(*waiterp);
	yield();
	yield();
	return pp;
}

KTEST(I_POOL_5_put_wakes_the_waiter, "a get at the hard limit sleeps until a put, no longer")
{
	struct lwp *l;
	void *item;
	struct pool *pp = begin_at_limit(&item, &l);

	order[norder++] = 'p';
	pool_put(pp, item);
	lwp_wait(l);
	CHECK(strcmp(order, "wpg") == 0);
	end(pp);
}

KTEST(I_POOL_5_a_higher_limit_wakes_the_waiter, "who sleeps at the hard limit goes on when that is raised")
{
	struct lwp *l;
	void *item;
	struct pool *pp = begin_at_limit(&item, &l);

	CHECK(strcmp(order, "w") == 0);
	pool_sethardlimit(pp, 2);
	lwp_wait(l);
	CHECK(strcmp(order, "wg") == 0);
	pool_put(pp, item);
	end(pp);
}

KTEST(I_POOL_4_woken_too_late, "the item that a waiter was woken for is somebody else's by then: it sleeps again")
{
	struct lwp *l;
	void *item;
	struct pool *pp = begin_at_limit(&item, &l);

	pool_put(pp, item);
	item = pool_get(pp, PR_NOWAIT);		/* the waiter has not run yet */
	CHECK(item != NULL);
	yield();
	yield();
	CHECK(strcmp(order, "w") == 0);
	pool_put(pp, item);
	lwp_wait(l);
	CHECK(strcmp(order, "wg") == 0);
	end(pp);
}

KTEST(I_POOL_5_waiter_who_was_forgotten, "who sleeps at the limit, and was not woken when an item came back, is told")
{
	struct lwp *l;
	void *item;
	struct pool *pp = begin_at_limit(&item, &l);

	ktest_expect_violations();
	CHECK_EQ(pool_check(), 0);
	pp->pr_hardlimit = 2;
	for (unsigned i = 0; ktest_violations(VIOL_INVARIANT) == 0 && i < 1000; i++)
		pool_check_some(i, UINT_MAX);
	CHECK_EQ(ktest_violations(VIOL_INVARIANT), 1);
	CHECK_EQ(strcmp(ktest_violation.v_id, "I-POOL-5"), 0);
	pool_sethardlimit(pp, 2);
	lwp_wait(l);
	CHECK_EQ(pool_check(), 0);
	pool_put(pp, item);
	end(pp);
}

static void *others;

static void
take_one(struct pool *pp)
{
	others = pool_get(pp, PR_NOWAIT);
	CHECK(others != NULL);
}

static void
take_one_and_all_pages(struct pool *pp)
{
	take_one(pp);
	supply = 0;
}

KTEST(I_POOL_4_the_limit_is_reached_while_a_page_is_fetched, "whoever took the last item that is allowed meanwhile, the page comes or not")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	pool_sethardlimit(pp, 1);
	meanwhile = take_one;
	CHECK(pool_get(pp, PR_NOWAIT) == NULL);
	CHECK_EQ(pages_out(), 2);
	pool_put(pp, others);
	pool_reclaim(pp);
	CHECK_EQ(pages_out(), 0);
	meanwhile = take_one_and_all_pages;	/* its page has free items, and is all there is */
	CHECK(pool_get(pp, PR_NOWAIT) == NULL);
	CHECK_EQ(pages_out(), 1);
	pool_put(pp, others);
	supply = -1;
	end(pp);
}

KTEST(the_back_end_may_wait_if_the_caller_may, "WAITOK and NOWAIT reach it as they are")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	pool_put(pp, pool_get(pp, PR_NOWAIT | PR_ZERO));
	CHECK_EQ(asked, PR_NOWAIT);
	pool_reclaim(pp);
	pool_put(pp, pool_get(pp, PR_WAITOK | PR_LIMITFAIL));
	CHECK_EQ(asked, PR_WAITOK);
	end(pp);
}

static void *four[4];

static void
put_four(struct pool *pp)
{
	for (int i = 0; i < 4; i++)
		pool_put(pp, four[i]);
}

/* => the reclaim LWP sleeps, waiting for work */
static void
reclaim_rests(void)
{
	for (int i = 0; i < 4; i++)
		yield();
}

KTEST(I_POOL_7_surplus_of_a_get, "a page is fetched, and meanwhile another becomes idle: one of them goes back")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item;

	pool_sethiwat(pp, 1);
	for (int i = 0; i < 4; i++)
		four[i] = pool_get(pp, PR_WAITOK);
	reclaim_rests();
	meanwhile = put_four;
	item = pool_get(pp, PR_NOWAIT);
	CHECK_EQ(pages_out(), 2);
	CHECK_EQ(pool_check(), 0);
	CHECK_EQ(pages_out(), 1);
	pool_put(pp, item);
	end(pp);
}

KTEST(I_POOL_7_surplus_of_a_lower_mark, "a high-water mark is lowered, or an item put back above it: pages go back soon")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item[MANY];

	pool_sethiwat(pp, MANY);
	fill_and_empty(pp);
	reclaim_rests();
	pool_sethiwat(pp, 2);
	CHECK_EQ(pool_check(), 0);
	CHECK_EQ(pages_out(), 2);
	reclaim_rests();
	for (int i = 0; i < MANY; i++)
		item[i] = pool_get(pp, PR_WAITOK);
	for (int i = 0; i < MANY; i++)
		pool_put(pp, item[i]);
	CHECK_EQ(pages_out(), MANY / 4);
	CHECK_EQ(pool_check(), 0);
	CHECK_EQ(pages_out(), 2);
	end(pp);
}

KTEST(I_POOL_8_trimming_respects_the_low_water_mark, "with a low-water mark above the high one")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	pool_setlowat(pp, 3);
	pool_sethiwat(pp, 1);
	fill_and_empty(pp);
	pool_put(pp, pool_get(pp, PR_WAITOK));
	CHECK_EQ(pages_out(), 3);
	end(pp);
}

static bool slow, inside;

static void
go_slowly(void)
{
	if (!slow)
		return;
	inside = true;
	kpause("slow", 5000000);
	inside = false;
}

static void
drain(void *arg)
{
	pool_drain_all();
}

KTEST(destroy_waits_for_who_drains, "a pool is not destroyed while its pages are being given back")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	struct lwp *l;

	pool_put(pp, pool_get(pp, PR_WAITOK));
	at_free = go_slowly;
	slow = true;
	CHECK_EQ(lwp_create(&l, NULL, "drain", drain, NULL), 0);
	lwp_start(l);
	KTEST_WAIT(inside);
	slow = false;
	pool_destroy(pp);
	CHECK(!inside);
	CHECK_EQ(pages_out(), 0);
	lwp_wait(l);
	kern_shutdown();
}

static bool draining;			/* atomic */

static void
churn(void *arg)
{
	struct host_rng *rng = &curlwp->l_rng;
	uint64_t *mine[64] = { NULL };

	if ((intptr_t)arg == 0) {	/* the page daemon of this case */
		while (__atomic_load_n(&draining, __ATOMIC_RELAXED)) {
			pool_drain_all();
			kpause("drain", 100000);
		}
		return;
	}
	for (unsigned i = 0; i < ktest_scale(150000); i++) {
		uint64_t k = host_rng_below(rng, 64);

		if (mine[k] == NULL) {
			mine[k] = pool_get(shared, i % 2 == 0 ? PR_WAITOK : PR_NOWAIT);
			if (mine[k] != NULL)
				mine[k][0] = mine[k][60] = (uintptr_t)&mine[k];
		} else {
			CHECK_EQ(mine[k][0], (uintptr_t)&mine[k]);
			CHECK_EQ(mine[k][60], (uintptr_t)&mine[k]);
			pool_put(shared, mine[k]);
			mine[k] = NULL;
		}
		if (i % 256 == 0)
			lwp_userret(100);
	}
	for (int k = 0; k < 64; k++)
		if (mine[k] != NULL)
			pool_put(shared, mine[k]);
	__atomic_store_n(&draining, false, __ATOMIC_RELAXED);
}

KTEST(I_POOL_1_counts_hold_under_load,
    "6 LWPs get and put at random, pages come and go, one LWP drains: at the end all is back")
{
	struct pool *pp = shared = begin(4, 500, IPL_VM);

	draining = true;
	pool_sethiwat(pp, 4);
	ktest_lwps(7, churn);
	CHECK_EQ(stat_of(pp).ps_nout, 0);
	CHECK_EQ(stat_of(pp).ps_nget, stat_of(pp).ps_nput);
	CHECK_EQ(stat_of(pp).ps_npages, pages_out());
	end(pp);
}

static void
sum_pools(const struct pool_stat *ps, void *arg)
{
	if (strcmp(ps->ps_name, "test") == 0)
		*(unsigned *)arg += ps->ps_nout;
}

KTEST(foreach_shows_every_pool, "pool_foreach reports each pool with what is out of it")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	void *item = pool_get(pp, PR_WAITOK);
	unsigned nout = 0;

	pool_foreach(sum_pools, &nout);
	CHECK_EQ(nout, 1);
	pool_put(pp, item);
	end(pp);
}

KTEST(second_boot_works, "pools work again after shutdown and a second boot")
{
	for (int i = 0; i < 2; i++) {
		struct pool *pp = begin(2, 64, IPL_NONE);

		pool_put(pp, pool_get(pp, PR_WAITOK));
		end(pp);
	}
}

KTEST(I_POOL_2_items_are_known_by_their_offset, "of every size of item each offset of a page is that of the item that begins there, or of none")
{
	ktest_kern(1, ktest_seed());
	for (size_t size = 8; size <= 1100; size += 4) {
		struct pool *pp = pool_create(size, size % 16 == 0 ? 16 : 4, "sizes", &heap, IPL_NONE);

		CHECK(pp->pr_perpage > 0 && pp->pr_first + pp->pr_perpage * pp->pr_size <= PAGE);
		for (size_t off = 0; off < PAGE; off++) {
			const size_t at = off - pp->pr_first, i = pool_item_index(pp, off);

			if (off < pp->pr_first || at % pp->pr_size != 0 || at / pp->pr_size >= pp->pr_perpage)
				CHECK(i >= pp->pr_perpage);
			else
				CHECK_EQ(i, at / pp->pr_size);
		}
		pool_destroy(pp);
	}
	kern_shutdown();
}

/* --- mistakes --- */

KTEST_DEATH(I_POOL_2_double_free_panics, "an item put twice is caught", "freed twice")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	void *item = pool_get(pp, PR_WAITOK);

	pool_put(pp, item);
	pool_put(pp, item);
}

KTEST_DEATH(I_POOL_2_other_pools_item_panics, "an item put to another pool is caught",
    "from another pool")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	struct pool *other = pool_create(64, 0, "other", &heap, IPL_NONE);

	pool_put(other, pool_get(pp, PR_WAITOK));
}

KTEST_DEATH(I_POOL_2_inner_pointer_panics, "a pointer into an item is caught",
    "not the start of an item")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	char *item = pool_get(pp, PR_WAITOK);

	pool_put(pp, item + 8);
}

KTEST_DEATH(I_POOL_2_foreign_page_panics, "memory that no pool gave is caught", "not from a pool")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	char *page = aligned_alloc(PAGE, PAGE);

	memset(page, 0, PAGE);
	pool_put(pp, page + 512);
}

KTEST_DEATH(I_POOL_2_page_of_before_panics, "an item of a page that has gone back is caught", "not from a pool")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	char *item = pool_get(pp, PR_WAITOK);

	pool_put(pp, item);
	keep_stale = true;
	CHECK_EQ(pool_reclaim(pp), 1);
	CHECK(stale == (void *)((uintptr_t)item & ~(uintptr_t)(PAGE - 1)));
	pool_put(pp, item);
}

KTEST(I_POOL_1_page_on_another_list, "a page with free items that stands among the full ones is told")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *item = pool_get(pp, PR_WAITOK);
	struct pool_page *ph = LIST_FIRST(&pp->pr_partial);

	ktest_expect_violations();
	CHECK_EQ(pool_check(), 0);
	LIST_REMOVE(ph, ph_list);
	LIST_INSERT_HEAD(&pp->pr_full, ph, ph_list);
	CHECK_EQ(pool_check(), 1);
	CHECK_EQ(strcmp(ktest_violation.v_id, "I-POOL-1"), 0);
	LIST_REMOVE(ph, ph_list);
	LIST_INSERT_HEAD(&pp->pr_partial, ph, ph_list);
	pp->pr_nget++;
	CHECK_EQ(pool_check(), 1);
	pp->pr_nget--;
	CHECK_EQ(pool_check(), 0);
	pool_put(pp, item);
	pool_destroy(pp);
	kern_shutdown();
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(use_after_free_is_seen, "a write to a free item is seen by the next get, or by the sanitizer",
    "modified after free|AddressSanitizer: use-after-poison")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	uint64_t *volatile item = pool_get(pp, PR_WAITOK);

	pool_put(pp, item);
	item[1] = 42;
	pool_get(pp, PR_WAITOK);
}

KTEST_DEATH(waitok_with_spin_lock_panics, "PR_WAITOK with a spin lock held is caught even if no sleep is needed",
    "sleep with a spin lock held")
{
	struct pool *pp = begin(1, 64, IPL_VM);
	kmutex_t spin;

	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	pool_put(pp, pool_get(pp, PR_WAITOK));
	mutex_enter(&spin);
	pool_get(pp, PR_WAITOK);
}

KTEST_DEATH(held_lock_in_freed_memory_panics, "an item with a held lock in it cannot be put",
    "memory freed with lock test in it")
{
	struct pool *pp = begin(1, 64, IPL_NONE);
	kmutex_t *lock = pool_get(pp, PR_WAITOK);

	mutex_init(lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_enter(lock);
	pool_put(pp, lock);
}
#endif

static void
put_one(void *arg)
{
	pool_put(intr_pool, intr_items[0]);
}

KTEST(put_from_a_higher_interrupt_is_reported,
    "an interrupt above the pool's IPL that puts an item is a violation")
{
	struct pool *pp = intr_pool = begin(1, 64, IPL_NONE);

	ktest_expect_violations();
	intr_items[0] = pool_get(pp, PR_WAITOK);
	intr_establish(IRQ_DISK, IPL_VM, put_one, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	/* and its lock, which is taken at IPL_NONE too, in an interrupt */
	CHECK_EQ(ktest_violations(VIOL_INTERRUPT_CONTEXT), UVMSTRESS_LOCKDEBUG ? 2 : 1);
	end(pp);
}

KTEST_DEATH(destroy_with_items_out_reports_the_leak, "a pool with an item out cannot be destroyed",
    "leak: I-POOL-1: pool test: 1 items are out")
{
	struct pool *pp = begin(1, 64, IPL_NONE);

	pool_get(pp, PR_WAITOK);
	pool_destroy(pp);
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(I_POOL_1_reclaim_sees_counts_that_are_wrong, "once a pool was used as often as it has pages, reclaim counts them",
    "used_consistently")
{
	struct pool *pp = begin(1, 64, IPL_NONE);

	pool_put(pp, pool_get(pp, PR_WAITOK));
	pool_reclaim(pp);				/* which looks at whatever there is yet */
	pool_get(pp, PR_WAITOK);
	pool_get(pp, PR_WAITOK);
	pp->pr_nout++;
	pool_reclaim(pp);
}
#endif

KTEST(I_POOL_7_pages_that_nobody_wants_stay, "a mark is lowered behind the reclaim LWP's back")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	ktest_expect_violations();
	pool_sethiwat(pp, 0);
	pool_setlowat(pp, 3);
	CHECK_EQ(pool_check(), 0);
	CHECK_EQ(stat_of(pp).ps_npages, 3);
	pool_setlowat(pp, 0);			/* asks nobody to take them */
	CHECK_EQ(pool_check(), 1);
	CHECK_EQ(strcmp(ktest_violation.v_id, "I-POOL-7"), 0);
	CHECK_EQ(pool_reclaim(pp), 3);
	CHECK_EQ(pool_check(), 0);
	pool_destroy(pp);
	kern_shutdown();
}

KTEST(I_POOL_4_more_items_out_than_the_limit, "a limit that was passed is told at the next look")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);
	void *one = pool_get(pp, PR_WAITOK), *two = pool_get(pp, PR_WAITOK);

	ktest_expect_violations();
	CHECK_EQ(pool_check(), 0);
	pp->pr_hardlimit = 1;
	CHECK_EQ(pool_check(), 1);
	CHECK_EQ(strcmp(ktest_violation.v_id, "I-POOL-4"), 0);
	pp->pr_hardlimit = 2;
	CHECK_EQ(pool_check(), 0);
	pool_put(pp, one);
	pool_put(pp, two);
	pool_destroy(pp);
	kern_shutdown();
}

KTEST(I_POOL_5_waiter_beside_a_free_item, "somebody waits at the limit, and it is not reached")
{
	struct pool *pp = begin(1, QUARTER, IPL_NONE);

	ktest_expect_violations();
	pp->pr_hardlimit = 1;
	pp->pr_nwaiters = 1;
	CHECK_EQ(pool_check(), 1);
	CHECK_EQ(strcmp(ktest_violation.v_id, "I-POOL-5"), 0);
	pp->pr_nwaiters = 0;
	CHECK_EQ(pool_check(), 0);
	pool_destroy(pp);
	kern_shutdown();
}

KTEST_MAIN()
