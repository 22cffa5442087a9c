/*
 * Lock debugging: what each LWP holds, and what it may not do with it.
 *
 * The stack of held locks belongs to its LWP alone, so nothing here needs a lock.
 * Order is judged by the engine (lockorder.c), which knows classes as nodes of its graph:
 * one for each class, and one more for each further IPL of a class that has mutexes
 * of several.  What it finds, and mistakes that are no more than that, are told once
 * and the run goes on; a mistake that leaves no way to go on (recursion, a release by
 * somebody else) panics.
 */
#include <stdio.h>
#include <string.h>

#include "lockdebug_int.h"

#define	NODES_MAX	4096

struct lock_class_info lock_classes[LC_MAX] = {
#define	NONEST	LO_NEST_NONE
#define	BYID	LO_NEST_ID
#define	CHILD	LO_NEST_CHILD
#define	FREE	LO_NEST_ANY
#define	NONE	IPL_NONE
#define	VM	IPL_VM
#define	ANY	LC_IPL_ANY
#define	LOCK_CLASS(name, rank, nest, ipl, reason)	{ #name, rank, nest, ipl, reason },
#include "lockrank.def"
#undef LOCK_CLASS
#undef ANY
#undef NONE
};

bool lockdebug_on = true;
uint32_t lock_slow;
const struct lock_waiver *lockdebug_waivers;
uint16_t lockdebug_node[LC_MAX][LOCK_NODES];

static uint8_t node_class[NODES_MAX];	/* stable once its node is in lockdebug_node */
static int nclass;			/* node_lock */
static struct host_lock node_lock;

/* --- nodes --- */

static const char *const ipl_names[LOCK_NODES] = {
	"none", "softclock", "softbio", "softnet", "softserial", "vm", "sched", "high",
};

/* => node_lock held: the node of the class at that IPL; the first one bears its bare name */
static void
make_node(enum lock_class class, int ipl)
{
	const struct lock_class_info *lc = &lock_classes[class];
	const bool first = lc->lc_ipl == ipl || (lc->lc_ipl == LC_IPL_ANY && ipl == IPL_NONE);
	char name[64];
	uint32_t node;

	snprintf(name, sizeof(name), first ? "%s" : "%s@%s", lc->lc_name, ipl_names[ipl]);
	node = lockorder_class(name, LOCKGRAPH_LOCK, lc->lc_rank, lc->lc_nest, ipl, NULL);
	KASSERTMSG(node < NODES_MAX, "%u lock classes: too many", node);
	node_class[node] = (uint8_t)class;
	/* release: pairs with the publication of the lock that is being made */
	__atomic_store_n(&lockdebug_node[class][ipl], (uint16_t)(node + 1), __ATOMIC_RELEASE);
}

static void
want_node(enum lock_class class, int ipl)
{
	if (__atomic_load_n(&lockdebug_node[class][ipl], __ATOMIC_ACQUIRE) != 0)
		return;
	host_lock(&node_lock);
	if (lockdebug_node[class][ipl] == 0)
		make_node(class, ipl);
	host_unlock(&node_lock);
}

enum lock_class
lockdebug_class(const char *name, int rank, enum lockorder_nest nest, int ipl)
{
	int class;

	host_lock(&node_lock);
	class = nclass++;
	KASSERTMSG(class < LC_MAX, "more than %d lock classes made at run time", LC_MAX - LC_COUNT);
	lock_classes[class] = (struct lock_class_info){ name, rank, nest, ipl, "made at run time" };
	host_unlock(&node_lock);
	return class;
}

uint32_t
lockdebug_born(enum lock_class class, int ipl, uint32_t id)
{
	const int declared = lock_classes[class].lc_ipl;

	want_node(class, ipl);
	if (declared != LC_IPL_ANY && declared != ipl)
		lockorder_finding("lock-ipl", lock_classes[class].lc_name, LOCKGRAPH_UNGRADED,
		    lockorder_trace(NULL), "a mutex of class %s is made for IPL %d, its class is declared for %d",
		    lock_classes[class].lc_name, ipl, declared);
	lockorder_born(lockdebug_node[class][ipl] - 1u, id);
	return lockdebug_node[class][ipl] - 1u;
}

/* --- what the engine asks of us --- */

static void
enter(void)
{
	host_mask();
}

static void
leave(void)
{
	host_unmask();
}

static enum violation_kind
kind_of(const char *rule)
{
	if (strcmp(rule, "ipl-inversion") == 0 || strcmp(rule, "lock-in-interrupt") == 0)
		return VIOL_INTERRUPT_CONTEXT;
	if (strcmp(rule, "lock-order") == 0 || strcmp(rule, "lock-cycle") == 0 ||
	    strcmp(rule, "lock-nesting") == 0)
		return VIOL_LOCK_ORDER;
	return VIOL_LOCK_ASSERTION;
}

/* A guarded cycle is in the report of the graph, and no violation. */
static void
report(const struct lockorder_report *r)
{
	static const char *const grade[] = { [LOCKGRAPH_UNGRADED] = "none",
		[LOCKGRAPH_UNCONFIRMED] = "unconfirmed", [LOCKGRAPH_LATENT] = "latent",
		[LOCKGRAPH_CONFIRMED] = "confirmed" };
	const char *sure = r->lr_grade == LOCKGRAPH_LATENT ? "latent: " : "";
	char message[512];

	if (r->lr_waived != NULL || r->lr_grade == LOCKGRAPH_GUARDED)
		return;
	snprintf(message, sizeof(message), "%s%s%s%s%s", r->lr_message,
	    r->lr_why != NULL ? " (" : "", r->lr_why != NULL ? sure : "",
	    r->lr_why != NULL ? r->lr_why : "", r->lr_why != NULL ? ")" : "");
	violation_graded(kind_of(r->lr_rule), r->lr_rule, grade[r->lr_grade], r->lr_fingerprint,
	    message);
}

static const char *
class_name(const struct held_lock *hl)
{
	return lock_classes[hl->hl_user].lc_name;
}

static void
recursion(const struct held_lock *hl, const struct lockorder_want *w)
{
	panic("%s: locking against myself (lock %u)", class_name(hl), w->lw_id);
}

static void
stat(uint32_t node, struct lockgraph_class *lgc)
{
	const struct lock_class_info *lc;
	struct lockstat ls;

	if (lgc->lgc_kind != LOCKGRAPH_LOCK || node >= NODES_MAX)
		return;
	lc = &lock_classes[node_class[node]];
	lgc->lgc_reason = lc->lc_reason;
	if (lc->lc_rank != 0 && lc->lc_rank < lock_classes[LC_amap].lc_rank)
		lgc->lgc_usage |= LOCKGRAPH_MAYSLEEP;
	if (lockdebug_node[node_class[node]][lgc->lgc_ipl] != node + 1)
		return;
	lockstat_get(node_class[node], &ls);
	lgc->lgc_acquisitions = ls.ls_acquisitions;
	lgc->lgc_contended = ls.ls_contended;
	lgc->lgc_wait_ns = ls.ls_wait_ns;
	lgc->lgc_hold_ns_max = ls.ls_hold_ns_max;
}

static const struct lock_waiver builtin[] = {
#define	LOCK_WAIVER(print, reason)	{ print, reason, "waivers.def" },
#include "waivers.def"
#undef LOCK_WAIVER
	{ NULL, NULL, NULL },
};

static void
waive(const struct lock_waiver *lw)
{
	for (; lw->lw_print != NULL; lw++)
		if (lockorder_waive(lw->lw_print, lw->lw_reason, lw->lw_where) != 0)
			panic("%s: the waiver of %s gives no reason", lw->lw_where, lw->lw_print);
}

void
lockdebug_init(void)
{
	static const struct lockorder_env env = {
		.le_enter = enter, .le_leave = leave, .le_relax = host_spin, .le_map = host_mem_map_bare,
		.le_backtrace = host_backtrace, .le_report = report, .le_recursion = recursion,
		.le_stat = stat,
	};

	__atomic_store_n(&lock_slow, (LOCKDEBUG_ON() ? 0 : LOCK_SLOW_OFF) |
	    (lockaudit_full ? LOCK_SLOW_FULL : 0), __ATOMIC_RELAXED);
	memset(lockdebug_node, 0, sizeof(lockdebug_node));
	nclass = LC_COUNT;
	lockorder_init(&env);
	waive(builtin);
	if (lockdebug_waivers != NULL)
		waive(lockdebug_waivers);
	for (int i = 0; i < LC_COUNT; i++)
		make_node(i, lock_classes[i].lc_ipl == LC_IPL_ANY ? IPL_NONE : lock_classes[i].lc_ipl);
	if (lockaudit_full)
		lockevent_init();
	lockstat_site_init();
}

/* --- where a lock may be taken --- */

/* => the spin lock that was taken last, in this context; or NULL */
static const struct held_lock *
innermost_spin(void)
{
	const struct held_stack *hs = &curlwp->l_held;

	for (int i = hs->hs_n - 1; i >= 0; i--)
		if ((hs->hs_v[i].hl_how & LO_SPIN) != 0 && hs->hs_v[i].hl_depth == curcpu()->ci_idepth)
			return &hs->hs_v[i];
	return NULL;
}

void
lockdebug_cannot_sleep(enum lock_class class)
{
	const struct cpu_info *ci = curcpu();
	const char *name = lock_classes[class].lc_name;
	const char *rule = ci->ci_idepth != 0 ? "lock-in-interrupt" : ci->ci_mtx_count != 0 ?
	    "sleep-with-spin" : "sleep-at-ipl";
	const struct held_lock *spin = innermost_spin();
	char print[80];

	snprintf(print, sizeof(print), "%s:%s", rule, name);
	if (ci->ci_idepth != 0) {
		lockorder_finding(rule, print, LOCKGRAPH_UNGRADED, lockorder_trace(NULL),
		    "adaptive lock %s in interrupt context", name);
		/* whom it interrupts may have it */
		lockorder_finding_open(print, lockdebug_node[class][IPL_NONE] - 1u, ci->ci_intripl);
		return;
	}
	if (ci->ci_mtx_count != 0)
		lockorder_finding(rule, print, LOCKGRAPH_UNGRADED, lockorder_trace(NULL),
		    "adaptive lock %s with spin lock %s held", name, spin != NULL ? class_name(spin) : "?");
	else
		lockorder_finding(rule, print, LOCKGRAPH_UNGRADED, lockorder_trace(NULL),
		    "adaptive lock %s at IPL %d", name, ci->ci_ilevel);
	if (spin != NULL)
		lockorder_finding_held(print, spin);
}

void
lockdebug_only_try(enum lock_class class)
{
	const struct lwp *l = curlwp;

	if (class < 64 && (l->l_onlytry >> class & 1) != 0)
		panic("%s waits for a lock of class %s, which it may only try", l->l_name,
		    lock_classes[class].lc_name);
}

void
lockdebug_spl(int ipl)
{
	const struct held_stack *hs = &curlwp->l_held;
	const int depth = curcpu()->ci_idepth;
	char print[80];

	for (int i = hs->hs_n - 1; i >= 0; i--) {
		const struct held_lock *hl = &hs->hs_v[i];
		const int needs = (hl->hl_how & LO_SPIN) != 0 && hl->hl_depth == depth ?
		    mutex_ipl(hl->hl_lock) : IPL_NONE;

		if (needs <= ipl)
			continue;
		snprintf(print, sizeof(print), "spl-below-lock:%s", class_name(hl));
		lockorder_finding("spl-below-lock", print, LOCKGRAPH_UNGRADED, lockorder_trace(NULL),
		    "IPL falls to %d with spin lock %s held, which needs %d", ipl, class_name(hl), needs);
		lockorder_finding_held(print, hl);
		return;
	}
}

void
lockdebug_release(const void *lock, unsigned how)
{
	struct held_stack *hs = &curlwp->l_held;
	struct held_lock *hl;

	LOCKEVENT_(lockstate_unlocking(lock));
	host_mask();
	hl = held_find(hs, lock);
	KASSERTMSG(hl != NULL, "release of a lock that this LWP does not hold");
	KASSERT((hl->hl_how & (LO_MODE | LO_SPIN)) == how);
	if (hl->hl_since != 0) {
		const uint64_t ns = host_now_ns() - hl->hl_since;

		lockstat_held(hl->hl_user, ns);
		LOCKEVENT_(lockstat_site_held(hl->hl_where, hl->hl_class, ns));
	}
	held_pop(hs, hl);
	host_unmask();
}

void
lockdebug_time(struct held_lock *hl)
{
	hl->hl_since = host_now_ns();
	host_unmask();
}

void
lock_slowly(bool on)
{
	if (on)
		__atomic_fetch_or(&lock_slow, LOCK_SLOW_INJECT, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&lock_slow, ~LOCK_SLOW_INJECT, __ATOMIC_RELAXED);
}

/* --- what is held --- */

enum lock_how
lockdebug_how(const struct held_lock *hl)
{
	if ((hl->hl_how & LO_SPIN) != 0)
		return LOCK_SPIN;
	return (hl->hl_how & LO_MODE) == LO_WRITE ? LOCK_ADAPTIVE : LOCK_READ;
}

int
lockdebug_holds(const void *lock)
{
	const struct held_stack *hs = &curlwp->l_held;

	if (!LOCKDEBUG_ON())
		return LOCK_READ;
	/* The oldest first: it is of rwlocks that this is asked, and those are taken early. */
	for (int i = 0; i < hs->hs_n; i++)
		if (hs->hs_v[i].hl_lock == lock)
			return (int)lockdebug_how(&hs->hs_v[i]);
	return -1;
}

/* --- where none may be held --- */

static void
low_ipl(const char *what)
{
	KASSERTMSG(curcpu()->ci_ilevel == IPL_NONE && curcpu()->ci_idepth == 0,
	    "%s at IPL %d", what, curcpu()->ci_ilevel);
}

void
lockdebug_barrier(const char *what)
{
	const struct held_stack *hs = &curlwp->l_held;

	if (!LOCKDEBUG_ON())
		return;
	for (int i = hs->hs_n - 1; i >= 0; i--)
		KASSERTMSG((hs->hs_v[i].hl_how & LO_EVENT) != 0,
		    "%s with %d locks held, the last one %s", what, i + 1, class_name(&hs->hs_v[i]));
	low_ipl(what);
}

void
lockdebug_fault_barrier(const char *what)
{
	const struct held_stack *hs = &curlwp->l_held;

	if (!LOCKDEBUG_ON())
		return;
	for (int i = 0; i < hs->hs_n; i++)
		KASSERTMSG(hs->hs_v[i].hl_user == LC_vnode || (hs->hs_v[i].hl_how & LO_EVENT) != 0,
		    "%s with %s held", what, class_name(&hs->hs_v[i]));
	low_ipl(what);
}

void
lockdebug_sleep_barrier(const char *what)
{
	const struct cpu_info *ci = curcpu();
	const struct held_stack *hs = &curlwp->l_held;
	char print[120];

	if (!LOCKDEBUG_ON())
		return;
	KASSERTMSG(ci->ci_mtx_count == 0, "%s: sleep with a spin lock held", what);
	KASSERTMSG(ci->ci_idepth == 0, "%s: sleep in interrupt context", what);
	KASSERTMSG(ci->ci_ilevel == IPL_NONE, "%s: sleep at IPL %d", what, ci->ci_ilevel);
	for (int i = 0; i < hs->hs_n; i++) {
		const struct held_lock *hl = &hs->hs_v[i];

		if ((hl->hl_how & LO_EVENT) != 0 ||
		    lock_classes[hl->hl_user].lc_rank < lock_classes[LC_amap].lc_rank)
			continue;
		snprintf(print, sizeof(print), "sleep-with-lock:%s:%s", class_name(hl), what);
		lockorder_finding("sleep-with-lock", print, LOCKGRAPH_UNGRADED, lockorder_trace(NULL),
		    "%s: sleep with %s held", what, class_name(hl));
		lockorder_finding_held(print, hl);
		return;
	}
}

void
lockdebug_mem_check(const void *base, unsigned long size)
{
	const struct held_stack *hs = &curlwp->l_held;

	if (!LOCKDEBUG_ON())
		return;
	for (int i = 0; i < hs->hs_n; i++) {
		const char *p = hs->hs_v[i].hl_lock;

		KASSERTMSG(p < (const char *)base || p >= (const char *)base + size,
		    "memory freed with lock %s in it held", class_name(&hs->hs_v[i]));
	}
}
