/*
 * Edges, and ways through them.
 *
 * A node is searched in two states, by how it was entered: as a recursive reader (R) it is
 * waited for only if its holder holds it exclusively, so of its edges only those count;
 * entered in any other way, all count.  Breadth first, without recursion: the first way
 * found is the shortest.
 */
#include <string.h>

#include "lockorder_int.h"

struct lo_table lo_edges = { .lt_size = sizeof(struct lo_edge) };
bool lo_regrade;

static struct lo_map by_pair;		/* L */
static uint64_t search;			/* L: number of this search */
static uint32_t *way;			/* L: room for one path */
static uint32_t way_max;

void
lo_graph_reset(void)
{
	lo_edges = (struct lo_table){ .lt_size = sizeof(struct lo_edge) };
	by_pair = (struct lo_map){ 0 };
	search = 0;
	way = NULL;
	way_max = 0;
	lo_regrade = false;
}

static struct lo_edge *
edge_at(uint32_t i)
{
	return lo_at(&lo_edges, i);
}

static uint64_t
pair_key(uint32_t from, uint32_t to, enum lockgraph_edge_kind what, unsigned how)
{
	return (uint64_t)from << 35 | (uint64_t)to << 6 | (uint64_t)what << 4 | how;
}

uint32_t
lo_edge_find(uint32_t from, uint32_t to, enum lockgraph_edge_kind what, unsigned how)
{
	return lo_map_get(&by_pair, pair_key(from, to, what, how));
}

uint32_t
lo_edge(uint32_t from, uint32_t to, enum lockgraph_edge_kind what, unsigned how, bool *new)
{
	const uint64_t key = pair_key(from, to, what, how);
	uint32_t i = lo_map_get(&by_pair, key);
	struct lo_edge *e;

	*new = i == NONE;
	if (i != NONE)
		return i;
	e = lo_add(&lo_edges, &i);
	if (e == NULL)
		return NONE;
	*e = (struct lo_edge){
		.e_from = from, .e_to = to, .e_what = (uint8_t)what, .e_how = (uint8_t)how,
		.e_from_trace = NONE, .e_to_trace = NONE,
		.e_out = lo_class(from)->c_out, .e_in = lo_class(to)->c_in,
	};
	lo_class(from)->c_out = i;
	lo_class(to)->c_in = i;
	lo_map_put(&by_pair, key, i);
	return i;
}

/* --- who went this way, holding what --- */

/* => the lock is the only one of its class, held so that nobody else is in there */
static bool
is_gate(const struct held_lock *hl, const struct lo_edge *e)
{
	const struct lo_class *c = lo_class(hl->hl_class);

	return (hl->hl_how & LO_MODE) == LO_WRITE && c->c_born == 1 && c->c_gate_id == hl->hl_id &&
	    hl->hl_class != e->e_from && hl->hl_class != e->e_to;
}

static bool
holds(const struct held_stack *hs, unsigned depth, const struct lo_guard *g)
{
	for (int i = 0; hs != NULL && i < hs->hs_n; i++) {
		const struct held_lock *hl = &hs->hs_v[i];

		if (hl->hl_depth == depth && hl->hl_class == g->g_class && hl->hl_id == g->g_id &&
		    (hl->hl_how & LO_MODE) == LO_WRITE)
			return true;
	}
	return false;
}

static void
first_guards(struct lo_edge *e, const struct held_stack *hs, unsigned depth)
{
	uint32_t n = 0;

	for (int i = 0; hs != NULL && i < hs->hs_n; i++)
		n += hs->hs_v[i].hl_depth == depth && is_gate(&hs->hs_v[i], e);
	if (n == 0)
		return;
	e->e_guard = lo_alloc(n * sizeof(*e->e_guard));
	for (int i = 0; e->e_guard != NULL && i < hs->hs_n; i++)
		if (hs->hs_v[i].hl_depth == depth && is_gate(&hs->hs_v[i], e))
			e->e_guard[e->e_nguard++] = (struct lo_guard){
				hs->hs_v[i].hl_class, hs->hs_v[i].hl_id };
}

void
lo_edge_seen(uint32_t edge, const struct held_stack *hs, unsigned depth)
{
	struct lo_edge *e = edge_at(edge);
	/* interrupts come to every CPU: always several */
	const uint32_t runner = hs != NULL && depth == 0 ? hs->hs_runner : 0;
	uint32_t kept = 0;

	if (e->e_count++ == 0) {
		e->e_runner = runner;
		e->e_many = runner == 0;
		first_guards(e, hs, depth);
		return;
	}
	for (uint32_t i = 0; i < e->e_nguard; i++)
		if (holds(hs, depth, &e->e_guard[i]))
			e->e_guard[kept++] = e->e_guard[i];
	if (e->e_graded && (kept < e->e_nguard || (!e->e_many && e->e_runner != runner)))
		lo_regrade = true;
	e->e_nguard = kept;
	e->e_many = e->e_many || e->e_runner != runner;
}

/* --- searching --- */

/* Classes that were reached and not yet left: a list through c_queue. */
struct queue {
	uint32_t q_first, q_last;	/* class * 2 + rec, or NONE */
};

static void
reach(struct queue *q, uint32_t class, bool rec, uint32_t by)
{
	struct lo_class *c = lo_class(class);
	const uint32_t me = class * 2 + rec;

	/* Who was entered in any way needs no second visit as R: that counts fewer edges. */
	if (c->c_seen[rec] == search || c->c_seen[0] == search)
		return;
	c->c_seen[rec] = search;
	c->c_by[rec] = by;
	c->c_queue[rec] = NONE;
	if (q->q_first == NONE)
		q->q_first = me;
	else
		lo_class(q->q_last / 2)->c_queue[q->q_last & 1] = me;
	q->q_last = me;
}

/* => the edges from start to class; a node's c_by names the edge, its state the one before */
static void
trace_back(uint32_t class, bool rec, struct lo_path *p)
{
	uint32_t n = 0, by, at = class;
	bool r = rec;

	for (;; n++) {
		by = lo_class(at)->c_by[r];
		if (by == NONE)
			break;
		at = edge_at(by >> 1)->e_from;
		r = by & 1;
	}
	if (n + 1 > way_max) {
		uint32_t max = way_max < 64 ? 64 : way_max * 2;

		while (max < n + 1)
			max *= 2;
		lo_free(way, way_max * sizeof(*way));
		way = lo_alloc(max * sizeof(*way));
		way_max = way != NULL ? max : 0;
	}
	p->p_n = way != NULL ? n : 0;
	p->p_v = way;
	for (at = class, r = rec; way != NULL && n-- > 0; ) {
		by = lo_class(at)->c_by[r];
		way[n] = by >> 1;
		at = edge_at(by >> 1)->e_from;
		r = by & 1;
	}
}

bool
lo_reach(uint32_t from, bool rec, bool (*stop)(void *, uint32_t, bool), void *arg, uint32_t *found,
    bool *found_rec, struct lo_path *path)
{
	struct queue q = { NONE, NONE };

	search++;
	reach(&q, from, rec, NONE);
	while (q.q_first != NONE) {
		const uint32_t class = q.q_first / 2;
		const bool r = q.q_first & 1;
		const struct lo_class *c = lo_class(class);

		if (stop(arg, class, r)) {
			trace_back(class, r, path);
			*found = class;
			*found_rec = r;
			return true;
		}
		q.q_first = c->c_queue[r];
		for (uint32_t i = c->c_out; i != NONE; i = edge_at(i)->e_out) {
			const struct lo_edge *e = edge_at(i);

			if (e->e_to != class && !(r && E_SHARED(e)))
				reach(&q, e->e_to, E_REC(e), i << 1 | r);
		}
	}
	return false;
}

static bool
never(void *arg, uint32_t class, bool rec)
{
	return false;
}

void
lo_search(uint32_t to, bool rec)
{
	struct lo_path none;
	uint32_t found;
	bool found_rec;

	lo_reach(to, rec, never, NULL, &found, &found_rec, &none);
}

/* => entered as R and left as shared, nobody waits where the edge starts */
bool
lo_cycle(uint32_t edge, struct lo_path *path)
{
	const struct lo_edge *e = edge_at(edge);
	const struct lo_class *c = lo_class(e->e_from);
	bool rec;

	if (e->e_from == e->e_to)
		return false;
	if (c->c_seen[0] == search)
		rec = false;
	else if (c->c_seen[1] == search && !E_SHARED(e))
		rec = true;
	else
		return false;
	trace_back(e->e_from, rec, path);
	if (path->p_v == NULL)
		return false;
	/* trace_back() has left room for the edge that closes it */
	path->p_v[path->p_n++] = edge;
	return true;
}

bool
lockorder_edge_known(uint32_t from, uint32_t to, enum lockgraph_edge_kind what, unsigned how)
{
	bool known;

	lo_lock();
	known = lo_edge_find(from, to, what, how) != NONE;
	lo_unlock();
	return known;
}

void
lockorder_edge(const struct held_stack *hs, uint32_t from, uint32_t to,
    enum lockgraph_edge_kind what, unsigned how, uint32_t from_trace, uint32_t to_trace)
{
	struct lo_told told = { .to_n = 0 };
	uint32_t i;
	bool new;

	lo_lock();
	i = lo_edge(from, to, what, how, &new);
	if (i != NONE) {
		lo_edge_seen(i, hs, 0);
		if (new) {
			edge_at(i)->e_from_trace = from_trace;
			edge_at(i)->e_to_trace = to_trace;
			lo_new_edges(i, to_trace, &told);
		}
		lo_grades(&told);
	}
	lo_unlock();
	lo_tell(&told);
}
