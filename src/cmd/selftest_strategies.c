/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest bugs --strategies LIST: how many executions, and how long, until a known bug
 * shows, by how LWPs are scheduled.
 *
 * A cell is one bug, one strategy, one seed: small executions of the bug's profile, one after the
 * other, until one fails or the CPU time is up: of a busy host, the clock says nothing.  All
 * strategies have the same profile, so that nothing but the schedule makes the difference.  A
 * controlled execution keeps one core busy: such cells have one each, several at a time.  LWPs that
 * run freely are to have all cores, and so their cells run alone.
 *
 * Seeds turn slowest: what has been run when somebody stops it is a table of fewer seeds, and
 * --resume goes on from the file.
 *
 * A miss counts as longer than any other cell: the median of a bug that is missed by half the seeds
 * is no number, and the seeds that are left cannot change that and are not run.  Nor are they if the
 * first ones have all been missed: had half of all seeds a hit, that would be one case in 2^MISSES.
 */
#include <sys/stat.h>

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "run.h"
#include "strategies.h"
#include "uvmstress_config.h"

#define SEED_STEP	10000000	/* more than the executions of a cell */
#define MISSES		5		/* of the first so many seeds: that will do */
#define STEPS_MANY	3		/* depth from which on controlled schedules are to be ten times as fast */
#define WRITE_S		5.0		/* between two writes of the file */

/* A cell that is being run, or none. */
struct slot {
	bool sl_busy;
	int sl_core;			/* 1 + its core, for controlled ones */
	char *sl_dir, *sl_profile;	/* sl_profile: while busy */
	const struct museum_bug *sl_bug;
	unsigned sl_strategy, sl_seed;
	struct museum_ask sl_ask;
	struct museum_child sl_child;
	struct museum_run sl_run;
};

/* --- cells --- */

struct cell *
strategies_cell(const struct strategies *sr, const char *bug, unsigned strategy, unsigned seed)
{
	for (size_t i = 0; i < sr->sr_ncells; i++) {
		struct cell *ce = &sr->sr_cells[i];

		if (ce->ce_strategy == strategy && ce->ce_seed == seed && strcmp(ce->ce_bug, bug) == 0)
			return ce;
	}
	return NULL;
}

void
strategies_add(struct strategies *sr, const struct cell *ce)
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
start_cell(struct strategies *sr, struct slot *sl, const struct museum_bug *mb, unsigned strategy, unsigned seed)
{
	sl->sl_busy = true;
	sl->sl_profile = museum_small(mb);
	sl->sl_bug = mb;
	sl->sl_strategy = strategy;
	sl->sl_seed = seed;
	sl->sl_ask = (struct museum_ask){
		.ma_profile = sl->sl_profile, .ma_bug = mb->mb_name, .ma_strategy = &museum_strategies[strategy],
		.ma_seed = 1 + (uint64_t)(seed - 1) * SEED_STEP, .ma_dir = sl->sl_dir,
		.ma_limit_s = sr->sr_options->mo_limit_s,
		.ma_core = museum_strategies[strategy].ms_controlled ? sl->sl_core : 0,
	};
	museum_start(&sl->sl_ask, &sl->sl_child, &sl->sl_run);
}

/* => who noticed, or what came instead, of the caller; found: is it who the row names? */
static char *
told_by(const struct strategies *sr, const struct slot *sl, bool *found)
{
	const struct museum_run *mr = &sl->sl_run;
	char *by = mr->mr_end == MR_NOTICED ? museum_judge(sl->sl_bug->mb_notices, mr) : NULL;

	*found = by != NULL;
	if (by != NULL)
		return by;
	if (mr->mr_end == MR_CLEAN && mr->mr_cpu_s < sr->sr_options->mo_limit_s && !run_stopped())
		return xstrdup("ended by the clock: the host had other things to do");
	return xstrdup(mr->mr_message != NULL ? mr->mr_message : "");
}

/* It has ended. */
static void
end_cell(struct strategies *sr, struct slot *sl)
{
	const struct museum_run *mr = &sl->sl_run;
	struct cell ce = {
		.ce_bug = xstrdup(sl->sl_bug->mb_name), .ce_strategy = sl->sl_strategy, .ce_seed = sl->sl_seed,
		.ce_executions = mr->mr_executions, .ce_wall_s = mr->mr_wall_s, .ce_cpu_s = mr->mr_cpu_s,
	};

	ce.ce_by = told_by(sr, sl, &ce.ce_found);
	if (run_stopped() && !ce.ce_found) {		/* it had not all its time */
		free(ce.ce_bug);
		free(ce.ce_by);
	} else {
		tell_cell(sr, &sl->sl_ask, &ce);
		strategies_add(sr, &ce);
	}
	museum_run_fini(&sl->sl_run);
	free(sl->sl_profile);
	sl->sl_busy = false;
}

/* => how many are still being run */
static unsigned
look(struct strategies *sr)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < sr->sr_nslots; i++) {
		struct slot *sl = &sr->sr_slots[i];

		if (sl->sl_busy && museum_ended(&sl->sl_ask, &sl->sl_child, &sl->sl_run))
			end_cell(sr, sl);
		busy += sl->sl_busy;
	}
	return busy;
}

/* => at most so many are being run */
static void
wait_until(struct strategies *sr, unsigned busy)
{
	while (look(sr) > busy)
		child_pause();
}

/* Have so many of its seeds been missed that its median is no number, whatever the others find? */
static bool
is_over_limit(const struct strategies *sr, const char *bug, unsigned strategy)
{
	unsigned found = 0, missed = 0;

	for (size_t i = 0; i < sr->sr_ncells; i++) {
		const struct cell *ce = &sr->sr_cells[i];

		if (ce->ce_strategy != strategy || ce->ce_seed > sr->sr_options->mo_seeds || strcmp(ce->ce_bug, bug) != 0)
			continue;
		found += ce->ce_found;
		missed += !ce->ce_found;
	}
	return 2 * missed >= sr->sr_options->mo_seeds || (found == 0 && missed >= MISSES);
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

struct figure
strategies_figure(const struct strategies *sr, const char *bug, unsigned strategy)
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
		const struct figure fi = strategies_figure(sr, bug, i);

		if (i == 0) {
			free_run = fi.fi_cells != 0;
			ve.ve_free_s = fi.fi_cpu_s;
		}
		if (!museum_strategies[i].ms_controlled)
			continue;
		controlled |= fi.fi_cells != 0;
		ve.ve_controlled += fi.fi_found;
		if (fi.fi_cpu_s < ve.ve_best_s) {
			ve.ve_best = museum_strategies[i].ms_name;
			ve.ve_best_s = fi.fi_cpu_s;
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
		snprintf(text, sizeof(text), "%.0f/%.2fs", fi->fi_executions, fi->fi_cpu_s);
	printf(" %14s", text);
}

static void
tell_bug(const struct strategies *sr, const struct museum_bug *mb)
{
	const struct verdict ve = verdict_of(sr, mb->mb_name);

	printf("  %-28s %u", mb->mb_name, mb->mb_depth);
	for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
		const struct figure fi = strategies_figure(sr, mb->mb_name, i);

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
	printf("medians of executions and CPU seconds; - (k of n): half of the seeds or more find nothing in %g s of CPU, "
	    "n of them were run\n", sr->sr_options->mo_limit_s);
	if (!controlled)
		return 0;
	printf("controlled schedules found %u of %u bugs; of %u with %d ordered steps or more %u ten times as fast "
	    "as free-running\n", found, bugs, many, STEPS_MANY, fast);
	return bugs - found;
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

/* => an exit status, told */
static int
write_sometimes(struct strategies *sr)
{
	if (sr->sr_options->mo_json == NULL || now_s() < sr->sr_written + WRITE_S)
		return EXIT_CLEAN;
	sr->sr_written = now_s();
	return strategies_write(sr);
}

/* Of one seed, what is controlled, or what is not.  => an exit status, told; none is being run */
static int
run_seed(struct strategies *sr, unsigned seed, bool controlled)
{
	int status = EXIT_CLEAN;

	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL; mb++)
		for (unsigned i = 0; museum_strategies[i].ms_name != NULL && is_run(sr, mb); i++) {
			struct slot *sl = sr->sr_slots;

			if (!sr->sr_on[i] || museum_strategies[i].ms_controlled != controlled || run_stopped() ||
			    status != EXIT_CLEAN || strategies_cell(sr, mb->mb_name, i, seed) != NULL ||
			    is_over_limit(sr, mb->mb_name, i))
				continue;
			while (sl->sl_busy)
				sl++;
			start_cell(sr, sl, mb, i, seed);
			wait_until(sr, controlled ? sr->sr_nslots - 1 : 0);
			status = write_sometimes(sr);
		}
	wait_until(sr, 0);
	return status;
}

static int
run_all(struct strategies *sr)
{
	int status = sr->sr_options->mo_resume ? strategies_read(sr) : EXIT_CLEAN;
	unsigned missed;

	if (status != EXIT_CLEAN)
		return status;
	for (unsigned seed = 1; status == EXIT_CLEAN && seed <= sr->sr_options->mo_seeds && !run_stopped(); seed++) {
		status = run_seed(sr, seed, false);
		if (status == EXIT_CLEAN)
			status = run_seed(sr, seed, true);
	}
	if (status == EXIT_CLEAN && sr->sr_options->mo_json != NULL)
		status = strategies_write(sr);
	if (status != EXIT_CLEAN)
		return status;
	missed = tell_table(sr);
	if (run_stopped())
		printf("ended before all were run\n");
	return missed != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
}

/* => an exit status, told; sr_slots are there, if not their directories */
static int
make_slots(struct strategies *sr)
{
	int status = EXIT_CLEAN, core = -1;
	unsigned cores = 1;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = (unsigned)CPU_COUNT(&set);
	else {
		CPU_ZERO(&set);
		CPU_SET(0, &set);
	}
	sr->sr_nslots = sr->sr_options->mo_jobs != 0 ? sr->sr_options->mo_jobs : cores;
	sr->sr_slots = xcalloc(sr->sr_nslots, sizeof(*sr->sr_slots));
	for (unsigned i = 0; i < sr->sr_nslots && status == EXIT_CLEAN; i++) {
		struct slot *sl = &sr->sr_slots[i];

		do
			core = (core + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(core, &set));
		sl->sl_core = 1 + core;
		sl->sl_dir = xasprintf("%s/%u", sr->sr_dir, i);
		if (mkdir(sl->sl_dir, 0700) != 0)
			status = cmd_fail(EXIT_HOST, "cannot make %s: %s", sl->sl_dir, strerror(errno));
	}
	return status;
}

static void
free_slots(struct strategies *sr)
{
	for (unsigned i = 0; i < sr->sr_nslots; i++)
		if (sr->sr_slots[i].sl_dir != NULL) {
			rmdir(sr->sr_slots[i].sl_dir);
			free(sr->sr_slots[i].sl_dir);
		}
	free(sr->sr_slots);
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
		status = make_slots(&sr);
		if (status == EXIT_CLEAN)
			status = run_all(&sr);
		free_slots(&sr);
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
