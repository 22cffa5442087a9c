/*
 * Map entry passing: reserve, replace, extract (uvm-spec 1.14).
 *
 * A twin shares with its original, a move takes everything along, and a call that fails
 * has changed nothing at either side.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>
#include <sys/pool.h>

#define	NPAGES	8192
#define	FAR	32		/* page where things are passed to */
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct proc *other;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	CHECK_EQ(proc_create("other", &other), 0);
}

static void
end(void)
{
	tm_check(other);
	proc_exit(other);
	tm_shutdown();
}

/* => pass [page, page+n) of one process to page FAR + page of another */
static int
extract(struct proc *from, int page, int n, struct proc *to, int flags)
{
	vaddr_t va;
	int error;

	if (!uvm_map_reserve(tm_map(to), ptoa((vsize_t)n), TM_VA(FAR + page), 0, &va, UVM_FLAG_FIXED))
		return ENOMEM;
	error = uvm_map_extract(tm_map(from), TM_VA(page), ptoa((vsize_t)n), tm_map(to), &va,
	    flags | UVM_EXTRACT_RESERVED);
	CHECK_EQ(va, TM_VA(FAR + page));
	if (error != 0)
		uvm_unmap(tm_map(to), va, va + ptoa((vsize_t)n));
	tm_check(from);
	tm_check(to);
	return error;
}

/* --- memory that runs out --- */

static int items_to_go = -1;		/* pool items to be had without waiting; -1: any */
static bool hopeless;

void	*__real_pool_cache_get(pool_cache_t, int);
void	*__wrap_pool_cache_get(pool_cache_t, int);
bool	__real_uvm_reclaimable(void);
bool	__wrap_uvm_reclaimable(void);

void *
__wrap_pool_cache_get(pool_cache_t pc, int flags)
{
	if (items_to_go >= 0 && (flags & PR_WAITOK) == 0 && items_to_go-- == 0) {
		items_to_go = 0;
		return NULL;
	}
	return __real_pool_cache_get(pc, flags);
}

bool
__wrap_uvm_reclaimable(void)
{
	return !hopeless && __real_uvm_reclaimable();
}

/* --- reserve and replace --- */

KTEST(blank_entry_gives_no_access, "reserved addresses can be neither used nor given rights, and can be unmapped")
{
	vaddr_t va;

	begin(1);
	CHECK(uvm_map_reserve(tm_map(tm_proc), ptoa(4), TM_VA(2), 0, &va, UVM_FLAG_FIXED));
	TM_SHAPE(tm_proc, "..aaaa..");
	CHECK_EQ(tm_load_error(3), EACCES);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(3), PAGE_SIZE, RW), EACCES);
	CHECK(!uvm_map_reserve(tm_map(tm_proc), ptoa(4), TM_VA(4), 0, &va, UVM_FLAG_FIXED));
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(3), PAGE_SIZE), 0);
	TM_SHAPE(tm_proc, "..a.bb..");
	end();
}

KTEST(replace_wants_one_blank_entry, "replace takes just one whole blank entry, and else changes nothing")
{
	struct vm_map *map;
	vaddr_t va;

	begin(1);
	map = tm_map(tm_proc);
	tm_put(tm_proc, "aa");
	CHECK(uvm_map_reserve(map, ptoa(4), TM_VA(2), 0, &va, UVM_FLAG_FIXED));
	vm_map_lock(map);
	CHECK(!uvm_map_replace(map, TM_VA(0), TM_VA(2), NULL, 0));	/* not blank */
	CHECK(!uvm_map_replace(map, TM_VA(2), TM_VA(5), NULL, 0));	/* not all of it */
	CHECK(!uvm_map_replace(map, TM_VA(0), TM_VA(6), NULL, 0));
	CHECK(!uvm_map_replace(map, TM_VA(7), TM_VA(9), NULL, 0));	/* nothing there */
	vm_map_unlock(map);
	TM_SHAPE(tm_proc, "aabbbb..");
	vm_map_lock(map);
	CHECK(uvm_map_replace(map, TM_VA(2), TM_VA(6), NULL, 0));
	vm_map_unlock(map);
	TM_SHAPE(tm_proc, "aa......");
	end();
}

/* --- sharing --- */

KTEST(twin_shares_memory, "after extract each side sees what the other stores, whatever kind of mapping it is")
{
	/* a..s..o..q: private, shared, object, object under copy-on-write */
	static const char lane[] = "aassooqq";

	begin(1);
	tm_put(tm_proc, lane);
	for (int i = 0; i < 8; i++) {
		if (i % 2 == 0)
			tm_store(i, 100 + (uint64_t)i);
		else
			(void)tm_load(i);
	}
	CHECK_EQ(extract(tm_proc, 0, 8, other, 0), 0);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(tm_load_in(other, FAR + i), i % 2 == 0 ? 100 + (uint64_t)i : 0);
		tm_store_in(other, FAR + i, 200 + (uint64_t)i);
		CHECK_EQ(tm_load(i), 200 + (uint64_t)i);
		tm_store(i, 300 + (uint64_t)i);
		CHECK_EQ(tm_load_in(other, FAR + i), 300 + (uint64_t)i);
	}
	TM_SHAPE(tm_proc, "aabbccdd");
	end();
}

KTEST(I_AMAP_9_object_page_mapped_before_sharing, "a page of the object that was mapped before the amap was shared gives way to the other side's anon")
{
	begin(1);
	tm_put(tm_proc, "qq");
	CHECK_EQ(tm_load(0), 0);		/* maps the object's page */
	CHECK_EQ(extract(tm_proc, 0, 2, other, 0), 0);
	tm_store_in(other, FAR, 7);
	CHECK_EQ(tm_load(0), 7);
	end();
}

KTEST(twin_of_a_forked_entry, "what is still copy-on-write with a child is copied first: the child sees nothing of it")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aaaa");
	for (int i = 0; i < 4; i++)
		tm_store(i, 10 + (uint64_t)i);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(extract(tm_proc, 1, 2, other, 0), 0);
	tm_store_in(other, FAR + 1, 77);
	tm_store(2, 78);
	CHECK_EQ(tm_load(1), 77);
	CHECK_EQ(tm_load_in(other, FAR + 2), 78);
	CHECK_EQ(tm_load_in(child, 1), 11);
	CHECK_EQ(tm_load_in(child, 2), 12);
	proc_exit(child);
	end();
}

KTEST(same_map_is_one_lock, "source and destination may be one map")
{
	begin(1);
	tm_put(tm_proc, "aaaa");
	tm_store(1, 5);
	CHECK_EQ(extract(tm_proc, 0, 4, tm_proc, 0), 0);
	CHECK_EQ(tm_load(FAR + 1), 5);
	tm_store(FAR + 1, 6);
	CHECK_EQ(tm_load(1), 6);
	end();
}

KTEST(fixprot_gives_all_rights, "FIXPROT maps with all rights that the source may ever have")
{
	begin(1);
	tm_put(tm_proc, "rr");
	CHECK_EQ(extract(tm_proc, 0, 1, other, 0), 0);
	CHECK_EQ(extract(tm_proc, 1, 1, other, UVM_EXTRACT_FIXPROT), 0);
	proc_attach(other);
	CHECK_EQ(tm_store_error(FAR), EACCES);
	CHECK_EQ(tm_store_error(FAR + 1), 0);
	proc_attach(tm_proc);
	CHECK_EQ(tm_load(1), 1);
	CHECK_EQ(tm_store_error(1), EACCES);
	end();
}

KTEST(holes, "a hole stays a hole, or is EINVAL with CONTIG, at either end or in the middle")
{
	begin(1);
	tm_put(tm_proc, "..aa.ss.");
	CHECK_EQ(extract(tm_proc, 2, 4, other, UVM_EXTRACT_CONTIG), EINVAL);
	CHECK_EQ(extract(tm_proc, 1, 2, other, UVM_EXTRACT_CONTIG), EINVAL);
	CHECK_EQ(extract(tm_proc, 6, 2, other, UVM_EXTRACT_CONTIG), EINVAL);
	CHECK_EQ(tm_map(other)->nentries, 0);
	CHECK_EQ(extract(tm_proc, 2, 2, other, UVM_EXTRACT_CONTIG), 0);
	CHECK_EQ(tm_map(other)->nentries, 1);
	uvm_unmap(tm_map(other), TM_VA(FAR), TM_VA(FAR + 8));
	CHECK_EQ(extract(tm_proc, 0, 8, other, 0), 0);
	CHECK_EQ(tm_map(other)->nentries, 2);
	proc_attach(other);
	CHECK_EQ(tm_load_error(FAR + 4), EFAULT);
	CHECK_EQ(tm_load_error(FAR + 5), 0);
	proc_attach(tm_proc);
	TM_SHAPE(tm_proc, "..aa.bb.");
	end();
}

/* --- moving --- */

KTEST(move_takes_everything_along, "REMOVE leaves a hole, and the other side has memory, object and pending copy")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aaaass.oo");
	for (int i = 0; i < 6; i++)
		tm_store(i, 10 + (uint64_t)i);
	tm_store(7, 17);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(tm_load(2), 12);
	CHECK_EQ(extract(tm_proc, 1, 7, other, UVM_EXTRACT_REMOVE), 0);
	CHECK_EQ(tm_load_error(2), EFAULT);		/* I-SYS-3: gone from the TLB too */
	TM_SHAPE(tm_proc, "a.......b");
	for (int i = 1; i < 6; i++)
		CHECK_EQ(tm_load_in(other, FAR + i), 10 + (uint64_t)i);
	CHECK_EQ(tm_load_in(other, FAR + 7), 17);
	tm_store_in(other, FAR + 2, 99);		/* private: the child's stays */
	CHECK_EQ(tm_load_in(child, 2), 12);
	tm_store_in(other, FAR + 4, 98);		/* shared: the child sees it */
	CHECK_EQ(tm_load_in(child, 4), 98);
	CHECK_EQ(tm_load_error(2), EFAULT);
	CHECK_EQ(tm_load(0), 10);
	proc_exit(child);
	end();
}

KTEST(move_loses_wiring, "what was wired is not, once it is moved, and no page stays wired")
{
	begin(1);
	tm_put(tm_proc, "aaaa");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(4)), 0);
	CHECK_EQ(extract(tm_proc, 1, 2, other, UVM_EXTRACT_REMOVE), 0);
	tm_store_in(other, FAR + 1, 3);
	CHECK_EQ(tm_wire_count(other, FAR + 1), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(tm_wire_count(tm_proc, 3), 1);
	end();
}

/* --- failing --- */

KTEST(replaced_reservation_is_EIO, "if somebody has taken the reservation, EIO, and both sides are as they were")
{
	vaddr_t va;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 4);
	CHECK(uvm_map_reserve(tm_map(other), ptoa(2), TM_VA(FAR), 0, &va, UVM_FLAG_FIXED));
	CHECK_EQ(tm_put_at(other, FAR + 1, 1, 'a'), 0);
	tm_store_in(other, FAR + 1, 5);
	for (int flags = 0; flags <= UVM_EXTRACT_REMOVE; flags += UVM_EXTRACT_REMOVE) {
		CHECK_EQ(uvm_map_extract(tm_map(tm_proc), TM_VA(0), ptoa(2), tm_map(other), &va,
		    flags | UVM_EXTRACT_RESERVED), EIO);
		CHECK_EQ(tm_load(0), 4);
		CHECK_EQ(tm_load_in(other, FAR + 1), 5);
	}
	end();
}

KTEST(failure_changes_nothing, "memory short at each allocation in turn: no twin stays, no reference, no reservation")
{
	int n, entries;

	begin(1);
	tm_put(tm_proc, "aasoor.q");
	for (int i = 0; i < 6; i++)
		(void)tm_load(i);
	hopeless = true;
	for (n = 0; ; n++) {
		vaddr_t va = TM_VA(FAR);

		entries = tm_map(tm_proc)->nentries;
		items_to_go = n;
		if (uvm_map_extract(tm_map(tm_proc), TM_VA(0), ptoa(8), tm_map(other), &va, 0) == 0)
			break;
		items_to_go = -1;
		CHECK_EQ(tm_map(other)->nentries, 0);
		CHECK_EQ(tm_map(tm_proc)->nentries, entries);
		tm_check(tm_proc);
		tm_check(other);
		/* shared with nobody: a fork may go on sharing it copy-on-write */
		for (struct vm_map_entry *e = tm_map(tm_proc)->header.next;
		    e != &tm_map(tm_proc)->header; e = e->next)
			if (e->aref.ar_amap != NULL)
				CHECK_EQ(amap_refs(e->aref.ar_amap), 1);
	}
	items_to_go = -1;
	CHECK(n >= entries);
	end();
}

/* --- the debugger's window --- */

KTEST(qref_counts_the_whole_amap, "a QREF window needs no counts by slot, and outlives what the source does meanwhile")
{
	vaddr_t va;
	uint64_t w;

	begin(1);
	va = vm_map_min(exec_map);
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 20 + (uint64_t)i);
	CHECK_EQ(uvm_map_extract(tm_map(tm_proc), TM_VA(2), ptoa(4), exec_map, &va,
	    UVM_EXTRACT_QREF | UVM_EXTRACT_CONTIG | UVM_EXTRACT_FIXPROT), 0);
	CHECK_EQ(kern_load(va, &w), 0);
	CHECK_EQ(w, 22);
	/* the source is clipped, and some of it goes, all while the window is there */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(3), ptoa(2)), 0);
	CHECK_EQ(kern_load(va + PAGE_SIZE, &w), 0);
	CHECK_EQ(w, 23);
	CHECK_EQ(kern_store(va + ptoa(3), 55), 0);
	CHECK_EQ(tm_load(5), 55);
	uvm_unmap(exec_map, va, va + ptoa(4));
	for (int i = 0; i < 8; i++)
		if (i != 3 && i != 4)
			CHECK_EQ(tm_load(i), i == 5 ? 55 : 20 + (uint64_t)i);
	/* 3 and 4 went with the window: nobody else had them */
	CHECK_EQ(uvm_anon_count(), 6);
	/* nor is anybody left who counts for the rest: slots go with their pages */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(uvm_anon_count(), 4);
	end();
}

/* --- T-8 --- */

#define	T8_ROUNDS	400

static void
T8_main(struct tm_thread *tt)
{
	struct proc *from = tt->tt_number == 0 ? tm_proc : other;
	struct proc *to = tt->tt_number == 0 ? other : tm_proc;
	int home = tt->tt_number * 8;		/* of the range that is ours: there and back */

	for (unsigned i = 0; i < ktest_scale(T8_ROUNDS); i++) {
		vaddr_t va = TM_VA(FAR + home), back = TM_VA(home);
		bool move = i % 3 != 0;

		CHECK_EQ(uvm_map_extract(tm_map(from), TM_VA(home), ptoa(8), tm_map(to), &va,
		    move ? UVM_EXTRACT_REMOVE : 0), 0);
		if (move)
			CHECK_EQ(uvm_map_extract(tm_map(to), va, ptoa(8), tm_map(from), &back,
			    UVM_EXTRACT_REMOVE), 0);
		else
			uvm_unmap(tm_map(to), va, va + ptoa(8));
		CHECK_EQ(back, TM_VA(home));
		(void)tm_go_on(tt);
	}
}

KTEST(T8_opposite_directions, "two LWPs extract A to B and B to A at once: no deadlock, no reference lost or doubled (I-MAP-7)")
{
	struct tm_thread tt[2];

	begin(2);
	tm_put(tm_proc, "aaaassoo");
	proc_attach(other);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_put_at(other, 8 + i, 1, "aaaassoo"[i]), 0);
	for (int i = 8; i < 16; i++)
		tm_store(i, 1000 + (uint64_t)i);
	proc_attach(tm_proc);
	for (int i = 0; i < 8; i++)
		tm_store(i, 1000 + (uint64_t)i);
	tm_start(NULL, tt, 2, T8_main, NULL);
	tm_wait(tt, 2);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(tm_load(i), 1000 + (uint64_t)i);
		CHECK_EQ(tm_load_in(other, 8 + i), 1000 + (uint64_t)i + 8);
	}
	CHECK(tu_count(UVMC_extract_moves) > 0);
	end();
}

KTEST_MAIN()
