/*
 * Faults whose pmap calls are made to fail or to take long, and what must hold then
 * on every CPU.  pmap_enter(), pmap_mapped(), pmap_update() and uvm_reclaimable() are the linker's
 * wrappers: nothing in the code under test knows.
 */
#include "tmap.h"

#include <string.h>

#define	NPAGES	8192
#define	R	VM_PROT_READ
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

/* --- the wrappers --- */

static int enter_percent;		/* : while threads run; enters that fail */
static int enter_fail;			/* atomic: so many fail, first come */
static int enter_skip;			/* atomic: after so many that do not */
static int enter_errno = ENOMEM;	/* : while threads run; or ERESTART, of which memory is not to blame */
static bool hopeless;			/* : while threads run */
static struct lwp *slow_lwp;		/* atomic: whose pmap_update() takes long */
static int in_update;			/* atomic: it is in there */
static struct lwp *slow_reader;		/* atomic: whose reads end only when they may */
static int reading, may_end;		/* atomic */
static struct vm_page *release;		/* !: the page that relocking finds RELEASED */
static bool was_unmapped;		/* !: pmap_mapped() tells what was before */

int	__real_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__wrap_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
uint64_t __real_pmap_mapped(struct pmap *, vaddr_t, int);
uint64_t __wrap_pmap_mapped(struct pmap *, vaddr_t, int);
void	__real_pmap_update(struct pmap *);
void	__wrap_pmap_update(struct pmap *);
int	__real_uvm_aio_wait(struct uvm_aio *);
int	__wrap_uvm_aio_wait(struct uvm_aio *);
bool	__real_vm_map_lock_read_try(struct vm_map *);
bool	__wrap_vm_map_lock_read_try(struct vm_map *);
bool	__real_uvm_reclaimable(void);
bool	__wrap_uvm_reclaimable(void);

/* => does this one fail? Faults only: what cannot fail never does */
static bool
enter_fails(unsigned flags)
{
	static __thread uint64_t x;

	if ((flags & PMAP_CANFAIL) == 0)
		return false;
	if (__atomic_load_n(&enter_fail, __ATOMIC_RELAXED) > 0) {
		if (__atomic_sub_fetch(&enter_skip, 1, __ATOMIC_RELAXED) >= 0)
			return false;
		return __atomic_sub_fetch(&enter_fail, 1, __ATOMIC_RELAXED) >= 0;
	}
	if (x == 0)
		x = ktest_seed() + curlwp->l_id;
	x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (int)((x >> 33) % 100) < enter_percent;
}

/* R1, R2: a failed enter leaves no mapping; R3: wired over wired does not fail. */
int
__wrap_pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	bool mapped = pmap_extract(pm, va, NULL);

	if (!(mapped && (flags & PMAP_WIRED) != 0) && enter_fails(flags)) {
		if (mapped)
			pmap_remove(pm, va, va + PAGE_SIZE);
		return enter_errno;
	}
	return __real_pmap_enter(pm, va, pa, prot, flags);
}

uint64_t
__wrap_pmap_mapped(struct pmap *pm, vaddr_t va, int n)
{
	return was_unmapped ? 0 : __real_pmap_mapped(pm, va, n);
}

void
__wrap_pmap_update(struct pmap *pm)
{
	if (curlwp == __atomic_load_n(&slow_lwp, __ATOMIC_RELAXED)) {
		__atomic_store_n(&in_update, 1, __ATOMIC_RELEASE);	/* pairs with store_late() */
		for (uint64_t t = host_now_ns() + 3000000; host_now_ns() < t;)
			intr_poll();
	}
	__real_pmap_update(pm);
}

int
__wrap_uvm_aio_wait(struct uvm_aio *aio)
{
	int error = __real_uvm_aio_wait(aio);

	if (curlwp == __atomic_load_n(&slow_reader, __ATOMIC_RELAXED)) {
		__atomic_store_n(&reading, 1, __ATOMIC_RELEASE);	/* pairs with TU_WAIT(reading) */
		while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE)) {
			mutex_spin_enter(&uvm_fpageqlock);	/* kpause() minds the glock */
			(void)mtsleep(&may_end, true, "slowread", 200000, &uvm_fpageqlock);
		}
	}
	return error;
}

bool
__wrap_vm_map_lock_read_try(struct vm_map *map)
{
	if (release != NULL) {
		mutex_enter(&release->uobject->vmobjlock);
		release->flags |= PG_RELEASED;
		mutex_exit(&release->uobject->vmobjlock);
		release = NULL;
	}
	return __real_vm_map_lock_read_try(map);
}

bool
__wrap_uvm_reclaimable(void)
{
	return !hopeless && __real_uvm_reclaimable();
}

/* --- help --- */

static struct vnode *vp;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	vp = tu_file(ptoa(64));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

static void
map_file(int page, int n, int flags)
{
	vaddr_t va = TM_VA(page);

	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa((vsize_t)n), RW, flags | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0), 0);
}

/* --- R29 --- */

#define	LANE	16

/* Pages 0-15 private, 16-31 private file, 32-47 shared file; each thread has a word in each. */
static void
touch_all(struct tm_thread *tt)
{
	unsigned rounds = ktest_scale(20);
	uint64_t w;

	for (unsigned round = 1; round <= rounds; round++) {
		for (int page = 0; page < 3 * LANE; page++) {
			vaddr_t va = TM_VA(page) + 8 * (vaddr_t)tt->tt_number;

			CHECK_EQ(user_load(va, &w), 0);
			CHECK_EQ(w, round == 1 ? (page < LANE ? 0 : tu_word((voff_t)(va - TM_VA(page)) +
			    (voff_t)ptoa(page % LANE + (page / LANE == 2 ? LANE : 0)))) : round - 1);
			CHECK_EQ(user_store(va, round), 0);
		}
		if (tt->tt_number == 0 && round % 4 == 0) {
			pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(3 * LANE));
			pmap_update(tm_map(tm_proc)->pmap);
		}
		lwp_userret(1);
	}
}

KTEST(R29_T78_enter_fails_nine_times_of_ten, "with pmap_enter failing at random every fault ends, and no store is lost")
{
	struct tm_thread tt[4];
	vaddr_t va = TM_VA(2 * LANE);

	begin(4);
	tm_put(tm_proc, "aaaaaaaaaaaaaaaa");
	map_file(LANE, LANE, UMAP_PRIVATE);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(LANE), RW, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, ptoa(LANE)), 0);
	enter_percent = 90;
	tm_start(tm_proc, tt, 4, touch_all, NULL);
	tm_wait(tt, 4);
	enter_percent = 0;
	CHECK(tu_count(UVMC_flt_shortage) > 0);
	CHECK_EQ(uvm.wired, 0);
	end();
}

KTEST(R29_failed_enter_keeps_the_promoted_anon, "when the copy cannot be mapped it stays in its slot, the next fault maps it, and it was copied once")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(0, 5);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	enter_fail = 1;
	tm_store(0, 6);
	CHECK_EQ(tu_count(UVMC_flt_acow), 1);
	CHECK_EQ(tu_count(UVMC_flt_shortage), 1);
	CHECK_EQ(tm_load(0), 6);
	CHECK_EQ(tm_load_in(child, 0), 5);
	proc_exit(child);
	end();
}

KTEST(I_FLT_7_endless_restarts_are_reported, "a fault that starts over a thousand times is a violation, once, and ends when it can")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_collect();
	enter_errno = ERESTART;
	enter_fail = 1500;
	tm_store(0, 5);
	CHECK_STR(tm_seen, "I-FLT-7");
	CHECK_EQ(tu_count(UVMC_flt_restart), 1500 + 1);	/* and one for the amap */
	CHECK_EQ(tm_load(0), 5);
	end();
}

/* --- S5 --- */

static int strange;			/* atomic: values that the parent may not see */

/* The sibling: has the page in its TLB, and looks at it all the time. */
static void
watch(struct tm_thread *tt)
{
	do {
		uint64_t w = tm_load(0);

		if (w != 1 && w != 2)
			__atomic_fetch_add(&strange, 1, __ATOMIC_RELAXED);
	} while (tm_go_on(tt));
}

static void
store_early(struct tm_thread *tt)
{
	__atomic_store_n(&slow_lwp, curlwp, __ATOMIC_RELAXED);
	tm_store(0, 2);
	__atomic_store_n(&slow_lwp, NULL, __ATOMIC_RELAXED);
}

/* The child stores while the parent's copy is being mapped. */
static void
store_late(struct tm_thread *tt)
{
	while (!__atomic_load_n(&in_update, __ATOMIC_ACQUIRE))
		lwp_userret(64);
	tm_store(0, 99);
}

KTEST(S5_T6_no_sibling_sees_the_old_page_again, "once others can store to a page that was copied for us, no thread of ours has it in its TLB")
{
	begin(4);
	for (unsigned round = 0; round < ktest_scale(30); round++) {
		struct tm_thread watcher, early, late;
		struct proc *child;

		tm_put(tm_proc, "a");
		tm_store(0, 1);
		CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
		__atomic_store_n(&in_update, 0, __ATOMIC_RELAXED);
		tm_start(tm_proc, &watcher, 1, watch, NULL);
		kpause("watch", 500000);
		tm_start(child, &late, 1, store_late, NULL);
		tm_start(tm_proc, &early, 1, store_early, NULL);
		tm_wait(&early, 1);
		tm_wait(&late, 1);
		tm_stop();
		tm_wait(&watcher, 1);
		CHECK_EQ(__atomic_load_n(&strange, __ATOMIC_RELAXED), 0);
		CHECK_EQ(tm_load(0), 2);
		CHECK_EQ(tm_load_in(child, 0), 99);
		proc_exit(child);
	}
	end();
}

/* --- while a page is read --- */

static void
start_reading(struct tm_thread *tt)
{
	__atomic_store_n(&reading, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&may_end, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slow_reader, curlwp, __ATOMIC_RELAXED);
	if (tt->tt_arg == NULL)
		(void)tm_load(3);
	else
		tm_store(3, 77);
	__atomic_store_n(&slow_reader, NULL, __ATOMIC_RELAXED);
}

static void
end_reading(void)
{
	__atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);	/* pairs with the acquire in the wrapper */
}

static bool
is_reading(void)
{
	return __atomic_load_n(&reading, __ATOMIC_ACQUIRE) != 0;
}

static bool
page_busy(voff_t off)
{
	struct vm_page *pg;
	bool busy;

	mutex_enter(&vp->v_uobj.vmobjlock);
	pg = uvm_pagelookup(&vp->v_uobj, off);
	busy = pg != NULL && (pg->flags & PG_BUSY) != 0;
	mutex_exit(&vp->v_uobj.vmobjlock);
	return busy;
}

KTEST(H1_fault_lets_its_page_go_when_the_map_is_taken, "a fault that has read its page does not wait for the map with the page busy")
{
	struct tm_thread reader;
	unsigned spins = 0;
	uint64_t deadline;

	begin(2);
	map_file(0, 8, UMAP_SHARED);
	tm_start(tm_proc, &reader, 1, start_reading, NULL);
	TU_WAIT(is_reading());
	CHECK(page_busy((voff_t)ptoa(3)));
	vm_map_lock(tm_map(tm_proc));
	end_reading();
	for (deadline = host_now_ns() + 100000000000; page_busy((voff_t)ptoa(3));) {
		CHECK(host_now_ns() < deadline);	/* for all that the map is ours */
		intr_poll();
		host_relax(&spins);
	}
	vm_map_unlock(tm_map(tm_proc));
	tm_wait(&reader, 1);
	CHECK_EQ(tm_load(3), tu_word((voff_t)ptoa(3)));
	end();
}

static void
load_once(struct tm_thread *tt)
{
	(void)tm_load(3);
}

KTEST(T58_page_that_was_promoted_meanwhile_is_not_mapped, "a load that waited for the file's page while a sibling promoted it maps the anon")
{
	struct tm_thread storer, loader;

	begin(3);
	map_file(0, 8, UMAP_PRIVATE);
	tm_store(0, 1);					/* so that there is an amap */
	CHECK_EQ(tu_put(&vp->v_uobj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	tm_start(tm_proc, &storer, 1, start_reading, &storer);
	TU_WAIT(is_reading());
	tm_start(tm_proc, &loader, 1, load_once, NULL);
	kpause("loader", 5000000);			/* asleep on the busy page */
	end_reading();
	tm_wait(&storer, 1);
	tm_wait(&loader, 1);
	CHECK_EQ(tm_load(3), 77);
	end();
}

KTEST(released_page_is_freed_and_read_again, "a page that comes RELEASED from the pager is not mapped (B-24)")
{
	struct vm_page *pg;

	begin(1);
	map_file(0, 8, UMAP_SHARED);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(8), UMADV_RANDOM), 0);
	(void)tu_resident(&vp->v_uobj, (voff_t)ptoa(3));
	pg = tu_get(&vp->v_uobj, (voff_t)ptoa(3));
	release = pg;
	{
		struct tm_thread loader;

		tm_start(tm_proc, &loader, 1, load_once, NULL);
		kpause("loader", 5000000);		/* asleep on the busy page */
		tu_unbusy(pg);
		tm_wait(&loader, 1);
	}
	CHECK(release == NULL);
	CHECK_EQ(tu_count(UVMC_fltpgrele), 1);
	CHECK_EQ(tm_load(3), tu_word((voff_t)ptoa(3)));
	end();
}

/* --- amaps that are shared on purpose --- */

KTEST(I_AMAP_9_neighbours_in_a_shared_amap, "a load does not map the file's pages around it where a sharer may put anons above them")
{
	struct proc *sharer;

	begin(1);
	map_file(0, 8, UMAP_PRIVATE);
	(void)tm_load(5);				/* mapped before the amap is shared */
	CHECK_EQ(sys_minherit(tm_proc, TM_VA(0), ptoa(8), MAP_INHERIT_SHARE), 0);
	CHECK_EQ(proc_fork(tm_proc, "sharer", &sharer), 0);
	CHECK_EQ(tm_load(1), tu_word((voff_t)ptoa(1)));
	tm_store_in(sharer, 2, 22);
	tm_store_in(sharer, 5, 55);
	CHECK_EQ(tm_load(2), 22);
	CHECK_EQ(tm_load(5), 55);
	proc_exit(sharer);
	end();
}

KTEST(SHARED_ends_with_the_last_sharer, "an amap that one process is left with is not shared any more")
{
	struct vm_map_entry *e;
	struct proc *sharer;

	begin(1);
	tm_put(tm_proc, "ss");
	tm_store(0, 1);
	CHECK_EQ(proc_fork(tm_proc, "sharer", &sharer), 0);
	e = tm_map(tm_proc)->header.next;
	amap_lock(e->aref.ar_amap);
	CHECK(amap_shared(e->aref.ar_amap));
	amap_unlock(e->aref.ar_amap);
	proc_exit(sharer);
	amap_lock(e->aref.ar_amap);
	CHECK(!amap_shared(e->aref.ar_amap));
	CHECK_EQ(amap_refs(e->aref.ar_amap), 1);
	amap_unlock(e->aref.ar_amap);
	end();
}

KTEST(T34_partial_reference_counts_its_slots, "a reference to a part is counted by slot from the state before it")
{
	struct vm_aref aref = { 0, NULL }, part;
	struct vm_anon *anon;

	begin(1);
	aref.ar_amap = amap_alloc(ptoa(8), 0, true);
	amap_lock(aref.ar_amap);
	for (vaddr_t off = 0; off < ptoa(8); off += PAGE_SIZE) {
		anon = uvm_analloc();
		(void)amap_add(&aref, off, anon, false);
		mutex_exit(&anon->an_lock);
	}
	amap_unlock(aref.ar_amap);
	part = (struct vm_aref){ 2, aref.ar_amap };
	amap_ref(&part, 3, 0);			/* slots 2, 3, 4 */
	CHECK_EQ(amap_refs(aref.ar_amap), 2);
	amap_unref(&aref, 8, false);		/* the others go */
	CHECK_EQ(uvm_anon_count(), 3);
	amap_lock(part.ar_amap);
	CHECK_EQ(amap_check(part.ar_amap), 0);
	CHECK(amap_lookup(&part, 0) != NULL && amap_lookup(&part, ptoa(2)) != NULL);
	amap_unlock(part.ar_amap);
	amap_unref(&part, 3, false);
	CHECK_EQ(uvm_anon_count(), 0);
	end();
}

KTEST(I_PG_1_promoted_page_is_on_a_queue, "a page that was promoted, whether zeroes or a copy, is active")
{
	struct proc *child;

	begin(1);
	tm_put(tm_proc, "a");
	map_file(1, 1, UMAP_PRIVATE);
	tm_store(0, 1);
	tm_store(1, 1);
	uvm_pgintent_flush();
	CHECK((tm_page(tm_proc, 0)->pqflags & PQ_ACTIVE) != 0);
	CHECK((tm_page(tm_proc, 1)->pqflags & PQ_ACTIVE) != 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(0, 2);
	uvm_pgintent_flush();
	CHECK((tm_page(tm_proc, 0)->pqflags & PQ_ACTIVE) != 0);
	proc_exit(child);
	end();
}

/* --- fresh pages become active together --- */

KTEST(fresh_pages_become_active_in_batches, "a fresh page is noted down by its CPU, and put on its queue with the others of it")
{
	struct uvmexp ue;

	begin(1);
	tm_put_at(tm_proc, 0, (int)uvm.intent_max + 1, 'a');
	uvm_pgintent_flush();
	CHECK_EQ(uvm.active, 0);
	for (unsigned i = 0; i + 1 < uvm.intent_max; i++)
		tm_store((int)i, 1);
	CHECK(uvm.intent_max > 1 && uvm.active == 0 && uvm_pgintent_count() == uvm.intent_max - 1);
	CHECK_EQ(tm_page(tm_proc, 0)->intent, 1);
	tm_store((int)uvm.intent_max - 1, 1);
	CHECK(uvm.active == uvm.intent_max && uvm_pgintent_count() == 0);
	CHECK(tm_page(tm_proc, 0)->intent == 0 && (tm_page(tm_proc, 0)->pqflags & PQ_ACTIVE) != 0);
	tm_store((int)uvm.intent_max, 1);
	uvm_stat_get(&ue);				/* whoever reads counters is told of those, too */
	CHECK_EQ(ue.active, uvm.intent_max + 1);
	CHECK_EQ(uvm.active, uvm.intent_max + 1);
	end();
}

KTEST(R7_page_noted_down_is_wired, "what is wired, deactivated or freed before it was put on its queue is on no CPU's list")
{
	begin(1);
	tm_put_at(tm_proc, 0, 8, 'a');
	uvm_pgintent_flush();
	for (int i = 0; i < 3; i++)
		tm_store(i, 1);
	CHECK_EQ(uvm_pgintent_count(), 3);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(2), PAGE_SIZE, UMADV_FREE), 0);
	CHECK(uvm_pgintent_count() == 2 && tm_page(tm_proc, 2) == NULL);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(1), PAGE_SIZE, UMADV_DONTNEED), 0);
	CHECK(uvm_pgintent_count() == 1 && (tm_page(tm_proc, 1)->pqflags & PQ_INACTIVE) != 0);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	CHECK(uvm_pgintent_count() == 0 && tm_page(tm_proc, 0)->intent == 0);
	CHECK(uvm.active == 0 && uvm.inactive == 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), PAGE_SIZE), 0);
	end();
}

/* --- wiring --- */

KTEST(failed_mlock_leaves_no_wired_mapping, "mlock that fails at any page leaves neither wired pages nor wired mappings")
{
	begin(1);
	map_file(8, 8, UMAP_SHARED);
	tm_put(tm_proc, "aaaaaaaa");
	hopeless = true;
	for (int k = 0; k < 16; k++) {
		pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(16));
		pmap_update(tm_map(tm_proc)->pmap);
		enter_skip = k;
		enter_fail = 1;
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(16)), ENOMEM);
		CHECK_EQ(enter_fail, 0);
		CHECK_EQ(uvm.wired, 0);
		CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	}
	hopeless = false;
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(16)), 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 16);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(16)), 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	end();
}

KTEST(B16_second_vslock_keeps_its_mapping_wired, "of two transfers on a page the first to end leaves the mapping wired for the other")
{
	struct vmspace *vm;

	begin(1);
	tm_put(tm_proc, "aa");
	vm = tm_proc->p_vmspace;
	CHECK_EQ(uvm_vslock(vm, TM_VA(0), ptoa(2), RW), 0);
	CHECK_EQ(uvm_vslock(vm, TM_VA(1), ptoa(1), RW), 0);
	uvm_vsunlock(vm, TM_VA(0), ptoa(2));
	CHECK_EQ(tm_wire_count(tm_proc, 0), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 1), 1);
	CHECK_EQ(pmap_wired_count(vm->vm_map.pmap), 1);
	uvm_vsunlock(vm, TM_VA(1), ptoa(1));
	CHECK_EQ(pmap_wired_count(vm->vm_map.pmap), 0);
	end();
}

KTEST(B16_neighbour_that_IO_has_wired_since, "a fault that maps what is in memory around it leaves alone what I/O has wired since it asked what is mapped")
{
	struct vmspace *vm;

	begin(1);
	vm = tm_proc->p_vmspace;
	tm_put(tm_proc, "aa");
	map_file(2, 2, UMAP_SHARED);
	for (int page = 0; page < 4; page += 2) {
		tm_store(page, 1);
		CHECK_EQ(uvm_vslock(vm, TM_VA(page + 1), PAGE_SIZE, RW), 0);
		pmap_remove(vm->vm_map.pmap, TM_VA(page), TM_VA(page + 1));
		pmap_update(vm->vm_map.pmap);
		was_unmapped = true;
		CHECK_EQ(tm_load(page), 1);
		was_unmapped = false;
		CHECK_EQ(pmap_wired_count(vm->vm_map.pmap), 1);
		uvm_vsunlock(vm, TM_VA(page + 1), PAGE_SIZE);
	}
	end();
}

/* Another thread has faulted the neighbours in since it was asked who is mapped, and the enter takes that out. */
KTEST(S5_neighbour_that_fails_is_told_before_the_map_is_unlocked, "what a neighbour's failed enter has taken away is told before the fault sleeps")
{
	begin(1);
	map_file(0, 4, UMAP_SHARED);
	for (int page = 0; page < 4; page++)
		(void)tm_load(page);
	(void)tu_put(&vp->v_uobj, (voff_t)ptoa(2), (voff_t)ptoa(3), PGO_FREE | PGO_CLEANIT | PGO_SYNCIO);
	was_unmapped = true;
	enter_fail = 1;
	CHECK_EQ(tm_load(2), tu_word((voff_t)ptoa(2)));
	was_unmapped = false;
	CHECK_EQ(enter_fail, 0);
	CHECK_EQ(tm_load(0), tu_word(0));
	end();
}

KTEST(B16_wired_mapping_of_a_shared_page_ends_with_ours, "a page that another process has wired does not keep our mapping wired")
{
	struct proc *other;

	begin(1);
	tm_put(tm_proc, "oo");
	CHECK_EQ(proc_create("other", &other), 0);
	tm_put(other, "oo");
	CHECK_EQ(sys_mlock(other, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(2), RW), 0);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 2);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(2));
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	proc_exit(other);
	end();
}

KTEST(R31_io_on_a_wired_shared_page, "a transfer on shared memory that is mlocked leaves its mapping wired")
{
	begin(1);
	tm_put(tm_proc, "oo");
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(0), ptoa(2), RW), 0);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(0), ptoa(2));
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 2);
	CHECK_EQ(tm_wire_count(tm_proc, 0), 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(0), ptoa(2)), 0);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	end();
}

KTEST(B19_page_that_the_wirer_has_not_reached, "a fault on a wired entry maps a page that is not wired yet as what it is")
{
	struct vm_map_entry *e;

	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	e = tm_map(tm_proc)->header.next;
	vm_map_lock(tm_map(tm_proc));
	e->wired_count = 1;			/* as between mlock's two passes */
	vm_map_unlock(tm_map(tm_proc));
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(pmap_wired_count(tm_map(tm_proc)->pmap), 0);
	vm_map_lock(tm_map(tm_proc));
	e->wired_count = 0;
	vm_map_unlock(tm_map(tm_proc));
	end();
}

KTEST_DEATH(B8_unwiring_what_is_not_wired, "unwiring a page that is not wired panics", "not wired")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	uvm_fault_unwire(tm_map(tm_proc), TM_VA(0), TM_VA(1));
}

/* --- fault-ahead, counted --- */

/* => faults that a sequential reader of n resident pages of the file takes */
static uint64_t
faults_of_reader(int n)
{
	uint64_t before;

	map_file(0, n, UMAP_SHARED);
	for (int i = 0; i < n; i++)
		(void)tu_resident(&vp->v_uobj, (voff_t)ptoa(i));
	before = tu_count(UVMC_faults);
	for (int i = 0; i < n; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	CHECK_EQ(tu_count(UVMC_flt_pagein), 0);
	return tu_count(UVMC_faults) - before;
}

KTEST(fault_ahead_saves_four_faults_of_five, "a sequential reader of resident pages faults once for each five; without fault-ahead for each")
{
	begin(1);
	CHECK_EQ(faults_of_reader(40), 8);
	CHECK_EQ(tu_count(UVMC_flt_soft), 8);
	uvm_fault_ahead = false;
	CHECK_EQ(faults_of_reader(40), 40);
	CHECK_EQ(tu_count(UVMC_flt_soft), 48);
	end();
}

KTEST(R20_sequential_reader_ages_file_pages_behind, "file pages behind a sequential reader become inactive, but those in use by I/O or wired")
{
	begin(1);
	map_file(0, 20, UMAP_SHARED);
	for (int i = 0; i < 20; i++)
		(void)tu_resident(&vp->v_uobj, (voff_t)ptoa(i));
	CHECK_EQ(uvm_vslock(tm_proc->p_vmspace, TM_VA(5), ptoa(1), R), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(20), UMADV_SEQUENTIAL), 0);
	CHECK_EQ(uvm.inactive, 0);
	(void)tm_load(10);
	CHECK_EQ(uvm.inactive, 7);
	for (int i = 0; i < 20; i++)
		CHECK_EQ((tu_lookup(&vp->v_uobj, (voff_t)ptoa(i))->pqflags & PQ_INACTIVE) != 0, i >= 2 && i < 10 && i != 5);
	uvm_vsunlock(tm_proc->p_vmspace, TM_VA(5), ptoa(1));
	end();
}

KTEST_MAIN()
