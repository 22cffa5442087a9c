/*
 * uvm_object: pages by offset.
 */
#include "tuvm.h"

static struct uvm_object *obj;

static void
begin(void)
{
	tu_boot(1, 4096);
	obj = uao_create(ptoa(4096), 0);
}

static void
end(void)
{
	uao_detach(obj);
	tu_shutdown();
}

/* Pages at 0, 3, 6, ... in an order that is none. */
KTEST(I_OBJ_1_pages_are_found_by_offset, "I OBJ 1 pages are found by offset")
{
	struct vm_page *pg;

	begin();
	for (int i = 0; i < 97; i++)
		tu_resident(obj, (voff_t)ptoa(3 * (i * 31 % 97)));
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->uo_npages, 97);
	for (int i = 0; i < 3 * 97; i++) {
		pg = uvm_pagelookup(obj, (voff_t)ptoa(i));
		CHECK((pg != NULL) == (i % 3 == 0));
		CHECK(pg == NULL || (pg->uobject == obj && (pg->flags & PG_TABLED) != 0 && pg->offset == (voff_t)ptoa(i)));
	}
	mutex_exit(&obj->vmobjlock);
	end();
}

static int
depth(uint32_t link)
{
	int left, right;

	if (link == 0)
		return 0;
	left = depth(uvm.pages[link - 1].tree_left);
	right = depth(uvm.pages[link - 1].tree_right);
	return 1 + (left > right ? left : right);
}

/* => object locked: has it the pages first, first + step ..., and no other? */
static bool
has_only(int first, int step, int n)
{
	struct vm_page *pg;
	voff_t off = 0;
	int i = 0;

	for (; (pg = uvm_pagenext(obj, off)) != NULL; off = pg->offset + (voff_t)PAGE_SIZE, i++)
		if (i == n || pg->offset != (voff_t)ptoa(first + i * step) || uvm_pagelookup(obj, pg->offset) != pg)
			return false;
	return i == n && obj->uo_npages == n;
}

/* Ascending, and in an order that is none: the tree is the same, and as flat as a tree can be. */
KTEST(tree_of_a_run_is_flat, "a run of n pages is a tree of log2(n) + 1 levels, and so is what is left of it")
{
	for (int step = 1; step <= 31; step += 30) {
		begin();
		for (int i = 0; i < 256; i++)
			tu_resident(obj, (voff_t)ptoa(77 + i * step % 256));
		mutex_enter(&obj->vmobjlock);
		CHECK(has_only(77, 1, 256));
		CHECK_EQ(depth(obj->uo_pages), 9);
		mutex_exit(&obj->vmobjlock);
		for (int i = 0, off = 77 + 1; i < 128; i++, off = 78 + (off - 78 + 2 * step) % 256)
			CHECK_EQ(tu_put(obj, (voff_t)ptoa(off), (voff_t)ptoa(off + 1), PGO_FREE), 0);
		mutex_enter(&obj->vmobjlock);
		CHECK(has_only(77, 2, 128));
		CHECK_EQ(depth(obj->uo_pages), 8);
		mutex_exit(&obj->vmobjlock);
		end();
	}
}

KTEST(scan_by_offset_sees_every_page_once_in_order, "scan by offset sees every page once in order")
{
	struct vm_page *pg;
	voff_t off = 0;
	int n = 0;

	begin();
	for (int i = 0; i < 97; i++)
		tu_resident(obj, (voff_t)ptoa(3 * (i * 31 % 97)));
	mutex_enter(&obj->vmobjlock);
	for (; (pg = uvm_pagenext(obj, off)) != NULL; off = pg->offset + (voff_t)PAGE_SIZE)
		CHECK_EQ(pg->offset, (voff_t)ptoa(3 * n++));
	CHECK_EQ(n, 97);
	mutex_exit(&obj->vmobjlock);
	end();
}

/* A page that comes or goes while the scan has let go of the lock does not derail it. */
KTEST(H8_scan_resumes_after_its_page_is_gone, "H8 scan resumes after its page is gone")
{
	struct vm_page *pg;

	begin();
	for (int i = 0; i < 4; i++)
		tu_resident(obj, (voff_t)ptoa(i));
	CHECK_EQ(tu_put(obj, (voff_t)ptoa(1), (voff_t)ptoa(3), PGO_FREE), 0);
	mutex_enter(&obj->vmobjlock);
	pg = uvm_pagenext(obj, (voff_t)ptoa(1));
	CHECK(pg != NULL && pg->offset == (voff_t)ptoa(3));
	CHECK(uvm_pagenext(obj, (voff_t)ptoa(4)) == NULL);
	mutex_exit(&obj->vmobjlock);
	end();
}

KTEST_DEATH(I_OBJ_1_second_page_at_an_offset_panics, "I OBJ 1 second page at an offset panics", "I-OBJ-1")
{
	begin();
	tu_resident(obj, 0);
	mutex_enter(&obj->vmobjlock);
	uvm_pagealloc(obj, 0, NULL, 0);
}

KTEST_DEATH(I_OBJ_1_page_that_is_not_found_panics, "I OBJ 1 page that is not found panics", "does not find its page")
{
	struct vm_page *pg;

	begin();
	tu_resident(obj, 0);
	mutex_enter(&obj->vmobjlock);
	pg = uvm_pagelookup(obj, 0);
	obj->uo_pages = 0;
	uvm_pageremove(pg);
}

KTEST_DEATH(lookup_wants_the_object_locked, "lookup wants the object locked", "vmobjlock")
{
	begin();
	uvm_pagelookup(obj, 0);
}

KTEST_DEATH(I_OBJ_4_object_with_pages_is_not_destroyed, "I OBJ 4 object with pages is not destroyed", "has 1 pages")
{
	begin();
	tu_resident(obj, 0);
	uvm_obj_destroy(obj);
}

KTEST_MAIN()
