/*
 * The amap's inside.  For src/uvm/uvm_amap*.c only (R36).
 *
 * Slots are kept in chunks of at most AMAP_CHUNK_SLOTS, so that no allocation
 * exceeds a page however large the amap is; an amap of up to that many slots has
 * one chunk, of just the size it needs, and only such an amap can be extended.
 * Within a chunk the used slots stand in a dense list with back pointers, as in
 * NetBSD they do within the whole amap (I-AMAP-1).
 */
#ifndef UVM_UVM_AMAP_I_H
#define UVM_UVM_AMAP_I_H

#include <uvm/uvm_amap.h>

#define	AMAP_CHUNK_SLOTS	256	/* 10 bytes a slot: with its header less than a page */

/* All fields: the amap's lock. */
struct amap_chunk {
	uint16_t	 ac_nslot;	/* stable */
	uint16_t	 ac_nused;
	uint8_t		*ac_slots;	/* [0, ac_nused): used slots, any order */
	uint8_t		*ac_bckptr;	/* by slot: its index in ac_slots */
	struct vm_anon	*ac_anon[];	/* by slot */
};

/*
 *	a  am_l		l  amap_list_lock	:  stable after creation
 * The geometry (am_nslot, am_chunk and the chunks' sizes) changes in amap_extend()
 * only, with a and map(W) of the one entry that refers to it; so either is enough to read.
 */
struct vm_amap {
	kmutex_t	 am_l;		/* LC_amap */
	int		 am_ref;	/* a, read @ as a snapshot */
	int		 am_flags;	/* a: AMAP_F_ */
	uint32_t	 am_id;		/* : */
	uint64_t	 am_nslot;	/* slots in use */
	uint64_t	 am_maxslot;	/* slots there are */
	uint64_t	 am_nused;	/* a: anons, all chunks */
	uint64_t	 am_nchunk;
	struct amap_chunk **am_chunk;
	struct amap_chunk *am_one;	/* am_chunk of an amap with one chunk */
	int		*am_ppref;	/* a: references by slot, am_maxslot of them; NULL, PPREF_NONE */
	TAILQ_ENTRY(vm_amap) am_list;	/* l */
};

#define	AMAP_F_SHARED	0x1		/* several processes share it: all see a replaced anon */

#define	PPREF_NONE	((int *)-1)	/* memory was short: references are not kept by slot */

static inline struct amap_chunk *
amap_chunk_of(const struct vm_amap *amap, uint64_t slot, unsigned *in)
{
	*in = (unsigned)(slot % AMAP_CHUNK_SLOTS);
	return amap->am_chunk[slot / AMAP_CHUNK_SLOTS];
}

/* --- uvm_amap.c, for its sisters --- */

struct vm_anon *amap_slot(const struct vm_amap *, uint64_t slot);	/* amap locked */
void	amap_slot_set(struct vm_amap *, uint64_t slot, struct vm_anon *);	/* slot is empty */
void	amap_slot_clear(struct vm_amap *, uint64_t slot);		/* slot is used */
void	amap_slot_replace(struct vm_amap *, uint64_t slot, struct vm_anon *);
void	amap_list_insert(struct vm_amap *);
/* => amap locked: drop the references of the slots' anons */
void	amap_wiperange(struct vm_amap *, uint64_t slot, uint64_t n);

/* --- uvm_amap_ppref.c --- */

/* => amap locked, no ppref yet: every slot has am_ref references */
void	amap_pp_establish(struct vm_amap *);
/* => amap locked: n slots gain or lose one reference; those left with none are wiped */
void	amap_pp_adjref(struct vm_amap *, uint64_t slot, uint64_t n, int adj);
void	amap_pp_free(struct vm_amap *);
static inline bool
amap_pp_valid(const struct vm_amap *amap)
{
	return amap->am_ppref != NULL && amap->am_ppref != PPREF_NONE;
}

#endif /* UVM_UVM_AMAP_I_H */
