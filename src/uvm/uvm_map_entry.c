/*
 * Map entries: allocation, the sorted list, the tree, free space, clipping.
 *
 * Entries are on a list with a sentinel, whose end is the map's lowest address
 * and whose start is its highest; so the first entry has a predecessor's end and
 * the last one a successor's start like all others.  They are in a red-black tree
 * too, each with the free space behind it (gap) and the largest such gap in its
 * subtree (maxgap); so finding an entry, or room, takes O(log n).
 */
#include <sys/kernhist.h>
#include <sys/pool.h>

#include "uvm_map_i.h"

static pool_cache_t mapent_cache;
static uint32_t last_id;		/* atomic */

/* --- the tree --- */

static int
entry_compare(const struct vm_map_entry *a, const struct vm_map_entry *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

static void
augment(struct vm_map_entry *e)
{
	vsize_t max = e->gap;

	if (RB_LEFT(e, rb_node) != NULL && RB_LEFT(e, rb_node)->maxgap > max)
		max = RB_LEFT(e, rb_node)->maxgap;
	if (RB_RIGHT(e, rb_node) != NULL && RB_RIGHT(e, rb_node)->maxgap > max)
		max = RB_RIGHT(e, rb_node)->maxgap;
	e->maxgap = max;
}

#undef RB_AUGMENT
#define	RB_AUGMENT(e)	augment(e)
/* The tree's functions come as a set; not all are used. */
RB_GENERATE_INTERNAL(uvm_map_tree, vm_map_entry, rb_node, entry_compare,
    __attribute__((unused)) static)

/*
 * The tree's own calls keep rotated nodes right; a new gap is told to those above, as far as it is a
 * change to them: everybody was right before.
 */
static void
augment_path(struct vm_map_entry *e)
{
	for (; e != NULL; e = RB_PARENT(e, rb_node)) {
		const vsize_t was = e->maxgap;

		augment(e);
		if (e->maxgap == was)
			break;
	}
}

vsize_t
uvm_map_tree_maxgap(const struct vm_map_entry *e)
{
	return e == NULL ? 0 : e->maxgap;
}

struct vm_map_entry *
uvm_map_tree_first(struct vm_map *map)
{
	return RB_MIN(uvm_map_tree, &map->rb_tree);
}

struct vm_map_entry *
uvm_map_tree_next(struct vm_map_entry *e)
{
	return RB_NEXT(uvm_map_tree, NULL, e);
}

/* --- life of an entry --- */

void
uvm_map_init(void)
{
	mapent_cache = pool_cache_create(sizeof(struct vm_map_entry), VM_MAPENT_ALIGN, "vmmpepl",
	    &pool_allocator_kmem, IPL_NONE, NULL, NULL, NULL);
	uvm_map_lastid = last_id = 0;
	uvm_kmapent_init();
}

void
uvm_map_fini(void)
{
	if (pool_cache_nout(mapent_cache) != 0)
		violation(VIOL_LEAK, "mapent-leak", "%lu map entries did not come back",
		    (unsigned long)pool_cache_nout(mapent_cache));
	pool_cache_destroy(mapent_cache);
	uvm_kmapent_fini();
}

uint64_t
uvm_mapent_count(void)
{
	return pool_cache_nout(mapent_cache) + uvm_kmapent_count();
}

static bool
kernel(const struct vm_map *map)
{
	return map->pmap == pmap_kernel();
}

static struct vm_map_entry *
mapent_get(struct vm_map *map, int flags)
{
	struct vm_map_entry *e = kernel(map) ? uvm_kmapent_alloc(map, flags == PR_WAITOK) :
	    pool_cache_get(mapent_cache, flags);

	if (e == NULL)
		return NULL;
	UVMCNT(mapentries);
	*e = (struct vm_map_entry){
		.id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED),
		.flags = kernel(map) ? UVM_MAP_KERNEL : 0,
	};
	return e;
}

struct vm_map_entry *
uvm_mapent_tryalloc(struct vm_map *map)
{
	return mapent_get(map, PR_NOWAIT);
}

void
uvm_mapent_free(struct vm_map_entry *e)
{
	if ((e->flags & UVM_MAP_KERNEL) != 0)
		uvm_kmapent_free(e);
	else
		pool_cache_put(mapent_cache, e);
}

struct vm_map_entry *
uvm_mapent_twin(struct vm_map *dst, const struct vm_map_entry *old, vaddr_t start, vaddr_t end,
    int amapflags)
{
	struct vm_map_entry *new = uvm_mapent_tryalloc(dst);
	uint32_t id;
	int flags;

	KASSERT(start >= old->start && start < end && end <= old->end);
	if (new == NULL)
		return NULL;
	id = new->id;
	flags = new->flags | (old->flags & UVM_MAP_NOMERGE);
	*new = *old;
	new->id = id;
	new->flags = flags;
	new->start = start;
	new->end = end;
	new->wired_count = 0;
	if (UVM_ET_ISOBJ(new))
		new->offset += (voff_t)(start - old->start);
	if (new->aref.ar_amap != NULL) {
		new->aref.ar_pageoff += atop(start - old->start);
		amap_ref(&new->aref, uvm_entry_npages(new), amapflags);
	}
	if (UVM_ET_ISOBJ(new) && new->object.uvm_obj->pgops->pgo_reference != NULL)
		new->object.uvm_obj->pgops->pgo_reference(new->object.uvm_obj);
	return new;
}

static void
set_gap(struct vm_map *map, struct vm_map_entry *e)
{
	e->gap = e->next->start - e->end;
	if (e != &map->header)
		augment_path(e);
}

void
uvm_map_entry_moved(struct vm_map *map, struct vm_map_entry *e)
{
	KASSERT(vm_map_locked_write(map));
	set_gap(map, e);
	set_gap(map, e->prev);
}

void
uvm_map_entry_link(struct vm_map *map, struct vm_map_entry *prev, struct vm_map_entry *new)
{
	KASSERT(vm_map_locked_write(map));
	KASSERT(prev->end <= new->start && new->end <= prev->next->start);
	kernhist_log(KE_entry_insert, map->id, new->id, new->start);
	new->prev = prev;
	new->next = prev->next;
	new->next->prev = new;
	prev->next = new;
	map->nentries++;
	map->size += new->end - new->start;
	new->gap = new->maxgap = 0;
	RB_INSERT(uvm_map_tree, &map->rb_tree, new);
	uvm_map_entry_moved(map, new);
}

void
uvm_map_entry_unlink(struct vm_map *map, struct vm_map_entry *e)
{
	KASSERT(vm_map_locked_write(map));
	kernhist_log(KE_entry_remove, map->id, e->id, e->start);
	/* I-MAP-3, T-11: nobody finds it again.  Readers are out: map(W). */
	for (int i = 0; i < VM_MAP_HINTS; i++)
		if (__atomic_load_n(&map->hints[i].entry, __ATOMIC_RELAXED) == e)
			__atomic_store_n(&map->hints[i].entry, e->prev, __ATOMIC_RELAXED);
	/* An entry without a gap is missed by nobody, wherever the tree is turned meanwhile. */
	e->gap = 0;
	augment_path(e);
	RB_REMOVE(uvm_map_tree, &map->rb_tree, e);
	e->prev->next = e->next;
	e->next->prev = e->prev;
	map->nentries--;
	map->size -= e->end - e->start;
	set_gap(map, e->prev);
}

/* --- looking up --- */

static bool
contains(const struct vm_map *map, const struct vm_map_entry *e, vaddr_t va)
{
	return e != &map->header && va >= e->start && va < e->end;
}

bool
uvm_map_lookup_entry(struct vm_map *map, vaddr_t va, struct vm_map_entry **entry)
{
	/* relaxed: any live entry will do; entries die only under map(W), which excludes us */
	struct vm_map_entry **own = &map->hints[curcpu()->ci_index % VM_MAP_HINTS].entry;
	struct vm_map_entry *hint = __atomic_load_n(own, __ATOMIC_RELAXED);
	struct vm_map_entry *e, *below = &map->header;

	KASSERT(vm_map_locked(map));
	if (contains(map, hint, va)) {
		*entry = hint;
		return true;
	}
	for (e = RB_ROOT(&map->rb_tree); e != NULL;) {
		if (va < e->start) {
			e = RB_LEFT(e, rb_node);
			continue;
		}
		below = e;
		if (va < e->end)
			break;
		e = RB_RIGHT(e, rb_node);
	}
	*entry = below;
	if (e == NULL)
		return false;
	__atomic_store_n(own, e, __ATOMIC_RELAXED);
	return true;
}

/* --- room --- */

/* => the first entry after e, in order, whose gap is at least len; NULL: none */
static struct vm_map_entry *
next_gap(struct vm_map_entry *e, vsize_t len)
{
	struct vm_map_entry *sub = RB_RIGHT(e, rb_node);

	while (sub == NULL || sub->maxgap < len) {	/* nothing to the right: up */
		struct vm_map_entry *parent = RB_PARENT(e, rb_node);

		if (parent == NULL)
			return NULL;
		if (e == RB_LEFT(parent, rb_node)) {
			if (parent->gap >= len)
				return parent;
			sub = RB_RIGHT(parent, rb_node);
		}
		e = parent;
		if (e == NULL)
			return NULL;
	}
	for (;;) {					/* the leftmost of the subtree */
		struct vm_map_entry *left = RB_LEFT(sub, rb_node);

		if (left != NULL && left->maxgap >= len)
			sub = left;
		else if (sub->gap >= len)
			return sub;
		else
			sub = RB_RIGHT(sub, rb_node);
	}
}

static vaddr_t
align_up(vaddr_t va, vsize_t align)
{
	return align > 1 ? (va + align - 1) & ~(align - 1) : va;
}

/* => does [va, va+len) fit between e and its successor? No overflow. */
static bool
fits(const struct vm_map_entry *e, vaddr_t va, vsize_t len)
{
	return va >= e->end && va <= e->next->start && e->next->start - va >= len;
}

/* => lowest fit at or above hint, or false */
static bool
first_fit(struct vm_map *map, vaddr_t hint, vsize_t len, vsize_t align, vaddr_t *result)
{
	struct vm_map_entry *e;
	vaddr_t va = align_up(hint, align);

	if (va < hint)
		return false;
	if (uvm_map_lookup_entry(map, va, &e))
		va = align_up(e->end, align);
	while (!fits(e, va, len)) {
		if (e == &map->header) {
			e = RB_MIN(uvm_map_tree, &map->rb_tree);
			if (e != NULL && e->gap < len)
				e = next_gap(e, len);
		} else {
			e = next_gap(e, len);
		}
		if (e == NULL)
			return false;
		va = align_up(e->end, align);
		if (va < e->end)
			return false;
	}
	*result = va;
	return true;
}

bool
uvm_map_findspace(struct vm_map *map, vaddr_t hint, vsize_t len, vaddr_t *result,
    vsize_t align, unsigned flags)
{
	struct vm_map_entry *e;

	KASSERT(vm_map_locked_write(map));
	KASSERT((align & (align - 1)) == 0);
	KASSERT(len != 0 && (len & PAGE_MASK) == 0);
	if ((flags & UVM_FLAG_FIXED) != 0) {
		if (hint < vm_map_min(map) || uvm_map_lookup_entry(map, hint, &e) ||
		    !fits(e, hint, len))
			return false;
		*result = hint;
		return true;
	}
	if (hint < vm_map_min(map))
		hint = vm_map_min(map);
	if (hint < vm_map_max(map) && first_fit(map, hint, len, align, result))
		return true;
	return hint != vm_map_min(map) && first_fit(map, vm_map_min(map), len, align, result);
}

/* --- clipping and joining --- */

/*
 * => low and high are e's two halves at va, one of them e itself: both have a reference
 *    to what is mapped.  Tree and list are the caller's.
 */
static void
share(struct vm_map_entry *low, struct vm_map_entry *high, vaddr_t va)
{
	struct uvm_object *uobj = low->object.uvm_obj;

	KASSERT(va > low->start && va < high->end && (va & PAGE_MASK) == 0);
	KASSERT(!UVM_ET_ISSUBMAP(low));
	KASSERT((low->flags & UVM_MAP_QREF) == 0);	/* its reference is to the whole amap */
	if (uobj != NULL)
		high->offset += (voff_t)(va - low->start);
	if (low->aref.ar_amap != NULL)
		amap_splitref(&low->aref, &high->aref, va - low->start);
	if (uobj != NULL && uobj->pgops->pgo_reference != NULL)
		uobj->pgops->pgo_reference(uobj);
	low->end = va;
	high->start = va;
}

bool
uvm_mapent_ready(struct vm_map *map, const vaddr_t *at, int n)
{
	struct vm_map_entry *e;
	int need = 0;

	KASSERT(vm_map_locked_write(map));
	if (kernel(map))
		return true;
	for (int i = 0; i < n; i++)
		need += uvm_map_lookup_entry(map, at[i], &e) && e->start < at[i];
	while (map->nparked < need) {
		e = uvm_mapent_tryalloc(map);
		if (e == NULL)
			return false;
		uvm_mapent_park(map, e);
	}
	return true;
}

void
uvm_mapent_unready(struct vm_map *map)
{
	struct vm_map_entry *e;

	while (!kernel(map) && (e = map->merged_entries) != NULL) {
		map->merged_entries = e->next;
		map->nparked--;
		uvm_mapent_free(e);
	}
}

/* => map(W); never sleeps */
static struct vm_map_entry *
entry_for_split(struct vm_map *map, const struct vm_map_entry *e, vaddr_t va)
{
	struct vm_map_entry *new = map->merged_entries;

	if (!kernel(map)) {
		KASSERTMSG(new != NULL, "map %u: a split at %#lx, and no entry was made ready for it",
		    map->id, (unsigned long)va);
		map->merged_entries = new->next;
		map->nparked--;
		return new;
	}
	new = uvm_kmapent_forsplit(map, e, va);
	new->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	return new;
}

void
uvm_map_clip_start(struct vm_map *map, struct vm_map_entry *e, vaddr_t va)
{
	struct vm_map_entry *low;
	uint32_t id;

	KASSERT(vm_map_locked_write(map));
	if (va <= e->start)
		return;
	low = entry_for_split(map, e, va);
	UVMCNT(mapclips);
	id = low->id;
	*low = *e;
	low->id = id;
	share(low, e, va);
	map->size -= low->end - low->start;	/* link adds it again */
	uvm_map_entry_link(map, e->prev, low);
}

void
uvm_map_clip_end(struct vm_map *map, struct vm_map_entry *e, vaddr_t va)
{
	struct vm_map_entry *high;
	uint32_t id;

	KASSERT(vm_map_locked_write(map));
	if (va >= e->end)
		return;
	high = entry_for_split(map, e, va);
	UVMCNT(mapclips);
	id = high->id;
	*high = *e;
	high->id = id;
	share(e, high, va);
	map->size -= high->end - high->start;
	uvm_map_entry_link(map, e, high);
}

struct vm_map_entry *
uvm_map_clip_range(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *e, *first;

	if (uvm_map_lookup_entry(map, start, &e))
		uvm_map_clip_start(map, e, start);
	else
		e = e->next;
	first = e;
	if (uvm_map_lookup_entry(map, end - 1, &e))
		uvm_map_clip_end(map, e, end);
	return first;
}

bool
uvm_mapent_alike(const struct vm_map_entry *a, const struct vm_map_entry *b)
{
	if (a->end != b->start || a->etype != b->etype || UVM_ET_ISSUBMAP(a))
		return false;
	if (a->object.uvm_obj != b->object.uvm_obj)
		return false;
	if (a->object.uvm_obj != NULL && a->offset + (voff_t)(a->end - a->start) != b->offset)
		return false;
	return a->protection == b->protection && a->max_protection == b->max_protection &&
	    a->inheritance == b->inheritance && a->advice == b->advice &&
	    a->wired_count == 0 && b->wired_count == 0 && a->flags == b->flags &&
	    (a->flags & UVM_MAP_NOMERGE) == 0;
}

void
uvm_mapent_absorb(struct vm_map *map, struct vm_map_entry *e, struct vm_map_entry *gone,
    struct vm_map_entry **dead)
{
	KASSERT(vm_map_locked_write(map));
	KASSERT(gone->aref.ar_amap == NULL);
	KASSERT(gone == e->next || gone == e->prev);
	uvm_map_entry_unlink(map, gone);
	if (gone->start == e->end) {
		e->end = gone->end;
	} else {
		e->start = gone->start;
		e->offset = gone->offset;
	}
	map->size += gone->end - gone->start;
	uvm_map_entry_moved(map, e);
	gone->next = *dead;
	*dead = gone;
	UVMCNT(mapmerges);
}

bool
uvm_mapent_trymerge(struct vm_map *map, struct vm_map_entry *low, struct vm_map_entry **dead)
{
	struct vm_map_entry *high = low->next;

	if (low == &map->header || high == &map->header || low->aref.ar_amap != NULL ||
	    high->aref.ar_amap != NULL || !uvm_mapent_alike(low, high))
		return false;
	uvm_mapent_absorb(map, low, high, dead);
	return true;
}

int
uvm_mapent_copynow(struct vm_map *map, struct vm_map_entry *e)
{
	KASSERT(vm_map_locked_write(map));
	while (UVM_ET_ISNEEDSCOPY(e)) {
		amap_copy(map, e, AMAP_COPY_NOCHUNK | AMAP_COPY_NOWAIT, e->start, e->end);
		if (!UVM_ET_ISNEEDSCOPY(e))
			break;
		/* H-10: the page daemon takes no map, so waiting with this one locked ends. */
		if (!uvm_reclaimable())
			return ENOMEM;
		uvm_wait("mapcopy");
	}
	return 0;
}
