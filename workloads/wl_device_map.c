/*
 * device-map: several processes draw on one frame buffer.
 *
 * The lower half of the screen is everybody's: its words are stamps, and each has one
 * writer.  Of the upper half each worker owns a page, which it fills, has the device sum
 * up by a store to the doorbell, and finds summed up right and as often as it rang.  So
 * the device itself says what it has, not only the mapping that stored it; and at the end
 * the device's memory is read past all mappings and held against the models.
 *
 * There is one screen, so there can be one job of this kind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <sys/sleepq.h>

#include "engine_int.h"
#include "workloads.h"

#define	FB_BASE		0x30000000UL
#define	REG_BASE	0x38000000UL
#define	COMMON		(FB_NPAGES / 2)			/* pages that are everybody's */
#define	FB_BYTES	((vsize_t)FB_NPAGES * PAGE_SIZE)
#define	LOOKS		1000				/* at a counter that does not move, before it is slept on */
#define	PATIENCE	30000				/* looks then, PAUSE_NS apart */
#define	PAUSE_NS	1000000

struct device_run {
	struct coherent	dr_region;	/* the common half */
};

/* !: only the worker */
struct painter {
	uint64_t pa_rings;		/* ! commands given */
	uint64_t pa_words[PAGE_SIZE / 8]; /* ! what its page holds */
};


static int
map_screen(struct proc *p)
{
	vaddr_t va = FB_BASE;
	int error;

	error = sys_mmap_device(p, &va, FB_BYTES, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_SHARED | UMAP_FIXED, DEV_FB, 0);
	va = REG_BASE;
	if (error == 0)
		error = sys_mmap_device(p, &va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
		    UMAP_SHARED | UMAP_FIXED, DEV_FBREG, 0);
	return error;
}

static int
setup(struct job_run *jr)
{
	struct device_run *dr;
	int error;

	dr = jr->jr_private = xcalloc(1, sizeof(*dr));
	error = coherent_make(jr, &dr->dr_region, COMMON, false);
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		jr->jr_workers[i].jw_private = xcalloc(1, sizeof(struct painter));
	return error;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	return map_screen(jp->jp_proc);		/* the screen is the device's: nothing is lost */
}

/* => the page that only this worker draws on, or 0 for none */
static unsigned
own_page(const struct job_worker *jw)
{
	return jw->jw_index < FB_NPAGES - COMMON ? COMMON + jw->jw_index : 0;
}

static int
op_draw(struct job_worker *jw)
{
	struct device_run *dr = jw->jw_run->jr_private;
	struct coherent *co = &dr->dr_region;
	uint64_t page = host_rng_below(&jw->jw_rng, COMMON);

	if (jw->jw_index < co->co_nwriters && draw_write(jw))
		return coherent_store(jw, co, FB_BASE, page, jw->jw_index);
	return coherent_check(jw, co, FB_BASE, page,
	    (unsigned)host_rng_below(&jw->jw_rng, co->co_nwriters));
}

/* --- the doorbell --- */

static int
register_load(struct job_worker *jw, uint64_t reg, uint64_t *value)
{
	int error = user_load(REG_BASE + reg, value);

	return error != 0 ? call_failed(jw, "load of a register", REG_BASE + reg, error) : 0;
}

static int
paint(struct job_worker *jw, struct painter *pa, unsigned page)
{
	unsigned n = 1 + (unsigned)host_rng_below(&jw->jw_rng, 32);

	for (unsigned i = 0; i < n; i++) {
		unsigned w = (unsigned)host_rng_below(&jw->jw_rng, PAGE_SIZE / 8);
		vaddr_t va = FB_BASE + (vaddr_t)page * PAGE_SIZE + 8 * (vaddr_t)w;
		int error = expect_word(jw, va, pa->pa_words[w], "device-content");

		if (error != 0)
			return error;
		pa->pa_words[w] = private_value(jw->jw_run->jr_seed + jw->jw_index, va, ++jw->jw_seq);
		error = user_store(va, pa->pa_words[w]);
		if (error != 0)
			return call_failed(jw, "store to the screen", va, error);
	}
	return 0;
}

/* => the command has been carried out; the interrupt may wait for the CPU that rang, and that for a core */
static int
await_sum(struct job_worker *jw, unsigned page, uint64_t rings)
{
	uint64_t done = 0;
	int error = 0;

	for (int i = 0; i < LOOKS + PATIENCE && done < rings; i++) {
		error = register_load(jw, FB_REG_COUNT(page), &done);
		if (error != 0)
			return error;
		if (done < rings && i >= LOOKS)
			kpause("doorbell", PAUSE_NS);
		if (done < rings)
			worker_userret(jw);
	}
	if (done != rings)
		return content_bad(jw, "device-interrupt", REG_BASE,
		    "page %u was summed up %lu times, the doorbell rang %lu times", page,
		    (unsigned long)done, (unsigned long)rings);
	return 0;
}

static uint64_t
sum_of(const struct painter *pa)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		sum += pa->pa_words[i] * (2 * (uint64_t)i + 1);
	return sum;
}

static int
op_ring(struct job_worker *jw)
{
	struct painter *pa = jw->jw_private;
	unsigned page = own_page(jw);
	uint64_t sum;
	int error;

	if (page == 0)
		return 0;
	error = paint(jw, pa, page);
	if (error != 0)
		return error;
	error = user_store(REG_BASE + FB_REG_SUM, page);
	if (error != 0)
		return call_failed(jw, "store to the doorbell", REG_BASE, error);
	pa->pa_rings++;
	error = await_sum(jw, page, pa->pa_rings);
	if (error == 0)
		error = register_load(jw, FB_REG_VALUE(page), &sum);
	if (error != 0)
		return error;
	if (sum != sum_of(pa))
		return content_bad(jw, "device-sum", FB_BASE + (vaddr_t)page * PAGE_SIZE,
		    "the device's sum is %#lx, what was drawn has %#lx", (unsigned long)sum,
		    (unsigned long)sum_of(pa));
	worker_verified(jw, PAGE_SIZE);
	return 0;
}

/* --- the rest --- */

static int
op_wire(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t page = host_rng_below(&jw->jw_rng, FB_NPAGES - 4);
	vaddr_t va = FB_BASE + page * PAGE_SIZE;
	int error = sys_mlock(p, va, 4 * PAGE_SIZE);

	if (error == EAGAIN)			/* the limit; others have it all */
		return 0;
	if (error != 0)
		return call_failed(jw, "mlock", va, error);
	error = op_draw(jw);
	(void)sys_munlock(p, va, 4 * PAGE_SIZE);	/* another thread's may have been first */
	return error;
}

static int
child_draws(struct job_worker *jw, void *arg)
{
	int error = 0;

	for (int i = 0; i < 4 && error == 0; i++)
		error = op_draw(jw);
	return error;
}

static int
op_remap(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	int error = sys_munmap(p, FB_BASE, FB_BYTES);

	if (error == 0)
		error = sys_munmap(p, REG_BASE, PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "munmap", FB_BASE, error);
	error = expect_refusal(jw, REG_BASE + FB_REG_SUM, true, EFAULT);
	if (error == 0)
		error = expect_refusal(jw, FB_BASE, false, EFAULT);
	if (error == 0 && (error = map_screen(p)) != 0)
		return call_failed(jw, "mmap of the screen", FB_BASE, error);
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, child_draws, NULL);
}

static const struct workload_op ops[] = {
	{ "draw", "store to this worker's word of a common page, or check anybody's", 200,
	    op_draw },
	{ "ring", "fill this worker's page, ring the doorbell, check the device's sum", 20,
	    op_ring },
	{ "wire", "mlock a range of the screen, draw, munlock it", 4, op_wire },
	{ "fork", "a child draws on the same screen", 1, op_fork },
	{ "remap", "unmap the screen and map it again (processes of one thread)", 1,
	    op_remap, true },
};

/* --- what the device has, past all mappings --- */

static int
verify_common(struct job_worker *jw, const struct coherent *co)
{
	for (unsigned page = 0; page < COMMON; page++)
		for (unsigned w = 0; w < co->co_nwriters; w++) {
			uint64_t word = coherent_word(co, page, w), value;
			const char *wrong;
			uint32_t seq;

			value = fb_word(page, (unsigned)(word % (PAGE_SIZE / 8)));
			wrong = coherent_judge(co, page, w, value, coherent_floor(co, page, w), &seq);
			if (wrong != NULL)
				return content_bad(jw, "device-content", FB_BASE + word * 8,
				    "the device holds %#lx, which %s", (unsigned long)value, wrong);
			worker_verified(jw, sizeof(value));
		}
	return 0;
}

static int
verify_pages(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		const struct painter *pa = jr->jr_workers[i].jw_private;
		unsigned page = own_page(&jr->jr_workers[i]);

		for (unsigned w = 0; page != 0 && w < PAGE_SIZE / 8; w++)
			if (fb_word(page, w) != pa->pa_words[w])
				return content_bad(&jr->jr_self, "device-content",
				    FB_BASE + (vaddr_t)page * PAGE_SIZE + 8 * (vaddr_t)w,
				    "the device holds %#lx, %#lx was drawn",
				    (unsigned long)fb_word(page, w), (unsigned long)pa->pa_words[w]);
	}
	return 0;
}

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct device_run *dr = jw->jw_run->jr_private;
	uint64_t errors;
	int error = register_load(jw, FB_REG_ERRORS, &errors);

	if (error == 0 && errors != 0)
		return content_bad(jw, "device-errors", REG_BASE, "the device counts %lu errors",
		    (unsigned long)errors);
	for (unsigned page = 0; page < COMMON && error == 0; page++)
		error = coherent_check(jw, &dr->dr_region, FB_BASE, page,
		    (unsigned)host_rng_below(&jw->jw_rng, dr->dr_region.co_nwriters));
	return error;
}

static int
verify(struct job_run *jr)
{
	struct device_run *dr = jr->jr_private;
	int error = verify_common(&jr->jr_self, &dr->dr_region);

	if (error == 0)
		error = verify_pages(jr);
	return error != 0 ? error : visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct device_run *dr = jr->jr_private;

	if (dr == NULL)
		return;
	coherent_fini(&dr->dr_region);
	free(dr);
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		free(jr->jr_workers[i].jw_private);
}

static const char *const required[] = { "uvmexp.flt_device", "interrupts.delivered", NULL };

const struct workload wl_device_map = {
	.wl_name = "device-map",
	.wl_help = "a frame buffer and its doorbell, drawn on by several processes",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_WRITE_FRACTION | WL_OPERATIONS,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_single = "there is one frame buffer",
	.wl_exercises = "udv attach, detach and fault, unmanaged mappings, mlock of device memory, interrupts",
	.wl_verifies = "stamps; the device's own sums; at the end its memory, past every mapping",
	.wl_required = required,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
