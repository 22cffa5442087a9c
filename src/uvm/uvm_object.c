/*
 * uvm_object: pages by offset.
 *
 * An object keeps its pages in a tree by offset, under vmobjlock (I-OBJ-1), for
 * look-ups and scans.  A scan that drops the lock on the way (waiting for a
 * busy page, starting a write) resumes by offset: uvm_pagenext() finds the
 * first page at or after the place where it stopped, whatever came or went
 * meanwhile.  So there is no list beside the tree, and no marker in it.
 *
 * The tree has to fit into eight bytes of each page, which are two links and
 * neither parent nor colour.  So it is a treap: by offset from left to right,
 * and from top to bottom by the number of the page in its object with its bits
 * reversed.  Of the numbers 0 to 7:
 *
 *	0
 *	 `------ 4		0 of all; then 4 (reversed 001), 2 (010), 6 (011),
 *	     2 ---- 6		1 (100), 5, 3, 7
 *	   1   3  5   7
 *
 * Its shape follows from which pages there are, not from the order in which
 * they came.  A run of n pages is log2(n) + 1 deep (rounded up), wherever it
 * begins, and so are pages at equal distances; pages at random lie as deep as
 * with random priorities, 1.4 times log2(n) on average.  (Numbers whose lower
 * half is the upper one reversed make a list.  There are 2^k of them below
 * 2^2k, and whoever chooses just these has an object that is slow.)
 */
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>

static uint32_t uvm_obj_lastid;		/* @ births, relaxed: only uniqueness counts */

/* => the page of a link, or NULL */
static inline struct vm_page *
uvm_pg_of(uint32_t link)
{
	return link == 0 ? NULL : &uvm.pages[link - 1];
}

/* => does the page at a come above the one at b?  a lacks the lowest of the bits in which they differ. */
static inline bool
uvm_pg_above(voff_t a, voff_t b)
{
	const uint64_t differ = (uint64_t)a ^ (uint64_t)b;

	return ((uint64_t)b & differ & -differ) != 0;
}

/*
 * Put the page below those that come above it, and share out the subtree that was there:
 * its smaller offsets to the left of the page, its larger ones to the right.
 */
static void
uvm_pg_link(uint32_t *link, struct vm_page *new)
{
	uint32_t *left = &new->tree_left, *right = &new->tree_right, rest;
	struct vm_page *pg;

	while ((pg = uvm_pg_of(*link)) != NULL && uvm_pg_above(pg->offset, new->offset))
		link = new->offset < pg->offset ? &pg->tree_left : &pg->tree_right;
	KASSERTMSG(pg == NULL || pg->offset != new->offset, "I-OBJ-1: object %u has a page at 0x%llx",
	    new->uobject->uo_id, (unsigned long long)new->offset);
	rest = *link;
	*link = VM_PAGE_ID(new) + 1;
	while ((pg = uvm_pg_of(rest)) != NULL) {
		if (pg->offset < new->offset) {
			*left = rest;
			left = &pg->tree_right;
			rest = *left;
		} else {
			*right = rest;
			right = &pg->tree_left;
			rest = *right;
		}
	}
	*left = *right = 0;
}

/* Where the page was go its two subtrees, of whose tops the upper one comes first each time. */
static void
uvm_pg_unlink(uint32_t *link, struct vm_page *old)
{
	uint32_t left = old->tree_left, right = old->tree_right;
	struct vm_page *pg;

	while ((pg = uvm_pg_of(*link)) != old) {
		KASSERTMSG(pg != NULL, "I-OBJ-1: object %u does not find its page at 0x%llx",
		    old->uobject->uo_id, (unsigned long long)old->offset);
		link = old->offset < pg->offset ? &pg->tree_left : &pg->tree_right;
	}
	while (left != 0 && right != 0) {
		if (uvm_pg_above(uvm_pg_of(left)->offset, uvm_pg_of(right)->offset)) {
			*link = left;
			link = &uvm_pg_of(left)->tree_right;
			left = *link;
		} else {
			*link = right;
			link = &uvm_pg_of(right)->tree_left;
			right = *link;
		}
	}
	*link = left != 0 ? left : right;
}

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
	uobj->uo_pages = 0;
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
	KASSERT(uobj->uo_pages == 0);
	mutex_destroy(&uobj->vmobjlock);
}

/*
 * => uobj locked.
 */
struct vm_page *
uvm_pagelookup(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = uvm_pg_of(uobj->uo_pages);

	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(((uint64_t)off & PAGE_MASK) == 0);
	while (pg != NULL && pg->offset != off)
		pg = uvm_pg_of(off < pg->offset ? pg->tree_left : pg->tree_right);
	KASSERT(pg == NULL || (pg->uobject == uobj && (pg->flags & PG_TABLED) != 0));
	return pg;
}

/*
 * => uobj locked.
 */
struct vm_page *
uvm_pagenext(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = uvm_pg_of(uobj->uo_pages), *best = NULL;

	KASSERT(mutex_owned(&uobj->vmobjlock));
	while (pg != NULL) {
		if (pg->offset < off) {
			pg = uvm_pg_of(pg->tree_right);
			continue;
		}
		best = pg;
		if (pg->offset == off)
			break;
		pg = uvm_pg_of(pg->tree_left);
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
	KASSERT(mutex_owned(&uobj->vmobjlock));
	KASSERT(pg->uobject == NULL);
	KASSERT((pg->flags & PG_TABLED) == 0);
	pg->uobject = uobj;
	pg->offset = off;
	uvm_pg_link(&uobj->uo_pages, pg);
	kernhist_log(KE_page_insert, VM_PAGE_ID(pg), uobj->uo_id, (uint64_t)off);
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
	uvm_pg_unlink(&uobj->uo_pages, pg);
	pg->flags &= ~PG_TABLED;
	pg->pqflags &= ~PQ_AOBJ;
	pg->uobject = NULL;
	pg->offset = 0;
	uobj->uo_npages--;
	uvm_obj_gauge(uobj, -1);
}
