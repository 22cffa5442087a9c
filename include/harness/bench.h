/*
 * The performance table: figures, each beside references that the same machine reached in the same call.
 *
 * What is measured several times, in turn with its references, is told by its median; and
 * beside it the least and the most.  A ratio is the median of the turns' own ratios, since neighbours
 * are what can be compared on a machine that is not as fast at one moment as at another.
 *
 * A reference may have a target.  One that is missed is printed, and is no error.
 */
#ifndef HARNESS_BENCH_H
#define HARNESS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define BENCH_REFS 3
#define BENCH_ROUNDS 9			/* at most */

struct bench_options {
	bool bo_quick;			/* a first look; for tests */
	const char *bo_tsan;		/* an uvmstress built with ThreadSanitizer; or NULL */
};

/* What a figure is to its reference, and which side of the target is the good one. */
enum bench_sense {
	BENCH_BETTER,			/* so many times as good: at least */
	BENCH_TIMES,			/* so many times it: at most */
	BENCH_OVER,			/* so much more, in the row's unit: at most */
};

/* Which clock: that of the process' share of the host's cores is the same on a busy host. */
enum bench_clock { BENCH_WALL, BENCH_CPU };

struct bench_ref {
	char *ref_name;			/* "host kernel, anonymous" */
	double ref_value;		/* same unit */
	enum bench_sense ref_sense;
	double ref_ratio, ref_least, ref_most;
	double ref_target;		/* 0: none */
};

/* All written by who makes the table. */
struct bench_row {
	const char *br_group;		/* its benchmark's name; never freed */
	char *br_name;			/* "zero-fill faults, 1 CPU" */
	char *br_unit;			/* "faults/s" */
	double br_value, br_least, br_most;
	enum bench_clock br_clock;
	char *br_note;			/* why there is no value; or NULL */
	bool br_lower_is_better;
	size_t br_n;
	double br_values[BENCH_ROUNDS];	/* in turn */
	size_t br_nrefs;
	struct bench_ref br_refs[BENCH_REFS];
};

struct bench_table {
	struct bench_row *bt_rows;
	size_t bt_nrows;
};

void bench_table_init(struct bench_table *);
void bench_table_fini(struct bench_table *);
/* => a row of one figure, or of the n of so many turns, in turn; it moves when the next one is added */
struct bench_row *bench_add(struct bench_table *, const char *name, const char *unit, double value);
struct bench_row *bench_add_turns(struct bench_table *, const char *name, const char *unit,
    const double *v, size_t n);
/* => a row without a value */
void bench_missing(struct bench_table *, const char *name, const char *note);
/*
 * One reference more, of one figure or of as many turns as the row has; what the figure is to it, and
 * the target, which must be at most or at least so: 0: none.
 */
void bench_against(struct bench_row *, const char *name, double value, enum bench_sense, double target);
void bench_against_turns(struct bench_row *, const char *name, const double *v, size_t n,
    enum bench_sense, double target);
/* => the same: BENCH_BETTER, no target */
void bench_ref(struct bench_row *, const char *name, double value);
/* => the median; sorts v */
double bench_median(double *v, size_t n);

/* => reference j has a target, and it is met */
bool bench_is_met(const struct bench_row *, size_t j);
/* => how many targets there are, and how many of them are missed */
size_t bench_targets(const struct bench_table *, size_t *missed);

/*
 * report_bench_text: the table for people, by group, and how many targets are met.
 * report_bench_json: the same as one object.
 */
void report_bench_text(const struct bench_table *, FILE *);
void report_bench_json(const struct bench_table *, FILE *);

/*
 * The benchmarks.
 * => table initialised; rows are added to it
 * => 0, or an errno: the host could not give what was needed
 */
/* What a fault costs: zero-fill, copy on write, soft; and an access that needs none. */
int bench_fault(const struct bench_options *, struct bench_table *);
/* Faults a second by two CPUs, and by more than the host has. */
int bench_scale(const struct bench_options *, struct bench_table *);
/* mmap and munmap in address spaces of few and of many entries. */
int bench_map(const struct bench_options *, struct bench_table *);
/* fork of a large address space, and exit. */
int bench_fork(const struct bench_options *, struct bench_table *);
/* What the host needs for a page of simulated memory. */
int bench_memory(const struct bench_options *, struct bench_table *);
/* Bytes a second to swap and back, and what the host does with a file. */
int bench_swap(const struct bench_options *, struct bench_table *);
/* Bytes a second by read and write of a file in memory, and the host's. */
int bench_file(const struct bench_options *, struct bench_table *);
/* What it costs to hand pages on: by loan, by copy, by passing map entries. */
int bench_move(const struct bench_options *, struct bench_table *);
/* Accesses under pressure, with the inactive queue and as before 1999; what looking at pages costs. */
int bench_pagedaemon(const struct bench_options *, struct bench_table *);
/* An item of a pool and back, in every context, beside malloc() and free(). */
int bench_kmem(const struct bench_options *, struct bench_table *);
/* What controlled schedules cost, and how many executions they make in a second. */
int bench_sched(const struct bench_options *, struct bench_table *);
/* From the post of an interrupt to its handler; spl; pool_put in interrupt. */
int bench_intr(const struct bench_options *, struct bench_table *);
/* Throughput with and without checks; the walk at rest and how it grows. */
int bench_check(const struct bench_options *, struct bench_table *);
/* What watching locks costs, by our auditor and by other tools. */
int bench_audit(const struct bench_options *, struct bench_table *);

#endif /* HARNESS_BENCH_H */
