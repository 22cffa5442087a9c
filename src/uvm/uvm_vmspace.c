/*
 * Address spaces: making, forking, emptying, freeing (uvm-spec 1.15).
 *
 * Fork locks the parent's map for writing from beginning to end.  What it makes
 * copy-on-write it write-protects in the parent's pmap, and the shootdown is
 * complete before the lock is dropped: no thread of the parent can store through
 * an old translation to a page that the child sees (T-6).
 *
 * Wired and copy-on-write exclude each other (R13): what the parent has wired is
 * copied for the child now.
 *
 * After vfork parent and child are in one address space.  So exec may empty it in place only
 * if nobody else is in it (T-10); otherwise it leaves it to them and takes a new one.
 */
#include <uvm/uvm_proc.h>

#include <host/sched.h>
#include <sys/bug.h>
#include <sys/pool.h>
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

static uint64_t nvmspace;		/* atomic: alive */

uint64_t
vmspace_count(void)
{
	return __atomic_load_n(&nvmspace, __ATOMIC_RELAXED);
}

struct vmspace *
uvmspace_alloc(vaddr_t min, vaddr_t max)
{
	struct vmspace *vm = kmem_zalloc(sizeof(*vm), KM_SLEEP);

	uvm_map_setup(&vm->vm_map, pmap_create(), min, max, VM_MAP_PAGEABLE);
	vm->vm_refcnt = 1;
	vm->vm_daddr = vm->vm_dend = VM_HEAP_ADDRESS;
	__atomic_fetch_add(&nvmspace, 1, __ATOMIC_RELAXED);
	return vm;
}

void
uvmspace_free(struct vmspace *vm)
{
	struct vm_map *map = &vm->vm_map;

	host_point(HP_ATOMIC, map->id);
	/* release our use, acquire everybody else's: the last one frees */
	if (__atomic_sub_fetch(&vm->vm_refcnt, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	vm_map_lock(map);
	map->dying = true;
	vm_map_unlock(map);
	uvm_unmap(map, vm_map_min(map), vm_map_max(map));
	pmap_destroy(map->pmap);
	uvm_map_teardown(map);
	kmem_free(vm, sizeof(*vm));
	__atomic_fetch_sub(&nvmspace, 1, __ATOMIC_RELAXED);
}

struct vmspace *
uvmspace_share(struct vmspace *vm)
{
	host_point(HP_ATOMIC, vm->vm_map.id);
	/* relaxed: the caller's reference is there */
	__atomic_add_fetch(&vm->vm_refcnt, 1, __ATOMIC_RELAXED);
	UVMCNT(forks_sharevm);
	return vm;
}

/* => nobody else is in it */
static void
empty(struct proc *p)
{
	struct vm_map *map = &p->p_vmspace->vm_map;
	struct vm_map_entry *dead = NULL;

	uvm_vslock_drain(map, vm_map_min(map), vm_map_max(map));
	/* relaxed: pairs with sys_mmap() */
	__atomic_store_n(&map->wirefuture, false, __ATOMIC_RELAXED);
	p->p_vmspace->vm_daddr = p->p_vmspace->vm_dend = VM_HEAP_ADDRESS;
	p->p_vmspace->vm_minsaddr = p->p_vmspace->vm_maxsaddr = p->p_vmspace->vm_ssize = 0;
	uvm_unmap_remove(map, vm_map_min(map), vm_map_max(map), &dead);
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
}

void
uvmspace_exec(struct proc *p)
{
	struct vm_map *map = &p->p_vmspace->vm_map;

	host_point(HP_ATOMIC, map->id);
	/* acquire: one is us, and who was in it before has left it as it is now */
	if (__atomic_load_n(&p->p_vmspace->vm_refcnt, __ATOMIC_ACQUIRE) == 1)
		empty(p);
	else
		proc_newspace(p, uvmspace_alloc(vm_map_min(map), vm_map_max(map)));
}

/* --- fork --- */

/*
 * => both maps(W): the child gets the entry's twin, with references of its own; NULL: memory
 *    is short, and to wait for it here would keep the maps from those who could free some
 */
static struct vm_map_entry *
twin(struct vm_map *child, const struct vm_map_entry *old)
{
	struct vm_map_entry *new = uvm_mapent_twin(child, old, old->start, old->end,
	    old->inheritance == MAP_INHERIT_SHARE ? AMAP_SHARED : 0);

	if (new != NULL)
		uvm_map_entry_link(child, child->header.prev, new);
	return new;
}

static int
fork_share(struct vm_map *parent, struct vm_map *child, struct vm_map_entry *old)
{
	/* Both shall see one amap, so there must be one. */
	int error = uvm_mapent_copynow(parent, old);

	if (error != 0)
		return error;
	uvm_map_drop_lower(parent, old);
	return twin(child, old) != NULL ? 0 : ENOMEM;
}

/* => map(W): does the range have a page that is wired, by mlock or for I/O? (B-23) */
static bool
has_wired_page(struct vm_map_entry *e)
{
	struct vm_amap *amap = e->aref.ar_amap;
	bool wired = false;

	if (VM_MAPENT_ISWIRED(e))
		return true;
	if (amap == NULL)
		return false;
	amap_lock(amap);
	wired = amap_has_wired(&e->aref, uvm_entry_npages(e));
	amap_unlock(amap);
	return wired;
}

/* => map(W): is the entry's amap shared with another process, which our pmap does not stop? */
static bool
has_shared_amap(struct vm_map_entry *e)
{
	struct vm_amap *amap = e->aref.ar_amap;
	bool shared;

	if (amap == NULL)
		return false;
	amap_lock(amap);
	shared = amap_shared(amap);
	amap_unlock(amap);
	return shared;
}

/*
 * Copies the child's amap now, and what is wired in it page by page.
 * => both maps(W); the parent's pmap lets nobody store to the range.
 */
static int
fork_copy_now(const struct vm_map *parent, struct vm_map *child, struct vm_map_entry *old,
    struct vm_map_entry *new, bool wired)
{
	int error;

	KASSERTMSG(!pmap_deferred(parent->pmap),
	    "I-SYS-2: map %u is copied, and CPUs have not been told that they may not store to it (T-6)",
	    parent->id);
	error = uvm_mapent_copynow(child, new);

	if (error != 0 || old->aref.ar_amap == NULL)
		return error;
	if (wired)
		return amap_cow_now(child, new);
	/* a sharer may have wired some since we looked: its map is not ours to lock */
	amap_lock(old->aref.ar_amap);
	wired = amap_has_wired(&old->aref, uvm_entry_npages(old));
	amap_unlock(old->aref.ar_amap);
	return wired ? amap_cow_now(child, new) : 0;
}

static int
fork_copy(struct vm_map *parent, struct vm_map *child, struct vm_map_entry *old)
{
	bool wired = !BUG(fork_cows_wired) && has_wired_page(old), shared = has_shared_amap(old);
	struct vm_map_entry *new = twin(child, old);

	if (new == NULL)
		return ENOMEM;
	new->etype |= UVM_ET_COPYONWRITE | UVM_ET_NEEDSCOPY;
	if (old->aref.ar_amap == NULL)
		return 0;
	if (!UVM_ET_ISNEEDSCOPY(old) && (old->max_protection & VM_PROT_WRITE) != 0)
		pmap_protect(parent->pmap, old->start, old->end, old->protection & ~VM_PROT_WRITE);
	if (shared || wired) {
		/* Each page of the child is the parent's at one moment (I-SYS-2). */
		pmap_update(parent->pmap);
		return fork_copy_now(parent, child, old, new, wired);
	}
	old->etype |= UVM_ET_NEEDSCOPY;
	return 0;
}

/* => neither map locked; the child's is empty.  ENOMEM: it has a part of the entries. */
static int
fork_entries(struct vmspace *vm1, struct vmspace *vm2)
{
	struct vm_map *parent = &vm1->vm_map, *child = &vm2->vm_map;
	int error = 0;

	vm_map_lock(parent);
	vm_map_lock(child);
	vm2->vm_daddr = vm1->vm_daddr;
	vm2->vm_dend = vm1->vm_dend;
	vm2->vm_minsaddr = vm1->vm_minsaddr;
	vm2->vm_maxsaddr = vm1->vm_maxsaddr;
	vm2->vm_ssize = vm1->vm_ssize;
	child->allowed = parent->allowed;
	for (struct vm_map_entry *e = parent->header.next; e != &parent->header && error == 0;
	    e = e->next) {
		KASSERT(!UVM_ET_ISSUBMAP(e));
		if (e->inheritance == MAP_INHERIT_SHARE)
			error = fork_share(parent, child, e);
		else if (e->inheritance == MAP_INHERIT_COPY)
			error = fork_copy(parent, child, e);
	}
	if (!BUG(needscopy_no_shootdown))
		pmap_update(parent->pmap);	/* before anybody can come in: T-6 */
	vm_map_unlock(child);
	vm_map_unlock(parent);
	return error;
}

/*
 * What a fork that failed gives back looks to the page daemon like progress.  One that
 * needs more entries than there is memory for would wait for ever: so it tries a few times.
 */
#define	FORK_TRIES	8

struct vmspace *
uvmspace_fork(struct vmspace *vm1)
{
	for (unsigned tries = 1;; tries++) {
		struct vmspace *vm2 = uvmspace_alloc(vm_map_min(&vm1->vm_map),
		    vm_map_max(&vm1->vm_map));
		int error = fork_entries(vm1, vm2);
		bool hope;

		if (error == 0) {
			UVMCNT(forks);
			return vm2;
		}
		/* Asked now: what the child gives back is no sign of more. */
		hope = error == ENOMEM && tries < FORK_TRIES && uvm_reclaimable();
		/* What the parent has given up for it, it gets back by faults. */
		uvmspace_free(vm2);
		if (!hope)
			return NULL;
		uvm_wait("fork");
	}
}
