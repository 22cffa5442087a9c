/* Random walk: at each point anybody, all alike. */
#include <host/sched.h>

#include <host/host.h>

struct walk {
	struct host_rng wa_rng;
};

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct walk *wa = state;

	host_rng_init(&wa->wa_rng, hsc->hsc_seed, UINT64_C(0x5eed0001));
}

static void
born(void *state, unsigned thread)
{
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	return true;
}

static void
yield(void *state, unsigned thread)
{
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct walk *wa = state;

	if (hr->hr_count == 1)
		return host_runnable_nth(hr, 0);
	return host_runnable_nth(hr, (unsigned)host_rng_below(&wa->wa_rng, hr->hr_count));
}

const struct host_strategy host_strategy_random = {
	"random", sizeof(struct walk), begin, born, point, yield, pick,
};
