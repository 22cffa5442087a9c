/*
 * uvm_object: something that has pages at offsets.  Embedded in a vnode, an
 * aobj or a device.
 */
#ifndef UVM_UVM_OBJECT_H
#define UVM_UVM_OBJECT_H

#include <bsd/sys/queue.h>
#include <stdint.h>
#include <sys/mutex.h>
#include <uvm/uvm_param.h>

struct vm_page;
struct uvm_pagerops;

TAILQ_HEAD(pglist, vm_page);

/*
 *	o  vmobjlock		:  stable after creation
 * uo_refs: changed with vmobjlock held, but see vnode_find().  Two object locks are
 * never held together.
 */
struct uvm_object {
	kmutex_t	 vmobjlock;
	const struct uvm_pagerops *pgops;	/* : */
	uint32_t	 uo_pages;		/* o: its pages by offset: a tree of links as in struct vm_page */
	int		 uo_npages;		/* o */
	int		 uo_refs;		/* o */
	uint32_t	 uo_id;			/* : birth number */
};

#define	UVM_OBJ_KERN		(-2)
#define	UVM_OBJ_IS_VNODE(o)	((o)->pgops == &uvm_vnodeops)
#define	UVM_OBJ_IS_AOBJ(o)	((o)->pgops == &aobj_pager)

/* => one CPU runs: objects are counted from 1 again, so that one seed gives them one number */
void	uvm_obj_boot(void);
void	uvm_obj_init(struct uvm_object *, const struct uvm_pagerops *, int refs);
/* => no pages, no references but the caller's. */
void	uvm_obj_destroy(struct uvm_object *);

#endif /* UVM_UVM_OBJECT_H */
