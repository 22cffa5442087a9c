/*
 * The lock-order engine: its start, classes, and the stacks of locks held.
 * See <sys/lockorder.h> for what it promises.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lockorder_int.h"

struct lo_table lo_classes = { .lt_size = sizeof(struct lo_class) };

static void
nothing(void)
{
}

void
lockorder_init(const struct lockorder_env *env)
{
	lo_env = *env;
	if (lo_env.le_enter == NULL)
		lo_env.le_enter = nothing;
	if (lo_env.le_leave == NULL)
		lo_env.le_leave = nothing;
	lo_mem_reset();
	lo_classes = (struct lo_table){ .lt_size = sizeof(struct lo_class) };
	lo_trace_reset();
	lo_graph_reset();
	lo_usage_reset();
	lo_find_reset();
	lo_chain_reset();
	lo_export_reset();
}

struct lo_class *
lo_class(uint32_t i)
{
	return lo_at(&lo_classes, i);
}

uint32_t
lockorder_class(const char *name, enum lockgraph_class_kind kind, int rank,
    enum lockorder_nest nest, int ipl, const void *where)
{
	struct lo_class *c;
	uint32_t i = NONE;

	lo_lock();
	c = lo_add(&lo_classes, &i);
	if (c != NULL) {
		c->c_name = lo_strdup(name);
		c->c_kind = kind;
		c->c_rank = rank;
		c->c_nest = nest;
		c->c_ipl = ipl;
		c->c_created = lo_trace_pc(where);
		c->c_out = c->c_in = c->c_in_next = NONE;
		for (int k = 0; k < 3; k++)
			c->c_intr_trace[k] = c->c_open_trace[k != 0] = NONE;
	}
	lo_unlock();
	return i;
}

void
lockorder_born(uint32_t class, uint32_t id)
{
	struct lo_class *c;

	lo_lock();
	c = lo_class(class);
	if (c->c_created == NONE)
		c->c_created = lo_trace(NULL);
	/* The only one of its class may be made again, after it was destroyed; who can tell? */
	if (c->c_born++ == 0)
		c->c_gate_id = id;
	else
		lo_regrade = true;
	lo_unlock();
}

void
lockorder_family(uint32_t class, uint32_t family)
{
	lo_lock();
	lo_class(class)->c_family = family;
	lo_unlock();
}

const char *
lockorder_class_name(uint32_t class)
{
	return lo_class(class)->c_name;
}

/* --- what a thread holds --- */

/* => bytes for at least n locks: a power of two, so that they are used again */
static size_t
held_bytes(int n)
{
	return 1UL << (64 - __builtin_clzl((size_t)n * sizeof(struct held_lock) - 1));
}

void
held_grow(struct held_stack *hs)
{
	const size_t bytes = held_bytes(hs->hs_max * 2 + 1);
	struct held_lock *v = hs->hs_inline;
	int max = HELD_INLINE;

	if (hs->hs_max != 0) {
		max = (int)(bytes / sizeof(*v));
		lo_lock();
		v = lo_alloc(bytes);
		lo_unlock();
		if (v == NULL)		/* no room for a lock held: what follows would be lies */
			__builtin_trap();
		memcpy(v, hs->hs_v, (size_t)hs->hs_n * sizeof(*v));
		held_fini(hs);
	}
	hs->hs_v = v;
	hs->hs_max = max;
}

void
held_fini(struct held_stack *hs)
{
	if (hs->hs_max <= HELD_INLINE)
		return;
	lo_lock();
	lo_free(hs->hs_v, held_bytes(hs->hs_max));
	lo_unlock();
	hs->hs_v = NULL;
	hs->hs_max = 0;
}

void
held_rechain(struct held_stack *hs, struct held_lock *hl)
{
	for (; hl < &hs->hs_v[hs->hs_n]; hl++) {
		const struct lockorder_want w = {
			.lw_where = hl->hl_where, .lw_class = hl->hl_class, .lw_how = hl->hl_how,
			.lw_ipl = hl->hl_ipl, .lw_depth = hl->hl_depth, .lw_level = hl->hl_level,
		};

		hl->hl_chain = lockorder_chain(hl > hs->hs_v ? hl - 1 : NULL, &w);
	}
}

/* --- text --- */

void
lo_text(struct lo_text *t, const char *fmt, ...)
{
	const size_t room = sizeof(t->tx) - t->tx_n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->tx + t->tx_n, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->tx_n += (size_t)n < room ? (size_t)n : room - 1;
}
