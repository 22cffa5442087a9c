/*
 * Chains.
 *
 * A chain is known when every pair in it has been judged and its last lock's usage noted; its
 * hash is then in the cache, and the next acquisition of the same kind is waved through
 * without a lock.  The cache is a hint, a line of eight hashes to a bucket: what has been
 * pushed out is found in the table of all chains, under the lock.
 *
 * Two things depend on more than the chain.  How two locks of one class nest is a matter of
 * their birth numbers: a chain with such a pair stands in the cache as its complement, and
 * the pair is looked at each time.  And whether several threads go the same way matters to
 * grades: as long as one thread alone did, the hash in the cache is mixed with its number.
 */
#include <string.h>

#include "lockorder_int.h"

#define	LINE	8			/* hashes to a bucket: one cache line */

uint64_t lockorder_cache[1 << LO_CACHE_BITS] __attribute__((aligned(64)));
uint64_t lo_nchains;

struct chain {				/* L */
	uint32_t	 ch_runner;	/* the first one, 0: several */
	uint32_t	 ch_trace;
	bool		 ch_pair;	/* two locks of one class */
};

static struct lo_table chains = { .lt_size = sizeof(struct chain) };
static struct lo_map by_hash;		/* L */
static struct lo_map by_site;		/* L: the first stack of a class at a place */
static unsigned victim;			/* L: place in a line that is used next */

void
lo_chain_reset(void)
{
	chains = (struct lo_table){ .lt_size = sizeof(struct chain) };
	by_hash = (struct lo_map){ 0 };
	by_site = (struct lo_map){ 0 };
	lo_nchains = 0;
	for (size_t i = 0; i < sizeof(lockorder_cache) / sizeof(lockorder_cache[0]); i++)
		__atomic_store_n(&lockorder_cache[i], 0, __ATOMIC_RELAXED);
}

static uint64_t
site(const void *where, uint32_t class)
{
	return (uint64_t)(uintptr_t)where ^ (uint64_t)(class + 1) << 48;
}

/* A lock below may have been released since: then the chain is no longer that of its stack. */
uint32_t
lo_held_trace(const struct held_lock *hl)
{
	uint32_t i = lo_map_get(&by_hash, hl->hl_chain);

	if (i != NONE && ((struct chain *)lo_at(&chains, i))->ch_trace != NONE)
		return ((struct chain *)lo_at(&chains, i))->ch_trace;
	i = lo_map_get(&by_site, site(hl->hl_where, hl->hl_class));
	return i != NONE ? i : lo_trace_pc(hl->hl_where);
}

uint32_t
lockorder_held_trace(const struct held_lock *hl)
{
	uint32_t i;

	lo_lock();
	i = lo_held_trace(hl);
	lo_unlock();
	return i;
}

/* --- the cache --- */

static uint64_t
mixed(uint64_t chain, uint32_t runner)
{
	return chain ^ lockorder_mix(runner);
}

static uint64_t *
line_of(uint64_t chain)
{
	return &lockorder_cache[lockorder_place(chain) & ~(size_t)(LINE - 1)];
}

/* => 1: known, and that is all; -1: known, look at the pairs of one class; 0: not there */
static int
probe(uint64_t chain, uint32_t runner)
{
	const uint64_t *line = line_of(chain);

	for (int i = 0; i < LINE; i++) {
		const uint64_t v = __atomic_load_n(&line[i], __ATOMIC_RELAXED);

		if (v == chain || v == mixed(chain, runner))
			return 1;
		if (v == ~chain || v == ~mixed(chain, runner))
			return -1;
	}
	return 0;
}

/*
 * L => where the chain stands, if the runner it went with before has put it there; else its own
 *    place or the one beside it, which lockorder_known() looks at; else any other of the line
 */
static uint64_t *
place_of(uint64_t chain, uint32_t before)
{
	const uint64_t was = mixed(chain, before);
	uint64_t *line = line_of(chain), *place = NULL;
	const size_t own = lockorder_place(chain) % LINE;

	for (size_t i = 0; i < LINE; i++) {
		uint64_t *p = &line[own ^ i];

		if (*p == was || *p == ~was)
			return p;
		if (place == NULL && *p == 0)
			place = p;
	}
	return place != NULL ? place : &line[victim++ % LINE];
}

/* L */
static void
cache(uint64_t chain, const struct chain *ch, uint32_t before)
{
	const uint64_t v = mixed(chain, ch->ch_runner);

	__atomic_store_n(place_of(chain, before), ch->ch_pair ? ~v : v, __ATOMIC_RELAXED);
}

/* --- two locks of one class --- */

/* => waits for itself?  Trying does not wait, but for a reader it is refused (mutex(9), I-SMP-6). */
static bool
recursion(const struct held_lock *hl, const struct lockorder_want *w)
{
	const unsigned want = w->lw_how & LO_MODE;

	if (hl->hl_lock != w->lw_lock)
		return false;
	if (want == LO_READ_REC && (hl->hl_how & LO_MODE) != LO_WRITE)
		return false;
	return (w->lw_how & LO_TRY) == 0 || want == LO_READ;
}

/* => may w be wanted while hl, of its class, is held? */
static bool
may_nest(const struct lo_class *c, const struct held_lock *hl, const struct lockorder_want *w)
{
	if ((w->lw_how & LO_TRY) != 0)
		return true;
	switch (c->c_nest) {
	case LO_NEST_ID:
		return w->lw_id > hl->hl_id;
	case LO_NEST_CHILD:
		return (w->lw_how & LO_NESTED) != 0;
	case LO_NEST_ANY:
		return true;
	default:
		return false;
	}
}

/* => the first lock held that w may not follow; no lock needed: stable fields and our own stack */
static const struct held_lock *
bad_pair(const struct held_stack *hs, const struct lockorder_want *w)
{
	const struct lo_class *c = lo_class(w->lw_class);

	for (int i = hs->hs_n - 1; i >= 0; i--) {
		const struct held_lock *hl = &hs->hs_v[i];

		if (hl->hl_depth != w->lw_depth || hl->hl_class != w->lw_class)
			continue;
		if (recursion(hl, w)) {
			if (lo_env.le_recursion != NULL)
				lo_env.le_recursion(hl, w);
		} else if (hl->hl_lock != w->lw_lock && !may_nest(c, hl, w)) {
			return hl;
		}
	}
	return NULL;
}

/* L */
static void
found_pair(const struct held_lock *hl, const struct lockorder_want *w, uint32_t edge,
    uint32_t trace, struct lo_told *told)
{
	static const char *const rule[] = {
		[LO_NEST_NONE] = "two of its class are never held",
		[LO_NEST_ID] = "the older one comes first",
		[LO_NEST_CHILD] = "a child's, and its parent is not named",
		[LO_NEST_ANY] = "",
	};
	struct lo_class *c = lo_class(w->lw_class);
	struct lo_text print = { .tx_n = 0 }, message = { .tx_n = 0 };

	__atomic_store_n(&c->c_nest_told, 1, __ATOMIC_RELAXED);
	if (c->c_nest == LO_NEST_NONE && c->c_rank != 0) {
		lo_text(&print, "lock-order:%s>%s", c->c_name, c->c_name);
		lo_text(&message, "%s (rank %d) wanted while %s (rank %d) is held", c->c_name, c->c_rank,
		    c->c_name, c->c_rank);
	} else {
		lo_text(&print, "lock-nesting:%s", c->c_name);
		lo_text(&message, "%s %u wanted while %s %u is held: %s", c->c_name, w->lw_id, c->c_name,
		    hl->hl_id, rule[c->c_nest]);
	}
	lo_found(told, c->c_nest == LO_NEST_NONE && c->c_rank != 0 ? "lock-order" : "lock-nesting",
	    print.tx, LOCKGRAPH_UNCONFIRMED, &edge, edge != NONE, trace, message.tx);
}

/* --- validation --- */

static bool
breaks_rank(const struct lo_class *held, const struct lo_class *wanted)
{
	if (held->c_rank == 0 || wanted->c_rank == 0 || held->c_rank < wanted->c_rank)
		return false;
	return held->c_rank > wanted->c_rank || (held != wanted &&
	    (held->c_nest != LO_NEST_ANY || wanted->c_nest != LO_NEST_ANY));
}

/* L: of all that is held and may not come first, the one of highest rank is told */
static void
judge_rank(const struct held_lock *top, uint32_t edge, const struct lockorder_want *w,
    uint32_t trace, struct lo_told *told)
{
	const struct lo_class *a = lo_class(top->hl_class), *b = lo_class(w->lw_class);
	struct lo_text print = { .tx_n = 0 }, message = { .tx_n = 0 };

	lo_text(&print, "lock-order:%s>%s", a->c_name, b->c_name);
	lo_text(&message, "%s (rank %d) wanted while %s (rank %d) is held", b->c_name, b->c_rank,
	    a->c_name, a->c_rank);
	lo_found(told, "lock-order", print.tx, LOCKGRAPH_UNCONFIRMED, &edge, edge != NONE, trace,
	    message.tx);
}

/* => to wait for an event is no order of locks, nor is what its provider wants */
static enum lockgraph_edge_kind
edge_kind(uint32_t held, uint32_t wanted)
{
	if (lo_class(wanted)->c_kind == LOCKGRAPH_EVENT)
		return LOCKGRAPH_WAIT;
	return lo_class(held)->c_kind == LOCKGRAPH_EVENT ? LOCKGRAPH_PROVIDE : LOCKGRAPH_ORDER;
}

static bool
one_family(uint32_t a, uint32_t b)
{
	return a != b && lo_class(a)->c_family != 0 && lo_class(a)->c_family == lo_class(b)->c_family;
}

/* L => the edge */
static uint32_t
judge_pair(const struct held_stack *hs, const struct held_lock *hl, const struct lockorder_want *w,
    uint32_t trace)
{
	const unsigned how = (hl->hl_how & LO_MODE) | (w->lw_how & LO_MODE) << 2;
	bool new;
	uint32_t i = lo_edge(hl->hl_class, w->lw_class, edge_kind(hl->hl_class, w->lw_class), how,
	    &new);
	struct lo_edge *e;

	if (i == NONE)
		return NONE;
	lo_edge_seen(i, hs, w->lw_depth);
	if (new) {
		e = lo_at(&lo_edges, i);
		e->e_rank = breaks_rank(lo_class(hl->hl_class), lo_class(w->lw_class));
		e->e_from_trace = lo_held_trace(hl);
		e->e_to_trace = trace;
	}
	return i;
}

/* L: all that is held, against what is wanted */
static void
judge_pairs(const struct held_stack *hs, const struct lockorder_want *w, uint32_t trace,
    struct chain *ch, struct lo_told *told)
{
	const uint32_t before = lo_edges.lt_n;
	const struct held_lock *top = NULL;
	uint32_t top_edge = NONE;

	for (int i = 0; i < hs->hs_n; i++) {
		const struct held_lock *hl = &hs->hs_v[i];
		const bool same = hl->hl_depth == w->lw_depth;
		uint32_t edge;

		ch->ch_pair = ch->ch_pair || (same && hl->hl_class == w->lw_class);
		if ((w->lw_how & LO_TRY) != 0)
			continue;
		/* What a handler interrupts: lockorder_usage.c. */
		if (!same || one_family(hl->hl_class, w->lw_class))
			continue;
		edge = judge_pair(hs, hl, w, trace);
		if (breaks_rank(lo_class(hl->hl_class), lo_class(w->lw_class)) && (top == NULL ||
		    lo_class(hl->hl_class)->c_rank >= lo_class(top->hl_class)->c_rank)) {
			top = hl;
			top_edge = edge;
		}
	}
	if (top != NULL)
		judge_rank(top, top_edge, w, trace, told);
	lo_new_edges(before, trace, told);
}

/* L => where; the chain is known from now on, to this runner */
static uint32_t
learn(const struct held_stack *hs, const struct lockorder_want *w, uint64_t hash, uint32_t runner,
    struct lo_told *told)
{
	uint32_t i = lo_map_get(&by_hash, hash), trace;
	struct chain *ch = i != NONE ? lo_at(&chains, i) : NULL;
	const uint32_t before = ch != NULL ? ch->ch_runner : runner;

	if (ch != NULL && (before == 0 || before == runner)) {
		cache(hash, ch, before);	/* was pushed out */
		return ch->ch_trace;
	}
	/* the same acquisitions at the same places: a second runner's stack says nothing new */
	trace = ch != NULL ? ch->ch_trace : lo_trace(w->lw_where);
	if (ch == NULL) {
		ch = lo_add(&chains, &i);
		if (ch == NULL)
			return trace;
		*ch = (struct chain){ .ch_runner = runner, .ch_trace = trace };
		lo_map_put(&by_hash, hash, i);
		if (trace != NONE && lo_map_get(&by_site, site(w->lw_where, w->lw_class)) == NONE)
			lo_map_put(&by_site, site(w->lw_where, w->lw_class), trace);
		lo_nchains++;
	} else {
		ch->ch_runner = 0;
	}
	judge_pairs(hs, w, trace, ch, told);
	lo_usage(w, trace, told);
	cache(hash, ch, before);
	return trace;
}

uint64_t
lockorder_validate(struct held_stack *hs, const struct lockorder_want *w, uint64_t hash)
{
	const uint32_t runner = w->lw_depth == 0 ? hs->hs_runner : 0;
	const int known = probe(hash, runner);
	const struct held_lock *bad;
	struct lo_told told = { .to_n = 0 };
	uint32_t trace;

	if (known > 0)
		return hash;
	bad = bad_pair(hs, w);
	/* relaxed: a hint; who misses it waits for the lock */
	if (known < 0 && (bad == NULL ||
	    __atomic_load_n(&lo_class(w->lw_class)->c_nest_told, __ATOMIC_RELAXED) != 0))
		return hash;
	lo_lock();
	trace = learn(hs, w, hash, runner, &told);
	if (bad != NULL)
		found_pair(bad, w, lo_edge_find(w->lw_class, w->lw_class,
		    edge_kind(w->lw_class, w->lw_class), (bad->hl_how & LO_MODE) | (w->lw_how & LO_MODE) << 2), trace, &told);
	lo_grades(&told);
	lo_unlock();
	lo_tell(&told);
	return hash;
}
