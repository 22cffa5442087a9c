/*
 * Stopping all LWPs at their user boundary.
 *
 * The request is a word that lwp_userret() tests.  Who sees it sleeps on stop_cv and says
 * that it is patient, as all do who wait for others; so there is one question for everybody:
 * asleep, and patient?  No count has to be kept of who has come, and none can be wrong.
 *
 * An LWP that was woken is runnable before its waker goes on, and thus before that one can
 * stand: once all are seen asleep in one look, none of them is on its way out, unless an
 * interrupt woke it.  Hence the look at the CPUs.
 */
#include <host/race.h>
#include <string.h>
#include <sys/condvar.h>
#include <sys/mutex.h>
#include <sys/stop.h>

#include "kern_int.h"

#define	STEP_NS		200000		/* between two looks at who stands */

bool lwp_stopping;

static kmutex_t stop_lock;		/* LC_stop */
static kcondvar_t stop_cv;		/* stop_lock: the machine goes on */
static struct lwp *stopper;		/* stop_lock: for whom all stand; NULL: it runs */

void
kern_stop_init(void)
{
	mutex_init(&stop_lock, MUTEX_DEFAULT, IPL_NONE, LC_stop);
	cv_init(&stop_cv, "stopped");
	race_atomic(&lwp_stopping, sizeof(lwp_stopping));
	lwp_stopping = false;
	stopper = NULL;
}

void
kern_stop_fini(void)
{
	KASSERT(stopper == NULL);
	cv_destroy(&stop_cv);
	mutex_destroy(&stop_lock);
}

void
lwp_stop_here(void)
{
	mutex_enter(&stop_lock);
	while (stopper != NULL && stopper != curlwp) {
		lwp_patient(true);
		cv_wait(&stop_cv, &stop_lock);
		lwp_patient(false);
	}
	mutex_exit(&stop_lock);
}

bool
lwp_stands(const struct lwp *l)
{
	/* acquire: what it did before it slept is seen by whoever looks at the machine now */
	int stat = __atomic_load_n(&l->l_stat, __ATOMIC_ACQUIRE);

	return stat == LSIDL || stat == LSZOMB ||
	    (stat == LSSLEEP && __atomic_load_n(&l->l_patient, __ATOMIC_RELAXED));
}

/* => list lock held: remembers the first one that does not stand */
static void
look(struct lwp *l, void *arg)
{
	char *who = arg;

	if (l != curlwp && !l->l_idle && *who == '\0' && !lwp_stands(l))
		memcpy(who, l->l_name, LWP_NAME_MAX);
}

/* => does it neither run an LWP nor an interrupt's handler, nor is one about to come in? */
static bool
idles(const struct cpu_info *ci)
{
	return __atomic_load_n(&ci->ci_idle, __ATOMIC_SEQ_CST) != 0 && !intr_pending(ci);
}

static bool
all_stand(char *who)
{
	who[0] = '\0';
	lwp_foreach(look, who);
	for (int i = 0; i < ncpu && who[0] == '\0'; i++)
		if (&cpus[i] != curcpu() && !idles(&cpus[i]))
			memcpy(who, cpus[i].ci_idlelwp->l_name, LWP_NAME_MAX);
	return who[0] == '\0';
}

bool
lwp_stop(uint64_t ns, char who[static LWP_NAME_MAX])
{
	mutex_enter(&stop_lock);
	KASSERTMSG(stopper == NULL, "%s has stopped the machine already", stopper->l_name);
	stopper = curlwp;
	/* relaxed: a hint; who misses it comes again */
	__atomic_store_n(&lwp_stopping, true, __ATOMIC_RELAXED);
	mutex_exit(&stop_lock);
	return lwp_stop_wait(ns, who);
}

bool
lwp_stop_wait(uint64_t ns, char who[static LWP_NAME_MAX])
{
	for (uint64_t waited = 0; !all_stand(who); waited += STEP_NS) {
		if (waited >= ns)
			return false;
		lwp_beat();
		kpause("stop", STEP_NS);
	}
	return true;
}

bool
lwp_stopped(void)
{
	char who[LWP_NAME_MAX];

	return all_stand(who);
}

void
lwp_resume(void)
{
	mutex_enter(&stop_lock);
	KASSERT(stopper == curlwp);
	stopper = NULL;
	__atomic_store_n(&lwp_stopping, false, __ATOMIC_RELAXED);
	cv_broadcast(&stop_cv);
	mutex_exit(&stop_lock);
}
