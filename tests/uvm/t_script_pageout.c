/*
 * Scenarios of pages on their way to swap, step by step.  The page daemon's part is played by an LWP of the
 * script, which sweeps the inactive queue once: it is what the daemon does, at a time of our choice.
 */
#include <errno.h>

#include <uvm/uvm_pdaemon_i.h>
#include <uvm/uvm_swap.h>

#include "scenario.h"
#include "tswap.h"

static struct proc *child;

static void
begin(int ndevs)
{
	script_begin();
	ts_boot(4, 2048, 64, ndevs);
	CHECK_EQ(tm_put_at(tm_proc, 0, 1, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 8, 1, 's'), 0);
	tm_store(8, 8);
}

/* An access to a page that stays mapped: an interrupt that waits comes in before it. */
static void
let_interrupts_in(void)
{
	CHECK_EQ(tm_load(8), 8);
}

/* Page 0 is inactive, and nobody has referred to it since; then every inactive page is looked at. */
static void
sweep(void *arg)
{
	struct uvmpd up = { .up_goal = UINT64_MAX };

	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), PAGE_SIZE, UMADV_DONTNEED), 0);
	script_point("aged");
	uvm_lock_pageq();
	uvmpd_scan_inactive(&up);
	uvmpd_cluster_flush(&up);
	uvm_unlock_pageq();
}

static void
load(void *arg)
{
	CHECK_EQ(tm_load(0), *(const uint64_t *)arg);
}

/* --- T-22 --- */

static void
store_three_times(void *arg)
{
	tm_store(0, 1);
	script_point("dirty");
	let_interrupts_in();
	script_point("ready");
	tm_store(0, 2);
	script_point("again");
	let_interrupts_in();
	script_point("acknowledged");
	tm_store(0, 3);
}

/* b's TLB has the page, writable and dirty, so that its stores tell nobody; a is about to take the mapping. */
SCENARIO(T22_stores_through_a_dirty_translation,
    "a store before the acknowledgement is in what is written to swap, the next one faults (I-PMAP-12, I-PD-3)")
{
	uint64_t second = 2;

	begin(1);
	SCRIPT("b until test(dirty); a until blocked; b until test(ready); a until test(aged); a until pte;"
	    "b until test(again); a until blocked;"
	    "b until test(acknowledged); a until done; c until done; b until done",
	    { "a", NULL, sweep, NULL }, { "b", tm_proc, store_three_times, NULL },
	    { "c", tm_proc, load, &second });
	CHECK_EQ(tm_load(0), 3);
	CHECK_EQ(tu_count(UVMC_pgswapin), 1);
	scenario_end();
}
MISTAKE(T22_stores_through_a_dirty_translation, free_before_ack, "`a until blocked`: it has ended|I-PMAP|I-PD-3")

/* --- T-35 --- */

static void
page_out(void *arg)
{
	CHECK(ts_pageout(child, 0));
}

static void
leave(void *arg)
{
	proc_exit(child);
}

/* a has given the child's only page to the disk; no slot has anybody's only copy. */
SCENARIO(T35_process_exits_while_its_page_is_written,
    "an anon that dies during the write of its page goes at its end, and is counted out of swap once (I-SWP-2, B-6)")
{
	begin(1);
	CHECK_EQ(proc_create("child", &child), 0);
	CHECK_EQ(tm_put_at(child, 0, 1, 'a'), 0);
	tm_store_in(child, 0, 5);
	CHECK_EQ(ts_exp()->swpgonly, 0);
	SCRIPT("a until io; b until done; a until done",
	    { "a", NULL, page_out, NULL }, { "b", NULL, leave, NULL });
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	scenario_end();
}

/* --- T-36 --- */

static void
swap_off(void *arg)
{
	CHECK_EQ(uvm_swap_off(1), 0);
}

/* The page is busy, as while it is read.  Its anon goes, and the page is let go of by us. */
static void
unmap_busy(void *arg)
{
	struct vm_page *pg = tm_page(tm_proc, 0);
	struct vm_anon *anon = pg->uanon;

	mutex_enter(&anon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&anon->an_lock);
	script_point("busy");
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	mutex_enter(&anon->an_lock);
	CHECK_EQ(anon->an_ref, 1);			/* swapoff's */
	uvm_page_unbusy(&pg, 1);
	mutex_exit(&anon->an_lock);
}

SCENARIO(T36_page_is_unmapped_while_swapoff_waits_for_it,
    "swapoff has a reference to the anon whose page it waits for (I-ANON-3, I-SWP-8, B-13)")
{
	int before;

	begin(2);
	CHECK_EQ(tm_put_at(tm_proc, 1, 1, 'a'), 0);	/* the amap stays */
	before = (int)uvm_anon_count();
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(ts_slot(tm_proc, 0) >> SWAPDEV_SHIFT, 1);
	CHECK_EQ(tm_load(0), 5);
	SCRIPT("b until test(busy); a until blocked; b until done; a until done",
	    { "a", NULL, swap_off, NULL }, { "b", NULL, unmap_busy, NULL });
	CHECK_EQ(uvm_anon_count(), before);
	CHECK_EQ(ts_exp()->swpginuse, 0);
	scenario_end();
}
MISTAKE(T36_page_is_unmapped_while_swapoff_waits_for_it, swapoff_frees_waiter, "check failed: anon->an_ref|I-ANON|an_ref")

/* --- T-40 --- */

/* => page 0 is clean, in memory, and in swap */
static void
begin_clean(void)
{
	begin(1);
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
}

static void
load_and_store(void *arg)
{
	CHECK_EQ(tm_load(0), 5);
	script_point("warm");
	let_interrupts_in();
	script_point("ready");
	tm_store(0, 99);
	script_point("stored");
}

/* => swap has been written to so often, counting how the page got there first */
static void
end_swapped(uint64_t writes)
{
	CHECK_EQ(tu_count(UVMC_pgswapout), writes);
	CHECK_EQ(tm_load(0), 99);
	scenario_end();
}

/* a has found the page not referred to, and is about to try its owner. */
SCENARIO(T40_store_after_the_page_was_found_idle,
    "a store between the question for references and the revocation is written (I-PD-3)")
{
	begin_clean();
	SCRIPT("b until test(warm); a until blocked; b until test(ready); a until test(aged);"
	    "a until try; b until test(stored); a b until done; b until done",
	    { "a", NULL, sweep, NULL }, { "b", tm_proc, load_and_store, NULL });
	end_swapped(2);
}

/* a is about to take the only mapping. */
SCENARIO(T40_store_just_before_the_mapping_goes,
    "whether a page was modified is asked when nobody can modify it any more (R23, I-PD-3)")
{
	begin_clean();
	SCRIPT("b until test(warm); a until blocked; b until test(ready); a until test(aged);"
	    "a until pte; b until test(stored); a b until done; b until done",
	    { "a", NULL, sweep, NULL }, { "b", tm_proc, load_and_store, NULL });
	end_swapped(2);
}
MISTAKE(T40_store_just_before_the_mapping_goes, modified_before_remove, "R23")

/* The PTE is gone; a waits for b's TLB. */
SCENARIO(T40_store_when_the_mapping_has_gone,
    "a store after the revocation faults, and waits until the page has been freed: it reads it back (I-PD-3, I-ANON-4)")
{
	begin_clean();
	SCRIPT("b until test(warm); a until blocked; b until test(ready); a until test(aged);"
	    "a until pte; a until blocked; b until blocked; a b until done;"
	    "b until done",
	    { "a", NULL, sweep, NULL }, { "b", tm_proc, load_and_store, NULL });
	CHECK_EQ(tu_count(UVMC_pgswapin), 2);
	end_swapped(1);
}
MISTAKE(T40_store_when_the_mapping_has_gone, free_before_ack, "`a until blocked`: it has ended|I-PMAP|I-PD-3")

KTEST_MAIN()
