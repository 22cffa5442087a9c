/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress audit: runs with the full lock audit, and what it saw of the lock order.
 *
 * Each job file is a run of its own on a machine of its own; what they saw is merged, with
 * graphs of earlier runs if those are given.  A run that ends for good (a panic) ends the
 * audit too, with the report on what was seen until then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <harness/lockgraph.h>
#include <harness/xalloc.h>

#include "audit_program.h"
#include "confirm.h"
#include "preload.h"
#include "run.h"

#define CONFIRM	20		/* schedules for each circle, if nothing else is said */
#define CONFIRM_MAX 100000
#define GRAPH_FILE_MAX (INT64_C(256) << 20)

enum { OPT_DOT = CMD_NOSHORT, OPT_JSON, OPT_MERGE, OPT_BASELINE, OPT_EXPORT, OPT_LOCKSTAT, OPT_CONFIRM };

static const struct cmd_option audit_options[] = {
	{ OPT_DOT, "dot", "FILE", "the order as a picture for graphviz; - = standard output", NULL },
	{ OPT_JSON, "json", "FILE", "the lock graph as JSON, for --merge, --baseline and diff", NULL },
	{ OPT_MERGE, "merge", "FILE", "add a graph from an earlier --json; may be repeated", NULL },
	{ OPT_BASELINE, "baseline", "FILE", "fail (1) only on edges and violations that FILE has not",
	    NULL },
	{ OPT_EXPORT, "export", "WHAT", "print the observed order as source: comment, kassert or edges",
	    NULL },
	{ OPT_LOCKSTAT, "lockstat", NULL,
	    "instead of the order: waits and holds by class and by call site", NULL },
	{ OPT_CONFIRM, "confirm", "N",
	    "directed schedules for each circle of locks, until it deadlocks: up to N, 20; 0 = none", NULL },
	RUN_CMD_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct lockgraph_known known_edges[] = {
#define LOCK_EDGE(held, wanted, profiles) { held, wanted, profiles },
#include "lockedge.def"
#undef LOCK_EDGE
	{ NULL, NULL, NULL },
};
#define NKNOWN (sizeof(known_edges) / sizeof(known_edges[0]) - 1)

/* All fields: main thread, but the thread that ends the last run takes over for good. */
struct audit {
	const char *a_dot, *a_json;
	const char *a_export;
	bool a_lockstat;
	uint64_t a_confirm;		/* schedules for each circle */
	struct lockgraph *a_baseline;
	struct lockgraph **a_graphs;	/* of the runs and the files */
	size_t a_ngraphs;
	size_t a_nruns;			/* of which were runs of ours */
	int a_status;			/* of the runs so far */
	bool a_early;			/* a run, or the program, ended before its time */
	bool a_program;			/* it was no run of ours, but a program */
	struct audit_told a_told;	/* of that */
};

/* A violation beats the host's want, which beats a run that proved nothing. */
static int
worse(int a, int b)
{
	static const int badness[] = {
		[EXIT_CLEAN] = 0, [EXIT_VACUOUS] = 1, [EXIT_HOST] = 2, [EXIT_USAGE] = 3,
		[EXIT_VIOLATION] = 4,
	};

	return badness[a] >= badness[b] ? a : b;
}

static void
add_graph(struct audit *a, struct lockgraph *lg)
{
	a->a_graphs = xgrow(a->a_graphs, a->a_ngraphs, sizeof(*a->a_graphs));
	a->a_graphs[a->a_ngraphs++] = lg;
}

/* => NULL: told to the user */
static struct lockgraph *
read_graph(const char *path)
{
	struct lockgraph *lg = NULL;
	char why[600] = "", *bytes;
	FILE *in = fopen(path, "re");
	struct stat st;

	if (in == NULL || fstat(fileno(in), &st) != 0) {
		cmd_fail(EXIT_USAGE, "cannot read %s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > GRAPH_FILE_MAX) {
		cmd_fail(EXIT_USAGE, "cannot read %s: %s", path, S_ISREG(st.st_mode) ?
		    "it is larger than any lock graph" : "it is no regular file");
	} else {
		bytes = xcalloc((size_t)st.st_size + 1, 1);
		lg = lockgraph_read(bytes, fread(bytes, 1, (size_t)st.st_size, in), path, why,
		    sizeof(why));
		if (lg == NULL)
			cmd_fail(EXIT_USAGE, "%s", why);
		free(bytes);
	}
	if (in != NULL)
		fclose(in);
	return lg;
}

/* --- the report --- */

static void
put_piece(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

static void
write_json(const void *lg, FILE *out)
{
	lockgraph_write(lg, put_piece, out);
}

static void
write_dot(const void *lg, FILE *out)
{
	lockgraph_dot(lg, out);
}

/* => the exit status, nothing new to say apart */
static int
write_files(const struct audit *a, const struct lockgraph *lg)
{
	int status = EXIT_CLEAN;
	char why[600];

	if (a->a_dot != NULL && report_write(a->a_dot, write_dot, lg, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	if (a->a_json != NULL && report_write(a->a_json, write_json, lg, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	return status;
}

static enum lockgraph_export
export_of(const char *name)
{
	unsigned i = 0;

	while (lockgraph_exports[i] != NULL && strcmp(lockgraph_exports[i], name) != 0)
		i++;
	return i;
}

/* => EXIT_VIOLATION if there is anything that the baseline has not */
static int
compare(const struct audit *a, const struct lockgraph *lg, FILE *out)
{
	size_t n = lockgraph_baseline(a->a_baseline, lg, out);

	if (a->a_early)
		fprintf(out, "%s ended early: what it would have shown later is not compared with the baseline\n",
		    a->a_program ? "the program" : "the run");
	else if (n == 0)
		fprintf(out, "nothing that the baseline has not\n");
	return n != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
}

/*
 * All that there is to say when the runs are over.
 * => exit status
 */
static int
conclude(struct audit *a, FILE *text, bool quiet, bool verbose)
{
	struct lockgraph *lg;
	char why[600];
	int status = a->a_status, now;

	lg = lockgraph_merge((const struct lockgraph *const *)a->a_graphs, a->a_ngraphs, why,
	    sizeof(why));
	if (lg == NULL)
		return cmd_fail(EXIT_USAGE, "%s", why);
	/* Names take a while to look up, and a program without a finding shows none. */
	if (!a->a_program || lg->lg_nfindings != 0 || verbose || a->a_json != NULL ||
	    a->a_baseline != NULL)
		lockgraph_symbolise(lg);
	if (a->a_told.at_waivers != NULL && audit_program_waive(lg, a->a_told.at_waivers) != EXIT_CLEAN) {
		lockgraph_free(lg);
		return EXIT_USAGE;
	}
	if (a->a_program) {
		now = audit_program_tell(lg, &a->a_told, quiet, verbose);
	} else {
		if (a->a_lockstat)
			lockgraph_lockstat(lg, text);
		else if (!quiet)
			lockgraph_text(lg, known_edges, NKNOWN, text, verbose);
		now = lockgraph_stories(lg, text) != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
	}
	if (a->a_baseline != NULL)
		now = compare(a, lg, text);
	status = worse(status, now);
	fflush(text);
	if (a->a_export != NULL)
		lockgraph_export(lg, export_of(a->a_export), stdout);
	status = worse(status, write_files(a, lg));
	lockgraph_free(lg);
	return status;
}

/* --- the runs --- */

/* => was all that the run complained of the order of locks?  That is judged by the graph. */
static bool
only_locks(const struct run_result *rr)
{
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		if (rr->rr_violations[i].rv_grade == NULL)
			return false;
	for (size_t i = 0; i < rr->rr_nchecks; i++)
		if (rr->rr_checks[i].rch_violations != 0)
			return false;
	return true;
}

static int
after_run(struct run *r, int status, bool fatal)
{
	struct audit *a = r->r_arg;

	if (r->r_result.rr_lockgraph == NULL)
		return cmd_fail(EXIT_USAGE, "the run was not audited: say --audit full, in a build with "
		    "-Dlockdebug=true");
	if (!fatal && a->a_confirm != 0)
		confirm(r, r->r_result.rr_lockgraph, a->a_confirm);
	add_graph(a, r->r_result.rr_lockgraph);
	r->r_result.rr_lockgraph = NULL;
	a->a_nruns++;
	a->a_early = a->a_early || fatal || run_stopped();
	if (status != EXIT_VIOLATION || !only_locks(&r->r_result))
		a->a_status = worse(a->a_status, status);
	return fatal ? conclude(a, r->r_text, r->r_quiet, r->r_verbose) : status;
}

static int
run_all(const struct command *cmd, struct audit *a, struct run *r, char **files, int n)
{
	r->r_after = after_run;
	r->r_arg = a;
	r->r_stdout_taken = a->a_export != NULL || (a->a_json != NULL && strcmp(a->a_json, "-") == 0) ||
	    (a->a_dot != NULL && strcmp(a->a_dot, "-") == 0);
	for (int i = 0; i < n && !run_stopped(); i++) {
		size_t before = a->a_nruns;
		int status = run_files(cmd, r, files + i, 1);

		if (a->a_nruns == before)
			return status;		/* it did not run, and has said why */
	}
	return conclude(a, r->r_stdout_taken ? stderr : stdout, r->r_quiet, r->r_verbose);
}

/* --- options --- */

static int
check_export(const struct command *cmd, const char *name)
{
	if (lockgraph_exports[export_of(name)] != NULL)
		return 0;
	cmd_usage(cmd, "--export %s: must be comment, kassert or edges", name);
	return EINVAL;
}

static int
take_confirm(const struct command *cmd, struct audit *a, const char *arg)
{
	char *end;

	errno = 0;
	a->a_confirm = strtoull(arg, &end, 10);
	if (*arg >= '0' && *arg <= '9' && *end == '\0' && errno == 0 && a->a_confirm <= CONFIRM_MAX)
		return 0;
	cmd_usage(cmd, "--confirm %s: must be a whole number, 0 to %d", arg, CONFIRM_MAX);
	return EINVAL;
}

/* => 0, or an error that was told */
static int
take_option(const struct command *cmd, struct audit *a, int c, const char *arg)
{
	struct lockgraph *lg;

	switch (c) {
	case OPT_DOT:
		a->a_dot = arg;
		return 0;
	case OPT_JSON:
		a->a_json = arg;
		return 0;
	case OPT_LOCKSTAT:
		a->a_lockstat = true;
		return 0;
	case OPT_CONFIRM:
		return take_confirm(cmd, a, arg);
	case OPT_EXPORT:
		a->a_export = arg;
		return check_export(cmd, arg);
	case OPT_BASELINE:
		lockgraph_free(a->a_baseline);
		a->a_baseline = read_graph(arg);
		return a->a_baseline != NULL ? 0 : EINVAL;
	default:
		lg = read_graph(arg);
		if (lg == NULL)
			return EINVAL;
		add_graph(a, lg);
		return 0;
	}
}

/* => CMD_END, CMD_HELP or CMD_BAD */
static int
parse_options(const struct command *cmd, struct audit *a, struct run *r, int argc, char **argv,
    int *first)
{
	const struct cmd_option *row;
	const char *arg;
	bool bad;
	int c;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c;
		if (run_option(cmd, r, row, c, arg, &bad) ? bad : take_option(cmd, a, c, arg) != 0)
			return CMD_BAD;
	}
	return CMD_END;
}

static int
probe(const char *path, const char *outdir)
{
	char why[600];

	if (path != NULL && report_probe(path, outdir, why, sizeof(why)) != 0)
		return cmd_fail(EXIT_HOST, "%s", why);
	return EXIT_CLEAN;
}

/* --- audit diff --- */

static int
diff_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	struct lockgraph *a, *b = NULL;
	const char *arg;
	size_t n = 0;
	int c, first;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END)
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	if (argc - first != 2)
		return cmd_usage(cmd, "two graphs are compared, the old one first");
	a = read_graph(argv[first]);
	if (a != NULL)
		b = read_graph(argv[first + 1]);
	if (b != NULL) {
		lockgraph_symbolise(a);
		lockgraph_symbolise(b);
		n = lockgraph_diff(a, b, stdout);
	}
	c = b == NULL ? EXIT_USAGE : n != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
	lockgraph_free(a);
	lockgraph_free(b);
	return c;
}

static const struct command diff_command = {
	"audit diff", "A.json B.json",
	"what B's lock order has and A's has not (+), and the other way round (-); 1 if it has anything",
	NULL, false, diff_main,
};

/* --- the command --- */

static int
audit_files(const struct command *cmd, struct audit *a, struct run *r, char **files, int n)
{
	int status;

	if (n == 0 && a->a_ngraphs == 0)
		return cmd_usage(cmd, "no job file and no --merge FILE given");
	if (n != 1 && r->r_record != NULL)
		return cmd_usage(cmd, "--record %s: one run is recorded, not %d", r->r_record, n);
	status = probe(a->a_dot, r->r_out);
	if (status == EXIT_CLEAN)
		status = probe(a->a_json, r->r_out);
	return status == EXIT_CLEAN ? run_all(cmd, a, r, files, n) : status;
}

static void
take_graph(void *arg, struct lockgraph *lg)
{
	add_graph(arg, lg);
}

/* => exit status; what concerns machines has no say here */
static int
audit_program(const struct command *cmd, struct audit *a, struct run *r, char **argv)
{
	struct lockgraph empty = { .lg_nfindings = 0 };
	unsigned flags = 0;
	int status;

	if (argv[0] == NULL)
		return cmd_usage(cmd, "no command after --");
	for (size_t i = 0; i < r->r_overrides.ovs_n; i++) {
		const char *option = r->r_overrides.ovs_v[i].ov_option;

		if (strcmp(option, "audit-stop") == 0)
			flags |= PRELOAD_STOP;
		else if (strcmp(option, "waivers") == 0)
			a->a_told.at_waivers = r->r_overrides.ovs_v[i].ov_value;
		else if (strcmp(option, "audit") != 0)
			return cmd_usage(cmd, "--%s is about simulated machines, not about a command after --",
			    option);
	}
	status = probe(a->a_dot, r->r_out);
	if (status == EXIT_CLEAN)
		status = probe(a->a_json, r->r_out);
	if (status == EXIT_CLEAN && a->a_told.at_waivers != NULL)
		status = audit_program_waive(&empty, a->a_told.at_waivers);	/* sooner than at the end */
	if (status == EXIT_CLEAN)
		status = audit_program_run(argv, flags, &a->a_told, take_graph, a);
	if (status != EXIT_CLEAN)
		return status;
	a->a_program = true;
	a->a_early = a->a_told.at_early;
	return conclude(a, stderr, r->r_quiet, r->r_verbose);
}

static int
audit_main(const struct command *cmd, int argc, char **argv)
{
	struct audit a = { .a_status = EXIT_CLEAN, .a_confirm = CONFIRM };
	struct run r;
	int c, first, status;

	if (argc > 1 && strcmp(argv[1], "diff") == 0)
		return diff_main(&diff_command, argc - 1, argv + 1);
	run_init(&r, argc, argv);
	overrides_add(&r.r_overrides, "audit", "full");
	c = parse_options(cmd, &a, &r, argc, argv, &first);
	if (c == CMD_END && strcmp(argv[first - 1], "--") == 0)
		status = audit_program(cmd, &a, &r, argv + first);
	else if (c == CMD_END)
		status = audit_files(cmd, &a, &r, argv + first, argc - first);
	else
		status = c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	for (size_t i = 0; i < a.a_ngraphs; i++)
		lockgraph_free(a.a_graphs[i]);
	free(a.a_graphs);
	lockgraph_free(a.a_baseline);
	audit_told_fini(&a.a_told);
	run_fini(&r);
	return status;
}

const struct command cmd_audit = {
	.c_name = "audit",
	.c_synopsis = "[OPTION...] JOBFILE... | [OPTION...] -- CMD [ARG...] | [OPTION...] --merge FILE... | "
	    "diff A.json B.json",
	.c_help = "runs with the full lock audit, then the lock order that was seen",
	.c_options = audit_options,
	.c_main = audit_main,
};
