/*
 * callout(9): a function that is called once after a time.  Devices are made of it: it
 * runs at the clock's level (IPL_SCHED), on any CPU, so it may post an interrupt or
 * wake somebody, and no more.
 */
#ifndef SYS_CALLOUT_H
#define SYS_CALLOUT_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

/*	:  stable after callout_init()	t  timer_lock	*/
struct callout {
	void		(*c_fn)(void *);	/* : */
	void		*c_arg;			/* : */
	uint64_t	 c_deadline;		/* t; 0: not pending */
	bool		 c_firing;		/* t: taken off the list, fn is called now */
	TAILQ_ENTRY(callout) c_chain;		/* t */
};

/* => any context, nobody knows it yet; not pending */
void	callout_init(struct callout *, void (*fn)(void *), void *arg);
/* => any context; fn(arg) after ns of the machine's time; later if it was pending already */
void	callout_schedule(struct callout *, uint64_t ns);
/* => not pending; fn may run at this moment.  any context */
void	callout_stop(struct callout *);
/* => not pending and not running; thread context, not at raised IPL */
void	callout_halt(struct callout *);

#endif /* SYS_CALLOUT_H */
