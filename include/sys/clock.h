/*
 * The clock of each CPU.
 *
 * A CPU counts its own steps: its LWP returns to user mode, or its IPL is lowered.  After
 * kc_clock of them IRQ_CLOCK is posted to it, by itself, so it comes in somewhere inside
 * the kernel's paths as well as between operations; on one CPU always at the same places.
 * An idle CPU makes no steps and has no ticks; what it must know of it hears from the
 * chip (kern_timer.c).
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <sys/cpu.h>

/*
 * => fn runs with each clock interrupt, at IPL_SCHED, on the CPU that takes it; in the order
 *    in which the hooks were given.  Boot time only, as intr_establish(); shutdown forgets it.
 */
void	clock_hook(void (*fn)(struct cpu_info *));

#endif /* SYS_CLOCK_H */
