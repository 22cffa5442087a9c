/* See tswap.h. */
#include "tswap.h"

#include <errno.h>
#include <string.h>

void (*ts_reading)(void);			/* atomic */

int	__real_uvm_aio_wait(struct uvm_aio *);
int	__wrap_uvm_aio_wait(struct uvm_aio *);

int
__wrap_uvm_aio_wait(struct uvm_aio *aio)
{
	int error = __real_uvm_aio_wait(aio);
	void (*fn)(void) = __atomic_exchange_n(&ts_reading, NULL, __ATOMIC_ACQ_REL);

	if (fn != NULL)
		fn();
	return error;
}

void
ts_boot(int ncpus, uint64_t npages, int slots, int ndevs)
{
	tu_swap = ptoa((uint64_t)slots * (unsigned)ndevs);
	tu_swapdevs = ndevs;
	tm_boot(ncpus, npages);
}

/* --- a page and its owner --- */

/* Where a page of a process is. */
struct place {
	struct vm_amap		*amap;		/* locked, or NULL */
	struct vm_anon		*anon;		/* locked, or NULL */
	struct uvm_object	*uobj;		/* locked, or NULL */
	uint64_t		 page;		/* in uobj */
	struct vm_page		*pg;		/* or NULL */
};

/* => map(R) and the owner locked; false: nobody owns anything there, nothing is locked but map(R) */
static bool
lock_place(struct proc *p, int page, struct place *pl)
{
	struct vm_map_entry *e;
	vaddr_t va = TM_VA(page);

	memset(pl, 0, sizeof(*pl));
	vm_map_lock_read(tm_map(p));
	if (!uvm_map_lookup_entry(tm_map(p), va, &e))
		return false;
	if (e->aref.ar_amap != NULL) {
		pl->amap = e->aref.ar_amap;
		amap_lock(pl->amap);
		pl->anon = amap_lookup(&e->aref, va - e->start);
	}
	if (pl->anon != NULL) {
		mutex_enter(&pl->anon->an_lock);
		pl->pg = pl->anon->an_page;
		return true;
	}
	if (e->object.uvm_obj == NULL)
		return false;
	pl->uobj = e->object.uvm_obj;
	pl->page = (uint64_t)atop(e->offset + (voff_t)(va - e->start));
	mutex_enter(&pl->uobj->vmobjlock);
	pl->pg = uvm_pagelookup(pl->uobj, (voff_t)ptoa(pl->page));
	return true;
}

static void
unlock_place(struct proc *p, struct place *pl)
{
	if (pl->anon != NULL)
		mutex_exit(&pl->anon->an_lock);
	if (pl->uobj != NULL)
		mutex_exit(&pl->uobj->vmobjlock);
	if (pl->amap != NULL)
		amap_unlock(pl->amap);
	vm_map_unlock_read(tm_map(p));
}

static int
slot_at(struct place *pl)
{
	return pl->anon != NULL ? pl->anon->an_swslot : uao_find_swslot(pl->uobj, pl->page);
}

static bool
movable(struct vm_page *pg)
{
	bool yes;

	if (pg == NULL || (pg->flags & PG_BUSY) != 0)
		return false;
	uvm_lock_pageq();
	yes = pg->wire_count == 0 && pg->loan_count == 0;
	uvm_unlock_pageq();
	return yes;
}

/* => owner locked, page movable: R23, then dirty without a slot (R34) */
static void
make_dirty(struct place *pl)
{
	pl->pg->flags &= ~PG_CLEAN;
	if (pl->anon != NULL)
		uvm_anon_dropswap(pl->anon);
	else
		uao_dropswap(pl->uobj, pl->page);
}

/* --- clusters --- */

void
ts_begin(struct ts_cluster *tc, int n)
{
	memset(tc, 0, sizeof(*tc));
	tc->tc_room = n;
	tc->tc_slot = uvm_swap_alloc(&tc->tc_room, false);
	CHECK(tc->tc_slot != 0 && tc->tc_room == n);
}

static void
add_page(struct ts_cluster *tc, struct place *pl)
{
	int slot = tc->tc_slot + tc->tc_n;

	CHECK(tc->tc_n < tc->tc_room);
	uvm_page_busy(pl->pg, "ts_add");
	pmap_revoke(pl->pg);
	make_dirty(pl);
	if (pl->anon != NULL)
		pl->anon->an_swslot = slot;
	else
		CHECK_EQ(uao_set_swslot(pl->uobj, pl->page, slot), 0);
	pl->pg->flags |= PG_PAGEOUT;
	uvm_lock_pageq();
	uvm_pagedequeue(pl->pg);
	uvm_unlock_pageq();
	tc->tc_pgs[tc->tc_n++] = pl->pg;
}

bool
ts_add(struct ts_cluster *tc, struct proc *p, int page)
{
	struct place pl;
	bool done = false;

	if (lock_place(p, page, &pl) && movable(pl.pg)) {
		add_page(tc, &pl);
		done = true;
	}
	unlock_place(p, &pl);
	return done;
}

int
ts_write(struct ts_cluster *tc, int flags)
{
	if (tc->tc_n < tc->tc_room)
		uvm_swap_free(tc->tc_slot + tc->tc_n, tc->tc_room - tc->tc_n);
	if (tc->tc_n == 0)
		return 0;
	uvm_pageout_start(tc->tc_n);
	return uvm_swap_put(tc->tc_slot, tc->tc_pgs, tc->tc_n, flags);
}

/* => owner locked, page movable: its slot has the same data, so it is freed */
static bool
free_clean(struct place *pl)
{
	if (slot_at(pl) <= 0 || (pl->pg->flags & PG_CLEAN) == 0)
		return false;
	pmap_revoke(pl->pg);
	if (pmap_is_modified(pl->pg))
		return false;
	uvm_swap_pgonly(1);
	uvm_lock_pageq();
	uvm_pagefree(pl->pg);
	uvm_unlock_pageq();
	return true;
}

bool
ts_pageout(struct proc *p, int page)
{
	struct ts_cluster tc = { .tc_room = 1 };
	struct place pl;
	bool done = false;

	/* a slot first: the data must have where to go */
	tc.tc_slot = uvm_swap_alloc(&tc.tc_room, false);
	if (tc.tc_slot == 0)
		return false;
	if (lock_place(p, page, &pl) && movable(pl.pg)) {
		done = true;
		if (!free_clean(&pl))
			add_page(&tc, &pl);
	}
	unlock_place(p, &pl);
	(void)ts_write(&tc, PGO_SYNCIO);
	return done;
}

/* --- looking --- */

int
ts_slot(struct proc *p, int page)
{
	struct place pl;
	int slot = lock_place(p, page, &pl) ? slot_at(&pl) : 0;

	unlock_place(p, &pl);
	return slot;
}

bool
ts_resident(struct proc *p, int page)
{
	struct place pl;
	bool in = lock_place(p, page, &pl) && pl.pg != NULL;

	unlock_place(p, &pl);
	return in;
}

bool
ts_clean(struct proc *p, int page)
{
	struct place pl;
	bool clean = lock_place(p, page, &pl) && pl.pg != NULL && (pl.pg->flags & PG_CLEAN) != 0;

	unlock_place(p, &pl);
	return clean;
}

struct uvmexp *
ts_exp(void)
{
	static struct uvmexp exp;

	uvm_stat_get(&exp);
	return &exp;
}
