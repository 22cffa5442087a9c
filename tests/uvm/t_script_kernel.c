/*
 * Scenarios of kernel maps, pools, map locks, mappings that cannot be made, and of a machine that is
 * stopped, step by step.
 */
#include <errno.h>
#include <stdio.h>

#include <harness/inspect.h>
#include <machine/device.h>
#include <sys/inject.h>
#include <sys/intr.h>
#include <sys/pool.h>
#include <sys/stop.h>
#include <uvm/uvm_device.h>

#include "scenario.h"

#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	ITEM		1000		/* bytes: 3 or 4 to a page */
#define	MANY		16

/* --- T-73, T-74: interrupts, and somebody who has kernel_map --- */

static struct pool *pl;
static void *items[MANY];
static bool been;			/* ! in the interrupt */

static void
hold_kernel_map(void *arg)
{
	vm_map_lock(kernel_map);
	script_point("holds");
	vm_map_unlock(kernel_map);
}

/* => as an interrupt of this CPU */
static void
interrupt(void (*fn)(void *))
{
	been = false;
	intr_establish(IRQ_DEVICE, IPL_VM, fn, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	splx(splhigh());
	CHECK(been);
}

static void
touch_bad_address(void *arg)
{
	uint64_t word;

	CHECK_EQ(kern_load(vm_map_max(kmem_map) - PAGE_SIZE, &word), EFAULT);
	CHECK_EQ(kern_store(vm_map_max(kmem_map) - PAGE_SIZE, 1), EFAULT);
	been = true;
}

/* i has kernel_map locked itself when the interrupt comes. */
static void
be_interrupted(void *arg)
{
	vm_map_lock(kernel_map);
	interrupt(touch_bad_address);
	vm_map_unlock(kernel_map);
}

SCENARIO(T73_interrupt_touches_a_bad_address_above_the_holder_of_kernel_map,
    "a bad address of an interrupt-safe map is an error at once, whatever is locked below (I-FLT-9, R33)")
{
	scenario_begin();
	SCRIPT("i until done", { "i", NULL, be_interrupted, NULL });
	CHECK(tu_count(UVMC_flt_intrsafe) >= 2);
	scenario_end();
}
MISTAKE(T73_interrupt_touches_a_bad_address_above_the_holder_of_kernel_map, intrsafe_fault_locks,
    "interrupt-context|cpu_intr_p|vm_map_lock_read|recursi|against")

static void
put_all(void *arg)
{
	for (int i = 0; i < MANY; i++)
		pool_put(pl, items[i]);
	been = true;
}

static void
put_in_interrupt(void *arg)
{
	interrupt(put_all);
}

SCENARIO(T74_put_in_an_interrupt_while_another_has_kernel_map,
    "a put over the high-water mark returns at once, whoever has kernel_map (I-POOL-3, R43)")
{
	struct pool_stat ps;

	scenario_begin();
	pl = pool_create(ITEM, 0, "kmemtest", &pool_allocator_kmem_map, IPL_VM);
	pool_sethiwat(pl, 1);
	for (int i = 0; i < MANY; i++)
		items[i] = pool_get(pl, PR_WAITOK);
	SCRIPT("h until test(holds); i until done; h until done",
	    { "h", NULL, hold_kernel_map, NULL }, { "i", NULL, put_in_interrupt, NULL });
	TU_WAIT((pool_getstat(pl, &ps), ps.ps_npages) <= 1);
	pool_destroy(pl);
	scenario_end();
}
MISTAKE(T74_put_in_an_interrupt_while_another_has_kernel_map, pool_put_returns_pages, "R43")

/* --- T-75 --- */

struct object {
	struct object	*o_self;	/* as constructed */
	struct lwp	*o_user;
};

static pool_cache_t cache;
static int nconstructed;		/* atomic */

static int
construct(void *arg, void *v, int flags)
{
	struct object *o = v;

	*o = (struct object){ .o_self = o };
	__atomic_fetch_add(&nconstructed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
destroy(void *arg, void *v)
{
	CHECK(((struct object *)v)->o_self == v && ((struct object *)v)->o_user == NULL);
	__atomic_fetch_sub(&nconstructed, 1, __ATOMIC_RELAXED);
}

/* => n objects are somebody's for a while */
static void
use(void *arg)
{
	struct object *o[20];
	int n = *(int *)arg;

	for (int i = 0; i < n; i++) {
		o[i] = pool_cache_get(cache, PR_WAITOK);
		CHECK(o[i]->o_self == o[i] && o[i]->o_user == NULL);
		o[i]->o_user = curlwp;
	}
	script_point("using");
	for (int i = 0; i < n; i++) {
		CHECK(o[i]->o_user == curlwp);
		o[i]->o_user = NULL;
		pool_cache_put(cache, o[i]);
	}
}

static void
invalidate(void *arg)
{
	pool_cache_invalidate(cache);
}

/* a is at its CPU's magazines, or at the depot, with interrupts off; i wants them all; b uses others. */
static void
invalidate_when(const char *script)
{
	int n = 20, one = 1;

	scenario_begin();
	cache = pool_cache_create(sizeof(struct object), 0, "t75", &pool_allocator_kmem, IPL_NONE,
	    construct, destroy, NULL);
	use(&n);
	SCRIPT(script, { "a", NULL, use, &n }, { "b", NULL, use, &one }, { "i", NULL, invalidate, NULL });
	CHECK_EQ(pool_cache_nout(cache), 0);
	pool_cache_invalidate(cache);
	CHECK_EQ(__atomic_load_n(&nconstructed, __ATOMIC_RELAXED), 0);
	pool_cache_destroy(cache);
	scenario_end();
}

SCENARIO(T75_cache_is_invalidated_at_a_get, "every CPU gives up its magazines itself, between two uses of them (I-POOL-6)")
{
	invalidate_when("b until test(using); a until lock; i until blocked; a until test(using); i b a until done;"
	    " b until done; a until done");
}

SCENARIO(T75_cache_is_invalidated_at_a_put, "and what is out of the cache meanwhile comes back as constructed (I-POOL-6)")
{
	invalidate_when("a until test(using); b until test(using); i a b until lock x2; a until done; i b until done;"
	    " b until done");
}

/* --- T-76 --- */

static void
write_lock(void *arg)
{
	vm_map_lock(tm_map(tm_proc));
	vm_map_unlock(tm_map(tm_proc));
}

static void
fault_with_the_map(void *arg)
{
	vm_map_lock_read(tm_map(tm_proc));
	script_point("reads");
	(void)uvm_fault(tm_map(tm_proc), TM_VA(0), VM_PROT_WRITE);
}

/* Without the check the reader would wait for the writer that is queued, who waits for the reader. */
KTEST_DEATH(T76_reader_faults_while_a_writer_is_queued, "a second read lock is refused at once, it does not hang (I-SMP-6)",
    "locking against myself")
{
	scenario_begin();
	tm_put(tm_proc, "a");
	SCRIPT("r until test(reads); w until blocked; r until done",
	    { "r", tm_proc, fault_with_the_map, NULL }, { "w", NULL, write_lock, NULL });
}

/* --- T-78 --- */

static void
store_to_all(void *arg)
{
	for (int i = 0; i < 32; i++)
		tm_store(i, 5);
}

static void
load_all(void *arg)
{
	for (int i = 0; i < 32; i++)
		(void)tm_load(i);
}

/* Memory and a device's: of ten mappings nine cannot be made, and memory is said to be short each time. */
SCENARIO(T78_enter_fails_nine_times_of_ten,
    "a fault whose mapping cannot be made lets everything go, waits, begins again, and ends (I-FLT-1, I-FLT-7, R29, R39)")
{
	vaddr_t va = TM_VA(16);
	char why[80];

	scenario_begin();
	CHECK_EQ(tm_put_at(tm_proc, 0, 16, 'a'), 0);
	CHECK_EQ(sys_mmap_device(tm_proc, &va, ptoa(16), RW, UMAP_SHARED | UMAP_FIXED, DEV_FB, 0), 0);
	CHECK_EQ(inject_configure("pmap-enter:p=0.9", 1, why, sizeof(why)), 0);
	inject_start();
	SCRIPT("a until wait; b pgdaemon until wait; a b pgdaemon until done; b pgdaemon until done",
	    { "a", tm_proc, store_to_all, NULL }, { "b", tm_proc, load_all, NULL },
	    { "pgdaemon", NULL, NULL, NULL });
	inject_stop();
	CHECK(tu_count(UVMC_flt_shortage) > 0);
	for (int i = 0; i < 32; i++)
		CHECK_EQ(tm_load(i), 5);
	scenario_end();
}
MISTAKE(T78_enter_fails_nine_times_of_ten, enter_retry_holds_locks, "sleep-with-lock")

/* --- T-80 --- */

static struct vnode *vp;

/* => one of everything; between two of them it may be stopped */
static void
live(void *arg)
{
	vaddr_t va = TM_VA(4);
	struct proc *child;

	tm_store(0, 1);
	lwp_userret(1);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(0, 2);
	proc_exit(child);
	lwp_userret(1);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(4), RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	tm_store(5, 3);
	CHECK_EQ(sys_msync(tm_proc, va, ptoa(4), UMS_SYNC | UMS_INVALIDATE), 0);
	lwp_userret(1);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(4)), 0);
	lwp_userret(1);
}

static void
stop_and_look(void *arg)
{
	char who[LWP_NAME_MAX];

	CHECK(lwp_stop(UINT64_C(60000000000), who));
	while (!uvm_quiesce() || !lwp_stopped())
		kpause("settle", 200000);
	inspect_at_rest(16);
	lwp_resume();
}

/* a is anywhere, with whatever it has locked, when s asks for the machine to stop. */
SCENARIO(T80_machine_is_stopped_at_each_point,
    "wherever who is to stop is at that moment, all invariants can be looked at, and hold (H-6, H-8)")
{
	char script[80];
	uint64_t points = 1;

	scenario_begin();
	tm_put(tm_proc, "aa");
	vp = tu_file(ptoa(4));
	for (uint64_t k = 1; k <= points; k += 11 - ktest_scale(10)) {	/* with a sanitizer every tenth */
		snprintf(script, sizeof(script), "a until point x%ju; s a until done; a until done", (uintmax_t)k);
		SCRIPT(script, { "a", tm_proc, live, NULL }, { "s", NULL, stop_and_look, NULL });
		points = script_points(0);
	}
	CHECK(points > 300);
	vrele(vp);
	scenario_end();
}

KTEST_MAIN()
