/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The recording of a controlled schedule, as a file: `schedule` in a failure's directory.
 *
 *	uvmstress-schedule/1
 *	build 0123abcd...		the program's build id: another one goes other ways
 *	seed 7
 *	strategy pct:3
 *	points 12400
 *	events 31000
 *	hash 0123456789abcdef
 *	log 4711			so many bytes follow the empty line
 *
 *	...
 *
 * The log is the host floor's (include/host/sched.h); the profile beside it says the rest.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <harness/result.h>
#include <harness/xalloc.h>

#define LOG_MAX (UINT64_C(1) << 32)

void
recording_write(const struct run_result *rr, FILE *out)
{
	const struct result_schedule *rs = &rr->rr_sched;

	fprintf(out, "uvmstress-schedule/1\nbuild %s\nseed %ju\nstrategy %s\npoints %ju\nevents %ju\n"
	    "hash %s\nlog %zu\n\n", rs->rs_build, (uintmax_t)rr->rr_seed, rs->rs_strategy,
	    (uintmax_t)rs->rs_points, (uintmax_t)rs->rs_events, rr->rr_event_hash, rs->rs_loglen);
	fwrite(rs->rs_log, 1, rs->rs_loglen, out);
}

void
recording_free(struct recording *rec)
{
	free(rec->rec_build);
	free(rec->rec_strategy);
	free(rec->rec_hash);
	free(rec->rec_log);
	memset(rec, 0, sizeof(*rec));
}

/* => the line's value if it has that key; else NULL */
static const char *
value_of(const char *line, const char *key)
{
	const size_t len = strlen(key);

	return strncmp(line, key, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static bool
number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* => takes a line of the head; false: none that it could have */
static bool
head_line(struct recording *rec, uint64_t *len, const char *line)
{
	const char *value;

	if ((value = value_of(line, "build")) != NULL && rec->rec_build == NULL)
		rec->rec_build = xstrdup(value);
	else if ((value = value_of(line, "strategy")) != NULL && rec->rec_strategy == NULL)
		rec->rec_strategy = xstrdup(value);
	else if ((value = value_of(line, "hash")) != NULL && rec->rec_hash == NULL)
		rec->rec_hash = xstrdup(value);
	else if ((value = value_of(line, "seed")) != NULL)
		return number(value, &rec->rec_seed);
	else if ((value = value_of(line, "points")) != NULL)
		return number(value, &rec->rec_points);
	else if ((value = value_of(line, "events")) != NULL)
		return number(value, &rec->rec_events);
	else if ((value = value_of(line, "log")) != NULL)
		return number(value, len) && *len <= LOG_MAX;
	else
		return false;
	return true;
}

static bool
head(struct recording *rec, FILE *in, uint64_t *len)
{
	char line[300];

	*len = UINT64_MAX;
	for (int n = 0; fgets(line, sizeof(line), in) != NULL; n++) {
		char *end = strchr(line, '\n');

		if (end == NULL)
			return false;
		*end = '\0';
		if (n == 0 && strcmp(line, "uvmstress-schedule/1") != 0)
			return false;
		if (line[0] == '\0')
			return rec->rec_build != NULL && rec->rec_strategy != NULL && rec->rec_events != 0 &&
			    rec->rec_hash != NULL && *len != UINT64_MAX;
		if (n != 0 && !head_line(rec, len, line))
			return false;
	}
	return false;
}

int
recording_read(const char *path, struct recording *rec, char *why, size_t whylen)
{
	FILE *in = fopen(path, "re");
	uint64_t len;
	int error = 0;

	memset(rec, 0, sizeof(*rec));
	if (in == NULL) {
		error = errno;
		snprintf(why, whylen, "cannot read %s: %s", path, strerror(error));
		return error;
	}
	if (!head(rec, in, &len)) {
		snprintf(why, whylen, "%s: no recording of a schedule", path);
		error = EINVAL;
	} else {
		/* A length that lies is found out before it is believed. */
		rec->rec_loglen = 0;
		for (size_t n = 1; n != 0 && rec->rec_loglen <= len;) {
			rec->rec_log = xcheck(realloc(rec->rec_log, rec->rec_loglen + 65536));
			n = fread(rec->rec_log + rec->rec_loglen, 1, 65536, in);
			rec->rec_loglen += n;
		}
		if (rec->rec_loglen != len) {
			snprintf(why, whylen, "%s: its log has %s bytes than the %ju that it should have",
			    path, rec->rec_loglen < len ? "fewer" : "more", (uintmax_t)len);
			error = EINVAL;
		}
	}
	fclose(in);
	if (error != 0)
		recording_free(rec);
	return error;
}
