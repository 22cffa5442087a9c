/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Recording a real program.
 *
 * valgrind's lackey tool prints a line for each memory reference of the client and
 * of all its children, some hundred million of them for a compiler run.  All
 * processes write to one Unix stream socket that passes credentials: the kernel
 * then says which process wrote each chunk, never mixes two writers in one receive,
 * and keeps the order in which they wrote, over fork and exec.  A pipe would be
 * faster and could not tell the processes apart; a log file per process would be
 * gigabytes, be cut by each exec, and lose the order between processes.
 *
 * The socket's small buffer also holds a new image close to its start, so that its
 * /proc/PID/maps is still the layout that the kernel made when we come to read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "tr_lackey.h"

#define PROGRESS_S	3.0
#define QUIET_S		2.0	/* silence after the command's end: leftover children are cut off */
#define CHUNK		(256u * 1024)
#define SOCKET_ROOM	(1 << 20)
#define BATCH		4096u	/* bytes; with less, wait a little for more */
#define BATCH_US	300

/* One recording.  Its caller owns all fields. */
struct recording {
	struct lackey *rc_lk;
	int rc_sock;
	pid_t rc_pid;
	int rc_status;			/* of wait */
	bool rc_ended;
	double rc_start, rc_heard, rc_told;
	bool rc_any;
};

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Where a command is, as execvp would find it; false: nowhere. */
static bool
command_exists(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char *full;
	bool found;

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0;
	for (; path != NULL && *path != '\0'; path = *end == '\0' ? end : end + 1) {
		end = strchrnul(path, ':');
		full = xasprintf("%.*s/%s", (int)(end - path), path, name);
		found = access(full, X_OK) == 0;
		free(full);
		if (found)
			return true;
	}
	return false;
}

static char *
host_maps(void *arg, int pid)
{
	char *path = xasprintf("/proc/%d/maps", pid), *buf = NULL;
	size_t len = 0;
	FILE *f = fopen(path, "r");

	(void)arg;
	free(path);
	if (f == NULL)
		return NULL;
	if (getdelim(&buf, &len, '\0', f) < 0) {
		free(buf);
		buf = NULL;
	}
	fclose(f);
	return buf;
}

static bool
host_size(void *arg, const char *path, uint64_t *sizep)
{
	struct stat st;

	(void)arg;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	*sizep = (uint64_t)st.st_size;
	return true;
}

static void __attribute__((noreturn))
run_child(int sock, char *const argv[])
{
	size_t n, i, k = 0;
	const char **args;

	for (n = 0; argv[n] != NULL; n++)
		;
	args = xcalloc(n + 16, sizeof(*args));
	args[k++] = "valgrind";
	args[k++] = "--tool=lackey";
	args[k++] = "--trace-mem=yes";
	args[k++] = "--trace-syscalls=yes";
	args[k++] = "--trace-sched=yes";
	args[k++] = "--trace-children=yes";
	args[k++] = "--vgdb=no";
	args[k++] = xasprintf("--log-fd=%d", sock);
	for (i = 0; i < n; i++)
		args[k++] = argv[i];
	execvp(args[0], (char *const *)(uintptr_t)args);
	_exit(126);
}

static bool
start(struct recording *rc, char *const argv[])
{
	int sv[2], one = 1, room = SOCKET_ROOM;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return false;
	if (setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) != 0 ||
	    fcntl(sv[1], F_SETFD, 0) != 0 || (rc->rc_pid = fork()) < 0) {
		close(sv[0]);
		close(sv[1]);
		return false;
	}
	/* As much as the system allows; with less it only takes longer. */
	(void)setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (rc->rc_pid == 0)
		run_child(sv[1], argv);
	close(sv[1]);
	rc->rc_sock = sv[0];
	return true;
}

static void
progress(struct recording *rc, double now)
{
	if (now - rc->rc_told < PROGRESS_S)
		return;
	rc->rc_told = now;
	fprintf(stderr, "recording: %.0f s, %.1f M references, %" PRIu64 " kept, %u process%s\n",
	    now - rc->rc_start, (double)rc->rc_lk->lk_seen / 1e6, rc->rc_lk->lk_kept,
	    rc->rc_lk->lk_nproc + 1, rc->rc_lk->lk_nproc == 0 ? "" : "es");
}

/* One chunk of one process.  False: the log has ended. */
static bool
receive(struct recording *rc, char *buf)
{
	union {
		char space[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, CHUNK };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *cm;
	struct ucred who;
	ssize_t n = recvmsg(rc->rc_sock, &msg, MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	cm = CMSG_FIRSTHDR(&msg);
	if (cm == NULL || cm->cmsg_type != SCM_CREDENTIALS)
		return true;
	memcpy(&who, CMSG_DATA(cm), sizeof(who));
	rc->rc_any = true;
	lackey_feed(rc->rc_lk, who.pid, buf, (size_t)n);
	/* Lines are 15 bytes: to be woken for each costs more than all else together. */
	if ((size_t)n < BATCH)
		usleep(BATCH_US);
	return true;
}

static void
listen_to(struct recording *rc)
{
	char *buf = xcalloc(1, CHUNK);
	struct pollfd pf = { .fd = rc->rc_sock, .events = POLLIN };
	double now;

	for (;;) {
		int n = poll(&pf, 1, 200);

		now = now_s();
		progress(rc, now);
		if (n > 0) {
			rc->rc_heard = now;
			if (!receive(rc, buf))
				break;
			continue;
		}
		if (!rc->rc_ended && waitpid(rc->rc_pid, &rc->rc_status, WNOHANG) == rc->rc_pid)
			rc->rc_ended = true;
		if (rc->rc_ended && now - rc->rc_heard > QUIET_S)
			break;
	}
	free(buf);
	close(rc->rc_sock);
	while (!rc->rc_ended)
		rc->rc_ended = waitpid(rc->rc_pid, &rc->rc_status, 0) == rc->rc_pid || errno != EINTR;
}

static bool
record_run(struct recording *rc, struct trace_writer *w, char *const argv[])
{
	const struct lackey_host host = { NULL, host_maps, host_size };

	rc->rc_lk = lackey_create(w, &host);
	rc->rc_start = rc->rc_told = rc->rc_heard = now_s();
	if (start(rc, argv))
		listen_to(rc);
	lackey_destroy(rc->rc_lk);
	return rc->rc_any;
}

int
trace_record(const char *outfile, char *const argv[], bool *hostp, struct trace_error *te)
{
	struct recording rc = { 0 };
	struct trace_writer *w;
	int error;

	*hostp = false;
	if (argv[0] == NULL || !command_exists(argv[0])) {
		snprintf(te->msg, sizeof(te->msg), "%.120s: no such command to record; check its name or PATH",
		    argv[0] == NULL ? "" : argv[0]);
		return -1;
	}
	if (!command_exists("valgrind")) {
		*hostp = true;
		snprintf(te->msg, sizeof(te->msg),
		    "valgrind is needed to record and is not installed; try `apt-get install valgrind`");
		return -1;
	}
	w = trace_writer_create(argv[0]);
	if (!record_run(&rc, w, argv)) {
		*hostp = true;
		snprintf(te->msg, sizeof(te->msg),
		    "valgrind could not run %.120s; try `valgrind --tool=lackey` on it", argv[0]);
		error = ECHILD;
	} else {
		error = trace_writer_finish(w, outfile, te);
	}
	trace_writer_destroy(w);
	if (error != 0)
		return -1;
	return WIFSIGNALED(rc.rc_status) ? 128 + WTERMSIG(rc.rc_status) : WEXITSTATUS(rc.rc_status);
}
