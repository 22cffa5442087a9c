/*
 * Lock debugging: what each LWP holds, and what it may not do with it.
 *
 * The stack of held locks belongs to its LWP alone, so nothing here needs a lock.
 * An acquisition that would break the declared order (lockrank.def) is reported
 * once for each pair of classes and boot, and the run goes on; a mistake that leaves no way
 * to go on (recursion, a release by somebody else) panics.
 */
#include <stdio.h>
#include <string.h>

#include "../src/kern/kern_int.h"

#include <sys/lockstat.h>

const struct lock_class_info lock_classes[LC_COUNT] = {
#define	NEST	true
#define	NONEST	false
#define	LOCK_CLASS(name, rank, nest, reason)	{ #name, rank, nest, reason },
#include "lockrank.def"
#undef LOCK_CLASS
};

bool lockdebug_order = true;

static uint8_t reported[LC_COUNT][LC_COUNT];	/* atomic: this pair has been told */

void
lockdebug_init(void)
{
	memset(reported, 0, sizeof(reported));
}

static struct held_lock *
find(const void *lock)
{
	struct lwp *l = curlwp;

	for (int i = l->l_nheld - 1; i >= 0; i--)
		if (l->l_held[i].hl_lock == lock)
			return &l->l_held[i];
	return NULL;
}

static const char *
class_name(int class)
{
	return lock_classes[class].lc_name;
}

/* => top: of the locks held the one of the highest rank, which is not below class's */
static void
rank_broken(const struct held_lock *top, enum lock_class class)
{
	if (top->hl_class == class && lock_classes[class].lc_nest)
		return;
	if (__atomic_exchange_n(&reported[top->hl_class][class], 1, __ATOMIC_RELAXED) != 0)
		return;
	violation(VIOL_LOCK_ORDER, "lock-order", "%s (rank %d) wanted while %s (rank %d) is held",
	    class_name(class), lock_classes[class].lc_rank, class_name(top->hl_class),
	    top->hl_rank);
}

/*
 * A lock of the wanted one's own class, but for a lower IPL: the interrupted LWP holds it.
 * Locks of one class do not nest, so whoever has ours does not wait for it.  (One of a
 * higher rank he might wait for, and we would for him.)
 */
static bool
below_peer(const struct held_lock *hl, const void *lock, enum lock_class class)
{
	const kmutex_t *held = hl->hl_lock, *wanted = lock;

	return hl->hl_class == class && !lock_classes[class].lc_nest &&
	    held->mtx_ipl < wanted->mtx_ipl;
}

void
lockdebug_want(const void *lock, uint32_t id, enum lock_class class, enum lock_how how,
    bool try, void *where)
{
	const struct lwp *l = curlwp;
	const bool intr = l != NULL && cpu_intr_p();
	const struct held_lock *top = NULL;

	KASSERTMSG(l != NULL, "lock %s taken by a thread that is no LWP", class_name(class));
	if (how != LOCK_SPIN) {
		if (intr)
			violation(VIOL_INTERRUPT_CONTEXT, "lock-in-interrupt",
			    "adaptive lock %s in interrupt context", class_name(class));
		if (curcpu()->ci_mtx_count != 0)
			violation(VIOL_LOCK_ASSERTION, "sleep-with-spin",
			    "adaptive lock %s with a spin lock held", class_name(class));
	}
	if (!try && (l->l_onlytry >> class & 1) != 0)
		panic("%s waits for a lock of class %s, which it may only try", l->l_name,
		    class_name(class));
	for (int i = 0; i < l->l_nheld; i++) {
		const struct held_lock *hl = &l->l_held[i];

		/* A second read hold would deadlock with a writer between the two (I-SMP-6). */
		if (hl->hl_lock == lock && (!try || how == LOCK_READ))
			panic("%s: locking against myself (lock %u)", class_name(class), id);
		/*
		 * What the interrupted LWP holds and may sleep with says nothing of an interrupt's
		 * order: whoever holds the lock that we want cannot be waiting for one of those.
		 */
		if (intr && hl->hl_how != LOCK_SPIN)
			continue;
		if (intr && below_peer(hl, lock, class))
			continue;
		if (top == NULL || hl->hl_rank >= top->hl_rank)
			top = hl;
	}
	if (!try && lockdebug_order && top != NULL && top->hl_rank >= lock_classes[class].lc_rank)
		rank_broken(top, class);
}

void
lockdebug_locked(const void *lock, uint32_t id, enum lock_class class, enum lock_how how,
    void *where)
{
	struct lwp *l = curlwp;

	host_mask();			/* an interrupt puts its own on top and takes them off */
	KASSERTMSG(l->l_nheld < LWP_HELD_MAX, "more than %d locks held", LWP_HELD_MAX);
	l->l_held[l->l_nheld++] = (struct held_lock){
		.hl_lock = lock, .hl_where = where, .hl_id = id, .hl_class = (uint8_t)class,
		.hl_how = (uint8_t)how, .hl_rank = (int16_t)lock_classes[class].lc_rank,
		.hl_since = lockstat_acquired(class) ? host_now_ns() : 0,
	};
	host_unmask();
}

void
lockdebug_unlocked(const void *lock, enum lock_how how, void *where)
{
	struct lwp *l = curlwp;
	struct held_lock *hl;

	host_mask();
	hl = find(lock);
	KASSERTMSG(hl != NULL, "release of a lock that this LWP does not hold");
	KASSERT(hl->hl_how == how);
	if (hl->hl_since != 0)
		lockstat_held(hl->hl_class, host_now_ns() - hl->hl_since);
	for (l->l_nheld--; hl < &l->l_held[l->l_nheld]; hl++)
		*hl = hl[1];
	host_unmask();
}

int
lockdebug_holds(const void *lock)
{
	const struct held_lock *hl = find(lock);

	return hl == NULL ? -1 : hl->hl_how;
}

void
lockdebug_barrier(const char *what)
{
	const struct lwp *l = curlwp;

	KASSERTMSG(l->l_nheld == 0, "%s with %d locks held, the last one %s", what, l->l_nheld,
	    class_name(l->l_held[l->l_nheld - 1].hl_class));
	KASSERTMSG(curcpu()->ci_ilevel == IPL_NONE && curcpu()->ci_idepth == 0,
	    "%s at IPL %d", what, curcpu()->ci_ilevel);
}

void
lockdebug_fault_barrier(const char *what)
{
	const struct lwp *l = curlwp;

	for (int i = 0; i < l->l_nheld; i++)
		KASSERTMSG(l->l_held[i].hl_class == LC_vnode, "%s with %s held", what,
		    class_name(l->l_held[i].hl_class));
	KASSERTMSG(curcpu()->ci_ilevel == IPL_NONE && curcpu()->ci_idepth == 0,
	    "%s at IPL %d", what, curcpu()->ci_ilevel);
}

void
lockdebug_sleep_barrier(const char *what)
{
	const struct cpu_info *ci = curcpu();
	const struct lwp *l = curlwp;

	KASSERTMSG(ci->ci_mtx_count == 0, "%s: sleep with a spin lock held", what);
	KASSERTMSG(ci->ci_idepth == 0, "%s: sleep in interrupt context", what);
	KASSERTMSG(ci->ci_ilevel == IPL_NONE, "%s: sleep at IPL %d", what, ci->ci_ilevel);
	for (int i = 0; i < l->l_nheld; i++)
		if (lock_classes[l->l_held[i].hl_class].lc_rank >= lock_classes[LC_amap].lc_rank) {
			violation(VIOL_LOCK_ASSERTION, "sleep-with-lock", "%s: sleep with %s held",
			    what, class_name(l->l_held[i].hl_class));
			return;
		}
}

void
lockdebug_mem_check(const void *base, unsigned long size)
{
	const struct lwp *l = curlwp;

	for (int i = 0; i < l->l_nheld; i++) {
		const char *p = l->l_held[i].hl_lock;

		KASSERTMSG(p < (const char *)base || p >= (const char *)base + size,
		    "memory freed with lock %s in it held", class_name(l->l_held[i].hl_class));
	}
}
