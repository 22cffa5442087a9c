/*
 * swap-churn: private memory that does not fit in RAM, so that pages go to swap and come
 * back all the time, while the devices themselves may come and go.
 *
 * Each process maps job_size bytes; `memory` of the machine should hold only a part of
 * all.  Its threads have words of their own on every page.  Steps of one word age pages;
 * sweeps over neighbouring pages push out everything else; a child forked from a process
 * that is half in swap must find every word of its parent; and memory that is unmapped
 * while it is in swap must read as zero when it is mapped anew.
 *
 * Beside that each process has a place that is nobody's: any thread stores, unmaps, frees
 * there while the others fault, so that memory goes while it is being read in (T-1, T-37).
 * A word of it is zero, or the one value that is ever stored there, or not mapped.
 *
 * With swapoff-interval a device is taken away and given back again and again, beside the
 * load, and priority-interval shuffles priorities: by the machine's time, for operations are
 * slow just when a device is full, and a swapoff at work would keep a worker from its own.  To be
 * refused is no error (ENOMEM: what is there does not fit elsewhere; EBUSY), but then the
 * device must be in use as before.  When the load is over, EBUSY is one: what has an owner is found.
 */
#include <errno.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x300000000UL
#define	RAID_BASE	0x380000000UL
#define	SWEEP_PAGES	64
#define	CHILD_PAGES	32
#define	RENEW_PAGES	16
#define	QUIET_TRIES	10	/* a second at least, of a hundred looks each */
#define	HOUR		3600000000000ULL	/* ns */
#define	GB		(UINT64_C(1) << 30)

struct swap_options {
	uint64_t so_swapoff;		/* ns from one swapoff to the next; 0: none */
	uint64_t so_priority;		/* likewise: from one change of priority to the next */
	uint64_t so_raid;		/* bytes of the place that is nobody's */
};

static const struct option_row options[] = {
	{ "swapoff-interval", OPT_DURATION, offsetof(struct swap_options, so_swapoff), 0, HOUR, "0",
	    NULL, NULL, "time from a device that is back to the next swapoff; 0 = none" },
	{ "priority-interval", OPT_DURATION, offsetof(struct swap_options, so_priority), 0, HOUR, "0",
	    NULL, NULL, "time between two changes of priority; 0 = none" },
	{ "raid-size", OPT_SIZE, offsetof(struct swap_options, so_raid), PAGE_SIZE, GB, "4M", NULL, NULL,
	    "memory of each process that any thread stores to, unmaps, frees" },
};

/* --- devices: operator's work, beside the load --- */

/* => the device is listed: then it must be in use */
static void
check_enabled(struct job_worker *jw, int dev, int error)
{
	struct swapent se[SWAP_MAXDEV];
	int n = uvm_swap_stats(se, SWAP_MAXDEV);

	for (int i = 0; i < n; i++)
		if (se[i].se_dev == dev && !se[i].se_enabled)
			content_bad(jw, "I-SWP-6", 0,
			    "swapoff of device %d failed with errno %d, and it is not in use", dev, error);
}

/* => one that has something, if there is one; false: there is no device at this moment */
static bool
any_device(struct swapent *it)
{
	struct swapent se[SWAP_MAXDEV];
	int n = uvm_swap_stats(se, SWAP_MAXDEV), used = 0;

	for (int i = 0; i < n; i++)
		if (se[i].se_inuse != 0)
			se[used++] = se[i];
	if (n != 0)
		*it = se[host_rng_below(&curlwp->l_rng, (uint64_t)(used != 0 ? used : n))];
	return n != 0;
}

/* => takes a device away and gives one of the same size and priority back; the errno that swapoff gave */
static int
renew(struct job_worker *jw)
{
	struct swapon_args sa = { 0 };
	struct swapent it;
	int error, off;

	if (!any_device(&it))
		return 0;
	off = error = uvm_swap_off(it.se_dev);
	if (error == ENOMEM || error == EBUSY || (error == EIO && engine_io_fails())) {
		check_enabled(jw, it.se_dev, error);
	} else if (error == 0) {
		sa.sa_bytes = (uint64_t)it.se_nblks * PAGE_SIZE;
		sa.sa_priority = it.se_priority;
		error = uvm_swap_on(&sa, NULL);
		if (error != 0)
			content_bad(jw, "call-refused", 0, "swapon: errno %d", error);
	} else if (error != ENXIO) {		/* another job was quicker */
		content_bad(jw, "call-refused", 0, "swapoff: errno %d", error);
	}
	return off;
}

static void
renew_device(void *arg)
{
	(void)renew(arg);
}

/* => nobody stores any more: a slot in use has an owner whom swapoff finds */
static void
renew_at_rest(struct job_worker *jw)
{
	int error = EBUSY;

	for (int i = 0; i < QUIET_TRIES && error == EBUSY; i++) {	/* the daemon may be late */
		uvm_quiesce();
		error = renew(jw);
	}
	if (error == EBUSY)
		content_bad(jw, "call-refused", 0, "swapoff: EBUSY, again and again, and nobody is at work: it does not find "
		    "whose the slots are");
}

static void
change_priority(void *arg)
{
	struct swapent it;
	int error;

	if (!any_device(&it))
		return;
	error = uvm_swap_ctl(it.se_dev, 1 + (int)host_rng_below(&curlwp->l_rng, 4));
	if (error != 0 && error != ENOENT)
		content_bad(arg, "call-refused", 0, "swapctl: errno %d", error);
}

static uint64_t
raid_size(const struct job_run *jr)
{
	return ((const struct swap_options *)jr->jr_job->job_options)->so_raid;
}

static int
setup(struct job_run *jr)
{
	const struct swap_options *so = jr->jr_job->job_options;

	engine_every(so->so_swapoff, "swapoff", renew_device, &jr->jr_self);
	engine_every(so->so_priority, "swapctl", change_priority, &jr->jr_self);
	return 0;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	int error = private_map(jp, BASE, jr->jr_job->job_size);

	return error != 0 ? error : map_private(jp->jp_proc, RAID_BASE, raid_size(jr));
}

static uint64_t
npages_of(const struct job_worker *jw)
{
	return jw->jw_run->jr_job->job_size / PAGE_SIZE;
}

static int
touch(struct job_worker *jw, uint64_t page)
{
	return private_touch(jw, own_word(jw, BASE, page));
}

static int
op_touch(struct job_worker *jw)
{
	return touch(jw, host_rng_below(&jw->jw_rng, npages_of(jw)));
}

static int
op_sweep(struct job_worker *jw)
{
	uint64_t npages = npages_of(jw);
	uint64_t page = host_rng_below(&jw->jw_rng, npages);
	int error = 0;

	for (int i = 0; i < SWEEP_PAGES && error == 0 && !engine_stopping(); i++) {
		error = touch(jw, (page + (uint64_t)i) % npages);
		worker_userret(jw);
	}
	return error;
}

/* => unmaps and maps anew, or frees, up to 64 pages under the other threads' feet */
static int
raid_pages(struct job_worker *jw, vaddr_t va, bool unmap)
{
	struct proc *p = jw->jw_proc->jp_proc;
	vsize_t len = (1 + host_rng_below(&jw->jw_rng, 64)) * PAGE_SIZE;
	const vaddr_t end = RAID_BASE + raid_size(jw->jw_run);
	int error;

	if (len > end - va)
		len = end - va;
	if (!unmap) {
		/* EFAULT: somebody has unmapped it meanwhile */
		error = sys_madvise(p, va, len, UMADV_FREE);
		return error == 0 || error == EFAULT || error == ENOMEM ? 0 :
		    call_failed(jw, "madvise", va, error);
	}
	error = sys_munmap(p, va, len);
	if (error == 0)
		error = map_private(p, va, len);
	return error == 0 ? 0 : call_failed(jw, "renewing", va, error);
}

/* One word: stored to or checked. */
static int
raid_word(struct job_worker *jw, vaddr_t va)
{
	bool store = host_rng_below(&jw->jw_rng, 2) == 0;
	uint64_t want = private_value(0, va, 1), got;
	int error = store ? user_store(va, want) : user_load(va, &got);

	if (error != 0 && error != EFAULT)
		return call_failed(jw, store ? "store" : "load", va, error);
	if (store || error != 0)
		return 0;
	if (got != 0 && got != want)
		return content_bad(jw, "raid", va, "holds %#lx, must hold 0 or %#lx", (unsigned long)got,
		    (unsigned long)want);
	worker_verified(jw, sizeof(got));
	return 0;
}

static int
op_raid(struct job_worker *jw)
{
	const uint64_t npages = raid_size(jw->jw_run) / PAGE_SIZE;
	uint64_t page = host_rng_below(&jw->jw_rng, npages);
	uint64_t what = host_rng_below(&jw->jw_rng, 8);
	int error = 0;

	if (what < 2)
		return raid_pages(jw, RAID_BASE + page * PAGE_SIZE, what == 0);
	for (int i = 0; i < 16 && error == 0 && page + (uint64_t)i < npages; i++) {
		error = raid_word(jw, RAID_BASE + (page + (uint64_t)i) * PAGE_SIZE);
		worker_userret(jw);
	}
	return error;
}

static int
op_renew(struct job_worker *jw)
{
	uint64_t npages = npages_of(jw);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, npages < RENEW_PAGES ? npages :
	    RENEW_PAGES);
	vaddr_t va = BASE + host_rng_below(&jw->jw_rng, npages - n + 1) * PAGE_SIZE;
	struct proc *p = jw->jw_proc->jp_proc;
	int error;

	error = sys_munmap(p, va, n * PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "munmap", va, error);
	error = map_private(p, va, n * PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "mmap", va, error);
	shadow_zero(&jw->jw_proc->jp_shadow, va, n * PAGE_SIZE);
	return private_check(jw, &jw->jw_proc->jp_shadow, va);
}

/* In the child: this thread's words as the parent left them; what it stores stays with it. */
static int
in_child(struct job_worker *jw, void *arg)
{
	uint64_t npages = npages_of(jw);
	uint64_t n = npages < CHILD_PAGES ? npages : CHILD_PAGES;
	uint64_t first = host_rng_below(&jw->jw_rng, npages);
	int error = 0;

	for (uint64_t i = 0; i < n && error == 0; i++) {
		vaddr_t va = own_word(jw, BASE, (first + i) % npages);
		uint64_t other = ~*shadow_word(&jw->jw_proc->jp_shadow, va);

		error = private_check(jw, &jw->jw_proc->jp_shadow, va);
		if (error != 0 || (i & 1) == 0)
			continue;
		error = user_store(va, other);
		if (error == 0)
			error = expect_word(jw, va, other, "fork");
		else
			error = call_failed(jw, "store", va, error);
	}
	return error;
}

static int
verify(struct job_run *jr)
{
	const struct swap_options *so = jr->jr_job->job_options;
	int error = private_verify(jr);

	if (error == 0 && so->so_swapoff != 0)
		renew_at_rest(&jr->jr_self);
	return error;
}

/* --- the mix --- */

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, in_child, NULL);
}

static const struct workload_op ops[] = {
	{ "touch", "store to or check a word of a random page", 900, op_touch },
	{ "sweep", "store to or check a word of each of 64 neighbouring pages", 20, op_sweep },
	{ "raid", "store to, check, unmap or free memory that other threads use", 75, op_raid },
	{ "renew", "unmap a few pages, map them anew (processes of one thread)", 4,
	    op_renew, true },
	{ "fork", "a child checks pages and stores to its copies", 1, op_fork },
};

static const char *const required[] = {
	"faults.pagein", "uvmexp.pgswapin", "uvmexp.pgswapout", NULL
};

const struct workload wl_swap_churn = {
	.wl_name = "swap-churn",
	.wl_help = "private memory larger than RAM: pages go to swap and come back",
	.wl_common = WL_COMMON_ALL,
	.wl_options = options,
	.wl_noptions = sizeof(options) / sizeof(options[0]),
	.wl_options_size = sizeof(struct swap_options),
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "page-out in clusters, page-in by faults, fork of swapped memory, swapoff under load",
	.wl_verifies = "each word against a model of what its thread stored; fresh pages are zero; at the end a device goes",
	.wl_required = required,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_proc = fresh,
};
