/*
 * The inspector of swap finds what it is for.  Each case corrupts one thing, must hear the
 * rule's id, and puts it back: then all is well again.
 */
#include "tinspect.h"
#include "tswap.h"

#include <limits.h>
#include <unistd.h>

static unsigned
inspect_all(void)
{
	return inspect_refs() + inspect_swap(UINT_MAX);
}

/* pages 0, 1: private; 2, 3: an object's; all out and, the odd ones, in again */
static void
begin(void)
{
	ts_boot(1, 2048, 64, 2);
	tm_put(tm_proc, "aaoo");
	for (int i = 0; i < 4; i++) {
		tm_store(i, 10 + (uint64_t)i);
		CHECK(ts_pageout(tm_proc, i));
		if ((i & 1) != 0)
			CHECK_EQ(tm_load(i), 10 + (uint64_t)i);
	}
	CHECK_EQ(inspect_all(), 0);
	tm_collect();
}

#define	END(ids)	TI_END(inspect_all, ids)

static void
set_object_slot(uint64_t page, int slot)
{
	mutex_enter(&tm_obj->vmobjlock);
	(void)uao_set_swslot(tm_obj, page, slot);
	mutex_exit(&tm_obj->vmobjlock);
}

KTEST(I_SWP_1_bit_without_count, "a slot in use that npginuse does not know of")
{
	begin();
	swap_devs[1].swd_inuse[0] |= 1;
	CHECK_EQ(inspect_all(), 2);
	swap_devs[1].swd_inuse[0] &= ~UINT64_C(1);
	END("I-SWP-1 I-SWP-4");
}

KTEST(I_SWP_1_sums, "swpginuse is not the sum of the devices'")
{
	begin();
	swapcount.sc_swpginuse++;
	CHECK_EQ(inspect_all(), 1);
	swapcount.sc_swpginuse--;
	swapcount.sc_swpgavail++;
	CHECK_EQ(inspect_all(), 1);
	swapcount.sc_swpgavail--;
	END("I-SWP-1 I-SWP-1");
}

KTEST(I_SWP_2_swpgonly, "swpgonly is not the number of owners whose page is only in swap")
{
	begin();
	swapcount.sc_swpgonly--;
	CHECK_EQ(inspect_all(), 1);
	swapcount.sc_swpgonly++;
	END("I-SWP-2");
}

KTEST(I_SWP_4_leaked_slot, "a slot in use that nobody has")
{
	int n = 1, slot;

	begin();
	slot = uvm_swap_alloc(&n, false);
	CHECK_EQ(inspect_all(), 1);
	uvm_swap_free(slot, 1);
	END("I-SWP-4");
}

KTEST(I_SWP_4_two_owners, "one slot, two owners")
{
	int slot, old;

	begin();
	slot = ts_slot(tm_proc, 1);
	old = ts_slot(tm_proc, 3);
	set_object_slot(3, slot);
	CHECK(inspect_all() >= 2);		/* and the old one is nobody's; and not the content */
	set_object_slot(3, old);
	END("I-SWP-4 I-SWP-4 I-SWP-5");
}

KTEST(I_SWP_4_free_slot, "an owner whose slot is free")
{
	int slot;

	begin();
	slot = ts_slot(tm_proc, 1);
	uvm_swap_free(slot, 1);
	CHECK_EQ(inspect_all(), 1);
	swap_devs[0].swd_inuse[0] |= UINT64_C(1) << (slot - swap_devs[0].swd_drumoffset);
	swap_devs[0].swd_npginuse++;
	swapcount.sc_swpginuse++;
	END("I-SWP-4");
}

KTEST(I_SWP_7_slot_of_no_device, "an owner with a slot of a device that is gone")
{
	int slot;

	begin();
	slot = tm_anon(1)->an_swslot;
	tm_anon(1)->an_swslot = 9 << SWAPDEV_SHIFT;
	CHECK_EQ(inspect_all(), 2);
	tm_anon(1)->an_swslot = slot;
	END("I-SWP-7 I-SWP-4");
}

KTEST(I_ANON_4_clean_without_slot, "R34: a clean page of an anon without a slot")
{
	int slot;

	begin();
	slot = tm_anon(1)->an_swslot;
	tm_anon(1)->an_swslot = 0;
	CHECK_EQ(inspect_all(), 2);
	tm_anon(1)->an_swslot = slot;
	END("I-ANON-4 I-SWP-4");
}

KTEST(I_OBJ_5_clean_without_slot, "R34: a clean page of an object without a slot")
{
	int slot;

	begin();
	slot = ts_slot(tm_proc, 3);
	set_object_slot(3, 0);
	CHECK_EQ(inspect_all(), 2);
	set_object_slot(3, slot);
	END("I-OBJ-5 I-SWP-4");
}

KTEST(I_ANON_6_neither_page_nor_slot, "an anon with neither page nor slot")
{
	struct vm_map_entry *e;
	struct vm_anon *anon;
	int slot;

	begin();
	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(0), &e));
	amap_lock(e->aref.ar_amap);
	anon = amap_lookup(&e->aref, 0);
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
	slot = anon->an_swslot;
	anon->an_swslot = 0;
	CHECK_EQ(inspect_all(), 3);
	anon->an_swslot = slot;
	END("I-ANON-6 I-SWP-4 I-SWP-2");
}

KTEST(I_SWP_5_content, "a clean page that is not what its slot holds")
{
	struct swapdev *sdp = &swap_devs[0];
	off_t at;
	char c;

	begin();
	at = (off_t)ptoa((uint64_t)(ts_slot(tm_proc, 3) - sdp->swd_drumoffset)) + 4095;
	CHECK(pread(sdp->swd_fd, &c, 1, at) == 1);
	c ^= 1;
	CHECK(pwrite(sdp->swd_fd, &c, 1, at) == 1);
	CHECK_EQ(inspect_swap(0), 0);			/* the content of no page */
	CHECK_EQ(inspect_all(), 1);
	c ^= 1;
	CHECK(pwrite(sdp->swd_fd, &c, 1, at) == 1);
	END("I-SWP-5");
}

KTEST(shared_anon_is_one_owner, "an anon that parent and child share, and one that has a changed page, are no findings")
{
	struct proc *child;

	begin();
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(1, 99);
	CHECK_EQ(inspect_all(), 0);
	proc_exit(child);
	tm_store(3, 99);
	END("");
}

KTEST_DEATH(I_SYS_5_wired_memory_in_swap, "a fault on wired memory has to read swap", "I-SYS-5")
{
	ts_boot(1, 2048, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	CHECK(ts_pageout(tm_proc, 0));
	tm_entry(tm_proc, 0)->wired_count = 1;
	(void)tm_load(0);
}

KTEST_MAIN()
