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
	host_mask();			/* its caches are not for two at once */
	n = unw_backtrace(all, want) - (skip + 1);
	host_unmask();
	if (n > max)
		n = max;
	if (n < 0)
		return 0;
	memcpy(pcs, all + skip + 1, (size_t)n * sizeof(*pcs));
	return n;
}

/*
 * libunwind reads the symbol table of the file on disk, so static functions have
 * names too.  A cursor is made anywhere and put on the address.
 */
static bool
function_name(const void *pc, char *buf, size_t len, unsigned long *offset)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unw_word_t off;

	if (unw_getcontext(&context) != 0 || unw_init_local(&cursor, &context) != 0 ||
	    unw_set_reg(&cursor, UNW_REG_IP, (unw_word_t)(uintptr_t)pc) != 0 ||
	    unw_get_proc_name(&cursor, buf, len, &off) != 0)
		return false;
	*offset = off;
	return true;
}

void
host_symbolise(void *pc, char *buf, size_t len)
{
	/* A return address: the call before it may have been its function's last instruction. */
	const char *call = (const char *)pc - 1, *file;
	unsigned long offset;
	char name[128];
	Dl_info info;
	bool known;

	host_mask();
	known = function_name(call, name, sizeof(name), &offset);
	host_unmask();
	if (known) {
		snprintf(buf, len, "%s+%#lx", name, offset + 1);
	} else if (dladdr(call, &info) != 0 && info.dli_fname != NULL) {
		file = strrchr(info.dli_fname, '/');
		snprintf(buf, len, "%s+%#lx", file != NULL ? file + 1 : info.dli_fname,
		    (unsigned long)((const char *)pc - (const char *)info.dli_fbase));
	} else {
		snprintf(buf, len, "%p", pc);
	}
}
