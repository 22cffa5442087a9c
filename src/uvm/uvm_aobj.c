/*
 * Anonymous objects: memory with an object's interface, for shared memory.
 *
 * Every page begins as zeroes.  The page daemon writes pages to swap (they are PQ_AOBJ)
 * and gives them a slot; what has neither a page nor a slot is a page of zeroes.  A page
 * that was read from its slot keeps it, and is PG_CLEAN; without a slot no page is (R34).
 *
 * Lock order: object, then uao_list_lock.  No object lock is waited for with
 * the list locked, and the last reference is never dropped with it (B-3).
 */
#include <string.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <uvm/uvm_aobj_i.h>
#include <uvm/uvm_swap.h>

kmutex_t uao_list_lock;
struct uao_list uao_list;
static uint64_t uao_nalive;			/* a */
static struct pool *uao_pool;			/* : */

void
uao_init(void)
{
	mutex_init(&uao_list_lock, MUTEX_DEFAULT, IPL_NONE, LC_uao_list);
	TAILQ_INIT(&uao_list);
	uao_nalive = 0;
	uao_pool = pool_create(sizeof(struct uvm_aobj), 0, "aobj", &pool_allocator_kmem,
	    IPL_NONE);
	uao_swap_init();
}

void
uao_fini(void)
{
	if (uao_nalive > 0)
		violation(VIOL_LEAK, "I-OBJ-4", "%llu anonymous objects are left",
		    (unsigned long long)uao_nalive);
	else {
		uao_swap_fini();
		pool_destroy(uao_pool);
	}
	mutex_destroy(&uao_list_lock);
}

/*
 * => no VM lock held; may sleep.  One reference, the caller's.
 */
struct uvm_object *
uao_create(vsize_t size, int flags)
{
	struct uvm_aobj *aobj = pool_get(uao_pool, PR_WAITOK);

	KASSERT(flags == 0);
	uvm_obj_init(&aobj->u_obj, &aobj_pager, 1);
	aobj->u_marker = false;
	aobj->u_size = round_page(size);
	uao_swap_create(aobj);
	mutex_enter(&uao_list_lock);
	TAILQ_INSERT_TAIL(&uao_list, aobj, u_list);
	uao_nalive++;
	mutex_exit(&uao_list_lock);
	return &aobj->u_obj;
}

vsize_t
uao_size(struct uvm_object *uobj)
{
	KASSERT(UVM_OBJ_IS_AOBJ(uobj));
	return ((struct uvm_aobj *)uobj)->u_size;
}

uint64_t
uao_count(void)
{
	uint64_t n;

	mutex_enter(&uao_list_lock);
	n = uao_nalive;
	mutex_exit(&uao_list_lock);
	return n;
}

/*
 * => object not locked, referenced by the caller's caller.
 */
void
uao_reference(struct uvm_object *uobj)
{
	mutex_enter(&uobj->vmobjlock);
	KASSERT(uobj->uo_refs > 0);
	uobj->uo_refs++;
	mutex_exit(&uobj->vmobjlock);
}

/*
 * => object locked, the page not busy; its data are not wanted any more
 */
static void
free_page(struct vm_page *pg)
{
	uvm_page_protect(pg, VM_PROT_NONE);
	pg->flags &= ~PG_CLEAN;				/* R34: first */
	uao_dropswap(pg->uobject, (uint64_t)atop(pg->offset));
	uvm_lock_pageq();
	uvm_pagefree(pg);
	uvm_unlock_pageq();
}

/*
 * Free what is there, in memory and in swap.
 * => nobody else refers to the object; locked; given up for a while at times.
 */
static void
uao_free_pages(struct uvm_object *uobj)
{
	struct vm_page *pg;

	while ((pg = uvm_pagenext(uobj, 0)) != NULL) {
		if (pg->flags & PG_BUSY) {
			uvm_pagewait(pg, &uobj->vmobjlock, "uaodet");
			mutex_enter(&uobj->vmobjlock);
			continue;
		}
		KASSERT(!uvm_page_hardwired(pg));
		free_page(pg);
	}
	uao_drop_range((struct uvm_aobj *)uobj, 0, atop(uao_size(uobj)));
}

/*
 * => object and maps not locked; sleeps if last.
 */
void
uao_detach(struct uvm_object *uobj)
{
	struct uvm_aobj *aobj = (struct uvm_aobj *)uobj;

	mutex_enter(&uobj->vmobjlock);
	KASSERT(uobj->uo_refs > 0);
	if (--uobj->uo_refs > 0) {
		mutex_exit(&uobj->vmobjlock);
		return;
	}
	mutex_enter(&uao_list_lock);
	TAILQ_REMOVE(&uao_list, aobj, u_list);
	uao_nalive--;
	mutex_exit(&uao_list_lock);
	uao_free_pages(uobj);
	mutex_exit(&uobj->vmobjlock);
	uao_swap_destroy(aobj);
	uvm_obj_destroy(uobj);
	pool_put(uao_pool, aobj);
}

/* => object locked, off in it: its slot */
static int
slot_of(struct uvm_object *uobj, voff_t off)
{
	return uao_find_swslot(uobj, (uint64_t)atop(off));
}

/*
 * => object locked, no page there, and no slot; the page, BUSY, zeroed, dirty, on the
 *    active queue, or NULL.
 */
static struct vm_page *
uao_page_alloc(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = uvm_pagealloc(uobj, off, NULL, UVM_PGA_ZERO);

	if (pg == NULL)
		return NULL;
	KASSERTMSG((pg->flags & PG_CLEAN) == 0, "R34: a page without a slot is clean");
	pg->flags &= ~PG_FAKE;
	uvm_page_tag(pg, "uao_get");
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	return pg;
}

/*
 * The get that never sleeps: what is resident, and the centre page as zeroes.
 * => object locked, stays so; *npagesp: pages delivered.
 */
static int
uao_get_locked(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    int centeridx)
{
	int found = 0, missing = 0;

	for (int i = 0; i < *npagesp; i++) {
		voff_t o = off + (voff_t)ptoa(i);
		struct vm_page *pg;

		if (pps[i] != NULL)
			continue;
		pg = o >= 0 && (vsize_t)o < uao_size(uobj) ? uvm_pagelookup(uobj, o) : NULL;
		if (pg == NULL && i == centeridx && (vsize_t)o < uao_size(uobj)) {
			if (slot_of(uobj, o) == 0)
				pg = uao_page_alloc(uobj, o);
		} else if (pg != NULL && (pg->flags & PG_BUSY) == 0)
			uvm_page_busy(pg, "uao_get");
		else
			pg = NULL;
		pps[i] = pg;
		if (pg != NULL)
			found++;
		else
			missing++;
	}
	*npagesp = found;
	return missing > 0 ? EBUSY : 0;
}

/* Undo a get that ran out of memory: all pages are valid. */
static void
uao_get_undo(struct vm_page **got, int n, struct vm_page **pps)
{
	uvm_page_unbusy(got, n);
	for (int i = 0; i < n; i++)
		if (got[i] != NULL)
			pps[i] = NULL;
}

/*
 * Read a page from its slot.
 * => object locked, no page there; given up meanwhile.
 * => 0 and the page, BUSY, clean; ENOMEM: no page to be had at once; EIO: lost
 */
static int
uao_pagein(struct uvm_object *uobj, voff_t off, struct vm_page **pgp)
{
	int slot = slot_of(uobj, off), error;
	struct vm_page *pg;

	if (slot == SWSLOT_BAD)
		return EIO;
	pg = uvm_pagealloc(uobj, off, NULL, 0);
	if (pg == NULL)
		return ENOMEM;
	uvm_page_tag(pg, "uao_pagein");
	mutex_exit(&uobj->vmobjlock);
	UVMCNT(pageins);
	error = uvm_swap_get(pg, slot);
	mutex_enter(&uobj->vmobjlock);
	KASSERT(pg->uobject == uobj && slot_of(uobj, off) == slot);	/* the page is BUSY by us */
	uvm_lock_pageq();
	if (error != 0) {
		uvm_swap_markbad(slot, 1);
		(void)uao_set_swslot(uobj, (uint64_t)atop(off), SWSLOT_BAD);
		uvm_pagefree(pg);			/* wakes */
	} else {
		pg->flags &= ~PG_FAKE;
		pmap_clear_modify(pg);
		uvm_pageactivate(pg);
		KASSERTMSG((pg->flags & PG_CLEAN) != 0, "I-OBJ-5: a page was read from its slot, and is dirty");
		*pgp = pg;
	}
	uvm_unlock_pageq();
	return error;
}

/*
 * One page of an object, from memory, from swap, or zeroes.
 * => object locked; 0: so still, *pgp BUSY by us.  EAGAIN: was unlocked, look again
 *    (nothing else has changed hands).  ENOMEM, EIO: locked.
 */
static int
uao_get_page(struct uvm_object *uobj, voff_t off, struct vm_page **pgp)
{
	struct vm_page *pg = uvm_pagelookup(uobj, off);

	if (pg != NULL && (pg->flags & PG_BUSY) != 0) {
		uvm_pagewait(pg, &uobj->vmobjlock, "uao_get");
		mutex_enter(&uobj->vmobjlock);
		return EAGAIN;
	}
	if (pg != NULL)
		uvm_page_busy(pg, "uao_get");
	else if (slot_of(uobj, off) != 0)
		return uao_pagein(uobj, off, pgp);
	else
		pg = uao_page_alloc(uobj, off);
	*pgp = pg;
	return pg != NULL ? 0 : ENOMEM;
}

/*
 * => object locked on entry, unlocked on return; sleeps.  Busy pages are taken in
 *    ascending order (T-70), and none is held while waiting for memory.
 */
int
uao_get(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    int centeridx, vm_prot_t access, int advice, int flags)
{
	struct vm_page *got[UVM_MAXGETPAGES] = { NULL };
	int n = *npagesp, i = 0;
	unsigned waits = 0;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(n > 0 && n <= UVM_MAXGETPAGES && centeridx < n);
	if (flags & PGO_LOCKED)
		return uao_get_locked(uobj, off, pps, npagesp, centeridx);
	if (off < 0 || (vsize_t)off + ptoa(n) > uao_size(uobj)) {
		mutex_exit(&uobj->vmobjlock);
		return EINVAL;
	}
	if (inject(INJECT_pager_again)) {
		mutex_exit(&uobj->vmobjlock);
		return EAGAIN;
	}
	while (i < n) {
		struct vm_page *pg;
		int error;

		if (pps[i] != NULL) {
			i++;
			continue;
		}
		error = uao_get_page(uobj, off + (voff_t)ptoa(i), &pg);
		if (error == 0)
			pps[i] = got[i] = pg;
		if (error == 0 || error == EAGAIN)
			continue;
		uao_get_undo(got, n, pps);
		memset(got, 0, sizeof(got));
		mutex_exit(&uobj->vmobjlock);
		if (error == EIO || !uvm_wait_again(&waits, "uao_get"))
			return error;
		mutex_enter(&uobj->vmobjlock);
		i = 0;
	}
	mutex_exit(&uobj->vmobjlock);
	return 0;
}

/*
 * => object locked on entry, unlocked on return.  Pages are never written from here.
 * => FREE of an object that others use, or that the caller wants clean, only
 *    deactivates; wired pages are left alone and reported by EBUSY (T-19).  What is in
 *    swap goes too.
 */
static int
uao_put(struct uvm_object *uobj, voff_t start, voff_t stop, int flags)
{
	bool freeing = (flags & PGO_FREE) != 0;
	int error = 0;
	struct vm_page *pg;
	voff_t off = start;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT((flags & (PGO_FREE | PGO_DEACTIVATE)) != (PGO_FREE | PGO_DEACTIVATE));
	if (freeing && ((flags & PGO_CLEANIT) != 0 || uobj->uo_refs > 1))
		freeing = false;
	else if (!freeing && (flags & PGO_DEACTIVATE) == 0)
		goto out;
	while ((pg = uvm_pagenext(uobj, off)) != NULL && (stop == 0 || pg->offset < stop)) {
		off = pg->offset;
		if (pg->flags & PG_BUSY) {
			if (flags & PGO_BUSYFAIL) {
				error = EDEADLK;
				break;
			}
			uvm_pagewait(pg, &uobj->vmobjlock, "uao_put");
			mutex_enter(&uobj->vmobjlock);
			continue;
		}
		off += (voff_t)PAGE_SIZE;
		/* not busy and the owner locked: the wiring is stable */
		if (uvm_page_hardwired(pg)) {
			if (freeing)
				error = EBUSY;
			continue;
		}
		if (freeing) {
			free_page(pg);
			continue;
		}
		if (uvm_page_wired(pg))				/* on loan */
			continue;
		pmap_clear_reference(pg);			/* R20 */
		uvm_lock_pageq();
		uvm_pagedeactivate(pg);
		uvm_unlock_pageq();
	}
	if (freeing)
		uao_drop_range((struct uvm_aobj *)uobj, (uint64_t)atop(start),
		    stop == 0 || (vsize_t)stop > uao_size(uobj) ? atop(uao_size(uobj)) :
		    (uint64_t)atop(stop));
out:
	mutex_exit(&uobj->vmobjlock);
	return error;
}

const struct uvm_pagerops aobj_pager = {
	.pgo_reference = uao_reference,
	.pgo_detach = uao_detach,
	.pgo_get = uao_get,
	.pgo_put = uao_put,
};
