/*
 * The simulated disk.
 *
 * disk_strategy() moves the data at once, between the host file and frames of
 * simulated RAM, as a DMA engine would: by physical address, past every TLB
 * and page table.  The request then waits on its CPU's queue for IRQ_DISK,
 * which comes as soon as that CPU's IPL is below IPL_VM; the handler calls
 * b_iodone.  So the submitter's own b_iodone may run inside disk_strategy()
 * (T-79), and one CPU with one seed does everything in one order.
 *
 * With a latency the request waits in between: a callout, so much later, give or take a
 * half, interrupts a CPU, and there some of those that wait, picked by the seed, are
 * complete.  So they overtake each other.  Each CPU announces what is in its own queue,
 * which is the submitter's CPU's or, with anycpu, that of the interrupt.
 */
#include <machine/disk.h>

#include <errno.h>
#include <host/sched.h>
#include <machine/device.h>
#include <machine/ram.h>
#include <sys/callout.h>
#include <sys/cpu.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/lockevent.h>
#include <sys/mutex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static kmutex_t disk_lock;			/* LC_disk, IPL_VM */
static TAILQ_HEAD(, buf) disk_done[MAXCPUS];	/* disk_lock: transferred, not announced */
static uint64_t disk_inflight;			/* disk_lock: submitted, not announced */
static uint64_t disk_nreq[2];			/* disk_lock: [read, write], read @ */


static uint64_t disk_latency;			/* : 0: none */
static bool disk_anycpu;			/* : completions on any CPU */
static struct host_rng disk_rng;		/* disk_lock */
static TAILQ_HEAD(, buf) disk_waiting;		/* disk_lock: transferred, their time has not come */
static unsigned disk_nwaiting;			/* disk_lock; > 0: disk_arm is pending, or has fired */
static struct callout disk_arm;
static int disk_cpu;				/* only the callout, which never runs twice at once */
static bool disk_arrived;			/* @ it has fired, and no CPU has seen to it */

static void	disk_intr(void *);
static void	disk_turn(void *);

void
disk_init(uint64_t latency_ns, bool anycpu, uint64_t seed)
{
	mutex_init(&disk_lock, MUTEX_DEFAULT, IPL_VM, LC_disk);
	for (int i = 0; i < MAXCPUS; i++)
		TAILQ_INIT(&disk_done[i]);
	disk_inflight = 0;
	disk_nreq[0] = disk_nreq[1] = 0;
	disk_latency = latency_ns;
	disk_anycpu = anycpu;
	host_rng_init(&disk_rng, seed, UINT64_C(0xd15c));
	TAILQ_INIT(&disk_waiting);
	disk_nwaiting = 0;
	disk_arrived = false;
	disk_cpu = 0;
	callout_init(&disk_arm, disk_turn, NULL);
	intr_establish(IRQ_DISK, IPL_VM, disk_intr, NULL);
}

void
disk_fini(void)
{
	mutex_enter(&disk_lock);
	KASSERTMSG(disk_inflight == 0, "%llu requests in flight",
	    (unsigned long long)disk_inflight);
	mutex_exit(&disk_lock);
	callout_halt(&disk_arm);
	mutex_destroy(&disk_lock);
}

/* => the next piece of the request from byte `done` on; number of vectors: frames that adjoin share one */
static int
disk_vector(const struct buf *bp, uint32_t done, struct iovec *iov)
{
	uint32_t left = bp->b_bytes - done;
	const char *end = NULL;
	int n = 0;

	while (left > 0) {
		uint32_t at = bp->b_pgoff + done, in = at & PAGE_MASK;
		uint32_t len = left < PAGE_SIZE - in ? left : PAGE_SIZE - in;
		char *base = (char *)frame_host(bp->b_pages[at >> PAGE_SHIFT]) + in;

		if (base == end)
			iov[n - 1].iov_len += len;
		else
			iov[n++] = (struct iovec){ base, len };
		end = base + len;
		done += len;
		left -= len;
	}
	return n;
}

/*
 * => as preadv() and pwritev().  By number, for ThreadSanitizer takes the C library's functions
 *    for accesses by this thread; a device's come at any time (frame.c).
 */
static ssize_t
dma(const struct buf *bp, const struct iovec *iov, int niov, off_t at)
{
	if (niov == 1)			/* a page that is wanted back, mostly: with less ado */
		return syscall(bp->b_write ? SYS_pwrite64 : SYS_pread64, bp->b_fd, iov->iov_base, iov->iov_len,
		    at);
	return syscall(bp->b_write ? SYS_pwritev : SYS_preadv, bp->b_fd, iov, niov, at, 0L);
}

/*
 * => b_error and b_resid are set.  A read that meets the end of the file is no
 *    error; a write that moves nothing is one.
 */
static void
disk_transfer(struct buf *bp)
{
	struct iovec iov[BUF_MAXPAGES];
	uint32_t done = 0;
	ssize_t n;

	bp->b_error = 0;
	while (done < bp->b_bytes) {
		int niov = disk_vector(bp, done, iov);
		off_t at = (off_t)(bp->b_offset + done);

		n = dma(bp, iov, niov, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			bp->b_error = bp->b_fd < 0 ? EIO : errno;	/* no such device: it is to fail */
		else if (n == 0 && bp->b_write)
			bp->b_error = EIO;
		if (n <= 0)
			break;
		done += (uint32_t)n;
	}
	bp->b_resid = bp->b_bytes - done;
}

/* => disk_lock held: the request is announced on that CPU, soon */
static void
disk_announce(struct buf *bp, int cpu)
{
	TAILQ_INSERT_TAIL(&disk_done[cpu], bp, b_queue);
	intr_post(&cpus[cpu], IRQ_DISK);
}

/* => the next turn: latency, give or take a half; disk_lock not held, its number drawn under it */
static void
disk_schedule(uint64_t jitter)
{
	callout_schedule(&disk_arm, disk_latency / 2 + jitter);
}

static uint64_t
disk_jitter(void)
{
	return host_rng_below(&disk_rng, disk_latency + 1) + 1;
}

/* At the clock's level, above disk_lock's: so it only sends for somebody. */
static void
disk_turn(void *arg)
{
	disk_cpu = (disk_cpu + 1) % ncpu;
	/* release: pairs with the exchange in disk_intr() */
	__atomic_store_n(&disk_arrived, true, __ATOMIC_RELEASE);
	intr_post(&cpus[disk_cpu], IRQ_DISK);
}

/* => disk_lock held: one or more of those that wait are complete, in any order */
static void
disk_arrive(int me)
{
	uint64_t n = disk_nwaiting == 0 ? 0 : 1 + host_rng_below(&disk_rng, disk_nwaiting);

	for (; n > 0; n--) {
		uint64_t k = host_rng_below(&disk_rng, disk_nwaiting);
		struct buf *bp = TAILQ_FIRST(&disk_waiting);

		while (k-- > 0)
			bp = TAILQ_NEXT(bp, b_queue);
		TAILQ_REMOVE(&disk_waiting, bp, b_queue);
		disk_nwaiting--;
		if (disk_anycpu || bp->b_cpu == me)	/* who asks looks there next */
			TAILQ_INSERT_TAIL(&disk_done[me], bp, b_queue);
		else
			disk_announce(bp, bp->b_cpu);
	}
}

/*
 * => any context up to IPL_VM; no lock above LC_disk in the order
 */
void
disk_strategy(struct buf *bp)
{
	uint64_t jitter = 0;

	KASSERT(bp->b_npages > 0);
	KASSERT(bp->b_npages <= BUF_MAXPAGES);
	KASSERT(bp->b_pgoff < PAGE_SIZE);
	KASSERT(bp->b_pgoff + bp->b_bytes <= (uint32_t)bp->b_npages * PAGE_SIZE);
	KASSERT(bp->b_iodone != NULL);
	for (int i = 0; i < bp->b_npages; i++)
		KASSERT(atop(bp->b_pages[i]) < ram_npages ||
		    (device_frame(bp->b_pages[i]) && !device_register(bp->b_pages[i])));

	host_point(HP_IO, 0);
	disk_transfer(bp);
	inject_delay(INJECT_io_delay);

	mutex_enter(&disk_lock);
	bp->b_cpu = curcpu()->ci_index;
	disk_inflight++;
	/* relaxed: pairs with disk_requests(). */
	__atomic_fetch_add(&disk_nreq[bp->b_write], 1, __ATOMIC_RELAXED);
	if (disk_latency != 0) {
		TAILQ_INSERT_TAIL(&disk_waiting, bp, b_queue);
		if (disk_nwaiting++ == 0)
			jitter = disk_jitter();
	} else {
		/* Pending from here on; ours is delivered when the lock goes, if IPL allows. */
		disk_announce(bp, !disk_anycpu ? bp->b_cpu :
		    (int)host_rng_below(&disk_rng, (uint64_t)ncpu));
	}
	mutex_exit(&disk_lock);
	if (jitter != 0)
		disk_schedule(jitter);
}

/* => IPL_VM: announce what is in this CPU's queue, in order. */
static void
disk_intr(void *arg)
{
	int me = curcpu()->ci_index;
	uint64_t jitter = 0;
	struct buf *bp;

	lockevent_begin(LE_disk);
	mutex_enter(&disk_lock);
	/* acquire: pairs with disk_turn() */
	if (__atomic_exchange_n(&disk_arrived, false, __ATOMIC_ACQUIRE)) {
		disk_arrive(me);
		if (disk_nwaiting > 0)
			jitter = disk_jitter();
	}
	while ((bp = TAILQ_FIRST(&disk_done[me])) != NULL) {
		TAILQ_REMOVE(&disk_done[me], bp, b_queue);
		disk_inflight--;
		mutex_exit(&disk_lock);
		host_point(HP_IODONE, 0);
		bp->b_iodone(bp);		/* bp may be gone after it */
		mutex_enter(&disk_lock);
	}
	mutex_exit(&disk_lock);
	if (jitter != 0)
		disk_schedule(jitter);
	lockevent_end(LE_disk);
}

uint64_t
disk_requests(bool write)
{
	return __atomic_load_n(&disk_nreq[write], __ATOMIC_RELAXED);
}
