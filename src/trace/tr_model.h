/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The model that decides which sequence of operations is a sound trace: who
 * lives, what is mapped where.  Reader and writer run every operation through the
 * same model, the reader to refuse, the writer to repair, so that they cannot
 * disagree about what a sound trace is.
 *
 * A model belongs to the one thread that reads or writes; nothing here locks.
 */
#ifndef TR_MODEL_H
#define TR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <harness/trace.h>

/* A mapping.  Neighbours that could be one mapping are one, shared anonymous ones apart. */
struct tr_seg {
	uint64_t sg_start, sg_end;
	uint64_t sg_offset;
	uint32_t sg_file;
	uint8_t sg_prot, sg_flags;	/* sg_flags: TM_SHARED only */
};

/* An address space: mappings sorted by address, disjoint. */
struct tr_space {
	struct tr_seg *sp_seg;
	size_t sp_n, sp_cap;
};

/* Pages touched: open addressing, page number, 0 is free (page 0 is never mapped). */
struct tr_pages {
	uint64_t *pg_slot;
	size_t pg_n, pg_size;
};

struct tr_proc {
	struct tr_space pr_space;
	struct tr_pages pr_pages;
	uint32_t pr_parent;
	uint32_t pr_main;
	uint32_t pr_nthreads;		/* ever */
	uint32_t pr_live;		/* threads now */
	uint32_t pr_nepochs;		/* barriers so far */
	uint32_t pr_inepoch;		/* other operations since the last one */
	uint32_t *pr_epoch_ops;		/* [pr_nepochs] */
	bool pr_started, pr_exited;
};

struct tr_thread {
	uint32_t th_proc;
	uint32_t th_creator;
	uint32_t th_nops;
	bool th_started, th_ended;
	uint64_t th_page[3];		/* codec: last page of each kind of reference */
};

struct tr_model {
	struct tr_proc *md_proc;
	struct tr_thread *md_thread;
	const struct trace_file *md_file;
	uint32_t md_nproc, md_nthread, md_nfile;
	size_t md_live;			/* mappings of all processes */
	uint64_t md_touched, md_touched_peak;
};

/*
 * tr_space_at: index of the first mapping that ends after va.
 * tr_space_find: the mapping at va, or NULL.
 * tr_space_free: nothing is mapped in the range.  tr_space_covered: everything is.
 * tr_space_unmap, _map, _protect: change the range; _map: it is free
 */
size_t tr_space_at(const struct tr_space *, uint64_t va);
const struct tr_seg *tr_space_find(const struct tr_space *, uint64_t va);
bool tr_space_free(const struct tr_space *, uint64_t start, uint64_t end);
bool tr_space_covered(const struct tr_space *, uint64_t start, uint64_t end);
void tr_space_unmap(struct tr_space *, uint64_t start, uint64_t end);
void tr_space_map(struct tr_space *, const struct tr_seg *);
void tr_space_protect(struct tr_space *, uint64_t start, uint64_t end, uint8_t prot);
void tr_space_copy(struct tr_space *to, const struct tr_space *from);
void tr_space_fini(struct tr_space *);

/*
 * tr_model_proc, _thread: declare the next process (its main thread is declared apart,
 *    as the first thread with it) or thread.
 * tr_model_full: another mapping operation would meet TRACE_LIVE_MAX.
 * tr_model_start: let process 0 and thread 0 begin.
 */
uint32_t tr_model_proc(struct tr_model *, uint32_t parent);
uint32_t tr_model_thread(struct tr_model *, uint32_t proc);
bool tr_model_full(const struct tr_model *);
void tr_model_start(struct tr_model *);
void tr_model_fini(struct tr_model *);

/*
 * tr_model_refuse: why this reference is impossible now; NULL: it is fine.
 * tr_range_refuse: why [va, va + len) is no range of user pages.
 * tr_model_apply: the thread does that.
 * => NULL, and the model has moved on and *epochp is set; else why it cannot,
 *    and the model is as before
 */
const char *tr_model_refuse(const struct tr_model *, uint32_t proc, uint32_t kind, uint64_t va);
const char *tr_range_refuse(uint64_t va, uint64_t len);
const char *tr_model_apply(struct tr_model *, uint32_t thread, uint32_t kind, uint64_t va,
    uint32_t arg, const struct trace_map *, uint32_t *epochp);

#endif /* TR_MODEL_H */
