/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The museum of known bugs: the rows of src/kern/bugs.def, and runs with one of them on.
 */
#ifndef CMD_MUSEUM_H
#define CMD_MUSEUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "child.h"

enum bug_shows {
	SHOWS_FREE,			/* to LWPs that run freely */
	SHOWS_RACE,			/* to race detectors only */
	SHOWS_CONTROLLED,		/* in a controlled schedule only */
	SHOWS_IMPOSSIBLE,		/* cannot be made here */
};

/* A row as it stands there.  All const. */
struct museum_bug {
	const char	*mb_name;
	enum bug_shows	 mb_shows;
	int		 mb_depth;	/* ordered steps until somebody notices, see bugs.def; IMPOSSIBLE: 0 */
	const char	*mb_origin, *mb_mistake;
	const char	*mb_breaks, *mb_notices, *mb_profile;	/* NULL: impossible */
	const char	*mb_note;	/* or NULL; impossible: the proof */
};

/* museum_small: => the profile of a row for executions of a few operations, for free(); NULL: impossible */
char	*museum_small(const struct museum_bug *);
extern const struct museum_bug museum_bugs[];	/* up to one without a name */
extern const char *const bug_shows_names[];

/* How LWPs are scheduled.  All const. */
struct museum_strategy {
	const char	*ms_name;	/* as the user says it */
	const char	*ms_schedule, *ms_chaos;	/* as `run` wants it; ms_chaos: or NULL */
	bool		 ms_controlled;
};
extern const struct museum_strategy museum_strategies[];	/* up to one without a name */

/* What is to be run. */
struct museum_ask {
	const char	*ma_profile;	/* as in mb_profile */
	const char	*ma_bug;	/* NULL: without one */
	uint64_t	 ma_seed;
	const struct museum_strategy *ma_strategy;	/* executions until one fails; NULL: one, as the profile says */
	const char	*ma_dir;	/* a directory for what it writes, which is gone afterwards */
	double		 ma_limit_s;	/* it is killed some time after that; with ma_strategy this is CPU time of all
					   its threads, and it is asked to end then, or after ten times as long */
	int		 ma_core;	/* 1 + the host's core that it keeps to; 0: none */
	bool		 ma_verbose;
};

/* What one run came to. */
struct museum_run {
	enum { MR_CLEAN, MR_NOTICED, MR_VACUOUS, MR_FAILED } mr_end;
	char	*mr_kind, *mr_id, *mr_message;	/* noticed: first violation; failed: why in mr_message */
	char	*mr_stack;			/* its frames, a line each */
	double	 mr_wall_s, mr_cpu_s;		/* of the process, its report too */
	double	 mr_time_s;			/* noticed: how long the load ran; a sanitizer: mr_wall_s */
	uint64_t mr_executions;			/* the one that failed too; 0: it did not come to say */
};

/* A run that is under way.  The owner's. */
struct museum_child {
	struct child_proc mc_child;
	bool	 mc_started;
	char	*mc_json, *mc_out;		/* what it writes */
};

/*
 * museum_start: in a process of its own.  What is asked may not change until it has ended.
 * museum_ended: does not wait.  => has it ended?  Then the caller calls museum_run_fini()
 * museum_run: both, and waits
 */
void	museum_start(const struct museum_ask *, struct museum_child *, struct museum_run *);
bool	museum_ended(const struct museum_ask *, struct museum_child *, struct museum_run *);
void	museum_run(const struct museum_ask *, struct museum_run *);
void	museum_run_fini(struct museum_run *);
/* => the words that repeat such a run; of the caller */
char	*museum_command(const struct museum_ask *);

/*
 * museum_judge: is what a run was noticed by among what a row names?
 * => that word of the row, of the caller; NULL: none of them
 */
char	*museum_judge(const char *notices, const struct museum_run *);

struct museum_options {
	const char	*mo_word;	/* only bugs with one of these, between commas, in their name; NULL: all */
	unsigned	 mo_seeds;
	double		 mo_limit_s;	/* for each bug and seed; strategies: CPU time for each cell */
	unsigned	 mo_jobs;	/* strategies: so many controlled cells at a time; 0: one for each core */
	bool		 mo_quiet_too;	/* run each profile without a bug, too */
	bool		 mo_verbose;
	const char	*mo_json;	/* NULL: none */
	const char	*mo_strategies;	/* their names, between commas; NULL: as the profiles say */
	bool		 mo_resume;	/* what mo_json already has is not run again */
};
/* => is the bug among those that mo_word names? */
bool	museum_wanted(const struct museum_options *, const struct museum_bug *);

/* => an exit status; the table goes to standard output */
/* => an exit status, told: the table is in mo_json, whole; root is let go */
int	museum_write(const struct museum_options *, json_t *root);
int	selftest_bugs(const struct museum_options *);
int	selftest_strategies(const struct museum_options *);

#endif /* CMD_MUSEUM_H */
