/*
 * Replay: a schedule that follows a log.
 *
 * Where the run leaves the log (a thread that is to run cannot, a switch that the log does not know
 * is needed, or the events were others) this is noted, once, and from there on whoever can runs
 * as long as he can: to see the run to some end.
 */
#include <host/sched.h>

#include <stdio.h>

#include <host/host.h>

struct replay {
	const struct host_log *re_log;
	size_t		 re_pos;
	struct host_log_entry re_next;
	uint64_t	 re_at;		/* points when re_next is due */
	bool		 re_lost;	/* the log has ended, or the run has left it */
};

static void
next(struct replay *re)
{
	if (host_log_next(re->re_log, &re->re_pos, &re->re_next))
		re->re_at += re->re_next.hle_points;
	else
		re->re_lost = true;
}

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct replay *re = state;

	re->re_log = hsc->hsc_log;
	next(re);
}

static void
born(void *state, unsigned thread)
{
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	const struct replay *re = state;

	return !re->re_lost && host_sched_points() >= re->re_at;
}

static void
yield(void *state, unsigned thread)
{
}

static void
lose(struct replay *re, const char *how)
{
	char text[200];

	re->re_lost = true;
	snprintf(text, sizeof(text), "at point %ju %s", (uintmax_t)host_sched_points(), how);
	host_sched_diverged(text);
}

/* => where the log does not say: the current thread, or the first that can run */
static unsigned
stay(const struct host_runnable *hr, unsigned current)
{
	return host_runnable_has(hr, current) ? current : host_runnable_nth(hr, 0);
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct replay *re = state;
	unsigned who;

	if (re->re_lost && why == HC_BLOCKED && hr->hr_count > 1)
		host_sched_diverged("the run goes on after the end of its log");
	if (re->re_lost)
		return stay(hr, current);
	if (host_sched_points() < re->re_at) {
		/* somebody became able to run, which changed nothing; or a yield that went on at once */
		if (host_runnable_has(hr, current))
			return current;
		lose(re, "a thread stops that went on in the recording");
		return stay(hr, current);
	}
	who = re->re_next.hle_thread;
	if (host_sched_points() > re->re_at || !host_runnable_has(hr, who))
		lose(re, "the thread that ran next in the recording cannot run");
	else if ((uint8_t)host_sched_hash() != re->re_next.hle_check)
		lose(re, "what has happened so far is not what had happened in the recording");
	if (re->re_lost)
		return stay(hr, current);
	next(re);
	return who;
}

const struct host_strategy host_strategy_replay = {
	"replay", sizeof(struct replay), begin, born, point, yield, pick,
};
