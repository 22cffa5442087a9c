/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What can be done with a lock graph: keep it, write it, read it, merge it, explain it.
 */
#ifndef HARNESS_LOCKGRAPH_H
#define HARNESS_LOCKGRAPH_H

#include <stdbool.h>
#include <stdio.h>

#include <sys/lockgraph.h>

/*
 * lockgraph_dup: a copy that owns everything.
 * lockgraph_of_run: likewise, and it says whose it is: by the job file's name.
 * lockgraph_free: of a copy, of what was read or merged; NULL allowed.
 */
struct lockgraph *lockgraph_dup(const struct lockgraph *);
struct lockgraph *lockgraph_of_run(const struct lockgraph *, const char *path, const char *command,
    uint64_t seed);
void lockgraph_free(struct lockgraph *);
/*
 * lockgraph_tried: finding i of such a graph, once schedules have tried to make it deadlock: why it has its
 *    grade; recording: of one that did, which confirms it and undoes a waiver; NULL: none did.  Both are copied.
 */
void lockgraph_tried(struct lockgraph *, size_t i, const char *why, const char *recording);
/* lockgraph_waive: finding i of such a graph, for that reason, which is copied. */
void lockgraph_waive(struct lockgraph *, size_t i, const char *reason);

/*
 * lockgraph_merge: n graphs as one.  Parts that say the same are one part: counts add up, of
 *    stacks the first one stays, edges know which runs saw them.
 * => NULL and one line in why if a class has different ranks in two of them
 */
struct lockgraph *lockgraph_merge(const struct lockgraph *const *, size_t n, char *why,
    size_t whylen);

/* An edge that is known to exist: locks/lockedge.def, one row each. */
struct lockgraph_known {
	const char *lgk_from, *lgk_to;	/* class names */
	const char *lgk_profiles;	/* which shipped profiles exercise it */
};

/* How much of the order a graph has exercised.  Pairs that were only tried do not count. */
struct lockgraph_coverage {
	size_t cov_classes, cov_classes_used;	/* of locks */
	size_t cov_known, cov_known_seen;	/* known edges */
	size_t cov_allowed, cov_allowed_seen;	/* pairs of classes that may be held together */
};
void lockgraph_coverage(const struct lockgraph *, const struct lockgraph_known *, size_t nknown,
    struct lockgraph_coverage *);

/*
 * lockgraph_text: for people: the declared order beside the observed one, coverage, call
 *    sites.  verbose: allowed pairs that nobody has seen, every call site.
 * lockgraph_lockstat: who waited for which locks and how long they were held, by class and by
 *    call site, all of them
 * lockgraph_story: one finding: each edge with the stacks of both ends, grade, waiver line.
 * lockgraph_story_body: the same without its first line, which says what was found.
 * lockgraph_stories: all of them.  => how many count: neither waived nor guarded
 */
void lockgraph_text(const struct lockgraph *, const struct lockgraph_known *, size_t nknown,
    FILE *, bool verbose);
void lockgraph_lockstat(const struct lockgraph *, FILE *);
void lockgraph_story(const struct lockgraph *, const struct lockgraph_finding *, FILE *);
void lockgraph_story_body(const struct lockgraph *, const struct lockgraph_finding *, FILE *);
size_t lockgraph_stories(const struct lockgraph *, FILE *);

/* lockgraph_dot: for graphviz: ranks as layers, implied arrows left out, violations red. */
void lockgraph_dot(const struct lockgraph *, FILE *);

/*
 * lockgraph_diff: what b has and a has not (+), and the other way round (-); ! ranks changed.
 * lockgraph_baseline: only the former.
 * => how many edges and violations are new
 */
size_t lockgraph_diff(const struct lockgraph *a, const struct lockgraph *b, FILE *);
size_t lockgraph_baseline(const struct lockgraph *baseline, const struct lockgraph *, FILE *);

/* The observed order as source text. */
enum lockgraph_export {
	LOCKGRAPH_EXPORT_COMMENT,
	LOCKGRAPH_EXPORT_KASSERT,	/* assertions that the opposite would trip over */
	LOCKGRAPH_EXPORT_EDGES,		/* rows of locks/lockedge.def */
};
extern const char *const lockgraph_exports[];	/* their names; NULL ends */
void lockgraph_export(const struct lockgraph *, enum lockgraph_export, FILE *);

/*
 * lockgraph_symbolise: names for stack frames, from the files that they lie in.
 * => the graph is a copy, or was read or merged; frames stay without a name where
 *    the file is gone or was built anew
 */
void lockgraph_symbolise(struct lockgraph *);

const char *lockgraph_grade_name(enum lockgraph_grade);
/*
 * => false: nobody was seen to go back, so no schedule can deadlock; else the finding's circle, as
 *    lockdirect_set() (<sys/lockdirect.h>) wants it: "" if it is too long for text
 */
bool lockgraph_circle(const struct lockgraph *, const struct lockgraph_finding *, char *text, size_t size);

/*
 * lockgraph_write: as JSON, schema uvmstress-lockgraph/1.  Allocates nothing and needs no
 *    library, so that an auditor inside any program may call it: put gets the text in pieces.
 */
void lockgraph_write(const struct lockgraph *, void (*put)(void *arg, const char *, size_t),
    void *arg);

/*
 * lockgraph_read: untrusted bytes; name appears in the message.
 * => NULL and one line in why if they are no lock graph, or one whose parts do not fit
 */
struct lockgraph *lockgraph_read(const char *bytes, size_t len, const char *name, char *why,
    size_t whylen);

#endif /* HARNESS_LOCKGRAPH_H */
