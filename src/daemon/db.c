/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The results database: SQLite, one file, opened by one daemon at a time.
 *
 *	run		one row for each run that was begun; state says how far it came
 *	figure		what a finished run counted, by name
 *	run_lock	its lock classes
 *	run_check	its checks
 *	failure		one row for each fingerprint, however often it was seen
 *	occurrence	which runs saw it, and where that is kept
 *
 * A run is a row before its process exists ("running").  Its result is imported in one
 * transaction that also makes it "finished", so a run is there exactly once however often
 * the import is tried; only then are its files moved or removed.  The write-ahead log is
 * synchronised at each commit: what was committed is there after a power cut, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <harness/xalloc.h>

#include "daemon_int.h"
#include "db_int.h"

#define DB_VERSION 1

static const char schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE run ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL,"
    "  profile TEXT NOT NULL, schedule TEXT NOT NULL, seed INTEGER NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'crashed', 'failed', 'lost')),"
    "  outcome TEXT, started REAL NOT NULL, ended REAL, elapsed_s REAL, cpu_s REAL,"
    "  operations INTEGER, faults INTEGER, faults_per_s REAL, bytes_verified INTEGER,"
    "  violations INTEGER, message TEXT);"
    "CREATE INDEX run_state ON run (state);"
    "CREATE TABLE figure (run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;"
    "CREATE TABLE run_lock (run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  class TEXT NOT NULL, acquisitions INTEGER, contended INTEGER, wait_ns INTEGER,"
    "  hold_ns_max INTEGER, PRIMARY KEY (run, class)) WITHOUT ROWID;"
    "CREATE TABLE run_check (run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  id TEXT NOT NULL, runs INTEGER, violations INTEGER, PRIMARY KEY (run, id)) WITHOUT ROWID;"
    "CREATE TABLE failure (id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL UNIQUE,"
    "  kind TEXT NOT NULL, rule TEXT NOT NULL, message TEXT NOT NULL, grade TEXT, stack TEXT,"
    "  count INTEGER NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL);"
    "CREATE TABLE occurrence (id INTEGER PRIMARY KEY, failure INTEGER NOT NULL REFERENCES failure,"
    "  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, message TEXT, cpu INTEGER,"
    "  time_s REAL, dir TEXT);"
    "CREATE INDEX occurrence_failure ON occurrence (failure);"
    "CREATE INDEX occurrence_run ON occurrence (run);"
    "INSERT INTO meta VALUES ('next', 0);"
    "PRAGMA user_version = 1;";

const char *
db_error(const struct db *db)
{
	return db->db_error[0] != '\0' ? db->db_error : "no error";
}

static int
failed(struct db *db)
{
	snprintf(db->db_error, sizeof(db->db_error), "%s", sqlite3_errmsg(db->db_sqlite));
	return EIO;
}

/* => NULL: failed */
static sqlite3_stmt *
prepare(struct db *db, const char *sql, const char *args, va_list ap)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db->db_sqlite, sql, -1, &st, NULL);

	for (int i = 1; rc == SQLITE_OK && *args != '\0'; i++, args++) {
		const char *s;

		switch (*args) {
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_double(st, i, va_arg(ap, double));
			break;
		default:
			s = va_arg(ap, const char *);
			rc = s == NULL ? sqlite3_bind_null(st, i) :
			    sqlite3_bind_text(st, i, s, -1, SQLITE_TRANSIENT);
			break;
		}
	}
	if (rc == SQLITE_OK)
		return st;
	failed(db);
	sqlite3_finalize(st);
	return NULL;
}

int
db_exec(struct db *db, const char *sql, const char *args, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, args);
	st = prepare(db, sql, args, ap);
	va_end(ap);
	if (st == NULL)
		return EIO;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		continue;
	if (rc != SQLITE_DONE)
		failed(db);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : EIO;
}

static json_t *
column(sqlite3_stmt *st, int i)
{
	json_t *j = NULL;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		return xcheck(json_integer(sqlite3_column_int64(st, i)));
	case SQLITE_FLOAT:
		return xcheck(json_real(sqlite3_column_double(st, i)));
	case SQLITE_TEXT:
		j = json_string((const char *)sqlite3_column_text(st, i));
		break;
	}
	return j != NULL ? j : json_null();
}

json_t *
db_rows(struct db *db, const char *sql, const char *args, ...)
{
	json_t *rows = xcheck(json_array());
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, args);
	st = prepare(db, sql, args, ap);
	va_end(ap);
	if (st == NULL) {
		json_decref(rows);
		return NULL;
	}
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		json_t *row = xcheck(json_object());

		for (int i = 0; i < sqlite3_column_count(st); i++)
			json_object_set_new(row, sqlite3_column_name(st, i), column(st, i));
		json_array_append_new(rows, row);
	}
	if (rc != SQLITE_DONE) {
		failed(db);
		json_decref(rows);
		rows = NULL;
	}
	sqlite3_finalize(st);
	return rows;
}

int64_t
db_number(struct db *db, const char *sql, const char *args, ...)
{
	sqlite3_stmt *st;
	int64_t n = 0;
	va_list ap;

	va_start(ap, args);
	st = prepare(db, sql, args, ap);
	va_end(ap);
	if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static int
script(struct db *db, const char *sql)
{
	return sqlite3_exec(db->db_sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(db);
}

/* => a damaged file says so here, not in the middle of the night */
static int
set_up(struct db *db)
{
	int64_t version;
	int error = script(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	    "PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 100;");

	if (error != 0)
		return error;
	version = db_number(db, "PRAGMA user_version", "");
	if (version == 0) {
		error = script(db, "BEGIN IMMEDIATE");
		if (error == 0 && (error = script(db, schema)) == 0)
			error = script(db, "COMMIT");
		if (error != 0)
			sqlite3_exec(db->db_sqlite, "ROLLBACK", NULL, NULL, NULL);
		return error;
	}
	if (version != DB_VERSION) {
		snprintf(db->db_error, sizeof(db->db_error), "it is of version %" PRId64
		    ", this program knows %d", version, DB_VERSION);
		return EINVAL;
	}
	return 0;
}

struct db *
db_open(const char *path, char *why, size_t whylen)
{
	struct db *db = xcalloc(1, sizeof(*db));
	int error = 0;

	if (sqlite3_open_v2(path, &db->db_sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	    NULL) != SQLITE_OK)
		error = failed(db);
	if (error == 0) {
		sqlite3_busy_timeout(db->db_sqlite, 2000);	/* somebody else reads it */
		error = set_up(db);
	}
	if (error == 0)
		return db;
	snprintf(why, whylen, "cannot use the database %s: %s", path, db_error(db));
	db_close(db);
	return NULL;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	sqlite3_close(db->db_sqlite);
	free(db);
}

int
db_begin(struct db *db)
{
	return script(db, "BEGIN IMMEDIATE");
}

int
db_end(struct db *db, int error)
{
	if (error == 0)
		error = script(db, "COMMIT");
	if (error != 0)
		sqlite3_exec(db->db_sqlite, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

uint64_t
db_run_next(struct db *db)
{
	return (uint64_t)db_number(db, "SELECT value FROM meta WHERE key = 'next'", "");
}

int64_t
db_run_begin(struct db *db, const struct run_spec *rs)
{
	int error = db_begin(db);
	int64_t id = 0;

	if (error == 0)
		error = db_exec(db, "INSERT INTO run (number, profile, schedule, seed, state, started) "
		    "VALUES (?, ?, ?, ?, 'running', ?)", "issid", (int64_t)rs->rs_number, rs->rs_profile,
		    rs->rs_schedule, (int64_t)rs->rs_seed, now_unix());
	if (error == 0) {
		id = sqlite3_last_insert_rowid(db->db_sqlite);
		error = db_exec(db, "UPDATE meta SET value = ? WHERE key = 'next'", "i",
		    (int64_t)rs->rs_number + 1);
	}
	return db_end(db, error) == 0 ? id : 0;
}

int
db_prune(struct db *db, uint64_t keep_runs)
{
	return db_exec(db, "DELETE FROM run WHERE state <> 'running' AND id <= "
	    "(SELECT max(id) FROM run) - ?", "i", (int64_t)keep_runs);
}

json_t *
db_check(struct db *db)
{
	json_t *wrong = xcheck(json_array()), *rows, *row;
	size_t i;

	rows = db_rows(db, "PRAGMA integrity_check", "");
	if (rows == NULL)
		json_array_append_new(wrong, xcheck(json_string(db_error(db))));
	json_array_foreach(rows, i, row) {
		const char *line = json_string_value(json_object_get(row, "integrity_check"));

		if (line != NULL && strcmp(line, "ok") != 0)
			json_array_append_new(wrong, xcheck(json_string(line)));
	}
	json_decref(rows);
	rows = db_rows(db, "PRAGMA foreign_key_check", "");
	json_array_foreach(rows, i, row)
		json_array_append_new(wrong, xcheck(json_sprintf("a row of %s refers to nothing",
		    json_string_value(json_object_get(row, "table")))));
	json_decref(rows);
	return wrong;
}
