/*
 * The inspector: walks the whole machine at rest and holds it against the
 * invariants of the specification.
 *
 * At rest means: no other LWP runs user code or is inside UVM, no I/O is in
 * flight.  Then identities that need several locks at once can simply be read.
 * Every walk is one row of a table; a row that finds something reports it and
 * goes on, so that one defect does not hide the next.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/inspect.h>
#include <harness/xalloc.h>
#include <sys/sleepq.h>
#include <sys/stop.h>
#include <uvm/uvm.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_proc.h>

#include "about.h"
#include "inspect_int.h"

#define	LOOKS	5		/* at what should move */
#define	LOOK_NS	10000000

/* What one walk over all pages counts. */
struct census {
	uint64_t free, active, inactive, wired, anon, file, aobj, private, busy, orphan;
};

static unsigned
complain(const char *id, const struct vm_page *pg, const char *what)
{
	about_page(pg);
	violation(VIOL_INVARIANT, id,
	    "page %#lx: %s (flags %#x, pqflags %#x, wire %u, loan %u, uobject %u, anon %s)",
	    (unsigned long)VM_PAGE_TO_PHYS(pg), what, pg->flags, pg->pqflags, pg->wire_count,
	    pg->loan_count, pg->uobject != NULL ? pg->uobject->uo_id : 0,
	    pg->uanon != NULL ? "yes" : "no");
	return 1;
}

static unsigned
must(bool good, const char *id, const struct vm_page *pg, const char *what)
{
	return good ? 0 : complain(id, pg, what);
}

/* --- one page: what pageq and its owner's lock keep as it is --- */

/* => pageq and fpageq held, or nothing runs */
static unsigned
check_free(struct vm_page *pg)
{
	return must(pg->uobject == NULL && pg->uanon == NULL, CHECK_ID(I_PG_7), pg, "free with an owner") +
	    must(pg->wire_count == 0 && pg->loan_count == 0, CHECK_ID(I_PG_7), pg,
	    "free and wired or loaned") +
	    must((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0, CHECK_ID(I_PG_3), pg, "free and queued");
}

/* => pageq held, or nothing runs: queue, wiring, kind of owner */
static unsigned
check_queue(struct vm_page *pg)
{
	uint32_t queues = pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE);

	return must(queues != (PQ_ACTIVE | PQ_INACTIVE), CHECK_ID(I_PG_3), pg, "on both queues") +
	    must(pg->wire_count == 0 || queues == 0, CHECK_ID(I_PG_2), pg, "wired and on a queue (R7)") +
	    must(queues == 0 || pg->uobject != NULL || pg->uanon != NULL, CHECK_ID(I_PG_11), pg,
	    "queued without an owner");
}

/* => pageq and the owner's lock held, or nothing runs */
static unsigned
check_owned(struct vm_page *pg)
{
	bool busy = (pg->flags & PG_BUSY) != 0;
	unsigned bad;

	bad = must((pg->pqflags & PQ_ANON) == 0 || (pg->uanon != NULL && pg->uobject == NULL),
	    CHECK_ID(I_PG_10), pg, "PQ_ANON and not owned by an anon") +
	    must((pg->pqflags & PQ_AOBJ) == 0 || (pg->uobject != NULL && UVM_OBJ_IS_AOBJ(pg->uobject)),
	    CHECK_ID(I_PG_10), pg, "PQ_AOBJ and not in an aobj") +
	    must(busy || (pg->flags & (PG_FAKE | PG_RELEASED | PG_PAGEOUT)) == 0, CHECK_ID(I_PG_8), pg,
	    "FAKE, RELEASED or PAGEOUT without BUSY");
	if (pg->uobject != NULL && pg->uanon != NULL)
		bad += must(pg->loan_count >= 1 && (pg->pqflags & PQ_ANON) == 0, CHECK_ID(I_PG_5), pg,
		    "two owners and no loan");
	/* who falls asleep marks it under this lock, and the mark goes with the wakeup */
	bad += must((pg->flags & PG_WANTED) != 0 || !sleepq_has_waiters(pg), CHECK_ID(I_PG_13), pg,
	    "somebody sleeps on it, and it is not WANTED: he has not said so, or who took the mark away did not wake all; nobody will");
	bad += must((pg->uobject != NULL) == ((pg->flags & PG_TABLED) != 0), CHECK_ID(I_OBJ_1), pg,
	    "TABLED and in an object must go together");
	if ((pg->pqflags & PQ_ANON) != 0 && pg->uanon != NULL)
		bad += must(pg->uanon->an_page == pg, CHECK_ID(I_ANON_2), pg, "its anon has another page") +
		    must((pg->flags & PG_RDONLY) == 0, CHECK_ID(I_OBJ_8), pg, "an anon's, and has no blocks to be without");
	return bad;
}

/* => pageq held: the lock of the owner, if that stays who it is, which it does while it is queued */
static kmutex_t *
queued_owner(const struct vm_page *pg)
{
	return (pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) != 0 ? uvm_page_owner_lock(pg) : NULL;
}

unsigned
inspect_page(struct vm_page *pg)
{
	kmutex_t *owner;
	unsigned bad;

	if ((pg->pqflags & PQ_FREE) != 0) {
		mutex_spin_enter(&uvm_fpageqlock);
		bad = (pg->pqflags & PQ_FREE) != 0 ? check_free(pg) : 0;
		mutex_spin_exit(&uvm_fpageqlock);
		return bad;
	}
	bad = check_queue(pg);
	owner = queued_owner(pg);
	if (owner != NULL && mutex_tryenter(owner)) {
		bad += check_owned(pg);
		mutex_exit(owner);
	}
	CHECKS_RAN(CHK_I_ANON_2, CHK_I_OBJ_1, CHK_I_PG_2, CHK_I_PG_3, CHK_I_PG_5, CHK_I_PG_7, CHK_I_PG_8,
	    CHK_I_PG_10, CHK_I_PG_11, CHK_I_PG_13);
	return bad;
}

/*
 * => pageq held: the page is busy by an LWP that stands, or went with a transfer that is none, and
 *    so will never be let go.  Who lets a page go is its owner no more before he comes to stand; and
 *    with the page's owner locked no transfer of it can end.
 */
static unsigned
inspect_busy(struct vm_page *pg)
{
	struct lwp *l = __atomic_load_n(&pg->owner, __ATOMIC_ACQUIRE);
	kmutex_t *owner = queued_owner(pg);
	unsigned bad = 0;

	if (l != NULL && lwp_stands(l) && __atomic_load_n(&pg->owner, __ATOMIC_ACQUIRE) == l) {
		about_page(pg);
		violation_about(KS_lwp, l->l_id, l);
		violation(VIOL_INVARIANT, CHECK_ID(I_OBJ_10), "page %#lx was made busy by %s in %s, who is at the "
		    "user boundary (flags %#x)", (unsigned long)VM_PAGE_TO_PHYS(pg), l->l_name,
		    pg->owner_tag != NULL ? pg->owner_tag : "?", pg->flags);
		return 1;
	}
	if (owner == NULL || !mutex_tryenter(owner))
		return 0;
	if ((pg->flags & PG_BUSY) != 0 && pg->owner == NULL)
		bad = must(!uvm_aio_idle(), CHECK_ID(I_OBJ_10), pg, "busy by nobody, and no transfer is under way");
	mutex_exit(owner);
	return bad;
}

/* What decides whether who waits for memory will be woken. */
struct memory {
	uint64_t me_paging, me_waiters, me_beats;
	bool	 me_idle;		/* the daemon sleeps, and nothing is being written */
};

static struct memory
look_at_memory(void)
{
	struct memory me = { .me_idle = uvm_aio_idle() };

	mutex_spin_enter(&uvm_fpageqlock);
	me.me_idle &= uvm.pd_idle && !uvm.pd_kicked;
	me.me_paging = uvm.paging;
	me.me_waiters = uvm.nwaiters;
	mutex_spin_exit(&uvm_fpageqlock);
	me.me_beats = __atomic_load_n(&uvm.pagedaemon_lwp->l_beats, __ATOMIC_RELAXED);
	me.me_idle &= uvm_aio_idle();
	return me;
}

/* Who waits for memory, if it is still so, and who should have woken him. */
static void
about_waiter(void)
{
	struct lwp *l = sleepq_sleeper(&uvm.free);

	if (l != NULL)
		violation_about(KS_lwp, l->l_id, l);
	violation_about(KS_lwp, uvm.pagedaemon_lwp->l_id, uvm.pagedaemon_lwp);
}

unsigned
inspect_waiters(void)
{
	uint64_t waiters, free;
	bool asleep, oom;

	/* who falls asleep is counted under this lock, and the count goes with the wakeup; so does oom */
	mutex_spin_enter(&uvm_fpageqlock);
	asleep = sleepq_has_waiters(&uvm.free);
	waiters = uvm.nwaiters;
	free = uvm.free;
	oom = uvm.oom;
	mutex_spin_exit(&uvm_fpageqlock);
	CHECKS_RAN(CHK_I_PD_5, CHK_I_PD_6);
	if (oom && free > uvm.reserve_kernel) {
		violation_about(KS_lwp, uvm.pagedaemon_lwp->l_id, uvm.pagedaemon_lwp);
		violation(VIOL_INVARIANT, CHECK_ID(I_PD_6), "%lu pages are free, and faults are told that there will "
		    "be none", (unsigned long)free);
		return 1;
	}
	if (asleep == (waiters != 0))
		return 0;
	about_waiter();
	violation(VIOL_INVARIANT, CHECK_ID(I_PD_5), "%lu are said to wait for memory, and %s", (unsigned long)waiters,
	    asleep ? "somebody does, whom nobody will wake" : "nobody does");
	return 1;
}

/* => it was so at every look: nobody has moved, so nobody will */
static unsigned
stuck_for_memory(void)
{
	const struct memory first = look_at_memory();

	for (int i = 0; i < LOOKS; i++) {
		struct memory me = look_at_memory();

		if (!me.me_idle || me.me_beats != first.me_beats || me.me_paging != first.me_paging ||
		    me.me_waiters != first.me_waiters)
			return 0;
		kpause("memory", LOOK_NS);
	}
	if (first.me_paging != 0 || first.me_waiters != 0)
		about_waiter();
	if (first.me_paging != 0)
		violation(VIOL_INVARIANT, CHECK_ID(I_PD_1), "%lu pages are said to be on their way out, nothing "
		    "is being written, and %lu wait for memory", (unsigned long)first.me_paging,
		    (unsigned long)first.me_waiters);
	else if (first.me_waiters != 0)
		violation(VIOL_INVARIANT, CHECK_ID(I_PD_5), "%lu wait for memory, the page daemon sleeps, nothing "
		    "is being written, and %lu pages are free", (unsigned long)first.me_waiters,
		    (unsigned long)uvm.free);
	return first.me_paging != 0 || first.me_waiters != 0;
}

/*
 * => pageq held.  Who falls asleep on a page does so under its owner's lock, and is woken when it loses
 *    that: nobody sleeps on a page that is on the free list, nor on an orphan, which both stay what they are.
 */
static unsigned
inspect_unowned(struct vm_page *pg)
{
	unsigned bad = 0;

	mutex_spin_enter(&uvm_fpageqlock);
	if (pg->on_free != 0 || (pg->loan_count != 0 && uvm_page_owner_lock(pg) == NULL))
		bad = must(!sleepq_has_waiters(pg), CHECK_ID(I_PG_13), pg,
		    "somebody sleeps on it, and it has no owner any more: who took that away did not wake him");
	mutex_spin_exit(&uvm_fpageqlock);
	return bad;
}

unsigned
inspect_stuck(void)
{
	unsigned bad = inspect_waiters() + inspect_sleepers();

	if (bad == 0)
		bad = stuck_for_memory();

	uvm_pgintent_flush();
	for (uint64_t i = 0; i < uvm.npages && bad == 0; i++) {
		uvm_lock_pageq();
		bad = inspect_page(&uvm.pages[i]) + inspect_busy(&uvm.pages[i]) + inspect_unowned(&uvm.pages[i]);
		uvm_unlock_pageq();
	}
	return bad;
}

/* --- one page more: what holds when nobody is at work --- */

/* => is it to be reclaimed in time?  Not the kernel's, nor the page of zeroes that is lent. */
static bool
pageable(const struct vm_page *pg)
{
	return pg->uobject == NULL ? pg->uanon != NULL :
	    UVM_OBJ_IS_VNODE(pg->uobject) || UVM_OBJ_IS_AOBJ(pg->uobject);
}

static unsigned
check_settled(struct vm_page *pg)
{
	unsigned bad;

	bad = must((pg->flags & PG_BUSY) == 0, CHECK_ID(I_OBJ_10), pg, "busy at rest: who holds it?") +
	    must((pg->flags & PG_WANTED) == 0, CHECK_ID(I_PG_13), pg, "wanted at rest: nobody sleeps on it") +
	    must(pg->uobject != NULL || pg->uanon != NULL || (pg->pqflags & PQ_PRIVATE) != 0 ||
	    pg->loan_count != 0, CHECK_ID(I_PG_1), pg, "in use, and nobody's: it is lost") +
	    must((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) != 0 || pg->wire_count != 0 || !pageable(pg),
	    CHECK_ID(I_PG_1), pg, "neither wired nor on a queue: the page daemon cannot find it");
	bad += must(pg->intent == 0, CHECK_ID(I_PG_3), pg, "noted down to become active, and on no CPU's list");
	if (pg->uanon != NULL)
		bad += must(pg->uanon->an_ref > 0, CHECK_ID(I_ANON_3), pg,
		    "its anon has died, and nobody is left who would free both");
	if (pg->uanon != NULL && (pg->pqflags & PQ_ANON) == 0)
		bad += must(pg->uanon->an_page == pg, CHECK_ID(I_ANON_2), pg, "its anon has another page");
	return bad;
}

static void
count_page(struct census *ce, const struct vm_page *pg)
{
	ce->active += (pg->pqflags & PQ_ACTIVE) != 0;
	ce->inactive += (pg->pqflags & PQ_INACTIVE) != 0;
	ce->wired += pg->wire_count != 0;
	ce->anon += (pg->pqflags & PQ_ANON) != 0;
	ce->file += pg->uobject != NULL && UVM_OBJ_IS_VNODE(pg->uobject);
	ce->aobj += pg->uobject != NULL && UVM_OBJ_IS_AOBJ(pg->uobject);
	ce->busy += (pg->flags & PG_BUSY) != 0;
	if ((pg->pqflags & PQ_PRIVATE) != 0)
		ce->private++;
	else if (pg->uobject == NULL && pg->uanon == NULL)
		ce->orphan++;
}

static unsigned
walk_pages(struct census *ce)
{
	unsigned bad = 0;

	CHECKS_RAN(CHK_I_ANON_2, CHK_I_ANON_3, CHK_I_OBJ_1, CHK_I_OBJ_10, CHK_I_PG_1, CHK_I_PG_2, CHK_I_PG_3,
	    CHK_I_PG_5, CHK_I_PG_7, CHK_I_PG_8, CHK_I_PG_10, CHK_I_PG_11, CHK_I_PG_13);
	memset(ce, 0, sizeof(*ce));
	uvm_pgintent_flush();
	for (uint64_t i = 0; i < uvm.npages; i++) {
		struct vm_page *pg = &uvm.pages[i];

		if ((pg->pqflags & PQ_FREE) != 0) {
			ce->free++;
			bad += check_free(pg) +
			    must(!pmap_page_mapped(pg), CHECK_ID(I_PG_7), pg, "free and mapped");
			continue;
		}
		count_page(ce, pg);
		bad += check_queue(pg) + check_owned(pg) + check_settled(pg);
	}
	return bad;
}

/* --- queues --- */

/* => how many pages a list has, all of which should have the bit and, of free ones, say on which list; a circle ends */
static uint64_t
count_list(const char *id, const char *name, const struct pglist *list, uint32_t bit, uint8_t on_free, unsigned *bad)
{
	const struct vm_page *pg;
	uint64_t n = 0;

	TAILQ_FOREACH(pg, list, pageq) {
		if (((pg->pqflags & (PQ_FREE | PQ_ACTIVE | PQ_INACTIVE)) != bit || pg->on_free != on_free) && *bad == 0)
			*bad += complain(id, pg, name);
		if (++n > uvm.npages)
			break;
	}
	return n;
}

static unsigned
check_length(const char *id, const char *name, uint64_t n, uint64_t want)
{
	if (n == want)
		return 0;
	violation(VIOL_INVARIANT, id, "%s: it has %lu pages, %lu have its flag", name, (unsigned long)n,
	    (unsigned long)want);
	return 1;
}

/* => a list that holds what has the bit, and as many as it should */
static unsigned
check_list(const char *id, const char *name, const struct pglist *list, uint32_t bit, uint64_t want)
{
	unsigned bad = 0;
	uint64_t n = count_list(id, name, list, bit, 0, &bad);

	return bad + check_length(id, name, n, want);
}

/* => the same of all lists of free pages, together */
static unsigned
check_free_lists(uint64_t want)
{
	static const char name[] = "on the free list";
	unsigned bad = 0;
	uint64_t n = 0;

	for (unsigned i = 0; i < uvm.nbuckets; i++)
		n += count_list(CHECK_ID(I_PG_14), name, &uvm.page_free[i], PQ_FREE, (uint8_t)(i + 1), &bad);
	return bad + check_length(CHECK_ID(I_PG_14), name, n, want);
}

static unsigned
check_lists(const struct census *ce)
{
	unsigned bad = 0;

	for (int i = 0; i < ncpu; i++) {
		const struct uvm_cpu *uc = uvm_cpu(i);

		bad += check_list(CHECK_ID(I_PG_14), "among a CPU's free pages", &uc->uc_pgfl, PQ_FREE, uc->uc_npgfl);
	}
	return bad + check_free_lists(ce->free - uvm_pgflcache_count()) +
	    check_list(CHECK_ID(I_PG_3), "on the active queue", &uvm.page_active, PQ_ACTIVE, ce->active) +
	    check_list(CHECK_ID(I_PG_3), "on the inactive queue", &uvm.page_inactive, PQ_INACTIVE,
	    ce->inactive);
}

/* --- counters --- */

static unsigned
same(const char *id, const char *what, uint64_t counter, uint64_t counted)
{
	if (counter == counted)
		return 0;
	violation(VIOL_INVARIANT, id, "%s says %lu, %lu were counted", what,
	    (unsigned long)counter, (unsigned long)counted);
	return 1;
}

static unsigned
check_counters(const struct census *ce)
{
	struct uvmexp exp;

	CHECKS_RAN(CHK_I_PD_1, CHK_I_PG_3, CHK_I_PG_4, CHK_I_PG_14, CHK_I_STAT_1,
	    CHK_I_STAT_2, CHK_I_STAT_11);
	uvm_stat_get(&exp);
	return same(CHECK_ID(I_PG_14), "uvmexp.free", exp.free, ce->free) +
	    same(CHECK_ID(I_PG_3), "uvmexp.active", exp.active, ce->active) +
	    same(CHECK_ID(I_PG_3), "uvmexp.inactive", exp.inactive, ce->inactive) +
	    same(CHECK_ID(I_PG_4), "uvmexp.wired", exp.wired, ce->wired) +
	    same(CHECK_ID(I_STAT_2), "uvmexp.anonpages", exp.anonpages, ce->anon) +
	    same(CHECK_ID(I_STAT_2), "uvmexp.filepages", exp.filepages, ce->file) +
	    same(CHECK_ID(I_STAT_2), "uvmexp.aobjpages", exp.aobjpages, ce->aobj) +
	    same(CHECK_ID(I_STAT_1), "uvmexp.kernpages", exp.kernpages, ce->private) +
	    same(CHECK_ID(I_STAT_11), "uvmexp.orphans", exp.orphans, ce->orphan) +
	    same(CHECK_ID(I_PD_1), "uvmexp.paging", exp.paging, 0) + inspect_events(&exp);
}

/* --- amaps against maps --- */

/* How many entries point at an amap; found by address, reported by id. */
struct amap_refs {
	struct vm_amap	*ar_amap;
	uint64_t	 ar_counted;
};

struct amap_tally {
	struct amap_refs *at_v;
	size_t		  at_n;
	unsigned	  at_bad;
};

static int
by_address(const void *a, const void *b)
{
	const struct amap_refs *x = a, *y = b;

	return x->ar_amap < y->ar_amap ? -1 : x->ar_amap > y->ar_amap;
}

static void
tally_amap(struct vm_amap *amap, void *arg)
{
	struct amap_tally *at = arg;

	at->at_v = xgrow(at->at_v, at->at_n, sizeof(*at->at_v));
	at->at_v[at->at_n++].ar_amap = amap;
}

static void
tally_map(struct vm_map *map, struct amap_tally *at)
{
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next) {
		struct amap_refs key = { .ar_amap = e->aref.ar_amap }, *found;

		if (UVM_ET_ISSUBMAP(e) || key.ar_amap == NULL)
			continue;
		found = at->at_n == 0 ? NULL :
		    bsearch(&key, at->at_v, at->at_n, sizeof(*at->at_v), by_address);
		if (found == NULL) {
			about_va(map, e->start);
			violation(VIOL_INVARIANT, CHECK_ID(I_AMAP_8),
			    "map %u, entry %u points at an amap that is not on the list", map->id, e->id);
			at->at_bad++;
			continue;
		}
		found->ar_counted++;
	}
}

static void
inspect_map(struct vm_map *map, struct amap_tally *at)
{
	vm_map_lock_read(map);
	at->at_bad += uvm_map_check(map);
	tally_map(map, at);
	vm_map_unlock_read(map);
}

static void
inspect_vmspace(struct vmspace *vm, void *arg)
{
	struct amap_tally *at = arg;

	inspect_map(&vm->vm_map, at);
	at->at_bad += pmap_check(vm->vm_map.pmap);
}

static unsigned
check_amaps(void)
{
	struct amap_tally at = { 0 };

	CHECKS_RAN(CHK_I_AMAP_1, CHK_I_AMAP_2, CHK_I_AMAP_3, CHK_I_AMAP_5, CHK_I_AMAP_8, CHK_I_MAP_1,
	    CHK_I_MAP_2, CHK_I_MAP_3, CHK_I_MAP_4, CHK_I_MAP_6, CHK_I_MAP_7, CHK_I_PMAP_3,
	    CHK_I_PMAP_5, CHK_I_PMAP_6, CHK_I_PMAP_8, CHK_I_PMAP_9, CHK_I_PMAP_13);
	amap_foreach(tally_amap, &at);
	if (at.at_n > 1)		/* none: there is no array */
		qsort(at.at_v, at.at_n, sizeof(*at.at_v), by_address);
	vmspace_foreach(inspect_vmspace, &at);
	inspect_map(exec_map, &at);	/* pageable kernel memory has amaps, too */
	inspect_map(uarea_map, &at);
	for (size_t i = 0; i < at.at_n; i++) {
		struct vm_amap *amap = at.at_v[i].ar_amap;

		amap_lock(amap);
		at.at_bad += amap_check(amap);
		if ((uint64_t)amap_refs(amap) != at.at_v[i].ar_counted) {
			about_amap(amap);
			violation(VIOL_INVARIANT, CHECK_ID(I_MAP_7), "amap %u: am_ref %d, %lu entries point at it",
			    amap_id(amap), amap_refs(amap), (unsigned long)at.at_v[i].ar_counted);
			at.at_bad++;
		}
		amap_unlock(amap);
	}
	free(at.at_v);
	return at.at_bad;
}

/* --- LWPs --- */

/* A timer may wake who stood; it comes to stand in lwp_stop_here(), by that lock. */
static bool
comes_to_stand(const struct held_stack *hs)
{
	return hs->hs_n == 1 && hs->hs_v[0].hl_class == LC_stop;
}

static void
check_lwp(struct lwp *l, void *arg)
{
	if (l == curlwp || l->l_idle || l->l_held.hs_n == 0 || comes_to_stand(&l->l_held))
		return;
	violation_about(KS_lwp, l->l_id, l);
	violation(VIOL_INVARIANT, CHECK_ID(I_SMP_3), "%s stands, and holds %s %u", l->l_name,
	    lockorder_class_name(l->l_held.hs_v[0].hl_class), l->l_held.hs_v[0].hl_id);
}

/* => who stands holds nothing */
static void
inspect_standing(void)
{
	CHECKS_RAN(CHK_I_SMP_3);
	lwp_foreach(check_lwp, NULL);
}

void
inspect_at_rest(unsigned contents)
{
	struct census ce;

	if (!uvm_quiesce())
		violation(VIOL_HANG, CHECK_ID(I_PD_1), "paging or write-back goes on with nobody at work");
	(void)walk_pages(&ce);
	(void)check_lists(&ce);
	(void)check_counters(&ce);
	(void)inspect_waiters();
	inspect_standing();
	(void)check_amaps();
	(void)inspect_refs();
	(void)inspect_ptes();
	(void)inspect_limits();
	(void)inspect_km();
	(void)inspect_loans();
	(void)inspect_wiring();
	(void)inspect_swap(contents);
	(void)inspect_ubc();
	(void)inspect_files(contents);
}
