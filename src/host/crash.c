/*
 * The end of the process: crashes, and failures whose report may itself crash or hang.
 *
 * A crash is handed to whoever can report it, on a stack of its own (the thread's may be what
 * broke).  Reporting needs memory and locks of libraries, any of which the crashed thread may
 * hold.  So from host_dying() on there are last words: a function that needs nothing but system
 * calls.  It is called, and the process ends, when the report crashes in its turn or has not
 * ended in time.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <host/host.h>

#include "host_int.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define	SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define	SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define	SANITIZED 0
#endif

#define	STACK_BYTES	(256 * 1024)	/* of a report: symbols are looked up on it */
#define	DYING_NS	60000000000u	/* a report of thousands of stacks, on a loaded machine */

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

static void (*crash_fn)(int, void *, void *const *, int);	/* set while no other thread runs */
static host_last_words_t last_words;				/* likewise */
static int dying;				/* @ id of the thread whose failure ends the process; 0: none */
static char dying_kind[24], dying_message[256];	/* that thread's */
static void *crash_pcs[HOST_BACKTRACE_MAX];	/* likewise */
static int crash_npcs;				/* likewise */
static __thread void *stack;			/* for handlers; NULL: none */

/* --- last words --- */

void
host_last_words(host_last_words_t fn)
{
	last_words = fn;
}

/* => it is this thread that ends the process, now or since before: *again; false: another one */
static bool
claim(bool *again)
{
	const int self = (int)syscall(SYS_gettid);
	int first = 0;

	*again = !__atomic_compare_exchange_n(&dying, &first, self, false, __ATOMIC_RELAXED,
	    __ATOMIC_RELAXED);
	return !*again || first == self;
}

void
host_dying(const char *kind, const char *message)
{
	bool again;

	if (!claim(&again) || dying_kind[0] != '\0')
		return;
	strncpy(dying_kind, kind, sizeof(dying_kind) - 1);
	strncpy(dying_message, message, sizeof(dying_message) - 1);
	host_alarm_final(DYING_NS, "the report hangs");
}

void
host_speak_last(const char *why)
{
	static int spoken;		/* @ */

	if (__atomic_exchange_n(&spoken, 1, __ATOMIC_RELAXED) == 0 && last_words != NULL)
		last_words(dying_kind[0] != '\0' ? dying_kind : "hang",
		    dying_message[0] != '\0' ? dying_message : why, why, crash_pcs, crash_npcs);
}

/* --- crashes --- */

void
host_crash_stack(bool on)
{
	const stack_t none = { .ss_flags = SS_DISABLE };
	stack_t ss = { .ss_size = STACK_BYTES };

	if (SANITIZED)
		return;
	if (!on && stack != NULL) {
		sigaltstack(&none, NULL);
		munmap(stack, STACK_BYTES);
		stack = NULL;
	} else if (on && stack == NULL) {
		stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (stack == MAP_FAILED) {
			stack = NULL;		/* then on its own */
			return;
		}
		ss.ss_sp = stack;
		sigaltstack(&ss, NULL);
	}
}

/* => by frame pointers; each frame is read as if it were not there */
int
host_walk_frames(uintptr_t pc, uintptr_t fp, void **pcs, int max)
{
	uintptr_t frame[2];
	int n = 0;

	pcs[n++] = (void *)pc;
	while (n < max && host_mem_read(frame, (void *)fp, sizeof(frame)) && frame[1] != 0) {
		pcs[n++] = (void *)frame[1];
		if (frame[0] <= fp)
			break;
		fp = frame[0];
	}
	return n;
}

/* => from where it crashed */
static int
walk(const ucontext_t *uc, void **pcs, int max)
{
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	uintptr_t fp = (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
	uintptr_t at;
	int n = 0;

	pcs[n++] = (void *)(pc + 1);		/* as if it were a return address */
	if (!host_mem_read(&at, (void *)pc, 1) &&	/* a call of nowhere: who called? */
	    host_mem_read(&at, (void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RSP], sizeof(at)))
		return n + host_walk_frames(at, fp, pcs + n, max - n);
	return host_walk_frames(pc + 1, fp, pcs, max);
}

static void
on_crash(int sig, siginfo_t *si, void *context)
{
	bool again;

	if (!claim(&again))
		for (;;)
			pause();		/* one is enough */
	if (again) {
		host_speak_last("its report crashed");
		_exit(1);
	}
	crash_npcs = walk(context, crash_pcs, HOST_BACKTRACE_MAX);
	host_dying("crash", strsignal(sig));
	crash_fn(sig, si->si_addr, crash_pcs, crash_npcs);
}

void
host_catch_crashes(void (*fn)(int sig, void *addr, void *const *pcs, int n))
{
	struct sigaction sa = { .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_NODEFER) };

	if (SANITIZED)
		return;
	crash_fn = fn;
	host_crash_stack(true);
	if (fn != NULL)
		sa.sa_sigaction = on_crash;
	else
		sa.sa_handler = SIG_DFL;
	for (size_t i = 0; i < sizeof(crash_signals) / sizeof(crash_signals[0]); i++)
		sigaction(crash_signals[i], &sa, NULL);
}

void
host_abort(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}
