/*
 * Scenarios of files, step by step: write-back, truncation, windows, pages that are overwritten.
 */
#include <errno.h>
#include <sys/inject.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_loan.h>

#include "scenario.h"

#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	NPAGES		16
#define	AIODONE		{ "aiodone", NULL, NULL, NULL }

static struct vnode *vp;		/* mapped at page 0 */
static struct vm_page *lent;

static void
map_file(void)
{
	vaddr_t va = TM_VA(0);

	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(NPAGES), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa(NPAGES), UMADV_RANDOM), 0);
}

static void
begin(void)
{
	scenario_begin();
	vp = tu_file(ptoa(NPAGES));
	script_lock("file", &vp->v_uobj.vmobjlock);
	script_lock("windows", &ubc_object.uobj.vmobjlock);
	map_file();
}

static void
end(void)
{
	vrele(vp);
	scenario_end();
}

static void
load_two(void *arg)
{
	(void)tm_load_error(2);
}

static void
sync_all(void *arg)
{
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(NPAGES), UMS_SYNC), 0);
}

static void
forget_all(void *arg)
{
	CHECK_EQ(tu_put(&vp->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
}

/* --- T-63 --- */

static void
write_from_itself(void *arg)
{
	size_t len = 2 * PAGE_SIZE;

	CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	CHECK_EQ(len, 2 * PAGE_SIZE);
}

/* a has seen that its source is in memory, and will overwrite it, from itself; then b sees it out. */
SCENARIO(T63_source_goes_as_it_is_to_be_overwritten_from_itself,
    "a write from a mapping of the same pages does not wait for itself, and loses nothing (I-SMP-4, H-3)")
{
	begin();
	(void)tm_load(0);
	(void)tm_load(1);
	SCRIPT("a until lock(windows); b a until done; a until done",
	    { "a", tm_proc, write_from_itself, NULL }, { "b", NULL, forget_all, NULL });
	CHECK(tm_load(0) == tu_word(0) && tm_load(1) == tu_word(ptoa(1)));
	end();
}
MISTAKE(T63_source_goes_as_it_is_to_be_overwritten_from_itself, ubc_self_copy, "I-LCK-3|page-busy")

/* --- T-64 --- */

static void
load_and_store(void *arg)
{
	CHECK_EQ(tm_load(0), tu_word(0));
	script_point("loaded");
	tm_store(0, 9);
	script_point("stored");
}

/* s has a translation to the page, which is clean; w writes back, and s stores at one of its steps. */
static void
store_during_write_back(const char *script)
{
	begin();
	SCRIPT(script, { "w", NULL, sync_all, NULL }, { "s", tm_proc, load_and_store, NULL });
	CHECK_EQ(tm_load(0), 9);
	sync_all(NULL);
	CHECK_EQ(tu_host_word(vp, 0), 9);
	end();
}

SCENARIO(T64_store_before_the_page_is_protected,
    "a store at the PTE that is just being protected is in this write-back, or in the next one (I-OBJ-7, I-SYS-7)")
{
	store_during_write_back("s until test(loaded); w until pte; s until test(stored); w s until done");
}
MISTAKE(T64_store_before_the_page_is_protected, modified_bit_lost, "check failed: tu_host_word|I-OBJ-7")

SCENARIO(T64_store_before_modified_is_asked,
    "after the protection and before the question no store gets in unseen (I-OBJ-7)")
{
	store_during_write_back("s until test(loaded); w until unlock; w until tlb; s until blocked; w s until done");
}

static void
store_nine(void *arg)
{
	tm_store(0, 9);
}

/* As above, but there is something to write: the page is busy on its way to the disk. */
SCENARIO(T64_store_while_the_page_is_written,
    "a store while the page is on its way to the disk makes it dirty again (I-SYS-7)")
{
	begin();
	tm_store(0, 8);
	SCRIPT("w until io; s until blocked; w s until done; s until done",
	    { "w", NULL, sync_all, NULL }, { "s", tm_proc, store_nine, NULL });
	CHECK_EQ(tu_host_word(vp, 0), 8);
	sync_all(NULL);
	CHECK_EQ(tu_host_word(vp, 0), 9);
	end();
}

/* --- T-65, T-66 --- */

static void
truncate_to_nothing(void *arg)
{
	CHECK_EQ(vnode_truncate(vp, 0), 0);
}

static void
load_until_end(void *arg)
{
	CHECK_EQ(tm_load(2), tu_word(ptoa(2)));
	script_point("loaded");
	CHECK_EQ(tm_load_error(2), EINVAL);
}

/* r has the page in its TLB; then the file is cut, and r touches it again before that is over. */
SCENARIO(T65_truncation_below_a_reader_with_a_translation,
    "once a file is cut nobody sees what was behind its end: an error, and zeroes when it grows again (I-OBJ-3, I-SYS-8)")
{
	begin();
	SCRIPT("r until test(loaded); t until blocked; r t until done; t until done",
	    { "r", tm_proc, load_until_end, NULL }, { "t", NULL, truncate_to_nothing, NULL });
	CHECK_EQ(vnode_truncate(vp, ptoa(NPAGES)), 0);
	CHECK_EQ(tm_load(2), 0);
	end();
}
MISTAKE(T65_truncation_below_a_reader_with_a_translation, free_before_ack, "`t until blocked`: it has ended|I-PMAP")

/* r reads the page from disk; the truncation waits for it, or is there first. */
SCENARIO(T65_truncation_while_a_page_is_read,
    "truncation waits for the page that is being read, and takes it, mapping and all (I-OBJ-3)")
{
	begin();
	SCRIPT("r until io; t until blocked; r until done; t until done",
	    { "r", tm_proc, load_two, NULL }, { "t", NULL, truncate_to_nothing, NULL });
	CHECK_EQ(vp->v_uobj.uo_npages, 0);
	CHECK_EQ(tm_load_error(2), EINVAL);
	CHECK_EQ(vnode_truncate(vp, ptoa(NPAGES)), 0);
	CHECK_EQ(tm_load(2), 0);
	end();
}

SCENARIO(T65_truncation_while_a_page_is_written,
    "truncation waits for the page that is being written, and takes it then (I-OBJ-3)")
{
	begin();
	tm_store(2, 9);
	SCRIPT("w until io; t until blocked; w until done; t until done",
	    { "w", NULL, sync_all, NULL }, { "t", NULL, truncate_to_nothing, NULL });
	CHECK_EQ(vp->v_uobj.uo_npages, 0);
	CHECK_EQ(vnode_truncate(vp, ptoa(NPAGES)), 0);
	CHECK_EQ(tm_load(2), 0);
	end();
}

static void
unmap(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(NPAGES)), 0);
}

SCENARIO(T66_truncation_and_unmapping_while_a_page_is_read,
    "a fault that comes back to neither mapping nor file lets go of all it has (I-FLT-1, I-SMP-3, B-24)")
{
	begin();
	SCRIPT("r until io; t until blocked; u until done; r until done; t until done",
	    { "r", tm_proc, load_two, NULL }, { "t", NULL, truncate_to_nothing, NULL },
	    { "u", NULL, unmap, NULL });
	CHECK_EQ(vp->v_uobj.uo_npages, 0);
	end();
}
MISTAKE(T66_truncation_and_unmapping_while_a_page_is_read, released_keeps_object, "I-FLT-1|locking|held")

/* --- T-67 --- */

#define	FILES	6

static struct vnode *files[FILES];

/* => word 1 of each file, into pages of the reader's own */
static void
read_files(void *arg)
{
	for (int f = *(int *)arg; f < FILES; f++) {
		size_t len = 8;
		uint64_t w;

		CHECK_EQ(sys_read(tm_proc, files[f], 8, TM_VA(20 + f), &len, 0), 0);
		CHECK_EQ(user_load(TM_VA(20 + f), &w), 0);
		CHECK_EQ(w, tu_host_word(files[f], 8));
	}
}

/* a has a window, and is about to map the page; b, who reads five other files, takes all that are free. */
SCENARIO(T67_windows_are_recycled_below_a_reader,
    "a window that is in use stays its file's, and one that is recycled shows nothing of its old one (I-UBC-3)")
{
	int all = 0, others = 1;

	tu_ubc_windows = 4;
	begin();
	CHECK_EQ(tm_put_at(tm_proc, 20, FILES, 'a'), 0);
	for (int f = 0; f < FILES; f++) {
		tm_store(20 + f, 77);
		files[f] = tu_file(PAGE_SIZE * (f + 1));
		CHECK_EQ(vnode_truncate(files[f], 16 + f * (voff_t)PAGE_SIZE), 0);
		(void)tu_resident(&files[f]->v_uobj, 0);
		*tu_words(tu_lookup(&files[f]->v_uobj, 0)) = (uint64_t)f;
	}
	script_lock("first", &files[0]->v_uobj.vmobjlock);
	SCRIPT("a until lock(first); b a until done; a until done",
	    { "a", tm_proc, read_files, &all }, { "b", tm_proc, read_files, &others });
	CHECK(tu_count(UVMC_ubc_recycled) > 0);
	for (int f = 0; f < FILES; f++)
		vrele(files[f]);
	end();
}

/* --- T-68 --- */

static void
overwrite(void *arg)
{
	size_t len = 2 * PAGE_SIZE;

	CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(20), &len, 0), 0);
	CHECK_EQ(len, 2 * PAGE_SIZE);
}

static void
load_second(void *arg)
{
	uint64_t w = tm_load(1);

	CHECK(w == tu_word(ptoa(1)) || w == 5);
}

/* The first page is on loan, and there is no memory to break that; the second has no content yet. */
SCENARIO(T68_overwriting_fails_while_a_reader_waits,
    "who waits for a page that was to be overwritten, and was not, never sees it without content (I-PG-8, I-PG-9, B-25)")
{
	char why[80];

	begin();
	CHECK_EQ(tm_put_at(tm_proc, 20, 2, 'a'), 0);
	tm_store(20, 5);
	tm_store(21, 5);
	CHECK_EQ(uvm_loanuobjpages(&vp->v_uobj, 0, 1, &lent), 0);
	CHECK_EQ(tu_put(&vp->v_uobj, (voff_t)PAGE_SIZE, 0, PGO_FREE), 0);
	CHECK_EQ(inject_configure("page-alloc:stack=uvm_loanbreak,every=1,times=1", 1, why, sizeof(why)), 0);
	inject_start();
	SCRIPT("w until lock(file) x3; r until blocked; w r until done; r until done",
	    { "w", tm_proc, overwrite, NULL }, { "r", tm_proc, load_second, NULL });
	inject_stop();
	CHECK(tu_count(UVMC_ubc_fallback) > 0);
	CHECK(tm_load(0) == 5 && tm_load(1) == 5);
	CHECK_EQ(*tu_words(lent), tu_word(0));
	uvm_unloan(&lent, 1, UVM_LOAN_TOPAGE);
	end();
}
MISTAKE(T68_overwriting_fails_while_a_reader_waits, faultbusy_shows_fake, "PG_FAKE|I-PG-[89]|check failed")

/* --- T-70 --- */

/* => four pages from the first on, busy for a while */
static void
get_four(void *arg)
{
	struct vm_page *pgs[4] = { NULL };
	int n = 4;

	mutex_enter(&vp->v_uobj.vmobjlock);
	CHECK_EQ(vp->v_uobj.pgops->pgo_get(&vp->v_uobj, (voff_t)ptoa((uint64_t)*(int *)arg), pgs, &n, 0,
	    VM_PROT_READ, UVM_ADV_RANDOM, PGO_SYNCIO), 0);
	mutex_enter(&vp->v_uobj.vmobjlock);
	uvm_lock_pageq();
	uvm_page_unbusy(pgs, n);
	uvm_unlock_pageq();
	mutex_exit(&vp->v_uobj.vmobjlock);
}

/* c reads page 2.  a wants 0 to 3, and b 2 to 5: both wait for it. */
SCENARIO(T70_gets_of_overlapping_ranges,
    "who makes several pages busy begins with the lowest, and has none that somebody below him wants (I-SMP-4)")
{
	int first = 0, second = 2;

	begin();
	SCRIPT("c until io; a until blocked; b until blocked; c until done; a b until done; b until done",
	    { "a", NULL, get_four, &first }, { "b", NULL, get_four, &second }, { "c", tm_proc, load_two, NULL });
	end();
}

/* --- T-79 --- */

static void
write_later(void *arg)
{
	CHECK_EQ(tu_put(&vp->v_uobj, 0, 0, PGO_CLEANIT), 0);
}

/* The disk is done before the caller of the put has gone on; its pages are cleaned up first, or last. */
static void
put_and_completion(const char *script)
{
	begin();
	tm_store(0, 9);
	SCRIPT(script, { "w", NULL, write_later, NULL }, AIODONE);
	TU_WAIT(uvm_aio_idle());
	CHECK_EQ(tu_host_word(vp, 0), 9);
	CHECK((tu_lookup(&vp->v_uobj, 0)->flags & (PG_BUSY | PG_CLEAN)) == PG_CLEAN);
	end();
}

SCENARIO(T79_completion_before_the_put_returns, "an asynchronous put is cleaned up by its completion, however early that is (R19, I-PG-8)")
{
	put_and_completion("w until io; w until lock(file); aiodone until blocked; w until done");
}

SCENARIO(T79_put_returns_before_the_completion, "and if it is late the caller leaves the page alone (R19)")
{
	put_and_completion("w until done; aiodone until lock(file)");
}
MISTAKE(T79_put_returns_before_the_completion, async_caller_cleans, "uvm_aio_page_done|uvm_page_unbusy")

KTEST_MAIN()
