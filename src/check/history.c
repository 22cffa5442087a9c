/*
 * What all CPUs remember, as one history.
 */
#include <stdlib.h>

#include <harness/xalloc.h>
#include <host/host.h>
#include <sys/kernel.h>

#include "show_int.h"

/* Each CPU's are in order; where times are the same, those of one CPU stay together. */
static int
by_time(const void *a, const void *b)
{
	const struct kern_history_ent *x = *(const struct kern_history_ent *const *)a;
	const struct kern_history_ent *y = *(const struct kern_history_ent *const *)b;

	if (x->ke_when != y->ke_when)
		return x->ke_when < y->ke_when ? -1 : 1;
	return x < y ? -1 : x > y;	/* of one array, CPU by CPU */
}

struct kern_history_ent *
history_by_time(uint64_t until, size_t *np)
{
	const size_t each = HISTORY_EVENTS_MAX / (size_t)ncpu;
	struct kern_history_ent *raw = xcalloc(HISTORY_EVENTS_MAX, sizeof(*raw)), **order, *sorted;
	size_t n = 0, got;

	host_racy_begin();
	for (int i = 0; i < ncpu; i++) {
		got = kernhist_copy(&cpus[i], raw + n, each);
		while (got > 0 && raw[n + got - 1].ke_when > until)
			got--;
		n += got;
	}
	host_racy_end();
	order = xcalloc(n + 1, sizeof(*order));
	for (size_t i = 0; i < n; i++)
		order[i] = &raw[i];
	if (n > 1)
		qsort(order, n, sizeof(*order), by_time);
	sorted = xcalloc(n + 1, sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = *order[i];
	free(order);
	free(raw);
	*np = n;
	return sorted;
}
