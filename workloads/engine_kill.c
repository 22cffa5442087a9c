/*
 * Processes killed for want of memory.
 *
 * An access that finds neither memory nor anything to reclaim is refused with ENOMEM; in
 * a kernel the process dies of it (SIGKILL), and that is what sets memory free for the
 * others.  So here: the workers of the process park, each at the end of its operation;
 * the last one lets the process exit, makes an empty one in its place, has the workload
 * map it anew, and wakes the others into it.
 *
 * A workload without wl_proc has processes that share memory in ways that a fresh one
 * could not take up.  Its worker gives the operation up and tries another one a little
 * later; a store that was refused has changed nothing, so the content models hold.
 */
#include <errno.h>
#include <stdio.h>

#include <sys/condvar.h>
#include <sys/kernel.h>
#include <sys/mutex.h>
#include <sys/sleepq.h>

#include "engine_int.h"

#define	NOMEM_PAUSE_NS	1000000

static kmutex_t engine_kill_lock;	/* LC_engine */
static kcondvar_t engine_kill_cv;	/* engine_kill_lock: a process was replaced */

void
engine_kill_init(void)
{
	mutex_init(&engine_kill_lock, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	cv_init(&engine_kill_cv, "killed");
}

void
engine_kill_fini(void)
{
	cv_destroy(&engine_kill_cv);
	mutex_destroy(&engine_kill_lock);
}

/* => every worker of the process is parked or gone; nothing held; sleeps */
static int
replace(struct job_run *jr, struct job_proc *jp)
{
	char name[64];
	int error;

	proc_exit(jp->jp_proc);
	jp->jp_proc = NULL;
	snprintf(name, sizeof(name), "%s/%u", jr->jr_job->job_name, jp->jp_index);
	while ((error = proc_create(name, &jp->jp_proc)) == ENOMEM && !engine_stopping()) {
		kpause("nomem", NOMEM_PAUSE_NS);
		lwp_userret(1);			/* all may be standing still */
	}
	return error != 0 ? error : jr->jr_job->job_workload->wl_proc(jr, jp);
}

/*
 * The last worker that still ran has come: the process can be replaced.
 * => engine_kill_lock held, given up meanwhile: nobody else moves
 */
static int
replace_locked(struct job_run *jr, struct job_proc *jp)
{
	int error;

	KASSERT(proc_killed(jp->jp_proc) && jp->jp_parked == jp->jp_running);
	mutex_exit(&engine_kill_lock);
	error = replace(jr, jp);
	mutex_enter(&engine_kill_lock);
	jp->jp_kills++;
	jp->jp_parked = 0;
	cv_broadcast(&engine_kill_cv);
	return error;
}

/* => the worker stands in no process; then in the new one */
static int
park(struct job_worker *jw)
{
	struct job_proc *jp = jw->jw_proc;
	unsigned kills;
	int error = 0;

	proc_attach(NULL);
	mutex_enter(&engine_kill_lock);
	kills = jp->jp_kills;
	if (++jp->jp_parked == jp->jp_running)
		error = replace_locked(jw->jw_run, jp);
	else
		while (jp->jp_kills == kills) {
			lwp_patient(true);
			cv_wait(&engine_kill_cv, &engine_kill_lock);
			lwp_patient(false);
		}
	mutex_exit(&engine_kill_lock);
	if (error == 0 && jp->jp_proc == NULL)
		error = ENOMEM;			/* who replaces it had an error */
	if (error == 0)
		proc_attach(jp->jp_proc);
	return error;
}

int
worker_nomem(struct job_worker *jw)
{
	if (jw->jw_run->jr_job->job_workload->wl_proc == NULL) {
		kpause("nomem", NOMEM_PAUSE_NS);
		return 0;
	}
	proc_kill(jw->jw_proc->jp_proc);
	return 0;
}

int
worker_meet(struct job_worker *jw)
{
	/* seen late, the worker finds no memory either */
	return proc_killed(jw->jw_proc->jp_proc) ? park(jw) : 0;
}

int
worker_leave(struct job_worker *jw)
{
	struct job_proc *jp = jw->jw_proc;
	int error = 0;

	proc_attach(NULL);
	mutex_enter(&engine_kill_lock);
	jp->jp_running--;
	if (jp->jp_parked > 0 && jp->jp_parked == jp->jp_running)
		error = replace_locked(jw->jw_run, jp);
	mutex_exit(&engine_kill_lock);
	return error;
}
