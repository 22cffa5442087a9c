/*
 * Lock statistics by class, as lockstat(8) has them by lock.
 *
 * Kept per CPU and summed on demand.  Acquisitions and hold times need lock
 * debugging; hold times are sampled, one acquisition in LOCKSTAT_SAMPLE.
 */
#ifndef SYS_LOCKSTAT_H
#define SYS_LOCKSTAT_H

#include <stdint.h>
#include <sys/lockdebug.h>

#define	LOCKSTAT_SAMPLE	64

struct lockstat {
	uint64_t ls_acquisitions;
	uint64_t ls_contended;		/* of which had to spin or sleep */
	uint64_t ls_wait_ns;		/* so long, in all */
	uint64_t ls_hold_ns_max;	/* longest hold that was sampled */
};

/* --- for mutex(9), rwlock(9) and lockdebug --- */

void	lockstat_init(void);
/* => true: time this hold */
bool	lockstat_acquired(enum lock_class);
void	lockstat_held(enum lock_class, uint64_t ns);
void	lockstat_waited(enum lock_class, uint64_t ns);

/* => any LWP; numbers of a running machine are approximate */
void	lockstat_get(enum lock_class, struct lockstat *);

#endif /* SYS_LOCKSTAT_H */
