/*
 * Sending user memory to the network, without copying it where that is possible (uvm-spec 10.6).
 */
#ifndef UVM_UVM_SOSEND_H
#define UVM_UVM_SOSEND_H

#include <machine/vmparam.h>
#include <stdbool.h>
#include <stdint.h>

struct proc;
struct vm_page;

#define	SO_SEND_MAX	32768U		/* bytes of one send, which is one packet */

/* flags of sys_send() */
#define	SO_SEND_COPY	0x1		/* copy, however suitable the memory is */

/*
 * One send.  s: lock of uvm_sosend.c, until so_send_wait() has returned
 */
struct so_send {
	uint64_t	 ss_sum;	/* s: nic_sum_value() of what was on the wire */
	vsize_t		 ss_loaned;	/* s: bytes that were not copied */
	bool		 ss_done;	/* s */
};

/*
 * Send [va, va+len) of the calling LWP's process; va, len: multiples of 8, len at most SO_SEND_MAX.
 * => what is on the wire is what memory held at some moment of the call, though it may be stored
 *    to as soon as the call returns.  No VM lock held; sleeps.
 * => 0: on its way, *ss is in use until so_send_wait(); else not: EINVAL, EMSGSIZE, EFAULT, ENOMEM.
 */
int	sys_send(struct proc *, vaddr_t va, vsize_t len, int flags, struct so_send *);
/* => sleeps until the packet has left; its pages may be on loan a moment longer */
void	so_send_wait(struct so_send *);

/* For the inspector: the pages of each window, mapped in mb_map; nothing is being sent or ended. */
void	uvm_sosend_foreach(void (*fn)(vaddr_t kva, struct vm_page *const *, int npages, void *), void *);
/* => bytes of kernel addresses in use now, and the most there may be (I-LOAN-8) */
vsize_t	uvm_sosend_kva(vsize_t *limit);
/* => nothing is on its way, and all windows are gone; a snapshot */
bool	uvm_sosend_idle(void);

void	uvm_sosend_init(void);
void	uvm_sosend_fini(void);

#endif /* UVM_UVM_SOSEND_H */
