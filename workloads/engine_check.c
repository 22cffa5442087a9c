/*
 * The invariants, checked while the load runs.
 *
 * Every 20 ms some objects are sampled under their own locks (inspect_online.c).
 *
 * Every check-interval, and when asked to (engine_check_now()), all LWPs stop at their user
 * boundary (<sys/stop.h>), what devices and daemons have under way ends, and the inspectors walk
 * the whole machine as they do at the end of a run.  Then all go on as if nothing had been.
 *
 * Who does not come to the boundary within PATIENCE_NS is in somebody else's hands, perhaps in
 * those of an LWP that stands: the round is given up, which is told at the end, and the watchdog
 * tells whether that LWP hangs.  So no check can hang a run.
 *
 * A machine of several CPUs that runs free is checked less often than asked if that would cost
 * more than one part in BUDGET of its time; any other one must repeat itself, and does not look
 * at the clock.
 */
#include <string.h>

#include <harness/engine.h>
#include <harness/inspect.h>
#include <host/race.h>
#include <host/sched.h>
#include <sys/cpu.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/sleepq.h>
#include <sys/stop.h>

#include "engine_int.h"

#define	STEP_NS		20000000u	/* 20 ms: how late a request may be noticed */
#define	SOON_NS		500000000u
#define	PATIENCE_NS	5000000000u
#define	SETTLE_TRIES	100
#define	SETTLE_NS	200000
#define	BUDGET		20
#define	CONTENTS	64		/* pages held against swap and files in one round */

/*
 *	!  the check LWP; then lwp0	@ atomic	: stable
 */
static struct {
	const struct profile *ck_profile;	/* : */
	struct run_result *ck_result;		/* ! */
	struct lwp	*ck_lwp;		/* : */
	bool		 ck_now;		/* @ a round is wanted at once */
	uint64_t	 ck_rounds;		/* ! */
	uint64_t	 ck_given_up;		/* ! */
	char		 ck_who[LWP_NAME_MAX];	/* ! the last one who did not come */
} checker;

void
engine_check_now(void)
{
	/* relaxed: seen within a step; a signal handler may call this */
	__atomic_store_n(&checker.ck_now, true, __ATOMIC_RELAXED);
}

/* => every LWP stands, and nothing that was under way has woken one */
static bool
settled(void)
{
	for (int i = 0; i < SETTLE_TRIES; i++) {
		lwp_beat();
		if (uvm_quiesce() && lwp_stopped())
			return true;
		kpause("settle", SETTLE_NS);
	}
	strcpy(checker.ck_who, "a daemon");
	return false;
}

/* => all stand; who does not soon is asked about, and who does not in the end is given up */
static bool
all_stand(void)
{
	if (lwp_stop(SOON_NS, checker.ck_who))
		return true;
	if (inspect_stuck() != 0)
		panic("who sleeps for that will not wake, and the run cannot end");
	return lwp_stop_wait(PATIENCE_NS, checker.ck_who);
}

static void
check_round(void)
{
	if (all_stand() && settled()) {
		inject_stop();			/* who only looks must not be refused */
		inspect_at_rest(CONTENTS);
		inject_start();
		checker.ck_rounds++;
	} else {
		checker.ck_given_up++;
	}
	lwp_resume();
}

/* => may the length of a pause depend on the host's clock? */
static bool
free_running(void)
{
	return ncpu > 1 && checker.ck_profile->p_machine.ms_schedule == SCHED_FREE;
}

/* => ns until the next round */
static uint64_t
timed_round(uint64_t interval)
{
	uint64_t took = host_now_ns();

	check_round();
	took = host_now_ns() - took;
	return free_running() && took * BUDGET > interval ? took * BUDGET : interval;
}

static void
check_main(void *arg)
{
	uint64_t interval = checker.ck_profile->p_machine.ms_check_interval;
	unsigned depth = (unsigned)checker.ck_profile->p_machine.ms_check_depth;
	uint64_t left = interval, nth = 0;

	while (!engine_stopping()) {
		lwp_patient(true);
		kpause("check", STEP_NS);
		lwp_patient(false);
		left = left > STEP_NS ? left - STEP_NS : 0;
		if (engine_stopping())
			break;
		if (depth != 0)
			inspect_sample(depth, nth++);
		if (__atomic_exchange_n(&checker.ck_now, false, __ATOMIC_RELAXED) ||
		    (left == 0 && interval != 0))
			left = timed_round(interval);
	}
}

int
engine_check_start(const struct profile *p, struct run_result *rr)
{
	int error;

	race_atomic(&checker.ck_now, sizeof(checker.ck_now));
	memset(&checker, 0, sizeof(checker));
	checker.ck_profile = p;
	checker.ck_result = rr;
	if (host_controlled() && p->p_machine.ms_check_interval == 0)
		return 0;		/* nobody may ask for a round in the middle of a schedule */
	error = lwp_create(&checker.ck_lwp, NULL, "check", check_main, NULL);
	if (error == 0)
		lwp_start(checker.ck_lwp);
	return error;
}

void
engine_check_end(void)
{
	if (checker.ck_lwp == NULL)
		return;
	lwp_wait(checker.ck_lwp);
	checker.ck_lwp = NULL;
	if (checker.ck_given_up != 0)
		result_note(checker.ck_result, "%lu of %lu checks during the run were given up: "
		    "%s did not come to rest", (unsigned long)checker.ck_given_up,
		    (unsigned long)(checker.ck_given_up + checker.ck_rounds), checker.ck_who);
}
