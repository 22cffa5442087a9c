/*
 * The workload mlock-physio: what its parts share, and nobody else.
 */
#ifndef WORKLOADS_MLOCK_PHYSIO_H
#define WORKLOADS_MLOCK_PHYSIO_H

#include "engine_int.h"

#define	SRC_PAGES	8
#define	PARCEL_PAGES	8
#define	BLOCK_WORDS	(DEV_BSIZE / 8)
#define	LANDINGS	(PAGE_SIZE / DEV_BSIZE - 1)	/* blocks of a page but the first */

enum { ANON, FILE_MAP, NBUF };

/* A buffer of one worker.  !: only the worker */
struct buffer {
	vaddr_t	  bf_va;		/* : any multiple of 8 */
	uint64_t  bf_nwords;		/* : whole blocks of the device */
	uint64_t *bf_words;		/* ! what it holds */
};

/* The first word of each page, the others of the first block being 0.  !: only its worker */
struct parcel {
	vaddr_t	  pa_va;		/* !, read @ by those who do I/O to it */
	uint64_t  pa_npages;		/* ! */
	uint64_t  pa_value[PARCEL_PAGES]; /* ! */
	/* Thread i of the process: the first and the last word of what it landed in block i + 1. */
	uint64_t  pa_landed[PARCEL_PAGES][LANDINGS][2];
};

struct raw_worker {
	struct buffer rw_buf[NBUF];
	struct parcel rw_parcel;
	uint64_t  rw_dev;		/* : its first word on the device */
	uint64_t  rw_ndev;		/* : words that it has there */
	uint64_t *rw_words;		/* ! what they are */
};

/* : */
struct raw_run {
	struct vnode *rr_dev;
	struct vnode *rr_source;	/* full of stamps */
	uint64_t      rr_source_object;
	vsize_t	      rr_bytes;		/* of each of a process' two stretches */
};

/* => where the device has SRC_PAGES pages for what the worker writes there and nobody keeps */
voff_t	raw_scrap(const struct job_worker *);
/* => error but for `allowed` and EAGAIN, which are in the nature of the call: those are 0; all else is told */
int	raw_allow(struct job_worker *, const char *call, vaddr_t va, int error, int allowed);

/* wl_mlock_parcel.c: operations, by a worker, nothing locked; 0 or errno as of any operation */

int	raw_op_visit(struct job_worker *);
int	raw_op_parcel(struct job_worker *);
int	raw_op_wired(struct job_worker *);
/* => the worker's process is new: its parcel is mapped, and all zeroes; 0 or errno */
int	raw_parcel_map(const struct job_worker *);
/* => the load is over: the parcel holds what it must; 0 or errno */
int	raw_parcel_verify(struct job_worker *, const struct parcel *);

#endif /* WORKLOADS_MLOCK_PHYSIO_H */
