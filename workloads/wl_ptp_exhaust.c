/*
 * ptp-exhaust: a malicious process that turns memory into page tables.
 *
 * Each worker maps one page in every two megabytes, so that each needs a page table page
 * of its own.  Three quarters are one and the same shared page.  When the page daemon takes
 * it, all its tables go; but wired (it is one page for the limit, at however many addresses)
 * it stays, and they do.  The others are private pages of which each has a value; when
 * such a page goes to swap its table goes as well.  A worker that wires has none of them: it
 * would wait for such a page with the kernel's reserve untouched, and tables never run out.
 *
 * In the end no table is to be had.  Then faults unlock everything and wait (R29), and
 * when there is nothing to wait for the process is killed, and begins anew.  That is no
 * error; that any word that it, or an honest process beside it, can read is wrong would
 * be one.  With ptp-steal the tables of others are taken instead.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x400000000UL
#define	LEAF		(PAGE_SIZE / 8 * PAGE_SIZE)	/* what one table maps */
#define	MAX_SLOTS	(1UL << 16)			/* of a worker: 128 GB of addresses */

struct exhaust_options {
	uint64_t eo_tables;		/* a worker begins anew after so many; 0: as many as it gets */
	bool	 eo_wire;		/* wire the shared page, at each address */
};

static const struct option_row options[] = {
	{ "tables", OPT_INT, offsetof(struct exhaust_options, eo_tables), 0, MAX_SLOTS, "0", NULL,
	    NULL, "tables that a thread fills before it begins anew; 0 = until it is killed" },
	{ "wire", OPT_BOOL, offsetof(struct exhaust_options, eo_wire), 0, 0, "off", NULL, NULL,
	    "wire the shared page at each address: its tables can be neither freed nor stolen" },
};

/* !: only the worker, or who stands in for it while it is parked */
struct exhaust {
	vaddr_t	 ex_base;		/* stable */
	uint64_t ex_n;			/* ! slots mapped */
	uint64_t ex_first;		/* ! jw_seq of the first private value since then */
};

struct exhaust_run {
	struct coherent	   er_page;
	struct uvm_object *er_aobj;	/* stable */
};

static unsigned
writer_of(const struct job_worker *jw)
{
	return jw->jw_index % STAMP_WRITERS;
}

static vaddr_t
slot_va(const struct exhaust *ex, uint64_t slot)
{
	return ex->ex_base + slot * LEAF + slot % (LEAF / PAGE_SIZE) * PAGE_SIZE;
}

static bool
slot_shared(const struct job_worker *jw, uint64_t slot)
{
	const struct exhaust_options *eo = jw->jw_run->jr_job->job_options;

	return eo->eo_wire || slot % 4 != 3;
}

/* What the worker stores to a private slot: once, when it is mapped. */
static uint64_t
slot_value(const struct job_worker *jw, const struct exhaust *ex, uint64_t slot)
{
	return private_value(jw->jw_run->jr_seed + jw->jw_index, slot_va(ex, slot), ex->ex_first);
}

static int
setup(struct job_run *jr)
{
	struct exhaust_run *er = xcalloc(1, sizeof(*er));

	jr->jr_private = er;
	if (coherent_make(jr, &er->er_page, 1, false) != 0)
		return ENOMEM;
	er->er_aobj = uao_create(PAGE_SIZE, 0);
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct job_worker *jw = &jr->jr_workers[i];
		struct exhaust *ex = xcalloc(1, sizeof(*ex));

		ex->ex_base = BASE + jw->jw_thread * MAX_SLOTS * LEAF;
		jw->jw_private = ex;
	}
	return 0;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct exhaust *ex = jr->jr_workers[i].jw_private;

		if (jr->jr_workers[i].jw_proc == jp)
			ex->ex_n = 0;
	}
	return 0;
}

/* => in the worker's process, or a child's: the slot holds what it must */
static int
check_slot(struct job_worker *jw, const struct exhaust *ex, uint64_t slot)
{
	struct exhaust_run *er = jw->jw_run->jr_private;

	if (slot_shared(jw, slot))
		return coherent_check(jw, &er->er_page, slot_va(ex, slot), 0,
		    (unsigned)host_rng_below(&jw->jw_rng, er->er_page.co_nwriters));
	return expect_word(jw, slot_va(ex, slot), slot_value(jw, ex, slot), "private");
}

static int
begin_anew(struct job_worker *jw, struct exhaust *ex)
{
	int error = sys_munmap(jw->jw_proc->jp_proc, ex->ex_base, MAX_SLOTS * LEAF);

	if (error != 0)
		return call_failed(jw, "munmap", ex->ex_base, error);
	ex->ex_n = 0;
	return 0;
}

static int
op_spread(struct job_worker *jw)
{
	struct exhaust *ex = jw->jw_private;
	const struct exhaust_options *eo = jw->jw_run->jr_job->job_options;
	uint64_t most = eo->eo_tables != 0 ? eo->eo_tables : MAX_SLOTS;
	struct exhaust_run *er = jw->jw_run->jr_private;
	struct proc *p = jw->jw_proc->jp_proc;
	vaddr_t va = slot_va(ex, ex->ex_n);
	int error;

	if (ex->ex_n == most)
		return begin_anew(jw, ex);
	if (ex->ex_n == 0)
		ex->ex_first = ++jw->jw_seq;
	if (slot_shared(jw, ex->ex_n))
		error = sys_shmat(p, er->er_aobj, &va, VM_PROT_READ | VM_PROT_WRITE);
	else
		error = map_private(p, va, PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "mmap", va, error);
	if (eo->eo_wire)
		error = sys_mlock(p, va, PAGE_SIZE);
	if (error == EAGAIN)		/* others have wired what may be wired */
		error = 0;
	if (error == 0 && slot_shared(jw, ex->ex_n))
		error = coherent_store(jw, &er->er_page, va, 0, writer_of(jw));
	else if (error == 0)
		error = user_store(va, slot_value(jw, ex, ex->ex_n));
	if (error == 0)
		ex->ex_n++;
	else if (error == ENOMEM)
		(void)sys_munmap(p, va, PAGE_SIZE);	/* as it was, should it live on */
	else
		return call_failed(jw, "mlock or store", va, error);
	return error;
}

static int
op_check(struct job_worker *jw)
{
	struct exhaust *ex = jw->jw_private;

	return ex->ex_n == 0 ? 0 : check_slot(jw, ex, host_rng_below(&jw->jw_rng, ex->ex_n));
}

/* In the child: some slots, in tables that it has to get for itself. */
static int
check_child(struct job_worker *jw, void *arg)
{
	int error = 0;

	for (int i = 0; i < 8 && error == 0; i++)
		error = op_check(jw);
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, check_child, NULL);
}

static const struct workload_op ops[] = {
	{ "spread", "map and touch one more page, two megabytes on", 120, op_spread },
	{ "check", "touch a page that was mapped before: it holds what was stored", 60, op_check },
	{ "fork", "a child touches some of them, in tables of its own", 1, op_fork },
};

static int
verify(struct job_run *jr)
{
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		struct job_worker *jw = &jr->jr_workers[i];
		struct exhaust *ex = jw->jw_private;

		proc_attach(jw->jw_proc->jp_proc);
		for (uint64_t slot = 0; slot < ex->ex_n && error == 0; slot++)
			error = check_slot(jw, ex, slot);
		proc_attach(NULL);
	}
	/* Nobody is killed any more, and there may be as little memory as before. */
	return error == ENOMEM ? 0 : error;
}

static void
teardown(struct job_run *jr)
{
	struct exhaust_run *er = jr->jr_private;

	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		free(jr->jr_workers[i].jw_private);
	if (er == NULL)
		return;
	if (er->er_aobj != NULL)
		uao_detach(er->er_aobj);
	coherent_fini(&er->er_page);
	free(er);
}

static const char *const required[] = { "uvmexp.ptp_alloc", "faults.total", NULL };

const struct workload wl_ptp_exhaust = {
	.wl_name = "ptp-exhaust",
	.wl_help = "a malicious process: one page in each page table, until there are none",
	.wl_common = WL_THREADS | WL_PROCESSES | WL_WEIGHT | WL_OPERATIONS,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct exhaust_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "failed pmap_enter, the reserves, waiting and being killed; ptp-steal",
	.wl_verifies = "each private word exactly, a page mapped thousands of times by stamps",
	.wl_required = required,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
