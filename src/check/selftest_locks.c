/*
 * The self-test of the lock auditor: its runner and its words.
 *
 * Each case is forked, boots a kernel of two CPUs without a machine, with audit=full, and does
 * one thing.
 * What the failure sink was told is passed to the parent in shared memory.  A misuse has
 * been noticed if all that was told is of the wanted rule, or if the panic says the wanted
 * words; a legal twin must come to its end in silence.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/selftest.h>
#include <sys/lockevent.h>

#include "selftest_int.h"

#define	CASE_SECONDS	20

/* What a child says.  All fields: the child until it is dead. */
struct said {
	unsigned	 sd_n;			/* violations */
	bool		 sd_stranger;		/* one of another rule than wanted */
	bool		 sd_panic;
	bool		 sd_end;		/* came to its end */
	char		 sd_text[600];		/* the first one; or the stranger */
};

struct st_lock A, B, C, G;
static struct said *said;
static const char *wanted;		/* rule, or NULL */

/* --- words --- */

void
st_make_as(struct st_lock *l, enum st_kind kind, enum lock_class class, ipl_t ipl)
{
	l->st_kind = kind;
	if (kind == MUTEX || kind == SPIN)
		mutex_init(&l->st_m, kind == SPIN ? MUTEX_SPIN : MUTEX_DEFAULT, ipl, class);
	else
		rw_init(&l->st_rw, class);
}

void
st_make(struct st_lock *l, enum st_kind kind, const char *class)
{
	st_make_as(l, kind, lockdebug_class(class, 0, LO_NEST_NONE, LC_IPL_ANY),
	    kind == SPIN ? IPL_VM : IPL_NONE);
}

void
st_make_abc(int kinds)
{
	st_make(&A, KIND(kinds, 0), "A");
	st_make(&B, KIND(kinds, 1), "B");
	st_make(&C, KIND(kinds, 2), "C");
}

void
take(struct st_lock *l)
{
	if (l->st_kind == MUTEX || l->st_kind == SPIN)
		mutex_enter(&l->st_m);
	else
		rw_enter(&l->st_rw, l->st_kind == READ ? RW_READER : RW_WRITER);
}

bool
try(struct st_lock *l)
{
	if (l->st_kind == MUTEX || l->st_kind == SPIN)
		return mutex_tryenter(&l->st_m);
	return rw_tryenter(&l->st_rw, l->st_kind == READ ? RW_READER : RW_WRITER);
}

void
drop(struct st_lock *l)
{
	if (l->st_kind == MUTEX || l->st_kind == SPIN)
		mutex_exit(&l->st_m);
	else
		rw_exit(&l->st_rw);
}

void
take2(struct st_lock *a, struct st_lock *b)
{
	take(a);
	take(b);
	drop(b);
	drop(a);
}

void
take3(struct st_lock *a, struct st_lock *b, struct st_lock *c)
{
	take(a);
	take2(b, c);
	drop(a);
}

static void
call(void *arg)
{
	void (**fn)(void) = arg;

	(*fn)();
}

void
in_lwp(void (*fn)(void))
{
	struct lwp *l;

	if (st_at_once) {
		st_start(fn);
		return;
	}
	if (lwp_create(&l, NULL, "case", call, &fn) != 0)
		panic("selftest: no LWP");
	lwp_start(l);
	lwp_wait(l);
}

void
in_interrupt(ipl_t ipl, void (*fn)(void))
{
	struct softint *si;

	if (ipl >= IPL_VM) {
		intr_establish(IRQ_DISK, ipl, call, &fn);
		intr_post(curcpu(), IRQ_DISK);
		intr_poll();
		return;
	}
	si = softint_establish(ipl, call, &fn);
	softint_schedule(si);
	intr_poll();
	softint_disestablish(si);
}

/* --- one case --- */

/* => the child is gone, with all its threads; an exit waits for them, in some builds a second */
static void __attribute__((noreturn))
leave(void)
{
	kill(getpid(), SIGKILL);
	_exit(1);
}

static bool
sink(const struct violation *v)
{
	const bool stranger = wanted == NULL || (!v->v_fatal && strcmp(v->v_id, wanted) != 0);

	if (said->sd_n++ == 0 || (stranger && !said->sd_stranger))
		snprintf(said->sd_text, sizeof(said->sd_text), "%s: %s", v->v_id, v->v_message);
	said->sd_stranger = said->sd_stranger || stranger;
	if (v->v_fatal) {
		said->sd_panic = true;
		leave();
	}
	return true;
}

static void __attribute__((noreturn))
child(void (*fn)(int), int arg, bool verbose)
{
	const struct kern_config kc = { .kc_ncpu = 2, .kc_seed = 1 };

	signal(SIGALRM, SIG_DFL);
	alarm(CASE_SECONDS);
	if (!verbose && freopen("/dev/null", "w", stderr) == NULL)
		_exit(2);
	lockdebug_on = lockaudit_full = true;
	failure_sink = sink;
	if (kern_boot(&kc) != 0)
		_exit(2);
	fn(arg);
	st_note_grade();
	said->sd_end = true;
	leave();
}

/* => what went wrong with the case, or NULL; its text is said's */
static const char *
run(void (*fn)(int), int arg, const char *want, bool verbose)
{
	int status;
	pid_t pid;

	memset(said, 0, sizeof(*said));
	st_grade_reset();
	wanted = want;
	pid = fork();
	if (pid == 0)
		child(fn, arg, verbose);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "the host cannot fork";
	if (want == NULL && said->sd_n != 0)
		return said->sd_text;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return "hangs";
	if (want == NULL)
		return said->sd_end ? NULL : "dies";
	if (said->sd_n == 0)
		return said->sd_end ? "nothing was reported" : "dies";
	if (said->sd_panic && strstr(said->sd_text, want) != NULL)
		return NULL;
	return said->sd_stranger || said->sd_panic ? said->sd_text : NULL;
}

/* --- the table --- */

struct score {
	int s_cases, s_failed;
};

static void
verdict(FILE *out, struct score *s, const char *why, const char *good)
{
	s->s_cases++;
	if (why != NULL)
		s->s_failed++;
	fprintf(out, "  %-24.24s", why == NULL ? good : "FAILED");
}

/* The circle of the case that just ran, if there is one. */
static void
run_grade(FILE *out, struct score *s, void (*fn)(int), int arg, const char *grade, char *why_wrong)
{
	const char *why, *is = st_grade(fn, arg, &why);

	if (why == NULL && strcmp(is, grade != NULL ? grade : "") == 0) {
		if (grade != NULL)
			s->s_cases++;
		fprintf(out, " %-12s", grade != NULL ? grade : "");
		return;
	}
	s->s_cases++;
	s->s_failed++;
	fprintf(out, " %-12s", "FAILED");
	sprintf(why_wrong, "%s was wanted of directed schedules, but: %.500s", grade != NULL ? grade : "no circle",
	    why != NULL ? why : *is != '\0' ? is : "no circle");
}

static void
run_row(const struct st_group *g, const struct st_row *row, FILE *out, bool verbose, struct score *s)
{
	char why_bad[700] = "", why_good[700] = "", graded_bad[700] = "", graded_good[700] = "";
	const char *why = run(row->sr_bad, row->sr_badarg, row->sr_want, verbose);

	fprintf(out, "  %-58s", row->sr_name);
	if (why != NULL)
		snprintf(why_bad, sizeof(why_bad), "%s", why);
	verdict(out, s, why, row->sr_want);
	if (verbose && why == NULL)
		snprintf(why_bad, sizeof(why_bad), "%s", said->sd_text);
	if (g->sg_directed)
		run_grade(out, s, row->sr_bad, row->sr_badarg, row->sr_grade, graded_bad);
	if (row->sr_good != NULL) {
		const char *good = run(row->sr_good, row->sr_goodarg, NULL, verbose);

		if (good != NULL)
			snprintf(why_good, sizeof(why_good), "%s", good);
		verdict(out, s, good, "silent");
		if (g->sg_directed)
			run_grade(out, s, row->sr_good, row->sr_goodarg, row->sr_goodgrade, graded_good);
	}
	fprintf(out, "\n");
	if (why != NULL || verbose)
		fprintf(out, "      misuse: %s%s%s\n", why != NULL ? row->sr_want : "",
		    why != NULL ? " was wanted, but: " : "", why_bad);
	if (why_good[0] != '\0')
		fprintf(out, "      legal twin: %s\n", why_good);
	if (graded_bad[0] != '\0')
		fprintf(out, "      misuse: %s\n", graded_bad);
	if (graded_good[0] != '\0')
		fprintf(out, "      legal twin: %s\n", graded_good);
}

static void
run_group(const struct st_group *g, FILE *out, const char *word, bool verbose, struct score *s)
{
	bool head = false;

	for (const struct st_row *row = g->sg_rows; row->sr_name != NULL; row++) {
		if (word != NULL && strstr(row->sr_name, word) == NULL && strstr(g->sg_name, word) == NULL)
			continue;
		if (!head)
			fprintf(out, "%-60s  %-24s%s  %-24s%s\n", g->sg_name, "misuse is reported as",
			    g->sg_directed ? " and it is   " : "", "legal twin is", g->sg_directed ? " and it is" : "");
		head = true;
		run_row(g, row, out, verbose, s);
		fflush(out);
	}
}

int
selftest_locks(FILE *out, const char *word, bool verbose)
{
	static const struct st_group *const groups[] = {
		&selftest_order, &selftest_modes, &selftest_one, &selftest_sleep, &selftest_interrupt,
		&selftest_full,
	};
	struct score s = { 0, 0 };

	if (!UVMSTRESS_LOCKDEBUG) {
		fprintf(out, "this build has no lock debugging: configure it with -Dlockdebug=true\n");
		return -1;
	}
	said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (said == MAP_FAILED || !st_grade_begin()) {
		fprintf(out, "no shared memory: %s\n", strerror(errno));
		return -1;
	}
	fflush(NULL);			/* children have nothing of it to write */
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		run_group(groups[i], out, word, verbose, &s);
	munmap(said, sizeof(*said));
	st_grade_end();
	if (s.s_cases == 0) {
		fprintf(out, "no case has '%s' in its name\n", word);
		return -1;
	}
	fprintf(out, "%d cases, %d wrong\n", s.s_cases, s.s_failed);
	return s.s_failed;
}
