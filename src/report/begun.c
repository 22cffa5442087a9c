/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A run under way: outdir/.PID.run, with its profile and its command, is on the disk before the
 * run begins, and is removed when it has ended.  It is locked for as long as the run's
 * processes live, as what it writes at its end is (sweep.c).  One that nobody locks is of a run that
 * was killed: whoever starts next gives it a name that stays, and says so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "report_int.h"

#define	KILLED_MAX	9999
#define	TRIES		10

static void
write_text(const void *what, FILE *out)
{
	fputs(what, out);
}

static void
write_line(const void *what, FILE *out)
{
	fprintf(out, "%s\n", (const char *)what);
}

static int
write_one(const char *dir, const char *name, void (*writer)(const void *, FILE *), const char *what)
{
	char *path = xasprintf("%s/%s", dir, name);
	int error = report_file(path, true, writer, what);

	free(path);
	return error;
}

static void
remove_all(const char *dir)
{
	static const char *const names[] = { "profile.ini", "command" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

/* => tmp has the files, and the name of a run under way; ENOENT: somebody removed what it is in */
static int
fill(struct report_begun *rb, const struct run_result *rr, const char *outdir, const char *tmp)
{
	int error = report_make_dirs(outdir);

	if (error != 0)
		return error;
	remove_all(tmp);		/* of a killed run with our process id */
	rb->rb_fd = report_tmpdir(tmp);
	if (rb->rb_fd < 0)
		return errno;
	error = write_one(tmp, "profile.ini", write_text, rr->rr_profile);
	if (error == 0)
		error = write_one(tmp, "command", write_line, rr->rr_command);
	if (error == 0) {
		report_sync_dir(tmp);
		if (rename(tmp, rb->rb_path) != 0)
			error = errno;
	}
	if (error == 0) {
		report_sync_dir(outdir);
		return 0;
	}
	remove_all(tmp);
	close(rb->rb_fd);
	return error;
}

int
report_begin(struct report_begun *rb, const struct run_result *rr, const char *outdir, char *why,
    size_t whylen)
{
	char *tmp = xasprintf("%s/.%ld.tmp", outdir, (long)getpid());
	struct stat st;
	int error = ENOENT;

	rb->rb_path = xasprintf("%s/.%ld.run", outdir, (long)getpid());
	rb->rb_made = stat(outdir, &st) != 0 ? xstrdup(outdir) : NULL;
	for (int i = 0; i < TRIES && error == ENOENT; i++)	/* others end, and remove outdir */
		error = fill(rb, rr, outdir, tmp);
	free(tmp);
	if (error == 0)
		return 0;
	snprintf(why, whylen, "cannot keep what is run in %s: %s", outdir, strerror(error));
	free(rb->rb_path);
	free(rb->rb_made);
	memset(rb, 0, sizeof(*rb));
	return error;
}

void
report_end(struct report_begun *rb)
{
	if (rb->rb_path == NULL)
		return;
	remove_all(rb->rb_path);
	close(rb->rb_fd);
	if (rb->rb_made != NULL)
		rmdir(rb->rb_made);	/* not if anything is in there */
	free(rb->rb_path);
	free(rb->rb_made);
	memset(rb, 0, sizeof(*rb));
}

/* => the process whose run under way has that name; 0: it is none */
static long
runner(const char *name)
{
	char *end;
	long pid;

	if (name[0] != '.' || name[1] < '1' || name[1] > '9')
		return 0;
	pid = strtol(name + 1, &end, 10);
	return strcmp(end, ".run") == 0 ? pid : 0;
}

static void
tell(const char *dir, FILE *out)
{
	char *path = xasprintf("%s/command", dir), *line = NULL;
	FILE *in = fopen(path, "re");
	size_t room = 0;

	if (in != NULL && getline(&line, &room, in) > 0)
		fprintf(out, "uvmstress: a run was killed before its end; %s has its profile; repeat with: "
		    "%s", dir, line);
	if (in != NULL)
		fclose(in);
	free(line);
	free(path);
}

/* => its descriptor and lock are the caller's */
static void
adopt(const char *outdir, const char *name, FILE *out)
{
	char *from = xasprintf("%s/%s", outdir, name);
	struct stat st;
	bool named = false;

	for (unsigned n = 1; !named && n <= KILLED_MAX; n++) {
		char *to = xasprintf("%s/killed-%04u", outdir, n);

		named = lstat(to, &st) != 0 && rename(from, to) == 0;
		if (named)
			tell(to, out);
		free(to);
	}
	free(from);
}

void
report_killed(const char *outdir, FILE *out)
{
	DIR *d = opendir(outdir);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL) {
		const long pid = runner(de->d_name);
		int fd;

		if (pid == 0 || report_maker_lives(pid))
			continue;
		fd = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			adopt(outdir, de->d_name, out);
		close(fd);
	}
	if (d != NULL)
		closedir(d);
}
