/*
 * kmem(9): any size, from pages of a back end.
 */
#include <stdlib.h>
#include <string.h>

#include <ktest_kern.h>
#include <sys/kmem.h>
#include <sys/mutex.h>
#include <sys/pool.h>

#define	PAGE	4096UL

static long npages;			/* atomic */
static bool shortage;

/*
 * A cache of which something is out when all ends keeps its magazines, and so a page of theirs: known here,
 * for the leak sanitizer.  The pages that are out are counted by end().
 */
static void *pages[64];			/* the last ones, atomic */
static unsigned pages_next;		/* atomic */

static void *
backend_alloc(size_t n, km_flag_t flags)
{
	void *page;

	if (shortage && flags == KM_NOSLEEP)
		return NULL;
	__atomic_fetch_add(&npages, (long)n, __ATOMIC_RELAXED);
	page = aligned_alloc(PAGE, n * PAGE);
	__atomic_store_n(&pages[__atomic_fetch_add(&pages_next, 1, __ATOMIC_RELAXED) % 64], page, __ATOMIC_RELAXED);
	return page;
}

static void
backend_free(void *p, size_t n)
{
	__atomic_fetch_sub(&npages, (long)n, __ATOMIC_RELAXED);
	free(p);
}

static void
begin(int cpus_wanted)
{
	const struct kmem_backend kb = { backend_alloc, backend_free };

	ktest_kern(cpus_wanted, ktest_seed());
	kmem_init(&kb);
}

static void
end(void)
{
	CHECK_EQ(kmem_bytes_out(), 0);
	kmem_fini();
	CHECK_EQ(npages, 0);
	kern_shutdown();
}

static unsigned
pages_for_8(size_t size)
{
	void *p[8];
	unsigned n = 0;

	for (int i = 0; i < 8; i++) {
		bool first = true;

		p[i] = kmem_alloc(size, KM_SLEEP);
		for (int k = 0; k < i; k++)
			first = first && ((uintptr_t)p[k] ^ (uintptr_t)p[i]) >= PAGE;
		n += first;
	}
	for (int i = 0; i < 8; i++)
		kmem_free(p[i], size);
	return n;
}

KTEST(every_size_is_whole_and_apart, "pieces of 1 to 20000 bytes hold a pattern each and go back")
{
	static unsigned char *p[20001];

	begin(1);
	for (size_t size = 1; size <= 20000; size += size < 4200 ? 1 : 517) {
		p[size] = kmem_alloc(size, KM_SLEEP);
		CHECK_EQ((uintptr_t)p[size] % 8, 0);
		memset(p[size], (int)size, size);
	}
	for (size_t size = 1; size <= 20000; size += size < 4200 ? 1 : 517) {
		for (size_t i = 0; i < size; i++)
			CHECK_EQ(p[size][i], size & 0xff);
		kmem_free(p[size], size);
	}
	end();
}

KTEST(classes_do_not_waste_pages, "the largest classes fit four, three and two times into a page")
{
	begin(1);
	CHECK_EQ(pages_for_8(984), 2);
	CHECK_EQ(pages_for_8(1320), 3);
	CHECK_EQ(pages_for_8(1984), 4);
	CHECK_EQ(pages_for_8(2000), 8);
	end();
}

KTEST(zalloc_is_zero, "kmem_zalloc gives zeroes in used memory of every kind")
{
	static const size_t sizes[] = { 5, 64, 700, 1900, 5000 };

	begin(1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *p = kmem_alloc(sizes[i], KM_SLEEP);

		memset(p, 0xff, sizes[i]);
		kmem_free(p, sizes[i]);
		p = kmem_zalloc(sizes[i], KM_NOSLEEP);
		for (size_t k = 0; k < sizes[i]; k++)
			CHECK_EQ(p[k], 0);
		kmem_free(p, sizes[i]);
	}
	end();
}

KTEST(nosleep_fails_when_memory_is_short, "KM_NOSLEEP returns NULL without memory, for small and large")
{
	begin(1);
	shortage = true;
	CHECK(kmem_alloc(100, KM_NOSLEEP) == NULL);
	CHECK(kmem_zalloc(10000, KM_NOSLEEP) == NULL);
	shortage = false;
	CHECK_EQ(kmem_bytes_out(), 0);
	end();
}

static void
work(void *arg)
{
	struct host_rng *rng = &curlwp->l_rng;
	struct {
		unsigned char *p;
		size_t size;
	} mine[32] = { { NULL, 0 } };

	for (unsigned i = 0; i < ktest_scale(100000); i++) {
		uint64_t k = host_rng_below(rng, 32);

		if (mine[k].p == NULL) {
			mine[k].size = 1 + host_rng_below(rng, i % 16 == 0 ? 9000 : 300);
			mine[k].p = kmem_alloc(mine[k].size, KM_SLEEP);
			memset(mine[k].p, (int)k, mine[k].size);
		} else {
			CHECK_EQ(mine[k].p[0], k);
			CHECK_EQ(mine[k].p[mine[k].size - 1], k);
			kmem_free(mine[k].p, mine[k].size);
			mine[k].p = NULL;
		}
		if (i % 128 == 0)
			lwp_userret(LWP_QUANTUM / 4);
	}
	for (int k = 0; k < 32; k++)
		if (mine[k].p != NULL)
			kmem_free(mine[k].p, mine[k].size);
}

KTEST(many_lwps_share_the_classes, "8 LWPs on 4 CPUs: every piece keeps its content, all comes back")
{
	begin(4);
	ktest_lwps(8, work);
	end();
}

KTEST(leaks_are_named_by_class, "kmem_fini reports each class that has something out, and whole pages")
{
	static void *leak;		/* for the leak sanitizer, which is right too */

	begin(1);
	ktest_expect_violations();
	kmem_free(kmem_alloc(10, KM_SLEEP), 10);
	leak = kmem_alloc(100, KM_SLEEP);
	kmem_fini();
	CHECK(leak != NULL);
	CHECK_EQ(ktest_violations(VIOL_LEAK), 1);
	CHECK(strncmp(ktest_violation.v_message, "kmem-128: 1 ", 12) == 0);
	kern_shutdown();
}

KTEST(whole_page_leaks_are_reported, "kmem_fini reports whole pages that are out")
{
	static void *leak;

	begin(1);
	ktest_expect_violations();
	leak = kmem_alloc(3 * PAGE, KM_SLEEP);
	kmem_fini();
	CHECK(leak != NULL);
	CHECK_EQ(ktest_violations(VIOL_LEAK), 1);
	kern_shutdown();
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(wrong_size_panics, "a free with another size than was asked for is caught", "not that size")
{
	begin(1);
	kmem_free(kmem_alloc(33, KM_SLEEP), 34);
}

KTEST_DEATH(wrong_size_of_whole_pages_panics, "so it is for whole pages", "not that size")
{
	begin(1);
	kmem_free(kmem_alloc(5000, KM_SLEEP), 5001);
}

KTEST_DEATH(write_past_the_end_is_seen, "a byte written past the end is caught",
    "written past the end|AddressSanitizer: use-after-poison")
{
	unsigned char *volatile p;

	begin(1);
	p = kmem_alloc(100, KM_SLEEP);
	p[100] = 1;
	kmem_free(p, 100);
}

KTEST_DEATH(double_free_panics, "a piece freed twice is caught",
    "not that size|freed twice|AddressSanitizer: use-after-poison")
{
	void *p;

	begin(1);
	p = kmem_alloc(100, KM_SLEEP);
	kmem_free(p, 100);
	kmem_free(p, 100);
}

KTEST_DEATH(sleeping_with_spin_lock_panics, "KM_SLEEP with a spin lock held is caught, whole pages too",
    "sleep with a spin lock held")
{
	kmutex_t spin;

	begin(1);
	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	mutex_enter(&spin);
	kmem_alloc(5 * PAGE, KM_SLEEP);
}
#endif

KTEST_MAIN()
