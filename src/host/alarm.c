/*
 * The last resort: a timer that ends the process when nobody puts it off any more.
 *
 * Everything else that watches is made of threads and memory of this process, which may be
 * what has broken.  The handler calls nothing but the last words, write(2) and _exit(2).
 */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <host/host.h>

#include "host_int.h"

static timer_t timer;			/* one thread at a time sets it */
static bool made;			/* likewise */
static const char *message;		/* @: a constant string */
static bool final;			/* @: nobody puts it off any more */

static void
on_alarm(int sig)
{
	static const char tail[] = "\n";
	/* relaxed: strings do not change */
	const char *what = __atomic_load_n(&message, __ATOMIC_RELAXED);

	host_speak_last(what);
	if (write(STDERR_FILENO, what, strlen(what)) < 0 ||
	    write(STDERR_FILENO, tail, 1) < 0)
		_exit(1);		/* nobody is left to tell */
	_exit(1);
}

static bool
make(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct sigevent sev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };

	return sigaction(SIGALRM, &sa, NULL) == 0 &&
	    timer_create(CLOCK_MONOTONIC, &sev, &timer) == 0;
}

static void
set(uint64_t ns, const char *what)
{
	const struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) },
	};

	if (!made && ns == 0)
		return;
	__atomic_store_n(&message, what, __ATOMIC_RELAXED);	/* first: from make() on there is a handler */
	if (!made && !(made = make()))
		return;
	timer_settime(timer, 0, &its, NULL);
}

void
host_alarm(uint64_t ns, const char *what)
{
	if (!__atomic_load_n(&final, __ATOMIC_RELAXED))
		set(ns, what);
}

void
host_alarm_final(uint64_t ns, const char *what)
{
	__atomic_store_n(&final, true, __ATOMIC_RELAXED);
	set(ns, what);
}
