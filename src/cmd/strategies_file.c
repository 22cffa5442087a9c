/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file of a table of strategies: its cells, from which it is resumed, and their medians.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "run.h"
#include "strategies.h"
#include "uvmstress_config.h"

#define SCHEMA		"uvmstress-strategies/2"

static json_t *
json_cells(const struct strategies *sr)
{
	json_t *array = xcheck(json_array());

	for (size_t i = 0; i < sr->sr_ncells; i++) {
		const struct cell *ce = &sr->sr_cells[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:i, s:b, s:I, s:f, s:f, s:s}", "bug", ce->ce_bug,
		    "strategy", museum_strategies[ce->ce_strategy].ms_name, "seed", (int)ce->ce_seed,
		    "found", (int)ce->ce_found, "executions", (json_int_t)ce->ce_executions,
		    "wall_s", ce->ce_wall_s, "cpu_s", ce->ce_cpu_s, "by", ce->ce_by));
	}
	return array;
}

/* => null for what is no number */
static json_t *
number_or_null(double value)
{
	return isinf(value) ? json_null() : json_real(value);
}

static json_t *
json_figures(const struct strategies *sr)
{
	json_t *array = xcheck(json_array());

	for (const struct museum_bug *mb = museum_bugs; mb->mb_name != NULL; mb++)
		for (unsigned i = 0; museum_strategies[i].ms_name != NULL; i++) {
			const struct figure fi = strategies_figure(sr, mb->mb_name, i);

			if (fi.fi_cells != 0)
				json_array_append_new(array, json_pack("{s:s, s:i, s:s, s:i, s:i, s:o, s:o, s:o}", "bug",
				    mb->mb_name, "depth", mb->mb_depth, "strategy", museum_strategies[i].ms_name,
				    "seeds", (int)fi.fi_cells, "found", (int)fi.fi_found,
				    "median_executions", number_or_null(fi.fi_executions),
				    "median_wall_s", number_or_null(fi.fi_wall_s),
				    "median_cpu_s", number_or_null(fi.fi_cpu_s)));
		}
	return array;
}

int
strategies_write(const struct strategies *sr)
{
	json_t *root = json_pack("{s:s, s:s, s:f, s:o, s:o}", "schema", SCHEMA, "version", UVMSTRESS_VERSION,
	    "limit_cpu_s", sr->sr_options->mo_limit_s, "medians", json_figures(sr), "cells", json_cells(sr));

	return museum_write(sr->sr_options, root);
}

/* => one of the file's cells; false: it is none */
static bool
read_cell(struct strategies *sr, json_t *from)
{
	const char *bug, *strategy, *by;
	struct cell ce = { .ce_strategy = 0 };
	json_int_t executions, seed;
	int found;

	if (json_unpack(from, "{s:s, s:s, s:I, s:b, s:I, s:F, s:F, s:s}", "bug", &bug, "strategy", &strategy,
	    "seed", &seed, "found", &found, "executions", &executions, "wall_s", &ce.ce_wall_s,
	    "cpu_s", &ce.ce_cpu_s, "by", &by) != 0 || seed < 1 || seed > INT32_MAX || executions < 0)
		return false;
	while (museum_strategies[ce.ce_strategy].ms_name != NULL &&
	    strcmp(museum_strategies[ce.ce_strategy].ms_name, strategy) != 0)
		ce.ce_strategy++;
	if (museum_strategies[ce.ce_strategy].ms_name == NULL ||
	    strategies_cell(sr, bug, ce.ce_strategy, (unsigned)seed) != NULL)
		return false;
	ce.ce_bug = xstrdup(bug);
	ce.ce_by = xstrdup(by);
	ce.ce_seed = (unsigned)seed;
	ce.ce_found = found != 0;
	ce.ce_executions = (uint64_t)executions;
	strategies_add(sr, &ce);
	return true;
}

int
strategies_read(struct strategies *sr)
{
	const char *path = sr->sr_options->mo_json, *schema;
	json_error_t err;
	json_t *root, *cells, *row;
	double limit;
	bool good;
	size_t i;

	if (access(path, F_OK) != 0)
		return EXIT_CLEAN;
	root = json_load_file(path, 0, &err);
	if (root == NULL)
		return cmd_fail(EXIT_USAGE, "%s:%d: %s", path, err.line, err.text);
	good = json_unpack(root, "{s:s, s:F, s:o}", "schema", &schema, "limit_cpu_s", &limit, "cells", &cells) == 0 &&
	    strcmp(schema, SCHEMA) == 0 && json_is_array(cells);
	if (good && fabs(limit - sr->sr_options->mo_limit_s) > 1e-6) {
		json_decref(root);
		return cmd_fail(EXIT_USAGE, "%s was made with --limit %gs: say the same, or write another file", path,
		    limit);
	}
	if (good)
		json_array_foreach(cells, i, row)
			good = good && read_cell(sr, row);
	json_decref(root);
	return good ? EXIT_CLEAN :
	    cmd_fail(EXIT_USAGE, "%s is not what --strategies has written: remove it, or write another file", path);
}
