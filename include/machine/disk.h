/*
 * The simulated disk: host files read and written by frame ("DMA"), with a
 * completion interrupt.
 *
 * The transfer itself runs at submission; completion is an IRQ_DISK on the
 * submitting CPU, delivered when its IPL allows, which calls b_iodone at
 * IPL_VM.  So an asynchronous request may be complete before the submitter
 * returns (T-79), and one CPU with one seed is deterministic.  With a latency it is
 * later than that, and out of order.
 */
#ifndef MACHINE_DISK_H
#define MACHINE_DISK_H

#include <bsd/sys/queue.h>
#include <machine/vmparam.h>
#include <stdbool.h>
#include <stdint.h>

#define	MAXPHYS		65536
#define	BUF_MAXPAGES	(MAXPHYS / 4096)

/*
 *	:  set by the submitter before disk_strategy()
 *	i  the disk, until b_iodone is called; then the submitter again
 */
struct buf {
	int		 b_fd;				/* : host file */
	bool		 b_write;			/* : */
	uint64_t	 b_offset;			/* : bytes in the file */
	uint32_t	 b_bytes;			/* : b_pgoff + b_bytes <= b_npages * PAGE_SIZE */
	int		 b_npages;			/* : */
	uint32_t	 b_pgoff;			/* : where in the first frame the data begin */
	paddr_t		 b_pages[BUF_MAXPAGES];		/* : frames, in order */
	void		(*b_iodone)(struct buf *);	/* : at IPL_VM, in interrupt */
	void		*b_private;			/* : */
	int		 b_error;			/* i errno */
	uint32_t	 b_resid;			/* i bytes not moved (end of file) */
	int		 b_cpu;				/* i submitter's CPU */
	TAILQ_ENTRY(buf) b_queue;			/* i */
};

/* => latency_ns: of the machine's time, give or take a half, 0: none; anycpu: completions come on
 *    any CPU, not the submitter's; both by seed */
void	disk_init(uint64_t latency_ns, bool anycpu, uint64_t seed);
void	disk_fini(void);		/* panics with requests in flight */
/* => any context; does not sleep; b_iodone follows exactly once. */
void	disk_strategy(struct buf *);
uint64_t disk_requests(bool write);	/* since boot; any thread */

#endif /* MACHINE_DISK_H */
