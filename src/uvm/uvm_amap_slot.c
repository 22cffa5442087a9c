/*
 * The slots of an amap: chunks, the dense list of used slots, and their checker.
 *
 * Small amaps get slack: room is rounded up to a multiple of 8 slots, so that an
 * entry that grows page by page (brk, stacks, a merge) seldom needs a new chunk.
 */
#include <string.h>
#include <sys/kernhist.h>
#include <sys/kmem.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

/* --- chunks --- */

static size_t
chunk_bytes(unsigned nslot)
{
	return sizeof(struct amap_chunk) +
	    nslot * (sizeof(struct vm_anon *) + sizeof(int) + 2 * sizeof(uint8_t));
}

static struct amap_chunk *
chunk_alloc(unsigned nslot, bool waitok)
{
	struct amap_chunk *ac = kmem_zalloc(chunk_bytes(nslot), waitok ? KM_SLEEP : KM_NOSLEEP);

	if (ac != NULL)
		ac->ac_nslot = (uint16_t)nslot;
	return ac;
}

static void
chunk_free(struct amap_chunk *ac)
{
	kmem_free(ac, chunk_bytes(ac->ac_nslot));
}

static uint64_t
with_slack(uint64_t slots)
{
	return slots <= AMAP_CHUNK_SLOTS ? (slots + 7) & ~UINT64_C(7) :
	    (slots + AMAP_CHUNK_SLOTS - 1) / AMAP_CHUNK_SLOTS * AMAP_CHUNK_SLOTS;
}

/*
 * => nobody else knows the amap; sleeps if waitok.
 */
bool
amap_slots_alloc(struct vm_amap *amap, uint64_t slots, bool waitok)
{
	uint64_t max = with_slack(slots);

	amap->am_maxslot = max;
	amap->am_nused = 0;
	amap->am_nchunk = (max + AMAP_CHUNK_SLOTS - 1) / AMAP_CHUNK_SLOTS;
	amap->am_chunk = &amap->am_one;
	amap->am_one = NULL;
	if (amap->am_nchunk > 1)
		amap->am_chunk = kmem_zalloc(amap->am_nchunk * sizeof(*amap->am_chunk),
		    waitok ? KM_SLEEP : KM_NOSLEEP);
	if (amap->am_chunk == NULL)
		return false;
	for (uint64_t i = 0; i < amap->am_nchunk; i++) {
		amap->am_chunk[i] = chunk_alloc(max > AMAP_CHUNK_SLOTS ? AMAP_CHUNK_SLOTS :
		    (unsigned)max, waitok);
		if (amap->am_chunk[i] == NULL) {
			amap_slots_free(amap);
			return false;
		}
	}
	return true;
}

/*
 * => nobody else knows the amap; no slot is used.
 */
void
amap_slots_free(struct vm_amap *amap)
{
	KASSERT(amap->am_nused == 0);
	for (uint64_t i = 0; i < amap->am_nchunk; i++)
		if (amap->am_chunk[i] != NULL)
			chunk_free(amap->am_chunk[i]);
	if (amap->am_chunk != &amap->am_one)
		kmem_free(amap->am_chunk, amap->am_nchunk * sizeof(*amap->am_chunk));
	amap->am_chunk = NULL;
	amap->am_one = NULL;
}

/*
 * => amap locked, with one chunk before and after; does not sleep.
 * => references by slot are not moved: the caller sets them (amap_pp_only).
 */
int
amap_slots_move(struct vm_amap *amap, uint64_t slots, uint64_t shift)
{
	struct amap_chunk *old = amap->am_one, *new;

	KASSERT(amap_locked(amap));
	KASSERT(amap->am_nchunk == 1 && slots <= AMAP_CHUNK_SLOTS);
	new = chunk_alloc((unsigned)with_slack(slots), false);
	if (new == NULL)
		return ENOMEM;
	amap->am_one = new;
	amap->am_maxslot = new->ac_nslot;
	amap->am_nslot = slots;
	amap->am_nused = 0;
	for (unsigned i = 0; i < old->ac_nused; i++) {
		unsigned slot = amap_chunk_slots(old)[i];

		amap_slot_set(amap, slot + shift, old->ac_anon[slot]);
	}
	chunk_free(old);
	return 0;
}

/* --- slots --- */

struct vm_anon *
amap_slot(const struct vm_amap *amap, uint64_t slot)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

	KASSERT(slot < amap->am_nslot);
	return ac->ac_anon[i];
}

void
amap_slot_set(struct vm_amap *amap, uint64_t slot, struct vm_anon *anon)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

	KASSERT(slot < amap->am_nslot);
	KASSERT(ac->ac_anon[i] == NULL);
	KASSERT(anon != NULL);
	kernhist_log(KE_amap_add, amap->am_id, anon->an_id, slot);
	ac->ac_anon[i] = anon;
	amap_chunk_bckptr(ac)[i] = (uint8_t)ac->ac_nused;
	amap_chunk_slots(ac)[ac->ac_nused++] = (uint8_t)i;
	amap->am_nused++;
}

void
amap_slot_clear(struct vm_amap *amap, uint64_t slot)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);
	uint8_t *slots = amap_chunk_slots(ac), *bckptr = amap_chunk_bckptr(ac);
	unsigned hole = bckptr[i], last = ac->ac_nused - 1u;

	KASSERT(slot < amap->am_nslot);
	KASSERT(ac->ac_anon[i] != NULL);
	KASSERT(hole <= last && slots[hole] == i);	/* I-AMAP-1 */
	kernhist_log(KE_amap_unadd, amap->am_id, ac->ac_anon[i]->an_id, slot);
	ac->ac_anon[i] = NULL;
	if (hole != last) {		/* the last of the list fills the hole */
		slots[hole] = slots[last];
		bckptr[slots[hole]] = (uint8_t)hole;
	}
	ac->ac_nused--;
	amap->am_nused--;
}

void
amap_slot_replace(struct vm_amap *amap, uint64_t slot, struct vm_anon *anon)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

	KASSERT(slot < amap->am_nslot);
	KASSERT(ac->ac_anon[i] != NULL && anon != NULL);
	kernhist_log(KE_amap_unadd, amap->am_id, ac->ac_anon[i]->an_id, slot);
	kernhist_log(KE_amap_add, amap->am_id, anon->an_id, slot);
	ac->ac_anon[i] = anon;
}

uint64_t
amap_slot_next(const struct vm_amap *amap, uint64_t slot, uint64_t end)
{
	KASSERT(end <= amap->am_nslot);
	while (slot < end) {
		unsigned i;
		struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

		if (ac->ac_nused == 0) {	/* a chunk without anons is passed at once */
			slot += AMAP_CHUNK_SLOTS - i;
			continue;
		}
		if (ac->ac_anon[i] != NULL)
			return slot;
		slot++;
	}
	return end;
}

/* --- checking --- */

static unsigned
bad(const struct vm_amap *amap, const char *id, uint64_t slot, const char *what)
{
	violation_about(KS_amap, amap->am_id, amap);
	violation(VIOL_INVARIANT, id, "amap %u, slot %lu: %s", amap->am_id, (unsigned long)slot,
	    what);
	return 1;
}

static unsigned
check_chunk(const struct vm_amap *amap, uint64_t first, struct amap_chunk *ac)
{
	uint8_t *slots = amap_chunk_slots(ac), *bckptr = amap_chunk_bckptr(ac);
	unsigned n = 0, used = 0;

	for (unsigned i = 0; i < ac->ac_nslot; i++) {
		if (ac->ac_anon[i] == NULL)
			continue;
		used++;
		if (bckptr[i] >= ac->ac_nused || slots[bckptr[i]] != i)
			n += bad(amap, "I-AMAP-1", first + i, "used, and not on the list of used slots");
		if (first + i >= amap->am_nslot)
			n += bad(amap, "I-AMAP-2", first + i, "used, and past the last slot");
	}
	if (used != ac->ac_nused)
		n += bad(amap, "I-AMAP-1", first, "the list of used slots has another length");
	return n;
}

static unsigned
check_slot(const struct vm_amap *amap, uint64_t slot)
{
	struct vm_anon *anon = amap_slot(amap, slot);
	unsigned n = 0;
	int refs;

	if (anon != NULL) {
		mutex_enter(&anon->an_lock);
		refs = anon->an_ref;
		mutex_exit(&anon->an_lock);
		if (refs < 1)
			n += bad(amap, "I-AMAP-3", slot, "holds an anon without references");
	}
	if (!amap->am_pp)
		return n;
	refs = amap_pp_count(amap, slot);
	if (refs < 0 || refs > amap->am_ref)
		n += bad(amap, "I-AMAP-5", slot, "more references than the whole amap, or less than none");
	if (refs == 0 && anon != NULL)
		n += bad(amap, "I-AMAP-5", slot, "nobody refers to it, and it is not empty");
	return n;
}

/*
 * => amap locked; I-AMAP-1, 2, 3, 5; how many violations were reported.
 */
unsigned
amap_check(struct vm_amap *amap)
{
	uint64_t used = 0;
	unsigned n = 0;

	KASSERT(amap_locked(amap));
	for (uint64_t i = 0; i < amap->am_nchunk; i++) {
		n += check_chunk(amap, i * AMAP_CHUNK_SLOTS, amap->am_chunk[i]);
		used += amap->am_chunk[i]->ac_nused;
	}
	if (used != amap->am_nused)
		n += bad(amap, "I-AMAP-2", 0, "its chunks use another number of slots than it says");
	if (amap->am_nused > amap->am_nslot || amap->am_nslot > amap->am_maxslot)
		n += bad(amap, "I-AMAP-2", 0, "more slots used than there are");
	for (uint64_t s = 0; s < amap->am_nslot && n == 0; s++)
		n += check_slot(amap, s);
	return n;
}
