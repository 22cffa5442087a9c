/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress replay DIR: a recorded run once more, event by event.
 *
 * DIR has the profile as it was run and the recording of its schedule.  The machine is built anew and
 * follows the recording; at the end the hash of all events is held against the recorded one.
 * The same build does the same, wherever it runs; another build would not, and is refused.
 *
 * --times N: each replay in a process of its own, and nothing is told but how many were as recorded.
 * --stop-at EVENT: on the thread that does it, with all others where they are.  Under a debugger that is a
 * SIGTRAP, after which the replay can go on; without one, the machine is shown and the replay ends.
 * --gdb: this command again, under gdb.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/engine.h>
#include <harness/xalloc.h>

#include "run.h"

#define TIMES_MAX	1000000

enum { OPT_JSON = CMD_NOSHORT, OPT_OTHER, OPT_TIMES, OPT_STOP, OPT_GDB };

static const struct cmd_option replay_options[] = {
	{ OPT_JSON, "json", "FILE", "the result as one JSON object; - = standard output", NULL },
	{ OPT_OTHER, "other-build", NULL, "replay what another build recorded, as far as it goes", NULL },
	{ OPT_TIMES, "times", "N", "so often, and say how many gave the recorded event hash", NULL },
	{ OPT_STOP, "stop-at", "EVENT", "show the machine at that event, or trap to the debugger", NULL },
	{ OPT_GDB, "gdb", NULL, "under gdb, to stop at that event, or at the last", NULL },
	{ 'q', "quiet", NULL, "print only what went wrong", NULL },
	{ 'v', "verbose", NULL, "print the profile, every counter and every lock class too", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

/* What is wanted of a replay.  Main thread; stable while it runs. */
struct replay {
	struct recording rp_rec;
	char *rp_profile;
	bool rp_other, rp_gdb, rp_stop;
	uint64_t rp_stop_at, rp_times;	/* times: 0: once, as it was */
};

/* => it did what it was to do */
static bool
as_recorded(const struct run *r)
{
	const struct run_result *rr = &r->r_result;

	return rr->rr_event_hash != NULL && strcmp(rr->rr_event_hash, r->r_follow->rec_hash) == 0 &&
	    rr->rr_sched.rs_diverged == NULL;
}

int
replay_verdict(struct run *r, int status)
{
	const struct run_result *rr = &r->r_result;
	const struct recording *rec = r->r_follow;

	if (rr->rr_interrupted)
		return status;
	if (as_recorded(r)) {
		if (!r->r_quiet)
			fprintf(r->r_text, "replayed: %ju points, event hash %s, as recorded\n",
			    (uintmax_t)rr->rr_sched.rs_points, rr->rr_event_hash);
		return status;
	}
	return cmd_fail(EXIT_VIOLATION, "the replay left its recording: %s; event hash %s, recorded %s",
	    rr->rr_sched.rs_diverged != NULL ? rr->rr_sched.rs_diverged : "after its last switch",
	    rr->rr_event_hash != NULL ? rr->rr_event_hash : "none", rec->rec_hash);
}

int
replay_load(const char *dir, struct recording *rec, bool other)
{
	char *path = xasprintf("%s/schedule", dir), *build = engine_build();
	char why[600];
	int status = EXIT_CLEAN;

	if (recording_read(path, rec, why, sizeof(why)) != 0) {
		status = cmd_fail(EXIT_USAGE, "%s", why);
	} else if (!other && strcmp(rec->rec_build, build) != 0) {
		status = cmd_fail(EXIT_USAGE, "%s: recorded by another build (%s, this one is %s), which may "
		    "do other things; build that one, or say --other-build", path, rec->rec_build, build);
		recording_free(rec);
	}
	free(path);
	free(build);
	return status;
}

/* --- stop at an event --- */

/* => a debugger has this process */
static bool
traced(void)
{
	FILE *in = fopen("/proc/self/status", "re");
	char line[200];
	int tracer = 0;

	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	if (in != NULL)
		fclose(in);
	return tracer != 0;
}

static void
on_stopped(void *arg, uint64_t event, const char *text, void (*show)(FILE *))
{
	struct run *r = arg;

	if (traced()) {
		fprintf(stderr, "uvmstress: at event %ju: %s\n", (uintmax_t)event, text);
		raise(SIGTRAP);
		return;
	}
	fprintf(r->r_text, "stopped at event %ju: %s\n", (uintmax_t)event, text);
	show(r->r_text);
	fflush(r->r_text);
	_exit(EXIT_CLEAN);
}

/* => the exit status, if gdb does not take over */
static int
under_gdb(const struct replay *rp, const char *dir)
{
	char stop[24], self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *words[] = { (char *)"gdb", (char *)"-q", (char *)"-iex", (char *)"set debuginfod enabled off",
		(char *)"-ex", (char *)"run", (char *)"--args", self, (char *)"replay", (char *)"--stop-at",
		stop, (char *)dir, (char *)(rp->rp_other ? "--other-build" : NULL), NULL };

	if (len < 0)
		return cmd_fail(EXIT_HOST, "--gdb: cannot find this program: %s", strerror(errno));
	self[len] = '\0';
	snprintf(stop, sizeof(stop), "%ju", (uintmax_t)rp->rp_stop_at);
	fflush(NULL);
	execvp(words[0], words);
	return cmd_fail(EXIT_HOST, "--gdb: cannot run gdb: %s; install it, or leave --gdb out", strerror(errno));
}

/* --- many times --- */

static int
same_or_not(struct run *r, int status, bool fatal)
{
	return status <= EXIT_VIOLATION || status == EXIT_VACUOUS ?
	    as_recorded(r) ? EXIT_CLEAN : EXIT_VIOLATION : status;
}

/* What a replay complained of itself; what it found was told when it was recorded. */
static void
tell_own(FILE *in)
{
	char *line = NULL;
	size_t room = 0;

	rewind(in);
	while (getline(&line, &room, in) > 0)
		if (strncmp(line, "uvmstress: ", 11) == 0)
			fputs(line, stderr);
	free(line);
}

/* => in a process of its own: EXIT_CLEAN, as recorded; EXIT_VIOLATION, not so; or why it did not run */
static int
replay_beside(const struct command *cmd, struct run *r, struct replay *rp)
{
	FILE *said = xcheck(tmpfile());
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return cmd_fail(EXIT_HOST, "cannot start a process: %s", strerror(errno));
	if (pid == 0) {
		if (dup2(fileno(said), STDERR_FILENO) < 0 || freopen("/dev/null", "we", stdout) == NULL)
			_exit(cmd_fail(EXIT_HOST, "cannot write /dev/null: %s", strerror(errno)));
		r->r_quiet = true;
		r->r_after = same_or_not;
		status = run_files(cmd, r, &rp->rp_profile, 1);
		fflush(NULL);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cmd_fail(EXIT_HOST, "cannot wait for a process: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_CLEAN)
		tell_own(said);
	fclose(said);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    cmd_fail(EXIT_VIOLATION, "a replay ended by signal %d", WTERMSIG(status));
}

static int
replay_often(const struct command *cmd, struct run *r, struct replay *rp)
{
	uint64_t same = 0;

	for (uint64_t i = 0; i < rp->rp_times; i++) {
		const int status = replay_beside(cmd, r, rp);

		if (status > EXIT_VIOLATION)
			return status;
		same += status == EXIT_CLEAN;
	}
	printf("%ju of %ju replays gave event hash %s, as recorded\n", (uintmax_t)same,
	    (uintmax_t)rp->rp_times, rp->rp_rec.rec_hash);
	return same == rp->rp_times ? EXIT_CLEAN : EXIT_VIOLATION;
}

/* --- the command --- */

static int
replay_once(const struct command *cmd, struct run *r, struct replay *rp)
{
	int status;

	if (rp->rp_stop) {
		r->r_stopped = on_stopped;
		r->r_stop_at = rp->rp_stop_at;
	}
	status = run_files(cmd, r, &rp->rp_profile, 1);
	if (rp->rp_stop && !traced())
		return cmd_fail(EXIT_VIOLATION, "the replay ended before event %ju", (uintmax_t)rp->rp_stop_at);
	return status;
}

/* => the recording is loaded */
static int
replay(const struct command *cmd, struct run *r, struct replay *rp, const char *dir)
{
	const struct recording *rec = &rp->rp_rec;
	char seed[24];

	if (rp->rp_stop && rp->rp_stop_at >= rec->rec_events)
		return cmd_fail(EXIT_USAGE, "--stop-at %ju: %s has the events 0 to %ju", (uintmax_t)rp->rp_stop_at,
		    dir, (uintmax_t)rec->rec_events - 1);
	if (!rp->rp_stop)
		rp->rp_stop_at = rec->rec_events - 1;
	if (rp->rp_gdb)
		return under_gdb(rp, dir);
	snprintf(seed, sizeof(seed), "%ju", (uintmax_t)rec->rec_seed);
	overrides_add(&r->r_overrides, "seed", seed);
	overrides_add(&r->r_overrides, "iterations", "1");
	r->r_follow = rec;
	return rp->rp_times != 0 ? replay_often(cmd, r, rp) : replay_once(cmd, r, rp);
}

/* => a whole number from min on; or told, and false */
static bool
whole(const struct command *cmd, const char *option, const char *arg, uint64_t min, uint64_t max,
    uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(arg, &end, 10);
	if (*arg >= '0' && *arg <= '9' && *end == '\0' && errno == 0 && *out >= min && *out <= max)
		return true;
	cmd_usage(cmd, "--%s %s: must be a whole number, %ju to %ju", option, arg, (uintmax_t)min,
	    (uintmax_t)max);
	return false;
}

/* => CMD_END, CMD_HELP or CMD_BAD */
static int
parse(const struct command *cmd, struct run *r, struct replay *rp, int argc, char **argv, int *first)
{
	const struct cmd_option *row;
	const char *arg;
	bool good = true;
	int c;

	while (good && (c = cmd_getopt(cmd, argc, argv, &row, &arg, first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c;
		else if (c == OPT_JSON)
			r->r_json = arg;
		else if (c == OPT_OTHER)
			rp->rp_other = true;
		else if (c == OPT_GDB)
			rp->rp_gdb = true;
		else if (c == OPT_TIMES)
			good = whole(cmd, "times", arg, 1, TIMES_MAX, &rp->rp_times);
		else if (c == OPT_STOP)
			good = rp->rp_stop = whole(cmd, "stop-at", arg, 0, UINT64_MAX - 1, &rp->rp_stop_at);
		else
			*(c == 'q' ? &r->r_quiet : &r->r_verbose) = true;
	}
	if (good && rp->rp_times != 0 && (r->r_json != NULL || rp->rp_stop || rp->rp_gdb)) {
		cmd_usage(cmd, "--times says how many replays were as recorded, and has neither --json nor "
		    "--stop-at nor --gdb");
		good = false;
	}
	return good ? CMD_END : CMD_BAD;
}

static int
replay_main(const struct command *cmd, int argc, char **argv)
{
	struct replay rp = { .rp_times = 0 };
	struct run r;
	int c, first, status;

	run_init(&r, argc, argv);
	c = parse(cmd, &r, &rp, argc, argv, &first);
	if (c != CMD_END)
		status = c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	else if (argc - first != 1)
		status = cmd_usage(cmd, "one directory of a recording is replayed");
	else
		status = replay_load(argv[first], &rp.rp_rec, rp.rp_other);
	if (c == CMD_END && status == EXIT_CLEAN) {
		rp.rp_profile = xasprintf("%s/profile.ini", argv[first]);
		status = replay(cmd, &r, &rp, argv[first]);
		free(rp.rp_profile);
		recording_free(&rp.rp_rec);
	}
	run_fini(&r);
	return status;
}

const struct command cmd_replay = {
	.c_name = "replay",
	.c_synopsis = "[OPTION...] DIR",
	.c_help = "runs what was recorded again, event by event",
	.c_options = replay_options,
	.c_main = replay_main,
};
