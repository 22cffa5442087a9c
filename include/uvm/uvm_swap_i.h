/*
 * Swap's inside.  For src/uvm/uvm_swap*.c, the inspectors and the tests.
 */
#ifndef UVM_UVM_SWAP_I_H
#define UVM_UVM_SWAP_I_H

#include <bsd/sys/queue.h>
#include <stdint.h>
#include <sys/mutex.h>
#include <sys/rwlock.h>
#include <uvm/uvm_swap.h>

#define	SWF_INUSE	1		/* configured */
#define	SWF_ENABLE	2		/* slots may be allocated */

#define	SWAPDEV_SHIFT	24		/* slots to a device: 64 GB */

/* Every n-th transfer fails, for tests.  All fields: d, see below. */
struct swap_inject {
	unsigned	 si_every;	/* 0: none */
	unsigned	 si_count;
	int		 si_error;
};

/*
 *	d  uvm_swap_data_lock	s  swap_syscall_lock	:  stable while configured
 */
struct swapdev {
	int		 swd_dev;		/* : its number, from 1 */
	int		 swd_drumoffset;	/* : its first slot */
	int		 swd_npages;		/* : slots */
	int		 swd_fd;		/* : host file, owned */
	uint64_t	 swd_hostdev, swd_hostino;	/* : the host's name of the file, if it has one */
	char		 swd_path[64];		/* : */
	int		 swd_flags;		/* d: SWF_ */
	int		 swd_priority;		/* d+s: both to write */
	int		 swd_npginuse;		/* d: bits of swd_inuse */
	int		 swd_npgbad;		/* d: bits of swd_bad, which are in use too */
	int		 swd_hint;		/* d: slots are looked for from here on */
	int		 swd_inflight;		/* d: transfers that have not been cleaned up */
	uint64_t	*swd_inuse, *swd_bad;	/* d: bitmaps */
	struct swap_inject swd_inject[2];	/* d: of reads, of writes */
	TAILQ_ENTRY(swapdev) swd_next;		/* d */
};

/* What uvmexp shows; d to write, read @. */
struct swapcount {
	uint64_t	 sc_nswapdev, sc_swpages, sc_swpgavail, sc_swpginuse, sc_swpgonly,
			 sc_npgbad;
};

extern kmutex_t	 uvm_swap_data_lock;		/* LC_swdata: a leaf */
extern struct swapdev swap_devs[SWAP_MAXDEV];	/* by number - 1 */
extern struct swapcount swapcount;
TAILQ_HEAD(swaplist, swapdev);
extern struct swaplist swap_list;		/* d: best priority first; in each, next in turn first */

static inline bool
swap_bit(const uint64_t *map, int i)
{
	return (map[i / 64] >> (i % 64) & 1) != 0;
}

/* => the device that slot is of; slot > 0 and allocated, so the device stays */
struct swapdev *swapdev_of(int slot);
/* --- for uvm_swap_ctl.c; swdata locked --- */
void	swapdev_insert(struct swapdev *);	/* to the end of its priority's ring */
void	swapcount_add(uint64_t *, int n);

#endif /* UVM_UVM_SWAP_I_H */
