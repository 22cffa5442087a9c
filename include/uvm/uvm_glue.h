/*
 * u-areas: the pages that an LWP of a process needs in memory to run, its kernel stack in
 * particular; and swapping them out while it sleeps (uvm-spec 8.6).
 */
#ifndef UVM_UVM_GLUE_H
#define UVM_UVM_GLUE_H

#include <machine/vmparam.h>
#include <stdbool.h>

struct lwp;
struct uarea;

#define	UAREA_SIZE	(2 * PAGE_SIZE)

extern struct vm_map *uarea_map;	/* pageable submap of kernel_map */

/* => nothing locked; sleeps; 0 and a wired u-area that is nobody's yet, or ENOMEM */
int	uvm_uarea_alloc(struct uarea **);
/* => by the LWP whose it is, or of one that never ran; nothing locked; sleeps */
void	uvm_uarea_free(struct uarea *);
/* => upcall of the user boundary: the current LWP's u-area is in memory and as it was left,
 *    unless there is no memory to be had at all.  Nothing locked; sleeps. */
void	uvm_uarea_userret(struct lwp *);

/* => memory is short: the swapper looks for LWPs that have not run for long.  No lock held;
 *    does not sleep for anything but its own lock. */
void	uvm_swapout_threads(void);

/* For the inspector: the u-areas that are wired; nobody runs. */
void	uvm_uarea_foreach(void (*fn)(vaddr_t, void *), void *);
/* => for the inspector: who sleeps for the swapper though it is through, or is the swapper and has been kicked */
struct lwp *uvm_uarea_forgotten(void);

void	uvm_glue_init(void);		/* starts the swapper LWP */
void	uvm_glue_fini(void);

#endif /* UVM_UVM_GLUE_H */
