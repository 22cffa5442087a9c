/*
 * The watchdog: a thread beside the machine that notices when an LWP has hung.
 */
#ifndef HARNESS_WATCHDOG_H
#define HARNESS_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * watchdog_start: from here on an LWP that gives no sign of life (lwp_beat(), <sys/lwp.h>) for
 * so long ends the run: with the chain of who waits for whom, all stacks, all locks and busy pages.
 *    So does one that waits patiently, when load_is_over() says that the load ends, and nobody works.
 * => limit in ns, not 0; load_is_over may be NULL, takes no lock and may be called by any thread;
 *    the machine is up; 0, or the host's errno: no thread
 * watchdog_stop: => the machine is still up.  It may go down now, and has some times the limit for it;
 *    meanwhile only that is told that all sleep, and one is waited for.
 * watchdog_end: => the machine is down.
 */
int	watchdog_start(uint64_t limit, bool (*load_is_over)(void));
void	watchdog_stop(void);
void	watchdog_end(void);

/*
 * watchdog_deadlock: nobody can run, and no time-out is pending: who waits for whom is told as
 *    a hang.  Of a controlled schedule; does not return, but if no LWP waits.
 */
void	watchdog_deadlock(void);

#endif /* HARNESS_WATCHDOG_H */
