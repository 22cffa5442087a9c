/* See tuvm.h. */
#include "tuvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/intr.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define	TU_SLOTS	4096

uint64_t tu_swap;
bool tu_ptp_steal;
uint64_t tu_history;
int tu_swapdevs;
int tu_ubc_windows;
static struct pmap *tu_pmap;
static struct pglist tu_taken = TAILQ_HEAD_INITIALIZER(tu_taken);

void
tu_boot(int ncpus, uint64_t npages)
{
	struct uvm_config uc = {
		.uc_ncpu = ncpus, .uc_seed = 1, .uc_signals = ktest_signals(),
		.uc_memory = ptoa(npages), .uc_fault_ahead = true,
		.uc_swap = tu_swap, .uc_swapdevs = tu_swapdevs, .uc_ubc_windows = tu_ubc_windows,
		.uc_ptp_steal = tu_ptp_steal, .uc_history = tu_history, .uc_detail = true,
	};

	CHECK(uvm_boot(&uc) == 0);
}

void
tu_shutdown(void)
{
	tu_unmap_all();
	tu_release();
	rcu_barrier();
	tu_check_pages();
	CHECK(uvm_shutdown() == 0);
}

/* --- invariants --- */

static uint64_t
tu_queue_length(struct pglist *q, uint32_t flag)
{
	struct vm_page *pg;
	uint64_t n = 0;

	TAILQ_FOREACH(pg, q, pageq) {
		CHECK((pg->pqflags & flag) != 0);
		n++;
	}
	return n;
}

void
tu_check_pages(void)
{
	uint64_t wired = 0, anon = 0, file = 0, aobj = 0, private = 0, queued = 0, free = 0, listed = 0;

	uvm_pgflcache_drain();		/* and so we have seen what each CPU did to its pages */
	uvm_pgintent_flush();
	for (uint64_t i = 0; i < uvm.npages; i++) {
		struct vm_page *pg = &uvm.pages[i];
		uint32_t q = pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE);

		CHECK(q != (PQ_ACTIVE | PQ_INACTIVE));				/* I-PG-3 */
		CHECK((pg->pqflags & PQ_FREE) == 0 || pg->pqflags == PQ_FREE);	/* I-PG-3 */
		CHECK(pg->wire_count == 0 || q == 0);				/* I-PG-2 */
		CHECK((pg->flags & PG_BUSY) != 0 ||				/* I-PG-8 */
		    (pg->flags & (PG_FAKE | PG_RELEASED | PG_PAGEOUT)) == 0);
		CHECK((pg->pqflags & PQ_ANON) == 0 ||				/* I-PG-10 */
		    (pg->uanon != NULL && pg->uobject == NULL));
		free += pg->pqflags == PQ_FREE;
		queued += q != 0;
		wired += pg->wire_count > 0;
		private += (pg->pqflags & PQ_PRIVATE) != 0;
		anon += (pg->pqflags & PQ_ANON) != 0;
		aobj += (pg->pqflags & PQ_AOBJ) != 0;
		file += pg->uobject != NULL && UVM_OBJ_IS_VNODE(pg->uobject);
	}
	CHECK_EQ(free, uvm.free + uvm_pgflcache_count());			/* I-PG-14 */
	for (unsigned i = 0; i < uvm.nbuckets; i++)
		listed += tu_queue_length(&uvm.page_free[i], PQ_FREE);
	CHECK_EQ(listed, uvm.free);
	CHECK_EQ(tu_queue_length(&uvm.page_active, PQ_ACTIVE), uvm.active);	/* I-PG-3 */
	CHECK_EQ(tu_queue_length(&uvm.page_inactive, PQ_INACTIVE), uvm.inactive);
	CHECK_EQ(queued, uvm.active + uvm.inactive);
	CHECK_EQ(wired, uvm.wired);						/* I-PG-4 */
	CHECK_EQ(private, uvm_gauge(UVMG_kernpages));
	CHECK_EQ(anon, uvm_gauge(UVMG_anonpages));						/* I-STAT-2 */
	CHECK_EQ(file, uvm_gauge(UVMG_filepages));
	CHECK_EQ(aobj, uvm_gauge(UVMG_aobjpages));
}

/* --- files and objects --- */

uint64_t
tu_word(voff_t off)
{
	return ((uint64_t)off + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

struct vnode *
tu_file(voff_t size)
{
	int fd = memfd_create("tuvm", 0);

	CHECK(fd >= 0);
	for (voff_t o = 0; o < size; o += (voff_t)PAGE_SIZE) {
		uint64_t w[PAGE_SIZE / 8];
		size_t n = size - o < (voff_t)PAGE_SIZE ? (size_t)(size - o) : PAGE_SIZE;

		for (size_t i = 0; i < PAGE_SIZE / 8; i++)
			w[i] = tu_word(o + 8 * (voff_t)i);
		CHECK(pwrite(fd, w, n, o) == (ssize_t)n);
	}
	return vnode_create("tuvm", fd, size);
}

uint64_t
tu_host_word(struct vnode *vp, voff_t off)
{
	uint64_t w = 0;

	CHECK(pread(vp->v_fd, &w, sizeof(w), off) >= 0);
	return w;
}

voff_t
tu_host_size(struct vnode *vp)
{
	struct stat st;

	CHECK(fstat(vp->v_fd, &st) == 0);
	return st.st_size;
}

struct vm_page *
tu_get(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = NULL;
	int n = 1;

	mutex_enter(&uobj->vmobjlock);
	CHECK_EQ(uobj->pgops->pgo_get(uobj, off, &pg, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0), 0);
	CHECK(pg != NULL && n == 1);
	mutex_enter(&uobj->vmobjlock);		/* others may want it already */
	CHECK((pg->flags & (PG_BUSY | PG_FAKE)) == PG_BUSY);
	mutex_exit(&uobj->vmobjlock);
	return pg;
}

/* What PGO_OVERWRITE asks of its caller; the page is all zeroes then. */
static void
tu_fill(struct vm_page *pg)
{
	mutex_enter(uvm_page_owner_lock(pg));
	pmap_zero_page(VM_PAGE_TO_PHYS(pg));
	pg->flags &= ~(PG_FAKE | PG_CLEAN);
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
	mutex_exit(uvm_page_owner_lock(pg));
}

int
tu_get_error(struct uvm_object *uobj, voff_t off, int flags)
{
	struct vm_page *pg = NULL;
	int n = 1, error;

	mutex_enter(&uobj->vmobjlock);
	error = uobj->pgops->pgo_get(uobj, off, &pg, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, flags);
	if (flags & PGO_LOCKED) {
		if (pg != NULL)
			uvm_page_unbusy(&pg, 1);
		mutex_exit(&uobj->vmobjlock);
	} else if (error == 0) {
		if (flags & PGO_OVERWRITE)
			tu_fill(pg);
		tu_unbusy(pg);
	}
	return error;
}

void
tu_unbusy(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	mutex_enter(slock);
	uvm_lock_pageq();
	uvm_page_unbusy(&pg, 1);
	uvm_unlock_pageq();
	mutex_exit(slock);
}

struct vm_page *
tu_resident(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg = tu_get(uobj, off);

	tu_unbusy(pg);
	return pg;
}

struct vm_page *
tu_lookup(struct uvm_object *uobj, voff_t off)
{
	struct vm_page *pg;

	mutex_enter(&uobj->vmobjlock);
	pg = uvm_pagelookup(uobj, off);
	mutex_exit(&uobj->vmobjlock);
	return pg;
}

int
tu_put(struct uvm_object *uobj, voff_t start, voff_t stop, int flags)
{
	mutex_enter(&uobj->vmobjlock);
	return uobj->pgops->pgo_put(uobj, start, stop, flags);
}

uint64_t *
tu_words(struct vm_page *pg)
{
	return ram_host(VM_PAGE_TO_PHYS(pg));
}

/* --- mappings --- */

void
tu_map(struct vm_page *pg, int slot, vm_prot_t prot, unsigned flags)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	CHECK(slot < TU_SLOTS);
	if (tu_pmap == NULL) {
		tu_pmap = pmap_create();
		curlwp->l_pmap = tu_pmap;
		pmap_activate(curlwp);
	}
	mutex_enter(slock);
	CHECK_EQ(pmap_enter(tu_pmap, TU_VA + ptoa(slot), VM_PAGE_TO_PHYS(pg), prot, flags), 0);
	mutex_exit(slock);
	pmap_update(tu_pmap);
}

bool
tu_mapped(int slot)
{
	paddr_t pa;

	return tu_pmap != NULL && pmap_extract(tu_pmap, TU_VA + ptoa(slot), &pa);
}

void
tu_load(int slot)
{
	uint64_t w;

	CHECK_EQ(user_load(TU_VA + ptoa(slot), &w), 0);
}

void
tu_store(int slot, uint64_t w)
{
	CHECK_EQ(user_store(TU_VA + ptoa(slot), w), 0);
}

void
tu_unmap_all(void)
{
	struct pmap *pm = tu_pmap;

	if (pm == NULL)
		return;
	pmap_remove(pm, TU_VA, TU_VA + ptoa(TU_SLOTS));
	pmap_update(pm);
	curlwp->l_pmap = NULL;
	pmap_activate(curlwp);
	pmap_destroy(pm);
	tu_pmap = NULL;
}

/* --- counting and shortage --- */

uint64_t
tu_count(enum uvm_counter c)
{
	struct uvmexp ue;

	uvm_stat_get(&ue);
	return ue.count[c];
}

void
tu_spin_until(enum uvm_counter c, uint64_t least)
{
	unsigned spins = 0;
	uint64_t n = 0;

	while (n < least) {
		n = 0;
		for (int i = 0; i < ncpu; i++)
			n += __atomic_load_n(&uvm_cpu(i)->uc_count[c], __ATOMIC_RELAXED);
		intr_poll();
		host_relax(&spins);
	}
}

uint64_t
tu_free(void)
{
	uvm_pgflcache_drain();
	return uvm.free;
}

uint64_t
tu_take(uint64_t n, int flags)
{
	struct vm_page *pg;
	uint64_t got = 0;

	uvm_pgflcache_drain();		/* or some is left when all is taken */
	for (; got < n; got++) {
		pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE | flags);
		if (pg == NULL)
			break;
		TAILQ_INSERT_TAIL(&tu_taken, pg, pageq);
	}
	uvm_pgflcache_drain();		/* and so what is left can be had by all */
	return got;
}

int tu_waiting, tu_got;

void
tu_hungry(void *arg)
{
	struct vm_page *pg;

	while ((pg = uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE)) == NULL) {
		__atomic_fetch_add(&tu_waiting, 1, __ATOMIC_RELAXED);
		uvm_wait("hungry");
	}
	__atomic_fetch_add(&tu_got, 1, __ATOMIC_RELAXED);
	yield();
	uvm_pagefree(pg);
}

void
tu_lend(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	mutex_enter(slock);
	pmap_copy_on_write(pg);
	uvm_lock_pageq();
	uvm_page_setloans(pg, pg->loan_count + 1);
	uvm_pagewire(pg);					/* R6 */
	uvm_unlock_pageq();
	mutex_exit(slock);
}

void
tu_exhaust(void)
{
	do		/* relaxed: the page daemon may be draining pools as well */
		tu_take(uvm.npages, 0);
	while (pool_drain_all() > 0 ||
	    __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) > uvm.reserve_kernel);
}

void
tu_release_one(void)
{
	struct vm_page *pg = TAILQ_FIRST(&tu_taken);

	TAILQ_REMOVE(&tu_taken, pg, pageq);
	uvm_pagefree(pg);
}

void
tu_release(void)
{
	while (!TAILQ_EMPTY(&tu_taken))
		tu_release_one();
}
