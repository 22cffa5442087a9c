/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a log to operations, with a log and a /proc/PID/maps of our own, so that
 * valgrind is not needed.
 */
#include <ktest.h>

#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "tr_lackey.h"

#define BANNER(pid) "==" #pid "== Lackey, an example Valgrind tool\n"

static char *
fixture_maps(void *arg, int pid)
{
	(void)pid;
	return xstrdup(arg);
}

static bool
fixture_size(void *arg, const char *path, uint64_t *sizep)
{
	(void)arg;
	*sizep = 100000;
	return strcmp(path, "/lib/known.so") == 0 || strcmp(path, "/bin/prog") == 0;
}

static const char maps[] =
    "00108000-0010a000 r--p 00000000 fe:00 247728                             /bin/prog\n"
    "0010a000-0010c000 r-xp 00002000 fe:00 247728                             /bin/prog\n"
    "0010c000-0010d000 rw-p 00000000 00:00 0 \n"
    "04035000-04036000 rwxp 00000000 00:00 0 \n"
    "58000000-58001000 r--p 00000000 fe:00 335458          /usr/libexec/valgrind/lackey-amd64-linux\n"
    "58232000-58c25000 rw-p 00000000 00:00 0 \n"
    "1002001000-1002401000 rwxp 00000000 00:00 0 \n"
    "1ffefff000-1fff001000 rw-p 00000000 00:00 0 \n"
    "7f8326f5a000-7f8326f5e000 r--p 00000000 00:00 0                          [vvar]\n"
    "7fff71016000-7fff71037000 rw-p 00000000 00:00 0                          [stack]\n";

struct fixture {
	struct trace_writer *fx_w;
	struct lackey *fx_lk;
};

static struct fixture
begin(void)
{
	struct lackey_host host = { (void *)(uintptr_t)maps, fixture_maps, fixture_size };
	struct fixture fx;

	fx.fx_w = trace_writer_create("prog");
	fx.fx_lk = lackey_create(fx.fx_w, &host);
	return fx;
}

static void
feed(struct fixture *fx, int pid, const char *text)
{
	lackey_feed(fx->fx_lk, pid, text, strlen(text));
}

static struct trace *
end(struct fixture *fx)
{
	struct trace_error te = { "" };
	struct trace *tr;
	void *buf;
	size_t len;

	lackey_destroy(fx->fx_lk);
	CHECK(trace_writer_encode(fx->fx_w, &buf, &len, &te) == 0);
	trace_writer_destroy(fx->fx_w);
	tr = trace_open_buffer(buf, len, "fixture", &te);
	if (tr == NULL)
		fprintf(stderr, "%s\n", te.msg);
	CHECK(tr != NULL);
	free(buf);
	return tr;
}

/* The operations of a thread after the initial layout, as text. */
static char *
story(const struct trace *tr, uint32_t thread)
{
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	CHECK(thread < tr->tr_nthreads);
	for (i = 0; i < tr->tr_threads[thread].tt_nops; i++) {
		const struct trace_op *op = &tr->tr_threads[thread].tt_ops[i];
		const struct trace_map *tm;

		if (trace_is_reference(op->to_kind)) {
			fprintf(f, "%s %llx\n", trace_kind_name(op->to_kind), (unsigned long long)op->to_va);
		} else if (!trace_has_map(op->to_kind)) {
			fprintf(f, "%s %u\n", trace_kind_name(op->to_kind), op->to_arg);
		} else {
			tm = &tr->tr_maps[op->to_arg];
			if (tm->tm_flags & TM_INITIAL)
				continue;
			fprintf(f, "%s %llx+%llx p%x f%x", trace_kind_name(op->to_kind),
			    (unsigned long long)tm->tm_va, (unsigned long long)tm->tm_len, tm->tm_prot,
			    tm->tm_flags);
			if (tm->tm_file != TRACE_NONE)
				fprintf(f, " %s@%llx", tr->tr_files[tm->tm_file].tf_name,
				    (unsigned long long)tm->tm_offset);
			if (op->to_kind == TRACE_MREMAP)
				fprintf(f, " %llx+%llx", (unsigned long long)tm->tm_new_va,
				    (unsigned long long)tm->tm_new_len);
			fputc('\n', f);
		}
	}
	fclose(f);
	return text;
}

static void
tells(const struct trace *tr, uint32_t thread, const char *expected)
{
	char *got = story(tr, thread);

	if (strcmp(got, expected) != 0)
		fprintf(stderr, "--- wanted\n%s--- got\n%s", expected, got);
	CHECK(strcmp(got, expected) == 0);
	free(got);
}

KTEST(initial_layout_is_the_clients_not_valgrinds,
    "initial layout is the clients not valgrinds")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7));
	tr = end(&fx);
	CHECK(tr->tr_nmaps == 4);
	CHECK(tr->tr_maps[0].tm_va == 0x108000 && tr->tr_maps[0].tm_prot == TM_READ);
	CHECK(tr->tr_maps[1].tm_prot == (TM_READ | TM_EXEC) && tr->tr_maps[1].tm_offset == 0x2000);
	CHECK(tr->tr_maps[2].tm_file == TRACE_NONE);
	CHECK(tr->tr_maps[3].tm_flags == (TM_INITIAL | TM_STACK));
	CHECK(tr->tr_maps[3].tm_va + tr->tr_maps[3].tm_len == 0x1fff001000);
	CHECK(tr->tr_maps[3].tm_len == 8u << 20);
	trace_close(tr);
}

KTEST(memory_calls_become_operations, "memory calls become operations")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7)
	    "SYSCALL[7,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) \n"
	    "SYSCALL[7,1](257) sys_openat ( 4294967196, 0x4834(/lib/known.so), 524288 ) --> [async] ... \n"
	    "SYSCALL[7,1](257) ... [async] --> Success(0x4) \n"
	    "SYSCALL[7,1](9) sys_mmap ( 0x0, 42987, 1, 2, 4, 4096 ) --> [pre-success] Success(0x483c000) \n"
	    "SYSCALL[7,1](9) sys_mmap ( 0x483d000, 8192, 3, 50, 4294967295, 0 ) --> [pre-success] Success(0x483d000) \n"
	    "SYSCALL[7,1](3) sys_close ( 4 )[sync] --> Success(0x0) \n"
	    "SYSCALL[7,1](12) sys_brk ( 0x4056000 ) --> [pre-success] Success(0x4056000) \n"
	    "SYSCALL[7,1](12) sys_brk ( 0x4050000 ) --> [pre-success] Success(0x4050000) \n"
	    "SYSCALL[7,1](10) sys_mprotect ( 0x483d000, 4096, 1 )[sync] --> Success(0x0) \n"
	    "SYSCALL[7,1](10) sys_mprotect ( 0x483d000, 4096, 1 )[sync] --> Failure(0xc) \n"
	    "SYSCALL[7,1](28) sys_madvise ( 0x483e000, 4096, 4 )[sync] --> Success(0x0) \n"
	    "SYSCALL[7,1](25) sys_mremap ( 0x483e000, 4096, 8192, 0x1, 0x0 ) --> [pre-success] Success(0x5000000) \n"
	    "SYSCALL[7,1](11) sys_munmap ( 0x483c000, 42987 )[sync] --> Success(0x0) \n"
	    "SYSCALL[7,1](231) exit_group( 0 ) --> [pre-success] Success(0x0) \n"
	    " S 00000000,8\n");
	tr = end(&fx);
	tells(tr, 0,
	    "mmap 483c000+b000 p1 f0 known.so@1000\n"
	    "mmap 483d000+2000 p3 f2\n"
	    "brk 4035000+21000 p0 f0\n"
	    "brk 4050000+6000 p0 f10\n"
	    "mprotect 483d000+1000 p1 f0\n"
	    "madvise 483e000+1000 p0 f0\n"
	    "mremap 483e000+1000 p0 f0 5000000+2000\n"
	    "munmap 483c000+b000 p0 f0\n"
	    "exit 0\n");
	CHECK(tr->tr_files[1].tf_size == 0xc000);	/* what was mapped of it, not all of it */
	trace_close(tr);
}

KTEST(the_filter_keeps_first_touch_and_first_write,
    "the filter keeps first touch and first write")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7)
	    "I  0010a000,3\nI  0010a003,3\n"
	    " L 0010c010,8\n L 0010c018,8\n S 0010c018,8\n S 0010c020,8\n L 0010c018,8\n"
	    "I  0010affe,4\n"
	    " M 1fff000800,4\n"
	    "SYSCALL[7,1](11) sys_munmap ( 0x109000, 4096 )[sync] --> Success(0x0) \n"
	    " L 0010c018,8\n"
	    " L 00109000,8\n");
	tr = end(&fx);
	tells(tr, 0,
	    "ifetch 10a000\nread 10c000\nwrite 10c000\nifetch 10b000\n"
	    "read 1fff000000\nwrite 1fff000000\n"
	    "munmap 109000+1000 p0 f0\n"
	    "read 10c000\n"
	    "exit 0\n");
	CHECK(tr->tr_dropped == 1);
	trace_close(tr);
}

KTEST(the_filter_forgets_the_least_recently_used, "the filter forgets the least recently used")
{
	struct fixture fx = begin();
	struct trace *tr;
	char line[64];
	unsigned i;

	feed(&fx, 7, BANNER(7));
	for (i = 0; i < 64; i++) {
		snprintf(line, sizeof(line), " L %llx,8\n", 0x1fff000000ull - i * 4096);
		feed(&fx, 7, line);
	}
	/* The first page is used again, so the 65th pushes the second one out, not the first. */
	feed(&fx, 7, " L 1fff000000,8\n L 1ffefc0000,8\n L 1fff000000,8\n L 1ffefff000,8\n");
	tr = end(&fx);
	CHECK(tr->tr_threads[0].tt_nops == 4 + 64 + 1 + 1 + 1);
	trace_close(tr);
}

KTEST(a_child_may_speak_before_its_parent_tells_of_it,
    "a child may speak before its parent tells of it")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7) " S 0010c000,8\nSYSCALL[7,1](56) sys_clone ( 1200011, 0x0 )");
	feed(&fx, 8, " --> [pre-success] Success(0x0) \n S 0010c008,8\n"
	    "SYSCALL[8,1](59) sys_execve ( 0x10a00c(/bin/true), 0x1fff000580 )" BANNER(8)
	    " L 0010c000,8\nSYSCALL[8,1](231) exit_group( 0 ) --> [pre-success] Success(0x0) \n");
	feed(&fx, 7, "   clone(fork): process 7 created child 8\n --> [pre-success] Success(0x8) \n"
	    "SYSCALL[7,1](61) sys_wait4 ( 8, 0x0, 0, 0x0 ) --> [async] ... \n"
	    "SYSCALL[7,1](61) ... [async] --> Success(0x8) \n"
	    " S 0010c000,8\n");
	tr = end(&fx);
	CHECK(tr->tr_nprocs == 2);
	tells(tr, 0, "write 10c000\nfork 1\nwait 1\nwrite 10c000\nexit 0\n");
	tells(tr, 1, "write 10c000\nexec 0\nread 10c000\nexit 0\n");
	trace_close(tr);
}

KTEST(a_killed_child_ends_when_it_is_waited_for, "a killed child ends when it is waited for")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7) "SYSCALL[7,1](57) sys_fork ( )   fork: process 7 created child 8\n"
	    "SYSCALL[7,1](61) sys_wait4 ( 4294967295, 0x0, 0, 0x0 ) --> [async] ... \n"
	    "SYSCALL[7,1](61) ... [async] --> Success(0x8) \n");
	tr = end(&fx);
	tells(tr, 0, "fork 1\nwait 1\nexit 0\n");
	tells(tr, 1, "exit 0\n");
	trace_close(tr);
}

KTEST(a_wait_whose_result_a_signal_swallowed_has_returned_the_dead_child,
    "a wait whose result a signal swallowed has returned the dead child")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7) "SYSCALL[7,1](57) sys_fork ( )   fork: process 7 created child 8\n"
	    "SYSCALL[7,1](61) sys_wait4 ( 4294967295, 0x0, 0, 0x0 ) --> [async] ... \n");
	feed(&fx, 8, "SYSCALL[8,1](231) exit_group( 0 ) --> [pre-success] Success(0x0) \n");
	feed(&fx, 7, "SYSCALL[7,1](15) sys_rt_sigreturn ( ) --> [pre-success] NoWriteResult \n"
	    "SYSCALL[7,1](61) sys_wait4 ( 4294967295, 0x0, 1, 0x0 ) --> [async] ... \n"
	    "SYSCALL[7,1](61) ... [async] --> Failure(0xa) \n");
	tr = end(&fx);
	tells(tr, 0, "fork 1\nwait 1\nexit 0\n");
	trace_close(tr);
}

KTEST(threads_are_told_apart_by_the_schedulers_lines,
    "threads are told apart by the schedulers lines")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, BANNER(7) "SYSCALL[7,1](56) sys_clone ( 3d0f00, 0x52b8f70, 0x52b9990 ) --> "
	    "[pre-success] Success(0x1e4d) --7--   SCHED[1]: releasing lock (VG_(vg_yield)) -> VgTs_Yielding\n"
	    "--7--   SCHED[2]:  acquired lock (thread_wrapper(starting new thread))\n"
	    "--7--   SCHED[2]: entering VG_(scheduler)\n"
	    " S 0010c000,8\n"
	    "--7--   SCHED[2]: releasing lock (VG_(scheduler):timeslice) -> VgTs_Yielding\n"
	    "--7--   SCHED[1]:  acquired lock (VG_(vg_yield))\n"
	    " L 0010c000,8\n"
	    "--7--   SCHED[2]:  acquired lock (VG_(scheduler):timeslice)\n"
	    "--7--   SCHED[2]: exiting VG_(scheduler)\n"
	    "--7--   SCHED[1]:  acquired lock (VG_(vg_yield))\n"
	    "SYSCALL[7,1](231) exit_group( 0 ) --> [pre-success] Success(0x0) \n");
	tr = end(&fx);
	CHECK(tr->tr_nprocs == 1 && tr->tr_nthreads == 2);
	tells(tr, 0, "thread-create 1\nread 10c000\nexit 0\n");
	tells(tr, 1, "write 10c000\nthread-exit 0\n");
	trace_close(tr);
}

KTEST(chunks_may_end_anywhere, "chunks may end anywhere")
{
	static const char log[] = BANNER(7) "I  0010a000,3\n"
	    "SYSCALL[7,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000) \n"
	    " S 04835008,8\n";
	struct fixture fx = begin();
	struct trace *tr;
	size_t i;

	for (i = 0; i < sizeof(log) - 1; i++)
		lackey_feed(fx.fx_lk, 7, log + i, 1);
	tr = end(&fx);
	tells(tr, 0, "ifetch 10a000\nmmap 4835000+2000 p3 f0\nwrite 4835000\nexit 0\n");
	trace_close(tr);
}

KTEST(nonsense_in_the_log_is_skipped, "nonsense in the log is skipped")
{
	struct fixture fx = begin();
	struct trace *tr;

	feed(&fx, 7, "hello\n" BANNER(7) "SYSCALL[\nSYSCALL[7,9](9) sys_mmap\nSYSCALL[7,1](9)\n"
	    "SYSCALL[7,1](9) sys_mmap ( --> Success(0xfffffffffffff000)\n"
	    "SYSCALL[7,1](11) sys_munmap ( 0x1, 0 )[sync] --> Success(0x0)\n"
	    "SCHED[99999]:  acquired lock\nI  \n L zz,8\n S ffffffffffffffff,8\n\n"
	    "SYSCALL[7,1](334) unimplemented (by the kernel) syscall: 334! (ni_syscall)\n"
	    " --> [pre-fail] Failure(0x26) \n");
	tr = end(&fx);
	tells(tr, 0, "exit 0\n");
	trace_close(tr);
}

KTEST_MAIN()
