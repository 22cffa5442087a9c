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

/* "1.2M" */
void html_count(double n, char buf[static 16]);

#endif /* HTML_INT_H */
