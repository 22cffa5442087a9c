/*
 * bench fault: what a zero-fill fault costs, beside the host's kernel and
 * beside the least that it could cost.
 *
 * The three are measured in turn, several times over, on the same number of
 * pages, and each figure is the median: machines are noisy, ratios less so.
 *	fault	user_store() to each page of a fresh private mapping, one simulated CPU
 *	host	a store to each page of a fresh host mapping, no huge pages
 *	memset	zeroing as many pages of memory that is already there
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>

#include "bench_int.h"

#define	BASE		0x10000000UL
#define	ROUNDS		9
#define	BATCHES		5		/* of bench_best_ns(): the best counts */
#define	PAGES		8192UL
#define	QUICK_PAGES	1024UL

struct sample {
	double sa_fault[ROUNDS], sa_host[ROUNDS], sa_memset[ROUNDS];	/* pages a second */
};

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double
bench_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

double
bench_best_ns(void (*batch)(void *), void *arg, unsigned turns)
{
	double best = 0;

	for (int i = 0; i <= BATCHES; i++) {
		uint64_t start = host_now_ns();
		double ns;

		batch(arg);
		ns = (double)(host_now_ns() - start) / turns;
		if (i > 0 && (best == 0 || ns < best))
			best = ns;
		lwp_userret(64);
	}
	return best;
}

struct bench_row *
bench_add_ns(struct bench_table *bt, const char *name, double ns, const char *refname, double ref)
{
	struct bench_row *row = bench_add(bt, name, "ns", ns);

	row->br_lower_is_better = true;
	bench_ref(row, refname, ref);
	return row;
}

static double
rate(uint64_t pages, uint64_t since)
{
	return (double)pages * 1e9 / (double)(host_now_ns() - since + 1);
}

/* => attached; pages a second, or negative */
static double
time_faults(struct proc *p, uint64_t pages)
{
	vaddr_t va = BASE;
	uint64_t start;
	double speed;

	if (sys_mmap(p, &va, pages * PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0) != 0)
		return -1;
	start = host_now_ns();
	for (uint64_t i = 0; i < pages; i++)
		if (user_store(BASE + i * PAGE_SIZE, i) != 0)
			return -1;
	speed = rate(pages, start);
	sys_munmap(p, BASE, pages * PAGE_SIZE);
	lwp_userret(1);
	return speed;
}

static double
time_host(uint64_t pages)
{
	volatile uint8_t *mem = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t start;
	double speed;

	if (mem == MAP_FAILED)
		return -1;
	madvise((void *)(uintptr_t)mem, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	start = host_now_ns();
	for (uint64_t i = 0; i < pages; i++)
		mem[i * PAGE_SIZE] = 1;
	speed = rate(pages, start);
	munmap((void *)(uintptr_t)mem, pages * PAGE_SIZE);
	return speed;
}

static double
time_memset(uint8_t *mem, uint64_t pages)
{
	uint64_t start = host_now_ns();

	for (uint64_t i = 0; i < pages; i++) {
		memset(mem + i * PAGE_SIZE, 0, PAGE_SIZE);
		__asm__ volatile("" : : "r"(mem) : "memory");
	}
	return rate(pages, start);
}

static int
measure(uint64_t pages, struct sample *sa)
{
	uint8_t *mem = host_mem_map(pages * PAGE_SIZE);
	struct proc *p;
	int error;

	if (mem == NULL)
		return ENOMEM;
	memset(mem, 1, pages * PAGE_SIZE);
	error = proc_create("bench", &p);
	if (error == 0) {
		proc_attach(p);
		for (int i = 0; i < ROUNDS && error == 0; i++) {
			sa->sa_fault[i] = time_faults(p, pages);
			sa->sa_host[i] = time_host(pages);
			sa->sa_memset[i] = time_memset(mem, pages);
			if (sa->sa_fault[i] < 0 || sa->sa_host[i] < 0)
				error = ENOMEM;
		}
		proc_attach(NULL);
		proc_exit(p);
	}
	host_mem_unmap(mem, pages * PAGE_SIZE);
	return error;
}

int
bench_fault(const struct bench_options *bo, struct bench_table *bt)
{
	uint64_t pages = bo->bo_quick ? QUICK_PAGES : PAGES;
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = (pages * 2 + 4096) * PAGE_SIZE,
		.uc_fault_ahead = true,
	};
	struct bench_row *row;
	struct sample sa;
	int error = uvm_boot(&uc);

	if (error != 0)
		return error;
	error = measure(pages, &sa);
	uvm_shutdown();
	if (error != 0)
		return error;
	row = bench_add(bt, "zero-fill faults, 1 CPU", "faults/s", bench_median(sa.sa_fault, ROUNDS));
	bench_ref(row, "host kernel, anonymous, no huge pages", bench_median(sa.sa_host, ROUNDS));
	bench_ref(row, "memset of 4 KiB, memory in place", bench_median(sa.sa_memset, ROUNDS));
	return 0;
}
