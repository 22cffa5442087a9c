/*
 * Attributes of mappings: protection, inheritance, advice; and cleaning
 * (uvm-spec 1.11).
 *
 * Only reductions of rights are told to the pmap; increases arrive by faults.
 */
#include <stdlib.h>

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

int
uvm_map_protect(struct vm_map *map, vaddr_t start, vaddr_t end, vm_prot_t prot, bool set_max)
{
	struct vm_map_entry *e;
	int error;

	vm_map_lock(map);
	error = protect_allowed(map, start, end, prot);
	if (error != 0) {
		vm_map_unlock(map);
		return error;
	}
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next) {
		vm_prot_t old = e->protection;

		if (set_max) {
			e->max_protection = prot;
			e->protection &= prot;
		} else {
			e->protection = prot;
		}
		/* B-2: of this entry, not of the first */
		if ((old & ~e->protection) != 0)
			pmap_protect(map->pmap, e->start, e->end, pmap_rights(e));
		/* Memory that becomes accessible under mlockall(FUTURE) is wired now. */
		if ((map->flags & VM_MAP_WIREFUTURE) != 0 && !VM_MAPENT_ISWIRED(e) &&
		    old == VM_PROT_NONE && e->protection != VM_PROT_NONE) {
			vaddr_t from = e->start, to = e->end;

			pmap_update(map->pmap);
			error = uvm_map_pageable(map, from, to, false, UVM_LK_ENTER | UVM_LK_EXIT);
			if (error != 0) {
				error = ENOMEM;
				break;
			}
			if (!uvm_map_lookup_entry(map, to - 1, &e))
				break;
		}
	}
	pmap_update(map->pmap);
	vm_map_unlock(map);
	return error;
}

int
uvm_map_inherit(struct vm_map *map, vaddr_t start, vaddr_t end, vm_inherit_t inherit)
{
	struct vm_map_entry *e;

	if (inherit != MAP_INHERIT_NONE && inherit != MAP_INHERIT_COPY &&
	    inherit != MAP_INHERIT_SHARE)
		return EINVAL;
	vm_map_lock(map);
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next)
		e->inheritance = inherit;
	vm_map_unlock(map);
	return 0;
}

int
uvm_map_advice(struct vm_map *map, vaddr_t start, vaddr_t end, int advice)
{
	struct vm_map_entry *e;

	if (advice != UVM_ADV_NORMAL && advice != UVM_ADV_RANDOM && advice != UVM_ADV_SEQUENTIAL)
		return EINVAL;
	vm_map_lock(map);
	for (e = uvm_map_clip_range(map, start, end); e != &map->header && e->start < end;
	    e = e->next)
		e->advice = advice;
	vm_map_unlock(map);
	return 0;
}

/* --- cleaning: msync, madvise --- */

/* => anon and amap locked, pageq held: the anon's page may be deactivated */
static bool
deactivatable(const struct vm_page *pg)
{
	/* B-18: a busy page belongs to whoever made it busy */
	return pg != NULL && (pg->flags & PG_BUSY) == 0 && pg->loan_count == 0 &&
	    pg->wire_count == 0;
}

static void
anon_deactivate(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	uvm_lock_pageq();
	if (deactivatable(pg)) {
		pmap_clear_reference(pg);	/* R20: the caller's task */
		uvm_pagedeactivate(pg);
	}
	uvm_unlock_pageq();
}

/* => map(R), amap locked: drop the anon of a slot; its content becomes zero */
static void
anon_free(struct vm_map_entry *e, vaddr_t off, struct vm_anon *anon)
{
	bool last;

	mutex_enter(&anon->an_lock);
	if (anon->an_page != NULL && !deactivatable(anon->an_page)) {
		mutex_exit(&anon->an_lock);
		return;
	}
	amap_unadd(&e->aref, off);
	last = --anon->an_ref == 0;
	mutex_exit(&anon->an_lock);
	if (last)
		uvm_anfree(anon);
}

/* => map(R): the amap layer of the part of an entry (DEACTIVATE and FREE only) */
static void
clean_amap(struct vm_map_entry *e, vaddr_t start, vaddr_t end, int flags)
{
	struct vm_amap *amap = e->aref.ar_amap;

	amap_lock(amap);
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		struct vm_anon *anon = amap_lookup(&e->aref, va - e->start);

		if (anon == NULL)
			continue;
		if ((flags & PGO_FREE) != 0 && (flags & PGO_CLEANIT) == 0 && amap_refs(amap) == 1) {
			anon_free(e, va - e->start, anon);
			continue;
		}
		mutex_enter(&anon->an_lock);
		anon_deactivate(anon);
		mutex_exit(&anon->an_lock);
	}
	amap_unlock(amap);
}

/* One stretch of an object to flush after the map is unlocked (H-1). */
struct flush {
	struct uvm_object *fl_uobj;	/* referenced */
	voff_t		   fl_start, fl_stop;
};

/* => map(R): 0, or what forbids the whole call; *n: entries in the range */
static int
clean_allowed(struct vm_map *map, vaddr_t start, vaddr_t end, int flags, size_t *n)
{
	struct vm_map_entry *e;

	*n = 0;
	if (!uvm_map_lookup_entry(map, start, &e))
		return EFAULT;
	for (; start < end; e = e->next, (*n)++) {
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

int
uvm_map_clean(struct vm_map *map, vaddr_t start, vaddr_t end, int flags)
{
	struct vm_map_entry *e;
	struct flush *list;
	size_t n, used = 0;
	int error;

	KASSERT((flags & (PGO_FREE | PGO_DEACTIVATE)) != (PGO_FREE | PGO_DEACTIVATE));
	vm_map_lock_read(map);
	error = clean_allowed(map, start, end, flags, &n);
	if (error != 0) {
		vm_map_unlock_read(map);
		return error;
	}
	list = kmem_alloc(n * sizeof(*list), KM_SLEEP);
	(void)uvm_map_lookup_entry(map, start, &e);
	for (; e != &map->header && e->start < end; e = e->next) {
		vaddr_t from = e->start > start ? e->start : start;
		vaddr_t to = e->end < end ? e->end : end;
		struct uvm_object *uobj = e->object.uvm_obj;

		if (e->aref.ar_amap != NULL && (flags & (PGO_FREE | PGO_DEACTIVATE)) != 0)
			clean_amap(e, from, to, flags);
		/* A private mapping has no say over the pages of the object below it. */
		if (UVM_ET_ISOBJ(e) && uobj->pgops->pgo_put != NULL &&
		    ((flags & PGO_FREE) == 0 || !UVM_ET_ISCOPYONWRITE(e))) {
			uobj->pgops->pgo_reference(uobj);
			list[used++] = (struct flush){ uobj, e->offset + (voff_t)(from - e->start),
				e->offset + (voff_t)(to - e->start) };
		}
	}
	vm_map_unlock_read(map);
	for (size_t i = 0; i < used; i++) {
		int failed;

		mutex_enter(&list[i].fl_uobj->vmobjlock);
		failed = list[i].fl_uobj->pgops->pgo_put(list[i].fl_uobj, list[i].fl_start,
		    list[i].fl_stop, flags);
		if (error == 0)		/* B-18: the first error, not the last */
			error = failed;
		list[i].fl_uobj->pgops->pgo_detach(list[i].fl_uobj);
	}
	kmem_free(list, n * sizeof(*list));
	return error;
}
