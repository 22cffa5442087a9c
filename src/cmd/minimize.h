/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What `minimize` is made of.
 */
#ifndef CMD_MINIMIZE_H
#define CMD_MINIMIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <harness/result.h>

/*
 * ddmin: take out of n things what can be spared, half of them at a time, then ever smaller parts.
 * => keep[]: all true, and so the test succeeds; the caller's.  In the end no single one can be spared
 * => the test must answer the same when asked the same; may say false from some time on, to end this
 * => how many are kept
 */
size_t	ddmin(bool *keep, size_t n, bool (*test)(void *arg, const bool *keep), void *arg);

struct host_switch;

/* An execution in a process of its own, with limits.  Stable while it runs. */
struct attempt {
	const char *at_profile;		/* a job file's text */
	uint64_t at_seed;
	uint64_t at_schedule;		/* the schedule's own seed; 0: at_seed */
	uint64_t at_steps;		/* for pct: points that such an execution has; 0: not known */
	const struct recording *at_follow;	/* or NULL */
	const struct host_switch *at_thin;	/* or NULL */
	size_t at_nthin;
	const char *at_print;		/* the fingerprint that it is to have; NULL: that of any violation */
	const char *at_out;		/* what it leaves goes into that directory; NULL: nothing */
};

#define	PRINT_LEN	1024		/* a finding of lock order names each lock of its circle */

/* What it came to.  The child writes it, and ends. */
struct attempted {
	bool ad_same;			/* it failed with that fingerprint */
	bool ad_refused;		/* there can be no such machine */
	char ad_print[PRINT_LEN], ad_hash[24], ad_strategy[24];
	char ad_kind[24], ad_id[48], ad_message[512];
	uint64_t ad_load, ad_switches;
	size_t ad_loglen;		/* bytes of log; it may have been too long to be kept: then !ad_same */
	uint8_t ad_log[];
};

/* => 0 or an errno; attempts need it: a page or so of shared memory */
int	attempts_begin(void);
void	attempts_end(void);
/* => what it came to, good until the next one; NULL: a signal asked to stop */
const struct attempted *attempt(const struct attempt *);

/*
 * Job files as profile_print() writes them.
 * ini_value: => what stands there, in text; *len: so long; NULL: there is no such line
 * ini_with, ini_without: => text with that line changed, or without that section; for free()
 * ini_section: => name of the n-th section, for free(); NULL: there are fewer
 */
const char *ini_value(const char *text, const char *section, const char *key, size_t *len);
char	*ini_section(const char *text, size_t n);
char	*ini_with(const char *text, const char *section, const char *key, const char *value);
char	*ini_without(const char *text, const char *section);

#endif /* CMD_MINIMIZE_H */
