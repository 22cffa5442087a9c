/*
 * Swap: where swap-backed pages go when memory is short (uvm-spec 9).
 *
 * Slots are numbered through all devices ("drum"): the upper bits are the device's
 * number, from 1, so slot 0 is in no device and means "none".  An owner (anon, or
 * index of an aobj) names its slot; the slot belongs to that owner alone (I-SWP-4).
 *
 *	owner's slot > 0, page resident		the page is PG_CLEAN if the slot has its data
 *	owner's slot > 0, no page		the data are in the slot only: swpgonly counts it
 *	owner's slot SWSLOT_BAD			they were lost to a read error: EIO
 */
#ifndef UVM_UVM_SWAP_H
#define UVM_UVM_SWAP_H

#include <stdbool.h>
#include <stdint.h>
#include <uvm/uvm_param.h>

struct vm_page;
struct uvmexp;

#define	SWSLOT_BAD	(-1)
#define	SWAP_MAXDEV	16

/*
 * Slots.  All take uvm_swap_data_lock (LC_swdata), a leaf: any owner lock and pageq may
 * be held; thread context; none sleeps.
 */

/*
 * => *n neighbouring slots of one enabled device, the first one's number; the best
 *    priority first, its devices in turn.  lessok: one slot if there are not so many in
 *    a row, *n says so.  0: there are none.
 */
int	uvm_swap_alloc(int *n, bool lessok);
/* => n slots from slot on, allocated; not 0 (I-SWP-8); SWSLOT_BAD is ignored.  The page, if
 *    there is one, is not PG_CLEAN any more (R34); if there is none: uvm_swap_pgonly(-1) first */
void	uvm_swap_free(int slot, int n);
/* => n slots with an I/O error stay allocated for ever: npgbad; their owners forget them */
void	uvm_swap_markbad(int slot, int n);
/* => the owners of n slots lost (n > 0) or got, or dropped the slot of (n < 0), their pages:
 *    swpgonly; called with the owner locked, while the page goes (I-SWP-2, B-6) */
void	uvm_swap_pgonly(int n);
/* => nearly all of swap has data that are nowhere else: paging out gains nothing */
bool	uvm_swapisfull(void);
/* => nearly all slots are in use, be it by pages that are in memory too */
bool	uvm_swapisfilled(void);

/*
 * Transfers.
 */

/*
 * => page BUSY|FAKE by the caller, no VM lock held above the map; sleeps, needs no memory.
 * => 0: the page has the slot's data, and swpgonly counts the slot no more.  EIO: likewise not
 *    counted, but the data are lost: the caller says uvm_swap_markbad(), sets the owner's slot to
 *    SWSLOT_BAD and frees the page.  Slot SWSLOT_BAD: EIO.
 */
int	uvm_swap_get(struct vm_page *, int slot);
/*
 * => n pages BUSY without mappings, dirty, on no queue, slot + i is the owner's of the i-th; no
 *    owner lock, no pageq.  Those PG_PAGEOUT are counted by uvm_pageout_start() already.
 * => flags 0: 0 "started", then pages are the completion's (R19), which may be over by now (T-79);
 *    or ENOMEM, and the completion has run with that error (C-12).  The caller touches no page again
 *    in either case.  PGO_SYNCIO: sleeps; the error of the transfer, after all clean-up.
 * Completion, for each page, with its owner locked: no error: PAGEOUT pages are freed, others
 *    become CLEAN and are activated.  Error: dirty, active, without slot; the slot is freed
 *    (ENOMEM) or bad: no byte is lost.  The owner died meanwhile: page, slot and anon are freed.
 *    Then uvm_pageout_done() for those that were PAGEOUT.
 */
int	uvm_swap_put(int slot, struct vm_page **, int n, int flags);
/* => the same, with a transfer from uvm_aio_get(): neither waits nor fails nor takes a lock of an
 *    owner; transfer and pages are the completion's (R19).  The page daemon's (I-PD-4) */
struct uvm_aio;
void	uvm_swap_put_aio(struct uvm_aio *, int slot, struct vm_page **, int n);

/*
 * Reconfiguration, as swapctl(2): one at a time; no VM lock held; sleeps.
 */
struct swapon_args {
	const char	*sa_path;	/* regular file of the host, or NULL: unlinked file of our own */
	const char	*sa_dir;	/* for that: NULL is uc_swapdir, $TMPDIR or /tmp */
	uint64_t	 sa_bytes;	/* for that: its size */
	int		 sa_priority;	/* smaller is better, from 0 */
};
/* => 0 and the device's number, or EINVAL (size, priority), ENXIO (no regular file), EBUSY (is in use
 *    already), ENOMEM (no room for another device), or the host's errno */
int	uvm_swap_on(const struct swapon_args *, int *devp);
/* => everything on it is read in; 0 and it is gone; ENXIO no such device, ENOMEM no memory for what
 *    is on it, EBUSY somebody's data could not be found: the device is in use again as before */
int	uvm_swap_off(int dev);
/* => a new priority; EINVAL, ENOENT */
int	uvm_swap_ctl(int dev, int priority);

/* A copy. */
struct swapent {
	int		 se_dev;
	bool		 se_enabled;
	int		 se_priority;
	int		 se_nblks;	/* slots */
	int		 se_inuse;
	int		 se_bad;
	char		 se_path[64];
};
/* => up to max devices, best priority first; how many were stored */
int	uvm_swap_stats(struct swapent *, int max);

/* => tests: every n-th page-in (write) of a device fails with EIO, ENOMEM...; 0: none */
void	uvm_swap_inject(int dev, unsigned read_every, unsigned write_every, int error);

/* --- for uvm_init.c, uvm_stat.c and the inspectors --- */

void	uvm_swap_init(void);
/* => bytes in so many devices of priorities 1.. in dir, which stays; 0 or errno */
int	uvm_swap_boot(uint64_t bytes, int ndev, const char *dir);
/* => nothing pages any more, all owners are gone: everything off; number of VIOL_LEAKs */
unsigned uvm_swap_fini(void);
void	uvm_swap_getstat(struct uvmexp *);

#endif /* UVM_UVM_SWAP_H */
