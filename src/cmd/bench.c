/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress bench: figures, each beside what else this machine reached in the same call.
 */
#include <errno.h>
#include <string.h>

#include <harness/bench.h>

#include "cmd.h"

static const struct {
	const char *b_name;
	int (*b_run)(const struct bench_options *, struct bench_table *);
} benches[] = {
	{ "fault", bench_fault },
	{ "scale", bench_scale },
	{ "map", bench_map },
	{ "fork", bench_fork },
	{ "swap", bench_swap },
	{ "file", bench_file },
	{ "kernel-memory", bench_kmem },
	{ "data-movement", bench_move },
	{ "memory", bench_memory },
	{ "pagedaemon", bench_pagedaemon },
	{ "audit", bench_audit },
	{ "interrupts", bench_intr },
	{ "check", bench_check },
	{ "schedule", bench_sched },
};
#define NBENCHES (sizeof(benches) / sizeof(benches[0]))

enum { OPT_QUICK = CMD_NOSHORT, OPT_JSON, OPT_TSAN };

static const struct cmd_option bench_options_rows[] = {
	{ OPT_QUICK, "quick", NULL, "less of everything, in a minute: for a first look", NULL },
	{ OPT_JSON, "json", "FILE", "the table as one JSON object; - = standard output", NULL },
	{ OPT_TSAN, "tsan", "PROGRAM", "audit: an uvmstress built with ThreadSanitizer, to be beside", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const char *
bench_next(const void *ctx, size_t i)
{
	return i < NBENCHES ? benches[i].b_name : NULL;
}

static bool
wanted(char **names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return n == 0;
}

static int
check_names(const struct command *cmd, char **names, int n)
{
	for (int i = 0; i < n; i++) {
		const char *near = nearest_name(names[i], bench_next, NULL);
		size_t b = 0;

		while (b < NBENCHES && strcmp(benches[b].b_name, names[i]) != 0)
			b++;
		if (b < NBENCHES)
			continue;
		if (near != NULL)
			return cmd_usage(cmd, "no benchmark '%s'; did you mean '%s'?", names[i], near);
		return cmd_usage(cmd, "no benchmark '%s'; there are fault, scale, map, fork, swap, file, "
		    "kernel-memory, data-movement, memory, pagedaemon, audit, interrupts, check, schedule",
		    names[i]);
	}
	return EXIT_CLEAN;
}

/* => what the host refused is a row, too; the others go on */
static int
run_bench(size_t b, const struct bench_options *bo, struct bench_table *bt)
{
	const size_t before = bt->bt_nrows;
	const int error = benches[b].b_run(bo, bt);

	if (error != 0)
		bench_missing(bt, "the rest", strerror(error));
	for (size_t i = before; i < bt->bt_nrows; i++)
		bt->bt_rows[i].br_group = benches[b].b_name;
	return error;
}

static int
write_table(const struct bench_table *bt, const char *json)
{
	FILE *out = stdout;

	if (json == NULL || strcmp(json, "-") != 0)
		report_bench_text(bt, stdout);
	if (json == NULL)
		return EXIT_CLEAN;
	if (strcmp(json, "-") != 0)
		out = fopen(json, "we");
	if (out == NULL)
		return cmd_fail(EXIT_HOST, "cannot write %s: %s", json, strerror(errno));
	report_bench_json(bt, out);
	if (out != stdout && fclose(out) != 0)
		return cmd_fail(EXIT_HOST, "cannot write %s: %s", json, strerror(errno));
	return EXIT_CLEAN;
}

static int
bench_main(const struct command *cmd, int argc, char **argv)
{
	struct bench_options bo = { 0 };
	const struct cmd_option *row;
	const char *arg, *json = NULL;
	struct bench_table bt;
	int c, first, status, error = 0;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		if (c == OPT_QUICK)
			bo.bo_quick = true;
		else if (c == OPT_TSAN)
			bo.bo_tsan = arg;
		else if (c == OPT_JSON)
			json = arg;
	}
	status = check_names(cmd, argv + first, argc - first);
	if (status != EXIT_CLEAN)
		return status;
	bench_table_init(&bt);
	for (size_t i = 0; i < NBENCHES; i++)
		if (wanted(argv + first, argc - first, benches[i].b_name)) {
			int e = run_bench(i, &bo, &bt);

			error = error != 0 ? error : e;
		}
	status = write_table(&bt, json);
	if (error != 0)
		status = cmd_fail(EXIT_HOST, "bench: %s", strerror(error));
	bench_table_fini(&bt);
	return status;
}

const struct command cmd_bench = {
	.c_name = "bench",
	.c_synopsis = "[OPTION...] [NAME...]",
	.c_help = "the performance table, each figure beside its reference",
	.c_options = bench_options_rows,
	.c_main = bench_main,
};
