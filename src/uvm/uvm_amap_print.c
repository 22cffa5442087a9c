/*
 * What an amap looks like, for reports: `show amap` of ddb(4).
 *
 * The machine may be broken, and goes on: nothing is locked, and what a pointer points to is
 * copied by host_mem_read() before it is looked at.
 */
#include <host/host.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

#define	SLOTS_SHOWN	16

const struct vm_amap *
amap_of_mutex(const void *mutex)
{
	_Static_assert(offsetof(struct vm_amap, am_l) == 0, "an amap begins with its lock");
	return mutex;
}

/* => the anon in a slot, or NULL; false: the slot cannot be read */
static bool
peek_slot(const struct vm_amap *am, const struct vm_amap *where, uint64_t slot, const struct vm_anon **anonp)
{
	struct amap_chunk *const *chunks = am->am_chunk == &where->am_one ? &am->am_one : am->am_chunk;
	struct amap_chunk *ac, head;

	if (chunks == &am->am_one)
		ac = am->am_one;
	else if (!host_mem_read(&ac, &chunks[slot / AMAP_CHUNK_SLOTS], sizeof(ac)))
		return false;
	return host_mem_read(&head, ac, sizeof(head)) && slot % AMAP_CHUNK_SLOTS < head.ac_nslot &&
	    host_mem_read(anonp, &ac->ac_anon[slot % AMAP_CHUNK_SLOTS], sizeof(*anonp));
}

bool
amap_peek_id(const struct vm_amap *amap, uint32_t *id)
{
	return host_mem_read(id, &amap->am_id, sizeof(*id));
}

const struct vm_anon *
amap_peek(const struct vm_amap *amap, uint64_t slot)
{
	const struct vm_anon *anon = NULL;
	struct vm_amap am;

	if (!host_mem_read(&am, amap, sizeof(am)) || slot >= am.am_nslot ||
	    !peek_slot(&am, amap, slot, &anon))
		return NULL;
	return anon;
}

void
amap_print(const struct vm_amap *amap, FILE *out, void (*fn)(const struct vm_anon *, void *), void *arg)
{
	const struct vm_anon *anon;
	struct vm_amap am;
	unsigned shown = 0;

	if (!host_mem_read(&am, amap, sizeof(am))) {
		fprintf(out, "an amap that is no memory\n");
		return;
	}
	fprintf(out, "amap %u: %d references%s%s%s, %lu slots of %lu, %lu used, in %lu chunks\n", am.am_id,
	    am.am_ref, am.am_pp ? ", counted by slot" : "",
	    (am.am_flags & AMAP_SHARED) != 0 ? ", SHARED" : "",
	    (am.am_flags & AMAP_SWAPOFF) != 0 ? ", SWAPOFF" : "", (unsigned long)am.am_nslot,
	    (unsigned long)am.am_maxslot, (unsigned long)am.am_nused, (unsigned long)am.am_nchunk);
	for (uint64_t slot = 0; slot < am.am_nslot && shown < SLOTS_SHOWN; slot++) {
		if (!peek_slot(&am, amap, slot, &anon)) {
			fprintf(out, "  slot %lu: its chunk cannot be read\n", (unsigned long)slot);
			return;
		}
		if (anon == NULL)
			continue;
		fprintf(out, "  slot %lu: ", (unsigned long)slot);
		fn(anon, arg);
		shown++;
	}
	if (shown == SLOTS_SHOWN && am.am_nused > shown)
		fprintf(out, "  and %lu more\n", (unsigned long)(am.am_nused - shown));
}
