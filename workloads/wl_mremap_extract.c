/*
 * mremap-extract: memory that changes its address, its size, or its process.
 *
 * Each worker owns a parcel: some pages whose words it knows exactly.  It grows, shrinks
 * and moves the parcel by mremap; moves it to another process of the job, and back; shares
 * it with another process for a while, where a store through either mapping must be seen
 * through the other; and reads and writes it as a debugger does, wherever it is.  Its
 * siblings do the same in the same maps, in both directions at once (T-8, T-12).
 *
 * No call may lose a word, whatever becomes of it: one that is refused for want of memory
 * has changed nothing, and the parcel is where it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x500000000UL
#define	PAGES_MAX	48
#define	SLOT		(2 * PAGES_MAX * PAGE_SIZE)	/* two places for a parcel */

/* !: only the worker */
struct parcel {
	vaddr_t	 pa_slot;		/* stable: the worker's own addresses, in every process */
	unsigned pa_home;		/* stable: jp_index of its process */
	unsigned pa_where;		/* ! and where the parcel is now */
	vaddr_t	 pa_va;			/* ! first or second half of the slot */
	uint64_t pa_npages;		/* ! */
	bool	 pa_shared;		/* ! mapped shared: a child sees what we store */
	uint64_t pa_value[PAGES_MAX];	/* ! one word of each page */
};

static struct proc *
proc_of(const struct job_worker *jw, unsigned index)
{
	return jw->jw_run->jr_procs[index].jp_proc;	/* no wl_proc: never replaced */
}

static vaddr_t
word_va(const struct parcel *pa, uint64_t page)
{
	return pa->pa_va + page * PAGE_SIZE + page * 8;
}

static uint64_t
fresh_value(struct job_worker *jw, const struct parcel *pa, uint64_t page)
{
	return private_value(jw->jw_run->jr_seed + jw->jw_index, pa->pa_slot + page * PAGE_SIZE,
	    ++jw->jw_seq);
}

static int
map_parcel(struct job_worker *jw, struct parcel *pa)
{
	uint64_t npages = 1 + host_rng_below(&jw->jw_rng, PAGES_MAX);
	bool shared = host_rng_below(&jw->jw_rng, 3) == 0;
	vaddr_t va = pa->pa_slot;
	int error;

	/* One call takes the old one's place; what it cannot do it has not begun. */
	error = sys_mmap(proc_of(jw, pa->pa_home), &va, SLOT, VM_PROT_READ | VM_PROT_WRITE,
	    (shared ? UMAP_SHARED : UMAP_PRIVATE) | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	if (error == 0)
		error = sys_munmap(proc_of(jw, pa->pa_home), va + npages * PAGE_SIZE,
		    SLOT - npages * PAGE_SIZE);
	if (error != 0)
		return error;
	pa->pa_where = pa->pa_home;
	pa->pa_va = va;
	pa->pa_npages = npages;
	pa->pa_shared = shared;
	memset(pa->pa_value, 0, sizeof(pa->pa_value));
	return 0;
}

static int
setup(struct job_run *jr)
{
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		struct job_worker *jw = &jr->jr_workers[i];
		struct parcel *pa = xcalloc(1, sizeof(*pa));

		jw->jw_private = pa;
		pa->pa_slot = BASE + i * SLOT;
		pa->pa_home = jw->jw_proc->jp_index;
		error = map_parcel(jw, pa);
	}
	return error;
}

/* --- looking at it --- */

/* By a debugger: works wherever it is. */
static int
peek(struct job_worker *jw, unsigned index, const struct parcel *pa, uint64_t page)
{
	uint64_t got = 0;
	size_t len = sizeof(got);
	int error = sys_ptrace_io(proc_of(jw, index), word_va(pa, page), &got, &len, false);

	if (error != 0)
		return call_failed(jw, "debugger's read", word_va(pa, page), error);
	if (got != pa->pa_value[page])
		return content_bad(jw, "extract", word_va(pa, page),
		    "a debugger reads %#lx in process %u, must be %#lx", (unsigned long)got, index,
		    (unsigned long)pa->pa_value[page]);
	worker_verified(jw, sizeof(got));
	return 0;
}

static int
poke(struct job_worker *jw, unsigned index, struct parcel *pa, uint64_t page)
{
	uint64_t value = fresh_value(jw, pa, page);
	size_t len = sizeof(value);
	int error = sys_ptrace_io(proc_of(jw, index), word_va(pa, page), &value, &len, true);

	if (error != 0)
		return call_failed(jw, "debugger's write", word_va(pa, page), error);
	pa->pa_value[page] = value;
	return 0;
}

static int
store(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	uint64_t value = fresh_value(jw, pa, page);
	int error = user_store(word_va(pa, page), value);

	if (error != 0)
		return call_failed(jw, "store", word_va(pa, page), error);
	pa->pa_value[page] = value;
	return 0;
}

/* => the page holds what it must, seen from where it is */
static int
look(struct job_worker *jw, const struct parcel *pa, uint64_t page)
{
	if (pa->pa_where != pa->pa_home)
		return peek(jw, pa->pa_where, pa, page);
	return expect_word(jw, word_va(pa, page), pa->pa_value[page], "extract");
}

static uint64_t
any_page(struct job_worker *jw, const struct parcel *pa)
{
	return host_rng_below(&jw->jw_rng, pa->pa_npages);
}

static int
op_touch(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	uint64_t page = any_page(jw, pa);

	if (!draw_write(jw))
		return look(jw, pa, page);
	return pa->pa_where == pa->pa_home ? store(jw, pa, page) :
	    poke(jw, pa->pa_where, pa, page);
}

/* --- mremap --- */

static vaddr_t
other_half(const struct parcel *pa)
{
	return pa->pa_va == pa->pa_slot ? pa->pa_slot + SLOT / 2 : pa->pa_slot;
}

static int
mremap_to(struct job_worker *jw, struct parcel *pa, vaddr_t to, uint64_t npages)
{
	bool fixed = to != pa->pa_va;
	uint64_t old = pa->pa_npages;
	vaddr_t va = to;
	int error = sys_mremap(proc_of(jw, pa->pa_where), pa->pa_va, old * PAGE_SIZE, &va,
	    npages * PAGE_SIZE, fixed);

	if (error != 0)
		return call_failed(jw, "mremap", pa->pa_va, error);
	if (va != to)
		return content_bad(jw, "mremap", va, "not at %#lx", (unsigned long)to);
	for (uint64_t page = old; page < npages; page++)
		pa->pa_value[page] = 0;			/* what it grew by is fresh */
	pa->pa_va = va;
	pa->pa_npages = npages;
	error = look(jw, pa, any_page(jw, pa));
	return error != 0 ? error : look(jw, pa, npages - 1);
}

/* Behind it, the half is free: it grows where it is. */
static int
op_resize(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	uint64_t npages = 1 + host_rng_below(&jw->jw_rng, PAGES_MAX);

	return mremap_to(jw, pa, host_rng_below(&jw->jw_rng, 2) == 0 ? pa->pa_va : other_half(pa),
	    npages);
}

static int
op_move(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;

	return mremap_to(jw, pa, other_half(pa), pa->pa_npages);
}

/* --- from process to process --- */

static unsigned
other_process(struct job_worker *jw, const struct parcel *pa)
{
	unsigned n = jw->jw_run->jr_nprocs;

	return (pa->pa_home + 1 + (unsigned)host_rng_below(&jw->jw_rng, n - 1)) % n;
}

static int
extract_to(struct job_worker *jw, struct parcel *pa, unsigned to, bool move)
{
	vaddr_t va = pa->pa_va;
	int error = sys_extract(proc_of(jw, pa->pa_where), pa->pa_va, pa->pa_npages * PAGE_SIZE,
	    proc_of(jw, to), &va, move);

	if (error != 0)
		return call_failed(jw, move ? "extract (move)" : "extract (share)", va, error);
	if (va != pa->pa_va)
		return content_bad(jw, "extract", va, "not at %#lx, which is free there",
		    (unsigned long)pa->pa_va);
	return 0;
}

static int
op_travel(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	vaddr_t old = word_va(pa, any_page(jw, pa));
	bool home = pa->pa_where == pa->pa_home;
	unsigned to;
	int error;

	if (jw->jw_run->jr_nprocs < 2)
		return op_move(jw);
	to = home ? other_process(jw, pa) : pa->pa_home;
	error = extract_to(jw, pa, to, true);
	if (error != 0)
		return error;
	pa->pa_where = to;
	if (home)
		error = expect_refusal(jw, old, false, EFAULT);
	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page += 5)
		error = look(jw, pa, page);
	return error;
}

/* Both see one memory; afterwards only we have it, with what either stored. */
static int
op_share(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	unsigned to;
	int error, unmapped;

	if (pa->pa_where != pa->pa_home || jw->jw_run->jr_nprocs < 2)
		return op_travel(jw);
	to = other_process(jw, pa);
	error = extract_to(jw, pa, to, false);
	if (error != 0)
		return error;
	for (int i = 0; i < 4 && error == 0; i++) {
		uint64_t page = any_page(jw, pa);

		error = i % 2 == 0 ? store(jw, pa, page) : poke(jw, to, pa, page);
		if (error == 0)
			error = i % 2 == 0 ? peek(jw, to, pa, page) : look(jw, pa, page);
	}
	unmapped = sys_munmap(proc_of(jw, to), pa->pa_va, pa->pa_npages * PAGE_SIZE);
	if (unmapped != 0)
		return call_failed(jw, "munmap", pa->pa_va, unmapped);
	return error;
}

/* Several pages at once, at any offset: the words of the model lie where they lie. */
static int
op_debug(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	uint64_t first = any_page(jw, pa), n = 1 + host_rng_below(&jw->jw_rng, pa->pa_npages - first);
	bool write = host_rng_below(&jw->jw_rng, 2) == 0;
	int error = 0;

	for (uint64_t page = first; page < first + n && error == 0; page++)
		error = write ? poke(jw, pa->pa_where, pa, page) : peek(jw, pa->pa_where, pa, page);
	return error;
}

/* --- and children --- */

/* In the child: private memory is as it was, whatever the parent's debugger does to the parent's. */
static int
check_child(struct job_worker *jw, void *arg)
{
	struct parcel *now = arg, then = *now;
	int error = 0;

	for (uint64_t page = 0; page < then.pa_npages && error == 0; page += 3)
		error = poke(jw, now->pa_home, now, page);
	for (uint64_t page = 0; page < then.pa_npages && error == 0; page++)
		error = expect_word(jw, word_va(&then, page),
		    then.pa_shared ? now->pa_value[page] : then.pa_value[page], "extract");
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;

	if (pa->pa_where != pa->pa_home)
		return op_travel(jw);
	return run_in_child(jw, check_child, pa);
}

static int
op_renew(struct job_worker *jw)
{
	struct parcel *pa = jw->jw_private;
	int error;

	if (pa->pa_where != pa->pa_home)
		return op_travel(jw);
	error = map_parcel(jw, pa);
	if (error != 0)
		return call_failed(jw, "renew", pa->pa_slot, error);
	return look(jw, pa, any_page(jw, pa));
}

static const struct workload_op ops[] = {
	{ "touch", "store to or check a page", 60, op_touch },
	{ "resize", "mremap: grow or shrink, where it is or elsewhere", 10, op_resize },
	{ "move", "mremap to the slot's other half, replacing what is there", 6, op_move },
	{ "travel", "extract with REMOVE: to another process, or back home", 8, op_travel },
	{ "share", "extract to another process, store at both sides, unmap there", 4, op_share },
	{ "debug", "uvm_io: read or write some pages", 8, op_debug },
	{ "fork", "a child finds it, while the parent's debugger changes it", 2, op_fork },
	{ "renew", "unmap it, map another one, private or shared", 2, op_renew },
};

static int
verify(struct job_run *jr)
{
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		struct job_worker *jw = &jr->jr_workers[i];
		struct parcel *pa = jw->jw_private;

		for (uint64_t page = 0; page < pa->pa_npages && error == 0; page++)
			error = peek(jw, pa->pa_where, pa, page);
	}
	return error == ENOMEM ? 0 : error;
}

static void
teardown(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		free(jr->jr_workers[i].jw_private);
}

static uint64_t
footprint(const struct job *job)
{
	return job->job_threads * PAGES_MAX * PAGE_SIZE;
}

static const char *const required[] = {
	"uvmexp.extracts", "uvmexp.extract_moves", "uvmexp.uvm_ios", "uvmexp.forks", NULL
};

const struct workload wl_mremap_extract = {
	.wl_name = "mremap-extract",
	.wl_help = "memory that moves within a process, between processes, and under a debugger",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_WRITE_FRACTION | WL_OPERATIONS,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "mremap, uvm_map_extract (move, share, QREF), uvm_io; two maps locked at once",
	.wl_verifies = "each worker's words exactly, wherever they are, by access and by debugger",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
};
