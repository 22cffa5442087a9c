/*
 * The vnode pager: pages in from the host's file (uvm-spec 4.5).
 *
 * Under v_glock for reading, so the size stands still: make the wanted pages
 * BUSY in ascending order, waiting where one is busy (T-70); allocate those
 * that are not there; read runs of new pages.  An aligned block of 16 pages is
 * read at once when the caller expects locality and memory is not short, but
 * neighbours are never waited for.  Running out of memory undoes everything,
 * waits, and starts over: nobody waits for memory with a busy page in hand.
 *
 * Holes.  Where the host's file has no blocks a page of zeroes is made, and is PG_RDONLY:
 * nobody maps it writable.  A get for writing asks the host for the blocks first, so that a
 * full disk is an error for who stores, and not for who writes back later (T-71, I-OBJ-8).
 *
 * End of file.  Only PGO_PASTEOF sees pages between v_size and v_writesize; but what is
 * read and zeroed goes by v_writesize in any case: the last page before v_size may hold,
 * in memory or in the file, bytes that a write under way has put behind it.
 */
#include <errno.h>
#include <host/host.h>
#include <string.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include "uvm_vnode_i.h"

/* A get under way.  !: only the LWP that gets. */
struct uvn_get {
	struct vnode	*ug_vp;			/* ! */
	voff_t		 ug_off;		/* ! offset of ug_pgs[0] */
	int		 ug_n;			/* ! */
	int		 ug_first, ug_last;	/* ! wanted pages are in [first, last) */
	struct vm_page	**ug_pps;		/* ! the caller's array; [0] is ug_pgs[ug_first] */
	struct vm_page	*ug_pgs[UVM_MAXGETPAGES]; /* ! BUSY by us, or NULL */
	uint32_t	 ug_new;		/* ! bit i: made by us, no content yet */
	uint32_t	 ug_hole;		/* ! bit i: without blocks, as far as we know */
	bool		 ug_write;		/* ! access is WRITE */
	int		 ug_flags;		/* ! PGO_ */
};

/*
 * => object locked, stays so; never sleeps.
 */
static int
uvn_get_locked(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    vm_prot_t access, int flags)
{
	struct vnode *vp = (struct vnode *)uobj;
	voff_t end = (flags & PGO_PASTEOF) != 0 ? vp->v_writesize : vp->v_size;
	uint32_t unfit = (access & VM_PROT_WRITE) != 0 ? PG_BUSY | PG_RDONLY : PG_BUSY;
	int found = 0, missing = 0;

	for (int i = 0; i < *npagesp; i++) {
		voff_t o = off + (voff_t)ptoa(i);
		struct vm_page *pg = NULL;

		if (pps[i] != NULL)
			continue;
		if (o >= 0 && o < end)
			pg = uvm_pagelookup(uobj, o);
		if (pg == NULL || (pg->flags & unfit) != 0) {
			missing++;
			continue;
		}
		uvm_page_busy(pg, "uvn_get");
		pps[i] = pg;
		found++;
	}
	*npagesp = found;
	return missing > 0 ? EBUSY : 0;
}

/* => is page i of the window one that the caller asked for? */
static bool
uvn_get_wanted(const struct uvn_get *ug, int i)
{
	return i >= ug->ug_first && i < ug->ug_last && ug->ug_pps[i - ug->ug_first] == NULL;
}

/* => is there memory to spare for pages that nobody asked for? */
static bool
uvn_get_plenty(void)
{
	/* relaxed: pairs with the stores under fpageq */
	return __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) > uvm.freetarg;
}

/* => object locked; is a wanted page missing, so that there will be I/O? */
static bool
uvn_get_missing(const struct uvn_get *ug, voff_t off, int n)
{
	for (int i = 0; i < n; i++) {
		if (ug->ug_pps[i] == NULL &&
		    uvm_pagelookup(&ug->ug_vp->v_uobj, off + (voff_t)ptoa(i)) == NULL)
			return true;
	}
	return false;
}

/*
 * The window of the get: the request, or the aligned block around it if there
 * will be I/O anyway.
 * => object locked, size stable.
 */
static void
uvn_get_window(struct uvn_get *ug, voff_t off, int n, voff_t end, int advice)
{
	voff_t block = off & ~(UVN_BLOCK - 1);
	voff_t last = off + (voff_t)ptoa(n);

	ug->ug_off = off;
	ug->ug_n = n;
	ug->ug_first = 0;
	ug->ug_last = n;
	if (advice == UVM_ADV_RANDOM || (ug->ug_flags & PGO_OVERWRITE) != 0 ||
	    last > block + UVN_BLOCK || !uvn_get_plenty() || !uvn_get_missing(ug, off, n))
		return;
	ug->ug_off = block;
	ug->ug_first = (int)atop(off - block);
	ug->ug_last = ug->ug_first + n;
	ug->ug_n = (int)atop((end < block + UVN_BLOCK ? end : block + UVN_BLOCK) - block);
}

/*
 * Make the pages of the window BUSY, lowest first.
 * => object locked, given up while waiting; 0, or ENOMEM with some pages BUSY.
 */
static int
uvn_get_fill(struct uvn_get *ug)
{
	struct uvm_object *uobj = &ug->ug_vp->v_uobj;
	int i = 0;

	while (i < ug->ug_n) {
		voff_t off = ug->ug_off + (voff_t)ptoa(i);
		struct vm_page *pg = uvm_pagelookup(uobj, off);

		if (pg == NULL) {
			if (!uvn_get_wanted(ug, i) && ((i >= ug->ug_first && i < ug->ug_last) ||
			    !uvn_get_plenty())) {
				i++;
				continue;
			}
			pg = uvm_pagealloc(uobj, off, NULL, 0);
			if (pg == NULL && uvn_get_wanted(ug, i))
				return ENOMEM;
			if (pg != NULL) {
				uvm_page_tag(pg, "uvn_get");
				ug->ug_new |= 1u << i;
				if (ug->ug_flags & PGO_OVERWRITE)
					ug->ug_hole |= 1u << i;	/* or not: nobody has looked */
			}
		} else if (!uvn_get_wanted(ug, i)) {
			pg = NULL;		/* resident neighbours are not our business */
		} else if (pg->flags & PG_BUSY) {
			uvm_pagewait(pg, &uobj->vmobjlock, "uvn_get");
			mutex_enter(&uobj->vmobjlock);
			continue;
		} else {
			uvm_page_busy(pg, "uvn_get");
			if (pg->flags & PG_RDONLY)
				ug->ug_hole |= 1u << i;
		}
		ug->ug_pgs[i++] = pg;
	}
	return 0;
}

/* Zero what a run of new pages has beyond its last byte from the file. */
static void
uvn_get_zerotail(struct uvm_aio *aio, uint64_t bytes)
{
	for (int i = 0; i < aio->ua_npgs; i++) {
		uint64_t have = bytes > ptoa(i) ? bytes - ptoa(i) : 0;

		if (have < PAGE_SIZE)
			memset((uint8_t *)ram_host(VM_PAGE_TO_PHYS(aio->ua_pgs[i])) + have, 0,
			    PAGE_SIZE - have);
	}
}

/* Which of a run of new pages have no blocks?  => nothing locked but v_glock */
static void
uvn_get_holes(struct uvn_get *ug, int from, int n)
{
	const struct vnode *vp = ug->ug_vp;
	voff_t off = ug->ug_off + (voff_t)ptoa(from), end = off + (voff_t)ptoa(n);

	if (end > vp->v_writesize)
		end = vp->v_writesize;
	if (off >= end || !host_file_hole(vp->v_fd, (uint64_t)off, (uint64_t)(end - off)))
		return;
	for (int i = from; i < from + n; i++) {
		voff_t o = ug->ug_off + (voff_t)ptoa(i), left = vp->v_writesize - o;
		uint64_t bytes = left < (voff_t)PAGE_SIZE ? (uint64_t)left : PAGE_SIZE;

		if (left > 0 && host_file_hole(vp->v_fd, (uint64_t)o, bytes))
			ug->ug_hole |= 1u << i;
	}
}

/*
 * Blocks for wanted pages without them, if they are to be stored to.
 * => nothing locked but v_glock; the host's errno
 */
static int
uvn_get_alloc(struct uvn_get *ug)
{
	int error = 0;

	for (int i = 0, n; i < ug->ug_n && error == 0; i += n + 1) {
		for (n = 0; i + n < ug->ug_n && (ug->ug_hole & 1u << (i + n)) != 0 &&
		    uvn_get_wanted(ug, i + n); n++)
			;
		if (n == 0)
			continue;
		error = host_file_alloc(ug->ug_vp->v_fd, (uint64_t)ug->ug_off + ptoa(i), ptoa(n));
		for (int k = i; k < i + n && error == 0; k++)
			ug->ug_hole &= ~(1u << k);
		UVMCNT(filealloc);
	}
	return error;
}

/*
 * Read one run of new pages.
 * => nothing locked but v_glock; pages BUSY|FAKE; sleeps.
 */
static int
uvn_get_run(struct uvn_get *ug, struct uvm_aio *aio, int from, int n)
{
	voff_t off = ug->ug_off + (voff_t)ptoa(from);
	uint64_t bytes = 0;
	int error = 0;

	aio->ua_npgs = n;
	aio->ua_iodone = NULL;
	memcpy(aio->ua_pgs, &ug->ug_pgs[from], (size_t)n * sizeof(aio->ua_pgs[0]));
	if (off < ug->ug_vp->v_writesize) {
		bytes = (uint64_t)(ug->ug_vp->v_writesize - off);
		if (bytes > ptoa(n))
			bytes = ptoa(n);
		uvm_aio_start(aio, inject(INJECT_vnode_read) ? -1 : ug->ug_vp->v_fd, false, off, bytes);
		error = uvm_aio_wait(aio) != 0 ? EIO : 0;	/* R18 */
		bytes -= aio->ua_buf.b_resid;
		UVMCNT(pageins);
		UVMCNT_ADD(fileread_pages, (uint64_t)n);
	}
	if (error == 0) {
		uvn_get_zerotail(aio, bytes);
		uvn_get_holes(ug, from, n);
	}
	return error;
}

/* => is page i new, with no content yet? */
static bool
uvn_get_isnew(const struct uvn_get *ug, int i)
{
	/* not by its flags: without the object's lock somebody may be setting PG_WANTED */
	return (ug->ug_new & 1u << i) != 0;
}

/*
 * => as uvn_get_run(), for all runs of the window.
 */
static int
uvn_get_read(struct uvn_get *ug, struct uvm_aio *aio)
{
	int error = 0;

	for (int i = 0, n; i < ug->ug_n && error == 0; i += n + 1) {
		for (n = 0; i + n < ug->ug_n && uvn_get_isnew(ug, i + n); n++)
			;
		if (n == 0)
			continue;
		error = uvn_get_run(ug, aio, i, n);
	}
	return error;
}

/*
 * Page i has content, or will be overwritten.
 * => object and pageq locked
 */
static void
uvn_get_valid(struct uvn_get *ug, int i)
{
	struct vm_page *pg = ug->ug_pgs[i];
	bool hole = (ug->ug_hole & 1u << i) != 0;

	if ((pg->flags & PG_RDONLY) != 0 && !hole)
		pg->flags &= ~(PG_RDONLY | PG_CLEAN);	/* its blocks are new */
	if (!uvn_get_isnew(ug, i) || (ug->ug_flags & PGO_OVERWRITE) != 0)
		return;
	pg->flags &= ~PG_FAKE;
	if (hole)
		pg->flags |= PG_RDONLY;
	uvm_pageactivate(pg);
}

/*
 * The end: hand over what was asked for, let go of the rest; on error of all.
 * => object locked.
 */
static void
uvn_get_done(struct uvn_get *ug, int error)
{
	uvm_lock_pageq();
	for (int i = 0; i < ug->ug_n; i++) {
		struct vm_page *pg = ug->ug_pgs[i];

		if (pg == NULL)
			continue;
		if (error != 0) {
			if (uvn_get_isnew(ug, i))
				pg->flags |= PG_RELEASED;	/* never had content */
			continue;
		}
		uvn_get_valid(ug, i);
		if (uvn_get_wanted(ug, i)) {
			ug->ug_pps[i - ug->ug_first] = pg;
			ug->ug_pgs[i] = NULL;
		}
	}
	uvm_page_unbusy(ug->ug_pgs, ug->ug_n);
	uvm_unlock_pageq();
}

/*
 * One try of a get.
 * => nothing locked; 0, EINVAL, EIO, ENOSPC, or ENOMEM: undone, wait and try again.
 */
static int
uvn_get_try(struct uvn_get *ug, struct uvm_aio *aio, voff_t off, int *npagesp,
    int centeridx, int advice)
{
	struct vnode *vp = ug->ug_vp;
	voff_t end;
	int error, n = *npagesp;

	rw_enter(&vp->v_glock, RW_READER);
	mutex_enter(&vp->v_uobj.vmobjlock);
	end = (ug->ug_flags & PGO_PASTEOF) ? vp->v_writesize : vp->v_size;
	end = (voff_t)round_page((uint64_t)end);
	if (off < 0 || off + (voff_t)ptoa(centeridx) >= end) {
		mutex_exit(&vp->v_uobj.vmobjlock);
		rw_exit(&vp->v_glock);
		return EINVAL;
	}
	if ((uint64_t)(end - off) < ptoa(n))
		n = (int)atop(end - off);
	uvn_get_window(ug, off, n, end, advice);
	memset(ug->ug_pgs, 0, sizeof(ug->ug_pgs));
	ug->ug_new = ug->ug_hole = 0;
	error = uvn_get_fill(ug);
	if (error == 0) {
		mutex_exit(&vp->v_uobj.vmobjlock);
		if ((ug->ug_flags & PGO_OVERWRITE) == 0)
			error = uvn_get_read(ug, aio);
		if (error == 0 && ug->ug_write)
			error = uvn_get_alloc(ug);
		mutex_enter(&vp->v_uobj.vmobjlock);
	}
	uvn_get_done(ug, error);
	mutex_exit(&vp->v_uobj.vmobjlock);
	rw_exit(&vp->v_glock);
	if (error == 0)
		*npagesp = n;
	return error;
}

/*
 * => pgo_get of uvm_pager.h: object locked on entry; LOCKED: stays locked; else
 *    unlocked on return, no map lock held, sleeps.
 */
int
uvn_get(struct uvm_object *uobj, voff_t off, struct vm_page **pps, int *npagesp,
    int centeridx, vm_prot_t access, int advice, int flags)
{
	struct uvn_get ug = {
		.ug_vp = (struct vnode *)uobj, .ug_pps = pps, .ug_flags = flags,
		.ug_write = (access & VM_PROT_WRITE) != 0,
	};
	struct uvm_aio *aio;
	unsigned waits = 0;
	int error;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(((uint64_t)off & PAGE_MASK) == 0);
	KASSERT(*npagesp > 0 && *npagesp <= UVM_MAXGETPAGES);
	KASSERT(centeridx >= 0 && centeridx < *npagesp);
	if (flags & PGO_LOCKED)
		return uvn_get_locked(uobj, off, pps, npagesp, access, flags);
	mutex_exit(&uobj->vmobjlock);
	if (inject(INJECT_pager_again))
		return EAGAIN;
	while ((aio = uvm_aio_get(false)) == NULL)
		if (!uvm_wait_again(&waits, "uvn_aio"))
			return ENOMEM;
	do
		error = uvn_get_try(&ug, aio, off, npagesp, centeridx, advice);
	while (error == ENOMEM && uvm_wait_again(&waits, "uvn_get"));
	uvm_aio_put(aio);
	return error;
}
