/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon's face.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stddef.h>

#include <harness/option.h>

/* What the command line says.  Stable. */
struct daemon_options {
	const char *do_program;		/* as it was called */
	const char *do_config;		/* NULL: none */
	char *const *do_jobs;		/* profiles instead of the configuration's */
	size_t do_njobs;
	const char *const *do_sets;	/* "KEY=VALUE" */
	size_t do_nsets;
};

struct daemon;

/*
 * daemon_run: supervise until told to stop.
 * => the exit status; errors were told on standard error
 */
int daemon_run(const struct daemon_options *);

/* daemon_check: is the configuration good?  => the exit status; prints the profiles in use */
int daemon_check(const struct daemon_options *);

/* The words of the control protocol, for both of its ends. */
#define CONTROL_PROTOCOL "uvmstress/1"
#define CONTROL_LINE_MAX 512		/* bytes of a request with its newline */

struct control_verb {
	const char *cv_name;
	const char *cv_arg;		/* NULL: takes none */
	const char *cv_help;
};
extern const struct control_verb control_verbs[];	/* up to a row without name */

/* The keys of its configuration. */
extern const struct option_row daemon_keys[];
extern const size_t daemon_nkeys;

#define DAEMON_STATE	"uvmstress-state"
#define DAEMON_SOCKET	"ctl"		/* in the state directory, unless configured */

#endif /* DAEMON_H */
