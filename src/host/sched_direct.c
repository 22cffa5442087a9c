/*
 * Direct: a schedule that tries to bring about one deadlock, foretold as a circle of places.
 *
 * A place is "has this, and is about to want that".  Whoever owns the locks says when a thread comes to
 * one (host_sched_meet()); it then stands there, and others go on, until at each place somebody stands
 * who wants just what the next one has.  Then all of them go on, and wait for each other for ever.
 *
 * Who comes to a place and wants what somebody has who stands need not stand: it has to wait for that
 * anyway, and may give up its CPU, which others need who are to come.
 *
 * Who sleeps at a place does not stand either; he is there until he is woken, and others come to theirs.
 *
 * Some places are hardly ever come to.  Who comes to the rarest stands in any case, and sends those away who
 * stand elsewhere and do not fit; of those who come to others first, one in so many stands.
 *
 * Nobody stands for ever: after a patience of so many points, or when nobody else can run, they go on,
 * and the next try begins.  How patient, and how many stand, depends on the seed; as does who runs
 * meanwhile, by a random walk.
 */
#include <string.h>

#include <host/host.h>

#include "host_int.h"

#define	ARRIVALS	8		/* places that one thread may be at, by what it has */
#define	WALK		8		/* at one point in so many anybody runs */
#define	PATIENCE	2000u		/* points, at least */

struct place {
	bool	 pl_taken;
	bool	 pl_stands;		/* it is not to run */
	unsigned pl_thread;
	uint32_t pl_has, pl_wants;
	uint64_t pl_since;		/* points */
	uint64_t pl_came;		/* times that a thread has come to it; not of who is there */
};

struct direct {
	struct host_rng di_rng;
	unsigned di_nplaces, di_taken;
	unsigned di_odds;		/* one in so many stands */
	uint64_t di_patience;
	struct place di_place[HOST_PLACES];

	/* the thread that is about to be at these, at its next point */
	unsigned di_thread, di_narrivals;
	uint32_t di_wants;
	struct { unsigned place; uint32_t has; } di_arrival[ARRIVALS];
};

static void
begin(void *state, const struct host_sched_config *hsc)
{
	struct direct *di = state;

	host_rng_init(&di->di_rng, hsc->hsc_seed, UINT64_C(0x5eed0004));
	di->di_nplaces = hsc->hsc_places < HOST_PLACES ? hsc->hsc_places : HOST_PLACES;
	di->di_odds = 1u << host_rng_below(&di->di_rng, 4);
	di->di_patience = (uint64_t)PATIENCE << host_rng_below(&di->di_rng, 8);
}

static void
born(void *state, unsigned thread)
{
}

void
direct_meet(void *state, unsigned thread, unsigned place, uint32_t has, uint32_t wants)
{
	struct direct *di = state;

	if (di->di_thread != thread || di->di_wants != wants)
		di->di_narrivals = 0;
	di->di_thread = thread;
	di->di_wants = wants;
	if (di->di_narrivals == ARRIVALS || place >= di->di_nplaces)
		return;
	di->di_arrival[di->di_narrivals].place = place;
	di->di_arrival[di->di_narrivals++].has = has;
}

static void
all_go_on(struct direct *di)
{
	for (unsigned i = 0; i < di->di_nplaces; i++)
		di->di_place[i].pl_taken = false;
	di->di_taken = 0;
}

/* => who stands before that place wants this, and who stands after it has that; or nobody is there */
static bool
fits(const struct direct *di, unsigned place, uint32_t has, uint32_t wants)
{
	const struct place *before = &di->di_place[(place + di->di_nplaces - 1) % di->di_nplaces];
	const struct place *after = &di->di_place[(place + 1) % di->di_nplaces];

	return !di->di_place[place].pl_taken &&
	    (!before->pl_taken || before->pl_wants == has || before->pl_wants == 0) &&
	    (!after->pl_taken || after->pl_has == wants || wants == 0);
}

/* => has no other place been come to less often? */
static bool
rarest(const struct direct *di, unsigned place)
{
	for (unsigned i = 0; i < di->di_nplaces; i++)
		if (di->di_place[i].pl_came < di->di_place[place].pl_came)
			return false;
	return true;
}

/* => does the thread stand there now?  The last one that was missing does not: it must wait, and all go on. */
static bool
take_place(struct direct *di, unsigned thread, unsigned p, uint32_t has)
{
	const bool must_wait = di->di_place[(p + 1) % di->di_nplaces].pl_taken;
	const uint64_t came = di->di_place[p].pl_came;

	di->di_place[p] = (struct place){ true, !must_wait, thread, has, di->di_wants,
		host_sched_points(), came };
	if (++di->di_taken == di->di_nplaces)
		all_go_on(di);
	return !must_wait;
}

void
direct_waits(void *state, unsigned thread, unsigned place, uint32_t has, uint32_t wants)
{
	struct direct *di = state;

	if (place >= di->di_nplaces || !fits(di, place, has, wants))
		return;
	di->di_place[place] = (struct place){ true, false, thread, has, wants, host_sched_points(),
		di->di_place[place].pl_came + 1 };
	if (++di->di_taken == di->di_nplaces)
		all_go_on(di);
}

void
direct_woken(void *state, unsigned thread)
{
	struct direct *di = state;

	for (unsigned i = 0; i < di->di_nplaces; i++)
		if (di->di_place[i].pl_taken && di->di_place[i].pl_thread == thread) {
			di->di_place[i].pl_taken = false;
			di->di_taken--;
		}
}

static bool
stands(struct direct *di, unsigned thread)
{
	const bool ready = host_rng_below(&di->di_rng, di->di_odds) == 0;

	for (unsigned i = 0; i < di->di_narrivals; i++) {
		const unsigned p = di->di_arrival[i].place;
		const uint32_t has = di->di_arrival[i].has;
		bool rare;

		di->di_place[p].pl_came++;
		rare = rarest(di, p);
		if (di->di_taken != 0 && rare && !fits(di, p, has, di->di_wants))
			all_go_on(di);
		if (di->di_taken == 0 ? rare || ready : fits(di, p, has, di->di_wants))
			return take_place(di, thread, p, has);
	}
	return false;
}

/* => who stands longest: a place, or HOST_PLACES: nobody does */
static unsigned
oldest(const struct direct *di)
{
	unsigned first = HOST_PLACES;

	for (unsigned i = 0; i < di->di_nplaces; i++)
		if (di->di_place[i].pl_taken && (first == HOST_PLACES ||
		    di->di_place[i].pl_since < di->di_place[first].pl_since))
			first = i;
	return first;
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	struct direct *di = state;
	bool here = false;

	if (di->di_taken != 0 &&
	    host_sched_points() - di->di_place[oldest(di)].pl_since > di->di_patience)
		all_go_on(di);
	if (di->di_narrivals != 0 && di->di_thread == thread) {
		here = kind == HP_LOCK && object == di->di_wants && stands(di, thread);
		di->di_narrivals = 0;
	}
	return here || host_rng_below(&di->di_rng, WALK) == 0;
}

static void
yield(void *state, unsigned thread)
{
}

static bool
is_standing(const struct direct *di, unsigned thread)
{
	for (unsigned i = 0; i < di->di_nplaces; i++)
		if (di->di_place[i].pl_taken && di->di_place[i].pl_stands && di->di_place[i].pl_thread == thread)
			return true;
	return false;
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct direct *di = state;
	unsigned n = hr->hr_count, i = 0, who;

	if (di->di_taken == 0)
		return host_runnable_nth(hr, (unsigned)host_rng_below(&di->di_rng, n));
	for (unsigned p = 0; p < di->di_nplaces; p++)
		n -= di->di_place[p].pl_taken && di->di_place[p].pl_stands &&
		    host_runnable_has(hr, di->di_place[p].pl_thread);
	if (n == 0) {
		all_go_on(di);
		n = hr->hr_count;
	}
	n = (unsigned)host_rng_below(&di->di_rng, n);
	do {
		who = host_runnable_nth(hr, i++);
	} while (is_standing(di, who) || n-- != 0);
	return who;
}

const struct host_strategy host_strategy_direct = {
	"direct", sizeof(struct direct), begin, born, point, yield, pick,
};
