/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The progress of a run, for people and for programs.
 *
 * Rates are those since the look before, not since the start: a machine that stops
 * moving shows a zero at once.
 */
#include <sys/ioctl.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/result.h>

#include "report_int.h"

static size_t
terminal_width(FILE *out)
{
	struct winsize ws;

	if (ioctl(fileno(out), TIOCGWINSZ, &ws) != 0 || ws.ws_col < 20)
		return 80;
	return ws.ws_col;
}

static void
planned(const struct run_progress *rp, char *buf, size_t buflen)
{
	if (rp->rp_planned_s > 0)
		snprintf(buf, buflen, " of %.4g s", rp->rp_planned_s);
	else if (rp->rp_iterations_planned > 0)
		snprintf(buf, buflen, " s, %ju of %ju executions", (uintmax_t)rp->rp_iterations,
		    (uintmax_t)rp->rp_iterations_planned);
	else if (rp->rp_operations_planned > 0)
		snprintf(buf, buflen, " s, %.0f%%", 100.0 * (double)rp->rp_operations /
		    (double)rp->rp_operations_planned);
	else
		snprintf(buf, buflen, " s");
}

static void
progress_text(struct progress *pg, const struct run_progress *rp, double ops_per_s,
    double faults_per_s)
{
	char plan[64], ops[32], faults[32], rate[32], frate[32], bytes[32], line[400];
	size_t width;

	planned(rp, plan, sizeof(plan));
	human_count((double)rp->rp_operations, ops, sizeof(ops));
	human_count(ops_per_s, rate, sizeof(rate));
	human_count((double)rp->rp_faults, faults, sizeof(faults));
	human_count(faults_per_s, frate, sizeof(frate));
	human_bytes((double)rp->rp_bytes_verified, bytes, sizeof(bytes));
	snprintf(line, sizeof(line),
	    "%.1f%s: %s ops (%s/s), %s faults (%s/s), %s verified, %.0f%% free, %ju violations",
	    rp->rp_elapsed_s, plan, ops, rate, faults, frate, bytes,
	    100 * per_second((double)rp->rp_free_pages, (double)rp->rp_total_pages),
	    (uintmax_t)rp->rp_violations);
	if (!pg->pg_terminal) {
		fprintf(pg->pg_out, "%s\n", line);
		fflush(pg->pg_out);
		return;
	}
	width = terminal_width(pg->pg_out);
	fprintf(pg->pg_out, "\r\033[K%.*s", (int)width - 1, line);
	fflush(pg->pg_out);
	pg->pg_drawn = true;
}

/* One write for the whole line: a reader at the other end never sees half of it. */
static void
status_write(struct progress *pg, char *line)
{
	if (fputs(line, pg->pg_status) == EOF || fflush(pg->pg_status) != 0)
		pg->pg_failed = true;
	free(line);
}

void
progress_show(struct progress *pg, const struct run_progress *rp)
{
	double dt = rp->rp_elapsed_s - pg->pg_last_s;
	double ops = per_second((double)(rp->rp_operations - pg->pg_last_ops), dt);
	double faults = per_second((double)(rp->rp_faults - pg->pg_last_faults), dt);

	if (pg->pg_out != NULL)
		progress_text(pg, rp, ops, faults);
	if (pg->pg_status != NULL)
		status_write(pg, status_line("progress", rp, ops, faults, NULL));
	pg->pg_last_s = rp->rp_elapsed_s;
	pg->pg_last_ops = rp->rp_operations;
	pg->pg_last_faults = rp->rp_faults;
}

void
progress_wipe(struct progress *pg)
{
	if (!pg->pg_drawn)
		return;
	fputs("\r\033[K", pg->pg_out);
	fflush(pg->pg_out);
	pg->pg_drawn = false;
}

void
progress_end(struct progress *pg, const struct run_result *rr)
{
	struct run_progress rp = {
		.rp_elapsed_s = rr->rr_elapsed_s,
		.rp_planned_s = rr->rr_elapsed_s,
		.rp_faults = result_counter(&rr->rr_faults, "total"),
		.rp_free_pages = result_counter(&rr->rr_uvmexp, "free"),
		.rp_total_pages = result_counter(&rr->rr_uvmexp, "npages"),
		.rp_active_pages = result_counter(&rr->rr_uvmexp, "active"),
		.rp_inactive_pages = result_counter(&rr->rr_uvmexp, "inactive"),
		.rp_wired_pages = result_counter(&rr->rr_uvmexp, "wired"),
		.rp_cpu_user = result_counter(&rr->rr_interrupts, "clock_user"),
		.rp_cpu_system = result_counter(&rr->rr_interrupts, "clock_sys"),
		.rp_cpu_interrupt = result_counter(&rr->rr_interrupts, "clock_intr"),
		.rp_cpu_idle = result_counter(&rr->rr_interrupts, "clock_idle"),
		.rp_violations = rr->rr_nviolations,
		.rp_iterations = rr->rr_iterations,
	};

	progress_wipe(pg);
	if (pg->pg_status == NULL)
		return;
	for (size_t i = 0; i < rr->rr_njobs; i++) {
		rp.rp_operations += rr->rr_jobs[i].rj_operations;
		rp.rp_bytes_verified += rr->rr_jobs[i].rj_bytes_verified;
	}
	status_write(pg, status_line("end", &rp,
	    per_second((double)rp.rp_operations, rr->rr_elapsed_s),
	    per_second((double)rp.rp_faults, rr->rr_elapsed_s),
	    run_outcome_name(rr->rr_outcome)));
}
