/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a lock graph to what people want to see of it.
 *
 * The auditor keeps an edge from every lock held to every lock wanted: that is what
 * finds cycles, and a hedgehog when drawn.  So arrows that follow from others are marked as
 * implied (the transitive reduction), and each class gets a level, the length of the longest
 * way to it, which is the observed order as the rank is the declared one.
 *
 * Both are about orders; where the graph has cycles, the arrows that close one (as met by a
 * search in declared order) are left out of the reckoning.
 */
#include <string.h>

#include "lockgraph_view.h"

#define REDUCE_MAX 4096		/* classes; with more nobody draws it, and the bit matrix grows */

/* The arrows that leave each class: vw_pairs[al_first[c] .. al_first[c + 1] - 1], by al_pair. */
struct arrows {
	uint32_t *al_first, *al_pair;
	bool *al_back;			/* of each pair: closes a cycle */
};

bool
lg_allowed(const struct lockgraph_class *from, const struct lockgraph_class *to)
{
	return from == to ? from->lgc_nest != 0 : from->lgc_rank < to->lgc_rank;
}

static enum lg_verdict
verdict(const struct lockgraph *lg, const struct lockgraph_edge *e)
{
	const struct lockgraph_class *from = &lg->lg_classes[e->lge_from],
	    *to = &lg->lg_classes[e->lge_to];

	if (e->lge_to_mode == LOCKGRAPH_M_TRY)
		return LG_TRIED;
	if (from->lgc_rank <= 0 || to->lgc_rank <= 0)
		return LG_UNDECLARED;
	return lg_allowed(from, to) ? LG_ALLOWED : LG_AGAINST;
}

/* --- pairs --- */

static uint64_t
place_of(const struct lg_view *vw, uint32_t from, uint32_t to)
{
	return (uint64_t)vw->vw_place[from] << 32 | vw->vw_place[to];
}

static int
edges_by_place(const void *a, const void *b, void *ctx)
{
	const struct lg_view *vw = ctx;
	const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct lockgraph_edge *x = &vw->vw_lg->lg_edges[i], *y = &vw->vw_lg->lg_edges[j];
	uint64_t p = place_of(vw, x->lge_from, x->lge_to), q = place_of(vw, y->lge_from, y->lge_to);

	return p != q ? (p < q ? -1 : 1) : i < j ? -1 : i > j;
}

static int
pairs_by_place(const void *a, const void *b, void *ctx)
{
	const struct lg_pair *x = a, *y = b;
	uint64_t p = place_of(ctx, x->pa_from, x->pa_to), q = place_of(ctx, y->pa_from, y->pa_to);

	return p < q ? -1 : p > q;
}

/* Is the edge a better witness of its pair?  One that waits, of locks rather than events. */
static bool
is_better(const struct lockgraph_edge *a, const struct lockgraph_edge *b)
{
	if ((a->lge_to_mode == LOCKGRAPH_M_TRY) != (b->lge_to_mode == LOCKGRAPH_M_TRY))
		return b->lge_to_mode == LOCKGRAPH_M_TRY;
	return a->lge_kind < b->lge_kind;
}

static void
add_to_pair(struct lg_pair *pa, const struct lockgraph *lg, uint32_t edge)
{
	const struct lockgraph_edge *e = &lg->lg_edges[edge];
	enum lg_verdict v = verdict(lg, e);

	if (pa->pa_count == 0) {
		pa->pa_from = e->lge_from;
		pa->pa_to = e->lge_to;
		pa->pa_edge = edge;
		pa->pa_verdict = v;
	} else {
		if (is_better(e, &lg->lg_edges[pa->pa_edge]))
			pa->pa_edge = edge;
		/* a try says nothing of the order, and hides nothing of it either */
		if (pa->pa_verdict == LG_TRIED || (v != LG_TRIED && v > pa->pa_verdict))
			pa->pa_verdict = v;
	}
	pa->pa_wait |= e->lge_kind != LOCKGRAPH_ORDER;
	pa->pa_count += e->lge_count != 0 ? e->lge_count : 1;
}

static void
make_pairs(struct lg_view *vw)
{
	const struct lockgraph *lg = vw->vw_lg;
	uint32_t *sorted = xcalloc(lg->lg_nedges + 1, sizeof(*sorted));

	vw->vw_pairs = xcalloc(lg->lg_nedges + 1, sizeof(*vw->vw_pairs));
	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		sorted[i] = i;
	qsort_r(sorted, lg->lg_nedges, sizeof(*sorted), edges_by_place, vw);
	for (uint32_t i = 0; i < lg->lg_nedges; i++) {
		const struct lockgraph_edge *e = &lg->lg_edges[sorted[i]];
		const struct lg_pair *last = &vw->vw_pairs[vw->vw_npairs - (vw->vw_npairs != 0)];

		if (vw->vw_npairs == 0 || last->pa_from != e->lge_from || last->pa_to != e->lge_to)
			vw->vw_npairs++;
		add_to_pair(&vw->vw_pairs[vw->vw_npairs - 1], lg, sorted[i]);
	}
	free(sorted);
}

const struct lg_pair *
lg_view_pair(const struct lg_view *vw, uint32_t from, uint32_t to)
{
	uint64_t key = place_of(vw, from, to);
	uint32_t low = 0, high = vw->vw_npairs;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct lg_pair *pa = &vw->vw_pairs[mid];
		uint64_t k = place_of(vw, pa->pa_from, pa->pa_to);

		if (k == key)
			return pa;
		if (k < key)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void
mark_violations(struct lg_view *vw)
{
	const struct lockgraph *lg = vw->vw_lg;

	for (uint32_t i = 0; i < lg->lg_nfindings; i++) {
		const struct lockgraph_finding *v = &lg->lg_findings[i];

		for (uint32_t k = 0; k < v->lgv_ncycle && lg_is_violation(v); k++) {
			const struct lg_pair *pa = lg_view_pair(vw, v->lgv_cycle[k].lge_from,
			    v->lgv_cycle[k].lge_to);

			if (pa == NULL)
				continue;
			vw->vw_pairs[pa - vw->vw_pairs].pa_violation = true;
			if (v->lgv_grade == LOCKGRAPH_CONFIRMED)
				vw->vw_pairs[pa - vw->vw_pairs].pa_confirmed = true;
		}
	}
}

/* --- the order --- */

static bool
is_order(const struct lg_pair *pa)
{
	return pa->pa_from != pa->pa_to &&
	    (pa->pa_verdict == LG_ALLOWED || pa->pa_verdict == LG_UNDECLARED);
}

static void
make_arrows(const struct lg_view *vw, struct arrows *al)
{
	uint32_t n = vw->vw_lg->lg_nclasses, *fill;

	al->al_first = xcalloc(n + 2, sizeof(*al->al_first));
	al->al_pair = xcalloc(vw->vw_npairs + 1, sizeof(*al->al_pair));
	al->al_back = xcalloc(vw->vw_npairs + 1, sizeof(*al->al_back));
	fill = xcalloc(n + 1, sizeof(*fill));
	for (uint32_t i = 0; i < vw->vw_npairs; i++)
		if (is_order(&vw->vw_pairs[i]))
			al->al_first[vw->vw_pairs[i].pa_from + 1]++;
	for (uint32_t c = 0; c < n; c++)
		al->al_first[c + 1] += al->al_first[c];
	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		uint32_t from = vw->vw_pairs[i].pa_from;

		if (is_order(&vw->vw_pairs[i]))
			al->al_pair[al->al_first[from] + fill[from]++] = i;
	}
	free(fill);
}

/*
 * Depth-first from every class, in declared order; no recursion, since the chains of a
 * strange program may be long.
 * => done: the classes, those that nothing leads out of first; closing arrows are marked
 */
static void
search(const struct lg_view *vw, struct arrows *al, uint32_t *done)
{
	uint32_t n = vw->vw_lg->lg_nclasses, ndone = 0, depth;
	uint32_t *stack = xcalloc(n + 1, sizeof(*stack)), *next = xcalloc(n + 1, sizeof(*next));
	char *state = xcalloc(n + 1, 1);	/* 0 not met, 1 on the stack, 2 done */

	for (uint32_t i = 0; i < n; i++) {
		if (state[vw->vw_order[i]] != 0)
			continue;
		stack[0] = vw->vw_order[i];
		state[stack[0]] = 1;
		depth = 1;
		while (depth > 0) {
			uint32_t c = stack[depth - 1], arrow = al->al_first[c] + next[c]++, to;

			if (arrow >= al->al_first[c + 1]) {
				state[c] = 2;
				done[ndone++] = c;
				depth--;
				continue;
			}
			to = vw->vw_pairs[al->al_pair[arrow]].pa_to;
			if (state[to] == 1)
				al->al_back[al->al_pair[arrow]] = true;
			else if (state[to] == 0) {
				state[to] = 1;
				stack[depth++] = to;
			}
		}
	}
	free(stack);
	free(next);
	free(state);
}

static void
make_levels(struct lg_view *vw, const struct arrows *al, const uint32_t *done)
{
	for (uint32_t i = vw->vw_lg->lg_nclasses; i-- > 0;) {
		uint32_t c = done[i];

		for (uint32_t a = al->al_first[c]; a < al->al_first[c + 1]; a++) {
			uint32_t to = vw->vw_pairs[al->al_pair[a]].pa_to;

			if (!al->al_back[al->al_pair[a]] && vw->vw_level[to] <= vw->vw_level[c])
				vw->vw_level[to] = vw->vw_level[c] + 1;
		}
	}
}

/* An arrow is implied if another one that leaves the same class leads there too. */
static void
mark_implied(struct lg_view *vw, const struct arrows *al, const uint32_t *done)
{
	uint32_t n = vw->vw_lg->lg_nclasses;
	size_t words = (n + 63) / 64;
	uint64_t *reach;		/* of each class: the set of those that it leads to */

	if (n > REDUCE_MAX)
		return;
	reach = xcalloc(n * words + 1, sizeof(*reach));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *mine = &reach[done[i] * words];

		for (uint32_t a = al->al_first[done[i]]; a < al->al_first[done[i] + 1]; a++) {
			uint32_t to = vw->vw_pairs[al->al_pair[a]].pa_to;

			for (size_t w = 0; w < words && !al->al_back[al->al_pair[a]]; w++)
				mine[w] |= reach[to * words + w];
		}
		for (uint32_t a = al->al_first[done[i]]; a < al->al_first[done[i] + 1]; a++) {
			uint32_t to = vw->vw_pairs[al->al_pair[a]].pa_to;

			if (!al->al_back[al->al_pair[a]])
				vw->vw_pairs[al->al_pair[a]].pa_implied =
				    (mine[to / 64] >> to % 64 & 1) != 0;
		}
		for (uint32_t a = al->al_first[done[i]]; a < al->al_first[done[i] + 1]; a++) {
			uint32_t to = vw->vw_pairs[al->al_pair[a]].pa_to;

			mine[to / 64] |= UINT64_C(1) << to % 64;
		}
	}
	free(reach);
}

static int
by_rank(const void *a, const void *b, void *ctx)
{
	const struct lg_view *vw = ctx;
	const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const unsigned p = (unsigned)vw->vw_lg->lg_classes[i].lgc_rank - 1,
	    q = (unsigned)vw->vw_lg->lg_classes[j].lgc_rank - 1;

	if (p != q)			/* those without a rank last */
		return p < q ? -1 : 1;
	if (p > INT32_MAX && vw->vw_level[i] != vw->vw_level[j])
		return vw->vw_level[i] < vw->vw_level[j] ? -1 : 1;
	return i < j ? -1 : i > j;
}

static void
make_order(struct lg_view *vw)
{
	uint32_t n = vw->vw_lg->lg_nclasses;

	for (uint32_t i = 0; i < n; i++)
		vw->vw_order[i] = i;
	qsort_r(vw->vw_order, n, sizeof(*vw->vw_order), by_rank, vw);
	for (uint32_t i = 0; i < n; i++)
		vw->vw_place[vw->vw_order[i]] = i;
}

void
lg_view_init(struct lg_view *vw, const struct lockgraph *lg)
{
	struct arrows al;
	uint32_t *done = xcalloc(lg->lg_nclasses + 1, sizeof(*done));

	memset(vw, 0, sizeof(*vw));
	vw->vw_lg = lg;
	vw->vw_order = xcalloc(lg->lg_nclasses + 1, sizeof(*vw->vw_order));
	vw->vw_place = xcalloc(lg->lg_nclasses + 1, sizeof(*vw->vw_place));
	vw->vw_level = xcalloc(lg->lg_nclasses + 1, sizeof(*vw->vw_level));
	make_order(vw);
	make_pairs(vw);
	make_arrows(vw, &al);
	search(vw, &al, done);
	make_levels(vw, &al, done);
	mark_implied(vw, &al, done);
	free(al.al_first);
	free(al.al_pair);
	free(al.al_back);
	free(done);
	make_order(vw);			/* again, now that there are levels */
	qsort_r(vw->vw_pairs, vw->vw_npairs, sizeof(*vw->vw_pairs), pairs_by_place, vw);
	mark_violations(vw);
}

void
lg_view_fini(struct lg_view *vw)
{
	free(vw->vw_order);
	free(vw->vw_place);
	free(vw->vw_level);
	free(vw->vw_pairs);
}

/* --- words --- */

bool
lg_is_violation(const struct lockgraph_finding *v)
{
	return v->lgv_waived == NULL && v->lgv_grade != LOCKGRAPH_GUARDED;
}

bool
lg_was_used(const struct lg_view *vw, uint32_t class)
{
	if (vw->vw_lg->lg_classes[class].lgc_acquisitions != 0)
		return true;
	for (uint32_t i = 0; i < vw->vw_npairs; i++)
		if (vw->vw_pairs[i].pa_from == class || vw->vw_pairs[i].pa_to == class)
			return true;
	return false;
}

bool
lg_is_shown(const struct lg_view *vw, uint32_t class)
{
	return vw->vw_lg->lg_classes[class].lgc_rank > 0 || lg_was_used(vw, class);
}

/* Adds a name to the list unless it is there.  => false: no room */
static bool
add_name(char *buf, size_t len, const char *name)
{
	size_t used = strlen(buf), n = strlen(name);

	if (n == 0)
		return true;
	for (const char *p = buf; (p = strstr(p, name)) != NULL; p += n)
		if ((p == buf || p[-1] == ' ') && (p[n] == ',' || p[n] == '\0'))
			return true;
	if (used + n + 3 > len)
		return false;
	snprintf(buf + used, len - used, "%s%s", used == 0 ? "" : ", ", name);
	return true;
}

void
lg_edge_runs(const struct lockgraph *lg, const struct lockgraph_edge *e, char *buf, size_t len)
{
	uint32_t n = e->lge_runs != NULL ? e->lge_nruns : lg->lg_nruns;

	buf[0] = '\0';
	for (uint32_t i = 0; i < n; i++)
		if (!add_name(buf, len, lg->lg_runs[e->lge_runs != NULL ? e->lge_runs[i] : i].lgr_name))
			return;
}

void
lg_frame_text(const struct lockgraph *lg, const struct lockgraph_frame *f, char *buf, size_t len)
{
	const char *path, *slash;

	if (f->lgf_symbol != NULL) {
		snprintf(buf, len, "%s", f->lgf_symbol);
		return;
	}
	if (f->lgf_module == LOCKGRAPH_NONE) {
		snprintf(buf, len, "%#jx", (uintmax_t)f->lgf_offset);
		return;
	}
	path = lg->lg_modules[f->lgf_module].lgm_path;
	slash = strrchr(path, '/');
	snprintf(buf, len, "%s+%#jx", slash != NULL ? slash + 1 : path, (uintmax_t)f->lgf_offset);
}

/* Is the frame in the locks' own code, of which nobody wants to know? */
static bool
is_locks_own(const struct lockgraph_frame *f)
{
	static const char *const prefixes[] = {
		"mutex_", "rw_", "cv_", "mtsleep", "lockdebug_", "lockorder_", "lockevent_",
		"lockstate_", "vm_map_lock", "pthread_", "sem_", NULL,
	};

	for (size_t i = 0; f->lgf_symbol != NULL && prefixes[i] != NULL; i++)
		if (strncmp(f->lgf_symbol, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

void
lg_trace_brief(const struct lockgraph *lg, uint32_t trace, char *buf, size_t len)
{
	const struct lockgraph_trace *t;
	uint32_t i = 0;

	buf[0] = '\0';
	if (trace == LOCKGRAPH_NONE || lg->lg_traces[trace].lgt_n == 0)
		return;
	t = &lg->lg_traces[trace];
	while (i + 1 < t->lgt_n && is_locks_own(&lg->lg_frames[t->lgt_first + i]))
		i++;
	lg_frame_text(lg, &lg->lg_frames[t->lgt_first + i], buf, len);
}
