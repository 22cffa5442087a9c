/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One run of the engine, from its options to its report; for the commands that make runs.
 */
#ifndef CMD_RUN_H
#define CMD_RUN_H

#include <harness/timeline.h>

#include "cmd.h"

/* Rows of the options that all of them have. */
#define RUN_CMD_OPTIONS \
	PROFILE_CMD_OPTIONS, \
	{ CMD_NOSHORT + 80, "status-json", "FILE", "the progress as JSON Lines", NULL }, \
	{ CMD_NOSHORT + 81, "out", "DIR", "where failures go; ./uvmstress-out", NULL }, \
	{ CMD_NOSHORT + 82, "status-interval", "D", \
	    "a progress line that often; 1s on a terminal, else 10s", NULL }, \
	{ CMD_NOSHORT + 83, "record", "DIR", "keep a controlled run there for replay, clean or not", NULL }, \
	{ 'q', "quiet", NULL, "print only what went wrong", NULL }, \
	{ 'v', "verbose", NULL, "print the profile, every counter and every lock class too", NULL }

/*
 * All fields: main thread, but ro_fatal's caller takes over for good; r_dir and r_progress while
 * the load runs: the thread of ro_progress.
 */
struct run {
	const char *r_json;		/* where the result goes, or NULL */
	const char *r_status, *r_out;
	const char *r_trace;		/* where the timeline goes, or NULL */
	struct timeline r_timeline;
	uint64_t r_interval;		/* ns; UINT64_MAX: by where the progress goes */
	bool r_quiet, r_verbose;
	bool r_stdout_taken;		/* by something that is not for people */
	struct overrides r_overrides;
	struct profile *r_profile;
	struct run_result r_result;
	struct progress r_progress;
	FILE *r_text;			/* where people read */
	char *r_command;
	char *r_dir;			/* what is kept of a failure; NULL: nothing yet */
	/* => exit status; called when all else has been told.  fatal: the process ends then */
	int (*r_after)(struct run *, int status, bool fatal);
	void *r_arg;			/* its */
	const struct recording *r_follow; /* a replay, of that; or NULL */
	const char *r_record;		/* where this run is kept, clean or not; or NULL */
	struct report_begun r_begun;
	void (*r_stopped)(void *, uint64_t, const char *, void (*)(FILE *));	/* run_options.ro_stopped, ro_stop_at */
	uint64_t r_stop_at;
};

/* => stands for argv, which is what repeats it; run_fini() */
void run_init(struct run *, int argc, char **argv);
void run_fini(struct run *);

/* run_option: take one.  => false: none of RUN_CMD_OPTIONS; else *bad tells whether it was wrong */
bool run_option(const struct command *, struct run *, const struct cmd_option *row, int c,
    const char *arg, bool *bad);

/*
 * run_files: load the files as one machine, run it, tell everything.
 * => exit status; may be called again
 */
int run_files(const struct command *, struct run *, char **files, int nfiles);
/*
 * run_conclude: everything that is to be told when a run is over.
 * => the exit status; fatal: the process ends with it
 */
int run_conclude(struct run *, bool fatal);
/* => the exit status of a replay that would have the given one */
int replay_verdict(struct run *, int status);
/* run_header: => the result of r_profile and r_command is begun */
void run_header(struct run *);
/* => the recording of that directory, if this program can follow it: an exit status; other: any build's */
int replay_load(const char *dir, struct recording *, bool other);
/* => the effective profile, for free() */
char *run_profile_text(const struct profile *);
/* iterate: the profile's executions, one after the other, in worker processes.  => exit status */
int iterate(struct run *);
/* => run_options.ro_last of the run, arg: as its end by ro_fatal, by system calls only */
void run_last(void *arg, const char *kind, const char *message, void (*more)(int fd, void *marg),
    void *marg);
/* run_catch_signals: => SIGINT and SIGTERM ask to end.  run_stopped: => has one? */
void run_catch_signals(void);
bool run_stopped(void);

#endif /* CMD_RUN_H */
