/* Scenarios of wiring, step by step: mlock, I/O by frame, fork, and who comes in between. */
#include <errno.h>

#include "scenario.h"
#include "tswap.h"

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *dev;		/* that raw I/O is done with */
static struct proc *child;

static void
begin(void)
{
	script_begin();
	ts_boot(5, 2048, 64, 1);
	dev = tu_file(ptoa(16));
}

static void
end(void)
{
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	vrele(dev);
	scenario_end();
}

/* A transfer of the device, from its start. */
struct transfer {
	vaddr_t	va;
	vsize_t	len;
	bool	read;
};

static void
transfer(void *arg)
{
	const struct transfer *tr = arg;
	vsize_t n = tr->len;

	CHECK_EQ(sys_physio(tm_proc, dev, 0, tr->va, &n, tr->read), 0);
	CHECK_EQ(n, tr->len);
}

static bool
wired(int page)
{
	return !pmap_pageable(tm_map(tm_proc)->pmap, TM_VA(page));
}

/* --- T-13 --- */

static const struct transfer read_first = { TM_VA(0), PAGE_SIZE, true };

static void
unlock_first(void *arg)
{
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

static void
reclaim_in_vain(void *arg)
{
	CHECK(wired(0));
	CHECK(!ts_pageout(tm_proc, 0));
}

/* a has wired its buffer, which was locked; b unlocks it, and c wants its memory. */
SCENARIO(T13_buffer_is_unlocked_while_the_device_has_it,
    "munlock leaves page and mapping to the I/O under way, whatever the page daemon wants (R31, I-PG-16)")
{
	begin();
	tm_put(tm_proc, "a");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	SCRIPT("a until io; b until done; c until done; a until done",
	    { "a", NULL, transfer, (void *)&read_first }, { "b", NULL, unlock_first, NULL },
	    { "c", NULL, reclaim_in_vain, NULL });
	CHECK(!wired(0));
	CHECK_EQ(tm_load(0), tu_word(0));
	end();
}
MISTAKE(T13_buffer_is_unlocked_while_the_device_has_it, vslock_overlap, "check failed: wired\\(0\\)|I-MAP-13")

static void
lock_first(void *arg)
{
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

/* The same with the ends the other way round: b locks what a's device has. */
SCENARIO(T13_buffer_is_locked_while_the_device_has_it,
    "the end of an I/O leaves page and mapping to mlock (R31, I-MAP-13)")
{
	begin();
	tm_put(tm_proc, "a");
	SCRIPT("a until io; b until done; a until done; c until done",
	    { "a", NULL, transfer, (void *)&read_first }, { "b", NULL, lock_first, NULL },
	    { "c", NULL, reclaim_in_vain, NULL });
	CHECK_EQ(tm_load(0), tu_word(0));
	unlock_first(NULL);
	end();
}
MISTAKE(T13_buffer_is_locked_while_the_device_has_it, unwire_ignores_mlock, "check failed: wired\\(0\\)|I-MAP-13|R10")

/* --- T-16, with a sharer --- */

static struct proc *sharer;

static void
fork_main(void *arg)
{
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
}

static void
sharer_wires(void *arg)
{
	CHECK_EQ(uvm_vslock(sharer->p_vmspace, TM_VA(0), PAGE_SIZE, RW), 0);
}

/* a has looked whether anything is wired, and whether the amap is shared, and makes the child's entry. */
SCENARIO(T16_sharer_begins_an_IO_below_a_fork,
    "what a sharer wires while another forks is copied for the child at once (R10, R13)")
{
	begin();
	tm_put(tm_proc, "s");
	CHECK_EQ(proc_fork(tm_proc, "sharer", &sharer), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), PAGE_SIZE, MAP_INHERIT_COPY), 0);
	tm_store(0, 1);
	script_lock("amap", amap_mutex(tm_entry(tm_proc, 0)->aref.ar_amap));
	SCRIPT("a until lock(amap) x3; b until done; a until done",
	    { "a", NULL, fork_main, NULL }, { "b", NULL, sharer_wires, NULL });
	CHECK_EQ(tm_load_in(child, 0), 1);
	CHECK(tm_page(child, 0) != tm_page(tm_proc, 0));
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(tm_wire_count(child, 0), 0);
	uvm_vsunlock(sharer->p_vmspace, TM_VA(0), PAGE_SIZE);
	proc_exit(child);
	proc_exit(sharer);
	end();
}

/* --- T-14 --- */

static void
shared_page_is_wired(void *arg)
{
	CHECK(wired(1));
	CHECK_EQ(tm_wire_count(tm_proc, 1), 1);
}

/* Both have the page in the middle; a's ends first. */
SCENARIO(T14_overlapping_transfers_end_in_any_order,
    "a mapping that two I/O have wired stays until the last of them ends (B-16, I-PG-16)")
{
	struct transfer low = { TM_VA(0) + 512, ptoa(2) - 512, true };
	struct transfer high = { TM_VA(1) + 1024, ptoa(2) - 1024, true };

	begin();
	tm_put(tm_proc, "aaa");
	SCRIPT("a until io; b until io; a until done; c until done; b until done",
	    { "a", NULL, transfer, &low }, { "b", NULL, transfer, &high },
	    { "c", NULL, shared_page_is_wired, NULL });
	CHECK(!wired(1));
	SCRIPT("a until io; b until io; b until done; c until done; a until done",
	    { "a", NULL, transfer, &low }, { "b", NULL, transfer, &high },
	    { "c", NULL, shared_page_is_wired, NULL });
	CHECK(!wired(1));
	end();
}
MISTAKE(T14_overlapping_transfers_end_in_any_order, vslock_overlap, "check failed: wired\\(1\\)|I-MAP-13")

/* --- T-15 --- */

static void
protect_and_store(void *arg)
{
	struct vm_page *pg = tm_page(tm_proc, 0);

	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, RW), 0);
	tm_store(0, 77);
	CHECK(tm_page(tm_proc, 0) == pg);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
}

/* a sends a private page of a file, read-only; b makes it writable, and stores. */
SCENARIO(T15_read_only_buffer_becomes_writable,
    "what an I/O has wired is private already, so the first store to it replaces nothing (R13, I-PG-16)")
{
	struct transfer out = { TM_VA(0), PAGE_SIZE, false };
	vaddr_t va = TM_VA(0);
	struct vnode *vp;

	begin();
	vp = tu_file(ptoa(4));
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, VM_PROT_READ, UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ, 0), 0);
	SCRIPT("a until io x2; b until done; a until done",
	    { "a", NULL, transfer, &out }, { "b", tm_proc, protect_and_store, NULL });
	CHECK_EQ(tu_host_word(dev, 0), 77);	/* it went out later, from the same frame */
	vrele(vp);
	end();
}
MISTAKE(T15_read_only_buffer_becomes_writable, wire_without_copy, "R13|R10|I-PG-16|check failed: tm_page")

/* --- T-16 --- */

static void
fork_and_store(void *arg)
{
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(user_store(TM_VA(0) + PAGE_SIZE - 8, 6), 0);
}

/* The device is about to store to a's buffer; b forks, and stores behind what the device has. */
SCENARIO(T16_fork_while_a_read_is_in_flight,
    "what a device reads into is the parent's after a fork, and the child has what was there before (R13, B-23)")
{
	struct transfer in = { TM_VA(0), 512, true };
	uint64_t w = 0;

	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	SCRIPT("a until io; b until done; a until done",
	    { "a", NULL, transfer, &in }, { "b", tm_proc, fork_and_store, NULL });
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK_EQ(user_load(TM_VA(0) + PAGE_SIZE - 8, &w), 0);
	CHECK_EQ(w, 6);
	CHECK_EQ(tm_load_in(child, 0), 5);
	proc_exit(child);
	end();
}
MISTAKE(T16_fork_while_a_read_is_in_flight, fork_cows_wired, "I-MAP-13|R10|R13|I-PG-16|check failed: tm_load|unwire_page")

/* --- T-18 --- */

static void
store_shared(void *arg)
{
	tm_store(0, 9);
}

/* Both map a file's page by one amap.  a, who may only read, wires it, and has not mapped it yet. */
SCENARIO(T18_sharer_stores_while_the_other_wires,
    "a sharer's first store finds the page that mlock has made private, and revokes nothing (R13, I-PMAP-4)")
{
	vaddr_t va = TM_VA(0);
	struct vm_page *pg;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_PRIVATE | UMAP_FIXED, dev, UF_READ, 0), 0);
	CHECK_EQ(sys_minherit(tm_proc, va, PAGE_SIZE, MAP_INHERIT_SHARE), 0);
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK_EQ(proc_fork(tm_proc, "sharer", &child), 0);
	CHECK_EQ(sys_mprotect(tm_proc, va, PAGE_SIZE, VM_PROT_READ), 0);
	SCRIPT("a until pte; b until blocked; a until done; b until done",
	    { "a", NULL, lock_first, NULL }, { "b", child, store_shared, NULL });
	pg = tm_page(tm_proc, 0);
	CHECK(pg == tm_page(child, 0) && pg->uanon != NULL && wired(0));
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(tm_load(0), 9);
	unlock_first(NULL);
	proc_exit(child);
	end();
}

/* --- T-19 --- */

static void
lock_both(void *arg)
{
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(tm_load(0), 5);
}

static void
free_first(void *arg)
{
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), PAGE_SIZE, UMADV_FREE), *(int *)arg);
}

static void
invalidate_second(void *arg)
{
	CHECK_EQ(sys_msync(tm_proc, TM_VA(1), PAGE_SIZE, UMS_INVALIDATE | UMS_SYNC), EBUSY);
}

/* a has wired the first page, and reads the second; b frees the one, c invalidates the other. */
SCENARIO(T19_advice_and_msync_below_mlock,
    "a page that is being wired is neither freed by advice nor invalidated (I-PG-7, I-SYS-5)")
{
	vaddr_t va = TM_VA(1);
	int busy = EBUSY;

	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, dev, UF_READ | UF_WRITE, 0), 0);
	SCRIPT("a until io; b until done; c until done; a until done",
	    { "a", tm_proc, lock_both, NULL }, { "b", NULL, free_first, &busy },
	    { "c", NULL, invalidate_second, NULL });
	CHECK_EQ(tm_load(0), 5);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	end();
}

/* --- T-38 --- */

#define	LOCKED	12

static void
fork_locked(void *arg)
{
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
}

static void
exit_sibling(void *arg)
{
	proc_exit(arg);
}

/* a has to copy what is wired, and has found no memory for it; a relation of its exits. */
SCENARIO(T38_sibling_exits_while_fork_waits_for_memory,
    "a fork that runs out of memory among wired pages goes on from the start when there is some (R26)")
{
	struct proc *sibling;

	begin();
	CHECK_EQ(tm_put_at(tm_proc, 0, LOCKED, 'a'), 0);
	for (int i = 0; i < LOCKED; i++)
		tm_store(i, 100 + (uint64_t)i);
	CHECK_EQ(proc_fork(tm_proc, "sibling", &sibling), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(LOCKED)), 0);
	fork_locked(NULL);			/* pools have room for it now */
	proc_exit(child);
	tu_take(tu_free() - uvm.reserve_kernel - LOCKED / 2, 0);
	SCRIPT("a until wait; b until done; a until done",
	    { "a", NULL, fork_locked, NULL }, { "b", NULL, exit_sibling, sibling });
	tu_release();
	for (int i = 0; i < LOCKED; i++) {
		CHECK_EQ(tm_load_in(child, i), 100 + (uint64_t)i);
		CHECK(tm_page(child, i) != tm_page(tm_proc, i));
	}
	proc_exit(child);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(LOCKED)), 0);
	end();
}
MISTAKE(T38_sibling_exits_while_fork_waits_for_memory, cow_now_unlocked_anon, "assert_enter|mutex_owned|locked")
MISTAKE(T38_sibling_exits_while_fork_waits_for_memory, cow_now_error_locks, "locking against")

KTEST_MAIN()
