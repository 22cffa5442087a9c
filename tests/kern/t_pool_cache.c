/*
 * pool_cache(9): constructed objects kept by each CPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ktest_kern.h>
#include <sys/intr.h>
#include <sys/pool.h>
#include <sys/sleepq.h>

#include "../../src/kern/pool_int.h"

#define	PAGE	4096

static int npages;			/* atomic */
static bool shortage;			/* atomic: no page for NOWAIT */

static void *
page_alloc(struct pool *pp, int flags)
{
	if (__atomic_load_n(&shortage, __ATOMIC_RELAXED) && (flags & PR_NOWAIT) != 0)
		return NULL;
	__atomic_fetch_add(&npages, 1, __ATOMIC_RELAXED);
	return aligned_alloc(PAGE, PAGE);
}

static void
page_free(struct pool *pp, void *page)
{
	__atomic_fetch_sub(&npages, 1, __ATOMIC_RELAXED);
	free(page);
}

static const struct pool_allocator heap = { page_alloc, page_free, PAGE };

/* An object in constructed state has its own address in o_self and nobody as user. */
struct object {
	struct object	*o_self;
	struct lwp	*o_user;
	char		 o_room[80];
};

static pool_cache_t cache;
static int nconstructed;		/* atomic: less those destroyed */
static int nctor;			/* atomic */
static bool ctor_fails;
static bool ctor_waits;			/* of objects that nobody waits for it fails */

static int
construct(void *arg, void *v, int flags)
{
	struct object *o = v;

	CHECK_EQ((uintptr_t)arg, 4711);
	if (ctor_fails || (ctor_waits && (flags & PR_NOWAIT) != 0))
		return ENOMEM;
	o->o_self = o;
	o->o_user = NULL;
	__atomic_fetch_add(&nconstructed, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nctor, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
destruct(void *arg, void *v)
{
	struct object *o = v;

	CHECK_EQ((uintptr_t)arg, 4711);
	CHECK(o->o_self == o && o->o_user == NULL);	/* I-POOL-6 */
	o->o_self = NULL;
	__atomic_fetch_sub(&nconstructed, 1, __ATOMIC_RELAXED);
}

static void
begin_on(int cpus_wanted, unsigned cores)
{
	ktest_kern(cpus_wanted, ktest_seed());
	cpu_cores = cores;
	cache = pool_cache_create(sizeof(struct object), 0, "object", &heap, IPL_VM, construct,
	    destruct, (void *)4711);
}

/* => each CPU has its own depot, on whatever host */
static void
begin(int cpus_wanted)
{
	begin_on(cpus_wanted, 0);
}

static void
end(void)
{
	CHECK_EQ(pool_cache_nout(cache), 0);
	pool_cache_destroy(cache);
	CHECK_EQ(nconstructed, 0);
	CHECK_EQ(npages, 0);
	kern_shutdown();
}

static struct object *
get(int flags)
{
	struct object *o = pool_cache_get(cache, flags);

	if (o != NULL) {
		CHECK(o->o_self == o);		/* I-POOL-6 */
		CHECK(o->o_user == NULL);
		o->o_user = curlwp;
	}
	return o;
}

static void
put(struct object *o)
{
	CHECK(o->o_user == curlwp);
	o->o_user = NULL;
	pool_cache_put(cache, o);
}

static struct pool_stat found;

static void
find_object_pool(const struct pool_stat *ps, void *arg)
{
	++*(int *)arg;
	found = *ps;
}

KTEST(I_POOL_6_constructed_once, "an object that comes back is not constructed again")
{
	struct object *o[100];
	int made = 0;

	begin(1);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 100; i++)
			o[i] = get(PR_WAITOK);
		CHECK_EQ(pool_cache_nout(cache), 100);
		if (round == 0)
			made = nctor;			/* some more than 100: pages as wholes */
		for (int i = 0; i < 100; i++)
			put(o[i]);
		CHECK_EQ(pool_cache_nout(cache), 0);
	}
	CHECK(made >= 100 && nctor == made);
	end();
}

KTEST(invalidate_destroys_what_is_cached, "after invalidate everything cached is destroyed")
{
	struct object *o[50];

	begin(2);
	for (int i = 0; i < 50; i++)
		o[i] = get(PR_WAITOK);
	for (int i = 1; i < 50; i++)
		put(o[i]);
	pool_cache_invalidate(cache);
	CHECK_EQ(nconstructed, 1);
	put(o[0]);
	end();
}

KTEST(drain_all_empties_the_depot, "pool_drain_all gives pages of the depot's objects back")
{
	struct object *o[400];
	int n = 0;

	begin(1);
	for (int i = 0; i < 400; i++)
		o[i] = get(PR_WAITOK);
	for (int i = 0; i < 400; i++)
		put(o[i]);
	CHECK(npages >= 10);
	CHECK(pool_drain_all() > 0);
	CHECK(nconstructed <= 30);		/* the CPU's two magazines are left */
	CHECK(npages <= 3);
	pool_foreach(find_object_pool, &n);
	CHECK_EQ(n, 1);				/* magazines are nobody's business */
	CHECK_EQ(found.ps_nout, 0);
	end();
}

KTEST(failing_constructor_gives_the_item_back, "a constructor's failure is a failed get, and nothing leaks")
{
	begin(1);
	ctor_fails = true;
	CHECK(get(PR_NOWAIT) == NULL);
	CHECK(get(PR_WAITOK) == NULL);
	ctor_fails = false;
	CHECK_EQ(pool_cache_nout(cache), 0);
	put(get(PR_WAITOK));
	end();
}

KTEST(what_comes_along_and_fails_goes_back, "of a page's other objects those whose constructor fails are the pool's again")
{
	struct object *o;

	begin(1);
	ctor_waits = true;
	o = get(PR_WAITOK);
	CHECK_EQ(nconstructed, 1);
	ctor_waits = false;
	put(o);
	end();
}

KTEST(zero_means_zero, "PR_ZERO gives zeroes, also for an object that was used")
{
	pool_cache_t plain;
	unsigned char *p, *q;

	ktest_kern(1, ktest_seed());
	plain = pool_cache_create(72, 0, "plain", &heap, IPL_NONE, NULL, NULL, NULL);
	p = pool_cache_get(plain, PR_NOWAIT | PR_ZERO);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 72; i++)
			CHECK_EQ(p[i], 0);
		memset(p, 0xff, 72);
		pool_cache_put(plain, p);
		q = pool_cache_get(plain, PR_WAITOK | PR_ZERO);
		CHECK(q == p);
	}
	pool_cache_put(plain, q);
	pool_cache_destroy(plain);
	CHECK_EQ(npages, 0);
	kern_shutdown();
}

KTEST(R43_put_without_memory_for_a_magazine, "a put that gets no magazine destroys the object and goes on")
{
	struct object *o[40];

	begin(1);
	for (int i = 0; i < 40; i++)
		o[i] = get(PR_WAITOK);
	pool_cache_invalidate(cache);		/* there is no magazine, empty or not, */
	pool_drain_all();			/* nor a page for one */
	CHECK_EQ(nconstructed, 40);
	shortage = true;
	for (int i = 0; i < 40; i++)
		put(o[i]);
	shortage = false;
	CHECK_EQ(nconstructed, 0);
	CHECK_EQ(pool_cache_nout(cache), 0);
	end();
}

KTEST(second_magazine_is_kept, "a magazine made while both are full pushes none of them out of sight")
{
	struct object *o[64];
	int made;

	begin(1);
	for (int i = 0; i < 64; i++)
		o[i] = get(PR_WAITOK);
	pool_cache_invalidate(cache);
	CHECK_EQ(nconstructed, 64);
	made = nctor;
	for (int i = 0; i < 64; i++)
		put(o[i]);
	CHECK_EQ(nconstructed, 64);
	for (int i = 0; i < 64; i++)
		o[i] = get(PR_WAITOK);
	CHECK_EQ(nctor, made);
	for (int i = 0; i < 64; i++)
		put(o[i]);
	end();
}

/* --- whose objects are whose --- */

#define	MINE		100

/* A CPU's doings, as a cross call: the CPUs take turns. */
struct visit {
	int		 vi_cpu;		/* of this one; -1: of each */
	int		 vi_n;			/* takes so many, before it puts all back */
	struct object	*vi_had[2][512];	/* what it had, by CPU */
	bool		 vi_again;		/* nothing that it had not had */
};

static bool
is_among(struct object *const *v, const struct object *o, int n)
{
	for (int i = 0; i < n; i++)
		if (v[i] == o)
			return true;
	return false;
}

static void
visit(void *arg)
{
	struct visit *vi = arg;
	const int cpu = curcpu()->ci_index;
	struct object *now[512];

	if (vi->vi_cpu != -1 && vi->vi_cpu != cpu)
		return;
	for (int i = 0; i < vi->vi_n; i++) {
		now[i] = get(PR_NOWAIT);
		CHECK(now[i] != NULL);
		if (vi->vi_again)
			CHECK(is_among(vi->vi_had[cpu], now[i], vi->vi_n));
	}
	memcpy(vi->vi_had[cpu], now, sizeof(now));
	for (int i = 0; i < vi->vi_n; i++)
		put(now[i]);
}

KTEST(objects_come_back_to_their_cpu, "what a CPU puts back it gets again, and no page has objects of two CPUs")
{
	struct visit vi = { -1, MINE };

	begin(2);
	xc_broadcast(visit, &vi);
	vi.vi_again = true;
	xc_broadcast(visit, &vi);
	for (int i = 0; i < MINE; i++)
		for (int k = 0; k < MINE; k++)
			CHECK((uintptr_t)vi.vi_had[0][i] / PAGE != (uintptr_t)vi.vi_had[1][k] / PAGE);
	end();
}

KTEST(more_than_a_share_is_for_all, "of many objects that one CPU puts back the others get all but its share")
{
	struct visit vi = { 0, 512 };
	int made;

	begin(2);
	xc_broadcast(visit, &vi);
	made = nctor;
	vi = (struct visit){ 1, MINE };
	xc_broadcast(visit, &vi);
	CHECK_EQ(nctor, made);
	end();
}

KTEST(cpus_of_one_core_have_one_depot, "what a CPU puts back is for those that run on its core, but for two magazines")
{
	struct visit vi = { 0, MINE };
	int made;

	begin_on(2, 1);
	xc_broadcast(visit, &vi);
	made = nctor;
	vi.vi_cpu = 1;
	vi.vi_n = MINE - 2 * 15;
	xc_broadcast(visit, &vi);
	CHECK_EQ(nctor, made);
	for (int i = 0; i < vi.vi_n; i++)
		CHECK(is_among(vi.vi_had[0], vi.vi_had[1][i], MINE));
	end();
}

KTEST(a_run_is_of_one_page, "a run has the free items of one page, and no more than wanted or allowed")
{
	struct pool *pp;
	void *a[POOL_PAGE_ITEMS], *b[POOL_PAGE_ITEMS];
	unsigned n, m;

	ktest_kern(1, ktest_seed());
	pp = pool_create(100, 0, "run", &heap, IPL_NONE);
	CHECK_EQ(pool_get_run(pp, PR_NOWAIT, a, 1), 1);
	n = pool_get_run(pp, PR_NOWAIT, b, POOL_PAGE_ITEMS);
	CHECK(n > 30 && n < 41 && npages == 1);		/* the rest of the first page */
	m = pool_get_run(pp, PR_NOWAIT, a + 1, 7);
	CHECK(m == 7 && npages == 2);
	for (unsigned i = 0; i < m; i++) {
		CHECK((uintptr_t)a[1 + i] / PAGE == (uintptr_t)a[1] / PAGE);
		pool_put(pp, a[1 + i]);
	}
	pool_sethardlimit(pp, n + 4);
	CHECK_EQ(pool_get_run(pp, PR_NOWAIT, a + 1, POOL_PAGE_ITEMS), 3);
	for (unsigned i = 0; i < 4; i++)
		pool_put(pp, a[i]);
	while (n > 0)
		pool_put(pp, b[--n]);
	pool_destroy(pp);
	CHECK_EQ(npages, 0);
	kern_shutdown();
}

static void
work(void *arg)
{
	struct host_rng *rng = &curlwp->l_rng;
	struct object *mine[48] = { NULL };

	for (unsigned i = 0; i < ktest_scale(150000); i++) {
		uint64_t k = host_rng_below(rng, 48);

		if (mine[k] == NULL) {
			mine[k] = get(i % 2 == 0 ? PR_WAITOK : PR_NOWAIT);
		} else {
			put(mine[k]);
			mine[k] = NULL;
		}
		if ((intptr_t)arg == 0 && i % 512 == 0)
			pool_cache_invalidate(cache);
		if ((intptr_t)arg == 1 && i % 512 == 256)
			pool_drain_all();
		if (i % 64 == 0)
			lwp_userret(LWP_QUANTUM / 4);
	}
	for (int k = 0; k < 48; k++)
		if (mine[k] != NULL)
			put(mine[k]);
}

KTEST(T75_invalidate_against_all_cpus,
    "8 LWPs get and put on 4 CPUs while one invalidates and one drains: no object has two users")
{
	begin(4);
	ktest_lwps(8, work);
	CHECK_EQ(pool_cache_nout(cache), 0);
	pool_cache_invalidate(cache);
	CHECK_EQ(nconstructed, 0);
	end();
}

/* --- interrupts --- */

static unsigned nintr;

static void
get_and_put(void *arg)
{
	struct object *o = pool_cache_get(cache, PR_NOWAIT);

	CHECK(o != NULL && o->o_self == o && o->o_user == NULL);
	pool_cache_put(cache, o);
	nintr++;
}

KTEST(interrupts_share_the_magazines, "an interrupt at the cache's IPL may come at any put and get")
{
	struct object *o[40] = { NULL };

	begin(1);
	intr_establish(IRQ_DISK, IPL_VM, get_and_put, NULL);
	for (unsigned i = 0; i < 4000; i++) {
		unsigned k = i % 40;

		intr_post(curcpu(), IRQ_DISK);
		if (o[k] == NULL) {
			o[k] = get(PR_NOWAIT);
		} else {
			put(o[k]);
			o[k] = NULL;
		}
	}
	ktest_settle();
	CHECK(nintr >= 4000);
	for (int k = 0; k < 40; k++)
		if (o[k] != NULL)
			put(o[k]);
	end();
}

/* --- mistakes --- */

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(I_POOL_2_double_free_panics, "an object put twice is caught in the magazine", "freed twice")
{
	struct object *o;

	begin(1);
	o = get(PR_WAITOK);
	put(o);
	pool_cache_put(cache, o);
}

/* Two CPUs that put it in the same instant both find it out: here the second is made to. */
KTEST_DEATH(I_POOL_2_double_free_at_once_panics, "an object that is in magazines twice is caught as it is taken",
    "it was in magazines twice")
{
	struct pool_page *ph;
	struct object *o;
	unsigned n;

	begin(1);
	o = get(PR_WAITOK);
	put(o);
	ph = (struct pool_page *)((uintptr_t)o & ~(uintptr_t)(PAGE - 1));
	n = (unsigned)(((uintptr_t)o - (uintptr_t)ph - ph->ph_pool->pr_first) / ph->ph_pool->pr_size);
	CHECK_EQ(ph->ph_cached[n], 1);
	ph->ph_cached[n] = 0;
	pool_cache_put(cache, o);
	CHECK(get(PR_WAITOK) == o);
	get(PR_WAITOK);
}

KTEST_DEATH(use_after_free_is_seen, "a write to a cached object without constructor is seen",
    "modified after free|AddressSanitizer: use-after-poison")
{
	pool_cache_t plain;
	uint64_t *volatile p;

	ktest_kern(1, ktest_seed());
	plain = pool_cache_create(64, 0, "plain", &heap, IPL_NONE, NULL, NULL, NULL);
	p = pool_cache_get(plain, PR_WAITOK);
	pool_cache_put(plain, p);
	p[0] = 1;
	pool_cache_get(plain, PR_WAITOK);
}
#endif

KTEST_DEATH(destroy_with_objects_out_reports_the_leak, "a cache with an object out cannot be destroyed",
    "leak: I-POOL-1: pool object: 1 items are out")
{
	begin(1);
	get(PR_WAITOK);
	put(get(PR_WAITOK));
	pool_cache_destroy(cache);
}

KTEST_MAIN()
