/*
 * Time-outs of sleeping LWPs, and callouts.
 *
 * With several CPUs they follow the host's clock.  A host thread plays the clock
 * chip: it sleeps until the first time-out and posts IRQ_CLOCK to a CPU that has
 * nothing to do, else to each in turn.  Any clock interrupt, the chip's or a CPU's own
 * (kern_clock.c), fires what is due.
 *
 * With one CPU, time is virtual: it goes on by a fixed step with each quantum and each
 * tick, and jumps to the next time-out when the CPU has nothing else to do; so a run on
 * one CPU does not depend on the host's clock.
 *
 * Lock order: timer_lock, then a sleep queue's bucket, then a run queue.  Callouts are
 * called without it.
 */
#include <errno.h>
#include <host/race.h>
#include <sys/callout.h>
#include <sys/clock.h>

#include "kern_int.h"

#define	QUANTUM_NS	1000000		/* virtual length of a quantum */
#define	TICK_NS		100000		/* of a tick: virtual; between two of the chip: real */

static struct host_lock timer_lock;
static TAILQ_HEAD(, lwp) timers;	/* timer_lock; ascending deadline */
static TAILQ_HEAD(, callout) callouts;	/* timer_lock; ascending deadline */
static uint64_t earliest;		/* @ deadline of the first of both, UINT64_MAX without */
static uint64_t virtual_now;		/* only the one CPU, its clock interrupt too; atomic */

static struct host_thread *chip;	/* stable */
static bool chip_stop;			/* @ */

static void	chip_main(void *);
static void	timer_hardclock(struct cpu_info *);

int
timer_init(void)
{
	TAILQ_INIT(&timers);
	TAILQ_INIT(&callouts);
	race_atomic(&earliest, sizeof(earliest));
	race_atomic(&chip_stop, sizeof(chip_stop));
	earliest = UINT64_MAX;
	virtual_now = 1;
	chip = NULL;
	chip_stop = false;
	clock_hook(timer_hardclock);
	if (ncpu == 1)
		return 0;
	return host_thread_create(&chip, "clock", chip_main, NULL);
}

void
timer_fini(void)
{
	KASSERT(TAILQ_EMPTY(&timers));
	KASSERTMSG(TAILQ_EMPTY(&callouts), "a callout is still pending");
	if (chip == NULL)
		return;
	__atomic_store_n(&chip_stop, true, __ATOMIC_RELAXED);
	host_unpark(chip);
	host_thread_join(chip);
	chip = NULL;			/* the next boot may end before timer_init() */
}

static uint64_t
now(void)
{
	/* relaxed: one CPU; a tick that comes in meanwhile is before or after */
	return ncpu == 1 ? __atomic_load_n(&virtual_now, __ATOMIC_RELAXED) : host_now_ns();
}

/* => IPL_SCHED; the one CPU */
static void
advance(uint64_t to)
{
	KASSERTMSG(to >= virtual_now, "time goes back from %lu to %lu", (unsigned long)virtual_now, (unsigned long)to);
	__atomic_store_n(&virtual_now, to, __ATOMIC_RELAXED);
}

/* => timer_lock held */
static void
note_earliest(void)
{
	struct lwp *l = TAILQ_FIRST(&timers);
	struct callout *c = TAILQ_FIRST(&callouts);
	uint64_t first = l != NULL ? l->l_deadline : UINT64_MAX;

	if (c != NULL && c->c_deadline < first)
		first = c->c_deadline;
	/*
	 * a hint; whoever follows it takes the lock.  release: pairs with chip_main(), which began
	 * before the CPUs were there that it interrupts
	 */
	__atomic_store_n(&earliest, first, __ATOMIC_RELEASE);
}

/* => when that is; as good as never, should it overflow: UINT64_MAX itself says that there is none */
static uint64_t
deadline(uint64_t timo_ns)
{
	uint64_t when;

	if (__builtin_add_overflow(now(), timo_ns, &when) || when == UINT64_MAX)
		when = UINT64_MAX - 1;
	return when;
}

void
timer_set(struct lwp *l, uint64_t timo_ns)
{
	struct lwp *later;
	bool first;

	host_lock(&timer_lock);
	l->l_deadline = deadline(timo_ns);
	TAILQ_FOREACH(later, &timers, l_timerchain)
		if (later->l_deadline > l->l_deadline)
			break;
	if (later != NULL)
		TAILQ_INSERT_BEFORE(later, l, l_timerchain);
	else
		TAILQ_INSERT_TAIL(&timers, l, l_timerchain);
	note_earliest();
	first = TAILQ_FIRST(&timers) == l;
	host_unlock(&timer_lock);
	if (first && chip != NULL)
		host_unpark(chip);
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

/* => timer_lock held, given up while the function runs, at the clock's level */
static void
fire(struct callout *c)
{
	int s;

	TAILQ_REMOVE(&callouts, c, c_chain);
	c->c_deadline = 0;
	c->c_firing = true;
	host_unlock(&timer_lock);
	s = splraise(IPL_SCHED);
	c->c_fn(c->c_arg);
	host_lock(&timer_lock);
	c->c_firing = false;
	host_unlock(&timer_lock);
	splx(s);
	host_lock(&timer_lock);
}

static void
timer_run(void)
{
	/* relaxed: a hint, see note_earliest() */
	uint64_t first = __atomic_load_n(&earliest, __ATOMIC_RELAXED);
	struct callout *c;
	struct lwp *l;

	if (first == UINT64_MAX || first > now())
		return;
	host_lock(&timer_lock);
	while ((l = TAILQ_FIRST(&timers)) != NULL && l->l_deadline <= now())
		expire(l);
	while ((c = TAILQ_FIRST(&callouts)) != NULL && c->c_deadline <= now())
		fire(c);
	note_earliest();
	host_unlock(&timer_lock);
}

/* --- callouts --- */

void
callout_init(struct callout *c, void (*fn)(void *), void *arg)
{
	*c = (struct callout){ .c_fn = fn, .c_arg = arg };
}

void
callout_schedule(struct callout *c, uint64_t ns)
{
	struct callout *later;
	bool first;
	int s = splraise(IPL_SCHED);		/* the clock must not want timer_lock from us */

	host_lock(&timer_lock);
	if (c->c_deadline != 0)
		TAILQ_REMOVE(&callouts, c, c_chain);
	c->c_deadline = deadline(ns);
	TAILQ_FOREACH(later, &callouts, c_chain)
		if (later->c_deadline > c->c_deadline)
			break;
	if (later != NULL)
		TAILQ_INSERT_BEFORE(later, c, c_chain);
	else
		TAILQ_INSERT_TAIL(&callouts, c, c_chain);
	note_earliest();
	first = TAILQ_FIRST(&callouts) == c;
	host_unlock(&timer_lock);
	if (first && chip != NULL)
		host_unpark(chip);
	splx(s);
}

void
callout_stop(struct callout *c)
{
	int s = splraise(IPL_SCHED);

	host_lock(&timer_lock);
	if (c->c_deadline != 0) {
		TAILQ_REMOVE(&callouts, c, c_chain);
		c->c_deadline = 0;
		note_earliest();
	}
	host_unlock(&timer_lock);
	splx(s);
}

void
callout_halt(struct callout *c)
{
	bool firing = true;

	while (firing) {
		callout_stop(c);
		host_lock(&timer_lock);
		firing = c->c_firing;
		host_unlock(&timer_lock);
		if (firing)
			yield();
	}
}

bool
timer_idle(void)
{
	int s;

	if (ncpu != 1)
		return false;
	s = splraise(IPL_SCHED);	/* the clock interrupt moves time on, too */
	if (earliest == UINT64_MAX) {
		splx(s);
		return false;
	}
	if (virtual_now < earliest)
		advance(earliest);
	timer_run();
	splx(s);
	return true;
}

void
timer_quantum(void)
{
	int s;

	if (ncpu != 1)
		return;
	s = splraise(IPL_SCHED);
	advance(virtual_now + QUANTUM_NS);
	timer_run();
	splx(s);
}

static void
timer_hardclock(struct cpu_info *ci)
{
	if (ncpu == 1)
		advance(virtual_now + TICK_NS);
	timer_run();
}

/* --- the clock chip --- */

/* => woken by timer_set() when there is a new first time-out, and to stop */
static void
chip_main(void *arg)
{
	while (!__atomic_load_n(&chip_stop, __ATOMIC_RELAXED)) {
		uint64_t next = __atomic_load_n(&earliest, __ATOMIC_ACQUIRE);	/* pairs with note_earliest() */
		uint64_t t = host_now_ns();

		if (next == UINT64_MAX) {
			host_park();
		} else if (t < next) {
			host_park_until(next);
		} else {
			intr_post(cpu_idlest(), IRQ_CLOCK);
			host_park_until(t + TICK_NS);	/* served by then? else again */
		}
	}
}
