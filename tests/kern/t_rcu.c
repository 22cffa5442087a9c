/*
 * RCU of the kernel floor: grace periods and callbacks.
 */
#include <stdlib.h>
#include <string.h>

#include <host/rcu.h>
#include <ktest_kern.h>
#include <sys/condvar.h>
#include <sys/sleepq.h>

struct node {
	struct rcu_head	 n_rcu;
	uint64_t	 n_alive;	/* atomic: ALIVE until the callback has run */
	uint64_t	 n_value;
};
#define	ALIVE	0x616c697665ULL

static struct node *head;		/* rcu_publish(), rcu_deref() */
static int nfreed;			/* atomic */
static kmutex_t writers;		/* LC_test */

static struct node *
node_new(uint64_t value)
{
	struct node *n = calloc(1, sizeof(*n));

	CHECK(n != NULL);
	n->n_alive = ALIVE;
	n->n_value = value;
	return n;
}

static void
node_free(struct rcu_head *rh)
{
	struct node *n = (struct node *)rh;

	CHECK_EQ(n->n_alive, ALIVE);
	n->n_alive = n->n_value = 0;	/* plain: a reader that is still there is a race */
	free(n);
	__atomic_fetch_add(&nfreed, 1, __ATOMIC_RELAXED);
}

static void
reader_or_writer(void *arg)
{
	const bool writer = (intptr_t)arg % 4 == 0;
	unsigned n = ktest_scale(writer ? 2000 : 40000);
	uint64_t seen = 0;

	for (unsigned i = 0; i < n; i++) {
		if (writer) {
			struct node *old;

			mutex_enter(&writers);
			old = head;
			rcu_publish(head, node_new(old->n_value + 1));
			mutex_exit(&writers);
			call_rcu(&old->n_rcu, node_free);
		} else {
			const struct node *p;

			rcu_read_lock();
			p = rcu_deref(head);
			CHECK_EQ(p->n_alive, ALIVE);
			CHECK(p->n_value >= seen);
			seen = p->n_value;
			for (int spin = 0; spin < 20; spin++)
				CHECK_EQ(p->n_alive, ALIVE);
			rcu_read_unlock();
		}
		if (i % 32 == 0)
			lwp_userret(LWP_QUANTUM / 8);
	}
}

static void
race(int cpus_wanted)
{
	ktest_kern(cpus_wanted, ktest_seed());
	mutex_init(&writers, MUTEX_DEFAULT, IPL_NONE, LC_test);
	head = node_new(1);
	ktest_lwps(8, reader_or_writer);
	rcu_barrier();
	CHECK_EQ(nfreed, 2 * ktest_scale(2000));
	CHECK_EQ(head->n_value, 1 + 2 * ktest_scale(2000));
	free(head);
	mutex_destroy(&writers);
	kern_shutdown();
}

KTEST(no_reader_sees_a_freed_node, "2 writers replace and free a node that 6 LWPs read, on 4 CPUs")
{
	race(4);
}

KTEST(no_reader_sees_a_freed_node_on_one_cpu, "the same on one CPU, where the grace period is a switch")
{
	race(1);
}

/* --- the grace period itself --- */

static int inside;			/* atomic: the reader is in its section */
static int leave;			/* atomic: it may leave it */
static int left;			/* atomic: it has left it */
static int called;			/* atomic */
static int called_too_early;		/* atomic */

static void
linger(void *arg)
{
	unsigned spins = 0;

	rcu_read_lock();
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&leave, __ATOMIC_ACQUIRE))
		host_relax(&spins);
	__atomic_store_n(&left, 1, __ATOMIC_RELEASE);
	rcu_read_unlock();
}

static void
note_call(struct rcu_head *rh)
{
	if (!__atomic_load_n(&left, __ATOMIC_ACQUIRE))
		__atomic_store_n(&called_too_early, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&called, 1, __ATOMIC_RELEASE);
}

KTEST(callback_waits_for_the_reader, "a callback does not run while a reader that was there stays in its section")
{
	struct rcu_head rh;
	struct lwp *l;
	unsigned spins = 0;

	ktest_kern(4, ktest_seed());
	CHECK_EQ(lwp_create(&l, NULL, "reader", linger, NULL), 0);
	lwp_start(l);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		host_relax(&spins);
	call_rcu(&rh, note_call);
	for (int i = 0; i < 20; i++)
		kpause("grace", 1000000);
	CHECK(!__atomic_load_n(&called, __ATOMIC_ACQUIRE));
	__atomic_store_n(&leave, 1, __ATOMIC_RELEASE);
	rcu_barrier();
	CHECK(called && !called_too_early);
	lwp_wait(l);
	kern_shutdown();
}

static void
return_to_user_until_called(void *arg)
{
	uint64_t end = host_now_ns() + 20000000000u;

	while (!__atomic_load_n(&called, __ATOMIC_ACQUIRE)) {
		lwp_userret(0);			/* and its quantum lasts for ever */
		CHECK(host_now_ns() < end);
	}
}

KTEST(a_return_to_user_ends_a_section, "a grace period waits for nobody who returns to user mode, though he keeps his CPU")
{
	struct rcu_head rh;
	struct lwp *l;

	ktest_kern(4, ktest_seed());
	left = 1;
	CHECK_EQ(lwp_create(&l, NULL, "user", return_to_user_until_called, NULL), 0);
	lwp_start(l);
	kpause("running", 1000000);
	call_rcu(&rh, note_call);
	rcu_barrier();
	lwp_wait(l);
	kern_shutdown();
}

/* --- callbacks --- */

static int order[100];
static int norder;

struct numbered {
	struct rcu_head	 n_rcu;
	int		 n_number;
};

static void
note_order(struct rcu_head *rh)
{
	order[norder++] = ((struct numbered *)rh)->n_number;
}

KTEST(callbacks_run_in_order, "callbacks of one LWP run in the order in which they were queued, all before the barrier ends")
{
	struct numbered n[100];

	ktest_kern(2, ktest_seed());
	for (int i = 0; i < 100; i++) {
		n[i].n_number = i;
		call_rcu(&n[i].n_rcu, note_order);
		if (i == 50)
			kpause("order", 2000000);
	}
	rcu_barrier();
	CHECK_EQ(norder, 100);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(order[i], i);
	kern_shutdown();
}

static void
sleep_in_callback(struct rcu_head *rh)
{
	CHECK(strcmp(curlwp->l_name, "rcu") == 0);
	CHECK(!cpu_intr_p());
	mutex_enter(&writers);
	mutex_exit(&writers);
	kpause("incb", 1000000);
	__atomic_store_n(&called, 1, __ATOMIC_RELEASE);
}

KTEST(callbacks_may_sleep, "a callback runs on an LWP, where it takes a mutex that is held and sleeps")
{
	const uint64_t until = host_now_ns() + 3000000;
	struct rcu_head rh;
	unsigned spins = 0;

	ktest_kern(2, ktest_seed());
	mutex_init(&writers, MUTEX_DEFAULT, IPL_NONE, LC_test);
	mutex_enter(&writers);
	call_rcu(&rh, sleep_in_callback);
	while (host_now_ns() < until) {		/* with a mutex held nobody pauses */
		intr_poll();
		host_relax(&spins);
	}
	CHECK(!__atomic_load_n(&called, __ATOMIC_ACQUIRE));
	mutex_exit(&writers);
	rcu_barrier();
	CHECK(__atomic_load_n(&called, __ATOMIC_ACQUIRE));
	mutex_destroy(&writers);
	kern_shutdown();
}

static struct rcu_head second;

static void
queue_another(struct rcu_head *rh)
{
	call_rcu(&second, note_call);
}

KTEST(shutdown_runs_what_is_queued, "callbacks that are still queued at shutdown run, those that they queue too")
{
	struct rcu_head rh;

	ktest_kern(2, ktest_seed());
	__atomic_store_n(&left, 1, __ATOMIC_RELEASE);
	call_rcu(&rh, queue_another);
	kern_shutdown();
	CHECK(called);
}

/* --- mistakes --- */

KTEST_DEATH(sleep_in_a_section_panics, "a reader that sleeps inside its section is caught", "sleep in a reader's section")
{
	ktest_kern(2, ktest_seed());
	rcu_read_lock();
	kpause("oops", 1000000);
}

KTEST_DEATH(return_to_user_in_a_section_panics, "so is one that returns to user mode",
    "return to user in a reader's section")
{
	ktest_kern(1, ktest_seed());
	rcu_read_lock();
	lwp_userret(1);
}

KTEST_DEATH(yield_in_a_section_panics, "or gives its CPU to another", "yield in a reader's section")
{
	ktest_kern(1, ktest_seed());
	rcu_read_lock();
	yield();
}

KTEST_DEATH(no_cpu_in_a_section_panics, "or to nobody", "lwp_release_cpu in a reader's section")
{
	ktest_kern(1, ktest_seed());
	rcu_read_lock();
	lwp_release_cpu();
}

KTEST_MAIN()
