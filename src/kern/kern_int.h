/*
 * Inside the kernel floor: what its files and the locks share.
 */
#ifndef KERN_KERN_INT_H
#define KERN_KERN_INT_H

#include <host/sched.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/lockevent.h>
#include <sys/sleepq.h>

/* --- sleep queues (kern_sleepq.c) --- */

/*
 * A lock may be the first member of the structure on whose address somebody
 * sleeps.  So locks, condition variables and pauses sleep inside the object, at
 * an address that no wakeup() of another purpose can name.
 */
#define	WCHAN_INSIDE(obj, n)	((wchan_t)((const volatile char *)(obj) + (n)))
#define	LOCK_WCHAN(lock)	WCHAN_INSIDE(lock, 1)
#define	CV_WCHAN(cv)		WCHAN_INSIDE(cv, 2)
#define	PAUSE_WCHAN(l)		WCHAN_INSIDE(l, 3)

struct sleepq {
	struct host_lock sq_lock;
	TAILQ_HEAD(sleepq_list, lwp) sq_lwps;	/* sq_lock; all channels of the bucket, by arrival */
} __attribute__((aligned(64)));

/* => the bucket of a channel, locked */
struct sleepq *sleepq_lock(wchan_t);
void	sleepq_unlock(struct sleepq *);
/* => locked: the current LWP is on the queue; it must call sleepq_block() soon */
void	sleepq_enter(struct sleepq *, wchan_t, const char *wmesg);
/* => unlocked: sleep until woken; timo 0 = for ever; 0 or EWOULDBLOCK */
int	sleepq_block(uint64_t timo_ns);
/* => locked: the longest sleeper of the channel, or NULL */
struct lwp *sleepq_first(struct sleepq *, wchan_t);
/* => locked: the next sleeper on the same channel */
struct lwp *sleepq_next(struct lwp *);
/* => locked: take it off; the caller calls lwp_wake() after unlocking, or at once */
void	sleepq_remove(struct sleepq *, struct lwp *, int error);
void	sleepq_init(void);

/* --- who runs (kern_lwp.c) --- */

#define	LW_ONCPU	0	/* still on its CPU */
#define	LW_OFFCPU	1	/* has left it: the waker must queue it */
#define	LW_WOKEN	2	/* woken: goes on without leaving, or when a CPU is found */

/* => l_offcpu is LW_ONCPU and l_stat is LSSLEEP: leave the CPU unless woken by now */
void	lwp_block(void);
/* => any context: an LWP that called, or is about to call, lwp_block() */
void	lwp_wake(struct lwp *);
void	lwp_init(uint64_t seed);
void	lwp_fini(void);
struct lwp *lwp_alloc(const char *name);
void	lwp_free(struct lwp *);
/* => the clock's hook: another tick of the slice of whoever runs */
void	sched_tick(struct cpu_info *);
/* => the thread's body of a CPU's idle LWP */
void	idle_main(void *);

/* --- the clock (kern_clock.c) --- */

/* => steps between two ticks of a CPU, 0 for none; the hooks of the kernel floor come next */
void	clock_init(unsigned steps);
/* => the CPU counts from now on */
void	clock_start(struct cpu_info *);
/* => the CPU's own: a tick is posted to it; user: on return to user mode */
void	clock_tick(struct cpu_info *, bool user);

/* => the CPU has made a step */
static inline void
clock_step(struct cpu_info *ci, bool user)
{
	/* relaxed: see clock_tick() */
	unsigned left = __atomic_load_n(&ci->ci_clockleft, __ATOMIC_RELAXED);

	if (left == 0)
		return;
	__atomic_store_n(&ci->ci_clockleft, left - 1, __ATOMIC_RELAXED);
	if (left == 1)
		clock_tick(ci, user);
}

/* --- IPLs, where it matters what they cost --- */

/* => splraise() on the current CPU, which is known */
static inline int
spl_raise(struct cpu_info *ci, ipl_t ipl)
{
	const int old = ci->ci_ilevel;

	if (UVMSTRESS_TSAN)
		return splraise(ipl);		/* which tells of it */
	ci->ci_ilevel = (int)ipl > old ? (int)ipl : old;	/* no branch: either is common */
	return old;
}

/*
 * splx() on the current CPU, which is known; no spin mutex has been taken since and is still held.
 * In two parts, for who calls nothing but at his end: the second is to be called for what the first returns.
 */
enum spl_rest { SPL_DONE, SPL_POLL, SPL_TICK };

static inline enum spl_rest
spl_restore_quick(struct cpu_info *ci, int old)
{
	unsigned left;

	if (UVMSTRESS_TSAN) {
		splx(old);
		return SPL_DONE;
	}
	KASSERT(old <= ci->ci_ilevel);
	/* relaxed: as in clock_step() */
	left = __atomic_load_n(&ci->ci_clockleft, __ATOMIC_RELAXED);
	ci->ci_ilevel = old;
	if (left != 0) {
		if (__builtin_expect(left == 1, 0))
			return SPL_TICK;
		__atomic_store_n(&ci->ci_clockleft, left - 1, __ATOMIC_RELAXED);
	}
	/* acquire: as in intr_poll() */
	return __builtin_expect(__atomic_load_n(&ci->ci_ipending, __ATOMIC_ACQUIRE) != 0, 0) ? SPL_POLL : SPL_DONE;
}
void	spl_restore_rest(struct cpu_info *, enum spl_rest);

static inline void
spl_restore(struct cpu_info *ci, int old)
{
	const enum spl_rest rest = spl_restore_quick(ci, old);

	if (__builtin_expect(rest != SPL_DONE, 0))
		spl_restore_rest(ci, rest);
}

/*
 * => in no interrupt, and lockdebug_sleep_barrier() would find nothing: neither need be asked.  A
 *    handler's level is above IPL_NONE; a spin mutex is among the locks held, if anybody looks at them
 */
static inline bool
lockdebug_barrier_open(const struct lwp *l, const struct cpu_info *ci)
{
	return (ci->ci_ilevel | l->l_held.hs_n) == 0;
}

/* --- timers (kern_timer.c) --- */

void	timer_set(struct lwp *, uint64_t timo_ns);
void	timer_clear(struct lwp *);
/* => nothing to run on this CPU: with one CPU, time jumps to the next timer and fires it: true */
bool	timer_idle(void);
/* => the end of a quantum: fire what is due */
void	timer_quantum(void);
/* => 0 or errno; the clock ticks from now on */
int	timer_init(void);
void	timer_fini(void);

/* --- CPUs and interrupts --- */

extern struct kern_upcall kern_upcall;
extern bool kern_stopping;		/* @ idle LWPs go */
bool	intr_pending(const struct cpu_info *);	/* anything that IPL 0 would let in */
/* stable after boot, but for IRQ_SOFT, whose level goes by what is pending */
struct intr_handler {
	ipl_t	 ih_ipl;
	void	(*ih_fn)(void *);
	void	*ih_arg;
};
extern struct intr_handler intr_handlers[IRQ_COUNT];
/* => at level, masks open: the line's handler, or the soft interrupts that wait at the level */
void	intr_handle(struct cpu_info *, enum irq, ipl_t level);
void	intr_bell(void);		/* the doorbell's answer */
/* => splx() without a poll: for who is masked */
void	spl_lower(int old);
/* => the CPU's holder, masked: what handlers did on it is over, and those to come see what was
 *    done so far.  Whoever leaves a CPU says so while he has it, and who comes, once he has it. */
void	spl_sync(const struct cpu_info *);
void	spl_fini(void);			/* no other thread runs */
/* => 0, or ENOTSUP */
int	intr_init(bool signals);
void	intr_fini(void);
/* => a CPU that idles, or any if none does; a hint */
struct cpu_info *cpu_idlest(void);

/* --- failures (subr_prf.c) --- */

/* => for host_catch_crashes() */
void	kern_crash(int sig, void *addr, void *const *pcs, int n) __attribute__((noreturn));

/* --- locks --- */

uint32_t lock_birth(void);		/* next birth number */
/* => the same, counted from this boot on: it is alike in each run of one seed */
uint32_t lock_number(uint32_t id);
/* => a point (host/sched.h) about the lock of that birth number */
static inline void
lock_point(enum host_point_kind kind, uint32_t id)
{
	if (__builtin_expect(host_points, 0))
		host_point_now(kind, lock_number(id));
}
/* => is id the birth number of a lock of this boot? */
bool	lock_born(uint32_t id);
void	lock_init(void);		/* a new boot */
void	lockdebug_init(void);		/* likewise */
/* => a race detector knows the lock by its class and by where, in whoever called us, it was made */
void	lock_race_create(const void *lock, enum lock_class, void *where);

/* --- waits as events (lockevent.c); only with lockaudit_full --- */

void	lockevent_init(void);		/* a new boot, after lockdebug_init() */
/*
 * => asleep: the current LWP is about to sleep, and to release the interlock then; before it
 *    is on any queue.  dropped: it has released it; judges the wait.
 * => woken: bucket locked: the current context wakes that LWP
 */
void	lockevent_asleep(const char *wmesg, bool timed, const void *interlock);
void	lockevent_dropped(void);
void	lockevent_woken(const struct lwp *);
/* => the class is spun for by a CPU at that IPL: who waits for IPIs may wait for its holder */
void	lockevent_spun(uint32_t class, int ipl);

/* --- RCU (kern_rcu.c) --- */
void	kern_rcu_init(void);
void	kern_rcu_fini(void);
/* => panics in a reader's section: what is about to pass a quiescent state */
void	rcu_quiescent_barrier(const char *what);

/* --- pools (subr_pool_all.c) --- */
void	kern_pool_init(void);
void	kern_pool_fini(void);

#endif /* KERN_KERN_INT_H */
