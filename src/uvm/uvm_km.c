/*
 * Kernel address space (uvm-spec 12).
 *
 *	kernel_map	sleepable; holds the submaps and what is allocated in it directly
 *	  kmem_map	interrupt-safe: spin lock, no object, a fault fails at once (R33)
 *	  mb_map	windows onto pages on loan to the network
 *	  phys_map	windows onto user pages under physio
 *	  exec_map	pageable memory
 *
 * Addresses are one thing, frames another.  VAONLY gives addresses, for windows whose
 * frames belong to somebody else.  WIRED adds frames: pages of kernel_object at the
 * offset of their address, or un-owned ones in an interrupt-safe map; both are entered
 * by pmap_kenter_pa(), so no fault ever brings them.  PAGEABLE is anonymous memory that
 * faults bring and the page daemon takes; it lives in exec_map, because a fault in
 * kernel_map itself would allocate its anon with kernel_map locked (H-5).
 *
 * Page tables of the kernel grow with the addresses in use, when these are handed out
 * (pmap_growkernel), not when they are mapped: so pmap_kenter_pa() never needs memory and
 * never fails, whatever a malicious process does (R39).
 *
 * No pager_map: the disk works by frame.
 */
#include <host/host.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_map.h>

#define	KERNEL_MAP_QUANTUM	(4 * PAGE_SIZE)

struct vm_map *kernel_map, *kmem_map, *mb_map, *phys_map, *exec_map;

static struct vm_map kernel_map_store;		/* : */
static struct vm_map submap_store[4];		/* : */
static struct uvm_object kernel_object;		/* : pages of WIRED allocations */
struct uvm_object *const uvm_kernel_object = &kernel_object;

/* --- kernel_object: has pages, and is never asked for one --- */

static int
kernel_object_get(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    int centeridx, vm_prot_t access, int advice, int flags)
{
	*npagesp = 0;
	if (flags & PGO_LOCKED)
		return EBUSY;
	mutex_exit(&uobj->vmobjlock);
	violation(VIOL_INVARIANT, "I-KM-1", "a fault on wired kernel memory at %#lx",
	    (unsigned long)(VM_MIN_KERNEL_ADDRESS + (vaddr_t)off));
	return EFAULT;
}

static const struct uvm_pagerops kernel_object_pager = { .pgo_get = kernel_object_get };

/* --- pages of WIRED allocations --- */

static bool
intrsafe(const struct vm_map *map)
{
	return (map->flags & VM_MAP_INTRSAFE) != 0;
}

/* => a page for va, the kernel's own; NULL: memory is short */
static struct vm_page *
km_page_alloc(struct vm_map *map, vaddr_t va, int flags)
{
	int pga = UVM_PGA_PRIVATE | uvm_km_reserve((flags & UVM_KMF_NOWAIT) == 0) |
	    (flags & UVM_KMF_ZERO ? UVM_PGA_ZERO : 0);
	struct vm_page *pg;

	if (intrsafe(map)) {
		pg = uvm_pagealloc(NULL, 0, NULL, pga);
		if (pg != NULL)
			pg->offset = (voff_t)va;	/* un-owned; its address, for the inspector */
		return pg;
	}
	mutex_enter(&kernel_object.vmobjlock);
	pg = uvm_pagealloc(&kernel_object, (voff_t)(va - VM_MIN_KERNEL_ADDRESS), NULL, pga);
	mutex_exit(&kernel_object.vmobjlock);
	return pg;
}

/*
 * => memory is short: false: give up; true: memory may have come
 */
static bool
km_page_wait(int flags)
{
	if ((flags & UVM_KMF_NOWAIT) != 0)
		return false;
	if (!uvm_reclaimable()) {
		if ((flags & UVM_KMF_CANFAIL) != 0)
			return false;
		kpause("kmnomem", 10000000);	/* only a process that dies can help */
	}
	uvm_wait("kmwire");
	return true;
}

/* => pages of [va, end) entered; ENOMEM: none of them is left */
static int
km_wire(struct vm_map *map, vaddr_t start, vaddr_t end, int flags)
{
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		struct vm_page *pg;

		while ((pg = km_page_alloc(map, va, flags)) == NULL)
			if (!km_page_wait(flags)) {
				uvm_km_pgremove(map, start, va);
				return ENOMEM;
			}
		pmap_kenter_pa(va, VM_PAGE_TO_PHYS(pg), VM_PROT_READ | VM_PROT_WRITE);
	}
	pmap_update(pmap_kernel());
	return 0;
}

/*
 * The frames of a range of wired memory, after their mappings.
 * => map any; nobody uses the range; does not sleep
 */
void
uvm_km_pgremove(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_page *pages[64];

	for (vaddr_t va = start; va < end;) {
		vaddr_t first = va;
		int n = 0;
		paddr_t pa;

		for (; va < end && n < 64; va += PAGE_SIZE) {
			if (!pmap_extract(pmap_kernel(), va, &pa))
				panic("I-KM-1: wired kernel memory at %#lx is not mapped",
				    (unsigned long)va);
			pages[n++] = PHYS_TO_VM_PAGE(pa);
		}
		pmap_kremove(first, va - first);
		pmap_update(pmap_kernel());
		KASSERTMSG(!pmap_deferred(pmap_kernel()),
		    "I-PMAP-6: frames of kernel memory at %#lx are to be freed before all TLBs forget them",
		    (unsigned long)first);
		for (int i = 0; i < n; i++) {
			kmutex_t *slock = uvm_page_owner_lock(pages[i]);

			KASSERT((pages[i]->pqflags & PQ_PRIVATE) != 0);
			KASSERT((slock == NULL) == intrsafe(map));
			if (slock != NULL)
				mutex_enter(slock);
			else
				pages[i]->offset = 0;
			uvm_pagefree(pages[i]);
			if (slock != NULL)
				mutex_exit(slock);
		}
	}
}

/* --- allocation --- */

/* => addresses, or ENOMEM */
static int
km_va(struct vm_map *map, vaddr_t *vap, vsize_t size, vsize_t align, int flags)
{
	struct uvm_object *uobj = NULL;
	unsigned f = 0;

	if ((flags & UVM_KMF_WIRED) != 0 && !intrsafe(map))
		uobj = &kernel_object;
	if ((flags & UVM_KMF_PAGEABLE) != 0)
		f |= UVM_FLAG_COPYONW | UVM_FLAG_OVERLAY;
	if ((flags & UVM_KMF_NOWAIT) != 0)
		f |= UVM_FLAG_NOWAIT;
	if ((flags & UVM_KMF_TRYLOCK) != 0)
		f |= UVM_FLAG_TRYLOCK;
	if ((flags & UVM_KMF_QUANTUM) != 0) {
		f |= UVM_FLAG_QUANTUM;
		align = map->quantum;
	}
	if ((flags & UVM_KMF_WAITVA) != 0)
		f |= UVM_FLAG_WAITVA;
	*vap = vm_map_min(map);
	return uvm_map(map, vap, size, uobj, UVM_UNKNOWN_OFFSET, align,
	    UVM_MAPFLAG(VM_PROT_READ | VM_PROT_WRITE, VM_PROT_READ | VM_PROT_WRITE,
		MAP_INHERIT_NONE, UVM_ADV_RANDOM, f));
}

/* => what is mapped there has gone; as it was allocated: a quantum may have merged (R42) */
static void
km_unmap(struct vm_map *map, vaddr_t start, vaddr_t end, int flags)
{
	if ((flags & UVM_KMF_QUANTUM) != 0)
		uvm_unmap_quantum(map, start, end);
	else
		uvm_unmap(map, start, end);
}

vaddr_t
uvm_km_alloc(struct vm_map *map, vsize_t size, vsize_t align, int flags)
{
	int type = flags & (UVM_KMF_WIRED | UVM_KMF_PAGEABLE | UVM_KMF_VAONLY);
	vaddr_t va;

	KASSERTMSG(type != 0 && (type & (type - 1)) == 0, "uvm_km_alloc: one type, not %#x", flags);
	KASSERT(map->pmap == pmap_kernel());
	KASSERT(type != UVM_KMF_PAGEABLE || (map != kernel_map && !intrsafe(map)));	/* H-5 */
	KASSERT((flags & UVM_KMF_NOWAIT) == 0 || (flags & UVM_KMF_WAITVA) == 0);
	/* I-KM-3: what must not sleep says so */
	KASSERT(!intrsafe(map) || (flags & UVM_KMF_WAITVA) == 0);
	/* I-KM-5: sleepable kernel maps are the business of threads */
	KASSERT(intrsafe(map) || (!cpu_intr_p() && curcpu()->ci_ilevel == IPL_NONE));
	size = round_page(size);
	if ((flags & (UVM_KMF_NOWAIT | UVM_KMF_CANFAIL)) != 0 && inject(INJECT_kva))
		return 0;
	if (km_va(map, &va, size, align, flags) != 0)
		return 0;
	if (type == UVM_KMF_WIRED && km_wire(map, va, va + size, flags) != 0) {
		km_unmap(map, va, va + size, flags);
		return 0;
	}
	UVMCNT(km_allocs);
	return va;
}

void
uvm_km_free(struct vm_map *map, vaddr_t va, vsize_t size, int flags)
{
	KASSERT(va >= vm_map_min(map) && va + size <= vm_map_max(map));
	KASSERT(intrsafe(map) || (!cpu_intr_p() && curcpu()->ci_ilevel == IPL_NONE));
	size = round_page(size);
	if ((flags & UVM_KMF_WIRED) != 0)
		uvm_km_pgremove(map, va, va + size);
	else if ((flags & UVM_KMF_VAONLY) != 0) {
		KASSERTMSG(!pmap_deferred(pmap_kernel()),
		    "7.5: window at %#lx is given back before all TLBs forget it", (unsigned long)va);
		for (vsize_t off = 0; off < size; off += PAGE_SIZE)
			KASSERTMSG(!pmap_extract(pmap_kernel(), va + off, NULL),
			    "7.5: window at %#lx is given back, and still mapped", (unsigned long)(va + off));
	}
	km_unmap(map, va, va + size, flags);
}

/*
 * => boot; takes [*minp, *maxp) of the parent, which must be kernel_map, for good
 */
void
uvm_km_suballoc(struct vm_map *parent, vaddr_t *minp, vaddr_t *maxp, vsize_t size, int mapflags,
    struct vm_map *sub)
{
	int error;

	*minp = vm_map_min(parent);
	error = uvm_map(parent, minp, round_page(size), NULL, 0, 0,
	    UVM_MAPFLAG(VM_PROT_ALL, VM_PROT_ALL, MAP_INHERIT_NONE, UVM_ADV_RANDOM,
		UVM_FLAG_NOMERGE));
	if (error != 0)
		panic("uvm_km_suballoc: error %d", error);
	*maxp = *minp + round_page(size);
	uvm_map_setup(sub, pmap_kernel(), *minp, *maxp, mapflags);
	error = uvm_map_submap(parent, *minp, *maxp, sub);
	if (error != 0)
		panic("uvm_km_suballoc: submap: error %d", error);
}

/* --- boot --- */

/* => a share of RAM, within bounds: page tables for it cost 1/512 of it */
static vsize_t
km_share(unsigned part, vsize_t least, vsize_t most)
{
	vsize_t size = round_page(ptoa(uvm.npages) / part);

	return size < least ? least : size > most ? most : size;
}

void
uvm_km_init(void)
{
	vaddr_t min, max;

	uvm_obj_init(&kernel_object, &kernel_object_pager, UVM_OBJ_KERN);
	uvm_map_setup(&kernel_map_store, pmap_kernel(), VM_MIN_KERNEL_ADDRESS,
	    VM_MAX_KERNEL_ADDRESS, VM_MAP_PAGEABLE);	/* UBC's windows fault */
	kernel_map = &kernel_map_store;
	uvm_km_suballoc(kernel_map, &min, &max, km_share(2, 1UL << 20, 64UL << 20),
	    VM_MAP_INTRSAFE, &submap_store[0]);
	uvm_km_suballoc(kernel_map, &min, &max, km_share(8, 256UL << 10, 16UL << 20), 0,
	    &submap_store[1]);
	uvm_km_suballoc(kernel_map, &min, &max, km_share(16, 256UL << 10, 4UL << 20), 0,
	    &submap_store[2]);
	uvm_km_suballoc(kernel_map, &min, &max, km_share(8, 256UL << 10, 16UL << 20),
	    VM_MAP_PAGEABLE, &submap_store[3]);
	kmem_map = &submap_store[0];
	kmem_map->quantum = PAGE_SIZE;
	kernel_map->quantum = KERNEL_MAP_QUANTUM;
	mb_map = &submap_store[1];
	phys_map = &submap_store[2];
	exec_map = &submap_store[3];
}

/* => bytes of the map that somebody has and has not given back */
static void
km_leaks(struct vm_map *map, const char *name)
{
	if (map->size != 0)
		violation(VIOL_LEAK, "I-KM-4", "%lu bytes of %s in %d entries did not come back",
		    (unsigned long)map->size, name, map->nentries);
	if (map->size != 0)
		uvm_unmap(map, vm_map_min(map), vm_map_max(map));
}

/* => of kernel_map itself: what is no submap's; UBC's windows have gone before */
static void
km_direct_leaks(void)
{
	vsize_t size = 0;

	for (const struct vm_map_entry *e = kernel_map->header.next; e != &kernel_map->header; e = e->next)
		if (!UVM_ET_ISSUBMAP(e))
			size += e->end - e->start;
	if (size != 0)
		violation(VIOL_LEAK, "I-KM-4", "%lu bytes of kernel_map did not come back",
		    (unsigned long)size);
}

/*
 * => shutdown: nobody uses kernel addresses any more.
 */
void
uvm_km_fini(void)
{
	static const char *const names[4] = { "kmem_map", "mb_map", "phys_map", "exec_map" };

	for (int i = 0; i < 4; i++)
		km_leaks(&submap_store[i], names[i]);
	km_direct_leaks();
	KASSERTMSG(kernel_object.uo_npages == 0, "I-KM-2: %d pages of kernel_object are left",
	    kernel_object.uo_npages);
	uvm_unmap(kernel_map, VM_MIN_KERNEL_ADDRESS, VM_MAX_KERNEL_ADDRESS);
	for (int i = 0; i < 4; i++)
		uvm_map_teardown(&submap_store[i]);
	uvm_map_teardown(kernel_map);
	kmem_map = mb_map = phys_map = exec_map = kernel_map = NULL;
	uvm_obj_destroy(&kernel_object);
}
