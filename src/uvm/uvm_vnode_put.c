/*
 * The vnode pager: pages out to the host's file, and out of memory
 * (uvm-spec 4.6).
 *
 * For each page of the range, in ascending order: revoke its mappings (FREE)
 * or take write permission away (plain cleaning), then ask whether it was
 * modified, and only if it is PG_CLEAN (R21, R23).  In this order no store is
 * lost: it came before and is in the data that go out, or it faults and waits
 * for the busy page (I-OBJ-7, T-64).  The page is PG_CLEAN from here on; a
 * failed write takes that back.  Dirty neighbours in the same aligned block go
 * out together.  The transfer owns pages and buffer once it is started (R19).
 *
 * The page daemon's puts (PGO_PDFREECLUST) concern one page.  They never sleep
 * and do not touch the object after the write has started, for it may be gone.
 */
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include "uvm_vnode_i.h"

/* What a synchronous put waits for.  o: vmobjlock */
struct uvn_sync {
	int		 us_pending;		/* o: writes in flight */
	int		 us_error;		/* o: the first error */
};

/* A write is complete; on the aiodone LWP. */
static void
uvn_iodone(struct uvm_aio *aio)
{
	struct vnode *vp = aio->ua_owner;
	struct uvn_sync *us = aio->ua_sync;
	int error = aio->ua_buf.b_error;

	if (error == 0 && aio->ua_buf.b_resid != 0)
		error = EIO;
	uvm_aio_aiodone_pages(aio->ua_pgs, aio->ua_npgs, true, error);
	uvm_aio_put(aio);

	mutex_enter(&vp->v_uobj.vmobjlock);
	if (us != NULL) {
		us->us_pending--;
		if (us->us_error == 0)
			us->us_error = error;
		wakeup(us);
	} else if (vp->v_error == 0)
		vp->v_error = error;
	if (--vp->v_numoutput == 0)
		wakeup(&vp->v_numoutput);
	mutex_exit(&vp->v_uobj.vmobjlock);
}

/*
 * Was the page modified?  Clean from here on.
 * => object locked, page not busy; no store can get at it unnoticed any more on return.
 */
static bool
uvn_put_isdirty(struct vnode *vp, struct vm_page *pg, int flags)
{
	bool dirty;

	if (flags & PGO_FREE)
		uvm_page_protect(pg, VM_PROT_NONE);	/* R23: mappings first, then the question */
	else
		pmap_clean_protect(pg);
	KASSERTMSG(!pmap_is_writable(pg), "R10: a mapping stays writable while its page is written back");
	if (pg->flags & PG_CLEAN)
		dirty = pmap_clear_modify(pg);	/* R21 */
	else {
		dirty = true;
		if ((flags & PGO_FREE) == 0)
			pmap_clear_modify(pg);	/* not a question: what is written is clean */
	}
	pg->flags |= PG_CLEAN;
	/* a wired page that a truncation left behind has no place in the file */
	return dirty && pg->offset < vp->v_writesize;
}

/*
 * May this neighbour go out with the page that is written?
 * => object locked; if so it is clean from here on, as uvn_put_isdirty() says.
 */
static bool
uvn_put_neighbour(struct vnode *vp, struct vm_page *pg, int flags)
{
	if (pg == NULL || (pg->flags & PG_BUSY) != 0 || pg->offset >= vp->v_writesize)
		return false;
	if ((flags & PGO_FREE) != 0 && uvm_page_wired(pg))
		return false;
	if ((pg->flags & PG_CLEAN) != 0 && !pmap_is_modified(pg))	/* R21 */
		return false;
	return uvn_put_isdirty(vp, pg, flags);
}

/* => object locked; the page is the transfer's from here on. */
static void
uvn_put_take(struct uvm_aio *aio, struct vm_page *pg, int flags)
{
	KASSERTMSG((pg->flags & PG_CLEAN) != 0, "4.6: a page is written, and goes on saying that it is dirty");
	/* what is freed is not asked (R21); all else is not written once more for nothing */
	KASSERTMSG((flags & PGO_FREE) != 0 || !pmap_is_modified(pg),
	    "4.6: a page is written, and its mappings go on saying that it was modified");
	uvm_page_busy(pg, "uvn_put");
	if (flags & PGO_FREE) {
		uvm_lock_pageq();
		uvm_pagedequeue(pg);			/* I-PG-6 */
		uvm_unlock_pageq();
		if (flags & PGO_PDFREECLUST) {
			pg->flags |= PG_PAGEOUT;
			uvm_pageout_start(1);
			UVMCNT(pdpageouts);
		} else
			pg->flags |= PG_RELEASED;
	} else if (flags & PGO_DEACTIVATE && !uvm_page_wired(pg)) {
		pmap_clear_reference(pg);		/* R20 */
		uvm_lock_pageq();
		uvm_pagedeactivate(pg);
		uvm_unlock_pageq();
	}
	aio->ua_pgs[aio->ua_npgs++] = pg;
}

/*
 * Collect the pages that go out together with pg, a dirty one: its neighbours
 * in the block.  Those in [pg, stop) are treated as flags say, the others are
 * only cleaned.
 * => object locked; returns the offset where the scan goes on.
 */
static voff_t
uvn_put_cluster(struct vnode *vp, struct uvm_aio *aio, struct vm_page *pg, voff_t stop, int flags)
{
	struct uvm_object *uobj = &vp->v_uobj;
	voff_t block = pg->offset & ~(UVN_BLOCK - 1), off;
	struct vm_page *before[BUF_MAXPAGES], *np;
	int n = 0;

	for (off = pg->offset - (voff_t)PAGE_SIZE; off >= block; off -= (voff_t)PAGE_SIZE) {
		np = uvm_pagelookup(uobj, off);
		if (!uvn_put_neighbour(vp, np, 0))
			break;
		before[n++] = np;
	}
	while (n > 0)
		uvn_put_take(aio, before[--n], 0);
	uvn_put_take(aio, pg, flags);
	for (off = pg->offset + (voff_t)PAGE_SIZE; off < block + UVN_BLOCK;
	     off += (voff_t)PAGE_SIZE) {
		int f = stop == 0 || off < stop ? flags : 0;

		np = uvm_pagelookup(uobj, off);
		if (!uvn_put_neighbour(vp, np, f))
			break;
		uvn_put_take(aio, np, f);
	}
	return off;
}

/*
 * Write the page and its neighbours.
 * => object locked on entry, unlocked on return; the transfer owns the aio.
 */
static voff_t
uvn_put_write(struct vnode *vp, struct uvm_aio *aio, struct vm_page *pg, voff_t stop, int flags,
    struct uvn_sync *us)
{
	voff_t next, off;
	uint64_t bytes;

	aio->ua_npgs = 0;
	next = uvn_put_cluster(vp, aio, pg, stop, flags);
	off = aio->ua_pgs[0]->offset;
	bytes = (uint64_t)(vp->v_writesize - off);
	if (bytes > ptoa(aio->ua_npgs))
		bytes = ptoa(aio->ua_npgs);
	aio->ua_iodone = uvn_iodone;
	aio->ua_owner = vp;
	aio->ua_sync = us;
	if (us != NULL)
		us->us_pending++;
	vp->v_numoutput++;
	UVMCNT_ADD(filewrite_pages, (uint64_t)aio->ua_npgs);
	mutex_exit(&vp->v_uobj.vmobjlock);
	uvm_aio_start(aio, inject(INJECT_vnode_write) ? -1 : vp->v_fd, true, off, bytes);
	return next;
}

/*
 * A page that need not be written: free it, or deactivate it.
 * => object locked, page not busy.
 */
static void
uvn_put_clean(struct vm_page *pg, int flags)
{
	if ((flags & (PGO_FREE | PGO_DEACTIVATE)) == 0)
		return;
	if ((flags & PGO_DEACTIVATE) != 0 && uvm_page_wired(pg))
		return;
	if (flags & PGO_DEACTIVATE)
		pmap_clear_reference(pg);		/* R20 */
	uvm_lock_pageq();
	if (flags & PGO_FREE) {
		if (flags & PGO_PDFREECLUST)
			UVMCNT(pdfreed);
		uvm_pagefree(pg);
	} else
		uvm_pagedeactivate(pg);
	uvm_unlock_pageq();
}

/*
 * A busy page in the way.
 * => object locked, given up if we wait; 0: look again; EAGAIN: skip it; EDEADLK.
 */
static int
uvn_put_busy(struct vm_page *pg, kmutex_t *slock, int flags)
{
	if (flags & PGO_BUSYFAIL)
		return EDEADLK;
	if ((flags & PGO_PDFREECLUST) != 0 || (flags & (PGO_SYNCIO | PGO_FREE)) == 0)
		return EAGAIN;
	uvm_pagewait(pg, slock, "uvn_put");
	mutex_enter(slock);
	return 0;
}

/*
 * A wired page that was to be freed: it stays (R10).  Beyond the end of the
 * file it must not show old data.
 * => object locked, page not busy.
 */
static void
uvn_put_wired(struct vnode *vp, struct vm_page *pg)
{
	if (pg->offset >= vp->v_writesize)
		uvn_zero_bytes(ram_host(VM_PAGE_TO_PHYS(pg)), PAGE_SIZE);
}

/* => object locked, given up for a moment; a transfer for the scan; NULL: daemon, no memory. */
static struct uvm_aio *
uvn_put_getaio(struct uvm_object *uobj, int flags)
{
	struct uvm_aio *aio;

	if (flags & PGO_PDFREECLUST)
		return uvm_aio_get(false);
	mutex_exit(&uobj->vmobjlock);
	aio = uvm_aio_get(true);
	mutex_enter(&uobj->vmobjlock);
	return aio;
}

/*
 * One page of the scan that is not busy.
 * => object locked; *aiop there if CLEANIT, NULL on return if it was used: then the
 *    object is unlocked.  Moves *offp on.
 */
static int
uvn_put_page(struct vnode *vp, struct vm_page *pg, voff_t *offp, voff_t stop, int flags,
    struct uvm_aio **aiop, struct uvn_sync *us)
{
	*offp = pg->offset + (voff_t)PAGE_SIZE;
	/* not busy and the owner locked: the wiring is stable */
	if ((flags & PGO_FREE) != 0 && uvm_page_hardwired(pg)) {
		uvn_put_wired(vp, pg);
		return EBUSY;
	}
	if ((flags & PGO_CLEANIT) != 0 && uvn_put_isdirty(vp, pg, flags)) {
		*offp = uvn_put_write(vp, *aiop, pg, stop, flags, us);
		*aiop = NULL;
		return 0;
	}
	if ((flags & (PGO_FREE | PGO_CLEANIT)) == PGO_FREE)
		uvm_page_protect(pg, VM_PROT_NONE);	/* its data are not wanted */
	uvn_put_clean(pg, flags);
	return 0;
}

/*
 * Go through [off, stop).
 * => object locked on entry and on return, but unlocked and not touched any more
 *    when the daemon's write was started: *gonep.
 */
static int
uvn_put_scan(struct vnode *vp, voff_t off, voff_t stop, int flags, struct uvn_sync *us,
    bool *gonep)
{
	struct uvm_object *uobj = &vp->v_uobj;
	struct uvm_aio *aio = NULL;
	struct vm_page *pg;
	int error = 0, e;

	while ((pg = uvm_pagenext(uobj, off)) != NULL && (stop == 0 || pg->offset < stop)) {
		off = pg->offset;
		if (pg->flags & PG_BUSY) {
			e = uvn_put_busy(pg, &uobj->vmobjlock, flags);
			if (e == EAGAIN)
				off += (voff_t)PAGE_SIZE;
			if (e != EDEADLK)
				continue;
			error = EDEADLK;
			break;
		}
		if ((flags & PGO_CLEANIT) != 0 && aio == NULL) {
			aio = uvn_put_getaio(uobj, flags);
			if (aio != NULL)
				continue;	/* the lock was given up: look again */
			error = ENOMEM;
			break;
		}
		e = uvn_put_page(vp, pg, &off, stop, flags, &aio, us);
		if (error == 0)
			error = e;
		if ((flags & PGO_CLEANIT) != 0 && aio == NULL) {
			*gonep = (flags & PGO_PDFREECLUST) != 0;
			if (*gonep)
				return 0;
			mutex_enter(&uobj->vmobjlock);
			if (BUG(async_caller_cleans) && (pg->flags & PG_BUSY) != 0)
				uvm_page_unbusy(&pg, 1);
		}
	}
	if (aio != NULL)
		uvm_aio_put(aio);
	return error;
}

/*
 * => pgo_put of uvm_pager.h: object locked on entry, unlocked on return.
 * => SYNCIO: own writes are complete and cleaned up on return; their first error.
 * => PDFREECLUST: one page, no SYNCIO; never sleeps.
 */
int
uvn_put(struct uvm_object *uobj, voff_t start, voff_t stop, int flags)
{
	struct vnode *vp = (struct vnode *)uobj;
	struct uvn_sync sync = { 0 };
	bool gone = false;
	int error;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT((flags & (PGO_FREE | PGO_DEACTIVATE)) != (PGO_FREE | PGO_DEACTIVATE));
	KASSERT((flags & PGO_PDFREECLUST) == 0 || (flags & PGO_SYNCIO) == 0);
	KASSERT((flags & PGO_PDFREECLUST) == 0 || stop - start == (voff_t)PAGE_SIZE);
	error = uvn_put_scan(vp, (voff_t)trunc_page((uint64_t)start), stop, flags,
	    (flags & PGO_SYNCIO) != 0 ? &sync : NULL, &gone);
	if (gone)
		return 0;
	while (sync.us_pending > 0) {
		lockevent_next(LE_aiodone);
		mtsleep(&sync, false, "uvn_put", 0, &uobj->vmobjlock);
	}
	mutex_exit(&uobj->vmobjlock);
	return error != 0 ? error : sync.us_error;
}
