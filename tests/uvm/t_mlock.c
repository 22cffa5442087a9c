/*
 * Wiring: mlock and its family, wiring for I/O, and what fork and unmapping make of it.
 *
 * Three things are counted: wired entries (wired_count), wired mappings (PTE), wired
 * pages (wire_count).  A wired entry is worth one wiring of each of its pages.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
}

static int
lock(int page, int n)
{
	return sys_mlock(tm_proc, TM_VA(page), ptoa((vaddr_t)n));
}

static int
unlock(int page, int n)
{
	return sys_munlock(tm_proc, TM_VA(page), ptoa((vaddr_t)n));
}

/* A private or shared mapping of a file, at a page. */
static void
map_file(struct vnode *vp, int page, int n, int prot, int flags)
{
	vaddr_t va = TM_VA(page);

	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa((vaddr_t)n), prot, flags | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0), 0);
}

struct pte_query {
	vaddr_t		va;
	uint64_t	pte;
};

static void
pte_seen(vaddr_t va, uint64_t pte, void *arg)
{
	struct pte_query *q = arg;

	if (va == q->va)
		q->pte = pte;
}

static bool
pte_wired(int page)
{
	struct pte_query q = { .va = TM_VA(page) };

	pmap_foreach(tm_map(tm_proc)->pmap, pte_seen, &q);
	return (q.pte & PTE_V) != 0 && (q.pte & PTE_WIRED) != 0;
}

static int
wired_count(int page)
{
	struct vm_map_entry *e;
	int n;

	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(page), &e));
	n = e->wired_count;
	vm_map_unlock_read(tm_map(tm_proc));
	return n;
}

/* --- mlock --- */

KTEST(mlock_makes_pages_resident_and_wired, "after mlock each page is in memory, wired once, off the queues, and mapped wired")
{
	begin(1);
	tm_put(tm_proc, "aaoorr");
	CHECK_EQ(lock(0, 6), 0);
	CHECK_EQ(uvm.wired, 6);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(tm_wire_count(tm_proc, i), 1);
		CHECK(pte_wired(i));
		CHECK((tm_page(tm_proc, i)->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);	/* R7 */
	}
	CHECK_EQ(unlock(0, 6), 0);
	CHECK_EQ(uvm.wired, 0);
	for (int i = 0; i < 6; i++)
		CHECK(!pte_wired(i) && tm_page(tm_proc, i) != NULL);
	tm_shutdown();
}

KTEST(one_munlock_cancels_many_mlocks, "mlocks of one range count up, and wire pages once; one munlock ends them all")
{
	begin(1);
	tm_put(tm_proc, "aaaa");
	CHECK_EQ(lock(0, 3), 0);
	CHECK_EQ(lock(1, 3), 0);
	CHECK_EQ(lock(1, 1), 0);
	TM_SHAPE(tm_proc, "abcd");
	CHECK_EQ(wired_count(1), 3);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tm_wire_count(tm_proc, i), 1);
	CHECK_EQ(unlock(0, 4), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(wired_count(1), 0);
	tm_shutdown();
}

KTEST(munlock_checks_before_it_unwires, "munlock over a page that is not wired is EINVAL and unwires nothing")
{
	begin(1);
	tm_put(tm_proc, "aaaa");
	CHECK_EQ(lock(0, 2), 0);
	CHECK_EQ(unlock(0, 4), EINVAL);
	CHECK_EQ(uvm.wired, 2);
	CHECK_EQ(wired_count(0), 1);
	tm_shutdown();
}

/* The file ends behind page k, so wiring fails there. */
static void
T17_round(int k)
{
	struct vnode *vp = tu_file(ptoa((vaddr_t)k));
	uint64_t before;

	tm_put(tm_proc, "aa......oo");
	map_file(vp, 2, 6, VM_PROT_READ, UMAP_SHARED);
	CHECK_EQ(lock(1, 1), 0);			/* this one counts to 2 and back */
	CHECK_EQ(lock(9, 1), 0);
	before = uvm.wired;
	CHECK(sys_mlockall(tm_proc, UMCL_CURRENT | UMCL_FUTURE) != 0);
	CHECK_EQ(uvm.wired, before);
	CHECK_EQ(wired_count(0), 0);
	CHECK_EQ(wired_count(1), 1);
	CHECK_EQ(wired_count(2), 0);
	CHECK_EQ(wired_count(9), 1);
	CHECK(!tm_map(tm_proc)->wirefuture);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(tm_wire_count(tm_proc, i), i == 1 || i == 9);
	CHECK(lock(2, 8) != 0);
	CHECK_EQ(uvm.wired, before);
	CHECK_EQ(wired_count(9), 1);
	tm_check(tm_proc);
	uvmspace_exec(tm_proc);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
}

KTEST(B1_T17_failed_mlockall_undoes_exactly, "mlockall that fails at the k-th page, for all k: every count is as before")
{
	begin(1);
	for (int k = 0; k < 6; k++)
		T17_round(k);
	tm_shutdown();
}

/* Memory runs out in the middle, for every amount of it; there is nothing to reclaim. */
KTEST(B1_T17_wiring_out_of_memory_undoes_exactly, "mlock that runs out of memory is ENOMEM, and nothing is wired")
{
	begin(1);
	for (int left = 0; left < 24; left += 3) {
		tm_put(tm_proc, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		uvm.wiredmax = NPAGES;
		tu_take(NPAGES, 0);
		for (int i = 0; i < left; i++)
			tu_release_one();
		CHECK_EQ(lock(0, 40), ENOMEM);
		CHECK_EQ(uvm.wired, 0);
		CHECK_EQ(wired_count(0), 0);
		tu_release();
		CHECK_EQ(lock(0, 40), 0);
		CHECK_EQ(uvm.wired, 40);
		uvmspace_exec(tm_proc);
		CHECK_EQ(uvm.wired, 0);
	}
	tm_shutdown();
}

KTEST(mlockall_wires_now_and_later, "MCL_CURRENT wires what is there, MCL_FUTURE what comes, munlockall ends both")
{
	vaddr_t va = TM_VA(8), base = VM_HEAP_ADDRESS;

	begin(1);
	tm_put(tm_proc, "aa.ss");
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, VM_PROT_NONE), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT), 0);
	CHECK_EQ(uvm.wired, 3);
	CHECK_EQ(wired_count(1), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT | UMCL_FUTURE), 0);
	CHECK_EQ(uvm.wired, 3);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, UMAP_ANON | UMAP_PRIVATE | UMAP_FIXED, NULL,
	    0, 0), 0);
	CHECK_EQ(uvm.wired, 5);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, RW), 0);
	CHECK_EQ(uvm.wired, 6);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(2)), 0);
	CHECK_EQ(uvm.wired, 8);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(8), ptoa(2), &va, ptoa(3), false), 0);
	CHECK_EQ(uvm.wired, 9);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	CHECK_EQ(uvm.wired, 0);
	va = TM_VA(12);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, UMAP_ANON | UMAP_PRIVATE | UMAP_FIXED, NULL,
	    0, 0), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(12), PAGE_SIZE, VM_PROT_READ), 0);
	CHECK_EQ(uvm.wired, 0);			/* it was accessible before */
	tm_shutdown();
}

/* A part without rights that is wired already: neither wired again nor undone. */
KTEST(mlockall_passes_by_what_is_inaccessible, "mlockall leaves a wired PROT_NONE part as it is, whether it succeeds or fails")
{
	struct vnode *vp;

	begin(1);
	vp = tu_file(PAGE_SIZE);
	tm_put(tm_proc, "aaa");
	CHECK_EQ(lock(1, 1), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, VM_PROT_NONE), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT), 0);
	CHECK_EQ(uvm.wired, 3);
	CHECK_EQ(wired_count(1), 1);
	map_file(vp, 4, 2, VM_PROT_READ, UMAP_SHARED);
	CHECK(sys_mlockall(tm_proc, UMCL_CURRENT) != 0);
	CHECK_EQ(wired_count(1), 1);
	CHECK_EQ(uvm.wired, 3);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, RW), 0);
	tm_store(1, 1);
	CHECK_EQ(tm_wire_count(tm_proc, 1), 1);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
	tm_shutdown();
}

/* B-8: without a mapping the page is found through the layers. */
KTEST(B8_unwiring_finds_pages_without_mapping, "mlock, mprotect(NONE), munmap: no wiring is left")
{
	struct vnode *vp;

	begin(1);
	vp = tu_file(ptoa(2));
	tm_put(tm_proc, "aaoo");
	map_file(vp, 4, 2, RW, UMAP_PRIVATE);
	CHECK_EQ(lock(0, 6), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(6), VM_PROT_NONE), 0);
	CHECK(tm_page(tm_proc, 0) == NULL);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(3)), 0);
	CHECK_EQ(unlock(3, 3), 0);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
	tm_shutdown();
}

KTEST(unmapping_a_wired_range_unwires, "munmap and MAP_FIXED over wired memory leave no wiring")
{
	begin(1);
	tm_put(tm_proc, "aaaaoo");
	CHECK_EQ(lock(0, 6), 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(1), ptoa(1)), 0);
	CHECK_EQ(uvm.wired, 5);
	tm_put(tm_proc, "..rrrr");
	CHECK_EQ(uvm.wired, 1);
	CHECK_EQ(wired_count(0), 1);
	tm_shutdown();
}

/* --- R13: wired and copy-on-write --- */

KTEST(R13_wiring_a_COW_page_copies_at_once, "mlock of a private file mapping promotes, read only or not")
{
	struct vnode *vp;
	struct vm_page *pg;

	begin(1);
	vp = tu_file(ptoa(4));
	map_file(vp, 0, 2, RW, UMAP_PRIVATE);
	map_file(vp, 2, 2, VM_PROT_READ, UMAP_PRIVATE);
	tm_load(0);
	tm_load(2);
	CHECK(tm_page(tm_proc, 0)->uobject == &vp->v_uobj);
	CHECK_EQ(lock(0, 4), 0);
	for (int i = 0; i < 4; i++) {
		pg = tm_page(tm_proc, i);
		CHECK(pg->uanon != NULL && pg->uobject == NULL && pg->wire_count == 1);
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa((vaddr_t)i % 2)));
	}
	/* Nothing replaces the frame from now on (I-MAP-13). */
	pg = tm_page(tm_proc, 2);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(2), ptoa(2), RW), 0);
	tm_store(2, 5);
	CHECK(tm_page(tm_proc, 2) == pg && pg->wire_count == 1);
	CHECK_EQ(unlock(0, 4), 0);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
	tm_shutdown();
}

KTEST(R13_wiring_after_fork_copies_at_once, "mlock of memory shared copy-on-write takes a copy before it wires")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 7);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_load(0);
	pg = tm_page(tm_proc, 0);
	CHECK_EQ(lock(0, 2), 0);
	CHECK(tm_page(tm_proc, 0) != pg);
	CHECK_EQ(tm_load_in(child, 0), 7);
	tm_store(0, 8);
	CHECK_EQ(tm_load_in(child, 0), 7);
	CHECK_EQ(tm_wire_count(child, 0), 0);
	proc_exit(child);
	CHECK_EQ(uvm.wired, 2);
	tm_shutdown();
}

KTEST(R13_fork_of_wired_memory_copies_now, "the parent keeps its wired frame, the child has its own, unwired, with the same content")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aaa");
	for (int i = 0; i < 3; i++)
		tm_store(i, (uint64_t)i + 1);
	CHECK_EQ(lock(1, 1), 0);
	pg = tm_page(tm_proc, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK(tm_page(tm_proc, 1) == pg && pg->wire_count == 1 && pg->uanon->an_ref == 1);
	tm_store(1, 20);
	CHECK(tm_page(tm_proc, 1) == pg && pte_wired(1));
	CHECK_EQ(tm_load_in(child, 1), 2);
	CHECK(tm_page(child, 1) != pg);
	CHECK_EQ(tm_wire_count(child, 1), 0);
	tm_store_in(child, 1, 30);
	CHECK_EQ(tm_load(1), 20);
	proc_exit(child);
	CHECK_EQ(uvm.wired, 1);
	tm_shutdown();
}

/* The device's frame stays the parent's, whoever stores first. */
KTEST(B23_T16_fork_during_physio_copies_for_the_child, "fork while a page is wired for I/O leaves the frame with the parent")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aaa");
	for (int i = 0; i < 3; i++)
		tm_store(i, (uint64_t)i + 1);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(1) + 8, 16, VM_PROT_WRITE), 0);
	pg = tm_page(tm_proc, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(0, 10);
	tm_store(1, 20);
	CHECK(tm_page(tm_proc, 1) == pg);
	tu_words(pg)[1] = 77;				/* the device */
	CHECK_EQ(tm_load_in(child, 1), 2);
	CHECK_EQ(tm_load_in(child, 0), 1);
	CHECK(tm_page(child, 1) != pg);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(1) + 8, 16);
	CHECK_EQ(tm_load(1), 20);
	CHECK_EQ(uvm.wired, 0);
	proc_exit(child);
	tm_shutdown();
}

/* --- wiring for I/O --- */

KTEST(R31_T13_mlock_and_physio_overlap, "the mapping stays wired while the entry is, and each wiring ends once")
{
	struct vmspace *vm;

	begin(1);
	vm = tm_proc->p_vmspace;
	tm_put(tm_proc, "aaa");
	CHECK_EQ(lock(0, 2), 0);
	CHECK_EQ(uvm_vslock(vm, TM_VA(1), ptoa(2), VM_PROT_READ | VM_PROT_WRITE), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(tm_wire_count(tm_proc, 1), 2);
	CHECK_EQ(tm_wire_count(tm_proc, 2), 1);
	uvm_vsunlock(vm, TM_VA(1), ptoa(2));
	CHECK_EQ(tm_wire_count(tm_proc, 1), 1);
	CHECK(pte_wired(1));
	CHECK(!pte_wired(2));
	CHECK_EQ(uvm_vslock(vm, TM_VA(1), ptoa(1), VM_PROT_READ), 0);
	CHECK_EQ(unlock(0, 2), 0);			/* in the middle of the I/O */
	CHECK_EQ(tm_wire_count(tm_proc, 1), 1);
	uvm_vsunlock(vm, TM_VA(1), ptoa(1));
	CHECK_EQ(uvm.wired, 0);
	tm_shutdown();
}

/* T-15: the page that was wired is the page that is unwired. */
KTEST(R13_T15_physio_on_read_only_private_page, "mprotect and a store during I/O from a read only private page keep the counts right")
{
	struct vnode *vp;
	struct vm_page *pg;

	begin(1);
	vp = tu_file(PAGE_SIZE);
	map_file(vp, 0, 1, VM_PROT_READ, UMAP_PRIVATE);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), 8, VM_PROT_READ), 0);
	pg = tm_page(tm_proc, 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, RW), 0);
	tm_store(0, 1);
	CHECK(tm_page(tm_proc, 0) == pg && pg->wire_count == 1);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), 8);
	CHECK_EQ(pg->wire_count, 0);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
	tm_shutdown();
}

KTEST(vslock_obeys_the_protection, "a device may not store where its owner may not; nothing is wired then")
{
	begin(1);
	tm_put(tm_proc, "ar.a");
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(2), VM_PROT_WRITE), EACCES);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(4), VM_PROT_READ), EFAULT);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(uvm_fault_wire(tm_map(tm_proc), TM_VA(1), TM_VA(0), VM_PROT_READ, false), EFAULT);	/* a wrap */
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(2), VM_PROT_READ), 0);
	CHECK_EQ(uvm.wired, 2);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(2));
	tm_shutdown();
}

KTEST_DEATH(R32_unwiring_without_the_map_lock, "uvm_fault_unwire_locked without any map lock panics", "R32")
{
	begin(1);
	tm_put(tm_proc, "a");
	CHECK_EQ(lock(0, 1), 0);
	uvm_fault_unwire_locked(tm_map(tm_proc), TM_VA(0), TM_VA(1));
}

/* --- with threads --- */

/* T-4: the map is busy for long; a store that needs the map for writing waits, no more. */
static void
T4_wirer(struct tm_thread *tt)
{
	for (int i = 0; i < 60; i++) {
		CHECK_EQ(lock(0, 32), 0);
		(void)tm_go_on(tt);
		CHECK_EQ(unlock(0, 32), 0);
		CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(32)), 0);
		CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	}
	tm_stop();
}

static void
T4_writer(struct tm_thread *tt)
{
	int page = 32 + 8 * tt->tt_number;

	do {
		CHECK_EQ(tm_put_at(tm_proc, page, 8, 'n'), 0);	/* fresh: NEEDSCOPY */
		for (int i = 0; i < 8; i++) {
			tm_store(page + i, (uint64_t)i);
			CHECK_EQ(tm_load(page + i), i);
		}
	} while (tm_go_on(tt));
}

KTEST(T4_stores_wait_while_the_map_is_busy, "mlock of a range against first stores to other entries: no change while busy, no deadlock")
{
	struct tm_thread wirer, writer[3];

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	tm_start(tm_proc, writer, 3, T4_writer, NULL);
	tm_start(tm_proc, &wirer, 1, T4_wirer, NULL);
	tm_wait(&wirer, 1);
	tm_wait(writer, 3);
	for (int i = 0; i < 3; i++)
		CHECK(writer[i].tt_rounds > 0);
	tm_shutdown();
}

/* T-19: three calls fight for the same pages. */
static void
T19_main(struct tm_thread *tt)
{
	int error;

	for (int i = 0; i < 250; i++) {
		switch (tt->tt_number) {
		case 0:
			CHECK_EQ(lock(0, 8), 0);
			for (int n = 0; n < 8; n++)
				tm_store(n, 7);
			CHECK_EQ(unlock(0, 8), 0);
			break;
		case 1:
			error = sys_madvise(tm_proc, TM_VA(0), ptoa(8), UMADV_FREE);
			CHECK(error == 0 || error == EBUSY);
			break;
		default:
			error = sys_msync(tm_proc, TM_VA(0), ptoa(8), UMS_INVALIDATE | UMS_SYNC);
			CHECK(error == 0 || error == EBUSY);
		}
		(void)tm_go_on(tt);
	}
}

KTEST(T19_wired_pages_are_never_freed, "mlock against MADV_FREE and msync(INVALIDATE): EBUSY or skipped")
{
	struct tm_thread tt[3];
	struct vnode *vp;

	begin(4);
	vp = tu_file(ptoa(4));
	tm_put(tm_proc, "aaaa");
	map_file(vp, 4, 4, RW, UMAP_SHARED);
	tm_start(tm_proc, tt, 3, T19_main, NULL);
	tm_wait(tt, 3);
	CHECK_EQ(uvm.wired, 0);
	vrele(vp);
	tm_shutdown();
}

/* Faults, wirings and unwirings of overlapping ranges by several threads. */
static void
overlap_main(struct tm_thread *tt)
{
	for (int i = 0; i < 150; i++) {
		int page = (i * 7 + tt->tt_number * 5) % 20;

		if (tt->tt_number % 2 == 0) {
			CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(page) + 100, 9000,
			    VM_PROT_WRITE), 0);
			(void)tm_go_on(tt);
			uvm_vsunlock(tm_proc->p_vmspace, TM_VA(page) + 100, 9000);
		} else {
			CHECK_EQ(lock(page, 3), 0);
			(void)tm_go_on(tt);
			(void)unlock(page, 3);		/* another thread's munlock may have come first */
		}
	}
}

KTEST(T14_overlapping_wirings_balance, "mlock and physio on overlapping ranges by four threads: every count ends at 0")
{
	struct tm_thread tt[4];

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 24, 'a'), 0);
	tm_start(tm_proc, tt, 4, overlap_main, NULL);
	tm_wait(tt, 4);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	CHECK_EQ(uvm.wired, 0);
	tm_shutdown();
}

KTEST_MAIN()
