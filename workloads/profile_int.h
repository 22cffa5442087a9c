/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between those who collect profiles, resolve and check them.
 */
#ifndef PROFILE_INT_H
#define PROFILE_INT_H

#include <harness/profile.h>

/*
 * profile_fail: put one line in the error.  => EINVAL, so that callers can return it
 */
int profile_fail(struct profile_error *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct job *profile_job(const struct profile *, const char *name);	/* or NULL */

/*
 * setting_append: remember key = value at the end of a list.
 * setting_last: the one that counts for key, or NULL.
 */
void setting_append(struct setting **list, const char *key, const char *value,
    const char *where, const char *dir);
const struct setting *setting_last(const struct setting *list, const char *key);

/* => what the user typed, for the head of a message: file, line, key; or the option */
void setting_cite(const struct setting *, char *buf, size_t buflen);

/*
 * job_check: its settings have their values, and go together; it gets its threads, operations and steps.
 * profile_check: likewise all jobs, and the machine.
 * => 0, or EINVAL and the error
 */
int	job_check(struct job *, struct profile_error *);
int	profile_check(const struct profile *, struct profile_error *);

/*
 * operations_parse: job_shares, of what job_operations says.
 * => job_workload is known
 * => 0, or EINVAL and what is wrong with it in why
 */
int	operations_parse(struct job *, char *why, size_t whylen);
/* steps_parse: likewise job_does, of what job_steps says. */
int	steps_parse(struct job *, char *why, size_t whylen);

#endif /* PROFILE_INT_H */
