/*
 * Wiring for I/O (uvm-spec 6.8).
 *
 * A device moves data by frame while nobody looks, so what it moves them to must stay: the
 * page wired, its mapping wired while any I/O to that address is under way (B-16), and the
 * address mapped: unmapping waits.  Each vslock is on its map's list until its end.
 */
#ifndef UVM_UVM_VSLOCK_H
#define UVM_UVM_VSLOCK_H

#include <bsd/sys/queue.h>
#include <uvm/uvm_map.h>

struct uvm_faultinfo;
struct vmspace;

/*
 *	:  stable from the first fault on	i  vl_map->misc_lock
 */
struct uvm_vslock {
	LIST_ENTRY(uvm_vslock) vl_link;		/* i */
	struct vm_map	*vl_map;		/* : */
	vaddr_t		 vl_start, vl_end;	/* : whole pages */
	bool		 vl_input;		/* : the device stores to memory */
	vaddr_t		 vl_done;		/* i: what is below is wired; owner's lock to change */
	bool		 vl_owned;		/* i: somebody has it in his hands, and ends it */
	paddr_t		 vl_frames[];		/* : of its pages, once wired */
};

/*
 * Wire [va, va+len) for I/O.
 * => map not locked, nothing else either; sleeps.
 * => access: what the device does to memory: WRITE if data come in.
 * => 0 and *vlp: vl_frames is where the data are (not what va is mapped to later); or the
 *    fault's errno, then nothing is wired.
 */
int	uvm_vslock_frames(struct vmspace *, vaddr_t, vsize_t, vm_prot_t access, struct uvm_vslock **vlp);
/* => the I/O is over; map not locked; frees it.  After input the pages are dirty (7.4). */
void	uvm_vsunlock_frames(struct uvm_vslock *);

/* The same by address: uvm_vsunlock() ends one that uvm_vslock() has made of just that range. */
int	uvm_vslock(struct vmspace *, vaddr_t, vsize_t, vm_prot_t access);
void	uvm_vsunlock(struct vmspace *, vaddr_t, vsize_t);

/*
 * Is a mapping to be wired?  If its entry is (R31), as far as an mlock under way has come,
 * or while I/O to the address is under way, as far as that has come (B-16).
 * => map locked, owner of the page locked (device: the object).  Both change with that
 *    lock held, together with the page's wire_count, so at no moment is a mapping wired
 *    whose page is not (B-19).
 */
bool	uvm_mapping_wired(struct vm_map *, const struct vm_map_entry *, vaddr_t);
/* => a wiring fault has just mapped the page, and wired it; owner still locked */
void	uvm_mapping_reached(struct uvm_faultinfo *, paddr_t);
/* => mlock: so much of the range is yet to be wired; 0, 0: no mlock is under way */
void	uvm_mapping_pending(struct vm_map *, vaddr_t next, vaddr_t end);

/*
 * => map(W) as vm_map_lock(), and no I/O is under way to [start,end): it may be unmapped.
 *    No vslock of the caller's own overlaps.  Sleeps.
 */
void	uvm_vslock_drain(struct vm_map *, vaddr_t start, vaddr_t end);

/* => map(W): is any I/O under way to a part of the range, pages wired or not yet? */
bool	uvm_vslock_under_way(struct vm_map *, vaddr_t start, vaddr_t end);
/* => map(W): is it, to any part of the range, with pages wired? */
bool	uvm_vslock_overlaps(struct vm_map *, vaddr_t start, vaddr_t end);

/* For the inspector: each vslock of the map; nobody does I/O. */
void	uvm_vslock_foreach(struct vm_map *, void (*fn)(const struct uvm_vslock *, void *), void *);

#endif /* UVM_UVM_VSLOCK_H */
