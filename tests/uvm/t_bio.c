/*
 * UBC: read() and write() of regular files, one thing at a time (uvm-spec 11).
 */
#include "tmap.h"

#include <string.h>
#include <uvm/uvm_bio_i.h>

KTEST(read_gives_what_the_file_holds, "read gives what the file holds")
{
	struct vnode *vp;
	size_t len;

	tm_boot(1, 1600);
	vp = tu_file(5 * PAGE_SIZE + 100);
	tm_put(tm_proc, "aaaaaaaa");
	len = 8 * PAGE_SIZE;
	CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	CHECK_EQ(len, 5 * PAGE_SIZE + 100);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	vrele(vp);
	tm_shutdown();
}

KTEST(write_is_seen_by_read, "write is seen by read")
{
	struct vnode *vp;
	size_t len;

	tm_boot(1, 1600);
	vp = tu_file(5 * PAGE_SIZE + 100);
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 100 + (uint64_t)i);
	len = 7 * PAGE_SIZE + 8;
	CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	CHECK_EQ(len, 7 * PAGE_SIZE + 8);
	for (int i = 0; i < 8; i++)
		tm_store(i, 0);
	len = 8 * PAGE_SIZE;
	CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	CHECK_EQ(len, 7 * PAGE_SIZE + 8);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), 100 + i);
	CHECK(tu_count(UVMC_ubc_faultbusy) > 0);
	vrele(vp);
	tm_shutdown();
}

KTEST_MAIN()
