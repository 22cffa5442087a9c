/*
 * Amaps: slots, references, life (uvm-spec 2).
 *
 * An entry refers to a range of slots (an aref).  am_ref counts arefs, whatever
 * their range; once arefs with different ranges exist, ppref counts them by slot,
 * so that slots which nobody refers to any more can be wiped while the amap lives.
 *
 * SHARED is set when a second process shares the amap on purpose.  Then an anon that
 * is replaced must disappear from all address spaces, so that all fault on the new one.
 *
 * Lock order: am_l, then an anon's lock; a second am_l only of an amap that nobody
 * else can know.  The list of all amaps has a lock below am_l.
 */
#include <string.h>

#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

static pool_cache_t amap_cache;
static kmutex_t	amap_list_lock;			/* LC_amap_list */
static TAILQ_HEAD(, vm_amap) amap_list = TAILQ_HEAD_INITIALIZER(amap_list);	/* amap_list_lock */
static uint32_t	last_id;			/* atomic */

static int
amap_ctor(void *arg, void *obj, int flags)
{
	struct vm_amap *amap = obj;

	memset(amap, 0, sizeof(*amap));
	mutex_init(&amap->am_l, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	return 0;
}

static void
amap_dtor(void *arg, void *obj)
{
	mutex_destroy(&((struct vm_amap *)obj)->am_l);
}

void
uvm_amap_init(void)
{
	mutex_init(&amap_list_lock, MUTEX_DEFAULT, IPL_NONE, LC_amap_list);
	amap_cache = pool_cache_create(sizeof(struct vm_amap), 16, "uvmamap",
	    &pool_allocator_kmem, IPL_NONE, amap_ctor, amap_dtor, NULL);
}

void
uvm_amap_fini(void)
{
	if (amap_count() != 0)
		violation(VIOL_LEAK, "amap-leak", "%lu amaps did not come back",
		    (unsigned long)amap_count());
	pool_cache_destroy(amap_cache);
	mutex_destroy(&amap_list_lock);
}

uint64_t
amap_count(void)
{
	return pool_cache_nout(amap_cache);
}

/* --- small ones --- */

void
amap_lock(struct vm_amap *amap)
{
	mutex_enter(&amap->am_l);
}

bool
amap_lock_try(struct vm_amap *amap)
{
	return mutex_tryenter(&amap->am_l);
}

void
amap_unlock(struct vm_amap *amap)
{
	mutex_exit(&amap->am_l);
}

bool
amap_locked(struct vm_amap *amap)
{
	return mutex_owned(&amap->am_l);
}

kmutex_t *
amap_mutex(struct vm_amap *amap)
{
	return &amap->am_l;
}

int
amap_refs(struct vm_amap *amap)
{
	/* relaxed: exact with the lock, else a snapshot that callers test again */
	return __atomic_load_n(&amap->am_ref, __ATOMIC_RELAXED);
}

static void
set_ref(struct vm_amap *amap, int ref)
{
	KASSERT(amap_locked(amap));
	__atomic_store_n(&amap->am_ref, ref, __ATOMIC_RELAXED);
}

bool
amap_shared(struct vm_amap *amap)
{
	KASSERT(amap_locked(amap));
	return (amap->am_flags & AMAP_F_SHARED) != 0;
}

uint32_t
amap_id(struct vm_amap *amap)
{
	return amap->am_id;
}

uint64_t
amap_nslot(struct vm_amap *amap)
{
	return amap->am_nslot;
}

void
amap_foreach(void (*fn)(struct vm_amap *, void *), void *arg)
{
	struct vm_amap *amap;

	mutex_enter(&amap_list_lock);
	TAILQ_FOREACH(amap, &amap_list, am_list)
		fn(amap, arg);
	mutex_exit(&amap_list_lock);
}

void
amap_list_insert(struct vm_amap *amap)
{
	mutex_enter(&amap_list_lock);
	TAILQ_INSERT_TAIL(&amap_list, amap, am_list);
	mutex_exit(&amap_list_lock);
}

/* --- chunks --- */

static size_t
chunk_bytes(unsigned nslot)
{
	return sizeof(struct amap_chunk) + nslot * (sizeof(struct vm_anon *) + 2);
}

static struct amap_chunk *
chunk_alloc(unsigned nslot, km_flag_t km)
{
	struct amap_chunk *ac = kmem_zalloc(chunk_bytes(nslot), km);

	if (ac == NULL)
		return NULL;
	ac->ac_nslot = (uint16_t)nslot;
	ac->ac_slots = (uint8_t *)&ac->ac_anon[nslot];
	ac->ac_bckptr = ac->ac_slots + nslot;
	return ac;
}

static void
chunk_free(struct amap_chunk *ac)
{
	kmem_free(ac, chunk_bytes(ac->ac_nslot));
}

static void
chunks_free(struct vm_amap *amap)
{
	for (uint64_t i = 0; i < amap->am_nchunk && amap->am_chunk != NULL; i++)
		if (amap->am_chunk[i] != NULL)
			chunk_free(amap->am_chunk[i]);
	if (amap->am_chunk != NULL && amap->am_chunk != &amap->am_one)
		kmem_free(amap->am_chunk, amap->am_nchunk * sizeof(*amap->am_chunk));
	amap->am_chunk = NULL;
	amap->am_one = NULL;
}

/* Small amaps get room to grow: up to a multiple of 8 slots. */
static bool
chunks_alloc(struct vm_amap *amap, uint64_t slots, km_flag_t km)
{
	amap->am_maxslot = slots <= AMAP_CHUNK_SLOTS ? (slots + 7) & ~7UL :
	    (slots + AMAP_CHUNK_SLOTS - 1) / AMAP_CHUNK_SLOTS * AMAP_CHUNK_SLOTS;
	amap->am_nchunk = (amap->am_maxslot + AMAP_CHUNK_SLOTS - 1) / AMAP_CHUNK_SLOTS;
	amap->am_chunk = &amap->am_one;
	if (amap->am_nchunk > 1)
		amap->am_chunk = kmem_zalloc(amap->am_nchunk * sizeof(*amap->am_chunk), km);
	if (amap->am_chunk == NULL)
		return false;
	for (uint64_t i = 0; i < amap->am_nchunk; i++) {
		amap->am_chunk[i] = chunk_alloc(amap->am_nchunk > 1 ? AMAP_CHUNK_SLOTS :
		    (unsigned)amap->am_maxslot, km);
		if (amap->am_chunk[i] == NULL) {
			chunks_free(amap);
			return false;
		}
	}
	return true;
}

struct vm_amap *
amap_alloc(vsize_t sz, vsize_t padsz, bool waitok)
{
	struct vm_amap *amap = pool_cache_get(amap_cache, waitok ? PR_WAITOK : PR_NOWAIT);

	KASSERT(sz != 0);
	if (amap == NULL)
		return NULL;
	if (!chunks_alloc(amap, atop(round_page(sz + padsz)), waitok ? KM_SLEEP : KM_NOSLEEP)) {
		pool_cache_put(amap_cache, amap);
		return NULL;
	}
	amap->am_id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	amap->am_nslot = atop(round_page(sz));
	amap->am_nused = 0;
	amap->am_flags = 0;
	amap->am_ppref = NULL;
	__atomic_store_n(&amap->am_ref, 1, __ATOMIC_RELAXED);
	amap_list_insert(amap);
	return amap;
}

/*
 * => nobody can reach it (R25; uvm-spec 2.4): no reference, no slot used, off the
 *    list, and the lock that wipeout held has been dropped
 */
void
amap_free(struct vm_amap *amap)
{
	KASSERTMSG(!amap_locked(amap), "R25: amap_free with the amap locked");
	KASSERTMSG(amap_refs(amap) == 0, "R25: amap_free with %d references", amap_refs(amap));
	KASSERTMSG(amap->am_nused == 0, "R25: amap_free with slots in use");
	amap_pp_free(amap);
	chunks_free(amap);
	pool_cache_put(amap_cache, amap);
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
	ac->ac_anon[i] = anon;
	ac->ac_bckptr[i] = (uint8_t)ac->ac_nused;
	ac->ac_slots[ac->ac_nused++] = (uint8_t)i;
	amap->am_nused++;
}

void
amap_slot_clear(struct vm_amap *amap, uint64_t slot)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);
	unsigned hole = ac->ac_bckptr[i], last = ac->ac_nused - 1u;

	KASSERT(slot < amap->am_nslot);
	KASSERT(ac->ac_anon[i] != NULL);
	ac->ac_anon[i] = NULL;
	if (hole != last) {		/* the last of the list fills the hole */
		ac->ac_slots[hole] = ac->ac_slots[last];
		ac->ac_bckptr[ac->ac_slots[hole]] = (uint8_t)hole;
	}
	ac->ac_nused--;
	amap->am_nused--;
}

void
amap_slot_replace(struct vm_amap *amap, uint64_t slot, struct vm_anon *anon)
{
	unsigned i;
	struct amap_chunk *ac = amap_chunk_of(amap, slot, &i);

	KASSERT(ac->ac_anon[i] != NULL);
	ac->ac_anon[i] = anon;
}

struct vm_anon *
amap_lookup(struct vm_aref *aref, vaddr_t off)
{
	KASSERT(amap_locked(aref->ar_amap));
	return amap_slot(aref->ar_amap, aref->ar_pageoff + atop(off));
}

void
amap_lookups(struct vm_aref *aref, vaddr_t off, struct vm_anon **anons, int n)
{
	KASSERT(amap_locked(aref->ar_amap));
	for (int i = 0; i < n; i++)
		anons[i] = amap_slot(aref->ar_amap, aref->ar_pageoff + atop(off) + (uint64_t)i);
}

struct vm_anon *
amap_add(struct vm_aref *aref, vaddr_t off, struct vm_anon *anon, bool replace)
{
	struct vm_amap *amap = aref->ar_amap;
	uint64_t slot = aref->ar_pageoff + atop(off);
	struct vm_anon *old;

	KASSERT(amap_locked(amap));
	KASSERT(mutex_owned(&anon->an_lock));
	if (!replace) {
		amap_slot_set(amap, slot, anon);
		return NULL;
	}
	old = amap_slot(amap, slot);
	KASSERT(old != NULL && mutex_owned(&old->an_lock));
	/* I-AMAP-9: sharers must not stay on the old page. */
	if (amap_shared(amap) && old->an_page != NULL)
		pmap_page_protect(old->an_page, VM_PROT_NONE);
	amap_slot_replace(amap, slot, anon);
	return old;
}

void
amap_unadd(struct vm_aref *aref, vaddr_t off)
{
	KASSERT(amap_locked(aref->ar_amap));
	amap_slot_clear(aref->ar_amap, aref->ar_pageoff + atop(off));
}

void
amap_share_protect(struct vm_map_entry *entry, vm_prot_t prot)
{
	struct vm_amap *amap = entry->aref.ar_amap;

	KASSERTMSG(amap_locked(amap), "R25: amap_share_protect without the amap's lock");
	for (vaddr_t off = 0; off < entry->end - entry->start; off += PAGE_SIZE) {
		struct vm_anon *anon = amap_lookup(&entry->aref, off);

		if (anon == NULL)
			continue;
		mutex_enter(&anon->an_lock);
		if (anon->an_page != NULL)
			pmap_page_protect(anon->an_page, prot);
		mutex_exit(&anon->an_lock);
	}
}

bool
amap_has_wired(struct vm_aref *aref, uint64_t npages)
{
	bool wired = false;

	KASSERT(amap_locked(aref->ar_amap));
	for (uint64_t i = 0; i < npages && !wired; i++) {
		struct vm_anon *anon = amap_slot(aref->ar_amap, aref->ar_pageoff + i);

		if (anon == NULL)
			continue;
		mutex_enter(&anon->an_lock);
		if (anon->an_page != NULL) {
			uvm_lock_pageq();
			wired = anon->an_page->wire_count != 0;
			uvm_unlock_pageq();
		}
		mutex_exit(&anon->an_lock);
	}
	return wired;
}

/* --- references --- */

static bool
whole(const struct vm_aref *aref, uint64_t npages)
{
	return aref->ar_pageoff == 0 && npages == aref->ar_amap->am_nslot;
}

void
amap_ref(struct vm_aref *aref, uint64_t npages, int flags)
{
	struct vm_amap *amap = aref->ar_amap;
	bool all = (flags & AMAP_REFALL) != 0;

	amap_lock(amap);
	if (!all && !whole(aref, npages) && amap->am_ppref == NULL)
		amap_pp_establish(amap);
	set_ref(amap, amap->am_ref + 1);
	if ((flags & AMAP_SHARED) != 0)
		amap->am_flags |= AMAP_F_SHARED;
	if (amap_pp_valid(amap))
		amap_pp_adjref(amap, all ? 0 : aref->ar_pageoff, all ? amap->am_nslot : npages, 1);
	amap_unlock(amap);
}

void
amap_unref(struct vm_aref *aref, uint64_t npages, bool all)
{
	struct vm_amap *amap = aref->ar_amap;

	amap_lock(amap);
	KASSERT(amap->am_ref > 0);
	if (amap->am_ref == 1) {
		set_ref(amap, 0);
		amap_wipeout(amap);		/* drops the lock, and the amap with it */
		return;
	}
	if (!all && !whole(aref, npages) && amap->am_ppref == NULL)
		amap_pp_establish(amap);
	set_ref(amap, amap->am_ref - 1);
	if (amap->am_ref == 1)
		amap->am_flags &= ~AMAP_F_SHARED;
	if (amap_pp_valid(amap))
		amap_pp_adjref(amap, all ? 0 : aref->ar_pageoff, all ? amap->am_nslot : npages, -1);
	amap_unlock(amap);
}

void
amap_splitref(struct vm_aref *orig, struct vm_aref *split, vaddr_t off)
{
	struct vm_amap *amap = orig->ar_amap;

	KASSERT(off != 0 && (off & PAGE_MASK) == 0);
	amap_lock(amap);
	KASSERT(orig->ar_pageoff + atop(off) < amap->am_nslot);
	/* T-34: before the reference that covers only a part is counted */
	if (amap->am_ppref == NULL)
		amap_pp_establish(amap);
	set_ref(amap, amap->am_ref + 1);	/* two ranges that do not overlap: no slot gains one */
	split->ar_amap = amap;
	split->ar_pageoff = orig->ar_pageoff + atop(off);
	amap_unlock(amap);
}

/* --- the end --- */

void
amap_wiperange(struct vm_amap *amap, uint64_t slot, uint64_t n)
{
	KASSERT(amap_locked(amap));
	for (; n > 0; slot++, n--) {
		struct vm_anon *anon = amap_slot(amap, slot);
		bool last;

		if (anon == NULL)
			continue;
		amap_slot_clear(amap, slot);
		mutex_enter(&anon->an_lock);
		last = --anon->an_ref == 0;
		mutex_exit(&anon->an_lock);
		if (last)
			uvm_anfree(anon);
	}
}

void
amap_wipeout(struct vm_amap *amap)
{
	KASSERTMSG(amap_locked(amap), "R25: amap_wipeout without the amap's lock");
	KASSERTMSG(amap->am_ref == 0, "R25: amap_wipeout with %d references", amap->am_ref);
	mutex_enter(&amap_list_lock);
	TAILQ_REMOVE(&amap_list, amap, am_list);
	mutex_exit(&amap_list_lock);
	amap_wiperange(amap, 0, amap->am_nslot);
	amap_unlock(amap);
	amap_free(amap);
}

/* --- growing --- */

/* => amap locked, one chunk: its slots go to a new one, shift places higher */
static void
chunk_move(struct vm_amap *amap, struct amap_chunk *new, uint64_t shift)
{
	struct amap_chunk *old = amap->am_one;

	amap->am_one = new;
	amap->am_nused = 0;
	amap->am_maxslot = new->ac_nslot;
	for (unsigned i = 0; i < old->ac_nused; i++) {
		unsigned slot = old->ac_slots[i];

		amap_slot_set(amap, slot + shift, old->ac_anon[slot]);
	}
	chunk_free(old);
}

/*
 * => room is made for add slots below or above the entry's n
 * => E2BIG: the amap would not fit one chunk;  ENOMEM
 */
static int
regrow(struct vm_amap *amap, struct vm_aref *aref, uint64_t n, uint64_t add, bool forward)
{
	uint64_t need = forward ? aref->ar_pageoff + n + add : aref->ar_pageoff + n;
	uint64_t shift = 0, room;
	struct amap_chunk *new;

	if (!forward && aref->ar_pageoff < add) {
		shift = add - aref->ar_pageoff;
		need += shift;
	}
	if (need < amap->am_nslot + shift)	/* slots beyond the entry's keep their place */
		need = amap->am_nslot + shift;
	if (need > UVM_AMAP_LARGE || amap->am_nchunk != 1)
		return E2BIG;
	room = (need + 15) & ~15UL;
	new = NULL;
	if (need > amap->am_maxslot || shift != 0) {
		new = chunk_alloc((unsigned)room, KM_NOSLEEP);
		if (new == NULL)
			return ENOMEM;
	}
	/* One aref is left: there is nothing that ppref would have to tell. */
	amap_pp_free(amap);
	if (need > amap->am_nslot)
		amap->am_nslot = need;
	if (new != NULL)
		chunk_move(amap, new, shift);
	aref->ar_pageoff += shift;
	if (!forward)
		aref->ar_pageoff -= add;
	return 0;
}

int
amap_extend(struct vm_map_entry *entry, vsize_t addsize, int flags)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	uint64_t n = atop(entry->end - entry->start);
	int error;

	amap_lock(amap);
	KASSERT(amap->am_ref == 1);
	error = regrow(amap, &entry->aref, n, atop(addsize),
	    (flags & AMAP_EXTEND_FORWARDS) != 0);
	amap_unlock(amap);
	return error;
}

/* --- checking --- */

static unsigned
bad(const struct vm_amap *amap, const char *id, uint64_t slot, const char *what)
{
	violation(VIOL_INVARIANT, id, "amap %u, slot %lu: %s", amap->am_id, (unsigned long)slot, what);
	return 1;
}

static unsigned
check_chunk(const struct vm_amap *amap, uint64_t first, const struct amap_chunk *ac)
{
	unsigned n = 0, used = 0;

	for (unsigned i = 0; i < ac->ac_nslot; i++) {
		bool listed = ac->ac_bckptr[i] < ac->ac_nused && ac->ac_slots[ac->ac_bckptr[i]] == i;

		if (ac->ac_anon[i] == NULL)
			continue;
		used++;
		if (!listed)
			n += bad(amap, "I-AMAP-1", first + i, "used, and not on the list of used slots");
		if (first + i >= amap->am_nslot)
			n += bad(amap, "I-AMAP-2", first + i, "used, and past the last slot");
	}
	if (used != ac->ac_nused)
		n += bad(amap, "I-AMAP-1", first, "the list of used slots has another length");
	return n;
}

unsigned
amap_check(struct vm_amap *amap)
{
	unsigned n = 0;

	KASSERT(amap_locked(amap));
	for (uint64_t i = 0; i < amap->am_nchunk; i++)
		n += check_chunk(amap, i * AMAP_CHUNK_SLOTS, amap->am_chunk[i]);
	if (amap->am_nused > amap->am_nslot || amap->am_nslot > amap->am_maxslot)
		n += bad(amap, "I-AMAP-2", 0, "more slots used than there are");
	for (uint64_t s = 0; s < amap->am_nslot; s++) {
		struct vm_anon *anon = amap_slot(amap, s);
		int ref = 1;

		if (anon != NULL) {
			mutex_enter(&anon->an_lock);
			ref = anon->an_ref;
			mutex_exit(&anon->an_lock);
		}
		if (ref < 1)
			n += bad(amap, "I-AMAP-3", s, "holds an anon without references");
		if (!amap_pp_valid(amap))
			continue;
		if (amap->am_ppref[s] < 0 || amap->am_ppref[s] > amap->am_ref)
			n += bad(amap, "I-AMAP-5", s, "more references than the whole amap, or fewer than none");
		if (amap->am_ppref[s] == 0 && anon != NULL)
			n += bad(amap, "I-AMAP-5", s, "nobody refers to it, and it is not empty");
	}
	return n;
}
