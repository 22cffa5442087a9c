/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The invariants by name, and how often each was looked at in this run.
 *
 * Inspectors take the ids that they report from the table, so that none is reported that
 * `uvmstress list checks` does not know.
 */
#ifndef HARNESS_CHECKS_H
#define HARNESS_CHECKS_H

#include <stddef.h>
#include <stdint.h>

struct run_result;

enum check_id {
#define	INVARIANT(name, id, how, sentence, source, note)	CHK_##name,
#include <harness/checks.def>
#undef INVARIANT
	CHK_COUNT
};

/* How it is held: see checks.def.  A set. */
enum {
	CHECK_ASSERTED = 0x01, CHECK_ONLINE = 0x02, CHECK_REST = 0x04, CHECK_CONTENT = 0x08,
	CHECK_WATCHED = 0x10, CHECK_BUILT = 0x20, CHECK_THROUGH = 0x40, CHECK_CANNOT = 0x80,
};
#define	CHECK_NHOW	8

/* One row; stable. */
struct check_info {
	const char *ch_id;		/* "I-PG-2" */
	unsigned    ch_how;
	const char *ch_sentence;	/* what must hold */
	const char *ch_source;
	const char *ch_note;		/* or NULL */
};
extern const struct check_info check_table[CHK_COUNT];
extern const char *const check_how_name[CHECK_NHOW];	/* by bit */

#define	CHECK_ID(name)	(check_table[CHK_##name].ch_id)

/* => the row of that id, or NULL */
const struct check_info *check_find(const char *id);

/*
 * checks_ran: each of these was looked at once more.  CHECKS_RAN(CHK_I_PG_2, ...): likewise.
 * check_violated: something of that id was reported; nothing if no row has it.
 * => any thread; nothing sleeps
 */
void	checks_ran(const enum check_id *, size_t n);
#define	CHECKS_RAN(...)	do {							\
	static const enum check_id ran_[] = { __VA_ARGS__ };			\
	checks_ran(ran_, sizeof(ran_) / sizeof(ran_[0]));			\
} while (0)
void	check_violated(const char *id);

/* checks_begin: a run begins, nothing was looked at.  checks_result: what was, into the result. */
void	checks_begin(void);
void	checks_result(struct run_result *);

#endif /* HARNESS_CHECKS_H */
