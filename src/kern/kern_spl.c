/*
 * Interrupt levels and delivery.
 *
 * Delivery happens on the LWP that holds the CPU, in intr_poll(): highest level first, at
 * the handler's level, so that only a higher one can come in between.
 *
 * intr_poll() is called at the points that <sys/intr.h> lists, and with kc_signals by the
 * doorbell, at any instruction.  Either way the choice and the CPU's own bookkeeping are
 * masked and the handler's body is not, which each delivery asserts.
 *
 * Race detection.  A handler runs on the stack of whom it interrupts, so a detector would
 * take the two for one thread, and whatever they share for safe.  So each level of each CPU is a
 * context of its own (host/race.h), and this is all the order that there is between a level's
 * handlers and what they interrupt:
 *	splx() releases		what was done at a level is seen by the handlers that it kept out
 *	splraise() acquires	what those handlers did is seen by whoever keeps them out now
 * Who touches a handler's data at too low a level, or at none, is in neither, and is reported,
 * even though with polled delivery nothing would ever happen to him.  This file is bare, for a
 * function that changes its context cannot be instrumented.
 *
 * A tag is a byte of struct level.  lv_done: of the level's handlers; acquired by the first
 * who shuts the level after they ran (levels_ran), from whom whoever has the CPU later learns it.
 * lv_kept: of who was at the level; a handler acquires those of its own level and of all higher.
 */
#include <stdio.h>

#include "kern_int.h"

#include <host/race.h>
#include <sys/kernhist.h>

#define	NLEVELS		(IPL_HIGH + 1)

struct level {
	struct race_context *lv_context; /* ! the handlers'; made when the first one runs */
	char	 lv_done;		/* tag */
	char	 lv_kept;		/* tag */
};

static struct {
	struct level	levels[NLEVELS];
	uint32_t	levels_ran;	/* ! bit per level: handlers ran and nobody has acquired it */
} __attribute__((aligned(64))) cpu_levels[MAXCPUS];

/* => bits of the levels above old, up to new */
static uint32_t
between(int old, int new)
{
	return (2u << new) - (2u << old);
}

/* => the CPU's level is new: what handlers of the levels shut did is to be seen */
static inline void
levels_shut(const struct cpu_info *ci, int old, int new)
{
	uint32_t *ran = &cpu_levels[ci->ci_index].levels_ran, seen;

	if (!UVMSTRESS_TSAN || (*ran & between(old, new)) == 0)
		return;
	seen = *ran & between(old, new);
	*ran -= seen;
	for (; seen != 0; seen &= seen - 1)
		race_acquire(&cpu_levels[ci->ci_index].levels[__builtin_ctz(seen)].lv_done);
}

/* => the CPU's level is to become old: what was done at its level is to be seen by handlers */
static inline void
levels_open(const struct cpu_info *ci, int old, int level)
{
	if (UVMSTRESS_TSAN && level > old)
		race_release(&cpu_levels[ci->ci_index].levels[level].lv_kept);
}

struct delivery {
	struct cpu_info	*de_ci;
	enum irq	 de_irq;
	ipl_t		 de_level;
};

/* => in the level's context */
static void
handle(void *arg)
{
	const struct delivery *de = arg;
	struct level *levels = cpu_levels[de->de_ci->ci_index].levels;

	race_acquire(&de->de_ci->ci_ipending);	/* pairs with intr_post() */
	for (int i = de->de_level; i < NLEVELS; i++)
		race_acquire(&levels[i].lv_kept);
	intr_handle(de->de_ci, de->de_irq, de->de_level);
	race_release(&levels[de->de_level].lv_done);
}

static void
handle_in_context(struct cpu_info *ci, enum irq irq, ipl_t level)
{
	struct delivery de = { ci, irq, level };
	struct level *lv = &cpu_levels[ci->ci_index].levels[level];
	char name[24];

	if (lv->lv_context == NULL) {
		snprintf(name, sizeof(name), "interrupt %d/%d", ci->ci_index, level);
		lv->lv_context = race_context_create(name);
	}
	race_context_run(lv->lv_context, handle, &de);
	cpu_levels[ci->ci_index].levels_ran |= 1u << level;
}

/* --- delivery --- */

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
	return irq == IRQ_SOFT ? soft_level(ci) : intr_handlers[irq].ih_ipl;
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

/*
 * => masked: the line was the highest pending and is not any more
 * => unmasked for the handler: a higher interrupt may come in at any of its instructions
 */
static void
deliver(struct cpu_info *ci, enum irq irq)
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
	kernhist_log(KE_interrupt, (uint32_t)ci->ci_index, irq, (uint64_t)level);
	host_event(HP_INTR, (uint32_t)ci->ci_index << 4 | irq);
	host_unmask();
	KASSERTMSG(!host_masked(), "interrupt %d in a section that is masked", irq);
	if (UVMSTRESS_TSAN)
		handle_in_context(ci, irq, level);
	else {
		race_acquire(&ci->ci_ipending);	/* as in handle() */
		intr_handle(ci, irq, level);
	}
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
		deliver(ci, (enum irq)irq);
	}
	host_unmask();
}

/* The doorbell's answer, at any instruction of the LWP that holds the CPU; or of a thread that
 * held it when the poster looked, and holds another, or none (then it is masked), by now. */
void
intr_bell(void)
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

#if UVMSTRESS_TSAN
void
intr_poll(void)
{
	struct cpu_info *ci = curcpu();

	if (__builtin_expect(__atomic_load_n(&ci->ci_ipending, __ATOMIC_ACQUIRE) != 0, 0))
		intr_deliver(ci);
}
#endif

/* --- levels --- */

int
splraise(ipl_t ipl)
{
	struct cpu_info *ci = curcpu();
	int old = ci->ci_ilevel;

	if ((int)ipl > old) {
		ci->ci_ilevel = ipl;
		levels_shut(ci, old, ipl);
	}
	return old;
}

void
spl_lower(int old)
{
	struct cpu_info *ci = curcpu();

	KASSERTMSG(old <= ci->ci_ilevel, "splx(%d) at IPL %d", old, ci->ci_ilevel);
	levels_open(ci, old, ci->ci_ilevel);
	ci->ci_ilevel = old;
}

void
splx(int old)
{
	if (LOCKDEBUG_ON() && curcpu()->ci_mtx_count != 0)
		lockdebug_spl(old);
	clock_step(curcpu(), false);
	spl_lower(old);
	intr_poll();
}

/* => the level is restored already */
void
spl_restore_rest(struct cpu_info *ci, enum spl_rest rest)
{
	if (rest == SPL_TICK)
		clock_tick(ci, false);
	intr_poll();
}

void
spl_sync(const struct cpu_info *ci)
{
	levels_shut(ci, IPL_NONE, IPL_HIGH);
	levels_open(ci, IPL_NONE, IPL_HIGH);
}

void
spl_fini(void)
{
	for (int i = 0; UVMSTRESS_TSAN && i < MAXCPUS; i++) {
		for (int level = 0; level < NLEVELS; level++) {
			race_context_destroy(cpu_levels[i].levels[level].lv_context);
			cpu_levels[i].levels[level].lv_context = NULL;
		}
		cpu_levels[i].levels_ran = 0;
	}
}
