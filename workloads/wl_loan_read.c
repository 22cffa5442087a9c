/*
 * loan-read: read() by loan into page-aligned private memory.
 *
 * Each page of the file has one writer, who writes it as a whole, all words of one
 * sequence number.  Each thread has a buffer of some pages.  A read by loan makes file
 * pages its memory; from then on the buffer must stay what it was at that moment, whatever
 * happens to the file (I-LOAN-3), but for what is stored to it: by the thread itself, by
 * its siblings, who have a word of each page of it (T-60), and by a child in its own copy.
 *
 * A sibling's store while a read replaces the page may be lost; one that comes after the
 * read may not.  lb_gen is odd while a read is under way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	FILE_BASE	0x40000000UL
#define	BUF_BASE	0x80000000UL
#define	BUF_PAGES	8UL
#define	SOURCE_PAGE	BUF_PAGES		/* where a thread makes the pages that it writes */
#define	WRITE_PAGES	2UL			/* written by one call, or the first of them */
#define	THREAD_PAGES	(BUF_PAGES + WRITE_PAGES)
#define	SIBLING_WORD(t)	(256 + (t) % 64)	/* in each page: of thread t of the process */
#define	SAMPLES		8			/* words of a page that are looked at; below 256 */

struct loan_options {
	uint64_t lo_file_size;
	double	 lo_copy_fraction;
};

/*	!  only its thread	@  atomic */
struct loan_buffer {
	uint32_t  lb_gen;		/* @ odd: a read is under way */
	bool	  lb_filled;		/* ! */
	uint64_t  lb_first;		/* ! page of the file that is its first */
	uint32_t  lb_seq[BUF_PAGES];	/* ! which write of it */
	uint64_t  lb_own[BUF_PAGES];	/* ! word 255: what the thread stored, or 0 */
};

struct loan_run {
	struct vnode	*lr_vp;		/* : */
	uint64_t	 lr_object;	/* : */
	uint64_t	 lr_npages;	/* : */
	uint32_t	*lr_done;	/* @ of each page: newest write that is complete */
	uint32_t	*lr_begun;	/* @ newest that was begun: by its writer alone */
	struct loan_buffer *lr_bufs;	/* of each worker */
};

static const struct option_row options[] = {
	{ "file-size", OPT_SIZE, offsetof(struct loan_options, lo_file_size), 65536, 1UL << 28,
	    "1M", NULL, NULL, "bytes of the file" },
	{ "copy-fraction", OPT_FRACTION, offsetof(struct loan_options, lo_copy_fraction), 0, 0,
	    "0.1", NULL, NULL, "share of reads that copy" },
};

/* --- set-up --- */

static vaddr_t
thread_base(unsigned thread)
{
	return BUF_BASE + thread * ptoa(THREAD_PAGES);
}

static struct loan_buffer *
buffer_of(struct job_worker *jw)
{
	struct loan_run *lr = jw->jw_run->jr_private;

	return &lr->lr_bufs[jw->jw_index];
}

static int
setup(struct job_run *jr)
{
	const struct loan_options *lo = jr->jr_job->job_options;
	struct loan_run *lr = xcalloc(1, sizeof(*lr));

	jr->jr_private = lr;
	lr->lr_npages = atop(lo->lo_file_size);
	if (lr->lr_npages < WRITE_PAGES * jr->jr_nworkers)
		lr->lr_npages = WRITE_PAGES * jr->jr_nworkers;
	lr->lr_object = engine_object_id();
	lr->lr_done = xcalloc(lr->lr_npages, sizeof(*lr->lr_done));
	lr->lr_begun = xcalloc(lr->lr_npages, sizeof(*lr->lr_begun));
	lr->lr_bufs = xcalloc(jr->jr_nworkers, sizeof(*lr->lr_bufs));
	return content_vnode("loan-read", lr->lr_object, ptoa(lr->lr_npages), &lr->lr_vp);
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct loan_run *lr = jr->jr_private;
	int error = map_shared(jp->jp_proc, FILE_BASE, ptoa(lr->lr_npages), lr->lr_vp);

	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		if (jr->jr_workers[i].jw_proc == jp)
			lr->lr_bufs[i] = (struct loan_buffer){ .lb_gen = lr->lr_bufs[i].lb_gen & ~1u };
	return error != 0 ? error : map_private(jp->jp_proc, BUF_BASE, jp->jp_nthreads * ptoa(THREAD_PAGES));
}

/* --- the buffer --- */

static uint64_t
sample_word(unsigned i)
{
	return i * 31 % 255;
}

/* => the sequence number of a word that was read from the file, or it is reported */
static int
buffer_word(struct job_worker *jw, uint64_t i, uint64_t word, struct stamp *st)
{
	struct loan_run *lr = jw->jw_run->jr_private;
	uint64_t page = buffer_of(jw)->lb_first + i, value;
	vaddr_t va = thread_base(jw->jw_thread) + ptoa(i) + word * 8;
	int error = user_load(va, &value);

	if (error != 0)
		return call_failed(jw, "load", va, error);
	if (!stamp_read(value, lr->lr_object, page * 512 + word, st))
		return content_bad(jw, "loan-stamp", va, "holds %#lx, which is no stamp of word %lu of page "
		    "%lu of the file", (unsigned long)value, (unsigned long)word, (unsigned long)page);
	worker_verified(jw, 8);
	return 0;
}

static int
op_check(struct job_worker *jw)
{
	struct loan_buffer *lb = buffer_of(jw);
	uint64_t i = host_rng_below(&jw->jw_rng, BUF_PAGES), value;
	vaddr_t own = thread_base(jw->jw_thread) + ptoa(i) + 255 * 8;
	struct stamp st;
	int error;

	if (!lb->lb_filled)
		return 0;
	error = buffer_word(jw, i, sample_word((unsigned)host_rng_below(&jw->jw_rng, SAMPLES)), &st);
	if (error != 0)
		return error;
	if (st.st_seq != lb->lb_seq[i])
		return content_bad(jw, "I-LOAN-3", own, "write %u of page %lu was read, now it is write %u",
		    lb->lb_seq[i], (unsigned long)(lb->lb_first + i), st.st_seq);
	if (lb->lb_own[i] == 0)
		return 0;
	error = user_load(own, &value);
	if (error != 0)
		return call_failed(jw, "load", own, error);
	return value == lb->lb_own[i] ? 0 : content_bad(jw, "loan-store-lost", own,
	    "holds %#lx, %#lx was stored after the read", (unsigned long)value,
	    (unsigned long)lb->lb_own[i]);
}

/* => all of it: what it is from now on */
static int
take_stock(struct job_worker *jw, const uint32_t *floor)
{
	struct loan_buffer *lb = buffer_of(jw);
	struct stamp st;
	int error;

	for (uint64_t i = 0; i < BUF_PAGES; i++)
		for (unsigned s = 0; s < SAMPLES; s++) {
			error = buffer_word(jw, i, sample_word(s), &st);
			if (error != 0)
				return error;
			if (s == 0)
				lb->lb_seq[i] = st.st_seq;
			if (st.st_seq != lb->lb_seq[i] || st.st_seq < floor[i])
				return content_bad(jw, "I-UBC-6", ptoa(lb->lb_first + i), "read() gives writes %u "
				    "and %u of the page, %u was complete", lb->lb_seq[i], st.st_seq, floor[i]);
		}
	return 0;
}

static int
op_read(struct job_worker *jw)
{
	struct loan_run *lr = jw->jw_run->jr_private;
	const struct loan_options *lo = jw->jw_run->jr_job->job_options;
	struct loan_buffer *lb = buffer_of(jw);
	bool copy = host_rng_chance(&jw->jw_rng, lo->lo_copy_fraction);
	uint32_t floor[BUF_PAGES];
	size_t n = ptoa(BUF_PAGES);
	int error;

	__atomic_fetch_add(&lb->lb_gen, 1, __ATOMIC_SEQ_CST);
	/* not as one structure: siblings look at lb_gen meanwhile */
	lb->lb_filled = false;
	lb->lb_first = host_rng_below(&jw->jw_rng, lr->lr_npages - BUF_PAGES + 1);
	memset(lb->lb_seq, 0, sizeof(lb->lb_seq));
	memset(lb->lb_own, 0, sizeof(lb->lb_own));
	for (uint64_t i = 0; i < BUF_PAGES; i++)
		/* acquire: pairs with op_write() */
		floor[i] = __atomic_load_n(&lr->lr_done[lb->lb_first + i], __ATOMIC_ACQUIRE);
	error = sys_read(jw->jw_proc->jp_proc, lr->lr_vp, (voff_t)ptoa(lb->lb_first),
	    thread_base(jw->jw_thread), &n, copy ? 0 : SYSR_LOAN);
	/* a word of ours is on its way into a sibling's copy of the page no longer */
	__atomic_fetch_add(&lb->lb_gen, 1, __ATOMIC_SEQ_CST);
	if (error != 0)
		return call_failed(jw, "read", ptoa(lb->lb_first), error);
	error = take_stock(jw, floor);
	lb->lb_filled = error == 0;
	return error;
}

static int
op_store(struct job_worker *jw)
{
	struct loan_buffer *lb = buffer_of(jw);
	uint64_t i = host_rng_below(&jw->jw_rng, BUF_PAGES);
	vaddr_t va = thread_base(jw->jw_thread) + ptoa(i) + 255 * 8;
	uint64_t value = private_value(jw->jw_run->jr_seed + jw->jw_index, va, ++jw->jw_seq);
	int error = user_store(va, value);

	if (error != 0)
		return call_failed(jw, "store", va, error);
	lb->lb_own[i] = value;
	return 0;
}

/* T-60: after the read a store of a sibling with a stale translation must not be lost */
static int
op_sibling(struct job_worker *jw)
{
	struct loan_run *lr = jw->jw_run->jr_private;
	const struct job_run *jr = jw->jw_run;
	const struct job_worker *other = &jr->jr_workers[host_rng_below(&jw->jw_rng, jr->jr_nworkers)];
	struct loan_buffer *lb = &lr->lr_bufs[other->jw_index];
	vaddr_t va = thread_base(other->jw_thread) +
	    ptoa(host_rng_below(&jw->jw_rng, BUF_PAGES)) + SIBLING_WORD(jw->jw_thread) * 8;
	uint64_t value = private_value(jr->jr_seed + jw->jw_index, va, ++jw->jw_seq), got = 0;
	uint32_t gen;
	int error;

	if (other->jw_proc != jw->jw_proc)
		return 0;
	gen = __atomic_load_n(&lb->lb_gen, __ATOMIC_SEQ_CST);
	error = user_store(va, value);
	if (error == 0)
		error = user_load(va, &got);
	if (error != 0)
		return call_failed(jw, "access", va, error);
	if ((gen & 1) != 0 || __atomic_load_n(&lb->lb_gen, __ATOMIC_SEQ_CST) != gen || got == value)
		return 0;
	return content_bad(jw, "T-60", va, "holds %#lx, %#lx was stored, and no read came between",
	    (unsigned long)got, (unsigned long)value);
}

/* --- the file --- */

static int
op_write(struct job_worker *jw)
{
	struct loan_run *lr = jw->jw_run->jr_private;
	uint64_t n = jw->jw_run->jr_nworkers, groups = lr->lr_npages / WRITE_PAGES;
	uint64_t group = jw->jw_index + n * host_rng_below(&jw->jw_rng, (groups - jw->jw_index + n - 1) / n);
	uint64_t page = group * WRITE_PAGES, npages = 1 + host_rng_below(&jw->jw_rng, WRITE_PAGES);
	vaddr_t src = thread_base(jw->jw_thread) + ptoa(SOURCE_PAGE);
	uint64_t words[512];
	size_t len = ptoa(npages);
	int error = 0;

	for (uint64_t at = 0; at < npages && error == 0; at++) {
		struct stamp st = { ++lr->lr_begun[page + at], jw->jw_index % 64 };

		for (uint64_t i = 0; i < 512; i++)
			words[i] = stamp_make(lr->lr_object, (page + at) * 512 + i, st);
		error = copyout(words, src + ptoa(at), sizeof(words));
	}
	if (error == 0)
		error = sys_write(jw->jw_proc->jp_proc, lr->lr_vp, (voff_t)ptoa(page), src, &len, 0);
	/* A word that nobody samples, through the mapping: breaks loans by a fault. */
	if (error == 0)
		error = user_store(FILE_BASE + ptoa(page + npages - 1) + 300 * 8, words[300]);
	if (error != 0)
		return call_failed(jw, "write", ptoa(page), error);
	for (uint64_t at = page; at < page + npages; at++)	/* release: pairs with op_read() */
		__atomic_store_n(&lr->lr_done[at], lr->lr_begun[at], __ATOMIC_RELEASE);
	return 0;
}

static int
child(struct job_worker *jw, void *arg)
{
	vaddr_t va = thread_base(jw->jw_thread) + 255 * 8;
	int error = 0;

	for (unsigned i = 0; i < BUF_PAGES && error == 0; i++) {
		error = op_check(jw);
		if (error == 0 && (error = user_store(va + ptoa(i), ~(uint64_t)i)) != 0)
			error = call_failed(jw, "store", va + ptoa(i), error);
		if (error == 0)
			error = expect_word(jw, va + ptoa(i), ~(uint64_t)i, "private");
		/* what it stored is not what the model says, so from here on only the file's words */
		buffer_of(jw)->lb_own[i] = 0;
	}
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	struct loan_buffer *lb = buffer_of(jw), saved = *lb;
	int error;

	if (!lb->lb_filled)
		return 0;
	error = run_in_child(jw, child, NULL);
	for (unsigned i = 0; i < BUF_PAGES; i++)
		lb->lb_own[i] = saved.lb_own[i];
	return error != 0 ? error : op_check(jw);
}

/* What is borrowed goes to the network, which borrows it as well; meanwhile lender or borrower breaks, or ends, his loan. */
static int
op_send(struct job_worker *jw)
{
	static int (*const meanwhile[])(struct job_worker *) = { op_read, op_write, op_store };
	vaddr_t va = thread_base(jw->jw_thread);
	struct so_send ss;
	int error;

	if (!buffer_of(jw)->lb_filled)
		return 0;
	error = sys_send(jw->jw_proc->jp_proc, va, ptoa(BUF_PAGES), 0, &ss);
	if (error != 0)
		return call_failed(jw, "send", va, error);
	error = meanwhile[host_rng_below(&jw->jw_rng, sizeof(meanwhile) / sizeof(meanwhile[0]))](jw);
	so_send_wait(&ss);
	return error;
}

static const struct workload_op ops[] = {
	{ "read", "read pages of the file by loan", 250, op_read },
	{ "check", "is the buffer still what was read?", 350, op_check },
	{ "store", "store to the buffer", 100, op_store },
	{ "sibling", "store to the buffer of another thread, and find it there", 150, op_sibling },
	{ "write", "write a page or two of the file, and a word through the mapping", 145, op_write },
	{ "send", "send the buffer, and read, write or store while it is on its way", 0, op_send },
	{ "fork", "a child looks at the buffer, and stores to it", 5, op_fork },
};

static void
teardown(struct job_run *jr)
{
	struct loan_run *lr = jr->jr_private;

	if (lr == NULL)
		return;
	if (lr->lr_vp != NULL)
		vrele(lr->lr_vp);
	free(lr->lr_done);
	free(lr->lr_begun);
	free(lr->lr_bufs);
	free(lr);
}

static int
verify(struct job_run *jr)
{
	struct loan_run *lr = jr->jr_private;

	return file_sync(&jr->jr_self, lr->lr_vp);
}

static uint64_t
footprint(const struct job *job)
{
	return job->job_threads * ptoa(THREAD_PAGES);
}

static const char *const required[] = {
	"uvmexp.loan_read", "uvmexp.ubc_write_bytes", "uvmexp.loan_broken", NULL
};

const struct workload wl_loan_read = {
	.wl_name = "loan-read",
	.wl_help = "read by loan into private memory, which must stay what was read",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct loan_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "loans of file pages to anons, replaced memory under siblings and fork, loans "
	    "broken by write, by faults of the lender and of the borrower",
	.wl_verifies = "a buffer is one write of each page, and stays that; no store is lost",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
