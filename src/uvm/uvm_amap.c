/*
 * Amaps: references and life (uvm-spec 2).
 *
 * An entry refers to a range of slots (an aref).  am_ref counts arefs, whatever
 * their range; once arefs with different ranges exist they are counted by slot as
 * well (uvm_amap_ppref.c), so that slots which nobody refers to any more are wiped
 * while the amap lives.
 *
 *	P  |AAAAAAAA|	fork SHARE	am_ref 2, SHARED
 *	C  |AAAAAAAA|
 *
 *	P  |AAA|AAAA|	P's entry is clipped	am_ref 3, counts 2222222
 *	C  |AAAAAAAA|
 *
 *	P      |AAAA|	P unmaps the low part	am_ref 2, counts 1112222
 *	C  |AAAAAAAA|
 *
 * SHARED is set when a second process shares the amap on purpose.  Then needs-copy
 * in one of them does not stop the others, and an anon that is replaced must
 * disappear from all address spaces, so that all fault on the new one.
 *
 * Lock order: am_l, then an anon's lock; a second am_l only of an amap that nobody
 * else can know.  The list of all amaps has a lock below am_l; every amap is on it
 * from birth until it is wiped (I-AMAP-8).
 */
#include <string.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap_i.h>

static pool_cache_t amap_cache;			/* : */
kmutex_t amap_list_lock;
struct amap_list amap_list;
static uint32_t amap_lastid;			/* @ births, relaxed: only uniqueness counts */

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
	TAILQ_INIT(&amap_list);
	amap_lastid = 0;
	amap_cache = pool_cache_create(sizeof(struct vm_amap), 16, "uvmamap",
	    &pool_allocator_kmem, IPL_NONE, amap_ctor, amap_dtor, NULL);
}

void
uvm_amap_fini(void)
{
	if (amap_count() != 0)
		violation(VIOL_LEAK, "amap-leak", "%lu amaps did not come back",
		    (unsigned long)amap_count());
	else
		pool_cache_destroy(amap_cache);
	mutex_destroy(&amap_list_lock);
}

uint64_t
amap_count(void)
{
	return pool_cache_nout(amap_cache);
}

/*
 * => list lock held around fn: which may lock amaps by trylock only, or when nothing
 *    else runs.
 */
void
amap_foreach(void (*fn)(struct vm_amap *, void *), void *arg)
{
	struct vm_amap *amap;

	mutex_enter(&amap_list_lock);
	TAILQ_FOREACH(amap, &amap_list, am_list)
		if (!amap->am_marker)
			fn(amap, arg);
	mutex_exit(&amap_list_lock);
}

/*
 * => amap locked.
 */
void
amap_foreach_anon(struct vm_amap *amap, void (*fn)(struct vm_anon *, void *), void *arg)
{
	KASSERT(amap_locked(amap));
	for (uint64_t slot = 0; (slot = amap_slot_next(amap, slot, amap->am_nslot)) < amap->am_nslot;
	    slot++)
		fn(amap_slot(amap, slot), arg);
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
	/* relaxed: exact with the lock; else a snapshot, but for an only reference's owner */
	return __atomic_load_n(&amap->am_ref, __ATOMIC_RELAXED);
}

int
amap_slot_refs(struct vm_amap *amap, uint64_t slot)
{
	KASSERT(amap_locked(amap));
	KASSERT(slot < amap->am_nslot);
	return amap->am_pp ? amap_pp_count(amap, slot) : amap->am_ref;
}

static void
set_ref(struct vm_amap *amap, int ref)
{
	KASSERT(amap_locked(amap));
	/* relaxed: pairs with amap_refs() */
	__atomic_store_n(&amap->am_ref, ref, __ATOMIC_RELAXED);
}

bool
amap_shared(struct vm_amap *amap)
{
	KASSERT(amap_locked(amap));
	return (amap->am_flags & AMAP_SHARED) != 0;
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

/* --- birth and death --- */

/*
 * => no amap locked; waitok: no map either, sleeps for memory; else NULL when it is short.
 * => unlocked, one reference, on the list; no slot used.
 */
struct vm_amap *
amap_alloc(vsize_t sz, vsize_t padsz, bool waitok)
{
	struct vm_amap *amap;

	KASSERT(sz != 0);
	if (waitok)
		vm_map_assert_none("an amap is waited for");
	if (!waitok && inject(INJECT_amap_alloc))
		return NULL;
	amap = pool_cache_get(amap_cache, waitok ? PR_WAITOK : PR_NOWAIT);
	if (amap == NULL)
		return NULL;
	if (!amap_slots_alloc(amap, atop(round_page(sz + padsz)), waitok)) {
		pool_cache_put(amap_cache, amap);
		return NULL;
	}
	amap->am_id = __atomic_add_fetch(&amap_lastid, 1, __ATOMIC_RELAXED);
	amap->am_nslot = atop(round_page(sz));
	amap->am_flags = 0;
	amap->am_pp = false;
	__atomic_store_n(&amap->am_ref, 1, __ATOMIC_RELAXED);
	mutex_enter(&amap_list_lock);
	TAILQ_INSERT_TAIL(&amap_list, amap, am_list);
	mutex_exit(&amap_list_lock);
	return amap;
}

/*
 * => nobody can reach it: no reference, no slot used, off the list, and the lock that
 *    wipeout held has been dropped (R25; the log's "locked" is wipeout's: C-1).
 */
void
amap_free(struct vm_amap *amap)
{
	KASSERTMSG(!amap_locked(amap), "R25: amap_free with the amap locked");
	KASSERTMSG(amap_refs(amap) == 0, "R25: amap_free with %d references", amap_refs(amap));
	KASSERTMSG(amap->am_nused == 0, "R25: amap_free with %lu slots in use",
	    (unsigned long)amap->am_nused);
	amap_slots_free(amap);
	pool_cache_put(amap_cache, amap);
}

void
amap_slot_wipe(struct vm_amap *amap, uint64_t slot, struct uvm_anon_batch *dead)
{
	struct vm_anon *anon = amap_slot(amap, slot);

	KASSERT(amap_refs(amap) == 0 || (amap_locked(amap) && dead->ab_n < UVM_ANON_BATCH - 1));
	amap_slot_clear(amap, slot);
	mutex_enter(&anon->an_lock);
	uvm_anon_unref_batch(anon, dead);
}

/* => nobody knows the amap; nothing locked */
static void
wipe_all(struct vm_amap *amap)
{
	struct uvm_anon_batch dead = { .ab_n = 0 };
	uint64_t slot = 0;

	while ((slot = amap_slot_next(amap, slot, amap->am_nslot)) < amap->am_nslot)
		amap_slot_wipe(amap, slot, &dead);
	uvm_anfree_batch(&dead);
}

/*
 * => amap locked by the caller, ref 0 (R25); no other lock; gone on return, unless
 *    swapoff is at it, which calls us again.
 */
void
amap_wipeout(struct vm_amap *amap)
{
	KASSERTMSG(amap_locked(amap), "R25: amap_wipeout without the amap's lock");
	KASSERTMSG(amap->am_ref == 0, "R25: amap_wipeout with %d references", amap->am_ref);
	if ((amap->am_flags & AMAP_SWAPOFF) != 0) {
		amap_unlock(amap);
		return;
	}
	mutex_enter(&amap_list_lock);
	TAILQ_REMOVE(&amap_list, amap, am_list);
	mutex_exit(&amap_list_lock);
	amap_unlock(amap);
	/* nobody knows it any more (H-6) */
	wipe_all(amap);
	amap_free(amap);
}


/* --- references --- */

/* => amap locked: an aref of n slots comes or goes: is it by slot that they are counted? */
static bool
by_slot(struct vm_amap *amap, uint64_t slot, uint64_t n)
{
	if (!amap->am_pp && (slot != 0 || n != amap->am_nslot))
		amap_pp_establish(amap);	/* before the count changes: T-34 */
	return amap->am_pp;
}

/* => amap locked; not the last one */
static void
adjust(struct vm_amap *amap, uint64_t slot, int adj)
{
	KASSERT(amap->am_ref + adj > 0);
	set_ref(amap, amap->am_ref + adj);
	kernhist_log(adj > 0 ? KE_amap_ref : KE_amap_unref, amap->am_id, (uint32_t)amap->am_ref, slot);
	if (amap->am_ref == 1)
		amap->am_flags &= ~AMAP_SHARED;
}

void
amap_adjref(struct vm_amap *amap, uint64_t slot, uint64_t n, int adj)
{
	bool counted;

	KASSERT(amap_locked(amap));
	counted = by_slot(amap, slot, n);
	adjust(amap, slot, adj);
	if (counted)
		amap_pp_adjref(amap, slot, n, adj);
}

/*
 * => map(W) of an entry that refers to the amap; amap unlocked; does not sleep.
 * => npages slots from the aref's first, or all of them.
 */
void
amap_ref(struct vm_aref *aref, uint64_t npages, int flags)
{
	struct vm_amap *amap = aref->ar_amap;
	bool all = (flags & AMAP_REFALL) != 0;

	amap_lock(amap);
	amap_adjref(amap, all ? 0 : aref->ar_pageoff, all ? amap->am_nslot : npages, 1);
	if ((flags & AMAP_SHARED) != 0)
		amap->am_flags |= AMAP_SHARED;
	amap_unlock(amap);
}

/*
 * An aref's slots lose its reference, which is still counted itself.  Anons that lose their last one with
 * it are freed with the amap unlocked: who gives a borrowed page back may have to pause for its lender.
 * => amap locked, and locked again
 */
static void
unref_slots(struct vm_amap *amap, uint64_t slot, uint64_t n)
{
	struct uvm_anon_batch dead = { .ab_n = 0 };

	while (n > 0) {
		uint64_t done = amap_pp_unref(amap, slot, n, &dead);

		slot += done;
		n -= done;
		if (dead.ab_n == 0)
			continue;
		amap_unlock(amap);
		uvm_anfree_batch(&dead);
		amap_lock(amap);
	}
}

/*
 * => the aref's map is unlocked, or will not be looked at (fork's child); amap unlocked.
 */
void
amap_unref(struct vm_aref *aref, uint64_t npages, bool all)
{
	struct vm_amap *amap = aref->ar_amap;
	uint64_t slot = all ? 0 : aref->ar_pageoff;

	amap_lock(amap);
	KASSERT(amap->am_ref > 0);
	if (all)
		npages = amap->am_nslot;
	if (amap->am_ref > 1 && by_slot(amap, slot, npages))
		unref_slots(amap, slot, npages);
	if (amap->am_ref > 1) {
		adjust(amap, slot, -1);
		amap_unlock(amap);
		return;
	}
	set_ref(amap, 0);
	kernhist_log(KE_amap_unref, amap->am_id, 0, slot);
	amap_wipeout(amap);			/* unlocks */
}

/*
 * => map(W), amap unlocked; orig keeps the slots below off (bytes), split gets the rest.
 * => two arefs that do not overlap where there was one: no slot gains a reference, and
 *    no process (SHARED stays as it is).
 */
void
amap_splitref(struct vm_aref *orig, struct vm_aref *split, vaddr_t off)
{
	struct vm_amap *amap = orig->ar_amap;

	KASSERT(off != 0 && (off & PAGE_MASK) == 0);
	amap_lock(amap);
	KASSERT(orig->ar_pageoff + atop(off) < amap->am_nslot);
	if (!amap->am_pp && !BUG(ppref_late))
		amap_pp_establish(amap);	/* before the extra reference is counted: T-34 */
	set_ref(amap, amap->am_ref + 1);
	if (!amap->am_pp && BUG(ppref_late))
		amap_pp_establish(amap);
	kernhist_log(KE_amap_ref, amap->am_id, (uint32_t)amap->am_ref, orig->ar_pageoff + atop(off));
	split->ar_amap = amap;
	split->ar_pageoff = orig->ar_pageoff + atop(off);
	amap_unlock(amap);
}

/* --- by offset --- */

/*
 * => amap locked.
 */
struct vm_anon *
amap_lookup(struct vm_aref *aref, vaddr_t off)
{
	KASSERT(amap_locked(aref->ar_amap));
	return amap_slot(aref->ar_amap, aref->ar_pageoff + atop(off));
}

/*
 * => amap locked; n neighbouring ones, at most 64; bit i: anons[i] is set, else it is left alone
 */
uint64_t
amap_lookups(struct vm_aref *aref, vaddr_t off, struct vm_anon **anons, int n)
{
	const struct vm_amap *amap = aref->ar_amap;
	const uint64_t slot = aref->ar_pageoff + atop(off);
	uint64_t set = 0;

	KASSERT(amap_locked(aref->ar_amap));
	KASSERT(n <= 64 && slot + (uint64_t)n <= amap->am_nslot);
	for (int i = 0; i < n; ) {		/* chunk by chunk */
		unsigned at;
		struct vm_anon *const *from = amap_chunk_of(amap, slot + (uint64_t)i, &at)->ac_anon + at;
		const int left = (int)(AMAP_CHUNK_SLOTS - at), end = n - i < left ? n : i + left;

		for (; i < end; i++, from++) {
			if (*from == NULL)
				continue;
			anons[i] = *from;
			set |= UINT64_C(1) << i;
		}
	}
	return set;
}

/*
 * => amap and anon locked, the slot empty; or replace: the slot used, its anon locked
 *    too (and the owner of its page, if borrowed), its page not wired where the amap is
 *    SHARED.  Returns the anon that was there; its reference is the caller's.
 */
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
	/* I-AMAP-9, T-39: sharers must not stay on the old page */
	if (amap_shared(amap) && old->an_page != NULL && !BUG(shared_replace_no_protect))
		uvm_page_protect(old->an_page, VM_PROT_NONE);
	amap_slot_replace(amap, slot, anon);
	return old;
}

/*
 * => amap locked, the slot used.
 */
void
amap_unadd(struct vm_aref *aref, vaddr_t off)
{
	KASSERT(amap_locked(aref->ar_amap));
	amap_slot_clear(aref->ar_amap, aref->ar_pageoff + atop(off));
}

/* --- pages of an entry --- */

/*
 * => map locked, amap locked (R25): lowers the protection of the entry's resident pages
 *    in all address spaces; complete on return.
 * => wired pages are left as they are: they are not for copy-on-write (R10, R13).
 *    amap_has_wired() says whether there are any.
 */
void
amap_share_protect(struct vm_map_entry *entry, vm_prot_t prot)
{
	struct vm_amap *amap = entry->aref.ar_amap;
	uint64_t slot = entry->aref.ar_pageoff, end = slot + atop(entry->end - entry->start);

	KASSERTMSG(amap_locked(amap), "R25: amap_share_protect without the amap's lock");
	for (; (slot = amap_slot_next(amap, slot, end)) < end; slot++) {
		struct vm_anon *anon = amap_slot(amap, slot);
		struct vm_page *pg;

		mutex_enter(&anon->an_lock);
		pg = anon->an_page;
		/* on loan: read-only for everybody already (R15) */
		if (pg != NULL && !uvm_page_loaned(pg) && !uvm_page_wired(pg))
			uvm_page_protect(pg, prot);
		mutex_exit(&anon->an_lock);
	}
}

/*
 * => amap locked.  What is wired cannot be shared copy-on-write (B-23).
 */
bool
amap_has_wired(struct vm_aref *aref, uint64_t npages)
{
	struct vm_amap *amap = aref->ar_amap;
	uint64_t slot = aref->ar_pageoff, end = slot + npages;
	bool wired = false;

	KASSERT(amap_locked(amap));
	/* relaxed: pairs with the changes under pageq; a page that was wired before us counts */
	if (__atomic_load_n(&uvm.wired, __ATOMIC_RELAXED) == 0)
		return false;
	for (; !wired && (slot = amap_slot_next(amap, slot, end)) < end; slot++) {
		struct vm_anon *anon = amap_slot(amap, slot);

		mutex_enter(&anon->an_lock);
		if (anon->an_page != NULL)
			wired = uvm_page_wired(anon->an_page);
		mutex_exit(&anon->an_lock);
	}
	return wired;
}
