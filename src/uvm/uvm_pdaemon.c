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
 *		  swap-backed page: freed if clean, else written to swap, to be freed
 *
 * The sweeps are in uvm_pdscan.c, what concerns swap in uvm_pdswap.c.  The daemon
 * never sleeps on a lock of a map, amap, object or anon, nor on a page (I-PD-4): with
 * lock debugging it panics where it would, be the lock free or not (PD_ONLYTRY).
 *
 * No lost wakeups (I-PD-5).  A waiter announces itself and asks for a round
 * under fpageq; the daemon sleeps only after it has seen, under fpageq, that
 * no round is asked for; so after every announcement a whole round follows.
 * At its end the waiters are woken if there is memory, or if there will be
 * none: then uvm.oom is set and uvm_reclaimable() says so, until pages come
 * back above the reserve.  With pageouts in flight their completion decides.
 *
 * A round may fail although there are pages to free: all are busy, referenced or
 * locked, or what was written fails.  It is repeated after a pause; when PD_FRUITLESS
 * rounds have failed in a row the waiters are given up too, so that nobody waits for
 * ever (I-PD-6).  A round with pageouts in flight has not failed until they have.
 */
#include <host/host.h>
#include <sys/bug.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <sys/pool.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_pdaemon_i.h>
#include <uvm/uvm_swap.h>

#define	PD_PAUSE_NS	1000000
#define	PD_FRUITLESS	64

/* I-PD-4: locks that the daemon may try, but never wait for. */
#define	PD_ONLYTRY	(UINT64_C(1) << LC_swap_syscall | UINT64_C(1) << LC_vnode |	\
			 UINT64_C(1) << LC_map | UINT64_C(1) << LC_kmap | UINT64_C(1) << LC_glock | \
			 UINT64_C(1) << LC_amap | UINT64_C(1) << LC_uobj | UINT64_C(1) << LC_ubc | \
			 UINT64_C(1) << LC_anon)

/* What the daemon remembers from round to round.  !: only the daemon. */
struct progress {
	int64_t		 pr_freed;		/* ! most pages that were ever freed for others */
	uint64_t	 pr_npageouts;		/* ! uvm.npageouts likewise */
	unsigned	 pr_fruitless;		/* ! rounds since then that freed nothing */
};

static void uvmpd_main(void *);

void
uvm_pdaemon_init(bool unmap_on_deactivate)
{
	struct lwp *l;

	uvm_pd_unmap = unmap_on_deactivate;
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

/* => fpageq held: all who wait for memory look again; they are on the queue, for they had the lock until then */
static void
wake_all(void)
{
	const struct lwp *left;

	uvm.nwaiters = 0;
	wakeup(&uvm.free);
	left = sleepq_sleeper(&uvm.free);
	KASSERTMSG_ABOUT(left == NULL, KS_lwp, left->l_id, left,
	    "I-PD-5: nobody is said to wait for memory any more, and %s has not been woken", left->l_name);
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
	if (uvm.nwaiters > 0)
		wake_all();
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
	if (BUG(wanted_lost)) {
		mutex_spin_exit(&uvm_fpageqlock);
		mutex_spin_enter(&uvm_fpageqlock);
	}
	lockevent_next(LE_memory);
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

/*
 * => does the daemon sleep, with nothing of its own under way?
 */
bool
uvm_pdaemon_idle(void)
{
	bool idle;

	mutex_spin_enter(&uvm_fpageqlock);
	idle = uvm.pd_idle && !uvm.pd_kicked && uvm.paging == 0;
	mutex_spin_exit(&uvm_fpageqlock);
	return idle;
}

/* => any context to IPL_VM. */
void
uvm_pageout_start(int npages)
{
	lockevent_depends(LE_memory, LE_aiodone);
	mutex_spin_enter(&uvm_fpageqlock);
	__atomic_store_n(&uvm.paging, uvm.paging + (uint64_t)npages, __ATOMIC_RELAXED);
	mutex_spin_exit(&uvm_fpageqlock);
}

/* => the pages are freed, or dirty and active again (the write failed). */
void
uvm_pageout_done(int npages)
{
	mutex_spin_enter(&uvm_fpageqlock);
	KASSERTMSG(uvm.paging >= (uint64_t)npages, "I-PD-1: %d pages are out, and %lu had been counted in: "
	    "uvm_pageout_start() comes before their transfer", npages, (unsigned long)uvm.paging);
	__atomic_store_n(&uvm.paging, uvm.paging - (uint64_t)npages, __ATOMIC_RELAXED);
	uvm.npageouts += (uint64_t)npages;
	uvm_page_wakewaiters();
	if (uvm.nwaiters > 0 && uvm.paging == 0)
		uvm_kick_pdaemon_locked();
	mutex_spin_exit(&uvm_fpageqlock);
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
	up->up_swapfull = uvm_swapisfull();
	uvmpd_balance(up);
}

static bool
waited_for(void)
{
	bool yes;

	mutex_spin_enter(&uvm_fpageqlock);
	yes = uvm.nwaiters > 0;
	mutex_spin_exit(&uvm_fpageqlock);
	return yes;
}

/*
 * One round.
 * => nothing held.
 */
static void
uvmpd_round(struct uvmpd *up)
{
	uint64_t start;
	bool short_of;

	/* before free memory is judged, and after whoever waits for it said so */
	if (uvmpd_have(up) < uvm.freetarg || waited_for())
		uvm_pgflcache_drain();
	uvm_lock_pageq();
	uvm_pgintent_realise();
	uvmpd_tune(up);
	up->up_needsfree = uvmpd_have(up) < uvm.freetarg;
	short_of = uvmpd_have(up) < uvm.freemin && !up->up_swapfull;
	if (up->up_needsfree || uvm.inactive < uvm.inactarg) {
		UVMCNT(pdrevs);
		start = host_now_ns();
		if (up->up_needsfree)
			uvmpd_scan_inactive(up);
		if (up->up_needsfree && up->up_started == 0 && up->up_freed == 0 && !up->up_swapfull &&
		    uvm_swapisfilled())
			up->up_dropswap = uvm.freetarg;
		uvm_pgintent_realise();
		uvmpd_scan_active(up);
		/* what was just deactivated is all there is when memory is this short */
		if (up->up_needsfree && uvmpd_have(up) < uvm.freetarg)
			uvmpd_scan_inactive(up);
		uvmpd_cluster_flush(up);
		UVMCNT_ADD(pdscan_ns, host_now_ns() - start);
	}
	uvm_unlock_pageq();
	if (up->up_needsfree)
		pool_drain_all();
	if (short_of)
		uvm_swapout_threads();
}

/* => fpageq held: has anything come of the rounds? */
static void
uvmpd_progress(const struct uvmpd *up, struct progress *pr)
{
	/* what the daemon takes for a transfer and drains again is no progress */
	int64_t now = (int64_t)(uvm.nfreed - uvm.pd_taken);
	bool freed = now > pr->pr_freed;

	if (freed || (!up->up_needsfree && uvm.paging == 0))
		pr->pr_fruitless = 0;
	else if (uvm.paging == 0 || uvm.npageouts != pr->pr_npageouts)
		pr->pr_fruitless++;		/* nothing under way, or what was has failed */
	if (freed)
		pr->pr_freed = now;
	pr->pr_npageouts = uvm.npageouts;
	uvm.pd_backoff = freed || uvm.paging > 0 ? 0 : uvm.npages / 64;
}

/* => fpageq held: nothing will be freed, however often the daemon looks */
static bool
uvmpd_hopeless(const struct uvmpd *up, const struct progress *pr)
{
	/* a page came to a CPU just after they were fetched, from better times: the next round has it */
	if (uvm_pgflcache_count() > 0)
		return false;
	if (pr->pr_fruitless >= PD_FRUITLESS)
		return true;
	return pr->pr_fruitless > 0 && uvm.paging == 0 && up->up_candidates == 0;
}

/*
 * The end of a round: wake whom it helped, or tell them that nothing will.
 * => nothing held; true: pause, then another round.
 */
static bool
uvmpd_account(const struct uvmpd *up, struct progress *pr)
{
	bool again = false;

	mutex_spin_enter(&uvm_fpageqlock);
	uvmpd_progress(up, pr);
	uvm_page_wakewaiters();
	if (uvm.nwaiters > 0 && uvmpd_hopeless(up, pr)) {
		uvm.oom = true;
		wake_all();
	} else if (uvm.nwaiters > 0 && uvm.paging == 0)
		again = true;
	mutex_spin_exit(&uvm_fpageqlock);
	return again;
}

static void
uvmpd_main(void *arg)
{
	struct progress pr = { 0 };
	bool again = false;

	curlwp->l_onlytry = PD_ONLYTRY;
	for (;;) {
		struct uvmpd up = { 0 };

		mutex_spin_enter(&uvm_fpageqlock);
		uvm.pd_idle = true;
		while (!uvm.pd_kicked && !again && !uvm.pd_stop) {
			lwp_patient(true);
			mtsleep(&uvm.pd_kicked, false, "pgdaemon", 0, &uvm_fpageqlock);
			lwp_patient(false);
		}
		uvm.pd_idle = false;
		if (uvm.pd_stop)
			break;
		uvm.pd_kicked = false;
		mutex_spin_exit(&uvm_fpageqlock);
		UVMCNT(pdwoke);
		lockevent_begin(LE_memory);
		uvmpd_round(&up);
		again = uvmpd_account(&up, &pr);
		lockevent_end(LE_memory);
		if (again)
			kpause("pdagain", PD_PAUSE_NS);
	}
	mutex_spin_exit(&uvm_fpageqlock);
}
