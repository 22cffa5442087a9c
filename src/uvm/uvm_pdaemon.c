/*
 * The page daemon, and waiting for it.
 *
 * It keeps free memory above its target by the rules of 1999: a page is on the
 * active or the inactive queue, may be mapped on either, and is judged by its
 * referenced attribute alone.
 *
 *	active    referenced since the last sweep: spared (R24)
 *		  else: deactivated; the attribute is clear (R20)
 *	inactive  referenced: activated (R22)
 *		  file page: its pager cleans and frees it (R21, R23)
 *		  swap-backed page: written to swap; without swap nothing can be done
 *
 * The queues lock is below the owners' locks, so owners are only tried
 * (uvm-spec 15.2).  A page found on a queue keeps its owner while pageq is
 * held.  The daemon never sleeps on a lock of a map, amap, object or anon, nor
 * on a page (I-PD-4); what it could not get it skips, and after a number of
 * failures it pauses with nothing held, so that the holder can run (H-4).
 *
 * Each sweep moves the page it looks at to the tail of its queue first, so it
 * needs no place to resume from after it dropped the queues lock.
 *
 * No lost wakeups (I-PD-5).  A waiter announces itself and asks for a round
 * under fpageq; the daemon sleeps only after it has seen, under fpageq, that
 * no round is asked for; so after every announcement a whole round follows.
 * At its end the waiters are woken if there is memory, or if there will be
 * none: then uvm.oom is set and uvm_reclaimable() says so, until pages come
 * back above the reserve.  With pageouts in flight their completion decides.
 *
 * A round may fail although there are file pages: all are busy, referenced or
 * locked.  It is repeated after a pause; when PD_FRUITLESS rounds have failed
 * in a row the waiters are given up too, so that nobody waits for ever.
 */
#include <host/host.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <uvm/uvm.h>

#define	PD_TRYLOCK_MAX	16		/* failures before a pause */
#define	PD_PAUSE_NS	1000000
#define	PD_FRUITLESS	64

/* One round.  !: only the daemon. */
struct uvmpd {
	uint64_t up_goal;		/* ! free + paging to reach */
	uint64_t up_candidates;		/* ! pages seen that could be freed some time */
	unsigned up_trylock;		/* ! failures since the last pause */
};

static void uvmpd_main(void *);

void
uvm_pdaemon_init(void)
{
	struct lwp *l;

	if (lwp_create(&l, NULL, "pgdaemon", uvmpd_main, NULL) != 0)
		panic("cannot create the page daemon");
	uvm.pagedaemon_lwp = l;
	lwp_start(l);
}

void
uvm_pdaemon_fini(void)
{
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.pd_stop = true;
	wakeup(&uvm.pd_kicked);
	mutex_spin_exit(&uvm_fpageqlock);
	lwp_wait(uvm.pagedaemon_lwp);
	uvm.pagedaemon_lwp = NULL;
}

/* --- waiting --- */

void
uvm_kick_pdaemon_locked(void)
{
	KASSERT(mutex_owned(&uvm_fpageqlock));
	if (uvm.pd_kicked)
		return;
	uvm.pd_kicked = true;
	wakeup(&uvm.pd_kicked);
}

void
uvm_kick_pdaemon(void)
{
	mutex_spin_enter(&uvm_fpageqlock);
	uvm_kick_pdaemon_locked();
	mutex_spin_exit(&uvm_fpageqlock);
}

/*
 * => fpageq held; called where pages become free.
 */
void
uvm_page_wakewaiters(void)
{
	KASSERT(mutex_owned(&uvm_fpageqlock));
	if (uvm.free <= uvm.reserve_kernel)
		return;
	uvm.oom = false;
	if (uvm.nwaiters > 0) {
		uvm.nwaiters = 0;
		wakeup(&uvm.free);
	}
}

/*
 * => no VM lock held; sleeps.  The daemon itself must not wait for itself.
 */
void
uvm_wait(const char *wmesg)
{
	KASSERT(!mutex_owned(&uvm_pageqlock));
	if (curlwp == uvm.pagedaemon_lwp)
		panic("the page daemon waits for memory in %s", wmesg);
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.nwaiters++;				/* the waker sets it to 0 */
	uvm_kick_pdaemon_locked();
	UVM_UNLOCK_AND_WAIT(&uvm.free, &uvm_fpageqlock, wmesg);
}

/*
 * => may waiting help?  If not, the daemon is asked to look again all the same.
 */
bool
uvm_reclaimable(void)
{
	bool oom;

	mutex_spin_enter(&uvm_fpageqlock);
	oom = uvm.oom;
	if (oom)
		uvm_kick_pdaemon_locked();
	mutex_spin_exit(&uvm_fpageqlock);
	return !oom;
}

/* => any context to IPL_VM. */
void
uvm_pageout_start(int npages)
{
	mutex_spin_enter(&uvm_fpageqlock);
	__atomic_store_n(&uvm.paging, uvm.paging + (uint64_t)npages, __ATOMIC_RELAXED);
	mutex_spin_exit(&uvm_fpageqlock);
}

/* => the pages are freed, or dirty and active again (the write failed). */
void
uvm_pageout_done(int npages)
{
	mutex_spin_enter(&uvm_fpageqlock);
	KASSERT(uvm.paging >= (uint64_t)npages);	/* I-PD-1 */
	__atomic_store_n(&uvm.paging, uvm.paging - (uint64_t)npages, __ATOMIC_RELAXED);
	uvm_page_wakewaiters();
	if (uvm.nwaiters > 0 && uvm.paging == 0)
		uvm_kick_pdaemon_locked();
	mutex_spin_exit(&uvm_fpageqlock);
}

/* --- the sweeps --- */

/*
 * => pageq held.  Can this page be freed at all?  A swap-backed page needs a place
 *    in swap, and there is none.
 */
static bool
uvmpd_reclaimable_page(const struct vm_page *pg)
{
	return (pg->pqflags & PQ_SWAPBACKED) == 0;
}

/*
 * => pageq held, given up for a moment at times.
 * => the owner's lock, held; NULL: not now.
 */
static kmutex_t *
uvmpd_trylockowner(struct uvmpd *up, struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERTMSG(slock != NULL, "I-PG-11: a page without owner is on a queue");
	if (mutex_tryenter(slock))
		return slock;
	UVMCNT(pdtrylock);
	if (++up->up_trylock >= PD_TRYLOCK_MAX) {
		up->up_trylock = 0;
		uvm_unlock_pageq();
		kpause("pdtry", PD_PAUSE_NS);
		uvm_lock_pageq();
	}
	return NULL;
}

/* => free + paging; a racy look, the sweep only needs to end some time. */
static uint64_t
uvmpd_have(void)
{
	/* relaxed: pairs with the stores under fpageq */
	return __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) +
	    __atomic_load_n(&uvm.paging, __ATOMIC_RELAXED);
}

/*
 * One inactive page.
 * => pageq held, dropped and taken again around the pager.
 */
static void
uvmpd_inactive_page(struct uvmpd *up, struct vm_page *pg)
{
	struct uvm_object *uobj;
	kmutex_t *slock;
	voff_t off;

	KASSERT(pg->wire_count == 0);			/* I-PD-8 */
	if (uvmpd_reclaimable_page(pg))
		up->up_candidates++;
	if (pmap_is_referenced(pg)) {			/* R22 */
		uvm_pageactivate(pg);
		UVMCNT(pdreact);
		return;
	}
	slock = uvmpd_trylockowner(up, pg);
	if (slock == NULL)
		return;
	if (pg->flags & PG_BUSY) {
		UVMCNT(pdbusy);
		mutex_exit(slock);
		return;
	}
	if (!uvmpd_reclaimable_page(pg)) {
		uvm_pageactivate(pg);
		mutex_exit(slock);
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
 * => pageq held.
 */
static void
uvmpd_scan_inactive(struct uvmpd *up)
{
	struct vm_page *pg;

	for (uint64_t n = uvm.inactive; n > 0 && uvmpd_have() < up->up_goal; n--) {
		pg = TAILQ_FIRST(&uvm.page_inactive);
		if (pg == NULL)
			break;
		UVMCNT(pdscans);
		TAILQ_REMOVE(&uvm.page_inactive, pg, pageq);
		TAILQ_INSERT_TAIL(&uvm.page_inactive, pg, pageq);
		uvmpd_inactive_page(up, pg);
	}
}

/*
 * One active page.
 * => pageq held; true if it is inactive now.
 */
static bool
uvmpd_active_page(struct uvmpd *up, struct vm_page *pg)
{
	kmutex_t *slock;
	bool done = false;

	KASSERT(pg->wire_count == 0);			/* R7 */
	if (!uvmpd_reclaimable_page(pg))
		return false;
	up->up_candidates++;
	slock = uvmpd_trylockowner(up, pg);
	if (slock == NULL)
		return false;
	if (pg->flags & PG_BUSY)
		UVMCNT(pdbusy);
	else if (!pmap_clear_reference(pg)) {		/* R24; and R20 for the next line */
		uvm_pagedeactivate(pg);
		UVMCNT(pddeact);
		done = true;
	}
	mutex_exit(slock);
	return done;
}

/*
 * => pageq held.
 */
static void
uvmpd_scan_active(struct uvmpd *up)
{
	struct vm_page *pg;

	for (uint64_t n = uvm.active; n > 0 && uvm.inactive < uvm.inactarg; n--) {
		pg = TAILQ_FIRST(&uvm.page_active);
		if (pg == NULL)
			break;
		TAILQ_REMOVE(&uvm.page_active, pg, pageq);
		TAILQ_INSERT_TAIL(&uvm.page_active, pg, pageq);
		uvmpd_active_page(up, pg);
	}
}

/* => pageq held. */
static void
uvmpd_tune(struct uvmpd *up)
{
	uint64_t target = (uvm.active + uvm.inactive) / 3;

	if (target <= uvm.freetarg)
		target = uvm.freetarg + 1;
	__atomic_store_n(&uvm.inactarg, target, __ATOMIC_RELAXED);
	/* free more than was asked for, so that the next round is some time off */
	up->up_goal = 4 * uvm.freetarg;
	if (up->up_goal > uvm.npages / 8)
		up->up_goal = uvm.npages / 8;
	if (up->up_goal < uvm.freetarg)
		up->up_goal = uvm.freetarg;
}

/*
 * One round.
 * => nothing held.
 */
static void
uvmpd_round(struct uvmpd *up)
{
	bool needsfree;

	uvm_lock_pageq();
	uvmpd_tune(up);
	needsfree = uvmpd_have() < uvm.freetarg;
	if (needsfree || uvm.inactive < uvm.inactarg) {
		UVMCNT(pdrevs);
		if (needsfree)
			uvmpd_scan_inactive(up);
		uvmpd_scan_active(up);
		/* what was just deactivated is all there is when memory is this short */
		if (needsfree && uvmpd_have() < uvm.freetarg)
			uvmpd_scan_inactive(up);
	}
	uvm_unlock_pageq();
	if (needsfree)
		pool_drain_all();
}

/*
 * The end of a round: wake whom it helped, or tell them that nothing will.
 * => nothing held; true: pause, then another round.
 */
static bool
uvmpd_account(const struct uvmpd *up, uint64_t before, unsigned *fruitlessp)
{
	bool again = false;

	mutex_spin_enter(&uvm_fpageqlock);
	if (uvm.nfreed != before || uvm.paging > 0) {
		*fruitlessp = 0;
		uvm.pd_backoff = 0;
	} else {
		++*fruitlessp;
		uvm.pd_backoff = uvm.npages / 64;
	}
	uvm_page_wakewaiters();
	if (uvm.nwaiters > 0 && uvm.paging == 0) {
		if ((*fruitlessp > 0 && up->up_candidates == 0) || *fruitlessp >= PD_FRUITLESS) {
			uvm.oom = true;
			uvm.nwaiters = 0;
			wakeup(&uvm.free);
		} else
			again = true;
	}
	mutex_spin_exit(&uvm_fpageqlock);
	return again;
}

static void
uvmpd_main(void *arg)
{
	unsigned fruitless = 0;
	bool again = false;
	uint64_t before;

	for (;;) {
		struct uvmpd up = { 0 };

		mutex_spin_enter(&uvm_fpageqlock);
		while (!uvm.pd_kicked && !again && !uvm.pd_stop)
			mtsleep(&uvm.pd_kicked, false, "pgdaemon", 0, &uvm_fpageqlock);
		if (uvm.pd_stop)
			break;
		uvm.pd_kicked = false;
		before = uvm.nfreed;
		mutex_spin_exit(&uvm_fpageqlock);
		UVMCNT(pdwoke);
		uvmpd_round(&up);
		again = uvmpd_account(&up, before, &fruitless);
		if (again)
			kpause("pdagain", PD_PAUSE_NS);
	}
	mutex_spin_exit(&uvm_fpageqlock);
}
