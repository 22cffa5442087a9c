/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The table of invariants, and its counters.
 */
#include <string.h>

#include <harness/checks.h>
#include <harness/result.h>

#define	ASSERTED	CHECK_ASSERTED
#define	ONLINE		CHECK_ONLINE
#define	REST		CHECK_REST
#define	CONTENT		CHECK_CONTENT
#define	WATCHED		CHECK_WATCHED
#define	BUILT		CHECK_BUILT
#define	THROUGH		CHECK_THROUGH
#define	CANNOT		CHECK_CANNOT

const struct check_info check_table[CHK_COUNT] = {
#define	INVARIANT(name, id, how, sentence, source, note)	{ id, how, sentence, source, note },
#include <harness/checks.def>
#undef INVARIANT
};

const char *const check_how_name[CHECK_NHOW] = {
	"asserted", "online", "at rest", "content", "watched", "by construction", "through",
	"cannot be checked",
};

/* atomic, relaxed: any thread counts; the run is over when they are read */
static uint64_t runs[CHK_COUNT], violations[CHK_COUNT];

const struct check_info *
check_find(const char *id)
{
	for (size_t i = 0; i < CHK_COUNT; i++)
		if (strcmp(check_table[i].ch_id, id) == 0)
			return &check_table[i];
	return NULL;
}

void
checks_ran(const enum check_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_fetch_add(&runs[ids[i]], 1, __ATOMIC_RELAXED);
}

void
check_violated(const char *id)
{
	const struct check_info *ch = check_find(id);

	if (ch != NULL)
		__atomic_fetch_add(&violations[ch - check_table], 1, __ATOMIC_RELAXED);
}

void
checks_begin(void)
{
	memset(runs, 0, sizeof(runs));
	memset(violations, 0, sizeof(violations));
}

void
checks_result(struct run_result *rr)
{
	for (size_t i = 0; i < CHK_COUNT; i++) {
		uint64_t ran = __atomic_load_n(&runs[i], __ATOMIC_RELAXED);
		uint64_t bad = __atomic_load_n(&violations[i], __ATOMIC_RELAXED);

		if (ran != 0 || bad != 0)
			result_add_check(rr, check_table[i].ch_id, ran, bad);
	}
}
