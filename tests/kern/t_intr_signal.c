/*
 * Interrupts at any instruction: the doorbell, lazy masking, masked sections.
 *
 * The LWP that is interrupted never polls: it loops on the host's own means.
 */
#include <errno.h>

#include <host/host.h>
#include <ktest_kern.h>
#include <sys/intr.h>
#include <sys/mutex.h>

#define	MS	1000000ULL

static int handled;			/* atomic: times that the handler ran */
static int begun;			/* atomic: the looping LWP is there */
static int stop;			/* atomic: it may go */

/* => false: this build has no doorbell, which it says */
static bool
boot(int cpus_wanted)
{
	const struct kern_config kc = { .kc_ncpu = cpus_wanted, .kc_seed = ktest_seed(),
	    .kc_signals = true };
	int error = kern_boot(&kc);

	CHECK(error == 0 || error == ENOTSUP);
	return error == 0;
}

static int
get(int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void
set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* => true: *word became n, before a host without a core for the other thread could be to blame.  Does not poll. */
static bool
becomes(int *word, int n)
{
	const uint64_t end = host_now_ns() + 100000 * MS;
	unsigned spins = 0;

	while (get(word) != n) {
		if (host_now_ns() > end)
			return false;
		host_relax(&spins);
	}
	return true;
}

static void
count_it(void *arg)
{
	CHECK(cpu_intr_p());
	CHECK(!host_masked());
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELEASE);
}

/* Computes, and knows nothing of interrupts. */
static void
loop_at(int ipl)
{
	int s = splraise((ipl_t)ipl);

	set(&begun, curcpu()->ci_index + 1);
	while (!get(&stop))
		;
	set(&begun, 0);
	splx(s);
}

static void
loop(void *arg)
{
	loop_at((int)(intptr_t)arg);
}

/* => an LWP that loops at ipl, on another CPU, which is returned */
static struct cpu_info *
looping(struct lwp **lp, int ipl)
{
	unsigned spins = 0;

	set(&stop, 0);
	CHECK_EQ(lwp_create(lp, NULL, "loop", loop, (void *)(intptr_t)ipl), 0);
	lwp_start(*lp);
	while (get(&begun) == 0)
		host_relax(&spins);
	return &cpus[get(&begun) - 1];
}

KTEST(reaches_a_loop_that_never_polls, "an interrupt runs on the CPU of an LWP that computes, without its help")
{
	struct cpu_info *ci;
	struct lwp *l;

	if (!boot(2))
		return;
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	ci = looping(&l, IPL_NONE);
	for (int i = 1; i <= 100; i++) {
		intr_post(ci, IRQ_DISK);
		CHECK(becomes(&handled, i));
	}
	CHECK(ci->ci_nrung >= 100);
	set(&stop, 1);
	lwp_wait(l);
	kern_shutdown();
}

KTEST(poll_does_not, "and with polling it waits until the LWP asks: the doorbell makes the difference")
{
	struct cpu_info *ci;
	struct lwp *l;

	ktest_kern(2, ktest_seed());
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	ci = looping(&l, IPL_NONE);
	intr_post(ci, IRQ_DISK);
	for (uint64_t end = host_now_ns() + 50 * MS; host_now_ns() < end;)
		CHECK_EQ(get(&handled), 0);
	set(&stop, 1);
	CHECK(becomes(&handled, 1));
	lwp_wait(l);
	kern_shutdown();
}

KTEST(ipl_masks_lazily, "at IPL_VM a disk interrupt stays pending until splx, and an IPI comes in at once")
{
	struct cpu_info *ci;
	struct lwp *l;

	if (!boot(2))
		return;
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	intr_establish(IRQ_IPI, IPL_SCHED, count_it, NULL);
	ci = looping(&l, IPL_VM);
	intr_post(ci, IRQ_DISK);
	for (int i = 1; i <= 100; i++) {
		intr_post(ci, IRQ_IPI);
		CHECK(becomes(&handled, i));
	}
	CHECK_EQ(ci->ci_nirq[IRQ_DISK], 0);
	set(&stop, 1);
	CHECK(becomes(&handled, 101));
	lwp_wait(l);
	kern_shutdown();
}

/* Interrupts of the LWP's own CPU need no other thread. */
KTEST(own_interrupt_is_immediate, "an interrupt that an LWP posts to its own CPU comes between two statements")
{
	int s;

	if (!boot(1))
		return;
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	intr_post(curcpu(), IRQ_DISK);
	CHECK_EQ(handled, 1);
	s = splvm();
	intr_post(curcpu(), IRQ_DISK);
	CHECK_EQ(handled, 1);
	splx(s);
	CHECK_EQ(handled, 2);
	host_mask();
	intr_post(curcpu(), IRQ_DISK);
	CHECK_EQ(handled, 2);
	host_mask();
	host_unmask();
	CHECK_EQ(handled, 2);
	host_unmask();
	CHECK_EQ(handled, 3);
	host_access_begin();
	intr_post(curcpu(), IRQ_DISK);
	host_mask();
	host_unmask();
	CHECK_EQ(handled, 3);
	host_access_end();
	CHECK_EQ(handled, 4);
	kern_shutdown();
}

KTEST_DEATH(delivery_in_a_masked_section_is_caught, "a poll in a masked section that finds an interrupt panics",
    "in a section that is masked|no doorbell")
{
	if (!boot(1))
		panic("no doorbell");
	intr_establish(IRQ_DISK, IPL_VM, count_it, NULL);
	host_mask();
	intr_post(curcpu(), IRQ_DISK);
	intr_poll();
}

/* --- sections --- */

static volatile long pair[2];		/* IPL_VM of the one CPU: equal */
static long torn;			/* atomic: handlers that found them unequal */
static struct host_lock raw;
static volatile long raw_pair[2];	/* raw */
static kmutex_t vm_lock;
static volatile long locked_pair[2];	/* vm_lock */
static bool protect;			/* stable: the LWP raises its IPL */
static uint64_t loops;			/* the LWP */

static void
look_at_pairs(void *arg)
{
	if (pair[0] != pair[1])
		__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
	host_lock(&raw);
	CHECK_EQ(raw_pair[0], raw_pair[1]);
	raw_pair[0]++, raw_pair[1]++;
	host_unlock(&raw);
	mutex_enter(&vm_lock);
	CHECK_EQ(locked_pair[0], locked_pair[1]);
	locked_pair[0]++, locked_pair[1]++;
	mutex_exit(&vm_lock);
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELEASE);
}

static void
tear_pairs(void *arg)
{
	set(&begun, curcpu()->ci_index + 1);
	while (!get(&stop)) {
		int s = protect ? splvm() : IPL_NONE;

		pair[0]++;
		for (volatile int i = 0; i < 50; i++)
			;
		pair[1]++;
		if (protect)
			splx(s);
		host_lock(&raw);
		raw_pair[0]++, raw_pair[1]++;
		host_unlock(&raw);
		mutex_enter(&vm_lock);
		locked_pair[0]++, locked_pair[1]++;
		mutex_exit(&vm_lock);
		loops++;
	}
}

/* => handlers that found the pair unequal, of some thousands */
static long
storm(void)
{
	const int posts = (int)ktest_scale(5000);
	struct cpu_info *ci;
	unsigned spins = 0;
	struct lwp *l;
	int posted = 0;

	intr_establish(IRQ_DISK, IPL_VM, look_at_pairs, NULL);
	mutex_init(&vm_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	CHECK_EQ(lwp_create(&l, NULL, "tear", tear_pairs, NULL), 0);
	lwp_start(l);
	while (get(&begun) == 0)
		host_relax(&spins);
	ci = &cpus[get(&begun) - 1];
	for (uint64_t end = host_now_ns() + 500 * MS; (posted < posts && host_now_ns() < end) ||
	    (!protect && __atomic_load_n(&torn, __ATOMIC_RELAXED) == 0);) {
		intr_post(ci, IRQ_DISK);
		CHECK(becomes(&handled, ++posted));	/* none is lost */
	}
	set(&stop, 1);
	lwp_wait(l);
	CHECK_EQ(ci->ci_ipending & 1u << IRQ_DISK, 0);
	CHECK(loops > 0);
	mutex_destroy(&vm_lock);
	return __atomic_load_n(&torn, __ATOMIC_RELAXED);
}

KTEST(spl_and_locks_are_atomic_to_handlers, "no handler sees the middle of an spl section, a raw lock's or a spin mutex's; none is lost")
{
	if (!boot(2))
		return;
	protect = true;
	CHECK_EQ(storm(), 0);
	kern_shutdown();
}

KTEST(without_spl_the_middle_shows, "and without splvm it does: interrupts do come between any two instructions")
{
	if (!boot(2))
		return;
	protect = false;
	CHECK(storm() > 0);
	kern_shutdown();
}

/* --- everything at once --- */

static void
storm_lwp(void *arg)
{
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), (uintptr_t)arg);
	for (unsigned i = 0; i < ktest_scale(3000); i++) {
		intr_post(&cpus[host_rng_below(&rng, (uint64_t)ncpu)],
		    host_rng_chance(&rng, 0.5) ? IRQ_DISK : IRQ_IPI);
		mutex_enter(&vm_lock);
		locked_pair[0]++, locked_pair[1]++;
		mutex_exit(&vm_lock);
		switch (host_rng_below(&rng, 16)) {
		case 0:
			yield();
			break;
		case 1:
			lwp_userret(1);
			break;
		case 2:
			rcu_read_lock();
			rcu_read_unlock();
			break;
		}
	}
}

static void
ipi(void *arg)
{
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELEASE);
}

static void
nothing(void *arg)
{
}

KTEST(storm_across_switches, "12 LWPs on 4 CPUs interrupt each other while they switch, lock and pass quiescent states")
{
	uint64_t n = 0;

	if (!boot(4))
		return;
	intr_establish(IRQ_DISK, IPL_VM, look_at_pairs, NULL);
	intr_establish(IRQ_IPI, IPL_SCHED, ipi, NULL);
	mutex_init(&vm_lock, MUTEX_DEFAULT, IPL_VM, LC_test);
	ktest_lwps(12, storm_lwp);
	xc_broadcast(nothing, NULL);	/* comes after whatever a CPU has not taken yet */
	for (int i = 0; i < ncpu; i++) {
		CHECK(becomes(&cpus[i].ci_idepth, 0));
		CHECK(becomes(&cpus[i].ci_ilevel, IPL_NONE));
		n += cpus[i].ci_nirq[IRQ_DISK] + cpus[i].ci_nirq[IRQ_IPI];
	}
	CHECK_EQ(n, get(&handled));
	CHECK(n > 0);
	mutex_destroy(&vm_lock);
	kern_shutdown();
}

/* Only a build of ThreadSanitizer's refuses. */
KTEST(a_boot_that_is_refused_takes_nothing_down_twice, "after a machine that was shut down")
{
	ktest_kern(2, 1);
	kern_shutdown();
	if (boot(2))
		kern_shutdown();
}

KTEST_MAIN()
