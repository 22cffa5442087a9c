/*
 * uvm_object: pages by offset.
 *
 * An object keeps its pages twice: in a list (memq) for walks that take them
 * all, and in a tree by offset for look-ups.  Both change together under
 * vmobjlock (I-OBJ-1).
 *
 * A scan that drops the lock on the way (waiting for a busy page, starting a
 * write) resumes by offset: uvm_pagenext() finds the first page at or after
 * the place where it stopped, whatever came or went meanwhile.  So the scans
 * here need no marker pages in memq; PG_MARKER is kept for walkers that do.
 */
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>

static uint32_t uvm_obj_lastid;		/* @ births, relaxed: only uniqueness counts */

static int
uvm_page_cmp(const struct vm_page *a, const struct vm_page *b)
{
	return (a->offset > b->offset) - (a->offset < b->offset);
}

RB_GENERATE_INTERNAL(uvm_pagetree, vm_page, rb_node, uvm_page_cmp, __attribute__((__unused__)) static)

void
uvm_obj_boot(void)
{
	uvm_obj_lastid = 0;
}

/*
 * => nobody else knows the object yet.
 */
void
uvm_obj_init(struct uvm_object *uobj, const struct uvm_pagerops *ops, int refs)
{
	mutex_init(&uobj->vmobjlock, MUTEX_DEFAULT, IPL_NONE, LC_uobj);
	uobj->pgops = ops;
	TAILQ_INIT(&uobj->memq);
	RB_INIT(&uobj->rb_tree);
	uobj->uo_npages = 0;
	uobj->uo_refs = refs;
	uobj->uo_id = __atomic_add_fetch(&uvm_obj_lastid, 1, __ATOMIC_RELAXED);
}

/*
 * => nobody else knows the object any more; it has no pages (I-OBJ-4).
 */
void
uvm_obj_destroy(struct uvm_object *uobj)
{
	KASSERTMSG(uobj->uo_npages == 0, "object %u has %d pages", uobj->uo_id, uobj->uo_npages);
	KASSERT(TAILQ_EMPTY(&uobj->memq));
	KASSERT(RB_EMPTY(&uobj->rb_tree));
	mutex_destroy(&uobj->vmobjlock);
}

/*
 * => uobj locked.
 */
struct vm_page *
uvm_pagelookup(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = RB_ROOT(&uobj->rb_tree);

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(((uint64_t)off & PAGE_MASK) == 0);
	while (pg != NULL && pg->offset != off)
		pg = off < pg->offset ? RB_LEFT(pg, rb_node) : RB_RIGHT(pg, rb_node);
	KASSERT(pg == NULL || (pg->uobject == uobj && (pg->flags & PG_TABLED) != 0));
	return pg;
}

/*
 * => uobj locked.
 */
struct vm_page *
uvm_pagenext(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = RB_ROOT(&uobj->rb_tree), *best = NULL;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	while (pg != NULL) {
		if (pg->offset < off) {
			pg = RB_RIGHT(pg, rb_node);
			continue;
		}
		best = pg;
		if (pg->offset == off)
			break;
		pg = RB_LEFT(pg, rb_node);
	}
	return best;
}

/* => the object has n pages more, or -n fewer: by the gauge of its kind */
static void
uvm_obj_gauge(const struct uvm_object *uobj, int n)
{
	if (UVM_OBJ_IS_VNODE(uobj))
		UVMGAUGE(UVMG_filepages, n);
	else if (UVM_OBJ_IS_AOBJ(uobj))
		UVMGAUGE(UVMG_aobjpages, n);
}

/*
 * => uobj locked; the page has no owner and nobody else knows it, or pageq is held.
 * => no page at the offset.
 */
void
uvm_pageinsert(struct vm_page *pg, struct uvm_object *uobj, voff_t off)
{
	struct vm_page *dup;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(pg->uobject == NULL);
	KASSERT((pg->flags & PG_TABLED) == 0);
	pg->uobject = uobj;
	pg->offset = off;
	dup = RB_INSERT(uvm_pagetree, &uobj->rb_tree, pg);
	KASSERTMSG(dup == NULL, "I-OBJ-1: object %u has a page at 0x%llx", uobj->uo_id,
	    (unsigned long long)off);
	kernhist_log(KE_page_insert, VM_PAGE_ID(pg), uobj->uo_id, (uint64_t)off);
	TAILQ_INSERT_TAIL(&uobj->memq, pg, listq);
	pg->flags |= PG_TABLED;
	if (UVM_OBJ_IS_AOBJ(uobj))
		pg->pqflags |= PQ_AOBJ;
	uobj->uo_npages++;
	uvm_obj_gauge(uobj, 1);
}

/*
 * => uobj locked; pageq held if the page is on a queue or loaned.
 */
void
uvm_pageremove(struct vm_page *pg)
{
	struct uvm_object *uobj = pg->uobject;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT((pg->flags & PG_TABLED) != 0);
	kernhist_log(KE_page_remove, VM_PAGE_ID(pg), uobj->uo_id, (uint64_t)pg->offset);
	RB_REMOVE(uvm_pagetree, &uobj->rb_tree, pg);
	TAILQ_REMOVE(&uobj->memq, pg, listq);
	pg->flags &= ~PG_TABLED;
	pg->pqflags &= ~PQ_AOBJ;
	pg->uobject = NULL;
	pg->offset = 0;
	uobj->uo_npages--;
	uvm_obj_gauge(uobj, -1);
}
