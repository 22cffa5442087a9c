/*
 * Entries of kernel maps, and PR 24039.
 *
 * A map in which neighbours merge has fewer entries than allocations, so freeing a part
 * of a merged entry needs an entry more; and who frees may be an interrupt, or hold
 * locks, and can neither sleep for memory nor be refused.  Both cures that were
 * discussed are here:
 *
 * Parked entries (R41).  Only QUANTUM allocations merge: they are of one size, the map's
 * quantum, aligned to it, and are freed whole quanta at a time.  Each brought an entry;
 * when it merges, that entry is parked with the map, and a split between two quanta
 * takes one from there.  So there are always exactly as many parked entries as there are
 * borders of quanta inside entries (I-MAP-11), and a split always finds one.
 *
 * The objection (R42): a split can come without an earlier merge, by who maps [0..100]
 * and unmaps [10..90].  He has no claim on the parked entries: an unmap that is not of
 * quanta brings its own, up to two, allocated before the map is locked, and a split of
 * an entry that is not of quanta takes from these.  Without them it stops the machine,
 * rather than somebody else's free later on.
 *
 * The other cure (R43), that pool_put() gives no page back at all, is the pool's.
 *
 * The entries themselves come from a pool of IPL_VM on the direct map, which needs no
 * map; so allocating one never recurses, and freeing one never blocks.
 */
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/pool.h>

#include "uvm_map_i.h"

static struct pool *kmapent_pool;	/* : */

void
uvm_kmapent_init(void)
{
	kmapent_pool = pool_create(sizeof(struct vm_map_entry), VM_MAPENT_ALIGN, "vmmpekpl",
	    &pool_allocator_kmem, IPL_VM);
}

void
uvm_kmapent_fini(void)
{
	pool_destroy(kmapent_pool);
}

uint64_t
uvm_kmapent_count(void)
{
	struct pool_stat ps;

	pool_getstat(kmapent_pool, &ps);
	return ps.ps_nout;
}

struct vm_map_entry *
uvm_kmapent_alloc(struct vm_map *map, bool waitok)
{
	/* I-KM-3: nothing sleeps for an interrupt-safe map */
	return pool_get(kmapent_pool,
	    waitok && (map->flags & VM_MAP_INTRSAFE) == 0 ? PR_WAITOK : PR_NOWAIT);
}

void
uvm_kmapent_free(struct vm_map_entry *e)
{
	pool_put(kmapent_pool, e);
}

/* --- parked entries (R41) --- */

void
uvm_mapent_park(struct vm_map *map, struct vm_map_entry *e)
{
	KASSERT(vm_map_locked_write(map));
	e->next = map->merged_entries;
	map->merged_entries = e;
	map->nparked++;
}

static struct vm_map_entry *
unpark(struct vm_map *map)
{
	struct vm_map_entry *e = map->merged_entries;

	KASSERTMSG(e != NULL, "R41: map %u has no parked entry for a split of quanta", map->id);
	map->merged_entries = e->next;
	map->nparked--;
	return e;
}

/* => borders of quanta inside the entry */
static int
borders(const struct vm_map *map, const struct vm_map_entry *e)
{
	if ((e->flags & UVM_MAP_QUANTUM) == 0)
		return 0;
	return (int)((e->end - e->start) / map->quantum) - 1;
}

void
uvm_mapent_unpark(struct vm_map *map, const struct vm_map_entry *e, struct vm_map_entry **dead)
{
	KASSERT(vm_map_locked_write(map));
	for (int n = borders(map, e); n > 0; n--) {
		struct vm_map_entry *spare = unpark(map);

		spare->aref.ar_amap = NULL;
		spare->object.uvm_obj = NULL;
		spare->etype = 0;
		spare->next = *dead;
		*dead = spare;
	}
}

bool
uvm_mapent_parked_ok(struct vm_map *map)
{
	int need = 0, have = 0;

	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		need += borders(map, e);
	for (struct vm_map_entry *e = map->merged_entries; e != NULL; e = e->next)
		have++;
	return have == map->nparked && have == need;
}

/* --- reservations (R42) --- */

void
uvm_mapent_reserve(struct vm_map *map, struct uvm_mapent_reservation *umr)
{
	*umr = (struct uvm_mapent_reservation){ .umr_n = 0 };
	curlwp->l_givesback = !vm_map_intrsafe(map);	/* who may wait, and others wait for */
	while (umr->umr_n < UMR_MAX) {
		/*
		 * From the reserve first, which is for those who set memory free: this is what
		 * everybody does who dies for want of it.
		 */
		struct vm_map_entry *e = inject(INJECT_pool_page) ? NULL : uvm_kmapent_alloc(map, false);

		if (e == NULL)
			e = uvm_kmapent_alloc(map, true);
		if (e == NULL)		/* an interrupt-safe map: perhaps none is needed */
			break;
		umr->umr_entries[umr->umr_n++] = e;
	}
	curlwp->l_givesback = false;
	KASSERTMSG(umr->umr_n == UMR_MAX || vm_map_intrsafe(map),
	    "R42: map %u: %d entries are reserved, and an unmap may split twice: who may wait has them all",
	    map->id, umr->umr_n);
}

void
uvm_mapent_unreserve(struct uvm_mapent_reservation *umr)
{
	while (umr->umr_n > 0)
		uvm_kmapent_free(umr->umr_entries[--umr->umr_n]);
}

struct vm_map_entry *
uvm_kmapent_forsplit(struct vm_map *map, const struct vm_map_entry *e, vaddr_t va)
{
	struct uvm_mapent_reservation *umr = map->reserved;

	KASSERT(vm_map_locked_write(map));
	UVMCNT(km_splits);
	if ((e->flags & UVM_MAP_QUANTUM) != 0) {
		KASSERTMSG(umr == NULL, "R42: map %u: quanta are split by one who does not free quanta",
		    map->id);
		KASSERTMSG(va % map->quantum == 0, "R41: map %u: quanta are split at %#lx", map->id,
		    (unsigned long)va);
		return unpark(map);
	}
	if (BUG(split_steals_reserve))
		return unpark(map);
	KASSERTMSG(umr != NULL && umr->umr_n > 0,
	    "R42, PR 24039: map %u: a split at %#lx has no entry reserved", map->id,
	    (unsigned long)va);
	return umr->umr_entries[--umr->umr_n];
}
