/*
 * loan-tx: memory is sent to the network while it is stored to.
 *
 * Each thread has some buffers of its own.  A send puts the words of a buffer on the wire as
 * they are at that moment: the model knows them all, so it knows the packet's checksum.  From
 * then on, until the packet has left, everybody stores to the buffer: its thread, threads
 * beside it, a child that was forked meanwhile; or it is unmapped and mapped anew, or locked
 * in memory.  None of that may show on the wire (I-LOAN-3), all of it must show in memory.
 *
 * Who else wants to store to a buffer on its way claims it first, so that its thread does not
 * send it again in mid-store: bu_state.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>
#include <machine/nic.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x20000000UL
#define	BUF_PAGES	(SO_SEND_MAX / PAGE_SIZE)
#define	BUF_WORDS	(SO_SEND_MAX / 8)
#define	OWN_WORDS	256UL			/* of each page: its thread's; the rest is anybody's */
#define	PAGE_WORDS	(PAGE_SIZE / 8)

struct tx_options {
	uint64_t tx_buffers;
	double	 tx_copy_fraction;
};

enum { HELD, SENT, CLAIMED };

/*	!  its thread	@  atomic */
struct buffer {
	int	 bu_state;		/* @ HELD: its thread's alone; SENT: on its way */
	struct so_send bu_send;		/* ! */
	uint64_t bu_expect;		/* ! what the wire must have had */
	uint64_t bu_bytes;		/* ! */
	vaddr_t	 bu_va;			/* stable */
};

struct tx_proc {
	struct buffer	*tp_buffers;	/* [thread][buffer] */
	unsigned	 tp_per_thread, tp_n;	/* stable */
};

static const struct option_row options[] = {
	{ "buffers", OPT_INT, offsetof(struct tx_options, tx_buffers), 1, 16, "3", NULL, NULL,
	    "buffers of each thread, 32K each" },
	{ "copy-fraction", OPT_FRACTION, offsetof(struct tx_options, tx_copy_fraction), 0, 0, "0.05",
	    NULL, NULL, "share of packets that are copied" },
};

static const struct tx_options *
opts(const struct job *job)
{
	return job->job_options;
}

/* --- set-up --- */

static int
setup(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nprocs; i++) {
		struct job_proc *jp = &jr->jr_procs[i];
		struct tx_proc *tp = jp->jp_private = xcalloc(1, sizeof(*tp));

		tp->tp_per_thread = (unsigned)opts(jr->jr_job)->tx_buffers;
		tp->tp_n = tp->tp_per_thread * jp->jp_nthreads;
		tp->tp_buffers = xcalloc(tp->tp_n, sizeof(*tp->tp_buffers));
		for (unsigned b = 0; b < tp->tp_n; b++)
			tp->tp_buffers[b].bu_va = BASE + (uint64_t)b * SO_SEND_MAX;
	}
	return 0;
}

/* --- buffers --- */

static struct tx_proc *
proc_of(struct job_worker *jw)
{
	return jw->jw_proc->jp_private;
}

static struct buffer *
own_buffer(struct job_worker *jw)
{
	struct tx_proc *tp = proc_of(jw);

	return &tp->tp_buffers[jw->jw_thread * tp->tp_per_thread +
	    host_rng_below(&jw->jw_rng, tp->tp_per_thread)];
}

/* acquire and release: what was done under one state is seen under the next */
static bool
claim(struct buffer *bu, int from, int to)
{
	return __atomic_compare_exchange_n(&bu->bu_state, &from, to, false, __ATOMIC_ACQ_REL,
	    __ATOMIC_ACQUIRE);
}

static void
release(struct buffer *bu, int to)
{
	__atomic_store_n(&bu->bu_state, to, __ATOMIC_RELEASE);
}

static vaddr_t
word_va(struct job_worker *jw, const struct buffer *bu, uint64_t first, uint64_t n)
{
	return bu->bu_va + host_rng_below(&jw->jw_rng, BUF_PAGES) * PAGE_SIZE +
	    8 * (first + host_rng_below(&jw->jw_rng, n));
}

/* => its packet has left; was it the right one? */
static int
packet_check(struct job_worker *jw, struct buffer *bu)
{
	so_send_wait(&bu->bu_send);
	if (bu->bu_send.ss_sum != bu->bu_expect)
		return content_bad(jw, "I-LOAN-3", bu->bu_va, "the wire had a packet of sum %#lx, %#lx was "
		    "sent (%lu bytes, %lu of them on loan)", (unsigned long)bu->bu_send.ss_sum,
		    (unsigned long)bu->bu_expect, (unsigned long)bu->bu_bytes,
		    (unsigned long)bu->bu_send.ss_loaned);
	worker_verified(jw, bu->bu_bytes);
	return 0;
}

/* => the buffer is its thread's alone; by that thread */
static int
settle(struct job_worker *jw, struct buffer *bu)
{
	if (__atomic_load_n(&bu->bu_state, __ATOMIC_ACQUIRE) == HELD)
		return 0;
	while (!claim(bu, SENT, HELD))
		yield();
	return packet_check(jw, bu);
}

/* --- operations --- */

/* => the buffer is HELD; then its packet is on its way */
static int
send_part(struct job_worker *jw, struct buffer *bu, uint64_t off, uint64_t len, int flags)
{
	struct nic_sum ns;
	int error;

	nic_sum_init(&ns);
	nic_sum_add(&ns, shadow_word(&jw->jw_proc->jp_shadow, bu->bu_va + off), len);
	bu->bu_expect = nic_sum_value(&ns);
	bu->bu_bytes = len;
	error = sys_send(jw->jw_proc->jp_proc, bu->bu_va + off, len, flags, &bu->bu_send);
	if (error != 0)
		return call_failed(jw, "send", bu->bu_va, error);
	release(bu, SENT);
	return 0;
}

static int
op_send(struct job_worker *jw)
{
	struct buffer *bu = own_buffer(jw);
	uint64_t off = 0, len = SO_SEND_MAX;
	int error = settle(jw, bu), flags = 0;

	for (int i = 0; i < 4 && error == 0; i++)
		error = private_store(jw, &jw->jw_proc->jp_shadow, word_va(jw, bu, 0, PAGE_WORDS));
	if (error != 0)
		return error;
	if (host_rng_chance(&jw->jw_rng, 0.3)) {	/* a head and a tail */
		off = 8 * host_rng_below(&jw->jw_rng, BUF_WORDS / 2);
		len = 8 * (1 + host_rng_below(&jw->jw_rng, BUF_WORDS / 2));
	}
	if (host_rng_chance(&jw->jw_rng, opts(jw->jw_run->jr_job)->tx_copy_fraction))
		flags = SO_SEND_COPY;
	return send_part(jw, bu, off, len, flags);
}

static int
op_interfere(struct job_worker *jw)
{
	struct tx_proc *tp = proc_of(jw);
	struct buffer *bu = &tp->tp_buffers[host_rng_below(&jw->jw_rng, tp->tp_n)];
	int error = 0;

	if (!claim(bu, SENT, CLAIMED))
		return 0;
	for (int i = 0; i < 3 && error == 0; i++)
		error = private_store(jw, &jw->jw_proc->jp_shadow,
		    word_va(jw, bu, OWN_WORDS, PAGE_WORDS - OWN_WORDS));
	release(bu, SENT);
	return error;
}

/* => the buffer is on its way, and nobody else stores to it */
static bool
claim_own(struct job_worker *jw, struct buffer **bup)
{
	*bup = own_buffer(jw);
	return claim(*bup, SENT, CLAIMED);
}

static int
op_lock(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	struct buffer *bu = own_buffer(jw);
	int error = sys_mlock(p, bu->bu_va, 2 * PAGE_SIZE);

	if (error == EAGAIN)			/* over the limit: not our business */
		return 0;
	if (error != 0)
		return call_failed(jw, "mlock", bu->bu_va, error);
	error = private_check(jw, &jw->jw_proc->jp_shadow, word_va(jw, bu, 0, OWN_WORDS));
	if (error != 0)
		return error;
	error = sys_munlock(p, bu->bu_va, 2 * PAGE_SIZE);
	return error != 0 ? call_failed(jw, "munlock", bu->bu_va, error) : 0;
}

/* What is wired is not lent (I-LOAN-5): the packet is a copy, and what was lent before it was found wired is not (I-LOAN-6). */
static int
op_send_wired(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	struct buffer *bu = own_buffer(jw);
	vaddr_t wired = bu->bu_va + ptoa(host_rng_below(&jw->jw_rng, BUF_PAGES - 1));
	int error = settle(jw, bu);

	if (error == 0)
		error = sys_mlock(p, wired, 2 * PAGE_SIZE);
	if (error == EAGAIN)			/* over the limit: not our business */
		return 0;
	if (error != 0)
		return call_failed(jw, "mlock", wired, error);
	error = send_part(jw, bu, 0, SO_SEND_MAX, 0);
	if (error == 0 && bu->bu_send.ss_loaned != 0)
		error = content_bad(jw, "I-LOAN-5", wired, "%lu bytes were lent, and two pages of them are wired",
		    (unsigned long)bu->bu_send.ss_loaned);
	if (error != 0)
		return error;
	error = sys_munlock(p, wired, 2 * PAGE_SIZE);
	return error != 0 ? call_failed(jw, "munlock", wired, error) : 0;
}

static int
op_remap(struct job_worker *jw)
{
	struct proc *p = jw->jw_proc->jp_proc;
	struct buffer *bu;
	vaddr_t va;
	int error;

	if (!claim_own(jw, &bu))
		return 0;
	va = bu->bu_va;
	error = sys_munmap(p, va, SO_SEND_MAX);
	if (error == 0)
		error = map_private(p, va, SO_SEND_MAX);
	if (error == 0)
		shadow_zero(&jw->jw_proc->jp_shadow, va, SO_SEND_MAX);
	release(bu, SENT);
	return error != 0 ? call_failed(jw, "remap", va, error) : 0;
}

/*
 * In the child: the buffer as it was at the fork, and a store that nobody else sees.  Likewise to all
 * buffers, which the parent's other threads send meanwhile: what they lend is their copy.  One that is being
 * mapped anew was not there when the parent forked.
 */
static int
child(struct job_worker *jw, void *arg)
{
	const struct tx_proc *tp = proc_of(jw);
	struct buffer *bu = arg;
	int error = 0;

	for (uint64_t page = 0; page < BUF_PAGES && error == 0; page++) {
		vaddr_t va = bu->bu_va + page * PAGE_SIZE + 8 * host_rng_below(&jw->jw_rng, OWN_WORDS);

		error = private_check(jw, &jw->jw_proc->jp_shadow, va);
		if (error == 0 && (error = user_store(va, page)) != 0)
			error = call_failed(jw, "store", va, error);
	}
	for (unsigned b = 0; b < tp->tp_n && error == 0; b++) {
		vaddr_t va = word_va(jw, &tp->tp_buffers[b], 0, PAGE_WORDS);

		error = user_store(va, b);
		error = error != 0 && error != EFAULT ? call_failed(jw, "store", va, error) : 0;
	}
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	struct buffer *bu;
	int error;

	if (!claim_own(jw, &bu))
		return 0;
	error = run_in_child(jw, child, bu);
	release(bu, SENT);
	return error;
}

static int
op_store(struct job_worker *jw)
{
	return private_store(jw, &jw->jw_proc->jp_shadow, word_va(jw, own_buffer(jw), 0, OWN_WORDS));
}

static int
op_check(struct job_worker *jw)
{
	return private_check(jw, &jw->jw_proc->jp_shadow, word_va(jw, own_buffer(jw), 0, OWN_WORDS));
}

static const struct workload_op ops[] = {
	{ "send", "wait for a buffer's packet, fill it a little, send it", 200, op_send },
	{ "store", "store to a buffer of this thread, on its way or not", 300, op_store },
	{ "interfere", "store to a buffer of another thread that is on its way", 250,
	    op_interfere },
	{ "check", "check words of a buffer", 230, op_check },
	{ "lock", "mlock and munlock a buffer on its way", 10, op_lock },
	{ "send-wired", "mlock a buffer, send it, which copies it, munlock", 0, op_send_wired },
	{ "remap", "unmap a buffer on its way, map it anew", 6, op_remap },
	{ "fork", "a child looks at a buffer on its way, and stores to it", 4, op_fork },
};

/* --- the end --- */

/* => the process's threads stand still: all packets have left, and were right */
static int
settle_all(struct job_worker *jw, struct tx_proc *tp)
{
	int error = 0;

	for (unsigned b = 0; b < tp->tp_n && error == 0; b++) {
		struct buffer *bu = &tp->tp_buffers[b];

		if (bu->bu_state != HELD)
			error = packet_check(jw, bu);
		bu->bu_state = HELD;
	}
	return error;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	struct tx_proc *tp = jp->jp_private;
	int error = settle_all(&jr->jr_self, tp);

	return error != 0 ? error : private_map(jp, BASE, (vsize_t)tp->tp_n * SO_SEND_MAX);
}

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	struct tx_proc *tp = jp->jp_private;
	int error = settle_all(jw, tp);

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
		struct tx_proc *tp = jr->jr_procs[i].jp_private;

		if (tp == NULL)
			continue;
		for (unsigned b = 0; b < tp->tp_n; b++)	/* an early end */
			if (tp->tp_buffers[b].bu_state != HELD)
				so_send_wait(&tp->tp_buffers[b].bu_send);
		free(tp->tp_buffers);
		free(tp);
	}
}

static uint64_t
footprint(const struct job *job)
{
	return (uint64_t)job->job_threads * opts(job)->tx_buffers * SO_SEND_MAX;
}

static const char *const required[] = {
	"loans.to_kernel", "loans.broken", "loans.returned", "loans.orphaned", "loans.deferred",
	"interrupts.pool_puts", "interrupts.net", "uvmexp.so_loaned", NULL
};

const struct workload wl_loan_tx = {
	.wl_name = "loan-tx",
	.wl_help = "zero-copy transmission of memory that is stored to meanwhile",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct tx_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "loans to the kernel, windows of mb_map, their end in interrupt, broken loans, fork, mlock and munmap of lent memory",
	.wl_verifies = "each packet's checksum against the model at the send; each word of memory",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
