/*
 * The page daemon and swap: what becomes of an inactive page that only swap can hold.
 *
 *	all mappings go, and only then is it asked whether the page was modified (R23),
 *	and only if it was clean before (R21)
 *	clean	its slot has the data: the page is freed; the slot is all there is now
 *	dirty	it gives its old slot up (it is dirty already, R34) and joins the cluster
 *		in build: neighbouring slots, one write for up to MAXPHYS, whoever the
 *		owners are.  Slots are reassigned for that, so that pages which are
 *		strewn over memory and over processes go out in one piece.
 *
 * From the moment in which a page joins, it is BUSY and PG_PAGEOUT and on no queue
 * (I-PG-6): nobody waits for it but on the page itself, and it comes free by the
 * completion of the write (R19), which runs elsewhere.
 *
 * The daemon may be the only one who can free memory, so nothing here waits for any.
 * The transfer is had before the first page joins a cluster; without one, or without a
 * slot, the page is dirty and active again (uvm-spec 8.7).  No windows of kernel addresses
 * are needed either, neither here nor for files: the disk is given frames.  So there is no
 * pager_map that could be exhausted, and no emergency window (T-44).
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_pdaemon_i.h>
#include <uvm/uvm_swap.h>

/* => owner locked: is it an aobj?  Else an anon; one that has only borrowed the page is no owner (B-7) */
static bool
owned_by_aobj(const struct vm_page *pg)
{
	return pg->uobject != NULL && (!BUG(pd_borrower_as_owner) || pg->uanon == NULL);
}

/* => owner locked; the slot that holds, or held, the page's data; 0: none */
static int
page_slot(struct vm_page *pg)
{
	if (owned_by_aobj(pg))
		return uao_find_swslot(pg->uobject, (int)atop((uint64_t)pg->offset));
	return pg->uanon->an_swslot;
}

/* => owner locked; false: an aobj had no memory to remember it in */
static bool
page_setslot(struct vm_page *pg, int slot)
{
	if (owned_by_aobj(pg))
		return uao_set_swslot(pg->uobject, (int)atop((uint64_t)pg->offset), slot) != -1;
	pg->uanon->an_swslot = slot;
	kernhist_log(KE_anon_slot, pg->uanon->an_id, (uint32_t)slot, 0);
	return true;
}

/* => owner locked, page dirty: it has no slot any more */
static void
page_dropslot(struct vm_page *pg)
{
	KASSERTMSG((pg->flags & PG_CLEAN) == 0, "R34: a clean page loses its slot");
	if (owned_by_aobj(pg))
		uao_dropswap(pg->uobject, (int)atop((uint64_t)pg->offset));
	else
		uvm_anon_dropswap(pg->uanon);
}

/* => pageq held; the cluster in build has room for a page; false: no slot, or no transfer */
static bool
cluster_ready(struct uvmpd *up)
{
	struct uvmpd_cluster *uc = &up->up_cluster;

	if (uc->uc_aio == NULL)
		uc->uc_aio = uvm_aio_get(false);
	if (uc->uc_aio == NULL)
		return false;
	if (uc->uc_slot == 0) {
		uc->uc_nslots = BUF_MAXPAGES;
		uc->uc_npages = 0;
		uc->uc_slot = uvm_swap_alloc(&uc->uc_nslots, true);
	}
	return uc->uc_slot != 0;
}

/* => what is left of a cluster that has no pages goes back */
static void
cluster_drop(struct uvmpd_cluster *uc)
{
	KASSERT(uc->uc_npages == 0);
	if (uc->uc_aio != NULL)
		uvm_aio_put(uc->uc_aio);
	uc->uc_aio = NULL;
}

void
uvmpd_cluster_flush(struct uvmpd *up)
{
	struct uvmpd_cluster uc = up->up_cluster;

	up->up_cluster.uc_slot = 0;
	if (uc.uc_slot != 0 && uc.uc_nslots > uc.uc_npages)
		uvm_swap_free(uc.uc_slot + uc.uc_npages, uc.uc_nslots - uc.uc_npages);
	if (uc.uc_slot == 0 || uc.uc_npages == 0) {
		cluster_drop(&up->up_cluster);
		return;
	}
	for (int i = 0; i < uc.uc_npages; i++)
		KASSERTMSG((uc.uc_pages[i]->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0,
		    "I-PG-6: a page on its way out is queued");
	/* counted before they leave the cluster's count: uvmpd_have() never sinks */
	uvm_pageout_start(uc.uc_npages);
	up->up_cluster.uc_npages = 0;
	up->up_cluster.uc_aio = NULL;
	up->up_started += (uint64_t)uc.uc_npages;
	UVMCNT(pdpageouts);
	uvm_unlock_pageq();
	uvm_swap_put_aio(uc.uc_aio, uc.uc_slot, uc.uc_pages, uc.uc_npages);
	uvm_lock_pageq();
}

/*
 * => pageq and the owner locked, page dirty, without mappings; the owner is not locked on
 *    return, pageq is given up if the cluster is full
 */
static void
page_out(struct uvmpd *up, struct vm_page *pg, kmutex_t *owner)
{
	struct uvmpd_cluster *uc = &up->up_cluster;

	if (page_slot(pg) != 0)
		page_dropslot(pg);
	if (!cluster_ready(up) || !page_setslot(pg, uc->uc_slot + uc->uc_npages)) {
		uvm_pageactivate(pg);
		up->up_dirtyreacts++;
		UVMCNT(pddirtyreact);
		mutex_exit(owner);
		return;
	}
	uvm_page_busy(pg, "pageout");
	pg->flags |= PG_PAGEOUT;
	uvm_pagedequeue(pg);
	mutex_exit(owner);
	uc->uc_pages[uc->uc_npages++] = pg;
	if (uc->uc_npages == uc->uc_nslots)
		uvmpd_cluster_flush(up);
}

/*
 * => owner locked.  A question for pages that are about to go, and only then is the
 *    answer good for something.
 */
static bool
modified(struct vm_page *pg)
{
	KASSERTMSG((pg->flags & PG_CLEAN) != 0, "R21, I-PD-9: modified is asked of a dirty page");
	KASSERTMSG(!pmap_page_mapped(pg), "R23, I-PD-3: modified is asked of a page that is mapped");
	return pmap_clear_modify(pg);
}

void
uvmpd_swap_page(struct uvmpd *up, struct vm_page *pg, kmutex_t *owner)
{
	KASSERT(mutex_owned(&uvm_pageqlock) && mutex_owned(owner));
	KASSERT((pg->flags & (PG_BUSY | PG_FAKE)) == 0);
	/* on one CPU nobody can have come in between; on more it is lost for once */
	KASSERTMSG(ncpu > 1 || !pmap_is_referenced(pg), "R22: a referenced page is to go");
	if (BUG(modified_before_remove) && (pg->flags & PG_CLEAN) != 0 && modified(pg))
		pg->flags &= ~PG_CLEAN;
	pmap_revoke(pg);
	if ((pg->flags & PG_CLEAN) != 0 && modified(pg))	/* R21 */
		pg->flags &= ~PG_CLEAN;
	if ((pg->flags & PG_CLEAN) == 0) {
		page_out(up, pg, owner);
		return;
	}
	KASSERTMSG(!pmap_page_mapped(pg), "I-PD-3: a page that is to be freed is mapped");
	KASSERTMSG(page_slot(pg) > 0, "I-SWP-3: a clean swap-backed page has no slot (PR 7578)");
	uvm_swap_pgonly(1);			/* before anybody can find the page gone (B-6) */
	uvm_pagefree(pg);
	up->up_freed++;
	UVMCNT(pdfreed);
	mutex_exit(owner);
}

void
uvmpd_dropswap(struct uvmpd *up, struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	if (page_slot(pg) <= 0)
		return;
	if (!BUG(swap_release_clean))
		pg->flags &= ~PG_CLEAN;		/* R34: first dirty, then without a slot */
	page_dropslot(pg);
	up->up_dropswap--;
	UVMCNT(pddropswap);
}
