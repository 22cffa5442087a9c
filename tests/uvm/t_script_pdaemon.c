/*
 * Scenarios of the page daemon, step by step: what others do while it has a page, and who waits for it.
 * It is one of the LWPs of each script.
 */
#include <errno.h>
#include <uvm/uvm_pdaemon_i.h>

#include "scenario_pageout.h"

#define	RW		(VM_PROT_READ | VM_PROT_WRITE)

static struct proc *child;
static struct vnode *vp;

/* => no memory is left for whoever is nobody special */
static void
exhaust(void *arg)
{
	tu_exhaust();
}
#define	EXHAUST		{ "k", NULL, exhaust, NULL }

static void
wire(void *arg)
{
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

static void
store_six(void *arg)
{
	tm_store(0, 6);
}

/* --- T-41 --- */

/* The daemon has the queues, and is about to try the owner of a page; a has the owner, and wants the queues. */
SCENARIO(T41_owner_is_tried_while_a_fault_wires_the_page,
    "what a wiring fault has locked the daemon leaves alone; afterwards it is on no queue (R7, I-PD-8)")
{
	struct vm_page *pg;
	uint64_t failed;

	begin(128, 1);
	aged(0, 64, 'a');
	pg = tm_page(tm_proc, 0);
	script_lock("anon", &pg->uanon->an_lock);
	failed = tu_count(UVMC_pdtrylock);
	SCRIPT("k until done; pgdaemon until try(anon); a until blocked; pgdaemon until unlock(pageq); a pgdaemon until done",
	    { "a", tm_proc, wire, NULL }, DAEMON, SQUEEZE);
	CHECK(tu_count(UVMC_pdtrylock) > failed);
	CHECK(tm_page(tm_proc, 0) == pg && pg->wire_count == 1);
	CHECK_EQ(pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	end();
}
MISTAKE(T41_owner_is_tried_while_a_fault_wires_the_page, wired_stays_queued, "I-FLT-8|I-PD-8|R7")

/* --- T-42 --- */

/* The daemon takes a page's slot from it; just then it is stored to, without a fault, and somebody wires it. */
SCENARIO(T42_active_page_loses_its_slot_while_it_is_stored_to_and_wired,
    "a page that gives its slot up is dirty before: whoever stores to it meanwhile loses nothing (R34, I-SWP-3)")
{
	uint64_t dropped;

	begin(32, 1);
	aged(0, 32, 'a');
	squeeze(NULL);
	settle();
	tu_release();
	for (int i = 0; i < 32; i++)
		CHECK_EQ(tm_load(i), 5);		/* clean, active, and all slots are theirs */
	CHECK(uvm_swapisfilled() && ts_clean(tm_proc, 0));
	script_lock("anon", &tm_anon(0)->an_lock);
	dropped = tu_count(UVMC_pddropswap);
	aged(32, 20, 'a');
	SCRIPT("k until done; pgdaemon until try(anon); pgdaemon until lock(swap); s until done; w until blocked;"
	    " w pgdaemon until done",
	    { "s", tm_proc, store_six, NULL }, { "w", tm_proc, wire, NULL }, DAEMON, SQUEEZE);
	CHECK(tu_count(UVMC_pddropswap) > dropped);
	CHECK(ts_slot(tm_proc, 0) == 0 && !ts_clean(tm_proc, 0) && tm_wire_count(tm_proc, 0) == 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(tm_load(0), 6);
	end();
}
MISTAKE(T42_active_page_loses_its_slot_while_it_is_stored_to_and_wired, swap_release_clean, "R34")

/* --- T-43 --- */

static void
store_until_full(void *arg)
{
	int *stored = arg;

	while (tm_store_error(*stored) == 0)
		CHECK(++*stored < 4096);
	CHECK_EQ(tm_store_error(*stored), ENOMEM);
	CHECK(uvm_swapisfull() && !uvm_reclaimable());
}

SCENARIO(T43_memory_and_swap_full_of_dirty_pages,
    "who wants memory when there is none, and none to come, is told so: ENOMEM, not a hang (I-PD-6)")
{
	int stored = 0;

	begin(128, 1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 4096, 'a'), 0);
	SCRIPT("a pgdaemon until done", { "a", tm_proc, store_until_full, &stored }, DAEMON);
	CHECK(stored > 64);
	CHECK_EQ(tu_count(UVMC_oomkills), 1);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(64)), 0);
	CHECK(uvm_reclaimable());
	end();
}

/* --- T-44 --- */

static void
read_page(void *arg)
{
	(void)tu_resident(&vp->v_uobj, *(voff_t *)arg);
}

/* Two reads of a file hang, with the transfers that they have; then memory is short, and h waits for some. */
SCENARIO(T44_daemon_writes_while_reads_hang,
    "the daemon waits neither for transfers nor for those who have them (I-PD-4, I-OBJ-11)")
{
	voff_t first = 0, other = ptoa(32);

	begin(128, 1);
	aged(0, 64, 'a');
	vp = tu_file(ptoa(64));
	SCRIPT("r until io; q until io; k until done; h until blocked; h pgdaemon until done",
	    { "r", NULL, read_page, &first }, { "q", NULL, read_page, &other },
	    { "h", NULL, tu_hungry, NULL }, DAEMON, EXHAUST);
	tu_release();
	settle();
	CHECK(tu_got == 1 && tu_count(UVMC_pgswapout) > 0);
	vrele(vp);
	end();
}

/* --- T-46 --- */

static void
let_writes_succeed(void *arg)
{
	uvm_swap_inject(1, 0, 0, 0);
}

/* All that can go is on its way, and will come back with ENOMEM; h waits for what it is to bring. */
SCENARIO(T46_write_fails_that_somebody_waits_for,
    "a write that ends in ENOMEM leaves its pages dirty, active and without slot; the next one serves the waiter (I-PD-1)")
{
	begin(128, 1);
	aged(0, 64, 'a');
	CHECK_EQ(tm_put_at(tm_proc, 64, 1, 'n'), 0);		/* whose page table stays, too: else that is memory */
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(64), PAGE_SIZE), 0);
	uvm_swap_inject(1, 0, 1, ENOMEM);
	SCRIPT("k until done; h until blocked; pgdaemon until blocked; c until done; aiodone until blocked;"
	    " h pgdaemon aiodone until done",
	    { "h", NULL, tu_hungry, NULL }, { "c", NULL, let_writes_succeed, NULL }, DAEMON,
	    { "aiodone", NULL, NULL, NULL }, EXHAUST);
	CHECK(tu_got == 1 && tu_waiting > 0);
	tu_release();
	settle();
	CHECK(tu_count(UVMC_swapout_error) == 64 && ts_exp()->npgbad == 0);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(tm_load(i), 5);
	CHECK_EQ(ts_exp()->paging, 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(64), PAGE_SIZE), 0);
	end();
}

/* --- T-49 --- */

#define	FAR	(TM_VA(0) + ((vaddr_t)64 << 20))	/* another page table's */

static void
exhaust_for_a_while(void *arg)
{
	tu_exhaust();
	script_point("short");
	tu_release();
}

static void
store_page_one(void *arg)
{
	tm_store(1, 7);
}

static void
load_far(void *arg)
{
	uint64_t w;

	CHECK_EQ(user_load(FAR, &w), 0);
	CHECK_EQ(w, tu_word(0));
}

/* No page is left for a, who waits; b needs one for a page table, and the daemon has not come yet. */
SCENARIO(T49_page_table_from_the_reserve_while_others_wait,
    "when memory is at the reserve who has memory wanted waits, and page tables are to be had (I-PD-7, R35)")
{
	vaddr_t va = FAR;

	begin(128, 1);
	aged(0, 1, 'a');
	tm_put(tm_proc, "aa");
	vp = tu_file(PAGE_SIZE);
	(void)tu_resident(&vp->v_uobj, 0);
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	SCRIPT("k until test(short); a until blocked; b until done; k until done; a pgdaemon until done",
	    { "a", tm_proc, store_page_one, NULL }, { "b", tm_proc, load_far, NULL },
	    { "k", NULL, exhaust_for_a_while, NULL }, DAEMON);
	CHECK_EQ(tm_load(1), 7);
	CHECK_EQ(sys_munmap(tm_proc, va, PAGE_SIZE), 0);
	vrele(vp);
	end();
}
MISTAKE(T49_page_table_from_the_reserve_while_others_wait, ptp_no_reserve, "R35")

/* --- T-50 --- */

static void
advise(void *arg)
{
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(2), UMADV_DONTNEED), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(2), PAGE_SIZE, UMADV_FREE), 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(3), PAGE_SIZE), 0);
}

/* The daemon's cluster is on its way; a has no use for the pages in it any more. */
SCENARIO(T50_advice_on_pages_that_are_being_paged_out,
    "a page on its way out is queued by nobody, whatever is advised; what is unmapped is freed once (I-PG-6, B-18)")
{
	begin(128, 1);
	aged(0, 64, 'a');
	SCRIPT("k until done; pgdaemon until io; a until done",
	    { "a", tm_proc, advise, NULL }, DAEMON, SQUEEZE);
	tu_release();
	settle();
	CHECK_EQ(tu_count(UVMC_pgswapout), 64);
	CHECK(tm_load(0) == 5 && tm_load(1) == 5 && tm_load(4) == 5);
	end();
}
MISTAKE(T50_advice_on_pages_that_are_being_paged_out, clean_requeues_busy, "uvm_pagedeactivate")

/* --- T-51 --- */

static void
read_on(void *arg)
{
	CHECK_EQ(tm_load(4), tu_word(ptoa(4)));
}

static void
wire_behind(void *arg)
{
	CHECK_EQ(sys_mlock(child, TM_VA(3), PAGE_SIZE), 0);
}

/* a is about to lock the object, whose pages behind it are to go; b wires one of them by another map. */
SCENARIO(T51_page_behind_a_sequential_reader_is_wired,
    "who lets go of the pages behind him leaves alone what others have wired since (R8, I-PG-2)")
{
	vaddr_t va = TM_VA(0);
	struct vm_page *pg;

	begin(128, 1);
	vp = tu_file(ptoa(8));
	for (int i = 0; i < 8; i++)
		(void)tu_resident(&vp->v_uobj, (voff_t)ptoa(i));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa(8), UMADV_SEQUENTIAL), 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	script_lock("object", &vp->v_uobj.vmobjlock);
	SCRIPT("a until lock(object); b until done; a until done",
	    { "a", tm_proc, read_on, NULL }, { "b", child, wire_behind, NULL });
	pg = tu_lookup(&vp->v_uobj, ptoa(3));
	CHECK(pg->wire_count == 1 && (pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0);
	CHECK((tu_lookup(&vp->v_uobj, ptoa(2))->pqflags & PQ_INACTIVE) != 0);
	proc_exit(child);
	vrele(vp);
	end();
}

KTEST_MAIN()
