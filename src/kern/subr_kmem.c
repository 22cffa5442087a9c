/*
 * kmem(9): kernel memory of any size.
 *
 * Sizes up to nearly half a page come from pool caches of doubling and
 * one-and-a-half sizes; the largest are what fits four times, three times and
 * twice into a page beside the pool's header.  Larger ones are whole contiguous pages from
 * the back end.
 *
 * The caller gives the size back at free.  With lock debugging the piece's last
 * word repeats it, and the bytes between are a fence:
 *
 *	|<------ size ------>| fence |size|
 *	p		     p + size	  end of the class's size, or of the last page
 *
 * so a wrong size and a write past the end both show at free, and the latter at
 * once where the address sanitizer watches.  Whole pages without room for the
 * word have neither.
 */
#include <stdio.h>
#include <string.h>

#include <sys/kmem.h>
#include <sys/pool.h>

#include "kern_int.h"
#include "pool_int.h"

#define	KMEM_PAGE	4096u
#define	KMEM_TRAILER	(UVMSTRESS_LOCKDEBUG ? sizeof(uint64_t) : 0)
#define	KMEM_MAGIC	0x6b6d656d00000000ULL
#define	KMEM_FENCE	0xfe

static const uint16_t class_size[] = {
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 992, 1328, 1992
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
		    &kmem_allocator, IPL_VM, NULL, NULL, NULL);
	}
}

void
kmem_fini(void)
{
	for (size_t i = 0; i < NCLASSES; i++) {
		unsigned long n = (unsigned long)pool_cache_nout(class_cache[i]);

		if (n == 0)
			pool_cache_destroy(class_cache[i]);
		else			/* stays for kern_pool_fini() */
			violation(VIOL_LEAK, "kmem-leak", "%s: %lu pieces did not come back",
			    class_name[i], n);
		class_cache[i] = NULL;
	}
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

/* => bytes that the piece has, of which size were asked for */
static size_t
room_of(size_t size, int class)
{
	return class < 0 ? pages_of(size) * KMEM_PAGE : class_size[class];
}

/* => fence and repeated size go behind the piece */
static void
fence_put(uint8_t *p, size_t size, size_t room)
{
	const uint64_t word = KMEM_MAGIC | size;

	if (UVMSTRESS_LOCKDEBUG && room - size >= sizeof(word)) {
		room -= sizeof(word);
		memset(p + size, KMEM_FENCE, room - size);
		memcpy(p + room, &word, sizeof(word));
	}
	pool_poison(p + size, room - size);
}

static void
fence_check(uint8_t *p, size_t size, size_t room)
{
	uint64_t word;

	pool_unpoison(p, room);
	if (!UVMSTRESS_LOCKDEBUG || room - size < sizeof(word))
		return;
	room -= sizeof(word);
	memcpy(&word, p + room, sizeof(word));
	KASSERTMSG(word == (KMEM_MAGIC | size),
	    "kmem_free: %p of %zu bytes: its last word says %#llx, not that size", (void *)p, size,
	    (unsigned long long)word);
	for (size_t i = size; i < room; i++)
		KASSERTMSG(p[i] == KMEM_FENCE, "kmem_free: %p of %zu bytes: written past the end, "
		    "at offset %zu", (void *)p, size, i);
	memset(p + room, 0, sizeof(word));	/* a second free finds no size */
}

void *
kmem_alloc(size_t size, km_flag_t kmflags)
{
	const int class = class_of(size + KMEM_TRAILER);
	void *p;

	KASSERTMSG(size > 0 && size < 1UL << 32, "kmem_alloc: %zu bytes", size);
	KASSERT(kmflags == KM_SLEEP || kmflags == KM_NOSLEEP);
	if (class >= 0) {
		p = pool_cache_get(class_cache[class], kmflags == KM_SLEEP ? PR_WAITOK : PR_NOWAIT);
	} else {
		if (kmflags == KM_SLEEP)
			lockdebug_sleep_barrier("kmem_alloc(KM_SLEEP)");
		p = backend.kb_alloc(pages_of(size), kmflags);
		if (p != NULL)
			/* relaxed: a sum, for kmem_bytes_out() */
			__atomic_fetch_add(&page_bytes, pages_of(size) * KMEM_PAGE, __ATOMIC_RELAXED);
	}
	if (p != NULL)
		fence_put(p, size, room_of(size, class));
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
	const int class = class_of(size + KMEM_TRAILER);

	KASSERT(p != NULL && size > 0);
	lockdebug_mem_check(p, size);
	fence_check(p, size, room_of(size, class));
	if (class >= 0) {
		pool_cache_put(class_cache[class], p);
		return;
	}
	__atomic_fetch_sub(&page_bytes, pages_of(size) * KMEM_PAGE, __ATOMIC_RELAXED);
	backend.kb_free(p, pages_of(size));
}

size_t
kmem_bytes_out(void)
{
	size_t bytes = __atomic_load_n(&page_bytes, __ATOMIC_RELAXED);

	for (size_t i = 0; i < NCLASSES; i++)
		bytes += pool_cache_nout(class_cache[i]) * class_size[i];
	return bytes;
}
