/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Host memory for the harness' own bookkeeping.  It does not come out of the simulated
 * machine, it is small, and there is no useful way to go on without it: so these do not
 * fail, they end the program with the exit status for "the host could not".
 */
#ifndef HARNESS_XALLOC_H
#define HARNESS_XALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *
xcheck(void *p)
{
	if (p == NULL) {
		fputs("uvmstress: the host has no memory left\n", stderr);
		exit(3);
	}
	return p;
}

static inline void *
xcalloc(size_t n, size_t size)
{
	return xcheck(calloc(n, size));
}

static inline char *
xstrdup(const char *s)
{
	return xcheck(strdup(s));
}

static inline char *
xstrndup(const char *s, size_t n)
{
	return xcheck(strndup(s, n));
}

static inline char *__attribute__((format(printf, 1, 2)))
xasprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return xcheck(s);
}

/*
 * xgrow: room for one more element in an array of n; zeroed.  Capacity doubles at powers
 * of two, so no capacity needs to be kept.
 */
static inline void *
xgrow(void *v, size_t n, size_t size)
{
	if ((n & (n - 1)) == 0)
		v = xcheck(realloc(v, (n == 0 ? 1 : n * 2) * size));
	memset((char *)v + n * size, 0, size);
	return v;
}

#endif /* HARNESS_XALLOC_H */
