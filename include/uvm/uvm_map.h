/*
 * Maps: one address space, or a window of the kernel's, as a sorted set of
 * entries with two layers each: an amap over an object.  No object chains, no
 * share maps (R36).
 */
#ifndef UVM_UVM_MAP_H
#define UVM_UVM_MAP_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <sys/condvar.h>
#include <sys/rwlock.h>
#include <uvm/uvm_amap.h>

struct uvm_object;

#define	VM_MAPENT_ALIGN	64		/* a line of the cache */

/*
 * All fields: map lock, W to change, R to read; while the map is busy and
 * unlocked nobody changes any entry.
 *
 * What a walk through the tree reads, down to an address and up with the gaps, is the first line of
 * the cache and no other: with many entries each step of it is a line from memory.
 */
struct vm_map_entry {
	RB_ENTRY(vm_map_entry) rb_node;
	vaddr_t		 start, end;
	vsize_t		 gap;			/* free bytes between our end and next's start */
	vsize_t		 maxgap;		/* largest gap in our subtree */
	struct vm_map_entry *prev, *next;	/* list with sentinel &map->header */
	union {
		struct uvm_object *uvm_obj;
		struct vm_map	*sub_map;
	} object;
	voff_t		 offset;		/* bytes in the object */
	int		 etype;			/* UVM_ET_ */
	vm_prot_t	 protection, max_protection;
	vm_inherit_t	 inheritance;
	int		 wired_count;		/* wired entry: contributes 1 to each page */
	struct vm_aref	 aref;
	int		 advice;
	int		 flags;			/* UVM_MAP_ */
	uint32_t	 id;			/* birth number, stable */
};

#define	UVM_ET_OBJ		0x01
#define	UVM_ET_SUBMAP		0x02
#define	UVM_ET_COPYONWRITE	0x04
#define	UVM_ET_NEEDSCOPY	0x08
#define	UVM_ET_ISOBJ(e)		(((e)->etype & UVM_ET_OBJ) != 0)
#define	UVM_ET_ISSUBMAP(e)	(((e)->etype & UVM_ET_SUBMAP) != 0)
#define	UVM_ET_ISCOPYONWRITE(e)	(((e)->etype & UVM_ET_COPYONWRITE) != 0)
#define	UVM_ET_ISNEEDSCOPY(e)	(((e)->etype & UVM_ET_NEEDSCOPY) != 0)
#define	VM_MAPENT_ISWIRED(e)	((e)->wired_count != 0)

#define	UVM_MAP_KERNEL		0x01
#define	UVM_MAP_QUANTUM		0x08	/* whole quanta, which come and go one by one */
#define	UVM_MAP_NOMERGE		0x10
#define	UVM_MAP_QREF		0x20	/* refers to the whole amap, for a moment (UVM_EXTRACT_QREF) */

RB_HEAD(uvm_map_tree, vm_map_entry);
LIST_HEAD(uvm_vslocks, uvm_vslock);

/*
 *	m  lock (W to change, R to read)	i  misc_lock	:  stable after creation
 */
struct vm_map_hint {
	struct vm_map_entry *entry;		/* @ map(R) and atomic: alive */
	uint8_t		 pad[64 - sizeof(struct vm_map_entry *)];	/* on a line of its own */
};
#define	VM_MAP_HINTS	8

struct vm_map {
	krwlock_t	 lock;			/* LC_map or LC_kmap; unused if INTRSAFE */
	uint8_t		 pad[64 - sizeof(krwlock_t)];	/* each reader writes it: a line apart from what they read */
	struct pmap	*pmap;			/* : */
	kmutex_t	 mutex;			/* INTRSAFE: spin, IPL_VM */
	kmutex_t	 misc_lock;		/* LC_map_misc */
	kcondvar_t	 cv;			/* waiters for unbusy */
	struct lwp	*busy;			/* set under m, cleared under i; the LWP that wires */
	int		 flags;			/* : VM_MAP_ */
	bool		 wirefuture;		/* m, read @: mlockall(MCL_FUTURE) */
	bool		 dying;			/* m */
	bool		 wantva;		/* m and i to change, read m, or peeked @: somebody sleeps on cv for addresses */
	struct uvm_map_tree rb_tree;		/* m */
	struct vm_map_entry header;		/* m: sentinel; end = min, start = max */
	int		 nentries;		/* m */
	vsize_t		 size;			/* m: sum of entry sizes */
	vsize_t		 wantva_size;		/* m: wantva: its largest since, at the end of a section */
	int		 ref_count;		/* i */
	struct uvm_vslocks vslocks;		/* i: I/O under way to it */
	unsigned	 nvslocks;		/* i, read @: how many */
	vaddr_t		 wire_next, wire_end;	/* i: what an mlock under way has not wired yet */
	vsize_t		 quantum;		/* : kernel maps: size of a QUANTUM allocation, or 0 */
	struct vm_map_entry *merged_entries;	/* m: for splits: of quanta (R41); user maps: to come */
	int		 nparked;		/* m: how many */
	struct uvm_mapent_reservation *reserved;	/* m: of the unmap that is at work (R42) */
	struct vm_map_hint hints[VM_MAP_HINTS];	/* by CPU: each its own, as long as there are so many */
	unsigned	 timestamp;		/* m: bumped at each write lock */
	uint32_t	 id;			/* : */
	vsize_t		 limit;			/* m: RLIMIT_AS of the process whose it is; largest value: none */
	vsize_t		 allowed;		/* m: what that was when it grew last (I-STAT-12) */
};

#define	vm_map_min(map)		((map)->header.end)
#define	vm_map_max(map)		((map)->header.start)

#define	VM_MAP_PAGEABLE		0x01	/* : */
#define	VM_MAP_INTRSAFE		0x02	/* : */

/* The flags word of uvm_map(): protections, inheritance, advice and */
#define	UVM_MAPFLAG(prot, max, inh, adv, flags)					\
	((unsigned)(prot) | ((unsigned)(max) << 4) | ((unsigned)(inh) << 8) |	\
	((unsigned)(adv) << 12) | (unsigned)(flags))
#define	UVM_PROTECTION(f)	((int)((f) & 7))
#define	UVM_MAXPROTECTION(f)	((int)(((f) >> 4) & 7))
#define	UVM_INHERIT(f)		((int)(((f) >> 8) & 3))
#define	UVM_ADVICE(f)		((int)(((f) >> 12) & 7))
#define	UVM_FLAG_FIXED		0x010000
#define	UVM_FLAG_OVERLAY	0x020000	/* allocate the amap now */
#define	UVM_FLAG_NOMERGE	0x040000
#define	UVM_FLAG_COPYONW	0x080000
#define	UVM_FLAG_AMAPPAD	0x100000
#define	UVM_FLAG_TRYLOCK	0x200000
#define	UVM_FLAG_NOWAIT		0x400000
#define	UVM_FLAG_UNMAP		0x800000	/* FIXED: replace what is there, in the same lock section (B-20) */
#define	UVM_FLAG_QUANTUM	0x2000000	/* kernel maps: one quantum, freed as such: may merge */
#define	UVM_FLAG_WAITVA		0x1000000	/* sleeps until there is room */

#define	UVM_UNKNOWN_OFFSET	((voff_t)-1)	/* kernel object: the address says it */

#define	UVM_LK_ENTER	0x1		/* uvm_map_pageable: map(W) on entry */
#define	UVM_LK_EXIT	0x2		/* and on exit */

/* --- locking, uvm-spec 1.6 --- */
void	vm_map_lock(struct vm_map *);		/* W; waits while another LWP has it busy; timestamp++ */
bool	vm_map_lock_try(struct vm_map *);
void	vm_map_unlock(struct vm_map *);
void	vm_map_lock_read(struct vm_map *);	/* not recursive, not INTRSAFE */
bool	vm_map_lock_read_try(struct vm_map *);	/* for relocking with a busy page in hand (H-1) */
void	vm_map_unlock_read(struct vm_map *);
void	vm_map_busy(struct vm_map *);		/* map locked; then it may be unlocked */
void	vm_map_unbusy(struct vm_map *);
void	vm_map_downgrade(struct vm_map *);
/* => map(R) -> map(W) and true, or false and map(R) kept; timestamp++ on success */
bool	vm_map_upgrade_try(struct vm_map *);
/*
 * => user map, unlocked: map(W), and splitting it at start and at end needs no memory; drain:
 *    and no I/O is under way to the range.  Or ENOMEM: unlocked, nothing can be reclaimed
 */
int	uvm_map_lock_split(struct vm_map *, vaddr_t start, vaddr_t end, bool drain);
bool	vm_map_locked_write(struct vm_map *);
static inline bool
vm_map_intrsafe(const struct vm_map *map)
{
	return (map->flags & VM_MAP_INTRSAFE) != 0;
}
/* => R or W, by this LWP; audit=off: R by anybody */
static inline bool
vm_map_locked(const struct vm_map *map)
{
	return vm_map_intrsafe(map) ? mutex_owned(&map->mutex) : rw_lock_held(&map->lock);
}
/* => not by this LWP; audit=off: not W, for whose R it is nobody knows.  For assertions */
bool	vm_map_notlocked(struct vm_map *);
/* => panics if the current LWP has any map locked: "a fault sleeps", and may not then (I-FLT-6) */
void	vm_map_assert_none(const char *what);

/* --- life --- */
void	uvm_map_init(void);			/* boot: pools */
void	uvm_map_fini(void);
void	uvm_map_setup(struct vm_map *, struct pmap *, vaddr_t min, vaddr_t max, int flags);
void	uvm_map_teardown(struct vm_map *);	/* no entries left */

/* --- entries --- */
/* => map(R or W); false: hole, *entry is the one before it (or the sentinel) */
bool	uvm_map_lookup_entry(struct vm_map *, vaddr_t, struct vm_map_entry **);
/* => map(W); start of a free range or false; uvm-spec 1.5 */
bool	uvm_map_findspace(struct vm_map *, vaddr_t hint, vsize_t len, vaddr_t *result,
	    vsize_t align, unsigned flags);
/*
 * => map(W); split so that this very entry starts (ends) at va.  User maps: an entry for it is
 *    there: uvm_map_lock_split()
 */
void	uvm_map_clip_start(struct vm_map *, struct vm_map_entry *, vaddr_t);
void	uvm_map_clip_end(struct vm_map *, struct vm_map_entry *, vaddr_t);

/*
 * => map unlocked; size page multiple; the caller's reference to uobj is handed
 *    over on success, kept by the caller on failure; *startp: hint in, address out
 * => WAITVA: with no VM lock held, in a sleepable map that it fits into; not with NOWAIT or FIXED
 * => 0, EACCES, EAGAIN (TRYLOCK), ENOMEM; never leaves partial state
 */
int	uvm_map(struct vm_map *, vaddr_t *startp, vsize_t, struct uvm_object *, voff_t,
	    vsize_t align, unsigned flags);
/* => map unlocked; holes are legal; never fails: waits for memory, the map unlocked */
void	uvm_unmap(struct vm_map *, vaddr_t start, vaddr_t end);
/* => the same for user maps; ENOMEM: it would have to split an entry, nothing has changed */
int	uvm_munmap(struct vm_map *, vaddr_t start, vaddr_t end);
/* => as uvm_unmap(), of whole quanta in a kernel map: allocates nothing and does not sleep; any
 *    context to IPL_VM if the map is interrupt-safe (R41) */
void	uvm_unmap_quantum(struct vm_map *, vaddr_t start, vaddr_t end);
/* => map(W) -> map(W); dead entries chained through next, for uvm_unmap_detach() */
void	uvm_unmap_remove(struct vm_map *, vaddr_t start, vaddr_t end, struct vm_map_entry **dead);
/* => map unlocked; sleeps; drops amap and object references, frees entries */
void	uvm_unmap_detach(struct vm_map_entry *dead);

/* --- attributes, uvm-spec 1.11: map unlocked unless said; errors as there --- */
int	uvm_map_protect(struct vm_map *, vaddr_t, vaddr_t, vm_prot_t, bool set_max);
int	uvm_map_inherit(struct vm_map *, vaddr_t, vaddr_t, vm_inherit_t);
int	uvm_map_advice(struct vm_map *, vaddr_t, vaddr_t, int advice);
bool	uvm_map_checkprot(struct vm_map *, vaddr_t, vaddr_t, vm_prot_t);	/* map(R) */
int	uvm_map_clean(struct vm_map *, vaddr_t, vaddr_t, int pgo_flags);
/* wiring, uvm-spec 1.12 */
int	uvm_map_pageable(struct vm_map *, vaddr_t, vaddr_t, bool unwire, int lockflags);
/* limit: of all that is wired, in bytes */
int	uvm_map_pageable_all(struct vm_map *, int flags, vsize_t limit);
int	uvm_map_submap(struct vm_map *, vaddr_t, vaddr_t, struct vm_map *);
/* => old: no hole (EFAULT); *newva: in if fixed, out; E2BIG, EINVAL, ENOMEM and all is as before */
int	uvm_mremap(struct vm_map *, vaddr_t oldva, vsize_t oldsize, vaddr_t *newva,
	    vsize_t newsize, bool fixed);

/*
 * --- map entry passing, uvm-spec 1.14: uvm_map_extract.c ---
 *
 * A blank entry reserves addresses: nobody can use them, or give them another protection,
 * only unmap or replace them.
 * => map unlocked; true and *vap, or false: no room, or no memory; flags: of uvm_map()
 */
bool	uvm_map_reserve(struct vm_map *, vsize_t size, vaddr_t hint, vsize_t align, vaddr_t *vap,
	    unsigned flags);
/*
 * => map(W): if [start,end) is exactly one blank entry, it is freed and the list put there:
 *    n entries with references and addresses of their own, in order through next; none: the
 *    addresses are free.  false: it is something else by now, and nothing has changed
 */
bool	uvm_map_replace(struct vm_map *, vaddr_t start, vaddr_t end, struct vm_map_entry *list, int n);

#define	UVM_EXTRACT_REMOVE	0x01	/* move: it is at both places at no moment, or at neither */
#define	UVM_EXTRACT_RESERVED	0x02	/* *dstaddrp is a reservation of the caller's */
#define	UVM_EXTRACT_CONTIG	0x04	/* fails if there is a hole */
#define	UVM_EXTRACT_QREF	0x08	/* a window for a moment: no references by slot; kernel dst */
#define	UVM_EXTRACT_FIXPROT	0x10	/* with all rights that the source may ever have */

/*
 * Pass what is mapped at [start, start+len) of a user map to another map, or the same one:
 * shared, so that each sees what the other stores; or moved.
 * => both maps unlocked, no VM lock held; sleeps.  start and len are whole pages
 * => REMOVE: user maps, and not with CONTIG or QREF; what was wired no longer is
 * => *dstaddrp: a hint in (RESERVED: the address), the address out
 * => 0; ENOMEM: no addresses or no memory; EINVAL: a submap, or a hole and CONTIG; EIO: somebody
 *    has unmapped or replaced the reservation.  An error has changed nothing, and a
 *    reservation of the caller's is still his.
 */
int	uvm_map_extract(struct vm_map *src, vaddr_t start, vsize_t len, struct vm_map *dst,
	    vaddr_t *dstaddrp, int flags);

/*
 * Debugger access, uvm-spec 1.16: uvm_io.c.  Stores to what is mapped copy-on-write stay in
 * this address space, whatever its protection.
 * => map unlocked, nothing else either; sleeps.
 * => *residp bytes between va of the map and buf; on return as many are left.  What lies
 *    beyond the map's end is left without an error
 * => 0; EIO: it wraps; EFAULT: a hole, or no right at all; the fault's errno
 */
int	uvm_io(struct vm_map *, vaddr_t va, void *buf, size_t *residp, bool write);

/* => map(R): I-MAP-1..4, 6; number of violations reported */
unsigned uvm_map_check(struct vm_map *);
uint64_t uvm_mapent_count(void);
/* => as ddb's "show map" */
void	uvm_map_print(struct vm_map *, FILE *);

#endif /* UVM_UVM_MAP_H */
