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

KTEST(a_pin_is_no_window, "nor when the lock is pinned, or is not pinned any more")
{
	lockstate_t before, pinned;

	boot();
	mutex_enter(&m);
	before = lock_snapshot(&m, 0);
	lock_pin(&m);
	pinned = lock_snapshot(&m, 0);
	KASSERT_STABLE(&m, &before);
	lock_unpin(&m);
	KASSERT_STABLE(&m, &pinned);
	mutex_exit(&m);
	CHECK_EQ(told(), 0);
	kern_shutdown();
}

KTEST_DEATH(snapshot_of_another_lock, "what was read under one lock is not used under another", "the snapshot is of another lock")
{
	lockstate_t ls;

	boot();
	rw_enter(&map, RW_READER);
	mutex_enter(&m);
	ls = lock_snapshot(&map, 0);
	KASSERT_STABLE(&m, &ls);
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

static __attribute__((noinline)) void
take_and_drop(kmutex_t *mtx)
{
	mutex_enter(mtx);
	mutex_exit(mtx);
}

KTEST(a_site_of_two_classes, "one call takes locks of several classes: each has its own numbers")
{
	struct lockstat_site s[64];
	unsigned n, amap = 0, other = 0;
	kmutex_t misc;

	boot();
	mutex_init(&misc, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
	for (int i = 0; i < 30; i++)
		take_and_drop(i < 20 ? &m : &misc);
	n = lockstat_sites(s, 64);
	for (unsigned i = 0; i < n; i++) {
		amap += s[i].lss_class == LC_amap ? (unsigned)s[i].lss_acquisitions : 0;
		other += s[i].lss_class == LC_map_misc ? (unsigned)s[i].lss_acquisitions : 0;
	}
	CHECK_EQ(amap, 20);
	CHECK_EQ(other, 10);
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

/* --- statistics by class --- */

#define	WAIT_NS		2000000

static kmutex_t spin, other;

/* What is held by lwp0, and wanted by the other one. */
struct contest {
	const void	*co_lock;
	void		(*co_hold)(void), (*co_want)(void), (*co_drop)(void);
	enum lock_class	 co_class;
};

static void
enter_m(void)
{
	mutex_enter(&m);
}

static void
exit_m(void)
{
	mutex_exit(&m);
}

static void
enter_spin(void)
{
	mutex_enter(&spin);
}

static void
exit_spin(void)
{
	mutex_exit(&spin);
}

static void
write_map(void)
{
	rw_enter(&map, RW_WRITER);
}

static void
read_map(void)
{
	rw_enter(&map, RW_READER);
}

static void
exit_map(void)
{
	rw_exit(&map);
}

static void
want(void *arg)
{
	const struct contest *co = arg;

	mutex_enter(&other);		/* there is room for what it holds, from its first lock on */
	mutex_exit(&other);
	CHECK(curlwp->l_wants == NULL);
	co->co_want();
	CHECK(curlwp->l_wants == NULL);
	co->co_drop();
}

/* => lwp0 has had the lock for so long since the other one began to wait for it */
static void
contest(const struct contest *co)
{
	struct lwp *l;
	unsigned spins = 0;
	uint64_t since;

	co->co_hold();
	CHECK_EQ(lwp_create(&l, NULL, "other", want, (void *)(uintptr_t)co), 0);
	lwp_start(l);
	while (__atomic_load_n(&l->l_wants, __ATOMIC_RELAXED) != co->co_lock)
		host_relax(&spins);
	since = host_now_ns();
	while (host_now_ns() - since < WAIT_NS)
		host_relax(&spins);
	co->co_drop();
	lwp_wait(l);
}

/* => the call sites of the class have all that its own numbers have */
static void
sites_agree(enum lock_class class, const struct lockstat *ls)
{
	struct lockstat_site s[64], sum = { .lss_wait_ns_max = 0 };
	const unsigned n = lockstat_sites(s, 64);

	for (unsigned i = 0; i < n; i++)
		if (s[i].lss_class == class) {
			sum.lss_acquisitions += s[i].lss_acquisitions;
			sum.lss_contended += s[i].lss_contended;
			sum.lss_wait_ns += s[i].lss_wait_ns;
			sum.lss_wait_ns_max += s[i].lss_wait_ns_max;
		}
	CHECK_EQ(sum.lss_acquisitions, ls->ls_acquisitions);
	CHECK_EQ(sum.lss_contended, ls->ls_contended);
	CHECK_EQ(sum.lss_wait_ns, ls->ls_wait_ns);
	CHECK(sum.lss_wait_ns_max > 0 && sum.lss_wait_ns_max <= sum.lss_wait_ns);
}

KTEST(who_waits_is_counted, "each wait for a lock is counted, with its length, and for what it is while it lasts; the second time, too")
{
	static const struct contest contests[] = {
		{ &m, enter_m, enter_m, exit_m, LC_amap },
		{ &spin, enter_spin, enter_spin, exit_spin, LC_fpageq },
		{ &map, write_map, write_map, exit_map, LC_map },
		{ &map, write_map, read_map, exit_map, LC_map },
		{ &map, read_map, write_map, exit_map, LC_map },
	};
	struct lockstat ls;
	uint64_t before;

	for (int full = 0; full < 2; full++)
		for (unsigned i = 0; i < sizeof(contests) / sizeof(contests[0]); i++) {
			lockaudit_full = full;
			ktest_kern(2, 1);
			mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_amap);
			mutex_init(&spin, MUTEX_DEFAULT, IPL_VM, LC_fpageq);
			mutex_init(&other, MUTEX_DEFAULT, IPL_NONE, LC_map_misc);
			rw_init(&map, LC_map);
			before = 0;
			for (unsigned n = 1; n <= 3; n++) {
				contest(&contests[i]);
				lockstat_get(contests[i].co_class, &ls);
				CHECK_EQ(ls.ls_acquisitions, 2 * n);
				CHECK_EQ(ls.ls_contended, n);
				CHECK(ls.ls_wait_ns > before);
				before = ls.ls_wait_ns;
			}
			if (full)
				sites_agree(contests[i].co_class, &ls);
			CHECK(before >= WAIT_NS);	/* one of the three was not late to look at the clock */
			kern_shutdown();
		}
}

KTEST(a_hold_is_timed, "of so many holds one is timed")
{
	struct lockstat ls;

	for (int full = 0; full < 2; full++) {
		lockaudit_full = full;
		ktest_kern(1, 1);
		mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_amap);
		for (int i = 1; i <= LOCKSTAT_SAMPLE; i++) {
			const uint64_t since = host_now_ns();

			lockstat_get(LC_amap, &ls);
			CHECK_EQ(ls.ls_hold_ns_max, 0);
			mutex_enter(&m);
			while (host_now_ns() - since < 10000)
				;
			mutex_exit(&m);
		}
		lockstat_get(LC_amap, &ls);
		CHECK_EQ(ls.ls_acquisitions, LOCKSTAT_SAMPLE);
		CHECK_EQ(ls.ls_contended, 0);
		CHECK(ls.ls_hold_ns_max >= 5000);
		kern_shutdown();
	}
}

KTEST_MAIN()
