/*
 * One host thread carries all threads of a schedule.
 *
 * Of two threads of which one runs, the host's scheduler is asked for nothing but to stop the one
 * and start the other: two system calls, and 2 us.  What a thread really is, a stack and a thread
 * pointer, can be exchanged without it.  So each thread of a schedule is made by the host,
 * with its stack, its thread-local storage and whatever libraries and sanitizers keep for it; then it
 * leaves both behind (carry_leave()) and sleeps for ever, and the thread that began the
 * schedule, the carrier, puts them on in turn (carry_switch()).  The code that runs cannot
 * tell: its thread-local variables, pthread_self() and the bounds of its stack are its own at any time,
 * and a race detector sees as many threads as there are.
 *
 * What belongs to the carrier is what the host's kernel knows of a thread: its id, its
 * signal mask and alternate stack, its core.
 *
 * It takes x86-64, and a host that lets programs write the thread pointer (FSGSBASE, Linux 5.9);
 * valgrind says that it does and does not.  Elsewhere, and where a debugger is to see the threads apart, they
 * hand over by futex.  No strategy learns of the difference: events and hashes are the same.
 *
 * Not swapcontext(): it asks the kernel for the signal mask, 190 ns, and leaves
 * thread-local storage where it was.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include "host_int.h"

#if defined(__x86_64__)

#define	FSGSBASE	2ul		/* of AT_HWCAP2 */
#define	PROBE_BYTES	5		/* of the instruction that is probed */

/* What carry_leave() and carry_switch() push, lowest address first. */
struct left {
	uint64_t le_r15, le_r14, le_r13, le_r12, le_rbx, le_rbp, le_pc;
};

/* What unwinders are told of each push and pop: a signal may come between any two. */
#define	PUSH(reg)	"pushq %" reg "\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %" reg ", 0\n\t"
#define	POP(reg)	"popq %" reg "\n\t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %" reg "\n\t"
#define	LEAVE	PUSH("rbp") PUSH("rbx") PUSH("r12") PUSH("r13") PUSH("r14") PUSH("r15") "movq %rsp, (%rdi)\n\t"
#define	GO_ON	POP("r15") POP("r14") POP("r13") POP("r12") POP("rbx") POP("rbp") "ret"

/* The one is as far as its ht_sp, the other goes on from its own.  Its frames stay the compiler's business. */
static __attribute__((naked, noinline)) void
exchange(void **from, void *to, uint64_t fs)
{
	__asm__(LEAVE
	    "wrfsbase %rdx\n\t"
	    "movq %rsi, %rsp\n\t"
	    GO_ON);
}

/*
 * => the stack is the carrier's from the moment that *told is 1; whoever waits there is woken (202: futex,
 *    129: FUTEX_WAKE_PRIVATE), then the host thread pauses for ever (34).  It has no stack then: what
 *    looks for pointers on stacks at the process's end, as LeakSanitizer does, looks at all of this one.
 */
static __attribute__((naked, noinline)) void
leave(void **sp, uint32_t *told)
{
	__asm__(LEAVE
	    "movl $1, (%rsi)\n\t"
	    "xorl %esp, %esp\n\t"
	    "movq %rsi, %rdi\n\t"
	    "movl $129, %esi\n\t"
	    "movl $1, %edx\n\t"
	    "movl $202, %eax\n\t"
	    "syscall\n"
	    "1:\n\t"
	    "movl $34, %eax\n\t"
	    "syscall\n\t"
	    "jmp 1b");
}

static uint64_t
thread_pointer(void)
{
	uint64_t fs;

	__asm__ volatile("rdfsbase %0" : "=r" (fs));
	return fs;
}

static volatile sig_atomic_t illegal;

static void
on_illegal(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	illegal = 1;
	uc->uc_mcontext.gregs[REG_RIP] += PROBE_BYTES;
}

bool
carry_can(void)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO }, old;
	static int can = -1;		/* the caller of host_sched_begin() alone */

	if (can >= 0)
		return can != 0;
	can = (getauxval(AT_HWCAP2) & FSGSBASE) != 0;
	if (!can)
		return false;
	sa.sa_sigaction = on_illegal;
	if (sigaction(SIGILL, &sa, &old) != 0)
		return false;
	__asm__ volatile(".byte 0xf3, 0x48, 0x0f, 0xae, 0xc0" : : : "rax");	/* rdfsbase %rax */
	sigaction(SIGILL, &old, NULL);
	can = !illegal;
	return can != 0;
}

void
carry_begin(struct host_thread *carrier)
{
	carrier->ht_fs = thread_pointer();
}

void
carry_leave(struct host_thread *me)
{
	sigset_t all;

	/* What comes for the process is for threads that run. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	me->ht_fs = thread_pointer();
	leave(&me->ht_sp, &me->ht_left);
}

void
carry_await(struct host_thread *ht)
{
	/* acquire: pairs with the store in leave() */
	while (__atomic_load_n(&ht->ht_left, __ATOMIC_ACQUIRE) == 0)
		futex_wait(&ht->ht_left, 0, NULL);
}

void
carry_switch(struct host_thread *from, struct host_thread *to)
{
	exchange(&from->ht_sp, to->ht_sp, to->ht_fs);
}

int
carry_backtrace(const struct host_thread *ht, void **pcs, int max)
{
	const struct left *le = ht->ht_sp;

	return host_walk_frames(le->le_pc, le->le_rbp, pcs, max);
}

#else

bool
carry_can(void)
{
	return false;
}

void
carry_begin(struct host_thread *carrier)
{
}

void
carry_leave(struct host_thread *me)
{
}

void
carry_await(struct host_thread *ht)
{
}

void
carry_switch(struct host_thread *from, struct host_thread *to)
{
}

int
carry_backtrace(const struct host_thread *ht, void **pcs, int max)
{
	return 0;
}

#endif
