/*
 * pmap(9): the machine-dependent half of virtual memory, after NetBSD, with
 * the rules that the seeds demand of pmap_enter() written down (R5).
 *
 * A pmap caches what the maps say.  Managed user mappings that are not wired
 * may vanish at any time; a fault brings them back.  It owns page table pages
 * (frames of simulated RAM), the list of mappings of each page (pv), each
 * page's referenced and modified attributes, and the coherence of the TLBs.
 *
 * pmap_enter() (uvm-spec 7.3; seeds 000, 002):
 *  R1   fails only for want of a page table page or a pv entry.
 *  R4   replacing a valid mapping reuses both, so it cannot fail.
 *  R2   a failed PMAP_CANFAIL enter leaves no mapping at va, old or new.
 *  R3   wired over wired is one atomic exchange of the PTE and never fails: no
 *	 CPU can see the address unmapped.  (All replacements here are.)
 *  R28  without PMAP_CANFAIL a shortage is a panic.
 *  R30  flags carry the access that caused the mapping; it presets R and M.
 *
 * Invalidations are deferred: each operation notes what it made stale in the
 * LWP's packet (lwp_tlb); pmap_update() sends the packet to every CPU in the
 * pmap's set and waits for all acknowledgements.  pmap_page_protect() and its
 * halves, and the R/M clearing calls, complete theirs before they return,
 * because the caller is about to reuse the frame or trust the bit (S5, S6).
 *
 * Lock order: pmap lock, then pv lock; from the pv side the pmap only by trylock.
 * No lock of this floor is held while waiting for acknowledgements (S4).
 */
#ifndef MACHINE_PMAP_H
#define MACHINE_PMAP_H

#include <machine/ram.h>
#include <machine/vmparam.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/cpu.h>

/* flags of pmap_enter(): access type in the VM_PROT bits, and */
#define	PMAP_WIRED	0x10
#define	PMAP_CANFAIL	0x20

/*
 * PTE bits.  A PTE is one 64-bit word, read by the walker and changed by pmap
 * with atomic operations only.
 */
#define	PTE_V		0x001UL		/* valid */
#define	PTE_R		0x002UL
#define	PTE_W		0x004UL
#define	PTE_X		0x008UL
#define	PTE_REF		0x010UL		/* referenced: by the walker, or by pmap in software-rm */
#define	PTE_MOD		0x020UL		/* modified: likewise */
#define	PTE_WIRED	0x040UL
#define	PTE_MANAGED	0x080UL		/* has a pv entry */
#define	PTE_KENTER	0x100UL		/* entered by pmap_kenter_pa() */
#define	PTE_FRAME	0x0000fffffffff000UL

struct pmap;

/* What the machine asks of the VM floor.  Set before machine_boot(). */
struct machine_upcall {
	/* => trap: resolve a fault of the current LWP; 0 or errno; no lock held; may sleep. */
	int		(*mu_fault)(struct pmap *, vaddr_t, vm_prot_t access);
	/* => a zeroed, un-owned page from the reserve (R35), or NULL; must not sleep. */
	struct vm_page	*(*mu_ptp_alloc)(void);
	void		(*mu_ptp_free)(struct vm_page *);
	/* => is nothing left but the reserve? May be NULL. */
	bool		(*mu_memory_low)(void);
};

struct pool_allocator;

/* Read at boot, and copied. */
struct machine_config {
	bool		mc_software_rm;		/* R/M bits emulated by faults */
	bool		mc_ptp_steal;		/* shortage in pmap_enter(): take another pmap's */
	struct machine_upcall mc_upcall;
};

/*
 * => machine_boot(): after kern_boot() and ram_init(); creates the kernel pmap
 *    and the TLBs.  pmap_init(): pools may be made now.
 */
int	machine_boot(const struct machine_config *);
void	pmap_init(const struct pool_allocator *);
void	machine_shutdown(void);
/* => the upcall for struct kern_config: activates and deactivates pmaps. */
void	machine_cpu_switch(struct cpu_info *, struct lwp *from, struct lwp *to);

struct pmap *pmap_kernel(void);			/* there for ever */
struct pmap *pmap_create(void);			/* may sleep; one reference */
void	pmap_reference(struct pmap *);		/* any context; the caller has one */
/* => thread context, nothing held; with the last reference: no mapping is left, PT pages go */
void	pmap_destroy(struct pmap *);

/*
 * => the current LWP changed its own l_pmap (exec, exit): this CPU leaves the
 *    set of the old one and joins the new.  No LWP may still have a pmap as its
 *    l_pmap when the last reference goes.
 */
void	pmap_activate(struct lwp *);

/*
 * => map(R or W) of the entry and owner lock of the page held; does not sleep.
 * => prot: of the new mapping, READ at least; flags: access | PMAP_WIRED | PMAP_CANFAIL.
 * => pa: RAM, managed; or a device's frame, which has no pv entry, and no X in prot.
 * => 0, or ENOMEM with PMAP_CANFAIL only.
 */
int	pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned flags);
/* => every mapping in [s,e), managed or not, wired or not (R9); R/M harvested; deferred. */
void	pmap_remove(struct pmap *, vaddr_t s, vaddr_t e);
/* => only reduces; NONE removes; wired mappings are reduced too; deferred. */
void	pmap_protect(struct pmap *, vaddr_t s, vaddr_t e, vm_prot_t);
/* => clears the wired attribute; the mapping stays and must exist. */
void	pmap_unwire(struct pmap *, vaddr_t);
/* => any context to IPL_VM; mapped? Then where (NULL: no matter).  Of this moment, unless the caller keeps it so */
bool	pmap_extract(struct pmap *, vaddr_t, paddr_t *);
/* => likewise; bit i: page i of the n (at most 64) from va on is mapped */
uint64_t pmap_mapped(struct pmap *, vaddr_t va, int n);
/*
 * => this LWP's deferred invalidations are complete on all CPUs.  No spin lock held,
 *    IPL below SCHED; spins.  An interrupt handler calls it before it returns.
 */
void	pmap_update(struct pmap *);

/*
 * The two halves of pmap_page_protect (R11, R12).
 * => owner lock held, or un-owned.  Invalidation complete on return.
 * => pmap_copy_on_write: takes W from every managed mapping.  Panics on a wired
 *    mapping (R10), unless cleaning: then a wired PTE loses W, never validity.
 * => pmap_revoke: removes every managed mapping, harvests R/M.  Panics on a wired one.
 */
void	pmap_copy_on_write(struct vm_page *);
void	pmap_clean_protect(struct vm_page *);
void	pmap_revoke(struct vm_page *);
/* => READ: pmap_copy_on_write(); NONE: pmap_revoke(); ALL: nothing; EXECUTE alone never (R11). */
void	pmap_page_protect(struct vm_page *, vm_prot_t);
/*
 * The page's frame is not to be stored to by anybody, from now on or not any more (R15).
 * => owner lock held, or un-owned; to turn it on, pmap_copy_on_write() has been called since.
 * => while it is on, a writable mapping of it is a panic, the unmanaged ones included, which
 *    pmap_copy_on_write() cannot find; and a store through a stale TLB entry is VIOL_TLB.
 */
void	pmap_page_readonly(struct vm_page *, bool);
/*
 * What lending takes, at once if no TLB need be asked.
 * => lend: pmap_copy_on_write(), and then on; true: no TLB was asked
 * => lend_quiet: on, if there is nothing to take away, and no TLB to be asked; else false, and nothing has changed
 */
bool	pmap_page_lend(struct vm_page *);
bool	pmap_page_lend_quiet(struct vm_page *);

/* => the page's owner is locked, so that nobody adds any: does a mapping let one store to it? */
bool	pmap_is_writable(struct vm_page *);
/* => owner lock held, or a hint: has it been stored to, or used, since that was cleared? */
bool	pmap_is_modified(struct vm_page *);
bool	pmap_is_referenced(struct vm_page *);
/* => the old value; a later access sets the bit again (TLBs are flushed). */
bool	pmap_clear_modify(struct vm_page *);
bool	pmap_clear_reference(struct vm_page *);
/* => does any managed mapping exist? */
bool	pmap_page_mapped(struct vm_page *);

/*
 * Page tables for all kernel addresses below end, which stay for ever (R39).
 * => any context to IPL_VM; the end that is reached: lower when the reserve is used up
 */
vaddr_t	pmap_growkernel(vaddr_t end);
/*
 * Unmanaged kernel mappings; nothing may be mapped there yet, and pmap_growkernel() has been
 * there; so they never fail.  Any context to IPL_VM.
 */
void	pmap_kenter_pa(vaddr_t, paddr_t, vm_prot_t);
/* => pmap_kenter_pa() of n pages, one after the other */
void	pmap_kenter_pages(vaddr_t, struct vm_page *const *, int n, vm_prot_t);
void	pmap_kremove(vaddr_t, vsize_t);

/* Frames: the caller owns dst exclusively; src is read word by word, atomically. */
void	pmap_zero_page(paddr_t);
void	pmap_copy_page(paddr_t src, paddr_t dst);

bool	pmap_pageable(struct pmap *, vaddr_t);	/* is there a mapping, and not wired?  For assertions. */
/* => operations of the current LWP on it have invalidations left to pmap_update() */
bool	pmap_deferred(const struct pmap *);
/* => its number; false: that is no memory.  For reports on a broken machine. */
bool	pmap_peek_id(const struct pmap *, uint32_t *);
long	pmap_resident_count(struct pmap *);	/* managed and unmanaged PTEs, exact */
long	pmap_wired_count(struct pmap *);
long	pmap_ptp_count(struct pmap *);

/* => the PTE, for the inspectors; 0: none.  Takes the pmap's lock */
uint64_t pmap_peek(struct pmap *, vaddr_t);
/* For the inspectors: calls fn for each valid PTE in order; world stopped or pmap private. */
void	pmap_foreach(struct pmap *, void (*fn)(vaddr_t, uint64_t pte, void *), void *);
/* => for each managed mapping of the page, under its pv lock. */
void	pmap_pv_foreach(struct vm_page *, void (*fn)(struct pmap *, vaddr_t, void *), void *);
/* => I-PMAP-3, -8, -9 and I-PMAP-5 at rest; reports violations; returns their number. */
unsigned pmap_check(struct pmap *);

struct pmap_stat {
	uint64_t shootdowns, ipis, local_flushes, tlb_hits_checked, rm_faults, ptp_alloc,
		 enter, enter_failed, replaced, pv_backoff,
		 wired_replaced,	/* enters of another frame over a wired one; UVM never does: 0 */
		 leaving_flushes,	/* pages waited on that somebody had unmapped just before */
		 ptp_steals, pv_steals,	/* enters that took another pmap's table, or pv entries */
		 plain_enter_dips;	/* enters that may not fail, and took the reserve: 0 */
};
/* => any thread; sums over all CPUs, of a running machine approximate */
void	pmap_getstat(struct pmap_stat *);

#endif /* MACHINE_PMAP_H */
