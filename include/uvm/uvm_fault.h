/* The fault handler's face; its insides are in uvm_fault_i.h. */
#ifndef UVM_UVM_FAULT_H
#define UVM_UVM_FAULT_H

#include <sys/lockstate.h>
#include <uvm/uvm_map.h>

struct uvm_vslock;

/*
 * Where a fault is: filled by the look-up, checked after every relock (R36).
 * All fields: only the LWP that faults, on whose stack it lies.
 */
struct uvm_faultinfo {
	struct vm_map	*orig_map;
	vaddr_t		 orig_rvaddr;	/* page-truncated */
	vsize_t		 orig_size;
	struct vm_map	*map;		/* the one that is locked: orig_map or a submap */
	unsigned	 mapv;		/* its timestamp at the look-up */
	struct vm_map_entry *entry;
	lockstate_t	 map_state;	/* the hold of map under which entry was found */
	lockstate_t	 amap_state;	/* the hold of its amap under which the slot was read */
	vsize_t		 size;
	struct uvm_vslock *vslock;	/* the I/O that it wires for, or NULL */
	bool		 mlock;		/* it wires for mlock */
	unsigned	 backoffs;	/* times that a page's lender could not be locked */
	unsigned	 waits;		/* times that it has waited for memory */
};

/*
 * => resolve a fault.  No VM lock held, not in interrupt; sleeps.
 * => 0; EFAULT no entry or interrupt-safe map (R33); EACCES; EINVAL, EIO from the pager;
 *    ENOMEM out of memory.  Nothing is held on return (I-FLT-1).
 */
int	uvm_fault(struct vm_map *, vaddr_t, vm_prot_t access);

/*
 * => make [start,end) resident and wired.  Map not locked, its entries wired and the
 *    map busy, or (vslock) the caller keeps the range mapped.  wiremax: with all of
 *    max_protection (mlock), which promotes COW pages at once (R13).
 * => 0 or the fault's errno, then nothing is wired.
 */
int	uvm_fault_wire(struct vm_map *, vaddr_t, vaddr_t, vm_prot_t access, bool wiremax);
/* => read-locks the map around the next one (R32) */
void	uvm_fault_unwire(struct vm_map *, vaddr_t, vaddr_t);
/* => map at least read-locked (R32); the PTE becomes pageable only if the entry is not wired (R31) */
void	uvm_fault_unwire_locked(struct vm_map *, vaddr_t, vaddr_t);

extern bool uvm_fault_ahead;		/* : map resident neighbours too */

#endif /* UVM_UVM_FAULT_H */
