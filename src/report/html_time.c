/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The two pictures of the HTML report that have time for their axis: how fast the load went, and
 * what each CPU did before a violation.  Drawn as those of html_svg.c: x in percent, y in pixels.
 */
#include <stdbool.h>
#include <stdlib.h>

#include <harness/xalloc.h>

#include "html_int.h"

/* => of a row of the series, [seconds, faults, operations], all since the load began */
static double
sample(const json_t *series, size_t i, size_t which)
{
	return json_number_value(json_array_get(json_array_get(series, i), which));
}

/* => a second's worth of column `which` between row i - 1 and row i */
static double
rate(const json_t *series, size_t i, size_t which)
{
	double from = i == 0 ? 0 : sample(series, i - 1, 0), n = i == 0 ? 0 : sample(series, i - 1, which);
	double len = sample(series, i, 0) - from;

	return len > 0 ? (sample(series, i, which) - n) / len : 0;
}

void
html_rate(FILE *out, const json_t *series, size_t which, const char *unit)
{
	const int top = 22, foot = 40, height = 200, floor = height - foot;
	size_t n = json_array_size(series);
	double end = n > 0 ? sample(series, n - 1, 0) : 0, max = 0;
	char text[16];

	for (size_t i = 0; i < n; i++)
		max = rate(series, i, which) > max ? rate(series, i, which) : max;
	if (max <= 0 || end <= 0)
		return;
	max = html_round_up(max);
	svg_begin(out, height, 50, 24, unit);
	svg_scale(out, top, floor, max, unit);
	for (size_t i = 0; i < n; i++) {
		double x = i == 0 ? 0 : sample(series, i - 1, 0) / end * 100, r = rate(series, i, which);

		html_count(r, text);
		fprintf(out, "<rect x=\"%.2f%%\" y=\"%.1f\" width=\"%.2f%%\" height=\"%.1f\" class=bar><title>until %.1f s: "
		    "%s</title></rect>\n", x, floor - r / max * (floor - top), sample(series, i, 0) / end * 100 - x,
		    r / max * (floor - top), sample(series, i, 0), text);
	}
	for (int i = 0; i <= 4; i++) {
		snprintf(text, sizeof(text), end < 10 ? "%.1f" : "%.0f", end * i / 4);
		svg_text(out, i * 25, 0, floor + 15, "middle", text);
	}
	svg_text(out, 50, 0, height - 4, "middle", "s since the load began");
	svg_end(out);
}

/* --- what happened before a violation --- */

static double
before(const json_t *event)
{
	return json_number_value(json_object_get(event, "before_us"));
}

static int
cpu_of(const json_t *event)
{
	return (int)json_integer_value(json_object_get(event, "cpu"));
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* => us that hold three quarters of the events: a CPU that has idled remembers what is long ago */
static double
window(const json_t *events)
{
	size_t n = json_array_size(events);
	double *v = xcalloc(n, sizeof(*v)), w;

	for (size_t i = 0; i < n; i++)
		v[i] = before(json_array_get(events, i));
	qsort(v, n, sizeof(*v), by_value);
	w = v[(n - 1) * 3 / 4];
	free(v);
	return html_round_up(w > 1 ? w : 1);
}

static void
draw_event(FILE *out, const json_t *event, double wide, double y)
{
	bool interrupt = json_is_true(json_object_get(event, "interrupt"));
	const char *what = json_string_value(json_object_get(event, "event"));

	fprintf(out, "<rect x=\"%.2f%%\" y=\"%.0f\" width=3 height=14 class=%s><title>%.1f us before, %s %lld: ",
	    (1 - before(event) / wide) * 100, y, interrupt ? "mark" : "bar", before(event),
	    interrupt ? "interrupt of LWP" : "LWP", (long long)json_integer_value(json_object_get(event, "lwp")));
	html_text(out, what);
	fputs("</title></rect>\n", out);
}

void
html_lanes(FILE *out, const json_t *events)
{
	const int row = 22, foot = 36;
	size_t i, left_out = 0;
	int ncpu = 0, height;
	json_t *event;
	double wide;
	char text[24];

	if (json_array_size(events) == 0)
		return;
	json_array_foreach(events, i, event)
		ncpu = cpu_of(event) >= ncpu ? cpu_of(event) + 1 : ncpu;
	height = ncpu * row + foot;
	wide = window(events);
	svg_begin(out, height, 60, 24, "the last events of each CPU");
	for (int cpu = 0; cpu < ncpu; cpu++) {
		fprintf(out, "<line x1=\"0%%\" x2=\"100%%\" y1=\"%d\" y2=\"%d\" class=grid />\n", cpu * row + 11, cpu * row + 11);
		snprintf(text, sizeof(text), "CPU %d", cpu);
		svg_text(out, 0, -7, cpu * row + 15, "end", text);
	}
	json_array_foreach(events, i, event) {
		if (before(event) <= wide && cpu_of(event) >= 0)
			draw_event(out, event, wide, cpu_of(event) * row + 4);
		else
			left_out++;
	}
	for (int k = 0; k <= 4; k++) {
		snprintf(text, sizeof(text), "%.4g", wide * (4 - k) / 4);
		svg_text(out, k * 25, 0, ncpu * row + 15, "middle", text);
	}
	svg_text(out, 50, 0, height - 4, "middle", "us before it was found");
	svg_end(out);
	fprintf(out, "<p class=soft>Each mark is an event, <span class=warn>those of interrupts</span> in another colour; "
	    "what it was comes up under the pointer%s.</p>\n", left_out != 0 ? ", and what is older is in the list" : "");
}
