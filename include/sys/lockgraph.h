/*
 * What a lock auditor saw, as plain structs: lock classes, the order in which they were
 * taken, what was wrong with it, and where.
 *
 * The auditor fills one in at the end of a run (lockorder_export()), a file is read into
 * one (<harness/lockgraph.h>), and every report is made from one.  Nothing here knows a
 * lock, an LWP or a thread; everything refers to everything else by index, so that a graph
 * can be copied, written and merged without looking inside.
 *
 * Strings and arrays belong to whoever made the graph.  An auditor's live until its next
 * start; a graph that is to last longer is copied (lockgraph_dup).
 *
 * All fields are stable once the graph is made.
 */
#ifndef SYS_LOCKGRAPH_H
#define SYS_LOCKGRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define	LOCKGRAPH_NONE	UINT32_MAX	/* no such class, trace or site */

/* A program or library that stack frames lie in. */
struct lockgraph_module {
	const char	*lgm_path;		/* as the host's loader has it */
	const char	*lgm_build_id;		/* hexadecimal; NULL: it has none */
};

/* A return address.  The call is in the byte before it. */
struct lockgraph_frame {
	uint32_t	 lgf_module;		/* LOCKGRAPH_NONE: lgf_offset is an address */
	uint64_t	 lgf_offset;		/* from the load bias: an address of the ELF file */
	const char	*lgf_symbol;		/* "uvm_fault (uvm_fault.c:210)"; NULL: not looked up yet */
};

/* A stack, innermost frame first: lg_frames[lgt_first .. lgt_first + lgt_n - 1]. */
struct lockgraph_trace {
	uint32_t	 lgt_first, lgt_n;
};

enum lockgraph_class_kind {
	LOCKGRAPH_LOCK,			/* locks of one role */
	LOCKGRAPH_INSTANCE,		/* one lock, where nesting inside its class is judged */
	LOCKGRAPH_EVENT,		/* what somebody waits for: a busy page, memory, a disk */
};

/* lgc_usage: how locks of the class have been used. */
#define	LOCKGRAPH_SPIN		0x001	/* by spinning */
#define	LOCKGRAPH_WRITE		0x002	/* exclusively */
#define	LOCKGRAPH_READ		0x004	/* by readers */
#define	LOCKGRAPH_TRY		0x008	/* by trying */
#define	LOCKGRAPH_IN_INTR	0x010	/* in interrupt context, see lgc_intr_ipl */
#define	LOCKGRAPH_SLEPT		0x020	/* somebody slept, for an event, holding one */
#define	LOCKGRAPH_MAYSLEEP	0x040	/* declared: that is allowed */

struct lockgraph_class {
	const char	*lgc_name;
	enum lockgraph_class_kind lgc_kind;
	int		 lgc_rank;		/* declared, from 1 on; others: none */
	int		 lgc_nest;		/* declared: two of the class may be held: 0 no, 1 by birth
						   number, 2 a child's with its parent's, 3 as they like */
	int		 lgc_ipl;		/* of its spin locks; 0: none, or no spin locks */
	const char	*lgc_reason;		/* of the rank; NULL: none */
	uint32_t	 lgc_created;		/* trace: where the first one was made, or LOCKGRAPH_NONE */
	uint32_t	 lgc_usage;		/* LOCKGRAPH_SPIN | ... */
	int		 lgc_intr_ipl;		/* highest IPL of an interrupt that took one; -1: none did */
	uint32_t	 lgc_intr_trace;	/* and where */
	int		 lgc_open_ipl;		/* lowest IPL that one was held at; -1: never held */
	uint32_t	 lgc_open_trace;
	uint64_t	 lgc_acquisitions;
	uint64_t	 lgc_contended;		/* of which had to wait */
	uint64_t	 lgc_wait_ns, lgc_wait_ns_max;
	uint64_t	 lgc_holds;		/* holds that were timed, a sample */
	uint64_t	 lgc_hold_ns, lgc_hold_ns_max;
};

enum lockgraph_mode {
	LOCKGRAPH_M_WRITE,
	LOCKGRAPH_M_READ,		/* waits for waiting writers */
	LOCKGRAPH_M_READ_REC,		/* recursive: does not */
	LOCKGRAPH_M_TRY,		/* does not wait at all */
};

enum lockgraph_edge_kind {
	LOCKGRAPH_ORDER,		/* wanted while held */
	LOCKGRAPH_WAIT,			/* `to` is an event, waited for while `from` was held */
	LOCKGRAPH_PROVIDE,		/* `from` is an event that somebody ended who needed `to` */
};

/*
 * From what is held to what is wanted: each pair of classes, kinds and modes once.
 * Merged graphs say which runs saw it.
 */
struct lockgraph_edge {
	uint32_t	 lge_from, lge_to;	/* classes */
	enum lockgraph_edge_kind lge_kind;
	enum lockgraph_mode lge_from_mode, lge_to_mode;
	uint64_t	 lge_count;		/* chains validated that had it, 1 or more */
	uint32_t	 lge_from_trace;	/* where `from` was taken when the edge was first seen */
	uint32_t	 lge_to_trace;		/* where `to` was wanted then */
	const uint32_t	*lge_runs;		/* indices of lg_runs; NULL: not said */
	uint32_t	 lge_nruns;
};

enum lockgraph_grade {
	LOCKGRAPH_UNGRADED,		/* no matter of order: wrong whatever others do */
	LOCKGRAPH_UNCONFIRMED,
	LOCKGRAPH_GUARDED,		/* a common lock keeps the parties apart */
	LOCKGRAPH_LATENT,		/* needs a party that was not seen: a writer, a second runner */
	LOCKGRAPH_CONFIRMED,		/* a schedule that deadlocks is known */
};

/*
 * => does a waiver of that pattern cover a finding of that grade and fingerprint?  A * at its end
 *    stands for the rest.  What is wrong whatever others do, or known to deadlock, is never waived.
 */
static inline bool
lockgraph_waives(const char *pattern, enum lockgraph_grade grade, const char *fingerprint)
{
	const size_t len = strlen(pattern);

	if (grade == LOCKGRAPH_UNGRADED || grade == LOCKGRAPH_CONFIRMED)
		return false;
	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, fingerprint, len - 1) == 0;
	return strcmp(pattern, fingerprint) == 0;
}

struct lockgraph_finding {
	const char	*lgv_kind;		/* "lock-order", "lock-assertion", "interrupt-context" */
	const char	*lgv_id;		/* rule: "lock-cycle", "lock-rank", "ipl-inversion" */
	enum lockgraph_grade lgv_grade;
	const char	*lgv_fingerprint;	/* first word of its line in a waiver file */
	const char	*lgv_message;		/* one line */
	const char	*lgv_why;		/* of the grade: "vnode is held by both"; or NULL */
	const char	*lgv_waived;		/* the waiver's reason; NULL: not waived */
	uint64_t	 lgv_count;		/* times seen, 1 or more */
	uint32_t	 lgv_trace;		/* where it was noticed, or LOCKGRAPH_NONE */
	const struct lockgraph_edge *lgv_cycle; /* each edge's `to` is the next one's `from` */
	uint32_t	 lgv_ncycle;		/* 0: not about a cycle; 1: about one edge */
	uint32_t	 lgv_held;		/* where the lock that is in the way was taken, or LOCKGRAPH_NONE */
	const char	*lgv_recording;		/* directory of a schedule that deadlocks; NULL: none */
};

/* Statistics of one call site, as lockstat(8) has them. */
struct lockgraph_site {
	uint32_t	 lgs_class;
	struct lockgraph_frame lgs_frame;	/* the call of mutex_enter() or its like */
	uint64_t	 lgs_acquisitions, lgs_contended;
	uint64_t	 lgs_wait_ns, lgs_wait_ns_max;
	uint64_t	 lgs_holds, lgs_hold_ns, lgs_hold_ns_max;
};

/* Whose locks were watched.  An auditor may leave these out; the harness fills them in. */
struct lockgraph_run {
	const char	*lgr_name;		/* "smoke", or the audited command */
	const char	*lgr_command;		/* repeats it */
	uint64_t	 lgr_seed;
};

struct lockgraph {
	const struct lockgraph_run	*lg_runs;
	const struct lockgraph_module	*lg_modules;
	const struct lockgraph_frame	*lg_frames;
	const struct lockgraph_trace	*lg_traces;	/* each different stack once */
	const struct lockgraph_class	*lg_classes;
	const struct lockgraph_edge	*lg_edges;
	const struct lockgraph_finding	*lg_findings;
	const struct lockgraph_site	*lg_sites;
	uint32_t lg_nruns, lg_nmodules, lg_nframes, lg_ntraces, lg_nclasses, lg_nedges, lg_nfindings,
	    lg_nsites;
	uint64_t lg_chains;			/* different stacks of held locks that were validated */
	uint64_t lg_lost;			/* what there was no memory to remember; 0 or a complaint */
};

#endif /* SYS_LOCKGRAPH_H */
