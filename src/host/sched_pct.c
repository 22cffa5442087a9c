/*
 * PCT (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic
 * Guarantees of Finding Bugs, ASPLOS 2010).
 *
 * Each thread has a random priority; the highest that can run runs.  At d - 1 points, drawn before the
 * run from its k points, the running thread falls below all first priorities, each time deeper.
 * A bug that takes d ordered steps is found with a probability of at least 1 / (n * k^(d-1)).
 *
 * A thread that spins falls below all others, so that the one that it waits for runs.
 */
#include <host/sched.h>

#include <host/host.h>

#define	CHANGES_MAX	16

struct pct {
	struct host_rng	pc_rng;
	uint64_t	pc_points;		/* so far */
	uint64_t	pc_change[CHANGES_MAX];	/* ascending */
	unsigned	pc_nchanges, pc_next;
	int64_t		pc_lowest;		/* of those that spun */
	int64_t		pc_prio[HOST_THREADS];
};

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct pct *pc = state;
	const unsigned n = hsc->hsc_depth > CHANGES_MAX ? CHANGES_MAX : hsc->hsc_depth;

	host_rng_init(&pc->pc_rng, hsc->hsc_seed, UINT64_C(0x5eed0003));
	for (unsigned i = 0; i + 1 < n && hsc->hsc_steps != 0; i++) {
		const uint64_t at = 1 + host_rng_below(&pc->pc_rng, hsc->hsc_steps);
		unsigned k = pc->pc_nchanges++;

		for (; k > 0 && pc->pc_change[k - 1] > at; k--)
			pc->pc_change[k] = pc->pc_change[k - 1];
		pc->pc_change[k] = at;
	}
}

static void
born(void *state, unsigned thread)
{
	struct pct *pc = state;

	/* above all changes' */
	pc->pc_prio[thread] = (int64_t)(UINT64_C(1) << 62 | host_rng_next(&pc->pc_rng) >> 2);
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	struct pct *pc = state;
	bool changed = false;

	pc->pc_points++;
	while (pc->pc_next < pc->pc_nchanges && pc->pc_points >= pc->pc_change[pc->pc_next]) {
		const int64_t low = (int64_t)(CHANGES_MAX - pc->pc_next++);

		if (pc->pc_prio[thread] > low)
			pc->pc_prio[thread] = low;
		changed = true;
	}
	return changed;
}

static void
yield(void *state, unsigned thread)
{
	struct pct *pc = state;

	pc->pc_prio[thread] = --pc->pc_lowest;
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	const struct pct *pc = state;
	unsigned best = HOST_THREADS;

	for (unsigned w = 0; w < hr->hr_nwords; w++)
		for (uint64_t left = hr->hr_word[w]; left != 0; left &= left - 1) {
			const unsigned n = w * 64 + (unsigned)__builtin_ctzll(left);

			if (best == HOST_THREADS || pc->pc_prio[n] > pc->pc_prio[best])
				best = n;
		}
	return best;
}

const struct host_strategy host_strategy_pct = {
	"pct", sizeof(struct pct), begin, born, point, yield, pick,
};
