/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reading the log of valgrind's lackey tool, line by line.
 *
 *	I  04001090,3			an instruction was fetched
 *	 L 1ffefff8a0,8			load;  S: store;  M: both
 *	SYSCALL[pid,tid](nr) ...	see tr_lackey_sys.c
 *	--pid--   SCHED[tid]: acquired lock ...		that thread runs from here on
 *	--pid--   SCHED[tid]: exiting VG_(scheduler)	that thread has ended
 *	==pid== Lackey, an example ...	a new program image: the start, or an exec
 *
 * valgrind runs one thread of a process at a time and says when it changes, so a
 * process' log is its one true order.  Lines of different processes arrive
 * interleaved, each chunk with its writer's pid.  A child may be heard before its
 * parent has told of the fork; it is kept as text until then.
 *
 * References pass through two 64-entry LRU TLBs per thread, one for instructions,
 * one for data; what hits is dropped.  The first write to a page that the TLB knows
 * as read is kept.  All TLBs of a process are flushed by each of its barriers, so
 * that nothing is dropped across a change of its mappings.
 *
 * At a new image the kernel's own layout is taken from /proc/PID/maps: it is
 * complete when the banner is printed, and the client has not run yet.  valgrind's
 * own mappings are left out, by name and by where valgrind puts them; so is the
 * first page of its heap emulation.  The stack is given its usual full 8 MiB.
 * The preloaded vgpreload library stays: the client does map it.
 */
#include <string.h>

#include <harness/xalloc.h>

#include "tr_lackey.h"

#define STACK_SIZE	(8ull << 20)
#define VG_TOOL_START	0x58000000ull	/* where valgrind links its tools */
#define VG_TOOL_END	0x60000000ull
#define VG_HEAP_START	0x1000000000ull	/* above: valgrind's heap, then the client's stack */
#define VG_CLIENT_END	0x2000000000ull
#define TIDS_MAX	512u
#define LINE_LONGEST	65536u

struct lackey *
lackey_create(struct trace_writer *w, const struct lackey_host *host)
{
	struct lackey *lk = xcalloc(1, sizeof(*lk));

	lk->lk_writer = w;
	lk->lk_host = *host;
	return lk;
}

static void
drop_threads(struct lk_proc *lp)
{
	unsigned i;

	for (i = 0; i < lp->lp_nthreads; i++)
		free(lp->lp_threads[i]);
	free(lp->lp_threads);
	lp->lp_threads = NULL;
	lp->lp_nthreads = 0;
}

static void
drop_fds(struct lk_proc *lp)
{
	size_t i;

	for (i = 0; i < lp->lp_nfds; i++)
		free(lp->lp_fds[i]);
	free(lp->lp_fds);
	lp->lp_fds = NULL;
	lp->lp_nfds = 0;
}

void
lackey_destroy(struct lackey *lk)
{
	struct lk_proc *lp;

	while ((lp = lk->lk_procs) != NULL) {
		lk->lk_procs = lp->lp_next;
		drop_threads(lp);
		drop_fds(lp);
		free(lp->lp_cwd);
		free(lp->lp_text);
		free(lp);
	}
	free(lk);
}

/* The living process with that pid; pids may come again. */
struct lk_proc *
lackey_find(struct lackey *lk, int pid)
{
	struct lk_proc *lp;

	if (lk->lk_last != NULL && lk->lk_last->lp_pid == pid)
		return lk->lk_last;
	for (lp = lk->lk_procs; lp != NULL && lp->lp_pid != pid; lp = lp->lp_next)
		;
	return lp;
}

static struct lk_proc *
proc_create(struct lackey *lk, int pid)
{
	struct lk_proc *lp = xcalloc(1, sizeof(*lp));

	lp->lp_pid = pid;
	lp->lp_proc = lp->lp_parent = TRACE_NONE;
	lp->lp_cloner = TRACE_NONE;
	lp->lp_cur = 1;
	lp->lp_next = lk->lk_procs;
	lk->lk_procs = lp;
	return lp;
}

struct lk_thread *
lackey_thread(struct lk_proc *lp, unsigned tid)
{
	if (tid >= lp->lp_nthreads || lp->lp_threads[tid] == NULL ||
	    lp->lp_threads[tid]->lt_thread == TRACE_NONE)
		return NULL;
	return lp->lp_threads[tid];
}

/* Thread number tid of the process is this thread of the trace from now on. */
static void
thread_set(struct lk_proc *lp, unsigned tid, uint32_t thread)
{
	while (lp->lp_nthreads <= tid) {
		lp->lp_threads = xgrow(lp->lp_threads, lp->lp_nthreads, sizeof(*lp->lp_threads));
		lp->lp_nthreads++;
	}
	if (lp->lp_threads[tid] == NULL)
		lp->lp_threads[tid] = xcalloc(1, sizeof(**lp->lp_threads));
	memset(lp->lp_threads[tid], 0, sizeof(**lp->lp_threads));
	lp->lp_threads[tid]->lt_thread = thread;
}

/* A living thread of the process, that one by preference. */
static uint32_t
some_thread(const struct lk_proc *lp, uint32_t wanted)
{
	uint32_t any = TRACE_NONE;
	unsigned i;

	for (i = 0; i < lp->lp_nthreads; i++) {
		if (lp->lp_threads[i] == NULL || lp->lp_threads[i]->lt_thread == TRACE_NONE)
			continue;
		any = lp->lp_threads[i]->lt_thread;
		if (any == wanted)
			break;
	}
	return any;
}

static void
thread_runs(struct lackey *lk, struct lk_proc *lp, unsigned tid)
{
	uint32_t made;

	if (tid == 0 || tid > TIDS_MAX)
		return;
	if (lackey_thread(lp, tid) == NULL) {
		made = trace_writer_thread(lk->lk_writer, some_thread(lp, lp->lp_cloner));
		if (made == TRACE_NONE)
			return;
		thread_set(lp, tid, made);
	}
	lp->lp_cur = tid;
}

void
lackey_exited(struct lackey *lk, struct lk_proc *lp, struct lk_thread *lt)
{
	trace_writer_exit(lk->lk_writer, lt->lt_thread);
	lp->lp_dead = true;
	drop_threads(lp);
	drop_fds(lp);
}

static void
thread_gone(struct lackey *lk, struct lk_proc *lp, unsigned tid)
{
	struct lk_thread *lt = lackey_thread(lp, tid);
	uint32_t thread;

	if (lt == NULL)
		return;
	thread = lt->lt_thread;
	lt->lt_thread = TRACE_NONE;
	if (some_thread(lp, TRACE_NONE) != TRACE_NONE) {
		trace_writer_thread_exit(lk->lk_writer, thread);
		return;
	}
	lt->lt_thread = thread;
	lackey_exited(lk, lp, lt);
}

void
lackey_flush(struct lk_proc *lp)
{
	unsigned i;

	for (i = 0; i < lp->lp_nthreads; i++)
		if (lp->lp_threads[i] != NULL)
			memset(lp->lp_threads[i]->lt_tlb, 0, sizeof(lp->lp_threads[i]->lt_tlb));
}

/* Does the reference hit?  If not, it does from now on. */
static bool
tlb_hit(struct lk_tlb *tb, uint64_t clock, uint64_t page, bool write)
{
	unsigned i, victim = 0;

	if (tb->tb_entry[tb->tb_mru].page == page + 1 &&
	    (!write || tb->tb_entry[tb->tb_mru].written)) {
		tb->tb_entry[tb->tb_mru].stamp = clock;
		return true;
	}
	for (i = 0; i < TLB_ENTRIES; i++) {
		if (tb->tb_entry[i].page == page + 1)
			break;
		if (tb->tb_entry[i].stamp < tb->tb_entry[victim].stamp)
			victim = i;
	}
	if (i == TLB_ENTRIES) {
		i = victim;
		tb->tb_entry[i].page = page + 1;
		tb->tb_entry[i].written = write;
		tb->tb_entry[i].stamp = clock;
		tb->tb_mru = i;
		return false;
	}
	tb->tb_entry[i].stamp = clock;
	tb->tb_mru = i;
	if (!write || tb->tb_entry[i].written)
		return true;
	tb->tb_entry[i].written = true;
	return false;
}

static void
reference(struct lackey *lk, struct lk_thread *lt, enum trace_kind kind, uint64_t page)
{
	lk->lk_clock++;
	if (tlb_hit(&lt->lt_tlb[kind != TRACE_IFETCH], lk->lk_clock, page, kind == TRACE_WRITE))
		return;
	if (trace_writer_ref(lk->lk_writer, lt->lt_thread, kind, page * TRACE_PAGE))
		lk->lk_kept++;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* "I  04001090,3" or " L 1ffefff8a0,8": most lines by far, so no library calls.  False: neither. */
static bool
parse_reference(struct lackey *lk, struct lk_proc *lp, const char *line)
{
	struct lk_thread *lt;
	const char *p = line + 3;
	uint64_t va = 0, size = 0, page;
	char kind = line[0] == 'I' ? 'I' : line[1];

	if (!(line[0] == 'I' && line[1] == ' ' && line[2] == ' ') &&
	    !(line[0] == ' ' && (kind == 'L' || kind == 'S' || kind == 'M') && line[2] == ' '))
		return false;
	for (; hex_digit(*p) >= 0; p++)
		va = va << 4 | (uint64_t)hex_digit(*p);
	if (*p++ != ',')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		size = size * 10 + (uint64_t)(*p - '0');
	lk->lk_seen++;
	lt = lackey_thread(lp, lp->lp_cur);
	if (lt == NULL || size == 0 || size > TRACE_PAGE || va >= TRACE_VA_MAX) {
		trace_writer_dropped(lk->lk_writer, 1);
		return true;
	}
	for (page = va / TRACE_PAGE; page <= (va + size - 1) / TRACE_PAGE; page++) {
		if (kind == 'I')
			reference(lk, lt, TRACE_IFETCH, page);
		if (kind == 'L' || kind == 'M')
			reference(lk, lt, TRACE_READ, page);
		if (kind == 'S' || kind == 'M')
			reference(lk, lt, TRACE_WRITE, page);
	}
	return true;
}

/* One line of /proc/PID/maps. */
struct maps_line {
	uint64_t ml_start, ml_end, ml_offset;
	uint8_t ml_prot;
	char ml_path[1024];		/* "" for anonymous */
};

static bool
parse_maps_line(const char *p, struct maps_line *ml)
{
	unsigned long start, end, offset;
	char perms[8];
	int len = 0;

	if (sscanf(p, "%lx-%lx %7s %lx %*s %*u%n", &start, &end, perms, &offset, &len) != 4 || len == 0)
		return false;
	p += len + strspn(p + len, " ");
	ml->ml_start = start;
	ml->ml_end = end;
	ml->ml_offset = offset;
	ml->ml_prot = (perms[0] == 'r' ? TM_READ : 0) | (perms[1] == 'w' ? TM_WRITE : 0) |
	    (perms[2] == 'x' ? TM_EXEC : 0);
	snprintf(ml->ml_path, sizeof(ml->ml_path), "%.*s", (int)strcspn(p, "\n"), p);
	return true;
}

/* Is this the client's, not valgrind's?  The stack is handled apart. */
static bool
client_owns(const struct maps_line *ml)
{
	if (ml->ml_start >= VG_TOOL_START && ml->ml_start < VG_TOOL_END)
		return false;
	if (ml->ml_path[0] == '[' || strstr(ml->ml_path, "/valgrind/") != NULL)
		return false;
	if (ml->ml_path[0] != '\0')
		return true;
	return ml->ml_start < VG_HEAP_START && ml->ml_prot != (TM_READ | TM_WRITE | TM_EXEC);
}

uint32_t
lackey_file(struct lackey *lk, const char *path, uint64_t reach)
{
	uint64_t size;
	uint32_t file;

	if (!lk->lk_host.lh_size(lk->lk_host.lh_arg, path, &size))
		size = reach;
	file = trace_writer_file(lk->lk_writer, path, size);
	trace_writer_file_size(lk->lk_writer, file, size);
	return file;
}

static void
initial_map(struct lackey *lk, uint32_t thread, const struct maps_line *ml)
{
	struct trace_map tm = { .tm_va = ml->ml_start, .tm_len = ml->ml_end - ml->ml_start,
		.tm_prot = ml->ml_prot, .tm_flags = TM_INITIAL, .tm_file = TRACE_NONE };

	if (ml->ml_path[0] != '\0') {
		tm.tm_offset = ml->ml_offset;
		tm.tm_file = lackey_file(lk, ml->ml_path, ml->ml_offset + tm.tm_len);
	}
	trace_writer_map(lk->lk_writer, thread, TRACE_MMAP, &tm);
}

static void
initial_stack(struct lackey *lk, uint32_t thread, uint64_t end)
{
	struct trace_map tm = { .tm_va = end - STACK_SIZE, .tm_len = STACK_SIZE,
		.tm_prot = TM_READ | TM_WRITE, .tm_flags = TM_INITIAL | TM_STACK,
		.tm_file = TRACE_NONE };

	trace_writer_map(lk->lk_writer, thread, TRACE_MMAP, &tm);
}

static void
initial_layout(struct lackey *lk, struct lk_proc *lp, uint32_t thread)
{
	char *maps = lk->lk_host.lh_maps(lk->lk_host.lh_arg, lp->lp_pid), *p;
	struct maps_line ml;
	uint64_t stack = 0;

	for (p = maps; p != NULL && *p != '\0'; p = strchr(p, '\n'), p += p != NULL) {
		if (!parse_maps_line(p, &ml))
			continue;
		if (client_owns(&ml))
			initial_map(lk, thread, &ml);
		else if (ml.ml_path[0] == '\0' && ml.ml_prot == (TM_READ | TM_WRITE) &&
		    ml.ml_start >= VG_HEAP_START && ml.ml_end <= VG_CLIENT_END && ml.ml_end > stack)
			stack = ml.ml_end;
	}
	if (stack != 0)
		initial_stack(lk, thread, stack);
	free(maps);
}

/* The banner: a program starts in this process. */
static void
new_image(struct lackey *lk, struct lk_proc *lp)
{
	struct lk_thread *lt = lackey_thread(lp, lp->lp_cur);
	uint32_t thread;

	if (lt == NULL)
		return;
	thread = lt->lt_thread;
	if (lp->lp_image)
		trace_writer_exec(lk->lk_writer, thread);
	drop_threads(lp);
	thread_set(lp, 1, thread);
	lp->lp_cur = 1;
	lp->lp_image = true;
	lp->lp_brk = 0;
	initial_layout(lk, lp, thread);
}

static void
parse_line(struct lackey *lk, struct lk_proc *lp, const char *line)
{
	const char *p;
	unsigned tid, pid;

	if (lp->lp_dead || parse_reference(lk, lp, line))
		return;
	if (strncmp(line, "SYSCALL[", 8) == 0 && sscanf(line, "SYSCALL[%u,%u]", &pid, &tid) == 2)
		lackey_call(lk, lp, tid, line);
	if (lp->lp_dead)
		return;
	if (strstr(line, "== Lackey, an example Valgrind tool") != NULL)
		new_image(lk, lp);
	p = strstr(line, "SCHED[");
	if (p == NULL || sscanf(p, "SCHED[%u]", &tid) != 1)
		return;
	if (strstr(p, "]:  acquired lock") != NULL)
		thread_runs(lk, lp, tid);
	else if (strstr(p, "]: exiting VG_(scheduler)") != NULL)
		thread_gone(lk, lp, tid);
}

static void
text_append(struct lk_proc *lp, const char *buf, size_t len)
{
	if (lp->lp_len + len + 1 > lp->lp_cap) {
		lp->lp_cap = (lp->lp_len + len + 1) * 2;
		lp->lp_text = xcheck(realloc(lp->lp_text, lp->lp_cap));
	}
	memcpy(lp->lp_text + lp->lp_len, buf, len);
	lp->lp_len += len;
	lp->lp_text[lp->lp_len] = '\0';
}

/* Parse the complete lines of the process' text and keep the rest. */
static void
parse_text(struct lackey *lk, struct lk_proc *lp)
{
	char *line = lp->lp_text, *nl;

	while ((nl = memchr(line, '\n', lp->lp_len - (size_t)(line - lp->lp_text))) != NULL) {
		*nl = '\0';
		parse_line(lk, lp, line);
		line = nl + 1;
	}
	lp->lp_len -= (size_t)(line - lp->lp_text);
	if (lp->lp_len > LINE_LONGEST)
		lp->lp_len = 0;
	memmove(lp->lp_text, line, lp->lp_len);
}

void
lackey_forked(struct lackey *lk, struct lk_proc *lp, unsigned tid, int pid)
{
	struct lk_thread *lt = lackey_thread(lp, tid);
	struct lk_proc *child = lackey_find(lk, pid);
	uint32_t thread;
	size_t i;

	if (lt == NULL || (child != NULL && child->lp_proc != TRACE_NONE && !child->lp_dead))
		return;
	thread = trace_writer_fork(lk->lk_writer, lt->lt_thread);
	if (thread == TRACE_NONE)
		return;
	if (child != NULL && child->lp_dead) {
		child->lp_pid = -1;
		child = NULL;
	}
	if (child == NULL)
		child = proc_create(lk, pid);
	child->lp_proc = ++lk->lk_nproc;
	child->lp_parent = lp->lp_proc;
	child->lp_image = true;
	child->lp_brk = lp->lp_brk;
	child->lp_cur = tid;
	thread_set(child, tid, thread);
	for (i = 0; i < lp->lp_nfds; i++)
		if (lp->lp_fds[i] != NULL)
			lackey_fd_set(child, i, lp->lp_fds[i]);
	child->lp_cwd = lp->lp_cwd == NULL ? NULL : xstrdup(lp->lp_cwd);
	if (child->lp_len != 0)
		parse_text(lk, child);
}

void
lackey_feed(struct lackey *lk, int pid, const char *buf, size_t len)
{
	struct lk_proc *lp = lackey_find(lk, pid);

	if (lp != NULL && lp->lp_dead && memmem(buf, len, "== Lackey, an", 13) != NULL) {
		/* The pid comes again and its parent has not told yet. */
		lp->lp_pid = -1;
		lk->lk_last = NULL;
		lp = NULL;
	}
	if (lp == NULL) {
		bool first = lk->lk_procs == NULL;

		lp = proc_create(lk, pid);
		if (first) {
			lp->lp_proc = 0;
			thread_set(lp, 1, 0);
		}
	}
	lk->lk_last = lp;
	text_append(lp, buf, len);
	if (lp->lp_proc != TRACE_NONE)
		parse_text(lk, lp);
}
