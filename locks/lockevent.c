/*
 * Waits as nodes in the graph of lock order: see <sys/lockevent.h>.
 *
 * Declared events.  Whoever has to end the waits for an event has it on his stack of held
 * locks, under a token's address, taken as if by trying: so no edge leads to it, and what he
 * waits for meanwhile hangs on it.  hl_user counts how often (busy pages of a kind).
 *
 * Sleeps.  Every wmesg is an event.  A sleeper's locks make edges to it at once, as waits.
 * From it lead edges to what every waker so far had in hand (needs).  That is no proof: one
 * run may have seen one of two wakers only.  So
 *
 *   - only wakeups of somebody count, and what he had in hand himself was not needed;
 *   - with a time-out nobody is needed;
 *   - the edges are made late (lockevent_judge), when there is nothing to wait for any more.
 *
 * Sleep queues call us with a bucket locked, so the table's lock is a raw one and nothing is
 * reported from there.
 */
#include <stdio.h>
#include <string.h>

#include "lockdebug_int.h"

#include <host/race.h>
#include <sys/lockdirect.h>
#include <sys/lockorder.h>

bool lockaudit_full;

static const struct {
	const char	*le_text;
	int		 le_rank;
	enum lockorder_nest le_nest;
} declared[LE_COUNT] = {
#define	NEST	LO_NEST_ANY
#define	NONEST	LO_NEST_NONE
#define	LOCK_EVENT(name, text, rank, nest, reason)	[LE_##name] = { text, rank, nest },
#include "lockevent.def"
#undef LOCK_EVENT
};

static uint32_t node[LE_COUNT];			/* stable: of the graph */
static enum lock_class name_class[LE_COUNT];		/* stable: for their names, among those held */
static const char token[LE_COUNT];		/* their addresses stand for the events */

/* --- declared events --- */

/* => the current context is about to wait for the event's end, or to become who ends it */
static struct lockorder_want
want_of(uint32_t to, const void *lock, unsigned how, const void *where)
{
	const struct cpu_info *ci = curcpu();

	return (struct lockorder_want){
		.lw_lock = lock, .lw_where = where, .lw_class = to, .lw_how = (uint8_t)how,
		.lw_ipl = (uint8_t)ci->ci_ilevel, .lw_depth = (uint8_t)ci->ci_idepth,
		.lw_level = (uint8_t)(ci->ci_idepth != 0 ? ci->ci_intripl : 0),
	};
}

static struct held_stack *
stack(void)
{
	return &curlwp->l_held;
}

static void
want_event(enum lock_event ev, const void *where)
{
	const struct lockorder_want w = want_of(node[ev], NULL, LO_WRITE, where);

	(void)lockorder_want(stack(), &w);
}

void
lockevent_wait_(enum lock_event ev)
{
	if (ev == LE_NONE)
		return;
	LOCKDIRECT_(lockdirect_meet_event(node[ev]));
	want_event(ev, __builtin_return_address(0));
}

void
lockevent_begin_(enum lock_event ev, uint32_t number)
{
	struct held_lock *hl = held_find(stack(), &token[ev]);
	struct lockorder_want w;
	uint64_t chain;

	LOCKDIRECT_(lockdirect_begins(node[ev], number));
	if (hl != NULL) {
		hl->hl_full++;
		return;
	}
	w = want_of(node[ev], &token[ev], LO_WRITE | LO_TRY | LO_EVENT, __builtin_return_address(0));
	chain = lockorder_want(stack(), &w);
	host_mask();
	hl = held_push(stack(), &w, chain);
	hl->hl_user = name_class[ev];
	hl->hl_full = 1;
	host_unmask();
}

void
lockevent_end_(enum lock_event ev, uint32_t number)
{
	struct held_lock *hl;

	LOCKDIRECT_(lockdirect_ends(node[ev], number));
	host_mask();
	hl = held_find(stack(), &token[ev]);
	KASSERTMSG(hl != NULL, "the end of %s, which this LWP has not begun", declared[ev].le_text);
	if (--hl->hl_full == 0)
		held_pop(stack(), hl);
	host_unmask();
}

void
lockevent_depends_(enum lock_event ev, enum lock_event to)
{
	if (!lockorder_edge_known(node[ev], node[to], LOCKGRAPH_PROVIDE, 0)) {
		uint32_t trace = lockorder_trace(__builtin_return_address(0));

		lockorder_edge(NULL, node[ev], node[to], LOCKGRAPH_PROVIDE, 0, trace, trace);
	}
}

void
lockevent_pass_(enum lock_event ev, enum lock_event to, uint32_t number)
{
	lockevent_end_(ev, number);
	lockevent_depends_(ev, to);
}

void
lockevent_next_(enum lock_event ev, uint32_t number)
{
	curlwp->l_event = (uint8_t)ev;
	curlwp->l_event_of = number;
}

unsigned
lockevent_begun(enum lock_event ev)
{
	const struct held_lock *hl = lockaudit_full ? held_find(stack(), &token[ev]) : NULL;

	return hl == NULL ? 0 : (unsigned)hl->hl_full;
}

#define	SPUN_MAX	1024		/* nodes of a higher number are not watched for it */

static uint8_t spun[2][SPUN_MAX];	/* atomic: told for IPIs, for cross calls */

void
lockevent_spun(uint32_t to, int ipl)
{
	static const struct {
		enum lock_event	ev;
		int		blocked_at;
	} waits[2] = { { LE_shootdown, IPL_SCHED }, { LE_xcall, IPL_VM } };

	for (int i = 0; i < 2; i++) {
		uint32_t trace;

		if (ipl < waits[i].blocked_at || to >= SPUN_MAX ||
		    __atomic_exchange_n(&spun[i][to], 1, __ATOMIC_RELAXED) != 0)
			continue;
		trace = lockorder_trace(__builtin_return_address(0));
		lockorder_edge(NULL, node[waits[i].ev], to, LOCKGRAPH_PROVIDE, 0, trace, trace);
	}
}

/* --- sleeps --- */

#define	NSLEEPS		256		/* different wmesgs; more are not watched */
#define	NNEEDS		8		/* locks that one waker held and we remember */

/*
 *	:  stable once it is in the table	t  table_lock
 */
struct sleep_event {
	char		 se_wmesg[24];		/* : */
	uint32_t	 se_node;		/* : */
	unsigned	 se_wakes;		/* t: of somebody */
	uint32_t	 se_trace;		/* t: the first waker's stack */
	uint32_t	 se_needs[NNEEDS];	/* t: classes that every waker held */
	int		 se_nneeds;		/* t */
	bool		 se_waited;		/* t: with a lock in hand, and no time-out */
};

static struct host_lock table_lock;
static struct sleep_event table[NSLEEPS];	/* grows at its end */
static int ntable;				/* t to change, read @ */

/* => the event of that name, or NULL */
static struct sleep_event *
find(const char *wmesg, int n)
{
	for (int i = 0; i < n; i++)
		if (strncmp(table[i].se_wmesg, wmesg, sizeof(table[i].se_wmesg) - 1) == 0)
			return &table[i];
	return NULL;
}

/* => no raw lock held; NULL: the table is full */
static struct sleep_event *
sleep_event(const char *wmesg)
{
	/* acquire: pairs with the release below */
	const int n = __atomic_load_n(&ntable, __ATOMIC_ACQUIRE);
	struct sleep_event *se;
	char name[40];
	uint32_t id;

	race_acquire(&ntable);
	se = find(wmesg, n);
	if (se != NULL)
		return se;
	snprintf(name, sizeof(name), "sleep:%.23s", wmesg);
	id = lockorder_class(name, LOCKGRAPH_EVENT, 0, LO_NEST_ANY, 0, NULL);
	host_lock(&table_lock);
	se = find(wmesg, ntable);
	if (se == NULL && ntable < NSLEEPS && id != LOCKGRAPH_NONE) {
		se = &table[ntable];
		memset(se, 0, sizeof(*se));
		strncpy(se->se_wmesg, wmesg, sizeof(se->se_wmesg) - 1);
		se->se_node = id;
		se->se_trace = LOCKGRAPH_NONE;
		race_release(&ntable);
		/* release: pairs with the acquire above */
		__atomic_store_n(&ntable, ntable + 1, __ATOMIC_RELEASE);
	}
	host_unlock(&table_lock);
	return se;
}

/* => the current LWP's own holds, but for one lock; their number */
static int
held_but(const void *interlock, uint32_t *held, int max)
{
	const struct held_stack *hs = stack();
	const int depth = curcpu()->ci_idepth;
	int n = 0;

	for (int i = hs->hs_n - 1; i >= 0 && n < max; i--)
		if (hs->hs_v[i].hl_lock != interlock && hs->hs_v[i].hl_depth == depth)
			held[n++] = hs->hs_v[i].hl_class;
	return n;
}

void
lockevent_asleep(const char *wmesg, bool timed, const void *interlock)
{
	struct lwp *l = curlwp;

	l->l_sleep = NULL;
	l->l_nslept = 0;
	if (l->l_event != LE_NONE)
		return;
	l->l_nslept = held_but(interlock, l->l_slept, LWP_SLEPT_MAX);
	l->l_sleep = sleep_event(wmesg);
	l->l_timed = timed;
}

static bool due;				/* atomic: an event has just become sure */

void
lockevent_dropped(void)
{
	struct lwp *l = curlwp;
	const enum lock_event ev = l->l_event;
	struct lockorder_want w;

	l->l_event = LE_NONE;
	if (ev != LE_NONE)
		LOCKDIRECT_(lockdirect_sleeps(node[ev], l->l_event_of));
	else if (l->l_sleep != NULL && !l->l_timed)
		LOCKDIRECT_(lockdirect_sleeps(l->l_sleep->se_node, 0));
	if (ev != LE_NONE) {
		want_event(ev, __builtin_return_address(0));
	} else if (l->l_sleep != NULL && l->l_nslept > 0 && !l->l_timed) {
		w = want_of(l->l_sleep->se_node, NULL, LO_WRITE, __builtin_return_address(0));
		(void)lockorder_want(stack(), &w);
		/* relaxed: only says that edges lead there */
		__atomic_store_n(&l->l_sleep->se_waited, true, __ATOMIC_RELAXED);
	}
	if (__atomic_load_n(&due, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&due, false, __ATOMIC_RELAXED))
		lockevent_judge(LOCKEVENT_SURE);
}

/* => the classes of set that are (keep) or are not among those of with */
static int
sieve(uint32_t *set, int nset, const uint32_t *with, int nwith, bool keep)
{
	int n = 0;

	for (int i = 0; i < nset; i++) {
		bool among = false;

		for (int k = 0; k < nwith; k++)
			among |= with[k] == set[i];
		if (among == keep)
			set[n++] = set[i];
	}
	return n;
}

void
lockevent_woken(const struct lwp *l)
{
	struct sleep_event *se = l->l_sleep;
	uint32_t mine[NNEEDS];
	int n;

	if (se == NULL)
		return;
	n = held_but(NULL, mine, NNEEDS);
	host_lock(&table_lock);
	if (se->se_wakes++ == 0) {
		memcpy(se->se_needs, mine, sizeof(mine));
		se->se_nneeds = n;
		se->se_trace = lockorder_trace(NULL);
	} else {
		se->se_nneeds = sieve(se->se_needs, se->se_nneeds, mine, n, true);
	}
	/* he had it all the time, and was woken */
	se->se_nneeds = sieve(se->se_needs, se->se_nneeds, l->l_slept, l->l_nslept, false);
	if (se->se_wakes == LOCKEVENT_SURE)
		__atomic_store_n(&due, true, __ATOMIC_RELAXED);
	host_unlock(&table_lock);
}

void
lockevent_judge(unsigned min)
{
	/* acquire: pairs with sleep_event() */
	const int n = __atomic_load_n(&ntable, __ATOMIC_ACQUIRE);

	for (int i = 0; i < n; i++) {
		struct sleep_event se;

		host_lock(&table_lock);
		se = table[i];
		host_unlock(&table_lock);
		if (se.se_wakes < min || !se.se_waited)
			continue;
		for (int k = 0; k < se.se_nneeds; k++)
			lockorder_edge(NULL, se.se_node, se.se_needs[k], LOCKGRAPH_PROVIDE, 0,
			    se.se_trace, se.se_trace);
	}
}

/* --- boot --- */

void
lockevent_init(void)
{
	ntable = 0;
	due = false;
	memset(spun, 0, sizeof(spun));
	for (int i = LE_NONE + 1; i < LE_COUNT; i++) {
		node[i] = lockorder_class(declared[i].le_text, LOCKGRAPH_EVENT, declared[i].le_rank,
		    declared[i].le_nest, 0, NULL);
		if (node[i] == LOCKGRAPH_NONE)
			panic("no memory for the lock auditor");
		name_class[i] = lockdebug_class(declared[i].le_text, declared[i].le_rank,
		    declared[i].le_nest, IPL_NONE);
	}
}
