/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The lock order as a picture: a lock stands below all that it was taken under, as deep as
 * the longest way to it.  An arrow that a longer way implies is left out.  Edges that go
 * back up, which a sound order has none of, are drawn red.
 */
#include <stdbool.h>
#include <string.h>

#include <harness/xalloc.h>

#include "html_int.h"

#define NODES_MAX 128
#define ROW 46
#define COLUMN 118

struct order {
	const char *o_name[NODES_MAX];
	int o_depth[NODES_MAX];
	double o_x[NODES_MAX];
	bool o_edge[NODES_MAX][NODES_MAX];	/* held, wanted */
	bool o_way[NODES_MAX][NODES_MAX];	/* likewise, by any number of steps */
	size_t o_n;
};

/* => its index; NODES_MAX: there is no room */
static size_t
node(struct order *o, const char *name)
{
	size_t i = 0;

	while (i < o->o_n && strcmp(o->o_name[i], name) != 0)
		i++;
	if (i == o->o_n && i < NODES_MAX)
		o->o_name[o->o_n++] = name;
	return i;
}

static void
read_edges(struct order *o, const json_t *edges)
{
	json_t *edge;
	size_t i;

	json_array_foreach(edges, i, edge) {
		const char *held = json_string_value(json_object_get(edge, "held"));
		const char *wanted = json_string_value(json_object_get(edge, "wanted"));
		size_t a, b;

		if (held == NULL || wanted == NULL || strcmp(held, wanted) == 0)
			continue;
		a = node(o, held);
		b = node(o, wanted);
		if (a < NODES_MAX && b < NODES_MAX)
			o->o_edge[a][b] = true;
	}
}

static void
close_ways(struct order *o)
{
	memcpy(o->o_way, o->o_edge, sizeof(o->o_way));
	for (size_t k = 0; k < o->o_n; k++)
		for (size_t i = 0; i < o->o_n; i++)
			for (size_t j = 0; o->o_way[i][k] && j < o->o_n; j++)
				o->o_way[i][j] |= o->o_way[k][j];
}

static bool
in_cycle(const struct order *o, size_t a, size_t b)
{
	return o->o_way[a][b] && o->o_way[b][a];
}

static bool
implied(const struct order *o, size_t a, size_t b)
{
	for (size_t k = 0; k < o->o_n && !in_cycle(o, a, b); k++)
		if (k != a && k != b && o->o_way[a][k] && o->o_way[k][b])
			return true;
	return false;
}

static void
set_depths(struct order *o)
{
	bool moved = true;

	for (size_t round = 0; moved && round < o->o_n; round++) {
		moved = false;
		for (size_t a = 0; a < o->o_n; a++)
			for (size_t b = 0; b < o->o_n; b++)
				if (o->o_edge[a][b] && !in_cycle(o, a, b) && o->o_depth[b] <= o->o_depth[a]) {
					o->o_depth[b] = o->o_depth[a] + 1;
					moved = true;
				}
	}
}

/* => columns of the widest row; rows are centred */
static int
set_columns(struct order *o, int depth)
{
	int widest = 0;

	for (int d = 0; d <= depth; d++) {
		int n = 0;

		for (size_t i = 0; i < o->o_n; i++)
			n += o->o_depth[i] == d;
		widest = n > widest ? n : widest;
	}
	for (int d = 0; d <= depth; d++) {
		int n = 0, k = 0;

		for (size_t i = 0; i < o->o_n; i++)
			n += o->o_depth[i] == d;
		for (size_t i = 0; i < o->o_n; i++)
			if (o->o_depth[i] == d)
				o->o_x[i] = (k++ + 0.5) * widest / n * COLUMN;
	}
	return widest;
}

static void
draw_edge(FILE *out, const struct order *o, size_t a, size_t b)
{
	bool up = o->o_depth[b] <= o->o_depth[a];
	double y1 = o->o_depth[a] * ROW + 15 + (up ? -10 : 10), y2 = o->o_depth[b] * ROW + 15 + (up ? 10 : -10);

	fprintf(out, "<path d=\"M%.0f,%.0fC%.0f,%.0f %.0f,%.0f %.0f,%.0f\" class=\"edge%s\"><title>", o->o_x[a], y1,
	    o->o_x[a], (y1 + y2) / 2, o->o_x[b], (y1 + y2) / 2, o->o_x[b], y2, in_cycle(o, a, b) ? " cycle" : "");
	html_text(out, o->o_name[b]);
	fputs(" taken while ", out);
	html_text(out, o->o_name[a]);
	fputs(" is held</title></path>\n", out);
}

static void
draw(FILE *out, const struct order *o, int columns, int depth)
{
	fprintf(out, "<div class=scroll><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=img aria-label=\"lock order\">\n",
	    columns * COLUMN, (depth + 1) * ROW, columns * COLUMN);
	for (size_t a = 0; a < o->o_n; a++)
		for (size_t b = 0; b < o->o_n; b++)
			if (o->o_edge[a][b] && !implied(o, a, b))
				draw_edge(out, o, a, b);
	for (size_t i = 0; i < o->o_n; i++) {
		double w = 7.0 * (double)strlen(o->o_name[i]) + 14;

		fprintf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=20 rx=4 class=node /><text x=\"%.1f\" "
		    "y=\"%d\" text-anchor=middle>", o->o_x[i] - w / 2, o->o_depth[i] * ROW + 5, w, o->o_x[i],
		    o->o_depth[i] * ROW + 19);
		html_text(out, o->o_name[i]);
		fputs("</text>\n", out);
	}
	fputs("</svg></div>\n", out);
}

void
html_order(FILE *out, const json_t *edges)
{
	struct order *o = xcalloc(1, sizeof(*o));
	int depth = 0;

	read_edges(o, edges);
	if (o->o_n != 0) {
		close_ways(o);
		set_depths(o);
		for (size_t i = 0; i < o->o_n; i++)
			depth = o->o_depth[i] > depth ? o->o_depth[i] : depth;
		draw(out, o, set_columns(o, depth), depth);
	} else {
		fputs("<p class=soft>The run's locks were not audited.</p>\n", out);
	}
	free(o);
}
