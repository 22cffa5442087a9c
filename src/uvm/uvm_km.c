/*
 * Kernel memory.
 *
 * The kernel reaches RAM through the direct map: a frame's host address is its
 * kernel address.  So pools and kmem(9) need frames only, no kernel mappings
 * and no map entries: whole pages, PQ_PRIVATE, on no queue.
 *
 * Who may wait says so.  An allocation that may not takes the reserve instead
 * (R35).  One that may waits for the page daemon for as long as it takes; when
 * there is nothing to reclaim it pauses between its tries, for then only a
 * process that gives up can help.
 *
 * kernel_map and its interrupt-safe submap kmem_map describe the kernel's
 * address space for faults: kmem_map has no entries, and a fault inside fails
 * before any map is locked (R33).
 */
#include <host/host.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_map.h>

#define	KMEM_MAP_SIZE	(64UL << 20)
#define	KM_PAUSE_NS	10000000

struct vm_map *kernel_map;
struct vm_map *kmem_map;

static struct vm_map kernel_map_store;	/* : */
static struct vm_map kmem_map_store;	/* : */

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
	if (!uvm_reclaimable())
		kpause("kmnomem", KM_PAUSE_NS);
	uvm_wait("kmwait");
}

/*
 * => waitok: no lock held, never NULL; else any context to IPL_VM, from the reserve.
 */
static void *
uvm_km_pool_alloc(struct pool *pp, int flags)
{
	bool waitok = (flags & PR_WAITOK) != 0;
	struct vm_page *pg;

	while ((pg = uvm_pagealloc(NULL, 0, NULL,
	    UVM_PGA_PRIVATE | (waitok ? 0 : UVM_PGA_USERESERVE))) == NULL) {
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

/*
 * => KM_SLEEP: no lock held, never NULL.  A run longer than memory is a panic.
 */
static void *
uvm_km_alloc_pages(size_t npages, km_flag_t flags)
{
	bool waitok = flags == KM_SLEEP;
	struct vm_page *pg;

	while (uvm_pglistalloc(npages, &pg, waitok, waitok ? 0 : UVM_PGA_USERESERVE) != 0) {
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

/*
 * => any context to IPL_VM, the pmap's lock may be held; never sleeps.
 */
struct vm_page *
uvm_km_ptpalloc(void)
{
	struct vm_page *pg;

	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | UVM_PGA_USERESERVE | UVM_PGA_ZERO);
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

uint64_t
uvm_km_pages(void)
{
	uint64_t n;

	mutex_spin_enter(&uvm_fpageqlock);
	n = uvm.kernpages;
	mutex_spin_exit(&uvm_fpageqlock);
	return n - __atomic_load_n(&uvm.ptpages, __ATOMIC_RELAXED);
}

/*
 * => boot, after uvm_map_init().
 */
void
uvm_km_init(void)
{
	vaddr_t start = VM_MIN_KERNEL_ADDRESS, end = start + KMEM_MAP_SIZE;
	int error;

	uvm_map_setup(&kernel_map_store, pmap_kernel(), VM_MIN_KERNEL_ADDRESS,
	    VM_MAX_KERNEL_ADDRESS, 0);
	kernel_map = &kernel_map_store;
	uvm_map_setup(&kmem_map_store, pmap_kernel(), start, end, VM_MAP_INTRSAFE);
	kmem_map = &kmem_map_store;
	error = uvm_map(kernel_map, &start, KMEM_MAP_SIZE, NULL, 0, 0,
	    UVM_MAPFLAG(VM_PROT_ALL, VM_PROT_ALL, MAP_INHERIT_NONE, UVM_ADV_RANDOM,
		UVM_FLAG_FIXED | UVM_FLAG_NOMERGE));
	if (error == 0)
		error = uvm_map_submap(kernel_map, start, end, kmem_map);
	if (error != 0)
		panic("cannot set up kmem_map: error %d", error);
}

/*
 * => shutdown: nobody faults any more.
 */
void
uvm_km_fini(void)
{
	uvm_unmap(kernel_map, VM_MIN_KERNEL_ADDRESS, VM_MAX_KERNEL_ADDRESS);
	uvm_map_teardown(kmem_map);
	uvm_map_teardown(kernel_map);
	kmem_map = kernel_map = NULL;
}
