/*
 * mlock-physio: raw I/O below mlock, fork, msync and the page daemon.
 *
 * A process has two stretches of memory: anonymous, and a file mapped shared.  Each of
 * its threads owns a buffer in either, and a part of a raw device.  Buffers begin and end
 * anywhere, so neighbours share pages, and pages are wired for several transfers at once.
 * Between transfers the owner stores and checks; anybody wires, unwires, syncs and ages
 * whatever pages there are, and forks.
 *
 * Of every word, in memory and on the device, its owner knows what it holds.  A transfer
 * moves words from one model to the other.  So data that came into a frame that memory no
 * longer has, or that a child got instead, or that were lost because nobody knew that a
 * page was dirty, are missing where they should be; and at the end the host's files are
 * read and held against the models.
 *
 * From a third stretch, a file mapped private and read-only, threads write to the device
 * while others make it writable and store to it what it holds: the copy that this makes
 * must not come between I/O and the page that is wired for it (R13, T-15).  A fourth
 * stretch is mapped and unmapped all the time, with I/O to it: that reaches the device and
 * memory, or finds a hole, and whoever unmaps waits for it (I-PG-16).
 *
 * And each thread has a parcel, to which all threads of its process do I/O, wherever it is at
 * that moment, while its own moves it, wires it, lends it to the kernel and to other memory,
 * shares it and looks at it through a window.  Words of a page belong to its thread, blocks of
 * every second page to those who land them there by raw reads; none of either may be lost.
 * What is refused to wired memory is refused for certain only where nobody else wires: a child
 * tries that, on its copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>
#include <machine/nic.h>
#include <sys/sleepq.h>

#include "engine_int.h"
#include "workloads.h"

#define	ANON_BASE	0x40000000UL
#define	FILE_BASE	0x50000000UL
#define	SRC_BASE	0x60000000UL
#define	SRC_PAGES	8
#define	SCRATCH_BASE	0x70000000UL
#define	SCRATCH_PAGES	16
#define	PARCEL_BASE	0x80000000UL
#define	PARCEL_PAGES	8
#define	PARCEL_PLACE	((PARCEL_PAGES + 1) * PAGE_SIZE)	/* with a hole behind */
#define	BLOCK_WORDS	(DEV_BSIZE / 8)
#define	HOLD_NS		200000		/* who wants to move what is wired comes meanwhile */
#define	LANDINGS	(PAGE_SIZE / DEV_BSIZE - 1)	/* blocks of a page but the first */

enum { ANON, FILE_MAP, NBUF };

/* A buffer of one worker.  !: only the worker */
struct buffer {
	vaddr_t	  bf_va;		/* : any multiple of 8 */
	uint64_t  bf_nwords;		/* : whole blocks of the device */
	uint64_t *bf_words;		/* ! what it holds */
};

/* Where a worker's parcel may be, what it lends to, and where it shares itself: see parcel_place(). */
enum { HERE, THERE, BORROWER, TWIN, NPLACES };

/* The first word of each page, the others of the first block being 0.  !: only its worker */
struct parcel {
	vaddr_t	  pa_va;		/* !, read @ by those who do I/O to it */
	uint64_t  pa_npages;		/* ! */
	uint64_t  pa_value[PARCEL_PAGES]; /* ! */
	/* Thread i of the process: the first and the last word of what it landed in block i + 1. */
	uint64_t  pa_landed[PARCEL_PAGES][LANDINGS][2];
};

struct raw_worker {
	struct buffer rw_buf[NBUF];
	struct parcel rw_parcel;
	uint64_t  rw_dev;		/* : its first word on the device */
	uint64_t  rw_ndev;		/* : words that it has there */
	uint64_t *rw_words;		/* ! what they are */
};

/* jp_private.  Stable but for a killing. */
struct raw_proc {
	struct vnode *rp_file;
};

/* : */
struct raw_run {
	struct vnode *rr_dev;
	struct vnode *rr_source;	/* full of stamps */
	uint64_t      rr_source_object;
	vsize_t	      rr_bytes;		/* of each of a process' two stretches */
};

/* The worker's share of its process' stretches, which is no multiple of a page. */
static void
make_worker(struct raw_run *rr, struct job_worker *jw)
{
	static const vaddr_t base[NBUF] = { ANON_BASE, FILE_BASE };
	struct raw_worker *rw = xcalloc(1, sizeof(*rw));
	uint64_t blocks = rr->rr_bytes / DEV_BSIZE / jw->jw_proc->jp_nthreads;
	uint64_t nwords;

	/* room for a start off a block's edge: less by one */
	nwords = (blocks > 1 ? blocks - 1 : 1) * BLOCK_WORDS;
	for (int i = 0; i < NBUF; i++) {
		struct buffer *bf = &rw->rw_buf[i];

		bf->bf_va = base[i] + jw->jw_thread * blocks * DEV_BSIZE + (jw->jw_index % 3) * 8;
		bf->bf_nwords = nwords;
		bf->bf_words = xcalloc(nwords, sizeof(uint64_t));
	}
	rw->rw_ndev = nwords;
	rw->rw_dev = jw->jw_index * nwords;
	rw->rw_words = xcalloc(nwords, sizeof(uint64_t));
	jw->jw_private = rw;
}

static uint64_t
device_words(const struct job_run *jr)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		const struct raw_worker *rw = jr->jr_workers[i].jw_private;

		if (rw->rw_dev + rw->rw_ndev > end)
			end = rw->rw_dev + rw->rw_ndev;
	}
	return end;
}

/* Shares of one process are alike, but processes may have more threads or fewer. */
static void
place_workers(struct job_run *jr)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct raw_worker *rw = jr->jr_workers[i].jw_private;

		rw->rw_dev = at;
		at += rw->rw_ndev;
	}
}

static int
setup(struct job_run *jr)
{
	struct raw_run *rr = jr->jr_private = xcalloc(1, sizeof(*rr));
	int error;

	rr->rr_bytes = trunc_page(jr->jr_job->job_size / NBUF);
	if (rr->rr_bytes < 2 * jr->jr_nworkers * PAGE_SIZE)
		rr->rr_bytes = 2 * jr->jr_nworkers * PAGE_SIZE;
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		make_worker(rr, &jr->jr_workers[i]);
	place_workers(jr);
	rr->rr_source_object = engine_object_id();
	error = content_vnode("source", rr->rr_source_object, SRC_PAGES * PAGE_SIZE, &rr->rr_source);
	if (error == 0)
		error = zero_vnode("raw", device_words(jr) * 8 + SRC_PAGES * PAGE_SIZE *
		    (vsize_t)jr->jr_nworkers, &rr->rr_dev);
	for (unsigned i = 0; i < jr->jr_nprocs; i++)
		jr->jr_procs[i].jp_private = xcalloc(1, sizeof(struct raw_proc));
	return error;
}

/* --- parcels: where they are --- */

/* What a raw write of a whole parcel needs is there: op_source's part of the device. */
_Static_assert(PARCEL_PAGES <= SRC_PAGES, "a parcel is larger than what its device has for it");

static vaddr_t
parcel_place(const struct job_worker *owner, int place)
{
	return PARCEL_BASE + (owner->jw_thread * NPLACES + (vaddr_t)place) * PARCEL_PLACE;
}

static struct parcel *
parcel_of(const struct job_worker *jw)
{
	struct raw_worker *rw = jw->jw_private;

	return &rw->rw_parcel;
}

static int
map_parcel(const struct job_worker *jw)
{
	struct parcel *pa = parcel_of(jw);
	int error;

	*pa = (struct parcel){ .pa_va = parcel_place(jw, HERE), .pa_npages = PARCEL_PAGES };
	error = map_private(jw->jw_proc->jp_proc, pa->pa_va, PARCEL_PAGES * PAGE_SIZE);
	return error != 0 ? error : map_private(jw->jw_proc->jp_proc, parcel_place(jw, BORROWER),
	    PARCEL_PAGES * PAGE_SIZE);
}

/* The device keeps what it has; memory and its file begin anew. */
static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct raw_run *rr = jr->jr_private;
	struct raw_proc *rp = jp->jp_private;
	vaddr_t va = SRC_BASE;
	int error;

	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct raw_worker *rw = jr->jr_workers[i].jw_private;

		if (jr->jr_workers[i].jw_proc != jp)
			continue;
		for (int b = 0; b < NBUF; b++)
			memset(rw->rw_buf[b].bf_words, 0, rw->rw_buf[b].bf_nwords * 8);
		error = map_parcel(&jr->jr_workers[i]);
		if (error != 0)
			return error;
	}
	if (rp->rp_file != NULL)
		vrele(rp->rp_file);
	rp->rp_file = NULL;
	error = zero_vnode("physio", rr->rr_bytes, &rp->rp_file);
	if (error == 0)
		error = map_private(jp->jp_proc, ANON_BASE, rr->rr_bytes);
	if (error == 0)
		error = map_shared(jp->jp_proc, FILE_BASE, rr->rr_bytes, rp->rp_file);
	return error != 0 ? error : sys_mmap(jp->jp_proc, &va, SRC_PAGES * PAGE_SIZE, VM_PROT_READ,
	    UMAP_PRIVATE | UMAP_FIXED, rr->rr_source, UF_READ, 0);
}

/* --- transfers --- */

/* One draw of what goes where: words of a buffer and of the device. */
struct transfer {
	struct buffer *tr_buf;
	uint64_t tr_at, tr_dev, tr_n;
};

static struct transfer
draw_transfer(struct job_worker *jw)
{
	struct raw_worker *rw = jw->jw_private;
	struct transfer tr = { .tr_buf = &rw->rw_buf[host_rng_below(&jw->jw_rng, NBUF)] };
	uint64_t blocks = rw->rw_ndev / BLOCK_WORDS, most = blocks;

	/* mostly a few blocks, now and then all */
	if (host_rng_below(&jw->jw_rng, 8) != 0 && most > 24)
		most = 24;
	tr.tr_n = (1 + host_rng_below(&jw->jw_rng, most)) * BLOCK_WORDS;
	tr.tr_dev = host_rng_below(&jw->jw_rng, (rw->rw_ndev - tr.tr_n) / BLOCK_WORDS + 1) *
	    BLOCK_WORDS;
	tr.tr_at = host_rng_below(&jw->jw_rng, tr.tr_buf->bf_nwords - tr.tr_n + 1);
	return tr;
}

static int
transfer(struct job_worker *jw, bool read)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	struct raw_worker *rw = jw->jw_private;
	struct transfer tr = draw_transfer(jw);
	uint64_t *mem = tr.tr_buf->bf_words + tr.tr_at, *dev = rw->rw_words + tr.tr_dev;
	vaddr_t va = tr.tr_buf->bf_va + 8 * tr.tr_at;
	vsize_t len = tr.tr_n * 8;
	int error;

	error = sys_physio(jw->jw_proc->jp_proc, rr->rr_dev, (voff_t)(rw->rw_dev + tr.tr_dev) * 8,
	    va, &len, read);
	/* what was moved was moved, also by a call that found no memory for the rest */
	memcpy(read ? mem : dev, read ? dev : mem, len);
	if (error != 0)
		return call_failed(jw, read ? "raw read" : "raw write", va, error);
	if (len != tr.tr_n * 8)
		return content_bad(jw, "raw-short", va, "%lu bytes of %lu were moved",
		    (unsigned long)len, (unsigned long)tr.tr_n * 8);
	return 0;
}

static int
op_read(struct job_worker *jw)
{
	return transfer(jw, true);
}

static int
op_write(struct job_worker *jw)
{
	return transfer(jw, false);
}

static int
check_words(struct job_worker *jw, const struct buffer *bf, uint64_t at, uint64_t n)
{
	int error = 0;

	for (uint64_t i = at; i < at + n && error == 0; i++)
		error = expect_word(jw, bf->bf_va + 8 * i, bf->bf_words[i], "raw-content");
	return error;
}

static int
op_access(struct job_worker *jw)
{
	struct raw_worker *rw = jw->jw_private;
	struct buffer *bf = &rw->rw_buf[host_rng_below(&jw->jw_rng, NBUF)];
	bool write = draw_write(jw);
	uint64_t i = host_rng_below(&jw->jw_rng, bf->bf_nwords);
	uint64_t value;
	int error;

	if (!write)
		return check_words(jw, bf, i, bf->bf_nwords - i < 16 ? bf->bf_nwords - i : 16);
	value = private_value(jw->jw_run->jr_seed + jw->jw_index, bf->bf_va + 8 * i, ++jw->jw_seq);
	error = user_store(bf->bf_va + 8 * i, value);
	if (error != 0)
		return call_failed(jw, "store", bf->bf_va + 8 * i, error);
	bf->bf_words[i] = value;
	return 0;
}

/* --- what others do to the pages meanwhile --- */

static void
draw_pages(struct job_worker *jw, bool file, uint64_t most, vaddr_t *va, vsize_t *len)
{
	const struct raw_run *rr = jw->jw_run->jr_private;
	uint64_t npages = rr->rr_bytes / PAGE_SIZE;
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, npages < most ? npages : most);

	*va = (file || host_rng_below(&jw->jw_rng, 2) ? FILE_BASE : ANON_BASE) +
	    host_rng_below(&jw->jw_rng, npages - n + 1) * PAGE_SIZE;
	*len = n * PAGE_SIZE;
}

/* => refusals that are in the nature of the call */
static int
allow(struct job_worker *jw, const char *call, vaddr_t va, int error, int allowed)
{
	return error == 0 || error == allowed || error == EAGAIN ? 0 :
	    call_failed(jw, call, va, error);
}

static int
op_mlock(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, false, 16, &va, &len);
	return allow(jw, "mlock", va, sys_mlock(jw->jw_proc->jp_proc, va, len), 0);
}

static int
op_munlock(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, false, 16, &va, &len);
	/* EINVAL: not all of it was wired */
	return allow(jw, "munlock", va, sys_munlock(jw->jw_proc->jp_proc, va, len), EINVAL);
}

static int
op_mlockall(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;

	/* ENOMEM: beyond the limit, which several threads reach together */
	if (host_rng_below(&jw->jw_rng, 2) == 0)
		return allow(jw, "mlockall", 0, sys_mlockall(p, UMCL_CURRENT), ENOMEM);
	return allow(jw, "munlockall", 0, sys_munlockall(p), 0);
}

static int
op_msync(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, true, 64, &va, &len);
	return allow(jw, "msync", va, sys_msync(jw->jw_proc->jp_proc, va, len,
	    host_rng_below(&jw->jw_rng, 2) ? UMS_SYNC : UMS_SYNC | UMS_INVALIDATE), EBUSY);
}

static int
op_advise(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, false, 16, &va, &len);
	return allow(jw, "madvise", va, sys_madvise(jw->jw_proc->jp_proc, va, len, UMADV_DONTNEED), 0);
}

/* T-15: the page is made writable, and stored to, while I/O reads from it. */
static int
op_source(struct job_worker *jw)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t page = host_rng_below(&jw->jw_rng, SRC_PAGES), words[PAGE_SIZE / 8];
	vaddr_t va = SRC_BASE + page * PAGE_SIZE;
	voff_t off = (voff_t)(device_words(jw->jw_run) * 8) +
	    (voff_t)(jw->jw_index * SRC_PAGES * PAGE_SIZE);
	vsize_t len = PAGE_SIZE;
	uint64_t word = page * (PAGE_SIZE / 8) + host_rng_below(&jw->jw_rng, PAGE_SIZE / 8);
	int error;

	if (host_rng_below(&jw->jw_rng, 2) != 0) {
		error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE);
		if (error != 0)
			return call_failed(jw, "mprotect", va, error);
		/* another thread may have made it read-only again */
		error = user_store(SRC_BASE + word * 8, content_file_word(rr->rr_source_object, word,
		    SRC_PAGES * PAGE_SIZE));
		if (error != 0 && error != EACCES)
			return call_failed(jw, "store", SRC_BASE + word * 8, error);
		error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ);
		return error != 0 ? call_failed(jw, "mprotect", va, error) : 0;
	}
	error = sys_physio(p, rr->rr_dev, off, va, &len, false);
	if (error != 0)
		return call_failed(jw, "raw write", va, error);
	if (pread(rr->rr_dev->v_fd, words, PAGE_SIZE, (off_t)off) != (ssize_t)PAGE_SIZE)
		return call_failed(jw, "read of the host's file", va, errno);
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		if (words[i] != content_file_word(rr->rr_source_object, page * (PAGE_SIZE / 8) + i,
		    SRC_PAGES * PAGE_SIZE))
			return content_bad(jw, "raw-source", va + 8 * i, "the device got %#lx",
			    (unsigned long)words[i]);
	worker_verified(jw, PAGE_SIZE);
	return 0;
}

/* The content is nobody's affair: what is moved is what the device has anyway. */
static int
op_scratch(struct job_worker *jw)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	const struct raw_worker *rw = jw->jw_private;
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t page = host_rng_below(&jw->jw_rng, SCRATCH_PAGES);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, SCRATCH_PAGES - page);
	vaddr_t va = SCRATCH_BASE + page * PAGE_SIZE;
	vsize_t len = DEV_BSIZE * (1 + host_rng_below(&jw->jw_rng, rw->rw_ndev / BLOCK_WORDS));
	int error;

	switch (host_rng_below(&jw->jw_rng, 4)) {
	case 0:
		error = sys_munmap(p, va, n * PAGE_SIZE);
		return error != 0 ? call_failed(jw, "munmap", va, error) : 0;
	case 1:
		error = map_private(p, va, n * PAGE_SIZE);
		return error != 0 ? call_failed(jw, "mmap", va, error) : 0;
	default:
		if (len > n * PAGE_SIZE)
			len = n * PAGE_SIZE;
		error = sys_physio(p, rr->rr_dev, (voff_t)rw->rw_dev * 8, va, &len, true);
		return error != 0 && error != EFAULT ? call_failed(jw, "raw read", va, error) : 0;
	}
}

/* The forking thread's own anonymous buffer; its siblings' transfers go on meanwhile (T-16). */
static int
check_child(struct job_worker *jw, void *arg)
{
	const struct raw_worker *rw = jw->jw_private;
	const struct buffer *bf = &rw->rw_buf[ANON];
	int error = 0;

	for (uint64_t at = 0; at < bf->bf_nwords && error == 0; at += PAGE_SIZE / 8)
		error = check_words(jw, bf, at, 1);
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, check_child, NULL);
}

/* --- parcels: I/O to them, by anybody --- */

/* => one of the threads of our process, ourselves among them */
static struct job_worker *
any_thread(struct job_worker *jw)
{
	unsigned thread = (unsigned)host_rng_below(&jw->jw_rng, jw->jw_proc->jp_nthreads);

	for (struct job_worker *o = jw->jw_run->jr_workers;; o++)
		if (o->jw_proc == jw->jw_proc && o->jw_thread == thread)
			return o;
}

/* => what we have landed there is there, or the parcel has just gone elsewhere */
static int
check_landed(struct job_worker *jw, const struct parcel *pa, uint64_t page, unsigned thread)
{
	for (unsigned i = 0; i < 2; i++) {
		/* relaxed: who comes too late finds a hole */
		vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + page * PAGE_SIZE +
		    (thread + 1) * DEV_BSIZE + i * (DEV_BSIZE - 8);
		uint64_t value, want = pa->pa_landed[page][thread][i];
		int error = user_load(va, &value);

		if (error == EFAULT)
			return 0;
		if (error != 0)
			return call_failed(jw, "load", va, error);
		if (value != want)
			return content_bad(jw, "raw-content", va, "a parcel holds %#lx, %#lx was read into it",
			    (unsigned long)value, (unsigned long)want);
	}
	worker_verified(jw, 16);
	return 0;
}

/* A block of the device into one of an odd page, the last one excepted, which comes and goes. */
static int
land(struct job_worker *jw, struct parcel *pa)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	const struct raw_worker *rw = jw->jw_private;
	uint64_t page = 1 + 2 * host_rng_below(&jw->jw_rng, PARCEL_PAGES / 2 - 1);
	uint64_t at = host_rng_below(&jw->jw_rng, rw->rw_ndev / BLOCK_WORDS) * BLOCK_WORDS;
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + page * PAGE_SIZE +
	    (jw->jw_thread + 1) * DEV_BSIZE;
	vsize_t len = DEV_BSIZE;
	int error;

	error = sys_physio(jw->jw_proc->jp_proc, rr->rr_dev, (voff_t)(rw->rw_dev + at) * 8, va, &len,
	    true);
	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "raw read into a parcel", va, error);
	pa->pa_landed[page][jw->jw_thread][0] = rw->rw_words[at];
	pa->pa_landed[page][jw->jw_thread][1] = rw->rw_words[at + BLOCK_WORDS - 1];
	return check_landed(jw, pa, page, jw->jw_thread);
}

/* Pages of it to the device, which has our blocks as we landed them. */
static int
take(struct job_worker *jw, const struct parcel *pa)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	uint64_t first = host_rng_below(&jw->jw_rng, PARCEL_PAGES);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, PARCEL_PAGES - first);
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + first * PAGE_SIZE;
	voff_t off = (voff_t)(device_words(jw->jw_run) * 8) +
	    (voff_t)(jw->jw_index * SRC_PAGES * PAGE_SIZE);
	uint64_t block[BLOCK_WORDS];
	vsize_t len = n * PAGE_SIZE;
	int error;

	error = sys_physio(jw->jw_proc->jp_proc, rr->rr_dev, off, va, &len, false);
	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "raw write of a parcel", va, error);
	for (uint64_t page = first | 1; page < first + n && jw->jw_thread < LANDINGS; page += 2) {
		const uint64_t *want = pa->pa_landed[page][jw->jw_thread];
		uint64_t at = (page - first) * PAGE_SIZE + (jw->jw_thread + 1) * DEV_BSIZE;

		if (pread(rr->rr_dev->v_fd, block, DEV_BSIZE, (off_t)off + (off_t)at) != DEV_BSIZE)
			return call_failed(jw, "read of the host's file", va, errno);
		if (block[0] != want[0] || block[BLOCK_WORDS - 1] != want[1])
			return content_bad(jw, "raw-content", va + at, "the device got %#lx of a parcel, must be %#lx",
			    (unsigned long)block[0], (unsigned long)want[0]);
		worker_verified(jw, 16);
	}
	return 0;
}

/* As a system call wires what it copies to: others do it to the same page. */
static int
hold(struct job_worker *jw, const struct parcel *pa)
{
	struct vmspace *vm = jw->jw_proc->jp_proc->p_vmspace;
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED);
	uint64_t value;
	int error = uvm_vslock(vm, va, PAGE_SIZE, VM_PROT_WRITE);

	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "vslock", va, error);
	error = user_load(va, &value);
	uvm_vsunlock(vm, va, PAGE_SIZE);
	return error != 0 ? call_failed(jw, "load of what is wired for I/O", va, error) : 0;
}

static int
op_visit(struct job_worker *jw)
{
	struct parcel *pa = parcel_of(any_thread(jw));

	if (host_rng_below(&jw->jw_rng, 4) == 0)
		return hold(jw, pa);
	return jw->jw_thread < LANDINGS && host_rng_below(&jw->jw_rng, 2) != 0 ? land(jw, pa) :
	    take(jw, pa);
}

/* --- parcels: what their threads do with them --- */

static uint64_t
parcel_value(struct job_worker *jw, uint64_t page)
{
	return private_value(jw->jw_run->jr_seed + jw->jw_index, parcel_place(jw, HERE) +
	    page * PAGE_SIZE, ++jw->jw_seq);
}

static int
parcel_look(struct job_worker *jw, const struct parcel *pa, uint64_t page)
{
	return expect_word(jw, pa->pa_va + page * PAGE_SIZE, pa->pa_value[page], "raw-content");
}

static int
parcel_store(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	uint64_t value = parcel_value(jw, page);
	int error = user_store(va, value);

	if (error != 0)
		return call_failed(jw, "store", va, error);
	pa->pa_value[page] = value;
	return 0;
}

/* Waits for whatever I/O is under way to it. */
static int
parcel_move(struct job_worker *jw, struct parcel *pa)
{
	vaddr_t old = pa->pa_va, va = parcel_place(jw, HERE);
	int error;

	if (old == va)
		va = parcel_place(jw, THERE);
	error = sys_mremap(curlwp->l_proc, old, pa->pa_npages * PAGE_SIZE, &va,
	    pa->pa_npages * PAGE_SIZE, true);
	if (error != 0)
		return call_failed(jw, "mremap", old, error);
	__atomic_store_n(&pa->pa_va, va, __ATOMIC_RELAXED);
	error = expect_refusal(jw, old + host_rng_below(&jw->jw_rng, pa->pa_npages) * PAGE_SIZE, false,
	    EFAULT);
	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page++)
		error = parcel_look(jw, pa, page);
	return error;
}

/* The last page comes, with nothing in it, or goes. */
static int
parcel_resize(struct job_worker *jw, struct parcel *pa)
{
	uint64_t npages = pa->pa_npages == PARCEL_PAGES ? PARCEL_PAGES - 1 : PARCEL_PAGES;
	vaddr_t va = pa->pa_va;
	int error = sys_mremap(jw->jw_proc->jp_proc, va, pa->pa_npages * PAGE_SIZE, &va,
	    npages * PAGE_SIZE, true);

	if (error != 0)
		return call_failed(jw, "mremap", pa->pa_va, error);
	pa->pa_npages = npages;
	pa->pa_value[PARCEL_PAGES - 1] = 0;
	if (npages < PARCEL_PAGES)
		return expect_refusal(jw, va + npages * PAGE_SIZE, true, EFAULT);
	error = parcel_look(jw, pa, npages - 1);
	return error != 0 ? error : parcel_store(jw, pa, npages - 1);
}

static int
parcel_wire(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	vaddr_t va = pa->pa_va;

	if (host_rng_below(&jw->jw_rng, 2) != 0)
		return allow(jw, "mlock", va, sys_mlock(p, va, pa->pa_npages * PAGE_SIZE), 0);
	return allow(jw, "munlock", va, sys_munlock(p, va, pa->pa_npages * PAGE_SIZE), EINVAL);
}

static int
parcel_advise(struct job_worker *jw, struct parcel *pa)
{
	int error = sys_madvise(jw->jw_proc->jp_proc, pa->pa_va, pa->pa_npages * PAGE_SIZE,
	    UMADV_DONTNEED);

	return error != 0 ? call_failed(jw, "madvise", pa->pa_va, error) :
	    parcel_look(jw, pa, host_rng_below(&jw->jw_rng, pa->pa_npages));
}

/* => a page was lent to va: it is what the parcel has, until one of the two is stored to */
static int
check_lent(struct job_worker *jw, struct parcel *pa, uint64_t page, vaddr_t va)
{
	const uint64_t was = pa->pa_value[page];
	int error = expect_word(jw, va, was, "raw-content");

	if (error == 0)
		error = parcel_store(jw, pa, page);
	if (error == 0)
		error = expect_word(jw, va, was, "raw-content");
	if (error == 0 && user_store(va, 0) == 0)
		error = parcel_look(jw, pa, page);
	return error;
}

/* EBUSY: I/O, or an mlockall of somebody's. */
static int
parcel_lend(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t first = host_rng_below(&jw->jw_rng, PARCEL_PAGES - 1);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, PARCEL_PAGES - 1 - first);
	vaddr_t to = parcel_place(jw, BORROWER) + first * PAGE_SIZE;
	int error = sys_loan(p, pa->pa_va + first * PAGE_SIZE, n * PAGE_SIZE, p, to);

	if (error != 0)
		return allow(jw, "loan", to, error, EBUSY);
	for (uint64_t i = 0; i < n && error == 0; i++)
		error = check_lent(jw, pa, first + i, to + i * PAGE_SIZE);
	return error;
}

/* An even page, all of which we know: as it was, though it is stored to before it has left. */
static int
send_page(struct job_worker *jw, struct parcel *pa, uint64_t page, bool wired)
{
	const uint64_t words[PAGE_SIZE / 8] = { pa->pa_value[page] };
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	struct so_send ss;
	struct nic_sum ns;
	int error, stored;

	nic_sum_init(&ns);
	nic_sum_add(&ns, words, sizeof(words));
	error = sys_send(curlwp->l_proc, va, PAGE_SIZE, 0, &ss);
	if (error != 0)
		return call_failed(jw, "send", va, error);
	stored = parcel_store(jw, pa, page);
	so_send_wait(&ss);
	if (ss.ss_sum != nic_sum_value(&ns))
		return content_bad(jw, "raw-content", va, "the wire had a page of sum %#lx, %#lx was sent",
		    (unsigned long)ss.ss_sum, (unsigned long)nic_sum_value(&ns));
	if (wired && ss.ss_loaned != 0)
		return content_bad(jw, "raw-content", va, "a wired page was lent to the kernel");
	worker_verified(jw, PAGE_SIZE);
	return stored;
}

/* In the child, where nobody else stores: all pages, of which one is wired, so all are copied. */
static int
send_wired(struct job_worker *jw, const struct parcel *pa)
{
	vsize_t len = pa->pa_npages * PAGE_SIZE;
	struct proc *p = curlwp->l_proc;
	struct so_send ss;
	struct nic_sum ns;
	int error = 0;

	nic_sum_init(&ns);
	for (vaddr_t va = pa->pa_va; va < pa->pa_va + len; va += 8) {
		uint64_t word;

		error = user_load(va, &word);
		if (error != 0)
			return call_failed(jw, "load", va, error);
		nic_sum_add(&ns, &word, sizeof(word));
	}
	/* what nobody has mapped is lent without asking any TLB, and no mapping says that it is wired */
	error = sys_mprotect(p, pa->pa_va, len, VM_PROT_NONE);
	if (error == 0)
		error = sys_mprotect(p, pa->pa_va, len, VM_PROT_READ);
	if (error == 0)
		error = sys_send(p, pa->pa_va, len, 0, &ss);
	if (error != 0)
		return call_failed(jw, "send", pa->pa_va, error);
	so_send_wait(&ss);
	error = sys_mprotect(p, pa->pa_va, len, VM_PROT_READ | VM_PROT_WRITE);
	if (error != 0)
		return call_failed(jw, "mprotect", pa->pa_va, error);
	if (ss.ss_sum != nic_sum_value(&ns))
		return content_bad(jw, "raw-content", pa->pa_va, "the wire had memory of sum %#lx, %#lx was sent",
		    (unsigned long)ss.ss_sum, (unsigned long)nic_sum_value(&ns));
	if (ss.ss_loaned != 0)
		return content_bad(jw, "raw-content", pa->pa_va, "%lu bytes were lent, and a page of them is wired",
		    (unsigned long)ss.ss_loaned);
	worker_verified(jw, len);
	return 0;
}

static uint64_t
even_page(struct job_worker *jw)
{
	return 2 * host_rng_below(&jw->jw_rng, PARCEL_PAGES / 2);
}

static int
parcel_send(struct job_worker *jw, struct parcel *pa)
{
	return send_page(jw, pa, even_page(jw), false);
}

/* As a debugger sees it: a window of the kernel's is one more mapping of what is under I/O. */
static int
parcel_peek(struct job_worker *jw, struct parcel *pa)
{
	uint64_t page = host_rng_below(&jw->jw_rng, pa->pa_npages);
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	bool write = host_rng_below(&jw->jw_rng, 2) != 0;
	uint64_t value = write ? parcel_value(jw, page) : 0;
	size_t len = sizeof(value);
	int error = sys_ptrace_io(curlwp->l_proc, va, &value, &len, write);

	if (error != 0)
		return call_failed(jw, "debugger's access", va, error);
	if (!write && value != pa->pa_value[page])
		return content_bad(jw, "raw-content", va, "a debugger reads %#lx, must be %#lx",
		    (unsigned long)value, (unsigned long)pa->pa_value[page]);
	pa->pa_value[page] = value;
	return parcel_look(jw, pa, page);
}

/* Two mappings of one memory: what is stored through one is seen through the other. */
static int
parcel_share(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	vsize_t len = pa->pa_npages * PAGE_SIZE;
	vaddr_t twin = parcel_place(jw, TWIN);
	int error = sys_extract(p, pa->pa_va, len, p, &twin, false), unmapped;

	if (error != 0)
		return call_failed(jw, "extract", pa->pa_va, error);
	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page += 2) {
		uint64_t value = parcel_value(jw, page);

		error = user_store(twin + page * PAGE_SIZE, value);
		if (error != 0)
			error = call_failed(jw, "store", twin, error);
		else
			pa->pa_value[page] = value;
		if (error == 0)
			error = parcel_look(jw, pa, page);
	}
	unmapped = sys_munmap(p, twin, len);
	return unmapped != 0 ? call_failed(jw, "munmap", twin, unmapped) : error;
}

static int
op_parcel(struct job_worker *jw)
{
	static int (*const what[])(struct job_worker *, struct parcel *) = {
		parcel_move, parcel_move, parcel_resize, parcel_wire, parcel_wire, parcel_advise, parcel_lend,
		parcel_lend, parcel_send, parcel_send, parcel_peek, parcel_share
	};
	struct parcel *pa = parcel_of(jw);
	int error = what[host_rng_below(&jw->jw_rng, sizeof(what) / sizeof(what[0]))](jw, pa);

	return error != 0 ? error : parcel_look(jw, pa, host_rng_below(&jw->jw_rng, pa->pa_npages));
}

/* --- parcels: what is wired, where nobody else wires --- */

/* => it was refused, and so */
static int
refused(struct job_worker *jw, const char *call, vaddr_t va, int error, int want)
{
	if (error == want)
		return 0;
	if (error != 0)
		return call_failed(jw, call, va, error);
	return content_bad(jw, "raw-content", va, "%s was allowed, must be refused with '%s'", call,
	    strerror(want));
}

/* => pages beside one that is wired come and go: I/O to that, which is our own, is not waited for */
static int
move_neighbours(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE, next = va + PAGE_SIZE, away = parcel_place(jw, TWIN);
	int error = sys_mremap(p, next, PAGE_SIZE, &away, PAGE_SIZE, true);

	if (error == 0)
		error = sys_mremap(p, away, PAGE_SIZE, &next, PAGE_SIZE, true);
	if (error == 0 && page > 0) {
		error = sys_munmap(p, va - PAGE_SIZE, PAGE_SIZE);
		if (error == 0)
			error = map_private(p, va - PAGE_SIZE, PAGE_SIZE);
		pa->pa_value[page - 1] = 0;
	}
	if (error != 0)
		return call_failed(jw, "mremap or munmap beside a wired page", va, error);
	for (uint64_t i = page > 0 ? page - 1 : page; i <= page + 1 && error == 0; i++)
		error = parcel_look(jw, pa, i);
	return error;
}

/*
 * The page is wired, by mlock or for I/O, and no other page of the parcel.
 * => it is not lent, nor replaced by what is lent
 */
static int
try_wired(struct job_worker *jw, struct parcel *pa, uint64_t page, bool mlocked)
{
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE, other = parcel_place(jw, BORROWER);
	int error = refused(jw, "loan of a wired page", va, sys_loan(p, va, PAGE_SIZE, p, other), EBUSY);

	if (error == 0)
		error = refused(jw, "loan that replaces a wired page", va, sys_loan(p, va + PAGE_SIZE, PAGE_SIZE,
		    p, va), EBUSY);
	if (error == 0 && mlocked)
		error = refused(jw, "madvise(FREE) of a wired page", va, sys_madvise(p, va, PAGE_SIZE,
		    UMADV_FREE), EBUSY);
	if (error == 0)
		error = host_rng_below(&jw->jw_rng, 2) != 0 ? send_wired(jw, pa) : send_page(jw, pa, page, true);
	if (error == 0)
		error = parcel_peek(jw, pa);
	return error != 0 ? error : move_neighbours(jw, pa, page);
}

/* => a device may not store to what its process may not store to */
static int
try_read_only(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	const struct raw_worker *rw = jw->jw_private;
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	vsize_t len = DEV_BSIZE;
	int error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ);

	if (error != 0)
		return call_failed(jw, "mprotect", va, error);
	error = refused(jw, "raw read into read-only memory", va, sys_physio(p, rr->rr_dev,
	    (voff_t)rw->rw_dev * 8, va, &len, true), EFAULT);
	if (error != 0)
		return error;
	error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE);
	return error != 0 ? call_failed(jw, "mprotect", va, error) : parcel_look(jw, pa, page);
}

/* => it was moved while it was locked: it is there, and not locked any more */
static int
move_locked(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	int error = parcel_move(jw, pa);
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;

	return error != 0 ? error : refused(jw, "munlock of what was moved", va,
	    sys_munlock(curlwp->l_proc, va, PAGE_SIZE), EINVAL);
}

struct mover {
	struct job_worker *mv_worker;
	struct parcel	*mv_parcel;
	int		 mv_error;	/* @ -1: it has not come so far */
};

static void
mover_main(void *arg)
{
	struct mover *mv = arg;
	int error = parcel_move(mv->mv_worker, mv->mv_parcel);

	/* relaxed: who looks before this LWP has ended wants to find -1 */
	__atomic_store_n(&mv->mv_error, error, __ATOMIC_RELAXED);
}

/* => I/O to the page is over, and nobody has moved it before; then it was moved */
static int
move_below_io(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct mover mv = { jw, pa, -1 };
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	struct lwp *l;
	int error = proc_lwp_create(p, &l, "mover", mover_main, &mv), early;

	if (error == 0) {
		lwp_start(l);
		kpause("hold", HOLD_NS);
	}
	early = __atomic_load_n(&mv.mv_error, __ATOMIC_RELAXED);
	uvm_vsunlock(p->p_vmspace, va, PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "lwp_create", 0, error);
	lwp_wait(l);
	if (early == 0)
		return content_bad(jw, "raw-content", va, "a page was moved while I/O to it was under way");
	return mv.mv_error;
}

/* In the child, which is its only thread; the parcel is a copy. */
static int
wired_in_child(struct job_worker *jw, void *arg)
{
	struct parcel pa = *parcel_of(jw);
	struct proc *p = curlwp->l_proc;
	uint64_t page = even_page(jw) % (PARCEL_PAGES - 2);
	vaddr_t va = pa.pa_va + page * PAGE_SIZE;
	bool mlocked = host_rng_below(&jw->jw_rng, 2) != 0;
	int error = try_read_only(jw, &pa, page);

	if (error != 0)
		return error;
	if (mlocked)
		error = sys_mlock(p, va, PAGE_SIZE);
	else
		error = uvm_vslock(p->p_vmspace, va, PAGE_SIZE, host_rng_below(&jw->jw_rng, 2) != 0 ?
		    VM_PROT_WRITE : VM_PROT_READ);
	if (error == EAGAIN)			/* over the limit: not our business */
		return 0;
	if (error != 0)
		return call_failed(jw, "wiring", va, error);
	error = try_wired(jw, &pa, page, mlocked);
	if (!mlocked && error == 0)
		error = move_below_io(jw, &pa, page);
	else if (!mlocked)
		uvm_vsunlock(p->p_vmspace, va, PAGE_SIZE);
	else if (error == 0)
		error = move_locked(jw, &pa, page);
	if (error != 0)
		return error;
	error = sys_loan(p, pa.pa_va + page * PAGE_SIZE, PAGE_SIZE, p, parcel_place(jw, BORROWER));
	return error != 0 ? call_failed(jw, "loan of what is not wired any more", va, error) :
	    check_lent(jw, &pa, page, parcel_place(jw, BORROWER));
}

static int
op_wired(struct job_worker *jw)
{
	return run_in_child(jw, wired_in_child, NULL);
}

static const struct workload_op ops[] = {
	{ "read", "raw read from the device into a buffer", 12, op_read },
	{ "write", "raw write of a buffer to the device", 12, op_write },
	{ "access", "store to, or check, words of a buffer", 60, op_access },
	{ "mlock", "wire any pages of the process", 6, op_mlock },
	{ "munlock", "unwire any pages of the process", 6, op_munlock },
	{ "msync", "write pages of the mapped file back", 10, op_msync },
	{ "advise", "tell that some pages are not needed now", 2, op_advise },
	{ "source", "raw write from a private read-only mapping that is made writable meanwhile", 4,
	    op_source },
	{ "scratch", "raw I/O to memory that comes and goes, or have it come or go", 8,
	    op_scratch },
	{ "fork", "a child finds the forking thread's buffer as it is", 1, op_fork },
	{ "mlockall", "wire all that the process has, now, or unwire it", 1, op_mlockall },
	{ "visit", "I/O to any thread's parcel, wherever that is", 10, op_visit },
	{ "parcel", "move a parcel, resize, wire, lend, send, share it, see it as a debugger", 8, op_parcel },
	{ "wired", "a child wires a page, which is neither lent nor moved then", 2, op_wired },
};

/* --- at the end --- */

/* => words of a host file from byte off on are those of the model */
static int
check_host(struct job_worker *jw, const struct vnode *vp, uint64_t off, const uint64_t *want,
    uint64_t n, const char *id)
{
	uint64_t *words = xcalloc(n, 8);
	int error = 0;

	if (pread(vp->v_fd, words, n * 8, (off_t)off) != (ssize_t)(n * 8))
		error = call_failed(jw, "read of the host's file", off, errno);
	for (uint64_t i = 0; i < n && error == 0; i++)
		if (words[i] != want[i])
			error = content_bad(jw, id, off + 8 * i, "the host's file holds %#lx, must hold %#lx",
			    (unsigned long)words[i], (unsigned long)want[i]);
	if (error == 0)
		worker_verified(jw, n * 8);
	free(words);
	return error;
}

static int
verify_parcel(struct job_worker *jw, const struct parcel *pa)
{
	int error = 0;

	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page++) {
		error = parcel_look(jw, pa, page);
		for (unsigned t = 0; t < LANDINGS && page < PARCEL_PAGES - 1 && error == 0; t++)
			error = check_landed(jw, pa, page, t);
	}
	return error;
}

static int
verify_memory(struct job_worker *jw, struct job_proc *jp)
{
	struct job_run *jr = jw->jw_run;
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		const struct raw_worker *rw = jr->jr_workers[i].jw_private;

		if (jr->jr_workers[i].jw_proc != jp)
			continue;
		for (int b = 0; b < NBUF && error == 0; b++)
			error = check_words(jw, &rw->rw_buf[b], 0, rw->rw_buf[b].bf_nwords);
		if (error == 0)
			error = verify_parcel(jw, &rw->rw_parcel);
	}
	return error;
}

static int
verify(struct job_run *jr)
{
	struct raw_run *rr = jr->jr_private;
	struct job_worker *jw = &jr->jr_self;
	int error = visit_procs(jr, verify_memory);

	for (unsigned i = 0; i < jr->jr_nprocs && error == 0; i++) {
		struct raw_proc *rp = jr->jr_procs[i].jp_private;

		error = file_sync(jw, rp->rp_file);
	}
	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		const struct raw_worker *rw = jr->jr_workers[i].jw_private;
		const struct raw_proc *rp = jr->jr_workers[i].jw_proc->jp_private;
		const struct buffer *bf = &rw->rw_buf[FILE_MAP];

		error = check_host(jw, rr->rr_dev, rw->rw_dev * 8, rw->rw_words, rw->rw_ndev,
		    "raw-device");
		if (error == 0)
			error = check_host(jw, rp->rp_file, bf->bf_va - FILE_BASE, bf->bf_words,
			    bf->bf_nwords, "raw-file");
	}
	return error;
}

static void
teardown(struct job_run *jr)
{
	struct raw_run *rr = jr->jr_private;

	if (rr == NULL)
		return;
	for (unsigned i = 0; i < jr->jr_nprocs; i++) {
		struct raw_proc *rp = jr->jr_procs[i].jp_private;

		if (rp != NULL && rp->rp_file != NULL)
			vrele(rp->rp_file);
		free(rp);
	}
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct raw_worker *rw = jr->jr_workers[i].jw_private;

		for (int b = 0; b < NBUF; b++)
			free(rw->rw_buf[b].bf_words);
		free(rw->rw_words);
		free(rw);
	}
	if (rr->rr_dev != NULL)
		vrele(rr->rr_dev);
	if (rr->rr_source != NULL)
		vrele(rr->rr_source);
	free(rr);
}

/* Memory twice, for children; the source; parcels, what they lend to, and both of a child. */
static uint64_t
footprint(const struct job *job)
{
	return 2 * job->job_size * job->job_processes + SRC_PAGES * PAGE_SIZE +
	    4 * PARCEL_PAGES * PAGE_SIZE * job->job_threads;
}

static const char *const required[] = {
	"uvmexp.physio", "uvmexp.physio_shared", "uvmexp.vslocks", "uvmexp.flt_wire",
	"uvmexp.filewrite_pages", NULL
};

const struct workload wl_mlock_physio = {
	.wl_name = "mlock-physio",
	.wl_help = "raw I/O below mlock, fork, msync, mremap and loans of the same pages",
	.wl_common = WL_COMMON_ALL,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "vslock and vsunlock, mlock, unwiring (R31), copies at once (R13), fork, mremap, extract and loans below I/O",
	.wl_verifies = "models of each word in memory and on the device; at the end the host's files",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
