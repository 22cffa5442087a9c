/*
 * Page loaning: one page, by lender and borrower (the table in uvm_loan.c).
 *
 * The order is always the same: the owner locked, the page resident and not busy; write
 * permission taken from everybody, and the shootdown complete; only then the count (R15).
 * A store through an old translation came before that, and is part of what is lent (T-53).
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>

#include "uvm_loan_i.h"

static struct uvm_object loanzero_object;	/* its only page is all zeroes */
static const struct uvm_pagerops loanzero_pager;

/* => owner locked, the page not BUSY, or by us: read-only for everybody, if it is not so already */
static void
protect(struct vm_page *pg)
{
	if (!uvm_page_loaned(pg) && !BUG(loan_stays_writable))
		uvm_page_protect(pg, VM_PROT_READ);
}

/* => the same, and it is to count a loan; true: no TLB was asked */
static bool
protect_for_loan(struct vm_page *pg)
{
	return uvm_page_loaned(pg) || BUG(loan_stays_writable) || uvm_page_lend(pg);
}

/* => owner locked, page valid and not BUSY, or by us; pageq held */
static void
lend_protected(struct vm_page *pg)
{
	KASSERT((pg->flags & (PG_FAKE | PG_RELEASED | PG_PAGEOUT)) == 0);
	KASSERTMSG(uvm_page_atrest(pg), "a page that somebody else has busy is lent");
	KASSERTMSG((pg->pqflags & PQ_ANON) == 0 || pg->uanon->an_ref == 1,
	    "R14: the page of anon %u is lent to the kernel, which wires it, and the anon has %d references",
	    pg->uanon->an_id, pg->uanon->an_ref);
	uvm_page_setloans(pg, pg->loan_count + 1);
	if (!BUG(loan_not_wired))
		uvm_pagewire(pg);			/* R6 */
	KASSERTMSG(pg->wire_count == uvm_page_kloans(pg), "I-LOAN-5: wired %u times, %u loans",
	    pg->wire_count, uvm_page_kloans(pg));
	UVMCNT(loan_to_kernel);
}

/* => owner locked, page valid and not BUSY, or by us; 0 or EBUSY; *quiet: no TLB was asked */
static int
lend_to_kernel(struct vm_page *pg, bool *quiet)
{
	if (uvm_page_hardwired(pg))
		return EBUSY;
	*quiet = protect_for_loan(pg);
	uvm_lock_pageq();
	lend_protected(pg);
	uvm_unlock_pageq();
	return 0;
}

void
uvm_loan_lock_pageq(struct uvm_loan *ul)
{
	if (ul->ul_quick && !ul->ul_pageq) {
		uvm_lock_pageq();
		ul->ul_pageq = true;
	}
}

void
uvm_loan_unlock_pageq(struct uvm_loan *ul)
{
	if (ul->ul_pageq)
		uvm_unlock_pageq();
	ul->ul_pageq = false;
}

/* --- the lender is an anon --- */

/*
 * R13, R14: others refer to the anon, so it is copied for us before it is wired.
 * => maps(R), amap, anon, the owner of its page locked
 * => the copy, locked; the old anon and page are not; NULL: memory is short, nothing has changed
 */
static struct vm_anon *
promote(struct uvm_loan *ul, struct vm_anon *anon)
{
	struct uvm_faultinfo *ufi = &ul->ul_ufi;
	struct uvm_object *lender = anon->an_page->uobject;
	struct vm_anon *new = uvmfault_promote(ufi, &ul->ul_flt, anon->an_page, true);

	if (new == NULL)
		return NULL;
	/* our mapping is of the old page, which its other owners may store to from now on */
	pmap_remove(ufi->orig_map->pmap, ufi->orig_rvaddr, ufi->orig_rvaddr + PAGE_SIZE);
	pmap_update(ufi->orig_map->pmap);
	KASSERTMSG(!pmap_extract(ufi->orig_map->pmap, ufi->orig_rvaddr, NULL),
	    "R14: %#lx of map %u shows what others have, and its memory is a copy of that, lent to the kernel",
	    (unsigned long)ufi->orig_rvaddr, ufi->orig_map->id);
	anon->an_ref--;
	kernhist_log(KE_anon_unref, anon->an_id, (uint32_t)anon->an_ref, 0);
	KASSERT(anon->an_ref > 0);
	UVMCNT(loan_copied);
	mutex_exit(&anon->an_lock);
	if (lender != NULL)
		mutex_exit(&lender->vmobjlock);
	return new;
}

/*
 * => maps(R), amap, anon locked.
 * => 0: maps(R), amap locked; else nothing
 */
static int
anon_to_kernel(struct uvm_loan *ul, struct vm_anon *anon)
{
	struct uvm_faultinfo *ufi = &ul->ul_ufi;
	struct vm_amap *amap = ul->ul_flt.amap;
	struct uvm_object *lender;
	struct vm_anon *new;
	int error;

	error = uvmfault_anonget(ufi, amap, anon);
	if (error != 0)
		return error;
	/* locked: maps(R), amap, anon, and the owner of its page */
	lender = anon->an_page->uobject;
	if (!uvm_page_hardwired(anon->an_page) && anon->an_ref > 1) {
		new = promote(ul, anon);
		if (new == NULL) {
			uvmfault_unlockall(ufi, amap, lender, anon);
			return uvmfault_shortage(&ufi->waits);
		}
		anon = new;
		lender = NULL;
	}
	error = lend_to_kernel(anon->an_page, &ul->ul_quick);
	if (error != 0) {
		uvmfault_unlockall(ufi, amap, lender, anon);
		return error;
	}
	((struct vm_page **)ul->ul_result)[ul->ul_n] = anon->an_page;
	uvmfault_unlockall(NULL, NULL, lender, anon);
	return 0;
}

/*
 * Against the lock order, hence the try.
 * => maps(R), amap, pageq held.
 * => true: lent; false: nothing has changed
 */
static bool
anon_to_kernel_quickly(struct uvm_loan *ul, struct vm_anon *anon)
{
	struct vm_page *pg;
	bool lent;

	if (!mutex_tryenter(&anon->an_lock))
		return false;
	pg = anon->an_page;
	/* resident, owned by the anon, and by nobody else; nothing to be waited for or taken away */
	lent = pg != NULL && pg->uobject == NULL && (pg->pqflags & PQ_ANON) != 0 && anon->an_ref == 1 &&
	    (pg->flags & PG_BUSY) == 0 && !uvm_page_hardwired(pg) &&
	    (uvm_page_loaned(pg) || pmap_page_lend_quiet(pg));
	if (lent) {
		lend_protected(pg);
		((struct vm_page **)ul->ul_result)[ul->ul_n] = pg;
	}
	mutex_exit(&anon->an_lock);
	return lent;
}

/*
 * R14: an anon whose page is wired is not shared copy-on-write.  A page that it has borrowed
 * itself is its lender's to lend to the kernel, as often as that likes.
 * => anon locked, which wires it, by mlock, for I/O and by loans
 */
static bool
wired_own(struct vm_page *pg)
{
	bool yes;

	uvm_lock_pageq();
	yes = pg->wire_count != 0 && !uvm_page_borrowed(pg);
	uvm_unlock_pageq();
	return yes;
}

/*
 * Two references to one anon: copy-on-write as after a fork.  The page need not even be resident.
 * => maps(R), amap, anon locked.
 * => 0: maps(R), amap locked; else nothing
 */
static int
anon_to_anon(struct uvm_loan *ul, struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	KASSERT(anon->an_ref > 0);
	if (pg != NULL && wired_own(pg)) {
		uvmfault_unlockall(&ul->ul_ufi, ul->ul_flt.amap, NULL, anon);
		return EBUSY;
	}
	if (pg != NULL && anon->an_ref == 1)
		protect(pg);
	anon->an_ref++;
	kernhist_log(KE_anon_ref, anon->an_id, (uint32_t)anon->an_ref, 0);
	((struct vm_anon **)ul->ul_result)[ul->ul_n] = anon;
	UVMCNT(loan_to_anon);
	mutex_exit(&anon->an_lock);
	return 0;
}

/* --- the lender is an object --- */

/*
 * The page becomes that of an anon as well.
 * => object locked, page BUSY by us, valid.
 * => 0 and the anon, with one reference more; EBUSY, ENOMEM, EAGAIN
 */
static int
lend_to_anon(struct vm_page *pg, struct vm_anon **anonp)
{
	struct vm_anon *anon = pg->uanon;

	if (uvm_page_hardwired(pg))
		return EBUSY;
	if (anon != NULL) {
		int refs;

		mutex_enter(&anon->an_lock);
		KASSERTMSG(anon->an_page == pg && pg->loan_count > 0, "I-LOAN-7: the page says that it is lent to anon "
		    "%u, which has %s", anon->an_id, anon->an_page == pg ? "returned it" : "another page");
		refs = anon->an_ref;
		if (refs > 0 || BUG(loan_resurrects_anon)) {
			anon->an_ref++;
			kernhist_log(KE_anon_ref, anon->an_id, (uint32_t)anon->an_ref, 0);
		}
		mutex_exit(&anon->an_lock);
		if (refs == 0 && !BUG(loan_resurrects_anon))
			return EAGAIN;			/* B-10: its freer waits for our lock */
	} else {
		anon = uvm_analloc();
		if (anon == NULL)
			return ENOMEM;
		protect_for_loan(pg);
		uvm_lock_pageq();
		pg->uanon = anon;
		uvm_page_setloans(pg, pg->loan_count + 1);
		uvm_unlock_pageq();
		anon->an_page = pg;
		mutex_exit(&anon->an_lock);
	}
	*anonp = anon;
	UVMCNT(loan_to_anon);
	return 0;
}

int
uvm_loan_objpage(struct vm_page *pg, void *result, int i, int flags)
{
	bool quiet;
	int error;

	KASSERT(mutex_owned(&pg->uobject->vmobjlock));
	if ((flags & UVM_LOAN_TOANON) != 0)
		return lend_to_anon(pg, &((struct vm_anon **)result)[i]);
	error = lend_to_kernel(pg, &quiet);
	if (error == 0)
		((struct vm_page **)result)[i] = pg;
	return error;
}

/*
 * => maps(R), amap (if any) locked, no anon at the address.
 * => 0: locked as before; else nothing
 */
static int
object_next(struct uvm_loan *ul, struct uvm_object *uobj)
{
	struct uvm_faultinfo *ufi = &ul->ul_ufi;
	struct vm_map_entry *entry = ufi->entry;
	voff_t off = entry->offset + (voff_t)(ufi->orig_rvaddr - entry->start);
	struct vm_page *pg = NULL;
	int n = 1, error;

	mutex_enter(&uobj->vmobjlock);
	(void)uobj->pgops->pgo_get(uobj, off, &pg, &n, 0, VM_PROT_READ, entry->advice, PGO_LOCKED);
	if (pg == NULL && ul->ul_flt.pinned != NULL) {
		/* from an earlier read: can be dropped only with nothing locked */
		uvmfault_unlockall(ufi, ul->ul_flt.amap, uobj, NULL);
		return ERESTART;
	}
	if (pg == NULL) {
		/* B-4: looks at the slot of this very address afterwards */
		error = uvmfault_read_page(ufi, &ul->ul_flt, uobj, &pg);
		if (error != 0)
			return error;
	}
	/* locked: maps(R), amap, object; the page BUSY */
	KASSERTMSG_ABOUT(ul->ul_flt.amap == NULL ||
	    amap_lookup(&entry->aref, ufi->orig_rvaddr - entry->start) == NULL, KS_va, 0, (const void *)ufi->orig_rvaddr,
	    "B-4: the object's page at %#lx is lent, and the amap has another there",
	    (unsigned long)ufi->orig_rvaddr);
	error = uvm_loan_objpage(pg, ul->ul_result, ul->ul_n, ul->ul_flags);
	uvm_page_unbusy(&pg, 1);
	if (error == 0) {
		mutex_exit(&uobj->vmobjlock);
		return 0;
	}
	uvmfault_unlockall(ufi, ul->ul_flt.amap, uobj, NULL);
	return error;
}

/* --- nobody: the page of zeroes --- */

/* => the object locked; its page, or NULL: memory is short */
static struct vm_page *
zero_page(void)
{
	struct vm_page *pg = uvm_pagelookup(&loanzero_object, 0);

	if (pg != NULL)
		return pg;
	pg = uvm_pagealloc(&loanzero_object, 0, NULL, UVM_PGA_ZERO);
	if (pg == NULL)
		return NULL;
	pg->flags &= ~PG_FAKE;
	pg->flags |= PG_RDONLY;
	uvm_page_unbusy(&pg, 1);
	return pg;
}

/* => as object_next() */
static int
zero_next(struct uvm_loan *ul)
{
	struct vm_page *pg;
	int error = ENOMEM;

	mutex_enter(&loanzero_object.vmobjlock);
	pg = zero_page();
	if (pg != NULL)
		error = uvm_loan_objpage(pg, ul->ul_result, ul->ul_n, ul->ul_flags);
	mutex_exit(&loanzero_object.vmobjlock);
	if (error == 0)
		UVMCNT(loan_zero);
	else
		uvmfault_unlockall(&ul->ul_ufi, ul->ul_flt.amap, NULL, NULL);
	return error;
}

/* The page daemon wants the page: it stays, and out of its way. */
static int
loanzero_put(struct uvm_object *uobj, voff_t start, voff_t stop, int flags)
{
	struct vm_page *pg = uvm_pagelookup(uobj, 0);

	if (pg != NULL) {
		uvm_lock_pageq();
		uvm_pagedequeue(pg);
		uvm_unlock_pageq();
	}
	mutex_exit(&uobj->vmobjlock);
	return 0;
}

static const struct uvm_pagerops loanzero_pager = { .pgo_put = loanzero_put };

void
uvm_loanzero_init(void)
{
	uvm_obj_init(&loanzero_object, &loanzero_pager, 1);
}

void
uvm_loanzero_fini(void)
{
	struct vm_page *pg;
	const uint64_t *word;

	mutex_enter(&loanzero_object.vmobjlock);
	pg = uvm_pagelookup(&loanzero_object, 0);
	if (pg != NULL) {
		KASSERTMSG(!uvm_page_loaned(pg), "I-LOAN-2: the page of zeroes is still on loan");
		word = ram_host(VM_PAGE_TO_PHYS(pg));
		for (size_t i = 0; i < PAGE_SIZE / sizeof(*word); i++)
			KASSERTMSG(word[i] == 0, "I-LOAN-3: the page of zeroes has a %#lx at %zu",
			    (unsigned long)word[i], i * sizeof(*word));
		uvm_page_protect(pg, VM_PROT_NONE);
		uvm_lock_pageq();
		uvm_pagefree(pg);
		uvm_unlock_pageq();
	}
	mutex_exit(&loanzero_object.vmobjlock);
	loanzero_object.uo_refs--;
	uvm_obj_destroy(&loanzero_object);
}

/* --- which of them --- */

/* => all unlocked: what to do about it */
static int
come_again(struct uvm_faultinfo *ufi, int error)
{
	if (error == ENOMEM)
		return uvmfault_shortage(&ufi->waits);
	if (error != EAGAIN)
		return error;
	uvmfault_pause("loan", LOAN_PAUSE_NS);
	return ERESTART;
}

int
uvm_loan_next(struct uvm_loan *ul)
{
	struct uvm_faultinfo *ufi = &ul->ul_ufi;
	struct vm_map_entry *entry = ufi->entry;
	struct vm_anon *anon = NULL;

	KASSERT(vm_map_locked(ufi->map));
	if (ul->ul_flt.amap != NULL)
		anon = amap_lookup(&entry->aref, ufi->orig_rvaddr - entry->start);
	if (ul->ul_pageq) {
		if (anon != NULL && anon_to_kernel_quickly(ul, anon))
			return 0;
		uvm_loan_unlock_pageq(ul);
		ul->ul_quick = false;
	}
	if (anon != NULL) {
		mutex_enter(&anon->an_lock);
		if ((ul->ul_flags & UVM_LOAN_TOANON) != 0)
			return anon_to_anon(ul, anon);
		return anon_to_kernel(ul, anon);
	}
	if (entry->object.uvm_obj != NULL)
		return come_again(ufi, object_next(ul, entry->object.uvm_obj));
	if (!UVM_ET_ISCOPYONWRITE(entry)) {
		uvmfault_unlockall(ufi, ul->ul_flt.amap, NULL, NULL);
		return EINVAL;
	}
	return come_again(ufi, zero_next(ul));
}
