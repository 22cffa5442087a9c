/*
 * What the event counters must have to do with each other when nothing runs (uvm-spec
 * 17.2).  They are kept without a lock, each by its own CPU, and are exact at rest.
 */
#include <uvm/uvm.h>

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
