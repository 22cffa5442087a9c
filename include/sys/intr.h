/*
 * Interrupt priority levels, interrupts, soft interrupts and cross calls.
 *
 * The IPL is an integer of the CPU.  An interrupt posted to a CPU is a bit in
 * its pending word; it is delivered on whichever LWP holds that CPU, as soon
 * as its level is above the CPU's IPL: at spl lowering, lock release, spin
 * loops, user memory accesses, sleeps and idle ("poll").
 *
 * With kc_signals the poster also rings the doorbell of the LWP's thread (host/host.h),
 * and it is delivered there at any instruction ("signal") but for two kinds: those that
 * the IPL masks, which is the lazy masking of old machines (the handler looks, leaves
 * it pending, and splx() delivers), and those in a masked section of the host's.  The second
 * kind is short and closed: raw locks, the switch between LWPs, an LWP's list of held
 * locks, RCU's and the unwinder's insides, and the simulated instruction that loads or
 * stores (softmmu.c), from its translation to its access.
 */
#ifndef SYS_INTR_H
#define SYS_INTR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ipl {
	IPL_NONE, IPL_SOFTCLOCK, IPL_SOFTBIO, IPL_SOFTNET, IPL_SOFTSERIAL,
	IPL_VM, IPL_SCHED, IPL_HIGH
} ipl_t;

/* Hardware interrupt lines of the simulated machine; bit numbers of ci_ipending. */
enum irq {
	IRQ_IPI,			/* IPL_HIGH would block shootdowns: see pmap_tlb.c; IPL_SCHED */
	IRQ_CLOCK,			/* IPL_SCHED */
	IRQ_DISK,			/* IPL_VM */
	IRQ_NET,			/* IPL_VM */
	IRQ_DEVICE,			/* IPL_VM */
	IRQ_XCALL,			/* IPL_VM */
	IRQ_SOFT,			/* soft interrupts waiting; level by handler */
	IRQ_COUNT
};

struct cpu_info;
struct softint;

int	splraise(ipl_t);		/* => the old level; never lowers */
void	splx(int);			/* => back to a saved level; delivers what was pending */
#define	splvm()		splraise(IPL_VM)
#define	splhigh()	splraise(IPL_HIGH)

/* => handler runs at ipl on the CPU that the interrupt was posted to. Boot time only. */
void	intr_establish(enum irq, ipl_t, void (*handler)(void *), void *arg);
/* => any thread, any context: mark pending, wake the CPU if it idles. */
void	intr_post(struct cpu_info *, enum irq);
/* intr_poll() and cpu_intr_p() are in <sys/cpu.h>, included below. */

/* => thread context; one of IPL_SOFT...; a panic if the host has no memory */
struct softint *softint_establish(ipl_t, void (*)(void *), void *arg);
/* => thread context; it is pending on no CPU, and nobody schedules it any more; frees it */
void	softint_disestablish(struct softint *);
/* => any context that stays on its CPU; runs there, once however often asked, as soon as the IPL allows */
void	softint_schedule(struct softint *);

/* => runs fn(arg) at IPL_VM on every CPU, this one too; returns when all are done.
 *    No spin lock held, not from interrupt. */
void	xc_broadcast(void (*fn)(void *), void *arg);

#include <sys/cpu.h>

#endif /* SYS_INTR_H */
