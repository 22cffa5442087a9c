/*
 * Mappings of devices (uvm-spec 4.8): the device pager below a process.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

int	__real_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__wrap_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);

static unsigned fail_percent;		/* set while nobody faults */
static unsigned flags_seen;		/* of the last enter of a device's frame; atomic */

int
__wrap_pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	bool mapped = pmap_extract(pm, va, NULL);

	if (device_frame(pa))
		__atomic_store_n(&flags_seen, flags, __ATOMIC_RELAXED);
	if (!mapped && (flags & PMAP_CANFAIL) != 0 &&
	    host_rng_below(&curlwp->l_rng, 100) < fail_percent)
		return ENOMEM;
	return __real_pmap_enter(pm, va, pa, prot, flags);
}

/* Called once: before an object is made, and after somebody on hold was waited for; nothing is locked. */
static void (*before_init)(void), (*after_hold)(void);

void	__real_uvm_obj_init(struct uvm_object *, const struct uvm_pagerops *, int);
void	__wrap_uvm_obj_init(struct uvm_object *, const struct uvm_pagerops *, int);
int	__real_mtsleep(wchan_t, bool, const char *, uint64_t, kmutex_t *);
int	__wrap_mtsleep(wchan_t, bool, const char *, uint64_t, kmutex_t *);

static void
call_once(void (**fnp)(void))
{
	void (*fn)(void) = __atomic_exchange_n(fnp, NULL, __ATOMIC_ACQ_REL);

	if (fn != NULL)
		fn();
}

void
__wrap_uvm_obj_init(struct uvm_object *uobj, const struct uvm_pagerops *ops, int refs)
{
	call_once(&before_init);
	__real_uvm_obj_init(uobj, ops, refs);
}

int
__wrap_mtsleep(wchan_t ident, bool norelock, const char *wmesg, uint64_t ns, kmutex_t *lock)
{
	int error = __real_mtsleep(ident, norelock, wmesg, ns, lock);

	if (strcmp(wmesg, "udvhold") == 0)
		call_once(&after_hold);
	return error;
}

static int
map_dev(struct proc *p, int page, int n, int prot, dev_minor_t dev, voff_t off)
{
	vaddr_t va = TM_VA(page);

	return sys_mmap_device(p, &va, ptoa((vaddr_t)n), prot, UMAP_SHARED | UMAP_FIXED, dev, off);
}

/* Others get on; a lock may be held, so it is no sleep. */
static void
kpause_locked(void)
{
	for (uint64_t end = host_now_ns() + 2000000; host_now_ns() < end;)
		intr_poll();
}

static bool
pte_wired(int page)
{
	return tm_map(tm_proc)->pmap != NULL && pmap_wired_count(tm_map(tm_proc)->pmap) > 0 &&
	    pmap_extract(tm_map(tm_proc)->pmap, TM_VA(page), NULL);
}

KTEST(processes_draw_on_one_screen, "every mapping shows the device's memory, whoever stores, at whatever address")
{
	struct proc *other;

	tm_boot(1, NPAGES);
	CHECK_EQ(proc_create("other", &other), 0);
	CHECK_EQ(map_dev(tm_proc, 0, 8, RW, DEV_FB, 0), 0);
	CHECK_EQ(map_dev(other, 20, 8, RW, DEV_FB, ptoa(4)), 0);
	CHECK_EQ(udv_count(), 1);
	tm_store(5, 55);
	CHECK_EQ(tm_load_in(other, 21), 55);
	tm_store_in(other, 20, 44);
	CHECK_EQ(tm_load(4), 44);
	CHECK_EQ(fb_word(4, 0), 44);
	CHECK_EQ(fb_word(5, 0), 55);
	CHECK_EQ(tu_count(UVMC_flt_device) > 0, true);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), 0);
	proc_exit(other);
	CHECK_EQ(udv_count(), 1);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(8)), 0);
	CHECK_EQ(udv_count(), 0);
	tm_shutdown();
}

KTEST(what_mmap_of_a_device_refuses, "private, beyond the end, executable, unaligned; then nothing is mapped")
{
	vaddr_t va = TM_VA(0);

	tm_boot(1, NPAGES);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, PAGE_SIZE, RW, UMAP_PRIVATE, DEV_FB, 0), EINVAL);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, ptoa(2), RW, UMAP_SHARED, DEV_FB,
	    (voff_t)ptoa(FB_NPAGES - 1)), EINVAL);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED, NDEV, 0), EINVAL);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED, DEV_FB, 8), EINVAL);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, PAGE_SIZE, RW | VM_PROT_EXECUTE, UMAP_SHARED, DEV_FB,
	    0), EACCES);
	va = VM_MAXUSER_ADDRESS;
	CHECK(sys_mmap_device(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, DEV_FB, 0) != 0);
	CHECK_EQ(udv_count(), 0);
	CHECK_EQ(map_dev(tm_proc, 0, 1, VM_PROT_READ, DEV_FB, 0), 0);
	CHECK_EQ(tm_store_error(0), EACCES);
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(tm_store_error(0), EACCES);			/* as the entry has it, not as it may have it */
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, RW | VM_PROT_EXECUTE), EACCES);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, RW), 0);
	tm_store(0, 9);
	CHECK_EQ(fb_word(0, 0), 9);
	tm_shutdown();
}

KTEST(R30_B15_the_access_is_passed_not_the_rights, "a load enters the frame for a load, a store for a store")
{
	tm_boot(1, NPAGES);
	CHECK_EQ(map_dev(tm_proc, 0, 2, RW, DEV_FB, 0), 0);
	tm_load(0);
	CHECK_EQ(flags_seen & VM_PROT_ALL, VM_PROT_READ);
	CHECK((flags_seen & PMAP_CANFAIL) != 0);		/* R39 */
	tm_store(1, 1);
	CHECK_EQ(flags_seen & VM_PROT_ALL, VM_PROT_WRITE);
	tm_shutdown();
}

KTEST(a_device_that_is_off_answers_EIO, "a frame that the device does not give is EIO, and may be had later")
{
	tm_boot(1, NPAGES);
	CHECK_EQ(map_dev(tm_proc, 0, 2, RW, DEV_FB, 0), 0);
	tm_store(0, 1);
	device_online(DEV_FB, false);
	CHECK_EQ(tm_load_error(1), EIO);
	CHECK_EQ(tm_load(0), 1);			/* what is mapped stays */
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), EIO);
	device_online(DEV_FB, true);
	CHECK_EQ(tm_load(1), 0);
	tm_shutdown();
}

KTEST(device_memory_is_never_copied, "fork shares it; a mapping that is copy-on-write is EIO for loads and stores")
{
	struct proc *child;

	tm_boot(1, NPAGES);
	CHECK_EQ(map_dev(tm_proc, 0, 2, RW, DEV_FB, 0), 0);
	CHECK_EQ(map_dev(tm_proc, 4, 2, RW, DEV_FB, 0), 0);
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(4), ptoa(2), MAP_INHERIT_COPY), 0);
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store_in(child, 1, 2);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(fb_word(1, 0), 2);
	proc_attach(child);
	CHECK_EQ(tm_load_error(4), EIO);
	CHECK_EQ(tm_store_error(4), EIO);
	CHECK_EQ(tm_store_error(5), EIO);
	CHECK_EQ(sys_mlock(child, TM_VA(4), ptoa(2)), EIO);
	proc_attach(tm_proc);
	tm_store(4, 3);
	CHECK_EQ(fb_word(0, 0), 3);
	proc_exit(child);
	CHECK_EQ(uvm_gauge(UVMG_anonpages), 0);
	tm_shutdown();
}

KTEST(wiring_a_device_wires_mappings, "mlock and vslock of device memory: the mapping is wired as long as either lasts, no page is")
{
	struct vmspace *vm;
	struct pmap *pm;

	tm_boot(1, NPAGES);
	vm = tm_proc->p_vmspace;
	pm = tm_map(tm_proc)->pmap;
	CHECK_EQ(map_dev(tm_proc, 0, 4, RW, DEV_FB, 0), 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(pmap_wired_count(pm), 2);
	CHECK(pte_wired(0));
	CHECK_EQ(uvm_vslock(vm, TM_VA(1), ptoa(2), VM_PROT_WRITE), 0);
	CHECK_EQ(uvm_vslock(vm, TM_VA(2), ptoa(1), VM_PROT_READ), 0);
	CHECK_EQ(pmap_wired_count(pm), 3);
	uvm_vsunlock(vm, TM_VA(1), ptoa(2));
	CHECK_EQ(pmap_wired_count(pm), 3);		/* R31: page 1; B-16: page 2 */
	uvm_vsunlock(vm, TM_VA(2), ptoa(1));
	CHECK_EQ(pmap_wired_count(pm), 2);
	/* gone and back: still wired */
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, VM_PROT_NONE), 0);
	CHECK_EQ(pmap_wired_count(pm), 1);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), PAGE_SIZE, RW), 0);
	tm_store(0, 7);
	CHECK_EQ(pmap_wired_count(pm), 2);
	/* a fault beside I/O, which maps ahead, but not what is mapped */
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_NORMAL), 0);
	CHECK_EQ(uvm_vslock(vm, TM_VA(3), ptoa(1), VM_PROT_READ), 0);
	pmap_remove(pm, TM_VA(2), TM_VA(3));
	pmap_update(pm);
	CHECK_EQ(tm_load(2), 0);
	CHECK_EQ(pmap_wired_count(pm), 3);
	uvm_vsunlock(vm, TM_VA(3), ptoa(1));
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(pmap_wired_count(pm), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(fb_word(0, 0), 7);
	tm_shutdown();
}

KTEST(calls_that_want_pages_find_none, "mincore says resident; msync, madvise and mremap do no harm")
{
	unsigned char vec[4] = { 0 };
	vaddr_t va = TM_VA(10);

	tm_boot(1, NPAGES);
	CHECK_EQ(map_dev(tm_proc, 0, 4, RW, DEV_FB, 0), 0);
	tm_store(1, 1);
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(0), ptoa(4), vec), 0);
	CHECK_EQ(memcmp(vec, "\1\1\1\1", 4), 0);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(4), UMS_SYNC | UMS_INVALIDATE), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_FREE), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_DONTNEED), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(4), UMADV_SEQUENTIAL), 0);
	CHECK_EQ(tm_load(1), 1);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(4), &va, ptoa(4), true), 0);
	CHECK_EQ(tm_load(11), 1);
	tm_shutdown();
}

/* --- threads --- */

#define	ROUNDS	40

static void
draw(struct tm_thread *tt)
{
	for (uint64_t round = 1; round <= ktest_scale(ROUNDS); round++) {
		for (int page = 0; page < 16; page++) {
			vaddr_t va = TM_VA(page) + 8 * (vaddr_t)tt->tt_number;
			uint64_t w = 0;

			CHECK_EQ(user_load(va, &w), 0);
			CHECK_EQ(w, round - 1);
			CHECK_EQ(user_store(va, round), 0);
		}
		if (tt->tt_number == 0) {
			pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(16));
			pmap_update(tm_map(tm_proc)->pmap);
		}
		lwp_userret(16);
	}
}

KTEST(R29_R39_T78_enter_fails_nine_times_of_ten, "with pmap_enter failing at random every fault of the device pager ends, and no store is lost")
{
	struct tm_thread tt[4];

	tm_boot(4, NPAGES);
	CHECK_EQ(map_dev(tm_proc, 0, 16, RW, DEV_FB, 0), 0);
	fail_percent = 90;
	tm_start(tm_proc, tt, 4, draw, NULL);
	tm_wait(tt, 4);
	fail_percent = 0;
	CHECK(tu_count(UVMC_flt_shortage) > 0);
	for (int page = 0; page < 16; page++)
		for (unsigned i = 0; i < 4; i++)
			CHECK_EQ(fb_word((unsigned)page, i), ktest_scale(ROUNDS));
	tm_shutdown();
}

static struct uvm_object *screen;

static void
drop(struct tm_thread *tt)
{
	screen->pgops->pgo_detach(screen);
}

static void
attach(struct tm_thread *tt)
{
	/* release: pairs with the acquire of who_has_waited_looks_again */
	__atomic_store_n((struct uvm_object **)tt->tt_arg, udv_attach(DEV_FB, VM_PROT_READ, 0, PAGE_SIZE),
	    __ATOMIC_RELEASE);
}

KTEST(the_last_detach_waits_for_who_has_found_the_object, "HOLD and WANTED: between the list and the reference the object does not go")
{
	tm_boot(3, NPAGES);
	for (int i = 0; i < 20; i++) {
		struct tm_thread detacher, attacher;
		struct uvm_object *again = NULL;

		screen = udv_attach(DEV_FB, VM_PROT_READ, 0, PAGE_SIZE);
		mutex_enter(&screen->vmobjlock);
		tm_start(NULL, &detacher, 1, drop, NULL);
		kpause_locked();
		tm_start(NULL, &attacher, 1, attach, &again);
		kpause_locked();
		mutex_exit(&screen->vmobjlock);		/* both wait for it, the detacher first */
		tm_wait(&detacher, 1);
		tm_wait(&attacher, 1);
		CHECK(again != NULL);
		CHECK_EQ(again->uo_refs, 1);
		CHECK_EQ(udv_count(), 1);
		again->pgops->pgo_detach(again);
		CHECK_EQ(udv_count(), 0);
	}
	tm_shutdown();
}

static void
wait_until_it_is_gone(void)
{
	while (udv_count() > 0)
		kpause("test", 1000000);
}

KTEST(who_has_waited_looks_again, "the object that was on hold may be gone by the time that its waiter runs")
{
	struct tm_thread tt[2];
	struct uvm_object *got[2] = { NULL, NULL };
	int first = 0;				/* on a busy host it may be either */

	tm_boot(4, NPAGES);
	screen = udv_attach(DEV_FB, VM_PROT_READ, 0, PAGE_SIZE);
	after_hold = wait_until_it_is_gone;
	mutex_enter(&screen->vmobjlock);
	tm_start(NULL, &tt[0], 1, attach, &got[0]);	/* has it on hold, and waits for the lock */
	kpause_locked();
	tm_start(NULL, &tt[1], 1, attach, &got[1]);	/* waits for that */
	kpause_locked();
	mutex_exit(&screen->vmobjlock);
	while (__atomic_load_n(&got[first], __ATOMIC_ACQUIRE) == NULL) {
		kpause("first", 100000);
		first = !first;
	}
	got[first]->pgops->pgo_detach(got[first]);
	screen->pgops->pgo_detach(screen);
	tm_wait(&tt[0], 1);
	tm_wait(&tt[1], 1);
	after_hold = NULL;			/* the second may have come too late to wait */
	CHECK_EQ(udv_count(), 1);
	CHECK_EQ(got[!first]->uo_refs, 1);
	got[!first]->pgops->pgo_detach(got[!first]);
	CHECK_EQ(udv_count(), 0);
	tm_shutdown();
}

static void
attach_first(void)
{
	screen = udv_attach(DEV_FB, VM_PROT_READ, 0, PAGE_SIZE);
}

KTEST(who_is_slower_takes_what_is_there, "two attach a device for the first time: it has one object, and no second is left over")
{
	struct uvm_object *uobj;

	tm_boot(1, NPAGES);
	before_init = attach_first;
	uobj = udv_attach(DEV_FB, VM_PROT_READ, 0, PAGE_SIZE);
	CHECK(uobj == screen);
	CHECK_EQ(uobj->uo_refs, 2);
	CHECK_EQ(udv_count(), 1);
	uobj->pgops->pgo_detach(uobj);
	uobj->pgops->pgo_detach(uobj);
	tm_shutdown();
}

static void
come_and_go(struct tm_thread *tt)
{
	int page = 4 * tt->tt_number;

	for (unsigned i = 0; i < ktest_scale(400); i++) {
		CHECK_EQ(map_dev(tm_proc, page, 2, RW, DEV_FB, 0), 0);
		tm_store(page + 1, i);
		CHECK_EQ(sys_munmap(tm_proc, TM_VA(page), ptoa(2)), 0);
		(void)tm_go_on(tt);
	}
}

KTEST(attach_against_the_last_detach, "threads map and unmap one device: its object is there once or not at all, and none is left")
{
	struct tm_thread tt[4];

	tm_boot(4, NPAGES);
	tm_start(tm_proc, tt, 4, come_and_go, NULL);
	tm_wait(tt, 4);
	CHECK_EQ(udv_count(), 0);
	tm_shutdown();
}

KTEST_MAIN()
