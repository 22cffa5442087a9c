/*
 * The map checker: I-MAP-1 to 4 and 6, under the map's lock; and the printer.
 */
#include <stdio.h>

#include <sys/kernhist.h>
#include <uvm/uvm_proc.h>

#include "uvm_map_i.h"

static unsigned
bad(const struct vm_map *map, const struct vm_map_entry *e, const char *id, const char *what)
{
	violation_about(KS_map, map->id, map);
	violation(VIOL_INVARIANT, id, "map %u, entry %u [%#lx,%#lx): %s", map->id, e->id,
	    (unsigned long)e->start, (unsigned long)e->end, what);
	return 1;
}

static unsigned
check_entry(struct vm_map *map, struct vm_map_entry *e)
{
	unsigned n = 0;

	if (e->start >= e->end || ((e->start | e->end) & PAGE_MASK) != 0)
		n += bad(map, e, "I-MAP-1", "empty, or not whole pages");
	if (e->prev->end > e->start || e->end > e->next->start)
		n += bad(map, e, "I-MAP-1", "overlaps its neighbour, or leaves the map");
	if (e->next->prev != e || e->prev->next != e)
		n += bad(map, e, "I-MAP-1", "the list does not hang together");
	if (e->gap != e->next->start - e->end)
		n += bad(map, e, "I-MAP-2", "gap is wrong");
	if (UVM_ET_ISNEEDSCOPY(e) && !UVM_ET_ISCOPYONWRITE(e) && e->aref.ar_amap == NULL)
		n += bad(map, e, "I-MAP-4", "NEEDSCOPY without COPYONWRITE or an amap");
	if (UVM_ET_ISSUBMAP(e) && (UVM_ET_ISOBJ(e) || e->aref.ar_amap != NULL))
		n += bad(map, e, "I-MAP-4", "submap with an object or an amap");
	if ((e->protection & ~e->max_protection) != 0)
		n += bad(map, e, "I-MAP-4", "protection exceeds max_protection");
	if (e->aref.ar_amap != NULL &&
	    e->aref.ar_pageoff + uvm_entry_npages(e) > amap_nslot(e->aref.ar_amap))
		n += bad(map, e, "I-MAP-6", "reaches past the end of its amap");
	return n;
}

static unsigned
check_tree(struct vm_map *map)
{
	struct vm_map_entry *e = map->header.next, *t;
	unsigned n = 0;

	for (t = uvm_map_tree_first(map); t != NULL; t = uvm_map_tree_next(t), e = e->next) {
		vsize_t max = t->gap, left = uvm_map_tree_maxgap(RB_LEFT(t, rb_node)),
		    right = uvm_map_tree_maxgap(RB_RIGHT(t, rb_node));

		if (t != e)
			return n + bad(map, t, "I-MAP-2", "tree and list disagree");
		if (left > max)
			max = left;
		if (right > max)
			max = right;
		if (t->maxgap != max)
			n += bad(map, t, "I-MAP-2", "maxgap is wrong");
	}
	if (e != &map->header)
		n += bad(map, e, "I-MAP-2", "is on the list and not in the tree");
	return n;
}

unsigned
uvm_map_check(struct vm_map *map)
{
	const struct vm_map_entry *hints[VM_MAP_HINTS];
	unsigned alive = 0;
	unsigned n = 0;
	vsize_t size = 0;
	int entries = 0;

	KASSERT(vm_map_locked(map));
	for (int i = 0; i < VM_MAP_HINTS; i++) {
		/* relaxed: readers move it while we look, to another live entry */
		hints[i] = __atomic_load_n(&map->hints[i].entry, __ATOMIC_RELAXED);
		alive += hints[i] == &map->header;
	}
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next) {
		n += check_entry(map, e);
		size += e->end - e->start;
		entries++;
		for (int i = 0; i < VM_MAP_HINTS; i++)
			alive += hints[i] == e;
	}
	n += check_tree(map);
	if (entries != map->nentries || size != map->size)
		n += bad(map, &map->header, "I-MAP-1", "nentries or size is wrong");
	if (alive != VM_MAP_HINTS)
		n += bad(map, &map->header, "I-MAP-3", "a hint points to no live entry");
	return n;
}

void
uvm_map_print(struct vm_map *map, FILE *out)
{
	static const char *const inherit[] = { "share", "copy", "none", "donate" };

	fprintf(out, "map %u: [%#lx,%#lx) %d entries, %lu bytes, refs %d, version %u, flags %#x\n",
	    map->id, (unsigned long)vm_map_min(map), (unsigned long)vm_map_max(map),
	    map->nentries, (unsigned long)map->size, map->ref_count, map->timestamp,
	    (unsigned)map->flags);
	if (map->limit != URLIM_INFINITY || map->allowed != URLIM_INFINITY)
		fprintf(out, "  RLIMIT_AS %#lx, when it grew last %#lx\n", (unsigned long)map->limit,
		    (unsigned long)map->allowed);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		fprintf(out, "  entry %u: %#lx-%#lx obj %u off %#lx amap %u/%lu%s%s%s prot %d/%d "
		    "%s wired %d advice %d\n", e->id, (unsigned long)e->start,
		    (unsigned long)e->end, UVM_ET_ISOBJ(e) ? e->object.uvm_obj->uo_id : 0,
		    (unsigned long)e->offset,
		    e->aref.ar_amap != NULL ? amap_id(e->aref.ar_amap) : 0,
		    (unsigned long)e->aref.ar_pageoff, UVM_ET_ISSUBMAP(e) ? " submap" : "",
		    UVM_ET_ISCOPYONWRITE(e) ? " cow" : "", UVM_ET_ISNEEDSCOPY(e) ? " needscopy" : "",
		    e->protection, e->max_protection, inherit[e->inheritance & 3], e->wired_count,
		    e->advice);
}
