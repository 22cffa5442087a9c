/*
 * UBC's insides: windows.  For src/uvm/uvm_bio*.c, the inspectors and tests.
 */
#ifndef UVM_UVM_BIO_I_H
#define UVM_UVM_BIO_I_H

#include <uvm/uvm_bio.h>
#include <uvm/uvm_fault_i.h>

#define	UMAP_PAGES_LOCKED	1	/* pages BUSY by the writer, unmanaged mappings (I-UBC-4) */
#define	UMAP_MAPPING_CACHED	2	/* not referenced, but mappings may be left */

/*
 *	u  ubc_object's lock	:  stable while referenced (u to change, refcount 0)
 *	w  the writer, who has v_lock for writing; I-UBC-5
 */
struct ubc_map {
	struct uvm_object *um_uobj;	/* : NULL: in no use, not hashed.  Not a reference */
	uint32_t	 um_objid;	/* : its birth number: addresses come again, this does not */
	voff_t		 um_offset;	/* : window aligned */
	int		 um_refcount;	/* u */
	int		 um_flags;	/* u: UMAP_ */
	voff_t		 um_writeoff;	/* w */
	vsize_t		 um_writelen;	/* w: != 0: there is a writer */
	struct lwp	*um_writer;	/* w */
	int		 um_npages;	/* w */
	struct vm_page	*um_pages[UVM_MAXGETPAGES];	/* w: PAGES_LOCKED: BUSY by the writer */
	LIST_ENTRY(ubc_map) um_hash;	/* u */
	TAILQ_ENTRY(ubc_map) um_inactive; /* u: refcount 0 */
};

#define	UBC_HASH	16		/* buckets: chains of a few, so that names are compared */

/*
 * The object that kernel_map shows where the windows are; it has no pages of its own.
 *	u  uobj.vmobjlock, of class LC_ubc	:  stable after boot
 */
struct ubc_object {
	struct uvm_object uobj;
	vaddr_t		 kva;			/* : of window 0 */
	int		 nwindows;		/* : */
	int		 winshift;		/* : */
	vsize_t		 winsize;		/* : */
	struct ubc_map	*umap;			/* : array of nwindows */
	LIST_HEAD(, ubc_map) hash[UBC_HASH];	/* u */
	TAILQ_HEAD(, ubc_map) inactive;		/* u: least recently used first */
};
extern struct ubc_object ubc_object;

static inline vaddr_t
ubc_window_va(const struct ubc_map *um)
{
	return ubc_object.kva + ((vaddr_t)(um - ubc_object.umap) << ubc_object.winshift);
}

/* => va is in a window */
static inline struct ubc_map *
ubc_window(vaddr_t va)
{
	KASSERT(va >= ubc_object.kva);
	KASSERT(va < ubc_object.kva + ((vsize_t)ubc_object.nwindows << ubc_object.winshift));
	return &ubc_object.umap[(va - ubc_object.kva) >> ubc_object.winshift];
}

/* uvm_bio_fault.c; => pgo_fault of uvm_pager.h: ubc_object locked in, all unlocked out */
int	ubc_fault(struct uvm_faultinfo *, vaddr_t, struct vm_page **, int npages, int centeridx,
	    vm_prot_t access, int flags);
/*
 * uvm_bio_busy.c: the window that is overwritten.
 * => window referenced by the writer alone, nothing mapped there; sleeps
 * => 0: pages BUSY, loans broken, mapped for writing; else errno of the pager, or EBUSY, and
 *    all is as before
 */
int	ubc_busy_pages(struct ubc_map *);
/* => the first done bytes from um_writeoff on were stored; nothing mapped, nothing BUSY any more */
void	ubc_unbusy_pages(struct ubc_map *, vsize_t done);

#endif /* UVM_UVM_BIO_I_H */
