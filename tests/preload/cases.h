/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Conformance cases of the auditor for pthread programs.
 *
 * Each case is a small pthread program of its own process, that knows nothing of auditors.
 * One that must be reported stands beside its legal twin, as like it as can be, which must
 * not.  No case hangs where it is audited: who goes which way is decided by joins.
 */
#ifndef PRELOAD_CASES_H
#define PRELOAD_CASES_H

#include <pthread.h>

struct preload_case {			/* stable */
	const char *pc_name;
	const char *pc_rule;		/* that must be reported; NULL: nothing may be */
	const char *pc_grade;		/* of the finding; NULL: any */
	void	  (*pc_run)(void);
	const char *pc_twin;		/* what is as like it as can be, and legal */
};
extern const struct preload_case order_cases[], misuse_cases[], wait_cases[];	/* no name ends */

/* => fn(arg) on a thread of its own, to its end */
void in_thread(void *(*fn)(void *), void *arg);
/* => the process is killed by SIGALRM when all its threads sleep on: for those that really hang */
void killed_asleep(void);
/* => the main thread is asleep, in whatever it is about to call */
void until_main_sleeps(void);
/* => what must not fail in the cases themselves */
void must(int error);

#define LOCK(m)		must(pthread_mutex_lock(m))
#define UNLOCK(m)	must(pthread_mutex_unlock(m))
#define RDLOCK(rw)	must(pthread_rwlock_rdlock(rw))
#define WRLOCK(rw)	must(pthread_rwlock_wrlock(rw))
#define RWUNLOCK(rw)	must(pthread_rwlock_unlock(rw))

#endif /* PRELOAD_CASES_H */
