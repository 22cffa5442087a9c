/*
 * file-map: files of the host, mapped shared and private by several processes.
 *
 * Two files.  The first is mapped MAP_SHARED and written by everybody: its words
 * are stamps, and after msync(MS_SYNC) the host's file must hold at least what
 * was in memory when the call began.  The second is mapped MAP_PRIVATE: a word
 * that a process has not stored to holds what the file holds, a word that it has
 * stored to holds that, and the file never changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	SHARED_BASE	0x40000000UL
#define	PRIVATE_BASE	0x60000000UL

struct file_options {
	uint64_t fo_file_size;
	double	 fo_shared_fraction;
};

struct file_run {
	struct coherent	 fr_region;
	struct vnode	*fr_shared;
	struct vnode	*fr_private;
	uint64_t	 fr_private_object;	/* stable */
	uint64_t	 fr_size;		/* stable: bytes of each file */
};

static const struct option_row options[] = {
	{ "file-size", OPT_SIZE, offsetof(struct file_options, fo_file_size), 4096, 1UL << 28,
	    "1M", NULL, NULL, "bytes of each of the two files" },
	{ "shared-fraction", OPT_FRACTION, offsetof(struct file_options, fo_shared_fraction),
	    0, 0, "0.5", NULL, NULL, "share of accesses that go to the shared mapping" },
};

static int
map_files(struct proc *p, struct file_run *fr)
{
	vaddr_t va = PRIVATE_BASE;
	int error = map_shared(p, SHARED_BASE, fr->fr_size, fr->fr_shared);

	return error != 0 ? error : sys_mmap(p, &va, fr->fr_size, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_FIXED, fr->fr_private, UF_READ, 0);
}

static int
setup(struct job_run *jr)
{
	const struct file_options *fo = jr->jr_job->job_options;
	struct file_run *fr = xcalloc(1, sizeof(*fr));
	int error;

	jr->jr_private = fr;
	fr->fr_size = trunc_page(fo->fo_file_size);
	fr->fr_private_object = engine_object_id();
	error = coherent_make(jr, &fr->fr_region, fr->fr_size / PAGE_SIZE, true);
	if (error == 0)
		error = content_vnode("shared", fr->fr_region.co_object, fr->fr_size,
		    &fr->fr_shared);
	if (error == 0)
		error = content_vnode("private", fr->fr_private_object, fr->fr_size,
		    &fr->fr_private);
	return error;
}

static int
private_access(struct job_worker *jw, struct file_run *fr, uint64_t page, bool write)
{
	struct shadow *sh = &jw->jw_proc->jp_shadow;
	vaddr_t va = own_word(jw, PRIVATE_BASE, page);

	if (write)
		return private_store(jw, sh, va);
	if (*shadow_word(sh, va) != 0)
		return private_check(jw, sh, va);
	return expect_word(jw, va, content_file_word(fr->fr_private_object,
	    (va - PRIVATE_BASE) / 8, fr->fr_size), "file-content");
}

static int
shared_access(struct job_worker *jw, struct file_run *fr, uint64_t page, bool write)
{
	struct coherent *co = &fr->fr_region;

	if (write && jw->jw_index < co->co_nwriters)
		return coherent_store(jw, co, SHARED_BASE, page, jw->jw_index);
	return coherent_check(jw, co, SHARED_BASE, page,
	    (unsigned)host_rng_below(&jw->jw_rng, co->co_nwriters));
}

static int
op_access(struct job_worker *jw)
{
	struct file_run *fr = jw->jw_run->jr_private;
	const struct job *job = jw->jw_run->jr_job;
	const struct file_options *fo = job->job_options;
	uint64_t page = host_rng_below(&jw->jw_rng, fr->fr_size / PAGE_SIZE);
	bool write = draw_write(jw);

	if (host_rng_chance(&jw->jw_rng, fo->fo_shared_fraction))
		return shared_access(jw, fr, page, write);
	return private_access(jw, fr, page, write);
}

/* Hold one word of the host's file against the model: at least floor (I-SYS-7). */
static int
check_host_word(struct job_worker *jw, struct file_run *fr, uint64_t page, unsigned writer,
    uint32_t floor)
{
	uint64_t word = coherent_word(&fr->fr_region, page, writer);
	const char *wrong;
	uint64_t value;
	uint32_t seq;

	if (pread(fr->fr_shared->v_fd, &value, sizeof(value), (off_t)(word * 8)) !=
	    (ssize_t)sizeof(value))
		return call_failed(jw, "read of the host's file", word * 8, errno);
	wrong = coherent_judge(&fr->fr_region, page, writer, value, floor, &seq);
	if (wrong != NULL)
		return content_bad(jw, "file-after-msync", SHARED_BASE + word * 8,
		    "the host's file holds %#lx, which %s (writer %u, floor %u)",
		    (unsigned long)value, wrong, writer, floor);
	worker_verified(jw, sizeof(value));
	return 0;
}

static int
op_msync(struct job_worker *jw)
{
	struct file_run *fr = jw->jw_run->jr_private;
	struct coherent *co = &fr->fr_region;
	uint64_t npages = 1 + host_rng_below(&jw->jw_rng, co->co_npages < 8 ? co->co_npages : 8);
	uint64_t page = host_rng_below(&jw->jw_rng, co->co_npages - npages + 1);
	uint32_t floor[8 * STAMP_WRITERS];
	int error;

	for (uint64_t i = 0; i < npages; i++)
		for (unsigned w = 0; w < co->co_nwriters; w++)
			floor[i * STAMP_WRITERS + w] = coherent_floor(co, page + i, w);
	error = sys_msync(jw->jw_proc->jp_proc, SHARED_BASE + page * PAGE_SIZE,
	    npages * PAGE_SIZE, UMS_SYNC);
	if (error != 0)
		return call_failed(jw, "msync", SHARED_BASE + page * PAGE_SIZE, error);
	for (uint64_t i = 0; i < npages && error == 0; i++)
		for (unsigned w = 0; w < co->co_nwriters && error == 0; w++)
			error = check_host_word(jw, fr, page + i, w, floor[i * STAMP_WRITERS + w]);
	return error;
}

/* Private pages go with the mapping: the file shows through again. */
static int
op_remap(struct job_worker *jw)
{
	struct file_run *fr = jw->jw_run->jr_private;
	int error = map_files(jw->jw_proc->jp_proc, fr);

	if (error != 0)
		return call_failed(jw, "mmap", SHARED_BASE, error);
	shadow_zero(&jw->jw_proc->jp_shadow, PRIVATE_BASE, fr->fr_size);
	return 0;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct file_run *fr = jr->jr_private;
	int error = private_model(jp, PRIVATE_BASE, fr->fr_size);	/* 0: as in the file */

	return error != 0 ? error : map_files(jp->jp_proc, fr);
}

static const struct workload_op ops[] = {
	{ "access", "store or check through the shared or the private mapping", 500, op_access },
	{ "msync", "write a range back and hold the host's file against it", 2, op_msync },
	{ "remap", "map both files anew (processes of one thread)", 1, op_remap, true },
};

/* The private file word by word; the shared one exactly as the last stores were. */
static int
verify_files(struct job_worker *jw, struct file_run *fr)
{
	uint64_t words[PAGE_SIZE / 8];
	int error = 0;

	for (uint64_t page = 0; page < fr->fr_size / PAGE_SIZE; page++) {
		if (pread(fr->fr_private->v_fd, words, PAGE_SIZE, (off_t)(page * PAGE_SIZE)) !=
		    (ssize_t)PAGE_SIZE)
			return call_failed(jw, "read of the host's file", page * PAGE_SIZE, errno);
		for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
			if (words[i] != content_file_word(fr->fr_private_object,
			    page * (PAGE_SIZE / 8) + i, fr->fr_size))
				return content_bad(jw, "private-reached-file",
				    PRIVATE_BASE + page * PAGE_SIZE + i * 8,
				    "a store to a private mapping is in the file");
		worker_verified(jw, PAGE_SIZE);
		for (unsigned w = 0; w < fr->fr_region.co_nwriters && error == 0; w++)
			error = check_host_word(jw, fr, page, w,
			    coherent_floor(&fr->fr_region, page, w));
		if (error != 0)
			return error;
	}
	return 0;
}

static int
verify(struct job_run *jr)
{
	struct file_run *fr = jr->jr_private;
	int error = file_sync(&jr->jr_self, fr->fr_shared);

	if (error == 0)
		error = verify_files(&jr->jr_self, fr);
	return error != 0 ? error : private_verify(jr);
}

static void
teardown(struct job_run *jr)
{
	struct file_run *fr = jr->jr_private;

	if (fr == NULL)
		return;
	if (fr->fr_shared != NULL)
		vrele(fr->fr_shared);
	if (fr->fr_private != NULL)
		vrele(fr->fr_private);
	coherent_fini(&fr->fr_region);
	free(fr);
}

/* The private file may be there once, and once more for each process. */
static uint64_t
footprint(const struct job *job)
{
	const struct file_options *fo = job->job_options;

	return fo->fo_file_size * (1 + job->job_processes);
}

static const char *const required[] = {
	"faults.file", "faults.pagein", "faults.promote", "uvmexp.filewrite_pages", NULL
};

const struct workload wl_file_map = {
	.wl_name = "file-map",
	.wl_help = "files mapped shared and private: page-in, write-back, promotion",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_WRITE_FRACTION | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct file_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "vnode pager get and put, uvm_fault 2A and 2B, msync against stores, unmap",
	.wl_verifies = "stamps in memory and in the host's file; private pages against a model",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
