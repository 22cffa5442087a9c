/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest preload: the auditor for pthread programs, over tests/preload.
 *
 * The cases are a program of their own that knows nothing of auditors.  It lists them: name,
 * rule that must be reported, grade, legal twin.  A misuse has been noticed if all that was
 * found is of that rule and one finding has that grade; a legal case must be silent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/selftest.h>
#include <harness/xalloc.h>

#include "cmd.h"
#include "preload.h"
#include "uvmstress_config.h"

#define WORD 64

struct row {				/* - stands for none */
	char rw_name[WORD], rw_rule[WORD], rw_grade[WORD], rw_twin[WORD];
	bool rw_done;			/* told beside its misuse */
};

struct table {
	const char *tb_program;
	struct row *tb_rows;
	size_t tb_n;
	FILE *tb_out;
	bool tb_verbose;
	int tb_cases, tb_failed;
};

static bool
none(const char *word)
{
	return strcmp(word, "-") == 0;
}

/* => false: told */
static bool
read_rows(struct table *tb)
{
	FILE *in = popen(tb->tb_program, "re");
	struct row row = { .rw_done = false };

	while (in != NULL && fscanf(in, "%63s %63s %63s %63s", row.rw_name, row.rw_rule, row.rw_grade,
	    row.rw_twin) == 4) {
		tb->tb_rows = xgrow(tb->tb_rows, tb->tb_n, sizeof(*tb->tb_rows));
		tb->tb_rows[tb->tb_n++] = row;
	}
	if (in == NULL || pclose(in) != 0 || tb->tb_n == 0) {
		fprintf(tb->tb_out, "%s does not list its cases\n", tb->tb_program);
		return false;
	}
	return true;
}

/* One finding, against what was wanted.  => NULL, or why it should not be there */
static const char *
judge(const struct row *row, const struct lockgraph_finding *v, bool *graded)
{
	if (v->lgv_grade == LOCKGRAPH_GUARDED)
		return NULL;
	if (none(row->rw_rule) || strcmp(v->lgv_id, row->rw_rule) != 0)
		return v->lgv_message;
	*graded |= none(row->rw_grade) || strcmp(lockgraph_grade_name(v->lgv_grade), row->rw_grade) == 0;
	return NULL;
}

/* => NULL: as it should be; else what is wrong, for free() */
static char *
run_case(const struct table *tb, const struct row *row)
{
	char *argv[] = { xstrdup(tb->tb_program), xstrdup(row->rw_name), NULL }, *wrong = NULL;
	bool graded = none(row->rw_rule), any = false;
	struct preloaded pl;

	if (preload_run(argv, tb->tb_verbose ? 0 : PRELOAD_SILENT, NULL, NULL, &pl) != 0)
		wrong = xstrdup("it could not be run");
	for (size_t g = 0; wrong == NULL && g < pl.pl_ngraphs; g++)
		for (uint32_t i = 0; wrong == NULL && i < pl.pl_graphs[g]->lg_nfindings; i++) {
			const char *why = judge(row, &pl.pl_graphs[g]->lg_findings[i], &graded);

			any = true;
			if (why != NULL)
				wrong = xasprintf("not to be reported: %s", why);
		}
	if (wrong == NULL && none(row->rw_rule) && pl.pl_status != 0)
		wrong = xasprintf("ended with status %#x", (unsigned)pl.pl_status);
	if (wrong == NULL && !graded)
		wrong = xstrdup(any ? "reported with another grade" : "nothing was reported");
	preload_fini(&pl);
	free(argv[0]);
	free(argv[1]);
	return wrong;
}

static void
verdict(struct table *tb, const struct row *row, char **wrong)
{
	*wrong = NULL;
	if (row == NULL) {
		fprintf(tb->tb_out, "  %-36s", "");
		return;
	}
	*wrong = run_case(tb, row);
	tb->tb_cases++;
	tb->tb_failed += *wrong != NULL;
	if (*wrong != NULL)
		fprintf(tb->tb_out, "  %-36s", "FAILED");
	else if (none(row->rw_rule))
		fprintf(tb->tb_out, "  silent");
	else
		fprintf(tb->tb_out, "  %-22s %-13s", row->rw_rule,
		    none(row->rw_grade) || strcmp(row->rw_grade, "none") == 0 ? "" : row->rw_grade);
}

static struct row *
find_row(const struct table *tb, const char *name)
{
	for (size_t i = 0; i < tb->tb_n; i++)
		if (strcmp(tb->tb_rows[i].rw_name, name) == 0)
			return &tb->tb_rows[i];
	return NULL;
}

static void
tell_row(struct table *tb, struct row *row)
{
	struct row *twin = none(row->rw_rule) ? row : find_row(tb, row->rw_twin);
	char *bad, *good;

	row->rw_done = true;
	fprintf(tb->tb_out, "  %-28s", row->rw_name);
	verdict(tb, twin == row ? NULL : row, &bad);
	/* A twin of several is run once, beside the first. */
	if (twin == NULL || (twin != row && twin->rw_done)) {
		fprintf(tb->tb_out, twin != NULL ? "  as above\n" : "\n");
		good = NULL;
	} else {
		verdict(tb, twin, &good);
		if (twin != row)
			fprintf(tb->tb_out, "  %s", twin->rw_name);
		fprintf(tb->tb_out, "\n");
		twin->rw_done = true;
	}
	if (bad != NULL)
		fprintf(tb->tb_out, "      %s: %s was wanted: %s\n", row->rw_name, row->rw_rule, bad);
	if (good != NULL)
		fprintf(tb->tb_out, "      %s: %s\n", twin->rw_name, good);
	free(bad);
	free(good);
	fflush(tb->tb_out);
}

static bool
wanted(const struct row *row, const char *word, bool misuse)
{
	return !row->rw_done && none(row->rw_rule) != misuse &&
	    (word == NULL || strstr(row->rw_name, word) != NULL);
}

int
selftest_preload(FILE *out, const char *word, bool verbose)
{
	struct table tb = { .tb_out = out, .tb_verbose = verbose };
	const char *program = preload_find("tests/preload/preload-cases",
	    UVMSTRESS_LIBEXECDIR "/uvmstress/preload-cases");

	if (program == NULL)
		return -1;
	tb.tb_program = program;
	if (!read_rows(&tb)) {
		free((char *)(uintptr_t)program);
		return -1;
	}
	fprintf(out, "  %-28s  %-36s  %s\n", "pthread program", "misuse is reported as", "legal twin is");
	for (size_t i = 0; i < tb.tb_n; i++)
		if (wanted(&tb.tb_rows[i], word, true))
			tell_row(&tb, &tb.tb_rows[i]);
	for (size_t i = 0; i < tb.tb_n; i++)
		if (wanted(&tb.tb_rows[i], word, false))
			tell_row(&tb, &tb.tb_rows[i]);
	free(tb.tb_rows);
	free((char *)(uintptr_t)program);
	if (tb.tb_cases == 0) {
		fprintf(out, "no case has '%s' in its name\n", word);
		return -1;
	}
	fprintf(out, "%d cases, %d wrong\n", tb.tb_cases, tb.tb_failed);
	return tb.tb_failed;
}
