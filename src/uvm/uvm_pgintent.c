/*
 * Pages that a fault has made, on their way to the active queue (NetBSD 10 has the idea, and
 * calls it an intent).
 *
 * A fresh page of anonymous memory is active at once.  To put each of them there is to take
 * uvm_pageqlock in each fault, whose line, with the end of the queue, all CPUs then pass around.
 * So a CPU notes them down, and takes the lock once for PGINTENT_MAX of them.
 *
 *	uvmfault_promote()  --> noted by a CPU --> page_active
 *	                              |  when the CPU has so many; by whoever wants the truth
 *	                              +--> on no list: wired, deactivated, freed
 *
 * A page that is noted counts as active: to activate it is nothing, and who would take it off its
 * queue (uvm_pagedequeue()) takes it off the list.  It has an owner, is not wired (R7) and not on
 * loan.  The page daemon has all of them put on the queue before it judges memory, and again
 * before it looks at the active queue: it finds every page that it could have found (I-PG-1, I-PD-6).
 * So do inspectors and uvmexp.
 *
 * A list has a lock of its own, which nobody but its CPU wants for long, so that everybody can empty it.
 *
 *	on		with the owner locked: it is the page's first list
 *	off		with pageq held; hence who has both knows where a page is
 */
#include <sys/kernel.h>
#include <uvm/uvm.h>

#define	PGINTENT_MAX	64u

void
uvm_pgintent_init(void)
{
	for (int i = 0; i < ncpu; i++) {
		mutex_init(&uvm_cpu(i)->uc_intentlock, MUTEX_DEFAULT, IPL_NONE, LC_pgintent);
		TAILQ_INIT(&uvm_cpu(i)->uc_intents);
	}
	uvm.intent_max = PGINTENT_MAX;
}

void
uvm_pgintent_fini(void)
{
	for (int i = 0; i < ncpu; i++)
		mutex_destroy(&uvm_cpu(i)->uc_intentlock);
}

/* => its lock held */
static void
count(struct uvm_cpu *uc, uint32_t n)
{
	KASSERT(mutex_owned(&uc->uc_intentlock));
	/* relaxed: pairs with uvm_pgintent_count() */
	__atomic_store_n(&uc->uc_nintents, n, __ATOMIC_RELAXED);
}

static uint32_t
counted(const struct uvm_cpu *uc)
{
	return __atomic_load_n(&uc->uc_nintents, __ATOMIC_RELAXED);
}

uint64_t
uvm_pgintent_count(void)
{
	uint64_t n = 0;

	for (int i = 0; i < ncpu; i++)
		n += counted(uvm_cpu(i));
	return n;
}

/* => the list's lock and pageq held */
static void
take_off(struct uvm_cpu *uc, struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	TAILQ_REMOVE(&uc->uc_intents, pg, pageq);
	__atomic_store_n(&pg->intent, 0, __ATOMIC_RELAXED);	/* pairs with uvm_page_active() */
	count(uc, uc->uc_nintents - 1);
}

/* => pageq held */
static void
realise(struct uvm_cpu *uc)
{
	struct vm_page *pg;

	mutex_enter(&uc->uc_intentlock);
	while ((pg = TAILQ_FIRST(&uc->uc_intents)) != NULL) {
		KASSERTMSG(pg->wire_count == 0, "R7: a wired page is to become active");
		take_off(uc, pg);
		uvm_pageactivate(pg);
	}
	KASSERTMSG(uc->uc_nintents == 0, "I-PG-3: nothing is noted down any more, and %u pages are said to be",
	    uc->uc_nintents);
	mutex_exit(&uc->uc_intentlock);
}

void
uvm_pgintent_realise(void)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	for (int i = 0; i < ncpu; i++)
		if (counted(uvm_cpu(i)) != 0)
			realise(uvm_cpu(i));
}

void
uvm_pgintent_flush(void)
{
	uvm_lock_pageq();
	uvm_pgintent_realise();
	uvm_unlock_pageq();
}

void
uvm_pgintent_cancel(struct vm_page *pg)
{
	struct uvm_cpu *uc = uvm_cpu(pg->intent - 1);

	mutex_enter(&uc->uc_intentlock);
	take_off(uc, pg);
	mutex_exit(&uc->uc_intentlock);
}

void
uvm_pageactivate_fresh(struct vm_page *pg)
{
	const struct cpu_info *ci = curcpu();	/* its lock is what counts: we may be elsewhere soon */
	struct uvm_cpu *uc = ci->ci_uvm;
	bool full;

	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	KASSERT((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0 && pg->intent == 0);
	KASSERT(pg->wire_count == 0 && pg->loan_count == 0);
	if (uvm.intent_max == 0) {
		uvm_lock_pageq();
		uvm_pageactivate(pg);
		uvm_unlock_pageq();
		return;
	}
	mutex_enter(&uc->uc_intentlock);
	pg->intent = (uint16_t)(ci->ci_index + 1);
	TAILQ_INSERT_TAIL(&uc->uc_intents, pg, pageq);
	count(uc, uc->uc_nintents + 1);
	full = uc->uc_nintents >= uvm.intent_max;
	mutex_exit(&uc->uc_intentlock);
	if (full) {
		uvm_lock_pageq();
		realise(uc);
		uvm_unlock_pageq();
	}
}
