/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A lock graph as a picture, for graphviz' dot.
 *
 * Ranks are layers, first to be taken on top.  An arrow leads from what is held to what is
 * wanted; those that follow from others are left out, or forty classes would be a hedgehog:
 * where a way leads down there is an order, drawn or not.  What goes against the order and
 * what is part of a violation is always drawn, in red, and pulls no layer out of place.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_view.h"

/* A name between quotes. */
static void
quoted(const char *text, FILE *out)
{
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
}

static void
dot_node(const struct lg_view *vw, uint32_t class, FILE *out)
{
	const struct lockgraph_class *c = &vw->vw_lg->lg_classes[class];
	const bool event = c->lgc_kind == LOCKGRAPH_EVENT, used = lg_was_used(vw, class);
	const char *fill = event ? "#fff3c4" : !used ? "#f2f2f2" :
	    (c->lgc_usage & LOCKGRAPH_SPIN) != 0 ? "#d6e4f5" : "#e3f2df";

	fprintf(out, "  n%u [label=\"", class);
	quoted(c->lgc_name, out);
	if (c->lgc_rank > 0)
		fprintf(out, "\\n%d", c->lgc_rank);
	if (c->lgc_ipl > 0)
		fprintf(out, "%sIPL %d", c->lgc_rank > 0 ? " " : "\\n", c->lgc_ipl);
	fprintf(out, "\", fillcolor=\"%s\"%s%s, tooltip=\"", fill, event ? ", shape=ellipse" : "",
	    used ? "" : ", fontcolor=\"#999999\", color=\"#bbbbbb\"");
	quoted(c->lgc_reason != NULL ? c->lgc_reason : c->lgc_name, out);
	fprintf(out, "\"];\n");
}

/* One layer for each rank, and a chain that keeps them apart. */
static void
dot_ranks(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;
	int last = 0;

	for (uint32_t i = 0; i < lg->lg_nclasses;) {
		int rank = lg->lg_classes[vw->vw_order[i]].lgc_rank;

		if (rank <= 0)
			return;
		fprintf(out, "  r%d [label=\"%d\", shape=plaintext, fillcolor=white, fontcolor=\"#888888\"];\n",
		    rank, rank);
		if (last != 0)
			fprintf(out, "  r%d -> r%d [style=invis];\n", last, rank);
		fprintf(out, "  { rank=same; r%d;", rank);
		for (; i < lg->lg_nclasses && lg->lg_classes[vw->vw_order[i]].lgc_rank == rank; i++)
			fprintf(out, " n%u;", vw->vw_order[i]);
		fprintf(out, " }\n");
		last = rank;
	}
}

static bool
is_drawn(const struct lg_pair *pa)
{
	if (pa->pa_violation || pa->pa_verdict == LG_AGAINST)
		return true;
	return !pa->pa_implied && pa->pa_verdict != LG_TRIED;
}

static void
dot_arrow(const struct lg_view *vw, const struct lg_pair *pa, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;
	const struct lockgraph_edge *e = &lg->lg_edges[pa->pa_edge];
	const bool red = pa->pa_violation || pa->pa_verdict == LG_AGAINST;
	char where[256];

	lg_trace_brief(lg, e->lge_to_trace, where, sizeof(where));
	fprintf(out, "  n%u -> n%u [tooltip=\"", pa->pa_from, pa->pa_to);
	quoted(lg->lg_classes[pa->pa_from].lgc_name, out);
	fprintf(out, " -> ");
	quoted(lg->lg_classes[pa->pa_to].lgc_name, out);
	fprintf(out, ", %ju: ", (uintmax_t)pa->pa_count);
	quoted(where, out);
	fprintf(out, "\"%s%s%s%s];\n", pa->pa_confirmed ? ", label=\"confirmed\", fontcolor=\"#d00000\"" : "",
	    red ? ", color=\"#d00000\", penwidth=2.5" : "",
	    pa->pa_wait ? ", style=dashed" : "",
	    pa->pa_verdict == LG_AGAINST || pa->pa_from == pa->pa_to ? ", constraint=false" : "");
}

void
lockgraph_dot(const struct lockgraph *lg, FILE *out)
{
	struct lg_view vw;

	lg_view_init(&vw, lg);
	fprintf(out, "digraph \"lock order\" {\n"
	    "  graph [rankdir=TB, ranksep=0.28, nodesep=0.22, fontname=\"Helvetica\"];\n"
	    "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=11, "
	    "height=0.35, margin=\"0.10,0.04\"];\n"
	    "  edge [color=\"#555555\", arrowsize=0.6];\n");
	dot_ranks(&vw, out);
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		if (lg_is_shown(&vw, vw.vw_order[i]))
			dot_node(&vw, vw.vw_order[i], out);
	for (uint32_t i = 0; i < vw.vw_npairs; i++)
		if (is_drawn(&vw.vw_pairs[i]))
			dot_arrow(&vw, &vw.vw_pairs[i], out);
	fprintf(out, "}\n");
	lg_view_fini(&vw);
}
