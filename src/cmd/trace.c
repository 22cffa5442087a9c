/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress trace: recording real programs, and looking at recordings.
 */
#include <string.h>

#include <harness/option.h>
#include <harness/trace.h>

#include "cmd.h"

static const struct cmd_option record_options[] = {
	{ 'o', "output", "FILE", "the trace to write", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static int
record_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	const char *arg, *out = NULL;
	struct trace_error err;
	int c, first, status;
	bool host;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		out = arg;
	}
	if (out == NULL)
		return cmd_usage(cmd, "no -o FILE given");
	if (first == argc)
		return cmd_usage(cmd, "no command to record given");
	status = trace_record(out, argv + first, &host, &err);
	if (status < 0)
		return cmd_fail(host ? EXIT_HOST : EXIT_USAGE, "%s", err.msg);
	if (status != 0)
		fprintf(stderr, "uvmstress: %s ended with status %d; its trace is in %s\n",
		    argv[first], status, out);
	return EXIT_CLEAN;
}

static int
info_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	struct trace_error err;
	struct trace *tr;
	const char *arg;
	int c, first;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END)
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	if (first == argc)
		return cmd_usage(cmd, "no trace given");
	for (; first < argc; first++) {
		tr = trace_open(argv[first], &err);
		if (tr == NULL)
			return cmd_fail(EXIT_USAGE, "%s", err.msg);
		trace_info_print(tr, stdout);
		trace_close(tr);
	}
	return EXIT_CLEAN;
}

static const struct command verbs[] = {
	{ "trace record", "-o FILE [--] COMMAND [ARGUMENT...]",
	    "records a real program's memory operations and page references", record_options,
	    true, record_main },
	{ "trace info", "FILE...", "what a trace holds", NULL, false, info_main },
};
#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

static const char *
verb_name(const struct command *verb)
{
	return strchr(verb->c_name, ' ') + 1;
}

static const char *
verb_next(const void *ctx, size_t i)
{
	return i < NVERBS ? verb_name(&verbs[i]) : NULL;
}

static int
trace_main(const struct command *cmd, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "", *near;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		for (size_t i = 0; i < NVERBS; i++)
			printf("%s uvmstress %s %s\n           %s\n", i == 0 ? "usage:" : "      ",
			    verbs[i].c_name, verbs[i].c_synopsis, verbs[i].c_help);
		return EXIT_CLEAN;
	}
	for (size_t i = 0; i < NVERBS; i++)
		if (strcmp(verb_name(&verbs[i]), name) == 0)
			return verbs[i].c_main(&verbs[i], argc - 1, argv + 1);
	near = nearest_name(name, verb_next, NULL);
	if (near != NULL)
		return cmd_usage(cmd, "no such verb '%s'; did you mean '%s'?", name, near);
	return cmd_usage(cmd, "'%s' is no verb; there are record and info", name);
}

const struct command cmd_trace = {
	.c_name = "trace",
	.c_synopsis = "record|info ...",
	.c_help = "records what a real program does to its memory; shows what a trace holds",
	.c_main = trace_main,
};
