/*
 * Self-test of the lock auditor: which of its circles come true.
 *
 * A case that made a circle of locks is done again under directed schedules, its LWPs at the same time
 * (they never met before).  One that can deadlock does, in a few of them; the schedule is followed
 * once more by its log, and deadlocks again after the same events.  One that cannot, because of
 * a gate, of readers alone or because one LWP goes all its ways, comes to its end in every one.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/lockgraph.h>
#include <host/sched.h>
#include <sys/lockdirect.h>
#include <sys/lockevent.h>

#include "selftest_int.h"

#define	SCHEDULES	12		/* for a circle */
#define	LOG_MAX		65536
#define	CASE_SECONDS	20
#define	LWPS		8

/* Shared with the child: its, until it is dead. */
static struct graded {
	bool	 gr_end, gr_deadlock, gr_stranger, gr_stuck;
	uint64_t gr_hash;
	size_t	 gr_loglen;
	uint8_t	 gr_log[LOG_MAX];
	char	 gr_text[600];
	/* of the case as it was */
	bool	 gr_found;			/* something about the order between locks */
	enum lockgraph_grade gr_grade;
	char	 gr_circle[240];		/* ""; "A>B>A" */
} *graded;

bool st_at_once;			/* : this child's LWPs are not waited for one by one */
static struct { struct lwp *l; void (*fn)(void); } started[LWPS];
static int nstarted;			/* lwp0 */

static void __attribute__((noreturn))
leave(void)
{
	kill(getpid(), SIGKILL);
	_exit(1);
}

/* --- the case as it is --- */

void
st_note_grade(void)
{
	const struct lockgraph *lg = lockorder_export();

	for (uint32_t i = 0; i < lg->lg_nfindings; i++) {
		const struct lockgraph_finding *v = &lg->lg_findings[i];

		if (strcmp(v->lgv_kind, "lock-order") != 0)
			continue;
		graded->gr_found = true;
		graded->gr_grade = v->lgv_grade;
		if (lockgraph_circle(lg, v, graded->gr_circle, sizeof(graded->gr_circle)))
			return;
	}
}

void
st_grade_reset(void)
{
	memset(graded, 0, sizeof(*graded));
}

/* --- its LWPs at once --- */

static void
call(void *arg)
{
	(*(void (**)(void))arg)();
}

void
st_start(void (*fn)(void))
{
	KASSERT(nstarted < LWPS);
	started[nstarted].fn = fn;
	if (lwp_create(&started[nstarted].l, NULL, "case", call, &started[nstarted].fn) != 0)
		panic("selftest: no LWP");
	lwp_start(started[nstarted++].l);
}

/* => the schedule so far, for the parent */
static void
keep_log(void)
{
	const struct host_log *hl = host_sched_log();
	struct host_sched_stat hst;

	host_sched_stat(&hst);
	graded->gr_hash = hst.hst_hash;
	graded->gr_loglen = hl->hl_len <= LOG_MAX ? hl->hl_len : 0;
	memcpy(graded->gr_log, hl->hl_bytes, graded->gr_loglen);
}

static bool
sink(const struct violation *v)
{
	if (!v->v_fatal)
		return true;			/* told before */
	graded->gr_deadlock = v->v_grade != NULL && strcmp(v->v_grade, "confirmed") == 0;
	graded->gr_stranger = !graded->gr_deadlock;
	snprintf(graded->gr_text, sizeof(graded->gr_text), "%s", v->v_message);
	keep_log();
	leave();
}

static void
stuck(void)
{
	lockdirect_stuck(0);
	graded->gr_stuck = true;
	leave();
}

static void __attribute__((noreturn))
child(void (*fn)(int), int arg, const char *circle, uint64_t seed, const struct host_log *log)
{
	const struct kern_config kc = { .kc_ncpu = 4, .kc_seed = 1 };
	struct host_sched_config hsc = {
		.hsc_strategy = log != NULL ? &host_strategy_replay : &host_strategy_direct,
		.hsc_seed = seed, .hsc_log = log, .hsc_deadlock = stuck,
	};

	signal(SIGALRM, SIG_DFL);
	alarm(CASE_SECONDS);
	if (freopen("/dev/null", "w", stderr) == NULL)
		_exit(2);
	lockdebug_on = lockaudit_full = true;
	failure_sink = sink;
	hsc.hsc_places = lockdirect_set(circle);
	if (host_sched_begin(&hsc) != 0 || kern_boot(&kc) != 0)
		_exit(2);
	st_at_once = true;
	fn(arg);
	for (int i = 0; i < nstarted; i++)
		lwp_wait(started[i].l);
	graded->gr_end = true;
	leave();
}

/* => it came to some end; or why not */
static const char *
once(void (*fn)(int), int arg, const char *circle, uint64_t seed, const struct host_log *log)
{
	int status;
	pid_t pid;

	graded->gr_end = graded->gr_deadlock = graded->gr_stranger = graded->gr_stuck = false;
	pid = fork();
	if (pid == 0)
		child(fn, arg, circle, seed, log);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "the host cannot fork";
	if (graded->gr_stranger)
		return graded->gr_text;
	if (graded->gr_stuck || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
		return "a directed schedule hangs, and not in the circle";
	return graded->gr_end || graded->gr_deadlock ? NULL : "a directed schedule dies";
}

/* => the deadlock that was just found is found again by its log; or why not */
static const char *
again(void (*fn)(int), int arg, const char *circle)
{
	static uint8_t bytes[LOG_MAX];
	const struct host_log log = { bytes, graded->gr_loglen, graded->gr_loglen };
	const uint64_t hash = graded->gr_hash;
	const char *why;

	memcpy(bytes, graded->gr_log, graded->gr_loglen);
	why = once(fn, arg, circle, 1, &log);
	if (why != NULL)
		return why;
	return graded->gr_deadlock && graded->gr_hash == hash ? NULL : "its replay does not deadlock so";
}

const char *
st_grade(void (*fn)(int), int arg, const char **why)
{
	static const char *const names[] = { [LOCKGRAPH_UNCONFIRMED] = "unconfirmed",
		[LOCKGRAPH_GUARDED] = "guarded", [LOCKGRAPH_LATENT] = "latent" };
	const enum lockgraph_grade grade = graded->gr_grade;
	char circle[sizeof(graded->gr_circle)];

	*why = NULL;
	if (graded->gr_circle[0] == '\0')
		return graded->gr_found ? "one way" : "";
	snprintf(circle, sizeof(circle), "%s", graded->gr_circle);
	for (uint64_t seed = 1; seed <= SCHEDULES && *why == NULL; seed++) {
		*why = once(fn, arg, circle, seed, NULL);
		if (*why == NULL && graded->gr_deadlock) {
			*why = again(fn, arg, circle);
			return "confirmed";
		}
	}
	return names[grade];
}

bool
st_grade_begin(void)
{
	graded = mmap(NULL, sizeof(*graded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return graded != MAP_FAILED;
}

void
st_grade_end(void)
{
	munmap(graded, sizeof(*graded));
}
