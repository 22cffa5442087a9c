/*
 * Loans and what others do meanwhile: reads that take their time, mappings that cannot be
 * made, stores on other CPUs, forks, the page daemon.
 */
#include "tswap.h"

#include <errno.h>
#include <string.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096
#define	R	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	FILE_PAGE 40

static struct vnode *vp;
static struct vm_page *pgs[16];
static struct vm_anon *anons[16];

int	__real_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__wrap_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);

bool	__real_vm_map_lock_read_try(struct vm_map *);
bool	__wrap_vm_map_lock_read_try(struct vm_map *);

static int enter_fail;			/* atomic: so many fail */
static void (*relocking)(void);		/* !: called once, after a page was read, before the map is relocked */

bool
__wrap_vm_map_lock_read_try(struct vm_map *map)
{
	void (*fn)(void) = relocking;

	relocking = NULL;
	if (fn != NULL)
		fn();
	return __real_vm_map_lock_read_try(map);
}

/* R1, R2: a failed enter leaves no mapping. */
int
__wrap_pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	if ((flags & PMAP_CANFAIL) != 0 && __atomic_load_n(&enter_fail, __ATOMIC_RELAXED) > 0) {
		__atomic_sub_fetch(&enter_fail, 1, __ATOMIC_RELAXED);
		pmap_remove(pm, va, va + PAGE_SIZE);
		return ENOMEM;
	}
	return __real_pmap_enter(pm, va, pa, prot, flags);
}

static void
begin(int ncpus)
{
	ts_boot(ncpus, NPAGES, 512, 1);
	vp = tu_file(ptoa(16));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

/* => the file's pages from 0 on, private, at FILE_PAGE; each is read for itself */
static void
map_private(int n)
{
	vaddr_t va = TM_VA(FILE_PAGE);

	vref(vp);
	CHECK_EQ(uvm_map(tm_map(tm_proc), &va, ptoa((uint64_t)n), &vp->v_uobj, 0, 0, UVM_MAPFLAG(RW, RW,
	    MAP_INHERIT_COPY, UVM_ADV_RANDOM, UVM_FLAG_FIXED | UVM_FLAG_COPYONW)), 0);
}

/* --- while a page is read --- */

/* As a fault would: the sixth page of the mapping gets an anon. */
static void
promote_page_5(void)
{
	struct vm_map_entry *e;
	struct vm_anon *anon;
	struct vm_page *pg;

	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(FILE_PAGE + 5), &e));
	amap_lock(e->aref.ar_amap);
	anon = uvm_analloc();
	pg = uvm_pagealloc(NULL, 0, anon, UVM_PGA_ZERO);
	*tu_words(pg) = 77;
	pg->flags &= ~PG_FAKE;
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	uvm_page_unbusy(&pg, 1);
	(void)amap_add(&e->aref, TM_VA(FILE_PAGE + 5) - e->start, anon, false);
	mutex_exit(&anon->an_lock);
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
}

KTEST(T58_B4_page_promoted_while_it_is_read, "the slot that counts after a read is that of the page, not of the first of the call")
{
	begin(2);
	map_private(8);
	tm_store(FILE_PAGE, 66);		/* the first has an anon before, and keeps it */
	for (int i = 1; i < 5; i++)
		CHECK_EQ(tm_load(FILE_PAGE + i), tu_word((voff_t)ptoa(i)));
	relocking = promote_page_5;
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(FILE_PAGE), ptoa(8), pgs, UVM_LOAN_TOPAGE), 0);
	CHECK(relocking == NULL);
	CHECK(*tu_words(pgs[0]) == 66 && *tu_words(pgs[5]) == 77);
	for (int i = 0; i < 8; i++)
		if (i != 0 && i != 5)
			CHECK_EQ(*tu_words(pgs[i]), tu_word((voff_t)ptoa(i)));
	CHECK_EQ(tm_load(FILE_PAGE + 5), 77);
	uvm_unloan(pgs, 8, UVM_LOAN_TOPAGE);
	end();
}

static void
unmap_all(void)
{
	uvm_unmap(tm_map(tm_proc), TM_VA(FILE_PAGE), TM_VA(FILE_PAGE + 8));
}

KTEST(memory_unmapped_while_it_is_read, "nothing is lent of what is not there any more (I-LOAN-6)")
{
	begin(2);
	map_private(8);
	CHECK_EQ(tm_load(FILE_PAGE), tu_word(0));
	relocking = unmap_all;
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(FILE_PAGE), ptoa(8), pgs, UVM_LOAN_TOPAGE), ENOENT);
	CHECK(tu_lookup(&vp->v_uobj, 0)->loan_count == 0 && uvm.wired == 0);
	end();
}

KTEST(memory_in_swap_is_read_to_be_lent, "an anon's page comes back from swap for a loan to the kernel; for one to an anon it may stay there")
{
	begin(2);
	tm_put(tm_proc, "ab");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), anons, UVM_LOAN_TOANON), 0);
	CHECK(anons[0]->an_page == NULL && anons[0]->an_ref == 2);
	uvm_unloan(anons, 1, UVM_LOAN_TOANON);
	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(1), pgs, UVM_LOAN_TOPAGE), 0);
	CHECK_EQ(*tu_words(pgs[0]), 5);
	uvm_unloan(pgs, 1, UVM_LOAN_TOPAGE);
	CHECK_EQ(tm_load(0), 5);
	end();
}

/* --- anons that die --- */

static void
borrow_again(struct tm_thread *tt)
{
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anons[1]), 0);
}

KTEST(T55_B10_dying_anon_is_not_lent_again, "a page whose anon has lost its last reference gets another one")
{
	struct tm_thread tt;

	begin(2);
	CHECK_EQ(uvm_loanuobjanons(&vp->v_uobj, 0, 1, &anons[0]), 0);
	mutex_enter(&anons[0]->an_lock);
	anons[0]->an_ref = 0;			/* its freer has come so far */
	mutex_exit(&anons[0]->an_lock);
	tm_start(NULL, &tt, 1, borrow_again, NULL);
	kpause("t55", 3000000);
	uvm_anfree(anons[0]);
	tm_wait(&tt, 1);
	CHECK(anons[1]->an_ref == 1 && anons[1]->an_page->uanon == anons[1]);
	CHECK_EQ(anons[1]->an_page->loan_count, 1);
	uvm_unloan(&anons[1], 1, UVM_LOAN_TOANON);
	CHECK_EQ(uvm_anon_count(), 0);
	end();
}

/* --- the page daemon --- */

KTEST(T56_B7_shared_memory_on_loan_goes_to_swap, "the page of an aobj, clean and on loan to an anon, is reclaimed: the anon keeps it")
{
	struct vm_page *pg;

	begin(2);
	tm_put(tm_proc, "o");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(tm_load(0), 5);
	CHECK(ts_clean(tm_proc, 0) && ts_slot(tm_proc, 0) > 0);
	CHECK_EQ(uvm_loanuobjanons(tm_obj, 0, 1, anons), 0);
	pg = anons[0]->an_page;
	tu_exhaust();
	for (int i = 0; i < 100000 && tu_lookup(tm_obj, 0) != NULL; i++) {
		uvm_kick_pdaemon();
		kpause("t56", 1000000);
	}
	tu_release();
	CHECK(tu_lookup(tm_obj, 0) == NULL);
	CHECK_EQ(tm_load(0), 5);			/* the object has it in swap */
	mutex_enter(&anons[0]->an_lock);
	if (uvm_anon_lockloanpg(anons[0]) == pg) {
		CHECK(pg->uobject == NULL && (pg->pqflags & PQ_ANON) != 0 && *tu_words(pg) == 5);
	} else
		CHECK(anons[0]->an_page == NULL && anons[0]->an_swslot > 0);
	mutex_exit(&anons[0]->an_lock);
	uvm_unloan(anons, 1, UVM_LOAN_TOANON);
	end();
}

/* --- stores on other CPUs --- */

static void
store_always(struct tm_thread *tt)
{
	uint64_t n = 0;

	do
		for (int i = 0; i < 64; i++)
			CHECK_EQ(user_store(TM_VA(tt->tt_number % 2) + 64 * (uint64_t)tt->tt_number, n++), 0);
	while (tm_go_on(tt));
}

KTEST(T53_R15_no_store_reaches_a_loan, "two pages are lent over and over while other CPUs store to them: their content does not change")
{
	struct tm_thread tt[3];

	begin(4);
	tm_put(tm_proc, "so");
	tm_store(0, 1);
	tm_store(1, 1);
	tm_start(tm_proc, tt, 3, store_always, NULL);
	for (unsigned r = 0; r < ktest_scale(400) || tu_count(UVMC_loan_broken) == 0; r++) {
		uint64_t seen[2][3];

		CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(2), pgs, UVM_LOAN_TOPAGE), 0);
		for (int look = 0; look < 3; look++) {
			for (int i = 0; i < 2; i++)
				for (int w = 0; w < 3; w++) {
					uint64_t v = __atomic_load_n(&tu_words(pgs[i])[8 * w],
					    __ATOMIC_RELAXED);

					CHECK(look == 0 || seen[i][w] == v);
					seen[i][w] = v;
				}
			lwp_userret(4096);
		}
		uvm_unloan(pgs, 2, UVM_LOAN_TOPAGE);
	}
	tm_stop();
	tm_wait(tt, 3);
	end();
}

static void
fork_always(struct tm_thread *tt)
{
	struct proc *child;

	do {
		CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
		proc_exit(child);
	} while (tm_go_on(tt));
}

/* => pgs of the anon memory that tm_proc lends to the kernel are nobody else's */
static void
lend_always(struct tm_thread *tt)
{
	struct vm_page *mine[2];

	do {
		CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), ptoa(2), mine, UVM_LOAN_TOPAGE), 0);
		lwp_userret(4096);
		uvm_unloan(mine, 2, UVM_LOAN_TOPAGE);
	} while (tm_go_on(tt));
}

KTEST(T62_R14_lending_and_forking, "one thread lends, one forks, one stores: wired and copy-on-write never meet")
{
	struct tm_thread lenders[2], forker, storer;

	begin(4);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 1);
	tm_start(tm_proc, lenders, 2, lend_always, NULL);
	tm_start(tm_proc, &forker, 1, fork_always, NULL);
	tm_start(tm_proc, &storer, 1, store_always, NULL);
	for (unsigned i = 0; i < 300; i++)
		kpause("t62", 1000000);
	tm_stop();
	tm_wait(lenders, 2);
	tm_wait(&forker, 1);
	tm_wait(&storer, 1);
	CHECK(uvm.orphans == 0 && uvm.wired == 0);
	CHECK_EQ(tu_count(UVMC_loan_returned), tu_count(UVMC_loan_to_kernel));
	end();
}

/* A process that lends, and exits; the loan ends elsewhere meanwhile. */
static void
exit_with_loans(struct tm_thread *tt)
{
	struct vm_page *mine[4];
	struct proc *p;

	do {
		CHECK_EQ(proc_create("lender", &p), 0);
		proc_attach(p);
		tm_put_at(p, 0, 4, 'a');
		for (int i = 0; i < 4; i++)
			tm_store(i, 7);
		CHECK_EQ(uvm_loan(tm_map(p), TM_VA(0), ptoa(4), mine, UVM_LOAN_TOPAGE), 0);
		proc_attach(NULL);
		/* pass them on to whom unloans, then exit at once */
		for (int i = 0; i < 4; i++)
			__atomic_store_n(&((struct vm_page **)tt->tt_arg)[i], mine[i], __ATOMIC_RELEASE);
		proc_exit(p);
		while (__atomic_load_n(&((struct vm_page **)tt->tt_arg)[3], __ATOMIC_ACQUIRE) != NULL)
			kpause("spin", 20000);
	} while (tm_go_on(tt));
}

KTEST(T54_lender_exits_while_the_loan_ends, "each page is freed once, by whoever comes last")
{
	static struct vm_page *box[4];
	struct tm_thread tt;

	begin(3);
	tm_start(NULL, &tt, 1, exit_with_loans, box);
	for (unsigned r = 0; r < ktest_scale(400); r++) {
		for (int i = 0; i < 4; i++) {
			struct vm_page *pg;

			while ((pg = __atomic_load_n(&box[i], __ATOMIC_ACQUIRE)) == NULL)
				kpause("spin", 20000);
			CHECK_EQ(*tu_words(pg), 7);
			uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
			if (i == 3 && r + 1 == ktest_scale(400))
				tm_stop();
			__atomic_store_n(&box[i], NULL, __ATOMIC_RELEASE);
		}
		uvm_kick_pdaemon();
	}
	tm_wait(&tt, 1);
	CHECK_EQ(uvm.orphans, 0);
	end();
}

/* --- read() by loan --- */

KTEST(T60_R2_enter_fails_in_read_by_loan, "the mapping of the buffer cannot be made: the old one is not to be seen, the data are there")
{
	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 2);
	enter_fail = 2;
	CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), ptoa(2)), 0);
	CHECK(enter_fail == 0 && tm_page(tm_proc, 0) == NULL && tm_page(tm_proc, 1) == NULL);
	CHECK(tm_load(0) == tu_word(0) && tm_load(1) == tu_word(ptoa(1)));
	end();
}

static int quiet, stored;		/* atomic: round that the reader waits in, or 0; what was stored in it */

static void
sibling(struct tm_thread *tt)
{
	uint64_t n = 0;
	int round;

	do {
		CHECK_EQ(user_store(TM_VA(0) + 64, ++n), 0);
		/* acquire and release: pair with the reader */
		round = __atomic_load_n(&quiet, __ATOMIC_ACQUIRE);
		if (round != 0) {
			CHECK_EQ(user_store(TM_VA(0) + 64, ++n), 0);
			__atomic_store_n(&stored, (int)n, __ATOMIC_RELEASE);
			while (__atomic_load_n(&quiet, __ATOMIC_ACQUIRE) == round)
				kpause("spin", 20000);
		}
	} while (tm_go_on(tt));
}

KTEST(T60_no_store_of_a_sibling_is_lost, "what a sibling stores after the read is in the buffer, through whatever translation it had")
{
	struct tm_thread tt;
	uint64_t w;

	begin(2);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_start(tm_proc, &tt, 1, sibling, NULL);
	for (unsigned r = 0; r < ktest_scale(300); r++) {
		CHECK_EQ(uvm_loanread(tm_proc, vp, 0, TM_VA(0), ptoa(1)), 0);
		__atomic_store_n(&stored, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&quiet, (int)r + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&stored, __ATOMIC_ACQUIRE) == 0)
			kpause("spin", 20000);
		CHECK_EQ(user_load(TM_VA(0) + 64, &w), 0);
		CHECK_EQ((int)w, __atomic_load_n(&stored, __ATOMIC_RELAXED));
		CHECK_EQ(tm_load(0), tu_word(0));
		__atomic_store_n(&quiet, 0, __ATOMIC_RELEASE);
		kpause("t60", 100000);
	}
	tm_stop();
	tm_wait(&tt, 1);
	end();
}

KTEST_MAIN()
