/*
 * LWPs: host threads with a name that run kernel and user code while they
 * hold a simulated CPU.
 *
 *	LSIDL --start--> LSRUN <--> LSONPROC --sleep--> LSSLEEP --wakeup--> LSRUN
 *	LSONPROC --exit--> LSZOMB
 *
 * To sleep is to give the CPU up; to wake is to queue for one, perhaps
 * another.  There is no preemption inside the kernel: an LWP loses its CPU
 * only where it sleeps, calls yield(), or crosses the user boundary with its
 * quantum used up.
 */
#ifndef SYS_LWP_H
#define SYS_LWP_H

#include <bsd/sys/queue.h>
#include <host/host.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/lockdebug.h>

#define	LWP_NAME_MAX	32

#define	LWP_SLEPT_MAX	8		/* of what a sleeper holds the auditor looks at so many */

enum lwp_stat { LSIDL, LSRUN, LSONPROC, LSSLEEP, LSZOMB };

struct cpu_info;
struct proc;
struct pmap;
struct uarea;
struct sleep_event;

/* Room for the machine floor: deferred TLB invalidations of this LWP (pmap_tlb.c).  v: at IPL_VM,
 * for an interrupt uses it, too. */
#define	LWP_TLB_VAS	16
struct lwp_tlb {
	struct pmap	*lt_pmap;		/* !v, read @: pmap of the packet, NULL = empty */
	int		 lt_nva;		/* !v > LWP_TLB_VAS: flush everything */
	uint64_t	 lt_va[LWP_TLB_VAS];	/* !v */
	struct pv_entry	*lt_gone;		/* !v of mappings that were removed: see pmap_pv.c */
	int		 lt_ngone;		/* !v, read @: how many */
};

/*
 *	:  stable after creation	!  only this LWP while it runs
 *	s  sleep queue chain lock	r  run queue lock of l_cpu	@ atomic
 */
struct lwp {
	int		 l_stat;		/* @ enum lwp_stat; first, see lwp_alloc() */
	uint32_t	 l_id;			/* : small number, never reused */
	char		 l_name[LWP_NAME_MAX];	/* : */
	struct proc	*l_proc;		/* : NULL for kernel LWPs until proc_attach() */
	struct pmap	*l_pmap;		/* ! pmap that its user accesses go through */
	struct uarea	*l_addr;		/* ! its u-area, the VM floor's; NULL: has none */
	struct host_thread *l_thread;		/* : */
	int		 l_bell;		/* @ its thread's doorbell; 0: has not begun */
	struct cpu_info	*l_cpu;			/* ! while running; r otherwise */
	bool		 l_idle;		/* : is a CPU's idle LWP */

	uint8_t		 l_event;		/* ! enum lock_event that its next sleep is for */
	bool		 l_timed;		/* ! that sleep, with a time-out */
	struct sleep_event *l_sleep;		/* s: what it sleeps for, by wmesg; audit=full */
	uint32_t	 l_slept[LWP_SLEPT_MAX];	/* s: classes that it holds meanwhile */
	int		 l_nslept;		/* s */
	uint32_t	 l_event_of;		/* ! which of the kind that l_event is, or 0 */
	uint64_t	 l_holds;		/* ! locks taken so far, for their holds' numbers; audit=full */

	const volatile void *l_wchan;		/* s */
	const char	*l_wmesg;		/* s, read @ by reports */
	int		 l_werror;		/* s: how the sleep ended */
	int		 l_offcpu;		/* @ LW_: who makes it run again, sleeper or waker */
	uint64_t	 l_deadline;		/* timer lock; 0: no time-out */
	TAILQ_ENTRY(lwp) l_timerchain;		/* timer lock */
	TAILQ_ENTRY(lwp) l_sleepchain;		/* s */
	TAILQ_ENTRY(lwp) l_runchain;		/* r */
	TAILQ_ENTRY(lwp) l_list;		/* all LWPs, kern_lwp.c's lock */
	bool		 l_woken;		/* r: woken in the kernel, see runq_push() */
	int		 l_rwhow;		/* s: what a sleeper on an rwlock wants */

	uint64_t	 l_beats;		/* ! signs of life; read @ by the watchdog */
	int		 l_patient;		/* ! see lwp_patient(); read @ */
	const void	*l_wants;		/* ! lock that it spins for, or sleeps; read @ likewise */
	uint64_t	 l_seen_beats;		/* the watchdog's: l_beats when it last changed, */
	uint64_t	 l_seen_since;		/* and when that was */
	uint64_t	 l_seen_excused;	/* and when it last waited for somebody who gets on */

	unsigned	 l_quantum;		/* ! user operations until the next yield */
	unsigned	 l_slice;		/* @ clock ticks since the last one */
	struct host_rng	 l_rng;			/* ! its own random stream */
	struct lwp_tlb	 l_tlb;			/* ! */
	struct held_stack l_held;		/* ! */
	uint64_t	 l_onlytry;		/* ! classes of locks that it may try, but not wait for */
	bool		 l_givesback;		/* ! it unmaps: the last pages are for such, too */

	void		(*l_func)(void *);	/* : */
	void		*l_arg;			/* : */
};

/* local-exec: one instruction away; it is in programs only, never in a shared library */
extern __thread struct lwp *curlwp_tls __attribute__((tls_model("local-exec")));
#define	curlwp		curlwp_tls

/*
 * => a new LWP, not yet running; proc may be NULL (kernel thread).
 * => 0 or errno (EAGAIN, ENOMEM of the host)
 */
int	lwp_create(struct lwp **, struct proc *, const char *name, void (*)(void *), void *arg);
void	lwp_start(struct lwp *);		/* make it runnable */
/* => sleeps until the LWP has exited, then frees it. */
void	lwp_wait(struct lwp *);
/* => give the CPU to another runnable LWP, if there is one. No lock held. */
void	yield(void);
/*
 * The user boundary: asserts that nothing is held, no TLB packet is pending and
 * IPL is 0; passes an RCU quiescent state; polls interrupts; yields when the
 * quantum is used up.  Engine and MMU call it; cost counts operations, not time,
 * so that one CPU is deterministic.
 */
void	lwp_userret(unsigned cost);
#define	LWP_QUANTUM	4096

/*
 * Signs of life, for the watchdog.  lwp_beat(): something that was asked of this LWP is done
 * (a return to user mode, a fault, a daemon's round).  An LWP that gives none for long has
 * hung, however busy it looks; but not one that waits for work, or for other LWPs, which are
 * watched themselves: that is what lwp_patient() says, around such a wait.
 */
static inline void
lwp_beat(void)
{
	host_count(&curlwp->l_beats, 1);	/* the watchdog looks */
}

static inline void
lwp_patient(bool on)
{
	lwp_beat();
	__atomic_store_n(&curlwp->l_patient, on, __ATOMIC_RELAXED);
}

/* => until it is called again the LWP waits for that lock; the one before, of what was interrupted */
static inline const void *
lwp_wants(const void *lock)
{
	const void *before = curlwp->l_wants;

	__atomic_store_n(&curlwp->l_wants, lock, __ATOMIC_RELAXED);
	return before;
}

/*
 * A section in which the LWP blocks in the host and holds no CPU: RCU grace
 * periods, joins.  No lock held; no kernel state may be touched inside.
 */
void	lwp_release_cpu(void);
void	lwp_acquire_cpu(void);

/* => calls fn for every LWP, under the list lock; for dumps. */
void	lwp_foreach(void (*fn)(struct lwp *, void *), void *);
/* => the same without the lock, for a machine whose lock may never come free: some may be missed */
void	lwp_peek(void (*fn)(struct lwp *, void *), void *);

#endif /* SYS_LWP_H */
