/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Memory that is freed takes its locks with it, and must not take one that is held.
 *
 * Without this, a lock in new memory that nobody initialises by a call (C++'s std::mutex) would
 * be taken for the one that was there before.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

#include "pre_int.h"

/* -1: not known yet; does the allocator tell how large its blocks are? */
static int sizes = -1;			/* a */

/* The size must be asked of whoever gave the memory. */
static bool
sizes_known(void)
{
	struct dl_find_object ours, theirs;
	int known = __atomic_load_n(&sizes, __ATOMIC_RELAXED);

	if (known < 0) {
		known = _dl_find_object((void *)(uintptr_t)real.free, &ours) == 0 &&
		    _dl_find_object((void *)(uintptr_t)malloc_usable_size, &theirs) == 0 &&
		    ours.dlfo_link_map == theirs.dlfo_link_map;
		__atomic_store_n(&sizes, known, __ATOMIC_RELAXED);
	}
	return known > 0;
}

/* => does the block hold something? */
static bool
interesting(void *p, size_t *size)
{
	if (p == NULL || __atomic_load_n(&pre_objects_live, __ATOMIC_RELAXED) == 0 || !sizes_known())
		return false;
	*size = malloc_usable_size(p);
	return *size != 0 && pre_object_maybe(p, *size);
}

static void
freed(struct pre_object *o, void *arg)
{
	struct pre_thread *t = arg;

	if (o->po_holders > 0 && o->po_kind < PRE_COND && (o->po_kind != PRE_MUTEX || o->po_owner == NULL ||
	    ((const pthread_mutex_t *)o->po_addr)->__data.__lock != 0))
		pre_mistake(t, "free-while-held", o, "its memory is freed while it is held");
	pre_object_retire(o);
}

static void
retire(void *p, size_t size)
{
	const int saved = errno;
	struct pre_thread *t = pre_enter();

	if (t == NULL)
		return;
	pre_object_range(p, size, freed, t);
	pre_leave(t);
	errno = saved;
}

PRE_EXPORT void
free(void *p)
{
	size_t size;

	PRE_READY(free, );
	if (unlikely(interesting(p, &size)))
		retire(p, size);
	real.free(p);
}

PRE_EXPORT void *
realloc(void *p, size_t new)
{
	size_t size;

	PRE_READY(realloc, NULL);
	/* A block that stays where it is loses no more than our memory of it. */
	if (unlikely(interesting(p, &size)) && new > size)
		retire(p, size);
	return real.realloc(p, new);
}
