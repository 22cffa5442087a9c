/*
 * Backtraces by libunwind.
 *
 * unw_backtrace() is fast once its caches are warm; the first call of a thread
 * may have to take the dynamic linker's lock, so it is made early.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <stdio.h>
#include <string.h>

#include <host/host.h>

void
host_backtrace_init(void)
{
	void *pcs[4];

	host_backtrace(pcs, 4, 0);
}

int
host_backtrace(void **pcs, int max, int skip)
{
	void *all[HOST_BACKTRACE_MAX + 8];
	int want = max + skip + 1, n;

	if (want > (int)(sizeof(all) / sizeof(all[0])))
		want = sizeof(all) / sizeof(all[0]);
	n = unw_backtrace(all, want) - (skip + 1);
	if (n > max)
		n = max;
	if (n < 0)
		return 0;
	memcpy(pcs, all + skip + 1, (size_t)n * sizeof(*pcs));
	return n;
}

void
host_symbolise(void *pc, char *buf, size_t len)
{
	/* A return address: the call before it may have been its function's last instruction. */
	const char *call = (const char *)pc - 1;
	Dl_info info;

	if (dladdr(call, &info) != 0 && info.dli_sname != NULL)
		snprintf(buf, len, "%s+%#lx", info.dli_sname,
		    (unsigned long)((char *)pc - (char *)info.dli_saddr));
	else if (dladdr(call, &info) != 0 && info.dli_fname != NULL)
		snprintf(buf, len, "%s+%#lx", strrchr(info.dli_fname, '/') != NULL ?
		    strrchr(info.dli_fname, '/') + 1 : info.dli_fname,
		    (unsigned long)((char *)pc - (char *)info.dli_fbase));
	else
		snprintf(buf, len, "%p", pc);
}
