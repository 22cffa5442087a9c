/*
 * kmem-pool: kernel memory, allocated by threads and given back by whoever happens to be
 * the last: a thread, a network interface's interrupt, or a soft interrupt.
 *
 * Items come from a pool whose pages have addresses in kmem_map, so giving a page back is
 * a matter of map entries (PR 24039).  A worker fills items with words that name the item
 * and checks them by the kernel's pointer and through the page tables; or it sends a
 * batch of them, and the interrupt that says so puts back one half and leaves the other
 * to a soft interrupt.  Meanwhile it takes and gives kernel addresses: quanta, which
 * merge; wired memory; and ranges out of whose middle it unmaps (R42).
 *
 * A second pool has a hard limit, for which workers wait, and a low-water mark above the
 * high one, so whatever it has beyond goes back at once, and that never.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <machine/nic.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <sys/sleepq.h>
#include <uvm/uvm_km.h>

#include "engine_int.h"
#include "workloads.h"

#define	ITEM_WORDS	62		/* 496 bytes: 7 to a page */
#define	HELD_MAX	48		/* items that a worker keeps */
#define	BATCH_MAX	8		/* items in a packet */
#define	QUANTA_MAX	6		/* quanta that a worker keeps */
#define	HIWAT		4		/* idle pages that the pool keeps */
#define	INFLIGHT_MAX	32		/* batches that may be on their way */
#define	SPLIT_PAGES	100
#define	CROWD_NS	50000		/* that one has what the others sleep for */
#define	FEW_WORDS	240		/* 1920 bytes: 2 to a page */
#define	FEW_MAX		5		/* the few at once, of all workers: three pages */
#define	FEW_EACH	3		/* of one worker: the first is waited for, the others are not */
#define	FEW_LOWAT	1

/* What was sent.  The worker's, then the interface's, then the soft interrupt's. */
struct batch {
	struct nic_packet  ba_packet;	/* must be first */
	struct kmem_run	  *ba_run;
	uint64_t	  *ba_items[BATCH_MAX];
	unsigned	   ba_n;
	struct batch	  *ba_next;	/* of a stack */
};

/*
 *	:  stable after set-up	@  atomic
 */
struct kmem_run {
	struct pool	*kr_pool;	/* : */
	struct pool	*kr_few;	/* : with a hard limit */
	unsigned	 kr_nfew;	/* @ of them in workers' hands */
	struct softint	*kr_soft;	/* : */
	struct batch	*kr_sent;	/* @ stack: for the soft interrupt */
	struct batch	*kr_done;	/* @ stack: to be freed by a worker */
	unsigned	 kr_inflight;	/* @ batches between send and kr_done */
};

/* !: only its worker */
struct kmem_worker {
	uint64_t	*kw_items[HELD_MAX];	/* ! */
	unsigned	 kw_n;			/* ! */
	vaddr_t		 kw_quanta[QUANTA_MAX];	/* ! */
	int		 kw_type[QUANTA_MAX];	/* ! UVM_KMF_ */
	unsigned	 kw_nquanta;		/* ! */
};

/* --- items --- */

/* Word 0 is the item's number, the others follow from it. */
static void
fill(uint64_t *item, uint64_t number)
{
	item[0] = number;
	for (uint64_t i = 1; i < ITEM_WORDS; i++)
		item[i] = private_value(number, i, 1);
}

/* => any context; the index of a word that is not the item's, or 0 */
static unsigned
wrong_word(const uint64_t *item)
{
	for (unsigned i = 1; i < ITEM_WORDS; i++)
		if (item[i] != private_value(item[0], i, 1))
			return i;
	return 0;
}

/* => any context up to IPL_VM */
static void
put_checked(struct kmem_run *kr, uint64_t *item, const char *who)
{
	unsigned wrong = wrong_word(item);

	if (wrong != 0)
		violation(VIOL_CONTENT, "pool-item", "%s: word %u of item %#lx holds %#lx", who, wrong,
		    (unsigned long)item[0], (unsigned long)item[wrong]);
	pool_put(kr->kr_pool, item);
}

/* --- in interrupt --- */

static void
push(struct batch **stack, struct batch *ba)
{
	ba->ba_next = __atomic_load_n(stack, __ATOMIC_RELAXED);
	/* release: pairs with the acquire in take_all() */
	while (!__atomic_compare_exchange_n(stack, &ba->ba_next, ba, true, __ATOMIC_RELEASE,
	    __ATOMIC_RELAXED))
		continue;
}

static struct batch *
take_all(struct batch **stack)
{
	return __atomic_exchange_n(stack, NULL, __ATOMIC_ACQUIRE);
}

/* => hard interrupt, IPL_VM: the packet is sent */
static void
sent(struct nic_packet *np)
{
	struct batch *ba = (struct batch *)np;
	struct kmem_run *kr = ba->ba_run;
	uint64_t *fresh, word;

	int error;

	/* R33: a bad address is refused at once, whatever the thread below has locked; the last is given out last */
	error = kern_load(vm_map_max(kmem_map) - PAGE_SIZE, &word);
	if (error != 0 && error != EFAULT)
		violation(VIOL_INVARIANT, "R33", "a bad address in interrupt is answered with %s",
		    strerror(error));
	while (ba->ba_n > BATCH_MAX / 2)
		put_checked(kr, ba->ba_items[--ba->ba_n], "interrupt");
	fresh = pool_get(kr->kr_pool, PR_NOWAIT);
	if (fresh != NULL) {
		fill(fresh, UINT64_MAX);
		put_checked(kr, fresh, "interrupt");
	}
	push(&kr->kr_sent, ba);
	softint_schedule(kr->kr_soft);
}

/* => soft interrupt */
static void
soft(void *arg)
{
	struct kmem_run *kr = arg;
	struct batch *next;

	for (struct batch *ba = take_all(&kr->kr_sent); ba != NULL; ba = next) {
		next = ba->ba_next;
		while (ba->ba_n > 0)
			put_checked(kr, ba->ba_items[--ba->ba_n], "soft interrupt");
		push(&kr->kr_done, ba);
		__atomic_fetch_sub(&kr->kr_inflight, 1, __ATOMIC_RELEASE);
	}
}

static void
free_done(struct kmem_run *kr)
{
	struct batch *next;

	for (struct batch *ba = take_all(&kr->kr_done); ba != NULL; ba = next) {
		next = ba->ba_next;
		free(ba);
	}
}

/* --- operations --- */

static int
op_get(struct job_worker *jw)
{
	struct kmem_run *kr = jw->jw_run->jr_private;
	struct kmem_worker *kw = jw->jw_private;
	uint64_t *item;

	if (kw->kw_n == HELD_MAX)
		return 0;
	item = pool_get(kr->kr_pool, host_rng_below(&jw->jw_rng, 2) == 0 ? PR_NOWAIT : PR_WAITOK);
	if (item == NULL)
		return 0;
	fill(item, (uint64_t)jw->jw_index << 40 | ++jw->jw_seq);
	kw->kw_items[kw->kw_n++] = item;
	return 0;
}

static uint64_t *
draw_item(struct job_worker *jw, struct kmem_worker *kw)
{
	unsigned i = (unsigned)host_rng_below(&jw->jw_rng, kw->kw_n);
	uint64_t *item = kw->kw_items[i];

	kw->kw_items[i] = kw->kw_items[--kw->kw_n];
	return item;
}

static int
op_put(struct job_worker *jw)
{
	struct kmem_run *kr = jw->jw_run->jr_private;
	struct kmem_worker *kw = jw->jw_private;
	uint64_t *item, word;
	unsigned i;
	vaddr_t va;
	int error;

	if (kw->kw_n == 0)
		return 0;
	item = draw_item(jw, kw);
	i = (unsigned)host_rng_below(&jw->jw_rng, ITEM_WORDS);
	va = uvm_km_pool_va(item) + i * 8;
	error = kern_load(va, &word);
	if (error != 0)
		return call_failed(jw, "load of kernel memory", va, error);
	if (word != item[i])
		return content_bad(jw, "pool-address", va, "holds %#lx, the item has %#lx",
		    (unsigned long)word, (unsigned long)item[i]);
	worker_verified(jw, ITEM_WORDS * 8);
	put_checked(kr, item, "thread");
	return 0;
}

static int
op_send(struct job_worker *jw)
{
	struct kmem_run *kr = jw->jw_run->jr_private;
	struct kmem_worker *kw = jw->jw_private;
	struct batch *ba;

	free_done(kr);
	if (kw->kw_n < BATCH_MAX ||
	    __atomic_load_n(&kr->kr_inflight, __ATOMIC_RELAXED) >= INFLIGHT_MAX)
		return 0;
	ba = xcalloc(1, sizeof(*ba));
	ba->ba_run = kr;
	ba->ba_packet.np_done = sent;
	for (; ba->ba_n < BATCH_MAX; ba->ba_n++) {
		uint64_t *item = draw_item(jw, kw);

		ba->ba_items[ba->ba_n] = item;
		ba->ba_packet.np_segs[ba->ba_n].ns_pa = (paddr_t)((uint8_t *)item - ram_base);
		ba->ba_packet.np_segs[ba->ba_n].ns_len = ITEM_WORDS * 8;
	}
	ba->ba_packet.np_nsegs = BATCH_MAX;
	__atomic_fetch_add(&kr->kr_inflight, 1, __ATOMIC_RELAXED);
	while (nic_transmit(&ba->ba_packet) != 0)
		kpause("ring", 100000);
	return 0;
}

/* A page of wired memory: a word stored through the page tables is there. */
static int
check_wired(struct job_worker *jw, vaddr_t va)
{
	uint64_t value = private_value(jw->jw_run->jr_seed, va, ++jw->jw_seq), got;
	int error = kern_store(va, value);

	if (error == 0)
		error = kern_load(va, &got);
	if (error != 0)
		return call_failed(jw, "access to wired kernel memory", va, error);
	if (got != value)
		return content_bad(jw, "wired-kernel", va, "holds %#lx, must hold %#lx",
		    (unsigned long)got, (unsigned long)value);
	worker_verified(jw, sizeof(got));
	return 0;
}

/* A page that was asked for as zeroes: whoever had its frame before has stored where check_wired() does. */
static int
check_zero(struct job_worker *jw, vaddr_t va)
{
	uint64_t got = 0;
	int error = kern_load(va, &got);

	if (error != 0)
		return call_failed(jw, "load of wired kernel memory", va, error);
	if (got != 0)
		return content_bad(jw, "zero-fill", va, "holds %#lx, must be zero", (unsigned long)got);
	worker_verified(jw, sizeof(got));
	return 0;
}

static int
op_quantum(struct job_worker *jw)
{
	struct kmem_worker *kw = jw->jw_private;
	unsigned i = (unsigned)host_rng_below(&jw->jw_rng, QUANTA_MAX);
	int type = host_rng_below(&jw->jw_rng, 2) == 0 ? UVM_KMF_WIRED : UVM_KMF_VAONLY;
	vaddr_t va;

	if (kw->kw_quanta[i] != 0) {
		uvm_km_free(kernel_map, kw->kw_quanta[i], kernel_map->quantum,
		    kw->kw_type[i] | UVM_KMF_QUANTUM);
		kw->kw_quanta[i] = 0;
		return 0;
	}
	va = uvm_km_alloc(kernel_map, kernel_map->quantum, 0,
	    type | UVM_KMF_QUANTUM | UVM_KMF_CANFAIL);
	if (va == 0)
		return 0;
	kw->kw_quanta[i] = va;
	kw->kw_type[i] = type;
	return type == UVM_KMF_WIRED ? check_wired(jw, va + 8) : 0;
}

static int
op_wired(struct job_worker *jw)
{
	vsize_t n = 1 + host_rng_below(&jw->jw_rng, 4);
	vaddr_t va = uvm_km_alloc(kernel_map, n * PAGE_SIZE, 0,
	    UVM_KMF_WIRED | UVM_KMF_CANFAIL | UVM_KMF_ZERO);
	int error = 0;

	if (va == 0)
		return 0;
	for (vsize_t i = 0; i < n && error == 0; i++) {
		error = check_zero(jw, va + i * PAGE_SIZE);
		if (error == 0)
			error = check_wired(jw, va + i * PAGE_SIZE);
	}
	uvm_km_free(kernel_map, va, n * PAGE_SIZE, UVM_KMF_WIRED);
	return error;
}

static int
op_split(struct job_worker *jw)
{
	vaddr_t va = uvm_km_alloc(kernel_map, ptoa(SPLIT_PAGES), 0, UVM_KMF_VAONLY);

	if (va == 0)
		return 0;
	uvm_km_free(kernel_map, va + ptoa(10), ptoa(SPLIT_PAGES - 20), UVM_KMF_VAONLY);
	uvm_km_free(kernel_map, va, ptoa(10), UVM_KMF_VAONLY);
	uvm_km_free(kernel_map, va + ptoa(SPLIT_PAGES - 10), ptoa(10), UVM_KMF_VAONLY);
	return 0;
}

/* More than half of a map's addresses: whoever wants as much sleeps until they come back (T-9). */
static int
op_crowd(struct job_worker *jw)
{
	vsize_t size = round_page((vm_map_max(phys_map) - vm_map_min(phys_map)) / 2 + 1);
	vaddr_t va = uvm_km_alloc(phys_map, size, 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA | UVM_KMF_CANFAIL);

	if (va == 0)
		return 0;
	kpause("crowd", CROWD_NS);
	uvm_km_free(phys_map, va, size, UVM_KMF_VAONLY);
	return 0;
}

/*
 * => one of the few, which keeps its worker's name; or NULL
 * The count is lowered before the put, and raised after the get: it is never above what is out.
 */
static uint64_t *
get_few(struct job_worker *jw, int flags)
{
	struct kmem_run *kr = jw->jw_run->jr_private;
	uint64_t *item = pool_get(kr->kr_few, flags);
	unsigned n;

	if (item == NULL)
		return NULL;
	n = __atomic_add_fetch(&kr->kr_nfew, 1, __ATOMIC_RELAXED);
	if (n > FEW_MAX)
		violation(VIOL_INVARIANT, "I-POOL-4", "%u items are out of a pool that is limited to %d", n, FEW_MAX);
	item[0] = item[FEW_WORDS - 1] = (uint64_t)jw->jw_index << 40 | ++jw->jw_seq;
	return item;
}

static int
put_few(struct job_worker *jw, uint64_t *item)
{
	struct kmem_run *kr = jw->jw_run->jr_private;

	if (item[0] >> 40 != (uint64_t)jw->jw_index || item[FEW_WORDS - 1] != item[0])
		return content_bad(jw, "pool-item", 0, "%#lx and %#lx are not worker %u's", (unsigned long)item[0],
		    (unsigned long)item[FEW_WORDS - 1], jw->jw_index);
	worker_verified(jw, 16);
	__atomic_fetch_sub(&kr->kr_nfew, 1, __ATOMIC_RELAXED);
	pool_put(kr->kr_few, item);
	return 0;
}

/* Who waits for more with some in his hands may wait for himself: so only for the first. */
static int
op_limited(struct job_worker *jw)
{
	uint64_t *item[FEW_EACH];
	unsigned n = 1;
	int error = 0;

	item[0] = get_few(jw, PR_WAITOK);
	while (n < FEW_EACH && (item[n] = get_few(jw, PR_WAITOK | PR_LIMITFAIL)) != NULL)
		n++;
	/* long enough for others to find the limit, now and then */
	if (host_rng_below(&jw->jw_rng, 8) == 0)
		kpause("limited", 50000);
	else
		yield();
	while (n > 0 && error == 0)
		error = put_few(jw, item[--n]);
	return error;
}

static const struct workload_op ops[] = {
	{ "get", "an item, filled with words of its own", 30, op_get },
	{ "put", "check an item by pointer and by address, give it back", 22, op_put },
	{ "send", "let interrupts give items back", 4, op_send },
	{ "quantum", "take or give back one quantum of kernel_map, wired or not", 8, op_quantum },
	{ "wired", "wired pages: store, load, free", 3, op_wired },
	{ "split", "a range, unmapped from the middle (R42)", 2, op_split },
	{ "crowd", "sleep for most of a map's addresses, and have them for a moment (T-9)", 1, op_crowd },
	{ "limited", "wait for an item of a pool at its hard limit", 2, op_limited },
};

/* --- the job --- */

static int
setup(struct job_run *jr)
{
	struct kmem_run *kr = xcalloc(1, sizeof(*kr));

	jr->jr_private = kr;
	kr->kr_pool = pool_create(ITEM_WORDS * 8, 16, "kmempool", &pool_allocator_kmem_map, IPL_VM);
	pool_sethiwat(kr->kr_pool, HIWAT);
	kr->kr_few = pool_create(FEW_WORDS * 8, 16, "kmemfew", &pool_allocator_kmem_map, IPL_NONE);
	pool_sethardlimit(kr->kr_few, FEW_MAX);
	pool_setlowat(kr->kr_few, FEW_LOWAT);
	pool_sethiwat(kr->kr_few, 0);
	kr->kr_soft = softint_establish(IPL_SOFTNET, soft, kr);
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		jr->jr_workers[i].jw_private = xcalloc(1, sizeof(struct kmem_worker));
	return 0;
}

/* What the workers still hold is all there, and right. */
static int
verify(struct job_run *jr)
{
	for (unsigned w = 0; w < jr->jr_nworkers; w++) {
		struct kmem_worker *kw = jr->jr_workers[w].jw_private;

		for (unsigned i = 0; i < kw->kw_n; i++) {
			unsigned wrong = wrong_word(kw->kw_items[i]);

			if (wrong != 0)
				return content_bad(&jr->jr_self, "pool-item", 0,
				    "word %u of item %#lx holds %#lx", wrong,
				    (unsigned long)kw->kw_items[i][0],
				    (unsigned long)kw->kw_items[i][wrong]);
			worker_verified(&jr->jr_self, ITEM_WORDS * 8);
		}
	}
	return 0;
}

static void
worker_fini(struct kmem_run *kr, struct kmem_worker *kw)
{
	while (kw->kw_n > 0)
		pool_put(kr->kr_pool, kw->kw_items[--kw->kw_n]);
	for (unsigned i = 0; i < QUANTA_MAX; i++)
		if (kw->kw_quanta[i] != 0)
			uvm_km_free(kernel_map, kw->kw_quanta[i], kernel_map->quantum,
			    kw->kw_type[i] | UVM_KMF_QUANTUM);
	free(kw);
}

static void
teardown(struct job_run *jr)
{
	struct kmem_run *kr = jr->jr_private;

	if (kr == NULL)
		return;
	/* acquire: pairs with the release in soft() */
	while (__atomic_load_n(&kr->kr_inflight, __ATOMIC_ACQUIRE) != 0)
		kpause("inflight", 1000000);
	free_done(kr);
	for (unsigned i = 0; i < jr->jr_nworkers; i++)
		if (jr->jr_workers[i].jw_private != NULL)
			worker_fini(kr, jr->jr_workers[i].jw_private);
	softint_disestablish(kr->kr_soft);
	pool_destroy(kr->kr_pool);
	pool_destroy(kr->kr_few);
	free(kr);
}

/* Items and quanta that the workers hold, and what is on its way. */
static uint64_t
footprint(const struct job *job)
{
	return (job->job_threads * (HELD_MAX / 7 + 1 + QUANTA_MAX * 4) + INFLIGHT_MAX * 2) * PAGE_SIZE;
}

static const char *const required[] = {
	"interrupts.pool_puts", "interrupts.net", "interrupts.soft", "uvmexp.km_allocs",
	"uvmexp.km_splits", "uvmexp.flt_intrsafe", NULL
};

const struct workload wl_kmem_pool = {
	.wl_name = "kmem-pool",
	.wl_help = "kernel memory and addresses; pool items put back in interrupt (PR 24039)",
	.wl_common = WL_THREADS | WL_WEIGHT | WL_OPERATIONS,
	.wl_ops = ops,
	.wl_nops = sizeof(ops) / sizeof(ops[0]),
	.wl_exercises = "pool(9) against hard and soft interrupts, kmem_map, parked map entries, uvm_km_alloc, bad addresses in interrupt (R33)",
	.wl_verifies = "items and wired pages name themselves, by pointer and through the page tables",
	.wl_required = required,
	.wl_footprint = footprint,
	.wl_setup = setup,
	.wl_verify = verify,
	.wl_teardown = teardown,
};
