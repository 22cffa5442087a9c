/*
 * trace: what a real program did, done again by any number of copies at once.
 *
 * A copy is one process of the job; its children come and go as the program's
 * did.  Every recorded thread is an LWP that works through its own stream; the
 * CPUs deal their time among all LWPs of all copies.  What must keep its order,
 * keeps it (see harness/trace.h): a call that changes a process' mappings waits
 * until every reference before it is done, and holds back every one after it.
 * Between two such barriers the threads of a process run freely.
 *
 * Contents are ours.  A write stores a value of its own into this thread's word
 * of the page, a read checks that word, or one that nobody writes: zero, or what
 * the synthetic file holds.  Files mapped shared belong to one copy, all others
 * are mapped by all copies, as a system's libraries are.
 *
 * Locks: re_lock of the copy (LC_engine) over epochs, exits and the list of LWPs;
 * never held while memory is touched or a system call runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/trace.h>
#include <harness/xalloc.h>
#include <sys/condvar.h>

#include "engine_int.h"
#include "workloads.h"
#include "replay_space.h"

struct trace_options {
	char *to_trace;
};

/* One job: the trace and the files that all copies share.  Stable after set-up. */
struct trace_job {
	struct trace	  *tj_trace;
	struct replay_file *tj_files;
	unsigned	   tj_slots;	/* most threads that a process ever had */
};

/* One recorded process being replayed. */
struct replay_proc {
	struct proc	  *rp_proc;	/* stable from fork to exit */
	struct replay_space rp_space;	/* changed by barriers only: nobody else runs then */
	uint32_t	   rp_epoch;	/* re_lock */
	uint32_t	   rp_done;	/* re_lock: operations of this epoch, barriers apart */
	bool		   rp_exited;	/* re_lock */
};

/* One copy, once through. */
struct replay {
	struct trace_job  *re_job;	/* stable */
	struct job_worker *re_worker;	/* stable; its counters are added to atomically */
	struct replay_file *re_files;	/* stable: this copy's view of tj_files */
	struct replay_proc *re_procs;	/* stable: by trace process */
	struct replay_thread *re_threads; /* stable: by trace thread */
	kmutex_t	   re_lock;
	kcondvar_t	   re_cv;	/* re_lock: something above has changed */
	bool		   re_abort;	/* @ set under re_lock */
	bool		   re_nomem;	/* re_lock: memory was short, so the program dies */
};

struct replay_thread {
	struct replay	  *rt_replay;	/* stable */
	struct replay_proc *rt_proc;	/* stable */
	const struct trace_thread *rt_trace; /* stable */
	struct lwp	  *rt_lwp;	/* re_lock; NULL: not yet made, or the worker itself */
	unsigned	   rt_slot;	/* stable: its word in each page */
	struct job_worker  rt_worker;	/* ! rng, sequence and what it verified */
	struct replay_cursor rt_cursor;	/* ! last region that it touched */
	uint32_t	   rt_pending;	/* ! operations done and not yet in rp_done */
};

static const struct option_row options[] = {
	{ "trace", OPT_PATH, offsetof(struct trace_options, to_trace), 0, 0, NULL, NULL, NULL,
	    "a recording made by `uvmstress trace record`" },
};

static const struct workload_op ops[] = {
	{ "replay", "the next recorded operation of each thread, in an order that the recording allows", 1 },
};

/* --- waiting for one's turn --- */

static bool
aborted(const struct replay *re)
{
	/* relaxed: a hint to stop early; the sleepers look under re_lock */
	return __atomic_load_n(&re->re_abort, __ATOMIC_RELAXED);
}

static void
replay_abort(struct replay *re, int error)
{
	mutex_enter(&re->re_lock);
	if (error == ENOMEM)
		re->re_nomem = true;
	__atomic_store_n(&re->re_abort, true, __ATOMIC_RELAXED);
	cv_broadcast(&re->re_cv);
	mutex_exit(&re->re_lock);
}

/* => re_lock held: what this thread has done since the last call counts from now on */
static void
settle(struct replay_thread *rt)
{
	struct job_worker *total = rt->rt_replay->re_worker;

	rt->rt_proc->rp_done += rt->rt_pending;
	/* relaxed: counters for the progress line and the summary */
	__atomic_fetch_add(&total->jw_ops, rt->rt_pending, __ATOMIC_RELAXED);
	__atomic_fetch_add(&total->jw_verified, rt->rt_worker.jw_verified, __ATOMIC_RELAXED);
	rt->rt_worker.jw_verified = 0;
	rt->rt_pending = 0;
	cv_broadcast(&rt->rt_replay->re_cv);
}

static bool
my_turn(const struct replay_thread *rt, const struct trace_op *op)
{
	const struct replay_proc *rp = rt->rt_proc;

	if (rp->rp_epoch != op->to_epoch)
		return false;
	return !trace_is_barrier(op->to_kind) || rp->rp_done ==
	    rt->rt_replay->re_job->tj_trace->tr_procs[rt->rt_trace->tt_proc].tp_epoch_ops[op->to_epoch];
}

/* => false: the replay is being given up */
static bool
wait_turn(struct replay_thread *rt, const struct trace_op *op)
{
	struct replay *re = rt->rt_replay;
	bool go;

	mutex_enter(&re->re_lock);
	settle(rt);
	while (!my_turn(rt, op) && !re->re_abort) {
		lwp_patient(true);
		cv_wait(&re->re_cv, &re->re_lock);
		lwp_patient(false);
	}
	go = !re->re_abort;
	mutex_exit(&re->re_lock);
	return go;
}

static void
barrier_done(struct replay_thread *rt)
{
	struct replay *re = rt->rt_replay;

	mutex_enter(&re->re_lock);
	rt->rt_proc->rp_epoch++;
	rt->rt_proc->rp_done = 0;
	__atomic_fetch_add(&re->re_worker->jw_ops, 1, __ATOMIC_RELAXED);
	cv_broadcast(&re->re_cv);
	mutex_exit(&re->re_lock);
}

/* --- operations --- */

static void	thread_main(void *);

static int
start_thread(struct replay *re, uint32_t id)
{
	struct replay_thread *rt = &re->re_threads[id];
	char name[32];
	struct lwp *l;
	int error;

	snprintf(name, sizeof(name), "%.12s.%u/%u", re->re_job->tj_trace->tr_command,
	    re->re_worker->jw_index, id);
	error = proc_lwp_create(rt->rt_proc->rp_proc, &l, name, thread_main, rt);
	if (error != 0)
		return call_failed(re->re_worker, "lwp_create", 0, error);
	mutex_enter(&re->re_lock);
	rt->rt_lwp = l;
	mutex_exit(&re->re_lock);
	lwp_start(l);
	return 0;
}

static int
op_fork(struct replay_thread *rt, const struct trace_op *op)
{
	struct replay *re = rt->rt_replay;
	struct replay_proc *child = &re->re_procs[op->to_arg];
	char name[32];
	int error;

	snprintf(name, sizeof(name), "%.20s/%u", re->re_job->tj_trace->tr_command, op->to_arg);
	error = proc_fork(rt->rt_proc->rp_proc, name, &child->rp_proc);
	if (error != 0)
		return call_failed(&rt->rt_worker, "fork", 0, error);
	replay_space_fork(&child->rp_space, &rt->rt_proc->rp_space);
	return start_thread(re, re->re_job->tj_trace->tr_procs[op->to_arg].tp_main);
}

/* The last operation of a process: its address space goes, the LWP stays until its end. */
static int
op_exit(struct replay_thread *rt)
{
	struct replay_proc *rp = rt->rt_proc;
	struct replay *re = rt->rt_replay;

	replay_space_fini(&rp->rp_space);
	if (rp->rp_proc == re->re_worker->jw_proc->jp_proc) {
		uvmspace_exec(rp->rp_proc);	/* the engine's: it will run again */
	} else {
		proc_attach(NULL);
		proc_exit(rp->rp_proc);
	}
	mutex_enter(&re->re_lock);
	rp->rp_proc = NULL;
	rp->rp_exited = true;
	cv_broadcast(&re->re_cv);
	mutex_exit(&re->re_lock);
	return 0;
}

static int
op_wait(struct replay_thread *rt, const struct trace_op *op)
{
	struct replay *re = rt->rt_replay;

	mutex_enter(&re->re_lock);
	while (!re->re_procs[op->to_arg].rp_exited && !re->re_abort) {
		lwp_patient(true);
		cv_wait(&re->re_cv, &re->re_lock);
		lwp_patient(false);
	}
	mutex_exit(&re->re_lock);
	return 0;
}

static int
perform(struct replay_thread *rt, const struct trace_op *op)
{
	struct replay_proc *rp = rt->rt_proc;

	if (trace_is_reference(op->to_kind))
		return replay_reference(&rt->rt_worker, &rp->rp_space, &rt->rt_cursor, rt->rt_slot,
		    op->to_kind, op->to_va);
	if (trace_has_map(op->to_kind))
		return replay_map_op(&rt->rt_worker, rp->rp_proc, &rp->rp_space, op->to_kind,
		    &rt->rt_replay->re_job->tj_trace->tr_maps[op->to_arg]);
	switch (op->to_kind) {
	case TRACE_FORK:
		return op_fork(rt, op);
	case TRACE_EXEC:
		uvmspace_exec(rp->rp_proc);
		replay_space_clear(&rp->rp_space);
		return 0;
	case TRACE_EXIT:
		return op_exit(rt);
	case TRACE_THREAD_CREATE:
		return start_thread(rt->rt_replay, op->to_arg);
	case TRACE_WAIT:
		return op_wait(rt, op);
	default:			/* TRACE_THREAD_EXIT: the stream ends by itself */
		return 0;
	}
}

/*
 * One thread's stream.  References of one epoch need no lock: the epoch cannot
 * end before they are settled.
 */
static int
run_stream(struct replay_thread *rt)
{
	const struct trace_thread *tt = rt->rt_trace;
	uint32_t epoch = TRACE_NONE;

	for (size_t i = 0; i < tt->tt_nops; i++) {
		const struct trace_op *op = &tt->tt_ops[i];
		bool barrier = trace_is_barrier(op->to_kind);
		int error;

		if (engine_stopping() || aborted(rt->rt_replay))
			return EINTR;
		if ((barrier || op->to_epoch != epoch || op->to_kind == TRACE_WAIT) &&
		    !wait_turn(rt, op))
			return EINTR;
		epoch = op->to_epoch;
		error = perform(rt, op);
		if (error != 0)
			return error;
		if (barrier)
			barrier_done(rt);
		else
			rt->rt_pending++;
		worker_userret(&rt->rt_worker);
	}
	return 0;
}

static void
thread_run(struct replay_thread *rt)
{
	int error = run_stream(rt);

	mutex_enter(&rt->rt_replay->re_lock);
	settle(rt);
	mutex_exit(&rt->rt_replay->re_lock);
	if (error != 0)
		replay_abort(rt->rt_replay, error);
}

static void
thread_main(void *arg)
{
	thread_run(arg);
}

/* --- one copy, once through --- */

static struct replay *
replay_create(struct job_run *jr, struct job_worker *jw)
{
	struct trace_job *tj = jr->jr_private;
	const struct trace *tr = tj->tj_trace;
	struct replay *re = xcalloc(1, sizeof(*re));

	re->re_job = tj;
	re->re_worker = jw;
	re->re_files = jw->jw_private;
	re->re_procs = xcalloc(tr->tr_nprocs, sizeof(*re->re_procs));
	re->re_threads = xcalloc(tr->tr_nthreads, sizeof(*re->re_threads));
	mutex_init(&re->re_lock, MUTEX_DEFAULT, IPL_NONE, LC_engine);
	cv_init(&re->re_cv, "replay");
	for (uint32_t i = 0; i < tr->tr_nprocs; i++)
		replay_space_init(&re->re_procs[i].rp_space, re->re_files, tr->tr_nfiles,
		    tj->tj_slots);
	for (uint32_t i = 0, slot; i < tr->tr_nthreads; i++) {
		struct replay_thread *rt = &re->re_threads[i];

		rt->rt_replay = re;
		rt->rt_trace = &tr->tr_threads[i];
		rt->rt_proc = &re->re_procs[rt->rt_trace->tt_proc];
		for (uint32_t j = slot = 0; j < i; j++)
			slot += tr->tr_threads[j].tt_proc == rt->rt_trace->tt_proc;
		rt->rt_slot = slot;
		rt->rt_worker = *jw;
		rt->rt_worker.jw_verified = 0;
		rt->rt_worker.jw_seq = (jw->jw_ops << 16) + ((uint64_t)i << 48);
		host_rng_init(&rt->rt_worker.jw_rng, host_rng_next(&jw->jw_rng), i);
	}
	re->re_procs[0].rp_proc = jw->jw_proc->jp_proc;
	return re;
}

/* => all threads but the caller's have ended, or will at once */
static void
replay_reap(struct replay *re)
{
	const struct trace *tr = re->re_job->tj_trace;

	/* A thread is started by one that is waited for before it: creators have lower ids. */
	for (uint32_t i = 0; i < tr->tr_nthreads; i++) {
		struct lwp *l;

		mutex_enter(&re->re_lock);
		l = re->re_threads[i].rt_lwp;
		mutex_exit(&re->re_lock);
		if (l != NULL)
			lwp_wait(l);
	}
}

/* => what a replay that was cut short has left behind is taken away */
static void
replay_destroy(struct replay *re)
{
	const struct trace *tr = re->re_job->tj_trace;
	struct proc *own = re->re_worker->jw_proc->jp_proc;

	for (uint32_t i = 0; i < tr->tr_nprocs; i++) {
		struct replay_proc *rp = &re->re_procs[i];

		replay_space_fini(&rp->rp_space);
		if (rp->rp_proc != NULL && rp->rp_proc != own)
			proc_exit(rp->rp_proc);
	}
	uvmspace_exec(own);
	cv_destroy(&re->re_cv);
	mutex_destroy(&re->re_lock);
	free(re->re_procs);
	free(re->re_threads);
	free(re);
}

static int
run(struct job_run *jr, struct job_worker *jw)
{
	struct replay *re = replay_create(jr, jw);
	bool nomem;

	thread_run(&re->re_threads[0]);
	replay_reap(re);
	nomem = re->re_nomem;		/* all others have ended */
	replay_destroy(re);
	return nomem ? ENOMEM : 0;
}

/* Every replay maps everything itself. */
static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	return 0;
}

/* --- the job --- */

static unsigned
most_threads(const struct trace *tr)
{
	unsigned most = 1;

	for (uint32_t i = 0; i < tr->tr_nprocs; i++)
		if (tr->tr_procs[i].tp_nthreads > most)
			most = tr->tr_procs[i].tp_nthreads;
	return most;
}

static int
setup(struct job_run *jr)
{
	const struct trace_options *to = jr->jr_job->job_options;
	struct trace_job *tj = xcalloc(1, sizeof(*tj));
	struct trace_error why;
	struct uvmexp exp;
	uint64_t need, have;
	int error;

	jr->jr_private = tj;
	tj->tj_trace = trace_open(to->to_trace, &why);
	if (tj->tj_trace == NULL) {
		snprintf(jr->jr_why, sizeof(jr->jr_why), "%s", why.msg);
		return EINVAL;
	}
	tj->tj_slots = most_threads(tj->tj_trace);
	uvm_stat_get(&exp);
	have = exp.npages * PAGE_SIZE;
	need = tj->tj_trace->tr_peak_pages * jr->jr_nprocs * PAGE_SIZE;
	if (tj->tj_slots >= REPLAY_SLOTS_MAX || need > have / 4 * 3) {
		snprintf(jr->jr_why, sizeof(jr->jr_why),
		    "%s: %u copies may touch %luK of memory, the machine has %luK: "
		    "raise memory, or lower processes (threads of one process: at most %u)",
		    to->to_trace, jr->jr_nprocs, (unsigned long)(need >> 10),
		    (unsigned long)(have >> 10), REPLAY_SLOTS_MAX - 1);
		return EINVAL;
	}
	for (uint32_t i = 0; i < tj->tj_trace->tr_nmaps; i++)
		if (tj->tj_trace->tr_maps[i].tm_len > REPLAY_LEN_MAX ||
		    tj->tj_trace->tr_maps[i].tm_new_len > REPLAY_LEN_MAX) {
			snprintf(jr->jr_why, sizeof(jr->jr_why),
			    "%s: mapping call %u is longer than the %luG that a replay models",
			    to->to_trace, i, REPLAY_LEN_MAX >> 30);
			return EINVAL;
		}
	error = replay_files_create(&tj->tj_files, tj->tj_trace);
	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++)
		error = replay_files_copy((struct replay_file **)&jr->jr_workers[i].jw_private,
		    tj->tj_files, tj->tj_trace);
	return error;
}

static void
teardown(struct job_run *jr)
{
	struct trace_job *tj = jr->jr_private;

	if (tj == NULL)
		return;
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		replay_files_destroy(jr->jr_workers[i].jw_private, tj->tj_trace);
	replay_files_destroy(tj->tj_files, tj->tj_trace);
	trace_close(tj->tj_trace);
	free(tj);
}

static const char *const required[] = { "faults.total", "faults.zero_fill", "faults.soft", NULL };

const struct workload wl_trace = {
	.wl_name = "trace",
	.wl_help = "replays a recorded program, any number of copies at once",
	.wl_common = WL_PROCESSES | WL_WEIGHT,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct trace_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "everything that the recorded program used, with its locality and its order",
	.wl_verifies = "each page touched: this thread's word, or one that nobody writes",
	.wl_required = required,
	.wl_setup = setup,
	.wl_run = run,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
