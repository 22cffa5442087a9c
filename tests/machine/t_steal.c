/*
 * Stealing page tables: pmap_enter() with another pmap's table in a shortage.
 *
 * A stolen mapping is like any unwired mapping that vanished: no data, no R/M bit and
 * no count is lost, and no CPU goes on using it.
 */
#include "fakevm.h"

#include <errno.h>
#include <ktest.h>

#include "../../src/machine/pmap_private.h"

#define	VA		0x10000000UL
#define	LEAF		(2UL << 20)		/* what one table maps */
#define	RO		VM_PROT_READ
#define	RW		(VM_PROT_READ | VM_PROT_WRITE)

static struct pmap *pm, *rich;
static struct vm_page *pg;

/* => pm has one mapping at VA, rich one in each of n leaf tables; no table is to be had */
static void
begin(int ncpus, int n)
{
	fv_steal = fv_ptp_recycle = true;
	fv_boot(ncpus, false);
	pm = pmap_create();
	rich = pmap_create();
	pg = fv_alloc();
	fv_use(pm);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, PMAP_CANFAIL) == 0);
	for (int i = 0; i < n; i++)
		CHECK(pmap_enter(rich, VA + (vaddr_t)i * LEAF, fv_pa(pg), RW, PMAP_CANFAIL) == 0);
	fv_ptp_supply = 0;
}

static void
end(void)
{
	fv_ptp_supply = -1;
	CHECK(pmap_check(pm) == 0);
	CHECK(pmap_check(rich) == 0);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	pmap_remove(rich, 0, VM_MAXUSER_ADDRESS);
	pmap_update(rich);
	CHECK(pg->md.md_leaving == 0);
	CHECK(!pmap_page_mapped(pg));
	fv_free(pg);
	fv_destroy(pm);
	fv_destroy(rich);
	fv_shutdown();
}

static struct pmap_stat
stat_now(void)
{
	struct pmap_stat ps;

	pmap_getstat(&ps);
	return ps;
}

KTEST(table_of_the_richest_is_taken, "without a table an enter takes the poorest one of the pmap with most")
{
	begin(1, 8);
	CHECK(pmap_enter(rich, VA + PAGE_SIZE, fv_pa(pg), RO, PMAP_CANFAIL) == 0);	/* 2 in the first */
	CHECK(pmap_enter(pm, VA + LEAF, fv_pa(pg), RO, PMAP_CANFAIL) == 0);
	CHECK(stat_now().ptp_steals == 1);
	CHECK(pmap_ptp_count(rich) == 3 + 7);
	CHECK(pmap_resident_count(rich) == 8);
	CHECK(pmap_extract(rich, VA, NULL));
	CHECK(!pmap_extract(rich, VA + LEAF, NULL));
	CHECK(pmap_extract(pm, VA, NULL));		/* not from itself */
	end();
}

KTEST(attributes_of_stolen_mappings_stay, "R and M of a mapping that was stolen are its page's")
{
	begin(1, 1);
	CHECK(!pmap_is_modified(pg));
	CHECK(pmap_enter(rich, VA, fv_pa(pg), RW, RW | PMAP_CANFAIL) == 0);
	CHECK(pmap_enter(pm, VA + LEAF, fv_pa(pg), RO, PMAP_CANFAIL) == 0);
	CHECK(pmap_resident_count(rich) == 0);
	CHECK(pmap_is_modified(pg));
	CHECK(pmap_is_referenced(pg));
	end();
}

KTEST(wired_mappings_are_not_stolen, "a table with a wired mapping stays; if there are no others the enter fails, and leaves its own mappings alone")
{
	begin(1, 0);
	fv_ptp_supply = -1;
	for (int i = 0; i < 3; i++)
		CHECK(pmap_enter(rich, VA + (vaddr_t)i * LEAF, fv_pa(pg), RO, PMAP_WIRED) == 0);
	CHECK(pmap_enter(rich, VA + PAGE_SIZE, fv_pa(pg), RO, 0) == 0);
	fv_ptp_supply = 0;
	CHECK(pmap_enter(pm, VA + LEAF, fv_pa(pg), RO, PMAP_CANFAIL) == ENOMEM);
	CHECK(pmap_resident_count(rich) == 4);
	CHECK(pmap_wired_count(rich) == 3);
	CHECK(pmap_resident_count(pm) == 1);
	CHECK(stat_now().ptp_steals == 0);
	end();
}

KTEST(pv_entries_are_stolen_too, "without a pv entry an enter takes those of a table")
{
	uint64_t before;

	begin(1, 0);
	fv_ptp_supply = -1;
	fv_pv_exhaust();		/* by a pmap that has them all, ours too */
	before = stat_now().pv_steals;
	CHECK(before > 0 && pmap_resident_count(pm) == 0);
	CHECK(pmap_enter(pm, VA + PAGE_SIZE, fv_pa(pg), RO, PMAP_CANFAIL) == 0);
	CHECK(stat_now().pv_steals == before + 1);
	CHECK(stat_now().ptp_steals == 0);
	fv_pv_relax();
	end();
}

KTEST(R39_plain_enters_are_counted_and_served, "an enter that may not fail steals rather than panic; one that takes the last memory is counted")
{
	begin(1, 2);
	CHECK(pmap_enter(pm, VA + LEAF, fv_pa(pg), RO, 0) == 0);
	CHECK(stat_now().plain_enter_dips == 1);
	CHECK(pmap_enter(pm, VA + LEAF + PAGE_SIZE, fv_pa(pg), RO, 0) == 0);	/* needs none */
	CHECK(stat_now().plain_enter_dips == 1);
	end();
}

KTEST_DEATH(R39_plain_enter_panics_by_name, "a plain enter that finds nothing to steal panics, and says that it was one",
    "plain pmap_enter failed in the user's pmap.*R28")
{
	begin(1, 0);
	(void)pmap_enter(pm, VA + LEAF, fv_pa(pg), RO, 0);
}

/* --- with others at work --- */

static bool stop;		/* atomic */

/* Stores through rich, whenever it is mapped; what it stores only grows. */
static void
storer(void *arg)
{
	uint64_t n = 1;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (user_store(VA, n) == 0)
			n++;
		lwp_userret(1);
	}
}

/* A thief takes his time between the page table and the TLBs. */
static __thread bool dawdle;

void	__real_pmap_tlb_complete(struct tlb_flush *);
void	__wrap_pmap_tlb_complete(struct tlb_flush *);

void
__wrap_pmap_tlb_complete(struct tlb_flush *tf)
{
	unsigned spins = 0;

	for (int i = 0; i < 250 && dawdle; i++)
		fv_pause(&spins);
	__real_pmap_tlb_complete(tf);
}

static void
thief(void *arg)
{
	uint64_t *rounds = arg;

	dawdle = true;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (pmap_steal(pm))
			__atomic_fetch_add(rounds, 1, __ATOMIC_RELAXED);
		lwp_userret(1);
	}
}

static uint64_t
first_word(void)
{
	return __atomic_load_n(fv_words(pg), __ATOMIC_RELAXED);
}

/*
 * Who revokes a page may give its frame away then, also when a thief has just taken the
 * mapping and has not yet told the TLBs.
 */
KTEST(I_PMAP_6_revoke_while_a_thief_is_at_work, "after revoke nobody stores to the page, though its mapping was stolen before")
{
	uint64_t steals = 0, before = 0, now;
	unsigned spins;
	struct lwp *l[2];

	begin(3, 0);
	fv_ptp_supply = -1;
	fv_expect_violations();
	l[0] = fv_spawn(rich, "storer", storer, NULL);
	l[1] = fv_spawn(pm, "thief", thief, &steals);
	for (unsigned i = 0; i < 200 || before == 0 ||
	    __atomic_load_n(&steals, __ATOMIC_RELAXED) < 20; i++) {
		CHECK(pmap_enter(rich, VA, fv_pa(pg), RW, PMAP_CANFAIL) == 0);
		spins = 0;
		for (unsigned k = 0; k < 60 && first_word() == before; k++)
			fv_pause(&spins);
		pmap_revoke(pg);
		now = first_word();
		spins = 0;
		for (unsigned k = 0; k < 210; k++)
			fv_pause(&spins);
		CHECK(first_word() == now);
		before = now;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		fv_join(l[i]);
	CHECK(fv_violations_any() == 0);
	end();
}

KTEST_MAIN()
