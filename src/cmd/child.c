/*
 * Waiting for a process that this program has started, with an end to the patience.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "run.h"

#define	LOOK_NS		500000

double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct child_end
child_wait(pid_t pid, int ask, double ask_s, double kill_s)
{
	const double began = now_s();
	struct child_end ce = { 0 };
	bool asked = false;
	struct rusage ru = { 0 };

	while (wait4(pid, &ce.ce_status, WNOHANG, &ru) == 0) {
		const double since = now_s() - began;

		if (!asked && (run_stopped() || since > ask_s)) {
			asked = true;
			kill(pid, ask);
		}
		if (since > kill_s)
			kill(pid, SIGKILL);
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	ce.ce_wall_s = now_s() - began;
	ce.ce_cpu_s = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	return ce;
}
