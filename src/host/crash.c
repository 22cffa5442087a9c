/*
 * Crashes of the process, handed to whoever can report them.
 */
#include <signal.h>
#include <stddef.h>

#include <host/host.h>

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

static void (*crash_fn)(int, void *);		/* set while no other thread runs */

static void
on_crash(int sig, siginfo_t *si, void *context)
{
	crash_fn(sig, si->si_addr);
}

void
host_catch_crashes(void (*fn)(int sig, void *addr))
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = { .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND) };

	if (SANITIZED)
		return;
	crash_fn = fn;
	if (fn != NULL)
		sa.sa_sigaction = on_crash;
	else
		sa.sa_handler = SIG_DFL;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}
