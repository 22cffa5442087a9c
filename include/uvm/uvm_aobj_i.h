/* Inside the anonymous objects.  For src/uvm/uvm_aobj*.c and the inspectors. */
#ifndef UVM_UVM_AOBJ_I_H
#define UVM_UVM_AOBJ_I_H

#include <uvm/uvm.h>
#include <uvm/uvm_aobj.h>

#define	UAO_SWHASH_SLOTS	16	/* slots of one element */
#define	UAO_SWHASH_THRESHOLD	64	/* pages; up to that many have an array of slots */
#define	UAO_SWHASH_MAXBUCKETS	256

/* Slots of 16 neighbouring pages.  All fields: the object's lock. */
struct uao_swhash_elt {
	LIST_ENTRY(uao_swhash_elt) list;
	uint64_t		 tag;		/* first page / 16 */
	int			 count;		/* slots that are not 0; never 0 itself */
	int			 slots[UAO_SWHASH_SLOTS];
};
LIST_HEAD(uao_swhash, uao_swhash_elt);

/*
 *	o  u_obj.vmobjlock	:  stable after creation	a  uao_list_lock
 */
struct uvm_aobj {
	struct uvm_object	u_obj;		/* must be first */
	bool			u_marker;	/* : not an object: swapoff's place in the list */
	vsize_t			u_size;		/* : bytes, whole pages */
	int			*u_swslots;	/* : array, its slots o; or NULL */
	struct uao_swhash	*u_swhash;	/* : buckets, their elements o; or NULL */
	uint64_t		u_swnbucket;	/* : a power of two */
	TAILQ_ENTRY(uvm_aobj)	u_list;		/* a */
};
TAILQ_HEAD(uao_list, uvm_aobj);

extern kmutex_t uao_list_lock;			/* LC_uao_list */
extern struct uao_list uao_list;		/* a */

/* => the object's get, for uao_swap_off() */
int	uao_get(struct uvm_object *, voff_t, struct vm_page **, int *, int, vm_prot_t, int, int);

/* --- uvm_aobj_swap.c --- */

void	uao_swap_init(void);
void	uao_swap_fini(void);
void	uao_swap_create(struct uvm_aobj *);	/* nobody knows the object yet; may sleep */
void	uao_swap_destroy(struct uvm_aobj *);	/* nobody else knows it any more; no slot is left */
/* => object locked: the slots of pages [start, stop) that are not resident are freed, data and all */
void	uao_drop_range(struct uvm_aobj *, uint64_t start, uint64_t stop);

#endif /* UVM_UVM_AOBJ_I_H */
