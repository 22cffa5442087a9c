/*
 * Amaps: arrays of slots that may hold an anon.  Only the amap module touches
 * the fields (R36); struct vm_amap is defined in uvm_amap_i.h, which only
 * src/uvm/uvm_amap*.c and the tests include.
 */
#ifndef UVM_UVM_AMAP_H
#define UVM_UVM_AMAP_H

#include <stdio.h>
#include <uvm/uvm_anon.h>

struct vm_amap;
struct vm_map;
struct vm_map_entry;

/* A map entry's reference to part of an amap. */
struct vm_aref {
	uint64_t	 ar_pageoff;	/* map(W): first slot */
	struct vm_amap	*ar_amap;	/* map(W): or NULL */
};

#define	UVM_AMAP_LARGE	256		/* slots; above that no extension in place */
#define	UVM_AMAP_CHUNK	16		/* slots; granularity of copying big sparse ranges */

/* flags of amap_copy() */
#define	AMAP_COPY_NOWAIT	0x02
#define	AMAP_COPY_NOCHUNK	0x04
/* flags of amap_extend() */
#define	AMAP_EXTEND_BACKWARDS	0x00
#define	AMAP_EXTEND_FORWARDS	0x01
/* flags of amap_ref() */
#define	AMAP_SHARED		0x1
#define	AMAP_REFALL		0x2
/* in am_flags only: swapoff works on it and will free it, should the last reference go (I-AMAP-11) */
#define	AMAP_SWAPOFF		0x4

/* => boot, pools may be made */
void	uvm_amap_init(void);
/* => at rest; VIOL_LEAK when amaps are out */
void	uvm_amap_fini(void);

/* => thread context; the caller has a reference, or a lock under which one exists */
void	amap_lock(struct vm_amap *);		/* sleeps */
bool	amap_lock_try(struct vm_amap *);
void	amap_unlock(struct vm_amap *);
bool	amap_locked(struct vm_amap *);		/* by the current LWP */
kmutex_t *amap_mutex(struct vm_amap *);		/* for who names it to the lock auditor, or sleeps on it */
int	amap_refs(struct vm_amap *);		/* a snapshot unless locked */
bool	amap_shared(struct vm_amap *);		/* locked */
uint32_t amap_id(struct vm_amap *);		/* birth number, stable */
/* => slots in use of the array; stable while the map of an entry that refers to it is locked */
uint64_t amap_nslot(struct vm_amap *);

/* => unlocked, ref 1; size and slack in bytes; waitok: no map locked, may sleep; else NULL on shortage */
struct vm_amap *amap_alloc(vsize_t sz, vsize_t padsz, bool waitok);
/* => unreachable: ref 0, no slot used, off the list (R25, uvm-spec 2.4) */
void	amap_free(struct vm_amap *);
/* => map(W), amap unlocked, ref 1; never waits for memory; 0, ENOMEM, E2BIG */
int	amap_extend(struct vm_map_entry *, vsize_t addsize, int flags);
/* => map(W), amap unlocked; clears NEEDSCOPY, unless memory is short: the caller tests the flag */
void	amap_copy(struct vm_map *, struct vm_map_entry *, int flags, vaddr_t start, vaddr_t end);
/* => map(W) of parent, child's amap private; R13; may sleep for memory; ENOMEM if hopeless */
int	amap_cow_now(struct vm_map *, struct vm_map_entry *);
/* => amap locked; off: bytes from the entry's start */
struct vm_anon *amap_lookup(struct vm_aref *, vaddr_t off);
/* => n of them, at most 64; bit i of what it returns: there is one at i, else [i] is left alone */
uint64_t amap_lookups(struct vm_aref *, vaddr_t off, struct vm_anon **, int n);
/* => amap locked (anon locked too when replacing); replace in a SHARED amap revokes the old page
 *    everywhere, so that all sharers fault on the new one; returns the anon that was there */
struct vm_anon *amap_add(struct vm_aref *, vaddr_t off, struct vm_anon *, bool replace);
/* => amap locked; the slot's reference is the caller's now */
void	amap_unadd(struct vm_aref *, vaddr_t off);
/* => map(W), amap unlocked; off, len in slots relative to the aref */
void	amap_ref(struct vm_aref *, uint64_t npages, int flags);
/* => no map lock, amap unlocked; may free it; sleeps if last */
void	amap_unref(struct vm_aref *, uint64_t npages, bool all);
/* => map(W), amap unlocked; split at off bytes: new aref for the upper part */
void	amap_splitref(struct vm_aref *orig, struct vm_aref *split, vaddr_t off);
/* => amap locked (R25); lowers the protection of resident anon pages of the entry */
void	amap_share_protect(struct vm_map_entry *, vm_prot_t);
/* => amap locked, ref 0 (R25); gone on return, or left to swapoff; unlocked */
void	amap_wipeout(struct vm_amap *);
/* => amap locked; is any resident page of the range wired? (B-23) */
bool	amap_has_wired(struct vm_aref *, uint64_t npages);
/* => no lock held; sleeps: everything in these slots of swap is read in; true: memory is short */
bool	amap_swap_off(int startslot, int endslot);
uint64_t amap_count(void);		/* exact when nothing runs */
/* => amap locked: how many arefs cover the slot, as far as the amap knows */
int	amap_slot_refs(struct vm_amap *, uint64_t slot);
/* => checks I-AMAP-1..3, 5 under the amap's lock; number of violations */
unsigned amap_check(struct vm_amap *);
/* => amap locked; calls fn for each anon in it, unlocked: the inspectors' */
void	amap_foreach_anon(struct vm_amap *, void (*fn)(struct vm_anon *, void *), void *);
/* => calls fn for each live amap (list lock held: fn must not lock amaps but by trylock) */
void	amap_foreach(void (*fn)(struct vm_amap *, void *), void *);

/*
 * Reports on a broken machine: no lock is taken, no pointer trusted.
 * amap_of_mutex: the amap whose lock that is, if it is an amap's.
 * amap_peek_id: its number; false: that is no memory.  amap_peek: the anon in a slot, or NULL.
 * amap_print: what it looks like, and its first anons; calls fn for those.
 */
const struct vm_amap *amap_of_mutex(const void *mutex);
bool	amap_peek_id(const struct vm_amap *, uint32_t *);
const struct vm_anon *amap_peek(const struct vm_amap *, uint64_t slot);
void	amap_print(const struct vm_amap *, FILE *, void (*fn)(const struct vm_anon *, void *), void *);

#endif /* UVM_UVM_AMAP_H */
