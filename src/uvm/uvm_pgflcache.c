/*
 * Free pages that each CPU keeps for itself (NetBSD 10 has the idea, and the name).
 *
 * Without them each page comes from and goes to the one list under uvm_fpageqlock,
 * whose line all CPUs then pass around.  With them a CPU goes there once for a batch
 * of pages.  And it gets its own pages back: their structures, and their content, which is
 * zeroed next, are in its caches, and in no other CPU's.
 *
 *	global list  --fill, a batch-->     a CPU's  -->  uvm_pagealloc()
 *	             <--spill, its oldest--          <--  uvm_pagefree()
 *	             <--drain, all of all CPUs', by the page daemon--
 *
 * Caches are for times of plenty.  They take nothing, from the global list or from
 * uvm_pagefree(), unless uvm.free is at the daemon's target or above, and stays
 * there.  So when memory is short everything is as if they were not there: every
 * page is counted, every alloc may kick, every free may wake; but for what lies in
 * the caches from better times.  That the daemon fetches when it begins a round for
 * somebody; one follows upon each announcement of a waiter (I-PD-5).  What is
 * left in them while nobody is short is taken for granted by none: uvm.free counts the
 * global list alone, as do the reserves and targets, so a page in a cache may
 * always be given out.
 *
 * A cache is its CPU's: touched at IPL_VM by the LWP that holds the CPU, which
 * keeps out interrupts that free and the cross call that drains.  Last in, first
 * out, as on the global list.  An offline CPU is drained like the others, for it takes
 * its interrupts.
 *
 * All caches together never have more than an eighth of RAM; a machine that has too
 * little for its CPUs has none.  And CPUs that take turns on the host's cores have few pages
 * each: what one has for itself is out of the core's caches when its turn comes.  So the
 * global list is one for each core then (uvm_page_list()), whose head was freed there just now.
 */
#include <sys/intr.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>

#define	PGFL_ALL	640u		/* pages of all CPUs: two have about what a core's caches hold, and a batch */
#define	PGFL_LEAST	16u		/* of one of many, or of some that take turns on a core: so much, that fpageq is seldom taken */
#define	PGFL_BATCH	64u		/* that come or go at once, with interrupts kept out */
#define	PGFL_MIN	4u		/* fewer are not worth it */
#define	PGFL_SHARE	8		/* of RAM, for all CPUs together */

void
uvm_pgflcache_init(void)
{
	const uint32_t of_ram = (uint32_t)(uvm.npages / PGFL_SHARE / (uint64_t)ncpu);
	uint32_t n = cpu_cores != 0 ? PGFL_LEAST : PGFL_ALL / (ncpu > 2 ? (uint32_t)ncpu : 2);

	for (int i = 0; i < ncpu; i++)
		TAILQ_INIT(&uvm_cpu(i)->uc_pgfl);
	if (n < PGFL_LEAST)
		n = PGFL_LEAST;
	if (n > of_ram)
		n = of_ram;
	uvm.pgfl_max = n < PGFL_MIN ? 0 : n;
	uvm.pgfl_batch = uvm.pgfl_max / 2 < PGFL_BATCH ? uvm.pgfl_max / 2 : PGFL_BATCH;
}

/* => at IPL_VM; the cache is the caller's until the level is lowered */
static struct uvm_cpu *
own(void)
{
	const struct cpu_info *ci = curcpu();

	KASSERTMSG(ci->ci_ilevel >= IPL_VM, "a CPU's free pages are touched at IPL %d", ci->ci_ilevel);
	return ci->ci_uvm;
}

static void
count(struct uvm_cpu *uc, uint32_t n)
{
	/* relaxed: pairs with uvm_pgflcache_count() */
	__atomic_store_n(&uc->uc_npgfl, n, __ATOMIC_RELAXED);
}

/* => is there so much memory that some may lie about? Exact with fpageq held, else a guess */
static bool
plenty(uint64_t besides)
{
	/* relaxed: pairs with the stores under fpageq */
	return __atomic_load_n(&uvm.free, __ATOMIC_RELAXED) >= uvm.freetarg + besides;
}

uint64_t
uvm_pgflcache_count(void)
{
	uint64_t n = 0;

	for (int i = 0; i < ncpu; i++)
		n += __atomic_load_n(&uvm_cpu(i)->uc_npgfl, __ATOMIC_RELAXED);
	return n;
}

struct vm_page *
uvm_pgflcache_alloc(void)
{
	const int s = splvm();
	struct uvm_cpu *uc = own();
	struct vm_page *pg = TAILQ_FIRST(&uc->uc_pgfl);

	if (pg != NULL) {
		KASSERT(pg->pqflags == PQ_FREE && !pg->on_free);
		TAILQ_REMOVE(&uc->uc_pgfl, pg, pageq);
		count(uc, uc->uc_npgfl - 1);
	}
	splx(s);
	return pg;
}

void
uvm_pgflcache_fill(void)
{
	struct uvm_cpu *uc = own();
	struct vm_page *pg;
	const uint32_t n = uvm.pgfl_batch;

	KASSERT(mutex_owned(&uvm_fpageqlock));
	if (uvm.pgfl_max == 0 || uc->uc_npgfl > 0 || !plenty(n))
		return;
	/* the next on the list is to be the next out */
	for (uint32_t i = 0; i < n; i++) {
		pg = uvm_page_nextfree();
		uvm_page_unlist(pg);
		__builtin_prefetch(pg, 1);	/* its first line; the fault that is given it comes for that at once */
		TAILQ_INSERT_TAIL(&uc->uc_pgfl, pg, pageq);
	}
	KASSERTMSG(uvm.free >= uvm.freetarg, "I-PD-5: a CPU has taken %u pages in stock, and %llu are left for all, "
	    "below the target of %llu", n, (unsigned long long)uvm.free, (unsigned long long)uvm.freetarg);
	count(uc, n);
}

/* => fpageq held; the oldest pages go back to the global list */
static void
spill(struct uvm_cpu *uc, uint32_t n)
{
	struct vm_page *pg;

	for (uint32_t i = 0; i < n; i++) {
		pg = TAILQ_LAST(&uc->uc_pgfl, pglist);
		TAILQ_REMOVE(&uc->uc_pgfl, pg, pageq);
		uvm_page_list(pg);
	}
	count(uc, uc->uc_npgfl - n);
	uvm_page_wakewaiters();
}

bool
uvm_pgflcache_free(struct vm_page *pg)
{
	struct uvm_cpu *uc;
	int s;

	if (uvm.pgfl_max == 0)
		return false;
	s = splvm();
	/* asked with the drain kept out: who is drained and then finds plenty finds it of today */
	if (!plenty(0)) {
		splx(s);
		return false;
	}
	uc = own();
	if (uc->uc_npgfl == uvm.pgfl_max) {
		mutex_spin_enter(&uvm_fpageqlock);
		spill(uc, uvm.pgfl_batch);
		mutex_spin_exit(&uvm_fpageqlock);
	}
	pg->pqflags = PQ_FREE;
	TAILQ_INSERT_HEAD(&uc->uc_pgfl, pg, pageq);
	count(uc, uc->uc_npgfl + 1);
	splx(s);
	return true;
}

/* => the cross call */
static void
drain(void *arg)
{
	struct uvm_cpu *uc = own();

	if (uc->uc_npgfl == 0)
		return;
	mutex_spin_enter(&uvm_fpageqlock);
	spill(uc, uc->uc_npgfl);
	mutex_spin_exit(&uvm_fpageqlock);
}

void
uvm_pgflcache_drain(void)
{
	/* Who puts one in meanwhile has seen plenty since, and then the waiters have been woken.  Or he had seen
	 * it before, and counts his page only after we have looked: that one, of each CPU at most, is
	 * fetched in the next round. */
	if (uvm_pgflcache_count() > 0)
		xc_broadcast(drain, NULL);
}
