/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What can be done with a lock graph: keep it, write it, read it, merge it, explain it.
 */
#ifndef HARNESS_LOCKGRAPH_H
#define HARNESS_LOCKGRAPH_H

#include <stdbool.h>
#include <stdio.h>

#include <sys/lockgraph.h>

/*
 * lockgraph_dup: a copy that owns everything.
 * lockgraph_free: of a copy, of what was read or merged; NULL allowed.
 */
struct lockgraph *lockgraph_dup(const struct lockgraph *);
void lockgraph_free(struct lockgraph *);

/*
 * lockgraph_write: as JSON, schema uvmstress-lockgraph/1.  Allocates nothing and needs no
 *    library, so that an auditor inside any program may call it: put gets the text in pieces.
 */
void lockgraph_write(const struct lockgraph *, void (*put)(void *arg, const char *, size_t),
    void *arg);

/*
 * lockgraph_read: untrusted bytes; name appears in the message.
 * => NULL and one line in why if they are no lock graph, or one whose parts do not fit
 */
struct lockgraph *lockgraph_read(const char *bytes, size_t len, const char *name, char *why,
    size_t whylen);

#endif /* HARNESS_LOCKGRAPH_H */
