/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the files of the daemon.
 *
 * Everything here belongs to one thread: an event loop around epoll, which a signalfd, a
 * timerfd, the workers' pipes, the control socket and the web server's own epoll wake.
 * There is nothing to lock.
 */
#ifndef DAEMON_INT_H
#define DAEMON_INT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <harness/profile.h>

#include "daemon.h"

#define WORKERS_MAX	64
#define TICK_NS		UINT64_C(250000000)	/* how late a deadline may be noticed */
#define NSEC_PER_SEC	UINT64_C(1000000000)
#define STATUS_LINE_MAX 16384			/* of a worker; longer ones are skipped */
#define SAMPLES		720			/* of the throughput, SAMPLE_S apart: an hour */
#define SAMPLE_S	5

/* --- config.c --- */

/* Stable once loaded; a reload makes another. */
struct dconfig {
	char *dc_state;			/* directory: database, work, failures */
	char *dc_socket;
	unsigned dc_socket_mode;	/* index of socket_modes[] */
	char *dc_http;			/* "off", "127.0.0.1:9464" */
	uint64_t dc_client_timeout;	/* ns */
	char *dc_profiles;		/* words */
	char *dc_schedules;		/* words */
	char *dc_set;			/* words, "none": SECTION.KEY=VALUE for every run */
	uint64_t dc_run_time;		/* ns */
	uint64_t dc_workers;
	uint64_t dc_seed;		/* of the first round */
	uint64_t dc_keep_size;		/* bytes of failure directories */
	uint64_t dc_keep_age;		/* ns */
	uint64_t dc_keep_each;		/* directories of one and the same failure */
	uint64_t dc_keep_runs;		/* rows */
	uint64_t dc_free_space;		/* bytes that stay free where the state lies */
	uint64_t dc_backoff;		/* ns, at most */
	uint64_t dc_grace;		/* ns that a run may take beyond its time */

	char **dc_profile;		/* paths */
	size_t dc_nprofiles;
	char **dc_schedule;
	size_t dc_nschedules;
	char **dc_override;
	size_t dc_noverrides;
	char dc_http_host[64];		/* "" : no web server */
	uint16_t dc_http_port;
};

/*
 * dconfig_load: read and check everything, every profile under every schedule too.
 * => path: NULL for none; jobs: profiles instead of the file's; sets: "KEY=VALUE", override the file
 * => NULL with one line in the error
 */
struct dconfig *dconfig_load(const char *path, char *const *jobs, size_t njobs,
    const char *const *sets, size_t nsets, struct profile_error *);
void dconfig_free(struct dconfig *);
/* => the key that a running daemon cannot change and that differs; NULL: none */
const char *dconfig_fixed(const struct dconfig *, const struct dconfig *);

/* --- db.c: what is to survive --- */

struct db;

/* What a run is asked to be. */
struct run_spec {
	const char *rs_profile, *rs_schedule;
	uint64_t rs_seed;
	uint64_t rs_number;		/* in the sequence of runs, from 0 */
};

/*
 * db_open: open or create; a file of a later version, or a damaged one, is refused.
 * => NULL with one line in why
 */
struct db *db_open(const char *path, char *why, size_t whylen);
void db_close(struct db *);
/* => of the call that failed last, one line */
const char *db_error(const struct db *);

/*
 * db_exec: one statement.  db_rows: a query's rows as objects, new reference.
 * db_number: its first column of its first row; 0 without one.
 * => args follow the letters: i int64_t, d double, s string or NULL
 * => 0 or EIO; NULL; the reason is in db_error()
 */
int db_exec(struct db *, const char *sql, const char *args, ...);
json_t *db_rows(struct db *, const char *sql, const char *args, ...);
int64_t db_number(struct db *, const char *sql, const char *args, ...);

/*
 * db_run_begin: a new run, at once on disk; its number is used up.  => its id; 0: EIO
 * db_run_import: what it found, in one transaction, once: a second call changes nothing.
 *    keep: may its failure directory stay?  fresh: it was imported by this very call
 * db_run_lost: it ended without a result; state is "crashed", "failed" or "lost".  A kind
 *    makes it a failure as well, of that rule.
 */
int64_t db_run_begin(struct db *, const struct run_spec *);
uint64_t db_run_next(struct db *);
int db_run_import(struct db *, int64_t id, const json_t *result, uint64_t keep_each, bool *keep,
    bool *fresh);
int db_run_lost(struct db *, int64_t id, const char *state, const char *message,
    const char *kind, const char *rule);
int db_prune(struct db *, uint64_t keep_runs);
/* => 0: sound; what is wrong else, in new references */
json_t *db_check(struct db *);

/* --- worker.c: one process, one run --- */

enum worker_state {
	WORKER_IDLE,			/* may start when w_not_before has come */
	WORKER_RUNNING,
	WORKER_ENDING,			/* asked to end */
	WORKER_KILLED,			/* told to */
};

struct source {
	int s_fd;			/* -1: none */
	void (*s_fn)(struct daemon *, struct source *, uint32_t events);
};

struct worker {
	struct source w_out;		/* its status lines; first: the source's owner is found by it */
	unsigned w_slot;
	enum worker_state w_state;
	pid_t w_pid;
	int64_t w_run;			/* id */
	char *w_profile, *w_schedule;
	uint64_t w_seed;
	uint64_t w_started, w_deadline;	/* ns */
	bool w_overdue;			/* it was killed for that */
	unsigned w_failed;		/* ends without a result, in a row */
	uint64_t w_not_before;		/* ns */
	json_t *w_status;		/* its last line, or NULL */
	size_t w_fill;
	bool w_skip;			/* the rest of a line that is too long */
	char w_line[STATUS_LINE_MAX];
};

/*
 * worker_start: begin the next run of the cycle.  => 0, or an errno that was logged
 * worker_end: SIGTERM, then in good time SIGKILL.   worker_kill: SIGKILL.
 * worker_check: its machine is looked through now, if it runs.
 * worker_tick: deadlines.
 * worker_reap: the process ended with that status; import what it left.
 * worker_free: an idle one.
 */
int worker_start(struct daemon *, struct worker *);
void worker_end(struct daemon *, struct worker *);
void worker_kill(struct worker *);
void worker_check(const struct worker *);
void worker_tick(struct daemon *, struct worker *);
void worker_reap(struct daemon *, struct worker *, int status);
void worker_free(struct worker *);

/* --- store.c: directories of the state --- */

/*
 * store_import: take the result of a run that is over out of its working directory.
 * => state, message, kind, rule: what it was if there is no result; see db_run_lost()
 * => *found: there was one.  0, or EIO: nothing has changed, ask again later
 * store_leftovers: the same for all that an earlier supervisor, or a full disk, left.
 * store_rotate: failure directories by age and size, rows by number.
 * store_free: bytes left where the state lies.
 */
int store_import(struct daemon *, int64_t id, const char *state, const char *message,
    const char *kind, const char *rule, bool *found);
void store_leftovers(struct daemon *);
void store_rotate(struct daemon *);
uint64_t store_free(const struct daemon *);
/* store_remove: a directory with all that is in it. */
void store_remove(const char *path);

/* --- supervisor.c --- */

/* One look at the throughput of all workers together. */
struct sample {
	double sm_time;			/* UNIX time */
	double sm_faults_per_s, sm_operations_per_s;
	uint64_t sm_free, sm_active, sm_inactive, sm_wired, sm_total;	/* pages */
};

struct control;
struct http;

struct daemon {
	struct dconfig *d_conf;
	const struct daemon_options *d_options;
	struct db *d_db;
	int d_epoll;
	int d_lock;			/* held for as long as the state is ours */
	struct source d_signal, d_timer;
	struct worker *d_worker[WORKERS_MAX];	/* NULL from some index on */
	bool d_paused, d_stopping;
	uint64_t d_started;		/* ns */
	double d_started_unix;
	uint64_t d_seed;		/* of the first round; in the database too */
	uint64_t d_leftover;		/* results that could not be imported yet */
	bool d_space_low;
	uint64_t d_next_rotate, d_next_sample, d_next_leftover, d_next_watchdog;	/* ns */
	struct sample d_sample[SAMPLES];
	size_t d_nsamples;		/* ever */
	json_t *d_totals;		/* of finished runs since the start: "faults.cow": n */
	json_t *d_locks;		/* likewise: class -> acquisitions, contended, wait_ns */
	json_t *d_checks;		/* likewise: id -> runs, violations */
	json_t *d_edges;		/* lock order seen: "map>amap" -> n */
	json_t *d_classes;		/* ranks: class -> rank */
	uint64_t d_operations, d_faults, d_bytes_verified;	/* by status lines, since the start */
	uint64_t d_restarts;		/* workers that ended without a result */
	uint64_t d_control_ok, d_control_bad, d_http_ok, d_http_bad;
	struct control *d_control;
	struct http *d_http;
};

uint64_t now_ns(void);
double now_unix(void);
void daemon_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int daemon_watch(struct daemon *, struct source *, uint32_t events);
void daemon_unwatch(struct daemon *, struct source *);
/* => 0, or one line in why and the old configuration stays */
int daemon_reload(struct daemon *, char *why, size_t whylen);
void daemon_stop(struct daemon *);
const char *daemon_state(const struct daemon *);
/* => what a finished run's result adds to the totals */
void daemon_count(struct daemon *, const json_t *result);

/* --- notify.c: sd_notify(3) --- */

void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* => ns between two signs of life, 0: nobody asks */
uint64_t notify_watchdog(void);

/* --- live.c: what there is to see, as JSON, new references --- */

json_t *live_status(struct daemon *);
json_t *live_series(const struct daemon *);
json_t *live_runs(struct daemon *, int64_t limit);
json_t *live_failures(struct daemon *);
json_t *live_failure(struct daemon *, int64_t id);	/* NULL: there is none */
json_t *live_locks(const struct daemon *);
json_t *live_check(struct daemon *);

/* --- control.c --- */

struct control *control_open(struct daemon *, char *why, size_t whylen);
void control_tick(struct daemon *);
void control_close(struct daemon *);

/* --- http.c, metrics.c --- */

struct http *http_open(struct daemon *, char *why, size_t whylen);
void http_tick(struct daemon *);
void http_close(struct daemon *);
uint16_t http_port(const struct http *);
/* => in fresh memory */
char *metrics_text(struct daemon *);
extern const char dashboard_html[];
extern const size_t dashboard_html_size;

#endif /* DAEMON_INT_H */
