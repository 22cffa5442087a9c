/*
 * Time-outs of sleeping LWPs.
 *
 * With several CPUs they follow the host's clock, and are looked at by idle CPUs
 * and at the end of each quantum.  With one CPU, time is virtual: it goes on by a
 * fixed step with each quantum, and jumps to the next time-out when the CPU has
 * nothing else to do; so a run on one CPU does not depend on the host's clock.
 */
#include <errno.h>

#include "kern_int.h"

#define	QUANTUM_NS	1000000		/* virtual length of a quantum */

static struct host_lock timer_lock;
static TAILQ_HEAD(, lwp) timers;	/* timer_lock; ascending deadline */
static uint64_t earliest;		/* @ deadline of the first, UINT64_MAX without */
static uint64_t virtual_now;		/* only the one CPU */

void
timer_init(void)
{
	TAILQ_INIT(&timers);
	earliest = UINT64_MAX;
	virtual_now = 1;
}

static uint64_t
now(void)
{
	return ncpu == 1 ? virtual_now : host_now_ns();
}

/* => timer_lock held */
static void
note_earliest(void)
{
	struct lwp *l = TAILQ_FIRST(&timers);

	/* relaxed: a hint; whoever follows it takes the lock */
	__atomic_store_n(&earliest, l != NULL ? l->l_deadline : UINT64_MAX, __ATOMIC_RELAXED);
}

void
timer_set(struct lwp *l, uint64_t timo_ns)
{
	struct lwp *later;

	host_lock(&timer_lock);
	l->l_deadline = now() + timo_ns;
	TAILQ_FOREACH(later, &timers, l_timerchain)
		if (later->l_deadline > l->l_deadline)
			break;
	if (later != NULL)
		TAILQ_INSERT_BEFORE(later, l, l_timerchain);
	else
		TAILQ_INSERT_TAIL(&timers, l, l_timerchain);
	note_earliest();
	host_unlock(&timer_lock);
}

void
timer_clear(struct lwp *l)
{
	host_lock(&timer_lock);
	if (l->l_deadline != 0) {
		TAILQ_REMOVE(&timers, l, l_timerchain);
		l->l_deadline = 0;
		note_earliest();
	}
	host_unlock(&timer_lock);
}

/*
 * => timer_lock held: so the LWP, even when woken otherwise by now, cannot get
 *    past timer_clear() and sleep on something else
 */
static void
expire(struct lwp *l)
{
	wchan_t wchan = __atomic_load_n(&l->l_wchan, __ATOMIC_RELAXED);
	struct sleepq *sq;

	TAILQ_REMOVE(&timers, l, l_timerchain);
	l->l_deadline = 0;
	if (wchan == NULL)
		return;
	sq = sleepq_lock(wchan);
	if (l->l_wchan == wchan) {
		sleepq_remove(sq, l, EWOULDBLOCK);
		lwp_wake(l);
	}
	sleepq_unlock(sq);
}

void
timer_run(bool idle)
{
	uint64_t first = __atomic_load_n(&earliest, __ATOMIC_RELAXED);
	struct lwp *l;

	if (first == UINT64_MAX)
		return;
	if (ncpu == 1 && idle && first > virtual_now)
		virtual_now = first;
	if (first > now())
		return;
	host_lock(&timer_lock);
	while ((l = TAILQ_FIRST(&timers)) != NULL && l->l_deadline <= now())
		expire(l);
	note_earliest();
	host_unlock(&timer_lock);
}

uint64_t
timer_next(void)
{
	return __atomic_load_n(&earliest, __ATOMIC_RELAXED);
}

void
timer_quantum(void)
{
	if (ncpu == 1)
		virtual_now += QUANTUM_NS;
	timer_run(false);
}
