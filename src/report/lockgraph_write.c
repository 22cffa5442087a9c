/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A lock graph as JSON, schema uvmstress-lockgraph/1.
 *
 * No library and no memory but a buffer on the stack: an auditor that was preloaded into
 * somebody's program writes its graph from inside malloc()'s neighbourhood, and must not
 * bring libraries along.
 *
 * Classes, stacks, modules and runs are arrays and are referred to by index, null where there
 * is none.  Edges have the names of their classes too, for whoever reads along.  What a run's
 * result calls "locks" and "violations" is called so here, with the same keys and more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_int.h"

const char *const lg_class_kinds[] = { "lock", "instance", "event", NULL };
const char *const lg_nests[] = { "no", "by-id", "child", "any", NULL };
const char *const lg_modes[] = { "write", "read", "read-recursive", "try", NULL };
const char *const lg_edge_kinds[] = { "order", "wait", "provide", NULL };
const char *const lg_grades[] = {
	"none", "unconfirmed", "guarded", "latent", "confirmed", NULL,
};
const struct lg_usage_name lg_usages[] = {
	{ LOCKGRAPH_SPIN, "spin" }, { LOCKGRAPH_WRITE, "write" }, { LOCKGRAPH_READ, "read" },
	{ LOCKGRAPH_TRY, "try" }, { LOCKGRAPH_IN_INTR, "interrupt" },
	{ LOCKGRAPH_SLEPT, "slept" }, { LOCKGRAPH_MAYSLEEP, "may-sleep" }, { 0, NULL },
};

struct writer {
	void (*wr_put)(void *arg, const char *, size_t);
	void *wr_arg;
	const struct lockgraph *wr_lg;
	const char *wr_sep;		/* before the next element or key */
	size_t wr_used;
	char wr_buf[512];
};

static void
flush(struct writer *w)
{
	if (w->wr_used != 0)
		w->wr_put(w->wr_arg, w->wr_buf, w->wr_used);
	w->wr_used = 0;
}

static void
raw(struct writer *w, const char *s, size_t len)
{
	if (w->wr_used + len > sizeof(w->wr_buf))
		flush(w);
	if (len > sizeof(w->wr_buf)) {
		w->wr_put(w->wr_arg, s, len);
		return;
	}
	memcpy(w->wr_buf + w->wr_used, s, len);
	w->wr_used += len;
}

static void
puts_raw(struct writer *w, const char *s)
{
	raw(w, s, strlen(s));
}

/* => bytes of the well-formed UTF-8 character at s, 0 if there is none */
static size_t
utf8(const unsigned char *s)
{
	const size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 :
	    *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] >= 0xa0) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

static void
text(struct writer *w, const char *s)
{
	if (s == NULL) {
		puts_raw(w, "null");
		return;
	}
	puts_raw(w, "\"");
	while (*s != '\0') {
		size_t n = utf8((const unsigned char *)s);
		char escape[8];

		if (*s == '"' || *s == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			snprintf(escape, sizeof(escape), "\\u%04x", *s);
		else if (n == 0)
			strcpy(escape, "?");	/* a file name may be anything, JSON may not */
		else {
			raw(w, s, n);
			s += n;
			continue;
		}
		puts_raw(w, escape);
		s++;
	}
	puts_raw(w, "\"");
}

static void
key(struct writer *w, const char *name)
{
	puts_raw(w, w->wr_sep);
	puts_raw(w, "\"");
	puts_raw(w, name);
	puts_raw(w, "\": ");
	w->wr_sep = ", ";
}

static void
open_object(struct writer *w)
{
	puts_raw(w, w->wr_sep);
	puts_raw(w, "{");
	w->wr_sep = "";
}

static void
close_object(struct writer *w)
{
	puts_raw(w, "}");
	w->wr_sep = ",\n  ";
}

/* The elements of an array of the graph's own, one a line. */
static void
open_array(struct writer *w, const char *name)
{
	w->wr_sep = ",\n ";
	key(w, name);
	puts_raw(w, "[");
	w->wr_sep = "\n  ";
}

static void
number(struct writer *w, uint64_t n)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, n > INT64_MAX ? INT64_MAX : n);
	puts_raw(w, digits);
}

static void
put_text(struct writer *w, const char *name, const char *s)
{
	key(w, name);
	text(w, s);
}

static void
put_number(struct writer *w, const char *name, uint64_t n)
{
	key(w, name);
	number(w, n);
}

static void
put_int(struct writer *w, const char *name, int n)
{
	char digits[16];

	key(w, name);
	snprintf(digits, sizeof(digits), "%d", n);
	puts_raw(w, digits);
}

static void
put_index(struct writer *w, const char *name, uint32_t i)
{
	key(w, name);
	if (i == LOCKGRAPH_NONE)
		puts_raw(w, "null");
	else
		number(w, i);
}

static void
write_runs(struct writer *w)
{
	open_array(w, "runs");
	for (uint32_t i = 0; i < w->wr_lg->lg_nruns; i++) {
		const struct lockgraph_run *r = &w->wr_lg->lg_runs[i];

		open_object(w);
		put_text(w, "name", r->lgr_name);
		put_text(w, "command", r->lgr_command);
		put_number(w, "seed", r->lgr_seed);
		close_object(w);
	}
	puts_raw(w, "]");
}

static void
write_frame(struct writer *w, const struct lockgraph_frame *f)
{
	puts_raw(w, "[");
	if (f->lgf_module == LOCKGRAPH_NONE)
		puts_raw(w, "null");
	else
		number(w, f->lgf_module);
	puts_raw(w, ", ");
	number(w, f->lgf_offset);
	puts_raw(w, ", ");
	text(w, f->lgf_symbol);
	puts_raw(w, "]");
}

static void
write_stacks(struct writer *w)
{
	const struct lockgraph *lg = w->wr_lg;

	open_array(w, "modules");
	for (uint32_t i = 0; i < lg->lg_nmodules; i++) {
		open_object(w);
		put_text(w, "path", lg->lg_modules[i].lgm_path);
		put_text(w, "build_id", lg->lg_modules[i].lgm_build_id);
		close_object(w);
	}
	puts_raw(w, "]");
	open_array(w, "traces");
	for (uint32_t i = 0; i < lg->lg_ntraces; i++) {
		const struct lockgraph_trace *t = &lg->lg_traces[i];

		puts_raw(w, w->wr_sep);
		puts_raw(w, "[");
		for (uint32_t f = 0; f < t->lgt_n; f++) {
			puts_raw(w, f == 0 ? "" : ", ");
			write_frame(w, &lg->lg_frames[t->lgt_first + f]);
		}
		puts_raw(w, "]");
		w->wr_sep = ",\n  ";
	}
	puts_raw(w, "]");
}

static void
write_class(struct writer *w, const struct lockgraph_class *c)
{
	const char *sep = "";

	open_object(w);
	put_text(w, "class", c->lgc_name);
	put_text(w, "kind", lg_class_kinds[c->lgc_kind]);
	put_int(w, "rank", c->lgc_rank);
	put_text(w, "nest", lg_nests[c->lgc_nest]);
	put_int(w, "ipl", c->lgc_ipl);
	put_text(w, "reason", c->lgc_reason);
	key(w, "usage");
	puts_raw(w, "[");
	for (const struct lg_usage_name *lu = lg_usages; lu->lu_name != NULL; lu++) {
		if ((c->lgc_usage & lu->lu_bit) == 0)
			continue;
		puts_raw(w, sep);
		text(w, lu->lu_name);
		sep = ", ";
	}
	puts_raw(w, "]");
	put_index(w, "created", c->lgc_created);
	put_int(w, "interrupt_ipl", c->lgc_intr_ipl);
	put_index(w, "interrupt_trace", c->lgc_intr_trace);
	put_int(w, "open_ipl", c->lgc_open_ipl);
	put_index(w, "open_trace", c->lgc_open_trace);
	put_number(w, "acquisitions", c->lgc_acquisitions);
	put_number(w, "contended", c->lgc_contended);
	put_number(w, "wait_ns", c->lgc_wait_ns);
	put_number(w, "wait_ns_max", c->lgc_wait_ns_max);
	put_number(w, "holds", c->lgc_holds);
	put_number(w, "hold_ns", c->lgc_hold_ns);
	put_number(w, "hold_ns_max", c->lgc_hold_ns_max);
	close_object(w);
}

static void
write_edge(struct writer *w, const struct lockgraph_edge *e)
{
	open_object(w);
	put_text(w, "from", w->wr_lg->lg_classes[e->lge_from].lgc_name);
	put_text(w, "to", w->wr_lg->lg_classes[e->lge_to].lgc_name);
	put_index(w, "from_class", e->lge_from);
	put_index(w, "to_class", e->lge_to);
	put_text(w, "kind", lg_edge_kinds[e->lge_kind]);
	put_text(w, "from_mode", lg_modes[e->lge_from_mode]);
	put_text(w, "to_mode", lg_modes[e->lge_to_mode]);
	put_number(w, "count", e->lge_count);
	put_index(w, "from_trace", e->lge_from_trace);
	put_index(w, "to_trace", e->lge_to_trace);
	if (e->lge_runs != NULL) {
		key(w, "runs");
		puts_raw(w, "[");
		for (uint32_t i = 0; i < e->lge_nruns; i++) {
			puts_raw(w, i == 0 ? "" : ", ");
			number(w, e->lge_runs[i]);
		}
		puts_raw(w, "]");
	}
	close_object(w);
}

static void
write_finding(struct writer *w, const struct lockgraph_finding *v)
{
	open_object(w);
	put_text(w, "kind", v->lgv_kind);
	put_text(w, "id", v->lgv_id);
	put_text(w, "grade", lg_grades[v->lgv_grade]);
	put_text(w, "fingerprint", v->lgv_fingerprint);
	put_text(w, "message", v->lgv_message);
	put_text(w, "why", v->lgv_why);
	put_text(w, "waived", v->lgv_waived);
	put_text(w, "recording", v->lgv_recording);
	put_number(w, "count", v->lgv_count);
	put_index(w, "trace", v->lgv_trace);
	put_index(w, "held_trace", v->lgv_held);
	key(w, "cycle");
	puts_raw(w, "[");
	w->wr_sep = "\n    ";
	for (uint32_t i = 0; i < v->lgv_ncycle; i++) {
		write_edge(w, &v->lgv_cycle[i]);
		w->wr_sep = ",\n    ";
	}
	puts_raw(w, "]");
	close_object(w);
}

static void
write_site(struct writer *w, const struct lockgraph_site *s)
{
	open_object(w);
	put_index(w, "class", s->lgs_class);
	key(w, "frame");
	write_frame(w, &s->lgs_frame);
	put_number(w, "acquisitions", s->lgs_acquisitions);
	put_number(w, "contended", s->lgs_contended);
	put_number(w, "wait_ns", s->lgs_wait_ns);
	put_number(w, "wait_ns_max", s->lgs_wait_ns_max);
	put_number(w, "holds", s->lgs_holds);
	put_number(w, "hold_ns", s->lgs_hold_ns);
	put_number(w, "hold_ns_max", s->lgs_hold_ns_max);
	close_object(w);
}

void
lockgraph_write(const struct lockgraph *lg, void (*put)(void *arg, const char *, size_t),
    void *arg)
{
	struct writer w = { .wr_put = put, .wr_arg = arg, .wr_lg = lg, .wr_sep = "" };

	puts_raw(&w, "{");
	put_text(&w, "schema", "uvmstress-lockgraph/1");
	put_number(&w, "chains", lg->lg_chains);
	put_number(&w, "lost", lg->lg_lost);
	write_runs(&w);
	write_stacks(&w);
	open_array(&w, "locks");
	for (uint32_t i = 0; i < lg->lg_nclasses; i++)
		write_class(&w, &lg->lg_classes[i]);
	puts_raw(&w, "]");
	open_array(&w, "edges");
	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		write_edge(&w, &lg->lg_edges[i]);
	puts_raw(&w, "]");
	open_array(&w, "violations");
	for (uint32_t i = 0; i < lg->lg_nfindings; i++)
		write_finding(&w, &lg->lg_findings[i]);
	puts_raw(&w, "]");
	open_array(&w, "sites");
	for (uint32_t i = 0; i < lg->lg_nsites; i++)
		write_site(&w, &lg->lg_sites[i]);
	puts_raw(&w, "]}\n");
	flush(&w);
}
