/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From what the auditor foretells to what has happened.
 */
#ifndef CMD_CONFIRM_H
#define CMD_CONFIRM_H

#include <harness/lockgraph.h>

#include "run.h"

/*
 * confirm: the machine of the run once more for each circle of locks in its graph, by up to n directed
 *    schedules, until it has deadlocked there.  The graph then says of each finding which recording
 *    shows it, or how many schedules did not.  Complaints go to standard error.
 * => the run is over, and its machine gone
 */
void confirm(const struct run *, struct lockgraph *, uint64_t n);

#endif /* CMD_CONFIRM_H */
