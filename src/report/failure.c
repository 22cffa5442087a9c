/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a run leaves on disk: the JSON file and, when something was wrong, a directory.
 *
 * Both are written under a temporary name beside their place and renamed, so that a full
 * disk or a kill leaves the whole thing or nothing.  A JSON path that exists and is no
 * regular file (a pipe, /dev/stdout) cannot be replaced and is written as it is.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/lockgraph.h>
#include <harness/result.h>
#include <harness/xalloc.h>

#include "report_int.h"

#define FAILURES_MAX 9999

typedef void (*writer_t)(const struct run_result *, FILE *);

/* A run's result, as report_write() has things written. */
struct result_writer {
	writer_t rw_fn;
	const struct run_result *rw_rr;
};

static void
write_result(const void *what, FILE *out)
{
	const struct result_writer *rw = what;

	rw->rw_fn(rw->rw_rr, out);
}

static int
host_error(int error, const char *doing, const char *path, char *why, size_t whylen)
{
	snprintf(why, whylen, "cannot %s %s: %s", doing, path, strerror(error));
	return error;
}

int
report_file(const char *path, bool sync, void (*writer)(const void *, FILE *), const void *what)
{
	FILE *out = fopen(path, "we");
	int error = 0;

	if (out == NULL)
		return errno;
	errno = 0;
	writer(what, out);
	if (fflush(out) != 0 || ferror(out))
		error = errno != 0 ? errno : EIO;
	if (error == 0 && sync && fsync(fileno(out)) != 0 && errno != EINVAL && errno != EROFS)
		error = errno;
	if (fclose(out) != 0 && error == 0)
		error = errno;
	return error;
}

static bool
is_replaceable(const char *path)
{
	struct stat st;

	return lstat(path, &st) != 0 || S_ISREG(st.st_mode);
}

int
report_json_file(const struct run_result *rr, const char *path, char *why, size_t whylen)
{
	const struct result_writer rw = { report_json, rr };

	return report_write(path, write_result, &rw, why, whylen);
}

int
report_write(const char *path, void (*writer)(const void *, FILE *), const void *what, char *why,
    size_t whylen)
{
	char *tmp;
	int error;

	if (strcmp(path, "-") == 0) {
		writer(what, stdout);
		if (fflush(stdout) != 0 || ferror(stdout))
			return host_error(errno, "write", "standard output", why, whylen);
		return 0;
	}
	if (!is_replaceable(path)) {
		error = report_file(path, false, writer, what);
		return error != 0 ? host_error(error, "write", path, why, whylen) : 0;
	}
	tmp = xasprintf("%s.%ld.tmp", path, (long)getpid());
	error = report_file(tmp, false, writer, what);
	if (error == 0 && rename(tmp, path) != 0)
		error = errno;
	if (error != 0)
		unlink(tmp);
	free(tmp);
	return error != 0 ? host_error(error, "write", path, why, whylen) : 0;
}

/* The nearest directory above path, or path itself, that exists, in place. */
static void
existing_parent(char *path)
{
	struct stat st;

	while (stat(path, &st) != 0) {
		char *slash = strrchr(path, '/');

		if (slash == NULL) {
			strcpy(path, ".");
			return;
		}
		slash[slash == path] = '\0';
		if (slash == path)
			return;
	}
}

static int
probe_dir(const char *dir, char *why, size_t whylen)
{
	char path[PATH_MAX];
	struct stat st;

	if (strlen(dir) >= sizeof(path) || *dir == '\0')
		return host_error(*dir == '\0' ? ENOENT : ENAMETOOLONG, "write to", dir, why,
		    whylen);
	strcpy(path, dir);
	existing_parent(path);
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return host_error(ENOTDIR, "write to", path, why, whylen);
	if (access(path, W_OK | X_OK) != 0)
		return host_error(errno, "write to", path, why, whylen);
	return 0;
}

/* => what dead runs have left of this file */
static void
sweep_beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash != NULL ? xasprintf("%.*s", (int)(slash - path + 1), path) : xstrdup(".");
	char *prefix = xasprintf("%s.", slash != NULL ? slash + 1 : path);

	report_sweep(dir, prefix);
	free(prefix);
	free(dir);
}

static int
probe_file(const char *path, char *why, size_t whylen)
{
	char *dir, *slash;
	struct stat st;
	int error;

	if (strcmp(path, "-") == 0)
		return 0;
	sweep_beside(path);
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return host_error(EISDIR, "write", path, why, whylen);
		if (access(path, W_OK) != 0)
			return host_error(errno, "write", path, why, whylen);
		if (!is_replaceable(path))
			return 0;
	}
	dir = xstrdup(path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		error = access(".", W_OK) != 0 ? errno : 0;
	else {
		slash[slash == dir] = '\0';
		error = access(dir, W_OK | X_OK) != 0 ? errno : 0;
	}
	free(dir);
	return error != 0 ? host_error(error, "write", path, why, whylen) : 0;
}

int
report_make_dirs(const char *path)
{
	char *copy = xstrdup(path);
	int error = 0;

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0777) != 0 && errno != EEXIST)
			error = errno;
		*p = c;
		if (c == '\0' || error != 0)
			break;
	}
	free(copy);
	return error;
}

static void
write_report(const struct run_result *rr, FILE *out)
{
	report_sentence(rr, out, false);
	report_essence(rr, out);
	fputc('\n', out);
	text_violations(rr, NULL, out);		/* the stories follow, those of no violation too */
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		report_violation_body(&rr->rr_violations[i], out);
	if (rr->rr_lockgraph != NULL && rr->rr_lockgraph->lg_nfindings != 0) {
		lockgraph_symbolise(rr->rr_lockgraph);
		lockgraph_stories(rr->rr_lockgraph, out);
	}
	if (rr->rr_going_on) {
		fprintf(out, "\nWritten after %.3f s, while the run went on.\n", rr->rr_elapsed_s);
		return;
	}
	fprintf(out, "\nThe run as a whole:\n\n");
	report_text(rr, out, true);
	report_sentence(rr, out, true);
}

static void
write_profile(const struct run_result *rr, FILE *out)
{
	fputs(rr->rr_profile, out);
}

static const struct {
	const char *f_name;
	writer_t f_writer;
} files[] = {
	{ "report.txt", write_report },
	{ "result.json", report_json },
	{ "profile.ini", write_profile },
	{ "schedule", recording_write },	/* of a controlled schedule alone */
};
#define	NFILES	(sizeof(files) / sizeof(files[0]))

static size_t
nfiles(const struct run_result *rr)
{
	return rr->rr_sched.rs_log != NULL ? NFILES : NFILES - 1;
}

/* => what dead runs have left there, and in failures whose files they wrote anew */
static void
sweep_failures(const char *outdir)
{
	struct stat st;
	bool there = true;

	report_sweep(outdir, ".");
	for (unsigned n = 1; there && n <= FAILURES_MAX; n++) {
		char *dir = xasprintf("%s/%04u", outdir, n);

		there = lstat(dir, &st) == 0;
		for (size_t i = 0; there && i < sizeof(files) / sizeof(files[0]); i++) {
			char *prefix = xasprintf("%s.", files[i].f_name);

			report_sweep(dir, prefix);
			free(prefix);
		}
		free(dir);
	}
}

int
report_probe(const char *json_path, const char *outdir, char *why, size_t whylen)
{
	int error = json_path != NULL ? probe_file(json_path, why, whylen) : 0;

	if (error == 0)
		error = probe_dir(outdir, why, whylen);
	if (error == 0)
		sweep_failures(outdir);
	return error;
}

static void
remove_dir(const char *dir)
{
	for (size_t i = 0; i < NFILES; i++) {
		char *path = xasprintf("%s/%s", dir, files[i].f_name);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

static int
fill_dir(const struct run_result *rr, const char *dir)
{
	int error = 0, fd = report_tmpdir(dir);

	if (fd < 0)
		return errno;
	for (size_t i = 0; error == 0 && i < nfiles(rr); i++) {
		char *path = xasprintf("%s/%s", dir, files[i].f_name);

		error = report_file(path, true, write_result, &(const struct result_writer){ files[i].f_writer,
		    rr });
		free(path);
	}
	(void)fsync(fd);		/* not every file system can */
	close(fd);			/* it has no name yet: nobody looks for less than a moment */
	if (error != 0)
		remove_dir(dir);
	return error;
}

void
report_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

static void
set_dirs(struct run_result *rr, const char *dir)
{
	for (size_t i = 0; i < rr->rr_nviolations; i++) {
		free(rr->rr_violations[i].rv_dir);
		rr->rr_violations[i].rv_dir = dir != NULL ? xstrdup(dir) : NULL;
	}
}

/*
 * => 0: written as dir; EEXIST: another run took that number in the meantime
 */
static int
write_dir(struct run_result *rr, const char *outdir, const char *dir)
{
	char *tmp = xasprintf("%s/.%ld.tmp", outdir, (long)getpid());
	int error;

	set_dirs(rr, dir);
	error = fill_dir(rr, tmp);
	if (error == EEXIST) {		/* left behind by a killed run with our process id */
		remove_dir(tmp);
		error = fill_dir(rr, tmp);
	}
	if (error == 0 && rename(tmp, dir) != 0) {
		error = errno == ENOTEMPTY ? EEXIST : errno;
		remove_dir(tmp);
	}
	if (error == 0)
		report_sync_dir(outdir);
	free(tmp);
	return error;
}

/* => every file anew, each whole at any time */
static int
rewrite_files(const struct run_result *rr, const char *dir)
{
	char why[600];
	int error = 0;

	for (size_t i = 0; error == 0 && i < nfiles(rr); i++) {
		const struct result_writer rw = { files[i].f_writer, rr };
		char *path = xasprintf("%s/%s", dir, files[i].f_name);

		error = report_write(path, write_result, &rw, why, sizeof(why));
		free(path);
	}
	return error;
}

static int
rewrite_dir(struct run_result *rr, const char *dir)
{
	set_dirs(rr, dir);
	return rewrite_files(rr, dir);
}

/* => in a directory of its own, the first number that is free; *where: its path */
static int
number_dir(struct run_result *rr, const char *outdir, char **where)
{
	int error = report_make_dirs(outdir);
	struct stat st;

	for (unsigned n = 1; error == 0 && n <= FAILURES_MAX; n++) {
		char *dir = xasprintf("%s/%04u", outdir, n);

		if (lstat(dir, &st) == 0)
			error = EEXIST;
		else
			error = write_dir(rr, outdir, dir);
		if (error == 0) {
			*where = dir;
			return 0;
		}
		free(dir);
		if (error == EEXIST)
			error = 0;
	}
	return error != 0 ? error : ENOSPC;
}

int
report_failure(struct run_result *rr, const char *outdir, char **where, char *why, size_t whylen)
{
	int error = *where != NULL ? rewrite_dir(rr, *where) : ENOENT;

	if (error == ENOENT)		/* the first time; or somebody has removed it */
		error = number_dir(rr, outdir, where);
	if (error == 0)
		return 0;
	set_dirs(rr, NULL);
	return host_error(error, "keep the failure in", outdir, why, whylen);
}

int
report_record(const struct run_result *rr, const char *dir, char *why, size_t whylen)
{
	int error = report_make_dirs(dir);

	if (error == 0)
		error = rewrite_files(rr, dir);
	return error != 0 ? host_error(error, "keep the recording in", dir, why, whylen) : 0;
}
