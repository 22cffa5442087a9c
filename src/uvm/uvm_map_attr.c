/*
 * Attributes of mappings: protection, inheritance, advice; and cleaning
 * (uvm-spec 1.11).
 *
 * Only reductions of rights are told to the pmap; increases arrive by faults.
 */
#include <sys/bug.h>
#include "uvm_map_i.h"

bool
uvm_map_checkprot(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot)
{
	struct vm_map_entry *e;

	KASSERT(vm_map_locked(map));
	if (!uvm_map_lookup_entry(map, start, &e))
		return false;
	for (; start < end; e = e->next) {
		if (e == &map->header || e->start > start || (e->protection & prot) != prot)
			return false;
		start = e->end;
	}
	return true;
}

/* => map(W): rights that the pmap may give out for the entry as it is */
static vm_prot_t
pmap_rights(const struct vm_map_entry *e)
{
	return UVM_ET_ISCOPYONWRITE(e) || UVM_ET_ISNEEDSCOPY(e) ?
	    e->protection & ~VM_PROT_WRITE : e->protection;
}

/* => map(W): the whole range may have this protection */
static int
protect_allowed(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e))
		e = e->next;
	for (; e != &map->header && e->start < end; e = e->next) {
		if (UVM_ET_ISSUBMAP(e))
			return EINVAL;
		if ((prot & ~e->max_protection) != 0)
			return EACCES;
	}
	return 0;
}

/* => map(W): what attributes kept apart at both ends of the range, and inside, may be one again */
static void
rejoin(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map_entry **dead)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e) && e == &map->header)
		e = e->next;
	else if (e->prev != &map->header)
		e = e->prev;
	while (e != &map->header && e->start < end)
		if (!uvm_mapent_trymerge(map, e, dead))
			e = e->next;
}

/* => map(W): memory that has become accessible under mlockall(MCL_FUTURE) is wired now */
static int
wire_accessible(struct vm_map *map, struct vm_map_entry *e, vm_prot_t old)
{
	if (!map->wirefuture || VM_MAPENT_ISWIRED(e) || old != VM_PROT_NONE ||
	    e->protection == VM_PROT_NONE)
		return 0;
	pmap_update(map->pmap);
	/* The map is busy while it is unlocked, so e and its neighbours stay. */
	return uvm_map_pageable(map, e->start, e->end, false, UVM_LK_ENTER | UVM_LK_EXIT) != 0 ?
	    ENOMEM : 0;
}

int
uvm_map_protect_locked(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot, bool set_max,
    struct vm_map_entry **dead)
{
	struct vm_map_entry *e;
	int error;

	KASSERT(vm_map_locked_write(map));
	error = protect_allowed(map, start, end, prot);
	if (error != 0)
		return error;
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next) {
		vm_prot_t old = e->protection;
		int failed;

		if (set_max) {
			e->max_protection = prot;
			e->protection &= prot;
		} else {
			e->protection = prot;
		}
		/* B-2: of this entry, not of the first */
		if ((old & ~e->protection) != 0)
			pmap_protect(map->pmap, e->start, e->end, pmap_rights(e));
		failed = wire_accessible(map, e, old);
		if (error == 0)
			error = failed;
	}
	rejoin(map, start, end, dead);
	pmap_update(map->pmap);		/* I-SYS-3 */
	return error;
}

int
uvm_map_protect(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot, bool set_max)
{
	struct vm_map_entry *dead = NULL;
	int error = uvm_map_lock_split(map, start, end, false);

	if (error != 0)
		return error;
	error = uvm_map_protect_locked(map, start, end, prot, set_max, &dead);
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	return error;
}

int
uvm_map_inherit(struct vm_map *map, vaddr_t start, vaddr_t end, vm_inherit_t inherit)
{
	struct vm_map_entry *e, *dead = NULL;
	int error;

	if (inherit != MAP_INHERIT_NONE && inherit != MAP_INHERIT_COPY &&
	    inherit != MAP_INHERIT_SHARE)
		return EINVAL;
	error = uvm_map_lock_split(map, start, end, false);
	if (error != 0)
		return error;
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next)
		e->inheritance = inherit;
	rejoin(map, start, end, &dead);
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	return 0;
}

int
uvm_map_advice(struct vm_map *map, vaddr_t start, vaddr_t end, int advice)
{
	struct vm_map_entry *e, *dead = NULL;
	int error;

	if (advice != UVM_ADV_NORMAL && advice != UVM_ADV_RANDOM && advice != UVM_ADV_SEQUENTIAL)
		return EINVAL;
	error = uvm_map_lock_split(map, start, end, false);
	if (error != 0)
		return error;
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next)
		e->advice = advice;
	rejoin(map, start, end, &dead);
	vm_map_unlock(map);
	uvm_unmap_detach(dead);
	return 0;
}

/* --- cleaning: msync, madvise --- */

/*
 * => anon locked: nobody works on the page or has it pinned.  It stays so for as long as the anon, which
 *    owns it then, is locked: pageq has no part in it
 */
static bool
idle(const struct vm_page *pg)
{
	/* B-18: a busy page belongs to whoever made it busy */
	return !uvm_page_loaned(pg) && ((pg->flags & PG_BUSY) == 0 || BUG(clean_requeues_busy)) &&
	    (!uvm_page_wired(pg) || BUG(wired_deactivated));
}

/* => anon locked */
static void
anon_deactivate(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	if (pg == NULL)
		return;
	uvm_lock_pageq();
	if (idle(pg)) {
		if (!BUG(deactivate_keeps_referenced))
			pmap_clear_reference(pg);	/* R20: the caller's task */
		uvm_pagedeactivate(pg);
	}
	uvm_unlock_pageq();
}

/* => map(R), amap locked: may the slot give the anon up?  A page that is busy, loaned or wired keeps it. */
static bool
anon_is_free(struct vm_anon *anon)
{
	KASSERT(mutex_owned(&anon->an_lock));
	return anon->an_page == NULL || idle(anon->an_page);
}

/*
 * => map(R), amap locked: the mappings of what is to be given up are gone on all CPUs, in one
 *    go for all of them; else each page, as it is freed, would ask every CPU.  None comes back: a
 *    fault wants the amap.  Neighbours go together, so that the pmap is locked once for them; who makes
 *    one of them busy meanwhile, or borrows it, counts on no mapping of ours
 */
static void
unmap_free_anons(struct vm_map *map, struct vm_map_entry *e, vaddr_t start, vaddr_t end)
{
	vaddr_t first = start, va;		/* [first,va): to be unmapped */

	for (va = start; va < end; va += PAGE_SIZE) {
		struct vm_anon *anon = amap_lookup(&e->aref, va - e->start);
		bool free = false;

		if (anon != NULL) {
			mutex_enter(&anon->an_lock);
			free = anon_is_free(anon);
			mutex_exit(&anon->an_lock);
		}
		if (free)
			continue;
		if (first < va)
			pmap_remove(map->pmap, first, va);
		first = va + PAGE_SIZE;
	}
	if (first < va)
		pmap_remove(map->pmap, first, va);
	pmap_update(map->pmap);
}

/*
 * => map(R), amap locked: the slot gives up its anon; the memory reads as zero from now
 *    on.
 */
static void
anon_free(struct vm_map *map, struct vm_map_entry *e, vaddr_t off, struct vm_anon *anon,
    struct uvm_anon_batch *ab)
{
	mutex_enter(&anon->an_lock);
	if (!anon_is_free(anon)) {
		mutex_exit(&anon->an_lock);
		return;
	}
	/* Another amap may have the anon too; then nobody but us takes our mapping away.  It is
	 * there yet if the page was busy when the others' went. */
	if (pmap_mapped(map->pmap, e->start + off, 1) != 0)
		pmap_remove(map->pmap, e->start + off, e->start + off + PAGE_SIZE);
	amap_unadd(&e->aref, off);
	uvm_anon_unref_batch(anon, ab);
}

/* => map(R): the amap layer of a part of an entry (DEACTIVATE and FREE only) */
static void
clean_amap(struct vm_map *map, struct vm_map_entry *e, vaddr_t start, vaddr_t end, int flags)
{
	struct vm_amap *amap = e->aref.ar_amap;
	struct uvm_anon_batch ab = { .ab_n = 0 };
	bool free;

	if (BUG(clean_object_first) && UVM_ET_ISOBJ(e))
		mutex_enter(&e->object.uvm_obj->vmobjlock);
	amap_lock(amap);
	if (BUG(clean_object_first) && UVM_ET_ISOBJ(e))
		mutex_exit(&e->object.uvm_obj->vmobjlock);
	/* Memory that others refer to, or that is to be cleaned, is not given up. */
	free = (flags & (PGO_FREE | PGO_CLEANIT)) == PGO_FREE && amap_refs(amap) == 1;
	if (free)
		unmap_free_anons(map, e, start, end);
	for (vaddr_t off = start - e->start; off < end - e->start; off += PAGE_SIZE) {
		struct vm_anon *anon = amap_lookup(&e->aref, off);

		if (anon == NULL)
			continue;
		if (free) {
			anon_free(map, e, off, anon, &ab);
			continue;
		}
		mutex_enter(&anon->an_lock);
		anon_deactivate(anon);
		mutex_exit(&anon->an_lock);
	}
	uvm_anfree_batch(&ab);
	pmap_update(map->pmap);
	amap_unlock(amap);
}

/* One stretch of an object to flush after the map is unlocked (H-1). */
struct flush {
	struct uvm_object *fl_uobj;	/* referenced */
	voff_t		   fl_start, fl_stop;
};

#define	FLUSH_MAX	16		/* stretches between two looks at the map */

/* => map(R): 0, or what forbids the whole call */
static int
clean_allowed(struct vm_map *map, vaddr_t start, vaddr_t end, int flags)
{
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(map, start, &e))
		return EFAULT;
	for (; start < end; e = e->next) {
		if (e == &map->header || e->start > start)
			return EFAULT;
		if (UVM_ET_ISSUBMAP(e))
			return EINVAL;
		/* B-2: each entry is looked at */
		if ((flags & PGO_FREE) != 0 && VM_MAPENT_ISWIRED(e))
			return EBUSY;
		start = e->end;
	}
	return 0;
}

/*
 * => map(R): does the amap layer of [*start,end) and notes what is to be flushed of the
 *    object layer, as far as the list goes; *start moves on.  Number of stretches.
 */
static int
clean_some(struct vm_map *map, vaddr_t *start, vaddr_t end, int flags, struct flush *list)
{
	struct vm_map_entry *e;
	int n = 0;

	if (!uvm_map_lookup_entry(map, *start, &e))
		e = e->next;		/* somebody has unmapped it meanwhile */
	for (; e != &map->header && e->start < end && n < FLUSH_MAX; e = e->next) {
		vaddr_t from = e->start > *start ? e->start : *start;
		vaddr_t to = e->end < end ? e->end : end;
		struct uvm_object *uobj = e->object.uvm_obj;

		if (e->aref.ar_amap != NULL && (flags & (PGO_FREE | PGO_DEACTIVATE)) != 0)
			clean_amap(map, e, from, to, flags);
		/* A private mapping has no say over the pages of the object below it. */
		if (UVM_ET_ISOBJ(e) && uobj->pgops->pgo_put != NULL &&
		    ((flags & PGO_FREE) == 0 || !UVM_ET_ISCOPYONWRITE(e))) {
			uobj->pgops->pgo_reference(uobj);
			list[n++] = (struct flush){ uobj, e->offset + (voff_t)(from - e->start),
				e->offset + (voff_t)(to - e->start) };
		}
		*start = to;
	}
	if (n < FLUSH_MAX)
		*start = end;
	return n;
}

/* => no lock held: writes, frees, waits for busy pages.  The first error. */
static int
flush_all(const struct flush *list, int n, int flags)
{
	int error = 0;

	/* What an object loses it must be able to give back: clean before it is freed. */
	if ((flags & PGO_FREE) != 0)
		flags |= PGO_CLEANIT;
	for (int i = 0; i < n; i++) {
		struct uvm_object *uobj = list[i].fl_uobj;
		int failed;

		mutex_enter(&uobj->vmobjlock);
		failed = uobj->pgops->pgo_put(uobj, list[i].fl_start, list[i].fl_stop, flags);
		if (error == 0)		/* B-18: the first error, not the last */
			error = failed;
		uobj->pgops->pgo_detach(uobj);
	}
	return error;
}

int
uvm_map_clean(struct vm_map *map, vaddr_t start, vaddr_t end, int flags)
{
	struct flush list[FLUSH_MAX];
	int error, failed, n;

	if ((flags & (PGO_FREE | PGO_DEACTIVATE)) == (PGO_FREE | PGO_DEACTIVATE))
		return EINVAL;
	vm_map_lock_read(map);
	error = clean_allowed(map, start, end, flags);
	if (error != 0) {
		vm_map_unlock_read(map);
		return error;
	}
	for (;;) {
		const vaddr_t from = start;

		n = clean_some(map, &start, end, flags, list);
		KASSERTMSG(start > from, "map %u: cleaning gets no further than %#lx", map->id,
		    (unsigned long)from);
		if (!BUG(msync_reader_trap))
			vm_map_unlock_read(map);
		failed = flush_all(list, n, flags);
		if (BUG(msync_reader_trap))
			vm_map_unlock_read(map);
		if (error == 0)
			error = failed;
		if (start >= end)
			return error;
		vm_map_lock_read(map);
	}
}
