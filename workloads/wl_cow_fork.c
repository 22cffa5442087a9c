/*
 * cow-fork: copy-on-write between a process, its children and theirs, while
 * the parent's other threads go on storing.
 *
 * Every thread owns words of every page of its process.  A fork is made by one
 * thread while the others run: in the child
 *	- the forker's words hold exactly what they held at the fork;
 *	- another thread's counter holds a value that the thread had at some
 *	  instant of the fork, and then never changes again (T-6);
 *	- what the child stores stays in the child;
 * and in the parent nothing of all this shows.  Children fork in turn.
 *
 * A child of vfork (where `operations` names it) is in the parent's memory, and does there
 * what the parent's thread would, while that waits and the others go on; then it execs, into
 * memory of its own at the same addresses, or exits: the parent's memory is as it was (T-10).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <host/race.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x30000000UL
#define	PROBES		16		/* words that a child looks at */
#define	DEPTH_MAX	3		/* generations below a worker's process */

/*
 * Page 0 holds the counters, one word for each thread.
 * cp_begun and cp_done bracket a counter's store: done <= value <= begun.
 */
struct cow_proc {
	uint64_t	cp_pages;	/* stable */
	uint64_t       *cp_begun;	/* atomic, by thread */
	uint64_t       *cp_done;	/* atomic, by thread */
};

/* What a child must see, and what it has done itself.  Only the LWP that runs. */
struct generation {
	struct cow_proc	*ge_proc;
	int		 ge_depth;
	unsigned	 ge_n;
	vaddr_t		 ge_va[PROBES * (DEPTH_MAX + 1)];
	uint64_t	 ge_value[PROBES * (DEPTH_MAX + 1)];
	unsigned	 ge_other;	/* thread whose counter is watched */
	uint64_t	 ge_done;	/* its cp_done before the fork */
};

static int
setup(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nprocs; i++) {
		struct cow_proc *cp = xcalloc(1, sizeof(*cp));

		jr->jr_procs[i].jp_private = cp;
		cp->cp_pages = jr->jr_job->job_size / PAGE_SIZE + 1;	/* the counters' */
		cp->cp_begun = xcalloc(jr->jr_procs[i].jp_nthreads, sizeof(uint64_t));
		cp->cp_done = xcalloc(jr->jr_procs[i].jp_nthreads, sizeof(uint64_t));
		race_atomic(cp->cp_begun, jr->jr_procs[i].jp_nthreads * sizeof(uint64_t));
		race_atomic(cp->cp_done, jr->jr_procs[i].jp_nthreads * sizeof(uint64_t));
	}
	return 0;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct cow_proc *cp = jp->jp_private;

	for (unsigned t = 0; t < jp->jp_nthreads; t++)
		cp->cp_begun[t] = cp->cp_done[t] = 0;
	return private_map(jp, BASE, cp->cp_pages * PAGE_SIZE);
}

static vaddr_t
counter_va(unsigned thread)
{
	return BASE + thread * 8;
}

static vaddr_t
random_word(struct job_worker *jw, const struct cow_proc *cp)
{
	return own_word(jw, BASE, 1 + host_rng_below(&jw->jw_rng, cp->cp_pages - 1));
}

static int
op_touch(struct job_worker *jw)
{
	return private_touch(jw, random_word(jw, jw->jw_proc->jp_private));
}

static int
op_count(struct job_worker *jw)
{
	struct cow_proc *cp = jw->jw_proc->jp_private;
	unsigned t = jw->jw_thread;
	uint64_t next = cp->cp_done[t] + 1;
	int error;

	/* release: pairs with the acquire in check_counter(); begun is seen before the store */
	__atomic_store_n(&cp->cp_begun[t], next, __ATOMIC_RELEASE);
	error = user_store(counter_va(t), next);
	if (error != 0)
		return call_failed(jw, "store to a counter", counter_va(t), error);
	/* release: pairs with the acquire in op_fork() */
	__atomic_store_n(&cp->cp_done[t], next, __ATOMIC_RELEASE);
	return 0;
}

/* In the child: another thread's counter is of an instant of the fork, and frozen. */
static int
check_counter(struct job_worker *jw, const struct generation *ge, uint64_t *frozen)
{
	vaddr_t va = counter_va(ge->ge_other);
	uint64_t value, begun;
	int error = user_load(va, &value);

	if (error != 0)
		return call_failed(jw, "load of a counter", va, error);
	/* acquire: pairs with op_count(); the fork is over, so no later store can be in the child */
	begun = __atomic_load_n(&ge->ge_proc->cp_begun[ge->ge_other], __ATOMIC_ACQUIRE);
	if (value < ge->ge_done || value > begun)
		return content_bad(jw, "fork-snapshot", va, "counter is %lu, was %lu to %lu at the fork",
		    (unsigned long)value, (unsigned long)ge->ge_done, (unsigned long)begun);
	*frozen = value;
	return 0;
}

static int
check_all(struct job_worker *jw, const struct generation *ge, const char *id)
{
	int error = 0;

	for (unsigned i = 0; i < ge->ge_n && error == 0; i++)
		error = expect_word(jw, ge->ge_va[i], ge->ge_value[i], id);
	return error;
}

/* Store to half of the words that we know, and remember. */
static int
store_some(struct job_worker *jw, struct generation *ge)
{
	for (unsigned i = 0; i < ge->ge_n; i++) {
		uint64_t value = private_value(~jw->jw_run->jr_seed, ge->ge_va[i], ++jw->jw_seq);
		int error;

		if (host_rng_below(&jw->jw_rng, 2) == 0)
			continue;
		error = user_store(ge->ge_va[i], value);
		if (error != 0)
			return call_failed(jw, "store after fork", ge->ge_va[i], error);
		ge->ge_value[i] = value;
	}
	return 0;
}

/* Runs in a child, and in its children. */
static int
generation(struct job_worker *jw, void *arg)
{
	struct generation own = *(const struct generation *)arg;
	uint64_t frozen = 0;
	int error;

	error = check_counter(jw, &own, &frozen);
	if (error == 0)
		error = check_all(jw, &own, "fork-snapshot");
	if (error == 0)
		error = store_some(jw, &own);
	if (error == 0 && own.ge_depth < DEPTH_MAX && host_rng_below(&jw->jw_rng, 2) == 0) {
		own.ge_depth++;
		error = run_in_child(jw, generation, &own);
	}
	if (error == 0)
		error = check_all(jw, &own, "cow-isolation");
	if (error == 0)
		error = expect_word(jw, counter_va(own.ge_other), frozen, "cow-isolation");
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	struct cow_proc *cp = jw->jw_proc->jp_private;
	struct generation ge = { .ge_proc = cp, .ge_depth = 1, .ge_n = PROBES };
	int error;

	for (unsigned i = 0; i < ge.ge_n; i++) {
		unsigned j;

		ge.ge_va[i] = random_word(jw, cp);
		for (j = 0; j < i && ge.ge_va[j] != ge.ge_va[i]; j++)
			continue;
		if (j < i) {		/* drawn twice */
			ge.ge_n = i;
			break;
		}
		ge.ge_value[i] = *shadow_word(&jw->jw_proc->jp_shadow, ge.ge_va[i]);
	}
	ge.ge_other = (unsigned)host_rng_below(&jw->jw_rng, jw->jw_proc->jp_nthreads);
	/* acquire: pairs with op_count(); that store is in memory before the fork begins */
	ge.ge_done = __atomic_load_n(&cp->cp_done[ge.ge_other], __ATOMIC_ACQUIRE);
	error = run_in_child(jw, generation, &ge);
	return error != 0 ? error : check_all(jw, &ge, "cow-isolation");
}

static int
limit(struct job_worker *jw, int which, uint64_t bytes)
{
	struct urlimit rl;
	int error = sys_getrlimit(curlwp->l_proc, which, &rl);

	rl.rl_cur = bytes;
	if (error == 0)
		error = sys_setrlimit(curlwp->l_proc, which, rl);
	return error != 0 ? call_failed(jw, "setrlimit", bytes, error) : 0;
}

/* A stack of some pages: what lies deeper is refused until the limit is higher, and what is in it stays. */
static int
use_stack(struct job_worker *jw)
{
	vsize_t size = (1 + host_rng_below(&jw->jw_rng, PROBES)) * PAGE_SIZE;
	vaddr_t top = VM_MAXUSER_ADDRESS - 8, deep = VM_MAXUSER_ADDRESS - size - PAGE_SIZE;
	int error = exec_setup_stack(curlwp->l_proc);

	if (error != 0)
		return call_failed(jw, "exec: stack", top, error);
	if ((error = limit(jw, URLIMIT_STACK, size)) != 0)
		return error;
	if ((error = user_store(top, ++jw->jw_seq)) != 0)
		return call_failed(jw, "store to the stack", top, error);
	if ((error = expect_refusal(jw, deep, true, EACCES)) != 0 ||
	    (error = limit(jw, URLIMIT_STACK, size + PAGE_SIZE)) != 0 ||
	    (error = expect_word(jw, deep, 0, "zero-fill")) != 0)
		return error;
	return expect_word(jw, top, jw->jw_seq, "private");
}

/* One page may be mapped besides what is, and no other. */
static int
map_one_more(struct job_worker *jw)
{
	struct proc *self = curlwp->l_proc;
	int error = limit(jw, URLIMIT_AS, self->p_vmspace->vm_map.size + PAGE_SIZE);

	if (error != 0)
		return error;
	error = map_private(self, BASE, PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "mmap", BASE, error);
	error = map_private(self, BASE + PAGE_SIZE, PAGE_SIZE);
	if (error != ENOMEM)
		return content_bad(jw, "limit-ignored", BASE + PAGE_SIZE, "mmap beyond RLIMIT_AS gave '%s'",
		    error == 0 ? "success" : strerror(error));
	return 0;
}

/* After exec: memory of its own, where the parent has memory as well. */
static int
after_exec(struct job_worker *jw)
{
	struct proc *self = curlwp->l_proc;
	int error;

	uvmspace_exec(self);
	error = use_stack(jw);
	if (error == 0)
		error = map_one_more(jw);
	if (error != 0)
		return error;
	error = expect_word(jw, BASE, 0, "private");
	if (error == 0 && (error = user_store(BASE, ++jw->jw_seq)) != 0)
		return call_failed(jw, "store after exec", BASE, error);
	return error != 0 ? error : expect_word(jw, BASE, jw->jw_seq, "private");
}

/* Runs in the child, which is in our memory: what it stores there is ours. */
static int
vforked(struct job_worker *jw, void *arg)
{
	int error = 0;

	for (int i = 0; i < PROBES && error == 0; i++)
		error = op_touch(jw);
	if (error == 0)
		error = op_count(jw);
	return error != 0 || host_rng_below(&jw->jw_rng, 2) == 0 ? error : after_exec(jw);
}

static int
op_vfork(struct job_worker *jw)
{
	int error = run_in_vfork(jw, vforked, NULL);

	return error != 0 ? error : op_touch(jw);
}

static const struct workload_op ops[] = {
	{ "touch", "store to or check one of this thread's words", 150, op_touch },
	{ "count", "increment this thread's counter", 50, op_count },
	{ "fork", "fork; child and grandchildren check, store, check again, exit", 1, op_fork },
	{ "vfork", "vfork; the child stores in our memory, then execs or exits, and we wait", 0, op_vfork },
};

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct cow_proc *cp = jp->jp_private;
	int error = 0;

	for (unsigned t = 0; t < jp->jp_nthreads && error == 0; t++)
		error = expect_word(jw, counter_va(t), cp->cp_done[t], "private");
	return error != 0 ? error : private_check_all(jw, &jp->jp_shadow);
}

static int
verify(struct job_run *jr)
{
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nprocs; i++) {
		struct cow_proc *cp = jr->jr_procs[i].jp_private;

		if (cp == NULL)
			continue;
		free(cp->cp_begun);
		free(cp->cp_done);
		free(cp);
	}
}

/* A fork may have every page twice, and each generation below once more. */
static uint64_t
footprint(const struct job *job)
{
	return job->job_processes * (job->job_size + PAGE_SIZE) +
	    job->job_threads * DEPTH_MAX * (PROBES + 1) * PAGE_SIZE;
}

static const char *const required[] = { "faults.cow", "uvmexp.forks", NULL };

const struct workload wl_cow_fork = {
	.wl_name = "cow-fork",
	.wl_help = "fork while other threads store: copy-on-write over generations",
	.wl_common = WL_COMMON_ALL,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "uvmspace_fork, needs-copy, uvm_fault 1B, amap_copy against exit, write-protect shootdown",
	.wl_verifies = "children hold the snapshot of the fork, parents never see a child's store",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
