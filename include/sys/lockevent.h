/*
 * Waits that are no lock's, for audit=full.
 *
 * Who waits for a busy page, for memory or for the disk waits for somebody, as with a lock,
 * and can be part of a deadlock in which nobody wants a lock twice.  So each such wait is a
 * node in the graph of lock order, an event:
 *
 *	held ---> event		somebody waited for it with `held` in hand
 *	event ---> wanted	who must end the wait wanted that first
 *
 * and a deadlock through a page or through memory is a cycle, seen before it hangs.
 *
 * Declared events (lockevent.def) know who ends them.  That context says so: it holds the
 * event, as it were, from lockevent_begin() to lockevent_end(), and what it waits for
 * meanwhile is what those need who wait for the event: a busy page is held by who made it
 * busy; memory, by the page daemon in its round; the disk, by its interrupt handler.  When
 * the duty passes to another context (an asynchronous write is started) lockevent_pass()
 * says to which.  Events are not waited for by trying, and to begin one is no wait.
 *
 * All other sleeps are events by their wmesg.  Nobody has said who ends them, so it is
 * inferred, as lock sets are: what an LWP held at every single wakeup so far that anybody
 * slept for.  What a sleeper held while it was woken cannot have been needed.  A sleep with
 * a time-out ends by itself.  Cycles through inferred edges are judged when the sleep has
 * been ended LOCKEVENT_SURE times, when everything stands still, and at the end.
 *
 * Off: one predictable branch.
 */
#ifndef SYS_LOCKEVENT_H
#define SYS_LOCKEVENT_H

#include <stdbool.h>
#include <stdint.h>

enum lock_event {
	LE_NONE,			/* memory that was zeroed names no event */
#define	LOCK_EVENT(name, text, rank, nest, reason)	LE_##name,
#include "../../locks/lockevent.def"
#undef LOCK_EVENT
	LE_COUNT
};

#define	LOCKEVENT_SURE	64	/* wakeups after which the run need not be waited for */
#define	LOCKEVENT_LAST	8	/* what a run is judged by at its end */

/* : audit=full; set before boot */
extern bool lockaudit_full;

/* --- for the macros below, which see to it that all this costs nothing when it is off --- */
void	lockevent_wait_(enum lock_event);
void	lockevent_begin_(enum lock_event, uint32_t number);
void	lockevent_end_(enum lock_event, uint32_t number);
void	lockevent_pass_(enum lock_event, enum lock_event, uint32_t number);
void	lockevent_depends_(enum lock_event, enum lock_event);
void	lockevent_next_(enum lock_event, uint32_t number);

#define	LOCKEVENT_(call)	do {						\
	if (__builtin_expect(lockaudit_full, 0))				\
		call;								\
} while (0)

/* => the current LWP, or the interrupt handler on it, is about to wait, awake (a spin loop) */
#define	lockevent_wait(ev)	LOCKEVENT_(lockevent_wait_(ev))
/*
 * => its next sleep (mtsleep, cv_wait) is for this event, whatever its wmesg
 * => _of: for that one of its kind, a page or a map by its number.  The graph knows kinds alone; a deadlock
 *    is confirmed of single ones (<sys/lockdirect.h>).
 */
#define	lockevent_next(ev)	lockevent_next_of(ev, 0)
#define	lockevent_next_of(ev, number)	LOCKEVENT_(lockevent_next_(ev, number))
/* => the current context has to end waits for it; nests, and need not nest with locks */
#define	lockevent_begin(ev)	lockevent_begin_of(ev, 0)
#define	lockevent_begin_of(ev, number)	LOCKEVENT_(lockevent_begin_(ev, number))
#define	lockevent_end(ev)	lockevent_end_of(ev, 0)
#define	lockevent_end_of(ev, number)	LOCKEVENT_(lockevent_end_(ev, number))
/* => ends what was begun: from here on it is up to who has to end waits for `to` */
#define	lockevent_pass(ev, to, number)	LOCKEVENT_(lockevent_pass_(ev, to, number))
/* => who waits for ev waits for `to`, at times */
#define	lockevent_depends(ev, to) LOCKEVENT_(lockevent_depends_(ev, to))

/*
 * => judge what has been inferred from so many wakeups or more: at the end of a run, or when
 *    everything stands still (1); no lock held.  Nothing when off.
 */
void	lockevent_judge(unsigned min);
/* => how many of them the current LWP has begun and not ended: for assertions; 0 when off */
unsigned lockevent_begun(enum lock_event);

#endif /* SYS_LOCKEVENT_H */
