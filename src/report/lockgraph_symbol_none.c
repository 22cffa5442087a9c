/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Built without libdw: stack frames stay module and offset, which
 * `addr2line -f -e MODULE OFFSET` explains.
 */
#include <harness/lockgraph.h>

void
lockgraph_symbolise(struct lockgraph *lg)
{
}
