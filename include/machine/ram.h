/*
 * Simulated RAM: one host mapping of 4 KiB frames, and what the machine floor
 * keeps for each of them.
 *
 * struct vm_page belongs to the VM floor; its first member is our struct
 * vm_page_md, so a pointer to one is a pointer to the other and this floor
 * need not know the rest.
 */
#ifndef MACHINE_RAM_H
#define MACHINE_RAM_H

#include <machine/vmparam.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mutex.h>

struct vm_page;
struct pv_entry;

/*
 *	v  md_pvlock	:  stable after boot	@  atomic
 *	p  pm_lock of the pmap whose page table page this is
 */
struct vm_page_md {
	kmutex_t	 md_pvlock;	/* LC_pv, IPL_VM; with what follows, 48 bytes of one cache line */
	union {
		struct pv_entry	  *md_pvlist;	/* v: managed mappings of the page */
		struct vm_page_md *md_ptpnext;	/* p PT page: next in limbo (pmap_ptp.c) */
	};
	uint32_t	 md_generation;	/* @ bumped when the frame is freed; checked on each TLB hit */
	uint32_t	 md_leaving;	/* @ removed mappings that may be in TLBs yet (pmap_pv.c) */
	uint16_t	 md_ptpcount;	/* p PT page: valid entries in it (I-PMAP-9) */
	uint8_t		 md_attrs;	/* @ PTE_REF | PTE_MOD harvested from removed mappings */
	uint8_t		 md_readonly;	/* @ nobody may store to the frame: pmap_page_readonly() */
	paddr_t		 md_pa;		/* : */
};

extern uint8_t	*ram_base;		/* : host address of frame 0 */
extern uint64_t	 ram_npages;		/* : */

/* => 0, or errno of the host (ENOMEM). */
int	ram_init(uint64_t npages);
void	ram_fini(void);
/* => tell the machine where the page structures are: one for each frame of RAM, in
 *    order, stride bytes each; their vm_page_md is initialised here. */
void	ram_attach_pages(void *base, size_t stride);

static inline void *
ram_host(paddr_t pa)
{
	return ram_base + pa;
}

/* What frames hold (frame.c). */
void	frame_zero(paddr_t);
void	frame_copy(paddr_t src, paddr_t dst);
/* => the caller owns the frame: marked as free, in its generation */
void	frame_mark_free(paddr_t, uint32_t generation);
/* => NULL, or the first word that is not as frame_mark_free() left it */
const uint64_t *frame_not_free(paddr_t, uint32_t generation);

/* => the md of a managed frame; NULL for device frames. */
struct vm_page_md *ram_md(paddr_t);

/*
 * Free frames are filled with poison in debug builds and their generation moves
 * on, so that a use after free shows as content and as a TLB mismatch (D6, I-PG-7).
 * => caller owns the frame exclusively.
 */
void	ram_frame_freed(struct vm_page_md *);
/* => panics unless a frame taken from the free list still holds its poison. */
void	ram_frame_check(struct vm_page_md *);

#endif /* MACHINE_RAM_H */
