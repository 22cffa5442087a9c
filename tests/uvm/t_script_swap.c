/* Scenarios of swap, step by step. */
#include <errno.h>
#include <ktest_kern.h>
#include <sys/lockdirect.h>
#include <sys/lockevent.h>

#include "scenario.h"
#include "tswap.h"

static void
load_what_goes(void *arg)
{
	CHECK_EQ(tm_load_error(0), EFAULT);
}

static void
load_five(void *arg)
{
	CHECK_EQ(tm_load(0), 5);
}

static void
unmap(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

/* a reads an anon's page from swap; before it is there the mapping goes, and the amap with it. */
SCENARIO(T1_unmapped_step_by_step_while_it_is_read,
    "the anon whose page is being read is freed once, by the reader (I-ANON-3, I-MAP-14)")
{
	int before;

	script_begin();
	ts_boot(4, 2048, 64, 1);
	before = (int)uvm_anon_count();		/* of u-areas */
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	SCRIPT("a until io; b until done; a until done",
	    { "a", tm_proc, load_what_goes, NULL }, { "b", tm_proc, unmap, NULL });
	CHECK_EQ(uvm_anon_count(), before);
	CHECK_EQ(tu_count(UVMC_fltpgrele), 1);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	scenario_end();
}

/* => page 0 of the process is in memory, or in swap; the lock of its anon has a name; anons so far */
static int
begin_anon(void)
{
	int before;

	script_begin();
	ts_boot(4, 2048, 64, 1);
	before = (int)uvm_anon_count();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	script_lock("anon", uvm_page_owner_lock(tm_page(tm_proc, 0)));
	return before;
}

static void
end_anon(int before)
{
	CHECK_EQ(uvm_anon_count(), before);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	scenario_end();
}

static void
pageout(void *arg)
{
	CHECK(ts_pageout(tm_proc, 0));
}

/* a gives up the last reference, and lets the lock go; before it comes to free the anon, b's write ends. */
SCENARIO(written_when_the_last_reference_has_gone,
    "an anon without references whose page is written is freed once, by who gave up the last (I-ANON-3)")
{
	int before = begin_anon();

	SCRIPT("b until io; a until lock(anon) x2; b until done; a until done",
	    { "a", tm_proc, unmap, NULL }, { "b", tm_proc, pageout, NULL });
	end_anon(before);
}

/* Likewise, when a's read ends. */
SCENARIO(read_when_the_last_reference_has_gone,
    "an anon without references whose page is read is freed once, by who gave up the last (I-ANON-3)")
{
	int before = begin_anon();

	CHECK(ts_pageout(tm_proc, 0));
	SCRIPT("a until io; b until lock(anon) x2; a until done; b until done",
	    { "a", tm_proc, load_what_goes, NULL }, { "b", tm_proc, unmap, NULL });
	CHECK_EQ(tu_count(UVMC_fltpgrele), 0);
	end_anon(before);
}

/* a reads the page, without the amap's lock; b wants it, too, and waits; then a wants that lock again. */
SCENARIO(I_LCK_3_two_faults_on_a_page_in_swap,
    "who waits for a busy anon's page has no amap locked, which who has it busy will want (15.4)")
{
	int before;

	lockaudit_full = UVMSTRESS_LOCKDEBUG;
	CHECK_EQ(lockdirect_set(UVMSTRESS_LOCKDEBUG ? "amap>page-busy:anon>amap" : NULL), UVMSTRESS_LOCKDEBUG ? 2 : 0);
	ktest_expect_violations();		/* the rules, which see it come: see it deadlock, too */
	before = begin_anon();
	CHECK(ts_pageout(tm_proc, 0));
	SCRIPT("a until io; b until blocked; a b until done",
	    { "a", tm_proc, load_five, NULL }, { "b", tm_proc, load_five, NULL });
	CHECK_EQ(ktest_violations(VIOL_LOCK_ORDER) + ktest_violations(VIOL_LOCK_ASSERTION), 0);
	unmap(NULL);
	end_anon(before);
}
#if UVMSTRESS_LOCKDEBUG			/* or nobody knows who has what */
MISTAKE(I_LCK_3_two_faults_on_a_page_in_swap, page_busy_under_amap,
    "deadlock: (a has page-busy:anon [0-9]+ and waits for amap [0-9]+, )?b has amap [0-9]+ and waits for page-busy:anon [0-9]+")
#endif

KTEST_MAIN()
