/*
 * Lock statistics by call site, as lockstat(8) has them: who waits, and for whom others wait.
 *
 * With audit=full only.  Every CPU has a table of its own, as in lockstat.c, so that counting
 * touches no other's memory; a site is found by hash and a few steps, and one that finds no
 * room is counted as lost.  The tables are made at boot, for the CPUs that there are.
 */
#include "../src/kern/kern_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/lockstat.h>

#define	NSITES		1024		/* a power of 2 */
#define	STEPS		16

/* relaxed atomics throughout: one writer, and readers that want a number, no order */
static struct lockstat_site *cpu_site[MAXCPUS];	/* stable after boot: NSITES of them */
static uint64_t lost;				/* atomic */

void
lockstat_site_init(void)
{
	for (int i = 0; i < MAXCPUS; i++) {
		const size_t bytes = NSITES * sizeof(*cpu_site[0]);

		if (cpu_site[i] != NULL)
			memset(cpu_site[i], 0, bytes);
		else if (lockaudit_full && i < ncpu)
			cpu_site[i] = host_mem_map(bytes);
	}
	lost = 0;
}

/* => the site on this CPU, or NULL */
static struct lockstat_site *
site(const void *where, uint32_t class)
{
	struct lockstat_site *table = cpu_site[curcpu()->ci_index];
	uint64_t h = ((uint64_t)(uintptr_t)where ^ (uint64_t)class << 48) * 0x9e3779b97f4a7c15ULL;

	if (table == NULL)
		return NULL;
	for (unsigned k = 0; k < STEPS; k++) {
		struct lockstat_site *s = &table[((h >> 40) + k) % NSITES];

		if (s->lss_where == where && s->lss_class == class)
			return s;
		if (s->lss_where == NULL) {
			s->lss_class = class;
			/* release: pairs with the acquire in lockstat_sites() */
			__atomic_store_n(&s->lss_where, where, __ATOMIC_RELEASE);
			return s;
		}
	}
	__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static void
add_max(uint64_t *max, uint64_t n)
{
	if (n > __atomic_load_n(max, __ATOMIC_RELAXED))
		__atomic_store_n(max, n, __ATOMIC_RELAXED);
}

void
lockstat_site_acquired(const void *where, uint32_t class)
{
	struct lockstat_site *s = site(where, class);

	if (s != NULL)
		add(&s->lss_acquisitions, 1);
}

void
lockstat_site_waited(const void *where, uint32_t class, uint64_t ns)
{
	struct lockstat_site *s = site(where, class);

	if (s == NULL)
		return;
	add(&s->lss_contended, 1);
	add(&s->lss_wait_ns, ns);
	add_max(&s->lss_wait_ns_max, ns);
}

void
lockstat_site_held(const void *where, uint32_t class, uint64_t ns)
{
	struct lockstat_site *s = site(where, class);

	if (s == NULL)
		return;
	add(&s->lss_holds, 1);
	add(&s->lss_hold_ns, ns);
	add_max(&s->lss_hold_ns_max, ns);
}

/* --- reading --- */

static uint64_t
get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void
merge(struct lockstat_site *to, const struct lockstat_site *s)
{
	to->lss_acquisitions += get(&s->lss_acquisitions);
	to->lss_contended += get(&s->lss_contended);
	to->lss_wait_ns += get(&s->lss_wait_ns);
	to->lss_holds += get(&s->lss_holds);
	to->lss_hold_ns += get(&s->lss_hold_ns);
	add_max(&to->lss_wait_ns_max, get(&s->lss_wait_ns_max));
	add_max(&to->lss_hold_ns_max, get(&s->lss_hold_ns_max));
}

/* Those first for which most time was waited; then by use, then by place. */
static int
by_wait(const void *va, const void *vb)
{
	const struct lockstat_site *a = va, *b = vb;

	if (a->lss_wait_ns != b->lss_wait_ns)
		return a->lss_wait_ns < b->lss_wait_ns ? 1 : -1;
	if (a->lss_acquisitions != b->lss_acquisitions)
		return a->lss_acquisitions < b->lss_acquisitions ? 1 : -1;
	return a->lss_where < b->lss_where ? -1 : a->lss_where > b->lss_where;
}

unsigned
lockstat_sites(struct lockstat_site *out, unsigned max)
{
	unsigned n = 0;

	for (int cpu = 0; cpu < ncpu; cpu++) {
		for (unsigned i = 0; cpu_site[cpu] != NULL && i < NSITES; i++) {
			const struct lockstat_site *s = &cpu_site[cpu][i];
			/* acquire: pairs with the release in site() */
			const void *where = __atomic_load_n(&s->lss_where, __ATOMIC_ACQUIRE);
			unsigned k = 0;

			if (where == NULL)
				continue;
			while (k < n && (out[k].lss_where != where || out[k].lss_class != s->lss_class))
				k++;
			if (k == max)
				continue;
			if (k == n)
				out[n++] = (struct lockstat_site){
				    .lss_where = where, .lss_class = s->lss_class };
			merge(&out[k], s);
		}
	}
	qsort(out, n, sizeof(*out), by_wait);
	return n;
}

uint64_t
lockstat_sites_lost(void)
{
	return get(&lost);
}
