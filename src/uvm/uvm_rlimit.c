/*
 * Resource limits of a process, and its stack, which is as large as one of them says.
 *
 *	RLIMIT_AS	mmap, mremap, shmat, brk, exec: ENOMEM when more would be mapped
 *	RLIMIT_DATA	brk: ENOMEM
 *	RLIMIT_MEMLOCK	mlock: EAGAIN; mlockall, and mappings that are born wired: ENOMEM
 *	RLIMIT_STACK	how much of the stack may be accessed
 *
 * NetBSD 5.1 looks at RLIMIT_AS before the map is locked, so two threads that are each within it exceed
 * it together (B-20).  Here all growth passes by uvm_map_may_grow(), with the map locked for
 * writing: what is mapped cannot change between the sum and the mapping, and what a fixed mapping
 * replaces in the same section does not count.  Hence the map knows its limit, too: the one that its
 * process has set.  A child of vfork that sets its own while it is in its parent's memory does not
 * change that of its parent; it has it when it has memory of its own.
 *
 * A limit that is lowered takes nothing away.  So I-STAT-12 holds what is mapped against the limit
 * of the time when the map grew last, map->allowed.
 *
 *	|............|--------------------------|=============|
 *	             maxsaddr                    <- vm_ssize -> minsaddr
 *
 * The stack has all the addresses that it will ever have from exec on, as far as the hard limit lets it
 * grow; what lies beyond RLIMIT_STACK has no rights.  A fault there is EACCES, and EFAULT below:
 * no fault makes a stack grow, only setrlimit(2) does, which gives rights or takes them.
 * Somebody's own mapping in it is treated as the stack's: so do the kernels that this is after.
 */
#include <sys/bug.h>
#include <uvm/uvm_proc.h>

#include "uvm_map_i.h"

#define	STACK_SIZE	(2UL << 20)	/* as NetBSD's DFLSSIZ and MAXSSIZ */
#define	STACK_SIZE_MAX	(64UL << 20)

uint64_t
uvm_rlimit(const struct proc *p, int which)
{
	/* relaxed: pairs with put(); who has the map locked sees what it is */
	return __atomic_load_n(&p->p_rlimit[which].rl_cur, __ATOMIC_RELAXED);
}

static struct urlimit
get(const struct proc *p, int which)
{
	/* relaxed: likewise */
	return (struct urlimit){ uvm_rlimit(p, which),
		__atomic_load_n(&p->p_rlimit[which].rl_max, __ATOMIC_RELAXED) };
}

/* => map(W), or nobody else knows the process */
static void
put(struct proc *p, int which, struct urlimit rl)
{
	/* relaxed: pairs with uvm_rlimit() and get() */
	__atomic_store_n(&p->p_rlimit[which].rl_cur, rl.rl_cur, __ATOMIC_RELAXED);
	__atomic_store_n(&p->p_rlimit[which].rl_max, rl.rl_max, __ATOMIC_RELAXED);
	if (which == URLIMIT_AS && !proc_shares(p))
		p->p_vmspace->vm_map.limit = rl.rl_cur;
}

void
uvm_rlimit_inherit(struct proc *p, const struct proc *parent)
{
	const struct urlimit none = { URLIM_INFINITY, URLIM_INFINITY };

	for (int i = 0; i < URLIMIT_N; i++)
		put(p, i, parent != NULL ? get(parent, i) : none);
	if (parent == NULL)
		put(p, URLIMIT_STACK, (struct urlimit){ STACK_SIZE, STACK_SIZE_MAX });
}

/* --- address space, wiring --- */

/* => map(W): bytes that are mapped in the range */
static vsize_t
mapped(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *e;
	vsize_t size = 0;

	if (!uvm_map_lookup_entry(map, start, &e))
		e = e->next;
	for (; e != &map->header && e->start < end; e = e->next)
		size += (e->end < end ? e->end : end) - (e->start > start ? e->start : start);
	return size;
}

bool
uvm_map_may_grow(struct vm_map *map, vsize_t more, vaddr_t start, vaddr_t end)
{
	KASSERT(vm_map_locked_write(map));
	if (map->limit != URLIM_INFINITY && !BUG(as_limit_unlocked) &&
	    map->size + more - (start < end ? mapped(map, start, end) : 0) > map->limit) {
		UVMCNT(lim_as);
		return false;
	}
	map->allowed = map->limit;
	return true;
}

bool
uvm_over_memlock(const struct proc *p, vsize_t len)
{
	return ptoa((vsize_t)pmap_wired_count(p->p_vmspace->vm_map.pmap)) + len >
	    uvm_rlimit(p, URLIMIT_MEMLOCK);
}

/* --- the stack --- */

/* => map(W): how many bytes of it may be accessed with this limit */
static vsize_t
stack_size(const struct vmspace *vm, uint64_t limit)
{
	vsize_t most = vm->vm_minsaddr - vm->vm_maxsaddr;

	return limit < most ? round_page(limit) : most;
}

/* => map(W): all or nothing; dead: for uvm_unmap_detach() */
static int
stack_resize(struct vmspace *vm, uint64_t limit, struct vm_map_entry **dead)
{
	struct vm_map *map = &vm->vm_map;
	vsize_t size = stack_size(vm, limit), old = vm->vm_ssize;
	vaddr_t start = vm->vm_minsaddr - (size > old ? size : old);
	vaddr_t end = vm->vm_minsaddr - (size > old ? old : size);
	const vaddr_t splits[] = { start, end };
	int error;

	if (start == end)
		return 0;
	if (!uvm_mapent_ready(map, splits, 2))
		return ENOMEM;
	error = uvm_map_protect_locked(map, start, end, size > old ? VM_PROT_READ | VM_PROT_WRITE :
	    VM_PROT_NONE, false, dead);
	if (error == ENOMEM)		/* MCL_FUTURE: it can be had, but not wired */
		(void)uvm_map_protect_locked(map, start, end, VM_PROT_NONE, false, dead);
	if (error != 0)
		return error;
	vm->vm_ssize = size;
	UVMCNT(lim_stack);
	return 0;
}

int
exec_setup_stack(struct proc *p)
{
	struct urlimit rl = get(p, URLIMIT_STACK);
	vsize_t most = rl.rl_max < STACK_SIZE_MAX ? round_page(rl.rl_max) : STACK_SIZE_MAX;
	struct vmspace *vm = p->p_vmspace;
	vaddr_t start = VM_MAXUSER_ADDRESS - most;
	struct vm_map_entry *dead = NULL;
	int error = ENOMEM;

	if (most != 0)
		error = uvm_map(&vm->vm_map, &start, most, NULL, 0, 0, UVM_MAPFLAG(VM_PROT_NONE,
		    VM_PROT_ALL, MAP_INHERIT_COPY, UVM_ADV_NORMAL, UVM_FLAG_FIXED | UVM_FLAG_COPYONW));
	if (error != 0)
		return error;
	vm_map_lock(&vm->vm_map);
	vm->vm_minsaddr = VM_MAXUSER_ADDRESS;
	vm->vm_maxsaddr = start;
	error = stack_resize(vm, rl.rl_cur, &dead);
	if (error != 0)
		vm->vm_minsaddr = vm->vm_maxsaddr = 0;
	vm_map_unlock(&vm->vm_map);
	uvm_unmap_detach(dead);
	if (error != 0)
		uvm_unmap(&vm->vm_map, start, start + most);
	return error;
}

/* --- the system calls --- */

int
sys_setrlimit(struct proc *p, int which, struct urlimit rl)
{
	struct vmspace *vm = p->p_vmspace;
	struct vm_map_entry *dead = NULL;
	int error = 0;

	if (which < 0 || which >= URLIMIT_N || rl.rl_cur > rl.rl_max)
		return EINVAL;
	vm_map_lock(&vm->vm_map);
	if (rl.rl_max > get(p, which).rl_max)
		error = EPERM;
	else if (which == URLIMIT_STACK)
		error = stack_resize(vm, rl.rl_cur, &dead);
	if (error == 0)
		put(p, which, rl);
	vm_map_unlock(&vm->vm_map);
	uvm_unmap_detach(dead);
	return error;
}

int
sys_getrlimit(struct proc *p, int which, struct urlimit *rl)
{
	if (which < 0 || which >= URLIMIT_N)
		return EINVAL;
	vm_map_lock_read(&p->p_vmspace->vm_map);
	*rl = get(p, which);
	vm_map_unlock_read(&p->p_vmspace->vm_map);
	return 0;
}
