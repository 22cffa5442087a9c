/*
 * The content model of a replayed process: which regions it has mapped, and what
 * their words hold.
 */
#ifndef WORKLOADS_REPLAY_SPACE_H
#define WORKLOADS_REPLAY_SPACE_H

#include <harness/trace.h>

#include "engine_int.h"

#define	REPLAY_SLOTS_MAX	511	/* word 511 of a page is nobody's */

/* A synthetic file.  rf_own: belongs to one copy, because it is mapped shared somewhere. */
struct replay_file {
	struct vnode	*rf_vnode;
	uint64_t	 rf_object;
	uint64_t	 rf_size;
	bool		 rf_own;
};

#define	REPLAY_LEN_MAX		(1UL << 40)	/* bytes of one mapping */

/*
 * A private region has one word for each (page, slot), kept in chunks of 2 MiB of
 * address space that are made when first stored to: programs map far more than they
 * touch.  A shared region is not modelled word by word, for several processes write
 * it: its words are stamps.
 */
struct replay_region {
	vaddr_t		 rr_start, rr_end;
	uint32_t	 rr_file;	/* or TRACE_NONE */
	uint64_t	 rr_offset;	/* in the file, of rr_start */
	bool		 rr_shared;
	uint64_t	 rr_object;	/* shared: goes into its stamps; of page 0 at rr_first */
	uint64_t	 rr_first;	/* shared: page number of rr_start in the object */
	uint64_t	**rr_chunks;	/* private: by 2 MiB of address; [page][slot]; made with a CAS */
};

/* Changed only while no other thread of the process runs. */
struct replay_space {
	struct replay_region *rs_regions;	/* ascending */
	size_t		 rs_n;
	size_t		 rs_room;
	struct replay_file *rs_files;		/* stable */
	uint32_t	 rs_nfiles;		/* stable */
	unsigned	 rs_slots;		/* stable */
	uint32_t	 rs_version;		/* bumped by each change */
};

/* Where a thread found its last region. */
struct replay_cursor {
	uint32_t cu_version;
	size_t	 cu_region;
};

void	replay_space_init(struct replay_space *, struct replay_file *, uint32_t nfiles,
	    unsigned slots);
void	replay_space_fork(struct replay_space *child, const struct replay_space *parent);
void	replay_space_clear(struct replay_space *);
void	replay_space_fini(struct replay_space *);

/* => do and check one recorded reference, from the process' own LWP; 0 or an errno */
int	replay_reference(struct job_worker *, struct replay_space *, struct replay_cursor *,
	    unsigned slot, uint32_t kind, vaddr_t page);
/* => do one recorded mapping call and follow it in the model; 0 or an errno */
int	replay_map_op(struct job_worker *, struct proc *, struct replay_space *, uint32_t kind,
	    const struct trace_map *);

/* Files: create the shared set; each copy takes references and has its own of rf_own. */
int	replay_files_create(struct replay_file **, const struct trace *);
int	replay_files_copy(struct replay_file **, const struct replay_file *, const struct trace *);
void	replay_files_destroy(struct replay_file *, const struct trace *);

#endif /* WORKLOADS_REPLAY_SPACE_H */
