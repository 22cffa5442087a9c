/*
 * Scenarios of pmap and TLB, step by step.  Each is run with its mistake as well, where the museum has
 * one, and fails then.
 */
#include <errno.h>

#include "scenario.h"

#define	GET(v)		__atomic_load_n(&(v), __ATOMIC_RELAXED)
#define	SET(v, to)	__atomic_store_n(&(v), (to), __ATOMIC_RELAXED)

static struct vm_page *page;		/* page 0's */
static uint64_t seen;

static void
begin(void)
{
	scenario_begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	page = tm_page(tm_proc, 0);
}

/* --- T-24 --- */

static void
revoke(void *arg)
{
	kmutex_t *owner = uvm_page_owner_lock(page);

	mutex_enter(owner);
	uvm_page_protect(page, VM_PROT_NONE);
	*tu_words(page) = 2;			/* whoever comes by a fault waits for us, and sees this */
	mutex_exit(owner);
}

/* => the second access is to find that the mapping has gone */
static void
load_twice(void *arg)
{
	uint64_t faults = tu_count(UVMC_faults);

	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tu_count(UVMC_faults), faults);	/* it was still there */
	script_point("loaded");
	CHECK_EQ(tm_load(0), 2);
	CHECK_EQ(tu_count(UVMC_faults), faults + 1);
}

/* b switches to the process, and loads, when a has all but cleared the PTE: is its CPU told? */
SCENARIO(T24_cpu_that_joins_before_the_PTE_changes_is_told,
    "a CPU that comes into the pmap just before a PTE is cleared has no stale translation afterwards (I-PMAP-5)")
{
	begin();
	SCRIPT("a until pte; b until test(loaded); a b until done; b until done",
	    { "a", NULL, revoke, NULL }, { "b", tm_proc, load_twice, NULL });
	scenario_end();
}
MISTAKE(T24_cpu_that_joins_before_the_PTE_changes_is_told, late_activate_miss, "check failed: tm_load\\(0\\) is 1 |I-PMAP-6")

/* --- T-26, T-27 --- */

static void
load_and_store_later(void *arg)
{
	tm_store(0, 4);
	script_point("stored");
	CHECK_EQ(tm_store_error(0), *(int *)arg);
}

static void
unmap(void *arg)
{
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(1));
}

static void
forbid(void *arg)
{
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_READ), 0);
}

/* b has a writable translation, and does not answer yet: whatever takes the mapping is to wait for it. */
SCENARIO(T26_unmap_waits_for_the_last_translation,
    "as long as one CPU has not acknowledged, munmap has not returned, and the frame is nobody else's (I-PMAP-6)")
{
	int error = EFAULT;

	begin();
	SCRIPT("b until test(stored); a until blocked; b a until done; a until done",
	    { "a", NULL, unmap, NULL }, { "b", tm_proc, load_and_store_later, &error });
	scenario_end();
}
MISTAKE(T26_unmap_waits_for_the_last_translation, free_before_ack, "`a until blocked`: it has ended|I-PMAP")

SCENARIO(T27_mprotect_waits_for_the_last_translation,
    "as long as one CPU may store through an old translation, mprotect has not returned (I-SYS-3)")
{
	int error = EACCES;

	begin();
	SCRIPT("b until test(stored); a until blocked; b a until done; a until done",
	    { "a", NULL, forbid, NULL }, { "b", tm_proc, load_and_store_later, &error });
	CHECK_EQ(tm_load(0), 4);
	scenario_end();
}
MISTAKE(T27_mprotect_waits_for_the_last_translation, free_before_ack, "`a until blocked`: it has ended|I-PMAP")

/* --- T-29 --- */

static void
ask_and_clear(void *arg)
{
	SET(seen, pmap_clear_modify(page));
}

static void
load_and_store(void *arg)
{
	CHECK_EQ(tm_load(0), 1);
	script_point("loaded");
	tm_store(0, 3);
	script_point("stored");
}

/* b's TLB has the page, clean: its store sets M in the PTE while a is at that very PTE. */
SCENARIO(T29_store_while_the_modified_bit_is_taken,
    "a store at the moment when M is asked for and cleared is told of now, or M stays (I-PMAP-12)")
{
	begin();
	pmap_clear_modify(page);
	CHECK(!pmap_is_modified(page));
	SCRIPT("b until test(loaded); a until pte; b until test(stored); a b until done; b until done",
	    { "a", NULL, ask_and_clear, NULL }, { "b", tm_proc, load_and_store, NULL });
	CHECK_EQ(tm_load(0), 3);
	CHECK(GET(seen) || pmap_is_modified(page));
	scenario_end();
}
MISTAKE(T29_store_while_the_modified_bit_is_taken, modified_bit_lost, "check failed: .*pmap_is_modified")

KTEST_MAIN()
