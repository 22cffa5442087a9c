/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A table of bugs and strategies, of seeds: selftest_strategies.c runs and prints it,
 * strategies_file.c keeps it.
 */
#ifndef CMD_STRATEGIES_H
#define CMD_STRATEGIES_H

#include "museum.h"

#define STRATEGIES_MAX	8

struct cell {
	char *ce_bug;
	unsigned ce_strategy, ce_seed;
	bool ce_found;
	uint64_t ce_executions;
	double ce_wall_s, ce_cpu_s;
	char *ce_by;			/* who noticed, or what came instead; "" */
};

/* Of the cells of a bug and a strategy. */
struct figure {
	unsigned fi_cells, fi_found;
	double fi_executions, fi_wall_s, fi_cpu_s;	/* medians; INFINITY: half of them are misses */
};

struct strategies {
	const struct museum_options *sr_options;
	bool sr_on[STRATEGIES_MAX];
	char *sr_dir;
	struct cell *sr_cells;
	size_t sr_ncells;
	struct slot *sr_slots;		/* of selftest_strategies.c */
	unsigned sr_nslots;
	double sr_written;		/* when the file was */
};

/* => ce_bug and ce_by are the table's from now on */
void	strategies_add(struct strategies *, const struct cell *);
/* => NULL: it has not been run */
struct cell *strategies_cell(const struct strategies *, const char *bug, unsigned strategy, unsigned seed);
struct figure strategies_figure(const struct strategies *, const char *bug, unsigned strategy);

/* => an exit status, told.  To read: there need be no file yet */
int	strategies_write(const struct strategies *);
int	strategies_read(struct strategies *);

#endif /* CMD_STRATEGIES_H */
