/*
 * pmap(9) on one CPU: what removing, protecting, lending and wiring do to mappings,
 * R/M bits and frames.
 */
#include "pmap_case.h"

#include <string.h>
#include <sys/kernhist.h>

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

KTEST_MAIN()
