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
/* => EXIT_CLEAN or EXIT_VIOLATION: what the merged graph says, on standard error */
int audit_program_tell(const struct lockgraph *, bool quiet, bool verbose);

#endif /* CMD_AUDIT_PROGRAM_H */
