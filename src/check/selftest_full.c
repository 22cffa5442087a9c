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

/* --- an event and a lock --- */

/* What goes on between begin() and end(); who waits for the event waits for that. */
static enum lock_event event;		/* : set before the case's LWPs are started */
static kcondvar_t cv;
static kmutex_t interlock;
static bool busy;			/* interlock */

static void
make_event(enum lock_event ev)
{
	event = ev;
	busy = false;
	mutex_init(&interlock, MUTEX_DEFAULT, IPL_NONE, lockdebug_class("interlock", 0, LO_NEST_NONE, LC_IPL_ANY));
	cv_init(&cv, "evt");
}

static void
set(bool *flag, bool on)
{
	mutex_enter(&interlock);
	*flag = on;
	cv_broadcast(&cv);
	mutex_exit(&interlock);
}

/* => of two of a kind, which goes on while that is set */
static uint32_t
number_of(const bool *flag)
{
	return flag == &busy ? 1 : 2;
}

static void
wait_while(const bool *flag, enum lock_event ev)
{
	lockevent_wait(ev);			/* be it so or not */
	mutex_enter(&interlock);
	while (*flag) {
		lockevent_next_of(ev, number_of(flag));
		cv_wait(&cv, &interlock);
	}
	mutex_exit(&interlock);
}

/* => who has to end waits for the event wants the lock */
static void
provider(void)
{
	set(&busy, true);
	lockevent_begin_of(event, number_of(&busy));
	take(&A);
	drop(&A);
	lockevent_end_of(event, number_of(&busy));
	set(&busy, false);
}

static void
trying_provider(void)
{
	set(&busy, true);
	lockevent_begin_of(event, number_of(&busy));
	if (try(&A))
		drop(&A);
	lockevent_end_of(event, number_of(&busy));
	set(&busy, false);
}

/* => somebody waits for the event with the lock in hand, or after he has let go of it */
static void
waiter(void)
{
	take(&A);
	wait_while(&busy, event);
	drop(&A);
}

static void
empty_handed_waiter(void)
{
	take(&A);
	drop(&A);
	wait_while(&busy, event);
}

static void
wait_holding(int ev)
{
	st_make(&A, MUTEX, "A");
	make_event((enum lock_event)ev);
	in_lwp(provider);
	in_lwp(waiter);
}

static void
wait_then_provide(int ev)
{
	st_make(&A, WRITE, "A");
	make_event((enum lock_event)ev);
	in_lwp(waiter);
	in_lwp(provider);
}

static void
wait_after_drop(int ev)
{
	st_make(&A, MUTEX, "A");
	make_event((enum lock_event)ev);
	in_lwp(provider);
	in_lwp(empty_handed_waiter);
}

static void
provider_tries(int ev)
{
	st_make(&A, WRITE, "A");
	make_event((enum lock_event)ev);
	in_lwp(waiter);
	in_lwp(trying_provider);
}

/* G is held by both */
static void
gated_provider(void)
{
	take(&G);
	provider();
	drop(&G);
}

static void
gated_waiter(void)
{
	take(&G);
	waiter();
	drop(&G);
}

static void
wait_in_gate(int both)
{
	st_make(&A, MUTEX, "A");
	st_make(&G, MUTEX, "gate");
	make_event(LE_page_anon);
	in_lwp(gated_provider);
	in_lwp(both ? gated_waiter : waiter);
}

/* --- by rank: one side is enough --- */

/* => nobody has to be waited for: that he would is enough */
static void
would_wait(enum lock_event ev, bool holds)
{
	take(&A);
	if (!holds)
		drop(&A);
	lockevent_wait(ev);
	if (holds)
		drop(&A);
}

static void
amap_against_page(int holds)
{
	st_make_as(&A, MUTEX, LC_amap, IPL_NONE);
	would_wait(LE_page_anon, holds != 0);
}

static void
daemon_and_map(int tries)
{
	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	make_event(LE_memory);
	in_lwp(tries ? trying_provider : provider);
}

static void
memory_with_page(int with)
{
	if (with)
		lockevent_begin(LE_page_file);
	lockevent_wait(LE_memory);
	if (with)
		lockevent_end(LE_page_file);
}

static void
second_page(int ev)
{
	lockevent_begin((enum lock_event)ev);
	lockevent_wait((enum lock_event)ev);
	lockevent_end((enum lock_event)ev);
}

static bool busy2;			/* interlock */

static void
page_1_then_2(void)
{
	set(&busy, true);
	lockevent_begin_of(event, number_of(&busy));
	wait_while(&busy2, event);
	lockevent_end_of(event, number_of(&busy));
	set(&busy, false);
}

static void
page_2_then_1(void)
{
	set(&busy2, true);
	lockevent_begin_of(event, number_of(&busy2));
	wait_while(&busy, event);
	lockevent_end_of(event, number_of(&busy2));
	set(&busy2, false);
}

static void
no_page_then_1(void)
{
	wait_while(&busy, event);
}

static void
two_pages(int both)
{
	make_event(LE_page_anon);
	busy2 = false;
	in_lwp(page_1_then_2);
	in_lwp(both ? page_2_then_1 : page_1_then_2);
}

static void
pages_one_by_one(int ev)
{
	make_event((enum lock_event)ev);
	in_lwp(no_page_then_1);
	in_lwp(no_page_then_1);
}

static void
disk_with_spin(int spin)
{
	st_make_as(&A, spin ? SPIN : WRITE, spin ? LC_disk : LC_map, spin ? IPL_VM : IPL_NONE);
	would_wait(LE_disk, true);
}

/* --- through another event --- */

static void
page_to_transfer(void)
{
	lockevent_begin(LE_page_file);
	lockevent_pass(LE_page_file, LE_aiodone, 0);
}

static void
transfer(void)
{
	event = LE_aiodone;
	provider();
}

static void
page_waiter(void)
{
	take(&A);
	wait_while(&busy, LE_page_file);
	drop(&A);
}

static void
passed_on(int wrong)
{
	st_make(&A, MUTEX, "A");
	make_event(LE_aiodone);
	in_lwp(page_to_transfer);
	if (wrong)
		in_lwp(transfer);
	in_lwp(page_waiter);
}

/* => nobody waits in earnest */
static void
depends(int wrong)
{
	lockevent_depends(LE_memory, wrong ? LE_pool_recl : LE_aiodone);
	lockevent_begin(LE_pool_recl);
	lockevent_wait(wrong ? LE_memory : LE_shootdown);
	lockevent_end(LE_pool_recl);
}

/* The daemon waits for what pools give back, and who does that waits for memory; busy2: he is at it. */
static void
daemon_round(void)
{
	set(&busy, true);
	lockevent_begin_of(LE_memory, number_of(&busy));
	wait_while(&busy2, LE_pool_recl);
	lockevent_end_of(LE_memory, number_of(&busy));
	set(&busy, false);
}

static void
reclaimer(void)
{
	set(&busy2, true);
	lockevent_begin_of(LE_pool_recl, number_of(&busy2));
	wait_while(&busy, LE_memory);
	lockevent_end_of(LE_pool_recl, number_of(&busy2));
	set(&busy2, false);
}

static void
free_reclaimer(void)
{
	set(&busy2, true);
	lockevent_begin_of(LE_pool_recl, number_of(&busy2));
	lockevent_end_of(LE_pool_recl, number_of(&busy2));
	set(&busy2, false);
}

static void
reclaim(int waits)
{
	make_event(LE_memory);
	busy2 = false;
	in_lwp(daemon_round);
	in_lwp(waits ? reclaimer : free_reclaimer);
}

/* --- other CPUs --- */

static void
spun_for(int ipl)
{
	st_make_as(&A, SPIN, lockdebug_class("A", 0, LO_NEST_NONE, ipl), ipl);
	take(&A);
	drop(&A);
	would_wait(LE_shootdown, true);
}

/* --- sleeps by their wmesg --- */

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

static void
wake_with_b(void)
{
	take(&B);
	set(&done, true);
	drop(&B);
}

static void
wake_with_none(void)
{
	set(&done, true);
}

static void
take_ba(void)
{
	take2(&B, &A);
}

enum { SLEEP_CYCLE, SLEEP_OTHER_WAKER, SLEEP_TIMEOUT };
#define	SLEEP(what, kind)	((what) | (int)(kind) << 2)

static void
sleeps(int arg)
{
	const int what = arg & 3;
	void (*const fn)(void) = what == SLEEP_TIMEOUT ? short_sleeper : sleeper;

	st_make(&A, (enum st_kind)(arg >> 2), "A");
	st_make(&B, MUTEX, "B");
	make_event(LE_NONE);
	done = false;
	if (st_at_once) {
		st_start(fn);
		st_start(wake_with_b);
		st_start(take_ba);
		if (what == SLEEP_OTHER_WAKER)
			st_start(wake_with_none);
		return;
	}
	for (int i = 0; i < 3; i++)
		wake(fn, true);
	if (what == SLEEP_OTHER_WAKER)
		wake(sleeper, false);
	in_lwp(take_ba);
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
	    wait_after_drop, LE_page_anon, "confirmed", NULL },
	{ "the same, the waiter first", wait_then_provide, LE_page_aobj, "lock-cycle",
	    provider_tries, LE_page_aobj, "confirmed", NULL },
	{ "the same, one in a gate; both (legal)", wait_in_gate, 0, "lock-cycle", wait_in_gate, 1,
	    "confirmed", "guarded" },
	{ "amap against page busy", amap_against_page, 1, "lock-order", amap_against_page, 0, "one way", NULL },
	{ "a second busy page", second_page, LE_page_anon, "lock-order", second_page, LE_page_file,
	    "unconfirmed", NULL },
	{ "two busy pages, both ways by two LWPs", two_pages, 1, "lock-order", pages_one_by_one, LE_page_anon,
	    "confirmed", NULL },
	{ "page passed to a transfer", passed_on, 1, "lock-cycle", passed_on, 0, "confirmed", NULL },
	{ "memory with a busy page", memory_with_page, 1, "lock-order", memory_with_page, 0, "one way", NULL },
	{ "page daemon and a map", daemon_and_map, 0, "lock-order", daemon_and_map, 1, "one way", NULL },
	{ "memory, and a lock", wait_holding, LE_memory, "lock-cycle", provider_tries, LE_memory,
	    "confirmed", NULL },
	{ "pool reclaim would wait for memory", depends, 1, "lock-order", depends, 0, "unconfirmed", NULL },
	{ "pool reclaim waits for memory, and that for it", reclaim, 1, "lock-order", reclaim, 0, "confirmed", NULL },
	{ "busy map", wait_holding, LE_map_busy, "lock-cycle", wait_after_drop, LE_map_busy, "confirmed", NULL },
	{ "callbacks of RCU", wait_holding, LE_rcu, "lock-cycle", wait_after_drop, LE_rcu, "confirmed", NULL },
	{ "disk, and a spin lock", disk_with_spin, 1, "lock-order", disk_with_spin, 0, "one way", NULL },
	{ "disk, and its handler's lock", wait_holding, LE_disk, "lock-cycle", wait_after_drop, LE_disk,
	    "confirmed", NULL },
	/* one LWP alone, and nobody who spins */
	{ "shootdown, lock at its IPL", spun_for, IPL_SCHED, "lock-cycle", spun_for, IPL_VM, "unconfirmed", NULL },
	{ "sleep that a cycle ends", sleeps, SLEEP(SLEEP_CYCLE, WRITE), "lock-cycle",
	    sleeps, SLEEP(SLEEP_OTHER_WAKER, WRITE), "confirmed", NULL },
	{ "the same, with a time-out", sleeps, SLEEP(SLEEP_CYCLE, MUTEX), "lock-cycle",
	    sleeps, SLEEP(SLEEP_TIMEOUT, MUTEX), "confirmed", NULL },
	{ "the same, held by readers", sleeps, SLEEP(SLEEP_CYCLE, READ), "lock-cycle",
	    sleeps, SLEEP(SLEEP_OTHER_WAKER, READ), "latent", NULL },
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

const struct st_group selftest_full = { "waits, pins and snapshots (audit=full)", rows, true };
