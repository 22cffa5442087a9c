/*
 * The page daemon, and waiting for it.
 */
#include "tuvm.h"

#include <errno.h>
#include <host/host.h>
#include <sys/pool.h>

#define	NPAGES	4096
#define	NFILE	400		/* pages of the test's file */
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *vp;
static struct uvm_object *obj;
static bool referenced[NFILE];

/* What the daemon asks the pmap (linked with --wrap). */
static struct {
	bool	watch;
	int	asked;		/* modified? */
	int	unclean;	/* ... of a page that is dirty anyway (R21) */
	int	mapped;		/* ... of a page that is still mapped (R23) */
} pm;

/* => once, when the daemon is about to end a round */
static void (*at_the_end)(void);		/* atomic */

unsigned __real_pool_drain_all(void);
unsigned __wrap_pool_drain_all(void);
bool	__real_pmap_is_modified(struct vm_page *);
bool	__wrap_pmap_is_modified(struct vm_page *);
bool	__real_pmap_clear_modify(struct vm_page *);
bool	__wrap_pmap_clear_modify(struct vm_page *);
void	__real_pmap_clean_protect(struct vm_page *);
void	__wrap_pmap_clean_protect(struct vm_page *);

unsigned
__wrap_pool_drain_all(void)
{
	const unsigned n = __real_pool_drain_all();
	void (*fn)(void) = NULL;

	if (curlwp == uvm.pagedaemon_lwp)
		fn = __atomic_exchange_n(&at_the_end, NULL, __ATOMIC_ACQ_REL);
	if (fn != NULL)
		fn();
	return n;
}

static bool
asked(struct vm_page *pg)
{
	if (!pm.watch || curlwp != uvm.pagedaemon_lwp)
		return false;
	pm.asked++;
	pm.mapped += pmap_page_mapped(pg);
	return true;
}

bool
__wrap_pmap_is_modified(struct vm_page *pg)
{
	if (asked(pg))
		pm.unclean += (pg->flags & PG_CLEAN) == 0;
	return __real_pmap_is_modified(pg);
}

bool
__wrap_pmap_clear_modify(struct vm_page *pg)
{
	asked(pg);
	return __real_pmap_clear_modify(pg);
}

void
__wrap_pmap_clean_protect(struct vm_page *pg)
{
	__real_pmap_clean_protect(pg);
}

static void
begin(int ncpus)
{
	tu_boot(ncpus, NPAGES);
	vp = tu_file(NFILE * PAGE_SIZE);
	obj = &vp->v_uobj;
	for (int i = 0; i < NFILE; i++)
		tu_resident(obj, (voff_t)ptoa(i));
}

static void
end(void)
{
	tu_release();
	tu_unmap_all();
	vrele(vp);
	tu_shutdown();
}

/* Map every page; each one of n in every m is referenced. */
static void
map_all(int n, int m, vm_prot_t prot)
{
	for (int i = 0; i < NFILE; i++) {
		tu_map(tu_lookup(obj, (voff_t)ptoa(i)), i, prot, 0);
		referenced[i] = i % m < n;
		if (referenced[i])
			tu_load(i);
	}
}

/* Leave so many pages free, then let the daemon do one round. */
static void
one_round(uint64_t left)
{
	uint64_t rounds = tu_count(UVMC_pdwoke);

	tu_take(tu_free() - left, 0);
	uvm_kick_pdaemon();
	TU_WAIT(tu_count(UVMC_pdwoke) > rounds && !uvm.pd_kicked && uvm.paging == 0);
}

KTEST(R24_active_page_that_was_referenced_is_spared, "R24 active page that was referenced is spared")
{
	int lost = 0;

	begin(1);
	map_all(1, 2, VM_PROT_READ);
	one_round(uvm.freemin - 10);
	CHECK(tu_count(UVMC_pddeact) > 0 && tu_count(UVMC_pdfreed) > 0);
	CHECK_EQ(uvm.pd_backoff, 0);		/* it was of use */
	for (int i = 0; i < NFILE; i++) {
		struct vm_page *pg = tu_lookup(obj, (voff_t)ptoa(i));

		if (referenced[i])
			CHECK(pg != NULL && tu_mapped(i));
		lost += pg == NULL;
	}
	CHECK(lost > 0 && tu_count(UVMC_pdfreed) == (uint64_t)lost);
	end();
}

KTEST(R24_sweep_ages_what_it_spares,
    "a page that is not referenced again after a sweep is deactivated by the next")
{
	begin(1);
	map_all(1, 1, VM_PROT_READ);
	for (int i = 0; i < 3; i++)
		one_round(uvm.freemin - 10);
	CHECK(tu_count(UVMC_pddeact) > 0 && tu_count(UVMC_pdfreed) > 0);
	end();
}

KTEST(R22_inactive_page_that_was_referenced_is_activated, "R22 inactive page that was referenced is activated")
{
	uint64_t nref = 0;

	begin(1);
	map_all(0, 1, VM_PROT_READ);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	CHECK_EQ(uvm.inactive, NFILE);
	for (int i = 0; i < NFILE; i += 3) {
		tu_load(i);
		nref++;
	}
	one_round(uvm.reserve_kernel);
	CHECK(tu_count(UVMC_pdreact) > 0 && tu_count(UVMC_pdreact) <= nref);
	for (int i = 0; i < NFILE; i += 3)
		CHECK(tu_lookup(obj, (voff_t)ptoa(i)) != NULL);
	CHECK(tu_count(UVMC_pdfreed) > 0);
	end();
}

KTEST(R20_deactivated_page_stays_mapped_with_its_reference_clear, "R20 deactivated page stays mapped with its reference clear")
{
	int seen = 0;

	begin(1);
	map_all(0, 1, VM_PROT_READ);
	uvm_kick_pdaemon();		/* inactive is below its target, memory is not short */
	TU_WAIT(tu_count(UVMC_pddeact) > 0 && uvm_pdaemon_idle());
	CHECK_EQ(uvm.inactarg, NFILE / 3);
	CHECK(uvm.inactive == NFILE / 3 && tu_count(UVMC_pddeact) == NFILE / 3);
	CHECK_EQ(tu_count(UVMC_pdactive), NFILE / 3);		/* no more were looked at */
	for (int i = 0; i < NFILE; i++) {
		struct vm_page *pg = tu_lookup(obj, (voff_t)ptoa(i));

		CHECK(pg != NULL && tu_mapped(i));
		if (pg->pqflags & PQ_INACTIVE) {
			CHECK(!pmap_is_referenced(pg));
			seen++;
		}
	}
	CHECK(seen > 0);
	end();
}

/* No page is dirty, so every question is about a page that is about to go. */
KTEST(R23_mappings_go_before_modified_is_asked,
    "a page that is about to be freed has no mapping any more when modified is asked")
{
	begin(1);
	map_all(0, 1, RW);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	pm.watch = true;
	one_round(uvm.reserve_kernel);
	pm.watch = false;
	CHECK(pm.asked > 0 && tu_count(UVMC_pdfreed) > 0);
	CHECK_EQ(pm.mapped, 0);
	end();
}

KTEST(R21_modified_is_asked_of_clean_pages_only,
    "the daemon asks the pmap for modified only when the page is PG_CLEAN")
{
	begin(1);
	mutex_enter(&obj->vmobjlock);
	for (int i = 0; i < NFILE; i++)		/* two neighbours in each block are dirty */
		if (i % 16 < 2)
			uvm_pagelookup(obj, (voff_t)ptoa(i))->flags &= ~PG_CLEAN;
	mutex_exit(&obj->vmobjlock);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	pm.watch = true;
	one_round(uvm.reserve_kernel);
	pm.watch = false;
	CHECK(pm.asked > 0 && tu_count(UVMC_pdpageouts) > 0);
	CHECK_EQ(pm.unclean, 0);
	end();
}

KTEST(dirty_pages_are_written_before_they_go, "dirty pages are written before they go")
{
	uint64_t gone = 0;

	begin(1);
	map_all(0, 1, RW);
	for (int i = 0; i < NFILE; i++)
		tu_store(i, (uint64_t)i + 1000);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	one_round(uvm.reserve_kernel);
	CHECK(tu_count(UVMC_pdpageouts) > 0);
	for (int i = 0; i < NFILE; i++) {
		if (tu_lookup(obj, (voff_t)ptoa(i)) != NULL)
			continue;
		gone++;
		CHECK(!tu_mapped(i));
		CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(i)), i + 1000);
	}
	CHECK(gone > 0 && tu_count(UVMC_pdfreed) == gone && tu_count(UVMC_pdpageouts) == gone);
	end();
}

KTEST(R7_wired_pages_are_never_taken, "R7 wired pages are never taken")
{
	struct vm_page *pg;

	begin(1);
	for (int i = 0; i < 100; i++) {
		pg = tu_get(obj, (voff_t)ptoa(i));
		uvm_lock_pageq();
		uvm_pagewire(pg);
		uvm_unlock_pageq();
		tu_unbusy(pg);
	}
	for (int i = 0; i < 5; i++)
		one_round(uvm.reserve_kernel);
	CHECK(obj->uo_npages < NFILE);
	for (int i = 0; i < 100; i++) {
		pg = tu_get(obj, (voff_t)ptoa(i));
		CHECK_EQ(pg->wire_count, 1);
		uvm_lock_pageq();
		uvm_pageunwire(pg);
		uvm_unlock_pageq();
		tu_unbusy(pg);
	}
	end();
}

KTEST(busy_page_is_skipped, "an inactive page that somebody has busy stays where it is, and is counted")
{
	struct vm_page *pg;

	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	pg = tu_get(obj, 0);
	CHECK((pg->pqflags & PQ_INACTIVE) != 0);
	one_round(uvm.reserve_kernel);
	CHECK(tu_count(UVMC_pdbusy) > 0);
	CHECK_EQ(tu_count(UVMC_pdfreed), 4 * uvm.freetarg - uvm.reserve_kernel);	/* clean ones: to the page */
	CHECK(tu_count(UVMC_pdscan_ns) > 0 && tu_count(UVMC_pdrevs) <= tu_count(UVMC_pdwoke));
	CHECK(tu_lookup(obj, 0) == pg && (pg->pqflags & PQ_INACTIVE) != 0);
	tu_unbusy(pg);
	end();
}

/* => the daemon looks n times, for nobody in particular */
static void
rounds(int n)
{
	for (int i = 0; i < n; i++) {
		const uint64_t before = tu_count(UVMC_pdwoke);

		uvm_kick_pdaemon();
		TU_WAIT(tu_count(UVMC_pdwoke) > before && uvm.pd_idle && !uvm.pd_kicked);
	}
}

KTEST(nothing_is_freed_when_nothing_is_wanted, "a round for the inactive queue leaves what is on it; one that has nothing to do does not scan")
{
	uint64_t scans;

	begin(1);
	CHECK_EQ(tu_put(obj, 0, (voff_t)ptoa(50), PGO_DEACTIVATE), 0);
	tu_take(tu_free() - uvm.freetarg - 10, 0);
	rounds(1);
	CHECK(tu_count(UVMC_pdfreed) == 0 && tu_count(UVMC_pdscans) == 0);
	CHECK_EQ(uvm.inactive, NFILE / 3);
	scans = tu_count(UVMC_pdrevs);
	rounds(1);
	CHECK_EQ(tu_count(UVMC_pdrevs), scans);
	end();
}

KTEST(just_deactivated_pages_get_their_chance, "they go in the round that made them inactive only if memory is short without them")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, (voff_t)ptoa(30), PGO_DEACTIVATE), 0);
	tu_take(tu_free() - uvm.freetarg + 10, 0);
	rounds(1);
	CHECK_EQ(tu_count(UVMC_pdfreed), 30);
	CHECK_EQ(uvm.inactive, NFILE / 3);
	end();
}

KTEST(I_LCK_5_the_daemon_pauses_for_owners, "after each 16 that it could not lock; then their holder gets on, and it does")
{
	uint64_t start;

	begin(2);
	mutex_enter(&obj->vmobjlock);
	start = host_now_ns();
	uvm_kick_pdaemon();			/* no page is inactive */
	tu_spin_until(UVMC_pdtrypause, 18);	/* at 18 other numbers than 16 have shown */
	CHECK(host_now_ns() - start >= 17 * UINT64_C(1000000));
	mutex_exit(&obj->vmobjlock);
	CHECK(uvm_quiesce());
	CHECK_EQ(tu_count(UVMC_pdtrypause), tu_count(UVMC_pdtrylock) / 16);	/* of the one round that was */
	rounds(2);
	CHECK_EQ(tu_count(UVMC_pddeact), NFILE / 3);
	CHECK_EQ(uvm.inactarg, NFILE / 3);	/* of both queues */
	end();
}

KTEST(short_memory_drains_pools, "short memory drains pools")
{
	struct pool *pp;
	void *item[64];
	uint64_t kern;

	begin(1);
	pp = pool_create(2048, 0, "drainme", &pool_allocator_kmem, IPL_NONE);
	for (int i = 0; i < 64; i++)
		item[i] = pool_get(pp, PR_WAITOK);
	for (int i = 0; i < 64; i++)
		pool_put(pp, item[i]);
	kern = uvm_km_pages();
	uvm_kick_pdaemon();
	CHECK(uvm_quiesce() && tu_count(UVMC_pdwoke) > 0);
	CHECK(uvm_km_pages() >= kern);			/* it is not short */
	tu_take(tu_free() - uvm.freemin + 10, 0);
	kern = uvm_km_pages();
	uvm_kick_pdaemon();
	TU_WAIT(uvm_km_pages() <= kern - 32);
	pool_destroy(pp);
	end();
}

/* --- when it is woken: on one CPU it does not run before we sleep --- */

/* => one page more is taken; is there a round to do? */
static bool
wakes_it(void)
{
	CHECK_EQ(tu_take(1, 0), 1);
	return uvm.pd_kicked;
}

KTEST(woken_below_the_target_when_few_pages_are_inactive, "and not before")
{
	begin(1);
	CHECK(uvm_quiesce());
	tu_take(tu_free() - uvm.freetarg, 0);
	CHECK(uvm_quiesce() && uvm.free == uvm.freetarg && !uvm.pd_kicked);
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.inactarg = uvm.inactive + 1;
	mutex_spin_exit(&uvm_fpageqlock);
	CHECK(wakes_it());
	end();
}

KTEST(woken_below_the_minimum_in_any_case, "and not before, when there are pages to be had soon")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	CHECK(uvm_quiesce());
	tu_take(tu_free() - uvm.freetarg, 0);
	CHECK(uvm_quiesce() && uvm.free == uvm.freetarg && uvm.inactive >= uvm.inactarg);
	while (uvm.free > uvm.freemin)
		CHECK(!wakes_it());
	CHECK(wakes_it());
	end();
}

KTEST(woken_now_and_then_when_it_was_no_use, "after a fruitless round by every so manieth allocation, and by each that fails")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);	/* nor is there anything to be freed */
	do {
		tu_take(tu_free() - uvm.freemin + 1, 0);
		CHECK(uvm_quiesce());
	} while (uvm.free >= uvm.freemin);		/* pools had some */
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.pd_kicked = false;
	uvm.pd_backoff = 3;
	mutex_spin_exit(&uvm_fpageqlock);
	for (int i = 0; i < 3; i++)
		CHECK(!wakes_it());
	CHECK(wakes_it());
	mutex_spin_enter(&uvm_fpageqlock);
	uvm.pd_kicked = false;
	uvm.pd_backoff = uvm.npages;
	mutex_spin_exit(&uvm_fpageqlock);
	while (uvm.free > uvm.reserve_kernel)
		CHECK(!wakes_it());
	CHECK(tu_take(1, 0) == 0 && uvm.pd_kicked);
	end();
}

/* --- waiting --- */

/* 64 sleepers, one page at a time: nobody sleeps on with memory there (I-PD-5). */
KTEST(T48_no_waiter_is_forgotten, "T48 no waiter is forgotten")
{
	struct lwp *l[64];

	begin(4);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	do {		/* and the daemon has found nothing more */
		tu_exhaust();
		CHECK(uvm_quiesce());
	} while (__atomic_load_n(&uvm.free, __ATOMIC_RELAXED) > uvm.reserve_kernel);
	for (int i = 0; i < 64; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "hungry", tu_hungry, NULL), 0);
		lwp_start(l[i]);
	}
	/* a page that the daemon drains from a pool meanwhile may serve some */
	TU_WAIT(__atomic_load_n(&tu_waiting, __ATOMIC_RELAXED) +
	    __atomic_load_n(&tu_got, __ATOMIC_RELAXED) >= 64);
	CHECK(__atomic_load_n(&tu_waiting, __ATOMIC_RELAXED) > 0);
	tu_release_one();
	for (int i = 0; i < 64; i++)
		lwp_wait(l[i]);
	CHECK_EQ(tu_got, 64);
	end();
}

/* All memory is nobody's to take back: waiting ends, and says that it is pointless. */
KTEST(I_PD_6_waiting_ends_when_nothing_can_be_freed, "I PD 6 waiting ends when nothing can be freed")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	tu_exhaust();
	CHECK(uvm_reclaimable());
	uvm_wait("test");
	CHECK(uvm.pd_backoff > 0);
	CHECK(!uvm_reclaimable() && uvm.oom && uvm.nwaiters == 0);
	tu_release();
	CHECK(uvm_reclaimable());
	end();
}

/* File pages are there, but a reader keeps them busy: still nobody waits for ever. */
KTEST(I_PD_6_waiting_ends_when_all_candidates_are_busy, "I PD 6 waiting ends when all candidates are busy")
{
	begin(1);
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 0, PGO_FREE), 0);
	tu_get(obj, 0);
	tu_exhaust();
	uvm_wait("test");
	CHECK(!uvm_reclaimable());
	CHECK(tu_count(UVMC_pdbusy) >= tu_count(UVMC_pdwoke) && tu_count(UVMC_pdrevs) > 0);
	tu_unbusy(tu_lookup(obj, 0));
	uvm_wait("test");
	end();
}

/* --- when a wait is given up --- */

/* uvm-spec 8.2: rounds in a row, each of which was to free something, and did not */
#define	GIVEN_UP	64

/* => the only page that could be freed some time is busy */
static void
begin_in_vain(void)
{
	begin(1);
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 0, PGO_FREE), 0);
	tu_get(obj, 0);
	while (pool_drain_all() > 0)
		;
}

static void
end_in_vain(void)
{
	tu_unbusy(tu_lookup(obj, 0));
	end();
}

/* => after so many rounds who waits is told that there is no memory */
static uint64_t
given_up_after(void)
{
	uint64_t before;

	do {				/* pools may have had some */
		tu_take(uvm.npages, 0);
		before = tu_count(UVMC_pdwoke);
		uvm_wait("test");
	} while (uvm_reclaimable());
	return tu_count(UVMC_pdwoke) - before;
}

KTEST(I_PD_6_rounds_that_need_free_nothing_do_not_count, "what the daemon did in better times is no reason to give a wait up early")
{
	begin_in_vain();
	tu_take(tu_free() - uvm.freetarg, 0);
	rounds(2 * GIVEN_UP);
	CHECK(given_up_after() >= GIVEN_UP);
	end_in_vain();
}

KTEST(I_PD_6_rounds_that_free_something_do_not_count, "nor is that memory has been short for long, while some has come back in each round")
{
	begin_in_vain();
	CHECK(given_up_after() >= GIVEN_UP);
	for (int i = 0; i < 2 * GIVEN_UP; i++) {
		tu_release_one();
		CHECK_EQ(tu_take(1, 0), 1);
		rounds(1);
	}
	CHECK(given_up_after() >= GIVEN_UP);
	end_in_vain();
}

/* => the last round was to no avail, and so will the next be */
static void
nothing_left(void)
{
	do {
		tu_exhaust();
		rounds(2);			/* with the first goes what pools had */
	} while (uvm.free > uvm.reserve_kernel);
}

KTEST(I_PD_6_no_candidates_no_patience, "when there is no page that could be freed some time a second fruitless round is one too many")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	nothing_left();
	CHECK(given_up_after() <= 2);
	end();
}

static void
waits_once(void *arg)
{
	uvm_wait("once");
}

/* => one LWP more waits for memory; what may be known of the daemon is for the caller to find out */
static struct lwp *
begin_to_wait(void)
{
	const uint64_t before = tu_count(UVMC_pdwoke);
	struct lwp *l;

	CHECK_EQ(lwp_create(&l, NULL, "waits", waits_once, NULL), 0);
	lwp_start(l);
	TU_WAIT(tu_count(UVMC_pdwoke) > before);
	return l;
}

/* Somebody's pageout takes its time: until it has ended no round has failed, be there ever so many. */
KTEST(I_PD_6_pageouts_on_their_way_are_waited_for, "who waits is not given up while something is being written")
{
	struct lwp *l;

	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	uvm_pageout_start(1);			/* there have been some before */
	uvm_pageout_done(1);
	nothing_left();
	CHECK(uvm.pd_backoff > 0);
	uvm_pageout_start(2);
	rounds(2 * GIVEN_UP);
	CHECK_EQ(uvm.pd_backoff, 0);
	l = begin_to_wait();
	TU_WAIT(uvm.pd_idle && !uvm.pd_kicked);
	CHECK(!uvm.oom && uvm.nwaiters == 1);
	uvm_pageout_done(1);			/* and that has brought nothing, either */
	CHECK(!uvm.pd_kicked);			/* the last of them asks for a round */
	uvm_pageout_done(1);
	lwp_wait(l);
	end();
}

KTEST(I_PD_5_between_rounds_for_somebody_the_daemon_is_not_idle, "it pauses, and goes on: nobody who wants the machine at rest may take that for the end")
{
	bool idle = false;
	struct lwp *l;
	int seen = 0;

	begin_in_vain();
	tu_exhaust();
	l = begin_to_wait();
	for (int i = 0; i < GIVEN_UP / 4; i++) {
		const bool asleep = uvm_pdaemon_idle();

		if (uvm.nwaiters == 1) {	/* he waits but once: so he has waited when we asked, too */
			idle |= asleep;
			seen++;
		}
		kpause("sample", 1000000);
	}
	lwp_wait(l);
	CHECK(seen > 0 && !idle);
	end_in_vain();
}

/* As if its CPU had seen plenty of memory just before there was none. */
static void
keep_one(void)
{
	const uint64_t target = uvm.freetarg;

	uvm.freetarg = 0;
	tu_release_one();
	uvm.freetarg = target;
	CHECK_EQ(uvm_pgflcache_count(), 1);
}

KTEST(I_PD_6_page_that_came_to_a_CPU_during_the_round, "who waits is not given up while a CPU has a page: the next round fetches it")
{
	begin(1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	nothing_left();
	__atomic_store_n(&at_the_end, keep_one, __ATOMIC_RELEASE);
	uvm_wait("test");
	CHECK(at_the_end == NULL && uvm_reclaimable());
	CHECK(uvm.free > uvm.reserve_kernel);
	end();
}

KTEST(waiting_gets_file_pages_back, "waiting gets file pages back")
{
	begin(1);
	tu_exhaust();
	uvm_wait("test");
	CHECK(uvm.free > uvm.reserve_kernel && uvm_reclaimable());
	end();
}

KTEST_DEATH(daemon_does_not_wait_for_itself, "daemon does not wait for itself", "waits for memory")
{
	begin(1);
	uvm.pagedaemon_lwp = curlwp;
	uvm_wait("test");
}

KTEST(I_PD_4_daemon_may_only_try_owners, "lock debugging watches that the daemon only tries the locks of owners and maps")
{
	static const enum lock_class only[] = { LC_vnode, LC_map, LC_kmap, LC_glock, LC_amap, LC_uobj,
		LC_ubc, LC_anon };

	begin(1);
	one_round(uvm.freemin - 10);
	for (unsigned i = 0; i < sizeof(only) / sizeof(only[0]); i++)
		CHECK((uvm.pagedaemon_lwp->l_onlytry >> only[i] & 1) != 0);
	CHECK((uvm.pagedaemon_lwp->l_onlytry >> LC_pageq & 1) == 0);
	end();
}

/* --- everybody at once --- */

static void
storm(void *arg)
{
	host_rng_init(&curlwp->l_rng, 7, (uint64_t)(uintptr_t)arg);
	for (int i = 0; i < 400; i++) {
		voff_t off = (voff_t)ptoa(host_rng_below(&curlwp->l_rng, NFILE));
		struct vm_page *pg = NULL;
		int n = 1, error;

		mutex_enter(&obj->vmobjlock);
		error = obj->pgops->pgo_get(obj, off, &pg, &n, 0, VM_PROT_WRITE, UVM_ADV_NORMAL, 0);
		CHECK(error == 0 || error == ENOMEM);
		if (error == 0) {
			uint64_t *word = &tu_words(pg)[8 + (uintptr_t)arg];

			CHECK(tu_words(pg)[0] == tu_word(off));
			*word = (uint64_t)off;
			mutex_enter(&obj->vmobjlock);
			pg->flags &= ~PG_CLEAN;
			mutex_exit(&obj->vmobjlock);
			tu_unbusy(pg);
		}
		lwp_userret(1);
	}
}

/* The file is larger than what is left of memory: pages come and go, content stays. */
KTEST(T49_storm_of_gets_under_pressure, "T49 storm of gets under pressure")
{
	struct lwp *l[6];

	begin(4);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	tu_take(tu_free() - uvm.freetarg - NFILE / 4, 0);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "storm", storm, (void *)(uintptr_t)i), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 6; i++)
		lwp_wait(l[i]);
	CHECK(tu_count(UVMC_pdfreed) > 0 && tu_count(UVMC_pageins) > 0);
	CHECK_EQ(vnode_fsync(vp), 0);
	for (int i = 0; i < NFILE; i++) {
		CHECK(tu_host_word(vp, (voff_t)ptoa(i)) == tu_word((voff_t)ptoa(i)));
		for (int k = 0; k < 6; k++) {
			uint64_t v = tu_host_word(vp, (voff_t)ptoa(i) + 64 + 8 * k);

			CHECK(v == ptoa(i) || v == tu_word((voff_t)ptoa(i) + 64 + 8 * k));
		}
	}
	end();
}

KTEST_MAIN()
