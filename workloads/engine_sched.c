/*
 * Controlled schedules: which strategy a run has, and what its result says of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/show.h>
#include <harness/watchdog.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/cpu.h>
#include <sys/lockdirect.h>

#include "engine_int.h"

#define	FRAMES		40		/* of a stack that is shown */
#define	PCT_DEPTH	3		/* of `pct` without a number */

static const char *strategy_name;	/* NULL: the run is free */
static char name_buf[16];

/* What an execution is held against.  Only the caller of engine_run(). */
static struct host_trace *record;
static const struct host_trace *compare;
static struct host_log follow;
static const struct run_options *options;	/* stable while a schedule is under way */

/* => the strategy of that setting and seed; mix: by the seed, each in turn */
static const struct host_strategy *
strategy_of(unsigned schedule, uint64_t seed, unsigned *depth)
{
	static const unsigned turns[] = { SCHED_RANDOM, SCHED_POS, SCHED_PCT + 2, SCHED_PCT + 3 };

	if (schedule == SCHED_MIX)
		schedule = turns[seed % (sizeof(turns) / sizeof(turns[0]))];
	*depth = 0;
	if (schedule == SCHED_RANDOM)
		return &host_strategy_random;
	if (schedule == SCHED_POS)
		return &host_strategy_pos;
	if (schedule == SCHED_DIRECT)
		return &host_strategy_direct;
	*depth = schedule == SCHED_PCT ? PCT_DEPTH : schedule - SCHED_PCT;
	return &host_strategy_pct;
}

static void
show_stop(FILE *out)
{
	void *pcs[FRAMES];
	const int n = host_backtrace(pcs, FRAMES, 1);
	char text[300];

	for (int i = 0; i < n; i++) {
		host_symbolise(pcs[i], text, sizeof(text));
		fprintf(out, "    #%d %s\n", i, text);
	}
	if (cpus == NULL)		/* the kernel is not up, or down again */
		return;
	show_machine(out);
	show_lwps(out);
}

static void
stopped(uint64_t event, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	char text[80];

	snprintf(text, sizeof(text), "%s %s %u", host_sched_name(thread), host_point_name[kind], object);
	options->ro_stopped(options->ro_arg, event, text, show_stop);
}

int
schedule_begin(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	const struct machine_settings *ms = &p->p_machine;
	const uint64_t seed = ro->ro_schedule_seed != 0 ? ro->ro_schedule_seed : ms->ms_seed;
	struct host_sched_config hsc = {
		.hsc_seed = seed, .hsc_steps = ms->ms_steps != 0 ? ms->ms_steps : ro->ro_steps,
		.hsc_record = record, .hsc_compare = compare, .hsc_deadlock = watchdog_deadlock,
	};
	int error;

	strategy_name = NULL;
	hsc.hsc_places = lockdirect_set(strcmp(ms->ms_circle, "none") != 0 ? ms->ms_circle : NULL);
	if (ms->ms_schedule == SCHED_FREE)
		return 0;
	if (ms->ms_schedule == SCHED_DIRECT && hsc.hsc_places == 0) {
		rr->rr_error = xasprintf("schedule-circle = %s: it is too long", ms->ms_circle);
		return EINVAL;
	}
	hsc.hsc_strategy = strategy_of(ms->ms_schedule, seed, &hsc.hsc_depth);
	if (hsc.hsc_depth != 0)
		snprintf(name_buf, sizeof(name_buf), "%s:%u", hsc.hsc_strategy->hs_name, hsc.hsc_depth);
	else
		snprintf(name_buf, sizeof(name_buf), "%s", hsc.hsc_strategy->hs_name);
	if (ro->ro_follow != NULL) {
		follow.hl_bytes = ro->ro_follow->rec_log;
		follow.hl_len = ro->ro_follow->rec_loglen;
		hsc.hsc_log = &follow;
		hsc.hsc_strategy = &host_strategy_replay;
	} else if (ro->ro_thin != NULL) {
		hsc.hsc_thin = ro->ro_thin;
		hsc.hsc_nthin = ro->ro_nthin;
		hsc.hsc_strategy = &host_strategy_thin;
	}
	if (ro->ro_story != NULL) {
		story_begin(ro->ro_story);
		hsc.hsc_leave = story_leave;
	}
	if (ro->ro_stopped != NULL) {
		hsc.hsc_stop = stopped;
		hsc.hsc_stop_at = ro->ro_stop_at;
	}
	options = ro;
	strategy_name = name_buf;
	rr->rr_sched.rs_steps = hsc.hsc_depth != 0 ? hsc.hsc_steps : 0;
	error = host_sched_begin(&hsc);
	host_sched_load(false);
	if (error != 0)
		rr->rr_error = xasprintf("schedule: %s", strerror(error));
	return error;
}

/* => "event 12: anon.0 lock 7, where it had been anon.1 unlock 3" */
static char *
divergence_text(const struct host_divergence *hd)
{
	const struct host_event_rec *is = &hd->hd_is, *was = &hd->hd_was;

	if (hd->hd_text[0] != '\0')
		return xasprintf("%s (event %ju)", hd->hd_text, (uintmax_t)hd->hd_event);
	if (was->he_kind == HP_COUNT)
		return xasprintf("event %ju: %s %s %u, where the first run had ended",
		    (uintmax_t)hd->hd_event, host_sched_name(is->he_thread), host_point_name[is->he_kind],
		    is->he_object);
	return xasprintf("event %ju: %s %s %u, where the first run had %s %s %u",
	    (uintmax_t)hd->hd_event, host_sched_name(is->he_thread), host_point_name[is->he_kind],
	    is->he_object, host_sched_name(was->he_thread), host_point_name[was->he_kind],
	    was->he_object);
}

char *
engine_build(void)
{
	struct host_module hm;

	return xstrdup(host_module(__builtin_return_address(0), &hm) && hm.hm_build_id != NULL ?
	    hm.hm_build_id : "unknown");
}

struct host_switch *
engine_switches(const struct recording *rec, size_t *n)
{
	const struct host_log hl = { rec->rec_log, rec->rec_loglen, rec->rec_loglen };

	return host_log_switches(&hl, n);
}

void
schedule_note(struct run_result *rr)
{
	struct result_schedule *rs = &rr->rr_sched;
	const struct host_log *hl = host_sched_log();
	struct host_sched_stat hst;

	if (strategy_name == NULL)
		return;
	host_sched_stat(&hst);
	free(rr->rr_event_hash);
	rr->rr_event_hash = xasprintf("%016jx", (uintmax_t)hst.hst_hash);
	free(rs->rs_strategy);
	rs->rs_strategy = xstrdup(strategy_name);
	rs->rs_points = hst.hst_points;
	rs->rs_load = hst.hst_load;
	rs->rs_events = hst.hst_events;
	rs->rs_switches = hst.hst_switches;
	rs->rs_threads = hst.hst_threads;
	rs->rs_virtual_s = (double)hst.hst_virtual_ns / 1e9;
	free(rs->rs_build);
	rs->rs_build = NULL;
	free(rs->rs_diverged);
	rs->rs_diverged = hst.hst_divergence.hd_set ? divergence_text(&hst.hst_divergence) : NULL;
	if (rr->rr_nviolations == 0 && !options->ro_record)
		return;
	free(rs->rs_story);
	rs->rs_story = story_text();
	free(rs->rs_log);
	rs->rs_build = engine_build();
	rs->rs_log = xcalloc(1, hl->hl_len + 1);
	memcpy(rs->rs_log, hl->hl_bytes, hl->hl_len);
	rs->rs_loglen = hl->hl_len;
}

/* What the two executions of one seed did differently is nobody's choice. */
static void
nondeterminism(struct run_result *rr)
{
	char *text = xasprintf("two executions of seed %ju part: %s", (uintmax_t)rr->rr_seed,
	    rr->rr_sched.rs_diverged);

	result_add_violation(rr, "invariant", "one-seed-one-run", text)->rv_cpu = -1;
	free(text);
}

/* => the same execution twice, or, for pct, thrice */
static int
execute_and_verify(const struct profile *p, const struct run_options *given, struct run_result *rr)
{
	struct run_options ro = *given;
	struct host_trace trace = { NULL, 0, 0 };
	unsigned depth;
	int error;

	(void)strategy_of(p->p_machine.ms_schedule, p->p_machine.ms_seed, &depth);
	if (depth != 0 && ro.ro_steps == 0 && p->p_machine.ms_steps == 0) {
		error = engine_execute(p, &ro, rr);
		if (error != 0 || rr->rr_nviolations != 0 || rr->rr_interrupted)
			return error;
		ro.ro_steps = rr->rr_sched.rs_load;
		run_result_again(rr);
	}
	record = &trace;
	error = engine_execute(p, &ro, rr);
	record = NULL;
	if (error == 0 && rr->rr_nviolations == 0 && !rr->rr_interrupted) {
		run_result_again(rr);
		compare = &trace;
		error = engine_execute(p, &ro, rr);
		compare = NULL;
		if (error == 0 && rr->rr_sched.rs_diverged != NULL && !rr->rr_interrupted)
			nondeterminism(rr);
	}
	host_trace_free(&trace);
	return error;
}

int
engine_run(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	if (p->p_machine.ms_schedule == SCHED_FREE || ro->ro_once || ro->ro_follow != NULL ||
	    ro->ro_thin != NULL)
		return engine_execute(p, ro, rr);
	return execute_and_verify(p, ro, rr);
}

void
schedule_end(struct run_result *rr)
{
	if (strategy_name == NULL)
		return;
	schedule_note(rr);
	host_sched_end();
	story_fini();
	strategy_name = NULL;
}
