/*
 * bench kernel-memory: an item of a pool and back, beside the host's malloc() and free().
 *
 * A pool's item by a thread, by a CPU's cache, and in interrupt.  Then the worst case of
 * PR 24039: each put empties a page above the high-water mark, which is given back by the
 * next get (defer, R43) or by the put itself, address and all (reserve, R41).  Last,
 * addresses: quanta of the kernel's map, which merge, and ranges that do not.
 */
#include <stdlib.h>

#include <harness/engine.h>
#include <sys/intr.h>
#include <sys/pool.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_km.h>

#define	ITEM		256		/* bytes */
#define	BIG		3000		/* one to a page */
#define	BATCHES		5		/* the best counts */

struct kmem_bench {
	struct pool	*kb_pool, *kb_big;
	pool_cache_t	 kb_cache;
	unsigned	 kb_turns;
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

/* => ns that one turn takes, the best batch's */
static double
time_turns(struct kmem_bench *kb, void (*turn)(struct kmem_bench *))
{
	double best = 0;

	for (int b = 0; b <= BATCHES; b++) {
		uint64_t start = host_now_ns();
		double ns;

		for (unsigned i = 0; i < kb->kb_turns; i++)
			turn(kb);
		ns = (double)(host_now_ns() - start) / kb->kb_turns;
		if (b > 0 && (best == 0 || ns < best))	/* the first one only warms up */
			best = ns;
		lwp_userret(64);
	}
	return best;
}

static void
many_in_interrupt(void *arg)
{
	struct kmem_bench *kb = arg;

	for (unsigned i = 0; i < kb->kb_turns; i++)
		pool_put(kb->kb_pool, pool_get(kb->kb_pool, PR_NOWAIT));
}

static double
time_interrupt(struct kmem_bench *kb)
{
	double best = 0;

	intr_establish(IRQ_DEVICE, IPL_VM, many_in_interrupt, kb);
	for (int b = 0; b <= BATCHES; b++) {
		uint64_t start = host_now_ns();
		double ns;

		intr_post(curcpu(), IRQ_DEVICE);
		intr_poll();
		ns = (double)(host_now_ns() - start) / kb->kb_turns;
		if (b > 0 && (best == 0 || ns < best))
			best = ns;
	}
	return best;
}

static void
add(struct bench_table *bt, const char *name, double ns, const char *refname, double ref)
{
	struct bench_row *row = bench_add(bt, name, "ns", ns);

	row->br_lower_is_better = true;
	bench_ref(row, refname, ref);
}

static void
bench_all(struct kmem_bench *kb, struct bench_table *bt)
{
	double host = time_turns(kb, turn_malloc), big = time_turns(kb, turn_malloc_big), defer;

	add(bt, "pool item, get and put", time_turns(kb, turn_pool), "malloc and free", host);
	add(bt, "the same from a CPU's cache", time_turns(kb, turn_cache), "malloc and free", host);
	add(bt, "the same in interrupt", time_interrupt(kb), "malloc and free", host);
	defer = time_turns(kb, turn_page);
	pool_setputmode(POOL_PUT_RESERVE);
	add(bt, "item that is a page, defer", defer, "malloc and free", big);
	add(bt, "item that is a page, reserve", time_turns(kb, turn_page), "defer", defer);
	add(bt, "kernel addresses, a quantum", time_turns(kb, turn_quantum), "a range of that size",
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
	bench_all(&kb, bt);
	pool_put(kb.kb_pool, hold);
	pool_cache_destroy(kb.kb_cache);
	pool_destroy(kb.kb_big);
	pool_destroy(kb.kb_pool);
	uvm_shutdown();
	return 0;
}
