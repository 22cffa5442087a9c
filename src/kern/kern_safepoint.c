/*
 * Safe points: with -Dsafepoints=true the compiler has every basic block of the machine
 * and of UVM call here, so an interrupt that is pending comes in at any of them, with
 * interrupts by polling too, and on one CPU always at the same ones.
 *
 * What must not be interrupted is masked, as for interrupts by signal (host/host.h).
 */
#include "kern_int.h"

void	__sanitizer_cov_trace_pc(void);		/* the compiler's name for it */

void
__sanitizer_cov_trace_pc(void)
{
	if (curlwp != NULL && !host_masked())
		intr_poll();
}
