/*
 * A controlled execution that is told (engine_story.c), and how its turns are (engine_story_turns.c).
 */
#ifndef WORKLOADS_ENGINE_STORY_H
#define WORKLOADS_ENGINE_STORY_H

#include <stdbool.h>
#include <stdio.h>

#include <host/sched.h>
#include <sys/kernhist.h>
#include <sys/lwp.h>

#define	TURNS		16384		/* kept: the last ones */
#define	EVENTS		65536		/* likewise */
#define	TURN_FRAMES	16
#define	EVENT_FRAMES	10
#define	EVENT_TOLD	3		/* of an event: its functions; */
#define	ABOUT_TOLD	5		/* of one about what the violation is about */
#define	WHERE_LEN	200
#define	NAME_LEN	64
#define	SUBJECTS	6		/* of the violation, for whose sake turns and events are told */

struct happening {
	struct kern_history_ent ha_ev;
	void		*ha_pcs[EVENT_FRAMES];	/* there */
	int		 ha_npcs;
};

struct turn {
	unsigned	 tu_thread;
	uint32_t	 tu_lwp;		/* 0: none */
	int		 tu_cpu;		/* -1: none */
	bool		 tu_idle, tu_load, tu_ends;
	char		 tu_name[LWP_NAME_MAX];
	enum host_choice tu_why;		/* it ended */
	void		*tu_pcs[TURN_FRAMES];	/* there */
	int		 tu_npcs;
	size_t		 tu_first, tu_end;	/* its events: numbers */
};

/* All of it: whoever runs in the schedule. */
extern struct story {
	const char	*st_about;	/* fingerprint; NULL: there is no story */
	bool		 st_over;
	char		*st_end;	/* "tlb I-LOAN-1: ..." */
	struct turn	*st_turns;	/* number n at n % TURNS */
	size_t		 st_n;		/* the one under way */
	struct happening *st_ev;	/* number n at n % EVENTS */
	size_t		 st_nev;
	struct subject { enum kern_subject what; uint32_t id; unsigned long va; } st_subjects[SUBJECTS];
	size_t		 st_nsubjects;
	struct function { void *pc; char name[NAME_LEN]; } *st_known;	/* at pc % KNOWN */
} story;

/* => the number of the first event that is kept */
static inline size_t
story_oldest(void)
{
	return story.st_nev > EVENTS ? story.st_nev - EVENTS : 0;
}

/*
 * story_is_switching: => is the function part of how threads are switched and events kept, rather than of why?
 * story_function: => the function that it is in, good until somebody else asks; ""
 * story_functions: => "amap_copy < uvm_fault < worker_main": the innermost `max` of them; ""
 * story_put_in: ends the line of an event: where it was, in so many functions, unless that is where the one
 *    before it was
 * story_put_turns: => the turns, numbered, in so many lines at most; *n of them, and so many between them that
 *    have nothing to tell
 */
bool	story_is_switching(const char *frame);
const char *story_function(void *pc);
void	story_functions(void *const *pcs, int npcs, int max, char *buf, size_t len);
void	story_put_in(const struct happening *, int functions, char where[WHERE_LEN], FILE *);
void	story_put_turns(size_t lines, size_t *n, size_t *left, FILE *);

#endif /* WORKLOADS_ENGINE_STORY_H */
