/*
 * Fork: inheritance, copy-on-write, and what the parent's other threads may do
 * meanwhile.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	8192
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
}

static struct proc *
spawn(struct proc *p)
{
	struct proc *child;

	CHECK_EQ(proc_fork(p, "child", &child), 0);
	tm_check(p);
	tm_check(child);
	return child;
}

static struct vm_map_entry
entry_of(struct proc *p, int page)
{
	struct vm_map_entry *e, copy;

	vm_map_lock_read(tm_map(p));
	CHECK(uvm_map_lookup_entry(tm_map(p), TM_VA(page), &e));
	copy = *e;
	vm_map_unlock_read(tm_map(p));
	return copy;
}

/* --- inheritance --- */

/* page    0 copy   1 share   2 none   3 object shared   4 object copied */
KTEST(fork_obeys_inheritance, "COPY is a private copy, SHARE one memory, NONE a hole")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aaaoo");
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(1), PAGE_SIZE, MAP_INHERIT_SHARE), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(2), PAGE_SIZE, MAP_INHERIT_NONE), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(4), PAGE_SIZE, MAP_INHERIT_COPY), 0);
	for (int i = 0; i < 5; i++)
		tm_store(i, (uint64_t)i + 1);
	child = spawn(tm_proc);
	TM_SHAPE(child, "ab.cd");
	for (int i = 0; i < 5; i++) {
		if (i == 2)
			continue;
		CHECK_EQ(tm_load_in(child, i), i + 1);
		tm_store_in(child, i, 50 + (uint64_t)i);
		CHECK_EQ(tm_load_in(child, i), 50 + i);
	}
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tm_load(1), 51);
	CHECK_EQ(tm_load(3), 53);
	CHECK_EQ(tm_load(4), 5);
	tm_store(1, 9);
	CHECK_EQ(tm_load_in(child, 1), 9);
	proc_exit(child);
	tm_shutdown();
}

KTEST(untouched_memory_is_zero_in_both, "memory that nobody has stored to yet is private to each after the fork")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aas");
	child = spawn(tm_proc);
	tm_store(0, 1);
	CHECK_EQ(tm_load_in(child, 0), 0);
	tm_store_in(child, 1, 2);
	CHECK_EQ(tm_load(1), 0);
	tm_store_in(child, 2, 3);
	CHECK_EQ(tm_load(2), 3);
	proc_exit(child);
	tm_shutdown();
}

KTEST(inheritance_of_untouched_shared_memory, "minherit(SHARE) before the first store: one memory all the same")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(2), MAP_INHERIT_SHARE), 0);
	child = spawn(tm_proc);
	tm_store_in(child, 1, 5);
	CHECK_EQ(tm_load(1), 5);
	tm_store(0, 6);
	CHECK_EQ(tm_load_in(child, 0), 6);
	proc_exit(child);
	tm_shutdown();
}

KTEST(I_AMAP_9_object_page_mapped_before_a_fork, "a page of the object that the parent had mapped gives way to an anon of the child, where they share")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "qq");
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(2), MAP_INHERIT_SHARE), 0);
	CHECK_EQ(tm_load(0), 0);		/* maps the object's page */
	child = spawn(tm_proc);
	tm_store_in(child, 0, 7);
	CHECK_EQ(tm_load(0), 7);
	proc_exit(child);
	tm_shutdown();
}

KTEST(heap_of_a_child, "the child's break is where its parent's was, and each moves its own")
{
	const vaddr_t low = VM_HEAP_ADDRESS;
	struct proc *child;
	uint64_t value;

	begin(1);
	CHECK_EQ(sys_obreak(tm_proc, low + ptoa(2)), 0);
	CHECK_EQ(user_store(low + PAGE_SIZE, 1), 0);
	child = spawn(tm_proc);
	CHECK_EQ(sys_obreak(child, low + ptoa(3)), 0);
	CHECK_EQ(user_store(low + ptoa(2), 1), EFAULT);
	proc_attach(child);
	CHECK_EQ(user_load(low + PAGE_SIZE, &value), 0);
	CHECK_EQ(value, 1);
	CHECK_EQ(user_store(low + ptoa(2), 2), 0);
	CHECK_EQ(sys_obreak(child, low + ptoa(1)), 0);
	CHECK_EQ(user_store(low + PAGE_SIZE, 2), EFAULT);
	proc_attach(tm_proc);
	CHECK_EQ(user_load(low + PAGE_SIZE, &value), 0);
	CHECK_EQ(value, 1);
	proc_exit(child);
	tm_shutdown();
}

/* The parent of a shared amap cannot be stopped by needs-copy in one pmap alone. */
KTEST(fork_COPY_of_shared_memory_copies_now, "a copy of memory that a third process shares is not changed by it")
{
	struct proc *sharer, *child;

	begin(1);
	tm_put(tm_proc, "ss");
	tm_store(0, 1);
	tm_store(1, 2);
	sharer = spawn(tm_proc);
	CHECK_EQ(tm_load_in(sharer, 0), 1);
	tm_store_in(sharer, 1, 3);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(2), MAP_INHERIT_COPY), 0);
	child = spawn(tm_proc);
	tm_store_in(sharer, 0, 10);
	tm_store(1, 20);
	CHECK_EQ(tm_load_in(child, 0), 1);
	CHECK_EQ(tm_load_in(child, 1), 3);
	CHECK_EQ(tm_load(0), 10);
	CHECK_EQ(tm_load_in(sharer, 1), 20);
	tm_store_in(child, 0, 30);
	CHECK_EQ(tm_load(0), 10);
	proc_exit(child);
	proc_exit(sharer);
	tm_shutdown();
}

KTEST(fork_does_not_inherit_wiring, "the child of a process with mlockall has nothing wired, now or later")
{
	struct proc *child;
	vaddr_t va = TM_VA(8);

	begin(1);
	tm_put(tm_proc, "aao");
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT | UMCL_FUTURE), 0);
	CHECK_EQ(uvm.wired, 3);
	child = spawn(tm_proc);
	CHECK_EQ(entry_of(child, 0).wired_count, 0);
	CHECK_EQ(sys_mmap(child, &va, PAGE_SIZE, RW, UMAP_ANON, NULL, 0, 0), 0);
	CHECK_EQ(tm_load_in(child, 0), 0);
	CHECK_EQ(uvm.wired, 3);
	proc_exit(child);
	CHECK_EQ(uvm.wired, 3);
	tm_shutdown();
}

KTEST(fork_copies_lazily, "fork copies no page; each store to a shared one copies that one")
{
	struct proc *child;
	uint64_t before;

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	for (int i = 0; i < 32; i++)
		tm_store(i, (uint64_t)i);
	before = uvm_gauge(UVMG_anonpages);
	child = spawn(tm_proc);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), before);
	tm_store(3, 33);
	tm_store_in(child, 4, 44);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), before + 2);
	CHECK_EQ(tm_load_in(child, 3), 3);
	CHECK_EQ(tm_load(4), 4);
	/* Who stores last takes what is left without a copy. */
	tm_store_in(child, 3, 55);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), before + 2);
	proc_exit(child);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), before);
	tm_store(5, 5);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), before);
	tm_shutdown();
}

KTEST(generations_see_their_own_memory, "nine generations, each with its own stores, dying in any order")
{
	struct proc *gen[9];
	uint64_t want[9][4] = { 0 };

	begin(1);
	tm_put(tm_proc, "aaaa");
	gen[0] = tm_proc;
	for (int g = 0; g < 9; g++) {
		for (int i = g % 3; i < 4; i += 3) {	/* before its child is born */
			want[g][i] = (uint64_t)(g * 10 + i);
			tm_store_in(gen[g], i, want[g][i]);
		}
		if (g == 8)
			break;
		gen[g + 1] = spawn(gen[g]);
		memcpy(want[g + 1], want[g], sizeof(want[g]));
		want[g][3 - g % 4] = (uint64_t)(1000 + g);	/* and after */
		tm_store_in(gen[g], 3 - g % 4, want[g][3 - g % 4]);
	}
	for (int n = 0, g = 4; n < 8; n++, g = g % 8 + 1) {
		for (int k = 0; k < 9; k++)
			for (int i = 0; i < 4 && gen[k] != NULL; i++)
				CHECK_EQ(tm_load_in(gen[k], i), want[k][i]);
		proc_exit(gen[g]);
		gen[g] = NULL;
	}
	tm_shutdown();
}

/* --- the parent's other threads run on --- */

/*
 * Two words at the two ends of a page, always stored in order: at any moment the first
 * is the second, or one more.  Each counting thread has its own pair in each page, and
 * sees its own stores, always.
 */
#define	T6_PAGES	4
#define	T6_THREADS	2

static vaddr_t
T6_word(int page, int thread, int word)
{
	return TM_VA(page) + 8 * (vaddr_t)thread + (word != 0 ? PAGE_SIZE - 8 * T6_THREADS : 0);
}

static void
T6_count(struct tm_thread *tt)
{
	uint64_t n = 0, w;

	do {
		for (int k = 0; k < 50; k++) {
			n++;
			for (int i = 0; i < T6_PAGES; i++)
				for (int word = 0; word < 2; word++)
					CHECK_EQ(user_store(T6_word(i, tt->tt_number, word), n), 0);
			for (int i = 0; i < T6_PAGES; i++) {
				CHECK_EQ(user_load(T6_word(i, tt->tt_number, 1), &w), 0);
				CHECK_EQ(w, n);
			}
		}
	} while (tm_go_on(tt));
}

struct T6_look {
	uint64_t	seen[T6_THREADS][T6_PAGES][2];
};

static void
T6_look(struct proc *p, struct T6_look *look)
{
	struct proc *own = curlwp->l_proc;

	proc_attach(p);
	for (int t = 0; t < T6_THREADS; t++)
		for (int i = 0; i < T6_PAGES; i++)
			for (int word = 0; word < 2; word++)
				CHECK_EQ(user_load(T6_word(i, t, word), &look->seen[t][i][word]), 0);
	proc_attach(own);
}

static void
T6_check_child(struct proc *child)
{
	struct T6_look first, again;

	T6_look(child, &first);
	for (int n = 0; n < 20; n++)
		yield();
	T6_look(child, &again);
	if (memcmp(&first, &again, sizeof(first)) != 0)
		ktest_fail(__FILE__, __LINE__, "the child's memory changed after the fork");
	for (int t = 0; t < T6_THREADS; t++)
		for (int i = 0; i < T6_PAGES; i++) {
			uint64_t *w = first.seen[t][i];

			if (w[0] != w[1] && w[0] != w[1] + 1)
				ktest_fail(__FILE__, __LINE__, "page %d: %lu, %lu: not one moment", i,
				    (unsigned long)w[0], (unsigned long)w[1]);
		}
}

static void
T6_run(int rounds)
{
	struct tm_thread tt[T6_THREADS];
	struct proc *child[2];

	tm_start(tm_proc, tt, T6_THREADS, T6_count, NULL);
	for (int i = 0; i < rounds; i++) {
		child[0] = spawn(tm_proc);
		child[1] = spawn(child[0]);
		T6_check_child(child[0]);
		T6_check_child(child[1]);
		proc_exit(child[i % 2]);
		proc_exit(child[1 - i % 2]);
	}
	tm_stop();
	tm_wait(tt, T6_THREADS);
	CHECK(tt[0].tt_rounds > 0 && tt[1].tt_rounds > 0);
}

KTEST(T6_fork_while_a_sibling_stores, "the child's memory stands still from the fork on, and the parent loses no store")
{
	begin(4);
	tm_put(tm_proc, "aaaa");
	T6_run(150);
	tm_shutdown();
}

KTEST(T6_fork_of_wired_memory_while_a_sibling_stores, "the same for memory that fork has to copy at once (R13)")
{
	begin(4);
	tm_put(tm_proc, "aaaa");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(T6_PAGES)), 0);
	T6_run(500);
	CHECK_EQ(uvm.wired, T6_PAGES);
	tm_shutdown();
}

KTEST(T6_fork_of_file_copies_while_a_sibling_stores, "the same for private copies of file pages")
{
	struct vnode *vp;
	vaddr_t va = TM_BASE;

	begin(4);
	vp = tu_file(ptoa(T6_PAGES));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(T6_PAGES), RW, UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ,
	    0), 0);
	for (int i = 0; i < T6_PAGES; i++)
		for (int t = 0; t < T6_THREADS; t++)
			for (int word = 0; word < 2; word++)
				CHECK_EQ(user_store(T6_word(i, t, word), 0), 0);
	T6_run(80);
	vrele(vp);
	tm_shutdown();
}

/* T-32: parent and child store to the same page at the same moment. */
static void
T32_store(struct tm_thread *tt)
{
	uint64_t mine = 1000 * ((uint64_t)(uintptr_t)tt->tt_arg + 1);

	for (int i = 0; i < 32; i++) {
		CHECK_EQ(user_store(TM_VA(i) + 64, mine + (uint64_t)i), 0);
		if (i % 8 == 7)
			(void)tm_go_on(tt);
	}
	for (int i = 0; i < 32; i++) {
		uint64_t w;

		CHECK_EQ(user_load(TM_VA(i) + 64, &w), 0);
		CHECK_EQ(w, mine + (uint64_t)i);
		CHECK_EQ(tm_load(i), i);
	}
}

KTEST(T32_parent_and_child_store_at_once, "each gets its own page, whoever copies; no page has two writers")
{
	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	for (int round = 0; round < 60; round++) {
		struct tm_thread a, b, c;
		struct proc *child, *second;

		for (int i = 0; i < 32; i++)
			tm_store(i, (uint64_t)i);
		child = spawn(tm_proc);
		second = spawn(tm_proc);
		tm_start(tm_proc, &a, 1, T32_store, (void *)0);
		tm_start(child, &b, 1, T32_store, (void *)1);
		tm_start(second, &c, 1, T32_store, (void *)2);
		tm_wait(&a, 1);
		tm_wait(&b, 1);
		tm_wait(&c, 1);
		CHECK_EQ(uvm_anon_count(), 96);
		proc_exit(child);
		proc_exit(second);
	}
	tm_shutdown();
}

/* T-33: one process copies its amap while the other leaves it. */
static void
T33_exit(struct tm_thread *tt)
{
	for (int i = 0; i < tt->tt_number * 3; i++)
		yield();
	proc_exit(tt->tt_arg);
}

KTEST(T33_amap_copy_against_exit, "the amap is taken over or copied, and nothing is lost or left")
{
	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 24, 'a'), 0);
	for (int round = 0; round < 150; round++) {
		struct tm_thread tt;
		struct proc *child;

		for (int i = 0; i < 24; i++)
			tm_store(i, (uint64_t)(round + i));
		child = spawn(tm_proc);
		tm_start(NULL, &tt, 1, T33_exit, child);
		for (int i = 0; i < 24; i++)
			CHECK_EQ(user_store(TM_VA(i) + 8, 1), 0);
		for (int i = 0; i < 24; i++)
			CHECK_EQ(tm_load(i), round + i);
		tm_wait(&tt, 1);
		CHECK_EQ(uvm_anon_count(), 24);
		CHECK_EQ(amap_count(), 1);
	}
	tm_shutdown();
}

/* T-34: four processes with one amap each unmap it page by page, in their own order. */
static void
T34_unmap(struct tm_thread *tt)
{
	int step = 3 + 2 * tt->tt_number;		/* odd: visits all 32 */

	for (int n = 0, page = tt->tt_number; n < 32; n++, page = (page + step) % 32) {
		int other = (page + step) % 32;

		if (n < 31)
			CHECK_EQ(tm_load(other), other);
		CHECK_EQ(sys_munmap(curlwp->l_proc, TM_VA(page), PAGE_SIZE), 0);
		CHECK_EQ(tm_load_error(page), EFAULT);
		(void)tm_go_on(tt);
	}
}

KTEST(T34_partial_unmaps_of_a_shared_amap, "pages go exactly when the last process has unmapped them")
{
	begin(4);
	for (int round = 0; round < 25; round++) {
		struct tm_thread tt[3];
		struct proc *p[3];

		CHECK_EQ(tm_put_at(tm_proc, 0, 32, 's'), 0);
		for (int i = 0; i < 32; i++)
			tm_store(i, (uint64_t)i);
		for (int i = 0; i < 3; i++)
			p[i] = spawn(tm_proc);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(16));
		CHECK_EQ(uvm_anon_count(), 32);
		for (int i = 0; i < 3; i++) {
			tm_start(p[i], &tt[i], 1, T34_unmap, NULL);
			tt[i].tt_number = 0;
		}
		for (int i = 0; i < 3; i++)
			tm_wait(&tt[i], 1);
		CHECK_EQ(uvm_anon_count(), 16);
		for (int i = 16; i < 32; i++)
			CHECK_EQ(tm_load(i), i);
		for (int i = 0; i < 3; i++)
			proc_exit(p[i]);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(32));
		CHECK_EQ(uvm_anon_count(), 0);
		CHECK_EQ(amap_count(), 0);
	}
	tm_shutdown();
}

/* Threads fork the process they run in, all at once, while others store. */
static void
fork_main(struct tm_thread *tt)
{
	int page = 8 * tt->tt_number;

	for (uint64_t n = 1; n <= 40; n++) {
		struct proc *child;

		for (int i = 0; i < 8; i++)
			tm_store(page + i, n);
		CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
		for (int i = 0; i < 8; i++)
			tm_store(page + i, n + 1000);
		for (int i = 0; i < 8; i++)
			CHECK_EQ(tm_load_in(child, page + i), n);
		proc_exit(child);
		(void)tm_go_on(tt);
	}
}

KTEST(threads_fork_at_once, "four threads of a process fork it concurrently; each child has what its parent thread stored")
{
	struct tm_thread tt[4];

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 32, 'a'), 0);
	tm_start(tm_proc, tt, 4, fork_main, NULL);
	tm_wait(tt, 4);
	CHECK_EQ(vmspace_count(), 1);
	CHECK_EQ(uvm_anon_count(), 32);
	tm_shutdown();
}

/* With nothing to reclaim a fork that needs memory must fail, and cleanly. */
KTEST(fork_without_memory_is_ENOMEM, "a fork that cannot copy wired memory fails, and the parent is as before")
{
	struct proc *child;
	uint64_t anons;

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 64, 'a'), 0);
	for (int i = 0; i < 64; i++)
		tm_store(i, (uint64_t)i);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(64)), 0);
	anons = uvm_anon_count();
	tu_take(NPAGES, 0);
	for (int i = 0; i < 24; i++)
		tu_release_one();
	CHECK_EQ(proc_fork(tm_proc, "child", &child), ENOMEM);
	tu_release();
	CHECK_EQ(uvm_anon_count(), anons);
	CHECK_EQ(vmspace_count(), 1);
	for (int i = 0; i < 64; i++) {
		CHECK_EQ(tm_load(i), i);
		tm_store(i, 5);
	}
	CHECK_EQ(uvm.wired, 64);
	child = spawn(tm_proc);
	CHECK_EQ(tm_load_in(child, 63), 5);
	proc_exit(child);
	tm_shutdown();
}

/* What it gives back each time is all that there is, and not enough. */
KTEST(fork_with_more_entries_than_memory_is_ENOMEM, "a fork that can never have its map entries fails in bounded time")
{
	struct proc *child;

	begin(1);
	for (int i = 0; i < 8000; i += 2)
		CHECK_EQ(tm_put_at(tm_proc, i, 1, 'a'), 0);
	tu_take(NPAGES, 0);
	for (int i = 0; i < 40; i++)
		tu_release_one();
	CHECK_EQ(proc_fork(tm_proc, "child", &child), ENOMEM);
	tu_release();
	CHECK_EQ(vmspace_count(), 1);
	child = spawn(tm_proc);
	proc_exit(child);
	tm_shutdown();
}

static void
count_writable(vaddr_t va, uint64_t pte, void *arg)
{
	*(int *)arg += (pte & PTE_W) != 0;
}

static int
writable(struct proc *p)
{
	int n = 0;

	pmap_foreach(tm_map(p)->pmap, count_writable, &n);
	return n;
}

/*
 * A sharer that faults right after the copy has the amap's lock copies the page: no other sharer
 * may be able to store to the old one by then.
 */
KTEST(I_AMAP_10_copy_of_a_shared_amap, "whose amap is copied can no longer store to the old pages")
{
	struct vm_map_entry *e;
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "ss");
	child = spawn(tm_proc);
	tm_store(0, 1);
	tm_store_in(child, 1, 2);
	CHECK(writable(tm_proc) > 0 && writable(child) > 0);
	vm_map_lock(tm_map(child));
	e = tm_map(child)->header.next;
	e->etype |= UVM_ET_COPYONWRITE | UVM_ET_NEEDSCOPY;
	amap_copy(tm_map(child), e, AMAP_COPY_NOCHUNK | AMAP_COPY_NOWAIT, e->start, e->end);
	CHECK(!UVM_ET_ISNEEDSCOPY(e));
	CHECK_EQ(writable(tm_proc), 0);
	CHECK_EQ(writable(child), 0);
	vm_map_unlock(tm_map(child));
	tm_store(1, 3);
	CHECK_EQ(tm_load_in(child, 1), 2);
	proc_exit(child);
	tm_shutdown();
}

KTEST_MAIN()
