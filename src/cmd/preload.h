/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Other programs, run with the lock auditor preloaded.
 */
#ifndef CMD_PRELOAD_H
#define CMD_PRELOAD_H

#include <stdbool.h>

#include <harness/lockgraph.h>

#define PRELOAD_STOP	0x1		/* end the program at its first finding */
#define PRELOAD_SILENT	0x2		/* what it prints goes nowhere */

/* How a program ended, and what was seen of it and its children.  Of the caller. */
struct preloaded {
	int	 pl_status;		/* of waitpid() */
	unsigned pl_processes;		/* that the auditor was in */
	struct lockgraph **pl_graphs;	/* of each that took a lock; the caller's to free */
	size_t	 pl_ngraphs;
};

/*
 * preload_run: run it to its end.
 * => news: called with a graph whenever a process has written a new one, while the program runs; NULL: not
 * => 0; or EXIT_USAGE (no such command), EXIT_HOST, told to the user
 * => an interrupt from the terminal is the program's; a request to end is passed on to it
 */
int preload_run(char *const argv[], unsigned flags, void (*news)(void *, struct lockgraph *), void *arg,
    struct preloaded *);
void preload_fini(struct preloaded *);
/* => the path of a file that belongs to the program, in the build tree or installed; NULL: told */
const char *preload_find(const char *in_build, const char *in_prefix);

#endif /* CMD_PRELOAD_H */
