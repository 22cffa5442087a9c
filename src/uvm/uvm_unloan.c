/*
 * Page loaning: how a loan ends (uvm-spec 10.4, 10.5).
 *
 *	returned	the borrower has done with it: uvm_unloan()
 *	broken		lender or borrower wants to store, or to wire: a copy takes the page's place
 *	orphaned	the owner goes first: uvm_pagefree(); the last unloan frees the page
 *	adopted		so too, but an anon borrows it: uvm_page_adopt(), at the anon's next lock
 *
 * Returning goes from the page to its owner, against the lock order: page queues, then the
 * owner by trylock (uvm-spec 15.2).  While pageq is held the page keeps its owner; when the
 * trylock fails everything is let go for a moment, so that the owner can go on (H-4), and the
 * question who owns the page is asked anew.
 *
 * In a hard interrupt no adaptive mutex may be taken, neither those nor a map's, so what ends
 * there is put on a list under a spin lock, and the "loanfree" LWP does the rest (T-59): the
 * kernel's mapping, the pages, the addresses.  Soft interrupts are no place for it, since the
 * back-off sleeps.
 */
#include <sys/kernhist.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>

#include "uvm_loan_i.h"

/* --- returned --- */

/*
 * => pageq held, given up at times; the page is on loan to the kernel.
 * => the owner's lock, held; NULL: an orphan
 */
static kmutex_t *
lock_owner(struct vm_page *pg)
{
	kmutex_t *slock;

	while ((slock = uvm_page_owner_lock(pg)) != NULL && !mutex_tryenter(slock)) {
		UVMCNT(loan_trylock);
		/* H-4: nothing is held while we sleep; our loan keeps the page what it is */
		(void)mtsleep(&slock, true, "unloan", LOAN_PAUSE_NS, &uvm_pageqlock);
		uvm_lock_pageq();
	}
	KASSERTMSG_ABOUT(slock == uvm_page_owner_lock(pg), KS_page, VM_PAGE_ID(pg), pg,
	    "H-4, R25: page %#lx has another owner now than the one whose lock was waited for",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
	return slock;
}

/* => pageq held, given up at times */
static void
unloan_page(struct vm_page *pg)
{
	kmutex_t *slock = lock_owner(pg);

	KASSERTMSG(uvm_page_kloans(pg) > 0, "I-LOAN-2: more ends than loans");
	KASSERTMSG(pg->wire_count >= uvm_page_kloans(pg), "I-LOAN-5: %u loans, wired %u times",
	    uvm_page_kloans(pg), pg->wire_count);
	if (slock != NULL && pg->uobject == NULL)
		uvm_page_adopt(pg);
	uvm_page_setloans(pg, pg->loan_count - 1);
	uvm_pageunwire(pg);
	if (slock != NULL) {
		mutex_exit(slock);
		return;
	}
	if (pg->loan_count == 0) {			/* I-LOAN-4 */
		uvm.orphans--;
		uvm_pagefree(pg);
	}
}

static void
unloan_anon(struct vm_anon *anon)
{
	mutex_enter(&anon->an_lock);
	uvm_anon_unref(anon);
}

/*
 * => see uvm_loan.h.
 */
void
uvm_unloan(void *v, int npages, int flags)
{
	KASSERT(flags == UVM_LOAN_TOANON || flags == UVM_LOAN_TOPAGE);
	KASSERTMSG(!cpu_intr_p(), "I-KM-5: uvm_unloan in interrupt: see uvm_loanfree()");
	if (npages == 0)
		return;
	if (flags == UVM_LOAN_TOANON) {
		for (int i = 0; i < npages; i++)
			unloan_anon(((struct vm_anon **)v)[i]);
		return;
	}
	uvm_lock_pageq();
	for (int i = 0; i < npages; i++)
		unloan_page(((struct vm_page **)v)[i]);
	uvm_unlock_pageq();
	UVMCNT_ADD(loan_returned, (uint64_t)npages);
}

/* --- broken --- */

/*
 * A copy of a page on loan, for its owner.
 * => owner locked; un-owned, BUSY, dirty; NULL: memory is short
 */
static struct vm_page *
copy_page(struct vm_page *old)
{
	struct vm_page *pg = uvm_pagealloc(NULL, 0, NULL, 0);

	KASSERT(uvm_page_loaned(old));
	if (pg == NULL)
		return NULL;
	uvm_pagecopy(old, pg);
	pg->flags &= ~PG_FAKE;
	/* who has it mapped as the owner's must fault on the copy */
	uvm_page_protect(old, VM_PROT_NONE);
	UVMCNT(loan_broken);
	return pg;
}

struct vm_page *
uvm_loanbreak(struct vm_page *old)
{
	struct uvm_object *uobj = old->uobject;
	voff_t off = old->offset;
	struct vm_page *pg;
	bool clean;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT((old->flags & (PG_BUSY | PG_RELEASED | PG_FAKE)) == PG_BUSY);
	pg = copy_page(old);
	if (pg == NULL)
		return NULL;
	/* after the mappings are gone, and with what they knew */
	clean = (old->flags & PG_CLEAN) != 0 && !pmap_is_modified(old);
	uvm_page_unbusy(&old, 1);			/* its waiters look again, and find the copy */
	uvm_lock_pageq();
	old->flags &= ~PG_CLEAN;
	uvm_pageremove(old);
	uvm_page_unbusy(&pg, 1);			/* nobody's page, for a moment */
	uvm_pageinsert(pg, uobj, off);
	uvm_page_busy(pg, "uvm_loanbreak");
	if (old->uanon == NULL)
		uvm_page_orphan(old);
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	if (clean)
		pg->flags |= PG_CLEAN;
	return pg;
}

int
uvm_loanbreak_anon(struct vm_anon *anon)
{
	struct vm_page *old = anon->an_page, *pg;
	struct uvm_object *lender = old->uobject;

	KASSERT(mutex_owned(&anon->an_lock));
	KASSERT(lender == NULL || mutex_owned(&lender->vmobjlock));
	KASSERT(anon->an_ref == 1);
	pg = copy_page(old);
	if (pg == NULL)
		return ENOMEM;
	uvm_lock_pageq();
	if (lender != NULL) {
		/* we were the borrower */
		uvm_page_setloans(old, old->loan_count - 1);
		old->uanon = NULL;
	} else {
		KASSERT((old->pqflags & PQ_ANON) != 0);
		old->flags &= ~PG_CLEAN;
		old->pqflags &= ~PQ_ANON;
		UVMGAUGE(UVMG_anonpages, -1);
		old->uanon = NULL;
		uvm_page_orphan(old);
	}
	pg->uanon = anon;
	pg->pqflags |= PQ_ANON;
	UVMGAUGE(UVMG_anonpages, 1);
	anon->an_page = pg;
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	uvm_page_unbusy(&pg, 1);
	if (lender != NULL)
		mutex_exit(&lender->vmobjlock);
	return 0;
}

/* --- ended in interrupt --- */

static kmutex_t loanfree_lock;			/* LC_loanfree, spin, IPL_VM */
static TAILQ_HEAD(, uvm_loanfree) loanfree_list; /* l */
static struct lwp *loanfree_lwp;		/* : */
static bool loanfree_busy, loanfree_stop;	/* l */

void
uvm_loanfree(struct uvm_loanfree *lf)
{
	if (cpu_intr_p())
		UVMCNT(loan_deferred);
	mutex_spin_enter(&loanfree_lock);
	TAILQ_INSERT_TAIL(&loanfree_list, lf, lf_link);
	wakeup(&loanfree_list);
	mutex_spin_exit(&loanfree_lock);
}

static void
loanfree_main(void *arg)
{
	struct uvm_loanfree *lf;

	mutex_spin_enter(&loanfree_lock);
	for (;;) {
		lf = TAILQ_FIRST(&loanfree_list);
		if (lf == NULL) {
			loanfree_busy = false;
			wakeup(&loanfree_busy);
			if (loanfree_stop)
				break;
			lwp_patient(true);
			mtsleep(&loanfree_list, false, "loanfree", 0, &loanfree_lock);
			lwp_patient(false);
			continue;
		}
		TAILQ_REMOVE(&loanfree_list, lf, lf_link);
		loanfree_busy = true;
		mutex_spin_exit(&loanfree_lock);
		lf->lf_func(lf);
		lwp_beat();			/* the list may never be empty */
		mutex_spin_enter(&loanfree_lock);
	}
	mutex_spin_exit(&loanfree_lock);
}

void
uvm_loanfree_drain(void)
{
	mutex_spin_enter(&loanfree_lock);
	while (loanfree_busy || !TAILQ_EMPTY(&loanfree_list))
		mtsleep(&loanfree_busy, false, "loandrain", 0, &loanfree_lock);
	mutex_spin_exit(&loanfree_lock);
}

struct lwp *
uvm_loanfree_forgotten(void)
{
	struct lwp *l;

	mutex_spin_enter(&loanfree_lock);
	if (!TAILQ_EMPTY(&loanfree_list))
		l = sleepq_sleeper(&loanfree_list);
	else
		l = !loanfree_busy ? sleepq_sleeper(&loanfree_busy) : NULL;
	mutex_spin_exit(&loanfree_lock);
	return l;
}

void
uvm_loan_init(void)
{
	mutex_init(&loanfree_lock, MUTEX_DEFAULT, IPL_VM, LC_loanfree);
	TAILQ_INIT(&loanfree_list);
	loanfree_busy = loanfree_stop = false;
	uvm_loanzero_init();
	if (lwp_create(&loanfree_lwp, NULL, "loanfree", loanfree_main, NULL) != 0)
		panic("cannot create the loanfree LWP");
	lwp_start(loanfree_lwp);
}

void
uvm_loan_fini(void)
{
	mutex_spin_enter(&loanfree_lock);
	loanfree_stop = true;
	wakeup(&loanfree_list);
	mutex_spin_exit(&loanfree_lock);
	lwp_wait(loanfree_lwp);
	mutex_destroy(&loanfree_lock);
	uvm_loanzero_fini();
}
