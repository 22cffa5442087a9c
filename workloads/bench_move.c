/*
 * bench data-movement: what it costs to hand 1 to 256 pages of a process on (uvm-spec 17.3).
 *
 *	copy	to a kernel buffer, as write(2) to a socket or pipe does
 *	loan	to the kernel, mapped in a window, and back
 *	passing	the map entries, to another process, which unmaps them afterwards
 *
 * Whoever gets the pages looks at a word of each.  Twice: as it is, for what is sent and not
 * touched by the sender any more, as the paper measured it; and "stored to again", where the
 * sender stores to each page before each turn, which after a loan costs it a fault.  Shape, not microseconds, is
 * what can be compared: copying grows with the bytes, a loan with the pages at a lower rate,
 * passing entries with neither, but begins higher.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <harness/bench.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_km.h>

#define	BASE		0x10000000UL
#define	MAX_PAGES	256UL
#define	BATCHES		5		/* the best counts */

struct mover {
	struct proc	*mv_from, *mv_to;
	vaddr_t		 mv_window;
	uint8_t		*mv_buffer;
	uint64_t	 mv_seen;	/* so that nobody may leave the loads out */
};

static int
store_all(uint64_t pages, uint64_t value)
{
	int error = 0;

	for (uint64_t i = 0; i < pages && error == 0; i++)
		error = user_store(BASE + i * PAGE_SIZE, value + i);
	return error;
}

static int
move_copy(struct mover *mv, uint64_t pages)
{
	int error = copyin(BASE, mv->mv_buffer, pages * PAGE_SIZE);

	for (uint64_t i = 0; i < pages; i++)
		mv->mv_seen += mv->mv_buffer[i * PAGE_SIZE];
	return error;
}

static int
move_loan(struct mover *mv, uint64_t pages)
{
	struct vm_page *pgs[MAX_PAGES];
	uint64_t word;
	int error = uvm_loan(&mv->mv_from->p_vmspace->vm_map, BASE, pages * PAGE_SIZE, pgs,
	    UVM_LOAN_TOPAGE);

	if (error != 0)
		return error;
	for (uint64_t i = 0; i < pages; i++)
		pmap_kenter_pa(mv->mv_window + i * PAGE_SIZE, VM_PAGE_TO_PHYS(pgs[i]), VM_PROT_READ);
	pmap_update(pmap_kernel());
	for (uint64_t i = 0; i < pages && error == 0; i++) {
		error = kern_load(mv->mv_window + i * PAGE_SIZE, &word);
		mv->mv_seen += word;
	}
	pmap_kremove(mv->mv_window, pages * PAGE_SIZE);
	pmap_update(pmap_kernel());
	uvm_unloan(pgs, (int)pages, UVM_LOAN_TOPAGE);
	return error;
}

static int
move_entries(struct mover *mv, uint64_t pages)
{
	struct vm_map *to = &mv->mv_to->p_vmspace->vm_map;
	vaddr_t va = BASE;
	uint64_t word;
	int error = uvm_map_extract(&mv->mv_from->p_vmspace->vm_map, BASE, pages * PAGE_SIZE, to, &va, 0);

	if (error != 0)
		return error;
	proc_attach(mv->mv_to);
	for (uint64_t i = 0; i < pages && error == 0; i++) {
		error = user_load(va + i * PAGE_SIZE, &word);
		mv->mv_seen += word;
	}
	proc_attach(mv->mv_from);
	uvm_unmap(to, va, va + pages * PAGE_SIZE);
	return error;
}

/* => ns that one turn takes, the best batch's */
static int
time_moves(struct mover *mv, int (*move)(struct mover *, uint64_t), uint64_t pages, unsigned turns,
    bool again, double *best)
{
	int error = store_all(pages, 1);

	*best = 0;
	for (int b = 0; b <= BATCHES && error == 0; b++) {
		uint64_t start = host_now_ns();
		double ns;

		for (unsigned i = 0; i < turns && error == 0; i++) {
			if (again)
				error = store_all(pages, i);
			if (error == 0)
				error = move(mv, pages);
			lwp_userret(64);
		}
		ns = (double)(host_now_ns() - start) / turns;
		if (b > 0 && (*best == 0 || ns < *best))	/* the first one only warms up */
			*best = ns;
	}
	return error;
}

static int
bench_pages(struct mover *mv, uint64_t pages, unsigned turns, bool again, struct bench_table *bt)
{
	double loan, copy, entries;
	struct bench_row *row;
	char name[64];
	int error = time_moves(mv, move_loan, pages, turns, again, &loan);

	if (error == 0)
		error = time_moves(mv, move_copy, pages, turns, again, &copy);
	if (error == 0)
		error = time_moves(mv, move_entries, pages, turns, again, &entries);
	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "loan of %u page%s%s", (unsigned)pages, pages == 1 ? "" : "s",
	    again ? ", stored to again" : "");
	row = bench_add(bt, name, "ns", loan);
	row->br_lower_is_better = true;
	bench_ref(row, "copy", copy);
	bench_ref(row, "passing map entries", entries);
	return 0;
}

static int
bench_all(struct mover *mv, const struct bench_options *bo, struct bench_table *bt)
{
	static const uint64_t sizes[] = { 1, 4, 16, 64, 256 };
	vaddr_t va = BASE;
	int error = sys_mmap(mv->mv_from, &va, MAX_PAGES * PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && error == 0; i++) {
		unsigned turns = (unsigned)((bo->bo_quick ? 4096 : 40960) / (sizes[i] + 8));

		error = bench_pages(mv, sizes[i], turns, false, bt);
		if (error == 0)
			error = bench_pages(mv, sizes[i], turns, true, bt);
	}
	return error;
}

int
bench_move(const struct bench_options *bo, struct bench_table *bt)
{
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = 64UL << 20, .uc_fault_ahead = true,
	};
	struct mover mv = { .mv_buffer = malloc(MAX_PAGES * PAGE_SIZE) };
	int error = mv.mv_buffer == NULL ? ENOMEM : uvm_boot(&uc);

	if (error != 0)
		goto out;
	mv.mv_window = uvm_km_alloc(mb_map, MAX_PAGES * PAGE_SIZE, 0, UVM_KMF_VAONLY);
	error = proc_create("from", &mv.mv_from);
	if (error == 0)
		error = proc_create("to", &mv.mv_to);
	if (error == 0) {
		proc_attach(mv.mv_from);
		error = bench_all(&mv, bo, bt);
		proc_attach(NULL);
		proc_exit(mv.mv_from);
		proc_exit(mv.mv_to);
	}
	uvm_km_free(mb_map, mv.mv_window, MAX_PAGES * PAGE_SIZE, UVM_KMF_VAONLY);
	uvm_shutdown();
out:
	free(mv.mv_buffer);
	return error;
}
