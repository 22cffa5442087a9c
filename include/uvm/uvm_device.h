/*
 * Device mappings: an object without pages, whose frames a device names at each fault.
 *
 * Device memory is shared or it is nothing: a copy of it in an anon would no longer be
 * the device's, so a mapping that is copy-on-write answers EIO.
 */
#ifndef UVM_UVM_DEVICE_H
#define UVM_UVM_DEVICE_H

#include <machine/device.h>
#include <uvm/uvm_pager.h>

struct proc;

extern const struct uvm_pagerops uvm_deviceops;
#define	UVM_OBJ_IS_DEVICE(o)	((o)->pgops == &uvm_deviceops)

/*
 * => the object of a device, one for each, with a reference; NULL: the device has nothing
 *    at [off, off+size) that could be accessed so.  Nothing locked; sleeps.
 */
struct uvm_object *udv_attach(dev_minor_t, vm_prot_t access, voff_t off, vsize_t size);
uint64_t udv_count(void);		/* alive */

/*
 * mmap of a device (uvm-spec 16).
 * => *addr: hint in, address out; flags: UMAP_SHARED, UMAP_FIXED.
 * => 0; EINVAL private, or not there; EACCES with PROT_EXEC; ENOMEM
 */
int	sys_mmap_device(struct proc *, vaddr_t *addr, vsize_t len, int prot, int flags,
	    dev_minor_t, voff_t off);

void	udv_init(void);
void	udv_fini(void);

#endif /* UVM_UVM_DEVICE_H */
