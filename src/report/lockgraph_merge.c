/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Several lock graphs become one.
 *
 * Parts are the same when they say the same: a class by its name, kind and IPL, a module by path
 * and build, a stack by its frames, an edge by its ends, kind and modes, a finding by its
 * fingerprint.  Counts add up, maxima stay maxima, of stacks the first one stays, and every
 * edge remembers which runs saw it.
 *
 * Graphs whose classes have the same name and another rank come from different programs, or
 * from before and after a change of the order; to add them up would hide just that.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_int.h"

#define SEED 2166136261u

/* Where the parts of the graph that is being added have gone. */
struct map {
	uint32_t *mp_runs, *mp_modules, *mp_traces, *mp_classes;
};

struct merge {
	struct lg_owned *mg_lo;
	struct lockgraph *mg_to;	/* its graph */
	const struct lockgraph *mg_from;
	struct map mg_map;
	struct lg_index mg_runs, mg_modules, mg_traces, mg_classes, mg_edges, mg_findings,
	    mg_sites;
	uint32_t mg_base;		/* classes before this graph: its own are all different */
	const void *mg_key;		/* what lg_find looks for */
};

/* Arrays of the result are the merge's own to change. */
#define MUTABLE(type, array) ((type *)(uintptr_t)(array))

static bool
text_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static uint32_t
mapped(const uint32_t *map, uint32_t i)
{
	return i == LOCKGRAPH_NONE ? i : map[i];
}

static void
add_max(uint64_t *sum, uint64_t n, uint64_t *max, uint64_t m)
{
	*sum += n;
	if (m > *max)
		*max = m;
}

/* --- runs, modules, stacks --- */

static bool
run_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_run *a = mg->mg_key, *b = &mg->mg_to->lg_runs[i];

	return a->lgr_seed == b->lgr_seed && text_same(a->lgr_name, b->lgr_name) &&
	    text_same(a->lgr_command, b->lgr_command);
}

static void
merge_runs(struct merge *mg)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nruns; i++) {
		const struct lockgraph_run *from = &mg->mg_from->lg_runs[i];
		uint32_t hash = lg_hash_text(lg_hash_text(SEED, from->lgr_name), from->lgr_command);
		struct lockgraph_run *to;
		uint32_t at;

		mg->mg_key = from;
		at = lg_find(&mg->mg_runs, hash, run_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = mg->mg_to->lg_nruns++;
			to = MUTABLE(struct lockgraph_run, &mg->mg_to->lg_runs[at]);
			to->lgr_name = lg_text(mg->mg_lo, from->lgr_name);
			to->lgr_command = lg_text(mg->mg_lo, from->lgr_command);
			to->lgr_seed = from->lgr_seed;
			lg_add(&mg->mg_runs, hash);
		}
		mg->mg_map.mp_runs[i] = at;
	}
}

static bool
module_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_module *a = mg->mg_key, *b = &mg->mg_to->lg_modules[i];

	return text_same(a->lgm_path, b->lgm_path) && text_same(a->lgm_build_id, b->lgm_build_id);
}

static void
merge_modules(struct merge *mg)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nmodules; i++) {
		const struct lockgraph_module *from = &mg->mg_from->lg_modules[i];
		uint32_t hash = lg_hash_text(lg_hash_text(SEED, from->lgm_path), from->lgm_build_id);
		struct lockgraph_module *to;
		uint32_t at;

		mg->mg_key = from;
		at = lg_find(&mg->mg_modules, hash, module_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = mg->mg_to->lg_nmodules++;
			to = MUTABLE(struct lockgraph_module, &mg->mg_to->lg_modules[at]);
			to->lgm_path = lg_text(mg->mg_lo, from->lgm_path);
			to->lgm_build_id = lg_text(mg->mg_lo, from->lgm_build_id);
			lg_add(&mg->mg_modules, hash);
		}
		mg->mg_map.mp_modules[i] = at;
	}
}

static struct lockgraph_frame
frame(struct merge *mg, const struct lockgraph_frame *from)
{
	return (struct lockgraph_frame){
		.lgf_module = mapped(mg->mg_map.mp_modules, from->lgf_module),
		.lgf_offset = from->lgf_offset,
		.lgf_symbol = lg_text(mg->mg_lo, from->lgf_symbol),
	};
}

/* => the stack's frames are the last mg_key's count of lg_frames */
static bool
trace_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph *to = mg->mg_to;
	const struct lockgraph_trace *a = mg->mg_key, *b = &to->lg_traces[i];

	if (a->lgt_n != b->lgt_n)
		return false;
	for (uint32_t f = 0; f < a->lgt_n; f++) {
		const struct lockgraph_frame *x = &to->lg_frames[a->lgt_first + f],
		    *y = &to->lg_frames[b->lgt_first + f];

		if (x->lgf_module != y->lgf_module || x->lgf_offset != y->lgf_offset)
			return false;
	}
	return true;
}

static void
merge_traces(struct merge *mg)
{
	struct lockgraph *to = mg->mg_to;

	for (uint32_t i = 0; i < mg->mg_from->lg_ntraces; i++) {
		const struct lockgraph_trace *from = &mg->mg_from->lg_traces[i];
		struct lockgraph_trace trace = { to->lg_nframes, from->lgt_n };
		uint32_t hash = SEED, at;

		for (uint32_t f = 0; f < from->lgt_n; f++) {
			struct lockgraph_frame *fr = MUTABLE(struct lockgraph_frame,
			    &to->lg_frames[trace.lgt_first + f]);

			*fr = frame(mg, &mg->mg_from->lg_frames[from->lgt_first + f]);
			hash = lg_hash(hash, &fr->lgf_module, sizeof(fr->lgf_module));
			hash = lg_hash(hash, &fr->lgf_offset, sizeof(fr->lgf_offset));
		}
		mg->mg_key = &trace;
		at = lg_find(&mg->mg_traces, hash, trace_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = to->lg_ntraces++;
			*MUTABLE(struct lockgraph_trace, &to->lg_traces[at]) = trace;
			to->lg_nframes += trace.lgt_n;
			lg_add(&mg->mg_traces, hash);
		}
		mg->mg_map.mp_traces[i] = at;
	}
}

/* --- classes --- */

static bool
class_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_class *a = mg->mg_key, *b = &mg->mg_to->lg_classes[i];

	return i < mg->mg_base && a->lgc_kind == b->lgc_kind && a->lgc_ipl == b->lgc_ipl &&
	    strcmp(a->lgc_name, b->lgc_name) == 0;
}

static void
new_class(struct merge *mg, struct lockgraph_class *to, const struct lockgraph_class *from)
{
	const uint32_t *traces = mg->mg_map.mp_traces;

	*to = *from;
	to->lgc_name = lg_text(mg->mg_lo, from->lgc_name);
	to->lgc_reason = lg_text(mg->mg_lo, from->lgc_reason);
	to->lgc_created = mapped(traces, from->lgc_created);
	to->lgc_intr_trace = mapped(traces, from->lgc_intr_trace);
	to->lgc_open_trace = mapped(traces, from->lgc_open_trace);
}

static void
add_class(struct merge *mg, struct lockgraph_class *to, const struct lockgraph_class *from)
{
	const uint32_t *traces = mg->mg_map.mp_traces;

	if (to->lgc_created == LOCKGRAPH_NONE)
		to->lgc_created = mapped(traces, from->lgc_created);
	if (from->lgc_intr_ipl > to->lgc_intr_ipl) {
		to->lgc_intr_ipl = from->lgc_intr_ipl;
		to->lgc_intr_trace = mapped(traces, from->lgc_intr_trace);
	}
	if (from->lgc_open_ipl >= 0 &&
	    (to->lgc_open_ipl < 0 || from->lgc_open_ipl < to->lgc_open_ipl)) {
		to->lgc_open_ipl = from->lgc_open_ipl;
		to->lgc_open_trace = mapped(traces, from->lgc_open_trace);
	}
	to->lgc_usage |= from->lgc_usage;
	to->lgc_acquisitions += from->lgc_acquisitions;
	to->lgc_contended += from->lgc_contended;
	to->lgc_holds += from->lgc_holds;
	add_max(&to->lgc_wait_ns, from->lgc_wait_ns, &to->lgc_wait_ns_max, from->lgc_wait_ns_max);
	add_max(&to->lgc_hold_ns, from->lgc_hold_ns, &to->lgc_hold_ns_max, from->lgc_hold_ns_max);
}

/* => false, with the reason, if a class has another rank than before */
static bool
merge_classes(struct merge *mg, char *why, size_t whylen)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nclasses; i++) {
		const struct lockgraph_class *from = &mg->mg_from->lg_classes[i];
		uint32_t hash = lg_hash_text(SEED + from->lgc_kind, from->lgc_name), at;
		struct lockgraph_class *to;

		mg->mg_key = from;
		at = lg_find(&mg->mg_classes, hash, class_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = mg->mg_to->lg_nclasses++;
			new_class(mg, MUTABLE(struct lockgraph_class, &mg->mg_to->lg_classes[at]), from);
			lg_add(&mg->mg_classes, hash);
		} else {
			to = MUTABLE(struct lockgraph_class, &mg->mg_to->lg_classes[at]);
			if (to->lgc_rank != from->lgc_rank || to->lgc_nest != from->lgc_nest) {
				snprintf(why, whylen, "class %.100s has rank %d, nesting %s, in one graph and "
				    "rank %d, nesting %s, in another: they are of different programs; "
				    "compare them with `audit diff`", to->lgc_name, to->lgc_rank,
				    lg_nests[to->lgc_nest], from->lgc_rank, lg_nests[from->lgc_nest]);
				return false;
			}
			add_class(mg, to, from);
		}
		mg->mg_map.mp_classes[i] = at;
	}
	return true;
}

/* --- edges --- */

static bool
edge_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_edge *a = mg->mg_key, *b = &mg->mg_to->lg_edges[i];

	return a->lge_from == b->lge_from && a->lge_to == b->lge_to &&
	    a->lge_kind == b->lge_kind && a->lge_from_mode == b->lge_from_mode &&
	    a->lge_to_mode == b->lge_to_mode;
}

/* => the edge in terms of the result; who saw it is not said yet */
static struct lockgraph_edge
edge(const struct merge *mg, const struct lockgraph_edge *from)
{
	struct lockgraph_edge e = *from;

	e.lge_from = mg->mg_map.mp_classes[from->lge_from];
	e.lge_to = mg->mg_map.mp_classes[from->lge_to];
	e.lge_from_trace = mapped(mg->mg_map.mp_traces, from->lge_from_trace);
	e.lge_to_trace = mapped(mg->mg_map.mp_traces, from->lge_to_trace);
	e.lge_runs = NULL;
	e.lge_nruns = 0;
	return e;
}

static bool
has_run(const struct lockgraph_edge *e, uint32_t run)
{
	for (uint32_t i = 0; i < e->lge_nruns; i++)
		if (e->lge_runs[i] == run)
			return true;
	return false;
}

/* An edge that does not say who saw it was seen by all the runs of its graph. */
static void
add_edge_runs(struct merge *mg, struct lockgraph_edge *to, const struct lockgraph_edge *from)
{
	uint32_t n = from->lge_runs != NULL ? from->lge_nruns : mg->mg_from->lg_nruns;
	uint32_t *runs;

	if (n == 0)
		return;
	runs = lg_alloc(mg->mg_lo, to->lge_nruns + n, sizeof(*runs));
	if (to->lge_nruns != 0)
		memcpy(runs, to->lge_runs, to->lge_nruns * sizeof(*runs));
	to->lge_runs = runs;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t run = mg->mg_map.mp_runs[from->lge_runs != NULL ? from->lge_runs[i] : i];

		if (!has_run(to, run))
			runs[to->lge_nruns++] = run;
	}
}

static void
merge_edges(struct merge *mg)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nedges; i++) {
		const struct lockgraph_edge *from = &mg->mg_from->lg_edges[i];
		struct lockgraph_edge e = edge(mg, from), *to;
		uint32_t hash, at;
		const uint32_t ends[] = { e.lge_from, e.lge_to, e.lge_kind, e.lge_from_mode,
			e.lge_to_mode };

		hash = lg_hash(SEED, ends, sizeof(ends));
		mg->mg_key = &e;
		at = lg_find(&mg->mg_edges, hash, edge_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = mg->mg_to->lg_nedges++;
			to = MUTABLE(struct lockgraph_edge, &mg->mg_to->lg_edges[at]);
			*to = e;
			lg_add(&mg->mg_edges, hash);
		} else {
			to = MUTABLE(struct lockgraph_edge, &mg->mg_to->lg_edges[at]);
			to->lge_count += e.lge_count;
		}
		add_edge_runs(mg, to, from);
	}
}

/* --- findings, call sites --- */

static bool
finding_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_finding *a = mg->mg_key, *b = &mg->mg_to->lg_findings[i];

	return strcmp(a->lgv_fingerprint, b->lgv_fingerprint) == 0;
}

static void
new_finding(struct merge *mg, struct lockgraph_finding *to, const struct lockgraph_finding *from)
{
	struct lockgraph_edge *cycle = lg_alloc(mg->mg_lo, from->lgv_ncycle, sizeof(*cycle));

	*to = *from;
	to->lgv_kind = lg_text(mg->mg_lo, from->lgv_kind);
	to->lgv_id = lg_text(mg->mg_lo, from->lgv_id);
	to->lgv_fingerprint = lg_text(mg->mg_lo, from->lgv_fingerprint);
	to->lgv_message = lg_text(mg->mg_lo, from->lgv_message);
	to->lgv_why = lg_text(mg->mg_lo, from->lgv_why);
	to->lgv_waived = lg_text(mg->mg_lo, from->lgv_waived);
	to->lgv_recording = lg_text(mg->mg_lo, from->lgv_recording);
	to->lgv_trace = mapped(mg->mg_map.mp_traces, from->lgv_trace);
	to->lgv_held = mapped(mg->mg_map.mp_traces, from->lgv_held);
	for (uint32_t i = 0; i < from->lgv_ncycle; i++) {
		cycle[i] = edge(mg, &from->lgv_cycle[i]);
		add_edge_runs(mg, &cycle[i], &from->lgv_cycle[i]);
	}
	to->lgv_cycle = cycle;
}

/* A finding is as grave as the gravest of its kind, and waived only if all are. */
static void
add_finding(struct merge *mg, struct lockgraph_finding *to, const struct lockgraph_finding *from)
{
	const uint64_t count = to->lgv_count + from->lgv_count;
	const char *waived = from->lgv_waived == NULL ? NULL : to->lgv_waived;

	if (from->lgv_grade == LOCKGRAPH_CONFIRMED && to->lgv_grade != LOCKGRAPH_CONFIRMED)
		new_finding(mg, to, from);
	to->lgv_count = count;
	to->lgv_waived = waived;
}

static void
merge_findings(struct merge *mg)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nfindings; i++) {
		const struct lockgraph_finding *from = &mg->mg_from->lg_findings[i];
		uint32_t hash = lg_hash_text(SEED, from->lgv_fingerprint), at;

		mg->mg_key = from;
		at = lg_find(&mg->mg_findings, hash, finding_same, mg);
		if (at != LOCKGRAPH_NONE) {
			add_finding(mg, MUTABLE(struct lockgraph_finding,
			    &mg->mg_to->lg_findings[at]), from);
			continue;
		}
		at = mg->mg_to->lg_nfindings++;
		new_finding(mg, MUTABLE(struct lockgraph_finding, &mg->mg_to->lg_findings[at]), from);
		lg_add(&mg->mg_findings, hash);
	}
}

static bool
site_same(const void *ctx, uint32_t i)
{
	const struct merge *mg = ctx;
	const struct lockgraph_site *a = mg->mg_key, *b = &mg->mg_to->lg_sites[i];

	return a->lgs_class == b->lgs_class &&
	    a->lgs_frame.lgf_module == b->lgs_frame.lgf_module &&
	    a->lgs_frame.lgf_offset == b->lgs_frame.lgf_offset;
}

static void
merge_sites(struct merge *mg)
{
	for (uint32_t i = 0; i < mg->mg_from->lg_nsites; i++) {
		struct lockgraph_site s = mg->mg_from->lg_sites[i], *to;
		uint32_t hash, at;

		s.lgs_class = mg->mg_map.mp_classes[s.lgs_class];
		s.lgs_frame = frame(mg, &s.lgs_frame);
		hash = lg_hash(SEED + s.lgs_class, &s.lgs_frame.lgf_offset,
		    sizeof(s.lgs_frame.lgf_offset));
		mg->mg_key = &s;
		at = lg_find(&mg->mg_sites, hash, site_same, mg);
		if (at == LOCKGRAPH_NONE) {
			at = mg->mg_to->lg_nsites++;
			*MUTABLE(struct lockgraph_site, &mg->mg_to->lg_sites[at]) = s;
			lg_add(&mg->mg_sites, hash);
			continue;
		}
		to = MUTABLE(struct lockgraph_site, &mg->mg_to->lg_sites[at]);
		to->lgs_acquisitions += s.lgs_acquisitions;
		to->lgs_contended += s.lgs_contended;
		to->lgs_holds += s.lgs_holds;
		add_max(&to->lgs_wait_ns, s.lgs_wait_ns, &to->lgs_wait_ns_max, s.lgs_wait_ns_max);
		add_max(&to->lgs_hold_ns, s.lgs_hold_ns, &to->lgs_hold_ns_max, s.lgs_hold_ns_max);
	}
}

/* --- the spine --- */

/* => room for all parts, should all of them be different */
static void
reserve(struct merge *mg, const struct lockgraph *const *graphs, size_t n)
{
	struct lockgraph *to = mg->mg_to, sum = { 0 };
	struct lg_owned *lo = mg->mg_lo;

	for (size_t i = 0; i < n; i++) {
		sum.lg_nruns += graphs[i]->lg_nruns;
		sum.lg_nmodules += graphs[i]->lg_nmodules;
		sum.lg_ntraces += graphs[i]->lg_ntraces;
		for (uint32_t t = 0; t < graphs[i]->lg_ntraces; t++)
			sum.lg_nframes += graphs[i]->lg_traces[t].lgt_n;
		sum.lg_nclasses += graphs[i]->lg_nclasses;
		sum.lg_nedges += graphs[i]->lg_nedges;
		sum.lg_nfindings += graphs[i]->lg_nfindings;
		sum.lg_nsites += graphs[i]->lg_nsites;
	}
	to->lg_runs = lg_alloc(lo, sum.lg_nruns, sizeof(*to->lg_runs));
	to->lg_modules = lg_alloc(lo, sum.lg_nmodules, sizeof(*to->lg_modules));
	to->lg_traces = lg_alloc(lo, sum.lg_ntraces, sizeof(*to->lg_traces));
	to->lg_frames = lg_alloc(lo, sum.lg_nframes, sizeof(*to->lg_frames));
	to->lg_classes = lg_alloc(lo, sum.lg_nclasses, sizeof(*to->lg_classes));
	to->lg_edges = lg_alloc(lo, sum.lg_nedges, sizeof(*to->lg_edges));
	to->lg_findings = lg_alloc(lo, sum.lg_nfindings, sizeof(*to->lg_findings));
	to->lg_sites = lg_alloc(lo, sum.lg_nsites, sizeof(*to->lg_sites));
}

static bool
merge_one(struct merge *mg, const struct lockgraph *from, char *why, size_t whylen)
{
	struct map *mp = &mg->mg_map;
	bool ok;

	mg->mg_from = from;
	mg->mg_base = mg->mg_to->lg_nclasses;
	mp->mp_runs = xcalloc(from->lg_nruns + 1, sizeof(uint32_t));
	mp->mp_modules = xcalloc(from->lg_nmodules + 1, sizeof(uint32_t));
	mp->mp_traces = xcalloc(from->lg_ntraces + 1, sizeof(uint32_t));
	mp->mp_classes = xcalloc(from->lg_nclasses + 1, sizeof(uint32_t));
	merge_runs(mg);
	merge_modules(mg);
	merge_traces(mg);
	ok = merge_classes(mg, why, whylen);
	if (ok) {
		merge_edges(mg);
		merge_findings(mg);
		merge_sites(mg);
		mg->mg_to->lg_chains += from->lg_chains;
		mg->mg_to->lg_lost += from->lg_lost;
	}
	free(mp->mp_runs);
	free(mp->mp_modules);
	free(mp->mp_traces);
	free(mp->mp_classes);
	return ok;
}

struct lockgraph *
lockgraph_merge(const struct lockgraph *const *graphs, size_t n, char *why, size_t whylen)
{
	struct merge mg = { .mg_lo = lg_create() };
	bool ok = true;

	mg.mg_to = &mg.mg_lo->lo_graph;
	reserve(&mg, graphs, n);
	for (size_t i = 0; i < n && ok; i++)
		ok = merge_one(&mg, graphs[i], why, whylen);
	lg_index_fini(&mg.mg_runs);
	lg_index_fini(&mg.mg_modules);
	lg_index_fini(&mg.mg_traces);
	lg_index_fini(&mg.mg_classes);
	lg_index_fini(&mg.mg_edges);
	lg_index_fini(&mg.mg_findings);
	lg_index_fini(&mg.mg_sites);
	if (ok)
		return mg.mg_to;
	lockgraph_free(mg.mg_to);
	return NULL;
}
