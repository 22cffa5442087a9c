/*
 * Anons: one page worth of anonymous memory, shared copy-on-write by count.
 *
 * States (uvm-spec 3.2): fresh, resident dirty, resident clean, swapped, lost,
 * dying (page BUSY|RELEASED, an_ref 0: the busy holder finishes).
 */
#ifndef UVM_UVM_ANON_H
#define UVM_UVM_ANON_H

#include <sys/mutex.h>
#include <uvm/uvm_page.h>

struct uvm_faultinfo;
struct vm_amap;

/* all fields: an_lock; an_id: stable */
struct vm_anon {
	kmutex_t	 an_lock;		/* LC_anon */
	int		 an_ref;		/* references: amap slots, and holders in flight */
	struct vm_page	*an_page;		/* resident page, or NULL */
	int		 an_swslot;		/* 0 none, SWSLOT_BAD: lost */
	uint32_t	 an_id;			/* birth number of its memory, which is used again */
};

/* => boot, pools may be made */
void	uvm_anon_init(void);
/* => at rest; VIOL_LEAK when anons are out */
void	uvm_anon_fini(void);
/* => a new anon, LOCKED, ref 1; NULL on shortage; never sleeps; kernel_map not held (H-5) */
struct vm_anon *uvm_analloc(void);
/* => unlocked, ref 0 (R25); frees page, or leaves a busy one RELEASED for its holder */
void	uvm_anfree(struct vm_anon *);
/* => locked; a reference goes, and with the last one the anon; unlocked on return */
void	uvm_anon_unref(struct vm_anon *);
/*
 * Anons that lose references in a row.  Those that lose their last one are freed some at a time, with
 * uvm_pageqlock taken once for all of them.  It starts as zeroes, and is its caller's.
 */
#define	UVM_ANON_BATCH	16
struct uvm_anon_batch {
	struct vm_anon	*ab_anons[UVM_ANON_BATCH];	/* unlocked, ref 0 */
	int		 ab_n;
};
/* => as uvm_anon_unref(), but the last ones are there until uvm_anfree_batch() */
void	uvm_anon_unref_batch(struct vm_anon *, struct uvm_anon_batch *);
/* => as uvm_anfree() of each, and the batch is empty */
void	uvm_anfree_batch(struct uvm_anon_batch *);
/* => anon locked (R25); the page, its owner object locked too if it has one; pauses if on loan */
struct vm_page *uvm_anon_lockloanpg(struct vm_anon *);
/* => the same, for callers with more locks: false instead of a pause */
bool	uvm_anon_trylockloanpg(struct vm_anon *);
/* => anon locked, ref 0, page BUSY|RELEASED: the busy holder frees both; gone on return; pageq not held */
void	uvm_anon_release(struct vm_anon *);
/* => anon locked; its slot is freed, its page not PG_CLEAN any more (R34); no slot: nothing */
void	uvm_anon_dropswap(struct vm_anon *);
/* => anon locked (R25), unlocked on return; sleeps: for swapoff, the data are in memory only, or lost
 *    (EIO); it has a reference of its own meanwhile (B-13).  true: memory is short, nothing has changed */
bool	uvm_anon_pagein(struct vm_anon *);
uint64_t uvm_anon_count(void);

#endif /* UVM_UVM_ANON_H */
