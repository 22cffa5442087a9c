/* The vnode pager's parts: life and size (uvm_vnode.c), uvm_vnode_get.c, uvm_vnode_put.c. */
#ifndef UVM_UVM_VNODE_I_H
#define UVM_UVM_VNODE_I_H

#include <uvm/uvm_vnode.h>

#define	UVN_BLOCK	((voff_t)MAXPHYS)	/* aligned; what is read and written at once */

/* pgo_get and pgo_put, as uvm_pager.h says */
int	uvn_get(struct uvm_object *, voff_t, struct vm_page **, int *, int, vm_prot_t, int, int);
int	uvn_put(struct uvm_object *, voff_t, voff_t, int);
/* => bytes of RAM become zero while others may load and store the same words */
void	uvn_zero_bytes(uint8_t *, vsize_t);

#endif /* UVM_UVM_VNODE_I_H */
