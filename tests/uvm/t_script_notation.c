/* The notation itself: what scripts do, and what they say when they cannot. */
#include <host/host.h>

#include "script.h"
#include "tmap.h"

#define	GET(v)		__atomic_load_n(&(v), __ATOMIC_RELAXED)
#define	SET(v, to)	__atomic_store_n(&(v), (to), __ATOMIC_RELAXED)

static int counter;
static kmutex_t lock;

static void
begin(void)
{
	script_begin();
	tm_boot(4, 2048);
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	script_lock("lock", &lock);
}

static void
end(void)
{
	mutex_destroy(&lock);
	tm_shutdown();
	script_end();
}

static void
count(void *arg)
{
	int was = GET(counter);

	script_point("read");
	SET(counter, was + 1);
}

KTEST(steps_decide, "the same two LWPs lose a count in one script, and not in the other, every time")
{
	begin();
	for (int i = 0; i < 20; i++) {
		SET(counter, 0);
		SCRIPT("a until test(read); b until done; a until done",
		    { "a", NULL, count, NULL }, { "b", NULL, count, NULL });
		CHECK_EQ(GET(counter), 1);
		SET(counter, 0);
		SCRIPT("a until done; b until done",
		    { "a", NULL, count, NULL }, { "b", NULL, count, NULL });
		CHECK_EQ(GET(counter), 2);
	}
	end();
}

static void
locker(void *arg)
{
	mutex_enter(&lock);
	SET(counter, GET(counter) + 1);
	mutex_exit(&lock);
}

KTEST(blocked_is_a_place, "who waits for a lock is blocked until its holder goes on, whether it spins or sleeps")
{
	begin();
	SET(counter, 0);
	SCRIPT("a until lock(lock); b until unlock(lock); a until done; b until done",
	    { "a", NULL, locker, NULL }, { "b", NULL, locker, NULL });
	CHECK_EQ(GET(counter), 2);
	end();
}

static void
holder(void *arg)
{
	mutex_enter(&lock);
	script_point("held");
	SET(counter, 5);
	mutex_exit(&lock);
}

KTEST(helpers_of_a_step_run_where_the_first_cannot, "b waits for what a holds; a helps it on")
{
	begin();
	SET(counter, 0);
	SCRIPT("a until test(held); b until blocked; b a until done; a until done",
	    { "a", NULL, holder, NULL }, { "b", NULL, locker, NULL });
	CHECK_EQ(GET(counter), 6);
	end();
}

static void
kick_and_wait(void *arg)
{
	uint64_t woke = tu_count(UVMC_pdwoke);

	uvm_kick_pdaemon();
	kpause("kick", 5000000);
	CHECK_EQ(tu_count(UVMC_pdwoke) - woke, *(int *)arg);
}

KTEST(daemon_in_a_script, "a daemon that is one of the script's LWPs waits for its step; else it runs when it can")
{
	int none = 0, once = 1;

	begin();
	script_lock("pageq", &uvm_pageqlock);
	SCRIPT("a until done; pgdaemon until lock(pageq)",
	    { "a", NULL, kick_and_wait, &none }, { "pgdaemon", NULL, NULL, NULL });
	SCRIPT("a until done", { "a", NULL, kick_and_wait, &once });
	end();
}

KTEST_DEATH(blocked_where_it_must_not_be, "a script that cannot go on says so, with everybody's place",
    "step 2, `b until done`: it is blocked; a is at test\\(held\\), its point 2; b sleeps after lock\\(lock\\)")
{
	begin();
	SCRIPT("a until test(held); b until done; a until done",
	    { "a", NULL, holder, NULL }, { "b", NULL, locker, NULL });
}

static void
spinner(void *arg)
{
	unsigned spins = 0;

	while (GET(counter) == 0)
		host_relax(&spins);
}

KTEST_DEATH(spinners_that_wait_for_each_other, "LWPs that spin for each other for ever are blocked, and no hang",
    "step 1, `a b until done`: it is blocked")
{
	begin();
	SCRIPT("a b until done; b until done",
	    { "a", NULL, spinner, NULL }, { "b", NULL, spinner, NULL });
}

KTEST_DEATH(point_that_is_never_reached, "a point that never comes is an error of the step",
    "step 1, `a until pte`: it has ended, and never got there; a is done; b has not begun")
{
	begin();
	SCRIPT("a until pte; b until done",
	    { "a", NULL, count, NULL }, { "b", NULL, count, NULL });
}

KTEST_DEATH(no_such_LWP, "a name that nobody has is told with its step", "step 2, `c until done`: there is no LWP")
{
	begin();
	SCRIPT("a until done; c until done", { "a", NULL, count, NULL });
}

KTEST_DEATH(no_such_point, "so is a kind that there is not", "step 1, `a until lunch`: there is no such kind")
{
	begin();
	SCRIPT("a until lunch", { "a", NULL, count, NULL });
}

KTEST_MAIN()
