/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The control socket.
 *
 *	request		uvmstress/1 VERB [ARGUMENT]\n
 *	answer		uvmstress/1 ok LENGTH\n and that many bytes, a JSON value and its newline;
 *			uvmstress/1 error TEXT\n
 *
 * Requests of a connection are answered in order, one at a time.  What is no request is
 * answered with an error; after bytes that are no line (too long, NUL, another protocol) the
 * connection is closed, since nobody knows where the next line begins.  Who may connect, may
 * do everything: the socket's mode is the gate.
 *
 * A client costs a struct and one answer.  It is dropped when it takes too long to send a
 * line that it began, to read its answer, or to say anything at all; beyond CLIENTS_MAX the
 * next one is told so and dropped.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/option.h>
#include <harness/xalloc.h>

#include "daemon_int.h"

#define CLIENTS_MAX	32
#define IDLE_NS		(300 * NSEC_PER_SEC)	/* between two requests */

struct client {
	struct source cl_source;	/* first: the client is found by it */
	char cl_in[CONTROL_LINE_MAX];
	size_t cl_fill;
	char *cl_out;			/* NULL: nothing to be written */
	size_t cl_len, cl_sent;
	bool cl_last;			/* closed once that is written */
	uint64_t cl_since;		/* ns: of the last byte that moved forward */
};

struct control {
	struct source ct_source;
	char *ct_path;
	struct client *ct_client[CLIENTS_MAX];
};

/* --- verbs --- */

const struct control_verb control_verbs[] = {
	{ "status", NULL, "what the daemon and its workers do" },
	{ "top", NULL, "the same, drawn again every second" },
	{ "failures", NULL, "each failure once, the newest first" },
	{ "show", "N", "one failure: its report, and where it is kept" },
	{ "runs", NULL, "the last runs" },
	{ "pause", NULL, "begin no more runs; those under way end as planned" },
	{ "resume", NULL, "go on" },
	{ "check", NULL, "check now: the machines that run, the database, the kept failures" },
	{ "reload", NULL, "read the configuration again; a wrong one changes nothing" },
	{ "stop", NULL, "end runs early and cleanly, keep their results, stop" },
	{ NULL, NULL, NULL },
};

/* => a new reference, or NULL with one line in why */
static json_t *
do_show(struct daemon *d, const char *arg, char *why, size_t whylen)
{
	size_t len = strlen(arg);
	json_t *j = NULL;

	if (len > 0 && len < 19 && strspn(arg, "0123456789") == len)
		j = live_failure(d, strtoll(arg, NULL, 10));
	if (j == NULL)
		snprintf(why, whylen, "there is no failure %.40s; `failures` lists them", arg);
	return j;
}

static json_t *
do_reload(struct daemon *d, char *why, size_t whylen)
{
	return daemon_reload(d, why, whylen) == 0 ? live_status(d) : NULL;
}

static json_t *
do_pause(struct daemon *d, bool paused)
{
	d->d_paused = paused;
	return live_status(d);
}

static json_t *
do_stop(struct daemon *d)
{
	if (!d->d_stopping)
		daemon_stop(d);
	return live_status(d);
}

static json_t *
perform(struct daemon *d, const char *verb, const char *arg, char *why, size_t whylen)
{
	if (strcmp(verb, "status") == 0)
		return live_status(d);
	if (strcmp(verb, "top") == 0)
		return xcheck(json_pack("{s:o, s:o, s:o}", "status", live_status(d), "series", live_series(d),
		    "locks", live_locks(d)));
	if (strcmp(verb, "failures") == 0)
		return live_failures(d);
	if (strcmp(verb, "runs") == 0)
		return live_runs(d, 50);
	if (strcmp(verb, "show") == 0)
		return do_show(d, arg, why, whylen);
	if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0)
		return do_pause(d, verb[0] == 'p');
	if (strcmp(verb, "check") == 0)
		return live_check(d);
	if (strcmp(verb, "reload") == 0)
		return do_reload(d, why, whylen);
	return do_stop(d);
}

static const char *
verb_next(const void *ctx, size_t i)
{
	return control_verbs[i].cv_name;
}

/* --- answers --- */

static void
answer(struct client *cl, char *text, size_t len)
{
	cl->cl_out = text;
	cl->cl_len = len;
	cl->cl_sent = 0;
}

static void __attribute__((format(printf, 3, 4)))
answer_error(struct daemon *d, struct client *cl, const char *fmt, ...)
{
	char why[1300], *text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	for (char *p = why; *p != '\0'; p++)	/* it is to be one line of text, whatever was sent */
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
	d->d_control_bad++;
	text = xasprintf("%s error %s\n", CONTROL_PROTOCOL, why);
	answer(cl, text, strlen(text));
}

static void
answer_json(struct daemon *d, struct client *cl, json_t *j)
{
	char *body = xcheck(json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)));
	char *text = xasprintf("%s ok %zu\n%s\n", CONTROL_PROTOCOL, strlen(body) + 1, body);

	json_decref(j);
	free(body);
	d->d_control_ok++;
	answer(cl, text, strlen(text));
}

/* => one line, its newline cut off */
static void
take_request(struct daemon *d, struct client *cl, char *line)
{
	char *save = NULL, *protocol = strtok_r(line, " ", &save), *verb = strtok_r(NULL, " ", &save);
	char *arg = strtok_r(NULL, " ", &save), *more = strtok_r(NULL, " ", &save), why[1200];
	const struct control_verb *cv = control_verbs;
	const char *near;
	json_t *j;

	if (protocol == NULL || strcmp(protocol, CONTROL_PROTOCOL) != 0) {
		answer_error(d, cl, "this daemon speaks %s", CONTROL_PROTOCOL);
		cl->cl_last = true;
		return;
	}
	if (verb == NULL) {
		answer_error(d, cl, "no verb");
		return;
	}
	while (cv->cv_name != NULL && strcmp(cv->cv_name, verb) != 0)
		cv++;
	if (cv->cv_name == NULL) {
		near = nearest_name(verb, verb_next, NULL);
		answer_error(d, cl, "unknown verb '%.40s'%s%s%s", verb, near != NULL ? "; did you mean '" : "",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
	} else if ((arg != NULL) != (cv->cv_arg != NULL) || more != NULL) {
		answer_error(d, cl, "%s takes %s", verb, cv->cv_arg != NULL ? "one argument" : "no argument");
	} else if ((j = perform(d, verb, arg, why, sizeof(why))) != NULL) {
		answer_json(d, cl, j);
	} else {
		answer_error(d, cl, "%s", why);
	}
}

/* --- connections --- */

static void
drop(struct daemon *d, struct client *cl)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (d->d_control->ct_client[i] == cl)
			d->d_control->ct_client[i] = NULL;
	daemon_unwatch(d, &cl->cl_source);
	free(cl->cl_out);
	free(cl);
}

/* => false: the client is gone */
static bool
write_answer(struct daemon *d, struct client *cl)
{
	while (cl->cl_out != NULL) {
		ssize_t n = send(cl->cl_source.s_fd, cl->cl_out + cl->cl_sent, cl->cl_len - cl->cl_sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) {
			drop(d, cl);
			return false;
		}
		cl->cl_since = now_ns();
		cl->cl_sent += (size_t)n;
		if (cl->cl_sent < cl->cl_len)
			continue;
		free(cl->cl_out);
		cl->cl_out = NULL;
		if (cl->cl_last) {
			drop(d, cl);
			return false;
		}
	}
	(void)daemon_watch(d, &cl->cl_source, cl->cl_out != NULL ? EPOLLOUT : EPOLLIN);
	return true;
}

/* => false: the client is gone.  Answers the first line that is whole, if there is one. */
static bool
take_line(struct daemon *d, struct client *cl)
{
	char *nl = memchr(cl->cl_in, '\n', cl->cl_fill), line[CONTROL_LINE_MAX];
	size_t len;

	if (nl == NULL && cl->cl_fill < sizeof(cl->cl_in))
		return true;
	if (nl == NULL || memchr(cl->cl_in, '\0', (size_t)(nl - cl->cl_in)) != NULL) {
		answer_error(d, cl, "a request is one line of text, %d bytes at most", CONTROL_LINE_MAX);
		cl->cl_last = true;
		return write_answer(d, cl);
	}
	len = (size_t)(nl - cl->cl_in);
	memcpy(line, cl->cl_in, len);
	line[len] = '\0';
	cl->cl_fill -= len + 1;
	memmove(cl->cl_in, nl + 1, cl->cl_fill);
	take_request(d, cl, line);
	return write_answer(d, cl);
}

static void
on_client(struct daemon *d, struct source *s, uint32_t events)
{
	struct client *cl = (struct client *)s;
	size_t before;
	ssize_t n;

	if (cl->cl_out != NULL && !write_answer(d, cl))
		return;
	if (cl->cl_out != NULL)
		return;
	n = recv(s->s_fd, cl->cl_in + cl->cl_fill, sizeof(cl->cl_in) - cl->cl_fill, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		drop(d, cl);
		return;
	}
	if (n > 0 && cl->cl_fill == 0)
		cl->cl_since = now_ns();	/* a line must end soon after it began */
	if (n > 0)
		cl->cl_fill += (size_t)n;
	do {			/* lines that came together */
		before = cl->cl_fill;
		if (!take_line(d, cl))
			return;
	} while (cl->cl_out == NULL && cl->cl_fill != 0 && cl->cl_fill != before);
}

static void
on_connect(struct daemon *d, struct source *s, uint32_t events)
{
	static const char busy[] = CONTROL_PROTOCOL " error too many clients; try again later\n";
	int fd = accept4(s->s_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl;
	size_t i = 0;

	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && d->d_control->ct_client[i] != NULL)
		i++;
	if (i == CLIENTS_MAX) {
		(void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		d->d_control_bad++;
		return;
	}
	cl = xcalloc(1, sizeof(*cl));
	cl->cl_source = (struct source){ fd, on_client };
	cl->cl_since = now_ns();
	d->d_control->ct_client[i] = cl;
	if (daemon_watch(d, &cl->cl_source, EPOLLIN) != 0)
		drop(d, cl);
}

void
control_tick(struct daemon *d)
{
	const uint64_t now = now_ns();

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *cl = d->d_control->ct_client[i];
		bool busy = cl != NULL && (cl->cl_out != NULL || cl->cl_fill != 0);

		if (cl != NULL && now - cl->cl_since > (busy ? d->d_conf->dc_client_timeout : IDLE_NS))
			drop(d, cl);
	}
}

/* => 0: nobody listens there and nothing but a dead socket was in the way, which is gone */
static int
clear_path(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;
	struct stat st;

	if (fd < 0)
		return errno;
	if (lstat(sun->sun_path, &st) != 0)
		error = errno == ENOENT ? 0 : errno;
	else if (!S_ISSOCK(st.st_mode))
		error = EEXIST;
	else if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		error = EADDRINUSE;
	else if (unlink(sun->sun_path) != 0)
		error = errno;
	close(fd);
	return error;
}

struct control *
control_open(struct daemon *d, char *why, size_t whylen)
{
	const char *path = d->d_conf->dc_socket;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct control *ct;
	mode_t mask = d->d_conf->dc_socket_mode == 0 ? 0177 : 0117, old;
	int fd = -1, error;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		snprintf(why, whylen, "socket %.100s...: longer than the %zu bytes that a socket's name may "
		    "have", path, sizeof(sun.sun_path) - 1);
		return NULL;
	}
	strcpy(sun.sun_path, path);
	error = clear_path(&sun);
	if (error == 0)
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(mask);		/* it must not be open for a moment, either */
	if (error == 0 && (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 ||
	    listen(fd, 64) != 0))
		error = errno;
	umask(old);
	ct = xcalloc(1, sizeof(*ct));
	ct->ct_source = (struct source){ fd, on_connect };
	ct->ct_path = xstrdup(path);
	if (error == 0)
		error = daemon_watch(d, &ct->ct_source, EPOLLIN);
	if (error == 0)
		return ct;
	snprintf(why, whylen, "cannot listen on %s: %s", path, strerror(error));
	if (fd >= 0)
		close(fd);
	free(ct->ct_path);
	free(ct);
	return NULL;
}

void
control_close(struct daemon *d)
{
	struct control *ct = d->d_control;

	if (ct == NULL)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (ct->ct_client[i] != NULL)
			drop(d, ct->ct_client[i]);
	close(ct->ct_source.s_fd);
	unlink(ct->ct_path);
	free(ct->ct_path);
	free(ct);
	d->d_control = NULL;
}
