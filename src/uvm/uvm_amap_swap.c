/*
 * swapoff's walk over all amaps: what their anons have in swap is read in.
 *
 *	amap_list	a b [marker] c d
 *
 * A marker keeps our place.  The amap after it is locked by trylock only, for the
 * list's lock is below it; then the marker passes it and the list is unlocked.  New
 * amaps come to the end, so those that are copied meanwhile are not missed.
 *
 * While an anon is read in, its amap is unlocked but marked AMAP_SWAPOFF: whoever drops
 * its last reference then leaves the rest to us (I-AMAP-11).  The same slot is looked at
 * again afterwards, the first one too (B-11): the anon is another perhaps.
 */
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

#define	TRYLOCK_PAUSE_NS	100000

/* => amap locked, the slot used: its anon, locked, if it has a slot of swap in the range; else NULL */
static struct vm_anon *
anon_in_range(struct vm_amap *amap, uint64_t slot, int startslot, int endslot)
{
	struct vm_anon *anon = amap_slot(amap, slot);

	mutex_enter(&anon->an_lock);
	if (anon->an_swslot >= startslot && anon->an_swslot < endslot)
		return anon;
	mutex_exit(&anon->an_lock);
	return NULL;
}

/*
 * => amap locked, with references; unlocked on return, or gone.  true: memory is short
 */
static bool
swap_off_one(struct vm_amap *amap, int startslot, int endslot)
{
	struct vm_anon *anon;
	uint64_t slot = 0;
	bool nomem = false;

	KASSERTMSG(amap_refs(amap) > 0, "I-AMAP-8: amap %u is on the list of all, and nobody refers to it", amap->am_id);
	while (!nomem && (slot = amap_slot_next(amap, slot, amap->am_nslot)) < amap->am_nslot) {
		anon = anon_in_range(amap, slot, startslot, endslot);
		if (anon == NULL) {
			slot++;
			continue;
		}
		KASSERTMSG((amap->am_flags & AMAP_SWAPOFF) == 0, "I-AMAP-11: another swapoff works on amap %u",
		    amap->am_id);
		amap->am_flags |= AMAP_SWAPOFF;
		amap_unlock(amap);
		nomem = uvm_anon_pagein(anon);		/* unlocks it */
		amap_lock(amap);
		KASSERTMSG((amap->am_flags & AMAP_SWAPOFF) != 0, "I-AMAP-11: amap %u, which swapoff had unlocked to read "
		    "an anon in, is not marked as its: given up meanwhile, or never marked", amap->am_id);
		amap->am_flags &= ~AMAP_SWAPOFF;
		if (amap_refs(amap) == 0) {
			amap_wipeout(amap);		/* unlocks */
			return nomem;
		}
	}
	amap_unlock(amap);
	return nomem;
}

/*
 * => no VM lock held; sleeps; one at a time.  true: memory is short, not everything is in
 */
bool
amap_swap_off(int startslot, int endslot)
{
	struct vm_amap marker = { .am_marker = true }, *amap;
	bool nomem = false;

	mutex_enter(&amap_list_lock);
	TAILQ_INSERT_HEAD(&amap_list, &marker, am_list);
	while (!nomem && (amap = TAILQ_NEXT(&marker, am_list)) != NULL) {
		KASSERT(!amap->am_marker);
		if (!amap_lock_try(amap)) {
			UVMCNT(swapoff_trylock);
			/* H-4: nothing but the caller's swap_syscall_lock is held */
			(void)mtsleep(&marker, true, "amapoff", TRYLOCK_PAUSE_NS, &amap_list_lock);
			mutex_enter(&amap_list_lock);
			continue;
		}
		TAILQ_REMOVE(&amap_list, &marker, am_list);
		TAILQ_INSERT_AFTER(&amap_list, amap, &marker, am_list);
		mutex_exit(&amap_list_lock);
		nomem = swap_off_one(amap, startslot, endslot);
		mutex_enter(&amap_list_lock);
	}
	TAILQ_REMOVE(&amap_list, &marker, am_list);
	mutex_exit(&amap_list_lock);
	return nomem;
}
