/*
 * The page layer: who owns each frame, which queue it waits on, and the two
 * reserves that keep the machine alive when memory is short.
 *
 * Free pages.  One list under uvm_fpageqlock, a spin mutex at IPL_VM and a
 * leaf, because a pmap takes page table pages with its own lock held and an
 * interrupt may free; in times of plenty each CPU has some of its own besides
 * (uvm_pgflcache.c).  The list is last in, first out: a frame freed just now
 * is warm, and the order does not depend on addresses.  It is warm on the core of the
 * host where it was freed: where more CPUs than that has cores take turns on them, the
 * list is several, a bucket for each core.  Who frees puts the page into the bucket of the core
 * that it is on, who allocates looks there first, and into the others before there is none.
 *
 *	free		 who may still take a page
 *	> reserve_kernel	everybody
 *	> reserve_pagedaemon	UVM_PGA_USERESERVE: page tables, pool pages that may
 *				not be waited for (R35)
 *	> half of that		UVM_PGA_LAST: who dies or unmaps, when all else has been taken
 *	> 0			the page daemon, which must be able to free (I-PD-7)
 *
 * Paging queues.  Active and inactive under uvm_pageqlock.  A wired page is on
 * neither (R7); an owned page that is not busy is on one of them or wired; or
 * it is fresh, and noted down to become active (uvm_pgintent.c).
 *
 * Owners.  uobject and uanon change with the owner lock and pageq held, so
 * either is enough to read them, and a page found on a queue cannot lose its
 * owner while pageq is held.  A page between the free list and its first queue
 * is known to one LWP only; it needs no pageq to get its owner, and so a page
 * can be allocated under any lock below fpageq.
 *
 * Lock order: owner, pageq, pmap, fpageq.
 */
#include <host/host.h>
#include <host/race.h>
#include <string.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/probe.h>
#include <sys/kernel.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>

struct uvm uvm;
kmutex_t uvm_pageqlock;
kmutex_t uvm_fpageqlock;

static const char fresh[] = "uvm_pagealloc";	/* owner_tag of pages that are busy since their birth */

static void	 uvm_page_targets(void);
static void	 hold(struct vm_page *);
static void	 let_go(struct vm_page *);
static void	 wake_wanted(struct vm_page *);
static bool	 uvm_pagefree_loaned(struct vm_page *);

/*
 * => boot, after kern_boot() and ram_init(): one CPU runs.
 */
int
uvm_page_init(uint64_t npages)
{
	KASSERT(uvm.pages == NULL);
	KASSERT(npages == ram_npages);
	KASSERT(npages < UINT32_MAX);		/* VM_PAGE_ID(), and links of trees */
	memset(&uvm, 0, sizeof(uvm));
	uvm.pages = host_mem_map(npages * sizeof(*uvm.pages));
	if (uvm.pages == NULL)
		return ENOMEM;
	uvm.npages = npages;
	mutex_init(&uvm_pageqlock, MUTEX_DEFAULT, IPL_NONE, LC_pageq);
	mutex_init(&uvm_fpageqlock, MUTEX_DEFAULT, IPL_VM, LC_fpageq);
	uvm.nbuckets = cpu_cores == 0 ? 1 : cpu_cores < UVM_BUCKETS ? cpu_cores : UVM_BUCKETS;
	for (unsigned i = 0; i < UVM_BUCKETS; i++)
		TAILQ_INIT(&uvm.page_free[i]);
	TAILQ_INIT(&uvm.page_active);
	TAILQ_INIT(&uvm.page_inactive);
	ram_attach_pages(uvm.pages, sizeof(*uvm.pages));
	race_atomic(&uvm.free, sizeof(uvm.free));
	race_atomic(&uvm.wired, sizeof(uvm.wired));
	for (uint64_t i = 0; i < npages; i++) {
		const uint64_t bucket = i * uvm.nbuckets / npages;

		race_atomic(&uvm.pages[i].wire_count, sizeof(uvm.pages[i].wire_count));
		uvm.pages[i].pqflags = PQ_FREE;
		uvm.pages[i].on_free = (uint8_t)(bucket + 1);
		TAILQ_INSERT_TAIL(&uvm.page_free[bucket], &uvm.pages[i], pageq);
	}
	uvm.free = npages;
	uvm_page_targets();
	uvm_pgflcache_init();
	uvm_pgintent_init();
	return 0;
}

/*
 * The reserves and targets of uvm-spec 5.3 and 8.2, in pages.
 *
 * reserve_pagedaemon: the daemon frees a page by at most one write, which takes
 * one pool page for its buffer; that page may need a second for the pool's own
 * header; twice that, for the round after.
 * reserve_kernel: whoever gets the last page above it must be able to map it, or
 * waits for ever for memory that is there: four page tables, a pool page for the
 * pv entry, and one for the magazines of what else is in that, on every CPU.
 */
static void
uvm_page_targets(void)
{
	uint64_t lo = 131072 / PAGE_SIZE * (uint64_t)ncpu;
	uint64_t hi = 1048576 / PAGE_SIZE * (uint64_t)ncpu;

	uvm.reserve_pagedaemon = 4;
	uvm.reserve_kernel = uvm.reserve_pagedaemon + 6 * (uint64_t)ncpu;
	uvm.freemin = uvm.npages / 200;
	if (uvm.freemin < lo)
		uvm.freemin = lo;
	if (uvm.freemin > hi)
		uvm.freemin = hi;
	if (uvm.freemin <= uvm.reserve_kernel)
		uvm.freemin = uvm.reserve_kernel + 1;
	uvm.freetarg = uvm.freemin * 4 / 3;
	if (uvm.freetarg <= uvm.freemin)
		uvm.freetarg = uvm.freemin + 1;
	uvm.inactarg = uvm.freetarg + 1;
	uvm.wiredmax = uvm.npages / 3;
}

/* What a page that did not come back was last used for. */
static const char *
uvm_page_kind(const struct vm_page *pg)
{
	if (pg->pqflags & PQ_PRIVATE)
		return "kernel page";
	if (pg->pqflags & PQ_ANON)
		return "anon page";
	if (pg->pqflags & PQ_AOBJ)
		return "aobj page";
	return pg->uobject != NULL ? "file page" : "un-owned page";
}

/*
 * => nothing runs any more.  One report for all pages of a kind; returns their number.
 */
unsigned
uvm_page_fini(void)
{
	unsigned leaks = 0, i = 0;
	const char *kind = NULL;

	for (uint64_t n = 0; n < uvm.npages; n++) {
		if (uvm.pages[n].pqflags == PQ_FREE)
			continue;
		if (leaks++ == 0) {
			kind = uvm_page_kind(&uvm.pages[n]);
			i = (unsigned)n;
		}
	}
	if (leaks > 0)
		violation(VIOL_LEAK, "I-PG-1",
		    "%u pages are not free at the end; the first is page %u, a%s %s, flags 0x%x, last busy in %s",
		    leaks, i, kind[0] == 'a' || kind[0] == 'u' ? "n" : "", kind,
		    uvm.pages[i].flags,
		    uvm.pages[i].owner_tag != NULL ? uvm.pages[i].owner_tag : "nobody");
	else
		KASSERT(uvm.free + uvm_pgflcache_count() == uvm.npages);
	uvm_pgintent_fini();
	mutex_destroy(&uvm_fpageqlock);
	mutex_destroy(&uvm_pageqlock);
	host_mem_unmap(uvm.pages, uvm.npages * sizeof(*uvm.pages));
	uvm.pages = NULL;
	return leaks;
}

struct vm_page *
PHYS_TO_VM_PAGE(paddr_t pa)
{
	return atop(pa) < uvm.npages ? &uvm.pages[atop(pa)] : NULL;
}

/*
 * => the answer holds while the page is BUSY by the caller, or its owner or pageq is locked.
 */
kmutex_t *
uvm_page_owner_lock(const struct vm_page *pg)
{
	if (pg->uobject != NULL)
		return &pg->uobject->vmobjlock;
	return pg->uanon != NULL ? &pg->uanon->an_lock : NULL;
}

/* --- PG_BUSY as the lock auditor sees it --- */

/* => which of its kinds of page it is: by the owner, whose lock a waiter has until it sleeps */
static enum lock_event
kind_of_busy(const struct vm_page *pg)
{
	if (pg->uobject != NULL)
		return (pg->pqflags & PQ_AOBJ) != 0 ? LE_page_aobj : LE_page_file;
	return pg->uanon != NULL ? LE_page_anon : LE_page_other;
}

/* => the page is BUSY just now, by the current LWP */
static void
hold(struct vm_page *pg)
{
	/* relaxed: see uvm_pagewait() */
	__atomic_store_n(&pg->owner, curlwp, __ATOMIC_RELAXED);
	if (lockaudit_full) {
		pg->busy_event = (uint8_t)kind_of_busy(pg);
		lockevent_begin_of(pg->busy_event, VM_PAGE_ID(pg));
	}
}

/* => as let_go(), but it stays BUSY, by nobody in particular */
void
uvm_page_pass(struct vm_page **pgs, int n)
{
	for (int i = 0; i < n; i++) {
		KASSERT(pgs[i]->owner == curlwp);	/* hence BUSY; flags are not ours to read */
		if (pgs[i]->busy_event != LE_NONE)
			lockevent_pass(pgs[i]->busy_event, LE_aiodone, VM_PAGE_ID(pgs[i]));
		__atomic_store_n(&pgs[i]->owner, NULL, __ATOMIC_RELAXED);
		kernhist_log(KE_page_pass, VM_PAGE_ID(pgs[i]), 0, 0);
	}
}

/* => the page was BUSY, or not; it is let go by who made it busy, or got it with a transfer */
static void
let_go(struct vm_page *pg)
{
	KASSERTMSG(pg->owner == NULL || pg->owner == curlwp,
	    "a page that %s made busy in %s is let go by %s", pg->owner->l_name, pg->owner_tag,
	    curlwp->l_name);
	if (pg->busy_event != LE_NONE && pg->owner != NULL)
		lockevent_end_of(pg->busy_event, VM_PAGE_ID(pg));
	pg->busy_event = LE_NONE;
	__atomic_store_n(&pg->owner, NULL, __ATOMIC_RELAXED);
}

/* => owner locked: whoever sleeps on the page looks again, all of them, for nobody else is going to wake them */
static void
wake_wanted(struct vm_page *pg)
{
	if ((pg->flags & PG_WANTED) == 0)
		return;
	wakeup(pg);
	/* who falls asleep on it has the owner's lock until he is on the queue */
	KASSERTMSG_ABOUT(!sleepq_has_waiters(pg), KS_page, VM_PAGE_ID(pg), pg,
	    "I-PG-13: page %#lx was waited for, and not all who sleep on it have been woken",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
	pg->flags &= ~PG_WANTED;
}

/* => the page is about to be nobody's, or not busy any more */
static inline void
assert_woken(struct vm_page *pg)
{
	KASSERTMSG_ABOUT((pg->flags & PG_WANTED) == 0, KS_page, VM_PAGE_ID(pg), pg,
	    "I-PG-13: page %#lx is let go, and who sleeps on it has not been woken",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
}

/* --- allocation --- */

/* => fpageq held; may the current LWP take a page? */
static bool
uvm_page_mayalloc(int flags)
{
	if (uvm.free > uvm.reserve_kernel)
		return true;
	if ((flags & UVM_PGA_USERESERVE) != 0 && uvm.free > uvm.reserve_pagedaemon)
		return true;			/* R35 */
	if ((flags & UVM_PGA_LAST) != 0 && uvm.free > uvm.reserve_pagedaemon / 2)
		return true;
	return uvm.free > 0 && curlwp == uvm.pagedaemon_lwp;
}

/*
 * => fpageq held.  Wakes the daemon when free memory is below its targets; while its
 *    last round was fruitless only every pd_backoff-th allocation does.
 */
static void
uvm_page_kick(void)
{
	uint64_t have = uvm.free + uvm.paging;

	if (have >= uvm.freetarg)
		return;
	if (have >= uvm.freemin &&
	    /* relaxed: pairs with the stores under pageq; a guess is good enough. */
	    __atomic_load_n(&uvm.inactive, __ATOMIC_RELAXED) >=
		__atomic_load_n(&uvm.inactarg, __ATOMIC_RELAXED))
		return;
	if (uvm.pd_backoff > 0)
		uvm.pd_backoff--;
	else
		uvm_kick_pdaemon_locked();
}

/* => the list of those pages that are in the caches of the core that runs us */
static unsigned
own_bucket(void)
{
	return uvm.nbuckets == 1 ? 0 : host_core() % uvm.nbuckets;
}

void
uvm_page_list(struct vm_page *pg)
{
	const unsigned bucket = own_bucket();

	KASSERT(mutex_owned(&uvm_fpageqlock));
	KASSERT(pg->pqflags == PQ_FREE && !pg->on_free);
	pg->on_free = (uint8_t)(bucket + 1);
	TAILQ_INSERT_HEAD(&uvm.page_free[bucket], pg, pageq);
	__atomic_store_n(&uvm.free, uvm.free + 1, __ATOMIC_RELAXED);
	uvm.nfreed++;
}

void
uvm_page_unlist(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_fpageqlock));
	KASSERT(pg != NULL && pg->pqflags == PQ_FREE && pg->on_free);
	TAILQ_REMOVE(&uvm.page_free[pg->on_free - 1], pg, pageq);
	pg->on_free = 0;
	__atomic_store_n(&uvm.free, uvm.free - 1, __ATOMIC_RELAXED);
}

struct vm_page *
uvm_page_nextfree(void)
{
	const unsigned own = own_bucket();
	struct vm_page *pg = TAILQ_FIRST(&uvm.page_free[own]);

	KASSERT(mutex_owned(&uvm_fpageqlock));
	for (unsigned i = 1; i < uvm.nbuckets && pg == NULL; i++)
		pg = TAILQ_FIRST(&uvm.page_free[(own + i) % uvm.nbuckets]);
	return pg;
}

/* Take one page off the free list, or NULL. */
static struct vm_page *
uvm_page_take(int flags)
{
	/* the daemon's own needs stay countable, see uvmpd_progress() */
	const bool cached = curlwp != uvm.pagedaemon_lwp;
	struct vm_page *pg;

	if (cached && (pg = uvm_pgflcache_alloc()) != NULL)
		return pg;
	mutex_spin_enter(&uvm_fpageqlock);
	if (!uvm_page_mayalloc(flags)) {
		if (curlwp != uvm.pagedaemon_lwp)
			uvm_kick_pdaemon_locked();
		mutex_spin_exit(&uvm_fpageqlock);
		UVMCNT(pga_fail);
		return NULL;
	}
	if (uvm.free <= uvm.reserve_kernel)
		UVMCNT(pga_reserve);
	pg = uvm_page_nextfree();
	uvm_page_unlist(pg);
	KASSERTMSG(uvm.free >= uvm.reserve_pagedaemon / ((flags & UVM_PGA_LAST) != 0 ? 2 : 1) ||
	    curlwp == uvm.pagedaemon_lwp, "I-PD-7: %s takes a page of the daemon's reserve", curlwp->l_name);
	KASSERTMSG(uvm.free >= uvm.reserve_kernel || (flags & (UVM_PGA_USERESERVE | UVM_PGA_LAST)) != 0 ||
	    curlwp == uvm.pagedaemon_lwp, "R35: %s takes a page of the kernel's reserve", curlwp->l_name);
	if (curlwp == uvm.pagedaemon_lwp)
		uvm.pd_taken++;			/* it knows */
	else
		uvm_page_kick();
	if (cached)
		uvm_pgflcache_fill();
	mutex_spin_exit(&uvm_fpageqlock);
	return pg;
}

/*
 * => at most one of obj and anon; that one is locked by the caller (R25).
 * => never sleeps; any context to IPL_VM when un-owned.
 */
struct vm_page *
uvm_pagealloc(struct uvm_object *obj, voff_t off, struct vm_anon *anon, int flags)
{
	struct vm_page *pg;

	KASSERT(obj == NULL || anon == NULL);
	KASSERT(((uint64_t)off & PAGE_MASK) == 0);
	KASSERTMSG(obj == NULL || mutex_owned(&obj->vmobjlock), "R25: object not locked");
	KASSERTMSG(anon == NULL || mutex_owned(&anon->an_lock), "R25: anon not locked");
	KASSERT(anon == NULL || anon->an_page == NULL);
	KASSERT((flags & UVM_PGA_PRIVATE) == 0 || anon == NULL);

	if ((flags & UVM_PGA_USERESERVE) == 0 && curlwp != uvm.pagedaemon_lwp && inject(INJECT_page_alloc))
		return NULL;
	pg = uvm_page_take(flags);
	if (pg == NULL)
		return NULL;
	pg->pqflags = 0;
	if (flags & UVM_PGA_PRIVATE) {
		pg->pqflags = PQ_PRIVATE;
		UVMGAUGE(UVMG_kernpages, 1);
	}
	/* known to us alone until it gets an owner */
	KASSERT(pg->uobject == NULL && pg->uanon == NULL);
	KASSERT(pg->wire_count == 0 && pg->loan_count == 0);
	ram_frame_check(&pg->mdpage);
	pg->flags = 0;
	if ((flags & UVM_PGA_PRIVATE) == 0) {
		pg->flags = PG_BUSY | PG_CLEAN | PG_FAKE;
		uvm_page_tag(pg, fresh);
	}
	if (flags & UVM_PGA_ZERO) {
		pmap_zero_page(VM_PAGE_TO_PHYS(pg));
		pg->flags &= ~PG_CLEAN;
		UVMCNT(pga_zero);
	}
	if (anon != NULL) {
		pg->uanon = anon;
		pg->pqflags |= PQ_ANON;
		anon->an_page = pg;
		UVMGAUGE(UVMG_anonpages, 1);
		kernhist_log(KE_page_alloc_anon, VM_PAGE_ID(pg), anon->an_id, pg->flags);
	} else {
		kernhist_log(KE_page_alloc, VM_PAGE_ID(pg), 0, pg->flags);
		if (obj != NULL)
			uvm_pageinsert(pg, obj, off);
	}
	if (pg->flags & PG_BUSY)
		hold(pg);
	return pg;
}

/* --- freeing --- */

/*
 * => owner locked, or the page has none and is the caller's; pageq held if the page
 *    is on a queue, wired or loaned.
 * => not mapped, not PG_PAGEOUT.  Sleepers on it are woken.
 */
void
uvm_pagefree(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERT((pg->pqflags & PQ_FREE) == 0);
	KASSERT((pg->flags & PG_PAGEOUT) == 0);
	KDASSERT(!pmap_page_mapped(pg));

	if (pg->loan_count > 0 && uvm_pagefree_loaned(pg))
		return;
	if (pg->uobject != NULL)
		uvm_pageremove(pg);
	else if (pg->uanon != NULL) {
		KASSERTMSG((pg->pqflags & PQ_ANON) != 0, "I-PG-10: an anon's page that is freed is not PQ_ANON");
		pg->uanon->an_page = NULL;
		pg->uanon = NULL;
		UVMGAUGE(UVMG_anonpages, -1);
	}
	wake_wanted(pg);
	if ((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) != 0 || pg->intent != 0)
		uvm_pagedequeue(pg);
	KASSERTMSG(pg->wire_count == 0, "I-PG-16: a page that is wired %u times is freed", pg->wire_count);
	let_go(pg);
	kernhist_log(KE_page_free, VM_PAGE_ID(pg), pg->flags, pg->pqflags);
	assert_woken(pg);
	pg->flags = 0;
	ram_frame_freed(&pg->mdpage);
	if (pg->pqflags & PQ_PRIVATE)
		UVMGAUGE(UVMG_kernpages, -1);
	if (uvm_pgflcache_free(pg))
		return;
	mutex_spin_enter(&uvm_fpageqlock);
	pg->pqflags = PQ_FREE;
	uvm_page_list(pg);
	uvm_page_wakewaiters();
	mutex_spin_exit(&uvm_fpageqlock);
}

/* => pageq held; the page, on loan to the kernel alone, has just lost its owner (I-PG-11) */
void
uvm_page_orphan(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT(pg->uobject == NULL && pg->uanon == NULL);
	KASSERTMSG(pg->loan_count > 0 && pg->wire_count == pg->loan_count,
	    "I-LOAN-5: %u loans to the kernel, wired %u times", pg->loan_count, pg->wire_count);
	KASSERTMSG((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0, "R7: a wired page is queued");
	kernhist_log(KE_page_orphan, VM_PAGE_ID(pg), pg->loan_count, 0);
	uvm.orphans++;
	UVMCNT(loan_orphaned);
}

/*
 * A loaned page outlives its owner: it loses it, and the last unloan frees it.
 * => owner and pageq locked.
 * => true: the loan keeps the page; false: nobody borrows it any more, free it.
 */
static bool
uvm_pagefree_loaned(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	wake_wanted(pg);
	let_go(pg);
	assert_woken(pg);
	/* RDONLY too: there is no file any more that could lack blocks for it */
	pg->flags &= ~(PG_BUSY | PG_RELEASED | PG_CLEAN | PG_RDONLY);
	if (pg->uobject != NULL)
		uvm_pageremove(pg);
	else if (pg->uanon != NULL) {
		if (pg->pqflags & PQ_ANON) {
			pg->pqflags &= ~PQ_ANON;
			UVMGAUGE(UVMG_anonpages, -1);
		} else				/* it was the borrower */
			uvm_page_setloans(pg, pg->loan_count - 1);
		pg->uanon->an_page = NULL;
		pg->uanon = NULL;
	}
	if (pg->loan_count == 0)
		return false;
	if (pg->uanon == NULL)
		uvm_page_orphan(pg);
	else if ((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0)
		uvm_pageactivate(pg);		/* a put has taken it off: the daemon is to find it (I-PG-1) */
	return true;
}

void
uvm_page_setloans(struct vm_page *pg, uint32_t count)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERTMSG((pg->flags & PG_FAKE) == 0, "a page without content is lent");
	/* R15: before the loan is visible */
	if (count == 0)
		pmap_page_readonly(pg, false);
	else if (pg->loan_count == 0 && !uvm_page_readonly(pg))
		pmap_page_readonly(pg, true);
	/* relaxed: pairs with uvm_page_loaned() */
	__atomic_store_n(&pg->loan_count, count, __ATOMIC_RELAXED);
	kernhist_log(KE_page_loans, VM_PAGE_ID(pg), count, 0);
	PROBE2(loan, VM_PAGE_ID(pg), count);
}

void
uvm_page_adopt(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	if (pg->uobject != NULL || (pg->pqflags & PQ_ANON) != 0)
		return;
	KASSERTMSG_ABOUT(pg->uanon != NULL && mutex_owned(&pg->uanon->an_lock), KS_page, VM_PAGE_ID(pg), pg,
	    "R25: page %#lx is to become the anon's that borrows it, and that is not locked, or there is none",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
	KASSERT(pg->uanon->an_page == pg);
	KASSERTMSG(pg->loan_count > 0, "I-PG-5: nobody has lent the page to its anon");
	uvm_page_setloans(pg, pg->loan_count - 1);
	pg->pqflags |= PQ_ANON;
	kernhist_log(KE_page_adopt, VM_PAGE_ID(pg), pg->uanon->an_id, 0);
	UVMGAUGE(UVMG_anonpages, 1);
	UVMCNT(loan_adopted);
}

void
uvm_page_protect(struct vm_page *pg, vm_prot_t prot)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERTMSG(!uvm_page_hardwired(pg), "R10: page %#lx is wired, its mappings must stay",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
	pmap_page_protect(pg, prot);
}

bool
uvm_page_lend(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(slock != NULL && mutex_owned(slock));
	KASSERTMSG(!uvm_page_hardwired(pg), "R10: page %#lx is wired, its mappings must stay",
	    (unsigned long)VM_PAGE_TO_PHYS(pg));
	return pmap_page_lend(pg);
}

/* --- queues and wiring --- */

/*
 * I-PG-6: a page on its way out is on no queue.  Asked where the answer is
 * stable: flags belong to the owner's lock, and pageq alone may be held here.
 */
static bool
uvm_page_leaving(const struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	return slock != NULL && mutex_owned(slock) && (pg->flags & PG_PAGEOUT) != 0;
}

/* => pageq held; relaxed: pairs with uvm_page_active() */
static void
uvm_page_setqueue(struct vm_page *pg, uint16_t queue)
{
	__atomic_store_n(&pg->pqflags, (uint16_t)((pg->pqflags & ~(PQ_ACTIVE | PQ_INACTIVE)) | queue),
	    __ATOMIC_RELAXED);
}

/*
 * => pageq held.
 */
void
uvm_pagedequeue(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	if (pg->intent != 0)
		uvm_pgintent_cancel(pg);
	if (pg->pqflags & PQ_ACTIVE) {
		TAILQ_REMOVE(&uvm.page_active, pg, pageq);
		__atomic_store_n(&uvm.active, uvm.active - 1, __ATOMIC_RELAXED);
	} else if (pg->pqflags & PQ_INACTIVE) {
		TAILQ_REMOVE(&uvm.page_inactive, pg, pageq);
		__atomic_store_n(&uvm.inactive, uvm.inactive - 1, __ATOMIC_RELAXED);
	}
	uvm_page_setqueue(pg, 0);
}

/*
 * => pageq held; owner stable.
 */
void
uvm_pagewire(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT((pg->pqflags & PQ_FREE) == 0);
	KASSERT(!uvm_page_leaving(pg));
	/* relaxed: pairs with uvm_page_wired() */
	__atomic_store_n(&pg->wire_count, pg->wire_count + 1, __ATOMIC_RELAXED);
	kernhist_log(KE_page_wire, VM_PAGE_ID(pg), pg->wire_count, 0);
	if (pg->wire_count > 1)
		return;
	if (!BUG(wired_stays_queued))
		uvm_pagedequeue(pg);		/* R7 */
	__atomic_store_n(&uvm.wired, uvm.wired + 1, __ATOMIC_RELAXED);
}

/*
 * => pageq held; owner stable.
 */
void
uvm_pageunwire(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT(pg->wire_count > 0);
	KASSERTMSG((pg->pqflags & (PQ_ACTIVE | PQ_INACTIVE)) == 0, "I-PG-2: a wired page is queued");
	/* relaxed: pairs with uvm_page_wired() */
	__atomic_store_n(&pg->wire_count, pg->wire_count - 1, __ATOMIC_RELAXED);
	kernhist_log(KE_page_unwire, VM_PAGE_ID(pg), pg->wire_count, 0);
	if (pg->wire_count > 0)
		return;
	__atomic_store_n(&uvm.wired, uvm.wired - 1, __ATOMIC_RELAXED);
	if (uvm_page_owner_lock(pg) != NULL)	/* an orphan is on no queue (I-LOAN-4) */
		uvm_pageactivate(pg);
}

/*
 * => pageq held, owner locked; the page may stay mapped.
 */
void
uvm_pagedeactivate(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT(slock != NULL && mutex_owned(slock));
	KASSERTMSG(pg->wire_count == 0, "R8: deactivating a page wired %u times", pg->wire_count);
	KASSERT((pg->flags & PG_PAGEOUT) == 0);
	/*
	 * R20, I-PD-2: the caller has cleared the referenced attribute.  Another CPU may have set it
	 * again through a mapping, which is gone by now perhaps: to unmap needs no owner's lock.
	 */
	KASSERTMSG(ncpu > 1 || !pmap_is_referenced(pg), "R20: page is referenced");
	if (pg->pqflags & PQ_INACTIVE)
		return;
	uvm_pagedequeue(pg);
	uvm_page_setqueue(pg, PQ_INACTIVE);
	kernhist_log(KE_page_deactivate, VM_PAGE_ID(pg), 0, 0);
	TAILQ_INSERT_TAIL(&uvm.page_inactive, pg, pageq);
	__atomic_store_n(&uvm.inactive, uvm.inactive + 1, __ATOMIC_RELAXED);
}

/*
 * => pageq held; owner stable.  To the tail of the active queue; wired: nothing.
 */
void
uvm_pageactivate(struct vm_page *pg)
{
	KASSERT(mutex_owned(&uvm_pageqlock));
	KASSERT((pg->pqflags & (PQ_FREE | PQ_PRIVATE)) == 0);
	KASSERT(pg->uobject != NULL || pg->uanon != NULL);
	KASSERT(!uvm_page_leaving(pg));
	if (pg->wire_count > 0)
		return;						/* R7 */
	if (pg->intent != 0)
		return;						/* as good as active */
	/* a fresh one always is; relaxed: pairs with uvm_page_tag() */
	if ((pg->pqflags & PQ_ACTIVE) == 0 && __atomic_load_n(&pg->owner_tag, __ATOMIC_RELAXED) != fresh)
		kernhist_log(KE_page_activate, VM_PAGE_ID(pg), 0, 0);
	uvm_pagedequeue(pg);
	uvm_page_setqueue(pg, PQ_ACTIVE);
	TAILQ_INSERT_TAIL(&uvm.page_active, pg, pageq);
	__atomic_store_n(&uvm.active, uvm.active + 1, __ATOMIC_RELAXED);
}

/*
 * Is it active, or noted down to be?  "Yes" is true for as long as the owner is locked: without that lock
 * nobody wires a page or takes it off the active queue for good.  A "no" may be over.
 */
static bool
uvm_page_active(const struct vm_page *pg)
{
	/* relaxed: pairs with uvm_page_setqueue() and take_off(), which may run under pageq alone */
	return (__atomic_load_n(&pg->pqflags, __ATOMIC_RELAXED) & PQ_ACTIVE) != 0 ||
	    __atomic_load_n(&pg->intent, __ATOMIC_RELAXED) != 0;
}

void
uvm_page_used(struct vm_page *pg)
{
	KASSERT(mutex_owned(uvm_page_owner_lock(pg)));
	KASSERT(!mutex_owned(&uvm_pageqlock));
	if (uvm_page_active(pg))
		return;
	uvm_lock_pageq();
	uvm_pageactivate(pg);
	uvm_unlock_pageq();
}

/* --- the long-term lock --- */

/*
 * => owner locked, page not BUSY.
 */
void
uvm_page_busy(struct vm_page *pg, const char *tag)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERTMSG((pg->flags & (PG_BUSY | PG_FAKE | PG_RELEASED | PG_PAGEOUT)) == 0,
	    "I-PG-8: page %#lx is made busy in %s, and is so already, by %s in %s, or has no content: flags %#x",
	    (unsigned long)VM_PAGE_TO_PHYS(pg), tag, pg->owner != NULL ? pg->owner->l_name : "nobody",
	    pg->owner_tag != NULL ? pg->owner_tag : "?", pg->flags);
	pg->flags |= PG_BUSY;
	uvm_page_tag(pg, tag);
	hold(pg);
	kernhist_log(KE_page_busy, VM_PAGE_ID(pg), pg->flags, 0);
}

/* => the owner locked: is it the page daemon's to find?  Not the page of zeroes that is lent, nor what nobody owns */
static bool
uvm_page_pageable(const struct vm_page *pg)
{
	return pg->uobject == NULL ? pg->uanon != NULL :
	    UVM_OBJ_IS_VNODE(pg->uobject) || UVM_OBJ_IS_AOBJ(pg->uobject);
}

/* => pageq held, or the answer is yes: is it on a queue, or in a state that keeps it off them? */
static bool
uvm_page_kept(const struct vm_page *pg)
{
	return uvm_page_active(pg) || (__atomic_load_n(&pg->pqflags, __ATOMIC_RELAXED) & PQ_INACTIVE) != 0 ||
	    uvm_page_wired(pg) || !uvm_page_pageable(pg);
}

/* I-PG-1: who makes a page sees to it that it is on a queue, or wired, before he lets it go. */
static void
uvm_page_assert_kept(const struct vm_page *pg)
{
	const bool held = mutex_owned(&uvm_pageqlock);
	bool kept = uvm_page_kept(pg);

	if (!kept && !held) {			/* the daemon may be moving it from one queue to the other */
		uvm_lock_pageq();
		kept = uvm_page_kept(pg);
		uvm_unlock_pageq();
	}
	KASSERTMSG(kept, "I-PG-1: page %#lx, last busy in %s, is let go neither wired nor on a queue",
	    (unsigned long)VM_PAGE_TO_PHYS(pg), pg->owner_tag != NULL ? pg->owner_tag : "?");
}

/*
 * => owner of all pages locked; pageq held if any is RELEASED.
 * => a RELEASED page is gone on return.
 */
void
uvm_page_unbusy(struct vm_page **pgs, int n)
{
	for (int i = 0; i < n; i++) {
		struct vm_page *pg = pgs[i];
		kmutex_t *slock;

		if (pg == NULL || pg == PGO_DONTCARE)
			continue;
		slock = uvm_page_owner_lock(pg);
		KASSERT(slock == NULL || mutex_owned(slock));
		KASSERTMSG((pg->flags & PG_BUSY) != 0, "I-PG-8: page %#lx is let go, and is not busy: last so in %s, flags %#x",
		    (unsigned long)VM_PAGE_TO_PHYS(pg), pg->owner_tag != NULL ? pg->owner_tag : "?", pg->flags);
		KASSERT((pg->flags & PG_PAGEOUT) == 0);
		if (pg->flags & PG_RELEASED) {
			KASSERT(mutex_owned(&uvm_pageqlock));
			uvm_pagefree(pg);	/* wakes */
			continue;
		}
		KASSERTMSG((pg->flags & PG_FAKE) == 0, "I-PG-8: page %#lx, last busy in %s, is let go without content",
		    (unsigned long)VM_PAGE_TO_PHYS(pg), pg->owner_tag != NULL ? pg->owner_tag : "?");
		uvm_page_assert_kept(pg);
		if (pg->owner_tag != fresh)
			kernhist_log(KE_page_unbusy, VM_PAGE_ID(pg), pg->flags, 0);
		wake_wanted(pg);
		let_go(pg);
		assert_woken(pg);
		pg->flags &= ~PG_BUSY;
	}
}

/*
 * => interlock is the owner's lock, held; page BUSY.  Sleeps; nothing held on return.
 */
void
uvm_pagewait(struct vm_page *pg, kmutex_t *interlock, const char *wmesg)
{
	KASSERT(interlock == uvm_page_owner_lock(pg));
	KASSERT(mutex_owned(interlock));
	KASSERT((pg->flags & PG_BUSY) != 0);
	KASSERT(!mutex_owned(&uvm_pageqlock));
	KASSERTMSG(curlwp != uvm.pagedaemon_lwp, "I-PD-4: the page daemon waits for a page in %s", wmesg);
	/* relaxed: whether it is us is nobody else's doing; the tag is read when it is */
	KASSERTMSG_ABOUT(__atomic_load_n(&pg->owner, __ATOMIC_RELAXED) != curlwp, KS_page, VM_PAGE_ID(pg), pg,
	    "I-LCK-3: %s waits in %s for a page that it has made busy itself, in %s (H-3)", curlwp->l_name, wmesg, pg->owner_tag);
	pg->flags |= PG_WANTED;				/* I-PG-13 */
	kernhist_log(KE_page_wait, VM_PAGE_ID(pg), pg->flags, 0);
	lockevent_next_of(pg->busy_event, VM_PAGE_ID(pg));
	UVM_UNLOCK_AND_WAIT(pg, interlock, wmesg);
}

/* --- content --- */

/*
 * => owner of dst locked, or it has none and is the caller's: to be BUSY is not
 *    enough, for others set PG_WANTED in the same word; src stable.
 */
void
uvm_pagecopy(struct vm_page *src, struct vm_page *dst)
{
	kmutex_t *slock = uvm_page_owner_lock(dst);

	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERTMSG(!uvm_page_loaned(dst), "I-LOAN-3: a copy onto a page on loan");
	KASSERTMSG_ABOUT((src->flags & PG_FAKE) == 0 && uvm_page_atrest(src), KS_page, VM_PAGE_ID(src), src,
	    "I-PG-8: page %#lx is copied, and somebody has it busy, in %s, or is still reading it in: flags %#x",
	    (unsigned long)VM_PAGE_TO_PHYS(src), src->owner_tag != NULL ? src->owner_tag : "?", src->flags);
	dst->flags &= ~PG_CLEAN;
	pmap_copy_page(VM_PAGE_TO_PHYS(src), VM_PAGE_TO_PHYS(dst));
}

/*
 * => as for dst of uvm_pagecopy().
 */
void
uvm_pagezero(struct vm_page *pg)
{
	kmutex_t *slock = uvm_page_owner_lock(pg);

	KASSERT(slock == NULL || mutex_owned(slock));
	KASSERTMSG(!uvm_page_loaned(pg), "I-LOAN-3: zeroes onto a page on loan");
	pg->flags &= ~PG_CLEAN;
	pmap_zero_page(VM_PAGE_TO_PHYS(pg));
}
