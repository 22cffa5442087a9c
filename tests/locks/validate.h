/*
 * Validators: one for each property that a lock promises.  A lock kind is a row of
 * functions, a test a call with the row.
 *
 * The words in the critical section are plain, so that ThreadSanitizer checks the
 * ordering while the validator checks the exclusion.
 */
#ifndef TESTS_LOCKS_VALIDATE_H
#define TESTS_LOCKS_VALIDATE_H

#include <ktest_kern.h>
#include <sys/mutex.h>
#include <sys/rwlock.h>

struct lock_kind {
	const char *lk_name;
	void	(*lk_init)(void);
	void	(*lk_destroy)(void);
	void	(*lk_enter)(void);
	bool	(*lk_tryenter)(void);
	void	(*lk_exit)(void);
	bool	(*lk_held)(void);
	bool	lk_sleeps;		/* the holder may sleep */
};

extern const struct lock_kind adaptive_mutex, spin_mutex, rwlock_writer;

/* => one holder at a time, every round counted, on this many CPUs */
void	validate_exclusion(const struct lock_kind *, int ncpus, int lwps, int rounds);
/* => the same with tryenter in a loop */
void	validate_try(const struct lock_kind *, int ncpus, int lwps, int rounds);
/* => the same with holders that sleep */
void	validate_sleeping_holder(const struct lock_kind *, int ncpus, int lwps, int rounds);
/* => held() tells the holder from others */
void	validate_owner(const struct lock_kind *);

#endif /* TESTS_LOCKS_VALIDATE_H */
