/*
 * Copying amaps: clearing needs-copy, and copying at once for wired memory.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

/* => map(W): a big entry without an amap is cut to the chunk around start */
static void
cut_to_chunk(struct vm_map *map, struct vm_map_entry *entry, vaddr_t start, vaddr_t end)
{
	vsize_t size = UVM_AMAP_CHUNK << PAGE_SHIFT;

	start = start / size * size;
	end = (end + size - 1) / size * size;
	if (start > entry->start)
		uvm_map_clip_start(map, entry, start);
	if (end < entry->end)
		uvm_map_clip_end(map, entry, end);
}

/* => src and dst locked, dst private: dst's slots get src's anons, each with one reference more */
static void
copy_slots(struct vm_amap *dst, struct vm_amap *src, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct vm_anon *anon = amap_slot(src, first + i);

		if (anon == NULL)
			continue;
		mutex_enter(&anon->an_lock);
		KASSERT(anon->an_ref > 0);
		anon->an_ref++;
		mutex_exit(&anon->an_lock);
		amap_slot_set(dst, i, anon);
	}
}

/* => both locked: our entry's reference to src is given up */
static void
leave(struct vm_amap *src, uint64_t first, uint64_t n)
{
	if (src->am_ppref == NULL && (first != 0 || n != src->am_nslot))
		amap_pp_establish(src);
	__atomic_store_n(&src->am_ref, src->am_ref - 1, __ATOMIC_RELAXED);
	if (src->am_ref == 1)
		src->am_flags &= ~AMAP_F_SHARED;
	if (amap_pp_valid(src))
		amap_pp_adjref(src, first, n, -1);
}

void
amap_copy(struct vm_map *map, struct vm_map_entry *entry, int flags, vaddr_t start, vaddr_t end)
{
	bool waitok = (flags & AMAP_COPY_NOWAIT) == 0;
	struct vm_amap *src = entry->aref.ar_amap, *dst;
	uint64_t first = entry->aref.ar_pageoff, n;

	KASSERT(vm_map_locked_write(map));
	KASSERT(map != kernel_map);
	if (src == NULL) {
		if ((flags & AMAP_COPY_NOCHUNK) == 0 &&
		    atop(entry->end - entry->start) >= UVM_AMAP_LARGE)
			cut_to_chunk(map, entry, start, end);
		dst = amap_alloc(entry->end - entry->start, 0, waitok);
		if (dst == NULL)
			return;
		entry->aref = (struct vm_aref){ 0, dst };
		entry->etype &= ~UVM_ET_NEEDSCOPY;
		return;
	}
	/* Nobody but us can make it more: a snapshot of 1 is true for good. */
	if (amap_refs(src) == 1) {
		entry->etype &= ~UVM_ET_NEEDSCOPY;
		return;
	}
	n = atop(entry->end - entry->start);
	dst = amap_alloc(entry->end - entry->start, 0, waitok);
	if (dst == NULL)
		return;
	amap_lock(src);
	/* T-33: the others may have left while we allocated; then it is ours as it is. */
	if (src->am_ref == 1) {
		entry->etype &= ~UVM_ET_NEEDSCOPY;
		src->am_flags &= ~AMAP_F_SHARED;
		amap_unlock(src);
		amap_unref(&(struct vm_aref){ 0, dst }, n, true);
		return;
	}
	amap_lock(dst);
	copy_slots(dst, src, first, n);
	amap_unlock(dst);
	leave(src, first, n);
	amap_unlock(src);
	entry->aref = (struct vm_aref){ 0, dst };
	entry->etype &= ~UVM_ET_NEEDSCOPY;
}

/* --- wired memory is copied at once (R13) --- */

enum cow_result { COW_DONE, COW_AGAIN, COW_NOMEM };

/*
 * One slot of a child's amap: its anon is shared with the parent, whose page is wired.
 * => amap and anon locked; COW_DONE: both still are; else: both unlocked
 */
static enum cow_result
cow_slot(struct vm_amap *amap, uint64_t slot, struct vm_anon *anon)
{
	struct vm_page *old = anon->an_page, *pg;
	struct vm_anon *new;

	if (old->loan_count != 0)		/* read-only for everybody already */
		return COW_DONE;
	if ((old->flags & PG_BUSY) != 0) {
		amap_unlock(amap);
		uvm_pagewait(old, &anon->an_lock, "cownow");
		return COW_AGAIN;
	}
	new = uvm_analloc();			/* R26: comes locked */
	pg = new != NULL ? uvm_pagealloc(NULL, 0, new, 0) : NULL;
	if (pg == NULL) {
		if (new != NULL) {
			new->an_ref--;
			mutex_exit(&new->an_lock);	/* R26: unlocked before it is freed */
			uvm_anfree(new);
		}
		mutex_exit(&anon->an_lock);
		amap_unlock(amap);
		return COW_NOMEM;
	}
	uvm_pagecopy(old, pg);
	anon->an_ref--;				/* the parent's amap has one: never 0 */
	KASSERT(anon->an_ref > 0);
	amap_slot_replace(amap, slot, new);
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	pg->flags &= ~(PG_BUSY | PG_FAKE);
	mutex_exit(&new->an_lock);
	return COW_DONE;
}

/* => amap locked; COW_DONE: all slots of the range done, still locked; else unlocked */
static enum cow_result
cow_range(struct vm_amap *amap, uint64_t first, uint64_t n)
{
	for (uint64_t slot = first; slot < first + n; slot++) {
		struct vm_anon *anon = amap_slot(amap, slot);
		enum cow_result result = COW_DONE;

		if (anon == NULL)
			continue;
		mutex_enter(&anon->an_lock);
		if (anon->an_ref > 1 && anon->an_page != NULL)
			result = cow_slot(amap, slot, anon);
		if (result != COW_DONE)
			return result;
		mutex_exit(&anon->an_lock);
	}
	return COW_DONE;
}

int
amap_cow_now(struct vm_map *map, struct vm_map_entry *entry)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	enum cow_result result = COW_DONE;

	KASSERT(vm_map_locked_write(map));
	if (amap == NULL)
		return 0;
	do {
		if (result == COW_NOMEM) {
			if (!uvm_reclaimable())
				return ENOMEM;
			uvm_wait("cownowmem");
		}
		amap_lock(amap);
		/* Slots may have changed while it was unlocked: from the beginning. */
		result = cow_range(amap, entry->aref.ar_pageoff,
		    atop(entry->end - entry->start));
	} while (result != COW_DONE);
	amap_unlock(amap);
	return 0;
}
