/* Memory of the host. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <host/host.h>

void *
host_mem_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_NOHUGEPAGE);	/* resident memory is then what was touched */
	return p;
}

void *
host_mem_map_bare(size_t bytes)
{
	long p = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);

	return p == -1 ? NULL : (void *)p;
}

void
host_mem_unmap(void *p, size_t bytes)
{
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
