/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Detectors, tripped on purpose: each mistake must be reported, and what is like it but
 * legal must not.
 */
#ifndef HARNESS_SELFTEST_H
#define HARNESS_SELFTEST_H

#include <stdbool.h>
#include <stdio.h>

/*
 * selftest_locks: the lock auditor.  Each case runs in a process and a small kernel of its own.
 * => how many cases failed; -1: this build, or the host, cannot run them, told in out
 * => only those whose name contains the word; NULL: all.  verbose: what each one said
 * => no other thread in this process
 */
int	selftest_locks(FILE *out, const char *word, bool verbose);

/* selftest_preload: the auditor of pthread programs.  Each case is a program.  => as above */
int	selftest_preload(FILE *out, const char *word, bool verbose);

#endif /* HARNESS_SELFTEST_H */
