/*
 * The inspector of kernel address space finds what it is for.
 */
#include "tmap.h"

#include <string.h>

#include "inspect_int.h"

#define	END(ids) do {								\
	CHECK_STR(tm_seen, ids);						\
	CHECK_EQ(inspect_km(), 0);						\
	tm_shutdown();								\
} while (0)

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

KTEST_MAIN()
