/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The observed order as source text: a comment for the head of a file, assertions that would
 * have caught its opposite, rows for locks/lockedge.def.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_view.h"

static const char *
class_name(const struct lg_view *vw, uint32_t class)
{
	return vw->vw_lg->lg_classes[class].lgc_name;
}

static bool
is_order(const struct lg_pair *pa)
{
	return pa->pa_from != pa->pa_to &&
	    (pa->pa_verdict == LG_ALLOWED || pa->pa_verdict == LG_UNDECLARED);
}

/* --- comment --- */

static void
comment_class(const struct lg_view *vw, uint32_t class, FILE *out)
{
	const char *sep = "";
	int column;

	column = fprintf(out, " *\t%s", class_name(vw, class));
	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];
		int len = (int)strlen(class_name(vw, pa->pa_to)) + 2;

		if (pa->pa_from != class || !is_order(pa) || pa->pa_implied)
			continue;
		if (column + len > 84) {
			fprintf(out, ",\n *\t%-16s", "");
			column = 19;
			sep = "   ";
		}
		if (*sep == '\0')
			column = fprintf(out, "%*s > ", 19 - column, "") + 19;
		column += fprintf(out, "%s%s", sep, class_name(vw, pa->pa_to));
		sep = ", ";
	}
	fputc('\n', out);
}

static void
export_comment(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	fprintf(out, "/*\n * Lock order, as `uvmstress audit` saw it in %u run%s.\n * With a lock held, those to the right of it were taken, and whatever may be"
	    "\n * taken with those.\n *\n", lg->lg_nruns, lg->lg_nruns == 1 ? "" : "s");
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		if (lg->lg_classes[vw->vw_order[i]].lgc_kind == LOCKGRAPH_LOCK &&
		    lg_was_used(vw, vw->vw_order[i]))
			comment_class(vw, vw->vw_order[i], out);
	fprintf(out, " */\n");
}

/* --- assertions --- */

static const char *
held_word(const struct lockgraph_class *c)
{
	return (c->lgc_usage & LOCKGRAPH_READ) != 0 ? "rw_lock_held" : "mutex_owned";
}

/*
 * Whoever takes a lock must not hold what is taken after it: where it was seen to be
 * taken, one assertion for each class that comes next.
 */
static void
export_kassert(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	for (uint32_t i = 0, last = LOCKGRAPH_NONE; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];
		const struct lockgraph_edge *e = &lg->lg_edges[pa->pa_edge];
		char taken[256], next[256];

		if (!is_order(pa) || pa->pa_implied)
			continue;
		lg_trace_brief(lg, e->lge_from_trace, taken, sizeof(taken));
		lg_trace_brief(lg, e->lge_to_trace, next, sizeof(next));
		if (pa->pa_from != last)
			fprintf(out, "%s/* before %s is taken, such as in %s */\n",
			    last == LOCKGRAPH_NONE ? "" : "\n", class_name(vw, pa->pa_from),
			    taken[0] != '\0' ? taken : "an unknown place");
		last = pa->pa_from;
		fprintf(out, "\tKASSERT(!%s(%s));\t/* taken after it: %s */\n",
		    held_word(&lg->lg_classes[pa->pa_to]), class_name(vw, pa->pa_to),
		    next[0] != '\0' ? next : "an unknown place");
	}
}

/* --- rows of lockedge.def --- */

#define RUNS_NAMED 3		/* who wants to see an edge needs no more */

static void
some_runs(const struct lockgraph *lg, const struct lockgraph_edge *e, FILE *out)
{
	char runs[400], *end = runs;

	lg_edge_runs(lg, e, runs, sizeof(runs));
	for (int i = 0; i < RUNS_NAMED && end != NULL; i++)
		end = strchr(end + (i > 0), ',');
	if (end != NULL)
		*end = '\0';
	fprintf(out, "%s", runs);
}

static void
export_edges(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];

		if (pa->pa_verdict != LG_ALLOWED)
			continue;
		fprintf(out, "LOCK_EDGE(\"%s\", \"%s\", \"", class_name(vw, pa->pa_from),
		    class_name(vw, pa->pa_to));
		some_runs(lg, &lg->lg_edges[pa->pa_edge], out);
		fprintf(out, "\")\n");
	}
}

const char *const lockgraph_exports[] = { "comment", "kassert", "edges", NULL };

/* => the graph's edges between locks; those by way of events would make others look implied */
static struct lockgraph_edge *
lock_edges(const struct lockgraph *lg, uint32_t *n)
{
	struct lockgraph_edge *v = xcalloc(lg->lg_nedges + 1, sizeof(*v));

	*n = 0;
	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		if (lg->lg_classes[lg->lg_edges[i].lge_from].lgc_kind != LOCKGRAPH_EVENT &&
		    lg->lg_classes[lg->lg_edges[i].lge_to].lgc_kind != LOCKGRAPH_EVENT)
			v[(*n)++] = lg->lg_edges[i];
	return v;
}

void
lockgraph_export(const struct lockgraph *lg, enum lockgraph_export what, FILE *out)
{
	struct lockgraph locks = *lg;
	struct lockgraph_edge *edges = lock_edges(lg, &locks.lg_nedges);
	struct lg_view vw;

	locks.lg_edges = edges;
	lg_view_init(&vw, what == LOCKGRAPH_EXPORT_EDGES ? lg : &locks);
	if (what == LOCKGRAPH_EXPORT_COMMENT)
		export_comment(&vw, out);
	else if (what == LOCKGRAPH_EXPORT_KASSERT)
		export_kassert(&vw, out);
	else
		export_edges(&vw, out);
	lg_view_fini(&vw);
	free(edges);
}
