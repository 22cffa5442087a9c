/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A lock graph for people: the declared order beside the observed one, what of it was
 * exercised, who waited where.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_view.h"
#include "report_int.h"

#define SITES_SHOWN 10

static const char *
class_name(const struct lg_view *vw, uint32_t class)
{
	return vw->vw_lg->lg_classes[class].lgc_name;
}

/* --- the order --- */

/* => "map, amap", the classes that are nearest above: held when this one was wanted */
static void
text_above(const struct lg_view *vw, uint32_t class, FILE *out)
{
	const char *sep = "";

	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];

		if (pa->pa_to != class || pa->pa_implied || pa->pa_verdict == LG_TRIED)
			continue;
		fprintf(out, "%s%s%s%s", sep, pa->pa_verdict == LG_AGAINST ? "AGAINST " : "",
		    pa->pa_from == class ? "itself" : class_name(vw, pa->pa_from),
		    pa->pa_violation ? "!" : "");
		sep = ", ";
	}
	if (*sep == '\0')
		fputc('-', out);
}

static void
text_class(const struct lg_view *vw, uint32_t class, FILE *out)
{
	static const char *const nests[] = { "", " nests by id", " nests in parent", " nests" };
	const struct lockgraph_class *c = &vw->vw_lg->lg_classes[class];
	char left[64], rank[16] = "-", count[32];

	if (c->lgc_rank > 0)
		snprintf(rank, sizeof(rank), "%d", c->lgc_rank);
	snprintf(left, sizeof(left), "%.30s%s%s", c->lgc_name,
	    c->lgc_kind == LOCKGRAPH_EVENT ? " (event)" : "", nests[c->lgc_nest & 3]);
	human_count((double)c->lgc_acquisitions, count, sizeof(count));
	fprintf(out, "%5s %-32s %3d", rank, left, c->lgc_ipl);
	if (!lg_was_used(vw, class)) {
		fprintf(out, " | never\n");
		return;
	}
	fprintf(out, " | %5u %8s ", vw->vw_level[class], count);
	text_above(vw, class, out);
	fputc('\n', out);
}

static void
text_order(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;

	fprintf(out, "declared                                   | observed\n"
	    " rank class                            IPL | level    taken with these held, nearest first\n");
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		if (lg->lg_classes[vw->vw_order[i]].lgc_kind != LOCKGRAPH_INSTANCE &&
		    lg_is_shown(vw, vw->vw_order[i]))
			text_class(vw, vw->vw_order[i], out);
}

static void
text_tries(const struct lg_view *vw, FILE *out)
{
	const char *sep = "\ntried against the order: ";

	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];

		if (pa->pa_verdict != LG_TRIED || lg_allowed(&vw->vw_lg->lg_classes[pa->pa_from],
		    &vw->vw_lg->lg_classes[pa->pa_to]))
			continue;
		fprintf(out, "%s%s -> %s", sep, class_name(vw, pa->pa_from),
		    class_name(vw, pa->pa_to));
		sep = ", ";
	}
	if (*sep == ',')
		fputc('\n', out);
}

/* --- coverage --- */

/* Was `from` held while a lock of that class was wanted?  Classes may be there once for each IPL. */
static bool
was_seen(const struct lg_view *vw, const char *from, const char *to)
{
	for (uint32_t i = 0; i < vw->vw_npairs; i++)
		if (vw->vw_pairs[i].pa_verdict != LG_TRIED &&
		    strcmp(class_name(vw, vw->vw_pairs[i].pa_from), from) == 0 &&
		    strcmp(class_name(vw, vw->vw_pairs[i].pa_to), to) == 0)
			return true;
	return false;
}

static bool
is_known(const struct lockgraph_known *known, size_t n, const char *from, const char *to)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(known[i].lgk_from, from) == 0 && strcmp(known[i].lgk_to, to) == 0)
			return true;
	return false;
}

/* May a pair of ranked locks occur, by rank, and by what else is declared of locks? */
static bool
may_occur(const struct lockgraph_class *from, const struct lockgraph_class *to)
{
	if (from->lgc_kind != LOCKGRAPH_LOCK || to->lgc_kind != LOCKGRAPH_LOCK ||
	    from->lgc_rank <= 0 || to->lgc_rank <= 0)
		return false;
	/* nobody blocks with a spin lock */
	if ((from->lgc_usage & LOCKGRAPH_SPIN) != 0 && to->lgc_acquisitions != 0 &&
	    (to->lgc_usage & LOCKGRAPH_SPIN) == 0)
		return false;
	return lg_allowed(from, to);
}

static void
text_missed(const struct lg_view *vw, const struct lockgraph_known *known, size_t n, FILE *out)
{
	bool heading = false;

	for (size_t i = 0; i < n; i++) {
		char arrow[96];

		if (was_seen(vw, known[i].lgk_from, known[i].lgk_to))
			continue;
		if (!heading)
			fprintf(out, "  not exercised                          exercised by\n");
		heading = true;
		snprintf(arrow, sizeof(arrow), "%s -> %s", known[i].lgk_from, known[i].lgk_to);
		fprintf(out, "  %-38s %s\n", arrow, known[i].lgk_profiles);
	}
}

static void
text_new(const struct lg_view *vw, const struct lockgraph_known *known, size_t n, FILE *out)
{
	for (uint32_t i = 0; i < vw->vw_npairs; i++) {
		const struct lg_pair *pa = &vw->vw_pairs[i];
		const struct lockgraph_edge *e = &vw->vw_lg->lg_edges[pa->pa_edge];
		char where[256], runs[200];

		if (pa->pa_verdict == LG_TRIED || pa->pa_verdict == LG_UNDECLARED ||
		    is_known(known, n, class_name(vw, pa->pa_from), class_name(vw, pa->pa_to)))
			continue;
		lg_trace_brief(vw->vw_lg, e->lge_to_trace, where, sizeof(where));
		lg_edge_runs(vw->vw_lg, e, runs, sizeof(runs));
		fprintf(out, "  not known before: %s -> %s, in %s at %s\n", class_name(vw, pa->pa_from),
		    class_name(vw, pa->pa_to), runs[0] != '\0' ? runs : "a run",
		    where[0] != '\0' ? where : "an unknown place");
	}
}

/*
 * Pairs that are allowed, and neither seen nor known, are mostly not accidents: with a leaf's
 * lock held nothing is taken at all, and some locks are only ever taken first.
 */
enum { UNKNOWN_LEAF, UNKNOWN_FIRST, UNKNOWN_OTHER, UNKNOWNS };

struct unknown {
	const struct lg_view *un_vw;
	const struct lockgraph_known *un_known;
	size_t un_n;
	bool *un_inner, *un_later;	/* of each class: has locks taken under it; is taken under one */
	size_t un_pairs[UNKNOWNS];
};

static bool
is_unknown(const struct unknown *un, const struct lockgraph_class *from,
    const struct lockgraph_class *to)
{
	return may_occur(from, to) && !was_seen(un->un_vw, from->lgc_name, to->lgc_name) &&
	    !is_known(un->un_known, un->un_n, from->lgc_name, to->lgc_name);
}

static void
count_unknown(struct unknown *un)
{
	const struct lockgraph *lg = un->un_vw->vw_lg;

	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		for (uint32_t k = 0; k < lg->lg_nclasses; k++) {
			const struct lockgraph_class *from = &lg->lg_classes[i], *to = &lg->lg_classes[k];

			if (may_occur(from, to) && !is_unknown(un, from, to))
				un->un_inner[i] = un->un_later[k] = true;
		}
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		for (uint32_t k = 0; k < lg->lg_nclasses; k++)
			if (is_unknown(un, &lg->lg_classes[i], &lg->lg_classes[k]))
				un->un_pairs[!un->un_inner[i] ? UNKNOWN_LEAF :
				    !un->un_later[k] ? UNKNOWN_FIRST : UNKNOWN_OTHER]++;
}

static void
text_names(const struct unknown *un, const bool *not, const char *what, size_t pairs, FILE *out)
{
	const struct lg_view *vw = un->un_vw;
	const char *sep = " ";

	if (pairs == 0)
		return;
	fprintf(out, "  %zu pairs: %s:", pairs, what);
	for (uint32_t i = 0; i < vw->vw_lg->lg_nclasses; i++) {
		uint32_t c = vw->vw_order[i];

		if (not[c] || vw->vw_lg->lg_classes[c].lgc_kind != LOCKGRAPH_LOCK)
			continue;
		fprintf(out, "%s%s", sep, class_name(vw, c));
		sep = ", ";
	}
	fputc('\n', out);
}

static void
text_others(const struct unknown *un, FILE *out)
{
	const struct lg_view *vw = un->un_vw;
	const struct lockgraph *lg = vw->vw_lg;

	if (un->un_pairs[UNKNOWN_OTHER] == 0)
		return;
	fprintf(out, "  %zu pairs beside those:\n", un->un_pairs[UNKNOWN_OTHER]);
	for (uint32_t i = 0; i < lg->lg_nclasses; i++) {
		uint32_t from = vw->vw_order[i];
		const char *sep = "";

		for (uint32_t k = 0; k < lg->lg_nclasses; k++) {
			uint32_t to = vw->vw_order[k];

			if (!un->un_inner[from] || !un->un_later[to] ||
			    !is_unknown(un, &lg->lg_classes[from], &lg->lg_classes[to]))
				continue;
			if (*sep == '\0')
				fprintf(out, "    %s -> ", class_name(vw, from));
			fprintf(out, "%s%s", sep, class_name(vw, to));
			sep = ", ";
		}
		if (*sep != '\0')
			fputc('\n', out);
	}
}

static void
text_unknown(const struct lg_view *vw, const struct lockgraph_known *known, size_t n, FILE *out)
{
	struct unknown un = { .un_vw = vw, .un_known = known, .un_n = n };

	un.un_inner = xcalloc(vw->vw_lg->lg_nclasses + 1, sizeof(bool));
	un.un_later = xcalloc(vw->vw_lg->lg_nclasses + 1, sizeof(bool));
	count_unknown(&un);
	if (un.un_pairs[0] + un.un_pairs[1] + un.un_pairs[2] != 0)
		fprintf(out, "allowed, and seen in no profile:\n");
	text_names(&un, un.un_inner, "no lock is taken with these held", un.un_pairs[UNKNOWN_LEAF], out);
	text_names(&un, un.un_later, "these are taken with no lock held", un.un_pairs[UNKNOWN_FIRST],
	    out);
	text_others(&un, out);
	free(un.un_inner);
	free(un.un_later);
}

void
lockgraph_coverage(const struct lockgraph *lg, const struct lockgraph_known *known, size_t n,
    struct lockgraph_coverage *cov)
{
	struct lg_view vw;

	memset(cov, 0, sizeof(*cov));
	lg_view_init(&vw, lg);
	for (uint32_t c = 0; c < lg->lg_nclasses; c++) {
		cov->cov_classes += lg->lg_classes[c].lgc_kind == LOCKGRAPH_LOCK;
		cov->cov_classes_used += lg->lg_classes[c].lgc_kind == LOCKGRAPH_LOCK &&
		    lg_was_used(&vw, c);
		for (uint32_t to = 0; to < lg->lg_nclasses; to++)
			cov->cov_allowed += may_occur(&lg->lg_classes[c], &lg->lg_classes[to]);
	}
	for (uint32_t i = 0; i < vw.vw_npairs; i++)
		cov->cov_allowed_seen += vw.vw_pairs[i].pa_verdict == LG_ALLOWED &&
		    may_occur(&lg->lg_classes[vw.vw_pairs[i].pa_from],
		    &lg->lg_classes[vw.vw_pairs[i].pa_to]);
	cov->cov_known = n;
	for (size_t i = 0; i < n; i++)
		cov->cov_known_seen += was_seen(&vw, known[i].lgk_from, known[i].lgk_to);
	lg_view_fini(&vw);
}

static void
text_coverage(const struct lg_view *vw, const struct lockgraph_known *known, size_t n,
    FILE *out, bool verbose)
{
	struct lockgraph_coverage cov;
	const char *sep = "\n  classes never taken: ";

	lockgraph_coverage(vw->vw_lg, known, n, &cov);
	if (cov.cov_allowed == 0)
		return;			/* nothing is declared */
	fprintf(out, "\ncoverage of the order: %zu of %zu known edges (%.0f %%), %zu of %zu classes; "
	    "%zu of the %zu pairs that the ranks allow", cov.cov_known_seen, cov.cov_known,
	    cov.cov_known != 0 ? 100.0 * (double)cov.cov_known_seen / (double)cov.cov_known : 0,
	    cov.cov_classes_used, cov.cov_classes, cov.cov_allowed_seen, cov.cov_allowed);
	for (uint32_t i = 0; i < vw->vw_lg->lg_nclasses; i++) {
		uint32_t c = vw->vw_order[i];

		if (vw->vw_lg->lg_classes[c].lgc_kind != LOCKGRAPH_LOCK || lg_was_used(vw, c))
			continue;
		fprintf(out, "%s%s", sep, class_name(vw, c));
		sep = ", ";
	}
	fputc('\n', out);
	text_missed(vw, known, n, out);
	text_new(vw, known, n, out);
	if (verbose)
		text_unknown(vw, known, n, out);
}

/* --- statistics --- */

static int
by_wait(const void *a, const void *b)
{
	const struct lockgraph_site *const *x = a, *const *y = b;

	if ((*x)->lgs_wait_ns != (*y)->lgs_wait_ns)
		return (*x)->lgs_wait_ns < (*y)->lgs_wait_ns ? 1 : -1;
	return (*x)->lgs_acquisitions < (*y)->lgs_acquisitions ? 1 :
	    (*x)->lgs_acquisitions > (*y)->lgs_acquisitions ? -1 : 0;
}

static void
text_times(uint64_t contended, uint64_t wait, uint64_t wait_max, uint64_t holds, uint64_t hold,
    uint64_t hold_max, FILE *out)
{
	char buf[5][32];

	human_count((double)contended, buf[0], sizeof(buf[0]));
	human_time((double)wait, buf[1], sizeof(buf[1]));
	human_time((double)wait_max, buf[2], sizeof(buf[2]));
	human_time(holds != 0 ? (double)hold / (double)holds : 0, buf[3], sizeof(buf[3]));
	human_time((double)hold_max, buf[4], sizeof(buf[4]));
	fprintf(out, " %9s %9s %9s %9s %9s", buf[0], buf[1], buf[2], buf[3], buf[4]);
}

static void
text_sites(const struct lockgraph *lg, FILE *out, bool verbose)
{
	const struct lockgraph_site **sorted;
	uint32_t n = lg->lg_nsites;

	if (n == 0)
		return;
	sorted = xcalloc(n, sizeof(*sorted));
	for (uint32_t i = 0; i < n; i++)
		sorted[i] = &lg->lg_sites[i];
	qsort(sorted, n, sizeof(*sorted), by_wait);
	fprintf(out, "\n%-16s %9s %9s %9s %9s %9s %9s  %s\n", "class", "taken", "contended", "waited",
	    "longest", "held avg", "held max", "call site, by wait");
	for (uint32_t i = 0; i < n && (verbose || i < SITES_SHOWN); i++) {
		const struct lockgraph_site *s = sorted[i];
		char where[256], count[32];

		lg_frame_text(lg, &s->lgs_frame, where, sizeof(where));
		human_count((double)s->lgs_acquisitions, count, sizeof(count));
		fprintf(out, "%-16s %9s", lg->lg_classes[s->lgs_class].lgc_name, count);
		text_times(s->lgs_contended, s->lgs_wait_ns, s->lgs_wait_ns_max, s->lgs_holds,
		    s->lgs_hold_ns, s->lgs_hold_ns_max, out);
		fprintf(out, "  %s\n", where);
	}
	if (!verbose && n > SITES_SHOWN)
		fprintf(out, "and %u call sites more; --verbose shows them\n", n - SITES_SHOWN);
	free(sorted);
}

static int
by_class_wait(const void *a, const void *b)
{
	const struct lockgraph_class *const *x = a, *const *y = b;

	if ((*x)->lgc_wait_ns != (*y)->lgc_wait_ns)
		return (*x)->lgc_wait_ns < (*y)->lgc_wait_ns ? 1 : -1;
	return (*x)->lgc_acquisitions < (*y)->lgc_acquisitions ? 1 :
	    (*x)->lgc_acquisitions > (*y)->lgc_acquisitions ? -1 : 0;
}

static void
stat_classes(const struct lockgraph *lg, FILE *out)
{
	const struct lockgraph_class **sorted = xcalloc(lg->lg_nclasses + 1, sizeof(*sorted));
	uint32_t n = 0;

	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		if (lg->lg_classes[i].lgc_kind != LOCKGRAPH_EVENT &&
		    lg->lg_classes[i].lgc_acquisitions != 0)
			sorted[n++] = &lg->lg_classes[i];
	qsort(sorted, n, sizeof(*sorted), by_class_wait);
	fprintf(out, "%-16s %9s %9s %9s %9s %9s %9s\n", "class, by wait", "taken", "contended",
	    "waited", "longest", "held avg", "held max");
	for (uint32_t i = 0; i < n; i++) {
		const struct lockgraph_class *c = sorted[i];
		char count[32];

		human_count((double)c->lgc_acquisitions, count, sizeof(count));
		fprintf(out, "%-16s %9s", c->lgc_name, count);
		text_times(c->lgc_contended, c->lgc_wait_ns, c->lgc_wait_ns_max, c->lgc_holds,
		    c->lgc_hold_ns, c->lgc_hold_ns_max, out);
		fputc('\n', out);
	}
	free(sorted);
}

void
lockgraph_lockstat(const struct lockgraph *lg, FILE *out)
{
	stat_classes(lg, out);
	text_sites(lg, out, true);
}

static void
text_heading(const struct lg_view *vw, FILE *out)
{
	const struct lockgraph *lg = vw->vw_lg;
	uint32_t used = 0, bad = 0;

	for (uint32_t i = 0; i < lg->lg_nfindings; i++)
		bad += lg_is_violation(&lg->lg_findings[i]);
	for (uint32_t c = 0; c < lg->lg_nclasses; c++)
		used += lg_was_used(vw, c);
	fprintf(out, "lock order of ");
	for (uint32_t i = 0; i < lg->lg_nruns; i++)
		fprintf(out, "%s%s (seed %ju)", i == 0 ? "" : ", ", lg->lg_runs[i].lgr_name,
		    (uintmax_t)lg->lg_runs[i].lgr_seed);
	fprintf(out, "%s%u classes used, %u arrows, %ju different stacks of locks, %u violation%s\n\n",
	    lg->lg_nruns != 0 ? ": " : "one program: ", used, vw->vw_npairs, (uintmax_t)lg->lg_chains,
	    bad, bad == 1 ? "" : "s");
	if (lg->lg_lost != 0)
		fprintf(out, "INCOMPLETE: there was no memory for %ju parts of it\n\n",
		    (uintmax_t)lg->lg_lost);
}

void
lockgraph_text(const struct lockgraph *lg, const struct lockgraph_known *known, size_t nknown,
    FILE *out, bool verbose)
{
	struct lg_view vw;

	lg_view_init(&vw, lg);
	text_heading(&vw, out);
	text_order(&vw, out);
	text_tries(&vw, out);
	text_coverage(&vw, known, nknown, out, verbose);
	text_sites(lg, out, verbose);
	lg_view_fini(&vw);
}
