/*
 * System calls on address spaces (uvm-spec 16): argument checks, POSIX errors,
 * and the call of the map module.
 *
 * A call that fails leaves the address space as it was; B-26 (a mapping that
 * fails its wiring limit takes the old one with it) is not copied: limits are
 * looked at first.
 */
#include <sys/bug.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_device.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vnode.h>
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

static struct vm_map *
map_of(struct proc *p)
{
	return &p->p_vmspace->vm_map;
}

/* => whole pages around [va, va+len); EINVAL outside the map and for what wraps */
static int
page_range(struct proc *p, vaddr_t *va, vsize_t *len)
{
	vaddr_t start = trunc_page(*va), end;

	if (__builtin_add_overflow(*va, *len, &end) || end > vm_map_max(map_of(p)))
		return EINVAL;
	if (*len != 0 && start < vm_map_min(map_of(p)))
		return EINVAL;
	*va = start;
	*len = *len != 0 ? round_page(end) - start : 0;
	return 0;
}

/* The machine cannot give a right to store or to execute without that to load. */
static vm_prot_t
user_prot(int prot)
{
	return prot == VM_PROT_NONE ? prot : prot | VM_PROT_READ;
}

/* --- wiring what is new --- */

/* => would wiring so much more exceed what may be wired?  A limit, not a promise. */
static bool
over_wired_limit(vsize_t len)
{
	/* relaxed: pairs with the changes under pageq */
	return atop(len) + __atomic_load_n(&uvm.wired, __ATOMIC_RELAXED) > uvm.wiredmax;
}

/* => shall a new mapping be wired? */
static bool
wires_new(struct vm_map *map)
{
	/* relaxed: who calls mlockall() at the same time may be later or earlier */
	return __atomic_load_n(&map->wirefuture, __ATOMIC_RELAXED);
}

/* => 0; EAGAIN: RLIMIT_MEMLOCK, asked with the map locked, so that two do not exceed it together */
static int
wire_range(struct proc *p, vaddr_t start, vaddr_t end)
{
	struct vm_map *map = map_of(p);
	int error = uvm_map_lock_split(map, start, end, false);

	if (error != 0)
		return error;
	if (uvm_over_memlock(p, end - start)) {
		UVMCNT(lim_memlock);
		vm_map_unlock(map);
		return EAGAIN;
	}
	return uvm_map_pageable(map, start, end, false, UVM_LK_ENTER);
}

/* What a mapping has grown by, under mlockall(MCL_FUTURE): as far as memory goes. */
static void
wire_growth(struct proc *p, vaddr_t start, vaddr_t end)
{
	if (wires_new(map_of(p)) && !over_wired_limit(end - start))
		(void)wire_range(p, start, end);
}

/* --- mmap --- */

static int
check_file(int prot, int flags, struct vnode *vp, int fflags, vsize_t len, voff_t pos)
{
	voff_t end;

	if ((flags & UMAP_ANON) != 0)
		return vp != NULL ? EINVAL : 0;
	if (vp == NULL)
		return EBADF;
	if (pos < 0)
		return EINVAL;
	if (len > INT64_MAX || __builtin_add_overflow(pos, (voff_t)len, &end))
		return EOVERFLOW;
	if ((fflags & UF_READ) == 0)
		return EACCES;
	if ((flags & UMAP_SHARED) != 0 && (prot & VM_PROT_WRITE) != 0 && (fflags & UF_WRITE) == 0)
		return EACCES;
	return 0;
}

/* => FIXED: the range lies in the map, and shows the file's pages as wholes */
static int
check_fixed(struct vm_map *map, vaddr_t addr, vsize_t len, voff_t pos)
{
	vaddr_t end;

	if ((addr & PAGE_MASK) != ((vaddr_t)pos & PAGE_MASK))
		return EINVAL;
	if (__builtin_add_overflow(addr, len, &end))
		return EOVERFLOW;
	if (trunc_page(addr) < vm_map_min(map))
		return EINVAL;
	return end > vm_map_max(map) ? EFBIG : 0;
}

static int
check_mmap(struct vm_map *map, vaddr_t addr, vsize_t len, int prot, int flags, struct vnode *vp,
    int fflags, voff_t pos)
{
	int error;

	if ((prot & ~VM_PROT_ALL) != 0 ||
	    (flags & (UMAP_SHARED | UMAP_PRIVATE)) == (UMAP_SHARED | UMAP_PRIVATE))
		return EINVAL;
	error = check_file(prot, flags, vp, fflags, len, pos);
	if (error == 0 && (flags & UMAP_FIXED) != 0)
		error = check_fixed(map, addr, len, pos);
	else if (error == 0 && len > vm_map_max(map) - vm_map_min(map))
		error = ENOMEM;
	return error;
}

static unsigned
mmap_flags(int prot, int flags, vsize_t len, const struct vnode *vp, int fflags)
{
	bool shared = (flags & UMAP_SHARED) != 0;
	vm_prot_t max = VM_PROT_ALL;
	unsigned mf;

	if (shared && vp != NULL && (fflags & UF_WRITE) == 0)
		max &= ~VM_PROT_WRITE;
	mf = UVM_MAPFLAG(user_prot(prot), max, shared ? MAP_INHERIT_SHARE : MAP_INHERIT_COPY,
	    UVM_ADV_NORMAL, 0);
	if (!shared)
		mf |= UVM_FLAG_COPYONW;
	else if (vp == NULL)
		mf |= UVM_FLAG_OVERLAY;		/* what is shared is the amap, so there must be one */
	/* There is no use in waiting until an amap for more than all memory can be had. */
	if (atop(len) > uvm.npages)
		mf |= UVM_FLAG_NOWAIT;
	if ((flags & UMAP_FIXED) != 0)
		mf |= UVM_FLAG_FIXED | UVM_FLAG_UNMAP;
	return mf;
}

int
sys_mmap(struct proc *p, vaddr_t *addr, vsize_t len, int prot, int flags, struct vnode *vp,
    int fflags, voff_t pos)
{
	struct vm_map *map = map_of(p);
	vaddr_t off = vp != NULL ? (vaddr_t)pos & PAGE_MASK : 0, start = trunc_page(*addr);
	bool wire;
	int error;

	error = check_mmap(map, *addr, len, prot, flags, vp, fflags, vp != NULL ? pos : 0);
	if (error != 0 || len == 0)
		return error;
	len = round_page(len + off);
	if ((flags & UMAP_FIXED) == 0 && start == 0)
		start = VM_MMAP_ADDRESS;
	wire = prot != VM_PROT_NONE && ((flags & UMAP_WIRED) != 0 || wires_new(map));
	if (wire && (over_wired_limit(len) || uvm_over_memlock(p, len))) {
		UVMCNT(lim_memlock);		/* B-26: before anything is replaced */
		return ENOMEM;
	}
	if (BUG(as_limit_unlocked) && map->size + len > map->limit)
		return ENOMEM;
	if (vp != NULL)
		vref(vp);
	error = uvm_map(map, &start, len, vp != NULL ? &vp->v_uobj : NULL, trunc_page(pos), 0,
	    mmap_flags(prot, flags, len, vp, fflags));
	if (error != 0) {
		if (vp != NULL)
			vrele(vp);
		return error;
	}
	if (wire && wire_range(p, start, start + len) != 0) {
		uvm_unmap(map, start, start + len);
		return ENOMEM;
	}
	*addr = start + off;
	return 0;
}

int
sys_munmap(struct proc *p, vaddr_t va, vsize_t len)
{
	int error = page_range(p, &va, &len);

	if (error == 0 && len != 0)
		error = uvm_munmap(map_of(p), va, va + len);
	return error;
}

int
sys_shmat(struct proc *p, struct uvm_object *uobj, vaddr_t *addr, vm_prot_t prot)
{
	vaddr_t start = *addr != 0 ? *addr : VM_MMAP_ADDRESS;
	int error;

	if ((start & PAGE_MASK) != 0 || (prot & ~(VM_PROT_READ | VM_PROT_WRITE)) != 0)
		return EINVAL;
	uao_reference(uobj);
	error = uvm_map(map_of(p), &start, uao_size(uobj), uobj, 0, 0,
	    UVM_MAPFLAG(user_prot(prot), VM_PROT_READ | VM_PROT_WRITE, MAP_INHERIT_SHARE,
		UVM_ADV_RANDOM, *addr != 0 ? UVM_FLAG_FIXED : 0));
	if (error != 0)
		uao_detach(uobj);
	else
		*addr = start;
	return error;
}

/* --- brk --- */

#define	BRK_FLAGS	(UVM_FLAG_FIXED | UVM_FLAG_COPYONW | UVM_FLAG_AMAPPAD | UVM_FLAG_NOWAIT)

/* => map(W): may the break move from where it was seen?  0; EAGAIN: another thread was faster; ENOMEM */
static int
brk_allowed(struct proc *p, vaddr_t seen, vaddr_t newbreak)
{
	struct vmspace *vm = p->p_vmspace;

	if (vm->vm_dend != seen)
		return EAGAIN;
	if (newbreak <= seen || newbreak - vm->vm_daddr <= uvm_rlimit(p, URLIMIT_DATA))
		return 0;
	UVMCNT(lim_data);
	return ENOMEM;
}

/* => map(W): the break moves up; what it grows by is prepared for the break as it was */
static int
brk_grow(struct vmspace *vm, struct uvm_mapping *um, vaddr_t seen, vaddr_t newbreak)
{
	vaddr_t start = round_page(seen);
	int error = uvm_map_enter(&vm->vm_map, um, &start, 0);

	if (error == 0)
		vm->vm_dend = newbreak;
	return error;
}

/* => map(W): down, or not over a page's end */
static void
brk_shrink(struct vmspace *vm, struct uvm_mapping *um, vaddr_t seen, vaddr_t newbreak)
{
	vaddr_t old = round_page(seen), new = round_page(newbreak);

	if (new < old)
		uvm_unmap_remove(&vm->vm_map, new, old, &um->um_dead);
	vm->vm_dend = newbreak;
}

/* => 0; EAGAIN: the break is not what was seen any more */
static int
brk_from(struct proc *p, vaddr_t seen, vaddr_t newbreak)
{
	struct vmspace *vm = p->p_vmspace;
	vaddr_t old = round_page(seen), new = round_page(newbreak);
	struct uvm_mapping um = { 0 };
	int error = 0;

	if (new > old)
		error = uvm_map_prepare(&vm->vm_map, &um, new - old, NULL, 0,
		    UVM_MAPFLAG(VM_PROT_READ | VM_PROT_WRITE, VM_PROT_ALL, MAP_INHERIT_COPY,
		    UVM_ADV_NORMAL, BRK_FLAGS));
	if (error == 0 && new < old)
		error = uvm_map_lock_split(&vm->vm_map, new, old, true);
	else if (error == 0)
		vm_map_lock(&vm->vm_map);
	if (error == 0) {
		error = brk_allowed(p, seen, newbreak);
		if (error == 0 && new > old)
			error = brk_grow(vm, &um, seen, newbreak);
		else if (error == 0)
			brk_shrink(vm, &um, seen, newbreak);
		vm_map_unlock(&vm->vm_map);
	}
	uvm_map_finish(&um);
	if (error == 0 && new > old)
		wire_growth(p, old, new);
	return error;
}

int
sys_obreak(struct proc *p, vaddr_t newbreak)
{
	struct vmspace *vm = p->p_vmspace;
	int error;

	if (newbreak > vm_map_max(&vm->vm_map))
		return ENOMEM;
	do {
		vaddr_t seen, low;

		vm_map_lock_read(&vm->vm_map);
		seen = vm->vm_dend;
		low = vm->vm_daddr;
		vm_map_unlock_read(&vm->vm_map);
		if (newbreak < low)
			return EINVAL;
		error = brk_from(p, seen, newbreak);
	} while (error == EAGAIN);
	return error;
}

/* --- attributes --- */

int
sys_mprotect(struct proc *p, vaddr_t va, vsize_t len, int prot)
{
	int error;

	if ((prot & ~VM_PROT_ALL) != 0)
		return EINVAL;
	error = page_range(p, &va, &len);
	if (error != 0 || len == 0)
		return error;
	return uvm_map_protect(map_of(p), va, va + len, user_prot(prot), false);
}

int
sys_minherit(struct proc *p, vaddr_t va, vsize_t len, int inherit)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	return uvm_map_inherit(map_of(p), va, va + len, inherit);
}

/* => POSIX' word for a hole */
static int
hole_is_enomem(int error)
{
	return error == EFAULT ? ENOMEM : error;
}

int
sys_madvise(struct proc *p, vaddr_t va, vsize_t len, int behav)
{
	int error = page_range(p, &va, &len);

	if (error == 0 && (behav < UMADV_NORMAL || behav > UMADV_FREE || behav == UMADV_SPACEAVAIL))
		error = EINVAL;
	if (error != 0 || len == 0)
		return error;
	switch (behav) {
	case UMADV_WILLNEED:		/* a hint that we do not take */
		return 0;
	case UMADV_DONTNEED:
		return hole_is_enomem(uvm_map_clean(map_of(p), va, va + len, PGO_DEACTIVATE));
	case UMADV_FREE:
		return hole_is_enomem(uvm_map_clean(map_of(p), va, va + len, PGO_FREE));
	default:			/* NORMAL, RANDOM, SEQUENTIAL: the numbers are UVM's */
		return uvm_map_advice(map_of(p), va, va + len, behav);
	}
}

int
sys_msync(struct proc *p, vaddr_t va, vsize_t len, int flags)
{
	struct vm_map_entry *e;
	int error, pgo = PGO_CLEANIT;

	if ((flags & ~(UMS_ASYNC | UMS_INVALIDATE | UMS_SYNC)) != 0 ||
	    (flags & (UMS_ASYNC | UMS_SYNC)) == (UMS_ASYNC | UMS_SYNC))
		return EINVAL;
	if ((flags & UMS_ASYNC) == 0)
		pgo |= PGO_SYNCIO;
	if ((flags & UMS_INVALIDATE) != 0)
		pgo |= PGO_FREE;
	error = page_range(p, &va, &len);
	if (error != 0)
		return error;
	if (len == 0) {			/* the whole entry that contains the address */
		vm_map_lock_read(map_of(p));
		if (uvm_map_lookup_entry(map_of(p), va, &e)) {
			va = e->start;
			len = e->end - e->start;
		}
		vm_map_unlock_read(map_of(p));
		if (len == 0)
			return ENOMEM;
	}
	return hole_is_enomem(uvm_map_clean(map_of(p), va, va + len, pgo));
}

/* => map(R): is the page at va in memory? */
static bool
resident(struct vm_map_entry *e, vaddr_t va)
{
	struct uvm_object *uobj = e->object.uvm_obj;
	struct vm_anon *anon = NULL;
	bool in = false;

	if (e->aref.ar_amap != NULL) {
		amap_lock(e->aref.ar_amap);
		anon = amap_lookup(&e->aref, va - e->start);
		if (anon != NULL) {
			mutex_enter(&anon->an_lock);
			in = anon->an_page != NULL;
			mutex_exit(&anon->an_lock);
		}
		amap_unlock(e->aref.ar_amap);
	}
	if (UVM_ET_ISOBJ(e) && UVM_OBJ_IS_DEVICE(uobj))
		return true;
	if (anon == NULL && UVM_ET_ISOBJ(e)) {
		mutex_enter(&uobj->vmobjlock);
		in = uvm_pagelookup(uobj, e->offset + (voff_t)(va - e->start)) != NULL;
		mutex_exit(&uobj->vmobjlock);
	}
	return in;
}

int
sys_mincore(struct proc *p, vaddr_t va, vsize_t len, unsigned char *kvec)
{
	struct vm_map *map = map_of(p);
	struct vm_map_entry *e;
	vaddr_t end;
	int error;

	if ((va & PAGE_MASK) != 0 || len == 0)
		return EINVAL;
	error = page_range(p, &va, &len);
	if (error != 0)
		return error;
	end = va + len;
	vm_map_lock_read(map);
	if (!uvm_map_lookup_entry(map, va, &e))
		error = ENOMEM;
	for (; error == 0 && va < end; va += PAGE_SIZE) {
		if (va >= e->end)
			e = e->next;
		if (e == &map->header || e->start > va)
			error = ENOMEM;
		else
			*kvec++ = resident(e, va);
	}
	vm_map_unlock_read(map);
	return error;
}

/* --- wiring --- */

int
sys_mlock(struct proc *p, vaddr_t va, vsize_t len)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	if (over_wired_limit(len)) {
		UVMCNT(lim_memlock);
		return EAGAIN;
	}
	return hole_is_enomem(wire_range(p, va, va + len));
}

int
sys_munlock(struct proc *p, vaddr_t va, vsize_t len)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	return hole_is_enomem(uvm_map_pageable(map_of(p), va, va + len, true, 0));
}

int
sys_mlockall(struct proc *p, int flags)
{
	if (flags == 0 || (flags & ~(UMCL_CURRENT | UMCL_FUTURE)) != 0)
		return EINVAL;
	return uvm_map_pageable_all(map_of(p), flags, uvm_rlimit(p, URLIMIT_MEMLOCK));
}

int
sys_munlockall(struct proc *p)
{
	return uvm_map_pageable_all(map_of(p), 0, 0);
}

int
sys_mremap(struct proc *p, vaddr_t old, vsize_t oldsize, vaddr_t *newva, vsize_t newsize,
    bool fixed)
{
	struct vm_map *map = map_of(p);
	vaddr_t end;
	int error;

	if ((old & PAGE_MASK) != 0 || (fixed && (*newva & PAGE_MASK) != 0))
		return EINVAL;
	oldsize = round_page(oldsize);	/* what wraps is 0 */
	newsize = round_page(newsize);
	if (oldsize == 0 || newsize == 0 || __builtin_add_overflow(old, oldsize, &end) ||
	    (fixed && __builtin_add_overflow(*newva, newsize, &end)))
		return EINVAL;
	error = uvm_mremap(map, old, oldsize, newva, newsize, fixed);
	if (error == 0 && newsize > oldsize)
		wire_growth(p, *newva + oldsize, *newva + newsize);
	return error;
}
