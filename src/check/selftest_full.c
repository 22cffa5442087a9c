/*
 * Self-test of the lock auditor: what audit=full adds.  Waits that are no lock's, pins,
 * and what was read before a lock was dropped.
 *
 * A, B, C are locks without a declared rank, so what is found is found by going round; the
 * cases with a rank say so.
 */
#include <sys/lockevent.h>
#include <sys/lockstate.h>

#include "selftest_int.h"

/* => who has to end waits for the event wants the lock, or tries it */
static void
provider(enum lock_event ev, bool tries)
{
	lockevent_begin(ev);
	if (!tries)
		take(&A);
	else if (!try(&A))
		panic("selftest: a free lock was refused");
	drop(&A);
	lockevent_end(ev);
}

/* => somebody waits for the event with the lock in hand, or after he has let go of it */
static void
waiter(enum lock_event ev, bool holds)
{
	take(&A);
	if (!holds)
		drop(&A);
	lockevent_wait(ev);
	if (holds)
		drop(&A);
}

/* --- an event and a lock --- */

static void
wait_holding(int ev)
{
	st_make(&A, MUTEX, "A");
	provider((enum lock_event)ev, false);
	waiter((enum lock_event)ev, true);
}

static void
wait_then_provide(int ev)
{
	st_make(&A, WRITE, "A");
	waiter((enum lock_event)ev, true);
	provider((enum lock_event)ev, false);
}

static void
wait_after_drop(int ev)
{
	st_make(&A, MUTEX, "A");
	provider((enum lock_event)ev, false);
	waiter((enum lock_event)ev, false);
}

static void
provider_tries(int ev)
{
	st_make(&A, WRITE, "A");
	waiter((enum lock_event)ev, true);
	provider((enum lock_event)ev, true);
}

/* --- by rank: one side is enough --- */

static void
amap_against_page(int holds)
{
	st_make_as(&A, MUTEX, LC_amap, IPL_NONE);
	waiter(LE_page_anon, holds != 0);
}

static void
daemon_and_map(int tries)
{
	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	provider(LE_memory, tries != 0);
}

static void
memory_with_page(int busy)
{
	if (busy)
		lockevent_begin(LE_page_file);
	lockevent_wait(LE_memory);
	if (busy)
		lockevent_end(LE_page_file);
}

static void
second_page(int ev)
{
	lockevent_begin((enum lock_event)ev);
	lockevent_wait((enum lock_event)ev);
	lockevent_end((enum lock_event)ev);
}

static void
disk_with_spin(int spin)
{
	st_make_as(&A, spin ? SPIN : WRITE, spin ? LC_disk : LC_map, spin ? IPL_VM : IPL_NONE);
	waiter(LE_disk, true);
}

/* --- through another event --- */

static void
passed_on(int wrong)
{
	st_make(&A, MUTEX, "A");
	lockevent_begin(LE_page_file);
	lockevent_pass(LE_page_file, LE_aiodone);
	if (wrong)
		provider(LE_aiodone, false);
	waiter(LE_page_file, true);
}

static void
depends(int wrong)
{
	lockevent_depends(LE_memory, wrong ? LE_pool_recl : LE_aiodone);
	lockevent_begin(LE_pool_recl);
	lockevent_wait(wrong ? LE_memory : LE_shootdown);
	lockevent_end(LE_pool_recl);
}

/* --- other CPUs --- */

static void
spun_for(int ipl)
{
	st_make_as(&A, SPIN, lockdebug_class("A", 0, LO_NEST_NONE, ipl), ipl);
	take(&A);
	drop(&A);
	waiter(LE_shootdown, true);
}

/* --- sleeps by their wmesg --- */

static kcondvar_t cv;
static kmutex_t interlock;
static bool done;

static void
sleeper(void)
{
	take(&A);
	mutex_enter(&interlock);
	while (!done)
		cv_wait(&cv, &interlock);
	mutex_exit(&interlock);
	drop(&A);
}

static void
short_sleeper(void)
{
	take(&A);
	mutex_enter(&interlock);
	while (!done)
		(void)cv_timedwait(&cv, &interlock, 1000000);
	mutex_exit(&interlock);
	drop(&A);
}

static void
call(void *arg)
{
	void (**fn)(void) = arg;

	(*fn)();
}

/* => fn slept, and was woken by who had B, or not */
static void
wake(void (*fn)(void), bool with_b)
{
	struct lwp *l;

	done = false;
	if (lwp_create(&l, NULL, "sleeper", call, &fn) != 0)
		panic("selftest: no LWP");
	lwp_start(l);
	while (!cv_has_waiters(&cv))
		yield();
	if (with_b)
		take(&B);
	mutex_enter(&interlock);
	done = true;
	cv_signal(&cv);
	mutex_exit(&interlock);
	if (with_b)
		drop(&B);
	lwp_wait(l);
}

enum { SLEEP_CYCLE, SLEEP_OTHER_WAKER, SLEEP_TIMEOUT };

static void
sleeps(int what)
{
	st_make(&A, READ, "A");
	st_make(&B, MUTEX, "B");
	mutex_init(&interlock, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("interlock", 0,
	    LO_NEST_NONE, LC_IPL_ANY));
	cv_init(&cv, "evt");
	for (int i = 0; i < 3; i++)
		wake(what == SLEEP_TIMEOUT ? short_sleeper : sleeper, true);
	if (what == SLEEP_OTHER_WAKER)
		wake(sleeper, false);
	take2(&B, &A);
	lockevent_judge(1);
}

/* --- pins and what was read --- */

static const void *
address(const struct st_lock *l)
{
	return l->st_kind == MUTEX || l->st_kind == SPIN ? (const void *)&l->st_m : &l->st_rw;
}

#define	WRONG	4			/* beside the kind of lock */

static void
pinned(int arg)
{
	st_make(&A, (enum st_kind)(arg & 3), "A");
	take(&A);
	lock_pin(address(&A));
	if ((arg & WRONG) == 0)
		lock_unpin(address(&A));
	drop(&A);
}

static void
pinned_over_others(int unbalanced)
{
	st_make_abc(KINDS(MUTEX, MUTEX, READ));
	take(&B);
	lock_pin(address(&B));
	take(&C);
	drop(&C);
	lock_unpin(address(&B));
	if (unbalanced)
		lock_unpin(address(&B));
	drop(&B);
}

static void
read_again(int arg)
{
	lockstate_t ls;

	st_make(&A, (enum st_kind)(arg & 3), "A");
	take(&A);
	ls = lock_snapshot(address(&A), 7);
	drop(&A);
	take(&A);
	if ((arg & WRONG) == 0)
		lock_revalidated(address(&A), &ls, 7);
	KASSERT_STABLE(address(&A), &ls);
	drop(&A);
}

static void
read_version(int version)
{
	lockstate_t ls;

	st_make(&A, READ, "A");
	take(&A);
	ls = lock_snapshot(address(&A), 7);
	drop(&A);
	take(&A);
	lock_revalidated(address(&A), &ls, (uint64_t)version);
	drop(&A);
}

static void
upgrade(int drops)
{
	lockstate_t ls;

	st_make(&A, READ, "A");
	take(&A);
	ls = lock_snapshot(address(&A), 0);
	if (drops) {
		drop(&A);
		take(&A);
	}
	if (!rw_tryupgrade(&A.st_rw))
		panic("selftest: the only reader was refused");
	rw_downgrade(&A.st_rw);
	KASSERT_STABLE(address(&A), &ls);
	drop(&A);
}

static const struct st_row rows[] = {
	{ "page busy, and its waiter's lock", wait_holding, LE_page_anon, "lock-cycle",
	    wait_after_drop, LE_page_anon },
	{ "the same, the waiter first", wait_then_provide, LE_page_aobj, "lock-cycle",
	    provider_tries, LE_page_aobj },
	{ "amap against page busy", amap_against_page, 1, "lock-order", amap_against_page, 0 },
	{ "a second busy page", second_page, LE_page_anon, "lock-order", second_page, LE_page_file },
	{ "page passed to a transfer", passed_on, 1, "lock-cycle", passed_on, 0 },
	{ "memory with a busy page", memory_with_page, 1, "lock-order", memory_with_page, 0 },
	{ "page daemon and a map", daemon_and_map, 0, "lock-order", daemon_and_map, 1 },
	{ "memory, and a lock", wait_holding, LE_memory, "lock-cycle", provider_tries, LE_memory },
	{ "pool reclaim waits for memory", depends, 1, "lock-order", depends, 0 },
	{ "busy map", wait_holding, LE_map_busy, "lock-cycle", wait_after_drop, LE_map_busy },
	{ "callbacks of RCU", wait_holding, LE_rcu, "lock-cycle", wait_after_drop, LE_rcu },
	{ "disk, and a spin lock", disk_with_spin, 1, "lock-order", disk_with_spin, 0 },
	{ "disk, and its handler's lock", wait_holding, LE_disk, "lock-cycle", wait_after_drop, LE_disk },
	{ "shootdown, lock at its IPL", spun_for, IPL_SCHED, "lock-cycle", spun_for, IPL_VM },
	{ "sleep that a cycle ends", sleeps, SLEEP_CYCLE, "lock-cycle", sleeps, SLEEP_OTHER_WAKER },
	{ "the same, with a time-out", sleeps, SLEEP_CYCLE, "lock-cycle", sleeps, SLEEP_TIMEOUT },
	{ "pinned mutex", pinned, WRONG | MUTEX, "lock-pinned", pinned, MUTEX },
	{ "pinned spin mutex", pinned, WRONG | SPIN, "lock-pinned", pinned, SPIN },
	{ "pinned rwlock, writer", pinned, WRONG | WRITE, "lock-pinned", pinned, WRITE },
	{ "pinned rwlock, reader", pinned, WRONG | READ, "lock-pinned", pinned, READ },
	{ "unpinned once too often", pinned_over_others, 1, "lock-pinned", pinned_over_others, 0 },
	{ "read, dropped, used: mutex", read_again, WRONG | MUTEX, "lock-stale-read", read_again, MUTEX },
	{ "read, dropped, used: reader", read_again, WRONG | READ, "lock-stale-read", read_again, READ },
	{ "another version", read_version, 8, "lock-stale-version", read_version, 7 },
	{ "an upgrade is no window", upgrade, 1, "lock-stale-read", upgrade, 0 },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_full = { "waits, pins and snapshots (audit=full)", rows };
