/*
 * condvar(9): a sleep queue whose channel is the condition variable.
 */
#include "../src/kern/kern_int.h"

#include <sys/condvar.h>

void
cv_init(kcondvar_t *cv, const char *wmesg)
{
	cv->cv_wmesg = wmesg;
	cv->cv_id = lock_birth();
}

void
cv_destroy(kcondvar_t *cv)
{
	KASSERTMSG(!cv_has_waiters(cv), "cv_destroy: %s has waiters", cv->cv_wmesg);
	cv->cv_wmesg = NULL;
}

void
cv_wait(kcondvar_t *cv, kmutex_t *m)
{
	mtsleep(CV_WCHAN(cv), false, cv->cv_wmesg, 0, m);
}

int
cv_timedwait(kcondvar_t *cv, kmutex_t *m, uint64_t timo_ns)
{
	return mtsleep(CV_WCHAN(cv), false, cv->cv_wmesg, timo_ns, m);
}

void
cv_signal(kcondvar_t *cv)
{
	wakeup_one(CV_WCHAN(cv));
}

void
cv_broadcast(kcondvar_t *cv)
{
	wakeup(CV_WCHAN(cv));
}

bool
cv_has_waiters(kcondvar_t *cv)
{
	return cv_sleeper(cv) != NULL;
}

struct lwp *
cv_sleeper(kcondvar_t *cv)
{
	return sleepq_sleeper(CV_WCHAN(cv));
}
