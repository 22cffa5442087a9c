/*
 * Stealing page tables (option ptp-steal; uvm-spec 7.7, seed 003).
 *
 * A fault survives a failed pmap_enter(), so by default nobody steals: the fault waits
 * for the page daemon and comes again (R29, R38).  But tables are not pages that the
 * daemon can take.  A process that maps one page in each table's range, and the same
 * page everywhere, turns all memory into tables; then others find nothing to wait for.
 * With the option, who needs a table or a pv entry takes one from the pmap that has
 * most tables, other than his own: all mappings of one leaf table vanish, like any
 * unwired mapping may, and come back by faults.
 *
 * It happens between two tries of pmap_enter(), with nothing of this floor locked.  The
 * victim's lock is taken by trylock only, under the list's, which keeps the victim from
 * being destroyed before.  Mappings of pages whose owners are not locked are removed here;
 * until every TLB has forgotten them their pages count them (md_leaving), so that nobody
 * reuses a frame too early.  The tables themselves are given back after that, too, for a
 * CPU may be walking them (S1, T-30).
 */
#include "pmap_private.h"

bool pmap_ptp_steal;

static kmutex_t pmap_list_lock;			/* LC_pmap_list, IPL_VM */
static TAILQ_HEAD(, pmap) pmap_list;		/* l: user pmaps, by birth */

void
pmap_steal_init(void)
{
	mutex_init(&pmap_list_lock, MUTEX_DEFAULT, IPL_VM, LC_pmap_list);
	TAILQ_INIT(&pmap_list);
}

void
pmap_steal_fini(void)
{
	KASSERT(TAILQ_EMPTY(&pmap_list));
	mutex_destroy(&pmap_list_lock);
}

void
pmap_steal_add(struct pmap *pm)
{
	mutex_enter(&pmap_list_lock);
	TAILQ_INSERT_TAIL(&pmap_list, pm, pm_list);
	mutex_exit(&pmap_list_lock);
}

/* => a thief who is in it leaves before its lock can be had. */
void
pmap_steal_delete(struct pmap *pm)
{
	mutex_enter(&pmap_list_lock);
	TAILQ_REMOVE(&pmap_list, pm, pm_list);
	mutex_exit(&pmap_list_lock);
}

/*
 * => the pmap with most tables whose lock is to be had at once, with it; not pm.  Or NULL.
 */
static struct pmap *
victim_lock(struct pmap *pm)
{
	struct pmap *v, *best = NULL;

	mutex_enter(&pmap_list_lock);
	TAILQ_FOREACH(v, &pmap_list, pm_list) {
		if (v == pm || RELAXED_GET(v->pm_nptp) <= (best != NULL ? best->pm_nptp : 0) ||
		    !mutex_tryenter(&v->pm_lock))
			continue;
		if (best != NULL)
			mutex_exit(&best->pm_lock);
		best = v;
	}
	mutex_exit(&pmap_list_lock);
	return best;
}

bool
pmap_steal(struct pmap *pm)
{
	struct pmap *victim = victim_lock(pm);
	struct tlb_flush tf = { .tf_nva = 0 };
	struct pv_entry *gone = NULL;
	uint64_t *table;
	vaddr_t va;

	if (victim == NULL)
		return false;
	table = pmap_ptp_poorest(victim, &va);
	for (unsigned i = 0; table != NULL && i < PTP_ENTRIES; i++, va += PAGE_SIZE) {
		if ((pte_load(&table[i]) & PTE_V) == 0)
			continue;
		/* The last one takes the table along, to tf_ptps. */
		pmap_take_pte(victim, va, &table[i], &tf.tf_ptps, &gone);
		pmap_tlb_collect(&tf, victim, va);
	}
	mutex_exit(&victim->pm_lock);
	pmap_tlb_complete(&tf);		/* gives the tables back */
	pmap_pv_settle(gone);
	return table != NULL;
}
