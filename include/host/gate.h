/*
 * The doorbell's gate, see host.h: the functions that open and close it.
 *
 * Inline, but for a build of ThreadSanitizer's: a handler leaves the gate as it found it,
 * which ThreadSanitizer cannot know, so there doorbell.c, which is bare (host/race.h), has them.
 */
#ifndef HOST_GATE
#define	HOST_GATE	static inline
#endif

HOST_GATE void
host_mask(void)
{
	host_gate.hg_masked++;
	__asm__ volatile("" ::: "memory");
}

HOST_GATE void
host_unmask(void)
{
	__asm__ volatile("" ::: "memory");
	host_gate.hg_masked--;
	if (__builtin_expect(host_gate.hg_rung, 0))
		host_answer();
}

HOST_GATE void
host_access_begin(void)
{
	host_gate.hg_access = true;
	__asm__ volatile("" ::: "memory");
}

HOST_GATE void
host_access_end(void)
{
	__asm__ volatile("" ::: "memory");
	host_gate.hg_access = false;
	if (__builtin_expect(host_gate.hg_rung, 0))
		host_answer();
}

HOST_GATE bool
host_masked(void)
{
	return host_gate.hg_masked != 0 || host_gate.hg_access;
}
