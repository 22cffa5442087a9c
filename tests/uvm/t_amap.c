/*
 * Amaps and anons: their locks, references by slot, copying, growing, and the
 * checker itself.
 */
#include "tmap.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <uvm/uvm_amap_i.h>
#include <uvm/uvm_fault_i.h>

#define	NPAGES	4096

static struct vm_amap *
amap_at(struct proc *p, int page)
{
	return tm_entry(p, page)->aref.ar_amap;
}

static void
check_amap(int page)
{
	struct vm_amap *amap = amap_at(tm_proc, page);

	amap_lock(amap);
	CHECK_EQ(amap_check(amap), 0);
	amap_unlock(amap);
}

static void
unmap(struct proc *p, int page, int n)
{
	uvm_unmap(tm_map(p), TM_VA(page), TM_VA(page + n));
}

static void
fill(int page, int n)
{
	for (int i = page; i < page + n; i++)
		tm_store(i, 1000u + (unsigned)i);
}

static struct proc *
fork_child(void)
{
	struct proc *child;

	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	return child;
}

/* --- R25: who must hold which lock --- */

static struct vm_amap *
lone_amap(void)
{
	tm_boot(1, NPAGES);
	return amap_alloc(ptoa(4), 0, true);
}

static struct vm_anon *
lone_anon(void)
{
	tm_boot(1, NPAGES);
	return uvm_analloc();
}

KTEST_DEATH(R25_amap_free_of_a_locked_amap, "amap_free wants the lock dropped", "R25")
{
	struct vm_amap *amap = lone_amap();

	amap_lock(amap);
	amap->am_ref = 0;
	amap_free(amap);
}

KTEST_DEATH(R25_amap_free_of_a_referenced_amap, "amap_free wants no reference left", "R25")
{
	amap_free(lone_amap());
}

KTEST_DEATH(R25_wipeout_wants_the_amap_locked, "amap_wipeout wants the lock", "R25")
{
	struct vm_amap *amap = lone_amap();

	amap->am_ref = 0;
	amap_wipeout(amap);
}

KTEST_DEATH(R25_wipeout_of_a_referenced_amap, "amap_wipeout wants no reference left", "R25")
{
	struct vm_amap *amap = lone_amap();

	amap_lock(amap);
	amap_wipeout(amap);
}

KTEST_DEATH(R25_share_protect_wants_the_amap_locked, "amap_share_protect wants the lock", "R25")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "s");
	amap_share_protect(tm_entry(tm_proc, 0), VM_PROT_READ);
}

KTEST_DEATH(R25_anfree_of_a_locked_anon, "uvm_anfree wants the anon unlocked", "R25")
{
	struct vm_anon *anon = lone_anon();

	anon->an_ref = 0;
	uvm_anfree(anon);
}

KTEST_DEATH(R25_anfree_of_a_referenced_anon, "uvm_anfree wants no reference left", "R25")
{
	struct vm_anon *anon = lone_anon();

	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);
}

KTEST_DEATH(R25_lockloanpg_wants_the_anon_locked, "uvm_anon_lockloanpg wants the anon's lock", "R25")
{
	struct vm_anon *anon = lone_anon();

	mutex_exit(&anon->an_lock);
	(void)uvm_anon_lockloanpg(anon);
}

KTEST_DEATH(R25_anonget_wants_the_anon_locked, "uvmfault_anonget wants the anon's lock", "R25")
{
	struct vm_anon *anon = lone_anon();

	mutex_exit(&anon->an_lock);
	(void)uvmfault_anonget(NULL, NULL, anon);
}

KTEST(fresh_anon_is_locked_and_dies_whole, "an anon comes locked with one reference, and takes its page along")
{
	struct vm_anon *anon;
	struct vm_page *pg;

	tm_boot(1, NPAGES);
	anon = uvm_analloc();
	CHECK(mutex_owned(&anon->an_lock) && anon->an_ref == 1);
	pg = uvm_pagealloc(NULL, 0, anon, 0);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), 1);
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_page_unbusy(&(struct vm_page *){ (pg->flags &= ~PG_FAKE, pg) }, 1);
	uvm_unlock_pageq();
	anon->an_ref = 0;
	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), 0);
	CHECK_EQ(uvm_anon_count(), 0);
	tm_shutdown();
}

KTEST(anon_with_a_busy_page_is_left_to_its_holder, "a dying anon leaves a busy page RELEASED; the holder frees both")
{
	struct vm_anon *anon;
	struct vm_page *pg;

	tm_boot(1, NPAGES);
	anon = uvm_analloc();
	pg = uvm_pagealloc(NULL, 0, anon, 0);
	anon->an_ref = 0;
	mutex_exit(&anon->an_lock);
	uvm_anfree(anon);
	CHECK_EQ(uvm_anon_count(), 1);
	mutex_enter(&anon->an_lock);
	CHECK((pg->flags & (PG_BUSY | PG_RELEASED)) == (PG_BUSY | PG_RELEASED));
	uvm_anon_release(anon);
	CHECK_EQ(uvm_anon_count(), 0);
	tm_shutdown();
}

/* --- copying --- */

/*
 * Where armed, the next amap is allocated while the other process exits: between the
 * question whether it is there, and the amap's lock.
 */
static int leaving;			/* atomic: 1 may leave, 2 has left */
static bool armed;			/* only the LWP that copies */

struct vm_amap *__real_amap_alloc(vsize_t, vsize_t, bool);
struct vm_amap *__wrap_amap_alloc(vsize_t, vsize_t, bool);

struct vm_amap *
__wrap_amap_alloc(vsize_t sz, vsize_t padsz, bool waitok)
{
	struct vm_amap *amap = __real_amap_alloc(sz, padsz, waitok);

	if (armed) {
		armed = false;
		__atomic_store_n(&leaving, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&leaving, __ATOMIC_ACQUIRE) != 2)
			sched_yield();
	}
	return amap;
}

static void
leaver(struct tm_thread *tt)
{
	while (__atomic_load_n(&leaving, __ATOMIC_ACQUIRE) != 1)
		yield();
	proc_exit(tt->tt_arg);
	__atomic_store_n(&leaving, 2, __ATOMIC_RELEASE);
}

KTEST(T33_other_user_leaves_during_the_copy, "the second look, with the amap locked, finds it ours: it is taken over")
{
	struct tm_thread tt;
	struct vm_amap *amap;
	struct proc *child;

	tm_boot(2, NPAGES);
	tm_put(tm_proc, "aaaa");
	fill(0, 4);
	amap = amap_at(tm_proc, 0);
	child = fork_child();
	tm_start(NULL, &tt, 1, leaver, child);
	armed = true;
	fill(0, 4);
	CHECK(!armed);
	tm_wait(&tt, 1);
	CHECK(amap_at(tm_proc, 0) == amap);
	CHECK_EQ(amap_count(), 1);
	CHECK_EQ(uvm_anon_count(), 4);
	tm_shutdown();
}

KTEST(T33_last_user_takes_the_amap_over, "when the others have gone nothing is copied: the amap and its pages are taken over")
{
	struct proc *child;
	struct vm_amap *amap;
	struct vm_page *pg;
	uint64_t copies;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	fill(0, 4);
	amap = amap_at(tm_proc, 0);
	pg = tm_page(tm_proc, 1);
	child = fork_child();
	CHECK_EQ(amap_refs(amap), 2);
	CHECK(UVM_ET_ISNEEDSCOPY(tm_entry(tm_proc, 0)));
	proc_exit(child);
	copies = tu_count(UVMC_flt_acow);
	fill(0, 4);
	CHECK(amap_at(tm_proc, 0) == amap && tm_page(tm_proc, 1) == pg);
	CHECK_EQ(tu_count(UVMC_flt_acow), copies);
	tm_shutdown();
}

static void
storer(struct tm_thread *tt)
{
	fill(0, 8);
}

/* Whether the child goes before, while or after we copy is up to the machine. */
KTEST(T33_copy_against_the_last_unref, "a copy that races the other user's exit copies or takes over, and loses nothing")
{
	tm_boot(4, NPAGES);
	tm_put(tm_proc, "aaaaaaaa");
	fill(0, 8);
	for (unsigned i = 0; i < ktest_scale(300); i++) {
		struct proc *child = fork_child();
		struct tm_thread tt;

		tm_start(tm_proc, &tt, 1, storer, NULL);
		for (unsigned spin = i % 40; spin > 0; spin--)
			lwp_userret(1);
		proc_exit(child);
		tm_wait(&tt, 1);
		CHECK_EQ(tm_load(7), 1007);
		CHECK_EQ(uvm_anon_count(), 8);
		CHECK_EQ(amap_count(), 1);
		check_amap(0);
	}
	tm_shutdown();
}

KTEST(big_entry_is_copied_by_chunks, "a store to a large range makes an amap for the chunk around it only")
{
	tm_boot(1, NPAGES);
	CHECK_EQ(tm_put_at(tm_proc, 0, UVM_AMAP_LARGE * 4, 'a'), 0);
	tm_store(UVM_AMAP_LARGE, 1);
	CHECK_EQ(amap_nslot(amap_at(tm_proc, UVM_AMAP_LARGE)), UVM_AMAP_CHUNK);
	CHECK(amap_at(tm_proc, 0) == NULL);
	unmap(tm_proc, 0, UVM_AMAP_LARGE * 4);
	tm_shutdown();
}

KTEST(amap_of_many_chunks_holds_all_its_slots, "slots on both sides of an inner chunk's border keep what is stored")
{
	tm_boot(1, NPAGES);
	CHECK_EQ(tm_put_at(tm_proc, 0, AMAP_CHUNK_SLOTS * 3, 's'), 0);
	for (int i = AMAP_CHUNK_SLOTS - 2; i < AMAP_CHUNK_SLOTS * 3; i += AMAP_CHUNK_SLOTS - 1)
		tm_store(i, (uint64_t)i);
	for (int i = AMAP_CHUNK_SLOTS - 2; i < AMAP_CHUNK_SLOTS * 3; i += AMAP_CHUNK_SLOTS - 1)
		CHECK_EQ(tm_load(i), i);
	check_amap(0);
	tm_shutdown();
}

/* --- R26: copying at once, with and without memory --- */

static void
begin_wired(int n)
{
	tm_boot(1, NPAGES);
	CHECK_EQ(tm_put_at(tm_proc, 0, n, 'a'), 0);
	fill(0, n);
	CHECK_EQ(uvm_map_pageable(tm_map(tm_proc), TM_VA(0), TM_VA(n), false, 0), 0);
}

KTEST(R26_cow_now_copies_wired_pages, "each page of a wired range is copied for the child when it is forked")
{
	struct proc *child;

	begin_wired(8);
	child = fork_child();
	CHECK_EQ(uvm_anon_count(), 16);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(tm_load_in(child, i), 1000 + i);
		CHECK(tm_page(child, i) != tm_page(tm_proc, i));
		CHECK_EQ(tm_wire_count(tm_proc, i), 1);
	}
	tm_store_in(child, 3, 7);
	CHECK_EQ(tm_load(3), 1003);
	proc_exit(child);
	tm_shutdown();
}

/* Anons can be had, pages cannot: the new anon is given back, unlocked first. */
KTEST(R26_cow_now_without_memory_fails_whole, "a fork that cannot copy what is wired is ENOMEM, leaks nothing and leaves the parent as it was")
{
	struct proc *child = NULL;

	begin_wired(40);
	child = fork_child();			/* pools have room for so many now */
	proc_exit(child);
	tu_take(tu_free() - uvm.reserve_kernel - 20, 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), ENOMEM);
	CHECK_EQ(uvm_anon_count(), 40);
	tu_release();
	for (int i = 0; i < 40; i++) {
		tm_store(i, (uint64_t)i);
		CHECK_EQ(tm_wire_count(tm_proc, i), 1);
	}
	tm_shutdown();
}

static void
releaser(struct tm_thread *tt)
{
	for (int i = 0; i < 60; i++) {
		kpause("release", 1000000);
		tu_release_one();
	}
}

KTEST(R26_cow_now_waits_for_memory, "a fork that runs out of pages goes on when there are some")
{
	struct tm_thread tt;
	struct proc *child;

	begin_wired(40);
	/* A page that could be freed, so that waiting is not pointless. */
	CHECK_EQ(tm_put_at(tm_proc, 60, 2, 'o'), 0);
	tu_take(tu_free() - uvm.reserve_kernel - 20, 0);
	tm_start(tm_proc, &tt, 1, releaser, NULL);
	while (proc_fork(tm_proc, "child", &child) != 0)
		kpause("again", 1000000);
	tm_wait(&tt, 1);
	for (int i = 0; i < 40; i++)
		CHECK_EQ(tm_load_in(child, i), 1000 + i);
	proc_exit(child);
	tu_release();
	tm_shutdown();
}

/* --- references by slot --- */

static int
slot_refs(struct vm_amap *amap, uint64_t slot)
{
	return amap->am_pp ? amap_pp_count(amap, slot) : amap->am_ref;
}

KTEST(T34_split_counts_by_slot, "splitting counts no slot twice; unmapping a part wipes just that part")
{
	struct vm_amap *amap;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaaaaaa");
	fill(0, 8);
	amap = amap_at(tm_proc, 0);
	unmap(tm_proc, 3, 2);
	CHECK_EQ(amap_refs(amap), 2);
	for (unsigned s = 0; s < 8; s++)
		CHECK_EQ(slot_refs(amap, s), s != 3 && s != 4);
	CHECK_EQ(uvm_anon_count(), 6);
	CHECK_EQ(tm_load(2) + tm_load(5), 2007);
	tm_shutdown();
}

#define	T34_PROCS	4
#define	T34_PAGES	32

/* The model is who maps what; an anon lives exactly as long as its page is mapped. */
KTEST(T34_partial_unmaps_in_random_order, "slots of an amap that four processes share are wiped when the last one lets go")
{
	struct proc *p[T34_PROCS];
	bool mapped[T34_PROCS][T34_PAGES];
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), 34);
	tm_boot(1, NPAGES);
	for (unsigned round = 0; round < ktest_scale(40); round++) {
		CHECK_EQ(tm_put_at(tm_proc, 0, T34_PAGES, 's'), 0);
		fill(0, T34_PAGES);
		memset(mapped, 1, sizeof(mapped));
		p[0] = tm_proc;
		for (int i = 1; i < T34_PROCS; i++)
			p[i] = fork_child();
		for (int left = T34_PAGES; left > 0;) {
			int who = (int)host_rng_below(&rng, T34_PROCS);
			int page = (int)host_rng_below(&rng, T34_PAGES);
			int n = 1 + (int)host_rng_below(&rng, 6);

			if (page + n > T34_PAGES)
				n = T34_PAGES - page;
			memset(&mapped[who][page], 0, (size_t)n);
			unmap(p[who], page, n);
			left = 0;
			for (int s = 0; s < T34_PAGES; s++) {
				bool any = false;

				for (int i = 0; i < T34_PROCS; i++) {
					any |= mapped[i][s];
					if (mapped[i][s] && n == 1)
						CHECK_EQ(tm_load_in(p[i], s), 1000 + s);
				}
				left += any;
			}
			CHECK_EQ(uvm_anon_count(), left);
		}
		for (int i = 1; i < T34_PROCS; i++)
			proc_exit(p[i]);
		CHECK_EQ(amap_count(), 0);
	}
	tm_shutdown();
}

KTEST(grown_amap_shows_nothing_old, "a mapping that grows over slots left from earlier reads as zero")
{
	static const char *const again[] = { "....aaaa", "aaaa...." };

	tm_boot(1, NPAGES);
	for (int i = 0; i < 2; i++) {
		tm_put(tm_proc, "aaaaaaaa");
		fill(0, 8);
		unmap(tm_proc, i == 0 ? 4 : 0, 4);
		tm_put(tm_proc, again[i]);
		for (int s = 0; s < 8; s++)
			CHECK_EQ(tm_load(s), again[i][s] == 'a' ? 0 : 1000 + s);
		unmap(tm_proc, 0, 8);
	}
	CHECK_EQ(uvm_anon_count(), 0);
	tm_shutdown();
}

/* --- growing --- */

static int
extend(int page, int n, int flags)
{
	struct vm_map_entry *e = tm_entry(tm_proc, page);
	int error;

	vm_map_lock(tm_map(tm_proc));
	error = amap_extend(e, ptoa((vsize_t)n), flags);
	if (error == 0 && flags == AMAP_EXTEND_FORWARDS)
		e->end += ptoa((vaddr_t)n);
	else if (error == 0)
		e->start -= ptoa((vaddr_t)n);
	vm_map_unlock(tm_map(tm_proc));
	return error;
}

KTEST(extend_refuses_what_is_too_large, "an amap is not extended past its largest size, in either direction, and stays as it was")
{
	struct vm_amap *amap;

	tm_boot(1, NPAGES);
	CHECK_EQ(tm_put_at(tm_proc, 300, UVM_AMAP_LARGE - 4, 's'), 0);
	fill(300, UVM_AMAP_LARGE - 4);
	amap = amap_at(tm_proc, 300);
	CHECK_EQ(extend(300, 5, AMAP_EXTEND_FORWARDS), E2BIG);
	CHECK_EQ(extend(300, 5, AMAP_EXTEND_BACKWARDS), E2BIG);
	CHECK_EQ(amap_nslot(amap), UVM_AMAP_LARGE - 4);
	CHECK_EQ(tm_load(300 + 17), 1317);
	tm_shutdown();
}

/* Random growth up and down, with stores between, against an array. */
KTEST(amap_grows_both_ways_with_its_contents, "however an entry grows, every page keeps its content and the new ones are zero")
{
	uint64_t model[256];
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), 2);
	tm_boot(1, NPAGES);
	for (unsigned round = 0; round < ktest_scale(60); round++) {
		int lo = 128, hi = 129;

		memset(model, 0, sizeof(model));
		CHECK_EQ(tm_put_at(tm_proc, lo, 1, 'a'), 0);
		for (int step = 0; step < 24; step++) {
			int n = 1 + (int)host_rng_below(&rng, 8);

			for (int k = 0; k < 3; k++) {
				int at = lo + (int)host_rng_below(&rng, (uint32_t)(hi - lo));

				tm_store(at, model[at] = 1 + host_rng_below(&rng, 1 << 30));
			}
			switch (host_rng_below(&rng, 4)) {
			case 0:
				if (lo - n >= 0) {
					CHECK_EQ(tm_put_at(tm_proc, lo - n, n, 'a'), 0);
					lo -= n;
				}
				break;
			case 1:
				if (hi + n <= 256) {
					CHECK_EQ(tm_put_at(tm_proc, hi, n, 'a'), 0);
					hi += n;
				}
				break;
			case 2:			/* replaced, as munmap and mmap would */
				if (hi - lo > n) {
					CHECK_EQ(tm_put_at(tm_proc, lo, n, 'a'), 0);
					memset(&model[lo], 0, (size_t)n * sizeof(model[0]));
				}
				break;
			default:		/* shorter above */
				if (hi - lo > n) {
					unmap(tm_proc, hi - n, n);
					memset(&model[hi - n], 0, (size_t)n * sizeof(model[0]));
					hi -= n;
				}
			}
			for (int s = lo; s < hi; s++)
				CHECK_EQ(tm_load(s), model[s]);
			tm_check(tm_proc);
		}
		unmap(tm_proc, lo, hi - lo);
	}
	tm_shutdown();
}

/* --- the checker --- */

static struct vm_amap *
begin_checked(void)
{
	struct vm_amap *amap;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaaaaaa");
	fill(0, 5);
	amap = amap_at(tm_proc, 0);
	amap_lock(amap);
	CHECK_EQ(amap_check(amap), 0);
	amap_pp_establish(amap);
	CHECK_EQ(amap_check(amap), 0);
	tm_collect();
	return amap;
}

KTEST(checker_sees_I_AMAP_1_list, "a used slot that is not on the list is reported")
{
	struct vm_amap *amap = begin_checked();

	amap_chunk_slots(amap->am_one)[2] = 7;
	CHECK(amap_check(amap) > 0);
	CHECK(strstr(tm_seen, "I-AMAP-1") != NULL);
}

KTEST(checker_sees_I_AMAP_1_length, "a list of another length is reported")
{
	struct vm_amap *amap = begin_checked();

	amap->am_one->ac_nused++;
	CHECK(amap_check(amap) > 0);
	CHECK(strstr(tm_seen, "I-AMAP-1") != NULL);
}

KTEST(checker_sees_I_AMAP_2, "an anon past the last slot is reported")
{
	struct vm_amap *amap = begin_checked();

	amap->am_nslot = 3;
	CHECK(amap_check(amap) > 0);
	CHECK(strstr(tm_seen, "I-AMAP-2") != NULL);
}

KTEST(checker_sees_I_AMAP_3, "an anon without references in a slot is reported")
{
	struct vm_amap *amap = begin_checked();

	amap_slot(amap, 1)->an_ref = 0;
	CHECK_EQ(amap_check(amap), 1);
	CHECK_STR(tm_seen, "I-AMAP-3");
}

KTEST(checker_sees_I_AMAP_5, "counts by slot that cannot be are reported")
{
	struct vm_amap *amap = begin_checked();

	amap_chunk_ppref(amap->am_one)[6] = 2;
	CHECK_EQ(amap_check(amap), 1);
	amap_chunk_ppref(amap->am_one)[6] = 1;
	amap_chunk_ppref(amap->am_one)[1] = 0;
	CHECK_EQ(amap_check(amap), 1);
	CHECK_STR(tm_seen, "I-AMAP-5 I-AMAP-5");
}

KTEST_MAIN()
