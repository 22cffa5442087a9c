/*
 * Controlled schedules: the one seam through which chance comes in.
 *
 * Free, the host runs our threads as it likes, and nothing in here costs more than a branch.
 * Under control exactly one of them runs at a time.  It goes on until it parks, ends, spins
 * or passes a point (host_point()); there a strategy says who is next, from a seed.  So
 * the whole machine is one deterministic program: same build, profile and seed, same events.
 *
 *	who runs	a strategy (below); one host thread carries them all (carry.c), of which
 *			ThreadSanitizer sees nothing: what two do without a lock of ours stays a race
 *	time		virtual: a point costs HOST_POINT_NS; when nobody can run, time jumps to
 *			the first host_park_until(); host_now_ns() is that clock
 *	spinning	host_relax() lets everybody else go first; when all spin, time jumps too
 *	threads		come from a pool, are numbered in the order of their creation, share one core
 *	RCU		a twin without threads of its own (rcu_twin.c) behind <host/rcu.h>
 *
 * There is no point inside a section that is masked (host_mask(), so: with a raw lock held):
 * a raw lock is never contended under control, and which locks share one may depend on addresses.
 *
 * Threads made by host_thread_create_beside() are not part of the machine: they run free, in
 * real time, and may neither park nor unpark a thread that is controlled.
 *
 * With chaos (host_chaos_start()) the same points delay threads that run free.
 */
#ifndef HOST_SCHED_H
#define HOST_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define	HOST_POINT_NS	1000		/* virtual time of a point */
#define	HOST_THREADS	4096		/* under control at a time, at most */
#define	HOST_PLACES	64		/* in a circle of waits that is to come about, at most */

/*
 * What a thread is about to do (or, where that says more, has just done), and to which object:
 * a birth number or an index, never an address; 0: none.
 */
enum host_point_kind {
#define	HOST_POINT(name, text)	HP_##name,
#include <host/sched.def>
#undef HOST_POINT
	HP_COUNT
};
extern const char *const host_point_name[HP_COUNT];

extern int host_points;			/* stable while other threads run; 0: points are nothing */
void	host_point_now(enum host_point_kind, uint32_t object);
/* => any context; the thread may be put off for any time */
static inline void
host_point(enum host_point_kind kind, uint32_t object)
{
	if (__builtin_expect(host_points, 0))
		host_point_now(kind, object);
}

/* => something happened that is no choice: it counts for the event hash alone */
void	host_event_now(enum host_point_kind, uint32_t object);
static inline void
host_event(enum host_point_kind kind, uint32_t object)
{
	if (__builtin_expect(host_points, 0))
		host_event_now(kind, object);
}

/* => the caller cannot go on before somebody else has done something: as host_relax() */
void	host_yield_now(void);
static inline void
host_yield(void)
{
	if (__builtin_expect(host_points, 0))
		host_yield_now();
}

/* => is the calling thread under control? */
bool	host_controlled(void);

/* --- strategies --- */

/*
 * Who can run: bit i of word i / 64 is thread i.  Thread 0 called host_sched_begin(); a new thread
 * gets the lowest number that is free, as it is again when the thread has been joined.
 */
struct host_runnable {
	uint64_t hr_word[HOST_THREADS / 64];
	unsigned hr_nwords;		/* those after it are 0 */
	unsigned hr_count;
};
/* => the n-th that can run, n < hr_count */
unsigned host_runnable_nth(const struct host_runnable *, unsigned n);
static inline bool
host_runnable_has(const struct host_runnable *hr, unsigned thread)
{
	return (hr->hr_word[thread / 64] >> (thread % 64) & 1) != 0;
}

struct host_sched_config;

/* Why somebody is to be chosen. */
enum host_choice {
	HC_POINT,			/* the current thread is at a point, and can go on */
	HC_YIELD,			/* it spins; it is not among those to choose from, unless alone */
	HC_BLOCKED			/* it parks, or has ended; likewise */
};

/*
 * A strategy: all of it runs on the thread that has the baton, so it needs no lock.  It must
 * decide from what it is given, its seed and its state alone; it may neither block nor fail.
 *
 * begin	before the first thread; the state is zeroed
 * born		thread number `thread` has been made
 * point	the current thread is at a point => true: pick(); false: it goes on, unless somebody
 *		became able to run since the last choice: then it is pick() all the same
 * yield	the current thread spins: let the others go first from now on
 * pick		=> one of those that can run.  current is among them with HC_POINT only.
 *		Or HOST_NOBODY: none of them is to, let time go on and ask again; a strategy that
 *		says so must put an end to it
 */
#define	HOST_NOBODY	HOST_THREADS
struct host_strategy {
	const char *hs_name;
	size_t	    hs_state;		/* bytes of state */
	void	  (*hs_begin)(void *state, const struct host_sched_config *);
	void	  (*hs_born)(void *state, unsigned thread);
	bool	  (*hs_point)(void *state, unsigned thread, enum host_point_kind, uint32_t object);
	void	  (*hs_yield)(void *state, unsigned thread);
	unsigned  (*hs_pick)(void *state, const struct host_runnable *, unsigned current,
	    enum host_choice);
};

extern const struct host_strategy host_strategy_random;	/* at each point anybody */
extern const struct host_strategy host_strategy_pos;	/* partial-order sampling */
extern const struct host_strategy host_strategy_pct;	/* hsc_depth, hsc_steps */
extern const struct host_strategy host_strategy_direct;	/* hsc_places: towards one deadlock */
extern const struct host_strategy host_strategy_replay;	/* hsc_log */
extern const struct host_strategy host_strategy_thin;	/* hsc_thin: switches, of which some may be gone */

/* --- a schedule --- */

/* What a schedule was; a log of switches, see host_log_next(). */
struct host_log {
	uint8_t	*hl_bytes;		/* malloc()ed */
	size_t	 hl_len, hl_room;
};

/* An event: point, switch or what host_event() said. */
struct host_event_rec {
	uint32_t he_object;
	uint16_t he_thread;
	uint8_t	 he_kind;		/* enum host_point_kind */
	uint8_t	 he_pad;
};

struct host_trace {
	struct host_event_rec *ht_v;	/* malloc()ed */
	size_t	 ht_n, ht_room;		/* no more are kept than HOST_TRACE_MAX */
};
#define	HOST_TRACE_MAX	(UINT64_C(16) << 20)
void	host_trace_free(struct host_trace *);

/* Where two runs of one schedule, or a run and its log, parted. */
struct host_divergence {
	bool	 hd_set;
	uint64_t hd_event;		/* number of the event, from 0 */
	struct host_event_rec hd_was, hd_is;	/* hd_was: of the recording, if it has events */
	char	 hd_text[200];
};

struct host_sched_config {
	const struct host_strategy *hsc_strategy;
	uint64_t hsc_seed;
	unsigned hsc_depth;		/* pct: bugs of that depth */
	uint64_t hsc_steps;		/* pct: points that a run has, about: hst_load */
	unsigned hsc_places;		/* direct: where threads are to meet, up to HOST_PLACES */
	const struct host_log *hsc_log;	/* replay: what to follow; stable */
	const struct host_switch *hsc_thin; /* thin: what to follow; stable */
	size_t hsc_nthin;
	/* on the thread that is about to lose the baton, which can go on with HC_POINT; or NULL */
	void	(*hsc_leave)(enum host_choice, unsigned next);
	struct host_trace *hsc_record;	/* the events go there, or NULL */
	const struct host_trace *hsc_compare; /* the events are held against it, or NULL; stable */
	/* nobody can run and no time-out is pending: on the thread that found it; does not return */
	void	(*hsc_deadlock)(void);
	/* at event hsc_stop_at, maybe with a raw lock held; or NULL */
	void	(*hsc_stop)(uint64_t event, unsigned thread, enum host_point_kind, uint32_t object);
	uint64_t hsc_stop_at;		/* from 0 */
	bool	hsc_threads;		/* each thread runs in a host thread of its own; so with hsc_stop */
};

struct host_sched_stat {
	uint64_t hst_hash;		/* event_hash: of all events, in their order */
	uint64_t hst_events;		/* so many */
	uint64_t hst_points;		/* times that a strategy was or could have been asked */
	uint64_t hst_load;		/* host_point()s among them, of the load */
	uint64_t hst_switches;
	uint64_t hst_virtual_ns;
	unsigned hst_threads;
	struct host_divergence hst_divergence;	/* from hsc_compare or hsc_log */
};

/*
 * host_sched_begin: the calling thread is thread 0 of a schedule from now on, and every thread that is
 * made by a thread of it belongs to it.  All other threads of the machine have ended.  The process
 * stays on the host core where it is from now on.  ENOMEM.
 * host_sched_end: all others have been joined; the caller runs free.
 * host_sched_stat: => of the schedule so far, or of the last; from a thread of it
 * host_sched_log: => likewise; valid until the next host_sched_begin()
 */
int	host_sched_begin(const struct host_sched_config *);
void	host_sched_end(void);
void	host_sched_stat(struct host_sched_stat *);
const struct host_log *host_sched_log(void);
/* => name of a thread, "" if there never was one; and how many there were */
const char *host_sched_name(unsigned thread);

/*
 * The load: what the schedule is about.  Before and after it (boot, set-up, teardown) threads go on at
 * their points, and the points are not counted in hst_load; and there is no chaos.  A schedule
 * begins with the load on.
 */
void	host_sched_load(bool on);
bool	host_sched_loaded(void);

/* => the number of the calling thread */
unsigned host_sched_self(void);
/*
 * For the direct strategy, others ignore it: at its next point, which is HP_LOCK of `wants`, the calling
 * thread is at this place of the circle: it has `has`, wants `wants`, and waits as long as somebody else
 * has that.  What is had at a place is what is wanted at the one before it.  Once for each lock that it has.
 */
void	host_sched_meet(unsigned place, uint32_t has, uint32_t wants);
/*
 * Likewise, of who is about to sleep at that place, whatever others do, until host_sched_woken().  wants 0: what
 * the next one has, whatever it is.
 */
void	host_sched_waits(unsigned place, uint32_t has, uint32_t wants);
void	host_sched_woken(void);
/* => for strategies: so far; and this is where the run left what it was to follow (the first counts) */
uint64_t host_sched_points(void);
uint64_t host_sched_hash(void);
void	host_sched_diverged(const char *text);

/*
 * Reading a log: *pos starts at 0.  The entry says: after so many points more, this thread.
 * => false: its end, or it is broken
 */
struct host_log_entry {
	uint64_t hle_points;
	unsigned hle_thread;
	uint8_t	 hle_check;		/* of the event hash, then */
};
bool	host_log_next(const struct host_log *, size_t *pos, struct host_log_entry *);
void	host_log_add(struct host_log *, const struct host_log_entry *);
void	host_log_free(struct host_log *);

/*
 * A switch that says nothing of the others: at its own so-manieth point a thread gives way to another.
 * The points of a thread are counted by its number.  No two have thread and point in common.
 */
struct host_switch {
	uint64_t hw_at;
	uint32_t hw_from, hw_to;
};
/* => the switches of a log in their order, for free(), and their number; up to where it is broken */
struct host_switch *host_log_switches(const struct host_log *, size_t *n);

/* --- chaos: delays of threads that run free --- */

/*
 * At a point of a kind in the mask, with the given probability, the thread is delayed: up to so long,
 * until the budget is spent.  Which visit of a point is delayed depends on the seed and the thread's name.
 */
struct host_chaos {
	uint64_t hc_seed;
	uint64_t hc_kinds;		/* bit per enum host_point_kind */
	double	 hc_p;
	uint64_t hc_ns;			/* longest delay */
	uint64_t hc_budget;		/* ns in all */
};
/* => while no other thread runs */
void	host_chaos_start(const struct host_chaos *);
/* => how many delays there were, and how long in all */
void	host_chaos_stop(uint64_t *delays, uint64_t *ns);

#endif /* HOST_SCHED_H */
