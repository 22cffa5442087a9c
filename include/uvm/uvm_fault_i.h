/*
 * Inside the fault handler: look-ups, and the context of one fault.
 */
#ifndef UVM_UVM_FAULT_I_H
#define UVM_UVM_FAULT_I_H

#include <uvm/uvm.h>

#define	UVM_MAXRANGE	16	/* pages of a fault's neighbourhood */

/*
 * One fault.  All fields: the faulting LWP.  The first two groups live through
 * restarts, the others are of one attempt.
 */
struct uvm_faultctx {
	/* what was asked for */
	vm_prot_t	 access_type;
	bool		 wiring;	/* a wiring fault */
	bool		 wiremax;	/* of mlock: with all of max_protection */

	/* what happened so far */
	unsigned	 restarts;
	bool		 narrow;	/* neighbours have been looked at */
	bool		 had_io;	/* a page was read on the way */
	struct uvm_object *pinned;	/* our reference to the object that was asked to read */

	/* what the entry says: stage check */
	vm_prot_t	 access;	/* what the mapping is made for (R30) */
	vm_prot_t	 enter_prot;	/* rights that it may have; stages take some away */
	bool		 cow_now;	/* a private copy is needed, if the page is shared */
	struct vm_amap	*amap;		/* locked from stage range on, or NULL */

	/* the neighbourhood: stage range */
	vaddr_t		 startva;
	int		 npages, centeridx;
	uint64_t	 upper;			/* bit i: anons[i] is one; without it anons[i] is nothing */
	struct vm_anon	*anons[UVM_MAXRANGE];
	struct vm_page	*pages[UVM_MAXRANGE];	/* if there is an object; NULL: to ask it for */

	/* the answer: for the counters, and the history */
	bool		 promoted;
	uint8_t		 resolved;	/* KERNHIST_: as which case */
};

/* --- uvm_fault.c: locking and looking up --- */

/* => map(R); anon, uobj, amap, maps in this order; NULLs skipped */
void	uvmfault_unlockall(struct uvm_faultinfo *, struct vm_amap *, struct uvm_object *,
	    struct vm_anon *);
void	uvmfault_unlockmaps(struct uvm_faultinfo *, bool write_locked);
/* => true: map locked, entry found.  R33: an interrupt-safe address is refused before any lock. */
bool	uvmfault_lookup(struct uvm_faultinfo *, bool write_lock);
/*
 * => nothing locked, a page BUSY in hand, so it does not wait (H-1).
 * => true: map(R), and nobody has written to it since the look-up; false: not locked
 */
bool	uvmfault_relock(struct uvm_faultinfo *);
/*
 * => maps(R), amap locked again after a while: is that anon (NULL: none) in the slot
 *    of that address?  If so, what was known of the slot is good again.
 */
bool	uvmfault_recheck(struct uvm_faultinfo *, struct vm_amap *, vaddr_t, const struct vm_anon *);
/*
 * => nothing locked in and out.  0: the amap of the faulting entry is its own now; ERESTART: memory
 *    was short, and has been waited for; EFAULT, ENOMEM
 */
int	uvmfault_amapcopy(struct uvm_faultinfo *);
/*
 * A new anon for the faulting address, with a copy of src or zeroes.
 * => maps(R), amap locked; src's owner too; replace: the slot's anon as well
 * => locked (R27), in its slot, its page not busy and active; NULL: memory is short, nothing has
 *    changed
 */
struct vm_anon *uvmfault_promote(struct uvm_faultinfo *, struct uvm_faultctx *,
	    struct vm_page *src, bool replace);
/* => the fault is about to sleep for memory, I/O or a busy page: no map is locked (I-FLT-6, I-LCK-3).
 *    ufi NULL: the caller is swapoff or fork, which may hold one */
void	uvmfault_sleeps(const struct uvm_faultinfo *ufi);
/* => everything unlocked, memory is short: ERESTART after a wait, or ENOMEM (R29); waits as of uvm_wait_again() */
int	uvmfault_shortage(unsigned *waits);
/* => everything of the fault unlocked: lets others get on (H-4) */
void	uvmfault_pause(const char *wmesg, uint64_t ns);
/*
 * Map the page, wire or activate it.
 * => maps(R), owner of pg locked, pg valid; 0, or ENOMEM and no mapping (R2); locks as before
 */
int	uvmfault_enter(struct uvm_faultinfo *, struct uvm_faultctx *, struct vm_page *);
/* => maps(R), owner of pg locked, pg valid: map a neighbour; that may fail */
void	uvmfault_enter_neighbour(struct uvm_faultinfo *, struct uvm_faultctx *, vaddr_t,
	    struct vm_page *, vm_prot_t);

/* --- stages.  0 or errno: all unlocked; ERESTART: begin again --- */

/* uvm_fault_anon.c; => maps(R), amap locked, an anon at the centre */
int	uvm_fault_upper(struct uvm_faultinfo *, struct uvm_faultctx *);
/* => maps(R), amap, anon locked (R25).  0: still so, page resident and not busy, its owner locked */
int	uvmfault_anonget(struct uvm_faultinfo *, struct vm_amap *, struct vm_anon *);

/* uvm_fault_object.c; => maps(R), amap locked if there is one, no anon at the centre */
int	uvm_fault_lower(struct uvm_faultinfo *, struct uvm_faultctx *);

/*
 * Have the object read the page at the faulting address.
 * => maps(R), amap (if any), object locked; the entry has no anon there; flt->pinned NULL
 * => 0: so again, the map unchanged, still no anon in the slot, *pgp BUSY; else: all unlocked,
 *    ERESTART, EAGAIN or the pager's errno.  flt->pinned: our reference, to be dropped with
 *    nothing locked.
 */
int	uvmfault_read_page(struct uvm_faultinfo *, struct uvm_faultctx *, struct uvm_object *,
	    struct vm_page **);

/* => the whole handler, for uvm_fault(), uvm_fault_wire() and vslock */
int	uvmfault_internal(struct vm_map *, vaddr_t, vm_prot_t, bool wiring, bool wiremax,
	    struct uvm_vslock *);

/* --- uvm_fault_wire.c --- */

/* => map read-locked, the I/O off the map's list: what it has wired no longer is */
void	uvm_fault_unwire_vslock(const struct uvm_vslock *);

#endif /* UVM_UVM_FAULT_I_H */
