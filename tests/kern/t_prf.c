/*
 * panic(), violations, assertions: what is said, and who goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ktest_kern.h>
#include <sys/mutex.h>

void	t_prf_failing_function(void);	/* not static, so that the linker knows its name */

void __attribute__((noinline))
t_prf_failing_function(void)
{
	panic("out of %d %s", 7, "cheeses");
}

KTEST_DEATH(panic_says_where, "a panic names message, LWP and CPU, and the stack starts where it was called",
    "panic: out of 7 cheeses\n  LWP lwp0 on CPU 0\n  #0 t_prf_failing_function\\+")
{
	ktest_kern(2, 1);
	t_prf_failing_function();
}

KTEST_DEATH(panic_without_a_kernel, "a thread that is no LWP can panic", "panic: early")
{
	panic("early");
}

#if UVMSTRESS_LOCKDEBUG
KTEST_DEATH(panic_lists_the_locks_held, "a panic names the classes of the locks held, how and where",
    "  holds vnode [0-9]+ \\(exclusive\\) at [^\n]+\n  holds pmap [0-9]+ \\(spin\\) at ")
{
	kmutex_t a, b;

	ktest_kern(1, 1);
	mutex_init(&a, MUTEX_DEFAULT, IPL_NONE, LC_vnode);
	mutex_init(&b, MUTEX_DEFAULT, IPL_VM, LC_pmap);
	mutex_enter(&a);
	mutex_enter(&b);
	panic("look");
}
#endif

KTEST_DEATH(kassert_prints_the_expression, "KASSERT prints expression, function, file and line",
    "panic: assertion \"zero == 1\" failed: kassert_prints_the_expression, .*t_prf.c:[0-9]+$")
{
	int zero = 0;

	KASSERT(zero == 1);
}

KTEST_DEATH(kassertmsg_prints_values, "KASSERTMSG prints the values too", ": zero is 0$")
{
	int zero = 0;

	KASSERTMSG(zero == 1, "zero is %d", zero);
}

KTEST_DEATH(violation_without_sink_dies, "without a sink a violation is printed and ends the process",
    "violation: tlb: I-PMAP-6: stale 42")
{
	ktest_kern(1, 1);
	violation(VIOL_TLB, "I-PMAP-6", "stale %d", 42);
}

static bool
refuse(const struct violation *v)
{
	fprintf(stderr, "sink: %s %s fatal %d\n", violation_kind_name[v->v_kind], v->v_id,
	    v->v_fatal);
	return false;
}

KTEST_DEATH(sink_may_refuse_to_go_on, "a sink that answers no ends the process",
    "sink: leak L-1 fatal 0\nviolation: leak: L-1: lost")
{
	failure_sink = refuse;
	violation(VIOL_LEAK, "L-1", "lost");
}

KTEST_DEATH(panic_tells_the_sink_and_dies_anyhow, "a panic is told to the sink and is fatal whatever it answers",
    "panic: enough\n(.*\n)*sink: panic panic fatal 1")
{
	failure_sink = refuse;
	panic("enough");
}

KTEST(violation_goes_on, "a violation that the sink takes carries id, LWP, CPU, stack, and leaves errno alone")
{
	ktest_kern(2, 1);
	ktest_expect_violations();
	errno = EXDEV;
	violation(VIOL_CONTENT, "C-1", "word %d", 3);
	CHECK_EQ(errno, EXDEV);
	violation(VIOL_CONTENT, "C-2", "word %d", 4);
	CHECK_EQ(ktest_violations(VIOL_CONTENT), 2);
	CHECK(strcmp(ktest_violation.v_id, "C-2") == 0);
	CHECK(strcmp(ktest_violation.v_message, "word 4") == 0);
	CHECK(strcmp(ktest_violation.v_lwp, "lwp0") == 0);
	CHECK_EQ(ktest_violation.v_cpu, 0);
	CHECK(ktest_violation.v_nstack > 0);
	CHECK_EQ(ktest_violation.v_fatal, false);
	kern_shutdown();
}

static bool
fail_in_sink(const struct violation *v)
{
	static int asked;

	if (asked++ != 0)
		_exit(0);		/* no death: the case fails */
	panic("the sink fails too");
}

KTEST_DEATH(panic_in_panic_ends, "a panic inside the sink is printed, and does not ask the sink again",
    "panic: first\n(.*\n)*panic: the sink fails too\n  while another failure was being reported")
{
	failure_sink = fail_in_sink;
	panic("first");
}

KTEST_DEATH(long_messages_are_cut, "a message longer than the buffer is cut, not overrun", "panic: x{511}\n")
{
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	panic("%s", text);
}

/* A sanitizer reports crashes itself: there the word is its own. */
KTEST_DEATH(crash_is_reported, "a bad address in the kernel is reported like a panic, with the stack",
    "violation: crash: .*at address 0x8|AddressSanitizer|ThreadSanitizer")
{
	int *volatile bad = (int *)8;

	ktest_kern(1, 1);
	*bad = 1;
}

KTEST_MAIN()
