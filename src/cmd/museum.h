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
	int		 mb_depth;
	const char	*mb_origin, *mb_mistake;
	const char	*mb_breaks, *mb_notices, *mb_profile;	/* NULL: impossible */
	const char	*mb_note;	/* or NULL; impossible: the proof */
};
extern const struct museum_bug museum_bugs[];	/* up to one without a name */
extern const char *const bug_shows_names[];

/* What one run came to. */
struct museum_run {
	enum { MR_CLEAN, MR_NOTICED, MR_VACUOUS, MR_FAILED } mr_end;
	char	*mr_kind, *mr_id, *mr_message;	/* noticed: first violation; failed: why in mr_message */
	char	*mr_stack;			/* its frames, a line each */
	double	 mr_wall_s, mr_cpu_s;		/* of the process, its report too */
	double	 mr_time_s;			/* noticed: how long the load ran; a sanitizer: mr_wall_s */
};

/*
 * museum_run: the profile of a row, with that bug or (NULL) without one, in a process of its own.
 * => profile: as in mb_profile; dir: a directory for what it writes, which is gone afterwards
 * => limit_s: it is killed some time after that
 * => the caller calls museum_run_fini()
 */
void	museum_run(const char *profile, const char *bug, uint64_t seed, const char *dir, double limit_s,
	    bool verbose, struct museum_run *);
void	museum_run_fini(struct museum_run *);
/* museum_begin: from here on a request to end ends the run under way.  => museum_stopped: one has come */
void	museum_begin(void);
bool	museum_stopped(void);
/* => the words that repeat such a run; of the caller */
char	*museum_command(const char *profile, const char *bug, uint64_t seed);

/*
 * museum_judge: is what a run was noticed by among what a row names?
 * => that word of the row, of the caller; NULL: none of them
 */
char	*museum_judge(const char *notices, const struct museum_run *);

struct museum_options {
	const char	*mo_word;	/* only bugs with that in their name; NULL: all */
	unsigned	 mo_seeds;
	double		 mo_limit_s;	/* for each bug and seed */
	bool		 mo_quiet_too;	/* run each profile without a bug, too */
	bool		 mo_verbose;
	const char	*mo_json;	/* NULL: none */
};

/* => an exit status; the table goes to standard output */
int	selftest_bugs(const struct museum_options *);

#endif /* CMD_MUSEUM_H */
