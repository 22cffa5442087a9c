/*
 * The host's cores, as far as they matter to whoever keeps things where they are warm.
 *
 * They are counted from 0 among those that this process may run on, so that a few of many are
 * as near to each other as all of few.
 */
#include <sched.h>

#include "host_int.h"

static uint16_t rank[CPU_SETSIZE];	/* : while other threads run */

unsigned
host_ncores(void)
{
	cpu_set_t set;
	uint16_t n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)	/* more than there is room for: they are one */
		return 1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		rank[i] = CPU_ISSET(i, &set) ? n++ : 0;
	return n;
}

unsigned
host_core(void)
{
	const int core = sched_getcpu();	/* a word of the thread's own, if libc keeps it (rseq) */

	return core >= 0 && core < CPU_SETSIZE ? rank[core] : 0;
}
