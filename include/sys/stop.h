/*
 * The machine at rest in the middle of a run.
 *
 * Somebody who wants to look at all of it asks every LWP to stop, and each does at its next
 * return to user mode, where it holds nothing.  Those that wait for work or for others anyway
 * (lwp_patient(), <sys/lwp.h>) stand already; and who is in the kernel, however long it sleeps
 * there, is waited for.  Nothing is taken from anybody, so whoever is stopped knows nothing of it.
 *
 * LWPs alone are not the machine: what devices have under way ends by interrupts, which may
 * wake those who wait for work.  So the caller lets that end (uvm_quiesce()) and asks again.
 */
#ifndef SYS_STOP_H
#define SYS_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/lwp.h>

extern bool lwp_stopping;		/* @ a hint for lwp_userret(); the truth is under its lock */

/*
 * lwp_stop: nobody but the caller goes beyond the user boundary until lwp_resume(), which
 *    follows in either case; waits for all to get there, for ns of the machine's time.
 * => one at a time; thread context, nothing held; sleeps
 * => true: every other LWP stands, every other CPU idles; false: one did not come, who has its name
 */
bool	lwp_stop(uint64_t ns, char who[static LWP_NAME_MAX]);
/* => after lwp_stop(): waits for so long again */
bool	lwp_stop_wait(uint64_t ns, char who[static LWP_NAME_MAX]);
/* => after lwp_stop(): is that still so? */
bool	lwp_stopped(void);
/* => after lwp_stop(): does this one stand?  Then it does until lwp_resume(), unless others wake it. */
bool	lwp_stands(const struct lwp *);
/* => by who stopped them: all go on */
void	lwp_resume(void);

/* => lwp_userret(): stay here while somebody else has the machine stopped; nothing held, sleeps */
void	lwp_stop_here(void);

void	kern_stop_init(void);		/* kern_boot() */
void	kern_stop_fini(void);

#endif /* SYS_STOP_H */
