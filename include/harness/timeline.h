/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What CPUs and LWPs did last, as plain data: from the event histories into a file for viewers.
 */
#ifndef HARNESS_TIMELINE_H
#define HARNESS_TIMELINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum timeline_what {
	TL_INSTANT,			/* on the LWP's line */
	TL_INTERRUPT,			/* on the CPU's: by a handler, or that there is one */
	TL_SWITCH,			/* the CPU goes to LWP te_id */
	TL_BEGIN, TL_END,		/* of te_span, on the LWP's line */
	TL_WAITED,			/* for te_span, which took te_id ns and is over */
	TL_OPEN, TL_CLOSE,		/* of te_span about te_id, which is no LWP's: I/O, a loan */
};

/* Stable once captured. */
struct timeline_event {
	uint64_t te_ns;			/* since the first one */
	uint32_t te_lwp, te_id;
	uint32_t te_cpu;
	enum timeline_what te_what;
	const char *te_span;		/* static; NULL: none */
	const char *te_kind;		/* static: "fault_enter" */
	char *te_text;			/* "fault_enter map 7 at 0x1000, access 2" */
};

struct timeline_lwp {
	uint32_t tw_id;
	char tw_name[32];
};

/* All fields: the thread that runs the engine, or who ends the run by ro_fatal. */
struct timeline {
	struct timeline_event *tl_v;	/* by time */
	size_t tl_n;
	struct timeline_lwp *tl_lwps;	/* names of those that were seen, by whom, in no order */
	size_t tl_nlwps;
	unsigned tl_ncpu;
};

/*
 * timeline_names: remember who there is; again for who has come meanwhile.
 * timeline_capture: the newest events of all CPUs, in place of earlier ones.
 * => the machine is up; it may run
 */
void	timeline_names(struct timeline *);
void	timeline_capture(struct timeline *);

/* timeline_forget: the events.  timeline_fini: the names too. */
void	timeline_forget(struct timeline *);
void	timeline_fini(struct timeline *);

/* => Chrome's trace event format; spans of a line nest, and lines are in order of time */
void	report_timeline(const struct timeline *, FILE *);
/* => the same into a file, as report_write(): 0, or an errno with one line in why */
int	report_timeline_file(const struct timeline *, const char *path, char *why, size_t whylen);

#endif /* HARNESS_TIMELINE_H */
