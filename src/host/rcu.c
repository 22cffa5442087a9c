/*
 * liburcu's QSBR flavour behind host/rcu.h.
 *
 * ThreadSanitizer sees neither liburcu's inline assembly nor its membarriers,
 * so the two edges that make RCU correct are told to it: the end of a reader's
 * section releases the thread's tag, the end of a grace period acquires all
 * tags.  The section ends with host_rcu_read_unlock(), although a grace period waits
 * for the next quiescent state: a pointer that is kept in between is a race that QSBR
 * forgives and the promise of rcu_read_lock() does not.  No edge is told in the other
 * direction: a reader that starts after the update finds its pointers by rcu_deref(),
 * which TSan sees.
 *
 * What changes the thread's own state is masked: an interrupt in there may be a reader.
 *
 * Under a controlled schedule a twin takes liburcu's place (rcu_twin.c); what is told is the same.
 */
#include <stdlib.h>

#include <urcu-qsbr.h>

#include <host/race.h>
#include <host/rcu.h>

#include "host_int.h"

#define	TAGS	64		/* threads share tags: more edges, never a false report */

static struct {
	char c __attribute__((aligned(64)));
} tags[TAGS];
static unsigned ntags;			/* atomic: next tag to deal */
static __thread void *tag;
static __thread bool online;

void
host_rcu_register(void)
{
	tag = &tags[__atomic_fetch_add(&ntags, 1, __ATOMIC_RELAXED) % TAGS];
	if (sched_mine()) {
		twin_register(true);
		return;
	}
	host_mask();
	race_order_ignore(true);
	urcu_qsbr_register_thread();
	race_order_ignore(false);
	online = true;
	host_unmask();
}

void
host_rcu_unregister(void)
{
	if (sched_mine()) {
		twin_register(false);
		return;
	}
	host_mask();
	race_order_ignore(true);
	urcu_qsbr_unregister_thread();
	race_order_ignore(false);
	online = false;
	host_unmask();
}

void
host_rcu_read_lock(void)
{
	if (!host_points)
		urcu_qsbr_read_lock();
}

void
host_rcu_read_unlock(void)
{
	if (!host_points)
		urcu_qsbr_read_unlock();
	race_release(tag);
}

void
host_rcu_quiescent(void)
{
	if (__builtin_expect(host_points, 0) && sched_mine()) {
		twin_quiescent();
		return;
	}
	host_mask();
	urcu_qsbr_quiescent_state();
	host_unmask();
}

void
host_rcu_offline(void)
{
	if (__builtin_expect(host_points, 0) && sched_mine()) {
		twin_online(false);
		return;
	}
	if (!online)
		return;
	host_mask();
	urcu_qsbr_thread_offline();
	online = false;
	host_unmask();
}

void
host_rcu_online(void)
{
	if (__builtin_expect(host_points, 0) && sched_mine()) {
		twin_online(true);
		return;
	}
	if (online)
		return;
	host_mask();
	urcu_qsbr_thread_online();
	online = true;
	host_unmask();
}

void
host_rcu_synchronize(void)
{
	if (sched_mine()) {
		twin_synchronize();
	} else {
		race_order_ignore(true);
		urcu_qsbr_synchronize_rcu();
		race_order_ignore(false);
	}
	for (int i = 0; i < TAGS; i++)
		race_acquire(&tags[i]);
}
