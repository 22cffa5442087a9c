/*
 * Boot and shutdown of the whole machine.
 *
 *	kernel floor	the caller becomes lwp0 on CPU 0
 *	counters, RAM, page structures
 *	machine		from here on pages can be allocated and zeroed
 *	pools, kmem, pmap's pools, disk
 *	maps, kernel_map; amaps, anons; pagers; processes
 *	page daemon, aiodone; swap
 *
 * Shutdown is the same backwards.  What did not come back is reported by the
 * module that owns it, and the frames themselves are counted last: every page
 * must be free.  Both may be done any number of times in one process.
 */
#include <machine/nic.h>
#include <sys/kernel.h>
#include <sys/mbuf.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_sosend.h>
#include <uvm/uvm_swap.h>

/*
 * Smallest memory: the daemon must be able to keep its target free, a CPU's
 * pool caches and reserves take some 64 pages, and the rest of the kernel and
 * one very small process some 128.
 */
uint64_t
uvm_memory_min(int n)
{
	return ptoa(128 + 64 * (uint64_t)n);
}

/* The trap: no translation in the page table. */
static int
uvm_trap(struct pmap *pmap, vaddr_t va, vm_prot_t access)
{
	struct vm_map *map = kernel_map;
	uint64_t start = 0;
	int error;

	if (pmap != pmap_kernel()) {
		struct proc *p = curlwp->l_proc;

		KASSERT(p != NULL);
		map = &p->p_vmspace->vm_map;
		KASSERT(map->pmap == pmap);
	}
	if (!cpu_intr_p() && uvm_latency_sampled())	/* its words are no interrupt's */
		start = host_now_ns();
	error = uvm_fault(map, trunc_page(va), access);
	if (start != 0)
		uvm_latency_note(host_now_ns() - start);
	/* a kernel would kill the process; relaxed: only whether it is the first time counts */
	if (error == ENOMEM && map != kernel_map &&
	    !__atomic_exchange_n(&curlwp->l_proc->p_nomem, true, __ATOMIC_RELAXED))
		UVMCNT(oomkills);
	return error;
}

/* RAM and its page structures; 0 or ENOMEM, then there is nothing. */
static int
uvm_boot_memory(uint64_t npages)
{
	int error;

	error = uvm_stat_init();
	if (error != 0)
		return error;
	error = ram_init(npages);
	if (error != 0)
		goto out_stat;
	error = uvm_page_init(npages);
	if (error != 0)
		goto out_ram;
	return 0;
out_ram:
	ram_fini();
out_stat:
	uvm_stat_fini();
	return error;
}

/* What is left once memory and machine are there; cannot fail. */
static void
uvm_boot_modules(const struct uvm_config *uc)
{
	kmem_init(&uvm_kmem_backend);
	pmap_init(&pool_allocator_kmem);
	disk_init(uc->uc_disk_latency, uc->uc_disk_anycpu, uc->uc_seed);
	device_init();
	nic_init(uc->uc_nic_latency);
	uvm_obj_boot();
	uvm_map_init();
	uvm_km_init();
	pool_setputmode(uc->uc_pool_reserve ? POOL_PUT_RESERVE : POOL_PUT_DEFER);
	mbinit(&pool_allocator_kmem_map);
	uvm_anon_init();
	uvm_amap_init();
	uvm_pager_init();
	uvm_swap_init();
	uao_init();
	udv_init();
	uvm_physio_init();
	uvm_glue_init();
	vnode_init();
	ubc_init(uc->uc_ubc_windows != 0 ? uc->uc_ubc_windows : UBC_NWINDOWS,
	    uc->uc_ubc_winshift != 0 ? uc->uc_ubc_winshift : UBC_WINSHIFT);
	uvm_proc_init();
	uvm_loan_init();
	uvm_sosend_init();
	uvm_pdaemon_init(uc->uc_pd_unmap_on_deactivate);
}

/*
 * => the calling thread is no LWP; on success it is lwp0, on CPU 0.
 */
int
uvm_boot(const struct uvm_config *uc)
{
	struct kern_config kc = {
		.kc_ncpu = uc->uc_ncpu,
		.kc_seed = uc->uc_seed,
		.kc_signals = uc->uc_signals,
		.kc_clock = uc->uc_clock, .kc_history = uc->uc_history, .kc_detail = uc->uc_detail,
		.kc_upcall = { .cpu_switch = machine_cpu_switch, .userret = uvm_uarea_userret },
	};
	struct machine_config mc = {
		.mc_software_rm = uc->uc_software_rm,
		.mc_ptp_steal = uc->uc_ptp_steal,
		.mc_upcall = {
			.mu_fault = uvm_trap,
			.mu_ptp_alloc = uvm_km_ptpalloc,
			.mu_ptp_free = uvm_km_ptpfree,
			.mu_memory_low = uvm_km_memory_low,
		},
	};
	int error;

	if (uc->uc_ncpu < 1 || uc->uc_ncpu > MAXCPUS ||
	    uc->uc_memory < uvm_memory_min(uc->uc_ncpu))
		return EINVAL;
	error = kern_boot(&kc);
	if (error != 0)
		return error;
	error = uvm_boot_memory(atop(uc->uc_memory));
	if (error != 0)
		goto out_kern;
	error = machine_boot(&mc);
	if (error != 0)
		goto out_memory;
	uvm_fault_ahead = uc->uc_fault_ahead;
	uvm_boot_modules(uc);
	error = uvm_swap_boot(uc->uc_swap, uc->uc_swapdevs > 0 ? uc->uc_swapdevs : 1, uc->uc_swapdir);
	if (error != 0)
		uvm_shutdown();
	return error;
out_memory:
	uvm_page_fini();
	ram_fini();
	uvm_stat_fini();
out_kern:
	kern_shutdown();
	return error;
}

#define	QUIESCE_STEP_NS	1000000
#define	QUIESCE_STEPS	20000

bool
uvm_quiesce(void)
{
	for (int i = 0; i < QUIESCE_STEPS; i++) {
		rcu_barrier();
		/* in this order: a transfer that ends may wake the daemon, not the other way */
		if (nic_idle() && uvm_sosend_idle() && uvm_aio_idle() && uvm_pdaemon_idle() && uvm_aio_idle())
			return true;
		kpause("quiesce", QUIESCE_STEP_NS);
	}
	return false;
}

/*
 * => caller is lwp0; no process, vnode or aobj is left, no other LWP but the daemons.
 * => number of things that did not come back, each reported as VIOL_LEAK.
 */
unsigned
uvm_shutdown(void)
{
	unsigned leaks;

	uvm_pdaemon_fini();
	rcu_barrier();				/* processes and vnodes that were dropped */
	leaks = (unsigned)(proc_count() + vnode_count() + uao_count() + udv_count());
	uvm_glue_fini();
	uvm_physio_fini();
	uvm_proc_fini();
	uvm_loan_fini();
	uvm_sosend_fini();
	ubc_fini();
	vnode_fini();
	uao_fini();
	udv_fini();
	leaks += uvm_swap_fini();
	uvm_pager_fini();
	leaks += (unsigned)(amap_count() + uvm_anon_count());
	uvm_amap_fini();
	uvm_anon_fini();
	mbfini();
	uvm_km_fini();
	leaks += (unsigned)uvm_mapent_count();
	uvm_map_fini();
	nic_fini();
	device_fini();
	disk_fini();
	pool_drain_all();
	machine_shutdown();
	kmem_fini();
	leaks += uvm_page_fini();
	ram_fini();
	uvm_stat_fini();
	kern_shutdown();
	return leaks;
}
