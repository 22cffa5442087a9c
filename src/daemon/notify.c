/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * sd_notify(3) by hand: one datagram to the socket that $NOTIFY_SOCKET names.  It is a
 * documented protocol of one line, and a library for it would be the only thing that ties
 * the program to systemd.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "daemon_int.h"

void
notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[1000];
	socklen_t len;
	va_list ap;
	int fd, n;

	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sun.sun_path))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strcpy(sun.sun_path, path);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		sun.sun_path[0] = '\0';		/* an abstract one */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1,
	    MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sun, len);
	close(fd);
}

uint64_t
notify_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) * 1000 / 2;
}
