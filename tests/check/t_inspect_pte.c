/*
 * The inspector of mappings finds what it is for.  Each case corrupts one thing under a
 * good mapping, must hear the rule's id, and puts it back: then all is well again.
 */
#include "tinspect.h"

static void
begin(const char *lane)
{
	ti_begin(lane);
	CHECK_EQ(inspect_ptes(), 0);
	tm_collect();
}

#define	END(ids)	TI_END(inspect_ptes, ids)

KTEST(I_MAP_14_pte_in_a_hole, "a mapping where no entry is")
{
	struct vm_map_entry *e;
	vaddr_t end;

	begin("aa");
	e = tm_entry(tm_proc, 1);
	end = e->end;
	e->end -= PAGE_SIZE;
	CHECK_EQ(inspect_ptes(), 1);
	e->end = end;
	END("I-MAP-14");
}

KTEST(I_PMAP_7_more_than_the_entry_grants, "a writable mapping in a read-only entry")
{
	begin("a");
	tm_entry(tm_proc, 0)->protection = VM_PROT_READ;
	CHECK_EQ(inspect_ptes(), 1);
	tm_entry(tm_proc, 0)->protection = VM_PROT_READ | VM_PROT_WRITE;
	END("I-PMAP-7");
}

KTEST(I_MAP_5_writable_under_needs_copy, "a writable mapping of an amap that must be copied first")
{
	begin("a");
	tm_entry(tm_proc, 0)->etype |= UVM_ET_NEEDSCOPY;
	CHECK_EQ(inspect_ptes(), 1);
	tm_entry(tm_proc, 0)->etype &= ~UVM_ET_NEEDSCOPY;
	END("I-MAP-5");
}

KTEST(I_AMAP_10_writable_shared_anon, "a writable mapping of an anon with two references")
{
	begin("a");
	tm_anon(0)->an_ref++;
	CHECK_EQ(inspect_ptes(), 1);
	tm_anon(0)->an_ref--;
	END("I-AMAP-10");
}

KTEST(I_AMAP_9_another_page_than_the_anon, "a mapping of a page that its anon does not have")
{
	struct vm_anon *a, *b;
	struct vm_page *pa, *pb;

	begin("aa");
	a = tm_anon(0);
	b = tm_anon(1);
	pa = a->an_page;
	pb = b->an_page;
	a->an_page = pb;
	b->an_page = pa;
	CHECK_EQ(inspect_ptes(), 2);
	a->an_page = pa;
	b->an_page = pb;
	END("I-AMAP-9 I-AMAP-9");
}

KTEST(I_OBJ_1_another_page_than_the_object, "a mapping of another page than the object has at that offset")
{
	begin("o");
	tm_entry(tm_proc, 0)->offset += (voff_t)PAGE_SIZE;
	CHECK_EQ(inspect_ptes(), 1);
	tm_entry(tm_proc, 0)->offset -= (voff_t)PAGE_SIZE;
	END("I-OBJ-1");
}

KTEST(I_FLT_2_writable_object_page_under_cow, "a writable mapping of an object's page that is copy-on-write")
{
	begin("o");
	tm_entry(tm_proc, 0)->etype |= UVM_ET_COPYONWRITE;
	CHECK_EQ(inspect_ptes(), 1);
	tm_entry(tm_proc, 0)->etype &= ~UVM_ET_COPYONWRITE;
	END("I-FLT-2");
}

KTEST(I_OBJ_8_writable_without_backing, "a writable mapping of a page without backing")
{
	begin("o");
	tm_page(tm_proc, 0)->flags |= PG_RDONLY;
	CHECK_EQ(inspect_ptes(), 1);
	tm_page(tm_proc, 0)->flags &= ~PG_RDONLY;
	END("I-OBJ-8");
}

KTEST(I_LOAN_1_writable_and_on_loan, "a writable mapping of a page on loan (R15)")
{
	begin("a");
	tm_page(tm_proc, 0)->loan_count++;
	CHECK_EQ(inspect_ptes(), 1);
	tm_page(tm_proc, 0)->loan_count--;
	END("I-LOAN-1");
}

KTEST(I_PG_15_wired_pte_of_an_unwired_page, "a wired mapping of a page that is not")
{
	begin("a");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	tm_page(tm_proc, 0)->wire_count = 0;
	CHECK_EQ(inspect_ptes(), 1);
	tm_page(tm_proc, 0)->wire_count = 1;
	END("I-PG-15");
}

KTEST(I_PG_9_mapped_without_content, "a mapping of a page that was never filled")
{
	begin("a");
	tm_page(tm_proc, 0)->flags |= PG_FAKE;
	CHECK_EQ(inspect_ptes(), 1);
	tm_page(tm_proc, 0)->flags &= ~PG_FAKE;
	END("I-PG-9");
}

KTEST(I_PMAP_11_mapped_and_free, "a mapping of a frame that is on the free list")
{
	begin("a");
	tm_page(tm_proc, 0)->pqflags |= PQ_FREE;
	CHECK_EQ(inspect_ptes(), 1);
	tm_page(tm_proc, 0)->pqflags &= ~(uint32_t)PQ_FREE;
	END("I-PMAP-11");
}

KTEST_MAIN()
