/*
 * The amap's inside.  For src/uvm/uvm_amap*.c and the tests only (R36).
 *
 *	am_chunk -> [0]  slots 0..255    .---------------------------------------------.
 *		    [1]  slots 256..511  | head | anon[n] | ppref[n] | slots[n] | bckptr[n] |
 *		    ...			 '---------------------------------------------'
 *
 * Slots are kept in chunks of at most AMAP_CHUNK_SLOTS, so that no allocation of
 * slots exceeds a page however large the amap is; an amap of up to that many slots
 * has one chunk, of just the size it needs, and only such an amap can be extended.
 * (The array of chunk pointers is more than a page from 131073 slots on, 512 MB.)
 *
 * Two deviations from NetBSD.  The dense list of used slots, slots[0..ac_nused),
 * and its back pointers are kept by chunk, so I-AMAP-1 holds within each chunk.
 * And the references by slot (ppref) have their room in the chunk from the start,
 * one number for each slot: no run-length code, and counting by slot cannot fail,
 * so there is no PPREF_NONE, in which an amap would hold on to pages that nobody
 * can reach.
 */
#ifndef UVM_UVM_AMAP_I_H
#define UVM_UVM_AMAP_I_H

#include <bsd/sys/queue.h>
#include <uvm/uvm_amap.h>

#define	AMAP_CHUNK_SLOTS	256	/* 14 bytes a slot: 3.6 kB */

/*	a  am_l		:  stable after creation	*/
struct amap_chunk {
	uint16_t	 ac_nslot;	/* : */
	uint16_t	 ac_nused;	/* a */
	struct vm_anon	*ac_anon[];	/* a: by slot; then the three arrays below */
};

/* a: references by slot, if am_pp */
static inline int *
amap_chunk_ppref(struct amap_chunk *ac)
{
	return (int *)&ac->ac_anon[ac->ac_nslot];
}

/* a: [0, ac_nused): used slots, in any order */
static inline uint8_t *
amap_chunk_slots(struct amap_chunk *ac)
{
	return (uint8_t *)&amap_chunk_ppref(ac)[ac->ac_nslot];
}

/* a: by slot: its index in slots */
static inline uint8_t *
amap_chunk_bckptr(struct amap_chunk *ac)
{
	return &amap_chunk_slots(ac)[ac->ac_nslot];
}

/*
 *	a  am_l		l  amap_list_lock	:  stable after creation
 *	g  changed by amap_extend() only, with a and map(W) of the one entry that
 *	   refers to it; either is enough to read
 */
struct vm_amap {
	kmutex_t	 am_l;		/* LC_amap */
	int		 am_ref;	/* a, read @ as a snapshot */
	int		 am_flags;	/* a: AMAP_SHARED, AMAP_SWAPOFF */
	bool		 am_marker;	/* : not an amap: swapoff's place in the list */
	bool		 am_pp;		/* a: references are counted by slot */
	uint32_t	 am_id;		/* : */
	uint64_t	 am_nslot;	/* g: slots in use */
	uint64_t	 am_maxslot;	/* g: slots there are */
	uint64_t	 am_nused;	/* a: anons, all chunks */
	uint64_t	 am_nchunk;	/* : */
	struct amap_chunk **am_chunk;	/* :, or &am_one */
	struct amap_chunk *am_one;	/* g: the chunk of an amap with one */
	TAILQ_ENTRY(vm_amap) am_list;	/* l */
};

extern kmutex_t amap_list_lock;			/* LC_amap_list */
extern TAILQ_HEAD(amap_list, vm_amap) amap_list;	/* l */

static inline struct amap_chunk *
amap_chunk_of(const struct vm_amap *amap, uint64_t slot, unsigned *in)
{
	*in = (unsigned)(slot % AMAP_CHUNK_SLOTS);
	return amap->am_chunk[slot / AMAP_CHUNK_SLOTS];
}

/* --- uvm_amap_slot.c: chunks and slots; amap locked, or nobody knows it --- */

/* => room for so many slots, all empty; false: memory is short */
bool	amap_slots_alloc(struct vm_amap *, uint64_t slots, bool waitok);
void	amap_slots_free(struct vm_amap *);
/* => one chunk: the slots move to a larger one, shift places up; 0 or ENOMEM */
int	amap_slots_move(struct vm_amap *, uint64_t slots, uint64_t shift);
struct vm_anon *amap_slot(const struct vm_amap *, uint64_t slot);
void	amap_slot_set(struct vm_amap *, uint64_t slot, struct vm_anon *);	/* slot is empty */
void	amap_slot_clear(struct vm_amap *, uint64_t slot);		/* slot is used */
void	amap_slot_replace(struct vm_amap *, uint64_t slot, struct vm_anon *);
/* => the first used slot in [slot, end), or end */
uint64_t amap_slot_next(const struct vm_amap *, uint64_t slot, uint64_t end);

/* --- uvm_amap.c --- */

/* => amap locked: n slots gain or lose an aref; not the last one */
void	amap_adjref(struct vm_amap *, uint64_t slot, uint64_t n, int adj);
/* => amap locked, or nobody knows it; the slot is used: its anon loses a reference, and if it was the
 *    last one, the anon is in the batch, which has room */
void	amap_slot_wipe(struct vm_amap *, uint64_t slot, struct uvm_anon_batch *);

/* --- uvm_amap_ppref.c; amap locked --- */

int	amap_pp_count(const struct vm_amap *, uint64_t slot);
/* => not counted by slot so far: every slot has am_ref references */
void	amap_pp_establish(struct vm_amap *);
/* => n slots gain or lose one reference; those left with none are wiped, and their anons have other references */
void	amap_pp_adjref(struct vm_amap *, uint64_t slot, uint64_t n, int adj);
/* => of n slots the first lose one, and those left with none are wiped, until the batch has as many anons
 *    as it may have while the amap is locked: how many slots that were */
uint64_t amap_pp_unref(struct vm_amap *, uint64_t slot, uint64_t n, struct uvm_anon_batch *);
/* => one aref is left, and covers just these slots */
void	amap_pp_only(struct vm_amap *, uint64_t slot, uint64_t n);

#endif /* UVM_UVM_AMAP_I_H */
