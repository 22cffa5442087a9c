/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From interposed calls to the engine.
 *
 * What a thread holds is the engine's held_stack; a handler's locks lie on top of those of
 * the thread that it interrupts, one depth up, and make no edges with them (pre_signal.c
 * judges those).  Two locks of one family (pre_object.c) are judged lock by lock: each becomes a
 * node of its own, so that two elements of a list may nest one way and not both.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unwind.h>

#include "pre_int.h"

void
pre_lock(struct pre_lock *l)
{
	/* acquire: pairs with the release in pre_unlock() */
	for (unsigned spins = 0; __atomic_exchange_n(&l->l_word, 1, __ATOMIC_ACQUIRE) != 0; spins++)
		if (spins > 100)
			sched_yield();
}

void
pre_unlock(struct pre_lock *l)
{
	__atomic_store_n(&l->l_word, 0, __ATOMIC_RELEASE);
}

/* --- what the engine asks for --- */

/* Nobody is in the engine but with this one: a child of fork() can see whether somebody was. */
static struct pre_lock gate;

bool
pre_engine_busy(void)
{
	return __atomic_load_n(&gate.l_word, __ATOMIC_RELAXED) != 0;
}

static void
relax(unsigned *spins)
{
	if (++*spins > 100)
		sched_yield();
}

static void *
map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Our own text: its frames are nobody's business. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));

struct walk {
	void **w_pcs;
	int w_n, w_max, w_skip;
};

static _Unwind_Reason_Code
step(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	const uintptr_t pc = _Unwind_GetIP(context);

	if (pc == 0 || w->w_n == w->w_max)
		return _URC_END_OF_STACK;
	if (pc >= (uintptr_t)__ehdr_start && pc < (uintptr_t)etext)
		return _URC_NO_REASON;
	if (w->w_skip > 0)
		w->w_skip--;
	else
		w->w_pcs[w->w_n++] = (void *)pc;
	return _URC_NO_REASON;
}

/*
 * By libgcc's unwinder, linked into the library: it finds its tables with
 * _dl_find_object(), which takes no lock.
 */
int
pre_backtrace(void **pcs, int max, int skip)
{
	struct walk w = { pcs, 0, max, skip };

	_Unwind_Backtrace(step, &w);
	return w.w_n;
}

/* The engine's own frames are left out already. */
static int
engine_backtrace(void **pcs, int max, int skip)
{
	return pre_backtrace(pcs, max, 0);
}

static void
engine_enter(void)
{
	pre_lock(&gate);
}

static void
engine_leave(void)
{
	pre_unlock(&gate);
}

static void
engine_report(const struct lockorder_report *lr)
{
	/* The file is written when the caller leaves us. */
	if (pre_self == NULL)
		return;
	pre_self->pt_dump = true;
	pre_self->pt_told = lr->lr_grade == LOCKGRAPH_UNCONFIRMED ? PRE_TOLD : 1;
}

const struct lockorder_env pre_env = {
	.le_enter = engine_enter,
	.le_leave = engine_leave,
	.le_relax = relax,
	.le_map = map,
	.le_backtrace = engine_backtrace,
	.le_module = pre_module,
	.le_report = engine_report,
	.le_stat = pre_object_stat,
};

/* --- mistakes with one lock --- */

void
pre_mistake_at(uint32_t trace, const char *rule, const struct pre_object *o, const char *text)
{
	char fingerprint[200];

	snprintf(fingerprint, sizeof(fingerprint), "%s:%s", rule, o->po_class->pc_name);
	for (char *p = fingerprint; *p != '\0'; p++)	/* one word */
		if (*p == ' ')
			*p = '-';
	lockorder_finding(rule, fingerprint, LOCKGRAPH_UNGRADED, trace, "%s: %s",
	    o->po_class->pc_name, text);
}

void
pre_mistake(struct pre_thread *t, const char *rule, const struct pre_object *o, const char *fmt,
    ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pre_mistake_at(lockorder_trace(NULL), rule, o, text);
}

static const char *
signal_name(uint64_t set, char buf[static 24])
{
	const int sig = __builtin_ctzll(set) + 1;
	const char *name = sigabbrev_np(sig);

	if (name != NULL)
		snprintf(buf, 24, "SIG%s", name);
	else
		snprintf(buf, 24, "signal %d", sig);
	return buf;
}

/*
 * One lock, a handler that waits for it, and a thread that holds it while that handler may
 * run on it: the thread would wait for itself.  Readers that recurse get in.
 */
static void
judge_handlers(struct pre_thread *t, struct pre_object *o, bool recursive)
{
	const uint64_t in_w = __atomic_load_n(&o->po_in_write, __ATOMIC_RELAXED),
	    in_r = __atomic_load_n(&o->po_in_read, __ATOMIC_RELAXED),
	    open_w = __atomic_load_n(&o->po_open_write, __ATOMIC_RELAXED),
	    open_r = __atomic_load_n(&o->po_open_read, __ATOMIC_RELAXED);
	const uint64_t bad = (in_w & (open_w | open_r)) |
	    (in_r & (recursive ? open_w : open_w | open_r));
	char name[24];

	if (bad == 0)
		return;
	signal_name(bad, name);
	pre_mistake(t, "signal-inversion", o, "taken in the handler of %s, and held by a thread in "
	    "which %s may come", name, name);
}

static void
note_handlers(struct pre_thread *t, struct pre_object *o, unsigned how, bool wanted)
{
	const bool read = (how & LO_MODE) != LO_WRITE;
	const uint64_t set = wanted ? t->pt_in :
	    __atomic_load_n(&pre_handled, __ATOMIC_RELAXED) & ~t->pt_blocked;
	uint64_t *word = wanted ? (read ? &o->po_in_read : &o->po_in_write) :
	    read ? &o->po_open_read : &o->po_open_write;

	if ((set & ~__atomic_load_n(word, __ATOMIC_RELAXED)) == 0)
		return;
	__atomic_fetch_or(word, set, __ATOMIC_RELAXED);
	judge_handlers(t, o, (how & LO_MODE) == LO_READ_REC);
}

void
pre_order_unblocked(struct pre_thread *t)
{
	for (int i = 0; i < t->pt_held.hs_n; i++) {
		const struct held_lock *hl = &t->pt_held.hs_v[i];
		struct pre_object *o = pre_object_find(hl->hl_lock);

		if (o != NULL)
			note_handlers(t, o, hl->hl_how, false);
	}
}

/* --- wanted, got, given back --- */

bool
pre_mutex_mine(const struct pre_thread *t, const pthread_mutex_t *m)
{
	const int owner = __atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED);

	return owner != 0 && (owner == t->pt_tid || owner == t->pt_forked_tid);
}

static void
not_held(struct pre_object *o, unsigned how)
{
	if ((how & LO_MODE) == LO_WRITE)
		__atomic_store_n(&o->po_owner, NULL, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&o->po_holders, 1, __ATOMIC_RELAXED);
}

/*
 * A mutex may have been released behind our back: by code that the linker bound elsewhere,
 * or by being made anew.  The mutex itself knows, and is asked before anything new is
 * believed.
 */
void
pre_forget_stale(struct pre_thread *t)
{
	for (int i = t->pt_held.hs_n - 1; i >= 0; i--) {
		struct held_lock *hl = &t->pt_held.hs_v[i];
		struct pre_object *o = pre_object_find(hl->hl_lock);

		if (o == NULL)
			o = pre_object_sure(hl->hl_lock);
		if (o != NULL && (o->po_kind != PRE_MUTEX || o->po_shared ||
		    pre_mutex_mine(t, hl->hl_lock)))
			continue;
		if (o != NULL)
			not_held(o, hl->hl_how);
		held_pop(&t->pt_held, hl);
	}
}

/* Has a class been told of often enough?  What is wrong between two of its locks is so for more. */
static bool
told(struct pre_class *family)
{
	return __atomic_load_n(&family->pc_told, __ATOMIC_RELAXED) >= PRE_TOLD;
}

static void
nest_in(struct pre_thread *t, struct pre_object *outer, const struct held_lock *hl,
    struct pre_object *o, const struct lockorder_want *w)
{
	const unsigned how = (hl->hl_how & LO_MODE) | (unsigned)(w->lw_how & LO_MODE) << 2;
	const struct held_stack *hs = &t->pt_held;
	const uint32_t from = pre_object_own_node(outer), to = pre_object_own_node(o);
	struct pre_class *family = o->po_class->pc_family;
	uint64_t pair;

	if (from == LOCKGRAPH_NONE || to == LOCKGRAPH_NONE)
		return;
	/* Judged for this thread, with what is held now: a pair and its guards. */
	pair = ((uint64_t)from << 34 ^ (uint64_t)to << 4 ^ how) * 0x9e3779b97f4a7c15ULL ^
	    hs->hs_v[hs->hs_n - 1].hl_chain;
	if (t->pt_known[pair % PRE_KNOWN] == pair)
		return;
	t->pt_known[pair % PRE_KNOWN] = pair;
	t->pt_told = 0;
	lockorder_edge(hs, from, to, LOCKGRAPH_ORDER, how, lockorder_held_trace(hl),
	    lockorder_trace(NULL));
	if (t->pt_told != 0)
		__atomic_fetch_add(&family->pc_told, t->pt_told, __ATOMIC_RELAXED);
}

/* Locks of one family, one in the other: judged one by one. */
static void
nest(struct pre_thread *t, struct pre_object *o, const struct lockorder_want *w)
{
	const struct held_stack *hs = &t->pt_held;

	for (int i = hs->hs_n - 1; i >= 0 && !told(o->po_class->pc_family); i--) {
		const struct held_lock *hl = &hs->hs_v[i];
		struct pre_object *outer;

		if (hl->hl_depth != w->lw_depth || hl->hl_lock == w->lw_lock)
			continue;
		outer = pre_object_find(hl->hl_lock);
		if (outer != NULL && outer->po_class->pc_family == o->po_class->pc_family)
			nest_in(t, outer, hl, o, w);
	}
}

/* Its owner waits for our end, and we for it: nobody will ever end that. */
static void
judge_join(struct pre_thread *t, struct pre_object *o)
{
	const struct pre_thread *owner = __atomic_load_n(&o->po_owner, __ATOMIC_RELAXED);

	if (owner == NULL || owner == t ||
	    __atomic_load_n(&owner->pt_joining, __ATOMIC_ACQUIRE) == 0 ||
	    !pthread_equal(owner->pt_join, t->pt_self) ||
	    (o->po_kind == PRE_MUTEX && !pre_mutex_mine(owner, o->po_addr)))
		return;
	pre_mistake(t, "join-deadlock", o, "wanted by a thread whose end the lock's owner waits for");
}

void
pre_want(struct pre_thread *t, struct pre_want *pw, struct pre_object *o, unsigned how,
    const void *where)
{
	struct held_stack *hs = &t->pt_held;
	struct lockorder_want *w = &pw->pw_want;
	uint64_t *known;

	pw->pw_object = o;
	*w = (struct lockorder_want){
		.lw_lock = o->po_addr, .lw_where = where, .lw_class = o->po_class->pc_node,
		.lw_id = o->po_id, .lw_how = (uint8_t)how, .lw_depth = (uint8_t)t->pt_depth,
	};
	pw->pw_chain = lockorder_chain(hs->hs_n > 0 ? &hs->hs_v[hs->hs_n - 1] : NULL, w);
	known = &t->pt_known[pw->pw_chain % PRE_KNOWN];
	if (unlikely(*known != pw->pw_chain)) {
		pre_forget_stale(t);
		pw->pw_chain = lockorder_want(hs, w);
		t->pt_known[pw->pw_chain % PRE_KNOWN] = pw->pw_chain;
	}
	if ((how & LO_TRY) != 0)
		return;
	if (hs->hs_n != 0 && o->po_class->pc_family->pc_members > 1)
		nest(t, o, w);
	if (unlikely(t->pt_in != 0))
		note_handlers(t, o, how, true);
	if (unlikely(t->pt_nsems != 0))
		pre_event_needs(t, o);
	judge_join(t, o);
}

void
pre_got(struct pre_thread *t, const struct pre_want *pw)
{
	struct pre_object *o = pw->pw_object;

	held_push(&t->pt_held, &pw->pw_want, pw->pw_chain);
	__atomic_store_n(&o->po_taken, o->po_taken + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&o->po_holders, 1, __ATOMIC_RELAXED);
	if ((pw->pw_want.lw_how & LO_MODE) == LO_WRITE)
		__atomic_store_n(&o->po_owner, t, __ATOMIC_RELAXED);
	if (unlikely(pre_handled != 0))
		note_handlers(t, o, pw->pw_want.lw_how, false);
}

struct held_lock *
pre_held(struct pre_thread *t, const struct pre_object *o)
{
	return held_find(&t->pt_held, o->po_addr);
}

bool
pre_release(struct pre_thread *t, struct pre_object *o)
{
	struct held_lock *hl = held_find(&t->pt_held, o->po_addr);

	if (hl == NULL)
		return false;
	if (hl->hl_user != 0) {			/* taken more than once */
		hl->hl_user--;
		return true;
	}
	not_held(o, hl->hl_how);
	held_pop(&t->pt_held, hl);
	return true;
}

void
pre_sleeps(struct pre_thread *t, const char *what)
{
	if (t->pt_spins == 0)
		return;
	for (int i = t->pt_held.hs_n - 1; i >= 0; i--) {
		const struct held_lock *hl = &t->pt_held.hs_v[i];
		const struct pre_object *o = pre_object_find(hl->hl_lock);

		if (o != NULL && o->po_kind == PRE_SPIN) {
			pre_mistake(t, "sleep-with-spin", o, "%s with the spin lock held", what);
			return;
		}
	}
}
