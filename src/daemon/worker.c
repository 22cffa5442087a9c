/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Workers: `uvmstress run` in a process of its own, one for each run.
 *
 * Nothing of a machine under test lives in the supervisor, so nothing that it does can
 * take the service down.  A worker
 *
 *	writes its progress to a pipe, a JSON object a line,
 *	writes its result to work/ID/result.json and failures to work/ID/out, each whole or not
 *	at all, and its complaints to work/ID/log,
 *	is killed by the kernel when the supervisor dies (PR_SET_PDEATHSIG), and by the next
 *	supervisor should that have come too late (work/ID/pid: process and start time).
 *
 * It has a process group of its own: what a terminal sends goes to the supervisor alone.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/result.h>
#include <harness/xalloc.h>

#include "daemon_int.h"
#include "worker_int.h"

#define END_NS		(30 * NSEC_PER_SEC)	/* from SIGTERM to SIGKILL */
#define ARGS_MAX	160

/* --- its output --- */

static void
add_progress(uint64_t *total, const json_t *was, const json_t *is, const char *key)
{
	json_int_t a = json_integer_value(json_object_get(was, key));
	json_int_t b = json_integer_value(json_object_get(is, key));

	if (b > a)
		*total += (uint64_t)(b - a);
}

static void
take_line(struct daemon *d, struct worker *w)
{
	json_t *status = json_loadb(w->w_line, w->w_fill, 0, NULL);
	const char *schema = json_string_value(json_object_get(status, "schema"));

	if (schema == NULL || strcmp(schema, "uvmstress-status/1") != 0) {
		json_decref(status);
		return;
	}
	add_progress(&d->d_operations, w->w_status, status, "operations");
	add_progress(&d->d_faults, w->w_status, status, "faults");
	add_progress(&d->d_bytes_verified, w->w_status, status, "bytes_verified");
	json_decref(w->w_status);
	w->w_status = status;
}

static void
take_bytes(struct daemon *d, struct worker *w, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			if (!w->w_skip)
				take_line(d, w);
			w->w_fill = 0;
			w->w_skip = false;
		} else if (w->w_fill == sizeof(w->w_line)) {
			w->w_skip = true;
		} else {
			w->w_line[w->w_fill++] = bytes[i];
		}
	}
}

static void
read_output(struct daemon *d, struct worker *w)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(w->w_out.s_fd, buf, sizeof(buf))) > 0)
		take_bytes(d, w, buf, (size_t)n);
	if (n == 0 || errno != EAGAIN)
		daemon_unwatch(d, &w->w_out);
}

static void
on_output(struct daemon *d, struct source *s, uint32_t events)
{
	read_output(d, (struct worker *)s);
}

/* --- its beginning --- */

/* => argv in fresh memory, its words too; ends with NULL */
static char **
arguments(const struct daemon *d, const struct worker *w, const char *dir)
{
	const struct dconfig *dc = d->d_conf;
	char **argv = xcalloc(ARGS_MAX, sizeof(*argv)), time[32];
	size_t n = 0;

	format_duration(dc->dc_run_time, time, sizeof(time));
	argv[n++] = xstrdup(d->d_options->do_program);
	argv[n++] = xstrdup("run");
	argv[n++] = xstrdup(w->w_profile);
	argv[n++] = xasprintf("--time=%s", time);
	argv[n++] = xasprintf("--schedule=%s", w->w_schedule);
	argv[n++] = xasprintf("--seed=%" PRIu64, w->w_seed);
	for (size_t i = 0; i < dc->dc_noverrides && n < ARGS_MAX - 8; i++)
		argv[n++] = xasprintf("--set=%s", dc->dc_override[i]);
	argv[n++] = xstrdup("--quiet");
	argv[n++] = xasprintf("--json=%s/result.json", dir);
	argv[n++] = xasprintf("--out=%s/out", dir);
	argv[n++] = xstrdup("--status-json=-");
	argv[n++] = xstrdup("--status-interval=1s");
	return argv;
}

static void
free_arguments(char **argv)
{
	for (size_t i = 0; argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

/*
 * In the child.  Async-signal-safe calls only would be needed if there were threads; there
 * are none, and it does with little all the same.
 */
static void __attribute__((noreturn))
become_worker(pid_t parent, char **argv, int out, int log)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)	/* it died before we asked */
		_exit(EXIT_HOST);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(log, 2) < 0)
		_exit(EXIT_HOST);
	execv("/proc/self/exe", argv);
	_exit(EXIT_HOST);
}

uint64_t
process_start_time(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long long start = 0;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')');		/* the name may hold anything */
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL || sscanf(p, " %llu", &start) != 1)
		return 0;
	return start;
}

/* Should the kernel be late: whom the next supervisor is to kill. */
static void
note_pid(const char *dir, pid_t pid)
{
	char *path = xasprintf("%s/pid", dir);
	FILE *out = fopen(path, "we");

	if (out != NULL) {
		fprintf(out, "%ld %" PRIu64 "\n", (long)pid, process_start_time(pid));
		fclose(out);
	}
	free(path);
}

static int
spawn(struct daemon *d, struct worker *w, const char *dir)
{
	char *log_path = xasprintf("%s/log", dir), **argv = arguments(d, w, dir);
	int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int pipes[2] = { -1, -1 }, error = 0;
	pid_t parent = getpid();

	if (log < 0 || pipe2(pipes, O_CLOEXEC) != 0)
		error = errno;
	if (error == 0) {
		w->w_pid = fork();
		if (w->w_pid == 0)
			become_worker(parent, argv, pipes[1], log);
		if (w->w_pid < 0)
			error = errno;
	}
	if (error == 0) {
		note_pid(dir, w->w_pid);
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
		w->w_out = (struct source){ pipes[0], on_output };
		if (daemon_watch(d, &w->w_out, EPOLLIN) != 0)
			w->w_out.s_fd = -1;
		else
			pipes[0] = -1;
	}
	for (int i = 0; i < 2; i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	if (log >= 0)
		close(log);
	free(log_path);
	free_arguments(argv);
	return error;
}

/* Profiles turn fastest, then schedules, then seeds: each pair sees every seed. */
static struct run_spec
next_run(struct daemon *d)
{
	const struct dconfig *dc = d->d_conf;
	uint64_t n = db_run_next(d->d_db), pairs = dc->dc_nprofiles * dc->dc_nschedules;

	return (struct run_spec){
		.rs_number = n,
		.rs_profile = dc->dc_profile[n % dc->dc_nprofiles],
		.rs_schedule = dc->dc_schedule[n / dc->dc_nprofiles % dc->dc_nschedules],
		.rs_seed = d->d_seed + n / pairs,
	};
}

static void
put_off(struct daemon *d, struct worker *w)
{
	uint64_t delay = NSEC_PER_SEC << (w->w_failed < 20 ? w->w_failed : 20);

	w->w_failed++;
	if (delay > d->d_conf->dc_backoff)
		delay = d->d_conf->dc_backoff;
	w->w_not_before = now_ns() + delay;
}

int
worker_start(struct daemon *d, struct worker *w)
{
	struct run_spec rs = next_run(d);
	char *dir;
	int error;

	w->w_run = db_run_begin(d->d_db, &rs);
	if (w->w_run == 0) {
		daemon_log("cannot begin a run: %s", db_error(d->d_db));
		put_off(d, w);
		return EIO;
	}
	free(w->w_profile);
	free(w->w_schedule);
	w->w_profile = xstrdup(rs.rs_profile);
	w->w_schedule = xstrdup(rs.rs_schedule);
	w->w_seed = rs.rs_seed;
	dir = xasprintf("%s/work/%jd", d->d_conf->dc_state, (intmax_t)w->w_run);
	store_remove(dir);		/* of a database that was removed */
	error = mkdir(dir, 0777) != 0 ? errno : spawn(d, w, dir);
	if (error == 0) {
		w->w_state = WORKER_RUNNING;
		w->w_overdue = false;
		w->w_started = now_ns();
		w->w_deadline = w->w_started + d->d_conf->dc_run_time + d->d_conf->dc_grace;
	} else {
		char *why = xasprintf("cannot be started: %s", strerror(error));

		daemon_log("run %jd %s", (intmax_t)w->w_run, why);
		if (store_import(d, w->w_run, "failed", why, NULL, NULL, &(bool){ false }) != 0)
			d->d_leftover++;
		free(why);
		w->w_run = 0;
		put_off(d, w);
	}
	free(dir);
	return error;
}

/* --- its end --- */

void
worker_end(struct daemon *d, struct worker *w)
{
	if (w->w_state != WORKER_RUNNING)
		return;
	kill(w->w_pid, SIGTERM);
	w->w_state = WORKER_ENDING;
	w->w_deadline = now_ns() + END_NS;
}

void
worker_kill(struct worker *w)
{
	if (w->w_state == WORKER_IDLE || w->w_state == WORKER_KILLED)
		return;
	kill(-w->w_pid, SIGKILL);
	kill(w->w_pid, SIGKILL);	/* should it not have its group yet */
	w->w_state = WORKER_KILLED;
}

/* Not before its first word: until then SIGUSR1 would end it. */
void
worker_check(const struct worker *w)
{
	if (w->w_state == WORKER_RUNNING && w->w_status != NULL)
		kill(w->w_pid, SIGUSR1);
}

void
worker_tick(struct daemon *d, struct worker *w)
{
	if (w->w_state == WORKER_IDLE || w->w_state == WORKER_KILLED || now_ns() < w->w_deadline)
		return;
	w->w_overdue = w->w_state == WORKER_RUNNING;
	daemon_log("run %jd did not end in time and is killed", (intmax_t)w->w_run);
	worker_kill(w);
}

/* => the last line of its complaints, in fresh memory */
static char *
last_words(const struct daemon *d, const struct worker *w)
{
	char *path = xasprintf("%s/work/%jd/log", d->d_conf->dc_state, (intmax_t)w->w_run);
	char line[600], last[600] = "";
	FILE *in = fopen(path, "re");

	free(path);
	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		if (line[0] != '\n')
			strcpy(last, line);
	if (in != NULL)
		fclose(in);
	last[strcspn(last, "\n")] = '\0';
	return xstrdup(last);
}

/* How it ended, should there be no result. */
struct ending {
	const char *e_state;
	char *e_message;		/* owned */
	const char *e_kind;		/* NULL: no failure of what was tested */
	char *e_rule;			/* owned, or NULL */
};

static const char *
base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static struct ending
judge(const struct daemon *d, const struct worker *w, int status)
{
	struct ending e = { .e_state = "crashed" };
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (w->w_overdue) {
		e.e_kind = "hang";
		e.e_rule = xasprintf("worker-overdue:%s", base(w->w_profile));
		e.e_message = xstrdup("did not end in time and was killed");
	} else if (sig == SIGTERM && w->w_state == WORKER_ENDING) {
		e.e_state = "lost";
		e.e_message = xstrdup("stopped before it began");
	} else if (sig == SIGKILL || sig == SIGTERM || sig == SIGINT) {	/* somebody's doing */
		e.e_message = xasprintf("killed by SIG%s", sigabbrev_np(sig));
	} else if (sig != 0) {
		e.e_kind = "crash";
		e.e_rule = xasprintf("worker-SIG%s:%s", sigabbrev_np(sig) != NULL ? sigabbrev_np(sig) : "?",
		    base(w->w_profile));
		e.e_message = xasprintf("died of SIG%s", sigabbrev_np(sig) != NULL ? sigabbrev_np(sig) : "?");
	} else {
		char *words = last_words(d, w);

		e.e_state = "failed";
		e.e_message = xasprintf("exit status %d%s%s", WEXITSTATUS(status), *words != '\0' ? ": " : "",
		    words);
		free(words);
	}
	return e;
}

void
worker_reap(struct daemon *d, struct worker *w, int status)
{
	struct ending e;
	bool found = false;

	if (w->w_out.s_fd >= 0)
		read_output(d, w);	/* what is still in the pipe */
	if (w->w_out.s_fd >= 0)
		daemon_unwatch(d, &w->w_out);
	e = judge(d, w, status);
	if (store_import(d, w->w_run, e.e_state, e.e_message, e.e_kind, e.e_rule, &found) != 0) {
		d->d_leftover++;
		daemon_log("run %jd waits to be stored: %s", (intmax_t)w->w_run, db_error(d->d_db));
	} else if (!found) {
		daemon_log("run %jd (%s, seed %" PRIu64 "): %s", (intmax_t)w->w_run, w->w_profile,
		    w->w_seed, e.e_message);
	}
	w->w_state = WORKER_IDLE;
	w->w_run = 0;
	w->w_pid = 0;
	w->w_fill = 0;
	w->w_skip = false;
	json_decref(w->w_status);
	w->w_status = NULL;
	if (found || d->d_stopping) {
		w->w_failed = 0;
		w->w_not_before = 0;
	} else {
		d->d_restarts++;
		put_off(d, w);
	}
	free(e.e_message);
	free(e.e_rule);
}

void
worker_free(struct worker *w)
{
	free(w->w_profile);
	free(w->w_schedule);
	json_decref(w->w_status);
	free(w);
}
