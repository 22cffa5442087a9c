/*
 * UBC: windows that are overwritten (FAULTBUSY).
 *
 * Whole pages that are about to be overwritten need not be read.  Those that are not in
 * memory come from the pager without content (PG_FAKE), and so that nobody sees them, or
 * an old page half new, all stay BUSY until the copy is over.  The kernel stores through
 * unmanaged mappings, which protect nothing: so a loan is broken first (R15), and the
 * mappings are gone from every TLB before the first page is let go.
 *
 * Nobody may sleep with them BUSY (uvm-spec 15.4): the source of the copy may be a mapping
 * of these very pages, and we would wait for ourselves (H-3, T-63).  So the copy does not
 * fault.  If it has to stop half-way, the pages that are complete are content, those that
 * were resident are what they were but for the new part, and those without content are
 * given up: nobody ever sees them (B-25, T-68), and the file still has what they lack.
 */
#include <machine/softmmu.h>
#include <sys/bug.h>
#include <uvm/uvm.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_loan.h>

/*
 * The pages are not to be used after all.
 * => object locked
 */
static void
ubc_give_up(struct vm_page **pgs, int n)
{
	uvm_lock_pageq();
	for (int i = 0; i < n; i++)
		if ((pgs[i]->flags & PG_FAKE) != 0 && !BUG(faultbusy_shows_fake))
			pgs[i]->flags |= PG_RELEASED;	/* B-25 */
	uvm_page_unbusy(pgs, n);
	uvm_unlock_pageq();
}

/*
 * => object locked, pages BUSY: they stay, and are the writer's alone; 0 or EBUSY
 */
static int
ubc_claim(struct vm_page **pgs, int n)
{
	for (int i = 0; i < n; i++) {
		if (pgs[i]->flags & PG_RELEASED)
			return EBUSY;
		if (pgs[i]->loan_count != 0) {
			struct vm_page *pg = uvm_loanbreak(pgs[i]);

			if (pg == NULL)
				return EBUSY;
			pgs[i] = pg;
		}
		KASSERT((pgs[i]->flags & PG_BUSY) != 0);
		KASSERTMSG((pgs[i]->flags & PG_RDONLY) == 0, "I-OBJ-8: a store to a page without blocks");
	}
	return 0;
}

int
ubc_busy_pages(struct ubc_map *um)
{
	struct uvm_object *uobj = um->um_uobj;
	struct vm_page *pgs[UVM_MAXGETPAGES] = { NULL };
	int want = (int)atop(round_page(um->um_writelen)), n = want, error;
	vaddr_t va = ubc_window_va(um) + (vsize_t)(um->um_writeoff - um->um_offset);

	KASSERT(um->um_writer == curlwp);
	KASSERT(((vsize_t)um->um_writeoff & PAGE_MASK) == 0);
	mutex_enter(&uobj->vmobjlock);
	error = uobj->pgops->pgo_get(uobj, um->um_writeoff, pgs, &n, 0,
	    VM_PROT_READ | VM_PROT_WRITE, UVM_ADV_NORMAL, PGO_SYNCIO | PGO_OVERWRITE | PGO_PASTEOF);
	if (error != 0)
		return error;
	KASSERT(n == want);		/* the extension has been announced */
	mutex_enter(&uobj->vmobjlock);
	error = ubc_claim(pgs, n);
	if (error != 0)
		ubc_give_up(pgs, n);
	mutex_exit(&uobj->vmobjlock);
	if (error != 0)
		return error;
	um->um_npages = n;
	for (int i = 0; i < n; i++)
		um->um_pages[i] = pgs[i];
	pmap_kenter_pages(va, pgs, n, VM_PROT_READ | VM_PROT_WRITE);
	return 0;
}

/*
 * One page after the copy.
 * => object and pageq locked; whole: all of it was stored
 */
static void
ubc_page_done(struct vm_page *pg, bool whole)
{
	KASSERTMSG((pg->flags & PG_BUSY) != 0 && pg->owner == curlwp,
	    "I-UBC-4: page %#lx was not left alone", (unsigned long)VM_PAGE_TO_PHYS(pg));
	KASSERTMSG(pg->loan_count == 0, "I-UBC-4: a page that is overwritten was lent");
	if (!whole && (pg->flags & PG_FAKE) != 0) {
		pg->flags |= PG_RELEASED;			/* B-25 */
		return;
	}
	pg->flags &= ~(PG_FAKE | PG_CLEAN);
	uvm_pageactivate(pg);
}

void
ubc_unbusy_pages(struct ubc_map *um, vsize_t done)
{
	struct uvm_object *uobj = um->um_uobj;
	vaddr_t va = ubc_window_va(um) + (vsize_t)(um->um_writeoff - um->um_offset);
	vsize_t size = ptoa(um->um_npages);

	KASSERT(um->um_writer == curlwp);
	KASSERT(um->um_refcount == 1);
	KASSERT(done <= um->um_writelen);
	if (done == um->um_writelen && done < size) {
		/* the file ends here: the rest of its last page is zero */
		if (kern_zero(va + done, size - done) != 0)
			panic("window %d lost its mapping", (int)(um - ubc_object.umap));
		done = size;
	}
	pmap_kremove(va, size);
	pmap_update(pmap_kernel());	/* before anybody else may have the pages */
	mutex_enter(&uobj->vmobjlock);
	uvm_lock_pageq();
	for (int i = 0; i < um->um_npages; i++)
		ubc_page_done(um->um_pages[i], ptoa(i + 1) <= done);
	uvm_page_unbusy(um->um_pages, um->um_npages);
	uvm_unlock_pageq();
	mutex_exit(&uobj->vmobjlock);
	um->um_npages = 0;
}
