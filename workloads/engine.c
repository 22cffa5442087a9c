/*
 * The engine: one profile in, one result out.
 *
 *	boot -> set up jobs -> workers run -> verify -> inspect -> tear down -> shut down
 *
 * The calling thread becomes lwp0: it sets the jobs up, sleeps while the workers run
 * (engine_load.c), then verifies and tears down.
 *
 * What goes wrong meanwhile, in any thread: engine_found.c; what it did: engine_result.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/checks.h>
#include <harness/inspect.h>
#include <harness/watchdog.h>
#include <harness/xalloc.h>
#include <host/race.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/lockevent.h>
#include <sys/sleepq.h>
#include <uvm/uvm_extern.h>

#include "engine_run.h"

#define	COST_UNIT		16	/* quantum cost of an operation of weight 1 */

struct engine engine;

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

/* --- the machine --- */

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

/* => 0, or EINVAL with a line in rr_error: what is switched on before the machine is up */
static int
machine_switches(const struct profile *p)
{
	const struct machine_settings *ms = &p->p_machine;
	char why[160];
	int error;

	if (!UVMSTRESS_LOCKDEBUG && ms->ms_audit != AUDIT_OFF && profile_is_set(p, "audit")) {
		engine.en_result->rr_error = xasprintf("audit: this build has no lock debugging: "
		    "configure it with -Dlockdebug=true, or say audit = off");
		return EINVAL;
	}
	error = requirements_known();
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
	return 0;
}

/* => for rr_error: why there is no such machine */
static char *
boot_failed(const struct uvm_config *uc, int error)
{
	if (error != ENOMEM && uc->uc_swap != 0)
		return xasprintf("cannot make %lu KiB of swap in %s: %s",
		    (unsigned long)(uc->uc_swap >> 10), uc->uc_swapdir != NULL ? uc->uc_swapdir :
		    "$TMPDIR (or /tmp)", strerror(error));
	return xasprintf("cannot start a machine of %d CPUs and %lu KiB: %s", uc->uc_ncpu,
	    (unsigned long)(uc->uc_memory >> 10), strerror(error));
}

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
	int error = machine_switches(p);

	if (error != 0)
		return error;
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
	if (error != 0)
		engine.en_result->rr_error = boot_failed(&uc, error);
	return error;
}

static void
machine_down(void)
{
	unsigned leaks = uvm_shutdown();

	checks_result(engine.en_result);
	result_add_check(engine.en_result, "leak-at-exit", 1, leaks);
}

/* --- the spine --- */

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

static int
run_watched(const struct profile *p)
{
	uint64_t limit = p->p_machine.ms_hang;
	int error = limit != 0 ? watchdog_start(limit, engine_stopping) : 0;

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
