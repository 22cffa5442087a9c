/*
 * Page loaning (uvm-spec 10): data shared read-only between unlike owners, without copying.
 *
 *	UVM_LOAN_TOPAGE	an anon's or an object's page to the kernel, which maps it read-only by
 *			pmap_kenter_pa(); wired meanwhile (R6), so that it is never revoked
 *	UVM_LOAN_TOANON	an anon, or an object's page as an anon, to another anonymous memory
 *
 * Who stores to a page on loan gets a copy; the loan keeps the old content (R15, R16).
 * How each kind is made: uvm_loan_page.c; how it ends: uvm_unloan.c.
 */
#ifndef UVM_UVM_LOAN_H
#define UVM_UVM_LOAN_H

#include <bsd/sys/queue.h>
#include <uvm/uvm_map.h>
#include <uvm/uvm_page.h>

struct lwp;
struct proc;
struct vnode;

/* flags of uvm_loan() and uvm_unloan(): exactly one */
#define	UVM_LOAN_TOANON	0x1
#define	UVM_LOAN_TOPAGE	0x2

/*
 * Borrow what [start, start+len) of the map holds.
 * => whole pages; map not locked, nothing else either; not an interrupt-safe map; sleeps.
 * => v: room for a struct vm_page * (TOPAGE) or a struct vm_anon * (TOANON) for each page.
 *    0: each page is on loan, its content constant until uvm_unloan(); no right to any
 *    mapping but a read-only pmap_kenter_pa() of the frame.
 * => else none is (I-LOAN-6): ENOENT nothing mapped there; EACCES not readable; EBUSY wired
 *    by mlock or for I/O, or TOANON of a page that the kernel has on loan (R14); EINVAL device
 *    memory; ENOMEM; EIO from the pager.
 */
int	uvm_loan(struct vm_map *, vaddr_t start, vsize_t len, void *v, int flags);
/*
 * The same for npages of an object from off on, for read(2)-like users.
 * => object referenced by the caller, not locked; no map locked; sleeps.  Errors as above.
 */
int	uvm_loanuobjpages(struct uvm_object *, voff_t off, int npages, struct vm_page **);
int	uvm_loanuobjanons(struct uvm_object *, voff_t off, int npages, struct vm_anon **);
/*
 * Give back what one of the above has lent.
 * => thread context, nothing locked, no kernel mapping left; may pause.  In interrupt:
 *    uvm_loanfree().  An orphan that nobody borrows any more is freed.
 */
void	uvm_unloan(void *v, int npages, int flags);

/*
 * A loan that ends in interrupt: the rest is done by the "loanfree" LWP, for owners and maps
 * are locked by adaptive mutexes (T-59, I-KM-5).
 * => any context to IPL_VM; lf_func runs in thread context, nothing held; it may free lf.
 */
struct uvm_loanfree {
	TAILQ_ENTRY(uvm_loanfree) lf_link;		/* the list's lock */
	void	(*lf_func)(struct uvm_loanfree *);	/* set by the caller */
};
void	uvm_loanfree(struct uvm_loanfree *);
/* => sleeps until everything that was put there so far has been done; thread context */
void	uvm_loanfree_drain(void);
/* For the inspector: who sleeps, the LWP or who drains it, though what he sleeps for is there; or NULL. */
struct lwp *uvm_loanfree_forgotten(void);

/*
 * An object's page on loan is to be stored to, or wired: a copy takes its place, the old page
 * stays with its borrowers.
 * => object locked, page BUSY by us, not RELEASED.
 * => the new page, BUSY by us (the old one is not ours any more); NULL: memory is short,
 *    nothing has changed: unbusy, unlock, uvm_wait(), begin again.
 */
struct vm_page *uvm_loanbreak(struct vm_page *);
/*
 * The same for an anon's page, lent or borrowed.
 * => anon locked, one reference; the owner of its page locked too; the page not BUSY.
 * => 0: anon locked, the lender is not; ENOMEM: nothing has changed
 */
int	uvm_loanbreak_anon(struct vm_anon *);

/*
 * read(2) without copying: whole pages of the file become the memory at va (uvm-spec 10.6).
 * => v_lock held by the caller; no VM lock; sleeps.
 * => 0; EINVAL offset, address and length are not whole pages of the file, or va is not
 *    private anonymous memory; EACCES not writable; EBUSY wired; ENOMEM...: a part of it may
 *    have been done: the caller copies.
 */
int	uvm_loanread(struct proc *, struct vnode *, voff_t, vaddr_t, vsize_t);
/*
 * The same from process to process: what from has at src becomes to's memory at dst; both go on
 * with it copy-on-write.
 * => errors as uvm_loan() and uvm_loanread(); on error a part of it may have been done
 */
int	sys_loan(struct proc *from, vaddr_t src, vsize_t, struct proc *to, vaddr_t dst);

void	uvm_loan_init(void);		/* the page of zeroes, the loanfree LWP */
void	uvm_loan_fini(void);		/* no loans are left */

#endif /* UVM_UVM_LOAN_H */
