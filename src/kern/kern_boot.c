/*
 * Boot and shutdown of the kernel floor.
 *
 * The thread that boots becomes lwp0 and holds CPU 0; the other CPUs start with
 * their idle LWPs.  What boot makes, teardown() frees, however far boot came.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <host/race.h>
#include <host/rcu.h>
#include <sys/clock.h>
#include <sys/kernhist.h>
#include <sys/stop.h>

#include "kern_int.h"

struct cpu_info *cpus;
int ncpu;
unsigned cpu_cores;
struct kern_upcall kern_upcall;
bool kern_stopping;

static struct lwp *lwp0;

static int
cpu_attach(struct cpu_info *ci, int index, uint64_t seed)
{
	char name[LWP_NAME_MAX];

	ci->ci_index = index;
	clock_start(ci);
	TAILQ_INIT(&ci->ci_runq);
	host_rng_init(&ci->ci_rng, seed, 3ULL << 62 | (unsigned)index);
	snprintf(name, sizeof(name), "idle/%d", index);
	ci->ci_idlelwp = lwp_alloc(name);
	if (ci->ci_idlelwp == NULL)
		return ENOMEM;
	ci->ci_idlelwp->l_idle = true;
	ci->ci_idlelwp->l_cpu = ci;
	ci->ci_curlwp = ci->ci_prevlwp = ci->ci_idlelwp;
	return 0;
}

static int
become_lwp0(void)
{
	lwp0 = lwp_alloc("lwp0");
	if (lwp0 == NULL)
		return ENOMEM;
	lwp0->l_thread = host_thread_self();
	__atomic_store_n(&lwp0->l_bell, host_bell_id(), __ATOMIC_RELAXED);
	lwp0->l_cpu = &cpus[0];
	__atomic_store_n(&lwp0->l_stat, LSONPROC, __ATOMIC_RELAXED);
	cpus[0].ci_curlwp = lwp0;
	curlwp = lwp0;
	spl_sync(&cpus[0]);
	host_rcu_register();
	return 0;
}

static int
start_cpus(uint64_t seed)
{
	int error = 0;

	for (int i = 0; i < ncpu && error == 0; i++)
		error = cpu_attach(&cpus[i], i, seed);
	if (error == 0)
		error = become_lwp0();
	for (int i = 0; i < ncpu && error == 0; i++)
		error = host_thread_create(&cpus[i].ci_idlelwp->l_thread,
		    cpus[i].ci_idlelwp->l_name, idle_main, &cpus[i]);
	return error;
}

/* => frees what boot has made so far */
static void
teardown(void)
{
	timer_fini();
	/* release: pairs with the acquire in idle_main() */
	__atomic_store_n(&kern_stopping, true, __ATOMIC_RELEASE);
	for (int i = 0; i < ncpu && cpus[i].ci_idlelwp != NULL; i++) {
		if (cpus[i].ci_idlelwp->l_thread != NULL) {
			host_unpark(cpus[i].ci_idlelwp->l_thread);
			host_thread_join(cpus[i].ci_idlelwp->l_thread);
		}
		lwp_free(cpus[i].ci_idlelwp);
	}
	if (lwp0 != NULL) {
		spl_sync(&cpus[0]);
		host_rcu_unregister();
		lwp_free(lwp0);
		lwp0 = NULL;
	}
	intr_fini();
	lwp_fini();
	kernhist_fini();
	curlwp = NULL;
	free(cpus);
	cpus = NULL;
	ncpu = 0;
}

int
kern_boot(const struct kern_config *kc)
{
	int error;

	KASSERT(kc->kc_ncpu >= 1 && kc->kc_ncpu <= MAXCPUS);
	KASSERTMSG(cpus == NULL, "kern_boot: booted already");
	host_backtrace_init();
	host_catch_crashes(kern_crash);
	cpus = aligned_alloc(64, (size_t)kc->kc_ncpu * sizeof(*cpus));
	if (cpus == NULL)
		return ENOMEM;
	ncpu = kc->kc_ncpu;
	cpu_cores = host_ncores();
	if (cpu_cores >= (unsigned)ncpu || host_controlled())
		cpu_cores = 0;
	kern_upcall = kc->kc_upcall;
	kern_stopping = false;
	race_atomic(cpus, (size_t)ncpu * sizeof(*cpus));
	race_atomic(&kern_stopping, sizeof(kern_stopping));
	memset(cpus, 0, (size_t)ncpu * sizeof(*cpus));
	lock_init();
	lwp_init(kc->kc_seed);
	sleepq_init();
	error = kernhist_boot(kc->kc_history, kc->kc_detail, kc->kc_hash || host_controlled());
	if (error == 0)
		error = intr_init(kc->kc_signals);
	clock_init(kc->kc_clock);
	if (error == 0)
		error = timer_init();
	clock_hook(sched_tick);
	if (error == 0)
		error = start_cpus(kc->kc_seed);
	if (error != 0) {
		teardown();
		return error;
	}
	kern_pool_init();
	kern_rcu_init();
	kern_stop_init();
	return 0;
}

void
kern_shutdown(void)
{
	lockdebug_barrier("kern_shutdown");
	KASSERT(curlwp == lwp0);
	kern_stop_fini();
	kern_rcu_fini();
	kern_pool_fini();
	teardown();
	host_catch_crashes(NULL);
}
