/*
 * The fault handler (uvm-spec 6).
 *
 *	        entry  .--------------------------------------.
 *	        amap   |   .   .  A   A   .  [A]  .   .   A   .|   case 1: anon there
 *	        object |   O   O   O   O   O   O   O   .   O   O|   case 2: below it
 *	               '--------------------------------------'
 *	                       3 back  ^centre   4 forward
 *
 *	1A  the anon's page is mapped as it is (read-only while others share the anon)
 *	1B  a store to an anon that others share: a new anon gets a copy
 *	2A  the object's page is mapped as it is (read-only under copy-on-write)
 *	2B  a store, or no object at all: a new anon gets a copy, or zeroes
 *
 * One attempt runs through stages: check the entry, look at the neighbourhood and
 * map what is in memory anyway, then resolve the page itself.  A stage that had to
 * let go of the locks says ERESTART, and all begins again with a new look-up; what
 * it got in the meantime (a page read, memory freed) is found there.
 *
 * Locks, in order: map(R), amap, object, anon, page queues.  Nothing is held across
 * I/O but the BUSY flag of the page.  Whoever holds a busy page and wants the map
 * back only tries (H-1).  When memory or pmap resources are short, everything is
 * unlocked, we wait for the page daemon, and start again (R29).
 */
#include <uvm/uvm.h>
#include <uvm/uvm_fault_i.h>

bool uvm_fault_ahead = true;

#define	RESTARTS_MAX	1000		/* I-FLT-7: more is a livelock */

/* By advice: how many pages before and behind the faulting one. */
static const struct {
	int back, forward;
} window[] = {
	[UVM_ADV_NORMAL] = { 3, 4 },
	[UVM_ADV_RANDOM] = { 0, 0 },
	[UVM_ADV_SEQUENTIAL] = { 8, 7 },
};

/* --- locks and look-ups --- */

void
uvmfault_unlockmaps(struct uvm_faultinfo *ufi, bool write_locked)
{
	if (write_locked)
		vm_map_unlock(ufi->map);
	else
		vm_map_unlock_read(ufi->map);
}

void
uvmfault_unlockall(struct uvm_faultinfo *ufi, struct vm_amap *amap, struct uvm_object *uobj,
    struct vm_anon *anon)
{
	if (anon != NULL)
		mutex_exit(&anon->an_lock);
	if (uobj != NULL)
		mutex_exit(&uobj->vmobjlock);
	if (amap != NULL)
		amap_unlock(amap);
	if (ufi != NULL)
		uvmfault_unlockmaps(ufi, false);
}

bool
uvmfault_lookup(struct uvm_faultinfo *ufi, bool write_lock)
{
	struct vm_map *map = ufi->orig_map;

	for (;;) {
		if (ufi->orig_rvaddr < vm_map_min(map) || ufi->orig_rvaddr >= vm_map_max(map))
			return false;
		/* R33: the lock may be held by whom the fault interrupted. */
		if ((map->flags & VM_MAP_INTRSAFE) != 0) {
			UVMCNT(flt_intrsafe);
			return false;
		}
		ufi->map = map;
		if (write_lock)
			vm_map_lock(map);
		else
			vm_map_lock_read(map);
		if (!uvm_map_lookup_entry(map, ufi->orig_rvaddr, &ufi->entry)) {
			uvmfault_unlockmaps(ufi, write_lock);
			return false;
		}
		if (!UVM_ET_ISSUBMAP(ufi->entry))
			break;
		map = ufi->entry->object.sub_map;	/* submap entries are for ever */
		uvmfault_unlockmaps(ufi, write_lock);
	}
	ufi->mapv = map->timestamp;
	ufi->size = ufi->orig_size;
	if (ufi->size > ufi->entry->end - ufi->orig_rvaddr)
		ufi->size = ufi->entry->end - ufi->orig_rvaddr;
	return true;
}

bool
uvmfault_relock(struct uvm_faultinfo *ufi, bool try)
{
	UVMCNT(fltrelck);
	if (!try)
		vm_map_lock_read(ufi->map);
	else if (!vm_map_lock_read_try(ufi->map))
		return false;
	if (ufi->map->timestamp != ufi->mapv) {		/* I-FLT-4 */
		vm_map_unlock_read(ufi->map);
		return false;
	}
	UVMCNT(fltrelckok);
	return true;
}

int
uvmfault_amapcopy(struct uvm_faultinfo *ufi)
{
	for (;;) {
		bool done;

		if (!uvmfault_lookup(ufi, true))
			return EFAULT;
		if (UVM_ET_ISNEEDSCOPY(ufi->entry))
			amap_copy(ufi->map, ufi->entry, AMAP_COPY_NOWAIT, ufi->orig_rvaddr,
			    ufi->orig_rvaddr + 1);
		done = !UVM_ET_ISNEEDSCOPY(ufi->entry);
		uvmfault_unlockmaps(ufi, true);
		if (done)
			return 0;
		if (!uvm_reclaimable())
			return ENOMEM;
		uvm_wait("fltamapcopy");
	}
}

struct vm_anon *
uvm_fault_newanon(struct uvm_faultctx *flt)
{
	struct vm_anon *anon = flt->spare;

	if (anon == NULL)
		return uvm_analloc();		/* R27: comes locked */
	flt->spare = NULL;
	mutex_enter(&anon->an_lock);
	return anon;
}

void
uvm_fault_keepanon(struct uvm_faultctx *flt, struct vm_anon *anon)
{
	KASSERT(flt->spare == NULL);
	KASSERT(anon->an_ref == 1);
	KASSERT(anon->an_page == NULL);
	mutex_exit(&anon->an_lock);
	flt->spare = anon;
}

static void
drop_spare(struct uvm_faultctx *flt)
{
	if (flt->spare == NULL)
		return;
	mutex_enter(&flt->spare->an_lock);
	flt->spare->an_ref--;
	mutex_exit(&flt->spare->an_lock);
	uvm_anfree(flt->spare);
}

int
uvm_fault_shortage(void)
{
	UVMCNT(flt_shortage);
	if (!uvm_reclaimable())
		return ENOMEM;
	uvm_wait("fltram");
	return ERESTART;
}

/* --- stage 1: what does the entry allow, and what does it need --- */

/* => 0: map(R) */
static int
check(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_map_entry *entry;
	vm_prot_t check_prot;
	int error;

	if (!uvmfault_lookup(ufi, false))
		return EFAULT;
	entry = ufi->entry;
	KASSERTMSG((ufi->map->flags & VM_MAP_PAGEABLE) != 0, "fault at %#lx in a map that is not pageable",
	    (unsigned long)ufi->orig_rvaddr);
	check_prot = flt->wiremax ? entry->max_protection : entry->protection;
	if ((check_prot & flt->access_type) != flt->access_type) {
		uvmfault_unlockmaps(ufi, false);
		return EACCES;
	}
	flt->enter_prot = entry->protection;
	flt->access = flt->wiring ? entry->protection : flt->access_type;
	/* R13, C-15: wiring copies at once whatever could ever be stored to. */
	flt->cow_now = ((flt->wiring ? entry->max_protection : flt->access_type) &
	    VM_PROT_WRITE) != 0;
	if (UVM_ET_ISNEEDSCOPY(entry)) {
		if (flt->cow_now || entry->object.uvm_obj == NULL) {
			uvmfault_unlockmaps(ufi, false);
			UVMCNT(fltamcopy);
			error = uvmfault_amapcopy(ufi);
			return error != 0 ? error : ERESTART;
		}
		flt->enter_prot &= ~VM_PROT_WRITE;
	}
	flt->amap = entry->aref.ar_amap;
	if (flt->amap == NULL && entry->object.uvm_obj == NULL) {
		uvmfault_unlockmaps(ufi, false);
		return EFAULT;
	}
	return 0;
}

/* --- stage 2: the neighbourhood --- */

/* => map(R), amap locked: pages behind a sequential reader are the first to go */
static void
deactivate_behind(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, int n)
{
	for (int i = 0; flt->amap != NULL && i < n; i++) {
		struct vm_anon *anon = flt->anons[i];
		struct vm_page *pg;

		if (anon == NULL)
			continue;
		mutex_enter(&anon->an_lock);
		pg = anon->an_page;
		uvm_lock_pageq();
		if (pg != NULL && pg->loan_count == 0 && pg->wire_count == 0 &&
		    (pg->flags & PG_BUSY) == 0) {
			pmap_clear_reference(pg);	/* R20: ours to clear */
			uvm_pagedeactivate(pg);
		}
		uvm_unlock_pageq();
		mutex_exit(&anon->an_lock);
	}
}

/*
 * => map(R) in; out: amap locked too, anons of the range looked up.  Only the first
 *    attempt looks around, and wiring never.
 */
static void
neighbours(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_map_entry *entry = ufi->entry;
	vaddr_t center = ufi->orig_rvaddr;
	bool wide = uvm_fault_ahead && flt->restarts == 0 && !flt->wiring &&
	    !VM_MAPENT_ISWIRED(entry);
	vaddr_t back = wide ? (vaddr_t)window[entry->advice].back << PAGE_SHIFT : 0;
	vaddr_t forward = wide ? (vaddr_t)window[entry->advice].forward << PAGE_SHIFT : 0;
	int drop;

	if (back > center - entry->start)
		back = center - entry->start;
	if (forward > entry->end - PAGE_SIZE - center)
		forward = entry->end - PAGE_SIZE - center;
	flt->startva = center - back;
	flt->npages = (int)atop(back + forward) + 1;
	flt->centeridx = (int)atop(back);
	KASSERT(flt->npages <= UVM_MAXRANGE);
	if (flt->amap != NULL) {
		amap_lock(flt->amap);
		amap_lookups(&entry->aref, flt->startva - entry->start, flt->anons, flt->npages);
	} else {
		for (int i = 0; i < flt->npages; i++)
			flt->anons[i] = NULL;
	}
	if (entry->advice != UVM_ADV_SEQUENTIAL || flt->centeridx == 0)
		return;
	drop = flt->centeridx;
	deactivate_behind(ufi, flt, drop);
	for (int i = 0; i < flt->npages - drop; i++)
		flt->anons[i] = flt->anons[i + drop];
	flt->startva = center;
	flt->npages -= drop;
	flt->centeridx = 0;
}

void
uvm_fault_neighbour(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, vaddr_t va,
    struct vm_page *pg, vm_prot_t prot)
{
	KASSERT((pg->flags & PG_FAKE) == 0);
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	/* R39: may fail, and nobody minds: it will be faulted when it is wanted. */
	(void)pmap_enter(ufi->orig_map->pmap, va, VM_PAGE_TO_PHYS(pg), prot, PMAP_CANFAIL);
}

/*
 * => map(R), amap locked: map the neighbours that have an anon in memory; mark in
 *    pages[] which ones the object shall be asked for.  true: the centre has an anon
 */
static bool
upper_neighbours(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	vaddr_t va = flt->startva;

	for (int i = 0; i < flt->npages; i++, va += PAGE_SIZE) {
		struct vm_anon *anon = flt->anons[i];
		struct vm_page *pg;

		flt->pages[i] = NULL;
		if (i == flt->centeridx)
			continue;
		if (anon == NULL && ufi->entry->object.uvm_obj == NULL)
			continue;
		if (pmap_extract(ufi->orig_map->pmap, va, NULL)) {
			flt->pages[i] = PGO_DONTCARE;
			continue;
		}
		if (anon == NULL)
			continue;
		flt->pages[i] = PGO_DONTCARE;
		mutex_enter(&anon->an_lock);
		pg = anon->an_page;
		if (pg != NULL && pg->loan_count == 0 && (pg->flags & PG_BUSY) == 0) {
			UVMCNT(fltnamap);
			uvm_fault_neighbour(ufi, flt, va, pg, anon->an_ref > 1 ?
			    flt->enter_prot & ~VM_PROT_WRITE : flt->enter_prot);
		}
		mutex_exit(&anon->an_lock);
	}
	return flt->anons[flt->centeridx] != NULL;
}

/* --- entering --- */

/* => I-FLT-2, I-FLT-3: may this page be mapped like that? */
static void
assert_enter(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_page *pg)
{
	kmutex_t *owner = uvm_page_owner_lock(pg);

	KASSERT((pg->flags & (PG_FAKE | PG_RELEASED)) == 0 || (pg->flags & PG_BUSY) != 0);
	KASSERT(owner != NULL && mutex_owned(owner));
	KASSERT(ufi->map->timestamp == ufi->mapv);
	if ((flt->enter_prot & VM_PROT_WRITE) == 0)
		return;
	KASSERT(!UVM_ET_ISNEEDSCOPY(ufi->entry));
	if (pg->uobject != NULL)
		KASSERT(!UVM_ET_ISCOPYONWRITE(ufi->entry) && (pg->flags & PG_RDONLY) == 0);
	else
		KASSERT(pg->uanon->an_ref == 1);
	KASSERT(pg->loan_count == 0);
}

int
uvm_fault_enter(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_page *pg)
{
	unsigned flags = (unsigned)(flt->access & flt->enter_prot) | PMAP_CANFAIL;	/* R30 */
	bool wired = flt->wiring;
	int error;

	assert_enter(ufi, flt, pg);
	if (!wired && VM_MAPENT_ISWIRED(ufi->entry)) {
		/* B-19: a wired mapping only of a wired page */
		uvm_lock_pageq();
		wired = pg->wire_count != 0;
		uvm_unlock_pageq();
	}
	if (wired)
		flags |= PMAP_WIRED;
	error = pmap_enter(ufi->orig_map->pmap, ufi->orig_rvaddr, VM_PAGE_TO_PHYS(pg),
	    flt->enter_prot, flags);
	if (error != 0)
		return error;
	uvm_lock_pageq();
	if (flt->wiring) {
		UVMCNT(flt_wire);
		uvm_pagewire(pg);
		/* R34: dirty before its swap would go; a wired page needs none */
		if ((pg->pqflags & PQ_SWAPBACKED) != 0)
			pg->flags &= ~PG_CLEAN;
	} else {
		uvm_pageactivate(pg);
	}
	uvm_unlock_pageq();
	return 0;
}

/* --- the spine --- */

static int
attempt(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct uvm_object *uobj;
	int error;

	error = check(ufi, flt);
	if (error != 0)
		return error;
	neighbours(ufi, flt);			/* locked: map(R), amap */
	if (upper_neighbours(ufi, flt))
		return uvm_fault_upper(ufi, flt);
	uobj = ufi->entry->object.uvm_obj;
	if (uobj != NULL && uobj->pgops->pgo_fault != NULL) {
		mutex_enter(&uobj->vmobjlock);
		return uobj->pgops->pgo_fault(ufi, flt->startva, flt->pages, flt->npages,
		    flt->centeridx, flt->access, PGO_LOCKED);
	}
	return uvm_fault_lower(ufi, flt);
}

int
uvm_fault_internal(struct vm_map *map, vaddr_t va, vm_prot_t access, bool wiring, bool wiremax)
{
	struct uvm_faultinfo ufi = {
		.orig_map = map, .orig_rvaddr = trunc_page(va), .orig_size = PAGE_SIZE,
	};
	struct uvm_faultctx flt = {
		.access_type = access, .wiring = wiring, .wiremax = wiremax,
	};
	int error;

	KASSERTMSG(!cpu_intr_p() || (map->flags & VM_MAP_INTRSAFE) != 0, "fault in interrupt context");
	UVMCNT(faults);
	while ((error = attempt(&ufi, &flt)) == ERESTART || error == EAGAIN) {
		UVMCNT(flt_restart);
		if (error == EAGAIN)
			kpause("fltagain", 10000000);
		if (++flt.restarts == RESTARTS_MAX)
			violation(VIOL_HANG, "I-FLT-7", "fault at %#lx of map %u started over %d times",
			    (unsigned long)va, map->id, RESTARTS_MAX);
	}
	drop_spare(&flt);
	/* I-FLT-1 */
	KASSERT(!vm_map_locked(map) || (map->flags & VM_MAP_INTRSAFE) != 0);
	return error;
}

int
uvm_fault(struct vm_map *map, vaddr_t va, vm_prot_t access)
{
	return uvm_fault_internal(map, va, access, false, false);
}
