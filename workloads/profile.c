/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Job files, step two: settings to one machine and its jobs; and the way back, to text.
 *
 * Every setting is held against its row in the order given, even one that a later setting
 * overrides: a file with a wrong line is wrong, whatever stands on the command line.  What
 * concerns several values at once is looked at when all have theirs: profile_check.c.
 */
#include <assert.h>
#include <string.h>

#include <harness/profile.h>
#include <harness/xalloc.h>

#include "profile_int.h"

#define KB(n) (UINT64_C(n) << 10)
#define MB(n) (UINT64_C(n) << 20)
#define GB(n) (UINT64_C(n) << 30)
#define SEC(n) (UINT64_C(n) * 1000000000)
#define DAYS(n) SEC((n) * 86400)

static const char *const mmu_names[] = { "hardware-rm", "software-rm", NULL };
static const char *const schedule_names[] = { "free", "mix", "random", "pos", "direct", "pct", "pct:1", "pct:2",
    "pct:3", "pct:4", "pct:5", "pct:6", "pct:7", "pct:8", NULL };
static const char *const interrupts_names[] = { "poll", "signal", NULL };
static const char *const pool_put_names[] = { "defer", "reserve", NULL };
static const char *const disk_intr_names[] = { "same", "any", NULL };
static const char *const audit_names[] = { "off", "order", "full", NULL };

#define MS(field) offsetof(struct machine_settings, field)

const struct option_row machine_options[] = {
	{ "cpus", OPT_INT, MS(ms_cpus), 1, 256, "4", NULL, NULL,
	    "simulated CPUs, whatever the host has" },
	{ "memory", OPT_SIZE, MS(ms_memory), MB(1), GB(64), "64M", NULL, NULL,
	    "simulated RAM" },
	{ "swap", OPT_SIZE, MS(ms_swap), 0, GB(64), "0", NULL, NULL,
	    "simulated swap space" },
	{ "swap-devices", OPT_INT, MS(ms_swapdevs), 1, 16, "1", NULL, NULL,
	    "devices that it is spread over, of priorities 1, 2, ..." },
	{ "swap-dir", OPT_TEXT, MS(ms_swapdir), 0, 0, "none", NULL, NULL,
	    "directory for their unlinked files; none = $TMPDIR" },
	{ "ubc-windows", OPT_INT, MS(ms_ubcwindows), 1, 1024, "32", NULL, NULL,
	    "windows of 8 KiB that read and write go through; few are re-used often" },
	{ "time", OPT_DURATION, MS(ms_time), 0, DAYS(365), "10s", NULL, NULL,
	    "how long the jobs run; 0 = until stopped" },
	{ "ops", OPT_INT, MS(ms_ops), 0, INT64_MAX, "0", NULL, NULL,
	    "operations per worker instead of a time; 0 = run by time" },
	{ "seed", OPT_INT, MS(ms_seed), 0, INT64_MAX, NULL, NULL, NULL,
	    "every random choice derives from it; chosen and printed when not given" },
	{ "mmu", OPT_ENUM, MS(ms_mmu), 0, 0, "hardware-rm", mmu_names, NULL,
	    "who sets referenced and modified bits: the walker, or faults" },
	{ "schedule", OPT_ENUM, MS(ms_schedule), 0, 0, "free", schedule_names, NULL,
	    "who runs when: real threads, or one LWP at a time by a strategy" },
	{ "chaos", OPT_TEXT, MS(ms_chaos), 0, 0, "none", NULL, NULL,
	    "schedule = free: delays by seed: p=0.001,ns=100us,budget=1s,kinds=lock+pte+post" },
	{ "schedule-steps", OPT_INT, MS(ms_steps), 0, INT64_MAX, "0", NULL, NULL,
	    "points that an execution has, for pct; 0 = a first execution is made to count them" },
	{ "schedule-circle", OPT_TEXT, MS(ms_circle), 0, 0, "none", NULL, NULL,
	    "lock classes, of a deadlock that is looked for: amap>map>amap; what schedule = direct leads to" },
	{ "interrupts", OPT_ENUM, MS(ms_interrupts), 0, 0, "poll", interrupts_names, NULL,
	    "how interrupts reach a CPU: at poll points, or at any instruction" },
	{ "clock-interval", OPT_INT, MS(ms_clock), 0, 1000000000, "1000", NULL, NULL,
	    "operations (returns to user mode, lowerings of IPL) between two ticks of a CPU; 0 = no ticks" },
	{ "pool-put", OPT_ENUM, MS(ms_pool_put), 0, 0, "defer", pool_put_names, NULL,
	    "who gives a pool's idle pages back: others later, or pool_put itself (PR 24039)" },
	{ "nic-latency", OPT_DURATION, MS(ms_nic_latency), 0, SEC(1), "20us", NULL, NULL,
	    "how long a packet takes; on one CPU in virtual time" },
	{ "disk-latency", OPT_DURATION, MS(ms_disk_latency), 0, SEC(1), "0", NULL, NULL,
	    "how long a request takes, give or take a half, and out of order; 0 = none" },
	{ "disk-intr", OPT_ENUM, MS(ms_disk_intr), 0, 0, "same", disk_intr_names, NULL,
	    "CPU on which it completes: the submitter's, or any" },
	{ "audit", OPT_ENUM, MS(ms_audit), 0, 0, "order", audit_names, NULL,
	    "lock auditing" },
	{ "waivers", OPT_TEXT, MS(ms_waivers), 0, 0, "none", NULL, NULL,
	    "file of findings of the lock auditor that may stand, with their reasons" },
	{ "audit-stop", OPT_BOOL, MS(ms_audit_stop), 0, 0, "off", NULL, NULL,
	    "end the run at the first finding of the lock auditor; it goes on otherwise" },
	{ "iterations", OPT_INT, MS(ms_iterations), 1, INT64_MAX, "1", NULL, NULL,
	    "executions, with seeds seed, seed+1, ..." },
	{ "keep-going", OPT_BOOL, MS(ms_keep_going), 0, 0, "off", NULL, NULL,
	    "go on with the next seed after a violation" },
	{ "fault-ahead", OPT_BOOL, MS(ms_fault_ahead), 0, 0, "on", NULL, NULL,
	    "map resident neighbours of a faulting page too" },
	{ "ptp-steal", OPT_BOOL, MS(ms_ptp_steal), 0, 0, "off", NULL, NULL,
	    "no page table to be had: take one of another process" },
	{ "check-interval", OPT_DURATION, MS(ms_check_interval), 0, DAYS(1), "1s", NULL, NULL,
	    "time between whole-system checks, for which all threads stand still; 0 = only at the end" },
	{ "check-depth", OPT_INT, MS(ms_check_depth), 0, 10000, "8", NULL, NULL,
	    "objects of each kind that are looked at, fifty times a second, while all goes on; 0 = none" },
	{ "overcommit", OPT_BOOL, MS(ms_overcommit), 0, 0, "off", NULL, NULL,
	    "jobs may need more than memory and swap hold: processes are killed for it" },
	{ "cpu-hotplug", OPT_DURATION, MS(ms_hotplug), 0, SEC(3600), "0", NULL, NULL,
	    "time between two CPUs that go offline or come back, by seed; 0 = all stay" },
	{ "history", OPT_INT, MS(ms_history), 0, 1048576, "4096", NULL, NULL,
	    "events that each CPU remembers for reports, rounded up to a power of two; 0 = none" },
	{ "history-detail", OPT_BOOL, MS(ms_detail), 0, 0, "off", NULL, NULL,
	    "of all kinds, those that each fault has several of included" },
	{ "hang-limit", OPT_DURATION, MS(ms_hang), 0, SEC(3600), "60s", NULL, NULL,
	    "a thread that has done nothing for so long has hung: report it and end; 0 = never" },
	{ "require", OPT_TEXT, MS(ms_require), 0, 0, "none", NULL, NULL,
	    "counters that must be above 0 for the run to prove anything: faults.cow ..." },
	{ "inject", OPT_TEXT, MS(ms_inject), 0, 0, "none", NULL, NULL,
	    "places that fail: page-alloc:p=0.01,tryfail:every=100,times=5 (uvmstress list faults)" },
	{ "bug", OPT_TEXT, MS(ms_bug), 0, 0, "none", NULL, NULL,
	    "known bugs to switch on, a,b,...; none without -Dbugs=true (uvmstress list bugs)" },
};
const size_t machine_noptions = sizeof(machine_options) / sizeof(machine_options[0]);

#define JOB(field) offsetof(struct job, field)

const struct option_row job_common_options[] = {
	{ "threads", OPT_INT, JOB(job_threads), 1, 1024, NULL, NULL, NULL,
	    "worker threads, dealt round-robin to the processes; one each when not given" },
	{ "processes", OPT_INT, JOB(job_processes), 1, 1024, "1", NULL, NULL,
	    "simulated address spaces" },
	{ "weight", OPT_INT, JOB(job_weight), 1, 1000, "1", NULL, NULL,
	    "share of CPU time beside the other jobs" },
	{ "size", OPT_SIZE, JOB(job_size), KB(4), GB(64), "1M", NULL, NULL,
	    "memory that each process works on" },
	{ "write-fraction", OPT_FRACTION, JOB(job_write_fraction), 0, 0, "0.5", NULL, NULL,
	    "share of accesses that write" },
	{ "operations", OPT_TEXT, JOB(job_operations), 0, 0, "all", NULL, NULL,
	    "only these, NAME or NAME:SHARE: msync:20 access:80 (uvmstress list workloads -v)" },
	{ "steps", OPT_TEXT, JOB(job_steps), 0, 0, "all", NULL, NULL,
	    "only these of each worker's operations, the others are left out: 0:3-7,9 2:0-4 (minimize writes it)" },
};
const size_t job_ncommon = sizeof(job_common_options) / sizeof(job_common_options[0]);

static void
settings_free(struct setting *s)
{
	while (s != NULL) {
		struct setting *next = s->set_next;

		free(s->set_key);
		free(s->set_value);
		free(s->set_where);
		free(s->set_dir);
		free(s);
		s = next;
	}
}

static void
job_free(struct job *job)
{
	const struct workload *wl = job->job_workload;

	if (wl != NULL && job->job_options != NULL)
		option_fini(wl->wl_options, wl->wl_noptions, job->job_options);
	option_fini(job_common_options, job_ncommon, job);
	free(job->job_shares);
	free(job->job_does);
	free(job->job_options);
	settings_free(job->job_settings);
	free(job->job_name);
	free(job->job_where);
	free(job);
}

struct profile *
profile_create(const struct workload *const *workloads)
{
	struct profile *p = xcalloc(1, sizeof(*p));

	p->p_workloads = workloads;
	return p;
}

void
profile_destroy(struct profile *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->p_njobs; i++)
		job_free(p->p_jobs[i]);
	free(p->p_jobs);
	option_fini(machine_options, machine_noptions, &p->p_machine);
	settings_free(p->p_settings);
	free(p->p_name);
	free(p);
}

/* Names for near misses and lists, in one order: */
struct key_names {
	const char *kn_first;			/* "workload" in a job, else NULL */
	const struct option_row *kn_a, *kn_b;	/* rows; b may be NULL */
	size_t kn_na, kn_nb;
	unsigned kn_mask;			/* of a: bits of the rows that count */
};

static const char *
key_next(const void *ctx, size_t i)
{
	const struct key_names *kn = ctx;

	if (kn->kn_first != NULL && i-- == 0)
		return kn->kn_first;
	for (size_t a = 0; a < kn->kn_na; a++)
		if ((a >= 32 || (kn->kn_mask & 1u << a) != 0) && i-- == 0)
			return kn->kn_a[a].opt_key;
	return i < kn->kn_nb ? kn->kn_b[i].opt_key : NULL;
}

static const char *
workload_next(const void *ctx, size_t i)
{
	const struct workload *const *table = ctx;

	return table[i] != NULL ? table[i]->wl_name : NULL;
}

static const char *
section_next(const void *ctx, size_t i)
{
	const struct profile *p = ctx;

	if (i == 0)
		return "global";
	return i <= p->p_njobs ? p->p_jobs[i - 1]->job_name : NULL;
}

/* The end of a message on an unknown name: the near miss, or all there are. */
static int
fail_unknown(struct profile_error *err, const char *what, const char *word,
    const char *(*next)(const void *, size_t), const void *ctx)
{
	const char *near = nearest_name(word, next, ctx), *name;
	char list[600] = "";
	size_t n = 0;

	if (near != NULL)
		return profile_fail(err, "%s; did you mean '%s'?", what, near);
	for (size_t i = 0; (name = next(ctx, i)) != NULL && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, " %s", name);
	return profile_fail(err, "%s; allowed are:%s", what, list);
}

void
setting_cite(const struct setting *s, char *buf, size_t buflen)
{
	if (strncmp(s->set_where, "--", 2) == 0)
		snprintf(buf, buflen, "%s", s->set_where);
	else
		snprintf(buf, buflen, "%s: %s = %.100s", s->set_where, s->set_key, s->set_value);
}

static int
apply(const struct option_row *row, void *base, const struct setting *s,
    struct profile_error *err)
{
	char cite[400], why[500];

	if (option_parse(row, base, s->set_value, s->set_dir, why, sizeof(why)) == 0)
		return 0;
	setting_cite(s, cite, sizeof(cite));
	return profile_fail(err, "%s: %s", cite, why);
}

static void
apply_defaults(const struct option_row *rows, size_t nrows, void *base)
{
	for (size_t i = 0; i < nrows; i++) {
		char why[500];
		int error;

		if (rows[i].opt_default == NULL)
			continue;
		error = option_parse(&rows[i], base, rows[i].opt_default, "", why, sizeof(why));
		assert(error == 0);	/* the table contradicts itself */
		(void)error;
	}
}

static int
resolve_machine(struct profile *p, struct profile_error *err)
{
	const struct key_names kn = { NULL, machine_options, NULL, machine_noptions, 0, ~0u };

	apply_defaults(machine_options, machine_noptions, &p->p_machine);
	for (const struct setting *s = p->p_settings; s != NULL; s = s->set_next) {
		const struct option_row *row =
		    option_find(machine_options, machine_noptions, s->set_key);
		char what[400];
		int error;

		if (row == NULL) {
			snprintf(what, sizeof(what), "%s: %.80s: no such key in [global]",
			    s->set_where, s->set_key);
			return fail_unknown(err, what, s->set_key, key_next, &kn);
		}
		error = apply(row, &p->p_machine, s, err);
		if (error != 0)
			return error;
	}
	return 0;
}

static int
resolve_workload(struct profile *p, struct job *job, struct profile_error *err)
{
	for (const struct setting *s = job->job_settings; s != NULL; s = s->set_next) {
		char cite[400], what[500];
		size_t i;

		if (strcmp(s->set_key, "workload") != 0)
			continue;
		for (i = 0; p->p_workloads[i] != NULL; i++)
			if (strcmp(p->p_workloads[i]->wl_name, s->set_value) == 0)
				break;
		job->job_workload = p->p_workloads[i];
		if (job->job_workload != NULL)
			continue;
		setting_cite(s, cite, sizeof(cite));
		snprintf(what, sizeof(what), "%s: no such workload", cite);
		return fail_unknown(err, what, s->set_value, workload_next, p->p_workloads);
	}
	if (job->job_workload == NULL) {
		char what[400];

		snprintf(what, sizeof(what), "%s: [%s]: the key workload is missing",
		    job->job_where, job->job_name);
		return fail_unknown(err, what, "", workload_next, p->p_workloads);
	}
	return 0;
}

static int
resolve_setting(struct job *job, const struct setting *s, struct profile_error *err)
{
	const struct workload *wl = job->job_workload;
	const struct option_row *row;
	char what[500];

	row = option_find(wl->wl_options, wl->wl_noptions, s->set_key);
	if (row != NULL)
		return apply(row, job->job_options, s, err);
	row = option_find(job_common_options, job_ncommon, s->set_key);
	if (row != NULL && (wl->wl_common & 1u << (row - job_common_options)) != 0)
		return apply(row, job, s, err);
	if (row != NULL)
		snprintf(what, sizeof(what), "%s: %s: means nothing to workload %s", s->set_where,
		    s->set_key, wl->wl_name);
	else
		snprintf(what, sizeof(what), "%s: %.80s: no such key for workload %s",
		    s->set_where, s->set_key, wl->wl_name);
	return fail_unknown(err, what, row != NULL ? "" : s->set_key, key_next,
	    &(const struct key_names){ "workload", job_common_options, wl->wl_options,
		job_ncommon, wl->wl_noptions, wl->wl_common });
}

static int
resolve_job(struct profile *p, struct job *job, struct profile_error *err)
{
	int error = resolve_workload(p, job, err);

	if (error != 0)
		return error;
	if (job->job_workload->wl_options_size != 0)
		job->job_options = xcalloc(1, job->job_workload->wl_options_size);
	apply_defaults(job_common_options, job_ncommon, job);
	apply_defaults(job->job_workload->wl_options, job->job_workload->wl_noptions,
	    job->job_options);
	for (const struct setting *s = job->job_settings; s != NULL; s = s->set_next) {
		if (strcmp(s->set_key, "workload") == 0)
			continue;
		error = resolve_setting(job, s, err);
		if (error != 0)
			return error;
	}
	return job_check(job, err);
}

int
profile_resolve(struct profile *p, struct profile_error *err)
{
	int error;

	assert(!p->p_resolved);
	error = resolve_machine(p, err);
	for (size_t i = 0; error == 0 && i < p->p_njobs; i++)
		error = resolve_job(p, p->p_jobs[i], err);
	if (error != 0)
		return error;
	if (p->p_njobs == 0)
		return profile_fail(err, "%s: no jobs; add a section such as [clients] with "
		    "workload = %s", p->p_name != NULL ? p->p_name : "profile",
		    p->p_workloads[0]->wl_name);
	error = profile_check(p, err);
	p->p_resolved = error == 0;
	return error;
}

int
profile_set_global(struct profile *p, const char *key, const char *value, const char *where,
    struct profile_error *err)
{
	if (*value == '\0')
		return profile_fail(err, "%s: has no value", where);
	setting_append(&p->p_settings, key, value, where, "");
	return 0;
}

int
profile_set(struct profile *p, const char *text, struct profile_error *err)
{
	char *section = xstrdup(text), *where = xasprintf("--set %.300s", text);
	char *eq = strchr(section, '='), *dot, what[400];
	struct job *job;
	int error = 0;

	if (eq != NULL)
		*eq = '\0';
	dot = strrchr(section, '.');
	if (eq == NULL || dot == NULL || dot == section || dot[1] == '\0' || eq[1] == '\0') {
		error = profile_fail(err, "%s: must be SECTION.KEY=VALUE", where);
		goto out;
	}
	*dot = '\0';
	job = profile_job(p, section);
	if (strcmp(section, "global") == 0) {
		setting_append(&p->p_settings, dot + 1, eq + 1, where, "");
	} else if (job != NULL) {
		setting_append(&job->job_settings, dot + 1, eq + 1, where, "");
	} else {
		snprintf(what, sizeof(what), "%s: no section [%.64s]", where, section);
		error = fail_unknown(err, what, section, section_next, p);
	}
out:
	free(section);
	free(where);
	return error;
}

bool
profile_is_set(const struct profile *p, const char *key)
{
	return setting_last(p->p_settings, key) != NULL;
}
