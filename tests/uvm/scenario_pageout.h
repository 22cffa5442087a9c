/*
 * Scenarios in which the page daemon is one of the LWPs: a machine with swap for it, and memory that is short.
 */
#ifndef SCENARIO_PAGEOUT_H
#define SCENARIO_PAGEOUT_H

#include "scenario.h"
#include "tswap.h"

#define	DAEMON		{ "pgdaemon", NULL, NULL, NULL }
#define	SQUEEZE		{ "k", NULL, squeeze, NULL }

static inline void
begin(int slots, int ndevs)
{
	script_begin();
	ts_boot(6, 2048, slots, ndevs);
	script_lock("pageq", &uvm_pageqlock);
	script_lock("swap", &uvm_swap_data_lock);
}

/* => the daemon has nothing to do, and nothing under way */
static inline void
settle(void)
{
	TU_WAIT(uvm_pdaemon_idle() && uvm_aio_idle());
}

static inline void
end(void)
{
	tu_release();
	settle();
	scenario_end();
}

/* => pages of that kind hold 5; they are dirty, inactive, and not referenced since */
static inline void
aged(int first, int n, char kind)
{
	CHECK_EQ(tm_put_at(tm_proc, first, n, kind), 0);
	for (int i = first; i < first + n; i++)
		tm_store(i, 5);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(first), ptoa((uint64_t)n), UMADV_DONTNEED), 0);
}

/* => memory is so short that the daemon is asked to do something about it */
static inline void
squeeze(void *arg)
{
	tu_take(tu_free() - uvm.reserve_kernel, 0);
	uvm_kick_pdaemon();
}

#endif /* SCENARIO_PAGEOUT_H */
