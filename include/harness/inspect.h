/*
 * The inspectors: whole-system checks of UVM's state.
 */
#ifndef HARNESS_INSPECT_H
#define HARNESS_INSPECT_H

#include <stdint.h>

#define	INSPECT_CONTENTS	16384

/*
 * inspect_at_rest: walk everything and hold it against the invariants of the spec; of so many
 * pages that claim to be what a swap slot or a file holds, spread over all of them, see that
 * they are.  0: of none.
 * => the caller is an LWP, every other one stands at its user boundary (<sys/stop.h>) or has
 *    exited, no I/O is in flight
 * => each invariant that was looked at is counted (<harness/checks.h>); violations are reported
 */
void	inspect_at_rest(unsigned contents);

/*
 * inspect_stuck: somebody does not come to rest.  Is there a page that will never be let go, or
 * of which nobody will be told that it was?  Does he wait for memory that nobody sees to?
 * => after lwp_stop() (<sys/stop.h>); ends at the first one, which was reported: not 0
 */
unsigned inspect_stuck(void);

/*
 * inspect_sample: so many objects of each kind, drawn by the LWP's own random numbers, are looked
 * at under their own locks.
 * => nth: 0, 1, ...: what takes long is looked at now and then only
 * => an LWP, anything may run; nothing held; sleeps for locks
 */
void	inspect_sample(unsigned depth, uint64_t nth);

#endif /* HARNESS_INSPECT_H */
