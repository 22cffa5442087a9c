/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress check: the complete effective profile, and where each value comes from.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/trace.h>

#include "cmd.h"

static const struct cmd_option check_options[] = {
	PROFILE_CMD_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

/* A trace that a run would refuse is refused here too. */
static int
check_traces(const struct profile *p)
{
	for (size_t i = 0; i < p->p_njobs; i++) {
		const struct job *job = p->p_jobs[i];
		const struct workload *wl = job->job_workload;
		const struct option_row *row =
		    option_find(wl->wl_options, wl->wl_noptions, "trace");
		struct trace_error err;
		struct trace *tr;
		char *path;

		if (row == NULL || row->opt_type != OPT_PATH)
			continue;
		path = option_format(row, job->job_options);
		tr = trace_open(path, &err);
		free(path);
		if (tr == NULL)
			return cmd_fail(EXIT_USAGE, "%s: [%s]: %s", job->job_where,
			    job->job_name, err.msg);
		trace_close(tr);
	}
	return EXIT_CLEAN;
}

static int
check_main(const struct command *cmd, int argc, char **argv)
{
	struct overrides ovs = { 0 };
	const struct cmd_option *row;
	struct profile *p;
	const char *arg;
	int c, first, status;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (overrides_take(&ovs, row, arg))
			continue;
		free(ovs.ovs_v);
		return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	}
	status = cmd_load_profile(cmd, argv + first, argc - first, &ovs, false, &p);
	if (status != EXIT_CLEAN)
		return status;
	status = check_traces(p);
	if (status == EXIT_CLEAN) {
		printf("; profile %08x\n", profile_digest(p));
		profile_print(p, stdout, true);
	}
	profile_destroy(p);
	return status;
}

const struct command cmd_check = {
	.c_name = "check",
	.c_synopsis = "[OPTION...] JOBFILE...",
	.c_help = "prints the complete effective profile, runs nothing",
	.c_options = check_options,
	.c_main = check_main,
};
