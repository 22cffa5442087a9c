/*
 * Deferred frees.
 *
 * call_rcu() puts a callback on one list.  The "rcu" LWP takes the list as it is,
 * gives its CPU up, waits for a grace period and runs the callbacks in the order
 * in which they came; there they may take locks and sleep.
 *
 * A reader's section ends, for the grace period, where its LWP passes a quiescent
 * state: sleeps, yields, returns to user mode.  So a reader does none of that, and
 * each of them asserts it.
 *
 * With one CPU there is nobody to wait for: no reader sleeps in its section, so
 * while this LWP holds the CPU nobody is in one.  The host's grace period would
 * end at a time that no run could repeat.
 */
#include <host/rcu.h>

#include "kern_int.h"

#include <sys/bug.h>
#include <sys/condvar.h>

static kmutex_t	rcu_lock;		/* LC_rcu */
static kcondvar_t rcu_work;		/* rcu_lock: there is work, or an end */
static kcondvar_t rcu_idle;		/* rcu_lock: a batch is done */
static struct rcu_head *rcu_first, **rcu_last;	/* rcu_lock */
static uint64_t	rcu_queued, rcu_done;	/* rcu_lock: callbacks ever */
static bool	rcu_stop;		/* rcu_lock */
static struct lwp *rcu_lwp;		/* stable */
static __thread unsigned reading;	/* depth of this LWP's sections */

static void
run_batch(struct rcu_head *batch, uint64_t *n)
{
	while (batch != NULL) {
		struct rcu_head *next = batch->rh_next;

		host_point(HP_RCU, 0);
		batch->rh_func(batch);
		lwp_beat();			/* a batch may be long */
		batch = next;
		(*n)++;
	}
}

static void
rcu_main(void *arg)
{
	struct rcu_head *batch;
	uint64_t n;

	mutex_enter(&rcu_lock);
	for (;;) {
		while (rcu_first == NULL && !rcu_stop) {
			lwp_patient(true);
			cv_wait(&rcu_work, &rcu_lock);
			lwp_patient(false);
		}
		if (rcu_first == NULL)
			break;
		batch = rcu_first;
		rcu_first = NULL;
		rcu_last = &rcu_first;
		mutex_exit(&rcu_lock);
		if (ncpu > 1) {
			lwp_release_cpu();
			host_rcu_synchronize();
			lwp_acquire_cpu();
		}
		n = 0;
		lockevent_begin(LE_rcu);
		run_batch(batch, &n);
		lockevent_end(LE_rcu);
		mutex_enter(&rcu_lock);
		rcu_done += n;
		cv_broadcast(&rcu_idle);
	}
	mutex_exit(&rcu_lock);
}

void
kern_rcu_init(void)
{
	mutex_init(&rcu_lock, MUTEX_DEFAULT, IPL_NONE, LC_rcu);
	cv_init(&rcu_work, "rcuwork");
	cv_init(&rcu_idle, "rcuidle");
	rcu_first = NULL;
	rcu_last = &rcu_first;
	rcu_queued = rcu_done = 0;
	rcu_stop = false;
	if (lwp_create(&rcu_lwp, NULL, "rcu", rcu_main, NULL) != 0)
		panic("rcu: no thread");
	lwp_start(rcu_lwp);
}

void
kern_rcu_fini(void)
{
	mutex_enter(&rcu_lock);
	rcu_stop = true;
	cv_signal(&rcu_work);
	mutex_exit(&rcu_lock);
	lwp_wait(rcu_lwp);
	KASSERT(rcu_queued == rcu_done);
	cv_destroy(&rcu_work);
	cv_destroy(&rcu_idle);
	mutex_destroy(&rcu_lock);
}

void
rcu_read_lock(void)
{
	reading++;
	host_rcu_read_lock();
	host_point(HP_RCU, curlwp->l_id);
}

void
rcu_read_unlock(void)
{
	KASSERT(reading > 0);
	host_rcu_read_unlock();
	reading--;
}

void
rcu_quiescent_barrier(const char *what)
{
	KASSERTMSG(reading == 0, "%s in a reader's section of RCU", what);
}

void
call_rcu(struct rcu_head *rh, void (*fn)(struct rcu_head *))
{
	if (BUG(rcu_early_free)) {
		fn(rh);
		host_point(HP_RCU, 0);		/* now somebody may look */
		return;
	}
	rh->rh_next = NULL;
	rh->rh_func = fn;
	mutex_enter(&rcu_lock);
	*rcu_last = rh;
	rcu_last = &rh->rh_next;
	rcu_queued++;
	cv_signal(&rcu_work);
	mutex_exit(&rcu_lock);
}

void
rcu_barrier(void)
{
	uint64_t until;

	lockevent_wait(LE_rcu);			/* be there callbacks or not */
	mutex_enter(&rcu_lock);
	until = rcu_queued;
	while (rcu_done < until) {
		lockevent_next(LE_rcu);
		cv_wait(&rcu_idle, &rcu_lock);
	}
	mutex_exit(&rcu_lock);
}
