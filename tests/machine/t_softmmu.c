/*
 * The software MMU as simulated user code sees it.
 */
#include "fakevm.h"

#include <errno.h>
#include <ktest.h>
#include <string.h>

#define	VA		0x10000000UL
#define	RO		VM_PROT_READ
#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	RX		(VM_PROT_READ | VM_PROT_EXECUTE)

static struct pmap *pm;
static struct vm_page *pg[2];

/* Two pages at VA, brought in by faults. */
static void
begin(vm_prot_t prot)
{
	fv_boot(1, false);
	pm = pmap_create();
	fv_use(pm);
	for (int i = 0; i < 2; i++) {
		pg[i] = fv_alloc();
		fv_declare(VA + i * PAGE_SIZE, pg[i], prot);
	}
}

static void
end(void)
{
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	fv_free(pg[0]);
	fv_free(pg[1]);
	fv_destroy(pm);
	fv_shutdown();
}

KTEST(a_miss_walks_then_faults_and_a_hit_does_neither,
    "a miss walks then faults and a hit does neither")
{
	struct pmap_stat a, b;
	uint64_t val;

	begin(RW);
	CHECK(user_store(VA + 8, 5) == 0);
	CHECK(fv_faults == 1);
	pmap_getstat(&a);
	for (int i = 0; i < 100; i++)
		CHECK(user_load(VA + 8, &val) == 0);
	pmap_getstat(&b);
	CHECK(val == 5);
	CHECK(fv_faults == 1);
	CHECK(b.tlb_hits_checked - a.tlb_hits_checked == 100);
	tlb_flush_all();
	CHECK(user_load(VA + 8, &val) == 0);
	CHECK(fv_faults == 1);
	end();
}

KTEST(errors_are_those_of_the_fault,
    "errors are those of the fault")
{
	uint64_t val = 99;

	begin(RO);
	CHECK(user_load(VA, &val) == 0);
	CHECK(user_store(VA, 1) == EACCES);
	CHECK(user_load(VA - PAGE_SIZE, &val) == EFAULT);
	CHECK(user_load(0, &val) == EFAULT);
	CHECK(user_load(VM_MAXUSER_ADDRESS, &val) == EFAULT);
	CHECK(user_load(VM_MIN_KERNEL_ADDRESS, &val) == EFAULT);
	CHECK(user_load(~7UL, &val) == EFAULT);
	CHECK(user_load(VA + 4, &val) == EINVAL);
	CHECK(user_store(VA + 1, 0) == EINVAL);
	CHECK(user_cas(VA + 2, 0, 1, &val) == EINVAL);
	CHECK(val == 0);
	end();
}

KTEST(fetch_needs_execute,
    "fetch needs execute")
{
	begin(RX);
	CHECK(user_fetch(VA + 3) == 0);
	CHECK(user_fetch(VA - PAGE_SIZE) == EFAULT);
	CHECK(user_store(VA, 1) == EACCES);
	end();
}

KTEST(load_of_a_nonexecutable_page_does_not_permit_fetch,
    "load of a nonexecutable page does not permit fetch")
{
	uint64_t val;

	begin(RW);
	CHECK(user_load(VA, &val) == 0);
	CHECK(user_fetch(VA) == EACCES);
	end();
}

KTEST(cas_tells_what_it_saw,
    "cas tells what it saw")
{
	uint64_t seen;

	begin(RW);
	CHECK(user_cas(VA, 0, 5, &seen) == 0);
	CHECK(seen == 0);
	CHECK(user_cas(VA, 0, 6, &seen) == 0);
	CHECK(seen == 5);
	CHECK(user_cas(VA, 5, 6, &seen) == 0);
	CHECK(fv_words(pg[0])[0] == 6);
	end();
}

KTEST(copies_move_any_bytes_at_any_alignment,
    "copies move any bytes at any alignment")
{
	static uint8_t in[2 * PAGE_SIZE], out[2 * PAGE_SIZE], model[2 * PAGE_SIZE];
	struct host_rng rng;

	begin(RW);
	host_rng_init(&rng, 1, 0);
	for (unsigned i = 0; i < fv_rounds(3000); i++) {
		size_t off = host_rng_below(&rng, 2 * PAGE_SIZE);
		size_t len = host_rng_below(&rng, host_rng_chance(&rng, 0.1) ? 2 * PAGE_SIZE : 40);
		size_t align = host_rng_below(&rng, 8);

		if (off + len > sizeof(model))
			len = sizeof(model) - off;
		if (align + len > sizeof(in))
			len = sizeof(in) - align;
		for (size_t k = 0; k < len; k++)
			in[align + k] = (uint8_t)host_rng_next(&rng);
		CHECK(copyout(in + align, VA + off, len) == 0);
		memcpy(model + off, in + align, len);
		off = host_rng_below(&rng, sizeof(model) - len + 1);
		CHECK(copyin(VA + off, out, len) == 0);
		CHECK(memcmp(out, model + off, len) == 0);
	}
	CHECK(copyin(VA, out, sizeof(out)) == 0);
	CHECK(memcmp(out, model, sizeof(model)) == 0);
	CHECK(fv_faults == 2);
	end();
}

KTEST(a_copy_that_fails_has_moved_the_pages_before,
    "a copy that fails has moved the pages before")
{
	static uint8_t buf[3 * PAGE_SIZE];

	begin(RW);
	memset(buf, 7, sizeof(buf));
	CHECK(copyout(buf, VA, sizeof(buf)) == EFAULT);
	CHECK(((uint8_t *)fv_words(pg[1]))[PAGE_SIZE - 1] == 7);
	memset(buf, 0, sizeof(buf));
	CHECK(copyin(VA, buf, sizeof(buf)) == EFAULT);
	CHECK(buf[2 * PAGE_SIZE - 1] == 7);
	CHECK(buf[2 * PAGE_SIZE] == 0);
	CHECK(copyin(~0UL - 2, buf, 8) == EFAULT);
	end();
}

/* Interrupts are taken between accesses, hits included. */
static unsigned interrupts;

static void
count_interrupt(void *arg)
{
	interrupts++;
}

KTEST(a_waiting_interrupt_is_taken_at_a_hit,
    "a waiting interrupt is taken at a hit")
{
	uint64_t val;

	begin(RW);
	intr_establish(IRQ_NET, IPL_VM, count_interrupt, NULL);
	CHECK(user_load(VA, &val) == 0);
	intr_post(curcpu(), IRQ_NET);
	CHECK(user_load(VA, &val) == 0);
	splx(splhigh());		/* what it has done is ours to read */
	CHECK(interrupts == 1);
	end();
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(a_fault_with_a_lock_held_panics,
    "a fault with a lock held panics", "access user memory")
{
	kmutex_t m;
	uint64_t val;

	begin(RW);
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_enter(&m);
	(void)user_load(VA, &val);
}
#endif

/* 2 MB apart and more: pages that share a TLB slot throw each other out, no more. */
KTEST(pages_that_share_a_slot_do_not_mix,
    "pages that share a slot do not mix")
{
	enum { N = 1500 };
	uint64_t val;

	begin(RW);
	for (int i = 0; i < N; i++) {
		struct vm_page *p = fv_alloc();

		fv_fill(p, i);
		CHECK(pmap_enter(pm, VA + (i + 2) * PAGE_SIZE, fv_pa(p), RW, 0) == 0);
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			CHECK(user_load(VA + (i + 2) * PAGE_SIZE, &val) == 0);
			CHECK(val == (uint64_t)i);
		}
	}
	CHECK(pmap_check(pm) == 0);
	for (int i = 0; i < N; i++) {
		paddr_t pa;

		CHECK(pmap_extract(pm, VA + (i + 2) * PAGE_SIZE, &pa));
		pmap_remove(pm, VA + (i + 2) * PAGE_SIZE, VA + (i + 3) * PAGE_SIZE);
		pmap_update(pm);
		fv_free((struct vm_page *)ram_md(pa));
	}
	CHECK(fv_faults == 0);
	end();
}

/* The epoch comes round: entries of the last round are not taken for new ones. */
KTEST(flushing_often_never_brings_an_entry_back,
    "flushing often never brings an entry back")
{
	struct pmap_stat a, b;
	uint64_t val;

	begin(RW);
	CHECK(user_store(VA, 1) == 0);
	for (int n = 1; n < 1100; n++) {
		for (int i = 0; i < n; i++)
			tlb_flush_all();
		pmap_getstat(&a);
		CHECK(user_load(VA, &val) == 0);
		pmap_getstat(&b);
		CHECK(a.tlb_hits_checked == b.tlb_hits_checked);
	}
	end();
}

KTEST_MAIN()
