/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file that the command reads when the program has ended: graph.PID.N in the directory
 * that it named, one for each image that a process has run.  It is written when the
 * library starts (so that the command knows that it did), again at each new finding (the
 * program may be killed, or hang), and at the end; each time whole, under another name first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/lockgraph.h>

#include "pre_int.h"

static char directory[512];		/* : */
static char path[600];			/* : but for fork */
static int dumping;			/* a */

struct output {
	int	 out_fd;
	bool	 out_failed;
	size_t	 out_n;
	char	 out_buf[16384];
};

static void
flush(struct output *out)
{
	for (size_t done = 0; done < out->out_n;) {
		const ssize_t n = write(out->out_fd, out->out_buf + done, out->out_n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			out->out_failed = true;
			break;
		}
		done += (size_t)n;
	}
	out->out_n = 0;
}

static void
put(void *arg, const char *s, size_t len)
{
	struct output *out = arg;

	while (len > 0) {
		const size_t n = len < sizeof(out->out_buf) - out->out_n ? len :
		    sizeof(out->out_buf) - out->out_n;

		memcpy(out->out_buf + out->out_n, s, n);
		out->out_n += n;
		s += n;
		len -= n;
		if (out->out_n == sizeof(out->out_buf))
			flush(out);
	}
}

static void
write_graph(struct output *out)
{
	const struct lockgraph_run run = {
		.lgr_name = program_invocation_short_name, .lgr_command = program_invocation_name,
	};
	struct lockgraph lg;

	pre_object_count();
	lg = *lockorder_export();
	lg.lg_runs = &run;
	lg.lg_nruns = 1;
	lockgraph_write(&lg, put, out);
	put(out, "\n", 1);
	flush(out);
}

void
pre_dump(void)
{
	static struct output out;		/* who is dumping */
	char fresh[640];

	if (path[0] == '\0')
		return;
	/* Another thread is at it: it may have missed ours, so we take our turn. */
	while (__atomic_exchange_n(&dumping, 1, __ATOMIC_ACQUIRE) != 0)
		usleep(100);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	out = (struct output){ .out_fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) };
	if (out.out_fd >= 0) {
		write_graph(&out);
		close(out.out_fd);
		if (out.out_failed || rename(fresh, path) != 0)
			unlink(fresh);
	}
	__atomic_store_n(&dumping, 0, __ATOMIC_RELEASE);
}

/* A name that no image of this process, nor an earlier process of its number, has used. */
static void
choose_path(void)
{
	for (unsigned n = 0; n < 10000; n++) {
		snprintf(path, sizeof(path), "%s/graph.%d.%u", directory, (int)getpid(), n);
		const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
			return;
		}
		if (errno != EEXIST)
			break;
	}
	path[0] = '\0';
}

void
pre_dump_init(void)
{
	const char *dir = getenv("UVMSTRESS_AUDIT_DIR");

	pre_stop = getenv("UVMSTRESS_AUDIT_STOP") != NULL;
	if (dir == NULL || strlen(dir) >= sizeof(directory))
		return;
	strcpy(directory, dir);
	choose_path();
}

void
pre_dump_fork(void)
{
	dumping = 0;
	if (directory[0] != '\0')
		choose_path();
}
