/*
 * What host/race.h declares and is no single call; and how ThreadSanitizer is set up.
 *
 * This file is bare: it switches ThreadSanitizer's idea of which thread runs.
 */
#include <stdlib.h>

#include <host/host.h>
#include <host/race.h>

#if UVMSTRESS_TSAN

void	*__tsan_get_current_fiber(void);
void	*__tsan_create_fiber(unsigned);
void	__tsan_destroy_fiber(void *);
void	__tsan_switch_to_fiber(void *, unsigned);
void	__tsan_set_fiber_name(void *, const char *);
void	AnnotateIgnoreSyncBegin(const char *, int);
void	AnnotateIgnoreSyncEnd(const char *, int);
void	AnnotateIgnoreReadsBegin(const char *, int);
void	AnnotateIgnoreReadsEnd(const char *, int);
void	AnnotateIgnoreWritesBegin(const char *, int);
void	AnnotateIgnoreWritesEnd(const char *, int);
const char *__tsan_default_options(void);

#define	NO_SYNC		1u		/* a switch orders nothing */
#define	STACK_BYTES	(256 * 1024)	/* a handler's, and of reports made in it */

/*
 * Lock orders are the auditor's: ThreadSanitizer's detector of deadlocks stops at 64 locks held,
 * misses long cycles, and knows no classes.  TSAN_OPTIONS still has the last word.
 */
const char *
__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

struct race_context {
	void	*rc_fiber;		/* stable */
	void	*rc_stack;		/* stable */
};

struct race_context *
race_context_create(const char *name)
{
	struct race_context *rc = malloc(sizeof(*rc));

	if (rc == NULL)
		return NULL;
	rc->rc_stack = host_mem_map(STACK_BYTES);
	if (rc->rc_stack == NULL) {
		free(rc);
		return NULL;
	}
	rc->rc_fiber = __tsan_create_fiber(0);
	__tsan_set_fiber_name(rc->rc_fiber, name);
	return rc;
}

void
race_context_destroy(struct race_context *rc)
{
	if (rc == NULL)
		return;
	__tsan_destroy_fiber(rc->rc_fiber);
	host_mem_unmap(rc->rc_stack, STACK_BYTES);
	free(rc);
}

/*
 * => fn(arg) on that stack.  The frame pointer stays ours, so that backtraces lead through.
 */
static __attribute__((noinline)) void
call_on_stack(char *top, void (*fn)(void *), void *arg)
{
	__asm__ volatile(
	    "movq %%rsp, %%rbx\n\t"
	    "movq %0, %%rsp\n\t"
	    "callq *%1\n\t"
	    "movq %%rbx, %%rsp"
	    : "+r" (top), "+r" (fn), "+D" (arg)
	    :
	    : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc",
	      "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
	      "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

void
race_context_run(struct race_context *rc, void (*fn)(void *), void *arg)
{
	void *before;

	if (rc == NULL) {
		fn(arg);
		return;
	}
	before = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(rc->rc_fiber, NO_SYNC);
	call_on_stack((char *)rc->rc_stack + STACK_BYTES, fn, arg);
	__tsan_switch_to_fiber(before, NO_SYNC);
}

void
race_order_ignore(bool on)
{
	if (on)
		AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	else
		AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

void
race_access_ignore(bool on)
{
	if (on) {
		AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
		AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	} else {
		AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
		AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	}
}

#else

struct race_context *
race_context_create(const char *name)
{
	return NULL;
}

void
race_context_destroy(struct race_context *rc)
{
}

void
race_context_run(struct race_context *rc, void (*fn)(void *), void *arg)
{
	fn(arg);
}

void
race_order_ignore(bool on)
{
}

void
race_access_ignore(bool on)
{
}

#endif
