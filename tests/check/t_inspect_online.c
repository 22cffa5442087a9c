/*
 * Sampling finds what it is for while everything may run, and so does the look at who does not
 * come to rest.  Each case makes one thing wrong, must hear the rule's id, and puts it back.
 */
#include "tinspect.h"

#include <harness/inspect.h>
#include <sys/sleepq.h>
#include <sys/stop.h>
#include <uvm/uvm_amap_i.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_swap_i.h>

#define	DEPTH		4
#define	ROUNDS		20000

static void
sample(int rounds)
{
	for (int n = 0; n < rounds && tm_seen[0] == '\0'; n++)
		inspect_sample(DEPTH, (uint64_t)n);
}

static void
begin(const char *lane)
{
	ti_begin(lane);
	tm_collect();
	sample(200);
	CHECK_STR(tm_seen, "");
}

/* => sooner or later a sample meets it */
static void
told(const char *id)
{
	sample(ROUNDS);
	if (strncmp(tm_seen, id, strlen(id)) != 0)
		CHECK_STR(tm_seen, id);
	tm_seen[0] = '\0';
}

static void
end(void)
{
	sample(200);
	CHECK_STR(tm_seen, "");
	tm_shutdown();
}

KTEST(samples_see_I_PG_2, "a page that is wired and on a queue")
{
	struct vm_page *pg;

	begin("aaoo");
	pg = tm_page(tm_proc, 0);
	pg->wire_count = 1;
	told("I-PG-2");
	pg->wire_count = 0;
	end();
}

KTEST(samples_see_I_PG_10, "an object's page that says it is an anon's")
{
	struct vm_page *pg;

	begin("aaoo");
	pg = tm_page(tm_proc, 3);
	pg->pqflags |= PQ_ANON;
	told("I-PG-10");
	pg->pqflags &= ~PQ_ANON;
	end();
}

KTEST(samples_see_I_PMAP_7, "a mapping that grants more than its entry")
{
	begin("a");
	tm_entry(tm_proc, 0)->protection = VM_PROT_READ;
	told("I-PMAP-7");
	tm_entry(tm_proc, 0)->protection = VM_PROT_READ | VM_PROT_WRITE;
	end();
}

KTEST(samples_see_I_MAP_1, "a map whose size is not that of its entries")
{
	begin("a");
	tm_map(tm_proc)->size += PAGE_SIZE;
	told("I-MAP-1");
	tm_map(tm_proc)->size -= PAGE_SIZE;
	end();
}

KTEST(samples_see_I_MAP_8, "an object that somebody maps and nobody refers to")
{
	int refs;

	begin("oo");
	refs = tm_obj->uo_refs;
	tm_obj->uo_refs = 0;
	told("I-MAP-8");
	tm_obj->uo_refs = refs;
	end();
}

KTEST(samples_see_I_AMAP_2, "an amap that counts a slot too many")
{
	struct vm_amap *amap;

	begin("a");
	amap = tm_entry(tm_proc, 0)->aref.ar_amap;
	amap->am_nused++;
	told("I-AMAP-2");
	amap->am_nused--;
	end();
}

KTEST(samples_see_I_ANON_6, "an anon with neither page nor slot")
{
	struct vm_page *pg;
	struct vm_anon *anon;

	begin("a");
	anon = tm_anon(0);
	pg = anon->an_page;
	anon->an_page = NULL;
	sample(ROUNDS);
	CHECK(strstr(tm_seen, "I-ANON-6") != NULL || strstr(tm_seen, "I-AMAP-9") != NULL ||
	    strstr(tm_seen, "I-ANON-2") != NULL);
	tm_seen[0] = '\0';
	anon->an_page = pg;
	end();
}

KTEST(samples_see_I_OBJ_1, "an object that counts a page too many")
{
	begin("oo");
	tm_obj->uo_npages++;
	told("I-OBJ-1");
	tm_obj->uo_npages--;
	end();
}

KTEST(samples_see_I_STAT_1, "classes of pages that add up to more than there are")
{
	begin("a");
	uvm.active += uvm.npages;
	told("I-STAT-1");
	uvm.active -= uvm.npages;
	end();
}

KTEST(samples_see_I_PG_14, "a free list that is longer than its counter")
{
	begin("a");
	uvm.free--;
	told("I-PG-14");
	uvm.free++;
	end();
}

KTEST(samples_see_I_SWP_1, "slots in use that no device has")
{
	begin("a");
	swapcount.sc_swpginuse++;
	told("I-SWP-1");
	swapcount.sc_swpginuse--;
	end();
}

KTEST(samples_see_I_UBC_2, "a window in use on the inactive queue")
{
	begin("a");
	ubc_object.umap[0].um_refcount++;
	told("I-UBC-2");
	ubc_object.umap[0].um_refcount--;
	end();
}

KTEST(I_PG_11_nobodys_page_on_a_queue, "a page without owner that is queued")
{
	struct vm_page *pg;

	begin("a");
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	CHECK(pg != NULL);
	uvm_lock_pageq();
	CHECK_EQ(inspect_page(pg), 0);
	pg->pqflags |= PQ_ACTIVE;
	CHECK_EQ(inspect_page(pg), 1);
	pg->pqflags &= ~PQ_ACTIVE;
	uvm_unlock_pageq();
	CHECK_STR(tm_seen, "I-PG-11");
	tm_seen[0] = '\0';
	uvm_pagefree(pg);
	end();
}

static bool meddling;			/* atomic */

/* Changes an entry as nobody may: without the map's lock. */
static void
meddle(struct tm_thread *tt)
{
	struct vm_map_entry *e = tm_entry(tm_proc, 0);

	while (__atomic_load_n(&meddling, __ATOMIC_RELAXED)) {
		__atomic_store_n(&e->advice, e->advice == UVM_ADV_NORMAL ? UVM_ADV_RANDOM : UVM_ADV_NORMAL,
		    __ATOMIC_RELAXED);
		tt->tt_rounds++;
		if (tt->tt_rounds % 64 == 0)
			lwp_userret(1);
	}
}

KTEST(I_MAP_9_entry_changes_under_readers, "an entry that changes while its map is locked for reading")
{
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "aaaa");
	tm_collect();
	meddling = true;
	tm_start(NULL, &tt, 1, meddle, NULL);
	while (tm_seen[0] == '\0')
		inspect_sample(64, 1);
	CHECK_STR(tm_seen, "I-MAP-9");
	__atomic_store_n(&meddling, false, __ATOMIC_RELAXED);
	tm_wait(&tt, 1);
	tm_shutdown();
}

/* --- who does not come to rest --- */

#define	PLENTY	UINT64_C(600000000000)

static bool gone_on;			/* atomic */

static void
let_go(struct vm_anon *anon)
{
	mutex_enter(&anon->an_lock);
	uvm_page_unbusy(&anon->an_page, 1);
	mutex_exit(&anon->an_lock);
}

/* Leaves a page busy, and goes back to user mode. */
static void
forget(struct tm_thread *tt)
{
	struct vm_anon *anon = tm_anon(0);

	mutex_enter(&anon->an_lock);
	uvm_page_busy(anon->an_page, "forget");
	mutex_exit(&anon->an_lock);
	while (!__atomic_load_n(&gone_on, __ATOMIC_ACQUIRE))
		lwp_userret(1);
	let_go(anon);
}

static bool
is_busy(struct vm_anon *anon)
{
	bool busy;

	mutex_enter(&anon->an_lock);
	busy = (anon->an_page->flags & PG_BUSY) != 0;
	mutex_exit(&anon->an_lock);
	return busy;
}

KTEST(I_OBJ_10_busy_by_one_who_has_left, "the page is busy by an LWP that is at the user boundary")
{
	char who[LWP_NAME_MAX];
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	tm_collect();
	tm_start(NULL, &tt, 1, forget, NULL);
	while (!is_busy(tm_anon(0)))
		kpause("busy", 1000000);
	CHECK(lwp_stop(PLENTY, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-OBJ-10");
	__atomic_store_n(&gone_on, true, __ATOMIC_RELEASE);
	tm_wait(&tt, 1);
	tm_shutdown();
}

static bool there;			/* atomic */

static void
store_and_stand(struct tm_thread *tt)
{
	tm_store(0, 1);
	__atomic_store_n(&there, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&gone_on, __ATOMIC_ACQUIRE))
		lwp_userret(1);
}

KTEST(I_PMAP_6_what_a_TLB_has_when_its_CPU_idles_at_a_stop, "a translation that nobody will ever use is found by the walk at rest")
{
	char who[LWP_NAME_MAX];
	struct tm_thread tt;
	struct vm_page *pg;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_start(tm_proc, &tt, 1, store_and_stand, NULL);
	while (!__atomic_load_n(&there, __ATOMIC_ACQUIRE))
		intr_poll();			/* it runs on the other CPU */
	CHECK(lwp_stop(PLENTY, who));
	tm_collect();
	CHECK_EQ(pmap_check(tm_map(tm_proc)->pmap), 0);
	pg = tm_page(tm_proc, 0);
	pg->mdpage.md_generation++;
	CHECK_EQ(pmap_check(tm_map(tm_proc)->pmap), 1);
	CHECK_STR(tm_seen, "I-PMAP-6");
	pg->mdpage.md_generation--;
	lwp_resume();
	__atomic_store_n(&gone_on, true, __ATOMIC_RELEASE);
	tm_wait(&tt, 1);
	tm_shutdown();
}

KTEST(I_OBJ_10_busy_by_nobody, "the page is busy, and neither an LWP nor a transfer has it")
{
	char who[LWP_NAME_MAX];
	struct vm_anon *anon;

	ti_begin("a");
	tm_collect();
	anon = tm_anon(0);
	mutex_enter(&anon->an_lock);
	uvm_page_busy(anon->an_page, "test");
	mutex_exit(&anon->an_lock);
	anon->an_page->owner = NULL;
	CHECK(lwp_stop(PLENTY, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-OBJ-10");
	anon->an_page->owner = curlwp;
	let_go(anon);
	tm_shutdown();
}

static void
wait_for_page(struct tm_thread *tt)
{
	struct vm_anon *anon = tm_anon(0);

	mutex_enter(&anon->an_lock);
	uvm_pagewait(anon->an_page, &anon->an_lock, "test");
}

KTEST(I_PG_13_sleeper_whom_nobody_will_wake, "somebody sleeps on a page that is not WANTED")
{
	char who[LWP_NAME_MAX];
	struct tm_thread tt;
	struct vm_anon *anon;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	tm_collect();
	anon = tm_anon(0);
	mutex_enter(&anon->an_lock);
	uvm_page_busy(anon->an_page, "test");
	mutex_exit(&anon->an_lock);
	tm_start(NULL, &tt, 1, wait_for_page, NULL);
	TU_WAIT(sleepq_has_waiters(anon->an_page));
	mutex_enter(&anon->an_lock);
	anon->an_page->flags &= ~PG_WANTED;
	mutex_exit(&anon->an_lock);
	CHECK(!lwp_stop(1000000, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-PG-13");
	mutex_enter(&anon->an_lock);
	anon->an_page->flags |= PG_WANTED;
	mutex_exit(&anon->an_lock);
	let_go(anon);
	tm_wait(&tt, 1);
	tm_shutdown();
}

static struct vm_page *slept_on;

static void
wait_for_objects_page(struct tm_thread *tt)
{
	kmutex_t *slock = &slept_on->uobject->vmobjlock;

	mutex_enter(slock);
	uvm_pagewait(slept_on, slock, "test");
}

/* => somebody sleeps on an object's page, which is freed, or left to its loan, as if nobody did */
static void
forgotten_sleeper(bool lent)
{
	struct uvm_object *uobj;
	char who[LWP_NAME_MAX];
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_collect();
	uobj = uao_create(PAGE_SIZE, 0);
	slept_on = tu_resident(uobj, 0);
	if (lent)
		tu_lend(slept_on);
	CHECK(tu_get(uobj, 0) == slept_on);
	tm_start(NULL, &tt, 1, wait_for_objects_page, NULL);
	TU_WAIT(sleepq_has_waiters(slept_on));
	mutex_enter(&uobj->vmobjlock);
	uvm_lock_pageq();
	slept_on->flags &= ~(PG_WANTED | PG_CLEAN);
	uvm_pagefree(slept_on);
	uvm_unlock_pageq();
	mutex_exit(&uobj->vmobjlock);
	uvm_pgflcache_drain();
	CHECK(!lwp_stop(1000000, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-PG-13");
	wakeup(slept_on);
	tm_wait(&tt, 1);
	if (lent)
		uvm_unloan(&slept_on, 1, UVM_LOAN_TOPAGE);
	uao_detach(uobj);
	tm_shutdown();
}

KTEST(I_PG_13_sleeper_on_a_free_page, "a page is freed, and who sleeps on it is not woken")
{
	forgotten_sleeper(false);
}

KTEST(I_PG_13_sleeper_on_an_orphan, "a page on loan loses its owner, and who sleeps on it is not woken")
{
	forgotten_sleeper(true);
}

KTEST(I_PD_1_nothing_is_on_its_way, "pages are said to be paged out, and nothing is being written")
{
	char who[LWP_NAME_MAX];

	ti_begin("a");
	tm_collect();
	CHECK(lwp_stop(PLENTY, who));
	CHECK_EQ(inspect_stuck(), 0);
	uvm.paging += 3;
	CHECK_EQ(inspect_stuck(), 1);
	uvm.paging -= 3;
	lwp_resume();
	CHECK_STR(tm_seen, "I-PD-1");
	tm_shutdown();
}

static void
wait_for_memory(struct tm_thread *tt)
{
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.nwaiters++;
	UVM_UNLOCK_AND_WAIT(&uvm.free, &uvm_fpageqlock, "test");
}

/* => one sleeps on the channel beside what he sleeps for, as if he had not looked; samples meet him */
static void
forgotten(void (*fn)(struct tm_thread *), wchan_t (*channel)(void))
{
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_collect();
	sample(200);
	CHECK_STR(tm_seen, "");
	tm_start(NULL, &tt, 1, fn, NULL);
	TU_WAIT(sleepq_has_waiters(channel()));
	told("I-SMP-8");
	wakeup(channel());
	tm_wait(&tt, 1);
	tm_seen[0] = '\0';
	end();
}

static wchan_t
window_channel(void)
{
	return &ubc_object.inactive;
}

static void
sleep_for_window(struct tm_thread *tt)
{
	mutex_enter(&ubc_object.uobj.vmobjlock);
	UVM_UNLOCK_AND_WAIT(window_channel(), &ubc_object.uobj.vmobjlock, "test");
}

KTEST(I_SMP_8_sleeps_for_a_window_that_is_idle, "somebody sleeps for a window, and one is idle")
{
	forgotten(sleep_for_window, window_channel);
}

static wchan_t
io_channel(void)
{
	return &tm_map(tm_proc)->vslocks;
}

static void
sleep_for_io(struct tm_thread *tt)
{
	mutex_enter(&tm_map(tm_proc)->misc_lock);
	UVM_UNLOCK_AND_WAIT(io_channel(), &tm_map(tm_proc)->misc_lock, "test");
}

KTEST(I_SMP_8_sleeps_for_io_that_has_ended, "somebody sleeps for the end of I/O to a map, and there is none")
{
	forgotten(sleep_for_io, io_channel);
}

static struct vm_map *cv_map;

static void
sleep_on_map(struct tm_thread *tt)
{
	mutex_enter(&cv_map->misc_lock);
	cv_wait(&cv_map->cv, &cv_map->misc_lock);
	mutex_exit(&cv_map->misc_lock);
}

/* Somebody sleeps on the map's cv: all is well while it is said that he has reason to. */
static void
map_forgotten(bool kernel)
{
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_collect();
	cv_map = kernel ? phys_map : tm_map(tm_proc);
	if (kernel)
		cv_map->wantva = true;
	else
		cv_map->busy = curlwp;
	tm_start(NULL, &tt, 1, sleep_on_map, NULL);
	TU_WAIT(cv_has_waiters(&cv_map->cv));
	sample(200);
	CHECK_STR(tm_seen, "");
	/* as if who took it back had woken nobody */
	cv_map->wantva = false;
	cv_map->busy = NULL;
	told("I-SMP-8");
	cv_broadcast(&cv_map->cv);
	tm_wait(&tt, 1);
	tm_seen[0] = '\0';
	end();
}

KTEST(I_SMP_8_sleeps_for_a_map_that_is_not_busy, "somebody sleeps until a map is not busy, and it is not")
{
	map_forgotten(false);
}

KTEST(I_SMP_8_sleeps_for_addresses_that_nobody_wants, "somebody sleeps for addresses of the kernel, and nobody is said to")
{
	map_forgotten(true);
}

static wchan_t area;			/* atomic */

static void
sleep_for_area(struct tm_thread *tt)
{
	mutex_enter(&tm_map(tm_proc)->misc_lock);
	__atomic_store_n(&area, curlwp->l_addr, __ATOMIC_RELEASE);
	UVM_UNLOCK_AND_WAIT(area, &tm_map(tm_proc)->misc_lock, "test");
}

KTEST(I_SMP_8_sleeps_for_a_u_area_that_is_there, "somebody sleeps until the swapper is through with a u-area, and it is not at it")
{
	struct tm_thread tt;

	begin("a");
	tm_start(tm_proc, &tt, 1, sleep_for_area, NULL);
	TU_WAIT(__atomic_load_n(&area, __ATOMIC_ACQUIRE) != NULL && sleepq_has_waiters(area));
	told("I-SMP-8");
	wakeup(area);
	tm_wait(&tt, 1);
	tm_seen[0] = '\0';
	end();
}

static struct proc *child;

static void
wait_for_child(struct tm_thread *tt)
{
	proc_vfork_wait(child);
}

/* exits: it is not in the table of processes any more */
static void
child_has_left(bool exits)
{
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_collect();
	CHECK_EQ(proc_vfork(tm_proc, "v", &child), 0);
	tm_start(NULL, &tt, 1, wait_for_child, NULL);
	TU_WAIT(sleepq_has_waiters(&child->p_shares));
	sample(200);
	CHECK_STR(tm_seen, "");
	/* as if it had not woken its parent */
	__atomic_store_n(&child->p_shares, false, __ATOMIC_RELAXED);
	if (exits)
		proc_exit(child);
	else
		proc_newspace(child, uvmspace_alloc(VM_MIN_ADDRESS, VM_MAXUSER_ADDRESS));
	told("I-SMP-8");
	wakeup(&child->p_shares);
	tm_wait(&tt, 1);
	if (!exits)
		proc_exit(child);
	tm_seen[0] = '\0';
	end();
}

KTEST(I_SMP_8_parent_of_a_child_that_has_left, "a parent sleeps, and its child of vfork shares nothing any more")
{
	child_has_left(false);
}

KTEST(I_SMP_8_parent_of_a_child_that_has_exited, "likewise, and the child is not even in the table any more")
{
	child_has_left(true);
}

KTEST(I_PD_5_woken_on_paper, "the count of waiters is 0, and somebody still sleeps")
{
	char who[LWP_NAME_MAX];
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_collect();
	tm_start(NULL, &tt, 1, wait_for_memory, NULL);
	TU_WAIT(sleepq_has_waiters(&uvm.free));
	TU_WAIT(uvm_pdaemon_idle());			/* it may not even have begun */
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.nwaiters = 0;
	mutex_spin_exit(&uvm_fpageqlock);
	CHECK(!lwp_stop(1000000, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-PD-5");
	wakeup(&uvm.free);
	tm_wait(&tt, 1);
	tm_shutdown();
}

/* The daemon sleeps, and is asked for nothing; the one who waits is counted. */
KTEST(I_PD_5_waiter_whom_nobody_serves, "somebody waits for memory, and the daemon sleeps")
{
	char who[LWP_NAME_MAX];
	struct tm_thread tt;

	tm_boot(2, 2048);
	tm_put(tm_proc, "a");
	tm_collect();
	tm_start(NULL, &tt, 1, wait_for_memory, NULL);
	TU_WAIT(sleepq_has_waiters(&uvm.free));
	TU_WAIT(uvm_pdaemon_idle());			/* it may not even have begun */
	CHECK(!lwp_stop(1000000, who));
	CHECK_EQ(inspect_stuck(), 1);
	lwp_resume();
	CHECK_STR(tm_seen, "I-PD-5");
	mutex_spin_enter(&uvm_fpageqlock);
	uvm_page_wakewaiters();
	mutex_spin_exit(&uvm_fpageqlock);
	tm_wait(&tt, 1);
	tm_shutdown();
}

KTEST_DEATH(I_FLT_6_fault_sleeps_with_a_map_locked, "a fault is about to sleep and a map is locked",
    "I-FLT-6")
{
	struct uvm_faultinfo ufi = { .orig_rvaddr = TM_BASE };

	ti_begin("a");
	uvmfault_sleeps(&ufi);
	vm_map_lock_read(tm_map(tm_proc));
	uvmfault_sleeps(NULL);
	uvmfault_sleeps(&ufi);
}

KTEST_MAIN()
