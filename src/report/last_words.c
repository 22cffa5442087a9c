/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The failure directory of a process that can do nothing any more.
 *
 * While all is well the report and the result of a run that found one violation are written to
 * memory, with placeholders for what is not known yet.  When the time comes the pieces between
 * those and the facts are put on disk, by system calls alone, and the directory gets its name when
 * it is whole, as every other one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/result.h>
#include <harness/xalloc.h>

#include "report_int.h"

#define	NAMES_MAX	9999
#define	KIND	"@kind@"
#define	MESSAGE	"@message@"

static char *report, *result, *profile;		/* texts with placeholders; NULL: not prepared */
static char outdir[PATH_MAX];
static bool told;				/* @: by somebody who could do better */

void
report_last_told(void)
{
	__atomic_store_n(&told, true, __ATOMIC_RELAXED);
}

void
report_last_prepare(const struct run_result *rr, const char *dir)
{
	struct run_result fake;
	size_t len;
	FILE *out;

	report_last_forget();
	if (strlen(dir) >= sizeof(outdir))
		return;
	strcpy(outdir, dir);
	result_snapshot(&fake, rr);
	fake.rr_nviolations = 0;
	result_add_violation(&fake, KIND, KIND, MESSAGE);
	out = xcheck(open_memstream(&report, &len));
	report_sentence(&fake, out, false);
	report_essence(&fake, out);
	fclose(out);
	out = xcheck(open_memstream(&result, &len));
	report_json(&fake, out);
	fclose(out);
	profile = xstrdup(fake.rr_profile);
	run_result_fini(&fake);
}

void
report_last_forget(void)
{
	free(report);
	free(result);
	free(profile);
	report = result = profile = NULL;
	__atomic_store_n(&told, false, __ATOMIC_RELAXED);
}

/* --- from here on: system calls --- */

static bool
put(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* => text, the facts where their places are; in JSON without what would need an escape */
static bool
put_filled(int fd, const char *text, const char *kind, const char *message)
{
	const char *at;

	while ((at = strchr(text, '@')) != NULL) {
		const char *fact = NULL;
		size_t len = 0;

		if (strncmp(at, KIND, strlen(KIND)) == 0) {
			fact = kind;
			len = strlen(KIND);
		} else if (strncmp(at, MESSAGE, strlen(MESSAGE)) == 0) {
			fact = message;
			len = strlen(MESSAGE);
		}
		if (fact == NULL)
			len = 1;		/* somebody's own */
		if (!put(fd, text, (size_t)(at - text) + (fact == NULL ? 1 : 0)))
			return false;
		for (; fact != NULL && *fact != '\0'; fact++)
			if (!put(fd, (unsigned char)*fact < ' ' || *fact == '"' || *fact == '\\' ? "'" :
			    fact, 1))
				return false;
		text = at + len;
	}
	return put(fd, text, strlen(text));
}

static void
join(char *buf, const char *dir, const char *name)
{
	stpcpy(stpcpy(stpcpy(buf, dir), "/"), name);	/* a path of outdir and two names at most */
}

static bool
put_file(const char *dir, const char *name, const char *text, const char *kind, const char *message,
    void (*more)(int fd, void *), void *arg)
{
	static char path[PATH_MAX + 96];
	bool good;
	int fd;

	join(path, dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return false;
	good = put_filled(fd, text, kind, message);
	if (more != NULL)
		more(fd, arg);
	good &= fsync(fd) == 0;
	return close(fd) == 0 && good;
}

static void
remove_all(const char *dir)
{
	static const char *const names[] = { "report.txt", "result.json", "profile.ini", "schedule" };
	static char path[PATH_MAX + 96];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		join(path, dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void
make_outdir(void)
{
	for (char *p = outdir + 1; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(outdir, 0777);
			*p = '/';
		}
	mkdir(outdir, 0777);
}

bool
report_last_words(const char *kind, const char *message, void (*more)(int fd, void *), void *arg)
{
	static char tmp[PATH_MAX + 96], dir[PATH_MAX + 96], name[32];
	struct stat st;

	if (report == NULL || __atomic_load_n(&told, __ATOMIC_RELAXED))
		return false;
	make_outdir();
	snprintf(name, sizeof(name), ".%ld.tmp", (long)getpid());
	join(tmp, outdir, name);
	remove_all(tmp);		/* the report that broke off has got so far */
	snprintf(name, sizeof(name), ".%ld.last.tmp", (long)getpid());
	join(tmp, outdir, name);
	remove_all(tmp);
	if (report_tmpdir(tmp) < 0)
		return false;
	if (!put_file(tmp, "report.txt", report, kind, message, more, arg) ||
	    !put_file(tmp, "result.json", result, kind, message, NULL, NULL) ||
	    !put_file(tmp, "profile.ini", profile, kind, message, NULL, NULL)) {
		remove_all(tmp);
		return false;
	}
	for (int n = 1; n <= NAMES_MAX; n++) {
		snprintf(name, sizeof(name), "%04d", n);
		join(dir, outdir, name);
		if (lstat(dir, &st) != 0 && rename(tmp, dir) == 0)
			return true;
	}
	remove_all(tmp);
	return false;
}
