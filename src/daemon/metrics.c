/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /metrics: the Prometheus text format, version 0.0.4.  Base units, one HELP and one TYPE a
 * family, samples of a family together, _total on counters and on nothing else.
 *
 * Counters that come from progress lines or finished runs begin at 0 with the daemon, as
 * Prometheus expects of a restarted process; those of runs and failures are the database's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "daemon_int.h"
#include "uvmstress_config.h"

static void
family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP uvmstress_%s %s\n# TYPE uvmstress_%s %s\n", name, help, name, type);
}

static void
label(FILE *out, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
}

static void
sample(FILE *out, const char *name, const char *key, const char *value, double n)
{
	fprintf(out, "uvmstress_%s", name);
	if (key != NULL) {
		fprintf(out, "{%s=\"", key);
		label(out, value);
		fputs("\"}", out);
	}
	fprintf(out, " %.17g\n", n);
}

static void
single(FILE *out, const char *name, const char *type, const char *help, double n)
{
	family(out, name, type, help);
	sample(out, name, NULL, NULL, n);
}

/* The totals of one group, as one family with a label. */
static void
group(FILE *out, const struct daemon *d, const char *prefix, const char *name, const char *key,
    const char *help)
{
	const size_t len = strlen(prefix);
	const char *total;
	json_t *n;

	family(out, name, "counter", help);
	json_object_foreach(d->d_totals, total, n)
		if (strncmp(total, prefix, len) == 0 && strcmp(total + len, "total") != 0)
			sample(out, name, key, total + len, json_number_value(n));
}

/* One column of a table of totals. */
static void
table(FILE *out, json_t *rows, const char *column, double scale, const char *name, const char *type,
    const char *key, const char *help)
{
	const char *id;
	json_t *row;

	family(out, name, type, help);
	json_object_foreach(rows, id, row)
		sample(out, name, key, id, json_number_value(json_object_get(row, column)) * scale);
}

static void
metrics_daemon(FILE *out, struct daemon *d)
{
	uint64_t space = store_free(d);

	family(out, "build_info", "gauge", "Always 1; the version is a label.");
	sample(out, "build_info", "version", UVMSTRESS_VERSION, 1);
	single(out, "start_time_seconds", "gauge", "When the daemon was started, UNIX time.",
	    d->d_started_unix);
	single(out, "paused", "gauge", "1 while no runs are begun by request.", d->d_paused);
	single(out, "results_waiting", "gauge", "Finished runs that could not be stored yet.",
	    (double)d->d_leftover);
	single(out, "state_free_bytes", "gauge", "Bytes free where the state directory lies.",
	    space == UINT64_MAX ? 0 : (double)space);
	single(out, "worker_restarts_total", "counter", "Workers that ended without a result.",
	    (double)d->d_restarts);
	family(out, "requests_total", "counter", "Requests answered or refused, by door.");
	fprintf(out, "uvmstress_requests_total{door=\"control\",result=\"ok\"} %" PRIu64 "\n"
	    "uvmstress_requests_total{door=\"control\",result=\"refused\"} %" PRIu64 "\n"
	    "uvmstress_requests_total{door=\"http\",result=\"ok\"} %" PRIu64 "\n"
	    "uvmstress_requests_total{door=\"http\",result=\"refused\"} %" PRIu64 "\n",
	    d->d_control_ok, d->d_control_bad, d->d_http_ok, d->d_http_bad);
}

static void
metrics_workers(FILE *out, const struct daemon *d)
{
	static const char *const names[] = { "idle", "running", "ending", "killed" };
	unsigned n[4] = { 0 };

	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		n[d->d_worker[i]->w_state]++;
	family(out, "workers", "gauge", "Worker slots by state.");
	for (size_t i = 0; i < 4; i++)
		sample(out, "workers", "state", names[i], n[i]);
}

static void
metrics_runs(FILE *out, struct daemon *d)
{
	json_t *rows = db_rows(d->d_db, "SELECT coalesce(outcome, state) AS what, count(*) AS n FROM run "
	    "WHERE state <> 'running' GROUP BY what", ""), *row;
	size_t i;

	family(out, "runs", "gauge", "Runs in the database, by outcome.");
	json_array_foreach(rows, i, row)
		sample(out, "runs", "outcome", json_string_value(json_object_get(row, "what")),
		    json_number_value(json_object_get(row, "n")));
	json_decref(rows);
	single(out, "failures", "gauge", "Distinct failures by fingerprint.",
	    (double)db_number(d->d_db, "SELECT count(*) FROM failure", ""));
	single(out, "failure_sightings_total", "counter", "How often any failure was seen.",
	    (double)db_number(d->d_db, "SELECT coalesce(sum(count), 0) FROM failure", ""));
}

static void
metrics_load(FILE *out, struct daemon *d)
{
	static const struct {
		const char *name, *key;
	} pages[] = { { "free", "free_pages" }, { "active", "active_pages" },
		{ "inactive", "inactive_pages" }, { "wired", "wired_pages" } };

	single(out, "operations_total", "counter", "Operations of all workers.", (double)d->d_operations);
	single(out, "faults_total", "counter", "Page faults of all workers.", (double)d->d_faults);
	single(out, "verified_bytes_total", "counter", "Bytes read back and compared.",
	    (double)d->d_bytes_verified);
	family(out, "pages", "gauge", "Pages of the machines that run now, by queue.");
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		double n = 0;

		for (size_t k = 0; k < WORKERS_MAX && d->d_worker[k] != NULL; k++)
			n += json_number_value(json_object_get(d->d_worker[k]->w_status, pages[i].key));
		sample(out, "pages", "queue", pages[i].name, n);
	}
	group(out, d, "faults.", "finished_faults_total", "kind", "Page faults of finished runs, by kind.");
	group(out, d, "loans.", "loans_total", "event", "Page loans of finished runs.");
	group(out, d, "interrupts.", "interrupts_total", "event", "Interrupts of finished runs.");
	group(out, d, "injected.", "injected_total", "site", "Calls that were made to fail.");
}

char *
metrics_text(struct daemon *d)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	metrics_daemon(out, d);
	metrics_workers(out, d);
	metrics_runs(out, d);
	metrics_load(out, d);
	table(out, d->d_locks, "acquisitions", 1, "lock_acquisitions_total", "counter", "class",
	    "Lock acquisitions of finished runs.");
	table(out, d->d_locks, "contended", 1, "lock_contended_total", "counter", "class",
	    "Acquisitions that had to wait.");
	table(out, d->d_locks, "wait_ns", 1e-9, "lock_wait_seconds_total", "counter", "class",
	    "Time waited for locks.");
	table(out, d->d_locks, "hold_ns_max", 1e-9, "lock_hold_seconds_max", "gauge", "class",
	    "Longest hold that was sampled.");
	table(out, d->d_checks, "runs", 1, "checks_total", "counter", "check", "Checks made by finished runs.");
	table(out, d->d_checks, "violations", 1, "check_violations_total", "counter", "check",
	    "Checks that found something.");
	fclose(out);
	return xcheck(text);
}
