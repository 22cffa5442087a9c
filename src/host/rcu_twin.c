/*
 * RCU under a controlled schedule: quiescent states counted by whoever has the baton.
 *
 * liburcu's grace periods end when its own polling says so, at a time that no run could repeat.
 * Here a grace period ends at the very quiescent state that was the last to be missed.
 */
#include "host_int.h"

/* b */
static struct {
	uint64_t period;		/* the last grace period that began */
	unsigned nwaiting;		/* threads in twin_synchronize() */
} t;

void
twin_begin(void)
{
	t.period = 0;
	t.nwaiting = 0;
}

static void
let_look(struct host_thread *ht, void *arg)
{
	if (ht->ht_state == TS_RCU)
		sched_ready(ht);
}

/* => the calling thread is in no reader's section now */
static void
seen(void)
{
	host_self->ht_rcu_seen = t.period;
	if (t.nwaiting != 0)
		sched_foreach(let_look, NULL);
}

void
twin_register(bool on)
{
	host_self->ht_rcu = host_self->ht_rcu_online = on;
	seen();
}

void
twin_online(bool on)
{
	if (host_self->ht_rcu_online == on)
		return;
	host_self->ht_rcu_online = on;
	seen();
}

void
twin_quiescent(void)
{
	seen();
}

/* => *arg is false if the thread may be in a section that began before the grace period */
static void
look(struct host_thread *ht, void *arg)
{
	bool *over = arg;

	if (ht != host_self && ht->ht_rcu && ht->ht_rcu_online && ht->ht_rcu_seen < t.period)
		*over = false;
}

void
twin_synchronize(void)
{
	bool over = false;

	t.period++;
	t.nwaiting++;
	for (;;) {
		over = true;
		sched_foreach(look, &over);
		if (over)
			break;
		sched_block(TS_RCU);
	}
	t.nwaiting--;
}
