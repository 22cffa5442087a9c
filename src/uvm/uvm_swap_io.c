/*
 * Swap transfers.
 *
 * Reading is for one page and waits.  The page is BUSY by the reader, who holds nothing
 * else, and the transfer lies on his stack: a page-in never waits for memory.
 *
 * Writing is for a cluster of pages of many owners, and does not wait.  The completion
 * takes each page's owner in turn; who has died meanwhile (an_ref 0) has left page and
 * slot to us.  What could not be written stays in memory, dirty and without a slot, so
 * an error while writing costs a slot but no data:
 *
 *			   page			slot			owner's slot
 *	written		   freed		swpgonly + 1		stays
 *	ENOMEM		   dirty, active	freed			0
 *	other error	   dirty, active	bad			0
 *	owner died	   freed		freed, or bad		gone
 *
 * The order is always: dirty, then the slot (R34); swpgonly, then the page (B-6).
 */
#include <errno.h>
#include <string.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <sys/probe.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_swap_i.h>

/* => the device, one transfer more in flight on it; *fdp: its file, or -1 for a transfer that is to
 *    fail, *errorp says how */
static struct swapdev *
transfer_begin(int slot, bool write, int *fdp, int *errorp)
{
	struct swapdev *sdp = swapdev_of(slot);
	struct swap_inject *si;

	mutex_enter(&uvm_swap_data_lock);
	KASSERTMSG(swap_bit(sdp->swd_inuse, slot - sdp->swd_drumoffset),
	    "I-SWP-4: transfer of free slot %d", slot);
	sdp->swd_inflight++;
	si = &sdp->swd_inject[write];
	*fdp = sdp->swd_fd;
	*errorp = 0;
	if (si->si_every != 0 && ++si->si_count % si->si_every == 0) {
		*fdp = -1;
		*errorp = si->si_error;
	} else if (inject(write ? INJECT_swap_write : INJECT_swap_read)) {
		*fdp = -1;
		*errorp = EIO;
	}
	mutex_exit(&uvm_swap_data_lock);
	return sdp;
}

static void
transfer_end(struct swapdev *sdp)
{
	mutex_enter(&uvm_swap_data_lock);
	KASSERT(sdp->swd_inflight > 0);
	sdp->swd_inflight--;
	mutex_exit(&uvm_swap_data_lock);
}

static voff_t
file_offset(const struct swapdev *sdp, int slot)
{
	return (voff_t)ptoa((uint64_t)(slot - sdp->swd_drumoffset));
}

/* --- reading --- */

int
uvm_swap_get(struct vm_page *pg, int slot)
{
	struct uvm_aio aio = { .ua_pgs = { pg }, .ua_npgs = 1 };
	struct swapdev *sdp;
	int fd, error, forced;

	KASSERTMSG(slot != 0, "I-SWP-8: slot 0 is read");
	KASSERT((pg->pqflags & PQ_SWAPBACKED) != 0);
	KASSERT(curlwp != uvm.pagedaemon_lwp);
	if (slot == SWSLOT_BAD)
		return EIO;
	sdp = transfer_begin(slot, false, &fd, &forced);
	kernhist_log(KE_pagein_start, VM_PAGE_ID(pg), (uint32_t)slot, 0);
	uvm_swap_pgonly(-1);			/* in memory as well from now on */
	uvm_aio_start(&aio, fd, false, file_offset(sdp, slot), PAGE_SIZE);
	error = uvm_aio_wait(&aio);
	if (error == 0 && aio.ua_buf.b_resid != 0)
		error = EIO;			/* somebody has cut the file */
	transfer_end(sdp);
	kernhist_log(KE_pagein_done, VM_PAGE_ID(pg), (uint32_t)slot, (uint64_t)error);
	if (error != 0) {
		UVMCNT(swapin_error);
		return EIO;
	}
	UVMCNT(pgswapin);
	lwp_beat();			/* swapoff reads many */
	return 0;
}

/* --- writing --- */

/* => owner locked: the slot that it has for the page */
static int
owner_slot(const struct vm_page *pg)
{
	if (pg->uobject != NULL)
		return uao_find_swslot(pg->uobject, (uint64_t)atop(pg->offset));
	return pg->uanon->an_swslot;
}

/* => owner locked, the page not CLEAN any more: it has no slot */
static void
owner_forget(struct vm_page *pg)
{
	KASSERTMSG((pg->flags & PG_CLEAN) == 0, "R34: a clean page is to lose its slot");
	if (pg->uobject != NULL)
		(void)uao_set_swslot(pg->uobject, (uint64_t)atop(pg->offset), 0);
	else
		pg->uanon->an_swslot = 0;
}

/* => owner locked, page BUSY: not written; it stays, dirty, and its slot goes */
static void
write_failed(struct vm_page *pg, int slot, int error)
{
	owner_forget(pg);			/* R34: it has been dirty all along */
	if (error == ENOMEM)
		uvm_swap_free(slot, 1);
	else
		uvm_swap_markbad(slot, 1);
	UVMCNT(swapout_error);
}

/*
 * => owner locked, page BUSY and written.  A pageout's page goes, but not one that somebody has on
 *    loan.
 */
static void
write_succeeded(struct vm_page *pg, bool pageout)
{
	KASSERTMSG((pg->flags & PG_RELEASED) == 0, "T-1: page %#lx was left to who writes it, for its owner has "
	    "died, and is treated as a living one's", (unsigned long)VM_PAGE_TO_PHYS(pg));
	pg->flags |= PG_CLEAN;
	if (!pageout || pg->loan_count != 0)
		return;
	uvm_swap_pgonly(1);			/* B-6: before the page goes */
	pg->flags |= PG_RELEASED;
	UVMCNT(pdfreed);
}

/*
 * The end of a write for one page.
 * => no lock held; 1 if it was a pageout
 */
static int
page_written(struct vm_page *pg, int slot, int error)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);	/* BUSY: the owner is stable */
	struct vm_anon *anon;
	bool pageout;

	mutex_enter(slock);
	KASSERT((pg->flags & PG_BUSY) != 0);
	KASSERTMSG_ABOUT(owner_slot(pg) == slot, KS_page, VM_PAGE_ID(pg), pg,
	    "I-SWP-4: slot %d was written, its owner has %d", slot, owner_slot(pg));
	KASSERTMSG(!pmap_page_mapped(pg), "I-PG-6: a page was mapped while it was paged out");
	kernhist_log(KE_pageout_done, VM_PAGE_ID(pg), (uint32_t)slot, (uint64_t)error);
	PROBE3(pageout__done, VM_PAGE_ID(pg), slot, error);
	pageout = (pg->flags & PG_PAGEOUT) != 0;
	pg->flags &= ~PG_PAGEOUT;
	anon = pg->uobject == NULL ? pg->uanon : NULL;
	if (error != 0)
		write_failed(pg, slot, error);
	/* Without references but not RELEASED: its freer still waits for our lock, and does all the rest. */
	if (anon != NULL && (pg->flags & PG_RELEASED) != 0) {
		uvm_anon_release(anon);		/* unlocks */
		return pageout;
	}
	if (error == 0)
		write_succeeded(pg, pageout);
	uvm_lock_pageq();
	if ((pg->flags & PG_RELEASED) == 0)
		uvm_pageactivate(pg);
	uvm_page_unbusy(&pg, 1);		/* a RELEASED page is gone */
	uvm_unlock_pageq();
	mutex_exit(slock);
	return pageout;
}

/* => no lock held: every page of the cluster, then those who wait for memory */
static void
cluster_written(struct vm_page **pgs, int n, int slot, int error)
{
	int pageouts = 0;

	for (int i = 0; i < n; i++)
		pageouts += page_written(pgs[i], slot + i, error);
	if (pageouts > 0)
		uvm_pageout_done(pageouts);
}

/* => the write is on its way; ua_owner and ua_sync say what its end has to know */
static void
put_start(struct uvm_aio *aio, int slot, struct vm_page **pgs, int n)
{
	struct swapdev *sdp;
	int fd, forced;

	sdp = transfer_begin(slot, true, &fd, &forced);
	for (int i = 0; i < n; i++) {
		kernhist_log(KE_pageout_start, VM_PAGE_ID(pgs[i]), (uint32_t)(slot + i), 0);
		PROBE2(pageout__start, VM_PAGE_ID(pgs[i]), slot + i);
	}
	memcpy(aio->ua_pgs, pgs, (size_t)n * sizeof(*pgs));
	aio->ua_npgs = n;
	aio->ua_owner = (void *)(intptr_t)slot;
	aio->ua_sync = (void *)(intptr_t)forced;
	uvm_aio_start(aio, fd, true, file_offset(sdp, slot), ptoa((uint64_t)n));
}

/* => the transfer is over; no lock held; the first error */
static int
put_done(struct uvm_aio *aio)
{
	int slot = (int)(intptr_t)aio->ua_owner, forced = (int)(intptr_t)aio->ua_sync;
	int error = aio->ua_buf.b_error;

	if (error == 0 && aio->ua_buf.b_resid != 0)
		error = EIO;
	if (forced != 0)
		error = forced;
	if (error == 0)
		UVMCNT_ADD(pgswapout, (uint64_t)aio->ua_npgs);
	cluster_written(aio->ua_pgs, aio->ua_npgs, slot, error);
	transfer_end(swapdev_of(slot));
	return error;
}

/* aiodone LWP; waits for no memory. */
static void
put_iodone(struct uvm_aio *aio)
{
	(void)put_done(aio);
	uvm_aio_put(aio);
}

static void
check_cluster(int slot, struct vm_page **pgs, int n)
{
	KASSERTMSG(slot > 0, "I-SWP-8: slot %d is written", slot);
	KASSERT(n > 0 && n <= BUF_MAXPAGES);
	KASSERT(swapdev_of(slot) == swapdev_of(slot + n - 1));
	KASSERT(!mutex_owned(&uvm_pageqlock));
	for (int i = 0; i < n; i++)
		KASSERTMSG(!pmap_page_mapped(pgs[i]), "I-PG-6: a mapped page is to be paged out");
}

void
uvm_swap_put_aio(struct uvm_aio *aio, int slot, struct vm_page **pgs, int n)
{
	check_cluster(slot, pgs, n);
	aio->ua_iodone = put_iodone;
	put_start(aio, slot, pgs, n);			/* R19: not ours any more */
}

int
uvm_swap_put(int slot, struct vm_page **pgs, int n, int flags)
{
	struct uvm_aio onstack, *aio;

	if ((flags & PGO_SYNCIO) != 0) {
		check_cluster(slot, pgs, n);
		memset(&onstack, 0, sizeof(onstack));
		put_start(&onstack, slot, pgs, n);
		(void)uvm_aio_wait(&onstack);
		return put_done(&onstack);
	}
	aio = uvm_aio_get(false);
	if (aio == NULL) {
		check_cluster(slot, pgs, n);
		cluster_written(pgs, n, slot, ENOMEM);		/* C-12 */
		return ENOMEM;
	}
	uvm_swap_put_aio(aio, slot, pgs, n);
	return 0;
}

void
uvm_swap_inject(int dev, unsigned read_every, unsigned write_every, int error)
{
	struct swapdev *sdp = &swap_devs[dev - 1];

	KASSERT(dev >= 1 && dev <= SWAP_MAXDEV);
	mutex_enter(&uvm_swap_data_lock);
	sdp->swd_inject[0] = (struct swap_inject){ .si_every = read_every, .si_error = error };
	sdp->swd_inject[1] = (struct swap_inject){ .si_every = write_every, .si_error = error };
	mutex_exit(&uvm_swap_data_lock);
}
