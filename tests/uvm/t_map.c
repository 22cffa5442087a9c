/*
 * Maps: shapes.  Merging, clipping, unmapping, finding room, and the checker.
 * Lanes as in tmap.h: what is put, and the entries that it must become.
 */
#include "tmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define	NPAGES	4096

static void
begin(void)
{
	tm_boot(1, NPAGES);
}

static int
obj_refs(void)
{
	int n;

	mutex_enter(&tm_obj->vmobjlock);
	n = __atomic_load_n(&tm_obj->uo_refs, __ATOMIC_RELAXED);
	mutex_exit(&tm_obj->vmobjlock);
	return n;
}

/* --- merging --- */

/* put  aaa
 *         a	joins the one below */
KTEST(new_mapping_joins_the_one_below, "a mapping alike and adjacent grows the entry below it")
{
	begin();
	tm_put(tm_proc, "aaa");
	tm_put(tm_proc, "...a");
	TM_SHAPE(tm_proc, "aaaa.");
	CHECK(tu_count(UVMC_mapmerges) > 0);
	tm_shutdown();
}

KTEST(new_mapping_joins_the_one_above, "a mapping alike and adjacent grows the entry above it")
{
	begin();
	tm_put(tm_proc, "..aaa");
	tm_put(tm_proc, ".a");
	TM_SHAPE(tm_proc, ".aaaa");
	tm_shutdown();
}

/* put  aa.aa
 *        a	three become one */
KTEST(new_mapping_joins_both_neighbours, "a mapping that fills the hole between two makes one of three")
{
	begin();
	tm_put(tm_proc, "aa.aa");
	TM_SHAPE(tm_proc, "aa.bb");
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "aaaaa");
	tm_shutdown();
}

/* Slots grow with the entry: backward, forward, and what was stored stays where it was. */
KTEST(merging_grows_the_amap, "entries with an amap of their own merge, and keep what is in it")
{
	begin();
	tm_put(tm_proc, "...aa");
	tm_store(3, 33);
	tm_store(4, 44);
	tm_put(tm_proc, ".....a");
	TM_SHAPE(tm_proc, "...aaa");
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "..aaaa");
	tm_store(5, 55);
	tm_store(2, 22);
	CHECK_EQ(tm_load(2), 22);
	CHECK_EQ(tm_load(3), 33);
	CHECK_EQ(tm_load(4), 44);
	CHECK_EQ(tm_load(5), 55);
	tm_shutdown();
}

/* One of the two has an amap, the other has not been stored to: the amap grows over it. */
KTEST(amap_grows_over_a_fresh_neighbour, "filling the hole between a used and a fresh entry makes one, from either side")
{
	begin();
	tm_put(tm_proc, "aa.aa...aa.aa");
	tm_store(0, 1);
	tm_store(1, 2);
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "aaaaa...bb.cc");
	tm_store(11, 12);
	tm_store(12, 13);
	tm_put(tm_proc, "..........a");
	TM_SHAPE(tm_proc, "aaaaa...bbbbb");
	tm_store(4, 5);
	tm_store(8, 9);
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(tm_load(4), 5);
	CHECK_EQ(tm_load(8), 9);
	CHECK_EQ(tm_load(10), 0);
	CHECK_EQ(tm_load(11), 12);
	CHECK_EQ(tm_load(12), 13);
	tm_shutdown();
}

KTEST(private_object_mapping_merges_over_a_hole, "the same over an object: each page keeps its offset and its own content")
{
	begin();
	tm_put(tm_proc, "oooooo");
	for (int i = 0; i < 6; i++)
		tm_store(i, 100 + (uint64_t)i);
	tm_put(tm_proc, "qq.qqq");
	tm_store(3, 3);
	tm_put(tm_proc, "..q");
	TM_SHAPE(tm_proc, "aaaaaa");
	for (int i = 0; i < 6; i++)
		CHECK_EQ(tm_load(i), i == 3 ? 3 : 100 + i);
	tm_store(0, 1);
	CHECK_EQ(tm_load(1), 101);
	CHECK_EQ(obj_refs(), 2);
	tm_shutdown();
}

KTEST(two_amaps_stay_two_entries, "two used entries do not merge over a hole that is filled")
{
	begin();
	tm_put(tm_proc, "aa.aa");
	tm_store(0, 1);
	tm_store(4, 5);
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "aaabb");
	CHECK_EQ(tm_load(4), 5);
	tm_shutdown();
}

KTEST(attributes_that_come_back_rejoin, "an untouched entry that was split by mprotect is one again when the protection is")
{
	begin();
	tm_put(tm_proc, "oooooo");
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(2), TM_VA(4), VM_PROT_READ, false), 0);
	TM_SHAPE(tm_proc, "aabbcc");
	CHECK_EQ(uvm_map_inherit(tm_map(tm_proc), TM_VA(1), TM_VA(3), MAP_INHERIT_NONE), 0);
	TM_SHAPE(tm_proc, "abcdee");
	CHECK_EQ(obj_refs(), 6);
	CHECK_EQ(uvm_map_inherit(tm_map(tm_proc), TM_VA(0), TM_VA(6), MAP_INHERIT_NONE), 0);
	TM_SHAPE(tm_proc, "aabbcc");
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(2), TM_VA(4),
	    VM_PROT_READ | VM_PROT_WRITE, false), 0);
	TM_SHAPE(tm_proc, "aaaaaa");
	CHECK_EQ(obj_refs(), 2);
	CHECK_EQ(uvm_map_advice(tm_map(tm_proc), TM_VA(2), TM_VA(4), UVM_ADV_SEQUENTIAL), 0);
	TM_SHAPE(tm_proc, "aabbcc");
	CHECK_EQ(uvm_map_advice(tm_map(tm_proc), TM_VA(0), TM_VA(6), UVM_ADV_SEQUENTIAL), 0);
	TM_SHAPE(tm_proc, "aaaaaa");
	tm_shutdown();
}

KTEST(shared_amap_is_not_extended, "an amap that somebody else refers to is not grown by a merge")
{
	struct proc *child;

	begin();
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "aab");
	proc_exit(child);
	tm_shutdown();
}

KTEST(unlike_neighbours_stay_apart, "another protection, object, offset, inheritance or NOMERGE keeps entries apart")
{
	begin();
	tm_put(tm_proc, "arasaoapan.nr");
	TM_SHAPE(tm_proc, "abcdefghij.kl");
	tm_shutdown();
}

static void
put_like(int page, vm_prot_t max, int advice)
{
	vaddr_t va = TM_VA(page);

	CHECK_EQ(uvm_map(tm_map(tm_proc), &va, PAGE_SIZE, NULL, 0, 0, UVM_MAPFLAG(VM_PROT_READ, max,
	    MAP_INHERIT_COPY, advice, UVM_FLAG_FIXED | UVM_FLAG_COPYONW)), 0);
}

KTEST(neighbours_of_other_birth_stay_apart, "another max_protection or advice keeps entries apart, and each has what was asked for")
{
	begin();
	put_like(0, VM_PROT_ALL, UVM_ADV_NORMAL);
	put_like(1, VM_PROT_READ, UVM_ADV_NORMAL);
	put_like(2, VM_PROT_READ, UVM_ADV_RANDOM);
	put_like(3, VM_PROT_READ, UVM_ADV_RANDOM);
	TM_SHAPE(tm_proc, "abcc");
	CHECK_EQ(tm_entry(tm_proc, 0)->advice, UVM_ADV_NORMAL);
	CHECK_EQ(tm_entry(tm_proc, 3)->advice, UVM_ADV_RANDOM);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE), EACCES);
	tm_shutdown();
}

/* Offsets run on into a neighbour, or they do not. */
KTEST(object_mappings_merge_by_offset, "mappings of an object merge when their offsets run on, and hold one reference")
{
	begin();
	tm_put(tm_proc, "oo.oo");
	CHECK_EQ(obj_refs(), 3);
	tm_put(tm_proc, "..p");
	TM_SHAPE(tm_proc, "aabcc");
	CHECK_EQ(obj_refs(), 4);
	tm_put(tm_proc, "..o");
	TM_SHAPE(tm_proc, "aaaaa");
	CHECK_EQ(obj_refs(), 2);
	uvm_unmap(tm_map(tm_proc), TM_VA(1), TM_VA(2));
	TM_SHAPE(tm_proc, "a.bbb");
	CHECK_EQ(obj_refs(), 3);
	uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(5));
	CHECK_EQ(obj_refs(), 1);
	tm_shutdown();
}

KTEST(object_seen_through_merged_entry_is_the_same, "each page of a merged object mapping shows its own offset")
{
	begin();
	tm_put(tm_proc, "..oo");
	tm_store(2, 2);
	tm_store(3, 3);
	tm_put(tm_proc, ".o");
	tm_put(tm_proc, "....o");
	tm_store(1, 1);
	tm_store(4, 4);
	TM_SHAPE(tm_proc, ".aaaa");
	uvm_unmap(tm_map(tm_proc), TM_BASE, TM_VA(8));
	tm_put(tm_proc, "oooooooo");
	for (int i = 1; i < 5; i++)
		CHECK_EQ(tm_load(i), i);
	CHECK_EQ(tm_load(5), 0);
	tm_shutdown();
}

KTEST(wired_entry_does_not_merge, "a wired entry neither grows nor is grown")
{
	begin();
	tm_put(tm_proc, "aa");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	tm_put(tm_proc, "..a");
	TM_SHAPE(tm_proc, "aab");
	tm_shutdown();
}

/* --- clipping --- */

/*	aaaaaa
 *	  rr	protect: clipped at both ends, contents and references follow */
KTEST(protect_clips_and_contents_stay, "changing the middle of an entry splits it in three, and nothing is lost")
{
	begin();
	tm_put(tm_proc, "aaaaaa");
	for (int i = 0; i < 6; i++)
		tm_store(i, (uint64_t)i + 100);
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(2), TM_VA(4), VM_PROT_READ, false), 0);
	TM_SHAPE(tm_proc, "aabbcc");
	for (int i = 0; i < 6; i++)
		CHECK_EQ(tm_load(i), i + 100);
	CHECK_EQ(tm_store_error(2), EACCES);
	CHECK_EQ(tm_store_error(3), EACCES);
	tm_store(1, 1);
	tm_store(4, 4);
	CHECK_EQ(tm_load(2), 102);
	tm_shutdown();
}

KTEST(clip_at_the_border_splits_nothing, "clipping where an entry begins or ends leaves it alone")
{
	struct vm_map *map;
	struct vm_map_entry *e;

	begin();
	map = tm_map(tm_proc);
	tm_put(tm_proc, "aaa.a");
	CHECK_EQ(uvm_map_lock_split(map, TM_VA(1), TM_VA(2), false), 0);
	CHECK_EQ(map->nparked, 2);
	CHECK(uvm_map_lookup_entry(map, TM_VA(1), &e));
	uvm_map_clip_start(map, e, TM_VA(0));
	uvm_map_clip_end(map, e, TM_VA(3));
	CHECK_EQ(map->nentries, 2);
	uvm_map_clip_start(map, e, TM_VA(1));
	CHECK(e->start == TM_VA(1) && e->end == TM_VA(3));
	uvm_map_clip_end(map, e, TM_VA(2));
	CHECK(e->start == TM_VA(1) && e->end == TM_VA(2));
	CHECK_EQ(map->nparked, 0);
	vm_map_unlock(map);
	TM_SHAPE(tm_proc, "abc.d");
	tm_shutdown();
}

KTEST_DEATH(split_without_an_entry_made_ready_panics, "nobody allocates with a user map locked because he has to split it",
    "no entry was made ready")
{
	struct vm_map_entry *e;

	begin();
	tm_put(tm_proc, "aaa");
	vm_map_lock(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(1), &e));
	uvm_map_clip_start(tm_map(tm_proc), e, TM_VA(1));
}

KTEST(unmap_takes_exactly_its_range, "unmapping splits at both ends; holes in the range are legal")
{
	begin();
	tm_put(tm_proc, "aaaa.oo.ss");
	for (int i = 0; i < 10; i++)
		if (i != 4 && i != 7)
			tm_store(i, (uint64_t)i + 1);
	uvm_unmap(tm_map(tm_proc), TM_VA(2), TM_VA(9));
	TM_SHAPE(tm_proc, "aa.......b");
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(tm_load(9), 10);
	for (int i = 2; i < 9; i++)
		CHECK_EQ(tm_load_error(i), EFAULT);
	uvm_unmap(tm_map(tm_proc), TM_VA(3), TM_VA(8));
	TM_SHAPE(tm_proc, "aa.......b");
	tm_shutdown();
}

KTEST(unmapped_anons_are_freed_at_once, "the anons of a range go with the range, though the amap lives on")
{
	begin();
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 1);
	CHECK_EQ(uvm_anon_count(), 8);
	uvm_unmap(tm_map(tm_proc), TM_VA(2), TM_VA(5));
	CHECK_EQ(uvm_anon_count(), 5);
	tm_put(tm_proc, "..aaa");
	for (int i = 2; i < 5; i++)
		CHECK_EQ(tm_load(i), 0);
	tm_shutdown();
}

/* --- replacing --- */

KTEST(fixed_mapping_replaces, "FIXED with UNMAP takes what was there away and is zero")
{
	begin();
	tm_put(tm_proc, "aaaaaa");
	for (int i = 0; i < 6; i++)
		tm_store(i, 7);
	tm_put(tm_proc, ".rr.oo");
	TM_SHAPE(tm_proc, "abbcdd");
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tm_load(1), 0);
	CHECK_EQ(tm_load(3), 7);
	CHECK_EQ(tm_load(4), 0);
	tm_shutdown();
}

KTEST(fixed_without_unmap_fails_and_changes_nothing, "FIXED over a mapping is ENOMEM, and the map is as before")
{
	vaddr_t va = TM_VA(1);

	begin();
	tm_put(tm_proc, "..aa");
	tm_store(2, 5);
	CHECK_EQ(uvm_map(tm_map(tm_proc), &va, ptoa(2), NULL, 0, 0, UVM_MAPFLAG(VM_PROT_READ,
	    VM_PROT_ALL, MAP_INHERIT_COPY, 0, UVM_FLAG_FIXED | UVM_FLAG_COPYONW)), ENOMEM);
	TM_SHAPE(tm_proc, "..aa");
	CHECK_EQ(tm_load(2), 5);
	tm_shutdown();
}

static int
replace(vaddr_t va, vsize_t size)
{
	return uvm_map(tm_map(tm_proc), &va, size, NULL, 0, 0, UVM_MAPFLAG(VM_PROT_READ, VM_PROT_ALL,
	    MAP_INHERIT_COPY, UVM_ADV_NORMAL, UVM_FLAG_FIXED | UVM_FLAG_UNMAP | UVM_FLAG_COPYONW));
}

KTEST(replacing_over_the_end_takes_nothing_away, "FIXED with UNMAP that reaches beyond the map, or is larger, is ENOMEM, and what is there stays")
{
	struct vm_map *map;
	vaddr_t top;

	begin();
	map = tm_map(tm_proc);
	top = vm_map_max(map) - PAGE_SIZE;
	CHECK_EQ(replace(top, PAGE_SIZE), 0);
	CHECK_EQ(replace(top, ptoa(2)), ENOMEM);
	CHECK_EQ(replace(top, vm_map_max(map) + ptoa(2)), ENOMEM);
	CHECK_EQ(map->nentries, 1);
	CHECK_EQ(map->size, PAGE_SIZE);
	tm_shutdown();
}

KTEST(uvm_map_errors, "EACCES for prot beyond max, EAGAIN for a lock that is held, ENOMEM when full; the object stays the caller's")
{
	struct vm_map *map;
	vaddr_t va = TM_BASE;

	begin();
	map = tm_map(tm_proc);
	CHECK_EQ(uvm_map(map, &va, PAGE_SIZE, tm_obj, 0, 0, UVM_MAPFLAG(VM_PROT_ALL, VM_PROT_READ,
	    MAP_INHERIT_SHARE, 0, 0)), EACCES);
	vm_map_lock_read(map);
	CHECK_EQ(uvm_map(map, &va, PAGE_SIZE, tm_obj, 0, 0, UVM_MAPFLAG(VM_PROT_READ, VM_PROT_ALL,
	    MAP_INHERIT_SHARE, 0, UVM_FLAG_TRYLOCK)), EAGAIN);
	vm_map_unlock_read(map);
	CHECK_EQ(uvm_map(map, &va, VM_MAXUSER_ADDRESS, tm_obj, 0, 0, UVM_MAPFLAG(VM_PROT_READ,
	    VM_PROT_ALL, MAP_INHERIT_SHARE, 0, 0)), ENOMEM);
	CHECK_EQ(obj_refs(), 1);
	CHECK_EQ(map->nentries, 0);
	tm_shutdown();
}

/* --- looking up and finding room --- */

KTEST(lookup_in_a_hole_yields_the_entry_before, "lookup finds the entry of an address, or the one before the hole")
{
	static const int want[] = { -1, 0, 0, -2, -2, 1, 2, -3, -3 };	/* -n: hole after n-1 entries */
	struct vm_map_entry *e, *nth[3];
	struct vm_map *map;

	begin();
	map = tm_map(tm_proc);
	tm_put(tm_proc, ".aa..ar");
	vm_map_lock_read(map);
	nth[0] = map->header.next;
	nth[1] = nth[0]->next;
	nth[2] = nth[1]->next;
	for (int round = 0; round < 4; round++)		/* with every hint */
		for (int i = 0; i < 9; i++) {
			bool hit = uvm_map_lookup_entry(map, TM_VA(i) + PAGE_SIZE / 2, &e);

			(void)uvm_map_lookup_entry(map, TM_VA(i * round % 7), &(struct vm_map_entry *){ 0 });
			CHECK_EQ(hit, want[i] >= 0);
			if (hit)
				CHECK(e == nth[want[i]]);
			else
				CHECK(e == (want[i] == -1 ? &map->header :
				    want[i] == -2 ? nth[0] : nth[2]));
		}
	vm_map_unlock_read(map);
	tm_shutdown();
}

static vaddr_t
find(struct vm_map *map, vaddr_t hint, vsize_t len, vsize_t align, unsigned flags)
{
	vaddr_t va;

	return uvm_map_findspace(map, hint, len, &va, align, flags) ? va : 0;
}

KTEST(findspace_is_first_fit_above_the_hint, "the lowest range at or above the hint that is long enough, or the lowest of all")
{
	struct vm_map *map;

	begin();
	map = tm_map(tm_proc);
	tm_put(tm_proc, "aa.ra..r...a");
	vm_map_lock(map);
	CHECK_EQ(find(map, TM_VA(0), ptoa(1), 0, 0), TM_VA(2));
	CHECK_EQ(find(map, TM_VA(0), ptoa(2), 0, 0), TM_VA(5));
	CHECK_EQ(find(map, TM_VA(0), ptoa(3), 0, 0), TM_VA(8));
	CHECK_EQ(find(map, TM_VA(0), ptoa(4), 0, 0), TM_VA(12));
	CHECK_EQ(find(map, TM_VA(3), ptoa(1), 0, 0), TM_VA(5));
	CHECK_EQ(find(map, TM_VA(6), ptoa(1), 0, 0), TM_VA(6));
	CHECK_EQ(find(map, TM_VA(6), ptoa(2), 0, 0), TM_VA(8));
	CHECK_EQ(find(map, TM_VA(9), ptoa(2), 0, 0), TM_VA(9));
	CHECK_EQ(find(map, TM_VA(9), ptoa(3), 0, 0), TM_VA(12));
	/* none above: from the bottom */
	CHECK_EQ(find(map, vm_map_max(map) - ptoa(1), ptoa(1), 0, 0), vm_map_max(map) - ptoa(1));
	CHECK_EQ(find(map, vm_map_max(map) - ptoa(1), ptoa(2), 0, 0), vm_map_min(map));
	vm_map_unlock(map);
	tm_shutdown();
}

KTEST(findspace_aligns_every_candidate, "an aligned range must fit after it was aligned")
{
	struct vm_map *map;

	begin();
	map = tm_map(tm_proc);
	tm_put(tm_proc, "a...a.....a");		/* TM_BASE is aligned to 4 pages and more */
	vm_map_lock(map);
	CHECK_EQ(find(map, TM_VA(0), ptoa(1), ptoa(2), 0), TM_VA(2));
	CHECK_EQ(find(map, TM_VA(0), ptoa(2), ptoa(2), 0), TM_VA(2));
	CHECK_EQ(find(map, TM_VA(0), ptoa(2), ptoa(4), 0), TM_VA(8));
	CHECK_EQ(find(map, TM_VA(0), ptoa(3), ptoa(4), 0), TM_VA(12));
	CHECK_EQ(find(map, TM_VA(5), ptoa(1), ptoa(8), 0), TM_VA(8));
	vm_map_unlock(map);
	tm_shutdown();
}

KTEST(findspace_fixed_is_exact, "FIXED is that address or none, at the edges too")
{
	struct vm_map *map;
	vaddr_t min, max;

	begin();
	map = tm_map(tm_proc);
	min = vm_map_min(map);
	max = vm_map_max(map);
	tm_put(tm_proc, "..aa");
	vm_map_lock(map);
	CHECK_EQ(find(map, TM_VA(0), ptoa(2), 0, UVM_FLAG_FIXED), TM_VA(0));
	CHECK_EQ(find(map, TM_VA(0), ptoa(3), 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, TM_VA(1), ptoa(1), 0, UVM_FLAG_FIXED), TM_VA(1));
	CHECK_EQ(find(map, TM_VA(3), ptoa(1), 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, TM_VA(4), ptoa(1), 0, UVM_FLAG_FIXED), TM_VA(4));
	CHECK_EQ(find(map, min, PAGE_SIZE, 0, UVM_FLAG_FIXED), min);
	CHECK_EQ(find(map, min - PAGE_SIZE, PAGE_SIZE, 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, max - PAGE_SIZE, PAGE_SIZE, 0, UVM_FLAG_FIXED), max - PAGE_SIZE);
	CHECK_EQ(find(map, max - PAGE_SIZE, ptoa(2), 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, max, PAGE_SIZE, 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, max + ptoa(9), PAGE_SIZE, 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, -(vaddr_t)PAGE_SIZE, PAGE_SIZE, 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, TM_VA(0), -(vsize_t)PAGE_SIZE, 0, UVM_FLAG_FIXED), 0);
	CHECK_EQ(find(map, TM_VA(0), -(vsize_t)PAGE_SIZE, 0, 0), 0);
	CHECK_EQ(find(map, max - PAGE_SIZE, PAGE_SIZE, ptoa(1 << 20), 0) & (ptoa(1 << 20) - 1), 0);
	CHECK_EQ(find(map, min, max - min, 0, 0), 0);
	vm_map_unlock(map);
	uvm_unmap(map, min, max);
	vm_map_lock(map);
	CHECK_EQ(find(map, min, max - min, 0, 0), min);
	CHECK_EQ(find(map, min, max - min + PAGE_SIZE, 0, 0), 0);
	vm_map_unlock(map);
	tm_shutdown();
}

/* --- submaps --- */

KTEST(kernel_submap_is_looked_up_and_refuses_faults, "kmem_map is a submap entry of kernel_map with its range")
{
	struct vm_map_entry *e;

	begin();
	vm_map_lock_read(kernel_map);
	CHECK(uvm_map_lookup_entry(kernel_map, vm_map_min(kmem_map), &e));
	CHECK(UVM_ET_ISSUBMAP(e) && e->object.sub_map == kmem_map);
	CHECK(e->start == vm_map_min(kmem_map) && e->end == vm_map_max(kmem_map));
	CHECK_EQ(uvm_map_check(kernel_map), 0);
	vm_map_unlock_read(kernel_map);
	CHECK_EQ(uvm_map_protect(kernel_map, vm_map_min(kmem_map), vm_map_max(kmem_map),
	    VM_PROT_READ, false), EINVAL);
	CHECK_EQ(uvm_map_clean(kernel_map, vm_map_min(kmem_map), vm_map_max(kmem_map),
	    PGO_CLEANIT), EINVAL);
	CHECK_EQ(uvm_map_submap(kernel_map, vm_map_max(kmem_map), vm_map_max(kmem_map) + PAGE_SIZE,
	    kmem_map), EINVAL);
	tm_shutdown();
}

/* The thread holds the map's spin mutex, as code that an interrupt hit would. */
KTEST(R33_fault_on_intrsafe_map_fails_at_once, "a fault in kmem_map is EFAULT without taking its lock (T-73)")
{
	uint64_t before;
	uint64_t w;

	begin();
	before = tu_count(UVMC_flt_intrsafe);
	vm_map_lock(kmem_map);
	CHECK(vm_map_locked(kmem_map));
	CHECK_EQ(uvm_fault(kmem_map, vm_map_min(kmem_map), VM_PROT_READ), EFAULT);
	vm_map_unlock(kmem_map);
	CHECK_EQ(kern_load(vm_map_min(kmem_map) + ptoa(3), &w), EFAULT);
	CHECK(tu_count(UVMC_flt_intrsafe) >= before + 2);
	tm_shutdown();
}

/* --- attributes --- */

KTEST(protect_checks_all_before_it_changes_any, "EACCES in the last entry leaves the first as it was (I-SYS-1)")
{
	begin();
	tm_put(tm_proc, "aa.oo");
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(3), TM_VA(5), VM_PROT_READ, true), 0);
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(1), TM_VA(4),
	    VM_PROT_READ | VM_PROT_WRITE, false), EACCES);
	TM_SHAPE(tm_proc, "aa.bb");
	tm_store(1, 1);
	CHECK_EQ(tm_store_error(3), EACCES);
	tm_shutdown();
}

/* B-2: the object entry comes first, the copy-on-write entry with a shared page second. */
KTEST(B2_protect_masks_each_entry_by_its_own_flags, "taking X away gives no W to a copy-on-write entry behind a shared one")
{
	struct proc *child;

	begin();
	tm_put(tm_proc, "oa");
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(0), TM_VA(2), VM_PROT_ALL, false), 0);
	tm_store(0, 1);
	tm_store(1, 11);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(0), TM_VA(2),
	    VM_PROT_READ | VM_PROT_WRITE, false), 0);
	tm_store(1, 12);
	CHECK_EQ(tm_load_in(child, 1), 11);
	CHECK_EQ(tm_load(1), 12);
	proc_exit(child);
	tm_shutdown();
}

KTEST(attributes_clip_and_refuse_bad_values, "inherit and advice change just their range; bad values are EINVAL")
{
	struct vm_map *map;
	struct vm_map_entry *e;

	begin();
	map = tm_map(tm_proc);
	tm_put(tm_proc, "aaaaaa");
	CHECK_EQ(uvm_map_inherit(map, TM_VA(1), TM_VA(2), MAP_INHERIT_NONE), 0);
	CHECK_EQ(uvm_map_advice(map, TM_VA(4), TM_VA(6), UVM_ADV_RANDOM), 0);
	TM_SHAPE(tm_proc, "abccdd");
	CHECK_EQ(uvm_map_inherit(map, TM_VA(0), TM_VA(1), MAP_INHERIT_DONATE_COPY), EINVAL);
	CHECK_EQ(uvm_map_inherit(map, TM_VA(0), TM_VA(1), 4), EINVAL);
	CHECK_EQ(uvm_map_advice(map, TM_VA(0), TM_VA(1), 7), EINVAL);
	vm_map_lock_read(map);
	CHECK(uvm_map_lookup_entry(map, TM_VA(1), &e) && e->inheritance == MAP_INHERIT_NONE);
	CHECK(uvm_map_lookup_entry(map, TM_VA(0), &e) && e->inheritance == MAP_INHERIT_COPY);
	CHECK(uvm_map_lookup_entry(map, TM_VA(5), &e) && e->advice == UVM_ADV_RANDOM);
	CHECK(uvm_map_checkprot(map, TM_VA(0), TM_VA(6), VM_PROT_READ | VM_PROT_WRITE));
	CHECK(!uvm_map_checkprot(map, TM_VA(0), TM_VA(6), VM_PROT_EXECUTE));
	CHECK(!uvm_map_checkprot(map, TM_VA(0), TM_VA(7), VM_PROT_READ));
	CHECK(!uvm_map_checkprot(map, TM_VA(7), TM_VA(8), VM_PROT_READ));
	vm_map_unlock_read(map);
	tm_shutdown();
}

KTEST(print_shows_every_entry, "uvm_map_print has a line for the map and one for each entry")
{
	char *text = NULL;
	size_t size = 0, lines = 0;
	FILE *out = open_memstream(&text, &size);

	begin();
	tm_put(tm_proc, "aaos");
	tm_store(0, 1);
	vm_map_lock_read(tm_map(tm_proc));
	uvm_map_print(tm_map(tm_proc), out);
	vm_map_unlock_read(tm_map(tm_proc));
	fclose(out);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	CHECK_EQ(lines, 4);
	CHECK(strstr(text, "0x40000000-0x40002000") != NULL);
	CHECK(strstr(text, "cow") != NULL && strstr(text, "share") != NULL);
	free(text);
	tm_shutdown();
}

/* --- the checker sees what it is for --- */

static void
alarm_for(const char *id, void (*corrupt)(struct vm_map *, struct vm_map_entry *, bool restore))
{
	struct vm_map *map;
	struct vm_map_entry *e;

	begin();
	tm_put(tm_proc, "aa.rr.oo.aa");
	tm_store(0, 1);
	map = tm_map(tm_proc);
	tm_collect();
	vm_map_lock(map);
	CHECK(uvm_map_lookup_entry(map, TM_VA(0), &e));
	CHECK_EQ(uvm_map_check(map), 0);
	corrupt(map, e, false);
	CHECK(uvm_map_check(map) > 0);
	corrupt(map, e, true);
	CHECK_EQ(uvm_map_check(map), 0);
	vm_map_unlock(map);
	if (strstr(tm_seen, id) == NULL)
		ktest_fail(__FILE__, __LINE__, "no %s in \"%s\"", id, tm_seen);
	failure_sink = NULL;
	tm_shutdown();
}

static void
corrupt_end(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	e->end += restore ? -ptoa(2) : ptoa(2);
}

static void
corrupt_count(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	map->nentries += restore ? -1 : 1;
}

static void
corrupt_gap(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	e->maxgap += restore ? -PAGE_SIZE : PAGE_SIZE;
}

static void
corrupt_hint(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	static struct vm_map_entry dead;

	map->hints[VM_MAP_HINTS - 1].entry = restore ? &map->header : &dead;
}

static void
corrupt_prot(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	e->max_protection = restore ? VM_PROT_ALL : VM_PROT_READ;
}

static void
corrupt_slot(struct vm_map *map, struct vm_map_entry *e, bool restore)
{
	e->aref.ar_pageoff += restore ? -100000UL : 100000UL;
}

KTEST(checker_sees_I_MAP_1_overlap, "an entry that reaches into the next is reported")
{
	alarm_for("I-MAP-1", corrupt_end);
}

KTEST(checker_sees_I_MAP_1_count, "a wrong number of entries is reported")
{
	alarm_for("I-MAP-1", corrupt_count);
}

KTEST(checker_sees_I_MAP_2, "a wrong maxgap is reported")
{
	alarm_for("I-MAP-2", corrupt_gap);
}

KTEST(checker_sees_I_MAP_3, "a hint that is no entry of the map is reported")
{
	alarm_for("I-MAP-3", corrupt_hint);
}

KTEST(checker_sees_I_MAP_4, "protection beyond max_protection is reported")
{
	alarm_for("I-MAP-4", corrupt_prot);
}

KTEST(checker_sees_I_MAP_6, "an entry past the end of its amap is reported")
{
	alarm_for("I-MAP-6", corrupt_slot);
}

KTEST_MAIN()
