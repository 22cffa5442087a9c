/*
 * Case 1: the upper layer has an anon.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>

int
uvmfault_anonget(struct uvm_faultinfo *ufi, struct vm_amap *amap, struct vm_anon *anon)
{
	struct vm_page *pg;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvmfault_anonget without the anon's lock");
	KASSERT(amap == NULL || amap_locked(amap));
	UVMCNT(fltanget);
	if (anon->an_page != NULL && anon->an_page->loan_count != 0)
		(void)uvm_anon_lockloanpg(anon);
	pg = anon->an_page;
	KASSERTMSG(pg != NULL, "an anon with neither a page nor a swap slot");
	if ((pg->flags & PG_BUSY) == 0)
		return 0;
	/*
	 * Somebody is at it.  All goes but the anon's lock, which falls as we fall asleep;
	 * afterwards the anon may be anybody's: look it up anew (H-2).
	 */
	UVMCNT(fltpgwait);
	uvmfault_unlockall(ufi, amap, NULL, NULL);
	uvm_pagewait(pg, &anon->an_lock, "anonget");
	return ERESTART;
}

/*
 * 1B: a new anon with a copy of the page takes the slot.
 * => all locked; 0: newp locked too, its page filled and not busy; else: all unlocked
 */
static int
promote(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_anon *old,
    struct vm_anon **newp)
{
	struct vm_anon *new = uvm_fault_newanon(flt);		/* R27: comes locked */
	struct vm_page *pg = new != NULL ? uvm_pagealloc(NULL, 0, new, 0) : NULL;

	if (pg == NULL) {
		UVMCNT_ADD(fltnoanon, new == NULL);
		UVMCNT_ADD(fltnoram, new != NULL);
		if (new != NULL)
			uvm_fault_keepanon(flt, new);
		uvmfault_unlockall(ufi, flt->amap, NULL, old);
		return uvm_fault_shortage();
	}
	UVMCNT(flt_acow);
	uvm_pagecopy(old->an_page, pg);
	(void)amap_add(&ufi->entry->aref, ufi->orig_rvaddr - ufi->entry->start, new, true);
	pg->flags &= ~(PG_BUSY | PG_FAKE | PG_CLEAN);
	old->an_ref--;
	KASSERT(old->an_ref > 0);			/* it was shared, and we had it locked */
	*newp = new;
	return 0;
}

int
uvm_fault_upper(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_anon *anon = flt->anons[flt->centeridx], *new = NULL;
	struct vm_page *pg;
	int error;

	mutex_enter(&anon->an_lock);
	error = uvmfault_anonget(ufi, flt->amap, anon);
	if (error != 0)
		return error;
	/* locked: maps(R), amap, anon */
	pg = anon->an_page;
	KASSERT(pg->uobject == NULL);
	if (flt->cow_now && anon->an_ref > 1) {
		error = promote(ufi, flt, anon, &new);
		if (error != 0)
			return error;
		pg = new->an_page;		/* locked: new as well (R27) */
	} else {
		UVMCNT(flt_anon);
		if (!flt->had_io)
			UVMCNT(flt_soft);
		if (anon->an_ref > 1)
			flt->enter_prot &= ~VM_PROT_WRITE;
	}
	error = uvm_fault_enter(ufi, flt, pg);
	if (new != NULL)
		mutex_exit(&new->an_lock);
	uvmfault_unlockall(ufi, flt->amap, NULL, anon);
	if (error != 0)				/* a promoted anon stays */
		return uvm_fault_shortage();
	pmap_update(ufi->orig_map->pmap);
	return 0;
}
