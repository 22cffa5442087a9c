/*
 * What went wrong in a run: engine_found.c, for the engine.
 */
#ifndef WORKLOADS_ENGINE_FOUND_H
#define WORKLOADS_ENGINE_FOUND_H

#include <harness/engine.h>

#include "engine_int.h"

struct violation;

/* => before the machine is built; the result's violations are filled in from now on */
void	found_init(const struct profile *, const struct run_options *, struct run_result *);
/* => the machine is down */
void	found_fini(void);
/* => failure_sink, see <sys/kernel.h>: what is no more than a matter of locks does not end the load */
bool	found_sink(const struct violation *);
/* => what was found so far: all; and what ended the load */
uint64_t found_all(void);
uint64_t found_serious(void);
/* => ro_violation is called if anything is new; by one thread, no LWP, with nothing held */
void	found_tell(void);
/* => the result has a sample more if it is time for one; by that thread */
void	found_sample(const struct run_progress *);

/* engine_load.c, for this */
void	engine_stop(void);
double	engine_elapsed_s(void);

#endif /* WORKLOADS_ENGINE_FOUND_H */
