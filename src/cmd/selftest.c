/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest: trips detectors on purpose and says which noticed.
 */
#include <errno.h>
#include <string.h>

#include <harness/result.h>
#include <harness/selftest.h>

#include "cmd.h"
#include "museum.h"
#include "uvmstress_config.h"

enum { OPT_SEEDS = CMD_NOSHORT, OPT_LIMIT, OPT_ALARMS, OPT_JSON, OPT_STRATEGIES, OPT_RESUME, OPT_JOBS };

static const struct cmd_option selftest_options_rows[] = {
	{ 'v', "verbose", NULL, "print what each case was told, and what dying ones print", NULL },
	{ OPT_SEEDS, "seeds", "N", "bugs: with how many seeds each, 1 to 100; else 5", NULL },
	{ OPT_LIMIT, "limit", "D", "bugs: how long each seed may take; strategies: so much CPU time; else 60s", NULL },
	{ OPT_ALARMS, "only-bugs", NULL, "bugs: do not run the same without a bug, too", NULL },
	{ OPT_JSON, "json", "FILE", "bugs: the table as one JSON object, too; - = standard output", NULL },
	{ OPT_STRATEGIES, "strategies", "LIST",
	    "bugs: who finds which, how soon, in small executions: free,chaos,random,pos,pct:2,pct:3,mix or all", NULL },
	{ OPT_JOBS, "jobs", "N", "bugs, strategies: so many controlled cells at a time, each on one core; else all cores",
	    NULL },
	{ OPT_RESUME, "resume", NULL, "bugs, strategies: what the --json FILE has already is not run again", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct {
	const char *t_name;
	int (*t_run)(FILE *, const char *word, bool verbose);	/* NULL: selftest_bugs() */
} tests[] = {
	{ "bugs", NULL },
	{ "locks", selftest_locks },
	{ "preload", selftest_preload },
};
#define NTESTS (sizeof(tests) / sizeof(tests[0]))

static const char *
test_next(const void *ctx, size_t i)
{
	return i < NTESTS ? tests[i].t_name : NULL;
}

/* => 0, or EINVAL, told */
static int
parse_number(const struct command *cmd, const struct cmd_option *opt, const char *arg, enum option_type type,
    uint64_t min, uint64_t max, uint64_t *value)
{
	const struct option_row row = { opt->co_name, type, 0, min, max, NULL, NULL, NULL, "" };
	char why[200];

	if (option_parse(&row, value, arg, "", why, sizeof(why)) == 0)
		return 0;
	cmd_usage(cmd, "--%s %s: %s", opt->co_name, arg, why);
	return EINVAL;
}

/* => CMD_END, CMD_HELP or CMD_BAD */
static int
parse_options(const struct command *cmd, struct museum_options *mo, int argc, char **argv, int *first)
{
	uint64_t seeds = 5, limit = UINT64_C(60000000000), jobs = 0;
	const struct cmd_option *row;
	const char *arg;
	int c, error = 0;

	while (error == 0 && (c = cmd_getopt(cmd, argc, argv, &row, &arg, first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c;
		if (c == 'v')
			mo->mo_verbose = true;
		else if (c == OPT_SEEDS)
			error = parse_number(cmd, row, arg, OPT_INT, 1, 100, &seeds);
		else if (c == OPT_LIMIT)
			error = parse_number(cmd, row, arg, OPT_DURATION, 1, UINT64_C(3600000000000), &limit);
		else if (c == OPT_JOBS)
			error = parse_number(cmd, row, arg, OPT_INT, 1, 256, &jobs);
		else if (c == OPT_ALARMS)
			mo->mo_quiet_too = false;
		else if (c == OPT_STRATEGIES)
			mo->mo_strategies = arg;
		else if (c == OPT_RESUME)
			mo->mo_resume = true;
		else
			mo->mo_json = arg;
	}
	mo->mo_seeds = (unsigned)seeds;
	mo->mo_jobs = (unsigned)jobs;
	mo->mo_limit_s = (double)limit / 1e9;
	return error == 0 ? CMD_END : CMD_BAD;
}

static int
selftest_main(const struct command *cmd, int argc, char **argv)
{
	struct museum_options mo = { .mo_quiet_too = true };
	const char *name, *near;
	int c, first, wrong;

	c = parse_options(cmd, &mo, argc, argv, &first);
	if (c != CMD_END)
		return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	if (argc - first > 2)
		return cmd_usage(cmd, "one word at most after the name of a self-test");
	if (mo.mo_resume && (mo.mo_strategies == NULL || mo.mo_json == NULL))
		return cmd_usage(cmd, "--resume goes on with what --strategies has written to the --json FILE");
	if (mo.mo_jobs != 0 && mo.mo_strategies == NULL)
		return cmd_usage(cmd, "--jobs is about --strategies");
	name = first == argc ? "bugs" : argv[first];
	mo.mo_word = first + 1 < argc ? argv[first + 1] : NULL;
	for (size_t i = 0; i < NTESTS; i++) {
		if (strcmp(tests[i].t_name, name) != 0)
			continue;
		if (tests[i].t_run == NULL && !UVMSTRESS_BUGS)
			return cmd_fail(EXIT_USAGE, "this build has no bugs to switch on: make one that has, by "
			    "`meson setup build-bugs -Dbugs=true && ninja -C build-bugs`");
		if (tests[i].t_run == NULL)
			return mo.mo_strategies != NULL ? selftest_strategies(&mo) : selftest_bugs(&mo);
		wrong = tests[i].t_run(stdout, mo.mo_word, mo.mo_verbose);
		return wrong < 0 ? EXIT_USAGE : wrong > 0 ? EXIT_VIOLATION : EXIT_CLEAN;
	}
	near = nearest_name(name, test_next, NULL);
	if (near != NULL)
		return cmd_usage(cmd, "no self-test '%s'; did you mean '%s'?", name, near);
	return cmd_usage(cmd, "no self-test '%s'; there are bugs, locks and preload", name);
}

const struct command cmd_selftest = {
	.c_name = "selftest",
	.c_synopsis = "[OPTION...] [bugs|locks|preload [WORD]]",
	.c_help = "trips every detector on purpose, and says which noticed",
	.c_options = selftest_options_rows,
	.c_main = selftest_main,
};
