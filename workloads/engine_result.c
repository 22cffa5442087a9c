/*
 * What a run did, as plain numbers: counters of the machine into the result; and counters
 * that must not stay at 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <machine/disk.h>
#include <sys/inject.h>
#include <sys/lockstat.h>
#include <uvm/uvm_extern.h>

#include "engine_run.h"

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

void
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

/* --- counters that must have moved --- */

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

int
requirements_known(void)
{
	return each_required(engine.en_profile, check_required);
}

static int
require_one(const char *path)
{
	result_require(engine.en_result, path, "global");
	return 0;
}

void
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
