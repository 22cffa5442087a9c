/*
 * What was seen, as a struct lockgraph.  All of it lies in one block, which the next export
 * uses again if it fits.
 */
#include <string.h>

#include "lockorder_int.h"

/* L.  Zeroed by the memory's reset, see lo_export_reset(). */
static struct lockgraph graph;
static char *block;
static size_t block_size, block_used;

void
lo_export_reset(void)
{
	block = NULL;
	block_size = 0;
}

/* => the next so many bytes of the block; only counts while there is none */
static void *
take(size_t n, size_t size)
{
	char *p = block != NULL ? block + block_used : NULL;

	block_used += (n * size + 15) & ~(size_t)15;
	return p;
}

/* The arrays, not const while they are filled in. */
struct arrays {
	struct lockgraph_module	 *a_modules;
	struct lockgraph_frame	 *a_frames;
	struct lockgraph_trace	 *a_traces;
	struct lockgraph_class	 *a_classes;
	struct lockgraph_edge	 *a_edges;
	struct lockgraph_finding *a_findings;
	struct lockgraph_edge	 *a_cycles;
	uint32_t		  a_nframes, a_ncycles;
};

#define	MODULES	64

static void
lay_out(struct arrays *a)
{
	block_used = 0;
	a->a_modules = take(MODULES, sizeof(*a->a_modules));
	a->a_frames = take(a->a_nframes, sizeof(*a->a_frames));
	a->a_traces = take(lo_traces.lt_n, sizeof(*a->a_traces));
	a->a_classes = take(lo_classes.lt_n, sizeof(*a->a_classes));
	a->a_edges = take(lo_edges.lt_n, sizeof(*a->a_edges));
	a->a_findings = take(lo_findings.lt_n, sizeof(*a->a_findings));
	a->a_cycles = take(a->a_ncycles, sizeof(*a->a_cycles));
}

static bool
make_room(struct arrays *a)
{
	size_t size = 4096;

	for (uint32_t i = 0; i < lo_traces.lt_n; i++)
		a->a_nframes += (*(struct lo_trace **)lo_at(&lo_traces, i))->t_n;
	for (uint32_t i = 0; i < lo_findings.lt_n; i++)
		a->a_ncycles += ((struct lo_finding *)lo_at(&lo_findings, i))->f_nedge;
	lay_out(a);
	while (size < block_used)
		size *= 2;
	if (size > block_size) {
		lo_free(block, block_size);
		block = lo_alloc(size);
		block_size = block != NULL ? size : 0;
	}
	if (block == NULL)
		return false;
	lay_out(a);
	return true;
}

static void
fill_frame(struct arrays *a, struct lockgraph_frame *f, const void *pc)
{
	const char *path;
	uint64_t offset;
	uint32_t i = 0;

	*f = (struct lockgraph_frame){ NONE, (uint64_t)(uintptr_t)pc, NULL };
	if (lo_env.le_module == NULL || !lo_env.le_module(pc, &path, &offset))
		return;
	while (i < graph.lg_nmodules && strcmp(a->a_modules[i].lgm_path, path) != 0)
		i++;
	if (i == MODULES)
		return;
	if (i == graph.lg_nmodules)
		a->a_modules[graph.lg_nmodules++] = (struct lockgraph_module){ lo_strdup(path), NULL };
	f->lgf_module = i;
	f->lgf_offset = offset;
}

static void
fill_traces(struct arrays *a)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < lo_traces.lt_n; i++) {
		const struct lo_trace *t = *(struct lo_trace **)lo_at(&lo_traces, i);

		a->a_traces[i] = (struct lockgraph_trace){ at, t->t_n };
		for (uint32_t k = 0; k < t->t_n; k++)
			fill_frame(a, &a->a_frames[at++], t->t_pc[k]);
	}
	graph.lg_ntraces = lo_traces.lt_n;
	graph.lg_nframes = at;
}

static void
fill_classes(struct arrays *a)
{
	for (uint32_t i = 0; i < lo_classes.lt_n; i++) {
		const struct lo_class *c = lo_class(i);
		const unsigned intr = c->c_intr[0] | c->c_intr[1] | c->c_intr[2];
		const unsigned open = c->c_open[0] | c->c_open[1];
		struct lockgraph_class *to = &a->a_classes[i];

		*to = (struct lockgraph_class){
			.lgc_name = c->c_name, .lgc_kind = c->c_kind,
			.lgc_rank = c->c_rank != 0 ? c->c_rank : -1,
			.lgc_nest = c->c_nest, .lgc_ipl = c->c_ipl,
			.lgc_created = c->c_created, .lgc_usage = c->c_usage,
			.lgc_intr_ipl = intr != 0 ? 31 - __builtin_clz(intr) : -1,
			.lgc_intr_trace = NONE,
			.lgc_open_ipl = open != 0 ? __builtin_ctz(open) : -1,
			.lgc_open_trace = c->c_open[0] != 0 && (c->c_open[1] == 0 ||
			    __builtin_ctz(c->c_open[0]) <= __builtin_ctz(c->c_open[1])) ?
			    c->c_open_trace[0] : c->c_open_trace[1],
			.lgc_acquisitions = c->c_chains,
		};
		for (int mode = 2; mode >= 0; mode--)
			if (c->c_intr[mode] != 0 &&
			    31 - __builtin_clz(c->c_intr[mode]) == to->lgc_intr_ipl)
				to->lgc_intr_trace = c->c_intr_trace[mode];
		if (lo_env.le_stat != NULL)
			lo_env.le_stat(i, to);
	}
	graph.lg_nclasses = lo_classes.lt_n;
}

static void
fill_edge(struct lockgraph_edge *to, uint32_t edge)
{
	static const enum lockgraph_mode mode[] = { LOCKGRAPH_M_WRITE, LOCKGRAPH_M_READ,
		LOCKGRAPH_M_READ_REC, LOCKGRAPH_M_TRY };
	const struct lo_edge *e = lo_at(&lo_edges, edge);

	*to = (struct lockgraph_edge){
		.lge_from = e->e_from, .lge_to = e->e_to, .lge_kind = e->e_what,
		.lge_from_mode = mode[e->e_how & LO_MODE], .lge_to_mode = mode[e->e_how >> 2 & LO_MODE],
		.lge_count = e->e_count, .lge_from_trace = e->e_from_trace,
		.lge_to_trace = e->e_to_trace,
	};
}

static void
fill_findings(struct arrays *a)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < lo_findings.lt_n; i++) {
		const struct lo_finding *f = lo_at(&lo_findings, i);

		a->a_findings[i] = (struct lockgraph_finding){
			.lgv_kind = lo_rule_kind(f->f_rule), .lgv_id = f->f_rule, .lgv_grade = f->f_grade,
			.lgv_fingerprint = f->f_print, .lgv_message = f->f_message,
			.lgv_why = f->f_why, .lgv_waived = f->f_waived, .lgv_count = f->f_count,
			.lgv_trace = f->f_trace, .lgv_cycle = &a->a_cycles[at],
			.lgv_ncycle = f->f_nedge, .lgv_held = f->f_held,
		};
		for (uint32_t k = 0; k < f->f_nedge; k++)
			fill_edge(&a->a_cycles[at++], f->f_edge[k]);
	}
	graph.lg_nfindings = lo_findings.lt_n;
}

const struct lockgraph *
lockorder_export(void)
{
	struct arrays a = { .a_nframes = 0 };
	struct lo_told told = { .to_n = 0 };

	lo_lock();
	lo_regrade = true;
	lo_grades(&told);
	graph = (struct lockgraph){ .lg_chains = lo_nchains };
	if (make_room(&a)) {
		fill_traces(&a);
		fill_classes(&a);
		for (uint32_t i = 0; i < lo_edges.lt_n; i++)
			fill_edge(&a.a_edges[i], i);
		graph.lg_nedges = lo_edges.lt_n;
		fill_findings(&a);
	}
	graph.lg_modules = a.a_modules;
	graph.lg_frames = a.a_frames;
	graph.lg_traces = a.a_traces;
	graph.lg_classes = a.a_classes;
	graph.lg_edges = a.a_edges;
	graph.lg_findings = a.a_findings;
	graph.lg_lost = lo_lost;
	lo_unlock();
	lo_tell(&told);
	return &graph;
}
