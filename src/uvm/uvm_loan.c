/*
 * Page loaning: the walk over the entries of a range, and undoing (uvm-spec 10).
 *
 *	lender		borrower	what is shared		how it is counted
 *	anon		anon		the anon		an_ref
 *	object		anon		the object's page	uanon, loan_count 1
 *	anon		kernel		the anon's page		loan_count, wire_count
 *	object		kernel		the object's page	loan_count, wire_count
 *	nobody		either		the page of zeroes	as an object's
 *
 * A loan is copy-on-write in general (R16): while loan_count is not 0 nobody maps the page
 * writable, nobody wires it otherwise, and who wants to store to it, or to wire it, puts a
 * copy in its place and leaves the old page to the borrowers (R15).  The machine is told by
 * pmap_page_readonly(): it refuses writable mappings, and reports a store through a stale
 * TLB entry.
 *
 * A loan to the kernel wires the page (R6).  It is on no queue then, so the page daemon does
 * not know it (R7), and the kernel's own mapping, which is unmanaged, can be relied on in an
 * interrupt.  The mappings of users are not wired by it and may be revoked.  Nothing that is
 * wired can be shared copy-on-write (R13, R14), so
 *
 *	- what is wired by mlock or for I/O is not lent (EBUSY), and wiring breaks loans;
 *	- an anon that others refer to is copied for who lends it to the kernel;
 *	- fork copies what is on loan to the kernel for the child at once;
 *	- an anon whose page the kernel has on loan is not lent to anons (EBUSY).
 *
 * If the owner goes first the page becomes an orphan: on no queue, found by its borrowers
 * only.  The last unloan frees it; an anon that borrows it adopts it at its next lock.
 *
 * One call goes entry by entry, with map(R) and amap held from page to page.  Where something
 * must be waited for, all is unlocked, and the page that is next is looked up anew, its own
 * slot in the amap included (B-4).  An error undoes the whole call (I-LOAN-6).  Of anonymous
 * pages that can be lent as they are a run keeps pageq, too, and tries the locks of their anons.
 *
 * Locks as in the fault handler: maps, amap, object, anon, page queues.
 */
#include <sys/bug.h>
#include <uvm/uvm.h>
#include <uvm/uvm_device.h>

#include "uvm_loan_i.h"

/* => map(R): can what the entry maps be lent at all? */
static int
lendable(const struct vm_map_entry *entry)
{
	struct uvm_object *uobj = entry->object.uvm_obj;

	if ((entry->protection & VM_PROT_READ) == 0)
		return EACCES;
	/* device registers have no pages, and an object that does its own faults no plain ones */
	if (uobj != NULL && uobj->pgops->pgo_fault != NULL)
		return EINVAL;
	if (uobj == NULL && entry->aref.ar_amap == NULL && !UVM_ET_ISCOPYONWRITE(entry))
		return EINVAL;
	return 0;
}

/*
 * The pages of the entry at the next address, as far as they are asked for.
 * => nothing locked in and out; 0, ERESTART, or why not
 */
static int
loan_entry(struct uvm_loan *ul, vaddr_t end)
{
	struct uvm_faultinfo *ufi = &ul->ul_ufi;
	int error;

	if (!uvmfault_lookup(ufi, false))
		return ENOENT;
	error = lendable(ufi->entry);
	if (error != 0) {
		uvmfault_unlockmaps(ufi, false);
		return error;
	}
	if (BUG(loan_wrong_slot))
		ul->ul_flt.startva = ufi->orig_rvaddr;	/* where the look-up found the first page */
	ul->ul_flt.amap = ufi->entry->aref.ar_amap;
	if (UVM_ET_ISNEEDSCOPY(ufi->entry) && ul->ul_flt.amap != NULL &&
	    (ul->ul_flags & UVM_LOAN_TOPAGE) != 0) {
		/* R14: others may have the anons too; the copy's references say so */
		uvmfault_unlockmaps(ufi, false);
		error = uvmfault_amapcopy(ufi);
		return error == 0 || error == EFAULT ? ERESTART : error;
	}
	if (ul->ul_flt.amap != NULL)
		amap_lock(ul->ul_flt.amap);
	if (end > ufi->entry->end)
		end = ufi->entry->end;
	ul->ul_quick = (ul->ul_flags & UVM_LOAN_TOPAGE) != 0 && ul->ul_flt.amap != NULL;
	while (ufi->orig_rvaddr < end) {
		if (end - ufi->orig_rvaddr > PAGE_SIZE)
			uvm_loan_lock_pageq(ul);
		error = uvm_loan_next(ul);
		if (error != 0)
			return error;
		ul->ul_n++;
		ufi->orig_rvaddr += PAGE_SIZE;
	}
	uvm_loan_unlock_pageq(ul);
	uvmfault_unlockall(ufi, ul->ul_flt.amap, NULL, NULL);
	return 0;
}

/*
 * => see uvm_loan.h.
 */
int
uvm_loan(struct vm_map *map, vaddr_t start, vsize_t len, void *v, int flags)
{
	struct uvm_loan ul = {
		.ul_ufi = { .orig_map = map, .orig_rvaddr = start, .orig_size = PAGE_SIZE },
		.ul_flt = { .access = VM_PROT_READ },
		.ul_flags = flags, .ul_result = v,
	};
	int error = 0;

	KASSERT(flags == UVM_LOAN_TOANON || flags == UVM_LOAN_TOPAGE);
	KASSERT(((start | len) & PAGE_MASK) == 0);
	KASSERT((map->flags & VM_MAP_INTRSAFE) == 0);
	KASSERT(!cpu_intr_p());
	while (error == ERESTART || (error == 0 && ul.ul_ufi.orig_rvaddr < start + len)) {
		error = loan_entry(&ul, start + len);
		if (ul.ul_flt.pinned != NULL) {
			ul.ul_flt.pinned->pgops->pgo_detach(ul.ul_flt.pinned);
			ul.ul_flt.pinned = NULL;
		}
	}
	if (error == 0)
		return 0;
	UVMCNT(loan_refused);
	UVMCNT_ADD(loan_undone, (uint64_t)ul.ul_n);
	uvm_unloan(v, ul.ul_n, flags);			/* I-LOAN-6 */
	return error;
}

/* --- objects without a map --- */

/*
 * Lend the pages that a get has made BUSY, and let go of them.
 * => object locked; pages that were RELEASED meanwhile are freed, and are not lent, nor what
 *    comes after them
 * => how many were lent; *errorp: why not more
 */
static int
lend_pages(struct vm_page **pgs, int n, void *result, int first, int flags, int *errorp)
{
	int lent = 0;

	*errorp = 0;
	while (lent < n && *errorp == 0 && (pgs[lent]->flags & PG_RELEASED) == 0) {
		*errorp = uvm_loan_objpage(pgs[lent], result, first + lent, flags);
		if (*errorp == 0)
			lent++;
	}
	uvm_lock_pageq();
	for (int i = 0; i < n; i++)
		if ((pgs[i]->flags & PG_RELEASED) == 0)
			uvm_pageactivate(pgs[i]);
	uvm_page_unbusy(pgs, n);
	uvm_unlock_pageq();
	return lent;
}

/*
 * => object not locked; sleeps.  How many were lent; *errorp: what stopped us, EAGAIN: nothing
 *    that lasts
 */
static int
lend_chunk(struct uvm_object *uobj, voff_t off, int n, void *result, int first, int flags, int *errorp)
{
	struct vm_page *pgs[UVM_MAXGETPAGES] = { NULL };
	int lent;

	if (n > UVM_MAXGETPAGES)
		n = UVM_MAXGETPAGES;
	mutex_enter(&uobj->vmobjlock);
	*errorp = uobj->pgops->pgo_get(uobj, off, pgs, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL,
	    PGO_SYNCIO);				/* unlocks */
	if (*errorp != 0)
		return 0;
	mutex_enter(&uobj->vmobjlock);
	lent = lend_pages(pgs, n, result, first, flags, errorp);
	mutex_exit(&uobj->vmobjlock);
	return lent;
}

static int
loan_object(struct uvm_object *uobj, voff_t off, int npages, void *result, int flags)
{
	int done = 0, error = 0;
	unsigned waits = 0;

	KASSERT(((uint64_t)off & PAGE_MASK) == 0);
	while (done < npages && error == 0) {
		done += lend_chunk(uobj, off + (voff_t)ptoa((uint64_t)done), npages - done, result, done,
		    flags, &error);
		if (error == ENOMEM && uvmfault_shortage(&waits) == ERESTART)
			error = 0;
		if (error == EAGAIN) {
			uvmfault_pause("loanobj", LOAN_PAUSE_NS);
			error = 0;
		}
	}
	if (error == 0)
		return 0;
	UVMCNT(loan_refused);
	UVMCNT_ADD(loan_undone, (uint64_t)done);
	uvm_unloan(result, done, flags);		/* I-LOAN-6 */
	return error;
}

int
uvm_loanuobjpages(struct uvm_object *uobj, voff_t off, int npages, struct vm_page **pgs)
{
	return loan_object(uobj, off, npages, pgs, UVM_LOAN_TOPAGE);
}

int
uvm_loanuobjanons(struct uvm_object *uobj, voff_t off, int npages, struct vm_anon **anons)
{
	return loan_object(uobj, off, npages, anons, UVM_LOAN_TOANON);
}
