/*
 * Inside of the machine floor: page tables, TLBs and shootdown requests.
 *
 * A page table is four levels of 512 eight-byte entries.  The slot that names
 * the top table is pm_root, an entry like any other, so that a table at every
 * level is made, counted and given back by the same code (pmap_ptp.c).
 *
 * Lock order: pm_lock, then md_pvlock.  What each protects in a PTE:
 *	V, frame, R, X, WIRED, MANAGED	change under pm_lock; a managed PTE's V
 *					and frame under its page's md_pvlock too
 *	W, REF, MOD			are also cleared under md_pvlock alone, and
 *					REF, MOD set by the walker with no lock
 * hence every change is one atomic read-modify-write, and a pv entry that is
 * found under md_pvlock has a PTE whose table cannot go away (pmap_pv.c).
 */
#ifndef MACHINE_PMAP_PRIVATE_H
#define MACHINE_PMAP_PRIVATE_H

#include <bsd/sys/queue.h>
#include <host/sched.h>
#include <machine/device.h>
#include <machine/pmap.h>
#include <machine/ram.h>
#include <sys/bug.h>
#include <sys/cpu.h>
#include <sys/inject.h>
#include <sys/kernel.h>
#include <sys/mutex.h>

#define	PTP_LEVELS	4
#define	PTP_ENTRIES	(PAGE_SIZE / sizeof(uint64_t))

#define	PTE_RIGHTS	(PTE_R | PTE_W | PTE_X)
#define	PTE_RM		(PTE_REF | PTE_MOD)
/* The rights of a PTE are the VM_PROT bits, one place up. */
#define	PTE_PROT(prot)	((uint64_t)((prot) & VM_PROT_ALL) << 1)
#define	PTE_TO_PROT(p)	((vm_prot_t)(((p) & PTE_RIGHTS) >> 1))
_Static_assert(PTE_R == (VM_PROT_READ << 1), "PTE_R");
_Static_assert(PTE_W == (VM_PROT_WRITE << 1), "PTE_W");
_Static_assert(PTE_X == (VM_PROT_EXECUTE << 1), "PTE_X");

#define	CPUSET_WORDS	(MAXCPUS / 64)

/*
 *	p  pm_lock	l  pmap_list_lock	:  stable after creation	@  atomic
 */
struct pmap {
	kmutex_t	 pm_lock;	/* LC_pmap, IPL_VM */
	long		 pm_resident;	/* p, read @: valid PTEs */
	long		 pm_wired;	/* p, read @: of which wired */
	uint8_t		 pm_pad[64];	/* a line apart: above what each change writes, below what walkers read */
	uint64_t	 pm_root;	/* p, read @ by walkers: entry for the top table */
	struct vm_page_md *pm_limbo;	/* p, peeked @: PT pages unlinked, not yet quiescent */
	long		 pm_nptp;	/* p, read @: PT pages linked in */
	uint32_t	 pm_id;		/* : birth number; the kernel's is 0 */
	bool		 pm_kernel;	/* : its PT pages are never given back */
	uint8_t		 pm_pad2[64];	/* another: what is written by who comes, goes, or sends */
	uint64_t	 pm_cpus[CPUSET_WORDS]; /* @ CPUs that may cache translations */
	unsigned	 pm_refs;	/* @ */
	unsigned	 pm_unsettled;	/* @ LWPs with a packet for it (pmap_tlb.c) */
	TAILQ_ENTRY(pmap) pm_list;	/* l, user pmaps: all of them, by birth (pmap_steal.c) */
};

/* One managed mapping.  All fields: the page's md_pvlock; once unlinked, whoever did that. */
struct pv_entry {
	struct pv_entry	*pv_next;
	union {
		struct pmap	  *pv_pmap;
		struct vm_page_md *pv_md;	/* unlinked: the page that it mapped */
	};
	vaddr_t		 pv_va;
};

/*
 * TLB.  A tag is the page's address with the TLB's epoch in the bits between
 * the word offset and the page, so that one comparison checks address, epoch
 * and alignment, and to flush is to count the epoch up.
 */
#define	TLB_ENTRIES	512
#define	TLB_EPOCH_ONE	0x008UL
#define	TLB_EPOCH_MASK	0xff8UL
#define	TLB_TAG(va, epoch) (((va) & ~TLB_EPOCH_MASK) | (epoch))
#define	TE_USER		0x80000000U	/* entry of the user pmap, not the kernel's */

/* All fields: only the CPU itself, which means the LWP that holds it. */
struct tlb_entry {
	uint64_t	 te_tag;	/* 0: none */
	uint8_t		*te_host;	/* the frame */
	const struct vm_page_md *te_md;	/* whose generation, now (@) */
	uint32_t	 te_gen;	/* and when this entry was loaded */
	uint32_t	 te_rights;	/* PTE_R, X; PTE_W only once MOD is set; TE_USER */
};

/*
 * A shootdown request.  Each CPU has one, for it starts no second one before
 * the first is acknowledged.
 *	i  the initiating CPU, published by t_from and taken back by rq_pending
 */
struct tlb_request {
	uint64_t	 rq_pending[CPUSET_WORDS]; /* @ CPUs that have not acknowledged */
	bool		 rq_tired;	/* @ the initiator's thread has begun to yield */
	struct pmap	*rq_leave;	/* i pmap that is going away, or NULL */
	int		 rq_nva;	/* i > LWP_TLB_VAS: everything */
	vaddr_t		 rq_va[LWP_TLB_VAS]; /* i */
};

/*
 *	!  only the CPU itself		@  atomic
 */
struct tlb {
	uint64_t	 t_epoch;	/* !, read @ by pmap_check() */
	struct pmap	*t_pmap;	/* !, read @: active user pmap: we are in its set */
	bool		 t_kernel;	/* !, read @: we are in the kernel pmap's set */
	uint64_t	 t_hits;	/* !, read @: pmap_stat.tlb_hits_checked */
	struct pmap_stat t_stat;	/* !, read @ */
	paddr_t		 t_register;	/* ! device register page that the last walk found */
	uint64_t	 t_from[CPUSET_WORDS]; /* @ CPUs whose request waits for us */
	struct tlb_request t_rq;	/* ours, to others */
	struct tlb_entry t_entry[TLB_ENTRIES]; /* ! */
} __attribute__((aligned(64)));

/*
 * Invalidations being collected by one operation, on its stack.
 */
struct tlb_flush {
	uint64_t	 tf_cpus[CPUSET_WORDS];
	struct vm_page_md *tf_ptps;	/* PT pages to give back afterwards */
	bool		 tf_told;	/* every CPU has answered */
	int		 tf_nva;
	vaddr_t		 tf_va[LWP_TLB_VAS];
};

extern struct pmap kernel_pmap;
extern struct tlb *tlbs;		/* : array of ncpu; NULL before machine_boot() */
extern bool pmap_software_rm;		/* : */
extern struct machine_upcall machine_upcall; /* : */

#define	curtlb()	((struct tlb *)curcpu()->ci_md)

/* Count an event on this CPU; readers add the CPUs up (pmap_getstat). */
#define	PMAP_COUNT(field)	host_count(&curtlb()->t_stat.field, 1)

/* Set a field that has one writer and unlocked readers; partner: relaxed loads of it. */
#define	RELAXED_SET(var, val)	__atomic_store_n(&(var), (val), __ATOMIC_RELAXED)
#define	RELAXED_GET(var)	__atomic_load_n(&(var), __ATOMIC_RELAXED)

static inline unsigned
ptp_index(vaddr_t va, int level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) & (PTP_ENTRIES - 1);
}

static inline uint64_t *
ptp_table(uint64_t pde)
{
	return ram_host(pde & PTE_FRAME);
}

/*
 * What page tables order is the content of frames, of which ThreadSanitizer is told nothing
 * (frame.c): for it their entries order nothing, so as not to hide what pm_lock must order.  Entries
 * change atomically, or with the content of frames, so there is no race in them that it could see; to
 * read one it is not asked at all, for a fault reads twenty.
 */
#define	PTE_ACQUIRE	(UVMSTRESS_TSAN ? __ATOMIC_RELAXED : __ATOMIC_ACQUIRE)
#define	PTE_RELEASE	(UVMSTRESS_TSAN ? __ATOMIC_RELAXED : __ATOMIC_RELEASE)
#define	PTE_ACQ_REL	(UVMSTRESS_TSAN ? __ATOMIC_RELAXED : __ATOMIC_ACQ_REL)

/* => the entry is about to change: a point, about the frame that its table is in */
void	pte_point_now(const uint64_t *ptep);
static inline void
pte_point(const uint64_t *ptep)
{
	if (__builtin_expect(host_points, 0))
		pte_point_now(ptep);
	inject_delay(INJECT_pte_delay);
}

/* acquire: pairs with the release in pte_store(); a new table's zeroes are visible. */
static inline uint64_t
pte_load(const uint64_t *ptep)
{
#if UVMSTRESS_TSAN && defined(__x86_64__)
	uint64_t pte;

	__asm__ volatile("movq %1, %0" : "=r" (pte) : "m" (*ptep) : "memory");
	return pte;
#else
	return __atomic_load_n(ptep, PTE_ACQUIRE);
#endif
}

/* release: pairs with pte_load() of walkers. */
static inline void
pte_store(uint64_t *ptep, uint64_t pte)
{
	pte_point(ptep);
	__atomic_store_n(ptep, pte, PTE_RELEASE);
}

/*
 * => the old PTE, with every bit that a walker set before the exchange (S7).  A
 *    load and a store here would lose the M bit that comes in between (T-29).
 */
static inline uint64_t
pte_exchange(uint64_t *ptep, uint64_t pte)
{
	pte_point(ptep);
	return __atomic_exchange_n(ptep, pte, PTE_ACQ_REL);
}

static inline uint64_t
pte_clear_bits(uint64_t *ptep, uint64_t bits)
{
	if (BUG(modified_bit_lost)) {
		const uint64_t old = pte_load(ptep);

		pte_point(ptep);
		pte_store(ptep, old & ~bits);
		return old;
	}
	pte_point(ptep);
	return __atomic_fetch_and(ptep, ~bits, PTE_ACQ_REL);
}

/* softmmu.c: the CPU's own TLB, on that CPU, masked or at IPL_SCHED */
void	tlb_flush(struct tlb *);
/* => nva > LWP_TLB_VAS: everything */
void	tlb_invalidate_list(struct tlb *, const vaddr_t *va, int nva);

/* pmap_ptp.c */
/* => leaf slot of va, or NULL; pm_lock held, or a pv entry of va found under its md_pvlock. */
uint64_t *pmap_pte(struct pmap *, vaddr_t);
/* => likewise; *span = size of the aligned range that the leaf, or the missing table, covers. */
uint64_t *pmap_pte_span(struct pmap *, vaddr_t, vsize_t *span);
/* => as pmap_pte(), makes missing tables; NULL: no page, and nothing is changed.  pm_lock held. */
uint64_t *pmap_ptp_grow(struct pmap *, vaddr_t);
/*
 * => pm_lock held: a leaf table without wired mappings, of those the one with fewest; and the
 *    address it begins with.  NULL: there is none
 */
uint64_t *pmap_ptp_poorest(struct pmap *, vaddr_t *);
/* => a PTE became valid; pm_lock held. */
void	pmap_ptp_hold(struct pmap *, uint64_t *ptep);
/* => the PTE of va became invalid; tables left empty go to *limbo; pm_lock held. */
void	pmap_ptp_drop(struct pmap *, vaddr_t, uint64_t *ptep, struct vm_page_md **limbo);
/* => give PT pages back; no walker can be in them any more. */
void	pmap_ptp_free(struct vm_page_md *limbo);
/* => the kernel pmap's tables; shutdown. */
void	pmap_ptp_free_all(struct pmap *);
struct vm_page_md *pmap_ptp_md(const uint64_t *ptep);

/* pmap_pv.c */
void	pmap_pv_init(const struct pool_allocator *);
void	pmap_pv_fini(void);
struct pv_entry *pmap_pv_alloc(void);		/* NULL on shortage; does not sleep */
void	pmap_pv_free(struct pv_entry *);
void	pmap_pv_link(struct vm_page_md *, struct pv_entry *);	/* md_pvlock held */
/* => takes the entry off and harvests the R/M bits of the PTE that went; md_pvlock held. */
struct pv_entry *pmap_pv_unlink(struct vm_page_md *, struct pmap *, vaddr_t, uint64_t oldpte);
/* => it was just unlinked; TLBs may have its mapping yet: put on *list.  md_pvlock held. */
void	pmap_pv_leave(struct vm_page_md *, struct pv_entry *, struct pv_entry **list);
/* => no TLB has the list's mappings any more; frees them. */
void	pmap_pv_settle(struct pv_entry *list);

/* pmap_steal.c */
extern bool pmap_ptp_steal;			/* : */
void	pmap_steal_init(void);
void	pmap_steal_fini(void);
void	pmap_steal_add(struct pmap *);
void	pmap_steal_delete(struct pmap *);
/* => nothing of this floor locked; not from pm.  true: a table, and pv entries, came free. */
bool	pmap_steal(struct pmap *pm);

/* pmap.c */
/* => the valid mapping at va goes; tables left empty to *limbo, its pv entry to *gone, R/M
 *    harvested.  Invalidation is the caller's.  pm_lock held. */
void	pmap_take_pte(struct pmap *, vaddr_t, uint64_t *ptep, struct vm_page_md **limbo,
	    struct pv_entry **gone);
void	pmap_count_change(struct pmap *, uint64_t oldpte, uint64_t newpte);
/* => software-rm: sets REF (and MOD for a write) if the PTE permits the access. */
void	pmap_rm_fault(struct pmap *, vaddr_t, uint64_t need);

/* pmap_tlb.c */
int	pmap_tlb_boot(void);
void	pmap_tlb_shutdown(void);
/* => another pmap's packet of this LWP is sent first; no spin lock held unless ours is empty. */
void	pmap_tlb_begin(struct pmap *);
/* => va must be invalidated by the next pmap_update(); pm_lock held, the PTE not yet changed. */
void	pmap_tlb_note(struct pmap *, vaddr_t);
/*
 * => mappings of the page that others have removed, and reductions of rights that others
 *    have made, are complete too when the request is; md_pvlock held.
 */
void	pmap_tlb_collect_leaving(struct tlb_flush *, struct vm_page_md *);
/* => the PTE has been changed: add va, and who may cache it now (S2). */
void	pmap_tlb_collect(struct tlb_flush *, struct pmap *, vaddr_t);
/* => invalidate everywhere, wait, give PT pages back.  No spin lock held. */
void	pmap_tlb_complete(struct tlb_flush *);
/* => no CPU has the pmap active afterwards (S8). */
void	pmap_tlb_expel(struct pmap *);
void	pmap_tlb_join_kernel(struct tlb *);
void	pmap_tlb_switch(struct tlb *, struct pmap *);

static inline struct tlb_entry *
tlb_slot(struct tlb *t, vaddr_t va)
{
	return &t->t_entry[((va >> PAGE_SHIFT) ^ (va >> (PAGE_SHIFT + 9))) & (TLB_ENTRIES - 1)];
}

#endif /* MACHINE_PMAP_PRIVATE_H */
