/*
 * The inspector of UBC finds what it is for.  Each case corrupts one thing, must hear the
 * rule's id, and puts it back: then all is well again.
 */
#include "tinspect.h"

#include <limits.h>
#include <unistd.h>
#include <uvm/uvm_bio_i.h>

static struct vnode *vp;

static unsigned
inspect(void)
{
	return inspect_ubc() + inspect_files(UINT_MAX);
}

/* Some windows of a file of 8 pages, read and written, and all is well. */
static void
begin(void)
{
	size_t len = 6 * PAGE_SIZE;

	tm_boot(1, 2048);
	vp = tu_file(8 * PAGE_SIZE);
	tm_put(tm_proc, "aaaaaaaa");
	CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	len = 8;
	CHECK_EQ(sys_write(tm_proc, vp, (voff_t)PAGE_SIZE, TM_VA(0), &len, 0), 0);
	CHECK_EQ(inspect(), 0);
	tm_collect();
}

#define	END(ids) do {								\
	TI_MENDED(inspect, ids);						\
	vrele(vp);								\
	tm_shutdown();								\
} while (0)

static struct ubc_map *
window_of(voff_t off)
{
	for (int i = 0; i < ubc_object.nwindows; i++)
		if (ubc_object.umap[i].um_uobj == &vp->v_uobj && ubc_object.umap[i].um_offset == off)
			return &ubc_object.umap[i];
	ktest_fail(__FILE__, __LINE__, "no window at %#lx", (long)off);
}

KTEST(I_UBC_1_window_that_is_not_hashed, "a named window that is not in the hash")
{
	struct ubc_map *um;

	begin();
	um = window_of(0);
	LIST_REMOVE(um, um_hash);
	CHECK_EQ(inspect(), 1);
	LIST_INSERT_HEAD(&ubc_object.hash[0], um, um_hash);
	END("I-UBC-1");
}

KTEST(I_UBC_1_two_windows_of_one_name, "two windows of one name")
{
	struct ubc_map *um;

	begin();
	um = window_of((voff_t)ubc_object.winsize);
	um->um_offset = 0;
	CHECK(inspect() >= 2);
	um->um_offset = (voff_t)ubc_object.winsize;
	CHECK(strncmp(tm_seen, "I-UBC-1 I-UBC-1", 15) == 0);
	tm_seen[0] = '\0';
	END("");
}

KTEST(I_UBC_2_window_lost_from_the_queue, "an idle window that nobody will find again")
{
	struct ubc_map *um;

	begin();
	um = window_of(0);
	TAILQ_REMOVE(&ubc_object.inactive, um, um_inactive);
	CHECK_EQ(inspect(), 1);
	TAILQ_INSERT_TAIL(&ubc_object.inactive, um, um_inactive);
	END("I-UBC-2");
}

KTEST(I_UBC_2_window_that_is_never_released, "a window with a user, and nobody is at work")
{
	begin();
	window_of(0)->um_refcount++;
	CHECK_EQ(inspect(), 2);
	window_of(0)->um_refcount--;
	END("I-UBC-2 I-UBC-2");
}

KTEST(I_UBC_3_window_maps_the_page_of_another, "a window maps what it does not stand for")
{
	struct ubc_map *um;

	begin();
	um = window_of(0);
	um->um_objid += 1000;
	CHECK_EQ(inspect(), 2);
	um->um_objid -= 1000;
	END("I-UBC-3 I-UBC-3");
}

KTEST(I_UBC_3_mapping_that_was_forgotten, "a window maps something and does not know")
{
	begin();
	window_of(0)->um_flags &= ~UMAP_MAPPING_CACHED;
	CHECK_EQ(inspect(), 2);
	window_of(0)->um_flags |= UMAP_MAPPING_CACHED;
	END("I-UBC-3 I-UBC-3");
}

KTEST(I_UBC_4_overwriting_that_never_ended, "pages locked, and nobody is at work")
{
	begin();
	window_of(0)->um_flags |= UMAP_PAGES_LOCKED;
	CHECK_EQ(inspect(), 1);
	window_of(0)->um_flags &= ~UMAP_PAGES_LOCKED;
	END("I-UBC-4");
}

KTEST(I_UBC_4_unmanaged_mapping_left_behind, "a mapping that no revoke can reach")
{
	struct ubc_map *um;
	vaddr_t va;

	begin();
	um = &ubc_object.umap[ubc_object.nwindows - 1];
	va = ubc_window_va(um);
	CHECK(um->um_uobj == NULL);
	pmap_kenter_pa(va, VM_PAGE_TO_PHYS(tu_lookup(&vp->v_uobj, 0)), VM_PROT_READ);
	CHECK_EQ(inspect(), 1);
	pmap_kremove(va, PAGE_SIZE);
	pmap_update(pmap_kernel());
	END("I-UBC-4");
}

KTEST(I_UBC_5_writer_that_never_left, "writer fields, and nobody is at work")
{
	begin();
	window_of(0)->um_writelen = 8;
	CHECK_EQ(inspect(), 1);
	window_of(0)->um_writelen = 0;
	END("I-UBC-5");
}

KTEST(I_OBJ_3_page_beyond_the_end, "a page beyond the end of its file")
{
	begin();
	vp->v_size = vp->v_writesize = 5 * (voff_t)PAGE_SIZE;
	CHECK(inspect() >= 1);
	vp->v_size = vp->v_writesize = 8 * (voff_t)PAGE_SIZE;
	CHECK(strncmp(tm_seen, "I-OBJ-3", 7) == 0);
	tm_seen[0] = '\0';
	END("");
}

KTEST(I_OBJ_7_clean_page_that_is_not_what_the_file_holds, "a store that nobody will write back")
{
	uint64_t *word;

	begin();
	word = tu_words(tu_lookup(&vp->v_uobj, 0));
	++*word;
	CHECK_EQ(inspect_files(0), 0);			/* the content of no page */
	CHECK_EQ(inspect(), 1);
	--*word;
	END("I-OBJ-7");
}

KTEST(I_OBJ_8_window_may_store_to_a_page_without_blocks, "a window may store to a page without blocks")
{
	struct vm_page *pg;

	begin();
	pg = tu_lookup(&vp->v_uobj, (voff_t)PAGE_SIZE);
	pg->flags |= PG_RDONLY;
	CHECK_EQ(inspect(), 1);
	pg->flags &= ~PG_RDONLY;
	END("I-OBJ-8");
}

KTEST(I_LOAN_1_window_may_store_to_a_loaned_page, "a window may store to a page on loan")
{
	struct vm_page *pg;

	begin();
	pg = tu_lookup(&vp->v_uobj, (voff_t)PAGE_SIZE);
	pg->loan_count++;
	CHECK_EQ(inspect(), 1);
	pg->loan_count--;
	END("I-LOAN-1");
}

KTEST_MAIN()
