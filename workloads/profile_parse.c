/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Job files, step one: bytes to settings.
 *
 * The reader knows lines, sections and KEY = VALUE, and nothing of what the keys mean.
 * Its input is untrusted: it walks one buffer with explicit ends, bounds every line and
 * refuses bytes that could not have been meant (NUL, control characters), which also
 * keeps them out of messages.  A comment begins with ; or # at the start of a line or
 * after a blank, so that a file name may contain either.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/profile.h>
#include <harness/xalloc.h>

#include "profile_int.h"

/* One file being read.  All fields: private to the call. */
struct reader {
	struct profile *r_p;
	struct profile_error *r_err;
	const char *r_name, *r_dir;
	unsigned r_line;
	bool r_global_seen;
	char r_section[PROFILE_NAME_MAX + 1];	/* "": before the first */
	struct setting **r_list;		/* where this section's settings begin; NULL: no section */
	unsigned r_nkeys;			/* in this section */
};

int
profile_fail(struct profile_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->pe_text, sizeof(err->pe_text), fmt, ap);
	va_end(ap);
	return EINVAL;
}

#define FAIL(r, fmt, ...) \
	profile_fail((r)->r_err, "%s:%u: " fmt, (r)->r_name, (r)->r_line __VA_OPT__(,) __VA_ARGS__)

void
setting_append(struct setting **list, const char *key, const char *value, const char *where,
    const char *dir)
{
	struct setting *s = xcalloc(1, sizeof(*s));

	s->set_key = xstrdup(key);
	s->set_value = xstrdup(value);
	s->set_where = xstrdup(where);
	s->set_dir = xstrdup(dir);
	while (*list != NULL)
		list = &(*list)->set_next;
	*list = s;
}

const struct setting *
setting_last(const struct setting *list, const char *key)
{
	const struct setting *found = NULL;

	for (; list != NULL; list = list->set_next)
		if (strcmp(list->set_key, key) == 0)
			found = list;
	return found;
}

struct job *
profile_job(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->p_njobs; i++)
		if (strcmp(p->p_jobs[i]->job_name, name) == 0)
			return p->p_jobs[i];
	return NULL;
}

static bool
name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.' || c == '+';
}

static bool
is_name(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (!name_char(*s))
			return false;
	return true;
}

/* Cut the comment and the blanks at both ends off, in place. */
static char *
trim(char *s)
{
	size_t n;

	for (size_t i = 0; s[i] != '\0'; i++) {
		if (s[i] != ';' && s[i] != '#')
			continue;
		if (i == 0 || s[i - 1] == ' ' || s[i - 1] == '\t') {
			s[i] = '\0';
			break;
		}
	}
	while (*s == ' ' || *s == '\t')
		s++;
	n = strlen(s);
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		s[--n] = '\0';
	return s;
}

static int
read_job_header(struct reader *r, const char *name)
{
	struct job *job = profile_job(r->r_p, name);

	if (job != NULL)
		return FAIL(r, "[%s]: duplicate section, first at %s; names are for one job each",
		    name, job->job_where);
	if (r->r_p->p_njobs == PROFILE_JOBS_MAX)
		return FAIL(r, "[%s]: too many jobs, at most %d are allowed", name,
		    PROFILE_JOBS_MAX);
	job = xcalloc(1, sizeof(*job));
	job->job_name = xstrdup(name);
	job->job_where = xasprintf("%s:%u", r->r_name, r->r_line);
	r->r_p->p_jobs = xgrow(r->r_p->p_jobs, r->r_p->p_njobs, sizeof(job));
	r->r_p->p_jobs[r->r_p->p_njobs++] = job;
	r->r_list = &job->job_settings;
	return 0;
}

static int
read_header(struct reader *r, char *line)
{
	char *end = strchr(line, ']');

	if (end == NULL)
		return FAIL(r, "%.40s: section header without its ]", line);
	if (end[1] != '\0')
		return FAIL(r, "text after the section header [%.*s]; only a comment may follow",
		    (int)(end - line - 1 > 64 ? 64 : end - line - 1), line + 1);
	*end = '\0';
	line = trim(line + 1);
	if (strlen(line) > PROFILE_NAME_MAX)
		return FAIL(r, "section name of %zu bytes; at most %d are allowed", strlen(line),
		    PROFILE_NAME_MAX);
	if (!is_name(line))
		return FAIL(r, "[%s]: a section name is letters, digits and - _ . +", line);
	strcpy(r->r_section, line);
	r->r_nkeys = 0;
	if (strcmp(line, "global") != 0)
		return read_job_header(r, line);
	if (r->r_global_seen)
		return FAIL(r, "[global]: duplicate section; it may be there once in a file");
	r->r_global_seen = true;
	r->r_list = &r->r_p->p_settings;
	while (*r->r_list != NULL)		/* an earlier file's keys may be given again */
		r->r_list = &(*r->r_list)->set_next;
	return 0;
}

static int
read_setting(struct reader *r, char *line)
{
	char *eq = strchr(line, '='), *key, *value, *where;
	const struct setting *old;

	if (eq == NULL)
		return FAIL(r, "'%.40s': neither KEY = VALUE nor a [section]", line);
	*eq = '\0';
	key = trim(line);
	value = trim(eq + 1);
	if (!is_name(key))
		return FAIL(r, "'%.40s': not a key; keys are letters, digits and -", key);
	if (r->r_list == NULL)
		return FAIL(r, "%s: outside any section; machine keys belong under [global], "
		    "others under a job's [name]", key);
	if (*value == '\0')
		return FAIL(r, "%s: has no value after the =", key);
	old = setting_last(*r->r_list, key);
	if (old != NULL)
		return FAIL(r, "%s: duplicate key in [%s], first at %s", key, r->r_section,
		    old->set_where);
	if (r->r_nkeys++ == PROFILE_KEYS_MAX)
		return FAIL(r, "%s: too many keys in [%s], at most %d are allowed", key,
		    r->r_section, PROFILE_KEYS_MAX);
	where = xasprintf("%s:%u", r->r_name, r->r_line);
	setting_append(r->r_list, key, value, where, r->r_dir);
	free(where);
	return 0;
}

static int
read_line(struct reader *r, const char *text, size_t len)
{
	char line[PROFILE_LINE_MAX + 1], *s;

	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len > PROFILE_LINE_MAX)
		return FAIL(r, "line of %zu bytes; at most %d are allowed", len, PROFILE_LINE_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\0')
			return FAIL(r, "NUL byte at column %zu; job files are text", i + 1);
		if (c == 0x7f || (c < ' ' && c != '\t'))
			return FAIL(r, "control character 0x%02x at column %zu; job files are text",
			    c, i + 1);
	}
	memcpy(line, text, len);
	line[len] = '\0';
	s = trim(line);
	if (*s == '\0')
		return 0;
	return *s == '[' ? read_header(r, s) : read_setting(r, s);
}

int
profile_parse_buffer(struct profile *p, const char *name, const char *dir, const char *buf,
    size_t len, struct profile_error *err)
{
	struct reader r = { .r_p = p, .r_err = err, .r_name = name, .r_dir = dir };
	const char *end = buf + len;

	if (p->p_name == NULL)
		p->p_name = xstrdup(name);
	if (len > PROFILE_FILE_MAX)
		return profile_fail(err, "%s: larger than %d bytes; this is not a job file", name,
		    PROFILE_FILE_MAX);
	if (len >= 3 && memcmp(buf, "\xef\xbb\xbf", 3) == 0)
		buf += 3;
	while (buf < end) {
		const char *nl = memchr(buf, '\n', (size_t)(end - buf));
		const char *stop = nl != NULL ? nl : end;
		int error;

		r.r_line++;
		error = read_line(&r, buf, (size_t)(stop - buf));
		if (error != 0)
			return error;
		buf = stop + 1;
	}
	return 0;
}

/* => the bytes of the file in fresh memory; NULL with errno */
static char *
read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf;
	ssize_t n;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		errno = EISDIR;
		return NULL;
	}
	buf = xcalloc(1, PROFILE_FILE_MAX + 1);
	*len = 0;
	while (*len <= PROFILE_FILE_MAX &&
	    (n = read(fd, buf + *len, PROFILE_FILE_MAX + 1 - *len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;
			free(buf);
			close(fd);
			errno = error;
			return NULL;
		}
		*len += (size_t)n;
	}
	close(fd);
	return buf;
}

int
profile_parse_file(struct profile *p, const char *path, struct profile_error *err)
{
	const char *slash = strrchr(path, '/');
	char *dir, *buf;
	size_t len;
	int error;

	buf = read_whole(path, &len);
	if (buf == NULL)
		return profile_fail(err, "%s: cannot read the job file: %s", path,
		    strerror(errno));
	dir = slash == NULL ? xstrdup("") : xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
	error = profile_parse_buffer(p, path, dir, buf, len, err);
	free(dir);
	free(buf);
	return error;
}
