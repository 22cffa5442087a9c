/*
 * kmem(9): kernel memory of any size.
 *
 * Sizes up to half a page come from pool caches of doubling and one-and-a-half
 * sizes, larger ones in whole contiguous pages from the back end.  The caller
 * gives the size back at free; with lock debugging it is kept behind the memory
 * and compared.
 */
#include <stdio.h>
#include <string.h>

#include <sys/kmem.h>
#include <sys/pool.h>

#include "kern_int.h"

#define	KMEM_PAGE	4096u
#define	KMEM_TRAILER	(UVMSTRESS_LOCKDEBUG ? sizeof(uint64_t) : 0)
#define	KMEM_MAGIC	0x6b6d656d00000000ULL

static const uint16_t class_size[] = {
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1344, 2016
};
#define	NCLASSES	(sizeof(class_size) / sizeof(class_size[0]))

static struct kmem_backend backend;		/* stable */
static pool_cache_t class_cache[NCLASSES];	/* stable */
static char class_name[NCLASSES][16];		/* stable */
static uint64_t page_bytes;			/* atomic: handed out in whole pages */

static void *
kmem_page_alloc(struct pool *pp, int flags)
{
	return backend.kb_alloc(1, (flags & PR_WAITOK) != 0 ? KM_SLEEP : KM_NOSLEEP);
}

static void
kmem_page_free(struct pool *pp, void *page)
{
	backend.kb_free(page, 1);
}

static const struct pool_allocator kmem_allocator = {
	kmem_page_alloc, kmem_page_free, KMEM_PAGE
};

void
kmem_init(const struct kmem_backend *kb)
{
	backend = *kb;
	page_bytes = 0;
	for (size_t i = 0; i < NCLASSES; i++) {
		snprintf(class_name[i], sizeof(class_name[i]), "kmem-%u", class_size[i]);
		class_cache[i] = pool_cache_create(class_size[i], 8, class_name[i],
		    &kmem_allocator, IPL_NONE, NULL, NULL, NULL);
	}
}

void
kmem_fini(void)
{
	for (size_t i = 0; i < NCLASSES; i++)
		pool_cache_destroy(class_cache[i]);
	if (page_bytes != 0)
		violation(VIOL_LEAK, "kmem-leak", "kmem: %lu bytes of whole pages did not come back",
		    (unsigned long)page_bytes);
}

/* => the smallest class that holds size, or -1 */
static int
class_of(size_t size)
{
	for (size_t i = 0; i < NCLASSES; i++)
		if (size <= class_size[i])
			return (int)i;
	return -1;
}

static size_t
pages_of(size_t size)
{
	return (size + KMEM_PAGE - 1) / KMEM_PAGE;
}

static uint64_t *
trailer(void *p, int class)
{
	return (uint64_t *)((char *)p + class_size[class] - sizeof(uint64_t));
}

void *
kmem_alloc(size_t size, km_flag_t kmflags)
{
	int class = class_of(size + KMEM_TRAILER);
	void *p;

	KASSERTMSG(size > 0, "kmem_alloc: no size");
	KASSERT(kmflags == KM_SLEEP || kmflags == KM_NOSLEEP);
	if (class < 0) {
		p = backend.kb_alloc(pages_of(size), kmflags);
		if (p != NULL)
			__atomic_fetch_add(&page_bytes, pages_of(size) * KMEM_PAGE, __ATOMIC_RELAXED);
		return p;
	}
	p = pool_cache_get(class_cache[class], kmflags == KM_SLEEP ? PR_WAITOK : PR_NOWAIT);
	if (p != NULL && UVMSTRESS_LOCKDEBUG)
		*trailer(p, class) = KMEM_MAGIC | size;
	return p;
}

void *
kmem_zalloc(size_t size, km_flag_t kmflags)
{
	void *p = kmem_alloc(size, kmflags);

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

void
kmem_free(void *p, size_t size)
{
	int class = class_of(size + KMEM_TRAILER);

	KASSERT(p != NULL);
	lockdebug_mem_check(p, size);
	if (class < 0) {
		__atomic_fetch_sub(&page_bytes, pages_of(size) * KMEM_PAGE, __ATOMIC_RELAXED);
		backend.kb_free(p, pages_of(size));
		return;
	}
	if (UVMSTRESS_LOCKDEBUG) {
		KASSERTMSG(*trailer(p, class) == (KMEM_MAGIC | size),
		    "kmem_free: size %zu was not what was asked for, or written past the end (%#lx)",
		    size, (unsigned long)*trailer(p, class));
		*trailer(p, class) = 0;
	}
	pool_cache_put(class_cache[class], p);
}

size_t
kmem_bytes_out(void)
{
	size_t bytes = __atomic_load_n(&page_bytes, __ATOMIC_RELAXED);

	for (size_t i = 0; i < NCLASSES; i++)
		bytes += pool_cache_nout(class_cache[i]) * class_size[i];
	return bytes;
}
