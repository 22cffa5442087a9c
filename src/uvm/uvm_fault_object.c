/*
 * Fault case 2: the lower layer, or nothing at all.
 *
 *	resident()	what the object has in memory: neighbours are mapped, the centre
 *			is BUSY by us
 *	uvmfault_read_page()  it is not there: let everything go, read, come back
 *	2A or 2B	map it, or promote it
 *
 * While the page is read nothing is locked, so the entry may be unmapped, and with it
 * the object's last reference go.  So the fault takes a reference of its own before
 * it unlocks the map, and drops it when nothing is held (T-2, T-66).
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_loan.h>

static voff_t
object_offset(const struct uvm_faultinfo *ufi, vaddr_t va)
{
	return ufi->entry->offset + (voff_t)(va - ufi->entry->start);
}

/* What the object is asked for: stores to private mappings are none of its business. */
static vm_prot_t
object_access(const struct uvm_faultinfo *ufi, const struct uvm_faultctx *flt)
{
	return UVM_ET_ISCOPYONWRITE(ufi->entry) ? flt->access & ~VM_PROT_WRITE : flt->access;
}

/* => maps(R), object locked: rights that a page of it may be mapped with */
static vm_prot_t
object_prot(const struct uvm_faultinfo *ufi, const struct uvm_faultctx *flt,
    const struct vm_page *pg)
{
	if (UVM_ET_ISCOPYONWRITE(ufi->entry) || (pg->flags & PG_RDONLY) != 0 ||
	    pg->loan_count != 0)
		return flt->enter_prot & ~VM_PROT_WRITE;
	return flt->enter_prot;
}

/*
 * Ask the object what it has in memory, map the neighbours.
 * => maps(R), amap locked.
 * => object locked too; the centre BUSY, or NULL
 */
static struct vm_page *
resident(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj)
{
	int n = flt->npages;
	vaddr_t va = flt->startva;

	UVMCNT(fltlget);
	mutex_enter(&uobj->vmobjlock);
	/* The slot was read as empty: whoever asks the object must find it so afterwards. */
	if (flt->amap != NULL)
		lock_pin(amap_mutex(flt->amap));
	lock_pin(&uobj->vmobjlock);
	/* EBUSY: not all there; what is, is in pages[] (R18) */
	(void)uobj->pgops->pgo_get(uobj, object_offset(ufi, flt->startva), flt->pages, &n,
	    flt->centeridx, object_access(ufi, flt), ufi->entry->advice, PGO_LOCKED);
	KASSERT(mutex_owned(&uobj->vmobjlock));
	for (int i = 0; i < flt->npages; i++, va += PAGE_SIZE) {
		struct vm_page *pg = flt->pages[i];

		if (pg == NULL || pg == PGO_DONTCARE || i == flt->centeridx)
			continue;
		UVMCNT(fltnomap);
		uvmfault_enter_neighbour(ufi, flt, va, pg, object_prot(ufi, flt, pg));
		uvm_page_unbusy(&pg, 1);
	}
	lock_unpin(&uobj->vmobjlock);
	if (flt->amap != NULL)
		lock_unpin(amap_mutex(flt->amap));
	return flt->pages[flt->centeridx];
}

/*
 * Somebody was quicker, or the map has changed: let go of the page.
 * => object locked, page BUSY, perhaps RELEASED: then it is freed (B-24)
 */
static void
drop_page(struct vm_page *pg)
{
	uvm_lock_pageq();
	if ((pg->flags & PG_RELEASED) != 0)
		UVMCNT(fltpgrele);
	else
		uvm_pageactivate(pg);
	uvm_page_unbusy(&pg, 1);
	uvm_unlock_pageq();
}

/*
 * The page must be read (T-1, T-2).
 */
int
uvmfault_read_page(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj,
    struct vm_page **pgp)
{
	voff_t off = object_offset(ufi, ufi->orig_rvaddr);
	vm_prot_t access = object_access(ufi, flt);
	int advice = ufi->entry->advice, n = 1, error;
	struct vm_page *pg = NULL;
	vaddr_t slot_va = ufi->orig_rvaddr;
	bool locked;

	UVMCNT(fltget);
	mutex_exit(&uobj->vmobjlock);
	uobj->pgops->pgo_reference(uobj);	/* the map is still locked: the entry has one */
	KASSERT(flt->pinned == NULL);
	flt->pinned = uobj;
	uvmfault_unlockall(ufi, flt->amap, NULL, NULL);
	uvmfault_sleeps(ufi);
	mutex_enter(&uobj->vmobjlock);
	error = uobj->pgops->pgo_get(uobj, off, &pg, &n, 0, access, advice, PGO_SYNCIO);
	if (error != 0)				/* nothing is locked */
		return error;
	flt->had_io = true;
	/* The page is BUSY, so it stays the object's; only its lock must come back. */
	KASSERT(pg != NULL && pg != PGO_DONTCARE);
	locked = uvmfault_relock(ufi);
	if (locked && flt->amap != NULL)
		amap_lock(flt->amap);
	mutex_enter(&uobj->vmobjlock);
	KASSERT((pg->flags & PG_BUSY) != 0 && pg->uobject == uobj);
	if (BUG(loan_wrong_slot) && flt->access_type == VM_PROT_NONE)	/* a loan */
		slot_va = flt->startva;
	if (locked && (pg->flags & PG_RELEASED) == 0 &&
	    (flt->amap == NULL || uvmfault_recheck(ufi, flt->amap, slot_va, NULL))) {
		*pgp = pg;
		return 0;
	}
	drop_page(pg);
	if (locked)
		uvmfault_unlockall(ufi, flt->amap, uobj, NULL);
	else if (!BUG(released_keeps_object))
		mutex_exit(&uobj->vmobjlock);
	return ERESTART;
}

/*
 * 2A: the object's page itself.
 * => maps(R), amap, object locked, page BUSY; so on return, the page perhaps another
 * => 0 and enter_prot is what the page allows; or ENOMEM
 */
static int
direct(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj,
    struct vm_page **pgp)
{
	if ((*pgp)->loan_count != 0 && ((flt->access & VM_PROT_WRITE) != 0 || flt->wiring)) {
		struct vm_page *pg;

		lock_pin(&uobj->vmobjlock);	/* the page would be another's by now */
		pg = uvm_loanbreak(*pgp);
		lock_unpin(&uobj->vmobjlock);
		if (pg == NULL)
			return ENOMEM;
		*pgp = pg;
	}
	flt->enter_prot = object_prot(ufi, flt, *pgp);
	UVMCNT(flt_obj);
	flt->resolved = KERNHIST_2A;
	return 0;
}

/*
 * 2B: a new anon gets a copy of the object's page, or zeroes.
 * => maps(R), amap, object (if any) locked, src BUSY or NULL; so on return
 * => 0: *anonp locked, in its slot; or ENOMEM
 */
static int
promote(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_page *src,
    struct vm_anon **anonp)
{
	*anonp = uvmfault_promote(ufi, flt, src, false);
	if (*anonp == NULL)
		return ENOMEM;
	if (BUG(fault_2_unlocked))
		mutex_exit(&(*anonp)->an_lock);
	flt->resolved = src != NULL ? KERNHIST_2B : KERNHIST_ZERO;
	if (src != NULL)
		UVMCNT(flt_prcopy);
	else
		UVMCNT(flt_przero);
	return 0;
}

/*
 * Sharers of an amap must come to see a promoted anon at once (I-AMAP-9).  Taking the
 * object's page out of all mappings then would hit those who have it wired (R10, C-7).
 * So under copy-on-write in a SHARED amap it is not mapped in the first place: the first
 * touch promotes, be it a load, and fork drops what was mapped before the amap was shared.
 * Not under needs-copy: of one amap some slots may be shared and others be waiting for
 * their copy (two halves of an entry, inherited differently); nobody adds to those.
 * => maps(R), amap locked
 */
static bool
promotes_loads(const struct uvm_faultinfo *ufi, const struct uvm_faultctx *flt)
{
	return UVM_ET_ISCOPYONWRITE(ufi->entry) && !UVM_ET_ISNEEDSCOPY(ufi->entry) &&
	    flt->amap != NULL && amap_shared(flt->amap);
}

/*
 * => maps(R), amap locked if there is one, no anon at the centre.
 * => all unlocked; 0, ERESTART, EAGAIN, ENOMEM, or the pager's errno.
 */
int
uvm_fault_lower(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct uvm_object *uobj = ufi->entry->object.uvm_obj;
	bool eager = promotes_loads(ufi, flt);
	bool private = uobj == NULL || eager ||
	    (flt->cow_now && UVM_ET_ISCOPYONWRITE(ufi->entry));
	struct vm_anon *anon = NULL;		/* R27: NULL when nothing is promoted */
	struct vm_page *pg = NULL;
	int error;

	KASSERT(flt->amap != NULL || !private);	/* NEEDSCOPY is clear */
	for (int i = 0; eager && i < flt->npages; i++)
		if (i != flt->centeridx)
			flt->pages[i] = PGO_DONTCARE;
	if (uobj != NULL)
		pg = resident(ufi, flt, uobj);
	if (uobj != NULL && pg == NULL) {
		error = uvmfault_read_page(ufi, flt, uobj, &pg);
		if (error != 0)
			return error;
	}
	/* locked: maps(R), amap, object; its page BUSY */
	error = private ? promote(ufi, flt, pg, &anon) : direct(ufi, flt, uobj, &pg);
	/* locked: anon as well (R27) */
	if (error == 0) {
		if (uobj != NULL && UVM_OBJ_IS_VNODE(uobj))
			UVMCNT(flt_file);
		error = uvmfault_enter(ufi, flt, anon != NULL ? anon->an_page : pg);
		pmap_update(ufi->orig_map->pmap);
	}
	if (pg != NULL)
		uvm_page_unbusy(&pg, 1);
	uvmfault_unlockall(ufi, flt->amap, uobj, anon);
	return error != 0 ? uvmfault_shortage(&ufi->waits) : 0;
}
