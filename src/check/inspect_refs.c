/*
 * The inspector of references: how many there are, and how many are counted.
 *
 * A count that is one too low frees what somebody still uses, later and elsewhere; one
 * that is too high keeps memory, or copies what need not be copied.  So everything that
 * an entry or an amap points at is gathered and held against its count:
 *
 * I-AMAP-4  an anon has as many references as slots hold it
 * I-AMAP-6  a slot of an amap has as many as entries cover it
 * I-AMAP-7  who may store to a slot without copying is alone, or the amap is shared
 * I-MAP-8   an object has one for each entry at least: its owner may have more
 * I-MAP-10  no map is busy; I-MAP-16: an address space is its process' alone
 * I-OBJ-1   the tree of a mapped object holds pages of its own, as many as it says
 * I-ANON-1  an anon's page says that it is the anon's; I-ANON-4, I-ANON-6: and where its data are
 *
 * That am_ref is the number of entries is inspect.c's (I-MAP-7).
 */
#include <stdlib.h>

#include <harness/xalloc.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_glue.h>
#include <uvm/uvm_proc.h>

#include "about.h"
#include "inspect_int.h"

/* One entry's reference to an amap. */
struct aref_row {
	struct vm_amap	*ar_amap;
	uint64_t	 ar_slot, ar_n;
	bool		 ar_direct;	/* stores go to it: no NEEDSCOPY */
};

struct refs {
	struct aref_row	  *rf_aref;
	struct vm_anon	 **rf_anon;	/* as often as a slot holds it */
	struct uvm_object **rf_obj;	/* as often as an entry maps it */
	size_t		   rf_naref, rf_nanon, rf_nobj;
	unsigned	   rf_bad;
};

/* --- gathering --- */

static void
note_entry(struct refs *rf, const struct vm_map_entry *e)
{
	if (UVM_ET_ISSUBMAP(e))
		return;
	if (e->aref.ar_amap != NULL) {
		rf->rf_aref = xgrow(rf->rf_aref, rf->rf_naref, sizeof(*rf->rf_aref));
		rf->rf_aref[rf->rf_naref++] = (struct aref_row){
			e->aref.ar_amap, e->aref.ar_pageoff, atop(e->end - e->start),
			!UVM_ET_ISNEEDSCOPY(e),
		};
	}
	if (UVM_ET_ISOBJ(e)) {
		rf->rf_obj = xgrow(rf->rf_obj, rf->rf_nobj, sizeof(struct uvm_object *));
		rf->rf_obj[rf->rf_nobj++] = e->object.uvm_obj;
	}
}

static void
note_map(struct refs *rf, struct vm_map *map)
{
	vm_map_lock_read(map);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		note_entry(rf, e);
	if (map->busy != NULL) {
		about_map(map);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_10), "map %u is busy, and nobody is at work", map->id);
		rf->rf_bad++;
	}
	vm_map_unlock_read(map);
}

/* Who is in an address space. */
struct tenants {
	const struct vmspace *te_vm;
	int		 te_n;
};

static void
count_tenant(struct proc *p, void *arg)
{
	struct tenants *te = arg;

	te->te_n += p->p_vmspace == te->te_vm;
}

static void
note_proc(struct proc *p, void *arg)
{
	struct refs *rf = arg;
	/* relaxed: nothing runs */
	int refs = __atomic_load_n(&p->p_vmspace->vm_refcnt, __ATOMIC_RELAXED);
	const bool shares = proc_shares(p);
	struct tenants te = { p->p_vmspace, 1 };

	if (shares && refs != 1)
		return;			/* its parent's */
	if (!shares)
		note_map(rf, &p->p_vmspace->vm_map);
	if (refs != 1 || shares) {	/* it has a reference of its own, besides its parent's */
		te.te_n = 0;
		proc_foreach(count_tenant, &te);
	}
	if (refs != te.te_n) {
		about_map(&p->p_vmspace->vm_map);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_16),
		    "the address space of process %u has %d references at rest, for %d processes",
		    p->p_pid, refs, te.te_n);
		rf->rf_bad++;
	}
}

static void
note_anon(struct vm_anon *anon, void *arg)
{
	struct refs *rf = arg;

	rf->rf_anon = xgrow(rf->rf_anon, rf->rf_nanon, sizeof(struct vm_anon *));
	rf->rf_anon[rf->rf_nanon++] = anon;
}

static void
note_amap(struct vm_amap *amap, void *arg)
{
	/* at rest: nobody has it locked, so the list's lock above us does no harm */
	if (amap_lock_try(amap)) {
		amap_foreach_anon(amap, note_anon, arg);
		amap_unlock(amap);
	}
}

static int
by_address(const void *a, const void *b)
{
	const void *x = *(void *const *)a, *y = *(void *const *)b;

	return (x > y) - (x < y);
}

static void
sort(void *v, size_t n, size_t size)
{
	if (n != 0)			/* qsort() wants an array, even of nothing */
		qsort(v, n, size, by_address);
}

/* => everything by what it points at: an aref_row begins with its amap */
static void
gather(struct refs *rf)
{
	proc_foreach(note_proc, rf);
	note_map(rf, exec_map);
	note_map(rf, uarea_map);
	amap_foreach(note_amap, rf);
	sort(rf->rf_aref, rf->rf_naref, sizeof(*rf->rf_aref));
	sort(rf->rf_anon, rf->rf_nanon, sizeof(struct vm_anon *));
	sort(rf->rf_obj, rf->rf_nobj, sizeof(struct uvm_object *));
}

/* --- judging --- */

unsigned
inspect_anon(struct vm_anon *anon)
{
	const struct vm_page *pg = anon->an_page;
	unsigned bad = 0;

	if (pg != NULL && pg->uanon != anon) {
		about_anon(anon);
		violation(VIOL_INVARIANT, CHECK_ID(I_ANON_1), "page %#lx of anon %u is another's",
		    (unsigned long)VM_PAGE_TO_PHYS(pg), anon->an_id);
		bad++;
	}
	if (pg == NULL && anon->an_swslot == 0) {
		about_anon(anon);
		violation(VIOL_INVARIANT, CHECK_ID(I_ANON_6), "anon %u, of %d references, has neither page nor slot",
		    anon->an_id, anon->an_ref);
		bad++;
	}
	if (pg != NULL && pg->uobject == NULL && anon->an_swslot <= 0 &&
	    (pg->flags & (PG_BUSY | PG_CLEAN)) == PG_CLEAN) {
		about_anon(anon);
		violation(VIOL_INVARIANT, CHECK_ID(I_ANON_4), "page %#lx of anon %u is clean, and has slot %d (R34)",
		    (unsigned long)VM_PAGE_TO_PHYS(pg), anon->an_id, anon->an_swslot);
		bad++;
	}
	CHECKS_RAN(CHK_I_ANON_1, CHK_I_ANON_4, CHK_I_ANON_6);
	return bad;
}

static unsigned
check_anons(const struct refs *rf)
{
	unsigned bad = 0;

	for (size_t i = 0, n; i < rf->rf_nanon; i += n) {
		struct vm_anon *anon = rf->rf_anon[i];

		for (n = 1; i + n < rf->rf_nanon && rf->rf_anon[i + n] == anon;)
			n++;
		if ((size_t)anon->an_ref != n) {
			about_anon(anon);
			violation(VIOL_INVARIANT, CHECK_ID(I_AMAP_4), "anon %u has %d references, %lu slots hold it",
			    anon->an_id, anon->an_ref, (unsigned long)n);
			bad++;
		}
		bad += inspect_anon(anon);
	}
	return bad;
}

/* => the page of the link, if there is one, belongs above the page: it lacks the lowest bit in which their offsets differ */
static unsigned
belongs_above(uint32_t link, const struct vm_page *pg)
{
	const uint64_t off = link != 0 ? (uint64_t)uvm.pages[link - 1].offset : (uint64_t)pg->offset;
	const uint64_t differ = off ^ (uint64_t)pg->offset;

	return differ != 0 && (off >> __builtin_ctzll(differ) & 1) == 0;
}

/*
 * I-OBJ-1: a scan by offset finds as many pages as are counted, and a look-up each of them.  And each
 * stands above those that come after it, or the tree answers as it should and is a list.
 */
unsigned
inspect_object(struct uvm_object *uobj)
{
	struct vm_page *pg;
	unsigned bad = 0, upside_down = 0;
	int n = 0;

	for (voff_t off = 0; (pg = uvm_pagenext(uobj, off)) != NULL; off = pg->offset + (voff_t)PAGE_SIZE) {
		n++;
		bad += pg->uobject != uobj || uvm_pagelookup(uobj, pg->offset) != pg;
		upside_down += belongs_above(pg->tree_left, pg) + belongs_above(pg->tree_right, pg);
	}
	CHECKS_RAN(CHK_I_OBJ_1);
	if (bad == 0 && n == uobj->uo_npages && upside_down == 0)
		return 0;
	if (bad == 0 && n == uobj->uo_npages) {
		about_object(uobj);
		violation(VIOL_INVARIANT, CHECK_ID(I_OBJ_1), "object %u: %u of %d pages stand in its tree below one "
		    "that belongs below them (uvm_pg_above()): the tree is as deep as chance will have it",
		    uobj->uo_id, upside_down, n);
		return 1;
	}
	about_object(uobj);
	violation(VIOL_INVARIANT, CHECK_ID(I_OBJ_1), "object %u: %d pages in its tree, %d counted, %u of "
	    "them not to be found by their offset", uobj->uo_id, n, uobj->uo_npages, bad);
	return 1;
}

static unsigned
check_objects(const struct refs *rf)
{
	unsigned bad = 0;

	for (size_t i = 0, n; i < rf->rf_nobj; i += n) {
		struct uvm_object *uobj = rf->rf_obj[i];

		mutex_enter(&uobj->vmobjlock);
		bad += inspect_object(uobj);
		mutex_exit(&uobj->vmobjlock);
		for (n = 1; i + n < rf->rf_nobj && rf->rf_obj[i + n] == uobj;)
			n++;
		if (uobj->uo_refs >= (int)n)
			continue;
		about_object(uobj);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_8), "object %u has %d references, %lu entries map it",
		    uobj->uo_id, uobj->uo_refs, (unsigned long)n);
		bad++;
	}
	return bad;
}

/* => amap locked: one complaint of each kind; all[], direct[]: by slot, how many entries */
static unsigned
check_slots(struct vm_amap *amap, const int *all, const int *direct)
{
	bool count = true, alone = !amap_shared(amap);
	unsigned bad = 0;

	for (uint64_t slot = 0; slot < amap_nslot(amap); slot++) {
		struct vm_aref aref = { .ar_pageoff = slot, .ar_amap = amap };

		if (count && all[slot] != amap_slot_refs(amap, slot)) {
			about_amap(amap);
			violation(VIOL_INVARIANT, CHECK_ID(I_AMAP_6), "amap %u, slot %lu: counts %d, %d entries cover it",
			    amap_id(amap), (unsigned long)slot, amap_slot_refs(amap, slot), all[slot]);
			count = false;
			bad++;
		}
		if (alone && direct[slot] > 1 && amap_lookup(&aref, 0) != NULL) {
			about_amap(amap);
			about_anon(amap_lookup(&aref, 0));
			violation(VIOL_INVARIANT, CHECK_ID(I_AMAP_7), "amap %u, slot %lu: %d entries store to it, "
			    "and it is not shared", amap_id(amap), (unsigned long)slot, direct[slot]);
			alone = false;
			bad++;
		}
	}
	return bad;
}

/* => rows[0..n) are one amap's */
static unsigned
check_amap(const struct aref_row *rows, size_t n)
{
	struct vm_amap *amap = rows[0].ar_amap;
	uint64_t nslot = amap_nslot(amap);
	int *all = xcalloc(2 * (nslot + 1), sizeof(int)), *direct = all + nslot + 1;
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++) {
		if (rows[i].ar_slot + rows[i].ar_n > nslot)
			continue;			/* I-MAP-6, and reported */
		all[rows[i].ar_slot]++;
		all[rows[i].ar_slot + rows[i].ar_n]--;
		direct[rows[i].ar_slot] += rows[i].ar_direct;
		direct[rows[i].ar_slot + rows[i].ar_n] -= rows[i].ar_direct;
	}
	for (uint64_t slot = 1; slot < nslot; slot++) {
		all[slot] += all[slot - 1];
		direct[slot] += direct[slot - 1];
	}
	amap_lock(amap);
	bad = check_slots(amap, all, direct);
	amap_unlock(amap);
	free(all);
	return bad;
}

static unsigned
check_arefs(const struct refs *rf)
{
	unsigned bad = 0;

	for (size_t i = 0, n; i < rf->rf_naref; i += n) {
		for (n = 1; i + n < rf->rf_naref && rf->rf_aref[i + n].ar_amap == rf->rf_aref[i].ar_amap;)
			n++;
		bad += check_amap(&rf->rf_aref[i], n);
	}
	return bad;
}

unsigned
inspect_refs(void)
{
	struct refs rf = { 0 };
	unsigned bad;

	CHECKS_RAN(CHK_I_AMAP_4, CHK_I_AMAP_6, CHK_I_AMAP_7, CHK_I_MAP_8, CHK_I_MAP_10, CHK_I_MAP_16);
	gather(&rf);
	bad = rf.rf_bad + check_anons(&rf) + check_objects(&rf) + check_arefs(&rf);
	free(rf.rf_aref);
	free(rf.rf_anon);
	free(rf.rf_obj);
	return bad;
}
