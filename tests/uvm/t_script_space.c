/*
 * Scenarios of address spaces, step by step: maps that change below readers, two maps at once, addresses
 * that are waited for.
 */
#include <errno.h>

#include <host/host.h>
#include <sys/intr.h>
#include <uvm/uvm_amap_i.h>

#include "scenario.h"

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *vp;

/* What an LWP does to a page. */
struct access {
	int	 page;
	uint64_t word;
};

static void
load(void *arg)
{
	const struct access *ac = arg;

	CHECK_EQ(tm_load(ac->page), ac->word);
}

static void
store(void *arg)
{
	const struct access *ac = arg;

	tm_store(ac->page, ac->word);
}

static void
load_nothing(void *arg)
{
	CHECK_EQ(tm_load_error(((const struct access *)arg)->page), EFAULT);
}

/* --- T-3 --- */

static void
map_private(void *arg)
{
	CHECK_EQ(tm_put_at(tm_proc, 0, 2, 'a'), 0);
}

static void
map_object(void *arg)
{
	CHECK_EQ(tm_put_at(tm_proc, 0, 2, 'p'), 0);
}

/* a has taken the old mapping's first page out, and c comes by; b wants the same addresses. */
SCENARIO(T3_reader_comes_between_the_old_mapping_and_the_new,
    "a fixed mapping replaces what is there in one step: there is never a hole (I-SYS-1, B-20)")
{
	struct access first = { 0, 0 }, second = { 1, 0 };

	scenario_begin_on(5);
	tm_put(tm_proc, "oo");
	tm_store(0, 1);
	tm_store(1, 2);
	SCRIPT("a until pte x2; c until blocked; b until blocked; a until done;"
	    "c b d until done; b d until done; d until done",
	    { "a", tm_proc, map_private, NULL }, { "b", tm_proc, map_object, NULL },
	    { "c", tm_proc, load, &first }, { "d", tm_proc, load, &second });
	TM_SHAPE(tm_proc, "aa");
	scenario_end();
}

/* --- T-4 --- */

static void
wire_file(void *arg)
{
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
}

/* a wires, and waits for the disk: the map is busy.  b needs an amap, c does not. */
SCENARIO(T4_first_store_while_the_map_is_busy,
    "while a range is wired faults that change no entry go on, others wait until it is (I-MAP-10, I-SMP-4)")
{
	struct access stored = { 8, 7 }, loaded = { 12, 0 };
	vaddr_t va = TM_VA(0);

	scenario_begin();
	vp = tu_file(ptoa(4));
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(tm_put_at(tm_proc, 8, 1, 'a'), 0);
	CHECK_EQ(tm_put_at(tm_proc, 12, 1, 'o'), 0);
	SCRIPT("a until io; b until blocked; c until done; a until done; b until done",
	    { "a", NULL, wire_file, NULL }, { "b", tm_proc, store, &stored },
	    { "c", tm_proc, load, &loaded });
	CHECK_EQ(tm_load(8), 7);
	CHECK_EQ(sys_munlock(tm_proc, va, PAGE_SIZE), 0);
	vrele(vp);
	scenario_end();
}

/* --- T-5 --- */

static void
protect_middle(void *arg)
{
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(4), PAGE_SIZE, VM_PROT_READ), 0);
}

static void
inherit_middle(void *arg)
{
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(3), ptoa(3), MAP_INHERIT_NONE), 0);
}

/* b is in the amap of the one entry, and a, who clips it, waits; c and d come when it is in pieces. */
SCENARIO(T5_entry_is_clipped_between_faults_at_its_ends,
    "each piece of an entry finds its own slots, for the fault before it and for the one after (I-MAP-2, I-AMAP-6)")
{
	struct access low = { 0, 10 }, high = { 8, 18 };

	scenario_begin_on(5);
	tm_put(tm_proc, "aaaaaaaaa");
	tm_store(4, 14);
	tm_store(7, 17);
	script_lock("amap", &tm_entry(tm_proc, 0)->aref.ar_amap->am_l);
	SCRIPT("b until lock(amap); a until blocked; b until done; a until pte; c until blocked; d until blocked;"
	    "a until done; c until done; d until done",
	    { "a", NULL, protect_middle, NULL }, { "b", tm_proc, store, &low },
	    { "c", tm_proc, store, &high }, { "d", NULL, inherit_middle, NULL });
	TM_SHAPE(tm_proc, "aaabcdeee");
	CHECK_EQ(tm_store_error(4), EACCES);
	CHECK_EQ(tm_load(0), 10);
	CHECK_EQ(tm_load(4), 14);
	CHECK_EQ(tm_load(7), 17);
	CHECK_EQ(tm_load(8), 18);
	CHECK_EQ(uvm_anon_count(), 4);
	scenario_end();
}

/* --- T-7 --- */

#define	QUANTA	4

static vaddr_t quantum[QUANTA];

/* It has merged with both of its neighbours: each needs the entry that was parked then. */
static void
free_quanta(void *arg)
{
	CHECK(cpu_intr_p());
	uvm_km_free(kmem_map, quantum[1], PAGE_SIZE, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	uvm_km_free(kmem_map, quantum[3], PAGE_SIZE, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
}

static void
interrupt_myself(void *arg)
{
	int s = splhigh();

	intr_post(curcpu(), IRQ_DEVICE);
	splx(s);
	vm_map_lock(kmem_map);
	CHECK_EQ(kmem_map->nparked, 0);
	vm_map_unlock(kmem_map);
}

static void
split(void *arg)
{
	vaddr_t va = uvm_km_alloc(kmem_map, ptoa(100), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);

	CHECK(va != 0);
	uvm_km_free(kmem_map, va + ptoa(10), ptoa(80), UVM_KMF_VAONLY);
	uvm_km_free(kmem_map, va, ptoa(10), UVM_KMF_VAONLY);
	uvm_km_free(kmem_map, va + ptoa(90), ptoa(10), UVM_KMF_VAONLY);
}

/* a has mapped [0..100], and unmapped [10..90] of it, when b's interrupt frees quanta. */
SCENARIO(T7_splitter_before_an_interrupt_that_frees_quanta,
    "who splits what has never merged leaves the parked entries to those who have parked them (R42, I-MAP-11)")
{
	scenario_begin();
	for (int i = 0; i < QUANTA; i++) {
		quantum[i] = uvm_km_alloc(kmem_map, PAGE_SIZE, 0,
		    UVM_KMF_VAONLY | UVM_KMF_NOWAIT | UVM_KMF_QUANTUM);
		CHECK_EQ(quantum[i], vm_map_min(kmem_map) + ptoa(i));
	}
	CHECK_EQ(kmem_map->nparked, QUANTA - 1);
	intr_establish(IRQ_DEVICE, IPL_VM, free_quanta, NULL);
	script_lock("kmem_map", &kmem_map->mutex);
	SCRIPT("a until unlock(kmem_map) x2; b until done; a until done",
	    { "a", NULL, split, NULL }, { "b", NULL, interrupt_myself, NULL });
	CHECK_EQ(kmem_map->nentries, 2);
	uvm_km_free(kmem_map, quantum[0], PAGE_SIZE, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	uvm_km_free(kmem_map, quantum[2], PAGE_SIZE, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
	scenario_end();
}
MISTAKE(T7_splitter_before_an_interrupt_that_frees_quanta, split_steals_reserve, "R41|I-MAP-11|parked_ok")
MISTAKE(T7_splitter_before_an_interrupt_that_frees_quanta, merge_frees_spare, "R41|I-MAP-11|parked_ok")

/* --- T-8 --- */

static struct proc *other;

static void
move(struct proc *from, struct proc *to)
{
	vaddr_t va = TM_VA(2);

	CHECK_EQ(uvm_map_extract(tm_map(from), TM_VA(0), ptoa(4), tm_map(to), &va, UVM_EXTRACT_REMOVE), 0);
	CHECK_EQ(va, TM_VA(4));			/* the first room at or above */
}

static void
move_here(void *arg)
{
	move(other, tm_proc);
}

static void
move_there(void *arg)
{
	move(tm_proc, other);
}

/* Both have their first map, or are about to; a wants the second. */
SCENARIO(T8_two_moves_in_opposite_directions,
    "whoever moves between two maps takes them in one order, and nothing is lost or doubled (I-LCK-1, I-MAP-7)")
{
	scenario_begin();
	CHECK_EQ(proc_create("other", &other), 0);
	tm_put(tm_proc, "aaoo");
	tm_put(other, "aaoo");
	for (int i = 0; i < 4; i++) {
		tm_store(i, 10 + (uint64_t)i);
		tm_store_in(other, i, (i < 2 ? 20 : 10) + (uint64_t)i);
	}
	script_rwlock("theirs", &tm_map(other)->lock);
	SCRIPT("a until lock(theirs); b until blocked; a until done; b until done",
	    { "a", NULL, move_here, NULL }, { "b", NULL, move_there, NULL });
	TM_SHAPE(tm_proc, "....aabb");
	TM_SHAPE(other, "....aabb");
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(tm_load(4 + i), (i < 2 ? 20 : 10) + i);
		CHECK_EQ(tm_load_in(other, 4 + i), 10 + i);
	}
	CHECK_EQ(uvm_anon_count(), 4);
	proc_exit(other);
	scenario_end();
}

/* --- T-9 --- */

static vaddr_t room[2];			/* what each sleeper got; atomic */

static void
want_addresses(void *arg)
{
	vaddr_t va = uvm_km_alloc(mb_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA);

	__atomic_store_n((vaddr_t *)arg, va, __ATOMIC_RELAXED);
}

static void
give_two(void *arg)
{
	uvm_km_free(mb_map, vm_map_min(mb_map), PAGE_SIZE, UVM_KMF_VAONLY);
	script_point("one");
	uvm_km_free(mb_map, vm_map_min(mb_map) + ptoa(7), PAGE_SIZE, UVM_KMF_VAONLY);
}

/* a has found nothing, and is about to sleep; b wants some too when c has two. */
SCENARIO(T9_addresses_come_as_somebody_goes_to_sleep,
    "each sleeper for addresses is woken when some come: nobody waits for his time-out (I-SMP-8)")
{
	uint64_t start;

	scenario_begin();
	CHECK(uvm_km_alloc(mb_map, vm_map_max(mb_map) - vm_map_min(mb_map), 0, UVM_KMF_VAONLY) != 0);
	script_rwlock("map", &mb_map->lock);
	start = host_now_ns();
	SCRIPT("a until unlock(map); b until blocked; c until blocked; c a b until test(one);"
	    "c a b until done; a b until done; b until done",
	    { "a", NULL, want_addresses, &room[0] }, { "b", NULL, want_addresses, &room[1] },
	    { "c", NULL, give_two, NULL });
	CHECK(host_now_ns() - start < 1000000000);
	CHECK(room[0] != 0 && room[1] != 0 && room[0] != room[1]);
	uvm_unmap(mb_map, vm_map_min(mb_map), vm_map_max(mb_map));
	scenario_end();
}

/* --- T-10 --- */

static void
exec_child(void *arg)
{
	uvmspace_exec(other);
	TM_SHAPE(other, "....");
}

/* The parent's own LWP waits for the child, as vfork(2) does; b is a sibling of it. */
static void
wait_for_child(void *arg)
{
	proc_vfork_wait(arg);
	script_point("left");
}

static void
exec_itself(void *arg)
{
	CHECK(curlwp->l_proc == other);
	uvmspace_exec(other);
	CHECK_EQ(tm_load_error(1), EFAULT);
}

/* b has looked its address up, in the map that it shares with the child, and is at the amap. */
SCENARIO(T10_vforked_child_execs_below_a_fault_of_a_sibling,
    "exec of a child of vfork leaves the address space to its parent, which wakes then (I-MAP-16, I-SYS-1)")
{
	struct access stored = { 0, 7 };

	scenario_begin_on(5);
	tm_put(tm_proc, "aa");
	tm_store(1, 2);
	CHECK_EQ(proc_vfork(tm_proc, "other", &other), 0);
	script_lock("amap", &tm_entry(tm_proc, 0)->aref.ar_amap->am_l);
	SCRIPT("p until blocked; b until lock(amap); c until done; p until test(left);"
	    "b until done; p until done",
	    { "p", tm_proc, wait_for_child, other }, { "b", tm_proc, store, &stored },
	    { "c", other, exec_itself, NULL });
	TM_SHAPE(tm_proc, "aa");
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tm_load(1), 2);
	CHECK(tm_proc->p_vmspace->vm_refcnt == 1 && vmspace_count() == 2);
	proc_exit(other);
	scenario_end();
}

/*
 * Of a fork: the child has the parent's amap, not its map.  b, of the parent, has made a new amap
 * for its store when the child drops all that it has.
 */
SCENARIO(T10_forked_child_execs_below_a_fault_of_the_parent,
    "exec takes the child's mappings, and nothing of what the parent shares with it (I-MAP-16, I-SYS-1)")
{
	struct access stored = { 0, 7 };

	scenario_begin();
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(proc_fork(tm_proc, "other", &other), 0);
	script_lock("amap", &tm_entry(tm_proc, 0)->aref.ar_amap->am_l);
	SCRIPT("b until lock(amap); a until done; b until done",
	    { "a", NULL, exec_child, NULL }, { "b", tm_proc, store, &stored });
	CHECK_EQ(tm_load(0), 7);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(uvm_anon_count(), 2);
	proc_exit(other);
	scenario_end();
}
MISTAKE(T10_forked_child_execs_below_a_fault_of_the_parent, unref_race_double_free, "am_ref")

/* --- T-11 --- */

/* => leaves the hint at that page's entry, if there is one */
static void
look_up(void *arg)
{
	const struct access *ac = arg;
	struct vm_map_entry *e;

	vm_map_lock_read(tm_map(tm_proc));
	CHECK_EQ(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(ac->page), &e), ac->word != 0);
	vm_map_unlock_read(tm_map(tm_proc));
	script_point("seen");
}

static void
look_up_twice(void *arg)
{
	struct access gone = { 2, 0 };

	look_up(arg);
	look_up(&gone);
}

static void
unmap_hinted(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), PAGE_SIZE), 0);
}

/* b has left the hint where a is about to unmap; c, at another entry, waits for a. */
SCENARIO(T11_hinted_entry_goes_between_readers,
    "the entry that the hint points to is not found once it is unmapped (I-MAP-3)")
{
	struct access second = { 2, 1 }, third = { 4, 1 };

	scenario_begin();
	tm_put(tm_proc, "n.n.n");
	tm_store(2, 1);
	SCRIPT("b until test(seen); a until pte; c until blocked; a until done; b until done; c until done",
	    { "a", NULL, unmap_hinted, NULL }, { "b", NULL, look_up_twice, &second },
	    { "c", NULL, look_up, &third });
	TM_SHAPE(tm_proc, "a...b");
	scenario_end();
}

/* --- T-12 --- */

static void
move_and_grow(void *arg)
{
	vaddr_t va = TM_VA(32);

	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(4), true), 0);
	CHECK_EQ(va, TM_VA(32));
}

/* a has begun to take the mappings away; b looks where it was, c where it is going to be. */
SCENARIO(T12_readers_at_both_ends_of_a_move,
    "a mapping that is moved is at one place or the other for everybody, with its data (I-SYS-1)")
{
	struct access old = { 0, 0 }, new = { 32, 1 };

	scenario_begin();
	tm_put(tm_proc, "ss");
	tm_store(0, 1);
	tm_store(1, 2);
	SCRIPT("a until pte x2; b until blocked; c until blocked; a until done; b until done; c until done",
	    { "a", NULL, move_and_grow, NULL }, { "b", tm_proc, load_nothing, &old },
	    { "c", tm_proc, load, &new });
	CHECK_EQ(tm_load(33), 2);
	CHECK_EQ(tm_load(34), 0);
	TM_SHAPE(tm_proc, "................................aabb");
	scenario_end();
}

static void
grow_without_room(void *arg)
{
	vaddr_t va = TM_VA(0);

	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(8), true), ENOMEM);
}

static void
load_at_each_side(void *arg)
{
	CHECK_EQ(tm_load(0), 1);
	script_point("loaded");
	CHECK_EQ(tm_load(1), 2);
}

/* There is a neighbour in the way of what a wants. */
SCENARIO(T12_growing_fails_below_a_reader,
    "a mapping that cannot grow stays as it was, for whoever uses it meanwhile (B-9)")
{
	scenario_begin();
	tm_put(tm_proc, "ss..n");
	tm_store(0, 1);
	tm_store(1, 2);
	SCRIPT("b until test(loaded); a b until done; b until done",
	    { "a", NULL, grow_without_room, NULL }, { "b", tm_proc, load_at_each_side, NULL });
	TM_SHAPE(tm_proc, "aa..b");
	scenario_end();
}
MISTAKE(T12_growing_fails_below_a_reader, mremap_loses_old, "user_load\\(.*\\) is 14")

/* --- T-34 --- */

static void
unmap_middle(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), ptoa(3)), 0);
}

static void
unmap_start(void *arg)
{
	CHECK_EQ(sys_munmap(other, TM_VA(0), ptoa(4)), 0);
}

/* a has clipped its entry once, and is about to clip it again; b unmaps a part that overlaps. */
SCENARIO(T34_two_sharers_unmap_overlapping_parts,
    "the slots of a shared amap are wiped when the last one who has them lets go, and no other (I-AMAP-5, I-AMAP-6)")
{
	scenario_begin();
	tm_put(tm_proc, "ssssssss");
	for (int i = 0; i < 8; i++)
		tm_store(i, 10 + (uint64_t)i);
	CHECK_EQ(proc_fork(tm_proc, "other", &other), 0);
	script_lock("amap", &tm_entry(tm_proc, 0)->aref.ar_amap->am_l);
	SCRIPT("a until lock(amap) x2; b until done; a until done",
	    { "a", NULL, unmap_middle, NULL }, { "b", NULL, unmap_start, NULL });
	TM_SHAPE(tm_proc, "aa...bbb");
	TM_SHAPE(other, "....aaaa");
	CHECK_EQ(uvm_anon_count(), 6);		/* 2 and 3 were in both parts */
	for (int i = 0; i < 8; i++) {
		if (i < 2 || i > 4)
			CHECK_EQ(tm_load(i), 10 + i);
		if (i > 3)
			CHECK_EQ(tm_load_in(other, i), 10 + i);
	}
	proc_exit(other);
	CHECK_EQ(uvm_anon_count(), 5);
	scenario_end();
}
MISTAKE(T34_two_sharers_unmap_overlapping_parts, ppref_late, "check failed: uvm_anon_count|I-AMAP")

KTEST_MAIN()
