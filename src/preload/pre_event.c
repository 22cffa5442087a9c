/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Condition variables and semaphores: who waits for them with what in hand, and what those
 * need who end the wait.
 *
 *	held ---> event		somebody waited for it holding `held`
 *	event ---> needed	whoever ended such waits held `needed`, every time
 *
 * Nobody declares what a program's waits depend on, so it is inferred as lock sets are: the
 * intersection over all times that it was signalled or posted.  (A lock that some signals
 * were sent without is not needed.)  One event is judged, not its class.
 *
 * A semaphore is a lock as long as it starts at 1 and only those post it who have waited for
 * it: then what is wanted in between is wanted with it held.  One that starts with more
 * makes no such edges: it takes several holders to exhaust it.
 *
 * What a semaphore is, and what an intersection comes to, is known when all is over: the
 * engine is told at the end, or when the event is destroyed.
 */
#include <string.h>

#include "pre_int.h"

#define FACTS	32			/* of a kind, for one event; what is beyond is lost */
#define RECENT	4

/* That a lock was held, or wanted.  e */
struct fact {
	struct pre_object *f_object;
	uint32_t	 f_id;		/* its birth number: is it still the same? */
	uint32_t	 f_held;	/* where it was taken, if it was held */
	uint32_t	 f_trace;	/* of whoever waited, wanted or signalled */
	uint32_t	 f_runner;
	uint8_t		 f_how;
};

struct facts {
	struct fact	 fs_v[FACTS];
	int		 fs_n;
};

/* e: event lock   a: atomic, relaxed: hints */
struct pre_event {
	struct facts	 ev_waits;	/* e: held by those who waited */
	struct facts	 ev_needs;	/* e: semaphore: wanted by those who had it */
	struct facts	 ev_ends;	/* e: held by all who ended a wait */
	bool		 ev_ended;	/* e: somebody did */
	uint64_t	 ev_wait_hash;	/* a: of the locks held by the last who waited */
	uint64_t	 ev_end_hash;	/* a: and by the last who ended a wait */
	const struct pre_object *ev_recent[RECENT];	/* a: needs that are noted */
	struct pre_event *ev_next;	/* e: of the spare ones */
};

static struct pre_lock lock;
static struct pre_event *spare;		/* e */

bool
pre_events_busy(void)
{
	return __atomic_load_n(&lock.l_word, __ATOMIC_RELAXED) != 0;
}

/* => with the lock held */
static struct pre_event *
event_of(struct pre_object *o)
{
	struct pre_event *ev = o->po_event;

	if (ev != NULL)
		return ev;
	if ((ev = spare) != NULL) {
		spare = ev->ev_next;
		memset(ev, 0, sizeof(*ev));
	} else if ((ev = pre_alloc(sizeof(*ev))) == NULL) {
		return NULL;
	}
	__atomic_store_n(&o->po_event, ev, __ATOMIC_RELEASE);
	return ev;
}

static uint64_t
hash_held(const struct pre_thread *t)
{
	uint64_t h = 1469598103934665603u;

	for (int i = 0; i < t->pt_held.hs_n; i++)
		h = (h ^ t->pt_held.hs_v[i].hl_id) * 1099511628211u;
	for (int i = 0; i < t->pt_nsems; i++)
		h = (h ^ (uintptr_t)t->pt_sems[i]) * 1099511628211u;
	return h;
}

static struct fact *
find_fact(struct facts *fs, const struct pre_object *o)
{
	for (int i = 0; i < fs->fs_n; i++)
		if (fs->fs_v[i].f_object == o && fs->fs_v[i].f_id == o->po_id)
			return &fs->fs_v[i];
	return NULL;
}

static void
add_fact(const struct pre_thread *t, struct facts *fs, struct pre_object *o,
    const struct held_lock *hl, uint32_t trace)
{
	if (fs->fs_n == FACTS || find_fact(fs, o) != NULL)
		return;
	fs->fs_v[fs->fs_n++] = (struct fact){
		.f_object = o, .f_id = o->po_id, .f_trace = trace, .f_runner = t->pt_held.hs_runner,
		.f_held = hl != NULL ? lockorder_held_trace(hl) : LOCKGRAPH_NONE,
		.f_how = hl != NULL ? hl->hl_how & LO_MODE : LO_WRITE,
	};
}

/* All that the thread holds. */
static void
add_held(const struct pre_thread *t, struct facts *fs, const struct pre_object *but)
{
	const uint32_t trace = lockorder_trace(NULL);

	for (int i = 0; i < t->pt_held.hs_n; i++) {
		struct pre_object *o = pre_object_find(t->pt_held.hs_v[i].hl_lock);

		if (o != NULL)
			add_fact(t, fs, o, &t->pt_held.hs_v[i], trace);
	}
	for (int i = 0; i < t->pt_nsems; i++)
		if (t->pt_sems[i] != but)
			add_fact(t, fs, t->pt_sems[i], NULL, trace);
}

void
pre_event_wait(struct pre_thread *t, struct pre_object *o)
{
	uint64_t hash;

	if (t->pt_held.hs_n == 0 && t->pt_nsems == 0)
		return;
	hash = hash_held(t);
	if (o->po_event != NULL && __atomic_load_n(&o->po_event->ev_wait_hash, __ATOMIC_RELAXED) == hash)
		return;
	pre_lock(&lock);
	if (event_of(o) != NULL) {
		add_held(t, &o->po_event->ev_waits, o);
		__atomic_store_n(&o->po_event->ev_wait_hash, hash, __ATOMIC_RELAXED);
	}
	pre_unlock(&lock);
}

static bool
holds(const struct pre_thread *t, const struct fact *f)
{
	for (int i = 0; i < t->pt_nsems; i++)
		if (t->pt_sems[i] == f->f_object)
			return true;
	return held_find(&t->pt_held, f->f_object->po_addr) != NULL;
}

void
pre_event_end(struct pre_thread *t, struct pre_object *o)
{
	const uint64_t hash = hash_held(t);
	struct facts *ends;
	int kept = 0;

	if (o->po_event != NULL && __atomic_load_n(&o->po_event->ev_end_hash, __ATOMIC_RELAXED) == hash)
		return;
	pre_lock(&lock);
	if (event_of(o) != NULL) {
		ends = &o->po_event->ev_ends;
		if (!o->po_event->ev_ended) {
			o->po_event->ev_ended = true;
			add_held(t, ends, o);
		} else {
			for (int i = 0; i < ends->fs_n; i++)
				if (holds(t, &ends->fs_v[i]))
					ends->fs_v[kept++] = ends->fs_v[i];
			ends->fs_n = kept;
		}
		__atomic_store_n(&o->po_event->ev_end_hash, hash, __ATOMIC_RELAXED);
	}
	pre_unlock(&lock);
}

void
pre_event_needs(struct pre_thread *t, struct pre_object *wanted)
{
	int kept = 0;

	for (int i = 0; i < t->pt_nsems; i++) {
		struct pre_object *s = t->pt_sems[i];
		const struct pre_object **recent;

		if (s->po_foreign || s->po_addr == NULL)
			continue;			/* no lock after all */
		t->pt_sems[kept++] = s;
		if (s == wanted || s->po_value != 1)
			continue;
		recent = s->po_event == NULL ? NULL : &s->po_event->ev_recent[wanted->po_id % RECENT];
		if (recent != NULL && *recent == wanted)
			continue;
		pre_lock(&lock);
		if (event_of(s) != NULL) {
			add_fact(t, &s->po_event->ev_needs, wanted, NULL, lockorder_trace(NULL));
			s->po_event->ev_recent[wanted->po_id % RECENT] = wanted;
		}
		pre_unlock(&lock);
	}
	t->pt_nsems = kept;
}

/* --- at the end --- */

static bool
still(const struct fact *f)
{
	return f->f_object->po_addr != NULL && f->f_object->po_id == f->f_id &&
	    (f->f_object->po_kind != PRE_SEM ||
	     (!f->f_object->po_foreign && f->f_object->po_value == 1));
}

static void
tell(const struct facts *fs, struct pre_object *o, bool towards, enum lockgraph_edge_kind kind)
{
	for (int i = 0; i < fs->fs_n; i++) {
		const struct fact *f = &fs->fs_v[i];
		const struct held_stack by = { .hs_runner = f->f_runner };
		uint32_t node, own;

		if (!still(f))
			continue;
		node = pre_object_node(f->f_object);
		own = pre_object_own_node(o);
		if (node == LOCKGRAPH_NONE || own == LOCKGRAPH_NONE)
			continue;
		if (towards)
			lockorder_edge(&by, node, own, kind, f->f_how, f->f_held, f->f_trace);
		else
			lockorder_edge(&by, own, node, kind, (unsigned)f->f_how << 2, f->f_trace,
			    f->f_held != LOCKGRAPH_NONE ? f->f_held : f->f_trace);
	}
}

/* Both what waits for it and what it waits for, or there is no cycle through it. */
static void
judge(struct pre_object *o)
{
	const struct pre_event *ev = o->po_event;

	if (o->po_kind == PRE_SEM && !o->po_known)
		return;
	if (o->po_kind == PRE_SEM && o->po_value != 0 && !o->po_foreign) {
		if (ev->ev_waits.fs_n != 0 && ev->ev_needs.fs_n != 0) {
			tell(&ev->ev_waits, o, true, LOCKGRAPH_ORDER);
			tell(&ev->ev_needs, o, false, LOCKGRAPH_ORDER);
		}
	} else if (ev->ev_waits.fs_n != 0 && ev->ev_ends.fs_n != 0) {
		tell(&ev->ev_waits, o, true, LOCKGRAPH_WAIT);
		tell(&ev->ev_ends, o, false, LOCKGRAPH_PROVIDE);
	}
}

/* => one lock is on both sides: held by who waits, and needed by who ends the wait */
static bool
closed(const struct facts *in, const struct facts *out)
{
	for (int i = 0; i < in->fs_n; i++)
		for (int k = 0; k < out->fs_n; k++)
			if (in->fs_v[i].f_object == out->fs_v[k].f_object &&
			    in->fs_v[i].f_id == out->fs_v[k].f_id)
				return true;
	return false;
}

/*
 * It is destroyed.  A program may make and destroy them by the million, so that only what is
 * a cycle by itself becomes part of the graph; longer ones are seen through those that last.
 */
void
pre_event_forget(struct pre_object *o)
{
	struct pre_event *ev = o->po_event;

	if (ev == NULL)
		return;
	if (closed(&ev->ev_waits, &ev->ev_ends) || closed(&ev->ev_waits, &ev->ev_needs))
		judge(o);
	pre_lock(&lock);
	if ((ev = o->po_event) != NULL) {
		__atomic_store_n(&o->po_event, NULL, __ATOMIC_RELAXED);
		ev->ev_next = spare;
		spare = ev;
	}
	pre_unlock(&lock);
}

void
pre_event_judge(void)
{
	pre_object_events(judge);
}
