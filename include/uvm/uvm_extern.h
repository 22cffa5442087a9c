/*
 * What UVM offers outward: boot, shutdown, processes and system calls, files,
 * shared memory, statistics.
 */
#ifndef UVM_UVM_EXTERN_H
#define UVM_UVM_EXTERN_H

#include <stdbool.h>
#include <stdint.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_bio.h>
#include <uvm/uvm_device.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_physio.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_sosend.h>
#include <uvm/uvm_stat.h>
#include <uvm/uvm_swap.h>
#include <uvm/uvm_vnode.h>
#include <uvm/uvm_vslock.h>

/* Read at boot; uc_swapdir is not copied: it stays. */
struct uvm_config {
	int		uc_ncpu;
	uint64_t	uc_seed;
	uint64_t	uc_memory;		/* bytes of simulated RAM */
	bool		uc_software_rm;		/* R/M bits emulated by faults */
	bool		uc_ptp_steal;		/* no page table page: take another process' */
	bool		uc_fault_ahead;		/* map resident neighbours too */
	uint64_t	uc_swap;		/* bytes of swap; 0: none */
	int		uc_swapdevs;		/* in so many devices, priorities 1, 2, ...; 0: one */
	bool		uc_pool_reserve;	/* PR 24039: pool_put gives pages back (pool.h) */
	bool		uc_signals;		/* interrupts by host signal, see kc_signals */
	uint64_t	uc_history;		/* events that each CPU remembers, see kc_history */
	bool		uc_detail;		/* of all kinds, see kc_detail */
	unsigned	uc_clock;		/* steps between two ticks of a CPU's clock, see kc_clock */
	uint64_t	uc_disk_latency;	/* ns of the machine's time that a request takes; 0: none */
	bool		uc_disk_anycpu;		/* completions on any CPU, not the submitter's */
	uint64_t	uc_nic_latency;		/* ns of the machine's time that a packet takes */
	const char	*uc_swapdir;		/* their files' folder; NULL: $TMPDIR or /tmp */
	bool		uc_pd_unmap_on_deactivate;	/* the page daemon of before 1999, to compare */
	int		uc_ubc_windows;		/* UBC's windows; 0: UBC_NWINDOWS */
	int		uc_ubc_winshift;	/* and their size; 0: UBC_WINSHIFT */
};

/*
 * Boots the whole machine, bottom up: kernel floor, RAM, page structures,
 * pmap, pools, maps, daemons.
 * => the caller becomes lwp0 on CPU 0.  0, or ENOMEM of the host, EINVAL (memory too small), ENOTSUP
 *    (uc_signals), or what the host says to a swap file.
 */
int	uvm_boot(const struct uvm_config *);
/*
 * => no process, vnode or aobj is left.  Stops the daemons, gives everything back
 *    and reports VIOL_LEAK for every page, anon, amap, map entry or pool item that
 *    did not come back.  Returns the number of leaks.  The caller is no LWP after it.
 */
unsigned uvm_shutdown(void);

/*
 * => the caller is an LWP, all others that work for processes have ended or sleep for good.
 *    Sleeps until the page daemon, write-back and everything deferred has come to rest;
 *    false: it does not (then somebody leaked a pageout, or a transfer was lost).
 */
bool	uvm_quiesce(void);

/* => smallest uc_memory for so many CPUs, in bytes. */
uint64_t uvm_memory_min(int ncpu);

#endif /* UVM_UVM_EXTERN_H */
