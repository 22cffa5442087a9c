/*
 * Device memory and device registers, through the software MMU.
 */
#include "fakevm.h"

#include <errno.h>
#include <ktest.h>
#include <machine/device.h>

#define	VA	0x10000000UL
#define	REGS	0x20000000UL
#define	RO	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct pmap *pm;

/* Two pages of the frame buffer at VA, its registers at REGS. */
static void
begin(int ncpus, bool software_rm)
{
	fv_boot(ncpus, software_rm);
	device_init();
	pm = pmap_create();
	fv_use(pm);
	for (vaddr_t i = 0; i < 2; i++)
		CHECK_EQ(pmap_enter(pm, VA + ptoa(i), device_mmap(DEV_FB, (voff_t)ptoa(i), RW), RW,
		    RO), 0);
	CHECK_EQ(pmap_enter(pm, REGS, device_mmap(DEV_FBREG, 0, RW), RW, RO), 0);
	pmap_update(pm);
}

static void
end(void)
{
	CHECK_EQ(pmap_check(pm), 0);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	fv_destroy(pm);
	device_fini();
	fv_shutdown();
}

static uint64_t
load(vaddr_t va)
{
	uint64_t w = 0;

	CHECK_EQ(user_load(va, &w), 0);
	return w;
}

KTEST(stores_reach_the_devices_memory, "what is stored through a mapping of device memory is what the device has, and no page is involved")
{
	begin(1, false);
	CHECK_EQ(user_store(VA + 8, 5), 0);
	CHECK_EQ(user_store(VA + PAGE_SIZE + 16, 6), 0);
	CHECK_EQ(fb_word(0, 1), 5);
	CHECK_EQ(fb_word(1, 2), 6);
	CHECK_EQ(load(VA + 8), 5);
	CHECK(ram_md(device_mmap(DEV_FB, 0, RW)) == NULL);
	CHECK_EQ(pmap_resident_count(pm), 3);
	CHECK_EQ(fv_faults, 0);
	end();
}

KTEST(what_the_device_does_not_have_it_does_not_name, "device_mmap knows its size, its numbers, refuses X, and knows that it is off")
{
	begin(1, false);
	CHECK(device_mmap(DEV_FB, (voff_t)ptoa(FB_NPAGES), RO) == DEVICE_NONE);
	CHECK(device_mmap(DEV_FB, -1, RO) == DEVICE_NONE);
	CHECK(device_mmap(DEV_FBREG, PAGE_SIZE, RO) == DEVICE_NONE);
	CHECK(device_mmap(NDEV, 0, RO) == DEVICE_NONE);
	CHECK(device_mmap(DEV_FB, 0, RO | VM_PROT_EXECUTE) == DEVICE_NONE);
	device_online(DEV_FB, false);
	CHECK(device_mmap(DEV_FB, 0, RO) == DEVICE_NONE);
	CHECK(device_mmap(DEV_FBREG, 0, RO) != DEVICE_NONE);
	device_online(DEV_FB, true);
	CHECK(device_mmap(DEV_FB, 0, RO) != DEVICE_NONE);
	end();
}

KTEST(a_store_to_the_doorbell_is_a_command, "each store posts one piece of work; its interrupt has come by the next access")
{
	begin(1, false);
	for (uint64_t i = 0; i < PAGE_SIZE; i += 8)
		CHECK_EQ(user_store(VA + PAGE_SIZE + i, i + 1), 0);
	for (uint64_t n = 1; n <= 10; n++) {
		CHECK_EQ(user_store(REGS + FB_REG_SUM, 1), 0);
		CHECK_EQ(load(REGS + FB_REG_COUNT(1)), n);
		CHECK_EQ(load(REGS + FB_REG_VALUE(1)), fb_sum(1));
	}
	CHECK(load(REGS + FB_REG_VALUE(1)) != 0);
	CHECK_EQ(load(REGS + FB_REG_COUNT(0)), 0);
	CHECK_EQ(fb_interrupts(), 10);
	CHECK_EQ(load(REGS + FB_REG_ERRORS), 0);
	CHECK_EQ(user_store(REGS + FB_REG_SUM, FB_NPAGES), 0);
	CHECK_EQ(user_store(REGS + FB_REG_COUNT(0), 1), 0);
	CHECK_EQ(load(REGS + FB_REG_ERRORS), 2);
	end();
}

KTEST(registers_answer_words_only, "part of a word, a copy, an atomic operation or a fetch is refused, and is no command")
{
	uint64_t w = 3;

	begin(1, false);
	CHECK_EQ(user_store(REGS + 4, 0), EINVAL);
	CHECK_EQ(copyout(&w, REGS, 8), EIO);
	CHECK_EQ(copyin(REGS, &w, 8), EIO);
	CHECK_EQ(user_cas(REGS, 0, 1, &w), EIO);
	CHECK(user_fetch(REGS) != 0);
	CHECK_EQ(fb_interrupts(), 0);
	CHECK_EQ(load(REGS + FB_REG_ERRORS), 0);
	end();
}

KTEST(a_register_is_never_in_a_TLB, "after its mapping is gone, even before the shootdown, no store reaches a register")
{
	begin(1, false);
	CHECK_EQ(user_store(REGS, 0), 0);
	CHECK_EQ(load(REGS + FB_REG_COUNT(0)), 1);
	pmap_remove(pm, REGS, REGS + PAGE_SIZE);
	CHECK_EQ(user_store(REGS, 0), EFAULT);
	pmap_update(pm);
	CHECK_EQ(fb_interrupts(), 1);
	end();
}

static void
find_pte(vaddr_t va, uint64_t pte, void *arg)
{
	uint64_t *v = arg;

	if (va == v[0])
		v[1] = pte;
}

static uint64_t
pte_of(vaddr_t va)
{
	uint64_t v[2] = { va, 0 };

	pmap_foreach(pm, find_pte, v);
	return v[1];
}

KTEST(R30_B15_a_load_presets_no_M, "a device's frame that is entered for a load is not modified until it is stored to")
{
	for (int software = 0; software < 2; software++) {
		begin(1, software);
		CHECK((pte_of(VA) & (PTE_MANAGED | PTE_MOD | PTE_REF)) == PTE_REF);
		load(VA);
		CHECK((pte_of(VA) & PTE_MOD) == 0);
		CHECK_EQ(user_store(VA, 1), 0);
		CHECK((pte_of(VA) & PTE_MOD) != 0);
		CHECK_EQ(user_store(REGS, 1), 0);
		CHECK((pte_of(REGS) & PTE_MOD) != 0);
		end();
	}
}

KTEST(a_stale_device_translation_shows_at_rest, "I-PMAP-5 knows device frames too")
{
	begin(1, false);
	fv_expect_violations();
	load(VA);
	CHECK_EQ(pmap_check(pm), 0);
	/* another frame, and nobody tells the TLBs */
	CHECK_EQ(pmap_enter(pm, VA, device_mmap(DEV_FB, PAGE_SIZE, RW), RW, RO), 0);
	CHECK(pmap_check(pm) > 0);
	CHECK_EQ(fv_violations("I-PMAP-5"), 2);		/* of the entry, and of the packet that waits */
	pmap_update(pm);
	CHECK_EQ(pmap_check(pm), 0);
	end();
}

KTEST_DEATH(nobody_executes_device_memory, "pmap_enter of a device's frame with X panics", "nobody executes")
{
	begin(1, false);
	(void)pmap_enter(pm, VA, device_mmap(DEV_FB, 0, RW), RW | VM_PROT_EXECUTE, RO);
}

/* --- several CPUs --- */

#define	NDRAW	4

static void
draw(void *arg)
{
	const uint64_t me = *(const uint64_t *)arg;
	uint64_t before, w;

	for (uint64_t round = 1; round <= fv_rounds(200); round++) {
		CHECK_EQ(user_store(VA + 8 * me, round), 0);
		CHECK_EQ(user_load(REGS + FB_REG_COUNT(0), &before), 0);
		CHECK_EQ(user_store(REGS, 0), 0);
		CHECK_EQ(user_load(REGS + FB_REG_COUNT(0), &w), 0);
		CHECK(w > before);
		CHECK_EQ(user_load(VA + 8 * me, &w), 0);
		CHECK_EQ(w, round);
		lwp_userret(8);
	}
}

KTEST(commands_of_several_CPUs_are_all_carried_out, "each CPU has its own queue and interrupt; none is lost")
{
	uint64_t number[NDRAW];
	struct lwp *l[NDRAW];

	begin(NDRAW, false);
	for (uint64_t i = 0; i < NDRAW; i++) {
		number[i] = i;
		l[i] = fv_spawn(pm, "draw", draw, &number[i]);
	}
	for (int i = 0; i < NDRAW; i++)
		fv_join(l[i]);
	CHECK_EQ(load(REGS + FB_REG_COUNT(0)), NDRAW * fv_rounds(200));
	CHECK_EQ(load(REGS + FB_REG_ERRORS), 0);
	user_store(REGS, 0);
	CHECK_EQ(load(REGS + FB_REG_VALUE(0)), fb_sum(0));
	end();
}

KTEST_MAIN()
