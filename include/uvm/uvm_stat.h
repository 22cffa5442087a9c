/*
 * uvmexp: what UVM counts.  Event counters live per CPU and are only exact when
 * nothing runs; the gauges are read under their locks.
 */
#ifndef UVM_UVM_STAT_H
#define UVM_UVM_STAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/cpu.h>
#include <uvm/uvm_object.h>

enum uvm_counter {
#define	UVM_COUNTER(name, text)	UVMC_##name,
#include <uvm/uvm_counters.def>
#undef UVM_COUNTER
	UVMC_COUNT
};
extern const char *const uvm_counter_name[UVMC_COUNT];
extern const char *const uvm_counter_text[UVMC_COUNT];

#define	UVM_LATENCY_SAMPLE	16	/* faults for one that is timed */
#define	UVM_LATENCY_BUCKETS	512

/* Pages by what owns them, counted by the CPU that gives or takes them: one CPU's share may be negative. */
enum uvm_gauge {
	UVMG_anonpages,				/* with PQ_ANON */
	UVMG_filepages, UVMG_aobjpages,		/* tabled, by kind of owner */
	UVMG_kernpages,				/* PQ_PRIVATE */
	UVMG_COUNT
};

/* Per-CPU part of UVM, ci_uvm.  !: only the LWP that holds the CPU; read by reports. */
struct uvm_cpu {
	struct pglist	uc_pgfl;		/* ! at IPL_VM: its own free pages (uvm_pgflcache.c) */
	uint32_t uc_npgfl;			/* ! at IPL_VM, read @: how many */
	kmutex_t uc_intentlock;			/* LC_pgintent */
	struct pglist	uc_intents;		/* uc_intentlock: pages to become active (uvm_pgintent.c) */
	uint32_t uc_nintents;			/* uc_intentlock, read @: how many */
	uint64_t uc_gauge[UVMG_COUNT];		/* ! likewise; modulo 2^64 */
	uint64_t uc_count[UVMC_COUNT];		/* ! relaxed atomic stores, so reports may read */
	uint32_t uc_latency[UVM_LATENCY_BUCKETS];	/* ! read at rest */
	uint64_t uc_latency_max;		/* ! */
	unsigned uc_traps;			/* ! counts to the next one sampled */
};

/* => of CPU i */
static inline struct uvm_cpu *
uvm_cpu(int i)
{
	return cpus[i].ci_uvm;
}

/* => count one event on the current CPU; an interrupt may count too. */
#define	UVMCNT_ADD(name, n)							\
	host_count(&((struct uvm_cpu *)curcpu()->ci_uvm)->uc_count[UVMC_##name], (uint64_t)(n))
#define	UVMCNT(name)	UVMCNT_ADD(name, 1)
/* => a gauge goes up by n, or down by -n, on the current CPU */
#define	UVMGAUGE(gauge, n)							\
	host_count(&((struct uvm_cpu *)curcpu()->ci_uvm)->uc_gauge[gauge], (uint64_t)(int64_t)(n))
/* => the sum over all CPUs, never below 0; exact at rest */
uint64_t uvm_gauge(enum uvm_gauge);

/*
 * How long faults take, from trap to return: one in UVM_LATENCY_SAMPLE of each CPU.
 * Buckets are eighths of powers of two, so a percentile is right to an eighth.
 */
#define	UVM_LATENCY_OCTAVES	40
struct uvm_latency {
	uint64_t ul_n;				/* faults sampled */
	uint64_t ul_octave[UVM_LATENCY_OCTAVES];	/* [k]: 2^k to 2^(k+1) ns; the first from 0, the last and above */
	uint64_t ul_p50, ul_p90, ul_p99, ul_p999, ul_max;	/* ns */
};
void	uvm_latency_note(uint64_t ns);
void	uvm_latency_get(struct uvm_latency *);
/* => is the fault that now begins one of the sample? */
bool	uvm_latency_sampled(void);

/* A snapshot. */
struct uvmexp {
	uint64_t count[UVMC_COUNT];
	/* gauges, in pages */
	uint64_t npages, free, active, inactive, wired, paging, anonpages, filepages,
		 aobjpages, ptpages, kernpages, busy, orphans;
	uint64_t reserve_pagedaemon, reserve_kernel, freemin, freetarg, inactarg, wiredmax;
	uint64_t nswapdev;			/* devices */
	uint64_t swpages, swpgavail, swpginuse, swpgonly, npgbad;	/* slots (uvm-spec 9.5) */
	/* gauges, objects alive */
	uint64_t nanon, namap, nmapent, nvmspace, nvnode, naobj;
};
/*
 * For a thread that is no LWP: what a progress line shows, without a lock.
 * => any thread; each number for itself is one that was true
 */
struct uvm_glance {
	uint64_t ug_faults, ug_free, ug_npages, ug_active, ug_inactive, ug_wired;
};
void	uvm_stat_glance(struct uvm_glance *);
void	uvm_stat_get(struct uvmexp *);
int	uvm_stat_init(void);		/* boot, after kern_boot(): ci_uvm; 0 or ENOMEM of the host */
void	uvm_stat_fini(void);

#endif /* UVM_UVM_STAT_H */
