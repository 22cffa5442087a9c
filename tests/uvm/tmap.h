/*
 * Shared by the tests of maps, system calls and processes: one process on a
 * booted machine, and address space drawn in lanes.
 *
 * A lane has one character per page from TM_BASE on: '.' is a hole, else a letter
 * for the kind of mapping (tm_put) or for the entry (tm_shape: a, b, c in order,
 * so "aab.c" is three entries).
 */
#ifndef TMAP_H
#define TMAP_H

#include "tuvm.h"

#define	TM_BASE		0x40000000UL
#define	TM_PAGES	64			/* longest lane */
#define	TM_VA(page)	(TM_BASE + ptoa((vaddr_t)(page)))

/* => lwp0 runs in a new process of a machine with so many CPUs. */
void	tm_boot(int ncpus, uint64_t npages);
/* => the process exits; nothing leaks; every invariant holds. */
void	tm_shutdown(void);
extern struct proc *tm_proc;
extern struct uvm_object *tm_obj;		/* an aobj that 'o' and 'p' map */

struct vm_map *tm_map(struct proc *);
/* => uvm_map_check() finds nothing */
void	tm_check(struct proc *);

/*
 * Kinds:	a  private memory, rw		s  shared memory, rw
 *		r  private memory, read only	n  private memory, rw, never merged
 *		o  tm_obj at the page's offset	p  tm_obj, 1000 pages further on
 *		q  as o, but private
 * => mapped with FIXED | UNMAP, one uvm_map() per run of letters; 0 or its errno
 */
int	tm_put_at(struct proc *, int page, int n, char kind);
/* => every run of the lane */
void	tm_put(struct proc *, const char *lane);
/* => the entries in the lane's first n pages; a static buffer */
const char *tm_shape(struct proc *, int n);
#define	TM_SHAPE(p, lane)	CHECK_STR(tm_shape((p), (int)strlen(lane)), (lane))
#define	CHECK_STR(a, b)	do {							\
	const char *ks_a = (a), *ks_b = (b);					\
	if (strcmp(ks_a, ks_b) != 0)						\
		ktest_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, ks_a, ks_b); \
} while (0)

/* => word 0 of the page, by the current LWP; the access must succeed */
void	tm_store(int page, uint64_t);
uint64_t tm_load(int page);
/* => the errno of the access */
int	tm_store_error(int page);
int	tm_load_error(int page);
/* => the same, by an LWP of another process */
uint64_t tm_load_in(struct proc *, int page);
void	tm_store_in(struct proc *, int page, uint64_t);
/* => the page that va is mapped to by the pmap, or NULL; its wirings */
struct vm_page *tm_page(struct proc *, int page);
uint32_t tm_wire_count(struct proc *, int page);
/* => the entry that has the page; the anon of a page that is mapped, for who stands alone */
struct vm_map_entry *tm_entry(struct proc *, int page);
struct vm_anon *tm_anon(int page);

/* => violations are counted instead of fatal; the ids seen, in order, separated by spaces */
void	tm_collect(void);
extern char tm_seen[256];

/* Threads of a process, or of none, that run until told to stop, or to their end. */
struct tm_thread {
	struct lwp	*tt_lwp;
	void		(*tt_fn)(struct tm_thread *);
	void		*tt_arg;
	int		 tt_number;
	uint64_t	 tt_rounds;
};
void	tm_start(struct proc *, struct tm_thread *, int n, void (*fn)(struct tm_thread *), void *arg);
void	tm_wait(struct tm_thread *, int n);
/* => at the user boundary; false: stop now */
bool	tm_go_on(struct tm_thread *);
void	tm_stop(void);

#endif /* TMAP_H */
