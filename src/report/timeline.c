/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A timeline in Chrome's trace event format, for ui.perfetto.dev and chrome://tracing.
 *
 * Two processes: the CPUs, each a line that says whom it runs and which interrupts came; and the
 * LWPs, each a line of spans (faults, sleeps, lock waits, shootdowns) that lie within each other.
 * The window is what the rings remember, so spans may begin before it or end after it: what
 * has no beginning is left out, and what has no end ends with the window.  Spans that are no
 * LWP's (transfers, loans) are asynchronous ones with the page's number.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <harness/result.h>
#include <harness/timeline.h>
#include <harness/xalloc.h>

#define	PID_CPUS	1
#define	PID_LWPS	2
#define	DEPTH_MAX	16		/* of spans in each other */
#define	NONE		SIZE_MAX

/* One line of the file. */
struct mark {
	uint64_t mk_ns, mk_len;		/* len: of phase X */
	size_t mk_seq;
	size_t mk_before;		/* the span on the same line that ended before this one did, or NONE */
	const char *mk_name, *mk_text;
	uint32_t mk_pid, mk_tid, mk_id;
	char mk_phase;			/* X complete, i instant, b and e asynchronous */
};

/* An LWP's line as it is being drawn. */
struct line {
	uint32_t ln_id;
	unsigned ln_depth;
	size_t ln_last;			/* the span that ended last, or NONE */
	const struct timeline_event *ln_open[DEPTH_MAX];
};

struct drawing {
	const struct timeline *dr_tl;
	struct mark *dr_marks;
	size_t dr_n;
	struct line *dr_lines;		/* by LWP */
	size_t dr_nlines;
};

void
timeline_forget(struct timeline *tl)
{
	for (size_t i = 0; i < tl->tl_n; i++)
		free(tl->tl_v[i].te_text);
	free(tl->tl_v);
	tl->tl_v = NULL;
	tl->tl_n = 0;
}

void
timeline_fini(struct timeline *tl)
{
	timeline_forget(tl);
	free(tl->tl_lwps);
	tl->tl_lwps = NULL;
	tl->tl_nlwps = 0;
}

/* --- drawing --- */

static struct mark *
mark(struct drawing *dr, char phase, uint32_t pid, uint32_t tid, const struct timeline_event *te)
{
	struct mark *mk;

	dr->dr_marks = xgrow(dr->dr_marks, dr->dr_n, sizeof(*mk));
	mk = &dr->dr_marks[dr->dr_n];
	*mk = (struct mark){ .mk_ns = te->te_ns, .mk_seq = dr->dr_n++, .mk_before = NONE, .mk_name = te->te_kind,
		.mk_text = te->te_text, .mk_pid = pid, .mk_tid = tid, .mk_id = te->te_id, .mk_phase = phase };
	return mk;
}

static int
by_id(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->ln_id < y->ln_id ? -1 : x->ln_id > y->ln_id;
}

static void
make_lines(struct drawing *dr)
{
	const struct timeline *tl = dr->dr_tl;
	size_t n = 0;

	dr->dr_lines = xcalloc(tl->tl_n + 1, sizeof(*dr->dr_lines));
	for (size_t i = 0; i < tl->tl_n; i++) {
		dr->dr_lines[i].ln_id = tl->tl_v[i].te_lwp;
		dr->dr_lines[i].ln_last = NONE;
	}
	qsort(dr->dr_lines, tl->tl_n, sizeof(*dr->dr_lines), by_id);
	for (size_t i = 0; i < tl->tl_n; i++)
		if (n == 0 || dr->dr_lines[n - 1].ln_id != dr->dr_lines[i].ln_id)
			dr->dr_lines[n++] = dr->dr_lines[i];
	dr->dr_nlines = n;
}

static struct line *
line_of(struct drawing *dr, uint32_t lwp)
{
	const struct line key = { .ln_id = lwp };

	return bsearch(&key, dr->dr_lines, dr->dr_nlines, sizeof(key), by_id);
}

/* => a span on the line, from its beginning until now */
static void
span(struct drawing *dr, struct line *ln, const struct timeline_event *from, uint64_t begin, uint64_t end,
    const char *text)
{
	struct mark *mk = mark(dr, 'X', PID_LWPS, ln->ln_id, from);

	mk->mk_ns = begin;
	mk->mk_len = end - begin;
	mk->mk_name = from->te_span;
	if (text != NULL)
		mk->mk_text = text;
	mk->mk_before = ln->ln_last;
	ln->ln_last = mk->mk_seq;
}

static void
close_top(struct drawing *dr, struct line *ln, uint64_t ns, const char *text)
{
	const struct timeline_event *te = ln->ln_open[--ln->ln_depth];

	span(dr, ln, te, te->te_ns, ns, text);
}

static void
end_span(struct drawing *dr, struct line *ln, const struct timeline_event *te)
{
	unsigned d = ln->ln_depth;

	while (d > 0 && strcmp(ln->ln_open[d - 1]->te_span, te->te_span) != 0)
		d--;
	if (d == 0)			/* it began before the window */
		return;
	while (ln->ln_depth > d)
		close_top(dr, ln, te->te_ns, NULL);
	close_top(dr, ln, te->te_ns, te->te_text);
}

/* A wait is told when it is over, and the clocks of two CPUs may differ: it cuts no other span. */
static void
waited(struct drawing *dr, struct line *ln, const struct timeline_event *te)
{
	uint64_t begin = te->te_ns > te->te_id ? te->te_ns - te->te_id : 0;

	if (ln->ln_depth > 0 && begin < ln->ln_open[ln->ln_depth - 1]->te_ns)
		begin = ln->ln_open[ln->ln_depth - 1]->te_ns;
	for (size_t i = ln->ln_last; i != NONE; i = dr->dr_marks[i].mk_before) {
		const struct mark *mk = &dr->dr_marks[i];

		if (mk->mk_ns + mk->mk_len <= begin)
			break;
		if (mk->mk_ns < begin) {
			begin = mk->mk_ns + mk->mk_len;
			break;
		}
	}
	span(dr, ln, te, begin, te->te_ns, NULL);
}

static void
draw_lwp(struct drawing *dr, const struct timeline_event *te)
{
	struct line *ln = line_of(dr, te->te_lwp);

	if (te->te_what == TL_BEGIN && ln->ln_depth < DEPTH_MAX)
		ln->ln_open[ln->ln_depth++] = te;
	else if (te->te_what == TL_END)
		end_span(dr, ln, te);
	else if (te->te_what == TL_WAITED)
		waited(dr, ln, te);
	else if (te->te_what == TL_INSTANT)
		mark(dr, 'i', PID_LWPS, te->te_lwp, te);
}

/* => whom each CPU runs, from one switch to the next, and the interrupts */
static void
draw_cpus(struct drawing *dr)
{
	const struct timeline *tl = dr->dr_tl;
	size_t *last = xcalloc(tl->tl_ncpu + 1, sizeof(*last));	/* of a span that is open, + 1 */

	for (size_t i = 0; i < tl->tl_n; i++) {
		const struct timeline_event *te = &tl->tl_v[i];
		struct mark *mk;

		if (te->te_what == TL_INTERRUPT)
			mark(dr, 'i', PID_CPUS, te->te_cpu, te);
		if (te->te_what != TL_SWITCH)
			continue;
		if (last[te->te_cpu] != 0) {
			mk = &dr->dr_marks[last[te->te_cpu] - 1];
			mk->mk_len = te->te_ns - mk->mk_ns;
		}
		mk = mark(dr, 'X', PID_CPUS, te->te_cpu, te);
		mk->mk_name = NULL;		/* the LWP's */
		mk->mk_len = tl->tl_v[tl->tl_n - 1].te_ns - mk->mk_ns;
		last[te->te_cpu] = dr->dr_n;
	}
	free(last);
}

/* By what they are about, then in the order of time, as they were. */
static int
by_subject(const void *a, const void *b)
{
	const struct timeline_event *x = *(const struct timeline_event *const *)a;
	const struct timeline_event *y = *(const struct timeline_event *const *)b;
	int c = strcmp(x->te_span, y->te_span);

	if (c != 0)
		return c;
	if (x->te_id != y->te_id)
		return x->te_id < y->te_id ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void
async(struct drawing *dr, char phase, const struct timeline_event *te, const struct timeline_event *opener,
    uint64_t ns)
{
	struct mark *mk = mark(dr, phase, PID_LWPS, opener->te_lwp, te);

	mk->mk_ns = ns;
	mk->mk_name = te->te_span;
}

static void
draw_async(struct drawing *dr)
{
	const struct timeline *tl = dr->dr_tl;
	const struct timeline_event **v = xcalloc(tl->tl_n + 1, sizeof(*v)), *open = NULL;
	size_t n = 0;

	for (size_t i = 0; i < tl->tl_n; i++)
		if (tl->tl_v[i].te_what == TL_OPEN || tl->tl_v[i].te_what == TL_CLOSE)
			v[n++] = &tl->tl_v[i];
	if (n > 1)
		qsort(v, n, sizeof(*v), by_subject);
	for (size_t i = 0; i < n; i++) {
		const bool other = open != NULL && (open->te_id != v[i]->te_id || strcmp(open->te_span, v[i]->te_span) != 0);

		if (other) {
			async(dr, 'e', open, open, tl->tl_v[tl->tl_n - 1].te_ns);
			open = NULL;
		}
		if (v[i]->te_what == TL_OPEN && open == NULL) {
			open = v[i];
			async(dr, 'b', open, open, open->te_ns);
		} else if (v[i]->te_what == TL_CLOSE && open != NULL) {
			async(dr, 'e', v[i], open, v[i]->te_ns);
			open = NULL;
		}
	}
	if (open != NULL)
		async(dr, 'e', open, open, tl->tl_v[tl->tl_n - 1].te_ns);
	free(v);
}

/* Who contains comes before who is contained. */
static int
by_start(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	if (x->mk_ns != y->mk_ns)
		return x->mk_ns < y->mk_ns ? -1 : 1;
	if (x->mk_len != y->mk_len)
		return x->mk_len > y->mk_len ? -1 : 1;
	if ((x->mk_phase == 'X') != (y->mk_phase == 'X'))
		return x->mk_phase == 'X' ? -1 : 1;
	/* what ended later contains what ended earlier; the rest in order */
	if (x->mk_phase == 'X')
		return x->mk_seq > y->mk_seq ? -1 : 1;
	return x->mk_seq < y->mk_seq ? -1 : 1;
}

/* --- writing --- */

static void
lwp_name(const struct timeline *tl, uint32_t id, char *buf, size_t len)
{
	for (size_t i = 0; i < tl->tl_nlwps; i++)
		if (tl->tl_lwps[i].tw_id == id) {
			snprintf(buf, len, "LWP %u %s", id, tl->tl_lwps[i].tw_name);
			for (char *p = buf; *p != '\0'; p++)	/* a job's name may be any bytes, JSON not */
				if ((unsigned char)*p >= 0x80)
					*p = '?';
			return;
		}
	snprintf(buf, len, "LWP %u", id);
}

static void
put(json_t *obj, bool first, FILE *out)
{
	char *s = xcheck(json_dumps(xcheck(obj), JSON_COMPACT | JSON_REAL_PRECISION(15)));

	fprintf(out, "%s%s", first ? "" : ",\n", s);
	free(s);
	json_decref(obj);
}

static void
put_name(const char *what, uint32_t pid, uint32_t tid, const char *name, bool first, FILE *out)
{
	put(json_pack("{s:s,s:s,s:I,s:I,s:{s:s}}", "ph", "M", "name", what, "pid", (json_int_t)pid, "tid",
	    (json_int_t)tid, "args", "name", name), first, out);
}

static void
put_mark(const struct timeline *tl, const struct mark *mk, FILE *out)
{
	const char phase[2] = { mk->mk_phase, '\0' };
	char name[80];
	json_t *obj;

	if (mk->mk_name != NULL)
		snprintf(name, sizeof(name), "%s", mk->mk_name);
	else
		lwp_name(tl, mk->mk_id, name, sizeof(name));
	obj = xcheck(json_pack("{s:s,s:s,s:I,s:I,s:f,s:{s:s}}", "ph", phase, "name", name, "pid",
	    (json_int_t)mk->mk_pid, "tid", (json_int_t)mk->mk_tid, "ts", (double)mk->mk_ns / 1e3, "args", "event",
	    mk->mk_text));
	if (mk->mk_phase == 'X')
		json_object_set_new(obj, "dur", json_real((double)mk->mk_len / 1e3));
	else if (mk->mk_phase == 'i')
		json_object_set_new(obj, "s", json_string("t"));
	else {
		json_object_set_new(obj, "cat", json_string(name));
		json_object_set_new(obj, "id", json_integer(mk->mk_id));
	}
	put(obj, false, out);
}

void
report_timeline(const struct timeline *tl, FILE *out)
{
	struct drawing dr = { .dr_tl = tl };
	char name[80];

	make_lines(&dr);
	for (size_t i = 0; i < tl->tl_n; i++)
		draw_lwp(&dr, &tl->tl_v[i]);
	for (size_t i = 0; i < dr.dr_nlines; i++)
		while (dr.dr_lines[i].ln_depth > 0)
			close_top(&dr, &dr.dr_lines[i], tl->tl_v[tl->tl_n - 1].te_ns, NULL);
	draw_cpus(&dr);
	draw_async(&dr);
	if (dr.dr_n > 1)
		qsort(dr.dr_marks, dr.dr_n, sizeof(*dr.dr_marks), by_start);

	fprintf(out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
	put_name("process_name", PID_CPUS, 0, "CPUs", true, out);
	put_name("process_name", PID_LWPS, 0, "LWPs", false, out);
	for (unsigned i = 0; i < tl->tl_ncpu; i++) {
		snprintf(name, sizeof(name), "CPU %u", i);
		put_name("thread_name", PID_CPUS, i, name, false, out);
	}
	for (size_t i = 0; i < dr.dr_nlines; i++) {
		lwp_name(tl, dr.dr_lines[i].ln_id, name, sizeof(name));
		put_name("thread_name", PID_LWPS, dr.dr_lines[i].ln_id, name, false, out);
	}
	for (size_t i = 0; i < dr.dr_n; i++)
		put_mark(tl, &dr.dr_marks[i], out);
	fprintf(out, "\n]}\n");
	free(dr.dr_marks);
	free(dr.dr_lines);
}

static void
write_timeline(const void *what, FILE *out)
{
	report_timeline(what, out);
}

int
report_timeline_file(const struct timeline *tl, const char *path, char *why, size_t whylen)
{
	return report_write(path, write_timeline, tl, why, whylen);
}
