/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls in lackey's log: those that change mappings, those that make or
 * end processes, and those that say which file a descriptor is.
 *
 *	SYSCALL[9,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000)
 *	SYSCALL[9,1](257) sys_openat ( 4294967196, 0x4029(/etc/ld.so.cache), 524288 ) --> [async] ...
 *	SYSCALL[9,1](257) ... [async] --> Success(0x4)
 *	SYSCALL[9,1](56) sys_clone ( 1200011, 0x0, ... )   clone(fork): process 9 created child 10
 *
 * Numbers are x86-64's.  Results that may block come on a line of their own.  A call that
 * failed has done nothing, so it leaves no trace.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <harness/xalloc.h>

#include "tr_lackey.h"

enum {
	NR_OPEN = 2, NR_CLOSE = 3, NR_MMAP = 9, NR_MPROTECT = 10, NR_MUNMAP = 11, NR_BRK = 12,
	NR_MREMAP = 25, NR_MSYNC = 26, NR_MADVISE = 28, NR_DUP = 32, NR_DUP2 = 33, NR_CLONE = 56,
	NR_WAIT4 = 61, NR_FCNTL = 72, NR_CHDIR = 80, NR_CREAT = 85, NR_EXIT_GROUP = 231,
	NR_OPENAT = 257, NR_DUP3 = 292, NR_MEMFD_CREATE = 319,
};

#define FDS_MAX		65536u
#define FCNTL_DUPFD	0u
#define FCNTL_DUPFD_CLOEXEC 1030u
#define HOST_PAGE(x)	(((x) + TRACE_PAGE - 1) & ~(uint64_t)(TRACE_PAGE - 1))

void
lackey_fd_set(struct lk_proc *lp, uint64_t fd, const char *path)
{
	char *copy;

	if (fd >= FDS_MAX)
		return;
	copy = path == NULL ? NULL : xstrdup(path);
	while (lp->lp_nfds <= fd) {
		lp->lp_fds = xgrow(lp->lp_fds, lp->lp_nfds, sizeof(*lp->lp_fds));
		lp->lp_nfds++;
	}
	free(lp->lp_fds[fd]);
	lp->lp_fds[fd] = copy;
}

static const char *
fd_path(const struct lk_proc *lp, uint64_t fd)
{
	return fd < lp->lp_nfds ? lp->lp_fds[fd] : NULL;
}

/* A path as the process means it, in fresh memory. */
static char *
resolve(const struct lk_proc *lp, const char *dir, const char *path)
{
	if (path[0] == '/')
		return xstrdup(path);
	if (dir == NULL)
		dir = lp->lp_cwd;
	return dir == NULL ? xstrdup(path) : xasprintf("%s/%s", dir, path);
}

static void
opened(struct lk_proc *lp, uint64_t fd, const char *dir, const char *path)
{
	char *whole = resolve(lp, dir, path);

	lackey_fd_set(lp, fd, whole);
	free(whole);
}

static void
call_chdir(struct lk_proc *lp, const char *path)
{
	char *whole = resolve(lp, NULL, path);

	free(lp->lp_cwd);
	lp->lp_cwd = whole;
}

/* Record a mapping operation; whatever it was, nothing that the TLBs know is sure now. */
static bool
record(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, enum trace_kind kind,
    const struct trace_map *tm)
{
	lackey_flush(lp);
	return trace_writer_map(lk->lk_writer, lt->lt_thread, kind, tm);
}

static void
call_mmap(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, const struct lk_call *lc,
    uint64_t va)
{
	struct trace_map tm = { .tm_va = va, .tm_len = HOST_PAGE(lc->lc_arg[1]),
		.tm_prot = lc->lc_arg[2] & (TM_READ | TM_WRITE | TM_EXEC), .tm_file = TRACE_NONE };
	uint64_t flags = lc->lc_arg[3];
	char unknown[32];
	const char *path;

	tm.tm_flags = (flags & MAP_SHARED ? TM_SHARED : 0) | (flags & MAP_FIXED ? TM_FIXED : 0);
	if ((flags & MAP_ANONYMOUS) == 0) {
		path = fd_path(lp, lc->lc_arg[4]);
		if (path == NULL) {
			snprintf(unknown, sizeof(unknown), "descriptor-%u", (unsigned)lc->lc_arg[4]);
			path = unknown;
		}
		tm.tm_offset = lc->lc_arg[5];
		tm.tm_file = lackey_file(lk, path, tm.tm_offset + tm.tm_len);
	}
	if (record(lk, lp, lt, TRACE_MMAP, &tm))
		return;
	/* The place was free for the program; it is for us, whatever we believed. */
	tm.tm_flags |= TM_FIXED;
	record(lk, lp, lt, TRACE_MMAP, &tm);
}

static void
call_range(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, const struct lk_call *lc)
{
	static const int8_t advice[] = { TRACE_ADV_NORMAL, TRACE_ADV_RANDOM, TRACE_ADV_SEQUENTIAL,
		TRACE_ADV_WILLNEED, TRACE_ADV_DONTNEED, -1, -1, -1, TRACE_ADV_FREE };
	struct trace_map tm = { .tm_va = lc->lc_arg[0], .tm_len = HOST_PAGE(lc->lc_arg[1]),
		.tm_file = TRACE_NONE };
	uint64_t what = lc->lc_arg[2];

	switch (lc->lc_nr) {
	case NR_MUNMAP:
		record(lk, lp, lt, TRACE_MUNMAP, &tm);
		break;
	case NR_MPROTECT:
		tm.tm_prot = what & (TM_READ | TM_WRITE | TM_EXEC);
		record(lk, lp, lt, TRACE_MPROTECT, &tm);
		break;
	case NR_MSYNC:
		tm.tm_flags = (what & MS_ASYNC ? TM_ASYNC : 0) | (what & MS_INVALIDATE ? TM_INVALIDATE : 0);
		record(lk, lp, lt, TRACE_MSYNC, &tm);
		break;
	case NR_MADVISE:
		if (what >= sizeof(advice) || advice[what] < 0)
			break;
		tm.tm_advice = (uint8_t)advice[what];
		record(lk, lp, lt, TRACE_MADVISE, &tm);
		break;
	}
}

static void
call_brk(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, uint64_t now)
{
	uint64_t old = HOST_PAGE(lp->lp_brk), new = HOST_PAGE(now);
	struct trace_map tm = { .tm_file = TRACE_NONE };

	if (lp->lp_brk != 0 && new != old) {
		tm.tm_va = new > old ? old : new;
		tm.tm_len = new > old ? new - old : old - new;
		tm.tm_flags = new > old ? 0 : TM_SHRINK;
		record(lk, lp, lt, TRACE_BRK, &tm);
	}
	lp->lp_brk = now;
}

static void
call_mremap(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, const struct lk_call *lc,
    uint64_t va)
{
	struct trace_map tm = { .tm_va = lc->lc_arg[0], .tm_len = HOST_PAGE(lc->lc_arg[1]),
		.tm_new_va = va, .tm_new_len = HOST_PAGE(lc->lc_arg[2]), .tm_file = TRACE_NONE };
	struct trace_map there = { .tm_va = va, .tm_len = tm.tm_new_len, .tm_file = TRACE_NONE };

	/* MREMAP_FIXED replaces what is there. */
	if ((lc->lc_arg[3] & MREMAP_FIXED) != 0)
		record(lk, lp, lt, TRACE_MUNMAP, &there);
	record(lk, lp, lt, TRACE_MREMAP, &tm);
}

/* A wait that returned this child: if it was killed, its end is known only now. */
static void
reap(struct lackey *lk, struct lk_thread *lt, struct lk_proc *child)
{
	unsigned i;

	if (child == NULL || child->lp_proc == TRACE_NONE || child->lp_reaped)
		return;
	for (i = 0; !child->lp_dead && i < child->lp_nthreads; i++)
		if (lackey_thread(child, i) != NULL)
			lackey_exited(lk, child, lackey_thread(child, i));
	child->lp_reaped = true;
	trace_writer_wait(lk->lk_writer, lt->lt_thread, child->lp_proc);
}

/*
 * A wait whose result never came.  valgrind prints none when a signal arrives just then, and
 * at a wait that is SIGCHLD as a rule: it has returned a child, one that has ended.
 */
static void
wait_interrupted(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt)
{
	int32_t pid = (int32_t)(uint32_t)lt->lt_pending.lc_arg[0];
	struct lk_proc *child;

	for (child = lk->lk_procs; child != NULL; child = child->lp_next)
		if (child->lp_parent == lp->lp_proc && child->lp_dead && !child->lp_reaped &&
		    (pid <= 0 || child->lp_pid == pid))
			break;
	reap(lk, lt, child);
}

static void
call_done(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt, const struct lk_call *lc,
    uint64_t result)
{
	switch (lc->lc_nr) {
	case NR_MMAP:
		call_mmap(lk, lp, lt, lc, result);
		break;
	case NR_MUNMAP:
	case NR_MPROTECT:
	case NR_MSYNC:
	case NR_MADVISE:
		call_range(lk, lp, lt, lc);
		break;
	case NR_BRK:
		call_brk(lk, lp, lt, result);
		break;
	case NR_MREMAP:
		call_mremap(lk, lp, lt, lc, result);
		break;
	case NR_OPENAT:
		opened(lp, result, fd_path(lp, lc->lc_arg[0]), lc->lc_path);
		break;
	case NR_OPEN:
	case NR_CREAT:
		opened(lp, result, NULL, lc->lc_path);
		break;
	case NR_MEMFD_CREATE:
		lackey_fd_set(lp, result, "/memfd");
		break;
	case NR_CLOSE:
		lackey_fd_set(lp, lc->lc_arg[0], NULL);
		break;
	case NR_FCNTL:
		if (lc->lc_arg[1] != FCNTL_DUPFD && lc->lc_arg[1] != FCNTL_DUPFD_CLOEXEC)
			break;
		__attribute__((fallthrough));
	case NR_DUP:
	case NR_DUP2:
	case NR_DUP3:
		lackey_fd_set(lp, result, fd_path(lp, lc->lc_arg[0]));
		break;
	case NR_CHDIR:
		call_chdir(lp, lc->lc_path);
		break;
	case NR_WAIT4:
		reap(lk, lt, lackey_find(lk, (int)result));
		break;
	case NR_CLONE:
		lp->lp_cloner = lt->lt_thread;
		break;
	}
}

/* " sys_name ( 0x0, 8192, 0x4029(/etc/passwd), 3 ) ...": the arguments and the first string. */
static void
parse_args(const char *p, struct lk_call *lc)
{
	const char *end;
	char *after;

	lc->lc_nargs = 0;
	lc->lc_path[0] = '\0';
	memset(lc->lc_arg, 0, sizeof(lc->lc_arg));
	p = strchr(p, '(');
	if (p == NULL)
		return;
	for (p++; lc->lc_nargs < 6; p++) {
		lc->lc_arg[lc->lc_nargs] = strtoull(p, &after, 0);
		if (after == p)
			return;
		lc->lc_nargs++;
		p = after;
		if (*p == '(') {
			end = strstr(p, "), ");
			if (end == NULL)
				end = strstr(p, ") )");
			if (end == NULL)
				return;
			if (lc->lc_path[0] == '\0')
				snprintf(lc->lc_path, sizeof(lc->lc_path), "%.*s", (int)(end - p - 1), p + 1);
			p = end + 1;
		}
		if (*p != ',')
			return;
	}
}

/* => a line that starts with SYSCALL[ */
void
lackey_call(struct lackey *lk, struct lk_proc *lp, unsigned tid, const char *line)
{
	struct lk_thread *lt = lackey_thread(lp, tid);
	const char *p = strchr(line, ']'), *result = strstr(line, "Success(0x"), *child;
	struct lk_call *lc;
	char *after;
	unsigned long nr;

	if (lt == NULL || p == NULL || p[1] != '(')
		return;
	lc = &lt->lt_pending;
	nr = strtoul(p + 2, &after, 10);
	if (strncmp(after, ") ... [async]", 13) == 0) {
		if (lc->lc_nr != nr)
			return;
	} else {
		if (lc->lc_open && lc->lc_nr == NR_WAIT4 && (lc->lc_arg[2] & WNOHANG) == 0)
			wait_interrupted(lk, lp, lt);
		lc->lc_nr = (unsigned)nr;
		parse_args(after + 1, lc);
	}
	lc->lc_open = strstr(after, "--> [async] ...") != NULL;
	if (nr == NR_EXIT_GROUP) {
		lackey_exited(lk, lp, lt);
		return;
	}
	child = strstr(line, " created child ");
	if (child != NULL) {
		lackey_flush(lp);
		lackey_forked(lk, lp, tid, atoi(child + strlen(" created child ")));
	} else if (result != NULL) {
		call_done(lk, lp, lt, lc, strtoull(result + strlen("Success("), NULL, 16));
	}
}
