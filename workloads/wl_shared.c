/*
 * shared-anon and aobj-shm: memory that several processes write at once.
 *
 * shared-anon shares an amap: the first process maps it, the others are its
 * children by fork.  aobj-shm shares an object: every process attaches it, and
 * a process of one thread detaches and attaches again now and then, so that its
 * pages stay while mappings come and go.
 *
 * Each word has one writer; anybody reads anything.  A load must return at least
 * what some CPU had stored, or seen, before it began: stale translations, lost
 * stores and a sharer left on an old page all show as a word that is too old.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>
#include <sys/sleepq.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE	0x20000000UL

struct shared_run {
	struct coherent	   sr_region;
	struct uvm_object *sr_aobj;	/* stable; NULL: shared amap */
};

static struct shared_run *
run_create(struct job_run *jr)
{
	struct shared_run *sr = xcalloc(1, sizeof(*sr));

	jr->jr_private = sr;
	if (coherent_make(jr, &sr->sr_region, jr->jr_job->job_size / PAGE_SIZE, false) != 0)
		xcheck(NULL);
	return sr;
}

static int
setup_anon(struct job_run *jr)
{
	vaddr_t va = BASE;
	char name[64];
	int error;

	run_create(jr);
	error = sys_mmap(jr->jr_procs[0].jp_proc, &va, jr->jr_job->job_size,
	    VM_PROT_READ | VM_PROT_WRITE, UMAP_SHARED | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	for (unsigned i = 1; i < jr->jr_nprocs && error == 0; i++) {
		proc_exit(jr->jr_procs[i].jp_proc);
		jr->jr_procs[i].jp_proc = NULL;
		snprintf(name, sizeof(name), "%s/%u", jr->jr_job->job_name, i);
		error = proc_fork(jr->jr_procs[0].jp_proc, name, &jr->jr_procs[i].jp_proc);
	}
	return error;
}

static int
attach(struct proc *p, struct shared_run *sr)
{
	vaddr_t va = BASE;

	return sys_shmat(p, sr->sr_aobj, &va, VM_PROT_READ | VM_PROT_WRITE);
}

static int
setup_aobj(struct job_run *jr)
{
	struct shared_run *sr = run_create(jr);
	int error = 0;

	sr->sr_aobj = uao_create(jr->jr_job->job_size, 0);
	for (unsigned i = 0; i < jr->jr_nprocs && error == 0; i++)
		error = attach(jr->jr_procs[i].jp_proc, sr);
	return error;
}

static int
check_random(struct job_worker *jw, struct shared_run *sr)
{
	uint64_t page = host_rng_below(&jw->jw_rng, sr->sr_region.co_npages);
	unsigned writer = (unsigned)host_rng_below(&jw->jw_rng, sr->sr_region.co_nwriters);

	return coherent_check(jw, &sr->sr_region, BASE, page, writer);
}

static int
op_access(struct job_worker *jw)
{
	struct shared_run *sr = jw->jw_run->jr_private;

	if (jw->jw_index >= sr->sr_region.co_nwriters || !draw_write(jw))
		return check_random(jw, sr);
	return coherent_store(jw, &sr->sr_region, BASE,
	    host_rng_below(&jw->jw_rng, sr->sr_region.co_npages), jw->jw_index);
}

static int
visit(struct job_worker *jw, void *arg)
{
	int error = 0;

	for (int i = 0; i < 8 && error == 0; i++)
		error = check_random(jw, arg);
	return error;
}

static int
op_attach(struct job_worker *jw)
{
	struct shared_run *sr = jw->jw_run->jr_private;
	struct proc *p = jw->jw_proc->jp_proc;
	int error;

	error = sys_munmap(p, BASE, uao_size(sr->sr_aobj));
	if (error != 0)
		return call_failed(jw, "munmap", BASE, error);
	error = expect_refusal(jw, BASE, false, EFAULT);
	/* Detached it must not stay: verify() looks at it. */
	while (error == 0 && (error = attach(p, sr)) == ENOMEM) {
		kpause("shmat", 1000000);
		error = 0;
	}
	return error != 0 ? call_failed(jw, "shmat", BASE, error) : 0;
}

static int
op_visit(struct job_worker *jw)
{
	return run_in_child(jw, visit, jw->jw_run->jr_private);
}

#define	SEGMENT_BASE	0x60000000UL
#define	SEGMENT_PAGES	8UL
#define	SEGMENT_VISITS	8

/*
 * A segment of this worker's own, whose last mapping goes while some of its pages may be busy, or in swap, and
 * swapoff may be on its way through all objects.
 */
static int
op_segment(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	struct uvm_object *uobj = uao_create(ptoa(SEGMENT_PAGES), 0);
	vaddr_t va = SEGMENT_BASE + jw->jw_thread * ptoa(SEGMENT_PAGES);
	int error = sys_shmat(p, uobj, &va, VM_PROT_READ | VM_PROT_WRITE), back;

	uao_detach(uobj);			/* the mapping's, or gone */
	if (error != 0)
		return call_failed(jw, "shmat", va, error);
	for (vaddr_t i = 0; i < SEGMENT_PAGES && error == 0; i++)
		error = user_store(va + ptoa(i), va + i);
	if (error == 0)				/* the page daemon's next, while we are elsewhere */
		error = sys_madvise(p, va, ptoa(SEGMENT_PAGES), UMADV_DONTNEED);
	if (error != 0)
		error = call_failed(jw, "segment", va, error);
	for (int i = 0; i < SEGMENT_VISITS && error == 0; i++)
		error = visit(jw, jw->jw_run->jr_private);
	for (vaddr_t i = 0; i < SEGMENT_PAGES / 2 && error == 0; i++)
		error = expect_word(jw, va + ptoa(i), va + i, "segment");
	back = sys_munmap(p, va, ptoa(SEGMENT_PAGES));
	if (back != 0)
		return call_failed(jw, "munmap", va, back);
	return error;
}

#define	SNAPSHOT_PAGES	8

/* Words of some pages as the child found them, and one of its own in each. */
static int
snapshot(struct job_worker *jw, void *arg)
{
	const struct coherent *co = &((struct shared_run *)arg)->sr_region;
	unsigned writer = jw->jw_index % co->co_nwriters;
	vaddr_t theirs[SNAPSHOT_PAGES], own[SNAPSHOT_PAGES];
	uint64_t was[SNAPSHOT_PAGES];
	int error = 0;

	for (int i = 0; i < SNAPSHOT_PAGES && error == 0; i++) {
		uint64_t page = host_rng_below(&jw->jw_rng, co->co_npages);

		theirs[i] = BASE + 8 * coherent_word(co, page, (writer + 1) % co->co_nwriters);
		own[i] = BASE + 8 * coherent_word(co, page, writer);
		error = user_load(theirs[i], &was[i]);
		if (error == 0)
			error = user_store(own[i], 1);
		if (error != 0)
			return call_failed(jw, "access", own[i], error);
	}
	for (int i = 0; i < SNAPSHOT_PAGES && error == 0; i++) {
		if (co->co_nwriters > 1)
			error = expect_word(jw, theirs[i], was[i], "cow-isolation");
		if (error == 0)
			error = expect_word(jw, own[i], 1, "cow-isolation");
	}
	return error;
}

/*
 * A child that inherits a copy: what is stored in either no longer reaches the other, and all who
 * share go on with one page (T-39).
 */
static int
op_snapshot(struct job_worker *jw)
{
	const vsize_t size = jw->jw_run->jr_job->job_size;
	struct proc *p = jw->jw_proc->jp_proc;
	int error = sys_minherit(p, BASE, size, MAP_INHERIT_COPY), back;

	if (error != 0)
		return call_failed(jw, "minherit", BASE, error);
	error = run_in_child(jw, snapshot, jw->jw_run->jr_private);
	back = sys_minherit(p, BASE, size, MAP_INHERIT_SHARE);
	if (back != 0)
		return call_failed(jw, "minherit", BASE, back);
	return error;
}

static const struct workload_op anon_ops[] = {
	{ "access", "store to this worker's word, or check anybody's, of a random page", 400, op_access },
	{ "visit", "fork a child that checks some pages and exits", 1, op_visit },
	{ "snapshot", "fork a child that has a copy, and stores to it (processes of one thread)", 1,
	    op_snapshot, true },
};

static const struct workload_op aobj_ops[] = {
	{ "access", "store to this worker's word, or check anybody's, of a random page", 400, op_access },
	{ "visit", "fork a child that checks some pages and exits", 1, op_visit },
	{ "attach", "detach the segment and attach it again (processes of one thread)", 1, op_attach, true },
	{ "segment", "make a segment of one's own, use it, and detach it", 8, op_segment },
};

/* Every word of every page from every process: all must hold the last store exactly. */
static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct shared_run *sr = jw->jw_run->jr_private;

	return coherent_check_all(jw, &sr->sr_region, BASE);
}

static int
verify(struct job_run *jr)
{
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct shared_run *sr = jr->jr_private;

	if (sr == NULL)
		return;
	if (sr->sr_aobj != NULL)
		uao_detach(sr->sr_aobj);
	coherent_fini(&sr->sr_region);
	free(sr);
}

static const char *const required[] = { "faults.total", "faults.soft", NULL };

const struct workload wl_shared_anon = {
	.wl_name = "shared-anon",
	.wl_help = "MAP_SHARED anonymous memory: one amap under several processes",
	.wl_common = WL_COMMON_ALL,
	.wl_ops = anon_ops,
	.wl_nops = sizeof(anon_ops) / sizeof(anon_ops[0]),
	.wl_exercises = "amap sharing, inherit SHARE, uvm_fault 1A, fork and exit of sharers",
	.wl_verifies = "stamps: each word names itself, its writer and its store; never goes back in time",
	.wl_required = required,
	.wl_setup = setup_anon,
	.wl_verify = verify,
	.wl_teardown = teardown,
};

const struct workload wl_aobj_shm = {
	.wl_name = "aobj-shm",
	.wl_help = "shared memory objects: attached, written, detached by several processes",
	.wl_common = WL_COMMON_ALL,
	.wl_ops = aobj_ops,
	.wl_nops = sizeof(aobj_ops) / sizeof(aobj_ops[0]),
	.wl_exercises = "aobj pager, uvm_fault 2A, object reference counts, unmap with pages left behind",
	.wl_verifies = "stamps: each word names itself, its writer and its store; never goes back in time",
	.wl_required = required,
	.wl_setup = setup_aobj,
	.wl_verify = verify,
	.wl_teardown = teardown,
};
