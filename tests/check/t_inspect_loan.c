/*
 * The inspector of loans finds what it is for: one thing is corrupted, the rule's id must be
 * heard, and when it is mended all is well again.
 */
#include "tinspect.h"

#include <machine/nic.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_sosend.h>

static struct vm_page *pg;
static struct vnode *vp;
static struct vm_anon *anon;

static void
begin(void)
{
	ti_begin("a");
	vp = tu_file(ptoa(4));
	pg = tm_page(tm_proc, 0);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anon), 0);
	CHECK_EQ(inspect_loans(), 0);
	tm_collect();
}

#define	END(ids) do {								\
	TI_MENDED(inspect_loans, ids);						\
	uvm_unloan(&anon, 1, UVM_LOAN_TOANON);					\
	vrele(vp);								\
	tm_shutdown();								\
} while (0)

KTEST(I_PG_12_loan_of_nobody, "a loan to the kernel that no window accounts for")
{
	begin();
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), &pg, UVM_LOAN_TOPAGE), 0);
	CHECK(inspect_loans() > 0);
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
	END("I-PG-12 I-LOAN-5");
}

KTEST(I_PG_12_borrower_not_counted, "an anon borrows, and loan_count does not say so")
{
	begin();
	anon->an_page->loan_count = 2;
	CHECK_EQ(inspect_loans(), 1);
	anon->an_page->loan_count = 1;
	END("I-PG-12");
}

KTEST(I_LOAN_1_machine_not_told, "a page on loan that the machine lets be stored to")
{
	begin();
	anon->an_page->mdpage.md_readonly = 0;
	CHECK_EQ(inspect_loans(), 1);
	anon->an_page->mdpage.md_readonly = 1;
	END("I-LOAN-1");
}

KTEST(I_LOAN_5_wired_otherwise, "a page on loan that is wired by somebody else")
{
	begin();
	anon->an_page->wire_count++;
	CHECK_EQ(inspect_loans(), 1);
	anon->an_page->wire_count--;
	END("I-LOAN-5");
}

KTEST(I_LOAN_4_orphan_on_a_queue, "a page without owner, on loan to the kernel and on a queue")
{
	begin();
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), &pg, UVM_LOAN_TOPAGE), 0);
	CHECK_EQ(uvm_munmap(tm_map(tm_proc), TM_VA(0), TM_VA(1)), 0);
	pg->pqflags |= PQ_ACTIVE;
	CHECK(inspect_loans() > 0);
	pg->pqflags &= ~PQ_ACTIVE;
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
	END("I-PG-12 I-LOAN-5 I-LOAN-4");	/* no window has it either */
}

KTEST(I_LOAN_7_borrower_has_another_page, "the page's anon does not know of it")
{
	struct vm_page *lent;

	begin();
	lent = anon->an_page;
	anon->an_page = pg;
	CHECK_EQ(inspect_loans(), 1);
	anon->an_page = lent;
	END("I-LOAN-7");
}

KTEST(I_LOAN_1_kernel_maps_it_writable, "a kernel mapping from before the loan that may store")
{
	vaddr_t va;

	begin();
	va = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	anon->an_page->mdpage.md_readonly = 0;		/* or it is refused */
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(anon->an_page), VM_PROT_READ | VM_PROT_WRITE);
	anon->an_page->mdpage.md_readonly = 1;
	CHECK_EQ(inspect_loans(), 1);
	pmap_kremove(va, PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_km_free(mb_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
	END("I-LOAN-1");
}

static struct nic_packet *kept;

int	__real_nic_transmit(struct nic_packet *);
int	__wrap_nic_transmit(struct nic_packet *);

int
__wrap_nic_transmit(struct nic_packet *np)
{
	kept = np;
	return 0;
}

KTEST(I_LOAN_3_window_not_mapped, "a window onto a page on loan that has lost its mapping")
{
	struct so_send ss;
	vaddr_t va;

	begin();
	CHECK_EQ(sys_send(tm_proc, TM_VA(0), PAGE_SIZE, 0, &ss), 0);	/* kept back */
	CHECK_EQ(inspect_loans(), 0);
	va = vm_map_min(mb_map);
	pmap_kremove(va, PAGE_SIZE);
	pmap_update(pmap_kernel());
	CHECK_EQ(inspect_loans(), 1);
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(pg), VM_PROT_READ);
	CHECK_EQ(__real_nic_transmit(kept), 0);
	so_send_wait(&ss);
	uvm_loanfree_drain();
	END("I-LOAN-3");
}

KTEST_MAIN()
