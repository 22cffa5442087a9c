/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest bugs --strategies LIST: how many executions, and how long, until a known bug
 * shows, by how LWPs are scheduled.
 *
 * A cell is one bug, one strategy, one seed: small executions of the bug's profile, one after the
 * other on all cores, until one fails or the time is up.  All strategies have the same profile,
 * so that nothing but the schedule makes the difference.  Seeds turn slowest: what has been run
 * when somebody stops it is a table of fewer seeds, and --resume goes on from the file.
 *
 * A miss counts as longer than any other cell: the median of a bug that is missed by half the seeds
 * is no number.
 */
#include <sys/stat.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "run.h"
#include "uvmstress_config.h"

#define SCHEMA		"uvmstress-strategies/1"
#define SEED_STEP	10000000	/* more than the executions of a cell */
#define STEPS_MANY	3		/* depth from which on controlled schedules are to be ten times as fast */
#define STRATEGIES_MAX	8

struct cell {
	char *ce_bug;
	unsigned ce_strategy, ce_seed;
	bool ce_found;
	uint64_t ce_executions;
	double ce_wall_s, ce_cpu_s;
	char *ce_by;			/* who noticed, or what came instead; "" */
};

/* Of the cells of a bug and a strategy. */
struct figure {
	unsigned fi_cells, fi_found;
	double fi_executions, fi_wall_s, fi_cpu_s;	/* medians; INFINITY: half of them are misses */
};

struct strategies {
	const struct museum_options *sr_options;
	bool sr_on[STRATEGIES_MAX];
	char *sr_dir;
	struct cell *sr_cells;
	size_t sr_ncells;
	unsigned sr_others;		/* cells where something came that the row does not name */
};

/* --- cells --- */

static struct cell *
cell_of(const struct strategies *sr, const char *bug, unsigned strategy, unsigned seed)
{
	for (size_t i = 0; i < sr->sr_ncells; i++) {
		struct cell *ce = &sr->sr_cells[i];

		if (ce->ce_strategy == strategy && ce->ce_seed == seed && strcmp(ce->ce_bug, bug) == 0)
			return ce;
	}
	return NULL;
}

/* => ce_bug and ce_by are the table's from now on */
static void
add_cell(struct strategies *sr, const struct cell *ce)
{
	sr->sr_cells = xgrow(sr->sr_cells, sr->sr_ncells, sizeof(*sr->sr_cells));
	sr->sr_cells[sr->sr_ncells++] = *ce;
}

static void
tell_cell(const struct strategies *sr, const struct museum_ask *ma, const struct cell *ce)
{
	char *again;

	if (!sr->sr_options->mo_verbose && (ce->ce_found || ce->ce_by[0] == '\0'))
		return;
	printf("    %s, %s, seed %u: %s after %ju executions, %.2f s, %.2f s of CPU%s%s\n", ce->ce_bug,
	    ma->ma_strategy->ms_name, ce->ce_seed, ce->ce_found ? "noticed" : "missed",
	    (uintmax_t)ce->ce_executions, ce->ce_wall_s, ce->ce_cpu_s, ce->ce_by[0] != '\0' ? ": " : "", ce->ce_by);
	if (!ce->ce_found && ce->ce_by[0] != '\0') {
		again = museum_command(ma);
		printf("      %s\n", again);
		free(again);
	}
	fflush(stdout);
}

static void
run_cell(struct strategies *sr, const struct museum_bug *mb, unsigned strategy, unsigned seed)
{
	char *profile = museum_small(mb), *by;
	const struct museum_ask ma = {
		.ma_profile = profile, .ma_bug = mb->mb_name, .ma_strategy = &museum_strategies[strategy],
		.ma_seed = 1 + (uint64_t)(seed - 1) * SEED_STEP, .ma_dir = sr->sr_dir,
		.ma_limit_s = sr->sr_options->mo_limit_s,
	};
	struct museum_run mr;
	struct cell ce = { .ce_bug = xstrdup(mb->mb_name), .ce_strategy = strategy, .ce_seed = seed };

	museum_run(&ma, &mr);
	by = mr.mr_end == MR_NOTICED ? museum_judge(mb->mb_notices, &mr) : NULL;
	ce.ce_found = by != NULL;
	ce.ce_executions = mr.mr_executions;
	ce.ce_wall_s = mr.mr_wall_s;
	ce.ce_cpu_s = mr.mr_cpu_s;
	ce.ce_by = by != NULL ? by : xstrdup(mr.mr_message != NULL ? mr.mr_message : "");
	museum_run_fini(&mr);
	if (run_stopped() && !ce.ce_found) {		/* it had not all its time */
		free(ce.ce_bug);
		free(ce.ce_by);
	} else {
		tell_cell(sr, &ma, &ce);
		add_cell(sr, &ce);
	}
	free(profile);
}

/* --- figures --- */

static int
by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* => sorts them */
static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_size);
	return n == 0 ? INFINITY : n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static struct figure
figure_of(const struct strategies *sr, const char *bug, unsigned strategy)
{
	double *v = xcalloc(3 * sr->sr_ncells + 1, sizeof(*v)), *wall = v + sr->sr_ncells, *cpu = wall + sr->sr_ncells;
	struct figure fi = { .fi_cells = 0 };

	for (size_t i = 0; i < sr->sr_ncells; i++) {
		const struct cell *ce = &sr->sr_cells[i];

		if (ce->ce_strategy != strategy || strcmp(ce->ce_bug, bug) != 0)
			continue;
		v[fi.fi_cells] = ce->ce_found ? (double)ce->ce_executions : INFINITY;
		wall[fi.fi_cells] = ce->ce_found ? ce->ce_wall_s : INFINITY;
		cpu[fi.fi_cells++] = ce->ce_found ? ce->ce_cpu_s : INFINITY;
		fi.fi_found += ce->ce_found;
	}
	fi.fi_executions = median(v, fi.fi_cells);
	fi.fi_wall_s = median(wall, fi.fi_cells);
	fi.fi_cpu_s = median(cpu, fi.fi_cells);
	free(v);
	return fi;
}

/* Of one bug, of all strategies. */
struct verdict {
	unsigned ve_controlled;		/* cells of controlled strategies that found it */
	const char *ve_best;		/* the controlled strategy with the best median, or NULL: none has one */
	double ve_best_s, ve_free_s;	/* its, and free-running's, with the limit for what is none */
	bool ve_compared;		/* there are both */
};

static struct verdict
verdict_of(const struct strategies *sr, const char *bug)
{
	struct verdict ve = { .ve_best_s = INFINITY, .ve_free_s = INFINITY };
	bool free_run = false, controlled = false;

	for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
		const struct figure fi = figure_of(sr, bug, i);

		if (i == 0) {
			free_run = fi.fi_cells != 0;
			ve.ve_free_s = fi.fi_wall_s;
		}
		if (!museum_strategies[i].ms_controlled)
			continue;
		controlled |= fi.fi_cells != 0;
		ve.ve_controlled += fi.fi_found;
		if (fi.fi_wall_s < ve.ve_best_s) {
			ve.ve_best = museum_strategies[i].ms_name;
			ve.ve_best_s = fi.fi_wall_s;
		}
	}
	if (isinf(ve.ve_free_s))
		ve.ve_free_s = sr->sr_options->mo_limit_s;
	ve.ve_compared = free_run && controlled && ve.ve_best != NULL;
	return ve;
}

/* --- the table --- */

static void
tell_figure(const struct figure *fi)
{
	char text[40] = "-";

	if (fi->fi_cells != 0 && isinf(fi->fi_executions))
		snprintf(text, sizeof(text), "- (%u of %u)", fi->fi_found, fi->fi_cells);
	else if (fi->fi_cells != 0)
		snprintf(text, sizeof(text), "%.0f/%.2fs", fi->fi_executions, fi->fi_wall_s);
	printf(" %14s", text);
}

static void
tell_bug(const struct strategies *sr, const struct museum_bug *mb)
{
	const struct verdict ve = verdict_of(sr, mb->mb_name);

	printf("  %-28s %u", mb->mb_name, mb->mb_depth);
	for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
		const struct figure fi = figure_of(sr, mb->mb_name, i);

		if (sr->sr_on[i])
			tell_figure(&fi);
	}
	if (ve.ve_compared)
		printf("  %s %.3g x", ve.ve_best, ve.ve_free_s / ve.ve_best_s);
	putchar('\n');
}

/* => a row that can be run in this build */
static bool
is_run(const struct strategies *sr, const struct museum_bug *mb)
{
	return museum_wanted(sr->sr_options, mb) &&
	    (mb->mb_shows == SHOWS_FREE || mb->mb_shows == SHOWS_CONTROLLED ||
	    (mb->mb_shows == SHOWS_RACE && UVMSTRESS_TSAN));
}

/* => bugs that no controlled schedule found, if any was tried */
static unsigned
tell_table(const struct strategies *sr)
{
	unsigned bugs = 0, found = 0, many = 0, fast = 0;
	bool controlled = false;

	printf("  %-28s %s", "bug", "d");
	for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
		controlled |= sr->sr_on[i] && museum_strategies[i].ms_controlled;
		if (sr->sr_on[i])
			printf(" %14s", museum_strategies[i].ms_name);
	}
	printf("  best, and free-running takes so much longer\n");
	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL; mb++) {
		const struct verdict ve = verdict_of(sr, mb->mb_name);

		if (!is_run(sr, mb))
			continue;
		tell_bug(sr, mb);
		bugs++;
		found += ve.ve_controlled != 0;
		many += ve.ve_compared && mb->mb_depth >= STEPS_MANY;
		fast += ve.ve_compared && mb->mb_depth >= STEPS_MANY && ve.ve_free_s >= 10 * ve.ve_best_s;
	}
	printf("medians of executions and seconds; - : half of the seeds or more found nothing in %g s\n",
	    sr->sr_options->mo_limit_s);
	if (!controlled)
		return 0;
	printf("controlled schedules found %u of %u bugs; of %u with %d ordered steps or more %u ten times as fast "
	    "as free-running\n", found, bugs, many, STEPS_MANY, fast);
	return bugs - found;
}

/* --- the file --- */

static json_t *
json_cells(const struct strategies *sr)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < sr->sr_ncells; i++) {
		const struct cell *ce = &sr->sr_cells[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:i, s:b, s:I, s:f, s:f, s:s}", "bug", ce->ce_bug,
		    "strategy", museum_strategies[ce->ce_strategy].ms_name, "seed", (int)ce->ce_seed,
		    "found", (int)ce->ce_found, "executions", (json_int_t)ce->ce_executions,
		    "wall_s", ce->ce_wall_s, "cpu_s", ce->ce_cpu_s, "by", ce->ce_by));
	}
	return array;
}

/* => null for what is no number */
static json_t *
number_or_null(double value)
{
	return isinf(value) ? json_null() : json_real(value);
}

static json_t *
json_figures(const struct strategies *sr)
{
	json_t *array = xcheck(json_array());

	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL; mb++)
		for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
			const struct figure fi = figure_of(sr, mb->mb_name, i);

			if (fi.fi_cells != 0)
				json_array_append_new(array, json_pack("{s:s, s:i, s:s, s:i, s:i, s:o, s:o, s:o}", "bug",
				    mb->mb_name, "depth", mb->mb_depth, "strategy", museum_strategies[i].ms_name,
				    "seeds", (int)fi.fi_cells, "found", (int)fi.fi_found,
				    "median_executions", number_or_null(fi.fi_executions),
				    "median_wall_s", number_or_null(fi.fi_wall_s),
				    "median_cpu_s", number_or_null(fi.fi_cpu_s)));
		}
	return array;
}

static void
write_root(const void *what, FILE *out)
{
	json_dumpf(what, out, JSON_INDENT(1));
	fputc('\n', out);
}

static int
write_file(const struct strategies *sr)
{
	json_t *root = json_pack("{s:s, s:s, s:f, s:o, s:o}", "schema", SCHEMA, "version", UVMSTRESS_VERSION,
	    "limit_s", sr->sr_options->mo_limit_s, "medians", json_figures(sr), "cells", json_cells(sr));
	int status = EXIT_CLEAN;
	char why[600];

	if (report_write(sr->sr_options->mo_json, write_root, root, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	json_decref(root);
	return status;
}

/* => one of the file's cells; false: it is none */
static bool
read_cell(struct strategies *sr, json_t *from)
{
	const char *bug, *strategy, *by;
	struct cell ce = { .ce_strategy = 0 };
	json_int_t executions;
	int seed, found;

	if (json_unpack(from, "{s:s, s:s, s:i, s:b, s:I, s:F, s:F, s:s}", "bug", &bug, "strategy", &strategy,
	    "seed", &seed, "found", &found, "executions", &executions, "wall_s", &ce.ce_wall_s,
	    "cpu_s", &ce.ce_cpu_s, "by", &by) != 0 || seed < 1)
		return false;
	while (museum_strategies[ce.ce_strategy].ms_name != NULL &&
	    strcmp(museum_strategies[ce.ce_strategy].ms_name, strategy) != 0)
		ce.ce_strategy++;
	if (museum_strategies[ce.ce_strategy].ms_name == NULL)
		return false;
	ce.ce_bug = xstrdup(bug);
	ce.ce_by = xstrdup(by);
	ce.ce_seed = (unsigned)seed;
	ce.ce_found = found != 0;
	ce.ce_executions = (uint64_t)executions;
	add_cell(sr, &ce);
	return true;
}

/* => an exit status, told; there need be no file yet */
static int
read_file(struct strategies *sr)
{
	const char *path = sr->sr_options->mo_json, *schema;
	json_error_t err;
	json_t *root, *cells, *row;
	double limit;
	bool good;
	size_t i;

	if (access(path, F_OK) != 0)
		return EXIT_CLEAN;
	root = json_load_file(path, 0, &err);
	if (root == NULL)
		return cmd_fail(EXIT_USAGE, "%s:%d: %s", path, err.line, err.text);
	good = json_unpack(root, "{s:s, s:F, s:o}", "schema", &schema, "limit_s", &limit, "cells", &cells) == 0 &&
	    strcmp(schema, SCHEMA) == 0 && json_is_array(cells);
	if (good && fabs(limit - sr->sr_options->mo_limit_s) > 1e-6) {
		json_decref(root);
		return cmd_fail(EXIT_USAGE, "%s was made with --limit %gs: say the same, or write another file", path,
		    limit);
	}
	if (good)
		json_array_foreach(cells, i, row)
			good = good && read_cell(sr, row);
	json_decref(root);
	return good ? EXIT_CLEAN :
	    cmd_fail(EXIT_USAGE, "%s is not what --strategies has written: remove it, or write another file", path);
}

/* --- all of it --- */

/* => an exit status, told */
static int
parse_list(struct strategies *sr)
{
	char *list = xstrdup(sr->sr_options->mo_strategies), *save = NULL;
	const bool all = strcmp(list, "all") == 0;
	int status = EXIT_CLEAN;
	unsigned i;

	for (i = 0; museum_strategies[i].ms_name != NULL; i++)
		sr->sr_on[i] = all;
	for (char *word = strtok_r(list, ",", &save); word != NULL && !all && status == EXIT_CLEAN;
	    word = strtok_r(NULL, ",", &save)) {
		i = 0;
		while (museum_strategies[i].ms_name != NULL && strcmp(museum_strategies[i].ms_name, word) != 0)
			i++;
		if (museum_strategies[i].ms_name == NULL)
			status = cmd_fail(EXIT_USAGE, "--strategies %s: no '%s'; there are free, chaos, random, pos, pct:2, "
			    "pct:3, mix, and all", sr->sr_options->mo_strategies, word);
		else
			sr->sr_on[i] = true;
	}
	free(list);
	return status;
}

static int
run_seed(struct strategies *sr, unsigned seed)
{
	int status = EXIT_CLEAN;

	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL && status == EXIT_CLEAN; mb++) {
		bool ran = false;

		for (unsigned i = 0; museum_strategies[i].ms_name != NULL && is_run(sr, mb); i++)
			if (sr->sr_on[i] && !run_stopped() && cell_of(sr, mb->mb_name, i, seed) == NULL) {
				run_cell(sr, mb, i, seed);
				ran = true;
			}
		if (ran && sr->sr_options->mo_json != NULL)
			status = write_file(sr);
	}
	return status;
}

static int
run_all(struct strategies *sr)
{
	int status = sr->sr_options->mo_resume ? read_file(sr) : EXIT_CLEAN;
	unsigned missed;

	for (unsigned seed = 1; status == EXIT_CLEAN && seed <= sr->sr_options->mo_seeds && !run_stopped(); seed++)
		status = run_seed(sr, seed);
	if (status != EXIT_CLEAN)
		return status;
	missed = tell_table(sr);
	if (run_stopped())
		printf("ended before all were run\n");
	return missed != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
}

int
selftest_strategies(const struct museum_options *mo)
{
	const char *tmp = getenv("TMPDIR");
	struct strategies sr = { .sr_options = mo };
	const struct museum_bug *mb = museum_bugs;
	int status;

	while (mb->mb_name != NULL && !is_run(&sr, mb))
		mb++;
	if (mb->mb_name == NULL)
		return cmd_fail(EXIT_USAGE, "no bug that can be run has '%s' in its name: see `uvmstress list bugs`",
		    mo->mo_word);
	status = parse_list(&sr);
	if (status != EXIT_CLEAN)
		return status;
	sr.sr_dir = xasprintf("%s/uvmstress-museum.XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
	if (mkdtemp(sr.sr_dir) == NULL)
		status = cmd_fail(EXIT_HOST, "cannot make %s: %s", sr.sr_dir, strerror(errno));
	else {
		run_catch_signals();
		status = run_all(&sr);
		rmdir(sr.sr_dir);
	}
	for (size_t i = 0; i < sr.sr_ncells; i++) {
		free(sr.sr_cells[i].ce_bug);
		free(sr.sr_cells[i].ce_by);
	}
	free(sr.sr_cells);
	free(sr.sr_dir);
	return status;
}
