/*
 * The doorbell: a signal that interrupts a thread at any instruction.
 *
 * SIGURG is ignored by default, so one that comes after the end does no harm; standard
 * signals do not queue, so a thread that is rung twice while it waits for a core answers
 * once, and looks for everything.  SA_NODEFER: the answer itself may be interrupted, by what
 * is more urgent; whoever answers decides that.  SA_RESTART, for the host's own calls.
 *
 * ThreadSanitizer runs handlers when the thread next calls something that it intercepts,
 * which is not at any instruction; there the doorbell is refused.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <host/host.h>

#if UVMSTRESS_TSAN
#define	HOST_GATE		/* here they are, not inline */
#include <host/gate.h>
#endif

__thread struct host_gate host_gate;

static void (*answer)(void);		/* set while no other thread runs */
static pid_t pid;			/* likewise */

void
host_answer(void)
{
	if (host_masked())
		return;			/* who masked it answers */
	host_gate.hg_rung = false;
	/* Afterwards: who is rung from here on is rung again. */
	__asm__ volatile("" ::: "memory");
	if (answer != NULL)
		answer();
}

static void
on_ring(int sig)
{
	const int saved = errno;

	host_gate.hg_rung = true;
	host_answer();
	errno = saved;
}

int
host_bell_install(void (*fn)(void))
{
	struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = SA_RESTART | SA_NODEFER };

	if (fn != NULL && UVMSTRESS_TSAN)
		return ENOTSUP;
	if (fn != NULL)
		sa.sa_handler = on_ring;
	answer = fn;
	pid = getpid();
	return sigaction(SIGURG, &sa, NULL) != 0 ? errno : 0;
}

int
host_bell_id(void)
{
	return (int)syscall(SYS_gettid);
}

void
host_ring(int id)
{
	/* ESRCH: it has gone, and whoever was to answer is another thread by now. */
	(void)syscall(SYS_tgkill, pid, id, SIGURG);
}
