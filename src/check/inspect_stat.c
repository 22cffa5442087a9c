/*
 * What the event counters must have to do with each other when nothing runs (uvm-spec
 * 17.2).  They are kept without a lock, each by its own CPU, and are exact at rest.
 * And address spaces against their limits.
 */
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_proc.h>

#include "inspect_int.h"

/* => complaints: small must not exceed large */
static unsigned
no_more(const char *id, const char *what, uint64_t small, uint64_t large)
{
	if (small <= large)
		return 0;
	violation(VIOL_INVARIANT, id, "%s: %lu, and at most %lu can be", what, (unsigned long)small,
	    (unsigned long)large);
	return 1;
}

unsigned
inspect_events(const struct uvmexp *exp)
{
	const uint64_t *n = exp->count;
	struct pmap_stat ps;

	CHECKS_RAN(CHK_I_STAT_7, CHK_I_STAT_8, CHK_I_STAT_9, CHK_R39, CHK_I_PMAP_2);
	pmap_getstat(&ps);
	return no_more(CHECK_ID(R39), "enters that may not fail, and that took the reserve",
	    ps.plain_enter_dips, 0) +
	    no_more(CHECK_ID(I_PMAP_2), "wired mappings that got another frame", ps.wired_replaced, 0) +
	    no_more(CHECK_ID(I_STAT_7), "relocks that found the map unchanged", n[UVMC_fltrelckok],
	    n[UVMC_fltrelck]) +
	    no_more(CHECK_ID(I_STAT_8), "faults answered by an anon", n[UVMC_flt_anon] + n[UVMC_flt_acow],
	    n[UVMC_fltanget]) +
	    no_more(CHECK_ID(I_STAT_9), "pages that the daemon freed", n[UVMC_pdfreed],
	    n[UVMC_pdscans] + n[UVMC_pgswapout] + n[UVMC_filewrite_pages]);
}

/* The entries are added up anew: what the map says of itself is I-MAP-1's. */
static void
check_limit(struct proc *p, void *arg)
{
	struct vm_map *map = &p->p_vmspace->vm_map;
	vsize_t size = 0, limit, allowed;
	struct urlimit rl;

	if (proc_shares(p))		/* it is in its parent's memory, under its parent's limit */
		return;
	(void)sys_getrlimit(p, URLIMIT_AS, &rl);
	vm_map_lock_read(map);
	for (const struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next)
		size += e->end - e->start;
	limit = map->limit;
	allowed = map->allowed;
	vm_map_unlock_read(map);
	if (size <= allowed && limit == rl.rl_cur)
		return;
	violation_about(KS_map, map->id, map);
	if (size > allowed)
		violation(VIOL_INVARIANT, CHECK_ID(I_STAT_12), "map %u, process %u: %lu bytes are mapped, and "
		    "RLIMIT_AS was %lu when it grew last", map->id, p->p_pid, (unsigned long)size,
		    (unsigned long)allowed);
	else
		violation(VIOL_INVARIANT, CHECK_ID(I_STAT_12), "map %u goes by a limit of %lu bytes, and RLIMIT_AS "
		    "of process %u is %lu", map->id, (unsigned long)limit, p->p_pid, (unsigned long)rl.rl_cur);
	++*(unsigned *)arg;
}

unsigned
inspect_limits(void)
{
	unsigned bad = 0;

	CHECKS_RAN(CHK_I_STAT_12);
	proc_foreach(check_limit, &bad);
	return bad;
}
