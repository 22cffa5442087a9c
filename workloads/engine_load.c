/*
 * The load: workers run the operations of their jobs until the run is to end.
 *
 * A host thread beside the machine (the clock) ends the run at its deadline and draws the
 * progress; it holds no simulated CPU and touches nothing but counters, so that a run by
 * operations does not depend on it.  Under a controlled schedule, whose time is its own, the
 * workers look at the deadline themselves.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/inject.h>
#include <sys/lockstat.h>
#include <sys/sleepq.h>
#include <uvm/uvm_extern.h>

#include "engine_run.h"

/* --- its end --- */

/* By a schedule's time the load ends at the same operation each time; by a signal it does not. */
static bool
schedule_over(void)
{
	const atomic_int *stop = engine.en_options->ro_stop;

	return host_now_ns() >= __atomic_load_n(&engine.en_deadline, __ATOMIC_RELAXED) ||
	    (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed) != 0);
}

bool
engine_stopping(void)
{
	if (__builtin_expect(engine.en_controlled, 0) && schedule_over())
		engine_stop();
	return __atomic_load_n(&engine.en_stop, __ATOMIC_RELAXED);
}

void
engine_stop(void)
{
	__atomic_store_n(&engine.en_stop, true, __ATOMIC_RELAXED);
}

double
engine_elapsed_s(void)
{
	uint64_t start = __atomic_load_n(&engine.en_start, __ATOMIC_RELAXED);

	return start == 0 ? 0 : (double)(host_wall_ns() - start) / 1e9;
}

/* --- the clock: a host thread beside the machine --- */

/* => the class is among those that were waited for longest, if it belongs there */
static void
look_at_lock(struct run_progress *rp, enum lock_class class)
{
	struct lockstat ls;
	size_t i;

	lockstat_get(class, &ls);
	if (ls.ls_wait_ns == 0)
		return;
	if (rp->rp_nlocks < PROGRESS_LOCKS)
		rp->rp_nlocks++;
	else if (rp->rp_locks[PROGRESS_LOCKS - 1].pl_wait_ns >= ls.ls_wait_ns)
		return;
	for (i = rp->rp_nlocks - 1; i > 0 && rp->rp_locks[i - 1].pl_wait_ns < ls.ls_wait_ns; i--)
		rp->rp_locks[i] = rp->rp_locks[i - 1];
	rp->rp_locks[i].pl_class = lock_classes[class].lc_name;
	rp->rp_locks[i].pl_contended = ls.ls_contended;
	rp->rp_locks[i].pl_wait_ns = ls.ls_wait_ns;
}

static void
look_at_cpus(struct run_progress *rp)
{
	/* relaxed: pairs with the counts of the CPU itself, which goes on */
	for (int i = 0; i < ncpu; i++) {
		const struct cpu_info *ci = &cpus[i];

		rp->rp_cpu_user += __atomic_load_n(&ci->ci_cptime[CP_USER], __ATOMIC_RELAXED);
		rp->rp_cpu_system += __atomic_load_n(&ci->ci_cptime[CP_SYS], __ATOMIC_RELAXED);
		rp->rp_cpu_interrupt += __atomic_load_n(&ci->ci_cptime[CP_INTR], __ATOMIC_RELAXED);
		rp->rp_cpu_idle += __atomic_load_n(&ci->ci_cptime[CP_IDLE], __ATOMIC_RELAXED);
	}
}

static void
look(struct run_progress *rp)
{
	const struct machine_settings *ms = &engine.en_profile->p_machine;
	struct uvm_glance ug;

	memset(rp, 0, sizeof(*rp));
	rp->rp_elapsed_s = engine_elapsed_s();
	rp->rp_planned_s = ms->ms_ops == 0 ? (double)ms->ms_time / 1e9 : 0;
	for (unsigned i = 0; i < engine.en_njobs; i++) {
		struct job_run *jr = &engine.en_jobs[i];

		rp->rp_operations_planned += ms->ms_ops * jr->jr_nworkers;
		for (unsigned w = 0; w < jr->jr_nworkers; w++) {
			rp->rp_operations += __atomic_load_n(&jr->jr_workers[w].jw_ops,
			    __ATOMIC_RELAXED);
			rp->rp_bytes_verified += __atomic_load_n(&jr->jr_workers[w].jw_verified,
			    __ATOMIC_RELAXED);
		}
	}
	uvm_stat_glance(&ug);
	rp->rp_faults = ug.ug_faults;
	rp->rp_free_pages = ug.ug_free;
	rp->rp_total_pages = ug.ug_npages;
	rp->rp_active_pages = ug.ug_active;
	rp->rp_inactive_pages = ug.ug_inactive;
	rp->rp_wired_pages = ug.ug_wired;
	look_at_cpus(rp);
	for (int class = 0; class < LC_COUNT; class++)
		look_at_lock(rp, (enum lock_class)class);
	rp->rp_violations = found_all();
}

#define	CLOCK_STEP_NS	20000000	/* 20 ms: how late a deadline or a signal may be noticed */
#define	SAMPLE_NS	100000000	/* 0.1 s: of how fast the load goes */

static void
clock_main(void *arg)
{
	const struct run_options *ro = engine.en_options;
	const struct machine_settings *ms = &engine.en_profile->p_machine;
	uint64_t start = __atomic_load_n(&engine.en_start, __ATOMIC_RELAXED);
	uint64_t deadline = ms->ms_ops == 0 && ms->ms_time != 0 && !engine.en_controlled ?
	    start + ms->ms_time : UINT64_MAX;
	uint64_t next = ro->ro_status_interval != 0 ? start + ro->ro_status_interval : UINT64_MAX;
	uint64_t sample = start + SAMPLE_NS;
	struct run_progress rp;

	/* acquire: pairs with the release in run_load() */
	while (!__atomic_load_n(&engine.en_over, __ATOMIC_ACQUIRE)) {
		uint64_t now = host_wall_ns();

		if (now >= deadline || (ro->ro_stop != NULL &&
		    atomic_load_explicit(ro->ro_stop, memory_order_relaxed) != 0))
			engine_stop();
		found_tell();
		if (now >= sample) {
			look(&rp);
			found_sample(&rp);
			sample += SAMPLE_NS;
		}
		if (now >= next) {
			look(&rp);
			ro->ro_progress(ro->ro_arg, &rp);
			next += ro->ro_status_interval;
		}
		host_park_until(now + CLOCK_STEP_NS);
	}
}

/* --- workers --- */

void
worker_userret(struct job_worker *jw)
{
	lwp_userret(jw->jw_run->jr_cost);
}

/* The random numbers of each operation are its own under control: it is the same without those before it. */
static void
begin_step(struct job_worker *jw, uint64_t step)
{
	if (engine.en_controlled)
		host_rng_init(&jw->jw_rng, jw->jw_run->jr_seed ^ (step + 1) << 32, jw->jw_index);
}

static void
worker_main(void *arg)
{
	struct job_worker *jw = arg;
	const struct job *job = jw->jw_run->jr_job;
	const struct workload *wl = job->job_workload;
	uint64_t limit = engine.en_profile->p_machine.ms_ops;

	for (uint64_t step = 0; !engine_stopping() && (limit == 0 || jw->jw_ops < limit); step++) {
		uint64_t before = jw->jw_ops;
		int error;

		if (__builtin_expect(job->job_ndoes != 0, 0) && !job_does(job, jw->jw_index, step)) {
			__atomic_store_n(&jw->jw_ops, before + 1, __ATOMIC_RELAXED);
			worker_userret(jw);	/* all may be standing still */
			continue;
		}
		begin_step(jw, step);
		error = wl->wl_run != NULL ? wl->wl_run(jw->jw_run, jw) : worker_operation(jw);

		if (error == ENOMEM || (error == EIO && engine_io_fails()))
			error = worker_nomem(jw);
		if (error == 0)
			error = worker_meet(jw);
		if (error != 0) {
			engine_stop();
			break;
		}
		/* A workload may count its own, finer operations.  relaxed: for the progress line. */
		if (jw->jw_ops == before)
			__atomic_store_n(&jw->jw_ops, before + 1, __ATOMIC_RELAXED);
		worker_userret(jw);
	}
	if (worker_leave(jw) != 0)
		engine_stop();
}

static int
job_start(struct job_run *jr)
{
	char name[64];
	int error;

	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct job_worker *jw = &jr->jr_workers[i];

		snprintf(name, sizeof(name), "%s.%u", jr->jr_job->job_name, i);
		error = proc_lwp_create(jw->jw_proc->jp_proc, &jw->jw_lwp, name, worker_main, jw);
		if (error != 0)
			return error;
	}
	return 0;
}

/* --- what happens to the machine now and then --- */

#define	PAUSE_NS	100000000	/* 100 ms: how late it may notice that the run is over */

static void
periodic_main(void *arg)
{
	const struct periodic *pe = arg;
	uint64_t left = pe->pe_interval;

	while (!engine_stopping()) {
		uint64_t ns = left < PAUSE_NS ? left : PAUSE_NS;

		lwp_patient(true);
		kpause(pe->pe_name, ns);
		lwp_patient(false);
		lwp_userret(1);			/* all may be standing still */
		left -= ns;
		if (left == 0 && !engine_stopping()) {
			pe->pe_fn(pe->pe_arg);
			left = pe->pe_interval;
		}
	}
}

void
engine_every(uint64_t ns, const char *name, void (*fn)(void *), void *arg)
{
	struct periodic *pe;

	if (ns == 0)
		return;
	pe = xcalloc(1, sizeof(*pe));
	*pe = (struct periodic){ engine.en_periodic, name, ns, fn, arg, NULL };
	engine.en_periodic = pe;
}

/* => 0 or errno; those that began are to be waited for in either case */
static int
periodic_start(void)
{
	int error = 0;

	for (struct periodic *pe = engine.en_periodic; pe != NULL && error == 0; pe = pe->pe_next) {
		error = lwp_create(&pe->pe_lwp, NULL, pe->pe_name, periodic_main, pe);
		if (error == 0)
			lwp_start(pe->pe_lwp);
	}
	return error;
}

void
periodic_fini(void)
{
	struct periodic *pe;

	while ((pe = engine.en_periodic) != NULL) {
		engine.en_periodic = pe->pe_next;
		if (pe->pe_lwp != NULL)
			lwp_wait(pe->pe_lwp);
		free(pe);
	}
}

/* --- from begin to end --- */

int
run_load(void)
{
	const struct machine_settings *ms = &engine.en_profile->p_machine;
	int error = periodic_start();
	uint64_t cpu;

	for (unsigned i = 0; i < engine.en_njobs && error == 0; i++)
		error = job_start(&engine.en_jobs[i]);
	if (error == 0)
		error = engine_check_start(engine.en_profile, engine.en_result);
	inject_start();
	host_sched_load(true);
	__atomic_store_n(&engine.en_start, host_wall_ns(), __ATOMIC_RELAXED);
	if (engine.en_controlled && ms->ms_ops == 0 && ms->ms_time != 0)
		__atomic_store_n(&engine.en_deadline, host_now_ns() + ms->ms_time, __ATOMIC_RELAXED);
	cpu = host_cpu_ns();
	/* Who is controlled looks at the deadline himself. */
	if (error == 0 && (!engine.en_controlled || engine.en_options->ro_status_interval != 0))
		error = host_thread_create_beside(&engine.en_clock, "clock", clock_main, NULL);
	if (error != 0)
		engine_stop();
	if (engine.en_options->ro_timeline != NULL)
		timeline_names(engine.en_options->ro_timeline);
	for (unsigned i = 0; i < engine.en_njobs; i++)
		for (unsigned w = 0; w < engine.en_jobs[i].jr_nworkers; w++)
			if (engine.en_jobs[i].jr_workers[w].jw_lwp != NULL)
				lwp_start(engine.en_jobs[i].jr_workers[w].jw_lwp);
	for (unsigned i = 0; i < engine.en_njobs; i++)
		for (unsigned w = 0; w < engine.en_jobs[i].jr_nworkers; w++)
			if (engine.en_jobs[i].jr_workers[w].jw_lwp != NULL)
				lwp_wait(engine.en_jobs[i].jr_workers[w].jw_lwp);
	engine_stop();
	if (engine.en_options->ro_timeline != NULL)	/* before what is still to come writes over it */
		timeline_capture(engine.en_options->ro_timeline);
	host_sched_load(false);
	engine_check_end();
	periodic_fini();
	inject_stop();
	for (int i = 1; i < ncpu; i++)
		cpu_setstate(&cpus[i], true);
	engine.en_result->rr_elapsed_s = engine_elapsed_s();
	engine.en_result->rr_cpu_s = (double)(host_cpu_ns() - cpu) / 1e9;
	/* release: pairs with the acquire in clock_main() */
	__atomic_store_n(&engine.en_over, true, __ATOMIC_RELEASE);
	if (engine.en_clock != NULL) {
		host_unpark(engine.en_clock);
		host_thread_join(engine.en_clock);
	}
	return error;
}
