/*
 * Fault case 1: the upper layer has an anon.
 *
 * The anon is locked from here to the end, and in 1B the new one as well, which the
 * old one's lock is waited for first (R27).  A busy page is waited for with nothing
 * held; afterwards the anon may be anybody's, so the fault starts over with the look
 * at the map and the amap's slot (H-2, T-37).
 *
 * A page that is in swap is read with nothing held but its own BUSY.  That keeps the
 * anon alive: who drops the last reference meanwhile leaves it to us (T-1).
 */
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_swap.h>

#include <sys/bug.h>

#define	PAUSE_NS	100000

/*
 * The page has been read, or not.
 * => anon locked, its page BUSY by us
 * => true: the anon has its page, not busy; false: *errorp; the anon is unlocked if it died
 */
static bool
pagein_done(struct vm_anon *anon, int *errorp)
{
	struct vm_page *pg = anon->an_page;
	int slot = anon->an_swslot;

	KASSERT((pg->flags & (PG_BUSY | PG_FAKE)) == (PG_BUSY | PG_FAKE));
	if (*errorp != 0) {
		uvm_swap_markbad(slot, 1);
		anon->an_swslot = anon->an_ref == 0 ? 0 : SWSLOT_BAD;
	}
	if ((pg->flags & PG_RELEASED) != 0) {		/* T-1 */
		UVMCNT(fltpgrele);
		uvm_anon_release(anon);			/* unlocks */
		*errorp = ERESTART;
		return false;
	}
	/* There may be no reference any more: then its freer waits for our lock, and does all the rest. */
	uvm_lock_pageq();
	if (*errorp != 0) {
		uvm_pagefree(pg);			/* wakes */
		uvm_unlock_pageq();
		return false;
	}
	pg->flags &= ~PG_FAKE;
	pmap_clear_modify(pg);
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	KASSERTMSG((pg->flags & PG_CLEAN) != 0 && anon->an_swslot == slot,
	    "I-ANON-4: anon %u was read from slot %d, and has %d, page flags %#x", anon->an_id, slot, anon->an_swslot, pg->flags);
	uvm_page_unbusy(&pg, 1);
	return true;
}

/*
 * The anon's page is in swap (uvm-spec 6.4 d to g).
 * => maps(R), amap, anon locked, or anon alone (swapoff).
 * => 0: so again, the page resident and not busy; else: all unlocked
 */
static int
pagein(struct uvm_faultinfo *ufi, struct vm_amap *amap, struct vm_anon *anon)
{
	int slot = anon->an_swslot, error;
	unsigned alone = 0;			/* swapoff comes again */
	struct vm_page *pg;
	bool locked, got;

	if (slot == SWSLOT_BAD) {
		uvmfault_unlockall(ufi, amap, NULL, anon);
		return EIO;
	}
	if (ufi != NULL && VM_MAPENT_ISWIRED(ufi->entry) && ufi->map->busy == NULL)
		violation(VIOL_INVARIANT, "I-SYS-5", "map %u, entry %u is wired, and the page at %#lx is in swap",
		    ufi->map->id, ufi->entry->id, (unsigned long)ufi->orig_rvaddr);
	pg = uvm_pagealloc(NULL, 0, anon, 0);
	if (pg == NULL) {
		UVMCNT(fltnoram);
		uvmfault_unlockall(ufi, amap, NULL, anon);
		uvmfault_sleeps(ufi);
		return uvmfault_shortage(ufi != NULL ? &ufi->waits : &alone);
	}
	uvmfault_unlockall(ufi, amap, NULL, anon);
	UVMCNT(pageins);
	if (ufi != NULL)
		UVMCNT(nswget);
	uvmfault_sleeps(ufi);
	error = uvm_swap_get(pg, slot);
	/* the page is ours, so the anon is still there; the amap only if the map has not changed */
	locked = ufi == NULL || uvmfault_relock(ufi);
	if (locked && amap != NULL)
		amap_lock(amap);
	mutex_enter(&anon->an_lock);
	KASSERT(anon->an_page == pg);
	got = pagein_done(anon, &error);
	if (got && locked && (amap == NULL || uvmfault_recheck(ufi, amap, ufi->orig_rvaddr, anon)))
		return 0;
	if (error != ERESTART)
		mutex_exit(&anon->an_lock);
	if (locked)
		uvmfault_unlockall(ufi, amap, NULL, NULL);
	return error != 0 ? error : ERESTART;
}

/*
 * H-4: whoever has the lender may need long, if it is an LWP that is not running.  So the pauses
 * grow, from a tenth of a millisecond to a tenth of a second; restarts are numbered (I-FLT-7).
 * => nothing locked; ufi NULL: swapoff
 */
static void
lender_pause(struct uvm_faultinfo *ufi)
{
	unsigned n = ufi == NULL ? 0 : ufi->backoffs++;

	uvmfault_pause("fltloan", (uint64_t)PAUSE_NS << (n < 10 ? n : 10));
}

/* For the bug of that name: the map has not changed, so the anon is taken to be the slot's still. */
static bool
relock_blindly(struct uvm_faultinfo *ufi, struct vm_amap *amap, struct vm_anon *anon)
{
	if (ufi == NULL || !uvmfault_relock(ufi))
		return false;
	amap_lock(amap);
	mutex_enter(&anon->an_lock);
	return true;
}

int
uvmfault_anonget(struct uvm_faultinfo *ufi, struct vm_amap *amap, struct vm_anon *anon)
{
	struct vm_page *pg;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvmfault_anonget without the anon's lock");
	KASSERT(amap == NULL || amap_locked(amap));
	UVMCNT(fltanget);
	if (!uvm_anon_trylockloanpg(anon)) {
		UVMCNT(fltanretry);
		uvmfault_unlockall(ufi, amap, NULL, anon);
		lender_pause(ufi);
		return ERESTART;
	}
	pg = anon->an_page;
	if (pg == NULL) {
		KASSERTMSG(anon->an_swslot != 0, "I-ANON-6: an anon with neither page nor slot");
		return pagein(ufi, amap, anon);
	}
	if ((pg->flags & PG_BUSY) == 0)
		return 0;
	UVMCNT(fltpgwait);
	UVMCNT(fltanretry);
	/* The owner's lock goes last, as we fall asleep. */
	if (pg->uobject != NULL) {
		kmutex_t *slock = &pg->uobject->vmobjlock;

		uvmfault_unlockall(ufi, amap, NULL, anon);
		uvmfault_sleeps(ufi);
		uvm_pagewait(pg, slock, "anonget");
	} else {
		uvmfault_unlockall(ufi, BUG(page_busy_under_amap) ? NULL : amap, NULL, NULL);
		uvmfault_sleeps(ufi);
		uvm_pagewait(pg, &anon->an_lock, "anonget");
		if (BUG(page_busy_under_amap) && amap != NULL)
			amap_unlock(amap);
		if (BUG(anon_after_sleep) && relock_blindly(ufi, amap, anon))
			return uvmfault_anonget(ufi, amap, anon);
	}
	return ERESTART;
}

/*
 * A store by one sharer of an amap to a page that another one has wired, and whose anon
 * has references elsewhere.  Wiring made it private (R13), so a fork has shared it just
 * now and is about to copy it for the child (B-23): wait for that, and do not take a
 * wired page out of its mappings (R10, C-7).
 * => maps(R), amap, anon locked, owner of its page locked
 */
static bool
wired_by_sharer(struct uvm_faultctx *flt, struct vm_anon *anon)
{
	return amap_shared(flt->amap) && uvm_page_hardwired(anon->an_page);
}

/*
 * => maps(R), amap, anon locked, page resident and not busy, its owner locked.
 * => 0: *newp is the promoted anon, locked, or NULL; enter_prot is what the page allows.
 * => else: memory is short or a fork is in progress; locks as before
 */
static int
make_ours(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_anon *anon,
    struct vm_anon **newp)
{
	bool loaned = uvm_page_loaned(anon->an_page);
	bool private = flt->cow_now || (flt->wiring && loaned);	/* 10.5: wired and on loan: never */

	if (private && anon->an_ref > 1) {		/* 1B */
		if (wired_by_sharer(flt, anon))
			return ERESTART;
		*newp = uvmfault_promote(ufi, flt, anon->an_page, true);
		if (*newp == NULL)
			return ENOMEM;
		if (BUG(fault_1b_unlocked))
			mutex_exit(&(*newp)->an_lock);
		anon->an_ref--;
		kernhist_log(KE_anon_unref, anon->an_id, (uint32_t)anon->an_ref, 0);
		KASSERT(anon->an_ref > 0);		/* it was shared, and we have it locked */
		flt->resolved = KERNHIST_1B;
		UVMCNT(flt_acow);
		return 0;
	}
	if (private && loaned) {
		if (uvm_loanbreak_anon(anon) != 0)
			return ENOMEM;
		loaned = false;
	}
	if (anon->an_ref > 1 || loaned)
		flt->enter_prot &= ~VM_PROT_WRITE;
	UVMCNT(flt_anon);				/* 1A */
	flt->resolved = KERNHIST_1A;
	return 0;
}

/*
 * => maps(R), amap locked, an anon at the centre.
 * => all unlocked; 0, ERESTART, ENOMEM.
 */
int
uvm_fault_upper(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_anon *anon = flt->anons[flt->centeridx], *new = NULL;
	struct uvm_object *lender;
	struct vm_page *pg;
	int error;

	mutex_enter(&anon->an_lock);
	if (anon->an_page == NULL)
		flt->had_io = true;
	error = uvmfault_anonget(ufi, flt->amap, anon);
	if (error != 0)
		return error;
	/* locked: maps(R), amap, anon, and the lender of its page */
	KASSERTMSG(!flt->had_io || amap_lookup(&ufi->entry->aref, ufi->orig_rvaddr - ufi->entry->start) == anon,
	    "I-FLT-4: anon %u was read from swap, and is not in the slot any more", anon->an_id);
	error = make_ours(ufi, flt, anon, &new);
	lender = anon->an_page->uobject;
	/* locked: new as well (R27); no lender if the loan was broken */
	if (error == 0) {
		error = uvmfault_enter(ufi, flt, new != NULL ? new->an_page : anon->an_page);
		/* a promoted anon stays, whatever became of the mapping */
		pmap_update(ufi->orig_map->pmap);
	}
	if (BUG(enter_retry_holds_locks) && error == ENOMEM)
		(void)uvmfault_shortage(&ufi->waits);
	pg = new != NULL ? new->an_page : anon->an_page;
	if (new != NULL)
		mutex_exit(&new->an_lock);
	uvmfault_unlockall(ufi, flt->amap, lender, anon);
	if (BUG(flags_unlocked) && error == 0)
		pg->flags &= ~PG_CLEAN;
	if (error == ERESTART)
		uvmfault_pause("fltfork", PAUSE_NS);
	return error == ENOMEM ? uvmfault_shortage(&ufi->waits) : error;
}
