/*
 * Kernel memory: addresses of the kernel and what is mapped there (uvm_km.c); whole
 * pages for pools, kmem(9) and page tables, through the direct map (uvm_km_pool.c).
 */
#ifndef UVM_UVM_KM_H
#define UVM_UVM_KM_H

#include <sys/kmem.h>
#include <sys/pool.h>
#include <uvm/uvm_page.h>

extern const struct pool_allocator pool_allocator_kmem;	/* usable up to IPL_VM */
/* The same with an address in kmem_map for each page, so that giving one back is a matter of
 * map entries (PR 24039); may be given back in any context to IPL_VM. */
extern const struct pool_allocator pool_allocator_kmem_map;
/* => the address in kmem_map of what such a pool gave out */
vaddr_t	uvm_km_pool_va(const void *item);
extern const struct kmem_backend uvm_kmem_backend;
extern struct vm_map *kernel_map;	/* the others are submaps of it */
extern struct vm_map *kmem_map;		/* interrupt-safe: faults in it fail at once (R33) */
extern struct vm_map *mb_map;		/* windows onto pages on loan */
extern struct vm_map *phys_map;		/* windows onto pages under physio */
extern struct vm_map *exec_map;		/* pageable memory */
extern struct uvm_object *const uvm_kernel_object; /* owns the pages of WIRED allocations */

/* flags of uvm_km_alloc(): one type, and */
#define	UVM_KMF_WIRED		0x01	/* with frames */
#define	UVM_KMF_PAGEABLE	0x02	/* anonymous memory, by faults; not in kernel_map itself */
#define	UVM_KMF_VAONLY		0x04	/* addresses only: the caller enters mappings, and removes them */
#define	UVM_KMF_NOWAIT		0x10	/* does not sleep; frames from the reserve (R35) */
#define	UVM_KMF_WAITVA		0x20	/* sleeps for addresses */
#define	UVM_KMF_CANFAIL		0x40	/* 0 rather than wait when nothing can be reclaimed */
#define	UVM_KMF_ZERO		0x80
#define	UVM_KMF_QUANTUM		0x200	/* the map's quantum, freed with the same flag: may merge */
#define	UVM_KMF_TRYLOCK		0x100	/* 0 rather than wait for the map's lock */

/*
 * => size bytes, rounded up to pages, at a multiple of align (0: none); 0 if there is
 *    none.  Sleeps unless NOWAIT.  Sleepable maps: thread context, IPL_NONE, no VM lock
 *    held (I-KM-5); interrupt-safe ones: any context to IPL_VM, with NOWAIT (I-KM-3).
 */
vaddr_t	uvm_km_alloc(struct vm_map *, vsize_t size, vsize_t align, int flags);
/* => what uvm_km_alloc() gave, or a part of it, with its type (and QUANTUM); contexts as there.
 *    Quanta need no memory to be freed; others may need up to two map entries (R42).
 *    VAONLY: the caller's mappings are gone, and pmap_update() was called. */
void	uvm_km_free(struct vm_map *, vaddr_t, vsize_t, int type);
/* => boot: a submap of kernel_map, for good */
void	uvm_km_suballoc(struct vm_map *parent, vaddr_t *min, vaddr_t *max, vsize_t size, int mapflags,
	    struct vm_map *sub);
/* => WIRED range of the map: mappings and frames go, addresses stay; does not sleep */
void	uvm_km_pgremove(struct vm_map *, vaddr_t start, vaddr_t end);

/*
 * => UVM_PGA_USERESERVE for who must not wait for a page, or only for itself, being killed (R35);
 *    UVM_PGA_LAST for who is killed, or unmaps; else 0
 */
int	uvm_km_reserve(bool waitok);
/* => a zeroed page table page from the reserve (R35), or NULL; any context to IPL_VM */
struct vm_page *uvm_km_ptpalloc(void);
void	uvm_km_ptpfree(struct vm_page *);
/* => is nothing left but the reserve?  Any context */
bool	uvm_km_memory_low(void);

void	uvm_km_init(void);		/* kernel_map and kmem_map */
void	uvm_km_fini(void);
uint64_t uvm_km_pages(void);		/* pages held by pools and kmem */

#endif /* UVM_UVM_KM_H */
