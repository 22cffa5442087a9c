/*
 * loan-anon: memory moves from process to process, and from place to place, by loans.
 *
 * Each thread has some pages of its own in a process, half of them private memory of nobody,
 * half a private mapping of a file, so that what it lends is anons, pages of the file, or
 * nothing at all (zeroes).  A move makes one range another's memory; both go on with it
 * copy-on-write.  It goes within the process, to a child, or from a child that then exits.
 * With backing = object the second half is shared memory, which swap holds: its pages may be
 * clean there while anons borrow them (B-7).
 *
 * One model per process says what each word must be.  Every word belongs to one thread, but for
 * the last of each page of the file: that holds what the file has, and anybody stores it
 * there again, so that a page turns private while it is being lent (B-4).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x30000000UL		/* private memory */
#define	FILE_BASE	0x50000000UL		/* the file, private */
#define	EVICT_BASE	0x70000000UL		/* the file, shared: through it pages are thrown out */
#define	THREAD_PAGES	32UL
#define	MOVE_MAX	6			/* pages of one move */
#define	BLOCK_SIZE	(16 * PAGE_SIZE)	/* of the file: read at once */
#define	PAGE_WORDS	(PAGE_SIZE / 8)
#define	LAST_WORD	(PAGE_WORDS - 1)	/* of a page: nobody's */

enum { BACKING_FILE, BACKING_OBJECT };
static const char *const backing_names[] = { "file", "object", NULL };

struct loan_anon_options {
	unsigned	 lo_backing;
};

static const struct option_row options[] = {
	{ "backing", OPT_ENUM, offsetof(struct loan_anon_options, lo_backing), 0, 0, "file", backing_names,
	    NULL, "what half of the memory shows: a file, mapped private, or an object, shared" },
};

struct anon_run {
	struct vnode	*ar_vp;			/* stable */
	uint64_t	 ar_object;		/* stable */
	uint64_t	 ar_size;		/* stable: bytes of the file */
};

/* --- set-up --- */

static bool
backed_by_file(const struct job_run *jr)
{
	const struct loan_anon_options *lo = jr->jr_job->job_options;

	return lo->lo_backing == BACKING_FILE;
}

static int
map_file(struct job_run *jr, struct proc *p, vaddr_t va, uint64_t pages)
{
	struct anon_run *ar = jr->jr_private;

	return sys_mmap(p, &va, pages * PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_FIXED, ar->ar_vp, UF_READ, (voff_t)(va - FILE_BASE));
}

/* The file as it is mapped: what the model must say. */
static void
shadow_file(struct job_run *jr, struct job_proc *jp, vaddr_t va, uint64_t pages)
{
	struct anon_run *ar = jr->jr_private;
	uint64_t first = (va - FILE_BASE) / 8;

	for (uint64_t i = 0; i < pages * PAGE_SIZE / 8; i++)
		*shadow_word(jp->jp_private, va + i * 8) = content_file_word(ar->ar_object, first + i,
		    ar->ar_size);
}

static int
setup(struct job_run *jr)
{
	struct anon_run *ar = jr->jr_private = xcalloc(1, sizeof(*ar));
	int error;

	ar->ar_object = engine_object_id();
	ar->ar_size = jr->jr_nworkers * THREAD_PAGES * PAGE_SIZE;
	error = content_vnode("loan-anon", ar->ar_object, ar->ar_size, &ar->ar_vp);
	for (unsigned i = 0; i < jr->jr_nprocs && error == 0; i++) {
		struct job_proc *jp = &jr->jr_procs[i];

		jp->jp_private = xcalloc(1, sizeof(struct shadow));	/* of the file */
		error = shadow_init(jp->jp_private, FILE_BASE, jp->jp_nthreads * THREAD_PAGES * PAGE_SIZE);
	}
	return error;
}

/* => the process has an object of its own there, all zeroes */
static int
map_object(struct job_proc *jp, uint64_t pages)
{
	struct uvm_object *uobj = uao_create(pages * PAGE_SIZE, 0);
	vaddr_t va = FILE_BASE;
	int error = sys_shmat(jp->jp_proc, uobj, &va, VM_PROT_READ | VM_PROT_WRITE);

	uao_detach(uobj);			/* the mapping's, or gone */
	shadow_zero(jp->jp_private, FILE_BASE, pages * PAGE_SIZE);
	return error;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	const struct anon_run *ar = jr->jr_private;
	const uint64_t pages = jp->jp_nthreads * THREAD_PAGES;
	int error = private_map(jp, BASE, pages * PAGE_SIZE);

	if (!backed_by_file(jr))
		return error != 0 ? error : map_object(jp, pages);
	shadow_file(jr, jp, FILE_BASE, pages);
	if (error == 0)
		error = map_shared(jp->jp_proc, EVICT_BASE, pages * PAGE_SIZE, ar->ar_vp);
	return error != 0 ? error : map_file(jr, jp->jp_proc, FILE_BASE, pages);
}

/* --- places --- */

/* n pages of this thread: in memory, or in the file */
struct range {
	struct shadow	*ra_shadow;
	vaddr_t		 ra_va;
	uint64_t	 ra_pages;
};

static struct range
pick(struct job_worker *jw, uint64_t pages, bool file)
{
	struct job_proc *jp = jw->jw_proc;
	uint64_t page = jw->jw_thread * THREAD_PAGES +
	    host_rng_below(&jw->jw_rng, THREAD_PAGES - pages + 1);

	return (struct range){ file ? jp->jp_private : &jp->jp_shadow,
		(file ? FILE_BASE : BASE) + page * PAGE_SIZE, pages };
}

static struct range
pick_any(struct job_worker *jw, uint64_t pages)
{
	return pick(jw, pages, host_rng_chance(&jw->jw_rng, 0.4));
}

/* => a word of the range that is its owner's */
static uint64_t
draw_word(struct job_worker *jw, const struct range *ra)
{
	uint64_t page = host_rng_below(&jw->jw_rng, ra->ra_pages);

	return page * PAGE_WORDS + host_rng_below(&jw->jw_rng, LAST_WORD);
}

static vaddr_t
word_of(struct job_worker *jw, const struct range *ra)
{
	return ra->ra_va + 8 * draw_word(jw, ra);
}

/* => what is at dst is now what is at src */
static void
model_move(const struct range *src, const struct range *dst)
{
	memmove(shadow_word(dst->ra_shadow, dst->ra_va), shadow_word(src->ra_shadow, src->ra_va),
	    src->ra_pages * PAGE_SIZE);
}

/* --- operations --- */

static bool
overlap(const struct range *a, const struct range *b)
{
	return a->ra_va < b->ra_va + b->ra_pages * PAGE_SIZE &&
	    b->ra_va < a->ra_va + a->ra_pages * PAGE_SIZE;
}

static int
op_move(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	struct range src = pick_any(jw, 1 + host_rng_below(&jw->jw_rng, MOVE_MAX));
	struct range dst = pick(jw, src.ra_pages, false);
	int error;

	if (overlap(&src, &dst))
		return 0;
	error = sys_loan(p, src.ra_va, src.ra_pages * PAGE_SIZE, p, dst.ra_va);
	if (error != 0)
		return call_failed(jw, "loan", src.ra_va, error);
	model_move(&src, &dst);
	error = private_check(jw, dst.ra_shadow, word_of(jw, &dst));
	if (error == 0)
		error = private_store(jw, src.ra_shadow, word_of(jw, &src));
	return error != 0 ? error : private_check(jw, dst.ra_shadow, word_of(jw, &dst));
}

/* Why a move must fail. */
struct refusal {
	const char	*re_what;		/* what would be wrong if it did not */
	bool		 re_wire;		/* the page is wired for it, else protected so: */
	vm_prot_t	 re_prot;
	bool		 re_dst;		/* the first page that would be replaced, or the last that would be lent */
	int		 re_error;
};

static const struct refusal refusals[] = {
	{ "memory was lent that is wired", true, VM_PROT_NONE, false, EBUSY },
	{ "memory was lent that may not be read", false, VM_PROT_NONE, false, EACCES },
	{ "memory was replaced that may not be written", false, VM_PROT_READ, true, EACCES },
};

static int
forbid(struct proc *p, const struct refusal *re, vaddr_t va, bool on)
{
	if (re->re_wire)
		return on ? sys_mlock(p, va, PAGE_SIZE) : sys_munlock(p, va, PAGE_SIZE);
	return sys_mprotect(p, va, PAGE_SIZE, on ? re->re_prot : VM_PROT_READ | VM_PROT_WRITE);
}

/* Nothing is moved, and what had been lent by then is not any more (I-LOAN-6). */
static int
op_refuse(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	const struct refusal *re = &refusals[host_rng_below(&jw->jw_rng, sizeof(refusals) / sizeof(refusals[0]))];
	struct range src = pick(jw, 2 + host_rng_below(&jw->jw_rng, MOVE_MAX - 1), false);
	struct range dst = pick(jw, src.ra_pages, false);
	const vaddr_t at = re->re_dst ? dst.ra_va : src.ra_va + (src.ra_pages - 1) * PAGE_SIZE;
	int error, refused;

	if (overlap(&src, &dst))
		return 0;
	error = forbid(p, re, at, true);
	if (error == EAGAIN)			/* over the limit of wired pages: not our business */
		return 0;
	if (error != 0)
		return call_failed(jw, "mlock or mprotect", at, error);
	refused = sys_loan(p, src.ra_va, src.ra_pages * PAGE_SIZE, p, dst.ra_va);
	error = forbid(p, re, at, false);
	if (error != 0)
		return call_failed(jw, "munlock or mprotect", at, error);
	if (refused == 0)
		return content_bad(jw, "call-refused", at, "%s", re->re_what);
	if (refused != re->re_error)
		return call_failed(jw, "loan", src.ra_va, refused);
	error = private_check(jw, src.ra_shadow, word_of(jw, &src));
	return error != 0 ? error : private_check(jw, dst.ra_shadow, word_of(jw, &dst));
}

/* What a child is to do; it works while the thread waits. */
struct errand {
	struct range	er_src, er_dst;
	bool		er_take;	/* child to parent */
	uint64_t	er_word;	/* take: a word of src that the child changes, */
	uint64_t	er_value;	/* to that */
};

static int
child(struct job_worker *jw, void *arg)
{
	struct errand *er = arg;
	struct proc *self = curlwp->l_proc, *parent = jw->jw_proc->jp_proc;
	vsize_t len = er->er_src.ra_pages * PAGE_SIZE;
	int error;

	if (er->er_take) {
		error = user_store(er->er_src.ra_va + er->er_word * 8, er->er_value);
		if (error == 0)
			error = sys_loan(self, er->er_src.ra_va, len, parent, er->er_dst.ra_va);
		return error != 0 ? call_failed(jw, "loan", er->er_src.ra_va, error) : 0;
	}
	error = sys_loan(parent, er->er_src.ra_va, len, self, er->er_dst.ra_va);
	if (error != 0)
		return call_failed(jw, "loan", er->er_src.ra_va, error);
	for (uint64_t i = 0; i < er->er_src.ra_pages && error == 0; i++) {
		vaddr_t off = i * PAGE_SIZE + 8 * host_rng_below(&jw->jw_rng, PAGE_SIZE / 8);

		error = expect_word(jw, er->er_dst.ra_va + off,
		    *shadow_word(er->er_src.ra_shadow, er->er_src.ra_va + off), "loan");
		if (error == 0 && (error = user_store(er->er_dst.ra_va + off, i)) != 0)
			error = call_failed(jw, "store", er->er_dst.ra_va + off, error);
	}
	return error;
}

static int
with_child(struct job_worker *jw, bool take)
{
	struct errand er = { .er_take = take };
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, MOVE_MAX);
	int error;

	/* What a child changes of an object its parent would see. */
	er.er_src = take && !backed_by_file(jw->jw_run) ? pick(jw, n, false) : pick_any(jw, n);
	er.er_dst = pick(jw, er.er_src.ra_pages, false);
	er.er_word = draw_word(jw, &er.er_src);
	er.er_value = jw->jw_seq << 8 | 1;
	error = run_in_child(jw, child, &er);
	if (error != 0 || !take)
		return error;
	model_move(&er.er_src, &er.er_dst);	/* a child's src and the parent's dst do not overlap */
	*shadow_word(er.er_dst.ra_shadow, er.er_dst.ra_va + er.er_word * 8) = er.er_value;
	return private_check(jw, er.er_dst.ra_shadow, er.er_dst.ra_va + er.er_word * 8);
}

static int
op_give(struct job_worker *jw)
{
	return with_child(jw, false);
}

static int
op_take(struct job_worker *jw)
{
	return with_child(jw, true);
}

static int
op_renew(struct job_worker *jw)
{
	struct range ra = pick(jw, THREAD_PAGES, true);
	int error;

	if (!backed_by_file(jw->jw_run)) {
		error = sys_madvise(jw->jw_proc->jp_proc, ra.ra_va, ra.ra_pages * PAGE_SIZE, UMADV_DONTNEED);
		return error != 0 ? call_failed(jw, "madvise", ra.ra_va, error) : 0;
	}
	error = map_file(jw->jw_run, jw->jw_proc->jp_proc, ra.ra_va, ra.ra_pages);
	if (error != 0)
		return call_failed(jw, "mmap", ra.ra_va, error);
	shadow_file(jw->jw_run, jw->jw_proc, ra.ra_va, ra.ra_pages);
	return 0;
}

/*
 * A block of any thread is thrown out of memory, and its first page turns private, which means to
 * read it: while loans run into it.  What is on loan of it stays its borrowers'.
 */
static int
op_nudge(struct job_worker *jw)
{
	const struct anon_run *ar = jw->jw_run->jr_private;
	uint64_t blocks = jw->jw_proc->jp_nthreads * THREAD_PAGES * PAGE_SIZE / BLOCK_SIZE;
	uint64_t at = (host_rng_below(&jw->jw_rng, blocks) | 1) * BLOCK_SIZE;
	uint64_t word = at / 8 + LAST_WORD;
	int error;

	if (!backed_by_file(jw->jw_run))
		return 0;
	error = sys_msync(jw->jw_proc->jp_proc, EVICT_BASE + at, BLOCK_SIZE, UMS_SYNC | UMS_INVALIDATE);
	if (error != 0 && error != EBUSY)
		return call_failed(jw, "msync", EVICT_BASE + at, error);
	error = user_store(FILE_BASE + word * 8, content_file_word(ar->ar_object, word, ar->ar_size));
	return error != 0 ? call_failed(jw, "store", FILE_BASE + word * 8, error) : 0;
}

static int
op_store(struct job_worker *jw)
{
	struct range ra = pick_any(jw, THREAD_PAGES);

	return private_store(jw, ra.ra_shadow, word_of(jw, &ra));
}

static int
op_check(struct job_worker *jw)
{
	struct range ra = pick_any(jw, THREAD_PAGES);

	return private_check(jw, ra.ra_shadow, word_of(jw, &ra));
}

static const struct workload_op ops[] = {
	{ "store", "store to a word of this thread's memory, or of its part of the file", 330,
	    op_store },
	{ "check", "check a word of them", 330, op_check },
	{ "move", "lend pages to another place of the process", 310, op_move },
	{ "give", "lend pages to a child, which stores to them", 10, op_give },
	{ "take", "a child lends what it has made of its memory, and exits", 10, op_take },
	{ "refuse", "try to lend pages of which the last may not be, or to where they may not go", 0, op_refuse },
	{ "renew", "map the thread's part of the file anew, or let it go to swap", 20, op_renew },
	{ "nudge", "throw a block of the file out of memory, and have its first page turn private", 30, op_nudge },
};

/* --- the end --- */

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	int error = private_check_all(jw, &jp->jp_shadow);

	return error != 0 ? error : private_check_all(jw, jp->jp_private);
}

static int
verify(struct job_run *jr)
{
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct anon_run *ar = jr->jr_private;

	for (unsigned i = 0; i < jr->jr_nprocs; i++) {
		struct shadow *file = jr->jr_procs[i].jp_private;

		if (file != NULL)
			shadow_fini(file);
		free(file);
	}
	if (ar != NULL && ar->ar_vp != NULL)
		vrele(ar->ar_vp);
	free(ar);
}

static uint64_t
footprint(const struct job *job)
{
	return 3 * job->job_threads * THREAD_PAGES * PAGE_SIZE;
}

static const char *const required[] = {
	"loans.to_anon", "loans.zero", "loans.broken", "loans.returned", "faults.cow", NULL
};

const struct workload wl_loan_anon = {
	.wl_name = "loan-anon",
	.wl_help = "memory that moves between places and processes by loans to anons",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct loan_anon_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "loans of anons, file pages and zeroes to anons, replaced anons, broken loans, exits of borrowers and lenders",
	.wl_verifies = "each word against a model that moves along",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
