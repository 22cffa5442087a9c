/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The result as one JSON object, schema uvmstress-run/1, for --json and result.json.
 *
 * Keys of the schema are always there.  What is no valid UTF-8 (a file name may be
 * anything) is written with question marks, since JSON has no other bytes.
 */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include <harness/bench.h>
#include <harness/checks.h>
#include <harness/lockgraph.h>
#include <harness/result.h>
#include <harness/xalloc.h>

#include "report_int.h"
#include "uvmstress_config.h"

static json_t *
text(const char *s)
{
	json_t *j = json_string(s != NULL ? s : "");
	char *copy;

	if (j != NULL)
		return j;
	copy = xstrdup(s);
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	j = xcheck(json_string(copy));
	free(copy);
	return j;
}

static json_t *
number(uint64_t n)
{
	return xcheck(json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static json_t *
real(double x)
{
	return xcheck(json_real(isfinite(x) ? x : 0));
}

static void
put(json_t *obj, const char *key, json_t *value)
{
	if (json_object_set_new(obj, key, value) != 0)
		xcheck(NULL);
}

static void
push(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		xcheck(NULL);
}

double
per_second(double n, double seconds)
{
	return seconds > 0 ? n / seconds : 0;
}

/* The promised counters of a group first, then whatever else was counted. */
static json_t *
counters(const char *group, const struct result_counters *rcs)
{
	json_t *obj = xcheck(json_object());

	for (const struct counter_info *ci = counter_table; ci->ci_name != NULL; ci++)
		if (strcmp(ci->ci_group, group) == 0)
			put(obj, ci->ci_name, number(result_counter(rcs, ci->ci_name)));
	for (size_t i = 0; i < rcs->rcs_n; i++)
		put(obj, rcs->rcs_v[i].rc_name, number(rcs->rcs_v[i].rc_value));
	return obj;
}

static json_t *
jobs(const struct run_result *rr)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < rr->rr_njobs; i++) {
		const struct result_job *rj = &rr->rr_jobs[i];
		json_t *obj = xcheck(json_object());

		put(obj, "name", text(rj->rj_name));
		put(obj, "workload", text(rj->rj_workload));
		put(obj, "threads", number(rj->rj_threads));
		put(obj, "operations", number(rj->rj_operations));
		put(obj, "operations_per_s",
		    real(per_second((double)rj->rj_operations, rr->rr_elapsed_s)));
		put(obj, "bytes_verified", number(rj->rj_bytes_verified));
		put(obj, "killed", number(rj->rj_killed));
		push(array, obj);
	}
	return array;
}

/* => pairs of an upper bound in ns and how many were below it and above the one before */
static json_t *
histogram(const struct result_latency *rl)
{
	json_t *array = xcheck(json_array());

	for (unsigned k = 0; k < RESULT_OCTAVES; k++)
		if (rl->rl_octave[k] != 0)
			push(array, xcheck(json_pack("[I, I]", (json_int_t)UINT64_C(2) << k,
			    (json_int_t)rl->rl_octave[k])));
	return array;
}

static json_t *
latencies(const struct run_result *rr)
{
	json_t *all = xcheck(json_object());

	for (size_t i = 0; i < rr->rr_nlatencies; i++) {
		const struct result_latency *rl = &rr->rr_latencies[i];
		json_t *obj = xcheck(json_object());

		put(obj, "p50", number(rl->rl_p50));
		put(obj, "p90", number(rl->rl_p90));
		put(obj, "p99", number(rl->rl_p99));
		put(obj, "p999", number(rl->rl_p999));
		put(obj, "max", number(rl->rl_max));
		put(obj, "histogram", histogram(rl));
		put(all, rl->rl_name, obj);
	}
	return all;
}

static json_t *
locks(const struct run_result *rr)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < rr->rr_nlocks; i++) {
		const struct result_lock *rk = &rr->rr_locks[i];
		json_t *obj = xcheck(json_object());

		put(obj, "class", text(rk->rk_class));
		put(obj, "acquisitions", number(rk->rk_acquisitions));
		put(obj, "contended", number(rk->rk_contended));
		put(obj, "wait_ns", number(rk->rk_wait_ns));
		put(obj, "hold_ns_max", number(rk->rk_hold_ns_max));
		push(array, obj);
	}
	return array;
}

/* Which class was wanted while which was held, and in how many chains of locks. */
static json_t *
lock_order(const struct lockgraph *lg)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; lg != NULL && i < lg->lg_nedges; i++) {
		const struct lockgraph_edge *lge = &lg->lg_edges[i];
		const struct lockgraph_class *held = &lg->lg_classes[lge->lge_from];
		const struct lockgraph_class *wanted = &lg->lg_classes[lge->lge_to];
		json_t *obj;

		if (lge->lge_kind != LOCKGRAPH_ORDER || lge->lge_to_mode == LOCKGRAPH_M_TRY ||
		    held->lgc_kind != LOCKGRAPH_LOCK || wanted->lgc_kind != LOCKGRAPH_LOCK)
			continue;
		obj = xcheck(json_object());
		put(obj, "held", text(held->lgc_name));
		put(obj, "wanted", text(wanted->lgc_name));
		put(obj, "count", number(lge->lge_count));
		push(array, obj);
	}
	return array;
}

static json_t *
checks(const struct run_result *rr)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < rr->rr_nchecks; i++) {
		json_t *obj = xcheck(json_object());

		put(obj, "id", text(rr->rr_checks[i].rch_id));
		put(obj, "runs", number(rr->rr_checks[i].rch_runs));
		put(obj, "violations", number(rr->rr_checks[i].rch_violations));
		push(array, obj);
	}
	return array;
}

static json_t *
events(const struct result_events *res)
{
	json_t *list = xcheck(json_array());

	for (size_t i = 0; i < res->res_n; i++) {
		const struct result_event *re = &res->res_v[i];
		json_t *obj = xcheck(json_object());

		put(obj, "before_us", real(re->re_before_us));
		put(obj, "cpu", xcheck(json_integer(re->re_cpu)));
		put(obj, "lwp", number(re->re_lwp));
		put(obj, "interrupt", json_boolean(re->re_intr));
		put(obj, "event", text(re->re_what));
		push(list, obj);
	}
	return list;
}

static json_t *
objects(const struct result_violation *rv)
{
	json_t *list = xcheck(json_array());

	for (size_t i = 0; i < rv->rv_nobjects; i++) {
		json_t *obj = xcheck(json_object());

		put(obj, "name", text(rv->rv_objects[i].ro_name));
		put(obj, "text", text(rv->rv_objects[i].ro_text));
		put(obj, "history", events(&rv->rv_objects[i].ro_history));
		push(list, obj);
	}
	return list;
}

/* => rows of [seconds, faults, operations], each since the load began */
static json_t *
series(const struct result_series *rse)
{
	json_t *list = xcheck(json_array());

	for (size_t i = 0; i < rse->rse_n; i++) {
		const struct result_sample *sm = &rse->rse_v[i];
		json_t *row = xcheck(json_array());

		push(row, real(sm->sm_s));
		push(row, number(sm->sm_faults));
		push(row, number(sm->sm_operations));
		push(list, row);
	}
	return list;
}

static json_t *
violation(const struct result_violation *rv)
{
	json_t *obj = xcheck(json_object()), *stack = xcheck(json_array());
	json_t *held = xcheck(json_array());
	const struct check_info *ch = check_find(rv->rv_id);
	char fingerprint[17];

	put(obj, "kind", text(rv->rv_kind));
	put(obj, "id", text(rv->rv_id));
	put(obj, "message", text(rv->rv_message));
	if (ch != NULL) {
		put(obj, "rule", text(ch->ch_sentence));
		put(obj, "source", text(ch->ch_source));
	}
	put(obj, "cpu", xcheck(json_integer(rv->rv_cpu)));
	put(obj, "time_s", real(rv->rv_time_s));
	if (rv->rv_event != 0)
		put(obj, "event", number(rv->rv_event));
	for (size_t i = 0; i < rv->rv_nstack; i++)
		push(stack, text(rv->rv_stack[i]));
	put(obj, "stack", stack);
	put(obj, "lwp", text(rv->rv_lwp));
	for (size_t i = 0; i < rv->rv_nheld; i++)
		push(held, text(rv->rv_held[i]));
	put(obj, "locks_held", held);
	put(obj, "objects", objects(rv));
	put(obj, "events", events(&rv->rv_events));
	put(obj, "fingerprint", text(result_fingerprint(rv, fingerprint)));
	if (rv->rv_grade != NULL)
		put(obj, "grade", text(rv->rv_grade));
	put(obj, "dir", text(rv->rv_dir));
	return obj;
}

static json_t *
schedule_run(const struct result_schedule *rs)
{
	json_t *obj = xcheck(json_object());

	put(obj, "strategy", text(rs->rs_strategy));
	put(obj, "points", number(rs->rs_points));
	put(obj, "load_points", number(rs->rs_load));
	put(obj, "events", number(rs->rs_events));
	put(obj, "switches", number(rs->rs_switches));
	put(obj, "threads", number(rs->rs_threads));
	put(obj, "steps", number(rs->rs_steps));
	put(obj, "virtual_s", real(rs->rs_virtual_s));
	if (rs->rs_covered != NULL)
		put(obj, "covered", text(rs->rs_covered));
	return obj;
}

static json_t *
run_object(const struct run_result *rr)
{
	json_t *obj = xcheck(json_object()), *faults, *list;
	char digest[16];

	snprintf(digest, sizeof(digest), "%08x", rr->rr_digest);
	put(obj, "schema", text("uvmstress-run/1"));
	put(obj, "version", text(UVMSTRESS_VERSION));
	put(obj, "outcome", text(run_outcome_name(rr->rr_outcome)));
	put(obj, "seed", number(rr->rr_seed));
	put(obj, "profile_digest", text(digest));
	put(obj, "schedule", text(rr->rr_schedule));
	put(obj, "cpus", number(rr->rr_cpus));
	put(obj, "memory_bytes", number(rr->rr_memory));
	put(obj, "swap_bytes", number(rr->rr_swap));
	put(obj, "elapsed_s", real(rr->rr_elapsed_s));
	put(obj, "cpu_s", real(rr->rr_cpu_s));
	put(obj, "iterations", number(rr->rr_iterations));
	put(obj, "iterations_per_s",
	    real(per_second((double)rr->rr_iterations, rr->rr_elapsed_s)));
	if (rr->rr_event_hash != NULL) {
		put(obj, "event_hash", text(rr->rr_event_hash));
		put(obj, "schedule_run", schedule_run(&rr->rr_sched));
	}
	put(obj, "command", text(rr->rr_command));
	put(obj, "jobs", jobs(rr));
	faults = counters("faults", &rr->rr_faults);
	put(faults, "per_s", real(per_second((double)result_counter(&rr->rr_faults, "total"),
	    rr->rr_elapsed_s)));
	put(obj, "faults", faults);
	put(obj, "loans", counters("loans", &rr->rr_loans));
	put(obj, "interrupts", counters("interrupts", &rr->rr_interrupts));
	put(obj, "injected", counters("injected", &rr->rr_injected));
	put(obj, "uvmexp", counters("uvmexp", &rr->rr_uvmexp));
	put(obj, "latency_ns", latencies(rr));
	put(obj, "series", series(&rr->rr_series));
	put(obj, "locks", locks(rr));
	put(obj, "lock_order", lock_order(rr->rr_lockgraph));
	put(obj, "checks", checks(rr));
	list = xcheck(json_array());
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		push(list, violation(&rr->rr_violations[i]));
	put(obj, "violations", list);
	list = xcheck(json_array());
	for (size_t i = 0; i < rr->rr_nmissing; i++)
		push(list, text(rr->rr_missing[i]));
	put(obj, "missing", list);
	list = xcheck(json_array());
	for (size_t i = 0; i < rr->rr_nnotes; i++)
		push(list, text(rr->rr_notes[i]));
	put(obj, "notes", list);
	return obj;
}

static void
dump(json_t *obj, FILE *out)
{
	char *s = xcheck(json_dumps(obj, JSON_INDENT(2) | JSON_REAL_PRECISION(9)));

	fprintf(out, "%s\n", s);
	free(s);
	json_decref(obj);
}

void
report_json(const struct run_result *rr, FILE *out)
{
	dump(run_object(rr), out);
}

static json_t *
bench_reference(const struct bench_row *br, size_t j)
{
	static const char *const senses[] = {
		[BENCH_BETTER] = "at least so many times as good",
		[BENCH_TIMES] = "at most so many times it",
		[BENCH_OVER] = "at most so much over it",
	};
	const struct bench_ref *ref = &br->br_refs[j];
	json_t *obj = xcheck(json_object());

	put(obj, "name", text(ref->ref_name));
	put(obj, "value", real(ref->ref_value));
	put(obj, "ratio", real(ref->ref_ratio));
	put(obj, "ratio_least", real(ref->ref_least));
	put(obj, "ratio_most", real(ref->ref_most));
	if (ref->ref_target != 0) {
		put(obj, "target", real(ref->ref_target));
		put(obj, "target_is", text(senses[ref->ref_sense]));
		put(obj, "verdict", text(bench_is_met(br, j) ? "met" : "short"));
	}
	return obj;
}

static json_t *
bench_object(const struct bench_row *br)
{
	json_t *row = xcheck(json_object()), *refs = xcheck(json_array());

	put(row, "group", text(br->br_group));
	put(row, "name", text(br->br_name));
	put(row, "unit", text(br->br_unit));
	put(row, "value", br->br_note != NULL ? xcheck(json_null()) : real(br->br_value));
	if (br->br_note != NULL) {
		put(row, "note", text(br->br_note));
	} else {
		put(row, "least", real(br->br_least));
		put(row, "most", real(br->br_most));
		put(row, "turns", number(br->br_n));
		put(row, "clock", text(br->br_clock == BENCH_CPU ? "cpu" : "wall"));
	}
	for (size_t j = 0; j < br->br_nrefs; j++)
		push(refs, bench_reference(br, j));
	put(row, "references", refs);
	return row;
}

void
report_bench_json(const struct bench_table *bt, FILE *out)
{
	json_t *obj = xcheck(json_object()), *rows = xcheck(json_array());
	size_t missed, targets = bench_targets(bt, &missed);

	put(obj, "schema", text("uvmstress-bench/1"));
	put(obj, "version", text(UVMSTRESS_VERSION));
	put(obj, "targets", number(targets));
	put(obj, "short", number(missed));
	for (size_t i = 0; i < bt->bt_nrows; i++)
		push(rows, bench_object(&bt->bt_rows[i]));
	put(obj, "rows", rows);
	dump(obj, out);
}

static json_t *
status_locks(const struct run_progress *rp)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < rp->rp_nlocks; i++) {
		json_t *obj = xcheck(json_object());

		put(obj, "class", text(rp->rp_locks[i].pl_class));
		put(obj, "contended", number(rp->rp_locks[i].pl_contended));
		put(obj, "wait_ns", number(rp->rp_locks[i].pl_wait_ns));
		push(array, obj);
	}
	return array;
}

char *
status_line(const char *event, const struct run_progress *rp, double ops_per_s,
    double faults_per_s, const char *outcome)
{
	json_t *obj = xcheck(json_object());
	char *s, *line;

	put(obj, "schema", text("uvmstress-status/1"));
	put(obj, "event", text(event));
	put(obj, "elapsed_s", real(rp->rp_elapsed_s));
	put(obj, "planned_s", real(rp->rp_planned_s));
	put(obj, "iterations", number(rp->rp_iterations));
	put(obj, "operations", number(rp->rp_operations));
	put(obj, "operations_per_s", real(ops_per_s));
	put(obj, "faults", number(rp->rp_faults));
	put(obj, "faults_per_s", real(faults_per_s));
	put(obj, "bytes_verified", number(rp->rp_bytes_verified));
	put(obj, "free_pages", number(rp->rp_free_pages));
	put(obj, "total_pages", number(rp->rp_total_pages));
	put(obj, "active_pages", number(rp->rp_active_pages));
	put(obj, "inactive_pages", number(rp->rp_inactive_pages));
	put(obj, "wired_pages", number(rp->rp_wired_pages));
	put(obj, "cpu_user", number(rp->rp_cpu_user));
	put(obj, "cpu_system", number(rp->rp_cpu_system));
	put(obj, "cpu_interrupt", number(rp->rp_cpu_interrupt));
	put(obj, "cpu_idle", number(rp->rp_cpu_idle));
	put(obj, "locks", status_locks(rp));
	put(obj, "violations", number(rp->rp_violations));
	if (outcome != NULL)
		put(obj, "outcome", text(outcome));
	s = xcheck(json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(9)));
	line = xasprintf("%s\n", s);
	free(s);
	json_decref(obj);
	return line;
}
