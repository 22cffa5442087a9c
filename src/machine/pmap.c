/*
 * pmap(9), the forward half: operations that come with a pmap and an address.
 * (By page: pmap_pv.c.  Tables: pmap_ptp.c.  Invalidation: pmap_tlb.c.)
 *
 * Each takes pm_lock, changes PTEs by atomic operations, notes what became
 * stale in the LWP's packet, and leaves.  The packet is sent by pmap_update(),
 * with no lock held (S4).
 *
 * A mapping is replaced by one exchange of its PTE, wired or not, so that no
 * CPU finds the address unmapped in between (R3); the page table page is there
 * and the pv entry moves to the new page, so that it cannot fail (R4).  What
 * can fail is a mapping where there was none, and a managed one over an
 * unmanaged one, which needs a pv entry.  Then the old mapping goes too (R2),
 * unless another pmap's table can be had (pmap_steal.c).
 */
#include "pmap_private.h"

#include <errno.h>
#include <host/race.h>
#include <string.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/kmem.h>
#include <sys/pool.h>

struct pmap kernel_pmap;
bool pmap_software_rm;
struct machine_upcall machine_upcall;

static vaddr_t	pmap_kernel_end;	/* pm_lock of the kernel's pmap, read @: tables exist below */

static uint32_t	pmap_lastid;		/* @ births, relaxed: only uniqueness counts */

#define	STEAL_TRIES	4		/* others may be quicker to take what was stolen */

static void	pmap_remove_pte(struct pmap *, vaddr_t, uint64_t *, struct vm_page_md **);

static bool
pmap_va_ok(const struct pmap *pm, vaddr_t s, vaddr_t e)
{
	if (pm->pm_kernel)
		return s >= VM_MIN_KERNEL_ADDRESS && e <= VM_MAX_KERNEL_ADDRESS && s <= e;
	return e <= VM_MAXUSER_ADDRESS && s <= e;
}

static void
pmap_setup(struct pmap *pm, bool kernel)
{
	memset(pm, 0, sizeof(*pm));
	mutex_init(&pm->pm_lock, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	pm->pm_refs = 1;
	pm->pm_id = kernel ? 0 : __atomic_add_fetch(&pmap_lastid, 1, __ATOMIC_RELAXED);
	pm->pm_kernel = kernel;
}

int
machine_boot(const struct machine_config *mc)
{
	KASSERT(ram_base != NULL);
	pmap_software_rm = mc->mc_software_rm;
	pmap_ptp_steal = mc->mc_ptp_steal;
	machine_upcall = mc->mc_upcall;
	pmap_lastid = 0;
	pmap_steal_init();
	pmap_setup(&kernel_pmap, true);
	return pmap_tlb_boot();
}

void
pmap_init(const struct pool_allocator *pa)
{
	pmap_pv_init(pa);
	pmap_kernel_end = VM_MIN_KERNEL_ADDRESS;
}

void
machine_shutdown(void)
{
	if (kernel_pmap.pm_resident != 0)
		violation(VIOL_LEAK, "I-PMAP-8", "%ld kernel mappings left at shutdown",
		    kernel_pmap.pm_resident);
	pmap_tlb_shutdown();
	pmap_steal_fini();
	pmap_ptp_free_all(&kernel_pmap);
	pmap_pv_fini();
	mutex_destroy(&kernel_pmap.pm_lock);
}

struct pmap *
pmap_kernel(void)
{
	return &kernel_pmap;
}

/* => may sleep.  The top table is made with the first mapping. */
struct pmap *
pmap_create(void)
{
	struct pmap *pm = kmem_alloc(sizeof(*pm), KM_SLEEP);

	pmap_setup(pm, false);
	pmap_steal_add(pm);
	return pm;
}

void
pmap_reference(struct pmap *pm)
{
	unsigned refs = __atomic_fetch_add(&pm->pm_refs, 1, __ATOMIC_RELAXED);

	KASSERT(refs > 0);
}

/*
 * => no mapping is left at the last reference, and no LWP has it as its l_pmap
 * => CPUs that still have it active, because their LWP is a zombie that has not
 *    been switched from, are made to leave; after that nobody walks it (S8, T-25)
 */
void
pmap_destroy(struct pmap *pm)
{
	struct lwp_tlb *lt = &curlwp->l_tlb;
	struct pv_entry *gone = NULL;
	int s;

	KASSERT(!pm->pm_kernel);
	host_point(HP_ATOMIC, 0);
	/* release our use, acquire everybody else's: the last one frees. */
	if (__atomic_fetch_sub(&pm->pm_refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	KASSERT(curlwp->l_pmap != pm);
	KASSERTMSG(RELAXED_GET(pm->pm_resident) == 0, "%ld mappings left", pm->pm_resident);

	pmap_steal_delete(pm);
	pmap_tlb_expel(pm);
	s = splvm();			/* as in pmap_update() */
	if (lt->lt_pmap == pm) {
		RELAXED_SET(lt->lt_pmap, NULL);	/* every TLB forgot it just now */
		lt->lt_nva = 0;
		gone = lt->lt_gone;
		lt->lt_gone = NULL;
		RELAXED_SET(lt->lt_ngone, 0);
		__atomic_fetch_sub(&pm->pm_unsettled, 1, __ATOMIC_RELAXED);	/* nobody asks any more */
	}
	splx(s);
	KASSERTMSG(RELAXED_GET(pm->pm_unsettled) == 0, "I-PMAP-5: pmap %u goes, and %u LWPs have a packet for it",
	    pm->pm_id, pm->pm_unsettled);
	pmap_pv_settle(gone);
	mutex_enter(&pm->pm_lock);	/* the last revoke, and thief, has left it */
	KASSERT(pm->pm_wired == 0);
	KASSERT(pm->pm_root == 0);
	KASSERT(pm->pm_nptp == 0);
	mutex_exit(&pm->pm_lock);
	pmap_ptp_free(pm->pm_limbo);
	mutex_destroy(&pm->pm_lock);
	kmem_free(pm, sizeof(*pm));
}

bool
pmap_peek_id(const struct pmap *pm, uint32_t *id)
{
	return host_mem_read(id, &pm->pm_id, sizeof(*id));
}

/* => resident and wired counts follow one PTE's change; pm_lock held. */
void
pmap_count_change(struct pmap *pm, uint64_t old, uint64_t new)
{
	long resident = (long)!!(new & PTE_V) - (long)!!(old & PTE_V);
	long wired = (long)!!(new & PTE_WIRED) - (long)!!(old & PTE_WIRED);

	KASSERT(mutex_owned(&pm->pm_lock));
	if (resident != 0)
		RELAXED_SET(pm->pm_resident, pm->pm_resident + resident);
	if (wired != 0)
		RELAXED_SET(pm->pm_wired, pm->pm_wired + wired);
}

/*
 * => access presets R and M (R30), so that neither walker nor emulation need touch it.
 *    Unmanaged mappings that are made for no access have both: nobody asks for them,
 *    and a window used in an interrupt must not trap to R/M emulation.
 */
static uint64_t
pte_make(paddr_t pa, bool managed, vm_prot_t prot, unsigned flags)
{
	uint64_t pte = pa | PTE_V | PTE_PROT(prot);
	vm_prot_t access = flags & VM_PROT_ALL;

	if (flags & PMAP_WIRED)
		pte |= PTE_WIRED;
	if (managed)
		pte |= PTE_MANAGED;
	else if (access == 0)
		return pte | PTE_RM;
	if (access != 0)
		pte |= PTE_REF;
	if (access & VM_PROT_WRITE)
		pte |= PTE_MOD;
	return pte;
}

/* => the page's owner is locked, so the answer holds */
static bool
may_map(const struct vm_page_md *md, vm_prot_t prot)
{
	return md == NULL || (prot & VM_PROT_WRITE) == 0 || RELAXED_GET(md->md_readonly) == 0;
}

/* => no mapping at the slot; takes *pvp if the new one is managed. */
static void
enter_new(struct pmap *pm, vaddr_t va, uint64_t *ptep, uint64_t npte, struct vm_page_md *md,
    struct pv_entry **pvp)
{
	if (npte & PTE_MANAGED) {
		struct pv_entry *pv = *pvp;

		*pvp = NULL;
		pv->pv_pmap = pm;
		pv->pv_va = va;
		mutex_enter(&md->md_pvlock);
		pte_store(ptep, npte);
		pmap_pv_link(md, pv);
		mutex_exit(&md->md_pvlock);
	} else
		pte_store(ptep, npte);
	pmap_ptp_hold(pm, ptep);
	pmap_count_change(pm, 0, npte);
}

/*
 * Same frame: rights and wiring change in place, R and M stay in the PTE, where
 * a TLB that has them cached believes them to be.
 */
static void
enter_same(struct pmap *pm, vaddr_t va, uint64_t *ptep, uint64_t npte)
{
	uint64_t old = pte_load(ptep), new;

	/* More rights need no shootdown: a CPU with the old ones traps and retries (T-28). */
	if (old & PTE_RIGHTS & ~npte)
		pmap_tlb_note(pm, va);
	do {
		new = npte | (old & PTE_RM);
	} while (!__atomic_compare_exchange_n(ptep, &old, new, false, PTE_ACQ_REL,
	    PTE_ACQUIRE));
	pmap_count_change(pm, old, new);
}

/*
 * Another frame: one exchange (R3), and the pv entry moves along (R4).  Until the
 * invalidation a CPU may use the old frame, never nothing.  Between the exchange
 * and the new link nobody misses the pv entry, for the new page's owner is locked.
 */
static void
enter_replace(struct pmap *pm, vaddr_t va, uint64_t *ptep, uint64_t npte,
    struct vm_page_md *md, struct pv_entry **pvp)
{
	uint64_t old = pte_load(ptep);
	struct pv_entry *pv = NULL;

	pmap_tlb_note(pm, va);
	if (old & PTE_MANAGED) {
		struct vm_page_md *omd = ram_md(old & PTE_FRAME);

		mutex_enter(&omd->md_pvlock);
		old = pte_exchange(ptep, npte);
		pv = pmap_pv_unlink(omd, pm, va, old);
		/* reused: the old page's owner stays locked until pmap_update(), see pmap_enter() */
		mutex_exit(&omd->md_pvlock);
	} else
		old = pte_exchange(ptep, npte);

	if (npte & PTE_MANAGED) {
		if (pv == NULL) {
			pv = *pvp;
			*pvp = NULL;
			pv->pv_pmap = pm;
			pv->pv_va = va;
		}
		mutex_enter(&md->md_pvlock);
		pmap_pv_link(md, pv);
		mutex_exit(&md->md_pvlock);
	} else if (pv != NULL)
		pmap_pv_free(pv);

	pmap_count_change(pm, old, npte);
	PMAP_COUNT(replaced);
	if (old & PTE_WIRED)
		PMAP_COUNT(wired_replaced);
}

/*
 * => 0, or ENOMEM: no mapping at va, or, if there will be another try, what there was
 * => pm_lock held
 */
static int
enter_locked(struct pmap *pm, vaddr_t va, uint64_t npte, struct vm_page_md *md,
    struct pv_entry **pvp, bool canfail, bool last)
{
	uint64_t *ptep = pmap_pte(pm, va);
	uint64_t old = ptep != NULL ? pte_load(ptep) : 0;
	bool need_pv = (npte & PTE_MANAGED) && !(old & PTE_MANAGED);

	if ((need_pv && *pvp == NULL) || (canfail && inject(INJECT_pmap_enter)) ||
	    (ptep == NULL && (ptep = pmap_ptp_grow(pm, va)) == NULL)) {
		/* R2: the old mapping must not survive the failure (I-PMAP-1). */
		if ((old & PTE_V) != 0 && last && !BUG(failed_enter_keeps_old))
			pmap_remove_pte(pm, va, ptep, &pm->pm_limbo);
		return ENOMEM;
	}
	if ((old & PTE_V) == 0)
		enter_new(pm, va, ptep, npte, md, pvp);
	else if (((old ^ npte) & (PTE_FRAME | PTE_MANAGED)) == 0)
		enter_same(pm, va, ptep, npte);
	else
		enter_replace(pm, va, ptep, npte, md, pvp);
	return 0;
}

/*
 * A caller who cannot stand a failure must not need memory when it is short (R39): what
 * only the reserve could give is counted, and nothing at all is a panic (R28).
 */
static void
enter_plain(struct pmap *pm, vaddr_t va, int error, long nptp)
{
	if (error != 0)
		panic("plain pmap_enter failed in the %s pmap: no page table page or pv entry "
		    "for va 0x%llx, and not PMAP_CANFAIL (R28, R39)",
		    pm->pm_kernel ? "kernel's" : "user's", (unsigned long long)va);
	if (RELAXED_GET(pm->pm_nptp) > nptp && machine_upcall.mu_memory_low != NULL &&
	    machine_upcall.mu_memory_low())
		PMAP_COUNT(plain_enter_dips);
}

int
pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	struct vm_page_md *md = ram_md(pa);
	struct pv_entry *pv = NULL;
	long nptp;
	int error;

	KASSERT(((va | pa) & PAGE_MASK) == 0);
	KASSERT(pmap_va_ok(pm, va, va + PAGE_SIZE));
	KASSERT(atop(pa) < ram_npages || device_frame(pa));
	KASSERTMSG(atop(pa) < ram_npages || (prot & VM_PROT_EXECUTE) == 0,
	    "pmap_enter: va 0x%llx: nobody executes device memory", (unsigned long long)va);
	KASSERT(prot & VM_PROT_READ);
	KASSERT((flags & VM_PROT_ALL & ~(unsigned)prot) == 0);	/* R30: access is within prot */
	KASSERTMSG(may_map(md, prot), "R15: va 0x%llx: a page on loan mapped writable",
	    (unsigned long long)va);

	nptp = RELAXED_GET(pm->pm_nptp);
	for (int tries = pmap_ptp_steal ? STEAL_TRIES : 0; ; tries--) {
		pmap_tlb_begin(pm);
		/* Before the lock, needed or not: the pool's back end may take its time. */
		if (md != NULL && pv == NULL)
			pv = pmap_pv_alloc();
		mutex_enter(&pm->pm_lock);
		error = enter_locked(pm, va, pte_make(pa, md != NULL, prot, flags), md, &pv,
		    (flags & PMAP_CANFAIL) != 0, tries == 0);
		mutex_exit(&pm->pm_lock);
		if (error == 0 || tries == 0)
			break;
		if (pmap_steal(pm)) {
			if (md != NULL && pv == NULL)
				PMAP_COUNT(pv_steals);
			else
				PMAP_COUNT(ptp_steals);
		} else
			tries = 1;			/* the last one: nobody has any */
	}
	if (pv != NULL)
		pmap_pv_free(pv);

	kernhist_log(KE_pmap_enter, (uint32_t)atop(pa), pm->pm_id, va | (uint64_t)prot |
	    (flags & PMAP_WIRED) | (error != 0 ? KERNHIST_FAILED : 0));
	PMAP_COUNT(enter);
	if ((flags & PMAP_CANFAIL) == 0)
		enter_plain(pm, va, error, nptp);
	if (error)
		PMAP_COUNT(enter_failed);
	return error;
}

/*
 * => the valid mapping at va goes, wired or not; R/M harvested; invalidation noted
 * => pm_lock held
 */
static void
pmap_remove_pte(struct pmap *pm, vaddr_t va, uint64_t *ptep, struct vm_page_md **limbo)
{
	pmap_tlb_note(pm, va);
	RELAXED_SET(curlwp->l_tlb.lt_ngone, curlwp->l_tlb.lt_ngone + 1);
	pmap_take_pte(pm, va, ptep, limbo, &curlwp->l_tlb.lt_gone);
}

void
pmap_take_pte(struct pmap *pm, vaddr_t va, uint64_t *ptep, struct vm_page_md **limbo,
    struct pv_entry **gone)
{
	uint64_t old = pte_load(ptep);

	KASSERT(old & PTE_V);
	if (old & PTE_MANAGED) {
		struct vm_page_md *md = ram_md(old & PTE_FRAME);

		mutex_enter(&md->md_pvlock);
		old = pte_exchange(ptep, 0);
		pmap_pv_leave(md, pmap_pv_unlink(md, pm, va, old), gone);
		mutex_exit(&md->md_pvlock);
	} else
		old = pte_exchange(ptep, 0);
	pmap_count_change(pm, old, 0);
	pmap_ptp_drop(pm, va, ptep, limbo);
}

static void
range_remove(struct pmap *pm, vaddr_t va, uint64_t *ptep, vm_prot_t prot)
{
	if (pte_load(ptep) & PTE_V)
		pmap_remove_pte(pm, va, ptep, &pm->pm_limbo);
}

static void
range_kremove(struct pmap *pm, vaddr_t va, uint64_t *ptep, vm_prot_t prot)
{
	uint64_t old = pte_load(ptep);

	if ((old & PTE_V) == 0)
		return;
	KASSERTMSG(old & PTE_KENTER, "va 0x%llx was not entered by pmap_kenter_pa()",
	    (unsigned long long)va);
	pmap_remove_pte(pm, va, ptep, &pm->pm_limbo);
}

static void
range_protect(struct pmap *pm, vaddr_t va, uint64_t *ptep, vm_prot_t prot)
{
	uint64_t old = pte_load(ptep), gone = PTE_RIGHTS & ~PTE_PROT(prot);

	if ((old & PTE_V) == 0 || (old & gone) == 0)
		return;
	pmap_tlb_note(pm, va);
	pte_clear_bits(ptep, gone);
}

/*
 * => calls fn for each slot of [s,e) that has a table, with pm_lock held
 *
 * The lock is given up at the end of each leaf table, so that a large range
 * keeps interrupts out only for 512 pages at a time.  A missing table is
 * skipped whole.
 */
static void
pmap_range(struct pmap *pm, vaddr_t s, vaddr_t e, vm_prot_t prot,
    void (*fn)(struct pmap *, vaddr_t, uint64_t *, vm_prot_t))
{
	vaddr_t va = s, end;
	uint64_t *ptep;
	vsize_t span;

	KASSERT(((s | e) & PAGE_MASK) == 0);
	KASSERT(pmap_va_ok(pm, s, e));
	while (va < e) {
		pmap_tlb_begin(pm);
		mutex_enter(&pm->pm_lock);
		ptep = pmap_pte_span(pm, va, &span);
		end = (va | (span - 1)) + 1;
		if (end > e || end < va)	/* the last span ends at 2^64 */
			end = e;
		for (; ptep != NULL && va < end; va += PAGE_SIZE, ptep++)
			fn(pm, va, ptep, prot);
		mutex_exit(&pm->pm_lock);
		va = end;
	}
}

/* R9: removes every mapping, wired too, unlike pmap_revoke(). */
void
pmap_remove(struct pmap *pm, vaddr_t s, vaddr_t e)
{
	kernhist_log(KE_pmap_remove, pm->pm_id, (uint32_t)atop(e - s), s);
	pmap_range(pm, s, e, VM_PROT_NONE, range_remove);
}

void
pmap_protect(struct pmap *pm, vaddr_t s, vaddr_t e, vm_prot_t prot)
{
	kernhist_log(KE_pmap_protect, pm->pm_id, (uint32_t)atop(e - s), s | (uint64_t)prot);
	pmap_range(pm, s, e, prot, prot & VM_PROT_READ ? range_protect : range_remove);
}

void
pmap_unwire(struct pmap *pm, vaddr_t va)
{
	uint64_t *ptep, old;

	mutex_enter(&pm->pm_lock);
	ptep = pmap_pte(pm, va);
	KASSERTMSG(ptep != NULL && (pte_load(ptep) & PTE_V), "pmap_unwire: nothing at 0x%llx",
	    (unsigned long long)va);
	old = pte_clear_bits(ptep, PTE_WIRED);
	pmap_count_change(pm, old, old & ~PTE_WIRED);
	mutex_exit(&pm->pm_lock);
}

bool
pmap_pageable(struct pmap *pm, vaddr_t va)
{
	const uint64_t *ptep;
	uint64_t pte;

	mutex_enter(&pm->pm_lock);
	ptep = pmap_pte(pm, va);
	pte = ptep != NULL ? pte_load(ptep) : 0;
	mutex_exit(&pm->pm_lock);
	return (pte & (PTE_V | PTE_WIRED)) == PTE_V;
}

/*
 * Of its own pmap an LWP asks as the walker does, without the lock: this CPU is in
 * the pmap's set, so a table that is taken away meanwhile is not freed before the
 * CPU has answered an interrupt, and it takes none in here.
 * => true: without the lock
 */
static bool
look_begin(struct pmap *pm)
{
	/* an interrupt asks for the kernel's alone: l_pmap is the LWP's */
	if (pm == &kernel_pmap || pm != curlwp->l_pmap) {
		mutex_enter(&pm->pm_lock);
		return false;
	}
	host_access_begin();
	return true;
}

static void
look_end(struct pmap *pm, bool walk)
{
	if (!walk) {
		mutex_exit(&pm->pm_lock);
		return;
	}
	race_release(curtlb());		/* pairs with tlb_ipi(): it answers after this */
	host_access_end();
}

bool
pmap_extract(struct pmap *pm, vaddr_t va, paddr_t *pap)
{
	bool walk = look_begin(pm);
	uint64_t *ptep = pmap_pte(pm, va), pte = ptep != NULL ? pte_load(ptep) : 0;

	look_end(pm, walk);
	if ((pte & PTE_V) == 0)
		return false;
	if (pap != NULL)
		*pap = (pte & PTE_FRAME) | (va & PAGE_MASK);
	return true;
}

uint64_t
pmap_mapped(struct pmap *pm, vaddr_t va, int n)
{
	bool walk = look_begin(pm);
	uint64_t set = 0;

	KASSERT(n <= 64);
	for (int i = 0; i < n; ) {	/* one walk for each table, of which the range touches two at most */
		const int left = (int)(PTP_ENTRIES - ptp_index(va, 0)), end = n - i < left ? n : i + left;
		const uint64_t *ptep = pmap_pte(pm, va);

		va += ptoa((vaddr_t)(end - i));
		if (ptep == NULL)
			i = end;
		for (; i < end; i++)
			set |= (pte_load(ptep++) & PTE_V) / PTE_V << i;
	}
	look_end(pm, walk);
	return set;
}

/*
 * The emulation of R/M bits (mmu = software-rm): a mapping without REF, or a
 * store through one without MOD, traps here before anybody else.
 */
void
pmap_rm_fault(struct pmap *pm, vaddr_t va, uint64_t need)
{
	uint64_t *ptep, pte;

	mutex_enter(&pm->pm_lock);
	ptep = pmap_pte(pm, va);
	pte = ptep != NULL ? pte_load(ptep) : 0;
	/* Under pm_lock only W can go away, and then MOD is set for a store that never comes. */
	if ((pte & PTE_V) != 0 && (need & ~pte) == 0)
		__atomic_fetch_or(ptep, PTE_REF | (need & PTE_W ? PTE_MOD : 0), PTE_ACQ_REL);
	mutex_exit(&pm->pm_lock);
	PMAP_COUNT(rm_faults);
}

/*
 * Kernel mappings without owner.
 */

vaddr_t
pmap_growkernel(vaddr_t end)
{
	vaddr_t have;

	KASSERT(pmap_va_ok(&kernel_pmap, VM_MIN_KERNEL_ADDRESS, end));
	/* relaxed: it only grows; pairs with the store below */
	have = __atomic_load_n(&pmap_kernel_end, __ATOMIC_RELAXED);
	if (have >= end)
		return have;
	mutex_enter(&kernel_pmap.pm_lock);
	for (have = pmap_kernel_end; have < end; have += PTP_ENTRIES * PAGE_SIZE)
		if (pmap_ptp_grow(&kernel_pmap, have) == NULL)
			break;
	__atomic_store_n(&pmap_kernel_end, have, __ATOMIC_RELAXED);
	mutex_exit(&kernel_pmap.pm_lock);
	return have;
}

/* => pm_lock held; ptep: the address's, or NULL: it has no table */
static void
kenter(vaddr_t va, uint64_t *ptep, paddr_t pa, vm_prot_t prot)
{
	KASSERT(prot & VM_PROT_READ);
	KASSERTMSG(may_map(ram_md(pa), prot), "R15: kernel va 0x%llx: a page on loan mapped writable",
	    (unsigned long long)va);
	KASSERTMSG(ptep != NULL, "R39: no page table for kernel address 0x%llx: pmap_growkernel() "
	    "comes before", (unsigned long long)va);
	KASSERTMSG((pte_load(ptep) & PTE_V) == 0, "va 0x%llx is mapped already",
	    (unsigned long long)va);
	enter_new(&kernel_pmap, va, ptep, pte_make(pa, false, prot, PMAP_WIRED) | PTE_KENTER, NULL,
	    NULL);
}

void
pmap_kenter_pa(vaddr_t va, paddr_t pa, vm_prot_t prot)
{
	KASSERT(((va | pa) & PAGE_MASK) == 0);
	KASSERT(pmap_va_ok(&kernel_pmap, va, va + PAGE_SIZE));
	KASSERT(atop(pa) < ram_npages || device_frame(pa));
	mutex_enter(&kernel_pmap.pm_lock);
	kenter(va, pmap_pte(&kernel_pmap, va), pa, prot);
	mutex_exit(&kernel_pmap.pm_lock);
}

void
pmap_kenter_pages(vaddr_t va, struct vm_page *const *pgs, int n, vm_prot_t prot)
{
	uint64_t *ptep = NULL;

	KASSERT((va & PAGE_MASK) == 0);
	KASSERT(pmap_va_ok(&kernel_pmap, va, va + (vaddr_t)n * PAGE_SIZE));
	mutex_enter(&kernel_pmap.pm_lock);
	for (int i = 0; i < n; i++, va += PAGE_SIZE) {
		/* the next one of the same table, or of another */
		if (i > 0 && (va & (PTP_ENTRIES * PAGE_SIZE - 1)) != 0)
			ptep++;
		else
			ptep = pmap_pte(&kernel_pmap, va);
		kenter(va, ptep, ((struct vm_page_md *)pgs[i])->md_pa, prot);
	}
	mutex_exit(&kernel_pmap.pm_lock);
}

void
pmap_kremove(vaddr_t va, vsize_t len)
{
	pmap_range(&kernel_pmap, va, va + len, VM_PROT_NONE, range_kremove);
}

/*
 * Frames.
 */

void
pmap_zero_page(paddr_t pa)
{
	frame_zero(pa);
}

void
pmap_copy_page(paddr_t src, paddr_t dst)
{
	frame_copy(src, dst);
}

long
pmap_resident_count(struct pmap *pm)
{
	return RELAXED_GET(pm->pm_resident);
}

long
pmap_wired_count(struct pmap *pm)
{
	return RELAXED_GET(pm->pm_wired);
}

long
pmap_ptp_count(struct pmap *pm)
{
	return RELAXED_GET(pm->pm_nptp);
}
