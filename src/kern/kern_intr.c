/*
 * Interrupts: their handlers, who posts them, soft interrupts and cross calls.
 *
 * Posting an interrupt sets a bit in the CPU's pending word; kern_spl.c delivers it.
 */
#include <stdlib.h>

#include <host/race.h>

#include "kern_int.h"

struct softint {
	ipl_t		 si_ipl;		/* stable */
	void		(*si_fn)(void *);	/* stable */
	void		*si_arg;		/* stable */
	uint8_t		 si_pending[MAXCPUS];	/* atomic: asked for on that CPU */
	TAILQ_ENTRY(softint) si_list;		/* softint_lock */
};

struct intr_handler intr_handlers[IRQ_COUNT];
static bool intr_signals;		/* stable: deliver at any instruction */
static struct host_lock softint_lock;
static TAILQ_HEAD(, softint) softints;	/* softint_lock; in the order in which they were made */

void
intr_establish(enum irq irq, ipl_t ipl, void (*fn)(void *), void *arg)
{
	KASSERT(irq != IRQ_SOFT);
	KASSERT(ipl > IPL_NONE);
	intr_handlers[irq] = (struct intr_handler){ ipl, fn, arg };
}

bool
intr_pending(const struct cpu_info *ci)
{
	/* seq_cst: pairs with intr_post(), see idle_wait() */
	return __atomic_load_n(&ci->ci_ipending, __ATOMIC_SEQ_CST) != 0;
}

/* => a soft interrupt of the level that was asked for on this CPU, no longer pending */
static struct softint *
take_softint(const struct cpu_info *ci, ipl_t level)
{
	struct softint *si;

	host_lock(&softint_lock);
	TAILQ_FOREACH(si, &softints, si_list)
		if (si->si_ipl == level &&
		    __atomic_exchange_n(&si->si_pending[ci->ci_index], 0, __ATOMIC_ACQUIRE))
			break;
	host_unlock(&softint_lock);
	return si;
}

void
intr_handle(struct cpu_info *ci, enum irq irq, ipl_t level)
{
	struct softint *si;

	if (irq != IRQ_SOFT) {
		intr_handlers[irq].ih_fn(intr_handlers[irq].ih_arg);
		return;
	}
	/* From the start each time: the handler may have changed the list. */
	while ((si = take_softint(ci, level)) != NULL)
		si->si_fn(si->si_arg);
}

/* => an interrupt was posted to the CPU, which does not idle: whoever holds it takes it now */
static void
ring(const struct cpu_info *ci)
{
	/* seq_cst: pending first, then the holder.  A later one polls when it comes in. */
	const struct lwp *l = __atomic_load_n(&ci->ci_curlwp, __ATOMIC_SEQ_CST);
	/* relaxed: of an LWP that does not run yet, and then polls first, there is none */
	int id = __atomic_load_n(&l->l_bell, __ATOMIC_RELAXED);

	if (l == curlwp) {
		host_gate.hg_rung = true;
		host_answer();
	} else if (id != 0) {
		host_ring(id);
	}
}

void
intr_post(struct cpu_info *ci, enum irq irq)
{
	uint32_t before;

	KASSERTMSG(irq != IRQ_SOFT, "soft interrupts are softint_schedule()'s");
	KASSERTMSG(intr_handlers[irq].ih_fn != NULL, "interrupt %d has no handler", irq);
	/* seq_cst: pending first, then the idle flag; the other half is in idle_wait() */
	race_release(&ci->ci_ipending);
	before = __atomic_fetch_or(&ci->ci_ipending, 1u << irq, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ci->ci_idle, __ATOMIC_SEQ_CST))
		host_unpark(ci->ci_idlelwp->l_thread);
	else if (intr_signals && (before & 1u << irq) == 0)
		ring(ci);
	host_point(HP_POST, (uint32_t)ci->ci_index << 4 | irq);
}

/* --- soft interrupts --- */

struct softint *
softint_establish(ipl_t ipl, void (*fn)(void *), void *arg)
{
	struct softint *si = calloc(1, sizeof(*si));

	if (si == NULL)
		panic("softint_establish: the host has no memory");
	KASSERT(ipl >= IPL_SOFTCLOCK && ipl <= IPL_SOFTSERIAL);
	si->si_ipl = ipl;
	si->si_fn = fn;
	si->si_arg = arg;
	host_lock(&softint_lock);
	TAILQ_INSERT_TAIL(&softints, si, si_list);
	host_unlock(&softint_lock);
	return si;
}

void
softint_disestablish(struct softint *si)
{
	host_lock(&softint_lock);
	TAILQ_REMOVE(&softints, si, si_list);
	host_unlock(&softint_lock);
	free(si);
}

void
softint_schedule(struct softint *si)
{
	struct cpu_info *ci = curcpu();

	__atomic_store_n(&si->si_pending[ci->ci_index], 1, __ATOMIC_RELEASE);
	__atomic_fetch_or(&ci->ci_softpending, 1u << si->si_ipl, __ATOMIC_RELEASE);
	race_release(&ci->ci_ipending);
	__atomic_fetch_or(&ci->ci_ipending, 1u << IRQ_SOFT, __ATOMIC_RELEASE);
}

/* --- cross calls --- */

static struct {
	int	 xc_owner;		/* atomic: one call at a time */
	void	(*xc_fn)(void *);	/* the caller, before it posts */
	void	*xc_arg;
	int	 xc_left;		/* atomic: CPUs that have not run it */
} xc;

static void
xc_handler(void *arg)
{
	xc.xc_fn(xc.xc_arg);
	race_release(&xc.xc_left);
	/* release: pairs with the acquire in xc_broadcast() */
	__atomic_fetch_sub(&xc.xc_left, 1, __ATOMIC_RELEASE);
}

void
xc_broadcast(void (*fn)(void *), void *arg)
{
	const struct cpu_info *ci = curcpu();
	unsigned spins = 0;
	int s;

	KASSERTMSG(ci->ci_ilevel == IPL_NONE, "xc_broadcast at IPL %d", ci->ci_ilevel);
	KASSERT(ci->ci_mtx_count == 0);
	lockevent_wait(LE_xcall);
	while (__atomic_exchange_n(&xc.xc_owner, 1, __ATOMIC_ACQUIRE) != 0) {
		intr_poll();
		host_relax(&spins);
	}
	xc.xc_fn = fn;
	xc.xc_arg = arg;
	__atomic_store_n(&xc.xc_left, ncpu - 1, __ATOMIC_RELAXED);
	for (int i = 0; i < ncpu; i++)
		if (&cpus[i] != ci)
			intr_post(&cpus[i], IRQ_XCALL);
	s = splvm();
	fn(arg);
	splx(s);
	while (__atomic_load_n(&xc.xc_left, __ATOMIC_ACQUIRE) != 0) {
		intr_poll();
		host_relax(&spins);
	}
	race_acquire(&xc.xc_left);
	__atomic_store_n(&xc.xc_owner, 0, __ATOMIC_RELEASE);
}

/* --- boot --- */

int
intr_init(bool signals)
{
	race_atomic(&xc.xc_owner, sizeof(xc.xc_owner));
	race_atomic(&xc.xc_left, sizeof(xc.xc_left));
	for (int i = 0; i < IRQ_COUNT; i++)
		intr_handlers[i] = (struct intr_handler){ IPL_NONE, NULL, NULL };
	TAILQ_INIT(&softints);
	intr_establish(IRQ_XCALL, IPL_VM, xc_handler, NULL);
	intr_signals = signals;
	return host_bell_install(signals ? intr_bell : NULL);
}

void
intr_fini(void)
{
	KASSERTMSG(TAILQ_EMPTY(&softints), "a soft interrupt is still established");
	host_bell_install(NULL);
	spl_fini();
}
