/*
 * What went wrong: kept by whoever finds it, told by the clock while the load goes on.
 *
 * Violations come from any thread, at any IPL, with any lock held: the sink only
 * appends to a list of its own.  A fatal one goes to the caller at once.  The others are
 * told by a thread that holds nothing, out of a copy, so that nobody waits for a terminal
 * or a disk; what the lock auditor knew by then goes with them.
 */
#include <stdarg.h>
#include <unistd.h>

#include <harness/checks.h>
#include <harness/lockgraph.h>
#include <harness/show.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>

#include "engine_found.h"

#define	KEPT		64		/* more are counted, not kept */
#define	PATIENCE_NS	UINT64_C(20000000000)	/* of a fatal end, for what is just being told */

/*
 *	:  stable after found_init()	l  fd_lock	@  atomic	c  the clock only
 */
static struct {
	const struct profile	 *fd_profile;	/* : */
	const struct run_options *fd_options;	/* : */
	struct run_result	 *fd_result;	/* l: its violations, its series */
	struct host_lock	  fd_lock;
	uint64_t		  fd_serious;	/* l, read @ */
	uint64_t		  fd_order;	/* l, read @: of the lock auditor, not among those */
	size_t			  fd_kept;	/* l, read @: violations in the result */
	size_t			  fd_told;	/* c: of which the caller knows */
	bool			  fd_telling;	/* @: set with l */
} found;

static __thread bool telling;		/* this thread is the one that tells */

/* --- last words: system calls only --- */

#define	LAST_EVENTS	24		/* of each CPU */

struct last {
	const char	*la_why;
	void *const	*la_pcs;
	int		 la_n;
};

static void __attribute__((format(printf, 2, 3)))
say(int fd, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);	/* numbers and strings: it allocates nothing */
	va_end(ap);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (n > 0 && write(fd, line, (size_t)n) < 0)
		return;
}

static void
say_more(int fd, void *arg)
{
	extern const char __executable_start[], etext[];
	static struct kern_history_ent ev[LAST_EVENTS];
	const struct last *la = arg;
	char what[160];

	say(fd, "\nThis is all that could be told: %s.\n\n", la->la_why);
	for (int i = 0; i < la->la_n; i++) {
		const char *pc = la->la_pcs[i];

		if (pc >= __executable_start && pc < etext)
			say(fd, "    #%d uvmstress+%#lx\n", i, (unsigned long)(pc - __executable_start));
		else
			say(fd, "    #%d %p\n", i, la->la_pcs[i]);
	}
	for (int c = 0; cpus != NULL && c < ncpu; c++) {
		const size_t n = kernhist_copy(&cpus[c], ev, LAST_EVENTS);

		say(fd, "\nThe last events of CPU %d:\n", c);
		for (size_t i = 0; i < n; i++) {
			kernhist_say(&ev[i], what, sizeof(what));
			say(fd, "    LWP %-4u%s %s\n", ev[i].ke_lwp, ev[i].ke_intr != 0 ? " interrupt:" : "", what);
		}
	}
}

static void
last_words(const char *kind, const char *message, const char *why, void *const *pcs, int n)
{
	struct last la = { why, pcs, n };

	found.fd_options->ro_last(found.fd_options->ro_arg, kind, message, say_more, &la);
}

void
found_fini(void)
{
	host_last_words(NULL);
}

void
found_init(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	memset(&found, 0, sizeof(found));
	found.fd_profile = p;
	found.fd_options = ro;
	found.fd_result = rr;
	host_last_words(ro->ro_last != NULL ? last_words : NULL);
}

uint64_t
found_serious(void)
{
	return __atomic_load_n(&found.fd_serious, __ATOMIC_RELAXED);
}

uint64_t
found_all(void)
{
	return found_serious() + __atomic_load_n(&found.fd_order, __ATOMIC_RELAXED);
}

/* --- the sink --- */

bool
is_auditors(const char *frame)
{
	static const char *const names[] = { "report+", "lo_", "lockorder_", "lockdebug_", "lockevent_",
		"lockstate_", "lockdirect_", "deadlock+" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(frame, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* => what its finder had to say; of a machine that has come to its end, all LWPs too */
static void
record_details(const struct violation *v, struct result_violation *rv)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	if (v->v_details != NULL)
		fputs(v->v_details, out);
	if (v->v_fatal && v->v_kind != VIOL_HANG && cpus != NULL) {	/* the watchdog has */
		show_machine(out);
		show_lwps(out);
	}
	fclose(out);
	if (len != 0)
		result_violation_details(rv, text);
	free(text);
}

/* => the last event of a controlled schedule; 0: it is none */
static uint64_t
last_event(void)
{
	struct host_sched_stat hst;

	if (!host_controlled())
		return 0;
	host_sched_stat(&hst);
	return hst.hst_events - 1;	/* a thread that runs has had one */
}

/* => fd_lock held */
static void
record(const struct violation *v)
{
	struct result_violation *rv;
	char text[2048];

	rv = result_add_violation(found.fd_result, violation_kind_name[v->v_kind], v->v_id,
	    v->v_message);
	if (v->v_grade != NULL)
		result_violation_grade(rv, v->v_grade, v->v_fingerprint);
	rv->rv_cpu = v->v_cpu;
	rv->rv_time_s = engine_elapsed_s();
	rv->rv_event = last_event();
	for (int i = 0; i < v->v_nstack; i++) {
		host_symbolise(v->v_stack[i], text, sizeof(text));
		if (v->v_grade == NULL || rv->rv_nstack != 0 || !is_auditors(text))
			result_violation_frame(rv, text);
		/* what is below is the host's, and without symbols has names of others */
		if (strncmp(text, "thread_main+", 12) == 0 || strncmp(text, "pool_main+", 10) == 0 ||
		    strncmp(text, "main+", 5) == 0)
			break;
	}
	if (v->v_lwp != NULL && v->v_lwp[0] != '\0')
		result_violation_lwp(rv, v->v_lwp);
	for (int i = 0; i < v->v_nheld; i++)
		result_violation_held(rv, v->v_held[i]);
	if (v->v_grade == NULL)			/* the auditor's stories have all that */
		show_violation(v, rv);
	record_details(v, rv);
	story_found(rv);
	__atomic_store_n(&found.fd_kept, found.fd_result->rr_nviolations, __ATOMIC_RELAXED);
}

/* => what the lock auditor found: memory is as it should be, and so the load goes on */
static bool
of_order(const struct violation *v)
{
	return !v->v_fatal && (v->v_kind == VIOL_LOCK_ORDER || v->v_kind == VIOL_LOCK_ASSERTION ||
	    v->v_kind == VIOL_INTERRUPT_CONTEXT);
}

/*
 * => fd_lock held, and kept for good.  Who is telling writes the same files: let him end, unless
 *    it is he who fails, or he takes for ever.
 */
static void
fatal(const struct violation *v)
{
	const uint64_t until = host_wall_ns() + PATIENCE_NS;
	unsigned spins = 0;

	/* acquire: pairs with the release in found_tell() */
	while (!telling && __atomic_load_n(&found.fd_telling, __ATOMIC_ACQUIRE) &&
	    host_wall_ns() < until)
		host_relax(&spins);
	found.fd_result->rr_elapsed_s = engine_elapsed_s();
	if (found.fd_options->ro_timeline != NULL)
		timeline_capture(found.fd_options->ro_timeline);
	if (v->v_kind != VIOL_CRASH)	/* maybe with the auditor's lock held */
		engine_audit(found.fd_result, found.fd_profile, true);
	checks_result(found.fd_result);
	schedule_note(found.fd_result);
	found.fd_options->ro_fatal(found.fd_options->ro_arg, found.fd_result);
}

bool
found_sink(const struct violation *v)
{
	const bool goes_on = of_order(v) && !found.fd_profile->p_machine.ms_audit_stop;

	/* Such schedules look for a deadlock: what makes one possible has been told before. */
	if (goes_on && found.fd_profile->p_machine.ms_schedule == SCHED_DIRECT)
		return true;
	if (!goes_on)
		engine_stop();
	check_violated(v->v_id);
	host_lock(&found.fd_lock);
	if (found_all() < KEPT || v->v_fatal)
		record(v);
	if (goes_on)
		__atomic_store_n(&found.fd_order, found.fd_order + 1, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&found.fd_serious, found.fd_serious + 1, __ATOMIC_RELAXED);
	if (v->v_fatal && found.fd_options->ro_fatal != NULL)
		fatal(v);
	host_unlock(&found.fd_lock);
	return !v->v_fatal;
}

/* --- telling --- */

void
found_tell(void)
{
	const struct run_options *ro = found.fd_options;
	struct run_result now;

	/* A fatal end keeps the lock and tells everything itself. */
	if (ro->ro_violation == NULL ||
	    __atomic_load_n(&found.fd_kept, __ATOMIC_RELAXED) == found.fd_told ||
	    !host_trylock(&found.fd_lock))
		return;
	result_snapshot(&now, found.fd_result);
	telling = true;
	__atomic_store_n(&found.fd_telling, true, __ATOMIC_RELAXED);
	host_unlock(&found.fd_lock);
	now.rr_elapsed_s = engine_elapsed_s();
	engine_audit(&now, found.fd_profile, false);
	ro->ro_violation(ro->ro_arg, &now, found.fd_told);
	found.fd_told = now.rr_nviolations;
	run_result_fini(&now);
	telling = false;
	/* release: pairs with the acquire in fatal(): the files are written */
	__atomic_store_n(&found.fd_telling, false, __ATOMIC_RELEASE);
}

void
found_sample(const struct run_progress *rp)
{
	if (!host_trylock(&found.fd_lock))	/* somebody writes all of it down */
		return;
	result_sample(&found.fd_result->rr_series, rp->rp_elapsed_s, rp->rp_faults, rp->rp_operations);
	host_unlock(&found.fd_lock);
}
