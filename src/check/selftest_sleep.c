/*
 * Self-test of the lock auditor: who may sleep, and with what in hand.
 */
#include <stdlib.h>

#include <sys/pool.h>

#include "selftest_int.h"

static int channel;
static kcondvar_t cv;
static struct st_lock M;		/* the mutex that a sleep gives up */

static void
make(enum st_kind kind)
{
	st_make(&A, kind, "A");
	st_make_as(&M, MUTEX, LC_test, IPL_NONE);
	cv_init(&cv, "case");
}

static void
sleep_a_little(void)
{
	take(&M);
	mtsleep(&channel, false, "case", 1000, &M.st_m);
	drop(&M);
}

/* --- spin locks, IPLs, contexts --- */

static void
sleep_with(int kind)
{
	make(kind);
	take(&M);
	take(&A);
	mtsleep(&channel, true, "case", 1000, &M.st_m);
}

static void
sleep_after(int kind)
{
	make(kind);
	take(&A);
	drop(&A);
	sleep_a_little();
}

static void
cv_wait_with(int wrong)
{
	make(SPIN);
	take(&M);
	if (wrong)
		take(&A);
	cv_timedwait(&cv, &M.st_m, 1000);
	drop(&M);
}

static void
sleep_at(int ipl)
{
	int s;

	make(MUTEX);
	take(&M);
	s = splraise(ipl);
	mtsleep(&channel, true, "case", 1000, &M.st_m);
	splx(s);
}

static void
in_rcu_section(int wrong)
{
	make(MUTEX);
	rcu_read_lock();
	if (!wrong)
		rcu_read_unlock();
	sleep_a_little();
}

static void
pause_with(int wrong)
{
	make(MUTEX);
	take(&A);
	if (!wrong)
		drop(&A);
	kpause("case", 1000);
}

/* --- an adaptive lock where nobody may sleep --- */

static void
adaptive_under(int spin, int kind)
{
	make(kind);
	st_make(&B, SPIN, "spin");
	if (spin)
		take(&B);
	take(&A);
	drop(&A);
	if (spin)
		drop(&B);
}

static void
under_spin(int kind)
{
	adaptive_under(1, kind);
}

static void
under_none(int kind)
{
	adaptive_under(0, kind);
}

static void
at_high_ipl(int kind)
{
	int s;

	make(kind);
	s = splvm();
	take(&A);
	drop(&A);
	splx(s);
}

static void
take_a(void)
{
	take(&A);
	drop(&A);
}

static void
adaptive_in_hard(int kind)
{
	make(kind);
	in_interrupt(IPL_VM, take_a);
}

static void
adaptive_in_soft(int kind)
{
	make(kind);
	in_interrupt(IPL_SOFTNET, take_a);
}

static void
spin_in_interrupt(int ipl)
{
	make(SPIN);
	in_interrupt(ipl, take_a);
}

/* --- waiting for memory --- */

static void *
page_alloc(struct pool *pp, int flags)
{
	return aligned_alloc(4096, 4096);
}

static void
page_free(struct pool *pp, void *page)
{
	free(page);
}

static struct pool *pool;

static void
wait_for_memory(void)
{
	pool_put(pool, pool_get(pool, PR_WAITOK));
}

static void
take_memory(void)
{
	void *item = pool_get(pool, PR_NOWAIT);

	if (item != NULL)
		pool_put(pool, item);
}

static void
make_pool(enum st_kind kind)
{
	static const struct pool_allocator heap = { page_alloc, page_free, 4096 };

	make(kind);
	pool = pool_create(64, 0, "case", &heap, IPL_VM);
	wait_for_memory();
}

static void
memory_with(int kind)
{
	make_pool(kind);
	take(&A);
	wait_for_memory();
}

static void
memory_nowait_with(int kind)
{
	make_pool(kind);
	take(&A);
	take_memory();
	drop(&A);
}

static void
memory_in_interrupt(int ipl)
{
	make_pool(MUTEX);
	in_interrupt(ipl, wait_for_memory);
}

static void
memory_nowait_in_interrupt(int ipl)
{
	make_pool(MUTEX);
	in_interrupt(ipl, take_memory);
}

static void
memory_at_ipl(int wrong)
{
	int s;

	make_pool(MUTEX);
	s = splvm();
	if (wrong)
		wait_for_memory();
	else
		take_memory();
	splx(s);
}

static void
memory_under(int class)
{
	make_pool(MUTEX);
	st_make_as(&B, class == LC_map ? READ : MUTEX, class, IPL_NONE);
	take(&B);
	wait_for_memory();
	drop(&B);
}

/* --- locks that nobody may sleep with --- */

static void
sleep_under(int class)
{
	make(MUTEX);
	st_make_as(&C, MUTEX, LC_vnode_table, IPL_NONE);
	st_make_as(&B, class == LC_map ? READ : MUTEX, class, IPL_NONE);
	take(&B);
	take(&C);
	mtsleep(&channel, false, "case", 1000, &C.st_m);
	drop(&C);
	drop(&B);
}

static void
wait_for_ever(void *arg)
{
	take(&M);
	cv_wait(&cv, &M.st_m);
	drop(&M);
}

static void
destroy_cv(int waiters)
{
	struct lwp *l;

	make(MUTEX);
	if (waiters) {
		if (lwp_create(&l, NULL, "waiter", wait_for_ever, NULL) != 0)
			panic("selftest: no LWP");
		lwp_start(l);
		while (!cv_has_waiters(&cv))
			yield();
	}
	cv_destroy(&cv);
}

#define	INTR	"lock-in-interrupt"

static const struct st_row rows[] = {
	{ "sleep with a spin mutex held", sleep_with, SPIN, "sleep with a spin lock held", sleep_after, SPIN },
	{ "cv_wait() with another spin mutex held", cv_wait_with, 1, "sleep with a spin lock held",
	    cv_wait_with, 0 },
	{ "sleep at IPL_VM", sleep_at, IPL_VM, "sleep at IPL", sleep_at, IPL_NONE },
	{ "sleep at a soft IPL", sleep_at, IPL_SOFTNET, "sleep at IPL", sleep_after, MUTEX },
	{ "sleep in an RCU section", in_rcu_section, 1, "sleep", in_rcu_section, 0 },
	{ "pause with a lock held", pause_with, 1, "with 1 locks held", pause_with, 0 },
	{ "mutex with a spin mutex held", under_spin, MUTEX, "sleep-with-spin", under_none, MUTEX },
	{ "writer with a spin mutex held", under_spin, WRITE, "sleep-with-spin", under_none, WRITE },
	{ "reader with a spin mutex held", under_spin, READ, "sleep-with-spin", under_none, READ },
	{ "spin mutex with a spin mutex held is legal", under_spin, MUTEX, "sleep-with-spin", under_spin,
	    SPIN },
	{ "mutex above IPL_NONE", at_high_ipl, MUTEX, "sleep-at-ipl", at_high_ipl, SPIN },
	{ "reader above IPL_NONE", at_high_ipl, READ, "sleep-at-ipl", under_none, READ },
	{ "mutex in a hard interrupt; spin mutex (legal)", adaptive_in_hard, MUTEX, INTR,
	    spin_in_interrupt, IPL_VM },
	{ "writer in a hard interrupt", adaptive_in_hard, WRITE, INTR, spin_in_interrupt, IPL_VM },
	{ "reader in a hard interrupt", adaptive_in_hard, READ, INTR, spin_in_interrupt, IPL_VM },
	{ "mutex in a soft interrupt; spin mutex (legal)", adaptive_in_soft, MUTEX, INTR,
	    spin_in_interrupt, IPL_SOFTNET },
	{ "reader in a soft interrupt", adaptive_in_soft, READ, INTR, spin_in_interrupt, IPL_SOFTBIO },
	{ "waiting for memory with a spin mutex; not waiting (legal)", memory_with, SPIN,
	    "sleep with a spin lock held", memory_nowait_with, SPIN },
	{ "waiting for memory with a mutex that is held (legal)", memory_with, SPIN,
	    "sleep with a spin lock held", memory_with, MUTEX },
	{ "waiting for memory in a hard interrupt", memory_in_interrupt, IPL_VM, "in interrupt context",
	    memory_nowait_in_interrupt, IPL_VM },
	{ "waiting for memory in a soft interrupt", memory_in_interrupt, IPL_SOFTNET,
	    "in interrupt context", memory_nowait_in_interrupt, IPL_SOFTNET },
	{ "waiting for memory above IPL_NONE", memory_at_ipl, 1, "sleep at IPL", memory_at_ipl, 0 },
	{ "waiting for memory with an amap locked; a map (legal)", memory_under, LC_amap, "sleep-with-lock",
	    memory_under, LC_map },
	{ "sleep with an amap locked; with a map (legal)", sleep_under, LC_amap, "sleep-with-lock",
	    sleep_under, LC_map },
	{ "sleep with the page queues locked; a vnode (legal)", sleep_under, LC_pageq, "sleep-with-lock",
	    sleep_under, LC_vnode },
	{ "a condition variable destroyed with waiters", destroy_cv, 1, "has waiters", destroy_cv, 0 },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_sleep = { "sleeping and waiting", rows, true };
