/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From lackey's log to a trace: the parser's own structures.
 *
 * One thread parses; nothing here locks.
 */
#ifndef TR_LACKEY_H
#define TR_LACKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <harness/trace.h>

#define TLB_ENTRIES 64

/* One of a thread's two TLBs: LRU by stamp. */
struct lk_tlb {
	struct {
		uint64_t page;		/* + 1; 0: free */
		uint64_t stamp;
		bool written;
	} tb_entry[TLB_ENTRIES];
	unsigned tb_mru;
};

/* A system call as the log shows it. */
struct lk_call {
	unsigned lc_nr;
	unsigned lc_nargs;
	uint64_t lc_arg[6];
	char lc_path[1024];		/* its first string */
	bool lc_open;			/* result not seen yet */
};

struct lk_thread {
	uint32_t lt_thread;		/* in the trace; TRACE_NONE: this number is not in use */
	struct lk_tlb lt_tlb[2];	/* instructions, data */
	struct lk_call lt_pending;	/* announced, result on a later line */
};

struct lk_proc {
	struct lk_proc *lp_next;
	int lp_pid;
	uint32_t lp_proc;		/* in the trace; TRACE_NONE: parent has not told yet */
	uint32_t lp_parent;		/* in the trace */
	bool lp_dead;
	bool lp_reaped;			/* its parent has waited for it */
	bool lp_image;			/* has had an initial layout */
	struct lk_thread **lp_threads;	/* by valgrind's number */
	unsigned lp_nthreads;
	unsigned lp_cur;		/* number of the thread that runs */
	uint32_t lp_cloner;		/* thread in the trace that cloned last */
	uint64_t lp_brk;		/* 0: not known yet */
	char **lp_fds;			/* path of each open file; NULL: not a known file */
	size_t lp_nfds;
	char *lp_cwd;			/* NULL: the recorder's own */
	char *lp_text;			/* an incomplete line, or all lines while lp_proc is not known */
	size_t lp_len, lp_cap;
};

/* What the parser asks of the world, so that a test can be the world. */
struct lackey_host {
	void *lh_arg;
	/* /proc/PID/maps in fresh memory, or NULL */
	char *(*lh_maps)(void *arg, int pid);
	/* a regular file's size; false: not known */
	bool (*lh_size)(void *arg, const char *path, uint64_t *sizep);
};

struct lackey {
	struct trace_writer *lk_writer;
	struct lackey_host lk_host;
	struct lk_proc *lk_procs;
	struct lk_proc *lk_last;	/* the one fed last */
	uint64_t lk_clock;
	uint64_t lk_seen;		/* references in the log */
	uint64_t lk_kept;
	uint32_t lk_nproc;
};

struct lackey *lackey_create(struct trace_writer *, const struct lackey_host *);
void lackey_destroy(struct lackey *);

/*
 * lackey_feed: some bytes of the log, written by that process.  A chunk may end anywhere.
 */
void lackey_feed(struct lackey *, int pid, const char *buf, size_t len);

/* Between tr_lackey.c and tr_lackey_sys.c. */
void lackey_call(struct lackey *, struct lk_proc *, unsigned tid, const char *line);
void lackey_flush(struct lk_proc *);
void lackey_forked(struct lackey *, struct lk_proc *, unsigned tid, int child);
void lackey_exited(struct lackey *, struct lk_proc *, struct lk_thread *);
struct lk_proc *lackey_find(struct lackey *, int pid);
struct lk_thread *lackey_thread(struct lk_proc *, unsigned tid);
void lackey_fd_set(struct lk_proc *, uint64_t fd, const char *path);
uint32_t lackey_file(struct lackey *, const char *path, uint64_t reach);

#endif /* TR_LACKEY_H */
