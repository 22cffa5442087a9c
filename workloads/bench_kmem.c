/*
 * bench kernel-memory: an item of a pool and back, beside the host's malloc() and free().
 *
 * A pool's item by a thread and in interrupt, from the pool and from a CPU's cache, in turn with
 * the host's; CPU time.  Then the worst case of
 * PR 24039: each put empties a page above the high-water mark, which is given back by the
 * next get (defer, R43) or by the put itself, address and all (reserve, R41).  Last,
 * addresses: quanta of the kernel's map, which merge, and ranges that do not.
 */
#include <stdlib.h>

#include <sys/intr.h>
#include <sys/pool.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_km.h>

#include "bench_int.h"

#define	ITEM		256		/* bytes */
#define	BIG		3000		/* one to a page */

struct kmem_bench {
	struct pool	*kb_pool, *kb_big;
	pool_cache_t	 kb_cache;
	unsigned	 kb_turns;
	void		(*kb_turn)(struct kmem_bench *);
};

static void
turn_malloc(struct kmem_bench *kb)
{
	void *volatile item = malloc(ITEM);	/* volatile: the pair may not be left out */

	free(item);
}

static void
turn_malloc_big(struct kmem_bench *kb)
{
	void *volatile item = malloc(BIG);

	free(item);
}

static void
turn_pool(struct kmem_bench *kb)
{
	pool_put(kb->kb_pool, pool_get(kb->kb_pool, PR_WAITOK));
}

static void
turn_cache(struct kmem_bench *kb)
{
	pool_cache_put(kb->kb_cache, pool_cache_get(kb->kb_cache, PR_WAITOK));
}

static void
turn_page(struct kmem_bench *kb)
{
	pool_put(kb->kb_big, pool_get(kb->kb_big, PR_WAITOK));
}

static void
turn_quantum(struct kmem_bench *kb)
{
	vaddr_t va = uvm_km_alloc(kernel_map, kernel_map->quantum, 0, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);

	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
}

static void
turn_range(struct kmem_bench *kb)
{
	vaddr_t va = uvm_km_alloc(kernel_map, kernel_map->quantum, 0, UVM_KMF_VAONLY);

	uvm_km_free(kernel_map, va, kernel_map->quantum, UVM_KMF_VAONLY);
}

static void
many_turns(void *arg)
{
	struct kmem_bench *kb = arg;

	for (unsigned i = 0; i < kb->kb_turns; i++)
		kb->kb_turn(kb);
}

/* => ns that one turn takes */
static double
time_turns(struct kmem_bench *kb, void (*turn)(struct kmem_bench *))
{
	kb->kb_turn = turn;
	return bench_best_ns(many_turns, kb, kb->kb_turns);
}

static void
turn_pool_nowait(struct kmem_bench *kb)
{
	pool_put(kb->kb_pool, pool_get(kb->kb_pool, PR_NOWAIT));
}

static void
interrupt(void *arg)
{
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
}

static void
turn_cache_nowait(struct kmem_bench *kb)
{
	pool_cache_put(kb->kb_cache, pool_cache_get(kb->kb_cache, PR_NOWAIT));
}

/* => ns of the CPU for one of many turns, by a thread or by a handler */
static double
cost(struct kmem_bench *kb, void (*turn)(struct kmem_bench *), void (*how)(void *))
{
	uint64_t start = host_cpu_ns();

	kb->kb_turn = turn;
	how(kb);
	lwp_userret(64);
	return (double)(host_cpu_ns() - start) / kb->kb_turns;
}

static double way_malloc(void *kb) { return cost(kb, turn_malloc, many_turns); }
static double way_pool(void *kb) { return cost(kb, turn_pool, many_turns); }
static double way_cache(void *kb) { return cost(kb, turn_cache, many_turns); }
static double way_pool_intr(void *kb) { return cost(kb, turn_pool_nowait, interrupt); }
static double way_cache_intr(void *kb) { return cost(kb, turn_cache_nowait, interrupt); }

static int
bench_items(struct kmem_bench *kb, const struct bench_options *bo, struct bench_table *bt)
{
	static bench_way *const ways[] = { way_malloc, way_pool, way_cache, way_pool_intr, way_cache_intr };
	static const char *const names[] = {
		NULL, "pool item, get and put", "the same from a CPU's cache", "pool item, in interrupt",
		"the same from a CPU's cache, in interrupt",
	};
	const size_t turns = bench_turns(bo);
	double v[5][BENCH_ROUNDS];
	int error;

	intr_establish(IRQ_DEVICE, IPL_VM, many_turns, kb);
	error = bench_in_turn(ways, 5, kb, turns, false, v);
	for (int w = 1; w < 5 && error == 0; w++)
		bench_against_turns(bench_add_cpu_ns(bt, names[w], v[w], turns), "malloc and free", v[0],
		    turns, w < 3 ? BENCH_BETTER : BENCH_TIMES, w < 3 ? 1.0 : 3.0);
	return error;
}

static void
bench_pages_and_addresses(struct kmem_bench *kb, struct bench_table *bt)
{
	double big = time_turns(kb, turn_malloc_big), defer = time_turns(kb, turn_page);

	pool_setputmode(POOL_PUT_RESERVE);
	bench_add_ns(bt, "item that is a page, defer", defer, "malloc and free", big);
	bench_add_ns(bt, "item that is a page, reserve", time_turns(kb, turn_page), "defer", defer);
	bench_add_ns(bt, "kernel addresses, a quantum", time_turns(kb, turn_quantum), "a range of that size",
	    time_turns(kb, turn_range));
}

int
bench_kmem(const struct bench_options *bo, struct bench_table *bt)
{
	const struct uvm_config uc = { .uc_ncpu = 1, .uc_seed = 1, .uc_memory = 64UL << 20 };
	struct kmem_bench kb = { .kb_turns = bo->bo_quick ? 2000 : 20000 };
	void *hold;
	int error = uvm_boot(&uc);

	if (error != 0)
		return error;
	kb.kb_pool = pool_create(ITEM, 0, "benchpl", &pool_allocator_kmem_map, IPL_VM);
	kb.kb_big = pool_create(BIG, 0, "benchbig", &pool_allocator_kmem_map, IPL_VM);
	pool_sethiwat(kb.kb_big, 0);
	kb.kb_cache = pool_cache_create(ITEM, 0, "benchpc", &pool_allocator_kmem_map, IPL_VM, NULL,
	    NULL, NULL);
	hold = pool_get(kb.kb_pool, PR_WAITOK);		/* its page stays in use */
	error = bench_items(&kb, bo, bt);
	if (error == 0)
		bench_pages_and_addresses(&kb, bt);
	pool_put(kb.kb_pool, hold);
	pool_cache_destroy(kb.kb_cache);
	pool_destroy(kb.kb_big);
	pool_destroy(kb.kb_pool);
	uvm_shutdown();
	return error;
}
