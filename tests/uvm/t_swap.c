/*
 * Swap: slots, devices, pages that go there and come back, and what an I/O error costs.
 */
#include "tswap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define	NPAGES	4096

static int
alloc(int n)
{
	int got = n, slot = uvm_swap_alloc(&got, false);

	CHECK(slot == 0 || got == n);
	return slot;
}

static int
device_of(int slot)
{
	return slot >> SWAPDEV_SHIFT;
}

/* --- slots --- */

KTEST(slots_come_in_rows, "slots of one call are neighbours; who takes less when there are not so many says how many")
{
	int a, b, n = 16;

	ts_boot(1, NPAGES, 40, 1);
	a = alloc(16);
	b = alloc(16);
	CHECK(a > 0 && b > 0 && (b >= a + 16 || a >= b + 16));
	CHECK_EQ(ts_exp()->swpginuse, 32);
	CHECK_EQ(alloc(16), 0);
	CHECK(uvm_swap_alloc(&n, true) > 0 && n == 1);
	uvm_swap_free(a + 3, 1);			/* a hole of one is no place for two, 7 are left behind */
	for (int i = 0; i < 3; i++)
		CHECK(alloc(2) > 0);
	CHECK_EQ(alloc(2), 0);
	CHECK(alloc(1) > 0 && alloc(1) > 0);
	CHECK_EQ(alloc(1), 0);
	CHECK_EQ(ts_exp()->swpginuse, 40);
	CHECK(uvm_swapisfilled() && !uvm_swapisfull());
	uvm_swap_free(swap_devs[0].swd_drumoffset, 40);
	CHECK_EQ(ts_exp()->swpginuse, 0);
	tm_shutdown();
}

KTEST(row_does_not_jump, "free slots before and after full ones are no row")
{
	int base;

	ts_boot(1, NPAGES, 192, 1);
	base = swap_devs[0].swd_drumoffset;
	for (int i = 0; i < 12; i++)
		CHECK(alloc(16) > 0);
	uvm_swap_free(base + 62, 2);
	uvm_swap_free(base + 128, 2);
	CHECK_EQ(alloc(4), 0);
	CHECK(alloc(2) > 0 && alloc(2) > 0);
	uvm_swap_free(base + 126, 4);			/* across a word of the bitmap */
	CHECK_EQ(alloc(4), base + 126);
	uvm_swap_free(base, 192);
	tm_shutdown();
}

KTEST(best_priority_first, "slots come from the device of the best priority, those of one priority take turns")
{
	int dev[6], slot[6];

	ts_boot(1, NPAGES, 8, 3);
	CHECK_EQ(uvm_swap_ctl(1, 5), 0);		/* now 2 and 3, then 1 */
	CHECK_EQ(uvm_swap_ctl(3, 2), 0);
	CHECK_EQ(uvm_swap_ctl(2, 2), 0);
	for (int i = 0; i < 5; i++) {
		slot[i] = alloc(4);
		dev[i] = device_of(slot[i]);
	}
	CHECK(dev[0] != 1 && dev[1] != 1 && dev[0] != dev[1]);
	CHECK(dev[2] == dev[0] && dev[3] == dev[1]);
	CHECK_EQ(dev[4], 1);				/* the others are full */
	CHECK_EQ(uvm_swap_ctl(1, 0), 0);
	slot[5] = alloc(4);
	CHECK_EQ(device_of(slot[5]), 1);
	CHECK_EQ(alloc(4), 0);
	for (int i = 0; i < 6; i++)
		uvm_swap_free(slot[i], 4);
	tm_shutdown();
}

KTEST(search_goes_on_where_it_ended, "what was freed just now is not overwritten at once; then from the beginning, past words that are full")
{
	int base;

	ts_boot(1, NPAGES, 192, 1);
	base = swap_devs[0].swd_drumoffset;
	CHECK_EQ(alloc(16), base);
	uvm_swap_free(base, 16);
	for (int i = 1; i < 12; i++)
		CHECK_EQ(alloc(16), base + 16 * i);
	CHECK_EQ(alloc(16), base);
	uvm_swap_free(base + 176, 16);
	CHECK_EQ(alloc(16), base + 176);		/* and now it begins anew */
	uvm_swap_free(base + 64, 16);
	CHECK_EQ(alloc(16), base + 64);			/* right behind a full word */
	uvm_swap_free(base, 192);
	tm_shutdown();
}

KTEST(swap_is_full_at_99_percent, "of what is nowhere else, or bad; and filled at 99 percent of slots in use")
{
	int slot[13];

	ts_boot(1, NPAGES, 200, 1);
	for (int i = 0; i < 12; i++)
		slot[i] = alloc(16);
	slot[12] = alloc(5);
	CHECK(!uvm_swapisfilled());
	CHECK(alloc(1) == slot[12] + 5 && uvm_swapisfilled());
	uvm_swap_pgonly(197);
	CHECK(!uvm_swapisfull());
	uvm_swap_pgonly(1);
	CHECK(uvm_swapisfull());
	uvm_swap_pgonly(-1);
	CHECK(!uvm_swapisfull());
	uvm_swap_markbad(slot[12] + 5, 1);
	CHECK(uvm_swapisfull());
	uvm_swap_pgonly(-197);
	CHECK(!uvm_swapisfull() && uvm_swapisfilled());
	for (int i = 0; i < 12; i++)
		uvm_swap_free(slot[i], 16);
	uvm_swap_free(slot[12], 5);
	CHECK(!uvm_swapisfilled());
	tm_shutdown();
	ts_boot(1, NPAGES, 0, 1);
	CHECK(uvm_swapisfull());			/* there is none */
	tm_shutdown();
}

KTEST_DEATH(I_SWP_4_free_slot_is_not_freed_again, "a slot that is freed twice is noticed", "I-SWP-4")
{
	int slot;

	ts_boot(1, NPAGES, 8, 1);
	slot = alloc(2);
	uvm_swap_free(slot, 2);
	uvm_swap_free(slot + 1, 1);
}

KTEST_DEATH(I_SWP_4_bad_slot_is_not_freed, "a slot with an I/O error stays allocated for ever", "I-SWP-4")
{
	int slot;

	ts_boot(1, NPAGES, 8, 1);
	slot = alloc(1);
	uvm_swap_markbad(slot, 1);
	uvm_swap_free(slot, 1);
}

KTEST_DEATH(I_SWP_8_slot_0_is_not_freed, "slot 0 is no slot", "I-SWP-8")
{
	ts_boot(1, NPAGES, 8, 1);
	uvm_swap_free(0, 1);
}

KTEST_DEATH(I_SWP_8_slot_0_is_not_read, "slot 0 is never read", "I-SWP-8")
{
	ts_boot(1, NPAGES, 8, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	(void)uvm_swap_get(tm_page(tm_proc, 0), 0);
}

KTEST_DEATH(B6_swpgonly_is_never_less_than_none, "swpgonly below zero is noticed", "B-6")
{
	ts_boot(1, NPAGES, 8, 1);
	uvm_swap_pgonly(-1);
}

/* --- devices --- */

KTEST(swapctl_errors, "what swapctl answers when it cannot")
{
	char dir[] = "/tmp/t_swapXXXXXX", file[64], same[64];
	struct swapon_args sa = { .sa_bytes = PAGE_SIZE - 1 };
	int dev = 0, fd;

	ts_boot(1, NPAGES, 8, 1);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/f", dir);
	snprintf(same, sizeof(same), "%s/l", dir);
	CHECK_EQ(uvm_swap_on(&sa, &dev), EINVAL);		/* too small */
	sa.sa_bytes = PAGE_SIZE;
	sa.sa_priority = -1;
	CHECK_EQ(uvm_swap_on(&sa, &dev), EINVAL);
	sa.sa_priority = 3;
	sa.sa_path = dir;
	CHECK_EQ(uvm_swap_on(&sa, &dev), ENXIO);		/* wrong type */
	sa.sa_path = "/dev/full";
	CHECK_EQ(uvm_swap_on(&sa, &dev), ENXIO);
	sa.sa_path = file;
	CHECK_EQ(uvm_swap_on(&sa, &dev), ENOENT);
	fd = open(file, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(uvm_swap_on(&sa, &dev), EINVAL);		/* no size */
	CHECK(ftruncate(fd, 3 * PAGE_SIZE + 5) == 0 && link(file, same) == 0);
	CHECK(dev == 0);					/* written on success only */
	CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
	CHECK(dev == 2 && ts_exp()->nswapdev == 2 && ts_exp()->swpages == 11);
	sa.sa_path = same;
	CHECK_EQ(uvm_swap_on(&sa, &dev), EBUSY);		/* the same file by another name */
	CHECK_EQ(uvm_swap_ctl(7, 1), ENOENT);
	CHECK_EQ(uvm_swap_ctl(1, -1), EINVAL);
	CHECK_EQ(uvm_swap_off(7), ENXIO);
	CHECK_EQ(uvm_swap_off(0), ENXIO);
	CHECK_EQ(uvm_swap_off(2), 0);
	CHECK_EQ(uvm_swap_off(2), ENXIO);
	CHECK(ts_exp()->nswapdev == 1 && ts_exp()->swpages == 8);
	sa.sa_path = NULL;
	for (int i = 1; i < SWAP_MAXDEV; i++)
		CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
	CHECK_EQ(uvm_swap_on(&sa, &dev), ENOMEM);		/* no place for another */
	close(fd);
	unlink(file);
	unlink(same);
	rmdir(dir);
	tm_shutdown();
}

KTEST(statistics_by_priority, "statistics come best priority first, and not more than asked for")
{
	struct swapent se[3];

	ts_boot(1, NPAGES, 8, 3);
	CHECK_EQ(uvm_swap_ctl(1, 9), 0);
	CHECK(alloc(3) > 0);
	CHECK_EQ(uvm_swap_stats(se, 2), 2);
	CHECK_EQ(uvm_swap_stats(se, 3), 3);
	CHECK(se[0].se_dev == 2 && se[1].se_dev == 3 && se[2].se_dev == 1);
	CHECK(se[0].se_inuse == 3 && se[0].se_enabled && se[0].se_nblks == 8 && se[0].se_bad == 0);
	CHECK(se[2].se_priority == 9 && se[2].se_inuse == 0);
	uvm_swap_free(swap_devs[1].swd_drumoffset, 3);
	tm_shutdown();
}

static unsigned
open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* And its bitmaps: the leak sanitizer looks at those. */
KTEST(device_that_is_gone_leaves_no_file, "a device that is taken off gives its file back to the host")
{
	struct swapon_args sa = { .sa_bytes = UINT64_C(16) << 20, .sa_priority = 0 };
	unsigned before;
	int dev;

	ts_boot(1, NPAGES, 40, 1);
	before = open_files();
	for (int i = 0; i < 33; i++) {
		CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
		CHECK_EQ(uvm_swap_off(dev), 0);
	}
	CHECK_EQ(open_files(), before);
	tm_shutdown();
}

KTEST(boot_without_swap_file_fails, "a machine whose swap file cannot be made does not boot, and leaves nothing")
{
	struct uvm_config uc = { .uc_ncpu = 1, .uc_seed = 1, .uc_memory = ptoa(NPAGES),
		.uc_swap = 1 << 20, .uc_swapdir = "/nonexistent" };

	CHECK_EQ(uvm_boot(&uc), ENOENT);
	uc.uc_swapdir = NULL;
	uc.uc_swapdevs = SWAP_MAXDEV + 1;
	CHECK_EQ(uvm_boot(&uc), EINVAL);
	ts_boot(1, NPAGES, 8, 2);
	CHECK_EQ(ts_exp()->nswapdev, 2);
	tm_shutdown();
}

/* --- there and back --- */

KTEST(anon_goes_and_comes_back, "a page that was paged out comes back as it was, clean, and keeps its slot")
{
	int slot;

	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aaaa");
	for (int i = 0; i < 4; i++)
		tm_store(i, 100 + (uint64_t)i);
	for (int i = 0; i < 4; i++)
		CHECK(ts_pageout(tm_proc, i));
	CHECK(ts_exp()->swpgonly == 4 && ts_exp()->swpginuse == 4);
	CHECK(!ts_resident(tm_proc, 2));
	slot = ts_slot(tm_proc, 2);
	CHECK(slot > 0);
	CHECK_EQ(tm_load(2), 102);
	CHECK_EQ(ts_exp()->swpgonly, 3);
	CHECK(ts_resident(tm_proc, 2) && ts_clean(tm_proc, 2) && ts_slot(tm_proc, 2) == slot);
	CHECK_EQ(tu_count(UVMC_pgswapout), 4);
	CHECK_EQ(tu_count(UVMC_pgswapin), 1);
	CHECK_EQ(tu_count(UVMC_nswget), 1);
	CHECK_EQ(tu_count(UVMC_flt_pagein), 1);
	/* clean: it goes without being written; changed: it does not */
	CHECK(ts_pageout(tm_proc, 2));
	CHECK(tu_count(UVMC_pgswapout) == 4 && ts_exp()->swpgonly == 4 && ts_slot(tm_proc, 2) == slot);
	CHECK_EQ(tm_load(2), 102);
	tm_store(2, 202);
	CHECK(ts_pageout(tm_proc, 2));
	CHECK(tu_count(UVMC_pgswapout) == 5 && ts_slot(tm_proc, 2) != slot);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tm_load(i), (i == 2 ? 202 : 100 + (uint64_t)i));
	CHECK_EQ(ts_exp()->swpgonly, 0);
	tm_shutdown();
}

KTEST(mincore_of_what_is_in_swap, "a private page that is in swap is not in memory, though the object's page below it is")
{
	unsigned char in = 9;

	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "q");
	CHECK_EQ(tm_load(0), 0);			/* the object's page */
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(0), PAGE_SIZE, &in), 0);
	CHECK_EQ(in, 0);
	CHECK_EQ(tm_load(0), 5);
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(0), PAGE_SIZE, &in), 0);
	CHECK_EQ(in, 1);
	tm_shutdown();
}

KTEST(swapped_memory_that_goes_frees_its_slots, "unmapping and MADV_FREE free slots whose pages are only in swap (B-18)")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aaaaaaoooo");
	for (int i = 0; i < 10; i++) {
		tm_store(i, 7);
		CHECK(ts_pageout(tm_proc, i));
	}
	CHECK_EQ(ts_exp()->swpgonly, 10);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK(ts_exp()->swpgonly == 8 && ts_exp()->swpginuse == 8);
	CHECK_EQ(tm_load(2), 7);			/* in memory, its slot in use */
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(2), ptoa(4), UMADV_FREE), 0);
	CHECK(ts_exp()->swpgonly == 4 && ts_exp()->swpginuse == 4);
	CHECK_EQ(tm_load(3), 0);
	CHECK_EQ(tm_load(7), 7);
	tm_shutdown();
	/* the object's went with it: uvm_shutdown() has counted */
}

KTEST(aobj_slots, "objects of few pages and of many find their pages in swap, and free their slots")
{
	static const int sizes[] = { 1, 64, 65, 2000, 8000 };	/* the last: two elements to a bucket */

	for (unsigned s = 0; s < 5; s++) {
		struct uvm_object *uobj;
		vaddr_t va = TM_VA(100);
		int n = sizes[s], step = n > 64 ? 37 : 1, in = 0;

		ts_boot(1, NPAGES, 256, 1);
		uobj = uao_create(ptoa((uint64_t)n), 0);
		CHECK_EQ(sys_shmat(tm_proc, uobj, &va, VM_PROT_READ | VM_PROT_WRITE), 0);
		for (int i = (n - 1) / step * step; i >= 0; i -= step, in++) {
			CHECK_EQ(user_store(va + ptoa((unsigned)i), (uint64_t)i + 1), 0);
			CHECK(ts_pageout(tm_proc, (int)atop(va - TM_BASE) + i));
		}
		CHECK_EQ(ts_exp()->swpgonly, (uint64_t)in);
		for (int i = 0; i < n; i += step) {
			uint64_t w;

			CHECK(user_load(va + ptoa((unsigned)i), &w) == 0 && w == (uint64_t)i + 1);
			if (i + 1 < n && step > 1)
				CHECK(user_load(va + ptoa((unsigned)i + 1), &w) == 0 && w == 0);
		}
		CHECK_EQ(ts_exp()->swpgonly, 0);
		CHECK_EQ(ts_exp()->swpginuse, (uint64_t)in);	/* all clean */
		CHECK_EQ(sys_munmap(tm_proc, va, ptoa((uint64_t)n)), 0);
		uao_detach(uobj);
		CHECK_EQ(ts_exp()->swpginuse, 0);
		tm_shutdown();
	}
}

KTEST(B17_B18_object_gives_up_a_range, "B-17, B-18: what an object is told to free goes from swap too, and no more")
{
	struct uvm_object *uobj;
	vaddr_t va = TM_VA(100);

	ts_boot(1, NPAGES, 64, 1);
	uobj = uao_create(ptoa(20), 0);
	CHECK_EQ(sys_shmat(tm_proc, uobj, &va, VM_PROT_READ | VM_PROT_WRITE), 0);
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(user_store(va + ptoa((unsigned)i), 7), 0);
		CHECK(ts_pageout(tm_proc, (int)atop(va - TM_BASE) + i));
	}
	CHECK_EQ(tu_put(uobj, (voff_t)ptoa(5), (voff_t)ptoa(9), PGO_FREE), 0);
	CHECK_EQ(ts_exp()->swpgonly, 20);		/* others use it: left alone */
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(20)), 0);
	tu_resident(uobj, (voff_t)ptoa(6));
	CHECK_EQ(tu_put(uobj, (voff_t)ptoa(5), (voff_t)ptoa(9), PGO_FREE), 0);
	CHECK(ts_exp()->swpgonly == 16 && ts_exp()->swpginuse == 16);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(tu_words(tu_resident(uobj, (voff_t)ptoa((unsigned)i)))[0], i >= 5 && i < 9 ? 0 : 7);
	CHECK_EQ(tu_put(uobj, (voff_t)ptoa(5), 0, PGO_FREE), 0);
	CHECK_EQ(ts_exp()->swpginuse, 5);
	uao_detach(uobj);
	CHECK_EQ(ts_exp()->swpginuse, 0);
	tm_shutdown();
}

KTEST(fork_shares_slots, "parent and child share what is in swap, and get copies of their own when they store")
{
	struct proc *child;

	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK(ts_pageout(tm_proc, 0) && ts_pageout(tm_proc, 1));
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store_in(child, 0, 11);
	CHECK_EQ(tm_load(0), 1);
	tm_store(1, 22);
	CHECK_EQ(tm_load_in(child, 1), 2);
	CHECK_EQ(tm_load_in(child, 0), 11);
	proc_exit(child);
	CHECK_EQ(tm_load(1), 22);
	CHECK_EQ(ts_exp()->swpgonly, 0);
	tm_shutdown();
}

/* --- R34 --- */

KTEST(R34_wiring_drops_the_slot_of_a_dirty_page, "a page that is wired becomes dirty, then gives up its slot")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "ao");
	for (int i = 0; i < 2; i++) {
		tm_store(i, 5);
		CHECK(ts_pageout(tm_proc, i));
		CHECK_EQ(tm_load(i), 5);
		CHECK(ts_clean(tm_proc, i));
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
		CHECK(!ts_clean(tm_proc, i) && ts_slot(tm_proc, i) == 0);
		CHECK_EQ(sys_munlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
	}
	CHECK_EQ(ts_exp()->swpginuse, 0);
	/* and what is only in swap is read first */
	for (int i = 0; i < 2; i++) {
		CHECK(ts_pageout(tm_proc, i));
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
		CHECK_EQ(tm_load(i), 5);
		CHECK_EQ(sys_munlock(tm_proc, TM_VA(i), PAGE_SIZE), 0);
	}
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	tm_shutdown();
}

static void
clean_page(const char *lane)
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, lane);
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK_EQ(tm_load(0), 5);
}

KTEST_DEATH(R34_clean_anon_keeps_its_slot, "the slot of a clean anon page is not dropped", "R34")
{
	struct vm_page *pg;

	clean_page("a");
	pg = tm_page(tm_proc, 0);
	mutex_enter(&pg->uanon->an_lock);
	uvm_anon_dropswap(pg->uanon);
}

KTEST_DEATH(R34_clean_aobj_page_keeps_its_slot, "the slot of a clean aobj page is not dropped", "R34")
{
	clean_page("o");
	mutex_enter(&tm_obj->vmobjlock);
	uao_dropswap(tm_obj, 0);
}

KTEST_DEATH(R25_anon_pagein_wants_the_anon_locked, "uvm_anon_pagein wants the anon's lock", "R25")
{
	clean_page("a");
	(void)uvm_anon_pagein(tm_page(tm_proc, 0)->uanon);
}

KTEST_DEATH(I_PG_6_page_on_its_way_out_is_not_mapped, "a page that is mapped is not paged out", "I-PG-6")
{
	struct ts_cluster tc;

	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	ts_begin(&tc, 1);
	CHECK(ts_add(&tc, tm_proc, 0));
	CHECK_EQ(pmap_enter(tm_map(tm_proc)->pmap, TM_VA(0), VM_PAGE_TO_PHYS(tc.tc_pgs[0]), VM_PROT_READ,
	    VM_PROT_READ), 0);
	(void)ts_write(&tc, PGO_SYNCIO);
}

/* --- errors --- */

KTEST(read_error_loses_one_page, "a slot that cannot be read is EIO for its page, each time, and nothing else is lost")
{
	static const char *const lanes[] = { "aaa", "ooo" };

	for (unsigned k = 0; k < 2; k++) {
		ts_boot(1, NPAGES, 64, 1);
		tm_put(tm_proc, lanes[k]);
		for (int i = 0; i < 3; i++) {
			tm_store(i, 50 + (uint64_t)i);
			CHECK(ts_pageout(tm_proc, i));
		}
		uvm_swap_inject(1, 1, 0, EIO);
		CHECK_EQ(tm_load_error(1), EIO);
		uvm_swap_inject(1, 0, 0, 0);
		CHECK_EQ(ts_slot(tm_proc, 1), SWSLOT_BAD);
		CHECK(ts_exp()->npgbad == 1 && ts_exp()->swpgonly == 2 && ts_exp()->swpginuse == 3);
		CHECK_EQ(tm_load_error(1), EIO);
		CHECK_EQ(tm_store_error(1), EIO);
		CHECK(tm_load(0) == 50 && tm_load(2) == 52);
		CHECK_EQ(tu_count(UVMC_swapin_error), 1);
		CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(3)), 0);
		CHECK(ts_exp()->npgbad == 1);
		CHECK_EQ(ts_exp()->swpginuse, k == 0 ? 1 : 3);	/* the object lives on */
		tm_shutdown();
	}
}

KTEST(short_read_is_an_error, "a swap file that somebody has cut is EIO, not zeroes")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK(ftruncate(swap_devs[0].swd_fd, 0) == 0);
	CHECK_EQ(tm_load_error(0), EIO);
	CHECK_EQ(ts_exp()->npgbad, 1);
	tm_shutdown();
}

KTEST(T46_write_error_ENOMEM_is_passing, "T-46: ENOMEM while writing: dirty, active, without slot, the slot is free")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	uvm_swap_inject(1, 0, 1, ENOMEM);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK(ts_resident(tm_proc, 0) && !ts_clean(tm_proc, 0) && ts_slot(tm_proc, 0) == 0);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->paging == 0 && ts_exp()->active > 0);
	CHECK_EQ(tm_load(0), 5);
	CHECK_EQ(tu_count(UVMC_swapin_error), 0);
	CHECK_EQ(tu_count(UVMC_swapout_error), 1);
	tm_shutdown();
}

/* anon, aobj page, an anon whose process unmaps it while it is in flight, another anon */
static void
mixed_cluster(int error, int only, int inuse, int bad)
{
	struct ts_cluster tc;

	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aoan");
	for (int i = 0; i < 4; i++)
		tm_store(i, 70 + (uint64_t)i);
	uvm_swap_inject(1, 0, error != 0, error);
	ts_begin(&tc, 4);
	for (int i = 0; i < 4; i++)
		CHECK(ts_add(&tc, tm_proc, i));
	CHECK_EQ(ts_write(&tc, 0), 0);
	/* one CPU: the aiodone LWP has not run yet */
	CHECK(ts_exp()->paging == 4 && ts_exp()->swpgonly == 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), PAGE_SIZE), 0);
	CHECK((tc.tc_pgs[2]->flags & (PG_RELEASED | PG_BUSY)) == (PG_RELEASED | PG_BUSY));
	TU_WAIT(ts_exp()->paging == 0 && swap_devs[0].swd_inflight == 0);
	CHECK_EQ(ts_exp()->swpgonly, (uint64_t)only);
	CHECK_EQ(ts_exp()->swpginuse, (uint64_t)inuse);
	CHECK_EQ(ts_exp()->npgbad, (uint64_t)bad);
	uvm_swap_inject(1, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			CHECK_EQ(tm_load(i), 70 + (uint64_t)i);
	tm_shutdown();
}

KTEST(T35_anon_dies_while_it_is_written, "T-35, B-6: an anon that dies while its page is written goes with its slot")
{
	mixed_cluster(0, 3, 3, 0);
}

KTEST(T45_write_error_costs_slots_and_no_data, "T-45: EIO on a mixed cluster: bad slots, all data still there")
{
	mixed_cluster(EIO, 0, 4, 4);
	mixed_cluster(ENOSPC, 0, 4, 4);
	mixed_cluster(ENOMEM, 0, 0, 0);
}

static void
unmap_here(void)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

KTEST(T1_unmapped_while_it_is_read, "T-1: memory that is unmapped while a fault reads it: the anon goes once")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	CHECK(ts_pageout(tm_proc, 0));
	ts_reading = unmap_here;
	CHECK_EQ(tm_load_error(0), EFAULT);
	CHECK(ts_reading == NULL);
	CHECK_EQ(tu_count(UVMC_fltpgrele), 1);
	CHECK(ts_exp()->swpginuse == 0 && ts_exp()->swpgonly == 0);
	CHECK_EQ(tm_load(1), 6);
	tm_shutdown();
}

/* The same with another anon put in its place: the fault must find that one (H-2). */
static void
renew(void)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK_EQ(tm_put_at(tm_proc, 0, 1, 'a'), 0);
	tm_store(0, 99);
}

KTEST(H2_another_anon_after_the_read, "H-2: after the read the fault looks its anon up anew")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	ts_reading = renew;
	CHECK_EQ(tm_load(0), 99);
	CHECK_EQ(ts_exp()->swpginuse, 0);
	tm_shutdown();
}

/* The slot's anon is replaced while it lives on in the child: map unchanged. */
static struct proc *t37_child;

static void
free_here(void)
{
	/* MADV_FREE is for memory nobody shares: so a store by force of amap_unadd */
	struct vm_map_entry *e;
	struct vm_anon *anon;

	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(0), &e));
	amap_lock(e->aref.ar_amap);
	anon = amap_lookup(&e->aref, 0);
	mutex_enter(&anon->an_lock);
	CHECK(anon->an_ref == 2);
	amap_unadd(&e->aref, 0);
	anon->an_ref--;
	mutex_exit(&anon->an_lock);
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
}

KTEST(T37_slot_has_no_such_anon_after_the_read, "T-37: the amap's slot is looked at again after the read")
{
	ts_boot(1, NPAGES, 64, 1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	tm_store(1, 6);
	CHECK_EQ(proc_fork(tm_proc, "child", &t37_child), 0);
	tm_store(1, 7);					/* an amap of its own, anon 0 shared */
	CHECK(ts_pageout(tm_proc, 0));
	ts_reading = free_here;
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(tm_load_in(t37_child, 0), 5);
	proc_exit(t37_child);
	tm_shutdown();
}

KTEST(host_file_that_is_full, "a swap file that cannot grow is a write error, and no data are lost")
{
	struct swapon_args sa = { .sa_priority = 0, .sa_bytes = ptoa(4) };
	int dev, fd;

	ts_boot(1, NPAGES, 8, 1);
	CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	/* a read-only file in its place: every write fails */
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd >= 0 && dup2(fd, swap_devs[dev - 1].swd_fd) >= 0);
	close(fd);
	CHECK(ts_pageout(tm_proc, 0));
	CHECK(ts_resident(tm_proc, 0) && ts_exp()->npgbad == 1);
	CHECK_EQ(tm_load(0), 5);
	CHECK_EQ(uvm_swap_off(dev), 0);			/* only the bad slot was left */
	CHECK(ts_exp()->npgbad == 0 && ts_exp()->swpginuse == 0);
	tm_shutdown();
}

/* --- the end --- */

static char leaks[128];

static bool
sink(const struct violation *v)
{
	if (v->v_kind != VIOL_LEAK)
		return false;
	snprintf(leaks + strlen(leaks), sizeof(leaks) - strlen(leaks), "%s ", v->v_id);
	return true;
}

KTEST(leaked_slot_is_found, "a slot that nobody gives back is a leak at shutdown, and so is swpgonly")
{
	failure_sink = sink;
	ts_boot(1, NPAGES, 8, 1);
	CHECK(alloc(2) > 0);
	proc_attach(NULL);
	proc_exit(tm_proc);
	uao_detach(tm_obj);
	CHECK(uvm_shutdown() > 0);
	CHECK_STR(leaks, "I-SWP-4 ");
	leaks[0] = '\0';
	ts_boot(1, NPAGES, 8, 1);
	swapcount.sc_swpgonly = 1;
	proc_attach(NULL);
	proc_exit(tm_proc);
	uao_detach(tm_obj);
	CHECK(uvm_shutdown() > 0);
	CHECK_STR(leaks, "I-SWP-2 ");
}

KTEST_MAIN()
