/*
 * map-churn: the shape of address spaces.
 *
 * Each worker has an arena of its process' address space.  It maps, unmaps and
 * changes pages of it in random ranges, so that entries split, merge and clip
 * while the process' other threads do the same to theirs under the same map lock.
 * A model knows of each page whether it is mapped, with which protection and
 * inheritance, and what the worker stored there; an access that the model
 * forbids must be refused with the right errno.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_int.h"
#include "workloads.h"

#define	BASE		0x100000000UL
#define	RANGE_MAX	24		/* most pages that one operation takes */

struct churn_page {
	uint64_t cp_value;		/* of its word; 0: never stored to since mapped */
	uint8_t	 cp_mapped;
	uint8_t	 cp_prot;
	uint8_t	 cp_inherit;
};

/* !: only the worker */
struct churn {
	vaddr_t		   ch_base;	/* stable */
	uint64_t	   ch_npages;	/* stable */
	struct churn_page *ch_pages;	/* ! */
};

/* One draw of where and how much. */
struct range {
	uint64_t ra_first, ra_n;
	vaddr_t	 ra_va;
	vsize_t	 ra_len;
};

static struct churn *
churn_create(struct job_worker *jw)
{
	struct churn *ch = xcalloc(1, sizeof(*ch));
	uint64_t npages = jw->jw_run->jr_job->job_size / PAGE_SIZE / jw->jw_proc->jp_nthreads;

	ch->ch_npages = npages != 0 ? npages : 1;
	ch->ch_base = BASE + jw->jw_thread * ch->ch_npages * PAGE_SIZE;
	ch->ch_pages = xcalloc(ch->ch_npages, sizeof(*ch->ch_pages));
	return ch;
}

static int
setup(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		jr->jr_workers[i].jw_private = churn_create(&jr->jr_workers[i]);
	return 0;
}

static int
fresh(struct job_run *jr, struct job_proc *jp)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct churn *ch = jr->jr_workers[i].jw_private;

		if (jr->jr_workers[i].jw_proc == jp)
			memset(ch->ch_pages, 0, ch->ch_npages * sizeof(*ch->ch_pages));
	}
	return 0;
}

static vaddr_t
page_va(const struct churn *ch, uint64_t page)
{
	return ch->ch_base + page * PAGE_SIZE + (page * 8) % PAGE_SIZE;
}

static struct range
draw(struct job_worker *jw, const struct churn *ch)
{
	struct range ra;

	ra.ra_n = 1 + host_rng_below(&jw->jw_rng,
	    ch->ch_npages < RANGE_MAX ? ch->ch_npages : RANGE_MAX);
	ra.ra_first = host_rng_below(&jw->jw_rng, ch->ch_npages - ra.ra_n + 1);
	ra.ra_va = ch->ch_base + ra.ra_first * PAGE_SIZE;
	ra.ra_len = ra.ra_n * PAGE_SIZE;
	return ra;
}

/* The errno that the model demands for an access: 0, EFAULT, EACCES. */
static int
allowed(const struct churn_page *cp, bool write)
{
	if (!cp->cp_mapped)
		return EFAULT;
	return (cp->cp_prot & (write ? VM_PROT_WRITE : VM_PROT_READ)) != 0 ? 0 : EACCES;
}

static int
touch_page(struct job_worker *jw, struct churn *ch, uint64_t page, bool write)
{
	struct churn_page *cp = &ch->ch_pages[page];
	vaddr_t va = page_va(ch, page);
	uint64_t value = private_value(jw->jw_run->jr_seed + jw->jw_index, va, jw->jw_seq + 1);
	int want = allowed(cp, write);
	int error;

	if (want != 0)
		return expect_refusal(jw, va, write, want);
	if (!write)
		return expect_word(jw, va, cp->cp_value, cp->cp_value == 0 ? "zero-fill" : "private");
	error = user_store(va, value);
	if (error != 0)
		return call_failed(jw, "store", va, error);
	jw->jw_seq++;
	cp->cp_value = value;
	return 0;
}

static int
op_touch(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;

	return touch_page(jw, ch, host_rng_below(&jw->jw_rng, ch->ch_npages), draw_write(jw));
}

static int
op_mmap(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	vm_prot_t prot = draw_prot(jw);
	bool shared = host_rng_below(&jw->jw_rng, 4) == 0;
	int error;

	error = sys_mmap(curlwp->l_proc, &ra.ra_va, ra.ra_len, prot,
	    (shared ? UMAP_SHARED : UMAP_PRIVATE) | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	if (error != 0)
		return call_failed(jw, "mmap", ra.ra_va, error);
	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		ch->ch_pages[i] = (struct churn_page){ .cp_mapped = true, .cp_prot = (uint8_t)prot,
			.cp_inherit = shared ? MAP_INHERIT_SHARE : MAP_INHERIT_COPY };
	return 0;
}

static int
op_munmap(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	int error = sys_munmap(curlwp->l_proc, ra.ra_va, ra.ra_len);

	if (error != 0)
		return call_failed(jw, "munmap", ra.ra_va, error);
	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		ch->ch_pages[i] = (struct churn_page){ .cp_mapped = false };
	return 0;
}

/* Holes are skipped by NetBSD's mprotect and minherit: they change what is there. */
static int
op_mprotect(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	vm_prot_t prot = draw_prot(jw);
	int error = sys_mprotect(curlwp->l_proc, ra.ra_va, ra.ra_len, prot);

	if (error != 0)
		return call_failed(jw, "mprotect", ra.ra_va, error);
	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		ch->ch_pages[i].cp_prot = (uint8_t)prot;
	return 0;
}

static int
op_minherit(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	vm_inherit_t inherit = (vm_inherit_t)host_rng_below(&jw->jw_rng, 3);
	int error = sys_minherit(curlwp->l_proc, ra.ra_va, ra.ra_len, inherit);

	if (error != 0)
		return call_failed(jw, "minherit", ra.ra_va, error);
	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		ch->ch_pages[i].cp_inherit = (uint8_t)inherit;
	return 0;
}

/* DONTNEED keeps the data here: it only deactivates.  Holes make it fail, which is right. */
static int
op_madvise(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	static const int advice[] = {
		UMADV_NORMAL, UMADV_RANDOM, UMADV_SEQUENTIAL, UMADV_DONTNEED
	};
	struct range ra = draw(jw, ch);
	int how = advice[host_rng_below(&jw->jw_rng, 4)];
	int error = sys_madvise(curlwp->l_proc, ra.ra_va, ra.ra_len, how);

	if (error != 0 && how != UMADV_DONTNEED)
		return call_failed(jw, "madvise", ra.ra_va, error);
	return 0;
}

static int
op_mincore(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	unsigned char vec[RANGE_MAX];
	int want = 0, error;

	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		if (!ch->ch_pages[i].cp_mapped)
			want = ENOMEM;
	error = sys_mincore(curlwp->l_proc, ra.ra_va, ra.ra_len, vec);
	if (error != want)
		return call_failed(jw, want == 0 ? "mincore" : "mincore of a hole", ra.ra_va, error);
	return 0;
}

/*
 * Wiring works where everything is mapped and accessible, and nowhere else.  Half of
 * the ranges stay wired, so that all other operations meet wired pages.
 */
static int
op_mlock(struct job_worker *jw)
{
	struct churn *ch = jw->jw_private;
	struct range ra = draw(jw, ch);
	bool possible = true;
	int error;

	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n; i++)
		if (!ch->ch_pages[i].cp_mapped || ch->ch_pages[i].cp_prot == VM_PROT_NONE)
			possible = false;
	error = sys_mlock(curlwp->l_proc, ra.ra_va, ra.ra_len);
	if (error == EAGAIN)		/* the others have wired what may be wired */
		return 0;
	if ((error == 0) != possible)
		return call_failed(jw, possible ? "mlock" : "mlock of what cannot be wired", ra.ra_va,
		    error);
	for (uint64_t i = ra.ra_first; i < ra.ra_first + ra.ra_n && error == 0; i++)
		error = touch_page(jw, ch, i, false);
	if (!possible || error != 0 || host_rng_below(&jw->jw_rng, 2) == 0)
		return possible ? error : 0;
	error = sys_munlock(curlwp->l_proc, ra.ra_va, ra.ra_len);
	return error != 0 ? call_failed(jw, "munlock", ra.ra_va, error) : 0;
}

/* In the child; stores only to pages that it has for itself. */
static int
check_child(struct job_worker *jw, void *arg)
{
	struct churn *parent = arg;
	struct churn own = *parent;
	int error = 0;

	own.ch_pages = xcalloc(own.ch_npages, sizeof(*own.ch_pages));
	for (uint64_t i = 0; i < own.ch_npages; i++) {
		own.ch_pages[i] = parent->ch_pages[i];
		if (own.ch_pages[i].cp_inherit == MAP_INHERIT_NONE)
			own.ch_pages[i].cp_mapped = false;
	}
	for (uint64_t i = 0; i < own.ch_npages && error == 0; i++) {
		bool write = own.ch_pages[i].cp_inherit != MAP_INHERIT_SHARE &&
		    host_rng_below(&jw->jw_rng, 2) == 0;

		error = touch_page(jw, &own, i, false);
		if (error == 0 && write)
			error = touch_page(jw, &own, i, true);
		if (error == 0 && write)
			error = touch_page(jw, &own, i, false);
	}
	free(own.ch_pages);
	return error;
}

static int
op_fork(struct job_worker *jw)
{
	return run_in_child(jw, check_child, jw->jw_private);
}

static const struct workload_op ops[] = {
	{ "touch", "store to or check a page; refused where the model says so", 57, op_touch },
	{ "mmap", "map a range, replacing what is there", 12, op_mmap },
	{ "munmap", "unmap a range", 10, op_munmap },
	{ "mprotect", "change the protection of a mapped range", 10, op_mprotect },
	{ "minherit", "change the inheritance of a mapped range", 4, op_minherit },
	{ "madvise", "random, sequential, normal or do-not-need advice", 2, op_madvise },
	{ "mincore", "pages that are mapped say so, holes give ENOMEM", 1, op_mincore },
	{ "mlock", "wire a range, look at it, unwire it or leave it wired", 3, op_mlock },
	{ "fork", "a child finds each page as its inheritance says", 1, op_fork },
};

static int
verify(struct job_run *jr)
{
	int error = 0;

	for (unsigned i = 0; i < jr->jr_nworkers && error == 0; i++) {
		struct churn *ch = jr->jr_workers[i].jw_private;

		proc_attach(jr->jr_workers[i].jw_proc->jp_proc);
		for (uint64_t page = 0; page < ch->ch_npages && error == 0; page++)
			error = touch_page(&jr->jr_self, ch, page, false);
		proc_attach(NULL);
	}
	return error;
}

static void
teardown(struct job_run *jr)
{
	for (unsigned i = 0; i < jr->jr_nworkers; i++) {
		struct churn *ch = jr->jr_workers[i].jw_private;

		if (ch != NULL)
			free(ch->ch_pages);
		free(ch);
	}
}

static const char *const required[] = {
	"uvmexp.mapclips", "uvmexp.mapmerges", "uvmexp.forks", "uvmexp.flt_wire",
	"faults.zero_fill", NULL
};

const struct workload wl_map_churn = {
	.wl_name = "map-churn",
	.wl_help = "mmap, munmap, mprotect, minherit in random ranges from several threads",
	.wl_common = WL_COMMON_ALL,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "map entries: clip, merge, findspace; amap split and ppref; inheritance; wiring",
	.wl_verifies = "each page's presence, rights and content against a model; refusals by errno",
	.wl_required = required,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
	.wl_proc = fresh,
};
