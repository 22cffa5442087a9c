/*
 * The page daemon and swap: what goes out, in what order it is asked, and what happens
 * when there is no place left.
 */
#include "tswap.h"

#include <errno.h>
#include <machine/disk.h>
#include <string.h>
#include <sys/intr.h>
#include <uvm/uvm_pdaemon_i.h>

#define	NPAGES	2048
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

/* --- listening to the daemon (linked with --wrap) --- */

static struct {
	struct vm_page *pg;		/* atomic: the page that the hooks are for */
	void	(*before_referenced)(void);
	void	(*before_revoke)(void);
	void	(*before_modified)(void);
	int	asked;			/* modified? */
	int	unclean;		/* ... of a dirty page (R21) */
	int	mapped;			/* ... of a mapped page (R23) */
	bool	noaio, noslot;		/* atomic: nothing to be had */
} hook;

bool	__real_pmap_is_referenced(struct vm_page *);
bool	__wrap_pmap_is_referenced(struct vm_page *);
void	__real_pmap_revoke(struct vm_page *);
void	__wrap_pmap_revoke(struct vm_page *);
bool	__real_pmap_clear_modify(struct vm_page *);
bool	__wrap_pmap_clear_modify(struct vm_page *);
struct uvm_aio *__real_uvm_aio_get(bool);
struct uvm_aio *__wrap_uvm_aio_get(bool);
int	__real_uao_set_swslot(struct uvm_object *, uint64_t, int);
int	__wrap_uao_set_swslot(struct uvm_object *, uint64_t, int);

/* => once, by the daemon */
static void
call(struct vm_page *pg, void (**fn)(void))
{
	void (*it)(void);

	if (curlwp != uvm.pagedaemon_lwp || pg != __atomic_load_n(&hook.pg, __ATOMIC_ACQUIRE))
		return;
	it = __atomic_exchange_n(fn, NULL, __ATOMIC_ACQ_REL);
	if (it != NULL)
		it();
}

bool
__wrap_pmap_is_referenced(struct vm_page *pg)
{
	call(pg, &hook.before_referenced);
	return __real_pmap_is_referenced(pg);
}

void
__wrap_pmap_revoke(struct vm_page *pg)
{
	call(pg, &hook.before_revoke);
	__real_pmap_revoke(pg);
}

bool
__wrap_pmap_clear_modify(struct vm_page *pg)
{
	if (curlwp == uvm.pagedaemon_lwp) {
		hook.asked++;
		hook.unclean += (pg->flags & PG_CLEAN) == 0;
		hook.mapped += pmap_page_mapped(pg);
	}
	call(pg, &hook.before_modified);
	return __real_pmap_clear_modify(pg);
}

struct uvm_aio *
__wrap_uvm_aio_get(bool waitok)
{
	if (curlwp == uvm.pagedaemon_lwp && __atomic_load_n(&hook.noaio, __ATOMIC_RELAXED))
		return NULL;
	return __real_uvm_aio_get(waitok);
}

int
__wrap_uao_set_swslot(struct uvm_object *uobj, uint64_t page, int slot)
{
	if (curlwp == uvm.pagedaemon_lwp && slot != 0 &&
	    __atomic_load_n(&hook.noslot, __ATOMIC_RELAXED))
		return -1;
	return __real_uao_set_swslot(uobj, page, slot);
}

/* --- pressure --- */

/* => words of n pages from the first on: base + page */
static void
fill(int first, int n, uint64_t base)
{
	for (int i = first; i < first + n; i++)
		tm_store(i, base + (uint64_t)i);
}

static void
expect(int first, int n, uint64_t base)
{
	for (int i = first; i < first + n; i++)
		CHECK_EQ(tm_load(i), base + (uint64_t)i);
}

/* => the pages are inactive, and were not referenced since */
static void
age(int first, int n)
{
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(first), ptoa((uint64_t)n), UMADV_DONTNEED), 0);
}

static bool squeezed;			/* atomic: all memory is taken that is to be */

/* => memory gets short, the daemon has done what it could, memory is there again */
static void
squeeze(void)
{
	uint64_t rounds = tu_count(UVMC_pdwoke);

	tu_take(tu_free() - uvm.reserve_kernel, 0);
	__atomic_store_n(&squeezed, true, __ATOMIC_RELEASE);
	uvm_kick_pdaemon();
	TU_WAIT(tu_count(UVMC_pdwoke) > rounds && uvm_pdaemon_idle() && uvm_aio_idle());
	__atomic_store_n(&squeezed, false, __ATOMIC_RELEASE);
	tu_release();
}

static int
resident(int first, int n)
{
	int in = 0;

	for (int i = first; i < first + n; i++)
		in += ts_resident(tm_proc, i);
	return in;
}

/* --- what goes out, and how --- */

KTEST(clean_page_is_freed_and_dirty_page_is_written,
    "a page that swap has a copy of goes without being written, one that was stored to is written")
{
	uint64_t out;

	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 64, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 64, 64, 'o'), 0);
	fill(0, 128, 1000);
	age(0, 128);
	squeeze();
	CHECK_EQ(resident(0, 128), 0);
	CHECK(tu_count(UVMC_pgswapout) == 128 && tu_count(UVMC_pdfreed) == 128);
	CHECK_EQ(ts_exp()->swpgonly, 128);
	expect(0, 128, 1000);
	CHECK_EQ(ts_exp()->swpgonly, 0);
	fill(0, 10, 2000);				/* of 128 clean pages 20 are dirty now */
	fill(64, 10, 2000);
	age(0, 128);
	out = tu_count(UVMC_pgswapout);
	squeeze();
	CHECK_EQ(resident(0, 128), 0);
	CHECK(tu_count(UVMC_pgswapout) - out == 20 && tu_count(UVMC_pdfreed) == 2 * 128);
	expect(0, 10, 2000);
	expect(10, 54, 1000);
	expect(64, 10, 2000);
	expect(74, 54, 1000);
	tm_shutdown();
}

KTEST(R23_R21_order_of_questions,
    "mappings go before modified is asked, and it is asked of pages that were clean only")
{
	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 60, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 60, 60, 'o'), 0);
	fill(0, 120, 1);
	age(0, 120);
	squeeze();
	CHECK_EQ(hook.asked, 0);				/* all dirty */
	expect(0, 120, 1);
	age(0, 120);
	squeeze();
	CHECK(hook.asked == 120 && hook.unclean == 0 && hook.mapped == 0);
	tm_shutdown();
}

KTEST(clusters_of_neighbouring_slots, "pages of many owners go out sixteen to a write; slots that are left are free again")
{
	uint64_t writes;

	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 50, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 50, 51, 'o'), 0);
	for (int i = 0; i < 50; i++) {
		tm_store(i, 1);
		tm_store(50 + i, 1);
	}
	tm_store(100, 1);
	age(0, 101);
	writes = disk_requests(true);
	squeeze();
	CHECK_EQ(resident(0, 101), 0);
	CHECK_EQ(disk_requests(true) - writes, 7);		/* 6 * 16 + 5 */
	CHECK_EQ(tu_count(UVMC_pdpageouts), 7);
	CHECK_EQ(ts_exp()->swpginuse, 101);
	for (int i = 1; i < 16; i++)
		CHECK_EQ(ts_slot(tm_proc, i), ts_slot(tm_proc, 0) + i);
	tm_shutdown();
}

/* => so many pages of memory with words of their own, none of which was used of late */
static void
begin_aged(int n)
{
	ts_boot(1, NPAGES, 1024, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, n, 'a'), 0);
	fill(0, n, 5);
	age(0, n);
}

/*
 * uvm-spec 8.2: four times freetarg is free in the end, or an eighth of memory if that is less, but not less
 * than freetarg itself.  So many pages are missing that the last cluster would have one: 15 too many show.
 */
static void
sweep_ends(uint64_t npages, uint64_t goal)
{
	const int n = npages < 1024 ? 64 : 200;
	uint64_t missing, rounds, out;

	ts_boot(1, npages, 1024, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, n, 'a'), 0);
	fill(0, n, 5);
	age(0, n);
	missing = (goal - uvm.reserve_kernel) / BUF_MAXPAGES * BUF_MAXPAGES - BUF_MAXPAGES + 1;
	rounds = tu_count(UVMC_pdwoke);
	tu_take(tu_free() - (goal - missing), 0);
	CHECK(uvm.free < uvm.freetarg);
	uvm_kick_pdaemon();
	TU_WAIT(tu_count(UVMC_pdwoke) > rounds && uvm_pdaemon_idle() && uvm_aio_idle());
	out = (uint64_t)(n - resident(0, n));
	CHECK(out >= missing && out < missing + BUF_MAXPAGES / 2);	/* the transfers want memory, too */
	tu_release();
	expect(0, n, 5);
	tm_shutdown();
}

KTEST(sweep_ends_when_enough_is_on_its_way, "what is being written counts, and what is being gathered")
{
	sweep_ends(2048, 4 * 42);
	sweep_ends(1024, 1024 / 8);
	sweep_ends(256, 42);
}

KTEST(active_pages_keep_their_slots, "while swap has some for others, though the sweep finds nothing to free")
{
	begin_aged(40);
	squeeze();
	expect(0, 40, 5);				/* clean, active, referenced, with slots */
	squeeze();
	CHECK(tu_count(UVMC_pdactive) >= 40 && tu_count(UVMC_pddropswap) == 0);
	for (int i = 0; i < 40; i++)
		CHECK(ts_slot(tm_proc, i) != 0);
	expect(0, 40, 5);
	tm_shutdown();
}

/* => 64 slots, all of which active pages have; and n active pages that have none, before them in the queue */
static void
begin_filled(int n)
{
	ts_boot(1, NPAGES, 64, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 64 + n, 'a'), 0);
	fill(0, 64, 5);
	age(0, 64);
	squeeze();
	fill(64, n, 5);
	uvm_pgintent_flush();
	expect(0, 64, 5);				/* clean, active, with slots */
	CHECK(uvm_swapisfilled() && !uvm_swapisfull() && resident(0, 64) == 64);
}

KTEST(active_pages_keep_their_slots_while_others_go, "though swap is filled: there are clean pages, or dirty ones that have slots")
{
	uint64_t out;

	begin_filled(0);
	age(0, 20);
	squeeze();
	CHECK(resident(0, 20) == 0 && tu_count(UVMC_pddropswap) == 0);
	expect(0, 20, 5);
	fill(0, 20, 5);					/* each leaves its slot to the next */
	age(0, 20);
	out = tu_count(UVMC_pgswapout);
	squeeze();
	CHECK(tu_count(UVMC_pgswapout) >= out + 20 && tu_count(UVMC_pddropswap) == 0);
	expect(0, 64, 5);
	tm_shutdown();
}

KTEST(slots_are_taken_back_by_the_target, "as many as pages are wanted; and no more pages become inactive by that")
{
	uint64_t deact;

	begin_filled(50);
	for (int i = 0; i < 114; i++)
		pmap_clear_reference(tm_page(tm_proc, i));
	deact = tu_count(UVMC_pddeact);
	squeeze();
	CHECK_EQ(tu_count(UVMC_pddropswap), uvm.freetarg);
	CHECK_EQ(tu_count(UVMC_pddeact) - deact, uvm.freetarg + 1);
	expect(0, 114, 5);
	tm_shutdown();
}

KTEST(dirty_page_gets_a_new_slot, "a page that is written again leaves its old slot, and goes with its neighbours (R34)")
{
	int first;

	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	for (int i = 0; i < 32; i += 2)
		tm_store(i, 1);
	age(0, 32);
	squeeze();
	CHECK_EQ(ts_exp()->swpginuse, 16);
	fill(0, 32, 7);
	age(0, 32);
	squeeze();
	CHECK_EQ(ts_exp()->swpginuse, 32);
	first = ts_slot(tm_proc, 0);
	for (int i = 0; i < 16; i++)
		CHECK_EQ(ts_slot(tm_proc, i), first + i);
	expect(0, 32, 7);
	tm_shutdown();
}

KTEST(old_policy_unmaps, "with the policy of before 1999 a page is unmapped when it is deactivated")
{
	int gone = 0;

	ts_boot(1, NPAGES, 512, 1);
	CHECK(!uvm_pd_unmap);
	uvm_pd_unmap = true;
	CHECK_EQ(tm_put_at(tm_proc, 0, 300, 'a'), 0);
	fill(0, 300, 1);
	uvm_kick_pdaemon();
	TU_WAIT(tu_count(UVMC_pddeact) >= 100 && uvm_pdaemon_idle());
	for (int i = 0; i < 300; i++)
		gone += tm_page(tm_proc, i) == NULL;
	CHECK_EQ(gone, tu_count(UVMC_pddeact));
	CHECK_EQ(resident(0, 300), 300);
	expect(0, 300, 1);
	tm_shutdown();
}

KTEST(I_PG_1_daemon_finds_what_is_noted_down, "pages that their CPU has only noted down to become active are reclaimed like others")
{
	ts_boot(1, NPAGES, 64, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
	uvm_pgintent_flush();
	fill(0, 8, 5);
	CHECK(uvm_pgintent_count() == 8 && uvm.active == 0);
	for (int i = 0; i < 8; i++)
		pmap_clear_reference(tm_page(tm_proc, i));
	/* no counter is read until then: who reads them has the pages put on the queue */
	tu_take(tu_free() - uvm.reserve_kernel, 0);
	uvm_kick_pdaemon();
	TU_WAIT(uvm_pgintent_count() == 0 && uvm_pdaemon_idle() && uvm_aio_idle());
	CHECK_EQ(resident(0, 8), 0);
	tu_release();
	expect(0, 8, 5);
	tm_shutdown();
}

/* --- T-22, T-40: a store at each step --- */

static struct {
	int	at;			/* atomic: 1 go, 2 about to store, 3 stored */
	int	page;
} st;

static void
storer(struct tm_thread *tt)
{
	unsigned spins = 0;

	CHECK_EQ(tm_load(st.page), 5);		/* mapped, writable, clean */
	__atomic_store_n(&st.at, 0, __ATOMIC_RELEASE);
	while (__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) != 1) {
		lwp_userret(1);
		host_relax(&spins);
	}
	__atomic_store_n(&st.at, 2, __ATOMIC_RELEASE);
	tm_store(st.page, 99);
	__atomic_store_n(&st.at, 3, __ATOMIC_RELEASE);
}

#define	PLENTY	100000000000u		/* ns: for a host that has no core for the other CPU */

/* The daemon holds its locks: the other CPU goes as far as it is let. */
static void
reach(int at, uint64_t ns)
{
	uint64_t end = host_now_ns() + ns;
	unsigned spins = 0;

	if (__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) == 0)
		__atomic_store_n(&st.at, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) < at && host_now_ns() < end) {
		intr_poll();
		host_relax(&spins);
	}
}

static void
let_store(void)
{
	reach(3, PLENTY);
	CHECK_EQ(__atomic_load_n(&st.at, __ATOMIC_ACQUIRE), 3);
}

static void
let_try(void)
{
	reach(2, PLENTY);
	reach(3, 20000000);			/* it faults, and must wait for us */
	CHECK_EQ(__atomic_load_n(&st.at, __ATOMIC_ACQUIRE), 2);
}

/*
 * The page that the daemon is about to free is the last: with memory there again the store asks for
 * no round more, which might find the page old, and write it.
 */
static void
let_try_with_memory(void)
{
	unsigned spins = 0;

	let_try();
	while (!__atomic_load_n(&squeezed, __ATOMIC_ACQUIRE)) {
		intr_poll();
		host_relax(&spins);
	}
	tu_release();
}

/* => a clean, inactive, mapped page is looked at, and stored to at one of the steps */
static void
store_at(void (**step)(void), void (*fn)(void))
{
	struct tm_thread tt;

	ts_boot(3, NPAGES, 512, 1);
	st.page = 0;
	CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
	fill(0, 8, 5);
	age(0, 8);
	squeeze();
	CHECK_EQ(resident(0, 8), 0);
	st.at = -1;
	tm_start(tm_proc, &tt, 1, storer, NULL);
	TU_WAIT(__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) == 0);
	age(0, 8);
	CHECK(ts_clean(tm_proc, 0) && !pmap_is_modified(tm_page(tm_proc, 0)));
	__atomic_store_n(&hook.pg, tm_page(tm_proc, 0), __ATOMIC_RELEASE);
	__atomic_store_n(step, fn, __ATOMIC_RELEASE);
	squeeze();
	CHECK(__atomic_load_n(step, __ATOMIC_ACQUIRE) == NULL);
	tm_wait(&tt, 1);
}

static void
store_end(void)
{
	CHECK_EQ(tm_load(0), 99);
	age(0, 8);
	squeeze();
	expect(1, 7, 5);
	CHECK_EQ(tm_load(0), 99);
	tm_shutdown();
}

KTEST(T40_store_before_referenced_is_asked, "T-40: a store before the page is looked at keeps it in memory (R22)")
{
	store_at(&hook.before_referenced, let_store);
	CHECK(tu_count(UVMC_pdreact) > 0);
	store_end();
}

KTEST(T40_T22_store_before_mappings_go, "T-40, T-22: a store after the question, before mappings go, is in the copy that is written")
{
	store_at(&hook.before_revoke, let_store);
	CHECK_EQ(tu_count(UVMC_pgswapout), 9);
	store_end();
}

KTEST(T40_store_after_mappings_went, "T-40: a store after mappings went faults, and reads the page that was freed")
{
	store_at(&hook.before_modified, let_try_with_memory);
	CHECK_EQ(tu_count(UVMC_pgswapin), 2);		/* by the storer's load, and by its store */
	CHECK_EQ(tu_count(UVMC_pgswapout), 8);		/* and it was not written for that */
	store_end();
}

/* --- T-41 --- */

static void
wirer(struct tm_thread *tt)
{
	unsigned spins = 0;

	__atomic_store_n(&st.at, 0, __ATOMIC_RELEASE);
	while (__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) != 1) {
		lwp_userret(1);
		host_relax(&spins);
	}
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	__atomic_store_n(&st.at, 3, __ATOMIC_RELEASE);
}

/* The wirer gets the anon; then it must wait for the queues, which the daemon has. */
static void
let_wire(void)
{
	kmutex_t *slock = uvm_page_owner_lock(hook.pg);
	uint64_t end = host_now_ns() + PLENTY;
	unsigned spins = 0;

	__atomic_store_n(&st.at, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&slock->mtx_owner, __ATOMIC_RELAXED) == 0 && host_now_ns() < end) {
		intr_poll();
		host_relax(&spins);
	}
	CHECK(__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) != 3);
}

KTEST(T41_wired_while_it_is_looked_at, "T-41: a page that a wiring fault has locked is left alone, and is on no queue afterwards (R7)")
{
	struct tm_thread tt;
	struct vm_page *pg;

	ts_boot(3, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
	fill(0, 8, 5);
	age(0, 8);
	pg = tm_page(tm_proc, 0);
	st.at = -1;
	tm_start(tm_proc, &tt, 1, wirer, NULL);
	TU_WAIT(__atomic_load_n(&st.at, __ATOMIC_ACQUIRE) == 0);
	__atomic_store_n(&hook.before_referenced, let_wire, __ATOMIC_RELEASE);
	__atomic_store_n(&hook.pg, pg, __ATOMIC_RELEASE);
	squeeze();
	CHECK(hook.before_referenced == NULL);
	tm_wait(&tt, 1);
	CHECK(tu_count(UVMC_pdtrylock) > 0);
	CHECK(tm_page(tm_proc, 0) == pg && tm_wire_count(tm_proc, 0) == 1);
	CHECK_EQ(pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE), 0);
	expect(0, 8, 5);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	tm_shutdown();
}

KTEST_DEATH(I_PD_8_wired_page_on_the_inactive_queue, "a wired page that the daemon finds on its queue is noticed", "I-PD-8")
{
	ts_boot(1, NPAGES, 64, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 4, 'a'), 0);
	fill(0, 4, 5);
	age(0, 4);
	tm_page(tm_proc, 0)->wire_count++;
	squeeze();
}

KTEST_DEATH(I_SWP_3_clean_page_without_a_slot, "a clean page that swap has no copy of is not freed (PR 7578)", "PR 7578")
{
	ts_boot(1, NPAGES, 64, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 4, 'a'), 0);
	for (int i = 0; i < 4; i++)
		tm_load(i);
	for (int i = 0; i < 4; i++)
		tm_page(tm_proc, i)->flags |= PG_CLEAN;
	age(0, 4);
	squeeze();
}

/* --- T-50, B-18 --- */

KTEST(T50_advice_on_pages_that_are_paged_out, "T-50, B-18: MADV_DONTNEED and MADV_FREE leave pages in flight alone, unmapping frees them once")
{
	struct ts_cluster tc;

	ts_boot(1, NPAGES, 64, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 6, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 6, 2, 'o'), 0);
	fill(0, 8, 5);
	ts_begin(&tc, 8);
	for (int i = 0; i < 8; i++)
		CHECK(ts_add(&tc, tm_proc, i));
	age(0, 6);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tc.tc_pgs[i]->pqflags & (PQ_ACTIVE | PQ_INACTIVE), 0);		/* I-PG-6 */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(1), ptoa(2)), 0);
	CHECK_EQ(ts_write(&tc, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(3), PAGE_SIZE, UMADV_FREE), 0);
	TU_WAIT(ts_exp()->paging == 0 && uvm_aio_idle());
	CHECK(tm_load(3) == 0 || tm_load(3) == 8);	/* a busy page may be skipped */
	CHECK_EQ(tm_load(0), 5);
	expect(4, 4, 5);
	tm_shutdown();
}

/* --- little or no place in swap --- */

KTEST(T42_active_pages_give_their_slots_up, "T-42: when all slots are in use by pages in memory, active ones give theirs up, dirty first (R34)")
{
	int without = 0;

	ts_boot(1, NPAGES, 128, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 64, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 64, 64, 'o'), 0);
	fill(0, 128, 5);
	age(0, 128);
	squeeze();
	expect(0, 128, 5);				/* clean, active, referenced, with slots */
	CHECK(ts_exp()->swpginuse == 128 && ts_exp()->swpgonly == 0);
	CHECK_EQ(tm_put_at(tm_proc, 128, 100, 'a'), 0);
	fill(128, 100, 5);
	age(128, 100);
	squeeze();
	CHECK(tu_count(UVMC_pddropswap) > 0 && tu_count(UVMC_pgswapout) > 128);
	CHECK(tu_count(UVMC_pddirtyreact) >= UVMPD_NUMDIRTYREACTS);
	for (int i = 0; i < 128; i++)
		if (ts_resident(tm_proc, i) && ts_slot(tm_proc, i) == 0) {
			CHECK(!ts_clean(tm_proc, i));
			without++;
		}
	CHECK(without > 0);
	expect(0, 228, 5);
	tm_shutdown();
}

KTEST(dirty_pages_without_slots_end_the_sweep, "a sweep that finds no slot for 16 dirty pages leaves the others mapped")
{
	int mapped = 0;

	ts_boot(1, NPAGES, 4, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 204, 'a'), 0);
	fill(0, 4, 5);
	age(0, 4);
	squeeze();					/* swap is full */
	fill(4, 200, 5);
	age(4, 200);
	uvm_lock_pageq();				/* as if there were hope: one slot */
	uvm_unlock_pageq();
	squeeze();
	for (int i = 4; i < 204; i++)
		mapped += tm_page(tm_proc, i) != NULL;
	CHECK(mapped >= 200 - 2 * UVMPD_NUMDIRTYREACTS);
	expect(0, 204, 5);
	tm_shutdown();
}

/* => the daemon cannot have what it needs: pages stay, dirty, and then all is well again */
static void
refused(char kind, bool *what)
{
	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 40, kind), 0);
	fill(0, 40, 5);
	age(0, 40);
	__atomic_store_n(what, true, __ATOMIC_RELAXED);
	squeeze();
	CHECK_EQ(resident(0, 40), 40);
	/* both sweeps of the round; what the first made active the active sweep has made inactive */
	CHECK(tu_count(UVMC_pddirtyreact) == 2 * 16 && tu_count(UVMC_pgswapout) == 0);
	CHECK_EQ(ts_exp()->active, 16);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->paging == 0);
	for (int i = 0; i < 40; i++)
		CHECK(!ts_clean(tm_proc, i) && ts_slot(tm_proc, i) == 0);
	__atomic_store_n(what, false, __ATOMIC_RELAXED);
	age(0, 40);
	squeeze();
	CHECK_EQ(resident(0, 40), 0);
	expect(0, 40, 5);
	tm_shutdown();
}

KTEST(no_transfer_to_be_had, "without a transfer a page is active and dirty again, and no slot is lost (8.7)")
{
	refused('a', &hook.noaio);
}

KTEST(no_memory_for_an_objects_slot, "an object that cannot remember a slot keeps its page, and the slot is free again")
{
	refused('o', &hook.noslot);
}

static bool told;				/* atomic: there is no memory */

static void
wait_until_told(struct tm_thread *tt)
{
	do {				/* pools may have had some */
		tu_exhaust();
		uvm_wait("test");
	} while (uvm_reclaimable());
	__atomic_store_n(&told, true, __ATOMIC_RELEASE);
}

KTEST(I_PD_6_what_the_daemon_takes_and_drains_is_no_progress, "who waits is told so, though each round takes a page for a transfer and frees it")
{
	struct tm_thread tt;
	uint64_t before;

	ts_boot(1, NPAGES, 512, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 40, 'o'), 0);
	fill(0, 40, 5);
	age(0, 40);
	__atomic_store_n(&hook.noslot, true, __ATOMIC_RELAXED);
	before = uvm.pd_taken;
	tm_start(tm_proc, &tt, 1, wait_until_told, NULL);
	TU_WAIT(__atomic_load_n(&told, __ATOMIC_ACQUIRE) || uvm.pd_taken - before > 1000);
	CHECK(told && uvm.pd_taken - before >= 64);
	tm_wait(&tt, 1);
	__atomic_store_n(&hook.noslot, false, __ATOMIC_RELAXED);
	tu_release();
	expect(0, 40, 5);
	tm_shutdown();
}

KTEST(I_PD_6_what_swap_cannot_take_is_no_candidate, "without swap who waits is told so at once, however many pages of memory there are; they stay active")
{
	uint64_t before;

	ts_boot(1, NPAGES, 0, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 400, 'a'), 0);
	fill(0, 400, 5);
	for (int i = 0; i < 400; i++)
		pmap_clear_reference(tm_page(tm_proc, i));
	age(0, 300);
	do {				/* pools may have had some */
		tu_exhaust();
		before = tu_count(UVMC_pdwoke);
		uvm_wait("test");
	} while (uvm_reclaimable());
	CHECK(tu_count(UVMC_pdwoke) - before <= 3);
	CHECK(tu_count(UVMC_pddeact) == 0 && resident(0, 400) == 400);
	tu_release();
	expect(0, 400, 5);
	tm_shutdown();
}

/* --- T-43: no place at all --- */

#define	BIG	100				/* page of the lane where gluttons' memory begins */

/* => pages that could be stored to until ENOMEM, all n at most */
static int
eat(int first, int n)
{
	for (int i = 0; i < n; i++) {
		int error = tm_store_error(first + i);

		if (error != 0) {
			CHECK_EQ(error, ENOMEM);
			return i;
		}
		tm_store(first + i, (uint64_t)i);
	}
	return n;
}

static void
still_there(int first, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t w;
		int error = user_load(TM_VA(first + i), &w);

		CHECK(error == 0 || error == ENOMEM);
		CHECK(error != 0 || w == (uint64_t)i);
	}
}

KTEST(T43_swap_and_memory_full, "T-43: with memory and swap full a fault answers ENOMEM in bounded time, and all is well when some goes")
{
	int got, more = 0, error;

	ts_boot(2, NPAGES, 256, 1);
	CHECK_EQ(tm_put_at(tm_proc, BIG, 4096, 'a'), 0);
	got = eat(BIG, 4096);
	CHECK(got > NPAGES / 2 && got < 4096);
	CHECK_EQ(tu_count(UVMC_oomkills), 1);
	while ((error = tm_store_error(BIG + got + more)) == 0)	/* pools may give pages back meanwhile */
		CHECK(got + ++more < 4096);
	CHECK_EQ(error, ENOMEM);
	CHECK_EQ(tu_count(UVMC_oomkills), 1);		/* once for each process */
	still_there(BIG, got);
	CHECK(uvm_swapisfull() && !uvm_reclaimable());
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(BIG), ptoa((uint64_t)got / 2)), 0);
	CHECK(uvm_reclaimable());
	for (int i = got / 2; i < got; i++)
		CHECK_EQ(tm_load(BIG + i), (uint64_t)i);
	tm_shutdown();
}

/* Every write fails: with ENOMEM, which is passing, or for good. */
static void
all_writes_fail(int ncpus, int error)
{
	int got;

	ts_boot(ncpus, NPAGES, 512, 1);
	uvm_swap_inject(1, 0, 1, error);
	CHECK_EQ(tm_put_at(tm_proc, BIG, 4096, 'a'), 0);
	got = eat(BIG, 4096);
	CHECK(got > NPAGES / 2 && got < NPAGES);
	CHECK(tu_count(UVMC_swapout_error) > 0);
	still_there(BIG, got);
	uvm_swap_inject(1, 0, 0, 0);
	if (error == ENOMEM) {
		TU_WAIT(tm_store_error(BIG + got) == 0);	/* the daemon was asked to look again */
		CHECK_EQ(eat(BIG + got, 200), 200);
		for (int i = 0; i < got + 200; i++)
			CHECK_EQ(tm_load(BIG + i), (uint64_t)(i < got ? i : i - got));	/* nothing is lost */
	} else
		CHECK(ts_exp()->npgbad >= 500 && uvm_swapisfull());
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(BIG), ptoa(4096)), 0);
	TU_WAIT(uvm_pdaemon_idle() && uvm_aio_idle());
	CHECK_EQ(ts_exp()->swpginuse, ts_exp()->npgbad);
	tm_shutdown();
}

KTEST(T46_writes_that_fail_for_ever_are_no_progress, "T-46: pageouts that always end in ENOMEM do not keep anybody waiting for ever")
{
	all_writes_fail(2, ENOMEM);
	all_writes_fail(1, ENOMEM);		/* here something is always under way when a round ends */
}

KTEST(T45_swap_that_goes_bad, "T-45: a device that goes bad slot by slot is a full one, and no data are lost")
{
	all_writes_fail(2, EIO);
}

/* --- T-48 --- */

/* Memory comes by pageouts only, one page to a device that is slow to take them. */
KTEST(T48_waiters_are_served_by_pageouts, "T-48: who waits while pages are written is woken when they are (I-PD-5)")
{
	struct lwp *l[64];
	int waited = 0;

	ts_boot(4, NPAGES, 1024, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 300, 'a'), 0);
	fill(0, 300, 5);
	for (int round = 0; round < 3 || waited == 0; round++) {
		__atomic_store_n(&tu_waiting, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&tu_got, 0, __ATOMIC_RELAXED);
		fill(0, 300, 5);
		age(0, 300);
		tu_take(uvm.npages, 0);
		for (int i = 0; i < 64; i++) {
			CHECK_EQ(lwp_create(&l[i], NULL, "hungry", tu_hungry, NULL), 0);
			lwp_start(l[i]);
		}
		for (int i = 0; i < 64; i++)
			lwp_wait(l[i]);
		CHECK_EQ(tu_got, 64);
		/* in a round those that go may leave memory enough for the others, or the daemon was quicker */
		waited += __atomic_load_n(&tu_waiting, __ATOMIC_RELAXED);
		tu_release();
	}
	CHECK(tu_count(UVMC_pgswapout) > 0);
	tm_shutdown();
}

/* --- balance --- */

/* => uvm-spec 8.2 of a thousand pages: are anonymous ones spared, are file pages? */
static void
balance(uint64_t anon, uint64_t aobj, uint64_t file, bool swapfull, bool reanon, bool refile)
{
	struct uvmpd up = { .up_swapfull = swapfull };
	struct uvm_cpu *uc = uvm_cpu(0);
	const struct uvm_cpu then = *uc;
	const struct uvm was = uvm;

	uc->uc_gauge[UVMG_anonpages] = anon;
	uc->uc_gauge[UVMG_aobjpages] = aobj;
	uc->uc_gauge[UVMG_filepages] = file;
	uvm.active = 500;
	uvm.inactive = 300;
	uvm.free = 200;
	uvmpd_balance(&up);
	CHECK(up.up_reanon == reanon && up.up_refile == refile);
	memcpy(uc->uc_gauge, then.uc_gauge, sizeof(uc->uc_gauge));
	uvm.active = was.active;
	uvm.inactive = was.inactive;
	uvm.free = was.free;
}

KTEST(balance_by_the_shares, "10 percent of each kind are spared, and one that is not over its share, 80 and 50 percent, while the other is")
{
	ts_boot(1, NPAGES, 0, 1);
	balance(100, 0, 400, false, true, false);
	balance(101, 0, 400, false, false, false);
	balance(50, 51, 400, false, false, false);
	balance(101, 0, 500, false, false, false);
	balance(101, 0, 501, false, true, false);
	balance(400, 0, 100, false, false, true);
	balance(400, 0, 101, false, false, false);
	balance(800, 0, 101, false, false, false);
	balance(400, 401, 101, false, false, true);
	balance(801, 0, 501, false, false, false);
	balance(100, 0, 100, false, false, false);	/* somebody must give */
	balance(400, 0, 100, true, false, false);
	balance(100, 0, 400, true, true, false);
	tm_shutdown();
}

KTEST(balance_spares_the_kind_that_has_little, "file pages go rather than anonymous ones when they are most of memory, and the other way round")
{
	struct vnode *vp;
	vaddr_t va = TM_VA(2000);

	ts_boot(1, NPAGES, 1024, 1);
	vp = tu_file(ptoa(450));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(450), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE,
	    0), 0);
	CHECK_EQ(tm_put_at(tm_proc, 0, 800, 'a'), 0);
	fill(0, 20, 5);					/* less than ANON_MIN */
	for (int i = 0; i < 400; i++)
		tm_load(2000 + i);
	age(0, 20);
	age(2000, 400);
	squeeze();
	CHECK(tu_count(UVMC_pdreanon) >= 20 && resident(0, 20) == 20);
	for (int i = 0; i < 20; i++)
		CHECK((tm_page(tm_proc, i)->pqflags & PQ_ACTIVE) != 0);
	CHECK(tu_count(UVMC_pdfreed) > 0 && tu_count(UVMC_pgswapout) == 0);
	fill(0, 800, 5);				/* more than ANON_MAX of what is left */
	for (int i = 0; i < 40; i++)
		tm_load(2000 + i);
	CHECK_EQ(tu_put(&vp->v_uobj, (voff_t)ptoa(40), 0, PGO_FREE), 0);
	age(2000, 40);
	age(0, 800);
	squeeze();
	CHECK(tu_count(UVMC_pdrefile) >= 40 && vp->v_uobj.uo_npages == 40);
	CHECK(tu_count(UVMC_pgswapout) > 0);
	expect(0, 800, 5);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(450)), 0);
	vrele(vp);
	tm_shutdown();
}

KTEST(balance_gives_up_what_can_go, "without swap the few file pages that there are go, though they are few: nothing else can")
{
	struct vnode *vp;
	vaddr_t va = TM_VA(2000);

	ts_boot(1, NPAGES, 0, 1);
	vp = tu_file(ptoa(20));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(20), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE,
	    0), 0);
	CHECK_EQ(tm_put_at(tm_proc, 0, 400, 'a'), 0);
	fill(0, 400, 5);
	for (int i = 0; i < 20; i++)			/* less than FILE_MIN */
		tm_load(2000 + i);
	age(2000, 20);
	squeeze();
	CHECK(tu_count(UVMC_pdrefile) == 0 && vp->v_uobj.uo_npages == 0);
	expect(0, 400, 5);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(20)), 0);
	vrele(vp);
	tm_shutdown();
}

/* --- everybody at once --- */

#define	STORM	3000				/* pages; memory has 2048 */

static void
storm(struct tm_thread *tt)
{
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), (uint64_t)tt->tt_number);
	for (unsigned i = 0; i < ktest_scale(4000) && tm_go_on(tt); i++) {
		int page = (int)host_rng_below(&rng, STORM);
		vaddr_t va = TM_VA(page) + 8 * (uint64_t)(tt->tt_number + 1);
		uint64_t seen;

		CHECK_EQ(user_load(va, &seen), 0);
		CHECK(seen == 0 || seen == (uint64_t)page);
		CHECK_EQ(user_store(va, (uint64_t)page), 0);
		if (i % 64 == 0)
			(void)sys_madvise(tm_proc, TM_VA(page & ~15), ptoa(16), UMADV_DONTNEED);
		if (i % 97 == 0 && sys_mlock(tm_proc, TM_VA(page), PAGE_SIZE) == 0)
			CHECK_EQ(sys_munlock(tm_proc, TM_VA(page), PAGE_SIZE), 0);
	}
}

KTEST(T42_T49_T50_storm_over_swap, "threads store, age and wire more memory than there is: nothing is lost, nothing hangs")
{
	struct tm_thread tt[6];

	ts_boot(4, NPAGES, 2048, 2);
	CHECK_EQ(tm_put_at(tm_proc, 0, STORM / 2, 'o'), 0);
	CHECK_EQ(tm_put_at(tm_proc, STORM / 2, STORM / 2, 'a'), 0);
	fill(0, STORM, 0);
	tm_start(tm_proc, tt, 6, storm, NULL);
	tm_wait(tt, 6);
	CHECK(tu_count(UVMC_pgswapout) > 0);
	for (int i = 0; i < STORM; i++)
		for (int k = 1; k <= 6; k++) {
			uint64_t seen;

			CHECK_EQ(user_load(TM_VA(i) + 8 * (uint64_t)k, &seen), 0);
			CHECK(seen == 0 || seen == (uint64_t)i);
		}
	tm_shutdown();
}

KTEST_MAIN()
