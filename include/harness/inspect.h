/*
 * The inspectors: whole-system checks of UVM's state.
 */
#ifndef HARNESS_INSPECT_H
#define HARNESS_INSPECT_H

#include <harness/result.h>

/*
 * inspect_at_rest: walk everything and hold it against the invariants of the spec.
 * => the caller is an LWP, no other LWP touches user memory or sleeps on a page, no
 *    I/O is in flight
 * => adds a row to the checks for each invariant that it walked; reports violations
 */
void	inspect_at_rest(struct run_result *);

#endif /* HARNESS_INSPECT_H */
