/*
 * System calls on address spaces (uvm-spec 16): argument checks, POSIX errors,
 * and the call of the map module.
 *
 * A call that fails leaves the address space as it was; B-26 (a mapping that
 * fails its wiring limit takes the old one with it) is not copied: limits are
 * looked at first.
 */
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vnode.h>

#include "uvm_map_i.h"

#define	MMAP_HINT	0x100000000000UL	/* where mmap without a hint begins to look */

static struct vm_map *
map_of(struct proc *p)
{
	return &p->p_vmspace->vm_map;
}

/* => whole pages around [va, va+len); wrap and limits as section 16 has them */
static int
page_range(struct proc *p, vaddr_t *va, vsize_t *len)
{
	vaddr_t end = *va + *len;

	if (end < *va)
		return EINVAL;
	*len += *va & PAGE_MASK;
	*va = trunc_page(*va);
	*len = round_page(*len);
	if (*len != 0 && (*va < vm_map_min(map_of(p)) || *va + *len < *va ||
	    *va + *len > vm_map_max(map_of(p))))
		return EINVAL;
	return 0;
}

/* --- mmap --- */

/* => would wiring so much more exceed what may be wired? */
static bool
over_wired_limit(vsize_t len)
{
	return atop(len) + __atomic_load_n(&uvm.wired, __ATOMIC_RELAXED) > uvm.wiredmax;
}

static int
check_mmap(struct proc *p, vaddr_t addr, vsize_t len, int prot, int flags, struct vnode *vp,
    int fflags, voff_t pos)
{
	if ((prot & ~VM_PROT_ALL) != 0 || (flags & (UMAP_SHARED | UMAP_PRIVATE)) ==
	    (UMAP_SHARED | UMAP_PRIVATE) || pos < 0 || ((flags & UMAP_ANON) != 0) != (vp == NULL))
		return EINVAL;
	if (addr + len < addr || pos + (voff_t)len < pos)
		return EOVERFLOW;
	if ((flags & UMAP_FIXED) != 0) {
		if ((addr & PAGE_MASK) != ((vaddr_t)pos & PAGE_MASK))
			return EINVAL;
		if (trunc_page(addr) < vm_map_min(map_of(p)))
			return EINVAL;
		if (round_page(addr + len) > vm_map_max(map_of(p)))
			return EFBIG;
	}
	if (vp != NULL && ((fflags & UF_READ) == 0 || ((flags & UMAP_SHARED) != 0 &&
	    (prot & VM_PROT_WRITE) != 0 && (fflags & UF_WRITE) == 0)))
		return EACCES;
	return 0;
}

static unsigned
mmap_flags(int prot, int flags, const struct vnode *vp, int fflags)
{
	bool shared = (flags & UMAP_SHARED) != 0;
	vm_prot_t max = VM_PROT_ALL;
	unsigned mf;

	if (shared && vp != NULL && (fflags & UF_WRITE) == 0)
		max &= ~VM_PROT_WRITE;
	mf = UVM_MAPFLAG(prot, max, shared ? MAP_INHERIT_SHARE : MAP_INHERIT_COPY, UVM_ADV_NORMAL, 0);
	if (!shared)
		mf |= UVM_FLAG_COPYONW;
	else if (vp == NULL)
		mf |= UVM_FLAG_OVERLAY;		/* what is shared is the amap, so there must be one */
	if ((flags & UMAP_FIXED) != 0)
		mf |= UVM_FLAG_FIXED | UVM_FLAG_UNMAP;
	return mf;
}

int
sys_mmap(struct proc *p, vaddr_t *addr, vsize_t len, int prot, int flags, struct vnode *vp,
    int fflags, voff_t pos)
{
	struct vm_map *map = map_of(p);
	vaddr_t off = (vaddr_t)pos & PAGE_MASK, start = trunc_page(*addr);
	bool wire;
	int error;

	error = check_mmap(p, *addr, len, prot, flags, vp, fflags, pos);
	if (error != 0 || len == 0)
		return error;
	len = round_page(len + off);
	if ((flags & UMAP_FIXED) == 0 && start == 0)
		start = MMAP_HINT;
	wire = (flags & UMAP_WIRED) != 0 ||
	    (prot != VM_PROT_NONE && (map->flags & VM_MAP_WIREFUTURE) != 0);
	if (wire && over_wired_limit(len))
		return ENOMEM;
	if (vp != NULL)
		vref(vp);
	error = uvm_map(map, &start, len, vp != NULL ? &vp->v_uobj : NULL, trunc_page(pos), 0,
	    mmap_flags(prot, flags, vp, fflags));
	if (error != 0) {
		if (vp != NULL)
			vrele(vp);
		return error;
	}
	if (wire) {
		error = uvm_map_pageable(map, start, start + len, false, 0);
		if (error != 0) {
			uvm_unmap(map, start, start + len);
			return ENOMEM;
		}
	}
	*addr = start + off;
	return 0;
}

int
sys_munmap(struct proc *p, vaddr_t va, vsize_t len)
{
	int error = page_range(p, &va, &len);

	if (error == 0 && len != 0)
		uvm_unmap(map_of(p), va, va + len);
	return error;
}

int
sys_shmat(struct proc *p, struct uvm_object *uobj, vaddr_t *addr, vm_prot_t prot)
{
	vaddr_t start = *addr != 0 ? trunc_page(*addr) : MMAP_HINT;
	int error;

	uao_reference(uobj);
	error = uvm_map(map_of(p), &start, uao_size(uobj), uobj, 0, 0,
	    UVM_MAPFLAG(prot, VM_PROT_READ | VM_PROT_WRITE, MAP_INHERIT_SHARE, UVM_ADV_RANDOM,
	    *addr != 0 ? UVM_FLAG_FIXED : 0));
	if (error != 0)
		uao_detach(uobj);
	else
		*addr = start;
	return error;
}

int
sys_obreak(struct proc *p, vaddr_t newbreak)
{
	struct vmspace *vm = p->p_vmspace;
	vaddr_t old = round_page(vm->vm_dend), new = round_page(newbreak);
	int error = 0;

	if (newbreak < vm->vm_daddr)
		return EINVAL;
	if (new > old) {
		if (new > vm_map_max(&vm->vm_map))
			return ENOMEM;
		error = uvm_map(&vm->vm_map, &old, new - old, NULL, 0, 0,
		    UVM_MAPFLAG(VM_PROT_READ | VM_PROT_WRITE, VM_PROT_ALL, MAP_INHERIT_COPY,
		    UVM_ADV_NORMAL, UVM_FLAG_FIXED | UVM_FLAG_COPYONW | UVM_FLAG_AMAPPAD));
	} else if (new < old) {
		uvm_unmap(&vm->vm_map, new, old);
	}
	if (error == 0)
		vm->vm_dend = newbreak;
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
	return uvm_map_protect(map_of(p), va, va + len, prot, false);
}

int
sys_minherit(struct proc *p, vaddr_t va, vsize_t len, int inherit)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	return uvm_map_inherit(map_of(p), va, va + len, inherit);
}

int
sys_madvise(struct proc *p, vaddr_t va, vsize_t len, int behav)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	switch (behav) {
	case UMADV_NORMAL:
	case UMADV_RANDOM:
	case UMADV_SEQUENTIAL:		/* the numbers are UVM's */
		return uvm_map_advice(map_of(p), va, va + len, behav);
	case UMADV_WILLNEED:		/* a hint that we do not take */
		return 0;
	case UMADV_DONTNEED:
		return uvm_map_clean(map_of(p), va, va + len, PGO_DEACTIVATE);
	case UMADV_FREE:
		return uvm_map_clean(map_of(p), va, va + len, PGO_FREE);
	default:			/* UMADV_SPACEAVAIL among them */
		return EINVAL;
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
			return EINVAL;
	}
	error = uvm_map_clean(map_of(p), va, va + len, pgo);
	return error == EFAULT ? ENOMEM : error;	/* POSIX' word for a hole */
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
	if (over_wired_limit(len))
		return EAGAIN;
	error = uvm_map_pageable(map_of(p), va, va + len, false, 0);
	return error == EFAULT ? ENOMEM : error;
}

int
sys_munlock(struct proc *p, vaddr_t va, vsize_t len)
{
	int error = page_range(p, &va, &len);

	if (error != 0 || len == 0)
		return error;
	error = uvm_map_pageable(map_of(p), va, va + len, true, 0);
	return error == EFAULT ? ENOMEM : error;
}

int
sys_mlockall(struct proc *p, int flags)
{
	if (flags == 0 || (flags & ~(UMCL_CURRENT | UMCL_FUTURE)) != 0)
		return EINVAL;
	return uvm_map_pageable_all(map_of(p), flags, 0);
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
	if (((old | *newva) & PAGE_MASK) != 0)
		return EINVAL;
	oldsize = round_page(oldsize);
	newsize = round_page(newsize);
	if (oldsize == 0 || newsize == 0 || old + oldsize < old || *newva + newsize < *newva)
		return EINVAL;
	return uvm_mremap(map_of(p), old, oldsize, newva, newsize, fixed);
}
