/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Two lock graphs side by side, for a review and against a baseline.
 *
 * Classes are compared by name, arrows by the names of their ends, findings by
 * fingerprint: what the graphs say of counts, stacks and addresses differs between any two runs.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_view.h"

static const struct lockgraph_class *
find_class(const struct lockgraph *lg, const struct lockgraph_class *c)
{
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		if (strcmp(lg->lg_classes[i].lgc_name, c->lgc_name) == 0 &&
		    lg->lg_classes[i].lgc_kind == c->lgc_kind)
			return &lg->lg_classes[i];
	return NULL;
}

/* What makes two arrows the same: names, and whether anybody waited. */
struct arrow {
	const char *ar_from, *ar_to;
	bool ar_tried;
	const struct lg_pair *ar_pair;
};

static int
by_names(const void *a, const void *b)
{
	const struct arrow *x = a, *y = b;
	int c = strcmp(x->ar_from, y->ar_from);

	if (c == 0)
		c = strcmp(x->ar_to, y->ar_to);
	return c != 0 ? c : (int)x->ar_tried - (int)y->ar_tried;
}

/* => vw_npairs arrows, sorted */
static struct arrow *
sorted_arrows(const struct lg_view *vw)
{
	struct arrow *v = xcalloc(vw->vw_npairs + 1, sizeof(*v));

	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];

		v[i] = (struct arrow){ vw->vw_lg->lg_classes[pa->pa_from].lgc_name,
			vw->vw_lg->lg_classes[pa->pa_to].lgc_name, pa->pa_verdict == LG_TRIED, pa };
	}
	qsort(v, vw->vw_npairs, sizeof(*v), by_names);
	return v;
}

static void
print_arrow(const struct lg_view *vw, const struct arrow *ar, char sign, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;
	const struct lockgraph_edge *e = &lg->lg_edges[ar->ar_pair->pa_edge];
	char held[256], wanted[256], runs[200];

	lg_trace_brief(lg, e->lge_from_trace, held, sizeof(held));
	lg_trace_brief(lg, e->lge_to_trace, wanted, sizeof(wanted));
	lg_edge_runs(lg, e, runs, sizeof(runs));
	fprintf(out, "%c edge %s -> %s%s%s", sign, ar->ar_from, ar->ar_to,
	    ar->ar_tried ? " (tried)" : "",
	    ar->ar_pair->pa_verdict == LG_AGAINST ? " AGAINST the declared order" : "");
	if (wanted[0] != '\0')
		fprintf(out, "; held since %s, wanted at %s", held[0] != '\0' ? held : "?", wanted);
	fprintf(out, "%s%s\n", runs[0] != '\0' ? "; " : "", runs);
}

/* => how many arrows of b are not in a */
static size_t
new_arrows(const struct lg_view *a, const struct lg_view *b, char sign, FILE *out)
{
	struct arrow *x = sorted_arrows(a), *y = sorted_arrows(b);
	size_t n = 0;

	for (uint32_t i = 0; i < b->vw_npairs; i++) {
		if (bsearch(&y[i], x, a->vw_npairs, sizeof(*x), by_names) != NULL ||
		    (i > 0 && by_names(&y[i - 1], &y[i]) == 0))
			continue;
		print_arrow(b, &y[i], sign, out);
		n++;
	}
	free(x);
	free(y);
	return n;
}

static bool
has_finding(const struct lockgraph *lg, const struct lockgraph_finding *v)
{
	for (uint32_t i = 0; i < lg->lg_nfindings; i++)
		if (strcmp(lg->lg_findings[i].lgv_fingerprint, v->lgv_fingerprint) == 0 &&
		    lg_is_violation(&lg->lg_findings[i]))
			return true;
	return false;
}

/* => how many findings of b that count are not in a */
static size_t
new_findings(const struct lockgraph *a, const struct lockgraph *b, char sign, FILE *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < b->lg_nfindings; i++) {
		const struct lockgraph_finding *v = &b->lg_findings[i];

		if (!lg_is_violation(v) || has_finding(a, v))
			continue;
		fprintf(out, "%c violation %s %s: %s\n", sign, v->lgv_id, v->lgv_fingerprint,
		    v->lgv_message);
		n++;
	}
	return n;
}

static void
diff_classes(const struct lockgraph *a, const struct lockgraph *b, FILE *out)
{
	for (uint32_t i = 0; i < a->lg_nclasses; i++)
		if (find_class(b, &a->lg_classes[i]) == NULL)
			fprintf(out, "- class %s\n", a->lg_classes[i].lgc_name);
	for (uint32_t i = 0; i < b->lg_nclasses; i++) {
		const struct lockgraph_class *c = &b->lg_classes[i], *old = find_class(a, c);

		if (old == NULL)
			fprintf(out, "+ class %s, rank %d, IPL %d\n", c->lgc_name, c->lgc_rank,
			    c->lgc_ipl);
		else if (old->lgc_rank != c->lgc_rank || old->lgc_nest != c->lgc_nest)
			fprintf(out, "! class %s: rank %d, nesting %s; was rank %d, nesting %s\n",
			    c->lgc_name, c->lgc_rank, lg_nests[c->lgc_nest], old->lgc_rank,
			    lg_nests[old->lgc_nest]);
	}
}

size_t
lockgraph_diff(const struct lockgraph *a, const struct lockgraph *b, FILE *out)
{
	struct lg_view va, vb;
	size_t n;

	lg_view_init(&va, a);
	lg_view_init(&vb, b);
	diff_classes(a, b, out);
	new_arrows(&vb, &va, '-', out);
	n = new_arrows(&va, &vb, '+', out);
	new_findings(b, a, '-', out);
	n += new_findings(a, b, '+', out);
	lg_view_fini(&va);
	lg_view_fini(&vb);
	return n;
}

size_t
lockgraph_baseline(const struct lockgraph *baseline, const struct lockgraph *lg, FILE *out)
{
	struct lg_view va, vb;
	size_t n;

	lg_view_init(&va, baseline);
	lg_view_init(&vb, lg);
	n = new_arrows(&va, &vb, '+', out);
	n += new_findings(baseline, lg, '+', out);
	lg_view_fini(&va);
	lg_view_fini(&vb);
	return n;
}
