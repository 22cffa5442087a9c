/*
 * The walk over pages, counters and amaps (inspect.c) finds what it is for.  Each case
 * makes one thing wrong, must hear the ids in the order of the walks, and puts it back.
 */
#include "tinspect.h"

#include <harness/inspect.h>
#include <uvm/uvm_amap_i.h>

static void
begin(const char *lane)
{
	ti_begin(lane);
	tm_collect();
	inspect_at_rest(INSPECT_CONTENTS);
	CHECK_STR(tm_seen, "");
}

/* => what is wrong now is told so */
static void
told(const char *ids)
{
	inspect_at_rest(INSPECT_CONTENTS);
	CHECK_STR(tm_seen, ids);
}

/* => it is mended: nothing more is told */
static void
end(void)
{
	char seen[sizeof(tm_seen)];

	memcpy(seen, tm_seen, sizeof(seen));
	told(seen);
	tm_shutdown();
}

KTEST(I_PG_2_wired_and_queued, "a page that is wired and on a queue (R7)")
{
	begin("a");
	tm_page(tm_proc, 0)->wire_count = 1;
	told("I-PG-2 I-PG-4 I-PG-16");
	tm_page(tm_proc, 0)->wire_count = 0;
	end();
}

KTEST(I_PG_1_page_of_nobody, "a page in use that nobody has")
{
	struct vm_page *pg;

	begin("a");
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	CHECK(pg != NULL);
	pg->pqflags &= ~PQ_PRIVATE;
	told("I-PG-1 I-STAT-1 I-STAT-11");
	pg->pqflags |= PQ_PRIVATE;
	uvm_pagefree(pg);
	end();
}

KTEST(I_PG_1_page_on_no_queue, "a page of an anon that is neither wired nor on a queue")
{
	begin("a");
	uvm_pgintent_flush();
	uvm_lock_pageq();
	uvm_pagedequeue(tm_page(tm_proc, 0));
	uvm_unlock_pageq();
	told("I-PG-1");
	uvm_lock_pageq();
	uvm_pageactivate(tm_page(tm_proc, 0));
	uvm_unlock_pageq();
	end();
}

KTEST(I_ANON_3_dead_anon_with_a_page, "an anon that has lost its last reference, and has its page")
{
	struct vm_anon *anon;

	begin("a");
	anon = tm_page(tm_proc, 0)->uanon;
	anon->an_ref = 0;
	told("I-ANON-3 I-AMAP-3 I-AMAP-4");
	anon->an_ref = 1;
	end();
}

static void
pretend_to_hold(struct lwp *l, void *arg)
{
	int *holds = arg;

	if (strcmp(l->l_name, "pgdaemon") == 0 && l->l_held.hs_v != NULL)
		l->l_held.hs_n = *holds;
}

KTEST(I_SMP_3_holder_who_stands, "an LWP that sleeps for work and holds a lock")
{
	int one = 1, none = 0;

	begin("a");
	lwp_foreach(pretend_to_hold, &one);
	told("I-SMP-3");
	lwp_foreach(pretend_to_hold, &none);
	end();
}

static void
pretend_to_hold_stop(struct lwp *l, void *arg)
{
	const bool *begins = arg;

	if (strcmp(l->l_name, "pgdaemon") != 0)
		return;
	CHECK(l->l_held.hs_v != NULL);
	l->l_held.hs_v[0].hl_class = LC_stop;
	l->l_held.hs_n = *begins ? 1 : 0;
}

KTEST(who_comes_to_stand_is_let_be, "an LWP that a timer woke has the lock by which it stands again, and nothing is told")
{
	const bool begins = true, ends = false;

	begin("a");
	lwp_foreach(pretend_to_hold_stop, (void *)(uintptr_t)&begins);
	told("");
	lwp_foreach(pretend_to_hold_stop, (void *)(uintptr_t)&ends);
	end();
}

KTEST(I_PD_5_waiter_that_is_none, "somebody is said to wait for memory")
{
	begin("a");
	uvm.nwaiters++;
	told("I-PD-5");
	uvm.nwaiters = 0;
	end();
}

KTEST(I_PD_6_told_that_there_is_none, "faults are told that there will be no memory, and there is some")
{
	begin("a");
	uvm.oom = true;
	told("I-PD-6");
	uvm.oom = false;
	end();
}

KTEST(I_PG_3_queue_of_another_length, "a queue that is shorter than its counter")
{
	begin("a");
	uvm.active++;
	told("I-PG-3");
	uvm.active--;
	end();
}

KTEST(I_PG_3_noted_down_by_nobody, "a page that is to become active soon, and no CPU knows")
{
	begin("a");
	uvm_pgintent_flush();
	tm_page(tm_proc, 0)->intent = 1;
	told("I-PG-3");
	tm_page(tm_proc, 0)->intent = 0;
	end();
}

KTEST(I_PG_5_two_owners_and_no_loan, "a page of an object that names an anon")
{
	struct vm_page *pg;

	begin("oa");
	pg = tm_page(tm_proc, 0);
	pg->uanon = tm_page(tm_proc, 1)->uanon;
	told("I-PG-5 I-ANON-2 I-PG-12 I-LOAN-7 I-PG-16");
	pg->uanon = NULL;
	end();
}

KTEST(I_PG_8_released_and_not_busy, "a page that is to be freed by nobody")
{
	begin("a");
	tm_page(tm_proc, 0)->flags |= PG_RELEASED;
	told("I-PG-8");
	tm_page(tm_proc, 0)->flags &= ~PG_RELEASED;
	end();
}

KTEST(I_PG_10_anons_bit_on_an_objects_page, "a page of an object that says it is an anon's")
{
	begin("o");
	tm_page(tm_proc, 0)->pqflags |= PQ_ANON;
	told("I-PG-10 I-STAT-2");
	tm_page(tm_proc, 0)->pqflags &= ~(uint32_t)PQ_ANON;
	end();
}

KTEST(I_OBJ_8_anons_page_that_lacks_blocks, "a page of an anon that is not to be stored to for want of blocks")
{
	begin("a");
	tm_page(tm_proc, 0)->flags |= PG_RDONLY;
	told("I-OBJ-8");
	tm_page(tm_proc, 0)->flags &= ~PG_RDONLY;
	end();
}

KTEST(I_PG_13_wanted_by_nobody, "a page that is wanted, and nobody sleeps")
{
	begin("a");
	tm_page(tm_proc, 0)->flags |= PG_WANTED;
	told("I-PG-13");
	tm_page(tm_proc, 0)->flags &= ~PG_WANTED;
	end();
}

KTEST(I_PG_14_free_pages_miscounted, "a free list that is longer than its counter")
{
	begin("a");
	uvm.free--;
	told("I-PG-14");
	uvm.free++;
	end();
}

KTEST(I_PG_14_free_page_on_another_list, "a free page that says it is on another list than it is on")
{
	struct vm_page *pg;

	begin("a");
	mutex_spin_enter(&uvm_fpageqlock);
	pg = uvm_page_nextfree();
	mutex_spin_exit(&uvm_fpageqlock);
	pg->on_free++;
	told("I-PG-14");
	pg->on_free--;
	end();
}

KTEST(I_PG_14_free_pages_of_a_cpu_miscounted, "a CPU that has fewer free pages than it says")
{
	struct uvm_cpu *uc;

	begin("a");
	uc = cpus[0].ci_uvm;
	uc->uc_npgfl++;
	told("I-PG-14 I-PG-14 I-PG-14");	/* its list, the rest of them, the counter */
	uc->uc_npgfl--;
	end();
}

KTEST(I_OBJ_10_busy_page_of_nobody, "a page that was left busy")
{
	begin("o");
	tm_page(tm_proc, 0)->flags |= PG_BUSY;
	told("I-OBJ-10");
	tm_page(tm_proc, 0)->flags &= ~PG_BUSY;
	end();
}

KTEST(I_STAT_2_anon_page_miscounted, "a counter of a kind of pages that is wrong")
{
	begin("a");
	UVMGAUGE(UVMG_anonpages, 1);
	told("I-STAT-2");
	UVMGAUGE(UVMG_anonpages, -1);
	end();
}

KTEST(I_STAT_11_orphan_that_is_none, "orphans that were counted and are not there")
{
	begin("a");
	uvm.orphans++;
	told("I-STAT-11");
	uvm.orphans--;
	end();
}

KTEST(I_STAT_12_more_mapped_than_allowed, "an address space that has grown beyond its limit")
{
	struct vm_map *map;

	begin("aa");
	map = tm_map(tm_proc);
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_AS, (struct urlimit){ PAGE_SIZE, URLIM_INFINITY }), 0);
	told("");			/* it was lowered, and nothing has grown since */
	map->allowed = PAGE_SIZE;
	told("I-STAT-12");
	map->allowed = 2 * PAGE_SIZE;
	end();
}

KTEST(I_STAT_12_limit_of_another, "an address space that goes by a limit which is not its process'")
{
	begin("a");
	tm_map(tm_proc)->limit = 5 * PAGE_SIZE;
	told("I-STAT-12");
	tm_map(tm_proc)->limit = URLIM_INFINITY;
	end();
}

KTEST(I_MAP_7_reference_of_nobody, "an amap with more references than entries")
{
	begin("a");
	tm_entry(tm_proc, 0)->aref.ar_amap->am_ref++;
	told("I-MAP-7 I-AMAP-6");
	tm_entry(tm_proc, 0)->aref.ar_amap->am_ref--;
	end();
}

KTEST(I_AMAP_8_amap_off_the_list, "an amap that an entry has and the list has not")
{
	struct vm_amap *amap;

	begin("a");
	amap = tm_entry(tm_proc, 0)->aref.ar_amap;
	TAILQ_REMOVE(&amap_list, amap, am_list);
	told("I-AMAP-8");
	TAILQ_INSERT_TAIL(&amap_list, amap, am_list);
	end();
}

KTEST_MAIN()
