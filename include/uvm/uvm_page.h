/*
 * struct vm_page: one frame of simulated RAM and who owns it.
 *
 * Identities (uvm-spec 5.2, I-PG-1); the only legal moves are the arrows:
 *
 *	FREE -> alloc -> BUSY|FAKE|CLEAN -> filled, BUSY -> owned, usable
 *	owned <-> ACTIVE <-> INACTIVE		on one queue, or
 *	owned, WIRED				on no queue (R7)
 *	owned -> BUSY|PAGEOUT -> RELEASED -> FREE
 *	un-owned: page table page, pool page, loan break in progress
 *	owned, on loan -> orphan (owner gone) -> FREE by the last unloan, or its borrower's
 *
 * The owner is the object in uobject, else the anon in uanon; the owner lock is
 * that one's lock.
 */
#ifndef UVM_UVM_PAGE_H
#define UVM_UVM_PAGE_H

#include <machine/pmap.h>
#include <machine/ram.h>
#include <stddef.h>
#include <uvm/uvm_object.h>

struct vm_anon;

/*
 *	o  owner lock (setter; PG_BUSY's holder keeps the right to clear with it)
 *	p  uvm_pageqlock	f  uvm_fpageqlock	:  stable after boot
 *	o+p: both to write, either to read
 *
 * Two cache lines, by who comes for them.  The first is the machine floor's, with what wires
 * and loans do, whose mappings change too: a TLB hit reads it, a mapping writes it.  The second
 * is what every allocation, queue operation and free writes.
 *
 * Of a tree of pages (uvm_object.c) a link is the number of the page's frame, from 1 on; 0: none.
 */
struct vm_page {
	struct vm_page_md mdpage;		/* machine floor's; must be first */
	struct vm_anon	*uanon;			/* o+p */
	uint32_t	 wire_count;		/* p */
	uint32_t	 loan_count;		/* o+p */

	TAILQ_ENTRY(vm_page) pageq;		/* p, or f when free; IPL_VM when a CPU has it (uvm_pgflcache.c) */
	struct uvm_object *uobject;		/* o+p */
	struct lwp	*owner;			/* o: who made it busy, for reports; NULL: passed on with a transfer */
	const char	*owner_tag;		/* o: likewise, where */
	voff_t		 offset;		/* o+p: in uobject */
	uint32_t	 tree_left, tree_right;	/* o: links of uobject's tree: smaller offsets, larger */
	uint16_t	 flags;			/* o: PG_ */
	uint16_t	 pqflags;		/* p: PQ_, read @ by uvm_page_used(); PQ_FREE by f, or its CPU */
	uint8_t		 on_free;		/* f: in which of uvm.page_free, from 1 on; 0: in none */
	uint8_t		 busy_event;		/* o: enum lock_event that PG_BUSY's holder has begun */
	uint16_t	 intent;		/* o to set, when it is fresh; p to clear: the CPU, from 1 on, that
						 * has noted it down to be active (uvm_pgintent.c) */
};
_Static_assert(offsetof(struct vm_page, pageq) == 64 && sizeof(struct vm_page) == 128,
    "two cache lines, as said above");

#define	PG_BUSY		0x0001	/* long-term lock, held across I/O with no real lock */
#define	PG_WANTED	0x0002	/* somebody sleeps on the page */
#define	PG_TABLED	0x0004	/* in uobject's tree */
#define	PG_CLEAN	0x0008	/* equals backing store, but for the modified attribute */
#define	PG_PAGEOUT	0x0010	/* being written to be freed */
#define	PG_RELEASED	0x0020	/* free it when unbusied */
#define	PG_FAKE		0x0040	/* content not valid yet */
#define	PG_RDONLY	0x0080	/* no backing block yet: never writable */
#define	PG_ZERO		0x0100	/* free page known to be zero */

#define	PQ_FREE		0x0001
#define	PQ_ANON		0x0002	/* owned by uanon */
#define	PQ_AOBJ		0x0004
#define	PQ_ACTIVE	0x0010
#define	PQ_INACTIVE	0x0020
#define	PQ_PRIVATE	0x0040	/* un-owned, kernel's own: PT page, pool page */
#define	PQ_SWAPBACKED	(PQ_ANON | PQ_AOBJ)

/* flags of uvm_pagealloc() */
#define	UVM_PGA_USERESERVE	0x1	/* R35: may dip below reserve_kernel */
#define	UVM_PGA_ZERO		0x2	/* zeroed, and then not PG_CLEAN */
#define	UVM_PGA_PRIVATE		0x4	/* un-owned for good: PQ_PRIVATE, not BUSY, not FAKE */
#define	UVM_PGA_LAST		0x8	/* who dies or unmaps, and gives back more: may take half of the daemon's */

#define	VM_PAGE_TO_PHYS(pg)	((pg)->mdpage.md_pa)
#define	VM_PAGE_ID(pg)		((uint32_t)atop(VM_PAGE_TO_PHYS(pg)))	/* its frame's number: in reports and histories */
struct vm_page *PHYS_TO_VM_PAGE(paddr_t);	/* NULL for device frames */

/*
 * => obj or anon (at most one) locked by the caller (R25); neither: un-owned.
 * => never sleeps; NULL when free pages are at the caller's reserve.
 * => BUSY|CLEAN|FAKE (without CLEAN if ZERO); anon: an_page set, PQ_ANON;
 *    obj: inserted at off.
 */
struct vm_page *uvm_pagealloc(struct uvm_object *, voff_t off, struct vm_anon *, int flags);
/* => owner locked, pageq held if on a queue or loaned; no mapping, not PG_PAGEOUT.
 *    Loaned: loses its owner; freed by the last unloan, or adopted by the anon that borrows it. */
void	uvm_pagefree(struct vm_page *);
/* => uobj locked */
struct vm_page *uvm_pagelookup(struct uvm_object *, voff_t);
/* => uobj locked; the first page at or after the offset, or NULL: a scan resumes by it */
struct vm_page *uvm_pagenext(struct uvm_object *, voff_t);
/* => uobj locked; for uvm_page.c: into and out of the object's tree */
void	uvm_pageinsert(struct vm_page *, struct uvm_object *, voff_t);
void	uvm_pageremove(struct vm_page *);

/* => owner locked, page BUSY: who made it so; relaxed: pairs with uvm_pageactivate(), which asks for
 *    its ring of events, with pageq alone */
static inline void
uvm_page_tag(struct vm_page *pg, const char *tag)
{
	__atomic_store_n(&pg->owner_tag, tag, __ATOMIC_RELAXED);
}

/*
 * => pageq held, or the owner's lock: wiring takes both, so "no" is true for as long as
 *    the owner is locked; a "yes" may be over at once.
 */
static inline bool
uvm_page_wired(const struct vm_page *pg)
{
	/* relaxed: pairs with uvm_pagewire() and uvm_pageunwire() */
	return __atomic_load_n(&pg->wire_count, __ATOMIC_RELAXED) != 0;
}
/*
 * Loans (uvm_loan.h).  loan_count: one if an anon has the page of an object, or of nobody,
 * and one for each loan to the kernel; each of those wires the page too (R6), and nothing
 * else does while it is on loan (I-LOAN-5).
 *
 * => owner's lock or pageq held; with an anon locked that has the page "no" is good too,
 *    whoever owns it: only that anon could borrow it, and lend it
 */
static inline bool
uvm_page_loaned(const struct vm_page *pg)
{
	/* relaxed: pairs with uvm_page_setloans(), which may run under the other lock */
	return __atomic_load_n(&pg->loan_count, __ATOMIC_RELAXED) != 0;
}
/* => owner's lock held: wired by mlock or for I/O, so that its mappings must stay */
static inline bool
uvm_page_hardwired(const struct vm_page *pg)
{
	return uvm_page_wired(pg) && !uvm_page_loaned(pg);
}
/* => owner's lock held: nobody else works on it, so that it may be mapped, and lent */
static inline bool
uvm_page_atrest(const struct vm_page *pg)
{
	return (pg->flags & PG_BUSY) == 0 || pg->owner == curlwp;
}
/* => pageq held: is it on loan to an anon that does not own it? */
static inline bool
uvm_page_borrowed(const struct vm_page *pg)
{
	return pg->uanon != NULL && (pg->uobject != NULL || (pg->pqflags & PQ_ANON) == 0);
}
/* => pageq held: loans to the kernel */
static inline uint32_t
uvm_page_kloans(const struct vm_page *pg)
{
	return pg->loan_count - (uvm_page_borrowed(pg) ? 1 : 0);
}
/* => owner's lock held: does the machine know that nobody may store to it? */
static inline bool
uvm_page_readonly(const struct vm_page *pg)
{
	/* relaxed: pairs with pmap_page_lend() */
	return __atomic_load_n(&pg->mdpage.md_readonly, __ATOMIC_RELAXED) != 0;
}
/*
 * => pageq held, and the owner's lock, if it has one.  0 -> 1: uvm_page_lend(), or pmap_copy_on_write(),
 *    was called since the owner was locked (R15); 1 -> 0: may be stored to again.
 */
void	uvm_page_setloans(struct vm_page *, uint32_t);
/*
 * => pageq and the anon that borrows the page locked: if its lender is gone the page is the anon's now
 */
void	uvm_page_adopt(struct vm_page *);
/* => pageq held: the page, on loan to the kernel, has lost its last owner just now */
void	uvm_page_orphan(struct vm_page *);

/* => pageq held; owner stable (busy, or owner locked) */
void	uvm_pagewire(struct vm_page *);		/* 0 -> 1: off its queue (R7) */
void	uvm_pageunwire(struct vm_page *);	/* 1 -> 0: activated, unless an orphan */
/* => pageq held, owner locked, unwired (R8); the caller has cleared the referenced attribute (R20) */
void	uvm_pagedeactivate(struct vm_page *);
void	uvm_pageactivate(struct vm_page *);	/* wired: nothing */
/*
 * => pageq not held, owner locked, page not BUSY by others: it has been faulted in, and is to be active.  Is
 *    it that already it stays where it is, without a lock that all CPUs share: the sweep spares what was
 *    referenced (R24)
 */
void	uvm_page_used(struct vm_page *);
/* => pageq not held, owner locked since the page was allocated: it counts as active */
void	uvm_pageactivate_fresh(struct vm_page *);
void	uvm_pagedequeue(struct vm_page *);
/* => owner locked, page not BUSY; tag says who, for reports (I-OBJ-10). */
void	uvm_page_busy(struct vm_page *, const char *tag);
/* => owner(s) locked; pageq held if any is RELEASED.  WANTED: wakes; RELEASED: frees.
 *    NULL and PGO_DONTCARE entries are skipped; all pages of one owner. */
void	uvm_page_unbusy(struct vm_page **, int n);
/* => pages BUSY by the current LWP; from here on the aiodone LWP lets them go. No lock needed. */
void	uvm_page_pass(struct vm_page **, int n);
/*
 * => owner lock held (interlock), page BUSY: set WANTED, release the lock and
 *    sleep, atomically with respect to the unbusier.  Nothing is held on return
 *    and everything must be looked up again.
 */
void	uvm_pagewait(struct vm_page *, kmutex_t *interlock, const char *wmesg);
/* => the owner's lock, or NULL if un-owned; owner must be stable. */
kmutex_t *uvm_page_owner_lock(const struct vm_page *);

/* => owner of dst locked, or un-owned: BUSY alone does not allow to change flags; clears CLEAN */
void	uvm_pagecopy(struct vm_page *src, struct vm_page *dst);
void	uvm_pagezero(struct vm_page *);

/*
 * pmap_page_protect() of a page with owner: R or no rights for everybody.
 * => owner locked, and the page not wired but by loans (R10): nobody may count on its
 *    mappings, and loans have theirs unmanaged.  The pmap asserts the same for each mapping.
 */
void	uvm_page_protect(struct vm_page *, vm_prot_t);
/* => owner locked: it is to be lent: nobody may store to it, and the machine knows (pmap_page_lend()) */
bool	uvm_page_lend(struct vm_page *);

/* => n contiguous un-owned pages (PQ_PRIVATE, not BUSY), or 0/ENOMEM; sleeps if waitok. */
int	uvm_pglistalloc(uint64_t npages, struct vm_page **first, bool waitok, int flags);
void	uvm_pglistfree(struct vm_page *first, uint64_t npages);

/*
 * => no VM lock held, no page BUSY; kicks the page daemon and sleeps until pages
 *    are freed or the daemon has found that there is nothing to free.
 * uvm_reclaimable: false when waiting is pointless: the fault answers ENOMEM.
 */
void	uvm_wait(const char *wmesg);
bool	uvm_reclaimable(void);
#define	UVM_WAITS_MAX	500
/*
 * => false: waiting is pointless, or the caller has waited so often, *waits, in vain; else as uvm_wait().
 * For those who need several pages: what they give back before they wait, and the first page of two, which is
 * reclaimed for the second, look to the page daemon like progress.
 */
static inline bool
uvm_wait_again(unsigned *waits, const char *wmesg)
{
	if (!uvm_reclaimable() || ++*waits == UVM_WAITS_MAX)
		return false;
	uvm_wait(wmesg);
	return true;
}
void	uvm_page_wakewaiters(void);	/* fpageq held: pages were freed */

/* => fpageq held: the page, free and on no list, goes to the head of the core's bucket of page_free; and off it */
void	uvm_page_list(struct vm_page *);
void	uvm_page_unlist(struct vm_page *);
/* => fpageq held: the page that is to be given out next, on its list still; NULL: there is none */
struct vm_page *uvm_page_nextfree(void);

/*
 * A CPU's own free pages (uvm_pgflcache.c).  Any context to IPL_VM, but for drain: thread
 * context, no lock held, which waits for all CPUs.
 */
void	uvm_pgflcache_init(void);		/* boot */
struct vm_page *uvm_pgflcache_alloc(void);	/* => a page that is PQ_FREE and the caller's, or NULL */
bool	uvm_pgflcache_free(struct vm_page *);	/* => false: the page is the caller's still */
void	uvm_pgflcache_fill(void);		/* => fpageq held: if memory is plenty and the cache empty */
void	uvm_pgflcache_drain(void);		/* => all CPUs' pages go back to page_free */
uint64_t uvm_pgflcache_count(void);		/* => pages in all of them; exact at rest */

/*
 * Pages that are noted down to become active (uvm_pgintent.c).
 * realise: all on the active queue, pageq held; flush: the same, pageq not held, any lock below it.
 * cancel: pageq held, owner locked, pg->intent != 0: on no list any more.
 */
void	uvm_pgintent_init(void);		/* boot */
void	uvm_pgintent_fini(void);
void	uvm_pgintent_realise(void);
void	uvm_pgintent_flush(void);
void	uvm_pgintent_cancel(struct vm_page *);
uint64_t uvm_pgintent_count(void);		/* => how many, exact at rest */

int	uvm_page_init(uint64_t npages);		/* boot; 0 or ENOMEM of the host */
unsigned uvm_page_fini(void);			/* VIOL_LEAK if pages are not free; how many */

#endif /* UVM_UVM_PAGE_H */
