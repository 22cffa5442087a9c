/*
 * Assertions at the moment itself: each case brings about the state that one forbids, and it must
 * say so, by the rule's name.  What guards that state otherwise is put out of action by the
 * linker (--wrap), for the one call that the case is about.
 */
#include "tswap.h"

#include <errno.h>
#include <string.h>

#include <sys/sleepq.h>
#include <uvm/uvm_amap_i.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_pdaemon_i.h>

#include "inspect_int.h"

/* Functions that do nothing, or the wrong thing; only lwp0 runs. */
static struct {
	bool	enter_fails;		/* pmap_enter(): and leaves what was there */
	bool	revoke_forgets;		/* pmap_revoke() */
	bool	dropswap_forgets;	/* uvm_anon_dropswap(), uao_dropswap() */
} broken;

int	__real_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__wrap_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
void	__real_pmap_revoke(struct vm_page *);
void	__wrap_pmap_revoke(struct vm_page *);
void	__real_uvm_anon_dropswap(struct vm_anon *);
void	__wrap_uvm_anon_dropswap(struct vm_anon *);
void	__real_uao_dropswap(struct uvm_object *, uint64_t);
void	__wrap_uao_dropswap(struct uvm_object *, uint64_t);

int
__wrap_pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	return broken.enter_fails ? ENOMEM : __real_pmap_enter(pm, va, pa, prot, flags);
}

void
__wrap_pmap_revoke(struct vm_page *pg)
{
	if (!broken.revoke_forgets)
		__real_pmap_revoke(pg);
}

void
__wrap_uvm_anon_dropswap(struct vm_anon *anon)
{
	if (!broken.dropswap_forgets)
		__real_uvm_anon_dropswap(anon);
}

void
__wrap_uao_dropswap(struct uvm_object *uobj, uint64_t page)
{
	if (!broken.dropswap_forgets)
		__real_uao_dropswap(uobj, page);
}

/* => nothing maps the page any more: the next access faults, and finds it */
static struct vm_page *
unmapped(int page)
{
	struct vm_page *pg = tm_page(tm_proc, page);

	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(page), TM_VA(page) + PAGE_SIZE);
	pmap_update(tm_map(tm_proc)->pmap);
	return pg;
}

/* --- faults --- */

KTEST_DEATH(I_FLT_3_page_without_content, "a fault that is about to map a page that nobody has filled",
    "I-FLT-3: page flags")
{
	tm_boot(1, 2048);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	unmapped(0)->flags |= PG_FAKE;
	(void)tm_load(0);
}

static struct uvm_pagerops late_ops;

/* As the object's, and the map is another one afterwards. */
static int
get_late(struct uvm_object *uobj, voff_t off, struct vm_page **pgs, int *npages, int centre,
    vm_prot_t access, int advice, int flags)
{
	int error;

	uobj->pgops = &aobj_pager;		/* it is one of those again, and knows them by that */
	error = aobj_pager.pgo_get(uobj, off, pgs, npages, centre, access, advice, flags);

	if (error == 0)
		tm_map(tm_proc)->timestamp++;
	return error;
}

KTEST_DEATH(I_FLT_4_map_that_has_changed, "a fault that is about to map a page by what the map said before",
    "I-FLT-4: map [0-9]+ has changed")
{
	tm_boot(1, 2048);
	tm_put(tm_proc, "o");
	tm_store(0, 1);
	(void)unmapped(0);
	late_ops = aobj_pager;
	late_ops.pgo_get = get_late;
	tm_obj->pgops = &late_ops;
	(void)tm_load(0);
}

KTEST_DEATH(I_FLT_8_wired_page_that_keeps_its_slot, "a page that is wired, and whose place in swap stays",
    "I-FLT-8, R34: a wired page has swap slot")
{
	ts_boot(1, 2048, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(tm_load(0), 1);
	CHECK(ts_slot(tm_proc, 0) > 0 && ts_clean(tm_proc, 0));
	broken.dropswap_forgets = true;
	(void)sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE);
}

KTEST_DEATH(I_FLT_8_wired_page_of_an_object_that_keeps_its_slot, "the same of a page of shared memory",
    "I-FLT-8, R34: a wired page of object")
{
	ts_boot(1, 2048, 64, 1);
	tm_put(tm_proc, "o");
	tm_store(0, 1);
	mutex_enter(&tm_obj->vmobjlock);
	(void)uao_set_swslot(tm_obj, 0, 1);
	mutex_exit(&tm_obj->vmobjlock);
	broken.dropswap_forgets = true;
	(void)sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE);
}

KTEST_DEATH(I_FLT_6_amap_is_waited_for_with_a_map_locked, "who wants an amap, and would wait for it, keeps others out of a map",
    "I-FLT-6: an amap is waited for with map [0-9]+ locked")
{
	tm_boot(1, 2048);
	vm_map_lock(tm_map(tm_proc));
	(void)amap_alloc(PAGE_SIZE, 0, true);
}

KTEST_DEATH(I_PG_1_page_is_let_go_off_its_queue, "a page that is let go where the page daemon cannot find it",
    "I-PG-1: page 0x[0-9a-f]+, last busy in t_alarms")
{
	struct vm_page *pg;

	tm_boot(1, 2048);
	pg = tu_resident(tm_obj, 0);
	mutex_enter(&tm_obj->vmobjlock);
	uvm_page_busy(pg, "t_alarms");
	uvm_lock_pageq();
	uvm_pagedequeue(pg);
	uvm_unlock_pageq();
	uvm_page_unbusy(&pg, 1);
}

KTEST_DEATH(I_FLT_9_lock_of_an_interrupt_safe_map, "a fault that locks the map of interrupt-safe memory",
    "I-FLT-9: map [0-9]+ is interrupt-safe")
{
	tm_boot(1, 2048);
	vm_map_lock_read(kmem_map);
}

KTEST_DEATH(I_PMAP_1_failed_enter_leaves_a_mapping, "an enter that fails, and what was mapped there before is still there",
    "I-PMAP-1, R2: a failed enter has left a mapping")
{
	tm_boot(1, 2048);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_READ), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE), 0);
	CHECK(tm_page(tm_proc, 0) != NULL);
	broken.enter_fails = true;
	tm_store(0, 2);
}

/* --- the page daemon --- */

KTEST_DEATH(I_PD_3_mapped_page_that_is_to_go, "the daemon asks for stores, and somebody can still store",
    "R23, I-PD-3: modified is asked of a page that is mapped")
{
	struct uvmpd up = { .up_goal = 1 };
	struct vm_page *pg;
	kmutex_t *owner;

	ts_boot(1, 2048, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(tm_load(0), 1);
	pg = tm_page(tm_proc, 0);
	CHECK((pg->flags & PG_CLEAN) != 0);
	(void)pmap_clear_reference(pg);
	owner = uvm_page_owner_lock(pg);
	broken.revoke_forgets = true;
	uvm_lock_pageq();
	CHECK(mutex_tryenter(owner));
	uvmpd_swap_page(&up, pg, owner);
}

/* --- swap, amaps, anons --- */

KTEST_DEATH(I_AMAP_11_second_swapoff, "two swapoffs work on one amap", "I-AMAP-11: another swapoff works on amap")
{
	ts_boot(1, 2048, 64, 2);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK(ts_pageout(tm_proc, 0));
	tm_entry(tm_proc, 0)->aref.ar_amap->am_flags |= AMAP_SWAPOFF;
	(void)uvm_swap_off(1);
}

KTEST_DEATH(I_POOL_6_anon_that_was_stored_to, "an anon that somebody has written to since it was freed",
    "I-POOL-6: anon [0-9]+ is not as it was constructed|use-after-poison")
{
	struct vm_anon *anon;

	tm_boot(1, 2048);
	anon = uvm_analloc();
	CHECK(anon != NULL);
	anon->an_ref = 0;
	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);
	anon->an_swslot = 1;			/* the cache hands out last what came first */
	for (int i = 0; i < 10000; i++)
		if ((anon = uvm_analloc()) != NULL)
			mutex_exit(&anon->an_lock);
}

/* --- sleeping --- */

KTEST_DEATH(I_SMP_7_sleeper_on_a_second_queue, "an LWP that is on a sleep queue goes to sleep on another",
    "I-SMP-7: lwp0 sleeps on 'second', and is on a queue")
{
	static int first;

	tm_boot(1, 2048);
	curlwp->l_wchan = &first;
	kpause("second", 1000);
}

/* --- what only a counter has seen --- */

KTEST(R39_enter_that_may_not_fail_takes_the_reserve, "a plain enter wants a page table when memory is short")
{
	const vaddr_t va = TM_VA(0) + (UINT64_C(1) << 39);	/* no table is there yet */
	struct pmap *pm;
	struct uvmexp exp = { 0 };
	struct vm_page *pg;

	tm_boot(1, 2048);
	tm_collect();
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	CHECK(pg != NULL);
	pm = tm_map(tm_proc)->pmap;
	CHECK_EQ(inspect_events(&exp), 0);
	tu_exhaust();
	CHECK_EQ(pmap_enter(pm, va, VM_PAGE_TO_PHYS(pg), VM_PROT_READ, VM_PROT_READ), 0);
	CHECK_EQ(inspect_events(&exp), 1);
	CHECK_STR(tm_seen, "R39");
	pmap_remove(pm, va, va + PAGE_SIZE);
	pmap_update(pm);
	tu_release();
	uvm_pagefree(pg);
	tm_shutdown();
}

KTEST_MAIN()
