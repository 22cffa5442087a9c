/*
 * What is counted, and what reports make of it: each number is the one that it says it is.
 */
#include "tmap.h"

#include <string.h>
#include <sys/inject.h>
#include <uvm/uvm_aobj.h>

#define	NPAGES	2048
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

/* --- how long faults take --- */

static struct uvm_latency
latency(void)
{
	struct uvm_latency ul;

	uvm_latency_get(&ul);
	return ul;
}

static void
forget_latency(void)
{
	for (int i = 0; i < ncpu; i++) {
		struct uvm_cpu *uc = uvm_cpu(i);

		memset(uc->uc_latency, 0, sizeof(uc->uc_latency));
		uc->uc_latency_max = 0;
	}
}

static void
note(uint64_t ns, int n)
{
	for (int i = 0; i < n; i++)
		uvm_latency_note(ns);
}

KTEST(latency_is_right_to_an_eighth, "of each power of two, and in the octave of its own")
{
	tu_boot(1, NPAGES);
	for (unsigned log = 0; log < UVM_LATENCY_OCTAVES; log++)
		for (uint64_t eighth = 8; eighth < 16; eighth++) {
			const uint64_t ns = (eighth << log) / 8;
			struct uvm_latency ul;

			forget_latency();
			uvm_latency_note(ns);
			ul = latency();
			CHECK(ul.ul_n == 1 && ul.ul_max == ns && ul.ul_octave[log] == 1);
			CHECK(ul.ul_p50 >= ns && ul.ul_p50 <= ns + ns / 8);
			CHECK(ul.ul_p90 == ul.ul_p50 && ul.ul_p99 == ul.ul_p50 && ul.ul_p999 == ul.ul_p50);
		}
	forget_latency();
	uvm_latency_note(0);
	CHECK(latency().ul_p50 == 0 && latency().ul_octave[0] == 1);
	uvm_latency_note(UINT64_C(1) << 45);
	CHECK_EQ(latency().ul_octave[UVM_LATENCY_OCTAVES - 1], 1);	/* and above */
	forget_latency();
	CHECK(latency().ul_n == 0 && latency().ul_p999 == 0);
	tu_shutdown();
}

static bool
about(uint64_t ns, uint64_t want)
{
	return ns >= want && ns <= want + want / 8;
}

KTEST(percentiles_are_of_all_CPUs, "half of the faults took no longer than the median, nine in ten than the next, and so on")
{
	struct uvm_latency ul;

	tu_boot(2, NPAGES);
	forget_latency();
	note(1000000, 1);
	note(100000, 8);
	note(10000, 90);
	note(1000, 400);
	note(100, 501);
	ul = latency();
	CHECK(ul.ul_n == 1000 && ul.ul_max == 1000000);
	CHECK(about(ul.ul_p50, 100) && about(ul.ul_p90, 1000) && about(ul.ul_p99, 10000) &&
	    about(ul.ul_p999, 1000000));
	/* and a thousand on the other CPU took 200 ns each */
	for (unsigned b = 0; b < UVM_LATENCY_BUCKETS; b++)
		if (uvm_cpu(0)->uc_latency[b] == 501 || uvm_cpu(1)->uc_latency[b] == 501)
			uvm_cpu(curcpu()->ci_index ^ 1)->uc_latency[b + 8] = 1000;
	uvm_cpu(curcpu()->ci_index ^ 1)->uc_latency_max = 2000000;
	ul = latency();
	CHECK(ul.ul_n == 2000 && ul.ul_max == 2000000);
	CHECK(about(ul.ul_p50, 200) && about(ul.ul_p90, 1000) && about(ul.ul_p99, 10000));
	tu_shutdown();
}

KTEST(one_fault_in_so_many_is_timed, "and the others cost nothing")
{
	unsigned n = 0;

	tu_boot(1, NPAGES);
	for (unsigned i = 0; i < 100 * UVM_LATENCY_SAMPLE; i++)
		n += uvm_latency_sampled();
	CHECK_EQ(n, 100);
	tu_shutdown();
}

/* --- gauges --- */

KTEST(gauge_is_never_below_none, "read while pages go from one CPU's count to another's, it may be 0 for a moment")
{
	uint64_t *there, kern;

	tu_boot(2, NPAGES);
	kern = uvm_gauge(UVMG_kernpages);
	there = &uvm_cpu(1)->uc_gauge[UVMG_kernpages];
	*there -= kern + 1;
	CHECK_EQ(uvm_gauge(UVMG_kernpages), 0);
	*there += kern + 3;
	CHECK_EQ(uvm_gauge(UVMG_kernpages), kern + 2);
	*there -= 2;
	tu_shutdown();
}

KTEST(progress_and_report_agree, "a glance without a lock shows what the snapshot has, when nothing runs")
{
	struct uvm_glance ug;
	struct uvmexp ue;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaaaaaaaaaa");
	for (int i = 0; i < 12; i++)
		tm_store(i, 1);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_DONTNEED), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(4), ptoa(3)), 0);
	tm_store(11, 2);
	memset(&ug, 0xff, sizeof(ug));
	uvm_stat_glance(&ug);			/* before the snapshot has put anything on a queue */
	uvm_stat_get(&ue);
	CHECK(ug.ug_faults == ue.count[UVMC_faults] && ug.ug_faults > 0);
	CHECK(ug.ug_npages == ue.npages && ue.npages == NPAGES);
	CHECK(ug.ug_free == ue.free && ug.ug_active == ue.active && ug.ug_inactive == ue.inactive);
	CHECK(ue.active >= 5 && ue.inactive == 4 && ue.busy == 0);
	CHECK(ug.ug_wired == ue.wired && ue.wired == uvm.wired && ue.wired >= 3);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(4), ptoa(3)), 0);
	uvm_pageout_start(2);
	uvm_stat_get(&ue);
	CHECK_EQ(ue.paging, 2);
	uvm_pageout_done(2);
	tm_shutdown();
}

KTEST(targets_are_reported, "under their own names, all of which differ")
{
	struct uvmexp ue;

	tu_boot(1, NPAGES);
	uvm_stat_get(&ue);
	CHECK(ue.reserve_pagedaemon == 4 && ue.reserve_kernel == 10 && ue.freemin == 32 && ue.freetarg == 42);
	CHECK(ue.wiredmax == NPAGES / 3 && ue.inactarg == uvm.inactarg);
	tu_shutdown();
}

KTEST(objects_alive_are_counted, "spaces, entries, vnodes, objects, amaps, anons, tables")
{
	struct uvm_object *uobj;
	struct uvmexp was, ue;
	struct proc *child;
	struct vnode *vp;

	tm_boot(1, NPAGES);
	uvm_stat_get(&was);
	CHECK(was.nmapent > 0 && was.nmapent <= was.count[UVMC_mapentries] && was.nvmspace >= 1);
	tm_put(tm_proc, "aa.r");
	tm_store(0, 1);
	tm_store(1, 1);
	vp = tu_file(PAGE_SIZE);
	uobj = uao_create(PAGE_SIZE, 0);
	uvm_stat_get(&ue);
	CHECK_EQ(ue.nmapent, was.nmapent + 2);
	CHECK_EQ(ue.count[UVMC_mapentries], was.count[UVMC_mapentries] + 2);
	CHECK(ue.nvnode == was.nvnode + 1 && ue.naobj == was.naobj + 1);
	CHECK(ue.namap == was.namap + 1 && ue.nanon == was.nanon + 2);
	CHECK(ue.ptpages > was.ptpages && ue.nvmspace == was.nvmspace);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	uvm_stat_get(&ue);
	CHECK(ue.nvmspace == was.nvmspace + 1 && ue.count[UVMC_forks] == 1);
	proc_exit(child);
	uobj->pgops->pgo_detach(uobj);
	vrele(vp);
	tm_shutdown();
}

/* --- faults, one by one --- */

static struct uvmexp before;

/* => how often it happened since the last call of mark() */
static uint64_t
since(enum uvm_counter c)
{
	return tu_count(c) - before.count[c];
}

static void
mark(void)
{
	uvm_stat_get(&before);
}

KTEST(fault_of_anonymous_memory_is_counted, "the first makes an amap and begins anew, the next needs none")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aa");
	mark();
	tm_store(0, 1);
	CHECK(since(UVMC_faults) == 1 && since(UVMC_fltamcopy) == 1 && since(UVMC_flt_restart) == 1);
	mark();
	tm_store(1, 1);
	CHECK(since(UVMC_faults) == 1 && since(UVMC_fltamcopy) == 0 && since(UVMC_flt_restart) == 0);
	CHECK(since(UVMC_flt_przero) == 1 && since(UVMC_pga_zero) == 1);
	CHECK(since(UVMC_flt_soft) == 0 && since(UVMC_flt_pagein) == 0 && since(UVMC_fltlget) == 0);
	CHECK(since(UVMC_flt_wire) == 0 && since(UVMC_pga_fail) == 0 && since(UVMC_flt_shortage) == 0);
	tm_shutdown();
}

KTEST(fault_of_a_file_is_counted, "one that reads its page, and one that finds it")
{
	vaddr_t va = TM_VA(0);
	struct vnode *vp;

	tm_boot(1, NPAGES);
	vp = tu_file(ptoa(4));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(4), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa(4), UMADV_RANDOM), 0);
	mark();
	(void)tm_load(0);
	CHECK(since(UVMC_fltlget) == 1 && since(UVMC_fltget) == 1 && since(UVMC_flt_obj) == 1);
	CHECK(since(UVMC_flt_file) == 1 && since(UVMC_flt_pagein) == 1 && since(UVMC_flt_soft) == 0);
	CHECK(since(UVMC_fltrelck) == 1 && since(UVMC_fltrelckok) == 1 && since(UVMC_flt_restart) == 0);
	CHECK(since(UVMC_pageins) == 1 && since(UVMC_fileread_pages) == 1);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	mark();
	(void)tm_load(0);
	CHECK(since(UVMC_fltlget) == 1 && since(UVMC_fltget) == 0 && since(UVMC_flt_obj) == 1);
	CHECK(since(UVMC_flt_file) == 1 && since(UVMC_flt_pagein) == 0 && since(UVMC_flt_soft) == 1);
	CHECK(since(UVMC_fltrelck) == 0 && since(UVMC_pageins) == 0);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(4)), 0);
	vrele(vp);
	tm_shutdown();
}

/* => the next fault finds none of it, once */
static void
fails_once(const char *what)
{
	CHECK_EQ(inject_configure(what, 1, NULL, 0), 0);
	mark();
	inject_start();
}

KTEST(fault_that_finds_no_memory_is_counted, "no page, or no anon; it waits, begins anew, and is answered")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	tm_store(0, 1);					/* there is an amap, and there are anons */
	fails_once("page-alloc:p=1,times=1");
	tm_store(1, 1);
	inject_stop();
	CHECK(since(UVMC_fltnoram) == 1 && since(UVMC_fltnoanon) == 0 && since(UVMC_flt_shortage) == 1);
	CHECK(since(UVMC_flt_restart) == 1 && since(UVMC_faults) == 1);
	fails_once("anon-alloc:p=1,times=1");
	tm_store(2, 1);
	inject_stop();
	CHECK(since(UVMC_fltnoram) == 0 && since(UVMC_fltnoanon) == 1 && since(UVMC_flt_shortage) == 1);
	CHECK(since(UVMC_flt_restart) == 1 && since(UVMC_faults) == 1);
	tm_shutdown();
}

KTEST_MAIN()
