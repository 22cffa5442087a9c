/*
 * Interrupt levels and delivery.
 *
 * Posting an interrupt sets a bit in the CPU's pending word.  Delivery happens on
 * the LWP that holds the CPU, in intr_poll(): highest level first, at the
 * handler's level, so that only a higher one can come in between.
 *
 * intr_poll() is called at the points that <sys/intr.h> lists, and with kc_signals by the
 * doorbell, at any instruction.  Either way the choice and the CPU's own bookkeeping are
 * masked and the handler's body is not, which each delivery asserts.
 */
#include <stdlib.h>

#include "kern_int.h"

struct handler {
	ipl_t	 ih_ipl;
	void	(*ih_fn)(void *);
	void	*ih_arg;
};

struct softint {
	ipl_t		 si_ipl;		/* stable */
	void		(*si_fn)(void *);	/* stable */
	void		*si_arg;		/* stable */
	uint8_t		 si_pending[MAXCPUS];	/* atomic: asked for on that CPU */
	TAILQ_ENTRY(softint) si_list;		/* softint_lock */
};

/* stable after boot, but for IRQ_SOFT, whose level goes by what is pending */
static struct handler handlers[IRQ_COUNT];
static bool intr_signals;		/* stable: deliver at any instruction */
static struct host_lock softint_lock;
static TAILQ_HEAD(, softint) softints;	/* softint_lock; in the order in which they were made */

void
intr_establish(enum irq irq, ipl_t ipl, void (*fn)(void *), void *arg)
{
	KASSERT(irq != IRQ_SOFT);
	KASSERT(ipl > IPL_NONE);
	handlers[irq] = (struct handler){ ipl, fn, arg };
}

/* => level of the highest soft interrupt pending, or IPL_NONE */
static ipl_t
soft_level(const struct cpu_info *ci)
{
	uint32_t pending = __atomic_load_n(&ci->ci_softpending, __ATOMIC_RELAXED);

	return pending == 0 ? IPL_NONE : (ipl_t)(31 - __builtin_clz(pending));
}

static ipl_t
irq_level(const struct cpu_info *ci, int irq)
{
	return irq == IRQ_SOFT ? soft_level(ci) : handlers[irq].ih_ipl;
}

/* => the pending line of the highest level above ilevel, or -1 */
static int
next_irq(const struct cpu_info *ci, uint32_t pending)
{
	int best = -1, level = ci->ci_ilevel;

	for (int irq = 0; irq < IRQ_COUNT; irq++)
		if ((pending & 1u << irq) != 0 && (int)irq_level(ci, irq) > level) {
			level = irq_level(ci, irq);
			best = irq;
		}
	return best;
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

static void
run_softints(struct cpu_info *ci, ipl_t level)
{
	struct softint *si;

	/* From the start each time: the handler may have changed the list. */
	while ((si = take_softint(ci, level)) != NULL)
		si->si_fn(si->si_arg);
}

/*
 * => masked: the line was the highest pending and is not any more
 * => unmasked for the handler: a higher interrupt may come in at any of its instructions
 */
static void
deliver(struct cpu_info *ci, int irq)
{
	const int saved = ci->ci_ilevel;
	const int spin_count = ci->ci_mtx_count, spin_oldspl = ci->ci_mtx_oldspl;
	const int outer = ci->ci_intripl;
	const ipl_t level = irq_level(ci, irq);

	KASSERTMSG((int)level > saved, "interrupt %d delivered at IPL %d", irq, saved);
	ci->ci_ilevel = level;
	ci->ci_idepth++;
	ci->ci_intripl = level;
	/* The handler's spin mutexes are its own: the last of them gives back the handler's level. */
	ci->ci_mtx_count = 0;
	/* relaxed: reports read them */
	__atomic_store_n(&ci->ci_nintr, ci->ci_nintr + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&ci->ci_nirq[irq], ci->ci_nirq[irq] + 1, __ATOMIC_RELAXED);
	if (irq == IRQ_IPI || irq == IRQ_XCALL)
		__atomic_store_n(&ci->ci_nipi, ci->ci_nipi + 1, __ATOMIC_RELAXED);
	if (irq == IRQ_SOFT) {
		__atomic_fetch_and(&ci->ci_softpending, ~(1u << level), __ATOMIC_ACQUIRE);
		if (soft_level(ci) != IPL_NONE)
			__atomic_fetch_or(&ci->ci_ipending, 1u << IRQ_SOFT, __ATOMIC_RELEASE);
	}
	host_unmask();
	KASSERTMSG(!host_masked(), "interrupt %d in a section that is masked", irq);
	if (irq == IRQ_SOFT)
		run_softints(ci, level);
	else
		handlers[irq].ih_fn(handlers[irq].ih_arg);
	host_mask();
	KASSERTMSG(ci->ci_ilevel == (int)level, "interrupt %d came back at IPL %d", irq, ci->ci_ilevel);
	KASSERTMSG(ci->ci_mtx_count == 0, "interrupt %d came back with a spin mutex", irq);
	ci->ci_mtx_count = spin_count;
	ci->ci_mtx_oldspl = spin_oldspl;
	ci->ci_idepth--;
	ci->ci_intripl = outer;
	ci->ci_ilevel = saved;
}

void
intr_deliver(struct cpu_info *ci)
{
	uint32_t pending;
	int irq;

	host_mask();
	/* acquire: as in intr_poll() */
	while ((pending = __atomic_load_n(&ci->ci_ipending, __ATOMIC_ACQUIRE)) != 0 &&
	    (irq = next_irq(ci, pending)) >= 0) {
		__atomic_fetch_and(&ci->ci_ipending, ~(1u << irq), __ATOMIC_ACQ_REL);
		deliver(ci, irq);
	}
	host_unmask();
}

/* The doorbell's answer, at any instruction of the LWP that holds the CPU; or of a thread that
 * held it when the poster looked, and holds another, or none (then it is masked), by now. */
static void
bell(void)
{
	struct cpu_info *ci;

	if (curlwp == NULL)
		return;
	ci = curcpu();
	if (next_irq(ci, __atomic_load_n(&ci->ci_ipending, __ATOMIC_ACQUIRE)) < 0)
		return;			/* the IPL masks it: splx() will see it */
	/* relaxed: reports read it */
	__atomic_store_n(&ci->ci_nrung, ci->ci_nrung + 1, __ATOMIC_RELAXED);
	intr_deliver(ci);
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
	KASSERTMSG(handlers[irq].ih_fn != NULL, "interrupt %d has no handler", irq);
	/* seq_cst: pending first, then the idle flag; the other half is in idle_wait() */
	before = __atomic_fetch_or(&ci->ci_ipending, 1u << irq, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ci->ci_idle, __ATOMIC_SEQ_CST))
		host_unpark(ci->ci_idlelwp->l_thread);
	else if (intr_signals && (before & 1u << irq) == 0)
		ring(ci);
}

int
splraise(ipl_t ipl)
{
	struct cpu_info *ci = curcpu();
	int old = ci->ci_ilevel;

	if ((int)ipl > old)
		ci->ci_ilevel = ipl;
	return old;
}

void
splx(int old)
{
	struct cpu_info *ci = curcpu();

	KASSERTMSG(old <= ci->ci_ilevel, "splx(%d) at IPL %d", old, ci->ci_ilevel);
	if (LOCKDEBUG_ON() && ci->ci_mtx_count != 0)
		lockdebug_spl(old);
	clock_step(ci, false);
	ci->ci_ilevel = old;
	intr_poll();
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
	__atomic_store_n(&xc.xc_owner, 0, __ATOMIC_RELEASE);
}

/* --- boot --- */

int
intr_init(bool signals)
{
	for (int i = 0; i < IRQ_COUNT; i++)
		handlers[i] = (struct handler){ IPL_NONE, NULL, NULL };
	TAILQ_INIT(&softints);
	intr_establish(IRQ_XCALL, IPL_VM, xc_handler, NULL);
	intr_signals = signals;
	return host_bell_install(signals ? bell : NULL);
}

void
intr_fini(void)
{
	KASSERTMSG(TAILQ_EMPTY(&softints), "a soft interrupt is still established");
	host_bell_install(NULL);
}
