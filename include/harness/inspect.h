/*
 * The inspectors: whole-system checks of UVM's state.
 */
#ifndef HARNESS_INSPECT_H
#define HARNESS_INSPECT_H

#define	INSPECT_CONTENTS	16384

/*
 * inspect_at_rest: walk everything and hold it against the invariants of the spec; of so many
 * pages that claim to be what a swap slot or a file holds, spread over all of them, see that
 * they are.
 * => the caller is an LWP, every other one stands at its user boundary (<sys/stop.h>) or has
 *    exited, no I/O is in flight
 * => each invariant that was looked at is counted (<harness/checks.h>); violations are reported
 */
void	inspect_at_rest(unsigned contents);

#endif /* HARNESS_INSPECT_H */
