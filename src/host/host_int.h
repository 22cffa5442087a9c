/*
 * Inside the host floor.
 */
#ifndef HOST_HOST_INT_H
#define HOST_HOST_INT_H

#include <pthread.h>

#include <host/host.h>
#include <host/sched.h>

/*
 *	:  stable while its function runs	@  atomic
 *	b  under control: whoever has the baton
 */
struct host_thread {
	pthread_t	 ht_thread;	/* : */
	uint32_t	 ht_token;	/* @ 1 = may go on; b under control */
	void		(*ht_fn)(void *); /* : */
	void		*ht_arg;	/* : */
	char		 ht_name[16];	/* : */

	bool		 ht_controlled;	/* : */
	unsigned	 ht_number;	/* : under control */
	uint32_t	 ht_baton;	/* @ 1 = it is this thread that runs */
	bool		 ht_carried;	/* : from its birth: see carry.c */
	uint32_t	 ht_left;	/* @ carried: 1 = its stack has been left */
	void		*ht_sp;		/* b carried: up to where its stack is used while it does not run */
	uint64_t	 ht_fs;		/* : carried: its thread pointer */
	int		 ht_state;	/* b enum thread_state */
	uint64_t	 ht_deadline;	/* b of TS_TIMED */
	uint64_t	 ht_ran;	/* b points, when it gave the baton away, or became able to run */
	struct host_thread *ht_joiner;	/* b waits for its end */
	struct host_thread *ht_next;	/* b in the pool: the next that is free */
	bool		 ht_rcu;	/* b takes part in RCU, */
	bool		 ht_rcu_online;	/* b and is to be waited for */
	uint64_t	 ht_rcu_seen;	/* b the last grace period that it has seen begin */
};

enum thread_state {
	TS_RUN,				/* runs, or can */
	TS_PARKED, TS_TIMED,		/* wait for the token */
	TS_JOINS, TS_RCU,		/* wait for a thread's end, a grace period's */
	TS_ENDED			/* waits to be joined */
};

#define	HOST_STACK_BYTES (512 * 1024)	/* the deepest fault path under a sanitizer, twice */

/* The calling thread, NULL before host_thread_self(). */
extern __thread struct host_thread *host_self;

static inline bool
sched_mine(void)
{
	return host_self != NULL && host_self->ht_controlled;
}

/*
 * What a thread asks of the host, chosen once for all threads: thread.c does it freely, sched.c as
 * a strategy decides.
 */
struct host_floor {
	int	(*hf_create)(struct host_thread **, const char *, void (*)(void *), void *);
	void	(*hf_join)(struct host_thread *);
	void	(*hf_park)(void);
	bool	(*hf_park_until)(uint64_t);
	void	(*hf_unpark)(struct host_thread *);
	void	(*hf_relax)(unsigned *, bool ask);
	uint64_t (*hf_now)(void);
};
extern const struct host_floor *host_floor;	/* stable while other threads run */
extern const struct host_floor host_floor_free;	/* thread.c */

void	futex_wait(uint32_t *word, uint32_t value, const struct timespec *deadline);
void	futex_wake(uint32_t *word);

/* --- carry.c: the threads of a schedule, carried by the one that began it --- */

/* => does the host allow it?  The others: not called if it does not */
bool	carry_can(void);
/* => the caller carries */
void	carry_begin(struct host_thread *carrier);
/* => a new thread leaves its stack; it returns when it is carried */
void	carry_leave(struct host_thread *me);
/* => the thread has left */
void	carry_await(struct host_thread *);
/* => when somebody switches to from once more */
void	carry_switch(struct host_thread *from, struct host_thread *to);
/* => where a thread is that does not run; signal-safe */
int	carry_backtrace(const struct host_thread *, void **pcs, int max);
/* => sched.c: the thread that carries, NULL: each carries itself */
struct host_thread *sched_carrier(void);

/* --- sched.c, for rcu_twin.c: with the baton --- */

/* => the calling thread waits in the state until sched_ready() */
void	sched_block(enum thread_state);
void	sched_ready(struct host_thread *);
/* => a thread that has not begun need not before its first token */
void	sched_put_off(struct host_thread *);
/* => every thread of the schedule that has not ended */
void	sched_foreach(void (*fn)(struct host_thread *, void *), void *arg);

/* --- rcu_twin.c: as their namesakes of host/rcu.h, but for what race detectors are told --- */

void	twin_begin(void);
void	twin_register(bool on);
void	twin_online(bool on);
void	twin_quiescent(void);
void	twin_synchronize(void);

/* --- sched_log.c --- */

/* => event number n is this; *d: where it differs from what it should have been, at the first time */
void	trace_add(struct host_trace *, const struct host_event_rec *);
void	trace_compare(const struct host_trace *, uint64_t n, const struct host_event_rec *,
	    struct host_divergence *);

/* => sched_direct.c: see host_sched_meet() and host_sched_waits() */
void	direct_meet(void *state, unsigned thread, unsigned place, uint32_t has, uint32_t wants);
void	direct_waits(void *state, unsigned thread, unsigned place, uint32_t has, uint32_t wants);
void	direct_woken(void *state, unsigned thread);

/* --- chaos.c --- */

extern bool chaos_on;			/* stable while other threads run */
extern bool chaos_load;			/* @ see host_sched_load() */
void	chaos_point(enum host_point_kind, uint32_t object);

/* => crash.c: return addresses, from where a frame says pc and its pointer; signal-safe */
int	host_walk_frames(uintptr_t pc, uintptr_t fp, void **pcs, int max);
/* => crash.c: a stack for the handlers of this thread's crashes, or none any more */
void	host_crash_stack(bool on);
/* => alarm.c: as host_alarm(), and nobody puts it off */
void	host_alarm_final(uint64_t ns, const char *what);

#endif /* HOST_HOST_INT_H */
