/*
 * The fault handler: the four cases, the neighbourhood, shortage, and faults
 * against whatever else may happen to the page meanwhile.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>
#include <sys/inject.h>
#include <unistd.h>

#define	NPAGES	4096
#define	R	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *vp;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	vp = tu_file(ptoa(64));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

static void
map_file(struct proc *p, int page, int n, int pos, int flags)
{
	vaddr_t va = TM_VA(page);

	CHECK_EQ(sys_mmap(p, &va, ptoa((vsize_t)n), RW, flags | UMAP_FIXED, vp, UF_READ | UF_WRITE,
	    (voff_t)ptoa((uint64_t)pos)), 0);
}

static int
fault(int page, vm_prot_t access)
{
	return uvm_fault(tm_map(tm_proc), TM_VA(page), access);
}

static struct proc *
fork_child(void)
{
	struct proc *child;

	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	return child;
}

static void
random_access(int page, int n)
{
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(page), ptoa((vsize_t)n), UMADV_RANDOM), 0);
}

/* How often each event happened since the last look. */
static uint64_t
since(enum uvm_counter c)
{
	static uint64_t last[UVMC_COUNT];
	uint64_t now = tu_count(c), n = now - last[c];

	last[c] = now;
	return n;
}

static void
forget_counts(void)
{
	for (int c = 0; c < UVMC_COUNT; c++)
		(void)since((enum uvm_counter)c);
}

/* --- the four cases --- */

KTEST(case_1A_anon_is_mapped_as_it_is, "an anon that nobody shares is mapped writable, one that is shared read only, both without a copy")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	random_access(0, 2);
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	forget_counts();
	CHECK_EQ(tm_load(0), 5);
	CHECK(tm_page(tm_proc, 0) == pg);
	CHECK_EQ(since(UVMC_flt_anon), 1);
	tm_store(0, 6);				/* mapped writable by the read: no fault */
	CHECK_EQ(since(UVMC_faults), 1);
	child = fork_child();
	CHECK_EQ(tm_load_in(child, 0), 6);
	CHECK(tm_page(child, 0) == pg);
	CHECK_EQ(since(UVMC_flt_anon), 1);
	CHECK_EQ(since(UVMC_flt_acow), 0);
	proc_exit(child);
	end();
}

KTEST(R27_case_1B_store_to_a_shared_anon_copies, "a store to an anon of two takes a locked new one, copies, and gives the slot to it")
{
	struct proc *child;
	struct vm_page *pg;

	begin(1);
	tm_put(tm_proc, "aa");
	random_access(0, 2);
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	child = fork_child();
	forget_counts();
	tm_store_in(child, 0, 6);
	CHECK_EQ(since(UVMC_flt_acow), 1);
	CHECK(tm_page(child, 0) != pg);
	CHECK_EQ(uvm_anon_count(), 2);
	CHECK_EQ(tm_load(0), 5);
	tm_store(0, 7);				/* alone again: no second copy */
	CHECK(tm_page(tm_proc, 0) == pg);
	CHECK_EQ(since(UVMC_flt_acow), 0);
	CHECK_EQ(tm_load_in(child, 0), 6);
	proc_exit(child);
	end();
}

KTEST(case_2A_object_page_is_mapped_as_it_is, "a shared file page is mapped writable, a private one read only until it is stored to")
{
	begin(1);
	map_file(tm_proc, 0, 4, 0, UMAP_SHARED);
	map_file(tm_proc, 8, 4, 0, UMAP_PRIVATE);
	random_access(0, 12);
	forget_counts();
	CHECK_EQ(tm_load(1), tu_word(ptoa(1)));
	CHECK_EQ(since(UVMC_flt_obj), 1);
	CHECK_EQ(since(UVMC_flt_pagein), 1);
	CHECK_EQ(tm_load(9), tu_word(ptoa(1)));
	CHECK_EQ(since(UVMC_flt_obj), 1);
	CHECK_EQ(since(UVMC_flt_soft), 1);
	CHECK(tm_page(tm_proc, 1) == tm_page(tm_proc, 9));
	CHECK_EQ(uvm_anon_count(), 0);
	tm_store(1, 77);
	CHECK_EQ(tm_load(9), 77);		/* not copied yet: it sees the file */
	tm_store(9, 78);
	CHECK_EQ(tm_load(1), 77);
	CHECK_EQ(uvm_anon_count(), 1);
	CHECK_EQ(tm_load(10), tu_word(ptoa(2)));	/* there is an amap now, and a load wants no anon in it */
	CHECK_EQ(uvm_anon_count(), 1);
	end();
}

KTEST(R27_case_2B_store_promotes, "a store to memory without an object gets zeroes, to a private file page a copy, each in a locked new anon")
{
	begin(1);
	tm_put(tm_proc, "aa");
	map_file(tm_proc, 8, 4, 0, UMAP_PRIVATE);
	random_access(0, 12);
	forget_counts();
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(since(UVMC_flt_przero), 1);
	tm_store(10, 3);
	CHECK_EQ(since(UVMC_flt_prcopy), 1);
	CHECK_EQ(tm_load(10), 3);
	CHECK_EQ(*(tu_words(tm_page(tm_proc, 10)) + 1), tu_word(ptoa(2) + 8));
	CHECK_EQ(*tu_words(tu_lookup(&vp->v_uobj, ptoa(2))), tu_word(ptoa(2)));
	CHECK_EQ(uvm_anon_count(), 2);
	end();
}

KTEST(faults_are_answered_with_their_errno, "no entry EFAULT, no right EACCES, behind the end of the file EINVAL; nothing stays locked")
{
	begin(1);
	tm_put(tm_proc, "ar");
	map_file(tm_proc, 40, 60 - 40, 60, UMAP_SHARED);
	CHECK_EQ(fault(5, R), EFAULT);
	CHECK_EQ(fault(1, VM_PROT_WRITE), EACCES);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_NONE), 0);
	CHECK_EQ(fault(0, R), EACCES);
	CHECK_EQ(fault(44, R), EINVAL);
	CHECK_EQ(uvm_fault(tm_map(tm_proc), VM_MAXUSER_ADDRESS, R), EFAULT);
	CHECK_EQ(uvm_fault(tm_map(tm_proc), 0, R), EFAULT);
	CHECK(!vm_map_locked(tm_map(tm_proc)));
	end();
}

/* --- R30: the access presets the attributes; no access follows here --- */

KTEST(R30_write_fault_presets_modified, "a write fault sets M before any store, a read fault does not")
{
	begin(1);
	map_file(tm_proc, 0, 2, 0, UMAP_SHARED);
	random_access(0, 2);
	CHECK_EQ(fault(0, R), 0);
	CHECK_EQ(fault(1, VM_PROT_WRITE), 0);
	CHECK(!pmap_is_modified(tu_lookup(&vp->v_uobj, 0)));
	CHECK(pmap_is_referenced(tu_lookup(&vp->v_uobj, 0)));
	CHECK(pmap_is_modified(tu_lookup(&vp->v_uobj, PAGE_SIZE)));
	end();
}

/* --- R33 --- */

/* As when an interrupt hits code that has the kernel's map locked. */
KTEST(R33_no_map_is_locked_for_an_intrsafe_address, "a kernel fault in kmem_map is EFAULT though kernel_map is locked for writing")
{
	uint64_t w;

	begin(1);
	vm_map_lock(kernel_map);
	vm_map_lock(kmem_map);
	CHECK_EQ(uvm_fault(kernel_map, vm_map_min(kmem_map), R), EFAULT);
	CHECK_EQ(kern_load(vm_map_max(kmem_map) - 8, &w), EFAULT);
	vm_map_unlock(kmem_map);
	vm_map_unlock(kernel_map);
	end();
}

/* --- the neighbourhood --- */

KTEST(resident_neighbours_are_mapped_ahead, "a fault maps three pages before it and four behind, if they are in memory")
{
	begin(1);
	for (int i = 0; i < 20; i++)
		(void)tu_resident(&vp->v_uobj, (voff_t)ptoa((uint64_t)i));
	map_file(tm_proc, 0, 20, 0, UMAP_SHARED);
	forget_counts();
	CHECK_EQ(tm_load(10), tu_word(ptoa(10)));
	for (int i = 0; i < 20; i++)
		CHECK_EQ(tm_page(tm_proc, i) != NULL, i >= 7 && i <= 14);
	CHECK_EQ(since(UVMC_fltnomap), 7);
	CHECK_EQ(tm_load(19), tu_word(ptoa(19)));	/* clipped to the entry */
	CHECK_EQ(since(UVMC_fltnomap), 3);
	end();
}

KTEST(anon_neighbours_are_mapped_ahead, "anons in memory around a fault are mapped too, read only where they are shared")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, (uint64_t)i);
	child = fork_child();
	forget_counts();
	CHECK_EQ(tm_load_in(child, 3), 3);
	CHECK_EQ(since(UVMC_fltnamap), 7);
	for (int i = 0; i < 8; i++)
		CHECK(tm_page(child, i) == tm_page(tm_proc, i));
	tm_store_in(child, 4, 99);
	CHECK_EQ(since(UVMC_flt_acow), 1);
	CHECK_EQ(tm_load(4), 4);
	proc_exit(child);
	end();
}

KTEST(fault_ahead_can_be_off, "without fault-ahead, or with random advice, one page is mapped")
{
	begin(1);
	for (int i = 0; i < 20; i++)
		(void)tu_resident(&vp->v_uobj, (voff_t)ptoa((uint64_t)i));
	map_file(tm_proc, 0, 20, 0, UMAP_SHARED);
	uvm_fault_ahead = false;
	(void)tm_load(10);
	uvm_fault_ahead = true;
	random_access(0, 20);
	(void)tm_load(5);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(tm_page(tm_proc, i) != NULL, i == 10 || i == 5);
	end();
}

KTEST(sequential_reader_ages_what_is_behind, "with sequential advice seven pages ahead are mapped, and anons behind are deactivated")
{
	begin(1);
	tm_put(tm_proc, "aaaaaaaaaaaaaaaaaaaa");
	for (int i = 0; i < 20; i++)
		tm_store(i, (uint64_t)i);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(20));
	pmap_update(tm_map(tm_proc)->pmap);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(20), UMADV_SEQUENTIAL), 0);
	CHECK_EQ(uvm.inactive, 0);
	CHECK_EQ(tm_load(10), 10);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(tm_page(tm_proc, i) != NULL, i >= 10 && i <= 17);
	CHECK_EQ(uvm.inactive, 8);
	end();
}

/* --- R29: shortage --- */

KTEST(R29_no_page_and_nothing_to_free_is_ENOMEM, "faults of every case that find no memory at all end in ENOMEM and leave things as they were")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aa");
	map_file(tm_proc, 8, 4, 0, UMAP_PRIVATE);
	random_access(0, 12);
	tm_store(0, 5);
	tm_store(8, 6);				/* the amap for page 9 */
	child = fork_child();
	(void)tm_load_in(child, 0);
	(void)tu_put(&vp->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_ALLPAGES | PGO_SYNCIO);
	tu_exhaust();
	CHECK_EQ(tm_load_error(9), ENOMEM);		/* 2A: reading it */
	CHECK_EQ(inject_configure("amap-alloc:p=1", 1, NULL, 0), 0);
	inject_start();
	CHECK_EQ(tm_store_error(8), ENOMEM);		/* no amap to copy to, whatever pools have */
	inject_stop();
	CHECK_EQ(tm_store_error(1), ENOMEM);		/* 2B, zeroes */
	CHECK_EQ(tm_store_error(0), ENOMEM);		/* 1B */
	tu_release();
	CHECK_EQ(tm_load(0), 5);
	tm_store(1, 1);
	tm_store(0, 2);
	CHECK_EQ(tm_load_in(child, 0), 5);
	proc_exit(child);
	end();
}

static void
give_one_by_one(struct tm_thread *tt)
{
	for (int i = 0; i < 40; i++) {
		kpause("give", 2000000);
		tu_release_one();
	}
}

KTEST(R29_fault_waits_for_memory, "a fault that finds no page waits and goes on when there are some")
{
	struct tm_thread tt;
	int error = 0;

	begin(2);
	tm_put(tm_proc, "aaaaaaaa");
	map_file(tm_proc, 32, 16, 0, UMAP_SHARED);
	for (int i = 32; i < 48; i++)
		(void)tm_load(i);			/* could be freed: waiting makes sense */
	tu_exhaust();
	tm_start(tm_proc, &tt, 1, give_one_by_one, NULL);
	for (int i = 0; i < 8; i++)
		while ((error = tm_store_error(i)) != 0) {
			CHECK_EQ(error, ENOMEM);
			kpause("again", 1000000);
		}
	tm_wait(&tt, 1);
	tu_release();
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), 1);
	end();
}

/* One page is free, and a fault that promotes needs two: the daemon takes the first away for the second, and so on. */
KTEST(R29_one_page_where_two_are_needed_is_ENOMEM, "a fault that is given one page after the other, and never two, is given up")
{
	begin(1);
	map_file(tm_proc, 8, 4, 0, UMAP_PRIVATE);
	random_access(8, 12);
	tm_store(8, 6);				/* the amap and the page table are there */
	(void)tu_put(&vp->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_ALLPAGES | PGO_SYNCIO);
	tu_exhaust();
	tu_release_one();			/* for the transfer */
	tu_release_one();
	CHECK_EQ(tm_store_error(9), ENOMEM);
	CHECK(tu_count(UVMC_flt_shortage) > 1);
	tu_release_one();
	tm_store(9, 7);
	tu_release();
	CHECK_EQ(tm_load(9), 7);
	end();
}

/* The page is there; what is short is a page for the page table. */
KTEST(R29_no_page_table_page_ends_too, "a failed pmap_enter ends in ENOMEM or success, every page stays on a queue")
{
	struct proc *other;
	vaddr_t va = TM_BASE + (1UL << 38);
	uint64_t w;

	begin(1);
	tm_put(tm_proc, "o");
	tm_store(0, 9);
	CHECK_EQ(proc_create("other", &other), 0);
	CHECK_EQ(sys_shmat(other, tm_obj, &va, RW), 0);
	tu_exhaust();
	tu_take(NPAGES, UVM_PGA_USERESERVE);
	proc_attach(other);
	CHECK_EQ(user_load(va, &w), ENOMEM);
	proc_attach(tm_proc);
	tu_release();
	proc_attach(other);
	CHECK_EQ(user_load(va, &w), 0);
	CHECK_EQ(w, 9);
	proc_attach(tm_proc);
	proc_exit(other);
	end();
}

/* --- races --- */

/* Faults until told to stop; an unmapped page is no error. */
static void
toucher(struct tm_thread *tt)
{
	while (tm_go_on(tt)) {
		int page = (int)host_rng_below(&curlwp->l_rng, 8);
		uint64_t w = 0;
		int error = user_load(TM_VA(page), &w);

		CHECK(error == 0 || error == EFAULT);
		/* file word of either position, or zero */
		CHECK(error != 0 || w == 0 || w == tu_word((voff_t)ptoa((uint64_t)page)) ||
		    w == tu_word((voff_t)ptoa((uint64_t)page + 32)));
	}
}

KTEST(T1_anon_faults_against_unmap, "faults on memory that goes away and comes back are resolved or EFAULT; every anon is freed once")
{
	struct tm_thread tt[3];

	begin(4);
	tm_start(tm_proc, tt, 3, toucher, NULL);
	for (unsigned i = 0; i < ktest_scale(400); i++) {
		CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
		lwp_userret(16);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(8));
	}
	tm_stop();
	tm_wait(tt, 3);
	CHECK_EQ(uvm_anon_count(), 0);
	end();
}

/* The object's last reference may be the mapping that goes while the page is read. */
KTEST(T2_object_faults_against_another_file, "a page read for a mapping that was replaced meanwhile is not mapped")
{
	struct tm_thread tt[3];

	begin(4);
	tm_start(tm_proc, tt, 3, toucher, NULL);
	for (unsigned i = 0; i < ktest_scale(120); i++) {
		map_file(tm_proc, 0, 8, 0, UMAP_SHARED);
		lwp_userret(256);
		map_file(tm_proc, 0, 8, 32, UMAP_PRIVATE);
		lwp_userret(256);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(8));
		(void)tu_put(&vp->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_ALLPAGES);
	}
	tm_stop();
	tm_wait(tt, 3);
	end();
}

static void
file_toucher(struct tm_thread *tt)
{
	while (tm_go_on(tt)) {
		uint64_t w = 0;
		int page = (int)host_rng_below(&curlwp->l_rng, 8);

		if (user_load(TM_VA(page), &w) == 0)
			CHECK_EQ(w, tu_word((voff_t)ptoa((uint64_t)page)));
	}
}

KTEST(T2_fault_keeps_the_object_it_reads_from, "a mapping with the file's last reference goes while faults read the file")
{
	struct tm_thread tt[3];

	begin(4);
	tm_start(tm_proc, tt, 3, file_toucher, NULL);
	for (unsigned i = 0; i < ktest_scale(60); i++) {
		struct vnode *file = tu_file(ptoa(8));
		vaddr_t va = TM_VA(0);

		CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), R, UMAP_SHARED | UMAP_FIXED, file, UF_READ,
		    0), 0);
		vrele(file);
		lwp_userret(64);
		kpause("run", 20000 * (i % 20));
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(8));
	}
	tm_stop();
	tm_wait(tt, 3);
	end();
}

/* --- wiring, faults and fork in one shared memory --- */

#define	SHARED_PAGES	48

static void
wirer(struct tm_thread *tt)
{
	while (tm_go_on(tt)) {
		CHECK_EQ(sys_mlock(curlwp->l_proc, TM_VA(0), ptoa(SHARED_PAGES)), 0);
		tm_store(1, 7);
		CHECK_EQ(sys_munlock(curlwp->l_proc, TM_VA(0), ptoa(SHARED_PAGES)), 0);
	}
}

/* Its mappings go each time, so each store is a fault. */
static void
refaulter(struct tm_thread *tt)
{
	while (tm_go_on(tt)) {
		CHECK_EQ(sys_mprotect(curlwp->l_proc, TM_VA(0), ptoa(SHARED_PAGES), VM_PROT_NONE), 0);
		CHECK_EQ(sys_mprotect(curlwp->l_proc, TM_VA(0), ptoa(SHARED_PAGES), RW), 0);
		for (int i = SHARED_PAGES - 1; i >= 0; i--)
			tm_store(i, i == 0 ? 5 : 7);
	}
}

KTEST(R13_fork_COPY_of_memory_that_sharers_wire, "copying shared memory for a child, while one sharer wires it and another faults on it")
{
	struct proc *wired, *faulting;
	struct tm_thread a, b;

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, SHARED_PAGES, 's'), 0);
	for (int i = 0; i < SHARED_PAGES; i++)
		tm_store(i, i == 0 ? 5 : 7);
	wired = fork_child();
	faulting = fork_child();
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(SHARED_PAGES), MAP_INHERIT_COPY), 0);
	tm_start(wired, &a, 1, wirer, NULL);
	tm_start(faulting, &b, 1, refaulter, NULL);
	for (unsigned i = 0; i < ktest_scale(400); i++) {
		struct proc *child = fork_child();

		CHECK_EQ(tm_load_in(child, 0), 5);
		tm_store_in(child, 0, 6);
		for (int k = 1; k < SHARED_PAGES; k += 9) {
			CHECK_EQ(tm_load(k), 7);
			tm_store(k, 7);
			CHECK_EQ(tm_load_in(child, k), 7);
		}
		proc_exit(child);
		kpause("sharers", 50000);	/* their turn */
	}
	tm_stop();
	tm_wait(&a, 1);
	tm_wait(&b, 1);
	/* still one memory */
	tm_store(2, 11);
	CHECK_EQ(tm_load_in(wired, 2), 11);
	CHECK_EQ(tm_load_in(faulting, 2), 11);
	CHECK_EQ(tm_load(0), 5);
	proc_exit(wired);
	proc_exit(faulting);
	end();
}

KTEST(R31_mlock_and_physio_on_a_shared_page, "the mapping of a page that others map too stays wired after the transfer, until munlock")
{
	struct proc *other;

	begin(1);
	tm_put(tm_proc, "o");
	CHECK_EQ(proc_create("other", &other), 0);
	CHECK_EQ(tm_put_at(other, 0, 1, 'o'), 0);
	tm_store_in(other, 0, 1);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), PAGE_SIZE, RW), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 2);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), PAGE_SIZE);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	proc_exit(other);
	end();
}

static void
failing_wirer(struct tm_thread *tt)
{
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(16)), EINVAL);
}

/*
 * The object's pages are wired by a stranger, so a fault finds them wired, but not for
 * us.  The mlock waits for a busy page of the file, and fails at the file's end.
 */
KTEST(B19_mapping_is_wired_only_for_its_own_wiring, "a fault while an mlock is under way, which then fails, leaves no wired mapping")
{
	struct proc *stranger;
	struct tm_thread tt;
	struct vm_page *busy;
	vaddr_t va = TM_VA(0);
	uint64_t w;

	begin(2);
	CHECK_EQ(proc_create("stranger", &stranger), 0);
	CHECK_EQ(tm_put_at(stranger, 8, 8, 'o'), 0);
	CHECK_EQ(sys_mlock(stranger, TM_VA(8), ptoa(8)), 0);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), R, UMAP_SHARED | UMAP_FIXED, vp, UF_READ, ptoa(60)),
	    0);
	CHECK_EQ(tm_put_at(tm_proc, 8, 8, 'o'), 0);
	busy = tu_get(&vp->v_uobj, (voff_t)ptoa(60));
	tm_start(tm_proc, &tt, 1, failing_wirer, NULL);
	/* relaxed: pairs with vm_map_busy() */
	TU_WAIT(__atomic_load_n(&tm_map(tm_proc)->busy, __ATOMIC_RELAXED) != NULL);
	for (int k = 8; k < 16; k++)
		CHECK_EQ(user_load(TM_VA(k), &w), 0);
	tu_unbusy(busy);
	tm_wait(&tt, 1);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	proc_exit(stranger);
	end();
}

/* Where armed, a fork stops between sharing the anons of a child and copying what is wired. */
static int forking;			/* atomic: 1 stopped there */
static bool stored;			/* atomic: who was to wait has not */
static bool armed;			/* only the LWP that forks */

int	__real_amap_cow_now(struct vm_map *, struct vm_map_entry *);
int	__wrap_amap_cow_now(struct vm_map *, struct vm_map_entry *);

int
__wrap_amap_cow_now(struct vm_map *map, struct vm_map_entry *entry)
{
	if (armed) {
		const uint64_t restarts = tu_count(UVMC_flt_restart);

		armed = false;
		__atomic_store_n(&forking, 1, __ATOMIC_RELEASE);
		/* with maps locked: only the host can pause us */
		while (tu_count(UVMC_flt_restart) == restarts && !__atomic_load_n(&stored, __ATOMIC_ACQUIRE))
			usleep(100);
	}
	return __real_amap_cow_now(map, entry);
}

static void
store_during_fork(struct tm_thread *tt)
{
	while (__atomic_load_n(&forking, __ATOMIC_ACQUIRE) != 1)
		yield();
	tm_store(0, 9);
	__atomic_store_n(&stored, true, __ATOMIC_RELEASE);
}

KTEST(R10_store_by_a_sharer_waits_for_the_fork, "a page that one sharer has wired is not replaced by another's store while a fork copies it")
{
	struct proc *wired, *storing, *child;
	struct vm_page *pg;
	struct tm_thread tt;

	begin(2);
	tm_put(tm_proc, "s");
	tm_store(0, 5);
	wired = fork_child();
	storing = fork_child();
	CHECK_EQ(sys_mlock(wired, TM_VA(0), PAGE_SIZE), 0);
	pg = tm_page(wired, 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), PAGE_SIZE, MAP_INHERIT_COPY), 0);
	tm_start(storing, &tt, 1, store_during_fork, NULL);
	armed = true;
	child = fork_child();
	CHECK(!armed);
	tm_wait(&tt, 1);
	CHECK_EQ(tm_load_in(child, 0), 5);
	CHECK_EQ(tm_load(0), 9);
	CHECK_EQ(tm_load_in(wired, 0), 9);
	CHECK(tm_page(wired, 0) == pg && tm_page(storing, 0) == pg);
	CHECK_EQ(tm_wire_count(wired, 0), 1);
	proc_exit(child);
	proc_exit(storing);
	proc_exit(wired);
	end();
}

static void
incrementer(struct tm_thread *tt)
{
	uint64_t seen = 0;

	while (tm_go_on(tt))
		for (int k = 0; k < 4; k++) {
			vaddr_t va = TM_VA(k) + 8 * (vaddr_t)tt->tt_number;

			CHECK_EQ(user_load(va, &seen), 0);
			CHECK_EQ(user_store(va, seen + 1), 0);
			CHECK_EQ(user_load(va, &seen), 0);
			CHECK(seen > 0);
		}
}

KTEST(T28_stale_read_only_translations, "stores by CPUs that still have the page read only lead to one page, and no store is lost")
{
	struct tm_thread tt[4];
	struct proc *child;

	begin(4);
	tm_put(tm_proc, "aaaa");
	tm_start(tm_proc, tt, 4, incrementer, NULL);
	for (unsigned i = 0; i < ktest_scale(200); i++) {
		child = fork_child();
		lwp_userret(64);
		if (i % 2 == 0)
			(void)tm_load_in(child, (int)(i % 4));
		proc_exit(child);
	}
	tm_stop();
	tm_wait(tt, 4);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 4; k++) {
			uint64_t w;

			CHECK_EQ(user_load(TM_VA(k) + 8 * (vaddr_t)i, &w), 0);
			CHECK_EQ(w, tt[i].tt_rounds - 1);
		}
	CHECK_EQ(uvm_anon_count(), 4);
	end();
}

static void
stamper(struct tm_thread *tt)
{
	int n = *(int *)tt->tt_arg;

	for (int i = 0; i < n; i++)
		tm_store(i, 100u + (unsigned)tt->tt_number);
}

KTEST(T32_parent_and_child_store_at_once, "both store to the same anons: each sees its own, and no anon is lost or left")
{
	int n = 16;

	begin(4);
	for (unsigned round = 0; round < ktest_scale(100); round++) {
		struct tm_thread a, b;
		struct proc *child;

		tm_put(tm_proc, "aaaaaaaaaaaaaaaa");
		for (int i = 0; i < n; i++)
			tm_store(i, 1);
		child = fork_child();
		tm_start(tm_proc, &a, 1, stamper, &n);
		tm_start(child, &b, 1, stamper, &n);
		for (int i = n - 1; i >= 0; i--) {
			uint64_t w = tm_load(i);

			CHECK(w == 1 || w == 100);
		}
		tm_wait(&a, 1);
		tm_wait(&b, 1);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(tm_load(i), 100);
			CHECK_EQ(tm_load_in(child, i), 100);
			CHECK(tm_page(child, i) != tm_page(tm_proc, i));
		}
		CHECK_EQ(uvm_anon_count(), 2 * n);
		proc_exit(child);
		CHECK_EQ(uvm_anon_count(), n);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(n));
	}
	end();
}

/* A page is busy, as while it is paged out; then its slot gets another anon. */
struct busy_case {
	struct vm_anon	*bc_anon;
	int		 bc_done;	/* atomic */
};

static void
waiter(struct tm_thread *tt)
{
	struct busy_case *bc = tt->tt_arg;

	CHECK_EQ(fault(0, R), 0);
	__atomic_store_n(&bc->bc_done, 1, __ATOMIC_RELEASE);
}

KTEST(T37_waiter_for_a_busy_page_looks_anew, "a fault that waited for a page finds the slot's new anon, not the old one")
{
	struct busy_case bc = { NULL, 0 };
	struct vm_map_entry *e;
	struct tm_thread tt;
	struct vm_page *pg;

	begin(2);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	bc.bc_anon = pg->uanon;
	mutex_enter(&bc.bc_anon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&bc.bc_anon->an_lock);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	forget_counts();
	tm_start(tm_proc, &tt, 1, waiter, &bc);
	TU_WAIT(tu_count(UVMC_fltpgwait) > 0);
	CHECK(__atomic_load_n(&bc.bc_done, __ATOMIC_ACQUIRE) == 0);
	/* The map does not change; the slot does. */
	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(0), &e));
	amap_lock(e->aref.ar_amap);
	amap_unadd(&e->aref, 0);
	mutex_enter(&bc.bc_anon->an_lock);
	bc.bc_anon->an_ref--;
	mutex_exit(&bc.bc_anon->an_lock);
	uvm_anfree(bc.bc_anon);			/* leaves it to us */
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
	mutex_enter(&bc.bc_anon->an_lock);
	CHECK((pg->flags & PG_RELEASED) != 0);
	uvm_anon_release(bc.bc_anon);
	tm_wait(&tt, 1);
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(uvm_anon_count(), 1);
	end();
}

/* Sharers with an anon that somebody else has too: one of them copies, all must follow. */
KTEST(T39_sharers_follow_a_promoted_anon, "case 1B in a shared amap by two CPUs at once: all sharers end on one page")
{
	int n = 8;

	begin(4);
	for (unsigned round = 0; round < ktest_scale(60); round++) {
		struct tm_thread a, b;
		struct proc *snapshot, *sharer;

		tm_put(tm_proc, "aaaaaaaa");
		for (int i = 0; i < n; i++)
			tm_store(i, 1);
		snapshot = fork_child();		/* copy on write: anons of two */
		CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(8), MAP_INHERIT_SHARE), 0);
		sharer = fork_child();
		for (int i = 0; i < n; i++)		/* the sharers have the old pages mapped */
			CHECK_EQ(tm_load(i) + tm_load_in(sharer, i), 2);
		tm_start(tm_proc, &a, 1, stamper, &n);
		tm_start(sharer, &b, 1, stamper, &n);
		tm_wait(&a, 1);
		tm_wait(&b, 1);
		for (int i = 0; i < n; i++) {
			tm_store_in(sharer, i, 500u + (unsigned)i);
			CHECK_EQ(tm_load(i), 500 + i);
			CHECK(tm_page(sharer, i) == tm_page(tm_proc, i));
			CHECK_EQ(tm_load_in(snapshot, i), 1);
		}
		CHECK_EQ(uvm_anon_count(), 2 * n);
		proc_exit(snapshot);
		proc_exit(sharer);
		uvm_unmap(tm_map(tm_proc), TM_VA(0), TM_VA(n));
	}
	end();
}

KTEST(T39_sharer_that_only_loads_follows, "a sharer that had the old page mapped sees what another stores to the new one (I-AMAP-9)")
{
	struct proc *snapshot, *sharer;

	begin(2);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	snapshot = fork_child();
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(2), MAP_INHERIT_SHARE), 0);
	sharer = fork_child();
	CHECK_EQ(tm_load(0) + tm_load_in(sharer, 0), 2);
	tm_store_in(sharer, 0, 9);
	CHECK_EQ(tm_load(0), 9);
	CHECK_EQ(tm_load_in(snapshot, 0), 1);
	proc_exit(snapshot);
	proc_exit(sharer);
	end();
}

/* As T-39 with a file below: 2B. */
KTEST(T39_sharers_follow_a_promoted_file_page, "case 2B in a shared amap: a sharer that had the file's page mapped sees the store")
{
	struct proc *sharer;

	begin(1);
	map_file(tm_proc, 0, 4, 0, UMAP_PRIVATE);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(4), MAP_INHERIT_SHARE), 0);
	sharer = fork_child();
	CHECK_EQ(tm_load(1), tu_word(ptoa(1)));
	CHECK_EQ(tm_load_in(sharer, 1), tu_word(ptoa(1)));
	tm_store_in(sharer, 1, 5);
	CHECK_EQ(tm_load(1), 5);
	proc_exit(sharer);
	end();
}

/* One amap, and fork has made two things of it: the slots of one half wait for their copy. */
KTEST(load_under_needs_copy_promotes_nothing, "the other half of the entry is shared: a load of this one still maps the file's page")
{
	struct proc *child;
	uint64_t promoted;

	begin(1);
	map_file(tm_proc, 0, 4, 0, UMAP_PRIVATE);
	tm_store(0, 1);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(2), ptoa(2), MAP_INHERIT_SHARE), 0);
	CHECK_EQ(tm_load(1), tu_word(ptoa(1)));
	child = fork_child();
	promoted = tu_count(UVMC_flt_prcopy);
	CHECK_EQ(tm_load_in(child, 1), tu_word(ptoa(1)));
	CHECK_EQ(tu_count(UVMC_flt_prcopy), promoted);
	CHECK_EQ(tm_load_in(child, 3), tu_word(ptoa(3)));
	CHECK_EQ(tu_count(UVMC_flt_prcopy), promoted + 1);
	proc_exit(child);
	end();
}

/* R10: the page is pinned by a third, who maps the file shared and has it wired. */
KTEST(R10_promotion_leaves_wired_mappings_of_the_file_alone, "case 2B in a shared amap while somebody else has the file's page wired")
{
	struct proc *sharer, *third;

	begin(1);
	map_file(tm_proc, 0, 4, 0, UMAP_PRIVATE);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(4), MAP_INHERIT_SHARE), 0);
	sharer = fork_child();
	CHECK_EQ(proc_create("third", &third), 0);
	map_file(third, 0, 4, 0, UMAP_SHARED);
	CHECK_EQ(sys_mlock(third, TM_VA(0), ptoa(4)), 0);
	CHECK_EQ(tm_load(1), tu_word(ptoa(1)));
	CHECK_EQ(tm_load_in(sharer, 1), tu_word(ptoa(1)));
	tm_store_in(sharer, 1, 5);
	CHECK_EQ(tm_load(1), 5);
	CHECK_EQ(tm_load_in(third, 1), tu_word(ptoa(1)));
	CHECK_EQ(tm_wire_count(third, 1), 1);
	proc_exit(third);
	proc_exit(sharer);
	end();
}

KTEST_MAIN()
