/*
 * Memory of the host.
 *
 * What a schedule gives back is kept for the next one, where it is small: of a machine that lives for
 * some hundred microseconds, half of them would go into mappings that the host makes, fills page by
 * page and takes away again.  It is cleared when it is given back, so that who gets it cannot tell.
 * Sanitizers could: AddressSanitizer sees a pointer of the last machine's crash where it leads to
 * zeroes else, and to ThreadSanitizer memory is new, and races with nobody's, when it is mapped.  So
 * their builds keep nothing.
 *
 * The file is bare: one thread of a schedule runs at a time, of which no race detector knows.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host_int.h"

#if UVMSTRESS_TSAN || defined(__SANITIZE_ADDRESS__)
#define	KEEPS	false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define	KEEPS	false
#endif
#endif
#ifndef KEEPS
#define	KEEPS	true
#endif

#define	HUGE_PAGE	((size_t)2 << 20)
#define	KEPT		16
#define	KEPT_BELOW	HUGE_PAGE	/* more is dearer to clear than to map, if little of it was touched */

static struct {
	void	*k_mem;			/* NULL: none */
	size_t	 k_bytes;
} kept[KEPT];				/* b */

/* => memory that holds zeroes, or NULL: none of that size is kept */
static void *
kept_get(size_t bytes)
{
	void *p = NULL;

	for (int i = 0; i < KEPT && p == NULL; i++)
		if (kept[i].k_mem != NULL && kept[i].k_bytes == bytes) {
			p = kept[i].k_mem;
			kept[i].k_mem = NULL;
		}
	return p;
}

/* => it is kept; false: there is no room */
static bool
kept_put(void *p, size_t bytes)
{
	for (int i = 0; i < KEPT; i++)
		if (kept[i].k_mem == NULL) {
			memset(p, 0, bytes);
			kept[i].k_mem = p;
			kept[i].k_bytes = bytes;
			return true;
		}
	return false;
}

static size_t
whole_pages(size_t bytes)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static void *
map(size_t bytes)
{
	void *p = sched_mine() ? kept_get(bytes) : NULL;

	if (p != NULL)
		return p;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* => begins with a huge page; what was mapped for that at either end is gone again */
static void *
map_huge(size_t bytes)
{
	char *p = map(bytes + HUGE_PAGE);
	size_t before;

	if (p == NULL)
		return NULL;
	before = -(uintptr_t)p % HUGE_PAGE;
	if (before > 0)
		munmap(p, before);
	munmap(p + before + bytes, HUGE_PAGE - before);
	madvise(p + before, bytes, MADV_HUGEPAGE);
	return p + before;
}

void *
host_mem_map(size_t bytes)
{
	void *p;

	bytes = whole_pages(bytes);
	if (bytes >= HUGE_PAGE)
		return map_huge(bytes);
	p = map(bytes);
	if (p != NULL)
		madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

void *
host_mem_map_bare(size_t bytes)
{
	void *old;
	long p;

	bytes = whole_pages(bytes);
	old = sched_mine() ? kept_get(bytes) : NULL;
	if (old != NULL)
		return old;
	p = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
	return p == -1 ? NULL : (void *)p;
}

void
host_mem_unmap(void *p, size_t bytes)
{
	bytes = whole_pages(bytes);
	if (!KEEPS || !sched_mine() || bytes >= KEPT_BELOW || !kept_put(p, bytes))
		munmap(p, bytes);
}

/* The kernel copies, and says EFAULT where we would crash. */
bool
host_mem_read(void *dst, const void *src, size_t len)
{
	const struct iovec to = { dst, len };
	const struct iovec from = { (void *)(uintptr_t)src, len };

	return syscall(SYS_process_vm_readv, (long)getpid(), &to, 1UL, &from, 1UL, 0UL) == (long)len;
}

size_t
host_mem_resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}
