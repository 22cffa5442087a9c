/*
 * Simulated CPUs.  An LWP must hold one to run kernel or user code.
 */
#ifndef SYS_CPU_H
#define SYS_CPU_H

#include <bsd/sys/queue.h>
#include <host/host.h>
#include <stdint.h>
#include <sys/intr.h>

#define	MAXCPUS		256

struct kern_history;
struct lwp;
struct pool_cache_cpu;

/* What a clock interrupt found the CPU doing. */
enum cpustate { CP_USER, CP_SYS, CP_INTR, CP_IDLE, CPUSTATES };

/*
 * Fields are marked by what protects them:
 *	:  stable after boot		!  only the LWP that holds the CPU
 *	r  ci_runq_lock			@  atomic
 */
struct cpu_info {
	int		 ci_index;		/* : */
	struct lwp	*ci_curlwp;		/* @ holder; written by the holder or under r */
	struct lwp	*ci_idlelwp;		/* : runs when nothing else does */
	struct lwp	*ci_prevlwp;		/* ! whom the LWP that comes in takes over from */
	bool		 ci_offline;		/* r to write, read @: no LWP is to run here */
	int		 ci_idle;		/* r to write, read @: the idle LWP waits, anybody may take the CPU */
	int		 ci_ilevel;		/* ! current IPL */
	int		 ci_idepth;		/* ! interrupt nesting */
	int		 ci_intripl;		/* ! level of the innermost interrupt */
	int		 ci_mtx_count;		/* ! spin mutexes held by the LWP, or by the handler that interrupts it */
	int		 ci_mtx_oldspl;		/* ! IPL before the first of them */
	uint32_t	 ci_ipending;		/* @ bit per enum irq */
	uint32_t	 ci_softpending;	/* @ bit per ipl */
	struct kern_history *ci_history;	/* : its ring of events; see <sys/kernhist.h> */
	struct lockstat	*ci_lockstat;		/* : its own counters, by class; see <sys/lockstat.h> */
	void		*ci_md;			/* : machine floor: TLB, active pmap */
	void		*ci_uvm;		/* : VM floor: counters, free-page cache */

	struct host_lock ci_runq_lock;
	TAILQ_HEAD(, lwp) ci_runq;		/* r */
	int		 ci_runq_len;		/* r, read @ */
	int		 ci_want_resched;	/* r, read @: a woken LWP waits */
	unsigned	 ci_npops;		/* r: LWPs taken from it */

	uint64_t	 ci_nswitch;		/* ! context switches */
	uint64_t	 ci_nintr;		/* ! interrupts delivered, read @ by reports */
	uint64_t	 ci_nipi;		/* ! of which IPIs */
	uint64_t	 ci_nrung;		/* ! times that a signal found one to deliver, read @ by reports */
	uint64_t	 ci_nirq[IRQ_COUNT];	/* ! by line, read @ by reports */
	unsigned	 ci_clockleft;		/* ! and handlers, @: steps until the next tick; 0: none comes */
	bool		 ci_tickuser;		/* ! and handlers, @: the last one was posted on return to user mode */
	uint64_t	 ci_cptime[CPUSTATES];	/* ! clock interrupts by what they found, read @ by reports */
	uint64_t	 ci_nintrput;		/* @ pool items put back in interrupt, read @ by reports */
	struct host_rng	 ci_rng;		/* ! */
} __attribute__((aligned(64)));

extern struct cpu_info *cpus;			/* : array of ncpu */
extern int ncpu;
/*
 * How many of the host's cores the CPUs take turns on; 0: each has one for itself, or a schedule decides.
 * With turns, what is to be found in a core's caches when it is used again is kept for each core, by
 * host_core() % cpu_cores, and not for each CPU, which comes back to find its own gone from there.
 */
extern unsigned cpu_cores;			/* : below ncpu */

#define	curcpu()	(curlwp->l_cpu)

#include <sys/lwp.h>

/*
 * => no LWP is given to the CPU any more, or LWPs are again (cpuctl(8)); who runs there leaves
 *    soon.  Interrupts are taken as before.  EBUSY: the boot CPU stays.  Thread context.
 */
int	cpu_setstate(struct cpu_info *, bool online);

/* => in a hard or soft interrupt handler? */
static inline bool
cpu_intr_p(void)
{
	return curcpu()->ci_idepth != 0;
}

/* => deliver what may be delivered now. */
void	intr_deliver(struct cpu_info *);

/* => the same; costs a load when nothing is pending. */
#if UVMSTRESS_TSAN
void	intr_poll(void);		/* kern_spl.c: bare, see host/race.h */
#else
static inline void
intr_poll(void)
{
	struct cpu_info *ci = curcpu();

	/* acquire: pairs with the release in intr_post(); the handler sees what the poster did */
	if (__builtin_expect(__atomic_load_n(&ci->ci_ipending, __ATOMIC_ACQUIRE) != 0, 0))
		intr_deliver(ci);
}
#endif

#endif /* SYS_CPU_H */
