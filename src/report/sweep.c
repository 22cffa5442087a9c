/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What runs that were killed have left: files and directories that had not got their names yet.
 *
 * Whoever makes such a thing holds a lock on it as long as it lives, so what can be locked, and
 * has the number of no process that lives here, is nobody's.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report_int.h"

/* => the process that made it, or 0: the name is prefix.PID.tmp no more than by its looks */
static long
maker(const char *name, const char *prefix)
{
	const size_t len = strlen(prefix);
	char *end;
	long pid;

	if (strncmp(name, prefix, len) != 0 || !isdigit((unsigned char)name[len]))
		return 0;
	pid = strtol(name + len, &end, 10);
	return strcmp(end, ".tmp") == 0 || strcmp(end, ".last.tmp") == 0 ? pid : 0;
}

bool
report_maker_lives(long pid)
{
	return pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static void
remove_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct dirent *de;
	DIR *d;

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return;
	}
	d = fdopendir(fd);
	while (d != NULL && (de = readdir(d)) != NULL)
		unlinkat(fd, de->d_name, 0);	/* nothing in there has anything below it */
	unlinkat(dir, name, d != NULL ? AT_REMOVEDIR : 0);
	if (d != NULL)
		closedir(d);
	else
		close(fd);
}

void
report_sweep(const char *path, const char *prefix)
{
	DIR *d = opendir(path);
	struct dirent *de;
	long pid;

	while (d != NULL && (de = readdir(d)) != NULL) {
		pid = maker(de->d_name, prefix);
		if (pid > 0 && !report_maker_lives(pid))
			remove_at(dirfd(d), de->d_name);
	}
	if (d != NULL)
		closedir(d);
}

int
report_tmpdir(const char *path)
{
	int fd;

	if (mkdir(path, 0777) != 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)flock(fd, LOCK_EX | LOCK_NB);
	return fd;
}
