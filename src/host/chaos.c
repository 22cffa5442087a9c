/*
 * Chaos: threads that run free are delayed at points, by kind, within a budget.
 *
 * Whether a thread's n-th visit of a kind of point is delayed depends on the seed, the thread's name,
 * the kind and n alone; so a delay that shows a bug is there in the next run too, though the host is
 * not.  What a delayed thread does with its core is give it away.
 */
#include <sched.h>

#include "host_int.h"

bool chaos_on, chaos_load;

/* stable while other threads run; the rest atomic */
static struct host_chaos chaos;
static uint64_t threshold;
static uint64_t left;			/* @ ns of the budget */
static uint64_t delays;			/* @ */

static __thread uint64_t visits[HP_COUNT];
static __thread uint64_t who;		/* hash of the thread's name; 0: not yet */

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t
name_hash(void)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (const char *p = host_thread_self()->ht_name; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return h | 1;
}

/* => so much of the budget is the caller's */
static uint64_t
spend(uint64_t ns)
{
	uint64_t have = __atomic_load_n(&left, __ATOMIC_RELAXED), part;

	do
		part = ns < have ? ns : have;
	while (part != 0 && !__atomic_compare_exchange_n(&left, &have, have - part, true,
	    __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return part;
}

void
chaos_point(enum host_point_kind kind, uint32_t object)
{
	uint64_t draw, until;

	if ((chaos.hc_kinds >> kind & 1) == 0 || !__atomic_load_n(&chaos_load, __ATOMIC_RELAXED) ||
	    host_masked())
		return;
	if (who == 0)
		who = name_hash();
	draw = mix(chaos.hc_seed ^ mix(who + (uint64_t)kind) ^ mix(++visits[kind]));
	if (draw >= threshold)
		return;
	until = spend(1 + mix(draw) % chaos.hc_ns);
	if (until == 0)
		return;
	__atomic_fetch_add(&delays, 1, __ATOMIC_RELAXED);
	until += host_wall_ns();
	do
		sched_yield();
	while (host_wall_ns() < until);
}

void
host_chaos_start(const struct host_chaos *hc)
{
	chaos = *hc;
	threshold = hc->hc_p >= 1 ? UINT64_MAX : (uint64_t)(hc->hc_p * 0x1p64);
	left = hc->hc_budget;
	delays = 0;
	chaos_on = true;
	host_points = 1;
}

void
host_chaos_stop(uint64_t *ndelays, uint64_t *ns)
{
	*ndelays = __atomic_load_n(&delays, __ATOMIC_RELAXED);
	*ns = chaos.hc_budget - __atomic_load_n(&left, __ATOMIC_RELAXED);
	chaos_on = false;
	host_points = 0;
}
