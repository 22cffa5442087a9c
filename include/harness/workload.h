/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Workloads describe themselves.
 *
 * A workload is one const descriptor at the end of its file: what it is called,
 * which options it takes, which operations it mixes, what it exercises, how it
 * knows that what it read is right, and which counters must have moved for a
 * run of it to prove anything.  Parser, `check`, `list` and the engine know
 * workloads by this struct alone.
 */
#ifndef HARNESS_WORKLOAD_H
#define HARNESS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <harness/option.h>

struct job;		/* harness/profile.h: the settings of one section */
struct job_run;		/* the engine's: one job of a running machine */
struct job_worker;	/* the engine's: one worker thread of a job */
struct job_proc;	/* the engine's: one simulated process of a job */

/* Which of the common options a workload honours; it refuses the others. */
#define WL_THREADS	  0x01u
#define WL_PROCESSES	  0x02u
#define WL_WEIGHT	  0x04u
#define WL_SIZE		  0x08u
#define WL_WRITE_FRACTION 0x10u
#define WL_OPERATIONS	  0x60u		/* operations, steps */
#define WL_COMMON_ALL	  0x7fu

/* One kind of step that a workload mixes.  Stable. */
struct workload_op {
	const char *wo_name;
	const char *wo_help;	/* one line */
	unsigned wo_weight;	/* share beside the other operations; 0: only where it is named */
	int (*wo_run)(struct job_worker *); /* => 0 or an errno */
	bool wo_alone;		/* not beside a sibling thread: there the first one is done instead */
};

/* All fields are stable: descriptors are const. */
struct workload {
	const char *wl_name;		/* `workload = NAME` */
	const char *wl_help;		/* one line */

	unsigned wl_common;		/* WL_*: common options that mean something here */
	const struct option_row *wl_options; /* its own options, offsets into its struct */
	size_t wl_noptions;
	size_t wl_options_size;		/* sizeof that struct; 0 without own options */

	const struct workload_op *wl_ops;
	size_t wl_nops;

	const char *wl_single;		/* why there is one such job at most; else NULL */
	const char *wl_exercises;	/* which paths of UVM it is for */
	const char *wl_verifies;	/* how it knows that it read the right bytes */
	const char *const *wl_required;	/* "faults.cow", ...: must be > 0; NULL-terminated */

	/*
	 * wl_footprint: bytes of simulated memory that the job cannot do without.
	 * => pure; NULL means processes * size, or nothing for a workload without size
	 */
	uint64_t (*wl_footprint)(const struct job *);

	/*
	 * => 0 or an errno; a failing step ends the run, but for ENOMEM of an operation: see wl_proc
	 * wl_setup: once per job, before its workers start; may be NULL
	 * wl_run: one operation of one worker; NULL: one of wl_ops, drawn by job_shares
	 * wl_verify: once per job when its workers have stopped: read everything back
	 * wl_teardown: once per job; afterwards nothing of it is left in the machine
	 */
	int (*wl_setup)(struct job_run *);
	int (*wl_run)(struct job_run *, struct job_worker *);
	int (*wl_verify)(struct job_run *);
	void (*wl_teardown)(struct job_run *);
	/*
	 * wl_proc: jp_proc is a fresh, empty process: map what the operations expect there, and
	 * forget what was stored to another one.  Each process once after wl_setup; and again when
	 * it was killed for want of memory, while its LWPs stand still.
	 * => 0 or an errno, which ends the run
	 * => NULL: an operation that finds no memory is given up and another one is tried
	 */
	int (*wl_proc)(struct job_run *, struct job_proc *);
};

/* Every workload of this build, NULL-terminated, in the order of `list`. */
extern const struct workload *const workload_table[];

#endif /* HARNESS_WORKLOAD_H */
