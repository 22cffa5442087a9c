/*
 * Kernel memory for pools, kmem(9) and page tables: frames without addresses.
 *
 * The kernel reaches RAM through the direct map: a frame's host address is its
 * kernel address.  So pools and kmem(9) need frames only, no kernel mappings
 * and no map entries: whole pages, PQ_PRIVATE, on no queue.
 *
 * Who may wait says so.  An allocation that may not takes the reserve instead
 * (R35).  One that may waits for the page daemon for as long as it takes; when
 * there is nothing to reclaim it pauses between its tries, for then only a
 * process that ends can help.  Of that process itself it takes the reserve, too.
 */
#include <host/host.h>
#include <sys/bug.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_proc.h>

#define	KM_PAUSE_NS	10000000

/* => the page of a direct-mapped kernel address. */
static struct vm_page *
uvm_km_page(const void *va)
{
	uint64_t pa = (uint64_t)((const uint8_t *)va - ram_base);

	KASSERT((pa & PAGE_MASK) == 0);
	KASSERT(atop(pa) < uvm.npages);
	return PHYS_TO_VM_PAGE(pa);
}

/*
 * => memory was short: wait until it is worth another try.  No lock held.
 */
static void
uvm_km_wait(void)
{
	/* Not kpause(): a map may be locked, whose entries are to be split. */
	if (!uvm_reclaimable()) {
		mutex_spin_enter(&uvm_fpageqlock);
		mtsleep(&kernel_map, true, "kmnomem", KM_PAUSE_NS, &uvm_fpageqlock);
	}
	uvm_wait("kmwait");
}

int
uvm_km_reserve(bool waitok)
{
	int flags = curlwp->l_givesback ? UVM_PGA_LAST : 0;

	if (proc_dying())
		return flags | UVM_PGA_USERESERVE | UVM_PGA_LAST;
	return waitok ? flags : flags | UVM_PGA_USERESERVE;
}

/*
 * => waitok: no lock held, never NULL; else any context to IPL_VM, from the reserve.
 */
static void *
uvm_km_pool_alloc(struct pool *pp, int flags)
{
	bool waitok = (flags & PR_WAITOK) != 0;
	struct vm_page *pg;

	while ((pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | uvm_km_reserve(waitok))) == NULL) {
		if (!waitok)
			return NULL;
		uvm_km_wait();
	}
	return ram_host(VM_PAGE_TO_PHYS(pg));
}

/*
 * => thread context, no lock held.
 */
static void
uvm_km_pool_free(struct pool *pp, void *va)
{
	struct vm_page *pg = uvm_km_page(va);

	KASSERT((pg->pqflags & PQ_PRIVATE) != 0);
	uvm_pagefree(pg);
}

const struct pool_allocator pool_allocator_kmem = {
	.pa_alloc = uvm_km_pool_alloc,
	.pa_free = uvm_km_pool_free,
	.pa_pagesz = PAGE_SIZE,
};

/* --- pages with an address in kmem_map --- */

/*
 * => waitok: no lock held, never NULL; else any context to IPL_VM.
 */
static void *
uvm_km_map_pool_alloc(struct pool *pp, int flags)
{
	void *page = uvm_km_pool_alloc(pp, flags);
	vaddr_t va;

	if (page == NULL)
		return NULL;
	while ((va = uvm_km_alloc(kmem_map, PAGE_SIZE, 0,
	    UVM_KMF_VAONLY | UVM_KMF_NOWAIT | UVM_KMF_QUANTUM)) == 0) {
		if ((flags & PR_WAITOK) == 0) {
			uvm_km_pool_free(pp, page);
			return NULL;
		}
		pool_drain_all();		/* somebody's idle pages have addresses too */
		kpause("kmemva", KM_PAUSE_NS);
	}
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(uvm_km_page(page)), VM_PROT_READ | VM_PROT_WRITE);
	uvm_km_page(page)->offset = (voff_t)va;		/* it has no owner that would use it */
	return page;
}

/*
 * => any context to IPL_VM, no lock held that ranks above kmem_map's; does not sleep, and
 *    needs no memory (R41).
 */
static void
uvm_km_map_pool_free(struct pool *pp, void *page)
{
	struct vm_page *pg = uvm_km_page(page);
	vaddr_t va = (vaddr_t)pg->offset;
	paddr_t pa;

	KASSERTMSG(pmap_extract(pmap_kernel(), va, &pa) && pa == VM_PAGE_TO_PHYS(pg),
	    "I-MAP-12: page of pool memory is not mapped at its address %#lx", (unsigned long)va);
	pg->offset = 0;
	pmap_kremove(va, PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_km_free(kmem_map, va, PAGE_SIZE, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	uvm_km_pool_free(pp, page);
}

const struct pool_allocator pool_allocator_kmem_map = {
	.pa_alloc = uvm_km_map_pool_alloc,
	.pa_free = uvm_km_map_pool_free,
	.pa_pagesz = PAGE_SIZE,
	.pa_intrfree = true,
};

vaddr_t
uvm_km_pool_va(const void *item)
{
	uintptr_t in = (uintptr_t)item & PAGE_MASK;

	return (vaddr_t)uvm_km_page((const uint8_t *)item - in)->offset + in;
}

/*
 * => KM_SLEEP: no lock held, never NULL.  A run longer than memory is a panic.
 */
static void *
uvm_km_alloc_pages(size_t npages, km_flag_t flags)
{
	bool waitok = flags == KM_SLEEP;
	struct vm_page *pg;

	while (uvm_pglistalloc(npages, &pg, waitok, uvm_km_reserve(waitok)) != 0) {
		if (!waitok)
			return NULL;
		if (npages >= uvm.npages)
			panic("kmem: %zu contiguous pages of %llu", npages,
			    (unsigned long long)uvm.npages);
		uvm_km_wait();
	}
	return ram_host(VM_PAGE_TO_PHYS(pg));
}

static void
uvm_km_free_pages(void *va, size_t npages)
{
	uvm_pglistfree(uvm_km_page(va), npages);
}

const struct kmem_backend uvm_kmem_backend = {
	.kb_alloc = uvm_km_alloc_pages,
	.kb_free = uvm_km_free_pages,
};

static struct vm_page *
ptp_page(void)
{
	const int reserve = BUG(ptp_no_reserve) ? 0 : UVM_PGA_USERESERVE;	/* R35 */

	return uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | UVM_PGA_ZERO | reserve);
}

/* => pages that there are for a page table, and how many were ever freed */
static uint64_t
ptp_reserve(uint64_t *nfreed)
{
	uint64_t n;

	mutex_spin_enter(&uvm_fpageqlock);
	*nfreed = uvm.nfreed;
	n = uvm.free > uvm.reserve_pagedaemon ? uvm.free - uvm.reserve_pagedaemon : 0;
	mutex_spin_exit(&uvm_fpageqlock);
	return n;
}

/* => there was no page: one that has come meanwhile; NULL: then nobody may have any but the daemon */
static struct vm_page *
ptp_page_again(void)
{
	uint64_t before, after, left;
	struct vm_page *pg;

	(void)ptp_reserve(&before);
	pg = ptp_page();
	left = ptp_reserve(&after);
	KASSERTMSG(pg != NULL || left == 0 || before != after,
	    "R35: no page for a page table, and %lu are in reserve", (unsigned long)left);
	return pg;
}

/*
 * => any context to IPL_VM, the pmap's lock may be held; never sleeps.
 */
struct vm_page *
uvm_km_ptpalloc(void)
{
	struct vm_page *pg = ptp_page();

	if (pg == NULL)
		pg = ptp_page_again();
	if (pg != NULL)
		__atomic_fetch_add(&uvm.ptpages, 1, __ATOMIC_RELAXED);
	return pg;
}

/*
 * => no walker can reach the page any more.
 */
void
uvm_km_ptpfree(struct vm_page *pg)
{
	KASSERT((pg->pqflags & PQ_PRIVATE) != 0);
	__atomic_fetch_sub(&uvm.ptpages, 1, __ATOMIC_RELAXED);
	uvm_pagefree(pg);
}

bool
uvm_km_memory_low(void)
{
	/* relaxed: a glance */
	return __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) <= uvm.reserve_kernel;
}

uint64_t
uvm_km_pages(void)
{
	return uvm_gauge(UVMG_kernpages) - __atomic_load_n(&uvm.ptpages, __ATOMIC_RELAXED);
}
