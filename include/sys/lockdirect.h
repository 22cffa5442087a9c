/*
 * A deadlock that was foretold, looked for.
 *
 * The auditor finds circles of lock classes from threads that never met.  With such a circle set before boot,
 * each LWP that is about to want a lock of it while it holds the one before says so to the schedule
 * (host_sched_meet()), which brings those together who could end up waiting for each other
 * ("direct", <host/sched.h>).  Whoever has to wait is remembered; and when a chain of LWPs, each of
 * which holds the very lock that the one before it waits for, comes back to where it began, that is a deadlock,
 * and the end: a violation of grade confirmed.  The schedule that led there is its recording.
 *
 * Waits for mutexes and rwlocks count if either side is exclusive: readers who wait behind a writer are left to
 * the watchdog.  A circle may go through what is no lock, too (<sys/lockevent.h>; needs lockaudit_full); it is looked
 * for when nobody can run any more, or when the watchdog finds that somebody hangs: they ask lockdirect_stuck().
 * Of the kinds of the circle there may be many, and the hang somebody else's:
 *
 *	page-busy	the LWP at the next place has made busy the very page (map, ...) that this one waits for
 *	page-busy=io-done	nobody has: it has been passed on
 *	sleep:NAME=lock	who has to wake the sleeper is not known; but somebody waits for the very lock that the
 *			LWP at the next place has, and the sleeper has slept for long
 *
 * Who looks is chosen by nothing but the circle: a replay, which has another strategy, finds the same.
 */
#ifndef SYS_LOCKDIRECT_H
#define SYS_LOCKDIRECT_H

#include <stdbool.h>
#include <stdint.h>

/* : a circle is set */
extern bool lockdirect_on;

/*
 * => the circle to be looked for from the next boot on: names of lock classes and events, each held (or, if an
 *    event, to be ended) while the next one is wanted, the last one being the first: "amap>map>amap";
 *    "map>map>map": two of one class.  Where there is a = no party stands: who waits for the one waits for the
 *    other thereby: "map>page-busy:file=io-done>map".  NULL: none.  Needs lock debugging (lockdebug_on).
 * => how many places it has; 0: that is no circle, or it has more than HOST_PLACES
 */
unsigned lockdirect_set(const char *circle);

/* => the current LWP may have to wait for that event, of that node of the graph: a point; lockdirect_on */
void	lockdirect_meet_event(uint32_t node);
/* => the current LWP is about to sleep for that one of its kind; lockdirect_on */
void	lockdirect_sleeps(uint32_t node, uint32_t number);
/* => it has been woken; lockdirect_on */
void	lockdirect_slept(void);
/* => it has to end the waits for that one of its kind, from here on; no longer; lockdirect_on */
void	lockdirect_begins(uint32_t node, uint32_t number);
void	lockdirect_ends(uint32_t node, uint32_t number);

/*
 * => nobody will move any more: if that is because the circle is closed, its violation is told, and
 *    this does not return.
 * => patience: who has slept for less than so many ns may still be woken; 0: by nobody
 */
void	lockdirect_stuck(uint64_t patience);

#endif /* SYS_LOCKDIRECT_H */
