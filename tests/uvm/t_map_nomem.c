/*
 * No memory for map entries: a call that would have to split one is refused, or waits with
 * the map unlocked, and in no case leaves half of its work.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

static bool no_items;			/* pool caches have nothing without waiting */
static int first;			/* but so many at first */
static int failures;			/* so many times; -1: always */
static bool hopeless;

void	*__real_pool_cache_get(pool_cache_t, int);
void	*__wrap_pool_cache_get(pool_cache_t, int);
bool	__real_uvm_reclaimable(void);
bool	__wrap_uvm_reclaimable(void);

void *
__wrap_pool_cache_get(pool_cache_t pc, int flags)
{
	if (no_items && (flags & PR_WAITOK) == 0 && failures != 0 && first-- <= 0) {
		failures -= failures > 0;
		return NULL;
	}
	return __real_pool_cache_get(pc, flags);
}

bool
__wrap_uvm_reclaimable(void)
{
	return !hopeless && __real_uvm_reclaimable();
}

/* An entry of 8 pages, each with its number. */
static void
begin(void)
{
	tm_boot(1, 4096);
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 100 + (uint64_t)i);
	no_items = hopeless = true;
	failures = -1;
	first = 0;
}

/* It is still there, whole. */
static void
end(void)
{
	no_items = hopeless = false;
	TM_SHAPE(tm_proc, "aaaaaaaa");
	CHECK_EQ(tm_map(tm_proc)->nparked, 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), 100 + (uint64_t)i);
	tm_check(tm_proc);
	tm_shutdown();
}

KTEST(what_would_split_is_refused, "munmap, mprotect, minherit, madvise, mlock in the middle of an entry: ENOMEM, and nothing has changed (I-SYS-1)")
{
	begin();
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), ptoa(3)), ENOMEM);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(2), ptoa(3), VM_PROT_READ), ENOMEM);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(2), ptoa(3), MAP_INHERIT_NONE), ENOMEM);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(2), ptoa(3), UMADV_SEQUENTIAL), ENOMEM);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(2), ptoa(3)), ENOMEM);
	CHECK_EQ(tm_wire_count(tm_proc, 2), 0);
	end();
}

KTEST(B20_what_would_replace_is_refused, "mmap FIXED into the middle of an entry: what is there stays")
{
	vaddr_t va = TM_VA(2);

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(3), VM_PROT_READ, UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED,
	    NULL, 0, 0), ENOMEM);
	end();
}

KTEST(what_would_move_is_refused, "mremap that cuts, or moves, a part of an entry: it stays where it is")
{
	vaddr_t va = TM_VA(20);

	begin();
	CHECK_EQ(uvm_mremap(tm_map(tm_proc), TM_VA(0), ptoa(8), &va, ptoa(5), true), ENOMEM);
	CHECK_EQ(uvm_mremap(tm_map(tm_proc), TM_VA(2), ptoa(3), &va, ptoa(3), true), ENOMEM);
	end();
}

KTEST(break_stays_up, "a break that would have to be cut stays, and what is below it")
{
	vaddr_t base;

	begin();
	no_items = hopeless = false;
	base = tm_proc->p_vmspace->vm_dend;
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(4)), 0);
	CHECK_EQ(user_store(base + ptoa(3), 7), 0);
	no_items = hopeless = true;
	CHECK_EQ(sys_obreak(tm_proc, base + ptoa(2)), ENOMEM);
	CHECK_EQ(tm_proc->p_vmspace->vm_dend, base + ptoa(4));
	no_items = false;
	CHECK_EQ(sys_obreak(tm_proc, base), 0);
	end();
}

KTEST(stack_is_there_or_not, "no entry to divide the stack from what it may become: there is no stack, or it and its limit stay")
{
	const struct urlimit two = { ptoa(2), ptoa(5) }, three = { ptoa(3), ptoa(5) };
	struct urlimit rl;

	begin();
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_STACK, two), 0);
	first = 1;
	CHECK_EQ(exec_setup_stack(tm_proc), ENOMEM);
	CHECK_EQ(tm_map(tm_proc)->size, ptoa(8));
	CHECK_EQ(tm_proc->p_vmspace->vm_minsaddr, 0);
	first = 2;
	CHECK_EQ(exec_setup_stack(tm_proc), 0);
	first = 0;
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_STACK, three), ENOMEM);
	CHECK_EQ(sys_getrlimit(tm_proc, URLIMIT_STACK, &rl), 0);
	CHECK_EQ(rl.rl_cur, ptoa(2));
	CHECK_EQ(user_store(VM_MAXUSER_ADDRESS - ptoa(3), 1), EACCES);
	no_items = false;
	CHECK_EQ(sys_setrlimit(tm_proc, URLIMIT_STACK, three), 0);
	CHECK_EQ(user_store(VM_MAXUSER_ADDRESS - ptoa(3), 1), 0);
	end();
}

KTEST(what_splits_nothing_needs_nothing, "calls on whole entries go through without any memory")
{
	begin();
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(8), VM_PROT_READ), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(8), VM_PROT_READ | VM_PROT_WRITE), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(8)), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(8)), 0);
	end();
}

KTEST(waits_with_the_map_unlocked, "where something can be reclaimed the call waits, and goes through")
{
	begin();
	hopeless = false;
	failures = 3;
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), ptoa(3)), 0);
	CHECK_EQ(tu_count(UVMC_map_splitwaits), 3);
	no_items = false;
	TM_SHAPE(tm_proc, "aa...bbb");
	CHECK_EQ(tm_map(tm_proc)->nparked, 0);
	tm_shutdown();
}

KTEST(fork_waits_and_tries_again, "a fork that finds no entry gives back what it has, waits with no map locked, and goes through")
{
	struct proc *child;

	begin();
	hopeless = false;
	failures = 3;
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	no_items = false;
	CHECK_EQ(failures, 0);
	TM_SHAPE(child, "aaaaaaaa");
	proc_exit(child);
	end();
}

KTEST(first_touch_of_a_big_entry_is_refused, "a big entry is cut where it is touched: without entries the access is ENOMEM, no hang")
{
	const vsize_t n = 4 * UVM_AMAP_LARGE;
	vaddr_t va = TM_VA(1000);

	begin();
	no_items = false;
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(n), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0), 0);
	no_items = true;
	CHECK_EQ(user_store(va + ptoa(n / 2), 1), ENOMEM);
	no_items = hopeless = false;
	CHECK_EQ(user_store(va + ptoa(n / 2), 1), 0);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(n)), 0);
	end();
}

KTEST_MAIN()
