/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The result for people.
 *
 * The first and the last line of a run are the same sentence, so that either end of a log
 * is enough to know what ran; the last adds the verdict and how to see it again.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/checks.h>
#include <harness/lockgraph.h>
#include <harness/result.h>

#include "report_int.h"
#include "uvmstress_config.h"

#define LOCKS_SHOWN 5

static void
human(double n, double step, const char *const *units, char *buf, size_t buflen)
{
	size_t u = 0;

	while (n >= step && units[u + 1] != NULL) {
		n /= step;
		u++;
	}
	snprintf(buf, buflen, u == 0 || n >= 100 ? "%.0f%s" : "%.1f%s", n, units[u]);
}

void
human_count(double n, char *buf, size_t buflen)
{
	static const char *const units[] = { "", "k", "M", "G", "T", NULL };

	human(n, 1000, units, buf, buflen);
}

void
human_bytes(double n, char *buf, size_t buflen)
{
	static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", NULL };

	human(n, 1024, units, buf, buflen);
}

void
human_time(double ns, char *buf, size_t buflen)
{
	static const char *const units[] = { " ns", " us", " ms", " s", NULL };

	human(ns, 1000, units, buf, buflen);
}

void
report_sentence(const struct run_result *rr, FILE *out, bool last)
{
	fprintf(out, "uvmstress %s: seed %ju, profile %08x, schedule %s, %ju CPU%s",
	    UVMSTRESS_VERSION, (uintmax_t)rr->rr_seed, rr->rr_digest, rr->rr_schedule,
	    (uintmax_t)rr->rr_cpus, rr->rr_cpus == 1 ? "" : "s");
	if (last)
		fprintf(out, ": %s after %.1f s; repeat with: %s",
		    run_outcome_name(rr->rr_outcome), rr->rr_elapsed_s, rr->rr_command);
	fputc('\n', out);
}

static void
text_jobs(const struct run_result *rr, FILE *out)
{
	fprintf(out, "%-20s %-14s %7s %11s %9s %11s\n", "job", "workload", "threads",
	    "operations", "per s", "verified");
	for (size_t i = 0; i < rr->rr_njobs; i++) {
		const struct result_job *rj = &rr->rr_jobs[i];
		char rate[32], bytes[32];

		human_count(per_second((double)rj->rj_operations, rr->rr_elapsed_s), rate,
		    sizeof(rate));
		human_bytes((double)rj->rj_bytes_verified, bytes, sizeof(bytes));
		fprintf(out, "%-20s %-14s %7ju %11ju %9s %11s", rj->rj_name, rj->rj_workload,
		    (uintmax_t)rj->rj_threads, (uintmax_t)rj->rj_operations, rate, bytes);
		if (rj->rj_killed != 0)
			fprintf(out, "  %ju killed for want of memory",
			    (uintmax_t)rj->rj_killed);
		fputc('\n', out);
	}
}

static void
text_group(const char *name, const struct result_counters *rcs, FILE *out, bool zeros)
{
	const char *sep = "";

	if (rcs->rcs_n == 0)
		return;
	fprintf(out, "%-11s ", name);
	for (size_t i = 0; i < rcs->rcs_n; i++) {
		if (rcs->rcs_v[i].rc_value == 0 && !zeros)
			continue;
		fprintf(out, "%s%s %ju", sep, rcs->rcs_v[i].rc_name,
		    (uintmax_t)rcs->rcs_v[i].rc_value);
		sep = ", ";
	}
	fprintf(out, "%s\n", *sep == '\0' ? "none" : "");
}

static void
text_latencies(const struct run_result *rr, FILE *out)
{
	for (size_t i = 0; i < rr->rr_nlatencies; i++) {
		const struct result_latency *rl = &rr->rr_latencies[i];
		char p50[32], p90[32], p99[32], p999[32], max[32];

		human_time((double)rl->rl_p50, p50, sizeof(p50));
		human_time((double)rl->rl_p90, p90, sizeof(p90));
		human_time((double)rl->rl_p99, p99, sizeof(p99));
		human_time((double)rl->rl_p999, p999, sizeof(p999));
		human_time((double)rl->rl_max, max, sizeof(max));
		fprintf(out, "latency     %s: half within %s, 90%% %s, 99%% %s, 99.9%% %s, worst %s\n",
		    rl->rl_name, p50, p90, p99, p999, max);
	}
}

static int
by_wait(const void *a, const void *b)
{
	const struct result_lock *const *x = a, *const *y = b;

	return (*x)->rk_wait_ns < (*y)->rk_wait_ns ? 1 :
	    (*x)->rk_wait_ns > (*y)->rk_wait_ns ? -1 : 0;
}

static void
text_locks(const struct run_result *rr, FILE *out, bool verbose)
{
	const struct result_lock **sorted;
	size_t n = rr->rr_nlocks;

	if (n == 0 || (sorted = calloc(n, sizeof(*sorted))) == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &rr->rr_locks[i];
	qsort(sorted, n, sizeof(*sorted), by_wait);
	fprintf(out, "%-24s %12s %10s %11s %11s\n", "lock class, by wait", "acquired", "contended",
	    "waited", "held max");
	for (size_t i = 0; i < n && (verbose || i < LOCKS_SHOWN); i++) {
		char wait[32], hold[32];

		human_time((double)sorted[i]->rk_wait_ns, wait, sizeof(wait));
		human_time((double)sorted[i]->rk_hold_ns_max, hold, sizeof(hold));
		fprintf(out, "%-24s %12ju %10ju %11s %11s\n", sorted[i]->rk_class,
		    (uintmax_t)sorted[i]->rk_acquisitions, (uintmax_t)sorted[i]->rk_contended,
		    wait, hold);
	}
	free(sorted);
}

static void
text_checks(const struct run_result *rr, FILE *out, bool verbose)
{
	uint64_t bad = 0;
	size_t ran = 0;
	const char *sep = ": ";

	if (rr->rr_nchecks == 0)
		return;
	for (size_t i = 0; i < rr->rr_nchecks; i++) {
		ran += rr->rr_checks[i].rch_runs != 0;
		bad += rr->rr_checks[i].rch_violations;
	}
	fprintf(out, "checks      %zu of %zu invariants, %ju violation%s", ran, rr->rr_nchecks,
	    (uintmax_t)bad, bad == 1 ? "" : "s");
	for (size_t i = 0; i < rr->rr_nchecks && verbose; i++, sep = ", ")
		fprintf(out, "%s%s %ju", sep, rr->rr_checks[i].rch_id,
		    (uintmax_t)rr->rr_checks[i].rch_runs);
	fputc('\n', out);
}

/* => what the lock auditor has to say of it: both ends of each edge, with source lines; or NULL */
static const struct lockgraph_finding *
story_of(const struct lockgraph *lg, const struct result_violation *rv)
{
	for (uint32_t i = 0; lg != NULL && rv->rv_grade != NULL && i < lg->lg_nfindings; i++)
		if (strcmp(lg->lg_findings[i].lgv_fingerprint, rv->rv_fingerprint) == 0)
			return &lg->lg_findings[i];
	return NULL;
}

/* What was foretold of locks: how to see whether it comes true. */
static void
text_confirm(const struct result_violation *rv, const char *command, FILE *out)
{
	const char *run = command != NULL ? strstr(command, " run ") : NULL;

	if (run != NULL && strcmp(rv->rv_kind, "lock-order") == 0 && rv->rv_grade != NULL &&
	    (strcmp(rv->rv_grade, "unconfirmed") == 0 || strcmp(rv->rv_grade, "latent") == 0))
		fprintf(out, "    looks for a schedule that deadlocks: %.*s audit %s\n", (int)(run - command), command,
		    run + strlen(" run "));
}

static void
text_violation(const struct run_result *rr, const struct result_violation *rv, const struct lockgraph *lg, FILE *out)
{
	const struct lockgraph_finding *story = story_of(lg, rv);
	const bool graded = rv->rv_grade != NULL && strcmp(rv->rv_grade, "none") != 0;
	const struct check_info *ch = check_find(rv->rv_id);
	char fingerprint[17];

	fprintf(out, "VIOLATION %s %s at %.3f s", rv->rv_kind, rv->rv_id, rv->rv_time_s);
	if (rv->rv_cpu >= 0)
		fprintf(out, " on CPU %d", rv->rv_cpu);
	fprintf(out, ": %s\n", rv->rv_message);
	if (ch != NULL)
		fprintf(out, "    %s: %s (%s)\n", ch->ch_id, ch->ch_sentence, ch->ch_source);
	if (story != NULL)
		lockgraph_story_body(lg, story, out);
	else
		for (size_t i = 0; i < rv->rv_nstack; i++)
			fprintf(out, "    #%zu %s\n", i, rv->rv_stack[i]);
	fprintf(out, "    %s%sfingerprint %s%s%s\n", graded ? rv->rv_grade : "",
	    graded ? ", " : "", result_fingerprint(rv, fingerprint),
	    rv->rv_dir != NULL ? ", kept in " : "",
	    rv->rv_dir != NULL ? rv->rv_dir : "");
	if (rv->rv_event != 0 && rv->rv_dir != NULL)
		fprintf(out, "    at event %ju: uvmstress replay --stop-at %ju %s\n",
		    (uintmax_t)rv->rv_event, (uintmax_t)rv->rv_event, rv->rv_dir);
	text_confirm(rv, rr->rr_command, out);
}

void
report_found(const struct run_result *rr, size_t first, FILE *out)
{
	for (size_t i = first; i < rr->rr_nviolations; i++)
		text_violation(rr, &rr->rr_violations[i], NULL, out);
}

void
text_violations(const struct run_result *rr, const struct lockgraph *lg, FILE *out)
{
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		text_violation(rr, &rr->rr_violations[i], lg, out);
	for (size_t i = 0; i < rr->rr_nchecks; i++)
		if (rr->rr_checks[i].rch_violations != 0 && rr->rr_checks[i].rch_runs != 0)
			fprintf(out, "CHECK %s failed %ju of %ju times\n", rr->rr_checks[i].rch_id,
			    (uintmax_t)rr->rr_checks[i].rch_violations,
			    (uintmax_t)rr->rr_checks[i].rch_runs);
	if (rr->rr_outcome != RUN_VACUOUS)
		return;
	for (size_t i = 0; i < rr->rr_nmissing; i++)
		fprintf(out, "PROVED NOTHING: %s stayed 0\n", rr->rr_missing[i]);
}

void
report_violations(const struct run_result *rr, FILE *out)
{
	text_violations(rr, rr->rr_lockgraph, out);
}

static void
text_schedule(const struct run_result *rr, FILE *out)
{
	const struct result_schedule *rs = &rr->rr_sched;

	if (rs->rs_strategy == NULL)
		return;
	fprintf(out, "schedule    %s: %ju points (%ju under load), %ju switches, %ju threads", rs->rs_strategy,
	    (uintmax_t)rs->rs_points, (uintmax_t)rs->rs_load, (uintmax_t)rs->rs_switches, (uintmax_t)rs->rs_threads);
	if (rs->rs_steps != 0)
		fprintf(out, ", k = %ju", (uintmax_t)rs->rs_steps);
	fprintf(out, ", %.3f s of its time; event hash %s\n", rs->rs_virtual_s, rr->rr_event_hash);
	if (rs->rs_covered != NULL)
		fprintf(out, "covered     %s\n", rs->rs_covered);
}

void
report_text(const struct run_result *rr, FILE *out, bool verbose)
{
	char rate[32];

	text_jobs(rr, out);
	human_count(per_second((double)result_counter(&rr->rr_faults, "total"),
	    rr->rr_elapsed_s), rate, sizeof(rate));
	text_group("faults", &rr->rr_faults, out, verbose);
	fprintf(out, "            %s faults a second over %.1f s\n", rate, rr->rr_elapsed_s);
	text_group("loans", &rr->rr_loans, out, verbose);
	text_group("interrupts", &rr->rr_interrupts, out, verbose);
	if (rr->rr_injected.rcs_n != 0)
		text_group("injected", &rr->rr_injected, out, true);
	if (verbose)
		text_group("uvmexp", &rr->rr_uvmexp, out, true);
	text_latencies(rr, out);
	text_locks(rr, out, verbose);
	text_checks(rr, out, verbose);
	text_schedule(rr, out);
	for (size_t i = 0; i < rr->rr_nnotes; i++)
		fprintf(out, "note        %s\n", rr->rr_notes[i]);
	report_violations(rr, out);
}
