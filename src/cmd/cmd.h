/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the subcommands share.
 *
 * Options are table rows too: one row gives the name, the word for its argument, the
 * line in --help and, for those that override a key of [global], that key.
 */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>

#include <harness/profile.h>
#include <harness/result.h>

struct cmd_option {			/* stable */
	int co_id;			/* what cmd_getopt returns; a letter is its short form */
	const char *co_name;		/* without the dashes */
	const char *co_arg;		/* NULL: takes none */
	const char *co_help;
	const char *co_key;		/* key of [global] that it overrides, or NULL */
};

#define CMD_NOSHORT 256			/* ids from here on have no short form */
#define CMD_HELP    1000		/* --help was answered; leave with EXIT_CLEAN */
#define CMD_BAD	    1001		/* a message was printed; leave with EXIT_USAGE */
#define CMD_END	    (-1)

struct command {			/* stable */
	const char *c_name;		/* "run", "trace record" */
	const char *c_synopsis;
	const char *c_help;		/* one line */
	const struct cmd_option *c_options; /* up to a row without name; NULL: none */
	bool c_stop_at_word;		/* options end at the first other word */
	int (*c_main)(const struct command *, int argc, char **argv);
};

extern const struct command cmd_minimize, cmd_replay, cmd_run, cmd_audit, cmd_check, cmd_list, cmd_trace, cmd_bench, cmd_selftest,
    cmd_report, cmd_daemon, cmd_ctl;
extern const char *cmd_program;		/* as it was called: argv[0] */

/*
 * cmd_getopt: the next option; its argument in *arg, its row in *row.
 * => CMD_END: no more, *first is the index of the first word that is none
 * => CMD_HELP, CMD_BAD as above
 */
int cmd_getopt(const struct command *, int argc, char **argv, const struct cmd_option **row,
    const char **arg, int *first);

/*
 * cmd_usage: print one line and how to get help.  => EXIT_USAGE
 * cmd_fail: print one line.  => status
 */
int cmd_usage(const struct command *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int cmd_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One override of a profile from the command line. */
struct override {
	const char *ov_key;		/* NULL: --set */
	const char *ov_value;
	const char *ov_option;		/* its name, for messages */
};

struct overrides {
	struct override *ovs_v;
	size_t ovs_n;
};

/* Rows that every command with JOBFILEs has. */
#define PROFILE_CMD_OPTIONS \
	{ CMD_NOSHORT + 50, "cpus", "N", "simulated CPUs, 1 to 256", "cpus" }, \
	{ CMD_NOSHORT + 51, "time", "D", "how long: 500ms, 60s, 10m, 4h, 0 = until stopped", "time" }, \
	{ CMD_NOSHORT + 52, "ops", "N", "stop after N operations per worker instead", "ops" }, \
	{ CMD_NOSHORT + 53, "seed", "N", "every random choice derives from it", "seed" }, \
	{ CMD_NOSHORT + 54, "memory", "S", "simulated RAM: 64M, 1G", "memory" }, \
	{ CMD_NOSHORT + 55, "swap", "S", "simulated swap space", "swap" }, \
	{ CMD_NOSHORT + 56, "schedule", "NAME", "who runs when: free, mix, random, pos, pct[:DEPTH]", "schedule" }, \
	{ CMD_NOSHORT + 57, "iterations", "N", "executions, with seeds seed, seed+1, ...", "iterations" }, \
	{ CMD_NOSHORT + 66, "chaos", "SPEC", "delays of threads that run free: p=0.001,ns=100us,...", "chaos" }, \
	{ CMD_NOSHORT + 65, "keep-going", NULL, "iterations: go on after a violation", "keep-going" }, \
	{ CMD_NOSHORT + 58, "audit", "NAME", "lock auditing: off, order, full", "audit" }, \
	{ CMD_NOSHORT + 59, "interrupts", "NAME", "how interrupts reach a CPU: poll, signal", "interrupts" }, \
	{ CMD_NOSHORT + 60, "inject", "SPEC", "places that fail: page-alloc:p=0.01,...", "inject" }, \
	{ CMD_NOSHORT + 61, "bug", "NAME", "known bugs to switch on: see `uvmstress list bugs`", "bug" }, \
	{ CMD_NOSHORT + 63, "waivers", "FILE", "findings of the lock auditor that may stand, with reasons", "waivers" }, \
	{ CMD_NOSHORT + 64, "audit-stop", NULL, "end the run at the first finding of the lock auditor", "audit-stop" }, \
	{ CMD_NOSHORT + 62, "set", "SECTION.KEY=VALUE", "override one line of a profile", NULL }

/*
 * overrides_take: was this option one of the above?  Then it is remembered.
 */
bool overrides_take(struct overrides *, const struct cmd_option *, const char *arg);

/* overrides_add: the command itself sets a key of [global]; what follows may override it. */
void overrides_add(struct overrides *, const char *key, const char *value);

/*
 * cmd_load_profile: parse the files, apply the overrides, resolve, look for files.
 * => EXIT_CLEAN and the profile, for profile_destroy; or EXIT_USAGE, told to the user
 * => frees the overrides
 */
int cmd_load_profile(const struct command *, char **files, int nfiles, struct overrides *,
    bool want_seed, struct profile **);

#endif /* CMD_H */
