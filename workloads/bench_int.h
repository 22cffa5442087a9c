/*
 * What benchmarks share.
 */
#ifndef WORKLOADS_BENCH_INT_H
#define WORKLOADS_BENCH_INT_H

#include <harness/engine.h>

/* => ns of one of the turns that a call of batch() makes: of several calls the best, without the
 *    first, which warms up.  Thread context. */
double	bench_best_ns(void (*batch)(void *arg), void *arg, unsigned turns);
/* => sorts v */
double	bench_median(double *v, size_t n);
/* => a row in ns, less is better; more references may be added */
struct bench_row *bench_add_ns(struct bench_table *, const char *name, double ns,
	    const char *refname, double ref);

#endif /* WORKLOADS_BENCH_INT_H */
