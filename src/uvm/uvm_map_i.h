/*
 * Inside the map module: entries, their tree and their gaps.
 */
#ifndef UVM_UVM_MAP_I_H
#define UVM_UVM_MAP_I_H

#include <uvm/uvm.h>

struct proc;

/* => never sleeps; NULL when memory is short */
struct vm_map_entry *uvm_mapent_tryalloc(struct vm_map *);
void	uvm_mapent_free(struct vm_map_entry *);
/*
 * => map(W): entries for splits at these n addresses are with the map; false: memory is short.
 *    So nobody waits for memory with a user map locked because he has to split it.  Kernel
 *    maps: always true, who unmaps there brings his own
 */
bool	uvm_mapent_ready(struct vm_map *, const vaddr_t *at, int n);
/* => map(W), or its last user: those that were not needed go */
void	uvm_mapent_unready(struct vm_map *);

/* --- kernel maps: uvm_kmapent.c --- */
#define	UMR_MAX		2		/* an unmap splits two entries at most */
struct uvm_mapent_reservation {		/* the unmap that made it */
	struct vm_map_entry *umr_entries[UMR_MAX];
	int		 umr_n;
};
void	uvm_kmapent_init(void);
void	uvm_kmapent_fini(void);
uint64_t uvm_kmapent_count(void);
/* => NULL: memory is short; waits only if it may and the map is not interrupt-safe */
struct vm_map_entry *uvm_kmapent_alloc(struct vm_map *, bool waitok);
void	uvm_kmapent_free(struct vm_map_entry *);	/* never blocks */
/* => map unlocked: entries for an unmap that is not of quanta (R42); what is left goes back */
void	uvm_mapent_reserve(struct vm_map *, struct uvm_mapent_reservation *);
void	uvm_mapent_unreserve(struct uvm_mapent_reservation *);
/* => map(W): an entry that merging has made needless stays with the map (R41) */
void	uvm_mapent_park(struct vm_map *, struct vm_map_entry *);
/* => map(W): e goes whole: what was parked for its inner borders is chained to dead */
void	uvm_mapent_unpark(struct vm_map *, const struct vm_map_entry *e, struct vm_map_entry **dead);
/* => map(W): an entry for a split of e at va; never NULL, never sleeps */
struct vm_map_entry *uvm_kmapent_forsplit(struct vm_map *, const struct vm_map_entry *e, vaddr_t va);
/* => map(W): I-MAP-11 */
bool	uvm_mapent_parked_ok(struct vm_map *);
/* => map(W): new goes in behind prev, its range is free */
extern uint32_t uvm_map_lastid;

void	uvm_map_entry_link(struct vm_map *, struct vm_map_entry *prev, struct vm_map_entry *new);
/* => map(W): the hint is moved off it */
void	uvm_map_entry_unlink(struct vm_map *, struct vm_map_entry *);
/* => map(W): start or end have changed; gaps of it and of its predecessor are made right */
void	uvm_map_entry_moved(struct vm_map *, struct vm_map_entry *);
/* => map(W): may a and its successor b be one entry, but for their amaps? */
bool	uvm_mapent_alike(const struct vm_map_entry *a, const struct vm_map_entry *b);
/* => map(W): e takes its neighbour's range, which has no amap and is chained to dead */
void	uvm_mapent_absorb(struct vm_map *, struct vm_map_entry *e, struct vm_map_entry *gone,
	    struct vm_map_entry **dead);
/*
 * => map(W): low and its successor become one if they are alike and have no amaps (for
 *    slots would have to move).  The one that goes is chained to dead, with its object
 *    reference.
 */
bool	uvm_mapent_trymerge(struct vm_map *, struct vm_map_entry *low, struct vm_map_entry **dead);
/* => map(W), user map: the entry has an amap of its own now; 0, or ENOMEM and it is as before */
int	uvm_mapent_copynow(struct vm_map *, struct vm_map_entry *);
/* => map(W): clip so that [start,end) is covered by whole entries; the first one at or above start */
struct vm_map_entry *uvm_map_clip_range(struct vm_map *, vaddr_t start, vaddr_t end);
/* => map(W): the entry is wired: it no longer is, and its pages lose the wiring that it held */
void	uvm_map_entry_unwire(struct vm_map *, struct vm_map_entry *);
/* => map(W): bytes of the augmented tree below; for the checker */
vsize_t	uvm_map_tree_maxgap(const struct vm_map_entry *);
/* => map(R): walks the tree in order */
struct vm_map_entry *uvm_map_tree_first(struct vm_map *);
struct vm_map_entry *uvm_map_tree_next(struct vm_map_entry *);

/*
 * => map(W) of old's: an entry for dst like the part [start,end) of old, with references of
 *    its own, at the same addresses, in no map, not wired; amapflags: of amap_ref().  NULL:
 *    memory is short
 */
struct vm_map_entry *uvm_mapent_twin(struct vm_map *dst, const struct vm_map_entry *old,
	    vaddr_t start, vaddr_t end, int amapflags);
/*
 * => map(W): the entry's amap is going to be shared with another map.  Pages of the object
 *    that were mapped while it was private would stay so when another sharer puts an anon
 *    above them (I-AMAP-9); so they are unmapped.  pmap_update() is the caller's.
 */
void	uvm_map_drop_lower(struct vm_map *, struct vm_map_entry *);
/*
 * => both maps(W), or the same one; [to, to+size) of dst is free: what is mapped at
 *    [from, from+size) of src goes there.  Not wired any more; gone from all TLBs
 */
void	uvm_map_move(struct vm_map *src, vaddr_t from, vsize_t size, struct vm_map *dst, vaddr_t to);
/* => map(W): addresses have become free: who waits for some is woken */
void	uvm_map_wakeva(struct vm_map *);

/* A mapping on its way into a map; only its maker. */
struct uvm_mapping {
	struct vm_map_entry	 um_want;	/* what it shall be like */
	struct vm_map_entry	*um_spare;	/* the entry, unless a neighbour takes it */
	struct vm_amap		*um_amap;	/* OVERLAY: its amap */
	struct uvm_object	*um_surplus;	/* a reference that merging has made needless */
	struct vm_map_entry	*um_dead;	/* what it replaced, or merged with */
	unsigned		 um_flags;
};
/* => map unlocked; 0, EACCES, ENOMEM; uvm_map_finish() in any case */
int	uvm_map_prepare(struct vm_map *, struct uvm_mapping *, vsize_t, struct uvm_object *,
	    voff_t, unsigned flags);
/* => map(W); 0, or ENOMEM and nothing has changed; *startp: hint in, address out */
int	uvm_map_enter(struct vm_map *, struct uvm_mapping *, vaddr_t *startp, vsize_t align);
/* => map unlocked; gives back what was not used */
void	uvm_map_finish(struct uvm_mapping *);

/*
 * --- resource limits: uvm_rlimit.c ---
 *
 * => map(W): may it grow by more bytes, if what is mapped in [start,end) goes in the same section?
 *    Yes: and so it is now.  Every growth asks here (I-STAT-12)
 */
bool	uvm_map_may_grow(struct vm_map *, vsize_t more, vaddr_t start, vaddr_t end);
/* => the limit as it is at the moment */
uint64_t uvm_rlimit(const struct proc *, int which);
/* => p is not in the table yet: limits as its parent's, or the system's (NULL) */
void	uvm_rlimit_inherit(struct proc *p, const struct proc *parent);
/* => would wiring so much more exceed p's RLIMIT_MEMLOCK?  map(W), or a hint */
bool	uvm_over_memlock(const struct proc *p, vsize_t len);
/*
 * => map(W): uvm_map_protect(), for who has the map locked, and entries for splits at both ends.
 *    EACCES, EINVAL: nothing has changed; ENOMEM: the rights have, but MCL_FUTURE could not wire.
 *    dead: for uvm_unmap_detach(), the map unlocked
 */
int	uvm_map_protect_locked(struct vm_map *, vaddr_t start, vaddr_t end, vm_prot_t, bool set_max,
	    struct vm_map_entry **dead);

static inline uint64_t
uvm_entry_npages(const struct vm_map_entry *entry)
{
	return atop(entry->end - entry->start);
}

#endif /* UVM_UVM_MAP_I_H */
