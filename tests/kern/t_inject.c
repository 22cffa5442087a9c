/*
 * Fault injection: what a specification says is what happens, twice the same with one seed.
 */
#include <errno.h>
#include <string.h>

#include <sys/inject.h>

#include <ktest_kern.h>

static char why[160];

/* => which of the first n calls fail, as text */
static const char *
pattern(const char *spec, uint64_t seed, int n)
{
	static char text[128];

	CHECK_EQ(inject_configure(spec, seed, why, sizeof(why)), 0);
	inject_start();
	for (int i = 0; i < n; i++)
		text[i] = inject(INJECT_page_alloc) ? 'x' : '.';
	text[n] = '\0';
	inject_stop();
	return text;
}

#define	CHECK_STR(a, b)	CHECK(strcmp(a, b) == 0)

KTEST(every_after_times, "each so-manieth call, not before, so often")
{
	CHECK_STR(pattern("page-alloc", 1, 4), "xxxx");
	CHECK_STR(pattern("page-alloc:every=3", 1, 9), "..x..x..x");
	CHECK_STR(pattern("page-alloc:every=2,after=3", 1, 9), "....x.x.x");
	CHECK_STR(pattern("page-alloc:times=2", 1, 5), "xx...");
	CHECK_STR(pattern("tryfail,page-alloc:after=2,times=1,kva", 1, 5), "..x..");
	CHECK(inject_chosen(INJECT_tryfail) && inject_chosen(INJECT_kva) && !inject_chosen(INJECT_swap_read));
}

KTEST(nothing_before_start_and_after_stop, "a site fails between start and stop only, and not unless it is named")
{
	uint64_t calls, failed;

	CHECK_EQ(inject_configure("page-alloc", 1, why, sizeof(why)), 0);
	CHECK(!inject(INJECT_page_alloc));
	inject_start();
	CHECK(inject(INJECT_page_alloc) && !inject(INJECT_kva));
	inject_stop();
	CHECK(!inject(INJECT_page_alloc));
	inject_counts(INJECT_page_alloc, &calls, &failed);
	CHECK_EQ(calls, 1);
	CHECK_EQ(failed, 1);
}

KTEST(probability_by_the_seed, "about p of the calls fail; the same ones with the same seed, others with another")
{
	char first[128];
	int n = 0;

	strcpy(first, pattern("page-alloc:p=0.25", 7, 120));
	CHECK_STR(pattern("page-alloc:p=0.25", 7, 120), first);
	CHECK(strcmp(pattern("page-alloc:p=0.25", 8, 120), first) != 0);
	for (int i = 0; i < 120; i++)
		n += first[i] == 'x';
	CHECK(n > 15 && n < 50);
}

static bool __attribute__((noinline))
called_here(void)
{
	bool yes = inject(INJECT_kva);

	__asm__ volatile("");		/* no tail call: it is on the stack */
	return yes;
}

KTEST(stack_filter, "a site fails only when it is called from the named function")
{
	CHECK_EQ(inject_configure("kva:stack=called_here", 1, why, sizeof(why)), 0);
	inject_start();
	CHECK(called_here());
	CHECK(!inject(INJECT_kva));
	inject_stop();
}

KTEST(delay, "a site that takes its time takes as long as it is told")
{
	uint64_t before;

	ktest_kern(1, 1);
	CHECK_EQ(inject_configure("io-delay:ns=2000000,times=1", 1, why, sizeof(why)), 0);
	inject_start();
	before = host_now_ns();
	inject_delay(INJECT_io_delay);
	CHECK(host_now_ns() - before >= 2000000);
	inject_stop();
	kern_shutdown();
}

KTEST(bad_specifications, "each is refused with the word that is wrong, and nothing fails")
{
	static const char *const bad[] = {
		"", "p=0.5", "page-alloc:", "page-alloc:p", "page-alloc:p=", "page-alloc:p=0",
		"page-alloc:p=1.5", "page-alloc:p=nan", "page-alloc:p=0.5x", "page-alloc:every=0",
		"page-alloc:every=-1", "page-alloc:every=1x", "page-alloc:times=", "page-alloc:ns=5",
		"page-alloc:q=1", "page-allocs", "page-alloc,", "page-alloc,,kva", "io-delay:ns=3600000000001",
		"kva:stack=", "none,kva", "page-alloc:p=0.5:every=2",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = '\0';
		CHECK_EQ(inject_configure(bad[i], 1, why, sizeof(why)), EINVAL);
		CHECK(strchr(why, ':') != NULL);
		inject_start();
		CHECK(!inject(INJECT_page_alloc) && !inject(INJECT_kva));
		inject_stop();
	}
}

KTEST_MAIN()
