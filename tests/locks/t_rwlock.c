/* rwlock(9). */
#include <string.h>

#include <sys/cpu.h>
#include <sys/sleepq.h>

#include "validate.h"

KTEST(writer_excludes, "one LWP at a time holds an rwlock for writing, on 8 CPUs")
{
	validate_exclusion(&rwlock_writer, 8, 12, 2000);
}

KTEST(writer_excludes_on_one_cpu, "and where contenders cannot spin")
{
	validate_exclusion(&rwlock_writer, 1, 8, 2000);
}

KTEST(writer_sleeps, "contenders sleep while the writer sleeps, none is forgotten")
{
	validate_sleeping_holder(&rwlock_writer, 4, 8, 50);
}

KTEST(writer_try, "tryenter excludes as enter does")
{
	validate_try(&rwlock_writer, 4, 8, 1000);
}

KTEST(writer_owner, "rw_write_held() is true for the writer only")
{
	validate_owner(&rwlock_writer);
}

/* --- readers and writers together --- */

#define	ROUNDS	1500

static krwlock_t lock;
static int a, b;			/* lock; equal whenever it is free or read-held */
static int readers;			/* atomic: inside now */
static int readers_max;			/* atomic */
static int upgrades, downgrades;	/* atomic */

static void
read_both(void)
{
	int now = __atomic_add_fetch(&readers, 1, __ATOMIC_RELAXED);

	if (now > __atomic_load_n(&readers_max, __ATOMIC_RELAXED))
		__atomic_store_n(&readers_max, now, __ATOMIC_RELAXED);
	CHECK_EQ(a, b);
	__atomic_fetch_sub(&readers, 1, __ATOMIC_RELAXED);
}

static void
write_both(void)
{
	CHECK_EQ(__atomic_load_n(&readers, __ATOMIC_RELAXED), 0);
	CHECK(rw_write_held(&lock));
	a++;
	b++;
}

static void
mixed(void *arg)
{
	struct lwp *l = curlwp;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t dice = host_rng_below(&l->l_rng, 8);

		if (dice < 2) {
			rw_enter(&lock, RW_WRITER);
			write_both();
			if (dice == 1) {
				rw_downgrade(&lock);
				__atomic_fetch_add(&downgrades, 1, __ATOMIC_RELAXED);
				read_both();
			}
		} else {
			rw_enter(&lock, RW_READER);
			CHECK(rw_read_held(&lock));
			CHECK(!rw_write_held(&lock));
			read_both();
			if (dice == 2 && rw_tryupgrade(&lock)) {
				__atomic_fetch_add(&upgrades, 1, __ATOMIC_RELAXED);
				write_both();
			}
		}
		rw_exit(&lock);
		lwp_userret(64);
	}
}

static void
run_mixed(int n, int lwps)
{
	ktest_kern(n, ktest_seed());
	rw_init(&lock, LC_test);
	ktest_lwps(lwps, mixed);
	CHECK_EQ(a, b);
	CHECK(upgrades > 0);
	CHECK(downgrades > 0);
	rw_destroy(&lock);
	kern_shutdown();
}

KTEST(T77_readers_writers_upgrades, "readers, writers, upgrades and downgrades on 8 CPUs")
{
	run_mixed(8, 12);
}

KTEST(T77_more_lwps_than_cpus, "and 16 LWPs on 2 CPUs")
{
	run_mixed(2, 16);
}

/* --- order and hand-off, on one CPU, where each step is known --- */

static char order[16];			/* only the one CPU */
static int norder;

static void
note_reader(void *arg)
{
	rw_enter(&lock, RW_READER);
	order[norder++] = 'r';
	rw_exit(&lock);
}

static void
note_writer(void *arg)
{
	rw_enter(&lock, RW_WRITER);
	order[norder++] = 'w';
	rw_exit(&lock);
}

static struct lwp *
start(const char *name, void (*fn)(void *))
{
	struct lwp *l;

	CHECK_EQ(lwp_create(&l, NULL, name, fn, NULL), 0);
	lwp_start(l);
	return l;
}

/* => one CPU: sleeps, with whatever locks are held, until all others sleep too */
static void
let_others_run(void)
{
	kmutex_t m;

	mutex_init(&m, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_enter(&m);
	mtsleep(&m, true, "pause", 1000, &m);
	mutex_destroy(&m);
}

/* => what the sleepers wrote, when all were let in behind a holder of this kind */
static void
queue_up(krw_t hold, const char *who, const char *expect)
{
	struct lwp *l[8];
	int n = 0;

	ktest_kern(1, 1);
	rw_init(&lock, LC_test);
	for (const char *p = who; *p != '\0'; p++)
		l[n++] = start("waiter", *p == 'r' ? note_reader : note_writer);
	rw_enter(&lock, hold);
	/* The waiters run, and sleep on the lock, while this LWP sleeps with it. */
	let_others_run();
	CHECK_EQ(norder, hold == RW_READER ? (int)(strchr(who, 'w') - who) : 0);
	rw_exit(&lock);
	for (int i = 0; i < n; i++)
		lwp_wait(l[i]);
	if (strcmp(order, expect) != 0)
		ktest_fail(__FILE__, __LINE__, "order %s, not %s", order, expect);
	rw_destroy(&lock);
	kern_shutdown();
}

KTEST(hand_off_in_order, "sleepers get the lock in the order in which they came")
{
	queue_up(RW_WRITER, "rwrrwr", "rwrrwr");
}

KTEST(waiting_writer_keeps_readers_out, "a reader that comes after a waiting writer waits for it")
{
	queue_up(RW_READER, "rwr", "rwr");
}

/* --- readers beside each other --- */

static void
read_and_sleep(void *arg)
{
	int now;

	rw_enter(&lock, RW_READER);
	now = __atomic_add_fetch(&readers, 1, __ATOMIC_RELAXED);
	if (now > __atomic_load_n(&readers_max, __ATOMIC_RELAXED))
		__atomic_store_n(&readers_max, now, __ATOMIC_RELAXED);
	let_others_run();
	__atomic_fetch_sub(&readers, 1, __ATOMIC_RELAXED);
	rw_exit(&lock);
}

KTEST(readers_come_in_together, "when it is a reader's turn all readers up to the next writer come in with it")
{
	struct lwp *l[5];

	ktest_kern(1, 1);
	rw_init(&lock, LC_test);
	for (int i = 0; i < 5; i++)
		l[i] = start("waiter", i == 3 ? note_writer : read_and_sleep);
	rw_enter(&lock, RW_WRITER);
	let_others_run();
	CHECK_EQ(readers_max, 0);
	rw_exit(&lock);
	for (int i = 0; i < 5; i++)
		lwp_wait(l[i]);
	CHECK_EQ(readers_max, 3);
	rw_destroy(&lock);
	kern_shutdown();
}

static void
try_all(void *arg)
{
	CHECK(!rw_tryenter(&lock, RW_WRITER));
	CHECK(rw_tryenter(&lock, RW_READER));
	CHECK(!rw_tryupgrade(&lock));		/* lwp0 reads too */
	CHECK(rw_read_held(&lock));
	rw_exit(&lock);
}

KTEST(upgrade_is_for_the_sole_reader, "tryupgrade fails beside another reader and keeps the read hold")
{
	struct lwp *l;

	ktest_kern(1, 1);
	rw_init(&lock, LC_test);
	rw_enter(&lock, RW_READER);
	l = start("other", try_all);
	let_others_run();
	CHECK(rw_tryupgrade(&lock));
	CHECK(rw_write_held(&lock));
	CHECK(!rw_read_held(&lock));
	CHECK(rw_lock_held(&lock));
	rw_exit(&lock);
	lwp_wait(l);
	rw_destroy(&lock);
	kern_shutdown();
}

static int arrived;			/* atomic: both LWPs at the next gate */
static int winners;			/* lock, for writing */

/* => returns when both LWPs have come to the gate for the n-th time */
static void
gate(int n)
{
	unsigned spins = 0;

	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < 2 * n) {
		intr_poll();
		host_relax(&spins);
	}
}

static void
try_to_read_at_once(void *arg)
{
	for (unsigned i = 1; i <= ktest_scale(300); i++) {
		gate((int)i);
		for (int k = 0; k < 20000; k++) {
			CHECK(rw_tryenter(&lock, RW_READER));
			rw_exit(&lock);
		}
	}
}

KTEST(readers_do_not_fail_each_other, "a reader that tries is not refused because another one was quicker")
{
	lockdebug_on = false;		/* it takes time, and they are to meet */
	ktest_kern(2, ktest_seed());
	rw_init(&lock, LC_test);
	ktest_lwps(2, try_to_read_at_once);
	rw_destroy(&lock);
	kern_shutdown();
}

static void
upgrade_at_once(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		rw_enter(&lock, RW_READER);
		gate(2 * i + 1);
		if (rw_tryupgrade(&lock)) {
			a++;			/* alone, or ThreadSanitizer sees the other */
			winners++;
		}
		rw_exit(&lock);
		gate(2 * i + 2);
		CHECK(winners <= i + 1);
	}
}

KTEST(T77_two_readers_upgrade_at_once, "of two readers that upgrade at the same time at most one wins")
{
	ktest_kern(2, ktest_seed());
	rw_init(&lock, LC_test);
	ktest_lwps(2, upgrade_at_once);
	CHECK_EQ(a, winners);
	rw_destroy(&lock);
	kern_shutdown();
}

/* holder  W......Rr		sleepers, as they came: R w R
 * first       R..		comes in with the downgrade, beside the holder
 * others	   w.R..	wait for both, and keep their order
 */
KTEST(downgrade_admits_readers_up_to_the_next_writer,
    "with a downgrade the first sleeping readers come in, the writer behind them waits for all")
{
	struct lwp *l[3];

	ktest_kern(1, 1);
	rw_init(&lock, LC_test);
	rw_enter(&lock, RW_WRITER);
	l[0] = start("waiter", note_reader);
	l[1] = start("waiter", note_writer);
	l[2] = start("waiter", note_reader);
	let_others_run();
	CHECK_EQ(norder, 0);
	rw_downgrade(&lock);
	CHECK(rw_read_held(&lock));
	let_others_run();
	CHECK(strcmp(order, "r") == 0);
	CHECK(rw_read_held(&lock));
	rw_exit(&lock);
	for (int i = 0; i < 3; i++)
		lwp_wait(l[i]);
	CHECK(strcmp(order, "rwr") == 0);
	rw_destroy(&lock);
	kern_shutdown();
}

static int step;			/* atomic, relaxed: orders in time, not in memory */

static void
wait_step(int n)
{
	unsigned spins = 0;

	while (__atomic_load_n(&step, __ATOMIC_RELAXED) < n)
		host_relax(&spins);
}

static void
set_step(int n)
{
	__atomic_store_n(&step, n, __ATOMIC_RELAXED);
}

/* The first of two readers to leave; until the end it meets nobody any more. */
static void
early_reader(void *arg)
{
	rw_enter(&lock, RW_READER);
	CHECK_EQ(a, 0);
	set_step(1);
	wait_step(2);
	rw_exit(&lock);
	set_step(3);
	wait_step(4);
}

static void
late_writer(void *arg)
{
	rw_enter(&lock, RW_WRITER);
	a = 1;
	rw_exit(&lock);
	set_step(4);
}

KTEST(earlier_readers_are_before_the_next_writer,
    "a writer that gets the lock from the last reader is ordered after those who left before")
{
	struct lwp *early, *late;
	unsigned spins = 0;

	ktest_kern(3, 1);
	rw_init(&lock, LC_test);
	rw_enter(&lock, RW_READER);
	early = start("early", early_reader);
	wait_step(1);
	late = start("late", late_writer);
	while (__atomic_load_n(&late->l_stat, __ATOMIC_RELAXED) != LSSLEEP)
		host_relax(&spins);
	set_step(2);
	wait_step(3);
	rw_exit(&lock);
	lwp_wait(early);
	lwp_wait(late);
	rw_destroy(&lock);
	kern_shutdown();
}

KTEST_MAIN()
