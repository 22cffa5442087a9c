/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress replay DIR: a recorded failure once more, event by event.
 *
 * DIR has the profile as it was run and the recording of its schedule.  The machine is built anew and
 * follows the recording; at the end the hash of all events is held against the recorded one.
 * The same build does the same, wherever it runs; another build would not, and is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/xalloc.h>

#include "run.h"

enum { OPT_JSON = CMD_NOSHORT, OPT_OTHER };

static const struct cmd_option replay_options[] = {
	{ OPT_JSON, "json", "FILE", "the result as one JSON object; - = standard output", NULL },
	{ OPT_OTHER, "other-build", NULL, "replay what another build recorded, as far as it goes", NULL },
	{ 'q', "quiet", NULL, "print only what went wrong", NULL },
	{ 'v', "verbose", NULL, "print the profile, every counter and every lock class too", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

int
replay_verdict(struct run *r, int status)
{
	const struct run_result *rr = &r->r_result;
	const struct recording *rec = r->r_follow;

	if (rr->rr_interrupted)
		return status;
	if (rr->rr_event_hash != NULL && strcmp(rr->rr_event_hash, rec->rec_hash) == 0 &&
	    rr->rr_sched.rs_diverged == NULL) {
		if (!r->r_quiet)
			fprintf(r->r_text, "replayed: %ju points, event hash %s, as recorded\n",
			    (uintmax_t)rr->rr_sched.rs_points, rr->rr_event_hash);
		return status;
	}
	return cmd_fail(EXIT_VIOLATION, "the replay left its recording: %s; event hash %s, recorded %s",
	    rr->rr_sched.rs_diverged != NULL ? rr->rr_sched.rs_diverged : "after its last switch",
	    rr->rr_event_hash != NULL ? rr->rr_event_hash : "none", rec->rec_hash);
}

/* => the recording of that directory, if this program can follow it */
static int
load(const char *dir, struct recording *rec, bool other)
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

static int
replay(const struct command *cmd, struct run *r, const char *dir, bool other)
{
	struct recording rec;
	int status = load(dir, &rec, other);
	char *profile, seed[24];

	if (status != EXIT_CLEAN)
		return status;
	profile = xasprintf("%s/profile.ini", dir);
	snprintf(seed, sizeof(seed), "%ju", (uintmax_t)rec.rec_seed);
	overrides_add(&r->r_overrides, "seed", seed);
	overrides_add(&r->r_overrides, "iterations", "1");
	r->r_follow = &rec;
	status = run_files(cmd, r, &profile, 1);
	free(profile);
	recording_free(&rec);
	return status;
}

static int
replay_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	const char *arg;
	bool other = false;
	struct run r;
	int c, first, status;

	run_init(&r, argc, argv);
	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END &&
	    c != CMD_HELP && c != CMD_BAD) {
		if (c == OPT_JSON)
			r.r_json = arg;
		else if (c == OPT_OTHER)
			other = true;
		else
			*(c == 'q' ? &r.r_quiet : &r.r_verbose) = true;
	}
	if (c != CMD_END)
		status = c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
	else if (argc - first != 1)
		status = cmd_usage(cmd, "one directory of a failure is replayed");
	else
		status = replay(cmd, &r, argv[first], other);
	run_fini(&r);
	return status;
}

const struct command cmd_replay = {
	.c_name = "replay",
	.c_synopsis = "[OPTION...] DIR",
	.c_help = "runs a recorded failure again, event by event",
	.c_options = replay_options,
	.c_main = replay_main,
};
