/*
 * Kernel memory: whole pages for pools and kmem(9), from simulated RAM through
 * the direct map.
 */
#ifndef UVM_UVM_KM_H
#define UVM_UVM_KM_H

#include <sys/kmem.h>
#include <sys/pool.h>
#include <uvm/uvm_page.h>

extern const struct pool_allocator pool_allocator_kmem;	/* usable up to IPL_VM */
extern const struct kmem_backend uvm_kmem_backend;
extern struct vm_map *kernel_map;
extern struct vm_map *kmem_map;		/* interrupt-safe submap: faults in it fail at once (R33) */

/* => a zeroed page table page from the reserve (R35), or NULL; any context to IPL_VM */
struct vm_page *uvm_km_ptpalloc(void);
void	uvm_km_ptpfree(struct vm_page *);

void	uvm_km_init(void);		/* kernel_map and kmem_map */
void	uvm_km_fini(void);
uint64_t uvm_km_pages(void);		/* pages held by pools and kmem */

#endif /* UVM_UVM_KM_H */
