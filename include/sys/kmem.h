/*
 * kmem(9): kernel memory of any size, from the simulated machine's pages.
 * Sizes up to nearly half a page come from pool caches, larger ones straight from the
 * back end in whole pages.
 */
#ifndef SYS_KMEM_H
#define SYS_KMEM_H

#include <stddef.h>

typedef int km_flag_t;
#define	KM_SLEEP	1		/* never NULL; not from interrupt, no spin lock */
#define	KM_NOSLEEP	2		/* may be NULL */

/*
 * Whole pages, directly addressable and contiguous.  Set by the VM floor before
 * the first allocation.  => flags KM_SLEEP: waits for memory, never NULL.
 */
struct kmem_backend {			/* : after kmem_init(), which copies it */
	void	*(*kb_alloc)(size_t npages, km_flag_t);
	void	 (*kb_free)(void *, size_t npages);	/* thread context, no lock held */
};

/* => boot; the back end works already */
void	kmem_init(const struct kmem_backend *);
/* => at rest; reports VIOL_LEAK for what is still out */
void	kmem_fini(void);
/*
 * => KM_SLEEP: thread context, no spin mutex held; never NULL
 * => KM_NOSLEEP: does not sleep; any context to IPL_VM; NULL when memory is short
 * => size above 0; its contents are any (zalloc: zeroes)
 */
void	*kmem_alloc(size_t, km_flag_t);
void	*kmem_zalloc(size_t, km_flag_t);
/* => the size that was asked for, which is checked, and that nothing was written behind it (lock debugging) */
void	kmem_free(void *, size_t);
/* => exact when nothing runs */
size_t	kmem_bytes_out(void);

#endif /* SYS_KMEM_H */
