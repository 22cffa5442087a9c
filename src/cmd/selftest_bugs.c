/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest bugs: the museum.
 *
 * Each bug is switched on under the profile meant for it, with several seeds, until somebody
 * notices or the time is up.  A profile may be short, because what is found at rest is found at
 * its end: then it is run again, with another seed.  It counts as noticed if the first violation
 * is one that the row names.  Then the same profiles run without a bug, and must be silent.
 *
 * What counts is the time of load until somebody noticed, and of earlier runs all of it.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "run.h"
#include "uvmstress_config.h"

#define SEEDS_MAX	100
#define SEED_STEP	1000		/* from one run to the next of the same seed */
#define DETECTORS_MAX	8

/* Who noticed first, and how often. */
struct detector {
	char *dt_name;			/* a word of the row; else KIND/ID */
	unsigned dt_n;
	bool dt_named;			/* the row names it */
};

struct tally {				/* of one bug */
	const struct museum_bug *tl_bug;
	double tl_time_s[SEEDS_MAX], tl_cpu_s[SEEDS_MAX]; /* of those that were noticed */
	unsigned tl_noticed, tl_seeds, tl_runs;
	struct detector tl_by[DETECTORS_MAX];
	unsigned tl_nby;
	char *tl_missed;		/* command of a seed that was not noticed as it should be */
	char *tl_why;
};

/* A profile without a bug; several bugs may share one. */
struct silence {
	const char *si_profile;
	unsigned si_runs, si_alarms, si_vacuous;
	char *si_alarm;
};

struct museum {
	const struct museum_options *mu_options;
	char *mu_dir;
	struct silence *mu_silences;
	size_t mu_nsilences;
	json_t *mu_rows;
	unsigned mu_wrong;
};

static int
by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* => sorts them */
static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_size);
	return n == 0 ? 0 : n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* --- one bug --- */

/* => whether the row names it */
static bool
count_detector(struct tally *tl, const struct museum_run *mr)
{
	char *name = museum_judge(tl->tl_bug->mb_notices, mr);
	const bool named = name != NULL;
	unsigned i = 0;

	if (!named)
		name = xasprintf("%s%s%s", mr->mr_kind, *mr->mr_id != '\0' ? "/" : "", mr->mr_id);

	while (i < tl->tl_nby && strcmp(tl->tl_by[i].dt_name, name) != 0)
		i++;
	if (i == tl->tl_nby && i < DETECTORS_MAX)
		tl->tl_by[tl->tl_nby++] = (struct detector){ name, 0, named };
	else
		free(name);
	if (i < DETECTORS_MAX)
		tl->tl_by[i].dt_n++;
	return named;
}

static void
missed(struct tally *tl, uint64_t seed, const char *why)
{
	if (tl->tl_missed != NULL)
		return;
	tl->tl_missed = museum_command(&(struct museum_ask){
	    .ma_profile = tl->tl_bug->mb_profile, .ma_bug = tl->tl_bug->mb_name, .ma_seed = seed });
	tl->tl_why = xstrdup(why);
}

/* => true: that seed is decided */
static bool
judge_run(const struct museum *mu, struct tally *tl, const struct museum_run *mr, uint64_t seed,
    double noticed, double cpu)
{
	if (mu->mu_options->mo_verbose && mr->mr_end == MR_NOTICED)
		printf("    seed %ju: %s %s: %s\n", (uintmax_t)seed, mr->mr_kind, mr->mr_id, mr->mr_message);
	if (mr->mr_end == MR_FAILED)
		missed(tl, seed, mr->mr_message);
	if (mr->mr_end != MR_NOTICED)
		return mr->mr_end == MR_FAILED;
	if (!count_detector(tl, mr)) {
		missed(tl, seed, mr->mr_message);
		return true;
	}
	tl->tl_time_s[tl->tl_noticed] = noticed;
	tl->tl_cpu_s[tl->tl_noticed++] = cpu;
	return true;
}

static void
one_seed(const struct museum *mu, struct tally *tl, uint64_t seed)
{
	const double limit = mu->mu_options->mo_limit_s;
	double wall = 0, cpu = 0, before;
	bool decided = false;

	tl->tl_seeds++;
	while (!decided && wall < limit && !run_stopped()) {
		const struct museum_ask ma = {
			.ma_profile = tl->tl_bug->mb_profile, .ma_bug = tl->tl_bug->mb_name, .ma_seed = seed,
			.ma_dir = mu->mu_dir, .ma_limit_s = limit - wall,
			.ma_verbose = mu->mu_options->mo_verbose,
		};
		struct museum_run mr;

		museum_run(&ma, &mr);
		before = wall;
		wall += mr.mr_wall_s;
		cpu += mr.mr_cpu_s;
		tl->tl_runs++;
		decided = judge_run(mu, tl, &mr, seed, before + mr.mr_time_s, cpu);
		museum_run_fini(&mr);
		if (!decided)
			seed += SEED_STEP;
	}
	if (!decided && !run_stopped())
		missed(tl, seed - SEED_STEP, "nobody noticed");
}

/* => the profile without a bug, run as often as there are seeds */
static const struct silence *
silence_of(struct museum *mu, const char *profile)
{
	struct silence *si;

	for (size_t i = 0; i < mu->mu_nsilences; i++)
		if (strcmp(mu->mu_silences[i].si_profile, profile) == 0)
			return &mu->mu_silences[i];
	mu->mu_silences = xgrow(mu->mu_silences, mu->mu_nsilences, sizeof(*mu->mu_silences));
	si = &mu->mu_silences[mu->mu_nsilences++];
	*si = (struct silence){ .si_profile = profile };
	for (unsigned i = 1; mu->mu_options->mo_quiet_too && i <= mu->mu_options->mo_seeds && !run_stopped();
	    i++) {
		const struct museum_ask ma = {
			.ma_profile = profile, .ma_seed = i, .ma_dir = mu->mu_dir,
			.ma_limit_s = mu->mu_options->mo_limit_s, .ma_verbose = mu->mu_options->mo_verbose,
		};
		struct museum_run mr;

		museum_run(&ma, &mr);
		si->si_runs++;
		si->si_vacuous += mr.mr_end == MR_VACUOUS;
		if (mr.mr_end == MR_NOTICED || mr.mr_end == MR_FAILED) {
			si->si_alarms++;
			if (si->si_alarm == NULL)
				si->si_alarm = xstrdup(mr.mr_message);
		}
		museum_run_fini(&mr);
	}
	return si;
}

/* --- the table --- */

static void
tell_detectors(const struct tally *tl, FILE *out)
{
	for (unsigned i = 0; i < tl->tl_nby; i++) {
		const struct detector *dt = &tl->tl_by[i];

		fprintf(out, "%s%s%s", i == 0 ? "" : ", ", dt->dt_named ? "" : "not named: ", dt->dt_name);
		if (tl->tl_nby > 1)
			fprintf(out, " %u", dt->dt_n);
	}
	if (tl->tl_nby == 0)
		fprintf(out, "nobody");
}

static json_t *
json_detectors(const struct tally *tl)
{
	json_t *array = xcheck(json_array());

	for (unsigned i = 0; i < tl->tl_nby; i++)
		json_array_append_new(array, json_pack("{s:s, s:i, s:b}", "detector", tl->tl_by[i].dt_name,
		    "seeds", (int)tl->tl_by[i].dt_n, "named", (int)tl->tl_by[i].dt_named));
	return array;
}

/* => sorts the times */
static void
tell(struct museum *mu, struct tally *tl, const struct silence *si)
{
	const struct museum_bug *mb = tl->tl_bug;
	const double mid = median(tl->tl_time_s, tl->tl_noticed), cpu = median(tl->tl_cpu_s, tl->tl_noticed);
	const double max = tl->tl_noticed != 0 ? tl->tl_time_s[tl->tl_noticed - 1] : 0;
	char alarms[40] = "-", *by = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&by, &len));

	tell_detectors(tl, out);
	fclose(out);
	if (si->si_runs != 0)
		snprintf(alarms, sizeof(alarms), "%u of %u", si->si_alarms, si->si_runs);
	printf("  %-28s %-16s %-42s %2u of %-2u %7.2f s %7.2f s  %s\n", mb->mb_name, mb->mb_origin, by,
	    tl->tl_noticed, tl->tl_seeds, mid, max, alarms);
	if (tl->tl_missed != NULL)
		printf("      wanted %s: %s\n      %s\n", mb->mb_notices, tl->tl_why, tl->tl_missed);
	if (si->si_alarm != NULL)
		printf("      without the bug: %s\n", si->si_alarm);
	if (si->si_vacuous != 0)
		printf("      without the bug %u runs proved nothing\n", si->si_vacuous);
	mu->mu_wrong += tl->tl_missed != NULL || si->si_alarms != 0;
	json_array_append_new(mu->mu_rows, json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:f, s:f, "
	    "s:f, s:i, s:i}", "bug", mb->mb_name, "origin", mb->mb_origin, "shows",
	    bug_shows_names[mb->mb_shows], "wanted", mb->mb_notices, "noticed_by", json_detectors(tl),
	    "seeds", (int)tl->tl_seeds, "noticed", (int)tl->tl_noticed, "runs", (int)tl->tl_runs,
	    "median_s", mid, "max_s", max, "median_cpu_s", cpu, "false_alarms", (int)si->si_alarms,
	    "silent_runs", (int)si->si_runs));
	free(by);
	fflush(stdout);
}

/* A row that is not run, and why. */
static void
tell_other(struct museum *mu, const struct museum_bug *mb)
{
	static const char *const why[] = {
		[SHOWS_RACE] = "a data race, for a build with ThreadSanitizer",
		[SHOWS_CONTROLLED] = "needs a controlled schedule",
		[SHOWS_IMPOSSIBLE] = "impossible",
	};

	printf("  %-28s %-16s %s\n", mb->mb_name, mb->mb_origin, why[mb->mb_shows]);
	if (mb->mb_note != NULL)
		printf("      %s\n", mb->mb_note);
	json_array_append_new(mu->mu_rows, json_pack("{s:s, s:s, s:s, s:s?}", "bug", mb->mb_name, "origin",
	    mb->mb_origin, "shows", bug_shows_names[mb->mb_shows], "note", mb->mb_note));
}

static void
one_bug(struct museum *mu, const struct museum_bug *mb)
{
	struct tally *tl;

	if (mb->mb_shows != SHOWS_FREE && !(mb->mb_shows == SHOWS_RACE && UVMSTRESS_TSAN)) {
		tell_other(mu, mb);
		return;
	}
	tl = xcalloc(1, sizeof(*tl));
	tl->tl_bug = mb;
	for (unsigned i = 1; i <= mu->mu_options->mo_seeds; i++)
		one_seed(mu, tl, i);
	tell(mu, tl, silence_of(mu, mb->mb_profile));
	for (unsigned i = 0; i < tl->tl_nby; i++)
		free(tl->tl_by[i].dt_name);
	free(tl->tl_missed);
	free(tl->tl_why);
	free(tl);
}

static void
write_rows(const void *what, FILE *out)
{
	json_dumpf(what, out, JSON_INDENT(2));
	fputc('\n', out);
}

int
museum_write(const struct museum_options *mo, json_t *root)
{
	int status = EXIT_CLEAN;
	char why[600];

	if (report_write(mo->mo_json, write_rows, root, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	json_decref(root);
	return status;
}

static int
write_json(const struct museum *mu)
{
	json_t *root = json_pack("{s:s, s:s, s:i, s:f, s:O}", "schema", "uvmstress-selftest-bugs/1", "version",
	    UVMSTRESS_VERSION, "wrong", (int)mu->mu_wrong, "limit_s", mu->mu_options->mo_limit_s, "bugs",
	    mu->mu_rows);

	return museum_write(mu->mu_options, root);
}

static void
museum_fini(struct museum *mu)
{
	for (size_t i = 0; i < mu->mu_nsilences; i++)
		free(mu->mu_silences[i].si_alarm);
	free(mu->mu_silences);
	json_decref(mu->mu_rows);
	rmdir(mu->mu_dir);
	free(mu->mu_dir);
}

int
selftest_bugs(const struct museum_options *mo)
{
	const char *tmp = getenv("TMPDIR");
	struct museum mu = { .mu_options = mo };
	int status = EXIT_CLEAN;
	unsigned n = 0;

	mu.mu_dir = xasprintf("%s/uvmstress-museum.XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
	if (mkdtemp(mu.mu_dir) == NULL) {
		status = cmd_fail(EXIT_HOST, "cannot make %s: %s", mu.mu_dir, strerror(errno));
		free(mu.mu_dir);
		return status;
	}
	mu.mu_rows = xcheck(json_array());
	printf("  %-28s %-16s %-42s %-8s %9s %9s  %s\n", "bug", "from", "noticed first by", "seeds", "median",
	    "longest", "false alarms");
	run_catch_signals();
	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL && !run_stopped(); mb++)
		if (museum_wanted(mo, mb)) {
			one_bug(&mu, mb);
			n++;
		}
	if (n == 0)
		status = cmd_fail(EXIT_USAGE, "no bug has '%s' in its name: see `uvmstress list bugs`", mo->mo_word);
	else
		printf("%u bugs, %u wrong%s\n", n, mu.mu_wrong, run_stopped() ? "; ended before all were run" : "");
	if (status == EXIT_CLEAN && mo->mo_json != NULL)
		status = write_json(&mu);
	if (status == EXIT_CLEAN && mu.mu_wrong != 0)
		status = EXIT_VIOLATION;
	museum_fini(&mu);
	return status;
}
