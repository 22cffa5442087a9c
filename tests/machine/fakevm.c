/*
 * See fakevm.h.  Pages are an array of the host's; their frames are simulated
 * RAM.  Kernel memory for kmem and pools comes from the same frames.
 */
#include "fakevm.h"

#include <errno.h>
#include <host/host.h>
#include <stdlib.h>
#include <string.h>
#include <sys/kmem.h>
#include <sys/pool.h>

#include "../../src/machine/pmap_private.h"

#define	NPAGES		4096
#define	NDECL		2048

int fv_ptp_supply = -1;
bool fv_ptp_recycle, fv_steal;
struct vm_page *fv_trap_page;
uint64_t fv_faults;

static struct vm_page *pages;
static struct vm_page *freelist;	/* lock */
static uint64_t nfree;			/* lock */
static kmutex_t lock;			/* LC_fpageq, IPL_VM */
static struct {
	vaddr_t		 va;
	struct vm_page	*pg;
	vm_prot_t	 prot;
} decl[NDECL];
static int ndecl;
static bool counting;			/* violations do not end the test */
static unsigned nviolations;		/* atomic */
static struct {
	char		 id[24];
	unsigned	 n;
} seen[16];

/*
 * Pages.
 */

static void
page_put(struct vm_page *pg)
{
	mutex_enter(&lock);
	KASSERT(pg->busy);
	pg->busy = false;
	pg->next = freelist;
	freelist = pg;
	nfree++;
	mutex_exit(&lock);
}

static struct vm_page *
page_get(void)
{
	struct vm_page *pg;

	mutex_enter(&lock);
	pg = freelist;
	if (pg != NULL) {
		freelist = pg->next;
		pg->busy = true;
		nfree--;
	}
	mutex_exit(&lock);
	if (pg != NULL) {
		ram_frame_check(&pg->md);
		pmap_zero_page(fv_pa(pg));
	}
	return pg;
}

struct vm_page *
fv_alloc(void)
{
	struct vm_page *pg = page_get();

	KASSERT(pg != NULL);
	return pg;
}

void
fv_free(struct vm_page *pg)
{
	ram_frame_freed(&pg->md);
	page_put(pg);
}

uint64_t
fv_nfree(void)
{
	uint64_t n;

	mutex_enter(&lock);
	n = nfree;
	mutex_exit(&lock);
	return n;
}

void
fv_fill(struct vm_page *pg, uint64_t word)
{
	for (size_t i = 0; i < PAGE_SIZE / sizeof(word); i++)
		__atomic_store_n(&fv_words(pg)[i], word, __ATOMIC_RELAXED);
}

/* => n pages in a row, from the top, for kmem's larger requests. */
static void *
run_get(size_t n, km_flag_t flags)
{
	struct vm_page **pp;
	size_t run = 0;
	uint64_t pfn;

	if (n == 1) {
		struct vm_page *pg = page_get();
		return pg != NULL ? ram_host(fv_pa(pg)) : NULL;
	}
	mutex_enter(&lock);
	for (pfn = NPAGES; pfn-- > 0 && run < n;)
		run = pages[pfn].busy ? 0 : run + 1;
	pfn++;
	KASSERT(run == n);
	for (size_t i = 0; i < n; i++) {
		for (pp = &freelist; *pp != &pages[pfn + i]; pp = &(*pp)->next)
			continue;
		*pp = pages[pfn + i].next;
		pages[pfn + i].busy = true;
	}
	nfree -= n;
	mutex_exit(&lock);
	memset(ram_host(ptoa(pfn)), 0, n * PAGE_SIZE);
	return ram_host(ptoa(pfn));
}

static void
run_free(void *p, size_t n)
{
	struct vm_page *pg = &pages[atop((uint8_t *)p - ram_base)];

	for (size_t i = 0; i < n; i++)
		fv_free(&pg[i]);
}

static bool pv_cut;			/* atomic: no page for the pv pool */

static void *
pv_page(struct pool *pp, int flags)
{
	if (__atomic_load_n(&pv_cut, __ATOMIC_RELAXED))
		return NULL;
	return run_get(1, KM_NOSLEEP);
}

static void
pv_page_free(struct pool *pp, void *p)
{
	run_free(p, 1);
}

static const struct kmem_backend kmem_backend = { run_get, run_free };
static const struct pool_allocator pv_allocator = { pv_page, pv_page_free, PAGE_SIZE };

/*
 * Page table pages.
 */

static struct vm_page *
ptp_alloc(void)
{
	if (__atomic_load_n(&fv_ptp_supply, __ATOMIC_RELAXED) == 0)
		return NULL;
	if (__atomic_load_n(&fv_ptp_supply, __ATOMIC_RELAXED) > 0)
		__atomic_fetch_sub(&fv_ptp_supply, 1, __ATOMIC_RELAXED);
	return page_get();
}

static void
ptp_free(struct vm_page *pg)
{
	if (fv_trap_page != NULL) {
		ram_frame_freed(&pg->md);
		fv_fill(pg, fv_pa(fv_trap_page) | PTE_V | PTE_RIGHTS | PTE_RM);
		/* Let it lie for a while, for a late walker to find; then it is free. */
		for (unsigned spins = 0; spins < 20;)
			host_relax(&spins);
	}
	fv_free(pg);
	if (fv_ptp_recycle && __atomic_load_n(&fv_ptp_supply, __ATOMIC_RELAXED) >= 0)
		__atomic_fetch_add(&fv_ptp_supply, 1, __ATOMIC_RELAXED);
}

static bool
memory_low(void)
{
	return __atomic_load_n(&fv_ptp_supply, __ATOMIC_RELAXED) == 0;
}

/* Shortage of pv entries: map one page as often as it takes. */
static struct pmap *hog;
static struct vm_page *hog_page;
#define	HOG_BASE	0x100000000UL
#define	HOG_MAX		100000

void
fv_pv_exhaust(void)
{
	int supply = __atomic_load_n(&fv_ptp_supply, __ATOMIC_RELAXED);
	vaddr_t va = HOG_BASE;

	hog = pmap_create();
	hog_page = fv_alloc();
	__atomic_store_n(&fv_ptp_supply, -1, __ATOMIC_RELAXED);
	__atomic_store_n(&pv_cut, true, __ATOMIC_RELAXED);
	while (pmap_enter(hog, va, fv_pa(hog_page), VM_PROT_READ, PMAP_CANFAIL) == 0) {
		va += PAGE_SIZE;
		KASSERT(va < HOG_BASE + HOG_MAX * PAGE_SIZE);
	}
	pmap_update(hog);
	__atomic_store_n(&fv_ptp_supply, supply, __ATOMIC_RELAXED);
}

void
fv_pv_relax(void)
{
	__atomic_store_n(&pv_cut, false, __ATOMIC_RELAXED);
	pmap_remove(hog, HOG_BASE, HOG_BASE + HOG_MAX * PAGE_SIZE);
	pmap_update(hog);
	fv_destroy(hog);
	fv_free(hog_page);
}

/*
 * Faults.
 */

void
fv_declare(vaddr_t va, struct vm_page *pg, vm_prot_t prot)
{
	KASSERT(ndecl < NDECL);
	decl[ndecl].va = va;
	decl[ndecl].pg = pg;
	decl[ndecl].prot = prot;
	ndecl++;
}

void
fv_forget(vaddr_t va)
{
	for (int i = 0; i < ndecl; i++) {
		if (decl[i].va == va) {
			decl[i] = decl[--ndecl];
			return;
		}
	}
	panic("nothing declared at 0x%llx", (unsigned long long)va);
}

static int
fault(struct pmap *pm, vaddr_t va, vm_prot_t access)
{
	int error;

	__atomic_fetch_add(&fv_faults, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < ndecl; i++) {
		if (decl[i].va != va)
			continue;
		if (access & ~decl[i].prot)
			return EACCES;
		error = pmap_enter(pm, va, fv_pa(decl[i].pg), decl[i].prot,
		    (unsigned)access | PMAP_CANFAIL);
		pmap_update(pm);
		return error;
	}
	return EFAULT;
}

/*
 * LWPs.
 */

struct lwp *
fv_spawn(struct pmap *pm, const char *name, void (*fn)(void *), void *arg)
{
	struct lwp *l;
	int error = lwp_create(&l, NULL, name, fn, arg);

	KASSERT(error == 0);
	l->l_pmap = pm;
	lwp_start(l);
	return l;
}

void
fv_join(struct lwp *l)
{
	lwp_wait(l);
}

void
fv_use(struct pmap *pm)
{
	curlwp->l_pmap = pm;
	pmap_activate(curlwp);
}

void
fv_pause(unsigned *spins)
{
	intr_poll();
	yield();
	host_relax(spins);
}

void
fv_destroy(struct pmap *pm)
{
	if (curlwp->l_pmap == pm)
		fv_use(NULL);
	pmap_destroy(pm);
}

/*
 * Violations.
 */

static bool
sink(const struct violation *v)
{
	if (!counting || v->v_kind == VIOL_PANIC || v->v_kind == VIOL_LOCK_ASSERTION)
		return false;
	__atomic_fetch_add(&nviolations, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		if (seen[i].n == 0)
			snprintf(seen[i].id, sizeof(seen[i].id), "%s", v->v_id);
		if (strcmp(seen[i].id, v->v_id) == 0) {
			seen[i].n++;
			return true;
		}
	}
	return true;
}

/* => from one LWP at a time. */
void
fv_expect_violations(void)
{
	memset(seen, 0, sizeof(seen));
	nviolations = 0;
	counting = true;
}

unsigned
fv_violations(const char *id)
{
	splx(splhigh());		/* handlers report, too */
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		if (seen[i].n != 0 && strcmp(seen[i].id, id) == 0)
			return seen[i].n;
	}
	return 0;
}

unsigned
fv_violations_any(void)
{
	return __atomic_load_n(&nviolations, __ATOMIC_RELAXED);
}

/*
 * Boot.
 */

unsigned
fv_rounds(unsigned n)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	return n / 10;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
	return n / 10;
#endif
#endif
	return n;
}

void
fv_boot(int n, bool software_rm)
{
	const struct kern_config kc = {
		.kc_ncpu = n,
		.kc_seed = 1,
		.kc_signals = getenv("KTEST_SIGNALS") != NULL,
		.kc_upcall = { .cpu_switch = machine_cpu_switch },
	};
	const struct machine_config mc = {
		.mc_software_rm = software_rm,
		.mc_ptp_steal = fv_steal,
		.mc_upcall = { fault, ptp_alloc, ptp_free, memory_low },
	};
	int error;

	failure_sink = sink;
	error = kern_boot(&kc);
	KASSERT(error == 0);
	error = ram_init(NPAGES);
	KASSERT(error == 0);
	mutex_init(&lock, MUTEX_DEFAULT, IPL_VM, LC_fpageq);
	pages = calloc(NPAGES, sizeof(*pages));
	KASSERT(pages != NULL);
	ram_attach_pages(pages, sizeof(*pages));
	for (int i = NPAGES; i-- > 0;) {
		pages[i].busy = true;
		page_put(&pages[i]);
	}
	kmem_init(&kmem_backend);
	error = machine_boot(&mc);
	KASSERT(error == 0);
	pmap_init(&pv_allocator);
	(void)pmap_growkernel(VM_MIN_KERNEL_ADDRESS + (16UL << 20));
}

void
fv_shutdown(void)
{
	fv_use(NULL);
	machine_shutdown();
	kmem_fini();
	KASSERTMSG(nfree == NPAGES, "%llu of %d pages came back", (unsigned long long)nfree, NPAGES);
	kern_shutdown();
	ram_fini();
	free(pages);
	pages = NULL;
	freelist = NULL;
	nfree = 0;
}
