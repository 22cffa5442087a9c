/*
 * The watchdog hears of every kind of hang within twice the limit, names who waits for whom,
 * and says nothing of those who are merely slow.
 *
 * The limit is one of virtual time: how fast the host is, and how busy, is no matter then.
 */
#include "tmap.h"

#include <string.h>
#include <unistd.h>

#include <harness/watchdog.h>
#include <host/sched.h>
#include <sys/condvar.h>
#include <sys/sleepq.h>
#include <uvm/uvm_extern.h>

#define	LIMIT_NS	UINT64_C(20000000)

static kmutex_t lock[2];
static struct tm_thread threads[2];
static int met;				/* atomic */
static bool ending;			/* atomic */

static bool
load_is_over(void)
{
	return __atomic_load_n(&ending, __ATOMIC_RELAXED);
}

static void
begin(int ncpus)
{
	const struct host_sched_config hsc = { .hsc_strategy = &host_strategy_random, .hsc_seed = ktest_seed() };

	CHECK_EQ(host_sched_begin(&hsc), 0);
	tm_boot(ncpus, 1024);
	for (int i = 0; i < 2; i++)
		mutex_init(&lock[i], MUTEX_DEFAULT, IPL_NONE, LC_test);
	CHECK_EQ(watchdog_start(LIMIT_NS, load_is_over), 0);
}

static void
end(void)
{
	watchdog_stop();
	for (int i = 0; i < 2; i++)
		mutex_destroy(&lock[i]);
	tm_shutdown();
	watchdog_end();
	host_sched_end();
}

/* => never */
static void __attribute__((noreturn))
hang(int n, void (*fn)(struct tm_thread *))
{
	tm_start(tm_proc, threads, n, fn, NULL);
	tm_wait(threads, n);
	_exit(0);			/* nobody has noticed */
}

static void
sleep_for_ever(struct tm_thread *tt)
{
	static int never;

	mutex_enter(&lock[0]);
	mtsleep(&never, false, "never", 0, &lock[0]);
}

KTEST_DEATH(lost_wakeup, "an LWP that sleeps for what never comes", "no sign of life.* sleeps in 'never'")
{
	begin(1);
	hang(1, sleep_for_ever);
}

static void
embrace(struct tm_thread *tt)
{
	unsigned spins = 0;

	mutex_enter(&lock[tt->tt_number]);
	__atomic_add_fetch(&met, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&met, __ATOMIC_RELAXED) < 2)
		host_relax(&spins);
	mutex_enter(&lock[!tt->tt_number]);
}

KTEST_DEATH(deadlock, "two LWPs that wait for each other's lock: the chain closes",
    "waits for test [0-9]+ of .*, who waits for test [0-9]+ of .*: a deadlock")
{
	begin(2);
	hang(2, embrace);
}

static void
until_told(void *arg)
{
	__atomic_store_n(&met, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&met, __ATOMIC_RELAXED) != 0)
		;
}

static void
run_for_ever(struct tm_thread *tt)
{
	for (unsigned spins = 0;;)
		host_relax(&spins);
}

KTEST_DEATH(endless_loop, "an LWP that runs and never returns to user mode", "runs on CPU [0-9]")
{
	begin(1);
	hang(1, run_for_ever);
}

KTEST(stacks_of_others, "a thread that never calls anything still tells where it is")
{
	void *stack[HOST_BACKTRACE_MAX];
	char name[128] = "";
	struct lwp *l;
	int n;

	tm_boot(2, 1024);
	CHECK_EQ(lwp_create(&l, NULL, "runner", until_told, NULL), 0);
	lwp_start(l);
	while (__atomic_load_n(&met, __ATOMIC_RELAXED) == 0)
		yield();
	do		/* it answers within a second, or not yet: its thread may be without a core */
		n = host_thread_backtrace(l->l_thread, stack, HOST_BACKTRACE_MAX);
	while (n == 0 && !UVMSTRESS_TSAN);
	__atomic_store_n(&met, 0, __ATOMIC_RELAXED);
	lwp_wait(l);
	for (int i = 0; i < n && strstr(name, "until_told") == NULL; i++)
		host_symbolise(stack[i], name, sizeof(name));
	/* ThreadSanitizer puts signals off: no answer */
	CHECK(strstr(name, "until_told") != NULL || (n == 0 && UVMSTRESS_TSAN));
	tm_shutdown();
}

/* It takes the page and forgets it; the other one comes and waits. */
static void
forget_page(struct tm_thread *tt)
{
	struct vm_page *pg;

	if (tt->tt_number == 0) {
		mutex_enter(&tm_obj->vmobjlock);
		pg = uvm_pagealloc(tm_obj, 0, NULL, 0);
		mutex_exit(&tm_obj->vmobjlock);
		CHECK(pg != NULL);
		__atomic_store_n(&met, 1, __ATOMIC_RELAXED);
		lwp_patient(true);		/* it is the other one that is to be found */
		sleep_for_ever(tt);
	}
	while (__atomic_load_n(&met, __ATOMIC_RELAXED) == 0)
		yield();
	tm_store(0, 1);
}

KTEST_DEATH(stuck_page_busy, "who waits for a busy page, and who has forgotten it",
    "waits in '.*' for the page at 0x[0-9a-f]+, made busy by .*, who waits for work in 'never'")
{
	begin(2);
	tm_put(tm_proc, "o");
	hang(2, forget_page);
}

static void
wait_for_memory(struct tm_thread *tt)
{
	uvm_wait("nomem");
}

KTEST_DEATH(page_daemon_that_was_never_woken, "a lost wakeup of the page daemon: who waits for memory is named, and for whom",
    "waits for memory, for 'nomem' pgdaemon, who waits for work in 'pgdaemon'")
{
	begin(1);
	CHECK(uvm_quiesce());
	uvm.pd_kicked = true;			/* it is thought to be awake */
	hang(1, wait_for_memory);
}

static void
patient_main(struct tm_thread *tt)
{
	lwp_patient(true);
	kpause("slow", 3 * LIMIT_NS);
	lwp_patient(false);
}

KTEST(who_waits_for_work_has_not_hung, "an LWP that says that it waits may wait, and those who wait for it")
{
	begin(1);
	tm_start(tm_proc, threads, 1, patient_main, NULL);
	tm_wait(threads, 1);
	end();
}

static void
patient_for_ever(struct tm_thread *tt)
{
	lwp_patient(true);
	sleep_for_ever(tt);
}

KTEST_DEATH(patient_and_forsaken, "the load is over, and who waits patiently is waited for, but nobody works who could wake him",
    "nobody works: .* waits for the end of .*, who waits for work in 'never'")
{
	begin(1);
	__atomic_store_n(&ending, true, __ATOMIC_RELAXED);
	hang(1, patient_for_ever);
}

KTEST_DEATH(daemon_that_does_not_end, "while the machine goes down it is told, too, that who is waited for will never be woken",
    "nobody works: .* waits for the end of .*, who waits for work in 'never'")
{
	begin(1);
	tm_start(tm_proc, threads, 1, patient_for_ever, NULL);
	watchdog_stop();
	tm_wait(threads, 1);
	_exit(0);
}

KTEST(who_takes_it_down_has_not_hung, "and of one that works for longer than the limit nothing is told then")
{
	begin(1);
	watchdog_stop();
	kpause("slow", 3 * LIMIT_NS);
	end();
}

static void
busy_main(struct tm_thread *tt)
{
	uint64_t until = host_now_ns() + 3 * LIMIT_NS;

	while (host_now_ns() < until) {
		tm_store(0, 1);
		lwp_userret(1);
	}
}

KTEST(who_works_has_not_hung, "an LWP that works for longer than the limit gives signs of life")
{
	begin(1);
	tm_put(tm_proc, "a");
	tm_start(tm_proc, threads, 1, busy_main, NULL);
	tm_wait(threads, 1);
	end();
}

/* The first one has the lock and works; the other one wants it. */
static void
queue_main(struct tm_thread *tt)
{
	uint64_t until = host_now_ns() + 3 * LIMIT_NS;
	unsigned spins = 0;

	if (tt->tt_number == 1) {
		while (__atomic_load_n(&met, __ATOMIC_RELAXED) == 0)
			yield();
		mutex_enter(&lock[0]);
		mutex_exit(&lock[0]);
		return;
	}
	mutex_enter(&lock[0]);
	__atomic_store_n(&met, 1, __ATOMIC_RELAXED);
	while (host_now_ns() < until) {
		lwp_beat();
		host_relax(&spins);
	}
	mutex_exit(&lock[0]);
}

KTEST(who_waits_for_one_that_works_has_not_hung, "an LWP may wait for a lock as long as its holder gives signs of life")
{
	begin(2);
	tm_start(tm_proc, threads, 2, queue_main, NULL);
	tm_wait(threads, 2);
	end();
}

KTEST_DEATH(alarm_of_the_host, "who watches the watchdog: the host's timer ends the process",
    "the watchdog hangs itself")
{
	host_alarm(LIMIT_NS, "the watchdog hangs itself");
	for (;;)
		pause();
}

KTEST_MAIN()
