/* Scenarios of translations that CPUs keep and page tables that they walk, step by step. */
#include <errno.h>

#include <sys/inject.h>
#include <uvm/uvm_km.h>

#include "scenario.h"

/* An access to a page that each CPU has already: an interrupt that waits comes in before it. */
static void
let_interrupts_in(void)
{
	CHECK_EQ(tm_load(8), 8);
}

/* => that page is there */
static void
begin(int ncpus, const char *lane)
{
	scenario_begin_on(ncpus);
	tm_put(tm_proc, lane);
	CHECK_EQ(tm_put_at(tm_proc, 8, 1, 's'), 0);
	tm_store(8, 8);
}

/* --- T-20 --- */

static void
store_without_memory(void *arg)
{
	inject_start();
	tm_store(0, 2);
	inject_stop();
}

static void
store_nine(void *arg)
{
	tm_store(0, 9);
}

static void
load_around_a_shortage(void *arg)
{
	CHECK_EQ(tm_load(0), 1);
	let_interrupts_in();
	script_point("loaded");
	let_interrupts_in();
	script_point("acknowledged");
	CHECK_EQ(tm_load(0), 1);
}

/* a has copied the page for its store, and cannot map the copy; the old one is c's alone then, who stores to it. */
SCENARIO(T20_promoted_page_cannot_be_mapped,
    "where a mapping cannot be replaced by the copy's the old page is not read any more (R2, I-PMAP-1)")
{
	struct proc *child;
	char why[100];

	begin(5, "a");
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(inject_configure("pmap-enter:p=1,times=1", 1, why, sizeof(why)), 0);
	CHECK_EQ(tm_load(0), 1);
	script_lock("free", &uvm_fpageqlock);
	SCRIPT("b until test(loaded); a until blocked; b until test(acknowledged); a until unlock(free); c until done;"
	    "b until done; a until done",
	    { "a", tm_proc, store_without_memory, NULL }, { "b", tm_proc, load_around_a_shortage, NULL },
	    { "c", child, store_nine, NULL });
	CHECK_EQ(tm_load(0), 2);
	CHECK_EQ(tm_load_in(child, 0), 9);
	proc_exit(child);
	scenario_end();
}
MISTAKE(T20_promoted_page_cannot_be_mapped, failed_enter_keeps_old, "I-PMAP-1|`a until blocked`|user_load|check failed: tm_load\\(0\\) is 9")

/* --- T-21 --- */

#define	FIXED	50		/* no entry is there: whoever faults has found nothing */

static struct vm_page *frame[2];

static void
map_wired(struct vm_page *pg)
{
	struct pmap *pm = tm_map(tm_proc)->pmap;

	mutex_enter(&tm_obj->vmobjlock);
	CHECK_EQ(pmap_enter(pm, TM_VA(FIXED), VM_PAGE_TO_PHYS(pg), VM_PROT_READ,
	    VM_PROT_READ | PMAP_WIRED), 0);
	pmap_update(pm);
	mutex_exit(&tm_obj->vmobjlock);
}

static void
replace_wired(void *arg)
{
	map_wired(frame[1]);
}

static void
load_old(void *arg)
{
	CHECK_EQ(tm_load(FIXED), 1);
}

static void
load_new(void *arg)
{
	CHECK_EQ(tm_load(FIXED), 2);
}

static void
load_old_then_new(void *arg)
{
	CHECK_EQ(tm_load(FIXED), 1);
	script_point("loaded");
	CHECK_EQ(tm_load(FIXED), 2);
}

/* b has the old frame in its TLB; c comes just before the PTE changes, d just after. */
SCENARIO(T21_wired_mapping_is_replaced_below_readers,
    "a wired mapping goes over to another frame in one step: every CPU finds the one or the other (R3, I-PMAP-2)")
{
	struct pmap *pm;

	scenario_begin_on(6);
	pm = tm_map(tm_proc)->pmap;
	for (int i = 0; i < 2; i++) {
		frame[i] = tu_resident(tm_obj, (voff_t)ptoa(100 + (vaddr_t)i));
		*tu_words(frame[i]) = 1 + (uint64_t)i;
	}
	map_wired(frame[0]);
	SCRIPT("b until test(loaded); a until pte; c until done; a until unlock; d until done; a until blocked;"
	    "b a until done; a until done",
	    { "a", NULL, replace_wired, NULL }, { "b", tm_proc, load_old_then_new, NULL },
	    { "c", tm_proc, load_old, NULL }, { "d", tm_proc, load_new, NULL });
	pmap_remove(pm, TM_VA(FIXED), TM_VA(FIXED + 1));
	pmap_update(pm);
	scenario_end();
}

/* --- T-23 --- */

/* => all mappings of the page go, at IPL_VM */
static void
revoke(int page)
{
	struct vm_page *pg = tm_page(tm_proc, page);
	kmutex_t *owner = uvm_page_owner_lock(pg);
	int s;

	mutex_enter(owner);
	s = splvm();
	uvm_page_protect(pg, VM_PROT_NONE);
	splx(s);
	mutex_exit(owner);
}

static void
revoke_own(void *arg)
{
	const int page = *(const int *)arg;

	for (int i = 0; i < 3; i++)
		CHECK_EQ(tm_load(i), i);
	script_point("warm");
	revoke(page);
}

/* All three have all three pages.  a and b are about to shoot at each other; c holds the lock of the pmap. */
SCENARIO(T23_two_shoot_at_each_other_while_a_third_has_the_pmap,
    "who waits for acknowledgements gives those that he is asked for, at IPL_VM too (I-SMP-9)")
{
	int page[3] = { 0, 1, 2 };

	scenario_begin();
	tm_put(tm_proc, "sss");
	for (int i = 0; i < 3; i++)
		tm_store(i, (uint64_t)i);
	SCRIPT("a until test(warm); b until test(warm); c until test(warm); b until tlb; a until tlb; c until pte;"
	    "a until blocked; b until blocked; c b a until done; b a until done; a until done",
	    { "a", tm_proc, revoke_own, &page[0] }, { "b", tm_proc, revoke_own, &page[1] },
	    { "c", tm_proc, revoke_own, &page[2] });
	for (int i = 0; i < 3; i++)
		CHECK_EQ(tm_load(i), i);
	scenario_end();
}

/* --- T-25 --- */

static kmutex_t nap_lock;
static struct proc *gone;

static void
load_and_sleep(void *arg)
{
	CHECK_EQ(tm_load(0), 0);
	mutex_enter(&nap_lock);
	(void)mtsleep(&nap_lock, true, "nap", 0, &nap_lock);
}

static void
unmap_and_wake(void *arg)
{
	struct pmap_stat before, after;

	pmap_getstat(&before);
	CHECK_EQ(sys_munmap(gone, TM_VA(0), PAGE_SIZE), 0);
	pmap_getstat(&after);
	CHECK_EQ(after.ipis, before.ipis);
	mutex_enter(&nap_lock);
	wakeup(&nap_lock);
	mutex_exit(&nap_lock);
}

/* b sleeps, and its CPU idles, when what it had mapped goes with its tables. */
SCENARIO(T25_tables_go_behind_an_idle_cpu,
    "a CPU that idles has no pmap: nobody need ask it before tables are used again (I-PMAP-6, I-PMAP-13)")
{
	scenario_begin();
	mutex_init(&nap_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	CHECK_EQ(proc_create("gone", &gone), 0);
	CHECK_EQ(tm_put_at(gone, 0, 1, 'a'), 0);
	SCRIPT("b until blocked; a until done; b until done",
	    { "a", NULL, unmap_and_wake, NULL }, { "b", gone, load_and_sleep, NULL });
	proc_exit(gone);
	mutex_destroy(&nap_lock);
	scenario_end();
}

/* --- T-30 --- */

static uint64_t
tables(void)
{
	return __atomic_load_n(&uvm.ptpages, __ATOMIC_RELAXED);
}

static void
unmap(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

static void
tables_are_there(void *arg)
{
	CHECK_EQ(tables(), *(const uint64_t *)arg);
}

static void
load_nothing(void *arg)
{
	CHECK_EQ(tm_load_error(0), EFAULT);
}

/* b is about to walk, and a has unlinked the tables that it would walk through. */
SCENARIO(T30_tables_go_when_the_walker_has_answered,
    "the tables of the last mapping are freed when no CPU can be inside of them, and then all of them (I-PMAP-9)")
{
	uint64_t before;

	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	before = tables();
	SCRIPT("b until tlb; a until blocked; c until done; b a until done; a until done",
	    { "a", NULL, unmap, NULL }, { "b", tm_proc, load_nothing, NULL },
	    { "c", NULL, tables_are_there, &before });
	CHECK_EQ(pmap_ptp_count(tm_map(tm_proc)->pmap), 0);
	CHECK(tables() < before);
	scenario_end();
}
MISTAKE(T30_tables_go_when_the_walker_has_answered, free_before_ack, "`a until blocked`: it has ended|I-PMAP")

/* --- T-31 --- */

static vaddr_t window, beside;

static void
show(vaddr_t va, struct vm_page *pg)
{
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(pg), VM_PROT_READ);
	pmap_update(pmap_kernel());
}

static uint64_t
seen_at(vaddr_t va)
{
	uint64_t w = 0;

	CHECK_EQ(kern_load(va, &w), 0);
	return w;
}

static void
look_through(void *arg)
{
	CHECK_EQ(seen_at(beside), 1);
	CHECK_EQ(seen_at(window), 1);
	script_point("seen");
	CHECK_EQ(seen_at(beside), 1);
	script_point("acknowledged");
	CHECK_EQ(seen_at(window), 2);
}

static void
show_other(void *arg)
{
	pmap_kremove(window, PAGE_SIZE);
	pmap_update(pmap_kernel());
	show(window, frame[1]);
}

/* a has looked through the window; b, on another CPU, turns it to another page. */
SCENARIO(T31_window_is_turned_behind_a_cpu_that_has_looked,
    "no CPU looks through a window at the page of before once it shows another (I-PMAP-5, I-OBJ-7)")
{
	scenario_begin();
	window = uvm_km_alloc(kernel_map, ptoa(2), 0, UVM_KMF_VAONLY);
	beside = window + PAGE_SIZE;
	for (int i = 0; i < 2; i++) {
		frame[i] = tu_resident(tm_obj, (voff_t)ptoa(100 + (vaddr_t)i));
		*tu_words(frame[i]) = 1 + (uint64_t)i;
	}
	show(window, frame[0]);
	show(beside, frame[0]);
	SCRIPT("a until test(seen); b until blocked; a until test(acknowledged); b until done; a until done",
	    { "a", NULL, look_through, NULL }, { "b", NULL, show_other, NULL });
	pmap_kremove(window, ptoa(2));
	pmap_update(pmap_kernel());
	uvm_km_free(kernel_map, window, ptoa(2), UVM_KMF_VAONLY);
	scenario_end();
}
MISTAKE(T31_window_is_turned_behind_a_cpu_that_has_looked, free_before_ack, "`b until blocked`: it has ended|I-PMAP")

KTEST_MAIN()
