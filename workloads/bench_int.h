/*
 * What benchmarks share.
 */
#ifndef WORKLOADS_BENCH_INT_H
#define WORKLOADS_BENCH_INT_H

#include <harness/bench.h>
#include <uvm/uvm_extern.h>

#define	BENCH_BASE	0x10000000UL	/* where a process has its memory */
/* Of what is to be linear: the time for each page may so much differ, as caches hold few pages and not many. */
#define	BENCH_LINEAR	2.0

/*
 * One way to do the work, and what it cost: ns, or bytes a second, or whatever is compared.
 * => not positive: it could not be done
 */
typedef double bench_way(void *arg);
/*
 * Some ways in turn, so many times over, each time beginning with another; before that once
 * in order, to warm up, unless they make machines of their own, which begin cold each.
 * => v[way][turn]; 0, or ENOMEM: one of them could not be done
 */
int	bench_in_turn(bench_way *const *ways, size_t n, void *arg, size_t turns,
	    bool cold, double v[][BENCH_ROUNDS]);
/* => how many turns there are to be, odd, at most BENCH_ROUNDS */
size_t	bench_turns(const struct bench_options *);

/*
 * A machine of its own and one process on it, for fn(), which runs on CPU 0, attached to it, with
 * audit=order, or without audit.  All its RAM is memory that the host has provided already.
 * => 0, what fn() returned, or an errno of the host
 */
int	bench_machine(const struct uvm_config *, bool audit, int (*fn)(struct proc *, void *), void *arg);
/* => has the host got so much memory left?  If not there is a row that says so */
bool	bench_has_memory(struct bench_table *, const char *name, uint64_t bytes);
/* => attached: stores to each of the pages; 0 or errno */
int	bench_store(vaddr_t va, uint64_t pages);

/* => ns of one of the turns that a call of batch() makes: of several calls the best, without the
 *    first, which warms up.  Thread context. */
double	bench_best_ns(void (*batch)(void *arg), void *arg, unsigned turns);
/* => a row in ns, less is better; more references may be added */
struct bench_row *bench_add_ns(struct bench_table *, const char *name, double ns,
	    const char *refname, double ref);
/* => likewise of several turns of CPU time, without a reference */
struct bench_row *bench_add_cpu_ns(struct bench_table *, const char *name, const double *v, size_t n);

#endif /* WORKLOADS_BENCH_INT_H */
