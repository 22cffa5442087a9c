/*
 * Waiting for processes that this program has started, with an end to the patience.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "run.h"

#define	LOOK_NS		500000
#define CPU_LOOK_S	0.02

double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* => what it has used of CPU, and what those of its children that are over have; 0: it is no more */
static double
cpu_of(pid_t pid)
{
	char path[64], text[1024], *after;
	uint64_t user = 0, system = 0, children_user = 0, children_system = 0;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	after = strrchr(text, ')');		/* its name may have anything in it */
	if (after == NULL || sscanf(after, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
	    " %" SCNu64 " %" SCNu64, &user, &system, &children_user, &children_system) != 4)
		return 0;
	return (double)(user + system + children_user + children_system) / (double)sysconf(_SC_CLK_TCK);
}

/* => the same, with its children that its first thread has started and that live */
static double
cpu_of_all(pid_t pid)
{
	double all = cpu_of(pid);
	char path[64];
	int child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fscanf(f, "%d", &child) == 1)
		all += cpu_of(child);
	if (f != NULL)
		fclose(f);
	return all;
}

pid_t
child_fork(void)
{
	sigset_t asks, before;
	pid_t pid;

	sigemptyset(&asks);
	sigaddset(&asks, SIGINT);
	sigaddset(&asks, SIGTERM);
	sigprocmask(SIG_BLOCK, &asks, &before);
	pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

void
child_start(struct child_proc *ch, pid_t pid)
{
	*ch = (struct child_proc){ .ch_pid = pid, .ch_began = now_s() };
}

/* => is it over the limit?  Looked at now and then only */
static bool
over_cpu(struct child_proc *ch, double since, double limit)
{
	if (isinf(limit) || since < ch->ch_look)
		return false;
	ch->ch_look = since + CPU_LOOK_S;
	return cpu_of_all(ch->ch_pid) > limit;
}

double
rusage_cpu_s(const struct rusage *ru)
{
	return (double)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) +
	    (double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec) / 1e6;
}

bool
child_ended(struct child_proc *ch, const struct child_limits *cl, struct child_end *ce)
{
	struct rusage ru = { 0 };
	double since;

	if (wait4(ch->ch_pid, &ce->ce_status, WNOHANG, &ru) != 0) {
		ce->ce_wall_s = now_s() - ch->ch_began;
		ce->ce_cpu_s = rusage_cpu_s(&ru);
		return true;
	}
	since = now_s() - ch->ch_began;
	if (!ch->ch_asked && (run_stopped() || since > cl->cl_ask_s || over_cpu(ch, since, cl->cl_ask_cpu_s))) {
		ch->ch_asked = true;
		kill(ch->ch_pid, cl->cl_ask);
	}
	if (since > cl->cl_kill_s)
		kill(ch->ch_pid, SIGKILL);
	return false;
}

void
child_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
}

struct child_end
child_wait(pid_t pid, int ask, double ask_s, double kill_s)
{
	const struct child_limits cl = {
		.cl_ask = ask, .cl_ask_s = ask_s, .cl_kill_s = kill_s, .cl_ask_cpu_s = INFINITY,
	};
	struct child_end ce = { 0 };
	struct child_proc ch;

	child_start(&ch, pid);
	while (!child_ended(&ch, &cl, &ce))
		child_pause();
	return ce;
}
