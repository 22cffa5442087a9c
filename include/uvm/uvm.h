/*
 * UVM's insides: global state.  For src/uvm and the inspectors only.
 */
#ifndef UVM_UVM_H
#define UVM_UVM_H

#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/lockevent.h>
#include <sys/mutex.h>
#include <sys/sleepq.h>
#include <uvm/uvm_fault.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_map.h>
#include <uvm/uvm_page.h>
#include <uvm/uvm_pager.h>
#include <uvm/uvm_pdaemon.h>
#include <uvm/uvm_stat.h>

/*
 *	p  uvm_pageqlock	f  uvm_fpageqlock	:  stable after boot
 *	@  relaxed atomic: a sum of changes made under many owner locks, exact at rest
 *
 * What is written under one lock has cache lines of its own, and so have the fields that
 * everybody reads.  Pages by kind of owner are counted by each CPU: uvm_gauge().
 */
#define	UVM_BUCKETS	16			/* lists of free pages at most */
#define	UVM_LINE	__attribute__((aligned(64)))	/* begins a cache line */

struct uvm {
	struct vm_page	*pages;			/* : array of npages */
	uint64_t	 npages;		/* : */
	uint64_t	 reserve_pagedaemon, reserve_kernel;	/* : */
	uint64_t	 freemin, freetarg;	/* : */
	uint64_t	 wiredmax;		/* : */
	struct lwp	*pagedaemon_lwp;	/* : */
	unsigned	 nbuckets;		/* : lists of page_free that are used */
	uint32_t	 pgfl_max;		/* : pages in a CPU's cache at most; 0: there are none */
	uint32_t	 pgfl_batch;		/* : pages that it gets, or gives back, at once */
	uint32_t	 intent_max;		/* : pages that a CPU notes down to be active; 0: none */

	struct pglist	 page_active UVM_LINE;	/* p */
	struct pglist	 page_inactive;		/* p */
	uint64_t	 active, inactive, wired;	/* p, read @ */
	uint64_t	 orphans;		/* p: loaned pages without owner */
	uint64_t	 inactarg;		/* p, read @ */

	uint64_t	 ptpages UVM_LINE;	/* @: page table pages, part of kernpages */

	struct pglist	 page_free[UVM_BUCKETS] UVM_LINE; /* f: last freed, first used, by the core where it was freed */
	uint64_t	 free;			/* f, read @: pages in page_free; CPUs have more (uvm_pgflcache.c) */
	uint64_t	 paging;		/* f, read @: PG_PAGEOUT pages in flight (I-PD-1) */
	uint64_t	 nfreed;		/* f: pages that came to page_free since boot */
	uint64_t	 pd_taken;		/* f: pages that the daemon took for itself */
	uint64_t	 nwaiters;		/* f: LWPs in uvm_wait() */
	bool		 pd_kicked;		/* f: the daemon has a round to do */
	bool		 pd_idle;		/* f: it sleeps */
	bool		 pd_stop;		/* f */
	uint64_t	 pd_backoff;		/* f: allocations to go before the next kick by one */
	uint64_t	 npageouts;		/* f: pageouts that have ended, well or not */
	bool		 oom;			/* f: the daemon found nothing to free */
};
extern struct uvm uvm;

extern kmutex_t uvm_pageqlock UVM_LINE;		/* LC_pageq, adaptive */
extern kmutex_t uvm_fpageqlock UVM_LINE;	/* LC_fpageq, spin, IPL_VM */

#define	uvm_lock_pageq()	mutex_enter(&uvm_pageqlock)
#define	uvm_unlock_pageq()	mutex_exit(&uvm_pageqlock)

/*
 * Sleep on ident, giving lock up at the same moment; nothing is held on return
 * (uvm-spec 5.5).
 */
#define	UVM_UNLOCK_AND_WAIT(ident, lock, wmesg)	mtsleep((ident), true, (wmesg), 0, (lock))

#endif /* UVM_UVM_H */
