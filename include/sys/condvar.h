/*
 * condvar(9), after NetBSD.  Waiters recheck their predicate; signal and
 * broadcast are called with the mutex of the waiters held.
 */
#ifndef SYS_CONDVAR_H
#define SYS_CONDVAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mutex.h>

typedef struct kcondvar {
	const char	*cv_wmesg;	/* stable */
	uint32_t	 cv_id;		/* birth number, stable; the wait channel is the address */
} kcondvar_t;

/* => any context; wmesg is what its waiters are seen to wait for, and lasts */
void	cv_init(kcondvar_t *, const char *wmesg);
/* => nobody waits, else a panic */
void	cv_destroy(kcondvar_t *);
/* => mutex held on entry and on return, released while asleep; thread context, no other spin mutex held */
void	cv_wait(kcondvar_t *, kmutex_t *);
/* => likewise; EWOULDBLOCK after timo nanoseconds, else 0. */
int	cv_timedwait(kcondvar_t *, kmutex_t *, uint64_t timo_ns);
/* => one waiter, the longest, or all go on when they get the mutex; any context to the mutex's IPL */
void	cv_signal(kcondvar_t *);
void	cv_broadcast(kcondvar_t *);
/* => of this moment, unless the mutex is held */
bool	cv_has_waiters(kcondvar_t *);
struct lwp;
/* => likewise: who has waited longest, or NULL; for inspectors */
struct lwp *cv_sleeper(kcondvar_t *);

#endif /* SYS_CONDVAR_H */
