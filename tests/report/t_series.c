/*
 * How a load went, however long it was: few samples at even distances, none of them made up.
 */
#include <harness/result.h>
#include <ktest.h>

/* A load with 1000 faults and 10 operations a second, looked at every 0.1 s. */
static void
load(struct result_series *rse, unsigned seconds)
{
	for (uint64_t i = 1; i <= UINT64_C(10) * seconds; i++)
		result_sample(rse, (double)i / 10, i * 100, i);
}

KTEST(a_short_load_keeps_every_look, "every look")
{
	struct result_series rse = { 0 };

	load(&rse, 10);
	CHECK_EQ(rse.rse_n, 100);
	for (size_t i = 0; i < rse.rse_n; i++)
		CHECK_EQ(rse.rse_v[i].sm_operations, i + 1);
}

KTEST(a_long_load_keeps_fewer_at_even_distances, "few, as far apart as each other")
{
	struct result_series rse = { 0 };

	load(&rse, 10000);
	CHECK(rse.rse_n >= SERIES_MAX / 2 && rse.rse_n < SERIES_MAX);
	const uint64_t step = rse.rse_v[0].sm_operations;
	for (size_t i = 0; i < rse.rse_n; i++) {
		const struct result_sample *sm = &rse.rse_v[i];

		CHECK_EQ(sm->sm_faults, 100 * sm->sm_operations);
		CHECK_EQ((uint64_t)(sm->sm_s * 10 + 0.5), sm->sm_operations);
		CHECK_EQ(sm->sm_operations, step * (i + 1));
	}
	CHECK(rse.rse_v[rse.rse_n - 1].sm_s > 10000 * 0.95);
}

KTEST(a_late_look_is_taken_as_it_is, "late is not early")
{
	struct result_series rse = { 0 };

	result_sample(&rse, 0.03, 1, 1);	/* too early */
	result_sample(&rse, 0.95, 950, 9);
	CHECK_EQ(rse.rse_n, 1);
	CHECK_EQ(rse.rse_v[0].sm_faults, 950);
}

KTEST_MAIN()
