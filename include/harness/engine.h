/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The engine's face: one profile in, one result out.
 */
#ifndef HARNESS_ENGINE_H
#define HARNESS_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <harness/profile.h>
#include <harness/result.h>
#include <harness/timeline.h>

struct host_switch;

/*
 * What the caller wants of a run.  Stable while engine_run runs.
 *
 * ro_progress is called about every ro_status_interval ns by one thread, which is not a
 * simulated CPU's; it may block on output.
 *
 * ro_violation is called by the same thread soon after something was found, while the load goes
 * on: with a copy of what is known by then, for this call only; of its violations those from
 * `first` on are new.
 *
 * ro_fatal is called at most once, by the thread that found that the machine cannot go on
 * (panic, crash, hang), with all that is known by then.  It reports and exits: it does not
 * return.  Every other thread of the machine may still be running or be stuck.
 */
struct run_options {
	uint64_t ro_status_interval;	/* ns; 0: no progress */
	void (*ro_progress)(void *arg, const struct run_progress *);
	void (*ro_violation)(void *arg, struct run_result *, size_t first);	/* or NULL */
	void (*ro_fatal)(void *arg, struct run_result *);
	/*
	 * Instead of ro_fatal, when that crashes or hangs: on any thread, with any lock held, system
	 * calls only.  more(fd, marg) writes what else is known.  The process ends after it.
	 */
	void (*ro_last)(void *arg, const char *kind, const char *message,
	    void (*more)(int fd, void *marg), void *marg);
	void *ro_arg;
	struct timeline *ro_timeline;	/* what happened last goes there when the load is over; or NULL */
	const atomic_int *ro_stop;	/* non-zero: end early; set by a signal handler, relaxed */

	/*
	 * Of controlled schedules, see <host/sched.h>.  The first execution in a process takes place
	 * two or three times: for pct, to learn how many points it has (rr_sched.rs_steps); and
	 * to see that it repeats itself, which it is a violation not to.  ro_once: not so.
	 */
	bool ro_once;
	uint64_t ro_schedule_seed;	/* of the schedule alone, the load has the run's; 0: likewise */
	uint64_t ro_steps;		/* points that an execution has, for pct; 0: see above */
	const struct recording *ro_follow; /* replay that instead of what the profile says; or NULL */
	bool ro_record;			/* the result of a clean run has its recording, too */
	/*
	 * At event ro_stop_at of a replay, on the thread that has the baton, maybe with a raw lock held;
	 * text says which event it is, and show() the thread's stack and the machine.
	 * It ends the process, or the replay goes on.  NULL: no stop.
	 */
	void (*ro_stopped)(void *arg, uint64_t event, const char *text, void (*show)(FILE *));
	uint64_t ro_stop_at;
	/* or these switches, as far as they can be followed: see <host/sched.h>; NULL: not so */
	const struct host_switch *ro_thin;
	size_t ro_nthin;
	const char *ro_story;		/* fingerprint: rr_sched.rs_story tells how it came to that; or NULL */
};

/*
 * engine_run: build the machine, run the jobs, verify, tear down.
 * => profile resolved, its seed set
 * => result initialised by the caller; the engine fills in everything that it measured
 *    and every violation; header fields (version, seed, ...) and the verdict are the caller's
 * => 0: the run took place; EINVAL: the profile or a trace asks for what cannot be;
 *    another errno: the host could not give what was needed.  Errors: rr_error says why in
 *    one line
 * => may be called again after it returned
 */
int engine_run(const struct profile *, const struct run_options *, struct run_result *);
/* => the program's build id, for free(); "unknown" */
char *engine_build(void);
/* => the switches of a recording, for free() */
struct host_switch *engine_switches(const struct recording *, size_t *n);

/*
 * engine_check_now: the whole machine is checked as soon as all threads have stopped, whatever
 *    check-interval says; nothing while no load runs.
 * => any thread, a signal handler too; does not wait
 */
void engine_check_now(void);

#endif /* HARNESS_ENGINE_H */
