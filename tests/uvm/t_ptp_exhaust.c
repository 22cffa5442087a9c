/*
 * All memory turned into page tables, by a process that maps one page in each (uvm-spec
 * 7.7; seed 003).
 *
 * A fault that finds no table unlocks everything and waits, and answers ENOMEM when there
 * is nothing to wait for; the process is killed for it, and then the others go on with
 * what they had.  With ptp-steal who needs a table takes one.
 */
#include "tmap.h"

#include <errno.h>

#define	NPAGES	2048
#define	LEAF	(2UL << 20)		/* what one table maps */
#define	EVIL	0x4000000000UL		/* where the malicious one maps */
#define	MARK	0x7eadUL

static struct proc *evil;
static struct uvm_object *page;		/* an aobj of one page */

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	CHECK_EQ(proc_create("evil", &evil), 0);
	page = uao_create(PAGE_SIZE, 0);
}

static void
end(void)
{
	struct pmap_stat ps;

	pmap_getstat(&ps);
	CHECK_EQ(ps.plain_enter_dips, 0);	/* R39 */
	uao_detach(page);
	tm_shutdown();
}

static void
attach(int slot)
{
	vaddr_t va = EVIL + (vaddr_t)slot * LEAF;

	CHECK_EQ(sys_shmat(evil, page, &va, VM_PROT_READ | VM_PROT_WRITE), 0);
}

/* => the current LWP, in evil: use the page where it is attached; errno */
static int
use(int slot, bool wire)
{
	vaddr_t va = EVIL + (vaddr_t)slot * LEAF;
	int error = wire ? sys_mlock(evil, va, PAGE_SIZE) : 0;

	return error != 0 ? error : user_store(va, MARK);
}

/* => how many tables it got before the first ENOMEM; entries come first, so that nothing but tables runs out */
static int
exhaust(bool wire)
{
	int slot = 0, error;

	proc_attach(evil);
	for (int i = 0; i < NPAGES; i++)
		attach(i);
	while ((error = use(slot, wire)) == 0)
		slot++;
	CHECK_EQ(error, ENOMEM);
	proc_attach(tm_proc);
	return slot;
}

/* The honest one: eight pages, stored to. */
static void
be_honest(void)
{
	tm_put(tm_proc, "aaaaaaaa.....aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 50 + (uint64_t)i);
}

static void
still_honest(void)
{
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), 50 + (uint64_t)i);
}

static void
kill_evil(void)
{
	proc_exit(evil);
	CHECK_EQ(proc_create("evil", &evil), 0);
}

KTEST(R29_no_table_is_ENOMEM_then_killed, "tables that eat all memory end in ENOMEM; killed, they come back, and an honest process has lost nothing")
{
	struct pmap_stat ps;
	int got, again;

	begin(1);
	be_honest();
	got = exhaust(true);
	CHECK(got > NPAGES / 3);		/* it really had all there was */
	pmap_getstat(&ps);
	CHECK(ps.enter_failed > 0);
	CHECK(tu_count(UVMC_flt_shortage) > 0);
	still_honest();
	/* nothing more for it either, but no harm done by asking */
	CHECK_EQ(tm_store_error(13), ENOMEM);
	kill_evil();
	tm_store(13, 1);
	still_honest();
	again = exhaust(true);			/* nothing was lost on the way */
	CHECK(again >= got - 8);
	kill_evil();
	proc_exit(evil);
	end();
}

static int exhausted;			/* atomic: nothing is left */
static int waited;			/* atomic: 1: was refused, 2: got it */

static void
waiter_main(struct tm_thread *tt)
{
	int error;

	while (!__atomic_load_n(&exhausted, __ATOMIC_ACQUIRE))
		kpause("idle", 1000000);
	while ((error = tm_store_error(14)) != 0) {
		CHECK_EQ(error, ENOMEM);
		__atomic_store_n(&waited, 1, __ATOMIC_RELEASE);
		kpause("nomem", 1000000);
	}
	__atomic_store_n(&waited, 2, __ATOMIC_RELEASE);
}

KTEST(honest_fault_goes_on_after_the_kill, "an honest fault that found no memory finds it when the malicious process is gone")
{
	struct tm_thread tt;

	begin(2);
	be_honest();
	tm_start(tm_proc, &tt, 1, waiter_main, NULL);	/* while there is memory for it */
	(void)exhaust(true);
	__atomic_store_n(&exhausted, 1, __ATOMIC_RELEASE);
	TU_WAIT(__atomic_load_n(&waited, __ATOMIC_ACQUIRE) == 1);
	kill_evil();
	tm_wait(&tt, 1);
	CHECK_EQ(waited, 2);
	still_honest();
	proc_exit(evil);
	end();
}

KTEST(tables_of_a_page_that_goes_to_swap_go_too, "unwired, the shared page is reclaimed, and its tables with it: no ENOMEM")
{
	tu_swap = 8UL << 20;
	begin(1);
	be_honest();
	proc_attach(evil);
	for (int slot = 0; slot < 2 * NPAGES; slot++) {
		attach(slot);
		CHECK_EQ(use(slot, false), 0);
	}
	CHECK(pmap_ptp_count(tm_map(evil)->pmap) < NPAGES);
	proc_attach(tm_proc);
	still_honest();
	proc_exit(evil);
	end();
}

KTEST(R38_stealing_serves_the_honest, "with ptp-steal an honest process takes tables of the malicious one, which loses mappings and no data")
{
	struct pmap_stat before, after;
	vaddr_t va = 0x300000000UL;
	uint64_t w;
	int got;

	tu_ptp_steal = true;
	begin(1);
	be_honest();
	/* its own memory by another way: that will need tables and nothing else */
	for (int i = 0; i < 16; i++) {
		vaddr_t at = va + (vaddr_t)i * LEAF;

		CHECK_EQ(sys_extract(tm_proc, TM_VA(i % 8), PAGE_SIZE, tm_proc, &at, false), 0);
	}
	got = exhaust(false);			/* no swap: nothing of it can be reclaimed */
	pmap_getstat(&before);
	for (int i = 0; i < 16; i++) {
		CHECK_EQ(user_load(va + (vaddr_t)i * LEAF, &w), 0);
		CHECK_EQ(w, 50 + (uint64_t)i % 8);
	}
	pmap_getstat(&after);
	CHECK(after.ptp_steals > before.ptp_steals);
	still_honest();
	/* whatever was stolen comes back by faults, by stealing in turn */
	proc_attach(evil);
	for (int slot = 0; slot < got; slot += 97)
		CHECK_EQ(user_load(EVIL + (vaddr_t)slot * LEAF, &w) == 0 ? w : MARK, MARK);
	proc_attach(tm_proc);
	proc_exit(evil);
	end();
}

KTEST(wired_tables_are_not_stolen, "with ptp-steal wired mappings stay where they are, and the malicious one ends all the same")
{
	long wired;

	tu_ptp_steal = true;
	begin(1);
	be_honest();
	(void)exhaust(true);
	wired = pmap_wired_count(tm_map(evil)->pmap);
	CHECK_EQ(tm_store_error(13), ENOMEM);
	CHECK_EQ(pmap_wired_count(tm_map(evil)->pmap), wired);
	kill_evil();
	/* It had stolen the honest one's tables, for good: that is the price of stealing. */
	still_honest();
	tm_store(13, 1);
	proc_exit(evil);
	end();
}

KTEST_MAIN()
