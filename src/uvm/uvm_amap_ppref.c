/*
 * References by slot (uvm-spec 2.2), and growing.
 *
 * As long as every aref covers the whole amap, am_ref says it all and am_pp is
 * false.  The first aref that covers a part makes us count by slot, and that must
 * be established while am_ref still counts only arefs that cover everything (T-34).
 * From then on a slot's count is the number of arefs that cover it (I-AMAP-6), and
 * a slot that falls to 0 is wiped, though the amap lives.
 *
 * An amap with one aref can grow at either end of it.  Below, free slots before the
 * aref are used up; beyond them all slots move up.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

static int *
pp_slot(const struct vm_amap *amap, uint64_t slot)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

	KASSERT(slot < amap->am_nslot);
	return &amap_chunk_ppref(ac)[i];
}

int
amap_pp_count(const struct vm_amap *amap, uint64_t slot)
{
	KASSERT(amap->am_pp);
	return *pp_slot(amap, slot);
}

void
amap_pp_establish(struct vm_amap *amap)
{
	KASSERT(amap_locked(amap));
	KASSERT(!amap->am_pp);
	amap->am_pp = true;
	for (uint64_t s = 0; s < amap->am_nslot; s++)
		*pp_slot(amap, s) = amap->am_ref;
}

/* => was it the last reference of a slot that is used? */
static bool
adjust(struct vm_amap *amap, uint64_t slot, int adj)
{
	int *count = pp_slot(amap, slot);

	*count += adj;
	KASSERTMSG(*count >= 0, "I-AMAP-5: amap %u, slot %lu: %d references", amap->am_id,
	    (unsigned long)slot, *count);
	return *count == 0 && amap_slot(amap, slot) != NULL;
}

void
amap_pp_adjref(struct vm_amap *amap, uint64_t slot, uint64_t n, int adj)
{
	struct uvm_anon_batch dead = { .ab_n = 0 };

	KASSERT(amap_locked(amap));
	KASSERT(amap->am_pp);
	KASSERT(adj == 1 || adj == -1);
	KASSERT(slot + n <= amap->am_nslot);
	for (; n > 0; slot++, n--)
		if (adjust(amap, slot, adj))
			amap_slot_wipe(amap, slot, &dead);
	KASSERTMSG(dead.ab_n == 0, "R25: an anon of amap %u loses its last reference while that is locked", amap->am_id);
}

uint64_t
amap_pp_unref(struct vm_amap *amap, uint64_t slot, uint64_t n, struct uvm_anon_batch *dead)
{
	const uint64_t first = slot;

	KASSERT(amap_locked(amap));
	KASSERT(amap->am_pp);
	KASSERT(slot + n <= amap->am_nslot);
	for (; n > 0 && dead->ab_n < UVM_ANON_BATCH - 1; slot++, n--)
		if (adjust(amap, slot, -1))
			amap_slot_wipe(amap, slot, dead);
	return slot - first;
}

void
amap_pp_only(struct vm_amap *amap, uint64_t slot, uint64_t n)
{
	KASSERT(amap_locked(amap));
	KASSERT(amap->am_ref == 1);
	KASSERT(slot + n <= amap->am_nslot);
	amap->am_pp = slot != 0 || n != amap->am_nslot;
	for (uint64_t s = 0; amap->am_pp && s < amap->am_nslot; s++)
		*pp_slot(amap, s) = s >= slot && s < slot + n;
}

/* An extension: slots [off, off + n) become [newoff, newoff + n + add) of slots. */
struct extension {
	uint64_t	ex_slots;	/* in use afterwards */
	uint64_t	ex_shift;	/* all slots move up by so many */
	uint64_t	ex_newoff;
};

static struct extension
plan(const struct vm_amap *amap, uint64_t off, uint64_t n, uint64_t add, bool forward)
{
	struct extension ex = { .ex_slots = amap->am_nslot, .ex_newoff = off };

	if (forward) {
		if (off + n + add > ex.ex_slots)
			ex.ex_slots = off + n + add;
		return ex;
	}
	if (off < add)
		ex.ex_shift = add - off;
	ex.ex_slots += ex.ex_shift;
	ex.ex_newoff = off + ex.ex_shift - add;
	return ex;
}

/*
 * => map(W), amap unlocked, one aref: nobody else can look at the slots.  The caller
 *    moves the entry's end.  Does not wait for memory: a map is locked (I-FLT-6).
 * => 0; E2BIG: a large amap would have to move; ENOMEM.  An error changes nothing.
 */
int
amap_extend(struct vm_map_entry *entry, vsize_t addsize, int flags)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	uint64_t n = atop(entry->end - entry->start), add = atop(addsize);
	struct extension ex;
	int error = 0;

	KASSERT((addsize & PAGE_MASK) == 0);
	amap_lock(amap);
	KASSERTMSG(amap->am_ref == 1, "amap_extend with %d references", amap->am_ref);
	ex = plan(amap, entry->aref.ar_pageoff, n, add, (flags & AMAP_EXTEND_FORWARDS) != 0);
	if (ex.ex_shift != 0 || ex.ex_slots > amap->am_maxslot)
		error = ex.ex_slots > UVM_AMAP_LARGE ? E2BIG :
		    amap_slots_move(amap, ex.ex_slots, ex.ex_shift);
	if (error == 0) {
		amap->am_nslot = ex.ex_slots;
		entry->aref.ar_pageoff = ex.ex_newoff;
		amap_pp_only(amap, ex.ex_newoff, n + add);
	}
	amap_unlock(amap);
	return error;
}
