/*
 * Scenarios of the specification (docs/spec-sections.md), as scripts: a machine for them, and the proof
 * that each notices its mistake.
 *
 *	SCENARIO(T24_name, "claim") { scenario_begin(); ... SCRIPT(...); scenario_end(); }
 *	MISTAKE(T24_name, late_activate_miss, "what is said then")
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <sys/bug.h>

#include "script.h"
#include "tmap.h"

#define	SCENARIO(name, claim)	static void name##_steps(void);			\
	KTEST(name, claim) { name##_steps(); }					\
	static void name##_steps(void)

#if UVMSTRESS_BUGS
/* => with that bug of the museum the scenario dies, and says so */
#define	MISTAKE(name, bug, says)						\
	KTEST_DEATH(name##_with_##bug, "with " #bug " the scenario fails", says)	\
	{									\
		bugs_on[BUG_##bug / 64] |= UINT64_C(1) << BUG_##bug % 64;	\
		name##_steps();							\
	}
#else
#define	MISTAKE(name, bug, says)
#endif

/* => for LWPs fewer than CPUs */
static inline void
scenario_begin_on(int ncpus)
{
	script_begin();
	tm_boot(ncpus, 2048);
}

static inline void
scenario_begin(void)
{
	scenario_begin_on(4);
}

static inline void
scenario_end(void)
{
	tm_shutdown();
	script_end();
}

#endif /* SCENARIO_H */
