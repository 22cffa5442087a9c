/*
 * Pins and snapshots: who drops a lock behind its caller's back, and who uses what it read
 * before a lock was dropped, is told; who looks again is not.
 */
#include <string.h>

#include <ktest_kern.h>
#include <sys/lockstate.h>
#include <sys/lockstat.h>
#include <sys/mutex.h>
#include <sys/rwlock.h>

static kmutex_t m;
static krwlock_t map;

static void
boot(void)
{
	lockaudit_full = true;
	ktest_kern(2, 1);
	ktest_expect_violations();
	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_amap);
	rw_init(&map, LC_map);
}

static unsigned
told(void)
{
	return ktest_violations(VIOL_LOCK_ASSERTION);
}

/* --- pins --- */

KTEST(pinned_is_released, "to release a pinned lock is reported, to take it again does not help")
{
	boot();
	mutex_enter(&m);
	lock_pin(&m);
	mutex_exit(&m);
	CHECK_EQ(told(), 1);
	CHECK(strstr(ktest_violation.v_message, "pinned") != NULL);
	mutex_enter(&m);
	lock_unpin(&m);
	mutex_exit(&m);
	kern_shutdown();
}

KTEST(pinned_and_unpinned, "a pin that is out in time says nothing; pins count; a downgrade is no release")
{
	boot();
	mutex_enter(&m);
	lock_pin(&m);
	lock_pin(&m);
	lock_unpin(&m);
	lock_unpin(&m);
	mutex_exit(&m);
	rw_enter(&map, RW_WRITER);
	lock_pin(&map);
	rw_downgrade(&map);
	CHECK(rw_tryupgrade(&map));
	lock_unpin(&map);
	rw_exit(&map);
	CHECK_EQ(told(), 0);
	mutex_enter(&m);
	lock_pin(&m);
	lock_pin(&m);
	lock_unpin(&m);
	mutex_exit(&m);
	CHECK_EQ(told(), 1);
	kern_shutdown();
}

KTEST(pin_survives_others, "a pin is the lock's own: others come and go, in any order")
{
	kmutex_t other;

	boot();
	mutex_init(&other, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
	rw_enter(&map, RW_READER);
	mutex_enter(&m);
	lock_pin(&m);
	mutex_enter(&other);
	rw_exit(&map);
	mutex_exit(&other);
	CHECK_EQ(told(), 0);
	lock_unpin(&m);
	mutex_exit(&m);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(unpin_of_nothing, "to unpin what is not pinned is reported")
{
	boot();
	mutex_enter(&m);
	lock_unpin(&m);
	mutex_exit(&m);
	CHECK_EQ(told(), 1);
	kern_shutdown();
}

/* --- snapshots --- */

KTEST(stale_read, "what was read before the lock was dropped is not used after, though nobody came in between")
{
	lockstate_t ls;

	boot();
	mutex_enter(&m);
	ls = lock_snapshot(&m, 0);
	KASSERT_STABLE(&m, &ls);
	mutex_exit(&m);
	mutex_enter(&m);
	CHECK_EQ(told(), 0);
	KASSERT_STABLE(&m, &ls);
	mutex_exit(&m);
	CHECK_EQ(told(), 1);
	CHECK(strstr(ktest_violation.v_message, "stale_read uses what it read") != NULL);
	kern_shutdown();
}

KTEST(revalidated_read, "who has looked again may use it, until the next time")
{
	lockstate_t ls;

	boot();
	rw_enter(&map, RW_READER);
	ls = lock_snapshot(&map, 7);
	rw_exit(&map);
	rw_enter(&map, RW_READER);
	lock_revalidated(&map, &ls, 7);
	KASSERT_STABLE(&map, &ls);
	CHECK_EQ(told(), 0);
	rw_exit(&map);
	rw_enter(&map, RW_READER);
	KASSERT_STABLE(&map, &ls);
	rw_exit(&map);
	CHECK_EQ(told(), 1);
	kern_shutdown();
}

KTEST(upgrade_is_no_window, "nobody comes in between when a reader becomes the writer, or back")
{
	lockstate_t ls;

	boot();
	rw_enter(&map, RW_READER);
	ls = lock_snapshot(&map, 1);
	CHECK(rw_tryupgrade(&map));
	KASSERT_STABLE(&map, &ls);
	rw_downgrade(&map);
	KASSERT_STABLE(&map, &ls);
	rw_exit(&map);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST(stale_version, "to go on with another version than was read is reported")
{
	lockstate_t ls;

	boot();
	rw_enter(&map, RW_READER);
	ls = lock_snapshot(&map, 7);
	rw_exit(&map);
	rw_enter(&map, RW_READER);
	lock_revalidated(&map, &ls, 8);
	rw_exit(&map);
	CHECK_EQ(told(), 1);
	CHECK(strstr(ktest_violation.v_message, "version 7") != NULL);
	kern_shutdown();
}

/* --- statistics by call site --- */

KTEST(sites, "each call site has its own numbers, those that wait come first")
{
	struct lockstat_site s[64];
	unsigned n, first = 0, second = 0;

	boot();
	for (int i = 0; i < 100; i++) {
		mutex_enter(&m);
		mutex_exit(&m);
	}
	for (int i = 0; i < 50; i++) {
		CHECK(mutex_tryenter(&m));
		mutex_exit(&m);
	}
	n = lockstat_sites(s, 64);
	for (unsigned i = 0; i < n; i++) {
		first += s[i].lss_class == LC_amap && s[i].lss_acquisitions == 100;
		second += s[i].lss_class == LC_amap && s[i].lss_acquisitions == 50;
	}
	CHECK_EQ(first, 1);
	CHECK_EQ(second, 1);
	CHECK_EQ(lockstat_sites_lost(), 0);
	kern_shutdown();
}

static int inside;

static void
contend(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		mutex_enter(&m);
		inside++;
		for (int k = 0; k < 50; k++)
			__asm__ volatile("");
		mutex_exit(&m);
		if (i % 64 == 0)
			yield();
	}
}

KTEST(sites_wait_and_hold, "where it was waited, how long, and how long it was held")
{
	struct lockstat_site s[64];
	unsigned n;
	uint64_t acquired = 0, held = 0, most = 0;

	boot();
	ktest_lwps(4, contend);
	CHECK_EQ(inside, 8000);
	n = lockstat_sites(s, 64);
	for (unsigned i = 0; i < n; i++)
		if (s[i].lss_class == LC_amap) {
			acquired += s[i].lss_acquisitions;
			held += s[i].lss_holds;
			CHECK(s[i].lss_hold_ns >= s[i].lss_hold_ns_max);
			CHECK(s[i].lss_wait_ns >= s[i].lss_wait_ns_max);
			CHECK(s[i].lss_contended <= s[i].lss_acquisitions);
			if (s[i].lss_wait_ns > most)
				most = s[i].lss_wait_ns;
		}
	CHECK_EQ(acquired, 8000);
	CHECK(held >= 8000 / LOCKSTAT_SAMPLE / 2);
	CHECK_EQ(most, n > 0 ? s[0].lss_class == LC_amap ? s[0].lss_wait_ns : most : 0);
	kern_shutdown();
}

KTEST_MAIN()
