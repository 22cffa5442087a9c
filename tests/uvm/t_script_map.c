/*
 * Scenarios of maps, faults, amaps and waiting for memory, step by step.  Each is run with its mistake
 * as well, and fails then.
 */
#include <uvm/uvm_amap_i.h>

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
MISTAKE(T2_mapping_is_replaced_while_its_page_is_read, timestamp_ignored, "I-FLT-4")

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

/* --- T-33 --- */

static void
store_to_copy(void *arg)
{
	tm_store(0, 7);
}

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
MISTAKE(T37_slot_changes_under_a_waiter, anon_after_sleep, "I-ANON-6|lock-stale-read")

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

KTEST_MAIN()
