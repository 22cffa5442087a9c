/*
 * pmap(9) on one CPU: what pmap_enter() promises, and the kernel's own mappings,
 * which it does not make.
 */
#include "pmap_case.h"

/*
 * pmap_enter
 */

KTEST(the_same_page_with_fewer_rights_is_told_to_the_TLB,
    "an enter that takes rights from a mapping leaves them in no TLB")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	CHECK(user_store(VA, 1) == 0);
	CHECK((tlb_slot(curtlb(), VA)->te_rights & PTE_W) != 0);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, 0) == 0);
	pmap_update(pm);
	CHECK(pmap_check(pm) == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(R1_enter_fails_only_without_a_table_or_pv_entry,
    "enter fails only without a table or pv entry")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, PMAP_CANFAIL) == 0);	/* the pv pool has a page */
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	/* A first mapping needs four tables: with fewer it fails and leaves none (I-PMAP-9). */
	for (int supply = 0; supply < 4; supply++) {
		uint64_t before = fv_nfree();

		fv_ptp_supply = supply;
		CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, PMAP_CANFAIL) == ENOMEM);
		CHECK(mapped_to(VA, NULL));
		CHECK(!pmap_page_mapped(pg));
		CHECK(pmap_ptp_count(pm) == 0);
		CHECK(pmap_check(pm) == 0);
		CHECK(fv_nfree() == before);
	}
	fv_ptp_supply = 4;
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, PMAP_CANFAIL) == 0);
	CHECK(pmap_ptp_count(pm) == 4);
	/* Its neighbour needs none. */
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RO, PMAP_CANFAIL) == 0);
	/* The next leaf does. */
	CHECK(pmap_enter(pm, VA + (2UL << 20), fv_pa(pg), RO, PMAP_CANFAIL) == ENOMEM);
	fv_pv_exhaust();
	CHECK(pmap_enter(pm, VA + 2 * PAGE_SIZE, fv_pa(pg), RO, PMAP_CANFAIL) == ENOMEM);
	CHECK(mapped_to(VA, pg));
	fv_pv_relax();
	fv_ptp_supply = -1;
	pmap_remove(pm, VA, VA + 2 * PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

/* pmap_extract() of each page of a range, across two leaf tables and where there is none */
KTEST(mapped_says_of_each_page_what_extract_says,
    "mapped says of each page what extract says")
{
	const vaddr_t edge = VA + (2UL << 20);
	struct vm_page *pg;

	begin(false);
	pg = page_with(1);
	for (int table = 0; table < 2; table++) {	/* in the first leaf only, then in both */
		for (int i = table == 0 ? -5 : 1; i < (table == 0 ? 0 : 4); i += 2)
			CHECK(pmap_enter(pm, edge + i * (long)PAGE_SIZE, fv_pa(pg), RO, 0) == 0);
		for (int i = -6; i < 0; i++) {
			const vaddr_t va = edge + i * (long)PAGE_SIZE;
			const uint64_t set = pmap_mapped(pm, va, 12);

			CHECK(set < 1UL << 12);
			for (int k = 0; k < 12; k++)
				CHECK((set >> k & 1) == pmap_extract(pm, va + ptoa((vaddr_t)k), NULL));
		}
	}
	CHECK(pmap_mapped(pm, edge + 1 * PAGE_SIZE, 3) == 5);
	pmap_remove(pm, VA, edge + 4 * PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(R2_failed_enter_leaves_no_old_mapping,
    "failed enter leaves no old mapping")
{
	struct vm_page *old, *new;
	uint64_t val;

	begin(false);
	old = page_with(1);
	new = page_with(2);
	/* An unmanaged mapping has no pv entry that a managed one could take over. */
	pmap_kenter_pa(KVA, fv_pa(old), RW);
	CHECK(kern_load(KVA, &val) == 0);
	CHECK(val == 1);
	fv_pv_exhaust();
	CHECK(pmap_enter(pmap_kernel(), KVA, fv_pa(new), RO, PMAP_CANFAIL) == ENOMEM);
	pmap_update(pmap_kernel());
	/* I-PMAP-1 */
	CHECK(!pmap_extract(pmap_kernel(), KVA, NULL));
	CHECK(!pmap_page_mapped(new));
	CHECK(kern_load(KVA, &val) == EFAULT);
	CHECK(pmap_resident_count(pmap_kernel()) == 0);
	CHECK(pmap_wired_count(pmap_kernel()) == 0);
	CHECK(pmap_check(pmap_kernel()) == 0);
	fv_pv_relax();
	fv_free(old);
	fv_free(new);
	end();
}

KTEST(R4_replacement_reuses_table_and_pv_entry,
    "replacement reuses table and pv entry")
{
	struct vm_page *a, *b;

	begin(false);
	a = page_with(1);
	b = page_with(2);
	CHECK(pmap_enter(pm, VA, fv_pa(a), RO, RO | PMAP_CANFAIL) == 0);
	CHECK(load(VA) == 1);
	fv_pv_exhaust();
	fv_ptp_supply = 0;
	/* Without PMAP_CANFAIL: failure would be a panic. */
	CHECK(pmap_enter(pm, VA, fv_pa(b), RW, RW) == 0);
	pmap_update(pm);
	CHECK(load(VA) == 2);
	CHECK(!pmap_page_mapped(a));
	CHECK(pmap_page_mapped(b));
	/* Same frame again, wired: in place. */
	CHECK(pmap_enter(pm, VA, fv_pa(b), RW, PMAP_WIRED) == 0);
	CHECK(pmap_wired_count(pm) == 1);
	CHECK(pmap_enter(pm, VA, fv_pa(a), RO, PMAP_WIRED) == 0);
	pmap_update(pm);
	CHECK(load(VA) == 1);
	CHECK(pmap_resident_count(pm) == 1);
	CHECK(pmap_wired_count(pm) == 1);
	CHECK(pmap_check(pm) == 0);
	fv_ptp_supply = -1;
	fv_pv_relax();
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(a);
	fv_free(b);
	end();
}

/*
 * A R/O copy-on-write mapping is replaced by the promoted page while nothing
 * can be allocated: whatever pmap_enter() says, the old frame is not seen again.
 */
KTEST(T20_old_frame_is_not_read_after_promotion_in_shortage,
    "old frame is not read after promotion in shortage")
{
	struct vm_page *old, *new;
	uint64_t val;
	int error;

	begin(false);
	old = page_with(1);
	fv_pv_exhaust();
	fv_pv_relax();
	for (int i = 0; i < 32; i++) {
		vaddr_t va = VA + i * PAGE_SIZE;

		CHECK(pmap_enter(pm, va, fv_pa(old), RO, RO | PMAP_CANFAIL) == 0);
		CHECK(load(va) == 1);
		new = page_with(2);
		fv_pv_exhaust();
		fv_ptp_supply = 0;
		error = pmap_enter(pm, va, fv_pa(new), RW, RW | PMAP_CANFAIL);
		pmap_update(pm);
		if (user_load(va, &val) == 0)
			CHECK(val == 2);
		else
			CHECK(error == ENOMEM);
		fv_ptp_supply = -1;
		fv_pv_relax();
		pmap_remove(pm, va, va + PAGE_SIZE);
		pmap_update(pm);
		fv_free(new);
	}
	fv_free(old);
	end();
}

KTEST_DEATH(R28_shortage_without_canfail_panics,
    "shortage without canfail panics", "R28")
{
	begin(false);
	fv_ptp_supply = 0;
	(void)pmap_enter(pm, VA, fv_pa(fv_alloc()), RO, 0);
}

static void
R30(bool software_rm)
{
	struct vm_page *pg;
	struct pmap_stat st;

	begin(software_rm);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_CANFAIL) == 0);
	CHECK(!pmap_is_referenced(pg));
	CHECK(!pmap_is_modified(pg));
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RO | PMAP_CANFAIL) == 0);
	CHECK(pmap_is_referenced(pg));
	CHECK(!pmap_is_modified(pg));
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW | PMAP_CANFAIL) == 0);
	CHECK(pmap_is_modified(pg));
	/* Preset bits take no trap. */
	CHECK(user_store(VA, 1) == 0);
	pmap_getstat(&st);
	CHECK(st.rm_faults == 0);
	/* Bits that are clear are set by the access: by a trap, if emulated. */
	CHECK(pmap_clear_modify(pg));
	CHECK(pmap_clear_reference(pg));
	CHECK(!pmap_is_modified(pg));
	CHECK(!pmap_is_referenced(pg));
	CHECK(load(VA) == 1);
	CHECK(pmap_is_referenced(pg));
	CHECK(!pmap_is_modified(pg));
	CHECK(user_store(VA, 2) == 0);
	CHECK(pmap_is_modified(pg));
	pmap_getstat(&st);
	CHECK(st.rm_faults == (software_rm ? 2 : 0));
	CHECK(fv_faults == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(R30_access_type_presets_R_and_M,
    "access type presets R and M")
{
	R30(false);
}

KTEST(R30_access_type_presets_R_and_M_software_rm,
    "access type presets R and M software rm")
{
	R30(true);
}

KTEST_DEATH(R30_access_beyond_the_protection_panics,
    "access beyond the protection panics", "prot")
{
	begin(false);
	(void)pmap_enter(pm, VA, fv_pa(fv_alloc()), RO, RW | PMAP_CANFAIL);
}

/*
 * Kernel mappings
 */

KTEST(T31_kenter_window_shows_the_new_frame_after_update,
    "kenter window shows the new frame after update")
{
	struct vm_page *a, *b;
	uint64_t val;

	begin(true);
	a = page_with(1);
	b = page_with(2);
	for (int i = 0; i < 100; i++) {
		pmap_kenter_pa(KVA, fv_pa(i & 1 ? b : a), i & 2 ? RW : RO);
		CHECK(kern_load(KVA, &val) == 0);
		CHECK(val == (i & 1 ? 2 : 1));
		CHECK(kern_store(KVA, val) == (i & 2 ? 0 : EFAULT));
		/* R15's reason: page_protect and R/M know nothing of it. */
		CHECK(!pmap_page_mapped(a));
		CHECK(!pmap_is_modified(a));
		pmap_kremove(KVA, PAGE_SIZE);
		pmap_update(pmap_kernel());
		CHECK(kern_load(KVA, &val) == EFAULT);
	}
	/* A user's access to a kernel address is an error before it is a fault. */
	pmap_kenter_pa(KVA, fv_pa(a), RW);
	CHECK(kern_load(KVA, &val) == 0);
	CHECK(user_load(KVA, &val) == EFAULT);
	pmap_kremove(KVA, PAGE_SIZE);
	pmap_update(pmap_kernel());
	CHECK(pmap_check(pmap_kernel()) == 0);
	fv_free(a);
	fv_free(b);
	end();
}

KTEST(kenter_of_pages_goes_from_table_to_table,
    "a window over the end of a page table shows all of its pages")
{
	const vaddr_t va = KVA + (2UL << 20) - 2 * PAGE_SIZE;
	struct vm_page *pgs[5];
	uint64_t val;

	begin(false);
	CHECK(pmap_growkernel(KVA + (4UL << 20)) >= KVA + (4UL << 20));
	for (int i = 0; i < 5; i++)
		pgs[i] = page_with(10 + (uint64_t)i);
	pmap_kenter_pages(va, pgs, 5, RO);
	for (int i = 0; i < 5; i++) {
		CHECK(kern_load(va + i * PAGE_SIZE, &val) == 0 && val == 10 + (uint64_t)i);
		CHECK(kern_store(va + i * PAGE_SIZE, 1) == EFAULT);
	}
	CHECK(pmap_wired_count(pmap_kernel()) == 5);
	pmap_kremove(va, 5 * PAGE_SIZE);
	pmap_update(pmap_kernel());
	CHECK(pmap_check(pmap_kernel()) == 0);
	for (int i = 0; i < 5; i++)
		fv_free(pgs[i]);
	end();
}

KTEST_DEATH(kenter_over_a_mapping_panics,
    "kenter over a mapping panics", "mapped already")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	pmap_kenter_pa(KVA, fv_pa(pg), RW);
	pmap_kenter_pa(KVA, fv_pa(pg), RW);
}

KTEST_DEATH(R39_kenter_beyond_the_grown_range_panics,
    "kenter where pmap_growkernel() has not been panics by name", "R39")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	pmap_kenter_pa(VM_MIN_KERNEL_ADDRESS + (64UL << 20), fv_pa(pg), RW);
}

KTEST(R39_growkernel_without_memory_says_how_far_it_got,
    "pmap_growkernel() without memory says how far it got")
{
	vaddr_t have, want = VM_MIN_KERNEL_ADDRESS + (32UL << 20);

	begin(false);
	have = pmap_growkernel(VM_MIN_KERNEL_ADDRESS);
	fv_ptp_supply = 1;
	CHECK(pmap_growkernel(want) == have + (2UL << 20));
	fv_ptp_supply = -1;
	CHECK(pmap_growkernel(want) == want);
	CHECK(pmap_check(pmap_kernel()) == 0);
	end();
}

KTEST(R39_kenter_within_the_grown_range_needs_no_page,
    "kenter within the grown range needs no page")
{
	struct vm_page *pg;
	long before;

	begin(false);
	pg = fv_alloc();
	before = pmap_ptp_count(pmap_kernel());
	fv_ptp_supply = 0;
	for (vaddr_t va = KVA; va < KVA + (2UL << 20); va += 64 * PAGE_SIZE)
		pmap_kenter_pa(va, fv_pa(pg), RW);
	pmap_kremove(KVA, 2UL << 20);
	pmap_update(pmap_kernel());
	CHECK(pmap_ptp_count(pmap_kernel()) == before);
	CHECK(pmap_check(pmap_kernel()) == 0);
	fv_ptp_supply = -1;
	fv_free(pg);
	end();
}

KTEST_MAIN()
