/*
 * Boot and shutdown of the kernel floor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <host/rcu.h>

#include "kern_int.h"

struct cpu_info *cpus;
int ncpu;
struct kern_upcall kern_upcall;
bool kern_stopping;

static struct lwp *lwp0;

static int
cpu_attach(struct cpu_info *ci, int index, uint64_t seed)
{
	char name[LWP_NAME_MAX];

	ci->ci_index = index;
	TAILQ_INIT(&ci->ci_runq);
	host_rng_init(&ci->ci_rng, seed, (uint64_t)index << 32);
	snprintf(name, sizeof(name), "idle/%d", index);
	ci->ci_idlelwp = lwp_alloc(name);
	if (ci->ci_idlelwp == NULL)
		return ENOMEM;
	ci->ci_idlelwp->l_idle = true;
	ci->ci_idlelwp->l_cpu = ci;
	ci->ci_curlwp = ci->ci_prevlwp = ci->ci_idlelwp;
	return 0;
}

static void
become_lwp0(void)
{
	lwp0 = lwp_alloc("lwp0");
	if (lwp0 == NULL)
		panic("lwp0: the host has no memory");
	lwp0->l_thread = host_thread_self();
	lwp0->l_cpu = &cpus[0];
	lwp0->l_stat = LSONPROC;
	cpus[0].ci_curlwp = lwp0;
	curlwp = lwp0;
	host_rcu_register();
}

static void
stop_idle(int n)
{
	/* release: pairs with the acquire in idle_main() */
	__atomic_store_n(&kern_stopping, true, __ATOMIC_RELEASE);
	for (int i = 0; i < n; i++) {
		host_unpark(cpus[i].ci_idlelwp->l_thread);
		host_thread_join(cpus[i].ci_idlelwp->l_thread);
	}
}

void	intr_init(void);

int
kern_boot(const struct kern_config *kc)
{
	int error = 0, started = 0;

	KASSERT(kc->kc_ncpu >= 1 && kc->kc_ncpu <= MAXCPUS);
	host_backtrace_init();
	ncpu = kc->kc_ncpu;
	kern_upcall = kc->kc_upcall;
	kern_stopping = false;
	cpus = aligned_alloc(64, (size_t)ncpu * sizeof(*cpus));
	if (cpus == NULL)
		return ENOMEM;
	memset(cpus, 0, (size_t)ncpu * sizeof(*cpus));
	host_rng_init(&cpus[0].ci_rng, kc->kc_seed, 0);
	lwp_init();
	sleepq_init();
	timer_init();
	intr_init();
	for (int i = 0; i < ncpu && error == 0; i++)
		error = cpu_attach(&cpus[i], i, kc->kc_seed);
	if (error != 0)
		return error;
	become_lwp0();
	for (; started < ncpu && error == 0; started++)
		error = host_thread_create(&cpus[started].ci_idlelwp->l_thread,
		    cpus[started].ci_idlelwp->l_name, idle_main, &cpus[started]);
	if (error != 0) {
		stop_idle(started - 1);
		return error;
	}
	kern_pool_init();
	kern_rcu_init();
	return 0;
}

void
kern_shutdown(void)
{
	lockdebug_barrier("kern_shutdown");
	kern_rcu_fini();
	kern_pool_fini();
	host_rcu_unregister();
	stop_idle(ncpu);
	for (int i = 0; i < ncpu; i++)
		lwp_free(cpus[i].ci_idlelwp);
	lwp_free(lwp0);
	lwp_fini();
	curlwp = NULL;
	free(cpus);
	cpus = NULL;
	ncpu = 0;
}
