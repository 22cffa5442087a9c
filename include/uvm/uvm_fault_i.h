/*
 * Inside the fault handler: look-ups, and the context of one fault.
 */
#ifndef UVM_UVM_FAULT_I_H
#define UVM_UVM_FAULT_I_H

#include <uvm/uvm.h>

#define	UVM_MAXRANGE	16	/* pages of a fault's neighbourhood */

/*
 * One attempt at a fault.  Nothing in it survives a restart but the first group.
 * All fields: the faulting LWP.
 */
struct uvm_faultctx {
	/* what was asked for */
	vm_prot_t	 access_type;
	bool		 wiring;	/* a wiring fault */
	bool		 wiremax;	/* with all of max_protection */
	unsigned	 restarts;
	bool		 had_io;	/* a page was read on the way */
	struct vm_anon	*spare;		/* unlocked, from an attempt that found no page; or NULL */

	/* what the entry says: stage check */
	vm_prot_t	 access;	/* what the mapping is made for */
	vm_prot_t	 enter_prot;	/* rights that it may have */
	bool		 cow_now;	/* a private copy is needed, if the page is shared */
	struct vm_amap	*amap;		/* locked from stage neighbours on */

	/* the neighbourhood: stage neighbours */
	vaddr_t		 startva;
	int		 npages, centeridx;
	struct vm_anon	*anons[UVM_MAXRANGE];
	struct vm_page	*pages[UVM_MAXRANGE];
};

/* --- locking and looking up --- */

/* => in the reverse of the order; NULLs skipped; map(R) */
void	uvmfault_unlockall(struct uvm_faultinfo *, struct vm_amap *, struct uvm_object *,
	    struct vm_anon *);
void	uvmfault_unlockmaps(struct uvm_faultinfo *, bool write_locked);
/* => true: map locked, entry found.  R33: an interrupt-safe map is refused before any lock. */
bool	uvmfault_lookup(struct uvm_faultinfo *, bool write_lock);
/* => map(R) and nobody has written since the look-up; or false and unlocked.
 *    try: with a busy page in hand one must not wait (H-1) */
bool	uvmfault_relock(struct uvm_faultinfo *, bool try);
/* => all unlocked: the amap of the faulting entry is its own now; 0, EFAULT, ENOMEM */
int	uvmfault_amapcopy(struct uvm_faultinfo *);

/*
 * => maps(R), amap and anon locked (R25).  0: still so, the page is resident and not
 *    busy.  ERESTART: all unlocked.
 */
int	uvmfault_anonget(struct uvm_faultinfo *, struct vm_amap *, struct vm_anon *);

/* --- stages; ERESTART: all unlocked, begin again --- */

int	uvm_fault_upper(struct uvm_faultinfo *, struct uvm_faultctx *);
int	uvm_fault_lower(struct uvm_faultinfo *, struct uvm_faultctx *);
/*
 * The anon of a promotion: locked, or NULL.  One that cannot be used is kept for the
 * next attempt: given back, it could be taken for memory that the page daemon has won,
 * attempt after attempt.
 */
struct vm_anon *uvm_fault_newanon(struct uvm_faultctx *);
void	uvm_fault_keepanon(struct uvm_faultctx *, struct vm_anon *);	/* => locked; unlocked on return */
/* => everything unlocked, memory is short: ERESTART after a wait, or ENOMEM (R29) */
int	uvm_fault_shortage(void);
/*
 * Map the page, wire or activate it.
 * => maps(R), owner of pg locked, pg not FAKE; 0 or ENOMEM; locks as before
 */
int	uvm_fault_enter(struct uvm_faultinfo *, struct uvm_faultctx *, struct vm_page *);
/* => amap locked: map a neighbour, if that costs nothing; its owner is locked */
void	uvm_fault_neighbour(struct uvm_faultinfo *, struct uvm_faultctx *, vaddr_t,
	    struct vm_page *, vm_prot_t);

/* the driver, for uvm_fault_wire() */
int	uvm_fault_internal(struct vm_map *, vaddr_t, vm_prot_t, bool wiring, bool wiremax);

#endif /* UVM_UVM_FAULT_I_H */
