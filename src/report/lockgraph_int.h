/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the files that handle lock graphs.
 *
 * A graph that the harness owns sits in one struct with the memory of all its parts,
 * which goes with it: nothing in it is freed, or grown, on its own.
 */
#ifndef LOCKGRAPH_INT_H
#define LOCKGRAPH_INT_H

#include <harness/lockgraph.h>
#include <harness/xalloc.h>

struct lg_chunk;

/* All fields: whoever makes the graph, then stable. */
struct lg_owned {
	struct lockgraph lo_graph;	/* first: what everybody else sees */
	struct lg_chunk *lo_chunks;
};

struct lg_owned *lg_create(void);
/* => zeroed memory for n elements that lives as long as the graph */
void *lg_alloc(struct lg_owned *, size_t n, size_t size);
/* => a copy of the text; NULL for NULL */
const char *lg_text(struct lg_owned *, const char *);

/*
 * Finds an element of an array by what it says: a hash table of indices into it.
 * => same: is element i the one that key describes?
 */
struct lg_index {
	uint32_t *li_slots;		/* index + 1; 0: free */
	uint32_t *li_hashes;		/* of the elements */
	uint32_t li_size, li_n;		/* size: a power of two */
};

#define LG_INDEX_INITIALIZER { NULL, NULL, 0, 0 }
uint32_t lg_find(const struct lg_index *, uint32_t hash,
    bool (*same)(const void *ctx, uint32_t i), const void *ctx);
/* => element number li_n, which is new, has that hash */
void lg_add(struct lg_index *, uint32_t hash);
void lg_index_fini(struct lg_index *);
uint32_t lg_hash(uint32_t hash, const void *bytes, size_t len);
uint32_t lg_hash_text(uint32_t hash, const char *);

/* The names in files and reports; NULL ends each. */
extern const char *const lg_class_kinds[], *const lg_nests[], *const lg_modes[], *const lg_edge_kinds[],
    *const lg_grades[];
struct lg_usage_name {
	uint32_t lu_bit;
	const char *lu_name;
};
extern const struct lg_usage_name lg_usages[];	/* a row without name ends it */

#endif /* LOCKGRAPH_INT_H */
