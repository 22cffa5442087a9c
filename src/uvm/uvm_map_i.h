/*
 * Inside the map module: entries, their tree and their gaps.
 */
#ifndef UVM_UVM_MAP_I_H
#define UVM_UVM_MAP_I_H

#include <uvm/uvm.h>

/* => may sleep; never NULL */
struct vm_map_entry *uvm_mapent_alloc(struct vm_map *);
void	uvm_mapent_free(struct vm_map_entry *);
/* => map(W): new goes in behind prev, its range is free */
void	uvm_map_entry_link(struct vm_map *, struct vm_map_entry *prev, struct vm_map_entry *new);
/* => map(W): hint and first_free are moved off it */
void	uvm_map_entry_unlink(struct vm_map *, struct vm_map_entry *);
/* => map(W): start or end have changed; gaps of it and of its predecessor are made right */
void	uvm_map_entry_moved(struct vm_map *, struct vm_map_entry *);
/* => map(W): may a and its successor b be one entry, but for their amaps? */
bool	uvm_mapent_alike(const struct vm_map_entry *a, const struct vm_map_entry *b);
/* => map(W): clip so that [start,end) is covered by whole entries; the first one at or above start */
struct vm_map_entry *uvm_map_clip_range(struct vm_map *, vaddr_t start, vaddr_t end);
/* => map(W): the entry is wired: it no longer is, and its pages lose the wiring that it held */
void	uvm_map_entry_unwire(struct vm_map *, struct vm_map_entry *);
/* => map(W): bytes of the augmented tree below; for the checker */
vsize_t	uvm_map_tree_maxgap(const struct vm_map_entry *);
/* => map(R): walks the tree in order */
struct vm_map_entry *uvm_map_tree_first(struct vm_map *);
struct vm_map_entry *uvm_map_tree_next(struct vm_map_entry *);

static inline uint64_t
uvm_entry_npages(const struct vm_map_entry *entry)
{
	return atop(entry->end - entry->start);
}

#endif /* UVM_UVM_MAP_I_H */
