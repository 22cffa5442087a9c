/* See validate.h. */
#include <sys/sleepq.h>

#include "validate.h"

/* --- the kinds --- */

static kmutex_t mtx;
static krwlock_t rw;

static void
adaptive_init(void)
{
	mutex_init(&mtx, MUTEX_DEFAULT, IPL_NONE, LC_test);
}

static void
spin_init(void)
{
	mutex_init(&mtx, MUTEX_DEFAULT, IPL_VM, LC_test);
}

static void
m_destroy(void)
{
	mutex_destroy(&mtx);
}

static void
m_enter(void)
{
	mutex_enter(&mtx);
}

static bool
m_tryenter(void)
{
	return mutex_tryenter(&mtx);
}

static void
m_exit(void)
{
	mutex_exit(&mtx);
}

static bool
m_held(void)
{
	return mutex_owned(&mtx);
}

static void
w_init(void)
{
	rw_init(&rw, LC_test);
}

static void
w_destroy(void)
{
	rw_destroy(&rw);
}

static void
w_enter(void)
{
	rw_enter(&rw, RW_WRITER);
}

static bool
w_tryenter(void)
{
	return rw_tryenter(&rw, RW_WRITER);
}

static void
w_exit(void)
{
	rw_exit(&rw);
}

static bool
w_held(void)
{
	return rw_write_held(&rw);
}

const struct lock_kind adaptive_mutex = {
	"adaptive mutex", adaptive_init, m_destroy, m_enter, m_tryenter, m_exit, m_held, true,
};
const struct lock_kind spin_mutex = {
	"spin mutex", spin_init, m_destroy, m_enter, m_tryenter, m_exit, m_held, false,
};
const struct lock_kind rwlock_writer = {
	"rwlock, writer", w_init, w_destroy, w_enter, w_tryenter, w_exit, w_held, true,
};

/* --- the properties --- */

static const struct lock_kind *kind;	/* stable during a run */
static int rounds_each;			/* stable during a run */
static int inside;			/* the lock under test */
static uint64_t count;			/* the lock under test */
static kmutex_t pause_lock;

static void
critical(void)
{
	CHECK_EQ(inside, 0);
	inside = 1;
	CHECK(kind->lk_held());
	count++;
	CHECK_EQ(inside, 1);
	inside = 0;
}

static void
run(const struct lock_kind *lk, int n, int lwps, int rounds, void (*fn)(void *))
{
	kind = lk;
	rounds_each = rounds;
	inside = 0;
	count = 0;
	ktest_kern(n, ktest_seed());
	lk->lk_init();
	mutex_init(&pause_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	ktest_lwps(lwps, fn);
	CHECK_EQ(count, (uint64_t)lwps * (uint64_t)rounds);
	mutex_destroy(&pause_lock);
	lk->lk_destroy();
	kern_shutdown();
}

static void
enter_exit(void *arg)
{
	for (int i = 0; i < rounds_each; i++) {
		kind->lk_enter();
		critical();
		kind->lk_exit();
		CHECK(!kind->lk_held());
		lwp_userret(64);
	}
}

void
validate_exclusion(const struct lock_kind *lk, int n, int lwps, int rounds)
{
	run(lk, n, lwps, rounds, enter_exit);
}

static void
try_exit(void *arg)
{
	for (int i = 0; i < rounds_each; i++) {
		while (!kind->lk_tryenter())
			yield();
		critical();
		kind->lk_exit();
	}
}

void
validate_try(const struct lock_kind *lk, int n, int lwps, int rounds)
{
	run(lk, n, lwps, rounds, try_exit);
}

static void
enter_sleep_exit(void *arg)
{
	for (int i = 0; i < rounds_each; i++) {
		kind->lk_enter();
		CHECK_EQ(inside, 0);
		inside = 1;
		mutex_enter(&pause_lock);
		mtsleep(&count, true, "pause", 20000, &pause_lock);
		inside = 0;
		count++;
		CHECK(kind->lk_held());
		kind->lk_exit();
	}
}

void
validate_sleeping_holder(const struct lock_kind *lk, int n, int lwps, int rounds)
{
	CHECK(lk->lk_sleeps);
	run(lk, n, lwps, rounds, enter_sleep_exit);
}

static void
is_not_mine(void *arg)
{
	CHECK(!kind->lk_held());
	CHECK(!kind->lk_tryenter());
	count++;
}

void
validate_owner(const struct lock_kind *lk)
{
	struct lwp *l;

	kind = lk;
	count = 0;
	ktest_kern(2, ktest_seed());
	lk->lk_init();
	CHECK(!lk->lk_held());
	CHECK_EQ(lwp_create(&l, NULL, "other", is_not_mine, NULL), 0);
	lk->lk_enter();
	CHECK(lk->lk_held());
	lwp_start(l);
	/* The other one runs on the second CPU while this one holds the lock. */
	for (unsigned spins = 0; __atomic_load_n(&l->l_stat, __ATOMIC_ACQUIRE) != LSZOMB;)
		host_relax(&spins);
	CHECK(lk->lk_held());
	lk->lk_exit();
	CHECK(!lk->lk_held());
	lwp_wait(l);
	CHECK_EQ(count, 1);
	CHECK(lk->lk_tryenter());
	lk->lk_exit();
	lk->lk_destroy();
	kern_shutdown();
}
