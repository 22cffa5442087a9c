/*
 * pressure: private memory, a shared memory object and a mapped file, together larger than
 * RAM, with a hot set in each that the page daemon has to find and keep.
 *
 * Most accesses go to the hot set, a window on each range that moves on slowly; the others
 * go anywhere.  So pages are referenced on the inactive queue (R22) and between sweeps of
 * the active one (R24) all the time, and what is cold goes out.  Sweeps over neighbouring
 * pages push at everything; advice puts pages on the inactive queue while they are in use
 * (T-40, T-50), and small ranges are wired while the daemon looks at them (T-41, T-42).
 *
 * Where swap is too small for all (`overcommit`), processes are killed and replaced: the
 * private memory of a fresh one reads as zero, the object and the file live on.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	PRIVATE_BASE	0x300000000UL
#define	OBJECT_BASE	0x400000000UL
#define	FILE_BASE	0x500000000UL
#define	SWEEP_PAGES	32
#define	RANGE_PAGES	8		/* of advice and wiring */

struct pressure_options {
	uint64_t po_object_size, po_file_size;
	double	 po_hot_fraction, po_hot_access;
	uint64_t po_drift;
};

static const struct option_row options[] = {
	{ "object-size", OPT_SIZE, offsetof(struct pressure_options, po_object_size), 4096, 1UL << 30,
	    "4M", NULL, NULL, "bytes of the shared memory object" },
	{ "file-size", OPT_SIZE, offsetof(struct pressure_options, po_file_size), 4096, 1UL << 28,
	    "4M", NULL, NULL, "bytes of the mapped file" },
	{ "hot-fraction", OPT_FRACTION, offsetof(struct pressure_options, po_hot_fraction), 0, 0,
	    "0.05", NULL, NULL, "share of the pages that is hot" },
	{ "hot-access", OPT_FRACTION, offsetof(struct pressure_options, po_hot_access), 0, 0,
	    "0.9", NULL, NULL, "share of the accesses that goes to them" },
	{ "drift", OPT_INT, offsetof(struct pressure_options, po_drift), 0, UINT32_MAX, "500",
	    NULL, NULL, "operations of a worker after which its hot set moves by a page; 0 = never" },
};

/* The three ranges. */
enum { PRIVATE, OBJECT, FILE_, NRANGES };
static const vaddr_t range_base[NRANGES] = { PRIVATE_BASE, OBJECT_BASE, FILE_BASE };

struct pressure_run {
	struct coherent	   pr_object, pr_file;
	struct uvm_object *pr_aobj;		/* stable */
	struct vnode	  *pr_vnode;		/* stable */
	uint64_t	   pr_npages[NRANGES];	/* stable */
};

/* --- memory --- */

static int
setup(struct job_run *jr)
{
	struct pressure_run *pr = jr->jr_private = xcalloc(1, sizeof(*pr));
	const struct pressure_options *po = jr->jr_job->job_options;
	int error;

	pr->pr_npages[PRIVATE] = jr->jr_job->job_size / PAGE_SIZE;
	pr->pr_npages[OBJECT] = po->po_object_size / PAGE_SIZE;
	pr->pr_npages[FILE_] = po->po_file_size / PAGE_SIZE;
	pr->pr_aobj = uao_create(pr->pr_npages[OBJECT] * PAGE_SIZE, 0);
	error = coherent_make(jr, &pr->pr_object, pr->pr_npages[OBJECT], false);
	if (error == 0)
		error = coherent_make(jr, &pr->pr_file, pr->pr_npages[FILE_], true);
	if (error == 0)
		error = content_vnode("pressure", pr->pr_file.co_object,
		    pr->pr_npages[FILE_] * PAGE_SIZE, &pr->pr_vnode);
	return error;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct pressure_run *pr = jr->jr_private;
	vaddr_t va = OBJECT_BASE;
	int error = private_map(jp, PRIVATE_BASE, jr->jr_job->job_size);

	if (error == 0)
		error = sys_shmat(jp->jp_proc, pr->pr_aobj, &va, VM_PROT_READ | VM_PROT_WRITE);
	if (error == 0)
		error = map_shared(jp->jp_proc, FILE_BASE, pr->pr_npages[FILE_] * PAGE_SIZE, pr->pr_vnode);
	return error;
}

static uint64_t
footprint(const struct job *job)
{
	const struct pressure_options *po = job->job_options;

	return job->job_processes * job->job_size + po->po_object_size;
}

/* --- accesses --- */

static int
touch(struct job_worker *jw, int range, uint64_t page)
{
	struct pressure_run *pr = jw->jw_run->jr_private;
	struct shadow *sh = &jw->jw_proc->jp_shadow;
	struct coherent *co = range == OBJECT ? &pr->pr_object : &pr->pr_file;
	bool write = draw_write(jw);

	if (range == PRIVATE && write)
		return private_store(jw, sh, own_word(jw, PRIVATE_BASE, page));
	if (range == PRIVATE)
		return private_check(jw, sh, own_word(jw, PRIVATE_BASE, page));
	if (write && jw->jw_index < co->co_nwriters)
		return coherent_store(jw, co, range_base[range], page, jw->jw_index);
	return coherent_check(jw, co, range_base[range], page,
	    (unsigned)host_rng_below(&jw->jw_rng, co->co_nwriters));
}

/* => a page of the range, mostly a hot one */
static uint64_t
choose(struct job_worker *jw, int range)
{
	const struct pressure_options *po = jw->jw_run->jr_job->job_options;
	const struct pressure_run *pr = jw->jw_run->jr_private;
	uint64_t n = pr->pr_npages[range], hot = (uint64_t)((double)n * po->po_hot_fraction);
	uint64_t first = po->po_drift != 0 ? jw->jw_ops / po->po_drift : 0;

	if (hot == 0 || !host_rng_chance(&jw->jw_rng, po->po_hot_access))
		return host_rng_below(&jw->jw_rng, n);
	return (first + host_rng_below(&jw->jw_rng, hot)) % n;
}

static int
draw_range(struct job_worker *jw)
{
	return (int)host_rng_below(&jw->jw_rng, NRANGES);
}

static int
op_access(struct job_worker *jw)
{
	int range = draw_range(jw);

	return touch(jw, range, choose(jw, range));
}

static int
op_sweep(struct job_worker *jw)
{
	int range = draw_range(jw);
	const struct pressure_run *pr = jw->jw_run->jr_private;
	uint64_t page = host_rng_below(&jw->jw_rng, pr->pr_npages[range]);
	int error = 0;

	for (uint64_t i = 0; i < SWEEP_PAGES && error == 0 && !engine_stopping(); i++) {
		error = touch(jw, range, (page + i) % pr->pr_npages[range]);
		worker_userret(jw);
	}
	return error;
}

/* => the first of *np pages, a few, of the range */
static uint64_t
small_range(struct job_worker *jw, int range, uint64_t *np)
{
	const struct pressure_run *pr = jw->jw_run->jr_private;
	uint64_t page = choose(jw, range);

	*np = pr->pr_npages[range] - page;
	if (*np > RANGE_PAGES)
		*np = RANGE_PAGES;
	return page;
}

static int
op_advise(struct job_worker *jw)
{
	int range = draw_range(jw);
	uint64_t n, page = small_range(jw, range, &n);
	int behav = host_rng_below(&jw->jw_rng, 4) == 0 ? UMADV_WILLNEED : UMADV_DONTNEED;
	int error;

	error = sys_madvise(jw->jw_proc->jp_proc, range_base[range] + page * PAGE_SIZE, n * PAGE_SIZE,
	    behav);
	if (error != 0)
		return call_failed(jw, "madvise", range_base[range] + page * PAGE_SIZE, error);
	return touch(jw, range, page);
}

/*
 * What two threads of a process wire, the first munlock of them unwires; so it may be gone
 * already.  There may not be enough memory to wire: that is no reason to die.
 */
static int
op_wire(struct job_worker *jw)
{
	int range = draw_range(jw);
	uint64_t n, page = small_range(jw, range, &n);
	vaddr_t va = range_base[range] + page * PAGE_SIZE;
	struct proc *p = jw->jw_proc->jp_proc;
	int error = sys_mlock(p, va, n * PAGE_SIZE);

	if (error == ENOMEM || error == EAGAIN)	/* EAGAIN: others have wired what may be wired */
		return 0;
	if (error != 0)
		return call_failed(jw, "mlock", va, error);
	for (uint64_t i = 0; i < n && error == 0; i++)
		error = touch(jw, range, page + i);
	if (error != 0)
		return error;
	error = sys_munlock(p, va, n * PAGE_SIZE);
	if (error == EINVAL && jw->jw_proc->jp_nthreads > 1)
		error = 0;
	return error == 0 ? 0 : call_failed(jw, "munlock", va, error);
}

static const struct workload_op ops[] = {
	{ "access", "store to or check a word, mostly of a hot page", 960, op_access },
	{ "sweep", "the same for each of 32 neighbouring pages", 10, op_sweep },
	{ "advise", "MADV_DONTNEED or MADV_WILLNEED on eight pages in use", 20, op_advise },
	{ "wire", "mlock eight pages, touch them, munlock them", 10, op_wire },
};

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct pressure_run *pr = jw->jw_run->jr_private;
	int error = private_check_all(jw, &jp->jp_shadow);

	if (error == 0)
		error = coherent_check_all(jw, &pr->pr_object, OBJECT_BASE);
	return error != 0 ? error : coherent_check_all(jw, &pr->pr_file, FILE_BASE);
}

static int
verify(struct job_run *jr)
{
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct pressure_run *pr = jr->jr_private;

	if (pr == NULL)
		return;
	if (pr->pr_vnode != NULL)
		vrele(pr->pr_vnode);
	uao_detach(pr->pr_aobj);
	coherent_fini(&pr->pr_object);
	coherent_fini(&pr->pr_file);
	free(pr);
}

static const char *const required[] = {
	"faults.pagein", "faults.file", "uvmexp.pdfreed", "uvmexp.pdreact", "uvmexp.pddeact",
	"uvmexp.pgswapout", NULL
};

const struct workload wl_pressure = {
	.wl_name = "pressure",
	.wl_help = "private, shared and file memory larger than RAM, with a hot set to be kept",
	.wl_common = WL_COMMON_ALL,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct pressure_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "both sweeps of the page daemon, usage balance, reactivation, wiring and advice under it",
	.wl_verifies = "private words against a model of their thread, shared ones by stamps",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
