/*
 * Case 2: the lower layer, or nothing at all.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>

static voff_t
object_offset(const struct uvm_faultinfo *ufi, vaddr_t va)
{
	return ufi->entry->offset + (voff_t)(va - ufi->entry->start);
}

/* => maps(R), object locked: rights that a page of it may be mapped with */
static vm_prot_t
object_prot(const struct uvm_faultinfo *ufi, const struct uvm_faultctx *flt,
    const struct vm_page *pg)
{
	if (UVM_ET_ISCOPYONWRITE(ufi->entry) || (pg->flags & PG_RDONLY) != 0)
		return flt->enter_prot & ~VM_PROT_WRITE;
	return flt->enter_prot;
}

/*
 * Ask the object what it has in memory, map the neighbours.
 * => maps(R), amap; object locked by us, and left so; the centre BUSY, or NULL
 */
static struct vm_page *
resident(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj)
{
	int n = flt->npages;
	vaddr_t va = flt->startva;

	UVMCNT(fltlget);
	mutex_enter(&uobj->vmobjlock);
	(void)uobj->pgops->pgo_get(uobj, object_offset(ufi, flt->startva), flt->pages, &n,
	    flt->centeridx, flt->access & ufi->entry->protection, ufi->entry->advice, PGO_LOCKED);
	for (int i = 0; i < flt->npages; i++, va += PAGE_SIZE) {
		struct vm_page *pg = flt->pages[i];

		if (pg == NULL || pg == PGO_DONTCARE || i == flt->centeridx)
			continue;
		UVMCNT(fltnomap);
		uvm_fault_neighbour(ufi, flt, va, pg, object_prot(ufi, flt, pg));
		uvm_page_unbusy(&pg, 1);
	}
	return flt->pages[flt->centeridx];
}

/*
 * The page must be read.  Locks go, the page comes back busy, locks come back if
 * nobody has changed anything (T-1, T-2).
 * => maps(R), amap, object locked; 0: still so, *pgp BUSY; else: all unlocked
 */
static int
read_page(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj,
    struct vm_page **pgp)
{
	voff_t off = object_offset(ufi, ufi->orig_rvaddr);
	vm_prot_t access = flt->access & ufi->entry->protection;
	int advice = ufi->entry->advice, n = 1, error;
	struct vm_page *pg = NULL;
	bool locked;

	UVMCNT(fltget);
	uvmfault_unlockall(ufi, flt->amap, NULL, NULL);
	error = uobj->pgops->pgo_get(uobj, off, &pg, &n, 0, access, advice, PGO_SYNCIO);
	if (error != 0)				/* nothing is locked */
		return error;
	KASSERT(pg != NULL && (pg->flags & PG_BUSY) != 0);
	flt->had_io = true;
	locked = uvmfault_relock(ufi, true);
	if (locked && flt->amap != NULL)
		amap_lock(flt->amap);
	mutex_enter(&uobj->vmobjlock);
	if (locked && (pg->flags & PG_RELEASED) == 0 && (flt->amap == NULL ||
	    amap_lookup(&ufi->entry->aref, ufi->orig_rvaddr - ufi->entry->start) == NULL)) {
		*pgp = pg;
		return 0;
	}
	/* Somebody was quicker: let go of the page (RELEASED: free it), start over (B-24). */
	UVMCNT_ADD(fltpgrele, (pg->flags & PG_RELEASED) != 0);
	uvm_lock_pageq();
	if ((pg->flags & PG_RELEASED) == 0)
		uvm_pageactivate(pg);
	uvm_page_unbusy(&pg, 1);
	uvm_unlock_pageq();
	uvmfault_unlockall(locked ? ufi : NULL, locked ? flt->amap : NULL, uobj, NULL);
	return ERESTART;
}

/*
 * 2B: a new anon gets a copy of the object's page, or zeroes.
 * => maps(R), amap and the object (if any) locked, src BUSY or NULL.
 *    0: anon locked, in its slot, its page BUSY; the object is unlocked, src no longer busy.
 *    else: all unlocked
 */
static int
promote(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct uvm_object *uobj,
    struct vm_page *src, struct vm_anon **anonp)
{
	struct vm_anon *anon = uvm_fault_newanon(flt);		/* R27: comes locked */
	struct vm_page *pg = anon != NULL ?
	    uvm_pagealloc(NULL, 0, anon, src == NULL ? UVM_PGA_ZERO : 0) : NULL;

	if (pg == NULL) {
		UVMCNT_ADD(fltnoanon, anon == NULL);
		UVMCNT_ADD(fltnoram, anon != NULL);
		if (anon != NULL)
			uvm_fault_keepanon(flt, anon);
		if (src != NULL)
			uvm_page_unbusy(&src, 1);
		uvmfault_unlockall(ufi, flt->amap, uobj, NULL);
		return uvm_fault_shortage();
	}
	if (src != NULL) {
		UVMCNT(flt_prcopy);
		uvm_pagecopy(src, pg);
		/* Sharers of the amap must come to see the anon. */
		if (amap_shared(flt->amap))
			pmap_page_protect(src, VM_PROT_NONE);
		uvm_lock_pageq();
		uvm_pageactivate(src);
		uvm_unlock_pageq();
		uvm_page_unbusy(&src, 1);
		mutex_exit(&uobj->vmobjlock);
	} else {
		UVMCNT(flt_przero);
	}
	pg->flags &= ~(PG_FAKE | PG_CLEAN);
	(void)amap_add(&ufi->entry->aref, ufi->orig_rvaddr - ufi->entry->start, anon, false);
	*anonp = anon;
	return 0;
}

/* => maps(R), amap, object locked, page BUSY: count what kind of fault it is */
static void
count_object(const struct uvm_faultctx *flt, struct uvm_object *uobj, bool promoted)
{
	if (UVM_OBJ_IS_VNODE(uobj))
		UVMCNT(flt_file);
	if (flt->had_io)
		UVMCNT(flt_pagein);
	if (promoted)
		return;
	UVMCNT(flt_obj);
	if (!flt->had_io)
		UVMCNT(flt_soft);
}

int
uvm_fault_lower(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct uvm_object *uobj = ufi->entry->object.uvm_obj;
	bool private = uobj == NULL || (flt->cow_now && UVM_ET_ISCOPYONWRITE(ufi->entry));
	struct vm_anon *anon = NULL;		/* R27: NULL when nothing is promoted */
	struct vm_page *pg = NULL;
	int error;

	if (uobj != NULL) {
		pg = resident(ufi, flt, uobj);
		if (pg == NULL) {
			error = read_page(ufi, flt, uobj, &pg);
			if (error != 0)
				return error;
		}
		count_object(flt, uobj, private);
	}
	/* locked: maps(R), amap, object; the page BUSY */
	if (private) {
		KASSERT(flt->amap != NULL);
		error = promote(ufi, flt, uobj, pg, &anon);
		if (error != 0)
			return error;
		uobj = NULL;
		pg = anon->an_page;
	} else {
		flt->enter_prot = object_prot(ufi, flt, pg);
	}
	error = uvm_fault_enter(ufi, flt, pg);
	if (error != 0) {
		uvm_lock_pageq();
		uvm_pageactivate(pg);		/* on a queue, so that it can be reclaimed */
		uvm_unlock_pageq();
	}
	uvm_page_unbusy(&pg, 1);
	uvmfault_unlockall(ufi, flt->amap, uobj, anon);
	if (error != 0)
		return uvm_fault_shortage();
	pmap_update(ufi->orig_map->pmap);
	return 0;
}
