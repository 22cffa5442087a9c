/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signal handlers.
 *
 * A handler runs on top of a thread that may hold locks, and the thread does not go on
 * before the handler has ended.  So we stand in front of each handler that the program
 * installs, to know what is taken in it (one depth up, pre_order.c) and for which signals; and
 * we follow each thread's mask, to know which handlers may come while it holds a lock.
 *
 * A program that is ended by SIGTERM, SIGINT or SIGHUP leaves no chance to write what was seen; so
 * where it has no handler for these, we have one that writes and then lets it be ended.  It is
 * told that there is none.
 *
 * Signals that only the thread itself can cause (SIGSEGV and its like) come where the
 * program is wrong anyway; they are not counted.
 */
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "pre_int.h"

#define NSIGNALS 65
#define BIT(sig) (UINT64_C(1) << ((sig) - 1))

#define SYNCHRONOUS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | \
	BIT(SIGABRT) | BIT(SIGSYS))

/* The program's handler, as it was given. */
struct handler {
	void		*h_fn;		/* a */
	uint64_t	 h_mask;	/* a: blocked while it runs */
	bool		 h_once;	/* a: SA_RESETHAND */
};
static struct handler handlers[NSIGNALS];
uint64_t pre_handled;

/* Not the program's business: it takes the end as it comes. */
static void
on_end(int sig)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t set;

	pre_finish();
	sigemptyset(&set);
	sigaddset(&set, sig);
	real.sigaction(sig, &act, NULL);
	raise(sig);
	real.pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool
ends_program(int sig)
{
	return sig == SIGTERM || sig == SIGINT || sig == SIGHUP;
}

void
pre_signal_init(void)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction act = { .sa_handler = on_end, .sa_flags = SA_RESTART }, old;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (real.sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			real.sigaction(ends[i], &act, NULL);
}

static uint64_t
word(const sigset_t *set)
{
	uint64_t w;

	memcpy(&w, set, sizeof(w));
	return w;
}

static bool
is_function(const void *fn)
{
	return fn != (void *)SIG_DFL && fn != (void *)SIG_IGN;
}

/* A handler that was left by longjmp() never came back to us: its frame is gone. */
void
pre_signal_unwind(struct pre_thread *t, const char *frame)
{
	/* On the thread's stack; a handler on a stack of its own is not judged so. */
	while (t->pt_depth > 0 && t->pt_frame[t->pt_depth - 1] != NULL &&
	    frame > t->pt_frame[t->pt_depth - 1]) {
		t->pt_depth--;
		if (t->pt_depth == 0)
			t->pt_in = 0;
	}
}

/* What one delivery changes in the thread. */
struct delivery {
	struct pre_thread *d_thread;	/* NULL: not audited */
	uint64_t	 d_in;
	int		 d_depth;
};

static void
deliver_begin(struct delivery *d, int sig, const struct handler *h, const char *frame)
{
	struct pre_thread *t = pre_self;
	stack_t alt;

	d->d_thread = NULL;
	if (t == NULL)
		t = pre_attach();
	if (t == NULL || t->pt_busy != 0 || t->pt_depth == PRE_SIGNALS)
		return;
	pre_signal_unwind(t, frame);
	d->d_thread = t;
	d->d_in = t->pt_in;
	d->d_depth = t->pt_depth;
	t->pt_blocked |= h->h_mask;
	if ((BIT(sig) & SYNCHRONOUS) == 0)
		t->pt_in |= BIT(sig);
	t->pt_frame[t->pt_depth] = syscall(SYS_sigaltstack, NULL, &alt) == 0 &&
	    (alt.ss_flags & SS_ONSTACK) != 0 ? NULL : frame;
	__asm__ volatile("" ::: "memory");
	t->pt_depth++;
}

static void
deliver_end(const struct delivery *d, const ucontext_t *context)
{
	struct pre_thread *t = d->d_thread;

	if (t == NULL)
		return;
	t->pt_depth = d->d_depth;
	t->pt_in = d->d_in;
	t->pt_blocked = word(&context->uc_sigmask);	/* as the host sets it now */
}

static void
on_signal(int sig, siginfo_t *info, void *context)
{
	struct handler *h = &handlers[sig];
	const int saved = errno;
	void *fn = __atomic_load_n(&h->h_fn, __ATOMIC_ACQUIRE);
	struct delivery d;

	if (!is_function(fn))
		return;
	if (h->h_once)
		__atomic_store_n(&h->h_fn, (void *)SIG_DFL, __ATOMIC_RELEASE);
	deliver_begin(&d, sig, h, __builtin_frame_address(0));
	errno = saved;
	/* With or without SA_SIGINFO all three come; whoever wants one finds it first. */
	((void (*)(int, siginfo_t *, void *))(uintptr_t)fn)(sig, info, context);
	deliver_end(&d, context);
}

/* Ours goes to the host, with all else as it was. */
static void
wrap(int sig, const struct sigaction *act, struct sigaction *ours)
{
	struct handler *h = &handlers[sig];
	void *fn = (act->sa_flags & SA_SIGINFO) != 0 ? (void *)(uintptr_t)act->sa_sigaction :
	    (void *)(uintptr_t)act->sa_handler;

	*ours = *act;
	if (!is_function(fn)) {
		__atomic_fetch_and(&pre_handled, ~BIT(sig), __ATOMIC_RELAXED);
		if (fn == (void *)SIG_DFL && ends_program(sig)) {
			ours->sa_handler = on_end;
			ours->sa_flags &= ~SA_SIGINFO;
		}
		return;
	}
	h->h_mask = word(&act->sa_mask) | ((act->sa_flags & SA_NODEFER) != 0 ? 0 : BIT(sig));
	h->h_once = (act->sa_flags & (int)SA_RESETHAND) != 0;
	__atomic_store_n(&h->h_fn, fn, __ATOMIC_RELEASE);
	if ((BIT(sig) & SYNCHRONOUS) == 0)
		__atomic_fetch_or(&pre_handled, BIT(sig), __ATOMIC_RELAXED);
	ours->sa_sigaction = on_signal;		/* a union; SA_SIGINFO stays as it was asked for */
}

/* What the program gave, in the place of ours. */
static void
unwrap(void *fn, struct sigaction *old)
{
	if (old->sa_handler == on_end)
		old->sa_handler = SIG_DFL;
	if (old->sa_sigaction != on_signal)
		return;
	if ((old->sa_flags & SA_SIGINFO) != 0)
		old->sa_sigaction = (void (*)(int, siginfo_t *, void *))(uintptr_t)fn;
	else
		old->sa_handler = (sighandler_t)(uintptr_t)fn;
}

PRE_EXPORT int
sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction ours;
	void *before;
	int rc;

	PRE_READY(sigaction, 0);
	/* Between vfork() and exec() this is not our memory. */
	if (sig <= 0 || sig >= NSIGNALS || !pre_on || !pre_my_process())
		return real.sigaction(sig, act, old);
	before = __atomic_load_n(&handlers[sig].h_fn, __ATOMIC_ACQUIRE);
	if (act != NULL) {
		const struct handler saved = handlers[sig];

		wrap(sig, act, &ours);
		rc = real.sigaction(sig, &ours, old);
		if (rc != 0)
			handlers[sig] = saved;
	} else {
		rc = real.sigaction(sig, NULL, old);
	}
	if (rc == 0 && old != NULL)
		unwrap(before, old);
	return rc;
}

PRE_EXPORT sighandler_t
signal(int sig, sighandler_t fn)
{
	struct sigaction act = { .sa_handler = fn, .sa_flags = SA_RESTART }, old;

	PRE_READY(signal, SIG_DFL);
	if (!pre_on || fn == SIG_ERR)
		return real.signal(sig, fn);
	sigemptyset(&act.sa_mask);
	if (sigaction(sig, &act, &old) != 0)
		return SIG_ERR;
	return old.sa_handler;
}

/* --- masks --- */

/* The host's answer is the truth; ours follows it. */
static void
mask_changed(int how, const sigset_t *set)
{
	const int saved = errno;
	struct pre_thread *t;
	uint64_t before;

	if (set == NULL || !pre_my_process() || (t = pre_enter()) == NULL)
		return;
	before = t->pt_blocked;
	if (how == SIG_BLOCK)
		t->pt_blocked |= word(set);
	else if (how == SIG_UNBLOCK)
		t->pt_blocked &= ~word(set);
	else
		t->pt_blocked = word(set);
	if ((before & ~t->pt_blocked & pre_handled) != 0)
		pre_order_unblocked(t);
	pre_leave(t);
	errno = saved;
}

PRE_EXPORT int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	int error;

	PRE_READY(pthread_sigmask, 0);
	error = real.pthread_sigmask(how, set, old);
	if (error == 0)
		mask_changed(how, set);
	return error;
}

PRE_EXPORT int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	int rc;

	PRE_READY(sigprocmask, 0);
	rc = real.sigprocmask(how, set, old);
	if (rc == 0)
		mask_changed(how, set);
	return rc;
}
