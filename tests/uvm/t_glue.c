/*
 * u-areas and their swapping (uvm-spec 8.6).
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#include <inspect_int.h>
#include <sys/sleepq.h>
#include <uvm/uvm_fault.h>
#include <uvm/uvm_glue.h>

#define	NPAGES	4096

static vaddr_t area;			/* of the only LWP that has one */

static void
note_area(vaddr_t va, void *arg)
{
	area = va;
	++*(int *)arg;
}

static int
areas_in(void)
{
	int n = 0;

	uvm_uarea_foreach(note_area, &n);
	return n;
}

/* The sleeper: goes to user mode when it is let. */
static int go;				/* atomic: rounds that it may go; -1: end */
static int gone;			/* atomic: rounds that it went */

static struct uarea *mine;		/* its u-area; atomic */

static void
sleeper(struct tm_thread *tt)
{
	__atomic_store_n(&mine, curlwp->l_addr, __ATOMIC_RELEASE);
	for (int done = 0, want; (want = __atomic_load_n(&go, __ATOMIC_ACQUIRE)) >= 0;) {
		if (done == want) {
			kpause("sleeper", 1000000);
			continue;
		}
		lwp_userret(1);
		done = want;
		__atomic_store_n(&gone, done, __ATOMIC_RELEASE);
	}
}

static void
begin(struct tm_thread *tt)
{
	tm_boot(2, NPAGES);
	tm_start(tm_proc, tt, 1, sleeper, NULL);
	TU_WAIT(areas_in() == 1);
}

static void
end(struct tm_thread *tt)
{
	__atomic_store_n(&go, -1, __ATOMIC_RELEASE);
	tm_wait(tt, 1);
	CHECK_EQ(areas_in(), 0);
	CHECK_EQ(inspect_wiring(), 0);
	tm_shutdown();
}

/* Rounds of the swapper, until it has taken the u-area out. */
static void
swap_out(void)
{
	uint64_t before = tu_count(UVMC_swapouts);

	for (int i = 0; i < 100000 && tu_count(UVMC_swapouts) == before; i++) {
		uvm_swapout_threads();
		kpause("swapping", 1000000);
	}
	CHECK_EQ(tu_count(UVMC_swapouts), before + 1);
	CHECK_EQ(areas_in(), 0);
}

KTEST(a_sleeper_loses_its_wiring_and_gets_it_back, "rounds without a return to user mode unwire a u-area; the next return wires it again")
{
	struct tm_thread tt;

	begin(&tt);
	CHECK_EQ(uvm.wired, 2);
	CHECK_EQ(inspect_wiring(), 0);
	for (int round = 1; round <= 3; round++) {
		swap_out();
		CHECK_EQ(uvm.wired, 0);
		CHECK_EQ(inspect_wiring(), 0);
		__atomic_store_n(&go, round, __ATOMIC_RELEASE);
		TU_WAIT(areas_in() == 1);
		CHECK_EQ(uvm.wired, 2);
		CHECK_EQ(tu_count(UVMC_swapins), round);
		CHECK_EQ(inspect_wiring(), 0);
	}
	swap_out();			/* and it may end while it is out */
	end(&tt);
}

KTEST(who_runs_keeps_its_u_area, "an LWP that returns to user mode between the swapper's rounds is never swapped out")
{
	struct tm_thread tt;
	int rounds = 0;

	begin(&tt);
	for (int i = 0; i < 40; i++) {
		__atomic_store_n(&go, ++rounds, __ATOMIC_RELEASE);
		TU_WAIT(__atomic_load_n(&gone, __ATOMIC_ACQUIRE) == rounds);
		uvm_swapout_threads();
		kpause("swapping", 100000);
	}
	CHECK_EQ(tu_count(UVMC_swapouts), 0);
	end(&tt);
}

/* => so many rounds of the page daemon, with time for the swapper after each */
static void
daemon_rounds(int n)
{
	for (int i = 0; i < n && tu_count(UVMC_swapouts) == 0; i++) {
		uint64_t woke = tu_count(UVMC_pdwoke);

		uvm_kick_pdaemon();
		TU_WAIT(tu_count(UVMC_pdwoke) > woke && uvm_pdaemon_idle());
		kpause("rounds", 1000000);
	}
}

KTEST(the_page_daemon_asks_for_it, "u-areas go out when memory is shorter than freemin, and not before")
{
	struct tm_thread tt;

	tu_swap = 1 << 20;
	begin(&tt);
	daemon_rounds(20);
	CHECK(tu_count(UVMC_swapouts) == 0 && areas_in() == 1);
	for (int i = 0; i < 20; i++) {			/* below the target it is the daemon's own business */
		const uint64_t n = tu_free();

		if (n > uvm.freemin + 4)
			tu_take(n - uvm.freemin - 4, 0);
		daemon_rounds(1);
	}
	CHECK_EQ(tu_count(UVMC_swapouts), 0);
	tu_exhaust();
	daemon_rounds(10000);
	CHECK_EQ(tu_count(UVMC_swapouts), 1);
	tu_release();
	end(&tt);
}

KTEST(without_swap_u_areas_stay, "what they hold would have nowhere to go, be memory ever so short (uvm-spec 8.6)")
{
	struct tm_thread tt;

	begin(&tt);
	tu_exhaust();
	daemon_rounds(40);
	CHECK(tu_count(UVMC_swapouts) == 0 && areas_in() == 1);
	tu_release();
	end(&tt);
}

KTEST(a_u_area_out_is_memory_like_any_other, "its pages are on a queue, may be revoked, and come back with what they held")
{
	struct tm_thread tt;
	struct vm_page *pg;
	paddr_t pa;

	begin(&tt);
	CHECK(pmap_extract(pmap_kernel(), area, &pa));
	pg = PHYS_TO_VM_PAGE(pa);
	CHECK_EQ(pg->wire_count, 1);
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);
	swap_out();
	CHECK((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) != 0);
	mutex_enter(&pg->uanon->an_lock);
	pmap_revoke(pg);				/* as the page daemon does */
	mutex_exit(&pg->uanon->an_lock);
	CHECK(!pmap_extract(pmap_kernel(), area, NULL));
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	TU_WAIT(areas_in() == 1);
	CHECK(pmap_extract(pmap_kernel(), area, NULL));
	end(&tt);
}

KTEST(the_inspector_knows_u_areas, "I-PG-16: a u-area that is in and has lost a wiring is reported")
{
	struct tm_thread tt;
	struct vm_page *pg;
	paddr_t pa;

	begin(&tt);
	CHECK(pmap_extract(pmap_kernel(), area, &pa));
	pg = PHYS_TO_VM_PAGE(pa);
	pg->wire_count--;
	tm_collect();
	CHECK_EQ(inspect_wiring(), 1);
	CHECK(strstr(tm_seen, "I-PG-16") != NULL);
	pg->wire_count++;
	failure_sink = NULL;
	end(&tt);
}

static int no_wire;			/* atomic: u-areas that cannot be wired */

int	__real_uvm_fault_wire(struct vm_map *, vaddr_t, vaddr_t, vm_prot_t, bool);
int	__wrap_uvm_fault_wire(struct vm_map *, vaddr_t, vaddr_t, vm_prot_t, bool);

int
__wrap_uvm_fault_wire(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot, bool maxprot)
{
	if (map == uarea_map && __atomic_load_n(&no_wire, __ATOMIC_RELAXED) > 0) {
		return __atomic_fetch_sub(&no_wire, 1, __ATOMIC_RELAXED) == 1 ? EIO : ENOMEM;
	}
	return __real_uvm_fault_wire(map, start, end, prot, maxprot);
}

KTEST(without_memory_it_comes_in_later, "an LWP whose u-area finds no memory, or cannot be read, goes on without it, and has it the next time")
{
	struct tm_thread tt;

	begin(&tt);
	swap_out();
	no_wire = 2;
	for (int round = 1; round <= 2; round++) {
		__atomic_store_n(&go, round, __ATOMIC_RELEASE);
		TU_WAIT(__atomic_load_n(&gone, __ATOMIC_ACQUIRE) == round);
		CHECK_EQ(tu_count(UVMC_swapin_failed), round);
		CHECK_EQ(areas_in(), 0);
		CHECK_EQ(inspect_wiring(), 0);
	}
	__atomic_store_n(&go, 3, __ATOMIC_RELEASE);
	TU_WAIT(areas_in() == 1);
	CHECK_EQ(uvm.wired, 2);
	swap_out();
	end(&tt);
}

KTEST(without_memory_nobody_is_born, "an LWP whose u-area finds no memory, or no addresses, is ENOMEM, and nothing is left of it")
{
	struct lwp *l;
	vaddr_t fill;
	vsize_t size;
	int refs;

	tm_boot(2, NPAGES);
	refs = tm_proc->p_refs;
	no_wire = 1;
	CHECK_EQ(proc_lwp_create(tm_proc, &l, "unborn", NULL, NULL), ENOMEM);
	CHECK(no_wire == 0 && uarea_map->nentries == 0);
	size = vm_map_max(uarea_map) - vm_map_min(uarea_map);
	fill = uvm_km_alloc(uarea_map, size, 0, UVM_KMF_VAONLY);
	CHECK(fill != 0);
	CHECK_EQ(proc_lwp_create(tm_proc, &l, "unborn", NULL, NULL), ENOMEM);
	uvm_km_free(uarea_map, fill, size, UVM_KMF_VAONLY);
	CHECK(areas_in() == 0 && tm_proc->p_refs == refs && uvm.wired == 0);
	tm_shutdown();
}

enum { HOLD_NOBODY, HOLD_NEXT, HOLD_HAVE };
static int hold;			/* atomic: the swapper, in the middle of a u-area */

void	__real_uvm_fault_unwire(struct vm_map *, vaddr_t, vaddr_t);
void	__wrap_uvm_fault_unwire(struct vm_map *, vaddr_t, vaddr_t);

void
__wrap_uvm_fault_unwire(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	if (map == uarea_map && __atomic_load_n(&hold, __ATOMIC_ACQUIRE) == HOLD_NEXT) {
		__atomic_store_n(&hold, HOLD_HAVE, __ATOMIC_RELEASE);
		while (__atomic_load_n(&hold, __ATOMIC_ACQUIRE) == HOLD_HAVE)
			kpause("hold", 100000);
	}
	__real_uvm_fault_unwire(map, start, end);
}

/* => the LWP was told to go so far while its u-area was going out */
static void
caught_going_out(struct tm_thread *tt, int so_far)
{
	begin(tt);
	__atomic_store_n(&hold, HOLD_NEXT, __ATOMIC_RELEASE);
	while (__atomic_load_n(&hold, __ATOMIC_ACQUIRE) != HOLD_HAVE) {
		uvm_swapout_threads();
		kpause("swapping", 1000000);
	}
	__atomic_store_n(&go, so_far, __ATOMIC_RELEASE);
	TU_WAIT(sleepq_has_waiters(mine));
	__atomic_store_n(&hold, HOLD_NOBODY, __ATOMIC_RELEASE);
	TU_WAIT(!sleepq_has_waiters(mine));
}

KTEST(who_ends_waits_for_the_swapper, "an LWP whose u-area is just going out sleeps until it has gone, and is woken then")
{
	struct tm_thread tt;

	caught_going_out(&tt, -1);
	end(&tt);
}

KTEST(who_comes_back_waits_for_the_swapper, "one that returns to user mode meanwhile, too, and then it comes in again")
{
	struct tm_thread tt;

	caught_going_out(&tt, 1);
	TU_WAIT(__atomic_load_n(&gone, __ATOMIC_ACQUIRE) == 1);
	CHECK(areas_in() == 1 && tu_count(UVMC_swapins) == 1);
	end(&tt);
}

static void
scribble(void)
{
	CHECK_EQ(kern_store(area + PAGE_SIZE, 1), 0);
}

KTEST_DEATH(what_a_u_area_holds_is_looked_at, "a u-area that comes in with another content is reported", "u-area")
{
	struct tm_thread tt;

	begin(&tt);
	swap_out();
	scribble();
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	TU_WAIT(areas_in() == 1);
}

/* --- many --- */

static void
come_and_go(struct tm_thread *tt)
{
	for (unsigned i = 0; i < ktest_scale(2000); i++) {
		lwp_userret(1);
		if (i % 64 == 0)
			kpause("pause", 200000);
	}
}

static void
swap_all(struct tm_thread *tt)
{
	do
		uvm_swapout_threads();
	while (tm_go_on(tt));
}

KTEST(swapping_against_coming_in_and_ending, "LWPs come, sleep, run and end while the swapper works all the time")
{
	struct tm_thread swap, tt[6];

	tm_boot(4, NPAGES);
	tm_start(NULL, &swap, 1, swap_all, NULL);
	for (int i = 0; i < 5 || tu_count(UVMC_swapouts) == 0; i++) {
		tm_start(tm_proc, tt, 6, come_and_go, NULL);
		tm_wait(tt, 6);
	}
	tm_stop();
	tm_wait(&swap, 1);
	CHECK_EQ(areas_in(), 0);
	CHECK_EQ(inspect_wiring(), 0);
	tm_shutdown();
}

KTEST_MAIN()
