/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress run: the main job.
 *
 * Results go to standard output, progress and complaints to standard error.  When the JSON
 * or the status goes to standard output, it has that for itself and the text moves over.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <harness/engine.h>
#include <harness/xalloc.h>

#include "run.h"

enum { OPT_JSON = CMD_NOSHORT, OPT_STATUS = CMD_NOSHORT + 80, OPT_OUT, OPT_INTERVAL, OPT_RECORD, OPT_TRACE };

static const struct cmd_option run_options_rows[] = {
	RUN_CMD_OPTIONS,
	{ OPT_JSON, "json", "FILE", "the result as one JSON object; - = standard output", NULL },
	{ OPT_TRACE, "trace-events", "FILE", "what happened last as a timeline, for ui.perfetto.dev", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static atomic_int stop_requested;	/* set by the signal handler, read by the engine, relaxed */
static time_t stop_since;		/* the handler's own: when that was, monotonic, s */

/* timeout(1) signals the process and then its group, a terminal's user does it once: that is one. */
static void
on_signal(int sig)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (atomic_load_explicit(&stop_requested, memory_order_relaxed) == 0) {
		stop_since = now.tv_sec;
		atomic_store_explicit(&stop_requested, sig, memory_order_relaxed);
	} else if (now.tv_sec > stop_since + 1) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

static void
on_usr1(int sig)
{
	engine_check_now();
}

/* The first signal ends the run cleanly; one that comes later, the default way.  SIGUSR1: a check, now. */
void
run_catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGINT);
	sigaddset(&sa.sa_mask, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = on_usr1;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, NULL);
}

/* Quote a word for the shell when it needs it. */
static void
quote(FILE *out, const char *word)
{
	if (*word != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_./=:,+@%") == strlen(word)) {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}

/* => is the word an option that says where results go, and so does not belong to the run? */
static bool
is_output(const char *word, bool *takes_next)
{
	static const char *const outputs[] = { "--json", "--trace-events", "--status-json", "--status-interval", "--out",
		"--record" };

	*takes_next = false;
	for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		const size_t len = strlen(outputs[i]);

		*takes_next = strcmp(word, outputs[i]) == 0;
		if (*takes_next || (strncmp(word, outputs[i], len) == 0 && word[len] == '='))
			return true;
	}
	return strcmp(word, "--quiet") == 0 || strcmp(word, "-q") == 0;
}

/*
 * => what was typed, in fresh memory; the seed is still to follow.  To repeat a run is not to
 *    overwrite its results, so where they went is left out.
 */
static char *
command_line(int argc, char **argv)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	quote(out, cmd_program);
	for (int i = 0; i < argc; i++) {
		bool takes_next;

		if (is_output(argv[i], &takes_next)) {
			i += takes_next;
			continue;
		}
		fputc(' ', out);
		quote(out, argv[i]);
	}
	fclose(out);
	return xcheck(text);
}

static int
parse_interval(const struct command *cmd, struct run *r, const char *arg)
{
	static const struct option_row row = { "status-interval", OPT_DURATION, 0, 0,
		UINT64_C(86400) * 1000000000, NULL, NULL, NULL, "" };
	char why[200];

	if (option_parse(&row, &r->r_interval, arg, "", why, sizeof(why)) == 0)
		return 0;
	cmd_usage(cmd, "--status-interval %s: %s", arg, why);
	return EINVAL;
}

bool
run_option(const struct command *cmd, struct run *r, const struct cmd_option *row, int c,
    const char *arg, bool *bad)
{
	*bad = false;
	if (overrides_take(&r->r_overrides, row, arg))
		return true;
	if (c == OPT_STATUS)
		r->r_status = arg;
	else if (c == OPT_OUT)
		r->r_out = arg;
	else if (c == OPT_RECORD)
		r->r_record = arg;
	else if (c == 'q')
		r->r_quiet = true;
	else if (c == 'v')
		r->r_verbose = true;
	else if (c == OPT_INTERVAL)
		*bad = parse_interval(cmd, r, arg) != 0;
	else
		return false;
	return true;
}

/* => CMD_END, CMD_HELP or CMD_BAD */
static int
parse_options(const struct command *cmd, struct run *r, int argc, char **argv, int *first)
{
	const struct cmd_option *row;
	const char *arg;
	bool bad;
	int c;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c;
		if (run_option(cmd, r, row, c, arg, &bad)) {
			if (bad)
				return CMD_BAD;
		} else if (c == OPT_JSON)
			r->r_json = arg;
		else {			/* faults that went well have an end then, too */
			r->r_trace = arg;
			overrides_add(&r->r_overrides, "history-detail", "on");
		}
	}
	return CMD_END;
}

char *
run_profile_text(const struct profile *p)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	profile_print(p, out, false);
	fclose(out);
	return xcheck(text);
}

/* What the engine leaves to us; before the run, so that a fatal end has it too. */
void
run_header(struct run *r)
{
	const struct machine_settings *ms = &r->r_profile->p_machine;
	struct run_result *rr = &r->r_result;
	const struct option_row *row = option_find(machine_options, machine_noptions, "schedule");
	bool chosen = false;

	run_result_init(rr);
	rr->rr_seed = ms->ms_seed;
	rr->rr_schedule = option_format(row, ms);
	rr->rr_cpus = ms->ms_cpus;
	rr->rr_memory = ms->ms_memory;
	rr->rr_swap = ms->ms_swap;
	rr->rr_iterations = 1;
	rr->rr_digest = profile_digest(r->r_profile);
	rr->rr_profile = run_profile_text(r->r_profile);
	for (const struct setting *s = r->r_profile->p_settings; s != NULL; s = s->set_next)
		chosen |= strcmp(s->set_where, "chosen") == 0;
	rr->rr_command = chosen ?
	    xasprintf("%s --seed %ju", r->r_command, (uintmax_t)ms->ms_seed) :
	    xstrdup(r->r_command);
}

static int
open_outputs(struct run *r)
{
	char why[600];
	r->r_stdout_taken |= (r->r_json != NULL && strcmp(r->r_json, "-") == 0) ||
	    (r->r_status != NULL && strcmp(r->r_status, "-") == 0) ||
	    (r->r_trace != NULL && strcmp(r->r_trace, "-") == 0);
	r->r_text = r->r_stdout_taken ? stderr : stdout;
	if (report_probe(r->r_json, r->r_out, why, sizeof(why)) != 0 ||
	    report_probe(r->r_trace, r->r_out, why, sizeof(why)) != 0)
		return cmd_fail(EXIT_HOST, "%s", why);
	if (r->r_record != NULL && report_probe(NULL, r->r_record, why, sizeof(why)) != 0)
		return cmd_fail(EXIT_HOST, "%s", why);
	report_killed(r->r_out, stderr);
	if (r->r_status != NULL) {
		r->r_progress.pg_status = strcmp(r->r_status, "-") == 0 ? stdout :
		    fopen(r->r_status, "we");
		if (r->r_progress.pg_status == NULL)
			return cmd_fail(EXIT_HOST, "cannot write %s: %s", r->r_status,
			    strerror(errno));
	}
	r->r_progress.pg_terminal = isatty(STDERR_FILENO) != 0;
	if (!r->r_quiet)
		r->r_progress.pg_out = stderr;
	if (r->r_interval == UINT64_MAX)
		r->r_interval = UINT64_C(1000000000) * (r->r_progress.pg_terminal ? 1 : 10);
	if (r->r_progress.pg_out == NULL && r->r_progress.pg_status == NULL)
		r->r_interval = 0;
	return EXIT_CLEAN;
}

/*
 * Everything that is to be told when a run is over.
 * => the exit status; fatal: the process ends with it
 */
int
run_conclude(struct run *r, bool fatal)
{
	struct run_result *rr = &r->r_result;
	struct lockgraph *lg;
	char why[600];
	int status;

	result_judge(rr);
	status = result_exit_status(rr);
	progress_end(&r->r_progress, rr);
	/* what many executions found is kept already */
	if (rr->rr_outcome == RUN_VIOLATION && r->r_follow == NULL &&
	    rr->rr_violations[0].rv_dir == NULL &&
	    report_failure(rr, r->r_out, &r->r_dir, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	if (r->r_record != NULL && report_record(rr, r->r_record, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	if (fatal)
		report_end(&r->r_begun);
	report_last_told();
	lg = rr->rr_lockgraph;
	if (r->r_after != NULL)		/* which tells the graph's stories */
		rr->rr_lockgraph = NULL;
	if (!r->r_quiet)
		report_text(rr, r->r_text, r->r_verbose);
	else
		report_violations(rr, r->r_text);
	rr->rr_lockgraph = lg;
	if (!r->r_quiet || status != EXIT_CLEAN)
		report_sentence(rr, r->r_text, true);
	fflush(r->r_text);
	if (r->r_json != NULL && report_json_file(rr, r->r_json, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	if (r->r_trace != NULL && report_timeline_file(&r->r_timeline, r->r_trace, why, sizeof(why)) != 0)
		status = cmd_fail(EXIT_HOST, "%s", why);
	if (r->r_progress.pg_failed)
		status = cmd_fail(EXIT_HOST, "cannot write %s", r->r_status);
	if (r->r_follow != NULL)
		status = replay_verdict(r, status);
	return r->r_after != NULL ? r->r_after(r, status, fatal) : status;
}

static void
on_progress(void *arg, const struct run_progress *rp)
{
	struct run *r = arg;

	progress_show(&r->r_progress, rp);
}

/* Something was found, and the run goes on: it may be long, and may not end by itself. */
static void
on_violation(void *arg, struct run_result *rr, size_t first)
{
	struct run *r = arg;
	char why[600];

	if (r->r_follow != NULL)		/* told at the end, and kept long ago */
		return;
	progress_wipe(&r->r_progress);
	report_found(rr, first, stderr);
	fflush(stderr);
	if (report_failure(rr, r->r_out, &r->r_dir, why, sizeof(why)) != 0)
		cmd_fail(EXIT_HOST, "%s", why);
	else
		fprintf(stderr, "    kept in %s; repeat with: %s\n", r->r_dir, rr->rr_command);
	fflush(stderr);
}

/*
 * The machine cannot go on.  Other threads still run or hang, so leave without
 * destructors; what was written so far is flushed.
 */
static void
on_fatal(void *arg, struct run_result *rr)
{
	struct run *r = arg;
	int status = run_conclude(r, true);

	fflush(NULL);
	syscall(SYS_exit_group, status);	/* in _exit() ThreadSanitizer counts the threads that are left */
	abort();
}

/* Counters that the jobs' workloads need to have moved. */
static void
require_counters(struct run *r)
{
	for (size_t i = 0; i < r->r_profile->p_njobs; i++) {
		const struct job *job = r->r_profile->p_jobs[i];
		const char *const *name = job->job_workload->wl_required;

		for (; name != NULL && *name != NULL; name++)
			result_require(&r->r_result, *name, job->job_name);
	}
}

void
run_last(void *arg, const char *kind, const char *message, void (*more)(int fd, void *marg),
    void *marg)
{
	report_last_words(kind, message, more, marg);
}

/* => can what was asked for be done together? */
static int
refuse(const struct run *r)
{
	const struct machine_settings *ms = &r->r_profile->p_machine;

	if (r->r_after != NULL && ms->ms_iterations > 1)
		return cmd_fail(EXIT_USAGE, "--iterations %ju: one execution at a time is audited; leave it "
		    "out, or say `uvmstress run`", (uintmax_t)ms->ms_iterations);
	if (r->r_record != NULL && (ms->ms_schedule == SCHED_FREE || ms->ms_iterations > 1))
		return cmd_fail(EXIT_USAGE, "--record %s: only one execution with a controlled schedule can be "
		    "replayed; %s", r->r_record, ms->ms_schedule == SCHED_FREE ?
		    "say --schedule mix, random, pos or pct" : "leave --iterations out");
	return EXIT_CLEAN;
}

/* => what a controlled run needs to be repeated is on the disk */
static int
begin(struct run *r)
{
	char why[600];

	if (r->r_profile->p_machine.ms_schedule == SCHED_FREE || r->r_follow != NULL ||
	    report_begin(&r->r_begun, &r->r_result, r->r_out, why, sizeof(why)) == 0)
		return EXIT_CLEAN;
	return cmd_fail(EXIT_HOST, "%s", why);
}

static int
execute(struct run *r)
{
	const struct run_options ro = {
		.ro_status_interval = r->r_interval,
		.ro_progress = on_progress,
		.ro_violation = on_violation,
		.ro_fatal = on_fatal,
		.ro_last = run_last,
		.ro_arg = r,
		.ro_stop = &stop_requested,
		.ro_follow = r->r_follow,
		.ro_timeline = r->r_trace != NULL ? &r->r_timeline : NULL,
		.ro_record = r->r_record != NULL,
		.ro_stopped = r->r_stopped,
		.ro_stop_at = r->r_stop_at,
	};
	int error = refuse(r);

	if (error == EXIT_CLEAN)
		error = begin(r);
	if (error != EXIT_CLEAN)
		return error;

	if (r->r_verbose)
		fprintf(r->r_text, "%s", r->r_result.rr_profile);
	if (!r->r_quiet)
		report_sentence(&r->r_result, r->r_text, false);
	fflush(r->r_text);
	run_catch_signals();
	if (r->r_profile->p_machine.ms_iterations > 1)
		return r->r_trace == NULL ? iterate(r) :
		    cmd_fail(EXIT_USAGE, "--trace-events shows one run: leave --iterations out, and give its seed");
	report_last_prepare(&r->r_result, r->r_out);
	error = engine_run(r->r_profile, &ro, &r->r_result);
	if (error != 0) {
		progress_wipe(&r->r_progress);
		return cmd_fail(error == EINVAL ? EXIT_USAGE : EXIT_HOST, "%s",
		    r->r_result.rr_error != NULL ? r->r_result.rr_error : strerror(error));
	}
	require_counters(r);
	return run_conclude(r, false);
}

void
run_init(struct run *r, int argc, char **argv)
{
	memset(r, 0, sizeof(*r));
	r->r_out = "uvmstress-out";
	r->r_interval = UINT64_MAX;
	r->r_command = command_line(argc, argv);
}

void
run_fini(struct run *r)
{
	free(r->r_overrides.ovs_v);
	free(r->r_command);
}

/* => a copy, for cmd_load_profile() to free */
static struct overrides
overrides_copy(const struct overrides *ovs)
{
	struct overrides copy = { .ovs_n = ovs->ovs_n };

	copy.ovs_v = xcalloc(ovs->ovs_n + 1, sizeof(*copy.ovs_v));
	if (ovs->ovs_n != 0)
		memcpy(copy.ovs_v, ovs->ovs_v, ovs->ovs_n * sizeof(*copy.ovs_v));
	return copy;
}

int
run_files(const struct command *cmd, struct run *r, char **files, int nfiles)
{
	struct overrides ovs = overrides_copy(&r->r_overrides);
	int status = cmd_load_profile(cmd, files, nfiles, &ovs, true, &r->r_profile);

	if (status != EXIT_CLEAN)
		return status;
	memset(&r->r_progress, 0, sizeof(r->r_progress));
	run_header(r);
	status = open_outputs(r);
	if (status == EXIT_CLEAN)
		status = execute(r);
	report_end(&r->r_begun);
	if (r->r_progress.pg_status != NULL && r->r_progress.pg_status != stdout &&
	    fclose(r->r_progress.pg_status) != 0)
		status = cmd_fail(EXIT_HOST, "cannot write %s: %s", r->r_status, strerror(errno));
	run_result_fini(&r->r_result);
	timeline_fini(&r->r_timeline);
	free(r->r_dir);
	r->r_dir = NULL;
	profile_destroy(r->r_profile);
	return status;
}

bool
run_stopped(void)
{
	return atomic_load_explicit(&stop_requested, memory_order_relaxed) != 0;
}

static int
run_main(const struct command *cmd, int argc, char **argv)
{
	struct run r;
	int c, first, status;

	run_init(&r, argc, argv);
	c = parse_options(cmd, &r, argc, argv, &first);
	if (c == CMD_END)
		status = run_files(cmd, &r, argv + first, argc - first);
	else
		status = c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	run_fini(&r);
	return status;
}

const struct command cmd_run = {
	.c_name = "run",
	.c_synopsis = "[OPTION...] JOBFILE...",
	.c_help = "runs workload profiles on one simulated machine",
	.c_options = run_options_rows,
	.c_main = run_main,
};
