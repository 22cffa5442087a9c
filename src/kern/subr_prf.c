/*
 * panic, violations, assertions.
 *
 * A report is put together in one buffer and written with one write(2), so that
 * two CPUs that fail at once do not mix their lines.  The failure sink sees it
 * first; without one, or when it will not go on, the process aborts.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

bool (*failure_sink)(const struct violation *);

struct text {
	char	buf[8192];
	size_t	used;
};

static void __attribute__((format(printf, 2, 3)))
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->used, sizeof(t->buf) - t->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->used += (size_t)n < sizeof(t->buf) - t->used ? (size_t)n :
		    sizeof(t->buf) - t->used - 1;
}

static void
fill(struct violation *v, enum violation_kind kind, const char *id, bool fatal)
{
	const struct lwp *l = curlwp;

	v->v_kind = kind;
	v->v_id = id;
	v->v_fatal = fatal;
	v->v_cpu = l != NULL && l->l_cpu != NULL ? l->l_cpu->ci_index : -1;
	v->v_lwp = l != NULL ? l->l_name : "";
	v->v_nstack = host_backtrace(v->v_stack, 48, 2);
	v->v_nheld = 0;
	for (int i = 0; l != NULL && i < l->l_nheld && v->v_nheld < 16; i++) {
		const struct held_lock *hl = &l->l_held[i];
		char where[64];

		host_symbolise(hl->hl_where, where, sizeof(where));
		snprintf(v->v_held[v->v_nheld++], sizeof(v->v_held[0]), "%s %u taken at %s",
		    lock_classes[hl->hl_class].lc_name, hl->hl_id, where);
	}
}

static void
print(const struct violation *v)
{
	struct text *t = malloc(sizeof(*t));
	char frame[256];

	if (t == NULL)
		return;
	t->used = 0;
	put(t, "uvmstress: %s%s [%s]: %s\n", v->v_fatal ? "panic: " : "violation: ",
	    violation_kind_name[v->v_kind], v->v_id, v->v_message);
	put(t, "  LWP %s, CPU %d\n", v->v_lwp, v->v_cpu);
	for (int i = 0; i < v->v_nheld; i++)
		put(t, "  holds %s\n", v->v_held[i]);
	for (int i = 0; i < v->v_nstack; i++) {
		host_symbolise(v->v_stack[i], frame, sizeof(frame));
		put(t, "  #%-2d %s\n", i, frame);
	}
	if (write(STDERR_FILENO, t->buf, t->used) < 0)
		t->used = 0;
	free(t);
}

static void __attribute__((noreturn))
die(struct violation *v)
{
	static __thread bool dying;

	if (!dying) {		/* a panic on the way out just goes */
		dying = true;
		print(v);
		if (failure_sink != NULL)
			failure_sink(v);
	}
	abort();
}

void
panic(const char *fmt, ...)
{
	struct violation v;
	va_list ap;

	fill(&v, VIOL_PANIC, "panic", true);
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	die(&v);
}

void
violation(enum violation_kind kind, const char *id, const char *fmt, ...)
{
	struct violation v;
	va_list ap;

	fill(&v, kind, id, false);
	va_start(ap, fmt);
	vsnprintf(v.v_message, sizeof(v.v_message), fmt, ap);
	va_end(ap);
	print(&v);
	if (failure_sink == NULL || !failure_sink(&v))
		abort();
}

void
kern_assert_fail(const char *kind, const char *expr, const char *file, int line,
    const char *func, const char *fmt, ...)
{
	struct violation v;
	int n;
	va_list ap;

	fill(&v, VIOL_PANIC, kind, true);
	n = snprintf(v.v_message, sizeof(v.v_message), "%s \"%s\" failed: %s:%d %s()", kind, expr,
	    file, line, func);
	if (fmt != NULL && n > 0 && (size_t)n < sizeof(v.v_message) - 2) {
		strcpy(v.v_message + n, ": ");
		va_start(ap, fmt);
		vsnprintf(v.v_message + n + 2, sizeof(v.v_message) - (size_t)n - 2, fmt, ap);
		va_end(ap);
	}
	die(&v);
}
