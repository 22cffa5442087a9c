/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Finding the functions that ours stand in front of.
 *
 * The first interposed call of the process may come from a constructor that runs before
 * ours, from malloc, or from the dynamic linker's own helpers while it looks a name up.
 * So the look-up is done by whoever comes first; and who comes while it is under way is
 * the same thread (no other exists yet), whose locks nobody contends: it is told that
 * all went well.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pre_int.h"

struct pre_real real;

static int state;		/* atomic: 0 nothing known, 1 being looked up, 2 all known */

static void *
find(const char *name, const char *version)
{
	void *fn = NULL;

	if (version != NULL)
		fn = dlvsym(RTLD_NEXT, name, version);
	return fn != NULL ? fn : dlsym(RTLD_NEXT, name);
}

bool
pre_real_init(void)
{
	int zero = 0;

	/* acquire: pairs with the release below, by another thread that came first */
	if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == 2)
		return true;
	if (!__atomic_compare_exchange_n(&state, &zero, 1, false, __ATOMIC_ACQUIRE,
	    __ATOMIC_ACQUIRE))
		return zero == 2;
#define	REAL(result, name, args, version) \
	real.name = (result (*) args)(uintptr_t)find(#name, version);
#include "pre_real.def"
#undef REAL
	__atomic_store_n(&state, 2, __ATOMIC_RELEASE);
	return true;
}
