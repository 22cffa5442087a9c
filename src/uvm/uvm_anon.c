/*
 * Anons (uvm-spec 3).
 *
 * An anon that dies while its page is busy leaves the page RELEASED and itself to
 * the busy holder, who finds an_ref 0 and calls uvm_anon_release().
 *
 * The memory of anons is type-stable while cached: the lock is constructed once.
 * That alone does not make a pointer kept over a sleep good; sleepers look the
 * anon up anew before they touch it (H-2).
 */
#include <string.h>

#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>

static pool_cache_t anon_cache;

static int
anon_ctor(void *arg, void *obj, int flags)
{
	struct vm_anon *anon = obj;

	memset(anon, 0, sizeof(*anon));
	mutex_init(&anon->an_lock, MUTEX_DEFAULT, IPL_NONE, LC_anon);
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
	anon_cache = pool_cache_create(sizeof(struct vm_anon), 16, "uvmanon", &pool_allocator_kmem,
	    IPL_NONE, anon_ctor, anon_dtor, NULL);
}

void
uvm_anon_fini(void)
{
	if (uvm_anon_count() != 0)
		violation(VIOL_LEAK, "anon-leak", "%lu anons did not come back",
		    (unsigned long)uvm_anon_count());
	pool_cache_destroy(anon_cache);
}

uint64_t
uvm_anon_count(void)
{
	return pool_cache_nout(anon_cache);
}

struct vm_anon *
uvm_analloc(void)
{
	struct vm_anon *anon = pool_cache_get(anon_cache, PR_NOWAIT);

	if (anon == NULL)
		return NULL;
	/* I-POOL-6: as it was constructed */
	KASSERT(anon->an_ref == 0 && anon->an_page == NULL && anon->an_swslot == 0);
	mutex_enter(&anon->an_lock);
	anon->an_ref = 1;
	return anon;
}

/* => anon locked, ref 0, no page: back to the cache; gone on return */
static void
anon_put(struct vm_anon *anon)
{
	KASSERT(anon->an_ref == 0 && anon->an_page == NULL && anon->an_swslot == 0);
	mutex_exit(&anon->an_lock);
	pool_cache_put(anon_cache, anon);
}

/* => anon locked, its page not busy: unmap and free it */
static void
free_page(struct vm_page *pg)
{
	pmap_page_protect(pg, VM_PROT_NONE);
	uvm_lock_pageq();
	uvm_pagefree(pg);
	uvm_unlock_pageq();
}

void
uvm_anfree(struct vm_anon *anon)
{
	struct vm_page *pg;
	struct uvm_object *uobj = NULL;

	KASSERTMSG(!mutex_owned(&anon->an_lock), "R25: uvm_anfree of a locked anon");
	mutex_enter(&anon->an_lock);
	KASSERTMSG(anon->an_ref == 0, "R25: uvm_anfree of an anon with %d references", anon->an_ref);
	pg = anon->an_page;
	if (pg != NULL && pg->loan_count != 0) {
		pg = uvm_anon_lockloanpg(anon);
		uobj = pg != NULL ? pg->uobject : NULL;
	}
	if (pg != NULL && uobj != NULL) {	/* borrowed: the object keeps it (B-5) */
		uvm_lock_pageq();
		KASSERT(pg->loan_count > 0);
		pg->loan_count--;
		pg->uanon = NULL;
		uvm_unlock_pageq();
		anon->an_page = NULL;
		mutex_exit(&uobj->vmobjlock);
	} else if (pg != NULL) {
		if ((pg->flags & PG_BUSY) != 0) {	/* its holder finishes for us */
			pg->flags |= PG_RELEASED;
			mutex_exit(&anon->an_lock);
			return;
		}
		free_page(pg);
	}
	anon_put(anon);
}

void
uvm_anon_release(struct vm_anon *anon)
{
	struct vm_page *pg = anon->an_page;

	KASSERT(mutex_owned(&anon->an_lock));
	KASSERT(!mutex_owned(&uvm_pageqlock));
	KASSERT(anon->an_ref == 0);
	KASSERT(pg != NULL && (pg->flags & (PG_BUSY | PG_RELEASED)) == (PG_BUSY | PG_RELEASED));
	KASSERT(pg->uobject == NULL);
	free_page(pg);
	anon_put(anon);
}

/*
 * The order is object before anon, and we have the anon: so the object only by
 * trylock, with the queues locked meanwhile so that the page keeps its owner.
 */
struct vm_page *
uvm_anon_lockloanpg(struct vm_anon *anon)
{
	struct vm_page *pg;

	KASSERTMSG(mutex_owned(&anon->an_lock), "R25: uvm_anon_lockloanpg without the anon's lock");
	while ((pg = anon->an_page) != NULL && pg->loan_count != 0) {
		bool locked = true;

		uvm_lock_pageq();
		if (pg->uobject != NULL) {
			locked = mutex_tryenter(&pg->uobject->vmobjlock);
		} else if (pg->uanon == anon && (pg->pqflags & PQ_ANON) == 0) {
			/* Its object is gone: it is ours now. */
			KASSERT(pg->loan_count > 0);
			pg->loan_count--;
			pg->pqflags |= PQ_ANON;
			__atomic_fetch_add(&uvm.anonpages, 1, __ATOMIC_RELAXED);
		}
		uvm_unlock_pageq();
		if (locked)
			break;
		mutex_exit(&anon->an_lock);	/* H-4: let the other side run */
		kpause("loanpg", 100000);
		mutex_enter(&anon->an_lock);
	}
	return anon->an_page;
}
