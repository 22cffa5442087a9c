/*
 * read(), write() and truncate of regular files.
 *
 * A transfer goes window by window:
 *
 *	offset	|....xxxx|xxxxxxxx|xxxxxxxx|xx......|
 *	          ^part   ^wholes  ^wholes  ^part
 *
 * Reads, and writes to parts of pages, copy through windows that fault.  Writes of whole
 * pages, and of the last page up to its end or beyond, overwrite (UBC_FAULTBUSY); their
 * source is touched first, for that copy may not fault.  When it would, or when memory is
 * too short to break a loan, the piece is done the slow way.
 *
 * v_lock is held throughout, so reads and writes are atomic with respect to each other
 * (I-UBC-6).  User memory faults under it, as VOP_LOCK allows.
 *
 * A write that extends announces the new end (v_writesize) before its first page, and
 * stores the size when it is over; what it did not reach, and pages got for it, go again.
 */
#include <machine/softmmu.h>
#include <sys/bug.h>
#include <uvm/uvm.h>
#include <uvm/uvm_bio.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_proc.h>

static void
uio_advance(struct uvm_uio *uio, size_t n)
{
	KASSERT(n <= uio->uio_resid);
	uio->uio_base += n;
	uio->uio_offset += (voff_t)n;
	uio->uio_resid -= n;
}

/* --- pieces --- */

static int
read_piece(struct uvm_object *uobj, struct uvm_uio *uio)
{
	vsize_t len = uio->uio_resid;
	size_t done;
	vaddr_t va;
	int error;

	error = ubc_alloc(uobj, uio->uio_offset, &len, UBC_READ, &va);
	if (error != 0)
		return error;
	error = copyout_kva(va, uio->uio_base, len, &done);
	ubc_release(va, 0, UBC_READ);
	uio_advance(uio, done);
	UVMCNT_ADD(ubc_read_bytes, done);
	return error;
}

/* The slow way, or for a part of a page. */
static int
write_piece(struct uvm_object *uobj, struct uvm_uio *uio, vsize_t len)
{
	size_t done;
	vaddr_t va;
	int error;

	error = ubc_alloc(uobj, uio->uio_offset, &len, UBC_WRITE, &va);
	if (error != 0)
		return error;
	error = copyin_kva(uio->uio_base, va, len, false, &done);
	ubc_release(va, 0, UBC_WRITE);
	uio_advance(uio, done);
	UVMCNT_ADD(ubc_write_bytes, done);
	return error;
}

/* => have the source in memory and mapped, as far as that goes: it may be gone again */
static int
touch(vaddr_t va, vsize_t len)
{
	uint64_t word;
	int error = 0;

	for (vaddr_t page = trunc_page(va); page < va + len && error == 0; page += PAGE_SIZE)
		error = user_load(page, &word);
	return error;
}

/*
 * Overwrite whole pages.
 * => 0 and uio has moved on, or EBUSY: it has not, or not by all of *lenp, so the slow way is
 *    next; or the pager's errno.
 */
static int
overwrite_piece(struct uvm_object *uobj, struct uvm_uio *uio, vsize_t *lenp)
{
	size_t done = 0;
	vaddr_t va;
	int error;

	if (*lenp > UVM_MAXGETPAGES * PAGE_SIZE)
		*lenp = UVM_MAXGETPAGES * PAGE_SIZE;
	if (touch(uio->uio_base, *lenp) != 0)
		return EBUSY;
	error = ubc_alloc(uobj, uio->uio_offset, lenp, UBC_WRITE | UBC_FAULTBUSY, &va);
	if (error != 0)				/* R18: the slow way's fault comes again by itself */
		return error == ENOMEM || error == EAGAIN ? EBUSY : error;
	error = copyin_kva(uio->uio_base, va, *lenp, !BUG(ubc_self_copy), &done);
	ubc_release(va, done, UBC_WRITE | UBC_FAULTBUSY);
	KASSERT(error == 0 || error == EBUSY);
	if (error != 0)
		done = trunc_page(done);
	uio_advance(uio, done);
	*lenp -= done;
	UVMCNT_ADD(ubc_write_bytes, done);
	return error;
}

/*
 * => how much of the transfer is whole pages from its offset on; 0: the next piece is a part
 */
static vsize_t
whole_pages(const struct vnode *vp, const struct uvm_uio *uio)
{
	if (((vsize_t)uio->uio_offset & PAGE_MASK) != 0)
		return 0;
	if (uio->uio_offset + (voff_t)uio->uio_resid >= vp->v_size)
		return uio->uio_resid;
	return trunc_page(uio->uio_resid);
}

static int
write_next(struct uvm_object *uobj, struct uvm_uio *uio)
{
	vsize_t rest = PAGE_SIZE - ((vsize_t)uio->uio_offset & PAGE_MASK);
	vsize_t len = whole_pages((struct vnode *)uobj, uio);
	int error = 0;

	if (len != 0) {
		error = overwrite_piece(uobj, uio, &len);
		if (error != EBUSY)
			return error;
		UVMCNT(ubc_fallback);
	} else
		len = rest < uio->uio_resid ? rest : uio->uio_resid;
	return write_piece(uobj, uio, len);
}

int
ubc_uiomove(struct uvm_object *uobj, struct uvm_uio *uio)
{
	int error = 0;

	while (uio->uio_resid > 0 && error == 0)
		error = uio->uio_write ? write_next(uobj, uio) : read_piece(uobj, uio);
	return error;
}

/* --- system calls --- */

static int
check_range(voff_t off, size_t len)
{
	voff_t end;

	if (off < 0)
		return EINVAL;
	if (len > INT64_MAX || __builtin_add_overflow(off, (voff_t)len, &end) ||
	    end > INT64_MAX - (voff_t)PAGE_SIZE)
		return EFBIG;
	return 0;
}

/*
 * What is whole pages of the file goes by loan; if it cannot, be it half-way, it is copied.
 * => v_lock held, the transfer ends within the file
 */
static void
read_by_loan(struct proc *p, struct vnode *vp, struct uvm_uio *uio)
{
	vsize_t len = trunc_page(uio->uio_resid);

	if (len == 0 || uvm_loanread(p, vp, uio->uio_offset, uio->uio_base, len) != 0)
		return;
	uio_advance(uio, len);
}

int
sys_read(struct proc *p, struct vnode *vp, voff_t off, vaddr_t ubuf, size_t *lenp, int flags)
{
	struct uvm_uio uio = { .uio_base = ubuf, .uio_offset = off };
	size_t want = *lenp;
	int error;

	KASSERT(p == curlwp->l_proc);
	*lenp = 0;
	error = check_range(off, want);
	if (error != 0)
		return error;
	rw_enter(&vp->v_lock, RW_READER);
	if (off < vp->v_size)
		uio.uio_resid = (vsize_t)(vp->v_size - off) < want ? (size_t)(vp->v_size - off) : want;
	want = uio.uio_resid;
	if ((flags & SYSR_LOAN) != 0)
		read_by_loan(p, vp, &uio);
	error = ubc_uiomove(&vp->v_uobj, &uio);
	rw_exit(&vp->v_lock);
	*lenp = want - uio.uio_resid;
	return error;
}

/* => v_lock held for writing */
static int
write_locked(struct vnode *vp, struct uvm_uio *uio)
{
	const voff_t start = uio->uio_offset, end = start + (voff_t)uio->uio_resid;
	const bool extends = end > vp->v_size;
	int error;

	if (uio->uio_resid == 0)
		return 0;
	if (extends)
		uvm_vnp_setwritesize(vp, end);
	error = ubc_uiomove(&vp->v_uobj, uio);
	if (extends)			/* what has written nothing leaves no hole before it, either (I-SYS-1) */
		uvm_vnp_endwrite(vp, uio->uio_offset > start ? uio->uio_offset : vp->v_size);
	return error;
}

int
sys_write(struct proc *p, struct vnode *vp, voff_t off, vaddr_t ubuf, size_t *lenp, int flags)
{
	struct uvm_uio uio = { ubuf, *lenp, off, true };
	int error;

	KASSERT(p == curlwp->l_proc);
	*lenp = 0;
	error = check_range(off, uio.uio_resid);
	if (error != 0)
		return error;
	rw_enter(&vp->v_lock, RW_WRITER);
	error = write_locked(vp, &uio);
	rw_exit(&vp->v_lock);
	*lenp = (size_t)(uio.uio_offset - off);
	return error;
}

int
sys_append(struct proc *p, struct vnode *vp, voff_t *offp, vaddr_t ubuf, size_t *lenp)
{
	struct uvm_uio uio = { ubuf, *lenp, 0, true };
	int error;

	KASSERT(p == curlwp->l_proc);
	*lenp = 0;
	rw_enter(&vp->v_lock, RW_WRITER);
	*offp = uio.uio_offset = vp->v_size;
	error = check_range(*offp, uio.uio_resid);
	if (error == 0)
		error = write_locked(vp, &uio);
	rw_exit(&vp->v_lock);
	*lenp = (size_t)(uio.uio_offset - *offp);
	return error;
}

int
sys_ftruncate(struct proc *p, struct vnode *vp, voff_t size)
{
	return vnode_truncate(vp, size);
}

int
sys_fsync(struct proc *p, struct vnode *vp)
{
	return vnode_fsync(vp);
}
