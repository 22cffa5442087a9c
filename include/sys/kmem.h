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
struct kmem_backend {
	void	*(*kb_alloc)(size_t npages, km_flag_t);
	void	 (*kb_free)(void *, size_t npages);
};

void	kmem_init(const struct kmem_backend *);
void	kmem_fini(void);		/* => reports VIOL_LEAK for what is still out */
void	*kmem_alloc(size_t, km_flag_t);
void	*kmem_zalloc(size_t, km_flag_t);
void	kmem_free(void *, size_t);	/* => the size that was asked for; checked */
size_t	kmem_bytes_out(void);

#endif /* SYS_KMEM_H */
