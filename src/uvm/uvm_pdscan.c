/*
 * The page daemon's sweeps over the two queues.
 *
 * The queues lock is below the owners' locks, so owners are only tried (uvm-spec
 * 15.2).  A page found on a queue keeps its owner while pageq is held.  What could
 * not be had is skipped, and after a number of failures the daemon pauses with
 * nothing held, so that the holder can run (H-4).
 *
 * Each sweep moves the page it looks at to the tail of its queue first, so it
 * needs no place to resume from after it dropped the queues lock.
 *
 * Usage balance (uvm-spec 8.2): anonymous and file memory each have a share below
 * which they are spared and one above which the other is.  Pages of shared memory
 * objects count as anonymous.  NetBSD's third kind, pages of programs, is not told
 * apart: nothing here marks a vnode as a program's.
 */
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_pdaemon_i.h>

#define	PD_TRYLOCK_MAX	16		/* failures before a pause */
#define	PD_PAUSE_NS	1000000

/* Shares of all pageable memory, in percent. */
#define	ANON_MIN	10
#define	ANON_MAX	80
#define	FILE_MIN	10
#define	FILE_MAX	50

bool uvm_pd_unmap;

uint64_t
uvmpd_have(const struct uvmpd *up)
{
	/* relaxed: pairs with the stores under fpageq */
	return __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) +
	    __atomic_load_n(&uvm.paging, __ATOMIC_RELAXED) + (uint64_t)up->up_cluster.uc_npages;
}

void
uvmpd_balance(struct uvmpd *up)
{
	uint64_t anon = uvm_gauge(UVMG_anonpages) + uvm_gauge(UVMG_aobjpages);
	uint64_t file = uvm_gauge(UVMG_filepages);
	/* relaxed: pairs with the stores under fpageq */
	uint64_t all = uvm.active + uvm.inactive + __atomic_load_n(&uvm.free, __ATOMIC_RELAXED);
	bool anon_over = anon * 100 > all * ANON_MAX, file_over = file * 100 > all * FILE_MAX;

	up->up_reanon = anon * 100 <= all * ANON_MIN || (!anon_over && file_over);
	up->up_refile = file * 100 <= all * FILE_MIN || (!file_over && anon_over);
	/* Somebody must give. */
	if (up->up_refile && (up->up_reanon || up->up_swapfull))
		up->up_reanon = up->up_refile = false;
}

/*
 * => pageq held.  Can this page be freed at all?  A swap-backed page needs a place in
 *    swap, but for the few that have a copy there.
 */
static bool
reclaimable(const struct uvmpd *up, const struct vm_page *pg)
{
	return (pg->pqflags & PQ_SWAPBACKED) == 0 || !up->up_swapfull;
}

kmutex_t *
uvmpd_trylockowner(struct uvmpd *up, struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERTMSG(slock != NULL, "I-PG-11: a page without owner is on a queue");
	if (mutex_tryenter(slock))
		return slock;
	UVMCNT(pdtrylock);
	if (++up->up_trylock >= PD_TRYLOCK_MAX) {
		UVMCNT(pdtrypause);
		up->up_trylock = 0;
		uvm_unlock_pageq();
		kpause("pdtry", PD_PAUSE_NS);
		uvm_lock_pageq();
	}
	return NULL;
}

/* => pageq held; the usage balance says so */
static bool
spared(const struct uvmpd *up, struct vm_page *pg)
{
	if ((pg->pqflags & PQ_SWAPBACKED) != 0 && up->up_reanon) {
		UVMCNT(pdreanon);
		return true;
	}
	if ((pg->pqflags & PQ_SWAPBACKED) == 0 && up->up_refile) {
		UVMCNT(pdrefile);
		return true;
	}
	return false;
}

/*
 * One inactive page.
 * => pageq held, dropped and taken again around the pager.
 */
static void
inactive_page(struct uvmpd *up, struct vm_page *pg)
{
	/* with the queues unlocked for a moment the page might be anybody's, or nobody's */
	const lockstate_t seen = lock_snapshot(&uvm_pageqlock, 0);
	struct uvm_object *uobj;
	kmutex_t *slock;
	voff_t off;

	KASSERTMSG(pg->wire_count == 0, "I-PD-8: a wired page is on the inactive queue");
	if (reclaimable(up, pg))
		up->up_candidates++;
	if (pmap_is_referenced(pg)) {			/* R22 */
		uvm_pageactivate(pg);
		UVMCNT(pdreact);
		return;
	}
	if (spared(up, pg)) {
		uvm_pageactivate(pg);
		return;
	}
	slock = uvmpd_trylockowner(up, pg);
	if (slock == NULL)
		return;
	KASSERT_STABLE(&uvm_pageqlock, &seen);
	if (pg->flags & PG_BUSY) {
		KASSERTMSG((pg->flags & PG_PAGEOUT) == 0, "I-PG-6: a page on its way out is queued");
		UVMCNT(pdbusy);
		mutex_exit(slock);
		return;
	}
	if (pg->uobject == NULL)
		uvm_page_adopt(pg);
	if ((pg->pqflags & PQ_SWAPBACKED) != 0) {
		uvmpd_swap_page(up, pg, slock);
		return;
	}
	uobj = pg->uobject;
	off = pg->offset;
	uvm_unlock_pageq();
	/* drops the object's lock; may not touch the object after that */
	(void)uobj->pgops->pgo_put(uobj, off, off + (voff_t)PAGE_SIZE,
	    PGO_CLEANIT | PGO_FREE | PGO_PDFREECLUST);
	uvm_lock_pageq();
}

/*
 * => has the sweep freed what it was to?  What is freed above the target goes to CPUs, and is free none the
 *    less; below it they have none, and are not asked
 */
static bool
enough(const struct uvmpd *up)
{
	uint64_t have = uvmpd_have(up);

	/* relaxed: as there */
	if (have < up->up_goal && __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) >= uvm.freetarg)
		have += uvm_pgflcache_count();
	return have >= up->up_goal;
}

void
uvmpd_scan_inactive(struct uvmpd *up)
{
	struct vm_page *pg;

	up->up_dirtyreacts = 0;
	for (uint64_t n = uvm.inactive; n > 0 && !enough(up); n--) {
		if (up->up_dirtyreacts >= UVMPD_NUMDIRTYREACTS)
			break;
		pg = TAILQ_FIRST(&uvm.page_inactive);
		if (pg == NULL)
			break;
		UVMCNT(pdscans);
		TAILQ_REMOVE(&uvm.page_inactive, pg, pageq);
		TAILQ_INSERT_TAIL(&uvm.page_inactive, pg, pageq);
		inactive_page(up, pg);
		lwp_beat();		/* a round may be long */
	}
}

/*
 * => pageq and the owner locked, page not BUSY: has it not been used since the last sweep?
 */
static bool
idle(struct vm_page *pg)
{
	if (!uvm_pd_unmap) {
		if (!pmap_clear_reference(pg))		/* R20 for the caller */
			return true;
		UVMCNT(pdspared);			/* R24 */
		return false;
	}
	/* As before 1999: everything goes, and whoever wants it again faults. */
	pmap_revoke(pg);
	pmap_clear_reference(pg);
	return true;
}

/*
 * One active page.
 * => pageq held.
 */
static void
active_page(struct uvmpd *up, struct vm_page *pg)
{
	const lockstate_t seen = lock_snapshot(&uvm_pageqlock, 0);	/* as above */
	kmutex_t *slock;

	KASSERTMSG(pg->wire_count == 0, "R7: a wired page is on the active queue");
	if (!reclaimable(up, pg))			/* nor has anybody slots to give up: swap is full */
		return;
	up->up_candidates++;
	slock = uvmpd_trylockowner(up, pg);
	if (slock == NULL)
		return;
	KASSERT_STABLE(&uvm_pageqlock, &seen);
	if (pg->flags & PG_BUSY) {
		UVMCNT(pdbusy);
	} else {
		if (up->up_dropswap > 0 && (pg->pqflags & PQ_SWAPBACKED) != 0)
			uvmpd_dropswap(up, pg);
		if (uvm.inactive < uvm.inactarg && idle(pg)) {
			uvm_pagedeactivate(pg);
			UVMCNT(pddeact);
		}
	}
	mutex_exit(slock);
}

void
uvmpd_scan_active(struct uvmpd *up)
{
	struct vm_page *pg;

	for (uint64_t n = uvm.active; n > 0; n--) {
		if (uvm.inactive >= uvm.inactarg && up->up_dropswap == 0)
			break;
		pg = TAILQ_FIRST(&uvm.page_active);
		if (pg == NULL)
			break;
		UVMCNT(pdactive);
		TAILQ_REMOVE(&uvm.page_active, pg, pageq);
		TAILQ_INSERT_TAIL(&uvm.page_active, pg, pageq);
		active_page(up, pg);
		lwp_beat();
	}
}
