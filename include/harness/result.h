/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a run found: plain structs that the engine and the inspectors fill, and the
 * report writes as text, as JSON and as a failure directory.  Nothing here knows
 * UVM, so a report can be made again from a file, on another machine.
 *
 * Strings given to the functions below are copied; the result owns all it points to.
 * Fill in from one thread at a time.
 */
#ifndef HARNESS_RESULT_H
#define HARNESS_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct lockgraph;

enum run_outcome {
	RUN_CLEAN,
	RUN_VIOLATION,
	RUN_VACUOUS,		/* a counter that must be positive stayed 0 */
	RUN_INTERRUPTED,	/* ended early by a signal, nothing wrong until then */
};

/* Exit status of every command. */
enum {
	EXIT_CLEAN = 0,
	EXIT_VIOLATION = 1,
	EXIT_USAGE = 2,		/* bad usage, profile, trace or value */
	EXIT_HOST = 3,		/* the host could not give what was needed */
	EXIT_VACUOUS = 4,
};

/* A controlled schedule.  All 0, and no strategy: it ran free. */
struct result_schedule {
	char *rs_strategy;	/* what the run had: "pos", "pct:3" */
	char *rs_build;		/* the program's build id; "unknown" */
	uint64_t rs_points, rs_load, rs_events, rs_switches, rs_threads;	/* of all executions */
	uint64_t rs_steps;	/* points of one execution, that pct counted on; 0: it was not asked */
	char *rs_covered;	/* what many executions prove, one line; or NULL */
	double rs_virtual_s;
	char *rs_diverged;	/* where it left what it was to repeat; or NULL */
	char *rs_story;		/* how it came to the violation, numbered; or NULL */
	uint8_t *rs_log;	/* of a run with a violation, or that is to be kept: its recording */
	size_t rs_loglen;
};

/* A named number.  Groups of them keep the order in which they were first set. */
struct result_counter {
	char *rc_name;
	uint64_t rc_value;
};

struct result_counters {
	struct result_counter *rcs_v;
	size_t rcs_n;
	size_t rcs_next;	/* the one after that which was set last */
};

struct result_job {
	char *rj_name;
	char *rj_workload;
	uint64_t rj_threads;
	uint64_t rj_operations;
	uint64_t rj_bytes_verified;
	uint64_t rj_killed;	/* processes killed for want of memory, and replaced */
};

#define RESULT_OCTAVES 40

struct result_latency {
	char *rl_name;		/* "fault" */
	uint64_t rl_p50, rl_p90, rl_p99, rl_p999, rl_max;	/* ns */
	uint64_t rl_octave[RESULT_OCTAVES];	/* [k]: how many took 2^k to 2^(k+1) ns */
};

struct result_lock {
	char *rk_class;
	uint64_t rk_acquisitions, rk_contended;
	uint64_t rk_wait_ns, rk_hold_ns_max;
};

struct result_check {
	char *rch_id;		/* "I-MAP-4", "leak-at-exit" */
	uint64_t rch_runs, rch_violations;
};

/* Something that happened shortly before a violation. */
struct result_event {
	double re_before_us;	/* how long before */
	int re_cpu;
	uint32_t re_lwp;	/* of an interrupt, whom it interrupted */
	bool re_intr;
	char *re_what;		/* "page_busy page 291 flags 0x1" */
};
struct result_events {
	struct result_event *res_v;	/* oldest first */
	size_t res_n;
};

/* Something that a violation is about. */
struct result_object {
	char *ro_name;		/* "page 291" */
	char *ro_text;		/* lines: what it looked like */
	struct result_events ro_history;	/* what happened to it */
};

struct result_violation {
	char *rv_kind;		/* "invariant", "content", ...: <sys/kernel.h>'s names */
	char *rv_id;		/* rule: "I-PG-2", "lock-owner" */
	char *rv_message;	/* one line */
	char *rv_grade;		/* of a matter of lock order: "latent", ...; else NULL */
	char *rv_fingerprint;	/* by who found it; NULL: made of rule and stack */
	int rv_cpu;		/* -1: none in particular */
	char *rv_lwp;		/* or NULL */
	char **rv_held;		/* locks that it held */
	size_t rv_nheld;
	double rv_time_s;
	uint64_t rv_event;	/* of a controlled schedule: the last before it; 0: none */
	char **rv_stack;	/* innermost first */
	size_t rv_nstack;
	struct result_object *rv_objects;
	size_t rv_nobjects;
	struct result_events rv_events;	/* the last ones of each CPU */
	char *rv_details;	/* what else there is: other stacks ...; may be NULL */
	char *rv_dir;		/* failure directory; NULL until written */
};

#define SERIES_MAX 128

/* How the load went: numbers since it began, at most SERIES_MAX of them, at even distances. */
struct result_series {
	struct result_sample {
		double sm_s;
		uint64_t sm_faults, sm_operations;
	} rse_v[SERIES_MAX];
	size_t rse_n;
	double rse_step_s;		/* between two; 0: result_sample() chooses */
};

struct run_result {
	/* The caller of engine_run fills these in. */
	enum run_outcome rr_outcome;
	uint64_t rr_seed;
	char *rr_schedule;
	uint64_t rr_cpus;
	uint64_t rr_memory, rr_swap;	/* bytes */
	uint64_t rr_iterations;
	uint32_t rr_digest;		/* profile_digest() */
	char *rr_profile;		/* the effective profile, text */
	char *rr_command;		/* repeats the run */

	/* The engine fills these in. */
	double rr_elapsed_s;		/* of load, without set-up and final checks */
	double rr_cpu_s;		/* of the host's cores, all threads, meanwhile */
	bool rr_interrupted;		/* *ro_stop ended it */
	bool rr_going_on;		/* a snapshot: the load is not over */
	char *rr_event_hash;		/* controlled schedules only, else NULL */
	struct result_schedule rr_sched;
	char *rr_error;			/* why engine_run failed */
	struct result_counters rr_faults;	/* total zero_fill cow promote ... */
	struct result_counters rr_loans;
	struct result_counters rr_interrupts;
	struct result_counters rr_injected;	/* by site: calls that were made to fail */
	struct result_counters rr_uvmexp;	/* UVM's names */
	struct result_job *rr_jobs;
	size_t rr_njobs;
	struct result_latency *rr_latencies;
	size_t rr_nlatencies;
	struct result_series rr_series;
	struct lockgraph *rr_lockgraph;	/* what the lock auditor saw; NULL: it was off */
	struct result_lock *rr_locks;
	size_t rr_nlocks;
	struct result_check *rr_checks;
	size_t rr_nchecks;
	struct result_violation *rr_violations;
	size_t rr_nviolations;

	/* result_judge fills this in. */
	char **rr_notes;		/* what somebody should know, no violation */
	size_t rr_nnotes;
	char **rr_missing;		/* required counters that stayed 0 */
	size_t rr_nmissing;
};

#define PROGRESS_LOCKS 6

/* One look at a run in progress. */
struct run_progress {
	double rp_elapsed_s;
	double rp_planned_s;		/* 0: by operations, or until stopped */
	uint64_t rp_operations;
	uint64_t rp_operations_planned;	/* 0: by time */
	uint64_t rp_iterations, rp_iterations_planned;	/* executions that have ended; 0 planned: one */
	uint64_t rp_faults;
	uint64_t rp_bytes_verified;
	uint64_t rp_free_pages, rp_total_pages;
	uint64_t rp_active_pages, rp_inactive_pages, rp_wired_pages;
	uint64_t rp_cpu_user, rp_cpu_system, rp_cpu_interrupt, rp_cpu_idle;	/* ticks of simulated CPUs */
	uint64_t rp_violations;
	struct {			/* classes that were waited for longest, the first most */
		const char *pl_class;
		uint64_t pl_contended, pl_wait_ns;
	} rp_locks[PROGRESS_LOCKS];
	size_t rp_nlocks;
};

/* Known counters: always in the JSON, explained by `list counters`.  NULL name ends. */
struct counter_info {
	const char *ci_group;		/* "faults" */
	const char *ci_name;		/* "zero_fill" */
	const char *ci_help;
};
extern const struct counter_info counter_table[];

void run_result_init(struct run_result *);
/* => as before engine_run(): what the caller has filled in stays, and the names of counters, at 0 */
void run_result_again(struct run_result *);
void run_result_fini(struct run_result *);

/*
 * result_count: set group[name] = value.   result_counter: its value, 0 if never set.
 * result_lookup: by "group.name"; 0 if never set.
 */
void result_count(struct result_counters *, const char *name, uint64_t value);
uint64_t result_counter(const struct result_counters *, const char *name);
uint64_t result_lookup(const struct run_result *, const char *path);
/* => the groups of counters in turn; NULL: no more */
struct result_counters *result_group(struct run_result *, size_t i);

struct result_job *result_add_job(struct run_result *, const char *name, const char *workload);
struct result_latency *result_add_latency(struct run_result *, const char *name);
struct result_lock *result_add_lock(struct run_result *, const char *lock_class);
/* => of a check that was added before, both numbers grow */
void result_add_check(struct run_result *, const char *id, uint64_t runs, uint64_t violations);

/*
 * result_add_violation: => the returned struct is good until the next one is added; the caller
 *    sets rv_cpu and rv_time_s, and adds stack frames and details.
 */
struct result_violation *result_add_violation(struct run_result *, const char *kind,
    const char *id, const char *message);
void result_violation_frame(struct result_violation *, const char *frame);
void result_violation_details(struct result_violation *, const char *text);
void result_violation_lwp(struct result_violation *, const char *name);
void result_violation_held(struct result_violation *, const char *lock);
/* => good until the next one is added */
struct result_object *result_violation_object(struct result_violation *, const char *name,
    const char *text);
void result_event(struct result_events *, const struct result_event *);	/* re_what is copied */

/*
 * result_snapshot: a copy of what is known of a run that has gone wrong and goes on: header and
 *    violations; for run_result_fini().
 */
void result_snapshot(struct run_result *to, const struct run_result *from);

const char *run_outcome_name(enum run_outcome);

/*
 * result_fingerprint: rule and normalised stack, or what its finder made of it; the same
 *    for the same bug.
 * => buf is used if it must be made
 */
const char *result_fingerprint(const struct result_violation *, char buf[static 17]);
void result_violation_grade(struct result_violation *, const char *grade, const char *fingerprint);

/* => taken if it is time for one; when there is no room, every second one goes */
void result_sample(struct result_series *, double s, uint64_t faults, uint64_t operations);

/*
 * result_note: remember a line for the report.
 * result_require: note in rr_missing that "group.name" stayed 0, if it did; who needs it.
 * result_judge: set the verdict: violation, else interrupted, else vacuous, else clean; a
 *    job that verified no byte is vacuous too.
 * result_exit_status: the exit status that belongs to the verdict.
 */
void result_note(struct run_result *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void result_require(struct run_result *, const char *path, const char *job);
void result_judge(struct run_result *);
int result_exit_status(const struct run_result *);

/*
 * The report, src/report.  FILE errors are the caller's to look at (ferror, fclose).
 *
 * report_sentence: first and last line of a run: version, seed, profile digest, schedule, CPUs;
 *    the last adds the verdict and the command that repeats the run.
 * report_text: the summary for people; verbose adds every counter and lock class.
 * report_violations: only what went wrong, or what makes the run prove nothing.
 * report_found: likewise of a run that goes on: violations from `first` on.
 * report_json: the whole result as one object.
 */
void report_sentence(const struct run_result *, FILE *, bool last);
void report_text(const struct run_result *, FILE *, bool verbose);
void report_violations(const struct run_result *, FILE *);
void report_found(const struct run_result *, size_t first, FILE *);
void report_json(const struct run_result *, FILE *);

/*
 * report_json_file: the same into a file; "-" is standard output.
 * report_write: likewise, whatever writer writes: whole or not at all.
 * report_failure: write outdir/NNNN with report.txt, result.json and profile.ini; the
 *    directory is there whole or not at all.  Sets rv_dir of every violation.  *where: NULL,
 *    and is set for free(); or from an earlier call for the same run, whose files are replaced.
 * report_html: a page of what lies in a failure directory, or of a result's file; output NULL:
 *    report.html beside it.  EINVAL: that is no result
 * report_probe: would these be able to write there?  Asked before a long run starts.
 * => 0, or an errno with one line in why
 */
int report_json_file(const struct run_result *, const char *path, char *why, size_t whylen);
int report_write(const char *path, void (*writer)(const void *what, FILE *), const void *what,
    char *why, size_t whylen);
int report_probe(const char *json_path, const char *outdir, char *why, size_t whylen);
int report_html(const char *path, const char *output, char *why, size_t whylen);
int report_failure(struct run_result *, const char *outdir, char **where, char *why, size_t whylen);
/* report_record: the same files in that very directory, of any run; it, or they, may be there. */
int report_record(const struct run_result *, const char *dir, char *why, size_t whylen);

/*
 * A run under way, src/report/begun.c: so that kill -9 or a power cut loses nothing.
 *
 * report_begin: outdir/.PID.run has, on the disk, the profile as it is run and the command.
 * report_end: the run has ended, and all that is to be kept of it is; or none had begun.
 * report_killed: => runs that never ended are outdir/killed-NNNN from now on, and a line says how
 *    to repeat each
 */
struct report_begun {			/* main thread; report_end: or ro_fatal's caller */
	char *rb_path;			/* NULL: none has begun */
	char *rb_made;			/* outdir, if it was not there before; or NULL */
	int rb_fd;			/* keeps it locked */
};
int report_begin(struct report_begun *, const struct run_result *, const char *outdir, char *why,
    size_t whylen);
void report_end(struct report_begun *);
void report_killed(const char *outdir, FILE *);

/*
 * The recording of a controlled schedule, src/report/recording.c.
 *
 * recording_write: of a result with rr_sched.rs_log.
 * recording_read: => 0; EINVAL or the host's errno with one line in why
 */
struct recording {
	char *rec_build, *rec_strategy, *rec_hash;
	uint64_t rec_seed, rec_points, rec_events;
	uint8_t *rec_log;
	size_t rec_loglen;
};
void recording_write(const struct run_result *, FILE *);
int recording_read(const char *path, struct recording *, char *why, size_t whylen);
void recording_free(struct recording *);

/*
 * Of a process that can do no better: a failure's directory by system calls alone.
 * report_last_prepare: => before the run: the result's header is filled in; forgets what was before
 * report_last_words: => signal-safe; false: not written.  more adds to the report
 * report_last_told: => whoever could do better has: nothing is to be written any more
 */
void report_last_prepare(const struct run_result *, const char *outdir);
bool report_last_words(const char *kind, const char *message, void (*more)(int fd, void *), void *arg);
void report_last_told(void);
void report_last_forget(void);

/*
 * The progress of a run.  On a terminal one line is drawn over and over, elsewhere each
 * look is a line; status gets one JSON object a line, each written whole.  Either may be NULL.
 */
struct progress {
	FILE *pg_out, *pg_status;
	bool pg_terminal;
	bool pg_drawn;			/* a line is on the screen that must be wiped */
	bool pg_failed;			/* the status could not be written */
	double pg_last_s;		/* of the look before, for rates */
	uint64_t pg_last_ops, pg_last_faults;
};
void progress_show(struct progress *, const struct run_progress *);
void progress_wipe(struct progress *);
void progress_end(struct progress *, const struct run_result *);

#endif /* HARNESS_RESULT_H */
