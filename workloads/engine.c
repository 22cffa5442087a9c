/*
 * The engine: one profile in, one result out.
 *
 *	boot -> set up jobs -> workers run -> verify -> inspect -> tear down -> shut down
 *
 * The calling thread becomes lwp0: it sets the jobs up, sleeps while the
 * workers run, then verifies and tears down.  A host thread beside the machine
 * (the clock) ends the run at its deadline and draws the progress; it holds no
 * simulated CPU and touches nothing but counters, so that a run by operations
 * does not depend on it.
 *
 * What goes wrong meanwhile, in any thread: engine_found.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/checks.h>
#include <harness/engine.h>
#include <harness/inspect.h>
#include <harness/watchdog.h>
#include <harness/xalloc.h>
#include <host/race.h>
#include <host/sched.h>
#include <machine/disk.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/lockevent.h>
#include <sys/lockstat.h>
#include <sys/sleepq.h>
#include <uvm/uvm_extern.h>

#include "engine_found.h"


#define	COST_UNIT		16	/* quantum cost of an operation of weight 1 */

/* Stable during the load. */
struct periodic {
	struct periodic	 *pe_next;
	const char	 *pe_name;
	uint64_t	  pe_interval;		/* ns */
	void		(*pe_fn)(void *);
	void		 *pe_arg;
	struct lwp	 *pe_lwp;		/* NULL: the host had no thread for it */
};

/*
 *	:  stable after set-up	  @  atomic
 */
struct engine {
	const struct profile	 *en_profile;	/* : */
	const struct run_options *en_options;	/* : */
	struct run_result	 *en_result;	/* lwp0; violations: engine_found.c */
	struct job_run		 *en_jobs;	/* : */
	unsigned		  en_njobs;	/* : */
	uint64_t		  en_start;	/* @ ns of the host's clock; 0: load has not begun */
	bool			  en_controlled; /* : by a schedule */
	uint64_t		  en_deadline;	/* @ in its time */
	bool			  en_stop;	/* @ */
	bool			  en_over;	/* @ the clock may go */
	uint64_t		  en_object;	/* @ last object id */
	struct host_thread	 *en_clock;	/* : */
	struct periodic		 *en_periodic;	/* : */
	uint64_t		  en_offlined;	/* the hotplug LWP; then lwp0 */
};

static struct engine engine;

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

bool
engine_io_fails(void)
{
	return inject_chosen(INJECT_swap_read) || inject_chosen(INJECT_vnode_read) ||
	    inject_chosen(INJECT_vnode_write);
}

uint64_t
engine_object_id(void)
{
	return __atomic_add_fetch(&engine.en_object, 1, __ATOMIC_RELAXED);
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

/* --- jobs --- */

static void
job_init(struct job_run *jr, const struct job *job, unsigned index, uint64_t seed)
{
	jr->jr_job = job;
	jr->jr_index = index;
	jr->jr_seed = seed * 1000003u + index;
	jr->jr_cost = (unsigned)(COST_UNIT / job->job_weight);
	if (jr->jr_cost == 0)
		jr->jr_cost = 1;
	jr->jr_nprocs = (unsigned)job->job_processes;
	jr->jr_nworkers = (unsigned)job->job_threads;
	if (jr->jr_nworkers < jr->jr_nprocs)
		jr->jr_nworkers = jr->jr_nprocs;
	jr->jr_procs = xcalloc(jr->jr_nprocs, sizeof(*jr->jr_procs));
	jr->jr_workers = xcalloc(jr->jr_nworkers, sizeof(*jr->jr_workers));
	for (unsigned i = 0; i < jr->jr_nprocs; i++)
		jr->jr_procs[i].jp_index = i;
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct job_worker *jw = &jr->jr_workers[i];

		jw->jw_run = jr;
		jw->jw_index = i;
		jw->jw_proc = &jr->jr_procs[i % jr->jr_nprocs];
		jw->jw_thread = jw->jw_proc->jp_nthreads++;
		jw->jw_proc->jp_running++;
		host_rng_init(&jw->jw_rng, jr->jr_seed, i);
	}
	jr->jr_self.jw_run = jr;
	jr->jr_self.jw_index = jr->jr_nworkers;
	host_rng_init(&jr->jr_self.jw_rng, jr->jr_seed, UINT32_MAX);
}

/* => processes exist, workers do not */
static int
job_setup(struct job_run *jr)
{
	const struct job *job = jr->jr_job;
	const struct workload *wl = job->job_workload;
	char name[64];
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nprocs && error == 0; i++) {
		snprintf(name, sizeof(name), "%s/%u", job->job_name, i);
		error = proc_create(name, &jr->jr_procs[i].jp_proc);
	}
	if (error == 0 && wl->wl_setup != NULL)
		error = wl->wl_setup(jr);
	for (unsigned i = 0; i < jr->jr_nprocs && error == 0 && wl->wl_proc != NULL; i++)
		error = wl->wl_proc(jr, &jr->jr_procs[i]);
	return error;
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

static void
job_teardown(struct job_run *jr)
{
	if (jr->jr_job->job_workload->wl_teardown != NULL)
		jr->jr_job->job_workload->wl_teardown(jr);
	for (unsigned i = 0; i < jr->jr_nprocs; i++)
		if (jr->jr_procs[i].jp_proc != NULL)
			proc_exit(jr->jr_procs[i].jp_proc);
}

static void
job_fini(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nprocs; i++)
		shadow_fini(&jr->jr_procs[i].jp_shadow);
	free(jr->jr_procs);
	free(jr->jr_workers);
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

/* => the run is to end: waits for them, and forgets them */
static void
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

/* => CPUs come and go */
static void
hotplug(void *arg)
{
	struct cpu_info *ci;

	if (ncpu == 1)
		return;
	ci = &cpus[1 + host_rng_below(&curlwp->l_rng, (uint64_t)ncpu - 1)];
	engine.en_offlined += !ci->ci_offline;
	cpu_setstate(ci, ci->ci_offline);
}

/* => workers have run and are gone */
static int
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

/* --- results --- */

#define	CPU(field)	offsetof(struct cpu_info, field)

static void
result_interrupts(struct run_result *rr)
{
	static const struct {
		const char *name;
		size_t offset;
	} counts[] = {
		{ "delivered", CPU(ci_nintr) }, { "ipis", CPU(ci_nipi) },
		{ "clock", CPU(ci_nirq[IRQ_CLOCK]) }, { "clock_user", CPU(ci_cptime[CP_USER]) },
		{ "clock_sys", CPU(ci_cptime[CP_SYS]) }, { "clock_intr", CPU(ci_cptime[CP_INTR]) },
		{ "clock_idle", CPU(ci_cptime[CP_IDLE]) }, { "disk", CPU(ci_nirq[IRQ_DISK]) },
		{ "net", CPU(ci_nirq[IRQ_NET]) }, { "device", CPU(ci_nirq[IRQ_DEVICE]) },
		{ "soft", CPU(ci_nirq[IRQ_SOFT]) }, { "pool_puts", CPU(ci_nintrput) },
		{ "by_signal", CPU(ci_nrung) },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t n = 0;

		/* relaxed: pairs with the counts of the CPU itself, which may go on */
		for (int cpu = 0; cpu < ncpu; cpu++)
			n += __atomic_load_n((uint64_t *)((char *)&cpus[cpu] + counts[i].offset),
			    __ATOMIC_RELAXED);
		result_count(&rr->rr_interrupts, counts[i].name, n);
	}
	result_count(&rr->rr_interrupts, "cpus_offlined", engine.en_offlined);
}

static void
result_injected(struct run_result *rr)
{
	uint64_t calls, failed;

	for (int site = 0; site < INJECT_COUNT; site++)
		if (inject_chosen((enum inject_site)site)) {
			inject_counts((enum inject_site)site, &calls, &failed);
			result_count(&rr->rr_injected, inject_info[site].ii_name, failed);
		}
}

static void
result_faults(struct run_result *rr, const struct uvmexp *exp)
{
	const struct {
		const char *name;
		uint64_t value;
	} faults[] = {
		{ "total", exp->count[UVMC_faults] },
		{ "zero_fill", exp->count[UVMC_flt_przero] },
		{ "cow", exp->count[UVMC_flt_acow] },
		{ "promote", exp->count[UVMC_flt_prcopy] },
		{ "soft", exp->count[UVMC_flt_soft] },
		{ "file", exp->count[UVMC_flt_file] },
		{ "pagein", exp->count[UVMC_flt_pagein] },
		{ "ahead", exp->count[UVMC_fltnamap] + exp->count[UVMC_fltnomap] },
		{ "shortage_retries", exp->count[UVMC_flt_shortage] },
		{ "restarts", exp->count[UVMC_flt_restart] },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		result_count(&rr->rr_faults, faults[i].name, faults[i].value);
}

static void
result_loans(struct run_result *rr, const struct uvmexp *exp)
{
	static const struct {
		const char *name;
		enum uvm_counter counter;
	} loans[] = {
		{ "to_kernel", UVMC_loan_to_kernel }, { "to_anon", UVMC_loan_to_anon },
		{ "zero", UVMC_loan_zero }, { "copied", UVMC_loan_copied },
		{ "broken", UVMC_loan_broken }, { "returned", UVMC_loan_returned },
		{ "orphaned", UVMC_loan_orphaned }, { "adopted", UVMC_loan_adopted },
		{ "refused", UVMC_loan_refused }, { "deferred", UVMC_loan_deferred },
		{ "read", UVMC_loan_read },
	};

	for (size_t i = 0; i < sizeof(loans) / sizeof(loans[0]); i++)
		result_count(&rr->rr_loans, loans[i].name, exp->count[loans[i].counter]);
}

static void
result_gauges(struct run_result *rr, const struct uvmexp *exp)
{
	const struct {
		const char *name;
		uint64_t value;
	} gauges[] = {
		{ "npages", exp->npages }, { "free", exp->free }, { "active", exp->active },
		{ "inactive", exp->inactive }, { "wired", exp->wired },
		{ "paging", exp->paging }, { "anonpages", exp->anonpages },
		{ "filepages", exp->filepages }, { "aobjpages", exp->aobjpages },
		{ "kernpages", exp->kernpages }, { "reserve_pagedaemon", exp->reserve_pagedaemon },
		{ "reserve_kernel", exp->reserve_kernel }, { "freemin", exp->freemin },
		{ "freetarg", exp->freetarg }, { "inactarg", exp->inactarg },
		{ "wiredmax", exp->wiredmax }, { "nswapdev", exp->nswapdev },
		{ "swpages", exp->swpages }, { "swpgavail", exp->swpgavail },
		{ "swpginuse", exp->swpginuse }, { "swpgonly", exp->swpgonly },
		{ "npgbad", exp->npgbad },
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		result_count(&rr->rr_uvmexp, gauges[i].name, gauges[i].value);
	for (int i = 0; i < UVMC_COUNT; i++)
		result_count(&rr->rr_uvmexp, uvm_counter_name[i], exp->count[i]);
}

static void
result_pmap(struct run_result *rr)
{
	struct pmap_stat ps;

	pmap_getstat(&ps);
	result_count(&rr->rr_uvmexp, "shootdowns", ps.shootdowns);
	result_count(&rr->rr_uvmexp, "rm_faults", ps.rm_faults);
	result_count(&rr->rr_uvmexp, "ptp_alloc", ps.ptp_alloc);
	result_count(&rr->rr_uvmexp, "enter_failed", ps.enter_failed);
	result_count(&rr->rr_uvmexp, "ptp_steals", ps.ptp_steals);
	result_count(&rr->rr_uvmexp, "pv_steals", ps.pv_steals);
	result_count(&rr->rr_uvmexp, "plain_enter_dips", ps.plain_enter_dips);
	result_count(&rr->rr_uvmexp, "leaving_flushes", ps.leaving_flushes);
	result_count(&rr->rr_uvmexp, "disk_reads", disk_requests(false));
	result_count(&rr->rr_uvmexp, "disk_writes", disk_requests(true));
}

static void
result_latency_and_locks(struct run_result *rr)
{
	struct uvm_latency ul;
	struct result_latency *rl;

	uvm_latency_get(&ul);
	if (ul.ul_n != 0) {
		rl = result_add_latency(rr, "fault");
		rl->rl_p50 = ul.ul_p50;
		rl->rl_p90 = ul.ul_p90;
		rl->rl_p99 = ul.ul_p99;
		rl->rl_p999 = ul.ul_p999;
		rl->rl_max = ul.ul_max;
		_Static_assert(sizeof(rl->rl_octave) == sizeof(ul.ul_octave), "the same octaves");
		memcpy(rl->rl_octave, ul.ul_octave, sizeof(rl->rl_octave));
	}
	for (int class = 0; class < LC_COUNT; class++) {
		struct result_lock *rk;
		struct lockstat ls;

		lockstat_get(class, &ls);
		if (ls.ls_acquisitions == 0 && ls.ls_contended == 0)
			continue;
		rk = result_add_lock(rr, lock_classes[class].lc_name);
		rk->rk_acquisitions = ls.ls_acquisitions;
		rk->rk_contended = ls.ls_contended;
		rk->rk_wait_ns = ls.ls_wait_ns;
		rk->rk_hold_ns_max = ls.ls_hold_ns_max;
	}
}

/* => workers are gone, processes are not: what the load did */
static void
fill_result(void)
{
	struct run_result *rr = engine.en_result;
	struct uvmexp exp;

	uvm_stat_get(&exp);
	result_faults(rr, &exp);
	result_gauges(rr, &exp);
	result_pmap(rr);
	result_latency_and_locks(rr);
	result_interrupts(rr);
	result_injected(rr);
	result_loans(rr, &exp);
	for (unsigned i = 0; i < engine.en_njobs; i++) {
		struct job_run *jr = &engine.en_jobs[i];
		struct result_job *rj = result_add_job(rr, jr->jr_job->job_name,
		    jr->jr_job->job_workload->wl_name);

		rj->rj_threads = jr->jr_nworkers;
		rj->rj_bytes_verified = jr->jr_self.jw_verified;
		for (unsigned k = 0; k < jr->jr_nprocs; k++)
			rj->rj_killed += jr->jr_procs[k].jp_kills;
		for (unsigned w = 0; w < jr->jr_nworkers; w++) {
			rj->rj_operations += jr->jr_workers[w].jw_ops;
			rj->rj_bytes_verified += jr->jr_workers[w].jw_verified;
		}
	}
	rr->rr_interrupted = engine.en_options->ro_stop != NULL &&
	    atomic_load_explicit(engine.en_options->ro_stop, memory_order_relaxed) != 0;
}

static bool
counter_exists(const char *group, const char *name)
{
	for (const struct counter_info *ci = counter_table; ci->ci_name != NULL; ci++)
		if (strcmp(ci->ci_group, group) == 0 && strcmp(ci->ci_name, name) == 0)
			return true;
	for (int i = 0; i < UVMC_COUNT && strcmp(group, "uvmexp") == 0; i++)
		if (strcmp(uvm_counter_name[i], name) == 0)
			return true;
	return false;
}

/*
 * Calls fn for each counter that the profile's `require` names.
 * => 0, or what fn returned first
 */
static int
each_required(const struct profile *p, int (*fn)(const char *path))
{
	char *list = xstrdup(p->p_machine.ms_require), *save = NULL;
	int error = 0;

	if (strcmp(list, "none") != 0)
		for (char *path = strtok_r(list, " \t", &save); path != NULL && error == 0;
		    path = strtok_r(NULL, " \t", &save))
			error = fn(path);
	free(list);
	return error;
}

/* => 0, or EINVAL with a line in rr_error */
static int
check_required(const char *path)
{
	const char *dot = strchr(path, '.');
	char group[32] = "";

	if (dot != NULL && (size_t)(dot - path) < sizeof(group))
		memcpy(group, path, (size_t)(dot - path));
	if (dot != NULL && counter_exists(group, dot + 1))
		return 0;
	engine.en_result->rr_error = xasprintf("require: no counter is called %.64s: see "
	    "uvmstress list counters, and write group.name, such as faults.cow", path);
	return EINVAL;
}

static int
require_one(const char *path)
{
	result_require(engine.en_result, path, "global");
	return 0;
}

/* => everything that jobs ask to have moved; only of a run that was not cut short */
static void
require_counters(void)
{
	(void)each_required(engine.en_profile, require_one);
	for (unsigned i = 0; i < engine.en_njobs; i++) {
		const struct job *job = engine.en_jobs[i].jr_job;
		const char *const *path = job->job_workload->wl_required;

		for (; path != NULL && *path != NULL; path++)
			result_require(engine.en_result, *path, job->job_name);
	}
}

static int
switch_bugs(const char *list)
{
	const char *bad;
	size_t len;
	int error = bugs_switch(list, &bad, &len);

	if (error == EINVAL)
		engine.en_result->rr_error = xasprintf("bug = %s: there is no bug of the name '%.*s' "
		    "(`uvmstress list bugs` has all)", list, (int)len, bad);
	else if (error == ENOTSUP)
		engine.en_result->rr_error = xasprintf("bug = %s: this build has no bugs: "
		    "configure it with -Dbugs=true", list);
	return error == 0 ? 0 : EINVAL;
}

/* --- the spine --- */

static int
machine_up(const struct profile *p)
{
	const struct machine_settings *ms = &p->p_machine;
	struct uvm_config uc = {
		.uc_ncpu = (int)ms->ms_cpus,
		.uc_seed = ms->ms_seed,
		.uc_memory = ms->ms_memory,
		.uc_pool_reserve = ms->ms_pool_put != 0,
		.uc_signals = ms->ms_interrupts == INTR_SIGNAL,
		.uc_clock = (unsigned)ms->ms_clock, .uc_history = ms->ms_history, .uc_detail = ms->ms_detail,
		.uc_nic_latency = ms->ms_nic_latency,
		.uc_disk_latency = ms->ms_disk_latency,
		.uc_disk_anycpu = ms->ms_disk_intr != 0,
		.uc_swap = ms->ms_swap,
		.uc_swapdevs = (int)ms->ms_swapdevs,
		.uc_ubc_windows = (int)ms->ms_ubcwindows,
		.uc_swapdir = strcmp(ms->ms_swapdir, "none") == 0 ? NULL : ms->ms_swapdir,
		.uc_software_rm = ms->ms_mmu == MMU_SOFTWARE_RM,
		.uc_fault_ahead = ms->ms_fault_ahead,
		.uc_ptp_steal = ms->ms_ptp_steal,
	};
	char why[160];
	int error;

	if (!UVMSTRESS_LOCKDEBUG && ms->ms_audit != AUDIT_OFF && profile_is_set(p, "audit")) {
		engine.en_result->rr_error = xasprintf("audit: this build has no lock debugging: "
		    "configure it with -Dlockdebug=true, or say audit = off");
		return EINVAL;
	}
	error = each_required(p, check_required);
	if (error == 0)
		error = switch_bugs(ms->ms_bug);
	if (error != 0)
		return error;
	error = inject_configure(ms->ms_inject, ms->ms_seed, why, sizeof(why));
	if (error != 0) {
		engine.en_result->rr_error = xasprintf("inject: %s", why);
		return error;
	}
	lockdebug_on = ms->ms_audit != AUDIT_OFF;
	lockaudit_full = ms->ms_audit == AUDIT_FULL;
	if (strcmp(ms->ms_waivers, "none") != 0 &&
	    waivers_load(ms->ms_waivers, &engine.en_result->rr_error) != 0)
		return EINVAL;
	if (ms->ms_memory < uvm_memory_min(uc.uc_ncpu)) {
		engine.en_result->rr_error = xasprintf(
		    "memory = %luK is too small for %d CPUs: give at least %luK",
		    (unsigned long)(ms->ms_memory >> 10), uc.uc_ncpu,
		    (unsigned long)(uvm_memory_min(uc.uc_ncpu) >> 10));
		return EINVAL;
	}
	error = uvm_boot(&uc);
	if (error == ENOTSUP && uc.uc_signals) {
		engine.en_result->rr_error = xasprintf("interrupts = signal: this build is "
		    "ThreadSanitizer's, which puts signals off: say interrupts = poll");
		return EINVAL;
	}
	if (error != 0 && error != ENOMEM && uc.uc_swap != 0)
		engine.en_result->rr_error = xasprintf("cannot make %lu KiB of swap in %s: %s",
		    (unsigned long)(ms->ms_swap >> 10), uc.uc_swapdir != NULL ? uc.uc_swapdir :
		    "$TMPDIR (or /tmp)", strerror(error));
	else if (error != 0)
		engine.en_result->rr_error = xasprintf(
		    "cannot start a machine of %lu CPUs and %lu KiB: %s",
		    (unsigned long)ms->ms_cpus, (unsigned long)(ms->ms_memory >> 10),
		    strerror(error));
	return error;
}

static void
machine_down(void)
{
	unsigned leaks = uvm_shutdown();

	checks_result(engine.en_result);
	result_add_check(engine.en_result, "leak-at-exit", 1, leaks);
}

/* => for the caller to free: why a job could not be set up, where it did not say so itself */
static char *
setup_failed(const struct job_run *jr, int error)
{
	const char *name = jr->jr_job->job_name;

	if (jr->jr_why[0] != '\0')
		return xasprintf("[%s]: %s", name, jr->jr_why);
	if (error == ENOSPC || error == EDQUOT || error == EFBIG)
		return xasprintf("[%s]: cannot write its files in $TMPDIR (or /tmp): %s", name, strerror(error));
	return xasprintf("[%s]: %s", name, strerror(error));
}

/* => 0, or an errno with a line in rr_error */
static int
set_up_jobs(const struct profile *p)
{
	int error = 0;

	for (unsigned i = 0; i < engine.en_njobs; i++)
		job_init(&engine.en_jobs[i], p->p_jobs[i], i, p->p_machine.ms_seed);
	for (unsigned i = 0; i < engine.en_njobs && error == 0; i++) {
		struct job_run *jr = &engine.en_jobs[i];

		error = job_setup(jr);
		if (error != 0)
			engine.en_result->rr_error = setup_failed(jr, error);
	}
	return error;
}

#define	VERIFY_PAUSE_NS	10000000
#define	VERIFY_FEW	50	/* tries, where it may well stay so */
#define	VERIFY_MANY	3000	/* half a minute: the daemon's CPU may be without a core for some of it */

/*
 * Read back what a job has stored.  The page daemon may be behind just then; but when
 * nobody else stores any more, memory that stays short is a violation; unless it was
 * given away more than once on purpose, then the job stays unread from there on.
 */
static void
verify_job(struct job_run *jr)
{
	const struct workload *wl = jr->jr_job->job_workload;
	bool may_stay = engine.en_profile->p_machine.ms_overcommit || engine_io_fails();
	int error = 0;

	for (int i = 0; i < (may_stay ? VERIFY_FEW : VERIFY_MANY); i++) {
		error = wl->wl_verify(jr);
		if (error != ENOMEM)
			return;
		proc_attach(NULL);
		kpause("verify", VERIFY_PAUSE_NS);
	}
	if (!may_stay)
		violation(VIOL_INVARIANT, "I-PD-6", "job %s cannot be read back: %s",
		    jr->jr_job->job_name, strerror(error));
}

static int
run_jobs(void)
{
	int error = run_load();

	if (error != 0)
		engine.en_result->rr_error = xasprintf("cannot start the workers: %s",
		    strerror(error));
	for (unsigned i = 0; i < engine.en_njobs && error == 0; i++)
		if (engine.en_jobs[i].jr_job->job_workload->wl_verify != NULL &&
		    found_serious() == 0)
			verify_job(&engine.en_jobs[i]);
	fill_result();
	if (found_serious() == 0)
		inspect_at_rest(INSPECT_CONTENTS);
	if (!engine.en_result->rr_interrupted)
		require_counters();
	return error;
}

/* => the machine is up, and stays so */
static int
run_watched(const struct profile *p)
{
	uint64_t limit = p->p_machine.ms_hang;
	int error = limit != 0 ? watchdog_start(limit) : 0;

	if (error != 0) {
		engine.en_result->rr_error = xasprintf("cannot start the watchdog: %s", strerror(error));
		return error;
	}
	engine_kill_init();
	engine_every(p->p_machine.ms_hotplug, "hotplug", hotplug, NULL);
	error = set_up_jobs(p);
	if (error == 0)
		error = run_jobs();
	for (unsigned i = 0; i < engine.en_njobs; i++)
		job_teardown(&engine.en_jobs[i]);
	periodic_fini();		/* set-up may have failed */
	engine_kill_fini();
	if (limit != 0)
		watchdog_stop();
	return error;
}

static void
note_waiver(void *arg, const char *print, const char *where)
{
	if (strcmp(where, "waivers.def") != 0)
		result_note(arg, "%s: nothing like %s was found: is the waiver still needed?", where, print);
}

int
engine_execute(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	int error;

	race_atomic(&engine, sizeof(engine));
	memset(&engine, 0, sizeof(engine));
	engine.en_profile = p;
	engine.en_options = ro;
	engine.en_result = rr;
	engine.en_njobs = (unsigned)p->p_njobs;
	engine.en_jobs = xcalloc(engine.en_njobs, sizeof(*engine.en_jobs));
	found_init(p, ro, rr);
	failure_sink = found_sink;
	checks_begin();
	error = schedule_begin(p, ro, rr);
	engine.en_controlled = host_controlled();
	engine.en_deadline = UINT64_MAX;
	if (error == 0)
		error = chaos_begin(p, rr);
	if (error == 0)
		error = machine_up(p);
	if (error == 0) {
		error = run_watched(p);
		engine_audit(rr, p, true);
		if (LOCKDEBUG_ON())
			lockorder_unused_waivers(note_waiver, rr);
		machine_down();
		watchdog_end();
		for (unsigned i = 0; i < engine.en_njobs; i++)
			job_fini(&engine.en_jobs[i]);
	}
	chaos_end(rr);
	schedule_end(rr);
	failure_sink = NULL;
	found_fini();
	waivers_free();
	free(engine.en_jobs);
	return error;
}
