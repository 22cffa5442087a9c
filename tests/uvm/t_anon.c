/*
 * Anons whose page is on loan: lent to the kernel, or borrowed from an object.  Loans
 * themselves are made here by hand, as loaning code would under the same locks.
 */
#include "tmap.h"

#include <string.h>

#define	NPAGES	4096
#define	R	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *vp;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	vp = tu_file(ptoa(8));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

static struct vm_anon *
anon_at(int page)
{
	struct vm_map_entry *e = tm_entry(tm_proc, page);
	struct vm_anon *anon;

	amap_lock(e->aref.ar_amap);
	anon = amap_lookup(&e->aref, TM_VA(page) - e->start);
	amap_unlock(e->aref.ar_amap);
	CHECK(anon != NULL);
	return anon;
}

/* The kernel gives it back: an owned page is as before, an orphan is freed. */
static void
unlend(struct vm_page *pg)
{
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
}

/* => page 0 of tm_proc, private memory that holds 5, is on loan to the kernel */
static struct vm_page *
begin_lent(void)
{
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	tu_lend(pg);
	return pg;
}

/* => the file is mapped shared, its page 0 was loaded */
static void
begin_file(void)
{
	vaddr_t va = TM_VA(0);

	begin(1);
	vref(vp);
	CHECK_EQ(uvm_map(tm_map(tm_proc), &va, ptoa(2), &vp->v_uobj, 0, 0, UVM_MAPFLAG(RW, RW,
	    MAP_INHERIT_SHARE, UVM_ADV_RANDOM, UVM_FLAG_FIXED)), 0);
	CHECK_EQ(tm_load(0), tu_word(0));
}

/* Page 0 of tm_proc, the first of two fresh private ones, borrows the file's page 0 from now on. */
static struct vm_page *
borrow(void)
{
	struct vm_page *pg = tu_resident(&vp->v_uobj, 0), *own;
	struct vm_anon *anon;

	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	anon = anon_at(0);
	mutex_enter(&vp->v_uobj.vmobjlock);
	mutex_enter(&anon->an_lock);
	own = anon->an_page;
	pmap_revoke(own);
	pmap_copy_on_write(pg);
	uvm_lock_pageq();
	uvm_pagefree(own);
	pg->uanon = anon;
	uvm_page_setloans(pg, 1);
	uvm_unlock_pageq();
	anon->an_page = pg;
	mutex_exit(&anon->an_lock);
	mutex_exit(&vp->v_uobj.vmobjlock);
	return pg;
}

/* --- lent to the kernel --- */

KTEST(store_to_a_lent_anon_page_breaks_the_loan, "the loan keeps what it was lent, the lender goes on with a copy, and the old page is an orphan")
{
	struct vm_page *pg = begin_lent();

	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pg);
	tm_store(0, 6);
	CHECK(tm_page(tm_proc, 0) != pg);
	CHECK_EQ(tm_load(0), 6);
	CHECK_EQ(*tu_words(pg), 5);
	CHECK(pg->uanon == NULL && (pg->pqflags & PQ_ANON) == 0);
	CHECK_EQ(uvm.orphans, 1);
	unlend(pg);
	CHECK_EQ(uvm.orphans, 0);
	end();
}

KTEST(load_of_a_lent_page_maps_read_only, "a load while the page is on loan maps it without the right to store (I-LOAN-1)")
{
	struct vm_page *pg = begin_lent();

	mutex_enter(&pg->uanon->an_lock);
	pmap_revoke(pg);
	mutex_exit(&pg->uanon->an_lock);
	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pg);
	tm_store(0, 6);				/* trapped, or the loan would see it */
	CHECK_EQ(*tu_words(pg), 5);
	unlend(pg);
	end();
}

KTEST(store_to_a_lent_shared_page_is_a_plain_1B, "with two references to the anon the copy goes to a new anon, and the loan stays with the old")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	pg = tm_page(tm_proc, 0);
	tu_lend(pg);
	tm_store(0, 6);
	CHECK(pg->uanon != NULL && pg->loan_count == 1);
	CHECK_EQ(tm_load_in(child, 0), 5);
	tm_store_in(child, 0, 7);
	CHECK(pg->uanon == NULL);
	CHECK_EQ(*tu_words(pg), 5);
	unlend(pg);
	proc_exit(child);
	end();
}

KTEST(wiring_a_lent_page_breaks_the_loan, "wired and on loan never meet, though the memory is read only (I-LOAN-5, T-61)")
{
	struct vm_page *pg = begin_lent();

	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(2), R), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(1), R), 0);
	CHECK(tm_page(tm_proc, 0) != pg);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(tm_load(0), 5);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(1));
	unlend(pg);
	end();
}

KTEST(wiring_what_can_never_be_stored_to_breaks_the_loan, "the same where max_protection has no W: R13 does not ask for a copy, the loan does")
{
	struct vm_page *pg = begin_lent();

	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(0), TM_VA(2), R, true), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(1), R), 0);
	CHECK(tm_page(tm_proc, 0) != pg);
	CHECK_EQ(pg->wire_count, 1);		/* by the loan */
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(1));
	unlend(pg);
	end();
}

KTEST(lender_that_dies_leaves_an_orphan, "an anon whose page is lent is freed; the page stays until it is given back")
{
	struct vm_page *pg = begin_lent();

	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(2));
	CHECK(pg->uanon == NULL);
	CHECK_EQ(uvm.orphans, 1);
	CHECK_EQ(*tu_words(pg), 5);
	unlend(pg);
	end();
}

KTEST(no_page_to_break_a_loan_is_a_shortage, "a store to a lent page without memory is ENOMEM, and the loan and the page are as before")
{
	struct vm_page *pg = begin_lent();

	tu_exhaust();
	CHECK_EQ(tm_store_error(0), ENOMEM);
	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pg && pg->loan_count == 1);
	tu_release();
	tm_store(0, 6);
	CHECK_EQ(*tu_words(pg), 5);
	unlend(pg);
	end();
}

/* --- object pages on loan --- */

KTEST(store_to_a_lent_file_page_replaces_it_in_the_object, "the file goes on with a copy, which is dirty; the loan keeps the old content")
{
	struct vm_page *pg;

	begin_file();
	pg = tm_page(tm_proc, 0);
	tu_lend(pg);
	mutex_enter(&vp->v_uobj.vmobjlock);
	pmap_revoke(pg);
	mutex_exit(&vp->v_uobj.vmobjlock);
	CHECK_EQ(tm_load(0), tu_word(0));	/* mapped again, without the right to store */
	CHECK(tm_page(tm_proc, 0) == pg);
	tm_store(0, 6);
	CHECK(tu_lookup(&vp->v_uobj, 0) != pg);
	CHECK(tu_lookup(&vp->v_uobj, 0) == tm_page(tm_proc, 0));
	CHECK_EQ(*tu_words(pg), tu_word(0));
	CHECK_EQ(uvm.orphans, 1);
	unlend(pg);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	end();
}

KTEST(page_that_replaces_a_lent_one_is_as_dirty, "a store from before the loan is in the copy, and reaches the file")
{
	struct vm_page *pg;

	begin_file();			/* clean, but for the modified attribute */
	tm_store(0, 6);
	pg = tm_page(tm_proc, 0);
	tu_lend(pg);
	/* a wiring that may not store, so that it does not make the page dirty itself (R30) */
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(2), R), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(1), R), 0);
	CHECK(tu_lookup(&vp->v_uobj, 0) != pg);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(1));
	unlend(pg);
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(2));
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, 0), 6);
	end();
}

/* --- borrowed from an object --- */

KTEST(store_to_a_borrowed_page_gives_it_back, "the borrower goes on with a copy, the object with its page, which is on loan no more")
{
	struct vm_page *pg;

	begin(1);
	pg = borrow();
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK(tm_page(tm_proc, 0) == pg);
	tm_store(0, 6);
	CHECK(tm_page(tm_proc, 0) != pg);
	CHECK(pg->uobject == &vp->v_uobj && pg->uanon == NULL && pg->loan_count == 0);
	CHECK_EQ(*tu_words(pg), tu_word(0));
	CHECK_EQ(tm_load(0), 6);
	end();
}

KTEST(B5_borrower_that_dies_gives_the_page_back, "freeing the borrower leaves the page with its object")
{
	struct vm_page *pg;

	begin(1);
	pg = borrow();
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(1));
	CHECK(pg->uobject == &vp->v_uobj && pg->uanon == NULL && pg->loan_count == 0);
	CHECK_EQ(*tu_words(pg), tu_word(0));
	end();
}

KTEST(page_whose_object_is_gone_is_adopted, "when the lender's file is truncated the borrower keeps the data as its own")
{
	struct vm_page *pg;

	begin(1);
	pg = borrow();
	CHECK_EQ(vnode_truncate(vp, 0), 0);
	CHECK(pg->uobject == NULL && (pg->pqflags & PQ_ANON) == 0);
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK_EQ(pg->loan_count, 0);
	CHECK((pg->pqflags & PQ_ANON) != 0);
	tm_store(0, 6);
	CHECK(tm_page(tm_proc, 0) == pg);
	end();
}

static int holds;			/* atomic */

/* => of all CPUs: no lock is taken */
static uint64_t
retries(void)
{
	uint64_t n = 0;

	for (int i = 0; i < ncpu; i++)		/* relaxed: pairs with UVMCNT() */
		n += __atomic_load_n(&((struct uvm_cpu *)cpus[i].ci_uvm)->uc_count[UVMC_fltanretry],
		    __ATOMIC_RELAXED);
	return n;
}

static void
hold_object(void *arg)
{
	mutex_enter(&vp->v_uobj.vmobjlock);
	__atomic_store_n(&holds, 1, __ATOMIC_RELEASE);	/* pairs with the acquire in the test */
	while (retries() == 0)
		intr_poll();
	mutex_exit(&vp->v_uobj.vmobjlock);
}

KTEST(fault_on_a_borrowed_page_backs_off, "a fault that cannot lock the lender lets everything go and comes again (H-4)")
{
	struct lwp *l;

	begin(2);
	(void)borrow();
	CHECK_EQ(lwp_create(&l, NULL, "holder", hold_object, NULL), 0);
	lwp_start(l);
	while (!__atomic_load_n(&holds, __ATOMIC_ACQUIRE))
		kpause("holds", 100000);
	CHECK_EQ(tm_load(0), tu_word(0));
	lwp_wait(l);
	end();
}

/* => arg: an LWP; until it pauses for the object */
static void
hold_until_pause(void *arg)
{
	const struct lwp *l = arg;
	const char *wmesg;

	mutex_enter(&vp->v_uobj.vmobjlock);
	__atomic_store_n(&holds, 1, __ATOMIC_RELEASE);	/* pairs with the acquire in the test */
	do {
		intr_poll();
		wmesg = __atomic_load_n(&l->l_wmesg, __ATOMIC_RELAXED);
	} while (wmesg == NULL || strcmp(wmesg, "loanpg") != 0);
	mutex_exit(&vp->v_uobj.vmobjlock);
}

KTEST(B5_borrower_dies_while_the_lender_is_locked, "a part of an amap goes, with a page to be given back to an object that is locked: the pause is without the amap's lock")
{
	struct vm_page *pg;
	struct lwp *l;

	begin(2);
	pg = borrow();
	CHECK_EQ(lwp_create(&l, NULL, "holder", hold_until_pause, curlwp), 0);
	lwp_start(l);
	while (!__atomic_load_n(&holds, __ATOMIC_ACQUIRE))
		kpause("holds", 100000);
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(1));
	lwp_wait(l);
	CHECK(pg->uobject == &vp->v_uobj && pg->uanon == NULL && pg->loan_count == 0);
	end();
}

/* --- freeing and allocating --- */

KTEST(freed_anon_leaves_no_mapping, "an anon that is taken out of its slot and freed takes its mappings along")
{
	struct vm_map_entry *e;
	struct vm_anon *anon;

	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	anon = anon_at(0);
	e = tm_entry(tm_proc, 0);
	amap_lock(e->aref.ar_amap);
	amap_unadd(&e->aref, 0);
	mutex_enter(&anon->an_lock);
	anon->an_ref--;
	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);
	amap_unlock(e->aref.ar_amap);
	CHECK(tm_page(tm_proc, 0) == NULL);
	CHECK_EQ(tm_load(0), 0);
	end();
}

/* More than go in one batch, mapped still; one is lent, one is busy, one has a reference elsewhere. */
KTEST(anons_that_go_together, "each of many anons goes its own way: with its page and mappings, or when its page is given back, or let go")
{
	struct uvm_anon_batch ab = { .ab_n = 0 };
	struct vm_anon *anons[20];
	struct vm_page *lent, *busy;
	struct vm_map_entry *e;

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 20, 'a'), 0);
	for (int i = 0; i < 20; i++) {
		tm_store(i, 5);
		anons[i] = anon_at(i);
	}
	lent = tm_page(tm_proc, 3);
	tu_lend(lent);
	busy = tm_page(tm_proc, 9);
	mutex_enter(&anons[9]->an_lock);
	uvm_page_busy(busy, "test");
	mutex_exit(&anons[9]->an_lock);
	mutex_enter(&anons[11]->an_lock);
	anons[11]->an_ref++;
	mutex_exit(&anons[11]->an_lock);
	e = tm_entry(tm_proc, 0);
	amap_lock(e->aref.ar_amap);
	for (int i = 0; i < 20; i++) {
		amap_unadd(&e->aref, (voff_t)ptoa(i));
		mutex_enter(&anons[i]->an_lock);
		uvm_anon_unref_batch(anons[i], &ab);
	}
	CHECK(ab.ab_n > 0);
	uvm_anfree_batch(&ab);
	amap_unlock(e->aref.ar_amap);
	CHECK(ab.ab_n == 0 && uvm_anon_count() == 2);
	CHECK(uvm.orphans == 1 && lent->uanon == NULL && *tu_words(lent) == 5);
	for (int i = 0; i < 20; i++)			/* the busy one's goes with it; the lent one is the borrower's, read-only */
		if (i != 3)
			CHECK_EQ(pmap_extract(tm_map(tm_proc)->pmap, TM_VA(i), NULL), i == 9 || i == 11);
	mutex_enter(&anons[9]->an_lock);
	CHECK(anons[9]->an_ref == 0 && (busy->flags & PG_RELEASED) != 0);
	uvm_anon_release(anons[9]);
	mutex_enter(&anons[11]->an_lock);
	CHECK_EQ(anons[11]->an_ref, 1);
	uvm_anon_unref(anons[11]);
	CHECK_EQ(uvm_anon_count(), 0);
	unlend(lent);
	end();
}

KTEST_DEATH(H5_analloc_with_kernel_map_locked, "an anon is not allocated with kernel_map locked", "vm_map_notlocked")
{
	begin(1);
	vm_map_lock(kernel_map);
	(void)uvm_analloc();
}

KTEST_DEATH(R25_trylockloanpg_wants_the_anon_locked, "uvm_anon_trylockloanpg wants the anon's lock", "R25")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	(void)uvm_anon_trylockloanpg(anon_at(0));
}

KTEST_MAIN()
