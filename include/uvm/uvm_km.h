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

void	uvm_km_init(void);
void	uvm_km_fini(void);
uint64_t uvm_km_pages(void);		/* pages held by pools and kmem */

#endif /* UVM_UVM_KM_H */
