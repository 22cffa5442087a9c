/*
 * The page layer: identities, queues, reserves, the long-term lock.
 */
#include "tuvm.h"

#include <errno.h>
#include <string.h>
#include <sys/kernhist.h>

#define	NPAGES	4096

static struct uvm_object *obj;

static void
begin(int ncpus)
{
	tu_boot(ncpus, NPAGES);
	obj = uao_create(ptoa(64), 0);
}

static void
end(void)
{
	tu_unmap_all();
	uao_detach(obj);
	tu_shutdown();
}

/* A page of the object, allocated by hand: BUSY, FAKE, on no queue. */
static struct vm_page *
fresh(voff_t off)
{
	struct vm_page *pg;

	mutex_enter(&obj->vmobjlock);
	pg = uvm_pagealloc(obj, off, NULL, 0);
	CHECK(pg != NULL);
	mutex_exit(&obj->vmobjlock);
	return pg;
}

static void
discard(struct vm_page *pg)
{
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_pagefree(pg);
	uvm_unlock_pageq();
	mutex_exit(&obj->vmobjlock);
}

KTEST(fresh_page_is_busy_fake_and_clean, "fresh page is busy fake and clean")
{
	struct vm_page *pg;

	begin(1);
	pg = fresh(0);
	CHECK((pg->flags & (PG_BUSY | PG_FAKE | PG_CLEAN | PG_TABLED)) ==
	    (PG_BUSY | PG_FAKE | PG_CLEAN | PG_TABLED));
	CHECK(pg->uobject == obj && pg->uanon == NULL && pg->offset == 0);
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE | PQ_FREE)) == 0);
	CHECK(uvm_gauge(UVMG_aobjpages) == 1);
	discard(pg);
	CHECK(pg->pqflags == PQ_FREE && uvm_gauge(UVMG_aobjpages) == 0);
	end();
}

KTEST(zeroed_page_is_zero_and_not_clean, "zeroed page is zero and not clean")
{
	struct vm_page *pg;

	begin(1);
	for (int round = 0; round < 2; round++) {
		pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_ZERO);
		CHECK(pg != NULL);
		CHECK((pg->flags & PG_CLEAN) == 0);
		for (size_t i = 0; i < PAGE_SIZE / 8; i++)
			CHECK(tu_words(pg)[i] == 0);
		memset(tu_words(pg), 0xff, PAGE_SIZE);
		uvm_pagefree(pg);
	}
	end();
}

KTEST(anon_page_names_its_anon, "anon page names its anon")
{
	struct vm_anon anon = { .an_ref = 1 };
	struct vm_page *pg;

	begin(1);
	mutex_init(&anon.an_lock, MUTEX_DEFAULT, IPL_NONE, LC_anon);
	mutex_enter(&anon.an_lock);
	pg = uvm_pagealloc(NULL, 0, &anon, UVM_PGA_ZERO);
	CHECK(pg != NULL && anon.an_page == pg && pg->uanon == &anon);
	CHECK((pg->pqflags & PQ_ANON) != 0 && uvm_gauge(UVMG_anonpages) == 1);
	CHECK(uvm_page_owner_lock(pg) == &anon.an_lock);
	uvm_pagefree(pg);
	CHECK(anon.an_page == NULL && uvm_gauge(UVMG_anonpages) == 0);
	mutex_exit(&anon.an_lock);
	mutex_destroy(&anon.an_lock);
	end();
}

KTEST_DEATH(R25_pagealloc_wants_the_object_locked, "R25 pagealloc wants the object locked", "R25")
{
	begin(1);
	uvm_pagealloc(obj, 0, NULL, 0);
}

KTEST_DEATH(R25_pagealloc_wants_the_anon_locked, "R25 pagealloc wants the anon locked", "R25")
{
	static struct vm_anon anon;

	begin(1);
	mutex_init(&anon.an_lock, MUTEX_DEFAULT, IPL_NONE, LC_anon);
	uvm_pagealloc(NULL, 0, &anon, 0);
}

KTEST(R7_wired_page_is_on_no_queue, "R7 wired page is on no queue")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	CHECK((pg->pqflags & PQ_ACTIVE) != 0);
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_pagewire(pg);
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0 && uvm.wired == 1);
	uvm_pageactivate(pg);		/* means nothing while it is wired */
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0 && uvm.active == 0);
	uvm_pagewire(pg);
	uvm_pageunwire(pg);
	CHECK((pg->pqflags & PQ_ACTIVE) == 0 && uvm.wired == 1);
	uvm_pageunwire(pg);
	CHECK((pg->pqflags & PQ_ACTIVE) != 0 && uvm.wired == 0);
	uvm_unlock_pageq();
	mutex_exit(&obj->vmobjlock);
	end();
}

KTEST_DEATH(R8_deactivating_a_wired_page_panics, "R8 deactivating a wired page panics", "R8")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_pagewire(pg);
	uvm_pagedeactivate(pg);
}

KTEST_DEATH(R20_deactivating_a_referenced_page_panics, "R20 deactivating a referenced page panics", "R20")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	tu_map(pg, 0, VM_PROT_READ, VM_PROT_READ);
	tu_load(0);
	tu_unmap_all();			/* the attribute is harvested */
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_pagedeactivate(pg);
}

KTEST(R20_inactive_page_keeps_its_mappings, "R20 inactive page keeps its mappings")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	tu_map(pg, 0, VM_PROT_READ, VM_PROT_READ);
	tu_load(0);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	CHECK((pg->pqflags & PQ_INACTIVE) != 0);
	CHECK(tu_mapped(0));
	CHECK(!pmap_is_referenced(pg));
	end();
}

KTEST_DEATH(queues_want_their_lock, "queues want their lock", "uvm_pageqlock")
{
	begin(1);
	uvm_pageactivate(tu_resident(obj, 0));
}

/* free:  ... reserve_kernel | USERESERVE only | reserve_pagedaemon | LAST, too | half of it | daemon only | 0 */
KTEST(R35_T49_reserves_are_kept, "R35 T49 reserves are kept")
{
	struct lwp *daemon;

	begin(1);
	tu_take(NPAGES, 0);
	CHECK_EQ(uvm.free, uvm.reserve_kernel);
	CHECK(tu_take(1, 0) == 0);
	CHECK_EQ(tu_take(NPAGES, UVM_PGA_USERESERVE), uvm.reserve_kernel - uvm.reserve_pagedaemon);
	CHECK_EQ(uvm.free, uvm.reserve_pagedaemon);
	CHECK(uvm_km_ptpalloc() == NULL);
	CHECK_EQ(tu_take(NPAGES, UVM_PGA_LAST), uvm.reserve_pagedaemon / 2);
	daemon = uvm.pagedaemon_lwp;		/* one CPU: the real one does not run */
	uvm.pagedaemon_lwp = curlwp;
	CHECK_EQ(tu_take(NPAGES, 0), uvm.reserve_pagedaemon / 2);	/* I-PD-7 */
	CHECK_EQ(uvm.free, 0);
	uvm.pagedaemon_lwp = daemon;
	CHECK(tu_count(UVMC_pga_fail) >= 3 && tu_count(UVMC_pga_reserve) > 0);
	end();
}

KTEST(page_table_pages_come_with_a_spin_lock_held, "page table pages come with a spin lock held")
{
	struct vm_page *pg;
	kmutex_t spin;

	begin(1);
	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	mutex_enter(&spin);
	pg = uvm_km_ptpalloc();
	CHECK(pg != NULL && (pg->pqflags & PQ_PRIVATE) != 0 && (pg->flags & PG_BUSY) == 0);
	uvm_km_ptpfree(pg);
	mutex_exit(&spin);
	mutex_destroy(&spin);
	end();
}

KTEST_DEATH(I_PG_7_store_to_a_free_page_is_found, "I PG 7 store to a free page is found", "I-PG-7")
{
	struct vm_page *pg;

	begin(1);
	pg = uvm_pagealloc(NULL, 0, NULL, 0);
	uvm_pagefree(pg);
	tu_words(pg)[0] = 1;		/* always part of the sample */
	uvm_pagealloc(NULL, 0, NULL, 0);
}

KTEST_DEATH(freeing_twice_panics, "freeing twice panics", "PQ_FREE")
{
	struct vm_page *pg;

	begin(1);
	pg = uvm_pagealloc(NULL, 0, NULL, 0);
	uvm_pagefree(pg);
	uvm_pagefree(pg);
}

KTEST_DEATH(I_PG_8_fake_page_is_not_unbusied, "I PG 8 fake page is not unbusied", "PG_FAKE")
{
	begin(1);
	tu_unbusy(fresh(0));
}

KTEST_DEATH(I_PG_16_wired_page_is_not_freed, "freeing a page that is wired panics", "I-PG-16")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_get(obj, 0);
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_pagewire(pg);
	uvm_pagefree(pg);
}

static struct vm_page *waited_for;

/* What the report will show, and the story tell. */
static bool
tell_about(const struct violation *v)
{
	for (int i = 0; i < v->v_nsubjects; i++)
		if (v->v_subjects[i].vs_what == KS_page && v->v_subjects[i].vs_id == VM_PAGE_ID(waited_for))
			fprintf(stderr, "that page: %s\n", v->v_message);
	return false;
}

KTEST_DEATH(I_LCK_3_wait_for_an_own_page, "waiting for a page that one has made busy panics, and names the page", "that page: .*I-LCK-3")
{
	struct vm_page *pg;

	begin(1);
	failure_sink = tell_about;
	waited_for = pg = tu_get(obj, 0);
	mutex_enter(&obj->vmobjlock);
	uvm_pagewait(pg, &obj->vmobjlock, "myself");
}

KTEST(released_page_goes_when_unbusied, "released page goes when unbusied")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_get(obj, 0);
	pg->flags |= PG_RELEASED;
	tu_unbusy(pg);
	CHECK(pg->pqflags == PQ_FREE && tu_lookup(obj, 0) == NULL);
	end();
}

/* The owner goes, the borrower keeps the page; it is nobody's until the last unloan. */
static void
end_loan(void *arg)
{
	struct vm_page *pg = arg;

	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
}

KTEST(I_LCK_5_end_of_a_loan_pauses_for_the_owner, "who has the owner locked gets on, and so does the end of the loan")
{
	struct vm_page *pg;
	struct lwp *l;

	begin(2);
	pg = tu_resident(obj, 0);
	tu_lend(pg);
	CHECK_EQ(lwp_create(&l, NULL, "unloan", end_loan, pg), 0);
	mutex_enter(&obj->vmobjlock);
	lwp_start(l);
	tu_spin_until(UVMC_loan_trylock, 1);
	CHECK_EQ(pg->loan_count, 1);
	mutex_exit(&obj->vmobjlock);
	lwp_wait(l);
	CHECK(pg->loan_count == 0 && tu_count(UVMC_loan_returned) == 1);
	discard(pg);
	end();
}

KTEST(loaned_page_outlives_its_owner, "loaned page outlives its owner")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_page_setloans(pg, 1);
	uvm_pagewire(pg);
	uvm_pagefree(pg);
	CHECK(pg->uobject == NULL && pg->uanon == NULL && pg->loan_count == 1);
	CHECK((pg->pqflags & (PQ_FREE | PQ_ACTIVE | PQ_INACTIVE)) == 0);
	CHECK(uvm.orphans == 1 && obj->uo_npages == 0);
	uvm_unlock_pageq();
	mutex_exit(&obj->vmobjlock);
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
	CHECK(pg->pqflags == PQ_FREE && uvm.orphans == 0 && uvm.wired == 0);
	end();
}

/* --- sleeping on a page --- */

static struct {
	int	rounds;		/* atomic: how often the sleepers got the page */
	bool	stop;		/* atomic */
} waiters;

static void
waiter(void *arg)
{
	struct vm_page *pg;

	while (!__atomic_load_n(&waiters.stop, __ATOMIC_RELAXED)) {
		mutex_enter(&obj->vmobjlock);
		pg = uvm_pagelookup(obj, 0);
		if (pg != NULL && (pg->flags & PG_BUSY) != 0) {
			uvm_pagewait(pg, &obj->vmobjlock, "twait");
			continue;
		}
		if (pg != NULL) {
			uvm_page_busy(pg, "waiter");
			__atomic_fetch_add(&waiters.rounds, 1, __ATOMIC_RELAXED);
			mutex_exit(&obj->vmobjlock);
			yield();
			tu_unbusy(pg);
		} else
			mutex_exit(&obj->vmobjlock);
		lwp_userret(1);
		yield();
	}
}

/* => the page, BUSY, is lent to the kernel, and to be freed: an orphan as soon as it is let go */
static void
lend_and_release(struct vm_page *pg)
{
	mutex_enter(&obj->vmobjlock);
	uvm_lock_pageq();
	uvm_page_setloans(pg, 1);
	uvm_pagewire(pg);
	uvm_unlock_pageq();
	pg->flags |= PG_RELEASED;
	mutex_exit(&obj->vmobjlock);
}

/* Every sleeper on a page is woken, by unbusying as by freeing, on loan or not (I-PG-13). */
KTEST(no_sleeper_on_a_page_is_forgotten, "no sleeper on a page is forgotten")
{
	struct lwp *l[6];
	struct vm_page *pg;

	begin(4);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "waiter", waiter, NULL), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 200; i++) {
		pg = tu_get(obj, 0);
		mutex_enter(&obj->vmobjlock);
		if (i % 3 == 0)
			pg->flags |= PG_RELEASED;
		mutex_exit(&obj->vmobjlock);
		if (i % 3 == 1)
			lend_and_release(pg);
		yield();
		tu_unbusy(pg);
		if (i % 3 == 1) {
			CHECK_EQ(pg->flags & (PG_WANTED | PG_BUSY | PG_RELEASED), 0);
			CHECK(!sleepq_has_waiters(pg));
			uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
		}
		lwp_userret(1);
	}
	__atomic_store_n(&waiters.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 6; i++)
		lwp_wait(l[i]);
	end();
}

/* --- pages that a CPU keeps --- */

/* => pages that nobody has, wherever they lie */
static uint64_t
unused(void)
{
	return uvm.free + uvm_pgflcache_count();
}

KTEST(cpu_takes_and_gives_pages_by_the_batch, "one page in a batch comes from page_free, and the last freed is the next")
{
	struct vm_page *pg, *again;
	uint64_t all, global;

	begin(1);
	CHECK(tu_free() == unused() && uvm.pgfl_batch >= 2 && uvm.pgfl_batch <= uvm.pgfl_max / 2);
	all = unused();
	pg = fresh(0);
	CHECK_EQ(uvm_pgflcache_count(), uvm.pgfl_batch);
	CHECK_EQ(unused(), all - 1);
	mutex_spin_enter(&uvm_fpageqlock);
	uvm_pgflcache_fill();			/* as when an interrupt has freed in between */
	mutex_spin_exit(&uvm_fpageqlock);
	CHECK_EQ(uvm_pgflcache_count(), uvm.pgfl_batch);
	global = uvm.free;
	for (unsigned i = 1; i <= uvm.pgfl_batch; i++)
		fresh((voff_t)ptoa(i));
	CHECK(uvm.free == global && uvm_pgflcache_count() == 0);
	discard(pg);
	CHECK(uvm.free == global && uvm_pgflcache_count() == 1 && pg->pqflags == PQ_FREE && !pg->on_free);
	again = fresh(0);
	CHECK(again == pg);
	discard(again);
	for (unsigned i = 1; i <= uvm.pgfl_batch; i++)
		discard(tu_lookup(obj, (voff_t)ptoa(i)));
	CHECK_EQ(unused(), all);
	CHECK_EQ(tu_free(), all);
	end();
}

KTEST(pages_of_other_cores_are_had_too, "who finds none on his core's list takes a page that was freed on another core")
{
	struct vm_page *pg;

	begin(1);
	CHECK_EQ(uvm.nbuckets, 1);
	tu_take(tu_free(), 0);
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.nbuckets = UVM_BUCKETS;
	for (unsigned i = 1; i < UVM_BUCKETS && (pg = TAILQ_FIRST(&uvm.page_free[0])) != NULL; i++) {
		TAILQ_REMOVE(&uvm.page_free[0], pg, pageq);
		pg->on_free = (uint8_t)(i + 1);
		TAILQ_INSERT_HEAD(&uvm.page_free[i], pg, pageq);
	}
	for (uint64_t n = uvm.free; n > 0; n--)
		uvm_page_unlist(uvm_page_nextfree());
	CHECK(uvm.free == 0 && uvm_page_nextfree() == NULL);
	for (uint64_t i = 0; i < uvm.npages; i++)
		if (uvm.pages[i].pqflags == PQ_FREE)
			uvm_page_list(&uvm.pages[i]);
	mutex_spin_exit(&uvm_fpageqlock);
	tu_release();
	end();
}

KTEST(cpu_keeps_no_more_than_a_cache, "what is freed in plenty stays with the CPU up to its limit, and a batch goes back")
{
	struct vm_page *pgs[512];
	uint64_t all, nfreed;

	begin(1);
	all = tu_free();
	CHECK(uvm.pgfl_max < 512);
	for (int i = 0; i < 512; i++)
		pgs[i] = fresh((voff_t)ptoa(i));
	uvm_pgflcache_drain();
	nfreed = uvm.nfreed;
	for (int i = 0; i < 512; i++) {
		discard(pgs[i]);
		CHECK(uvm_pgflcache_count() <= uvm.pgfl_max);
	}
	CHECK(pgs[0]->on_free && !pgs[511]->on_free);	/* the oldest go */
	CHECK(uvm.nfreed > nfreed && uvm.nfreed - nfreed <= 512 - uvm.pgfl_max + uvm.pgfl_batch);
	CHECK_EQ(unused(), all);
	end();
}

KTEST(last_freed_is_first_had, "from the list that all share, too: its frame is warm")
{
	struct vm_page *a, *b;

	begin(1);
	tu_take(tu_free() - uvm.freetarg, 0);		/* CPUs keep none */
	a = fresh(0);
	b = fresh((voff_t)PAGE_SIZE);
	discard(a);
	discard(b);
	CHECK(a->on_free && b->on_free);
	CHECK(fresh(0) == b && fresh((voff_t)PAGE_SIZE) == a);
	discard(a);
	discard(b);
	end();
}

/* What it takes for a transfer and gives back must not look as if somebody had been helped. */
KTEST(daemon_takes_pages_that_are_counted, "the page daemon's own pages come from page_free, one by one")
{
	struct lwp *daemon;
	struct vm_page *pg;
	uint64_t taken, kept;

	begin(1);
	discard(fresh(0));
	kept = uvm_pgflcache_count();
	taken = uvm.pd_taken;
	CHECK(kept > 0);
	daemon = uvm.pagedaemon_lwp;			/* one CPU: the real one does not run */
	uvm.pagedaemon_lwp = curlwp;
	pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE);
	uvm.pagedaemon_lwp = daemon;
	CHECK(pg != NULL && uvm_pgflcache_count() == kept && uvm.pd_taken == taken + 1);
	uvm_pagefree(pg);
	end();
}

/* Memory is short: nothing goes to a cache, what is freed can be had by all, at once. */
KTEST(cpu_keeps_nothing_when_memory_is_short, "below the target pages are freed to page_free, and none taken in stock")
{
	struct vm_page *pg;
	uint64_t free;

	begin(1);
	tu_take(tu_free() - uvm.freetarg, 0);
	CHECK_EQ(uvm.free, uvm.freetarg);
	pg = fresh(0);
	CHECK(uvm_pgflcache_count() == 0 && uvm.free == uvm.freetarg - 1);
	free = uvm.free;
	discard(pg);
	CHECK(uvm_pgflcache_count() == 0 && uvm.free == free + 1 && pg->on_free);
	end();
}

/* => the cross call: its CPU has pages from now on */
static void
stock(void *arg)
{
	struct vm_page *pg = uvm_pagealloc(NULL, 0, NULL, 0);

	CHECK(pg != NULL);
	uvm_pagefree(pg);
}

KTEST(I_PD_5_daemon_fetches_what_cpus_keep, "memory becomes short: what all CPUs keep goes back to page_free")
{
	struct vm_page *pgs[1024];
	int n = 0;

	begin(4);
	tu_take(tu_free() - uvm.freetarg - 4 * uvm.pgfl_max, 0);
	xc_broadcast(stock, NULL);
	CHECK(uvm_pgflcache_count() > 0);		/* all four do, but for what daemons that have just begun take */
	while (n < 1024 && (pgs[n] = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE)) != NULL)
		n++;
	CHECK(n > 0 && n < 1024);
	CHECK(uvm_quiesce());
	CHECK_EQ(uvm_pgflcache_count(), 0);
	while (n > 0)
		uvm_pagefree(pgs[--n]);
	end();
}

/* --- runs of pages --- */

KTEST(run_of_pages_is_contiguous, "run of pages is contiguous")
{
	struct vm_page *pg;
	uint64_t free, kern, rounds;

	begin(1);
	CHECK_EQ(uvm_pglistalloc(100, &pg, false, 0), 0);
	for (int i = 0; i < 100; i++)
		tu_words(&pg[i])[7] = 7;
	uvm_pglistfree(pg, 100);
	free = tu_free();
	kern = uvm_gauge(UVMG_kernpages);
	CHECK_EQ(uvm_pglistalloc(100, &pg, false, UVM_PGA_ZERO), 0);
	CHECK(uvm.free == free - 100 && uvm_gauge(UVMG_kernpages) == kern + 100);
	for (int i = 0; i < 100; i++) {
		CHECK(VM_PAGE_TO_PHYS(&pg[i]) == VM_PAGE_TO_PHYS(pg) + ptoa(i));
		CHECK(pg[i].pqflags == PQ_PRIVATE && pg[i].flags == 0);
		CHECK(tu_words(&pg[i])[7] == 0);
	}
	uvm_pglistfree(pg, 100);
	CHECK(tu_free() == free && uvm_gauge(UVMG_kernpages) == kern);
	rounds = tu_count(UVMC_pdwoke);
	CHECK(uvm_pglistalloc(NPAGES + 1, &pg, true, 0) == ENOMEM);
	CHECK_EQ(tu_count(UVMC_pdwoke), rounds);		/* nobody waits for more than there is */
	end();
}

KTEST(run_of_pages_leaves_the_reserve, "and not one page more than that")
{
	struct vm_page *pg, *again;

	begin(1);
	CHECK_EQ(uvm_pglistalloc(4, &pg, false, 0), 0);
	tu_exhaust();
	uvm_pglistfree(pg, 4);
	CHECK_EQ(uvm.free, uvm.reserve_kernel + 4);
	CHECK(uvm_pglistalloc(5, &again, false, 0) == ENOMEM);
	CHECK(uvm_pglistalloc(4, &again, false, 0) == 0 && again == pg);
	uvm_pglistfree(pg, 4);
	end();
}

KTEST_DEATH(I_PG_7_store_to_a_free_page_of_a_run, "a store to a page of a run while it was free is found", "I-PG-7")
{
	struct vm_page *pg;

	begin(1);
	CHECK_EQ(uvm_pglistalloc(4, &pg, false, 0), 0);
	uvm_pglistfree(pg, 4);
	tu_words(pg)[0] = 1;		/* always part of the sample */
	tu_free();
	(void)uvm_pglistalloc(4, &pg, false, 0);
}

/* What is left is the reserve: not for a run, and with it not enough. */
KTEST(run_of_pages_respects_the_reserves, "run of pages respects the reserves")
{
	struct vm_page *pg;
	uint64_t failed;

	begin(1);
	tu_take(NPAGES, 0);
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.pd_kicked = false;				/* one CPU: it has not run yet */
	mutex_spin_exit(&uvm_fpageqlock);
	failed = tu_count(UVMC_pga_fail);
	CHECK(uvm_pglistalloc(2, &pg, false, 0) == ENOMEM);
	CHECK(uvm.pd_kicked && tu_count(UVMC_pga_fail) == failed + 1);
	CHECK(uvm_pglistalloc(uvm.reserve_kernel, &pg, true, UVM_PGA_USERESERVE) == ENOMEM);
	end();
}

/* There is plenty, so nobody is short; but the first page of the only run lies with a CPU. */
KTEST(I_PD_5_run_of_pages_is_fetched_from_CPUs, "who waits for a run gets the pages that CPUs keep, be there ever so many others")
{
	struct vm_page *run, *pg, *got = NULL;

	begin(1);
	CHECK_EQ(uvm_pglistalloc(NPAGES / 2, &run, false, 0), 0);
	tu_take(NPAGES, 0);
	for (int i = 0; i < NPAGES / 2; i += 16)
		uvm_pagefree(&run[i]);
	CHECK(uvm.free >= uvm.freetarg && uvm_pgflcache_count() > 0 && uvm.reserve_kernel < 16);
	CHECK(uvm_quiesce());
	pg = uvm_pagealloc(NULL, 0, NULL, 0);
	CHECK_EQ(pg - run, NPAGES / 2 - 16);		/* freed last */
	uvm_pagefree(pg);
	CHECK(pg->pqflags == PQ_FREE && !pg->on_free);
	for (int i = 1; i < 16; i++)
		uvm_pagefree(&pg[i]);
	CHECK_EQ(uvm_pglistalloc(16, &got, true, 0), 0);
	CHECK(got == pg);
	for (int i = 0; i < NPAGES / 2; i++)
		if (run[i].pqflags == PQ_PRIVATE)
			uvm_pagefree(&run[i]);
	end();
}

KTEST(kernel_memory_waits_or_takes_the_reserve, "kernel memory waits or takes the reserve")
{
	void *va;

	begin(1);
	tu_take(NPAGES, 0);
	va = pool_allocator_kmem.pa_alloc(NULL, PR_NOWAIT);
	CHECK(va != NULL);
	CHECK(uvm.free == uvm.reserve_kernel - 1);
	pool_allocator_kmem.pa_free(NULL, va);
	va = uvm_kmem_backend.kb_alloc(1, KM_NOSLEEP);
	CHECK(va != NULL);
	uvm_kmem_backend.kb_free(va, 1);
	end();
}

KTEST_MAIN()
