/*
 * One run: what the parts of the engine share, and nobody else.
 */
#ifndef WORKLOADS_ENGINE_RUN_H
#define WORKLOADS_ENGINE_RUN_H

#include <harness/engine.h>

#include "engine_found.h"
#include "engine_int.h"

/* Stable during the load. */
struct periodic {
	struct periodic	 *pe_next;
	const char	 *pe_name;
	uint64_t	  pe_interval;		/* ns */
	void		(*pe_fn)(void *);
	void		 *pe_arg;
	struct lwp	 *pe_lwp;		/* NULL: the host had no thread for it */
};

/*
 *	:  stable after set-up	  @  atomic
 */
struct engine {
	const struct profile	 *en_profile;	/* : */
	const struct run_options *en_options;	/* : */
	struct run_result	 *en_result;	/* lwp0; violations: engine_found.c */
	struct job_run		 *en_jobs;	/* : */
	unsigned		  en_njobs;	/* : */
	uint64_t		  en_start;	/* @ ns of the host's clock; 0: load has not begun */
	bool			  en_controlled; /* : by a schedule */
	uint64_t		  en_deadline;	/* @ in its time */
	bool			  en_stop;	/* @ */
	bool			  en_over;	/* @ the clock may go */
	uint64_t		  en_object;	/* @ last object id */
	struct host_thread	 *en_clock;	/* : */
	struct periodic		 *en_periodic;	/* : */
	uint64_t		  en_offlined;	/* the hotplug LWP; then lwp0 */
};

extern struct engine engine;

/* engine_load.c */

/* => by lwp0, jobs are set up: workers have run and are gone; 0, or an errno: they did not all begin */
int	run_load(void);
/* => the run is to end: waits for what engine_every() began, and forgets it */
void	periodic_fini(void);

/* engine_result.c */

/* => 0, or EINVAL with a line in rr_error: the profile's `require` names a counter that there is not */
int	requirements_known(void);
/* => workers are gone, processes are not: what the load did */
void	fill_result(void);
/* => everything that jobs ask to have moved; only of a run that was not cut short */
void	require_counters(void);

#endif /* WORKLOADS_ENGINE_RUN_H */
