/*
 * Runs of contiguous un-owned pages, for kernel allocations larger than a page.
 *
 * The page array is in address order, so a run is a stretch of it that is all
 * free.  It is looked for from the top: single pages are taken where they
 * were freed last, mostly low, so the top is the least broken up.
 */
#include <sys/kernel.h>
#include <uvm/uvm.h>

#define	UVM_PGLIST_TRIES	16	/* rounds of the daemon that may fail to make a run */

/* => fpageq held; the first page of a free run, or NULL. */
static struct vm_page *
uvm_pglist_find(uint64_t npages)
{
	uint64_t run = 0;

	for (uint64_t i = uvm.npages; i-- > 0;) {
		run = uvm.pages[i].on_free != 0 ? run + 1 : 0;
		if (run == npages)
			return &uvm.pages[i];
	}
	return NULL;
}

/* Take a run, respecting the reserve; 0 or ENOMEM. */
static int
uvm_pglist_take(uint64_t npages, struct vm_page **first, int flags)
{
	uint64_t reserve = uvm.reserve_kernel;
	struct vm_page *pg = NULL;

	if (flags & UVM_PGA_USERESERVE)
		reserve = uvm.reserve_pagedaemon;	/* R35 */
	if (flags & UVM_PGA_LAST)
		reserve = uvm.reserve_pagedaemon / 2;
	mutex_spin_enter(&uvm_fpageqlock);
	if (uvm.free >= npages && uvm.free - npages >= reserve)
		pg = uvm_pglist_find(npages);
	if (pg == NULL) {
		uvm_kick_pdaemon_locked();
		mutex_spin_exit(&uvm_fpageqlock);
		UVMCNT(pga_fail);
		return ENOMEM;
	}
	for (uint64_t i = 0; i < npages; i++) {
		TAILQ_REMOVE(&uvm.page_free[pg[i].on_free - 1], &pg[i], pageq);
		pg[i].pqflags = PQ_PRIVATE;
		pg[i].on_free = 0;
	}
	__atomic_store_n(&uvm.free, uvm.free - npages, __ATOMIC_RELAXED);
	UVMGAUGE(UVMG_kernpages, npages);
	mutex_spin_exit(&uvm_fpageqlock);
	*first = pg;
	return 0;
}

/*
 * => no lock held if waitok; else any context to IPL_VM.
 * => 0, or ENOMEM: no run now, and none to be had by waiting.
 */
int
uvm_pglistalloc(uint64_t npages, struct vm_page **first, bool waitok, int flags)
{
	struct vm_page *pg;

	KASSERT(npages > 0);
	for (int tries = 0; uvm_pglist_take(npages, &pg, flags) != 0; tries++) {
		if (!waitok || tries == UVM_PGLIST_TRIES || npages > uvm.npages)
			return ENOMEM;
		uvm_wait("pglist");
	}
	for (uint64_t i = 0; i < npages; i++) {
		KASSERT(pg[i].uobject == NULL && pg[i].uanon == NULL);
		ram_frame_check(&pg[i].mdpage);
		pg[i].flags = 0;
		if (flags & UVM_PGA_ZERO)
			pmap_zero_page(VM_PAGE_TO_PHYS(&pg[i]));
	}
	*first = pg;
	return 0;
}

/*
 * => pages of one uvm_pglistalloc(), or of single private allocations in a row.
 */
void
uvm_pglistfree(struct vm_page *first, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++) {
		KASSERT((first[i].pqflags & PQ_PRIVATE) != 0);
		uvm_pagefree(&first[i]);
	}
}
