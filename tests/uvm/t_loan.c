/*
 * Page loaning: what is lent to whom, what is refused, and each way that a loan ends
 * (uvm-spec 10.5).  Races are in t_loan_race.c.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096
#define	R	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	FILE_PAGE 40			/* where map_file() puts the file */

static struct vnode *vp;
static struct vm_page *pgs[16];
static struct vm_anon *anons[16];

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	vp = tu_file(ptoa(16));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

static int
lend_error(int page, int n)
{
	return uvm_loan(tm_map(tm_proc), TM_VA(page), ptoa((uint64_t)n), pgs, UVM_LOAN_TOPAGE);
}

/* => pgs[] are on loan to the kernel */
static void
lend(int page, int n)
{
	CHECK_EQ(lend_error(page, n), 0);
}

static void
unlend(int n)
{
	uvm_unloan(pgs, n, UVM_LOAN_TOPAGE);
}

/* => the file's pages from 0 on, shared and writable, at FILE_PAGE */
static void
map_file(int n, bool private)
{
	vaddr_t va = TM_VA(FILE_PAGE);

	vref(vp);
	CHECK_EQ(uvm_map(tm_map(tm_proc), &va, ptoa((uint64_t)n), &vp->v_uobj, 0, 0, UVM_MAPFLAG(RW, RW,
	    private ? MAP_INHERIT_COPY : MAP_INHERIT_SHARE, UVM_ADV_RANDOM,
	    UVM_FLAG_FIXED | (private ? UVM_FLAG_COPYONW : 0))), 0);
}

static uint64_t
counted(enum uvm_counter c)
{
	return tu_count(c);
}

/* --- to the kernel --- */

KTEST(R6_R7_loan_to_the_kernel_is_wired, "a page on loan to the kernel is wired and on no queue, and what it was before when it comes back")
{
	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	lend(0, 2);
	for (int i = 0; i < 2; i++) {
		CHECK(pgs[i] == tm_page(tm_proc, i));
		CHECK(pgs[i]->loan_count == 1 && pgs[i]->wire_count == 1);
		CHECK_EQ(pgs[i]->pqflags & (PQ_ACTIVE | PQ_INACTIVE), 0);
		CHECK_EQ(*tu_words(pgs[i]), 5 + (uint64_t)i);
	}
	CHECK_EQ(counted(UVMC_loan_to_kernel), 2);
	unlend(2);
	CHECK(pgs[0]->loan_count == 0 && pgs[0]->wire_count == 0);
	CHECK((pgs[0]->pqflags & PQ_ACTIVE) != 0);
	CHECK_EQ(counted(UVMC_loan_returned), 2);
	tm_store(0, 7);
	CHECK(tm_page(tm_proc, 0) == pgs[0]);		/* ours again */
	end();
}

KTEST(loans_of_one_page_add_up, "each loan counts, and the last one unwires")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	lend(0, 1);
	CHECK(pgs[0]->loan_count == 2 && pgs[0]->wire_count == 2);
	unlend(1);
	CHECK(pgs[0]->loan_count == 1 && pgs[0]->wire_count == 1);
	tm_store(0, 6);
	CHECK_EQ(*tu_words(pgs[0]), 5);
	CHECK_EQ(uvm.orphans, 1);
	unlend(1);
	CHECK_EQ(uvm.orphans, 0);
	end();
}

KTEST(store_by_the_lender_breaks_the_loan, "the loan keeps what it was lent; the old page is an orphan, freed by its end (I-LOAN-4)")
{
	uint64_t free;

	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	tm_store(0, 6);
	CHECK(tm_page(tm_proc, 0) != pgs[0]);
	CHECK_EQ(*tu_words(pgs[0]), 5);
	CHECK(pgs[0]->uanon == NULL && pgs[0]->uobject == NULL && pgs[0]->wire_count == 1);
	CHECK_EQ(uvm.orphans, 1);
	CHECK(counted(UVMC_loan_broken) == 1 && counted(UVMC_loan_orphaned) == 1);
	free = tu_free();
	unlend(1);
	CHECK(uvm.orphans == 0 && tu_free() == free + 1 && pgs[0]->pqflags == PQ_FREE);
	end();
}

KTEST(R15_every_sharer_loses_write_permission, "a page that two processes map writable is lent: both store to a copy, which they share")
{
	struct proc *other;

	begin(1);
	tm_put(tm_proc, "s");
	CHECK_EQ(proc_fork(tm_proc, "other", &other), 0);
	tm_store(0, 5);
	tm_store_in(other, 0, 6);			/* both have it writable now */
	lend(0, 1);
	tm_store_in(other, 0, 7);
	CHECK_EQ(*tu_words(pgs[0]), 6);
	CHECK_EQ(tm_load(0), 7);
	tm_store(0, 8);
	CHECK_EQ(tm_load_in(other, 0), 8);
	unlend(1);
	proc_exit(other);
	end();
}

KTEST_DEATH(R15_writable_mapping_of_a_page_on_loan, "pmap_enter() refuses a writable mapping of a page on loan", "R15")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	mutex_enter(&pgs[0]->uanon->an_lock);
	(void)pmap_enter(tm_map(tm_proc)->pmap, TM_VA(0), VM_PAGE_TO_PHYS(pgs[0]), RW, PMAP_CANFAIL);
}

KTEST_DEATH(R15_writable_kernel_mapping_of_a_page_on_loan, "pmap_kenter_pa() does, which pmap_copy_on_write() could not find", "R15")
{
	vaddr_t va;

	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	va = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(pgs[0]), RW);
}

KTEST_DEATH(R15_lent_while_it_is_writable, "a page is not lent while somebody maps it writable", "R15.*writable")
{
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	mutex_enter(&pg->uanon->an_lock);
	uvm_lock_pageq();
	uvm_page_setloans(pg, 1);
}

KTEST(T53_I_LOAN_1_stale_translation_is_reported, "a store to a page on loan through a TLB entry that should have gone is a violation")
{
	struct vm_page *pg;

	begin(1);
	tm_collect();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	/* as if a shootdown had been forgotten */
	__atomic_store_n(&pg->mdpage.md_readonly, 1, __ATOMIC_RELAXED);
	tm_store(0, 6);
	CHECK_STR(tm_seen, "I-LOAN-1");
	__atomic_store_n(&pg->mdpage.md_readonly, 0, __ATOMIC_RELAXED);
	end();
}

KTEST_DEATH(I_LOAN_3_copy_onto_a_page_on_loan, "the kernel itself does not write to a page on loan", "I-LOAN-3")
{
	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 5);
	lend(0, 1);
	mutex_enter(&pgs[0]->uanon->an_lock);
	uvm_pagecopy(tm_page(tm_proc, 1), pgs[0]);
}

static void
unlend_in_interrupt(void *arg)
{
	unlend(1);
}

KTEST_DEATH(I_KM_5_unloan_in_interrupt, "loans are not returned in interrupt, but handed to the loanfree LWP", "I-KM-5")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	intr_establish(IRQ_DEVICE, IPL_VM, unlend_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
}

/* --- what is refused --- */

KTEST(wired_memory_is_not_lent, "mlocked pages, and pages of I/O, are refused by EBUSY, to either")
{
	begin(1);
	tm_put(tm_proc, "aao");
	for (int i = 0; i < 3; i++)
		tm_store(i, 5);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(lend_error(0, 1), EBUSY);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), anons, UVM_LOAN_TOANON), EBUSY);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(1), ptoa(2), RW), 0);
	CHECK_EQ(lend_error(1, 1), EBUSY);
	CHECK_EQ(lend_error(2, 1), EBUSY);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(2), ptoa(1), anons, UVM_LOAN_TOANON), EBUSY);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(1), ptoa(2));
	CHECK_EQ(counted(UVMC_loan_refused), 5);
	end();
}

KTEST(T57_I_LOAN_6_failure_undoes_the_call, "the last page of two entries is missing, or wired: nothing is on loan, and stores need no fault")
{
	uint64_t faults;

	begin(1);
	tm_put(tm_proc, "aanoo..");
	for (int i = 0; i < 5; i++)
		tm_store(i, 5 + (uint64_t)i);
	CHECK_EQ(lend_error(0, 6), ENOENT);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(4), ptoa(1)), 0);
	CHECK_EQ(lend_error(0, 5), EBUSY);
	CHECK_EQ(counted(UVMC_loan_undone), 9);
	for (int i = 0; i < 4; i++) {
		pgs[i] = tm_page(tm_proc, i);
		CHECK(pgs[i]->loan_count == 0 && pgs[i]->wire_count == 0);
		tm_store(i, 9);
		CHECK(tm_page(tm_proc, i) == pgs[i]);
	}
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(4), ptoa(1)), 0);
	CHECK_EQ(counted(UVMC_loan_broken), 0);
	faults = counted(UVMC_faults);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(6), anons, UVM_LOAN_TOANON), ENOENT);
	CHECK_EQ(counted(UVMC_faults), faults);
	end();
}

/* => the run from page 0 on is on loan as often as said, each page read-only; 4: nobody has stored to it */
static void
check_run(uint32_t loans)
{
	for (int i = 0; i < 8; i++) {
		CHECK(i == 4 || (tm_load(i) == 5 + (uint64_t)i && pgs[i] == tm_page(tm_proc, i)));
		CHECK(i == 4 || *tu_words(pgs[i]) == 5 + (uint64_t)i);
		CHECK(i == 4 || (pgs[i]->loan_count == loans && pgs[i]->wire_count == loans));
		CHECK(uvm_page_readonly(pgs[i]));
	}
}

KTEST(a_run_is_lent_whatever_lies_in_it, "pages that can be lent as they are go together; between them one that is mapped writable, untouched, shared or wired")
{
	struct proc *child;
	uint64_t gets;

	begin(1);
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		if (i != 4)
			tm_store(i, 5 + (uint64_t)i);
	lend(0, 8);
	check_run(1);
	unlend(8);
	gets = counted(UVMC_fltanget);
	lend(0, 4);
	lend(0, 4);
	CHECK_EQ(counted(UVMC_fltanget), gets);	/* as they are */
	CHECK(pgs[0]->loan_count == 2 && pgs[3]->loan_count == 2);
	unlend(4);
	unlend(4);
	tm_store(2, 7);
	tm_store(6, 11);
	lend(0, 8);
	CHECK(counted(UVMC_fltanget) > gets);
	check_run(1);
	CHECK(pgs[4]->uobject != NULL && *tu_words(pgs[4]) == 0);
	unlend(8);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(6), ptoa(1)), 0);
	CHECK_EQ(lend_error(0, 8), EBUSY);		/* and pageq is held no more */
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(6), ptoa(1)), 0);
	CHECK_EQ(tm_page(tm_proc, 0)->loan_count, 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store_in(child, 1, 9);
	lend(0, 8);
	check_run(1);
	CHECK_EQ(tm_load_in(child, 0), 5);
	CHECK(tm_page(child, 0) != pgs[0]);		/* R14 */
	unlend(8);
	proc_exit(child);
	end();
}

KTEST(memory_that_cannot_be_read_is_not_lent, "PROT_NONE is EACCES, device memory EINVAL, nothing there ENOENT")
{
	vaddr_t va = TM_VA(4);

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(1), VM_PROT_NONE), 0);
	CHECK_EQ(lend_error(0, 1), EACCES);
	CHECK_EQ(lend_error(9, 1), ENOENT);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, ptoa(1), VM_PROT_READ, UMAP_SHARED | UMAP_FIXED, DEV_FB, 0), 0);
	CHECK_EQ(lend_error(4, 1), EINVAL);
	CHECK_EQ(sys_loan(tm_proc, va, ptoa(1), tm_proc, TM_VA(1)), EINVAL);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(1)), 0);
	end();
}

/* --- loans and copy-on-write (R13, R14) --- */

KTEST(R14_T62_fork_copies_what_the_kernel_has, "the child of a lender has a copy at once; then both write, and the loan stays as it is")
{
	struct proc *child;
	uint64_t forked;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	lend(0, 1);
	forked = uvm_gauge(UVMG_anonpages);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK(uvm_gauge(UVMG_anonpages) > forked);
	CHECK_EQ(pgs[0]->uanon->an_ref, 1);		/* not shared copy-on-write */
	CHECK_EQ(tm_load_in(child, 0), 5);
	CHECK(tm_page(child, 0) != pgs[0]);
	tm_store(0, 7);
	tm_store_in(child, 0, 8);
	tm_store_in(child, 1, 9);
	CHECK_EQ(*tu_words(pgs[0]), 5);
	CHECK(tm_load(0) == 7 && tm_load(1) == 6);
	unlend(1);
	proc_exit(child);
	end();
}

KTEST(R14_what_is_shared_is_copied_for_the_lender, "memory shared with a child is copied before the kernel gets it; the lender's next load sees the copy")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(tm_load_in(child, 0), 5);
	lend(0, 2);
	CHECK_EQ(counted(UVMC_loan_copied), 2);
	CHECK(pgs[0] != tm_page(child, 0));
	CHECK_EQ(pgs[0]->uanon->an_ref, 1);
	tm_store_in(child, 0, 7);			/* in place: it is the child's alone */
	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pgs[0]);
	unlend(2);
	proc_exit(child);
	end();
}

KTEST(R14_needs_copy_is_not_forgotten, "a lender whose amap is still its child's too copies before it lends: the child never sees the loan")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	lend(0, 2);					/* before anybody has faulted */
	CHECK_EQ(counted(UVMC_loan_copied), 2);
	tm_store_in(child, 0, 7);
	CHECK_EQ(tm_load_in(child, 1), 6);
	CHECK(tm_page(child, 1) != pgs[1] && pgs[1]->uanon->an_ref == 1);
	CHECK_EQ(tm_load(0), 5);
	CHECK_EQ(counted(UVMC_loan_broken), 0);
	unlend(2);
	proc_exit(child);
	end();
}

KTEST(R14_what_the_kernel_has_is_not_lent_to_anons, "copy-on-write of a page that is wired by a loan is refused")
{
	begin(1);
	tm_put(tm_proc, "ab");
	tm_store(0, 5);
	lend(0, 1);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), anons, UVM_LOAN_TOANON), EBUSY);
	CHECK_EQ(pgs[0]->uanon->an_ref, 1);
	unlend(1);
	end();
}

KTEST(T61_wiring_breaks_the_loan, "mlock and vslock of a page on loan take a copy, of anons and of objects (I-LOAN-5)")
{
	begin(1);
	tm_put(tm_proc, "aao");
	for (int i = 0; i < 3; i++)
		tm_store(i, 5);
	lend(0, 3);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(1), ptoa(2), R), 0);
	for (int i = 0; i < 3; i++) {
		CHECK(tm_page(tm_proc, i) != pgs[i]);
		CHECK(tm_wire_count(tm_proc, i) == 1 && tm_page(tm_proc, i)->loan_count == 0);
		CHECK(pgs[i]->loan_count == 1 && pgs[i]->wire_count == 1);
	}
	CHECK_EQ(uvm.orphans, 3);
	unlend(3);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(1), ptoa(2));
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	end();
}

/* --- objects --- */

KTEST(store_to_a_lent_file_page, "the file goes on with a copy, the loan keeps the old content; what is not touched is lent as it is")
{
	begin(1);
	map_file(4, false);
	lend(FILE_PAGE, 4);
	CHECK(tu_lookup(&vp->v_uobj, 0) == pgs[0]);
	tm_store(FILE_PAGE, 6);
	CHECK(tu_lookup(&vp->v_uobj, 0) != pgs[0]);
	CHECK(tu_lookup(&vp->v_uobj, 0) == tm_page(tm_proc, FILE_PAGE));
	CHECK_EQ(*tu_words(pgs[0]), tu_word(0));
	CHECK_EQ(*tu_words(pgs[3]), tu_word(ptoa(3)));
	CHECK_EQ(uvm.orphans, 1);
	unlend(4);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	end();
}

KTEST(T52_truncated_file_on_loan, "the file is truncated and written anew; the loan has the old data, and its orphans are freed once")
{
	uint64_t free;

	begin(1);
	CHECK_EQ(uvm_loanuobjpages(&vp->v_uobj, 0, 16, pgs), 0);
	CHECK_EQ(vnode_truncate(vp, 0), 0);
	CHECK(uvm.orphans == 16 && vp->v_uobj.uo_npages == 0);
	CHECK_EQ(vnode_truncate(vp, ptoa(16)), 0);
	map_file(4, false);
	tm_store(FILE_PAGE, 7);
	for (int i = 0; i < 16; i++)
		CHECK_EQ(*tu_words(pgs[i]), tu_word((voff_t)ptoa(i)));
	free = tu_free();
	unlend(16);
	CHECK(uvm.orphans == 0 && tu_free() == free + 16);
	end();
}

KTEST(I_LOAN_3_truncation_into_a_lent_page, "the tail of the last page becomes zeroes, but not that of the loan")
{
	begin(1);
	CHECK_EQ(uvm_loanuobjpages(&vp->v_uobj, 0, 1, pgs), 0);
	CHECK_EQ(vnode_truncate(vp, 16), 0);
	CHECK(tu_lookup(&vp->v_uobj, 0) != pgs[0]);
	CHECK_EQ(tu_words(pgs[0])[2], tu_word(16));
	CHECK_EQ(tu_words(tu_lookup(&vp->v_uobj, 0))[2], 0);
	CHECK_EQ(tu_words(tu_lookup(&vp->v_uobj, 0))[1], tu_word(8));
	unlend(1);
	end();
}

KTEST(cleaning_a_lent_page, "msync() of a page that was stored to before it was lent writes it; afterwards it is clean and still on loan")
{
	begin(1);
	map_file(1, false);
	tm_store(FILE_PAGE, 6);
	lend(FILE_PAGE, 1);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(FILE_PAGE), ptoa(1), UMS_SYNC), 0);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	CHECK(tu_lookup(&vp->v_uobj, 0) == pgs[0] && pgs[0]->loan_count == 1);
	CHECK((pgs[0]->flags & PG_CLEAN) != 0);
	unlend(1);
	end();
}

KTEST(what_a_broken_loan_leaves_is_dirty, "the copy knows of a store before the loan that only a mapping had noted: nobody stores to it, and the file gets it")
{
	vaddr_t va = TM_VA(0);
	struct vm_page *pg;

	begin(1);
	map_file(1, false);
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, R, UMAP_SHARED | UMAP_FIXED, vp, UF_READ, 0), 0);
	(void)tm_load(FILE_PAGE);
	tm_store(FILE_PAGE, 6);			/* without a fault */
	pg = tu_lookup(&vp->v_uobj, 0);
	CHECK((pg->flags & PG_CLEAN) != 0 && pmap_is_modified(pg));
	lend(FILE_PAGE, 1);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, va, PAGE_SIZE, R), 0);
	CHECK(pgs[0] == pg && tu_lookup(&vp->v_uobj, 0) != pg);
	uvm_vsunlock(tm_proc->p_vmspace, va, PAGE_SIZE);
	unlend(1);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	end();
}

KTEST(what_a_broken_loan_leaves_is_clean, "if the page was: nothing is written that the file has")
{
	struct vm_page *pg, *copy;

	begin(1);
	map_file(1, false);
	(void)tm_load(FILE_PAGE);
	pg = tu_lookup(&vp->v_uobj, 0);
	lend(FILE_PAGE, 1);
	mutex_enter(&vp->v_uobj.vmobjlock);
	uvm_page_busy(pg, "test");
	copy = uvm_loanbreak(pg);
	CHECK(copy != NULL && copy != pg && (copy->flags & PG_CLEAN) != 0);
	uvm_page_unbusy(&copy, 1);
	mutex_exit(&vp->v_uobj.vmobjlock);
	unlend(1);
	end();
}

static bool under_way, done;

static void
dawdle(struct uvm_loanfree *lf)
{
	__atomic_store_n(&under_way, true, __ATOMIC_RELEASE);
	kpause("dawdle", 20000000);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

KTEST(drain_waits_for_the_end_that_is_under_way, "when the list of ended loans is empty the last of them may not be over")
{
	struct uvm_loanfree lf = { .lf_func = dawdle };

	begin(2);
	uvm_loanfree(&lf);
	TU_WAIT(__atomic_load_n(&under_way, __ATOMIC_ACQUIRE));
	uvm_loanfree_drain();
	CHECK(__atomic_load_n(&done, __ATOMIC_ACQUIRE));
	end();
}

KTEST(invalidated_file_page_on_loan, "msync(INVALIDATE) and reclaim take the page from the file, not from the loan")
{
	begin(1);
	map_file(2, false);
	tm_store(FILE_PAGE, 6);
	lend(FILE_PAGE, 2);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(FILE_PAGE), ptoa(2), UMS_SYNC | UMS_INVALIDATE), 0);
	CHECK(uvm.orphans == 2 && tu_lookup(&vp->v_uobj, 0) == NULL);
	CHECK_EQ(tm_load(FILE_PAGE), 6);
	CHECK_EQ(*tu_words(pgs[0]), 6);
	unlend(2);
	end();
}

KTEST(lender_that_dies_leaves_an_orphan, "process, shared memory and file may all go before the loan")
{
	struct uvm_object *obj;
	struct vm_page *shm;

	begin(1);
	obj = uao_create(ptoa(2), 0);
	CHECK_EQ(uvm_loanuobjpages(obj, 0, 1, &shm), 0);
	uao_detach(obj);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(1));
	CHECK(pgs[0]->uanon == NULL && uvm.orphans == 2);
	CHECK(*tu_words(pgs[0]) == 5 && *tu_words(shm) == 0);
	unlend(1);
	uvm_unloan(&shm, 1, UVM_LOAN_TOPAGE);
	CHECK_EQ(uvm.orphans, 0);
	end();
}

KTEST(MADV_FREE_skips_loans, "memory on loan is kept")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	lend(0, 1);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(1), UMADV_FREE), 0);
	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pgs[0]);
	unlend(1);
	end();
}

/* --- the page of zeroes --- */

KTEST(untouched_memory_is_lent_as_zeroes, "one page of zeroes serves all that nobody has stored to")
{
	begin(1);
	tm_put(tm_proc, "aaaa");
	lend(0, 3);
	CHECK(pgs[0] == pgs[1] && pgs[1] == pgs[2]);
	CHECK(pgs[0]->loan_count == 3 && pgs[0]->wire_count == 3);
	for (int i = 0; i < 512; i++)
		CHECK_EQ(tu_words(pgs[0])[i], 0);
	CHECK_EQ(counted(UVMC_loan_zero), 3);
	tm_store(0, 5);
	CHECK_EQ(*tu_words(pgs[0]), 0);
	unlend(3);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(2), ptoa(2), anons, UVM_LOAN_TOANON), 0);
	CHECK(anons[0] == anons[1] && anons[0]->an_ref == 2);
	uvm_unloan(anons, 2, UVM_LOAN_TOANON);
	end();
}

/* --- to anons --- */

static struct proc *
second(const char *lane)
{
	struct proc *p;

	CHECK_EQ(proc_create("second", &p), 0);
	tm_put(p, lane);
	return p;
}

KTEST(anons_are_shared_copy_on_write, "what one process has becomes another's memory; each store goes to a copy")
{
	struct proc *to;

	begin(1);
	tm_put(tm_proc, "aaa");
	tm_store(0, 5);
	tm_store(1, 6);
	to = second("aaa");
	tm_store_in(to, 0, 1);
	CHECK_EQ(sys_loan(tm_proc, TM_VA(0), ptoa(3), to, TM_VA(0)), 0);
	CHECK_EQ(tm_load_in(to, 0), 5);
	CHECK_EQ(tm_load_in(to, 1), 6);
	CHECK_EQ(tm_load_in(to, 2), 0);			/* the page of zeroes */
	CHECK(tm_page(to, 0) == tm_page(tm_proc, 0));
	CHECK_EQ(tm_page(to, 0)->loan_count, 0);	/* A to A counts references only */
	tm_store(0, 7);
	CHECK_EQ(tm_load_in(to, 0), 5);
	tm_store_in(to, 1, 8);
	tm_store_in(to, 2, 9);
	CHECK(tm_load(1) == 6 && tm_load(2) == 0);
	proc_exit(to);
	end();
}

KTEST(object_pages_are_lent_to_anons, "the borrower keeps what the file was, the file goes on; then the page is adopted")
{
	struct vm_page *pg;
	struct proc *to;

	begin(1);
	map_file(2, false);
	to = second("aa");
	CHECK_EQ(sys_loan(tm_proc, TM_VA(FILE_PAGE), ptoa(2), to, TM_VA(0)), 0);
	pg = tu_lookup(&vp->v_uobj, 0);
	CHECK(pg->uanon != NULL && pg->loan_count == 1 && pg->wire_count == 0);
	CHECK((pg->pqflags & PQ_ANON) == 0);
	tm_store(FILE_PAGE, 6);
	CHECK(tu_lookup(&vp->v_uobj, 0) != pg);
	CHECK_EQ(tm_load_in(to, 0), tu_word(0));
	CHECK(tm_page(to, 0) == pg && pg->uobject == NULL && (pg->pqflags & PQ_ANON) != 0);
	CHECK(pg->loan_count == 0 && counted(UVMC_loan_adopted) == 1);
	tm_store_in(to, 0, 7);
	CHECK(tm_page(to, 0) == pg);
	pg = tu_lookup(&vp->v_uobj, ptoa(1));
	tm_store_in(to, 1, 8);				/* a store by the borrower gives it back */
	CHECK(pg->uanon == NULL && pg->loan_count == 0);
	CHECK_EQ(*tu_words(pg), tu_word(ptoa(1)));
	proc_exit(to);
	end();
}

/* => the page that *to, a new process, has borrowed of the file, which has lost it */
static struct vm_page *
lent_and_lost(struct proc **to)
{
	struct vm_page *pg;

	map_file(1, false);
	tm_store(FILE_PAGE, 6);
	*to = second("a");
	CHECK_EQ(sys_loan(tm_proc, TM_VA(FILE_PAGE), ptoa(1), *to, TM_VA(0)), 0);
	pg = tu_lookup(&vp->v_uobj, 0);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(FILE_PAGE), ptoa(1), UMS_SYNC | UMS_INVALIDATE), 0);
	return pg;
}

KTEST(I_PG_1_invalidated_file_page_of_an_anon, "a dirty page goes from its file by msync(INVALIDATE): the page daemon finds it with its borrower")
{
	struct vm_page *pg;
	struct proc *to;

	begin(1);
	pg = lent_and_lost(&to);
	CHECK(tu_lookup(&vp->v_uobj, 0) == NULL && pg->uanon != NULL);
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) != 0);
	CHECK_EQ(tm_load_in(to, 0), 6);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	proc_exit(to);
	end();
}

KTEST(the_page_daemon_adopts, "a borrowed page that its file has lost goes to swap as what it is by now: the borrower's own")
{
	struct vm_page *pg;
	struct proc *to;

	tu_swap = 1 << 20;
	begin(1);
	pg = lent_and_lost(&to);
	CHECK(pg->uobject == NULL && pg->uanon != NULL && (pg->pqflags & PQ_ANON) == 0);
	tu_take(tu_free() - uvm.reserve_kernel, 0);
	for (int i = 0; i < 100 && counted(UVMC_pgswapout) == 0; i++) {
		uvm_kick_pdaemon();
		kpause("adopts", 1000000);
	}
	CHECK(counted(UVMC_pgswapout) == 1 && counted(UVMC_loan_adopted) == 1);
	tu_release();
	CHECK_EQ(tm_load_in(to, 0), 6);
	proc_exit(to);
	end();
}

KTEST(I_PG_12_page_lent_to_both, "an anon and the kernel borrow one page; the kernel's is the last to go, or the first")
{
	begin(1);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 2, anons), 0);
	CHECK_EQ(uvm_loanuobjpages(&vp->v_uobj, 0, 2, pgs), 0);
	CHECK(pgs[0]->loan_count == 2 && pgs[0]->wire_count == 1 && pgs[0]->uanon == anons[0]);
	CHECK_EQ(vnode_truncate(vp, 0), 0);
	CHECK_EQ(uvm.orphans, 0);			/* an anon is left */
	uvm_unloan(&anons[0], 1, UVM_LOAN_TOANON);
	CHECK(uvm.orphans == 1 && pgs[0]->loan_count == 1);
	CHECK_EQ(*tu_words(pgs[0]), tu_word(0));
	unlend(2);
	CHECK(uvm.orphans == 0 && (pgs[1]->pqflags & PQ_ANON) != 0);	/* adopted on the way */
	CHECK(pgs[1]->loan_count == 0 && pgs[1]->wire_count == 0);
	uvm_unloan(&anons[1], 1, UVM_LOAN_TOANON);
	end();
}

KTEST(second_loan_to_an_anon_shares_it, "a page has one anon, however often it is lent")
{
	begin(1);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anons[0]), 0);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anons[1]), 0);
	CHECK(anons[0] == anons[1] && anons[0]->an_ref == 2 && anons[0]->an_page->loan_count == 1);
	uvm_unloan(anons, 2, UVM_LOAN_TOANON);
	end();
}

KTEST(I_LOAN_6_object_that_ends_in_between, "pages of an object are lent all or not at all")
{
	static struct vm_anon *many[32];
	static struct vm_page *pages[32];

	begin(1);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 20, many), EINVAL);	/* it has 16 */
	CHECK_EQ(uvm_loanuobjpages(&vp->v_uobj, 0, 20, pages), EINVAL);
	CHECK_EQ(uvm_anon_count(), 0);
	for (int i = 0; i < 16; i++) {
		struct vm_page *pg = tu_lookup(&vp->v_uobj, (voff_t)ptoa((uint64_t)i));

		CHECK(pg == NULL || (pg->loan_count == 0 && pg->uanon == NULL && pg->wire_count == 0));
	}
	CHECK(counted(UVMC_loan_undone) > 0);
	end();
}

/* --- read() by loan --- */

KTEST(read_by_loan, "the buffer shows the file; a store to either does not show in the other, nor in what was forked from it")
{
	struct proc *child;
	size_t len = ptoa(3) - 8;

	begin(1);
	tm_put(tm_proc, "aaaa");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(uvm_loanread(tm_proc, vp, ptoa(1), TM_VA(0), ptoa(3)), 0);
	CHECK_EQ(counted(UVMC_loan_read), 3);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i + 1)));
		CHECK(tm_page(tm_proc, i) == tu_lookup(&vp->v_uobj, (voff_t)ptoa(i + 1)));
	}
	CHECK(tm_load_in(child, 0) == 1 && tm_load_in(child, 1) == 2);
	tm_store(0, 9);
	CHECK_EQ(*tu_words(tu_lookup(&vp->v_uobj, ptoa(1))), tu_word(ptoa(1)));
	map_file(4, false);
	tm_store(FILE_PAGE + 2, 8);
	CHECK_EQ(tm_load(1), tu_word(ptoa(2)));
	CHECK_EQ(uvm_loanread(tm_proc, vp, ptoa(1), TM_VA(0), ptoa(3)), 0);
	CHECK(tm_load(0) == tu_word(ptoa(1)) && tm_load(1) == 8);
	CHECK_EQ(uvm_loanread(tm_proc, vp, ptoa(1), TM_VA(0), ptoa(3)), 0);	/* the same again */
	CHECK_EQ(tm_load(1), 8);
	CHECK_EQ(sys_read(tm_proc, vp, ptoa(1), TM_VA(0), &len, SYSR_LOAN), 0);
	CHECK_EQ(len, ptoa(3) - 8);
	CHECK_EQ(counted(UVMC_ubc_read_bytes), PAGE_SIZE - 8);	/* the last, which is no whole page, is copied */
	CHECK(tm_page(tm_proc, 1) == tu_lookup(&vp->v_uobj, ptoa(2)));
	proc_exit(child);
	end();
}

KTEST(read_by_loan_refuses, "what is not whole pages of private, writable, unwired memory is copied instead")
{
	struct proc *sharer;

	begin(1);
	tm_put(tm_proc, "arosq");
	tm_store(0, 1);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 8, TM_VA(0), ptoa(1)), EINVAL);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0) + 8, ptoa(1)), EINVAL);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), 8), EINVAL);
	CHECK_EQ(uvm_loanread(tm_proc, vp, ptoa(16), TM_VA(0), ptoa(1)), EINVAL);	/* end of file */
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(1), ptoa(1)), EACCES);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(2), ptoa(1)), EINVAL);		/* an object */
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(3), ptoa(1)), EINVAL);		/* shared */
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(4), ptoa(1)), EINVAL);		/* a file below */
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(9), ptoa(1)), EFAULT);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), ptoa(1)), EBUSY);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(1), RW), 0);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), ptoa(1)), EBUSY);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(1));
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(uvm_anon_count(), 1);
	/* private memory whose amap another process shares on purpose */
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(1), MAP_INHERIT_SHARE), 0);
	CHECK_EQ(proc_fork(tm_proc, "sharer", &sharer), 0);
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), ptoa(1)), EINVAL);
	proc_exit(sharer);
	end();
}

/* --- seed 001, step by step --- */

KTEST(T81_the_page_daemon_never_sees_a_loan, "a file page is lent to the kernel, memory runs low, the daemon reclaims: the kernel reads on (R6, R7)")
{
	vaddr_t kva;
	uint64_t w;

	begin(2);
	map_file(16, false);
	for (int i = 0; i < 16; i++)
		CHECK_EQ(tm_load(FILE_PAGE + i), tu_word((voff_t)ptoa(i)));
	lend(FILE_PAGE, 1);				/* 1 */
	kva = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	pmap_kenter_pa(kva, VM_PAGE_TO_PHYS(pgs[0]), R);
	pmap_update(pmap_kernel());
	tu_exhaust();					/* 2 */
	for (int i = 0; i < 20 || counted(UVMC_pdfreed) == 0; i++) {	/* 3 */
		uvm_kick_pdaemon();
		kpause("t81", 2000000);
		CHECK_EQ(kern_load(kva, &w), 0);	/* 4: no fault, the same data */
		CHECK_EQ(w, tu_word(0));
		CHECK(pgs[0]->wire_count == 1 && (pgs[0]->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);
	}
	tu_release();
	CHECK(tu_lookup(&vp->v_uobj, 0) == pgs[0]);
	CHECK_EQ(vnode_truncate(vp, 0), 0);		/* and when the file is gone */
	CHECK_EQ(kern_load(kva, &w), 0);
	CHECK_EQ(w, tu_word(0));
	pmap_kremove(kva, PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_km_free(mb_map, kva, PAGE_SIZE, UVM_KMF_VAONLY);
	unlend(1);
	end();
}

KTEST_MAIN()
