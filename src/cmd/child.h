/*
 * A process that a command has started, and waits for.
 */
#ifndef CMD_CHILD_H
#define CMD_CHILD_H

#include <math.h>
#include <sys/types.h>

struct child_end {
	int ce_status;			/* as of waitpid() */
	double ce_wall_s, ce_cpu_s;	/* since the call; since it was born */
};

/*
 * => the process has ended: after the signal `ask`, sent once when this program is asked to end or after
 *    ask_s, or after SIGKILL, after kill_s (INFINITY: never)
 */
struct child_end child_wait(pid_t, int ask, double ask_s, double kill_s);

/* => seconds, monotonic */
double	now_s(void);

#endif /* CMD_CHILD_H */
