/*
 * A fault on one of UBC's windows (pgo_fault of ubc_object).
 *
 * The window is pinned by the reference of whoever faults on it, so the kernel's map and
 * ubc_object can be unlocked at once; its name, and what its writer noted, stand still.
 *
 *	window    |   .   |  [.]  |   .   |   .   |
 *	reader             ^..................^	up to the end of the window, or of the file
 *	writer             ^......^		up to the end of what is written
 *
 * The access is a store exactly if the window has a writer, whatever trapped.  Pages come
 * from the pager BUSY; each is mapped with its owner locked, so that nobody who wants to
 * take a right away can come too early.  An enter that fails is no tragedy (R39): let
 * everything go, wait for memory, fault again.
 */
#include <sys/bug.h>
#include <uvm/uvm.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_loan.h>

/* What the fault will ask for.  !: the faulting LWP */
struct ubc_want {
	struct uvm_object *uw_uobj;	/* ! */
	voff_t		 uw_off;	/* ! */
	vaddr_t		 uw_va;		/* ! of the first page */
	vm_prot_t	 uw_access;	/* ! */
	int		 uw_npages;	/* ! */
};

/* => the faulting page and what comes behind it */
static struct ubc_want
ubc_want(const struct ubc_map *um, vaddr_t va)
{
	vsize_t off = va - ubc_window_va(um), end = ubc_object.winsize;
	struct ubc_want uw = {
		.uw_uobj = um->um_uobj, .uw_off = um->um_offset + (voff_t)off, .uw_va = va,
		.uw_access = um->um_writelen != 0 ? VM_PROT_READ | VM_PROT_WRITE : VM_PROT_READ,
	};

	if (um->um_writelen != 0)
		end = round_page((vsize_t)(um->um_writeoff - um->um_offset) + um->um_writelen);
	KASSERTMSG(off < end, "fault at %#lx of a window, %#lx bytes are written", off, end);
	uw.uw_npages = (int)atop(end - off);
	return uw;
}

/*
 * Map one page of the answer.
 * => its owner locked, pageq not; page BUSY, perhaps RELEASED.  *pgp: another page if a
 *    loan had to be broken.
 * => 0, or ENOMEM
 */
static int
ubc_enter(const struct ubc_want *uw, vaddr_t va, struct vm_page **pgp)
{
	vm_prot_t prot = uw->uw_access;
	struct vm_page *pg = *pgp;
	int error;

	if (pg->flags & PG_RELEASED)
		return 0;			/* the copy will ask again */
	if (pg->loan_count != 0 && (prot & VM_PROT_WRITE) != 0) {
		pg = uvm_loanbreak(pg);
		if (pg == NULL)
			return ENOMEM;
		*pgp = pg;
	}
	KASSERT((pg->flags & (PG_BUSY | PG_FAKE)) == PG_BUSY);
	KASSERTMSG((prot & VM_PROT_WRITE) == 0 || (pg->flags & PG_RDONLY) == 0,
	    "I-OBJ-8: a store to a page without blocks");
	KASSERTMSG((prot & VM_PROT_WRITE) == 0 || pg->loan_count == 0, "R15: store to a loaned page");
	error = pmap_enter(pmap_kernel(), va, VM_PAGE_TO_PHYS(pg), prot,
	    (unsigned)uw->uw_access | (BUG(plain_enter_can_fail) ? 0 : PMAP_CANFAIL));	/* R39 */
	if (error != 0)
		return error;
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	return 0;
}

/*
 * => pages BUSY, nothing locked; all are let go, mapped but for an error
 */
static int
ubc_enter_all(const struct ubc_want *uw, struct vm_page **pgs, int n)
{
	int error = 0;

	mutex_enter(&uw->uw_uobj->vmobjlock);
	for (int i = 0; i < n; i++) {
		if (error == 0)
			error = ubc_enter(uw, uw->uw_va + ptoa(i), &pgs[i]);
		uvm_lock_pageq();
		uvm_page_unbusy(&pgs[i], 1);
		uvm_unlock_pageq();
	}
	mutex_exit(&uw->uw_uobj->vmobjlock);
	pmap_update(pmap_kernel());
	return error;
}

int
ubc_fault(struct uvm_faultinfo *ufi, vaddr_t startva, struct vm_page **pps, int npages,
    int centeridx, vm_prot_t access, int flags)
{
	const struct ubc_map *um = ubc_window(ufi->orig_rvaddr);
	struct vm_page *pgs[UVM_MAXGETPAGES] = { NULL };
	struct ubc_want uw;
	int error;

	KASSERT(mutex_owned(&ubc_object.uobj.vmobjlock));
	KASSERTMSG(um->um_refcount > 0, "fault on a window that nobody uses");
	KASSERTMSG((um->um_flags & UMAP_PAGES_LOCKED) == 0,
	    "I-UBC-4: fault on a window whose pages are locked");
	KASSERTMSG((access & VM_PROT_WRITE) == 0 || um->um_writer == curlwp,
	    "I-UBC-5: store to a window without being its writer");
	uvmfault_unlockall(ufi, NULL, &ubc_object.uobj, NULL);
	UVMCNT(ubc_faults);
	uw = ubc_want(um, ufi->orig_rvaddr);
	mutex_enter(&uw.uw_uobj->vmobjlock);
	error = uw.uw_uobj->pgops->pgo_get(uw.uw_uobj, uw.uw_off, pgs, &uw.uw_npages, 0,
	    uw.uw_access, UVM_ADV_NORMAL,
	    PGO_SYNCIO | ((uw.uw_access & VM_PROT_WRITE) != 0 ? PGO_PASTEOF : 0));
	if (error == 0)
		error = ubc_enter_all(&uw, pgs, uw.uw_npages) != 0 ? uvmfault_shortage(&ufi->waits) : 0;
	return error;
}
