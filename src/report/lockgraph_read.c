/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads a lock graph from JSON.
 *
 * The bytes may come from anywhere: every index is checked against what it points into, so
 * that nothing that works on a graph needs to.  Keys that are not known are passed over, as a
 * later version may have more.
 */
#include <stdarg.h>
#include <string.h>

#include <jansson.h>

#include <harness/lockgraph.h>

#include "lockgraph_int.h"

/* One reading.  rd_where says which element is being read, for messages. */
struct reader {
	struct lg_owned *rd_lo;
	struct lockgraph *rd_lg;
	const char *rd_name;
	const char *rd_array;
	size_t rd_i;
	char *rd_why;
	size_t rd_whylen;
	bool rd_bad;			/* a reason has been given; the first one stays */
};

static void __attribute__((format(printf, 3, 4)))
bad(struct reader *rd, const char *key, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	if (rd->rd_bad)
		return;
	rd->rd_bad = true;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (rd->rd_array == NULL)
		snprintf(rd->rd_why, rd->rd_whylen, "%s: %s %s", rd->rd_name, key, what);
	else
		snprintf(rd->rd_why, rd->rd_whylen, "%s: %s[%zu].%s %s", rd->rd_name, rd->rd_array,
		    rd->rd_i, key, what);
}

/* => the text of that key; NULL when it is null, if it may be */
static const char *
get_text(struct reader *rd, json_t *obj, const char *key, bool may_be_null)
{
	json_t *j = json_object_get(obj, key);

	if (json_is_string(j))
		return lg_text(rd->rd_lo, json_string_value(j));
	if (!may_be_null || !(j == NULL || json_is_null(j)))
		bad(rd, key, "must be a text");
	return may_be_null ? NULL : "";
}

static int64_t
get_range(struct reader *rd, json_t *obj, const char *key, int64_t min, int64_t max)
{
	json_t *j = json_object_get(obj, key);

	if (json_is_integer(j) && json_integer_value(j) >= min && json_integer_value(j) <= max)
		return json_integer_value(j);
	if (max == INT64_MAX)
		bad(rd, key, "must be a whole number, at least %jd", (intmax_t)min);
	else
		bad(rd, key, "must be a whole number, %jd to %jd", (intmax_t)min, (intmax_t)max);
	return min;
}

static uint64_t
get_number(struct reader *rd, json_t *obj, const char *key)
{
	return (uint64_t)get_range(rd, obj, key, 0, INT64_MAX);
}

/* => an index below n, or LOCKGRAPH_NONE for null if that may be */
static uint32_t
index_of(struct reader *rd, json_t *j, const char *key, uint32_t n, bool may_be_null)
{
	if (may_be_null && (j == NULL || json_is_null(j)))
		return LOCKGRAPH_NONE;
	if (json_is_integer(j) && json_integer_value(j) >= 0 && json_integer_value(j) < n)
		return (uint32_t)json_integer_value(j);
	bad(rd, key, "must be an index below %u", n);
	return 0;
}

static uint32_t
get_index(struct reader *rd, json_t *obj, const char *key, uint32_t n, bool may_be_null)
{
	return index_of(rd, json_object_get(obj, key), key, n, may_be_null);
}

static unsigned
get_name(struct reader *rd, json_t *obj, const char *key, const char *const *names)
{
	const char *s = json_string_value(json_object_get(obj, key));

	for (unsigned i = 0; s != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], s) == 0)
			return i;
	bad(rd, key, "must be %s, %s, ...", names[0], names[1]);
	return 0;
}

/* => the array of that key and how many elements it has; of objects unless it is "traces" */
static json_t *
get_array(struct reader *rd, json_t *root, const char *key, uint32_t *n)
{
	json_t *array = json_object_get(root, key), *element;
	size_t i;

	rd->rd_array = NULL;
	*n = 0;
	if (!json_is_array(array)) {
		bad(rd, key, "must be an array");
		return NULL;
	}
	json_array_foreach(array, i, element)
		if (strcmp(key, "traces") != 0 && !json_is_object(element))
			bad(rd, key, "must be an array of objects");
	rd->rd_array = key;
	*n = (uint32_t)json_array_size(array);
	return array;
}

static void
read_runs(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "runs", &rd->rd_lg->lg_nruns), *obj;
	struct lockgraph_run *runs = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nruns, sizeof(*runs));

	rd->rd_lg->lg_runs = runs;
	json_array_foreach(array, rd->rd_i, obj) {
		runs->lgr_name = get_text(rd, obj, "name", false);
		runs->lgr_command = get_text(rd, obj, "command", true);
		runs->lgr_seed = get_number(rd, obj, "seed");
		runs++;
	}
}

static void
read_modules(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "modules", &rd->rd_lg->lg_nmodules), *obj;
	struct lockgraph_module *m = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nmodules, sizeof(*m));

	rd->rd_lg->lg_modules = m;
	json_array_foreach(array, rd->rd_i, obj) {
		m->lgm_path = get_text(rd, obj, "path", false);
		m->lgm_build_id = get_text(rd, obj, "build_id", true);
		m++;
	}
}

/* => [module or null, offset, symbol or null] */
static struct lockgraph_frame
read_frame(struct reader *rd, json_t *j, const char *key)
{
	json_t *offset = json_array_get(j, 1), *symbol = json_array_get(j, 2);
	struct lockgraph_frame f = { .lgf_module = LOCKGRAPH_NONE };

	if (json_array_size(j) != 3 || !json_is_integer(offset) || json_integer_value(offset) < 0 ||
	    !(json_is_null(symbol) || json_is_string(symbol))) {
		bad(rd, key, "must be [module, offset, symbol]");
		return f;
	}
	f.lgf_module = index_of(rd, json_array_get(j, 0), key, rd->rd_lg->lg_nmodules, true);
	f.lgf_offset = (uint64_t)json_integer_value(offset);
	f.lgf_symbol = lg_text(rd->rd_lo, json_string_value(symbol));
	return f;
}

static void
read_traces(struct reader *rd, json_t *root)
{
	struct lockgraph *lg = rd->rd_lg;
	json_t *array = get_array(rd, root, "traces", &lg->lg_ntraces), *stack;
	struct lockgraph_trace *t = lg_alloc(rd->rd_lo, lg->lg_ntraces, sizeof(*t));
	struct lockgraph_frame *frames;
	size_t n = 0, i;

	json_array_foreach(array, i, stack)
		n += json_array_size(stack);
	frames = lg_alloc(rd->rd_lo, n, sizeof(*frames));
	lg->lg_traces = t;
	lg->lg_frames = frames;
	json_array_foreach(array, rd->rd_i, stack) {
		t->lgt_first = lg->lg_nframes;
		t->lgt_n = (uint32_t)json_array_size(stack);
		if (!json_is_array(stack))
			bad(rd, "frames", "must be an array");
		for (uint32_t f = 0; f < t->lgt_n; f++)
			frames[lg->lg_nframes++] = read_frame(rd, json_array_get(stack, f), "frames");
		t++;
	}
}

static uint32_t
read_usage(struct reader *rd, json_t *obj)
{
	json_t *array = json_object_get(obj, "usage"), *j;
	uint32_t usage = 0;
	size_t i;

	if (!json_is_array(array))
		bad(rd, "usage", "must be an array");
	json_array_foreach(array, i, j)
		for (const struct lg_usage_name *lu = lg_usages; lu->lu_name != NULL; lu++)
			if (json_is_string(j) && strcmp(lu->lu_name, json_string_value(j)) == 0)
				usage |= lu->lu_bit;
	return usage;
}

static void
read_classes(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "locks", &rd->rd_lg->lg_nclasses), *obj;
	struct lockgraph_class *c = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nclasses, sizeof(*c));
	const uint32_t ntraces = rd->rd_lg->lg_ntraces;

	rd->rd_lg->lg_classes = c;
	json_array_foreach(array, rd->rd_i, obj) {
		c->lgc_name = get_text(rd, obj, "class", false);
		c->lgc_kind = get_name(rd, obj, "kind", lg_class_kinds);
		c->lgc_rank = (int)get_range(rd, obj, "rank", -1, INT32_MAX);
		c->lgc_nest = (int)get_name(rd, obj, "nest", lg_nests);
		c->lgc_ipl = (int)get_range(rd, obj, "ipl", 0, 255);
		c->lgc_reason = get_text(rd, obj, "reason", true);
		c->lgc_usage = read_usage(rd, obj);
		c->lgc_created = get_index(rd, obj, "created", ntraces, true);
		c->lgc_intr_ipl = (int)get_range(rd, obj, "interrupt_ipl", -1, 255);
		c->lgc_intr_trace = get_index(rd, obj, "interrupt_trace", ntraces, true);
		c->lgc_open_ipl = (int)get_range(rd, obj, "open_ipl", -1, 255);
		c->lgc_open_trace = get_index(rd, obj, "open_trace", ntraces, true);
		c->lgc_acquisitions = get_number(rd, obj, "acquisitions");
		c->lgc_contended = get_number(rd, obj, "contended");
		c->lgc_wait_ns = get_number(rd, obj, "wait_ns");
		c->lgc_wait_ns_max = get_number(rd, obj, "wait_ns_max");
		c->lgc_holds = get_number(rd, obj, "holds");
		c->lgc_hold_ns = get_number(rd, obj, "hold_ns");
		c->lgc_hold_ns_max = get_number(rd, obj, "hold_ns_max");
		c++;
	}
}

static void
read_edge_runs(struct reader *rd, json_t *obj, struct lockgraph_edge *e)
{
	json_t *array = json_object_get(obj, "runs"), *j;
	uint32_t *runs;
	size_t i;

	if (array == NULL)
		return;
	if (!json_is_array(array))
		bad(rd, "runs", "must be an array");
	e->lge_nruns = (uint32_t)json_array_size(array);
	runs = lg_alloc(rd->rd_lo, e->lge_nruns, sizeof(*runs));
	json_array_foreach(array, i, j)
		runs[i] = index_of(rd, j, "runs", rd->rd_lg->lg_nruns, false);
	e->lge_runs = runs;
}

static void
read_edge(struct reader *rd, json_t *obj, struct lockgraph_edge *e)
{
	const struct lockgraph *lg = rd->rd_lg;

	e->lge_from = get_index(rd, obj, "from_class", lg->lg_nclasses, false);
	e->lge_to = get_index(rd, obj, "to_class", lg->lg_nclasses, false);
	e->lge_kind = get_name(rd, obj, "kind", lg_edge_kinds);
	e->lge_from_mode = get_name(rd, obj, "from_mode", lg_modes);
	e->lge_to_mode = get_name(rd, obj, "to_mode", lg_modes);
	e->lge_count = get_number(rd, obj, "count");
	e->lge_from_trace = get_index(rd, obj, "from_trace", lg->lg_ntraces, true);
	e->lge_to_trace = get_index(rd, obj, "to_trace", lg->lg_ntraces, true);
	read_edge_runs(rd, obj, e);
}

static void
read_edges(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "edges", &rd->rd_lg->lg_nedges), *obj;
	struct lockgraph_edge *e = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nedges, sizeof(*e));

	rd->rd_lg->lg_edges = e;
	json_array_foreach(array, rd->rd_i, obj)
		read_edge(rd, obj, e++);
}

static void
read_cycle(struct reader *rd, json_t *obj, struct lockgraph_finding *v)
{
	json_t *array = json_object_get(obj, "cycle"), *j;
	struct lockgraph_edge *cycle;
	size_t i;

	v->lgv_ncycle = (uint32_t)json_array_size(array);
	cycle = lg_alloc(rd->rd_lo, v->lgv_ncycle, sizeof(*cycle));
	v->lgv_cycle = cycle;
	if (!json_is_array(array))
		bad(rd, "cycle", "must be an array");
	json_array_foreach(array, i, j) {
		read_edge(rd, j, &cycle[i]);
		if (i > 0 && cycle[i].lge_from != cycle[i - 1].lge_to)
			bad(rd, "cycle", "is broken: each edge starts where the one before ends");
	}
}

static void
read_findings(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "violations", &rd->rd_lg->lg_nfindings), *obj;
	struct lockgraph_finding *v = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nfindings, sizeof(*v));

	rd->rd_lg->lg_findings = v;
	json_array_foreach(array, rd->rd_i, obj) {
		v->lgv_kind = get_text(rd, obj, "kind", false);
		v->lgv_id = get_text(rd, obj, "id", false);
		v->lgv_grade = get_name(rd, obj, "grade", lg_grades);
		v->lgv_fingerprint = get_text(rd, obj, "fingerprint", false);
		v->lgv_message = get_text(rd, obj, "message", false);
		v->lgv_why = get_text(rd, obj, "why", true);
		v->lgv_waived = get_text(rd, obj, "waived", true);
		v->lgv_recording = json_object_get(obj, "recording") == NULL ? NULL :
		    get_text(rd, obj, "recording", true);
		v->lgv_count = get_number(rd, obj, "count");
		v->lgv_trace = get_index(rd, obj, "trace", rd->rd_lg->lg_ntraces, true);
		v->lgv_held = json_object_get(obj, "held_trace") == NULL ? LOCKGRAPH_NONE :
		    get_index(rd, obj, "held_trace", rd->rd_lg->lg_ntraces, true);
		read_cycle(rd, obj, v++);
	}
}

static void
read_sites(struct reader *rd, json_t *root)
{
	json_t *array = get_array(rd, root, "sites", &rd->rd_lg->lg_nsites), *obj;
	struct lockgraph_site *s = lg_alloc(rd->rd_lo, rd->rd_lg->lg_nsites, sizeof(*s));

	rd->rd_lg->lg_sites = s;
	json_array_foreach(array, rd->rd_i, obj) {
		s->lgs_class = get_index(rd, obj, "class", rd->rd_lg->lg_nclasses, false);
		s->lgs_frame = read_frame(rd, json_object_get(obj, "frame"), "frame");
		s->lgs_acquisitions = get_number(rd, obj, "acquisitions");
		s->lgs_contended = get_number(rd, obj, "contended");
		s->lgs_wait_ns = get_number(rd, obj, "wait_ns");
		s->lgs_wait_ns_max = get_number(rd, obj, "wait_ns_max");
		s->lgs_holds = get_number(rd, obj, "holds");
		s->lgs_hold_ns = get_number(rd, obj, "hold_ns");
		s->lgs_hold_ns_max = get_number(rd, obj, "hold_ns_max");
		s++;
	}
}

static void
read_root(struct reader *rd, json_t *root)
{
	const char *schema = json_string_value(json_object_get(root, "schema"));

	if (schema == NULL || strcmp(schema, "uvmstress-lockgraph/1") != 0) {
		bad(rd, "schema", "must be uvmstress-lockgraph/1: this is no lock graph; "
		    "`uvmstress audit --json FILE` writes one");
		return;
	}
	rd->rd_lg->lg_chains = get_number(rd, root, "chains");
	rd->rd_lg->lg_lost = get_number(rd, root, "lost");
	read_runs(rd, root);
	read_modules(rd, root);
	read_traces(rd, root);
	read_classes(rd, root);
	read_edges(rd, root);
	read_findings(rd, root);
	read_sites(rd, root);
}

struct lockgraph *
lockgraph_read(const char *bytes, size_t len, const char *name, char *why, size_t whylen)
{
	struct lg_owned *lo = lg_create();
	struct reader rd = { .rd_lo = lo, .rd_lg = &lo->lo_graph, .rd_name = name, .rd_why = why,
		.rd_whylen = whylen };
	json_error_t err;
	json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &err);

	if (root == NULL)
		snprintf(why, whylen, "%s:%d: not JSON: %s", name, err.line, err.text);
	else
		read_root(&rd, root);
	json_decref(root);
	if (root != NULL && !rd.rd_bad)
		return rd.rd_lg;
	for (char *p = why; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	lockgraph_free(rd.rd_lg);
	return NULL;
}
