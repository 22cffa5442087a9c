/*
 * The clock interrupt: hardclock() and who hangs on it.
 *
 *	timer_hardclock()	time-outs and callouts that are due (kern_timer.c)
 *	sched_tick()		whoever has had the CPU for a whole slice leaves soon (kern_lwp.c)
 *	statclock()		what the tick found the CPU doing
 *
 * The first two would do without it, later: the chip wakes some CPU for a time-out, and
 * quanta count returns to user mode.  But a tick finds time-outs due in the middle of
 * things, and sees an LWP that works long in the kernel and seldom returns.
 */
#include <sys/clock.h>

#include "kern_int.h"

#define	NHOOKS		8

static void	(*hooks[NHOOKS])(struct cpu_info *);	/* stable after boot */
static int	nhooks;				/* likewise */
static unsigned	interval;			/* likewise: steps; 0: no ticks */

void
clock_hook(void (*fn)(struct cpu_info *))
{
	KASSERTMSG(nhooks < NHOOKS, "more than %d clock hooks", NHOOKS);
	hooks[nhooks++] = fn;
}

static void
hardclock(void *arg)
{
	struct cpu_info *ci = curcpu();

	for (int i = 0; i < nhooks; i++)
		hooks[i](ci);
}

/* A tick of the CPU's own is posted where its state is known, and taken there unless it is masked. */
static void
statclock(struct cpu_info *ci)
{
	enum cpustate state = CP_SYS;

	if (ci->ci_idepth > 1)
		state = CP_INTR;
	else if (curlwp->l_idle)
		state = CP_IDLE;
	else if (__atomic_load_n(&ci->ci_tickuser, __ATOMIC_RELAXED))
		state = CP_USER;
	__atomic_store_n(&ci->ci_tickuser, false, __ATOMIC_RELAXED);
	/* relaxed: reports read it */
	__atomic_store_n(&ci->ci_cptime[state], ci->ci_cptime[state] + 1, __ATOMIC_RELAXED);
}

void
clock_tick(struct cpu_info *ci, bool user)
{
	/* relaxed: a handler may step the clock between any two of these, and one step matters little */
	__atomic_store_n(&ci->ci_clockleft, interval, __ATOMIC_RELAXED);
	__atomic_store_n(&ci->ci_tickuser, user, __ATOMIC_RELAXED);
	intr_post(ci, IRQ_CLOCK);
}

void
clock_init(unsigned steps)
{
	nhooks = 0;
	interval = steps;
	intr_establish(IRQ_CLOCK, IPL_SCHED, hardclock, NULL);
	clock_hook(statclock);
}

void
clock_start(struct cpu_info *ci)
{
	ci->ci_clockleft = interval;
}
