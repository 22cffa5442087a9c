/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Delta debugging, after Zeller and Hildebrandt 2002, by complements alone: of things that may depend
 * on each other a part without the rest hardly ever fails the same way.
 */
#include <stdlib.h>

#include <harness/xalloc.h>

#include "minimize.h"

/* => the numbers of those that are kept */
static size_t
kept(const bool *keep, size_t n, size_t *at)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (keep[i])
			at[m++] = i;
	return m;
}

/* => were some of them spared?  In parts of that size, the last one first */
static bool
pass(bool *keep, const size_t *at, size_t m, size_t size, bool (*test)(void *, const bool *), void *arg)
{
	bool spared = false;

	for (size_t end = m; end != 0;) {
		const size_t from = end > size ? end - size : 0;
		bool same;

		for (size_t i = from; i < end; i++)
			keep[at[i]] = false;
		same = test(arg, keep);
		for (size_t i = from; i < end && !same; i++)
			keep[at[i]] = true;
		spared |= same;
		end = from;
	}
	return spared;
}

size_t
ddmin(bool *keep, size_t n, bool (*test)(void *arg, const bool *keep), void *arg)
{
	size_t *at = xcalloc(n + 1, sizeof(*at)), m = kept(keep, n, at), size = m;

	while (m != 0) {
		const bool spared = pass(keep, at, m, size, test, arg);

		m = kept(keep, n, at);
		if (size == 1 && !spared)
			break;
		size = size > m ? m : size;
		size = size > 1 ? size / 2 : 1;
	}
	free(at);
	return m;
}
