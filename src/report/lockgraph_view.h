/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A lock graph as people look at it: classes in order, one arrow for each pair of them.
 */
#ifndef LOCKGRAPH_VIEW_H
#define LOCKGRAPH_VIEW_H

#include "lockgraph_int.h"

/* What the declared order says of an arrow; the worst of its edges counts. */
enum lg_verdict {
	LG_ALLOWED,		/* the rank grows, or the class may nest */
	LG_TRIED,		/* only ever tried: no order */
	LG_UNDECLARED,		/* a class without a rank is at one end */
	LG_AGAINST,		/* waited for against the order */
};

/* All edges from one class to another; stable. */
struct lg_pair {
	uint32_t pa_from, pa_to;	/* classes */
	uint32_t pa_edge;		/* the first one, a waiting one if there is any */
	uint64_t pa_count;
	enum lg_verdict pa_verdict;
	bool pa_wait;			/* by wait or provide edges: an event is at one end */
	bool pa_implied;		/* other arrows lead from here to there too */
	bool pa_violation;		/* in the cycle of a finding that is not waived */
	bool pa_confirmed;		/* of which a schedule is known that deadlocks */
};

struct lg_view {
	const struct lockgraph *vw_lg;
	uint32_t *vw_order;		/* classes, by rank, then by level, then as they came */
	uint32_t *vw_place;		/* of each class in that */
	uint32_t *vw_level;		/* of each class: arrows on the longest way to it */
	struct lg_pair *vw_pairs;	/* by place of their ends */
	uint32_t vw_npairs;
};

void lg_view_init(struct lg_view *, const struct lockgraph *);
void lg_view_fini(struct lg_view *);
/* => the arrow between two classes, or NULL */
const struct lg_pair *lg_view_pair(const struct lg_view *, uint32_t from, uint32_t to);

/* => may `to` be waited for while `from` is held, by what is declared? */
bool lg_allowed(const struct lockgraph_class *from, const struct lockgraph_class *to);
/* => does the finding count?  Neither waived nor guarded */
bool lg_is_violation(const struct lockgraph_finding *);
/* => is there anything to show of it?  Not if it has no place in the order and was not used */
bool lg_is_shown(const struct lg_view *, uint32_t class);
/* => was the class ever taken, or the event waited for? */
bool lg_was_used(const struct lg_view *, uint32_t class);
/* => "smoke, swap-storm": names of the runs that saw the edge, without repetition */
void lg_edge_runs(const struct lockgraph *, const struct lockgraph_edge *, char *buf, size_t len);
/* => "uvm_fault (uvm_fault.c:210)" or "uvmstress+0x1234" */
void lg_frame_text(const struct lockgraph *, const struct lockgraph_frame *, char *buf, size_t len);
/* => the innermost frame that is not the lock's own code, likewise; "" without a stack */
void lg_trace_brief(const struct lockgraph *, uint32_t trace, char *buf, size_t len);

#endif /* LOCKGRAPH_VIEW_H */
