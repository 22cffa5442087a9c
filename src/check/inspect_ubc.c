/*
 * The inspector of UBC's windows, and of file pages against their files (uvm-spec 11.4,
 * 4.10).
 *
 * I-UBC-1  the hash holds exactly the windows with an object, each where it belongs, no
 *	    name twice
 * I-UBC-2  the inactive queue holds exactly the windows with no user
 * I-UBC-3  what a window maps is the page of its object at that offset; hence I-UBC-7:
 *	    nothing of an object that is gone
 * I-UBC-4  nobody overwrites; I-UBC-5: nobody writes
 * I-OBJ-3  a vnode's page is not beyond its end
 * I-OBJ-7  a page that is clean, and not modified, holds what the file holds
 *
 * Windows also keep I-OBJ-8 and I-LOAN-1; for user mappings that is inspect_pte.c's.
 *
 * At rest no window is in use, so the caller needs no lock to look; it takes them where
 * the functions it calls want to see them.
 */
#include <string.h>
#include <unistd.h>

#include <uvm/uvm.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_vnode.h>

#include "about.h"
#include "inspect_int.h"

static unsigned
bad_window(const char *id, const struct ubc_map *um, const char *what)
{
	if (um->um_uobj != NULL)
		about_object(um->um_uobj);
	about_va(kernel_map, ubc_window_va(um));
	violation(VIOL_INVARIANT, id, "UBC window %d (object %u, offset %#lx, %d users): %s",
	    (int)(um - ubc_object.umap), um->um_objid, (long)um->um_offset, um->um_refcount, what);
	return 1;
}

/* => how often the window is in the hash */
static int
hashed(const struct ubc_map *want)
{
	const struct ubc_map *um;
	int n = 0;

	for (int i = 0; i < UBC_HASH; i++)
		LIST_FOREACH(um, &ubc_object.hash[i], um_hash)
			n += um == want;
	return n;
}

/* => is it found by its own name, and only it? */
static bool
unique(const struct ubc_map *um)
{
	for (int i = 0; i < ubc_object.nwindows; i++) {
		const struct ubc_map *other = &ubc_object.umap[i];

		if (other != um && other->um_uobj != NULL && other->um_objid == um->um_objid &&
		    other->um_offset == um->um_offset)
			return false;
	}
	return true;
}

static bool
inactive(const struct ubc_map *want)
{
	const struct ubc_map *um;

	TAILQ_FOREACH(um, &ubc_object.inactive, um_inactive)
		if (um == want)
			return true;
	return false;
}

/* One PTE of the kernel: if it is a window's, against the window's name. */
static void
check_pte(vaddr_t va, uint64_t pte, void *arg)
{
	const struct ubc_map *um;
	const struct vm_page *pg;
	unsigned *bad = arg;
	voff_t off;

	if (va < ubc_object.kva ||
	    va >= ubc_object.kva + ((vsize_t)ubc_object.nwindows << ubc_object.winshift))
		return;
	um = ubc_window(va);
	off = um->um_offset + (voff_t)(va - ubc_window_va(um));
	pg = PHYS_TO_VM_PAGE(pte & PTE_FRAME);
	if ((pte & PTE_MANAGED) == 0)
		*bad += bad_window(CHECK_ID(I_UBC_4), um, "has an unmanaged mapping left");
	else if ((um->um_flags & UMAP_MAPPING_CACHED) == 0)
		*bad += bad_window(CHECK_ID(I_UBC_3), um, "maps something, and does not know");
	else if (pg->uobject == NULL || pg->uobject->uo_id != um->um_objid || pg->offset != off)
		*bad += bad_window(CHECK_ID(I_UBC_3), um, "maps another page than its own");
	else if ((pte & PTE_W) != 0 && (pg->flags & PG_RDONLY) != 0)
		*bad += bad_window(CHECK_ID(I_OBJ_8), um, "may store to a page without blocks");
	else if ((pte & PTE_W) != 0 && pg->loan_count != 0)
		*bad += bad_window(CHECK_ID(I_LOAN_1), um, "may store to a page on loan (R15)");
}

unsigned
inspect_window(const struct ubc_map *um)
{
	unsigned n = 0;

	if (hashed(um) != (um->um_uobj != NULL))
		n += bad_window(CHECK_ID(I_UBC_1), um, "is in the hash, or is not, against its state");
	if (um->um_uobj != NULL && !unique(um))
		n += bad_window(CHECK_ID(I_UBC_1), um, "shares its name with another");
	if (((vsize_t)um->um_offset & (ubc_object.winsize - 1)) != 0)
		n += bad_window(CHECK_ID(I_UBC_1), um, "is not aligned");
	if (inactive(um) != (um->um_refcount == 0))
		n += bad_window(CHECK_ID(I_UBC_2), um, "is inactive, or is not, against its users");
	CHECKS_RAN(CHK_I_UBC_1, CHK_I_UBC_2);
	return n;
}

/* => nobody is at work */
static unsigned
check_unused(const struct ubc_map *um)
{
	unsigned n = 0;

	if (um->um_refcount != 0)
		n += bad_window(CHECK_ID(I_UBC_2), um, "is in use, and nobody is at work");
	if ((um->um_flags & UMAP_PAGES_LOCKED) != 0)
		n += bad_window(CHECK_ID(I_UBC_4), um, "has its pages locked, and nobody is at work");
	if (um->um_writelen != 0 || um->um_writer != NULL)
		n += bad_window(CHECK_ID(I_UBC_5), um, "has a writer, and nobody is at work");
	return n;
}

unsigned
inspect_ubc(void)
{
	unsigned n = 0;

	CHECKS_RAN(CHK_I_LOAN_1, CHK_I_OBJ_8, CHK_I_UBC_3, CHK_I_UBC_4, CHK_I_UBC_5);
	mutex_enter(&ubc_object.uobj.vmobjlock);
	for (int i = 0; i < ubc_object.nwindows; i++)
		n += inspect_window(&ubc_object.umap[i]) + check_unused(&ubc_object.umap[i]);
	mutex_exit(&ubc_object.uobj.vmobjlock);
	pmap_foreach(pmap_kernel(), check_pte, &n);
	return n;
}

/* --- pages of files --- */

static unsigned
bad_page(const char *id, const struct vm_page *pg, const char *what)
{
	about_page(pg);
	about_object(pg->uobject);
	violation(VIOL_INVARIANT, id, "page %#lx (vnode object %u, offset %#lx, flags %#x): %s",
	    (unsigned long)VM_PAGE_TO_PHYS(pg), pg->uobject->uo_id, (long)pg->offset, pg->flags, what);
	return 1;
}

/* => does the page hold what a get would read now? */
static bool
same_as_file(const struct vnode *vp, const struct vm_page *pg)
{
	uint8_t disk[PAGE_SIZE] = { 0 };
	ssize_t got = pread(vp->v_fd, disk, sizeof(disk), (off_t)pg->offset);
	size_t end = PAGE_SIZE;

	if (got < 0)
		return true;			/* it cannot be read: nothing to hold against */
	if (vp->v_size - pg->offset < (voff_t)PAGE_SIZE)
		end = (size_t)(vp->v_size - pg->offset);
	/* behind the end of the file a mapping may have stored what it likes */
	return memcmp(disk, ram_host(VM_PAGE_TO_PHYS(pg)), end) == 0;
}

static unsigned
check_file_page(struct vm_page *pg, bool content)
{
	struct vnode *vp = (struct vnode *)pg->uobject;
	unsigned n = 0;

	if (vp->v_writesize != vp->v_size)
		n += bad_page(CHECK_ID(I_OBJ_3), pg, "its file is being extended, and nobody is at work");
	if (pg->offset >= (voff_t)round_page((vsize_t)vp->v_writesize))
		return n + (pg->wire_count != 0 ? 0 : bad_page(CHECK_ID(I_OBJ_3), pg, "beyond the end"));
	if (content && (pg->flags & (PG_CLEAN | PG_BUSY)) == PG_CLEAN && !pmap_is_modified(pg) &&
	    !same_as_file(vp, pg))
		n += bad_page(CHECK_ID(I_OBJ_7), pg, "clean, but not what the file holds");
	return n;
}

unsigned
inspect_files(unsigned contents)
{
	uint64_t step = contents != 0 ? uvm.npages / contents + 1 : 1;
	uint64_t first = host_rng_below(&curlwp->l_rng, step);
	unsigned n = 0;

	CHECKS_RAN(CHK_I_OBJ_3);
	if (contents != 0)
		CHECKS_RAN(CHK_I_OBJ_7);
	for (uint64_t i = 0; i < uvm.npages; i++) {
		struct vm_page *pg = &uvm.pages[i];

		if ((pg->pqflags & PQ_FREE) == 0 && pg->uobject != NULL &&
		    UVM_OBJ_IS_VNODE(pg->uobject))
			n += check_file_page(pg, contents != 0 && i % step == first);
	}
	return n;
}
