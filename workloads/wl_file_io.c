/*
 * file-io: read() and write() of files that are mapped as well.
 *
 *	words	each word has one writer, who stores through the mapping or by write();
 *		anybody loads through the mapping or by read()
 *	blocks	records of several pages, at odd offsets, each with one writer, who gives all
 *		of its words one sequence number: read() sees one number, whole (I-UBC-6)
 *	log	records that everybody appends, cut to nothing when it is long
 *
 * A write() that finds no memory half-way tears its block.  Who reads it then finds two
 * numbers; whether the writer is to blame, or the kernel, is known when that write() has
 * returned.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	WORDS_BASE	0x40000000UL
#define	BLOCKS_BASE	0x60000000UL
#define	BUF_BASE	0x80000000UL
#define	BUF_SIZE	0x20000UL	/* of each thread: a block, unaligned */
#define	RECORD_WORDS	125UL		/* of the log: crosses page and window boundaries */

struct io_options {
	uint64_t io_file_size;
	uint64_t io_block_size;
	uint64_t io_log_size;
};

/* A block: bl_done and bl_torn by its writer, all atomic. */
struct block {
	uint32_t bl_done;		/* newest sequence that is in the file as a whole */
	uint32_t bl_torn;		/* newest that is there in part, or not at all */
};

struct io_run {
	struct coherent	 ir_words;
	struct vnode	*ir_vwords, *ir_vblocks, *ir_vlog;	/* : */
	uint64_t	 ir_size;	/* : bytes of the words */
	uint64_t	 ir_object;	/* : of the blocks */
	uint64_t	 ir_logobject;	/* : */
	unsigned	 ir_nblocks;	/* : */
	uint64_t	 ir_bytes, ir_stride;	/* : of a block, and from one to the next */
	struct block	*ir_blocks;
	uint64_t	**ir_bufs;	/* : host memory of each worker */
	unsigned	 ir_appending;	/* atomic: appends under way */
	bool		 ir_logtorn;	/* atomic: one failed half-way; the log means nothing more */
};

static const struct option_row options[] = {
	{ "file-size", OPT_SIZE, offsetof(struct io_options, io_file_size), 4096, 1UL << 28,
	    "1M", NULL, NULL, "bytes of the file of words; that of blocks is as long, or longer" },
	{ "block-size", OPT_SIZE, offsetof(struct io_options, io_block_size), 8, 65536, "20000",
	    NULL, NULL, "bytes of a block" },
	{ "log-size", OPT_SIZE, offsetof(struct io_options, io_log_size), 4096, 1UL << 28, "512K",
	    NULL, NULL, "bytes of the log when it is cut" },
};

/* --- set-up --- */

static uint64_t
blocks_size(const struct io_run *ir)
{
	return ir->ir_nblocks * ir->ir_stride;
}

static int
map_all(struct job_proc *jp, struct io_run *ir)
{
	int error = map_shared(jp->jp_proc, WORDS_BASE, ir->ir_size, ir->ir_vwords);

	if (error == 0)
		error = map_shared(jp->jp_proc, BLOCKS_BASE, blocks_size(ir), ir->ir_vblocks);
	if (error == 0)
		error = map_private(jp->jp_proc, BUF_BASE, jp->jp_nthreads * BUF_SIZE);
	return error;
}

static int
setup_files(struct io_run *ir)
{
	int error = content_vnode("words", ir->ir_words.co_object, ir->ir_size, &ir->ir_vwords);

	if (error == 0)
		error = content_vnode("blocks", ir->ir_object, blocks_size(ir), &ir->ir_vblocks);
	return error != 0 ? error : zero_vnode("log", 0, &ir->ir_vlog);
}

static int
setup(struct job_run *jr)
{
	const struct io_options *io = jr->jr_job->job_options;
	struct io_run *ir = xcalloc(1, sizeof(*ir));
	int error;

	jr->jr_private = ir;
	ir->ir_size = trunc_page(io->io_file_size);
	ir->ir_object = engine_object_id();
	ir->ir_logobject = engine_object_id();
	ir->ir_bytes = io->io_block_size & ~7UL;
	ir->ir_stride = round_page(ir->ir_bytes + 3 * 520);
	ir->ir_nblocks = (unsigned)(ir->ir_size / ir->ir_stride);
	if (ir->ir_nblocks < jr->jr_nworkers)
		ir->ir_nblocks = jr->jr_nworkers;
	ir->ir_blocks = xcalloc(ir->ir_nblocks, sizeof(*ir->ir_blocks));
	ir->ir_bufs = xcalloc(jr->jr_nworkers, sizeof(*ir->ir_bufs));
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		ir->ir_bufs[i] = xcalloc(1, ir->ir_bytes);
	error = coherent_make(jr, &ir->ir_words, ir->ir_size / PAGE_SIZE, true);
	return error != 0 ? error : setup_files(ir);
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	return map_all(jp, jr->jr_private);
}

/* --- calls --- */

/* => user memory of this thread, aligned differently each time */
static vaddr_t
buffer(struct job_worker *jw)
{
	return BUF_BASE + jw->jw_thread * BUF_SIZE + 8 * host_rng_below(&jw->jw_rng, 513);
}

/* => all of it was moved, or an errno that was reported, or ENOMEM */
static int
io_whole(struct job_worker *jw, struct vnode *vp, uint64_t off, vaddr_t ubuf, size_t len, bool write)
{
	struct proc *p = jw->jw_proc->jp_proc;
	size_t n = len;
	int error = write ? sys_write(p, vp, (voff_t)off, ubuf, &n, 0) :
	    sys_read(p, vp, (voff_t)off, ubuf, &n, 0);

	if (error != 0)
		return call_failed(jw, write ? "write" : "read", off, error);
	if (n != len)
		return content_bad(jw, "short-transfer", off, "%zu of %zu bytes of %s were moved",
		    n, len, vp->v_name);
	return 0;
}

/* --- words --- */

static int
word_write(struct job_worker *jw, struct io_run *ir, uint64_t page)
{
	struct coherent *co = &ir->ir_words;
	uint64_t word = coherent_word(co, page, jw->jw_index);
	uint32_t seq = coherent_floor(co, page, jw->jw_index) + 1;
	vaddr_t buf = buffer(jw);
	int error;

	error = user_store(buf, stamp_make(co->co_object, word, (struct stamp){ seq, jw->jw_index }));
	if (error != 0)
		return call_failed(jw, "store", buf, error);
	error = io_whole(jw, ir->ir_vwords, word * 8, buf, 8, true);
	if (error == 0)
		coherent_raise(co, page, jw->jw_index, seq);
	return error;
}

static int
word_read(struct job_worker *jw, struct io_run *ir, uint64_t page, unsigned writer)
{
	struct coherent *co = &ir->ir_words;
	uint64_t word = coherent_word(co, page, writer), value;
	uint32_t floor = coherent_floor(co, page, writer), seq;
	vaddr_t buf = buffer(jw);
	const char *wrong;
	int error;

	error = io_whole(jw, ir->ir_vwords, word * 8, buf, 8, false);
	if (error == 0 && (error = user_load(buf, &value)) != 0)
		error = call_failed(jw, "load", buf, error);
	if (error != 0)
		return error;
	wrong = coherent_judge(co, page, writer, value, floor, &seq);
	if (wrong != NULL)
		return content_bad(jw, "read-word", word * 8, "read() gives %#lx, which %s (writer %u, "
		    "floor %u)", (unsigned long)value, wrong, writer, floor);
	coherent_raise(co, page, writer, seq);
	worker_verified(jw, sizeof(value));
	return 0;
}

static int
op_word(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;
	struct coherent *co = &ir->ir_words;
	uint64_t page = host_rng_below(&jw->jw_rng, co->co_npages);
	bool call = host_rng_chance(&jw->jw_rng, 0.5);
	unsigned writer;

	if (jw->jw_index < co->co_nwriters && draw_write(jw))
		return call ? word_write(jw, ir, page) :
		    coherent_store(jw, co, WORDS_BASE, page, jw->jw_index);
	writer = (unsigned)host_rng_below(&jw->jw_rng, co->co_nwriters);
	return call ? word_read(jw, ir, page, writer) :
	    coherent_check(jw, co, WORDS_BASE, page, writer);
}

/* --- blocks --- */

static uint64_t
block_offset(const struct io_run *ir, unsigned b)
{
	return b * ir->ir_stride + b % 4 * 520;
}

static unsigned
block_writer(struct job_worker *jw, unsigned b)
{
	return b % jw->jw_run->jr_nworkers;
}

/* => one of this worker's own */
static unsigned
own_block(struct job_worker *jw, const struct io_run *ir)
{
	unsigned n = jw->jw_run->jr_nworkers;
	unsigned mine = (ir->ir_nblocks - jw->jw_index + n - 1) / n;

	return jw->jw_index + n * (unsigned)host_rng_below(&jw->jw_rng, mine);
}

static int
block_write(struct job_worker *jw, struct io_run *ir)
{
	unsigned b = own_block(jw, ir);
	struct block *bl = &ir->ir_blocks[b];
	uint64_t *words = ir->ir_bufs[jw->jw_index], off = block_offset(ir, b);
	/* relaxed: only we write them */
	uint32_t seq = 1 + (bl->bl_done > bl->bl_torn ? bl->bl_done : bl->bl_torn);
	vaddr_t buf = buffer(jw);
	int error;

	for (uint64_t i = 0; i < ir->ir_bytes / 8; i++)
		words[i] = stamp_make(ir->ir_object, off / 8 + i,
		    (struct stamp){ seq, block_writer(jw, b) & 63 });
	error = copyout(words, buf, ir->ir_bytes);
	if (error != 0)
		return call_failed(jw, "store", buf, error);
	error = io_whole(jw, ir->ir_vblocks, off, buf, ir->ir_bytes, true);
	/* release: pairs with the acquire of who reads the block, or waits in torn() */
	__atomic_store_n(error == 0 ? &bl->bl_done : &bl->bl_torn, seq, __ATOMIC_RELEASE);
	return error;
}

/*
 * read() gave a block with two sequence numbers: did its write() fail half-way?
 * => the newer number; waits until that write() is over, unless the run is.
 */
static bool
torn(struct job_worker *jw, struct block *bl, uint32_t seq)
{
	while (!engine_stopping()) {
		/* acquire: pairs with block_write() */
		if (__atomic_load_n(&bl->bl_torn, __ATOMIC_ACQUIRE) >= seq)
			return true;
		if (__atomic_load_n(&bl->bl_done, __ATOMIC_ACQUIRE) >= seq)
			return false;
		worker_userret(jw);
	}
	return true;
}

/* Hold words of a block against the model.  => from: the first one's number in the file */
static int
judge_block(struct job_worker *jw, struct io_run *ir, unsigned b, const uint64_t *words,
    uint64_t from, uint64_t n, uint32_t floor, const char *how)
{
	uint32_t low = UINT32_MAX, high = 0;
	struct stamp st;

	for (uint64_t i = 0; i < n; i++) {
		if (!stamp_read(words[i], ir->ir_object, from + i, &st))
			return content_bad(jw, "block-stamp", (from + i) * 8,
			    "%s gives %#lx, which is no stamp of this word", how, (unsigned long)words[i]);
		if (st.st_writer != (block_writer(jw, b) & 63) &&
		    (st.st_writer != STAMP_NOBODY || st.st_seq != 0))
			return content_bad(jw, "block-writer", (from + i) * 8,
			    "%s gives a word of writer %u in block %u", how, st.st_writer, b);
		if (st.st_seq < floor)
			return content_bad(jw, "block-old", (from + i) * 8,
			    "%s gives write %u of block %u, %u was complete before", how, st.st_seq, b, floor);
		low = st.st_seq < low ? st.st_seq : low;
		high = st.st_seq > high ? st.st_seq : high;
	}
	if (low != high && !torn(jw, &ir->ir_blocks[b], high))
		return content_bad(jw, "I-UBC-6", from * 8, "%s gives parts of the writes %u and %u of "
		    "block %u", how, low, high, b);
	worker_verified(jw, n * 8);
	return 0;
}

static int
block_read(struct job_worker *jw, struct io_run *ir)
{
	unsigned b = (unsigned)host_rng_below(&jw->jw_rng, ir->ir_nblocks);
	uint64_t *words = ir->ir_bufs[jw->jw_index], n = ir->ir_bytes / 8;
	uint64_t first = host_rng_chance(&jw->jw_rng, 0.5) ? 0 : host_rng_below(&jw->jw_rng, n);
	uint64_t off = block_offset(ir, b) + first * 8;
	vaddr_t buf = buffer(jw);
	uint32_t floor;
	int error;

	n -= first;
	/* acquire: pairs with block_write() */
	floor = __atomic_load_n(&ir->ir_blocks[b].bl_done, __ATOMIC_ACQUIRE);
	error = io_whole(jw, ir->ir_vblocks, off, buf, n * 8, false);
	if (error == 0 && (error = copyin(buf, words, n * 8)) != 0)
		error = call_failed(jw, "load", buf, error);
	return error != 0 ? error : judge_block(jw, ir, b, words, off / 8, n, floor, "read()");
}

static int
op_block(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;

	return draw_write(jw) ? block_write(jw, ir) : block_read(jw, ir);
}

/* T-63: the source is a mapping of what is written */
static int
op_copy(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;
	unsigned b = own_block(jw, ir);
	uint64_t off = trunc_page(block_offset(ir, b)), end = block_offset(ir, b) + ir->ir_bytes;

	/* the gap before a block is nobody's: whole pages, so that they are overwritten */
	return io_whole(jw, ir->ir_vblocks, off, BLOCKS_BASE + off, trunc_page(end) - off, true);
}

static int
op_fsync(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;
	unsigned b = (unsigned)host_rng_below(&jw->jw_rng, ir->ir_nblocks);
	uint64_t *words = ir->ir_bufs[jw->jw_index], off = block_offset(ir, b), value;
	/* acquire: pairs with block_write() */
	uint32_t floor = __atomic_load_n(&ir->ir_blocks[b].bl_done, __ATOMIC_ACQUIRE);
	struct stamp st;
	int error = sys_fsync(jw->jw_proc->jp_proc, ir->ir_vblocks);

	if (error != 0)
		return call_failed(jw, "fsync", off, error);
	if (pread(ir->ir_vblocks->v_fd, words, ir->ir_bytes, (off_t)off) != (ssize_t)ir->ir_bytes)
		return call_failed(jw, "read of the host's file", off, errno);
	for (uint64_t i = 0; i < ir->ir_bytes / 8; i++) {
		value = words[i];
		if (!stamp_read(value, ir->ir_object, off / 8 + i, &st) || st.st_seq < floor)
			return content_bad(jw, "I-SYS-7", off + i * 8,
			    "after fsync the host's file holds %#lx, write %u of block %u was complete",
			    (unsigned long)value, floor, b);
	}
	worker_verified(jw, ir->ir_bytes);
	return 0;
}

static int
op_evict(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;
	unsigned b = (unsigned)host_rng_below(&jw->jw_rng, ir->ir_nblocks);
	int error = sys_msync(jw->jw_proc->jp_proc, BLOCKS_BASE + b * ir->ir_stride, ir->ir_stride,
	    UMS_SYNC | UMS_INVALIDATE);

	return error != 0 ? call_failed(jw, "msync", BLOCKS_BASE, error) : 0;
}

/* --- the log --- */

static int
log_append(struct job_worker *jw, struct io_run *ir)
{
	const struct io_options *io = jw->jw_run->jr_job->job_options;
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t record[RECORD_WORDS];
	vaddr_t buf = buffer(jw);
	size_t n = sizeof(record);
	voff_t off;
	int error;

	/* Where it will be is not known before; so each word says which one of the record it is. */
	jw->jw_seq++;
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		record[i] = stamp_make(ir->ir_logobject, i,
		    (struct stamp){ (uint32_t)jw->jw_seq, jw->jw_index & 63 });
	error = copyout(record, buf, sizeof(record));
	if (error != 0)
		return call_failed(jw, "store", buf, error);
	__atomic_fetch_add(&ir->ir_appending, 1, __ATOMIC_RELAXED);
	error = sys_append(p, ir->ir_vlog, &off, buf, &n);
	if (error != 0)
		__atomic_store_n(&ir->ir_logtorn, true, __ATOMIC_RELAXED);
	/* release: pairs with the acquire in log_torn() */
	__atomic_fetch_sub(&ir->ir_appending, 1, __ATOMIC_RELEASE);
	if (error != 0)
		return call_failed(jw, "append", buf, error);
	if (n != sizeof(record))
		return content_bad(jw, "short-transfer", (vaddr_t)off, "%zu bytes of a record were appended", n);
	if ((uint64_t)off + n >= io->io_log_size &&
	    (error = sys_ftruncate(p, ir->ir_vlog, 0)) != 0)
		return call_failed(jw, "ftruncate", 0, error);
	return 0;
}

/* The log is not as it must be: did an append find no memory half-way?  See torn(). */
static bool
log_torn(struct job_worker *jw, struct io_run *ir)
{
	while (__atomic_load_n(&ir->ir_appending, __ATOMIC_ACQUIRE) != 0 && !engine_stopping())
		worker_userret(jw);
	return engine_stopping() || __atomic_load_n(&ir->ir_logtorn, __ATOMIC_RELAXED);
}

/* => NULL, or what is wrong with a record */
static const char *
judge_record(const struct io_run *ir, const uint64_t *record)
{
	struct stamp first = { 0 }, st;

	for (unsigned i = 0; i < RECORD_WORDS; i++) {
		if (!stamp_read(record[i], ir->ir_logobject, i, &st))
			return "a word that is no stamp of its place in a record";
		if (i == 0)
			first = st;
		if (st.st_seq != first.st_seq || st.st_writer != first.st_writer)
			return "parts of two records in one";
	}
	return NULL;
}

/* A record, if there is one, is one append's, whole. */
static int
log_read(struct job_worker *jw, struct io_run *ir)
{
	const struct io_options *io = jw->jw_run->jr_job->job_options;
	uint64_t record[RECORD_WORDS];
	uint64_t off = host_rng_below(&jw->jw_rng, io->io_log_size / sizeof(record)) * sizeof(record);
	vaddr_t buf = buffer(jw);
	size_t n = sizeof(record);
	const char *wrong;
	int error;

	error = sys_read(jw->jw_proc->jp_proc, ir->ir_vlog, (voff_t)off, buf, &n, 0);
	if (error == 0 && n == sizeof(record))
		error = copyin(buf, record, sizeof(record));
	if (error != 0)
		return call_failed(jw, "read", off, error);
	if (n != sizeof(record))
		return 0;			/* the end of the file was there */
	wrong = judge_record(ir, record);
	if (wrong != NULL)
		return log_torn(jw, ir) ? 0 : content_bad(jw, "I-UBC-6", off, "the log has %s", wrong);
	worker_verified(jw, sizeof(record));
	return 0;
}

static int
op_append(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;

	return draw_write(jw) ? log_append(jw, ir) : log_read(jw, ir);
}

/* --- */

static int
op_remap(struct job_worker *jw)
{
	struct io_run *ir = jw->jw_run->jr_private;
	int error = map_all(jw->jw_proc, ir);

	return error != 0 ? call_failed(jw, "mmap", WORDS_BASE, error) : 0;
}

static const struct workload_op ops[] = {
	{ "word", "store or check a word, through the mapping or by read and write", 400, op_word },
	{ "block", "write a block, or read one and want it whole", 500, op_block },
	{ "append", "append a record to the log, or read some", 80, op_append },
	{ "copy", "write a block from a mapping of itself", 10, op_copy },
	{ "fsync", "write back and hold the host's file against it", 4, op_fsync },
	{ "evict", "throw the blocks out of memory", 3, op_evict },
	{ "remap", "map the files anew (processes of one thread)", 3, op_remap, true },
};

/* Everything is in the host's file, as it was last written. */
static int
verify_blocks(struct job_worker *jw, struct io_run *ir)
{
	uint64_t *words = ir->ir_bufs[0];
	int error = 0;

	for (unsigned b = 0; b < ir->ir_nblocks && error == 0; b++) {
		struct block *bl = &ir->ir_blocks[b];
		uint64_t off = block_offset(ir, b);

		if (pread(ir->ir_vblocks->v_fd, words, ir->ir_bytes, (off_t)off) != (ssize_t)ir->ir_bytes)
			return call_failed(jw, "read of the host's file", off, errno);
		error = judge_block(jw, ir, b, words, off / 8, ir->ir_bytes / 8, bl->bl_done,
		    "the host's file");
	}
	return error;
}

static int
verify(struct job_run *jr)
{
	struct io_run *ir = jr->jr_private;
	int error = file_sync(&jr->jr_self, ir->ir_vblocks);

	if (error == 0)
		error = file_sync(&jr->jr_self, ir->ir_vlog);
	return error != 0 ? error : verify_blocks(&jr->jr_self, ir);
}

static void
teardown(struct job_run *jr)
{
	struct io_run *ir = jr->jr_private;

	if (ir == NULL)
		return;
	if (ir->ir_vwords != NULL)
		vrele(ir->ir_vwords);
	if (ir->ir_vblocks != NULL)
		vrele(ir->ir_vblocks);
	if (ir->ir_vlog != NULL)
		vrele(ir->ir_vlog);
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		free(ir->ir_bufs[i]);
	coherent_fini(&ir->ir_words);
	free(ir->ir_bufs);
	free(ir->ir_blocks);
	free(ir);
}

/* Buffers; the files may stay on disk. */
static uint64_t
footprint(const struct job *job)
{
	return job->job_threads * BUF_SIZE;
}

static const char *const required[] = {
	"uvmexp.ubc_read_bytes", "uvmexp.ubc_write_bytes", "uvmexp.ubc_faults",
	"uvmexp.ubc_faultbusy", "uvmexp.ubc_winhit", "uvmexp.ubc_recycled", NULL
};

const struct workload wl_file_io = {
	.wl_name = "file-io",
	.wl_help = "read, write and append beside mappings of the same files",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_WRITE_FRACTION | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct io_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "UBC windows and their re-use, overwriting of whole pages, extension, copies "
	    "from a mapping to its own pages",
	.wl_verifies = "stamps of words, blocks that are one write's as a whole, the host's file",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
