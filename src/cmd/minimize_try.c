/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One attempt of `minimize`: an execution in a process of its own, which may panic, crash or hang.
 * What it came to it leaves in memory that it shares with its parent.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/engine.h>
#include <harness/xalloc.h>

#include "child.h"
#include "minimize.h"
#include "run.h"

#define	SHARED_BYTES	(UINT64_C(64) << 20)	/* of which is touched what a log needs */
#define	CPU_S		20			/* of an attempt */
#define	WALL_S		240

static struct attempted *shared;	/* the parent's, but while a child runs */

int
attempts_begin(void)
{
	void *mem = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
	    -1, 0);

	if (mem == MAP_FAILED)
		return errno;
	shared = mem;
	return 0;
}

void
attempts_end(void)
{
	munmap(shared, SHARED_BYTES);
	shared = NULL;
}

/* --- in the child --- */

struct child {
	const struct attempt *ch_attempt;
	struct run ch_run;
};

/* => the violation that the attempt was for, or NULL */
static const struct result_violation *
wanted(const struct run_result *rr, const char *print)
{
	char buf[17];

	for (size_t i = 0; i < rr->rr_nviolations; i++) {
		const struct result_violation *rv = &rr->rr_violations[i];

		if (print == NULL ? rv->rv_grade == NULL : strcmp(result_fingerprint(rv, buf), print) == 0)
			return rv;
	}
	return print == NULL && rr->rr_nviolations != 0 ? &rr->rr_violations[0] : NULL;
}

static void
write_story(const void *what, FILE *out)
{
	const struct run_result *rr = what;

	fputs(rr->rr_sched.rs_story != NULL ? rr->rr_sched.rs_story : "", out);
}

static void
leave_files(struct run_result *rr, const char *dir)
{
	char *where = xstrdup(dir), *story = xasprintf("%s/story.txt", dir), why[600];

	result_judge(rr);
	if (report_failure(rr, dir, &where, why, sizeof(why)) != 0 ||
	    report_write(story, write_story, rr, why, sizeof(why)) != 0)
		shared->ad_same = false;
	free(where);
	free(story);
}

static void
publish(struct child *ch)
{
	struct run_result *rr = &ch->ch_run.r_result;
	const struct result_schedule *rs = &rr->rr_sched;
	const struct result_violation *rv = wanted(rr, ch->ch_attempt->at_print);
	char buf[17];

	if (rv == NULL || rs->rs_log == NULL || rs->rs_loglen > SHARED_BYTES - sizeof(*shared))
		return;
	snprintf(shared->ad_print, sizeof(shared->ad_print), "%s", result_fingerprint(rv, buf));
	snprintf(shared->ad_hash, sizeof(shared->ad_hash), "%s", rr->rr_event_hash);
	snprintf(shared->ad_strategy, sizeof(shared->ad_strategy), "%s", rs->rs_strategy);
	snprintf(shared->ad_kind, sizeof(shared->ad_kind), "%s", rv->rv_kind);
	snprintf(shared->ad_id, sizeof(shared->ad_id), "%s", rv->rv_id);
	snprintf(shared->ad_message, sizeof(shared->ad_message), "%s", rv->rv_message);
	shared->ad_load = rs->rs_load;
	shared->ad_switches = rs->rs_switches;
	shared->ad_loglen = rs->rs_loglen;
	memcpy(shared->ad_log, rs->rs_log, rs->rs_loglen);
	shared->ad_same = true;
	if (ch->ch_attempt->at_out != NULL)
		leave_files(rr, ch->ch_attempt->at_out);
}

static void
on_fatal(void *arg, struct run_result *rr)
{
	publish(arg);
	_exit(EXIT_VIOLATION);
}

/* => the profile, or NULL: it cannot be so small */
static struct profile *
profile_of(const struct attempt *at)
{
	struct profile *p = profile_create(workload_table);
	struct profile_error err;
	char seed[24], steps[24];

	snprintf(seed, sizeof(seed), "%ju", (uintmax_t)at->at_seed);
	snprintf(steps, sizeof(steps), "%ju", (uintmax_t)at->at_steps);
	if (profile_parse_buffer(p, "minimized", "", at->at_profile, strlen(at->at_profile), &err) == 0 &&
	    profile_set_global(p, "seed", seed, "minimize", &err) == 0 &&
	    (at->at_steps == 0 || profile_set_global(p, "schedule-steps", steps, "minimize", &err) == 0) &&
	    profile_set_global(p, "iterations", "1", "minimize", &err) == 0 &&
	    profile_resolve(p, &err) == 0 && profile_check_files(p, &err) == 0)
		return p;
	profile_destroy(p);
	return NULL;
}

static void __attribute__((noreturn))
be_attempt(const struct attempt *at)
{
	const struct rlimit cpu = { CPU_S, CPU_S };
	struct child ch = { .ch_attempt = at };
	const struct run_options ro = {
		.ro_fatal = on_fatal, .ro_arg = &ch, .ro_once = true, .ro_follow = at->at_follow,
		.ro_schedule_seed = at->at_schedule,
		.ro_thin = at->at_thin, .ro_nthin = at->at_nthin,
		.ro_story = at->at_out != NULL ? at->at_print : NULL,
	};
	char *argv[] = { (char *)(uintptr_t)"replay", (char *)(uintptr_t)at->at_out };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	signal(SIGINT, SIG_IGN);		/* the parent says when to stop */
	setrlimit(RLIMIT_CPU, &cpu);
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	run_init(&ch.ch_run, at->at_out != NULL ? 2 : 1, argv);
	ch.ch_run.r_profile = profile_of(at);
	if (ch.ch_run.r_profile == NULL) {
		shared->ad_refused = true;
		_exit(EXIT_USAGE);
	}
	run_header(&ch.ch_run);
	if (engine_run(ch.ch_run.r_profile, &ro, &ch.ch_run.r_result) == 0)
		publish(&ch);
	_exit(EXIT_CLEAN);
}

/* --- in the parent --- */

const struct attempted *
attempt(const struct attempt *at)
{
	pid_t pid;

	if (run_stopped())
		return NULL;
	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return NULL;
	if (pid == 0)
		be_attempt(at);
	/* half of it may be written */
	if (!WIFEXITED(child_wait(pid, SIGKILL, WALL_S, INFINITY).ce_status))
		shared->ad_same = false;
	return run_stopped() ? NULL : shared;
}
