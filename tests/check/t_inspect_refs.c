/*
 * The inspector of references finds what it is for.  Each case makes one count wrong, or
 * one owner, must hear the invariant's id, and puts it back: then all is well again.
 */
#include <harness/inspect.h>

#include "tinspect.h"

static void
begin(const char *lane)
{
	ti_begin(lane);
	CHECK_EQ(inspect_refs(), 0);
	tm_collect();
}

#define	END(ids)	TI_END(inspect_refs, ids)

KTEST(I_AMAP_4_reference_of_nobody, "an anon with more references than slots")
{
	begin("a");
	tm_anon(0)->an_ref++;
	CHECK_EQ(inspect_refs(), 1);
	tm_anon(0)->an_ref--;
	END("I-AMAP-4");
}

KTEST(I_AMAP_4_reference_that_is_missing, "an anon that a parent's and a child's amap hold")
{
	struct proc *child;

	begin("aa");
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store_in(child, 1, 2);		/* its amap is a copy now; page 0 is in both */
	CHECK_EQ(tm_anon(0)->an_ref, 2);
	CHECK_EQ(inspect_refs(), 0);
	tm_anon(0)->an_ref = 1;
	CHECK_EQ(inspect_refs(), 1);
	tm_anon(0)->an_ref = 2;
	proc_exit(child);
	END("I-AMAP-4");
}

KTEST(I_AMAP_6_slot_that_nobody_covers, "an entry that is shorter than its amap was told")
{
	struct vm_map_entry *e;

	begin("aaaa");
	e = tm_entry(tm_proc, 0);
	e->end -= PAGE_SIZE;
	CHECK_EQ(inspect_refs(), 1);
	e->end += PAGE_SIZE;
	END("I-AMAP-6");
}

KTEST(I_AMAP_7_two_who_store_without_copying, "an amap of parent and child, and neither will copy it")
{
	struct proc *child;

	begin("a");
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(inspect_refs(), 0);
	tm_entry(tm_proc, 0)->etype &= ~UVM_ET_NEEDSCOPY;
	CHECK_EQ(inspect_refs(), 0);		/* one may: the other's copy is still to come */
	tm_entry(child, 0)->etype &= ~UVM_ET_NEEDSCOPY;
	CHECK_EQ(inspect_refs(), 1);
	tm_entry(tm_proc, 0)->etype |= UVM_ET_NEEDSCOPY;
	tm_entry(child, 0)->etype |= UVM_ET_NEEDSCOPY;
	CHECK_EQ(inspect_refs(), 0);
	proc_exit(child);
	END("I-AMAP-7");
}

KTEST(I_MAP_8_object_with_too_few, "an object that is mapped more often than it knows")
{
	begin("o");
	CHECK_EQ(tm_obj->uo_refs, 2);
	tm_obj->uo_refs = 0;
	CHECK_EQ(inspect_refs(), 1);
	tm_obj->uo_refs = 2;
	END("I-MAP-8");
}

KTEST(I_OBJ_1_pages_miscounted, "an object that has another number of pages")
{
	begin("oo");
	tm_obj->uo_npages++;
	CHECK_EQ(inspect_refs(), 1);
	tm_obj->uo_npages--;
	END("I-OBJ-1");
}

KTEST(I_OBJ_1_page_that_is_not_found, "two pages of one offset, of which a look-up finds one")
{
	begin("oo");
	tm_page(tm_proc, 0)->offset += PAGE_SIZE;
	CHECK_EQ(inspect_refs(), 1);
	tm_page(tm_proc, 0)->offset -= PAGE_SIZE;
	END("I-OBJ-1");
}

KTEST(I_OBJ_1_tree_upside_down, "two pages that are found, and the wrong one is on top")
{
	struct vm_page *top, *below;

	begin("oo");
	top = tm_page(tm_proc, 0);
	below = tm_page(tm_proc, 1);
	CHECK(tm_obj->uo_pages == VM_PAGE_ID(top) + 1 && top->tree_right == VM_PAGE_ID(below) + 1);
	tm_obj->uo_pages = VM_PAGE_ID(below) + 1;
	below->tree_left = VM_PAGE_ID(top) + 1;
	top->tree_right = 0;
	CHECK_EQ(inspect_refs(), 1);
	tm_obj->uo_pages = VM_PAGE_ID(top) + 1;
	below->tree_left = 0;
	top->tree_right = VM_PAGE_ID(below) + 1;
	END("I-OBJ-1");
}

KTEST(I_MAP_10_busy_at_rest, "a map that was never unbusied")
{
	begin("a");
	tm_map(tm_proc)->busy = curlwp;
	CHECK_EQ(inspect_refs(), 1);
	tm_map(tm_proc)->busy = NULL;
	END("I-MAP-10");
}

KTEST(I_MAP_16_address_space_that_somebody_holds, "a reference that was not given back")
{
	struct vmspace *vm;

	begin("a");
	vm = proc_vmspace_hold(tm_proc);
	CHECK_EQ(inspect_refs(), 1);
	uvmspace_free(vm);
	END("I-MAP-16");
}

KTEST(I_MAP_16_two_processes_in_one_address_space, "what a child of vfork shares is counted once; a reference too many is told")
{
	struct proc *child;
	struct vmspace *vm;

	begin("aaso");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(proc_vfork(tm_proc, "v", &child), 0);
	inspect_at_rest(0);		/* counts no entry, slot or wiring twice */
	CHECK_EQ(tm_seen[0], '\0');
	vm = proc_vmspace_hold(child);
	CHECK_EQ(inspect_refs(), 1);
	uvmspace_free(vm);
	proc_exit(child);
	proc_vfork_wait(child);
	END("I-MAP-16");
}

KTEST(I_MAP_16_child_without_a_reference, "a child of vfork that has none to what it shares, though one of all is right for one process")
{
	struct proc *child;
	struct vmspace *vm;

	begin("a");
	CHECK_EQ(proc_vfork(tm_proc, "v", &child), 0);
	vm = proc_vmspace_hold(child);
	uvmspace_free(vm);
	uvmspace_free(vm);			/* the child's */
	CHECK_EQ(inspect_refs(), 1);
	CHECK(uvmspace_share(vm) == vm);
	CHECK_EQ(inspect_refs(), 0);
	proc_exit(child);
	proc_vfork_wait(child);
	END("I-MAP-16");
}

KTEST(I_ANON_1_page_of_another, "an anon whose page names another anon")
{
	struct vm_anon *mine;

	begin("aa");
	mine = tm_anon(0);
	tm_page(tm_proc, 0)->uanon = tm_anon(1);
	CHECK_EQ(inspect_refs(), 1);
	tm_page(tm_proc, 0)->uanon = mine;
	END("I-ANON-1");
}

/* --- event counters (inspect_stat.c) --- */

/* => counters that were never counted: one is too large, and is mended */
static void
events(enum uvm_counter counter, const char *id, enum uvm_counter enough)
{
	struct uvmexp exp = { 0 };

	tm_boot(1, 2048);
	CHECK_EQ(inspect_events(&exp), 0);
	tm_collect();
	exp.count[counter] = 1;
	CHECK_EQ(inspect_events(&exp), 1);
	CHECK_STR(tm_seen, id);
	exp.count[enough] = 1;
	CHECK_EQ(inspect_events(&exp), 0);
	tm_shutdown();
}

KTEST(I_STAT_7_more_good_relocks_than_relocks, "relocks that found the map unchanged are relocks")
{
	events(UVMC_fltrelckok, "I-STAT-7", UVMC_fltrelck);
}

KTEST(I_STAT_8_anon_cases_without_a_look_up, "who is answered by an anon has looked it up")
{
	events(UVMC_flt_acow, "I-STAT-8", UVMC_fltanget);
}

KTEST(I_STAT_9_freed_and_never_looked_at, "what the daemon frees it has looked at, or had written")
{
	events(UVMC_pdfreed, "I-STAT-9", UVMC_pdscans);
}

KTEST(I_STAT_7_I_STAT_9_part_without_its_whole, "what is counted as part of something is no more than all of it")
{
	static const struct {
		enum uvm_counter part;
		const char	*id;
		enum uvm_counter all[2];	/* UVMC_COUNT: more transfers would be needed, too */
	} row[] = {
		{ UVMC_flt_pagein, "I-STAT-7", { UVMC_faults, UVMC_faults } },
		{ UVMC_flt_soft, "I-STAT-7", { UVMC_faults, UVMC_faults } },
		{ UVMC_flt_wire, "I-STAT-7", { UVMC_faults, UVMC_faults } },
		{ UVMC_flt_obj, "I-STAT-7", { UVMC_fltlget, UVMC_fltlget } },
		{ UVMC_flt_prcopy, "I-STAT-7", { UVMC_fltlget, UVMC_fltlget } },
		{ UVMC_flt_file, "I-STAT-7", { UVMC_fltlget, UVMC_fltlget } },
		{ UVMC_flt_przero, "I-STAT-7", { UVMC_pga_zero, UVMC_pga_zero } },
		{ UVMC_fltpgwait, "I-STAT-7", { UVMC_fltanretry, UVMC_fltanretry } },
		{ UVMC_pdreact, "I-STAT-9", { UVMC_pdscans, UVMC_pdscans } },
		{ UVMC_pdreanon, "I-STAT-9", { UVMC_pdscans, UVMC_pdscans } },
		{ UVMC_pdrefile, "I-STAT-9", { UVMC_pdscans, UVMC_pdscans } },
		{ UVMC_pddirtyreact, "I-STAT-9", { UVMC_pdscans, UVMC_pdscans } },
		{ UVMC_pddeact, "I-STAT-9", { UVMC_pdactive, UVMC_pdactive } },
		{ UVMC_pdspared, "I-STAT-9", { UVMC_pdactive, UVMC_pdactive } },
		{ UVMC_pddropswap, "I-STAT-9", { UVMC_pdactive, UVMC_pdactive } },
		{ UVMC_pdbusy, "I-STAT-9", { UVMC_pdscans, UVMC_pdscans } },
		{ UVMC_pdtrylock, "I-STAT-9", { UVMC_pdactive, UVMC_pdactive } },
		{ UVMC_pdtrypause, "I-STAT-9", { UVMC_pdtrylock, UVMC_pdscans } },
		{ UVMC_pdrevs, "I-STAT-9", { UVMC_pdwoke, UVMC_pdwoke } },
		{ UVMC_pdpageouts, "I-STAT-9", { UVMC_swapout_error, UVMC_swapout_error } },
		{ UVMC_pgswapout, "I-STAT-9", { UVMC_COUNT } },
		{ UVMC_filewrite_pages, "I-STAT-9", { UVMC_COUNT } },
		{ UVMC_nswget, "I-STAT-9", { UVMC_COUNT } },
		{ UVMC_pgswapin, "I-STAT-9", { UVMC_COUNT } },
		{ UVMC_fileread_pages, "I-STAT-9", { UVMC_COUNT } },
		{ UVMC_pageins, "I-STAT-9", { UVMC_COUNT } },
	};

	tm_boot(1, 2048);
	tm_collect();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct uvmexp exp = { 0 };

		tm_seen[0] = '\0';
		exp.count[row[i].part] = 1;
		CHECK_EQ(inspect_events(&exp), 1);
		CHECK_STR(tm_seen, row[i].id);
		if (row[i].all[0] == UVMC_COUNT)
			continue;
		exp.count[row[i].all[0]] = exp.count[row[i].all[1]] = 1;
		CHECK_EQ(inspect_events(&exp), 0);
	}
	tm_shutdown();
}

KTEST(I_PMAP_2_wired_mapping_that_is_replaced, "a wired mapping gets another frame: nobody in UVM may")
{
	const vm_prot_t prot = VM_PROT_READ | VM_PROT_WRITE;
	struct vm_page *one, *two;
	struct uvmexp exp = { 0 };
	vaddr_t va;

	tm_boot(1, 2048);
	va = uvm_km_alloc(kernel_map, PAGE_SIZE, 0, UVM_KMF_VAONLY);
	one = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	two = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	CHECK(one != NULL && two != NULL && va != 0);
	CHECK_EQ(pmap_enter(pmap_kernel(), va, VM_PAGE_TO_PHYS(one), prot, PMAP_WIRED | PMAP_CANFAIL), 0);
	CHECK_EQ(inspect_events(&exp), 0);
	tm_collect();
	CHECK_EQ(pmap_enter(pmap_kernel(), va, VM_PAGE_TO_PHYS(two), prot, PMAP_WIRED | PMAP_CANFAIL), 0);
	CHECK_EQ(inspect_events(&exp), 1);
	CHECK_STR(tm_seen, "I-PMAP-2");
	pmap_remove(pmap_kernel(), va, va + PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_pagefree(one);
	uvm_pagefree(two);
	uvm_km_free(kernel_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
	tm_shutdown();
}

KTEST_MAIN()
