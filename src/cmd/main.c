/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress: finds the subcommand and calls it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/option.h>

#include "cmd.h"
#include "uvmstress_config.h"

static const struct command *const commands[] = {
	&cmd_run, &cmd_replay, &cmd_minimize, &cmd_audit, &cmd_check, &cmd_list, &cmd_trace, &cmd_bench, &cmd_selftest,
	&cmd_report, &cmd_daemon, &cmd_ctl, NULL,
};

const char *cmd_program = "uvmstress";

static const char *
command_next(const void *ctx, size_t i)
{
	return commands[i] != NULL ? commands[i]->c_name : NULL;
}

static void
help(void)
{
	printf("uvmstress runs a model of NetBSD's UVM, with real fine-grained locks, on simulated\n"
	       "CPUs under load, and checks every byte that comes back.\n\n"
	       "usage: uvmstress COMMAND [OPTION...] [ARGUMENT...]\n\n");
	for (size_t i = 0; commands[i] != NULL; i++)
		printf("  %-8s %s\n", commands[i]->c_name, commands[i]->c_help);
	printf("\n  --help     this, or after a command its own help\n"
	       "  --version  which version this is\n\n"
	       "Exit status: 0 clean, 1 a violation was found, 2 bad usage or input, 3 the host\n"
	       "could not give what was needed, 4 the run proved nothing.\n");
}

static int
dispatch(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "", *near;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		help();
		return EXIT_CLEAN;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("uvmstress %s\n", UVMSTRESS_VERSION);
		return EXIT_CLEAN;
	}
	for (size_t i = 0; commands[i] != NULL; i++)
		if (strcmp(commands[i]->c_name, name) == 0)
			return commands[i]->c_main(commands[i], argc - 1, argv + 1);
	if (argc < 2)
		return cmd_fail(EXIT_USAGE, "no command given; `uvmstress --help` lists them");
	near = nearest_name(name, command_next, NULL);
	if (near != NULL)
		return cmd_fail(EXIT_USAGE, "unknown command '%s'; did you mean '%s'?", name, near);
	return cmd_fail(EXIT_USAGE, "unknown command '%s'; `uvmstress --help` lists them", name);
}

int
main(int argc, char **argv)
{
	int status;

	if (argc > 0)
		cmd_program = argv[0];
	status = dispatch(argc, argv);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		int error = errno != 0 ? errno : EIO;

		return cmd_fail(EXIT_HOST, "cannot write standard output: %s", strerror(error));
	}
	return status;
}
