/*
 * Scripted interleavings: a test says in which order its LWPs pass which points.
 *
 *	SCRIPT("b until test(loaded); a until pte; b until test(stored); a until done",
 *	    { "a", NULL, reviser, pg }, { "b", tm_proc, storer, NULL });
 *
 * A step is `LWP... until WHAT`: the first LWP runs until that; the others, in their order, only
 * where it cannot go on (it sleeps, or spins).  Whoever is not in the step stands still, in the
 * middle of whatever it does, with its CPU and its locks.  WHAT is
 *
 *	done		it has returned
 *	blocked		it sleeps or spins, and nobody in the step, no daemon and no time ends that
 *	KIND		a point of that kind (host/sched.def): lock, try, pte, io, ...; it is about to
 *			do it, or with `unlock` has just done it
 *	KIND(NAME)	at that object: a name from script_object(), script_lock() or script_rwlock(), with
 *			`test` one from script_point()
 *	point		any point of it; or its end, if that comes first
 *
 * and `xN` behind a KIND or `point` counts: the N-th.  All other LWPs (idle ones, daemons, the test
 * itself) run whenever those of the step cannot.  After the last step everybody is free.  There must be a CPU for
 * each LWP of the script, and one more.  An LWP without a function is one that there is already, by its
 * name: `{ "pgdaemon" }` stands still, too, where it is not in the step.
 *
 * A script that cannot go on fails, and says at which step, and where everybody stands.  What the LWPs
 * share must be atomic: no lock orders it.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdint.h>
#include <sys/mutex.h>
#include <sys/rwlock.h>
#include <uvm/uvm_proc.h>

struct script_lwp {
	const char *sl_name;
	struct proc *sl_proc;		/* or NULL */
	void	  (*sl_fn)(void *);	/* or NULL: it runs already */
	void	   *sl_arg;
};

/* => before boot: the machine is under control until script_end(), after its shutdown */
void	script_begin(void);
void	script_end(void);
/* => that object of points has a name, a string that stays */
void	script_object(const char *name, uint32_t object);
void	script_lock(const char *name, const kmutex_t *);
void	script_rwlock(const char *name, const krwlock_t *);
/* => a point of the test's own: `test(name)` */
void	script_point(const char *name);
/* => makes the LWPs, runs the script, waits for their end */
void	script_run(const char *file, int line, const char *text, const struct script_lwp *, int n);
/* => points that the n-th of them passed in the last script */
uint64_t script_points(int lwp);
#define	SCRIPT(text, ...)	do {							\
	const struct script_lwp sc_[] = { __VA_ARGS__ };				\
	script_run(__FILE__, __LINE__, (text), sc_, (int)(sizeof(sc_) / sizeof(sc_[0])));	\
} while (0)

#endif /* SCRIPT_H */
