/*
 * Stacks: each different one is stored once and has a number.
 */
#include <string.h>

#include "lockorder_int.h"

struct lo_table lo_traces = { .lt_size = sizeof(struct lo_trace *) };	/* L */
static struct lo_map by_hash;						/* L */

void
lo_trace_reset(void)
{
	lo_traces = (struct lo_table){ .lt_size = sizeof(struct lo_trace *) };
	by_hash = (struct lo_map){ 0 };
}

static uint32_t
store(void *const *pc, int n)
{
	uint64_t hash = (uint64_t)n;
	struct lo_trace *t, **slot;
	uint32_t i;

	for (int k = 0; k < n; k++)
		hash = (hash ^ (uint64_t)(uintptr_t)pc[k]) * 0x9e3779b97f4a7c15ULL + (hash >> 31);
	i = lo_map_get(&by_hash, hash);
	if (i != NONE)
		return i;
	t = lo_alloc(sizeof(*t) + (size_t)n * sizeof(t->t_pc[0]));
	slot = t != NULL ? lo_add(&lo_traces, &i) : NULL;
	if (slot == NULL)
		return NONE;
	t->t_n = (uint32_t)n;
	memcpy(t->t_pc, pc, (size_t)n * sizeof(t->t_pc[0]));
	*slot = t;
	lo_map_put(&by_hash, hash, i);
	return i;
}

/* => the innermost frames, the engine's own and a lock's, are left out */
uint32_t
lo_trace(const void *where)
{
	void *pc[LO_FRAMES + LO_OWN_FRAMES];
	const int n = lo_env.le_backtrace(pc, LO_FRAMES + LO_OWN_FRAMES, 0);
	int first = 0;

	while (first < n && first < LO_OWN_FRAMES && pc[first] != where)
		first++;
	if (first == n || pc[first] != where)
		first = 0;
	return store(pc + first, n - first < LO_FRAMES ? n - first : LO_FRAMES);
}

uint32_t
lo_trace_pc(const void *pc)
{
	void *one = (void *)(uintptr_t)pc;

	return pc == NULL ? NONE : store(&one, 1);
}

uint32_t
lockorder_trace(const void *where)
{
	uint32_t i;

	lo_lock();
	i = lo_trace(where);
	lo_unlock();
	return i;
}
