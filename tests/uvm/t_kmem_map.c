/*
 * kmem_map, the interrupt-safe one: pools whose pages have addresses there, used by threads
 * and interrupts at once, until addresses or frames run out.
 */
#include "tuvm.h"

#include <sys/intr.h>
#include <sys/pool.h>
#include <sys/sleepq.h>

#define	ITEM	1000			/* bytes: 3 or 4 to a page */
#define	MANY	64

static struct pool *pl;

static void
begin(int ncpus)
{
	tu_boot(ncpus, 2048);
	pl = pool_create(ITEM, 0, "kmemtest", &pool_allocator_kmem_map, IPL_VM);
	pool_sethiwat(pl, 1);
}

static void
end(void)
{
	CHECK_EQ(pool_check(), 0);
	pool_destroy(pl);
	CHECK_EQ(kmem_map->nentries, 0);
	CHECK_EQ(kmem_map->nparked, 0);
	tu_shutdown();
}

static void
interrupt(struct cpu_info *ci, void (*fn)(void *))
{
	intr_establish(IRQ_DEVICE, IPL_VM, fn, NULL);
	intr_post(ci, IRQ_DEVICE);
}

static void
interrupt_here(void (*fn)(void *))
{
	interrupt(curcpu(), fn);
	intr_poll();
	splx(splhigh());		/* what it has done is ours to read */
}

/* --- contexts --- */

static void *got[MANY];

static void
get_in_interrupt(void *arg)
{
	CHECK(cpu_intr_p());
	for (int i = 0; i < MANY; i++) {
		got[i] = pool_get(pl, PR_NOWAIT);
		CHECK(got[i] != NULL);
		*(uint64_t *)got[i] = (uint64_t)i;
	}
}

KTEST(pool_grows_in_interrupt, "PR_NOWAIT at IPL_VM: a frame, an entry, an address, a mapping; and no sleep (I-KM-3)")
{
	uint64_t word;

	begin(1);
	interrupt_here(get_in_interrupt);
	for (int i = 0; i < MANY; i++) {
		CHECK_EQ(kern_load(uvm_km_pool_va(got[i]), &word), 0);
		CHECK_EQ(word, i);
		CHECK_EQ(kern_store(uvm_km_pool_va(got[i]), word + 100), 0);
		CHECK_EQ(*(uint64_t *)got[i], i + 100);
	}
	for (int i = 0; i < MANY; i++)
		pool_put(pl, got[i]);
	end();
}

static void
sleepy(void *arg)
{
	(void)pool_get(pl, PR_WAITOK);
}

KTEST_DEATH(I_KM_3_waiting_in_interrupt_panics, "PR_WAITOK in interrupt is caught though nothing is short",
    "interrupt context")
{
	begin(1);
	interrupt_here(sleepy);
}

static void
wired_in_interrupt(void *arg)
{
	vaddr_t va = uvm_km_alloc(kmem_map, ptoa(3), 0, UVM_KMF_WIRED | UVM_KMF_NOWAIT | UVM_KMF_ZERO);
	uint64_t word = 1;

	CHECK(va != 0);
	CHECK_EQ(kern_load(va + ptoa(2), &word), 0);
	CHECK_EQ(word, 0);
	uvm_km_free(kmem_map, va, ptoa(3), UVM_KMF_WIRED);
}

KTEST(wired_memory_comes_and_goes_in_interrupt, "uvm_km_alloc(NOWAIT) and uvm_km_free() of kmem_map at IPL_VM")
{
	begin(1);
	interrupt_here(wired_in_interrupt);
	end();
}

static void
kernel_map_in_interrupt(void *arg)
{
	(void)uvm_km_alloc(kernel_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
}

KTEST_DEATH(I_KM_5_kernel_map_in_interrupt_panics, "sleepable kernel maps are not for interrupts", "cpu_intr_p")
{
	begin(1);
	interrupt_here(kernel_map_in_interrupt);
}

KTEST_DEATH(pool_of_kernel_map_cannot_be_waited_for, "WAITVA on an interrupt-safe map is a mistake (I-KM-3)", "WAITVA")
{
	begin(1);
	(void)uvm_km_alloc(kmem_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_WAITVA);
}

static bool fault_done;

static void
fault_in_interrupt(void *arg)
{
	uint64_t word;

	CHECK_EQ(kern_load(vm_map_max(kmem_map) - PAGE_SIZE, &word), EFAULT);
	CHECK_EQ(kern_store(vm_map_max(kmem_map) - PAGE_SIZE, 1), EFAULT);
	fault_done = true;
}

KTEST(R33_T73_bad_address_in_interrupt_fails_at_once, "a hole of kmem_map touched in interrupt, while the thread below holds kernel_map")
{
	begin(1);
	vm_map_lock(kernel_map);
	interrupt_here(fault_in_interrupt);
	CHECK(fault_done);
	vm_map_unlock(kernel_map);
	CHECK(tu_count(UVMC_flt_intrsafe) >= 2);
	end();
}

/* --- addresses run out --- */

static vaddr_t filler;

/* All addresses of kmem_map but n. */
static void
fill_but(vsize_t n)
{
	vsize_t size = vm_map_max(kmem_map) - vm_map_min(kmem_map) - kmem_map->size;

	filler = uvm_km_alloc(kmem_map, size - ptoa(n), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
	CHECK(filler != 0);
}

static void
unfill(void)
{
	uvm_km_free(kmem_map, filler, vm_map_max(kmem_map) - filler, UVM_KMF_VAONLY);
}

KTEST(no_addresses_no_item_and_no_frame_lost, "kmem_map is full: PR_NOWAIT is NULL, and gives its frame back")
{
	uint64_t free;

	begin(1);
	fill_but(0);
	free = uvm.free;
	CHECK(pool_get(pl, PR_NOWAIT) == NULL);
	CHECK_EQ(uvm.free, free);
	CHECK_EQ(uvm_km_alloc(kmem_map, PAGE_SIZE, 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT), 0);
	unfill();
	end();
}

KTEST(T9_waiting_for_addresses_takes_idle_pages_of_others, "kmem_map is full of another pool's idle pages: PR_WAITOK gets one")
{
	struct pool *other;
	void *item[12];

	begin(1);
	other = pool_create(ITEM, 0, "idle", &pool_allocator_kmem_map, IPL_VM);
	for (int i = 0; i < 12; i++)
		item[i] = pool_get(other, PR_WAITOK);
	fill_but(0);
	for (int i = 0; i < 12; i++)
		pool_put(other, item[i]);
	CHECK(pool_get(pl, PR_NOWAIT) == NULL);
	item[0] = pool_get(pl, PR_WAITOK);
	CHECK(item[0] != NULL);
	pool_put(pl, item[0]);
	pool_destroy(other);
	unfill();
	end();
}

static bool waited;

static void
waiter_main(void *arg)
{
	void *item = pool_get(pl, PR_WAITOK);

	waited = true;
	pool_put(pl, item);
}

KTEST(T9_waiting_for_addresses_ends_when_some_come, "PR_WAITOK sleeps while kmem_map is full, no longer")
{
	struct lwp *l;

	begin(2);
	fill_but(0);
	CHECK_EQ(lwp_create(&l, NULL, "waiter", waiter_main, NULL), 0);
	lwp_start(l);
	kpause("later", 30000000);
	CHECK(!waited);
	unfill();
	lwp_wait(l);
	CHECK(waited);
	end();
}

/* --- T-7, T-59, T-74 --- */

static bool stop;
static unsigned nstorms;		/* atomic */

/* One turn: get, stamp, put; the pool's mark makes pages go back all the time. */
static void
storm(void *arg)
{
	void *item[5];
	int n = 0;

	while (n < 5 && (item[n] = pool_get(pl, PR_NOWAIT)) != NULL)
		n++;
	while (n > 0)
		pool_put(pl, item[--n]);
	__atomic_fetch_add(&nstorms, 1, __ATOMIC_RELAXED);
}

static void
storm_main(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		intr_post(curcpu(), IRQ_DEVICE);
		lwp_userret(64);
	}
}

static void
splitters(bool reserve)
{
	struct lwp *l;
	vaddr_t va;

	begin(2);
	pool_setputmode(reserve ? POOL_PUT_RESERVE : POOL_PUT_DEFER);
	intr_establish(IRQ_DEVICE, IPL_VM, storm, NULL);
	CHECK_EQ(lwp_create(&l, NULL, "storm", storm_main, NULL), 0);
	lwp_start(l);
	for (int i = 0; i < 300 || __atomic_load_n(&nstorms, __ATOMIC_RELAXED) < 100; i++) {
		va = uvm_km_alloc(kmem_map, ptoa(100), 0, UVM_KMF_VAONLY | UVM_KMF_NOWAIT);
		CHECK(va != 0);
		uvm_km_free(kmem_map, va + ptoa(10), ptoa(80), UVM_KMF_VAONLY);
		uvm_km_free(kmem_map, va, ptoa(10), UVM_KMF_VAONLY);
		uvm_km_free(kmem_map, va + ptoa(90), ptoa(10), UVM_KMF_VAONLY);
		lwp_userret(64);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	lwp_wait(l);
	end();
}

KTEST(T7_R42_splitter_against_a_storm_of_puts_deferred, "map [0..100], unmap [10..90], while interrupts put pool items: parked entries stay theirs")
{
	splitters(false);
}

KTEST(T7_R42_splitter_against_a_storm_of_puts_reserve, "the same with pool_put() giving pages back itself")
{
	splitters(true);
}

static unsigned pages_in_put;

static void
put_with_kernel_map_held(void *arg)
{
	struct pool_stat before, after;

	CHECK(vm_map_locked_write(kernel_map));		/* by whom we interrupted */
	pool_getstat(pl, &before);
	for (int i = 0; i < MANY; i++)
		pool_put(pl, got[i]);
	pool_getstat(pl, &after);
	pages_in_put = before.ps_npages - after.ps_npages;
}

static void
put_under_kernel_map(bool reserve)
{
	struct pool_stat ps;

	begin(2);
	pool_setputmode(reserve ? POOL_PUT_RESERVE : POOL_PUT_DEFER);
	interrupt_here(get_in_interrupt);
	vm_map_lock(kernel_map);
	interrupt_here(put_with_kernel_map_held);
	vm_map_unlock(kernel_map);
	CHECK_EQ(pages_in_put != 0, reserve);
	TU_WAIT((pool_getstat(pl, &ps), ps.ps_npages) <= 1);		/* I-POOL-7 */
	end();
}

KTEST(T59_T74_R43_put_returns_though_kernel_map_is_held, "pool_put() over the mark in interrupt, kernel_map locked below it: nothing is given back, nobody waits")
{
	put_under_kernel_map(false);
}

KTEST(T59_T74_R41_put_gives_back_though_kernel_map_is_held, "reserve: pages go back by kmem_map's own lock and entries")
{
	put_under_kernel_map(true);
}

KTEST_MAIN()
