/*
 * The fault handler (uvm-spec 6).
 *
 *	        entry  .---------------------------------------.
 *	        amap   |   .   .   A   A   .  [A]  .   .   A   |   case 1: an anon is there
 *	        object |   O   O   O   O   O   O   O   .   O   |   case 2: below it
 *	               '---------------------------------------'
 *	                           3 back   ^centre    4 forward
 *
 *	1A  the anon's page is mapped as it is (read-only while others share the anon)
 *	1B  a store to an anon that others share: a new anon gets a copy
 *	2A  the object's page is mapped as it is (read-only under copy-on-write)
 *	2B  a store under copy-on-write, or no object at all: a new anon gets a copy, or zeroes
 *
 * One attempt runs through stages: check what the entry allows, choose the range of
 * neighbours and map those that are in memory anyway, then resolve the page itself
 * (uvm_fault_anon.c, uvm_fault_object.c).  A stage that had to let go of the locks
 * says ERESTART, and all begins again with a new look-up; what it got meanwhile (a
 * page read, memory freed, an amap copied) is found there.
 *
 * Locks, in order: map(R), amap, object, anon, page queues.  Nothing is held across
 * I/O but BUSY on the page and a reference to the object.  Who holds a busy page and
 * wants the map back only tries: a writer may wait for it behind a reader who waits
 * for the page (H-1).  When memory or pmap resources are short everything is
 * unlocked, we wait for the page daemon, and start again (R29).
 *
 * A mapping that is replaced by that of a copy must be gone from every TLB before the
 * old page's owner is unlocked: a thread of ours with a stale translation would else
 * see what others store to the old page next (S5, T-6).  So pmap_update() comes before
 * the unlocking, always.
 *
 * Wired entries: a NORMAL fault may find a page that the wirer has not come to yet,
 * and that somebody else may have wired; a mapping is wired only by a wiring of its
 * own entry (B-19).  Wiring anything that could ever be stored to copies it now (R13).
 */
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <sys/probe.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_vslock.h>

bool uvm_fault_ahead = true;

#define	RESTARTS_MAX	1000		/* I-FLT-7: more is a livelock */
#define	EAGAIN_PAUSE_NS	10000000

/* By advice: how many pages before and behind the faulting one. */
static const struct {
	int back, forward;
} window[] = {
	[UVM_ADV_NORMAL] = { 3, 4 },
	[UVM_ADV_RANDOM] = { 0, 0 },
	[UVM_ADV_SEQUENTIAL] = { 8, 7 },
};

static int	attempt(struct uvm_faultinfo *, struct uvm_faultctx *);
static int	check(struct uvm_faultinfo *, struct uvm_faultctx *);
static void	range(struct uvm_faultinfo *, struct uvm_faultctx *);
static bool	upper_neighbours(struct uvm_faultinfo *, struct uvm_faultctx *);
static bool	intrsafe_address(struct vm_map *, vaddr_t);
static void	count(const struct uvm_faultctx *);

int
uvm_fault(struct vm_map *map, vaddr_t va, vm_prot_t access)
{
	return uvmfault_internal(map, va, access, false, false, NULL);
}

/* --- the spine --- */

int
uvmfault_internal(struct vm_map *map, vaddr_t va, vm_prot_t access, bool wiring, bool wiremax,
    struct uvm_vslock *vl)
{
	struct uvm_faultinfo ufi;	/* what the stages find they set themselves: they are large */
	struct uvm_faultctx flt;
	int error, nheld = curlwp->l_held.hs_n;

	ufi.orig_map = map;
	ufi.orig_rvaddr = trunc_page(va);
	ufi.orig_size = PAGE_SIZE;
	ufi.vslock = vl;
	ufi.mlock = wiremax;
	ufi.backoffs = ufi.waits = 0;
	flt.access_type = access;
	flt.wiring = wiring;
	flt.wiremax = wiremax;
	flt.restarts = 0;
	flt.narrow = flt.had_io = false;
	flt.pinned = NULL;
	flt.resolved = 0;
	KASSERTMSG(!cpu_intr_p() || intrsafe_address(map, va), "fault at %#lx in interrupt context",
	    (unsigned long)va);
	UVMCNT(faults);
	kernhist_log(KE_fault_enter, map->id, (uint32_t)access, trunc_page(va));
	PROBE3(fault__start, map->id, va, access);
	for (;;) {
		error = attempt(&ufi, &flt);
		KASSERTMSG(curlwp->l_held.hs_n == nheld, "I-FLT-1: a fault leaves %d locks held",
		    curlwp->l_held.hs_n - nheld);
		if (flt.pinned != NULL) {
			flt.pinned->pgops->pgo_detach(flt.pinned);
			flt.pinned = NULL;
		}
		if (error != ERESTART && error != EAGAIN)
			break;
		UVMCNT(flt_restart);
		if (error == EAGAIN)
			uvmfault_pause("fltagain", EAGAIN_PAUSE_NS);
		if (++flt.restarts == RESTARTS_MAX)
			violation(VIOL_HANG, "I-FLT-7", "fault at %#lx of map %u started over %d times",
			    (unsigned long)va, map->id, RESTARTS_MAX);
	}
	if (error == 0 && flt.restarts == 0)
		kernhist_log(KE_fault_done, map->id, 0, trunc_page(va) | flt.resolved);
	else
		kernhist_log(KE_fault_exit, map->id, (uint32_t)error, trunc_page(va) | flt.resolved);
	PROBE4(fault__done, map->id, va, error, flt.resolved);
	if (error == 0) {
		count(&flt);
		lwp_beat();
	}
	return error;
}

/*
 * => nothing locked in and out.
 */
static int
attempt(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct uvm_object *uobj;
	int error;

	flt->promoted = false;
	error = check(ufi, flt);
	if (error != 0)
		return error;
	range(ufi, flt);
	/* locked: maps(R), amap */
	if (upper_neighbours(ufi, flt))
		return uvm_fault_upper(ufi, flt);
	uobj = ufi->entry->object.uvm_obj;
	if (uobj != NULL && uobj->pgops->pgo_fault != NULL) {
		mutex_enter(&uobj->vmobjlock);
		flt->resolved = KERNHIST_BY_OBJECT;
		return uobj->pgops->pgo_fault(ufi, flt->startva, flt->pages, flt->npages,
		    flt->centeridx, flt->access,
		    PGO_LOCKED | (flt->wiring ? PGO_WIRE : 0));
	}
	return uvm_fault_lower(ufi, flt);
}

static void
count(const struct uvm_faultctx *flt)
{
	if (flt->wiring)
		UVMCNT(flt_wire);
	if (flt->had_io)
		UVMCNT(flt_pagein);
	else if (!flt->promoted)
		UVMCNT(flt_soft);
}

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

/*
 * R33: would the look-up end in an interrupt-safe map, holes included (C-13)?  Their
 * locks, and kernel_map's on the way there, may be held by whom the fault interrupted.
 * => no lock: where kmem_map lies is stable
 */
static bool
intrsafe_address(struct vm_map *map, vaddr_t va)
{
	if ((map->flags & VM_MAP_INTRSAFE) != 0)
		return true;
	return map == kernel_map && kmem_map != NULL && va >= vm_map_min(kmem_map) &&
	    va < vm_map_max(kmem_map);
}

bool
uvmfault_lookup(struct uvm_faultinfo *ufi, bool write_lock)
{
	struct vm_map *map = ufi->orig_map;

	for (;;) {
		if (!BUG(intrsafe_fault_locks) && intrsafe_address(map, ufi->orig_rvaddr)) {
			UVMCNT(flt_intrsafe);
			return false;
		}
		if (ufi->orig_rvaddr < vm_map_min(map) || ufi->orig_rvaddr >= vm_map_max(map))
			return false;
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
	lock_remember(&ufi->map_state, &map->lock, ufi->mapv);
	ufi->size = ufi->orig_size;
	if (ufi->size > ufi->entry->end - ufi->orig_rvaddr)
		ufi->size = ufi->entry->end - ufi->orig_rvaddr;
	return true;
}

/* => map(R) again: has nobody written to it since the look-up?  Then what was found is good. */
static bool
map_unchanged(struct uvm_faultinfo *ufi)
{
	if (ufi->map->timestamp != ufi->mapv && !BUG(timestamp_ignored))
		return false;
	lock_revalidated(&ufi->map->lock, &ufi->map_state, ufi->map->timestamp);
	return true;
}

bool
uvmfault_relock(struct uvm_faultinfo *ufi)
{
	UVMCNT(fltrelck);
	if (BUG(msync_reader_trap))
		vm_map_lock_read(ufi->map);
	else if (!vm_map_lock_read_try(ufi->map))	/* H-1 */
		return false;
	if (!map_unchanged(ufi)) {			/* T-2 */
		vm_map_unlock_read(ufi->map);
		return false;
	}
	UVMCNT(fltrelckok);
	return true;
}

bool
uvmfault_recheck(struct uvm_faultinfo *ufi, struct vm_amap *amap, vaddr_t va,
    const struct vm_anon *anon)
{
	if (amap_lookup(&ufi->entry->aref, va - ufi->entry->start) != anon)
		return false;
	lock_revalidated(amap_mutex(amap), &ufi->amap_state, 0);
	return true;
}

int
uvmfault_amapcopy(struct uvm_faultinfo *ufi)
{
	bool done;

	UVMCNT(fltamcopy);
	if (!uvmfault_lookup(ufi, true))
		return EFAULT;
	lock_pin(&ufi->map->lock);
	if (UVM_ET_ISNEEDSCOPY(ufi->entry))
		amap_copy(ufi->map, ufi->entry, AMAP_COPY_NOWAIT, ufi->orig_rvaddr,
		    ufi->orig_rvaddr + ufi->size);
	lock_unpin(&ufi->map->lock);
	/* amap_copy() may have clipped it, but it is still the one around the address */
	done = !UVM_ET_ISNEEDSCOPY(ufi->entry);
	uvmfault_unlockmaps(ufi, true);
	/* who asked begins anew: so it is counted how often (I-FLT-7) */
	return done ? 0 : uvmfault_shortage(&ufi->waits);
}

void
uvmfault_sleeps(const struct uvm_faultinfo *ufi)
{
	if (ufi != NULL)
		vm_map_assert_none("a fault sleeps");
}

int
uvmfault_shortage(unsigned *waits)
{
	UVMCNT(flt_shortage);
	return uvm_wait_again(waits, "fltram") ? ERESTART : ENOMEM;
}

/* kpause() wants no lock held at all; a fault may come from a copy with a vnode locked. */
void
uvmfault_pause(const char *wmesg, uint64_t ns)
{
	mutex_spin_enter(&uvm_fpageqlock);
	(void)mtsleep(&ns, true, wmesg, ns, &uvm_fpageqlock);
}

/* --- stage 1: what does the entry allow, and what does it need --- */

/*
 * => nothing locked.
 * => 0: maps(R), the context's second group is set; else: nothing locked
 */
static int
check(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_map_entry *entry;
	vm_prot_t check_prot;
	int error;

	if (!uvmfault_lookup(ufi, false))
		return EFAULT;
	entry = ufi->entry;
	KASSERTMSG((ufi->map->flags & VM_MAP_PAGEABLE) != 0,
	    "fault at %#lx in a map that is not pageable", (unsigned long)ufi->orig_rvaddr);
	check_prot = flt->wiremax ? entry->max_protection : entry->protection;
	if ((check_prot & flt->access_type) != flt->access_type ||
	    entry->protection == VM_PROT_NONE) {
		uvmfault_unlockmaps(ufi, false);
		return EACCES;
	}
	flt->enter_prot = entry->protection;
	flt->access = flt->access_type;
	flt->cow_now = (flt->access_type & VM_PROT_WRITE) != 0;
	if (flt->wiring || VM_MAPENT_ISWIRED(entry)) {
		/* R13, C-15: what could ever be stored to is copied when it is wired */
		flt->access = entry->protection;
		flt->cow_now = (entry->max_protection & VM_PROT_WRITE) != 0 && !BUG(wire_without_copy);
	}
	if (UVM_ET_ISNEEDSCOPY(entry)) {
		if (flt->cow_now || entry->object.uvm_obj == NULL) {
			uvmfault_unlockmaps(ufi, false);
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

/*
 * A page behind a sequential reader is the first to go.
 * => owner locked
 */
static void
deactivate(struct vm_page *pg)
{
	uvm_lock_pageq();
	if ((pg->flags & PG_BUSY) == 0 && pg->loan_count == 0 && pg->wire_count == 0) {
		pmap_clear_reference(pg);		/* R20: ours to clear */
		uvm_pagedeactivate(pg);
	}
	uvm_unlock_pageq();
}

/* => maps(R), amap locked: the first n pages of the range */
static void
deactivate_behind(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, int n)
{
	struct uvm_object *uobj = ufi->entry->object.uvm_obj;
	voff_t off = ufi->entry->offset + (voff_t)(flt->startva - ufi->entry->start);
	struct vm_page *pg;

	for (int i = 0; i < n; i++) {
		struct vm_anon *anon = flt->anons[i];

		if ((flt->upper >> i & 1) == 0)
			continue;
		mutex_enter(&anon->an_lock);
		/* a borrowed page has another owner, whom we have not locked */
		if (anon->an_page != NULL && !uvm_page_loaned(anon->an_page))
			deactivate(anon->an_page);
		mutex_exit(&anon->an_lock);
	}
	if (uobj == NULL)
		return;
	mutex_enter(&uobj->vmobjlock);
	for (int i = 0; i < n; i++)
		if ((flt->upper >> i & 1) == 0 &&
		    (pg = uvm_pagelookup(uobj, off + (voff_t)ptoa(i))) != NULL)
			deactivate(pg);
	mutex_exit(&uobj->vmobjlock);
}

/* => maps(R): the range by advice, within the entry; or the centre alone */
static void
choose_range(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_map_entry *entry = ufi->entry;
	vaddr_t center = ufi->orig_rvaddr, back = 0, forward = 0;

	/* Only the first attempt that gets here looks around; wired entries have no holes to fill (B-19). */
	if (uvm_fault_ahead && !flt->narrow && !flt->wiring && !VM_MAPENT_ISWIRED(entry)) {
		back = ptoa(window[entry->advice].back);
		forward = ptoa(window[entry->advice].forward);
	}
	if (back > center - entry->start)
		back = center - entry->start;
	if (forward > entry->end - PAGE_SIZE - center)
		forward = entry->end - PAGE_SIZE - center;
	flt->startva = center - back;
	flt->npages = (int)atop(back + forward) + 1;
	flt->centeridx = (int)atop(back);
	KASSERT(flt->npages <= UVM_MAXRANGE);
	flt->narrow = true;
}

/*
 * => maps(R).
 * => maps(R), amap locked; anons of the range.
 */
static void
range(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	struct vm_map_entry *entry = ufi->entry;
	int drop;

	choose_range(ufi, flt);
	flt->upper = 0;
	if (flt->amap != NULL) {
		amap_lock(flt->amap);
		lock_remember(&ufi->amap_state, amap_mutex(flt->amap), 0);
		flt->upper = amap_lookups(&entry->aref, flt->startva - entry->start, flt->anons,
		    flt->npages);
	}
	if (entry->advice != UVM_ADV_SEQUENTIAL || flt->centeridx == 0)
		return;
	drop = flt->centeridx;
	deactivate_behind(ufi, flt, drop);
	for (int i = 0; i < flt->npages - drop && flt->amap != NULL; i++)
		flt->anons[i] = flt->anons[i + drop];
	flt->upper >>= drop;
	flt->startva += ptoa(drop);
	flt->npages -= drop;
	flt->centeridx = 0;
}

void
uvmfault_enter_neighbour(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, vaddr_t va,
    struct vm_page *pg, vm_prot_t prot)
{
	KASSERTMSG((pg->flags & (PG_FAKE | PG_RELEASED)) == 0 && uvm_page_atrest(pg), "I-FLT-3: page flags %#x",
	    pg->flags);
	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	/* who is mapped was asked before the object was locked: an I/O may have wired it since */
	if (uvm_mapping_wired(ufi->map, ufi->entry, va))
		return;
	uvm_page_used(pg);
	/*
	 * R39: may fail, and nobody minds: it will be faulted when it is wanted.  But another thread's fault may have
	 * mapped it since, and that is gone then (R2): CPUs are told before anything is unlocked (S5).
	 */
	if (pmap_enter(ufi->orig_map->pmap, va, VM_PAGE_TO_PHYS(pg), prot, PMAP_CANFAIL) != 0)
		pmap_update(ufi->orig_map->pmap);
}

/* => maps(R), amap locked: map the neighbour that this anon has in memory */
static void
upper_neighbour(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, vaddr_t va,
    struct vm_anon *anon)
{
	vm_prot_t prot = flt->enter_prot;
	struct vm_page *pg;

	mutex_enter(&anon->an_lock);
	pg = anon->an_page;
	if (pg != NULL && !uvm_page_loaned(pg) && (pg->flags & PG_BUSY) == 0) {
		if (anon->an_ref > 1)
			prot &= ~VM_PROT_WRITE;		/* I-AMAP-10 */
		UVMCNT(fltnamap);
		uvmfault_enter_neighbour(ufi, flt, va, pg, prot);
	}
	mutex_exit(&anon->an_lock);
}

/*
 * => maps(R), amap locked, stays so; pages[], if there is an object: NULL where it is to be asked.
 * => true: the centre has an anon
 */
static bool
upper_neighbours(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt)
{
	const uint64_t centre = UINT64_C(1) << flt->centeridx;
	uint64_t mapped = 0, todo;

	if (flt->npages > 1)
		mapped = pmap_mapped(ufi->orig_map->pmap, flt->startva, flt->npages);
	for (todo = flt->upper & ~mapped & ~centre; todo != 0; todo &= todo - 1) {
		const int i = __builtin_ctzll(todo);

		upper_neighbour(ufi, flt, flt->startva + ptoa((vaddr_t)i), flt->anons[i]);
	}
	if (ufi->entry->object.uvm_obj != NULL)
		for (int i = 0; i < flt->npages; i++)
			flt->pages[i] = ((mapped | flt->upper) & ~centre) >> i & 1 ? PGO_DONTCARE : NULL;
	return (flt->upper & centre) != 0;
}

/* --- promoting and entering, for both cases --- */

struct vm_anon *
uvmfault_promote(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_page *src,
    bool replace)
{
	struct vm_anon *anon = uvm_analloc();		/* R27: comes locked */
	struct vm_page *pg;

	KASSERT(amap_locked(flt->amap));
	KASSERT_STABLE(amap_mutex(flt->amap), &ufi->amap_state);
	KASSERTMSG(!UVM_ET_ISNEEDSCOPY(ufi->entry), "an anon for an amap that is to be copied first");
	if (anon == NULL) {
		UVMCNT(fltnoanon);
		return NULL;
	}
	pg = uvm_pagealloc(NULL, 0, anon, src == NULL ? UVM_PGA_ZERO : 0);
	if (pg == NULL) {
		UVMCNT(fltnoram);
		anon->an_ref--;
		mutex_exit(&anon->an_lock);
		uvm_anfree(anon);
		return NULL;
	}
	if (src != NULL)
		uvm_pagecopy(src, pg);
	(void)amap_add(&ufi->entry->aref, ufi->orig_rvaddr - ufi->entry->start, anon, replace);
	KASSERTMSG((pg->flags & PG_CLEAN) == 0, "I-ANON-4: a new page is clean, and no backing store has it");
	pg->flags &= ~PG_FAKE;
	uvm_pageactivate_fresh(pg);
	uvm_page_unbusy(&pg, 1);
	flt->promoted = true;
	KASSERT(mutex_owned(&anon->an_lock));
	return anon;
}

/* => owner locked: would a store of the entry's owners go to this very page? */
static bool
private_page(const struct vm_map_entry *entry, const struct vm_page *pg)
{
	return pg->uobject != NULL ? !UVM_ET_ISCOPYONWRITE(entry) : pg->uanon->an_ref == 1;
}

/* I-FLT-2, I-FLT-3, I-FLT-4: may this page be mapped like that? */
static void
assert_enter(const struct uvm_faultinfo *ufi, const struct uvm_faultctx *flt, struct vm_page *pg)
{
	const struct vm_map_entry *entry = ufi->entry;

	KASSERT(vm_map_locked(ufi->map));
	KASSERT_STABLE(&ufi->map->lock, &ufi->map_state);
	if (flt->amap != NULL)
		KASSERT_STABLE(amap_mutex(flt->amap), &ufi->amap_state);
	KASSERTMSG(ufi->map->timestamp == ufi->mapv, "I-FLT-4: map %u has changed", ufi->map->id);
	KASSERTMSG((pg->flags & (PG_FAKE | PG_RELEASED)) == 0 && uvm_page_atrest(pg), "I-FLT-3: page flags %#x",
	    pg->flags);
	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	KASSERTMSG(!flt->wiring || (entry->max_protection & VM_PROT_WRITE) == 0 || private_page(entry, pg),
	    "R13: a page that is shared copy-on-write is wired where it may be stored to");
	KASSERTMSG((flt->access & ~flt->enter_prot) == 0, "access %d, rights %d", flt->access,
	    flt->enter_prot);
	if ((flt->enter_prot & VM_PROT_WRITE) == 0)
		return;
	KASSERT((entry->protection & VM_PROT_WRITE) != 0);
	KASSERT(!UVM_ET_ISNEEDSCOPY(entry));
	KASSERTMSG(!uvm_page_loaned(pg), "R15: a page on loan is to be mapped writable");
	if (pg->uobject != NULL) {
		KASSERT(!UVM_ET_ISCOPYONWRITE(entry));
		KASSERT((pg->flags & PG_RDONLY) == 0);
	} else
		KASSERTMSG(pg->uanon->an_ref == 1, "I-FLT-2: %d references to the anon",
		    pg->uanon->an_ref);
}

/* => owner locked, just mapped by a wiring fault */
static void
wire_page(struct vm_page *pg)
{
	KASSERTMSG(!uvm_page_loaned(pg), "I-LOAN-5: a page on loan is wired");
	uvm_pagewire(pg);
	/* R34: dirty before its swap goes; a wired page needs none */
	if ((pg->pqflags & PQ_SWAPBACKED) != 0)
		pg->flags &= ~PG_CLEAN;
	if ((pg->pqflags & PQ_ANON) != 0)
		uvm_anon_dropswap(pg->uanon);
	else if ((pg->pqflags & PQ_AOBJ) != 0)
		uao_dropswap(pg->uobject, (uint64_t)atop(pg->offset));
	/* I-FLT-8 */
	KASSERTMSG((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0 && pg->intent == 0,
	    "I-FLT-8, R7: a wired page is queued");
	KASSERT(pg->wire_count >= 1);
	KASSERTMSG((pg->pqflags & PQ_ANON) == 0 || pg->uanon->an_swslot == 0,
	    "I-FLT-8, R34: a wired page has swap slot %#x", (unsigned)pg->uanon->an_swslot);
	KASSERTMSG((pg->pqflags & PQ_AOBJ) == 0 ||
	    uao_find_swslot(pg->uobject, (uint64_t)atop(pg->offset)) == 0,
	    "I-FLT-8, R34: a wired page of object %u has a swap slot", pg->uobject->uo_id);
}

int
uvmfault_enter(struct uvm_faultinfo *ufi, struct uvm_faultctx *flt, struct vm_page *pg)
{
	unsigned flags = (unsigned)flt->access | PMAP_CANFAIL;	/* R30 */
	bool wired = flt->wiring;
	int error;

	assert_enter(ufi, flt, pg);
	/* B-19: no wired mapping of a page that is not wired; B-16: while there is I/O it stays so */
	if (!wired && uvm_page_hardwired(pg))
		wired = uvm_mapping_wired(ufi->map, ufi->entry, ufi->orig_rvaddr);
	if (wired)
		flags |= PMAP_WIRED;
	error = pmap_enter(ufi->orig_map->pmap, ufi->orig_rvaddr, VM_PAGE_TO_PHYS(pg),
	    flt->enter_prot, flags);
	/* who could have entered it since waits for the locks that we hold */
	KASSERTMSG(error == 0 || !pmap_extract(ufi->orig_map->pmap, ufi->orig_rvaddr, NULL),
	    "I-PMAP-1, R2: a failed enter has left a mapping at %#lx", (unsigned long)ufi->orig_rvaddr);
	if (error != 0 && !BUG(enter_failure_ignored))
		return error;
	if (flt->promoted && !flt->wiring)
		return 0;				/* new, and active already */
	if (!flt->wiring) {
		uvm_page_used(pg);
		return 0;
	}
	uvm_lock_pageq();
	wire_page(pg);
	uvm_unlock_pageq();
	uvm_mapping_reached(ufi, VM_PAGE_TO_PHYS(pg));
	return 0;
}
