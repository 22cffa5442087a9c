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

/*
 * Slots in swap; page: number in the object, not bytes (B-17).  Object locked.
 */
int	uao_find_swslot(struct uvm_object *, uint64_t page);	/* 0 none, SWSLOT_BAD: lost */
/* => the slot that it had; -1: no memory to note one other than 0, nothing has changed */
int	uao_set_swslot(struct uvm_object *, uint64_t page, int slot);
/* => its slot is freed; the page is resident and not PG_CLEAN any more (R34); no slot: nothing */
void	uao_dropswap(struct uvm_object *, uint64_t page);
/* => no lock held; sleeps: everything in these slots is read in (swapoff); true: memory is short */
bool	uao_swap_off(int startslot, int endslot);
void	uao_init(void);
void	uao_fini(void);

#endif /* UVM_UVM_AOBJ_H */
