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
	return pa->pa_from != pa->pa_to && !pa->pa_wait &&
	    (pa->pa_verdict == LG_ALLOWED || pa->pa_verdict == LG_UNDECLARED);
}

/* --- comment --- */

static void
comment_class(const struct lg_view *vw, uint32_t class, FILE *out)
{
	const char *sep = "";
	int column;

	column = fprintf(out, " *\t%-16s", class_name(vw, class));
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
		column += fprintf(out, "%s%s", *sep == '\0' ? " > " : sep, class_name(vw, pa->pa_to));
		sep = ", ";
	}
	fputc('\n', out);
}

static void
export_comment(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	fprintf(out, "/*\n * Lock order, as `uvmstress audit` saw it");
	for (uint32_t i = 0; i < lg->lg_nruns; i++)
		fprintf(out, "%s%s", i == 0 ? " in " : ", ", lg->lg_runs[i].lgr_name);
	fprintf(out, ".\n * With a lock held, those to the right of it were taken, and whatever may be"
	    "\n * taken with those.\n *\n");
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

static void
export_edges(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];
		char runs[400];

		if (pa->pa_verdict != LG_ALLOWED)
			continue;
		lg_edge_runs(lg, &lg->lg_edges[pa->pa_edge], runs, sizeof(runs));
		fprintf(out, "LOCK_EDGE(\"%s\", \"%s\", \"%s\")\n", class_name(vw, pa->pa_from),
		    class_name(vw, pa->pa_to), runs);
	}
}

const char *const lockgraph_exports[] = { "comment", "kassert", "edges", NULL };

void
lockgraph_export(const struct lockgraph *lg, enum lockgraph_export what, FILE *out)
{
	struct lg_view vw;

	lg_view_init(&vw, lg);
	if (what == LOCKGRAPH_EXPORT_COMMENT)
		export_comment(&vw, out);
	else if (what == LOCKGRAPH_EXPORT_KASSERT)
		export_kassert(&vw, out);
	else
		export_edges(&vw, out);
	lg_view_fini(&vw);
}
