/*
 * The software MMU: how simulated user code reaches memory.
 *
 * A virtual address is looked up in this CPU's TLB; on a miss the page table
 * of the active pmap is walked (and R/M set by an atomic operation, S7); when
 * that has no answer either, the trap goes to the VM floor.  A TLB entry keeps
 * working until it is invalidated, whatever the page table says (D2); but each
 * hit compares the frame's generation, so a translation to a freed page is
 * reported at once (I-PMAP-6).
 *
 * One access is one instruction: no interrupt is taken between its look-up
 * and its load or store.  Data are moved in aligned 64-bit words with relaxed
 * atomics, for other CPUs may touch the same word.
 *
 * All functions: current LWP has l_pmap; no lock held but a vnode's; may sleep (the fault may); return 0 or the errno of the fault (EFAULT, EACCES, EINVAL, EIO, ENOMEM).
 */
#ifndef MACHINE_SOFTMMU_H
#define MACHINE_SOFTMMU_H

#include <machine/pmap.h>

int	user_load(vaddr_t, uint64_t *);			/* 8-byte aligned */
int	user_store(vaddr_t, uint64_t);			/* 8-byte aligned */
/* => atomic compare and swap; *seen = value found. */
int	user_cas(vaddr_t, uint64_t expect, uint64_t desired, uint64_t *seen);
int	user_fetch(vaddr_t);				/* instruction fetch: needs X */

/* Kernel access to a mapped kernel address, through the kernel pmap.  Locks may be
 * held as far as the fault that may follow allows it (R33). */
int	kern_load(vaddr_t, uint64_t *);
int	kern_store(vaddr_t, uint64_t);
/* The same for bytes; *donep of them were moved, also on error. */
int	kern_read(vaddr_t, void *, size_t, size_t *donep);
int	kern_write(vaddr_t, const void *, size_t, size_t *donep);

/* Kernel access to the current LWP's user memory, any alignment; partial on error. */
int	copyin(vaddr_t uaddr, void *kaddr, size_t);
int	copyout(const void *kaddr, vaddr_t uaddr, size_t);

/*
 * Between mapped kernel addresses and the current LWP's user memory, any alignment.
 * => *donep bytes were moved, also on error.
 * => EFAULT or ENOMEM of the user's side, the errno of the fault on the kernel's; nofault:
 *    never sleeps, EBUSY for what would have trapped (a page in the way may be BUSY by us).
 */
int	copyin_kva(vaddr_t uaddr, vaddr_t kva, size_t, bool nofault, size_t *donep);
int	copyout_kva(vaddr_t kva, vaddr_t uaddr, size_t, size_t *donep);
int	kern_zero(vaddr_t kva, size_t);

/* => drop this CPU's TLB; used by benches and tests. */
void	tlb_flush_all(void);

#endif /* MACHINE_SOFTMMU_H */
