/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the files of the HTML report.
 */
#ifndef HTML_INT_H
#define HTML_INT_H

#include <stdio.h>

#include <jansson.h>

/* html_text: with the characters escaped that mean something; NULL is nothing. */
void html_text(FILE *, const char *);

/* What a page is made from. */
struct report_page {
	json_t *rpg_result;
	const char *rpg_dir;		/* where report.txt and profile.ini may be */
};

/* A named amount. */
struct html_bar {
	const char *hb_name;
	double hb_value;
};

/*
 * html_bars: horizontal bars in the order given, with an axis of that name and unit.
 * html_histogram: counts by upper bound in ns, on a logarithmic axis of time.
 * html_order: the lock order of a result as a picture; what others imply is left out.
 */
void html_bars(FILE *, const struct html_bar *, size_t n, const char *unit);
void html_histogram(FILE *, const json_t *pairs, const char *what);
void html_order(FILE *, const json_t *edges);

/*
 * html_rate: column `which` of a result's series, by the second.
 * html_lanes: a line for each CPU, with the events on it.
 */
void html_rate(FILE *, const json_t *series, size_t which, const char *unit);
void html_lanes(FILE *, const json_t *events);

/*
 * What pictures are drawn with; inside them x is in percent, y in pixels.
 * svg_begin: left, right: pixels beside the plot.  svg_text: dx pixels beside x.
 * svg_scale: lines from 0 at floor to max at top, with numbers, and the unit above them.
 */
void svg_begin(FILE *, int height, int left, int right, const char *label);
void svg_end(FILE *);
void svg_text(FILE *, double x, int dx, double y, const char *anchor, const char *text);
void svg_scale(FILE *, int top, int floor, double max, const char *unit);

/* => a round number, n or more */
double html_round_up(double n);
/* "1.2M" */
void html_count(double n, char buf[static 16]);

#endif /* HTML_INT_H */
