/*
 * Controlled schedules: the core.  See <host/sched.h>.
 *
 * One thread runs: it has the baton, and owns everything in here, so nothing is locked.  It gives the
 * baton away in hand_to() alone, to one that the strategy picked, and goes on when it gets it back.
 * Where the host can do it, one host thread carries them all, and the baton is its stack
 * pointer (carry.c); else it is a futex word of each thread's.  The file is bare: of the
 * hand-over a race detector sees nothing.
 *
 * Spinning.  A thread in host_relax() is set aside until somebody else has done something that could
 * end its wait (eager()).  If all that can run are set aside, they come back, and time goes on:
 * by a point each at first, ever faster later, up to SPIN_STEP_MAX a round: so that whoever waits
 * for a time gets there, and a machine that only spins is soon old enough for the watchdog.
 *
 * Fairness.  A strategy may leave a thread waiting for ever: behind one that never blocks, or, for it has spun, behind
 * two that wake each other.  When one that can run has not for LONGEST points, all others yield at their next
 * point, until it has.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/race.h>

#include "host_int.h"

#define	TIME_BEGIN	UINT64_C(1000000000)
#define	LONGEST		1000000		/* points */
#define	SPIN_ROUNDS	64		/* rounds of nothing but spinning before time goes faster */
#define	SPIN_STEP_MAX	UINT64_C(1000000)	/* ns a round */

const char *const host_point_name[HP_COUNT] = {
#define	HOST_POINT(name, text)	text,
#include <host/sched.def>
#undef HOST_POINT
};

int host_points;

/* b: whoever has the baton; outside of schedules: nobody else runs */
static struct {
	const struct host_strategy *strategy;
	void		*state;
	size_t		 state_room;
	struct host_sched_config config;

	struct host_thread *threads[HOST_THREADS];
	char		 names[HOST_THREADS][16];
	struct host_runnable run;	/* can run, and are not set aside */
	struct host_runnable aside;	/* can run, but spin */
	unsigned	 nslots;	/* numbers ever used */
	unsigned	 nthreads;	/* threads ever made */
	bool		 resched;	/* somebody became able to run */
	bool		 watched;	/* somebody wants to know of each event */

	uint64_t	 now;		/* ns */
	uint64_t	 next_deadline;	/* of all TS_TIMED; UINT64_MAX */
	unsigned	 spin_rounds;

	bool		 load;		/* see host_sched_load() */
	uint64_t	 hash, events, points, load_points, switches;
	uint64_t	 points_logged;	/* at the last entry of the log */
	uint64_t	 fair_at;	/* points, before which nobody can have waited too long */
	struct host_log	 log;
	struct host_divergence divergence;

	struct host_thread *carrier;	/* of all threads; NULL: each carries itself */
	struct host_thread *pool[2];	/* free threads; 1: that are carried */
	pid_t		 pool_of;	/* the process that has their host threads */
	bool		 pinned;
} s;

/* --- events --- */

static __attribute__((noinline)) void
watched(unsigned thread, enum host_point_kind kind, uint32_t object)
{
	const struct host_event_rec he = { object, (uint16_t)thread, (uint8_t)kind, 0 };
	void (*const stop)(uint64_t, unsigned, enum host_point_kind, uint32_t) = s.config.hsc_stop;

	if (s.config.hsc_record != NULL)
		trace_add(s.config.hsc_record, &he);
	if (s.config.hsc_compare != NULL)
		trace_compare(s.config.hsc_compare, s.events, &he, &s.divergence);
	if (stop != NULL && s.events == s.config.hsc_stop_at)
		stop(s.events, thread, kind, object);
}

static inline __attribute__((always_inline)) void
event(unsigned thread, enum host_point_kind kind, uint32_t object)
{
	uint64_t v = (uint64_t)thread << 40 | (uint64_t)kind << 32 | object;

	s.hash = (s.hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	s.hash ^= s.hash >> 32;
	if (__builtin_expect(s.watched, 0))
		watched(thread, kind, object);
	s.events++;
}

void
host_event_now(enum host_point_kind kind, uint32_t object)
{
	if (sched_mine())
		event(host_self->ht_number, kind, object);
}

/* --- sets of threads --- */

static void
set_add(struct host_runnable *hr, unsigned n)
{
	hr->hr_word[n / 64] |= UINT64_C(1) << (n % 64);
	hr->hr_count++;
	if (n / 64 >= hr->hr_nwords)
		hr->hr_nwords = n / 64 + 1;
}

static void
set_remove(struct host_runnable *hr, unsigned n)
{
	hr->hr_word[n / 64] &= ~(UINT64_C(1) << (n % 64));
	hr->hr_count--;
}

unsigned
host_runnable_nth(const struct host_runnable *hr, unsigned n)
{
	for (unsigned w = 0;; w++) {
		uint64_t word = hr->hr_word[w];
		unsigned in = (unsigned)__builtin_popcountll(word);

		if (n >= in) {
			n -= in;
			continue;
		}
		for (; n > 0; n--)
			word &= word - 1;
		return w * 64 + (unsigned)__builtin_ctzll(word);
	}
}

/* => those that were set aside are back, but not `but` unless it is alone */
static void
all_back(unsigned but)
{
	bool kept = false;

	for (unsigned w = 0; w < s.aside.hr_nwords; w++) {
		for (uint64_t left = s.aside.hr_word[w]; left != 0; left &= left - 1) {
			unsigned n = w * 64 + (unsigned)__builtin_ctzll(left);

			if (n == but)
				kept = true;
			else
				set_add(&s.run, n);
		}
		s.aside.hr_word[w] = 0;
	}
	s.aside.hr_count = 0;
	if (kept && s.run.hr_count == 0)
		set_add(&s.run, but);
	else if (kept)
		set_add(&s.aside, but);
}

/* --- time --- */

static void
note_deadline(void)
{
	s.next_deadline = UINT64_MAX;
	for (unsigned i = 0; i < s.nslots; i++) {
		const struct host_thread *ht = s.threads[i];

		if (ht != NULL && ht->ht_state == TS_TIMED && ht->ht_deadline < s.next_deadline)
			s.next_deadline = ht->ht_deadline;
	}
}

void
sched_ready(struct host_thread *ht)
{
	ht->ht_state = TS_RUN;
	ht->ht_ran = s.points;
	set_add(&s.run, ht->ht_number);
	s.resched = true;
}

static void
time_outs(void)
{
	for (unsigned i = 0; i < s.nslots; i++) {
		struct host_thread *ht = s.threads[i];

		if (ht != NULL && ht->ht_state == TS_TIMED && ht->ht_deadline <= s.now) {
			event(i, HP_TIMEOUT, 0);
			sched_ready(ht);
		}
	}
	note_deadline();
}

static inline void
pass(uint64_t ns)
{
	s.now += ns;
	if (__builtin_expect(s.now >= s.next_deadline, 0))
		time_outs();
}

/* --- the baton --- */

static void
take(struct host_thread *ht)
{
	/* acquire: pairs with give() */
	while (__atomic_load_n(&ht->ht_baton, __ATOMIC_ACQUIRE) == 0)
		futex_wait(&ht->ht_baton, 0, NULL);
	__atomic_store_n(&ht->ht_baton, 0, __ATOMIC_RELAXED);
}

static void
give(struct host_thread *ht)
{
	__atomic_store_n(&ht->ht_baton, 1, __ATOMIC_RELEASE);
	futex_wake(&ht->ht_baton);
}

/* => the calling thread has the baton once more */
static void
hand_to(unsigned next)
{
	if (__builtin_expect(s.config.hsc_leave != NULL, 0))
		s.config.hsc_leave(host_runnable_has(&s.run, host_self->ht_number) ? HC_POINT :
		    host_runnable_has(&s.aside, host_self->ht_number) ? HC_YIELD : HC_BLOCKED, next);
	s.switches++;
	host_log_add(&s.log, &(struct host_log_entry){ s.points - s.points_logged, next,
	    (uint8_t)s.hash });
	s.points_logged = host_self->ht_ran = s.points;
	s.resched = false;
	event(next, HP_SWITCH, 0);
	if (s.carrier != NULL) {
		carry_switch(host_self, s.threads[next]);
	} else {
		give(s.threads[next]);
		take(host_self);
	}
}

static void
switch_to(unsigned next)
{
	if (next == host_self->ht_number)
		s.resched = false;
	else
		hand_to(next);
}

/* => all that can run spin */
static void
everybody_spins(unsigned me)
{
	if (++s.spin_rounds > SPIN_ROUNDS) {
		unsigned faster = s.spin_rounds - SPIN_ROUNDS;
		uint64_t step = faster > 10 ? SPIN_STEP_MAX : (uint64_t)HOST_POINT_NS << faster;

		pass(step < SPIN_STEP_MAX ? step : SPIN_STEP_MAX);
	}
	all_back(me);
}

static void
deadlock(void)
{
	static const char text[] = "controlled schedule: nobody can run, and no time-out is pending\n";

	if (s.config.hsc_deadlock != NULL)
		s.config.hsc_deadlock();
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

/* => who is next; as long as that is nobody time goes on */
static unsigned
choose(unsigned me, enum host_choice why)
{
	for (;;) {
		const bool held = s.run.hr_count != 0;	/* those that can run are not to */
		unsigned next = held ? s.strategy->hs_pick(s.state, &s.run, me, why) : HOST_NOBODY;

		if (next != HOST_NOBODY)
			return next;
		if (s.aside.hr_count != 0) {
			everybody_spins(held ? HOST_THREADS : me);
		} else if (s.next_deadline != UINT64_MAX) {
			if (s.now < s.next_deadline)
				s.now = s.next_deadline;
			time_outs();
		} else if (!held) {
			deadlock();
		}
	}
}

void
sched_block(enum thread_state state)
{
	struct host_thread *me = host_self;

	me->ht_state = state;
	set_remove(&s.run, me->ht_number);
	s.points++;
	s.spin_rounds = 0;
	if (s.aside.hr_count != 0)
		all_back(HOST_THREADS);
	pass(HOST_POINT_NS);
	switch_to(choose(me->ht_number, HC_BLOCKED));
}

/* --- points --- */

/* => those that spin had better look again */
static inline bool
eager(enum host_point_kind kind)
{
	return (1u << kind & (1u << HP_LOCK | 1u << HP_TRY | 1u << HP_PTE | 1u << HP_TLB)) == 0;
}

/* => does one that can run wait for too long? */
static __attribute__((noinline)) bool
unfair(unsigned me)
{
	uint64_t since = s.points;

	for (unsigned i = 0; i < s.run.hr_count; i++) {
		const unsigned n = host_runnable_nth(&s.run, i);

		if (n != me && s.threads[n]->ht_ran < since)
			since = s.threads[n]->ht_ran;
	}
	if (s.points - since >= LONGEST)
		return true;
	s.fair_at = since + LONGEST;
	return false;
}

void
host_point_now(enum host_point_kind kind, uint32_t object)
{
	struct host_thread *me = host_self;

	if (me == NULL || !me->ht_controlled) {
		if (chaos_on)
			chaos_point(kind, object);
		return;
	}
	if (host_masked())
		return;
	event(me->ht_number, kind, object);
	s.points++;
	s.spin_rounds = 0;
	pass(HOST_POINT_NS);
	if (s.aside.hr_count != 0 && eager(kind))
		all_back(HOST_THREADS);
	s.load_points += s.load;
	if (__builtin_expect(s.points >= s.fair_at, 0) && unfair(me->ht_number))
		host_yield_now();
	else if (s.load && (s.strategy->hs_point(s.state, me->ht_number, kind, object) || s.resched))
		switch_to(choose(me->ht_number, HC_POINT));
}

void
host_yield_now(void)
{
	struct host_thread *me = host_self;

	if (!sched_mine() || host_masked())
		return;
	event(me->ht_number, HP_YIELD, 0);
	s.points++;
	pass(HOST_POINT_NS);
	s.strategy->hs_yield(s.state, me->ht_number);
	set_remove(&s.run, me->ht_number);
	set_add(&s.aside, me->ht_number);
	switch_to(choose(me->ht_number, HC_YIELD));
}

struct host_thread *
sched_carrier(void)
{
	return s.carrier;
}

bool
host_controlled(void)
{
	return sched_mine();
}

unsigned
host_sched_self(void)
{
	return host_self->ht_number;
}

void
host_sched_meet(unsigned place, uint32_t has, uint32_t wants)
{
	if (sched_mine() && s.strategy == &host_strategy_direct)
		direct_meet(s.state, host_self->ht_number, place, has, wants);
}

void
host_sched_waits(unsigned place, uint32_t has, uint32_t wants)
{
	if (sched_mine() && s.strategy == &host_strategy_direct)
		direct_waits(s.state, host_self->ht_number, place, has, wants);
}

void
host_sched_woken(void)
{
	if (sched_mine() && s.strategy == &host_strategy_direct)
		direct_woken(s.state, host_self->ht_number);
}

/* --- the host floor's functions --- */

static void
controlled_relax(unsigned *spins, bool ask)
{
	if (!sched_mine()) {
		host_floor_free.hf_relax(spins, ask);
		return;
	}
	++*spins;
	host_yield_now();
}

static uint64_t
controlled_now(void)
{
	return sched_mine() ? s.now : host_wall_ns();
}

/* => the token was there, and is taken */
static bool
take_token(struct host_thread *me)
{
	if (me->ht_token == 0)
		return false;
	me->ht_token = 0;
	race_acquire(&me->ht_token);
	return true;
}

static void
controlled_park(void)
{
	struct host_thread *me = host_thread_self();

	if (!me->ht_controlled) {
		host_floor_free.hf_park();
		return;
	}
	while (!take_token(me)) {
		event(me->ht_number, HP_PARK, 0);
		sched_block(TS_PARKED);
	}
}

static bool
controlled_park_until(uint64_t deadline)
{
	struct host_thread *me = host_thread_self();

	if (!me->ht_controlled)
		return host_floor_free.hf_park_until(deadline);
	if (take_token(me))
		return true;
	event(me->ht_number, HP_PARK, 1);
	me->ht_deadline = deadline;
	if (deadline < s.next_deadline)
		s.next_deadline = deadline;
	sched_block(TS_TIMED);
	return take_token(me);
}

static void
controlled_unpark(struct host_thread *ht)
{
	if (!ht->ht_controlled || !sched_mine()) {
		host_floor_free.hf_unpark(ht);
		return;
	}
	race_release(&ht->ht_token);
	if (ht->ht_token != 0)
		return;
	ht->ht_token = 1;
	event(host_self->ht_number, HP_UNPARK, ht->ht_number);
	if (ht->ht_state == TS_PARKED) {
		sched_ready(ht);
	} else if (ht->ht_state == TS_TIMED) {
		sched_ready(ht);
		note_deadline();
	}
}

/* --- threads --- */

static struct host_thread *
pool_get(bool carried)
{
	struct host_thread *ht = s.pool[carried];

	if (ht != NULL) {
		s.pool[carried] = ht->ht_next;
		return ht;
	}
	ht = calloc(1, sizeof(*ht));
	if (ht != NULL)
		ht->ht_carried = carried;
	return ht;
}

static void
pool_put(struct host_thread *ht)
{
	ht->ht_next = s.pool[ht->ht_carried];
	s.pool[ht->ht_carried] = ht;
}

/* => its number: the lowest that is free; HOST_THREADS: none */
static unsigned
enrol(struct host_thread *ht, const char *name)
{
	unsigned n = 0;

	while (n < HOST_THREADS && s.threads[n] != NULL)
		n++;
	if (n == HOST_THREADS)
		return n;
	if (n >= s.nslots)
		s.nslots = n + 1;
	s.nthreads++;
	s.threads[n] = ht;
	strncpy(s.names[n], name, sizeof(s.names[n]) - 1);
	ht->ht_number = n;
	ht->ht_controlled = true;
	ht->ht_token = 0;
	ht->ht_baton = 0;
	ht->ht_joiner = NULL;
	ht->ht_rcu = ht->ht_rcu_online = false;
	s.strategy->hs_born(s.state, n);
	sched_ready(ht);
	return n;
}

static void
ended(struct host_thread *me)
{
	event(me->ht_number, HP_END, 0);
	race_release(me);
	me->ht_state = TS_ENDED;
	set_remove(&s.run, me->ht_number);
	if (me->ht_joiner != NULL)
		sched_ready(me->ht_joiner);
	s.points++;
	if (s.aside.hr_count != 0)
		all_back(HOST_THREADS);
	pass(HOST_POINT_NS);
	/* Joined by the next one perhaps, and made another thread: when the baton comes it begins as that. */
	hand_to(choose(me->ht_number, HC_BLOCKED));
}

static void *
pool_main(void *arg)
{
	struct host_thread *me = arg;
	char name[16] = "";

	host_self = me;
	if (me->ht_carried) {
		carry_leave(me);
	} else {
		host_crash_stack(true);
		take(me);
	}
	for (;;) {
		race_acquire(me);
		if (!me->ht_carried && strcmp(name, me->ht_name) != 0) {
			memcpy(name, me->ht_name, sizeof(name));
			pthread_setname_np(pthread_self(), name);
		}
		memset(&host_gate, 0, sizeof(host_gate));
		me->ht_fn(me->ht_arg);
		ended(me);
	}
	return NULL;
}

static int
pool_spawn(struct host_thread *ht)
{
	pthread_attr_t attr;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, HOST_STACK_BYTES);
	error = pthread_create(&ht->ht_thread, &attr, pool_main, ht);
	pthread_attr_destroy(&attr);
	if (error == 0 && ht->ht_carried)
		carry_await(ht);
	return error;
}

static int
controlled_create(struct host_thread **htp, const char *name, void (*fn)(void *), void *arg)
{
	struct host_thread *ht;
	const bool carried = s.carrier != NULL, fresh = s.pool[carried] == NULL;
	int error = 0;

	if (!sched_mine())
		return host_floor_free.hf_create(htp, name, fn, arg);
	ht = pool_get(carried);
	if (ht == NULL)
		return ENOMEM;
	ht->ht_fn = fn;
	ht->ht_arg = arg;
	memset(ht->ht_name, 0, sizeof(ht->ht_name));
	strncpy(ht->ht_name, name, sizeof(ht->ht_name) - 1);
	race_release(ht);
	if (fresh)
		error = pool_spawn(ht);
	if (error == 0 && enrol(ht, name) == HOST_THREADS) {
		pool_put(ht);
		return EAGAIN;
	}
	if (error != 0) {
		free(ht);
		return error;
	}
	event(host_self->ht_number, HP_BORN, ht->ht_number);
	*htp = ht;
	return 0;
}

void
sched_put_off(struct host_thread *ht)
{
	set_remove(&s.run, ht->ht_number);
	ht->ht_state = TS_PARKED;
}

static void
controlled_join(struct host_thread *ht)
{
	if (!ht->ht_controlled) {
		host_floor_free.hf_join(ht);
		return;
	}
	if (ht->ht_state != TS_ENDED) {
		ht->ht_joiner = host_self;
		sched_block(TS_JOINS);
	}
	race_acquire(ht);
	s.threads[ht->ht_number] = NULL;
	ht->ht_controlled = false;
	pool_put(ht);
}

static const struct host_floor host_floor_controlled = {
	.hf_create = controlled_create,
	.hf_join = controlled_join,
	.hf_park = controlled_park,
	.hf_park_until = controlled_park_until,
	.hf_unpark = controlled_unpark,
	.hf_relax = controlled_relax,
	.hf_now = controlled_now,
};

void
sched_foreach(void (*fn)(struct host_thread *, void *), void *arg)
{
	for (unsigned i = 0; i < s.nslots; i++)
		if (s.threads[i] != NULL && s.threads[i]->ht_state != TS_ENDED)
			fn(s.threads[i], arg);
}

/* --- a schedule --- */

/* All threads share the host core on which the first schedule began: a switch costs a tenth then. */
static void
pin(void)
{
	cpu_set_t set;
	int core = sched_getcpu();

	if (s.pinned || core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	s.pinned = sched_setaffinity(0, sizeof(set), &set) == 0;
}

static void
reset(const struct host_sched_config *hsc)
{
	const size_t want = hsc->hsc_strategy->hs_state;

	s.config = *hsc;
	if (s.pool_of != getpid()) {
		/* A child of fork() has none of them, and their stacks are given to others. */
		s.pool[0] = s.pool[1] = NULL;
		s.pool_of = getpid();
	}
	s.strategy = hsc->hsc_strategy;
	s.watched = hsc->hsc_record != NULL || hsc->hsc_compare != NULL || hsc->hsc_stop != NULL;
	if (want > s.state_room) {
		free(s.state);
		s.state = malloc(want);
		s.state_room = s.state != NULL ? want : 0;
	}
	memset(s.threads, 0, s.nslots * sizeof(s.threads[0]));
	memset(s.names, 0, s.nslots * sizeof(s.names[0]));
	memset(&s.run, 0, sizeof(s.run));
	memset(&s.aside, 0, sizeof(s.aside));
	s.nslots = s.nthreads = s.spin_rounds = 0;
	s.resched = false;
	s.now = TIME_BEGIN;
	s.next_deadline = UINT64_MAX;
	s.hash = UINT64_C(0xcbf29ce484222325);
	s.events = s.points = s.load_points = s.switches = s.points_logged = 0;
	s.fair_at = LONGEST;
	s.load = true;
	s.log.hl_len = 0;
	memset(&s.divergence, 0, sizeof(s.divergence));
	twin_begin();
}

int
host_sched_begin(const struct host_sched_config *hsc)
{
	struct host_thread *me = host_thread_self();

	reset(hsc);
	if (s.state == NULL)
		return ENOMEM;
	pin();
	memset(s.state, 0, s.state_room);
	s.strategy->hs_begin(s.state, hsc);
	/* Who stops at an event wants to look at threads of the host's. */
	s.carrier = hsc->hsc_stop == NULL && !hsc->hsc_threads && carry_can() ? me : NULL;
	if (s.carrier != NULL)
		carry_begin(me);
	host_points = 1;
	host_floor = &host_floor_controlled;
	enrol(me, "main");
	s.resched = false;
	return 0;
}

void
host_sched_end(void)
{
	host_self->ht_controlled = false;
	host_self->ht_token = 0;
	host_floor = &host_floor_free;
	host_points = chaos_on;
}

void
host_sched_stat(struct host_sched_stat *hst)
{
	/* ThreadSanitizer sees nothing of a hand-over, but does see what memcpy() and strncpy() do */
	host_racy_begin();
	*hst = (struct host_sched_stat){
		.hst_hash = s.hash, .hst_events = s.events, .hst_points = s.points,
		.hst_load = s.load_points, .hst_switches = s.switches, .hst_virtual_ns = s.now - TIME_BEGIN,
		.hst_threads = s.nthreads, .hst_divergence = s.divergence,
	};
	host_racy_end();
}

void
host_sched_load(bool on)
{
	if (sched_mine())
		s.load = on;
	/* relaxed: who sees it late is delayed later */
	__atomic_store_n(&chaos_load, on, __ATOMIC_RELAXED);
}

bool
host_sched_loaded(void)
{
	return s.load;
}

void
host_sched_diverged(const char *text)
{
	if (s.divergence.hd_set)
		return;
	s.divergence.hd_set = true;
	s.divergence.hd_event = s.events;
	strncpy(s.divergence.hd_text, text, sizeof(s.divergence.hd_text) - 1);
}

uint64_t
host_sched_points(void)
{
	return s.points;
}

uint64_t
host_sched_hash(void)
{
	return s.hash;
}

const struct host_log *
host_sched_log(void)
{
	return &s.log;
}

const char *
host_sched_name(unsigned thread)
{
	return thread < HOST_THREADS ? s.names[thread] : "";
}
