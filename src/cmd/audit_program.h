/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress audit -- CMD.
 */
#ifndef CMD_AUDIT_PROGRAM_H
#define CMD_AUDIT_PROGRAM_H

#include <stdbool.h>

#include <harness/lockgraph.h>

/*
 * audit_program_run: run the command; flags: PRELOAD_...
 * => EXIT_CLEAN, and the graph of each process by add(), whose they are then; or told to the user
 */
int audit_program_run(char **argv, unsigned flags, void (*add)(void *, struct lockgraph *),
    void *arg);
/*
 * audit_program_waive: findings that may stand, from a file: fingerprint (one that ends in * stands
 * for all that begin so) and reason, one on a line; # begins a comment.
 * => the graph is a copy.  => EXIT_CLEAN; EXIT_USAGE, told to the user
 */
int audit_program_waive(struct lockgraph *, const char *path);
/* => EXIT_CLEAN or EXIT_VIOLATION: what the merged graph says, on standard error */
int audit_program_tell(const struct lockgraph *, bool quiet, bool verbose);

#endif /* CMD_AUDIT_PROGRAM_H */
