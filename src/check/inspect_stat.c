/*
 * What the event counters must have to do with each other when nothing runs (uvm-spec
 * 17.2).  They are kept without a lock, each by its own CPU, and are exact at rest.
 * And address spaces against their limits.
 */
#include <machine/disk.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_proc.h>

#include "inspect_int.h"

/* What is counted as part of something is no more than all of it. */
struct part {
	const char	*pt_id, *pt_what;
	uint64_t	 pt_part, pt_all;
};

static unsigned
no_more(const struct part *pt)
{
	if (pt->pt_part <= pt->pt_all)
		return 0;
	violation(VIOL_INVARIANT, pt->pt_id, "%s: %lu, and at most %lu can be", pt->pt_what,
	    (unsigned long)pt->pt_part, (unsigned long)pt->pt_all);
	return 1;
}

unsigned
inspect_events(const struct uvmexp *exp)
{
	const uint64_t *n = exp->count, reads = disk_requests(false), writes = disk_requests(true);
	struct pmap_stat ps;
	unsigned bad = 0;

	CHECKS_RAN(CHK_I_STAT_7, CHK_I_STAT_8, CHK_I_STAT_9, CHK_R39, CHK_I_PMAP_2);
	pmap_getstat(&ps);
	const struct part parts[] = {
		{ CHECK_ID(R39), "enters that may not fail, and that took the reserve", ps.plain_enter_dips, 0 },
		{ CHECK_ID(I_PMAP_2), "wired mappings that got another frame", ps.wired_replaced, 0 },
		{ CHECK_ID(I_STAT_7), "relocks that found the map unchanged", n[UVMC_fltrelckok], n[UVMC_fltrelck] },
		{ CHECK_ID(I_STAT_7), "faults that read a page, or found it", n[UVMC_flt_pagein] + n[UVMC_flt_soft],
		    n[UVMC_faults] },
		{ CHECK_ID(I_STAT_7), "faults that wired a page", n[UVMC_flt_wire], n[UVMC_faults] },
		{ CHECK_ID(I_STAT_7), "faults answered by a page of an object", n[UVMC_flt_obj] + n[UVMC_flt_prcopy],
		    n[UVMC_fltlget] },
		{ CHECK_ID(I_STAT_7), "faults answered by a page of a file", n[UVMC_flt_file], n[UVMC_fltlget] },
		{ CHECK_ID(I_STAT_7), "pages of zeroes that faults took", n[UVMC_flt_przero], n[UVMC_pga_zero] },
		{ CHECK_ID(I_STAT_7), "look-ups that waited for a busy page", n[UVMC_fltpgwait], n[UVMC_fltanretry] },
		{ CHECK_ID(I_STAT_8), "faults answered by an anon", n[UVMC_flt_anon] + n[UVMC_flt_acow],
		    n[UVMC_fltanget] },
		{ CHECK_ID(I_STAT_9), "pages that the daemon freed", n[UVMC_pdfreed],
		    n[UVMC_pdscans] + n[UVMC_pgswapout] + n[UVMC_filewrite_pages] },
		{ CHECK_ID(I_STAT_9), "inactive pages that it made active",
		    n[UVMC_pdreact] + n[UVMC_pdreanon] + n[UVMC_pdrefile] + n[UVMC_pddirtyreact], n[UVMC_pdscans] },
		{ CHECK_ID(I_STAT_9), "active pages that it deactivated, or spared", n[UVMC_pddeact] + n[UVMC_pdspared],
		    n[UVMC_pdactive] },
		{ CHECK_ID(I_STAT_9), "active pages whose slots it took", n[UVMC_pddropswap], n[UVMC_pdactive] },
		{ CHECK_ID(I_STAT_9), "pages that it skipped", n[UVMC_pdtrylock] + n[UVMC_pdbusy],
		    n[UVMC_pdscans] + n[UVMC_pdactive] },
		{ CHECK_ID(I_STAT_9), "pauses for owners that it could not lock", n[UVMC_pdtrypause], n[UVMC_pdtrylock] },
		{ CHECK_ID(I_STAT_9), "rounds in which it scanned", n[UVMC_pdrevs], n[UVMC_pdwoke] },
		{ CHECK_ID(I_STAT_9), "pageouts that it started", n[UVMC_pdpageouts],
		    n[UVMC_pgswapout] + n[UVMC_swapout_error] + n[UVMC_filewrite_pages] },
		{ CHECK_ID(I_STAT_9), "pages written", n[UVMC_pgswapout] + n[UVMC_filewrite_pages],
		    writes * BUF_MAXPAGES },
		{ CHECK_ID(I_STAT_9), "pages that faults read from swap", n[UVMC_nswget],
		    n[UVMC_pgswapin] + n[UVMC_swapin_error] },
		{ CHECK_ID(I_STAT_9), "pages read from swap, and what of files at least",
		    n[UVMC_pgswapin] + n[UVMC_swapin_error] + n[UVMC_fileread_pages] / BUF_MAXPAGES, n[UVMC_pageins] },
		{ CHECK_ID(I_STAT_9), "pages read from files", n[UVMC_fileread_pages], n[UVMC_pageins] * BUF_MAXPAGES },
		{ CHECK_ID(I_STAT_9), "reads", n[UVMC_pageins], reads },
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		bad += no_more(&parts[i]);
	return bad;
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
