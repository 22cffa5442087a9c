/*
 * bench data-movement: what it costs to hand 1 to 256 pages of a process on (uvm-spec 17.3).
 *
 *	memcpy	of the frames, to a buffer, which no kernel could do: beside it, all else is the MMU's
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
#include <string.h>

#include <host/host.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_km.h>

#include "bench_int.h"

#define	BASE		0x10000000UL
#define	MAX_PAGES	256UL

struct mover {
	struct proc	*mv_from, *mv_to;
	vaddr_t		 mv_window;
	uint8_t		*mv_buffer;
	paddr_t		 mv_frames[MAX_PAGES];
	uint64_t	 mv_pages;
	bool		 mv_again;	/* the sender stores to them before each move */
	unsigned	 mv_moves;	/* in a measurement */
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

/* What a copy is without an MMU: from the frames where they are. */
static int
move_memcpy(struct mover *mv, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++) {
		memcpy(mv->mv_buffer + i * PAGE_SIZE, ram_host(mv->mv_frames[i]), PAGE_SIZE);
		__asm__ volatile("" : : : "memory");
		mv->mv_seen += mv->mv_buffer[i * PAGE_SIZE];
	}
	return 0;
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
	pmap_kenter_pages(mv->mv_window, pgs, (int)pages, VM_PROT_READ);
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

/* => ns of the CPU that one move takes */
static double
cost(struct mover *mv, int (*move)(struct mover *, uint64_t))
{
	uint64_t start = host_cpu_ns();
	int error = 0;

	for (unsigned i = 0; i < mv->mv_moves && error == 0; i++) {
		if (mv->mv_again)
			error = store_all(mv->mv_pages, i);
		if (error == 0)
			error = move(mv, mv->mv_pages);
		lwp_userret(64);
	}
	return error != 0 ? -1 : (double)(host_cpu_ns() - start) / mv->mv_moves;
}

static double way_loan(void *mv) { return cost(mv, move_loan); }
static double way_copy(void *mv) { return cost(mv, move_copy); }
static double way_entries(void *mv) { return cost(mv, move_entries); }

/* => its frames may be others after each loan that was stored to */
static double
way_memcpy(void *arg)
{
	struct mover *mv = arg;

	for (uint64_t i = 0; i < mv->mv_pages; i++)
		if (!pmap_extract(mv->mv_from->p_vmspace->vm_map.pmap, BASE + i * PAGE_SIZE,
		    &mv->mv_frames[i]))
			return -1;
	return cost(mv, move_memcpy);
}

/* From 4 pages on a loan is to be ahead; stored to again it pays for the fault, and nothing is asked. */
static int
bench_pages(struct mover *mv, size_t turns, struct bench_table *bt)
{
	static bench_way *const ways[] = { way_loan, way_copy, way_entries, way_memcpy };
	const double target = mv->mv_pages >= 4 && !mv->mv_again ? 1.0 : 0;
	double v[4][BENCH_ROUNDS];
	struct bench_row *row;
	char name[64];
	int error = store_all(mv->mv_pages, 1);

	if (error == 0)
		error = bench_in_turn(ways, 4, mv, turns, false, v);
	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "loan of %u page%s%s", (unsigned)mv->mv_pages,
	    mv->mv_pages == 1 ? "" : "s", mv->mv_again ? ", stored to again" : "");
	row = bench_add_cpu_ns(bt, name, v[0], turns);
	bench_against_turns(row, "copy", v[1], turns, BENCH_BETTER, target);
	bench_against_turns(row, "memcpy of the frames", v[3], turns, BENCH_BETTER, target);
	bench_against_turns(row, "passing map entries", v[2], turns, BENCH_BETTER, 0);
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
		mv->mv_pages = sizes[i];
		mv->mv_moves = (unsigned)((bo->bo_quick ? 4096 : 40960) / (sizes[i] + 8));
		for (int again = 0; again <= 1 && error == 0; again++) {
			mv->mv_again = again != 0;
			error = bench_pages(mv, bench_turns(bo), bt);
		}
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
