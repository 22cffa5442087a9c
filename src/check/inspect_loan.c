/*
 * The inspector of loans: who borrows each page, and what that means for it.
 *
 * loan_count is a number without names.  The names: the anon that has the page of an object,
 * or of nobody, and the windows of packets on their way.  Whoever else borrows does so during
 * a call, and nobody is inside one.  So at rest every loan has a name (I-PG-12), every window
 * is mapped as it was made (I-LOAN-3), and what is on loan is read-only and not wired otherwise.
 */
#include <stdlib.h>

#include <harness/xalloc.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_sosend.h>

#include "about.h"
#include "inspect_int.h"

struct loan_walk {
	uint32_t	*lw_windows;	/* by frame number: windows onto it */
	uint64_t	 lw_kva;	/* bytes of windows */
	unsigned	 lw_bad;
};

static void
bad(struct loan_walk *lw, const char *id, const struct vm_page *pg, const char *what)
{
	about_page(pg);
	violation(VIOL_INVARIANT, id, "page %#lx: %s (loans %u, windows %u, wired %u, flags %#x, "
	    "pqflags %#x, owners: %s%s)", (unsigned long)VM_PAGE_TO_PHYS(pg), what, pg->loan_count,
	    lw->lw_windows[atop(VM_PAGE_TO_PHYS(pg))], pg->wire_count, pg->flags, pg->pqflags,
	    pg->uobject != NULL ? "object " : "", pg->uanon != NULL ? "anon" : "");
	lw->lw_bad++;
}

/* => a window's page i is mapped at va + i, read-only */
static void
one_window(vaddr_t kva, struct vm_page *const *pgs, int n, void *arg)
{
	struct loan_walk *lw = arg;

	for (int i = 0; i < n; i++) {
		paddr_t pa;

		lw->lw_windows[atop(VM_PAGE_TO_PHYS(pgs[i]))]++;
		if (!pmap_extract(pmap_kernel(), kva + ptoa((uint64_t)i), &pa) ||
		    pa != VM_PAGE_TO_PHYS(pgs[i]))
			bad(lw, CHECK_ID(I_LOAN_3), pgs[i], "a window onto it is not mapped, or to another frame");
	}
	lw->lw_kva += ptoa((uint64_t)n);
}

static void
kernel_pte(vaddr_t va, uint64_t pte, void *arg)
{
	struct vm_page *pg = PHYS_TO_VM_PAGE(pte & PTE_FRAME);

	if ((pte & PTE_W) != 0 && pg != NULL && pg->loan_count != 0)
		bad(arg, CHECK_ID(I_LOAN_1), pg, "on loan, and the kernel maps it writable (R15)");
}

static void
check_page(struct loan_walk *lw, const struct vm_page *pg)
{
	uint32_t windows = lw->lw_windows[atop(VM_PAGE_TO_PHYS(pg))];
	bool borrowed = uvm_page_borrowed(pg);

	if (pg->loan_count != (borrowed ? 1 : 0) + windows)
		bad(lw, CHECK_ID(I_PG_12), pg, "its loans are not those of its anon and of windows");
	if ((pg->mdpage.md_readonly != 0) != (pg->loan_count != 0))
		bad(lw, CHECK_ID(I_LOAN_1), pg, "the machine does not know whether it is on loan");
	if (borrowed && pg->uanon->an_page != pg)
		bad(lw, CHECK_ID(I_LOAN_7), pg, "the anon that borrows it has another page");
	if (pg->loan_count == 0)
		return;
	if (pg->wire_count != windows)
		bad(lw, CHECK_ID(I_LOAN_5), pg, "wired, and on loan, but not by its loans to the kernel alone (R6)");
	if (pg->uobject != NULL || pg->uanon != NULL)
		return;
	if ((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE | PQ_ANON)) != 0 || (pg->flags & PG_TABLED) != 0)
		bad(lw, CHECK_ID(I_LOAN_4), pg, "an orphan, and on a queue or somebody's");
	if (pmap_page_mapped((struct vm_page *)pg))
		bad(lw, CHECK_ID(I_LOAN_4), pg, "an orphan, and a process maps it");
}

unsigned
inspect_loans(void)
{
	struct loan_walk lw = { .lw_windows = xcalloc(uvm.npages, sizeof(*lw.lw_windows)) };
	vsize_t limit, kva = uvm_sosend_kva(&limit);

	CHECKS_RAN(CHK_I_LOAN_1, CHK_I_LOAN_3, CHK_I_LOAN_4, CHK_I_LOAN_5, CHK_I_LOAN_7,
	    CHK_I_LOAN_8, CHK_I_PG_12);
	uvm_sosend_foreach(one_window, &lw);
	for (uint64_t i = 0; i < uvm.npages; i++)
		check_page(&lw, &uvm.pages[i]);
	pmap_foreach(pmap_kernel(), kernel_pte, &lw);
	if (kva != lw.lw_kva || kva > limit) {
		violation(VIOL_INVARIANT, CHECK_ID(I_LOAN_8), "%lu bytes of windows are counted, there are %lu, and "
		    "may be %lu", (unsigned long)kva, (unsigned long)lw.lw_kva, (unsigned long)limit);
		lw.lw_bad++;
	}
	free(lw.lw_windows);
	return lw.lw_bad;
}
