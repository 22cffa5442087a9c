/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress report: a run's result as a page.
 */
#include <errno.h>

#include "cmd.h"

static const struct cmd_option report_options[] = {
	{ 'o', "output", "FILE", "where it goes; report.html in DIR; - = standard output", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static int
report_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	const char *arg, *output = NULL;
	char why[700];
	int c, first, error;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		output = arg;
	}
	if (argc - first != 1)
		return cmd_usage(cmd, "one directory, or one file of --json, is what it takes");
	error = report_html(argv[first], output, why, sizeof(why));
	if (error != 0)
		return cmd_fail(error == EINVAL ? EXIT_USAGE : EXIT_HOST, "%s", why);
	return EXIT_CLEAN;
}

const struct command cmd_report = {
	.c_name = "report",
	.c_synopsis = "[OPTION...] DIR|RESULT.json",
	.c_help = "a self-contained HTML page of a finished run or a kept failure",
	.c_options = report_options,
	.c_main = report_main,
};
