/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One table row per option.
 *
 * A row says everything about a key of a job file: its type, its range, its
 * default, where the value is stored and one sentence for people.  The parser,
 * `uvmstress check`, `uvmstress list` and --set all walk the same rows, so a
 * key cannot be accepted by one and unknown to another, and adding an option
 * is adding a row.
 *
 * The C type behind opt_offset follows from opt_type:
 *
 *	OPT_SIZE	uint64_t	bytes: 4096, 64K, 8M, 1G
 *	OPT_INT		uint64_t	a plain decimal number
 *	OPT_DURATION	uint64_t	nanoseconds: 500ms, 60s, 10m, 4h, 0
 *	OPT_FRACTION	double		0 to 1
 *	OPT_BOOL	bool		on/off, yes/no, true/false
 *	OPT_ENUM	unsigned	index into opt_names
 *	OPT_PATH	char *		owned; relative to the job file
 *	OPT_TEXT	char *		owned
 */
#ifndef HARNESS_OPTION_H
#define HARNESS_OPTION_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
	OPT_SIZE,
	OPT_INT,
	OPT_DURATION,
	OPT_FRACTION,
	OPT_BOOL,
	OPT_ENUM,
	OPT_PATH,
	OPT_TEXT,
};

/*
 * All fields are stable: rows are const.
 *
 * A SIZE whose opt_min is a multiple of the page size must be whole pages itself.
 * A PATH without a default must be given.
 */
#define OPTION_PAGE	4096
#define OPTION_TEXT_MAX 900	/* bytes in a PATH or TEXT: fits a line with its key */

struct option_row {
	const char *opt_key;		/* as written in a job file */
	enum option_type opt_type;
	size_t opt_offset;		/* into the struct that holds the values */
	uint64_t opt_min, opt_max;	/* SIZE, INT, DURATION: inclusive, in the stored unit */
	const char *opt_default;	/* as written in a job file; NULL: no default */
	const char *const *opt_names;	/* ENUM: names, NULL-terminated */
	const char *opt_only;		/* the values that this version offers, "a|b"; NULL: all */
	const char *opt_help;		/* one line */
};

/*
 * option_find: the row of that key, or NULL.
 */
const struct option_row *option_find(const struct option_row *rows, size_t nrows,
    const char *key);

/*
 * option_parse: read text into the field of row inside base.
 * => dir: what a relative path is relative to; "" for the current directory
 * => refuses what opt_only rules out
 * => 0, or EINVAL with the reason in why, without the key ("must be on or off");
 *    the value is then unspecified, yet of its type.  PATH and TEXT: the old string is freed
 */
int option_parse(const struct option_row *row, void *base, const char *text, const char *dir,
    char *why, size_t whylen);

/*
 * option_format: the value as option_parse would read it, in fresh memory; "" for a path
 * or text that is not set.
 */
char *option_format(const struct option_row *row, const void *base);

/*
 * option_allowed: what the row takes, for messages and lists: "1 to 256", "on or off".
 */
void option_allowed(const struct option_row *row, char *buf, size_t buflen);

/*
 * option_fini: free what the fields of these rows own inside base.
 */
void option_fini(const struct option_row *rows, size_t nrows, void *base);

/*
 * format_size: 8388608 -> "8M"; exact, in the largest unit that divides it.
 * format_duration: nanoseconds -> "500ms", "60s", "0"; exact likewise.
 */
void format_size(uint64_t bytes, char *buf, size_t buflen);
void format_duration(uint64_t ns, char *buf, size_t buflen);

/*
 * nearest_name: the name that was probably meant, or NULL.
 * => next is called with 0, 1, ... until it returns NULL
 * => near: at most two edits away, and fewer edits than half the word
 */
const char *nearest_name(const char *word, const char *(*next)(const void *ctx, size_t i),
    const void *ctx);

#endif /* HARNESS_OPTION_H */
