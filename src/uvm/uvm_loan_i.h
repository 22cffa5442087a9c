/*
 * Inside page loaning: one call under way, and what a page may be asked for.
 */
#ifndef UVM_LOAN_I_H
#define UVM_LOAN_I_H

#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_loan.h>

#define	LOAN_PAUSE_NS	100000

/* All fields: the LWP that borrows. */
struct uvm_loan {
	struct uvm_faultinfo ul_ufi;	/* orig_rvaddr: the page that is next */
	struct uvm_faultctx ul_flt;	/* amap, and the object that is asked to read */
	int		 ul_flags;
	int		 ul_n;		/* pages lent so far */
	bool		 ul_quick;	/* the next page is likely to be an anon's that nobody may store to */
	bool		 ul_pageq;	/* pageq is held, from page to page */
	void		*ul_result;	/* array of pages or anons */
};

/*
 * --- uvm_loan_page.c ---
 *
 * Lend the page that is next.
 * => maps(R), amap (if any) locked, the entry readable memory; TOPAGE: not NEEDSCOPY, or no amap
 * => pageq held, if ul_pageq says so; 0: as before, pageq perhaps not held any more; else all unlocked;
 *    ERESTART: begin again
 */
int	uvm_loan_next(struct uvm_loan *);
/* => for the pages to come, if they are likely to be lent as they are; not held any more */
void	uvm_loan_lock_pageq(struct uvm_loan *);
void	uvm_loan_unlock_pageq(struct uvm_loan *);
/*
 * => object locked, page BUSY by us, valid.
 * => 0 and the i-th result; EBUSY, ENOMEM, EAGAIN (let go of everything, and come again); locks as before
 */
int	uvm_loan_objpage(struct vm_page *, void *result, int i, int flags);

void	uvm_loanzero_init(void);
void	uvm_loanzero_fini(void);

#endif /* UVM_LOAN_I_H */
