/*
 * uvmexp: event counters per CPU, gauges under their locks.
 *
 * A counter is written only by the LWP that holds its CPU, with a relaxed
 * store; a report adds up what it sees and is exact when nothing runs.
 */
#include <host/host.h>
#include <string.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_swap.h>

#define	UVM_COUNTER(name, text)	#name,
const char *const uvm_counter_name[UVMC_COUNT] = {
#include <uvm/uvm_counters.def>
};
#undef UVM_COUNTER
#define	UVM_COUNTER(name, text)	text,
const char *const uvm_counter_text[UVMC_COUNT] = {
#include <uvm/uvm_counters.def>
};
#undef UVM_COUNTER

/* One per CPU, a cache line apart. */
struct uvm_cpu_line {
	struct uvm_cpu	ul_cpu;
} __attribute__((aligned(64)));

static struct uvm_cpu_line *uvm_cpus;	/* : array of ncpu */

int
uvm_stat_init(void)
{
	KASSERT(uvm_cpus == NULL);
	uvm_cpus = host_mem_map((size_t)ncpu * sizeof(*uvm_cpus));
	if (uvm_cpus == NULL)
		return ENOMEM;
	for (int i = 0; i < ncpu; i++)
		cpus[i].ci_uvm = &uvm_cpus[i].ul_cpu;
	return 0;
}

/*
 * => nothing counts any more.
 */
void
uvm_stat_fini(void)
{
	for (int i = 0; i < ncpu; i++)
		cpus[i].ci_uvm = NULL;
	host_mem_unmap(uvm_cpus, (size_t)ncpu * sizeof(*uvm_cpus));
	uvm_cpus = NULL;
}

uint64_t
uvm_gauge(enum uvm_gauge g)
{
	uint64_t n = 0;

	/* relaxed: pairs with UVMGAUGE() on that CPU */
	for (int i = 0; i < ncpu; i++)
		n += __atomic_load_n(&uvm_cpus[i].ul_cpu.uc_gauge[g], __ATOMIC_RELAXED);
	return (int64_t)n < 0 ? 0 : n;		/* read while a page went from one CPU to another */
}

/* => takes pageq, then fpageq: the page gauges belong to one moment. */
static void
uvm_stat_pages(struct uvmexp *ue)
{
	uint64_t others;

	uvm_lock_pageq();
	uvm_pgintent_realise();
	mutex_spin_enter(&uvm_fpageqlock);
	ue->npages = uvm.npages;
	ue->free = uvm.free + uvm_pgflcache_count();
	ue->active = uvm.active;
	ue->inactive = uvm.inactive;
	ue->wired = uvm.wired;
	ue->orphans = uvm.orphans;
	ue->paging = uvm.paging;
	ue->kernpages = uvm_gauge(UVMG_kernpages);
	ue->inactarg = uvm.inactarg;
	mutex_spin_exit(&uvm_fpageqlock);
	uvm_unlock_pageq();
	/* I-STAT-1: what is on no queue, not wired and not the kernel's is in somebody's hands.
	 * Orphans are on loan to the kernel, hence wired (R6): counted already.  A page that went from one
	 * CPU's free pages to another's meanwhile may be counted twice. */
	others = ue->free + ue->active + ue->inactive + ue->wired + ue->kernpages;
	ue->busy = others < ue->npages ? ue->npages - others : 0;
	ue->anonpages = uvm_gauge(UVMG_anonpages);
	ue->filepages = uvm_gauge(UVMG_filepages);
	ue->aobjpages = uvm_gauge(UVMG_aobjpages);
	/* relaxed: pairs with the changes under the pmaps' locks */
	ue->ptpages = __atomic_load_n(&uvm.ptpages, __ATOMIC_RELAXED);
	ue->reserve_pagedaemon = uvm.reserve_pagedaemon;
	ue->reserve_kernel = uvm.reserve_kernel;
	ue->freemin = uvm.freemin;
	ue->freetarg = uvm.freetarg;
	ue->wiredmax = uvm.wiredmax;
}

/*
 * => no VM lock held.
 */
void
uvm_stat_get(struct uvmexp *ue)
{
	memset(ue, 0, sizeof(*ue));
	for (int i = 0; i < ncpu; i++) {
		/* relaxed: pairs with UVMCNT_ADD() on that CPU */
		for (int c = 0; c < UVMC_COUNT; c++)
			ue->count[c] += __atomic_load_n(&uvm_cpus[i].ul_cpu.uc_count[c],
			    __ATOMIC_RELAXED);
	}
	uvm_stat_pages(ue);
	uvm_swap_getstat(ue);
	ue->nanon = uvm_anon_count();
	ue->namap = amap_count();
	ue->nmapent = uvm_mapent_count();
	ue->nvmspace = vmspace_count();
	ue->nvnode = vnode_count();
	ue->naobj = uao_count();
}

void
uvm_stat_glance(struct uvm_glance *ug)
{
	ug->ug_faults = 0;
	/* relaxed: pairs with UVMCNT_ADD(), and with the stores to the gauges under fpageq or pageq */
	for (int i = 0; i < ncpu; i++)
		ug->ug_faults += __atomic_load_n(&uvm_cpus[i].ul_cpu.uc_count[UVMC_faults],
		    __ATOMIC_RELAXED);
	ug->ug_free = __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) + uvm_pgflcache_count();
	ug->ug_npages = uvm.npages;
	ug->ug_active = __atomic_load_n(&uvm.active, __ATOMIC_RELAXED) + uvm_pgintent_count();
	ug->ug_inactive = __atomic_load_n(&uvm.inactive, __ATOMIC_RELAXED);
	ug->ug_wired = __atomic_load_n(&uvm.wired, __ATOMIC_RELAXED);
}

/* --- how long faults take --- */

static struct uvm_cpu *
mycpu(void)
{
	return curcpu()->ci_uvm;
}

bool
uvm_latency_sampled(void)
{
	return ++mycpu()->uc_traps % UVM_LATENCY_SAMPLE == 0;
}

/* Eight buckets to a power of two; below 8 ns each its own. */
static unsigned
bucket_of(uint64_t ns)
{
	unsigned log = ns < 8 ? 0 : 61 - (unsigned)__builtin_clzll(ns);

	return log == 0 ? (unsigned)ns : log * 8 + (unsigned)(ns >> (log - 1)) % 8;
}

/* => the largest value of a bucket */
static uint64_t
bucket_top(unsigned bucket)
{
	unsigned log = bucket / 8;

	return log == 0 ? bucket : ((uint64_t)(bucket % 8 + 8 + 1) << (log - 1)) - 1;
}

void
uvm_latency_note(uint64_t ns)
{
	struct uvm_cpu *uc = mycpu();

	uc->uc_latency[bucket_of(ns)]++;
	if (ns > uc->uc_latency_max)
		uc->uc_latency_max = ns;
}

/* => smallest bucket top below which the share of all lies */
static uint64_t
percentile(const uint64_t *bucket, uint64_t n, double share)
{
	uint64_t want = (uint64_t)((double)n * share), seen = 0;

	for (unsigned b = 0; b < UVM_LATENCY_BUCKETS; b++) {
		seen += bucket[b];
		if (seen > want)
			return bucket_top(b);
	}
	return 0;
}

static unsigned
octave_of(unsigned bucket)
{
	const unsigned octave = 63 - (unsigned)__builtin_clzll(bucket_top(bucket) | 1);

	return octave < UVM_LATENCY_OCTAVES ? octave : UVM_LATENCY_OCTAVES - 1;
}

/* => nothing faults any more */
void
uvm_latency_get(struct uvm_latency *ul)
{
	uint64_t bucket[UVM_LATENCY_BUCKETS] = { 0 };

	memset(ul, 0, sizeof(*ul));
	for (int i = 0; i < ncpu; i++) {
		const struct uvm_cpu *uc = uvm_cpu(i);

		for (unsigned b = 0; b < UVM_LATENCY_BUCKETS; b++) {
			bucket[b] += uc->uc_latency[b];
			ul->ul_n += uc->uc_latency[b];
			ul->ul_octave[octave_of(b)] += uc->uc_latency[b];
		}
		if (uc->uc_latency_max > ul->ul_max)
			ul->ul_max = uc->uc_latency_max;
	}
	ul->ul_p50 = percentile(bucket, ul->ul_n, 0.5);
	ul->ul_p90 = percentile(bucket, ul->ul_n, 0.9);
	ul->ul_p99 = percentile(bucket, ul->ul_n, 0.99);
	ul->ul_p999 = percentile(bucket, ul->ul_n, 0.999);
}
