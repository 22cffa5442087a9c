/* Anonymous objects: zero-filled memory with an object's interface; shared memory. */
#ifndef UVM_UVM_AOBJ_H
#define UVM_UVM_AOBJ_H

#include <uvm/uvm_pager.h>

/* => one reference, the caller's; may sleep. */
struct uvm_object *uao_create(vsize_t size, int flags);
void	uao_reference(struct uvm_object *);
void	uao_detach(struct uvm_object *);	/* unlocked, no map lock; sleeps */
vsize_t	uao_size(struct uvm_object *);
uint64_t uao_count(void);			/* alive */
void	uao_init(void);
void	uao_fini(void);

#endif /* UVM_UVM_AOBJ_H */
