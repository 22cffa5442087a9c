/*
 * bench scale: faults a second by more CPUs.
 *
 * Each LWP has so many pages; it stores to each of them, which is a zero-fill fault, gives all of
 * them back by madvise(MADV_FREE), and begins again.  There are as many LWPs as simulated CPUs, and all
 * together make as many faults, however many they are.
 *
 *	private		each LWP in a process of its own
 *	one shared map	all LWPs in one process, each with a mapping of its own
 *
 * Two CPUs want two cores of the host that have nothing else to do: time is the wall's.  What two cores
 * are worth is measured too: by two processes of the host, each with a machine of one CPU.  They
 * share nothing but the host's caches, memory and clock rate, so that no VM can do better.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/xalloc.h>
#include <host/host.h>
#include <machine/softmmu.h>
#include <sys/condvar.h>

#include "bench_int.h"

#define	PAGES		256UL		/* of each LWP */
#define	STRIDE		(4UL << 20)	/* between the mappings of a shared map: their amaps are two */
#define	FAULTS		(1UL << 21)	/* all LWPs': in less time threads that share a core hardly take turns */
#define	QUICK_FAULTS	(1UL << 17)
#define	MAX_CPUS	256

/* What two processes of the host share. */
struct meeting {
	int		 me_there;	/* atomic: have come to their start */
	bool		 me_off;	/* atomic: one of them will not come */
	struct {
		uint64_t me_start, me_done;	/* its process' */
	} me_of[2];
};

/* As many CPUs as LWPs. */
struct crew {
	struct hand	*cr_hands;
	uint64_t	 cr_faults;
	int		 cr_ncpu;
	bool		 cr_shared;
	struct meeting	*cr_meeting;	/* NULL: there are no others */
	uint64_t	 cr_start_ns;
	int		 cr_working;	/* atomic, once they have begun */
	uint64_t	 cr_done_ns;	/* when the last one had done its part; ha_lock of all */
	int		 cr_error;	/* atomic: the last one */
};

/*
 * They wait each for itself: so many who are woken at once would stand in line for one lock.  Who has done its
 * part waits until all have: an exit asks all CPUs (its u-area's addresses), and is not what is measured.
 */
struct hand {
	struct crew	*ha_crew;
	kmutex_t	 ha_lock;
	kcondvar_t	 ha_cv;
	bool		 ha_go, ha_home; /* ha_lock */
	struct proc	*ha_proc;
	struct lwp	*ha_lwp;
	vaddr_t		 ha_va;
};

static int
one_round(struct hand *ha)
{
	int error = 0;

	for (uint64_t i = 0; i < PAGES && error == 0; i++) {
		error = user_store(ha->ha_va + ptoa(i), i);
		lwp_userret(16);
	}
	return error != 0 ? error : sys_madvise(ha->ha_proc, ha->ha_va, ptoa(PAGES), UMADV_FREE);
}

/* => somebody has set the flag, and told the hand */
static void
await(struct hand *ha, const bool *flag)
{
	mutex_enter(&ha->ha_lock);
	while (!*flag)
		cv_wait(&ha->ha_cv, &ha->ha_lock);
	mutex_exit(&ha->ha_lock);
}

static void
tell(struct hand *ha, bool *flag)
{
	mutex_enter(&ha->ha_lock);
	*flag = true;
	cv_signal(&ha->ha_cv);
	mutex_exit(&ha->ha_lock);
}

static void
hand_main(void *arg)
{
	struct hand *ha = arg;
	struct crew *cr = ha->ha_crew;
	uint64_t rounds = cr->cr_faults / PAGES / (uint64_t)cr->cr_ncpu;
	int error = one_round(ha);		/* warms up */

	await(ha, &ha->ha_go);
	for (uint64_t i = 0; i < rounds && error == 0; i++)
		error = one_round(ha);
	if (error != 0)
		__atomic_store_n(&cr->cr_error, error, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&cr->cr_working, 1, __ATOMIC_RELAXED) == 0) {
		cr->cr_done_ns = host_now_ns();
		for (int i = 0; i < cr->cr_ncpu; i++)
			tell(&cr->cr_hands[i], &cr->cr_hands[i].ha_home);
	}
	await(ha, &ha->ha_home);
}

static int
hire(struct crew *cr, struct hand *ha, int i, struct proc *first)
{
	vaddr_t va = BENCH_BASE + (cr->cr_shared ? (vaddr_t)i * STRIDE : 0);
	int error = 0;

	ha->ha_crew = cr;
	ha->ha_proc = cr->cr_shared ? first : NULL;
	ha->ha_va = va;
	if (ha->ha_proc == NULL)
		error = proc_create("hand", &ha->ha_proc);
	if (error == 0)
		error = sys_mmap(ha->ha_proc, &va, ptoa(PAGES), VM_PROT_READ | VM_PROT_WRITE,
		    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	if (error == 0)
		error = proc_lwp_create(ha->ha_proc, &ha->ha_lwp, "hand", hand_main, ha);
	if (error == 0)
		lwp_start(ha->ha_lwp);
	return error;
}

/* => the other process has come as far */
static void
meet(struct meeting *me)
{
	unsigned spins = 0;

	__atomic_add_fetch(&me->me_there, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&me->me_there, __ATOMIC_RELAXED) < 2 &&
	    !__atomic_load_n(&me->me_off, __ATOMIC_RELAXED))
		host_relax(&spins);
}

/* => faults a second of the LWPs that there are; their birth and death are not counted */
static double
work(struct crew *cr, struct hand *hands)
{
	uint64_t rounds = cr->cr_faults / PAGES / (uint64_t)cr->cr_ncpu;

	if (cr->cr_meeting != NULL)
		meet(cr->cr_meeting);
	cr->cr_start_ns = host_now_ns();
	for (int i = 0; i < cr->cr_ncpu; i++)
		tell(&hands[i], &hands[i].ha_go);
	for (int i = 0; i < cr->cr_ncpu; i++)
		if (hands[i].ha_lwp != NULL)
			lwp_wait(hands[i].ha_lwp);
	return (double)(rounds * PAGES * (uint64_t)cr->cr_ncpu) * 1e9 / (double)(cr->cr_done_ns - cr->cr_start_ns);
}

struct figure {
	struct crew	*fi_crew;
	double		 fi_rate;
};

static int
measure(struct proc *p, void *arg)
{
	struct figure *fi = arg;
	struct crew *cr = fi->fi_crew;
	struct hand *hands = xcalloc((size_t)cr->cr_ncpu, sizeof(*hands));
	int error = 0;

	cr->cr_hands = hands;
	for (int i = 0; i < cr->cr_ncpu; i++) {
		mutex_init(&hands[i].ha_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
		cv_init(&hands[i].ha_cv, "benchgo");
	}
	for (int i = 0; i < cr->cr_ncpu && error == 0; i++)
		error = hire(cr, &hands[i], i, p);
	for (int i = 0; i < cr->cr_ncpu; i++)
		cr->cr_working += hands[i].ha_lwp != NULL;
	fi->fi_rate = work(cr, hands);		/* of no use after an error, but it ends those who wait */
	if (error == 0)
		error = cr->cr_error;
	for (int i = 0; i < cr->cr_ncpu; i++) {
		if (hands[i].ha_proc != NULL && hands[i].ha_proc != p)
			proc_exit(hands[i].ha_proc);
		cv_destroy(&hands[i].ha_cv);
		mutex_destroy(&hands[i].ha_lock);
	}
	free(hands);
	return error;
}

/* => faults a second, or -1 */
static double
crew_work(struct crew *cr)
{
	const int n = cr->cr_ncpu;
	const uint64_t need = uvm_memory_min(n) + (uint64_t)n * ptoa(PAGES + 64);
	const struct uvm_config uc = {
		.uc_ncpu = n, .uc_seed = 1, .uc_memory = (need + (32UL << 20)) & ~(PAGE_SIZE - 1),
		.uc_fault_ahead = true,
	};
	struct figure fi = { cr, 0 };

	return bench_machine(&uc, true, measure, &fi) != 0 ? -1 : fi.fi_rate;
}

static double
crew_rate(int n, bool shared, uint64_t faults)
{
	struct crew cr = { .cr_faults = faults, .cr_ncpu = n, .cr_shared = shared };

	return crew_work(&cr);
}

/* --- what the host has to give: as many machines as cores, which share nothing --- */

/* => never */
static void
be_process(struct meeting *me, int which, uint64_t faults)
{
	struct crew cr = { .cr_faults = faults, .cr_ncpu = 1, .cr_meeting = me };
	const bool good = crew_work(&cr) > 0;

	me->me_of[which].me_start = cr.cr_start_ns;
	me->me_of[which].me_done = cr.cr_done_ns;
	__atomic_store_n(&me->me_off, true, __ATOMIC_RELAXED);	/* whoever waits yet, waits in vain */
	_exit(good ? 0 : 1);
}

/* => both of them have ended well */
static bool
both_end(struct meeting *me, const pid_t *pids)
{
	bool good = true;
	int status;

	for (int left = 2; left > 0; left--) {
		pid_t pid = wait(&status);

		while (pid != pids[0] && pid != pids[1] && pid > 0)
			pid = wait(&status);
		good = good && pid > 0 && status == 0;
		if (!good)
			__atomic_store_n(&me->me_off, true, __ATOMIC_RELAXED);
	}
	return good;
}

static double
two_processes(void *arg)
{
	const uint64_t faults = *(uint64_t *)arg;
	struct meeting *me = mmap(NULL, sizeof(*me), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t start, done;
	double rate = -1;
	pid_t pids[2];

	if (me == MAP_FAILED)
		return -1;
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			be_process(me, i, faults / 2);
		if (pids[i] < 0)
			__atomic_store_n(&me->me_off, true, __ATOMIC_RELAXED);
	}
	if (both_end(me, pids)) {
		start = MIN(me->me_of[0].me_start, me->me_of[1].me_start);
		done = MAX(me->me_of[0].me_done, me->me_of[1].me_done);
		rate = (double)(faults / 2 / PAGES * PAGES * 2) * 1e9 / (double)(done - start);
	}
	munmap(me, sizeof(*me));
	return rate;
}

/* The ways, all of them one number of faults. */
static double one(void *arg) { return crew_rate(1, false, *(uint64_t *)arg); }
static double two(void *arg) { return crew_rate(2, false, *(uint64_t *)arg); }
static double two_shared(void *arg) { return crew_rate(2, true, *(uint64_t *)arg); }
static double four(void *arg) { return crew_rate(4, false, *(uint64_t *)arg); }
static double sixteen(void *arg) { return crew_rate(16, false, *(uint64_t *)arg); }
static double sixty_four(void *arg) { return crew_rate(64, false, *(uint64_t *)arg); }
static double all_256(void *arg) { return crew_rate(MAX_CPUS, false, *(uint64_t *)arg); }

int
bench_scale(const struct bench_options *bo, struct bench_table *bt)
{
	static bench_way *const ways[] = {
		one, two, two_shared, four, sixteen, sixty_four, all_256, two_processes,
	};
	static const struct {
		const char *name;
		int way, reference;
		double target;
	} rows[] = {
		{ "2 CPUs, private memory", 1, 0, 1.9 },
		{ "2 CPUs, one shared map", 2, 0, 1.7 },
		{ "4 CPUs", 3, 1, 0.9 },
		{ "16 CPUs", 4, 1, 0.85 },
		{ "64 CPUs", 5, 1, 0.8 },
		{ "256 CPUs", 6, 1, 0.7 },
	};
	uint64_t faults = bo->bo_quick ? QUICK_FAULTS : FAULTS;
	size_t turns = bench_turns(bo);
	double v[8][BENCH_ROUNDS];
	int error = bench_in_turn(ways, 8, &faults, turns, true, v);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && error == 0; i++) {
		struct bench_row *br = bench_add_turns(bt, rows[i].name, "faults/s", v[rows[i].way], turns);

		bench_against_turns(br, rows[i].reference == 0 ? "1 CPU" : "2 CPUs", v[rows[i].reference], turns,
		    BENCH_BETTER, rows[i].target);
		if (rows[i].reference == 0)
			bench_against_turns(br, "2 processes of the host, 1 CPU each", v[7], turns, BENCH_BETTER, 0);
	}
	if (error == 0)
		bench_against_turns(bench_add_turns(bt, "2 processes of the host, 1 CPU each", "faults/s", v[7],
		    turns), "1 CPU", v[0], turns, BENCH_BETTER, 0);
	return error;
}
