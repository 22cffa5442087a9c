/*
 * Pagers: where an object's pages come from and go to.
 *
 * Results are errno values (R18): OK and PEND are 0, ERROR is EIO, AGAIN is
 * EAGAIN, UNLOCK is EBUSY, REFAULT is ERESTART.  An asynchronous request that
 * returns 0 has started; completion, and all clean-up, is the pager's (R19).
 */
#ifndef UVM_UVM_PAGER_H
#define UVM_UVM_PAGER_H

#include <machine/disk.h>
#include <uvm/uvm_page.h>

#define	PGO_CLEANIT	0x001	/* put: write dirty pages */
#define	PGO_SYNCIO	0x002	/* wait for completion and clean-up */
#define	PGO_DEACTIVATE	0x004
#define	PGO_FREE	0x008	/* put: free pages; without CLEANIT dirty data go */
#define	PGO_ALLPAGES	0x010
#define	PGO_LOCKED	0x040	/* get: never sleep, never drop the object lock */
#define	PGO_BUSYFAIL	0x080	/* put: EDEADLK on a busy page */
#define	PGO_PDFREECLUST	0x100	/* put: caller is the page daemon: skip busy pages */
#define	PGO_OVERWRITE	0x200	/* get: whole pages will be overwritten: no reading */
#define	PGO_PASTEOF	0x400	/* get: up to where a write under way will extend the file */
#define	PGO_WIRE	0x800	/* fault: the mapping is to be wired */
#define	PGO_DONTCARE	((struct vm_page *)-1)

#define	UVM_MAXGETPAGES	16

struct uvm_faultinfo;

/* : all fields, while there are objects of the kind */
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
	 *   Errors: EINVAL beyond the end, EIO, ENOMEM, EAGAIN (pause and retry), ENOSPC.
	 *   OVERWRITE: pages that were not there come PG_FAKE: the caller fills them and clears
	 *   that, or sets PG_RELEASED (B-25).
	 * access WRITE: the page never has PG_RDONLY (EBUSY, ENOSPC instead).
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

/*
 * One transfer of up to MAXPHYS.
 *	:  set before uvm_aio_start()	d  the aiodone lock (uvm_pager.c)
 */
struct uvm_aio {
	struct buf	 ua_buf;		/* the disk's until completion */
	struct vm_page	*ua_pgs[BUF_MAXPAGES];	/* : BUSY on behalf of the transfer */
	int		 ua_npgs;		/* : */
	void		(*ua_iodone)(struct uvm_aio *);	/* : on the aiodone LWP; NULL: waited for */
	void		*ua_owner;		/* : ua_iodone's own */
	void		*ua_sync;		/* : likewise */
	bool		 ua_done;		/* d */
	TAILQ_ENTRY(uvm_aio) ua_link;		/* d */
};

/* => waitok: sleeps for memory, no VM lock held and no page BUSY; else perhaps NULL. */
struct uvm_aio *uvm_aio_get(bool waitok);
/* => thread context, does not sleep; nothing of it is under way */
void	uvm_aio_put(struct uvm_aio *);
/* => moves ua_pgs to or from offset of the host file, bytes of it; with ua_iodone the
 *    aio and its pages are the completion's from here on (R19, T-79). */
void	uvm_aio_start(struct uvm_aio *, int fd, bool write, voff_t offset, uint64_t bytes);
bool	uvm_aio_idle(void);		/* no transfer with ua_iodone is under way */
struct lwp *uvm_aio_forgotten(void); /* for the inspector: the aiodone LWP, if it sleeps though some are complete */
/* => without ua_iodone: sleeps until done; 0 or EIO...; the caller cleans up. */
int	uvm_aio_wait(struct uvm_aio *);

void	uvm_pager_init(void);		/* starts the aiodone LWP */
void	uvm_pager_fini(void);

#endif /* UVM_UVM_PAGER_H */
