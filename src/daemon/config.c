/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon's configuration: one section [daemon] of the same INI as job files, read by
 * their reader and their option rows, so that messages say file, line, key and mend.
 *
 * Everything that can be wrong is found here, before anything runs or before the old
 * configuration is given up: every profile is resolved under every schedule.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/workload.h>
#include <harness/xalloc.h>

#include "daemon_int.h"
#include "uvmstress_config.h"

#define SEC(n) (UINT64_C(n) * NSEC_PER_SEC)
#define DAYS(n) SEC((n) * 86400)
#define TB(n) (UINT64_C(n) << 40)
#define DC(field) offsetof(struct dconfig, field)

static const char *const socket_modes[] = { "0600", "0660", NULL };

const struct option_row daemon_keys[] = {
	{ "state", OPT_PATH, DC(dc_state), 0, 0, DAEMON_STATE, NULL, NULL,
	    "directory of the database and of failures" },
	{ "socket", OPT_PATH, DC(dc_socket), 0, 0, NULL, NULL, NULL,
	    "control socket; STATE/ctl when not given" },
	{ "socket-mode", OPT_ENUM, DC(dc_socket_mode), 0, 0, "0600", socket_modes, NULL,
	    "who may control: the owner, or the group too" },
	{ "http", OPT_TEXT, DC(dc_http), 0, 0, "127.0.0.1:9464", NULL, NULL,
	    "address of metrics and page; off = none" },
	{ "client-timeout", OPT_DURATION, DC(dc_client_timeout), SEC(1), DAYS(1), "10s", NULL, NULL,
	    "how long a client of either may stop in the middle of something" },
	{ "profiles", OPT_TEXT, DC(dc_profiles), 0, 0, "smoke.ini", NULL, NULL,
	    "job files, cycled through" },
	{ "schedules", OPT_TEXT, DC(dc_schedules), 0, 0, "free", NULL, NULL,
	    "schedules, cycled through" },
	{ "set", OPT_TEXT, DC(dc_set), 0, 0, "none", NULL, NULL,
	    "overrides for every run: SECTION.KEY=VALUE ..." },
	{ "run-time", OPT_DURATION, DC(dc_run_time), 1000000, DAYS(7), "60s", NULL, NULL,
	    "of each run" },
	{ "workers", OPT_INT, DC(dc_workers), 1, WORKERS_MAX, "1", NULL, NULL,
	    "runs at a time" },
	{ "seed", OPT_INT, DC(dc_seed), 0, INT32_MAX, "0", NULL, NULL,
	    "of the first round; 0 = chosen at the first start" },
	{ "keep-size", OPT_SIZE, DC(dc_keep_size), 0, TB(64), "1G", NULL, NULL,
	    "failure directories take so much at most" },
	{ "keep-age", OPT_DURATION, DC(dc_keep_age), SEC(1), DAYS(3650), "720h", NULL, NULL,
	    "and are kept for so long" },
	{ "keep-each", OPT_INT, DC(dc_keep_each), 1, 10000, "5", NULL, NULL,
	    "directories of one and the same failure" },
	{ "keep-runs", OPT_INT, DC(dc_keep_runs), 1, INT32_MAX, "100000", NULL, NULL,
	    "runs in the database" },
	{ "free-space", OPT_SIZE, DC(dc_free_space), 0, TB(64), "64M", NULL, NULL,
	    "no run begins with less left on the disk" },
	{ "backoff", OPT_DURATION, DC(dc_backoff), 1000000, DAYS(1), "1m", NULL, NULL,
	    "longest wait after runs that ended without a result" },
	{ "grace", OPT_DURATION, DC(dc_grace), 1000000, DAYS(1), "5m", NULL, NULL,
	    "how far beyond its time a run may go before it is killed" },
};
const size_t daemon_nkeys = sizeof(daemon_keys) / sizeof(daemon_keys[0]);

static int __attribute__((format(printf, 2, 3)))
fail(struct profile_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->pe_text, sizeof(err->pe_text), fmt, ap);
	va_end(ap);
	return EINVAL;
}

static const char *
row_next(const void *ctx, size_t i)
{
	return i < daemon_nkeys ? daemon_keys[i].opt_key : NULL;
}

static int
take(struct dconfig *dc, const char *where, const char *key, const char *value, const char *dir,
    struct profile_error *err)
{
	const struct option_row *row = option_find(daemon_keys, daemon_nkeys, key);
	const char *near;
	char why[500];

	if (row == NULL) {
		near = nearest_name(key, row_next, NULL);
		return fail(err, "%s: %s: not a key of [daemon]%s%s%s", where, key,
		    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
		    near != NULL ? "'?" : "");
	}
	if (option_parse(row, dc, value, dir, why, sizeof(why)) != 0)
		return fail(err, "%s: %s = %.100s: %s", where, key, value, why);
	return 0;
}

static int
defaults(struct dconfig *dc, struct profile_error *err)
{
	int error = 0;

	for (size_t i = 0; i < daemon_nkeys && error == 0; i++)
		if (daemon_keys[i].opt_default != NULL)
			error = take(dc, "default", daemon_keys[i].opt_key, daemon_keys[i].opt_default, "", err);
	return error;
}

/* => *where: of profiles, for messages; *dir: what they are relative to; both in fresh memory */
static int
take_file(struct dconfig *dc, const char *path, char **where, char **dir, struct profile_error *err)
{
	static const struct workload *const none[] = { NULL };
	struct profile *p = profile_create(none);
	int error = profile_parse_file(p, path, err);

	if (error == 0 && p->p_settings != NULL)
		error = fail(err, "%s: [global]: belongs into job files; the section here is [daemon]",
		    p->p_settings->set_where);
	for (size_t i = 0; error == 0 && i < p->p_njobs; i++) {
		const struct job *job = p->p_jobs[i];

		if (strcmp(job->job_name, "daemon") != 0)
			error = fail(err, "%s: [%s]: unknown section; the only one is [daemon]",
			    job->job_where, job->job_name);
		for (const struct setting *s = job->job_settings; error == 0 && s != NULL; s = s->set_next) {
			error = take(dc, s->set_where, s->set_key, s->set_value, s->set_dir, err);
			if (strcmp(s->set_key, "profiles") != 0)
				continue;
			free(*where);
			free(*dir);
			*where = xstrdup(s->set_where);
			*dir = xstrdup(s->set_dir);
		}
	}
	profile_destroy(p);
	return error;
}

static int
take_sets(struct dconfig *dc, const char *const *sets, size_t n, struct profile_error *err)
{
	int error = 0;

	for (size_t i = 0; i < n && error == 0; i++) {
		const char *eq = strchr(sets[i], '=');
		char *key, *where;

		if (eq == NULL)
			return fail(err, "--set %s: must be KEY=VALUE", sets[i]);
		key = xstrndup(sets[i], (size_t)(eq - sets[i]));
		where = xasprintf("--set %.200s", sets[i]);
		error = take(dc, where, key, eq + 1, "", err);
		free(where);
		free(key);
	}
	return error;
}

static char **
words(const char *text, size_t *n)
{
	char *copy = xstrdup(text), *save = NULL, **v = NULL;

	*n = 0;
	for (char *w = strtok_r(copy, " \t,", &save); w != NULL; w = strtok_r(NULL, " \t,", &save)) {
		v = xgrow(v, *n, sizeof(*v));
		v[(*n)++] = xstrdup(w);
	}
	free(copy);
	return v;
}

/* Beside the configuration, else among those that were installed. */
static char *
find_profile(const char *word, const char *dir)
{
	char *path = word[0] == '/' || dir[0] == '\0' ? xstrdup(word) : xasprintf("%s/%s", dir, word);
	char *shipped, *full;

	if (access(path, R_OK) != 0 && strchr(word, '/') == NULL) {
		shipped = xasprintf("%s/share/uvmstress/profiles/%s", UVMSTRESS_PREFIX, word);
		if (access(shipped, R_OK) == 0) {
			free(path);
			return shipped;
		}
		free(shipped);
	}
	full = realpath(path, NULL);	/* so that it can be repeated from anywhere */
	if (full == NULL)
		return path;
	free(path);
	return full;
}

/* One profile under one schedule, with the overrides of every run. */
static int
try_profile(const struct dconfig *dc, const char *path, const char *schedule, const char *where,
    struct profile_error *err)
{
	struct profile *p = profile_create(workload_table);
	char *origin = xasprintf("%s: schedules", where);
	int error = profile_parse_file(p, path, err);

	for (size_t i = 0; error == 0 && i < dc->dc_noverrides; i++)
		error = profile_set(p, dc->dc_override[i], err);
	if (error == 0)
		error = profile_set_global(p, "schedule", schedule, origin, err);
	if (error == 0)
		error = profile_resolve(p, err);
	if (error == 0)
		error = profile_check_files(p, err);
	profile_destroy(p);
	free(origin);
	return error;
}

static int
resolve_lists(struct dconfig *dc, const char *where, const char *dir, struct profile_error *err)
{
	int error = 0;

	dc->dc_profile = words(dc->dc_profiles, &dc->dc_nprofiles);
	dc->dc_schedule = words(dc->dc_schedules, &dc->dc_nschedules);
	if (strcmp(dc->dc_set, "none") != 0)
		dc->dc_override = words(dc->dc_set, &dc->dc_noverrides);
	if (dc->dc_nprofiles == 0 || dc->dc_nschedules == 0)
		return fail(err, "%s: %s: names nothing", where,
		    dc->dc_nprofiles == 0 ? "profiles" : "schedules");
	for (size_t i = 0; i < dc->dc_nprofiles; i++) {
		char *path = find_profile(dc->dc_profile[i], dir);

		free(dc->dc_profile[i]);
		dc->dc_profile[i] = path;
	}
	for (size_t i = 0; i < dc->dc_nprofiles && error == 0; i++)
		for (size_t k = 0; k < dc->dc_nschedules && error == 0; k++)
			error = try_profile(dc, dc->dc_profile[i], dc->dc_schedule[k], where, err);
	return error;
}

/* ADDRESS:PORT, numeric, so that nothing has to be looked up. */
static int
resolve_http(struct dconfig *dc, struct profile_error *err)
{
	const char *text = dc->dc_http, *colon = strrchr(text, ':');
	unsigned char addr[16];
	unsigned long port;
	char *end;
	size_t len;

	if (strcmp(text, "off") == 0)
		return 0;
	if (colon != NULL && colon[1] >= '0' && colon[1] <= '9') {
		len = (size_t)(colon - text);
		port = strtoul(colon + 1, &end, 10);
		if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
			text++;
			len -= 2;
		}
		if (*end == '\0' && port <= UINT16_MAX && len < sizeof(dc->dc_http_host)) {
			memcpy(dc->dc_http_host, text, len);
			dc->dc_http_host[len] = '\0';
			dc->dc_http_port = (uint16_t)port;
			if (inet_pton(AF_INET, dc->dc_http_host, addr) == 1 ||
			    inet_pton(AF_INET6, dc->dc_http_host, addr) == 1)
				return 0;
		}
	}
	return fail(err, "http = %.100s: must be off or a numeric address with a port, such as "
	    "127.0.0.1:9464 or [::1]:9464", dc->dc_http);
}

static char *
absolute(char *path)
{
	char cwd[PATH_MAX], *full;

	if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return path;
	full = xasprintf("%s/%s", cwd, path);
	free(path);
	return full;
}

struct dconfig *
dconfig_load(const char *path, char *const *jobs, size_t njobs, const char *const *sets,
    size_t nsets, struct profile_error *err)
{
	struct dconfig *dc = xcalloc(1, sizeof(*dc));
	char *where = xstrdup("profiles"), *dir = xstrdup("");
	int error = defaults(dc, err);

	if (error == 0 && path != NULL)
		error = take_file(dc, path, &where, &dir, err);
	if (error == 0)
		error = take_sets(dc, sets, nsets, err);
	if (error == 0 && njobs != 0) {
		char *all = xstrdup(jobs[0]);

		for (size_t i = 1; i < njobs; i++) {
			char *more = xasprintf("%s %s", all, jobs[i]);

			free(all);
			all = more;
		}
		dir[0] = '\0';
		error = take(dc, "command line", "profiles", all, "", err);
		free(all);
	}
	if (error == 0 && dc->dc_socket == NULL)
		dc->dc_socket = xasprintf("%s/%s", dc->dc_state, DAEMON_SOCKET);
	if (error == 0) {
		dc->dc_state = absolute(dc->dc_state);
		error = resolve_http(dc, err);
	}
	if (error == 0)
		error = resolve_lists(dc, where, dir, err);
	free(where);
	free(dir);
	if (error == 0)
		return dc;
	dconfig_free(dc);
	return NULL;
}

static void
free_words(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void
dconfig_free(struct dconfig *dc)
{
	if (dc == NULL)
		return;
	option_fini(daemon_keys, daemon_nkeys, dc);
	free_words(dc->dc_profile, dc->dc_nprofiles);
	free_words(dc->dc_schedule, dc->dc_nschedules);
	free_words(dc->dc_override, dc->dc_noverrides);
	free(dc);
}

const char *
dconfig_fixed(const struct dconfig *a, const struct dconfig *b)
{
	if (strcmp(a->dc_state, b->dc_state) != 0)
		return "state";
	if (strcmp(a->dc_socket, b->dc_socket) != 0 || a->dc_socket_mode != b->dc_socket_mode)
		return "socket and socket-mode";
	if (strcmp(a->dc_http, b->dc_http) != 0 || a->dc_client_timeout != b->dc_client_timeout)
		return "http and client-timeout";
	return NULL;
}
