/*
 * Kernel address space: what uvm_km_alloc() gives can be used, and comes back.
 */
#include "tuvm.h"

#include <sys/inject.h>

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static uint64_t
kload(vaddr_t va)
{
	uint64_t value = 0;

	CHECK_EQ(kern_load(va, &value), 0);
	return value;
}

KTEST(wired_memory_is_there_at_once, "every page of a wired allocation is zero if asked, holds stores, takes no fault")
{
	vaddr_t va;
	uint64_t faults;

	tu_boot(2, 2048);
	va = uvm_km_alloc(kernel_map, 9 * PAGE_SIZE - 5, 0, UVM_KMF_WIRED | UVM_KMF_ZERO);
	CHECK(va != 0);
	faults = tu_count(UVMC_faults);
	for (int i = 0; i < 9; i++) {
		CHECK_EQ(kload(va + ptoa(i) + 8), 0);
		CHECK_EQ(kern_store(va + ptoa(i) + 8, (uint64_t)i), 0);
	}
	for (int i = 0; i < 9; i++)
		CHECK_EQ(kload(va + ptoa(i) + 8), i);
	CHECK_EQ(tu_count(UVMC_faults), faults);
	uvm_km_free(kernel_map, va, 9 * PAGE_SIZE - 5, UVM_KMF_WIRED);
	CHECK_EQ(kern_store(va, 1), EFAULT);
	/* frames that have been used */
	tu_exhaust();
	for (int i = 0; i < 32; i++)
		tu_release_one();
	for (int round = 0; round < 4; round++) {
		va = uvm_km_alloc(kernel_map, ptoa(16), 0, UVM_KMF_WIRED | UVM_KMF_ZERO | UVM_KMF_NOWAIT);
		CHECK(va != 0);
		for (int i = 0; i < 16; i++) {
			CHECK_EQ(kload(va + ptoa(i) + 64), 0);
			CHECK_EQ(kern_store(va + ptoa(i) + 64, 5), 0);
		}
		uvm_km_free(kernel_map, va, ptoa(16), UVM_KMF_WIRED);
	}
	tu_release();
	tu_shutdown();
}

KTEST(addresses_only_are_for_the_callers_own_mappings, "VAONLY maps nothing; what the caller enters shows")
{
	struct vm_page *pg;
	vaddr_t va;

	tu_boot(1, 2048);
	va = uvm_km_alloc(mb_map, 4 * PAGE_SIZE, 0, UVM_KMF_VAONLY);
	CHECK(va >= vm_map_min(mb_map) && va < vm_map_max(mb_map));
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | UVM_PGA_ZERO);
	pmap_kenter_pa(va + PAGE_SIZE, VM_PAGE_TO_PHYS(pg), VM_PROT_READ);
	CHECK_EQ(kload(va + PAGE_SIZE), 0);
	pmap_kremove(va, 4 * PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_pagefree(pg);
	uvm_km_free(mb_map, va, 4 * PAGE_SIZE, UVM_KMF_VAONLY);
	tu_shutdown();
}

KTEST_DEATH(a_fault_in_a_window_panics, "kernel memory that is not pageable takes no faults (uvm-spec 6.3)",
    "not pageable")
{
	uint64_t value;

	tu_boot(1, 2048);
	(void)kern_load(uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY), &value);
}

KTEST(pageable_memory_comes_by_faults, "PAGEABLE memory is anonymous: zero, then what was stored; its anons go with it")
{
	vaddr_t va;

	tu_boot(1, 2048);
	va = uvm_km_alloc(exec_map, 3 * PAGE_SIZE, 0, UVM_KMF_PAGEABLE);
	CHECK(va != 0);
	CHECK_EQ(uvm_anon_count(), 0);
	CHECK_EQ(kload(va + PAGE_SIZE), 0);
	CHECK_EQ(kern_store(va + PAGE_SIZE, 7), 0);
	CHECK_EQ(kload(va + PAGE_SIZE), 7);
	CHECK_EQ(uvm_anon_count(), 1);
	uvm_km_free(exec_map, va, 3 * PAGE_SIZE, UVM_KMF_PAGEABLE);
	CHECK_EQ(uvm_anon_count(), 0);
	tu_shutdown();
}

KTEST_DEATH(H5_pageable_memory_in_kernel_map_panics, "a fault there would allocate an anon with kernel_map locked",
    "map != kernel_map")
{
	tu_boot(1, 2048);
	(void)uvm_km_alloc(kernel_map, PAGE_SIZE, 0, UVM_KMF_PAGEABLE);
}

KTEST(wired_without_memory_is_refused_whole, "a wired allocation that cannot have all its pages has none")
{
	uint64_t before;
	vsize_t size;

	tu_boot(1, 1024);
	before = tu_free();
	size = kernel_map->size;
	CHECK_EQ(uvm_km_alloc(kernel_map, ptoa(2000), 0, UVM_KMF_WIRED | UVM_KMF_CANFAIL), 0);
	CHECK_EQ(uvm_km_alloc(kernel_map, ptoa(2000), 0, UVM_KMF_WIRED | UVM_KMF_NOWAIT), 0);
	pool_drain_all();
	CHECK(tu_free() + 16 >= before);		/* page tables stay */
	CHECK_EQ(kernel_map->size, size);
	tu_shutdown();
}

KTEST(R42_quantum_without_frames_is_undone_as_a_quantum, "a wired quantum that has merged and gets no frames leaves its neighbours as they were")
{
	vsize_t q;
	vaddr_t va[3];

	tu_boot(1, 1024);
	q = kernel_map->quantum;
	for (int i = 0; i < 3; i++)
		va[i] = uvm_km_alloc(kernel_map, q, 0, UVM_KMF_WIRED | UVM_KMF_QUANTUM);
	CHECK_EQ(kernel_map->nparked, 2);
	uvm_km_free(kernel_map, va[1], q, UVM_KMF_WIRED | UVM_KMF_QUANTUM);
	CHECK_EQ(kernel_map->nparked, 0);
	tu_take(uvm.npages, UVM_PGA_USERESERVE);
	CHECK_EQ(uvm_km_alloc(kernel_map, q, 0, UVM_KMF_WIRED | UVM_KMF_QUANTUM | UVM_KMF_NOWAIT), 0);
	CHECK_EQ(kernel_map->nparked, 0);
	tu_release();
	uvm_km_free(kernel_map, va[0], q, UVM_KMF_WIRED | UVM_KMF_QUANTUM);
	uvm_km_free(kernel_map, va[2], q, UVM_KMF_WIRED | UVM_KMF_QUANTUM);
	tu_shutdown();
}

/* Otherwise those who are killed for want of memory wait for it, and nobody gives any back. */
KTEST(R42_unmapping_does_not_wait_for_memory, "kernel addresses are given back with no page free but the reserve")
{
	vaddr_t va[64];

	tu_boot(1, 1024);
	/* of an entry of its own each: so many that their pool has no items left for reservations */
	for (int i = 0; i < 64; i++) {
		va[i] = uvm_km_alloc(kernel_map, 3 * PAGE_SIZE, 0, UVM_KMF_VAONLY);
		CHECK(va[i] != 0);
	}
	tu_take(uvm.npages, 0);
	for (int i = 0; i < 64; i++)		/* the middle first: one entry becomes two */
		uvm_unmap(kernel_map, va[i] + PAGE_SIZE, va[i] + 2 * PAGE_SIZE);
	tu_release();
	for (int i = 0; i < 64; i++) {
		uvm_unmap(kernel_map, va[i], va[i] + PAGE_SIZE);
		uvm_unmap(kernel_map, va[i] + 2 * PAGE_SIZE, va[i] + 3 * PAGE_SIZE);
	}
	tu_shutdown();
}

/* Where the reserve has nothing for the moment, because somebody else was faster. */
KTEST(R42_a_reservation_that_finds_none_waits_for_it, "who unmaps from the middle without an entry at hand gets two all the same")
{
	char why[80];
	vaddr_t va;

	tu_boot(1, 1024);
	va = uvm_km_alloc(kernel_map, 3 * PAGE_SIZE, 0, UVM_KMF_VAONLY);
	CHECK(va != 0);
	CHECK_EQ(inject_configure("pool-page:every=1", 1, why, sizeof(why)), 0);
	inject_start();
	/* of an entry of its own each: until there is none at hand */
	while (uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT) != 0)
		continue;
	CHECK(mb_map->size < vm_map_max(mb_map) - vm_map_min(mb_map));
	uvm_km_free(kernel_map, va + PAGE_SIZE, PAGE_SIZE, UVM_KMF_VAONLY);
	inject_stop();
	uvm_unmap(mb_map, vm_map_min(mb_map), vm_map_max(mb_map));
	uvm_km_free(kernel_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
	uvm_km_free(kernel_map, va + 2 * PAGE_SIZE, PAGE_SIZE, UVM_KMF_VAONLY);
	tu_shutdown();
}

static vaddr_t full_va;

static void
unmap_main(void *arg)
{
	TU_WAIT(tu_count(UVMC_map_vawaits) > 0);
	uvm_km_free(mb_map, full_va, PAGE_SIZE, UVM_KMF_VAONLY);
}

KTEST(T9_waitva_sleeps_until_addresses_are_free, "a full submap: NOWAIT gets nothing, WAITVA what somebody unmaps")
{
	vsize_t size;
	struct lwp *l;
	vaddr_t va;

	tu_boot(2, 2048);
	size = vm_map_max(mb_map) - vm_map_min(mb_map);
	full_va = uvm_km_alloc(mb_map, size, 0, UVM_KMF_VAONLY);
	CHECK_EQ(full_va, vm_map_min(mb_map));
	CHECK_EQ(uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT), 0);
	CHECK_EQ(lwp_create(&l, NULL, "unmap", unmap_main, NULL), 0);
	lwp_start(l);
	va = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA);
	CHECK_EQ(va, full_va);
	lwp_wait(l);
	uvm_km_free(mb_map, full_va, size, UVM_KMF_VAONLY);
	tu_shutdown();
}

static void
want_page(void *arg)
{
	(void)uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA);
}

KTEST_DEATH(I_SMP_8_addresses_come_and_nobody_is_woken, "a map that is unlocked with more room, and who sleeps for some not told, stops the machine",
    "I-SMP-8")
{
	struct lwp *l;

	tu_boot(2, 2048);
	CHECK(uvm_km_alloc(mb_map, vm_map_max(mb_map) - vm_map_min(mb_map), 0, UVM_KMF_VAONLY) != 0);
	CHECK_EQ(lwp_create(&l, NULL, "want", want_page, NULL), 0);
	lwp_start(l);
	TU_WAIT(tu_count(UVMC_map_vawaits) > 0);
	vm_map_lock(mb_map);
	mb_map->size -= PAGE_SIZE;		/* as if some had gone */
	vm_map_unlock(mb_map);
}

#define	SLEEPERS	8

static vaddr_t room[SLEEPERS];

static void
sleeper_main(void *arg)
{
	vsize_t n = 1 + (vsize_t)(uintptr_t)arg % 3;
	vaddr_t va = uvm_km_alloc(mb_map, ptoa(n), 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA);

	CHECK(va != 0);
	room[(uintptr_t)arg] = va;
}

KTEST(T9_every_sleeper_gets_through, "sleepers for 1 to 3 pages, addresses that come one page at a time (I-SMP-8)")
{
	vaddr_t min, max;
	struct lwp *l[SLEEPERS];

	tu_boot(4, 2048);
	min = vm_map_min(mb_map);
	max = vm_map_max(mb_map);
	CHECK_EQ(uvm_km_alloc(mb_map, max - min, 0, UVM_KMF_VAONLY), min);
	for (uintptr_t i = 0; i < SLEEPERS; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "sleeper", sleeper_main, (void *)i), 0);
		lwp_start(l[i]);
	}
	TU_WAIT(tu_count(UVMC_map_vawaits) >= SLEEPERS);
	for (vaddr_t va = min; va < min + ptoa(3 * SLEEPERS); va += PAGE_SIZE) {
		uvm_km_free(mb_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
		kpause("slow", 1000000);
	}
	for (int i = 0; i < SLEEPERS; i++)
		lwp_wait(l[i]);
	for (int i = 0; i < SLEEPERS; i++)
		for (int k = 0; k < i; k++)
			CHECK(room[i] != room[k]);
	uvm_unmap(mb_map, min, max);
	tu_shutdown();
}

KTEST_DEATH(I_KM_5_kernel_map_at_raised_ipl_panics, "sleepable kernel maps are not for raised levels", "ci_ilevel")
{
	tu_boot(1, 2048);
	(void)splvm();
	(void)uvm_km_alloc(kernel_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
}

KTEST_MAIN()
