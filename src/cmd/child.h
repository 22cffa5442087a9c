/*
 * A process that a command has started, and waits for.
 */
#ifndef CMD_CHILD_H
#define CMD_CHILD_H

#include <math.h>
#include <stdbool.h>
#include <sys/types.h>

struct child_end {
	int ce_status;			/* as of waitpid() */
	double ce_wall_s, ce_cpu_s;	/* since child_start(); since it was born, with its own children */
};

/* When it is asked to end, and when it is killed; INFINITY: never.  All const. */
struct child_limits {
	int cl_ask;			/* the signal that asks, sent once; also when this program is asked to end */
	double cl_ask_s, cl_kill_s;	/* since child_start() */
	double cl_ask_cpu_s;		/* of all its threads, and of its children */
};

/* The owner's. */
struct child_proc {
	pid_t ch_pid;
	double ch_began;
	double ch_look;			/* when its CPU time is looked at next */
	bool ch_asked;
};

/* fork(), and a signal that asks the child to end does so from the start: it has no handlers of ours */
pid_t	child_fork(void);
/* => pid is a child of this process that nobody else waits for */
void	child_start(struct child_proc *, pid_t);
/* child_ended: asks and kills as the limits say, and does not wait.  => has it ended? then it is no more */
bool	child_ended(struct child_proc *, const struct child_limits *, struct child_end *);
/* Between two looks at whether some children have ended. */
void	child_pause(void);

/*
 * => the process has ended: after the signal `ask`, sent once when this program is asked to end or after
 *    ask_s, or after SIGKILL, after kill_s (INFINITY: never)
 */
struct child_end child_wait(pid_t, int ask, double ask_s, double kill_s);

/* => seconds, monotonic */
double	now_s(void);

struct rusage;
/* => user and system time together */
double	rusage_cpu_s(const struct rusage *);

#endif /* CMD_CHILD_H */
