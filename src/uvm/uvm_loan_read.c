/*
 * Page loaning: anons on loan become somebody's memory (uvm-spec 10.6; seed 000's subject).
 *
 * Reading whole pages of a file into whole pages of private memory need not copy: the file's
 * pages are lent to anons, and these replace the anons of the buffer.  The reader sees the
 * file as it is at this moment: who stores to it later, or to the buffer, breaks the loan.
 *
 * The destination must be memory that nobody else has a say in: writable, not wired, private,
 * without an object below, its amap not shared on purpose.  Otherwise the caller copies.
 *
 * Replacing an anon replaces the mapping as well.  Before the old anon is unlocked no CPU has
 * the old page in its TLB: a sibling's store would else go to a page that is not the buffer
 * any more, and be lost (T-60).  Entering the new mapping may fail; then there is none, old
 * or new (R2), and the next access faults.
 *
 * Two anons are locked here of which neither is private, so the second by trylock only.
 */
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vnode.h>

#include "uvm_loan_i.h"

/* => map(R): may the entry's memory be replaced? */
static int
replaceable(const struct vm_map_entry *entry)
{
	if ((entry->protection & VM_PROT_WRITE) == 0)
		return EACCES;
	if (VM_MAPENT_ISWIRED(entry))
		return EBUSY;
	if (!UVM_ET_ISCOPYONWRITE(entry) || entry->object.uvm_obj != NULL)
		return EINVAL;
	return 0;
}

/*
 * Map the new anon's page, or nothing.
 * => maps(R), amap, both anons locked, the owner of the new one's page too
 */
static void
remap(struct uvm_faultinfo *ufi, struct vm_anon *anon)
{
	struct pmap *pmap = ufi->orig_map->pmap;
	vaddr_t va = ufi->orig_rvaddr;
	struct vm_page *pg = anon->an_page;
	vm_prot_t prot = ufi->entry->protection & ~VM_PROT_WRITE;

	if (pg == NULL || (pg->flags & PG_BUSY) != 0 || (prot & VM_PROT_READ) == 0)
		pmap_remove(pmap, va, va + PAGE_SIZE);
	else if (pmap_enter(pmap, va, VM_PAGE_TO_PHYS(pg), prot, VM_PROT_READ | PMAP_CANFAIL) != 0)
		KASSERTMSG(!pmap_extract(pmap, va, NULL), "R2: a failed enter leaves a mapping at %#lx",
		    (unsigned long)va);
	else {
		KASSERTMSG(uvm_page_atrest(pg), "I-FLT-3: page flags %#x", pg->flags);
		uvm_lock_pageq();
		uvm_pageactivate(pg);
		uvm_unlock_pageq();
	}
	pmap_update(pmap);				/* T-60: before anything is unlocked */
}

/*
 * => maps(R), amap, new and the owner of its page locked; so on return.
 * => 0: the new anon's reference is the slot's; *deadp: the old one, if that was its last;
 *    EBUSY wired for I/O; ERESTART: somebody has the old one
 */
static int
replace_anon(struct uvm_faultinfo *ufi, struct vm_anon *new, struct vm_anon **deadp)
{
	struct vm_aref *aref = &ufi->entry->aref;
	vaddr_t off = ufi->orig_rvaddr - ufi->entry->start;
	struct vm_anon *old = amap_lookup(aref, off);

	*deadp = NULL;
	if (old == new) {				/* read again: what is there is what is wanted */
		new->an_ref--;
		KASSERT(new->an_ref > 0);
		return 0;
	}
	if (old == NULL) {
		(void)amap_add(aref, off, new, false);
		remap(ufi, new);
		return 0;
	}
	if (!mutex_tryenter(&old->an_lock))
		return ERESTART;
	if (old->an_page != NULL && uvm_page_hardwired(old->an_page)) {
		mutex_exit(&old->an_lock);
		return EBUSY;
	}
	(void)amap_add(aref, off, new, true);
	remap(ufi, new);
	if (--old->an_ref == 0)
		*deadp = old;
	kernhist_log(KE_anon_unref, old->an_id, (uint32_t)old->an_ref, 0);
	mutex_exit(&old->an_lock);
	return 0;
}

/*
 * => nothing locked in and out; 0: as replace_anon(); ERESTART: begin again
 */
static int
install(struct uvm_faultinfo *ufi, struct vm_anon *new)
{
	struct vm_anon *dead = NULL;
	struct vm_amap *amap;
	int error;

	if (!uvmfault_lookup(ufi, false))
		return EFAULT;
	error = replaceable(ufi->entry);
	if (error != 0 || UVM_ET_ISNEEDSCOPY(ufi->entry)) {
		uvmfault_unlockmaps(ufi, false);
		if (error == 0)
			error = uvmfault_amapcopy(ufi);
		return error == 0 ? ERESTART : error;
	}
	amap = ufi->entry->aref.ar_amap;
	if (amap == NULL) {
		uvmfault_unlockmaps(ufi, false);
		return EINVAL;
	}
	amap_lock(amap);
	/* locked: maps(R), amap */
	mutex_enter(&new->an_lock);
	if (!uvm_anon_trylockloanpg(new)) {
		uvmfault_unlockall(ufi, amap, NULL, new);
		uvmfault_pause("loanread", LOAN_PAUSE_NS);
		return ERESTART;
	}
	error = amap_shared(amap) ? EINVAL : replace_anon(ufi, new, &dead);
	uvmfault_unlockall(ufi, amap, new->an_page != NULL ? new->an_page->uobject : NULL, new);
	if (dead != NULL)
		uvm_anfree(dead);
	if (error == ERESTART)
		uvmfault_pause("loanread", LOAN_PAUSE_NS);
	return error;
}

/*
 * => nothing locked; the anons' references are consumed on success, and on an error those of the
 *    rest are dropped
 */
static int
install_all(struct vm_map *map, vaddr_t va, struct vm_anon **anons, int n)
{
	int error = 0, i;

	for (i = 0; i < n && error == 0; i++) {
		struct uvm_faultinfo ufi = {
			.orig_map = map, .orig_rvaddr = va + ptoa((uint64_t)i), .orig_size = PAGE_SIZE,
		};

		while ((error = install(&ufi, anons[i])) == ERESTART)
			;
	}
	if (error != 0)
		uvm_unloan(&anons[i - 1], n - i + 1, UVM_LOAN_TOANON);
	return error;
}

static bool
whole_pages(uint64_t a, uint64_t b, uint64_t len)
{
	return ((a | b | len) & PAGE_MASK) == 0 && len != 0;
}

/*
 * => see uvm_loan.h.
 */
int
uvm_loanread(struct proc *p, struct vnode *vp, voff_t off, vaddr_t va, vsize_t len)
{
	struct vm_anon *anons[UVM_MAXGETPAGES];
	int error = 0;

	if (off < 0 || !whole_pages((uint64_t)off, va, len) || (vsize_t)off + len > (vsize_t)vp->v_size)
		return EINVAL;
	while (len > 0 && error == 0) {
		int n = (int)atop(len < ptoa(UVM_MAXGETPAGES) ? len : ptoa(UVM_MAXGETPAGES));

		error = uvm_loanuobjanons(&vp->v_uobj, off, n, anons);
		if (error == 0)
			error = install_all(&p->p_vmspace->vm_map, va, anons, n);
		if (error == 0)
			UVMCNT_ADD(loan_read, (uint64_t)n);
		off += (voff_t)ptoa(n);
		va += ptoa(n);
		len -= ptoa(n);
	}
	return error;
}

/*
 * => see uvm_loan.h.
 */
int
sys_loan(struct proc *from, vaddr_t src, vsize_t len, struct proc *to, vaddr_t dst)
{
	struct vm_anon *anons[UVM_MAXGETPAGES];
	int error = 0;

	if (!whole_pages(src, dst, len))
		return EINVAL;
	while (len > 0 && error == 0) {
		vsize_t chunk = len < ptoa(UVM_MAXGETPAGES) ? len : ptoa(UVM_MAXGETPAGES);

		error = uvm_loan(&from->p_vmspace->vm_map, src, chunk, anons, UVM_LOAN_TOANON);
		if (error == 0)
			error = install_all(&to->p_vmspace->vm_map, dst, anons, (int)atop(chunk));
		src += chunk;
		dst += chunk;
		len -= chunk;
	}
	return error;
}
