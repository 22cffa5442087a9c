/*
 * For tests of the inspectors: a good state, one thing made wrong, what was said, and all
 * well again when it is mended.
 */
#ifndef TESTS_CHECK_TINSPECT_H
#define TESTS_CHECK_TINSPECT_H

#include "tmap.h"

#include <string.h>

#include "inspect_int.h"

/* => a machine whose process has the lane, and has stored to each page that it may store to */
static inline void
ti_begin(const char *lane)
{
	tm_boot(1, 2048);
	tm_put(tm_proc, lane);
	for (int i = 0; lane[i] != '\0'; i++)
		if (lane[i] != '.' && lane[i] != 'r')
			tm_store(i, 1);
}

/* => the inspector said this, and nothing now that it is mended */
#define	TI_MENDED(inspect, ids) do {						\
	CHECK_STR(tm_seen, ids);						\
	CHECK_EQ(inspect(), 0);							\
} while (0)

#define	TI_END(inspect, ids) do {						\
	TI_MENDED(inspect, ids);						\
	tm_shutdown();								\
} while (0)

#endif /* TESTS_CHECK_TINSPECT_H */
