/*
 * bench interrupts: from the post to the handler, and what must be cheap because of them.
 *
 *	to oneself	posted and taken by the same LWP
 *	to a busy CPU	poll: it returns to user mode all the time; signal: it computes and never polls
 *	to an idle CPU	its idle LWP has to be woken
 *	spl		one splvm() and splx(), which is why handlers are masked by level, lazily
 *	pool_put	of what a thread took, by a handler (R43: it never waits)
 *
 * Beside each what the host does for the same: a signal, a flag that a spinning thread looks
 * at, a parked thread woken, signals blocked and let in again, free().  Latencies are medians.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sys/intr.h>
#include <sys/pool.h>
#include <sys/sleepq.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_km.h>

#include "bench_int.h"

#define	ITEM		256		/* bytes */
#define	TURNS		20000
#define	ITEMS		2000
#define	SAMPLES		1000
#define	QUICK		10		/* a quick bench makes one in so many of all these */
#define	GAP_NS		20000		/* the other side has come to rest by then */

/* One at a time. */
static struct {
	uint64_t	 stamp;		/* atomic: when it arrived; 0: not yet */
	bool		 stop;		/* atomic: the other side may go */
	struct cpu_info	*cpu;		/* atomic: whose other side it is; NULL: not there yet */
	struct host_thread *thread;	/* the host's other side */
	int		 tid;		/* atomic: likewise; 0: not there yet */
	uint64_t	 flag;		/* atomic */
	unsigned	 turns, nsamples, nitems;
	struct pool	*pool;
	void		*items[ITEMS];
} b;

static void
arrived(void)
{
	__atomic_store_n(&b.stamp, host_now_ns(), __ATOMIC_RELEASE);
}

static void
handler(void *arg)
{
	arrived();
}

static void
on_signal(int sig)
{
	arrived();
}

/* => ns from send() to arrived() */
static double
latency(void (*send)(void))
{
	double v[SAMPLES];

	for (unsigned i = 0; i < b.nsamples; i++) {
		uint64_t start, rest = host_now_ns() + GAP_NS;
		unsigned spins = 0;

		while (host_now_ns() < rest)
			intr_poll();
		__atomic_store_n(&b.stamp, 0, __ATOMIC_RELAXED);
		start = host_now_ns();
		send();
		while (__atomic_load_n(&b.stamp, __ATOMIC_ACQUIRE) == 0)
			host_relax(&spins);
		v[i] = (double)(b.stamp - start);
	}
	return bench_median(v, b.nsamples);
}

static bool
stopping(void)
{
	return __atomic_load_n(&b.stop, __ATOMIC_RELAXED);
}

/* --- the machine's side --- */

static void
post_other(void)
{
	intr_post(b.cpu, IRQ_DEVICE);
}

static void
post_self(void *arg)
{
	for (unsigned i = 0; i < b.turns; i++) {
		intr_post(curcpu(), IRQ_DEVICE);
		intr_poll();
	}
}

/* arg: interrupts by signal */
static void
busy_lwp(void *arg)
{
	__atomic_store_n(&b.cpu, curcpu(), __ATOMIC_RELEASE);
	while (!stopping())
		if (arg == NULL)
			lwp_userret(1);
}

/* => 0 or errno */
static int
time_busy_cpu(bool signals, double *ns)
{
	unsigned spins = 0;
	struct lwp *l;
	int error = lwp_create(&l, NULL, "busy", busy_lwp, signals ? &b : NULL);

	if (error != 0)
		return error;
	b.stop = false;
	b.cpu = NULL;
	lwp_start(l);
	while (__atomic_load_n(&b.cpu, __ATOMIC_ACQUIRE) == NULL)
		host_relax(&spins);
	*ns = latency(post_other);
	__atomic_store_n(&b.stop, true, __ATOMIC_RELAXED);
	lwp_wait(l);
	return 0;
}

static double
time_idle_cpu(void)
{
	b.cpu = &cpus[1 - curcpu()->ci_index];
	return latency(post_other);
}

static void
spl(void *arg)
{
	for (unsigned i = 0; i < b.turns; i++)
		splx(splvm());
}

static void
put_all(void *arg)
{
	for (unsigned i = 0; i < b.nitems; i++)
		pool_put(b.pool, b.items[i]);
}

static void
put_in_interrupt(void *arg)
{
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
}

static void
free_all(void *arg)
{
	for (unsigned i = 0; i < b.nitems; i++)
		free(b.items[i]);
}

/* => ns of giving one item back, the best of several times; the taking is not counted */
static double
time_puts(void (*give)(void *))
{
	double best = 0;

	for (int turn = 0; turn < 6; turn++) {
		uint64_t start;
		double ns;

		for (unsigned i = 0; i < b.nitems; i++)
			b.items[i] = give == free_all ? malloc(ITEM) : pool_get(b.pool, PR_WAITOK);
		start = host_now_ns();
		give(NULL);
		ns = (double)(host_now_ns() - start) / b.nitems;
		if (best == 0 || ns < best)
			best = ns;
	}
	return best;
}

/* --- the host's side --- */

static void
host_raise(void *arg)
{
	for (unsigned i = 0; i < b.turns; i++)
		raise(SIGUSR2);
}

static void
host_signals_off_and_on(void *arg)
{
	sigset_t set, old;

	sigfillset(&set);
	for (unsigned i = 0; i < b.turns; i++) {
		sigprocmask(SIG_BLOCK, &set, &old);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
}

enum other { SPINS, COMPUTES, PARKS };

/* arg: enum other */
static void
other_thread(void *arg)
{
	const enum other how = (enum other)(intptr_t)arg;
	uint64_t seen = 0;
	unsigned spins = 0;

	__atomic_store_n(&b.tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (!stopping()) {
		if (how == PARKS)
			host_park();
		if (how == COMPUTES)
			continue;
		if (__atomic_load_n(&b.flag, __ATOMIC_ACQUIRE) != seen) {
			seen++;
			arrived();
		} else if (how == SPINS) {
			host_relax(&spins);
		}
	}
}

static void
send_flag(void)
{
	__atomic_store_n(&b.flag, b.flag + 1, __ATOMIC_RELEASE);
}

static void
send_unpark(void)
{
	send_flag();
	host_unpark(b.thread);
}

static void
send_signal(void)
{
	(void)syscall(SYS_tgkill, getpid(), b.tid, SIGUSR2);
}

static int
time_host(enum other how, void (*send)(void), double *ns)
{
	unsigned spins = 0;
	int error;

	b.stop = false;
	b.tid = 0;
	b.flag = 0;
	error = host_thread_create(&b.thread, "bench", other_thread, (void *)(intptr_t)how);
	if (error != 0)
		return error;
	while (__atomic_load_n(&b.tid, __ATOMIC_ACQUIRE) == 0)
		host_relax(&spins);
	*ns = latency(send);
	__atomic_store_n(&b.stop, true, __ATOMIC_RELAXED);
	host_unpark(b.thread);
	host_thread_join(b.thread);
	return 0;
}

/* --- the table --- */

/* => lwp0, on one of two CPUs: rows of posts */
static int
bench_posts(bool signals, struct bench_table *bt)
{
	double busy, idle, host, woken;
	int error = time_busy_cpu(signals, &busy);

	if (error == 0)
		error = signals ? time_host(COMPUTES, send_signal, &host) :
		    time_host(SPINS, send_flag, &host);
	if (error == 0)
		error = time_host(PARKS, send_unpark, &woken);
	if (error != 0)
		return error;
	idle = time_idle_cpu();
	bench_add_ns(bt, signals ? "post to handler, own CPU, signal" : "post to handler, own CPU, poll",
	    bench_best_ns(post_self, NULL, b.turns), "host: raise() to its handler",
	    bench_best_ns(host_raise, NULL, b.turns));
	bench_add_ns(bt, signals ? "post to a busy CPU, signal" : "post to a busy CPU, poll", busy,
	    signals ? "host: signal to a thread" : "host: a flag to a thread that spins", host);
	bench_add_ns(bt, signals ? "post to an idle CPU, signal" : "post to an idle CPU, poll", idle,
	    "host: a parked thread woken", woken);
	return 0;
}

static void
bench_masks_and_pools(struct bench_table *bt)
{
	struct bench_row *row;

	bench_add_ns(bt, "splvm and splx", bench_best_ns(spl, NULL, b.turns),
	    "host: signals blocked and back", bench_best_ns(host_signals_off_and_on, NULL, b.turns));
	intr_establish(IRQ_DEVICE, IPL_VM, put_all, NULL);
	b.pool = pool_create(ITEM, 0, "benchpl", &pool_allocator_kmem_map, IPL_VM);
	row = bench_add_ns(bt, "pool_put in interrupt", time_puts(put_in_interrupt), "pool_put by a thread",
	    time_puts(put_all));
	bench_ref(row, "free()", time_puts(free_all));
	pool_destroy(b.pool);
}

static int
bench_mode(bool signals, struct bench_table *bt)
{
	const struct uvm_config uc = { .uc_ncpu = 2, .uc_seed = 1, .uc_memory = 64UL << 20, .uc_signals = signals };
	int error = uvm_boot(&uc);

	if (error != 0)
		return error == ENOTSUP && signals ? 0 : error;	/* ThreadSanitizer's build has none */
	intr_establish(IRQ_DEVICE, IPL_VM, handler, NULL);
	error = bench_posts(signals, bt);
	if (error == 0 && !signals)
		bench_masks_and_pools(bt);
	uvm_shutdown();
	return error;
}

int
bench_intr(const struct bench_options *bo, struct bench_table *bt)
{
	const unsigned part = bo->bo_quick ? QUICK : 1;
	const struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction old;
	int error;

	b.turns = TURNS / part;
	b.nsamples = SAMPLES / part;
	b.nitems = ITEMS / part;
	if (sigaction(SIGUSR2, &sa, &old) != 0)
		return errno;
	error = bench_mode(false, bt);
	if (error == 0)
		error = bench_mode(true, bt);
	sigaction(SIGUSR2, &old, NULL);
	return error;
}
