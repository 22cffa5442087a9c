/*
 * Slots in swap of anonymous objects (uvm-spec 4.8).
 *
 * A small object has an array with a slot for each page.  A large one, of which few
 * pages may ever be in swap, has a hash of elements for 16 neighbouring pages, made
 * when the first of them gets a slot and freed with the last.
 *
 * Places are page numbers everywhere in here, never bytes (B-17).
 */
#include <errno.h>
#include <string.h>
#include <sys/bug.h>
#include <sys/kernel.h>
#include <sys/kmem.h>
#include <sys/pool.h>
#include <uvm/uvm_aobj_i.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_swap.h>

#define	TRYLOCK_PAUSE_NS	100000

static struct pool *uao_swhash_pool;		/* : */

void
uao_swap_init(void)
{
	uao_swhash_pool = pool_create(sizeof(struct uao_swhash_elt), 0, "uaoeltpl",
	    &pool_allocator_kmem, IPL_NONE);
}

void
uao_swap_fini(void)
{
	pool_destroy(uao_swhash_pool);
}

void
uao_swap_create(struct uvm_aobj *aobj)
{
	uint64_t pages = atop(aobj->u_size), n = 1;

	aobj->u_swslots = NULL;
	aobj->u_swhash = NULL;
	aobj->u_swnbucket = 0;
	if (pages == 0)
		return;
	if (pages <= UAO_SWHASH_THRESHOLD) {
		aobj->u_swslots = kmem_zalloc(pages * sizeof(int), KM_SLEEP);
		return;
	}
	while (n < pages / UAO_SWHASH_SLOTS && n < UAO_SWHASH_MAXBUCKETS)
		n *= 2;
	aobj->u_swhash = kmem_zalloc(n * sizeof(*aobj->u_swhash), KM_SLEEP);
	aobj->u_swnbucket = n;
	for (uint64_t i = 0; i < n; i++)
		LIST_INIT(&aobj->u_swhash[i]);
}

void
uao_swap_destroy(struct uvm_aobj *aobj)
{
	if (aobj->u_swslots != NULL)
		kmem_free(aobj->u_swslots, atop(aobj->u_size) * sizeof(int));
	for (uint64_t i = 0; i < aobj->u_swnbucket; i++)
		KASSERTMSG(LIST_EMPTY(&aobj->u_swhash[i]), "I-SWP-4: an object goes, its slots do not");
	if (aobj->u_swhash != NULL)
		kmem_free(aobj->u_swhash, aobj->u_swnbucket * sizeof(*aobj->u_swhash));
}

/* --- one page's slot; object locked --- */

static struct uao_swhash *
bucket_of(struct uvm_aobj *aobj, uint64_t tag)
{
	return &aobj->u_swhash[tag & (aobj->u_swnbucket - 1)];
}

static struct uao_swhash_elt *
find_elt(struct uvm_aobj *aobj, uint64_t tag)
{
	struct uao_swhash_elt *elt;

	LIST_FOREACH(elt, bucket_of(aobj, tag), list)
		if (elt->tag == tag)
			return elt;
	return NULL;
}

static struct uao_swhash_elt *
make_elt(struct uvm_aobj *aobj, uint64_t tag)
{
	struct uao_swhash_elt *elt = pool_get(uao_swhash_pool, PR_NOWAIT | PR_ZERO);

	if (elt == NULL)
		return NULL;
	elt->tag = tag;
	LIST_INSERT_HEAD(bucket_of(aobj, tag), elt, list);
	return elt;
}

int
uao_find_swslot(struct uvm_object *uobj, uint64_t page)
{
	struct uvm_aobj *aobj = (struct uvm_aobj *)uobj;
	struct uao_swhash_elt *elt;

	KASSERT(UVM_OBJ_IS_AOBJ(uobj));
	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERTMSG(page < atop(aobj->u_size), "I-OBJ-6: page %lu of %lu", (unsigned long)page,
	    (unsigned long)atop(aobj->u_size));
	if (aobj->u_swslots != NULL)
		return aobj->u_swslots[page];
	elt = find_elt(aobj, page / UAO_SWHASH_SLOTS);
	return elt != NULL ? elt->slots[page % UAO_SWHASH_SLOTS] : 0;
}

/* => slots of it that are not 0 */
static int
count_slots(const struct uao_swhash_elt *elt)
{
	int n = 0;

	for (int i = 0; i < UAO_SWHASH_SLOTS; i++)
		n += elt->slots[i] != 0;
	return n;
}

int
uao_set_swslot(struct uvm_object *uobj, uint64_t page, int slot)
{
	struct uvm_aobj *aobj = (struct uvm_aobj *)uobj;
	struct uao_swhash_elt *elt;
	int *where, old;

	KASSERT(UVM_OBJ_IS_AOBJ(uobj));
	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERTMSG(page < atop(aobj->u_size), "I-OBJ-6: page %lu of %lu", (unsigned long)page,
	    (unsigned long)atop(aobj->u_size));
	if (aobj->u_swslots != NULL) {
		old = aobj->u_swslots[page];
		aobj->u_swslots[page] = slot;
		return old;
	}
	elt = find_elt(aobj, page / UAO_SWHASH_SLOTS);
	if (elt == NULL) {
		if (slot == 0)
			return 0;
		elt = make_elt(aobj, page / UAO_SWHASH_SLOTS);
		if (elt == NULL)
			return -1;
	}
	where = &elt->slots[page % UAO_SWHASH_SLOTS];
	old = *where;
	*where = slot;
	elt->count += (slot != 0) - (old != 0);
	KASSERTMSG(elt->count == count_slots(elt), "pages %lu to %lu of object %u have %d slots in swap, not %d",
	    (unsigned long)(elt->tag * UAO_SWHASH_SLOTS), (unsigned long)((elt->tag + 1) * UAO_SWHASH_SLOTS - 1),
	    uobj->uo_id, count_slots(elt), elt->count);
	if (elt->count == 0) {
		LIST_REMOVE(elt, list);
		pool_put(uao_swhash_pool, elt);
	}
	return old;
}

/*
 * => object locked; the page, if there is a slot, is resident and dirty.
 */
void
uao_dropswap(struct uvm_object *uobj, uint64_t page)
{
	struct vm_page *pg;
	int slot = uao_find_swslot(uobj, page);

	if (slot == 0)
		return;
	pg = uvm_pagelookup(uobj, (voff_t)ptoa(page));
	KASSERTMSG(pg != NULL || slot == SWSLOT_BAD, "I-OBJ-5: the only copy is to go");
	KASSERTMSG(pg == NULL || (pg->flags & PG_CLEAN) == 0, "R34: the slot of a clean page is dropped");
	(void)uao_set_swslot(uobj, page, 0);
	uvm_swap_free(slot, 1);
}

/* => object locked: the first page from page on, below stop, that has a slot, or stop */
static uint64_t
next_swslot(struct uvm_aobj *aobj, uint64_t page, uint64_t stop)
{
	while (page < stop) {
		if (aobj->u_swslots == NULL && find_elt(aobj, page / UAO_SWHASH_SLOTS) == NULL) {
			page = (page / UAO_SWHASH_SLOTS + 1) * UAO_SWHASH_SLOTS;
			continue;
		}
		if (uao_find_swslot(&aobj->u_obj, page) != 0)
			return page;
		page++;
	}
	return stop;
}

void
uao_drop_range(struct uvm_aobj *aobj, uint64_t start, uint64_t stop)
{
	struct uvm_object *uobj = &aobj->u_obj;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(stop <= atop(aobj->u_size));
	for (uint64_t page = start; (page = next_swslot(aobj, page, stop)) < stop; page++) {
		int slot;

		if (uvm_pagelookup(uobj, (voff_t)ptoa(page)) != NULL)
			continue;
		slot = uao_set_swslot(uobj, page, 0);
		if (slot > 0)
			uvm_swap_pgonly(-1);
		uvm_swap_free(slot, 1);
	}
}

/* --- swapoff --- */

/*
 * => object locked, unlocked on return; referenced by us.
 * => the page has no slot in swap any more, or its data are lost; true: memory is short
 */
static bool
pagein_page(struct uvm_aobj *aobj, uint64_t page)
{
	struct uvm_object *uobj = &aobj->u_obj;
	struct vm_page *pg = NULL;
	int n = 1, error;

	while ((error = uao_get(uobj, (voff_t)ptoa(page), &pg, &n, 0, VM_PROT_READ, UVM_ADV_RANDOM,
	    PGO_SYNCIO)) == EAGAIN) {
		uvmfault_pause("uaooff", TRYLOCK_PAUSE_NS);	/* R18 */
		mutex_enter(&uobj->vmobjlock);
	}
	if (error != 0)
		return error == ENOMEM;
	mutex_enter(&uobj->vmobjlock);
	KASSERT((pg->flags & PG_BUSY) != 0);
	if ((pg->flags & PG_RELEASED) == 0) {
		pg->flags &= ~PG_CLEAN;			/* R34: first */
		uao_dropswap(uobj, page);
	}
	uvm_lock_pageq();
	if ((pg->flags & PG_RELEASED) == 0 && pg->wire_count == 0 && pg->loan_count == 0) {
		pmap_clear_reference(pg);		/* R20 */
		uvm_pagedeactivate(pg);
	}
	uvm_page_unbusy(&pg, 1);
	uvm_unlock_pageq();
	mutex_exit(&uobj->vmobjlock);
	return false;
}

/*
 * => object locked, unlocked on return; referenced by us.  true: memory is short
 */
static bool
swap_off_one(struct uvm_aobj *aobj, int startslot, int endslot)
{
	uint64_t stop = atop(aobj->u_size), page = 0;
	int slot;

	while ((page = next_swslot(aobj, page, stop)) < stop) {
		slot = uao_find_swslot(&aobj->u_obj, page);
		if (slot >= startslot && slot < endslot) {
			if (pagein_page(aobj, page))
				return true;
			mutex_enter(&aobj->u_obj.vmobjlock);
		}
		page++;
	}
	mutex_exit(&aobj->u_obj.vmobjlock);
	return false;
}

/*
 * A marker keeps our place in the list.  The object after it is locked by trylock only
 * (the list's lock is below it), and what is on the list and locked has a reference.
 * Ours goes when the list is not locked, for it may be the last (B-3).
 * => no VM lock held; sleeps
 */
bool
uao_swap_off(int startslot, int endslot)
{
	struct uvm_aobj marker = { .u_marker = true }, *aobj;
	bool nomem = false;

	mutex_enter(&uao_list_lock);
	TAILQ_INSERT_HEAD(&uao_list, &marker, u_list);
	while (!nomem && (aobj = TAILQ_NEXT(&marker, u_list)) != NULL) {
		KASSERT(!aobj->u_marker);		/* one swapoff at a time */
		if (!mutex_tryenter(&aobj->u_obj.vmobjlock)) {
			UVMCNT(swapoff_trylock);
			/* H-4: nothing but the caller's swap_syscall_lock is held */
			(void)mtsleep(&marker, true, "uaooff", TRYLOCK_PAUSE_NS, &uao_list_lock);
			mutex_enter(&uao_list_lock);
			continue;
		}
		TAILQ_REMOVE(&uao_list, &marker, u_list);
		TAILQ_INSERT_AFTER(&uao_list, aobj, &marker, u_list);
		mutex_exit(&uao_list_lock);
		KASSERTMSG(aobj->u_obj.uo_refs > 0, "I-OBJ-4: object %u is on the list of all, and nobody refers to it",
		    aobj->u_obj.uo_id);
		aobj->u_obj.uo_refs++;
		nomem = swap_off_one(aobj, startslot, endslot);
		if (!BUG(aobj_swapoff_self))
			uao_detach(&aobj->u_obj);
		mutex_enter(&uao_list_lock);
		if (BUG(aobj_swapoff_self))
			uao_detach(&aobj->u_obj);
	}
	TAILQ_REMOVE(&uao_list, &marker, u_list);
	mutex_exit(&uao_list_lock);
	return nomem;
}
