/*
 * Sleeping on an address, the classic way, and the queues under mutex,
 * rwlock and condvar.  First in, first out for each channel; buckets are
 * chosen by address but no decision is: order of wakeup depends only on the
 * order of arrival.
 */
#ifndef SYS_SLEEPQ_H
#define SYS_SLEEPQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mutex.h>

typedef const volatile void *wchan_t;

/*
 * mtsleep: release mtx and sleep on the channel, atomically with respect to
 * wakeup() of that channel by somebody who holds mtx.
 * => mtx (adaptive or spin) held on entry; on return held again, unless
 *    norelock (UVM_UNLOCK_AND_WAIT).
 * => no other lock may be held, but those that the rules of uvm-spec 14.4 allow
 * => timo 0 = for ever; EWOULDBLOCK after timo nanoseconds, else 0
 */
int	mtsleep(wchan_t, bool norelock, const char *wmesg, uint64_t timo_ns, kmutex_t *mtx);
/* => wake all, or the longest sleeper; any context up to IPL_SCHED, callable with spin locks. */
void	wakeup(wchan_t);
void	wakeup_one(wchan_t);
/* => timed pause with no lock held; the way out of a trylock livelock (H-4). */
void	kpause(const char *wmesg, uint64_t ns);
/* => is anybody asleep on the channel? A snapshot. */
bool	sleepq_has_waiters(wchan_t);
/* => who has slept there for longest, or NULL; he may be gone unless the caller keeps wakers out */
struct lwp *sleepq_sleeper(wchan_t);
/* => how many sleep there, and have not been woken; a snapshot, unless the caller keeps wakers out */
unsigned sleepq_asleep(wchan_t);

#endif /* SYS_SLEEPQ_H */
