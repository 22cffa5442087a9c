/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The state directory:
 *
 *	lock			held by the one supervisor it may have
 *	results.db		see db.c
 *	work/ID/		of a run that has not been stored: result.json, out/, log, pid
 *	failures/ID/NNNN/	failure directories that are kept, by run
 *
 * A run's files leave work/ only after its rows are committed: killed in between, the next
 * supervisor finds the files, sees the rows, and only moves them.  So there is no moment at
 * which a result is neither in work/ nor in the database.
 */
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "daemon_int.h"
#include "worker_int.h"

#define RESULT_MAX (INT64_C(64) << 20)	/* bytes of a result that is read */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

void
store_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t
store_free(const struct daemon *d)
{
	struct statvfs sv;

	if (statvfs(d->d_conf->dc_state, &sv) != 0)
		return UINT64_MAX;
	return (uint64_t)sv.f_bavail * sv.f_frsize;
}

/* => a result, new reference; NULL: there is none that can be read */
static json_t *
load_result(const char *path)
{
	struct stat st;
	json_t *r;
	const char *schema;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > RESULT_MAX)
		return NULL;
	r = json_load_file(path, 0, NULL);
	schema = json_string_value(json_object_get(r, "schema"));
	if (schema != NULL && strcmp(schema, "uvmstress-run/1") == 0)
		return r;
	json_decref(r);
	return NULL;
}

/* A run that was killed after it had kept its failure, and before its own result. */
static json_t *
find_result(const char *dir)
{
	char *path = xasprintf("%s/result.json", dir);
	json_t *r = load_result(path);

	free(path);
	if (r != NULL)
		return r;
	path = xasprintf("%s/out/0001/result.json", dir);
	r = load_result(path);
	free(path);
	return r;
}

int
store_import(struct daemon *d, int64_t id, const char *state, const char *message,
    const char *kind, const char *rule, bool *found)
{
	char *dir = xasprintf("%s/work/%jd", d->d_conf->dc_state, (intmax_t)id);
	json_t *r = find_result(dir);
	bool keep = false, fresh = false;
	int error;

	*found = r != NULL;
	if (r != NULL)
		error = db_run_import(d->d_db, id, r, d->d_conf->dc_keep_each, &keep, &fresh);
	else
		error = db_run_lost(d->d_db, id, state, message, kind, rule);
	if (error == 0 && fresh)
		daemon_count(d, r);
	if (error == 0 && keep) {
		char *out = xasprintf("%s/out", dir);
		char *kept = xasprintf("%s/failures/%jd", d->d_conf->dc_state, (intmax_t)id);

		if (rename(out, kept) != 0 && errno != ENOENT)
			daemon_log("cannot keep the failure of run %jd: %s", (intmax_t)id, strerror(errno));
		free(out);
		free(kept);
	}
	if (error == 0)
		store_remove(dir);
	json_decref(r);
	free(dir);
	return error;
}

/* --- what an earlier supervisor left --- */

/* => *id: of a directory called by a number */
static bool
is_number(const char *name, int64_t *id)
{
	if (*name < '1' || *name > '9' || strlen(name) > 18 ||
	    strspn(name, "0123456789") != strlen(name))
		return false;
	*id = strtoll(name, NULL, 10);
	return true;
}

/* => the numbers of a directory's entries, ascending, in fresh memory */
static int64_t *
numbers(const char *path, size_t *n)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	int64_t *v = NULL, id;

	*n = 0;
	while (dir != NULL && (de = readdir(dir)) != NULL) {
		size_t i;

		if (!is_number(de->d_name, &id))
			continue;
		v = xgrow(v, *n, sizeof(*v));
		for (i = (*n)++; i > 0 && v[i - 1] > id; i--)
			v[i] = v[i - 1];
		v[i] = id;
	}
	if (dir != NULL)
		closedir(dir);
	return v;
}

static bool
is_live(const struct daemon *d, int64_t id)
{
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		if (d->d_worker[i]->w_state != WORKER_IDLE && d->d_worker[i]->w_run == id)
			return true;
	return false;
}

/* A worker whose supervisor is dead is killed by the kernel; it may not have come to it yet. */
static void
kill_orphan(const char *dir)
{
	char *path = xasprintf("%s/pid", dir);
	FILE *in = fopen(path, "re");
	uint64_t start = 0;
	long pid = 0;
	int fd;

	free(path);
	if (in == NULL)
		return;
	if (fscanf(in, "%ld %" SCNu64, &pid, &start) != 2)
		pid = 0;
	fclose(in);
	if (pid <= 1 || start == 0)
		return;
	fd = pidfd_open((pid_t)pid, 0);
	if (fd < 0)
		return;
	if (process_start_time((pid_t)pid) == start && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		(void)poll(&pfd, 1, 5000);
	}
	close(fd);
}

/* Rows of runs that nobody runs and that left no files. */
static int
close_rows(struct daemon *d)
{
	json_t *rows = db_rows(d->d_db, "SELECT id FROM run WHERE state = 'running'", ""), *row;
	int error = rows == NULL ? EIO : 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		int64_t id = json_integer_value(json_object_get(row, "id"));

		if (error == 0 && !is_live(d, id))
			error = db_run_lost(d->d_db, id, "lost", "ended without a result", NULL, NULL);
	}
	json_decref(rows);
	return error;
}

void
store_leftovers(struct daemon *d)
{
	char *work = xasprintf("%s/work", d->d_conf->dc_state);
	size_t n;
	int64_t *id = numbers(work, &n);
	uint64_t left = 0;
	bool found;

	for (size_t i = 0; i < n; i++) {
		char *dir = xasprintf("%s/%jd", work, (intmax_t)id[i]);

		if (!is_live(d, id[i])) {
			kill_orphan(dir);
			if (store_import(d, id[i], "lost", "its supervisor ended before it", NULL, NULL,
			    &found) != 0)
				left++;
			else
				daemon_log("run %jd, left behind: %s", (intmax_t)id[i],
				    found ? "stored" : "lost");
		}
		free(dir);
	}
	free(id);
	free(work);
	if (left == 0 && close_rows(d) != 0)
		left = 1;
	d->d_leftover = left;
}

/* --- rotation --- */

static uint64_t tree_bytes;		/* for nftw(), which takes no argument */

static int
add_bytes(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	tree_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

struct kept {
	int64_t k_id;
	uint64_t k_bytes;
	double k_age_s;
};

static struct kept *
list_failures(const struct daemon *d, size_t *n, uint64_t *bytes)
{
	char *failures = xasprintf("%s/failures", d->d_conf->dc_state);
	int64_t *id = numbers(failures, n);
	struct kept *v = xcalloc(*n + 1, sizeof(*v));

	*bytes = 0;
	for (size_t i = 0; i < *n; i++) {
		char *dir = xasprintf("%s/%jd", failures, (intmax_t)id[i]);
		struct stat st;

		tree_bytes = 0;
		nftw(dir, add_bytes, 16, FTW_PHYS);
		v[i] = (struct kept){ id[i], tree_bytes, 0 };
		if (stat(dir, &st) == 0)
			v[i].k_age_s = now_unix() - (double)st.st_mtime;
		*bytes += tree_bytes;
		free(dir);
	}
	free(id);
	free(failures);
	return v;
}

/* => rows no longer say that it is kept, and it is not */
static void
drop_failure(struct daemon *d, int64_t id)
{
	char *dir = xasprintf("%s/failures/%jd", d->d_conf->dc_state, (intmax_t)id);

	if (db_exec(d->d_db, "UPDATE occurrence SET dir = NULL WHERE run = ?", "i", id) == 0)
		store_remove(dir);
	free(dir);
}

void
store_rotate(struct daemon *d)
{
	const struct dconfig *dc = d->d_conf;
	struct kept *v;
	uint64_t bytes;
	size_t n;

	(void)db_prune(d->d_db, dc->dc_keep_runs);
	v = list_failures(d, &n, &bytes);
	for (size_t i = 0; i < n; i++) {	/* oldest first */
		bool known = db_number(d->d_db, "SELECT count(*) FROM occurrence WHERE run = ? AND dir IS "
		    "NOT NULL", "i", v[i].k_id) != 0;

		if (known && bytes <= dc->dc_keep_size && v[i].k_age_s * 1e9 <= (double)dc->dc_keep_age)
			continue;
		drop_failure(d, v[i].k_id);
		bytes -= v[i].k_bytes;
	}
	free(v);
}
