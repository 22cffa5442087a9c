/*
 * PR 24039: giving kernel memory back, in interrupt or with locks held, while entries of
 * kernel maps merge.  Both cures, and the objection to the first.
 */
#include "tuvm.h"

#include <sys/intr.h>
#include <sys/pool.h>

#define	Q	UVM_KMF_VAONLY | UVM_KMF_NOWAIT | UVM_KMF_QUANTUM

static vaddr_t
quantum(void)
{
	vaddr_t va = uvm_km_alloc(kmem_map, PAGE_SIZE, 0, Q);

	CHECK(va != 0);
	return va;
}

static void
give_back(vaddr_t va, int n)
{
	uvm_km_free(kmem_map, va, ptoa(n), UVM_KMF_VAONLY | UVM_KMF_QUANTUM);
}

KTEST(R41_quanta_merge_and_their_entries_are_parked, "n quanta in a row are one entry and n - 1 parked ones")
{
	vaddr_t va[8];

	tu_boot(1, 2048);
	for (int i = 0; i < 8; i++) {
		va[i] = quantum();
		CHECK_EQ(va[i], vm_map_min(kmem_map) + ptoa(i));
		CHECK_EQ(kmem_map->nentries, 1);
		CHECK_EQ(kmem_map->nparked, i);
	}
	give_back(va[3], 1);
	CHECK_EQ(kmem_map->nentries, 2);
	CHECK_EQ(kmem_map->nparked, 2 + 3);
	CHECK_EQ(quantum(), va[3]);		/* joins both sides */
	CHECK_EQ(kmem_map->nentries, 1);
	CHECK_EQ(kmem_map->nparked, 7);
	give_back(va[0], 8);
	CHECK_EQ(kmem_map->nentries, 0);
	CHECK_EQ(kmem_map->nparked, 0);
	tu_shutdown();
}

static vaddr_t freed[8];
static int nfreed;

static void
free_in_interrupt(void *arg)
{
	CHECK(cpu_intr_p());
	for (int i = 1; i < 8; i += 2)
		give_back(freed[i], 1);
	nfreed = 4;
}

KTEST(R41_quanta_are_freed_in_interrupt_without_any_memory, "every split finds a parked entry, with no page to be had")
{
	tu_boot(1, 2048);
	for (int i = 0; i < 8; i++)
		freed[i] = quantum();
	tu_take(2048, UVM_PGA_USERESERVE);
	intr_establish(IRQ_DEVICE, IPL_VM, free_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	splx(splhigh());		/* what it has done is ours to read */
	CHECK_EQ(nfreed, 4);
	CHECK_EQ(kmem_map->nentries, 4);
	CHECK_EQ(kmem_map->nparked, 0);
	tu_release();
	for (int i = 0; i < 8; i += 2)
		give_back(freed[i], 1);
	tu_shutdown();
}

KTEST(R42_a_split_without_merge_brings_its_own_entries, "map [0..100], unmap [10..90]: what others have parked stays")
{
	vaddr_t va;
	vaddr_t q[4];

	tu_boot(1, 2048);
	for (int i = 0; i < 4; i++)
		q[i] = quantum();
	va = uvm_km_alloc(kmem_map, ptoa(100), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
	CHECK_EQ(kmem_map->nentries, 2);	/* only quanta merge */
	CHECK_EQ(kmem_map->nparked, 3);
	uvm_km_free(kmem_map, va + ptoa(10), ptoa(80), UVM_KMF_VAONLY);
	CHECK_EQ(kmem_map->nentries, 3);
	CHECK_EQ(kmem_map->nparked, 3);
	uvm_km_free(kmem_map, va, ptoa(10), UVM_KMF_VAONLY);
	uvm_km_free(kmem_map, va + ptoa(90), ptoa(10), UVM_KMF_VAONLY);
	give_back(q[0], 4);
	tu_shutdown();
}

static vaddr_t big;

static void
split_in_interrupt(void *arg)
{
	uvm_km_free(kmem_map, big + ptoa(10), ptoa(80), UVM_KMF_VAONLY);
}

KTEST_DEATH(R42_a_split_without_memory_does_not_take_parked_ones, "a non-quantum split that has no entry stops the machine by name",
    "PR 24039")
{
	tu_boot(1, 2048);
	(void)quantum();
	(void)quantum();
	big = uvm_km_alloc(kmem_map, ptoa(100), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
	/* no entry is left, and no page for more */
	tu_take(2048, UVM_PGA_USERESERVE);
	while (uvm_km_alloc(kmem_map, ptoa(3), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT) != 0)
		continue;
	intr_establish(IRQ_DEVICE, IPL_VM, split_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	splx(splhigh());		/* what it has done is ours to read */
}

KTEST_DEATH(R42_quanta_are_not_split_by_others, "an unmap that is not of quanta may not split quanta", "R42")
{
	vaddr_t va;

	tu_boot(1, 2048);
	va = quantum();
	(void)quantum();
	uvm_km_free(kmem_map, va, PAGE_SIZE, UVM_KMF_VAONLY);
}

KTEST_DEATH(R42_others_are_not_freed_as_quanta, "a range that was not allocated as quanta brings no parked entries, so it is not freed as such", "R42")
{
	vaddr_t va;

	tu_boot(1, 2048);
	va = uvm_km_alloc(kmem_map, ptoa(4), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
	give_back(va, 4);
}

/* --- pools whose pages have addresses in kmem_map --- */

static struct pool *pl;
static void *item[64];
static uint64_t nreclaim;		/* in the interrupt */

static uint64_t
reclaimed(void)
{
	struct pool_stat ps;

	pool_getstat(pl, &ps);
	return ps.ps_nreclaim;
}

static void
put_all(void *arg)
{
	uint64_t before = reclaimed();

	CHECK(cpu_intr_p());
	for (int i = 0; i < 64; i++)
		pool_put(pl, item[i]);
	nreclaim = reclaimed() - before;
}

static void
begin_pool(bool reserve)
{
	tu_boot(1, 2048);
	pool_setputmode(reserve ? POOL_PUT_RESERVE : POOL_PUT_DEFER);
	pl = pool_create(1000, 0, "pr24039", &pool_allocator_kmem_map, IPL_VM);
	pool_sethiwat(pl, 2);
	for (int i = 0; i < 64; i++) {
		uint64_t word;

		item[i] = pool_get(pl, PR_WAITOK);
		*(uint64_t *)item[i] = (uint64_t)i;
		CHECK_EQ(kern_load(uvm_km_pool_va(item[i]), &word), 0);
		CHECK_EQ(word, i);
	}
	intr_establish(IRQ_DEVICE, IPL_VM, put_all, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	splx(splhigh());		/* what it has done is ours to read */
}

KTEST(R43_pool_put_gives_nothing_back_and_the_reclaim_LWP_does, "defer: in the interrupt no page leaves; soon after all above the mark have")
{
	struct pool_stat ps;

	begin_pool(false);
	CHECK_EQ(nreclaim, 0);
	TU_WAIT((pool_getstat(pl, &ps), ps.ps_npages) <= 2);		/* I-POOL-7 */
	pool_destroy(pl);
	CHECK_EQ(kmem_map->nentries, 0);
	CHECK_EQ(kmem_map->nparked, 0);
	tu_shutdown();
}

KTEST(R41_pool_put_in_interrupt_gives_pages_back_by_parked_entries, "reserve: pages leave in the interrupt itself")
{
	begin_pool(true);
	CHECK(nreclaim >= 10);
	pool_destroy(pl);
	CHECK_EQ(kmem_map->nentries, 0);
	CHECK_EQ(kmem_map->nparked, 0);
	tu_shutdown();
}

KTEST_MAIN()
