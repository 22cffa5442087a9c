/*
 * Verified accesses: every load of simulated memory that a workload makes is
 * held against a content model, and counted only when it was right.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/kernhist.h>

#include "engine_int.h"

int
content_bad(struct job_worker *jw, const char *id, vaddr_t va, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	violation_about(KS_va, 0, (const void *)va);
	violation(VIOL_CONTENT, id, "job %s, worker %u, process %u, address %#lx: %s",
	    jw->jw_run->jr_job->job_name, jw->jw_index,
	    curlwp->l_proc != NULL ? curlwp->l_proc->p_pid : 0, (unsigned long)va, text);
	return EIO;
}

/*
 * => an error of I/O, and I/O is made to fail: as ENOMEM, the process has to do without, or
 *    dies of it.  EFAULT is what a system call says when it is the caller's buffer that is lost.
 */
static bool
may_fail(int error)
{
	return (error == EIO || error == EFAULT) && engine_io_fails();
}

int
call_failed(struct job_worker *jw, const char *call, vaddr_t va, int error)
{
	if (error == ENOMEM || may_fail(error))	/* nothing has changed: given up, or killed for it */
		return ENOMEM;
	return content_bad(jw, "call-refused", va, "%s: %s", call, strerror(error));
}

/* No memory is no fault of the VM's: the process is killed for it, see engine_kill.c. */
static int
access_refused(struct job_worker *jw, const char *what, vaddr_t va, int error)
{
	if (error == ENOMEM || (error == EIO && engine_io_fails()))
		return ENOMEM;
	return content_bad(jw, "access-refused", va, "%s: %s", what, strerror(error));
}

void
worker_verified(struct job_worker *jw, uint64_t bytes)
{
	/* relaxed: the progress line reads it, and wants no more than a number */
	__atomic_store_n(&jw->jw_verified, jw->jw_verified + bytes, __ATOMIC_RELAXED);
}

int
expect_word(struct job_worker *jw, vaddr_t va, uint64_t want, const char *id)
{
	uint64_t got;
	int error = user_load(va, &got);

	if (error != 0)
		return access_refused(jw, "load", va, error);
	if (got != want)
		return content_bad(jw, id, va, "holds %#lx, must hold %#lx", (unsigned long)got,
		    (unsigned long)want);
	worker_verified(jw, sizeof(got));
	return 0;
}

int
private_check(struct job_worker *jw, const struct shadow *sh, vaddr_t va)
{
	uint64_t want = *shadow_word(sh, va);

	return expect_word(jw, va, want, want == 0 ? "zero-fill" : "private");
}

int
private_check_all(struct job_worker *jw, const struct shadow *sh)
{
	int error = 0;

	for (vaddr_t va = sh->sh_base; va < sh->sh_base + sh->sh_size && error == 0; va += 8)
		if (*shadow_word(sh, va) != 0)
			error = private_check(jw, sh, va);
	return error;
}

int
private_model(struct job_proc *jp, vaddr_t base, vsize_t size)
{
	if (jp->jp_shadow.sh_words == NULL)
		return shadow_init(&jp->jp_shadow, base, size);
	shadow_zero(&jp->jp_shadow, base, size);
	return 0;
}

int
private_map(struct job_proc *jp, vaddr_t base, vsize_t size)
{
	int error = private_model(jp, base, size);

	return error != 0 ? error : map_private(jp->jp_proc, base, size);
}

static int
verify_shadow(struct job_worker *jw, struct job_proc *jp)
{
	return private_check_all(jw, &jp->jp_shadow);
}

int
private_verify(struct job_run *jr)
{
	return visit_procs(jr, verify_shadow);
}

int
private_store(struct job_worker *jw, const struct shadow *sh, vaddr_t va)
{
	uint64_t value = private_value(jw->jw_run->jr_seed + jw->jw_index, va, ++jw->jw_seq);
	int error = user_store(va, value);

	if (error != 0)
		return access_refused(jw, "store", va, error);
	*shadow_word(sh, va) = value;
	return 0;
}

int
private_touch(struct job_worker *jw, vaddr_t va)
{
	if (draw_write(jw))
		return private_store(jw, &jw->jw_proc->jp_shadow, va);
	return private_check(jw, &jw->jw_proc->jp_shadow, va);
}

/* Only the writer of a word raises it by storing, so its own floor is its last store. */
int
coherent_store(struct job_worker *jw, struct coherent *co, vaddr_t base, uint64_t page,
    unsigned writer)
{
	uint64_t word = coherent_word(co, page, writer);
	uint32_t seq = coherent_floor(co, page, writer) + 1;
	int error;

	error = user_store(base + word * 8,
	    stamp_make(co->co_object, word, (struct stamp){ seq, writer }));
	if (error != 0)
		return access_refused(jw, "store", base + word * 8, error);
	coherent_raise(co, page, writer, seq);
	return 0;
}

int
coherent_check(struct job_worker *jw, struct coherent *co, vaddr_t base, uint64_t page,
    unsigned writer)
{
	uint32_t floor = coherent_floor(co, page, writer);
	vaddr_t va = base + coherent_word(co, page, writer) * 8;
	const char *wrong;
	uint64_t value;
	uint32_t seq;
	int error = user_load(va, &value);

	if (error != 0)
		return access_refused(jw, "load", va, error);
	wrong = coherent_judge(co, page, writer, value, floor, &seq);
	if (wrong != NULL)
		return content_bad(jw, "coherent", va, "%#lx %s (page %lu, writer %u, floor %u)",
		    (unsigned long)value, wrong, (unsigned long)page, writer, floor);
	coherent_raise(co, page, writer, seq);
	worker_verified(jw, sizeof(value));
	return 0;
}

int
coherent_check_all(struct job_worker *jw, struct coherent *co, vaddr_t base)
{
	int error = 0;

	for (uint64_t page = 0; page < co->co_npages; page++)
		for (unsigned w = 0; w < co->co_nwriters && error == 0; w++)
			error = coherent_check(jw, co, base, page, w);
	return error;
}

int
coherent_make(struct job_run *jr, struct coherent *co, uint64_t npages, bool file)
{
	return coherent_init(co, engine_object_id(), npages,
	    jr->jr_nworkers < STAMP_WRITERS ? jr->jr_nworkers : STAMP_WRITERS, file);
}

int
expect_refusal(struct job_worker *jw, vaddr_t va, bool write, int want)
{
	uint64_t value = 0;
	int error = write ? user_store(va, value) : user_load(va, &value);

	if (error != want)
		return content_bad(jw, "access-allowed", va, "%s gave '%s', must be refused with '%s'",
		    write ? "store" : "load", error == 0 ? "success" : strerror(error), strerror(want));
	return 0;
}

int
content_vnode(const char *name, uint64_t object, uint64_t size, struct vnode **vpp)
{
	int fd = content_file_create(object, size);

	if (fd < 0)
		return -fd;
	*vpp = vnode_create(name, fd, (voff_t)size);
	return 0;
}

int
zero_vnode(const char *name, uint64_t size, struct vnode **vpp)
{
	int fd = content_zero_file(size);

	if (fd < 0)
		return -fd;
	*vpp = vnode_create(name, fd, (voff_t)size);
	return 0;
}

int
file_sync(struct job_worker *jw, struct vnode *vp)
{
	int error = vnode_fsync(vp);

	return error != 0 ? call_failed(jw, "fsync", 0, error) : 0;
}

/* --- memory --- */

int
map_private(struct proc *p, vaddr_t va, vsize_t len)
{
	return sys_mmap(p, &va, len, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
}

int
map_shared(struct proc *p, vaddr_t va, vsize_t len, struct vnode *vp)
{
	return sys_mmap(p, &va, len, VM_PROT_READ | VM_PROT_WRITE, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0);
}

/* --- other processes --- */

struct visit {
	struct job_worker *vi_worker;
	int (*vi_fn)(struct job_worker *, void *);
	void *vi_arg;
	int vi_error;
};

static void
visit_main(void *arg)
{
	struct visit *vi = arg;

	vi->vi_error = vi->vi_fn(vi->vi_worker, vi->vi_arg);
}

int
run_in_proc(struct job_worker *jw, struct proc *p, int (*fn)(struct job_worker *, void *),
    void *arg)
{
	struct visit vi = { jw, fn, arg, 0 };
	struct lwp *l;
	int error;

	error = proc_lwp_create(p, &l, "visit", visit_main, &vi);
	if (error == ENOMEM)			/* nothing has happened: given up */
		return ENOMEM;
	if (error != 0)
		return call_failed(jw, "lwp_create", 0, error);
	lwp_start(l);
	lwp_wait(l);
	return vi.vi_error;
}

int
run_in_child(struct job_worker *jw, int (*fn)(struct job_worker *, void *), void *arg)
{
	struct proc *child;
	int error;

	error = proc_fork(curlwp->l_proc, "child", &child);
	if (error == ENOMEM)
		return ENOMEM;
	if (error != 0)
		return call_failed(jw, "fork", 0, error);
	error = run_in_proc(jw, child, fn, arg);
	proc_exit(child);
	return error;
}

/* The child ends by itself: its parent may wait for that. */
static void
vfork_main(void *arg)
{
	struct proc *child = curlwp->l_proc;

	visit_main(arg);
	proc_attach(NULL);
	proc_exit(child);
}

int
run_in_vfork(struct job_worker *jw, int (*fn)(struct job_worker *, void *), void *arg)
{
	struct visit vi = { jw, fn, arg, 0 };
	struct proc *child;
	struct lwp *l;
	int error;

	error = proc_vfork(curlwp->l_proc, "vfork", &child);
	if (error != 0)
		return call_failed(jw, "vfork", 0, error);
	error = proc_lwp_create(child, &l, "vfork", vfork_main, &vi);
	if (error != 0) {
		proc_exit(child);
		proc_vfork_wait(child);
		return error == ENOMEM ? ENOMEM : call_failed(jw, "lwp_create", 0, error);
	}
	lwp_start(l);
	proc_vfork_wait(child);
	lwp_wait(l);			/* it may go on in a space of its own, with our jw */
	return vi.vi_error;
}

int
visit_procs(struct job_run *jr, int (*fn)(struct job_worker *, struct job_proc *))
{
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nprocs && error == 0; i++) {
		proc_attach(jr->jr_procs[i].jp_proc);
		error = fn(&jr->jr_self, &jr->jr_procs[i]);
		proc_attach(NULL);
	}
	return error;
}

bool
draw_write(struct job_worker *jw)
{
	return host_rng_chance(&jw->jw_rng, jw->jw_run->jr_job->job_write_fraction);
}

vm_prot_t
draw_prot(struct job_worker *jw)
{
	static const vm_prot_t prots[] = {
		VM_PROT_NONE, VM_PROT_READ, VM_PROT_READ | VM_PROT_WRITE,
		VM_PROT_READ | VM_PROT_WRITE
	};

	return prots[host_rng_below(&jw->jw_rng, 4)];
}

int
worker_operation(struct job_worker *jw)
{
	const struct workload *wl = jw->jw_run->jr_job->job_workload;
	const struct workload_op *wo = wl->wl_ops;
	const uint64_t *share = jw->jw_run->jr_job->job_shares;
	uint64_t dice = host_rng_below(&jw->jw_rng, share[wl->wl_nops]);

	for (; dice >= *share; wo++)
		dice -= *share++;
	if (wo->wo_alone && jw->jw_proc->jp_nthreads != 1)
		wo = wl->wl_ops;
	return wo->wo_run(jw);
}

vaddr_t
own_word(struct job_worker *jw, vaddr_t base, uint64_t page)
{
	unsigned n = jw->jw_proc->jp_nthreads;
	uint64_t turn = host_rng_below(&jw->jw_rng, PAGE_SIZE / 8 / n);

	return base + page * PAGE_SIZE + (turn * n + jw->jw_thread) * 8;
}
