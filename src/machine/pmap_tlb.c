/*
 * TLBs, their coherence, and which CPU may have which pmap in it.
 *
 * A TLB is its CPU's alone: it is read and written by the LWP that holds the
 * CPU, and by interrupts on it.  It is not coherent with anything: an entry
 * works until this CPU takes it out (D2).  So a change of a PTE is followed by
 * a shootdown, in this order (S1):
 *
 *	initiator				a CPU that may cache the mapping
 *	---------				--------------------------------
 *	change the PTE
 *	read the pmap's CPU set   (A)		join the set              (B)
 *	invalidate own TLB			walk the page table
 *	for each CPU of the set:
 *	    set our bit in its t_from,
 *	    IRQ_IPI			------>	take t_from; invalidate;
 *	spin until rq_pending is empty	<------	clear our bit in rq_pending
 *	frames and PT pages may be reused
 *
 * (A) and (B) are read-modify-writes of the same word.  If B comes first, A
 * sees the bit.  If A comes first, B acquires what A released, the new PTE
 * with it, and the walk cannot find the old one (S2).  A CPU leaves a set
 * after it has flushed; it need not be asked then.
 *
 * While it waits, the initiator is at IPL_VM and polls: the IPI comes in at
 * IPL_SCHED, so two CPUs that shoot at each other serve each other (S4, T-23),
 * and no interrupt of the VM system can start a second request on this CPU
 * while its only one is out.  It holds no spin lock, so no target waits for it
 * with IPIs blocked.  There is no preemption, hence S9 is free of charge.
 *
 * Sets.  A CPU is in the set of its LWP's l_pmap, from the switch to that LWP
 * until the switch to one with another pmap; an idle CPU, and one that runs a
 * kernel LWP, is in none, so there is no lazy pmap to be walked after its end
 * (T-25).  While all LWPs are being stopped a CPU that idles keeps its TLB and
 * stays in the sets: then pmap_check() finds what nobody might ever have hit.  The kernel pmap is entered at the first access to a mapped kernel
 * address and left when the CPU idles: which CPUs may cache is what S3 needs
 * to know, not which run.
 *
 * Batching.  An LWP's own packet (l_tlb) collects up to LWP_TLB_VAS addresses
 * of one pmap, then everything; it belongs to the LWP because an LWP may sleep
 * and wake on another CPU between the operation and pmap_update().
 */
#include "pmap_private.h"

#include <errno.h>
#include <host/host.h>
#include <host/race.h>
#include <machine/softmmu.h>
#include <string.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/lockevent.h>
#include <sys/stop.h>

struct tlb *tlbs;

/*
 * With more simulated CPUs than the host has, an acknowledgement may be a whole
 * time slice away, and when it is given the initiator is not running to see it.
 * An initiator that has spun for so many turns says so, and each target gives
 * its host CPU away after it has answered: a round of yields instead of a round
 * of time slices.  host_relax() yields by then.
 */
#define	TIRED_TURNS	200

static void	tlb_ipi(void *);

static void
tlb_attach(void *on)
{
	struct cpu_info *ci = curcpu();

	ci->ci_md = on != NULL ? &tlbs[ci->ci_index] : NULL;
}

/*
 * => runs on every CPU, so that no switch sees a TLB come or go in its middle.
 */
int
pmap_tlb_boot(void)
{
	tlbs = host_mem_map(ncpu * sizeof(*tlbs));
	if (tlbs == NULL)
		return ENOMEM;
	race_atomic(tlbs, ncpu * sizeof(*tlbs));
	for (int i = 0; i < ncpu; i++)
		tlbs[i].t_epoch = TLB_EPOCH_ONE;
	intr_establish(IRQ_IPI, IPL_SCHED, tlb_ipi, NULL);
	xc_broadcast(tlb_attach, tlbs);
	return 0;
}

void
pmap_tlb_shutdown(void)
{
	pmap_tlb_switch(curtlb(), NULL);
	xc_broadcast(tlb_attach, NULL);
	host_mem_unmap(tlbs, ncpu * sizeof(*tlbs));
	tlbs = NULL;
}

/*
 * CPU sets.
 */

static void
cpuset_join(struct pmap *pm)
{
	unsigned cpu = curcpu()->ci_index;
	uint64_t bit = UINT64_C(1) << (cpu % 64);

	/* acq_rel: pairs with cpuset_add(): either it sees us or we see its PTE (S2). */
	__atomic_fetch_or(&pm->pm_cpus[cpu / 64], bit, __ATOMIC_ACQ_REL);
}

/* => our TLB holds nothing of it any more. */
static void
cpuset_leave(struct pmap *pm)
{
	unsigned cpu = curcpu()->ci_index;
	uint64_t bit = UINT64_C(1) << (cpu % 64);

	/* release: our last use of the pmap's frames and tables is before what they
	 * become after an initiator no longer sees us in cpuset_add(). */
	__atomic_fetch_and(&pm->pm_cpus[cpu / 64], ~bit, __ATOMIC_ACQ_REL);
}

/* => set |= CPUs that may cache translations of pm; after the PTE was changed. */
static void
cpuset_add(uint64_t *set, struct pmap *pm)
{
	for (int w = 0; w * 64 < ncpu; w++)
		set[w] |= __atomic_fetch_or(&pm->pm_cpus[w], 0, __ATOMIC_ACQ_REL);
}

/*
 * => this CPU's user accesses go through pm, NULL for none.
 */
void
pmap_tlb_switch(struct tlb *t, struct pmap *pm)
{
	struct pmap *old = RELAXED_GET(t->t_pmap);

	if (pm == &kernel_pmap)		/* a kernel LWP has no user half */
		pm = NULL;
	if (old == pm)
		return;
	host_mask();			/* a shootdown may come here, too */
	old = RELAXED_GET(t->t_pmap);
	if (old != NULL) {
		tlb_flush(t);
		cpuset_leave(old);
	}
	RELAXED_SET(t->t_pmap, pm);
	if (pm != NULL)
		cpuset_join(pm);
	host_unmask();
}

void
pmap_tlb_join_kernel(struct tlb *t)
{
	if (RELAXED_GET(t->t_kernel))		/* a handler may join, too */
		return;
	RELAXED_SET(t->t_kernel, true);
	cpuset_join(&kernel_pmap);
}

static void
tlb_leave_kernel(struct tlb *t)
{
	if (!t->t_kernel)
		return;
	tlb_flush(t);
	RELAXED_SET(t->t_kernel, false);
	cpuset_leave(&kernel_pmap);
}

/*
 * => interrupts blocked, on the CPU that switches.  Between LWPs of one pmap
 *    nothing happens.
 */
void
machine_cpu_switch(struct cpu_info *ci, struct lwp *from, struct lwp *to)
{
	struct tlb *t = ci->ci_md;

	if (t == NULL)			/* before machine_boot() */
		return;
	if (to->l_idle && RELAXED_GET(lwp_stopping))
		return;			/* the inspectors want to see what it has left; it still answers */
	pmap_tlb_switch(t, to->l_idle ? NULL : to->l_pmap);
	if (to->l_idle)
		tlb_leave_kernel(t);
}

void
pmap_activate(struct lwp *l)
{
	KASSERT(l == curlwp);
	pmap_tlb_switch(curtlb(), l->l_pmap);
}

/*
 * Requests.
 */

/* => on the target: the request has been served, and is the initiator's again on return (S1) */
static void
tlb_acknowledge(struct tlb *t, struct tlb_request *rq, unsigned me)
{
	for (int i = 0; i < rq->rq_nva && i < LWP_TLB_VAS; i++)
		KASSERTMSG(tlb_slot(t, rq->rq_va[i])->te_tag != TLB_TAG(trunc_page(rq->rq_va[i]), t->t_epoch),
		    "S1, T-26: CPU %u acknowledges that it has forgotten va 0x%llx, and has it in its TLB", me,
		    (unsigned long long)rq->rq_va[i]);
	/* release: pairs with the acquire in tlb_wait(); our walks and accesses through what went are over. */
	__atomic_fetch_and(&rq->rq_pending[me / 64], ~(UINT64_C(1) << (me % 64)), __ATOMIC_RELEASE);
}

/* => IPL_SCHED, on the target: serve everybody who asked; takes no lock. */
static void
tlb_ipi(void *arg)
{
	struct tlb *t = curtlb();
	unsigned me = curcpu()->ci_index;
	bool tired = false;
	uint64_t from;

	if (t == NULL)
		return;
	race_acquire(t);		/* walks of this CPU's, see pmap_extract() */
	inject_delay(INJECT_ipi_delay);
	for (int w = 0; w * 64 < ncpu; w++) {
		/* acquire: pairs with the release in tlb_send(); the request is filled in. */
		from = __atomic_exchange_n(&t->t_from[w], 0, __ATOMIC_ACQUIRE);
		for (; from != 0; from &= from - 1) {
			struct tlb_request *rq = &tlbs[w * 64 + __builtin_ctzll(from)].t_rq;

			tlb_invalidate_list(t, rq->rq_va, rq->rq_nva);
			kernhist_log(KE_shootdown_ack, (uint32_t)(w * 64 + __builtin_ctzll(from)),
			    (uint32_t)rq->rq_nva, rq->rq_va[0]);
			if (rq->rq_leave != NULL && rq->rq_leave == RELAXED_GET(t->t_pmap))
				pmap_tlb_switch(t, NULL);
			tired |= RELAXED_GET(rq->rq_tired);
			tlb_acknowledge(t, rq, me);
		}
	}
	if (tired)
		host_relax(&(unsigned){ TIRED_TURNS });
}

/* => ask each CPU of set; our request is filled in. */
static void
tlb_send(struct tlb *t, const uint64_t *set)
{
	unsigned me = curcpu()->ci_index, target;
	uint64_t bit = UINT64_C(1) << (me % 64);

	KASSERTMSG(curcpu()->ci_ilevel >= IPL_VM, "S4: CPU %u asks, and lets in interrupts that may ask too", me);
	/* All of it before the first target can answer. */
	for (int w = 0; w * 64 < ncpu; w++)
		__atomic_store_n(&t->t_rq.rq_pending[w], set[w], __ATOMIC_RELAXED);
	for (int w = 0; w * 64 < ncpu; w++) {
		for (uint64_t left = set[w]; left != 0; left &= left - 1) {
			target = w * 64 + __builtin_ctzll(left);
			/* release: pairs with the acquire in tlb_ipi(). */
			__atomic_fetch_or(&tlbs[target].t_from[me / 64], bit, __ATOMIC_RELEASE);
			intr_post(&cpus[target], IRQ_IPI);
			PMAP_COUNT(ipis);
		}
	}
}

/* => everybody has acknowledged; meanwhile we serve others (S4, T-23, I-SMP-9). */
static void
tlb_wait(struct tlb *t)
{
	unsigned spins = 0;

	for (int w = 0; w * 64 < ncpu; w++) {
		/* acquire: pairs with the release in tlb_ipi(). */
		while (__atomic_load_n(&t->t_rq.rq_pending[w], __ATOMIC_ACQUIRE) != 0 &&
		    !BUG(free_before_ack)) {
			intr_poll();
			if (spins == TIRED_TURNS)
				RELAXED_SET(t->t_rq.rq_tired, true);
			host_relax(&spins);
		}
	}
	RELAXED_SET(t->t_rq.rq_tired, false);
}

/*
 * => invalidate the addresses of tf on this CPU and on those of tf_cpus, and
 *    wait; leave: a pmap that they must drop as well, or NULL
 * => thread or interrupt below IPL_SCHED, no spin lock held
 */
static void
tlb_shootdown(struct tlb_flush *tf, struct pmap *leave)
{
	struct cpu_info *ci = curcpu();
	struct tlb *t = curtlb();
	uint64_t remote = 0;
	int s;

	KASSERTMSG(ci->ci_mtx_count == 0, "shootdown with a spin lock held (S4)");
	KASSERTMSG(ci->ci_ilevel < IPL_SCHED, "shootdown with IPIs blocked (I-SMP-9)");
	lockevent_wait(LE_shootdown);		/* be there other CPUs that have it or not */
	host_point(HP_TLB, (uint32_t)ci->ci_index);
	s = splvm();
	tlb_invalidate_list(t, tf->tf_va, tf->tf_nva);
	tf->tf_cpus[ci->ci_index / 64] &= ~(UINT64_C(1) << (ci->ci_index % 64));
	for (int w = 0; w * 64 < ncpu; w++)
		remote |= tf->tf_cpus[w];
	if (remote != 0) {
		t->t_rq.rq_leave = leave;
		t->t_rq.rq_nva = tf->tf_nva;
		memcpy(t->t_rq.rq_va, tf->tf_va, sizeof(tf->tf_va));
		PMAP_COUNT(shootdowns);
		kernhist_log(KE_shootdown_send, (uint32_t)ci->ci_index, (uint32_t)tf->tf_nva, tf->tf_cpus[0]);
		tlb_send(t, tf->tf_cpus);
		tlb_wait(t);
		kernhist_log(KE_shootdown_done, (uint32_t)ci->ci_index, 0, 0);
	} else
		PMAP_COUNT(local_flushes);
	tf->tf_told = true;
	splx(s);
}

/* => pv entries and tables that the request was about: frames and PT pages may be reused from here on (S1) */
static void
give_back(const struct tlb_flush *tf, struct pv_entry *gone)
{
	KASSERTMSG(tf->tf_told || (gone == NULL && tf->tf_ptps == NULL),
	    "S1, I-PMAP-6: what a CPU may still have in its TLB, or be walking, is given back before it has answered");
	pmap_pv_settle(gone);
	pmap_ptp_free(tf->tf_ptps);
}

static void
flush_add(int *nva, vaddr_t *vas, vaddr_t va)
{
	if (*nva < LWP_TLB_VAS)
		vas[*nva] = va;
	if (*nva <= LWP_TLB_VAS)
		(*nva)++;
}

void
pmap_tlb_collect(struct tlb_flush *tf, struct pmap *pm, vaddr_t va)
{
	flush_add(&tf->tf_nva, tf->tf_va, va);
	cpuset_add(tf->tf_cpus, pm);
}

void
pmap_tlb_collect_leaving(struct tlb_flush *tf, struct vm_page_md *md)
{
	KASSERT(mutex_owned(&md->md_pvlock));
	/* acquire: pairs with the release in pmap_pv_settle() */
	if (__atomic_load_n(&md->md_leaving, __ATOMIC_ACQUIRE) == 0)
		return;
	/* Which addresses in which pmaps is not known any more: everything, everywhere. */
	tf->tf_nva = LWP_TLB_VAS + 1;
	tf->tf_va[0] = 0;		/* who answers tells it */
	for (int cpu = 0; cpu < ncpu; cpu++)
		tf->tf_cpus[cpu / 64] |= UINT64_C(1) << (cpu % 64);
	PMAP_COUNT(leaving_flushes);
}

void
pmap_tlb_complete(struct tlb_flush *tf)
{
	if (tf->tf_nva == 0)
		return;
	tlb_shootdown(tf, NULL);
	give_back(tf, NULL);
}

void
pmap_tlb_expel(struct pmap *pm)
{
	struct tlb_flush tf = { .tf_nva = 0 };
	struct tlb *t = curtlb();

	if (RELAXED_GET(t->t_pmap) == pm)
		pmap_tlb_switch(t, NULL);
	cpuset_add(tf.tf_cpus, pm);
	tlb_shootdown(&tf, pm);
	for (int w = 0; w * 64 < ncpu; w++)
		KASSERTMSG(__atomic_load_n(&pm->pm_cpus[w], __ATOMIC_ACQUIRE) == 0,
		    "a pmap without references is active on some CPU (I-PMAP-13)");
}

/*
 * The deferred protocol.
 */

#define	GONE_MAX	512	/* pv entries that a packet holds back */

/*
 * => an LWP has one packet, for one pmap: another's goes out first, and a full one
 */
void
pmap_tlb_begin(struct pmap *pm)
{
	struct lwp_tlb *lt = &curlwp->l_tlb;

	/* relaxed: an interrupt may send our packet, and pmap_update() looks again */
	struct pmap *other = RELAXED_GET(lt->lt_pmap);

	if (other != NULL && (other != pm || RELAXED_GET(lt->lt_ngone) >= GONE_MAX))
		pmap_update(other);
}

void
pmap_tlb_note(struct pmap *pm, vaddr_t va)
{
	struct lwp_tlb *lt = &curlwp->l_tlb;

	KASSERT(mutex_owned(&pm->pm_lock));
	KASSERT(lt->lt_pmap == NULL || lt->lt_pmap == pm);
	/* relaxed: the change of the PTE that follows publishes it (md_write_protect()) */
	if (lt->lt_pmap == NULL) {
		KASSERTMSG(lt->lt_nva == 0 && lt->lt_ngone == 0 && lt->lt_gone == NULL,
		    "a new packet has %d addresses and %d pv entries of the last", lt->lt_nva, lt->lt_ngone);
		__atomic_fetch_add(&pm->pm_unsettled, 1, __ATOMIC_RELAXED);
	}
	RELAXED_SET(lt->lt_pmap, pm);
	flush_add(&lt->lt_nva, lt->lt_va, va);
}

bool
pmap_deferred(const struct pmap *pm)
{
	/* relaxed: our own packet */
	return RELAXED_GET(curlwp->l_tlb.lt_pmap) == pm;
}

/* => PT pages that operations on pm unlinked so far. */
static struct vm_page_md *
pmap_take_limbo(struct pmap *pm)
{
	struct vm_page_md *limbo;

	/* relaxed: ours are in it; those of others may wait for the others. */
	if (RELAXED_GET(pm->pm_limbo) == NULL)
		return NULL;
	mutex_enter(&pm->pm_lock);
	limbo = pm->pm_limbo;
	RELAXED_SET(pm->pm_limbo, NULL);
	mutex_exit(&pm->pm_lock);
	return limbo;
}

/*
 * => the LWP's packet for pm is sent and acknowledged; no spin lock held
 * => the limbo list is taken before the CPU set is read: a walker that could be
 *    in one of those pages is on a CPU that will be asked (S1)
 */
void
pmap_update(struct pmap *pm)
{
	struct lwp_tlb *lt = &curlwp->l_tlb;
	struct pv_entry *gone;
	struct tlb_flush tf;
	unsigned unsettled;
	int s;

	/* relaxed: an interrupt uses this same packet, and may have sent it when we are at IPL_VM */
	if (RELAXED_GET(lt->lt_pmap) != pm)
		return;
	s = splvm();
	if (lt->lt_pmap != pm) {
		splx(s);
		return;
	}
	tf.tf_told = false;
	tf.tf_nva = lt->lt_nva;
	memcpy(tf.tf_va, lt->lt_va, sizeof(tf.tf_va));
	memset(tf.tf_cpus, 0, sizeof(tf.tf_cpus));
	gone = lt->lt_gone;
	lt->lt_gone = NULL;
	RELAXED_SET(lt->lt_ngone, 0);
	RELAXED_SET(lt->lt_pmap, NULL);
	lt->lt_nva = 0;
	tf.tf_ptps = pmap_take_limbo(pm);
	cpuset_add(tf.tf_cpus, pm);
	tlb_shootdown(&tf, NULL);
	/* release: who finds it 0 finds no TLB with what our packet was about */
	unsettled = __atomic_fetch_sub(&pm->pm_unsettled, 1, __ATOMIC_RELEASE);
	KASSERTMSG(unsettled > 0, "T-53: pmap %u: a packet is sent that nobody counted", pm->pm_id);
	splx(s);
	give_back(&tf, gone);
}

void
pmap_getstat(struct pmap_stat *out)
{
	memset(out, 0, sizeof(*out));
	if (tlbs == NULL)
		return;
	for (int i = 0; i < ncpu; i++) {
		const struct pmap_stat *ps = &tlbs[i].t_stat;

		/* relaxed: pairs with PMAP_COUNT() and the MMU's counting of hits. */
		out->shootdowns += RELAXED_GET(ps->shootdowns);
		out->ipis += RELAXED_GET(ps->ipis);
		out->local_flushes += RELAXED_GET(ps->local_flushes);
		out->tlb_hits_checked += RELAXED_GET(tlbs[i].t_hits);
		out->rm_faults += RELAXED_GET(ps->rm_faults);
		out->ptp_alloc += RELAXED_GET(ps->ptp_alloc);
		out->enter += RELAXED_GET(ps->enter);
		out->enter_failed += RELAXED_GET(ps->enter_failed);
		out->replaced += RELAXED_GET(ps->replaced);
		out->pv_backoff += RELAXED_GET(ps->pv_backoff);
		out->leaving_flushes += RELAXED_GET(ps->leaving_flushes);
		out->ptp_steals += RELAXED_GET(ps->ptp_steals);
		out->pv_steals += RELAXED_GET(ps->pv_steals);
		out->wired_replaced += RELAXED_GET(ps->wired_replaced);
		out->plain_enter_dips += RELAXED_GET(ps->plain_enter_dips);
	}
}
