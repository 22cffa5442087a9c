/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress daemon: the long-running service, in the foreground.
 */
#include <stdlib.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "../daemon/daemon.h"

enum { OPT_CONFIG = 'c', OPT_SET = CMD_NOSHORT, OPT_CHECK };

static const struct cmd_option daemon_options_rows[] = {
	{ OPT_CONFIG, "config", "FILE", "the configuration: one section, [daemon]", NULL },
	{ OPT_SET, "set", "KEY=VALUE", "override one line of it; may be repeated", NULL },
	{ OPT_CHECK, "check", NULL, "check the configuration, print its profiles, run nothing", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static int
daemon_main(const struct command *cmd, int argc, char **argv)
{
	struct daemon_options o = { .do_program = cmd_program };
	const struct cmd_option *row;
	const char *arg, **sets = NULL;
	bool check = false;
	int c, first, status;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD) {
			free(sets);
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		}
		if (c == OPT_CONFIG)
			o.do_config = arg;
		else if (c == OPT_CHECK)
			check = true;
		else {
			sets = xgrow(sets, o.do_nsets, sizeof(*sets));
			sets[o.do_nsets++] = arg;
		}
	}
	o.do_sets = sets;
	o.do_jobs = argv + first;
	o.do_njobs = (size_t)(argc - first);
	status = check ? daemon_check(&o) : daemon_run(&o);
	free(sets);
	return status;
}

const struct command cmd_daemon = {
	.c_name = "daemon",
	.c_synopsis = "[OPTION...] [JOBFILE...]",
	.c_help = "runs profiles for ever in processes of their own, and keeps the results",
	.c_options = daemon_options_rows,
	.c_main = daemon_main,
};
