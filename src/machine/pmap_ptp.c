/*
 * Page table pages.
 *
 * Each table is a frame of simulated RAM and counts its valid entries in
 * md_ptpcount (I-PMAP-9).  A table without entries is unlinked at once, and its
 * parent with it if that was the last, up to the root.  But a CPU that walks
 * takes no lock and may be inside: so the page goes to a limbo list, and is
 * given back when every CPU of the pmap's set has acknowledged a shootdown
 * that was sent after the unlinking (S1, T-30).  An acknowledgement is never
 * given in the middle of a walk, for one access is one instruction.
 *
 * Tables are made from the leaf up and linked in by one store, so that a
 * shortage half-way leaves no empty table, and a walker sees none that is not
 * yet zero.
 *
 * Tables of the kernel pmap stay: pmap_kenter_pa() may not fail (7.5).
 */
#include "pmap_private.h"

#include <sys/inject.h>

struct vm_page_md *
pmap_ptp_md(const uint64_t *ptep)
{
	struct vm_page_md *md = ram_md(trunc_page((paddr_t)((const uint8_t *)ptep - ram_base)));

	KASSERT(md != NULL);
	return md;
}

void
pte_point_now(const uint64_t *ptep)
{
	const uint64_t at = (uint64_t)((const uint8_t *)ptep - ram_base);

	/* a pmap's own slot is not in a frame */
	host_point_now(HP_PTE, at < ptoa(ram_npages) ? 1 + (uint32_t)atop(at) : 0);
}

uint64_t *
pmap_pte_span(struct pmap *pm, vaddr_t va, vsize_t *span)
{
	uint64_t pde = pte_load(&pm->pm_root);
	uint64_t *slot;

	for (int level = PTP_LEVELS - 1; ; level--) {
		*span = PAGE_SIZE << (9 * (level + 1));
		if ((pde & PTE_V) == 0)
			return NULL;
		slot = &ptp_table(pde)[ptp_index(va, level)];
		if (level == 0)
			return slot;
		pde = pte_load(slot);
	}
}

/* => the entry of va in the table that pde names; 0: there is none */
static inline uint64_t
ptp_below(uint64_t pde, vaddr_t va, int level)
{
	return (pde & PTE_V) != 0 ? pte_load(&ptp_table(pde)[ptp_index(va, level)]) : 0;
}

_Static_assert(PTP_LEVELS == 4, "pmap_pte() goes down so many");
uint64_t *
pmap_pte(struct pmap *pm, vaddr_t va)
{
	uint64_t pde = pte_load(&pm->pm_root);

	pde = ptp_below(ptp_below(ptp_below(pde, va, 3), va, 2), va, 1);
	return (pde & PTE_V) != 0 ? &ptp_table(pde)[ptp_index(va, 0)] : NULL;
}

/*
 * => a chain of n new tables that leads to va, the leaf being the lowest;
 *    returns the entry that names its head, or 0.
 */
static uint64_t
ptp_chain(vaddr_t va, int n)
{
	struct vm_page_md *made = NULL, *md;
	uint64_t pde = 0;

	for (int level = 0; level < n; level++) {
		md = inject(INJECT_ptp_alloc) ? NULL : (struct vm_page_md *)machine_upcall.mu_ptp_alloc();
		if (md == NULL) {
			pmap_ptp_free(made);
			return 0;
		}
		KASSERT(md->md_pvlist == NULL);
		if (level > 0)
			pte_store((uint64_t *)ram_host(md->md_pa) + ptp_index(va, level), pde);
		md->md_ptpcount = level > 0;
		md->md_ptpnext = made;
		made = md;
		pde = md->md_pa | PTE_V;
		PMAP_COUNT(ptp_alloc);
	}
	/* Linked in now; the chain of the list was only for the way back. */
	while ((md = made) != NULL) {
		made = md->md_ptpnext;
		md->md_ptpnext = NULL;
	}
	return pde;
}

uint64_t *
pmap_ptp_grow(struct pmap *pm, vaddr_t va)
{
	uint64_t *slot = &pm->pm_root, pde;
	int level = PTP_LEVELS;

	KASSERT(mutex_owned(&pm->pm_lock));
	while (level > 0 && ((pde = pte_load(slot)) & PTE_V) != 0)
		slot = &ptp_table(pde)[ptp_index(va, --level)];
	if (level == 0)
		return slot;
	pde = ptp_chain(va, level);
	if (pde == 0)
		return NULL;
	pte_store(slot, pde);
	if (slot != &pm->pm_root)
		pmap_ptp_md(slot)->md_ptpcount++;
	RELAXED_SET(pm->pm_nptp, pm->pm_nptp + level);
	slot = pmap_pte(pm, va);
	KASSERT(slot != NULL);
	return slot;
}

/* A search for a table to take. */
struct search {
	uint64_t	*se_table;
	vaddr_t		 se_va;
	uint32_t	 se_count;		/* its valid entries; fewer are better */
};

static bool
has_wired(const uint64_t *table)
{
	for (unsigned i = 0; i < PTP_ENTRIES; i++)
		if ((pte_load(&table[i]) & (PTE_V | PTE_WIRED)) == (PTE_V | PTE_WIRED))
			return true;
	return false;
}

static void
search(struct search *se, uint64_t *table, int level, vaddr_t va)
{
	struct vm_page_md *md = pmap_ptp_md(table);

	for (unsigned i = 0; level > 0 && i < PTP_ENTRIES && se->se_count > 1; i++) {
		uint64_t pde = pte_load(&table[i]);

		if (pde & PTE_V)
			search(se, ptp_table(pde), level - 1,
			    va | (vaddr_t)i << (PAGE_SHIFT + 9 * level));
	}
	if (level > 0 || md->md_ptpcount >= se->se_count || has_wired(table))
		return;
	*se = (struct search){ table, va, md->md_ptpcount };
}

uint64_t *
pmap_ptp_poorest(struct pmap *pm, vaddr_t *vap)
{
	struct search se = { .se_count = PTP_ENTRIES + 1 };

	KASSERT(mutex_owned(&pm->pm_lock));
	KASSERT(!pm->pm_kernel);
	if (pm->pm_root & PTE_V)
		search(&se, ptp_table(pm->pm_root), PTP_LEVELS - 1, 0);
	*vap = se.se_va;
	return se.se_table;
}

void
pmap_ptp_hold(struct pmap *pm, uint64_t *ptep)
{
	struct vm_page_md *md = pmap_ptp_md(ptep);

	KASSERT(mutex_owned(&pm->pm_lock));
	KASSERT(md->md_ptpcount < PTP_ENTRIES);
	md->md_ptpcount++;
}

void
pmap_ptp_drop(struct pmap *pm, vaddr_t va, uint64_t *ptep, struct vm_page_md **limbo)
{
	uint64_t *slots[PTP_LEVELS + 1];	/* [l] in the table of level l; top: pm_root */
	struct vm_page_md *md = pmap_ptp_md(ptep);

	KASSERT(mutex_owned(&pm->pm_lock));
	KASSERT(md->md_ptpcount > 0);
	if (--md->md_ptpcount > 0 || pm->pm_kernel)
		return;

	slots[PTP_LEVELS] = &pm->pm_root;
	for (int level = PTP_LEVELS - 1; level >= 0; level--)
		slots[level] = &ptp_table(pte_load(slots[level + 1]))[ptp_index(va, level)];
	KASSERT(slots[0] == ptep);

	for (int level = 1; level <= PTP_LEVELS; level++) {
		pte_exchange(slots[level], 0);
		RELAXED_SET(pm->pm_nptp, pm->pm_nptp - 1);
		md->md_ptpnext = *limbo;
		RELAXED_SET(*limbo, md);	/* partner: the peek in pmap_update() */
		if (level == PTP_LEVELS)
			break;
		md = pmap_ptp_md(slots[level]);
		KASSERT(md->md_ptpcount > 0);
		if (--md->md_ptpcount > 0)
			break;
	}
}

void
pmap_ptp_free(struct vm_page_md *limbo)
{
	struct vm_page_md *md;

	while ((md = limbo) != NULL) {
		limbo = md->md_ptpnext;
		md->md_ptpnext = NULL;
		md->md_ptpcount = 0;
		machine_upcall.mu_ptp_free((struct vm_page *)md);
	}
}

static void
ptp_free_tree(struct pmap *pm, uint64_t pde, int level)
{
	uint64_t *table = ptp_table(pde);

	for (unsigned i = 0; level > 0 && i < PTP_ENTRIES; i++) {
		if (pte_load(&table[i]) & PTE_V)
			ptp_free_tree(pm, table[i], level - 1);
	}
	pm->pm_nptp--;
	pmap_ptp_free(pmap_ptp_md(table));
}

/* => no CPU can walk it any more. */
void
pmap_ptp_free_all(struct pmap *pm)
{
	if (pm->pm_root & PTE_V)
		ptp_free_tree(pm, pm->pm_root, PTP_LEVELS - 1);
	pm->pm_root = 0;
	KASSERT(pm->pm_nptp == 0);
}
