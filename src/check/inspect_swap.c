/*
 * Swap at rest: every slot in use has exactly one owner, every owner's slot is in use,
 * and what is said to be the same in memory and on disk is the same.
 *
 * All owners are gathered first: anons (each once, however many amaps share it), and
 * the pages of objects that have a slot.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_aobj_i.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_swap_i.h>

#include "about.h"
#include "inspect_int.h"

/* One owner with a slot. */
struct holder {
	int		 ho_slot;
	const void	*ho_owner;	/* anon, or NULL: an object's */
	struct vm_page	*ho_pg;		/* or NULL */
};

struct holders {
	struct holder	*hs_v;
	size_t		 hs_n;
	unsigned	 hs_bad;
};

static unsigned
complain(const char *id, int slot, const char *what, uint64_t a, uint64_t b)
{
	char of[40] = "", values[60] = "";

	if (slot > 0) {			/* else it is about all of them */
		about_slot(slot);
		snprintf(of, sizeof(of), "swap slot %d: ", slot);
	}
	if (a != 0 || b != 0)
		snprintf(values, sizeof(values), " (%lu, %lu)", (unsigned long)a, (unsigned long)b);
	violation(VIOL_INVARIANT, id, "%s%s%s", of, what, values);
	return 1;
}

/* => likewise, of a slot that somebody has */
static unsigned
complain_of(const struct holder *ho, const char *id, const char *what, uint64_t a, uint64_t b)
{
	if (ho->ho_owner != NULL)
		about_anon(ho->ho_owner);
	if (ho->ho_pg != NULL)
		about_page(ho->ho_pg);
	return complain(id, ho->ho_slot, what, a, b);
}

/* --- gathering --- */

static void
note(struct holders *hs, int slot, const void *owner, struct vm_page *pg)
{
	if (slot == 0 || slot == SWSLOT_BAD)
		return;
	hs->hs_v = xgrow(hs->hs_v, hs->hs_n, sizeof(*hs->hs_v));
	hs->hs_v[hs->hs_n++] = (struct holder){ slot, owner, pg };
}

/* => an object's page, whose slot is this one */
static unsigned
check_clean(const struct vm_page *pg, int slot)
{
	const struct holder ho = { slot, NULL, (struct vm_page *)pg };

	if ((pg->flags & (PG_BUSY | PG_CLEAN)) == PG_CLEAN && slot <= 0)
		return complain_of(&ho, CHECK_ID(I_OBJ_5), "a clean page without a slot (R34)",
		    (uint64_t)VM_PAGE_TO_PHYS(pg), pg->flags);
	return 0;
}

static void
note_anon(struct vm_anon *anon, void *arg)
{
	note(arg, anon->an_swslot, anon, anon->an_page);
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

static void
note_aobj(struct uvm_aobj *aobj, struct holders *hs)
{
	struct uvm_object *uobj = &aobj->u_obj;

	mutex_enter(&uobj->vmobjlock);
	for (uint64_t page = 0; page < atop(aobj->u_size); page++) {
		int slot = uao_find_swslot(uobj, page);
		struct vm_page *pg = uvm_pagelookup(uobj, (voff_t)ptoa(page));

		if (pg != NULL)
			hs->hs_bad += check_clean(pg, slot);
		note(hs, slot, NULL, pg);
	}
	mutex_exit(&uobj->vmobjlock);
}

static int
by_slot(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	if (x->ho_slot != y->ho_slot)
		return x->ho_slot < y->ho_slot ? -1 : 1;
	return (x->ho_owner > y->ho_owner) - (x->ho_owner < y->ho_owner);
}

/* => by slot; an anon that several amaps hold is one owner */
static void
gather(struct holders *hs)
{
	struct uvm_aobj *aobj;
	size_t n = 0;

	amap_foreach(note_amap, hs);
	TAILQ_FOREACH(aobj, &uao_list, u_list)		/* at rest: stable */
		note_aobj(aobj, hs);
	if (hs->hs_n > 0)		/* without one there is no array, which qsort() must not be given */
		qsort(hs->hs_v, hs->hs_n, sizeof(*hs->hs_v), by_slot);
	for (size_t i = 0; i < hs->hs_n; i++)
		if (n == 0 || hs->hs_v[i].ho_owner == NULL ||
		    hs->hs_v[i].ho_owner != hs->hs_v[n - 1].ho_owner)
			hs->hs_v[n++] = hs->hs_v[i];
	hs->hs_n = n;
}

/* --- judging --- */

/* => a device, or NULL: no slot of any */
static const struct swapdev *
device_of(int slot)
{
	int dev = slot >> SWAPDEV_SHIFT;
	const struct swapdev *sdp;

	if (slot < 0 || dev < 1 || dev > SWAP_MAXDEV)
		return NULL;
	sdp = &swap_devs[dev - 1];
	return (sdp->swd_flags & SWF_INUSE) != 0 && slot - sdp->swd_drumoffset < sdp->swd_npages ?
	    sdp : NULL;
}

/* Each owner's slot is in use, good, and nobody else's. */
static unsigned
check_holders(const struct holders *hs)
{
	unsigned bad = 0;

	for (size_t i = 0; i < hs->hs_n; i++) {
		const struct holder *ho = &hs->hs_v[i];
		int slot = ho->ho_slot;
		const struct swapdev *sdp = device_of(slot);

		if (sdp == NULL)
			bad += complain_of(ho, CHECK_ID(I_SWP_7), "is of no device, and somebody has it", 0, 0);
		else if (!swap_bit(sdp->swd_inuse, slot - sdp->swd_drumoffset))
			bad += complain_of(ho, CHECK_ID(I_SWP_4), "is free, and somebody has it", 0, 0);
		else if (swap_bit(sdp->swd_bad, slot - sdp->swd_drumoffset))
			bad += complain_of(ho, CHECK_ID(I_SWP_4), "is bad, and somebody has it", 0, 0);
		if (i > 0 && slot == hs->hs_v[i - 1].ho_slot) {
			if (hs->hs_v[i - 1].ho_owner != NULL)
				about_anon(hs->hs_v[i - 1].ho_owner);
			bad += complain_of(ho, CHECK_ID(I_SWP_4), "has two owners", 0, 0);
		}
	}
	return bad;
}

/* The last question: slots that nobody has spoil the sum as well, and say more. */
static unsigned
check_only(const struct holders *hs)
{
	uint64_t only = 0;

	for (size_t i = 0; i < hs->hs_n; i++)
		only += hs->hs_v[i].ho_pg == NULL;
	if (only == swapcount.sc_swpgonly)
		return 0;
	return complain(CHECK_ID(I_SWP_2), 0, "swpgonly, and owners whose page is only in swap", swapcount.sc_swpgonly,
	    only);
}

static bool
held(const struct holders *hs, int slot)
{
	struct holder key = { .ho_slot = slot };
	size_t lo = 0, hi = hs->hs_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (hs->hs_v[mid].ho_slot < key.ho_slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < hs->hs_n && hs->hs_v[lo].ho_slot == slot;
}

/* Each slot in use is somebody's, or bad; and none is on its way. */
static unsigned
check_device(const struct swapdev *sdp, const struct holders *hs)
{
	unsigned bad = 0;

	for (int i = 0; i < sdp->swd_npages; i++)
		if (swap_bit(sdp->swd_inuse, i) && !swap_bit(sdp->swd_bad, i) &&
		    !held(hs, sdp->swd_drumoffset + i))
			bad += complain(CHECK_ID(I_SWP_4), sdp->swd_drumoffset + i,
			    "is in use, and nobody has it", 0, 0);
	if (sdp->swd_inflight != 0)
		bad += complain(CHECK_ID(I_OBJ_10), sdp->swd_drumoffset, "transfers in flight at rest",
		    (uint64_t)sdp->swd_inflight, 0);
	return bad;
}

static unsigned
check_devices(const struct holders *hs)
{
	unsigned bad = 0;

	for (int i = 0; i < SWAP_MAXDEV; i++)
		if ((swap_devs[i].swd_flags & SWF_INUSE) != 0)
			bad += check_device(&swap_devs[i], hs);
	return bad;
}

/* => swdata held: a device's counters are its bits */
static unsigned
count_device(const struct swapdev *sdp)
{
	uint64_t inuse = 0, spoiled = 0;
	unsigned bad = 0;

	for (int i = 0; i < sdp->swd_npages; i++) {
		bool used = swap_bit(sdp->swd_inuse, i), rotten = swap_bit(sdp->swd_bad, i);

		inuse += used;
		spoiled += rotten;
		if (rotten && !used)
			bad += complain(CHECK_ID(I_SWP_1), sdp->swd_drumoffset + i, "is bad, and free", 0, 0);
	}
	if (inuse != (uint64_t)sdp->swd_npginuse)
		bad += complain(CHECK_ID(I_SWP_1), sdp->swd_drumoffset, "npginuse, and bits",
		    (uint64_t)sdp->swd_npginuse, inuse);
	if (spoiled != (uint64_t)sdp->swd_npgbad)
		bad += complain(CHECK_ID(I_SWP_1), sdp->swd_drumoffset, "npgbad, and bits",
		    (uint64_t)sdp->swd_npgbad, spoiled);
	return bad;
}

/* => swdata held: the sums are those of the devices */
static unsigned
count_devices(void)
{
	struct swapcount sum = { 0 };
	unsigned bad = 0;

	for (int i = 0; i < SWAP_MAXDEV; i++) {
		const struct swapdev *sdp = &swap_devs[i];

		if ((sdp->swd_flags & SWF_INUSE) == 0)
			continue;
		bad += count_device(sdp);
		sum.sc_nswapdev++;
		sum.sc_swpages += (uint64_t)sdp->swd_npages;
		sum.sc_swpginuse += (uint64_t)sdp->swd_npginuse;
		sum.sc_npgbad += (uint64_t)sdp->swd_npgbad;
		if ((sdp->swd_flags & SWF_ENABLE) != 0)
			sum.sc_swpgavail += (uint64_t)sdp->swd_npages;
	}
	if (sum.sc_nswapdev != swapcount.sc_nswapdev || sum.sc_swpages != swapcount.sc_swpages ||
	    sum.sc_swpgavail != swapcount.sc_swpgavail)
		bad += complain(CHECK_ID(I_SWP_1), 0, "swpages, and the devices'", swapcount.sc_swpages,
		    sum.sc_swpages);
	if (sum.sc_swpginuse != swapcount.sc_swpginuse || sum.sc_npgbad != swapcount.sc_npgbad)
		bad += complain(CHECK_ID(I_SWP_1), 0, "swpginuse, and the devices'", swapcount.sc_swpginuse,
		    sum.sc_swpginuse);
	return bad;
}

unsigned
inspect_swap_counts(void)
{
	unsigned bad;

	mutex_enter(&uvm_swap_data_lock);
	bad = count_devices();
	mutex_exit(&uvm_swap_data_lock);
	CHECKS_RAN(CHK_I_SWP_1);
	return bad;
}

/* --- content --- */

/* => is the frame what the slot holds? */
static unsigned
check_content(const struct holder *ho, struct vm_page *scratch)
{
	const struct swapdev *sdp = device_of(ho->ho_slot);
	struct uvm_aio aio = { .ua_pgs = { scratch }, .ua_npgs = 1 };

	if (sdp == NULL)
		return 0;
	uvm_aio_start(&aio, sdp->swd_fd, false,
	    (voff_t)ptoa((uint64_t)(ho->ho_slot - sdp->swd_drumoffset)), PAGE_SIZE);
	if (uvm_aio_wait(&aio) != 0)
		return 0;			/* a page-in would say so */
	if (memcmp(ram_host(VM_PAGE_TO_PHYS(scratch)), ram_host(VM_PAGE_TO_PHYS(ho->ho_pg)),
	    PAGE_SIZE) == 0)
		return 0;
	return complain_of(ho, CHECK_ID(I_SWP_5), "a clean page is not what its slot holds",
	    (uint64_t)VM_PAGE_TO_PHYS(ho->ho_pg), ho->ho_pg->flags);
}

static bool
unchanged(const struct holder *ho)
{
	const struct vm_page *pg = ho->ho_pg;

	return pg != NULL && (pg->flags & (PG_BUSY | PG_CLEAN)) == PG_CLEAN &&
	    (ho->ho_owner == NULL || pg->uobject == NULL) && !pmap_is_modified(ho->ho_pg);
}

/* => of the clean pages, or of so many of them, spread over all */
static unsigned
check_contents(const struct holders *hs, struct vm_page *scratch, unsigned most)
{
	size_t step = hs->hs_n / most + 1;
	unsigned bad = 0;

	for (size_t i = host_rng_below(&curlwp->l_rng, step); i < hs->hs_n; i += step)
		if (unchanged(&hs->hs_v[i]))
			bad += check_content(&hs->hs_v[i], scratch);
	return bad;
}

unsigned
inspect_swap(unsigned contents)
{
	struct vm_page *scratch = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | UVM_PGA_USERESERVE);
	struct holders hs = { 0 };
	unsigned bad;

	CHECKS_RAN(CHK_I_OBJ_5, CHK_I_OBJ_10, CHK_I_SWP_2, CHK_I_SWP_4, CHK_I_SWP_7);
	/* Where memory is short that page has woken the daemon; what is seen below must not move. */
	uvm_quiesce();
	gather(&hs);
	bad = hs.hs_bad + check_holders(&hs) + inspect_swap_counts();
	bad += check_devices(&hs);		/* each says what it finds, in this order */
	bad += check_only(&hs);
	if (scratch != NULL && contents != 0) {
		CHECKS_RAN(CHK_I_SWP_5);
		bad += check_contents(&hs, scratch, contents);
	}
	if (scratch != NULL)
		uvm_pagefree(scratch);
	free(hs.hs_v);
	return bad;
}
