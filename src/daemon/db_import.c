/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A run's result into rows, and what it means for failures that were seen before.
 */
#include <errno.h>
#include <string.h>

#include <harness/xalloc.h>

#include "daemon_int.h"
#include "db_int.h"

static int64_t
integer(const json_t *obj, const char *key)
{
	const json_t *j = json_object_get(obj, key);

	return json_is_number(j) ? (int64_t)json_number_value(j) : 0;
}

static double
real(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}

static const char *
text(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s != NULL ? s : "";
}

/* Every number of a group as "group.name"; of groups of groups as "group.name.name". */
static int
put_figures(struct db *db, int64_t id, const char *group, const json_t *obj)
{
	const char *key;
	json_t *value;
	int error = 0;

	json_object_foreach((json_t *)obj, key, value) {
		char *name = xasprintf("%s.%s", group, key);

		if (json_is_object(value))
			error = put_figures(db, id, name, value);
		else if (json_is_number(value) && json_number_value(value) != 0)
			error = db_exec(db, "INSERT OR REPLACE INTO figure VALUES (?, ?, ?)", "isd", id, name,
			    json_number_value(value));
		free(name);
		if (error != 0)
			return error;
	}
	return 0;
}

static int
put_locks(struct db *db, int64_t id, const json_t *locks)
{
	json_t *lock;
	size_t i;
	int error = 0;

	json_array_foreach(locks, i, lock)
		if (error == 0)
			error = db_exec(db, "INSERT OR REPLACE INTO run_lock VALUES (?, ?, ?, ?, ?, ?)", "isiiii",
			    id, text(lock, "class"), integer(lock, "acquisitions"),
			    integer(lock, "contended"), integer(lock, "wait_ns"),
			    integer(lock, "hold_ns_max"));
	return error;
}

static int
put_checks(struct db *db, int64_t id, const json_t *checks)
{
	json_t *check;
	size_t i;
	int error = 0;

	json_array_foreach(checks, i, check)
		if (error == 0)
			error = db_exec(db, "INSERT OR REPLACE INTO run_check VALUES (?, ?, ?, ?)", "isii", id,
			    text(check, "id"), integer(check, "runs"), integer(check, "violations"));
	return error;
}

/* => stack frames, a line each, in fresh memory */
static char *
stack_text(const json_t *violation)
{
	char *all = xstrdup("");
	json_t *frame;
	size_t i;

	json_array_foreach(json_object_get(violation, "stack"), i, frame) {
		char *more = xasprintf("%s%s\n", all, json_is_string(frame) ? json_string_value(frame) : "?");

		free(all);
		all = more;
	}
	return all;
}

/*
 * One sighting.
 * => dir: relative to the failures' directory, NULL: not kept
 */
static int
put_failure(struct db *db, int64_t id, const char *print, const json_t *v, const char *dir)
{
	const char *grade = json_string_value(json_object_get(v, "grade"));
	double now = now_unix();
	char *stack = stack_text(v);
	int error;

	error = db_exec(db, "INSERT INTO failure (fingerprint, kind, rule, message, grade, stack, count, "
	    "first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (fingerprint) DO "
	    "UPDATE SET count = count + 1, last_seen = excluded.last_seen", "ssssssdd", print,
	    text(v, "kind"), text(v, "id"), text(v, "message"), grade, stack, now, now);
	free(stack);
	if (error == 0)
		error = db_exec(db, "INSERT INTO occurrence (failure, run, message, cpu, time_s, dir) "
		    "SELECT id, ?, ?, ?, ?, ? FROM failure WHERE fingerprint = ?", "isidss", id,
		    text(v, "message"), integer(v, "cpu"), real(v, "time_s"), dir, print);
	return error;
}

/* => is there one among them whose directories are still few? */
static bool
worth_keeping(struct db *db, const json_t *violations, uint64_t keep_each)
{
	json_t *v;
	size_t i;

	json_array_foreach(violations, i, v)
		if ((uint64_t)db_number(db, "SELECT count(DISTINCT run) FROM occurrence JOIN failure ON "
		    "failure.id = failure WHERE fingerprint = ? AND dir IS NOT NULL", "s",
		    text(v, "fingerprint")) < keep_each)
			return true;
	return false;
}

static int
put_failures(struct db *db, int64_t id, const json_t *violations, bool keep)
{
	json_t *v;
	size_t i;
	int error = 0;

	json_array_foreach(violations, i, v) {
		const char *dir = text(v, "dir"), *slash = strrchr(dir, '/');
		char *kept = NULL;

		if (keep && *dir != '\0')
			kept = xasprintf("%jd/%s", (intmax_t)id, slash != NULL ? slash + 1 : dir);
		error = put_failure(db, id, text(v, "fingerprint"), v, kept);
		free(kept);
		if (error != 0)
			break;
	}
	return error;
}

static int
put_run(struct db *db, int64_t id, const json_t *r)
{
	const json_t *faults = json_object_get(r, "faults"), *violations = json_object_get(r, "violations");
	int64_t operations = 0, verified = 0;
	json_t *job;
	size_t i;

	json_array_foreach(json_object_get(r, "jobs"), i, job) {
		operations += integer(job, "operations");
		verified += integer(job, "bytes_verified");
	}
	return db_exec(db, "UPDATE run SET state = 'finished', outcome = ?, ended = ?, elapsed_s = ?, "
	    "cpu_s = ?, operations = ?, faults = ?, faults_per_s = ?, bytes_verified = ?, violations = ?, "
	    "message = ? WHERE id = ?", "sdddiidiisi", text(r, "outcome"), now_unix(), real(r, "elapsed_s"),
	    real(r, "cpu_s"), operations, integer(faults, "total"), real(faults, "per_s"), verified,
	    (int64_t)json_array_size(violations), json_array_size(violations) == 0 ? NULL :
	    text(json_array_get(violations, 0), "message"), id);
}

static int
put_all(struct db *db, int64_t id, const json_t *r, bool keep)
{
	static const char *const groups[] = { "faults", "loans", "interrupts", "injected", "uvmexp",
		"latency_ns" };
	int error = put_run(db, id, r);

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]) && error == 0; i++)
		error = put_figures(db, id, groups[i], json_object_get(r, groups[i]));
	if (error == 0)
		error = put_locks(db, id, json_object_get(r, "locks"));
	if (error == 0)
		error = put_checks(db, id, json_object_get(r, "checks"));
	if (error == 0)
		error = put_failures(db, id, json_object_get(r, "violations"), keep);
	return error;
}

/* A run that the database has lost (it was removed meanwhile) is still a run. */
static int
ensure_row(struct db *db, int64_t id, const json_t *r)
{
	return db_exec(db, "INSERT OR IGNORE INTO run (id, number, profile, schedule, seed, state, started) "
	    "VALUES (?, 0, '?', ?, ?, 'running', ?)", "isid", id, r != NULL ? text(r, "schedule") : "?",
	    r != NULL ? integer(r, "seed") : (int64_t)0, now_unix());
}

static bool
is_running(struct db *db, int64_t id)
{
	return db_number(db, "SELECT count(*) FROM run WHERE id = ? AND state = 'running'", "i", id) == 1;
}

int
db_run_import(struct db *db, int64_t id, const json_t *r, uint64_t keep_each, bool *keep,
    bool *fresh)
{
	int error = db_begin(db);

	*keep = *fresh = false;
	if (error != 0)
		return error;
	error = ensure_row(db, id, r);
	if (error == 0 && is_running(db, id)) {
		*fresh = true;
		*keep = worth_keeping(db, json_object_get(r, "violations"), keep_each);
		error = put_all(db, id, r, *keep);
	} else if (error == 0) {	/* it was, and only its files were still to be moved */
		*keep = db_number(db, "SELECT count(*) FROM occurrence WHERE run = ? AND dir IS NOT NULL",
		    "i", id) != 0;
	}
	error = db_end(db, error);
	*fresh = *fresh && error == 0;
	return error;
}

int
db_run_lost(struct db *db, int64_t id, const char *state, const char *message, const char *kind,
    const char *rule)
{
	int error = db_begin(db);

	if (error != 0)
		return error;
	error = ensure_row(db, id, NULL);
	if (error == 0 && is_running(db, id)) {
		error = db_exec(db, "UPDATE run SET state = ?, ended = ?, message = ? WHERE id = ?", "sdsi",
		    state, now_unix(), message, id);
		if (error == 0 && kind != NULL) {
			json_t *v = xcheck(json_pack("{s:s, s:s, s:s}", "kind", kind, "id", rule, "message",
			    message));

			error = put_failure(db, id, rule, v, NULL);
			json_decref(v);
		}
	}
	return db_end(db, error);
}
