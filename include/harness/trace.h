/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Traces: what a real program did to its memory.
 *
 * A trace (.uvmt) is loaded whole and checked whole, once; afterwards it never
 * changes, so any number of replays read it at the same time without locks.
 *
 * Each thread of each recorded process is a stream of its own, an array of
 * operations in program order.  What ties the streams together:
 *
 *	seq	place in the order in which everything was recorded.  Running all
 *		operations one by one by seq is always a correct replay.
 *	fork	TRACE_FORK makes process to_arg; its main thread may start then.
 *	thread	TRACE_THREAD_CREATE makes thread to_arg; it may start then.
 *	wait	TRACE_WAIT returns when process to_arg has done its TRACE_EXIT.
 *	epoch	how many barrier operations (trace_is_barrier) of the same process
 *		come before this one.  Operations with equal epoch that are no barriers
 *		may run in parallel; each epoch ends with its one barrier.  So a barrier
 *		of epoch e runs when tp_epoch_ops[e] other operations are done, and
 *		everything of epoch e + 1 waits for it.  tp_epoch_ops counts over all
 *		threads, and each operation waits only for lower seq: no deadlock.
 *
 * What a replay may rely on, because trace_open refuses a file in which it is not so:
 *
 *	- addresses and lengths are whole pages inside [TRACE_VA_MIN, TRACE_VA_MAX),
 *	  lengths are not zero, file offsets are whole pages;
 *	- process 0 starts with an empty address space; the layout that the kernel makes
 *	  at exec time (text, data, heap, stack) comes as TRACE_MMAP with TM_INITIAL,
 *	  at the start of process 0 and after each TRACE_EXEC;
 *	- every reference lies inside a mapping that exists at that time, with a
 *	  protection that allows it, and in a file mapping before the file's last page's end;
 *	- mprotect, madvise, msync and mremap name mapped ranges only; munmap and a
 *	  fixed mmap may cover anything; an mmap without TM_FIXED, and mremap's new
 *	  place, cover nothing that is mapped;
 *	- every process but 0 is forked once, every thread is made once, by a thread of
 *	  its process (main threads by the fork); nothing of it comes before;
 *	- a process ends with one TRACE_EXIT, the last of all its operations; each other
 *	  thread's stream ends with TRACE_THREAD_EXIT; TRACE_EXEC comes from a process'
 *	  only thread; TRACE_WAIT names a child of that process that has exited.
 *
 * Contents are not recorded.  Files are synthetic: tf_size bytes of whatever the replay wants.
 */
#ifndef HARNESS_TRACE_H
#define HARNESS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_PAGE	4096u
#define TRACE_VA_MIN	0x1000ull
#define TRACE_VA_MAX	0x7ffffffff000ull
#define TRACE_NONE	UINT32_MAX	/* no process, thread or file */

#define TRACE_FILE_MAX	(64u << 20)	/* bytes of a .uvmt file */
#define TRACE_RAW_MAX	(64u << 20)	/* bytes of its record stream, decompressed */
#define TRACE_OPS_MAX	(8u << 20)
#define TRACE_PROCS_MAX	4096u
#define TRACE_THREADS_MAX 16384u
#define TRACE_FILES_MAX	4096u
#define TRACE_MAPS_MAX	(1u << 18)	/* operations with a struct trace_map */
#define TRACE_LIVE_MAX	16384u		/* mappings at one time, all processes together */
#define TRACE_SIZE_MAX	(1ull << 30)	/* bytes of one synthetic file, and of all mapped ones */
#define TRACE_NAME_MAX	64u		/* bytes in a name, without the NUL */

enum trace_kind {
	/* References: to_va is the page.  Filtered by a 64-entry LRU TLB: the rest would hit. */
	TRACE_READ,
	TRACE_WRITE,
	TRACE_IFETCH,
	/* Barriers with a struct trace_map, tr_maps[to_arg]; to_va is its tm_va. */
	TRACE_MMAP,		/* tm_va is where it went, also without TM_FIXED */
	TRACE_MUNMAP,
	TRACE_MPROTECT,		/* tm_prot */
	TRACE_MREMAP,		/* tm_va, tm_len -> tm_new_va, tm_new_len; one mapping's pages */
	TRACE_MADVISE,		/* tm_advice */
	TRACE_MSYNC,		/* tm_flags: TM_ASYNC, TM_INVALIDATE */
	TRACE_BRK,		/* the heap gains (anon private, read-write) or with TM_SHRINK loses the range */
	/* Barriers without. */
	TRACE_FORK,		/* to_arg: process made */
	TRACE_EXEC,		/* all mappings go */
	TRACE_EXIT,		/* of the process */
	/* The rest. */
	TRACE_THREAD_CREATE,	/* to_arg: thread made */
	TRACE_THREAD_EXIT,
	TRACE_WAIT,		/* to_arg: process waited for */
	TRACE_NKINDS
};

#define TM_READ		0x1u	/* tm_prot; the host's PROT_ bits */
#define TM_WRITE	0x2u
#define TM_EXEC		0x4u

#define TM_SHARED	0x01u	/* tm_flags; without it private */
#define TM_FIXED	0x02u	/* replaces what is mapped there */
#define TM_INITIAL	0x04u	/* part of the layout at exec time */
#define TM_STACK	0x08u	/* the main thread's stack, at its full size; grows down */
#define TM_SHRINK	0x10u	/* TRACE_BRK */
#define TM_ASYNC	0x20u	/* TRACE_MSYNC */
#define TM_INVALIDATE	0x40u	/* TRACE_MSYNC */

enum trace_advice {
	TRACE_ADV_NORMAL,
	TRACE_ADV_RANDOM,
	TRACE_ADV_SEQUENTIAL,
	TRACE_ADV_WILLNEED,
	TRACE_ADV_DONTNEED,	/* as Linux has it: private anonymous pages read as zero after */
	TRACE_ADV_FREE,		/* the same, at leisure: either the old content or zero */
	TRACE_ADV_NADVICE
};

/* The long half of a mapping operation.  Stable. */
struct trace_map {
	uint64_t tm_va;
	uint64_t tm_len;		/* bytes, whole pages */
	uint64_t tm_new_va;		/* TRACE_MREMAP */
	uint64_t tm_new_len;
	uint64_t tm_offset;		/* in the file */
	uint32_t tm_file;		/* TRACE_MMAP: tr_files[]; TRACE_NONE: anonymous */
	uint8_t tm_prot;		/* TRACE_MMAP, TRACE_MPROTECT */
	uint8_t tm_flags;
	uint8_t tm_advice;
};

/* One operation.  Stable. */
struct trace_op {
	uint64_t to_va;
	uint32_t to_seq;		/* unique in the trace; ascends in each stream */
	uint32_t to_epoch;		/* of its process */
	uint32_t to_arg;		/* see enum trace_kind */
	uint32_t to_kind;
};

struct trace_thread {			/* stable */
	uint32_t tt_proc;
	uint32_t tt_creator;		/* thread that made it; main threads: that forked; or TRACE_NONE */
	const struct trace_op *tt_ops;
	size_t tt_nops;
};

struct trace_proc {			/* stable */
	uint32_t tp_parent;		/* TRACE_NONE: process 0 */
	uint32_t tp_main;		/* its first thread */
	uint32_t tp_nthreads;		/* that it ever had; use tt_proc to find them */
	uint32_t tp_nepochs;		/* its barriers, TRACE_EXIT is the last one */
	const uint32_t *tp_epoch_ops;	/* [tp_nepochs]: operations beside the barrier */
};

struct trace_file {			/* stable */
	char tf_name[TRACE_NAME_MAX + 1]; /* last component of its path, printable */
	uint64_t tf_size;		/* bytes; not always whole pages */
};

/* A loaded trace.  Stable after trace_open, read by all without a lock. */
struct trace {
	char tr_command[TRACE_NAME_MAX + 1];	/* what was recorded, without its directory */
	uint32_t tr_nprocs;
	uint32_t tr_nthreads;
	uint32_t tr_nfiles;
	uint32_t tr_nmaps;
	size_t tr_nops;			/* all streams together */
	uint64_t tr_dropped;		/* references that the recorder could not place */
	struct trace_proc *tr_procs;
	struct trace_thread *tr_threads;
	struct trace_file *tr_files;
	struct trace_map *tr_maps;
	struct trace_op *tr_ops;	/* stream after stream: tt_ops points in here */
	uint64_t tr_peak_pages;		/* most pages touched at one time, each forgotten at exec or exit, */
					/* as if no page were shared: an upper bound for a replay */
	uint64_t tr_file_bytes;		/* sum of tf_size */
};

/* One line for the user: file, place in it, what is wrong, how to mend it. */
struct trace_error {
	char msg[256];
};

static inline bool
trace_is_reference(uint32_t kind)
{
	return kind <= TRACE_IFETCH;
}

static inline bool
trace_has_map(uint32_t kind)
{
	return kind >= TRACE_MMAP && kind <= TRACE_BRK;
}

static inline bool
trace_is_barrier(uint32_t kind)
{
	return kind >= TRACE_MMAP && kind <= TRACE_EXIT;
}

/*
 * trace_kind_name: "read", "mmap", ...
 */
const char *trace_kind_name(uint32_t kind);

/*
 * trace_open: load and check a whole trace.
 * => NULL with one line in the error: unreadable, or not a sound trace
 * => safe on any bytes: bounded in memory and time by the TRACE_*_MAX above
 * trace_open_buffer: the same from memory; name is for messages.
 * trace_close: NULL allowed; no replay uses it any more
 */
struct trace *trace_open(const char *path, struct trace_error *);
struct trace *trace_open_buffer(const void *buf, size_t len, const char *name,
    struct trace_error *);
void trace_close(struct trace *);

/*
 * trace_info_print: what a trace holds, for people.
 */
void trace_info_print(const struct trace *, FILE *);

/*
 * Writing.  One thread at a time uses a writer.  It starts with process 0 and its main
 * thread 0.  Operations are given in seq order.  The writer keeps the promises above
 * as far as a recording can break them: a reference that no mapping allows is dropped
 * and counted, a range operation is cut to what is mapped.
 * => trace_writer_file: a file's id, the same for the same path
 * => trace_writer_file_size: it has grown; a smaller size is ignored.  A file is written no
 *    longer than what was mapped of it
 * => trace_writer_ref, _map: false when it was dropped
 * => trace_writer_fork: the new process' main thread;  _thread: the new thread
 * => trace_writer_exit: of the thread's process; its other threads end too
 * => trace_writer_finish: end all processes that still live, write the file;
 *    0, or an errno and a line in the error.  The writer is only good for destroy then.
 *    A limit that was met on the way is told here (E2BIG).
 * trace_writer_encode: the same into fresh memory, freed by the caller.
 */
struct trace_writer;

struct trace_writer *trace_writer_create(const char *command);
void trace_writer_destroy(struct trace_writer *);
uint32_t trace_writer_file(struct trace_writer *, const char *path, uint64_t size);
void trace_writer_file_size(struct trace_writer *, uint32_t file, uint64_t size);
bool trace_writer_ref(struct trace_writer *, uint32_t thread, enum trace_kind, uint64_t va);
bool trace_writer_map(struct trace_writer *, uint32_t thread, enum trace_kind,
    const struct trace_map *);
uint32_t trace_writer_fork(struct trace_writer *, uint32_t thread);
uint32_t trace_writer_thread(struct trace_writer *, uint32_t thread);
void trace_writer_thread_exit(struct trace_writer *, uint32_t thread);
void trace_writer_exec(struct trace_writer *, uint32_t thread);
void trace_writer_wait(struct trace_writer *, uint32_t thread, uint32_t proc);
void trace_writer_exit(struct trace_writer *, uint32_t thread);
void trace_writer_dropped(struct trace_writer *, uint64_t n);
int trace_writer_encode(struct trace_writer *, void **bufp, size_t *lenp, struct trace_error *);
int trace_writer_finish(struct trace_writer *, const char *path, struct trace_error *);

/*
 * trace_record: run a command under valgrind's lackey and write its trace.
 * => the command keeps its standard streams; progress goes to stderr every few seconds
 * => 0 or positive: the command's exit status (128 + signal), the trace is written;
 *    -1: no trace, the error says why, and *hostp says whether the host is to blame
 *    (valgrind missing: exit status 3) or the call (exit status 2)
 */
int trace_record(const char *outfile, char *const argv[], bool *hostp, struct trace_error *);

#endif /* HARNESS_TRACE_H */
