/*
 * pmap(9), the reverse half: operations that come with a page, and find its
 * mappings through the page's list of pv entries.
 *
 * Forward operations take pm_lock, then md_pvlock.  Here the pv lock comes
 * first.  Taking W, MOD or REF away needs no more than that: the pv entry
 * stands for a valid PTE (I-PMAP-3), whose table therefore stays, and every
 * change of a PTE is atomic.  Removing a mapping changes counts and tables of
 * the pmap, so pmap_revoke() tries its lock, and on failure lets everything go
 * and starts again: whatever it removed before stays removed.
 *
 * All of them complete their invalidations before they return: the caller is
 * about to reuse the frame or to believe the bit (S5, S6).  The addresses are
 * collected over all pmaps, with the CPUs that each pmap's set holds after the
 * PTE was changed (S2), and sent as one request with no lock held.
 *
 * Forward operations defer theirs, and not everybody who calls pmap_remove() or
 * pmap_protect() has the page's owner locked.  So a page may have no mapping, or
 * none with W, while TLBs have one, until somebody's pmap_update().  Who must rely
 * on the page does not wait for him: he may wait for our locks.
 *   removed	the pv entry is kept until then, and the page counts it (md_leaving);
 *		if there are any, every TLB is flushed
 *   reduced	the pv entry leads to the pmap, which counts packets under way
 *		(pm_unsettled); if there are any, the address is invalidated again
 */
#include "pmap_private.h"

#include <string.h>

#include <host/host.h>
#include <sys/bug.h>
#include <sys/kernhist.h>
#include <sys/pool.h>

static pool_cache_t pv_cache;	/* : */

void
pmap_pv_init(const struct pool_allocator *pa)
{
	pv_cache = pool_cache_create(sizeof(struct pv_entry), 0, "pvpl", pa, IPL_VM, NULL, NULL,
	    NULL);
}

void
pmap_pv_fini(void)
{
	if (pv_cache != NULL)
		pool_cache_destroy(pv_cache);
	pv_cache = NULL;
}

struct pv_entry *
pmap_pv_alloc(void)
{
	return pool_cache_get(pv_cache, PR_NOWAIT);
}

void
pmap_pv_free(struct pv_entry *pv)
{
	pool_cache_put(pv_cache, pv);
}

void
pmap_pv_link(struct vm_page_md *md, struct pv_entry *pv)
{
	KASSERT(mutex_owned(&md->md_pvlock));
	pv->pv_next = md->md_pvlist;
	md->md_pvlist = pv;
}

/* atomic: pmap_is_modified() and ram_frame_freed() look at md_attrs under other locks. */
static void
md_harvest(struct vm_page_md *md, uint64_t oldpte)
{
	__atomic_fetch_or(&md->md_attrs, (uint8_t)(oldpte & PTE_RM), __ATOMIC_RELAXED);
}

struct pv_entry *
pmap_pv_unlink(struct vm_page_md *md, struct pmap *pm, vaddr_t va, uint64_t oldpte)
{
	struct pv_entry **pvp, *pv;

	KASSERT(mutex_owned(&md->md_pvlock));
	for (pvp = &md->md_pvlist; (pv = *pvp) != NULL; pvp = &pv->pv_next) {
		if (pv->pv_pmap == pm && pv->pv_va == va) {
			*pvp = pv->pv_next;
			md_harvest(md, oldpte);
			return pv;
		}
	}
	panic("I-PMAP-3: no pv entry of frame 0x%llx for va 0x%llx", (unsigned long long)md->md_pa,
	    (unsigned long long)va);
}

void
pmap_pv_leave(struct vm_page_md *md, struct pv_entry *pv, struct pv_entry **list)
{
	KASSERT(mutex_owned(&md->md_pvlock));
	/* relaxed: read under md_pvlock; who settles it has waited for the acknowledgements */
	__atomic_fetch_add(&md->md_leaving, 1, __ATOMIC_RELAXED);
	pv->pv_md = md;
	pv->pv_next = *list;
	*list = pv;
}

void
pmap_pv_settle(struct pv_entry *list)
{
	struct pv_entry *pv;

	while ((pv = list) != NULL) {
		list = pv->pv_next;
		/* release: pairs with the acquire in pmap_tlb_collect_leaving() */
		__atomic_fetch_sub(&pv->pv_md->md_leaving, 1, __ATOMIC_RELEASE);
		pmap_pv_free(pv);
	}
}

/* => the PTE of a pv entry, which is valid and maps the page; md_pvlock held. */
static uint64_t *
pv_pte(struct vm_page_md *md, const struct pv_entry *pv)
{
	uint64_t *ptep = pmap_pte(pv->pv_pmap, pv->pv_va);
	uint64_t pte = ptep != NULL ? pte_load(ptep) : 0;

	KASSERT(mutex_owned(&md->md_pvlock));
	KASSERTMSG((pte & (PTE_V | PTE_FRAME)) == (PTE_V | md->md_pa),
	    "I-PMAP-3: pv entry of frame 0x%llx for va 0x%llx has PTE 0x%llx",
	    (unsigned long long)md->md_pa, (unsigned long long)pv->pv_va,
	    (unsigned long long)pte);
	return ptep;
}

/* => md_pvlock held; what is to be flushed before anybody may rely on it */
static void
take_write(struct vm_page_md *md, bool cleaning, struct tlb_flush *tf)
{
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL; pv = pv->pv_next) {
		uint64_t *ptep = pv_pte(md, pv);

		if (BUG(protect_wired_skips) && (pte_load(ptep) & PTE_WIRED))
			continue;
		if ((pte_load(ptep) & PTE_WIRED) && !cleaning)
			panic("pmap_copy_on_write: va 0x%llx is wired (R10, R12)",
			    (unsigned long long)pv->pv_va);
		/* acquired: what made the PTE what it is counted its packet before */
		if ((pte_clear_bits(ptep, PTE_W) & PTE_W) ||
		    __atomic_load_n(&pv->pv_pmap->pm_unsettled, __ATOMIC_ACQUIRE) != 0)
			pmap_tlb_collect(tf, pv->pv_pmap, pv->pv_va);
	}
	pmap_tlb_collect_leaving(tf, md);
}

static void
md_write_protect(struct vm_page_md *md, bool cleaning)
{
	struct tlb_flush tf = { .tf_nva = 0 };

	mutex_enter(&md->md_pvlock);
	take_write(md, cleaning, &tf);
	mutex_exit(&md->md_pvlock);
	if (cleaning || !BUG(loan_stale_tlb))
		pmap_tlb_complete(&tf);
}

void
pmap_copy_on_write(struct vm_page *pg)
{
	kernhist_log(KE_pmap_page_protect, (uint32_t)atop(((struct vm_page_md *)pg)->md_pa), VM_PROT_READ, 0);
	md_write_protect((struct vm_page_md *)pg, false);
}

/* Wiring forbids non-protection faults only, so a wired mapping may lose W here (7.4). */
void
pmap_clean_protect(struct vm_page *pg)
{
	kernhist_log(KE_pmap_page_protect, (uint32_t)atop(((struct vm_page_md *)pg)->md_pa), VM_PROT_READ, 0);
	md_write_protect((struct vm_page_md *)pg, true);
}

/* => md_pvlock held; no TLB has a mapping with W */
static void
set_readonly(struct vm_page_md *md)
{
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL; pv = pv->pv_next)
		if (pte_load(pv_pte(md, pv)) & PTE_W)
			panic("R15: va 0x%llx maps a frame writable that is to be read-only",
			    (unsigned long long)pv->pv_va);
	/* relaxed: stores through old TLB entries were over when pmap_copy_on_write() returned */
	RELAXED_SET(md->md_readonly, true);
}

void
pmap_page_readonly(struct vm_page *pg, bool readonly)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;

	if (!readonly) {		/* no mapping is looked at, so none need stay */
		RELAXED_SET(md->md_readonly, false);
		return;
	}
	mutex_enter(&md->md_pvlock);
	set_readonly(md);
	mutex_exit(&md->md_pvlock);
}

bool
pmap_page_lend(struct vm_page *pg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;
	struct tlb_flush tf;
	bool quiet;

	tf.tf_nva = 0;			/* its addresses need not be zeroed */
	tf.tf_told = false;
	tf.tf_ptps = NULL;
	memset(tf.tf_cpus, 0, sizeof(tf.tf_cpus));
	mutex_enter(&md->md_pvlock);
	take_write(md, false, &tf);
	quiet = tf.tf_nva == 0;
	if (!quiet) {
		kernhist_log(KE_pmap_page_protect, (uint32_t)atop(md->md_pa), VM_PROT_READ, 0);
		mutex_exit(&md->md_pvlock);
		if (!BUG(loan_stale_tlb))
			pmap_tlb_complete(&tf);
		mutex_enter(&md->md_pvlock);
	}
	set_readonly(md);
	mutex_exit(&md->md_pvlock);
	return quiet;
}

bool
pmap_page_lend_quiet(struct vm_page *pg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;
	bool quiet;

	mutex_enter(&md->md_pvlock);
	/* acquire, both: as in take_write() and pmap_tlb_collect_leaving() */
	quiet = __atomic_load_n(&md->md_leaving, __ATOMIC_ACQUIRE) == 0;
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL && quiet; pv = pv->pv_next)
		quiet = (pte_load(pv_pte(md, pv)) & (PTE_W | PTE_WIRED)) == 0 &&
		    __atomic_load_n(&pv->pv_pmap->pm_unsettled, __ATOMIC_ACQUIRE) == 0;
	if (quiet)
		RELAXED_SET(md->md_readonly, true);
	mutex_exit(&md->md_pvlock);
	return quiet;
}

/* => the first mapping of the list goes; its pm_lock and md_pvlock held. */
static void
md_revoke_first(struct vm_page_md *md, struct tlb_flush *tf)
{
	struct pv_entry *pv = md->md_pvlist;
	struct pmap *pm = pv->pv_pmap;
	vaddr_t va = pv->pv_va;
	uint64_t *ptep = pv_pte(md, pv), old;

	if (pte_load(ptep) & PTE_WIRED)
		panic("pmap_revoke: va 0x%llx is wired (R10, R12)", (unsigned long long)va);
	old = pte_exchange(ptep, 0);
	pmap_pv_free(pmap_pv_unlink(md, pm, va, old));
	pmap_count_change(pm, old, 0);
	pmap_ptp_drop(pm, va, ptep, &tf->tf_ptps);
	if (!BUG(late_activate_miss))
		pmap_tlb_collect(tf, pm, va);
}

void
pmap_revoke(struct vm_page *pg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;
	struct tlb_flush tf = { .tf_nva = 0 };
	unsigned spins = 0;
	struct pmap *pm;

	kernhist_log(KE_pmap_page_protect, (uint32_t)atop(md->md_pa), VM_PROT_NONE, 0);
	mutex_enter(&md->md_pvlock);
	while (md->md_pvlist != NULL) {
		pm = md->md_pvlist->pv_pmap;
		if (BUG(late_activate_miss))
			pmap_tlb_collect(&tf, pm, md->md_pvlist->pv_va);
		if (mutex_tryenter(&pm->pm_lock)) {
			md_revoke_first(md, &tf);
			mutex_exit(&pm->pm_lock);
			continue;
		}
		/* Its holder may want our pv lock: out of its way, really (H-4). */
		mutex_exit(&md->md_pvlock);
		PMAP_COUNT(pv_backoff);
		host_relax(&spins);
		intr_poll();
		mutex_enter(&md->md_pvlock);
	}
	pmap_tlb_collect_leaving(&tf, md);
	mutex_exit(&md->md_pvlock);
	pmap_tlb_complete(&tf);
}

void
pmap_page_protect(struct vm_page *pg, vm_prot_t prot)
{
	KASSERTMSG(prot != VM_PROT_EXECUTE, "pmap_page_protect: EXECUTE alone (R11)");
	if ((prot & VM_PROT_READ) == 0)
		pmap_revoke(pg);
	else if ((prot & VM_PROT_WRITE) == 0)
		pmap_copy_on_write(pg);
}

/* => was the bit set anywhere? */
static bool
md_test(struct vm_page_md *md, uint64_t bit)
{
	bool set;

	mutex_enter(&md->md_pvlock);
	set = (__atomic_load_n(&md->md_attrs, __ATOMIC_RELAXED) & bit) != 0;
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL && !set; pv = pv->pv_next)
		set = (pte_load(pv_pte(md, pv)) & bit) != 0;
	mutex_exit(&md->md_pvlock);
	return set;
}

static bool
md_clear(struct vm_page_md *md, uint64_t bit)
{
	struct tlb_flush tf = { .tf_nva = 0 };
	bool set;

	mutex_enter(&md->md_pvlock);
	set = (__atomic_fetch_and(&md->md_attrs, (uint8_t)~bit, __ATOMIC_RELAXED) & bit) != 0;
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL; pv = pv->pv_next) {
		if (pte_clear_bits(pv_pte(md, pv), bit) & bit) {
			set = true;
			/* A TLB that still has it would store without setting it again. */
			pmap_tlb_collect(&tf, pv->pv_pmap, pv->pv_va);
		}
	}
	pmap_tlb_collect_leaving(&tf, md);
	mutex_exit(&md->md_pvlock);
	pmap_tlb_complete(&tf);
	return set;
}

bool
pmap_is_writable(struct vm_page *pg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;
	bool writable = false;

	mutex_enter(&md->md_pvlock);
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL && !writable; pv = pv->pv_next)
		writable = (pte_load(pv_pte(md, pv)) & PTE_W) != 0;
	mutex_exit(&md->md_pvlock);
	return writable;
}

bool
pmap_is_modified(struct vm_page *pg)
{
	return md_test((struct vm_page_md *)pg, PTE_MOD);
}

bool
pmap_is_referenced(struct vm_page *pg)
{
	return md_test((struct vm_page_md *)pg, PTE_REF);
}

bool
pmap_clear_modify(struct vm_page *pg)
{
	return md_clear((struct vm_page_md *)pg, PTE_MOD);
}

bool
pmap_clear_reference(struct vm_page *pg)
{
	return md_clear((struct vm_page_md *)pg, PTE_REF);
}

bool
pmap_page_mapped(struct vm_page *pg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;
	bool mapped;

	mutex_enter(&md->md_pvlock);
	mapped = md->md_pvlist != NULL;
	mutex_exit(&md->md_pvlock);
	return mapped;
}

void
pmap_pv_foreach(struct vm_page *pg, void (*fn)(struct pmap *, vaddr_t, void *), void *arg)
{
	struct vm_page_md *md = (struct vm_page_md *)pg;

	mutex_enter(&md->md_pvlock);
	for (struct pv_entry *pv = md->md_pvlist; pv != NULL; pv = pv->pv_next)
		fn(pv->pv_pmap, pv->pv_va, arg);
	mutex_exit(&md->md_pvlock);
}
