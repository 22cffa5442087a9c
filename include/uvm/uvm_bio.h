/*
 * UBC, the unified buffer cache: read() and write() of regular files.
 *
 * The data go through windows of kernel address space onto the very pages that
 * mmap() shows, so there is one copy in memory and nothing to keep coherent
 * (uvm-spec 11).
 *
 * Locks: v_lock, then what a fault takes.  A window is found under the lock of
 * ubc_object, never together with another object's, and is pinned by its
 * reference count while data move.
 */
#ifndef UVM_UVM_BIO_H
#define UVM_UVM_BIO_H

#include <uvm/uvm_vnode.h>

struct proc;

/* One transfer between user memory and an object.  !: the LWP that transfers. */
struct uvm_uio {
	vaddr_t		 uio_base;	/* ! user address of the next byte */
	size_t		 uio_resid;	/* ! bytes to go */
	voff_t		 uio_offset;	/* ! in the object, of the next byte */
	bool		 uio_write;	/* : into the object */
};

/* flags of ubc_alloc() and ubc_release() */
#define	UBC_READ	0x01
#define	UBC_WRITE	0x02		/* v_lock held for writing: the one writer (I-UBC-5) */
#define	UBC_FAULTBUSY	0x04		/* whole pages will be overwritten; they are BUSY meanwhile */

/*
 * => v_lock of the object's vnode held (W to write), no VM lock; sleeps for a free
 *    window, and for pages with FAULTBUSY, but never with a page BUSY.
 * => 0: *vap is the kernel address of off in a window that stays until ubc_release();
 *    *lenp is cut to the window.  It may fault (ubc_fault), but not with FAULTBUSY.
 * => FAULTBUSY: off and, but at the end of the file, *lenp are of whole pages; errno of
 *    the pager, ENOMEM, or EBUSY: use the window that faults.
 */
int	ubc_alloc(struct uvm_object *, voff_t off, vsize_t *lenp, int flags, vaddr_t *vap);
/*
 * => flags as in ubc_alloc(); done: with FAULTBUSY, so many bytes from off on were stored.
 *    Pages that are complete become dirty content.  Of the others those that had no content
 *    are given up, so that nobody sees them (B-25).
 */
void	ubc_release(vaddr_t va, vsize_t done, int flags);
/*
 * => v_lock held (W if uio_write), no VM lock; sleeps.  A writer that extends has
 *    announced it: v_writesize.
 * => 0, or the first error; uio says how far it came: EFAULT (also for what a user mapping
 *    forbids), ENOMEM, EIO, ENOSPC.
 */
int	ubc_uiomove(struct uvm_object *, struct uvm_uio *);

/*
 * System calls: act on the current process, which is p; no lock held; sleep.
 * => *lenp: bytes wanted in, bytes moved out, also when an error ended it early
 * => 0 (fewer bytes: end of file); EINVAL, EFBIG offset; EFAULT, ENOMEM buffer; EIO, ENOSPC file
 */
#define	SYSR_LOAN	0x1		/* whole pages by loan where that can be, else by copy */
int	sys_read(struct proc *, struct vnode *, voff_t, vaddr_t ubuf, size_t *lenp, int flags);
int	sys_write(struct proc *, struct vnode *, voff_t, vaddr_t ubuf, size_t *lenp, int flags);
/* => at the end of the file, as with O_APPEND; *offp: where that was */
int	sys_append(struct proc *, struct vnode *, voff_t *offp, vaddr_t ubuf, size_t *lenp);
int	sys_ftruncate(struct proc *, struct vnode *, voff_t);
int	sys_fsync(struct proc *, struct vnode *);

/* => boot, after uvm_km_init() and vnode_init(); a power of two pages per window, 16 at most */
void	ubc_init(int nwindows, int winshift);
void	ubc_fini(void);			/* no window is in use */

#define	UBC_NWINDOWS	32		/* few, so that windows are re-used all the time */
#define	UBC_WINSHIFT	13
#define	UBC_WINSHIFT_MAX 16		/* UVM_MAXGETPAGES pages */

#endif /* UVM_UVM_BIO_H */
