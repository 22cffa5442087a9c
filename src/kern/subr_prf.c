/*
 * panic(), violations and failed assertions.
 *
 * A violation is filled in on the failing thread, with the world still running:
 * what was said, which LWP on which CPU, the locks that it holds and a backtrace.
 * The failure sink, if there is one, decides about going on and owns the report
 * then.  Otherwise the report is one text, assembled in one buffer and written by
 * one write(2), so that two threads that fail together do not interleave; then
 * abort().
 *
 * What is called on the way here may fail itself (a broken held-lock list, an
 * assertion in the sink).  A second failure of the same thread is printed in its
 * turn but skips the sink; a third only aborts.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/host.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/lockdebug.h>

#include "kern_int.h"

const char *const violation_kind_name[VIOL_COUNT] = {
	[VIOL_LOCK_ASSERTION] = "lock-assertion",
	[VIOL_LOCK_ORDER] = "lock-order",
	[VIOL_INTERRUPT_CONTEXT] = "interrupt-context",
	[VIOL_INVARIANT] = "invariant",
	[VIOL_CONTENT] = "content",
	[VIOL_TLB] = "tlb",
	[VIOL_HANG] = "hang",
	[VIOL_LEAK] = "leak",
	[VIOL_PANIC] = "panic",
	[VIOL_CRASH] = "crash",
};

bool (*failure_sink)(const struct violation *);	/* stable while anything runs */

static __thread int depth;			/* failures of this thread in progress */
static __thread struct violation_subject about[VIOL_SUBJECTS];	/* of its next one */
static __thread int nabout;

void
violation_about(unsigned what, uint32_t id, const void *object)
{
	if (nabout < VIOL_SUBJECTS)
		about[nabout++] = (struct violation_subject){ what, id, object };
}

/* --- what happened --- */

static void
fill_held(struct violation *v, const struct lwp *l)
{
	static const char *const how[] = {
		[LOCK_SPIN] = "spin", [LOCK_ADAPTIVE] = "exclusive", [LOCK_READ] = "read",
	};
	const int max = (int)(sizeof(v->v_held) / sizeof(v->v_held[0]));
	char where[64];

	v->v_nheld = l->l_held.hs_n < max ? l->l_held.hs_n : max;
	for (int i = 0; i < v->v_nheld; i++) {
		/* The last ones taken, should there be more than fit. */
		const struct held_lock *hl = &l->l_held.hs_v[l->l_held.hs_n - v->v_nheld + i];

		host_symbolise((void *)(uintptr_t)hl->hl_where, where, sizeof(where));
		snprintf(v->v_held[i], sizeof(v->v_held[i]), "%s %u (%s) at %s",
		    hl->hl_user < LC_MAX ? lock_classes[hl->hl_user].lc_name : "?", hl->hl_id,
		    how[lockdebug_how(hl)], where);
	}
}

/* => the caller's own caller is the first frame of the stack */
static void __attribute__((noinline))
fill(struct violation *v, enum violation_kind kind, const char *id)
{
	const struct lwp *l = curlwp;

	v->v_kind = kind;
	v->v_id = id;
	v->v_fatal = false;
	v->v_cpu = -1;
	v->v_lwp = "";
	v->v_who = l;
	v->v_when = host_ticks();
	v->v_nheld = 0;
	v->v_nstack = 0;
	v->v_nsubjects = nabout;
	memcpy(v->v_subjects, about, sizeof(about));
	nabout = 0;
	v->v_details = NULL;
	v->v_grade = v->v_fingerprint = NULL;
	if (depth > 1)
		return;
	if (l != NULL) {
		v->v_lwp = l->l_name;
		v->v_cpu = l->l_cpu != NULL ? l->l_cpu->ci_index : -1;
		fill_held(v, l);
	}
	v->v_nstack = host_backtrace(v->v_stack, (int)(sizeof(v->v_stack) / sizeof(v->v_stack[0])),
	    2);
}

/* --- telling it --- */

struct text {
	size_t	len;
	char	buf[8192];
};

static void __attribute__((format(printf, 2, 3)))
add(struct text *t, const char *fmt, ...)
{
	const size_t room = sizeof(t->buf) - t->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void
print(const struct violation *v)
{
	struct text t = { 0 };
	char name[128];

	if (v->v_kind == VIOL_PANIC)
		add(&t, "panic: %s\n", v->v_message);
	else
		add(&t, "violation: %s: %s: %s\n", violation_kind_name[v->v_kind], v->v_id,
		    v->v_message);
	if (depth > 1)
		add(&t, "  while another failure was being reported\n");
	if (v->v_lwp[0] != '\0')
		add(&t, "  LWP %s on CPU %d\n", v->v_lwp, v->v_cpu);
	for (int i = 0; i < v->v_nheld; i++)
		add(&t, "  holds %s\n", v->v_held[i]);
	for (int i = 0; i < v->v_nstack; i++) {
		host_symbolise(v->v_stack[i], name, sizeof(name));
		add(&t, "  #%d %s\n", i, name);
	}
	if (v->v_details != NULL)
		add(&t, "%s", v->v_details);
	if (t.len == sizeof(t.buf) - 1)
		t.buf[t.len - 1] = '\n';		/* what is cut off ends its line, too */
	if (write(STDERR_FILENO, t.buf, t.len) < 0)
		return;			/* nobody is left to tell */
}

/* => the sink's answer; false without one.  Never asked about a failure in itself. */
static bool
sink_takes(const struct violation *v)
{
	return depth == 1 && failure_sink != NULL && failure_sink(v);
}

static void
begin(void)
{
	if (++depth > 2) {
		host_speak_last("its report failed twice");
		host_abort();
	}
}

static void __attribute__((noreturn))
die(struct violation *v)
{
	v->v_fatal = true;
	host_dying(violation_kind_name[v->v_kind], v->v_message);
	print(v);
	sink_takes(v);
	host_abort();
}

void
panic(const char *fmt, ...)
{
	struct violation v;
	va_list ap;

	begin();
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	fill(&v, VIOL_PANIC, "panic");
	die(&v);
}

void
panic_graded(enum violation_kind kind, const char *id, const char *grade, const char *fingerprint,
    const char *fmt, ...)
{
	struct violation v;
	va_list ap;

	begin();
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	fill(&v, kind, id);
	v.v_grade = grade;
	v.v_fingerprint = fingerprint;
	die(&v);
}

void
kern_hang(const struct lwp *l, void *const *stack, int nstack, const char *details,
    const char *fmt, ...)
{
	const int max = (int)(sizeof(((struct violation *)NULL)->v_stack) / sizeof(*stack));
	struct violation v;
	va_list ap;

	begin();
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	fill(&v, VIOL_HANG, "watchdog");
	host_racy_begin();		/* it may run, and change its CPU meanwhile */
	v.v_lwp = l->l_name;
	v.v_who = l;
	v.v_cpu = l->l_cpu->ci_index;
	fill_held(&v, l);
	host_racy_end();
	v.v_nstack = nstack < max ? nstack : max;
	memcpy(v.v_stack, stack, (size_t)v.v_nstack * sizeof(*stack));
	v.v_details = details;
	die(&v);
}

#define	FRAMES_MIN	4

/* => on the thread that crashed: as panic(), with what the host said of it */
void
kern_crash(int sig, void *addr, void *const *pcs, int n)
{
	const int max = (int)(sizeof(((struct violation *)NULL)->v_stack) / sizeof(*pcs));
	struct violation v;

	begin();
	snprintf(v.v_message, sizeof(v.v_message), "%s at address %p", strsignal(sig), addr);
	fill(&v, VIOL_CRASH, "crash");
	if (n >= FRAMES_MIN) {		/* else in a library, which has no frame pointers: as fill() found it */
		v.v_nstack = n < max ? n : max;
		memcpy(v.v_stack, pcs, (size_t)v.v_nstack * sizeof(*pcs));
	}
	die(&v);
}

void
violation(enum violation_kind kind, const char *id, const char *fmt, ...)
{
	const int error = errno;
	struct violation v;
	va_list ap;

	begin();
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	fill(&v, kind, id);
	if (!sink_takes(&v)) {
		print(&v);
		host_abort();
	}
	depth--;
	errno = error;
}

void
violation_graded(enum violation_kind kind, const char *id, const char *grade,
    const char *fingerprint, const char *message)
{
	const int error = errno;
	struct violation v;

	if (depth != 0)
		return;
	begin();
	snprintf(v.v_message, sizeof(v.v_message), "%s", message);
	fill(&v, kind, id);
	v.v_grade = grade;
	v.v_fingerprint = fingerprint;
	if (!sink_takes(&v)) {
		print(&v);
		host_abort();
	}
	depth--;
	errno = error;
}

void
kern_assert_fail(const char *kind, const char *expr, const char *file, int line, const char *func,
    const char *fmt, ...)
{
	struct violation v;
	va_list ap;
	int n;

	begin();
	n = snprintf(v.v_message, sizeof(v.v_message), "%s \"%s\" failed: %s, %s:%d", kind, expr,
	    func, file, line);
	if (fmt != NULL && n > 0 && (size_t)n + 2 < sizeof(v.v_message)) {
		memcpy(v.v_message + n, ": ", 3);
		va_start(ap, fmt);
		vsnprintf(v.v_message + n + 2, sizeof(v.v_message) - (size_t)n - 2, fmt, ap);
		va_end(ap);
	}
	fill(&v, VIOL_PANIC, kind);
	die(&v);
}
