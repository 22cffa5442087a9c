/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What there is to see, as JSON: one source for the control socket and the web server.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "daemon_int.h"
#include "uvmstress_config.h"

#define TEXT_MAX (256 * 1024)		/* bytes of a report that are shown */

static void
put(json_t *obj, const char *key, json_t *value)
{
	if (json_object_set_new(obj, key, value) != 0)
		xcheck(NULL);
}

static json_t *
number(uint64_t n)
{
	return xcheck(json_integer((json_int_t)n));
}

static json_t *
rows_or_empty(json_t *rows)
{
	return rows != NULL ? rows : xcheck(json_array());
}

static json_t *
worker_json(const struct daemon *d, const struct worker *w)
{
	static const char *const names[] = { "idle", "running", "ending", "killed" };
	json_t *obj = xcheck(json_object());
	const uint64_t now = now_ns();

	put(obj, "slot", number(w->w_slot));
	if (w->w_state == WORKER_IDLE) {
		put(obj, "state", xcheck(json_string(w->w_not_before > now ? "back-off" : "idle")));
		put(obj, "starts_in_s", xcheck(json_real(w->w_not_before > now ?
		    (double)(w->w_not_before - now) / 1e9 : 0)));
		return obj;
	}
	put(obj, "state", xcheck(json_string(names[w->w_state])));
	put(obj, "pid", number((uint64_t)w->w_pid));
	put(obj, "run", number((uint64_t)w->w_run));
	put(obj, "profile", xcheck(json_string(w->w_profile)));
	put(obj, "schedule", xcheck(json_string(w->w_schedule)));
	put(obj, "seed", number(w->w_seed));
	put(obj, "wall_s", xcheck(json_real((double)(now - w->w_started) / 1e9)));
	if (w->w_status != NULL)
		put(obj, "progress", json_incref(w->w_status));
	return obj;
}

static json_t *
counts(struct daemon *d)
{
	json_t *obj = xcheck(json_object()), *row;
	json_t *rows = db_rows(d->d_db, "SELECT coalesce(outcome, state) AS what, count(*) AS n FROM run "
	    "GROUP BY what ORDER BY what", "");
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *what = json_string_value(json_object_get(row, "what"));

		if (what != NULL)
			json_object_set(obj, what, json_object_get(row, "n"));
	}
	json_decref(rows);
	return obj;
}

json_t *
live_status(struct daemon *d)
{
	json_t *obj = xcheck(json_object()), *workers = xcheck(json_array());
	uint64_t space = store_free(d);

	put(obj, "schema", xcheck(json_string("uvmstress-daemon/1")));
	put(obj, "version", xcheck(json_string(UVMSTRESS_VERSION)));
	put(obj, "pid", number((uint64_t)getpid()));
	put(obj, "state", xcheck(json_string(daemon_state(d))));
	put(obj, "uptime_s", xcheck(json_real((double)(now_ns() - d->d_started) / 1e9)));
	put(obj, "config", d->d_options->do_config != NULL ?
	    xcheck(json_string(d->d_options->do_config)) : json_null());
	put(obj, "state_directory", xcheck(json_string(d->d_conf->dc_state)));
	put(obj, "http_port", d->d_http != NULL ? number(http_port(d->d_http)) : json_null());
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		json_array_append_new(workers, worker_json(d, d->d_worker[i]));
	put(obj, "workers", workers);
	put(obj, "runs", counts(d));
	put(obj, "next_run", number(db_run_next(d->d_db)));
	put(obj, "failures", number((uint64_t)db_number(d->d_db, "SELECT count(*) FROM failure", "")));
	put(obj, "worker_restarts", number(d->d_restarts));
	put(obj, "results_waiting", number(d->d_leftover));
	put(obj, "free_bytes", number(space > INT64_MAX ? INT64_MAX : space));
	put(obj, "totals", json_incref(d->d_totals));
	put(obj, "checks", json_incref(d->d_checks));
	return obj;
}

json_t *
live_series(const struct daemon *d)
{
	json_t *array = xcheck(json_array());
	size_t n = d->d_nsamples < SAMPLES ? d->d_nsamples : SAMPLES;

	for (size_t i = d->d_nsamples - n; i < d->d_nsamples; i++) {
		const struct sample *sm = &d->d_sample[i % SAMPLES];

		json_array_append_new(array, xcheck(json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}",
		    "time", sm->sm_time, "faults_per_s", sm->sm_faults_per_s, "operations_per_s",
		    sm->sm_operations_per_s, "free", (json_int_t)sm->sm_free, "active",
		    (json_int_t)sm->sm_active, "inactive", (json_int_t)sm->sm_inactive, "wired",
		    (json_int_t)sm->sm_wired, "total", (json_int_t)sm->sm_total)));
	}
	return array;
}

json_t *
live_runs(struct daemon *d, int64_t limit)
{
	return rows_or_empty(db_rows(d->d_db, "SELECT id, profile, schedule, seed, state, outcome, started, "
	    "ended, elapsed_s, operations, faults, faults_per_s, bytes_verified, violations, message "
	    "FROM run ORDER BY id DESC LIMIT ?", "i", limit));
}

json_t *
live_failures(struct daemon *d)
{
	return rows_or_empty(db_rows(d->d_db, "SELECT failure.id, fingerprint, kind, rule, failure.message, "
	    "grade, count, first_seen, last_seen, (SELECT count(DISTINCT dir) FROM occurrence WHERE failure "
	    "= failure.id AND dir IS NOT NULL) AS kept FROM failure ORDER BY last_seen DESC LIMIT 500", ""));
}

/* => the beginning of a file as a string; NULL: it cannot be read */
static json_t *
file_text(const char *path)
{
	char *text = xcalloc(1, TEXT_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, TEXT_MAX) : -1;
	json_t *j = NULL;

	if (fd >= 0)
		close(fd);
	if (n >= 0) {
		for (ssize_t i = 0; i < n; i++)
			if (text[i] == '\0' || (unsigned char)text[i] >= 0x80)
				text[i] = '?';
		j = xcheck(json_stringn(text, (size_t)n));
	}
	free(text);
	return j;
}

json_t *
live_failure(struct daemon *d, int64_t id)
{
	json_t *rows = db_rows(d->d_db, "SELECT * FROM failure WHERE id = ?", "i", id);
	json_t *obj = json_array_size(rows) == 1 ? json_incref(json_array_get(rows, 0)) : NULL;
	json_t *seen, *report = NULL;
	const char *dir;

	json_decref(rows);
	if (obj == NULL)
		return NULL;
	seen = rows_or_empty(db_rows(d->d_db, "SELECT run, occurrence.message, cpu, time_s, dir, profile, "
	    "schedule, seed, ended FROM occurrence JOIN run ON run.id = run WHERE failure = ? "
	    "ORDER BY dir IS NULL, occurrence.id DESC LIMIT 50", "i", id));
	dir = json_string_value(json_object_get(json_array_get(seen, 0), "dir"));
	if (dir != NULL) {
		char *full = xasprintf("%s/failures/%s", d->d_conf->dc_state, dir);
		char *path = xasprintf("%s/report.txt", full);

		put(obj, "directory", xcheck(json_string(full)));
		report = file_text(path);
		free(path);
		free(full);
	}
	if (report != NULL)
		put(obj, "report", report);
	put(obj, "seen", seen);
	return obj;
}

json_t *
live_locks(const struct daemon *d)
{
	return xcheck(json_pack("{s:O, s:O}", "classes", d->d_locks, "order", d->d_edges));
}

/* Failure directories that rows speak of and that are not there. */
static void
check_failures(struct daemon *d, json_t *wrong)
{
	json_t *rows = db_rows(d->d_db, "SELECT DISTINCT dir FROM occurrence WHERE dir IS NOT NULL", ""), *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *dir = json_string_value(json_object_get(row, "dir"));
		char *path = xasprintf("%s/failures/%s/report.txt", d->d_conf->dc_state, dir);

		if (access(path, R_OK) != 0)
			json_array_append_new(wrong, xcheck(json_sprintf("%s: %s", path, strerror(errno))));
		free(path);
	}
	json_decref(rows);
}

json_t *
live_check(struct daemon *d)
{
	json_t *wrong = db_check(d->d_db);

	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		worker_check(d->d_worker[i]);
	check_failures(d, wrong);
	return xcheck(json_pack("{s:b, s:o, s:I}", "sound", json_array_size(wrong) == 0, "wrong", wrong,
	    "results_waiting", (json_int_t)d->d_leftover));
}
