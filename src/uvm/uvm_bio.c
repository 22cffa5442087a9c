/*
 * UBC: windows of kernel address space onto file pages (uvm-spec 11).
 *
 *	kernel_map   |  0  |  1  |  2  |  3  | ...	windows, 8 KB each
 *	               |     |           '---------- in use: a reader of file B at 8 KB
 *	               |     '---------------------- hashed, refcount 0, mappings kept
 *	               '---------------------------- in use: the writer of file A at 0
 *
 * A window is found by object and offset, or the one that has been idle for longest is
 * taken.  What it still maps goes first, from the page table and from every TLB, before
 * anybody can find the window under its new name (I-UBC-3).
 *
 * Reading, and writing in parts of pages: the copy faults, ubc_fault() gets the pages
 * and maps the window by managed mappings, which stay when the window is released.  They
 * need no looking after: whoever writes a page back, lends it, or throws it out takes
 * them away or write protects them like any user's.  They are no reference on the
 * object either, so a window may outlive it.  Hence the birth number in its name.
 *
 * Writing of whole pages (FAULTBUSY, uvm_bio_busy.c): they need not be read for it.
 *
 * v_lock keeps the writer of a vnode alone in its windows, so a window has one writer
 * or any number of readers, and the writer's fields are the writer's (B-22, I-UBC-5).
 */
#include <sys/kmem.h>
#include <uvm/uvm.h>
#include <uvm/uvm_bio_i.h>

struct ubc_object ubc_object;

static void
ubc_reference(struct uvm_object *uobj)
{
}

static void
ubc_detach(struct uvm_object *uobj)
{
}

/* => pgo_put: there are no pages; object locked in, unlocked out */
static int
ubc_put(struct uvm_object *uobj, voff_t start, voff_t stop, int flags)
{
	mutex_exit(&uobj->vmobjlock);
	return 0;
}

static const struct uvm_pagerops ubc_pager = {
	.pgo_reference = ubc_reference,
	.pgo_detach = ubc_detach,
	.pgo_fault = ubc_fault,
	.pgo_put = ubc_put,
};

void
ubc_init(int nwindows, int winshift)
{
	struct ubc_object *uo = &ubc_object;
	vsize_t size;

	KASSERT(nwindows > 0);
	KASSERT(winshift >= PAGE_SHIFT && winshift <= UBC_WINSHIFT_MAX);
	uvm_obj_init(&uo->uobj, &ubc_pager, UVM_OBJ_KERN);
	mutex_destroy(&uo->uobj.vmobjlock);
	mutex_init(&uo->uobj.vmobjlock, MUTEX_DEFAULT, IPL_NONE, LC_ubc);
	uo->nwindows = nwindows;
	uo->winshift = winshift;
	uo->winsize = 1UL << winshift;
	uo->umap = kmem_zalloc((size_t)nwindows * sizeof(*uo->umap), KM_SLEEP);
	for (int i = 0; i < UBC_HASH; i++)
		LIST_INIT(&uo->hash[i]);
	TAILQ_INIT(&uo->inactive);
	for (int i = 0; i < nwindows; i++)
		TAILQ_INSERT_TAIL(&uo->inactive, &uo->umap[i], um_inactive);
	size = (vsize_t)nwindows << winshift;
	uo->kva = vm_map_min(kernel_map);
	if (uvm_map(kernel_map, &uo->kva, size, &uo->uobj, 0, uo->winsize,
	    UVM_MAPFLAG(VM_PROT_READ | VM_PROT_WRITE, VM_PROT_READ | VM_PROT_WRITE,
		MAP_INHERIT_NONE, UVM_ADV_RANDOM, UVM_FLAG_NOMERGE)) != 0)
		panic("no room for UBC's windows in kernel_map");
}

void
ubc_fini(void)
{
	struct ubc_object *uo = &ubc_object;

	for (int i = 0; i < uo->nwindows; i++)
		KASSERTMSG(uo->umap[i].um_refcount == 0, "window %d is still in use", i);
	uvm_unmap(kernel_map, uo->kva, uo->kva + ((vsize_t)uo->nwindows << uo->winshift));
	kmem_free(uo->umap, (size_t)uo->nwindows * sizeof(*uo->umap));
	uvm_obj_destroy(&uo->uobj);
}

static unsigned
ubc_hash(uint32_t objid, voff_t off)
{
	return (objid * 17 + (unsigned)((uint64_t)off >> ubc_object.winshift)) % UBC_HASH;
}

/* => ubc_object locked */
static struct ubc_map *
ubc_find(const struct uvm_object *uobj, voff_t off)
{
	struct ubc_map *um;

	LIST_FOREACH(um, &ubc_object.hash[ubc_hash(uobj->uo_id, off)], um_hash)
		if (um->um_objid == uobj->uo_id && um->um_offset == off)
			return um;
	return NULL;
}

/*
 * What the window still maps goes.
 * => referenced by nobody but perhaps the caller.  ubc_object locked, or the caller is the
 *    writer.
 */
static void
ubc_unmap(struct ubc_map *um)
{
	vaddr_t va = ubc_window_va(um);

	pmap_remove(pmap_kernel(), va, va + ubc_object.winsize);
	pmap_update(pmap_kernel());
}

/* => nothing is mapped in the window: asked before it is given another meaning */
static void
ubc_assert_unmapped(const struct ubc_map *um)
{
	for (vsize_t o = 0; o < ubc_object.winsize; o += PAGE_SIZE)
		KASSERTMSG(!pmap_extract(pmap_kernel(), ubc_window_va(um) + o, NULL),
		    "I-UBC-3: window %d still maps page %lu of object %u, offset %#lx",
		    (int)(um - ubc_object.umap), atop(o), um->um_objid, (long)um->um_offset);
}

/*
 * Give an idle window another name.
 * => ubc_object locked; the window is on the inactive queue.
 */
static void
ubc_rename(struct ubc_map *um, struct uvm_object *uobj, voff_t off)
{
	KASSERT(um->um_refcount == 0);
	KASSERTMSG(um->um_writelen == 0, "I-UBC-5: an idle window has a writer");
	TAILQ_REMOVE(&ubc_object.inactive, um, um_inactive);
	if (um->um_uobj != NULL)
		LIST_REMOVE(um, um_hash);
	if (um->um_flags & UMAP_MAPPING_CACHED) {
		UVMCNT(ubc_recycled);
		ubc_unmap(um);
		um->um_flags &= ~UMAP_MAPPING_CACHED;
	}
	ubc_assert_unmapped(um);
	KASSERT(um->um_flags == 0);
	um->um_uobj = uobj;
	um->um_objid = uobj->uo_id;
	um->um_offset = off;
	LIST_INSERT_HEAD(&ubc_object.hash[ubc_hash(um->um_objid, off)], um, um_hash);
}

/*
 * The window of an offset, with a reference.
 * => ubc_object locked, given up while all windows are in use.
 */
static struct ubc_map *
ubc_get(struct uvm_object *uobj, voff_t off)
{
	struct ubc_map *um;

	while ((um = ubc_find(uobj, off)) == NULL &&
	    TAILQ_EMPTY(&ubc_object.inactive))
		mtsleep(&ubc_object.inactive, false, "ubcwin", 0, &ubc_object.uobj.vmobjlock);
	if (um == NULL) {
		UVMCNT(ubc_winmiss);
		um = TAILQ_FIRST(&ubc_object.inactive);
		ubc_rename(um, uobj, off);
	} else {
		UVMCNT(ubc_winhit);
		if (um->um_refcount == 0)
			TAILQ_REMOVE(&ubc_object.inactive, um, um_inactive);
		/* its owner died at this address and another was born there: same number only */
		KASSERT(um->um_uobj == uobj);
	}
	um->um_refcount++;
	return um;
}

/* => ubc_object locked, window referenced: the caller is its writer from here on */
static void
ubc_set_writer(struct ubc_map *um, voff_t off, vsize_t len)
{
	KASSERTMSG(um->um_refcount == 1, "I-UBC-5: a writer among %d users", um->um_refcount);
	um->um_writeoff = off;
	um->um_writelen = len;
	um->um_writer = curlwp;
}

/*
 * Make the writer's window one that does not fault.
 * => nothing locked but v_lock; sleeps; 0 or errno, then the window still faults
 */
static int
ubc_overwrite(struct ubc_map *um)
{
	int error;

	ubc_unmap(um);			/* nobody else uses it, and no fault is under way */
	ubc_assert_unmapped(um);
	error = ubc_busy_pages(um);
	if (error != 0)
		return error;
	mutex_enter(&ubc_object.uobj.vmobjlock);
	um->um_flags |= UMAP_PAGES_LOCKED;
	mutex_exit(&ubc_object.uobj.vmobjlock);
	UVMCNT(ubc_faultbusy);
	return 0;
}

int
ubc_alloc(struct uvm_object *uobj, voff_t off, vsize_t *lenp, int flags, vaddr_t *vap)
{
	struct vnode *vp = (struct vnode *)uobj;
	voff_t base = off & ~((voff_t)ubc_object.winsize - 1);
	struct ubc_map *um;
	int error = 0;

	KASSERT(UVM_OBJ_IS_VNODE(uobj));
	KASSERT(((flags & UBC_READ) != 0) != ((flags & UBC_WRITE) != 0));
	KASSERT((flags & UBC_FAULTBUSY) == 0 || (flags & UBC_WRITE) != 0);
	KASSERTMSG((flags & UBC_WRITE) != 0 ? rw_write_held(&vp->v_lock) :
	    rw_lock_held(&vp->v_lock), "B-22: a window without the vnode locked");
	KASSERT(*lenp > 0);
	if (*lenp > ubc_object.winsize - (vsize_t)(off - base))
		*lenp = ubc_object.winsize - (vsize_t)(off - base);
	mutex_enter(&ubc_object.uobj.vmobjlock);
	um = ubc_get(uobj, base);
	KASSERTMSG(um->um_writelen == 0, "I-UBC-5: the window has a writer already");
	if (flags & UBC_WRITE)
		ubc_set_writer(um, off, *lenp);
	mutex_exit(&ubc_object.uobj.vmobjlock);
	*vap = ubc_window_va(um) + (vsize_t)(off - base);
	if (flags & UBC_FAULTBUSY)
		error = ubc_overwrite(um);
	if (error != 0)
		ubc_release(*vap, 0, UBC_WRITE);
	return error;
}

void
ubc_release(vaddr_t va, vsize_t done, int flags)
{
	struct ubc_map *um = ubc_window(va);

	if (flags & UBC_FAULTBUSY)
		ubc_unbusy_pages(um, done);
	mutex_enter(&ubc_object.uobj.vmobjlock);
	KASSERT(um->um_refcount > 0);
	if (flags & UBC_WRITE) {
		KASSERTMSG(um->um_writer == curlwp, "I-UBC-5: not the writer's window");
		um->um_writeoff = 0;
		um->um_writelen = 0;
		um->um_writer = NULL;
	} else	/* B-22: what a writer noted is not the readers' to clear */
		KASSERTMSG(um->um_writelen == 0, "I-UBC-5: a reader in a writer's window");
	if (flags & UBC_FAULTBUSY)
		um->um_flags &= ~UMAP_PAGES_LOCKED;
	KASSERT((um->um_flags & UMAP_PAGES_LOCKED) == 0);
	if (--um->um_refcount == 0) {
		if ((flags & UBC_FAULTBUSY) == 0)
			um->um_flags |= UMAP_MAPPING_CACHED;
		TAILQ_INSERT_TAIL(&ubc_object.inactive, um, um_inactive);
		wakeup(&ubc_object.inactive);
	}
	mutex_exit(&ubc_object.uobj.vmobjlock);
}
