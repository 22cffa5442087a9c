/*
 * Anonymous objects: memory with an object's interface, for shared memory.
 *
 * Every page begins as zeroes and lives in the object until the last reference
 * goes.  There is no backing store yet, so a page is never PG_CLEAN (R34) and
 * the page daemon leaves it alone (PQ_AOBJ).  A page that is not there is a
 * page of zeroes.
 *
 * Lock order: object, then uao_list_lock.  No object lock is waited for with
 * the list locked, and the last reference is never dropped with it (B-3).
 */
#include <string.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_aobj.h>

/*
 *	:  stable after creation	a  uao_list_lock
 */
struct uvm_aobj {
	struct uvm_object	u_obj;		/* must be first */
	vsize_t			u_size;		/* : bytes, whole pages */
	TAILQ_ENTRY(uvm_aobj)	u_list;		/* a */
};

static kmutex_t uao_list_lock;			/* LC_uao_list */
static TAILQ_HEAD(, uvm_aobj) uao_list;		/* a */
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
}

void
uao_fini(void)
{
	if (uao_nalive > 0)
		violation(VIOL_LEAK, "I-OBJ-4", "%llu anonymous objects are left",
		    (unsigned long long)uao_nalive);
	else
		pool_destroy(uao_pool);
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
	aobj->u_size = round_page(size);
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
 * Free what is there.
 * => nobody else refers to the object; locked; given up for a while at times.
 */
static void
uao_free_pages(struct uvm_object *uobj)
{
	struct vm_page *pg;

	while ((pg = TAILQ_FIRST(&uobj->memq)) != NULL) {
		if (pg->flags & PG_BUSY) {
			uvm_pagewait(pg, &uobj->vmobjlock, "uaodet");
			mutex_enter(&uobj->vmobjlock);
			continue;
		}
		KASSERT(!uvm_page_wired(pg));
		pmap_revoke(pg);
		uvm_lock_pageq();
		uvm_pagefree(pg);
		uvm_unlock_pageq();
	}
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
	uvm_obj_destroy(uobj);
	pool_put(uao_pool, aobj);
}

/*
 * => object locked, no page there; the page, BUSY, zeroed, dirty, on the active queue,
 *    or NULL.  (A slot in swap would be looked at first.)
 */
static struct vm_page *
uao_page_alloc(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = uvm_pagealloc(uobj, off, NULL, UVM_PGA_ZERO);

	if (pg == NULL)
		return NULL;
	KASSERT((pg->flags & PG_CLEAN) == 0);		/* R34 */
	pg->flags &= ~PG_FAKE;
	pg->owner_tag = "uao_get";
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
 * => object locked on entry, unlocked on return; sleeps.  Busy pages are taken in
 *    ascending order (T-70), and none is held while waiting for memory.
 */
static int
uao_get(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    int centeridx, vm_prot_t access, int advice, int flags)
{
	struct vm_page *got[UVM_MAXGETPAGES] = { NULL };
	int n = *npagesp, i = 0;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(n > 0 && n <= UVM_MAXGETPAGES && centeridx < n);
	if (flags & PGO_LOCKED)
		return uao_get_locked(uobj, off, pps, npagesp, centeridx);
	if (off < 0 || (vsize_t)off + ptoa(n) > uao_size(uobj)) {
		mutex_exit(&uobj->vmobjlock);
		return EINVAL;
	}
	while (i < n) {
		voff_t o = off + (voff_t)ptoa(i);
		struct vm_page *pg;

		if (pps[i] != NULL) {
			i++;
			continue;
		}
		pg = uvm_pagelookup(uobj, o);
		if (pg != NULL && (pg->flags & PG_BUSY) != 0) {
			uvm_pagewait(pg, &uobj->vmobjlock, "uao_get");
			mutex_enter(&uobj->vmobjlock);
			continue;
		}
		if (pg != NULL)
			uvm_page_busy(pg, "uao_get");
		else if ((pg = uao_page_alloc(uobj, o)) == NULL) {
			uao_get_undo(got, n, pps);
			memset(got, 0, sizeof(got));
			mutex_exit(&uobj->vmobjlock);
			if (!uvm_reclaimable())
				return ENOMEM;
			uvm_wait("uao_get");
			mutex_enter(&uobj->vmobjlock);
			i = 0;
			continue;
		}
		pps[i] = got[i] = pg;
		i++;
	}
	mutex_exit(&uobj->vmobjlock);
	return 0;
}

/*
 * => object locked on entry, unlocked on return.  Pages are never written from here.
 * => FREE of an object that others use, or that the caller wants clean, only
 *    deactivates; wired pages are left alone and reported by EBUSY (T-19).
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
		if (uvm_page_wired(pg)) {
			if (freeing)
				error = EBUSY;
			continue;
		}
		if (freeing)
			pmap_revoke(pg);
		else
			pmap_clear_reference(pg);		/* R20 */
		uvm_lock_pageq();
		if (freeing)
			uvm_pagefree(pg);
		else
			uvm_pagedeactivate(pg);
		uvm_unlock_pageq();
	}
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
