/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Running a program with the lock auditor preloaded (src/preload).
 *
 * Every process that the program starts writes its lock graph into one directory, which
 * is read, and removed, when the program has ended: of each process that was killed, what
 * it had found until then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "preload.h"
#include "uvmstress_config.h"

#define GRAPH_MAX (INT64_C(256) << 20)

static volatile sig_atomic_t child;	/* for pass_on(); 0: none */
static volatile sig_atomic_t asked;	/* we were told to end */

static void
pass_on(int sig)
{
	asked = 1;
	if (child > 0)
		kill((pid_t)child, sig);
}

const char *
preload_find(const char *in_build, const char *in_prefix)
{
	static char path[4200];
	char exe[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *const tries[] = { "../", "../../", UVMSTRESS_PREFIX "/" };

	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash != NULL)
		slash[1] = '\0';
	snprintf(path, sizeof(path), "%s../../%s", exe, in_build);
	if (access(path, R_OK) == 0)
		return realpath(path, NULL);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		snprintf(path, sizeof(path), "%s%s%s", tries[i][0] == '/' ? "" : exe, tries[i], in_prefix);
		if (access(path, R_OK) == 0)
			return realpath(path, NULL);
	}
	cmd_fail(EXIT_HOST, "cannot find %s: it is neither beside this program nor in %s",
	    strrchr(in_build, '/') + 1, UVMSTRESS_PREFIX);
	return NULL;
}

/* --- what it has found so far --- */

static struct lockgraph *read_file(const char *path);

/* Graphs that processes write while they run.  Of preload_run()'s caller. */
struct watch {
	int	 wa_fd;			/* inotify; -1: nobody wants to know */
	const char *wa_dir;
	void	 (*wa_news)(void *, struct lockgraph *);
	void	*wa_arg;
};

static void
watch_file(const struct watch *wa, const char *name)
{
	char *path = xasprintf("%s/%s", wa->wa_dir, name);
	struct lockgraph *lg = read_file(path);

	if (lg != NULL) {
		wa->wa_news(wa->wa_arg, lg);
		lockgraph_free(lg);
	}
	free(path);
}

/* A process renames what it has written to its name: so whoever reads finds all of it. */
static void
watch_read(const struct watch *wa)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *ev = NULL, *next;
	ssize_t n = read(wa->wa_fd, buf, sizeof(buf));

	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*ev) + ev->len)) {
		ev = (const struct inotify_event *)(const void *)(buf + at);
		next = (const struct inotify_event *)(const void *)(ev->name + ev->len);
		/* one that was written several times since is read once */
		if (ev->len != 0 && ((const char *)next >= buf + n || next->len != ev->len ||
		    strcmp(next->name, ev->name) != 0))
			watch_file(wa, ev->name);
	}
}

/* => when the program has ended, or cannot be watched: what it found is told at the end, too */
static void
watch_program(const struct watch *wa, pid_t pid)
{
	struct pollfd fds[2] = { { .fd = wa->wa_fd, .events = POLLIN }, { .events = POLLIN } };

	if (wa->wa_fd < 0 || (fds[1].fd = pidfd_open(pid, 0)) < 0)
		return;
	while (poll(fds, 2, -1) < 0 ? errno == EINTR : fds[1].revents == 0) {
		if ((fds[0].revents & POLLIN) != 0)
			watch_read(wa);
		fds[0].revents = 0;
	}
	close(fds[1].fd);
}

/* --- the program --- */

static void __attribute__((noreturn))
be_program(char *const argv[], const char *library, const char *dir, unsigned flags, int told)
{
	const char *before = getenv("LD_PRELOAD");
	char *list = before != NULL && *before != '\0' ? xasprintf("%s:%s", library, before) :
	    xstrdup(library);
	int error, null;

	setenv("LD_PRELOAD", list, 1);
	setenv("UVMSTRESS_AUDIT_DIR", dir, 1);
	if ((flags & PRELOAD_STOP) != 0)
		setenv("UVMSTRESS_AUDIT_STOP", "1", 1);
	else
		unsetenv("UVMSTRESS_AUDIT_STOP");
	if ((flags & PRELOAD_SILENT) != 0 && (null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	execvp(argv[0], argv);
	error = errno;
	(void)!write(told, &error, sizeof(error));
	_exit(127);
}

/* => 0 and its status, or the errno of what failed; *exec: it was not to be started */
static int
run_program(char *const argv[], const char *library, const struct watch *wa, unsigned flags,
    int *status, bool *exec)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, forward = { .sa_handler = pass_on },
	    old_int, old_quit, old_term;
	sigset_t later, before;
	int fd[2], error = 0;
	pid_t pid;

	*exec = false;
	if (pipe2(fd, O_CLOEXEC) != 0)
		return errno;
	fflush(NULL);
	sigemptyset(&later);		/* whoever is asked to end while nobody passes it on */
	sigaddset(&later, SIGTERM);
	sigprocmask(SIG_BLOCK, &later, &before);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		be_program(argv, library, wa->wa_dir, flags, fd[1]);
	}
	error = pid < 0 ? errno : 0;
	close(fd[1]);
	child = pid;
	sigaction(SIGINT, &ignore, &old_int);
	sigaction(SIGQUIT, &ignore, &old_quit);
	sigaction(SIGTERM, &forward, &old_term);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (error == 0) {
		*exec = read(fd[0], &error, sizeof(error)) == sizeof(error);
		watch_program(wa, pid);
		while (waitpid(pid, status, 0) < 0 && errno == EINTR)
			;
	}
	child = 0;
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	/* Who ends a process group asks us twice; there is only the report to come. */
	if (!asked)
		sigaction(SIGTERM, &old_term, NULL);
	close(fd[0]);
	return error;
}

/* --- what it left --- */

static struct lockgraph *
read_file(const char *path)
{
	struct lockgraph *lg = NULL;
	FILE *in = fopen(path, "re");
	char why[600], *bytes;
	struct stat st;

	if (in != NULL && fstat(fileno(in), &st) == 0 && st.st_size <= GRAPH_MAX) {
		bytes = xcalloc((size_t)st.st_size + 1, 1);
		lg = lockgraph_read(bytes, fread(bytes, 1, (size_t)st.st_size, in), path, why,
		    sizeof(why));
		if (lg == NULL && st.st_size != 0)
			cmd_fail(EXIT_HOST, "%s", why);
		free(bytes);
	}
	if (in != NULL)
		fclose(in);
	return lg;
}

/* An empty file: a process that took no lock, or was killed before it found anything. */
static void
take_file(struct preloaded *pl, const char *path)
{
	struct lockgraph *lg;

	pl->pl_processes++;
	lg = read_file(path);
	if (lg == NULL)
		return;
	if (lg->lg_nclasses == 0) {
		lockgraph_free(lg);
		return;
	}
	pl->pl_graphs = xgrow(pl->pl_graphs, pl->pl_ngraphs, sizeof(*pl->pl_graphs));
	pl->pl_graphs[pl->pl_ngraphs++] = lg;
}

static int
by_number(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

/* In the order of their numbers; what is half written is only removed. */
static void
take_files(struct preloaded *pl, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, by_number);

	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", dir, names[i]->d_name);
		const size_t len = strlen(names[i]->d_name);

		if (strncmp(names[i]->d_name, "graph.", 6) == 0) {
			if (len < 4 || strcmp(names[i]->d_name + len - 4, ".new") != 0)
				take_file(pl, path);
			unlink(path);
		}
		free(path);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

int
preload_run(char *const argv[], unsigned flags, void (*news)(void *, struct lockgraph *), void *arg,
    struct preloaded *pl)
{
	const char *library = preload_find("src/preload/libuvmstress-audit.so",
	    UVMSTRESS_LIBDIR "/libuvmstress-audit.so");
	const char *tmp = getenv("TMPDIR");
	struct watch wa = { .wa_fd = -1, .wa_news = news, .wa_arg = arg };
	char *dir;
	bool exec;
	int error;

	*pl = (struct preloaded){ .pl_status = 0 };
	if (library == NULL)
		return EXIT_HOST;
	dir = xasprintf("%s/uvmstress-audit.XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL) {
		error = cmd_fail(EXIT_HOST, "cannot make %s: %s", dir, strerror(errno));
		free(dir);
		free((char *)(uintptr_t)library);
		return error;
	}
	wa.wa_dir = dir;
	if (news != NULL)
		wa.wa_fd = inotify_init1(IN_CLOEXEC);
	if (wa.wa_fd >= 0)
		(void)inotify_add_watch(wa.wa_fd, dir, IN_MOVED_TO);
	error = run_program(argv, library, &wa, flags, &pl->pl_status, &exec);
	if (wa.wa_fd >= 0)
		close(wa.wa_fd);
	take_files(pl, dir);
	rmdir(dir);
	free(dir);
	free((char *)(uintptr_t)library);
	if (error != 0)
		return cmd_fail(exec ? EXIT_USAGE : EXIT_HOST, "cannot run %s: %s", argv[0],
		    strerror(error));
	return 0;
}

void
preload_fini(struct preloaded *pl)
{
	for (size_t i = 0; i < pl->pl_ngraphs; i++)
		lockgraph_free(pl->pl_graphs[i]);
	free(pl->pl_graphs);
}
