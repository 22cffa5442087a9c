/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon's answers for people, on standard output.
 */
#ifndef CMD_CTL_H
#define CMD_CTL_H

#include <jansson.h>

#include "../daemon/daemon.h"

void ctl_status(const json_t *);
void ctl_failures(const json_t *);
void ctl_failure(const json_t *);
void ctl_runs(const json_t *);
void ctl_check(const json_t *);
/* => n: how many pictures came before; on a terminal each is drawn over the last */
void ctl_top(const json_t *, unsigned long n);

#endif /* CMD_CTL_H */
