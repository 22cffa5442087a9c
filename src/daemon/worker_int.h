/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Of processes.
 */
#ifndef WORKER_INT_H
#define WORKER_INT_H

#include <sys/types.h>

#include <stdint.h>

/* => when it was started, in the kernel's ticks; 0: there is no such process */
uint64_t process_start_time(pid_t);

#endif /* WORKER_INT_H */
