/*
 * uvmexp: what UVM counts.  Event counters live per CPU and are only exact when
 * nothing runs; the gauges are read under their locks.
 */
#ifndef UVM_UVM_STAT_H
#define UVM_UVM_STAT_H

#include <stdint.h>
#include <sys/cpu.h>

enum uvm_counter {
#define	UVM_COUNTER(name, text)	UVMC_##name,
#include <uvm/uvm_counters.def>
#undef UVM_COUNTER
	UVMC_COUNT
};
extern const char *const uvm_counter_name[UVMC_COUNT];
extern const char *const uvm_counter_text[UVMC_COUNT];

/* Per-CPU part of UVM, ci_uvm.  !: only the LWP that holds the CPU; read by reports. */
struct uvm_cpu {
	uint64_t uc_count[UVMC_COUNT];		/* ! relaxed atomic stores, so reports may read */
};

/* => count one event on the current CPU. */
#define	UVMCNT_ADD(name, n) do {						\
	uint64_t *uvmc_ = &((struct uvm_cpu *)curcpu()->ci_uvm)->uc_count[UVMC_##name]; \
	__atomic_store_n(uvmc_, __atomic_load_n(uvmc_, __ATOMIC_RELAXED) + (n),	\
	    __ATOMIC_RELAXED);							\
} while (0)
#define	UVMCNT(name)	UVMCNT_ADD(name, 1)

/* A snapshot. */
struct uvmexp {
	uint64_t count[UVMC_COUNT];
	/* gauges, in pages */
	uint64_t npages, free, active, inactive, wired, paging, anonpages, filepages,
		 aobjpages, ptpages, kernpages, busy, orphans;
	uint64_t reserve_pagedaemon, reserve_kernel, freemin, freetarg, inactarg, wiredmax;
	/* gauges, objects alive */
	uint64_t nanon, namap, nmapent, nvmspace, nvnode, naobj;
};
/*
 * For a thread that is no LWP: what a progress line shows, without a lock.
 * => any thread; each number for itself is one that was true
 */
struct uvm_glance {
	uint64_t ug_faults, ug_free, ug_npages;
};
void	uvm_stat_glance(struct uvm_glance *);
void	uvm_stat_get(struct uvmexp *);
int	uvm_stat_init(void);		/* boot, after kern_boot(): ci_uvm; 0 or ENOMEM of the host */
void	uvm_stat_fini(void);

#endif /* UVM_UVM_STAT_H */
