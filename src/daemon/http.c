/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The web server: metrics, page and what the page asks for.  It reads and never changes
 * anything: GET and HEAD of the paths below, all else is refused.
 *
 * A page elsewhere on the net could have a browser on this host fetch from here (DNS
 * rebinding): so the Host header must name this host by address or as localhost.
 *
 * libmicrohttpd does HTTP, in our thread: its epoll descriptor is one of our sources.  It
 * bounds connections, their memory and their silence; a client that sends a byte now and
 * then is cut off by ourselves after SILENCES times the client-timeout.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <microhttpd.h>

#include <harness/xalloc.h>

#include "daemon_int.h"

#define CONNECTIONS_MAX	64
#define SILENCES	3			/* client-timeouts from accept to the last byte */
#define HEADERS_MAX	16384			/* bytes of memory a connection */

struct connection {
	int cn_fd;			/* -1: free */
	uint64_t cn_since;		/* ns */
};

struct http {
	struct source h_source;		/* not ours to close */
	struct MHD_Daemon *h_mhd;
	struct connection h_connection[CONNECTIONS_MAX];
	uint16_t h_port;
};

/* --- what there is --- */

static int64_t
argument(struct MHD_Connection *c, const char *name, int64_t otherwise, int64_t max)
{
	const char *s = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
	size_t len = s != NULL ? strlen(s) : 0;
	int64_t n;

	if (len == 0 || len > 18 || strspn(s, "0123456789") != len)
		return otherwise;
	n = strtoll(s, NULL, 10);
	return n > max ? max : n;
}

static json_t *
get_status(struct daemon *d, struct MHD_Connection *c)
{
	return live_status(d);
}

static json_t *
get_series(struct daemon *d, struct MHD_Connection *c)
{
	return live_series(d);
}

static json_t *
get_runs(struct daemon *d, struct MHD_Connection *c)
{
	return live_runs(d, argument(c, "limit", 100, 1000));
}

static json_t *
get_failures(struct daemon *d, struct MHD_Connection *c)
{
	return live_failures(d);
}

static json_t *
get_failure(struct daemon *d, struct MHD_Connection *c)
{
	return live_failure(d, argument(c, "id", 0, INT64_MAX));
}

static json_t *
get_locks(struct daemon *d, struct MHD_Connection *c)
{
	return live_locks(d);
}

static const struct {
	const char *api_path;
	json_t *(*api_get)(struct daemon *, struct MHD_Connection *);
} apis[] = {
	{ "/api/status", get_status },
	{ "/api/series", get_series },
	{ "/api/runs", get_runs },
	{ "/api/failures", get_failures },
	{ "/api/failure", get_failure },
	{ "/api/locks", get_locks },
};

/* --- answers --- */

static enum MHD_Result
respond(struct daemon *d, struct MHD_Connection *c, unsigned status, const char *type,
    struct MHD_Response *r)
{
	enum MHD_Result ok;

	if (r == NULL)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "Connection", "close");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Frame-Options", "DENY");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, "Content-Security-Policy", "default-src 'none'; connect-src 'self'; "
	    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
	    "form-action 'none'");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD");
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	if (status < 400)
		d->d_http_ok++;
	else
		d->d_http_bad++;
	return ok;
}

static enum MHD_Result
refuse(struct daemon *d, struct MHD_Connection *c, unsigned status, const char *text)
{
	return respond(d, c, status, "text/plain; charset=utf-8",
	    MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result
give(struct daemon *d, struct MHD_Connection *c, const char *type, char *text)
{
	return respond(d, c, MHD_HTTP_OK, type,
	    MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

/* NAME, NAME:PORT, [V6]:PORT: is it us? */
static bool
host_is_ours(const struct daemon *d, const char *host)
{
	const char *const names[] = { "localhost", "127.0.0.1", "[::1]", d->d_conf->dc_http_host };
	char v6[72];

	if (host == NULL)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = names[i];
		size_t len;

		if (strchr(name, ':') != NULL && name[0] != '[') {
			snprintf(v6, sizeof(v6), "[%s]", name);
			name = v6;
		}
		len = strlen(name);
		if (strncasecmp(host, name, len) == 0 && (host[len] == '\0' ||
		    (host[len] == ':' && strspn(host + len + 1, "0123456789") == strlen(host + len + 1))))
			return true;
	}
	return false;
}

static enum MHD_Result
get(struct daemon *d, struct MHD_Connection *c, const char *url)
{
	if (strcmp(url, "/") == 0)
		return respond(d, c, MHD_HTTP_OK, "text/html; charset=utf-8",
		    MHD_create_response_from_buffer(dashboard_html_size,
		    (void *)(uintptr_t)dashboard_html, MHD_RESPMEM_PERSISTENT));
	if (strcmp(url, "/metrics") == 0)
		return give(d, c, "text/plain; version=0.0.4; charset=utf-8", metrics_text(d));
	for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++) {
		json_t *j;
		char *text;

		if (strcmp(url, apis[i].api_path) != 0)
			continue;
		j = apis[i].api_get(d, c);
		if (j == NULL)
			break;
		text = xcheck(json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)));
		json_decref(j);
		return give(d, c, "application/json", text);
	}
	return refuse(d, c, MHD_HTTP_NOT_FOUND, "there is nothing of that name here\n");
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *data, size_t *size, void **seen)
{
	struct daemon *d = arg;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return refuse(d, c, MHD_HTTP_METHOD_NOT_ALLOWED, "this server is for reading: GET and HEAD\n");
	if (!host_is_ours(d, MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host")))
		return refuse(d, c, MHD_HTTP_FORBIDDEN, "the Host header names another host\n");
	if (*seen == NULL) {		/* headers only, so far */
		*seen = d;
		return MHD_YES;
	}
	if (*size != 0) {
		*size = 0;		/* a body has no meaning here */
		return MHD_YES;
	}
	return get(d, c, url);
}

/* --- connections --- */

static void
on_connection(void *arg, struct MHD_Connection *c, void **socket,
    enum MHD_ConnectionNotificationCode what)
{
	struct http *h = arg;
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *cn = *socket;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (cn != NULL)
			cn->cn_fd = -1;
		return;
	}
	for (size_t i = 0; ci != NULL && i < CONNECTIONS_MAX; i++)
		if (h->h_connection[i].cn_fd < 0) {
			h->h_connection[i] = (struct connection){ ci->connect_fd, now_ns() };
			*socket = &h->h_connection[i];
			return;
		}
}

static void
on_epoll(struct daemon *d, struct source *s, uint32_t events)
{
	MHD_run(d->d_http->h_mhd);
}

void
http_tick(struct daemon *d)
{
	const uint64_t now = now_ns();
	struct http *h = d->d_http;

	if (h == NULL)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *cn = &h->h_connection[i];

		if (cn->cn_fd >= 0 && now - cn->cn_since > SILENCES * d->d_conf->dc_client_timeout)
			shutdown(cn->cn_fd, SHUT_RDWR);
	}
	MHD_run(h->h_mhd);		/* its own time-outs */
}

static socklen_t
address(const struct dconfig *dc, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET6, dc->dc_http_host, &sin6->sin6_addr) == 1) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(dc->dc_http_port);
		return sizeof(*sin6);
	}
	inet_pton(AF_INET, dc->dc_http_host, &sin->sin_addr);
	sin->sin_family = AF_INET;
	sin->sin_port = htons(dc->dc_http_port);
	return sizeof(*sin);
}

struct http *
http_open(struct daemon *d, char *why, size_t whylen)
{
	struct http *h = xcalloc(1, sizeof(*h));
	struct sockaddr_storage ss;
	socklen_t len = address(d->d_conf, &ss);
	const union MHD_DaemonInfo *info = NULL;
	unsigned flags = MHD_USE_EPOLL | (ss.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		h->h_connection[i].cn_fd = -1;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) != 0 || listen(fd, 128) != 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
		snprintf(why, whylen, "cannot listen on %s: %s", d->d_conf->dc_http, strerror(errno));
		if (fd >= 0)
			close(fd);
		free(h);
		return NULL;
	}
	h->h_port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port :
	    ((struct sockaddr_in *)&ss)->sin_port);
	h->h_mhd = MHD_start_daemon(flags, 0, NULL, NULL, on_request, d,
	    MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(d->d_conf->dc_client_timeout / NSEC_PER_SEC),
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	    MHD_OPTION_END);
	if (h->h_mhd != NULL)
		info = MHD_get_daemon_info(h->h_mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info != NULL)
		h->h_source = (struct source){ info->epoll_fd, on_epoll };
	if (info != NULL && daemon_watch(d, &h->h_source, EPOLLIN) == 0)
		return h;
	snprintf(why, whylen, "cannot serve %s", d->d_conf->dc_http);
	if (h->h_mhd != NULL)
		MHD_stop_daemon(h->h_mhd);
	else
		close(fd);
	free(h);
	return NULL;
}

void
http_close(struct daemon *d)
{
	if (d->d_http == NULL)
		return;
	MHD_stop_daemon(d->d_http->h_mhd);
	free(d->d_http);
	d->d_http = NULL;
}

uint16_t
http_port(const struct http *h)
{
	return h->h_port;
}
