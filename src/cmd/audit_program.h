/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress audit -- CMD.
 */
#ifndef CMD_AUDIT_PROGRAM_H
#define CMD_AUDIT_PROGRAM_H

#include <stdbool.h>

#include <harness/lockgraph.h>

/* What has been told of a program, by fingerprint.  Starts with its waivers; audit_told_fini(). */
struct audit_told {
	const char *at_waivers;		/* a file, or NULL */
	struct told {
		char *to_print;
		enum lockgraph_grade to_grade;
	} *at_v;
	size_t at_n;
	bool at_early;			/* the program was ended before its time */
};
void audit_told_fini(struct audit_told *);

/*
 * audit_program_run: run the command; flags: PRELOAD_...  What counts is told when it is found.
 * => EXIT_CLEAN, and the graph of each process by add(), whose they are then; or told to the user
 */
int audit_program_run(char **argv, unsigned flags, struct audit_told *,
    void (*add)(void *, struct lockgraph *), void *arg);
/*
 * audit_program_waive: findings that may stand, from a file: fingerprint (one that ends in * stands
 * for all that begin so) and reason, one on a line; # begins a comment.
 * => the graph is a copy.  => EXIT_CLEAN; EXIT_USAGE, told to the user
 */
int audit_program_waive(struct lockgraph *, const char *path);
/* => EXIT_CLEAN or EXIT_VIOLATION: what the merged graph says and was not told yet, on standard error */
int audit_program_tell(const struct lockgraph *, struct audit_told *, bool quiet, bool verbose);

#endif /* CMD_AUDIT_PROGRAM_H */
