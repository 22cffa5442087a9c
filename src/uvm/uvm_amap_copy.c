/*
 * Copying amaps: clearing needs-copy, and copying pages at once for wired memory.
 *
 * After a fork parent and child refer to one amap and both have NEEDSCOPY.  Who
 * first wants to store gets an amap of its own, with the same anons, each with one
 * reference more; pages are copied later, one by one, by the faults.  Who comes last
 * finds that nobody else is left and keeps the amap as it is.
 *
 * Wired memory cannot wait for faults (R13), nor can what is on loan to the kernel (R14), so
 * amap_cow_now() copies the pages.
 */
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>
#include <uvm/uvm_fault_i.h>

#include <sys/bug.h>

#include "uvm_map_i.h"

#define	LOANPG_PAUSE_NS	100000

/*
 * => map(W): a big entry without an amap is cut to the chunks around [start, end); false:
 *    there is no memory for the entries of the rest
 */
static bool
cut_to_chunk(struct vm_map *map, struct vm_map_entry *entry, vaddr_t start, vaddr_t end)
{
	vsize_t size = ptoa(UVM_AMAP_CHUNK);

	KASSERT(start < end && start >= entry->start && end <= entry->end);
	start = start / size * size;
	end = (end + size - 1) / size * size;
	if (!uvm_mapent_ready(map, (const vaddr_t[]){ start, end }, 2))
		return false;
	if (start > entry->start)
		uvm_map_clip_start(map, entry, start);
	if (end < entry->end)
		uvm_map_clip_end(map, entry, end);
	return true;
}

/* => src and dst locked, dst private: dst's slots get src's anons, each with one reference more */
static void
copy_slots(struct vm_amap *dst, struct vm_amap *src, uint64_t first, uint64_t n)
{
	uint64_t slot = first, end = first + n;
	struct vm_anon *guard = NULL;

	for (; (slot = amap_slot_next(src, slot, end)) < end; slot++) {
		struct vm_anon *anon = amap_slot(src, slot);

		if (!BUG(wrong_anon_locked) || guard == NULL)
			guard = anon;
		mutex_enter(&guard->an_lock);
		KASSERTMSG(anon->an_ref > 0, "I-AMAP-3: anon %u is in a slot, and has %d references", anon->an_id, anon->an_ref);
		anon->an_ref++;
		kernhist_log(KE_anon_ref, anon->an_id, (uint32_t)anon->an_ref, 0);
		mutex_exit(&guard->an_lock);
		amap_slot_set(dst, slot - first, anon);
	}
}

/*
 * => src's amap unlocked, the entry's, shared with other arefs; dst is new.
 * => dst if the anons are in it now; or src, because the others have left meanwhile (T-33).
 */
static struct vm_amap *
copy_or_keep(struct vm_map_entry *entry, struct vm_amap *dst)
{
	struct vm_amap *src = entry->aref.ar_amap;
	uint64_t first = entry->aref.ar_pageoff, n = atop(entry->end - entry->start);

	amap_lock(src);
	if (amap_refs(src) == 1 && !BUG(unref_race_double_free)) {
		amap_unlock(src);
		amap_unref(&(struct vm_aref){ 0, dst }, n, true);
		return src;
	}
	mutex_enter_nested(&dst->am_l, &src->am_l);	/* nobody else knows it */
	copy_slots(dst, src, first, n);
	amap_unlock(dst);
	/*
	 * I-AMAP-10.  Under this very lock: a sharer's store would replace a page now, and those that
	 * others make to the old one meanwhile, through mappings from before, would be lost.
	 */
	if (amap_shared(src))
		amap_share_protect(entry, VM_PROT_READ);
	amap_adjref(src, first, n, -1);
	amap_unlock(src);
	return dst;
}

/*
 * => map(W), amap unlocked.  A big entry without an amap may be clipped to the
 *    neighbourhood of [start, end), unless NOCHUNK.
 * => NEEDSCOPY is cleared; or, with NOWAIT, still set: memory is short.
 * => the anons of a SHARED amap are read-only where it is shared, but for wired ones: those the
 *    caller (fork) copies before it lets the map go.
 */
void
amap_copy(struct vm_map *map, struct vm_map_entry *entry, int flags, vaddr_t start, vaddr_t end)
{
	bool waitok = (flags & AMAP_COPY_NOWAIT) == 0;
	struct vm_amap *src = entry->aref.ar_amap, *dst;

	KASSERT(vm_map_locked_write(map));
	KASSERT(map != kernel_map);
	KASSERT(UVM_ET_ISNEEDSCOPY(entry));
	if (src == NULL && (flags & AMAP_COPY_NOCHUNK) == 0 &&
	    atop(entry->end - entry->start) >= UVM_AMAP_LARGE &&
	    !cut_to_chunk(map, entry, start, end))
		return;
	/* One aref, and that is ours: nobody else can make it two. */
	if (src == NULL || amap_refs(src) != 1) {
		dst = amap_alloc(entry->end - entry->start, 0, waitok);
		if (dst == NULL)
			return;
		if (src != NULL)
			dst = copy_or_keep(entry, dst);
		if (dst != src)
			entry->aref = (struct vm_aref){ 0, dst };
	}
	entry->etype &= ~UVM_ET_NEEDSCOPY;
}

/* --- wired memory is copied at once (R13) --- */

enum cow_result { COW_DONE, COW_AGAIN, COW_NOMEM };

/*
 * A new anon with a copy of the page, for a slot that shares the anon with the parent.
 * => amap and old locked, stay so; NULL: memory is short, nothing has changed
 */
static struct vm_anon *
copy_anon(struct vm_anon *old)
{
	struct vm_anon *new = uvm_analloc();		/* R26: comes locked */
	struct vm_page *pg;

	if (new == NULL)
		return NULL;
	if (BUG(cow_now_unlocked_anon))
		mutex_exit(&new->an_lock);
	pg = uvm_pagealloc(NULL, 0, new, 0);
	if (pg == NULL) {
		new->an_ref--;
		if (BUG(cow_now_error_locks))
			mutex_enter(&new->an_lock);
		mutex_exit(&new->an_lock);		/* R26: unlocked before it is freed */
		uvm_anfree(new);
		return NULL;
	}
	uvm_pagecopy(old->an_page, pg);
	pg->flags &= ~PG_FAKE;
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	uvm_page_unbusy(&pg, 1);
	mutex_exit(&new->an_lock);
	return new;
}

/*
 * => amap locked; COW_DONE: still locked; else: unlocked
 */
static enum cow_result
cow_slot(struct vm_amap *amap, uint64_t slot)
{
	struct vm_anon *anon = amap_slot(amap, slot), *new;
	struct uvm_object *lender;
	struct vm_page *pg;

	mutex_enter(&anon->an_lock);
	pg = anon->an_page;
	if (anon->an_ref == 1 || pg == NULL) {		/* ours alone */
		mutex_exit(&anon->an_lock);
		return COW_DONE;
	}
	if (!uvm_anon_trylockloanpg(anon)) {
		uvmfault_unlockall(NULL, amap, NULL, anon);
		uvmfault_pause("cowloan", LOANPG_PAUSE_NS);	/* H-4 */
		return COW_AGAIN;
	}
	lender = pg->uobject;
	/* locked: amap, anon, the owner of its page */
	if (uvm_page_loaned(pg) && !uvm_page_wired(pg)) {
		/* lent to anons only: that is copy-on-write, and read-only for everybody already */
		uvmfault_unlockall(NULL, NULL, lender, anon);
		return COW_DONE;
	}
	if ((pg->flags & PG_BUSY) != 0) {
		if (lender != NULL)
			uvmfault_unlockall(NULL, amap, NULL, anon);
		else
			amap_unlock(amap);
		uvm_pagewait(pg, lender != NULL ? &lender->vmobjlock : &anon->an_lock, "cownow");
		return COW_AGAIN;
	}
	new = copy_anon(anon);				/* R13, and R14 if it is on loan to the kernel */
	if (new == NULL) {
		uvmfault_unlockall(NULL, amap, lender, anon);
		return COW_NOMEM;
	}
	anon->an_ref--;
	kernhist_log(KE_anon_unref, anon->an_id, (uint32_t)anon->an_ref, 0);
	KASSERT(anon->an_ref > 0);		/* the parent's amap has one */
	amap_slot_replace(amap, slot, new);
	uvmfault_unlockall(NULL, NULL, lender, anon);
	return COW_DONE;
}

/*
 * => amap unlocked in and out; all slots of the range are done, or why not.
 */
static enum cow_result
cow_range(struct vm_amap *amap, uint64_t slot, uint64_t end)
{
	enum cow_result result;

	amap_lock(amap);
	for (; (slot = amap_slot_next(amap, slot, end)) < end; slot++) {
		result = cow_slot(amap, slot);
		if (result != COW_DONE)
			return result;
	}
	amap_unlock(amap);
	return COW_DONE;
}

/*
 * => map(W) of the entry, a child's; its amap is private and unlocked, with anons that
 *    it shares with the parent.  Afterwards it shares none.
 * => sleeps for memory and busy pages with the maps locked: neither the page daemon nor
 *    I/O needs a map (H-10).  0, or ENOMEM when waiting is pointless.
 */
int
amap_cow_now(struct vm_map *map, struct vm_map_entry *entry)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	uint64_t slot = entry->aref.ar_pageoff;
	uint64_t end = slot + atop(entry->end - entry->start);
	enum cow_result result;

	KASSERT(vm_map_locked_write(map));
	KASSERT(!UVM_ET_ISNEEDSCOPY(entry));
	if (amap == NULL)
		return 0;
	/* Slots may have changed while it was unlocked: begin again each time. */
	while ((result = cow_range(amap, slot, end)) != COW_DONE) {
		if (result == COW_AGAIN)
			continue;
		if (!uvm_reclaimable())
			return ENOMEM;
		uvm_wait("cownow");
	}
	return 0;
}
