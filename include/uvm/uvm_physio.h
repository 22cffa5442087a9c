/*
 * Raw I/O: between a device and user memory, past all caches (uvm-spec 6.8).
 */
#ifndef UVM_UVM_PHYSIO_H
#define UVM_UVM_PHYSIO_H

#include <machine/vmparam.h>
#include <stdbool.h>

#define	DEV_BSIZE	512

struct lwp;
struct proc;
struct vnode;

/*
 * Transfer *len bytes between byte off of a raw device and [uva, uva+*len) of p.
 * => vp: the device; a host file that nobody maps or reads through the page cache, of a
 *    size that does not change.
 * => nothing locked, p's address space stays until the end; sleeps until all is done.
 * => *len: bytes from the beginning on that were moved, less at the end of the device or
 *    with an error.
 * => 0; EINVAL off or *len not a multiple of DEV_BSIZE; EFAULT not mapped, or not so that
 *    the device may; ENOSPC write at the end; ENOMEM; EIO
 */
int	sys_physio(struct proc *, struct vnode *, voff_t off, vaddr_t uva, vsize_t *len, bool read);

/* For the inspector: the physiod LWP, if it sleeps though transfers are complete; or NULL. */
struct lwp *uvm_physio_forgotten(void);

void	uvm_physio_init(void);		/* starts the physiod LWP */
void	uvm_physio_fini(void);

#endif /* UVM_UVM_PHYSIO_H */
