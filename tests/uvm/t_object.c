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
KTEST(I_OBJ_1_tree_and_list_hold_the_same_pages, "I OBJ 1 tree and list hold the same pages")
{
	struct vm_page *pg;
	int n = 0;

	begin();
	for (int i = 0; i < 97; i++)
		tu_resident(obj, (voff_t)ptoa(3 * (i * 31 % 97)));
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->uo_npages, 97);
	TAILQ_FOREACH(pg, &obj->memq, listq) {
		CHECK(pg->uobject == obj && (pg->flags & PG_TABLED) != 0);
		CHECK(uvm_pagelookup(obj, pg->offset) == pg);
		n++;
	}
	CHECK_EQ(n, 97);
	CHECK(uvm_pagelookup(obj, (voff_t)PAGE_SIZE) == NULL);
	mutex_exit(&obj->vmobjlock);
	end();
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
