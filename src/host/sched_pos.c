/*
 * POS (Yuan, Yang, Gu: Partial Order Aware Concurrency Sampling, CAV 2018).
 *
 * Not threads have random priorities but events: each thread's next one.  The highest happens; then it
 * has no priority any more, and neither have those that race with it, the next events of other threads
 * on the same object: they get new ones.  So each partial order of the events is about as likely
 * as any other, however long the stretches without a race are.
 */
#include <host/sched.h>

#include <host/host.h>

struct pos {
	struct host_rng	po_rng;
	unsigned	po_nthreads;
	uint32_t	po_object[HOST_THREADS];	/* of the next event; 0: none that could race */
	uint64_t	po_prio[HOST_THREADS];
};

static uint64_t
draw(struct pos *po)
{
	return host_rng_next(&po->po_rng) | 1;
}

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct pos *po = state;

	host_rng_init(&po->po_rng, hsc->hsc_seed, UINT64_C(0x5eed0002));
}

static void
born(void *state, unsigned thread)
{
	struct pos *po = state;

	if (thread >= po->po_nthreads)
		po->po_nthreads = thread + 1;
	po->po_object[thread] = 0;
	po->po_prio[thread] = draw(po);
}

/* => what an event of that kind races on; taking a lock and letting it go race */
static uint32_t
raced(enum host_point_kind kind, uint32_t object)
{
	return object == 0 || kind <= HP_TRY ? object : object ^ (uint32_t)kind << 27;
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	struct pos *po = state;

	po->po_object[thread] = raced(kind, object);
	po->po_prio[thread] = draw(po);
	return true;
}

static void
yield(void *state, unsigned thread)
{
	struct pos *po = state;

	po->po_object[thread] = 0;
	po->po_prio[thread] = 0;
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct pos *po = state;
	unsigned best = HOST_THREADS;
	uint32_t object;

	for (unsigned w = 0; w < hr->hr_nwords; w++)
		for (uint64_t left = hr->hr_word[w]; left != 0; left &= left - 1) {
			const unsigned n = w * 64 + (unsigned)__builtin_ctzll(left);

			if (best == HOST_THREADS || po->po_prio[n] > po->po_prio[best])
				best = n;
		}
	object = po->po_object[best];
	if (object != 0)
		for (unsigned i = 0; i < po->po_nthreads; i++)
			if (po->po_object[i] == object && i != best)
				po->po_prio[i] = draw(po);
	po->po_object[best] = 0;
	return best;
}

const struct host_strategy host_strategy_pos = {
	"pos", sizeof(struct pos), begin, born, point, yield, pick,
};
