/*
 * The simulated network interface: sends packets that lie in frames of RAM, and says so
 * by an interrupt some time later, on a CPU of its own choice.
 *
 * It reads a packet twice, when it is handed over and when it reports it sent, as an
 * engine reads memory at a moment that nobody knows.  What it read must be the same: who
 * lends pages must not let anybody store to them, nor take them back (I-LOAN-3).
 */
#ifndef MACHINE_NIC_H
#define MACHINE_NIC_H

#include <bsd/sys/queue.h>
#include <machine/vmparam.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define	NIC_MAXSEGS	18		/* 64 KiB that begin anywhere in a page, and a header */
#define	NIC_RING	64		/* packets that may be on their way */

/*
 *	:  set by the sender before nic_transmit()
 *	i  the interface, until np_done is called; then the sender again
 */
struct nic_packet {
	int		 np_nsegs;			/* : */
	struct {
		paddr_t	 ns_pa;				/* : any byte of a frame */
		uint32_t ns_len;			/* : within the frame; a multiple of 8 but for the last */
	} np_segs[NIC_MAXSEGS];
	void		(*np_done)(struct nic_packet *);	/* : at IPL_VM, in interrupt, on any CPU */
	void		*np_private;			/* : */
	uint64_t	 np_sum;			/* i checksum of what was on the wire */
	TAILQ_ENTRY(nic_packet) np_queue;		/* i */
};

/* => latency of a transmission in ns of the machine's time; 0: the interrupt is posted at once */
void	nic_init(uint64_t latency_ns);
void	nic_fini(void);			/* panics with packets on their way */
/* => any context to IPL_VM, no sleep; 0 and np_done follows exactly once, or ENOBUFS: ring full */
int	nic_transmit(struct nic_packet *);
bool	nic_idle(void);			/* nothing is on its way */
uint64_t nic_packets(void);		/* sent since boot */

/* The checksum of a stream of bytes, in pieces that are multiples of 8 but for the last. */
struct nic_sum {
	uint64_t ns_sum, ns_word;
};
void	nic_sum_init(struct nic_sum *);
/* => memory is read in aligned words where it is aligned, by relaxed atomics */
void	nic_sum_add(struct nic_sum *, const void *, size_t);
uint64_t nic_sum_value(const struct nic_sum *);

#endif /* MACHINE_NIC_H */
