/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress minimize DIR: a recorded failure made small, and told.
 *
 * First the machine: jobs are left out, operations, CPUs, threads, processes and memory halved, as long
 * as one of a few seeds still fails the same way under the same kind of schedule.  Then the operations
 * that are left: those are taken out (`steps` of their job) without which it still fails, by the switches
 * that there are or under a few other schedules.  Then the switches of that recording, likewise.  The same way: its
 * fingerprint is pinned, so nothing drifts to another bug.  DIR/minimized is what is left: a
 * failure like any other, with a recording for `replay`, and story.txt.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/xalloc.h>
#include <host/sched.h>

#include "child.h"
#include "minimize.h"
#include "run.h"

#define	ROUNDS_MAX	4
#define	STEP_MAX	16		/* values below it are lowered by one, too */
#define	OPS_FIRST	100		/* for a profile that runs by time */
#define	STEP_SCHEDULES	12		/* tried without some operations, at most */
#define	LIMIT_S		60
#define	MISSES		3		/* so many in a row: half as many schedules from then on */

enum { OPT_SEEDS = CMD_NOSHORT, OPT_ATTEMPTS, OPT_LIMIT, OPT_OTHER };

static const struct cmd_option minimize_options[] = {
	{ OPT_SEEDS, "seeds", "N", "seeds for each smaller machine; 40", NULL },
	{ OPT_ATTEMPTS, "attempts", "N", "executions in all; 4000", NULL },
	{ OPT_LIMIT, "limit", "SECONDS", "time for all of them; 60; what is found by then is kept", NULL },
	{ OPT_OTHER, "other-build", NULL, "take what another build recorded, if it leads there in this one, too", NULL },
	{ 'q', "quiet", NULL, "print the story only", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

/* The main thread's. */
struct minimize {
	const char *mi_dir;
	bool mi_quiet, mi_other;
	uint64_t mi_seeds, mi_attempts;	/* allowed */
	uint64_t mi_tried, mi_until;	/* attempts made; when this part of the work is over */
	double mi_end, mi_by;		/* now_s(): when all of it is over, and this part; 0: never */
	unsigned mi_misses;		/* in a row: what other schedules did not help with */
	char mi_print[PRINT_LEN];	/* the fingerprint that is pinned */
	char *mi_profile;		/* of the smallest so far */
	struct recording mi_rec;	/* likewise */
	uint64_t mi_load, mi_switches;	/* likewise */
	struct step *mi_steps;		/* operations that there are */
	size_t mi_nsteps;
	const struct host_switch *mi_v;	/* those that are thinned */
	size_t mi_n;
};

/* The n-th operation of a job's worker. */
struct step {
	unsigned st_job, st_worker, st_n;
};

/* => the attempt has the fingerprint that is pinned */
static bool
same(struct minimize *mi, struct attempt *at, const struct attempted **ad)
{
	at->at_print = mi->mi_print;
	if (mi->mi_tried >= mi->mi_until || (mi->mi_by != 0 && now_s() >= mi->mi_by))
		return false;
	mi->mi_tried++;
	*ad = attempt(at);
	return *ad != NULL && (*ad)->ad_same;
}

/* => when an n-th of the time that is left is over */
static double
part_of(const struct minimize *mi, int n)
{
	const double now = now_s();

	return mi->mi_end > now ? now + (mi->mi_end - now) / n : now;
}

static void
take(struct minimize *mi, const struct attempted *ad, uint64_t seed)
{
	mi->mi_rec.rec_log = xcheck(realloc(mi->mi_rec.rec_log, ad->ad_loglen + 1));
	memcpy(mi->mi_rec.rec_log, ad->ad_log, ad->ad_loglen);
	mi->mi_rec.rec_loglen = ad->ad_loglen;
	mi->mi_rec.rec_seed = seed;
	mi->mi_load = ad->ad_load;
	mi->mi_switches = ad->ad_switches;
}

/*
 * => does it still fail by the switches of before, those of LWPs that are left?  With the same seed, which
 *    says what the operations do.  One attempt, where a rare failure takes hundreds of other schedules.
 */
static bool
same_by_switches(struct minimize *mi, const char *profile, const struct attempted **ad)
{
	struct attempt at = { .at_profile = profile, .at_seed = mi->mi_rec.rec_seed };
	struct host_switch *v = engine_switches(&mi->mi_rec, &at.at_nthin);
	bool still;

	at.at_thin = v;
	still = same(mi, &at, ad);
	free(v);
	return still;
}

/* => how many other schedules are tried: fewer and fewer while they are of no use, for more will be tried then */
static uint64_t
patience(const struct minimize *mi, uint64_t most)
{
	const unsigned halves = mi->mi_misses / MISSES;

	return halves < 64 && most >> halves != 0 ? most >> halves : 1;
}

/* --- the machine --- */

/* => takes the profile, which is smaller, if it fails the same way: as before, or with one of the seeds; or frees it */
static bool
smaller(struct minimize *mi, char *profile, const char *what)
{
	const uint64_t first = mi->mi_rec.rec_seed, n = patience(mi, mi->mi_seeds);
	const struct attempted *ad = NULL;
	uint64_t seed = first;
	bool still = same_by_switches(mi, profile, &ad);

	for (uint64_t i = 0; i < n && !still && ad != NULL && !ad->ad_refused; i++) {
		struct attempt at = { .at_profile = profile, .at_seed = first + i, .at_steps = mi->mi_load };

		seed = first + i;
		still = same(mi, &at, &ad);
		mi->mi_misses = still ? 0 : mi->mi_misses + (i + 1 == n);
	}
	if (still) {
		take(mi, ad, seed);
		free(mi->mi_profile);
		mi->mi_profile = profile;
		if (!mi->mi_quiet)
			printf("  %s: seed %ju, %ju switches\n", what, (uintmax_t)seed, (uintmax_t)ad->ad_switches);
	} else
		free(profile);
	return still;
}

static bool
lower(struct minimize *mi, const char *section, const char *key, uint64_t value)
{
	char text[24], *what;
	bool done;

	snprintf(text, sizeof(text), "%ju", (uintmax_t)value);
	what = xasprintf("[%s] %s = %s", section, key, text);
	done = smaller(mi, ini_with(mi->mi_profile, section, key, text), what);
	free(what);
	return done;
}

/* => the number that stands there; 0: none */
static uint64_t
number_of(const char *profile, const char *section, const char *key)
{
	static const char units[] = "KMG";
	size_t len;
	const char *text = ini_value(profile, section, key, &len), *unit;
	char *end;
	uint64_t value;

	if (text == NULL)
		return 0;
	value = strtoull(text, &end, 10);
	unit = *end != '\0' ? strchr(units, *end) : NULL;
	return unit != NULL ? value << (10 * (unit - units + 1)) : value;
}

/* => halves it as often as it goes, then takes one off; in multiples of grain */
static bool
lower_all(struct minimize *mi, const char *section, const char *key, uint64_t grain)
{
	uint64_t value = number_of(mi->mi_profile, section, key), half;
	bool any = false;

	while ((half = value / 2 / grain * grain) != 0 && lower(mi, section, key, half)) {
		value = half;
		any = true;
	}
	while (value / grain > 1 && value / grain < STEP_MAX && lower(mi, section, key, value - grain)) {
		value -= grain;
		any = true;
	}
	return any;
}

static bool
drop_jobs(struct minimize *mi)
{
	bool any = false;
	char *name;

	for (size_t n = 1; (name = ini_section(mi->mi_profile, n)) != NULL; free(name)) {
		char *what = xasprintf("without [%s]", name);

		if (smaller(mi, ini_without(mi->mi_profile, name), what))
			any = true;
		else
			n++;
		free(what);
	}
	return any;
}

static void
shrink_machine(struct minimize *mi)
{
	char *name;
	bool any = true;

	mi->mi_until = mi->mi_attempts / 3;
	mi->mi_by = part_of(mi, 3);
	if (number_of(mi->mi_profile, "global", "ops") == 0)
		lower(mi, "global", "ops", OPS_FIRST);
	for (int round = 0; any && round < ROUNDS_MAX; round++) {
		any = drop_jobs(mi);
		any |= lower_all(mi, "global", "ops", 1);
		for (size_t n = 1; (name = ini_section(mi->mi_profile, n)) != NULL; n++) {
			any |= lower_all(mi, name, "threads", 1);
			any |= lower_all(mi, name, "processes", 1);
			any |= lower_all(mi, name, "size", OPTION_PAGE);
			free(name);
		}
		any |= lower_all(mi, "global", "cpus", 1);
		any |= lower_all(mi, "global", "memory", UINT64_C(1) << 20);
	}
}

/* --- the operations --- */

/* => every operation of every worker that can do without some */
static void
list_steps(struct minimize *mi)
{
	const uint64_t ops = number_of(mi->mi_profile, "global", "ops");
	char *name;
	size_t len;

	for (unsigned j = 1; (name = ini_section(mi->mi_profile, j)) != NULL; j++) {
		const uint64_t processes = number_of(mi->mi_profile, name, "processes");
		uint64_t workers = number_of(mi->mi_profile, name, "threads");

		workers = workers > processes ? workers : processes;
		if (ini_value(mi->mi_profile, name, "steps", &len) == NULL)
			workers = 0;
		for (uint64_t i = 0; i < workers * ops; i++) {
			mi->mi_steps = xgrow(mi->mi_steps, mi->mi_nsteps, sizeof(*mi->mi_steps));
			mi->mi_steps[mi->mi_nsteps++] = (struct step){ j, (unsigned)(i / ops), (unsigned)(i % ops) };
		}
		free(name);
	}
}

/* => "0:3-7,9 2:0-4", those of one job that are kept, for free(); if none is: one that there is not */
static char *
steps_text(const struct minimize *mi, const bool *keep, unsigned job)
{
	const struct step *st = mi->mi_steps, *last = NULL;
	char *text = NULL;
	size_t len, to;
	FILE *out = xcheck(open_memstream(&text, &len));

	for (size_t i = 0; i < mi->mi_nsteps; i = to + 1) {
		to = i;
		if (st[i].st_job != job || !keep[i])
			continue;
		while (to + 1 < mi->mi_nsteps && keep[to + 1] && st[to + 1].st_job == job &&
		    st[to + 1].st_worker == st[i].st_worker)
			to++;
		if (last == NULL || last->st_worker != st[i].st_worker)
			fprintf(out, "%s%u:%u", last == NULL ? "" : " ", st[i].st_worker, st[i].st_n);
		else
			fprintf(out, ",%u", st[i].st_n);
		if (to > i)
			fprintf(out, "-%u", st[to].st_n);
		last = &st[i];
	}
	if (last == NULL)
		fprintf(out, "0:%ju", (uintmax_t)number_of(mi->mi_profile, "global", "ops"));
	fclose(out);
	return xcheck(text);
}

/* => the profile with the operations that are kept, for free() */
static char *
with_steps(const struct minimize *mi, const bool *keep)
{
	char *profile = xstrdup(mi->mi_profile), *name;

	for (unsigned j = 1; (name = ini_section(profile, j)) != NULL; j++) {
		char *text = steps_text(mi, keep, j), *next = ini_with(profile, name, "steps", text);

		free(text);
		free(profile);
		free(name);
		profile = next;
	}
	return profile;
}

/*
 * => does it still fail, by the switches of before, or under one of a few schedules?  The seed stays:
 * it says what the operations do.
 */
static bool
without_steps(void *arg, const bool *keep)
{
	struct minimize *mi = arg;
	char *profile = with_steps(mi, keep);
	const uint64_t seed = mi->mi_rec.rec_seed;
	const uint64_t n = patience(mi, mi->mi_seeds < STEP_SCHEDULES ? mi->mi_seeds : STEP_SCHEDULES);
	const struct attempted *ad = NULL;
	struct attempt at = { .at_profile = profile, .at_seed = seed, .at_steps = mi->mi_load };
	bool still = same_by_switches(mi, profile, &ad);

	for (uint64_t i = 0; i < n && !still && ad != NULL && !ad->ad_refused; i++) {
		at.at_schedule = seed + i;
		still = same(mi, &at, &ad);
		mi->mi_misses = still ? 0 : mi->mi_misses + (i + 1 == n);
	}
	if (still)
		take(mi, ad, seed);
	free(profile);
	return still;
}

static void
shrink_steps(struct minimize *mi)
{
	char *profile;
	bool *keep;
	size_t left;

	list_steps(mi);
	keep = xcalloc(mi->mi_nsteps + 1, sizeof(*keep));
	memset(keep, true, mi->mi_nsteps);
	mi->mi_misses = 0;
	mi->mi_until = mi->mi_tried + (mi->mi_attempts - mi->mi_tried) / 2;
	mi->mi_by = part_of(mi, 2);
	left = ddmin(keep, mi->mi_nsteps, without_steps, mi);
	if (left < mi->mi_nsteps) {
		profile = with_steps(mi, keep);
		free(mi->mi_profile);
		mi->mi_profile = profile;
		if (!mi->mi_quiet)
			printf("  %zu of %zu operations: %ju switches\n", left, mi->mi_nsteps, (uintmax_t)mi->mi_switches);
	}
	free(keep);
	free(mi->mi_steps);
}

/* --- the switches --- */

static bool
without(void *arg, const bool *keep)
{
	struct minimize *mi = arg;
	struct host_switch *v = xcalloc(mi->mi_n + 1, sizeof(*v));
	const struct attempted *ad;
	struct attempt at = {
		.at_profile = mi->mi_profile, .at_seed = mi->mi_rec.rec_seed, .at_thin = v,
	};
	bool still;

	for (size_t i = 0; i < mi->mi_n; i++)
		if (keep[i])
			v[at.at_nthin++] = mi->mi_v[i];
	still = same(mi, &at, &ad);
	free(v);
	return still;
}

/* => the execution with those switches, kept in DIR/minimized; false: it was another one */
static bool
keep_it(struct minimize *mi, const bool *keep, const char *out)
{
	struct host_switch *v = xcalloc(mi->mi_n + 1, sizeof(*v));
	const struct attempted *ad;
	struct attempt at = {
		.at_profile = mi->mi_profile, .at_seed = mi->mi_rec.rec_seed, .at_thin = v, .at_out = out,
	};
	bool done;

	for (size_t i = 0; i < mi->mi_n; i++)
		if (keep[i])
			v[at.at_nthin++] = mi->mi_v[i];
	mi->mi_until = UINT64_MAX;
	mi->mi_by = 0;
	done = same(mi, &at, &ad);
	if (done)
		mi->mi_switches = ad->ad_switches;
	free(v);
	return done;
}

/* => does the recording that was left lead there, event by event? */
static bool
replays(struct minimize *mi, const char *out)
{
	const struct attempted *ad;
	struct recording rec;
	struct attempt at = { .at_profile = mi->mi_profile, .at_follow = &rec };
	bool good;

	if (replay_load(out, &rec, false) != EXIT_CLEAN)
		return false;
	at.at_seed = rec.rec_seed;
	good = same(mi, &at, &ad) && strcmp(ad->ad_hash, rec.rec_hash) == 0;
	recording_free(&rec);
	return good;
}

/* --- all of it --- */

static void
print_story(const char *out)
{
	char *path = xasprintf("%s/story.txt", out), line[600];
	FILE *in = fopen(path, "re");

	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		fputs(line, stdout);
	if (in != NULL)
		fclose(in);
	free(path);
}

static int
shrink_switches(struct minimize *mi)
{
	char *out = xasprintf("%s/minimized", mi->mi_dir);
	struct host_switch *v = engine_switches(&mi->mi_rec, &mi->mi_n);
	bool *keep = xcalloc(mi->mi_n + 1, sizeof(*keep));
	size_t left;
	int status = EXIT_CLEAN;

	mi->mi_v = v;
	mi->mi_until = mi->mi_attempts;
	mi->mi_by = mi->mi_end;
	memset(keep, true, mi->mi_n);
	left = ddmin(keep, mi->mi_n, without, mi);
	if (mkdir(out, 0777) != 0 && errno != EEXIST)
		status = cmd_fail(EXIT_HOST, "cannot make %s: %s", out, strerror(errno));
	else if (!keep_it(mi, keep, out) || !replays(mi, out))
		status = run_stopped() ? cmd_fail(EXIT_HOST, "stopped: %s is not finished", out) :
		    cmd_fail(EXIT_VIOLATION, "%s does not repeat itself: it depends on more than its schedule",
			out);
	if (status == EXIT_CLEAN) {
		if (!mi->mi_quiet)
			printf("  %zu of %zu switches had to be where they were; %ju executions\n\n", left,
			    mi->mi_n, (uintmax_t)mi->mi_tried);
		print_story(out);
		if (!mi->mi_quiet)
			printf("\nkept in %s; again: %s replay %s\n", out, cmd_program, out);
	}
	free(keep);
	free(v);
	free(out);
	return status;
}

/* => the violation that the recording leads to is pinned */
static int
pin(struct minimize *mi)
{
	const struct attempt at = {
		.at_profile = mi->mi_profile, .at_seed = mi->mi_rec.rec_seed, .at_follow = &mi->mi_rec,
	};
	const struct attempted *ad = attempt(&at);

	if (ad == NULL)
		return cmd_fail(EXIT_HOST, "stopped");
	if (!ad->ad_same || strcmp(ad->ad_hash, mi->mi_rec.rec_hash) != 0)
		return cmd_fail(EXIT_VIOLATION, "%s: its recording does not lead to a violation as it did; "
		    "`uvmstress replay` says where it parts", mi->mi_dir);
	memcpy(mi->mi_print, ad->ad_print, sizeof(mi->mi_print));
	mi->mi_load = ad->ad_load;
	mi->mi_switches = ad->ad_switches;
	if (!mi->mi_quiet)
		printf("%s: %s %s, fingerprint %s, %ju switches\n", mi->mi_dir, ad->ad_kind, ad->ad_id, ad->ad_print,
		    (uintmax_t)ad->ad_switches);
	return EXIT_CLEAN;
}

/* => the text of a file, or NULL, told */
static char *
text_of(const char *dir)
{
	char *path = xasprintf("%s/profile.ini", dir), *text = NULL;
	FILE *in = fopen(path, "re");
	ssize_t len = -1;
	size_t room = 0;

	if (in != NULL) {
		len = getdelim(&text, &room, '\0', in);
		fclose(in);
	}
	if (len <= 0) {
		cmd_fail(EXIT_USAGE, "cannot read %s", path);
		free(text);
		text = NULL;
	}
	free(path);
	return text;
}

static int
minimize(struct minimize *mi)
{
	int status = replay_load(mi->mi_dir, &mi->mi_rec, mi->mi_other), error;

	if (status != EXIT_CLEAN)
		return status;
	mi->mi_profile = text_of(mi->mi_dir);
	error = attempts_begin();
	if (error != 0)
		status = cmd_fail(EXIT_HOST, "no memory to share with attempts: %s", strerror(error));
	else if (mi->mi_profile == NULL)
		status = EXIT_USAGE;
	else
		status = pin(mi);
	if (status == EXIT_CLEAN) {
		shrink_machine(mi);
		shrink_steps(mi);
		status = shrink_switches(mi);
	}
	if (error == 0)
		attempts_end();
	free(mi->mi_profile);
	recording_free(&mi->mi_rec);
	return status;
}

/* => false: told */
static bool
parse_number(const struct command *cmd, const char *name, const char *arg, uint64_t *value)
{
	const struct option_row row = { name, OPT_INT, 0, 1, 1000000000, NULL, NULL, NULL, "" };
	char why[200];

	if (option_parse(&row, value, arg, "", why, sizeof(why)) == 0)
		return true;
	cmd_usage(cmd, "--%s %s: %s", name, arg, why);
	return false;
}

static int
minimize_main(const struct command *cmd, int argc, char **argv)
{
	struct minimize mi = { .mi_seeds = 40, .mi_attempts = 4000 };
	uint64_t limit = LIMIT_S;
	const struct cmd_option *row;
	const char *arg;
	bool good = true;
	int c, first;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END && c != CMD_HELP && c != CMD_BAD) {
		if (c == 'q')
			mi.mi_quiet = true;
		else if (c == OPT_OTHER)
			mi.mi_other = true;
		else
			good &= parse_number(cmd, row->co_name, arg, c == OPT_SEEDS ? &mi.mi_seeds :
			    c == OPT_LIMIT ? &limit : &mi.mi_attempts);
	}
	if (c != CMD_END || !good)
		return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	if (argc - first != 1)
		return cmd_usage(cmd, "one directory of a failure is minimized");
	mi.mi_dir = argv[first];
	mi.mi_end = now_s() + (double)limit;
	run_catch_signals();
	return minimize(&mi);
}

const struct command cmd_minimize = {
	.c_name = "minimize",
	.c_synopsis = "[OPTION...] DIR",
	.c_help = "shrinks a recorded failure, and tells how it comes to it",
	.c_options = minimize_options,
	.c_main = minimize_main,
};
