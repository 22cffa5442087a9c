/*
 * The simulated disk: frames to and from a host file.
 */
#include "fakevm.h"

#include <errno.h>
#include <fcntl.h>
#include <ktest_kern.h>
#include <machine/disk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sleepq.h>
#include <unistd.h>

static struct vm_page *pg[BUF_MAXPAGES];
static int fd;
static struct buf buf;
static unsigned done;
static int done_ipl;
static bool done_in_interrupt;

static void
iodone(struct buf *bp)
{
	CHECK(bp == &buf);
	done++;
	done_ipl = curcpu()->ci_ilevel;
	done_in_interrupt = cpu_intr_p();
}

static void
begin(void)
{
	fv_boot(1, false);
	disk_init(0, false, 1);
	fd = memfd_create("disk", 0);
	CHECK(fd >= 0);
	for (int i = 0; i < BUF_MAXPAGES; i++)
		pg[i] = fv_alloc();
}

static void
end(void)
{
	for (int i = 0; i < BUF_MAXPAGES; i++)
		fv_free(pg[i]);
	close(fd);
	disk_fini();
	fv_shutdown();
}

static void
submit(bool write, uint64_t offset, uint32_t bytes)
{
	memset(&buf, 0, sizeof(buf));
	buf.b_fd = fd;
	buf.b_write = write;
	buf.b_offset = offset;
	buf.b_bytes = bytes;
	buf.b_npages = (int)atop(round_page(bytes));
	/* Backwards, so that frames in order of address would be wrong. */
	for (int i = 0; i < buf.b_npages; i++)
		buf.b_pages[i] = fv_pa(pg[BUF_MAXPAGES - 1 - i]);
	buf.b_iodone = iodone;
	disk_strategy(&buf);
	if (curcpu()->ci_ilevel == IPL_NONE)
		ktest_settle();
}

KTEST(what_is_written_is_read_back,
    "what is written is read back")
{
	begin();
	for (int i = 0; i < BUF_MAXPAGES; i++)
		fv_fill(pg[i], 100 + i);
	submit(true, 8 * PAGE_SIZE, MAXPHYS);
	CHECK(done == 1);
	CHECK(buf.b_error == 0);
	CHECK(buf.b_resid == 0);
	for (int i = 0; i < BUF_MAXPAGES; i++)
		fv_fill(pg[i], 0);
	submit(false, 8 * PAGE_SIZE, MAXPHYS);
	CHECK(done == 2);
	for (int i = 0; i < BUF_MAXPAGES; i++) {
		CHECK(fv_words(pg[i])[0] == 100 + (uint64_t)i);
		CHECK(fv_words(pg[i])[511] == 100 + (uint64_t)i);
	}
	CHECK(disk_requests(true) == 1);
	CHECK(disk_requests(false) == 1);
	end();
}

KTEST(frames_that_adjoin_are_no_others,
    "frames that adjoin go out and come in in the request's order, as those that do not")
{
	static const int order[] = { 3, 4, 5, 0, 1, 9, 8, 7, 2, 6 };
	const int n = sizeof(order) / sizeof(order[0]);
	uint64_t word;

	begin();
	for (int turn = 0; turn < 2; turn++) {		/* up, then down: one of them adjoins */
		memset(&buf, 0, sizeof(buf));
		buf.b_fd = fd;
		buf.b_write = true;
		buf.b_npages = n;
		buf.b_bytes = (uint32_t)n * PAGE_SIZE;
		buf.b_iodone = iodone;
		for (int i = 0; i < n; i++) {
			const int at = turn == 0 ? i : n - 1 - i;

			fv_fill(pg[order[at]], 1000 + (uint64_t)i);
			buf.b_pages[i] = fv_pa(pg[order[at]]);
		}
		disk_strategy(&buf);
		ktest_settle();
		for (int i = 0; i < n; i++) {
			CHECK(pread(fd, &word, sizeof(word), i * (off_t)PAGE_SIZE + 504 * 8) == sizeof(word));
			CHECK_EQ(word, 1000 + (uint64_t)i);
			fv_fill(pg[order[i]], 0);
		}
		buf.b_write = false;
		disk_strategy(&buf);
		ktest_settle();
		for (int i = 0; i < n; i++)
			CHECK_EQ(fv_words(pg[order[turn == 0 ? i : n - 1 - i]])[511], 1000 + (uint64_t)i);
	}
	end();
}

KTEST(completion_is_an_interrupt_at_ipl_vm,
    "completion is an interrupt at ipl vm")
{
	int s;

	begin();
	submit(true, 0, PAGE_SIZE);
	CHECK(done == 1);			/* T-79: before disk_strategy() returned */
	CHECK(done_in_interrupt);
	CHECK(done_ipl == IPL_VM);
	s = splvm();
	submit(true, 0, PAGE_SIZE);
	CHECK(done == 1);
	splx(s);
	ktest_settle();
	CHECK(done == 2);
	end();
}

KTEST(end_of_file_leaves_a_residue,
    "end of file leaves a residue")
{
	begin();
	CHECK(ftruncate(fd, PAGE_SIZE + 100) == 0);
	fv_fill(pg[BUF_MAXPAGES - 2], ~0UL);
	submit(false, 0, 4 * PAGE_SIZE);
	CHECK(buf.b_error == 0);
	CHECK(buf.b_resid == 3 * PAGE_SIZE - 100);
	CHECK(fv_words(pg[BUF_MAXPAGES - 2])[0] == 0);
	CHECK(fv_words(pg[BUF_MAXPAGES - 2])[511] == ~0UL);
	submit(false, 100 * PAGE_SIZE, PAGE_SIZE);
	CHECK(buf.b_error == 0);
	CHECK(buf.b_resid == PAGE_SIZE);
	end();
}

KTEST(part_of_a_page_is_written,
    "part of a page is written")
{
	begin();
	submit(true, 0, PAGE_SIZE + 10);
	CHECK(buf.b_error == 0);
	CHECK(lseek(fd, 0, SEEK_END) == PAGE_SIZE + 10);
	end();
}

KTEST(errors_of_the_host_arrive,
    "errors of the host arrive")
{
	int good;

	begin();
	good = fd;
	fd = open("/dev/full", O_RDWR);
	CHECK(fd >= 0);
	submit(true, 0, PAGE_SIZE);
	CHECK(buf.b_error == ENOSPC);
	CHECK(buf.b_resid == PAGE_SIZE);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd >= 0);
	submit(true, 0, PAGE_SIZE);
	CHECK(buf.b_error == EBADF);
	CHECK(done == 2);
	close(fd);
	fd = good;
	end();
}

/* --- latency, and other CPUs --- */

#define	REQUESTS	12
static struct buf slow[REQUESTS];
static int order[REQUESTS];		/* @ which request was the nth to complete */
static unsigned completed;		/* @ */
static unsigned elsewhere;		/* @ of which on a CPU that did not submit them */

static void
slow_done(struct buf *bp)
{
	unsigned n = __atomic_fetch_add(&completed, 1, __ATOMIC_RELAXED);

	CHECK(cpu_intr_p());
	CHECK(n < REQUESTS);
	order[n] = (int)(bp - slow);
	if (curcpu()->ci_index != (int)(intptr_t)bp->b_private)
		__atomic_fetch_add(&elsewhere, 1, __ATOMIC_RELAXED);
}

/* => all requests have been submitted and are complete; the machine is gone */
static void
slow_run(int ncpus, uint64_t latency_ns, bool anycpu, uint64_t seed)
{
	struct vm_page *frame;
	int file = memfd_create("disk", 0);

	fv_boot(ncpus, false);
	disk_init(latency_ns, anycpu, seed);
	frame = fv_alloc();
	completed = elsewhere = 0;
	for (int i = 0; i < REQUESTS; i++) {
		slow[i] = (struct buf){
			.b_fd = file, .b_write = true, .b_bytes = PAGE_SIZE, .b_npages = 1,
			.b_pages = { fv_pa(frame) }, .b_iodone = slow_done,
			.b_private = (void *)(intptr_t)curcpu()->ci_index,
		};
		disk_strategy(&slow[i]);
		if (ncpus == 1 && latency_ns != 0)
			CHECK_EQ(completed, 0);
	}
	while (__atomic_load_n(&completed, __ATOMIC_ACQUIRE) < REQUESTS)
		kpause("slow", 1000000);
	fv_free(frame);
	disk_fini();
	fv_shutdown();
	close(file);
}

KTEST(latency_delays_and_reorders,
    "with a latency requests complete later and out of order; one CPU and one seed do so the same way twice")
{
	int first[REQUESTS];
	unsigned overtaken = 0;

	slow_run(1, 50000, false, 1);
	memcpy(first, order, sizeof(first));
	for (int i = 0; i < REQUESTS; i++)
		overtaken += first[i] != i;
	CHECK(overtaken > 0);
	slow_run(1, 50000, false, 1);
	CHECK(memcmp(first, order, sizeof(first)) == 0);
	slow_run(1, 50000, false, 2);
	CHECK(memcmp(first, order, sizeof(first)) != 0);
}

KTEST(completions_come_where_they_are_to,
    "completions come on the submitter's CPU, or with anycpu on others; with latency and without")
{
	slow_run(4, 0, false, 1);
	CHECK_EQ(elsewhere, 0);
	slow_run(4, 50000, false, 1);
	CHECK_EQ(elsewhere, 0);
	slow_run(4, 0, true, 1);
	CHECK(elsewhere > 0);
	slow_run(4, 50000, true, 1);
	CHECK(elsewhere > 0);
}

KTEST_DEATH(fini_with_a_request_in_flight_panics,
    "fini with a request in flight panics", "in flight")
{
	begin();
	(void)splvm();
	submit(true, 0, PAGE_SIZE);
	disk_fini();
}

KTEST_MAIN()
