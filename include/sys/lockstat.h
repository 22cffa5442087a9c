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

/* A sum over all CPUs, taken while they run. */
struct lockstat {
	uint64_t ls_acquisitions;
	uint64_t ls_contended;		/* of which had to spin or sleep */
	uint64_t ls_wait_ns;		/* so long, in all */
	uint64_t ls_hold_ns_max;	/* longest hold that was sampled */
};

/* --- for mutex(9), rwlock(9) and lockdebug --- */

/* => boot, before any lock is used: counts begin at 0 */
void	lockstat_init(void);
/* => any context, on the CPU that had the lock; one hold of LOCKSTAT_SAMPLE was so long */
void	lockstat_held(enum lock_class, uint64_t ns);
/* => likewise: it was contended, and waited for so long; returns ns */
uint64_t lockstat_waited(enum lock_class, uint64_t ns);

/*
 * Of one call of mutex_enter() or its like, for one class; audit=full.
 * All fields: @ only the CPU they are counted on writes them; of lockstat_sites() a copy.
 */
struct lockstat_site {
	const void	*lss_where;	/* return address */
	uint32_t	 lss_class;	/* node of the graph */
	uint64_t	 lss_acquisitions;
	uint64_t	 lss_contended, lss_wait_ns, lss_wait_ns_max;
	uint64_t	 lss_holds, lss_hold_ns, lss_hold_ns_max;	/* those that were timed */
};

/* => boot: no call site is known */
void	lockstat_site_init(void);
/* => with audit=full only; on any CPU, masked */
void	lockstat_site_acquired(const void *where, uint32_t class);
void	lockstat_site_waited(const void *where, uint32_t class, uint64_t ns);
void	lockstat_site_held(const void *where, uint32_t class, uint64_t ns);
/* => how many of max, those first that waited longest in all; lost: events that found no room */
unsigned lockstat_sites(struct lockstat_site *, unsigned max);
uint64_t lockstat_sites_lost(void);

/* => any LWP; numbers of a running machine are approximate */
void	lockstat_get(enum lock_class, struct lockstat *);

#endif /* SYS_LOCKSTAT_H */
