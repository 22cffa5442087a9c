/*
 * Maps with several threads: the lock protocol, and calls that fight for the same
 * addresses.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	8192
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static void
begin(void)
{
	tm_boot(4, NPAGES);
}

/* --- the lock --- */

KTEST(timestamp_counts_write_locks, "each acquisition for writing bumps the timestamp, reading does not")
{
	struct vm_map *map;
	unsigned ts;

	begin();
	map = tm_map(tm_proc);
	ts = map->timestamp;
	vm_map_lock_read(map);
	CHECK(vm_map_locked(map) && !vm_map_locked_write(map));
	vm_map_unlock_read(map);
	CHECK_EQ(map->timestamp, ts);
	vm_map_lock(map);
	CHECK(vm_map_locked(map) && vm_map_locked_write(map));
	vm_map_downgrade(map);
	CHECK(!vm_map_locked_write(map));
	CHECK_EQ(map->timestamp, ts + 1);
	CHECK(vm_map_upgrade_try(map));
	CHECK_EQ(map->timestamp, ts + 2);
	vm_map_unlock(map);
	CHECK(vm_map_lock_try(map));
	CHECK_EQ(map->timestamp, ts + 3);
	vm_map_unlock(map);
	tm_shutdown();
}

static void
busy_reader(struct tm_thread *tt)
{
	struct vm_map *map = tm_map(tm_proc);

	CHECK(!vm_map_lock_try(map));			/* a writer stays out */
	vm_map_lock_read(map);				/* a reader does not */
	CHECK(!vm_map_upgrade_try(map));		/* and does not become a writer */
	CHECK(!vm_map_locked_write(map));
	vm_map_unlock_read(map);
	tm_stop();
	vm_map_lock(map);				/* waits */
	CHECK(map->busy == NULL);
	CHECK_EQ(__atomic_load_n((int *)tt->tt_arg, __ATOMIC_RELAXED), 1);
	vm_map_unlock(map);
}

KTEST(busy_map_keeps_writers_out, "while a map is busy and unlocked readers go on, and writers wait until it is not")
{
	struct tm_thread tt;
	struct vm_map *map;
	int unbusied = 0;
	unsigned ts;

	begin();
	map = tm_map(tm_proc);
	vm_map_lock(map);
	vm_map_busy(map);
	ts = map->timestamp;
	vm_map_unlock(map);
	tm_start(NULL, &tt, 1, busy_reader, &unbusied);
	while (tm_go_on(&(struct tm_thread){ 0 }))
		yield();
	kpause("busy", 3000000);
	CHECK_EQ(map->timestamp, ts);
	vm_map_lock(map);				/* the one who made it busy may */
	CHECK_EQ(map->timestamp, ts + 1);
	__atomic_store_n(&unbusied, 1, __ATOMIC_RELAXED);
	vm_map_unlock(map);
	vm_map_unbusy(map);
	tm_wait(&tt, 1);
	tm_shutdown();
}

/* T-77 */
static uint64_t upgrades;			/* map(W) */

static void
T77_main(struct tm_thread *tt)
{
	struct vm_map *map = tm_map(tm_proc);
	uint64_t *won = &((uint64_t *)tt->tt_arg)[tt->tt_number];

	for (int i = 0; i < 25000; i++) {
		unsigned ts;

		vm_map_lock_read(map);
		ts = map->timestamp;
		if (vm_map_upgrade_try(map)) {
			CHECK_EQ(map->timestamp, ts + 1);	/* nobody came in between */
			upgrades++;
			(*won)++;
			vm_map_unlock(map);
		} else {
			CHECK(vm_map_locked(map));
			CHECK_EQ(map->timestamp, ts);
			vm_map_unlock_read(map);
		}
		if (i % 64 == 0)
			(void)tm_go_on(tt);
	}
}

KTEST(T77_contended_upgrades, "of readers that upgrade at once at most one wins, and nobody writes in between (I-MAP-9)")
{
	struct tm_thread tt[4];
	uint64_t won[4] = { 0 };
	unsigned ts;

	begin();
	ts = tm_map(tm_proc)->timestamp;
	tm_start(NULL, tt, 4, T77_main, won);
	tm_wait(tt, 4);
	CHECK_EQ(won[0] + won[1] + won[2] + won[3], upgrades);
	CHECK_EQ(tm_map(tm_proc)->timestamp - ts, upgrades);
	CHECK(upgrades > 0);
	tm_shutdown();
}

/* T-76: the fault would wait for the reader that it is. */
KTEST_DEATH(T76_fault_with_the_map_read_locked, "a fault inside a section that holds map(R) panics instead of hanging",
    "vm_map_locked|recursi|against")
{
	begin();
	tm_put(tm_proc, "a");
	vm_map_lock_read(tm_map(tm_proc));
	(void)uvm_fault(tm_map(tm_proc), TM_VA(0), VM_PROT_WRITE);
}

KTEST_DEATH(clip_without_the_lock, "clipping without map(W) panics", "vm_map_locked_write")
{
	struct vm_map_entry *e;

	begin();
	tm_put(tm_proc, "aaa");
	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(1), &e));
	uvm_map_clip_start(tm_map(tm_proc), e, TM_VA(1));
}

KTEST_DEATH(I_SYS_3_unlock_before_the_shootdown, "unlocking a map before other CPUs know panics", "I-SYS-3")
{
	begin();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	vm_map_lock(tm_map(tm_proc));
	pmap_protect(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1), VM_PROT_READ);
	vm_map_unlock(tm_map(tm_proc));
}

KTEST_DEATH(stranger_cannot_unbusy, "a map is unbusied only by whom made it busy", "busy")
{
	begin();
	vm_map_unbusy(tm_map(tm_proc));
}

/* --- MAP_FIXED --- */

/* T-3: page i shows 100 + i through the object, 0 or what a mapper stored through anon memory. */
static void
T3_mapper(struct tm_thread *tt)
{
	for (int i = 0; i < 1500; i++) {
		CHECK_EQ(tm_put_at(tm_proc, tt->tt_number * 2, 6, i % 2 != tt->tt_number ? 'o' : 'a'), 0);
		(void)tm_go_on(tt);
	}
	tm_stop();
}

static void
T3_reader(struct tm_thread *tt)
{
	do {
		for (int i = 0; i < 8; i++) {
			uint64_t w = tm_load(i);	/* there is never a hole (B-20) */

			CHECK(w == 0 || w == 100 + (uint64_t)i);
		}
	} while (tm_go_on(tt));
}

KTEST(B20_T3_fixed_mappings_replace_atomically, "a reader of a range that is mapped over and over never finds a hole or a mixture")
{
	struct tm_thread mapper[2], reader[2];

	begin();
	tm_put(tm_proc, "oooooooo");
	for (int i = 0; i < 8; i++)
		tm_store(i, 100 + (uint64_t)i);
	tm_start(tm_proc, mapper, 2, T3_mapper, NULL);
	tm_start(tm_proc, reader, 2, T3_reader, NULL);
	tm_wait(mapper, 2);
	tm_wait(reader, 2);
	CHECK(reader[0].tt_rounds > 0 && reader[1].tt_rounds > 0);
	tm_shutdown();
}

/* T-2, in small: a fault's entry is gone and another is there when it relocks. */
static void
T2_main(struct tm_thread *tt)
{
	int page = 8 * (tt->tt_number / 2);

	for (uint64_t i = 1; i < 400; i++) {
		if (tt->tt_number % 2 == 0) {
			CHECK_EQ(sys_munmap(tm_proc, TM_VA(page), ptoa(8)), 0);
			CHECK_EQ(tm_put_at(tm_proc, page, 8, i % 2 ? 'o' : 'p'), 0);
		} else {
			uint64_t w;

			for (int k = 0; k < 8; k++)
				if (user_load(TM_VA(page + k), &w) == 0)
					CHECK(w == 0 || w == (uint64_t)(1000 + page + k) ||
					    w == (uint64_t)(2000 + page + k));
		}
		(void)tm_go_on(tt);
	}
}

KTEST(T2_faults_against_remapping, "a fault whose mapping was replaced meanwhile shows the new one, or EFAULT")
{
	struct tm_thread tt[4];

	begin();
	for (int kind = 0; kind < 2; kind++) {
		CHECK_EQ(tm_put_at(tm_proc, 0, 16, "op"[kind]), 0);
		for (int i = 0; i < 16; i++)
			tm_store(i, (uint64_t)(1000 * (kind + 1) + i));
	}
	tm_start(tm_proc, tt, 4, T2_main, NULL);
	tm_wait(tt, 4);
	tm_shutdown();
}

/* --- clipping under fire --- */

/* T-5: 0 protects, 1 and 2 store at both ends, 3 changes inheritance. */
static void
T5_main(struct tm_thread *tt)
{
	for (uint64_t i = 1; i <= 500; i++) {
		int page = (int)(i * 7 % 30) + 1;

		switch (tt->tt_number) {
		case 0:
			CHECK_EQ(sys_mprotect(tm_proc, TM_VA(page), PAGE_SIZE,
			    i % 3 ? VM_PROT_READ : RW), 0);
			break;
		case 3:
			CHECK_EQ(sys_minherit(tm_proc, TM_VA(page), ptoa(1 + i % 2),
			    i % 3 ? MAP_INHERIT_NONE : MAP_INHERIT_COPY), 0);
			break;
		default:
			page = tt->tt_number == 1 ? 0 : 32;
			tm_store(page, i);
			CHECK_EQ(tm_load(page), i);
			tm_load((int)(i % 33));
		}
		if (i % 50 == 0)
			tm_check(tm_proc);
		(void)tm_go_on(tt);
	}
}

KTEST(T5_clips_against_faults, "mprotect and minherit inside an entry while both of its ends are faulted")
{
	struct tm_thread tt[4];

	begin();
	for (int round = 0; round < 4; round++) {
		CHECK_EQ(tm_put_at(tm_proc, 0, 33, "aos"[round % 3]), 0);
		tm_start(tm_proc, tt, 4, T5_main, NULL);
		tm_wait(tt, 4);
	}
	tm_shutdown();
}

/* T-11: every reader leaves a hint; the writer takes away what it points to. */
static void
T11_reader(struct tm_thread *tt)
{
	struct vm_map_entry *e;
	uint64_t n = 0;

	do {
		struct vm_map *map = tm_map(tm_proc);

		for (int i = 0; i < 16; i++, n++) {
			int page = (int)((n * 11 + (uint64_t)tt->tt_number * 3) % 32);

			vm_map_lock_read(map);
			if (uvm_map_lookup_entry(map, TM_VA(page), &e))
				CHECK(e->start <= TM_VA(page) && e->end > TM_VA(page));
			vm_map_unlock_read(map);
		}
	} while (tm_go_on(tt));
}

KTEST(T11_hint_never_dies, "readers move the hint while a writer unmaps the entries that it points to (I-MAP-3)")
{
	struct tm_thread tt[3];

	begin();
	tm_start(tm_proc, tt, 3, T11_reader, NULL);
	for (int i = 0; i < 4000; i++) {
		int page = i * 5 % 32;

		CHECK_EQ(tm_put_at(tm_proc, page, 1, 'n'), 0);
		uvm_unmap(tm_map(tm_proc), TM_VA(i * 13 % 32), TM_VA(i * 13 % 32 + 1));
		if (i % 64 == 0)
			tm_check(tm_proc);
		lwp_userret(8);
	}
	tm_stop();
	tm_wait(tt, 3);
	tm_shutdown();
}

/* --- mremap --- */

/* T-12: the mapping is at one of two places, whole; at the other there is nothing. */
static void
T12_reader(struct tm_thread *tt)
{
	uint64_t w;

	do {
		for (int i = 0; i < 8; i++) {
			if (user_load(TM_VA(i), &w) == 0)
				CHECK_EQ(w, 100 + i);
			if (user_load(TM_VA(32 + i), &w) == 0)
				CHECK_EQ(w, 100 + i);
		}
	} while (tm_go_on(tt));
}

KTEST(T12_mremap_against_faults, "a mapping that moves, grows and shrinks under readers loses nothing")
{
	struct tm_thread tt[2];
	static const char kinds[] = "aso";

	begin();
	for (int kind = 0; kind < 3; kind++) {
		CHECK_EQ(tm_put_at(tm_proc, 0, 8, kinds[kind]), 0);
		for (int i = 0; i < 8; i++)
			tm_store(i, 100 + (uint64_t)i);
		tm_start(tm_proc, tt, 2, T12_reader, NULL);
		for (int i = 0; i < 300; i++) {
			vaddr_t from = TM_VA(i % 2 ? 32 : 0), to = TM_VA(i % 2 ? 0 : 32);
			vaddr_t none = TM_VA(4);

			CHECK_EQ(sys_mremap(tm_proc, from, ptoa(8), &to, ptoa(12), true), 0);
			CHECK(sys_mremap(tm_proc, to, ptoa(13), &none, ptoa(40), true) != 0);
			CHECK_EQ(sys_mremap(tm_proc, to, ptoa(12), &to, ptoa(8), false), 0);
			for (int k = 0; k < 8; k++)
				CHECK_EQ(tm_load((i % 2 ? 0 : 32) + k), 100 + k);
			lwp_userret(8);
		}
		tm_stop();
		tm_wait(tt, 2);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(TM_PAGES));
	}
	tm_shutdown();
}

/* --- brk --- */

static void
brk_main(struct tm_thread *tt)
{
	for (int i = 0; i < 1500; i++) {
		vaddr_t to = VM_HEAP_ADDRESS + ptoa((vaddr_t)((i * 7 + tt->tt_number * 11) % 40)) + 8;

		CHECK_EQ(sys_obreak(tm_proc, to), 0);
		(void)user_store(to - 8, 1);
		(void)tm_go_on(tt);
	}
}

KTEST(concurrent_brk_is_one_heap, "threads that move the break at once leave a heap without hole, as long as the break says")
{
	struct tm_thread tt[4];

	begin();
	tm_start(tm_proc, tt, 4, brk_main, NULL);
	tm_wait(tt, 4);
	vm_map_lock_read(tm_map(tm_proc));
	CHECK_EQ(tm_map(tm_proc)->size, round_page(tm_proc->p_vmspace->vm_dend) - VM_HEAP_ADDRESS);
	CHECK(uvm_map_checkprot(tm_map(tm_proc), VM_HEAP_ADDRESS,
	    round_page(tm_proc->p_vmspace->vm_dend), RW));
	vm_map_unlock_read(tm_map(tm_proc));
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS), 0);
	CHECK_EQ(uvm_anon_count(), 0);
	tm_shutdown();
}

/* --- msync against faults and unmapping --- */

/* T-69: msync waits for pages, a fault holds a page, munmap wants to write. */
static void
T69_main(struct tm_thread *tt)
{
	for (int i = 0; i < 200; i++) {
		vaddr_t va = TM_VA(8 * (i % 2));

		switch (tt->tt_number) {
		case 0:
			CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(8), UMS_SYNC | UMS_INVALIDATE), 0);
			break;
		case 1:
			for (int k = 0; k < 8; k++)
				tm_store(k, (uint64_t)i);
			break;
		case 2:
			for (int k = 0; k < 8; k++)
				(void)tm_load(7 - k);
			break;
		default:
			va = TM_VA(16);
			CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), RW, UMAP_SHARED | UMAP_FIXED,
			    tt->tt_arg, UF_READ | UF_WRITE, 0), 0);
			CHECK_EQ(sys_munmap(tm_proc, va, ptoa(8)), 0);
		}
		(void)tm_go_on(tt);
	}
}

KTEST(H1_T69_msync_fault_and_munmap, "msync, faults and munmap of one file by four threads: no deadlock, and the file is right")
{
	struct tm_thread tt[4];
	struct vnode *vp;
	vaddr_t va = TM_VA(0);

	begin();
	vp = tu_file(ptoa(8));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), RW, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0), 0);
	tm_start(tm_proc, tt, 4, T69_main, vp);
	tm_wait(tt, 4);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(8), UMS_SYNC), 0);
	for (int k = 0; k < 8; k++)
		CHECK_EQ(tu_host_word(vp, (voff_t)ptoa((vaddr_t)k)), 199);
	vrele(vp);
	tm_shutdown();
}

KTEST_MAIN()
