/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The supervisor: one thread, one event loop.
 *
 *	signalfd	SIGCHLD: reap; SIGHUP: reload; SIGTERM, SIGINT: drain, the second time kill
 *	timerfd		four times a second: deadlines, back-off, samples, rotation, signs of life
 *	pipes		workers' progress
 *	control, http	people and programs; bounded in number, size and time, never waited for
 *
 * It may be killed at any moment.  What is on disk then is enough for the next one to go on
 * (store.c); what is only in memory (samples, totals since the start) may be lost.
 */
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/random.h>

#include <harness/result.h>
#include <harness/xalloc.h>

#include "daemon_int.h"
#include "uvmstress_config.h"

uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

double
now_unix(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The journal knows the time itself. */
void
daemon_log(const char *fmt, ...)
{
	char stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;

	if (getenv("JOURNAL_STREAM") == NULL && localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S ", &tm);
	fprintf(stderr, "%suvmstress daemon: ", stamp);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
}

/* --- the loop --- */

int
daemon_watch(struct daemon *d, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(d->d_epoll, EPOLL_CTL_MOD, s->s_fd, &ev) == 0)
		return 0;
	return epoll_ctl(d->d_epoll, EPOLL_CTL_ADD, s->s_fd, &ev) == 0 ? 0 : errno;
}

void
daemon_unwatch(struct daemon *d, struct source *s)
{
	epoll_ctl(d->d_epoll, EPOLL_CTL_DEL, s->s_fd, NULL);
	close(s->s_fd);
	s->s_fd = -1;
}

const char *
daemon_state(const struct daemon *d)
{
	return d->d_stopping ? "draining" : d->d_paused ? "paused" :
	    d->d_space_low ? "waiting for disk space" : "running";
}

static bool
all_idle(const struct daemon *d)
{
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		if (d->d_worker[i]->w_state != WORKER_IDLE)
			return false;
	return true;
}

/* Slots follow the configuration: more at once, fewer when they have become idle. */
static void
fit_slots(struct daemon *d)
{
	size_t n = 0;

	while (n < WORKERS_MAX && d->d_worker[n] != NULL)
		n++;
	for (; n < d->d_conf->dc_workers; n++) {
		d->d_worker[n] = xcalloc(1, sizeof(struct worker));
		d->d_worker[n]->w_slot = (unsigned)n;
		d->d_worker[n]->w_out.s_fd = -1;
	}
	for (; n > d->d_conf->dc_workers && d->d_worker[n - 1]->w_state == WORKER_IDLE; n--) {
		worker_free(d->d_worker[n - 1]);
		d->d_worker[n - 1] = NULL;
	}
}

static void
start_workers(struct daemon *d)
{
	const uint64_t now = now_ns();

	fit_slots(d);
	if (d->d_paused || d->d_stopping)
		return;
	d->d_space_low = store_free(d) < d->d_conf->dc_free_space;
	for (size_t i = 0; i < d->d_conf->dc_workers && !d->d_space_low; i++) {
		struct worker *w = d->d_worker[i];

		if (w->w_state == WORKER_IDLE && now >= w->w_not_before)
			worker_start(d, w);
	}
}

static void
reap(struct daemon *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
			if (d->d_worker[i]->w_state != WORKER_IDLE && d->d_worker[i]->w_pid == pid) {
				worker_reap(d, d->d_worker[i], status);
				break;
			}
	start_workers(d);
}

void
daemon_stop(struct daemon *d)
{
	bool again = d->d_stopping;

	d->d_stopping = true;
	if (!again)
		notify("STOPPING=1\nSTATUS=draining");
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++) {
		if (again)
			worker_kill(d->d_worker[i]);
		else
			worker_end(d, d->d_worker[i]);
	}
}

int
daemon_reload(struct daemon *d, char *why, size_t whylen)
{
	const struct daemon_options *o = d->d_options;
	struct profile_error err;
	struct dconfig *dc;
	const char *fixed;

	notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_ns() / 1000);
	dc = dconfig_load(o->do_config, o->do_jobs, o->do_njobs, o->do_sets, o->do_nsets, &err);
	fixed = dc != NULL ? dconfig_fixed(d->d_conf, dc) : NULL;
	if (dc == NULL)
		snprintf(why, whylen, "%s", err.pe_text);
	else if (fixed != NULL)
		snprintf(why, whylen, "%s: cannot change while the daemon runs; restart it", fixed);
	notify("READY=1");
	if (dc == NULL || fixed != NULL) {
		dconfig_free(dc);
		daemon_log("the old configuration stays: %s", why);
		return EINVAL;
	}
	dconfig_free(d->d_conf);
	d->d_conf = dc;
	start_workers(d);
	daemon_log("configuration reloaded");
	return 0;
}

static void
on_signal(struct daemon *d, struct source *s, uint32_t events)
{
	struct signalfd_siginfo si;
	char why[1200];

	while (read(s->s_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap(d);
		else if (si.ssi_signo == SIGHUP)
			(void)daemon_reload(d, why, sizeof(why));
		else
			daemon_stop(d);
	}
}

/* --- what happens now and then --- */

static double
number(const json_t *status, const char *key)
{
	return json_number_value(json_object_get(status, key));
}

static void
take_sample(struct daemon *d)
{
	struct sample *sm = &d->d_sample[d->d_nsamples++ % SAMPLES];

	*sm = (struct sample){ .sm_time = now_unix() };
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++) {
		const json_t *st = d->d_worker[i]->w_status;

		sm->sm_faults_per_s += number(st, "faults_per_s");
		sm->sm_operations_per_s += number(st, "operations_per_s");
		sm->sm_free += (uint64_t)number(st, "free_pages");
		sm->sm_active += (uint64_t)number(st, "active_pages");
		sm->sm_inactive += (uint64_t)number(st, "inactive_pages");
		sm->sm_wired += (uint64_t)number(st, "wired_pages");
		sm->sm_total += (uint64_t)number(st, "total_pages");
	}
	notify("STATUS=%s, %" PRId64 " runs finished, %" PRId64 " failures, %.0f faults/s",
	    daemon_state(d), db_number(d->d_db, "SELECT count(*) FROM run WHERE state = 'finished'", ""),
	    db_number(d->d_db, "SELECT count(*) FROM failure", ""), sm->sm_faults_per_s);
}

/* => has the time come?  Then it comes again in that many seconds. */
static bool
due(uint64_t *next, uint64_t ns)
{
	const uint64_t now = now_ns();

	if (now < *next)
		return false;
	*next = now + ns;
	return true;
}

static void
on_timer(struct daemon *d, struct source *s, uint32_t events)
{
	const uint64_t watchdog = notify_watchdog();
	uint64_t ticks;

	if (read(s->s_fd, &ticks, sizeof(ticks)) < 0)
		return;
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		worker_tick(d, d->d_worker[i]);
	start_workers(d);
	control_tick(d);
	http_tick(d);
	if (due(&d->d_next_sample, SAMPLE_S * NSEC_PER_SEC))
		take_sample(d);
	if (d->d_leftover != 0 && due(&d->d_next_leftover, SAMPLE_S * NSEC_PER_SEC))
		store_leftovers(d);
	if (due(&d->d_next_rotate, 60 * NSEC_PER_SEC))
		store_rotate(d);
	if (watchdog != 0 && due(&d->d_next_watchdog, watchdog))
		notify("WATCHDOG=1");
}

/* --- totals of what has finished since the start --- */

static void
add(json_t *obj, const char *key, const json_t *n)
{
	json_int_t sum = json_integer_value(json_object_get(obj, key)) +
	    (json_int_t)json_number_value(n);

	json_object_set_new(obj, key, xcheck(json_integer(sum)));
}

/* Rows of an array, by one of their keys; their other numbers add up, but for a maximum. */
static void
add_rows(json_t *totals, const json_t *rows, const char *by)
{
	json_t *row, *value;
	const char *key;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *name = json_string_value(json_object_get(row, by));
		json_t *total = name != NULL ? json_object_get(totals, name) : NULL;

		if (name == NULL)
			continue;
		if (total == NULL) {
			total = xcheck(json_object());
			json_object_set_new(totals, name, total);
		}
		json_object_foreach(row, key, value) {
			if (!json_is_number(value))
				continue;
			if (strcmp(key, "hold_ns_max") != 0 && strcmp(key, "rank") != 0)
				add(total, key, value);
			else if (json_number_value(value) >= json_number_value(json_object_get(total, key)))
				json_object_set(total, key, value);
		}
	}
}

void
daemon_count(struct daemon *d, const json_t *result)
{
	static const char *const groups[] = { "faults", "loans", "interrupts", "injected" };
	const char *key;
	json_t *value, *edge;
	size_t k;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		json_object_foreach(json_object_get(result, groups[i]), key, value) {
			char *name = xasprintf("%s.%s", groups[i], key);

			if (json_is_integer(value))
				add(d->d_totals, name, value);
			free(name);
		}
	add_rows(d->d_locks, json_object_get(result, "locks"), "class");
	add_rows(d->d_checks, json_object_get(result, "checks"), "id");
	json_array_foreach(json_object_get(result, "lock_order"), k, edge) {
		const char *from = json_string_value(json_object_get(edge, "held"));
		const char *to = json_string_value(json_object_get(edge, "wanted"));
		char *name = from != NULL && to != NULL ? xasprintf("%s>%s", from, to) : NULL;

		if (name != NULL)
			add(d->d_edges, name, json_object_get(edge, "count"));
		free(name);
	}
}

/* --- beginning and end --- */

static int
host_fail(int error, const char *doing, const char *what)
{
	fprintf(stderr, "uvmstress: cannot %s %s: %s\n", doing, what, strerror(error));
	return EXIT_HOST;
}

static int
make_state(const char *state)
{
	static const char *const dirs[] = { "", "/work", "/failures" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char *path = xasprintf("%s%s", state, dirs[i]);
		int error = mkdir(path, 0750) == 0 || errno == EEXIST ? 0 : errno;
		int status = error != 0 ? host_fail(error, "make the directory", path) : EXIT_CLEAN;

		free(path);
		if (status != EXIT_CLEAN)
			return status;
	}
	return EXIT_CLEAN;
}

/* One supervisor for one state. */
static int
lock_state(struct daemon *d)
{
	char *path = xasprintf("%s/lock", d->d_conf->dc_state);
	/* not flock(): a child of one that was killed would have it until it has become its program */
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int status = EXIT_CLEAN;
	char pid[24] = "";

	d->d_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (d->d_lock < 0) {
		status = host_fail(errno, "open", path);
	} else if (fcntl(d->d_lock, F_SETLK, &whole) != 0) {
		if (read(d->d_lock, pid, sizeof(pid) - 1) <= 0)
			strcpy(pid, "unknown");
		pid[strcspn(pid, "\n")] = '\0';
		fprintf(stderr, "uvmstress: %s is in use by another daemon, process %s\n",
		    d->d_conf->dc_state, pid);
		status = EXIT_HOST;
	} else if (ftruncate(d->d_lock, 0) == 0) {
		dprintf(d->d_lock, "%ld\n", (long)getpid());
	}
	free(path);
	return status;
}

/* The same seeds go on after a restart, whatever the configuration says by then. */
static int
settle_seed(struct daemon *d)
{
	uint32_t random = 0;
	int64_t seed;

	if (db_number(d->d_db, "SELECT count(*) FROM meta WHERE key = 'seed'", "") == 0) {
		if (d->d_conf->dc_seed == 0 && getentropy(&random, sizeof(random)) != 0)
			random = (uint32_t)time(NULL);
		seed = d->d_conf->dc_seed != 0 ? (int64_t)d->d_conf->dc_seed : (int64_t)(random >> 2) + 1;
		if (db_exec(d->d_db, "INSERT INTO meta VALUES ('seed', ?)", "i", seed) != 0) {
			fprintf(stderr, "uvmstress: cannot write the database: %s\n", db_error(d->d_db));
			return EXIT_HOST;
		}
	}
	d->d_seed = (uint64_t)db_number(d->d_db, "SELECT value FROM meta WHERE key = 'seed'", "");
	return EXIT_CLEAN;
}

static int
open_events(struct daemon *d)
{
	const struct itimerspec its = { { 0, TICK_NS }, { 0, TICK_NS } };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->d_epoll = epoll_create1(EPOLL_CLOEXEC);
	d->d_signal = (struct source){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
	d->d_timer = (struct source){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		on_timer };
	if (d->d_epoll < 0 || d->d_signal.s_fd < 0 || d->d_timer.s_fd < 0 ||
	    timerfd_settime(d->d_timer.s_fd, 0, &its, NULL) != 0 ||
	    daemon_watch(d, &d->d_signal, EPOLLIN) != 0 || daemon_watch(d, &d->d_timer, EPOLLIN) != 0)
		return host_fail(errno, "wait for", "events");
	return EXIT_CLEAN;
}

static int
open_store(struct daemon *d)
{
	char *path = xasprintf("%s/results.db", d->d_conf->dc_state), why[600];
	int status = EXIT_CLEAN;

	d->d_db = db_open(path, why, sizeof(why));
	free(path);
	if (d->d_db == NULL) {
		fprintf(stderr, "uvmstress: %s\n", why);
		return EXIT_HOST;
	}
	status = settle_seed(d);
	if (status == EXIT_CLEAN) {
		store_leftovers(d);
		store_rotate(d);
	}
	return status;
}

static int
open_doors(struct daemon *d)
{
	char why[600] = "";

	d->d_control = control_open(d, why, sizeof(why));
	if (d->d_control != NULL && d->d_conf->dc_http_host[0] != '\0')
		d->d_http = http_open(d, why, sizeof(why));
	if (why[0] == '\0')
		return EXIT_CLEAN;
	fprintf(stderr, "uvmstress: %s\n", why);
	return EXIT_HOST;
}

static void
loop(struct daemon *d)
{
	struct epoll_event ev;

	while (!d->d_stopping || !all_idle(d)) {
		/* One at a time: what an event closes must not have another one under way. */
		if (epoll_wait(d->d_epoll, &ev, 1, -1) != 1)
			continue;
		struct source *s = ev.data.ptr;

		s->s_fn(d, s, ev.events);
	}
	if (d->d_leftover != 0)
		store_leftovers(d);
}

static void
close_all(struct daemon *d)
{
	http_close(d);
	control_close(d);
	for (size_t i = 0; i < WORKERS_MAX && d->d_worker[i] != NULL; i++)
		worker_free(d->d_worker[i]);
	db_close(d->d_db);
	json_decref(d->d_totals);
	json_decref(d->d_locks);
	json_decref(d->d_checks);
	json_decref(d->d_edges);
	for (struct source *s = &d->d_signal; s <= &d->d_timer; s++)
		if (s->s_fd >= 0)
			close(s->s_fd);
	if (d->d_epoll >= 0)
		close(d->d_epoll);
	if (d->d_lock >= 0)
		close(d->d_lock);
	dconfig_free(d->d_conf);
	free(d);
}

static struct dconfig *
load(const struct daemon_options *o)
{
	struct profile_error err;
	struct dconfig *dc = dconfig_load(o->do_config, o->do_jobs, o->do_njobs, o->do_sets,
	    o->do_nsets, &err);

	if (dc == NULL)
		fprintf(stderr, "uvmstress: %s\n", err.pe_text);
	return dc;
}

int
daemon_run(const struct daemon_options *o)
{
	struct daemon *d = xcalloc(1, sizeof(*d));
	int status;

	d->d_options = o;
	d->d_epoll = d->d_lock = d->d_signal.s_fd = d->d_timer.s_fd = -1;
	d->d_started = now_ns();
	d->d_started_unix = now_unix();
	d->d_totals = xcheck(json_object());
	d->d_locks = xcheck(json_object());
	d->d_checks = xcheck(json_object());
	d->d_edges = xcheck(json_object());
	d->d_conf = load(o);
	status = d->d_conf == NULL ? EXIT_USAGE : make_state(d->d_conf->dc_state);
	if (status == EXIT_CLEAN)
		status = lock_state(d);
	if (status == EXIT_CLEAN)
		status = open_events(d);
	if (status == EXIT_CLEAN)
		status = open_store(d);
	if (status == EXIT_CLEAN)
		status = open_doors(d);
	if (status == EXIT_CLEAN) {
		daemon_log("version %s, state in %s", UVMSTRESS_VERSION, d->d_conf->dc_state);
		notify("READY=1\nMAINPID=%ld", (long)getpid());
		loop(d);
		daemon_log("stopped");
	}
	close_all(d);
	return status;
}

int
daemon_check(const struct daemon_options *o)
{
	struct dconfig *dc = load(o);

	if (dc == NULL)
		return EXIT_USAGE;
	for (size_t i = 0; i < dc->dc_nprofiles; i++)
		printf("%s\n", dc->dc_profile[i]);
	dconfig_free(dc);
	return EXIT_CLEAN;
}
