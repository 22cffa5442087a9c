/*
 * Scenarios of maps, faults, amaps, loans and waiting for memory, step by step.  Each is run with its mistake
 * as well, and fails then.
 */
#include <uvm/uvm_amap_i.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_vslock.h>

#include "scenario.h"

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

/* --- T-2 --- */

static struct vnode *vp;

static void
map_file(int pos)
{
	vaddr_t va = TM_VA(0);

	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE,
	    (voff_t)ptoa((uint64_t)pos)), 0);
}

static void
load_remapped(void *arg)
{
	CHECK_EQ(tm_load(0), tu_word((voff_t)ptoa(32)));
}

static void
remap(void *arg)
{
	map_file(32);
}

/* a reads the page of the old mapping from disk; before it has it the new one is there. */
SCENARIO(T2_mapping_is_replaced_while_its_page_is_read,
    "a fault that slept finds by the map's timestamp that its entry has gone, and shows the new file (I-FLT-4)")
{
	scenario_begin();
	vp = tu_file(ptoa(64));
	map_file(0);
	SCRIPT("a until io; b until done; a until done",
	    { "a", tm_proc, load_remapped, NULL }, { "b", tm_proc, remap, NULL });
	vrele(vp);
	scenario_end();
}
MISTAKE(T2_mapping_is_replaced_while_its_page_is_read, timestamp_ignored, "I-FLT-4|use-after-poison")

/* --- I/O beside a fault ahead --- */

static void
load_first(void *arg)
{
	(void)tm_load(0);
}

static void
begin_io(void *arg)
{
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(1), PAGE_SIZE, RW), 0);
}

/*
 * a has asked which neighbours of its page are mapped, and waits for their object; b wires one of them for
 * I/O.  Seen: 64 CPUs, soak, I-MAP-13 by uvm_vsunlock().
 */
SCENARIO(I_MAP_13_neighbour_that_an_io_has_wired_meanwhile,
    "who maps neighbours leaves alone what an I/O has wired since it looked")
{
	vaddr_t va = TM_VA(0);

	scenario_begin();
	vp = tu_file(ptoa(64));
	for (int again = 0; again < 2; again++) {	/* the pages stay, their mappings go */
		CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), RW, UMAP_SHARED | UMAP_FIXED, vp,
		    UF_READ | UF_WRITE, 0), 0);
		if (again == 0)
			for (int i = 0; i < 8; i++)
				(void)tm_load(i);
	}
	script_lock("object", &vp->v_uobj.vmobjlock);
	SCRIPT("a until lock(object); b until done; a until done",
	    { "a", tm_proc, load_first, NULL }, { "b", tm_proc, begin_io, NULL });
	CHECK(!pmap_pageable(tm_proc->p_vmspace->vm_map.pmap, TM_VA(1)));
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(1), PAGE_SIZE);
	CHECK(pmap_pageable(tm_proc->p_vmspace->vm_map.pmap, TM_VA(1)));
	vrele(vp);
	scenario_end();
}

/* --- T-6 --- */

static struct proc *child;

static void
fork_and_look(void *arg)
{
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	script_point("forked");
	CHECK_EQ(tm_load_in(child, 0), 1);
}

static void
store_on(void *arg)
{
	tm_store(0, 1);
	script_point("warm");
	tm_store(0, 2);
	script_point("stored");
}

/* b's TLB may store to the page; the child is to have it as it was. */
SCENARIO(T6_sibling_with_a_writable_translation,
    "fork takes the right to store from the TLBs of the parent's other CPUs before it returns (I-SYS-2)")
{
	scenario_begin();
	tm_put(tm_proc, "a");
	SCRIPT("b until test(warm); a b until test(forked); b a until test(stored); a until done",
	    { "a", tm_proc, fork_and_look, NULL }, { "b", tm_proc, store_on, NULL });
	CHECK_EQ(tm_load(0), 2);
	proc_exit(child);
	scenario_end();
}
MISTAKE(T6_sibling_with_a_writable_translation, needscopy_no_shootdown, "I-SYS-3")

/* --- T-28, T-32 --- */

static void
store_to_copy(void *arg)
{
	tm_store(0, 7);
}

static void
load_and_store(void *arg)
{
	CHECK_EQ(tm_load(0), 1);
	script_point("loaded");
	tm_store(0, 7);
}

static void
store_eight(void *arg)
{
	tm_store(0, 8);
}

/* b's translation is read-only; a's store makes the page writable meanwhile, and tells nobody. */
SCENARIO(T28_stale_read_only_translation_of_one_owner,
    "a store through a translation that has become too narrow is tried again, and copies nothing (I-AMAP-4)")
{
	uint64_t copies;

	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	proc_exit(child);
	copies = tu_count(UVMC_flt_acow);
	SCRIPT("b until test(loaded); a until done; b until done",
	    { "a", tm_proc, store_eight, NULL }, { "b", tm_proc, load_and_store, NULL });
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tu_count(UVMC_flt_acow), copies);
	scenario_end();
}

/* The parent is about to lock the anon, which has two references; the child's store takes one away. */
SCENARIO(T32_child_copies_before_the_parent_has_the_anon,
    "of two that store to one anon the first copies, and the other keeps it (I-AMAP-4)")
{
	uint64_t copies;

	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	script_lock("anon", &tm_anon(0)->an_lock);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(tm_load(0), 1);
	copies = tu_count(UVMC_flt_acow);
	SCRIPT("a until lock(anon) x2; b until done; a until done",
	    { "a", tm_proc, store_to_copy, NULL }, { "b", child, store_eight, NULL });
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tm_load_in(child, 0), 8);
	CHECK_EQ(tu_count(UVMC_flt_acow), copies + 1);
	CHECK_EQ(uvm_anon_count(), 2);
	proc_exit(child);
	scenario_end();
}

/* --- T-33 --- */

static void
leave(void *arg)
{
	proc_exit(child);
}

/* a has seen that its amap has two users, and made a new one, when the other user goes. */
SCENARIO(T33_other_user_leaves_before_the_slots_are_copied,
    "the copier looks again with the amap locked, and takes it over (I-AMAP-7)")
{
	struct vm_amap *amap;

	scenario_begin();
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	amap = tm_entry(tm_proc, 0)->aref.ar_amap;
	script_lock("amap", &amap->am_l);
	SCRIPT("a until lock(amap); b until done; a until done",
	    { "a", tm_proc, store_to_copy, NULL }, { "b", NULL, leave, NULL });
	CHECK(tm_entry(tm_proc, 0)->aref.ar_amap == amap);
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(uvm_anon_count(), 2);
	scenario_end();
}
MISTAKE(T33_other_user_leaves_before_the_slots_are_copied, unref_race_double_free, "am_ref")

/* --- T-37 --- */

static void
wait_for_page(void *arg)
{
	CHECK_EQ(tm_load(0), 0);
}

/* The page is busy, as while it is paged out.  Then not the map changes but the slot: its anon goes. */
static void
empty_slot(void *arg)
{
	struct vm_page *pg = tm_page(tm_proc, 0);
	struct vm_anon *anon = pg->uanon;
	struct vm_map_entry *e;

	mutex_enter(&anon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&anon->an_lock);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	script_point("busy");
	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(0), &e));
	amap_lock(e->aref.ar_amap);
	amap_unadd(&e->aref, 0);
	mutex_enter(&anon->an_lock);
	anon->an_ref--;
	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);			/* leaves it to us: the page is busy */
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
	mutex_enter(&anon->an_lock);
	CHECK((pg->flags & PG_RELEASED) != 0);
	uvm_anon_release(anon);
}

SCENARIO(T37_slot_changes_under_a_waiter,
    "a fault that waited for a busy page looks its anon up anew, though the map is the same (I-FLT-3)")
{
	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	SCRIPT("b until test(busy); a until blocked; b until done; a until done",
	    { "a", tm_proc, wait_for_page, NULL }, { "b", NULL, empty_slot, NULL });
	CHECK_EQ(uvm_anon_count(), 1);	/* the slot was filled anew */
	scenario_end();
}
MISTAKE(T37_slot_changes_under_a_waiter, anon_after_sleep, "I-ANON-6|lock-stale-read|use-after-poison")

/* --- T-39 --- */

static void
load_old_and_new(void *arg)
{
	CHECK_EQ(tm_load(0), 1);
	script_point("loaded");
	CHECK_EQ(tm_load(0), 9);
}

static void
promote(void *arg)
{
	tm_store(0, 9);
}

/* An anon of three: a snapshot, and two that share an amap.  a stores, b has the old page in its TLB. */
SCENARIO(T39_sharer_with_a_translation_follows,
    "when one sharer's store replaces an anon, the other's translation to the old page goes first (I-AMAP-9)")
{
	struct proc *snapshot, *sharer;

	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "snapshot", &snapshot), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), PAGE_SIZE, MAP_INHERIT_SHARE), 0);
	CHECK_EQ(proc_fork(tm_proc, "sharer", &sharer), 0);
	SCRIPT("b until test(loaded); a b until done; b until done",
	    { "a", tm_proc, promote, NULL }, { "b", sharer, load_old_and_new, NULL });
	CHECK_EQ(tm_load_in(snapshot, 0), 1);
	proc_exit(snapshot);
	proc_exit(sharer);
	scenario_end();
}
MISTAKE(T39_sharer_with_a_translation_follows, shared_replace_no_protect, "check failed: tm_load\\(0\\) is 1 |I-AMAP-9")

/* --- T-48 --- */

static void
wait_for_memory(void *arg)
{
	script_point("waits");
	uvm_wait("T-48");
	CHECK(uvm_reclaimable());	/* not because there is no hope */
}

static void
free_one(void *arg)
{
	tu_release_one();
}

/* a has said that it waits, and is about to sleep: a page is freed just then. */
SCENARIO(T48_page_is_freed_as_somebody_goes_to_sleep,
    "who says that it waits for memory is asleep before anybody can hear it (I-PD-5)")
{
	scenario_begin();
	script_lock("free", &uvm_fpageqlock);
	tu_exhaust();
	SCRIPT("a until test(waits); a until unlock(free); b until done; a until done",
	    { "a", NULL, wait_for_memory, NULL }, { "b", NULL, free_one, NULL });
	tu_release();
	scenario_end();
}
MISTAKE(T48_page_is_freed_as_somebody_goes_to_sleep, wanted_lost, "I-PD-5|`a until done`: it is blocked")

/* --- T-53 --- */

static void
lend(void *arg)
{
	struct vm_page *pg;

	CHECK_EQ(uvm_loan(tm_map(tm_proc), TM_VA(0), PAGE_SIZE, &pg, UVM_LOAN_TOPAGE), 0);
	CHECK_EQ(*tu_words(pg), 4);
	script_point("lent");
	CHECK_EQ(*tu_words(pg), 4);
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
}

static void
store_twice(void *arg)
{
	tm_store(0, 4);
	script_point("stored");
	tm_store(0, 5);
	script_point("again");
}

/* b's TLB may store to the page that a lends. */
SCENARIO(T53_lender_with_a_writable_translation,
    "what is on loan to the kernel stays as it was, whatever the lender's other CPUs have in their TLBs (I-LOAN-1)")
{
	scenario_begin();
	tm_put(tm_proc, "a");
	SCRIPT("b until test(stored); a b until test(lent); b a until test(again); a until done",
	    { "a", tm_proc, lend, NULL }, { "b", tm_proc, store_twice, NULL });
	CHECK_EQ(tm_load(0), 5);
	scenario_end();
}
MISTAKE(T53_lender_with_a_writable_translation, loan_stale_tlb, "check failed: .tu_words\\(pg\\) is 5|I-LOAN-1")
MISTAKE(T53_lender_with_a_writable_translation, loan_stays_writable, "R15|check failed: .tu_words\\(pg\\) is 5")

/* --- T-69 --- */

static void
load_from_disk(void *arg)
{
	CHECK_EQ(tm_load(0), tu_word(0));
}

static void
write_back(void *arg)
{
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), PAGE_SIZE, UMS_SYNC), 0);
}

static void
change_map(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(8), PAGE_SIZE), 0);
}

/* a has the page busy, and will want the map; b waits for the page; c is a writer of the map. */
SCENARIO(T69_msync_fault_and_munmap,
    "msync waits for a busy page without the map: a writer gets it, and the fault after him (I-SMP-4, H-1)")
{
	scenario_begin();
	vp = tu_file(ptoa(64));
	map_file(0);
	CHECK_EQ(tm_put_at(tm_proc, 8, 1, 'a'), 0);
	SCRIPT("a until io; b until blocked; c until done; a until done; b until done",
	    { "a", tm_proc, load_from_disk, NULL }, { "b", tm_proc, write_back, NULL },
	    { "c", tm_proc, change_map, NULL });
	vrele(vp);
	scenario_end();
}
MISTAKE(T69_msync_fault_and_munmap, msync_reader_trap, "`c until done`: it is blocked|page-busy")

/* --- T-77 --- */

static int won;				/* atomic */

static void
upgrade(void *arg)
{
	struct vm_map *map = tm_map(tm_proc);

	vm_map_lock_read(map);
	script_point("reads");
	if (vm_map_upgrade_try(map)) {
		__atomic_fetch_add(&won, 1, __ATOMIC_RELAXED);
		vm_map_unlock(map);
	} else {
		vm_map_unlock_read(map);
	}
}

SCENARIO(T77_two_readers_upgrade_step_by_step,
    "while another reads nobody becomes the writer; the last reader does (I-MAP-9)")
{
	scenario_begin();
	SCRIPT("a until test(reads); b until test(reads); a until done; b until done",
	    { "a", tm_proc, upgrade, NULL }, { "b", tm_proc, upgrade, NULL });
	CHECK_EQ(__atomic_load_n(&won, __ATOMIC_RELAXED), 1);
	scenario_end();
}

KTEST_MAIN()
