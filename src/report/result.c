/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Filling in and judging a result.
 */
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <harness/lockgraph.h>
#include <harness/result.h>
#include <harness/xalloc.h>

void
run_result_init(struct run_result *rr)
{
	memset(rr, 0, sizeof(*rr));
}

static void
counters_fini(struct result_counters *rcs)
{
	for (size_t i = 0; i < rcs->rcs_n; i++)
		free(rcs->rcs_v[i].rc_name);
	free(rcs->rcs_v);
}

static void
events_fini(struct result_events *res)
{
	for (size_t i = 0; i < res->res_n; i++)
		free(res->res_v[i].re_what);
	free(res->res_v);
}

static void
violation_fini(struct result_violation *rv)
{
	free(rv->rv_lwp);
	for (size_t i = 0; i < rv->rv_nheld; i++)
		free(rv->rv_held[i]);
	free(rv->rv_held);
	for (size_t i = 0; i < rv->rv_nobjects; i++) {
		free(rv->rv_objects[i].ro_name);
		free(rv->rv_objects[i].ro_text);
		events_fini(&rv->rv_objects[i].ro_history);
	}
	free(rv->rv_objects);
	events_fini(&rv->rv_events);
	free(rv->rv_kind);
	free(rv->rv_id);
	free(rv->rv_message);
	for (size_t i = 0; i < rv->rv_nstack; i++)
		free(rv->rv_stack[i]);
	free(rv->rv_stack);
	free(rv->rv_details);
	free(rv->rv_grade);
	free(rv->rv_fingerprint);
	free(rv->rv_dir);
}

struct result_counters *
result_group(struct run_result *rr, size_t i)
{
	struct result_counters *const all[] = {
		&rr->rr_faults, &rr->rr_loans, &rr->rr_interrupts, &rr->rr_injected, &rr->rr_uvmexp,
	};

	return i < sizeof(all) / sizeof(all[0]) ? all[i] : NULL;
}

/* => what the engine adds to: lists */
static void
lists_fini(struct run_result *rr)
{
	for (size_t i = 0; i < rr->rr_njobs; i++) {
		free(rr->rr_jobs[i].rj_name);
		free(rr->rr_jobs[i].rj_workload);
	}
	free(rr->rr_jobs);
	for (size_t i = 0; i < rr->rr_nlatencies; i++)
		free(rr->rr_latencies[i].rl_name);
	free(rr->rr_latencies);
	for (size_t i = 0; i < rr->rr_nlocks; i++)
		free(rr->rr_locks[i].rk_class);
	free(rr->rr_locks);
	for (size_t i = 0; i < rr->rr_nchecks; i++)
		free(rr->rr_checks[i].rch_id);
	free(rr->rr_checks);
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		violation_fini(&rr->rr_violations[i]);
	free(rr->rr_violations);
	for (size_t i = 0; i < rr->rr_nnotes; i++)
		free(rr->rr_notes[i]);
	free(rr->rr_notes);
	for (size_t i = 0; i < rr->rr_nmissing; i++)
		free(rr->rr_missing[i]);
	free(rr->rr_missing);
	lockgraph_free(rr->rr_lockgraph);
	free(rr->rr_event_hash);
	free(rr->rr_sched.rs_strategy);
	free(rr->rr_sched.rs_build);
	free(rr->rr_sched.rs_covered);
	free(rr->rr_sched.rs_diverged);
	free(rr->rr_sched.rs_story);
	free(rr->rr_sched.rs_log);
	free(rr->rr_error);
}

void
run_result_fini(struct run_result *rr)
{
	struct result_counters *rcs;

	lists_fini(rr);
	for (size_t i = 0; (rcs = result_group(rr, i)) != NULL; i++)
		counters_fini(rcs);
	free(rr->rr_schedule);
	free(rr->rr_profile);
	free(rr->rr_command);
	memset(rr, 0, sizeof(*rr));
}

void
run_result_again(struct run_result *rr)
{
	struct run_result old = *rr;
	struct result_counters *rcs;

	lists_fini(rr);
	memset(rr, 0, sizeof(*rr));
	rr->rr_seed = old.rr_seed;
	rr->rr_schedule = old.rr_schedule;
	rr->rr_cpus = old.rr_cpus;
	rr->rr_memory = old.rr_memory;
	rr->rr_swap = old.rr_swap;
	rr->rr_iterations = old.rr_iterations;
	rr->rr_digest = old.rr_digest;
	rr->rr_profile = old.rr_profile;
	rr->rr_command = old.rr_command;
	for (size_t i = 0; (rcs = result_group(rr, i)) != NULL; i++) {
		*rcs = *result_group(&old, i);
		rcs->rcs_next = 0;
		for (size_t k = 0; k < rcs->rcs_n; k++)
			rcs->rcs_v[k].rc_value = 0;
	}
}

static struct result_counter *
counter_find(const struct result_counters *rcs, const char *name)
{
	for (size_t i = 0; i < rcs->rcs_n; i++)
		if (strcmp(rcs->rcs_v[i].rc_name, name) == 0)
			return &rcs->rcs_v[i];
	return NULL;
}

void
result_count(struct result_counters *rcs, const char *name, uint64_t value)
{
	struct result_counter *rc;

	/* The same ones come in the same order, execution by execution. */
	if (rcs->rcs_next < rcs->rcs_n && strcmp(rcs->rcs_v[rcs->rcs_next].rc_name, name) == 0)
		rc = &rcs->rcs_v[rcs->rcs_next];
	else
		rc = counter_find(rcs, name);
	if (rc == NULL) {
		rcs->rcs_v = xgrow(rcs->rcs_v, rcs->rcs_n, sizeof(*rc));
		rc = &rcs->rcs_v[rcs->rcs_n++];
		rc->rc_name = xstrdup(name);
	}
	rcs->rcs_next = (size_t)(rc - rcs->rcs_v) + 1;
	rc->rc_value = value;
}

uint64_t
result_counter(const struct result_counters *rcs, const char *name)
{
	const struct result_counter *rc = counter_find(rcs, name);

	return rc != NULL ? rc->rc_value : 0;
}

uint64_t
result_lookup(const struct run_result *rr, const char *path)
{
	static const struct {
		const char *g_name;
		size_t g_offset;
	} groups[] = {
		{ "faults.", offsetof(struct run_result, rr_faults) },
		{ "loans.", offsetof(struct run_result, rr_loans) },
		{ "interrupts.", offsetof(struct run_result, rr_interrupts) },
		{ "injected.", offsetof(struct run_result, rr_injected) },
		{ "uvmexp.", offsetof(struct run_result, rr_uvmexp) },
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		size_t len = strlen(groups[i].g_name);

		if (strncmp(path, groups[i].g_name, len) == 0)
			return result_counter((const struct result_counters *)
			    ((const char *)rr + groups[i].g_offset), path + len);
	}
	return 0;
}

struct result_job *
result_add_job(struct run_result *rr, const char *name, const char *workload)
{
	struct result_job *rj;

	rr->rr_jobs = xgrow(rr->rr_jobs, rr->rr_njobs, sizeof(*rj));
	rj = &rr->rr_jobs[rr->rr_njobs++];
	rj->rj_name = xstrdup(name);
	rj->rj_workload = xstrdup(workload);
	return rj;
}

struct result_latency *
result_add_latency(struct run_result *rr, const char *name)
{
	struct result_latency *rl;

	rr->rr_latencies = xgrow(rr->rr_latencies, rr->rr_nlatencies, sizeof(*rl));
	rl = &rr->rr_latencies[rr->rr_nlatencies++];
	rl->rl_name = xstrdup(name);
	return rl;
}

struct result_lock *
result_add_lock(struct run_result *rr, const char *lock_class)
{
	struct result_lock *rk;

	rr->rr_locks = xgrow(rr->rr_locks, rr->rr_nlocks, sizeof(*rk));
	rk = &rr->rr_locks[rr->rr_nlocks++];
	rk->rk_class = xstrdup(lock_class);
	return rk;
}

void
result_add_check(struct run_result *rr, const char *id, uint64_t runs, uint64_t violations)
{
	struct result_check *rch;

	for (size_t i = 0; i < rr->rr_nchecks; i++)
		if (strcmp(rr->rr_checks[i].rch_id, id) == 0) {
			rr->rr_checks[i].rch_runs += runs;
			rr->rr_checks[i].rch_violations += violations;
			return;
		}
	rr->rr_checks = xgrow(rr->rr_checks, rr->rr_nchecks, sizeof(*rch));
	rch = &rr->rr_checks[rr->rr_nchecks++];
	rch->rch_id = xstrdup(id);
	rch->rch_runs = runs;
	rch->rch_violations = violations;
}

struct result_violation *
result_add_violation(struct run_result *rr, const char *kind, const char *id,
    const char *message)
{
	struct result_violation *rv;

	rr->rr_violations = xgrow(rr->rr_violations, rr->rr_nviolations, sizeof(*rv));
	rv = &rr->rr_violations[rr->rr_nviolations++];
	rv->rv_kind = xstrdup(kind);
	rv->rv_id = xstrdup(id);
	rv->rv_message = xstrdup(message);
	rv->rv_cpu = -1;
	return rv;
}

void
result_violation_frame(struct result_violation *rv, const char *frame)
{
	rv->rv_stack = xgrow(rv->rv_stack, rv->rv_nstack, sizeof(char *));
	rv->rv_stack[rv->rv_nstack++] = xstrdup(frame);
}

void
result_violation_details(struct result_violation *rv, const char *text)
{
	free(rv->rv_details);
	rv->rv_details = xstrdup(text);
}

void
result_violation_lwp(struct result_violation *rv, const char *name)
{
	free(rv->rv_lwp);
	rv->rv_lwp = xstrdup(name);
}

void
result_violation_held(struct result_violation *rv, const char *lock)
{
	rv->rv_held = xgrow(rv->rv_held, rv->rv_nheld, sizeof(char *));
	rv->rv_held[rv->rv_nheld++] = xstrdup(lock);
}

struct result_object *
result_violation_object(struct result_violation *rv, const char *name, const char *text)
{
	struct result_object *ro;

	rv->rv_objects = xgrow(rv->rv_objects, rv->rv_nobjects, sizeof(*ro));
	ro = &rv->rv_objects[rv->rv_nobjects++];
	ro->ro_name = xstrdup(name);
	ro->ro_text = xstrdup(text);
	return ro;
}

void
result_event(struct result_events *res, const struct result_event *re)
{
	res->res_v = xgrow(res->res_v, res->res_n, sizeof(*re));
	res->res_v[res->res_n] = *re;
	res->res_v[res->res_n++].re_what = xstrdup(re->re_what);
}

static void
events_copy(struct result_events *to, const struct result_events *from)
{
	for (size_t i = 0; i < from->res_n; i++)
		result_event(to, &from->res_v[i]);
}

static void
violation_copy(struct run_result *to, const struct result_violation *rv)
{
	struct result_violation *copy = result_add_violation(to, rv->rv_kind, rv->rv_id,
	    rv->rv_message);

	if (rv->rv_grade != NULL)
		result_violation_grade(copy, rv->rv_grade, rv->rv_fingerprint);
	copy->rv_cpu = rv->rv_cpu;
	copy->rv_time_s = rv->rv_time_s;
	copy->rv_event = rv->rv_event;
	for (size_t i = 0; i < rv->rv_nstack; i++)
		result_violation_frame(copy, rv->rv_stack[i]);
	if (rv->rv_lwp != NULL)
		result_violation_lwp(copy, rv->rv_lwp);
	for (size_t i = 0; i < rv->rv_nheld; i++)
		result_violation_held(copy, rv->rv_held[i]);
	for (size_t i = 0; i < rv->rv_nobjects; i++)
		events_copy(&result_violation_object(copy, rv->rv_objects[i].ro_name,
		    rv->rv_objects[i].ro_text)->ro_history, &rv->rv_objects[i].ro_history);
	events_copy(&copy->rv_events, &rv->rv_events);
	if (rv->rv_details != NULL)
		result_violation_details(copy, rv->rv_details);
}

void
result_snapshot(struct run_result *to, const struct run_result *from)
{
	run_result_init(to);
	to->rr_outcome = RUN_VIOLATION;
	to->rr_going_on = true;
	to->rr_seed = from->rr_seed;
	to->rr_schedule = xstrdup(from->rr_schedule);
	to->rr_cpus = from->rr_cpus;
	to->rr_memory = from->rr_memory;
	to->rr_swap = from->rr_swap;
	to->rr_iterations = from->rr_iterations;
	to->rr_digest = from->rr_digest;
	to->rr_profile = xstrdup(from->rr_profile);
	to->rr_command = xstrdup(from->rr_command);
	for (size_t i = 0; i < from->rr_nviolations; i++)
		violation_copy(to, &from->rr_violations[i]);
}

void
result_violation_grade(struct result_violation *rv, const char *grade, const char *fingerprint)
{
	free(rv->rv_grade);
	free(rv->rv_fingerprint);
	rv->rv_grade = xstrdup(grade);
	rv->rv_fingerprint = xstrdup(fingerprint);
}

void
result_sample(struct result_series *rse, double s, uint64_t faults, uint64_t operations)
{
	const double least = 0.1, last = rse->rse_n != 0 ? rse->rse_v[rse->rse_n - 1].sm_s : 0;

	if (rse->rse_step_s == 0)
		rse->rse_step_s = least;
	if (s < last + rse->rse_step_s - least / 2)
		return;
	rse->rse_v[rse->rse_n++] = (struct result_sample){ s, faults, operations };
	if (rse->rse_n < SERIES_MAX)
		return;
	for (size_t i = 0; i < SERIES_MAX / 2; i++)
		rse->rse_v[i] = rse->rse_v[2 * i + 1];
	rse->rse_n = SERIES_MAX / 2;
	rse->rse_step_s *= 2;
}

const char *
run_outcome_name(enum run_outcome outcome)
{
	static const char *const names[] = {
		[RUN_CLEAN] = "clean",
		[RUN_VIOLATION] = "violation",
		[RUN_VACUOUS] = "vacuous",
		[RUN_INTERRUPTED] = "interrupted",
	};

	return names[outcome];
}

/*
 * A frame counts by its function: addresses and offsets differ from build to build and
 * from run to run.  So hash identifiers up to the first '+' or blank that follows a letter,
 * and skip frames that are only an address.
 */
static uint64_t
hash_frame(uint64_t hash, const char *frame)
{
	if (!isalpha((unsigned char)*frame) && *frame != '_')
		return hash;
	for (; *frame != '\0' && *frame != '+' && *frame != ' '; frame++)
		hash = (hash ^ (unsigned char)*frame) * UINT64_C(1099511628211);
	return (hash ^ '\n') * UINT64_C(1099511628211);
}

const char *
result_fingerprint(const struct result_violation *rv, char buf[static 17])
{
	uint64_t hash = UINT64_C(14695981039346656037);	/* FNV-1a */

	if (rv->rv_fingerprint != NULL)
		return rv->rv_fingerprint;
	hash = hash_frame(hash, rv->rv_kind);
	for (const char *p = rv->rv_id; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
	for (size_t i = 0; i < rv->rv_nstack; i++) {
		hash = hash_frame(hash, rv->rv_stack[i]);
		/* whether `run`, `replay` or `minimize` has called it makes no other bug of it */
		if (strncmp(rv->rv_stack[i], "engine_execute+", 15) == 0)
			break;
	}
	snprintf(buf, 17, "%016jx", (uintmax_t)hash);
	return buf;
}

static void
add_missing(struct run_result *rr, char *text)
{
	rr->rr_missing = xgrow(rr->rr_missing, rr->rr_nmissing, sizeof(char *));
	rr->rr_missing[rr->rr_nmissing++] = text;
}

void
result_note(struct run_result *rr, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	rr->rr_notes = xgrow(rr->rr_notes, rr->rr_nnotes, sizeof(char *));
	rr->rr_notes[rr->rr_nnotes++] = xstrdup(line);
}

void
result_require(struct run_result *rr, const char *path, const char *job)
{
	if (result_lookup(rr, path) == 0)
		add_missing(rr, xasprintf("%s (needed by [%s])", path, job));
}

static bool
any_check_failed(const struct run_result *rr)
{
	for (size_t i = 0; i < rr->rr_nchecks; i++)
		if (rr->rr_checks[i].rch_violations != 0)
			return true;
	return false;
}

void
result_judge(struct run_result *rr)
{
	for (size_t i = 0; i < rr->rr_njobs; i++)
		if (rr->rr_jobs[i].rj_bytes_verified == 0)
			add_missing(rr, xasprintf("bytes_verified of [%s]", rr->rr_jobs[i].rj_name));
	if (rr->rr_nviolations != 0 || any_check_failed(rr))
		rr->rr_outcome = RUN_VIOLATION;
	else if (rr->rr_interrupted)
		rr->rr_outcome = RUN_INTERRUPTED;
	else if (rr->rr_nmissing != 0)
		rr->rr_outcome = RUN_VACUOUS;
	else
		rr->rr_outcome = RUN_CLEAN;
}

int
result_exit_status(const struct run_result *rr)
{
	static const int status[] = {
		[RUN_CLEAN] = EXIT_CLEAN,
		[RUN_VIOLATION] = EXIT_VIOLATION,
		[RUN_VACUOUS] = EXIT_VACUOUS,
		[RUN_INTERRUPTED] = EXIT_CLEAN,
	};

	return status[rr->rr_outcome];
}
