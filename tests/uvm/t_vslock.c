/*
 * Wiring for I/O against everything else that happens to the same pages, and the
 * inspector that counts wirings up (I-PG-16).
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#include <inspect_int.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

int	__real_uvmfault_internal(struct vm_map *, vaddr_t, vm_prot_t, bool, bool,
	    struct uvm_vslock *);
int	__wrap_uvmfault_internal(struct vm_map *, vaddr_t, vm_prot_t, bool, bool,
	    struct uvm_vslock *);

/* Wiring faults to go before one fails for want of memory; negative: none. */
static int fail_wiring = -1;
/* Called once, before the next fault of a test with one LWP. */
static void (*before_wiring)(void);

int
__wrap_uvmfault_internal(struct vm_map *map, vaddr_t va, vm_prot_t access, bool wiring,
    bool wiremax, struct uvm_vslock *vl)
{
	void (*fn)(void) = before_wiring;

	if (fn != NULL) {
		before_wiring = NULL;
		fn();
	}
	if (wiring && fail_wiring >= 0 && fail_wiring-- == 0)
		return ENOMEM;
	return __real_uvmfault_internal(map, va, access, wiring, wiremax, vl);
}

static struct vmspace *vm;
static struct pmap *pm;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	vm = tm_proc->p_vmspace;
	pm = tm_map(tm_proc)->pmap;
}

static void
end(void)
{
	CHECK_EQ(inspect_wiring(), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(pmap_wired_count(pm), 0);
	tm_shutdown();
}

static int
vslock(int page, int n, vm_prot_t access)
{
	return uvm_vslock(vm, TM_VA(page), ptoa((vaddr_t)n), access);
}

static void
vsunlock(int page, int n)
{
	uvm_vsunlock(vm, TM_VA(page), ptoa((vaddr_t)n));
}

static void
find_pte(vaddr_t va, uint64_t pte, void *arg)
{
	uint64_t *v = arg;

	if (va == v[0])
		v[1] = pte;
}

static uint64_t
pte_of(int page)
{
	uint64_t v[2] = { TM_VA(page), 0 };

	pmap_foreach(pm, find_pte, v);
	return v[1];
}

static bool
pte_wired(int page)
{
	return (pte_of(page) & PTE_WIRED) != 0;
}

/* --- one mapping, several reasons to be wired --- */

KTEST(B16_T14_overlapping_IO_keeps_the_mapping_wired, "whichever I/O ends first, the mapping stays wired for the other; shared memory too")
{
	static const char kinds[] = "ao";

	for (int k = 0; k < 2; k++) {
		begin(1);
		CHECK_EQ(tm_put_at(tm_proc, 0, 4, kinds[k]), 0);
		for (int first = 0; first < 2; first++) {
			CHECK_EQ(vslock(0, 3, RW), 0);
			CHECK_EQ(vslock(2, 2, VM_PROT_READ), 0);
			CHECK_EQ(tm_wire_count(tm_proc, 2), 2);
			CHECK_EQ(inspect_wiring(), 0);
			first == 0 ? vsunlock(0, 3) : vsunlock(2, 2);
			CHECK(pte_wired(2));
			CHECK_EQ(pte_wired(0), first == 1);
			CHECK_EQ(pte_wired(3), first == 0);
			CHECK_EQ(inspect_wiring(), 0);
			first == 0 ? vsunlock(2, 2) : vsunlock(0, 3);
			CHECK(!pte_wired(2));
		}
		end();
	}
}

KTEST(R31_T13_munlock_leaves_the_mapping_to_the_IO, "mlock, I/O, munlock: the mapping is wired until the I/O ends, and then no longer")
{
	begin(1);
	tm_put(tm_proc, "ao");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(vslock(0, 2, RW), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK(pte_wired(0) && pte_wired(1));
	CHECK_EQ(inspect_wiring(), 0);
	vsunlock(0, 2);
	CHECK(!pte_wired(0) && !pte_wired(1));
	end();
}

KTEST(B16_a_fault_in_between_leaves_the_mapping_wired, "a store to a page that is write-protected while I/O reads from it does not unwire its mapping")
{
	struct vnode *vp;
	vaddr_t va = TM_VA(0);

	begin(1);
	vp = tu_file(ptoa(2));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0), 0);
	tm_store(0, 1);
	CHECK_EQ(vslock(0, 1, VM_PROT_READ), 0);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(1), UMS_SYNC), 0);	/* takes W */
	CHECK((pte_of(0) & PTE_W) == 0 && pte_wired(0));
	tm_store(0, 2);
	CHECK((pte_of(0) & PTE_W) != 0 && pte_wired(0));
	vsunlock(0, 1);
	vrele(vp);
	end();
}

KTEST(a_failed_vslock_leaves_no_trace, "a hole, a page that may not be stored to: no page and no mapping stays wired, others' do")
{
	begin(1);
	tm_put(tm_proc, "aar.a");
	CHECK_EQ(vslock(1, 1, VM_PROT_READ), 0);
	CHECK_EQ(vslock(0, 3, VM_PROT_WRITE), EACCES);
	CHECK_EQ(vslock(0, 5, VM_PROT_READ), EFAULT);
	CHECK_EQ(uvm_vslock(vm, VM_MAXUSER_ADDRESS - PAGE_SIZE, ptoa(2), VM_PROT_READ), EFAULT);
	CHECK_EQ(uvm_vslock(vm, TM_VA(0), ~0UL - TM_VA(0), VM_PROT_READ), EFAULT);
	CHECK_EQ(uvm.wired, 1);
	CHECK(pte_wired(1) && !pte_wired(0));
	CHECK_EQ(inspect_wiring(), 0);
	vsunlock(1, 1);
	end();
}

KTEST(I_PG_16_vsunlock_leaves_raw_IO_alone, "I/O that somebody ends by name is not ended by who asks for the same range")
{
	struct uvm_vslock *raw;

	begin(1);
	tm_put(tm_proc, "a");
	CHECK_EQ(vslock(0, 1, RW), 0);
	CHECK_EQ(uvm_vslock_frames(vm, TM_VA(0), PAGE_SIZE, RW, &raw), 0);
	vsunlock(0, 1);
	CHECK(tm_wire_count(tm_proc, 0) == 1 && pte_wired(0));
	uvm_vsunlock_frames(raw);
	CHECK(tm_wire_count(tm_proc, 0) == 0 && !pte_wired(0));
	end();
}

/*
 * What is announced is not yet done: an mlock has counted its entries, an I/O is on the
 * list, and neither has come to the page.
 */
static void
load_once(void)
{
	tm_load(0);
	CHECK(!pte_wired(0));
}

KTEST(B19_an_IO_that_has_not_come_to_a_page_wires_no_mapping, "a fault on a page that another has wired, below an I/O that will fail there: no wired mapping is left")
{
	vaddr_t va = TM_VA(4);

	begin(1);
	tm_put(tm_proc, "o");
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(1), VM_PROT_READ), 0);
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, RW), 0);
	CHECK_EQ(sys_mlock(tm_proc, va, PAGE_SIZE), 0);
	before_wiring = load_once;
	CHECK_EQ(vslock(0, 1, VM_PROT_WRITE), EACCES);
	CHECK(before_wiring == NULL);
	CHECK(tm_page(tm_proc, 0) != NULL && !pte_wired(0));
	CHECK_EQ(inspect_wiring(), 0);
	CHECK_EQ(sys_munmap(tm_proc, va, uao_size(tm_obj)), 0);
	end();
}

static void
end_IO(void)
{
	vsunlock(2, 1);
	CHECK(tm_wire_count(tm_proc, 2) == 0 && !pte_wired(2));
	CHECK_EQ(sys_msync(tm_proc, TM_VA(2), ptoa(1), UMS_SYNC | UMS_INVALIDATE), EBUSY);
	pmap_revoke(tm_page(tm_proc, 2));	/* as one would that looked before the mlock */
}

KTEST(B19_an_mlock_that_has_not_come_to_a_page_keeps_no_mapping_wired, "an I/O that ends ahead of an mlock under way leaves no wired mapping of an unwired page")
{
	begin(1);
	tm_put(tm_proc, "oooo");
	CHECK_EQ(vslock(2, 1, RW), 0);
	before_wiring = end_IO;
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(4)), 0);
	CHECK(before_wiring == NULL);
	CHECK(tm_wire_count(tm_proc, 2) == 1 && pte_wired(2));
	CHECK_EQ(inspect_wiring(), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(4)), 0);
	end();
}

static void
end_IO_elsewhere(void)
{
	vsunlock(0, 1);
	CHECK(tm_wire_count(tm_proc, 0) == 1 && pte_wired(0));
}

/* => the case is over: two pages are mlocked, fn was called before, and all wirings are as they must be */
static void
mlock_meanwhile(int page, void (*fn)(void))
{
	before_wiring = fn;
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(page), ptoa(2)), 0);
	CHECK(before_wiring == NULL);
	CHECK_EQ(inspect_wiring(), 0);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	end();
}

KTEST(R31_an_mlock_elsewhere_does_not_matter, "an I/O that ends on memory wired long ago, while an mlock of other memory is under way, leaves it wired")
{
	begin(1);
	tm_put(tm_proc, "o.oo");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(vslock(0, 1, RW), 0);
	mlock_meanwhile(2, end_IO_elsewhere);
}

KTEST(R31_a_second_mlock_does_not_undo_the_first, "an I/O that ends on memory wired long ago, while an mlock of it and of more is under way, leaves it wired")
{
	begin(1);
	tm_put(tm_proc, "oo");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(vslock(0, 1, RW), 0);
	mlock_meanwhile(0, end_IO_elsewhere);
}

/* Before the first page; then before the second. */
static void
end_IO_behind(void)
{
	before_wiring = end_IO_elsewhere;
}

KTEST(R31_an_mlock_keeps_what_it_has_reached, "an I/O that ends behind an mlock under way leaves the mapping wired")
{
	begin(1);
	tm_put(tm_proc, "oo");
	CHECK_EQ(vslock(0, 1, RW), 0);
	mlock_meanwhile(0, end_IO_behind);
}

/* An I/O ends while an mlock that will fail has counted its entries. */
static struct vnode *short_file;

static void
failing_mlock(struct tm_thread *tt)
{
	for (unsigned i = 0; i < ktest_scale(300); i++) {
		CHECK(sys_mlock(tm_proc, TM_VA(0), ptoa(6)) != 0);
		lwp_userret(4);
	}
	tm_stop();
}

static void
plain_vslock(struct tm_thread *tt)
{
	do {
		CHECK_EQ(vslock(1, 3, VM_PROT_READ), 0);
		intr_poll();
		vsunlock(1, 3);
	} while (tm_go_on(tt));
}

KTEST(B1_B19_IO_ends_below_an_mlock_that_fails, "whatever an I/O that ends finds of an mlock under way: when that has failed no mapping is wired")
{
	struct tm_thread locker, io[2];
	vaddr_t va = TM_VA(4);

	begin(3);
	short_file = tu_file(PAGE_SIZE);
	tm_put(tm_proc, "aasa");
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, UMAP_SHARED | UMAP_FIXED, short_file,
	    UF_READ | UF_WRITE, 0), 0);
	tm_start(tm_proc, io, 2, plain_vslock, NULL);
	tm_start(tm_proc, &locker, 1, failing_mlock, NULL);
	tm_wait(&locker, 1);
	tm_wait(io, 2);
	CHECK_EQ(inspect_wiring(), 0);
	vrele(short_file);
	end();
}

KTEST_DEATH(I_PG_16_vsunlock_twice, "ending an I/O that is not under way panics", "I-PG-16")
{
	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(vslock(0, 2, RW), 0);
	vsunlock(0, 2);
	vsunlock(0, 2);
}

KTEST_DEATH(I_PG_16_unmapping_below_IO, "taking a range away that I/O is under way to panics", "I-PG-16")
{
	struct vm_map_entry *dead = NULL;

	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(vslock(0, 2, RW), 0);
	vm_map_lock(tm_map(tm_proc));
	uvm_unmap_remove(tm_map(tm_proc), TM_VA(0), TM_VA(1), &dead);
}

KTEST_DEATH(I_MAP_13_pageable_below_IO, "an I/O that ends finds its mappings wired", "I-MAP-13")
{
	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(vslock(0, 2, RW), 0);
	pmap_unwire(tm_map(tm_proc)->pmap, TM_VA(1));
	vsunlock(0, 2);
}

/* The page is replaced behind the I/O's back: what R13 rules out. */
KTEST_DEATH(B8_vsunlock_of_another_page, "unwiring a page that is not the one the device was given panics", "B-8")
{
	struct uvm_vslock *vl;

	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(uvm_vslock_frames(vm, TM_VA(0), ptoa(2), RW, &vl), 0);
	vl->vl_frames[1] = vl->vl_frames[0];
	uvm_vsunlock_frames(vl);
}

static void
io_main(struct tm_thread *tt)
{
	vm_prot_t access = tt->tt_arg != NULL ? VM_PROT_WRITE : VM_PROT_READ;

	for (unsigned i = 0; i < ktest_scale(400); i++) {
		int page = (int)host_rng_below(&curlwp->l_rng, 3);
		struct uvm_vslock *vl;

		if (uvm_vslock_frames(vm, TM_VA(page), ptoa(2), access, &vl) != 0)
			continue;
		CHECK(uvm_page_wired(PHYS_TO_VM_PAGE(vl->vl_frames[0])));
		lwp_userret(4);
		uvm_vsunlock_frames(vl);
	}
}

/* --- T-61: loans --- */

KTEST(T61_wiring_breaks_a_loan_and_a_wired_page_is_not_lent, "vslock of a page that the kernel has on loan wires a copy; a loan of a wired page is EBUSY")
{
	static const char kinds[] = "ao";

	for (int k = 0; k < 2; k++) {
		struct vm_page *lent = NULL, *pg;

		begin(1);
		CHECK_EQ(tm_put_at(tm_proc, 0, 2, kinds[k]), 0);
		tm_store(0, 7);
		CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), PAGE_SIZE, &lent, UVM_LOAN_TOPAGE), 0);
		CHECK_EQ(inspect_wiring(), 0);
		CHECK_EQ(vslock(0, 1, RW), 0);
		pg = tm_page(tm_proc, 0);
		CHECK(pg != lent && pg->wire_count == 1 && pg->loan_count == 0);
		tu_words(pg)[0] = 8;				/* the device */
		CHECK_EQ(tu_words(lent)[0], 7);
		CHECK_EQ(inspect_wiring(), 0);
		CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), PAGE_SIZE, &(struct vm_page *){ NULL },
		    UVM_LOAN_TOPAGE), EBUSY);
		uvm_unloan(&lent, 1, UVM_LOAN_TOPAGE);
		vsunlock(0, 1);
		CHECK_EQ(tm_load(0), 8);
		end();
	}
}

static void
lend_main(struct tm_thread *tt)
{
	struct vm_page *lent[2];

	do {
		int page = (int)host_rng_below(&curlwp->l_rng, 3);
		int error = uvm_loan(tm_map(tm_proc), TM_VA(page), ptoa(2), lent, UVM_LOAN_TOPAGE);

		CHECK(error == 0 || error == EBUSY);
		lwp_userret(1);
		if (error == 0)
			uvm_unloan(lent, 2, UVM_LOAN_TOPAGE);
	} while (tm_go_on(tt));
}

KTEST(T61_loans_against_IO_on_the_same_pages, "lending and wiring the same pages by several threads: a page is never both, every count comes back")
{
	struct tm_thread lender[2], io[3];

	begin(4);
	tm_put(tm_proc, "aaoo");
	tm_start(tm_proc, lender, 2, lend_main, NULL);
	tm_start(tm_proc, io, 3, io_main, &lender);
	tm_wait(io, 3);
	tm_stop();
	tm_wait(lender, 2);
	end();
}

/* --- T-17, T-18, T-51 --- */

KTEST(B1_T17_mlockall_fails_at_the_kth_page, "for every k: what was wired before is, what was not is not, no page and no mapping too many")
{
	const int npages = 12;

	begin(1);
	for (int k = 0; k <= npages; k++) {
		uint64_t before;
		int error;

		tm_put(tm_proc, "aaossrrooa.qq");
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(1), ptoa(3)), 0);
		CHECK_EQ(vslock(6, 2, VM_PROT_READ), 0);
		before = uvm.wired;
		fail_wiring = k;
		error = sys_mlockall(tm_proc, UMCL_CURRENT);
		CHECK(error == 0 || error == ENOMEM);
		CHECK_EQ(error == 0, fail_wiring >= 0);		/* three are wired already */
		fail_wiring = -1;
		if (error != 0)
			CHECK_EQ(uvm.wired, before);
		CHECK_EQ(inspect_wiring(), 0);
		vsunlock(6, 2);
		CHECK_EQ(sys_munlockall(tm_proc), 0);
		CHECK_EQ(uvm.wired, 0);
		CHECK_EQ(inspect_wiring(), 0);
		uvmspace_exec(tm_proc);
	}
	end();
}

KTEST(T18_first_stores_of_a_sharer_below_anothers_mlock, "A has memory wired read-only that it shares with B; each first store of B finds A's page, and revokes nothing")
{
	struct proc *child;
	struct vnode *vp;
	vaddr_t va = TM_VA(0);

	begin(1);
	vp = tu_file(ptoa(4));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(4), RW, UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ, 0), 0);
	CHECK_EQ(tm_put_at(tm_proc, 4, 4, 'a'), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(8), MAP_INHERIT_SHARE), 0);
	tm_load(0);
	CHECK_EQ(proc_fork(tm_proc, "sharer", &child), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(8), VM_PROT_READ), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(8)), 0);
	for (int i = 0; i < 8; i++) {
		struct vm_page *pg = tm_page(tm_proc, i);

		tm_store_in(child, i, 100 + (uint64_t)i);
		CHECK(tm_page(tm_proc, i) == pg && pte_wired(i));
		CHECK_EQ(tm_load(i), 100 + (uint64_t)i);
		CHECK_EQ(pg->wire_count, 1);
	}
	CHECK_EQ(inspect_wiring(), 0);
	proc_exit(child);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(8)), 0);
	vrele(vp);
	end();
}

static void
read_ahead(struct tm_thread *tt)
{
	do {
		for (int i = 0; i < 24; i++)
			(void)tm_load_error(i);
		(void)sys_madvise(tm_proc, TM_VA(0), ptoa(24), UMADV_FREE);	/* all fault again */
	} while (tm_go_on(tt));
}

KTEST(R8_T51_sequential_readers_below_wiring, "faults that deactivate the pages behind them, while others wire these: no wired page is deactivated")
{
	struct tm_thread reader[2], io[2];

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 24, 'a'), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(24), UMADV_SEQUENTIAL), 0);
	tm_start(tm_proc, reader, 2, read_ahead, NULL);
	tm_start(tm_proc, io, 2, io_main, &reader);
	tm_wait(io, 2);
	tm_stop();
	tm_wait(reader, 2);
	end();
}

/* --- unmapping waits --- */

enum { UNMAP, UNMAP_FIXED, MREMAP_MOVE, MREMAP_SHRINK, MREMAP_OVER, MREMAP_UP, EXTRACT, BRK };

static void
take_away(struct tm_thread *tt)
{
	vaddr_t to = TM_VA(20), over = TM_VA(0);
	struct vm_map *map = tm_map(tm_proc);

	switch (*(const int *)tt->tt_arg) {
	case UNMAP:
		CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(4)), 0);
		break;
	case UNMAP_FIXED:
		CHECK_EQ(tm_put_at(tm_proc, 1, 1, 'r'), 0);
		break;
	case MREMAP_MOVE:
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(4), &to, ptoa(4), true), 0);
		break;
	case MREMAP_SHRINK:
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(4), &over, ptoa(1), false), 0);
		break;
	case MREMAP_OVER:
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(8), ptoa(4), &over, ptoa(4), true), 0);
		break;
	case MREMAP_UP:
		CHECK_EQ(tm_put_at(tm_proc, -8, 4, 'a'), 0);
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(-8), ptoa(4), &over, ptoa(4), true), 0);
		break;
	case EXTRACT:
		CHECK_EQ(uvm_map_extract(map, TM_VA(0), ptoa(4), map, &to, UVM_EXTRACT_REMOVE), 0);
		CHECK_EQ(sys_munmap(tm_proc, to, ptoa(4)), 0);
		break;
	case BRK:
		CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS), 0);
		break;
	}
}

KTEST(I_PG_16_who_takes_memory_away_waits_for_IO, "munmap, MAP_FIXED, mremap, extract, brk: as long as I/O is under way the frame is where it was")
{
	begin(2);
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS + ptoa(4)), 0);
	for (int what = UNMAP; what <= BRK; what++) {
		vaddr_t va = (what == BRK ? VM_HEAP_ADDRESS : TM_VA(0)) + PAGE_SIZE;
		uint64_t waits = tu_count(UVMC_vslock_waits);
		struct uvm_vslock *vl;
		struct tm_thread tt;
		struct vm_page *pg;

		tm_put(tm_proc, "aaaa....aaaa");
		CHECK_EQ(uvm_vslock_frames(vm, va, ptoa(2), RW, &vl), 0);
		pg = PHYS_TO_VM_PAGE(vl->vl_frames[0]);
		tm_start(tm_proc, &tt, 1, take_away, &what);
		TU_WAIT(tu_count(UVMC_vslock_waits) > waits);
		CHECK(pmap_extract(pm, va, NULL));
		CHECK_EQ(pg->wire_count, 1);
		tu_words(pg)[1] = 7;				/* the device */
		uvm_vsunlock_frames(vl);
		tm_wait(&tt, 1);
		CHECK_EQ(uvm.wired, 0);
	}
	end();
}

/* --- R13 --- */

KTEST(R13_C15_vslock_for_reading_copies_at_once, "I/O that only reads from a private page wires a copy, if it could ever be stored to")
{
	struct vnode *vp;
	struct vm_page *pg;
	vaddr_t va = TM_VA(0);

	begin(1);
	vp = tu_file(ptoa(2));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), VM_PROT_READ, UMAP_PRIVATE | UMAP_FIXED, vp,
	    UF_READ, 0), 0);
	tm_load(0);
	CHECK(tm_page(tm_proc, 0)->uobject != NULL);
	CHECK_EQ(vslock(0, 2, VM_PROT_READ), 0);
	pg = tm_page(tm_proc, 0);
	CHECK(pg->uobject == NULL && pg->uanon != NULL && pg->uanon->an_ref == 1);
	CHECK_EQ(tm_load(1), tu_word(PAGE_SIZE));
	vsunlock(0, 2);
	vrele(vp);
	end();
}

static void
T15_main(struct tm_thread *tt)
{
	do {
		(void)sys_mprotect(tm_proc, TM_VA(0), ptoa(4), RW);
		for (int i = 0; i < 4; i++)
			(void)tm_store_error(i);
		(void)sys_mprotect(tm_proc, TM_VA(0), ptoa(4), VM_PROT_READ);
	} while (tm_go_on(tt));
}

KTEST(R13_T15_stores_while_IO_reads_from_read_only_pages, "mprotect and stores against I/O from a private file mapping: the page that was wired is unwired")
{
	struct tm_thread storer, io[3];
	struct vnode *vp;
	vaddr_t va = TM_VA(0);

	begin(4);
	vp = tu_file(ptoa(4));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(4), VM_PROT_READ, UMAP_PRIVATE | UMAP_FIXED, vp,
	    UF_READ, 0), 0);
	tm_start(tm_proc, &storer, 1, T15_main, NULL);
	tm_start(tm_proc, io, 3, io_main, NULL);
	tm_wait(io, 3);
	tm_stop();
	tm_wait(&storer, 1);
	vrele(vp);
	end();
}

/* --- T-16: fork --- */

static void
fork_main(struct tm_thread *tt)
{
	do {
		struct proc *child;

		CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
		for (int i = 0; i < 4; i++)
			tm_store(i, tt->tt_rounds);
		proc_exit(child);
	} while (tm_go_on(tt));
}

KTEST(R13_B23_T16_forks_and_stores_while_IO_is_under_way, "fork after fork, each followed by stores: the device's frames stay the parent's")
{
	struct tm_thread forker, io[3];

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 4, 'a'), 0);
	tm_start(tm_proc, &forker, 1, fork_main, NULL);
	tm_start(tm_proc, io, 3, io_main, &forker);
	tm_wait(io, 3);
	tm_stop();
	tm_wait(&forker, 1);
	end();
}

/* --- T-13, T-14: mlock, munlock, I/O on the same pages, with somebody who takes memory away --- */

static void
lock_main(struct tm_thread *tt)
{
	do {
		int page = (int)host_rng_below(&curlwp->l_rng, 3);

		CHECK_EQ(sys_mlock(tm_proc, TM_VA(page), ptoa(2)), 0);
		(void)sys_munlock(tm_proc, TM_VA(page), ptoa(2));
	} while (tm_go_on(tt));
}

static void
free_main(struct tm_thread *tt)
{
	do {
		int error = sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_FREE);

		CHECK(error == 0 || error == EBUSY);
		(void)sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_DONTNEED);
		pmap_remove(pm, TM_VA(4), TM_VA(5));		/* any mapping not wired may go */
		pmap_update(pm);
	} while (tm_go_on(tt));
}

KTEST(R31_T13_T14_mlock_and_IO_on_the_same_pages, "mlock, munlock, overlapping I/O, MADV_FREE: no underflow, no wired page freed, nothing left")
{
	struct tm_thread locker[2], freer, io[3];

	begin(4);
	tm_put(tm_proc, "aaoo");
	tm_start(tm_proc, locker, 2, lock_main, NULL);
	tm_start(tm_proc, &freer, 1, free_main, NULL);
	tm_start(tm_proc, io, 3, io_main, &freer);
	tm_wait(io, 3);
	tm_stop();
	tm_wait(locker, 2);
	tm_wait(&freer, 1);
	CHECK_EQ(inspect_wiring(), 0);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	end();
}

/* --- the inspector fires --- */

static void
expect(const char *id)
{
	tm_collect();
	CHECK(inspect_wiring() > 0);
	CHECK(strstr(tm_seen, id) != NULL);
	failure_sink = NULL;
	tm_seen[0] = '\0';
}

static bool in_the_way;

static void
look_for_wired(void)
{
	vm_map_lock(tm_map(tm_proc));
	in_the_way = uvm_vslock_overlaps(tm_map(tm_proc), TM_VA(0), TM_VA(3));
	vm_map_unlock(tm_map(tm_proc));
}

KTEST(I_PG_16_announced_is_not_wired, "I/O that is announced, with no page wired yet, is in nobody's way who has the map")
{
	begin(1);
	tm_put(tm_proc, "aaa");
	in_the_way = true;
	before_wiring = look_for_wired;
	CHECK_EQ(vslock(1, 1, VM_PROT_WRITE), 0);
	CHECK(!in_the_way);
	look_for_wired();
	CHECK(in_the_way);
	vsunlock(1, 1);
	end();
}

KTEST(the_inspector_counts_wirings, "a page wired by nobody, a wiring without its page, a mapping wired by nobody, one that should be")
{
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(1)), 0);
	tm_store(1, 1);
	CHECK_EQ(inspect_wiring(), 0);
	pg = tm_page(tm_proc, 0);
	uvm_lock_pageq();
	pg->wire_count++;
	uvm_unlock_pageq();
	expect("I-PG-16");
	pg->wire_count -= 2;
	expect("I-PG-16");
	pg->wire_count++;
	pmap_unwire(pm, TM_VA(0));
	expect("I-MAP-13");
	mutex_enter(&pg->uanon->an_lock);
	CHECK_EQ(pmap_enter(pm, TM_VA(0), VM_PAGE_TO_PHYS(pg), RW, PMAP_WIRED), 0);
	mutex_exit(&pg->uanon->an_lock);
	CHECK_EQ(inspect_wiring(), 0);
	pg = tm_page(tm_proc, 1);
	mutex_enter(&pg->uanon->an_lock);
	CHECK_EQ(pmap_enter(pm, TM_VA(1), VM_PAGE_TO_PHYS(pg), RW, PMAP_WIRED), 0);
	mutex_exit(&pg->uanon->an_lock);
	expect("I-PG-16");
	pmap_unwire(pm, TM_VA(1));
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	end();
}

KTEST_MAIN()
