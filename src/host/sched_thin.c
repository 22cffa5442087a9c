/*
 * Thin: a schedule that follows switches of which some may be missing.
 *
 * At a point where a thread has a switch, it gives way to whom that names.  Where it has none, or
 * that one cannot run, the thread goes on; and if it cannot, whoever of those that can is named next,
 * in the order of all switches since the last that was followed: so the threads keep their order when
 * one of them has less to do.  Points are counted for each thread by itself: what is taken out at one
 * place moves nothing at others.
 * With all switches of a recording it is that recording once more.
 */
#include <host/sched.h>

#include <host/host.h>

struct thin {
	const struct host_switch *th_v;
	size_t	 th_n;
	size_t	 th_done;		/* switches up to the last one that was followed */
	uint64_t th_since;		/* points, when the current thread was chosen */
	uint64_t th_own[HOST_THREADS];	/* a thread's own points, when it was last left */
	uint32_t th_next[HOST_THREADS];	/* its switches lie from there on */
};

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct thin *th = state;

	th->th_v = hsc->hsc_thin;
	th->th_n = hsc->hsc_nthin;
}

static void
born(void *state, unsigned thread)
{
}

static uint64_t
own_points(const struct thin *th, unsigned thread)
{
	return th->th_own[thread] + host_sched_points() - th->th_since;
}

/* => the switch that the thread has now, or NULL */
static const struct host_switch *
due(struct thin *th, unsigned thread)
{
	const uint64_t own = own_points(th, thread);
	uint32_t i = th->th_next[thread];

	while (i < th->th_n && (th->th_v[i].hw_from != thread || th->th_v[i].hw_at < own))
		i++;
	th->th_next[thread] = i;
	return i < th->th_n && th->th_v[i].hw_at == own ? &th->th_v[i] : NULL;
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	return due(state, thread) != NULL;
}

static void
yield(void *state, unsigned thread)
{
}

/* => who comes next of those that can run */
static unsigned
named_next(const struct thin *th, const struct host_runnable *hr)
{
	for (size_t i = th->th_done; i < th->th_n; i++)
		if (host_runnable_has(hr, th->th_v[i].hw_to))
			return th->th_v[i].hw_to;
	return host_runnable_nth(hr, 0);
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct thin *th = state;
	const struct host_switch *hw = due(th, current);
	unsigned who;

	if (hw != NULL && host_runnable_has(hr, hw->hw_to)) {
		who = hw->hw_to;
		th->th_done = (size_t)(hw - th->th_v) + 1;
	} else
		who = host_runnable_has(hr, current) ? current : named_next(th, hr);
	if (who != current) {
		th->th_own[current] = own_points(th, current);
		th->th_since = host_sched_points();
	}
	return who;
}

const struct host_strategy host_strategy_thin = {
	"thin", sizeof(struct thin), begin, born, point, yield, pick,
};
