/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The performance table: built, judged and told.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <harness/bench.h>
#include <harness/xalloc.h>

#include "report_int.h"

void
bench_table_init(struct bench_table *bt)
{
	memset(bt, 0, sizeof(*bt));
}

void
bench_table_fini(struct bench_table *bt)
{
	for (size_t i = 0; i < bt->bt_nrows; i++) {
		free(bt->bt_rows[i].br_name);
		free(bt->bt_rows[i].br_unit);
		free(bt->bt_rows[i].br_note);
		for (size_t j = 0; j < bt->bt_rows[i].br_nrefs; j++)
			free(bt->bt_rows[i].br_refs[j].ref_name);
	}
	free(bt->bt_rows);
	memset(bt, 0, sizeof(*bt));
}

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double
bench_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* => v as it was */
static void
summary(const double *v, size_t n, double *median, double *least, double *most)
{
	double sorted[BENCH_ROUNDS];

	assert(n > 0 && n <= BENCH_ROUNDS);
	memcpy(sorted, v, n * sizeof(*v));
	*median = bench_median(sorted, n);
	*least = sorted[0];
	*most = sorted[n - 1];
}

struct bench_row *
bench_add_turns(struct bench_table *bt, const char *name, const char *unit, const double *v, size_t n)
{
	struct bench_row *br;

	bt->bt_rows = xgrow(bt->bt_rows, bt->bt_nrows, sizeof(*br));
	br = &bt->bt_rows[bt->bt_nrows++];
	memset(br, 0, sizeof(*br));
	br->br_name = xstrdup(name);
	br->br_unit = xstrdup(unit);
	summary(v, n, &br->br_value, &br->br_least, &br->br_most);
	br->br_n = n;
	memcpy(br->br_values, v, n * sizeof(*v));
	return br;
}

struct bench_row *
bench_add(struct bench_table *bt, const char *name, const char *unit, double value)
{
	return bench_add_turns(bt, name, unit, &value, 1);
}

void
bench_missing(struct bench_table *bt, const char *name, const char *note)
{
	bench_add(bt, name, "", 0)->br_note = xstrdup(note);
}

/* --- references --- */

static double
against(const struct bench_row *br, enum bench_sense sense, double value, double ref)
{
	if (sense == BENCH_OVER)
		return value - ref;
	if (sense == BENCH_TIMES || !br->br_lower_is_better)
		return ref > 0 ? value / ref : 0;
	return value > 0 ? ref / value : 0;
}

/* => from the n figures of the last reference; of as many turns as the row has, else of the medians */
static void
judge(struct bench_row *br, const double *v, size_t n)
{
	struct bench_ref *ref = &br->br_refs[br->br_nrefs - 1];
	double ratio[BENCH_ROUNDS];

	if (n != br->br_n) {
		ref->ref_ratio = against(br, ref->ref_sense, br->br_value, ref->ref_value);
		ref->ref_least = ref->ref_most = ref->ref_ratio;
		return;
	}
	for (size_t i = 0; i < n; i++)
		ratio[i] = against(br, ref->ref_sense, br->br_values[i], v[i]);
	summary(ratio, n, &ref->ref_ratio, &ref->ref_least, &ref->ref_most);
}

void
bench_against_turns(struct bench_row *br, const char *name, const double *v, size_t n,
    enum bench_sense sense, double target)
{
	struct bench_ref *ref;
	double least, most;

	assert(br->br_nrefs < BENCH_REFS);
	ref = &br->br_refs[br->br_nrefs++];
	ref->ref_name = xstrdup(name);
	ref->ref_sense = sense;
	ref->ref_target = target;
	summary(v, n, &ref->ref_value, &least, &most);
	judge(br, v, n);
}

void
bench_against(struct bench_row *br, const char *name, double value, enum bench_sense sense, double target)
{
	bench_against_turns(br, name, &value, 1, sense, target);
}

void
bench_ref(struct bench_row *br, const char *name, double value)
{
	bench_against(br, name, value, BENCH_BETTER, 0);
}

bool
bench_is_met(const struct bench_row *br, size_t j)
{
	const struct bench_ref *ref = &br->br_refs[j];

	assert(ref->ref_target != 0);
	if (ref->ref_sense == BENCH_BETTER)
		return ref->ref_ratio >= ref->ref_target;
	return ref->ref_ratio <= ref->ref_target;
}

size_t
bench_targets(const struct bench_table *bt, size_t *missed)
{
	size_t n = 0;

	*missed = 0;
	for (size_t i = 0; i < bt->bt_nrows; i++)
		for (size_t j = 0; j < bt->bt_rows[i].br_nrefs; j++)
			if (bt->bt_rows[i].br_refs[j].ref_target != 0) {
				n++;
				*missed += !bench_is_met(&bt->bt_rows[i], j);
			}
	return n;
}

/* --- for people --- */

/* Three digits or so, whatever the size. */
static const char *
figure(double n, char *buf, size_t buflen)
{
	if (n < 0.1 && n > -0.1)
		snprintf(buf, buflen, "%.3f", n);
	else if (n < 10 && n > -10)
		snprintf(buf, buflen, "%.2f", n);
	else if (n < 100 && n > -100)
		snprintf(buf, buflen, "%.1f", n);
	else
		human_count(n, buf, buflen);
	return buf;
}

static void
text_reference(const struct bench_row *br, size_t j, FILE *out)
{
	static const char *const senses[] = {
		[BENCH_BETTER] = " times as good", [BENCH_TIMES] = " times it", [BENCH_OVER] = " over it",
	};
	const struct bench_ref *ref = &br->br_refs[j];
	char value[32], ratio[32], least[32], most[32], target[32];

	fprintf(out, "    %-40s %9s %s  %s%s", ref->ref_name, figure(ref->ref_value, value, sizeof(value)),
	    br->br_unit, figure(ref->ref_ratio, ratio, sizeof(ratio)), senses[ref->ref_sense]);
	if (ref->ref_least < ref->ref_most)
		fprintf(out, " (%s to %s)", figure(ref->ref_least, least, sizeof(least)),
		    figure(ref->ref_most, most, sizeof(most)));
	if (ref->ref_target != 0)
		fprintf(out, "; at %s %s: %s", ref->ref_sense == BENCH_BETTER ? "least" : "most",
		    figure(ref->ref_target, target, sizeof(target)), bench_is_met(br, j) ? "met" : "short");
	fputc('\n', out);
}

static void
text_row(const struct bench_row *br, FILE *out)
{
	char value[32], least[32], most[32];

	if (br->br_note != NULL) {
		fprintf(out, "  %-42s           not measured: %s\n", br->br_name, br->br_note);
		return;
	}
	fprintf(out, "  %-42s %9s %s", br->br_name, figure(br->br_value, value, sizeof(value)), br->br_unit);
	if (br->br_least < br->br_most)
		fprintf(out, " (%s to %s)", figure(br->br_least, least, sizeof(least)),
		    figure(br->br_most, most, sizeof(most)));
	fputs(br->br_clock == BENCH_CPU ? ", CPU time\n" : "\n", out);
	for (size_t j = 0; j < br->br_nrefs; j++)
		text_reference(br, j, out);
}

void
report_bench_text(const struct bench_table *bt, FILE *out)
{
	size_t missed, targets = bench_targets(bt, &missed);
	const char *group = NULL;

	for (size_t i = 0; i < bt->bt_nrows; i++) {
		const struct bench_row *br = &bt->bt_rows[i];

		if (group == NULL || strcmp(group, br->br_group) != 0)
			fprintf(out, "%s\n", br->br_group);
		group = br->br_group;
		text_row(br, out);
	}
	fprintf(out, "%zu of %zu targets met\n", targets - missed, targets);
	for (size_t i = 0; missed != 0 && i < bt->bt_nrows; i++)
		for (size_t j = 0; j < bt->bt_rows[i].br_nrefs; j++)
			if (bt->bt_rows[i].br_refs[j].ref_target != 0 && !bench_is_met(&bt->bt_rows[i], j))
				fprintf(out, "short: %s: %s, beside %s\n", bt->bt_rows[i].br_group,
				    bt->bt_rows[i].br_name, bt->bt_rows[i].br_refs[j].ref_name);
}
