/*
 * LWPs and the dealing of CPUs.
 *
 * Every CPU has a run queue and an idle LWP.  An LWP that cannot go on chooses
 * its successor itself: the head of its CPU's queue, else one taken from the
 * longest other queue, else the idle LWP.  It writes the successor into the CPU,
 * unparks its thread and parks its own.  The one that comes in tells the machine
 * floor of the switch, on the CPU, before it does anything else.
 *
 * Sleeping and waking race on l_offcpu alone:
 *	sleeper: ONCPU -> OFFCPU	I have gone; whoever wakes me finds me a CPU
 *	waker:	 ONCPU -> WOKEN		it has not gone; it will see this and stay
 *	waker:	 OFFCPU -> WOKEN	it has gone, or is on its way: queue it
 * Between OFFCPU and host_park() the sleeper's thread still finishes handing its
 * CPU over while another CPU may already have been given to the LWP; so in there
 * it touches the old CPU and its parking token, and nothing of the LWP.
 *
 * Before it goes, a sleeper takes interrupts: a completion that was posted to
 * this very CPU then wakes it without any switch.
 *
 * No CPU idles while an LWP waits in another's queue.  Who queues one looks for
 * idle CPUs afterwards, who goes idle looks at the queues afterwards; both halves
 * are sequentially consistent, so one of the two sees the other.  And at the end of
 * each quantum a CPU takes an LWP from a queue that is longer than its own, so that
 * LWPs that never sleep get like shares, on ever other CPUs.  A quantum is counted in operations
 * of user mode; one of long system calls ends when the clock has ticked often enough.
 *
 * Between two CPUs, and an idle LWP but for its polls, a thread is masked (host/host.h): an
 * interrupt by signal finds a CPU under it or nothing.
 *
 * A CPU may be offline: no LWP is given to it, its queue is dealt out to the others, and
 * whoever runs on it leaves at the end of his quantum, if he does not sleep before.  Its
 * idle LWP stays, so it goes on taking interrupts, and is in no pmap's set.
 *
 * No decision looks at the host's clock or an address: one CPU deals itself out in
 * the same way twice.
 *
 * LWP structures are never given back to the host before shutdown: a spinning
 * mutex may look at its owner's state after that has exited.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <host/race.h>
#include <host/rcu.h>
#include <sys/kernhist.h>
#include <sys/stop.h>

#include "kern_int.h"

#define	SLICE_TICKS	8		/* a quantum is over after so many ticks, whatever it cost */

__thread struct lwp *curlwp_tls;

static struct host_lock list_lock;
static TAILQ_HEAD(, lwp) all_lwps;	/* list_lock */
static TAILQ_HEAD(, lwp) free_lwps;	/* list_lock */
static uint32_t last_id;		/* list_lock */
static uint64_t rng_seed;		/* stable */
static int nidle;			/* @ CPUs whose ci_idle is set */
static unsigned idlest_turn;		/* @ which CPU is next if none idles */

/* --- structures --- */

void
lwp_init(uint64_t seed)
{
	TAILQ_INIT(&all_lwps);
	TAILQ_INIT(&free_lwps);
	last_id = 0;
	nidle = 0;
	idlest_turn = 0;
	race_atomic(&nidle, sizeof(nidle));
	rng_seed = seed;
}

void
lwp_fini(void)
{
	struct lwp *l;

	KASSERTMSG(TAILQ_EMPTY(&all_lwps), "LWP %s is still there", TAILQ_FIRST(&all_lwps)->l_name);
	while ((l = TAILQ_FIRST(&free_lwps)) != NULL) {
		TAILQ_REMOVE(&free_lwps, l, l_list);
		free(l);
	}
}

struct lwp *
lwp_alloc(const char *name)
{
	struct lwp *l;

	host_lock(&list_lock);
	l = TAILQ_FIRST(&free_lwps);
	if (l != NULL)
		TAILQ_REMOVE(&free_lwps, l, l_list);
	host_unlock(&list_lock);
	if (l == NULL)
		l = aligned_alloc(64, (sizeof(*l) + 63) & ~63UL);
	if (l == NULL)
		return NULL;
	race_atomic(l, sizeof(*l));
	/* relaxed: pairs with owner_runs(), which may still look at who was here before */
	__atomic_store_n(&l->l_stat, LSIDL, __ATOMIC_RELAXED);
	memset(&l->l_id, 0, sizeof(*l) - offsetof(struct lwp, l_id));
	strncpy(l->l_name, name, sizeof(l->l_name) - 1);
	l->l_offcpu = LW_OFFCPU;
	l->l_quantum = LWP_QUANTUM;
	host_lock(&list_lock);
	l->l_id = ++last_id;
	l->l_held.hs_runner = l->l_id;
	TAILQ_INSERT_TAIL(&all_lwps, l, l_list);
	host_unlock(&list_lock);
	host_rng_init(&l->l_rng, rng_seed, 1ULL << 63 | l->l_id);
	return l;
}

void
lwp_free(struct lwp *l)
{
	held_fini(&l->l_held);
	host_lock(&list_lock);
	TAILQ_REMOVE(&all_lwps, l, l_list);
	TAILQ_INSERT_HEAD(&free_lwps, l, l_list);
	host_unlock(&list_lock);
}

void
lwp_foreach(void (*fn)(struct lwp *, void *), void *arg)
{
	struct lwp *l;

	host_lock(&list_lock);
	TAILQ_FOREACH(l, &all_lwps, l_list)
		fn(l, arg);
	host_unlock(&list_lock);
}

/* Structures stay LWPs' for ever, so whatever is found is one; a list in motion may be a ring. */
void
lwp_peek(void (*fn)(struct lwp *, void *), void *arg)
{
	struct lwp *l = TAILQ_FIRST(&all_lwps);

	for (int left = 10000; l != NULL && left > 0; left--, l = TAILQ_NEXT(l, l_list))
		fn(l, arg);
}

/* --- giving CPUs out --- */

/* => ci_runq_lock held */
static void
set_idle(struct cpu_info *ci, int idle)
{
	/* seq_cst: with the caller's next look at the queues, see setrunnable(), and at
	 * ci_ipending, see intr_post() */
	__atomic_store_n(&ci->ci_idle, idle, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&nidle, idle ? 1 : -1, __ATOMIC_SEQ_CST);
}

struct cpu_info *
cpu_idlest(void)
{
	unsigned first = __atomic_fetch_add(&idlest_turn, 1, __ATOMIC_RELAXED);

	for (int i = 0; i < ncpu; i++)
		if (__atomic_load_n(&cpus[i].ci_idle, __ATOMIC_RELAXED))
			return &cpus[i];
	return &cpus[first % (unsigned)ncpu];
}

/* => a hint, unless ci_runq_lock is held */
static bool
offline(const struct cpu_info *ci)
{
	return __atomic_load_n(&ci->ci_offline, __ATOMIC_RELAXED);
}

/* => ci_runq_lock held; the CPU is l's from now on, l has not been told yet */
static void
assign(struct cpu_info *ci, struct lwp *from, struct lwp *l)
{
	KASSERTMSG(l->l_idle || __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED) == LSRUN,
	    "%s is given a CPU, and is not runnable: state %d", l->l_name, l->l_stat);
	ci->ci_prevlwp = from;
	l->l_cpu = ci;
	/* release: pairs with the readers of ci_curlwp in idle_main() and intr_post() */
	__atomic_store_n(&ci->ci_curlwp, l, __ATOMIC_RELEASE);
}

/* => the idle CPU was taken for l */
static bool
claim_idle(struct cpu_info *ci, struct lwp *l)
{
	bool mine = false;

	if (!__atomic_load_n(&ci->ci_idle, __ATOMIC_RELAXED))
		return false;
	host_lock(&ci->ci_runq_lock);
	if (ci->ci_idle && !offline(ci)) {
		set_idle(ci, 0);
		assign(ci, ci->ci_idlelwp, l);
		mine = true;
	}
	host_unlock(&ci->ci_runq_lock);
	if (mine)
		host_unpark(l->l_thread);
	return mine;
}

/*
 * Who was woken in the kernel goes before those who are bound for user mode, and these make
 * way at their next return there: it may have been given a lock that others wait for.  One
 * LWP in FAIR is taken from the others all the same.
 */
#define	FAIR	8

/* => ci_runq_lock held: the first one that was not woken, or NULL */
static struct lwp *
runq_user(struct cpu_info *ci)
{
	struct lwp *l;

	TAILQ_FOREACH(l, &ci->ci_runq, l_runchain)
		if (!l->l_woken)
			return l;
	return NULL;
}

/* => ci_runq_lock held, the queue has changed: a hint for lwp_userret() */
static void
runq_changed(struct cpu_info *ci)
{
	const struct lwp *first = TAILQ_FIRST(&ci->ci_runq);

	KASSERTMSG((first != NULL) == (ci->ci_runq_len != 0), "CPU %d has a queue of %d LWPs, and %s in it", ci->ci_index,
	    ci->ci_runq_len, first != NULL ? "one" : "none");
	__atomic_store_n(&ci->ci_want_resched, first != NULL && first->l_woken, __ATOMIC_RELAXED);
}

/* => ci_runq_lock held */
static void
runq_push(struct cpu_info *ci, struct lwp *l)
{
	struct lwp *user = l->l_woken ? runq_user(ci) : NULL;

	if (user != NULL)
		TAILQ_INSERT_BEFORE(user, l, l_runchain);
	else
		TAILQ_INSERT_TAIL(&ci->ci_runq, l, l_runchain);
	/* seq_cst: then the look at the idle CPUs, see idle_wait() */
	__atomic_store_n(&ci->ci_runq_len, ci->ci_runq_len + 1, __ATOMIC_SEQ_CST);
	runq_changed(ci);
}

/* => an idle CPU, if there is one, looks again for something to run */
static void
kick_idle(void)
{
	if (__atomic_load_n(&nidle, __ATOMIC_SEQ_CST) == 0)
		return;
	for (int i = 0; i < ncpu; i++)
		if (__atomic_load_n(&cpus[i].ci_idle, __ATOMIC_SEQ_CST) && !offline(&cpus[i])) {
			host_unpark(cpus[i].ci_idlelwp->l_thread);
			return;
		}
}

/* => the LWP holds no CPU and is on no queue: the last CPU if it idles, any idle one, a queue */
static void
setrunnable(struct lwp *l)
{
	struct cpu_info *last = l->l_cpu;

	__atomic_store_n(&l->l_stat, LSRUN, __ATOMIC_RELAXED);
	if (__atomic_load_n(&nidle, __ATOMIC_RELAXED) != 0)
		for (int i = 0; i < ncpu; i++)
			if (claim_idle(&cpus[(last->ci_index + i) % ncpu], l))
				return;
	/* the boot CPU is always there */
	for (struct cpu_info *ci = last;; ci = &cpus[(ci->ci_index + 1) % ncpu]) {
		bool taken;

		host_lock(&ci->ci_runq_lock);
		taken = !offline(ci);
		if (taken)
			runq_push(ci, l);
		host_unlock(&ci->ci_runq_lock);
		if (taken)
			break;
	}
	kick_idle();
}

/* => ci_runq_lock held */
static struct lwp *
runq_pop(struct cpu_info *ci)
{
	struct lwp *l = ++ci->ci_npops % FAIR == 0 ? runq_user(ci) : NULL;

	if (l == NULL)
		l = TAILQ_FIRST(&ci->ci_runq);
	if (l != NULL) {
		TAILQ_REMOVE(&ci->ci_runq, l, l_runchain);
		__atomic_store_n(&ci->ci_runq_len, ci->ci_runq_len - 1, __ATOMIC_RELAXED);
		runq_changed(ci);
	}
	return l;
}

/* => an LWP of the longest other queue, if that has more than so many; or NULL */
static struct lwp *
steal(struct cpu_info *ci, int most)
{
	struct cpu_info *victim = NULL;
	struct lwp *l = NULL;

	for (int i = 1; i < ncpu; i++) {
		struct cpu_info *other = &cpus[(ci->ci_index + i) % ncpu];
		int len = __atomic_load_n(&other->ci_runq_len, __ATOMIC_RELAXED);

		if (len > most) {
			most = len;
			victim = other;
		}
	}
	if (victim != NULL) {
		host_lock(&victim->ci_runq_lock);
		l = runq_pop(victim);
		host_unlock(&victim->ci_runq_lock);
		if (most > 1)		/* more of it: the next one that idles, please */
			kick_idle();
	}
	return l;
}

/* => ci_runq_lock held, dropped: the caller's thread gives ci up to next; it must park */
static void
hand_to(struct cpu_info *ci, struct lwp *from, struct lwp *next)
{
	__atomic_store_n(&ci->ci_nswitch, ci->ci_nswitch + 1, __ATOMIC_RELAXED);
	/* from may have been given another CPU already, and next must not run before this */
	kernhist_log_on(ci, from->l_id, KE_lwp_switch, from->l_id, next->l_id, 0);
	assign(ci, from, next);
	host_unlock(&ci->ci_runq_lock);
	host_unpark(next->l_thread);
}

/* => the caller's thread gives ci up to whoever is next; it must park */
static void
hand_over(struct cpu_info *ci, struct lwp *from)
{
	struct lwp *next;

	host_lock(&ci->ci_runq_lock);
	next = runq_pop(ci);
	if (next == NULL && !offline(ci)) {
		host_unlock(&ci->ci_runq_lock);
		next = steal(ci, 0);
		host_lock(&ci->ci_runq_lock);
	}
	if (next == NULL)
		next = runq_pop(ci);
	hand_to(ci, from, next != NULL ? next : ci->ci_idlelwp);
}

/* => first thing that an LWP does on a CPU that it was given: masked until here */
static void
switched_in(struct lwp *l)
{
	struct cpu_info *ci = l->l_cpu;
	struct lwp *from = ci->ci_prevlwp;

	KASSERT(ci->ci_curlwp == l);
	host_rcu_online();
	__atomic_store_n(&l->l_stat, LSONPROC, __ATOMIC_RELAXED);
	(void)splhigh();
	if (kern_upcall.cpu_switch != NULL && from != l)
		kern_upcall.cpu_switch(ci, from, l);
	spl_lower(IPL_NONE);
	host_unmask();
	intr_poll();
}

void
lwp_block(void)
{
	struct lwp *l = curlwp;
	struct cpu_info *ci = l->l_cpu;
	int state = LW_ONCPU;

	KASSERT(ci->ci_mtx_count == 0);
	KASSERTMSG(ci->ci_ilevel == IPL_NONE, "sleep at IPL %d", ci->ci_ilevel);
	rcu_quiescent_barrier("sleep");
	host_point(HP_WAIT, l->l_id);
	kernhist_log(KE_lwp_sleep, l->l_id, 0, 0);
	intr_poll();
	host_mask();
	/* acq_rel: pairs with lwp_wake(); all that we did is seen by the CPU that takes us on */
	if (__atomic_load_n(&l->l_offcpu, __ATOMIC_ACQUIRE) == LW_ONCPU) {
		host_rcu_offline();
		spl_sync(ci);
		if (__atomic_compare_exchange_n(&l->l_offcpu, &state, LW_OFFCPU, false,
		    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			hand_over(ci, l);
			host_park();
			switched_in(l);
			return;
		}
		host_rcu_online();
	}
	__atomic_store_n(&l->l_stat, LSONPROC, __ATOMIC_RELAXED);
	host_unmask();
}

void
lwp_wake(struct lwp *l)
{
	kernhist_log(KE_lwp_wakeup, l->l_id, 0, 0);
	/* acq_rel: pairs with lwp_block() */
	if (__atomic_exchange_n(&l->l_offcpu, LW_WOKEN, __ATOMIC_ACQ_REL) == LW_OFFCPU) {
		l->l_woken = true;
		setrunnable(l);
	}
}

/* => nothing held: the CPU goes to the next in its queue, if there is one, and l to the end of that */
static void
preempt(struct lwp *l)
{
	struct cpu_info *ci = l->l_cpu;
	struct lwp *next;

	l->l_woken = false;
	intr_poll();
	if (offline(ci)) {
		lwp_release_cpu();
		lwp_acquire_cpu();
		return;
	}
	if (__atomic_load_n(&ci->ci_runq_len, __ATOMIC_RELAXED) == 0)
		return;
	host_mask();
	host_lock(&ci->ci_runq_lock);
	next = runq_pop(ci);
	if (next == NULL) {		/* another CPU was quicker */
		host_unlock(&ci->ci_runq_lock);
		host_unmask();
		return;
	}
	host_rcu_offline();
	spl_sync(ci);
	__atomic_store_n(&l->l_stat, LSRUN, __ATOMIC_RELAXED);
	runq_push(ci, l);
	hand_to(ci, l, next);
	host_park();
	switched_in(l);
}

void
yield(void)
{
	struct lwp *l = curlwp;

	lockdebug_barrier("yield");
	rcu_quiescent_barrier("yield");
	__atomic_store_n(&l->l_quantum, LWP_QUANTUM, __ATOMIC_RELAXED);
	__atomic_store_n(&l->l_slice, 0, __ATOMIC_RELAXED);
	timer_quantum();
	host_yield();			/* it waits, perhaps, for an LWP on another CPU */
	preempt(l);
}

/* => what waits in the queue of a CPU that is offline goes to others; masked, or no LWP's CPU */
static void
deal_out(struct cpu_info *ci)
{
	struct lwp *l;

	do {
		host_lock(&ci->ci_runq_lock);
		l = runq_pop(ci);
		host_unlock(&ci->ci_runq_lock);
		if (l != NULL) {
			l->l_cpu = ci;
			setrunnable(l);
		}
	} while (l != NULL);
}

int
cpu_setstate(struct cpu_info *ci, bool online)
{
	if (ci == &cpus[0])
		return online ? 0 : EBUSY;
	host_point(HP_OFFLINE, (uint32_t)ci->ci_index);
	host_lock(&ci->ci_runq_lock);
	__atomic_store_n(&ci->ci_offline, !online, __ATOMIC_RELAXED);
	host_unlock(&ci->ci_runq_lock);
	if (online)
		host_unpark(ci->ci_idlelwp->l_thread);	/* looks for something to run */
	else
		deal_out(ci);
	return 0;
}

/*
 * => at the end of a quantum: a CPU whose queue is shorter than another's takes one
 *    from there.  Stealing by idle CPUs alone would leave three LWPs that never sleep
 *    on two CPUs with shares of 2, 1 and 1.
 */
static void
balance(struct cpu_info *ci)
{
	struct lwp *l;

	if (offline(ci))
		return;
	l = steal(ci, __atomic_load_n(&ci->ci_runq_len, __ATOMIC_RELAXED));
	if (l == NULL)
		return;
	host_lock(&ci->ci_runq_lock);
	runq_push(ci, l);
	host_unlock(&ci->ci_runq_lock);
	if (offline(ci))		/* since then */
		deal_out(ci);
}

void
sched_tick(struct cpu_info *ci)
{
	/* relaxed: it interrupts whoever looks at it or sets it back, and one tick matters little */
	__atomic_fetch_add(&curlwp->l_slice, 1, __ATOMIC_RELAXED);
}

void
lwp_userret(unsigned cost)
{
	struct lwp *l = curlwp;

	lockdebug_barrier("return to user");
	rcu_quiescent_barrier("return to user");
	/* relaxed: who misses it stops the next time */
	if (__builtin_expect(__atomic_load_n(&lwp_stopping, __ATOMIC_RELAXED), 0))
		lwp_stop_here();
	if (l->l_addr != NULL)
		kern_upcall.userret(l);
	/* relaxed: an interrupt uses the packet, too, and leaves none of its own */
	KASSERTMSG(__atomic_load_n(&l->l_tlb.lt_pmap, __ATOMIC_RELAXED) == NULL, "I-SYS-3: %s returns to user mode, and has "
	    "told no CPU of its change of a mapping at %#lx: no pmap_update() came after it (S5)", l->l_name,
	    (unsigned long)l->l_tlb.lt_va[0]);
	lwp_beat();
	host_rcu_quiescent();
	clock_step(l->l_cpu, true);
	host_point(HP_USER, l->l_id);
	intr_poll();
	host_give_way();
	if (l->l_quantum <= cost || __atomic_load_n(&l->l_slice, __ATOMIC_RELAXED) >= SLICE_TICKS) {
		balance(l->l_cpu);
		yield();
	} else {
		/* relaxed: clock hooks may look at it */
		__atomic_store_n(&l->l_quantum, l->l_quantum - cost, __ATOMIC_RELAXED);
		if (__atomic_load_n(&l->l_cpu->ci_want_resched, __ATOMIC_RELAXED) != 0)
			preempt(l);
	}
}

void
lwp_release_cpu(void)
{
	struct lwp *l = curlwp;

	lockdebug_barrier("lwp_release_cpu");
	rcu_quiescent_barrier("lwp_release_cpu");
	host_mask();
	host_rcu_offline();
	spl_sync(l->l_cpu);
	__atomic_store_n(&l->l_stat, LSSLEEP, __ATOMIC_RELAXED);
	hand_over(l->l_cpu, l);
}

void
lwp_acquire_cpu(void)
{
	struct lwp *l = curlwp;

	KASSERTMSG(__atomic_load_n(&l->l_stat, __ATOMIC_RELAXED) == LSSLEEP, "%s wants a CPU, and has released none: state %d",
	    l->l_name, l->l_stat);
	setrunnable(l);
	host_park();
	switched_in(l);
}

/* --- life --- */

static void
lwp_main(void *arg)
{
	struct lwp *l = arg;
	struct sleepq *sq;

	host_mask();
	curlwp = l;
	__atomic_store_n(&l->l_bell, host_bell_id(), __ATOMIC_RELAXED);
	host_park();
	host_rcu_register();
	switched_in(l);
	l->l_func(l->l_arg);
	lockdebug_barrier("exit");
	host_mask();
	host_rcu_unregister();
	spl_sync(l->l_cpu);
	/* Wakes lwp_wait(), which then joins this thread. */
	sq = sleepq_lock(&l->l_func);
	__atomic_store_n(&l->l_stat, LSZOMB, __ATOMIC_RELEASE);
	sleepq_unlock(sq);
	wakeup(&l->l_func);
	hand_over(l->l_cpu, l);
	curlwp = NULL;			/* the thread may be another LWP's one day */
}

int
lwp_create(struct lwp **lp, struct proc *p, const char *name, void (*fn)(void *), void *arg)
{
	struct lwp *l = lwp_alloc(name);
	int error;

	if (l == NULL)
		return ENOMEM;
	l->l_proc = p;
	l->l_func = fn;
	l->l_arg = arg;
	l->l_cpu = curcpu();
	error = host_thread_create_parked(&l->l_thread, name, lwp_main, l);
	if (error != 0) {
		lwp_free(l);
		return error;
	}
	*lp = l;
	return 0;
}

void
lwp_start(struct lwp *l)
{
	KASSERTMSG(l->l_stat == LSIDL, "LWP %s started twice", l->l_name);
	setrunnable(l);
}

void
lwp_wait(struct lwp *l)
{
	struct sleepq *sq;

	lockdebug_barrier("lwp_wait");
	for (;;) {
		sq = sleepq_lock(&l->l_func);
		if (__atomic_load_n(&l->l_stat, __ATOMIC_ACQUIRE) == LSZOMB)
			break;
		sleepq_enter(sq, &l->l_func, "lwpwait");
		sleepq_unlock(sq);
		lwp_patient(true);
		sleepq_block(0);
		lwp_patient(false);
	}
	sleepq_unlock(sq);
	host_thread_join(l->l_thread);	/* it has only to hand its CPU over */
	lwp_free(l);
}

/* --- idle --- */

/* => the CPU is the idle LWP's, and has nothing to run: sleep until there is something */
static void
idle_wait(struct cpu_info *ci)
{
	host_lock(&ci->ci_runq_lock);
	set_idle(ci, 1);
	host_unlock(&ci->ci_runq_lock);
	/* From here on whoever posts or queues anything unparks this thread, or sees to it himself. */
	if (intr_pending(ci))
		return;
	for (int i = 0; i < ncpu && !offline(ci); i++)
		if (__atomic_load_n(&cpus[i].ci_runq_len, __ATOMIC_SEQ_CST) != 0)
			return;
	host_park();
}

/* => takes the CPU back if it is still idle; false: somebody else has it */
static bool
idle_reclaim(struct cpu_info *ci, struct lwp *idle)
{
	bool mine;

	host_lock(&ci->ci_runq_lock);
	mine = ci->ci_curlwp == idle;
	if (mine && ci->ci_idle)
		set_idle(ci, 0);
	host_unlock(&ci->ci_runq_lock);
	return mine;
}

/* => runs what there is to run; true: the CPU has been given away */
static bool
idle_dispatch(struct cpu_info *ci, struct lwp *idle)
{
	struct lwp *next;

	if (offline(ci))
		return false;
	host_lock(&ci->ci_runq_lock);
	next = runq_pop(ci);
	host_unlock(&ci->ci_runq_lock);
	if (next == NULL)
		next = steal(ci, 0);
	if (next == NULL)
		return false;
	host_lock(&ci->ci_runq_lock);
	hand_to(ci, idle, next);
	return true;
}

void
idle_main(void *arg)
{
	struct cpu_info *ci = arg;
	struct lwp *idle = ci->ci_idlelwp;
	bool fired;

	host_mask();
	curlwp = idle;
	__atomic_store_n(&idle->l_bell, host_bell_id(), __ATOMIC_RELAXED);
	spl_sync(ci);
	host_rcu_register();
	host_rcu_offline();
	while (!__atomic_load_n(&kern_stopping, __ATOMIC_ACQUIRE)) {
		if (!idle_reclaim(ci, idle)) {
			host_park();
			continue;
		}
		if (ci->ci_prevlwp != idle) {	/* just switched in */
			switched_in(idle);
			host_mask();
			ci->ci_prevlwp = idle;
		}
		host_rcu_online();
		host_unmask();
		host_point(HP_IDLE, (uint32_t)ci->ci_index);
		intr_poll();
		/* what fired may have woken nobody, only asked a device to go on */
		fired = __atomic_load_n(&ci->ci_runq_len, __ATOMIC_RELAXED) == 0 && timer_idle();
		host_mask();
		host_rcu_offline();
		if (!idle_dispatch(ci, idle) && !fired)
			idle_wait(ci);
	}
	host_rcu_unregister();
	spl_sync(ci);
	curlwp = NULL;
}
