/*
 * Pagers: where an object's pages come from and go to.
 *
 * Results are errno values (R18): OK and PEND are 0, ERROR is EIO, AGAIN is
 * EAGAIN, UNLOCK is EBUSY, REFAULT is ERESTART.  An asynchronous request that
 * returns 0 has started; completion, and all clean-up, is the pager's (R19).
 */
#ifndef UVM_UVM_PAGER_H
#define UVM_UVM_PAGER_H

#include <uvm/uvm_page.h>

#define	PGO_CLEANIT	0x001	/* put: write dirty pages */
#define	PGO_SYNCIO	0x002	/* wait for completion and clean-up */
#define	PGO_DEACTIVATE	0x004
#define	PGO_FREE	0x008	/* put: free pages; without CLEANIT dirty data go */
#define	PGO_ALLPAGES	0x010
#define	PGO_LOCKED	0x040	/* get: never sleep, never drop the object lock */
#define	PGO_BUSYFAIL	0x080	/* put: EDEADLK on a busy page */
#define	PGO_PDFREECLUST	0x100	/* put: caller is the page daemon: skip busy pages */
#define	PGO_OVERWRITE	0x200	/* get: whole pages will be overwritten */
#define	PGO_PASTEOF	0x400
#define	PGO_DONTCARE	((struct vm_page *)-1)

#define	UVM_MAXGETPAGES	16

struct uvm_faultinfo;

struct uvm_pagerops {
	/* => unlocked; object already referenced; +1 */
	void	(*pgo_reference)(struct uvm_object *);
	/* => unlocked, no map lock; -1; the last one releases pages and backing; sleeps */
	void	(*pgo_detach)(struct uvm_object *);
	/* => map(R), amap, uobj locked; all unlocked on return; does its own pmap_enter; or NULL */
	int	(*pgo_fault)(struct uvm_faultinfo *, vaddr_t, struct vm_page **, int npages,
		    int centeridx, vm_prot_t access, int flags);
	/*
	 * => uobj locked in.  pps: NULL = wanted, PGO_DONTCARE = skip.
	 * LOCKED: stays locked, returns resident, not busy, not fake pages, made BUSY;
	 *   0 if all wanted were found, EBUSY else (some may have been: they are in pps);
	 *   zero-fill objects may make the page at once.
	 * else: unlocked on return; sleeps; pages BUSY, valid, perhaps RELEASED meanwhile.
	 *   Errors: EINVAL beyond the end, EIO, ENOMEM, EAGAIN (pause and retry).
	 * access WRITE: the page never has PG_RDONLY.
	 */
	int	(*pgo_get)(struct uvm_object *, voff_t, struct vm_page **, int *npages,
		    int centeridx, vm_prot_t access, int advice, int flags);
	/* => uobj locked in, UNLOCKED out; [start,stop), stop 0 = to the end; errno of I/O if SYNCIO */
	int	(*pgo_put)(struct uvm_object *, voff_t start, voff_t stop, int flags);
};
extern const struct uvm_pagerops uvm_vnodeops, aobj_pager;

/*
 * Completion of a transfer: in thread context, no lock held.  Takes the owner
 * locks, then pageq; errors as uvm-spec 4.9; unbusies (frees RELEASED).
 */
void	uvm_aio_aiodone_pages(struct vm_page **, int n, bool write, int error);

void	uvm_pager_init(void);		/* starts the aiodone LWP */
void	uvm_pager_fini(void);

#endif /* UVM_UVM_PAGER_H */
