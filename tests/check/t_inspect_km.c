/*
 * The inspector of kernel address space finds what it is for.
 */
#include "tinspect.h"

#define	END(ids)	TI_END(inspect_km, ids)

static vaddr_t va;

static void
begin(int flags)
{
	tm_boot(1, 2048);
	va = uvm_km_alloc(kernel_map, kernel_map->quantum, 0, flags);
	CHECK(va != 0);
	CHECK_EQ(inspect_km(), 0);
	tm_collect();
}

KTEST(I_PMAP_10_mapped_without_an_entry, "a kernel mapping that nobody has")
{
	struct vm_page *pg;

	begin(UVM_KMF_WIRED);
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	pmap_kenter_pa(va + ptoa(4), VM_PAGE_TO_PHYS(pg), VM_PROT_READ);
	CHECK_EQ(inspect_km(), 1);
	pmap_kremove(va + ptoa(4), PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_pagefree(pg);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_WIRED);
	END("I-PMAP-10");
}

KTEST(I_KM_1_a_wired_page_that_is_not_mapped, "kernel_object has a page that is mapped nowhere")
{
	paddr_t pa;

	begin(UVM_KMF_WIRED);
	CHECK(pmap_extract(pmap_kernel(), va, &pa));
	pmap_kremove(va, PAGE_SIZE);
	pmap_update(pmap_kernel());
	CHECK_EQ(inspect_km(), 1);
	pmap_kenter_pa(va, pa, VM_PROT_READ | VM_PROT_WRITE);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_WIRED);
	END("I-KM-1");
}

KTEST(I_KM_2_a_page_at_another_address, "a page of kernel_object is mapped where it does not belong")
{
	struct vm_page *pg;
	paddr_t pa;

	begin(UVM_KMF_WIRED);
	CHECK(pmap_extract(pmap_kernel(), va, &pa));
	pg = PHYS_TO_VM_PAGE(pa);
	pg->offset += (voff_t)ptoa(100);
	CHECK_EQ(inspect_km(), 1);
	pg->offset -= (voff_t)ptoa(100);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_WIRED);
	END("I-KM-2");
}

KTEST(I_MAP_11_too_few_parked_entries, "quanta merged, and the spare entry is gone")
{
	vaddr_t second;

	begin(UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	second = uvm_km_alloc(kernel_map, kernel_map->quantum, 0, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	CHECK_EQ(kernel_map->nparked, 1);
	kernel_map->nparked--;
	CHECK_EQ(inspect_km(), 1);
	kernel_map->nparked++;
	uvm_km_free(kernel_map, second, kernel_map->quantum, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	END("I-MAP-11");
}

KTEST(I_MAP_11_too_many_parked_entries, "an entry is kept for a border that is not there any more")
{
	begin(UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	kernel_map->nparked++;
	CHECK_EQ(inspect_km(), 1);
	kernel_map->nparked--;
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	END("I-MAP-11");
}

/* => a page entered at va by hand is complained of; then it is taken away */
static void
entered_by_hand(vaddr_t at, vm_prot_t prot)
{
	struct vm_page *pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);

	pmap_kenter_pa(at, VM_PAGE_TO_PHYS(pg), prot);
	CHECK_EQ(inspect_km(), 1);
	pmap_kremove(at, PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_pagefree(pg);
}

KTEST(I_PMAP_10_window_left_behind, "a window of phys_map, and one of kernel_map, that still map a page")
{
	vaddr_t window;

	begin(UVM_KMF_VAONLY);
	window = uvm_km_alloc(phys_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	entered_by_hand(window, VM_PROT_READ | VM_PROT_WRITE);
	uvm_km_free(phys_map, window, PAGE_SIZE, UVM_KMF_VAONLY);
	entered_by_hand(va, VM_PROT_READ);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY);
	END("I-PMAP-10 I-PMAP-10");
}

KTEST(I_PMAP_10_pageable_memory_by_kenter, "pageable memory mapped so that the page daemon cannot find it")
{
	vaddr_t pageable;

	begin(UVM_KMF_VAONLY);
	pageable = uvm_km_alloc(exec_map, PAGE_SIZE, 0, UVM_KMF_PAGEABLE);
	entered_by_hand(pageable, VM_PROT_READ);
	uvm_km_free(exec_map, pageable, PAGE_SIZE, UVM_KMF_PAGEABLE);
	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY);
	END("I-PMAP-10");
}

KTEST(I_KM_1_wired_memory_with_a_hole, "a frame of wired memory went, its addresses stayed")
{
	begin(UVM_KMF_WIRED);
	uvm_km_pgremove(kernel_map, va + PAGE_SIZE, va + 2 * PAGE_SIZE);
	CHECK_EQ(inspect_km(), 1);
	uvm_km_free(kernel_map, va, PAGE_SIZE, UVM_KMF_WIRED);
	uvm_km_free(kernel_map, va + PAGE_SIZE, PAGE_SIZE, UVM_KMF_VAONLY);
	uvm_km_free(kernel_map, va + 2 * PAGE_SIZE, kernel_map->quantum - 2 * PAGE_SIZE,
	    UVM_KMF_WIRED);
	END("I-KM-1");
}

/* --- kmem_map and its pools --- */

static struct pool *pl;
static void *item;

static void
begin_pool(void)
{
	tm_boot(1, 2048);
	pl = pool_create(1000, 0, "inspected", &pool_allocator_kmem_map, IPL_VM);
	item = pool_get(pl, PR_WAITOK);
	CHECK_EQ(inspect_km(), 0);
	tm_collect();
}

#define	END_POOL(ids) do {							\
	pool_put(pl, item);							\
	pool_destroy(pl);							\
	END(ids);								\
} while (0)

KTEST(I_KM_4_addresses_that_no_pool_has, "an address of kmem_map without a page, and not of any pool")
{
	begin_pool();
	va = uvm_km_alloc(kmem_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
	CHECK_EQ(inspect_km(), 2);
	uvm_km_free(kmem_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
	END_POOL("I-KM-4 I-KM-4");
}

KTEST(I_MAP_12_page_at_another_address, "a page of kmem_map that thinks it is elsewhere")
{
	struct vm_page *pg;
	paddr_t pa;

	begin_pool();
	CHECK(pmap_extract(pmap_kernel(), trunc_page(uvm_km_pool_va(item)), &pa));
	pg = PHYS_TO_VM_PAGE(pa);
	pg->offset += (voff_t)PAGE_SIZE;
	CHECK_EQ(inspect_km(), 1);
	pg->offset -= (voff_t)PAGE_SIZE;
	END_POOL("I-MAP-12");
}

KTEST(I_MAP_12_managed_mapping, "a mapping in kmem_map that the page daemon could take")
{
	struct vm_page *pg;
	vaddr_t at;
	paddr_t pa;

	begin_pool();
	at = trunc_page(uvm_km_pool_va(item));
	CHECK(pmap_extract(pmap_kernel(), at, &pa));
	pg = PHYS_TO_VM_PAGE(pa);
	pmap_kremove(at, PAGE_SIZE);
	CHECK_EQ(pmap_enter(pmap_kernel(), at, VM_PAGE_TO_PHYS(pg), VM_PROT_READ, PMAP_CANFAIL), 0);
	pmap_update(pmap_kernel());
	CHECK_EQ(inspect_km(), 1);
	pmap_remove(pmap_kernel(), at, at + PAGE_SIZE);
	pmap_update(pmap_kernel());
	pmap_kenter_pa(at, pa, VM_PROT_READ | VM_PROT_WRITE);
	END_POOL("I-MAP-12");
}

KTEST(I_MAP_12_object_in_an_interrupt_safe_map, "an entry of kmem_map with an object")
{
	struct vm_map_entry *e;

	begin_pool();
	e = kmem_map->header.next;
	e->object.uvm_obj = uvm_kernel_object;
	CHECK(inspect_km() >= 1);
	e->object.uvm_obj = NULL;
	pool_put(pl, item);
	pool_destroy(pl);
	CHECK(strstr(tm_seen, "I-MAP-12") != NULL);
	tm_shutdown();
}

KTEST_MAIN()
