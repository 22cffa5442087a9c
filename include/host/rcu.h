/*
 * Read-copy-update for the simulated kernel: liburcu's QSBR flavour behind a
 * shim that ThreadSanitizer understands.
 *
 * QSBR because a simulated CPU passes quiescent states anyway (return to user
 * mode, idle, sleep), as a kernel's CPU does, and because its read side costs
 * nothing.  liburcu's call_rcu() worker threads are not used: a callback runs
 * on an LWP of ours (kern_rcu.c), where it may take locks.
 *
 * Publication and dereference are plain __atomic release and acquire, never
 * liburcu's inline assembly, which TSan cannot see.  The end of a reader's
 * section releases a per-thread tag; the end of a grace period acquires all of
 * them.  Without that pair TSan reports every deferred free.
 */
#ifndef HOST_RCU_H
#define HOST_RCU_H

#include <host/race.h>

#define	rcu_deref(p) ({								\
	__typeof__(p) rcu_p = __atomic_load_n(&(p), __ATOMIC_ACQUIRE);		\
	race_consumed(&(p));							\
	rcu_p;									\
})
#define	rcu_publish(p, v) do {							\
	race_published(&(p), sizeof(p));					\
	__atomic_store_n(&(p), (v), __ATOMIC_RELEASE);				\
} while (0)

void	host_rcu_register(void);	/* calling thread; comes online */
void	host_rcu_unregister(void);	/* calling thread, in no section: before it ends */
/* => online; sections nest; no quiescent state inside, which its caller sees to */
void	host_rcu_read_lock(void);
void	host_rcu_read_unlock(void);
void	host_rcu_quiescent(void);	/* online, in no section: what was read before is not used again */
void	host_rcu_offline(void);		/* before parking: readers' sections end */
void	host_rcu_online(void);		/* after it */
/* => waits for a grace period.  The caller is offline or not in a section. */
void	host_rcu_synchronize(void);

#endif /* HOST_RCU_H */
