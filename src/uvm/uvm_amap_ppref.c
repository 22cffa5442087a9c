/*
 * References by slot (uvm-spec 2.2).
 *
 * As long as every aref covers the whole amap, am_ref says it all.  The first one
 * that covers a part makes us count by slot: one number each, for an amap large
 * enough to need run-length coding costs more in its slots than in these.  When
 * there is no memory for them the amap is kept whole until its last reference goes:
 * memory is held longer than need be, nothing worse.
 */
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

static size_t
pp_bytes(const struct vm_amap *amap)
{
	return amap->am_maxslot * sizeof(*amap->am_ppref);
}

void
amap_pp_establish(struct vm_amap *amap)
{
	KASSERT(amap_locked(amap));
	KASSERT(amap->am_ppref == NULL);
	amap->am_ppref = kmem_alloc(pp_bytes(amap), KM_NOSLEEP);
	if (amap->am_ppref == NULL) {
		amap->am_ppref = PPREF_NONE;
		return;
	}
	for (uint64_t i = 0; i < amap->am_maxslot; i++)
		amap->am_ppref[i] = amap->am_ref;
}

void
amap_pp_adjref(struct vm_amap *amap, uint64_t slot, uint64_t n, int adj)
{
	KASSERT(amap_locked(amap));
	KASSERT(amap_pp_valid(amap));
	KASSERT(slot + n <= amap->am_nslot);
	for (; n > 0; slot++, n--) {
		KASSERT(adj > 0 || amap->am_ppref[slot] > 0);
		amap->am_ppref[slot] += adj;
		if (amap->am_ppref[slot] == 0)
			amap_wiperange(amap, slot, 1);
	}
}

void
amap_pp_free(struct vm_amap *amap)
{
	if (amap_pp_valid(amap))
		kmem_free(amap->am_ppref, pp_bytes(amap));
	amap->am_ppref = NULL;
}
