/*
 * What the auditor is for: three deadlocks that did not happen, each told at once, with
 * workers that never met.
 */
#include <string.h>

#include <ktest_kern.h>
#include <sys/intr.h>
#include <sys/lockevent.h>
#include <sys/lockorder.h>
#include <sys/mutex.h>

static kmutex_t a, b;
static bool was_told;

static bool
note(const struct violation *v)
{
	was_told = true;
	return ktest_sink(v);
}

static void
boot(bool full)
{
	lockdebug_on = true;
	lockaudit_full = full;
	ktest_kern(2, 1);
	failure_sink = note;
}

/* --- ABBA --- */

static void
takes_ab(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		mutex_enter(&a);
		mutex_enter(&b);
		mutex_exit(&b);
		mutex_exit(&a);
	}
}

static void
takes_ba(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		mutex_enter(&b);
		mutex_enter(&a);
		mutex_exit(&a);
		mutex_exit(&b);
	}
}

/* => does the stack name the function? */
static bool
stack_names(const struct lockgraph *lg, uint32_t trace, const char *func)
{
	const struct lockgraph_trace *t = &lg->lg_traces[trace];

	for (uint32_t n = 0; n < t->lgt_n; n++) {
		const struct lockgraph_frame *fr = &lg->lg_frames[t->lgt_first + n];
		char name[128];

		if (fr->lgf_module != LOCKGRAPH_NONE)
			continue;
		host_symbolise((void *)(uintptr_t)fr->lgf_offset, name, sizeof(name));
		if (strncmp(name, func, strlen(func)) == 0)
			return true;
	}
	return false;
}

/* => an edge of the finding's cycle, both stacks of which name the function that took the locks */
static bool
edge_in(const struct lockgraph_finding *f, const struct lockgraph *lg, const char *func)
{
	for (uint32_t i = 0; i < f->lgv_ncycle; i++)
		if (stack_names(lg, f->lgv_cycle[i].lge_from_trace, func) &&
		    stack_names(lg, f->lgv_cycle[i].lge_to_trace, func))
			return true;
	return false;
}

KTEST(abba_by_two_who_never_meet, "one worker goes A-B and ends, then another goes B-A: told at once, with both stacks of both")
{
	const struct lockgraph *lg;
	uint32_t i = 0;

	boot(false);
	mutex_init(&a, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("a", 0, LO_NEST_NONE, IPL_NONE));
	mutex_init(&b, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("b", 0, LO_NEST_NONE, IPL_NONE));
	ktest_lwps(1, takes_ab);		/* returns when it has exited */
	CHECK(!was_told);
	ktest_lwps(1, takes_ba);
	CHECK(was_told);
	CHECK_EQ(ktest_violations(VIOL_LOCK_ORDER), 1);	/* once */
	lg = lockorder_export();
	while (i < lg->lg_nfindings && strcmp(lg->lg_findings[i].lgv_id, "lock-cycle") != 0)
		i++;
	CHECK(i < lg->lg_nfindings);
	CHECK_EQ(lg->lg_findings[i].lgv_grade, LOCKGRAPH_UNCONFIRMED);
	CHECK_EQ(lg->lg_findings[i].lgv_ncycle, 2);
	CHECK(edge_in(&lg->lg_findings[i], lg, "takes_ab"));
	CHECK(edge_in(&lg->lg_findings[i], lg, "takes_ba"));
	kern_shutdown();
}

/* --- a page --- */

static void
has_page_takes_amap(void *arg)
{
	lockevent_begin(LE_page_anon);
	mutex_enter(&a);
	mutex_exit(&a);
	lockevent_end(LE_page_anon);
}

static void
has_amap_waits_for_page(void *arg)
{
	mutex_enter(&a);
	lockevent_wait(LE_page_anon);
	mutex_exit(&a);
}

KTEST(amap_against_page_busy, "one has a page busy and takes the amap, later one with the amap waits for a page: told by full, at once")
{
	boot(true);
	mutex_init(&a, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	ktest_lwps(1, has_page_takes_amap);
	CHECK(!was_told);
	ktest_lwps(1, has_amap_waits_for_page);
	CHECK(was_told);
	CHECK_EQ(ktest_violations(VIOL_LOCK_ORDER), 1);
	kern_shutdown();
}

/* --- an interrupt --- */

static void
net_intr(void *arg)
{
	mutex_enter(&a);
	mutex_exit(&a);
}

KTEST(held_at_ipl_none_taken_by_the_network, "a class that the network's interrupt takes, held by another lock of it at IPL_NONE: told, and no one spins")
{
	enum lock_class ring;

	boot(false);
	ring = lockdebug_class("ring", 0, LO_NEST_NONE, LC_IPL_ANY);
	mutex_init(&a, MUTEX_SPIN, IPL_NONE, ring);	/* should have been IPL_VM */
	mutex_init(&b, MUTEX_SPIN, IPL_NONE, ring);
	intr_establish(IRQ_NET, IPL_VM, net_intr, NULL);
	intr_post(curcpu(), IRQ_NET);
	intr_poll();
	CHECK(!was_told);
	mutex_enter(&b);			/* nobody else wants this one */
	mutex_exit(&b);
	CHECK(was_told);
	CHECK_EQ(ktest_violations(VIOL_INTERRUPT_CONTEXT), 1);
	CHECK(strstr(ktest_violation.v_message, "ring") != NULL);
	kern_shutdown();
}

KTEST(held_at_ipl_vm_taken_by_the_network, "with the interrupt kept out it is silent")
{
	enum lock_class ring;

	boot(false);
	ring = lockdebug_class("ring", 0, LO_NEST_NONE, LC_IPL_ANY);
	mutex_init(&a, MUTEX_DEFAULT, IPL_VM, ring);
	mutex_init(&b, MUTEX_DEFAULT, IPL_VM, ring);
	intr_establish(IRQ_NET, IPL_VM, net_intr, NULL);
	mutex_enter(&b);
	intr_post(curcpu(), IRQ_NET);
	mutex_exit(&b);
	intr_poll();
	CHECK(!was_told);
	kern_shutdown();
}

/* --- a lock that sleeps, in an interrupt --- */

static void
takes_a_in_interrupt(void *arg)
{
	mutex_enter(&a);
	mutex_exit(&a);
}

static void
holds_a(void *arg)
{
	mutex_enter(&a);
	mutex_exit(&a);
}

KTEST(adaptive_lock_in_interrupt_has_both_stacks, "an adaptive lock in an interrupt: told with where it is held while that interrupt may come")
{
	const struct lockgraph *lg;
	uint32_t i = 0;

	boot(false);
	mutex_init(&a, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("a", 0, LO_NEST_NONE, IPL_NONE));
	ktest_lwps(1, holds_a);
	intr_establish(IRQ_DISK, IPL_VM, takes_a_in_interrupt, NULL);
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
	lg = lockorder_export();
	while (i < lg->lg_nfindings && strcmp(lg->lg_findings[i].lgv_id, "lock-in-interrupt") != 0)
		i++;
	CHECK(i < lg->lg_nfindings);
	CHECK(stack_names(lg, lg->lg_findings[i].lgv_trace, "takes_a_in_interrupt"));
	CHECK(lg->lg_findings[i].lgv_held != LOCKGRAPH_NONE);
	CHECK(stack_names(lg, lg->lg_findings[i].lgv_held, "holds_a"));
	kern_shutdown();
}

KTEST_MAIN()
