/*
 * Scenarios of swap devices, step by step: writes that fail, and devices that are taken off.
 */
#include <errno.h>

#include "scenario_pageout.h"

/* --- T-45 --- */

static void
unmap_one(void *arg)
{
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), PAGE_SIZE), 0);
}

static void
load_of_each_kind(void *arg)
{
	CHECK(tm_load(1) == 5 && tm_load(40) == 5);
}

/* Clusters of anons and of an object's pages are on their way, and cannot be written; one anon dies meanwhile. */
SCENARIO(T45_mixed_clusters_that_cannot_be_written,
    "EIO costs the slots, and no data: all pages are there, the slots are bad, and an anon that died is gone (I-SWP-1, I-SWP-4)")
{
	begin(128, 1);
	aged(0, 32, 'a');
	aged(32, 32, 'o');
	uvm_swap_inject(1, 0, 1, EIO);
	SCRIPT("k until done; pgdaemon until io; d until done; r until blocked; pgdaemon until blocked; r until done",
	    { "d", NULL, unmap_one, NULL }, { "r", tm_proc, load_of_each_kind, NULL }, DAEMON, SQUEEZE);
	tu_release();
	settle();
	CHECK(tu_count(UVMC_swapout_error) >= 64 && ts_exp()->npgbad >= 64);
	CHECK_EQ(ts_exp()->swpginuse, ts_exp()->npgbad);
	for (int i = 1; i < 64; i++)
		CHECK(ts_resident(tm_proc, i) && tm_load(i) == 5);
	end();
}

/* --- T-47 --- */

static void
off(void *arg)
{
	CHECK_EQ(uvm_swap_off(1), 0);
}

static void
prefer(void *arg)
{
	CHECK_EQ(uvm_swap_ctl(1, 0), ENOENT);
}

/* A cluster is about to be written to device 1, which is taken off; p wants to change its priority. */
SCENARIO(T47_swapoff_while_a_cluster_is_on_its_way,
    "swapoff waits for slots that are still to be written, and brings all back (I-SWP-6, I-SWP-7)")
{
	struct swapon_args sa = { .sa_bytes = ptoa(16), .sa_priority = 0 };
	int dev;

	begin(128, 2);
	aged(0, 64, 'a');
	SCRIPT("k until done; pgdaemon until io; o until wait; p until blocked; pgdaemon until blocked; o until done; p until done",
	    { "o", NULL, off, NULL }, { "p", NULL, prefer, NULL }, DAEMON, SQUEEZE);
	tu_release();
	settle();
	CHECK(tu_count(UVMC_pgswapout) >= 16);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(tm_load(i), 5);
	CHECK_EQ(uvm_swap_on(&sa, &dev), 0);
	CHECK_EQ(dev, 1);
	end();
}

/* All slots of the cluster are free again, since it could not be written; but its end is still under way. */
SCENARIO(T47_swapoff_while_a_failed_cluster_is_cleaned_up,
    "swapoff waits for the end of a transfer even if no slot of it is left (I-SWP-7)")
{
	begin(128, 1);
	aged(0, 64, 'a');
	uvm_swap_inject(1, 0, 1, ENOMEM);
	SCRIPT("k until done; pgdaemon until io; pgdaemon until blocked; aiodone until lock(swap) x68; o until wait x2; aiodone until unlock(swap); o until done",
	    { "o", NULL, off, NULL }, DAEMON, SQUEEZE, { "aiodone", NULL, NULL, NULL });
	CHECK_EQ(tu_count(UVMC_swapout_error), 64);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(tm_load(i), 5);
	end();
}

/* --- T-72 --- */

static void
load_shared(void *arg)
{
	CHECK_EQ(tm_load_error(0), EFAULT);
}

static void
detach(void *arg)
{
	struct uvm_object *segment = tm_obj;

	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(2)), 0);
	tm_obj = uao_create(ptoa(8), 0);
	uao_detach(segment);
}

/* swapoff reads a page of a segment, f waits for it; d, the last who has the segment, gives it up. */
SCENARIO(T72_segment_goes_while_swapoff_reads_it_and_a_fault_waits,
    "the last reference to an object may be swapoff's own, or a fault's: it goes once, with its slots (I-OBJ-4, I-SWP-7, B-3)")
{
	begin(64, 1);
	tm_put(tm_proc, "oo");
	for (int i = 0; i < 2; i++) {
		tm_store(i, 5);
		CHECK(ts_pageout(tm_proc, i));
	}
	SCRIPT("o until io; f until blocked; d until done; o until done; f until done",
	    { "o", NULL, off, NULL }, { "f", tm_proc, load_shared, NULL }, { "d", NULL, detach, NULL });
	CHECK(ts_exp()->naobj == 1 && ts_exp()->swpginuse == 0 && ts_exp()->nswapdev == 0);
	end();
}
MISTAKE(T72_segment_goes_while_swapoff_reads_it_and_a_fault_waits, aobj_swapoff_self, "lock-order|rank|recursi|against")

KTEST_MAIN()
