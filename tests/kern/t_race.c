/*
 * What ThreadSanitizer sees of our locks, levels and RCU (host/race.h): races it must report,
 * by the names that we gave, each beside what is right and must stay silent.
 */
#include <ktest_kern.h>

#include <host/rcu.h>
#include <sys/mutex.h>
#include <sys/rwlock.h>
#include <stdlib.h>

static unsigned long shared;
static kmutex_t mtx, other;
static krwlock_t rw;
static int turns;			/* atomic: both have been here */

/* Both LWPs touch the word, whoever comes first: relaxed, so that it orders nothing. */
static void
meet(void)
{
	__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
	for (unsigned n = 0; __atomic_load_n(&turns, __ATOMIC_RELAXED) < 2;)
		host_relax(&n);
}

static void
locks_up(int cpus_wanted)
{
	ktest_kern(cpus_wanted, ktest_seed());
	mutex_init(&mtx, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_init(&other, MUTEX_DEFAULT, IPL_VM, LC_pool);
	rw_init(&rw, LC_map);
}

static void
locks_down(void)
{
	rw_destroy(&rw);
	mutex_destroy(&other);
	mutex_destroy(&mtx);
	kern_shutdown();
}

/* --- locks --- */

static void
count_by_one(void *arg)
{
	kmutex_t *m = arg == NULL ? &mtx : &other;

	meet();
	mutex_enter(m);
	shared++;
	mutex_exit(m);
}

static void
count_same(void *arg)
{
	for (int i = 0; i < 100; i++) {
		mutex_enter(&mtx);
		mutex_enter(&other);
		shared++;
		mutex_exit(&other);
		mutex_exit(&mtx);
		if (mutex_tryenter(&mtx)) {
			shared++;
			mutex_exit(&mtx);
		}
		rw_enter(&rw, i % 4 == 0 ? RW_WRITER : RW_READER);
		rw_exit(&rw);
	}
}

KTEST(locked_is_silent, "an adaptive mutex, a spin mutex, a tryenter, on two CPUs")
{
	locks_up(2);
	ktest_lwps(4, count_same);
	CHECK(shared >= 400);
	locks_down();
}

KTEST_DEATH(lock_of_the_wrong_object_is_reported, "with the classes of both locks",
    "pool_lock_created .*lockrank.def")
{
	locks_up(2);
	ktest_lwps(2, count_by_one);
	locks_down();
}

static void
store_as_reader(void *arg)
{
	meet();
	rw_enter(&rw, RW_READER);
	shared++;
	rw_exit(&rw);
}

KTEST_DEATH(a_store_under_a_read_hold_is_reported, "readers do not exclude one another",
    "#3 locks_up .*t_race.c")
{
	locks_up(2);
	ktest_lwps(2, store_as_reader);
	locks_down();
}

static void
upgrade(void *arg)
{
	for (int i = 0; i < 200; i++) {
		rw_enter(&rw, RW_READER);
		if (rw_tryupgrade(&rw)) {
			shared++;
			rw_downgrade(&rw);
		}
		rw_exit(&rw);
	}
}

KTEST(an_upgraded_store_is_silent, "and so is what follows the downgrade")
{
	locks_up(2);
	ktest_lwps(3, upgrade);
	locks_down();
}

/* --- levels --- */

static void
count_in_interrupt(void *arg)
{
	shared++;
}

/* => the LWP counts at ipl, while interrupts of IPL_VM count */
static void
share_with_interrupts(int ipl)
{
	ktest_kern(1, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, count_in_interrupt, NULL);
	for (int i = 0; i < 100; i++) {
		int s = splraise((ipl_t)ipl);

		/* before we count: the post orders what came before it */
		intr_post(curcpu(), IRQ_DISK);
		shared++;
		splx(s);
	}
	ktest_settle();
	CHECK_EQ(shared, 200);
	kern_shutdown();
}

KTEST(the_handlers_level_is_silent, "splvm() against an interrupt of IPL_VM")
{
	share_with_interrupts(IPL_VM);
}

KTEST_DEATH(no_spl_is_reported, "though with polled delivery nothing can happen",
    "Thread T.* 'interrupt 0/5'")
{
	share_with_interrupts(IPL_NONE);
}

KTEST_DEATH(too_low_an_spl_is_reported, "a soft level does not keep an interrupt of IPL_VM out",
    "Thread T.* 'interrupt 0/5'")
{
	share_with_interrupts(IPL_SOFTSERIAL);
}

static void
wander(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int s = splvm();

		((unsigned long *)curcpu()->ci_md)[0]++;
		splx(s);
		intr_post(curcpu(), IRQ_NET);
		yield();
	}
}

static void
count_for_cpu(void *arg)
{
	((unsigned long *)curcpu()->ci_md)[0]++;
}

KTEST(what_is_a_cpus_own_is_silent, "whatever LWP has it, and though LWPs change CPUs")
{
	static unsigned long counts[3][8];

	ktest_kern(3, ktest_seed());
	for (int i = 0; i < 3; i++)
		cpus[i].ci_md = counts[i];
	intr_establish(IRQ_NET, IPL_VM, count_for_cpu, NULL);
	ktest_lwps(7, wander);
	kern_shutdown();
}

/* --- RCU --- */

struct node {
	unsigned long	n_value;
	struct rcu_head	n_rcu;
};
static struct node *head;		/* rcu_publish(), rcu_deref() */
static int replaced;			/* atomic */
static int reads;			/* atomic, relaxed: it is to order nothing */

static void
node_free(struct rcu_head *rh)
{
	free((char *)rh - offsetof(struct node, n_rcu));
}

static struct node *
node_new(void)
{
	struct node *n = calloc(1, sizeof(*n));

	n->n_value = 1;
	return n;
}

static void
read_nodes(void)
{
	for (unsigned i = 0; __atomic_load_n(&replaced, __ATOMIC_RELAXED) == 0 || i < 100; i++) {
		rcu_read_lock();
		CHECK(rcu_deref(head)->n_value <= 2);
		rcu_read_unlock();
		__atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
		lwp_userret(1);
	}
}

/* => somebody has read since */
static void
await_read(void)
{
	int before = __atomic_load_n(&reads, __ATOMIC_RELAXED);

	for (unsigned n = 0; __atomic_load_n(&reads, __ATOMIC_RELAXED) < before + 2;)
		host_relax(&n);
}

/* => LWP 0 replaces the node, in the way of bug; the others read */
static void
replace_or_read(void *arg, bool at_once, bool early)
{
	struct node *old = head, *new;

	meet();
	if (arg != NULL) {
		read_nodes();
		return;
	}
	for (int i = 0; i < 50; i++) {
		new = node_new();
		old = head;
		rcu_publish(head, new);
		if (early)
			new->n_value = 2;
		await_read();
		if (at_once)
			free(old);
		else
			call_rcu(&old->n_rcu, node_free);
		lwp_userret(1);
	}
	__atomic_store_n(&replaced, 1, __ATOMIC_RELAXED);
}

static void
replace_right(void *arg)
{
	replace_or_read(arg, false, false);
}

static void
replace_and_free(void *arg)
{
	replace_or_read(arg, true, false);
}

static void
replace_early(void *arg)
{
	replace_or_read(arg, false, true);
}

static void
replace(void (*fn)(void *))
{
	ktest_kern(2, ktest_seed());
	head = node_new();
	ktest_lwps(2, fn);
	free(head);
	kern_shutdown();
}

KTEST(a_grace_period_is_silent, "published complete, freed by call_rcu()")
{
	replace(replace_right);
}

KTEST_DEATH(no_grace_period_is_reported, "freed at once", 
    "#1 (replace_or_read|replace_and_free)")
{
	replace(replace_and_free);
}

KTEST_DEATH(published_before_initialised_is_reported, "the reader may find it half made",
    "in (replace_or_read|read_nodes)")
{
	replace(replace_early);
}

KTEST_MAIN()
