/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Job files, step three: what concerns several values at once (threads and processes, jobs and
 * memory, schedules and interrupts), and files that must be there.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/profile.h>

#include "profile_int.h"

#define MB(n) (UINT64_C(n) << 20)

/* --- one job --- */

/* Paths have no sensible default: a row without one must be given. */
static int
check_required(const struct job *job, struct profile_error *err)
{
	const struct workload *wl = job->job_workload;

	for (size_t i = 0; i < wl->wl_noptions; i++) {
		const struct option_row *row = &wl->wl_options[i];

		if (row->opt_type != OPT_PATH || row->opt_default != NULL ||
		    setting_last(job->job_settings, row->opt_key) != NULL)
			continue;
		return profile_fail(err, "%s: [%s]: the key %s is missing; workload %s needs it: %s",
		    job->job_where, job->job_name, row->opt_key, wl->wl_name, row->opt_help);
	}
	return 0;
}

static int
check_threads(struct job *job, struct profile_error *err)
{
	const struct setting *s = setting_last(job->job_settings, "threads");
	char cite[400];

	if (s == NULL || (job->job_workload->wl_common & WL_THREADS) == 0) {
		job->job_threads = job->job_processes;
		return 0;
	}
	if (job->job_threads >= job->job_processes)
		return 0;
	setting_cite(s, cite, sizeof(cite));
	return profile_fail(err, "%s: must be at least the job's processes (%ju), so that each has "
	    "a worker", cite, (uintmax_t)job->job_processes);
}

static int
check_operations(struct job *job, struct profile_error *err)
{
	const char *key = "operations";
	const struct setting *s;
	char cite[400], why[500];
	int error = operations_parse(job, why, sizeof(why));

	if (error == 0) {
		key = "steps";
		error = steps_parse(job, why, sizeof(why));
	}
	if (error == 0)
		return 0;
	s = setting_last(job->job_settings, key);
	setting_cite(s, cite, sizeof(cite));
	return profile_fail(err, "%s: %s", cite, why);
}

int
job_check(struct job *job, struct profile_error *err)
{
	int error = check_required(job, err);

	if (error == 0)
		error = check_operations(job, err);
	return error != 0 ? error : check_threads(job, err);
}

/* --- all of it --- */

static uint64_t
job_footprint(const struct job *job)
{
	if (job->job_workload->wl_footprint != NULL)
		return job->job_workload->wl_footprint(job);
	if ((job->job_workload->wl_common & WL_SIZE) == 0)
		return 0;
	return job->job_processes * job->job_size;
}

/*
 * The jobs must fit with what the machine needs for itself: page tables, map entries,
 * anons and their amaps (about an eighth), and a megabyte for the kernel's own.
 */
static int
check_memory(const struct profile *p, struct profile_error *err)
{
	uint64_t have = p->p_machine.ms_memory + p->p_machine.ms_swap, sum = 0, most = 0;
	const struct setting *s = setting_last(p->p_settings, "memory");
	const struct job *hungry = NULL;
	char need[32], cite[400], jobneed[32];

	for (size_t i = 0; i < p->p_njobs; i++) {
		uint64_t n = job_footprint(p->p_jobs[i]);

		if (n >= most)
			hungry = p->p_jobs[i];
		most = n > most ? n : most;
		if (__builtin_add_overflow(sum, n, &sum))
			sum = UINT64_MAX / 2;
	}
	sum += sum / 8 + (p->p_machine.ms_memory < MB(2) ? p->p_machine.ms_memory / 2 : MB(1));
	if (sum <= have || p->p_machine.ms_overcommit)
		return 0;
	format_size((sum + MB(1) - 1) / MB(1) * MB(1), need, sizeof(need));
	format_size(most, jobneed, sizeof(jobneed));
	if (s != NULL)
		setting_cite(s, cite, sizeof(cite));
	else
		snprintf(cite, sizeof(cite), "%s: memory = 64M (default)", p->p_name);
	return profile_fail(err, "%s: too small, the jobs need at least %s (most of it [%s]: %s)",
	    cite, need, hungry->job_name, jobneed);
}

/* => two names or more, and the first one again */
static bool
is_circle(const char *text)
{
	const size_t len = strcspn(text, ">="), all = strlen(text);
	bool named = len != 0;

	for (const char *p = text; (p = strpbrk(p, ">=")) != NULL; p++)
		named = named && p[1] != '\0' && strchr(">=", p[1]) == NULL;
	return named && all > 2 * len + 1 && strchr(">=", text[all - len - 1]) != NULL &&
	    strncmp(text, text + all - len, len) == 0 && strchr(text, '>') != NULL;
}

static int
check_circle(const struct profile *p, struct profile_error *err)
{
	const struct setting *s = setting_last(p->p_settings, "schedule-circle");
	char cite[400];

	setting_cite(s, cite, sizeof(cite));
	if (!is_circle(p->p_machine.ms_circle))
		return profile_fail(err, "%s: must be names of lock classes, the first one again at the end: "
		    "amap>map>amap", cite);
	if (p->p_machine.ms_schedule == SCHED_FREE)
		return profile_fail(err, "%s: not with schedule = free: say direct, or another controlled one", cite);
	if (p->p_machine.ms_audit == AUDIT_OFF)
		return profile_fail(err, "%s: not with audit = off, which does not know who holds what", cite);
	return 0;
}

/* A signal comes when the host likes. */
static int
check_schedule(const struct profile *p, struct profile_error *err)
{
	const struct setting *s = setting_last(p->p_settings, "interrupts");
	char cite[400];

	if (p->p_machine.ms_schedule != SCHED_FREE && p->p_machine.ms_interrupts != INTR_POLL) {
		setting_cite(s, cite, sizeof(cite));
		return profile_fail(err, "%s: not with a controlled schedule, which could not repeat it: say "
		    "interrupts = poll", cite);
	}
	if (strcmp(p->p_machine.ms_circle, "none") != 0)
		return check_circle(p, err);
	if (p->p_machine.ms_schedule == SCHED_DIRECT)
		return profile_fail(err, "schedule = direct: to which deadlock?  Say schedule-circle = "
		    "CLASS>CLASS>CLASS, or `uvmstress audit`, which does");
	return 0;
}

/* What the machine has one of is for one job. */
static int
check_single(const struct profile *p, struct profile_error *err)
{
	char cite[400];

	for (size_t i = 1; i < p->p_njobs; i++) {
		const struct workload *wl = p->p_jobs[i]->job_workload;

		for (size_t j = 0; j < i && wl->wl_single != NULL; j++) {
			if (p->p_jobs[j]->job_workload != wl)
				continue;
			setting_cite(setting_last(p->p_jobs[i]->job_settings, "workload"), cite, sizeof(cite));
			return profile_fail(err, "%s: %s, and [%s] has it: give that more threads or processes",
			    cite, wl->wl_single, p->p_jobs[j]->job_name);
		}
	}
	return 0;
}

int
profile_check(const struct profile *p, struct profile_error *err)
{
	int error = check_schedule(p, err);

	if (error == 0)
		error = check_single(p, err);
	return error != 0 ? error : check_memory(p, err);
}

/* --- files --- */

static int
check_file(const struct job *job, const struct option_row *row, struct profile_error *err)
{
	const char *path = *(char **)((char *)job->job_options + row->opt_offset);
	const struct setting *s = setting_last(job->job_settings, row->opt_key);
	char cite[400];
	struct stat st;
	int fd, error = 0;

	/* O_NONBLOCK: a fifo would make us wait for its writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0)
		error = errno;
	else if (!S_ISREG(st.st_mode))
		error = -1;
	if (fd >= 0)
		close(fd);
	if (error == 0)
		return 0;
	setting_cite(s, cite, sizeof(cite));
	return profile_fail(err, "%s: cannot read %s: %s", cite, path,
	    error < 0 ? "not a regular file" : strerror(error));
}

int
profile_check_files(const struct profile *p, struct profile_error *err)
{
	for (size_t i = 0; i < p->p_njobs; i++) {
		const struct workload *wl = p->p_jobs[i]->job_workload;

		for (size_t j = 0; j < wl->wl_noptions; j++) {
			int error = 0;

			if (wl->wl_options[j].opt_type == OPT_PATH)
				error = check_file(p->p_jobs[i], &wl->wl_options[j], err);
			if (error != 0)
				return error;
		}
	}
	return 0;
}
