/*
 * Shared by the tests of swap: pages go out when the test says so, as the page daemon
 * would do it, and something may happen while a page is read.
 *
 * Needs -Wl,--wrap=uvm_aio_wait.
 */
#ifndef TSWAP_H
#define TSWAP_H

#include <uvm/uvm_amap.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_swap_i.h>

#include "tmap.h"

/* => tm_boot(), with so many slots on each of so many devices */
void	ts_boot(int ncpus, uint64_t npages, int slots, int ndevs);

/* Neighbouring slots and the pages that are to go there. */
struct ts_cluster {
	int		 tc_slot, tc_n, tc_room;
	struct vm_page	*tc_pgs[BUF_MAXPAGES];
};
/* => room for n pages */
void	ts_begin(struct ts_cluster *, int n);
/*
 * => the page goes to the next slot: BUSY, PAGEOUT, without mappings, its owner has the slot, the old
 *    one is freed.  false: it is not there, or busy, wired or on loan
 */
bool	ts_add(struct ts_cluster *, struct proc *, int page);
/* => uvm_swap_put() of what was added; the slots that are left are freed */
int	ts_write(struct ts_cluster *, int flags);
/* => one page, and waits for it: freed if it is clean, else written.  false: not now */
bool	ts_pageout(struct proc *, int page);

/* => the slot that the page's owner has; is the page in memory, is it clean? */
int	ts_slot(struct proc *, int page);
bool	ts_resident(struct proc *, int page);
bool	ts_clean(struct proc *, int page);
/* => the counters */
struct uvmexp *ts_exp(void);

/* => called once, by the next LWP that waits for a transfer, before it goes on */
extern void (*ts_reading)(void);

#endif /* TSWAP_H */
