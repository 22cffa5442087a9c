/*
 * Controlled schedules: which strategy a run has, and what its result says of it.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/watchdog.h>
#include <harness/xalloc.h>
#include <host/sched.h>

#include "engine_int.h"

#define	PCT_DEPTH	3		/* of `pct` without a number */

static const char *strategy_name;	/* the calling thread's; NULL: the run is free */
static char name_buf[16];

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
	*depth = schedule == SCHED_PCT ? PCT_DEPTH : schedule - SCHED_PCT;
	return &host_strategy_pct;
}

int
schedule_begin(const struct profile *p, const struct run_options *ro, struct run_result *rr)
{
	const struct machine_settings *ms = &p->p_machine;
	struct host_sched_config hsc = {
		.hsc_seed = ms->ms_seed, .hsc_steps = ro->ro_steps, .hsc_log = ro->ro_follow,
		.hsc_record = ro->ro_record, .hsc_compare = ro->ro_compare,
		.hsc_deadlock = watchdog_deadlock,
	};
	int error;

	strategy_name = NULL;
	if (ms->ms_schedule == SCHED_FREE)
		return 0;
	hsc.hsc_strategy = strategy_of(ms->ms_schedule, ms->ms_seed, &hsc.hsc_depth);
	if (hsc.hsc_depth != 0)
		snprintf(name_buf, sizeof(name_buf), "%s:%u", hsc.hsc_strategy->hs_name, hsc.hsc_depth);
	else
		snprintf(name_buf, sizeof(name_buf), "%s", hsc.hsc_strategy->hs_name);
	if (ro->ro_follow != NULL)
		hsc.hsc_strategy = &host_strategy_replay;
	strategy_name = name_buf;
	error = host_sched_begin(&hsc);
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
	rs->rs_events = hst.hst_events;
	rs->rs_switches = hst.hst_switches;
	rs->rs_threads = hst.hst_threads;
	rs->rs_virtual_s = (double)hst.hst_virtual_ns / 1e9;
	free(rs->rs_diverged);
	rs->rs_diverged = hst.hst_divergence.hd_set ? divergence_text(&hst.hst_divergence) : NULL;
	if (rr->rr_nviolations == 0)
		return;
	free(rs->rs_log);
	rs->rs_log = xcalloc(1, hl->hl_len + 1);
	memcpy(rs->rs_log, hl->hl_bytes, hl->hl_len);
	rs->rs_loglen = hl->hl_len;
}

void
schedule_end(struct run_result *rr)
{
	if (strategy_name == NULL)
		return;
	schedule_note(rr);
	host_sched_end();
	strategy_name = NULL;
}
