/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress selftest: trips detectors on purpose and says which noticed.
 */
#include <string.h>

#include <harness/result.h>
#include <harness/selftest.h>

#include "cmd.h"

static const struct cmd_option selftest_options_rows[] = {
	{ 'v', "verbose", NULL, "print what each case was told, and what dying ones print", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct {
	const char *t_name;
	int (*t_run)(FILE *, const char *word, bool verbose);
} tests[] = {
	{ "locks", selftest_locks },
	{ "preload", selftest_preload },
};
#define NTESTS (sizeof(tests) / sizeof(tests[0]))

static const char *
test_next(const void *ctx, size_t i)
{
	return i < NTESTS ? tests[i].t_name : NULL;
}

static int
selftest_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	const char *arg, *name, *near;
	bool verbose = false;
	int c, first, wrong;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		verbose = true;
	}
	if (first == argc || argc - first > 2)
		return cmd_usage(cmd, "say which detectors: locks or preload");
	name = argv[first];
	for (size_t i = 0; i < NTESTS; i++) {
		if (strcmp(tests[i].t_name, name) != 0)
			continue;
		wrong = tests[i].t_run(stdout, first + 1 < argc ? argv[first + 1] : NULL, verbose);
		return wrong < 0 ? EXIT_USAGE : wrong > 0 ? EXIT_VIOLATION : EXIT_CLEAN;
	}
	near = nearest_name(name, test_next, NULL);
	if (near != NULL)
		return cmd_usage(cmd, "no self-test '%s'; did you mean '%s'?", name, near);
	return cmd_usage(cmd, "no self-test '%s'; there are locks and preload", name);
}

const struct command cmd_selftest = {
	.c_name = "selftest",
	.c_synopsis = "[OPTION...] locks|preload [WORD]",
	.c_help = "trips every detector on purpose, and says which noticed",
	.c_options = selftest_options_rows,
	.c_main = selftest_main,
};
