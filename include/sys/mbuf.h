/*
 * mbufs, after NetBSD: chains of small buffers; a big one is a cluster from a pool, or
 * storage of somebody else's with a function that gives it back.
 *
 * m_free() may be called where the last holder happens to be: in a network interface's
 * interrupt.  So the pools are of IPL_VM, and an ext_free function must be fit for it.
 */
#ifndef SYS_MBUF_H
#define SYS_MBUF_H

#include <stddef.h>
#include <stdint.h>

#define	MSIZE		256		/* an mbuf */
#define	MCLBYTES	2048		/* a cluster */

#define	M_DONTWAIT	0		/* how: NULL when memory is short */
#define	M_WAIT		1		/* sleeps; thread context, no lock held */

#define	M_EXT		0x01		/* m_data is in external storage */
#define	M_CLUSTER	0x02		/* which is a cluster of our pool */

/* All fields: the holder of the chain. */
struct mbuf {
	struct mbuf	*m_next;	/* next of the chain */
	uint8_t		*m_data;	/* or NULL: storage that the kernel has no pointer to */
	uint32_t	 m_len;		/* bytes in this one */
	uint32_t	 m_flags;	/* M_EXT, M_CLUSTER */
	struct {
		uint8_t	*ext_buf;
		size_t	 ext_size;
		/* => any context up to IPL_VM; frees the mbuf's storage, not the mbuf */
		void	(*ext_free)(struct mbuf *, uint8_t *buf, size_t size, void *arg);
		void	*ext_arg;
	} m_ext;
};

#define	MHLEN		((uint32_t)(MSIZE - sizeof(struct mbuf)))	/* bytes inside an mbuf */

struct pool_allocator;

/* => boot, pools may be made */
void	mbinit(const struct pool_allocator *);
/* => at rest; VIOL_LEAK when mbufs or clusters are out */
void	mbfini(void);

/* => an mbuf with MHLEN bytes at m_data, m_len 0; NULL with M_DONTWAIT only */
struct mbuf *m_get(int how);
/* => gives it a cluster: MCLBYTES at m_data; false with M_DONTWAIT only, then it is as before */
int	m_clget(struct mbuf *, int how);
/* => any context, the mbuf has none; gives it storage of the caller's; buf may be NULL */
void	m_extadd(struct mbuf *, uint8_t *buf, size_t size,
	    void (*ext_free)(struct mbuf *, uint8_t *, size_t, void *), void *arg);
/* => any context up to IPL_VM; returns the next of the chain */
struct mbuf *m_free(struct mbuf *);
void	m_freem(struct mbuf *);		/* the whole chain; NULL is one */
size_t	m_length(const struct mbuf *);	/* bytes in the chain */

#endif /* SYS_MBUF_H */
