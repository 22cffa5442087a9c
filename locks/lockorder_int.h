/*
 * Inside the lock-order engine.
 *
 * All of its memory comes from one arena that grows and is forgotten as a whole by
 * lockorder_init().  Records live in tables whose elements never move, and are named by
 * their index, so that no address decides anything.  One raw lock, lo_lock(), protects
 * everything that is marked L.
 */
#ifndef LOCKS_LOCKORDER_INT_H
#define LOCKS_LOCKORDER_INT_H

#include <sys/lockorder.h>

#define	NONE	LOCKGRAPH_NONE

/* --- memory (lockorder_mem.c) --- */

/* Elements 0 .. lt_n-1; never move.  L to add, stable address. */
struct lo_table {
	size_t		 lt_size;	/* : of one element */
	uint32_t	 lt_n;		/* L */
	char		*lt_chunk[24];	/* L to add: 256 elements, 512, 1024, ... */
};

/* From 64 bits to an index.  L. */
struct lo_map {
	struct lo_slot {
		uint64_t ls_key;
		uint32_t ls_value;	/* + 1; 0: empty */
	} *lm_slots;
	uint32_t	 lm_mask, lm_n;
};

extern struct lockorder_env lo_env;		/* : after lockorder_init() */
extern uint64_t lo_lost;			/* L: what there was no memory for */

void	 lo_lock(void);
void	 lo_unlock(void);
/* L => zeroed memory, or NULL */
void	*lo_alloc(size_t);
void	 lo_free(void *, size_t);
/* L => a copy, or "" */
const char *lo_strdup(const char *);
/* L => a new element, zeroed, its index in *i; NULL: no memory */
void	*lo_add(struct lo_table *, uint32_t *i);
void	*lo_at(const struct lo_table *, uint32_t i);
/* L => the value, NONE */
uint32_t lo_map_get(const struct lo_map *, uint64_t key);
/* L => the key was not there */
void	 lo_map_put(struct lo_map *, uint64_t key, uint32_t value);
void	 lo_mem_reset(void);

/* --- classes (lockorder.c) --- */

#define	LO_LEVELS	8			/* IPLs */


/* L, but what is marked: stable (:), atomic (@) */
struct lo_class {
	const char	*c_name;		/* : */
	enum lockgraph_class_kind c_kind;	/* : */
	int		 c_rank;		/* : 0: undeclared */
	enum lockorder_nest c_nest;		/* : */
	int		 c_ipl;			/* : */
	uint32_t	 c_family;		/* : whose locks make no edges between them; 0: none */
	uint32_t	 c_created;		/* trace */
	uint32_t	 c_born;		/* locks made */
	uint32_t	 c_gate_id;		/* birth number of the only one */
	uint32_t	 c_nest_told;		/* @ wrong nesting of this class has been told */
	uint32_t	 c_usage;		/* LOCKGRAPH_ */
	uint64_t	 c_chains;		/* that end in it */
	uint32_t	 c_out, c_in;		/* first edge from, to; NONE */
	uint32_t	 c_in_next;		/* next class that interrupts take */
	uint8_t		 c_intr[3];		/* levels of interrupts that took one, by mode */
	uint8_t		 c_open[2];		/* IPLs that one was held at: exclusively, shared */
	uint32_t	 c_intr_trace[3], c_open_trace[2]; /* where, at the highest, lowest of them */
	/* one search: which node was reached how, and by which edge (lockorder_graph.c) */
	uint64_t	 c_seen[2];
	uint32_t	 c_by[2], c_queue[2];
};

extern struct lo_table lo_classes;
struct lo_class *lo_class(uint32_t);

/* --- stacks (lockorder_trace.c) --- */

#define	LO_FRAMES	24
struct lo_trace {				/* : once made */
	uint32_t	 t_n;
	void		*t_pc[];
};
extern struct lo_table lo_traces;		/* of struct lo_trace * */
#define	LO_OWN_FRAMES	10			/* more are never between a lock's caller and us */
uint32_t lo_trace(const void *where);		/* L: from that return address on */
uint32_t lo_trace_pc(const void *pc);		/* L: one frame */
void	 lo_trace_reset(void);

/* --- edges and cycles (lockorder_graph.c) --- */

struct lo_guard {
	uint32_t	 g_class, g_id;
};

/* L, but from, to, what, how are stable */
struct lo_edge {
	uint32_t	 e_from, e_to;
	uint8_t		 e_what;		/* enum lockgraph_edge_kind */
	uint8_t		 e_how;			/* bits 0-1 mode of from, 2-3 of to */
	bool		 e_rank;		/* against the declared order */
	bool		 e_graded;		/* some finding's grade rests on it */
	bool		 e_many;		/* several runners went this way */
	bool		 e_told;		/* its pair's rank has been told */
	uint32_t	 e_runner;		/* the first one */
	uint32_t	 e_from_trace, e_to_trace;
	uint32_t	 e_out, e_in;		/* next edge of the same from, to */
	uint64_t	 e_count;
	struct lo_guard	*e_guard;		/* held, exclusively, whenever it was seen */
	uint32_t	 e_nguard;
};

#define	E_SHARED(e)	(((e)->e_how & LO_MODE) != LO_WRITE)		/* held shared */
#define	E_REC(e)	(((e)->e_how >> 2 & LO_MODE) == LO_READ_REC)	/* wanted recursively */

extern struct lo_table lo_edges;
extern bool lo_regrade;				/* L: grades may have got worse */
/* L => the edge, new: it was not there; NONE: no memory */
uint32_t lo_edge(uint32_t from, uint32_t to, enum lockgraph_edge_kind, unsigned how, bool *new);
uint32_t lo_edge_find(uint32_t from, uint32_t to, enum lockgraph_edge_kind, unsigned how);
/* L: this runner saw the edge, holding what is in the stack */
void	 lo_edge_seen(uint32_t edge, const struct held_stack *, unsigned depth);
struct lo_path {
	uint32_t	 p_n;
	uint32_t	*p_v;			/* room of the path's, valid until the next search */
};
/* L: all ways from `to` on; then lo_cycle() => the shortest one back to where an edge to it starts */
void	 lo_search(uint32_t to, bool rec);
bool	 lo_cycle(uint32_t edge, struct lo_path *);
/* L => from class `from`, wanted as rec or not: next class for which stop() says yes; the way there */
bool	 lo_reach(uint32_t from, bool rec, bool (*stop)(void *, uint32_t class, bool rec), void *arg,
    uint32_t *found, bool *found_rec, struct lo_path *);
void	 lo_graph_reset(void);

/* --- interrupts (lockorder_usage.c) --- */

struct lo_told;
/* L: a lock of the class is taken so; trace: there */
void	 lo_usage(const struct lockorder_want *, uint32_t trace, struct lo_told *);
/* L: the graph has new edges */
void	 lo_usage_edges(struct lo_told *);
void	 lo_usage_reset(void);

/* --- findings (lockorder_find.c) --- */

struct lo_finding {				/* L */
	const char	*f_rule, *f_print, *f_message, *f_why, *f_waived;
	enum lockgraph_grade f_grade;
	uint64_t	 f_count;
	uint32_t	 f_trace, f_held;	/* noticed; where what is in the way was taken */
	uint32_t	*f_edge;		/* of the cycle, or the one edge */
	uint32_t	 f_nedge;
	uint64_t	 f_hash;
};
extern struct lo_table lo_findings;

/* What one call has found, to be told when the lock is released.  Only its thread. */
#define	LO_TOLD	16
struct lo_told {
	uint32_t	 to_v[LO_TOLD];
	int		 to_n;
};
/* L: a finding; told if new or worse than before.  edges: its cycle, copied */
void	 lo_found(struct lo_told *, const char *rule, const char *print, enum lockgraph_grade,
    const uint32_t *edges, uint32_t nedges, uint32_t trace, const char *message);
/* L: the finding of that fingerprint, if there is one, is about a lock that was taken there */
void	 lo_found_held(const char *print, uint32_t trace);
/* L: the edges from `first` on are new: their cycles, and what interrupts make of them */
void	 lo_new_edges(uint32_t first, uint32_t trace, struct lo_told *);
/* L: grades again */
void	 lo_grades(struct lo_told *);
/* not L */
void	 lo_tell(const struct lo_told *);
/* => which kind of violation a rule is about: the words of violation_kind_name */
const char *lo_rule_kind(const char *rule);
void	 lo_find_reset(void);
void	 lo_export_reset(void);

/* --- new chains (lockorder_chain.c) --- */
extern uint64_t lo_nchains;			/* L */
void	 lo_chain_reset(void);
/* L => where the chain was first seen, or the one frame */
uint32_t lo_held_trace(const struct held_lock *);

/* --- text --- */
struct lo_text {
	char	tx[480];
	size_t	tx_n;
};
void	 lo_text(struct lo_text *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* LOCKS_LOCKORDER_INT_H */
