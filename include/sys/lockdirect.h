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
 * Only waits for mutexes and rwlocks count, and only if either side is exclusive: readers who wait behind a
 * writer are left to the watchdog.  Who looks is chosen by nothing but the circle: a replay, which has another
 * strategy, finds the same.
 */
#ifndef SYS_LOCKDIRECT_H
#define SYS_LOCKDIRECT_H

#include <stdbool.h>
#include <stdint.h>

/* : a circle is set */
extern bool lockdirect_on;

/*
 * => the circle to be looked for from the next boot on: names of lock classes, each held while the next one is
 *    wanted, the last one being the first: "amap>map>amap"; "map>map>map": two of one class.  NULL: none.
 *    Needs lock debugging (lockdebug_on).
 * => how many places it has; 0: that is no circle, or it has more than HOST_PLACES
 */
unsigned lockdirect_set(const char *circle);

#endif /* SYS_LOCKDIRECT_H */
