/*
 * Sleep queues.
 *
 * A channel is an address; channels hash to buckets, each a list in order of
 * arrival under a raw lock.  wakeup() walks the bucket for its channel, so the
 * order in which sleepers of one channel wake is the order in which they came,
 * whatever their addresses.
 *
 * A sleeper enters the queue under the bucket's lock and only then gives up the
 * lock that guards its condition, so a waker that has that lock finds it there
 * (T-48).  It may be woken before it has left its CPU; lwp_block() sorts that out.
 */
#include <errno.h>

#include <sys/lockdirect.h>

#include "kern_int.h"

#define	NBUCKETS	256

static struct sleepq buckets[NBUCKETS];

void
sleepq_init(void)
{
	for (int i = 0; i < NBUCKETS; i++)
		TAILQ_INIT(&buckets[i].sq_lwps);
}

struct sleepq *
sleepq_lock(wchan_t wchan)
{
	uint64_t h = ((uint64_t)(uintptr_t)wchan >> 3) * 0x9e3779b97f4a7c15ULL;
	struct sleepq *sq = &buckets[h >> 56];

	host_lock(&sq->sq_lock);
	return sq;
}

void
sleepq_unlock(struct sleepq *sq)
{
	host_unlock(&sq->sq_lock);
}

void
sleepq_enter(struct sleepq *sq, wchan_t wchan, const char *wmesg)
{
	struct lwp *l = curlwp;

	KASSERTMSG(!cpu_intr_p(), "sleep on '%s' in interrupt context", wmesg);
	KASSERTMSG(l->l_wchan == NULL, "I-SMP-7: %s sleeps on '%s', and is on a queue", l->l_name, wmesg);
	KASSERT(!l->l_idle);
	KASSERTMSG(__atomic_load_n(&l->l_stat, __ATOMIC_RELAXED) == LSONPROC, "I-SMP-7: %s sleeps on '%s', and does not run: "
	    "state %d", l->l_name, wmesg, l->l_stat);
	/* its own: nobody else sets one, and who let it expire has had timer_lock before timer_clear() */
	KASSERTMSG(l->l_deadline == 0, "I-SMP-7: %s sleeps on '%s' with the time-out of an earlier sleep", l->l_name, wmesg);
	__atomic_store_n(&l->l_wchan, wchan, __ATOMIC_RELAXED);	/* kern_timer.c peeks */
	/* relaxed: dumps read it */
	__atomic_store_n(&l->l_wmesg, wmesg, __ATOMIC_RELAXED);
	l->l_werror = 0;
	__atomic_store_n(&l->l_offcpu, LW_ONCPU, __ATOMIC_RELAXED);
	__atomic_store_n(&l->l_stat, LSSLEEP, __ATOMIC_RELAXED);
	TAILQ_INSERT_TAIL(&sq->sq_lwps, l, l_sleepchain);
}

int
sleepq_block(uint64_t timo_ns)
{
	struct lwp *l = curlwp;

	if (timo_ns != 0)
		timer_set(l, timo_ns);
	lwp_block();
	if (timo_ns != 0)
		timer_clear(l);
	return l->l_werror;
}

struct lwp *
sleepq_next(struct lwp *l)
{
	wchan_t wchan = l->l_wchan;

	do
		l = TAILQ_NEXT(l, l_sleepchain);
	while (l != NULL && l->l_wchan != wchan);
	return l;
}

struct lwp *
sleepq_first(struct sleepq *sq, wchan_t wchan)
{
	struct lwp *l;

	TAILQ_FOREACH(l, &sq->sq_lwps, l_sleepchain)
		if (l->l_wchan == wchan)
			return l;
	return NULL;
}

void
sleepq_remove(struct sleepq *sq, struct lwp *l, int error)
{
	KASSERTMSG(l->l_wchan != NULL, "I-SMP-7: %s is woken, and is on no queue", l->l_name);
	TAILQ_REMOVE(&sq->sq_lwps, l, l_sleepchain);
	__atomic_store_n(&l->l_wchan, NULL, __ATOMIC_RELAXED);
	l->l_werror = error;
}

static void
wake(wchan_t wchan, bool all)
{
	struct sleepq *sq;
	struct lwp *l, *next;

	host_point(HP_WAKE, curlwp->l_id);
	sq = sleepq_lock(wchan);
	for (l = sleepq_first(sq, wchan); l != NULL; l = next) {
		next = all ? sleepq_next(l) : NULL;
		LOCKEVENT_(lockevent_woken(l));
		sleepq_remove(sq, l, 0);
		lwp_wake(l);
	}
	sleepq_unlock(sq);
}

void
wakeup(wchan_t wchan)
{
	wake(wchan, true);
}

void
wakeup_one(wchan_t wchan)
{
	wake(wchan, false);
}

struct lwp *
sleepq_sleeper(wchan_t wchan)
{
	struct sleepq *sq = sleepq_lock(wchan);
	struct lwp *l = sleepq_first(sq, wchan);

	sleepq_unlock(sq);
	return l;
}

unsigned
sleepq_asleep(wchan_t wchan)
{
	struct sleepq *sq = sleepq_lock(wchan);
	unsigned n = 0;

	for (struct lwp *l = sleepq_first(sq, wchan); l != NULL; l = sleepq_next(l))
		n++;
	sleepq_unlock(sq);
	return n;
}

bool
sleepq_has_waiters(wchan_t wchan)
{
	return sleepq_sleeper(wchan) != NULL;
}

int
mtsleep(wchan_t wchan, bool norelock, const char *wmesg, uint64_t timo_ns, kmutex_t *mtx)
{
	struct sleepq *sq;
	int error;

	KASSERT(mutex_owned(mtx));
	LOCKEVENT_(lockevent_asleep(wmesg, timo_ns != 0, mtx));
	sq = sleepq_lock(wchan);
	sleepq_enter(sq, wchan, wmesg);
	KASSERTMSG(mutex_owned(mtx), "T-48: the lock of '%s' is given up before its sleeper is on the queue", wmesg);
	sleepq_unlock(sq);
	mutex_exit(mtx);
	lockdebug_sleep_barrier(wmesg);
	LOCKEVENT_(lockevent_dropped());
	error = sleepq_block(timo_ns);
	if (__builtin_expect(lockdirect_on, 0))
		lockdirect_slept();
	if (!norelock)
		mutex_enter(mtx);
	return error;
}

void
kpause(const char *wmesg, uint64_t ns)
{
	const wchan_t wchan = PAUSE_WCHAN(curlwp);
	struct sleepq *sq;

	lockdebug_barrier(wmesg);
	sq = sleepq_lock(wchan);
	sleepq_enter(sq, wchan, wmesg);
	sleepq_unlock(sq);
	sleepq_block(ns != 0 ? ns : 1);
}
