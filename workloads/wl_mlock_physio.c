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
 * Each thread has a parcel, too, which it moves and lends while others do I/O to it: wl_mlock_parcel.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "wl_mlock_physio.h"
#include "workloads.h"

#define	ANON_BASE	0x40000000UL
#define	FILE_BASE	0x50000000UL
#define	SRC_BASE	0x60000000UL
#define	SCRATCH_BASE	0x70000000UL
#define	SCRATCH_PAGES	16

/* jp_private.  Stable but for a killing. */
struct raw_proc {
	struct vnode *rp_file;
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

voff_t
raw_scrap(const struct job_worker *jw)
{
	return (voff_t)(device_words(jw->jw_run) * 8) + (voff_t)(jw->jw_index * SRC_PAGES * PAGE_SIZE);
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
		error = raw_parcel_map(&jr->jr_workers[i]);
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

int
raw_allow(struct job_worker *jw, const char *call, vaddr_t va, int error, int allowed)
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
	return raw_allow(jw, "mlock", va, sys_mlock(jw->jw_proc->jp_proc, va, len), 0);
}

static int
op_munlock(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, false, 16, &va, &len);
	/* EINVAL: not all of it was wired */
	return raw_allow(jw, "munlock", va, sys_munlock(jw->jw_proc->jp_proc, va, len), EINVAL);
}

static int
op_mlockall(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;

	/* ENOMEM: beyond the limit, which several threads reach together */
	if (host_rng_below(&jw->jw_rng, 2) == 0)
		return raw_allow(jw, "mlockall", 0, sys_mlockall(p, UMCL_CURRENT), ENOMEM);
	return raw_allow(jw, "munlockall", 0, sys_munlockall(p), 0);
}

static int
op_msync(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, true, 64, &va, &len);
	return raw_allow(jw, "msync", va, sys_msync(jw->jw_proc->jp_proc, va, len,
	    host_rng_below(&jw->jw_rng, 2) ? UMS_SYNC : UMS_SYNC | UMS_INVALIDATE), EBUSY);
}

static int
op_advise(struct job_worker *jw)
{
	vaddr_t va;
	vsize_t len;

	draw_pages(jw, false, 16, &va, &len);
	return raw_allow(jw, "madvise", va, sys_madvise(jw->jw_proc->jp_proc, va, len, UMADV_DONTNEED), 0);
}

/* T-15: the page is made writable, and stored to, while I/O reads from it. */
static int
op_source(struct job_worker *jw)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t page = host_rng_below(&jw->jw_rng, SRC_PAGES), words[PAGE_SIZE / 8];
	vaddr_t va = SRC_BASE + page * PAGE_SIZE;
	voff_t off = raw_scrap(jw);
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
	{ "visit", "I/O to any thread's parcel, wherever that is", 10, raw_op_visit },
	{ "parcel", "move a parcel, resize, wire, lend, send, share it, see it as a debugger", 8, raw_op_parcel },
	{ "wired", "a child wires a page, which is neither lent nor moved then", 2, raw_op_wired },
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
			error = raw_parcel_verify(jw, &rw->rw_parcel);
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
