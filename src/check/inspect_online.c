/*
 * Sampling while everything runs.
 *
 * Some objects, drawn by the LWP's own random numbers, are held against what their own lock
 * keeps true; the same functions do it that the walks at rest use.  What needs several objects
 * to stand still (who refers to whom, sums over all) is left to those walks.
 *
 *	each time	some queued pages; an address space: its map, and some addresses in it with
 *			their anon or object; a pool; the classes of pages; a window
 *	each SELDOM	a whole amap, a whole object, a map of any size, the kernel's map,
 *			the bits of swap: they are long, and their locks are in demand
 *
 * An LWP of its own does it, not the clock interrupt: most of these locks are adaptive, and
 * their order is kept best by who may wait.  To wait costs it nothing.
 */
#include <limits.h>
#include <string.h>

#include <harness/inspect.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_proc.h>

#include "about.h"
#include "inspect_int.h"

#define	SELDOM		16
#define	FEW_ENTRIES	64	/* of a map that is looked at each time */
#define	FEW_PAGES	64	/* of an object, or a pool, likewise */
#define	FEW_FREE	512	/* pages on the free list */
#define	SOME_FREE	8192	/* likewise, when it is time for long ones */
#define	FEW_SLOTS	128	/* of an amap */

/* One round; all fields: the LWP that samples. */
struct round {
	unsigned	 rd_depth;	/* how many of a kind */
	bool		 rd_all;	/* the long ones too */
	uint64_t	 rd_skip;	/* processes until the one that is drawn */
};

static uint64_t
draw(uint64_t n)
{
	return host_rng_below(&curlwp->l_rng, n);
}

/*
 * => pages next in turn on both queues.  Not frames at random: of one on no queue, which somebody
 *    may just have got, pageq keeps nothing as it is.
 */
static void
sample_pages(unsigned n)
{
	struct pglist *const queues[] = { &uvm.page_active, &uvm.page_inactive };
	struct vm_page *pg;

	for (int q = 0; q < 2; q++) {
		unsigned left = n;

		uvm_lock_pageq();
		uvm_pgintent_realise();
		TAILQ_FOREACH(pg, queues[q], pageq) {
			if (left-- == 0)
				break;
			(void)inspect_page(pg);
		}
		uvm_unlock_pageq();
	}
}

/* => I-STAT-1: no class of pages is larger than what the others leave */
static void
sample_classes(void)
{
	uint64_t n[5], sum = 0;

	uvm_lock_pageq();
	mutex_spin_enter(&uvm_fpageqlock);
	/* Kernel pages come and go meanwhile, but only between CPUs' own free pages, which are in no class. */
	memcpy(n, (uint64_t[]){ uvm.free, uvm.active, uvm.inactive, uvm.wired, uvm_gauge(UVMG_kernpages) }, sizeof(n));
	mutex_spin_exit(&uvm_fpageqlock);
	uvm_unlock_pageq();
	CHECKS_RAN(CHK_I_STAT_1);
	for (int i = 0; i < 5; i++)
		sum = n[i] > uvm.npages ? UINT64_MAX : sum == UINT64_MAX ? sum : sum + n[i];
	if (sum > uvm.npages)
		violation(VIOL_INVARIANT, CHECK_ID(I_STAT_1), "of %lu pages %ld are free, %ld active, %ld inactive, "
		    "%ld wired, %ld the kernel's", (unsigned long)uvm.npages, (long)n[0], (long)n[1], (long)n[2],
		    (long)n[3], (long)n[4]);
}

/* => the free list is as long as it is said to be; only where that is soon counted */
static void
sample_free_list(const struct round *rd)
{
	const uint64_t most = rd->rd_all ? SOME_FREE : FEW_FREE;
	const struct vm_page *pg;
	uint64_t n = 0, free;

	mutex_spin_enter(&uvm_fpageqlock);
	free = uvm.free;
	if (free <= most) {
		for (unsigned i = 0; i < uvm.nbuckets && n <= most; i++)
			TAILQ_FOREACH(pg, &uvm.page_free[i], pageq)
				if (++n > most)
					break;
		CHECKS_RAN(CHK_I_PG_14);
	}
	mutex_spin_exit(&uvm_fpageqlock);
	if (free <= most && n != free)
		violation(VIOL_INVARIANT, CHECK_ID(I_PG_14), "uvmexp.free says %lu, %s%lu are on the list",
		    (unsigned long)free, n > most ? "more than " : "", (unsigned long)(n > most ? n - 1 : n));
}

/* => map(R): the entry's amap and object, if they are short or it is time for long ones */
static void
sample_layers(const struct round *rd, const struct vm_map *map, const struct vm_map_entry *e)
{
	struct vm_amap *amap = e->aref.ar_amap;
	struct uvm_object *uobj = UVM_ET_ISOBJ(e) ? e->object.uvm_obj : NULL;

	if (amap != NULL && (rd->rd_all || amap_nslot(amap) <= FEW_SLOTS)) {
		amap_lock(amap);
		(void)amap_check(amap);
		amap_unlock(amap);
		CHECKS_RAN(CHK_I_AMAP_1, CHK_I_AMAP_2, CHK_I_AMAP_3, CHK_I_AMAP_5);
	}
	if (uobj == NULL)
		return;
	mutex_enter(&uobj->vmobjlock);
	if (rd->rd_all || uobj->uo_npages <= FEW_PAGES)
		(void)inspect_object(uobj);
	if (uobj->uo_refs < 1) {
		about_object(uobj);
		about_map(map);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_8), "object %u has %d references, and entry %u of "
		    "map %u maps it", uobj->uo_id, uobj->uo_refs, e->id, map->id);
	}
	mutex_exit(&uobj->vmobjlock);
	CHECKS_RAN(CHK_I_MAP_8);
}

/* => map(R): some pages of an entry that is drawn */
static void
sample_entry(const struct round *rd, struct vm_map *map)
{
	struct vm_map_entry *e = map->header.next;

	if (map->nentries == 0)
		return;
	for (uint64_t i = draw((uint64_t)map->nentries); i > 0 && e->next != &map->header; i--)
		e = e->next;
	if (UVM_ET_ISSUBMAP(e))
		return;
	for (unsigned i = 0; i < rd->rd_depth; i++)
		(void)inspect_address(map, e, e->start + ptoa(draw(atop(e->end - e->start))));
	sample_layers(rd, map, e);
}

static uint64_t
mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
}

/* => map(R): everything that entries say; a few of them, so that it costs little */
static uint64_t
sum_of_map(const struct vm_map *map)
{
	uint64_t sum = mix(map->timestamp, (uint64_t)map->nentries);
	int n = 0;

	for (const struct vm_map_entry *e = map->header.next; e != &map->header && n < FEW_ENTRIES;
	    e = e->next, n++) {
		sum = mix(mix(sum, e->start), e->end);
		sum = mix(mix(sum, (uintptr_t)e->object.uvm_obj), (uint64_t)e->offset);
		sum = mix(mix(sum, (uintptr_t)e->aref.ar_amap), e->aref.ar_pageoff);
		sum = mix(sum, (uint64_t)e->etype << 32 | (uint64_t)e->protection << 16 |
		    (uint64_t)e->max_protection << 8 | (uint64_t)e->inheritance);
		sum = mix(sum, (uint64_t)(unsigned)e->wired_count << 32 | (uint64_t)(unsigned)e->advice);
	}
	return sum;
}

static void
sample_map(const struct round *rd, struct vm_map *map)
{
	uint64_t before;

	vm_map_lock_read(map);
	before = sum_of_map(map);
	if (rd->rd_all || map->nentries <= FEW_ENTRIES) {
		(void)uvm_map_check(map);
		CHECKS_RAN(CHK_I_MAP_1, CHK_I_MAP_2, CHK_I_MAP_3, CHK_I_MAP_4, CHK_I_MAP_6);
	}
	if (map != kernel_map)
		sample_entry(rd, map);
	CHECKS_RAN(CHK_I_MAP_9);
	if (sum_of_map(map) != before) {
		about_map(map);
		violation(VIOL_INVARIANT, CHECK_ID(I_MAP_9), "map %u, version %u: an entry changed while it was "
		    "locked for reading", map->id, map->timestamp);
	}
	(void)inspect_map_sleepers(map);
	vm_map_unlock_read(map);
}

static void
sample_proc(struct proc *p, void *arg)
{
	struct round *rd = arg;
	struct vmspace *vm;

	if (rd->rd_skip-- != 0)
		return;
	vm = proc_vmspace_hold(p);
	if (vm == NULL)
		return;
	sample_map(rd, &vm->vm_map);
	uvmspace_free(vm);
}

static void
sample_window(void)
{
	mutex_enter(&ubc_object.uobj.vmobjlock);
	(void)inspect_window(&ubc_object.umap[draw((uint64_t)ubc_object.nwindows)]);
	mutex_exit(&ubc_object.uobj.vmobjlock);
}

void
inspect_sample(unsigned depth, uint64_t nth)
{
	struct round rd = { .rd_depth = depth, .rd_all = nth % SELDOM == 0 };
	uint64_t procs = proc_count();

	sample_pages(depth);
	sample_classes();
	sample_free_list(&rd);
	(void)inspect_waiters();
	(void)inspect_sleepers();
	if (procs != 0) {
		rd.rd_skip = draw(procs);
		proc_foreach(sample_proc, &rd);
	}
	sample_window();
	(void)pool_check_some((unsigned)draw(UINT16_MAX), rd.rd_all ? UINT_MAX : FEW_PAGES);
	CHECKS_RAN(CHK_I_POOL_1, CHK_I_POOL_4, CHK_I_POOL_5);
	if (rd.rd_all) {
		sample_map(&rd, kernel_map);
		(void)inspect_swap_counts();
	}
}
