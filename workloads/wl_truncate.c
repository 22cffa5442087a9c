/*
 * truncate: a file that shrinks and grows under its mappings and readers.
 *
 * Each word has one writer, who stores through the mapping or by write().  Truncation of a
 * page is announced (tp_gen odd) and waits for the stores to it that are under way; so
 * when it is over, no store of before can come any more, and a word behind the end must
 * read as zero until it is written again: never as what was there before (T-65, I-SYS-8).
 * Loads take no part in this: they come at any moment, through mappings and by read().
 *
 *	gen even, the same before and after	the word is exactly known: zero, or not
 *						older than the last store
 *	else					zero, or no older than what was there when the
 *						load began
 *
 * Beyond the end a mapping answers EINVAL (SIGBUS) in pages that are wholly there, and
 * read() stops.  Word 511 of each page is everybody's: stores to it are not announced.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	FILE_BASE	0x40000000UL
#define	BUF_BASE	0x80000000UL
#define	BUF_PAGES	9UL
#define	WILD		511UL			/* the word of each page that is everybody's */
#define	WILD_WRITER	63u
#define	WRITERS		16u			/* at most: words that a worker may own in a page */

struct trunc_options {
	uint64_t to_file_size;
};

/* A page of the file.  Sequence numbers: [w] the writer's; all atomic. */
struct trunc_page {
	uint32_t tp_gen;		/* odd: its truncation is under way */
	uint32_t tp_storing;		/* announced stores under way */
	uint32_t tp_floor[WRITERS];	/* newest store that is complete */
	uint32_t tp_base[WRITERS];	/* what is older has been truncated away */
};

struct trunc_run {
	struct vnode	*tr_vp;		/* : */
	uint64_t	 tr_object;	/* : */
	uint64_t	 tr_npages;	/* : */
	unsigned	 tr_nwriters;	/* : */
	struct trunc_page *tr_pages;
	uint64_t	 tr_size;	/* atomic: end of the file; changed by who has tr_busy */
	bool		 tr_busy;	/* atomic: somebody truncates */
};

static const struct option_row options[] = {
	{ "file-size", OPT_SIZE, offsetof(struct trunc_options, to_file_size), 8192, 1UL << 26,
	    "512K", NULL, NULL, "bytes of the file when it is longest" },
};

#define	GET(x)		__atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define	SET(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)

/* --- set-up --- */

static int
setup(struct job_run *jr)
{
	const struct trunc_options *to = jr->jr_job->job_options;
	struct trunc_run *tr = xcalloc(1, sizeof(*tr));

	jr->jr_private = tr;
	tr->tr_npages = atop(to->to_file_size);
	tr->tr_nwriters = jr->jr_nworkers < WRITERS ? jr->jr_nworkers : WRITERS;
	tr->tr_object = engine_object_id();
	tr->tr_pages = xcalloc(tr->tr_npages, sizeof(*tr->tr_pages));
	for (uint64_t p = 0; p < tr->tr_npages; p++)
		for (unsigned w = 0; w < WRITERS; w++)
			tr->tr_pages[p].tp_base[w] = 1;
	tr->tr_size = ptoa(tr->tr_npages);
	return zero_vnode("truncate", tr->tr_size, &tr->tr_vp);
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct trunc_run *tr = jr->jr_private;
	int error = map_shared(jp->jp_proc, FILE_BASE, ptoa(tr->tr_npages), tr->tr_vp);

	return error != 0 ? error : map_private(jp->jp_proc, BUF_BASE, jp->jp_nthreads * ptoa(BUF_PAGES));
}

/* --- words --- */

/* => number of the word in the file: spread over the page, so that an end falls between them */
static uint64_t
word_of(uint64_t page, unsigned writer)
{
	return page * 512 + writer * 31;
}

static vaddr_t
buffer(struct job_worker *jw)
{
	return BUF_BASE + jw->jw_thread * ptoa(BUF_PAGES);
}

/* What is known of a word before it is read. */
struct view {
	uint32_t vi_gen, vi_base, vi_floor;
	uint64_t vi_size;
};

static struct view
look(struct trunc_run *tr, uint64_t page, unsigned writer)
{
	struct trunc_page *tp = &tr->tr_pages[page];
	struct view vi = { .vi_gen = GET(tp->tp_gen) };

	vi.vi_base = GET(tp->tp_base[writer]);
	vi.vi_floor = GET(tp->tp_floor[writer]);
	vi.vi_size = GET(tr->tr_size);
	return vi;
}

/* => no truncation of the page since the look */
static bool
stable(struct trunc_run *tr, uint64_t page, const struct view *vi)
{
	return (vi->vi_gen & 1) == 0 && GET(tr->tr_pages[page].tp_gen) == vi->vi_gen;
}

static int
judge(struct job_worker *jw, struct trunc_run *tr, uint64_t page, unsigned writer, uint64_t value,
    const struct view *vi, const char *how)
{
	uint64_t word = word_of(page, writer);
	bool known = stable(tr, page, vi);
	struct stamp st = { 0 };

	if (value != 0 && (!stamp_read(value, tr->tr_object, word, &st) || st.st_writer != writer))
		return content_bad(jw, "truncate-stamp", word * 8, "%s gives %#lx, which is no stamp of "
		    "this word", how, (unsigned long)value);
	if (value != 0 && st.st_seq < vi->vi_base)
		return content_bad(jw, "I-SYS-8", word * 8,
		    "%s gives store %u, which was truncated away: the oldest that may be there is %u",
		    how, st.st_seq, vi->vi_base);
	if (known && vi->vi_floor >= vi->vi_base && st.st_seq < vi->vi_floor)
		return content_bad(jw, "truncate-lost", word * 8, "%s gives %s, store %u was complete",
		    how, value == 0 ? "zero" : "an older store", vi->vi_floor);
	worker_verified(jw, 8);
	return 0;
}

/* An access to the mapping was refused, or not: as the end of the file says? */
static int
judge_refusal(struct job_worker *jw, struct trunc_run *tr, uint64_t page, int error,
    const struct view *vi)
{
	bool inside = ptoa(page) < vi->vi_size;

	if (error == ENOMEM || (error == EIO && engine_io_fails()))
		return ENOMEM;
	if ((error == 0 || error == EINVAL) && (!stable(tr, page, vi) || inside == (error == 0)))
		return 0;
	return content_bad(jw, "I-SYS-8", ptoa(page), "access to page %lu gives error %d, the file has "
	    "%lu bytes", (unsigned long)page, error, (unsigned long)vi->vi_size);
}

static int
op_load(struct job_worker *jw)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	uint64_t page = host_rng_below(&jw->jw_rng, tr->tr_npages), value;
	unsigned writer = (unsigned)host_rng_below(&jw->jw_rng, tr->tr_nwriters);
	struct view vi = look(tr, page, writer);
	int error = user_load(FILE_BASE + word_of(page, writer) * 8, &value), e;

	e = judge_refusal(jw, tr, page, error, &vi);
	if (e != 0 || error != 0)
		return e;
	/* what is stored behind the end, in its page, is nobody's */
	if (word_of(page, writer) * 8 >= vi.vi_size && stable(tr, page, &vi))
		return 0;
	return judge(jw, tr, page, writer, value, &vi, "a load");
}

static int
op_read(struct job_worker *jw)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	uint64_t page = host_rng_below(&jw->jw_rng, tr->tr_npages), value;
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, BUF_PAGES - 1);
	unsigned writer = (unsigned)host_rng_below(&jw->jw_rng, tr->tr_nwriters);
	struct view vi[BUF_PAGES];
	vaddr_t buf = buffer(jw);
	size_t got;
	int error;

	if (n > tr->tr_npages - page)
		n = tr->tr_npages - page;
	for (uint64_t i = 0; i < n; i++)
		vi[i] = look(tr, page + i, writer);
	got = ptoa(n);
	error = sys_read(jw->jw_proc->jp_proc, tr->tr_vp, (voff_t)ptoa(page), buf, &got, 0);
	if (error != 0)
		return call_failed(jw, "read", ptoa(page), error);
	for (uint64_t i = 0; i < n && error == 0; i++) {
		uint64_t at = ptoa(i) + writer * 31 * 8;

		if (at + 8 <= got) {
			error = user_load(buf + at, &value);
			error = error != 0 ? call_failed(jw, "load", buf + at, error) :
			    judge(jw, tr, page + i, writer, value, &vi[i], "read()");
		} else if (word_of(page + i, writer) * 8 + 8 <= vi[i].vi_size && stable(tr, page + i, &vi[i]))
			error = content_bad(jw, "short-transfer", ptoa(page + i), "read() of %lu bytes gives "
			    "%zu, the file has %lu", (unsigned long)ptoa(n), got, (unsigned long)vi[i].vi_size);
	}
	return error;
}

/* --- stores --- */

/* => the page is not being truncated, and will not be until storing_end() */
static bool
storing_begin(struct trunc_page *tp)
{
	/* seq_cst: announced first, then looked; truncation is the other way round */
	__atomic_fetch_add(&tp->tp_storing, 1, __ATOMIC_SEQ_CST);
	if ((GET(tp->tp_gen) & 1) == 0)
		return true;
	__atomic_fetch_sub(&tp->tp_storing, 1, __ATOMIC_SEQ_CST);
	return false;
}

static void
storing_end(struct trunc_page *tp)
{
	__atomic_fetch_sub(&tp->tp_storing, 1, __ATOMIC_SEQ_CST);
}

static int
store_by_write(struct job_worker *jw, struct trunc_run *tr, uint64_t word, uint64_t value)
{
	vaddr_t buf = buffer(jw);
	size_t n = 8;
	int error = user_store(buf, value);

	if (error == 0)
		error = sys_write(jw->jw_proc->jp_proc, tr->tr_vp, (voff_t)(word * 8), buf, &n, 0);
	return error;
}

static int
op_store(struct job_worker *jw)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	uint64_t page = host_rng_below(&jw->jw_rng, tr->tr_npages);
	struct trunc_page *tp = &tr->tr_pages[page];
	uint64_t word = word_of(page, jw->jw_index), value;
	struct view vi;
	uint32_t seq;
	int error;

	if (jw->jw_index >= tr->tr_nwriters || !storing_begin(tp))
		return op_load(jw);
	vi = look(tr, page, jw->jw_index);
	seq = (vi.vi_floor > vi.vi_base ? vi.vi_floor : vi.vi_base) + 1;
	value = stamp_make(tr->tr_object, word, (struct stamp){ seq, jw->jw_index });
	if (word * 8 + 8 > vi.vi_size) {
		/* Behind the end, in its page: it may stay for a while, but growth must wipe it out. */
		error = user_store(FILE_BASE + word * 8, value);
		if (error == 0)
			SET(tp->tp_floor[jw->jw_index], seq);
		error = judge_refusal(jw, tr, page, error, &vi);
	} else {
		error = host_rng_chance(&jw->jw_rng, 0.5) ? store_by_write(jw, tr, word, value) :
		    user_store(FILE_BASE + word * 8, value);
		if (error == 0)
			SET(tp->tp_floor[jw->jw_index], seq);
		else
			error = call_failed(jw, "store", FILE_BASE + word * 8, error);
	}
	storing_end(tp);
	return error;
}

static int
op_wild(struct job_worker *jw)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	uint64_t page = host_rng_below(&jw->jw_rng, tr->tr_npages), word = page * 512 + WILD, value;
	struct view vi = look(tr, page, 0);
	struct stamp st;
	int error;

	error = user_store(FILE_BASE + word * 8, stamp_make(tr->tr_object, word,
	    (struct stamp){ (uint32_t)++jw->jw_seq, WILD_WRITER }));
	if (error == 0)
		error = user_load(FILE_BASE + word * 8, &value);
	if (error != 0)
		return judge_refusal(jw, tr, page, error, &vi);
	if (value != 0 && (!stamp_read(value, tr->tr_object, word, &st) || st.st_writer != WILD_WRITER))
		return content_bad(jw, "truncate-stamp", word * 8, "a load gives %#lx, which is no stamp "
		    "of this word", (unsigned long)value);
	worker_verified(jw, 8);
	return 0;
}

/* --- truncation --- */

/* The pages whose content or existence changes between two ends: [*from, npages). */
static uint64_t
first_page(uint64_t a, uint64_t b)
{
	return atop(a < b ? a : b);
}

/* What was stored at or behind the new end is gone. */
static void
forget(struct trunc_run *tr, uint64_t size)
{
	for (uint64_t p = atop(size); p < tr->tr_npages; p++)
		for (unsigned w = 0; w < tr->tr_nwriters; w++) {
			struct trunc_page *tp = &tr->tr_pages[p];
			uint32_t next = GET(tp->tp_floor[w]) + 1;

			if (word_of(p, w) * 8 + 8 > size && next > tp->tp_base[w])
				SET(tp->tp_base[w], next);
		}
}

/* Grow by a write of one word that is zero, which nobody can tell from a hole. */
static int
extend(struct job_worker *jw, struct trunc_run *tr, uint64_t size)
{
	return store_by_write(jw, tr, size / 8 - 1, 0);
}

/*
 * Before it grows: store behind the end, in its page; after: that must be gone.
 * => the page's truncation is announced
 */
static int
behind_the_end(struct job_worker *jw, struct trunc_run *tr, uint64_t end, bool grown)
{
	uint64_t page = atop(end), value;
	struct trunc_page *tp = &tr->tr_pages[page];
	int error = 0;

	for (unsigned w = 0; w < tr->tr_nwriters && error == 0 && (end & PAGE_MASK) != 0; w++) {
		vaddr_t va = FILE_BASE + word_of(page, w) * 8;
		struct view vi = look(tr, page, w);
		uint32_t seq = vi.vi_floor + 1;

		if (va - FILE_BASE < end || (grown && va + 8 - FILE_BASE > GET(tr->tr_size)))
			continue;
		error = grown ? user_load(va, &value) : user_store(va,
		    stamp_make(tr->tr_object, word_of(page, w), (struct stamp){ seq, w }));
		if (error != 0)
			return call_failed(jw, grown ? "load" : "store", va, error);
		if (grown)
			error = judge(jw, tr, page, w, value, &vi, "a load after growth");
		else
			SET(tp->tp_floor[w], seq);
	}
	return error;
}

/* Some of what is there is on its way to the file when that is cut (T-65). */
static int
write_back(struct job_worker *jw, struct trunc_run *tr)
{
	int error = sys_msync(jw->jw_proc->jp_proc, FILE_BASE, ptoa(tr->tr_npages), UMS_ASYNC);

	return error != 0 ? call_failed(jw, "msync", FILE_BASE, error) : 0;
}

/* => all pages from the lower of the two ends on are announced */
static int
set_size(struct job_worker *jw, struct trunc_run *tr, uint64_t old, uint64_t size)
{
	int error = 0;

	if (size > old)
		error = behind_the_end(jw, tr, old, false);
	else if (host_rng_chance(&jw->jw_rng, 0.25))
		error = write_back(jw, tr);
	if (error != 0)
		return error;
	error = size > old && host_rng_chance(&jw->jw_rng, 0.5) ? extend(jw, tr, size) :
	    sys_ftruncate(jw->jw_proc->jp_proc, tr->tr_vp, (voff_t)size);
	if (error != 0)
		return call_failed(jw, "truncation", size, error);
	forget(tr, size < old ? size : old);
	SET(tr->tr_size, size);
	return size > old ? behind_the_end(jw, tr, old, true) : 0;
}

static int
resize(struct job_worker *jw, struct trunc_run *tr)
{
	uint64_t old = tr->tr_size, size, from;
	int error;

	/* every other time as long as can be: else there is little to truncate */
	size = host_rng_chance(&jw->jw_rng, 0.5) ? ptoa(tr->tr_npages) :
	    8 * (1 + host_rng_below(&jw->jw_rng, tr->tr_npages * 512));
	if (size == old)
		return 0;
	from = first_page(old, size);
	for (uint64_t p = from; p < tr->tr_npages; p++)
		__atomic_fetch_add(&tr->tr_pages[p].tp_gen, 1, __ATOMIC_SEQ_CST);
	for (uint64_t p = from; p < tr->tr_npages; p++)
		while (GET(tr->tr_pages[p].tp_storing) != 0)
			worker_userret(jw);
	error = set_size(jw, tr, old, size);
	for (uint64_t p = from; p < tr->tr_npages; p++)
		__atomic_fetch_add(&tr->tr_pages[p].tp_gen, 1, __ATOMIC_SEQ_CST);
	return error;
}

static int
op_truncate(struct job_worker *jw)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	int error;

	if (__atomic_exchange_n(&tr->tr_busy, true, __ATOMIC_ACQUIRE))
		return op_load(jw);
	error = resize(jw, tr);
	__atomic_store_n(&tr->tr_busy, false, __ATOMIC_RELEASE);
	return error;
}

static const struct workload_op ops[] = {
	{ "store", "store an own word through the mapping or by write", 300, op_store },
	{ "load", "load a word through the mapping", 400, op_load },
	{ "read", "read some pages and look at words of them", 250, op_read },
	{ "wild", "store to a word that may be truncated at any moment", 30, op_wild },
	{ "truncate", "cut the file, or let it grow by ftruncate or by write", 20, op_truncate },
};

/* At rest every word is known. */
static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct trunc_run *tr = jw->jw_run->jr_private;
	int error = 0;

	for (uint64_t p = 0; p < tr->tr_npages && error == 0; p++)
		for (unsigned w = 0; w < tr->tr_nwriters && error == 0; w++) {
			struct view vi = look(tr, p, w);
			uint64_t value;

			if (word_of(p, w) * 8 + 8 > tr->tr_size)
				continue;
			error = user_load(FILE_BASE + word_of(p, w) * 8, &value);
			if (error != 0)
				return call_failed(jw, "load", FILE_BASE + word_of(p, w) * 8, error);
			error = judge(jw, tr, p, w, value, &vi, "a load at rest");
		}
	return error;
}

static int
verify(struct job_run *jr)
{
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct trunc_run *tr = jr->jr_private;

	if (tr == NULL)
		return;
	if (tr->tr_vp != NULL)
		vrele(tr->tr_vp);
	free(tr->tr_pages);
	free(tr);
}

static uint64_t
footprint(const struct job *job)
{
	return job->job_threads * ptoa(BUF_PAGES);
}

static const char *const required[] = {
	"uvmexp.ubc_read_bytes", "uvmexp.ubc_write_bytes", "uvmexp.filetrunc_pages",
	"uvmexp.filealloc", "faults.file", NULL
};

const struct workload wl_truncate = {
	.wl_name = "truncate",
	.wl_help = "a file that shrinks and grows under its mappings, readers and writers",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct trunc_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "uvm_vnp_setsize against faults, gets, windows and write-back; extension by "
	    "write; holes and their blocks",
	.wl_verifies = "zero, or the last store, and nothing that was truncated away; EINVAL beyond the end",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
