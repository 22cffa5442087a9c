/*
 * swapoff: everything is read in, whatever happens to its owners meanwhile; and when it
 * cannot be, the device is as it was.
 */
#include "tswap.h"

#include <errno.h>
#include <string.h>
#include <sys/inject.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096

/* => two devices; the pages of the lane are stored to and out, on device 1 */
static void
begin(int ncpus, const char *lane)
{
	ts_boot(ncpus, NPAGES, 256, 2);
	tm_put(tm_proc, lane);
	for (int i = 0; lane[i] != '\0'; i++) {
		tm_store(i, 1000 + (uint64_t)i);
		CHECK(ts_pageout(tm_proc, i));
		CHECK_EQ(ts_slot(tm_proc, i) >> SWAPDEV_SHIFT, 1);
	}
}

static void
check_lane(const char *lane)
{
	for (int i = 0; lane[i] != '\0'; i++)
		CHECK_EQ(tm_load(i), 1000 + (uint64_t)i);
}

static struct swapent *
stat_of(int dev)
{
	static struct swapent se[SWAP_MAXDEV];
	int n = uvm_swap_stats(se, SWAP_MAXDEV);

	for (int i = 0; i < n; i++)
		if (se[i].se_dev == dev)
			return &se[i];
	return NULL;
}

/* => the device is in use as if nothing had been: its slots are given out */
static void
check_enabled(int dev, uint64_t avail)
{
	int n = 1, slot;

	CHECK(stat_of(dev) != NULL && stat_of(dev)->se_enabled);
	CHECK_EQ(ts_exp()->swpgavail, avail);
	CHECK_EQ(uvm_swap_ctl(dev, 0), 0);
	slot = uvm_swap_alloc(&n, false);
	CHECK_EQ(slot >> SWAPDEV_SHIFT, dev);
	uvm_swap_free(slot, 1);
}

KTEST(B11_everything_is_read_in, "B-11, I-SWP-7: the first slot too; afterwards nobody has a slot of the device")
{
	static const char lane[] = "aaaaoooossaaaaqqqq";

	begin(1, lane);
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(stat_of(1) == NULL && ts_exp()->nswapdev == 1);
	CHECK(ts_exp()->swpages == 256 && ts_exp()->swpgavail == 256);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	for (int i = 0; lane[i] != '\0'; i++)
		CHECK(ts_slot(tm_proc, i) == 0 && ts_resident(tm_proc, i) && !ts_clean(tm_proc, i));
	CHECK_EQ(tu_count(UVMC_swapoff_wait), 0);	/* at the first look */
	check_lane(lane);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(ts_slot(tm_proc, 0) >> SWAPDEV_SHIFT, 2);
	tm_shutdown();
}

KTEST(B11_a_full_device_is_read_in, "B-11, I-SWP-7: of a device that is full the last slot is read in, too")
{
	struct swapon_args sa = { .sa_bytes = ptoa(8), .sa_priority = 0 };
	int dev;

	begin(1, "aaaaoooo");
	CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
	check_lane("aaaaoooo");
	CHECK_EQ(uvm_swap_off(1), 0);
	for (int i = 0; i < 8; i++)
		CHECK(ts_pageout(tm_proc, i));
	CHECK(stat_of(dev)->se_inuse == 8 && stat_of(dev)->se_nblks == 8);
	CHECK_EQ(uvm_swap_off(dev), 0);
	CHECK_EQ(tu_count(UVMC_swapoffs), 2);
	check_lane("aaaaoooo");
	tm_shutdown();
}

KTEST(resident_pages_lose_their_slots, "clean pages in memory become dirty and give up their slots, unread")
{
	begin(1, "aaoo");
	check_lane("aaoo");
	CHECK(ts_clean(tm_proc, 0) && ts_clean(tm_proc, 2));
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK_EQ(tu_count(UVMC_pgswapin), 4);		/* check_lane()'s */
	CHECK(!ts_clean(tm_proc, 0) && !ts_clean(tm_proc, 2));
	check_lane("aaoo");
	tm_shutdown();
}

KTEST(page_on_loan_loses_its_slot, "and stays wired by its loan, on no queue")
{
	struct vm_page *pg;

	begin(1, "o");
	check_lane("o");
	pg = tm_page(tm_proc, 0);
	CHECK(ts_clean(tm_proc, 0) && pg != NULL);
	tu_lend(pg);
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_slot(tm_proc, 0) == 0 && !ts_clean(tm_proc, 0));
	CHECK(pg->wire_count == 1 && (pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
	check_lane("o");
	tm_shutdown();
}

KTEST(other_devices_are_left_alone, "what is on other devices stays there")
{
	begin(1, "aaoo");
	CHECK_EQ(uvm_swap_off(2), 0);
	CHECK(ts_exp()->swpgonly == 4 && !ts_resident(tm_proc, 0));
	check_lane("aaoo");
	tm_shutdown();
}

KTEST(off_and_on_again, "a device that was taken off and put on again begins empty, with its own priority")
{
	struct swapon_args sa = { .sa_bytes = ptoa(32), .sa_priority = 0 };
	int dev;

	begin(1, "aaoo");
	for (int k = 0; k < 5; k++) {
		CHECK_EQ(uvm_swap_off(1), 0);
		CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
		CHECK(dev == 1 && stat_of(1)->se_inuse == 0 && stat_of(1)->se_nblks == 32);
		for (int i = 0; i < 4; i++)
			CHECK(ts_pageout(tm_proc, i));
		CHECK_EQ(stat_of(1)->se_inuse, 4);
	}
	check_lane("aaoo");
	tm_shutdown();
}

KTEST(R18_swapoff_asks_an_object_again, "an object that says AGAIN is asked again, and is emptied")
{
	uint64_t calls, failed;
	char why[80];

	begin(1, "ooaa");
	CHECK_EQ(inject_configure("pager-again:every=1,times=3", 1, why, sizeof(why)), 0);
	inject_start();
	CHECK_EQ(uvm_swap_off(1), 0);
	inject_stop();
	inject_counts(INJECT_pager_again, &calls, &failed);
	CHECK_EQ(failed, 3);
	CHECK_EQ(tu_count(UVMC_swapoff_wait), 0);	/* at the first look */
	check_lane("ooaa");
	tm_shutdown();
}

/* --- when it cannot --- */

static void
without_memory(const char *lane)
{
	begin(1, lane);
	tu_exhaust();
	CHECK_EQ(uvm_swap_off(1), ENOMEM);
	tu_release();
	CHECK(tu_count(UVMC_swapoffs) == 0 && tu_count(UVMC_swapoffs_failed) == 1);
	check_enabled(1, 512);
	check_lane(lane);
	CHECK_EQ(uvm_swap_off(1), 0);
	tm_shutdown();
}

KTEST(T47_without_memory_ENOMEM, "T-47: no memory to read anons into, or pages of objects: ENOMEM, and the device is in use as before")
{
	without_memory("aaaaaaaa");
	without_memory("oooooooo");
}

KTEST(T47_slot_of_nobody_EBUSY, "T-47: a slot whose owner is not found: EBUSY, and the device is in use as before")
{
	int n = 1, slot;

	begin(1, "aaoo");
	slot = uvm_swap_alloc(&n, false);
	CHECK_EQ(slot >> SWAPDEV_SHIFT, 1);
	CHECK_EQ(uvm_swap_off(1), EBUSY);
	check_enabled(1, 512);
	uvm_swap_free(slot, 1);
	CHECK_EQ(uvm_swap_off(1), 0);
	check_lane("aaoo");
	tm_shutdown();
}

KTEST(unreadable_slots_go_with_the_device, "swapoff loses what cannot be read, says so by EIO, and ends")
{
	begin(1, "aaaoo");
	uvm_swap_inject(1, 2, 0, EIO);
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_exp()->npgbad == 0 && ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	CHECK_EQ(tu_count(UVMC_swapin_error), 2);
	for (int i = 0, lost = 0; i < 5; i++) {
		lost += ts_slot(tm_proc, i) == SWSLOT_BAD;
		if (ts_slot(tm_proc, i) == SWSLOT_BAD)
			CHECK_EQ(tm_load_error(i), EIO);
		else
			CHECK_EQ(tm_load(i), 1000 + (uint64_t)i);
		CHECK(i < 4 || lost == 2);
	}
	tm_shutdown();
}

/* --- while a page is read --- */

static int alloc_dev;

static void
alloc_here(void)
{
	int n = 1, slot = uvm_swap_alloc(&n, false);

	alloc_dev = slot >> SWAPDEV_SHIFT;
	uvm_swap_free(slot, 1);
}

KTEST(I_SWP_6_nothing_is_allocated_from_it, "I-SWP-6: while it is emptied no slot of it is given out")
{
	begin(1, "aa");
	ts_reading = alloc_here;
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK_EQ(alloc_dev, 2);
	tm_shutdown();
}

static bool locked;			/* atomic: swapoff may begin */

static void
take_off(struct tm_thread *tt)
{
	while (!__atomic_load_n(&locked, __ATOMIC_ACQUIRE))
		lwp_userret(1);
	CHECK_EQ(uvm_swap_off(1), 0);
}

static void
tries(const char *lane)
{
	struct vm_amap *amap;
	struct tm_thread tt;

	begin(2, lane);
	amap = lane[0] == 'a' ? tm_entry(tm_proc, 0)->aref.ar_amap : NULL;
	tm_start(tm_proc, &tt, 1, take_off, NULL);
	if (amap != NULL)
		amap_lock(amap);
	else
		mutex_enter(&tm_obj->vmobjlock);
	__atomic_store_n(&locked, true, __ATOMIC_RELEASE);
	tu_spin_until(UVMC_swapoff_trylock, 1);
	if (amap != NULL)
		amap_unlock(amap);
	else
		mutex_exit(&tm_obj->vmobjlock);
	tm_wait(&tt, 1);
	__atomic_store_n(&locked, false, __ATOMIC_RELAXED);
	check_lane(lane);
	tm_shutdown();
}

KTEST(I_LCK_5_swapoff_pauses_for_owners, "for who has an amap, or an object: he gets on, and so does swapoff")
{
	tries("aa");
	tries("oo");
}

static void
unmap_here(void)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(2)), 0);
}

static void
fill_the_other(void)
{
	const struct uvmexp *ue = ts_exp();
	int n = 16, slot[16];

	CHECK(ue->nswapdev == 2 && ue->swpages == 2 * 256 && ue->swpgavail == 256);
	CHECK(!uvm_swapisfilled());
	for (int i = 0; i < 16; i++) {
		slot[i] = uvm_swap_alloc(&n, false);
		CHECK(slot[i] != 0);
	}
	CHECK(uvm_swapisfilled() && !uvm_swapisfull());
	for (int i = 0; i < 16; i++)
		uvm_swap_free(slot[i], 16);
}

KTEST(device_that_is_emptied_is_not_to_be_had, "its slots are there, and no room for anybody: swap is filled when those of the others are in use")
{
	begin(1, "aa");
	ts_reading = fill_the_other;
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_reading == NULL && ts_exp()->swpages == 256);
	tm_shutdown();
}

/* The amap's last reference goes: swapoff frees it. */
KTEST(I_AMAP_11_amap_goes_while_swapoff_reads, "I-AMAP-11: an amap whose last reference goes meanwhile is wiped by swapoff")
{
	begin(1, "aa");
	ts_reading = unmap_here;
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_reading == NULL && ts_exp()->namap == 0 && ts_exp()->nanon == 0);
	tm_shutdown();
}

static void
unmap_page_here(void)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

KTEST(B13_anon_goes_while_swapoff_reads, "B-13: an anon that is unmapped while swapoff reads it is freed once")
{
	begin(1, "aa");
	ts_reading = unmap_page_here;
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_reading == NULL && ts_exp()->nanon == 1);
	CHECK_EQ(tm_load(1), 1001);
	tm_shutdown();
}

static void
detach_here(void)
{
	proc_attach(NULL);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(2)), 0);
	uao_detach(tm_obj);
	tm_obj = uao_create(ptoa(8), 0);
	proc_attach(tm_proc);
}

KTEST(B3_T72_object_goes_while_swapoff_reads, "B-3, T-72: the last reference to an object may be swapoff's own")
{
	begin(1, "oo");
	ts_reading = detach_here;
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK(ts_reading == NULL && ts_exp()->naobj == 1 && ts_exp()->swpginuse == 0);
	tm_shutdown();
}

/* --- waiting --- */

/* Holds page 0 BUSY for a while, as a fault would that reads it. */
static void
hold_busy(struct tm_thread *tt)
{
	struct vm_anon *anon = tt->tt_arg;
	struct vm_page *pg = anon->an_page;

	for (int i = 0; i < 3; i++)
		kpause("hold", 1000000);
	/* B-13, T-36: the anon goes while swapoff waits for its page */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	for (int i = 0; i < 3; i++)
		kpause("hold", 1000000);
	mutex_enter(&anon->an_lock);
	CHECK_EQ(anon->an_ref, 1);			/* swapoff's */
	uvm_page_unbusy(&pg, 1);
	mutex_exit(&anon->an_lock);
}

KTEST(B13_T36_anon_goes_while_swapoff_waits, "B-13, T-36: swapoff waits for a busy page whose anon goes: its own reference keeps it")
{
	struct tm_thread th;
	struct vm_anon *anon;

	begin(1, "aa");				/* whose pauses end in the order of virtual time */
	CHECK_EQ(tm_load(0), 1000);
	anon = tm_page(tm_proc, 0)->uanon;
	mutex_enter(&anon->an_lock);
	uvm_page_busy(anon->an_page, "test");
	uvm_page_pass(&anon->an_page, 1);	/* hold_busy lets it go */
	mutex_exit(&anon->an_lock);
	tm_start(NULL, &th, 1, hold_busy, anon);
	CHECK_EQ(uvm_swap_off(1), 0);
	tm_wait(&th, 1);
	CHECK_EQ(ts_exp()->nanon, 1);
	CHECK_EQ(tm_load(1), 1001);
	tm_shutdown();
}

static struct ts_cluster inflight;

static void
write_late(struct tm_thread *tt)
{
	for (int i = 0; i < 5; i++)
		kpause("late", 1000000);
	for (int i = 0; i < 4; i++)
		CHECK(ts_add(&inflight, tm_proc, i));
	for (int i = 0; i < 5; i++)
		kpause("late", 1000000);
	CHECK_EQ(ts_write(&inflight, 0), 0);
}

KTEST(T47_cluster_in_flight_is_waited_for, "T-47: slots of a cluster that is still to be written are no reason for EBUSY")
{
	struct tm_thread th;

	begin(1, "aaoo");			/* likewise: swapoff does not wait for ever */
	check_lane("aaoo");
	CHECK_EQ(uvm_swap_off(2), 0);
	for (int i = 0; i < 4; i++) {			/* what is left to do is the cluster's */
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
		CHECK_EQ(sys_munlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
	}
	ts_begin(&inflight, 8);
	tm_start(NULL, &th, 1, write_late, NULL);
	CHECK_EQ(uvm_swap_off(1), 0);
	tm_wait(&th, 1);
	CHECK_EQ(ts_exp()->paging, 0);
	CHECK(tu_count(UVMC_swapoff_wait) > 0);
	check_lane("aaoo");
	tm_shutdown();
}

/* --- under load --- */

#define	LOAD_PAGES	48

static int nowner;

/* Stores and checks the pages of its own stretch; the last one's is the object's, and stays. */
static void
churn(struct tm_thread *tt)
{
	int first = tt->tt_number * LOAD_PAGES, last[LOAD_PAGES] = { 0 };
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), (uint64_t)tt->tt_number);
	while (tm_go_on(tt)) {
		int i = (int)host_rng_below(&rng, LOAD_PAGES);

		CHECK_EQ(tm_load(first + i), (uint64_t)last[i]);
		if (host_rng_below(&rng, 2) == 0)
			tm_store(first + i, (uint64_t)++last[i]);
		if (host_rng_below(&rng, 256) == 0 && tt->tt_number < nowner - 1) {
			CHECK_EQ(sys_munmap(tm_proc, TM_VA(first + i), PAGE_SIZE), 0);
			CHECK_EQ(tm_put_at(tm_proc, first + i, 1, 'a'), 0);
			last[i] = 0;
		}
		if (host_rng_below(&rng, 64) == 0) {
			CHECK_EQ(sys_mlock(tm_proc, TM_VA(first + i), PAGE_SIZE), 0);
			CHECK_EQ(sys_munlock(tm_proc, TM_VA(first + i), PAGE_SIZE), 0);
		}
		tt->tt_rounds++;
	}
}

/* The page daemon's part. */
static void
evict(struct tm_thread *tt)
{
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), 100 + (uint64_t)tt->tt_number);
	while (tm_go_on(tt)) {
		struct ts_cluster tc;
		int n = 8;

		tc = (struct ts_cluster){ .tc_room = n };
		tc.tc_slot = uvm_swap_alloc(&tc.tc_room, true);
		if (tc.tc_slot == 0) {
			kpause("evict", 100000);
			continue;
		}
		for (int i = 0; i < tc.tc_room; i++)
			(void)ts_add(&tc, tm_proc, (int)host_rng_below(&rng, (uint64_t)nowner * LOAD_PAGES));
		(void)ts_write(&tc, host_rng_below(&rng, 2) == 0 ? PGO_SYNCIO : 0);
		tt->tt_rounds++;
	}
}

static void
load(int ncpus, int nthreads, unsigned rounds, unsigned write_every)
{
	struct tm_thread own[4], out[2];
	struct swapon_args sa = { .sa_bytes = ptoa(256) };
	unsigned off = 0;

	nowner = nthreads;
	ts_boot(ncpus, NPAGES, 256, 2);
	CHECK_EQ(tm_put_at(tm_proc, 0, LOAD_PAGES * (nthreads - 1), 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, LOAD_PAGES * (nthreads - 1), LOAD_PAGES, 'o'), 0);
	uvm_swap_inject(1, 0, write_every, ENOSPC);
	uvm_swap_inject(2, 0, write_every, ENOMEM);
	tm_start(tm_proc, own, nthreads, churn, NULL);
	tm_start(NULL, out, 2, evict, NULL);
	/* how often swapoff must give up, on a host that is slow to run who has slots in hand, is nobody's fault */
	for (unsigned k = 0; k < rounds || off <= rounds / 2 || tu_count(UVMC_nswget) == 0 ||
	    tu_count(UVMC_pgswapout) == 0; k++) {
		int dev = 1 + (int)(k % 2), error = uvm_swap_off(dev), got = 0;

		CHECK(error == 0 || error == EBUSY || error == ENOMEM);
		if (error != 0) {
			CHECK(stat_of(dev) != NULL && stat_of(dev)->se_enabled);
			continue;
		}
		off++;
		CHECK(stat_of(dev) == NULL);
		kpause("load", 2000000);
		sa.sa_priority = (int)(k % 3);
		CHECK_EQ(uvm_swap_on(&sa, &got), 0);
		CHECK_EQ(got, dev);
		uvm_swap_inject(dev, 0, write_every, ENOSPC);
		CHECK_EQ(uvm_swap_ctl(3 - dev, (int)(k % 5)), 0);
		kpause("load", 2000000);
	}
	tm_stop();
	tm_wait(own, nthreads);
	tm_wait(out, 2);
	TU_WAIT(ts_exp()->paging == 0);
	CHECK_EQ(uvm_swap_off(1), 0);
	CHECK_EQ(uvm_swap_off(2), 0);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	tm_shutdown();
}

KTEST(T47_under_load, "T-47: devices go and come while threads store, unmap, wire and pages go out: no word is lost")
{
	load(4, 4, ktest_scale(60), 0);
}

KTEST(T47_under_load_one_cpu, "T-47 on one CPU")
{
	load(1, 3, ktest_scale(40), 0);
}

KTEST(T45_under_load, "T-45: every third cluster cannot be written, devices go and come: no word is lost")
{
	load(4, 4, ktest_scale(60), 3);
}

KTEST_MAIN()
