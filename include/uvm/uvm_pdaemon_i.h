/*
 * Inside the page daemon: one round, its sweeps, and the cluster that it builds.
 */
#ifndef UVM_UVM_PDAEMON_I_H
#define UVM_UVM_PDAEMON_I_H

#include <uvm/uvm.h>

/* Dirty swap-backed pages on their way to neighbouring slots.  !: only the daemon. */
struct uvmpd_cluster {
	int		 uc_slot;		/* ! the first slot; 0: none */
	int		 uc_nslots;		/* ! slots that are ours */
	int		 uc_npages;		/* ! slots that have a page */
	struct uvm_aio	*uc_aio;		/* ! its transfer, had before the first page joins */
	struct vm_page	*uc_pages[BUF_MAXPAGES];	/* ! BUSY|PAGEOUT */
};

/* One round.  !: only the daemon. */
struct uvmpd {
	uint64_t	 up_goal;		/* ! free + paging to reach */
	uint64_t	 up_candidates;		/* ! pages seen that could be freed some time */
	uint64_t	 up_freed;		/* ! swap-backed pages freed */
	uint64_t	 up_started;		/* ! pageouts started */
	uint64_t	 up_dropswap;		/* ! slots to take back from pages in memory */
	unsigned	 up_dirtyreacts;	/* ! dirty pages that found no slot, this sweep */
	unsigned	 up_trylock;		/* ! failures since the last pause */
	bool		 up_needsfree;		/* ! free memory is below its target */
	bool		 up_swapfull;		/* ! swap has no room for more */
	bool		 up_reanon, up_refile;	/* ! the usage balance spares pages of that kind */
	struct uvmpd_cluster up_cluster;
};

/* --- uvm_pdscan.c; => pageq held, given up at times --- */
void	uvmpd_scan_inactive(struct uvmpd *);
void	uvmpd_scan_active(struct uvmpd *);
/* => pageq held: which kinds of pages are to be spared (uvm-spec 8.2) */
void	uvmpd_balance(struct uvmpd *);
/* => free and soon free; a racy look, a sweep only needs to end some time */
uint64_t uvmpd_have(const struct uvmpd *);
/* => pageq held, given up at times; the owner's lock, held; NULL: not now */
kmutex_t *uvmpd_trylockowner(struct uvmpd *, struct vm_page *);

/* --- uvm_pdswap.c --- */
/*
 * One inactive, unreferenced, swap-backed page.
 * => pageq and the owner locked, page not BUSY; pageq given up when a cluster goes out;
 *    the owner is not locked on return
 */
void	uvmpd_swap_page(struct uvmpd *, struct vm_page *, kmutex_t *owner);
/* => pageq held, given up: what has been gathered goes out */
void	uvmpd_cluster_flush(struct uvmpd *);
/* => pageq and the owner locked, page not BUSY: its slot is free, the page dirty */
void	uvmpd_dropswap(struct uvmpd *, struct vm_page *);

/* A sweep of the inactive queue ends after so many: what is left would not find slots either. */
#define	UVMPD_NUMDIRTYREACTS	16

extern bool uvm_pd_unmap;		/* : the policy before 1999, to compare with */

#endif /* UVM_UVM_PDAEMON_I_H */
