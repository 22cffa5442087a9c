/*
 * pmap(9) on one CPU: what pmap_enter() promises, what the others do to
 * mappings, R/M bits, counts, and pmap_check()'s alarms.
 */
#include "fakevm.h"

#include <errno.h>
#include <ktest.h>
#include <string.h>
#include <sys/kernhist.h>

#include "../../src/machine/pmap_private.h"

#define	VA		0x10000000UL
#define	KVA		VM_MIN_KERNEL_ADDRESS
#define	RO		VM_PROT_READ
#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	RX		(VM_PROT_READ | VM_PROT_EXECUTE)

static struct pmap *pm;

static void
begin(bool software_rm)
{
	fv_boot(1, software_rm);
	pm = pmap_create();
	fv_use(pm);
}

static void
end(void)
{
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	CHECK(pmap_check(pm) == 0);
	CHECK(pmap_ptp_count(pm) == 0);
	fv_destroy(pm);
	fv_shutdown();
}

static struct vm_page *
page_with(uint64_t word)
{
	struct vm_page *pg = fv_alloc();

	fv_fill(pg, word);
	return pg;
}

static bool
mapped_to(vaddr_t va, struct vm_page *pg)
{
	paddr_t pa;

	return pmap_extract(pm, va, &pa) ? pg != NULL && pa == fv_pa(pg) : pg == NULL;
}

static uint64_t
load(vaddr_t va)
{
	uint64_t val = 0;
	int error = user_load(va, &val);

	CHECK(error == 0);
	return val;
}

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
 * Removal, protection, wiring
 */

KTEST(R9_remove_takes_wired_mappings,
    "remove takes wired mappings")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_WIRED) == 0);
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RW, 0) == 0);
	CHECK(pmap_wired_count(pm) == 1);
	pmap_remove(pm, VA, VA + 2 * PAGE_SIZE);
	pmap_update(pm);
	CHECK(mapped_to(VA, NULL));
	CHECK(!pmap_page_mapped(pg));
	CHECK(pmap_wired_count(pm) == 0);
	CHECK(pmap_resident_count(pm) == 0);
	fv_free(pg);
	end();
}

KTEST_DEATH(R10_revoke_of_a_wired_mapping_panics,
    "revoke of a wired mapping panics", "R10")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_WIRED) == 0);
	pmap_page_protect(pg, VM_PROT_NONE);
}

KTEST_DEATH(R12_copy_on_write_of_a_wired_mapping_panics,
    "copy on write of a wired mapping panics", "R12")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_WIRED) == 0);
	pmap_page_protect(pg, VM_PROT_READ);
}

/* => can the page be lent as it is? It is not, afterwards. */
static bool
lent_as_it_is(struct vm_page *pg)
{
	const bool lent = pmap_page_lend_quiet(pg);

	CHECK_EQ(pg->md.md_readonly, lent);
	pmap_page_readonly(pg, false);
	return lent;
}

KTEST(R15_lending_takes_W_and_asks_TLBs,
    "a page is lent as it is only while nothing of its mappings, and of those just gone, can be stored through")
{
	struct vm_page *pg;

	begin(false);
	pg = page_with(7);
	CHECK(lent_as_it_is(pg));
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, RO) == 0);
	CHECK(lent_as_it_is(pg));
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RW, RW) == 0);
	CHECK(user_store(VA + PAGE_SIZE, 8) == 0);
	CHECK(!lent_as_it_is(pg));
	pmap_protect(pm, VA + PAGE_SIZE, VA + 2 * PAGE_SIZE, RO);
	CHECK(!lent_as_it_is(pg));		/* a TLB still has it */
	pmap_update(pm);
	CHECK(lent_as_it_is(pg));
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RW, RW) == 0);
	CHECK(user_store(VA + PAGE_SIZE, 9) == 0);
	pmap_remove(pm, VA, VA + 2 * PAGE_SIZE);
	CHECK(!lent_as_it_is(pg));		/* not mapped, but in a TLB */
	pmap_update(pm);
	CHECK(lent_as_it_is(pg));
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	CHECK(user_store(VA, 10) == 0);
	CHECK(!pmap_page_lend(pg));		/* and now nobody has it writable, nor any TLB */
	CHECK(pg->md.md_readonly == 1 && user_store(VA, 11) != 0 && load(VA) == 10);
	pmap_page_readonly(pg, false);
	CHECK(pmap_page_lend(pg));
	pmap_page_readonly(pg, false);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, PMAP_WIRED) == 0);
	CHECK(!lent_as_it_is(pg));		/* what is wired is for pmap_page_lend() to complain of (R12) */
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(lending_is_told_if_it_takes_W,
    "the history says of a page that its mappings lost W because it was lent")
{
	struct kern_history_ent e;
	struct vm_page *pg;

	begin(false);
	CHECK_EQ(kernhist_boot(64, true, false), 0);
	pg = page_with(7);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	CHECK(!pmap_page_lend(pg));
	CHECK_EQ(kernhist_copy(&cpus[0], &e, 1), 1);
	CHECK(e.ke_kind == KE_pmap_page_protect && e.ke_first == atop(fv_pa(pg)) && e.ke_second == RO);
	pmap_page_readonly(pg, false);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST_DEATH(R12_lending_of_a_wired_mapping_panics,
    "a page that is wired somewhere is not lent", "R12")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, PMAP_WIRED) == 0);
	pmap_page_lend(pg);
}

KTEST_DEATH(R11_execute_alone_panics,
    "execute alone panics", "R11")
{
	begin(false);
	pmap_page_protect(fv_alloc(), VM_PROT_EXECUTE);
}

KTEST(R11_page_protect_splits_in_copy_on_write_and_revoke,
    "page protect splits in copy on write and revoke")
{
	struct vm_page *pg;

	begin(false);
	pg = page_with(7);
	for (int i = 0; i < 40; i++)
		CHECK(pmap_enter(pm, VA + i * PAGE_SIZE, fv_pa(pg), RW, RW) == 0);
	CHECK(user_store(VA, 8) == 0);
	pmap_page_protect(pg, VM_PROT_ALL);
	CHECK(user_store(VA, 8) == 0);
	pmap_page_protect(pg, VM_PROT_READ);
	for (int i = 0; i < 40; i++) {
		CHECK(load(VA + i * PAGE_SIZE) == 8);
		CHECK(user_store(VA + i * PAGE_SIZE, 9) == EFAULT);
	}
	CHECK(pmap_is_modified(pg));
	pmap_page_protect(pg, VM_PROT_NONE);
	CHECK(!pmap_page_mapped(pg));
	CHECK(pmap_is_modified(pg));
	CHECK(pmap_ptp_count(pm) == 0);
	CHECK(pmap_check(pm) == 0);
	fv_free(pg);
	end();
}

KTEST(cleaning_takes_W_from_a_wired_mapping_but_never_V,
    "cleaning takes W from a wired mapping but never V")
{
	struct vm_page *pg;

	begin(false);
	pg = page_with(3);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW | PMAP_WIRED) == 0);
	CHECK(user_store(VA, 4) == 0);
	pmap_clean_protect(pg);
	CHECK(load(VA) == 4);
	CHECK(user_store(VA, 5) == EFAULT);
	CHECK(pmap_wired_count(pm) == 1);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(protect_only_reduces_and_none_removes,
    "protect only reduces and none removes")
{
	struct vm_page *pg;

	begin(false);
	pg = page_with(1);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, RO) == 0);
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RW, RW | PMAP_WIRED) == 0);
	CHECK(pmap_enter(pm, VA + 2 * PAGE_SIZE, fv_pa(pg), RX, RO) == 0);
	CHECK(user_store(VA + PAGE_SIZE, 2) == 0);
	CHECK(user_fetch(VA + 2 * PAGE_SIZE) == 0);
	pmap_protect(pm, VA, VA + 2 * PAGE_SIZE, RW);
	CHECK(user_store(VA, 3) == EFAULT);
	pmap_protect(pm, VA, VA + 3 * PAGE_SIZE, RO);
	pmap_update(pm);
	CHECK(user_store(VA + PAGE_SIZE, 3) == EFAULT);
	CHECK(user_fetch(VA + 2 * PAGE_SIZE) == EFAULT);
	CHECK(load(VA + PAGE_SIZE) == 2);
	CHECK(pmap_wired_count(pm) == 1);
	pmap_protect(pm, VA, VA + 3 * PAGE_SIZE, VM_PROT_NONE);
	pmap_update(pm);
	CHECK(pmap_resident_count(pm) == 0);
	CHECK(pmap_wired_count(pm) == 0);
	fv_free(pg);
	end();
}

KTEST(unwire_keeps_the_mapping,
    "unwire keeps the mapping")
{
	struct vm_page *pg;

	begin(false);
	pg = page_with(1);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_WIRED) == 0);
	pmap_unwire(pm, VA);
	CHECK(pmap_wired_count(pm) == 0);
	CHECK(load(VA) == 1);
	pmap_revoke(pg);
	CHECK(mapped_to(VA, NULL));
	fv_free(pg);
	end();
}

KTEST_DEATH(unwire_of_nothing_panics,
    "unwire of nothing panics", "pmap_unwire")
{
	begin(false);
	pmap_unwire(pm, VA);
}

KTEST(remove_of_all_user_space_is_quick_and_complete,
    "remove of all user space is quick and complete")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	for (int bit = 12; bit < 47; bit++)
		CHECK(pmap_enter(pm, 1UL << bit, fv_pa(pg), RO, 0) == 0);
	CHECK(pmap_enter(pm, VM_MAXUSER_ADDRESS - PAGE_SIZE, fv_pa(pg), RO, 0) == 0);
	CHECK(pmap_check(pm) == 0);
	CHECK(pmap_resident_count(pm) == 36);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	CHECK(pmap_resident_count(pm) == 0);
	CHECK(pmap_ptp_count(pm) == 0);
	fv_free(pg);
	end();
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

/*
 * R/M bits
 */

static void
I_PMAP_12(bool software_rm)
{
	struct vm_page *a, *b;

	begin(software_rm);
	a = fv_alloc();
	b = fv_alloc();
	/* by removal */
	CHECK(pmap_enter(pm, VA, fv_pa(a), RW, 0) == 0);
	CHECK(load(VA) == 0);
	CHECK(!pmap_is_modified(a));
	CHECK(user_store(VA, 1) == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	CHECK(pmap_is_modified(a));
	CHECK(pmap_clear_modify(a));
	CHECK(!pmap_clear_modify(a));
	/* by replacement */
	CHECK(pmap_enter(pm, VA, fv_pa(a), RW, 0) == 0);
	CHECK(user_store(VA, 2) == 0);
	CHECK(pmap_enter(pm, VA, fv_pa(b), RW, 0) == 0);
	pmap_update(pm);
	CHECK(pmap_clear_modify(a));
	CHECK(!pmap_is_modified(b));
	/* by revoke, through a mapping that lost W meanwhile */
	CHECK(user_store(VA, 3) == 0);
	pmap_protect(pm, VA, VA + PAGE_SIZE, RO);
	pmap_update(pm);
	CHECK(pmap_is_modified(b));
	pmap_revoke(b);
	CHECK(pmap_clear_modify(b));
	CHECK(pmap_is_referenced(b));
	/* and the next store after a clear is seen again */
	CHECK(pmap_enter(pm, VA, fv_pa(b), RW, RW) == 0);
	for (int i = 0; i < 10; i++) {
		CHECK(user_store(VA, i) == 0);
		CHECK(pmap_clear_modify(b));
	}
	CHECK(!pmap_is_modified(b));
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(a);
	fv_free(b);
	end();
}

KTEST(I_PMAP_12_a_store_is_visible_as_modified,
    "a store is visible as modified")
{
	I_PMAP_12(false);
}

KTEST(I_PMAP_12_a_store_is_visible_as_modified_software_rm,
    "a store is visible as modified software rm")
{
	I_PMAP_12(true);
}

/*
 * Frames
 */

KTEST(I_PMAP_6_stale_translation_to_a_freed_page_is_reported,
    "stale translation to a freed page is reported")
{
	struct vm_page *pg;
	uint64_t val;

	begin(false);
	fv_expect_violations();
	pg = page_with(1);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	CHECK(load(VA) == 1);
	CHECK(fv_violations_any() == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	/* The mistake: the frame is freed before pmap_update(). */
	fv_free(pg);
	CHECK(user_load(VA, &val) == EFAULT);
	CHECK(fv_violations("I-PMAP-6") == 1);
	pmap_update(pm);
	CHECK(fv_violations_any() == 1);
	end();
}

KTEST(I_PMAP_11_freeing_a_mapped_frame_is_reported,
    "freeing a mapped frame is reported")
{
	struct vm_page *pg;

	begin(false);
	fv_expect_violations();
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	ram_frame_freed(&pg->md);
	CHECK(fv_violations("I-PMAP-11") == 1);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(I_PG_7_a_store_to_a_free_frame_is_found,
    "a store to a free frame is found", "I-PG-7")
{
	struct vm_page *pg;

	begin(false);
	pg = fv_alloc();
	fv_free(pg);
	fv_words(pg)[128] = 0;	/* one of the words that every free marks */
	(void)fv_alloc();
}
#endif

KTEST(copy_and_zero_move_whole_frames,
    "copy and zero move whole frames")
{
	struct vm_page *a, *b;

	begin(false);
	a = page_with(0x0123456789abcdef);
	b = fv_alloc();
	pmap_copy_page(fv_pa(a), fv_pa(b));
	CHECK(memcmp(fv_words(a), fv_words(b), PAGE_SIZE) == 0);
	pmap_zero_page(fv_pa(a));
	CHECK(fv_words(a)[0] == 0);
	CHECK(fv_words(a)[511] == 0);
	fv_free(a);
	fv_free(b);
	end();
}

/*
 * pmap_check() rings for each kind of damage, and only then.
 */

struct damage {
	struct vm_page	*pg;
	uint64_t	*ptep;
};

static void
alarm_begin(struct damage *d)
{
	begin(false);
	fv_expect_violations();
	d->pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(d->pg), RW, RW | PMAP_WIRED) == 0);
	CHECK(load(VA) == 0);
	d->ptep = pmap_pte(pm, VA);
	CHECK(pmap_check(pm) == 0);
	CHECK(fv_violations_any() == 0);
}

static void
alarm_end(struct damage *d, const char *id)
{
	CHECK(pmap_check(pm) == 0);
	CHECK(fv_violations(id) > 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(d->pg);
	end();
}

KTEST(check_alarm_I_PMAP_3_pv_entry_missing,
    "pmap_check() rings: pv entry missing")
{
	struct damage d;
	struct pv_entry *pv;

	alarm_begin(&d);
	pv = d.pg->md.md_pvlist;
	d.pg->md.md_pvlist = NULL;
	CHECK(pmap_check(pm) > 0);
	d.pg->md.md_pvlist = pv;
	alarm_end(&d, "I-PMAP-3");
}

KTEST(check_alarm_I_PMAP_3_pv_entry_too_many,
    "pmap_check() rings: pv entry too many")
{
	struct pv_entry extra = { .pv_va = VA + PAGE_SIZE };
	struct damage d;

	alarm_begin(&d);
	extra.pv_pmap = pm;
	d.pg->md.md_pvlist->pv_next = &extra;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_pvlist->pv_next = NULL;
	alarm_end(&d, "I-PMAP-3");
}

KTEST(check_alarm_I_PMAP_5_tlb_has_more_than_the_pte,
    "pmap_check() rings: tlb has more than the pte")
{
	struct damage d;

	alarm_begin(&d);
	*d.ptep &= ~PTE_W;
	CHECK(pmap_check(pm) == 1);
	*d.ptep |= PTE_W;
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_5_tlb_has_another_frame,
    "pmap_check() rings: tlb has another frame")
{
	struct damage d;
	struct vm_page *other;

	alarm_begin(&d);
	other = fv_alloc();
	tlb_slot(curtlb(), VA)->te_host = ram_host(fv_pa(other));
	CHECK(pmap_check(pm) == 1);
	tlb_slot(curtlb(), VA)->te_host = ram_host(fv_pa(d.pg));
	fv_free(other);
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_6_tlb_reaches_a_frame_of_before,
    "pmap_check() rings: the frame was freed, and is mapped there again, and the TLB has not been told")
{
	struct damage d;

	alarm_begin(&d);
	d.pg->md.md_generation++;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_generation--;
	alarm_end(&d, "I-PMAP-6");
}

KTEST(check_alarm_I_LOAN_1_tlb_may_store_to_a_page_on_loan,
    "pmap_check() rings: the frame has become read-only, and the TLB lets stores through")
{
	struct damage d;

	alarm_begin(&d);
	CHECK(tlb_slot(curtlb(), VA)->te_rights & PTE_R);
	tlb_slot(curtlb(), VA)->te_rights |= PTE_W;
	*d.ptep |= PTE_MOD;
	CHECK(pmap_check(pm) == 0);
	d.pg->md.md_readonly = 1;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_readonly = 0;
	alarm_end(&d, "I-LOAN-1");
}

KTEST(check_alarm_I_PMAP_13_tlb_of_a_cpu_in_no_set,
    "pmap_check() rings: a CPU has left all sets, and its TLB still has a mapping")
{
	struct damage d;

	alarm_begin(&d);
	CHECK(pmap_check(pmap_kernel()) == 0);
	curtlb()->t_pmap = NULL;
	CHECK(pmap_check(pmap_kernel()) == 1);
	curtlb()->t_pmap = pm;
	CHECK(pmap_check(pmap_kernel()) == 0);
	alarm_end(&d, "I-PMAP-13");
}

KTEST(check_alarm_I_PMAP_8_resident_count,
    "pmap_check() rings: resident count")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_resident++;
	CHECK(pmap_check(pm) == 1);
	pm->pm_resident--;
	alarm_end(&d, "I-PMAP-8");
}

KTEST(check_alarm_I_PMAP_8_wired_count,
    "pmap_check() rings: wired count")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_wired--;
	CHECK(pmap_check(pm) == 1);
	pm->pm_wired++;
	alarm_end(&d, "I-PMAP-8");
}

KTEST(check_alarm_I_PMAP_9_table_miscounts,
    "pmap_check() rings: table miscounts")
{
	struct damage d;

	alarm_begin(&d);
	pmap_ptp_md(d.ptep)->md_ptpcount++;
	CHECK(pmap_check(pm) == 1);
	pmap_ptp_md(d.ptep)->md_ptpcount--;
	alarm_end(&d, "I-PMAP-9");
}

KTEST(check_alarm_I_PMAP_9_empty_table,
    "pmap_check() rings: empty table")
{
	struct damage d;

	alarm_begin(&d);
	mutex_enter(&pm->pm_lock);
	CHECK(pmap_ptp_grow(pm, VA + (2UL << 20)) != NULL);
	mutex_exit(&pm->pm_lock);
	CHECK(pmap_check(pm) == 1);
	CHECK(fv_violations("I-PMAP-9") == 1);
	/* Filled and emptied as usual it goes away. */
	CHECK(pmap_enter(pm, VA + (2UL << 20), fv_pa(d.pg), RO, 0) == 0);
	pmap_remove(pm, VA + (2UL << 20), VA + (4UL << 20));
	pmap_update(pm);
	alarm_end(&d, "I-PMAP-9");
}

KTEST(check_alarm_I_PMAP_13_cpu_not_in_the_set,
    "pmap_check() rings: cpu not in the set")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_cpus[0] = 0;
	CHECK(pmap_check(pm) == 1);
	pm->pm_cpus[0] = 1;
	alarm_end(&d, "I-PMAP-13");
}

/*
 * Everything at random against a model of an array.
 */

#define	MODEL_PAGES	64
#define	MODEL_FRAMES	8

struct model {
	int		frame;		/* -1: none */
	vm_prot_t	prot;
	bool		wired;
};

static vaddr_t
model_va(int i)
{
	/* Two pages in each of 32 leaf tables, over several gigabytes. */
	return VA + (vaddr_t)(i / 2) * (160UL << 20) + (i & 1) * PAGE_SIZE;
}

static void
model_compare(const struct model *m, struct vm_page **frames)
{
	long resident = 0, wired = 0;

	for (int i = 0; i < MODEL_PAGES; i++) {
		CHECK(mapped_to(model_va(i), m[i].frame < 0 ? NULL : frames[m[i].frame]));
		resident += m[i].frame >= 0;
		wired += m[i].frame >= 0 && m[i].wired;
	}
	CHECK(pmap_resident_count(pm) == resident);
	CHECK(pmap_wired_count(pm) == wired);
	CHECK(pmap_check(pm) == 0);
}

static void
model_step(struct host_rng *rng, struct model *m, struct vm_page **frames)
{
	int i = (int)host_rng_below(rng, MODEL_PAGES);
	int f = (int)host_rng_below(rng, MODEL_FRAMES);
	vm_prot_t prot = host_rng_chance(rng, 0.5) ? RW : RO;
	bool wired = host_rng_chance(rng, 0.3);
	vaddr_t va = model_va(i);
	uint64_t val;

	switch (host_rng_below(rng, 6)) {
	case 0:
	case 1:
		CHECK(pmap_enter(pm, va, fv_pa(frames[f]), prot, wired ? PMAP_WIRED : 0) == 0);
		m[i] = (struct model){ f, prot, wired };
		break;
	case 2:
		pmap_remove(pm, va, va + PAGE_SIZE);
		m[i].frame = -1;
		break;
	case 3:
		pmap_protect(pm, va, va + PAGE_SIZE, prot);
		m[i].prot &= prot;
		break;
	case 4:
		if (m[i].frame >= 0)
			pmap_unwire(pm, va);
		m[i].wired = false;
		break;
	case 5:
		for (int j = 0; j < MODEL_PAGES; j++) {
			if (m[j].frame == f && m[j].wired)
				return;
		}
		pmap_revoke(frames[f]);
		for (int j = 0; j < MODEL_PAGES; j++) {
			if (m[j].frame == f)
				m[j].frame = -1;
		}
		break;
	}
	pmap_update(pm);
	CHECK(user_load(va, &val) == (m[i].frame >= 0 ? 0 : EFAULT));
	CHECK(user_store(va, 1) == (m[i].frame >= 0 && (m[i].prot & VM_PROT_WRITE) ? 0 : EFAULT));
}

static void
model_run(bool software_rm)
{
	struct vm_page *frames[MODEL_FRAMES];
	struct model m[MODEL_PAGES];
	struct host_rng rng;

	begin(software_rm);
	host_rng_init(&rng, 42, 0);
	for (int i = 0; i < MODEL_PAGES; i++)
		m[i] = (struct model){ -1, 0, false };
	for (int i = 0; i < MODEL_FRAMES; i++)
		frames[i] = fv_alloc();
	for (unsigned i = 0; i < fv_rounds(20000); i++) {
		model_step(&rng, m, frames);
		if (i % 50 == 0)
			model_compare(m, frames);
	}
	model_compare(m, frames);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	for (int i = 0; i < MODEL_FRAMES; i++)
		fv_free(frames[i]);
	end();
}

KTEST(I_PMAP_8_random_operations_agree_with_a_model,
    "random operations agree with a model")
{
	model_run(false);
}

KTEST(I_PMAP_8_random_operations_agree_with_a_model_software_rm,
    "random operations agree with a model software rm")
{
	model_run(true);
}

KTEST_MAIN()
