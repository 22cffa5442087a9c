/* Delta debugging: what is spared, what is kept, how often is asked. */
#include <string.h>

#include <ktest.h>

#include "../../src/cmd/minimize.h"

#define	N	500

static struct {
	unsigned long long need[3];	/* things that must be there together */
	size_t	nneed, n;
	unsigned asked, allowed;	/* 0: any number */
} t;

static bool
fails(void *arg, const bool *keep)
{
	if (++t.asked > t.allowed && t.allowed != 0)
		return false;
	for (size_t i = 0; i < t.nneed; i++)
		if (!keep[t.need[i]])
			return false;
	return true;
}

static size_t
reduce(bool *keep)
{
	t.asked = 0;
	memset(keep, true, t.n);
	return ddmin(keep, t.n, fails, NULL);
}

KTEST(what_is_needed_is_kept, "of 500 things the two or three that are needed stay, wherever they are")
{
	bool keep[N];

	t.n = N;
	t.allowed = 0;
	for (size_t a = 0; a < N; a += 37)
		for (size_t b = a + 1; b < N; b += 61) {
			t.need[0] = a, t.need[1] = b, t.need[2] = N - 1;
			t.nneed = 3;
			CHECK_EQ(reduce(keep), b == N - 1 ? 2 : 3);
			CHECK(keep[a]);
			CHECK(keep[b]);
			CHECK(keep[N - 1]);
			CHECK(t.asked < 100);
		}
}

KTEST(nothing_needed_nothing_kept, "what fails without any of them is found out by asking once")
{
	bool keep[N];

	t.n = N;
	t.nneed = 0;
	t.allowed = 0;
	CHECK_EQ(reduce(keep), 0);
	CHECK_EQ(t.asked, 1);
	t.n = 0;
	CHECK_EQ(reduce(keep), 0);
}

/* Two things of which one is enough: no single one could be spared at the end. */
static bool
either(void *arg, const bool *keep)
{
	return keep[3] || keep[4];
}

KTEST(the_end_is_minimal, "no single thing that is kept can be spared")
{
	bool keep[N];

	memset(keep, true, N);
	CHECK_EQ(ddmin(keep, N, either, NULL), 1);
	CHECK(keep[3] != keep[4]);
}

KTEST(a_budget_ends_it, "when the test has had enough, what was known to fail is what is kept")
{
	bool keep[N];

	t.n = N;
	t.nneed = 2;
	t.need[0] = 100, t.need[1] = 400;
	for (t.allowed = 1; t.allowed < 60; t.allowed++) {
		const size_t left = reduce(keep);

		CHECK(left >= 2);
		CHECK(keep[100]);
		CHECK(keep[400]);
	}
	t.allowed = 0;
}

KTEST_MAIN()
