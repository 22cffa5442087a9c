/*
 * Anons (uvm-spec 3).
 *
 *	fresh --pagealloc--> resident --an_ref 0--> freed
 *					  \--page BUSY--> dying --holder--> freed
 *
 * An anon that dies while its page is busy leaves the page RELEASED and itself to
 * the busy holder, who finds an_ref 0 and calls uvm_anon_release().
 *
 * The memory of anons is type-stable while cached: the lock is constructed once.
 * That alone does not make a pointer kept over a sleep good; sleepers look the
 * anon up anew before they touch it (H-2).
 *
 * A slot in swap is dropped together with the anon, or by who makes its page dirty: the
 * page first, then the slot (R34).
 */
#include <string.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_swap.h>

#define	LOANPG_PAUSE_NS	100000

static pool_cache_t anon_cache;		/* : */
static uint32_t anon_lastid;		/* @ births, relaxed: only uniqueness counts */

static int
anon_ctor(void *arg, void *obj, int flags)
{
	struct vm_anon *anon = obj;

	memset(anon, 0, sizeof(*anon));
	mutex_init(&anon->an_lock, MUTEX_DEFAULT, IPL_NONE, LC_anon);
	anon->an_id = __atomic_add_fetch(&anon_lastid, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
anon_dtor(void *arg, void *obj)
{
	mutex_destroy(&((struct vm_anon *)obj)->an_lock);
}

void
uvm_anon_init(void)
{
	anon_lastid = 0;
	anon_cache = pool_cache_create(sizeof(struct vm_anon), 16, "uvmanon", &pool_allocator_kmem,
	    IPL_NONE, anon_ctor, anon_dtor, NULL);
}

void
uvm_anon_fini(void)
{
	if (uvm_anon_count() != 0)
		violation(VIOL_LEAK, "anon-leak", "%lu anons did not come back",
		    (unsigned long)uvm_anon_count());
	else
		pool_cache_destroy(anon_cache);
}

uint64_t
uvm_anon_count(void)
{
	return pool_cache_nout(anon_cache);
}

/*
 * => kernel_map not locked: an allocation might need it (H-5).
 * => a fresh anon, locked, one reference; NULL when memory is short.
 */
struct vm_anon *
uvm_analloc(void)
{
	struct vm_anon *anon;

	KASSERT(kernel_map == NULL || vm_map_notlocked(kernel_map));
	anon = inject(INJECT_anon_alloc) ? NULL : pool_cache_get(anon_cache, PR_NOWAIT);
	if (anon == NULL)
		return NULL;
	mutex_enter_nested(&anon->an_lock, NULL);	/* nobody else knows it */
	KASSERTMSG(anon->an_ref == 0 && anon->an_page == NULL && anon->an_swslot == 0,
	    "I-POOL-6: anon %u is not as it was constructed", anon->an_id);
	anon->an_ref = 1;
	kernhist_log(KE_anon_alloc, anon->an_id, 0, 0);
	return anon;
}

/* => anon locked, ref 0, no page: back to the cache; gone on return */
static void
anon_put(struct vm_anon *anon)
{
	KASSERT(anon->an_ref == 0 && anon->an_page == NULL && anon->an_swslot == 0);
	kernhist_log(KE_anon_free, anon->an_id, 0, 0);
	mutex_exit(&anon->an_lock);
	pool_cache_put(anon_cache, anon);
}

/* => anon locked, the page its own and not somebody else's busy one */
static void
free_page(struct vm_page *pg)
{
	uvm_page_protect(pg, VM_PROT_NONE);
	uvm_lock_pageq();
	uvm_pagefree(pg);
	uvm_unlock_pageq();
}

/*
 * => anon locked; it is dying, and so are its data; only its own page is resident
 */
static void
free_slot(struct vm_anon *anon, bool resident)
{
	int slot = anon->an_swslot;

	KASSERT(anon->an_ref == 0);
	if (slot == 0)
		return;
	if (slot > 0 && !resident)
		uvm_swap_pgonly(-1);
	anon->an_swslot = 0;
	kernhist_log(KE_anon_slot, anon->an_id, 0, 0);
	uvm_swap_free(slot, 1);
}

/* => anon and the page's object locked: the page stays the object's (B-5) */
static void
return_borrowed(struct vm_anon *anon, struct vm_page *pg)
{
	uvm_lock_pageq();
	KASSERT(uvm_page_borrowed(pg));
	uvm_page_setloans(pg, pg->loan_count - 1);
	pg->uanon = NULL;
	uvm_unlock_pageq();
	anon->an_page = NULL;
	UVMCNT(loan_returned);
	mutex_exit(&pg->uobject->vmobjlock);
}

/*
 * => unlocked, ref 0 (R25): only the caller knows it, and whoever has its page busy.
 * => freed; or dying, if its page is busy.
 */
void
uvm_anfree(struct vm_anon *anon)
{
	struct vm_page *pg;

	KASSERTMSG(!mutex_owned(&anon->an_lock), "R25: uvm_anfree of a locked anon");
	/* With another anon held: who has this lock while ref is 0 waits for no anon. */
	mutex_enter_nested(&anon->an_lock, NULL);
	KASSERTMSG(anon->an_ref == 0, "R25: uvm_anfree of an anon with %d references", anon->an_ref);
	pg = uvm_anon_lockloanpg(anon);
	if (pg != NULL && pg->uobject != NULL)
		return_borrowed(anon, pg);
	else if (pg != NULL && (pg->flags & PG_BUSY) != 0) {
		pg->flags |= PG_RELEASED;		/* its holder finishes for us */
		mutex_exit(&anon->an_lock);
		return;
	} else if (pg != NULL)
		free_page(pg);
	KASSERT(anon->an_page == NULL);
	free_slot(anon, pg != NULL);
	anon_put(anon);
}

/* => anon locked; a reference goes, the anon is unlocked: was it the last one? */
static bool
drop_ref(struct vm_anon *anon)
{
	bool last;

	KASSERTMSG(anon->an_ref > 0, "I-AMAP-3: anon %u has %d references, and loses one", anon->an_id, anon->an_ref);
	last = --anon->an_ref == 0;
	KASSERTMSG(mutex_owned(&anon->an_lock), "I-AMAP-3, R25: a reference to anon %u goes, and it is not locked",
	    anon->an_id);
	kernhist_log(KE_anon_unref, anon->an_id, (uint32_t)anon->an_ref, 0);
	mutex_exit(&anon->an_lock);
	return last;
}

void
uvm_anon_unref(struct vm_anon *anon)
{
	if (drop_ref(anon))
		uvm_anfree(anon);
}

/* --- many at once --- */

/* => anon locked: its page is its own, and nobody is at it */
static bool
quiet(const struct vm_anon *anon)
{
	const struct vm_page *pg = anon->an_page;

	return pg != NULL && !uvm_page_loaned(pg) && (pg->flags & PG_BUSY) == 0;
}

/* => anons locked, ref 0, quiet, their pages without mappings: gone on return */
static void
free_quiet(struct vm_anon **anons, int n)
{
	/* once they are off their queue the daemon has no way to them: the rest goes without the lock that all CPUs want */
	uvm_lock_pageq();
	for (int i = 0; i < n; i++)
		uvm_pagedequeue(anons[i]->an_page);
	uvm_unlock_pageq();
	while (n-- > 0) {
		uvm_pagefree(anons[n]->an_page);
		free_slot(anons[n], true);
		anon_put(anons[n]);
	}
}

void
uvm_anfree_batch(struct uvm_anon_batch *ab)
{
	struct vm_anon *kept[UVM_ANON_BATCH];
	int n = 0, others = 0;

	for (int i = 0; i < ab->ab_n; i++) {
		struct vm_anon *anon = ab->ab_anons[i];

		/* With other anons held: as in uvm_anfree(). */
		mutex_enter_nested(&anon->an_lock, NULL);
		KASSERTMSG(anon->an_ref == 0, "R25: uvm_anfree_batch of an anon with %d references", anon->an_ref);
		if (quiet(anon)) {
			uvm_page_protect(anon->an_page, VM_PROT_NONE);
			kept[n++] = anon;
		} else {
			mutex_exit(&anon->an_lock);
			ab->ab_anons[others++] = anon;
		}
	}
	if (n > 0)
		free_quiet(kept, n);
	/* these may have to pause, so nothing of ours is locked any more */
	for (int i = 0; i < others; i++)
		uvm_anfree(ab->ab_anons[i]);
	ab->ab_n = 0;
}

void
uvm_anon_unref_batch(struct vm_anon *anon, struct uvm_anon_batch *ab)
{
	if (drop_ref(anon)) {
		KASSERTMSG(ab->ab_n < UVM_ANON_BATCH, "a batch of %d anons is full, and was not freed", ab->ab_n);
		ab->ab_anons[ab->ab_n++] = anon;
	}
	if (ab->ab_n == UVM_ANON_BATCH)
		uvm_anfree_batch(ab);
}

/*
 * => anon locked, ref 0; its page BUSY by the caller, and RELEASED; pageq not held.
 */
void
uvm_anon_release(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	KASSERT(mutex_owned(&anon->an_lock));
	KASSERT(!mutex_owned(&uvm_pageqlock));
	KASSERT(anon->an_ref == 0);
	KASSERT(pg != NULL && (pg->flags & (PG_BUSY | PG_RELEASED)) == (PG_BUSY | PG_RELEASED));
	KASSERT(pg->uobject == NULL && !uvm_page_loaned(pg));
	free_page(pg);
	KASSERT(anon->an_page == NULL);
	free_slot(anon, true);
	anon_put(anon);
}

/*
 * => anon locked, its page resident, and dirty.
 */
void
uvm_anon_dropswap(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;
	int slot = anon->an_swslot;

	KASSERT(mutex_owned(&anon->an_lock));
	if (slot == 0)
		return;
	KASSERTMSG(pg != NULL, "I-ANON-6: the only copy is to go");
	KASSERTMSG(pg->uobject != NULL || (pg->flags & PG_CLEAN) == 0,
	    "R34: the slot of a clean page is dropped");
	anon->an_swslot = 0;
	kernhist_log(KE_anon_slot, anon->an_id, 0, 0);
	uvm_swap_free(slot, 1);
}

/* => anon locked, its page resident and not busy, the lender's object too: dirty, without slot */
static void
leave_swap(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	if (pg->uobject == NULL)
		pg->flags &= ~PG_CLEAN;			/* R34: first */
	uvm_anon_dropswap(anon);
	if (pg->uobject != NULL) {
		mutex_exit(&pg->uobject->vmobjlock);
		return;
	}
	uvm_lock_pageq();
	if (pg->wire_count == 0 && pg->loan_count == 0) {
		pmap_clear_reference(pg);		/* R20 */
		uvm_pagedeactivate(pg);
	}
	uvm_unlock_pageq();
}

/*
 * => anon locked (R25), and nothing above it; unlocked on return.
 */
bool
uvm_anon_pagein(struct vm_anon *anon)
{
	int error;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvm_anon_pagein without the anon's lock");
	KASSERT(anon->an_ref > 0);
	if (!BUG(swapoff_frees_waiter))
		anon->an_ref++;				/* B-13 */
	kernhist_log(KE_anon_ref, anon->an_id, (uint32_t)anon->an_ref, 0);
	while ((error = uvmfault_anonget(NULL, NULL, anon)) == ERESTART)
		mutex_enter(&anon->an_lock);
	if (error == 0)
		leave_swap(anon);
	else
		mutex_enter(&anon->an_lock);
	if (BUG(swapoff_frees_waiter))
		mutex_exit(&anon->an_lock);
	else
		uvm_anon_unref(anon);
	return error == ENOMEM;
}

/*
 * One try to lock the object that lent the anon its page.  The order is object
 * before anon, and we have the anon: so the object only by trylock, with the queues
 * locked meanwhile so that the page keeps its owner.  A page whose object is gone
 * becomes ours.
 * => anon locked; pageq not held; false: somebody has the object
 */
static bool
trylock_lender(struct vm_anon *anon, struct vm_page *pg)
{
	bool locked = true;

	uvm_lock_pageq();
	KASSERTMSG(pg->uanon == anon, "I-LOAN-7: the page is not lent to the anon that has it");
	if (pg->uobject != NULL)
		locked = mutex_tryenter(&pg->uobject->vmobjlock);
	else
		uvm_page_adopt(pg);
	uvm_unlock_pageq();
	return locked;
}

/*
 * => anon locked (R25).  The page is not on loan: at once.  Else no other lock may be
 *    held, for it may give up the anon's lock and pause.
 * => the page, or NULL; the object that owns it, if any, locked too.
 */
struct vm_page *
uvm_anon_lockloanpg(struct vm_anon *anon)
{
	struct vm_page *pg;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvm_anon_lockloanpg without the anon's lock");
	while ((pg = anon->an_page) != NULL && uvm_page_loaned(pg)) {
		if (trylock_lender(anon, pg))
			break;
		mutex_exit(&anon->an_lock);	/* H-4: let the other side run */
		uvmfault_pause("loanpg", LOANPG_PAUSE_NS);	/* a vnode may be locked */
		mutex_enter(&anon->an_lock);
	}
	return pg;
}

/*
 * => anon locked (R25), and what the caller likes above it: never pauses.
 * => false: the object is locked by somebody else; unlock everything and come again.
 */
bool
uvm_anon_trylockloanpg(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvm_anon_trylockloanpg without the anon's lock");
	return pg == NULL || !uvm_page_loaned(pg) || trylock_lender(anon, pg);
}
