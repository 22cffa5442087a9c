/*
 * What all pagers share: transfers to and from the disk and their completion.
 *
 * A transfer (struct uvm_aio) names pages that are BUSY on its behalf.  The
 * disk's completion is an interrupt at IPL_VM, which may take no owner lock
 * (they sleep); it only passes the transfer on:
 *
 *	ua_iodone set	to the aiodone LWP, which cleans up and frees it: the
 *			starter must not touch transfer or pages any more (R19), for
 *			all may be over before uvm_aio_start() returns (T-79)
 *	ua_iodone NULL	to the LWP that waits for it in uvm_aio_wait()
 *
 * The aiodone LWP takes owner locks and pageq and never waits for memory, so
 * it always gets on and the page daemon may count on it (uvm-spec 8.7).
 */
#include <string.h>
#include <sys/kernhist.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>

static kmutex_t uvm_aiodone_lock;			/* LC_aiodone, spin, IPL_VM */
static TAILQ_HEAD(, uvm_aio) uvm_aiodone_queue;		/* d */
static bool uvm_aiodone_stop;				/* d */
static unsigned uvm_aio_async;				/* d: started, and not yet cleaned up */
static struct lwp *uvm_aiodone_lwp;			/* : */
static struct pool *uvm_aio_pool;			/* : */

static void uvm_aiodone_main(void *);

void
uvm_pager_init(void)
{
	mutex_init(&uvm_aiodone_lock, MUTEX_DEFAULT, IPL_VM, LC_aiodone);
	TAILQ_INIT(&uvm_aiodone_queue);
	uvm_aiodone_stop = false;
	uvm_aio_async = 0;
	uvm_aio_pool = pool_create(sizeof(struct uvm_aio), 0, "uvmaio", &pool_allocator_kmem,
	    IPL_NONE);
	if (lwp_create(&uvm_aiodone_lwp, NULL, "aiodone", uvm_aiodone_main, NULL) != 0)
		panic("cannot create the aiodone LWP");
	lwp_start(uvm_aiodone_lwp);
}

void
uvm_pager_fini(void)
{
	mutex_spin_enter(&uvm_aiodone_lock);
	uvm_aiodone_stop = true;
	wakeup(&uvm_aiodone_queue);
	mutex_spin_exit(&uvm_aiodone_lock);
	lwp_wait(uvm_aiodone_lwp);
	pool_destroy(uvm_aio_pool);
	mutex_destroy(&uvm_aiodone_lock);
}

/*
 * => even who may wait takes the reserve first: a transfer is how memory is freed.
 */
struct uvm_aio *
uvm_aio_get(bool waitok)
{
	struct uvm_aio *aio;

	if (waitok)
		lockdebug_sleep_barrier("uvm_aio_get");		/* also if there is one */
	aio = pool_get(uvm_aio_pool, PR_NOWAIT | PR_ZERO);
	if (aio == NULL && waitok)
		aio = pool_get(uvm_aio_pool, PR_WAITOK | PR_ZERO);
	return aio;
}

void
uvm_aio_put(struct uvm_aio *aio)
{
	pool_put(uvm_aio_pool, aio);
}

/* The disk is done; interrupt context, IPL_VM. */
static void
uvm_aio_biodone(struct buf *bp)
{
	struct uvm_aio *aio = bp->b_private;

	for (int i = 0; i < bp->b_npages; i++)
		kernhist_log(KE_io_done, (uint32_t)atop(bp->b_pages[i]), (uint32_t)bp->b_error, 0);
	mutex_spin_enter(&uvm_aiodone_lock);
	if (aio->ua_iodone != NULL) {
		TAILQ_INSERT_TAIL(&uvm_aiodone_queue, aio, ua_link);
		wakeup(&uvm_aiodone_queue);
	} else {
		aio->ua_done = true;
		wakeup(aio);
	}
	mutex_spin_exit(&uvm_aiodone_lock);
}

/*
 * => the pages are BUSY by the caller; no lock held.
 */
void
uvm_aio_start(struct uvm_aio *aio, int fd, bool write, voff_t offset, uint64_t bytes)
{
	struct buf *bp = &aio->ua_buf;

	KASSERT(aio->ua_npgs > 0 && aio->ua_npgs <= BUF_MAXPAGES);
	KASSERT(bytes > 0 && bytes <= ptoa(aio->ua_npgs));
	memset(bp, 0, sizeof(*bp));
	bp->b_fd = fd;
	bp->b_write = write;
	bp->b_offset = (uint64_t)offset;
	bp->b_bytes = (uint32_t)bytes;
	bp->b_npages = aio->ua_npgs;
	for (int i = 0; i < aio->ua_npgs; i++)
		bp->b_pages[i] = VM_PAGE_TO_PHYS(aio->ua_pgs[i]);
	bp->b_iodone = uvm_aio_biodone;
	bp->b_private = aio;
	aio->ua_done = false;
	if (aio->ua_iodone != NULL) {
		mutex_spin_enter(&uvm_aiodone_lock);
		uvm_aio_async++;		/* first: a page that is passed has a transfer */
		mutex_spin_exit(&uvm_aiodone_lock);
		uvm_page_pass(aio->ua_pgs, aio->ua_npgs);	/* R19 */
	}
	for (int i = 0; i < aio->ua_npgs; i++)
		kernhist_log(KE_io_start, (uint32_t)atop(bp->b_pages[i]), bp->b_write, (uint64_t)offset + ptoa((uint64_t)i));
	disk_strategy(bp);
}

/*
 * => is anything on its way that nobody waits for?
 */
bool
uvm_aio_idle(void)
{
	bool idle;

	mutex_spin_enter(&uvm_aiodone_lock);
	idle = uvm_aio_async == 0;
	mutex_spin_exit(&uvm_aiodone_lock);
	return idle;
}

struct lwp *
uvm_aio_forgotten(void)
{
	struct lwp *l;

	mutex_spin_enter(&uvm_aiodone_lock);
	l = !TAILQ_EMPTY(&uvm_aiodone_queue) ? sleepq_sleeper(&uvm_aiodone_queue) : NULL;
	mutex_spin_exit(&uvm_aiodone_lock);
	return l;
}

/*
 * => started without ua_iodone; sleeps; pages stay BUSY.
 */
int
uvm_aio_wait(struct uvm_aio *aio)
{
	KASSERT(aio->ua_iodone == NULL);
	lockevent_wait(LE_disk);		/* be it done by now or not */
	mutex_spin_enter(&uvm_aiodone_lock);
	while (!aio->ua_done) {
		lockevent_next(LE_disk);
		mtsleep(aio, false, "biowait", 0, &uvm_aiodone_lock);
	}
	mutex_spin_exit(&uvm_aiodone_lock);
	return aio->ua_buf.b_error;
}

static void
uvm_aiodone_main(void *arg)
{
	struct uvm_aio *aio;

	mutex_spin_enter(&uvm_aiodone_lock);
	for (;;) {
		aio = TAILQ_FIRST(&uvm_aiodone_queue);
		if (aio == NULL) {
			if (uvm_aiodone_stop)
				break;
			lwp_patient(true);
			mtsleep(&uvm_aiodone_queue, false, "aiodone", 0, &uvm_aiodone_lock);
			lwp_patient(false);
			continue;
		}
		TAILQ_REMOVE(&uvm_aiodone_queue, aio, ua_link);
		mutex_spin_exit(&uvm_aiodone_lock);
		lockevent_begin(LE_aiodone);
		aio->ua_iodone(aio);
		lockevent_end(LE_aiodone);
		lwp_beat();			/* the queue may never be empty */
		mutex_spin_enter(&uvm_aiodone_lock);
		uvm_aio_async--;
	}
	mutex_spin_exit(&uvm_aiodone_lock);
}

/*
 * The end of a transfer for one page.
 * => owner and pageq locked, page BUSY; returns 1 if it was a pageout.
 */
static int
uvm_aio_page_done(struct vm_page *pg, bool write, int error)
{
	int pageout = (pg->flags & PG_PAGEOUT) != 0;

	KASSERT((pg->flags & PG_BUSY) != 0);
	pg->flags &= ~PG_PAGEOUT;
	if (!write) {
		if (error != 0) {
			pg->flags |= PG_RELEASED;	/* never had content */
			return 0;
		}
		pg->flags &= ~PG_FAKE;
		pmap_clear_modify(pg);
		uvm_pageactivate(pg);
		return 0;
	}
	if (error != 0) {
		/* The data are nowhere but here: keep them, dirty, for another try. */
		pg->flags &= ~(PG_RELEASED | PG_CLEAN);
		uvm_pageactivate(pg);
		return pageout;
	}
	if (pageout) {
		pg->flags |= PG_RELEASED;
		UVMCNT(pdfreed);
	}
	return pageout;
}

/*
 * => thread context, no lock held; the pages are BUSY on behalf of the transfer, which
 *    keeps their identity.  All are unbusied or freed on return.
 */
void
uvm_aio_aiodone_pages(struct vm_page **pgs, int n, bool write, int error)
{
	int pageouts = 0;

	for (int i = 0, j; i < n; i = j) {
		kmutex_t *slock = uvm_page_owner_lock(pgs[i]);

		mutex_enter(slock);
		uvm_lock_pageq();
		for (j = i; j < n && uvm_page_owner_lock(pgs[j]) == slock; j++)
			pageouts += uvm_aio_page_done(pgs[j], write, error);
		uvm_page_unbusy(&pgs[i], j - i);
		uvm_unlock_pageq();
		mutex_exit(slock);
	}
	if (pageouts > 0)
		uvm_pageout_done(pageouts);
}
