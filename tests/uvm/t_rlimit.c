/*
 * Resource limits, and the stack that one of them makes grow.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	PRIVATE	(UMAP_ANON | UMAP_PRIVATE)
#define	TOP	VM_MAXUSER_ADDRESS

static int
set(struct proc *p, int which, uint64_t cur)
{
	struct urlimit rl;

	CHECK_EQ(sys_getrlimit(p, which, &rl), 0);
	rl.rl_cur = cur;
	return sys_setrlimit(p, which, rl);
}

static uint64_t
limit_of(struct proc *p, int which)
{
	struct urlimit rl;

	CHECK_EQ(sys_getrlimit(p, which, &rl), 0);
	return rl.rl_cur;
}

static int
map_at(struct proc *p, int page, int n, int flags)
{
	vaddr_t va = TM_VA(page);

	return sys_mmap(p, &va, ptoa((vaddr_t)n), RW, PRIVATE | UMAP_FIXED | flags, NULL, 0, 0);
}

/* While somebody waits for the map's lock, another thread maps so many pages. */
static int meanwhile;
static vaddr_t break_meanwhile;		/* or its break goes there */

void __real_vm_map_lock(struct vm_map *);
void __wrap_vm_map_lock(struct vm_map *);

void
__wrap_vm_map_lock(struct vm_map *map)
{
	vaddr_t va = 0;
	vaddr_t newbreak = break_meanwhile;
	int n = meanwhile;

	meanwhile = 0;
	break_meanwhile = 0;
	if (newbreak != 0 && map == tm_map(tm_proc))
		CHECK_EQ(sys_obreak(tm_proc, newbreak), 0);
	if (n != 0 && map == tm_map(tm_proc))
		CHECK_EQ(sys_mmap(tm_proc, &va, ptoa((vaddr_t)n), RW, PRIVATE, NULL, 0, 0), 0);
	__real_vm_map_lock(map);
}

/* --- RLIMIT_AS --- */

KTEST(mmap_up_to_the_limit_and_no_further, "as many bytes may be mapped as RLIMIT_AS says; more is ENOMEM and changes nothing")
{
	vaddr_t va = 0;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aa");
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(4) + 5), 0);
	CHECK_EQ(map_at(tm_proc, 4, 2, 0), 0);
	CHECK_EQ(tu_count(UVMC_lim_as), 0);
	CHECK_EQ(map_at(tm_proc, 8, 1, 0), ENOMEM);
	CHECK_EQ(sys_mmap(tm_proc, &va, 1, RW, PRIVATE, NULL, 0, 0), ENOMEM);
	CHECK_EQ(tu_count(UVMC_lim_as), 2);
	TM_SHAPE(tm_proc, "aa..bb...");
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(map_at(tm_proc, 8, 1, 0), 0);
	tm_shutdown();
}

KTEST(what_is_replaced_does_not_count, "a fixed mapping within the limit replaces; one beyond it takes nothing away (I-SYS-1)")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	tm_store(1, 7);
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(4)), 0);
	CHECK_EQ(map_at(tm_proc, 1, 4, 0), ENOMEM);
	CHECK_EQ(tm_load(1), 7);
	CHECK_EQ(map_at(tm_proc, 2, 2, 0), 0);
	CHECK_EQ(map_at(tm_proc, 1, 2, 0), 0);		/* from the middle of one entry to that of another */
	CHECK_EQ(tm_load(1), 0);
	CHECK_EQ(map_at(tm_proc, 4, 1, 0), ENOMEM);
	tm_shutdown();
}

KTEST(B20_limit_is_asked_with_the_map_locked, "mmap that waits for the map while another thread maps is held against what is mapped then")
{
	vaddr_t va = 0;

	tm_boot(1, NPAGES);
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(8)), 0);
	meanwhile = 5;
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(4), RW, PRIVATE, NULL, 0, 0), ENOMEM);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(5));
	meanwhile = 1;
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, PRIVATE, NULL, 0, 0), 0);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(8));
	tm_shutdown();
}

KTEST(whatever_grows_asks, "mremap, brk, shmat and memory from another process are refused beyond the limit, and within it are not")
{
	struct proc *other;
	vaddr_t va, heap = VM_HEAP_ADDRESS;

	tm_boot(1, NPAGES);
	CHECK_EQ(proc_create("other", &other), 0);
	tm_put(other, "aaa");
	tm_put(tm_proc, "aa.n");
	for (int room = 0; room <= 1; room++) {
		int want = room == 1 ? 0 : ENOMEM;

		CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(3 + (vaddr_t)room)), 0);
		va = TM_VA(8);
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(3), true), want);
		if (room == 1)
			CHECK_EQ(sys_mremap(tm_proc, va, ptoa(3), &va, ptoa(2), false), 0);
		va = room == 1 ? TM_VA(8) : TM_VA(0);
		CHECK_EQ(sys_mremap(tm_proc, va, ptoa(2), &va, ptoa(3), false), want);
		if (room == 1)
			CHECK_EQ(sys_munmap(tm_proc, TM_VA(8), PAGE_SIZE), 0);
		CHECK_EQ(sys_obreak(tm_proc, heap + 1), want);
		CHECK_EQ(tm_proc->p_vmspace->vm_dend, heap + (want == 0));
		CHECK_EQ(sys_obreak(tm_proc, heap), 0);
		va = 0;
		CHECK_EQ(sys_extract(other, TM_VA(0), PAGE_SIZE, tm_proc, &va, false), want);
		CHECK_EQ(va == 0, want != 0);
		if (room == 1)
			CHECK_EQ(sys_munmap(tm_proc, va, PAGE_SIZE), 0);
	}
	va = 0;
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, RW), ENOMEM);
	CHECK_EQ(exec_setup_stack(tm_proc), ENOMEM);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(3));
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(3) + uao_size(tm_obj)), 0);
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, RW), 0);
	proc_exit(other);
	tm_shutdown();
}

KTEST(mremap_counts_what_it_replaces, "a mapping that grows over another one needs room for the difference only")
{
	vaddr_t va = TM_VA(8);

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aa......nnn");
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(4)), 0);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(5), true), ENOMEM);
	TM_SHAPE(tm_proc, "aa......bbb");
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(4), true), 0);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(4));
	tm_shutdown();
}

KTEST(lower_limit_takes_nothing_away, "what is mapped beyond a limit that was lowered stays, may move and shrink, and may not grow")
{
	vaddr_t va = TM_VA(8);

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	tm_store(0, 3);
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(1)), 0);
	CHECK_EQ(map_at(tm_proc, 20, 1, 0), ENOMEM);
	CHECK_EQ(map_at(tm_proc, 3, 1, 0), ENOMEM);	/* the process has too much as it is */
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(4), &va, ptoa(2), true), 0);
	CHECK_EQ(tm_load(8), 3);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(8), ptoa(2)), 0);
	CHECK_EQ(map_at(tm_proc, 20, 1, 0), 0);
	tm_shutdown();
}

/* --- whose limits they are --- */

KTEST(child_has_its_parents_limits, "fork copies the limits; then each has its own, and exec keeps them")
{
	struct proc *child;

	tm_boot(1, NPAGES);
	CHECK_EQ(set(tm_proc, URLIMIT_AS, ptoa(2)), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_MEMLOCK, ptoa(1)), 0);
	CHECK_EQ(map_at(tm_proc, 0, 2, 0), 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(tm_map(child)->allowed, ptoa(2));
	CHECK_EQ(set(tm_proc, URLIMIT_AS, URLIM_INFINITY), 0);
	CHECK_EQ(limit_of(child, URLIMIT_MEMLOCK), ptoa(1));
	CHECK_EQ(map_at(child, 4, 1, 0), ENOMEM);
	CHECK_EQ(map_at(tm_proc, 4, 1, 0), 0);
	uvmspace_exec(child);
	CHECK_EQ(map_at(child, 0, 3, 0), ENOMEM);
	CHECK_EQ(map_at(child, 0, 2, 0), 0);
	proc_exit(child);
	tm_shutdown();
}

KTEST(limit_of_a_vforked_child, "a child of vfork sets its own limit, which is that of its memory once it has some of its own")
{
	struct proc *child;

	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aa");
	CHECK_EQ(proc_vfork(tm_proc, "child", &child), 0);
	CHECK_EQ(set(child, URLIMIT_AS, ptoa(1)), 0);
	CHECK_EQ(limit_of(tm_proc, URLIMIT_AS), URLIM_INFINITY);
	CHECK_EQ(map_at(tm_proc, 4, 1, 0), 0);
	uvmspace_exec(child);
	CHECK_EQ(map_at(child, 0, 2, 0), ENOMEM);
	CHECK_EQ(map_at(child, 0, 1, 0), 0);
	CHECK_EQ(map_at(tm_proc, 6, 1, 0), 0);
	proc_vfork_wait(child);
	proc_exit(child);
	tm_shutdown();
}

KTEST(wrong_limits_are_refused, "no such limit, or above its maximum: EINVAL; a maximum is lowered for ever: EPERM")
{
	struct urlimit rl = { 10, 10 };

	tm_boot(1, NPAGES);
	CHECK_EQ(sys_setrlimit(tm_proc, -1, rl), EINVAL);
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_N, rl), EINVAL);
	CHECK_EQ(sys_getrlimit(tm_proc, URLIMIT_N, &rl), EINVAL);
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_DATA, (struct urlimit){ 11, 10 }), EINVAL);
	CHECK_EQ(limit_of(tm_proc, URLIMIT_DATA), URLIM_INFINITY);
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_DATA, rl), 0);
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_DATA, (struct urlimit){ 10, 11 }), EPERM);
	CHECK_EQ(limit_of(tm_proc, URLIMIT_DATA), 10);
	tm_shutdown();
}

/* --- RLIMIT_DATA, RLIMIT_MEMLOCK --- */

KTEST(break_stays_within_RLIMIT_DATA, "brk beyond the limit is ENOMEM and moves nothing; down it may go")
{
	vaddr_t base = VM_HEAP_ADDRESS;

	tm_boot(1, NPAGES);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(3)), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_DATA, ptoa(2)), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(3) + 1), ENOMEM);
	CHECK_EQ(tm_proc->p_vmspace->vm_dend, base + ptoa(3));
	CHECK_EQ(tu_count(UVMC_lim_data), 1);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(2) + 100), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + 1), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(2)), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(2) + 1), ENOMEM);
	CHECK_EQ(set(tm_proc, URLIMIT_DATA, ptoa(1) + 5), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(1) + 5), 0);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(1) + 6), ENOMEM);	/* in the same page */
	tm_shutdown();
}

KTEST(two_breaks_at_once, "a break that another thread moves meanwhile is moved from where that has put it")
{
	vaddr_t base = VM_HEAP_ADDRESS;
	uint64_t w;

	tm_boot(1, NPAGES);
	break_meanwhile = base + ptoa(5);
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(3)), 0);
	CHECK_EQ(tm_proc->p_vmspace->vm_dend, base + ptoa(3));
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(3));
	CHECK_EQ(user_load(base + ptoa(3), &w), EFAULT);
	tm_shutdown();
}

KTEST(mapping_that_cannot_be_wired, "for want of memory is none")
{
	tm_boot(1, NPAGES);
	tu_take(NPAGES, 0);
	CHECK_EQ(map_at(tm_proc, 0, 4, UMAP_WIRED), ENOMEM);
	tu_release();
	CHECK(tm_map(tm_proc)->nentries == 0 && uvm.wired == 0);
	tm_shutdown();
}

KTEST(what_mremap_adds_is_wired, "under MCL_FUTURE, as what mmap maps")
{
	vaddr_t va = TM_VA(0);

	tm_boot(1, NPAGES);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	CHECK_EQ(map_at(tm_proc, 0, 1, 0), 0);
	CHECK_EQ(uvm.wired, 1);
	CHECK_EQ(sys_mremap(tm_proc, va, PAGE_SIZE, &va, ptoa(3), false), 0);
	CHECK_EQ(uvm.wired, 3);
	tm_shutdown();
}

KTEST(wiring_stays_within_RLIMIT_MEMLOCK, "mlock beyond the limit is EAGAIN, mlockall ENOMEM, and nothing is wired by them")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	CHECK_EQ(set(tm_proc, URLIMIT_MEMLOCK, ptoa(3)), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(2), ptoa(2)), EAGAIN);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT), ENOMEM);
	CHECK_EQ(uvm.wired, 2);
	CHECK_EQ(tu_count(UVMC_lim_memlock), 2);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(2), ptoa(1)), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(3), ptoa(1)), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_MEMLOCK, ptoa(4)), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT), 0);
	CHECK_EQ(uvm.wired, 4);
	CHECK_EQ(set(tm_proc, URLIMIT_MEMLOCK, 0), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), 1), EAGAIN);
	tm_shutdown();
}

KTEST(B26_wired_mapping_beyond_the_limit, "a mapping that would be born wired, and may not, leaves what it would have replaced")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aa");
	tm_store(0, 9);
	CHECK_EQ(set(tm_proc, URLIMIT_MEMLOCK, ptoa(1)), 0);
	CHECK_EQ(map_at(tm_proc, 0, 2, UMAP_WIRED), ENOMEM);
	CHECK_EQ(tm_load(0), 9);
	CHECK_EQ(map_at(tm_proc, 1, 1, UMAP_WIRED), 0);
	CHECK_EQ(uvm.wired, 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(1), PAGE_SIZE), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS + ptoa(2)), 0);	/* grown, and not wired */
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS + ptoa(3)), 0);
	CHECK_EQ(uvm.wired, 1);
	tm_shutdown();
}

KTEST(wiredmax_is_for_all, "beyond what may be wired in all mlock is EAGAIN, mlockall and a wired mapping ENOMEM")
{
	tm_boot(1, NPAGES);
	tm_put(tm_proc, "aaaa");
	uvm.wiredmax = uvm.wired + 3;
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(4)), EAGAIN);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT), ENOMEM);
	CHECK_EQ(map_at(tm_proc, 0, 4, UMAP_WIRED), ENOMEM);
	CHECK_EQ(tu_count(UVMC_lim_memlock), 3);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(3)), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS + ptoa(1)), 0);	/* grown, and not wired */
	CHECK_EQ(uvm.wired, uvm.wiredmax);
	tm_shutdown();
}

/* --- the stack --- */

static int
store(vaddr_t va, uint64_t value)
{
	return user_store(va, value);
}

static uint64_t
load(vaddr_t va)
{
	uint64_t value;

	CHECK_EQ(user_load(va, &value), 0);
	return value;
}

/* => a stack of that many pages out of so many */
static void
exec_with(vsize_t pages, vsize_t most)
{
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_STACK, (struct urlimit){ ptoa(pages), ptoa(most) }), 0);
	uvmspace_exec(tm_proc);
	CHECK_EQ(exec_setup_stack(tm_proc), 0);
}

KTEST(stack_ends_in_a_guard, "the stack is zeroes; below RLIMIT_STACK a fault is EACCES, below all that it can have EFAULT")
{
	tm_boot(1, NPAGES);
	exec_with(2, 5);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(5));
	CHECK_EQ(load(TOP - 8), 0);
	CHECK_EQ(store(TOP - ptoa(2), 4), 0);
	CHECK_EQ(store(TOP - ptoa(2) - 8, 4), EACCES);
	CHECK_EQ(store(TOP - ptoa(5), 4), EACCES);
	CHECK_EQ(store(TOP - ptoa(5) - 8, 4), EFAULT);
	CHECK_EQ(tm_proc->p_vmspace->vm_ssize, ptoa(2));
	tm_shutdown();
}

KTEST(stack_grows_and_shrinks_with_its_limit, "a higher limit gives more of it, a lower one takes it; what is in it stays")
{
	tm_boot(1, NPAGES);
	exec_with(2, 5);
	CHECK_EQ(store(TOP - 8, 1), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(4) - 1), 0);
	CHECK_EQ(store(TOP - ptoa(4), 2), 0);
	CHECK_EQ(store(TOP - ptoa(5), 2), EACCES);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(1)), 0);
	CHECK_EQ(store(TOP - ptoa(4), 3), EACCES);
	CHECK_EQ(store(TOP - ptoa(2), 3), EACCES);
	CHECK_EQ(load(TOP - 8), 1);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(5)), 0);
	CHECK_EQ(load(TOP - ptoa(4)), 2);
	CHECK_EQ(load(TOP - ptoa(5)), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(6)), EINVAL);
	CHECK_EQ(tu_count(UVMC_lim_stack), 4);		/* exec's is one */
	tm_check(tm_proc);
	tm_shutdown();
}

KTEST(stack_of_a_child, "fork copies the stack, which then grows by the child's limit alone; exec takes it away")
{
	struct proc *child;

	tm_boot(1, NPAGES);
	exec_with(2, 5);
	CHECK_EQ(store(TOP - 8, 1), 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(set(child, URLIMIT_STACK, ptoa(3)), 0);
	CHECK_EQ(store(TOP - ptoa(3), 1), EACCES);
	proc_attach(child);
	CHECK_EQ(store(TOP - ptoa(3), 1), 0);
	CHECK_EQ(load(TOP - 8), 1);
	uvmspace_exec(child);
	CHECK_EQ(store(TOP - 8, 1), EFAULT);
	CHECK_EQ(set(child, URLIMIT_STACK, ptoa(4)), 0);	/* there is none to grow */
	CHECK_EQ(tu_count(UVMC_lim_stack), 2);
	CHECK_EQ(tm_map(child)->size, 0);
	proc_attach(tm_proc);
	proc_exit(child);
	/* and gets smaller from where its parent's was */
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(set(child, URLIMIT_STACK, ptoa(1)), 0);
	proc_attach(child);
	CHECK_EQ(store(TOP - ptoa(2), 1), EACCES);
	CHECK_EQ(load(TOP - 8), 1);
	proc_attach(tm_proc);
	proc_exit(child);
	tm_shutdown();
}

KTEST(stack_that_cannot_grow_keeps_its_limit, "under MCL_FUTURE without memory, or with others' rights in the way: an error, and nothing has changed")
{
	vaddr_t va = TOP - ptoa(4);
	struct vnode *vp;

	tm_boot(1, NPAGES);
	vp = tu_file(ptoa(1));
	exec_with(2, 5);
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, VM_PROT_READ, UMAP_SHARED | UMAP_FIXED, vp, UF_READ,
	    0), 0);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(4)), EACCES);
	CHECK_EQ(limit_of(tm_proc, URLIMIT_STACK), ptoa(2));
	CHECK_EQ(store(TOP - ptoa(3), 1), EACCES);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	tu_take(NPAGES, 0);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(3)), ENOMEM);
	tu_release();
	CHECK_EQ(limit_of(tm_proc, URLIMIT_STACK), ptoa(2));
	CHECK_EQ(store(TOP - ptoa(3), 1), EACCES);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(set(tm_proc, URLIMIT_STACK, ptoa(3)), 0);
	CHECK_EQ(uvm.wired, 1);
	tm_check(tm_proc);
	vrele(vp);
	tm_shutdown();
}

KTEST_MAIN()
