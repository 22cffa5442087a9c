/*
 * Scenarios of pages on loan, step by step.  Each is run with its mistake as well, where the museum has
 * one, and fails then.
 */
#include <errno.h>
#include <sys/inject.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_vslock.h>

#include "scenario.h"
#include "tswap.h"

#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	DAEMON		{ "pgdaemon", NULL, NULL, NULL }
#define	EXHAUST		{ "k", NULL, exhaust, NULL }

static struct vnode *vp;
static struct proc *other;
static struct vm_page *pgs[8];		/* on loan to the kernel */
static struct vm_anon *anons[2];	/* which have borrowed */
static vaddr_t kva;			/* the kernel's window on pgs[0] */

static void
begin(void)
{
	script_begin();
	ts_boot(6, 2048, 128, 1);
	script_lock("pageq", &uvm_pageqlock);
	vp = tu_file(ptoa(8));
	script_lock("file", &vp->v_uobj.vmobjlock);
}

static void
end(void)
{
	tu_release();
	TU_WAIT(uvm_pdaemon_idle() && uvm_aio_idle());
	vrele(vp);
	CHECK(uvm.orphans == 0 && uvm.wired == 0);
	scenario_end();
}

/* => the file's pages from 0 on at page 0; what is loaded is read for itself alone */
static void
map_file(int n, unsigned how)
{
	vaddr_t va = TM_VA(0);

	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa((uint64_t)n), RW, how | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa((uint64_t)n), UMADV_RANDOM), 0);
}

static void
exhaust(void *arg)
{
	tu_exhaust();
	uvm_kick_pdaemon();
}

static void
give_back(void *arg)
{
	uvm_unloan(pgs, 1, UVM_LOAN_TOPAGE);
}

static void
lend(int n)
{
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa((uint64_t)n), pgs, UVM_LOAN_TOPAGE), 0);
}

/* --- T-52 --- */

static void
truncate_and_write(void *arg)
{
	CHECK_EQ(vnode_truncate(vp, 0), 0);
	CHECK_EQ(vnode_truncate(vp, ptoa(8)), 0);
	tm_store(0, 7);
	CHECK_EQ(*tu_words(pgs[1]), tu_word(ptoa(1)));
}

/* e ends the loan of page 0, and is about to try its owner; t truncates the file meanwhile. */
SCENARIO(T52_file_is_truncated_as_the_loan_of_its_page_ends,
    "truncation makes orphans of what is on loan; who ends the loan frees them, once (I-LOAN-3, I-LOAN-4)")
{
	begin();
	map_file(2, UMAP_SHARED);
	(void)tm_load(0);
	(void)tm_load(1);
	lend(2);
	SCRIPT("e until try(file); t until blocked; e until blocked; t until done; e until done",
	    { "e", NULL, give_back, NULL }, { "t", tm_proc, truncate_and_write, NULL });
	CHECK(uvm.orphans == 1 && pgs[1]->uobject == NULL);
	CHECK(tm_load(0) == 7 && tm_load(1) == 0);
	uvm_unloan(&pgs[1], 1, UVM_LOAN_TOPAGE);
	end();
}

/* --- T-54 --- */

static void
leave(void *arg)
{
	proc_exit(other);
}

/* The kernel is about to try the anon, the lender exits and has it, the daemon is asked to look at all queues. */
SCENARIO(T54_lender_exits_while_the_kernel_gives_back,
    "whoever comes last of lender, kernel and page daemon frees the page, once (I-PG-1, I-LOAN-2)")
{
	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK_EQ(proc_fork(tm_proc, "lender", &other), 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(tm_load_in(other, 0), 5);
	CHECK_EQ(uvm_loan(tm_map(other), TM_VA(0), PAGE_SIZE, pgs, UVM_LOAN_TOPAGE), 0);
	script_lock("anon", &pgs[0]->uanon->an_lock);
	SCRIPT("k until done; e until try(anon); x until blocked; pgdaemon until blocked; e until blocked;"
	    "x e pgdaemon until done; e pgdaemon until done",
	    { "e", NULL, give_back, NULL }, { "x", NULL, leave, NULL }, DAEMON, EXHAUST);
	CHECK(pgs[0]->loan_count == 0 && pgs[0]->wire_count == 0);
	end();
}

/* --- T-55 --- */

static void
lend_again(void *arg)
{
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anons[1]), 0);
}

static void
drop(void *arg)
{
	uvm_unloan(&anons[0], 1, UVM_LOAN_TOANON);
}

/* l has the object locked, and is about to lock the anon that has the page; r drops its last reference. */
SCENARIO(T55_borrower_drops_its_last_reference_as_the_page_is_lent_again,
    "an anon that is dying is not lent again: the page gets another one (I-ANON-3, B-10)")
{
	begin();
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, anons), 0);
	script_lock("anon", &anons[0]->an_lock);
	SCRIPT("l until lock(anon); r until blocked; l r until done; r until done",
	    { "l", NULL, lend_again, NULL }, { "r", NULL, drop, NULL });
	CHECK(anons[1]->an_ref == 1 && anons[1]->an_page->uanon == anons[1]);
	CHECK_EQ(anons[1]->an_page->loan_count, 1);
	uvm_unloan(&anons[1], 1, UVM_LOAN_TOANON);
	end();
}
MISTAKE(T55_borrower_drops_its_last_reference_as_the_page_is_lent_again, loan_resurrects_anon,
    "an_ref|I-ANON-3|uvmanon|R25")

/* --- T-56 --- */

static void
look_at_borrowed(void *arg)
{
	struct vm_page *pg;

	mutex_enter(&anons[0]->an_lock);
	pg = uvm_anon_lockloanpg(anons[0]);
	CHECK(pg != NULL && *tu_words(pg) == 5);
	if (pg->uobject != NULL)
		mutex_exit(&pg->uobject->vmobjlock);
	mutex_exit(&anons[0]->an_lock);
}

/* The daemon is about to try the object of a page that an anon has borrowed; the borrower looks at it. */
SCENARIO(T56_shared_memory_on_loan_is_reclaimed,
    "what an object has in swap already is reclaimed though an anon has borrowed it, who keeps the data (I-LOAN-7, B-7)")
{
	begin();
	CHECK_EQ(tm_put_at(tm_proc, 0, 64, 'o'), 0);
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	for (int i = 0; i < 64; i++)
		CHECK_EQ(tm_load(i), i == 0 ? 5 : 0);
	CHECK(ts_clean(tm_proc, 0) && ts_slot(tm_proc, 0) > 0);
	CHECK_EQ(uvm_loanuobjanons(tm_obj, 0, 1, anons), 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(64)), 0);
	mutex_enter(&tm_obj->vmobjlock);
	pgs[0] = uvm_pagelookup(tm_obj, 0);
	pmap_clear_reference(pgs[0]);
	uvm_lock_pageq();
	uvm_pagedeactivate(pgs[0]);
	uvm_unlock_pageq();
	mutex_exit(&tm_obj->vmobjlock);
	script_lock("object", &tm_obj->vmobjlock);
	SCRIPT("k until done; pgdaemon until try(object); b until blocked; pgdaemon until blocked; b until done",
	    { "b", NULL, look_at_borrowed, NULL }, DAEMON, EXHAUST);
	tu_release();
	CHECK(tu_lookup(tm_obj, 0) == NULL);
	CHECK(pgs[0]->uobject == NULL && (pgs[0]->pqflags & PQ_ANON) != 0);
	tm_put(tm_proc, "o");
	CHECK_EQ(tm_load(0), 5);			/* the object has it in swap */
	uvm_unloan(anons, 1, UVM_LOAN_TOANON);
	end();
}
MISTAKE(T56_shared_memory_on_loan_is_reclaimed, pd_borrower_as_owner, "I-SWP-[34]")

/* --- T-57 --- */

static void
lend_to_the_end(void *arg)
{
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(4), pgs, UVM_LOAN_TOPAGE), ENOENT);
}

static void
unmap_last(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(3), PAGE_SIZE), 0);
}

/* Three pages are lent, the fourth, of another entry, is being read: then it is unmapped. */
SCENARIO(T57_last_page_of_a_loan_is_unmapped_while_it_is_read,
    "a loan that fails at its last page has lent nothing, and stores need no copy (I-LOAN-6, I-LOAN-2)")
{
	struct vm_page *before[3];
	vaddr_t va = TM_VA(3);

	begin();
	tm_put(tm_proc, "aan");
	for (int i = 0; i < 3; i++) {
		tm_store(i, 5);
		before[i] = tm_page(tm_proc, i);
	}
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	SCRIPT("a until io; b until done; a until done",
	    { "a", NULL, lend_to_the_end, NULL }, { "b", NULL, unmap_last, NULL });
	for (int i = 0; i < 3; i++) {
		CHECK(before[i]->loan_count == 0 && before[i]->wire_count == 0);
		tm_store(i, 6);
		CHECK(tm_page(tm_proc, i) == before[i]);
	}
	CHECK_EQ(tu_count(UVMC_loan_undone), 3);
	end();
}

/* --- T-58 --- */

static void
lend_eight(void *arg)
{
	lend(8);
}

static void
store_to_five(void *arg)
{
	tm_store(5, 77);
}

/* b reads page 5 to promote it; a, who lends all eight, waits for that page, and b is first. */
SCENARIO(T58_page_is_promoted_while_the_loan_waits_for_it,
    "after a wait the page's own slot is looked at again: what is lent is what a look-up finds (I-SYS-4, B-4)")
{
	begin();
	map_file(8, UMAP_PRIVATE);
	tm_store(7, 66);				/* there is an amap */
	for (int i = 0; i < 5; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	SCRIPT("b until io; a until blocked; b until done; a until done",
	    { "a", NULL, lend_eight, NULL }, { "b", tm_proc, store_to_five, NULL });
	for (int i = 0; i < 8; i++)
		CHECK_EQ(*tu_words(pgs[i]), i == 5 ? 77 : i == 7 ? 66 : tu_word((voff_t)ptoa(i)));
	CHECK(pgs[5] == tm_page(tm_proc, 5));
	uvm_unloan(pgs, 8, UVM_LOAN_TOPAGE);
	end();
}
MISTAKE(T58_page_is_promoted_while_the_loan_waits_for_it, loan_wrong_slot, "B-4")

/* --- T-60 --- */

static void
read_by_loan(void *arg)
{
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), PAGE_SIZE), 0);
}

static void
store_before_and_after(void *arg)
{
	CHECK_EQ(user_store(TM_VA(0) + 8, 1), 0);
	script_point("warm");
	CHECK_EQ(user_store(TM_VA(0) + 8, 2), 0);
	script_point("between");
	CHECK_EQ(user_store(TM_VA(0) + 16, 3), 0);
	script_point("after");
}

/* s stores by a translation of its own, once while a is about to replace the page, and once after. */
SCENARIO(T60_sibling_stores_while_its_page_is_replaced,
    "what is stored after a read by loan is in the buffer, whatever the TLBs had; what was before is gone (I-PMAP-1, I-AMAP-10)")
{
	uint64_t w;

	begin();
	tm_put(tm_proc, "a");
	(void)tu_resident(&vp->v_uobj, 0);
	SCRIPT("s until test(warm); a until pte; s until test(between); a until blocked; s a until test(after); a until done",
	    { "a", NULL, read_by_loan, NULL }, { "s", tm_proc, store_before_and_after, NULL });
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK_EQ(user_load(TM_VA(0) + 8, &w), 0);
	CHECK_EQ(w, tu_word(8));
	CHECK_EQ(user_load(TM_VA(0) + 16, &w), 0);
	CHECK_EQ(w, 3);
	end();
}
MISTAKE(T60_sibling_stores_while_its_page_is_replaced, free_before_ack, "`a until blocked`: it has ended|I-PMAP|I-LOAN-1")

static void
fork_a_child(void *arg)
{
	CHECK_EQ(proc_fork(tm_proc, "child", &other), 0);
}

/* The mapping of what was read cannot be made; a child was forked before the buffer was replaced. */
SCENARIO(T60_enter_fails_and_a_fork_is_first,
    "the old page is not to be seen any more where the new one could not be mapped; the child has it (R2)")
{
	uint64_t calls, failed;
	char why[80];

	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	(void)tu_resident(&vp->v_uobj, 0);
	script_lock("amap", amap_mutex(tm_entry(tm_proc, 0)->aref.ar_amap));
	CHECK_EQ(inject_configure("pmap-enter:every=1,times=1", 1, why, sizeof(why)), 0);
	inject_start();
	SCRIPT("a until lock(amap); f until blocked; a f until done; f until done",
	    { "a", NULL, read_by_loan, NULL }, { "f", NULL, fork_a_child, NULL });
	inject_stop();
	inject_counts(INJECT_pmap_enter, &calls, &failed);
	CHECK_EQ(failed, 1);
	CHECK_EQ(tm_load(0), tu_word(0));
	proc_exit(other);
	end();
}
MISTAKE(T60_enter_fails_and_a_fork_is_first, failed_enter_keeps_old, "R2|I-PMAP-1")

/* --- T-61 --- */

static void
lend_page(void *arg)
{
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), PAGE_SIZE, pgs, UVM_LOAN_TOPAGE), *(int *)arg);
}

static void
wire(void *arg)
{
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), PAGE_SIZE, RW), 0);
}

/* => one of them is about to lock the amap, and the other is done first */
static void
lend_and_wire(const char *script, int error)
{
	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	script_lock("amap", amap_mutex(tm_entry(tm_proc, 0)->aref.ar_amap));
	SCRIPT(script, { "l", NULL, lend_page, &error }, { "w", NULL, wire, NULL });
	CHECK(tm_page(tm_proc, 0)->loan_count == 0 && tm_wire_count(tm_proc, 0) == 1);
	if (error == 0) {
		CHECK(pgs[0] != tm_page(tm_proc, 0) && pgs[0]->wire_count == 1 && *tu_words(pgs[0]) == 5);
		uvm_unloan(pgs, 1, UVM_LOAN_TOPAGE);
	}
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), PAGE_SIZE);
	end();
}

SCENARIO(T61_page_is_wired_just_before_it_is_lent, "what has been wired for I/O meanwhile is not lent: EBUSY (I-LOAN-5)")
{
	lend_and_wire("l until lock(amap); w until done; l until done", EBUSY);
}

SCENARIO(T61_page_is_lent_just_before_it_is_wired, "what has been lent meanwhile is copied, and the copy wired (I-LOAN-5)")
{
	lend_and_wire("w until lock(amap); l until done; w until done", 0);
}
MISTAKE(T61_page_is_lent_just_before_it_is_wired, loan_not_wired, "I-LOAN-5")

/* --- T-62 --- */

static void
lend_for_a_while(void *arg)
{
	lend(1);
	script_point("lent");
	CHECK_EQ(*tu_words(pgs[0]), 5);
	give_back(NULL);
}

static void
store_six(void *arg)
{
	tm_store(0, 6);
}

/* The page is on loan; f is about to copy its anon for the child, s is a sibling that stores. */
SCENARIO(T62_fork_of_what_is_on_loan_while_a_sibling_stores,
    "fork copies for the child what the kernel has; both store, and neither sees the other, nor does the kernel (R14, I-LOAN-1)")
{
	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	script_lock("anon", &tm_anon(0)->an_lock);
	SCRIPT("l until test(lent); f until lock(anon); s until blocked; f until done; s until done; l until done",
	    { "l", NULL, lend_for_a_while, NULL }, { "f", NULL, fork_a_child, NULL },
	    { "s", tm_proc, store_six, NULL });
	CHECK_EQ(tm_load_in(other, 0), 5);
	tm_store_in(other, 0, 8);
	CHECK_EQ(tm_load(0), 6);
	proc_exit(other);
	end();
}
MISTAKE(T62_fork_of_what_is_on_loan_while_a_sibling_stores, fork_cows_wired, "R10|R14|wired|I-LOAN|check failed")

/* --- MADV_FREE --- */

static void
free_both(void *arg)
{
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(2), UMADV_FREE), 0);
}

/* a has looked at the anon, which other has too, and leaves its mapping alone, for its page is on loan; then it is not. */
SCENARIO(loan_ends_between_two_looks_of_MADV_FREE,
    "a page that is given up is not mapped any more, though it was not unmapped with the others (I-SYS-6)")
{
	begin();
	CHECK_EQ(tm_put_at(tm_proc, 0, 2, 'a'), 0);
	tm_store(0, 5);
	tm_store(1, 6);
	CHECK_EQ(proc_fork(tm_proc, "other", &other), 0);
	tm_store(1, 7);					/* the amap is ours alone, the anon of page 0 is not */
	CHECK_EQ(tm_load(0), 5);
	pgs[0] = tm_page(tm_proc, 0);
	script_lock("anon", &pgs[0]->uanon->an_lock);
	tu_lend(pgs[0]);
	SCRIPT("a until unlock(anon); e until done; a until done",
	    { "a", tm_proc, free_both, NULL }, { "e", NULL, give_back, NULL });
	CHECK(!pmap_extract(tm_map(tm_proc)->pmap, TM_VA(0), NULL));
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(tm_load_in(other, 0), 5);
	proc_exit(other);
	end();
}

/* --- T-81 --- */

static void
kernel_reads(void *arg)
{
	uint64_t w;

	for (int i = 0; i < 3; i++) {
		CHECK_EQ(kern_load(kva, &w), 0);
		CHECK_EQ(w, tu_word(0));
		CHECK(pgs[0]->wire_count == 1 && (pgs[0]->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);
		script_point("read");
	}
}

/* The first scenario of all: a file page on loan, memory so low that the daemon takes all it can. */
SCENARIO(T81_daemon_reclaims_the_pages_around_a_loan,
    "the page daemon does not know what the kernel has on loan: its mapping can be relied on (R6, R7, I-PMAP-10)")
{
	begin();
	map_file(8, UMAP_SHARED);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	lend(1);
	kva = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	pmap_kenter_pa(kva, VM_PAGE_TO_PHYS(pgs[0]), VM_PROT_READ);
	pmap_update(pmap_kernel());
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(8), UMADV_DONTNEED), 0);
	SCRIPT("r until test(read); k until done; pgdaemon until try(file) x3; r until test(read) x2; r pgdaemon until done",
	    { "r", NULL, kernel_reads, NULL }, DAEMON, EXHAUST);
	for (int i = 1; i < 8; i++)
		TU_WAIT(tu_lookup(&vp->v_uobj, (voff_t)ptoa(i)) == NULL);
	tu_release();
	CHECK(tu_lookup(&vp->v_uobj, 0) == pgs[0]);
	kernel_reads(NULL);
	pmap_kremove(kva, PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_km_free(mb_map, kva, PAGE_SIZE, UVM_KMF_VAONLY);
	give_back(NULL);
	end();
}
MISTAKE(T81_daemon_reclaims_the_pages_around_a_loan, loan_not_wired, "I-LOAN-5|R6")

KTEST_MAIN()
