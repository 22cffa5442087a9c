/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Profiles: one simulated machine and the jobs that load it.
 *
 * A profile is built in two steps.  First text is collected: job files, then
 * --set and the command's own options; this step knows INI and nothing else,
 * and finds malformed lines and duplicates.  Then everything is resolved at
 * once: section by section each setting meets its option row, in the order in
 * which it came, so that a later one wins and a broken one is told even when a
 * later one would have hidden it.  Each value remembers where it came from.
 *
 * Several files make one machine: their jobs run together, a [global] key of a
 * later file wins, a job name may exist once.
 */
#ifndef HARNESS_PROFILE_H
#define HARNESS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <harness/option.h>
#include <harness/workload.h>

#define PROFILE_LINE_MAX  1000		/* bytes in a line, without its newline */
#define PROFILE_FILE_MAX  (1024 * 1024)	/* bytes in a job file */
#define PROFILE_NAME_MAX  64		/* bytes in a section name */
#define PROFILE_KEYS_MAX  100		/* keys in a section */
#define PROFILE_JOBS_MAX  256		/* jobs of one machine */

enum machine_mmu {		/* order of the names of `mmu` */
	MMU_HARDWARE_RM,	/* the walker sets referenced and modified bits */
	MMU_SOFTWARE_RM,	/* pmap learns them from faults */
};

enum machine_schedule {		/* order of the names of `schedule` */
	SCHED_FREE,		/* real threads, as the host runs them */
	SCHED_MIX,
	SCHED_RANDOM,
	SCHED_POS,
	SCHED_DIRECT,		/* towards ms_circle */
	SCHED_PCT,		/* of depth 3; then pct:1, pct:2, ... */
};

enum machine_interrupts {
	INTR_POLL,
	INTR_SIGNAL,
};

enum machine_audit {
	AUDIT_OFF,
	AUDIT_ORDER,
	AUDIT_FULL,
};

/* [global]: machine_options[] has a row for each field.  Stable once resolved. */
struct machine_settings {
	uint64_t ms_cpus;
	uint64_t ms_memory;		/* bytes */
	uint64_t ms_swap;		/* bytes */
	uint64_t ms_swapdevs;
	char *ms_swapdir;		/* "none": $TMPDIR */
	uint64_t ms_ubcwindows;
	uint64_t ms_time;		/* ns; 0: until stopped */
	uint64_t ms_ops;		/* per worker; 0: run by time */
	uint64_t ms_seed;		/* see profile_is_set(p, "seed") */
	unsigned ms_mmu;		/* enum machine_mmu */
	unsigned ms_schedule;		/* enum machine_schedule */
	char *ms_chaos;			/* "none" */
	char *ms_circle;		/* of lock classes; "none" */
	uint64_t ms_steps;		/* points of an execution, for pct; 0: not known */
	unsigned ms_interrupts;		/* enum machine_interrupts */
	uint64_t ms_clock;		/* operations of a CPU between two ticks; 0: no ticks */
	unsigned ms_pool_put;		/* 1: reserve */
	uint64_t ms_nic_latency;	/* ns */
	uint64_t ms_disk_latency;	/* ns */
	unsigned ms_disk_intr;		/* 1: any */
	unsigned ms_audit;		/* enum machine_audit */
	char *ms_waivers;		/* "none": no file */
	bool ms_audit_stop;
	uint64_t ms_iterations;
	bool ms_keep_going;
	bool ms_fault_ahead;
	bool ms_ptp_steal;
	uint64_t ms_check_interval;	/* ns between whole-system checks; 0: only at the end */
	uint64_t ms_check_depth;	/* objects of a kind in a sample; 0: none */
	bool ms_overcommit;		/* jobs may need more than memory and swap hold */
	uint64_t ms_hotplug;		/* ns; 0: CPUs stay */
	uint64_t ms_history;		/* events that each CPU remembers, at least; 0: none */
	bool ms_detail;			/* of all kinds, those that each fault has included */
	uint64_t ms_hang;		/* ns without a sign of life; 0: nobody looks */
	char *ms_require;		/* "faults.cow uvmexp.pdfreed ...": must be > 0 */
	char *ms_inject;
	char *ms_bug;
};

/* Where a value came from: "default", "smoke.ini:7", "--cpus 8".  Owned by the profile. */
struct setting {
	char *set_key;
	char *set_value;
	char *set_where;		/* "smoke.ini:7", or the words of the command line */
	char *set_dir;			/* what a relative path is relative to; "" for here */
	struct setting *set_next;	/* in the order given */
};

/* Some of a worker's operations. */
struct job_steps {
	uint64_t js_worker, js_first, js_last;
};

/* One section.  Stable once resolved. */
struct job {
	char *job_name;
	char *job_where;		/* file and line of the section header */
	const struct workload *job_workload;

	uint64_t job_threads;		/* worker threads in all, dealt round-robin */
	uint64_t job_processes;		/* simulated address spaces */
	uint64_t job_weight;		/* share of CPU time beside the other jobs */
	uint64_t job_size;		/* bytes that each process works on */
	double job_write_fraction;
	char *job_operations;		/* "all", or some of the workload's, with their shares */
	uint64_t *job_shares;		/* of each of wl_ops; their sum, too, after the last */
	char *job_steps;		/* "all", or those that are not left out: see job_does() */
	struct job_steps *job_does;	/* likewise */
	size_t job_ndoes;		/* 0: all */
	void *job_options;		/* the workload's own struct; NULL without one */

	struct setting *job_settings;	/* as given */
};

/* Private to one thread until resolved, then read-only. */
struct profile {
	const struct workload *const *p_workloads; /* the table that it was made with */
	char *p_name;			/* of the first job file */
	struct machine_settings p_machine;
	struct setting *p_settings;	/* [global], as given */
	struct job **p_jobs;
	size_t p_njobs;
	bool p_resolved;
};

/* One line for the user: where, what, and what is allowed. */
struct profile_error {
	char pe_text[1024];
};

/* => does the worker's n-th operation, from 0, take place? */
bool job_does(const struct job *, uint64_t worker, uint64_t n);

extern const struct option_row machine_options[];
extern const size_t machine_noptions;
extern const struct option_row job_common_options[];	/* row i is WL_* bit i; offsets into struct job */
extern const size_t job_ncommon;

/*
 * profile_create: an empty profile whose jobs use these workloads (NULL-terminated).
 * => never fails; profile_destroy frees it, NULL allowed
 */
struct profile *profile_create(const struct workload *const *workloads);
void profile_destroy(struct profile *);

/*
 * Step one: collect.
 * => 0; EINVAL with one line in the error; after an error the profile is only good for destroy
 * profile_parse_buffer: untrusted bytes; name appears in messages, dir is what relative paths
 *    are relative to
 * profile_parse_file: also the errno of open or read, likewise with a line
 * profile_set: "SECTION.KEY=VALUE"
 * profile_set_global: one [global] key; where is what the user typed, such as "--cpus 8"
 */
int profile_parse_buffer(struct profile *, const char *name, const char *dir, const char *buf,
    size_t len, struct profile_error *);
int profile_parse_file(struct profile *, const char *path, struct profile_error *);
int profile_set(struct profile *, const char *assignment, struct profile_error *);
int profile_set_global(struct profile *, const char *key, const char *value, const char *where,
    struct profile_error *);

/*
 * Step two: resolve.  Looks at nothing but the profile itself.
 * => 0, or EINVAL with one line in the error
 * => afterwards every field of p_machine and of every job has a value, seed apart
 */
int profile_resolve(struct profile *, struct profile_error *);

/*
 * profile_check_files: every path of a resolved profile names a readable regular file.
 * => 0, or EINVAL with one line in the error
 */
int profile_check_files(const struct profile *, struct profile_error *);

/*
 * profile_is_set: was that [global] key given, rather than defaulted?
 */
bool profile_is_set(const struct profile *, const char *key);

/*
 * profile_print: the complete effective profile, itself a valid job file with absolute paths;
 * each line says where its value comes from when with_origin.
 */
void profile_print(const struct profile *, FILE *, bool with_origin);

/*
 * profile_digest: 32 bits that two runs share when they do the same work: every
 * effective value but the seed; a file counts by its name, not by where it lies.
 */
uint32_t profile_digest(const struct profile *);

#endif /* HARNESS_PROFILE_H */
