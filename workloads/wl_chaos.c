/*
 * chaos: every system call on every range, with no regard for what is there.
 *
 * All threads of all processes throw calls at one stretch of address space: private,
 * shared and file memory, mapped over each other, unmapped, protected, wired, synced,
 * advised and inherited while others touch it.  No model could say what a page must
 * hold, but each word says itself where it belongs: a stored value carries the place of
 * its word, the same in every process, and the file is mapped at one fixed place.  So a
 * load gives zero or a value of that very word, whoever stored it; anything else is a
 * page that was mapped, copied, read or written where it did not belong.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x600000000000UL
#define	RANGE_MAX	24		/* most pages that one call takes */

/* All fields: stable after set-up. */
struct chaos {
	uint64_t	 ch_npages;
	struct vnode	*ch_vnode;	/* byte n at BASE + n */
	bool		 ch_limits;	/* the job sets limits: who has one is refused, and lives on */
};

struct range {
	vaddr_t	ra_va;
	vsize_t	ra_len;
};

static struct range
draw(struct job_worker *jw)
{
	const struct chaos *ch = jw->jw_run->jr_private;
	uint64_t most = ch->ch_npages < RANGE_MAX ? ch->ch_npages : RANGE_MAX;
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, most);
	uint64_t first = host_rng_below(&jw->jw_rng, ch->ch_npages - n + 1);

	return (struct range){ BASE + first * PAGE_SIZE, n * PAGE_SIZE };
}

/* The upper half of every value that the word at va may hold; never 0. */
static uint64_t
place(const struct job_worker *jw, vaddr_t va)
{
	return private_value(jw->jw_run->jr_seed, va, 0) | 1UL << 63;
}

/* => the call may succeed, or be refused with one of the errnos; 0 or EIO after a report */
static int
judge(struct job_worker *jw, const char *call, vaddr_t va, int error, const int *refusals)
{
	if (error == 0)
		return 0;
	for (; *refusals != 0; refusals++)
		if (error == *refusals)
			return 0;
	return call_failed(jw, call, va, error);	/* ENOMEM where it does not speak of a hole: memory is short */
}

static const int no_access[] = { EFAULT, EACCES, 0 };

static int
op_load(struct job_worker *jw)
{
	vaddr_t va = own_word(jw, draw(jw).ra_va, 0);
	uint64_t value;
	int error = user_load(va, &value);

	if (error != 0)
		return judge(jw, "load", va, error, no_access);
	if (value != 0 && value >> 32 != place(jw, va) >> 32)
		return content_bad(jw, "misplaced", va, "holds %#lx: no value of this word",
		    (unsigned long)value);
	worker_verified(jw, sizeof(value));
	return 0;
}

static int
op_store(struct job_worker *jw)
{
	vaddr_t va = own_word(jw, draw(jw).ra_va, 0);
	uint64_t value = (place(jw, va) & ~UINT64_C(0xffffffff)) | (++jw->jw_seq & UINT32_MAX);

	return judge(jw, "store", va, user_store(va, value), no_access);
}

/* Some words around a page border, through a debugger's window; a word of its own is changed. */
static int
op_debug(struct job_worker *jw)
{
	uint64_t words[64];
	size_t len = sizeof(words);
	vaddr_t va = draw(jw).ra_va + PAGE_SIZE - sizeof(words) / 2;
	int error = sys_ptrace_io(curlwp->l_proc, va, words, &len, false);

	for (size_t i = 0; i < len / sizeof(words[0]); i++)
		if (words[i] != 0 && words[i] >> 32 != place(jw, va + i * 8) >> 32)
			return content_bad(jw, "misplaced", va + i * 8,
			    "holds %#lx for a debugger: no value of this word", (unsigned long)words[i]);
	worker_verified(jw, len);
	if (error != 0)
		return judge(jw, "debugger's look", va, error, no_access);
	va = own_word(jw, draw(jw).ra_va, 0);
	words[0] = (place(jw, va) & ~UINT64_C(0xffffffff)) | (++jw->jw_seq & UINT32_MAX);
	len = sizeof(words[0]);
	return judge(jw, "debugger's change", va, sys_ptrace_io(curlwp->l_proc, va, words, &len, true),
	    no_access);
}

static int
op_mmap(struct job_worker *jw)
{
	static const int refusals[] = { 0 }, limited[] = { ENOMEM, 0 };
	const struct chaos *ch = jw->jw_run->jr_private;
	struct range ra = draw(jw);
	unsigned kind = (unsigned)host_rng_below(&jw->jw_rng, 4);
	int flags = (kind & 1 ? UMAP_SHARED : UMAP_PRIVATE) | UMAP_FIXED;
	int error;

	if (kind & 2)
		error = sys_mmap(curlwp->l_proc, &ra.ra_va, ra.ra_len, draw_prot(jw), flags,
		    ch->ch_vnode, UF_READ | UF_WRITE, (voff_t)(ra.ra_va - BASE));
	else
		error = sys_mmap(curlwp->l_proc, &ra.ra_va, ra.ra_len, draw_prot(jw),
		    flags | UMAP_ANON, NULL, 0, 0);
	return judge(jw, "mmap", ra.ra_va, error, ch->ch_limits ? limited : refusals);
}

static int
op_munmap(struct job_worker *jw)
{
	static const int refusals[] = { 0 };
	struct range ra = draw(jw);

	return judge(jw, "munmap", ra.ra_va, sys_munmap(curlwp->l_proc, ra.ra_va, ra.ra_len),
	    refusals);
}

static int
op_mprotect(struct job_worker *jw)
{
	static const int refusals[] = { EACCES, 0 };
	struct range ra = draw(jw);

	return judge(jw, "mprotect", ra.ra_va,
	    sys_mprotect(curlwp->l_proc, ra.ra_va, ra.ra_len, draw_prot(jw)), refusals);
}

static int
op_minherit(struct job_worker *jw)
{
	static const int refusals[] = { 0 };
	struct range ra = draw(jw);

	return judge(jw, "minherit", ra.ra_va, sys_minherit(curlwp->l_proc, ra.ra_va, ra.ra_len,
	    (int)host_rng_below(&jw->jw_rng, 3)), refusals);
}

static int
op_madvise(struct job_worker *jw)
{
	static const int advice[] = {
		UMADV_NORMAL, UMADV_RANDOM, UMADV_SEQUENTIAL, UMADV_WILLNEED, UMADV_DONTNEED,
		UMADV_FREE
	};
	static const int refusals[] = { EFAULT, EBUSY, EINVAL, ENOMEM, 0 };
	struct range ra = draw(jw);

	return judge(jw, "madvise", ra.ra_va, sys_madvise(curlwp->l_proc, ra.ra_va, ra.ra_len,
	    advice[host_rng_below(&jw->jw_rng, 6)]), refusals);
}

static int
op_msync(struct job_worker *jw)
{
	static const int how[] = { UMS_ASYNC, UMS_SYNC, UMS_INVALIDATE | UMS_SYNC };
	static const int refusals[] = { EBUSY, ENOMEM, 0 };
	struct range ra = draw(jw);

	return judge(jw, "msync", ra.ra_va, sys_msync(curlwp->l_proc, ra.ra_va, ra.ra_len,
	    how[host_rng_below(&jw->jw_rng, 3)]), refusals);
}

static int
op_wire(struct job_worker *jw)
{
	static const int refusals[] = { EAGAIN, EINVAL, ENOMEM, 0 };
	struct range ra = draw(jw);

	if (host_rng_below(&jw->jw_rng, 2) == 0)
		return judge(jw, "mlock", ra.ra_va,
		    sys_mlock(curlwp->l_proc, ra.ra_va, ra.ra_len), refusals);
	return judge(jw, "munlock", ra.ra_va, sys_munlock(curlwp->l_proc, ra.ra_va, ra.ra_len),
	    refusals);
}

static int
op_mincore(struct job_worker *jw)
{
	static const int refusals[] = { ENOMEM, 0 };
	unsigned char vec[RANGE_MAX];
	struct range ra = draw(jw);

	return judge(jw, "mincore", ra.ra_va, sys_mincore(curlwp->l_proc, ra.ra_va, ra.ra_len, vec),
	    refusals);
}

/* Generations of children die out. */
static int
child(struct job_worker *jw, void *arg)
{
	int error = 0;

	for (int i = 0; i < 30 && error == 0 && !engine_stopping(); i++)
		error = worker_operation(jw);
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, child, NULL);
}

struct listing {
	struct job_worker *li_worker;
	uint32_t li_last;
};

/* Each process once, by number. */
static void
list_proc(struct proc *p, void *arg)
{
	struct listing *li = arg;

	if (p->p_pid <= li->li_last)
		(void)content_bad(li->li_worker, "wrong-process", p->p_pid, "process %u comes after %u",
		    p->p_pid, li->li_last);
	li->li_last = p->p_pid;
}

#define	PS_ROUNDS	16		/* so that somebody reads the table most of the time */

static int
op_ps(struct job_worker *jw)
{
	for (int i = 0; i < PS_ROUNDS && !engine_stopping(); i++) {
		struct listing li = { jw, 0 };

		proc_foreach(list_proc, &li);
	}
	return 0;
}

/* A limit that bites, or none; the other threads and the children to come have it, too. */
static int
op_limit(struct job_worker *jw)
{
	static const int refusals[] = { 0 };
	const struct chaos *ch = jw->jw_run->jr_private;
	struct urlimit rl = { URLIM_INFINITY, URLIM_INFINITY };
	bool as = host_rng_below(&jw->jw_rng, 2) == 0;
	uint64_t least = as ? ch->ch_npages / 2 : 0;	/* there is to be something to work on */
	uint64_t most = as ? ch->ch_npages : 2 * RANGE_MAX;

	if (host_rng_below(&jw->jw_rng, 2) == 0)
		rl.rl_cur = (least + host_rng_below(&jw->jw_rng, most - least)) * PAGE_SIZE;
	return judge(jw, "setrlimit", rl.rl_cur, sys_setrlimit(curlwp->l_proc,
	    as ? URLIMIT_AS : URLIMIT_MEMLOCK, rl), refusals);
}

static const struct workload_op ops[] = {
	{ "load", "check a word: it belongs there, or is zero", 400, op_load },
	{ "store", "store to a word", 300, op_store },
	{ "mmap", "map private, shared or file memory over what is there", 30, op_mmap },
	{ "munmap", "unmap a range", 10, op_munmap },
	{ "mprotect", "change rights", 15, op_mprotect },
	{ "minherit", "change inheritance", 5, op_minherit },
	{ "madvise", "any advice, MADV_FREE too", 10, op_madvise },
	{ "msync", "write back, now or later, or invalidate", 4, op_msync },
	{ "wire", "mlock or munlock", 8, op_wire },
	{ "mincore", "ask what is resident", 2, op_mincore },
	{ "debug", "look at words, and change one, as a debugger does", 6, op_debug },
	{ "fork", "a child does some of this too, and exits", 2, op_fork },
	{ "limit", "set how much may be mapped or wired", 0, op_limit },
	{ "ps", "go through all processes, while they come and go", 4, op_ps },
};

static int
setup(struct job_run *jr)
{
	struct chaos *ch = xcalloc(1, sizeof(*ch));
	uint64_t size = jr->jr_job->job_size;

	jr->jr_private = ch;
	ch->ch_npages = size / PAGE_SIZE;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		ch->ch_limits |= ops[i].wo_run == op_limit && jr->jr_job->job_shares[i] != 0;
	return zero_vnode("chaos", size, &ch->ch_vnode);
}

/* A fresh process is as good as the old one: nothing is remembered. */
static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	return 0;
}

static int
verify_proc(struct job_worker *jw, struct job_proc *jp)
{
	int error = 0;

	for (int i = 0; i < 1000 && error == 0; i++)
		error = op_load(jw);
	return error;
}

static int
verify(struct job_run *jr)
{
	jr->jr_self.jw_proc = &jr->jr_procs[0];
	return visit_procs(jr, verify_proc);
}

static void
teardown(struct job_run *jr)
{
	struct chaos *ch = jr->jr_private;

	if (ch != NULL && ch->ch_vnode != NULL)
		vrele(ch->ch_vnode);
	free(ch);
}

static const char *const required[] = {
	"faults.total", "faults.zero_fill", "faults.file", "uvmexp.uvm_ios", NULL
};

const struct workload wl_chaos = {
	.wl_name = "chaos",
	.wl_help = "every system call on every range, with no regard for what is there",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_SIZE | WL_OPERATIONS,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "map operations against faults, wiring, write-back and fork on the same pages",
	.wl_verifies = "each word that is read is zero or a value stored to that very word",
	.wl_required = required,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
