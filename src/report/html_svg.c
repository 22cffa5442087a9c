/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Charts as inline SVG, as wide as there is room: inside the plot x is in percent and y in
 * pixels, so that bars stretch with the window and text keeps its size.
 */
#include <math.h>
#include <string.h>

#include <harness/xalloc.h>

#include "html_int.h"

void
html_text(FILE *out, const char *s)
{
	for (; s != NULL && *s != '\0'; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc((unsigned char)*s < ' ' && *s != '\n' && *s != '\t' ? '?' : *s, out);
			break;
		}
	}
}

void
html_count(double n, char buf[static 16])
{
	static const char units[] = "\0kMGTPE";
	size_t u = 0;

	for (; n >= 1000 && u < sizeof(units) - 2; u++)
		n /= 1000;
	snprintf(buf, 16, u == 0 && n == floor(n) ? "%.0f" : n >= 100 ? "%.0f%c" : "%.1f%c", n, units[u]);
}

double
html_round_up(double n)
{
	double power = pow(10, floor(log10(n > 0 ? n : 1)));

	return n <= power ? power : n <= 2 * power ? 2 * power : n <= 5 * power ? 5 * power : 10 * power;
}

void
svg_begin(FILE *out, int height, int left, int right, const char *label)
{
	fprintf(out, "<div style=\"padding:0 %dpx 0 %dpx\"><svg height=\"%d\" role=img aria-label=\"", right, left,
	    height);
	html_text(out, label);
	fputs("\">\n", out);
}

void
svg_end(FILE *out)
{
	fputs("</svg></div>\n", out);
}

void
svg_text(FILE *out, double x, int dx, double y, const char *anchor, const char *text)
{
	fprintf(out, "<text x=\"%.2f%%\" dx=\"%d\" y=\"%.1f\" text-anchor=%s>", x, dx, y, anchor);
	html_text(out, text);
	fputs("</text>\n", out);
}

void
svg_scale(FILE *out, int top, int floor, double max, const char *unit)
{
	char text[16];

	svg_text(out, 0, -50, 12, "start", unit);
	for (int i = 0; i <= 2; i++) {
		double y = floor - (floor - top) * i / 2.0;

		fprintf(out, "<line x1=\"0%%\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\" class=grid />\n", y, y);
		html_count(max * i / 2, text);
		svg_text(out, 0, -6, y + 4, "end", text);
	}
}

void
html_bars(FILE *out, const struct html_bar *bars, size_t n, const char *unit)
{
	const int row = 22, foot = 36, height = (int)n * row + foot;
	double top = 0;
	char text[16];

	for (size_t i = 0; i < n; i++)
		top = bars[i].hb_value > top ? bars[i].hb_value : top;
	if (top <= 0) {
		fputs("<p class=soft>Nothing to show.</p>\n", out);
		return;
	}
	top = html_round_up(top);
	svg_begin(out, height, 130, 56, unit);
	for (int i = 0; i <= 2; i++) {
		fprintf(out, "<line x1=\"%d%%\" x2=\"%d%%\" y1=\"0\" y2=\"%d\" class=grid />\n", i * 50, i * 50,
		    height - foot);
		html_count(top * i / 2, text);
		svg_text(out, i * 50, 0, height - foot + 15, "middle", text);
	}
	for (size_t i = 0; i < n; i++) {
		double y = (double)i * row, w = bars[i].hb_value / top * 100;

		fprintf(out, "<rect y=\"%.0f\" width=\"%.2f%%\" height=\"%d\" rx=2 class=bar />\n", y + 3,
		    w < 0.3 ? 0.3 : w, row - 6);
		svg_text(out, 0, -7, y + 15, "end", bars[i].hb_name);
		html_count(bars[i].hb_value, text);
		svg_text(out, w, 5, y + 15, "start", text);
	}
	svg_text(out, 50, 0, height - 4, "middle", unit);
	svg_end(out);
}

static const char *
time_text(double ns, char buf[static 16])
{
	if (ns < 1e3)
		snprintf(buf, 16, "%.0f ns", ns);
	else if (ns < 1e6)
		snprintf(buf, 16, "%.0f us", ns / 1e3);
	else if (ns < 1e9)
		snprintf(buf, 16, "%.0f ms", ns / 1e6);
	else
		snprintf(buf, 16, "%.0f s", ns / 1e9);
	return buf;
}

static double
pair(const json_t *pairs, size_t i, size_t which)
{
	return json_number_value(json_array_get(json_array_get(pairs, i), which));
}

/* => of a bucket's upper bound: it holds what took 2^octave ns or more and less than twice that */
static int
octave_of(double bound)
{
	return bound >= 2 ? ilogb(bound) - 1 : 0;
}

static void
histogram_bars(FILE *out, const json_t *pairs, int first, double wide, double max, int top, int floor)
{
	char text[16];

	for (size_t i = 0; i < json_array_size(pairs); i++) {
		double n = pair(pairs, i, 1), h = n / max * (floor - top);

		h = h < 1 ? 1 : h;
		fprintf(out, "<rect x=\"%.2f%%\" y=\"%.1f\" width=\"%.2f%%\" height=\"%.1f\" class=bar><title>%.0f "
		    "below %s</title></rect>\n", (octave_of(pair(pairs, i, 0)) - first + 0.05) * wide, floor - h,
		    wide * 0.9, h, n, time_text(pair(pairs, i, 0), text));
	}
}

void
html_histogram(FILE *out, const json_t *pairs, const char *what)
{
	const int top = 22, foot = 40, height = 230, floor = height - foot;
	int first = 63, last = 0;
	double max = 0, wide;
	char text[16];

	for (size_t i = 0; i < json_array_size(pairs); i++) {
		int octave = octave_of(pair(pairs, i, 0));

		first = octave < first ? octave : first;
		last = octave > last ? octave : last;
		max = pair(pairs, i, 1) > max ? pair(pairs, i, 1) : max;
	}
	if (max <= 0 || last > 62)
		return;
	max = html_round_up(max);
	wide = 100.0 / (last - first + 1);
	svg_begin(out, height, 50, 24, what);
	svg_scale(out, top, floor, max, what);
	histogram_bars(out, pairs, first, wide, max, top, floor);
	for (int octave = first; octave <= last + 1; octave += (last - first) / 5 + 1)
		svg_text(out, (octave - first) * wide, 0, floor + 15, "middle", time_text(ldexp(1, octave), text));
	svg_text(out, 50, 0, height - 4, "middle", "time it took; each bar twice the last");
	svg_end(out);
}
