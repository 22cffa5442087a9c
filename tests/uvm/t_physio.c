/*
 * Raw I/O (uvm-spec 6.8): between a device, which is a host file here, and the memory
 * of a process, by frame.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/inject.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	DEVSIZE	(2UL << 20)

void	__real_disk_strategy(struct buf *);
void	__wrap_disk_strategy(struct buf *);

static struct vnode *dev;

/* What the next transfer of the device meets: called before the data move. */
static void (*in_flight)(struct buf *);
static int fail_request = -1;		/* that many requests from now on; no longer a file then */

void
__wrap_disk_strategy(struct buf *bp)
{
	if (in_flight != NULL && bp->b_fd == dev->v_fd)
		in_flight(bp);
	if (fail_request == 0)
		bp->b_fd = -1;
	else if (fail_request > 0)
		fail_request--;
	__real_disk_strategy(bp);
}

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	dev = tu_file(DEVSIZE);
}

static void
end(void)
{
	vrele(dev);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	tm_shutdown();
}

/* => the errno; len bytes must have been moved if it is 0 */
static int
raw(voff_t off, vaddr_t uva, vsize_t len, bool read)
{
	vsize_t n = len;
	int error = sys_physio(tm_proc, dev, off, uva, &n, read);

	CHECK(error != 0 || n == len);
	return error;
}

static uint64_t
byte_of(uint64_t word, voff_t off)
{
	return (word >> (8 * (off & 7))) & 0xff;
}

/* Bytes of the device from off on are what user memory at va has, whatever its alignment. */
static void
check_read(vaddr_t va, voff_t off, vsize_t len)
{
	for (vsize_t i = 0; i < len; i += 61) {
		uint8_t byte = 0;
		voff_t at = off + (voff_t)i;

		CHECK_EQ(copyin(va + i, &byte, 1), 0);
		CHECK_EQ(byte, byte_of(tu_word(at & ~(voff_t)7), at));
	}
}

KTEST(reads_come_in_chunks_of_any_alignment, "what the device has is in memory afterwards, and not a byte beside it is touched")
{
	static const struct { vsize_t at, len; voff_t off; } cases[] = {
		{ 0, 4096, 0 }, { 0, 512, 512 }, { 8, 512, 0 }, { 3584, 1024, 4096 },
		{ 0, 65536, 0 }, { 0, 200704, 8192 }, { 512, 131072, 512 }, { 8, 196608, 1024 },
		{ 4088, 66048, 0 }, { 1, 70144, 512 },
	};
	uint64_t shared;

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 60, 'a'), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		vaddr_t va = TM_VA(1) + cases[i].at;
		uint8_t guard = 0xa5, byte;

		CHECK_EQ(copyout(&guard, va - 1, 1), 0);
		CHECK_EQ(copyout(&guard, va + cases[i].len, 1), 0);
		shared = tu_count(UVMC_physio_shared);
		CHECK_EQ(raw(cases[i].off, va, cases[i].len, true), 0);
		check_read(va, cases[i].off, cases[i].len);
		CHECK_EQ(copyin(va - 1, &byte, 1), 0);
		CHECK_EQ(byte, guard);
		CHECK_EQ(copyin(va + cases[i].len, &byte, 1), 0);
		CHECK_EQ(byte, guard);
		/* chunks end with a page unless the buffer is not at a block */
		CHECK_EQ(tu_count(UVMC_physio_shared) > shared,
		    cases[i].at % DEV_BSIZE != 0 && cases[i].len > 65536);
	}
	end();
}

KTEST(writes_go_out, "what memory has is on the device afterwards, and nothing else has changed there")
{
	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 40, 'a'), 0);
	for (int i = 0; i < 40; i++)
		tm_store(i, 1000 + (uint64_t)i);
	CHECK_EQ(raw(4096, TM_VA(0), ptoa(40), false), 0);
	for (int i = 0; i < 40; i++)
		CHECK_EQ(tu_host_word(dev, (voff_t)ptoa((vaddr_t)i + 1)), 1000 + (uint64_t)i);
	CHECK_EQ(tu_host_word(dev, 4088), tu_word(4088));
	CHECK_EQ(tu_host_word(dev, (voff_t)ptoa(41)), tu_word((voff_t)ptoa(41)));
	end();
}

KTEST(errors_of_raw_IO, "EINVAL, EFAULT, the device's end, and what cannot be stored to; nothing stays wired")
{
	vsize_t n;

	begin(1);
	tm_put(tm_proc, "aarr.a");
	CHECK_EQ(raw(1, TM_VA(0), 512, true), EINVAL);
	CHECK_EQ(raw(-512, TM_VA(0), 512, true), EINVAL);
	CHECK_EQ(raw(0, TM_VA(0), 100, true), EINVAL);
	CHECK_EQ(raw(0, TM_VA(4), 512, true), EFAULT);
	CHECK_EQ(raw(0, ~0UL - 4095, 8192, true), EFAULT);
	CHECK_EQ(raw(0, TM_VA(2), 512, true), EFAULT);		/* the device would store */
	CHECK_EQ(raw(0, TM_VA(2), 512, false), 0);
	n = ptoa(6);
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, false), EFAULT);
	CHECK_EQ(n, 0);
	n = ptoa(2);
	CHECK_EQ(sys_physio(tm_proc, dev, (voff_t)(DEVSIZE - 512), TM_VA(0), &n, true), 0);
	CHECK_EQ(n, 512);
	n = 512;
	CHECK_EQ(sys_physio(tm_proc, dev, (voff_t)DEVSIZE, TM_VA(0), &n, true), 0);
	CHECK_EQ(n, 0);
	n = 512;
	CHECK_EQ(sys_physio(tm_proc, dev, (voff_t)DEVSIZE, TM_VA(0), &n, false), ENOSPC);
	CHECK_EQ(n, 0);
	end();
}

KTEST(a_failure_counts_what_came_before, "a hole, or a chunk that the device fails, ends the call with the bytes before it")
{
	vsize_t n;

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 40, 'a'), 0);
	n = ptoa(48);
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), EFAULT);
	CHECK_EQ(n, ptoa(32));			/* two chunks of 16 pages; the third has the hole */
	check_read(TM_VA(0), 0, n);
	for (int k = 0; k < 2; k++) {
		fail_request = k;		/* and those behind it, which does not count */
		n = ptoa(40);
		CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), EIO);
		CHECK_EQ(n, ptoa(16 * (vaddr_t)k));
		CHECK_EQ(uvm.wired, 0);
	}
	end();
}

KTEST(a_window_that_cannot_be_had_is_ENOMEM, "no memory for a chunk's window: ENOMEM, nothing moved, nothing wired; without the shortage it is as ever")
{
	vsize_t n = ptoa(20);

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 20, 'a'), 0);
	CHECK_EQ(inject_configure("kva:p=1", 1, NULL, 0), 0);
	inject_start();
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), ENOMEM);
	inject_stop();
	CHECK_EQ(n, 0);
	CHECK_EQ(uvm.wired, 0);
	n = ptoa(20);
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), 0);
	CHECK_EQ(n, ptoa(20));
	check_read(TM_VA(0), 0, n);
	end();
}

KTEST(a_device_that_ends_early_fails, "what a device has no data for, though it said so, is not counted as moved")
{
	vsize_t n = ptoa(4);

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 4, 'a'), 0);
	CHECK_EQ(ftruncate(dev->v_fd, (off_t)ptoa(2) + 512), 0);
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), EIO);
	CHECK_EQ(n, ptoa(2) + 512);
	check_read(TM_VA(0), 0, n);
	end();
}

static unsigned nchunks, most_wired;

static void
look_at_first(struct buf *bp)
{
	uint32_t wired = PHYS_TO_VM_PAGE(bp->b_pages[0])->wire_count;

	nchunks++;
	if (wired > most_wired)
		most_wired = wired;
}

KTEST(chunks_that_share_a_page_do_not_overlap, "a chunk that begins in the page where the last one ended begins when that is over")
{
	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 60, 'a'), 0);
	in_flight = look_at_first;
	CHECK_EQ(raw(0, TM_VA(0) + 8, 196608, true), 0);
	CHECK_EQ(most_wired, 1);
	CHECK_EQ(nchunks, 4);
	in_flight = NULL;
	end();
}

static void
count_chunk(struct buf *bp)
{
	nchunks++;
}

KTEST(a_call_has_sixteen_chunks_under_way, "more than so many are not started, and none after one that failed")
{
	vsize_t n = ptoa(20 * 16);

	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 20 * 16, 'a'), 0);
	in_flight = count_chunk;
	CHECK_EQ(raw(0, TM_VA(0), n, true), 0);		/* start_chunk() asserts the first half */
	CHECK_EQ(nchunks, 20);
	nchunks = 0;
	fail_request = 0;
	CHECK_EQ(sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true), EIO);
	CHECK_EQ(n, 0);
	CHECK_EQ(nchunks, 16);
	in_flight = NULL;
	end();
}

static struct vm_page *page_in_flight;
static uint32_t wired_in_flight;

static void
look_in_flight(struct buf *bp)
{
	page_in_flight = PHYS_TO_VM_PAGE(bp->b_pages[0]);
	wired_in_flight = page_in_flight->wire_count;
}

KTEST(pages_are_wired_while_the_device_works, "in flight a page is wired, by mlock and I/O both; afterwards by mlock only")
{
	begin(1);
	tm_put(tm_proc, "aa");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	in_flight = look_in_flight;
	CHECK_EQ(raw(0, TM_VA(0), 4096, true), 0);
	CHECK_EQ(wired_in_flight, 2);
	CHECK_EQ(page_in_flight->wire_count, 1);
	CHECK_EQ(raw(0, TM_VA(1), 4096, true), 0);
	CHECK_EQ(wired_in_flight, 1);
	CHECK_EQ(page_in_flight->wire_count, 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	end();
}

/* --- what happens meanwhile --- */

static struct proc *child;

static void
fork_in_flight(struct buf *bp)
{
	in_flight = NULL;
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(0, 5);				/* before the device does, or it would be lost */
	tm_store(4, 6);
}

KTEST(R13_B23_T16_fork_while_a_read_is_in_flight, "device data end in the parent only, though it stores to the buffer after the fork")
{
	begin(1);
	CHECK_EQ(tm_put_at(tm_proc, 0, 5, 'a'), 0);
	for (int i = 0; i < 5; i++)
		tm_store(i, 100 + (uint64_t)i);
	in_flight = fork_in_flight;
	CHECK_EQ(raw(0, TM_VA(0), ptoa(4), true), 0);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa((vaddr_t)i)));
		CHECK_EQ(tm_load_in(child, i), 100 + (uint64_t)i);
	}
	CHECK_EQ(tm_load(4), 6);
	CHECK_EQ(tm_load_in(child, 4), 104);
	proc_exit(child);
	end();
}

static struct vnode *file;

static void
msync_in_flight(struct buf *bp)
{
	in_flight = NULL;
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(2), UMS_SYNC), 0);
}

KTEST(R31_device_data_are_dirty, "a file page that is written while the device stores to it is written again later")
{
	vaddr_t va = TM_VA(0);

	begin(1);
	file = tu_file(ptoa(2));
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), RW, UMAP_SHARED | UMAP_FIXED, file,
	    UF_READ | UF_WRITE, 0), 0);
	in_flight = msync_in_flight;
	CHECK_EQ(raw((voff_t)ptoa(8), TM_VA(0), ptoa(2), true), 0);
	CHECK_EQ(tm_load(1), tu_word((voff_t)ptoa(9)));
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(2), UMS_SYNC), 0);
	CHECK_EQ(tu_host_word(file, 0), tu_word((voff_t)ptoa(8)));
	CHECK_EQ(tu_host_word(file, PAGE_SIZE), tu_word((voff_t)ptoa(9)));
	vrele(file);
	end();
}

static void
protect_in_flight(struct buf *bp)
{
	in_flight = NULL;
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(2), VM_PROT_NONE), 0);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(1), RW), 0);
	tm_store(0, 3);
}

KTEST(B8_frames_are_captured_not_addresses, "mprotect in flight takes mappings away; the data arrive, the counts are right")
{
	begin(1);
	tm_put(tm_proc, "ao");
	in_flight = protect_in_flight;
	CHECK_EQ(raw(0, TM_VA(0), ptoa(2), true), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(tm_load(0), tu_word(0));
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), ptoa(1), RW), 0);
	CHECK_EQ(tm_load(1), tu_word(PAGE_SIZE));
	end();
}

KTEST(raw_IO_to_a_frame_buffer, "a disk may read into device memory, and write from it, but not registers")
{
	vaddr_t va = TM_VA(0), regs = TM_VA(4);

	begin(1);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, ptoa(2), RW, UMAP_SHARED | UMAP_FIXED, DEV_FB, 0), 0);
	CHECK_EQ(sys_mmap_device(tm_proc, &regs, ptoa(1), RW, UMAP_SHARED | UMAP_FIXED, DEV_FBREG,
	    0), 0);
	CHECK_EQ(raw(8192, TM_VA(0), ptoa(2), true), 0);
	CHECK_EQ(fb_word(1, 1), tu_word(8192 + 4096 + 8));
	tm_store(0, 99);
	CHECK_EQ(raw(0, TM_VA(0), 512, false), 0);
	CHECK_EQ(tu_host_word(dev, 0), 99);
	CHECK_EQ(raw(0, TM_VA(4), 512, true), EFAULT);
	end();
}

/* --- threads --- */

#define	SLOTS	4			/* buffers of a thread */

/* Each thread has a part of the device and of memory; buffers overlap in their pages. */
static void
raw_main(struct tm_thread *tt)
{
	const vaddr_t base = TM_VA(0) + (vaddr_t)tt->tt_number * 24 * DEV_BSIZE;
	const voff_t off = tt->tt_number * 24 * DEV_BSIZE;

	for (unsigned i = 0; i < ktest_scale(60); i++) {
		vsize_t n = DEV_BSIZE * (1 + host_rng_below(&curlwp->l_rng, 24)), got = n;
		uint64_t w = 0;

		CHECK_EQ(sys_physio(tm_proc, dev, off, base, &got, true), 0);
		CHECK_EQ(got, n);
		check_read(base, off, n);
		CHECK_EQ(user_store(base, i), 0);
		CHECK_EQ(sys_physio(tm_proc, dev, off, base, &got, false), 0);
		CHECK_EQ(tu_host_word(dev, off), i);
		w = tu_word(off);
		CHECK_EQ(user_store(base, w), 0);
		CHECK_EQ(sys_physio(tm_proc, dev, off, base, &got, false), 0);
		lwp_userret(16);
	}
}

static void
lock_main(struct tm_thread *tt)
{
	do {
		int page = (int)host_rng_below(&curlwp->l_rng, 10);

		CHECK_EQ(sys_mlock(tm_proc, TM_VA(page), ptoa(3)), 0);
		(void)sys_msync(tm_proc, TM_VA(page), ptoa(3), UMS_SYNC | UMS_INVALIDATE);
		(void)sys_munlock(tm_proc, TM_VA(page), ptoa(3));
	} while (tm_go_on(tt));
}

KTEST(T13_T14_raw_IO_and_mlock_of_shared_pages, "buffers that share pages with each other, below mlock and munlock: data right, counts back to 0")
{
	struct tm_thread tt[3], locker;

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 13, 'a'), 0);
	tm_start(tm_proc, &locker, 1, lock_main, NULL);
	tm_start(tm_proc, tt, 3, raw_main, NULL);
	tm_wait(tt, 3);
	tm_stop();
	tm_wait(&locker, 1);
	CHECK_EQ(sys_munlockall(tm_proc), 0);
	end();
}

/* The range goes and comes while I/O to it is started again and again. */
static void
unmap_main(struct tm_thread *tt)
{
	do {
		vaddr_t to = TM_VA(0);

		CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(8)), 0);
		CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
		CHECK_EQ(tm_put_at(tm_proc, 4, 4, 'a'), 0);		/* over it */
		CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(8), &to, ptoa(4), false), 0);
	} while (tm_go_on(tt));
}

static void
raw_or_fault(struct tm_thread *tt)
{
	for (unsigned i = 0; i < ktest_scale(300); i++) {
		vsize_t n = ptoa(2 + host_rng_below(&curlwp->l_rng, 7));
		int error = sys_physio(tm_proc, dev, 0, TM_VA(0), &n, true);

		CHECK(error == 0 || error == EFAULT);
		lwp_userret(4);
	}
}

KTEST(unmapping_waits_for_IO, "munmap, MAP_FIXED and mremap of a range under I/O: no frame goes that the device has")
{
	struct tm_thread tt[3], unmapper;

	begin(4);
	CHECK_EQ(tm_put_at(tm_proc, 0, 8, 'a'), 0);
	tm_start(tm_proc, &unmapper, 1, unmap_main, NULL);
	tm_start(tm_proc, tt, 3, raw_or_fault, NULL);
	tm_wait(tt, 3);
	tm_stop();
	tm_wait(&unmapper, 1);
	end();
}

KTEST_MAIN()
