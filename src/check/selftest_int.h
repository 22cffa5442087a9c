/*
 * Inside the self-test of the lock auditor: the table, and short words for its cases.
 */
#ifndef CHECK_SELFTEST_INT_H
#define CHECK_SELFTEST_INT_H

#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>

/* A misuse and its legal twin.  All fields: stable. */
struct st_row {
	const char	*sr_name;
	void		(*sr_bad)(int);
	int		 sr_badarg;
	const char	*sr_want;	/* rule of the violation, or words of the panic */
	void		(*sr_good)(int);	/* NULL: there is none */
	int		 sr_goodarg;
	const char	*sr_grade, *sr_goodgrade;	/* what directed schedules make of its circle; NULL: none */
};
struct st_group {
	const char	*sg_name;
	const struct st_row *sg_rows;	/* up to one without a name */
	bool		 sg_directed;	/* circles are of real locks, taken by LWPs: directed schedules try them */
};
extern const struct st_group selftest_order, selftest_modes, selftest_one, selftest_sleep,
    selftest_interrupt, selftest_full;

/* Kinds of locks.  A case may be for several: KINDS(A's, B's, C's). */
enum st_kind { MUTEX, SPIN, WRITE, READ };
#define	KINDS(a, b, c)	((a) | (b) << 2 | (c) << 4)
#define	KIND(arg, i)	((enum st_kind)((arg) >> 2 * (i) & 3))

struct st_lock {			/* !: lwp0 makes it */
	enum st_kind	 st_kind;
	kmutex_t	 st_m;
	krwlock_t	 st_rw;
};
extern struct st_lock A, B, C, G;

/* => a lock of a class of its own without a rank; of a declared class */
void	st_make(struct st_lock *, enum st_kind, const char *class);
void	st_make_as(struct st_lock *, enum st_kind, enum lock_class, ipl_t);
void	st_make_abc(int kinds);
void	take(struct st_lock *);
bool	try(struct st_lock *);
void	drop(struct st_lock *);
/* => take all, in order, then drop them in reverse */
void	take2(struct st_lock *, struct st_lock *);
void	take3(struct st_lock *, struct st_lock *, struct st_lock *);

/* => fn on an LWP of its own; returns when that has exited, but under a directed schedule at once */
void	in_lwp(void (*fn)(void));
/* => fn in a handler at that level on this CPU, now; soft levels by softint(9) */
void	in_interrupt(ipl_t, void (*fn)(void));

/* --- directed schedules (selftest_grade.c) --- */

extern bool st_at_once;
void	st_start(void (*fn)(void));
/* => in a child, at its end: the circle that the auditor has found, for st_grade() */
void	st_note_grade(void);
void	st_grade_reset(void);
/* => what becomes of the circle of the case that ran last: a grade, "": none; *why: what went wrong, or NULL */
const char *st_grade(void (*fn)(int), int arg, const char **why);
/* => false: no memory */
bool	st_grade_begin(void);
void	st_grade_end(void);

#endif /* CHECK_SELFTEST_INT_H */
